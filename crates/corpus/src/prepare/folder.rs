//! A user's own folder: recordings with a `.txt` of the same name beside each.
//!
//! Audio is known by its extension ([`AUDIO_EXTENSIONS`]), at any depth; names that begin with a dot are
//! passed over. An utterance's id is its path below the folder without the extension. As soon as any
//! recording lies in a subfolder, the first-level subfolders are the speakers, and recordings outside of
//! them have none. A transcript is UTF-8 text, its white space collapsed. A `.txt` whose first line is two
//! numbers with a tab between is an Audacity label track: it becomes the utterance's `labels`, for
//! framewise training, and its labels in order are the transcript. Recordings in formats that are
//! not read ([`FOREIGN_EXTENSIONS`]) are refused by name; where the same recording lies beside them in
//! one that is, a warning counts them.
//!
//! With three or more speakers whole speakers go to the test and development sets, a tenth of the speech
//! each; see the rule in `split.rs`. With fewer, single utterances do, and the report warns that the
//! figures will flatter.

use super::candidate::{Candidate, Found, Measured, Split, check_hold_out};
use super::catalog::CorpusInfo;
use super::output::{CorpusRecord, finish};
use super::paths::{extension, files_under};
use super::split::{FEWEST_SPEAKERS, SHARE, by_speaker, by_utterance};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::clip::fault_of_one_file;
use crate::ledger::Reason;
use labyrinth_signal::is_special_file;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is taken for a recording. Headerless audio is not: nothing in a folder tells its format.
pub const AUDIO_EXTENSIONS: [&str; 12] =
    ["wav", "wave", "flac", "mp3", "m4a", "mp4", "aac", "ogg", "oga", "opus", "sph", "nist"];

/// What is a recording as well, but in a format that is not read.
pub const FOREIGN_EXTENSIONS: [&str; 13] =
    ["aiff", "aif", "webm", "wma", "amr", "3gp", "caf", "mp2", "w64", "mkv", "raw", "pcm", "au"];

/// Training, development and test set need one utterance each.
const FEWEST_UTTERANCES: usize = 3;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "folder",
    title: "your own recordings, a .txt beside each",
    home: "your own folder",
    licence: "yours to know",
    split: "by speaker (subfolder)",
    tried: true,
    published: false,
    prepare: prepare_folder,
};

const EXPECTED: &str = "a folder of recordings with a .txt beside each";

/// Prepares a folder of recordings.
///
/// # Errors
/// [`PrepareError`] where the folder is missing or holds no recording, a disk fails, or the output folder
/// holds something else.
pub fn prepare_folder(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let from = &options.from;
    if !from.exists() {
        let (path, expected) = (from.clone(), EXPECTED.to_owned());
        return Err(PrepareError::MissingFrom { path, expected });
    }
    let found = find(from)?;
    if found.candidates.is_empty() && found.refusals.is_empty() {
        return Err(PrepareError::Empty { path: from.clone(), expected: EXPECTED.to_owned() });
    }
    let record = CorpusRecord {
        title: format!("the recordings of {}", from.display()),
        ..INFO.record(options, String::new())
    };
    let assign =
        |measured: &mut [Measured], record: &mut CorpusRecord, warnings: &mut Vec<String>| {
            split(measured, options, record, warnings)
        };
    finish(record, options, found, assign, progress)
}

/// Every recording and every transcript of a folder, paired by name. Also what `check` looks at.
pub(crate) fn find(from: &Path) -> Result<Found, PrepareError> {
    let root = from.canonicalize().map_err(PrepareError::read(from))?;
    if !root.is_dir() {
        return Err(PrepareError::NotThisCorpus {
            path: from.to_owned(),
            title: "a folder of recordings".to_owned(),
            reason: "it is a file".to_owned(),
            expected: EXPECTED.to_owned(),
        });
    }
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let mut recordings: Vec<PathBuf> = Vec::new();
    let mut foreign: Vec<PathBuf> = Vec::new();
    let mut texts: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for path in files_under(&root)? {
        let end = extension(&path);
        if end == "txt" {
            // `a.txt` and `a.TXT` are two files: the one in lower case is taken, the other named.
            let stem = path.with_extension("");
            let rival = match texts.get(&stem) {
                Some(_) if path.extension().is_none_or(|end| end != "txt") => Some(path),
                _ => texts.insert(stem.clone(), path),
            };
            if let (Some(rival), Some(taken)) = (rival, texts.get(&stem)) {
                let id = rival.strip_prefix(&root).unwrap_or(&rival).to_string_lossy();
                let taken = taken.file_name().unwrap_or_default().to_string_lossy();
                let detail = format!("{taken} beside it was taken; remove one of the two");
                found.refuse(&id, Reason::DuplicateId, detail);
            }
        } else if AUDIO_EXTENSIONS.contains(&end.as_str()) {
            recordings.push(path);
        } else if FOREIGN_EXTENSIONS.contains(&end.as_str()) {
            foreign.push(path);
        }
    }
    let below = |path: &Path| path.strip_prefix(&root).unwrap_or(path).to_owned();
    let nested = recordings.iter().any(|path| below(path).components().count() > 1);
    let mut used = BTreeSet::new();
    for audio in recordings {
        let short = below(&audio);
        let stem = audio.with_extension("");
        let Some(id) = below(&stem).to_str().map(|id| id.replace('\\', "/")) else {
            let id = short.to_string_lossy();
            found.refuse(&id, Reason::UnusableName, format!("{id} is not UTF-8; rename it"));
            used.insert(stem);
            continue;
        };
        used.insert(stem.clone());
        let text = match texts.get(&stem).map(|path| read_raw(path)) {
            None => {
                let detail = format!("{id}.txt is not there");
                found.refuse(&id, Reason::MissingTranscript, detail);
                continue;
            }
            Some(Err(error)) => return Err(error),
            Some(Ok(Err(fault))) => {
                found.refuse(&id, Reason::UnreadableTranscript, format!("{id}.txt {fault}"));
                continue;
            }
            Some(Ok(Ok(text))) => text,
        };
        let spoken = spoken_of_track(&text);
        let labels = spoken.as_ref().and(texts.get(&stem)).cloned();
        let text = collapse(&spoken.unwrap_or(text));
        if text.is_empty() {
            found.refuse(&id, Reason::EmptyTranscript, format!("{id}.txt holds no text"));
            continue;
        }
        let first = short.components().next().map(|part| part.as_os_str().to_string_lossy());
        let in_subfolder = nested && short.components().count() > 1;
        let speaker = first.filter(|_| in_subfolder).map(|name| name.into_owned());
        let candidate = Candidate::new(id, audio, text, speaker, Split::Train);
        found.push(Candidate { labels, ..candidate }, &mut ids);
    }
    refuse_foreign(&foreign, &root, &mut used, &mut found);
    for (stem, text) in texts.iter().filter(|(stem, _)| !used.contains(*stem)) {
        let id = below(stem).to_string_lossy().into_owned();
        let detail = format!("{} stands without a recording", below(text).display());
        found.refuse(&id, Reason::MissingAudio, detail);
    }
    Ok(found)
}

/// Names the recordings that are not read. One that was converted, its original left in place, is no
/// loss, and only counted.
fn refuse_foreign(
    foreign: &[PathBuf],
    root: &Path,
    used: &mut BTreeSet<PathBuf>,
    found: &mut Found,
) {
    let known = used.clone();
    let mut beside = 0;
    for path in foreign {
        let stem = path.with_extension("");
        if known.contains(&stem) {
            beside += 1;
            continue;
        }
        let below = |path: &Path| {
            path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/")
        };
        let (id, name) = (below(&stem), below(path));
        let detail = format!(
            "{name} is in a format that is not read; convert it, for example with ffmpeg, to \
             {id}.wav"
        );
        found.refuse(&id, Reason::UnreadableAudio, detail);
        used.insert(stem);
    }
    if beside > 0 {
        found.warnings.push(format!(
            "{beside} recordings are in formats that are not read; those of the same name beside them \
             were taken"
        ));
    }
}

/// The texts of an Audacity label track, with spaces between; `None` where this is no such track. What is
/// wrong further down in it is told when it is read as one.
fn spoken_of_track(text: &str) -> Option<String> {
    let number = |field: Option<&str>| {
        field.is_some_and(|field| field.trim().replace(',', ".").parse::<f64>().is_ok())
    };
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let mut fields = lines().next()?.split('\t');
    if !(number(fields.next()) && number(fields.next())) {
        return None;
    }
    let texts = lines().filter(|line| !line.starts_with('\\'));
    let texts = texts.filter_map(|line| line.splitn(3, '\t').nth(2));
    Some(texts.collect::<Vec<_>>().join(" "))
}

fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The transcript, or why this one cannot be read.
pub(crate) fn read_text(path: &Path) -> Result<Result<String, &'static str>, PrepareError> {
    Ok(read_raw(path)?.map(|text| collapse(&text)))
}

/// The text as it stands there, or why it cannot be read.
fn read_raw(path: &Path) -> Result<Result<String, &'static str>, PrepareError> {
    if is_special_file(path) {
        return Ok(Err("is no regular file"));
    }
    match fs::read_to_string(path) {
        Ok(text) => Ok(Ok(text.trim_start_matches('\u{feff}').to_owned())),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Err("is not UTF-8")),
        Err(error) => match fault_of_one_file(&error) {
            Some(fault) => Ok(Err(fault)),
            None => Err(PrepareError::read(path)(error)),
        },
    }
}

fn split(
    measured: &mut [Measured],
    options: &PrepareOptions,
    record: &mut CorpusRecord,
    warnings: &mut Vec<String>,
) -> Result<(), PrepareError> {
    let percent = SHARE * 100.0;
    if measured.len() < FEWEST_UTTERANCES {
        warnings.push(format!(
            "{} usable utterance{} too few: at least {FEWEST_UTTERANCES} are needed to train",
            measured.len(),
            if measured.len() == 1 { " is" } else { "s are" }
        ));
    }
    let names = |measured: &[Measured]| -> BTreeSet<String> {
        measured.iter().filter_map(|item| item.candidate.speaker.clone()).collect()
    };
    let speakers = names(measured);
    let without = measured.iter().filter(|item| item.candidate.speaker.is_none()).count();
    if !speakers.is_empty() && without > 0 {
        warnings.push(format!(
            "{without} recordings lie outside of the speakers' subfolders: their speaker is unknown, \
             and they train"
        ));
    }
    if let Some(speaker) = &options.hold_out {
        let known = measured.iter().filter_map(|item| item.candidate.speaker.as_deref());
        check_hold_out(known, speaker, &options.from)?;
        let held = |item: &Measured| item.candidate.speaker.as_ref() == Some(speaker);
        // The held-out speaker is moved out of the way so that dev is a tenth of what remains.
        measured.sort_by_key(|item| !held(item));
        let count = measured.iter().filter(|item| held(item)).count();
        let (test, rest) = measured.split_at_mut(count);
        for item in test.iter_mut() {
            item.candidate.split = Split::Test;
        }
        let dev = if speakers.len() >= FEWEST_SPEAKERS {
            by_speaker(rest, &[Split::Dev]);
            format!("whole speakers, about {percent} % of the other speech")
        } else {
            by_utterance(rest, &[Split::Dev]);
            format!("{percent} % of the other utterances by the SHA-256 of their ids")
        };
        measured.sort_by(|a, b| a.candidate.audio.cmp(&b.candidate.audio));
        record.split_rule = format!("test: all of speaker {speaker}; dev: {dev}; train: the rest");
    } else if speakers.len() >= FEWEST_SPEAKERS {
        by_speaker(measured, &[Split::Test, Split::Dev]);
        record.split_rule = format!(
            "whole speakers (subfolders), in the order of the SHA-256 of their names: test and dev \
             about {percent} % of the speech each, at least one speaker each; train: the rest"
        );
    } else {
        by_utterance(measured, &[Split::Test, Split::Dev]);
        record.split_rule = format!(
            "single utterances, in the order of the SHA-256 of their ids: test {percent} %, dev \
             {percent} %; train: the rest"
        );
        record.speakers_shared = true;
        warnings.push(format!(
            "{} known: the same voices are in training and test, and the figures will flatter; put \
             the recordings of each speaker into a subfolder of their own, {FEWEST_SPEAKERS} speakers or \
             more",
            match speakers.len() {
                0 => "no speakers are".to_owned(),
                1 => "only one speaker is".to_owned(),
                count => format!("only {count} speakers are"),
            }
        ));
    }
    Ok(())
}
