//! CMU ARCTIC: the same 1132 sentences by each of several speakers, 16 kHz, made for speech synthesis.
//!
//! A folder a speaker, `cmu_us_SPEAKER_arctic`, with `wav/arctic_a0001.wav` and so on and the prompts in
//! `etc/txt.done.data`; `--from` names one of them or a folder of several. There is no published split.
//! Ours goes by sentences, so that no sentence is in two sets: of the numbers those that end in 0 are the
//! test, those in 5 the development set. Every speaker is then in all sets; `--hold-out` or
//! `--test-speakers` divide by speakers, who then read sentences that were trained on.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split};
use super::catalog::CorpusInfo;
use super::lists::{broken, collapse, lines};
use super::output::CorpusRecord;
use super::paths::{entries, extension};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "arctic",
    title: "CMU ARCTIC, the same 1132 sentences by each speaker",
    home: "http://www.festvox.org/cmu_arctic/",
    licence: "BSD-style, for any purpose",
    split: "ours, by sentence; every speaker in all sets",
    tried: false,
    published: false,
    prepare: prepare_arctic,
};

const EXPECTED: &str =
    "the unpacked folder of a speaker (cmu_us_bdl_arctic), or a folder of several";
const PROMPTS: &str = "etc/txt.done.data";

/// Prepares CMU ARCTIC.
///
/// # Errors
/// [`PrepareError`] where no speaker is under `from`, the prompts are broken, a disk fails, or the output
/// folder holds something else.
pub fn prepare_arctic(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let from = &options.from;
    PrepareError::refuse_missing(from, EXPECTED)?;
    let root = from.canonicalize().map_err(PrepareError::read(from))?;
    let is_speaker = |folder: &Path| folder.join(PROMPTS).is_file();
    let speakers: Vec<PathBuf> = if is_speaker(&root) {
        vec![root]
    } else if root.is_dir() {
        entries(&root)?.into_iter().filter(|path| is_speaker(path)).collect()
    } else {
        Vec::new()
    };
    if speakers.is_empty() {
        return Err(PrepareError::NotThisCorpus {
            path: from.clone(),
            title: "CMU ARCTIC".to_owned(),
            reason: format!("no {PROMPTS} is there; its archives are bzip2, unpack them first"),
            expected: EXPECTED.to_owned(),
        });
    }
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    for folder in &speakers {
        read_speaker(folder, &mut found, &mut ids)?;
    }
    let rule = "by sentence: test: numbers that end in 0; dev: in 5; train: the others; every speaker \
                is in all three";
    let record = CorpusRecord { speakers_shared: true, ..INFO.record(options, rule.to_owned()) };
    finish_with_sets(record, options, found, progress)
}

fn read_speaker(
    folder: &Path,
    found: &mut Found,
    ids: &mut BTreeSet<String>,
) -> Result<(), PrepareError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let speaker = name.strip_prefix("cmu_us_").unwrap_or(&name);
    let speaker = speaker.split("_arctic").next().unwrap_or(speaker).to_owned();
    let wav = folder.join("wav");
    let mut recordings: BTreeMap<String, PathBuf> = BTreeMap::new();
    if wav.is_dir() {
        for path in entries(&wav)?.into_iter().filter(|path| extension(path) == "wav") {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            recordings.insert(stem, path);
        }
    }
    let prompts = folder.join(PROMPTS);
    for (number, line) in lines(&prompts)? {
        let Some((sentence, text)) = parse_prompt(&line) else {
            return Err(broken(&prompts, number, "this is not ( NAME \"TEXT\" )"));
        };
        let id = format!("{speaker}_{sentence}");
        let Some(audio) = recordings.remove(sentence) else {
            let new = ids.insert(id.clone());
            let reason = if new { Reason::MissingAudio } else { Reason::DuplicateId };
            found.refuse(&id, reason, format!("{}, line {number}", prompts.display()));
            continue;
        };
        if text.is_empty() {
            ids.insert(id.clone());
            let detail = format!("{}, line {number}", prompts.display());
            found.refuse(&id, Reason::EmptyTranscript, detail);
            continue;
        }
        let split = match sentence.chars().last() {
            Some('0') => Split::Test,
            Some('5') => Split::Dev,
            _ => Split::Train,
        };
        found.push(Candidate::new(id, audio, text, Some(speaker.clone()), split), ids);
    }
    for (stem, audio) in recordings {
        let detail = format!("{} does not name {}", prompts.display(), audio.display());
        found.refuse(&format!("{speaker}_{stem}"), Reason::MissingTranscript, detail);
    }
    Ok(())
}

/// Name and text of `( arctic_a0001 "Author of …" )`, a Scheme list with quotes after backslashes.
fn parse_prompt(line: &str) -> Option<(&str, String)> {
    let inner = line.trim().strip_prefix('(')?.strip_suffix(')')?.trim();
    let (name, text) = inner.split_once(char::is_whitespace)?;
    let text = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some((name, collapse(&text.replace("\\\"", "\""))))
}
