//! Sound to feature frames: decoding, resampling, spectrograms and Kaldi's features.
//!
//! The path through this crate, one file per step:
//!
//! ```text
//! bytes ──audio──► Audio ──resample──► samples ──augment──► samples ──features──► frames
//!         wav sphere ogg opus mp3        (any rate)   (sound)       window spectra row mel
//!         mp4 foreign encoding                                      cepstrum plp; then
//!                                                                   normalize, augment (masks)
//! ```
//!
//! * [`read_audio`], [`read_audio_section`] and [`decode_audio`] turn files into [`Audio`]; the
//!   format is told by the content, never by the name, and a file that lies or breaks off is
//!   refused with a sentence ([`AudioError`]), never shortened silently.
//! * [`Resampler`] and [`resample`] change the sample rate.
//! * [`FeatureExtractor`] computes frames, offline and in chunks by the same code, to the same
//!   bytes: filterbank, MFCC, PLP, spectrogram, energy, with all of Kaldi's options
//!   ([`FeatureOptions`]), and Whisper's and NeMo's log-mel ([`Preset`]); sixteen frames at a time,
//!   one in each lane of a vector register ([`InstructionSet`]).
//! * [`Stage`]s go from frames to frames: [`Deltas`], [`Splice`], [`Cmvn`], [`SlidingCmvn`],
//!   [`OnlineCmvn`]; an extractor runs those that its options ask for.
//! * [`ArkReader`], [`ArkWriter`], [`read_scp`], [`read_npy`], [`read_htk`] and their counterparts
//!   exchange features with other programs ([`FormatError`]).
//! * [`normalize_utterance`] levels features; [`change_speed`], [`change_tempo`], [`Reverberation`],
//!   [`Noise`], [`RecordedNoise`], [`Volume`], [`LowPass`], [`Telephone`], [`RandomFilter`] and
//!   [`SpecAugment`] are what training adds (`augment/`, one file each).
//! * [`Random`] is the project's only source of chance: a function of its key.
//!
//! Samples are `f32` in [-1, 1); frames are rows of `[frames, dim]` in one flat vector.

mod audio;
mod augment;
mod cepstrum;
mod encoding;
mod feature_options;
mod features;
mod flac;
mod foreign;
mod formats;
mod fourier;
mod mel;
mod mp3;
mod mp4;
mod normalize;
mod ogg;
mod opus;
mod pcm_stream;
mod pitch;
mod plp;
mod presets;
mod random;
mod resample;
mod row;
mod source;
mod spectra;
mod sphere;
mod stages;
mod vad;
mod vector;
mod wav;
mod window;
mod ziggurat;

pub use audio::{Audio, AudioError, begins_as_sound, decode_audio, read_audio, read_audio_section};
pub use augment::{
    AugmentError, CompandingLaw, ImpulseResponse, LowPass, LowPassFilter, Noise, RandomFilter,
    RecordedNoise, Reverberation, Reverberator, Room, RoomError, SpecAugment, Telephone,
    TelephoneLine, Volume, add_at_ratio, change_speed, change_tempo, power,
};
pub use encoding::{Encoding, RawFormat, UnknownEncoding};
pub use feature_options::{
    Centering, FeatureError, FeatureKind, FeatureOptions, Logarithm, MelScale, Normalization,
    WindowType,
};
pub use features::FeatureExtractor;
pub use formats::{
    ArkFormat, ArkReader, ArkWriter, Array, Compression, FormatError, HtkFile, HtkKind, RowRange,
    ScpEntry, Values, ark_entry, kaldi_text, parse_htk, parse_npy, parse_scp, read_htk, read_kaldi,
    read_npy, read_scp, write_htk, write_kaldi, write_npy,
};
pub use normalize::normalize_utterance;
pub use pcm_stream::PcmStream;
pub use pitch::{PitchError, PitchExtractor, PitchOptions, PitchProcessor, ProcessPitchOptions};
pub use presets::{Preset, UnknownPreset};
pub use random::{Random, hash_name};
pub use resample::{Resampler, resample};
pub use source::is_special_file;
pub use stages::{
    Chain, CmnOptions, Cmvn, CmvnOptions, CmvnSource, CmvnStats, DeltaOptions, Deltas,
    GlobalCmnOptions, OnlineCmnOptions, OnlineCmvn, OnlineCmvnOptions, OnlineCmvnState,
    SlidingCmvn, SlidingCmvnOptions, Splice, SpliceOptions, Stage,
};
pub use vad::{EnergyVad, EnergyVadOptions, ModelVad, VadError, VoiceActivity, energy_rule};
pub use vector::InstructionSet;
pub use wav::write_wav;

/// The README's programs, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
