//! Cuts of Lhotse: JSON Lines, plain or gzip, one file a set; each supervision is an utterance.
//!
//! A cut is a section of a recording, a supervision a section of the cut with a text and a speaker.
//! Recordings must be files: what Lhotse would fetch, run or read from a shard is refused, and so are
//! cuts that are mixed or padded, or whose recording is to be perturbed: they are no recordings but a
//! recipe for one.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found};
use super::catalog::CorpusInfo;
use super::list_files::{self, ListFile, ListFiles};
use super::lists::{List, collapse, listed};
use super::section::Section;
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use crate::manifest::CHANNEL;
use labyrinth_text::plain_words::in_plain_words;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "lhotse",
    title: "Lhotse cuts, .jsonl or .jsonl.gz",
    home: "your own data",
    licence: "yours to know",
    split: "by the files' names, else by speaker",
    tried: false,
    published: false,
    prepare: prepare_lhotse,
};

const EXPECTED: &str =
    "a file of Lhotse cuts (.jsonl or .jsonl.gz), or a folder with *cuts*.jsonl.gz";

/// What is read of a cut. Fields may be absent because other kinds of cut lack them.
#[derive(Deserialize)]
struct Cut {
    id: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    start: Option<f64>,
    duration: Option<f64>,
    #[serde(default)]
    supervisions: Vec<Supervision>,
    /// A number, or a list of them (`MultiCut`).
    #[serde(default)]
    channel: Option<Value>,
    recording: Option<Recording>,
}

#[derive(Deserialize)]
struct Supervision {
    id: String,
    start: f64,
    duration: f64,
    text: Option<String>,
    speaker: Option<String>,
    #[serde(default)]
    channel: Option<Value>,
}

#[derive(Deserialize)]
struct Recording {
    sources: Vec<Source>,
    #[serde(default)]
    transforms: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    channels: Vec<u32>,
    source: Value,
}

/// Prepares Lhotse cuts.
///
/// # Errors
/// [`PrepareError`] where there are none under `from`, a line is broken, a disk fails, or the output
/// folder holds something else.
pub fn prepare_lhotse(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let is_one = |name: &str| {
        name.contains("cut") && (name.ends_with(".jsonl") || name.ends_with(".jsonl.gz"))
    };
    let ListFiles { files, rule, warnings } =
        list_files::find(options, "a file of Lhotse cuts", EXPECTED, is_one)?;
    let mut found = Found { warnings, ..Found::default() };
    let mut ids = BTreeSet::new();
    for file in &files {
        read_cuts(file, &mut found, &mut ids)?;
    }
    finish_with_sets(INFO.record(options, rule), options, found, progress)
}

fn read_cuts(
    file: &ListFile,
    found: &mut Found,
    ids: &mut BTreeSet<String>,
) -> Result<(), PrepareError> {
    // As Lhotse takes them: relative to where it was started, which is the folder or one above it.
    let folders: Vec<PathBuf> = file.path.ancestors().skip(1).take(3).map(Path::to_owned).collect();
    let mut list = List::open(&file.path)?;
    loop {
        let read = match list.next() {
            Ok(None) => return Ok(()),
            Ok(Some((number, line))) => Ok((number, serde_json::from_str::<Cut>(line))),
            Err(error) => Err(error),
        };
        let (number, cut) = match read {
            Ok((number, Ok(cut))) => (number, cut),
            Ok((number, Err(error))) => {
                let reason = in_plain_words(&error.to_string());
                let reason = format!("this is no Lhotse cut ({reason})");
                found.refuse_line(list.broken(number, reason))?;
                continue;
            }
            Err(error) => {
                found.refuse_line(error)?;
                continue;
            }
        };
        let audio = match audio_of(&cut, &folders) {
            Ok(Some(audio)) => audio,
            Ok(None) => {
                let reason = "this is no Lhotse cut (it lacks start, duration or recording); make \
                              cuts of recordings and supervisions first";
                found.refuse_line(list.broken(number, reason))?;
                continue;
            }
            Err(detail) => {
                // Each of its utterances, or the cut where it names none.
                let named: Vec<&str> = match &cut.supervisions[..] {
                    [] => vec![&cut.id],
                    supervisions => supervisions.iter().map(|s| s.id.as_str()).collect(),
                };
                for id in named {
                    ids.insert(id.to_owned());
                    found.refuse(id, Reason::NotAFile, &detail);
                }
                continue;
            }
        };
        let start = cut.start.unwrap_or_default();
        if cut.supervisions.is_empty() {
            ids.insert(cut.id.clone());
            found.refuse(&cut.id, Reason::MissingTranscript, "the cut has no supervision");
        }
        for supervision in cut.supervisions {
            let id = supervision.id;
            let text = supervision.text.as_deref().map(collapse).unwrap_or_default();
            if text.is_empty() {
                ids.insert(id.clone());
                found.refuse(
                    &id,
                    Reason::EmptyTranscript,
                    format!("supervision of cut {}", cut.id),
                );
                continue;
            }
            let several = channels_of(&cut.recording);
            let named = [&supervision.channel, &cut.channel];
            let channel = match place_of(several, &named) {
                Ok(channel) => channel,
                Err(reason) => {
                    ids.insert(id.clone());
                    found.refuse(&id, Reason::NotAFile, format!("of cut {}: {reason}", cut.id));
                    continue;
                }
            };
            let mut candidate =
                Candidate::new(id, audio.clone(), text, supervision.speaker, file.split);
            let start = start + supervision.start;
            candidate.section = Some(Section::new(start, Some(supervision.duration)));
            candidate.part.clone_from(&file.part);
            if let Some(channel) = channel {
                candidate.extra.insert(CHANNEL.to_owned(), channel.into());
            }
            found.push(candidate, ids);
        }
    }
}

/// The channels of a recording that is one file.
fn channels_of(recording: &Option<Recording>) -> &[u32] {
    match recording.as_ref().map(|recording| &recording.sources[..]) {
        Some([source]) => &source.channels,
        _ => &[],
    }
}

/// Which of the file's channels is meant, counted from 0: what a supervision says, or else its cut. `None`
/// where there is but one.
fn place_of(channels: &[u32], named: &[&Option<Value>]) -> Result<Option<usize>, String> {
    if channels.len() < 2 {
        return Ok(None);
    }
    let number = |value: &Value| match value {
        Value::Array(list) if list.len() == 1 => list[0].as_u64(),
        value => value.as_u64(),
    };
    let Some(wanted) = named.iter().find_map(|value| value.as_ref().and_then(number)) else {
        let count = channels.len();
        return Err(format!(
            "the recording has {count} channels, and nothing says which is meant; give each cut one channel"
        ));
    };
    let place = channels.iter().position(|channel| u64::from(*channel) == wanted);
    place.map(Some).ok_or_else(|| {
        format!("channel {wanted} is none of the recording's ({channels:?}); correct the cut")
    })
}

/// The file of a cut; `Ok(None)` where it is no cut, `Err` where its sound is no file.
fn audio_of(cut: &Cut, folders: &[PathBuf]) -> Result<Option<PathBuf>, String> {
    if let Some(kind) =
        cut.kind.as_deref().filter(|kind| !matches!(*kind, "MonoCut" | "MultiCut" | "Cut"))
    {
        return Err(format!("cut {} is a {kind}, and no recording", cut.id));
    }
    let (Some(_), Some(_), Some(recording)) = (cut.start, cut.duration, &cut.recording) else {
        return Ok(None);
    };
    if recording.transforms.as_ref().is_some_and(|transforms| !transforms.is_empty()) {
        return Err(format!(
            "the recording of cut {} is to be transformed when it is read",
            cut.id
        ));
    }
    match &recording.sources[..] {
        [Source { kind, source: Value::String(path), .. }] if kind == "file" => {
            Ok(Some(listed(folders, path)))
        }
        [Source { kind, .. }] => {
            Err(format!("the recording of cut {} is a {kind:?}, which is not read", cut.id))
        }
        sources => Err(format!(
            "the recording of cut {} is made of {} files, one is wanted",
            cut.id,
            sources.len()
        )),
    }
}
