//! Sound to feature frames: decoding, resampling, spectrograms and Kaldi's filterbank.
//!
//! The path through this crate, one file per step:
//!
//! ```text
//! bytes ──audio──► Audio ──resample──► samples ──augment──► samples ──features──► frames
//!         wav sphere ogg opus mp3        (any rate)   (speed)           window mel
//!         mp4 foreign encoding                                     normalize, augment (masks)
//! ```
//!
//! * [`read_audio`], [`read_audio_section`] and [`decode_audio`] turn files into [`Audio`]; the
//!   format is told by the content, never by the name, and a file that lies or breaks off is
//!   refused with a sentence ([`AudioError`]), never shortened silently.
//! * [`Resampler`] and [`resample`] change the sample rate.
//! * [`FeatureExtractor`] computes frames, offline and in chunks by the same code, to the same
//!   bytes; sixteen at a time, one in each lane of a vector register ([`InstructionSet`]).
//! * [`normalize_utterance`], [`SpecAugment`] and [`change_speed`] are what training adds.
//! * [`Random`] is the project's only source of chance: a function of its key.
//!
//! Samples are `f32` in [-1, 1); frames are rows of `[frames, dim]` in one flat vector.

mod audio;
mod augment;
mod encoding;
mod feature_options;
mod features;
mod foreign;
mod fourier;
mod mel;
mod mp3;
mod mp4;
mod normalize;
mod ogg;
mod opus;
mod random;
mod resample;
mod source;
mod spectra;
mod sphere;
mod vector;
mod wav;
mod window;

pub use audio::{Audio, AudioError, decode_audio, read_audio, read_audio_section};
pub use augment::{Noise, RandomFilter, SpecAugment, change_speed};
pub use encoding::{Encoding, RawFormat, UnknownEncoding};
pub use feature_options::{FeatureError, FeatureKind, FeatureOptions, Normalization, WindowType};
pub use features::FeatureExtractor;
pub use normalize::normalize_utterance;
pub use random::{Random, hash_name};
pub use resample::{Resampler, resample};
pub use source::is_special_file;
pub use vector::InstructionSet;
pub use wav::write_wav;
