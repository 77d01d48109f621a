//! Which utterance is in which set where the corpus does not say: by named speakers, or by the rules of
//! `split.rs` for the sets that are missing.

use super::candidate::{Found, Measured, Split, check_hold_out};
use super::output::{CorpusRecord, finish};
use super::split::{SHARE, by_speaker, by_utterance};
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use std::collections::BTreeSet;

/// Measures and writes a corpus whose candidates carry the publishers' sets, as far as there are any;
/// the rule of the record says which these are. Where no training set is among them all utterances are
/// divided anew.
pub(crate) fn finish_with_sets(
    record: CorpusRecord,
    options: &PrepareOptions,
    found: Found,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let assign =
        |measured: &mut [Measured], record: &mut CorpusRecord, warnings: &mut Vec<String>| {
            if options.names_speakers() {
                return Ok(()); // That comes next, and overrules this.
            }
            if let Some(speaker) = &options.hold_out {
                return hold_out(measured, speaker, options, record, warnings);
            }
            let (wanted, added) = fill(measured, record, warnings);
            if let Some(added) = added {
                let rule = std::mem::take(&mut record.split_rule);
                let some = !rule.is_empty() && wanted.len() < 2;
                record.split_rule = if some { format!("{rule}; {added}") } else { added };
                record.published_split &= some && !wanted.contains(&Split::Test);
            }
            Ok(())
        };
    finish(record, options, found, assign, progress)
}

/// Gives the sets that are missing a share of the training set; says which these were, and the rule.
fn fill(
    measured: &mut [Measured],
    record: &mut CorpusRecord,
    warnings: &mut Vec<String>,
) -> (Vec<Split>, Option<String>) {
    let has = |split| measured.iter().any(|item| item.candidate.split == split);
    let train = has(Split::Train);
    let wanted: Vec<Split> =
        [Split::Test, Split::Dev].into_iter().filter(|split| !train || !has(*split)).collect();
    if !train {
        for item in measured.iter_mut() {
            item.candidate.split = Split::Train;
            // Parts are those of the publishers' sets, which are dissolved.
            item.candidate.part = None;
        }
    }
    if wanted.is_empty() {
        return (wanted, None);
    }
    let mut train: Vec<Measured> =
        measured.iter().filter(|item| item.candidate.split == Split::Train).cloned().collect();
    let speakers: BTreeSet<&str> =
        train.iter().filter_map(|item| item.candidate.speaker.as_deref()).collect();
    let names: Vec<&str> = wanted.iter().map(|split| split.name()).collect();
    let (names, percent) = (names.join(" and "), SHARE * 100.0);
    let rule = if speakers.len() > wanted.len() {
        by_speaker(&mut train, &wanted);
        format!(
            "{names}: whole speakers of those at hand, in the order of the SHA-256 of their names, \
             about {percent} % of the speech{}; train: the others",
            if wanted.len() > 1 { " each" } else { "" }
        )
    } else {
        if wanted.contains(&Split::Test) {
            record.speakers_shared = true;
            warnings.push(format!(
                "{}: the same voices are in training and test, and the figures will flatter",
                match speakers.len() {
                    0 => "no speakers are known".to_owned(),
                    1 => "only one speaker is known".to_owned(),
                    count => format!("only {count} speakers are known"),
                }
            ));
        }
        by_utterance(&mut train, &wanted);
        format!(
            "{names}: single utterances of those at hand, in the order of the SHA-256 of their ids, \
             {percent} %{}; train: the others",
            if wanted.len() > 1 { " each" } else { "" }
        )
    };
    let trained = measured.iter_mut().filter(|item| item.candidate.split == Split::Train);
    for (item, divided) in trained.zip(&train) {
        item.candidate.split = divided.candidate.split;
    }
    (wanted, Some(rule))
}

/// All of one speaker are the test set; the published development set stays, without that speaker.
fn hold_out(
    measured: &mut [Measured],
    speaker: &str,
    options: &PrepareOptions,
    record: &mut CorpusRecord,
    warnings: &mut Vec<String>,
) -> Result<(), PrepareError> {
    let known = measured.iter().filter_map(|item| item.candidate.speaker.as_deref());
    check_hold_out(known, speaker, &options.from)?;
    for item in measured.iter_mut() {
        let candidate = &mut item.candidate;
        if candidate.speaker.as_deref() == Some(speaker) {
            candidate.split = Split::Test;
        } else if candidate.split == Split::Test {
            candidate.split = Split::Train;
        }
        candidate.part = None;
    }
    let rule = format!("test: all of speaker {speaker}");
    record.published_split = false;
    record.speakers_shared = false;
    record.split_rule = match fill(measured, record, warnings).1 {
        Some(added) => format!("{rule}; {added}"),
        None => format!("{rule}; dev: as published; train: the others"),
    };
    Ok(())
}

/// `--test-speakers` and `--dev-speakers`: these are the sets, and everybody else trains. A set for which
/// nobody is named is filled by the usual rule.
pub(crate) fn name_speakers(
    measured: &mut [Measured],
    options: &PrepareOptions,
    record: &mut CorpusRecord,
    warnings: &mut Vec<String>,
) -> Result<(), PrepareError> {
    let known: BTreeSet<&str> =
        measured.iter().filter_map(|item| item.candidate.speaker.as_deref()).collect();
    let both = options.test_speakers.iter().find(|name| options.dev_speakers.contains(name));
    let refuse = |speaker: &String, reason: String| PrepareError::Speakers {
        path: options.from.clone(),
        speaker: speaker.clone(),
        reason,
    };
    if let Some(speaker) = both {
        return Err(refuse(speaker, "is named for test and for dev; name each once".to_owned()));
    }
    for speaker in options.test_speakers.iter().chain(&options.dev_speakers) {
        if !known.contains(speaker.as_str()) {
            const SHOWN: usize = 30;
            let names: Vec<&str> = known.iter().take(SHOWN).copied().collect();
            let more = match known.len() {
                0 => "; none of its utterances has a speaker".to_owned(),
                count if count > SHOWN => {
                    format!("; the first of its {count} are {}", names.join(" "))
                }
                _ => format!("; its speakers are {}", names.join(" ")),
            };
            return Err(refuse(speaker, format!("has no usable utterance{more}")));
        }
    }
    for item in measured.iter_mut() {
        let candidate = &mut item.candidate;
        let named = |names: &[String]| {
            candidate.speaker.as_ref().is_some_and(|speaker| names.contains(speaker))
        };
        candidate.split = if named(&options.test_speakers) {
            Split::Test
        } else if named(&options.dev_speakers) {
            Split::Dev
        } else {
            Split::Train
        };
        candidate.part = None;
    }
    if !measured.iter().any(|item| item.candidate.split == Split::Train) {
        let speaker = options.test_speakers.iter().chain(&options.dev_speakers).next();
        let speaker = speaker.cloned().unwrap_or_default();
        return Err(refuse(&speaker, "and the others named leave nobody to train on".to_owned()));
    }
    let mut rules = Vec::new();
    for (set, names) in [("test", &options.test_speakers), ("dev", &options.dev_speakers)] {
        if !names.is_empty() {
            rules.push(format!("{set}: speakers {}", names.join(" ")));
        }
    }
    record.published_split = false;
    record.speakers_shared = false;
    rules
        .push(fill(measured, record, warnings).1.unwrap_or_else(|| "train: the others".to_owned()));
    record.split_rule = rules.join("; ");
    Ok(())
}
