//! Tests of the convolution: plain loops in f64, finite differences, lengths by brute force, and the
//! same bytes in any company.

use proptest::prelude::*;

use super::*;
use crate::testing::{
    bits, check_gradient, every_bf16_cpu, every_cpu, every_cpu_and_precision, nearest_bf16,
    noise_of, pool,
};

/// Shapes that speech uses, and some that nobody would.
fn shapes() -> Vec<(Convolution, usize)> {
    let shape = |channels: [usize; 2], kernel, stride, padding, bins| {
        let [in_channels, out_channels] = channels;
        (Convolution { in_channels, out_channels, kernel, stride, padding }, bins)
    };
    vec![
        shape([1, 32], [3, 3], [2, 2], [1, 1], 20),
        shape([32, 33], [3, 3], [2, 2], [1, 1], 10),
        shape([5, 7], [1, 1], [1, 1], [0, 0], 6),
        shape([5, 7], [1, 1], [2, 2], [0, 0], 7),
        shape([3, 4], [5, 5], [1, 2], [2, 0], 9),
        shape([1, 3], [11, 41], [2, 2], [5, 20], 40),
        shape([2, 3], [3, 2], [1, 1], [2, 1], 5),
        shape([2, 3], [2, 3], [5, 4], [0, 0], 11),
        shape([4, 40], [5, 1], [1, 1], [2, 0], 1),
        shape([3, 2], [4, 3], [3, 1], [3, 2], 4),
        shape([70, 3], [3, 3], [1, 1], [1, 1], 3),
        shape([3, 64], [7, 7], [2, 2], [3, 3], 16),
        shape([64, 34], [1, 1], [2, 2], [0, 0], 5),
        shape([6, 16], [1, 4], [1, 3], [0, 0], 9),
    ]
}

struct Case<T> {
    convolution: Convolution,
    bins: usize,
    lengths: Vec<usize>,
    x: Vec<T>,
    weight: Vec<T>,
    bias: Vec<T>,
    dy: Vec<T>,
}

#[derive(Debug, PartialEq)]
struct Outcome<T> {
    y: Vec<T>,
    dx: Vec<T>,
    dweight: Vec<T>,
    dbias: Vec<T>,
}

impl<T: Real> Case<T> {
    fn new(convolution: Convolution, bins: usize, lengths: &[usize], seed: u64) -> Self {
        let outputs: usize = lengths.iter().map(|&n| convolution.output_frames(n)).sum();
        let row = convolution.output_bins(bins) * convolution.out_channels;
        Self {
            convolution,
            bins,
            lengths: lengths.to_vec(),
            x: noise_of(seed, lengths.iter().sum::<usize>() * bins * convolution.in_channels),
            weight: noise_of(seed + 1, convolution.weight_len()),
            bias: noise_of(seed + 2, convolution.out_channels),
            dy: noise_of(seed + 3, outputs * row),
        }
    }

    fn forward(&self, cpu: Cpu) -> Vec<T> {
        let mut y = vec![T::from_f64(f64::NAN); self.dy.len()];
        let Self { convolution, bins, lengths, x, weight, bias, .. } = self;
        convolution.forward(cpu, x, lengths, *bins, weight, bias, &mut y).unwrap();
        y
    }

    fn run(&self, cpu: Cpu) -> Outcome<T> {
        let mut dx = vec![T::from_f64(f64::NAN); self.x.len()];
        let mut dweight = vec![T::ZERO; self.weight.len()];
        let mut dbias = vec![T::ZERO; self.bias.len()];
        let Self { convolution, bins, lengths, x, weight, dy, .. } = self;
        let wanted = Some(dx.as_mut_slice());
        convolution
            .backward(cpu, x, lengths, *bins, weight, dy, wanted, &mut dweight, &mut dbias)
            .unwrap();
        Outcome { y: self.forward(cpu), dx, dweight, dbias }
    }

    /// The batch of these utterances alone.
    fn only(&self, wanted: &[usize]) -> Self {
        let cut = |values: &[T], sizes: &[usize], width: usize| {
            let mut out = Vec::new();
            for &u in wanted {
                let first: usize = sizes[..u].iter().sum();
                out.extend_from_slice(&values[first * width..][..sizes[u] * width]);
            }
            out
        };
        let c = &self.convolution;
        let outputs: Vec<usize> = self.lengths.iter().map(|&n| c.output_frames(n)).collect();
        Self {
            convolution: self.convolution,
            bins: self.bins,
            lengths: wanted.iter().map(|&u| self.lengths[u]).collect(),
            x: cut(&self.x, &self.lengths, self.bins * c.in_channels),
            dy: cut(&self.dy, &outputs, c.output_bins(self.bins) * c.out_channels),
            weight: self.weight.clone(),
            bias: self.bias.clone(),
        }
    }
}

/// The definition, one number after another.
fn plain(case: &Case<f64>) -> Vec<f64> {
    let c = &case.convolution;
    let mut y = Vec::new();
    let mut start = 0;
    for &frames in &case.lengths {
        for t in 0..c.output_frames(frames) {
            for f in 0..c.output_bins(case.bins) {
                for o in 0..c.out_channels {
                    let mut sum = case.bias[o];
                    for (i, j) in
                        (0..c.kernel[0]).flat_map(|i| (0..c.kernel[1]).map(move |j| (i, j)))
                    {
                        let (a, b) = (t * c.stride[0] + i, f * c.stride[1] + j);
                        let (a, b) = (a.checked_sub(c.padding[0]), b.checked_sub(c.padding[1]));
                        let (Some(a), Some(b)) = (a, b) else { continue };
                        if a >= frames || b >= case.bins {
                            continue;
                        }
                        for channel in 0..c.in_channels {
                            let x = ((start + a) * case.bins + b) * c.in_channels + channel;
                            let w = (o * c.in_channels + channel) * c.kernel[0] + i;
                            sum += case.x[x] * case.weight[w * c.kernel[1] + j];
                        }
                    }
                    y.push(sum);
                }
            }
        }
        start += frames;
    }
    y
}

#[test]
fn forward_equals_the_definition_in_f64() {
    for (convolution, bins) in shapes() {
        let lengths = [7, 30, 2, 11];
        let lengths: Vec<usize> =
            lengths.into_iter().filter(|&n| convolution.output_frames(n) > 0).collect();
        let exact = plain(&Case::new(convolution, bins, &lengths, 11));
        let double = Case::<f64>::new(convolution, bins, &lengths, 11).forward(Cpu::detect());
        assert_eq!(double.len(), exact.len());
        for (found, exact) in double.iter().zip(&exact) {
            assert!((found - exact).abs() < 1e-12, "{convolution:?}: {found} {exact}");
        }
        let case = Case::<f32>::new(convolution, bins, &lengths, 11);
        let bound = 2e-7 * (convolution.weight_len() / convolution.out_channels + 9) as f64;
        for cpu in every_cpu() {
            for (found, exact) in case.forward(cpu).iter().zip(&exact) {
                let error = (f64::from(*found) - exact).abs();
                assert!(error < bound, "{convolution:?} {cpu:?}: {found} {exact}");
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let cpu = Cpu::detect();
    for (mut convolution, bins) in shapes() {
        convolution.in_channels = convolution.in_channels.min(2);
        convolution.out_channels = convolution.out_channels.min(3);
        let bins = bins.min(12).max(convolution.kernel[1].saturating_sub(25));
        let lengths = [4, 7];
        let new = || Case::<f64>::new(convolution, bins, &lengths, 21);
        let found = new().run(cpu);
        let loss =
            |case: &Case<f64>| case.forward(cpu).iter().zip(&case.dy).map(|(y, d)| y * d).sum();
        type Field = fn(&mut Case<f64>) -> &mut Vec<f64>;
        let fields: [(&str, &Vec<f64>, Field); 3] = [
            ("x", &found.dx, |case| &mut case.x),
            ("weight", &found.dweight, |case| &mut case.weight),
            ("bias", &found.dbias, |case| &mut case.bias),
        ];
        for (name, gradient, field) in fields {
            let mut moved = new();
            let point = field(&mut moved).clone();
            check_gradient(&format!("{convolution:?} {name}"), &point, gradient, |values| {
                field(&mut moved).copy_from_slice(values);
                loss(&moved)
            });
        }
    }
}

#[test]
fn gradients_in_f32_equal_those_in_f64_over_many_blocks() {
    for (convolution, bins) in shapes() {
        let lengths = [90, 7, 200];
        let exact = Case::<f64>::new(convolution, bins, &lengths, 31).run(Cpu::portable());
        for cpu in every_cpu() {
            let found = Case::<f32>::new(convolution, bins, &lengths, 31).run(cpu);
            let close = |what: &str, a: &[f32], b: &[f64]| {
                let size = b.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
                for (x, y) in a.iter().zip(b) {
                    let error = (f64::from(*x) - y).abs();
                    assert!(error <= 1e-5 * size, "{convolution:?} {what}: {x} {y}");
                }
            };
            close("dx", &found.dx, &exact.dx);
            close("dweight", &found.dweight, &exact.dweight);
            close("dbias", &found.dbias, &exact.dbias);
        }
    }
}

/// In bf16 the same sums over operands that were rounded before: x and the weights; dy and the weights;
/// x and dy. The bias is no operand.
#[test]
fn bf16_convolutions_are_those_of_rounded_operands() {
    assert!(!every_bf16_cpu().is_empty());
    for (convolution, bins) in shapes() {
        let lengths: Vec<usize> =
            [7, 90, 1, 2, 30].into_iter().filter(|&n| convolution.output_frames(n) > 0).collect();
        let given = Case::<f32>::new(convolution, bins, &lengths, 71);
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let rounded = |x: &[f32]| x.iter().map(|&x| f64::from(nearest_bf16(x))).collect();
        let exact_of = |x: Vec<f64>, weight: Vec<f64>, dy: Vec<f64>| {
            let (lengths, bias) = (lengths.clone(), wide(&given.bias));
            Case { convolution, bins, lengths, x, weight, bias, dy }.run(Cpu::portable())
        };
        let exact = exact_of(rounded(&given.x), rounded(&given.weight), rounded(&given.dy));
        let unrounded = exact_of(wide(&given.x), wide(&given.weight), wide(&given.dy));
        for cpu in every_bf16_cpu() {
            let found = given.run(cpu);
            let far = |what: &str, a: &[f32], b: &[f64], bound: f64| {
                assert_eq!(a.len(), b.len());
                let size = b.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
                let far = |(x, y): (&f32, &f64)| (f64::from(*x) - y).abs() / size;
                let worst = a.iter().zip(b).map(far).fold(0.0, f64::max);
                assert!(worst <= bound, "{convolution:?} {what} on {cpu}: {worst:e}");
                worst
            };
            for (what, found, exact, unrounded) in [
                ("y", &found.y, &exact.y, &unrounded.y),
                ("dx", &found.dx, &exact.dx, &unrounded.dx),
                ("dweight", &found.dweight, &exact.dweight, &unrounded.dweight),
            ] {
                far(what, found, exact, 2e-6);
                // And it is bf16 that computes, with errors of up to 2⁻⁹ of each operand.
                let error = far(what, found, unrounded, 1e-2);
                assert!(error >= 1e-4, "{convolution:?} {what} on {cpu} is {error:e} from f32");
            }
            far("dbias", &found.dbias, &unrounded.dbias, 2e-6);
            // What is rounded already comes out the same.
            let near = |x: &[f32]| x.iter().map(|&x| nearest_bf16(x)).collect::<Vec<f32>>();
            let (lengths, bias) = (lengths.clone(), given.bias.clone());
            let [x, weight, dy] = [&given.x, &given.weight, &given.dy].map(|x| near(x));
            let again = Case { convolution, bins, lengths, x, weight, bias, dy }.run(cpu);
            assert_eq!(bits(&again.y), bits(&found.y));
            assert_eq!(bits(&again.dx), bits(&found.dx));
            assert_eq!(bits(&again.dweight), bits(&found.dweight));
        }
    }
}

#[test]
fn f64_convolutions_know_no_bf16() {
    let (convolution, bins) = shapes()[1];
    let case = Case::<f64>::new(convolution, bins, &[9, 4], 81);
    let expected = case.run(Cpu::portable());
    assert!(every_bf16_cpu().into_iter().all(|cpu| case.run(cpu) == expected));
}

#[test]
fn predicted_lengths_equal_what_a_sliding_window_finds() {
    for kernel in (1..=7).chain([11, 41]) {
        for stride in 1..=5 {
            for padding in 0..kernel {
                let convolution = Convolution {
                    in_channels: 1,
                    out_channels: 1,
                    kernel: [kernel, kernel],
                    stride: [stride, stride],
                    padding: [padding, padding],
                };
                for size in 1..200 {
                    let padded = size + 2 * padding;
                    let windows =
                        (0..padded).step_by(stride).filter(|start| start + kernel <= padded);
                    let expected = windows.count();
                    assert_eq!(convolution.output_frames(size), expected);
                    assert_eq!(convolution.output_bins(size), expected);
                }
            }
        }
    }
}

#[test]
fn every_length_runs_and_gives_the_predicted_rows() {
    let cpu = Cpu::detect();
    for (mut convolution, bins) in shapes() {
        (convolution.in_channels, convolution.out_channels) = (1, 2);
        for frames in (1..60).filter(|&n| convolution.output_frames(n) > 0) {
            let case = Case::<f64>::new(convolution, bins, &[frames], 41);
            let y = case.forward(cpu);
            let exact = plain(&case);
            assert_eq!(y.len(), exact.len());
            assert!(y.iter().zip(&exact).all(|(a, b)| (a - b).abs() < 1e-12), "{convolution:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Promises 3 and 4: an utterance alone and in any batch and order, on any number of threads.
    #[test]
    fn an_utterance_gives_the_same_bytes_in_any_company(
        lengths in prop::collection::vec(5usize..60, 16), shape in 0usize..shapes().len(), seed in 0u64..1000,
    ) {
        let (convolution, bins) = shapes()[shape];
        let all = Case::<f32>::new(convolution, bins, &lengths, seed);
        let row = convolution.output_bins(bins) * convolution.out_channels;
        let input = bins * convolution.in_channels;
        for cpu in every_cpu_and_precision() {
            let alone: Vec<_> = (0..16).map(|u| all.only(&[u]).run(cpu)).collect();
            for size in [2, 3, 7, 16] {
                let wanted: Vec<usize> = (16 - size..16).rev().collect();
                let batch = all.only(&wanted);
                let one = pool(1).install(|| batch.run(cpu));
                for threads in 2..=4 {
                    prop_assert_eq!(&pool(threads).install(|| batch.run(cpu)), &one);
                }
                let (mut first, mut out_first) = (0, 0);
                for &u in &wanted {
                    let frames = convolution.output_frames(lengths[u]);
                    let y = &one.y[out_first * row..][..frames * row];
                    let dx = &one.dx[first * input..][..lengths[u] * input];
                    prop_assert_eq!(bits(y), bits(&alone[u].y));
                    prop_assert_eq!(bits(dx), bits(&alone[u].dx));
                    first += lengths[u];
                    out_first += frames;
                }
            }
        }
    }
}

#[test]
fn neighbours_are_never_seen_even_when_they_are_not_numbers() {
    for (cpu, (convolution, bins)) in every_cpu_and_precision()
        .into_iter()
        .flat_map(|cpu| shapes().into_iter().map(move |s| (cpu, s)))
    {
        let mut case = Case::<f32>::new(convolution, bins, &[20, 21, 22], 51);
        let alone = case.only(&[1]).run(cpu);
        let input = bins * convolution.in_channels;
        let row = convolution.output_bins(bins) * convolution.out_channels;
        let first = convolution.output_frames(20) * row;
        case.x[..20 * input].fill(f32::NAN);
        case.x[41 * input..].fill(f32::INFINITY);
        case.dy[..first].fill(f32::NAN);
        case.dy[first + alone.y.len()..].fill(f32::INFINITY);
        let found = case.run(cpu);
        assert_eq!(bits(&found.y[first..][..alone.y.len()]), bits(&alone.y));
        assert_eq!(bits(&found.dx[20 * input..41 * input]), bits(&alone.dx));
    }
}

#[test]
fn gradients_are_added_and_dx_is_only_made_when_wanted() {
    let (convolution, bins) = shapes()[1];
    let case = Case::<f32>::new(convolution, bins, &[9, 4], 61);
    let cpu = Cpu::detect();
    let whole = case.run(cpu);
    let (mut dw, mut db) = (vec![1f32; case.weight.len()], vec![2f32; case.bias.len()]);
    let Case { lengths, x, weight, dy, .. } = &case;
    convolution.backward(cpu, x, lengths, bins, weight, dy, None, &mut dw, &mut db).unwrap();
    assert!(dw.iter().zip(&whole.dweight).all(|(a, b)| (a - 1.0 - b).abs() < 1e-5));
    assert!(db.iter().zip(&whole.dbias).all(|(a, b)| (a - 2.0 - b).abs() < 1e-5));
}

#[test]
fn what_does_not_fit_is_refused_with_both_sizes() {
    let good = Convolution {
        in_channels: 2,
        out_channels: 3,
        kernel: [5, 3],
        stride: [2, 2],
        padding: [1, 1],
    };
    let cpu = Cpu::detect();
    let (x, weight, bias) = (vec![1f32; 10 * 4 * 2], vec![1f32; 90], vec![1f32; 3]);
    let mut y = vec![5f32; good.output_frames(10) * good.output_bins(4) * 3];
    let mut check = |c: Convolution, lengths: &[usize], bins: usize, weight: &[f32]| {
        y.fill(5.0);
        let result = c.forward(cpu, &x, lengths, bins, weight, &bias, &mut y);
        assert!(result.is_ok() || y.iter().all(|&y| y == 5.0), "wrote and refused");
        result
    };
    assert_eq!(check(good, &[10], 4, &weight), Ok(()));
    let error = check(good, &[10], 5, &weight).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "x", actual: 80, expected: 100, .. }));
    let error = check(good, &[10], 4, &weight[1..]).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "weight", actual: 89, expected: 90, .. }));
    let error = check(good, &[8, 2], 4, &weight).unwrap_err();
    assert!(matches!(error, KernelError::TooSmall { actual: 2, minimum: 3, .. }), "{error}");
    let error = check(good, &[10, 0], 4, &weight).unwrap_err();
    assert!(matches!(error, KernelError::EmptyUtterance { index: 1, .. }));
    let error = check(good, &[], 4, &weight).unwrap_err();
    assert!(matches!(error, KernelError::TooSmall { actual: 0, minimum: 1, .. }));
    for broken in [
        Convolution { stride: [0, 1], ..good },
        Convolution { kernel: [5, 0], ..good },
        Convolution { padding: [5, 1], ..good },
        Convolution { padding: [usize::MAX, 1], ..good },
        Convolution { in_channels: 0, ..good },
        Convolution { out_channels: usize::MAX, ..good },
        Convolution { kernel: [usize::MAX, 3], ..good },
    ] {
        assert!(check(broken, &[10], 4, &weight).is_err(), "{broken:?}");
        let _ = (broken.output_frames(10), broken.output_bins(3), broken.weight_len());
    }
    assert!(check(good, &[usize::MAX, 9], 4, &weight).is_err());
    assert!(check(good, &[usize::MAX / 2], 4, &weight).is_err());
}
