//! Convolution with long filters by FFT: overlap and add.
//!
//! The DFT turns a circular convolution into products. A block of `B` samples, filled with zeros
//! to N >= B + L - 1 points, convolved with a filter of L taps wraps nowhere, so the blocks'
//! results, each `L - 1` longer than its block, are added where they overlap (Stockham, "High-speed
//! convolution and correlation", 1966). N is the power of two from 2 L on (at least 256), B is
//! N - L + 1: a function of the filter alone, so a recording's samples see the same sums whatever
//! its length.
//!
//! Book: book/src/training.md

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

/// Convolves; plans are made once for each size, so keep it for many recordings.
pub(crate) struct Convolver {
    planner: RealFftPlanner<f32>,
}

impl Convolver {
    pub(crate) fn new() -> Self {
        Self { planner: RealFftPlanner::new() }
    }

    /// `samples` convolved with `filter`, from `skip` on, as many as there are samples: sample `n`
    /// is the sum over k of `filter[k] samples[n + skip - k]`, with silence around the recording.
    pub(crate) fn convolve(&mut self, samples: &[f32], filter: &[f32], skip: usize) -> Vec<f32> {
        if samples.is_empty() || filter.is_empty() {
            return vec![0.0; samples.len()];
        }
        let points = (2 * filter.len()).next_power_of_two().max(256);
        let block = points - filter.len() + 1;
        let forward = self.planner.plan_fft_forward(points);
        let inverse = self.planner.plan_fft_inverse(points);
        let mut scratch = forward.make_scratch_vec();
        let mut inverse_scratch = inverse.make_scratch_vec();
        // The transforms fail only on vectors of other lengths than the plan's.
        let mut transform = |piece: &[f32], scale: f32, spectrum: &mut Vec<Complex<f32>>| {
            let mut padded = forward.make_input_vec();
            for (target, sample) in padded.iter_mut().zip(piece) {
                *target = sample * scale;
            }
            let done = forward.process_with_scratch(&mut padded, spectrum, &mut scratch);
            debug_assert!(done.is_ok());
        };
        let mut response = forward.make_output_vec();
        // Forward and inverse together multiply by the number of points.
        transform(filter, 1.0 / points as f32, &mut response);

        let mut output = vec![0f32; samples.len() + points + skip];
        let mut spectrum = forward.make_output_vec();
        let mut piece = inverse.make_output_vec();
        for (number, samples) in samples.chunks(block).enumerate() {
            transform(samples, 1.0, &mut spectrum);
            for (value, factor) in spectrum.iter_mut().zip(&response) {
                *value *= factor;
            }
            let done =
                inverse.process_with_scratch(&mut spectrum, &mut piece, &mut inverse_scratch);
            debug_assert!(done.is_ok());
            for (target, value) in output[number * block..].iter_mut().zip(&piece) {
                *target += value;
            }
        }
        output.drain(..skip);
        output.truncate(samples.len());
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::test_sounds::white;

    #[test]
    fn it_is_the_sum_of_the_definition() {
        let mut convolver = Convolver::new();
        for (count, taps, skip) in [
            (1usize, 1usize, 0usize),
            (1, 5, 0),
            (1, 5, 2),
            (5, 1, 0),
            (100, 3, 1),
            (1000, 100, 0),
            (1000, 101, 50),
            (3000, 700, 699),
            (200, 900, 30),
            (257, 129, 64),
            (10, 4, 400),
        ] {
            let (samples, filter) = (white(1, count), white(2, taps));
            let ours = convolver.convolve(&samples, &filter, skip);
            assert_eq!(ours.len(), count);
            for (n, ours) in ours.iter().enumerate() {
                let terms = (0..taps).filter_map(|k| {
                    let sample = samples.get((n + skip).checked_sub(k)?)?;
                    Some(f64::from(filter[k]) * f64::from(*sample))
                });
                let expected: f64 = terms.sum();
                let error = (f64::from(*ours) - expected).abs();
                assert!(error < 1e-6, "{count} {taps} {skip}, sample {n}: {ours} {expected}");
            }
        }
    }

    #[test]
    fn nothing_gives_nothing() {
        let mut convolver = Convolver::new();
        assert!(convolver.convolve(&[], &[1.0], 0).is_empty());
        assert_eq!(convolver.convolve(&[1.0, 2.0], &[], 0), [0.0; 2]);
        assert_eq!(convolver.convolve(&[0.0; 600], &[1.0; 40], 3), [0.0; 600]);
    }
}
