//! TED-LIUM, releases 1 to 3: talks as SPHERE of some twenty minutes each, with their segments in STM.
//!
//! A tree with `train`, `dev` and `test`, each with `stm/TALK.stm` and `sph/TALK.sph`; in release 3 it
//! lies under `legacy`. A line of an STM is `talk channel speaker start end <labels> words`; `;;` begins a
//! comment. Segments that the publishers exclude (`ignore_time_segment_in_scoring`) are left out, by name
//! in the ledger. Of the words, noises in braces and pronunciation numbers (`a(2)`) are dropped, and an
//! apostrophe that stands apart is put back to its word; `<unk>` stays, so that an alphabet refuses it.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found, Split};
use super::catalog::CorpusInfo;
use super::lists::{broken, lines};
use super::paths::{entries, extension};
use super::section::Section;
use super::source::{Shape, locate};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "tedlium",
    title: "TED-LIUM, talks in English, releases 1 to 3",
    home: "https://www.openslr.org/51/",
    licence: "CC BY-NC-ND 3.0",
    split: "published (release 3: the legacy split)",
    tried: false,
    published: true,
    prepare: prepare_ted_lium,
};

const SETS: [(&str, Split); 3] =
    [("train", Split::Train), ("dev", Split::Dev), ("test", Split::Test)];

const SHAPE: Shape = Shape {
    title: "TED-LIUM",
    expected: "the unpacked TEDLIUM_release folder",
    archives: &["tedlium"],
    mark: "train/stm, dev/stm or test/stm",
    is_root: |folder| SETS.iter().any(|(set, _)| folder.join(set).join("stm").is_dir()),
    several: true,
};

/// Prepares TED-LIUM.
///
/// # Errors
/// [`PrepareError`] where the corpus is not under `from`, an STM is broken, a disk fails, or the output
/// folder holds something else.
pub fn prepare_ted_lium(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let located = locate(&SHAPE, options)?;
    let mut found = Found::default();
    let mut ids = BTreeSet::new();
    let mut rules = Vec::new();
    for (set, split) in SETS {
        let folder = located.root.join(set);
        if !folder.join("stm").is_dir() {
            found.warnings.push(format!("{} is not there", folder.join("stm").display()));
            continue;
        }
        for list in entries(&folder.join("stm"))?.into_iter().filter(|p| extension(p) == "stm") {
            read_stm(&list, &folder, split, &mut found, &mut ids)?;
        }
        rules.push(format!("{set}: as published"));
    }
    let record = INFO.record(options, rules.join("; "));
    let report = finish_with_sets(record, options, found, progress)?;
    located.keep();
    Ok(report)
}

fn read_stm(
    list: &Path,
    folder: &Path,
    split: Split,
    found: &mut Found,
    ids: &mut BTreeSet<String>,
) -> Result<(), PrepareError> {
    for (number, line) in lines(list)? {
        if line.trim_start().starts_with(";;") {
            continue;
        }
        let fault = |reason: String| broken(list, number, reason);
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [talk, _, speaker, start, end, words @ ..] = &fields[..] else {
            return Err(fault("a segment is TALK CHANNEL SPEAKER START END WORDS".to_owned()));
        };
        let number = |text: &str| {
            let value: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite());
            value.ok_or_else(|| fault(format!("{text:?} is not a number of seconds")))
        };
        let (start, end) = (number(start)?, number(end)?);
        let centiseconds = |seconds: f64| (seconds * 100.0).round() as i64;
        let id = format!("{talk}-{:07}-{:07}", centiseconds(start), centiseconds(end));
        // The labels of conditions, such as <o,f0,male>, stand before the words.
        let words = match words {
            [label, rest @ ..] if label.starts_with('<') && label.contains(',') => rest,
            words => words,
        };
        let text = spoken(words);
        let refusal = if text.to_lowercase().contains("ignore_time_segment_in_scoring") {
            Some((Reason::LeftOut, "the publishers exclude this segment from scoring".to_owned()))
        } else if text.is_empty() {
            Some((Reason::EmptyTranscript, format!("{} has no words for it", list.display())))
        } else if *talk == "." || talk.contains(['/', '\\']) || talk.starts_with("..") {
            Some((Reason::OutsideCorpus, format!("{talk:?} is no name of a talk")))
        } else {
            None
        };
        if let Some((reason, detail)) = refusal {
            ids.insert(id.clone());
            found.refuse(&id, reason, detail);
            continue;
        }
        let audio = recording(folder, talk);
        let speaker = Some((*speaker).to_owned());
        let mut candidate = Candidate::new(id, audio, text, speaker, split);
        candidate.section = Some(Section::between(start, end));
        found.push(candidate, ids);
    }
    Ok(())
}

/// The talk as it was published, or converted.
fn recording(folder: &Path, talk: &str) -> PathBuf {
    let published = folder.join(format!("sph/{talk}.sph"));
    let converted = [("wav", "wav"), ("sph", "wav"), ("flac", "flac")]
        .map(|(name, end)| folder.join(format!("{name}/{talk}.{end}")));
    if published.exists() {
        return published;
    }
    converted.into_iter().find(|path| path.exists()).unwrap_or(published)
}

/// The words that are said.
fn spoken(words: &[&str]) -> String {
    let mut text = String::new();
    for word in words {
        if word.starts_with('{') && word.ends_with('}') {
            continue;
        }
        let word = match word.rsplit_once('(') {
            Some((word, number))
                if !word.is_empty()
                    && number.strip_suffix(')').is_some_and(|n| n.parse::<u8>().is_ok()) =>
            {
                word
            }
            _ => word,
        };
        if !text.is_empty() && !word.starts_with('\'') {
            text.push(' ');
        }
        text += word;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cleaned() {
        let said = |text: &str| spoken(&text.split(' ').collect::<Vec<_>>());
        assert_eq!(
            said("it 's a(2) {NOISE} talk <unk> (laughs) 'cause"),
            "it's a talk <unk> (laughs)'cause"
        );
        assert_eq!(said("{BREATH}"), "");
    }
}
