//! The manifest: which audio says what, one utterance a line, JSON Lines with NeMo's keys.
//!
//! A line is an object with `audio_filepath` (relative to the manifest's folder, or absolute),
//! `duration` in seconds and `text`, and where wanted `id`, `offset` in seconds, `speaker`, `labels`
//! (a label track) and, for headerless audio, `encoding`, `sample_rate`, `channels`. Where audio and
//! labels lie in a tar shard, `shard` and `labels_shard` say in which bytes of it ([`crate::shard`]).
//! `channel` (a whole number, from 0) picks one channel of audio that has several; without it their mean is
//! taken. Other keys, and a `channel` that is no whole number, are kept and written again. A line without `id`
//! (NeMo's own manifests) gets its audio path as id, with `@offset` behind it where there is an offset and
//! `#channel` where that is not 0.
//!
//! Without `offset` the whole file is the utterance; with it, `duration` seconds from there.

mod fault;

pub use fault::ManifestError;
use fault::foreign;

use crate::atomic::write_atomically;
use crate::check::REPAIRS_FILE;
use crate::digest::sha256;
use crate::shard::ShardRange;
use labyrinth_signal::{Encoding, RawFormat, is_special_file};
use labyrinth_text::plain_words::{Holds, explain_json_line};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// One line of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Utterance {
    /// Unique in its manifest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// Relative to the manifest's folder, with `/` between the parts, or absolute; with `shard`, the
    /// name of the shard's member.
    pub audio_filepath: String,
    /// Where the utterance begins, in seconds; `None`: the whole file is the utterance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<f64>,
    /// Seconds.
    pub duration: f64,
    /// What is said, as the corpus writes it; the recipe's normaliser works on it later.
    pub text: String,
    /// Who speaks, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// A label track ([`crate::labels`]), relative to the manifest like the audio. Its times count from
    /// the beginning of the audio file, also where the utterance is a section of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// How headerless audio stores a sample; `None`: the file's header tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Hz, of headerless audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Interleaved channels of headerless audio; one where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u16>,
    /// Where in a tar shard the audio lies; `None`: it is a file of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Box<ShardRange>>,
    /// Where in a tar shard the label track lies; `labels` is then its name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_shard: Option<Box<ShardRange>>,
    /// Keys that this program does not know, kept as they are.
    #[serde(flatten)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Utterance {
    /// An utterance that is a whole audio file with a header.
    pub fn new(
        id: impl Into<String>,
        audio_filepath: impl Into<String>,
        duration: f64,
        text: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            audio_filepath: audio_filepath.into(),
            offset: None,
            duration,
            text: text.into(),
            speaker: None,
            labels: None,
            encoding: None,
            sample_rate: None,
            channels: None,
            shard: None,
            labels_shard: None,
            extra: BTreeMap::new(),
        }
    }

    /// How to read the audio where it has no header: what `encoding`, `sample_rate` and `channels` say.
    pub fn raw_format(&self) -> Option<RawFormat> {
        Some(RawFormat {
            encoding: self.encoding?,
            sample_rate: self.sample_rate?,
            channels: self.channels.unwrap_or(1),
        })
    }

    /// The channel that is the utterance, counted from 0, as NeMo and Lhotse have it; `None`: the mean of all.
    pub fn channel(&self) -> Option<usize> {
        let channel = self.extra.get(CHANNEL)?.as_u64()?;
        Some(usize::try_from(channel).unwrap_or(usize::MAX))
    }

    /// What is wrong with the line, if anything; the rest of the sentence is the caller's.
    fn fault(&self) -> Option<String> {
        let seconds = |name: &str, value: f64| {
            (!(value >= 0.0 && value.is_finite()))
                .then(|| format!("{name} {value} is not a number of seconds"))
        };
        if self.audio_filepath.is_empty() {
            return Some("audio_filepath is empty".into());
        }
        if self.encoding.is_some() && self.sample_rate.is_none() {
            return Some("encoding stands without sample_rate".into());
        }
        if self.encoding.is_some() && (self.sample_rate == Some(0) || self.channels == Some(0)) {
            return Some("sample_rate and channels must be at least 1".into());
        }
        if self.labels_shard.is_some() && self.labels.is_none() {
            return Some(
                "labels_shard stands without labels, the name that tells their format".into(),
            );
        }
        for (key, range) in [("shard", &self.shard), ("labels_shard", &self.labels_shard)] {
            if let Some(reason) = range.as_ref().and_then(|range| range.fault()) {
                return Some(format!("{key}: {reason}"));
            }
        }
        seconds("duration", self.duration)
            .or_else(|| self.offset.and_then(|offset| seconds("offset", offset)))
    }
}

/// The key that picks a channel.
pub(crate) const CHANNEL: &str = "channel";

/// What the keys hold, for the sentence about one that does not.
const KEYS: [(&str, Holds); 11] = [
    ("id", Holds::Text),
    ("audio_filepath", Holds::Text),
    ("offset", Holds::Number),
    ("duration", Holds::Number),
    ("text", Holds::Text),
    ("speaker", Holds::Text),
    ("labels", Holds::Text),
    ("sample_rate", Holds::Whole),
    ("channels", Holds::Whole),
    ("shard", Holds::Object),
    ("labels_shard", Holds::Object),
];

/// A list of utterances and the place where it lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The file; audio paths are relative to its folder.
    pub path: PathBuf,
    /// In the order of the file.
    pub utterances: Vec<Utterance>,
}

impl Manifest {
    /// Reads a manifest whole. Blank lines are passed over.
    ///
    /// # Errors
    /// [`ManifestError`], with file and line: a line that is not UTF-8, not JSON, lacks a key or
    /// carries an impossible value, and an id that stood before.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let mut lines = ManifestLines::open(path)?;
        let mut utterances = Vec::new();
        let mut lines_by_id: HashMap<String, usize> = HashMap::new();
        while let Some(Line { number, utterance, .. }) = lines.next_line()? {
            if let Some(first) = lines_by_id.insert(utterance.id.clone(), number) {
                return Err(ManifestError::twice(path, &utterance.id, number, first));
            }
            utterances.push(utterance);
        }
        Ok(Self { path: path.to_owned(), utterances })
    }

    /// Writes the manifest to its path, whole or not at all.
    ///
    /// # Errors
    /// [`ManifestError::Write`] where the disk fails or is full; what stood there before still does.
    pub fn write(&self) -> Result<(), ManifestError> {
        write_atomically(&self.path, |writer| self.write_jsonl(writer))
            .map_err(|source| ManifestError::Write { path: self.path.clone(), source })
    }

    /// The manifest's bytes: one object a line, keys in a fixed order, absent ones left out.
    ///
    /// # Errors
    /// Whatever the writer returns.
    pub fn write_jsonl(&self, writer: &mut impl Write) -> io::Result<()> {
        for utterance in &self.utterances {
            serde_json::to_writer(&mut *writer, utterance)?;
            writer.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Where the utterance's audio lies.
    pub fn audio_path(&self, utterance: &Utterance) -> PathBuf {
        self.resolve(&utterance.audio_filepath)
    }

    /// A path of this manifest (audio, label track) as a path of this machine.
    pub fn resolve(&self, path: &str) -> PathBuf {
        // Joining an absolute path replaces the folder, as it should.
        self.folder().join(path)
    }

    /// Where the manifest lies: what its paths are relative to.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Seconds of audio.
    pub fn seconds(&self) -> f64 {
        // From 0: the sum of nothing is -0 in floating point, and would be shown so.
        self.utterances.iter().fold(0.0, |sum, utterance| sum + utterance.duration)
    }

    /// The speakers named.
    pub fn speakers(&self) -> BTreeSet<&str> {
        self.utterances.iter().filter_map(|utterance| utterance.speaker.as_deref()).collect()
    }

    /// SHA-256 of what the utterances are, in hexadecimal: ids, speakers, transcripts and durations (to a
    /// hundredth of a second) by the order of the ids. Where the audio lies, in which format, and the order of the
    /// lines do not matter, so two copies of the same release of a corpus have the same; it does not cover the
    /// audio's bytes.
    pub fn contents_digest(&self) -> String {
        let mut utterances: Vec<&Utterance> = self.utterances.iter().collect();
        utterances.sort_by(|a, b| a.id.cmp(&b.id));
        let mut digest = Sha256::new();
        for utterance in utterances {
            let Utterance { id, speaker, text, duration, .. } = utterance;
            let hundredths = (100.0 * duration).round();
            // JSON tells where one ends and the next begins, whatever stands in them.
            let line = serde_json::json!([id, speaker, text, hundredths]);
            digest.update(format!("{line}\n"));
        }
        hexadecimal(&digest.finalize())
    }

    /// SHA-256 of the file's bytes, in hexadecimal: the digest of the data that a model file records.
    /// It does not cover the audio's bytes.
    ///
    /// # Errors
    /// [`ManifestError`] where the file cannot be read (any more).
    pub fn digest(&self) -> Result<String, ManifestError> {
        sha256(open(&self.path)?, &|_| {})
            .map_err(|source| ManifestError::Read { path: self.path.clone(), source })
    }
}

/// The manifests of a folder, sorted: its `.jsonl` but hidden ones and those that this program writes
/// beside manifests.
pub(crate) fn manifest_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let beside = ["ledger.jsonl", REPAIRS_FILE].iter().any(|ours| name == *ours);
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if path.extension().is_some_and(|end| end == "jsonl") && !beside && !hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Opens a manifest's file, and nothing that is none.
fn open(path: &Path) -> Result<BufReader<File>, ManifestError> {
    if path.is_dir() {
        let manifests = manifest_files(path).unwrap_or_default();
        return Err(ManifestError::Folder { path: path.to_owned(), manifests });
    }
    if is_special_file(path) {
        return Err(ManifestError::Special { path: path.to_owned() });
    }
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ManifestError::Missing { path: path.to_owned() },
        _ => ManifestError::Read { path: path.to_owned(), source },
    })?;
    let mut reader = BufReader::new(file);
    // What goes wrong here does so again when lines are read, and is told then.
    let head = reader.fill_buf().unwrap_or_default();
    if let Some((kind, advice)) = foreign(path, head) {
        return Err(ManifestError::Foreign { path: path.to_owned(), kind, advice });
    }
    Ok(reader)
}

/// The utterance in one line of a manifest, `None` where the line is blank.
///
/// # Errors
/// In words, for the end of a sentence that names file and line.
pub(crate) fn parse_line(bytes: &[u8]) -> Result<Option<Utterance>, String> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| format!("this is not UTF-8 ({error})"))?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let mut utterance: Utterance = serde_json::from_str(text).map_err(|error| {
        format!("this is no utterance ({})", explain_json_line(text, &error, &KEYS))
    })?;
    if let Some(reason) = utterance.fault() {
        return Err(reason);
    }
    if utterance.id.is_empty() {
        utterance.id = match utterance.offset {
            Some(offset) => format!("{}@{offset}", utterance.audio_filepath),
            None => utterance.audio_filepath.clone(),
        };
        // Another channel is another utterance.
        if let Some(channel @ 1..) = utterance.channel() {
            utterance.id += &format!("#{channel}");
        }
    }
    Ok(Some(utterance))
}

/// An utterance and where it stands.
pub(crate) struct Line {
    /// Of the line, counted from one.
    pub number: usize,
    /// Of the line's first byte in the file.
    pub offset: u64,
    pub utterance: Utterance,
}

/// Walks through a manifest's file line by line, holding one.
pub(crate) struct ManifestLines {
    path: PathBuf,
    reader: BufReader<File>,
    bytes: Vec<u8>,
    number: usize,
    offset: u64,
    hasher: Sha256,
}

impl ManifestLines {
    pub(crate) fn open(path: &Path) -> Result<Self, ManifestError> {
        let reader = open(path)?;
        let (path, hasher) = (path.to_owned(), Sha256::new());
        Ok(Self { path, reader, bytes: Vec::new(), number: 0, offset: 0, hasher })
    }

    /// The next utterance; `None` at the end of the file.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line>, ManifestError> {
        loop {
            self.bytes.clear();
            let read = self.reader.read_until(b'\n', &mut self.bytes);
            let read = read
                .map_err(|source| ManifestError::Read { path: self.path.clone(), source })?
                as u64;
            if read == 0 {
                return Ok(None);
            }
            self.hasher.update(&self.bytes);
            let mut offset = self.offset;
            self.offset += read;
            self.number += 1;
            let mut bytes = &self.bytes[..];
            // Editors on Windows begin a file with a byte order mark.
            if let (1, Some(rest)) = (self.number, bytes.strip_prefix("\u{feff}".as_bytes())) {
                offset += (bytes.len() - rest.len()) as u64;
                bytes = rest;
            }
            let line = self.number;
            let parsed = parse_line(bytes);
            let parsed = parsed.map_err(|reason| ManifestError::Line {
                path: self.path.clone(),
                line,
                reason,
            })?;
            if let Some(utterance) = parsed {
                return Ok(Some(Line { number: line, offset, utterance }));
            }
        }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// SHA-256 of the bytes read so far.
    pub(crate) fn digest(self) -> [u8; 32] {
        self.hasher.finalize().into()
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        std::fs::write(&path, bytes).unwrap();
        Manifest::read(&path)
    }

    #[test]
    fn a_manifest_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut utterances = vec![
            Utterance::new("a", "audio/a.wav", 1.0 / 3.0, "Ä \"quoted\" line\nbreak"),
            Utterance::new("b", "/elsewhere/b.raw", 2.5, ""),
        ];
        utterances[0].offset = Some(0.25);
        utterances[0].speaker = Some("s".into());
        utterances[0].labels = Some("labels/a.TextGrid".into());
        utterances[1].encoding = Some(Encoding::PcmS16be);
        utterances[1].sample_rate = Some(16000);
        let manifest = Manifest { path: folder.path().join("m.jsonl"), utterances };
        manifest.write().unwrap();
        let again = Manifest::read(&manifest.path).unwrap();
        assert_eq!(again, manifest);
        let bytes = std::fs::read(&manifest.path).unwrap();
        assert_eq!(again.digest().unwrap(), hexadecimal(&Sha256::digest(&bytes)));
        assert_eq!(Manifest { utterances: Vec::new(), ..again.clone() }.seconds().to_bits(), 0);
        let text = std::fs::read_to_string(&manifest.path).unwrap();
        assert_eq!(
            text.lines().nth(1).unwrap(),
            "{\"id\":\"b\",\"audio_filepath\":\"/elsewhere/b.raw\",\"duration\":2.5,\"text\":\"\",\
             \"encoding\":\"pcm_s16be\",\"sample_rate\":16000}"
        );
        assert_eq!(again.audio_path(&again.utterances[0]), folder.path().join("audio/a.wav"));
        assert_eq!(again.audio_path(&again.utterances[1]), Path::new("/elsewhere/b.raw"));
        assert_eq!(again.utterances[1].raw_format().unwrap().channels, 1);
    }

    #[test]
    fn nemo_lines_get_ids_and_unknown_keys_survive() {
        let text = "\u{feff}{\"audio_filepath\": \"a.wav\", \"duration\": 3, \"text\": \"x\", \
                    \"lang\": [\"en\", 1]}\n\n\
                    {\"audio_filepath\": \"a.wav\", \"duration\": 3, \"text\": \"x\", \"offset\": 1.5}";
        let manifest = read(text.as_bytes()).unwrap();
        assert_eq!(manifest.utterances[0].id, "a.wav");
        assert_eq!(manifest.utterances[1].id, "a.wav@1.5");
        let mut bytes = Vec::new();
        manifest.write_jsonl(&mut bytes).unwrap();
        assert!(String::from_utf8(bytes).unwrap().contains("\"lang\":[\"en\",1]"));
    }

    #[test]
    fn each_broken_line_is_named_with_its_number() {
        let good = "{\"id\":\"a\",\"audio_filepath\":\"a.wav\",\"duration\":1.0,\"text\":\"x\"}\n";
        let other = |change: &str, into: &str| {
            good.replace("\"id\":\"a\"", "\"id\":\"b\"").replace(change, into)
        };
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (b"{\"id\":\n".to_vec(), "no utterance"),
            (b"[1, 2]\n".to_vec(), "no utterance"),
            (b"\xff\xfe{}\n".to_vec(), "UTF-8"),
            (good.as_bytes().to_vec(), "stands in line 1 already"),
            (other(",\"text\":\"x\"", "").into_bytes(), "text"),
            (other("1.0", "-1.0").into_bytes(), "duration"),
            (other("1.0", "\"long\"").into_bytes(), "`duration` must be a number, not \"long\""),
            (other("\"x\"", "7").into_bytes(), "`text` must be a text in quotes, not 7"),
            (other("a.wav", "").into_bytes(), "audio_filepath"),
            (other("1.0", "1.0,\"offset\":-2").into_bytes(), "offset"),
            (other("1.0", "1.0,\"encoding\":\"pcm_s16le\"").into_bytes(), "sample_rate"),
            (other("1.0", "1.0,\"encoding\":\"adpcm\"").into_bytes(), "no utterance"),
        ];
        for (line, reason) in cases {
            let bytes = [good.as_bytes(), b"\n", &line, good.as_bytes()].concat();
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains("train.jsonl, line 3"), "{error}");
            assert!(error.contains(reason), "{error} should tell of {reason}");
        }
    }

    #[test]
    fn a_missing_manifest_and_a_folder_have_their_own_sentences() {
        let folder = tempfile::tempdir().unwrap();
        let error = Manifest::read(&folder.path().join("none.jsonl")).unwrap_err().to_string();
        assert!(error.contains("none.jsonl") && error.contains("labyrinth prepare"), "{error}");
        let of_folder = || Manifest::read(folder.path()).unwrap_err().to_string();
        assert!(of_folder().contains("is a folder; name a manifest"), "{}", of_folder());
        for name in ["train.jsonl", "dev.jsonl", "ledger.jsonl", ".hidden.jsonl"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(of_folder().ends_with("(dev.jsonl, train.jsonl)"), "{}", of_folder());
    }

    #[test]
    fn files_of_other_kinds_are_told_as_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut tar = vec![0; 1024];
        tar[257..262].copy_from_slice(b"ustar");
        for (name, bytes, wanted) in [
            (
                "my-train-000012.tar",
                &tar[..],
                "is a tar, and no manifest; name the manifest beside",
            ),
            ("my-train-000012.tar", &tar[..], "my-train.jsonl"),
            ("train.parquet", b"PAR1\x15\0", "train.jsonl"),
            ("train.jsonl", b"\xff\xfe{\0", "UTF-16"),
            ("train.jsonl.gz", b"\x1f\x8b\x08", "unpack"),
            ("train.zip", b"PK\x03\x04", "unpack"),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = Manifest::read(&path).unwrap_err();
            assert!(matches!(error, ManifestError::Foreign { .. }), "{error}");
            let sentence = error.to_string();
            assert!(sentence.contains(wanted) && sentence.contains(name), "{sentence}");
        }
    }
}
