//! Tests of the LSTM: a plain loop in f64, finite differences, and the same bytes in any company.

use proptest::prelude::*;

use super::*;
use crate::cpu::Cpu;
use crate::testing::{
    bits, check_gradient, every_bf16_cpu, every_cpu, every_cpu_and_precision, noise_of, pool,
};

struct Case<T> {
    lstm: Lstm,
    lengths: Vec<usize>,
    x: Vec<T>,
    /// w_ih, w_hh, b_ih, b_hh.
    weights: [Vec<T>; 4],
    h0: Vec<T>,
    c0: Vec<T>,
    dy: Vec<T>,
}

#[derive(Debug, PartialEq)]
struct Outcome<T> {
    y: Vec<T>,
    /// h_last and c_last.
    last: [Vec<T>; 2],
    dx: Vec<T>,
    /// dh0 and dc0.
    d_initial: [Vec<T>; 2],
    weights: [Vec<T>; 4],
}

impl<T: Real> Case<T> {
    fn new(lstm: Lstm, lengths: &[usize], seed: u64) -> Self {
        let (rows, i, h) = (lengths.iter().sum::<usize>(), lstm.input, lstm.hidden);
        // Weights of the size that a layer starts with; larger ones would make the state chaotic.
        let scaled = |seed, count| {
            let scale = T::ONE / T::from_usize(h).sqrt();
            noise_of::<T>(seed, count).into_iter().map(|w| w * scale).collect()
        };
        Self {
            lstm,
            lengths: lengths.to_vec(),
            x: noise_of(seed, rows * i),
            weights: [
                scaled(seed + 1, 4 * h * i),
                scaled(seed + 2, 4 * h * h),
                noise_of(seed + 3, 4 * h),
                noise_of(seed + 4, 4 * h),
            ],
            h0: noise_of(seed + 5, lengths.len() * h),
            c0: noise_of(seed + 6, lengths.len() * h),
            dy: noise_of(seed + 7, rows * h),
        }
    }

    fn weights(&self) -> RecurrentWeights<'_, T> {
        let [w_ih, w_hh, b_ih, b_hh] = &self.weights;
        RecurrentWeights { w_ih, w_hh, b_ih, b_hh }
    }

    fn initial(&self) -> Option<LstmState<'_, T>> {
        Some(LstmState { h: &self.h0, c: &self.c0 })
    }

    /// y, saved, and h_last with c_last.
    fn forward(&self, cpu: Cpu) -> (Vec<T>, Vec<T>, [Vec<T>; 2]) {
        let poison = T::from_f64(f64::NAN);
        let mut y = vec![poison; self.dy.len()];
        let mut saved = vec![poison; self.lstm.saved_len(self.lengths.iter().sum())];
        let mut last = [vec![poison; self.h0.len()], vec![poison; self.h0.len()]];
        let [h, c] = &mut last;
        let (initial, out) = (self.initial(), Some(LstmStateMut { h, c }));
        let weights = self.weights();
        self.lstm
            .forward(cpu, &self.x, &self.lengths, weights, initial, &mut y, &mut saved, out)
            .unwrap();
        (y, saved, last)
    }

    fn run(&self, cpu: Cpu) -> Outcome<T> {
        let (y, saved, last) = self.forward(cpu);
        let poison = T::from_f64(f64::NAN);
        let mut dx = vec![poison; self.x.len()];
        let mut d_initial = [vec![poison; self.h0.len()], vec![poison; self.h0.len()]];
        let mut weights = self.weights.each_ref().map(|weight| vec![T::ZERO; weight.len()]);
        let [w_ih, w_hh, b_ih, b_hh] = &mut weights;
        let [h, c] = &mut d_initial;
        self.lstm
            .backward(
                cpu,
                &self.x,
                &self.lengths,
                self.weights(),
                self.initial(),
                &y,
                &saved,
                &self.dy,
                &mut dx,
                RecurrentGradients { w_ih, w_hh, b_ih, b_hh },
                Some(LstmStateMut { h, c }),
            )
            .unwrap();
        Outcome { y, last, dx, d_initial, weights }
    }

    /// The batch of these utterances alone.
    fn only(&self, wanted: &[usize]) -> Self {
        let (i, h) = (self.lstm.input, self.lstm.hidden);
        let start = |utterance: usize| self.lengths[..utterance].iter().sum::<usize>();
        let rows = |values: &[T], width: usize| {
            let cut = |&u: &usize| &values[start(u) * width..][..self.lengths[u] * width];
            wanted.iter().flat_map(cut).copied().collect::<Vec<T>>()
        };
        let states = |values: &[T]| {
            wanted.iter().flat_map(|&u| &values[u * h..][..h]).copied().collect::<Vec<T>>()
        };
        Self {
            lstm: self.lstm,
            lengths: wanted.iter().map(|&utterance| self.lengths[utterance]).collect(),
            x: rows(&self.x, i),
            dy: rows(&self.dy, h),
            h0: states(&self.h0),
            c0: states(&self.c0),
            weights: self.weights.clone(),
        }
    }
}

fn both_ways(input: usize, hidden: usize) -> [Lstm; 2] {
    [false, true].map(|reverse| Lstm { input, hidden, reverse })
}

/// The equations, one utterance, one unit after another, in f64: y, h_last and c_last.
fn plain(case: &Case<f64>) -> (Vec<f64>, [Vec<f64>; 2]) {
    let (i, h) = (case.lstm.input, case.lstm.hidden);
    let [w_ih, w_hh, b_ih, b_hh] = &case.weights;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let mut y = vec![0.0; case.dy.len()];
    let (mut last, mut start) = ([Vec::new(), Vec::new()], 0);
    for (utterance, &length) in case.lengths.iter().enumerate() {
        let mut state = case.h0[utterance * h..][..h].to_vec();
        let mut cell = case.c0[utterance * h..][..h].to_vec();
        for step in 0..length {
            let row = start + if case.lstm.reverse { length - 1 - step } else { step };
            let x = &case.x[row * i..][..i];
            let sum = |gate: usize, j: usize, state: &[f64]| {
                let g = gate * h + j;
                dot(&w_ih[g * i..][..i], x) + b_ih[g] + dot(&w_hh[g * h..][..h], state) + b_hh[g]
            };
            let before = state.clone();
            for j in 0..h {
                cell[j] = sigmoid(sum(1, j, &before)) * cell[j]
                    + sigmoid(sum(0, j, &before)) * sum(2, j, &before).tanh();
                state[j] = sigmoid(sum(3, j, &before)) * cell[j].tanh();
            }
            y[row * h..][..h].copy_from_slice(&state);
        }
        last[0].extend(state);
        last[1].extend(cell);
        start += length;
    }
    (y, last)
}

#[test]
fn forward_equals_the_equations_in_f64() {
    let lengths = [3, 9, 1, 9, 5];
    for lstm in both_ways(7, 33) {
        let case = Case::<f64>::new(lstm, &lengths, 11);
        let (exact, exact_last) = plain(&case);
        let far =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        let (y, _, last) = case.forward(Cpu::detect());
        assert!(far(&y, &exact) < 1e-13, "{lstm:?}");
        assert!((0..2).all(|s| far(&last[s], &exact_last[s]) < 1e-13), "{lstm:?}");
        for cpu in every_cpu() {
            let (y, _, last) = Case::<f32>::new(lstm, &lengths, 11).forward(cpu);
            let wide = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            assert!(far(&wide(&y), &exact) < 2e-6, "{lstm:?}");
            assert!((0..2).all(|s| far(&wide(&last[s]), &exact_last[s]) < 4e-6), "{lstm:?}");
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let cpu = Cpu::detect();
    for lstm in both_ways(3, 4) {
        let case = || Case::<f64>::new(lstm, &[2, 5, 1, 3], 21);
        let found = case().run(cpu);
        let loss = |case: &Case<f64>| {
            let (y, _, _) = case.forward(cpu);
            y.iter().zip(&case.dy).map(|(y, d)| y * d).sum::<f64>()
        };
        type Field = fn(&mut Case<f64>) -> &mut Vec<f64>;
        let fields: [(&str, &Vec<f64>, Field); 7] = [
            ("x", &found.dx, |case| &mut case.x),
            ("h0", &found.d_initial[0], |case| &mut case.h0),
            ("c0", &found.d_initial[1], |case| &mut case.c0),
            ("w_ih", &found.weights[0], |case| &mut case.weights[0]),
            ("w_hh", &found.weights[1], |case| &mut case.weights[1]),
            ("b_ih", &found.weights[2], |case| &mut case.weights[2]),
            ("b_hh", &found.weights[3], |case| &mut case.weights[3]),
        ];
        for (name, gradient, field) in fields {
            let mut moved = case();
            let point = field(&mut moved).clone();
            check_gradient(&format!("{lstm:?} {name}"), &point, gradient, |values| {
                field(&mut moved).copy_from_slice(values);
                loss(&moved)
            });
        }
    }
}

#[test]
fn gradients_in_f32_equal_those_in_f64() {
    for lstm in both_ways(20, 48) {
        let lengths = [30, 4, 17];
        let exact = Case::<f64>::new(lstm, &lengths, 31).run(Cpu::portable());
        for cpu in every_cpu() {
            let found = Case::<f32>::new(lstm, &lengths, 31).run(cpu);
            let close = |what: &str, a: &[f32], b: &[f64]| {
                let size = b.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
                for (x, y) in a.iter().zip(b) {
                    assert!((f64::from(*x) - y).abs() <= 1e-5 * size, "{lstm:?} {what}: {x} {y}");
                }
            };
            close("dx", &found.dx, &exact.dx);
            close("dh0", &found.d_initial[0], &exact.d_initial[0]);
            close("dc0", &found.d_initial[1], &exact.d_initial[1]);
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
    for lstm in both_ways(20, 48) {
        let lengths = [30, 4, 17];
        let exact = Case::<f64>::new(lstm, &lengths, 31).run(Cpu::portable());
        for cpu in every_bf16_cpu() {
            let found = Case::<f32>::new(lstm, &lengths, 31).run(cpu);
            let close = |what: &str, a: &[f32], b: &[f64]| {
                let size = b.iter().fold(0.0, |size: f64, x| size.max(x.abs()));
                let far = |(x, y): (&f32, &f64)| (f64::from(*x) - y).abs() / size;
                let worst = a.iter().zip(b).map(far).fold(0.0, f64::max);
                assert!(worst <= 2e-2, "{lstm:?} {what} on {cpu}: {worst:e}");
                // And it is bf16 that computes.
                assert!(worst >= 1e-5, "{lstm:?} {what} on {cpu}: {worst:e}");
            };
            close("y", &found.y, &exact.y);
            close("dx", &found.dx, &exact.dx);
            close("dh0", &found.d_initial[0], &exact.d_initial[0]);
            close("dc0", &found.d_initial[1], &exact.d_initial[1]);
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
        hidden in 1usize..70, seed in 0u64..1000, reverse in any::<bool>(),
    ) {
        let all = Case::<f32>::new(Lstm { input, hidden, reverse }, &lengths, seed);
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
                    for s in 0..2 {
                        prop_assert_eq!(state(&one.last[s]), bits(&alone[u].last[s]));
                        prop_assert_eq!(state(&one.d_initial[s]), bits(&alone[u].d_initial[s]));
                    }
                    row += length;
                }
            }
        }
    }
}

#[test]
fn chunks_with_the_state_handed_on_equal_the_whole() {
    let lstm = Lstm { input: 5, hidden: 20, reverse: false };
    let whole = Case::<f32>::new(lstm, &[17], 41);
    let cpu = Cpu::detect();
    let (y, _, last) = whole.forward(cpu);
    let (mut state, mut first, mut pieces) = ([whole.h0, whole.c0], 0, Vec::new());
    for length in [1, 2, 7, 4, 3] {
        let [h0, c0] = state;
        let piece = Case {
            lengths: vec![length],
            x: whole.x[first * 5..][..length * 5].to_vec(),
            dy: vec![0.0; length * 20],
            h0,
            c0,
            ..Case::<f32>::new(lstm, &[17], 41)
        };
        let (y, _, last) = piece.forward(cpu);
        pieces.extend(y);
        state = last;
        first += length;
    }
    assert_eq!(bits(&pieces), bits(&y));
    assert_eq!(state, last);
}

#[test]
fn without_an_initial_state_it_is_zero_and_gradients_are_added() {
    let lstm = Lstm { input: 2, hidden: 3, reverse: false };
    let lengths = [4, 2];
    let mut case = Case::<f32>::new(lstm, &lengths, 51);
    case.h0.fill(0.0);
    case.c0.fill(0.0);
    let cpu = Cpu::detect();
    let with = case.run(cpu);
    let (mut y, mut saved) = (vec![0f32; 18], vec![0f32; lstm.saved_len(6)]);
    let weights = case.weights();
    lstm.forward(cpu, &case.x, &lengths, weights, None, &mut y, &mut saved, None).unwrap();
    assert_eq!(y, with.y);
    let mut sums = [24, 36, 12, 12].map(|len| vec![1f32; len]);
    let [w_ih, w_hh, b_ih, b_hh] = &mut sums;
    let gradients = RecurrentGradients { w_ih, w_hh, b_ih, b_hh };
    let mut dx = vec![0f32; 12];
    lstm.backward(
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
    let lstm = Lstm { input: 2, hidden: 3, reverse: false };
    let case = Case::<f32>::new(lstm, &[4, 2], 61);
    let weights = case.weights();
    let cpu = Cpu::detect();
    let try_it = |lengths: &[usize], weights, initial, rows: usize, saved: usize| {
        let (mut y, mut saved) = (vec![5f32; rows * 3], vec![5f32; saved]);
        let result =
            lstm.forward(cpu, &case.x, lengths, weights, initial, &mut y, &mut saved, None);
        assert!(result.is_ok() || y.iter().chain(&saved).all(|&x| x == 5.0), "wrote and refused");
        result
    };
    assert_eq!(try_it(&[4, 2], weights, None, 6, 90), Ok(()));
    let error = try_it(&[4, 3], weights, None, 7, 105).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "x", actual: 12, expected: 14, .. }));
    let error = try_it(&[6, 0], weights, None, 6, 90).unwrap_err();
    assert!(matches!(error, KernelError::EmptyUtterance { index: 1, .. }));
    let error = try_it(&[], weights, None, 0, 0).unwrap_err();
    assert!(matches!(error, KernelError::TooSmall { actual: 0, minimum: 1, .. }));
    let error = try_it(&[4, 2], weights, None, 5, 90).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "y", actual: 15, expected: 18, .. }));
    let error = try_it(&[4, 2], weights, None, 6, 89).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "saved", actual: 89, expected: 90, .. }));
    let short = RecurrentWeights { w_hh: &case.weights[1][1..], ..weights };
    let error = try_it(&[4, 2], short, None, 6, 90).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "w_hh", actual: 35, expected: 36, .. }));
    let initial = Some(LstmState { h: &case.h0[..], c: &case.c0[..5] });
    let error = try_it(&[4, 2], weights, initial, 6, 90).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "c0", actual: 5, expected: 6, .. }));
    assert!(try_it(&[usize::MAX, 2], weights, None, 6, 90).is_err());
    assert!(try_it(&[usize::MAX], weights, None, 6, 90).is_err());
}
