//! What is written down about shards: the index of each, the list of all, and what they were made from.

use super::{ShardAudio, ShardError, ShardFeatures, ShardOptions};
use crate::features::options_digest;
use crate::ledger::Refusal;
use crate::manifest::Utterance;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Counts up where the bytes that the same corpus gives change.
const FORMAT: u32 = 1;

/// What the bytes of shards depend on: the manifest and the options, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MadeFrom {
    pub(super) format: u32,
    /// The manifest's name, without its folder.
    pub(super) manifest: String,
    /// Of the manifest.
    pub(super) sha256: String,
    pub(super) audio: ShardAudio,
    /// Stored in the place of the audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) features: Option<ShardFeatures>,
    /// At most so many in a shard.
    pub(super) utterances: usize,
    /// At most so much sound in a shard, by the manifest's durations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<f64>,
}

impl MadeFrom {
    pub(super) fn new(manifest: &Path, sha256: String, options: &ShardOptions) -> Self {
        let ShardOptions { audio, utterances, seconds, .. } = *options;
        // The rows alone: two recipes that differ in what follows them make the same shards.
        let features = options.features.as_ref().map(|features| ShardFeatures {
            bits: features.bits,
            options: features.options.without_stages(),
        });
        let manifest = manifest.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { format: FORMAT, manifest, sha256, audio, features, utterances, seconds }
    }
}

/// `train.jsonl (SHA-256 0123456789ab) with --audio keep --utterances 512`.
impl fmt::Display for MadeFrom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { manifest, audio, utterances, .. } = self;
        let digest = self.sha256.get(..12).unwrap_or(&self.sha256);
        write!(formatter, "{manifest} (SHA-256 {digest}) with ")?;
        match &self.features {
            Some(ShardFeatures { bits, options }) => {
                let digest = options_digest(options).to_string();
                let digest = digest.get(..12).unwrap_or(&digest);
                write!(formatter, "--features (options {digest}) --bits {bits}")?;
            }
            None => write!(formatter, "--audio {audio}")?,
        }
        write!(formatter, " --utterances {utterances}")?;
        if let Some(seconds) = self.seconds {
            write!(formatter, " --seconds {seconds}")?;
        }
        if self.format != FORMAT {
            write!(formatter, " by another version of this program")?;
        }
        Ok(())
    }
}

/// One tar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardEntry {
    pub(super) file: String,
    /// Utterances in it; refused ones are not.
    pub(super) utterances: usize,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// The index beside a tar. It is written when the tar has its name, so that a shard with an index is done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardIndex {
    pub(super) made_from: MadeFrom,
    pub(super) shard: ShardEntry,
    /// The lines of the shards' manifest.
    pub(super) utterances: Vec<Utterance>,
    pub(super) refused: Vec<Refusal>,
}

impl ShardIndex {
    /// As JSON, an utterance a line.
    pub(super) fn write(&self, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        writer.write_all(b"{\"made_from\":")?;
        serde_json::to_writer(&mut *writer, &self.made_from)?;
        writer.write_all(b",\n\"shard\":")?;
        serde_json::to_writer(&mut *writer, &self.shard)?;
        writer.write_all(b",\n\"utterances\":[")?;
        write_list(writer, &self.utterances)?;
        writer.write_all(b"],\n\"refused\":[")?;
        write_list(writer, &self.refused)?;
        writer.write_all(b"]}\n")
    }

    /// The index in this file; `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ShardError> {
        read_json(path)
    }
}

fn write_list<T: Serialize>(writer: &mut (impl Write + ?Sized), list: &[T]) -> io::Result<()> {
    for (index, item) in list.iter().enumerate() {
        writer.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *writer, item)?;
    }
    Ok(())
}

/// `NAME.shards.json`: written when the work begins, without its list, so that nobody takes another's
/// files for shards of his own; and when all shards are there, with it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardList {
    pub(super) made_from: MadeFrom,
    pub(super) complete: bool,
    pub(super) read: usize,
    pub(super) kept: usize,
    pub(super) shards: Vec<ShardEntry>,
}

impl ShardList {
    pub(super) fn write(&self, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *writer, self)?;
        writer.write_all(b"\n")
    }

    /// The list in this file; `None` where there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, ShardError> {
        read_json(path)
    }
}

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, ShardError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ShardError::Read { path: path.to_owned(), source }),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| ShardError::Broken { path: path.to_owned(), reason: error.to_string() })
}

/// What the shards of this manifest were made from; `None` where no list beside it tells.
pub(super) fn made_from(manifest: &Path) -> Option<MadeFrom> {
    let name = manifest.file_stem()?.to_str()?.to_owned();
    let folder = manifest.parent().unwrap_or(Path::new("")).to_owned();
    Some(ShardList::read(&Names { folder, name }.list()).ok()??.made_from)
}

/// The names of the files of one manifest's shards.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) folder: PathBuf,
    pub(super) name: String,
}

impl Names {
    pub(super) fn tar(&self, shard: usize) -> String {
        format!("{}-{shard:06}.tar", self.name)
    }

    pub(super) fn index(&self, shard: usize) -> PathBuf {
        self.folder.join(format!("{}-{shard:06}.json", self.name))
    }

    pub(super) fn list(&self) -> PathBuf {
        self.folder.join(format!("{}{LIST_ENDING}", self.name))
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.folder.join(format!("{}.jsonl", self.name))
    }

    pub(super) fn parquet(&self) -> PathBuf {
        self.folder.join(format!("{}.parquet", self.name))
    }

    /// Whether a file of this name would be one of these.
    pub(super) fn own(&self, file: &str) -> bool {
        let Some(rest) = file.strip_prefix(&self.name) else { return false };
        if [".jsonl", ".parquet", LIST_ENDING].contains(&rest) {
            return true;
        }
        let number = rest
            .strip_prefix('-')
            .and_then(|rest| rest.strip_suffix(".tar").or_else(|| rest.strip_suffix(".json")));
        number.is_some_and(|digits| digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit()))
    }
}

/// How the name of a list ends.
pub(super) const LIST_ENDING: &str = ".shards.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_are_told_from_those_of_another() {
        let names = Names { folder: PathBuf::from("out"), name: "train".into() };
        for own in ["train.jsonl", "train.shards.json", "train-000000.tar", "train-1000000.json"] {
            assert!(names.own(own), "{own}");
        }
        for other in
            ["train-clean.jsonl", "train-clean-000000.tar", "train-00000.tar", "retrain.jsonl"]
        {
            assert!(!names.own(other), "{other}");
        }
        assert_eq!(names.tar(7), "train-000007.tar");
    }
}
