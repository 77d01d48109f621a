//! Writes what a preparation found, and never over anything else.

use super::assign::name_speakers;
use super::candidate::{Found, Measured, Split, measure};
use super::paths::manifest_path;
use super::report::PrepareReport;
use super::{PrepareError, PrepareOptions};
use crate::Progress;
use crate::atomic::{sweep, write_atomically};
use crate::ledger::{Ledger, Reason, Refusal};
use crate::manifest::{Manifest, Utterance};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file beside the manifests that holds a [`CorpusRecord`].
pub const CORPUS_FILE: &str = "corpus.json";

/// What a prepared corpus is; `check` reads it to know which faults its publishers built in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorpusRecord {
    /// Its name on the command line: `an4`, `librispeech`, `folder` …
    pub corpus: String,
    /// Its name in words.
    pub title: String,
    /// Where a user gets it.
    pub home: String,
    /// Its licence, in a line.
    pub licence: String,
    /// The split is its publishers': what overlaps in it is theirs, and only worth a warning.
    pub published_split: bool,
    /// The same voices are in training and test by the very rule of the split.
    pub speakers_shared: bool,
    /// The rule of the split, in words.
    pub split_rule: String,
    /// The speaker held out, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<String>,
}

/// Makes the output folder and gives its canonical path.
pub(crate) fn make_folder(out: &Path) -> Result<PathBuf, PrepareError> {
    fs::create_dir_all(out).map_err(PrepareError::write(out))?;
    out.canonicalize().map_err(PrepareError::write(out))
}

/// Decodes the recordings, lets `assign` change the split now that durations are known, and writes the
/// manifests, the ledger and the record. `assign` may also correct the record and add warnings.
pub(crate) fn finish(
    mut corpus: CorpusRecord,
    options: &PrepareOptions,
    mut found: Found,
    assign: impl FnOnce(
        &mut [Measured],
        &mut CorpusRecord,
        &mut Vec<String>,
    ) -> Result<(), PrepareError>,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let mut measured = found.measure(progress)?;
    assign(&mut measured, &mut corpus, &mut found.warnings)?;
    if options.names_speakers() {
        name_speakers(&mut measured, options, &mut corpus, &mut found.warnings)?;
    }
    let out = make_folder(&options.out)?;
    let mut manifests = Split::ALL.map(|split| Manifest {
        path: options.out.join(format!("{}.jsonl", split.name())),
        utterances: Vec::new(),
    });
    let mut ledger = Ledger::new();
    let mut unusable = Vec::new();
    let mut parts: BTreeMap<(Split, String), Vec<Utterance>> = BTreeMap::new();
    measured.retain(|item| {
        let candidate = &item.candidate;
        let Some(path) = manifest_path(&out, &candidate.audio) else {
            let detail = format!("{} is not UTF-8; rename it", candidate.audio.display());
            unusable.push(Refusal::new(&candidate.id, Reason::UnusableName, detail));
            return false;
        };
        let labels = match &candidate.labels {
            None => None,
            Some(labels) => match manifest_path(&out, labels) {
                Some(path) => Some(path),
                None => {
                    let detail = format!("{} is not UTF-8; rename it", labels.display());
                    unusable.push(Refusal::new(&candidate.id, Reason::UnusableName, detail));
                    return false;
                }
            },
        };
        let mut utterance = describe(item, path);
        utterance.labels = labels;
        if let Some(part) = &candidate.part {
            parts.entry((candidate.split, part.clone())).or_default().push(utterance.clone());
        }
        manifests[candidate.split as usize].utterances.push(utterance);
        ledger.keep();
        true
    });
    for refusal in found.refusals.into_iter().chain(unusable) {
        ledger.refuse(refusal);
    }
    if ledger.kept_count() == 0 {
        remove_if_empty(&options.out);
        let first = ledger.refusals().first().map_or_else(String::new, |refusal| {
            format!("{}, {}: {}", refusal.id, refusal.reason, refusal.detail)
        });
        let (path, read) = (options.from.clone(), ledger.read_count());
        return Err(PrepareError::NothingKept { path, read, first });
    }
    for manifest in &manifests {
        if manifest.utterances.is_empty() {
            found.warnings.push(format!("{} is empty", manifest.path.display()));
        }
    }
    let mut beside = beside_the_sets(&options.out, parts, &manifests);
    for (name, candidates) in found.beside {
        let (kept, _) = measure(candidates, &|_, _| {})?;
        let utterances = kept
            .iter()
            .filter_map(|item| Some(describe(item, manifest_path(&out, &item.candidate.audio)?)))
            .collect();
        beside.push(Manifest { path: options.out.join(format!("{name}.jsonl")), utterances });
    }
    let all: Vec<&Manifest> = manifests.iter().chain(&beside).collect();
    write_all(options, &all, &ledger, &corpus)?;
    let beside = beside.iter().map(|m| (m.path.clone(), m.utterances.len())).collect();
    let mut report =
        PrepareReport::new(corpus, options.out.clone(), &measured, ledger, found.warnings);
    report.beside = beside;
    Ok(report)
}

/// The line of the manifest.
fn describe(item: &Measured, path: String) -> Utterance {
    let candidate = &item.candidate;
    let mut utterance = Utterance::new(&candidate.id, path, item.duration, &candidate.text);
    utterance.offset = item.offset;
    utterance.speaker.clone_from(&candidate.speaker);
    utterance.extra.clone_from(&candidate.extra);
    if let Some(raw) = &candidate.raw {
        utterance.encoding = Some(raw.encoding);
        utterance.sample_rate = Some(raw.sample_rate);
        utterance.channels = Some(raw.channels);
    }
    utterance
}

/// Where the publishers report on parts of a set (`test-clean`, `test-other`), each part has a manifest
/// of its own beside that of the set.
fn beside_the_sets(
    out: &Path,
    parts: BTreeMap<(Split, String), Vec<Utterance>>,
    manifests: &[Manifest; 3],
) -> Vec<Manifest> {
    parts
        .into_iter()
        .filter(|((split, _), utterances)| {
            *split != Split::Train && utterances.len() < manifests[*split as usize].utterances.len()
        })
        .map(|((_, part), utterances)| {
            // A part that is called like a file of ours must not take its place.
            let ours = ["train", "dev", "test", "ledger"].contains(&part.as_str());
            let name = if ours { format!("part-{part}.jsonl") } else { format!("{part}.jsonl") };
            Manifest { path: out.join(name), utterances }
        })
        .collect()
}

/// A folder that was made for an output which then failed is taken away again, unless it holds
/// something.
pub(crate) fn remove_if_empty(out: &Path) {
    // Only an empty folder can be removed this way; any other outcome leaves things as they are.
    let _ = fs::remove_dir(out);
}

fn write_all(
    options: &PrepareOptions,
    manifests: &[&Manifest],
    ledger: &Ledger,
    corpus: &CorpusRecord,
) -> Result<(), PrepareError> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for manifest in manifests {
        let mut bytes = Vec::new();
        manifest.write_jsonl(&mut bytes).map_err(PrepareError::write(&manifest.path))?;
        files.push((manifest.path.clone(), bytes));
    }
    files.push((options.out.join("ledger.jsonl"), ledger.to_jsonl().into_bytes()));
    let path = options.out.join(CORPUS_FILE);
    let mut record = serde_json::to_vec_pretty(corpus)
        .map_err(|error| PrepareError::Write { path: path.clone(), source: error.into() })?;
    record.push(b'\n');
    files.push((path, record));
    // All are compared before the first is written: a refusal changes nothing.
    for (path, bytes) in &files {
        if !options.force && path.exists() {
            let old = fs::read(path).map_err(PrepareError::read(path))?;
            if old != *bytes {
                return Err(PrepareError::Occupied { path: path.clone() });
            }
        }
    }
    for (path, bytes) in &files {
        write_atomically(path, |writer| writer.write_all(bytes))
            .map_err(PrepareError::write(path))?;
    }
    sweep(files.iter().map(|(path, _)| &**path));
    Ok(())
}
