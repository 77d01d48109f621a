//! Normalisation over one utterance: each bin gets mean 0 and variance 1.
//!
//! It removes what is constant over a recording in a logarithmic spectrum: the microphone's
//! response and the level. It needs the whole utterance, so it is not causal and has no place in
//! a stream.

use crate::feature_options::{FeatureError, Normalization};

/// Least variance divided by, in squared units of the features (for log features: a standard
/// deviation of 0.001 nepers); a bin that does not vary becomes zero rather than noise.
const VARIANCE_FLOOR: f64 = 1e-6;

impl Normalization {
    /// Normalises the features of an utterance, `[frames, dim]`, in place.
    pub fn apply(self, features: &mut [f32], dim: usize) {
        match self {
            Normalization::Utterance => normalize_utterance(features, dim),
            Normalization::Level => normalize_utterance(features, 1),
            Normalization::None => {}
        }
    }

    /// Whether a frame's value depends on no later frame, so that it can be given in a stream.
    pub fn is_causal(self) -> bool {
        self == Normalization::None
    }

    /// For programs that stream: refuses what needs the whole recording, and names what does
    /// nearly the same in a stream.
    ///
    /// # Errors
    /// [`FeatureError`] for a normalisation that is not causal.
    pub fn check_streaming(self) -> Result<(), FeatureError> {
        let (value, instead) = match self {
            Normalization::None => return Ok(()),
            Normalization::Utterance => ("utterance", "cmn = { kind = \"online\", ... }"),
            Normalization::Level => ("level", "cmn = { kind = \"global\", ... }"),
        };
        let reason = format!(
            "needs the whole recording and cannot stream; train with normalize = \"none\" and \
             {instead}, or give the recording whole"
        );
        Err(FeatureError::new("normalize", value, reason))
    }
}

/// Normalises each bin of `features`, `[frames, dim]`, in place: sums in `f64`, divisor `frames`.
/// A last row that is not whole, and `dim` = 0, are left alone.
pub fn normalize_utterance(features: &mut [f32], dim: usize) {
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
        *sum = 1.0 / (*sum * share).max(VARIANCE_FLOOR).sqrt();
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
    fn what_needs_the_whole_recording_is_refused_in_a_stream() {
        assert!(Normalization::None.is_causal() && Normalization::None.check_streaming().is_ok());
        for (normalization, counterpart) in
            [(Normalization::Utterance, "online"), (Normalization::Level, "global")]
        {
            assert!(!normalization.is_causal());
            let error = normalization.check_streaming().expect_err("not causal").to_string();
            assert!(error.contains("whole recording") && error.contains(counterpart), "{error}");
        }
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
