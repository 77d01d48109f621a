//! Normalised cross-correlation of a window with itself, lag by lag: how alike a signal is to
//! what it was one lag later.
//!
//! With `x` the samples of a frame less the mean of its first `N`, the frame being a window of
//! `N` samples and the longest lag behind it,
//!
//! ```text
//! p(L) = sum over i < N of x[i] x[i+L],   e(L) = sum over i < N of x[i+L]^2,
//! nccf(L) = p(L) / sqrt(e(0) e(L) + b)
//! ```
//!
//! lies in [-1, 1] by Cauchy and Schwarz, and is 1 without ballast `b` where `L` is a period
//! (Talkin, "A robust algorithm for pitch tracking (RAPT)", 1995). The ballast makes quiet frames
//! say little. The path is found with it, the voicing is told without.
//!
//! Each sum goes through its samples in order, in `f64`, eight lags at a time side by side; the
//! result does not depend on how many lags there are.

/// Lags summed side by side.
const LANES: usize = 8;

/// Correlates frames; keeps its scratch.
#[derive(Clone, Debug)]
pub(super) struct Correlator {
    window: usize,
    first_lag: usize,
    lags: usize,
    samples: Vec<f64>,  // [window + last lag, padded]: less the mean
    products: Vec<f64>, // [lags, padded]: p
    norms: Vec<f64>,    // [lags, padded]: e(0) e(L)
}

impl Correlator {
    pub(super) fn new(window: usize, first_lag: usize, last_lag: usize) -> Self {
        let lags = last_lag + 1 - first_lag;
        let padded = lags.next_multiple_of(LANES);
        Correlator {
            window,
            first_lag,
            lags,
            samples: vec![0.0; first_lag + window + padded],
            products: vec![0.0; padded],
            norms: vec![0.0; padded],
        }
    }

    /// Samples of a frame: the window and the longest lag behind it.
    pub(super) fn frame_length(&self) -> usize {
        self.window + self.first_lag + self.lags - 1
    }

    /// Sums over a frame of `frame_length` samples; returns the mean of `e(0) e(L)` over the lags.
    pub(super) fn correlate(&mut self, frame: &[f32]) -> f64 {
        let window = self.window;
        let mean = frame[..window].iter().map(|sample| f64::from(*sample)).sum::<f64>();
        let mean = mean / window as f64;
        for (centred, sample) in self.samples.iter_mut().zip(frame) {
            *centred = f64::from(*sample) - mean;
        }
        let head = &self.samples[..window];
        let energy = head.iter().map(|sample| sample * sample).sum::<f64>();
        let blocks = self.products.chunks_exact_mut(LANES).zip(self.norms.chunks_exact_mut(LANES));
        for (block, (products, norms)) in blocks.enumerate() {
            // [window + LANES]: the samples that these lags see.
            let shifted = &self.samples[self.first_lag + block * LANES..][..window + LANES];
            let (mut product, mut square) = ([0f64; LANES], [0f64; LANES]);
            for (sample, others) in head.iter().zip(shifted.windows(LANES)) {
                for lane in 0..LANES {
                    product[lane] += sample * others[lane];
                    square[lane] += others[lane] * others[lane];
                }
            }
            products.copy_from_slice(&product);
            for (norm, square) in norms.iter_mut().zip(square) {
                *norm = energy * square;
            }
        }
        self.norms[..self.lags].iter().sum::<f64>() / self.lags as f64
    }

    /// The correlation of the last frame with a ballast, to the first places of `out`.
    pub(super) fn nccf(&self, ballast: f64, out: &mut [f32]) {
        let sums = self.products.iter().zip(&self.norms).take(self.lags);
        for (out, (product, norm)) in out.iter_mut().zip(sums) {
            let squared = norm + ballast;
            *out = if squared > 0.0 { (product / squared.sqrt()) as f32 } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nccf(frame: &[f32], window: usize, first: usize, last: usize, ballast: f64) -> Vec<f32> {
        let mut correlator = Correlator::new(window, first, last);
        assert_eq!(frame.len(), correlator.frame_length());
        correlator.correlate(frame);
        let mut out = vec![0.0; last + 1 - first];
        correlator.nccf(ballast, &mut out);
        out
    }

    #[test]
    fn is_the_definition() {
        let frame: Vec<f32> = (0..182).map(|i| ((i * i * 31 % 997) as f32 - 400.0) * 8.0).collect();
        let mean = frame[..100].iter().map(|x| f64::from(*x)).sum::<f64>() / 100.0;
        let x: Vec<f64> = frame.iter().map(|x| f64::from(*x) - mean).collect();
        for ballast in [0.0, 1e17] {
            for (lag, ours) in (8..=82).zip(nccf(&frame, 100, 8, 82, ballast)) {
                let sum = |a: usize, b: usize| (0..100).map(|i| x[i + a] * x[i + b]).sum::<f64>();
                let expected = sum(0, lag) / (sum(0, 0) * sum(lag, lag) + ballast).sqrt();
                assert!((f64::from(ours) - expected).abs() < 1e-6, "{lag}: {ours} {expected}");
            }
        }
    }

    /// A signal of period 40: 1 at lag 40 and 80 whatever its shape, and less elsewhere.
    #[test]
    fn is_one_at_the_period() {
        let shape: Vec<f32> = (0..40).map(|i| ((i * i * 7 % 41) as f32 - 20.0) * 300.0).collect();
        let frame: Vec<f32> = (0..182).map(|i| shape[i % 40]).collect();
        for (lag, value) in (8..=82).zip(nccf(&frame, 100, 8, 82, 0.0)) {
            if lag % 40 == 0 {
                assert!((value - 1.0).abs() < 1e-6, "{lag}: {value}");
            } else {
                assert!(value < 0.95, "{lag}: {value}");
            }
        }
    }

    /// A lag's value does not depend on its neighbours, and silence gives 0.
    #[test]
    fn lags_stand_alone() {
        let frame: Vec<f32> = (0..182).map(|i| ((i * i * 31 % 997) as f32 - 400.0) * 8.0).collect();
        let all = nccf(&frame, 100, 8, 82, 5.0);
        for lag in 8..=82 {
            assert_eq!(nccf(&frame[..100 + lag], 100, lag, lag, 5.0), [all[lag - 8]]);
        }
        assert!(nccf(&[0.0; 182], 100, 8, 82, 0.0).iter().all(|value| *value == 0.0));
        assert!(nccf(&[7.5; 182], 100, 8, 82, 0.0).iter().all(|value| *value == 0.0));
    }
}
