//! yesno: one speaker says eight times yes or no in Hebrew, 60 recordings at 8 kHz.
//!
//! A file's name is its transcript: `1` stands for yes (ken), `0` for no (lo). The manifest has the
//! words `yes` and `no`. Kaldi's split: of the sorted names the first 31 train, the other 29 are the
//! test; our development set is the last five of the 31.

use super::candidate::{Split, check_hold_out};
use super::catalog::CorpusInfo;
use super::named_files::{Named, find, holds};
use super::output::{CorpusRecord, finish};
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use std::path::Path;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "yesno",
    title: "yesno, eight Hebrew words a recording, one speaker",
    home: "https://www.openslr.org/1/",
    licence: "none stated; its README offers it for trying out recipes for free",
    split: "Kaldi's; one speaker",
    tried: true,
    published: true,
    prepare: prepare_yesno,
};

const PUBLISHED_UTTERANCES: usize = 60;
const TRAIN_AND_DEV: usize = 31;
const DEV: usize = 5;
const SPEAKER: &str = "yesno";
/// The recording with seven words, and its bytes: another file of this name may be right. Its level rises seven
/// times above the silence, that of the others eight times, and a recogniser trained without it hears `no
/// yes no yes no no no`.
const SEVEN_WORDS: (&str, u64) = ("0_1_0_1_0_0_0_0", 89_324);

const SHAPE: Shape = Shape {
    title: "yesno",
    expected: "the folder that holds waves_yesno.tar.gz, or the unpacked waves_yesno",
    archives: &["waves_yesno", "yesno"],
    mark: "files named like 0_1_0_0_1_0_1_1.wav",
    is_root: |folder| holds(folder, |path| parse_name(path).is_some()),
    several: false,
};

/// Prepares yesno.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, a disk fails, the output folder holds
/// something else, or a speaker was to be held out: there is only one.
pub fn prepare_yesno(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    if let Some(speaker) = &options.hold_out {
        check_hold_out(std::iter::once(SPEAKER), speaker, &options.from)?;
    }
    let located = locate(&SHAPE, options)?;
    let mut found = find(&located.root, "eight 0 or 1 joined by _", |audio, rank| {
        let text = parse_name(audio)?;
        let split = match rank {
            rank if rank < TRAIN_AND_DEV - DEV => Split::Train,
            rank if rank < TRAIN_AND_DEV => Split::Dev,
            _ => Split::Test,
        };
        Some(Named { text, speaker: SPEAKER.to_owned(), split })
    })?;
    // After the split, whose ranks count it.
    let seven = found.candidates.iter().position(|one| {
        one.id == SEVEN_WORDS.0
            && one.audio.metadata().is_ok_and(|file| file.len() == SEVEN_WORDS.1)
    });
    if let Some(place) = seven {
        let id = found.candidates.remove(place).id;
        found.refuse(&id, Reason::WrongTranscript, "seven words are heard, its name has eight");
    }
    let read = found.candidates.len() + found.refusals.len();
    if read != PUBLISHED_UTTERANCES {
        found.warnings.push(format!(
            "this copy holds {read} recordings, the published corpus {PUBLISHED_UTTERANCES}: the split \
             and figures do not compare with others'"
        ));
    }
    let rule = "of the names in order, train: the first 26, less one with a wrong name; dev: the next 5; \
                test: the other 29, as in Kaldi's recipe";
    let record = CorpusRecord {
        speakers_shared: true,
        hold_out: None,
        ..INFO.record(options, rule.to_owned())
    };
    let report = finish(record, options, found, |_, _, _| Ok(()), progress)?;
    located.keep();
    Ok(report)
}

/// The words of `0_1_….wav`, eight of them.
fn parse_name(path: &Path) -> Option<String> {
    let words: Option<Vec<&str>> = path
        .file_stem()?
        .to_str()?
        .split('_')
        .map(|digit| match digit {
            "0" => Some("no"),
            "1" => Some("yes"),
            _ => None,
        })
        .collect();
    words.filter(|words| words.len() == 8).map(|words| words.join(" "))
}
