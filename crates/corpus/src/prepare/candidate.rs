//! What a recipe finds before any audio is read, and what is left of it afterwards.

use super::PrepareError;
use super::section::Section;
use crate::Progress;
use crate::clip::{ClipFault, read_file};
use crate::labels;
use crate::ledger::{Reason, Refusal};
use crate::parallel::try_map;
use labyrinth_signal::RawFormat;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// `None`: the whole file.
    pub(crate) section: Option<Section>,
    /// A label track of the file.
    pub(crate) labels: Option<PathBuf>,
    /// What the publishers call the part of the split it belongs to, such as `test-clean`.
    pub(crate) part: Option<String>,
    /// Keys that go into the manifest as they are.
    pub(crate) extra: BTreeMap<String, Value>,
}

impl Candidate {
    /// An utterance that is a whole file with a header.
    pub(crate) fn new(
        id: impl Into<String>,
        audio: PathBuf,
        text: impl Into<String>,
        speaker: Option<String>,
        split: Split,
    ) -> Self {
        Self {
            id: id.into(),
            audio,
            raw: None,
            text: text.into(),
            speaker,
            split,
            section: None,
            labels: None,
            part: None,
            extra: BTreeMap::new(),
        }
    }
}

/// One utterance whose audio has been read.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) candidate: Candidate,
    /// Where it begins in its file, in seconds; `None`: it is the file.
    pub(crate) offset: Option<f64>,
    /// Seconds of decoded audio.
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
    /// Sections of recordings that belong to no set, such as noise, for a manifest of their own.
    pub(crate) beside: Vec<(&'static str, Vec<Candidate>)>,
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

    /// Enters a line of a list that cannot be read by the name of list and line, since what it would
    /// have named is not known. Any other error is given back.
    pub(crate) fn refuse_line(&mut self, error: PrepareError) -> Result<(), PrepareError> {
        let PrepareError::Line { path, line, reason } = error else { return Err(error) };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let detail = format!("{}, line {line}: {reason}", path.display());
        self.refuse(&format!("{name}, line {line}"), Reason::BrokenLine, detail);
        Ok(())
    }

    pub(crate) fn refuse(&mut self, id: &str, reason: Reason, detail: impl Into<String>) {
        self.refusals.push(Refusal::new(id, reason, detail));
    }

    /// Decodes every recording once for its duration, however many utterances lie in it, on all cores;
    /// then checks the sections and label tracks against it.
    pub(crate) fn measure(
        &mut self,
        progress: Progress<'_>,
    ) -> Result<Vec<Measured>, PrepareError> {
        let candidates = std::mem::take(&mut self.candidates);
        let (kept, refusals) = measure(candidates, progress)?;
        self.refusals.extend(refusals);
        Ok(kept)
    }
}

/// Length in seconds and rate in Hz of a recording, or why there are none.
type Length = Result<(f64, u32), (Reason, String)>;

/// Those that can be used, and the refusals of the others.
pub(crate) fn measure(
    candidates: Vec<Candidate>,
    progress: Progress<'_>,
) -> Result<(Vec<Measured>, Vec<Refusal>), PrepareError> {
    let mut places: HashMap<&Path, usize> = HashMap::new();
    let mut recordings: Vec<&Candidate> = Vec::new();
    for candidate in &candidates {
        places.entry(&candidate.audio).or_insert_with(|| {
            recordings.push(candidate);
            recordings.len() - 1
        });
    }
    let lengths: Vec<Length> = try_map(
        &recordings,
        |candidate| match read_file(&candidate.audio, candidate.raw.as_ref()) {
            Ok(audio) => Ok(Ok((audio.duration(), audio.sample_rate))),
            Err(ClipFault::Refused { reason, detail }) => Ok(Err((reason, detail))),
            Err(ClipFault::Disk { path, source }) => Err(PrepareError::Read { path, source }),
        },
        progress,
    )?;
    let lengths: Vec<Length> =
        candidates.iter().map(|candidate| lengths[places[&*candidate.audio]].clone()).collect();
    let mut kept = Vec::with_capacity(candidates.len());
    let mut refusals = Vec::new();
    for (candidate, length) in candidates.into_iter().zip(lengths) {
        let found = length.and_then(|(seconds, sample_rate)| {
            let (offset, duration) = match candidate.section {
                Some(section) => section.within(seconds, sample_rate)?,
                None => (None, seconds),
            };
            Ok((offset, duration, seconds, sample_rate))
        });
        let (offset, duration, seconds, sample_rate) = match found {
            Ok(found) => found,
            Err((reason, detail)) => {
                refusals.push(Refusal::new(candidate.id, reason, detail));
                continue;
            }
        };
        if let Some(path) = &candidate.labels {
            let (id, audio) = (&candidate.id, &candidate.audio);
            match labels::read_for(path, id, audio, Some(sample_rate), Some(seconds)) {
                Ok(_) => {}
                Err(ClipFault::Refused { reason, detail }) => {
                    refusals.push(Refusal::new(candidate.id, reason, detail));
                    continue;
                }
                Err(ClipFault::Disk { path, source }) => {
                    return Err(PrepareError::Read { path, source });
                }
            }
        }
        kept.push(Measured { candidate, offset, duration, sample_rate });
    }
    Ok((kept, refusals))
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
