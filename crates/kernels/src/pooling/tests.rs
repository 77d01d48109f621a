//! Pooling against its definition: values, slopes, ties, NaN, bytes in any company, refusals.

use super::*;
use crate::testing::{bits, check_gradient, every_cpu, noise_of, pool};

fn windows() -> Vec<(Window, usize)> {
    let window = |kernel, stride, padding, bins| (Window { kernel, stride, padding }, bins);
    vec![
        window([3, 3], [2, 2], [1, 1], 20),
        window([2, 2], [2, 2], [0, 0], 7),
        window([1, 1], [1, 1], [0, 0], 3),
        window([3, 3], [1, 1], [1, 1], 5),
        window([1, 4], [1, 3], [0, 3], 6),
        window([5, 2], [3, 1], [4, 1], 4),
        window([2, 3], [5, 4], [1, 0], 9),
        window([4, 41], [1, 2], [2, 20], 12),
    ]
}

const KINDS: [Kind; 3] =
    [Kind::Max, Kind::Average(Average::WholeWindow), Kind::Average(Average::InsideOnly)];

struct Case<T> {
    window: Window,
    kind: Kind,
    bins: usize,
    channels: usize,
    lengths: Vec<usize>,
    x: Vec<T>,
    dy: Vec<T>,
}

impl<T: Real> Case<T> {
    fn new(window: Window, kind: Kind, bins: usize, channels: usize, lengths: &[usize]) -> Self {
        let rows: usize = lengths.iter().sum();
        let outputs: usize = lengths.iter().map(|&n| window.output_frames(n)).sum();
        Self {
            window,
            kind,
            bins,
            channels,
            lengths: lengths.to_vec(),
            x: noise_of(1, rows * bins * channels),
            dy: noise_of(2, outputs * window.output_bins(bins) * channels),
        }
    }

    fn forward(&self, cpu: Cpu) -> Vec<T> {
        let Self { window, kind, bins, channels, lengths, x, dy } = self;
        let mut y = vec![T::from_f64(f64::NAN); dy.len()];
        let (x, y_mut) = (x.as_slice(), y.as_mut_slice());
        match kind {
            Kind::Max => max_pool_forward(cpu, *window, x, lengths, *bins, *channels, y_mut),
            Kind::Average(average) => {
                average_pool_forward(cpu, *window, *average, x, lengths, *bins, *channels, y_mut)
            }
        }
        .unwrap();
        y
    }

    fn backward(&self, cpu: Cpu) -> Vec<T> {
        let Self { window, kind, bins, channels, lengths, x, dy } = self;
        let mut dx = vec![T::from_f64(f64::NAN); x.len()];
        let y = self.forward(cpu);
        let dx_mut = dx.as_mut_slice();
        match kind {
            Kind::Max => {
                max_pool_backward(cpu, *window, x, lengths, *bins, *channels, &y, dy, dx_mut)
            }
            Kind::Average(average) => {
                average_pool_backward(cpu, *window, *average, lengths, *bins, *channels, dy, dx_mut)
            }
        }
        .unwrap();
        dx
    }

    /// By the definition: for each output the places of x in its window, in order.
    fn places(&self) -> Vec<Vec<usize>> {
        let Window { kernel, stride, padding } = self.window;
        let mut all = Vec::new();
        let mut first = 0;
        for &frames in &self.lengths {
            for t in 0..self.window.output_frames(frames) {
                for f in 0..self.window.output_bins(self.bins) {
                    for c in 0..self.channels {
                        let mut places = Vec::new();
                        for (i, j) in
                            (0..kernel[0]).flat_map(|i| (0..kernel[1]).map(move |j| (i, j)))
                        {
                            let a = (t * stride[0] + i).checked_sub(padding[0]);
                            let b = (f * stride[1] + j).checked_sub(padding[1]);
                            let (Some(a), Some(b)) = (a, b) else { continue };
                            if a < frames && b < self.bins {
                                places.push(((first + a) * self.bins + b) * self.channels + c);
                            }
                        }
                        all.push(places);
                    }
                }
            }
            first += frames;
        }
        all
    }

    fn cut(&self, utterance: usize) -> Self {
        let count = |u: usize| self.window.output_frames(self.lengths[u]);
        let (line, row) =
            (self.bins * self.channels, self.window.output_bins(self.bins) * self.channels);
        let first: usize = self.lengths[..utterance].iter().sum();
        let out_first: usize = (0..utterance).map(count).sum();
        Self {
            lengths: vec![self.lengths[utterance]],
            x: self.x[first * line..][..self.lengths[utterance] * line].to_vec(),
            dy: self.dy[out_first * row..][..count(utterance) * row].to_vec(),
            ..*self
        }
    }
}

#[test]
fn values_are_those_of_the_definition() {
    for ((window, bins), kind) in windows().into_iter().flat_map(|w| KINDS.map(|k| (w, k))) {
        for channels in [1, 9, 43] {
            let case = Case::<f64>::new(window, kind, bins, channels, &[9, 30, 5]);
            for cpu in every_cpu() {
                let y = case.forward(cpu);
                let places = case.places();
                assert_eq!(y.len(), places.len());
                for (y, places) in y.iter().zip(&places) {
                    let values = places.iter().map(|&place| case.x[place]);
                    let whole = window.kernel[0] * window.kernel[1];
                    let expected = match kind {
                        Kind::Max => values.fold(f64::NEG_INFINITY, f64::max),
                        Kind::Average(Average::WholeWindow) => values.sum::<f64>() / whole as f64,
                        Kind::Average(_) => values.sum::<f64>() / places.len() as f64,
                    };
                    assert!((y - expected).abs() < 1e-13, "{window:?}: {y} {expected}");
                }
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for ((window, bins), kind) in windows().into_iter().flat_map(|w| KINDS.map(|k| (w, k))) {
        for cpu in every_cpu() {
            let mut case = Case::<f64>::new(window, kind, bins, 9, &[5, 8]);
            let dx = case.backward(cpu);
            let point = case.x.clone();
            check_gradient(&format!("{window:?}"), &point, &dx, |x| {
                case.x.copy_from_slice(x);
                case.forward(cpu).iter().zip(&case.dy).map(|(y, d)| y * d).sum()
            });
        }
    }
}

#[test]
fn the_first_of_equal_numbers_gets_the_whole_gradient() {
    for (window, bins) in windows() {
        for cpu in every_cpu() {
            // Many blocks of frames, so that the first maximum can lie before a block.
            let mut case = Case::<f32>::new(window, Kind::Max, bins, 40, &[700, 6]);
            case.x.iter_mut().for_each(|x| *x = (*x * 2.0).round());
            let mut expected = vec![0f32; case.x.len()];
            for (places, &dy) in case.places().iter().zip(&case.dy) {
                let top = places.iter().map(|&p| case.x[p]).fold(f32::MIN, f32::max);
                let first = places.iter().find(|&&p| case.x[p] == top).unwrap();
                expected[*first] += dy;
            }
            assert_eq!(case.backward(cpu), expected, "{window:?}");
        }
    }
}

#[test]
fn a_fault_is_seen_and_stays_in_its_windows() {
    for ((window, bins), kind) in windows().into_iter().flat_map(|w| KINDS.map(|k| (w, k))) {
        for cpu in every_cpu() {
            let mut case = Case::<f32>::new(window, kind, bins, 33, &[9, 12, 7]);
            let clean = case.forward(cpu);
            let broken = (9 + 4) * bins * 33 + 32;
            case.x[broken] = f32::NAN;
            let y = case.forward(cpu);
            let dx = case.backward(cpu);
            for (i, places) in case.places().iter().enumerate() {
                let hit = places.contains(&broken);
                assert_eq!(y[i].is_nan(), hit);
                assert!(hit || y[i].to_bits() == clean[i].to_bits());
            }
            assert!(dx.iter().all(|dx| dx.is_finite()));
        }
    }
    let cpu = Cpu::detect();
    let window = Window { kernel: [1, 3], stride: [1, 3], padding: [0, 0] };
    let (x, mut y) = ([1.0, f32::NAN, 2.0], [0.0]);
    max_pool_forward(cpu, window, &x, &[1], 3, 1, &mut y).unwrap();
    assert!(y[0].is_nan());
    let mut dx = [9.0; 3];
    max_pool_backward(cpu, window, &x, &[1], 3, 1, &y, &[5.0], &mut dx).unwrap();
    assert_eq!(dx, [0.0, 5.0, 0.0]);
    let x = [f32::NEG_INFINITY; 3];
    max_pool_forward(cpu, window, &x, &[1], 3, 1, &mut y).unwrap();
    assert_eq!(y, [f32::NEG_INFINITY]);
}

#[test]
fn an_utterance_gives_the_same_bytes_in_any_company() {
    let all: Vec<usize> = (0..16).map(|u| 5 + (u * 37) % 90).collect();
    for ((window, bins), kind) in windows().into_iter().flat_map(|w| KINDS.map(|k| (w, k))) {
        for cpu in every_cpu() {
            for size in [1, 2, 3, 7, 16] {
                let case = Case::<f32>::new(window, kind, bins, 41, &all[..size]);
                let run = |threads| {
                    let run = || (bits(&case.forward(cpu)), bits(&case.backward(cpu)));
                    pool(threads).install(run)
                };
                let one = run(1);
                for threads in 2..=4 {
                    assert_eq!(run(threads), one);
                }
                let (mut y, mut dx) = (Vec::new(), Vec::new());
                for utterance in 0..size {
                    let alone = case.cut(utterance);
                    y.extend(bits(&alone.forward(cpu)));
                    dx.extend(bits(&alone.backward(cpu)));
                }
                assert_eq!((y, dx), one);
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_written() {
    let cpu = Cpu::portable();
    let good = Window { kernel: [3, 3], stride: [2, 2], padding: [1, 1] };
    let x = vec![1f32; 6 * 4 * 2];
    let mut y = vec![5f32; 3 * 2 * 2];
    let mut check = |window, lengths: &[usize], bins, channels| {
        y.fill(5.0);
        let result = max_pool_forward(cpu, window, &x, lengths, bins, channels, &mut y);
        assert!(result.is_ok() || y.iter().all(|&y| y == 5.0));
        result
    };
    assert_eq!(check(good, &[6], 4, 2), Ok(()));
    let error = check(good, &[5], 4, 2).unwrap_err();
    assert!(matches!(error, KernelError::Size { what: "x", actual: 48, expected: 40, .. }));
    assert!(check(good, &[6, 0], 4, 2).is_err());
    assert!(check(good, &[], 4, 2).is_err());
    assert!(check(good, &[6], 4, 0).is_err());
    assert!(check(good, &[usize::MAX], 4, 2).is_err());
    let error = check(Window { padding: [3, 1], ..good }, &[6], 4, 2).unwrap_err();
    assert!(matches!(error, KernelError::TooSmall { actual: 3, minimum: 4, .. }), "{error}");
    assert!(check(Window { stride: [0, 1], ..good }, &[6], 4, 2).is_err());
    assert!(check(Window { kernel: [9, 3], ..good }, &[6], 4, 2).is_err());
    let mut dx = vec![5f32; x.len()];
    let dy = vec![1f32; y.len()];
    let short = &y[1..];
    assert!(max_pool_backward(cpu, good, &x, &[6], 4, 2, short, &dy, &mut dx).is_err());
    assert!(max_pool_backward(cpu, good, &x, &[6], 4, 2, &y, &dy[1..], &mut dx).is_err());
    assert!(max_pool_backward(cpu, good, &x, &[6], 4, 2, &y, &dy, &mut dx[1..]).is_err());
    let average = Average::WholeWindow;
    assert!(average_pool_backward(cpu, good, average, &[6], 4, 2, &dy, &mut dx[1..]).is_err());
    assert!(dx.iter().all(|&dx| dx == 5.0));
}
