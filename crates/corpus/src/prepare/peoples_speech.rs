//! The People's Speech: FLAC of up to some fifteen seconds, listed in JSON Lines, a line a source.
//!
//! A line has an `identifier` and `training_data` with the lists `name` (paths of recordings), `label`
//! (texts) and `duration_ms`, all of one length. The lists are `train/clean.json`, `train/clean_sa.json`,
//! `train/dirty.json`, `train/dirty_sa.json`, `validation/validation.json` and `test/test.json`, the
//! recordings in the folder of the list's name. Sources are no speakers: none are known.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split};
use super::catalog::CorpusInfo;
use super::lists::{List, collapse, inside};
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use labyrinth_text::plain_words::in_plain_words;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "peoples-speech",
    title: "The People's Speech, English from the Internet Archive",
    home: "https://mlcommons.org/datasets/peoples-speech/",
    licence: "CC BY 4.0 and CC BY-SA 4.0 (the _sa subsets)",
    split: "published",
    tried: false,
    published: true,
    prepare: prepare_peoples_speech,
};

const LISTS: [(&str, Split); 6] = [
    ("train/clean", Split::Train),
    ("train/clean_sa", Split::Train),
    ("train/dirty", Split::Train),
    ("train/dirty_sa", Split::Train),
    ("validation/validation", Split::Dev),
    ("test/test", Split::Test),
];

const SHAPE: Shape = Shape {
    title: "The People's Speech",
    expected: "the folder that holds train/clean.json and others",
    archives: &[],
    mark: "train/clean.json or another of its lists",
    is_root: |folder| LISTS.iter().any(|(list, _)| folder.join(format!("{list}.json")).is_file()),
    several: false,
};

#[derive(Deserialize)]
struct Source {
    identifier: String,
    training_data: Entries,
}

#[derive(Deserialize)]
struct Entries {
    name: Vec<String>,
    label: Vec<String>,
}

/// Prepares The People's Speech.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, a list is broken, a disk fails, or the output
/// folder holds something else.
pub fn prepare_peoples_speech(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let mut rules = Vec::new();
    for (name, split) in LISTS {
        let list = located.root.join(format!("{name}.json"));
        if list.is_file() {
            read_list(&list, &located.root.join(name), split, &mut found, &mut ids)?;
            rules.push(format!("{}: {name}", split.name()));
        }
    }
    let record = INFO.record(options, rules.join("; "));
    let report = finish_with_sets(record, options, found, progress)?;
    located.keep();
    Ok(report)
}

fn read_list(
    path: &Path,
    folder: &Path,
    split: Split,
    found: &mut Found,
    ids: &mut BTreeSet<String>,
) -> Result<(), PrepareError> {
    let mut list = List::open(path)?;
    while let Some((number, line)) = list.next()? {
        let source: Result<Source, _> = serde_json::from_str(line);
        let source = source.map_err(|error| {
            let reason = in_plain_words(&error.to_string());
            list.broken(number, format!("this is no source of recordings ({reason})"))
        })?;
        let Entries { name: names, label: labels } = source.training_data;
        if names.len() != labels.len() {
            let reason = format!(
                "{} has {} names and {} labels",
                source.identifier,
                names.len(),
                labels.len()
            );
            return Err(list.broken(number, reason));
        }
        for (name, label) in names.into_iter().zip(labels) {
            let id = name.strip_suffix(".flac").unwrap_or(&name);
            let text = collapse(&label);
            let refusal = match inside(folder, &name) {
                None => Err((Reason::OutsideCorpus, format!("{name:?} leads out of the corpus"))),
                Some(_) if text.is_empty() => {
                    Err((Reason::EmptyTranscript, format!("{}, line {number}", path.display())))
                }
                Some(audio) => Ok(audio),
            };
            match refusal {
                Ok(audio) => found.push(Candidate::new(id, audio, text, None, split), ids),
                Err((reason, detail)) => {
                    ids.insert(id.to_owned());
                    found.refuse(id, reason, detail);
                }
            }
        }
    }
    Ok(())
}
