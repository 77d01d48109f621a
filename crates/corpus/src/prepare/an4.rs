//! CMU AN4: spelled letters, digits and control words, 1078 utterances of 84 speakers at 16 kHz.
//!
//! Read from the archives as CMU ships them (`an4_raw.bigendian.tar.gz`, `an4_sphere.tar.gz`, or plain
//! `.tar`), from the unpacked tree (`wav/an4_clstk/SPEAKER/*.raw` or `*.sph`), or from a tree in which
//! the same files stand as FLAC under `flac/`. The lists `etc/an4_train.fileids` and
//! `etc/an4_test.fileids` decide what belongs to the corpus; where an utterance is there in several
//! forms, the first of FLAC, SPHERE, WAV and raw is taken. Raw files carry no header: they are 16-bit
//! mono at 16 kHz, and their byte order is found from the sound itself, as the corpus's own README
//! contradicts the name of the archive.
//!
//! The test set is the standard one (130 utterances, 10 speakers). The development set is eight whole
//! training speakers: with n training speakers in the order of their names, every floor(n / 8)-th. Of
//! the 74 these are the 9th, 18th, … 72nd.

use super::candidate::{Candidate, Found, Split, hold_out};
use super::catalog::CorpusInfo;
use super::output::finish;
use super::paths::{extension, files_under};
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::clip::fault_of_one_file;
use crate::ledger::Reason;
use labyrinth_signal::{Encoding, RawFormat};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "an4",
    title: "CMU AN4, spelled letters, digits and control words",
    home: "http://www.speech.cs.cmu.edu/databases/an4/",
    licence: "BSD-style, for any purpose; the text stands in the corpus's own files",
    split: "published test; dev: 8 training speakers",
    tried: true,
    published: true,
    prepare: prepare_an4,
};

const PUBLISHED_UTTERANCES: usize = 1078;
const DEV_SPEAKERS: usize = 8;
const SAMPLE_RATE: u32 = 16000;

/// Folders of the tree and the extensions sought there, best first.
const FORMS: [(&str, &str); 5] =
    [("flac", "flac"), ("wav", "flac"), ("wav", "sph"), ("wav", "wav"), ("wav", "raw")];

const SHAPE: Shape = Shape {
    title: "CMU AN4",
    expected: "the folder that holds an4_raw.bigendian.tar.gz or an4_sphere.tar.gz, or the unpacked \
               an4 folder",
    // SPHERE first: its headers leave nothing to be guessed.
    archives: &["an4_sphere", "an4_raw.big", "an4_raw", "an4"],
    mark: "etc/an4_train.fileids",
    is_root: |folder| folder.join("etc/an4_train.fileids").is_file(),
    several: false,
};

/// Prepares AN4.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, its lists are broken, a disk fails, or the
/// output folder holds something else.
pub fn prepare_an4(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let root = located.root.clone();
    let mut found = Found::default();
    let mut transcripts = read_transcripts(&root)?;
    let order = byte_order(&root)?;
    let mut ids = BTreeSet::new();
    let mut training = BTreeSet::new();
    for (list, split) in [("an4_train", Split::Train), ("an4_test", Split::Test)] {
        for file_id in read_file_ids(&root.join(format!("etc/{list}.fileids")))? {
            let id = last_part(&file_id).to_owned();
            let speaker = file_id.rsplit('/').nth(1).map(str::to_owned);
            if split == Split::Train {
                training.extend(speaker.clone());
            }
            let Some(audio) = find_audio(&root, &file_id) else {
                ids.insert(id.clone());
                found.refuse(&id, Reason::MissingAudio, format!("{file_id} is there in no form"));
                continue;
            };
            let Some(text) = transcripts.remove(&id) else {
                let reason = if ids.insert(id.clone()) {
                    Reason::MissingTranscript
                } else {
                    Reason::DuplicateId
                };
                found.refuse(&id, reason, format!("etc/{list}.fileids, {file_id}"));
                continue;
            };
            if text.is_empty() {
                ids.insert(id.clone());
                found.refuse(&id, Reason::EmptyTranscript, "between <s> and </s> stands no word");
                continue;
            }
            let raw = (extension(&audio) == "raw").then_some(RawFormat {
                encoding: order,
                sample_rate: SAMPLE_RATE,
                channels: 1,
            });
            let whole = Candidate::new(id, audio, text, speaker, split);
            found.push(Candidate { raw, ..whole }, &mut ids);
        }
    }
    refuse_unlisted(&root, &transcripts, &ids, &mut found)?;
    let dev = choose_dev(&training, &mut found.candidates);
    let mut rule = format!(
        "test: the standard test set, its speakers in no other; dev: {dev}; train: the other speakers"
    );
    if let Some(speaker) = &options.hold_out {
        hold_out(&mut found.candidates, speaker, &options.from)?;
        rule = format!(
            "test: all of speaker {speaker}; dev: {dev}, without {speaker}; train: the other speakers, \
             those of the standard test set included"
        );
    }
    let read = found.candidates.len() + found.refusals.len();
    if read != PUBLISHED_UTTERANCES {
        found.warnings.push(format!(
            "this copy holds {read} utterances, the published corpus {PUBLISHED_UTTERANCES}: figures \
             do not compare with others'"
        ));
    }
    let record = INFO.record(options, rule);
    let report = finish(record, options, found, |_, _, _| Ok(()), progress)?;
    located.keep();
    Ok(report)
}

/// `etc/*.transcription`: `<s> WORDS </s> (id)`, in the test list without the marks. Case is kept.
fn read_transcripts(root: &Path) -> Result<BTreeMap<String, String>, PrepareError> {
    let mut transcripts = BTreeMap::new();
    for list in ["an4_train", "an4_test"] {
        let path = root.join(format!("etc/{list}.transcription"));
        let bytes = fs::read(&path).map_err(PrepareError::read(&path))?;
        for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let Some((words, id)) =
                line.trim_end().strip_suffix(')').and_then(|line| line.rsplit_once('('))
            else {
                let reason = "no (utterance-id) stands at its end".to_owned();
                return Err(PrepareError::Line { path, line: index + 1, reason });
            };
            let words: Vec<&str> =
                words.split_whitespace().filter(|word| !matches!(*word, "<s>" | "</s>")).collect();
            if transcripts.insert(id.trim().to_owned(), words.join(" ")).is_some() {
                let reason = format!("{id} has a transcript already");
                return Err(PrepareError::Line { path, line: index + 1, reason });
            }
        }
    }
    Ok(transcripts)
}

/// `an4_clstk/SPEAKER/UTTERANCE`, one a line.
fn read_file_ids(path: &Path) -> Result<Vec<String>, PrepareError> {
    let bytes = fs::read(path).map_err(PrepareError::read(path))?;
    let text = String::from_utf8_lossy(&bytes);
    let ids = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(ids.map(str::to_owned).collect())
}

fn last_part(file_id: &str) -> &str {
    file_id.rsplit('/').next().unwrap_or(file_id)
}

fn find_audio(root: &Path, file_id: &str) -> Option<PathBuf> {
    FORMS
        .iter()
        .map(|(folder, end)| root.join(folder).join(format!("{file_id}.{end}")))
        .find(|path| path.is_file())
}

/// What lies there and is in no list is named as well: audio files and transcripts.
fn refuse_unlisted(
    root: &Path,
    left_over: &BTreeMap<String, String>,
    listed: &BTreeSet<String>,
    found: &mut Found,
) -> Result<(), PrepareError> {
    let mut unlisted: BTreeMap<String, String> = BTreeMap::new();
    for id in left_over.keys().filter(|id| !listed.contains(*id)) {
        unlisted.insert(id.clone(), "it has a transcript".to_owned());
    }
    for folder in ["flac", "wav"].map(|name| root.join(name)) {
        if !folder.is_dir() {
            continue;
        }
        for path in files_under(&folder)? {
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let audio = FORMS.iter().any(|(_, end)| *end == extension(&path));
            if audio && !listed.contains(&id) {
                let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                unlisted.insert(id, format!("{shown} is there"));
            }
        }
    }
    for (id, what) in unlisted {
        found.refuse(&id, Reason::NotListed, format!("{what}, but no fileids list names it"));
    }
    Ok(())
}

/// Moves every floor(n / 8)-th of the n training speakers by name to the development set, and says so.
/// The speakers are those of the list, so that a missing recording moves nobody.
fn choose_dev(speakers: &BTreeSet<String>, candidates: &mut [Candidate]) -> String {
    let count = speakers.len();
    let step = count / DEV_SPEAKERS;
    if step == 0 {
        return format!("none, for want of {DEV_SPEAKERS} training speakers");
    }
    let dev: BTreeSet<&String> =
        speakers.iter().skip(step - 1).step_by(step).take(DEV_SPEAKERS).collect();
    for candidate in candidates.iter_mut().filter(|candidate| candidate.split == Split::Train) {
        if candidate.speaker.as_ref().is_some_and(|speaker| dev.contains(speaker)) {
            candidate.split = Split::Dev;
        }
    }
    format!(
        "{DEV_SPEAKERS} whole training speakers, in the order of their names every {step}-th of the \
         {count}"
    )
}

/// The byte order of the raw files. Speech changes little from one sample to the next; read in the
/// wrong order the low bytes become the high ones and it is noise. The order with the smaller sum of
/// absolute differences over the first ten files is the right one.
fn byte_order(root: &Path) -> Result<Encoding, PrepareError> {
    let folder = root.join("wav");
    let mut roughness = [0u64; 2];
    if folder.is_dir() {
        let raw = files_under(&folder)?
            .into_iter()
            .filter(|path| extension(path) == "raw" && path.is_file());
        for path in raw.take(10) {
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                // One file that may not be read is named when it is measured.
                Err(error) if fault_of_one_file(&error).is_some() => continue,
                Err(error) => return Err(PrepareError::read(&path)(error)),
            };
            let read: [fn([u8; 2]) -> i16; 2] = [i16::from_be_bytes, i16::from_le_bytes];
            for (sum, read) in roughness.iter_mut().zip(read) {
                let samples: Vec<i16> =
                    bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
                *sum += samples.windows(2).map(|w| u64::from(w[0].abs_diff(w[1]))).sum::<u64>();
            }
        }
    }
    Ok(if roughness[1] < roughness[0] { Encoding::PcmS16le } else { Encoding::PcmS16be })
}
