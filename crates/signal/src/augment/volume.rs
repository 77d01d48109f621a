//! Another level: the recordist's hand on the gain.
//!
//! Book: book/src/training.md

use serde::{Deserialize, Serialize};

use super::{AugmentError, always, check_probability, draw_between, happens, is_always};
use crate::random::Random;

/// Gain in decibels, drawn evenly: 20 log10 of the factor of the samples.
///
/// Samples are floats and may pass full scale, so a gain loses nothing by itself. With `clip` what
/// passes [-1, 1] is cut off there, as a converter does that is driven too far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Volume {
    /// Least and greatest gain in dB.
    pub gain_db: [f64; 2],
    /// Cut what passes full scale; else it is kept.
    #[serde(default)]
    pub clip: bool,
    /// The share of recordings that are changed.
    #[serde(default = "always", skip_serializing_if = "is_always")]
    pub probability: f64,
}

impl Volume {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// [`AugmentError::Range`] says what does not.
    pub fn check(&self) -> Result<(), AugmentError> {
        if !super::lies_within(self.gain_db, -100.0, 100.0) {
            let wanted = "gain-db = [lowest, highest], decibels from -100 to 100";
            return Err(AugmentError::range("volume", wanted));
        }
        check_probability("volume", self.probability)
    }

    /// Changes the level of `samples`.
    pub fn apply(&self, samples: &mut [f32], random: &mut Random) {
        if !happens(self.probability, random) {
            return;
        }
        let gain = 10f64.powf(draw_between(self.gain_db, random) / 20.0) as f32;
        for sample in samples {
            *sample *= gain;
            if self.clip {
                *sample = sample.clamp(-1.0, 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::test_sounds::tone;

    #[test]
    fn the_gain_is_in_decibels_and_clipping_is_asked_for() {
        let sound = tone(0.3, 1000);
        for (gain, factor) in [(-20.0, 0.1), (0.0, 1.0), (6.0, 1.995_262_3), (20.0, 10.0)] {
            for clip in [false, true] {
                let volume = Volume { gain_db: [gain, gain], clip, probability: 1.0 };
                let mut samples = sound.clone();
                volume.apply(&mut samples, &mut Random::from_key(&[1]));
                for (ours, sample) in samples.iter().zip(&sound) {
                    let expected = sample * factor;
                    let expected = if clip { expected.clamp(-1.0, 1.0) } else { expected };
                    assert!((ours - expected).abs() < 1e-5, "{gain} dB: {ours} {expected}");
                }
                let loudest = samples.iter().fold(0f32, |most, v| most.max(v.abs()));
                assert_eq!(loudest > 1.0, !clip && gain > 6.02);
            }
        }
    }

    #[test]
    fn gains_fill_their_range_and_come_as_often_as_asked() {
        let volume = Volume { gain_db: [-10.0, 5.0], clip: false, probability: 0.25 };
        let mut gains = Vec::new();
        for seed in 0..4000 {
            let mut samples = [1.0f32];
            volume.apply(&mut samples, &mut Random::from_key(&[seed]));
            if samples[0] != 1.0 {
                gains.push(20.0 * f64::from(samples[0]).log10());
            }
        }
        assert!((900..1100).contains(&gains.len()), "{}", gains.len());
        assert!(gains.iter().all(|gain| (-10.001..=5.001).contains(gain)));
        let mean = gains.iter().sum::<f64>() / gains.len() as f64;
        assert!((mean + 2.5).abs() < 0.5, "{mean}");
    }

    #[test]
    fn ranges_are_checked() {
        let volume = Volume { gain_db: [-3.0, 3.0], clip: true, probability: 0.5 };
        assert_eq!(volume.check(), Ok(()));
        for gain_db in [[3.0, -3.0], [f64::NAN, 3.0], [-3.0, f64::INFINITY], [-200.0, 0.0]] {
            let error = Volume { gain_db, ..volume.clone() }.check().expect_err("out of range");
            assert!(error.to_string().contains("gain-db"), "{error}");
        }
        for probability in [-0.1, 1.1, f64::NAN] {
            let error = Volume { probability, ..volume.clone() }.check().expect_err("impossible");
            assert!(error.to_string().contains("probability"), "{error}");
        }
    }
}
