//! The options of feature extraction, with Kaldi's names and meanings, and their refusals.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::stages::{CmnOptions, DeltaOptions, SpliceOptions};

/// What is computed from each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureKind {
    /// Kaldi's filterbank: logarithms of the energies under triangles on the mel scale.
    Fbank,
    /// The power spectrum: squared magnitudes of the bins 0 to `padded / 2`.
    Spectrogram,
    /// The natural logarithm of the power spectrum, floored at the spacing of `f32` at 1.
    LogSpectrogram,
}

/// The shape of the window laid over each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowType {
    /// Hann's window to the power of 0.85, Kaldi's default.
    Povey,
    /// Hann's window.
    Hanning,
    /// Hamming's window.
    Hamming,
    /// No window.
    Rectangular,
    /// Blackman's window with `blackman-coeff`.
    Blackman,
    /// Half a period of a sine.
    Sine,
}

/// What is done to the features of an utterance before the model sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalization {
    /// Mean 0 and variance 1 of each bin over the utterance; not causal.
    Utterance,
    /// Mean 0 and variance 1 of all values of the utterance together: its loudness goes, the shape
    /// of its spectrum stays. For recordings of a word or a vowel, whose mean spectrum tells what
    /// was said; not causal.
    Level,
    /// Nothing.
    None,
}

/// The `[features]` of a recipe. Names, units and meanings are Kaldi's (`compute-fbank-feats`).
///
/// The defaults are Kaldi's but for two: `num-mel-bins` is 80 (Kaldi: 23), and `dither` is 0
/// (Kaldi: 1), so that features are a function of the recording alone. Samples are taken in
/// [-1, 1) and multiplied by 32768, Kaldi's scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct FeatureOptions {
    /// What is computed.
    pub kind: FeatureKind,
    /// Samples per second; recordings of other rates are resampled to it before.
    pub sample_frequency: f32,
    /// Length of a frame in milliseconds.
    pub frame_length: f32,
    /// Distance of the starts of two frames in milliseconds.
    pub frame_shift: f32,
    /// Number of mel filters.
    pub num_mel_bins: usize,
    /// Lower edge of the lowest filter in Hz.
    pub low_freq: f32,
    /// Upper edge of the highest filter in Hz; 0 and below count from half the sample frequency.
    pub high_freq: f32,
    /// Amplitude of added noise; only 0 is accepted.
    pub dither: f32,
    /// Coefficient `c` of pre-emphasis, x[i] - c x[i-1].
    pub preemphasis_coefficient: f32,
    /// Subtract each frame's mean.
    pub remove_dc_offset: bool,
    /// The window.
    pub window_type: WindowType,
    /// The constant of Blackman's window.
    pub blackman_coeff: f32,
    /// Fill frames with zeros to a power of two of samples.
    pub round_to_power_of_two: bool,
    /// Only frames that lie within the recording; if false, as many as the shift fits, and the
    /// recording is mirrored at its ends.
    pub snip_edges: bool,
    /// Add the logarithm of the frame's energy: before the filters, or with `htk-compat` behind
    /// them; in a log spectrogram, in place of bin 0 (Kaldi's `compute-spectrogram-feats`).
    pub use_energy: bool,
    /// Take the energy before pre-emphasis and window.
    pub raw_energy: bool,
    /// Least energy, if above 0 (its logarithm bounds the energy from below).
    pub energy_floor: f32,
    /// Take logarithms of the filters' energies.
    pub use_log_fbank: bool,
    /// Filter the power; if false, the magnitude.
    pub use_power: bool,
    /// Put the energy last.
    pub htk_compat: bool,
    /// Leave the lowest bin out of the first filter when `low-freq` is not 0, as HTK does. (In
    /// Kaldi a member of the options, not a command-line flag.)
    pub htk_mode: bool,
    /// Warps the frequencies of the filters, for a vocal tract 1 / `vtln-warp` as long; 1 for none.
    pub vtln_warp: f32,
    /// Lower edge in Hz of the band that is warped whole.
    pub vtln_low: f32,
    /// Its upper edge in Hz; 0 and below count from half the sample frequency.
    pub vtln_high: f32,
    /// Normalisation before the model; not part of [`crate::FeatureExtractor`].
    pub normalize: Normalization,
    /// Normalisation that can stream, behind the extractor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmn: Option<CmnOptions>,
    /// Deltas, behind the normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deltas: Option<DeltaOptions>,
    /// Splicing, behind the deltas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splice: Option<SpliceOptions>,
}

impl Default for FeatureOptions {
    fn default() -> Self {
        FeatureOptions {
            kind: FeatureKind::Fbank,
            sample_frequency: 16_000.0,
            frame_length: 25.0,
            frame_shift: 10.0,
            num_mel_bins: 80,
            low_freq: 20.0,
            high_freq: 0.0,
            dither: 0.0,
            preemphasis_coefficient: 0.97,
            remove_dc_offset: true,
            window_type: WindowType::Povey,
            blackman_coeff: 0.42,
            round_to_power_of_two: true,
            snip_edges: true,
            use_energy: false,
            raw_energy: true,
            energy_floor: 0.0,
            use_log_fbank: true,
            use_power: true,
            htk_compat: false,
            htk_mode: false,
            vtln_warp: 1.0,
            vtln_low: 100.0,
            vtln_high: -500.0,
            normalize: Normalization::Utterance,
            cmn: None,
            deltas: None,
            splice: None,
        }
    }
}

/// An option that cannot be followed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("feature option `{option} = {value}` {reason}")]
pub struct FeatureError {
    /// The option's name in a recipe.
    pub option: &'static str,
    /// Its value.
    pub value: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl FeatureError {
    pub(crate) fn new(
        option: &'static str,
        value: impl Display,
        reason: impl Into<String>,
    ) -> Self {
        FeatureError { option, value: value.to_string(), reason: reason.into() }
    }
}

/// Longest frame and shift in milliseconds.
const MAX_FRAME: f32 = 60_000.0;

impl FeatureOptions {
    /// Checks what does not depend on the filterbank.
    pub(crate) fn check(&self) -> Result<(), FeatureError> {
        let rate = self.sample_frequency;
        if !(1000.0..=1_000_000.0).contains(&rate) || rate.fract() != 0.0 {
            let reason = "must be a whole number of Hz from 1000 to 1000000";
            return Err(FeatureError::new("sample-frequency", rate, reason));
        }
        let per_millisecond = f64::from(rate) * 0.001;
        let samples = |milliseconds: f32| per_millisecond * f64::from(milliseconds);
        if !(samples(self.frame_length) >= 2.0 && self.frame_length <= MAX_FRAME) {
            let reason = "must be at least two samples and at most 60000 milliseconds";
            return Err(FeatureError::new("frame-length", self.frame_length, reason));
        }
        if !(samples(self.frame_shift) >= 1.0 && self.frame_shift <= MAX_FRAME) {
            let reason = "must be at least one sample and at most 60000 milliseconds";
            return Err(FeatureError::new("frame-shift", self.frame_shift, reason));
        }
        if !self.round_to_power_of_two && samples(self.frame_length) as usize % 2 == 1 {
            let reason = format!(
                "is {} samples, an odd number, which needs round-to-power-of-two = true",
                samples(self.frame_length) as usize
            );
            return Err(FeatureError::new("frame-length", self.frame_length, reason));
        }
        if self.dither != 0.0 {
            let reason = "adds random noise, which is not offered: features are a function of the \
                          recording alone; set it to 0";
            return Err(FeatureError::new("dither", self.dither, reason));
        }
        let preemphasis = self.preemphasis_coefficient;
        if !(0.0..=1.0).contains(&preemphasis) {
            let reason = "must lie from 0 to 1";
            return Err(FeatureError::new("preemphasis-coefficient", preemphasis, reason));
        }
        if !self.blackman_coeff.is_finite() {
            let reason = "must be a number; Blackman's is 0.42";
            return Err(FeatureError::new("blackman-coeff", self.blackman_coeff, reason));
        }
        if !(self.energy_floor >= 0.0 && self.energy_floor.is_finite()) {
            let reason = "must be 0 or more";
            return Err(FeatureError::new("energy-floor", self.energy_floor, reason));
        }
        if self.use_energy && self.kind == FeatureKind::Spectrogram {
            let reason = "has no place in kind = \"spectrogram\"; use \"log-spectrogram\" or \
                          \"fbank\", or set it to false";
            return Err(FeatureError::new("use-energy", self.use_energy, reason));
        }
        Ok(())
    }
}
