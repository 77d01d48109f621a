//! What training adds to recordings: another speed, noise, another microphone, and masks over the
//! features.

use serde::{Deserialize, Serialize};

use crate::random::Random;
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

/// Noise of a random colour at a random level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Noise {
    /// Least and greatest ratio of the recording's power to the noise's, in dB; one between is
    /// drawn evenly.
    pub snr_db: [f64; 2],
}

impl Noise {
    /// Adds the noise to `samples`. Its spectrum falls with frequency, by a slope drawn between
    /// white and nearly brown: a first-order recursion n' = c n + w over white w, c from 0 to 0.95.
    pub fn apply(&self, samples: &mut [f32], random: &mut Random) {
        let [low, high] = self.snr_db;
        let snr = low + (high - low) * random.uniform();
        let color = 0.95 * random.uniform();
        let power = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>()
            / samples.len().max(1) as f64;
        // The recursion's power is 1 / (1 - c^2) of the white noise's.
        let amplitude = (power * 10f64.powf(-snr / 10.0) * (1.0 - color * color)).sqrt();
        let mut state = 0.0;
        for sample in samples {
            state = color * state + random.normal();
            *sample += (amplitude * state) as f32;
        }
    }
}

/// A smooth random filter over logarithmic features: another microphone, another room.
///
/// A filter multiplies the spectrum, so it adds to its logarithm: here three cosines over the bins,
/// of half a period, one and one and a half, each of a random height.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RandomFilter {
    /// Standard deviation of each cosine's height, in dB.
    pub ripple_db: f64,
}

impl RandomFilter {
    /// Adds the filter to `features`, `[frames, dim]`, natural logarithms of power.
    pub fn apply(&self, features: &mut [f32], dim: usize, random: &mut Random) {
        let nepers = self.ripple_db * std::f64::consts::LN_10 / 10.0;
        let heights = [random.normal(), random.normal(), random.normal()];
        let filter: Vec<f32> = (0..dim)
            .map(|bin| {
                let place = std::f64::consts::PI * (bin as f64 + 0.5) / dim as f64;
                let cosines = heights.iter().zip([1.0, 2.0, 3.0]);
                (nepers * cosines.map(|(height, k)| height * (k * place).cos()).sum::<f64>()) as f32
            })
            .collect();
        for row in features.chunks_exact_mut(dim.max(1)) {
            for (value, gain) in row.iter_mut().zip(&filter) {
                *value += gain;
            }
        }
    }
}

/// Masks over frequency and time (Park et al., "SpecAugment", Interspeech 2019), without time
/// warping. What is masked becomes 0, the mean of features normalised per utterance.
///
/// The masked share is bounded, so that no short utterance loses everything: all time masks
/// together cover at most `time_share` of the frames, all frequency masks at most half of the
/// bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SpecAugment {
    /// Number of frequency masks.
    pub freq_masks: usize,
    /// Greatest width of a frequency mask in bins; the width is drawn evenly from 0 to this.
    pub freq_width: usize,
    /// Number of time masks.
    pub time_masks: usize,
    /// Greatest width of a time mask in frames; the width is drawn evenly from 0 to this.
    pub time_width: usize,
    /// Greatest share of the frames that all time masks cover together.
    pub time_share: f64,
}

impl Default for SpecAugment {
    /// Two frequency masks of up to 27 bins (the paper's, for 80 bins), two time masks of up to
    /// 40 frames, at most a fifth of the frames.
    fn default() -> Self {
        SpecAugment {
            freq_masks: 2,
            freq_width: 27,
            time_masks: 2,
            time_width: 40,
            time_share: 0.2,
        }
    }
}

impl SpecAugment {
    /// Masks `features`, `[frames, dim]`, in place.
    pub fn apply(&self, features: &mut [f32], dim: usize, random: &mut Random) {
        if dim == 0 || features.len() < dim {
            return;
        }
        let frames = features.len() / dim;
        let mut budget = dim / 2;
        for _ in 0..self.freq_masks {
            let (start, end) = draw(self.freq_width.min(budget), dim, random);
            budget -= end - start;
            for row in features.chunks_exact_mut(dim) {
                row[start..end].fill(0.0);
            }
        }
        // `as` maps what is not a number to 0.
        let mut budget = (self.time_share.clamp(0.0, 1.0) * frames as f64) as usize;
        for _ in 0..self.time_masks {
            let (start, end) = draw(self.time_width.min(budget), frames, random);
            budget -= end - start;
            features[start * dim..end * dim].fill(0.0);
        }
    }
}

/// A range within `0..length`, its width from 0 to `width`, which is at most `length`.
fn draw(width: usize, length: usize, random: &mut Random) -> (usize, usize) {
    let width = random.below(width as u64 + 1) as usize;
    let start = random.below((length - width) as u64 + 1) as usize;
    (start, start + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(step: f64, n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f64 * step).sin() as f32 * 0.5).collect()
    }

    #[test]
    fn masked_shares_are_bounded_and_reached() {
        let dim = 20;
        let augment =
            SpecAugment { freq_width: 8, time_width: 50, time_masks: 3, ..Default::default() };
        for frames in [1usize, 2, 4, 5, 37, 400] {
            let (mut most_frames, mut most_bins) = (0, 0);
            for seed in 0..200 {
                let mut features = vec![1.0; frames * dim];
                augment.apply(&mut features, dim, &mut Random::from_key(&[seed, frames as u64]));
                let rows = features.chunks(dim);
                let masked_frames = rows.filter(|row| row.iter().all(|v| *v == 0.0)).count();
                let masked_bins = (0..dim)
                    .filter(|bin| features.iter().skip(*bin).step_by(dim).all(|v| *v == 0.0))
                    .count();
                assert!(masked_frames <= frames / 5 && masked_bins <= dim / 2);
                most_frames = most_frames.max(masked_frames);
                most_bins = most_bins.max(masked_bins);
            }
            assert_eq!(most_frames, frames / 5, "{frames} frames");
            assert_eq!(most_bins, dim / 2);
        }
    }

    #[test]
    fn noise_has_the_stated_ratio_to_the_recording() {
        let clean = tone(0.3, 16_000);
        let power = |samples: &[f32]| samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let mut colors = Vec::new();
        for seed in 0..40 {
            for snr in [-5.0, 20.0] {
                let mut noisy = clean.clone();
                let noise = Noise { snr_db: [snr, snr] };
                noise.apply(&mut noisy, &mut Random::from_key(&[seed]));
                let added: Vec<f32> = noisy.iter().zip(&clean).map(|(a, b)| a - b).collect();
                let measured = 10.0 * (power(&clean) / power(&added)).log10();
                assert!((measured - snr).abs() < 1.0, "{measured} dB instead of {snr}");
                let neighbours: f64 =
                    added.windows(2).map(|pair| f64::from(pair[0]) * f64::from(pair[1])).sum();
                colors.push(neighbours / power(&added));
            }
        }
        // From white, where neighbours know nothing of each other, to nearly brown.
        assert!(colors.iter().any(|&c| c < 0.1) && colors.iter().any(|&c| c > 0.85));
        let drawn = |seed| {
            let mut samples = clean.clone();
            Noise { snr_db: [0.0, 30.0] }.apply(&mut samples, &mut Random::from_key(&[seed]));
            samples
        };
        assert_eq!(drawn(3), drawn(3));
        assert_ne!(power(&drawn(3)), power(&drawn(4)));
        let mut silence = vec![0.0; 100];
        Noise { snr_db: [0.0, 0.0] }.apply(&mut silence, &mut Random::from_key(&[1]));
        assert_eq!(silence, [0.0; 100]);
        Noise { snr_db: [0.0, 0.0] }.apply(&mut [], &mut Random::from_key(&[1]));
    }

    #[test]
    fn a_random_filter_is_smooth_and_the_same_in_every_frame() {
        let (dim, frames, ripple_db) = (40, 5, 6.0);
        let mut squares = 0.0;
        for seed in 0..200 {
            let mut features: Vec<f32> = (0..dim * frames).map(|i| i as f32).collect();
            let before = features.clone();
            RandomFilter { ripple_db }.apply(&mut features, dim, &mut Random::from_key(&[seed]));
            let filter: Vec<f32> = features.iter().zip(&before).map(|(a, b)| a - b).collect();
            for row in filter.chunks(dim) {
                assert!(row.iter().zip(&filter).all(|(a, b)| (a - b).abs() < 1e-4));
            }
            let decibels: Vec<f64> = filter[..dim]
                .iter()
                .map(|v| f64::from(*v) * 10.0 / std::f64::consts::LN_10)
                .collect();
            assert!(decibels.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 10.0));
            // The mean level stays: a filter is not a change of volume.
            assert!(decibels.iter().sum::<f64>().abs() < 1e-3);
            squares += decibels.iter().map(|v| v * v).sum::<f64>() / dim as f64;
        }
        // Each of three cosines has half its height's variance.
        let deviation = (squares / 200.0 / 1.5).sqrt();
        assert!((deviation - ripple_db).abs() < 0.6, "{deviation}");
    }

    #[test]
    fn masks_are_a_function_of_the_key() {
        let masked = |seed| {
            let mut features = vec![1.0; 100 * 80];
            SpecAugment::default().apply(&mut features, 80, &mut Random::from_key(&[seed]));
            features
        };
        assert_eq!(masked(1), masked(1));
        assert_ne!(masked(1), masked(2));
    }

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
