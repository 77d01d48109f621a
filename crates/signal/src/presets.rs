//! Sets of feature options by name: Kaldi's programs, Whisper's and NeMo's log-mel spectrograms.
//!
//! Sources: the option structs and `Register` functions of Kaldi's `feat/feature-{window,fbank,
//! mfcc,plp,spectrogram}.h` and `feat/mel-computations.h`; Radford et al. 2022, "Robust speech
//! recognition via large-scale weak supervision", with `whisper/audio.py`; NeMo's
//! `FilterbankFeatures` (`asr/parts/preprocessing/features.py`) with the values of its released
//! models.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::feature_options::{
    Centering, FeatureKind, FeatureOptions, Logarithm, MelScale, Normalization, WindowType,
};

/// A named set of options: `preset = "whisper"` in the `[features]` of a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `compute-fbank-feats` without flags.
    KaldiFbank,
    /// `compute-mfcc-feats` without flags.
    KaldiMfcc,
    /// `compute-plp-feats` without flags.
    KaldiPlp,
    /// `compute-spectrogram-feats` without flags.
    KaldiSpectrogram,
    /// OpenAI's Whisper, tiny to large-v2: 80 filters. Whisper fills recordings with zeros to 30 s
    /// before; that is its model's matter and not done here. Not causal (its greatest value).
    Whisper,
    /// Whisper large-v3: 128 filters.
    WhisperV3,
    /// NeMo's released CTC and transducer models: 80 filters. As at inference there is no dither.
    /// Not causal (its normalisation).
    Nemo,
}

/// A name that no preset has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no preset {0:?}; there are {names}", names = Preset::names())]
pub struct UnknownPreset(pub String);

impl Preset {
    /// All of them.
    pub const ALL: [Preset; 7] = [
        Preset::KaldiFbank,
        Preset::KaldiMfcc,
        Preset::KaldiPlp,
        Preset::KaldiSpectrogram,
        Preset::Whisper,
        Preset::WhisperV3,
        Preset::Nemo,
    ];

    /// The name, as in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Preset::KaldiFbank => "kaldi-fbank",
            Preset::KaldiMfcc => "kaldi-mfcc",
            Preset::KaldiPlp => "kaldi-plp",
            Preset::KaldiSpectrogram => "kaldi-spectrogram",
            Preset::Whisper => "whisper",
            Preset::WhisperV3 => "whisper-v3",
            Preset::Nemo => "nemo",
        }
    }

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The options that the name stands for.
    pub fn options(self) -> FeatureOptions {
        let log_mel = FeatureOptions {
            low_freq: 0.0,
            remove_dc_offset: false,
            snip_edges: false,
            mel_scale: MelScale::Slaney,
            sample_scale: 1.0,
            ..FeatureOptions::of_kind(FeatureKind::Fbank)
        };
        match self {
            Preset::KaldiFbank => FeatureOptions::kaldi(FeatureKind::Fbank),
            Preset::KaldiMfcc => FeatureOptions::kaldi(FeatureKind::Mfcc),
            Preset::KaldiPlp => FeatureOptions::kaldi(FeatureKind::Plp),
            Preset::KaldiSpectrogram => FeatureOptions::kaldi(FeatureKind::LogSpectrogram),
            Preset::Whisper => FeatureOptions {
                window_type: WindowType::HannPeriodic,
                round_to_power_of_two: false,
                preemphasis_coefficient: 0.0,
                centering: Centering::Reflect,
                logarithm: Logarithm::Decimal,
                normalize: Normalization::Whisper,
                ..log_mel
            },
            Preset::WhisperV3 => FeatureOptions { num_mel_bins: 128, ..Preset::Whisper.options() },
            Preset::Nemo => FeatureOptions {
                window_type: WindowType::Hanning,
                preemphasis_across_frames: true,
                centering: Centering::Zeros,
                logarithm: Logarithm::Guarded,
                normalize: Normalization::Nemo,
                ..log_mel
            },
        }
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, UnknownPreset> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| UnknownPreset(name.to_owned()))
    }
}

impl FeatureOptions {
    /// What Kaldi's program for this kind computes when no flag is given, dither of 1 included.
    /// Kinds that no program of Kaldi's has take what the others share.
    pub fn kaldi(kind: FeatureKind) -> Self {
        let use_energy = match kind {
            // The flag's default for cepstra; spectrograms have no flag and always the energy.
            FeatureKind::Mfcc | FeatureKind::Plp | FeatureKind::LogSpectrogram => true,
            FeatureKind::Fbank | FeatureKind::Spectrogram | FeatureKind::Energy => false,
        };
        FeatureOptions {
            kind,
            sample_frequency: 16_000.0,
            frame_length: 25.0,
            frame_shift: 10.0,
            num_mel_bins: 23,
            low_freq: 20.0,
            high_freq: 0.0,
            dither: 1.0,
            preemphasis_coefficient: 0.97,
            remove_dc_offset: true,
            window_type: WindowType::Povey,
            blackman_coeff: 0.42,
            round_to_power_of_two: true,
            snip_edges: true,
            use_energy,
            raw_energy: true,
            energy_floor: 0.0,
            use_log_fbank: true,
            use_power: true,
            htk_compat: false,
            htk_mode: false,
            vtln_warp: 1.0,
            vtln_low: 100.0,
            vtln_high: -500.0,
            normalize: Normalization::None,
            num_ceps: 13,
            cepstral_lifter: 22.0,
            lpc_order: 12,
            compress_factor: 0.33333,
            cepstral_scale: 1.0,
            allow_downsample: false,
            allow_upsample: false,
            mel_scale: MelScale::Htk,
            logarithm: Logarithm::Floored,
            centering: Centering::None,
            preemphasis_across_frames: false,
            sample_scale: 32768.0,
            frame_lengths: Vec::new(),
            cmn: None,
            deltas: None,
            splice: None,
        }
    }

    /// What a recipe that gives this `kind` and nothing else means.
    pub fn of_kind(kind: FeatureKind) -> Self {
        let kaldi = Self::kaldi(kind);
        FeatureOptions {
            num_mel_bins: match kind {
                FeatureKind::Mfcc | FeatureKind::Plp => kaldi.num_mel_bins,
                _ => 80,
            },
            dither: 0.0,
            use_energy: kaldi.use_energy && kind != FeatureKind::LogSpectrogram,
            allow_downsample: true,
            allow_upsample: true,
            normalize: Normalization::Utterance,
            ..kaldi
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_recipes_say() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse::<Preset>(), Ok(preset));
            let text = format!("preset = \"{}\"", preset.name());
            assert_eq!(toml::from_str::<FeatureOptions>(&text).unwrap(), preset.options());
        }
        let error = "kaldi".parse::<Preset>().unwrap_err().to_string();
        assert!(error.contains("\"kaldi\"") && error.contains("kaldi-plp, "), "{error}");
    }
}
