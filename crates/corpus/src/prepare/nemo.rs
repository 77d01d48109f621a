//! Manifests of NeMo: JSON Lines with `audio_filepath`, `duration` and `text`, one file a set.
//!
//! It is the form of our own manifests, so that nothing is translated; preparation listens to every
//! recording, checks offsets against it, divides the speakers where there are no sets, and keeps all
//! other keys. Entries of tarred data sets (`shard_id`) name no files and are refused.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found};
use super::catalog::CorpusInfo;
use super::list_files::{self, ListFiles};
use super::lists::{collapse, listed};
use super::section::Section;
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use crate::manifest::{ManifestError, ManifestLines};
use std::collections::BTreeSet;
use std::path::Path;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "nemo",
    title: "NeMo manifests, JSON Lines",
    home: "your own data",
    licence: "yours to know",
    split: "by the files' names, else by speaker",
    tried: false,
    published: false,
    prepare: prepare_nemo,
};

const EXPECTED: &str = "a NeMo manifest (.json or .jsonl), or a folder of them";

/// Prepares NeMo manifests.
///
/// # Errors
/// [`PrepareError`] where there is none under `from`, a line is broken, a disk fails, or the output
/// folder holds something else.
pub fn prepare_nemo(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    // A folder that we prepared ourselves holds these as well.
    let own = ["ledger.jsonl", "corpus.json"];
    let is_one =
        |name: &str| (name.ends_with(".json") || name.ends_with(".jsonl")) && !own.contains(&name);
    let ListFiles { files, rule, warnings } =
        list_files::find(options, "a NeMo manifest", EXPECTED, is_one)?;
    let mut found = Found { warnings, ..Found::default() };
    let mut ids = BTreeSet::new();
    for file in files {
        let mut lines = ManifestLines::open(&file.path)?;
        let folder = file.path.parent().unwrap_or(Path::new("")).to_owned();
        loop {
            let (number, utterance) = match lines.next_line() {
                Ok(Some(line)) => (line.number, line.utterance),
                Ok(None) => break,
                Err(ManifestError::Line { path, line, reason }) => {
                    found.refuse_line(PrepareError::Line { path, line, reason })?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let raw = utterance.raw_format();
            let folders = std::slice::from_ref(&folder);
            let audio = listed(folders, &utterance.audio_filepath);
            let text = collapse(&utterance.text);
            let (id, speaker) = (utterance.id, utterance.speaker);
            if ids.contains(&id) {
                let detail = format!(
                    "{}, line {number}: the id stands in a line before it already",
                    file.path.display()
                );
                found.refuse(&id, Reason::DuplicateId, detail);
            } else if utterance.extra.contains_key("shard_id") {
                let detail =
                    "it lies in a tar shard; name the manifest of the recordings themselves";
                ids.insert(id.clone());
                found.refuse(&id, Reason::NotAFile, detail);
            } else if text.is_empty() {
                ids.insert(id.clone());
                found.refuse(&id, Reason::EmptyTranscript, "its text is empty");
            } else {
                let mut candidate = Candidate::new(id, audio, text, speaker, file.split);
                candidate.raw = raw;
                // NeMo reads no more than the duration, also where no offset is given.
                candidate.section = match (utterance.offset, utterance.duration) {
                    (Some(start), duration) => Some(Section::new(start, Some(duration))),
                    (None, duration) => (duration > 0.0).then(|| Section::first(duration)),
                };
                candidate.labels = utterance.labels.as_ref().map(|path| listed(folders, path));
                candidate.part.clone_from(&file.part);
                candidate.extra = utterance.extra;
                found.push(candidate, &mut ids);
            }
        }
    }
    finish_with_sets(INFO.record(options, rule), options, found, progress)
}
