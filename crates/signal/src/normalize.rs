//! Normalisation over one utterance: each bin gets mean 0 and variance 1, or as Whisper and NeMo do.
//!
//! It removes what is constant over a recording in a logarithmic spectrum: the microphone's
//! response and the level. It needs the whole utterance, so it is not causal and has no place in
//! a stream.
//!
//! Book: book/src/cepstrum.md

use crate::feature_options::Normalization;

/// Least variance divided by, in squared units of the features (for log features: a standard
/// deviation of 0.001 nepers); a bin that does not vary becomes zero rather than noise.
const VARIANCE_FLOOR: f64 = 1e-6;

impl Normalization {
    /// Normalises the features of an utterance, `[frames, dim]`, in place.
    pub fn apply(self, features: &mut [f32], dim: usize) {
        match self {
            Normalization::Utterance => normalize_utterance(features, dim),
            Normalization::Level => normalize_utterance(features, 1),
            Normalization::Whisper => limit_range(features),
            Normalization::Nemo => standardize(features, dim, |squares, frames| {
                // Of a single frame nothing is left but zeros, whatever they are divided by.
                let deviation = (squares / (frames - 1.0).max(1.0)).sqrt();
                1.0 / (deviation + NEMO_GUARD)
            }),
            Normalization::None => {}
        }
    }
}

/// NeMo's addition to a standard deviation, `CONSTANT` in its `asr/parts/preprocessing/features.py`.
const NEMO_GUARD: f64 = 1e-5;

/// Whisper's normalisation of decimal logarithms (`whisper/audio.py`): what is 80 dB fainter than
/// the loudest is as good as silent; the factor and the summand bring speech near to [-1, 1].
fn limit_range(features: &mut [f32]) {
    let greatest = features.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for value in features {
        *value = (value.max(greatest - 8.0) + 4.0) / 4.0;
    }
}

/// Normalises each bin of `features`, `[frames, dim]`, in place: sums in `f64`, divisor `frames`.
/// A last row that is not whole, and `dim` = 0, are left alone.
pub fn normalize_utterance(features: &mut [f32], dim: usize) {
    standardize(features, dim, |squares, frames| {
        1.0 / (squares * (1.0 / frames)).max(VARIANCE_FLOOR).sqrt()
    });
}

/// Subtracts each bin's mean and multiplies by `to_scale(sum of squared differences, frames)`.
fn standardize(features: &mut [f32], dim: usize, to_scale: impl Fn(f64, f64) -> f64) {
    if dim == 0 || features.len() < dim {
        return;
    }
    let frames = features.len() / dim;
    let share = 1.0 / frames as f64;
    let mut mean = vec![0f64; dim];
    for row in features.chunks_exact(dim) {
        for (sum, value) in mean.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    for sum in &mut mean {
        *sum *= share;
    }
    // Two passes: the variance as a difference of large sums would lose its digits.
    let mut scale = vec![0f64; dim];
    for row in features.chunks_exact(dim) {
        for ((sum, mean), value) in scale.iter_mut().zip(&mean).zip(row) {
            let difference = f64::from(*value) - mean;
            *sum += difference * difference;
        }
    }
    for sum in &mut scale {
        *sum = to_scale(*sum, frames as f64);
    }
    for row in features.chunks_exact_mut(dim) {
        for ((value, mean), scale) in row.iter_mut().zip(&mean).zip(&scale) {
            *value = ((f64::from(*value) - mean) * scale) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_is_zero_and_variance_one() {
        let dim = 3;
        let mut features: Vec<f32> = (0..300)
            .map(|i| (i % dim) as f32 * 1000.0 + ((i / dim) as f32 * 0.7).sin() * 3.0)
            .collect();
        normalize_utterance(&mut features, dim);
        for bin in 0..dim {
            let column: Vec<f64> =
                features.iter().skip(bin).step_by(dim).map(|v| f64::from(*v)).collect();
            let mean = column.iter().sum::<f64>() / 100.0;
            let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 100.0;
            assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
        }
    }

    #[test]
    fn the_level_goes_and_the_spectrum_stays() {
        let (dim, spectrum) = (3, [4.0, 1.0, 7.0]);
        let recording = |gain: f32| -> Vec<f32> {
            let frame = |i: i32| spectrum.map(|bin: f32| bin + (i as f32 * 0.7).sin() + gain);
            (0..50).flat_map(frame).collect()
        };
        let (mut quiet, mut loud) = (recording(-3.0), recording(5.0));
        Normalization::Level.apply(&mut quiet, dim);
        Normalization::Level.apply(&mut loud, dim);
        assert!(quiet.iter().zip(&loud).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(quiet.iter().sum::<f32>().abs() < 1e-3);
        assert!(quiet.chunks(dim).all(|row| row[1] < row[0] && row[0] < row[2]));
        let before = recording(1.0);
        let mut after = before.clone();
        Normalization::None.apply(&mut after, dim);
        assert_eq!(after, before);
        Normalization::Utterance.apply(&mut after, dim);
        assert!(after.chunks(dim).all(|row| (row[0] - row[2]).abs() < 1e-5));
    }

    #[test]
    fn whispers_and_nemos_have_their_values() {
        let mut features = vec![-10.0, 2.0, -3.0, 0.0];
        Normalization::Whisper.apply(&mut features, 2);
        assert_eq!(features, [-0.5, 1.5, 0.25, 1.0]);
        // Bin 0: mean 2, squares 8, deviation of two frames 8^0.5; bin 1 does not vary.
        let mut features = vec![0.0, 5.0, 4.0, 5.0];
        Normalization::Nemo.apply(&mut features, 2);
        let expected = (2.0 / (8f64.sqrt() + 1e-5)) as f32;
        assert_eq!(features, [-expected, 0.0, expected, 0.0]);
        let mut frame = vec![3.0, 4.0];
        Normalization::Nemo.apply(&mut frame, 2);
        assert_eq!(frame, [0.0, 0.0]);
        Normalization::Whisper.apply(&mut [], 2);
    }

    #[test]
    fn constant_bins_and_single_frames_become_zero() {
        let mut features = vec![7.3, -2.0, 7.3, -2.0, 7.3, -2.0];
        normalize_utterance(&mut features, 2);
        assert!(features.iter().all(|value| value.abs() < 1e-9), "{features:?}");
        let mut frame = vec![3.0, 4.0];
        normalize_utterance(&mut frame, 2);
        assert_eq!(frame, [0.0, 0.0]);
        normalize_utterance(&mut [], 4);
        normalize_utterance(&mut [1.0], 0);
    }
}
