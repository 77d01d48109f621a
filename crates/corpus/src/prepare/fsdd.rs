//! Free Spoken Digit Dataset: single digits, six speakers, 3000 recordings at 8 kHz.
//!
//! Files are named `{digit}_{speaker}_{index}.wav`; the transcript is the digit's word. The official
//! split takes indices 0 to 4 of each digit and speaker for the test, 5 to 49 for training; our
//! development set is 5 to 9 of these. Every speaker is then in all three sets, so that the figure says
//! little about new voices; `hold_out` gives the honest one: all of one speaker are the test set, dev is
//! indices 5 to 9 of the others, who train with all the rest.

use super::candidate::{Split, hold_out};
use super::catalog::CorpusInfo;
use super::named_files::{Named, find, holds};
use super::output::{CorpusRecord, finish};
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use std::path::Path;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "fsdd",
    title: "Free Spoken Digit Dataset",
    home: "https://github.com/Jakobovski/free-spoken-digit-dataset",
    licence: "CC BY-SA 4.0",
    split: "published, by index; every speaker in all sets",
    tried: true,
    published: true,
    prepare: prepare_fsdd,
};

const PUBLISHED_UTTERANCES: usize = 3000;
const WORDS: [&str; 10] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

const SHAPE: Shape = Shape {
    title: "the Free Spoken Digit Dataset",
    expected: "a clone of its repository, or its folder recordings",
    archives: &["free-spoken-digit-dataset", "fsdd"],
    mark: "files named like 7_jackson_32.wav",
    is_root: |folder| holds(folder, |path| parse_name(path).is_some()),
    several: false,
};

/// Prepares the Free Spoken Digit Dataset.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, a disk fails, or the output folder holds
/// something else.
pub fn prepare_fsdd(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let mut found = find(&located.root, "{digit}_{speaker}_{index}.wav", |audio, _| {
        let (digit, speaker, index) = parse_name(audio)?;
        let split = match index {
            0..=4 => Split::Test,
            5..=9 => Split::Dev,
            _ => Split::Train,
        };
        Some(Named { text: WORDS[digit].to_owned(), speaker, split })
    })?;
    let mut rule =
        "test: indices 0 to 4 of each digit and speaker, as published; dev: indices 5 to 9; \
                    train: the rest; every speaker is in all three, so also publish --hold-out"
            .to_owned();
    if let Some(speaker) = &options.hold_out {
        hold_out(&mut found.candidates, speaker, &options.from)?;
        rule = format!(
            "test: all of speaker {speaker}; dev: indices 5 to 9 of the others; train: their rest"
        );
    }
    let read = found.candidates.len() + found.refusals.len();
    if read != PUBLISHED_UTTERANCES {
        found.warnings.push(format!(
            "this copy holds {read} recordings, version 1.0.10 holds {PUBLISHED_UTTERANCES}: say which \
             you used beside a figure"
        ));
    }
    let record =
        CorpusRecord { speakers_shared: options.hold_out.is_none(), ..INFO.record(options, rule) };
    let report = finish(record, options, found, |_, _, _| Ok(()), progress)?;
    located.keep();
    Ok(report)
}

/// Digit, speaker and index of `{digit}_{speaker}_{index}.wav`.
fn parse_name(path: &Path) -> Option<(usize, String, u32)> {
    let (digit, rest) = path.file_stem()?.to_str()?.split_once('_')?;
    let (speaker, index) = rest.rsplit_once('_')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if digit.len() != 1 || !number(digit) || !number(index) || speaker.is_empty() {
        return None;
    }
    Some((digit.parse().ok()?, speaker.to_owned(), index.parse().ok()?))
}
