//! Tests of the GRU: a plain loop in f64, finite differences, and the same bytes in any company.

use proptest::prelude::*;

use super::*;
use crate::cpu::Cpu;
use crate::testing::{
    bits, check_gradient, every_bf16_cpu, every_cpu, every_cpu_and_precision, noise_of, pool,
};

struct Case<T> {
    gru: Gru,
    lengths: Vec<usize>,
    x: Vec<T>,
    w_ih: Vec<T>,
    w_hh: Vec<T>,
    b_ih: Vec<T>,
    b_hh: Vec<T>,
    h0: Vec<T>,
    dy: Vec<T>,
}

#[derive(Debug, PartialEq)]
struct Outcome<T> {
    y: Vec<T>,
    h_last: Vec<T>,
    dx: Vec<T>,
    dh0: Vec<T>,
    /// w_ih, w_hh, b_ih, b_hh.
    weights: [Vec<T>; 4],
}

impl<T: Real> Case<T> {
    fn new(gru: Gru, lengths: &[usize], seed: u64) -> Self {
        let (rows, i, h) = (lengths.iter().sum::<usize>(), gru.input, gru.hidden);
        // Weights of the size that a layer starts with; larger ones would make the state chaotic.
        let scaled = |seed, count| {
            let scale = T::ONE / T::from_usize(h).sqrt();
            noise_of::<T>(seed, count).into_iter().map(|w| w * scale).collect()
        };
        Self {
            gru,
            lengths: lengths.to_vec(),
            x: noise_of(seed, rows * i),
            w_ih: scaled(seed + 1, 3 * h * i),
            w_hh: scaled(seed + 2, 3 * h * h),
            b_ih: noise_of(seed + 3, 3 * h),
            b_hh: noise_of(seed + 4, 3 * h),
            h0: noise_of(seed + 5, lengths.len() * h),
            dy: noise_of(seed + 6, rows * h),
        }
    }

    fn weights(&self) -> RecurrentWeights<'_, T> {
        RecurrentWeights { w_ih: &self.w_ih, w_hh: &self.w_hh, b_ih: &self.b_ih, b_hh: &self.b_hh }
    }

    fn forward(&self, cpu: Cpu) -> (Vec<T>, Vec<T>, Vec<T>) {
        let rows = self.lengths.iter().sum::<usize>();
        let poison = T::from_f64(f64::NAN);
        let mut y = vec![poison; rows * self.gru.hidden];
        let mut saved = vec![poison; self.gru.saved_len(rows)];
        let mut h_last = vec![poison; self.h0.len()];
        let (h0, last) = (Some(&self.h0[..]), Some(h_last.as_mut_slice()));
        let weights = self.weights();
        self.gru
            .forward(cpu, &self.x, &self.lengths, weights, h0, &mut y, &mut saved, last)
            .unwrap();
        (y, saved, h_last)
    }

    fn run(&self, cpu: Cpu) -> Outcome<T> {
        let (y, saved, h_last) = self.forward(cpu);
        let poison = T::from_f64(f64::NAN);
        let mut dx = vec![poison; self.x.len()];
        let mut dh0 = vec![poison; self.h0.len()];
        let mut weights = [&self.w_ih, &self.w_hh, &self.b_ih, &self.b_hh]
            .map(|parameter| vec![T::ZERO; parameter.len()]);
        let [w_ih, w_hh, b_ih, b_hh] = &mut weights;
        let gradients = RecurrentGradients { w_ih, w_hh, b_ih, b_hh };
        let h0 = Some(&self.h0[..]);
        self.gru
            .backward(
                cpu,
                &self.x,
                &self.lengths,
                self.weights(),
                h0,
                &y,
                &saved,
                &self.dy,
                &mut dx,
                gradients,
                Some(&mut dh0),
            )
            .unwrap();
        Outcome { y, h_last, dx, dh0, weights }
    }

    /// The batch of these utterances alone.
    fn only(&self, wanted: &[usize]) -> Self
    where
        T: Clone,
    {
        let (i, h) = (self.gru.input, self.gru.hidden);
        let start = |utterance: usize| self.lengths[..utterance].iter().sum::<usize>();
        let cut = |values: &[T], width: usize| {
            let mut out = Vec::new();
            for &utterance in wanted {
                let first = start(utterance) * width;
                out.extend_from_slice(&values[first..first + self.lengths[utterance] * width]);
            }
            out
        };
        Self {
            gru: self.gru,
            lengths: wanted.iter().map(|&utterance| self.lengths[utterance]).collect(),
            x: cut(&self.x, i),
            dy: cut(&self.dy, h),
            h0: wanted.iter().flat_map(|&u| self.h0[u * h..][..h].to_vec()).collect(),
            w_ih: self.w_ih.clone(),
            w_hh: self.w_hh.clone(),
            b_ih: self.b_ih.clone(),
            b_hh: self.b_hh.clone(),
        }
    }
}

fn every_kind(input: usize, hidden: usize) -> Vec<Gru> {
    let mut kinds = Vec::new();
    for variant in [GruVariant::ResetAfter, GruVariant::ResetBefore] {
        for reverse in [false, true] {
            kinds.push(Gru { input, hidden, reverse, variant });
        }
    }
    kinds
}

/// The equations, one utterance, one unit after another, in f64.
fn plain(case: &Case<f64>) -> (Vec<f64>, Vec<f64>) {
    let (i, h) = (case.gru.input, case.gru.hidden);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let mut y = vec![0.0; case.dy.len()];
    let (mut last, mut start) = (Vec::new(), 0);
    for (utterance, &length) in case.lengths.iter().enumerate() {
        let mut state = case.h0[utterance * h..][..h].to_vec();
        for step in 0..length {
            let row = start + if case.gru.reverse { length - 1 - step } else { step };
            let x = &case.x[row * i..][..i];
            let from_x = |g: usize| dot(&case.w_ih[g * i..][..i], x) + case.b_ih[g];
            let from_h = |g: usize, s: &[f64]| dot(&case.w_hh[g * h..][..h], s) + case.b_hh[g];
            let r: Vec<f64> = (0..h).map(|j| sigmoid(from_x(j) + from_h(j, &state))).collect();
            let z: Vec<f64> =
                (0..h).map(|j| sigmoid(from_x(h + j) + from_h(h + j, &state))).collect();
            let reset: Vec<f64> = r.iter().zip(&state).map(|(r, s)| r * s).collect();
            let n = (0..h).map(|j| {
                let g = 2 * h + j;
                match case.gru.variant {
                    GruVariant::ResetAfter => (from_x(g) + r[j] * from_h(g, &state)).tanh(),
                    GruVariant::ResetBefore => (from_x(g) + from_h(g, &reset)).tanh(),
                }
            });
            state = n.enumerate().map(|(j, n)| (1.0 - z[j]) * n + z[j] * state[j]).collect();
            y[row * h..][..h].copy_from_slice(&state);
        }
        last.extend(state);
        start += length;
    }
    (y, last)
}

#[test]
fn forward_equals_the_equations_in_f64() {
    for gru in every_kind(7, 33) {
        let case = Case::<f64>::new(gru, &[3, 9, 1, 9, 5], 11);
        let (exact, exact_last) = plain(&case);
        let (y, _, last) = case.forward(Cpu::detect());
        let far =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(far(&y, &exact) < 1e-13 && far(&last, &exact_last) < 1e-13, "{gru:?}");

        let single = Case::<f32>::new(gru, &[3, 9, 1, 9, 5], 11);
        for cpu in every_cpu() {
            let (y, _, last) = single.forward(cpu);
            let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
            assert!(
                far(&wide(y), &exact) < 2e-6 && far(&wide(last), &exact_last) < 2e-6,
                "{gru:?}"
            );
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let cpu = Cpu::detect();
    for gru in every_kind(3, 4) {
        let lengths = [2, 5, 1, 3];
        let case = || Case::<f64>::new(gru, &lengths, 21);
        let found = case().run(cpu);
        let loss = |case: &Case<f64>| {
            let (y, _, _) = case.forward(cpu);
            y.iter().zip(&case.dy).map(|(y, d)| y * d).sum::<f64>()
        };
        type Field = fn(&mut Case<f64>) -> &mut Vec<f64>;
        let [w_ih, w_hh, b_ih, b_hh] = &found.weights;
        let fields: [(&str, &Vec<f64>, Field); 6] = [
            ("x", &found.dx, |case| &mut case.x),
            ("h0", &found.dh0, |case| &mut case.h0),
            ("w_ih", w_ih, |case| &mut case.w_ih),
            ("w_hh", w_hh, |case| &mut case.w_hh),
            ("b_ih", b_ih, |case| &mut case.b_ih),
            ("b_hh", b_hh, |case| &mut case.b_hh),
        ];
        for (name, gradient, field) in fields {
            let mut moved = case();
            let point = field(&mut moved).clone();
            check_gradient(&format!("{gru:?} {name}"), &point, gradient, |values| {
                field(&mut moved).copy_from_slice(values);
                loss(&moved)
            });
        }
    }
}

#[test]
fn gradients_in_f32_equal_those_in_f64() {
    for gru in every_kind(20, 48) {
        let lengths = [30, 4, 17];
        let exact = Case::<f64>::new(gru, &lengths, 31).run(Cpu::portable());
        for cpu in every_cpu() {
            let found = Case::<f32>::new(gru, &lengths, 31).run(cpu);
            let close = |what: &str, a: &[f32], b: &[f64]| {
                let size = b.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
                for (x, y) in a.iter().zip(b) {
                    assert!((f64::from(*x) - y).abs() <= 1e-5 * size, "{gru:?} {what}: {x} {y}");
                }
            };
            close("dx", &found.dx, &exact.dx);
            close("dh0", &found.dh0, &exact.dh0);
            for (found, exact) in found.weights.iter().zip(&exact.weights) {
                close("weights", found, exact);
            }
        }
    }
}

/// Each operand is rounded by up to 2⁻⁹ of itself; over 30 steps the errors, of either sign, add up to
/// no more than the bound below of the largest gradient.
#[test]
fn gradients_in_bf16_are_near_those_in_f64() {
    for gru in every_kind(20, 48) {
        let lengths = [30, 4, 17];
        let exact = Case::<f64>::new(gru, &lengths, 31).run(Cpu::portable());
        for cpu in every_bf16_cpu() {
            let found = Case::<f32>::new(gru, &lengths, 31).run(cpu);
            let close = |what: &str, a: &[f32], b: &[f64]| {
                let size = b.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
                let far = |(x, y): (&f32, &f64)| (f64::from(*x) - y).abs() / size;
                let worst = a.iter().zip(b).map(far).fold(0.0, f64::max);
                assert!(worst <= 2e-2, "{gru:?} {what} on {cpu}: {worst:e}");
                // And it is bf16 that computes.
                assert!(worst >= 1e-5, "{gru:?} {what} on {cpu}: {worst:e}");
            };
            close("y", &found.y, &exact.y);
            close("dx", &found.dx, &exact.dx);
            close("dh0", &found.dh0, &exact.dh0);
            for (found, exact) in found.weights.iter().zip(&exact.weights) {
                close("weights", found, exact);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Promises 3 and 4: an utterance alone, in any batch and order, on any number of threads.
    #[test]
    fn an_utterance_gives_the_same_bytes_in_any_company(
        lengths in prop::collection::vec(1usize..14, 16), input in 1usize..40,
        hidden in 1usize..70, seed in 0u64..1000, reverse in any::<bool>(), after in any::<bool>(),
    ) {
        let variant = if after { GruVariant::ResetAfter } else { GruVariant::ResetBefore };
        let gru = Gru { input, hidden, reverse, variant };
        let all = Case::<f32>::new(gru, &lengths, seed);
        for cpu in every_cpu_and_precision() {
            let alone: Vec<_> = (0..16).map(|u| all.only(&[u]).run(cpu)).collect();
            for size in [2, 3, 7, 16] {
                // The last utterances in falling order, so that the places differ as well.
                let wanted: Vec<usize> = (16 - size..16).rev().collect();
                let batch = all.only(&wanted);
                let one = pool(1).install(|| batch.run(cpu));
                for threads in 2..=4 {
                    prop_assert_eq!(&pool(threads).install(|| batch.run(cpu)), &one);
                }
                let mut row = 0;
                for (place, &u) in wanted.iter().enumerate() {
                    let length = lengths[u];
                    let rows = |v: &[f32], width: usize| bits(&v[row * width..][..length * width]);
                    let state = |v: &[f32]| bits(&v[place * hidden..][..hidden]);
                    prop_assert_eq!(rows(&one.y, hidden), bits(&alone[u].y));
                    prop_assert_eq!(rows(&one.dx, input), bits(&alone[u].dx));
                    prop_assert_eq!(state(&one.h_last), bits(&alone[u].h_last));
                    prop_assert_eq!(state(&one.dh0), bits(&alone[u].dh0));
                    row += length;
                }
            }
        }
    }
}

#[test]
fn chunks_with_the_state_handed_on_equal_the_whole() {
    for gru in every_kind(5, 20).into_iter().filter(|gru| !gru.reverse) {
        let whole = Case::<f32>::new(gru, &[17], 41);
        let cpu = Cpu::detect();
        let (y, _, last) = whole.forward(cpu);
        let (mut state, mut first, mut pieces) = (whole.h0.clone(), 0, Vec::new());
        for length in [1, 2, 7, 4, 3] {
            let piece = Case {
                lengths: vec![length],
                x: whole.x[first * 5..][..length * 5].to_vec(),
                dy: vec![0.0; length * 20],
                h0: state,
                ..Case::<f32>::new(gru, &[17], 41)
            };
            let (y, _, last) = piece.forward(cpu);
            pieces.extend(y);
            state = last;
            first += length;
        }
        assert_eq!(bits(&pieces), bits(&y));
        assert_eq!(bits(&state), bits(&last));
    }
}

#[test]
fn weights_laid_out_before_give_the_same_bytes_and_others_are_refused() {
    for cpu in every_cpu_and_precision() {
        for gru in every_kind(5, 20) {
            let case = Case::<f32>::new(gru, &[3, 1], 47);
            let whole = case.run(cpu);
            let (mut y, mut saved) = (vec![5f32; 80], vec![5f32; gru.saved_len(4)]);
            let mut last = vec![0f32; 40];
            let mut run = |weights: &[PackedMatrix<f32>], y: &mut [f32]| {
                let (h0, last) = (Some(&case.h0[..]), Some(&mut last[..]));
                let Case { x, lengths, .. } = &case;
                gru.forward_packed(
                    cpu,
                    x,
                    lengths,
                    case.weights(),
                    weights,
                    h0,
                    y,
                    &mut saved,
                    last,
                )
            };
            let packed = gru.pack(cpu, case.weights()).unwrap();
            assert!(run(&packed[1..], &mut y).is_err());
            let other = Gru { hidden: 10, ..gru };
            let smaller = Case::<f32>::new(other, &[3, 1], 47);
            assert!(run(&other.pack(cpu, smaller.weights()).unwrap(), &mut y).is_err());
            for another in every_cpu_and_precision().into_iter().filter(|&other| other != cpu) {
                let packed = gru.pack(another, case.weights()).unwrap();
                let error = run(&packed, &mut y).unwrap_err();
                assert!(matches!(error, KernelError::PackedForOther { .. }), "{error}");
            }
            assert!(y.iter().all(|&y| y == 5.0), "wrote and refused");
            run(&packed, &mut y).unwrap();
            assert_eq!(bits(&y), bits(&whole.y));
            assert_eq!(bits(&last), bits(&whole.h_last));
        }
    }
}

#[test]
fn without_an_initial_state_it_is_zero_and_gradients_are_added() {
    let gru = Gru { input: 2, hidden: 3, reverse: false, variant: GruVariant::ResetAfter };
    let mut case = Case::<f32>::new(gru, &[4, 2], 51);
    case.h0.fill(0.0);
    let cpu = Cpu::detect();
    let with = case.run(cpu);
    let (mut y, mut saved) = (vec![0f32; 18], vec![0f32; gru.saved_len(6)]);
    let weights = case.weights();
    gru.forward(cpu, &case.x, &[4, 2], weights, None, &mut y, &mut saved, None).unwrap();
    assert_eq!(y, with.y);
    let mut sums = [18, 27, 9, 9].map(|len| vec![1f32; len]);
    let [w_ih, w_hh, b_ih, b_hh] = &mut sums;
    let gradients = RecurrentGradients { w_ih, w_hh, b_ih, b_hh };
    let mut dx = vec![0f32; 12];
    let lengths = [4, 2];
    gru.backward(
        cpu, &case.x, &lengths, weights, None, &y, &saved, &case.dy, &mut dx, gradients, None,
    )
    .unwrap();
    assert_eq!(dx, with.dx);
    for (sum, alone) in sums.iter().flatten().zip(with.weights.iter().flatten()) {
        assert!((sum - 1.0 - alone).abs() < 1e-5);
    }
}

#[test]
fn what_does_not_fit_is_refused_with_both_sizes() {
    let gru = Gru { input: 2, hidden: 3, reverse: false, variant: GruVariant::ResetBefore };
    let case = Case::<f32>::new(gru, &[4, 2], 61);
    let weights = case.weights();
    let cpu = Cpu::detect();
    let try_it = |lengths: &[usize], weights, rows: usize, saved: usize| {
        let (mut y, mut saved) = (vec![5f32; rows * 3], vec![5f32; saved]);
        let result = gru.forward(cpu, &case.x, lengths, weights, None, &mut y, &mut saved, None);
        assert!(result.is_ok() || y.iter().chain(&saved).all(|&x| x == 5.0), "wrote and refused");
        result
    };
    assert_eq!(try_it(&[4, 2], weights, 6, 72), Ok(()));
    let error = try_it(&[4, 3], weights, 7, 84).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "x", actual: 12, expected: 14, .. }));
    let error = try_it(&[6, 0], weights, 6, 72).unwrap_err();
    assert!(matches!(error, KernelError::EmptyUtterance { index: 1, .. }));
    let error = try_it(&[], weights, 0, 0).unwrap_err();
    assert!(matches!(error, KernelError::TooSmall { actual: 0, minimum: 1, .. }));
    let error = try_it(&[4, 2], weights, 5, 72).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "y", actual: 15, expected: 18, .. }));
    let error = try_it(&[4, 2], weights, 6, 71).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "saved", actual: 71, expected: 72, .. }));
    let short = RecurrentWeights { w_hh: &case.w_hh[1..], ..weights };
    let error = try_it(&[4, 2], short, 6, 72).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "w_hh", actual: 26, expected: 27, .. }));
    assert!(try_it(&[usize::MAX, 2], weights, 6, 72).is_err());
    assert!(try_it(&[usize::MAX], weights, 6, 72).is_err());
}
