//! LibriSpeech and mini LibriSpeech: read English from audiobooks, FLAC at 16 kHz.
//!
//! Read from the tree `LibriSpeech/SUBSET/READER/CHAPTER/` with a `READER-CHAPTER.trans.txt` in each
//! chapter, from one of its subsets, or from the archive of one. Copies in other formats (MP3) are taken
//! where there is no FLAC of the name; a warning says that they are lossy.
//!
//! The sets are the publishers': `train-*`, `dev-*`, `test-*`, all that are there. Results are published
//! for `test-clean` and `test-other` apart, so each has its manifest beside `test.jsonl`. Mini
//! LibriSpeech has no test set of its own; `dev-clean-2` is what Kaldi's recipe reports on and is the
//! test set here too, with whole training speakers as the development set. A tree without a training
//! subset is divided by speakers: by `--test-speakers` and `--dev-speakers`, or by the usual rule.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split};
use super::catalog::CorpusInfo;
use super::folder::AUDIO_EXTENSIONS;
use super::lists::{broken, collapse, lines};
use super::paths::{entries, extension, files_under};
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "librispeech",
    title: "LibriSpeech and mini LibriSpeech, read English",
    home: "https://www.openslr.org/12/ and https://www.openslr.org/31/",
    licence: "CC BY 4.0",
    split: "published; mini: dev-clean-2 is the test",
    tried: true,
    published: true,
    prepare: prepare_librispeech,
};

/// Each subset, its set, and how many utterances were published.
const SUBSETS: [(&str, Split, usize); 9] = [
    ("train-clean-100", Split::Train, 28539),
    ("train-clean-360", Split::Train, 104014),
    ("train-other-500", Split::Train, 148688),
    ("train-clean-5", Split::Train, 1519),
    ("dev-clean", Split::Dev, 2703),
    ("dev-other", Split::Dev, 2864),
    ("dev-clean-2", Split::Test, 1089),
    ("test-clean", Split::Test, 2620),
    ("test-other", Split::Test, 2939),
];

const SHAPE: Shape = Shape {
    title: "LibriSpeech",
    expected: "the LibriSpeech folder, one of its subsets, or the archive of one",
    archives: &["train-clean", "train-other", "dev-clean", "dev-other", "test-clean", "test-other"],
    mark: "folders like train-clean-100 or dev-clean",
    is_root: |folder| {
        SUBSETS.iter().any(|(name, ..)| {
            let subset = folder.join(name);
            subset.is_dir()
                && entries(&subset).is_ok_and(|inside| inside.iter().any(|p| p.is_dir()))
        })
    },
    several: true,
};

/// Prepares LibriSpeech.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, a list of transcripts is broken, a disk fails,
/// or the output folder holds something else.
pub fn prepare_librispeech(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let mut options = options.clone();
    let mut only = None;
    // One of the subsets itself: the tree above, and nothing else of it.
    if let Ok(from) = options.from.canonicalize() {
        // A folder of archives may have any name.
        let is_tree = from.is_dir() && options.archives.is_empty();
        let subset = from.file_name().and_then(|name| SUBSETS.iter().find(|(n, ..)| name == *n));
        if let (Some((name, ..)), Some(above), true) = (subset, from.parent(), is_tree) {
            only = Some(*name);
            options.from = above.to_owned();
        }
    }
    let located = locate(&SHAPE, &options)?;
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let mut rules: BTreeMap<Split, Vec<&str>> = BTreeMap::new();
    let mut lossy = BTreeSet::new();
    for (name, split, published) in SUBSETS {
        let folder = located.root.join(name);
        if !folder.is_dir() || only.is_some_and(|only| only != name) {
            continue;
        }
        let before = found.candidates.len() + found.refusals.len();
        read_subset(&folder, name, split, &mut found, &mut ids, &mut lossy)?;
        let read = found.candidates.len() + found.refusals.len() - before;
        rules.entry(split).or_default().push(name);
        if read != published {
            found.warnings.push(format!(
                "this copy of {name} holds {read} utterances, the published one {published}: figures \
                 do not compare with others'"
            ));
        }
    }
    if !lossy.is_empty() {
        found.warnings.push(format!(
            "recordings are copies in {}, the published ones are FLAC: say so beside a figure",
            lossy.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    let rule: Vec<String> = rules
        .into_iter()
        .map(|(split, names)| format!("{}: {}", split.name(), names.join(", ")))
        .collect();
    let record = INFO.record(&options, rule.join("; "));
    let report = finish_with_sets(record, &options, found, progress)?;
    located.keep();
    Ok(report)
}

/// Every transcript and every recording of a subset.
fn read_subset(
    folder: &Path,
    part: &str,
    split: Split,
    found: &mut Found,
    ids: &mut BTreeSet<String>,
    lossy: &mut BTreeSet<String>,
) -> Result<(), PrepareError> {
    // FLAC before all others, which are taken in the order of the list.
    let rank = |path: &Path| match extension(path).as_str() {
        "flac" => Some(0),
        other => AUDIO_EXTENSIONS.iter().position(|end| *end == other).map(|rank| rank + 1),
    };
    let mut recordings: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut lists = Vec::new();
    for path in files_under(folder)? {
        if path.to_str().is_some_and(|path| path.ends_with(".trans.txt")) {
            lists.push(path);
        } else if rank(&path).is_some() {
            let stem = path.with_extension("");
            let better = recordings.get(&stem).is_none_or(|other| rank(&path) < rank(other));
            if better {
                recordings.insert(stem, path);
            }
        }
    }
    for list in lists {
        for (number, line) in lines(&list)? {
            let (id, text) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            let Some(reader) = id.split('-').next().filter(|_| id.split('-').count() == 3) else {
                let reason = format!("{id:?} is not READER-CHAPTER-NUMBER");
                return Err(broken(&list, number, reason));
            };
            let text = collapse(text);
            let stem = list.with_file_name(id);
            let Some(audio) = recordings.remove(&stem) else {
                if !ids.insert(id.to_owned()) {
                    let detail = format!("{}, line {number}", list.display());
                    found.refuse(id, Reason::DuplicateId, detail);
                } else {
                    found.refuse(
                        id,
                        Reason::MissingAudio,
                        format!("{}.flac is not there", stem.display()),
                    );
                }
                continue;
            };
            if text.is_empty() {
                ids.insert(id.to_owned());
                let detail = format!("{}, line {number}", list.display());
                found.refuse(id, Reason::EmptyTranscript, detail);
                continue;
            }
            if extension(&audio) != "flac" {
                lossy.insert(extension(&audio));
            }
            let mut candidate = Candidate::new(id, audio, text, Some(reader.to_owned()), split);
            candidate.part = Some(part.to_owned());
            found.push(candidate, ids);
        }
    }
    for (stem, audio) in recordings {
        let id = stem.file_name().unwrap_or_default().to_string_lossy();
        let detail = format!("no .trans.txt names {}", audio.display());
        found.refuse(&id, Reason::MissingTranscript, detail);
    }
    Ok(())
}
