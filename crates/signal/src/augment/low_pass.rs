//! Less bandwidth: all above a cutoff is gone, as behind a cheap microphone or a lossy codec.
//!
//! An ideal low-pass is a sinc; Kaiser's window (1974) makes it finite. For a stopband of `A` dB
//! its parameter is 0.1102 (A - 8.7), and N taps give a transition of (A - 7.95) / (14.36 N) of the
//! sampling rate. The filter is symmetric and centred, so there is no delay. A band is the
//! difference of two low-passes.
//!
//! Book: book/src/training.md

use serde::{Deserialize, Serialize};

use super::convolution::Convolver;
use super::{
    AugmentError, always, check_probability, draw_between, happens, is_always, lies_within,
};
use crate::random::Random;
use crate::resample::{bessel_i0, sinc};

/// Attenuation of the stopband in dB.
const ATTENUATION: f64 = 70.0;

/// The transition, as a share of the cutoff that lies at its upper end.
const TRANSITION: f64 = 0.1;

/// The lowest cutoff in Hz: below it is no speech left to recognise.
const LEAST_CUTOFF: f64 = 300.0;

/// A low-pass at a drawn cutoff.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LowPass {
    /// Least and greatest cutoff in Hz; one between is drawn evenly. At and above it the stopband
    /// lies 70 dB down, nine tenths of what is below pass unchanged. From half the sample rate on
    /// nothing is to be done.
    pub cutoff_hz: [f64; 2],
    /// The share of recordings that are changed.
    #[serde(default = "always", skip_serializing_if = "is_always")]
    pub probability: f64,
}

impl LowPass {
    /// Whether every option lies in its range, for recordings of `sample_rate`.
    ///
    /// # Errors
    /// [`AugmentError::Range`] says what does not.
    pub fn check(&self, sample_rate: u32) -> Result<(), AugmentError> {
        let greatest = f64::from(sample_rate) / 2.0;
        if !lies_within(self.cutoff_hz, LEAST_CUTOFF, greatest) {
            let wanted = format!(
                "cutoff-hz = [lowest, highest], from {LEAST_CUTOFF} to {greatest} Hz, half the \
                 sample rate of the features"
            );
            return Err(AugmentError::range("low-pass", wanted));
        }
        check_probability("low-pass", self.probability)
    }
}

/// Applies [`LowPass`]; it keeps the plans of its transforms.
pub struct LowPassFilter {
    options: LowPass,
    sample_rate: f64,
    convolver: Convolver,
}

impl LowPassFilter {
    /// For recordings of `sample_rate`.
    pub fn new(options: &LowPass, sample_rate: u32) -> Self {
        Self {
            options: options.clone(),
            sample_rate: f64::from(sample_rate.max(1)),
            convolver: Convolver::new(),
        }
    }

    /// Filters `samples`, if chance will have it.
    pub fn apply(&mut self, samples: &mut Vec<f32>, random: &mut Random) {
        if !happens(self.options.probability, random) {
            return;
        }
        let cutoff = draw_between(self.options.cutoff_hz, random) / self.sample_rate;
        if cutoff >= 0.5 || samples.is_empty() {
            return;
        }
        let taps = low_pass(cutoff, TRANSITION * cutoff);
        *samples = self.convolver.convolve(samples, &taps, taps.len() / 2);
    }
}

/// Taps of a low-pass whose stopband begins at `cutoff` and whose passband ends `transition` below
/// it, both as shares of the sample rate; an odd number, symmetric around the middle one.
pub(super) fn low_pass(cutoff: f64, transition: f64) -> Vec<f32> {
    let half = ((ATTENUATION - 7.95) / (14.36 * transition.max(1e-6)) / 2.0).ceil();
    let beta = 0.1102 * (ATTENUATION - 8.7);
    // The sinc's edge lies in the middle of the transition.
    let band = 2.0 * (cutoff - transition / 2.0);
    let scale = 1.0 / bessel_i0(beta);
    let taps: Vec<f64> = (0..=2 * half as usize)
        .map(|tap| {
            let distance = tap as f64 - half;
            let inside = 1.0 - (distance / (half + 1.0)).powi(2);
            band * sinc(band * distance) * bessel_i0(beta * inside.sqrt()) * scale
        })
        .collect();
    // A constant passes unchanged.
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::test_sounds::{band_power, decibels, white};

    #[test]
    fn above_the_cutoff_is_nothing_and_below_it_all() {
        for rate in [8000u32, 16_000, 44_100] {
            for cutoff in [500.0, 1000.0, 2345.0, 3800.0] {
                let options = LowPass { cutoff_hz: [cutoff, cutoff], probability: 1.0 };
                let mut filter = LowPassFilter::new(&options, rate);
                let sound = white(5, 40_000);
                let mut samples = sound.clone();
                filter.apply(&mut samples, &mut Random::from_key(&[1]));
                assert_eq!(samples.len(), sound.len());
                let edge = cutoff / (f64::from(rate) / 2.0);
                // One bin for the measurement's own window.
                let above = edge + 4.0 / 2048.0;
                let rest =
                    decibels(band_power(&samples, above, 1.0) / band_power(&sound, above, 1.0));
                assert!(rest < -60.0, "{cutoff} Hz at {rate}: {rest} dB above");
                let kept = decibels(
                    band_power(&samples, 0.0, 0.88 * edge) / band_power(&sound, 0.0, 0.88 * edge),
                );
                assert!(kept.abs() < 0.02, "{cutoff} Hz at {rate}: {kept} dB below");
                // No delay: what is left is what was there.
                let taps = low_pass(cutoff / f64::from(rate), 0.1 * cutoff / f64::from(rate));
                assert!(taps.iter().zip(taps.iter().rev()).all(|(a, b)| a == b));
            }
        }
    }

    #[test]
    fn there_is_no_delay_and_no_panic() {
        let options = LowPass { cutoff_hz: [1000.0, 1000.0], probability: 1.0 };
        let mut filter = LowPassFilter::new(&options, 16_000);
        let mut click = vec![0f32; 3001];
        click[1500] = 1.0;
        filter.apply(&mut click, &mut Random::from_key(&[1]));
        let peak = (0..click.len()).max_by(|a, b| click[*a].total_cmp(&click[*b]));
        assert_eq!(peak, Some(1500));
        for count in [0usize, 1, 2, 700] {
            let mut silence = vec![0f32; count];
            filter.apply(&mut silence, &mut Random::from_key(&[1]));
            assert_eq!(silence, vec![0f32; count]);
        }
        // At half the rate there is nothing to remove.
        let mut filter = LowPassFilter::new(&options, 2000);
        let mut sound = white(1, 50);
        filter.apply(&mut sound, &mut Random::from_key(&[1]));
        assert_eq!(sound, white(1, 50));
    }

    #[test]
    fn ranges_are_checked() {
        let options = LowPass { cutoff_hz: [1000.0, 4000.0], probability: 0.3 };
        assert_eq!(options.check(8000), Ok(()));
        let error = options.check(7999).expect_err("above half the rate").to_string();
        assert!(error.contains("cutoff-hz") && error.contains("3999.5"), "{error}");
        for cutoff_hz in [[100.0, 4000.0], [3000.0, 2000.0], [f64::NAN, 4000.0]] {
            assert!(LowPass { cutoff_hz, probability: 0.3 }.check(16_000).is_err());
        }
    }
}
