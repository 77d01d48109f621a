//! VCTK: 110 speakers of English with various accents, some 400 sentences each, 48 kHz.
//!
//! Version 0.92 (`wav48_silence_trimmed/p225/p225_001_mic1.flac`, two microphones) and 0.80
//! (`wav48/p225/p225_001.wav`), texts in `txt/p225/p225_001.txt`. Of two microphones the first is taken,
//! the second where the first is missing; a warning counts what was not. There is no published split: whole
//! speakers are held out. The first 24 sentences are the same for everybody, so that sentences overlap
//! between any sets of speakers.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split};
use super::catalog::CorpusInfo;
use super::folder::read_text;
use super::paths::{extension, files_under};
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "vctk",
    title: "VCTK, English of many accents",
    home: "https://datashare.ed.ac.uk/handle/10283/3443",
    licence: "CC BY 4.0 (version 0.92), ODC-By 1.0 (0.80)",
    split: "ours, by speaker",
    tried: false,
    published: false,
    prepare: prepare_vctk,
};

const AUDIO_FOLDERS: [&str; 4] = ["wav48_silence_trimmed", "wav48", "wav16", "wav"];
const MICROPHONES: [&str; 2] = ["_mic1", "_mic2"];

const SHAPE: Shape = Shape {
    title: "VCTK",
    expected: "the unpacked folder that holds txt and wav48_silence_trimmed or wav48",
    archives: &["vctk"],
    mark: "txt and wav48_silence_trimmed or wav48",
    is_root: |folder| {
        folder.join("txt").is_dir() && AUDIO_FOLDERS.iter().any(|name| folder.join(name).is_dir())
    },
    several: false,
};

/// Prepares VCTK.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, a disk fails, or the output folder holds
/// something else.
pub fn prepare_vctk(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let root = &located.root;
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    // By id: the speaker and the recording, the best microphone.
    let mut recordings: BTreeMap<String, (String, usize, PathBuf)> = BTreeMap::new();
    let mut others = 0;
    let audio = AUDIO_FOLDERS.iter().map(|name| root.join(name)).find(|folder| folder.is_dir());
    for path in files_under(&audio.unwrap_or_default())? {
        if !matches!(extension(&path).as_str(), "flac" | "wav") {
            continue;
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let microphone = MICROPHONES.iter().position(|end| stem.ends_with(end));
        let id =
            microphone.and_then(|which| stem.strip_suffix(MICROPHONES[which])).unwrap_or(&stem);
        let speaker = path.parent().and_then(|folder| folder.file_name()).unwrap_or_default();
        let entry = (speaker.to_string_lossy().into_owned(), microphone.unwrap_or(0), path.clone());
        match recordings.get(id) {
            Some(other) if other.1 <= entry.1 => others += 1,
            Some(_) => {
                others += 1;
                recordings.insert(id.to_owned(), entry);
            }
            None => {
                recordings.insert(id.to_owned(), entry);
            }
        }
    }
    let mut texts: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in files_under(&root.join("txt"))?.into_iter().filter(|p| extension(p) == "txt") {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        texts.insert(stem, path);
    }
    for (id, (speaker, _, audio)) in recordings {
        let Some(path) = texts.remove(&id) else {
            let detail = format!("txt/{speaker}/{id}.txt is not there");
            found.refuse(&id, Reason::MissingTranscript, detail);
            continue;
        };
        match read_text(&path)? {
            Err(fault) => {
                let detail = format!("{} {fault}", path.display());
                found.refuse(&id, Reason::UnreadableTranscript, detail);
            }
            Ok(text) if text.is_empty() => {
                let detail = format!("{} holds no text", path.display());
                found.refuse(&id, Reason::EmptyTranscript, detail);
            }
            Ok(text) => {
                found.push(Candidate::new(id, audio, text, Some(speaker), Split::Train), &mut ids);
            }
        }
    }
    for (id, path) in texts {
        let detail = format!("{} stands without a recording", path.display());
        found.refuse(&id, Reason::MissingAudio, detail);
    }
    if others > 0 {
        found.warnings.push(format!(
            "{others} recordings are those of a second microphone and were not read"
        ));
    }
    let report = finish_with_sets(INFO.record(options, String::new()), options, found, progress)?;
    located.keep();
    Ok(report)
}
