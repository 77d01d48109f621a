//! Noise at a stated ratio to the speech: computed, of a random colour, or from recordings.
//!
//! The ratio is of mean powers over the whole recording, pauses included: for a ratio of `R` dB,
//! noise of power N is added to speech of power P with the gain sqrt(P / N) 10^(-R/20). Where both
//! kinds are added, P is that of the speech alone for both.
//!
//! Book: book/src/training.md

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    AugmentError, always, check_probability, draw_between, happens, is_always, lies_within,
};
use crate::random::Random;

/// Mean square of the samples; 0 for none.
pub fn power(samples: &[f32]) -> f64 {
    samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>()
        / samples.len().max(1) as f64
}

/// Adds `noise`, which is at least as long, to speech whose power is `speech_power`, at a ratio of
/// `snr_db`. The noise's power is measured over the part that is added; silence adds nothing.
pub fn add_at_ratio(samples: &mut [f32], speech_power: f64, noise: &[f32], snr_db: f64) {
    let noise = &noise[..samples.len().min(noise.len())];
    let noise_power = power(noise);
    // Below the square of the smallest normal f32 the quotient would mean nothing.
    if noise_power < 1e-76 {
        return;
    }
    let gain = (speech_power / noise_power).sqrt() * 10f64.powf(-snr_db / 20.0);
    for (sample, noise) in samples.iter_mut().zip(noise) {
        *sample += (gain * f64::from(*noise)) as f32;
    }
}

fn check_snr(method: &'static str, snr_db: [f64; 2]) -> Result<(), AugmentError> {
    match lies_within(snr_db, -100.0, 200.0) {
        true => Ok(()),
        false => Err(AugmentError::range(
            method,
            "snr-db = [lowest, highest], decibels from -100 to 200",
        )),
    }
}

/// Noise of a random colour at a random level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Noise {
    /// Least and greatest ratio of the recording's power to the noise's, in dB; one between is
    /// drawn evenly.
    pub snr_db: [f64; 2],
    /// The share of recordings that are changed.
    #[serde(default = "always", skip_serializing_if = "is_always")]
    pub probability: f64,
}

impl Noise {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// [`AugmentError::Range`] says what does not.
    pub fn check(&self) -> Result<(), AugmentError> {
        check_snr("noise", self.snr_db)?;
        check_probability("noise", self.probability)
    }

    /// Adds the noise to `samples`, whose power without any noise is `speech_power`. Its spectrum
    /// falls with frequency, by a slope drawn between white and nearly brown: a first-order
    /// recursion n' = c n + w over white w, c from 0 to 0.95.
    pub fn apply(&self, samples: &mut [f32], speech_power: f64, random: &mut Random) {
        if !happens(self.probability, random) {
            return;
        }
        let snr = draw_between(self.snr_db, random);
        let color = 0.95 * random.uniform();
        // The recursion's power is 1 / (1 - c^2) of the white noise's.
        let amplitude = (speech_power * 10f64.powf(-snr / 10.0) * (1.0 - color * color)).sqrt();
        let mut state = 0.0;
        for sample in samples {
            state = color * state + random.normal();
            *sample += (amplitude * state) as f32;
        }
    }
}

/// Noise from recordings: a random place of a random recording at a random level.
///
/// Reading is the loader's; it draws in this order: whether, the ratio, the recording, the place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecordedNoise {
    /// A manifest, or a folder of audio files.
    pub recordings: PathBuf,
    /// Least and greatest ratio of the speech's power to the noise's, in dB; one between is drawn
    /// evenly.
    pub snr_db: [f64; 2],
    /// The share of recordings of speech that are changed.
    #[serde(default = "always", skip_serializing_if = "is_always")]
    pub probability: f64,
}

impl RecordedNoise {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// [`AugmentError::Range`] says what does not.
    pub fn check(&self) -> Result<(), AugmentError> {
        check_snr("recorded-noise", self.snr_db)?;
        check_probability("recorded-noise", self.probability)
    }

    /// The ratio in dB, or `None` where nothing shall be added.
    pub fn draw(&self, random: &mut Random) -> Option<f64> {
        happens(self.probability, random).then(|| draw_between(self.snr_db, random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::test_sounds::{tone, white};

    #[test]
    fn noise_has_the_stated_ratio_to_the_recording() {
        let clean = tone(0.3, 16_000);
        let mut colors = Vec::new();
        for seed in 0..40 {
            for snr in [-5.0, 20.0] {
                let mut noisy = clean.clone();
                let noise = Noise { snr_db: [snr, snr], probability: 1.0 };
                noise.apply(&mut noisy, power(&clean), &mut Random::from_key(&[seed]));
                let added: Vec<f32> = noisy.iter().zip(&clean).map(|(a, b)| a - b).collect();
                let measured = 10.0 * (power(&clean) / power(&added)).log10();
                assert!((measured - snr).abs() < 1.0, "{measured} dB instead of {snr}");
                let neighbours: f64 =
                    added.windows(2).map(|pair| f64::from(pair[0]) * f64::from(pair[1])).sum();
                colors.push(neighbours / power(&added) / added.len() as f64);
            }
        }
        // From white, where neighbours know nothing of each other, to nearly brown.
        assert!(colors.iter().any(|&c| c < 0.1) && colors.iter().any(|&c| c > 0.85));
        let drawn = |seed| {
            let mut samples = clean.clone();
            let noise = Noise { snr_db: [0.0, 30.0], probability: 1.0 };
            noise.apply(&mut samples, power(&clean), &mut Random::from_key(&[seed]));
            samples
        };
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(power(&drawn(3)), power(&drawn(4)));
        let mut silence = vec![0.0; 100];
        let noise = Noise { snr_db: [0.0, 0.0], probability: 1.0 };
        noise.apply(&mut silence, power(&[0.0; 100]), &mut Random::from_key(&[1]));
        assert_eq!(silence, [0.0; 100]);
        noise.apply(&mut [], power(&[]), &mut Random::from_key(&[1]));
    }

    #[test]
    fn recorded_noise_has_the_stated_ratio_over_the_part_that_is_added() {
        let clean = tone(0.3, 8000);
        // Loud where it is not added: that part must not count.
        let mut noise: Vec<f32> = white(1, 8000).iter().map(|v| v * 0.01).collect();
        noise.extend([1.0; 500]);
        for snr in [-10.0, 0.0, 25.0] {
            let mut noisy = clean.clone();
            add_at_ratio(&mut noisy, power(&clean), &noise, snr);
            let added: Vec<f32> = noisy.iter().zip(&clean).map(|(a, b)| a - b).collect();
            let measured = 10.0 * (power(&clean) / power(&added)).log10();
            assert!((measured - snr).abs() < 0.01, "{measured} dB instead of {snr}");
        }
        let mut samples = clean.clone();
        add_at_ratio(&mut samples, power(&clean), &[0.0; 8000], 0.0);
        add_at_ratio(&mut samples, power(&clean), &[1e-40; 8000], 0.0);
        add_at_ratio(&mut samples, power(&clean), &[], 0.0);
        assert_eq!(samples, clean);
        add_at_ratio(&mut [], 0.0, &noise, 0.0);
        let mut silence = [0f32; 4];
        add_at_ratio(&mut silence, 0.0, &noise, 0.0);
        assert_eq!(silence, [0.0; 4]);
    }

    #[test]
    fn ranges_are_checked_and_chances_kept() {
        let noise =
            RecordedNoise { recordings: "noise".into(), snr_db: [5.0, 20.0], probability: 0.5 };
        assert_eq!(noise.check(), Ok(()));
        let drawn: Vec<f64> =
            (0..1000).filter_map(|seed| noise.draw(&mut Random::from_key(&[seed]))).collect();
        assert!((430..570).contains(&drawn.len()), "{}", drawn.len());
        assert!(drawn.iter().all(|snr| (5.0..=20.0).contains(snr)));
        for snr_db in [[20.0, 5.0], [f64::NAN, 5.0], [5.0, 500.0]] {
            assert!(RecordedNoise { snr_db, ..noise.clone() }.check().is_err());
            let error = Noise { snr_db, probability: 1.0 }.check().expect_err("out of range");
            assert!(error.to_string().contains("snr-db"), "{error}");
        }
        assert!(RecordedNoise { probability: 2.0, ..noise }.check().is_err());
    }
}
