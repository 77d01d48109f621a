//! What the loader reads: a list of utterances, and the sound and labels that belong to each.
//!
//! The loader knows this trait and nothing of files. A small manifest is held in memory; a large one
//! stays on the disk and is found through its index ([`IndexedManifest`]), in a memory that does not
//! grow with it. Either may describe loose files or tar shards, since where an utterance's bytes lie
//! stands in its line ([`crate::clip`] fetches them). A store that is no file system brings its own
//! implementation.

use crate::Progress;
use crate::clip::{ClipFault, read_clip};
use crate::features::read_stored_features;
use crate::index::IndexedManifest;
use crate::labels::{LabelTrack, read_labels};
use crate::manifest::{Manifest, ManifestError, Utterance};
use labyrinth_signal::Audio;
use labyrinth_text::{Alphabet, Lexicon, Normalizer, Units};
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// A manifest of more bytes than this is read through an index: about thirty thousand utterances.
pub const HELD_IN_MEMORY: u64 = 8 << 20;

/// Utterances, by number, and what belongs to them. Threads share it.
pub trait Source: Send + Sync {
    /// The manifest: named in messages; paths are relative to its folder.
    fn path(&self) -> &Path;

    /// What the manifest's paths are relative to.
    fn folder(&self) -> &Path {
        self.path().parent().unwrap_or(Path::new(""))
    }

    /// Utterances.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Seconds of audio in all.
    fn seconds(&self) -> f64;

    /// SHA-256 of the manifest's bytes, in hexadecimal.
    ///
    /// # Errors
    /// [`ManifestError`] where it cannot be read.
    fn digest(&self) -> Result<String, ManifestError>;

    /// One utterance; `index` lies below [`Source::len`].
    ///
    /// # Errors
    /// [`ManifestError`] where it cannot be read any more, or is another one now.
    fn utterance(&self, index: usize) -> Result<Cow<'_, Utterance>, ManifestError>;

    /// Seconds of one utterance.
    ///
    /// # Errors
    /// As [`Source::utterance`].
    fn duration(&self, index: usize) -> Result<f64, ManifestError> {
        Ok(self.utterance(index)?.duration)
    }

    /// The sound of one of its utterances.
    ///
    /// # Errors
    /// [`ClipFault`] says whether this utterance is at fault or the disk.
    fn audio(&self, utterance: &Utterance) -> Result<Audio, ClipFault> {
        read_clip(self.folder(), utterance)
    }

    /// The rows of features that a shard holds for one of its utterances
    /// ([`crate::features::stored_features`] tells for which).
    ///
    /// # Errors
    /// As [`Source::audio`].
    fn features(&self, utterance: &Utterance) -> Result<Vec<f32>, ClipFault> {
        read_stored_features(self.folder(), utterance)
    }

    /// The labels of one of its utterances, whose sound has `sample_rate`; `None` where it has none.
    ///
    /// # Errors
    /// As [`Source::audio`].
    fn labels(
        &self,
        utterance: &Utterance,
        sample_rate: u32,
    ) -> Result<Option<LabelTrack>, ClipFault> {
        read_labels(self.folder(), utterance, sample_rate)
    }
}

/// Opens a manifest in the way that suits its size; `progress` is told the bytes read, and those there
/// are, where an index must be made first.
///
/// # Errors
/// [`ManifestError`], with file and line.
pub fn open_source(path: &Path, progress: Progress<'_>) -> Result<Arc<dyn Source>, ManifestError> {
    let bytes = path.metadata().map_or(0, |metadata| metadata.len());
    if bytes > HELD_IN_MEMORY && path.is_file() {
        return Ok(Arc::new(IndexedManifest::open(path, progress)?));
    }
    Ok(Arc::new(Manifest::read(path)?))
}

/// The utterances of `one` that stand in `other` too: under the same id, or as the same section of the same
/// file. A set that shares them with the training set tells how well they were learnt by heart.
pub fn shared_utterances<'a>(one: &'a Manifest, other: &Manifest) -> Vec<&'a Utterance> {
    let place = |manifest: &Manifest, utterance: &Utterance| {
        let bytes = utterance.shard.as_ref().map(|range| (range.file.clone(), range.offset));
        let begin = utterance.offset.unwrap_or(0.0).to_bits();
        let length = utterance.offset.map(|_| utterance.duration.to_bits());
        (manifest.audio_path(utterance), bytes, begin, length, utterance.channel())
    };
    let ids: HashSet<&str> = other.utterances.iter().map(|u| u.id.as_str()).collect();
    let places: HashSet<_> = other.utterances.iter().map(|u| place(other, u)).collect();
    one.utterances
        .iter()
        .filter(|u| ids.contains(u.id.as_str()) || places.contains(&place(one, u)))
        .collect()
}

/// The alphabet of a training: every character or word of the normalised transcripts, or every phoneme of
/// those whose words a lexicon holds.
///
/// # Errors
/// As [`Source::utterance`].
pub fn training_alphabet<'a>(
    sources: impl IntoIterator<Item = &'a dyn Source>,
    normalizer: &Normalizer,
    units: Units,
    lexicon: Option<&Lexicon>,
) -> Result<Alphabet, ManifestError> {
    let mut failure = None;
    let places = sources.into_iter().flat_map(|source| (0..source.len()).map(move |i| (source, i)));
    let texts = places.map_while(|(source, index)| match source.utterance(index) {
        Ok(utterance) => Some(normalizer.apply(&utterance.text)),
        Err(error) => {
            failure = Some(error);
            None
        }
    });
    let texts = texts.map(|text| match lexicon {
        // Where a word is missing, the utterance is not trained on.
        Some(lexicon) => lexicon.pronounce(&text).unwrap_or_default(),
        None => text,
    });
    let alphabet = Alphabet::from_transcripts(units, texts);
    failure.map_or(Ok(alphabet), Err)
}

impl Source for Manifest {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> usize {
        self.utterances.len()
    }

    fn seconds(&self) -> f64 {
        Manifest::seconds(self)
    }

    fn digest(&self) -> Result<String, ManifestError> {
        Manifest::digest(self)
    }

    fn utterance(&self, index: usize) -> Result<Cow<'_, Utterance>, ManifestError> {
        Ok(Cow::Borrowed(&self.utterances[index]))
    }
}

impl Source for IndexedManifest {
    fn path(&self) -> &Path {
        IndexedManifest::path(self)
    }

    fn len(&self) -> usize {
        IndexedManifest::len(self)
    }

    fn seconds(&self) -> f64 {
        IndexedManifest::seconds(self)
    }

    fn digest(&self) -> Result<String, ManifestError> {
        Ok(IndexedManifest::digest(self))
    }

    fn utterance(&self, index: usize) -> Result<Cow<'_, Utterance>, ManifestError> {
        Ok(Cow::Owned(IndexedManifest::utterance(self, index)?))
    }

    fn duration(&self, index: usize) -> Result<f64, ManifestError> {
        IndexedManifest::duration(self, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_utterances_are_known_by_id_or_by_place() {
        let of = |name: &str, lines: &[(&str, &str, Option<f64>)]| Manifest {
            path: Path::new("data").join(name),
            utterances: lines
                .iter()
                .map(|&(id, file, offset)| Utterance {
                    offset,
                    ..Utterance::new(id, file, 1.0, "x")
                })
                .collect(),
        };
        let train = of("train.jsonl", &[("a", "a.wav", None), ("b", "b.wav", Some(0.5))]);
        let dev = of(
            "dev.jsonl",
            &[
                ("a", "other.wav", None),
                ("c", "a.wav", None),
                ("d", "b.wav", Some(0.5)),
                ("e", "b.wav", Some(1.5)),
                ("f", "f.wav", None),
            ],
        );
        let shared = |one: &Manifest, other: &Manifest| -> Vec<String> {
            shared_utterances(one, other).iter().map(|u| u.id.clone()).collect()
        };
        assert_eq!(shared(&dev, &train), ["a", "c", "d"]);
        let elsewhere = Manifest { path: "elsewhere/train.jsonl".into(), ..train };
        assert_eq!(shared(&dev, &elsewhere), ["a"]);
    }
}
