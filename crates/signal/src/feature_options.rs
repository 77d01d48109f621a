//! The options of feature extraction, with Kaldi's names and meanings, and their refusals.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::presets::Preset;
use crate::stages::{Chain, CmnOptions, DeltaOptions, SpliceOptions, stages_of};

/// What is computed from each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeatureKind {
    /// Kaldi's filterbank: logarithms of the energies under triangles on the mel scale.
    Fbank,
    /// Mel frequency cepstral coefficients: the cosine transform of the filterbank.
    Mfcc,
    /// Perceptual linear prediction: the cepstrum of an all-pole model of the filterbank.
    Plp,
    /// The power spectrum: squared magnitudes of the bins 0 to `padded / 2`.
    Spectrogram,
    /// The natural logarithm of the power spectrum, floored at the spacing of `f32` at 1.
    LogSpectrogram,
    /// The natural logarithm of the frame's energy alone.
    Energy,
}

/// The shape of the window laid over each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowType {
    /// Hann's window to the power of 0.85, Kaldi's default.
    Povey,
    /// Hann's window.
    Hanning,
    /// Hann's window with the period of the frame's length, so that its last sample is not 0: what
    /// Whisper and librosa lay over a frame. (Kaldi has no such; its windows end as they begin.)
    HannPeriodic,
    /// Hamming's window.
    Hamming,
    /// No window.
    Rectangular,
    /// Blackman's window with `blackman-coeff`.
    Blackman,
    /// Half a period of a sine.
    Sine,
}

/// Which frequencies sound equally far apart, and how the filters lie on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MelScale {
    /// HTK's and Kaldi's: 1127 ln(1 + f / 700), triangles of height 1 over mel.
    Htk,
    /// That of Slaney's Auditory Toolbox, librosa's default: linear to 1000 Hz, logarithmic above;
    /// triangles of area 1 over Hz.
    Slaney,
}

/// The logarithm taken of the filters' energies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Logarithm {
    /// Kaldi's: ln max(x, 2^-23).
    Floored,
    /// Whisper's: log10 max(x, 10^-10).
    Decimal,
    /// NeMo's: ln(x + 2^-24).
    Guarded,
}

/// Where frames lie when they do not begin with the recording, and what fills those that reach out
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Centering {
    /// As `snip-edges` says.
    None,
    /// The middle of frame `t` is sample `t · shift`; the recording is mirrored around its first
    /// and last sample, which are not repeated (Whisper).
    Reflect,
    /// The same with zeros around the recording (NeMo).
    Zeros,
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
    /// Whisper's: values are raised to at least 8 below the greatest of the utterance, then 4 is
    /// added and the sum divided by 4; not causal.
    Whisper,
    /// NeMo's `per_feature`: each bin less its mean, divided by its standard deviation (of
    /// `frames - 1` degrees of freedom) plus 10^-5; not causal.
    Nemo,
    /// Nothing.
    None,
}

/// Makes [`FeatureOptions`] and beside it the form in which it is read: every key may be left out,
/// and what that means depends on `kind` and `preset`.
macro_rules! feature_options {
    ($($(#[$attribute:meta])* $name:ident: $type:ty,)*) => {
        /// The `[features]` of a recipe. Names, units and meanings are Kaldi's
        /// (`compute-fbank-feats`, `compute-mfcc-feats`, `compute-plp-feats`,
        /// `compute-spectrogram-feats`).
        ///
        /// What a recipe leaves out is Kaldi's default for its `kind`
        /// ([`FeatureOptions::kaldi`]) but for these: `num-mel-bins` of a filterbank is 80
        /// (Kaldi: 23); `dither` is 0 (Kaldi: 1), so that features are a function of the recording
        /// alone; a log spectrogram keeps its bin 0 (Kaldi: the energy stands there); recordings of
        /// other rates are resampled (Kaldi: refused); `normalize` is `"utterance"` (Kaldi has
        /// other programs for it). A recipe may name a [`Preset`], `preset = "whisper"`, whose
        /// values then stand for what is left out; it is not kept by that name, its values are.
        ///
        /// Samples are taken in [-1, 1) and multiplied by `sample-scale`, Kaldi's 32768.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(from = "Given", rename_all = "kebab-case")]
        pub struct FeatureOptions {
            $($(#[$attribute])* pub $name: $type,)*
        }

        #[derive(Default, Deserialize)]
        #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
        struct Given {
            preset: Option<Preset>,
            $($name: Option<$type>,)*
        }

        impl From<Given> for FeatureOptions {
            fn from(given: Given) -> Self {
                let mut options = match given.preset {
                    Some(preset) => preset.options(),
                    None => FeatureOptions::of_kind(given.kind.unwrap_or(FeatureKind::Fbank)),
                };
                $(if let Some(value) = given.$name { options.$name = value; })*
                options
            }
        }
    };
}

// The keys that came after the first model files are written only where they say something, so that
// the files of those who do not use them stay what they were.
feature_options! {
    /// What is computed.
    kind: FeatureKind,
    /// Samples per second.
    sample_frequency: f32,
    /// Length of a frame in milliseconds.
    frame_length: f32,
    /// Distance of the starts of two frames in milliseconds.
    frame_shift: f32,
    /// Number of mel filters.
    num_mel_bins: usize,
    /// Lower edge of the lowest filter in Hz.
    low_freq: f32,
    /// Upper edge of the highest filter in Hz; 0 and below count from half the sample frequency.
    high_freq: f32,
    /// Standard deviation of the noise added to the samples of each frame, in the unit of
    /// `sample-scale`. Drawn for an utterance that is named
    /// ([`crate::FeatureExtractor::reset_for`]), never without: recognition does not dither.
    dither: f32,
    /// Coefficient `c` of pre-emphasis, `x[i] - c x[i-1]`.
    preemphasis_coefficient: f32,
    /// Subtract each frame's mean.
    remove_dc_offset: bool,
    /// The window.
    window_type: WindowType,
    /// The constant of Blackman's window.
    blackman_coeff: f32,
    /// Fill frames with zeros to a power of two of samples.
    round_to_power_of_two: bool,
    /// Only frames that lie within the recording; if false, as many as the shift fits, and the
    /// recording is mirrored at its ends.
    snip_edges: bool,
    /// The logarithm of the frame's energy. In a filterbank, added: before the filters, or with
    /// `htk-compat` behind them. In place of coefficient 0 of MFCC and PLP, and of bin 0 of a log
    /// spectrogram.
    use_energy: bool,
    /// Take the energy before pre-emphasis and window.
    raw_energy: bool,
    /// Least energy, if above 0 (its logarithm bounds the energy from below).
    energy_floor: f32,
    /// Take logarithms of the filters' energies.
    use_log_fbank: bool,
    /// Filter the power; if false, the magnitude.
    use_power: bool,
    /// Put the energy or coefficient 0 last, the latter in MFCC times the square root of 2.
    htk_compat: bool,
    /// Leave the lowest bin out of the first filter when `low-freq` is not 0, and raise the
    /// energies of filters to 1 at least, as HTK does. (In Kaldi a member of the options, not a
    /// command-line flag.)
    htk_mode: bool,
    /// Warps the frequencies of the filters, for a vocal tract 1 / `vtln-warp` as long; 1 for none.
    vtln_warp: f32,
    /// Lower edge in Hz of the band that is warped whole.
    vtln_low: f32,
    /// Its upper edge in Hz; 0 and below count from half the sample frequency.
    vtln_high: f32,
    /// Normalisation before the model; not part of [`crate::FeatureExtractor`].
    normalize: Normalization,
    /// Number of cepstral coefficients, coefficient 0 or the energy among them.
    #[serde(skip_serializing_if = "is_default::num_ceps")]
    num_ceps: usize,
    /// Liftering constant Q: coefficient i is multiplied by 1 + Q/2 sin(π i / Q); 0 for none.
    #[serde(skip_serializing_if = "is_default::cepstral_lifter")]
    cepstral_lifter: f32,
    /// Order of linear prediction (PLP).
    #[serde(skip_serializing_if = "is_default::lpc_order")]
    lpc_order: usize,
    /// Power to which loudnesses are raised (PLP).
    #[serde(skip_serializing_if = "is_default::compress_factor")]
    compress_factor: f32,
    /// Factor of all coefficients but the energy (PLP).
    #[serde(skip_serializing_if = "is_default::cepstral_scale")]
    cepstral_scale: f32,
    /// Resample recordings of a higher rate; if false, they are refused.
    #[serde(skip_serializing_if = "is_default::allow_downsample")]
    allow_downsample: bool,
    /// Resample recordings of a lower rate; if false, they are refused.
    #[serde(skip_serializing_if = "is_default::allow_upsample")]
    allow_upsample: bool,
    /// The scale on which filters lie. (This and the keys below are not Kaldi's.)
    #[serde(skip_serializing_if = "is_default::mel_scale")]
    mel_scale: MelScale,
    /// The logarithm of the filters' energies.
    #[serde(skip_serializing_if = "is_default::logarithm")]
    logarithm: Logarithm,
    /// Where frames lie; other than `"none"` it needs `snip-edges = false`.
    #[serde(skip_serializing_if = "is_default::centering")]
    centering: Centering,
    /// Pre-emphasis over the whole recording; if false, each frame's first sample counts as its
    /// own predecessor.
    #[serde(skip_serializing_if = "is_default::preemphasis_across_frames")]
    preemphasis_across_frames: bool,
    /// Samples in [-1, 1) are multiplied by it.
    #[serde(skip_serializing_if = "is_default::sample_scale")]
    sample_scale: f32,
    /// Several lengths in milliseconds in place of `frame-length`: the features of frames of each length
    /// around the same moment stand side by side in a row, in this order. Frames are then centred whatever
    /// their length, so all lengths have as many: it needs `snip-edges = false`. Empty for `frame-length`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frame_lengths: Vec<f32>,
    /// Normalisation that can stream, behind the extractor.
    #[serde(skip_serializing_if = "Option::is_none")]
    cmn: Option<CmnOptions>,
    /// Deltas, behind the normalisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    deltas: Option<DeltaOptions>,
    /// Splicing, behind the deltas.
    #[serde(skip_serializing_if = "Option::is_none")]
    splice: Option<SpliceOptions>,
}

/// Whether a key says nothing: it has the value that every kind has by default.
mod is_default {
    use super::{Centering, FeatureKind, FeatureOptions, Logarithm, MelScale};

    macro_rules! is_default {
        ($($name:ident: $type:ty,)*) => {
            $(pub(super) fn $name(value: &$type) -> bool {
                *value == FeatureOptions::of_kind(FeatureKind::Fbank).$name
            })*
        };
    }

    is_default! {
        num_ceps: usize,
        cepstral_lifter: f32,
        lpc_order: usize,
        compress_factor: f32,
        cepstral_scale: f32,
        allow_downsample: bool,
        allow_upsample: bool,
        mel_scale: MelScale,
        logarithm: Logarithm,
        centering: Centering,
        preemphasis_across_frames: bool,
        sample_scale: f32,
    }
}

impl Default for FeatureOptions {
    fn default() -> Self {
        Self::of_kind(FeatureKind::Fbank)
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

/// Loudest dither: thirty times full scale in Kaldi's unit, far from where squares overflow.
const MAX_DITHER: f32 = 1e6;

/// Most lengths of frames side by side.
const MOST_LENGTHS: usize = 8;

/// Largest factor of cepstra, either way.
const MAX_CEPSTRAL_SCALE: f32 = 1e6;

impl FeatureOptions {
    /// Views of one sound that stand beside each other in a frame, each of as many numbers: windows of several
    /// lengths, the features and their slopes, frames spliced together.
    pub fn views(&self) -> usize {
        let lengths = self.frame_lengths.len().max(1);
        let slopes = self.deltas.as_ref().map_or(1, |deltas| deltas.order + 1);
        let spliced = self.splice.as_ref().map_or(1, |splice| splice.left + splice.right + 1);
        lengths * slopes * spliced
    }

    /// The part that looks at the sound alone: without the stages behind the rows (`cmn`, `deltas`,
    /// `splice`) and without `normalize`. Its rows, passed through [`FeatureOptions::stages`] and then
    /// `normalize`, are the features of these options to the last bit.
    pub fn without_stages(&self) -> Self {
        let normalize = Normalization::None;
        Self { normalize, cmn: None, deltas: None, splice: None, ..self.clone() }
    }

    /// The stages behind rows of `dim` values; `None` where there are none.
    ///
    /// # Errors
    /// [`FeatureError`] names the option that cannot be followed.
    pub fn stages(&self, dim: usize) -> Result<Option<Chain>, FeatureError> {
        stages_of(self, dim)
    }

    /// The time in the middle of a frame, in seconds from the beginning of the recording.
    pub fn frame_center(&self, frame: usize) -> f64 {
        let (length, shift) = (f64::from(self.frame_length), f64::from(self.frame_shift));
        let milliseconds = match self.snip_edges {
            true => frame as f64 * shift + 0.5 * length,
            false => (frame as f64 + 0.5) * shift,
        };
        milliseconds / 1000.0
    }

    /// Checks what does not depend on the filterbank.
    pub(crate) fn check(&self) -> Result<(), FeatureError> {
        self.check_frames()?;
        self.check_frame_lengths()?;
        self.check_energy()?;
        self.check_cepstra()
    }

    fn check_frames(&self) -> Result<(), FeatureError> {
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
        if self.centering != Centering::None && self.snip_edges {
            let reason = "leaves out the frames that reach out of the recording, which centering \
                          asks for; set it to false, or centering to \"none\"";
            return Err(FeatureError::new("snip-edges", true, reason));
        }
        if !(0.0..=MAX_DITHER).contains(&self.dither) {
            let reason = "must lie from 0 (none) to 1000000; Kaldi's is 1";
            return Err(FeatureError::new("dither", self.dither, reason));
        }
        if !(self.sample_scale > 0.0 && self.sample_scale <= 1e9) {
            let reason = "must be above 0 and at most 1e9; Kaldi's is 32768";
            return Err(FeatureError::new("sample-scale", self.sample_scale, reason));
        }
        let preemphasis = self.preemphasis_coefficient;
        if !(0.0..=1.0).contains(&preemphasis) {
            let reason = "must lie from 0 to 1";
            return Err(FeatureError::new("preemphasis-coefficient", preemphasis, reason));
        }
        if !(0.0..=1.0).contains(&self.blackman_coeff) {
            let reason = "must lie from 0 to 1; Blackman's is 0.42";
            return Err(FeatureError::new("blackman-coeff", self.blackman_coeff, reason));
        }
        Ok(())
    }

    fn check_frame_lengths(&self) -> Result<(), FeatureError> {
        let refuse = |reason: &str| {
            let value = format!("{:?}", self.frame_lengths);
            Err(FeatureError::new("frame-lengths", value, reason))
        };
        if self.frame_lengths.is_empty() {
            return Ok(());
        }
        if self.frame_lengths.len() > MOST_LENGTHS {
            return refuse("has more lengths than the 8 that are allowed");
        }
        if self.snip_edges {
            return refuse(
                "wants as many long frames as short ones, and snip-edges = true leaves out those that \
                 reach out of the recording; set it to false",
            );
        }
        if matches!(self.kind, FeatureKind::Spectrogram | FeatureKind::LogSpectrogram) {
            return refuse(
                "gives spectra of different sizes for frames of different lengths; use kind = \
                 \"fbank\", whose filters are as many for each",
            );
        }
        for &frame_length in &self.frame_lengths {
            self.of_length(frame_length).check_frames()?;
        }
        Ok(())
    }

    /// The same features of frames of one length, and nothing behind them.
    pub(crate) fn of_length(&self, frame_length: f32) -> Self {
        let (frame_lengths, normalize) = (Vec::new(), self.normalize);
        Self { frame_length, frame_lengths, normalize, ..self.without_stages() }
    }

    fn check_energy(&self) -> Result<(), FeatureError> {
        if !(self.energy_floor >= 0.0 && self.energy_floor.is_finite()) {
            let reason = "must be a finite number from 0 on";
            return Err(FeatureError::new("energy-floor", self.energy_floor, reason));
        }
        if self.use_energy && self.kind == FeatureKind::Spectrogram {
            let reason = "has no place in kind = \"spectrogram\"; use \"log-spectrogram\" or \
                          \"fbank\", or set it to false";
            return Err(FeatureError::new("use-energy", self.use_energy, reason));
        }
        Ok(())
    }

    fn check_cepstra(&self) -> Result<(), FeatureError> {
        let (bins, ceps) = (self.num_mel_bins, self.num_ceps);
        match self.kind {
            FeatureKind::Mfcc => {
                if !(1..=bins).contains(&ceps) {
                    let reason = format!("must lie from 1 to num-mel-bins, {bins}");
                    return Err(FeatureError::new("num-ceps", ceps, reason));
                }
            }
            FeatureKind::Plp => {
                if !(1..=bins).contains(&self.lpc_order) {
                    let reason = format!("must lie from 1 to num-mel-bins, {bins}");
                    return Err(FeatureError::new("lpc-order", self.lpc_order, reason));
                }
                if !(1..=self.lpc_order + 1).contains(&ceps) {
                    let most = self.lpc_order + 1;
                    let reason = format!("must lie from 1 to lpc-order + 1, {most}");
                    return Err(FeatureError::new("num-ceps", ceps, reason));
                }
                if !(self.compress_factor > 0.0 && self.compress_factor <= 1.0) {
                    let reason = "must be above 0 and at most 1; Hermansky's is 0.33";
                    return Err(FeatureError::new("compress-factor", self.compress_factor, reason));
                }
                let scale = self.cepstral_scale.abs();
                if !(scale > 0.0 && scale <= MAX_CEPSTRAL_SCALE) {
                    let reason = "must be a number other than 0, and at most 1000000";
                    return Err(FeatureError::new("cepstral-scale", self.cepstral_scale, reason));
                }
            }
            _ => return Ok(()),
        }
        if !(self.cepstral_lifter >= 0.0 && self.cepstral_lifter.is_finite()) {
            let reason = "must be 0 (none) or more; Kaldi's is 22";
            return Err(FeatureError::new("cepstral-lifter", self.cepstral_lifter, reason));
        }
        // Kaldi's programs for cepstra have no such flags: rather refused than ignored.
        if !self.use_power {
            let reason = "is for kind = \"fbank\": cepstra are made from powers; set it to true";
            return Err(FeatureError::new("use-power", false, reason));
        }
        if !self.use_log_fbank {
            let reason = "is for kind = \"fbank\"; set it to true";
            return Err(FeatureError::new("use-log-fbank", false, reason));
        }
        Ok(())
    }

    /// Whether a recording of `rate` Hz may be used: it has the rate, or is to be resampled.
    ///
    /// # Errors
    /// [`FeatureError`] where `allow-downsample` or `allow-upsample` forbids it.
    pub fn check_rate(&self, rate: u32) -> Result<(), FeatureError> {
        let wanted = f64::from(self.sample_frequency);
        let (option, allowed) = match f64::from(rate).total_cmp(&wanted) {
            std::cmp::Ordering::Greater => ("allow-downsample", self.allow_downsample),
            std::cmp::Ordering::Less => ("allow-upsample", self.allow_upsample),
            std::cmp::Ordering::Equal => return Ok(()),
        };
        if allowed {
            return Ok(());
        }
        let reason = format!(
            "refuses a recording of {rate} Hz where sample-frequency is {wanted} Hz; resample the \
             recording, or set {option} to true"
        );
        Err(FeatureError::new(option, false, reason))
    }

    /// Why an option, by its name in a recipe, changes nothing beside the others; `None` where it may.
    /// For whoever set it and believes that it does.
    pub fn without_effect(&self, option: &str) -> Option<&'static str> {
        use FeatureKind::{Energy, Fbank, LogSpectrogram, Mfcc, Plp, Spectrogram};
        let kind = self.kind;
        let filtered = matches!(kind, Fbank | Mfcc | Plp);
        let has_energy = self.use_energy || kind == Energy;
        let windowed = kind != Energy || !self.raw_energy;
        let (idle, reason) = match option {
            "num-ceps" | "cepstral-lifter" => {
                (!matches!(kind, Mfcc | Plp), "it is for kind = \"mfcc\" and \"plp\"")
            }
            "lpc-order" | "compress-factor" | "cepstral-scale" => {
                (kind != Plp, "it is for kind = \"plp\"")
            }
            "num-mel-bins" | "low-freq" | "high-freq" | "vtln-warp" | "use-power" | "htk-mode"
            | "mel-scale" | "use-log-fbank" => {
                (!filtered, "it is for filters, which this kind of features does not have")
            }
            "vtln-low" | "vtln-high" => {
                (!filtered || self.vtln_warp == 1.0, "it is for a vtln-warp other than 1")
            }
            "logarithm" => (
                !filtered || !self.use_log_fbank,
                "it is for the logarithms of filters, which are not taken",
            ),
            "blackman-coeff" => {
                (self.window_type != WindowType::Blackman, "it is for window-type = \"blackman\"")
            }
            "raw-energy" | "energy-floor" => (!has_energy, "it is for use-energy = true"),
            "use-energy" => (kind == Energy, "the energy is all that this kind of features has"),
            "htk-compat" => match kind {
                Mfcc | Plp => (false, ""),
                Fbank => {
                    (!self.use_energy, "there is no energy to be put last; add use-energy = true")
                }
                Spectrogram | LogSpectrogram | Energy => {
                    (true, "this kind has nothing to put last")
                }
            },
            "window-type" | "preemphasis-coefficient" | "round-to-power-of-two" => {
                (!windowed, "the energy is taken before it, because of raw-energy = true")
            }
            "frame-length" => (!self.frame_lengths.is_empty(), "frame-lengths takes its place"),
            _ => (false, ""),
        };
        idle.then_some(reason)
    }

    /// Whether each frame, normalised, is known when its last sample is: what a stream needs.
    ///
    /// # Errors
    /// [`FeatureError`] names what needs the whole recording, and what stands in its place in a
    /// stream.
    pub fn check_causal(&self) -> Result<(), FeatureError> {
        let (name, needs) = match self.normalize {
            Normalization::None => return Ok(()),
            Normalization::Utterance => ("utterance", "the mean and variance of each bin over"),
            Normalization::Level => ("level", "the mean and variance of all values over"),
            Normalization::Whisper => ("whisper", "the greatest value of"),
            Normalization::Nemo => ("nemo", "the mean and deviation of each bin over"),
        };
        let reason = format!(
            "is not causal: it needs {needs} the whole recording, which a stream does not have; a \
             model for streams has normalize = \"none\" and cmn = {{ kind = \"sliding\" }} or \
             {{ kind = \"online\", … }} in its place"
        );
        Err(FeatureError::new("normalize", format!("\"{name}\""), reason))
    }
}
