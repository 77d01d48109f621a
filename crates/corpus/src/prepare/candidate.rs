//! What a recipe finds before any audio is read, and what is left of it afterwards.

use super::PrepareError;
use crate::Progress;
use crate::clip::{ClipFault, read_file};
use crate::ledger::{Reason, Refusal};
use crate::parallel::try_map;
use labyrinth_signal::RawFormat;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The three sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Split {
    /// What is learnt from.
    Train,
    /// What decides when to stop.
    Dev,
    /// What is reported.
    Test,
}

impl Split {
    pub(crate) const ALL: [Self; 3] = [Self::Train, Self::Dev, Self::Test];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
        }
    }
}

/// One utterance as the corpus's own files describe it.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) id: String,
    pub(crate) audio: PathBuf,
    pub(crate) raw: Option<RawFormat>,
    pub(crate) text: String,
    pub(crate) speaker: Option<String>,
    pub(crate) split: Split,
}

/// One utterance whose audio has been read.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) candidate: Candidate,
    /// Seconds of the decoded audio.
    pub(crate) duration: f64,
    /// Hz, of the recording.
    pub(crate) sample_rate: u32,
}

/// Everything a recipe found: each utterance is in exactly one of the two lists.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) warnings: Vec<String>,
}

impl Found {
    /// Enters a candidate, or refuses it where its id was seen before.
    pub(crate) fn push(&mut self, candidate: Candidate, ids: &mut BTreeSet<String>) {
        if ids.insert(candidate.id.clone()) {
            self.candidates.push(candidate);
        } else {
            let detail =
                format!("{} has the id of an utterance before it", candidate.audio.display());
            self.refusals.push(Refusal::new(candidate.id, Reason::DuplicateId, detail));
        }
    }

    pub(crate) fn refuse(&mut self, id: &str, reason: Reason, detail: impl Into<String>) {
        self.refusals.push(Refusal::new(id, reason, detail));
    }

    /// Decodes every recording for its duration, on all cores.
    pub(crate) fn measure(
        &mut self,
        progress: Progress<'_>,
    ) -> Result<Vec<Measured>, PrepareError> {
        let candidates = std::mem::take(&mut self.candidates);
        let measured = try_map(
            &candidates,
            |candidate| match read_file(&candidate.audio, candidate.raw.as_ref()) {
                Ok(audio) => {
                    let duration = audio.samples() as f64 / f64::from(audio.sample_rate);
                    Ok(Ok((duration, audio.sample_rate)))
                }
                Err(ClipFault::Refused { reason, detail }) => Ok(Err((reason, detail))),
                Err(ClipFault::Disk { path, source }) => Err(PrepareError::Read { path, source }),
            },
            progress,
        )?;
        let mut kept = Vec::with_capacity(candidates.len());
        for (candidate, result) in candidates.into_iter().zip(measured) {
            match result {
                Ok((duration, sample_rate)) => {
                    kept.push(Measured { candidate, duration, sample_rate });
                }
                Err((reason, detail)) => {
                    self.refusals.push(Refusal::new(candidate.id, reason, detail));
                }
            }
        }
        Ok(kept)
    }
}

/// Makes `speaker` the test set. Others of the standard test set join the training set (they are
/// ordinary speakers now); the development set stays, without that speaker.
pub(crate) fn hold_out(
    candidates: &mut [Candidate],
    speaker: &str,
    from: &Path,
) -> Result<(), PrepareError> {
    check_hold_out(candidates.iter().filter_map(|c| c.speaker.as_deref()), speaker, from)?;
    for candidate in candidates {
        if candidate.speaker.as_deref() == Some(speaker) {
            candidate.split = Split::Test;
        } else if candidate.split == Split::Test {
            candidate.split = Split::Train;
        }
    }
    Ok(())
}

/// Whether `speaker` is one of at least two.
pub(crate) fn check_hold_out<'a>(
    speakers: impl Iterator<Item = &'a str>,
    speaker: &str,
    from: &Path,
) -> Result<(), PrepareError> {
    let error = |reason| {
        Err(PrepareError::HoldOut { path: from.to_owned(), speaker: speaker.to_owned(), reason })
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in speakers {
        *counts.entry(name).or_default() += 1;
    }
    if counts.len() < 2 {
        return error(format!(
            "it names {} speaker{}, and somebody else has to be trained on; leave --hold-out away",
            counts.len(),
            if counts.len() == 1 { "" } else { "s" }
        ));
    }
    if !counts.contains_key(speaker) {
        let names: Vec<&str> = counts.into_keys().collect();
        return error(format!("its speakers are {}; name one of them", names.join(" ")));
    }
    Ok(())
}
