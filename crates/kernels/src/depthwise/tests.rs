//! Depthwise convolution against its definition: values, slopes, bytes in any company, refusals.

use super::*;
use crate::testing::{bits, check_gradient, every_cpu, noise_of, pool};

fn shapes() -> Vec<(DepthwiseConvolution, usize)> {
    let shape = |channels, kernel, stride, padding, bins| {
        (DepthwiseConvolution { channels, kernel, stride, padding }, bins)
    };
    vec![
        shape(43, [3, 3], [1, 1], [1, 1], 6),
        shape(9, [3, 3], [2, 2], [1, 1], 7),
        shape(40, [31, 1], [1, 1], [15, 0], 1),
        shape(1, [1, 1], [1, 1], [0, 0], 3),
        shape(8, [5, 2], [3, 1], [4, 1], 4),
        shape(3, [2, 3], [5, 4], [1, 0], 9),
        shape(2, [4, 11], [1, 2], [0, 10], 5),
    ]
}

#[derive(Clone)]
struct Case<T> {
    layer: DepthwiseConvolution,
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
    fn new(layer: DepthwiseConvolution, bins: usize, lengths: &[usize]) -> Self {
        let outputs: usize = lengths.iter().map(|&n| layer.output_frames(n)).sum();
        Self {
            layer,
            bins,
            lengths: lengths.to_vec(),
            x: noise_of(1, lengths.iter().sum::<usize>() * bins * layer.channels),
            weight: noise_of(2, layer.weight_len()),
            bias: noise_of(3, layer.channels),
            dy: noise_of(4, outputs * layer.output_bins(bins) * layer.channels),
        }
    }

    fn forward(&self, cpu: Cpu) -> Vec<T> {
        let mut y = vec![T::from_f64(f64::NAN); self.dy.len()];
        let Self { layer, bins, lengths, x, weight, bias, .. } = self;
        layer.forward(cpu, x, lengths, *bins, weight, bias, &mut y).unwrap();
        y
    }

    fn run(&self, cpu: Cpu) -> Outcome<T> {
        let mut dx = vec![T::from_f64(f64::NAN); self.x.len()];
        let mut dweight = vec![T::ZERO; self.weight.len()];
        let mut dbias = vec![T::ZERO; self.bias.len()];
        let Self { layer, bins, lengths, x, weight, dy, .. } = self;
        let wanted = Some(dx.as_mut_slice());
        layer
            .backward(cpu, x, lengths, *bins, weight, dy, wanted, &mut dweight, &mut dbias)
            .unwrap();
        Outcome { y: self.forward(cpu), dx, dweight, dbias }
    }

    fn only(&self, utterance: usize) -> Self {
        let (bins, channels) = (self.bins, self.layer.channels);
        let row = self.layer.output_bins(bins) * channels;
        let outputs = |u: usize| self.layer.output_frames(self.lengths[u]);
        let first: usize = self.lengths[..utterance].iter().sum();
        let out_first: usize = (0..utterance).map(outputs).sum();
        let frames = self.lengths[utterance];
        Self {
            lengths: vec![frames],
            x: self.x[first * bins * channels..][..frames * bins * channels].to_vec(),
            dy: self.dy[out_first * row..][..outputs(utterance) * row].to_vec(),
            ..self.clone()
        }
    }

    /// The definition, one number after another.
    fn plain(&self) -> Vec<f64> {
        let DepthwiseConvolution { channels, kernel, stride, padding } = self.layer;
        let mut y = Vec::new();
        let mut first = 0;
        for &frames in &self.lengths {
            for t in 0..self.layer.output_frames(frames) {
                for f in 0..self.layer.output_bins(self.bins) {
                    for c in 0..channels {
                        let mut sum = self.bias[c].to_f64();
                        for i in 0..kernel[0] {
                            for j in 0..kernel[1] {
                                let a = (t * stride[0] + i).wrapping_sub(padding[0]);
                                let b = (f * stride[1] + j).wrapping_sub(padding[1]);
                                if a < frames && b < self.bins {
                                    let x = ((first + a) * self.bins + b) * channels + c;
                                    let w = (c * kernel[0] + i) * kernel[1] + j;
                                    sum += self.x[x].to_f64() * self.weight[w].to_f64();
                                }
                            }
                        }
                        y.push(sum);
                    }
                }
            }
            first += frames;
        }
        y
    }
}

#[test]
fn forward_equals_the_definition() {
    for (layer, bins) in shapes() {
        let case = Case::<f32>::new(layer, bins, &[7, 40, 11]);
        let exact = case.plain();
        for cpu in every_cpu() {
            let y = case.forward(cpu);
            assert_eq!(y.len(), exact.len());
            for (y, exact) in y.iter().zip(&exact) {
                assert!((f64::from(*y) - exact).abs() < 5e-6, "{layer:?}: {y} {exact}");
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for ((layer, bins), cpu) in
        shapes().into_iter().flat_map(|s| every_cpu().into_iter().map(move |c| (s, c)))
    {
        let case = Case::<f64>::new(layer, bins, &[4, 9]);
        let found = case.run(cpu);
        type Field = fn(&mut Case<f64>) -> &mut Vec<f64>;
        let fields: [(&str, &Vec<f64>, Field); 3] = [
            ("x", &found.dx, |case| &mut case.x),
            ("weight", &found.dweight, |case| &mut case.weight),
            ("bias", &found.dbias, |case| &mut case.bias),
        ];
        for (name, gradient, field) in fields {
            let mut moved = case.clone();
            let point = field(&mut moved).clone();
            check_gradient(&format!("{layer:?} {name}"), &point, gradient, |values| {
                field(&mut moved).copy_from_slice(values);
                moved.forward(cpu).iter().zip(&moved.dy).map(|(y, d)| y * d).sum()
            });
        }
    }
}

#[test]
fn gradients_over_many_blocks_equal_those_in_f64() {
    for (layer, bins) in shapes() {
        let lengths = [900, 7, 1500];
        let exact = Case::<f64>::new(layer, bins, &lengths).run(Cpu::portable());
        for cpu in every_cpu() {
            let found = Case::<f32>::new(layer, bins, &lengths).run(cpu);
            let pairs = [
                (&found.dx, &exact.dx),
                (&found.dweight, &exact.dweight),
                (&found.dbias, &exact.dbias),
            ];
            for (found, exact) in pairs {
                let size = exact.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
                for (x, y) in found.iter().zip(exact) {
                    assert!((f64::from(*x) - y).abs() <= 1e-5 * size, "{layer:?}: {x} {y}");
                }
            }
        }
    }
}

#[test]
fn an_utterance_gives_the_same_bytes_in_any_company() {
    let all: Vec<usize> = (0..16).map(|u| 5 + (u * 37) % 90).collect();
    for (layer, bins) in shapes() {
        for cpu in every_cpu() {
            for size in [1, 2, 3, 7, 16] {
                let case = Case::<f32>::new(layer, bins, &all[..size]);
                let one = pool(1).install(|| case.run(cpu));
                for threads in 2..=4 {
                    assert_eq!(pool(threads).install(|| case.run(cpu)), one);
                }
                let (mut y, mut dx) = (Vec::new(), Vec::new());
                for utterance in 0..size {
                    let alone = case.only(utterance).run(cpu);
                    y.extend(bits(&alone.y));
                    dx.extend(bits(&alone.dx));
                }
                assert_eq!((y, dx), (bits(&one.y), bits(&one.dx)));
            }
        }
    }
}

#[test]
fn neighbours_are_never_seen_even_when_they_are_not_numbers() {
    for (layer, bins) in shapes() {
        let mut case = Case::<f32>::new(layer, bins, &[20, 21, 22]);
        let alone = case.only(1).forward(Cpu::detect());
        let line = bins * layer.channels;
        case.x[..20 * line].fill(f32::NAN);
        case.x[41 * line..].fill(f32::INFINITY);
        let y = case.forward(Cpu::detect());
        let first = layer.output_frames(20) * layer.output_bins(bins) * layer.channels;
        assert_eq!(bits(&y[first..][..alone.len()]), bits(&alone));
    }
}

#[test]
fn gradients_are_added() {
    let (layer, bins) = shapes()[0];
    let case = Case::<f32>::new(layer, bins, &[9, 4]);
    let whole = case.run(Cpu::detect());
    let (mut dw, mut db) = (vec![1f32; case.weight.len()], vec![2f32; case.bias.len()]);
    let Case { lengths, x, weight, dy, .. } = &case;
    let cpu = Cpu::detect();
    layer.backward(cpu, x, lengths, bins, weight, dy, None, &mut dw, &mut db).unwrap();
    assert!(dw.iter().zip(&whole.dweight).all(|(a, b)| (a - 1.0 - b).abs() < 1e-5));
    assert!(db.iter().zip(&whole.dbias).all(|(a, b)| (a - 2.0 - b).abs() < 1e-5));
}

#[test]
fn what_does_not_fit_is_refused_with_both_sizes() {
    let good =
        DepthwiseConvolution { channels: 2, kernel: [5, 3], stride: [2, 2], padding: [1, 1] };
    let cpu = Cpu::portable();
    let (x, weight, bias) = (vec![1f32; 10 * 4 * 2], vec![1f32; 30], vec![1f32; 2]);
    let mut y = vec![5f32; good.output_frames(10) * good.output_bins(4) * 2];
    let mut check = |layer: DepthwiseConvolution, lengths: &[usize], bins, weight: &[f32]| {
        y.fill(5.0);
        let result = layer.forward(cpu, &x, lengths, bins, weight, &bias, &mut y);
        assert!(result.is_ok() || y.iter().all(|&y| y == 5.0), "wrote and refused");
        result
    };
    assert_eq!(check(good, &[10], 4, &weight), Ok(()));
    let error = check(good, &[10], 5, &weight).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "x", actual: 80, expected: 100, .. }));
    let error = check(good, &[10], 4, &weight[1..]).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "weight", actual: 29, expected: 30, .. }));
    let error = check(good, &[8, 2], 4, &weight).unwrap_err();
    assert!(matches!(error, KernelError::TooSmall { actual: 2, minimum: 3, .. }), "{error}");
    assert!(check(good, &[10, 0], 4, &weight).is_err());
    assert!(check(good, &[], 4, &weight).is_err());
    for broken in [
        DepthwiseConvolution { stride: [0, 1], ..good },
        DepthwiseConvolution { kernel: [5, 0], ..good },
        DepthwiseConvolution { padding: [5, 1], ..good },
        DepthwiseConvolution { channels: 0, ..good },
        DepthwiseConvolution { channels: usize::MAX, ..good },
    ] {
        assert!(check(broken, &[10], 4, &weight).is_err(), "{broken:?}");
        let _ = (broken.output_frames(10), broken.output_bins(3), broken.weight_len());
    }
    let dy = vec![1f32; y.len()];
    let (mut dx, mut dw, mut db) = (vec![5f32; 80], vec![5f32; 30], vec![5f32; 3]);
    let wanted = Some(dx.as_mut_slice());
    let error =
        good.backward(cpu, &x, &[10], 4, &weight, &dy, wanted, &mut dw, &mut db).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "dbias", actual: 3, expected: 2, .. }));
    assert!(dx.iter().chain(&dw).all(|&d| d == 5.0));
}
