//! Features in the place of sound: how a shard holds them, and when they are those that are asked for.
//!
//! A member `KEY.ark` is an archive of Kaldi's with one compressed matrix, rows by values: 8 bits a value
//! with four marks for each column (`CM`; of eight rows or fewer `CM2`), or 16 bits over the range of the
//! matrix (`CM2`); `labyrinth_signal` has both layouts and their bounds.
//!
//! What is stored are the rows of the extractor *before* `cmn`, deltas, splicing and `normalize`; these
//! are computed after reading. A normalisation divides by deviations, so quantised before it the error
//! of a value stays the same share of its column's range, whatever the normalisation; the mean that a
//! normalisation takes off is that of the values which are there, so that what it promises (mean 0,
//! variance 1) holds for what the model sees; rows without deltas and neighbours are a third or less of the
//! bytes; and one set of shards serves recipes that differ in any of these. (It costs a pass over the
//! rows, next to nothing beside reading them.)
//!
//! Powers without a logarithm are refused: they span ten orders of magnitude, and steps of one size
//! would leave nothing of the faint ones.

use crate::clip::ClipFault;
use crate::ledger::Reason;
use crate::manifest::Utterance;
use crate::shard::{ShardDigest, stored_options};
use labyrinth_signal::{
    ArkFormat, ArkReader, Array, Chain, Compression, FeatureError, FeatureExtractor, FeatureKind,
    FeatureOptions, Stage, ark_entry,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};

/// Bits of a stored value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum FeatureBits {
    /// Kaldi's `CM`.
    #[default]
    Eight,
    /// Kaldi's `CM2`.
    Sixteen,
}

impl TryFrom<u8> for FeatureBits {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        match bits {
            8 => Ok(Self::Eight),
            16 => Ok(Self::Sixteen),
            other => Err(format!("bits must be 8 or 16, not {other}")),
        }
    }
}

impl From<FeatureBits> for u8 {
    fn from(bits: FeatureBits) -> Self {
        match bits {
            FeatureBits::Eight => 8,
            FeatureBits::Sixteen => 16,
        }
    }
}

impl fmt::Display for FeatureBits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", u8::from(*self))
    }
}

/// What a manifest's line says of the features that a shard holds for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFeatures {
    /// Of a value.
    pub bits: FeatureBits,
    /// Rows of the matrix.
    pub frames: usize,
    /// Values of a row, before deltas and splicing.
    pub dim: usize,
    /// Of the options that the rows depend on ([`FeatureOptions::without_stages`]).
    pub options: ShardDigest,
}

/// The digest of what the rows of these options depend on.
pub fn options_digest(options: &FeatureOptions) -> ShardDigest {
    ShardDigest::of(json_of(options).to_string().as_bytes())
}

/// The part that the rows depend on; its keys are sorted, so that the order of fields is no part of it.
fn json_of(options: &FeatureOptions) -> Value {
    serde_json::to_value(options.without_stages()).unwrap_or_default()
}

/// Why features of these options cannot be stored in so few bits; the rest of the sentence is the caller's.
pub(crate) fn refusal_of(options: &FeatureOptions) -> Option<&'static str> {
    let linear = options.kind == FeatureKind::Spectrogram
        || (options.kind == FeatureKind::Fbank && !options.use_log_fbank);
    linear.then_some(
        "are powers without a logarithm, of which 8 or 16 bits keep the loudest alone; store \
         logarithms (kind = \"log-spectrogram\", use-log-fbank = true), or shard the audio",
    )
}

/// The archive of one matrix, `[frames, dim]`.
///
/// # Errors
/// In words, where the values are not finite.
pub(crate) fn encode(
    key: &str,
    rows: Vec<f32>,
    dim: usize,
    bits: FeatureBits,
    name: &Path,
) -> Result<Vec<u8>, String> {
    let method = match bits {
        // As Kaldi: few rows have no quarters worth marking, and their marks would outweigh them.
        FeatureBits::Eight => Compression::Automatic,
        FeatureBits::Sixteen => Compression::TwoByteAuto,
    };
    let array = Array::from_f32(rows.len() / dim.max(1), dim, rows);
    ark_entry(key, &array, ArkFormat::Compressed(method), name).map_err(|error| error.to_string())
}

/// What is stored for an utterance; `None` where it has sound.
pub fn stored_features(utterance: &Utterance) -> Option<StoredFeatures> {
    utterance.shard.as_ref()?.features
}

/// Reads the rows that a shard holds for an utterance, `[frames, dim]`, for a manifest in `folder`.
///
/// # Errors
/// [`ClipFault::Disk`] where the shard is not what the manifest tells of, [`ClipFault::Refused`] where it
/// is, and yet these bytes are no matrix of such a size, or the line tells of no features.
pub fn read_stored_features(folder: &Path, utterance: &Utterance) -> Result<Vec<f32>, ClipFault> {
    let refused = |detail| ClipFault::Refused { reason: Reason::UnreadableAudio, detail };
    let Some((range, stored)) =
        utterance.shard.as_ref().and_then(|range| Some((range, range.features?)))
    else {
        return Err(refused(format!("{} is not stored as features", utterance.audio_filepath)));
    };
    let name = range.name_of(folder, &utterance.audio_filepath);
    let mut archive = ArkReader::from_bytes(range.read(folder)?, &name);
    let (_, array) = match archive.next() {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => return Err(refused(error.to_string())),
        None => return Err(refused(format!("{} holds no matrix", name.display()))),
    };
    if array.shape() != [stored.frames, stored.dim] {
        let (shape, StoredFeatures { frames, dim, .. }) = (array.shape(), stored);
        return Err(refused(format!(
            "{} holds a matrix of the shape {shape:?}, and its manifest tells of {frames} frames of {dim} \
             values",
            name.display()
        )));
    }
    Ok(array.to_f32())
}

/// Stored features that are not the ones asked for: one sentence with both and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} tells of shards that hold features with {stored}, and {wanted} is asked for; use a recipe with \
     the features that were stored, or run `labyrinth shard --features` again with this one",
    manifest.display()
)]
pub struct FeatureMismatch {
    /// The manifest.
    pub manifest: PathBuf,
    /// What is there.
    pub stored: String,
    /// What was asked for.
    pub wanted: String,
}

/// Makes the features of a recipe of stored rows: everything but `normalize`, as [`FeatureExtractor`] does.
pub struct StoredRows {
    options: FeatureOptions,
    digest: ShardDigest,
    row_dim: usize,
    stages: Option<Chain>,
}

impl StoredRows {
    /// For the features of these options.
    ///
    /// # Errors
    /// [`FeatureError`] names the option that cannot be followed.
    pub fn new(options: &FeatureOptions) -> Result<Self, FeatureError> {
        let row_dim = FeatureExtractor::new(&options.without_stages())?.dim();
        Ok(Self {
            digest: options_digest(options),
            stages: options.stages(row_dim)?,
            options: options.clone(),
            row_dim,
        })
    }

    /// Whether what is stored for a line of `manifest` are rows of these options.
    ///
    /// # Errors
    /// [`FeatureMismatch`], with the options that differ where the list of the shards still tells them.
    pub fn check(&self, manifest: &Path, stored: &StoredFeatures) -> Result<(), FeatureMismatch> {
        if stored.options == self.digest && stored.dim == self.row_dim {
            return Ok(());
        }
        let found = stored_options(manifest)
            .filter(|(_, options)| options_digest(options) == stored.options)
            .map(|(_, options)| json_of(&options));
        let (stored, wanted) = match found {
            Some(found) => differences(&found, &json_of(&self.options)),
            None => {
                let spell = |dim, digest| format!("{dim} values a frame (options {digest})");
                (spell(stored.dim, stored.options), spell(self.row_dim, self.digest))
            }
        };
        Err(FeatureMismatch { manifest: manifest.to_owned(), stored, wanted })
    }

    /// Passes the rows of one recording, `[frames, row dim]`, through `cmn`, deltas and splicing, and
    /// appends `[frames, dim]` to `out`.
    pub fn append(&mut self, rows: &[f32], out: &mut Vec<f32>) {
        match &mut self.stages {
            Some(stages) => stages.compute(rows, out),
            None => out.extend_from_slice(rows),
        }
    }

    /// Values of a frame that [`StoredRows::append`] gives.
    pub fn dim(&self) -> usize {
        self.stages.as_ref().map_or(self.row_dim, Stage::dim)
    }
}

/// Options that differ, of both sides; the first few are enough to know what happened.
fn differences(found: &Value, wanted: &Value) -> (String, String) {
    const SHOWN: usize = 3;
    let empty = serde_json::Map::new();
    let [found, wanted] = [found, wanted].map(|value| value.as_object().unwrap_or(&empty));
    let mut keys: Vec<&String> = found.keys().chain(wanted.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| found.get(*key) != wanted.get(*key));
    let spell = |side: &serde_json::Map<String, Value>| {
        let one = |key: &&String| match side.get(*key) {
            // They are of 32 bits, and shall look as they were written.
            Some(Value::Number(number)) if number.is_f64() => {
                format!("{key} = {}", number.as_f64().unwrap_or(f64::NAN) as f32)
            }
            Some(value) => format!("{key} = {value}"),
            None => format!("{key} by default"),
        };
        keys.iter().take(SHOWN).map(one).collect::<Vec<_>>().join(", ")
    };
    (spell(found), spell(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_signal::{DeltaOptions, Normalization};
    use proptest::prelude::*;

    fn rows_of(bytes: Vec<u8>) -> Vec<f32> {
        let mut archive = ArkReader::from_bytes(bytes, Path::new("x"));
        let (key, array) = archive.next().unwrap().unwrap();
        assert_eq!(key, "k");
        array.to_f32()
    }

    /// The greatest error that the layouts allow for a value, in terms of its matrix and column.
    fn bound(rows: &[f32], dim: usize, column: usize, bits: FeatureBits, value: f32) -> f32 {
        let least = rows.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = rows.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let range = if least == greatest { 1.0 + least.abs() } else { greatest - least };
        let step = range / 65535.0;
        let rounding = 4.0 * f32::EPSILON * (least.abs() + range);
        if bits == FeatureBits::Sixteen || rows.len() / dim <= 8 {
            return 0.502 * step + rounding;
        }
        let mut sorted: Vec<f32> = rows.iter().skip(column).step_by(dim).copied().collect();
        sorted.sort_by(f32::total_cmp);
        let (quarter, last) = (sorted.len() / 4, sorted.len() - 1);
        let marks = [sorted[0], sorted[quarter], sorted[3 * quarter], sorted[last]];
        // Half a step of the value's own stretch; the marks are off by a step, and apart by one at least.
        let stretch = match value {
            value if value < marks[1] => (marks[1] - marks[0]) / 128.0,
            value if value < marks[2] => (marks[2] - marks[1]) / 256.0,
            _ => (marks[3] - marks[2]) / 126.0,
        };
        stretch + 4.0 * step + rounding
    }

    proptest! {
        #[test]
        fn a_stored_value_is_within_the_bound_of_its_layout(
            frames in 1usize..60,
            dim in 1usize..7,
            spread in prop_oneof![Just(0.0f32), 1e-3f32..1.0, 1.0f32..1e3],
            middle in -30.0f32..30.0,
            sixteen in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let mut random = labyrinth_signal::Random::from_key(&[seed]);
            let rows: Vec<f32> =
                (0..frames * dim).map(|_| middle + spread * random.normal() as f32).collect();
            let bits = if sixteen { FeatureBits::Sixteen } else { FeatureBits::Eight };
            let bytes = encode("k", rows.clone(), dim, bits, Path::new("x")).unwrap();
            let again = rows_of(bytes);
            prop_assert_eq!(again.len(), rows.len());
            for (place, (before, after)) in rows.iter().zip(&again).enumerate() {
                let bound = bound(&rows, dim, place % dim, bits, *before);
                prop_assert!((before - after).abs() <= bound, "{before} {after} {bound}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let error = encode("k", vec![1.0, f32::NAN], 1, FeatureBits::Eight, Path::new("u.ark"));
        assert!(error.unwrap_err().contains("not a finite number"));
    }

    #[test]
    fn what_follows_the_rows_is_no_part_of_the_digest_and_all_else_is() {
        let options = FeatureOptions::default();
        let other = FeatureOptions {
            normalize: Normalization::None,
            deltas: Some(DeltaOptions::default()),
            ..options.clone()
        };
        assert_eq!(options_digest(&options), options_digest(&other));
        let other = FeatureOptions { dither: 1.0, ..options.clone() };
        assert_ne!(options_digest(&options), options_digest(&other));
        let other = FeatureOptions { num_ceps: 5, ..options.clone() };
        assert_ne!(options_digest(&options), options_digest(&other));
    }

    #[test]
    fn both_sides_of_a_difference_are_told() {
        let [a, b] = [20, 80].map(|num_mel_bins| FeatureOptions {
            num_mel_bins,
            num_ceps: if num_mel_bins == 20 { 5 } else { FeatureOptions::default().num_ceps },
            ..FeatureOptions::default()
        });
        let told = differences(&json_of(&a), &json_of(&b));
        assert_eq!(told.0, "num-ceps = 5, num-mel-bins = 20");
        assert_eq!(told.1, "num-ceps by default, num-mel-bins = 80");
    }

    #[test]
    fn powers_are_refused() {
        let of = |kind| FeatureOptions { kind, ..FeatureOptions::default() };
        assert!(refusal_of(&of(FeatureKind::Spectrogram)).is_some());
        assert!(refusal_of(&of(FeatureKind::LogSpectrogram)).is_none());
        assert!(refusal_of(&of(FeatureKind::Mfcc)).is_none());
        let plain = FeatureOptions { use_log_fbank: false, ..FeatureOptions::default() };
        assert!(refusal_of(&plain).is_some() && refusal_of(&FeatureOptions::default()).is_none());
    }
}
