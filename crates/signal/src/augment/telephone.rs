//! The telephone: 8 kHz, the band of a line, eight bits a sample.
//!
//! Down to 8 kHz, a band-pass (ITU-T G.712 passes 300 to 3400 Hz), each sample through the
//! companding of ITU-T G.711 and back, up to the model's rate again. Companding keeps the ratio of
//! sound to rounding at some 38 dB over a wide range of levels: steps grow with the magnitude. Full
//! scale of the samples is full scale of the code; what passes it saturates at the largest code.
//! Filters are centred, so nothing moves.
//!
//! Book: book/src/training.md

use serde::{Deserialize, Serialize};

use super::convolution::Convolver;
use super::low_pass::low_pass;
use super::{AugmentError, always, check_probability, happens, is_always, lies_within};
use crate::encoding::{compress_alaw, compress_ulaw, expand_alaw, expand_ulaw};
use crate::random::Random;
use crate::resample::Resampler;

/// Samples per second of a line.
const LINE_RATE: u32 = 8000;

/// How steep the band's edges are, in Hz.
const TRANSITION: f64 = 200.0;

/// Which of G.711's two laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompandingLaw {
    /// North America and Japan.
    MuLaw,
    /// Elsewhere.
    ALaw,
}

impl CompandingLaw {
    /// What comes out at the other end for a sample of [-1, 1]; what passes that saturates.
    pub fn round_trip(self, sample: f32) -> f32 {
        // `as` saturates, and maps what is not a number to 0.
        let linear = (sample * 32768.0).round() as i16;
        let expanded = match self {
            CompandingLaw::MuLaw => expand_ulaw(compress_ulaw(linear)),
            CompandingLaw::ALaw => expand_alaw(compress_alaw(linear)),
        };
        f32::from(expanded) / 32768.0
    }
}

/// Recordings as the telephone would have brought them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Telephone {
    /// The laws, one of which is drawn; none: the band alone.
    pub laws: Vec<CompandingLaw>,
    /// The band in Hz: its edges lie 70 dB down, 200 Hz further inside all passes. A lower edge of
    /// 0 lets all below pass.
    pub band_hz: [f64; 2],
    /// The share of recordings that are changed.
    #[serde(skip_serializing_if = "is_always")]
    pub probability: f64,
}

impl Default for Telephone {
    /// Both laws, and the band that is flat from 300 to 3400 Hz; always.
    fn default() -> Self {
        Telephone {
            laws: vec![CompandingLaw::MuLaw, CompandingLaw::ALaw],
            band_hz: [100.0, 3600.0],
            probability: always(),
        }
    }
}

impl Telephone {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// [`AugmentError::Range`] says what does not.
    pub fn check(&self) -> Result<(), AugmentError> {
        let [low, high] = self.band_hz;
        if !lies_within(self.band_hz, 0.0, f64::from(LINE_RATE) / 2.0) || high - low < 1000.0 {
            let wanted = "band-hz = [lower, upper], from 0 to 4000 Hz and at least 1000 Hz apart";
            return Err(AugmentError::range("telephone", wanted));
        }
        check_probability("telephone", self.probability)
    }
}

/// Applies [`Telephone`]; it keeps filters and the plans of its transforms.
pub struct TelephoneLine {
    options: Telephone,
    rates: Option<(Resampler, Resampler)>,
    taps: Vec<f32>,
    convolver: Convolver,
}

impl TelephoneLine {
    /// For recordings of `sample_rate`. Those of 8 kHz or less keep their rate.
    pub fn new(options: &Telephone, sample_rate: u32) -> Self {
        let sample_rate = sample_rate.max(1);
        let line = sample_rate.min(LINE_RATE);
        let resampled = sample_rate != line;
        Self {
            rates: resampled
                .then(|| (Resampler::new(sample_rate, line), Resampler::new(line, sample_rate))),
            taps: band_pass(options.band_hz, f64::from(line)),
            options: options.clone(),
            convolver: Convolver::new(),
        }
    }

    /// Sends `samples` through the line, if chance will have it. The number of samples stays.
    pub fn apply(&mut self, samples: &mut Vec<f32>, random: &mut Random) {
        if !happens(self.options.probability, random) {
            return;
        }
        let drawn = random.below(self.options.laws.len() as u64) as usize;
        let length = samples.len();
        if let Some((down, _)) = &mut self.rates {
            *samples = down.process(samples);
        }
        if !self.taps.is_empty() {
            *samples = self.convolver.convolve(samples, &self.taps, self.taps.len() / 2);
        }
        if let Some(law) = self.options.laws.get(drawn) {
            for sample in samples.iter_mut() {
                *sample = law.round_trip(*sample);
            }
        }
        if let Some((_, up)) = &mut self.rates {
            *samples = up.process(samples);
            // Down and up again, each rounded, may differ by a few samples.
            samples.resize(length, 0.0);
        }
    }
}

/// Taps of the band at `rate`; empty where the band is everything.
fn band_pass([low, high]: [f64; 2], rate: f64) -> Vec<f32> {
    let transition = TRANSITION / rate;
    let mut taps = match high < rate / 2.0 {
        true => low_pass(high / rate, transition),
        false if low > 0.0 => {
            // All passes above: the middle tap alone, as long as the filter taken off it.
            let count = low_pass(0.25, transition).len();
            (0..count).map(|tap| f32::from(u8::from(tap == count / 2))).collect()
        }
        false => return Vec::new(),
    };
    if low > 0.0 {
        // The low-pass taken off has its passband end at `low`; both have the same transition and
        // so the same number of taps.
        for (tap, below) in taps.iter_mut().zip(low_pass(low / rate + transition, transition)) {
            *tap -= below;
        }
    }
    taps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::test_sounds::{band_power, decibels, white};

    fn line(options: &Telephone, rate: u32, sound: &[f32]) -> Vec<f32> {
        let mut samples = sound.to_vec();
        TelephoneLine::new(options, rate).apply(&mut samples, &mut Random::from_key(&[1]));
        assert_eq!(samples.len(), sound.len());
        samples
    }

    #[test]
    fn the_band_of_a_line_is_what_is_left() {
        for rate in [8000u32, 16_000, 44_100] {
            let sound = white(5, 60_000);
            let plain = Telephone { laws: vec![], ..Telephone::default() };
            let half = f64::from(rate) / 2.0;
            let through = line(&plain, rate, &sound);
            let change = |samples: &[f32], low: f64, high: f64| {
                let (low, high) = (low / half, high / half);
                decibels(band_power(samples, low, high) / band_power(&sound, low, high))
            };
            let guard = 4.0 * half / 2048.0;
            let above = change(&through, 3600.0 + guard, half);
            assert!(above < -60.0, "{rate}: {above} dB above");
            if rate < 44_100 {
                let below = change(&through, 0.0, 100.0 - guard);
                assert!(below < -60.0, "{rate}: {below} dB below");
            }
            let kept = change(&through, 300.0 + guard, 3400.0 - guard);
            assert!(kept.abs() < 0.05, "{rate}: {kept} dB within");
            // With a code, above the band lies the code's noise alone.
            for law in [CompandingLaw::MuLaw, CompandingLaw::ALaw] {
                let coded = line(&Telephone { laws: vec![law], ..plain.clone() }, rate, &sound);
                let noise: Vec<f32> = coded.iter().zip(&through).map(|(a, b)| a - b).collect();
                let ratio = decibels(super::super::power(&through) / super::super::power(&noise));
                assert!((34.0..42.0).contains(&ratio), "{law:?} at {rate}: {ratio} dB");
                if rate > 8000 {
                    let above = change(&coded, 4000.0 + guard, half);
                    assert!(above < -60.0, "{law:?} at {rate}: {above} dB above 4 kHz");
                }
            }
        }
    }

    #[test]
    fn nothing_moves_and_nothing_panics() {
        for rate in [4000u32, 8000, 16_000, 22_050] {
            let mut click = vec![0f32; 4001];
            click[2000] = 0.9;
            let through = line(&Telephone::default(), rate, &click);
            let peak = (0..4001).max_by(|a, b| through[*a].total_cmp(&through[*b]));
            assert_eq!(peak, Some(2000), "{rate}");
        }
        for rate in [1u32, 1000, 8000, 16_000, 48_000] {
            for count in [0usize, 1, 2, 500] {
                let loud = line(&Telephone::default(), rate, &vec![7.0; count]);
                assert!(loud.iter().all(|v| v.is_finite()));
                let silent = line(&Telephone::default(), rate, &vec![0.0; count]);
                // A-law has no zero: its smallest value is 8 of 32768.
                assert!(silent.iter().all(|v| v.abs() < 0.001));
            }
        }
    }

    #[test]
    fn samples_saturate_at_the_largest_code() {
        for (law, largest) in [(CompandingLaw::MuLaw, 32124.0), (CompandingLaw::ALaw, 32256.0)] {
            assert_eq!(law.round_trip(1.0), largest / 32768.0);
            assert_eq!(law.round_trip(55.0), largest / 32768.0);
            assert_eq!(law.round_trip(-55.0), -largest / 32768.0);
            assert!(law.round_trip(f32::NAN).abs() < 0.001);
        }
    }

    #[test]
    fn ranges_are_checked() {
        assert_eq!(Telephone::default().check(), Ok(()));
        for band_hz in [[300.0, 5000.0], [-1.0, 3400.0], [3000.0, 3400.0], [f64::NAN, 3400.0]] {
            let error = Telephone { band_hz, ..Telephone::default() }.check();
            assert!(error.expect_err("no band").to_string().contains("band-hz"));
        }
        assert!(Telephone { probability: 1.5, ..Telephone::default() }.check().is_err());
    }
}
