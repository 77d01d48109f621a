//! Another speed: tempo and pitch together, as a tape that runs faster or slower.
//!
//! x(t) played `a` times as fast is x(a t), which is a change of the sample rate by 1/a; so the
//! resampler does it, and what would lie above half the rate is removed on the way. A label at time
//! t moves to t / a.
//!
//! Book: book/src/training.md

use crate::resample::resample_by_ratio;

/// Factors are rounded to this many parts, so that 0.9 is 9/10 and needs ten phases.
const FACTOR_PARTS: f64 = 1e6;

/// Plays samples `factor` times as fast (tempo and pitch): the length becomes `length / factor`,
/// rounded. Factors that are not above zero leave the samples as they are.
///
/// Speed perturbation: Ko, Povey, Peddinti and Khudanpur, "Audio augmentation for speech
/// recognition", Interspeech 2015; their factors are 0.9, 1.0 and 1.1.
pub fn change_speed(samples: &[f32], factor: f64) -> Vec<f32> {
    let from = (factor * FACTOR_PARTS).round();
    // Not a number fails the comparison too.
    if !(1.0..1e12).contains(&from) {
        return samples.to_vec();
    }
    resample_by_ratio(samples, from as u64, FACTOR_PARTS as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::test_sounds::tone;

    #[test]
    fn speed_changes_length_and_pitch() {
        for factor in [0.9, 1.1, 0.8, 1.037] {
            let fast = change_speed(&tone(0.2, 16_000), factor);
            let expected = tone(0.2 * factor, fast.len());
            assert_eq!(fast.len(), (16_000.0 / factor).round() as usize);
            for i in 200..fast.len() - 200 {
                assert!((fast[i] - expected[i]).abs() < 1e-4, "{factor} {i}");
            }
        }
        let samples = tone(0.2, 10);
        for factor in [1.0, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(change_speed(&samples, factor), samples);
        }
    }
}
