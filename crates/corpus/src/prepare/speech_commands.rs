//! Google Speech Commands: one word a file, one second at 16 kHz, version 1 (30 words) or 2 (35).
//!
//! A file is `WORD/SPEAKER_nohash_NUMBER.wav`; `validation_list.txt` and `testing_list.txt` name those of
//! the two sets, and all others train. The sets are made from a hash of the speaker, so that speakers are
//! disjoint. The recordings of `_background_noise_` are no utterances: the ledger names them as left
//! out, and `noise.jsonl` holds them cut into seconds, without text, for those who train a class of
//! silence or mix noise in.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split, measure};
use super::catalog::CorpusInfo;
use super::lists::lines;
use super::paths::{entries, extension};
use super::section::Section;
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "speech-commands",
    title: "Google Speech Commands, single words",
    home: "https://arxiv.org/abs/1804.03209 names the archives",
    licence: "CC BY 4.0",
    split: "published lists",
    tried: false,
    published: true,
    prepare: prepare_speech_commands,
};

const LISTS: [(&str, Split); 2] =
    [("validation_list.txt", Split::Dev), ("testing_list.txt", Split::Test)];

const NOISE: &str = "_background_noise_";

/// A clip of the corpus lasts a second, and so does a piece of noise.
const PIECE: f64 = 1.0;

const SHAPE: Shape = Shape {
    title: "Speech Commands",
    expected: "the unpacked folder with testing_list.txt, or speech_commands_v0.02.tar.gz",
    archives: &["speech_commands_v0.02", "speech_commands"],
    mark: "testing_list.txt and validation_list.txt",
    is_root: |folder| LISTS.iter().all(|(list, _)| folder.join(list).is_file()),
    several: false,
};

/// Prepares Speech Commands.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, a list is broken, a disk fails, or the output
/// folder holds something else.
pub fn prepare_speech_commands(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let root = located.root.clone();
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let mut listed: BTreeMap<String, (Split, &str)> = BTreeMap::new();
    for (list, split) in LISTS {
        for (_, line) in lines(&root.join(list))? {
            let name = line.trim().to_owned();
            match listed.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert((split, list));
                }
                Entry::Occupied(entry) => {
                    let detail = format!("{list} names it once more");
                    found.refuse(entry.key(), Reason::DuplicateId, detail);
                }
            }
        }
    }
    for folder in entries(&root)?.into_iter().filter(|path| path.is_dir()) {
        let word = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let recordings = entries(&folder)?.into_iter().filter(|path| extension(path) == "wav");
        if word == NOISE {
            let recordings: Vec<_> = recordings.collect();
            cut_noise(&recordings, &mut found, progress)?;
            continue;
        }
        for audio in recordings {
            let stem = audio.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let id = format!("{word}/{stem}");
            let (split, _) =
                listed.remove(&format!("{id}.wav")).unwrap_or((Split::Train, "no list"));
            match stem.split_once("_nohash_") {
                Some((speaker, _)) if !speaker.is_empty() => {
                    let speaker = Some(speaker.to_owned());
                    found.push(Candidate::new(id, audio, &word, speaker, split), &mut ids);
                }
                _ => found.refuse(
                    &id,
                    Reason::UnexpectedName,
                    "the form is WORD/SPEAKER_nohash_NUMBER.wav",
                ),
            }
        }
    }
    for (name, (_, list)) in listed {
        let id = name.strip_suffix(".wav").unwrap_or(&name);
        found.refuse(id, Reason::MissingAudio, format!("{list} names {name}, which is not there"));
    }
    let rule = "dev: validation_list.txt; test: testing_list.txt; train: all others, as published";
    let record = INFO.record(options, rule.to_owned());
    let report = finish_with_sets(record, options, found, progress)?;
    located.keep();
    Ok(report)
}

/// Recordings of noise as sections of a second; what is left at an end is not used.
fn cut_noise(
    recordings: &[std::path::PathBuf],
    found: &mut Found,
    progress: Progress<'_>,
) -> Result<(), PrepareError> {
    let name =
        |path: &Path| format!("{NOISE}/{}", path.file_stem().unwrap_or_default().to_string_lossy());
    let whole = recordings
        .iter()
        .map(|path| Candidate::new(name(path), path.clone(), "", None, Split::Train))
        .collect();
    let (measured, refusals) = measure(whole, progress)?;
    found.refusals.extend(refusals);
    let mut pieces = Vec::new();
    for item in measured {
        let count = (item.duration / PIECE).floor() as usize;
        for piece in 0..count {
            let start = piece as f64 * PIECE;
            let id = format!("{}@{piece}", item.candidate.id);
            let mut candidate = Candidate { id, ..item.candidate.clone() };
            candidate.section = Some(Section::new(start, Some(PIECE)));
            pieces.push(candidate);
        }
        let detail =
            format!("it is noise, and stands in noise.jsonl as {count} pieces of {PIECE} s");
        found.refuse(&item.candidate.id, Reason::LeftOut, detail);
    }
    found.beside.push(("noise", pieces));
    Ok(())
}
