//! `check`: what is wrong with a corpus, before training finds out.
//!
//! It looks at a prepared folder (its `train.jsonl`, `dev.jsonl`, `test.jsonl`, or whatever manifests are
//! there), at one manifest, or at a folder of recordings with a `.txt` beside each. Every recording is
//! decoded. An error means that a training or its figure would be spoilt; a warning is worth knowing.
//! What a published split contains (`corpus.json` says whether it is one) is its publishers' choice: the
//! speakers, recordings and transcripts that would be errors in a user's own corpus are warnings there,
//! with their percentage.

mod audio;
mod report;
mod sets;

use crate::Progress;
use crate::clip::{ClipFault, read_clip};
use crate::labels::read_labels;
use crate::ledger::{Ledger, LedgerError, Reason};
use crate::loader::{LoaderError, OutputFrames, shorter_than_a_frame};
use crate::manifest::{Manifest, ManifestError, Utterance};
use crate::parallel::try_map;
use crate::prepare::{CORPUS_FILE, CorpusRecord, PrepareError, folder};
use audio::Sound;
use labyrinth_signal::{FeatureExtractor, FeatureOptions};
use labyrinth_text::{Alphabet, Normalizer, ctc_minimum_frames};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Spoils a training or its figure.
    Error,
    /// Worth knowing.
    Warning,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FindingKind {
    /// The audio file is not there, or a transcript has no recording.
    MissingAudio,
    /// The audio cannot be decoded.
    UnreadableAudio,
    /// The audio holds no samples.
    EmptyAudio,
    /// The audio is shorter than one frame of the recipe's features.
    ShorterThanAFrame,
    /// The recipe's features refuse the sample rate.
    SampleRate,
    /// Offset or end lie past the end of the file.
    OffsetPastEnd,
    /// Nothing can be heard: the loudest 25 ms stay below -60 dB of full scale.
    SilentAudio,
    /// At least 0.1 % of the samples lie in runs of three or more at full scale.
    ClippedAudio,
    /// The manifest's duration is off by more than 0.1 s.
    WrongDuration,
    /// A recording without transcript.
    MissingTranscript,
    /// A transcript that is not UTF-8.
    UnreadableTranscript,
    /// A transcript without text.
    EmptyTranscript,
    /// Characters or words that the recipe's alphabet lacks.
    OutsideAlphabet,
    /// Fewer model frames than labels and repeated neighbours.
    TooShortForCtc,
    /// A file name that cannot stand in a manifest.
    UnusableName,
    /// The label track is not there.
    MissingLabels,
    /// A label track that cannot be read, or is broken.
    UnusableLabels,
    /// One id in two sets, or twice in a folder.
    DuplicateId,
    /// The same sound twice.
    DuplicateAudio,
    /// A speaker in two sets.
    SpeakerOverlap,
    /// A sentence in two sets.
    SentenceOverlap,
    /// The preparation left utterances out.
    RefusedInPreparation,
    /// A set without utterances.
    EmptySet,
    /// A set whose manifest is not there.
    MissingSet,
}

impl FindingKind {
    /// The code as it stands in JSON, such as `silent-audio`.
    pub fn code(self) -> &'static str {
        match self {
            Self::MissingAudio => "missing-audio",
            Self::UnreadableAudio => "unreadable-audio",
            Self::EmptyAudio => "empty-audio",
            Self::ShorterThanAFrame => "shorter-than-a-frame",
            Self::SampleRate => "sample-rate",
            Self::OffsetPastEnd => "offset-past-end",
            Self::SilentAudio => "silent-audio",
            Self::ClippedAudio => "clipped-audio",
            Self::WrongDuration => "wrong-duration",
            Self::MissingTranscript => "missing-transcript",
            Self::UnreadableTranscript => "unreadable-transcript",
            Self::EmptyTranscript => "empty-transcript",
            Self::OutsideAlphabet => "outside-alphabet",
            Self::TooShortForCtc => "too-short-for-ctc",
            Self::UnusableName => "unusable-name",
            Self::MissingLabels => "missing-labels",
            Self::UnusableLabels => "unusable-labels",
            Self::DuplicateId => "duplicate-id",
            Self::DuplicateAudio => "duplicate-audio",
            Self::SpeakerOverlap => "speaker-overlap",
            Self::SentenceOverlap => "sentence-overlap",
            Self::RefusedInPreparation => "refused-in-preparation",
            Self::EmptySet => "empty-set",
            Self::MissingSet => "missing-set",
        }
    }

    fn of(reason: Reason) -> Self {
        match reason {
            Reason::MissingAudio => Self::MissingAudio,
            Reason::UnreadableAudio => Self::UnreadableAudio,
            Reason::EmptyAudio => Self::EmptyAudio,
            Reason::ShorterThanAFrame => Self::ShorterThanAFrame,
            Reason::SampleRate => Self::SampleRate,
            Reason::OffsetPastEnd => Self::OffsetPastEnd,
            Reason::MissingTranscript => Self::MissingTranscript,
            Reason::UnreadableTranscript => Self::UnreadableTranscript,
            Reason::EmptyTranscript => Self::EmptyTranscript,
            Reason::OutsideAlphabet => Self::OutsideAlphabet,
            Reason::TooShortForCtc => Self::TooShortForCtc,
            Reason::DuplicateId => Self::DuplicateId,
            Reason::MissingLabels => Self::MissingLabels,
            Reason::UnusableLabels => Self::UnusableLabels,
            Reason::BrokenLine
            | Reason::NotListed
            | Reason::UnexpectedName
            | Reason::NotAFile
            | Reason::OutsideCorpus
            | Reason::UnusableTimes
            | Reason::LeftOut => Self::RefusedInPreparation,
            Reason::UnusableName => Self::UnusableName,
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub kind: FindingKind,
    /// The set: the manifest's name without extension, or `folder`.
    pub set: String,
    /// The utterance; absent where the finding is about a whole set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// In words.
    pub detail: String,
}

/// One manifest, or a folder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SetSummary {
    /// The manifest's name without extension, or `folder`.
    pub name: String,
    /// Utterances.
    pub utterances: usize,
    /// Seconds of decoded audio.
    pub seconds: f64,
    /// Named speakers.
    pub speakers: usize,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckReport {
    /// What was checked.
    pub target: PathBuf,
    /// The corpus, where `corpus.json` tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corpus: Option<CorpusRecord>,
    /// What it holds.
    pub sets: Vec<SetSummary>,
    /// Errors first, then by kind, in the order of the manifests.
    pub findings: Vec<Finding>,
}

/// What a recipe adds to the checks: its text and its frame rate.
#[derive(Clone)]
pub struct CheckContext {
    /// Of the recipe.
    pub normalizer: Normalizer,
    /// Of the recipe, or of the training set: see [`crate::training_alphabet`].
    pub alphabet: Alphabet,
    /// For the number of feature frames.
    pub features: FeatureOptions,
    /// Model frames from feature frames.
    pub output_frames: OutputFrames,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no such file or folder.
    #[error("{} does not exist; name a prepared folder, a manifest or a folder of recordings", path.display())]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// The folder holds neither manifests nor recordings.
    #[error(
        "{} holds neither manifests nor recordings; run `labyrinth prepare` or name another folder",
        path.display()
    )]
    Nothing {
        /// What was named.
        path: PathBuf,
    },
    /// A manifest is broken.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The ledger beside the manifests is broken.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A folder of recordings cannot be read.
    #[error(transparent)]
    Folder(#[from] PrepareError),
    /// The recipe's features cannot be computed.
    #[error(transparent)]
    Features(#[from] LoaderError),
    /// `corpus.json` is broken.
    #[error("{} is broken ({reason}); prepare the corpus again", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk failed.
    #[error("{} cannot be read ({source}); see to the disk or its permissions", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

/// A manifest, or what stands in its place for a folder.
struct Set {
    name: String,
    manifest: Arc<Manifest>,
    /// In the order of the manifest; `None` where the audio is faulty.
    sounds: Vec<Option<Sound>>,
}

/// Checks a prepared folder, a manifest, or a folder of recordings.
///
/// # Errors
/// [`CheckError`] where the target cannot be read at all or a disk fails; what is wrong with single
/// utterances is in the report.
pub fn check(
    target: &Path,
    context: Option<&CheckContext>,
    progress: Progress<'_>,
) -> Result<CheckReport, CheckError> {
    if !target.exists() {
        return Err(CheckError::Missing { path: target.to_owned() });
    }
    let base = if target.is_dir() { target } else { target.parent().unwrap_or(Path::new("")) };
    let paths = if target.is_dir() { manifests_in(target)? } else { vec![target.to_owned()] };
    let mut findings = Vec::new();
    let mut sets = Vec::new();
    let mut corpus = None;
    if paths.is_empty() {
        sets.push(folder_set(target, &mut findings)?);
    } else {
        corpus = read_record(base)?;
        if target.is_dir() {
            ledger_findings(base, &mut findings)?;
            sets::missing(base, &paths, &mut findings);
        }
        for path in paths {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let manifest = Arc::new(Manifest::read(&path)?);
            sets.push(Set { name, manifest, sounds: Vec::new() });
        }
    }
    listen(&mut sets, &mut findings, progress)?;
    let published = corpus.as_ref().is_some_and(|record| record.published_split);
    let shared = published || corpus.as_ref().is_some_and(|record| record.speakers_shared);
    if let Some(context) = context {
        transcripts_under(context, published, &sets, &mut findings)?;
    }
    sets::compare(&sets, published, shared, context.map(|c| &c.normalizer), &mut findings);
    // The sort is stable: within a kind the order of the manifests stays.
    findings.sort_by_key(|finding| (finding.severity, finding.kind));
    let sets = sets
        .iter()
        .map(|set| SetSummary {
            name: set.name.clone(),
            utterances: set.manifest.utterances.len(),
            // From 0: the sum of nothing is -0 in floating point, and would be shown so.
            seconds: set.sounds.iter().flatten().fold(0.0, |sum, sound| sum + sound.seconds),
            speakers: set.manifest.speakers().len(),
        })
        .collect();
    Ok(CheckReport { target: target.to_owned(), corpus, sets, findings })
}

/// The three sets, or else every manifest of the folder.
fn manifests_in(folder: &Path) -> Result<Vec<PathBuf>, CheckError> {
    let usual: Vec<PathBuf> = ["train", "dev", "test"]
        .iter()
        .map(|name| folder.join(format!("{name}.jsonl")))
        .filter(|path| path.is_file())
        .collect();
    if !usual.is_empty() {
        return Ok(usual);
    }
    let disk = |source| CheckError::Disk { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(disk)? {
        let path = entry.map_err(disk)?.path();
        if path.extension().is_some_and(|end| end == "jsonl") && !path.ends_with("ledger.jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_record(folder: &Path) -> Result<Option<CorpusRecord>, CheckError> {
    let path = folder.join(CORPUS_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| CheckError::Record { path, reason: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CheckError::Disk { path, source }),
    }
}

/// What the preparation left out is told again, a line for each reason.
fn ledger_findings(folder: &Path, findings: &mut Vec<Finding>) -> Result<(), CheckError> {
    let path = folder.join("ledger.jsonl");
    if !path.exists() {
        return Ok(());
    }
    let ledger = Ledger::read(&path)?;
    for (reason, count) in ledger.reasons() {
        let first = ledger.refusals().iter().find(|refusal| refusal.reason == reason);
        let first = first.map_or("", |refusal| refusal.id.as_str());
        findings.push(Finding {
            severity: Severity::Warning,
            kind: FindingKind::RefusedInPreparation,
            set: "ledger".to_owned(),
            id: None,
            detail: format!("{count} left out as {reason} (first {first}), see {}", path.display()),
        });
    }
    Ok(())
}

/// A folder of recordings as one set, its unpaired files as findings.
fn folder_set(target: &Path, findings: &mut Vec<Finding>) -> Result<Set, CheckError> {
    let found = folder::find(target)?;
    if found.candidates.is_empty() && found.refusals.is_empty() {
        return Err(CheckError::Nothing { path: target.to_owned() });
    }
    let name = "folder".to_owned();
    for refusal in found.refusals {
        findings.push(Finding {
            severity: Severity::Error,
            kind: FindingKind::of(refusal.reason),
            set: name.clone(),
            id: Some(refusal.id),
            detail: refusal.detail,
        });
    }
    let mut utterances = Vec::new();
    for candidate in found.candidates {
        // A path that is not UTF-8 was refused by its id already, unless the folder's own name is it.
        let path = candidate.audio.to_string_lossy().into_owned();
        let mut utterance = Utterance::new(candidate.id, path, f64::NAN, candidate.text);
        utterance.speaker = candidate.speaker;
        utterances.push(utterance);
    }
    let path = target.join("folder.jsonl");
    Ok(Set { name, manifest: Arc::new(Manifest { path, utterances }), sounds: Vec::new() })
}

/// Decodes everything, on all cores.
fn listen(
    sets: &mut [Set],
    findings: &mut Vec<Finding>,
    progress: Progress<'_>,
) -> Result<(), CheckError> {
    let all: Vec<(&Manifest, &Utterance)> = sets
        .iter()
        .flat_map(|set| set.manifest.utterances.iter().map(|u| (&*set.manifest, u)))
        .collect();
    let heard = try_map(
        &all,
        |(manifest, utterance)| match read_clip(manifest.folder(), utterance) {
            Ok(audio) => match read_labels(manifest.folder(), utterance, audio.sample_rate) {
                Ok(_) => Ok(Ok((audio::measure(&audio), None))),
                Err(ClipFault::Refused { reason, detail }) => {
                    Ok(Ok((audio::measure(&audio), Some((reason, detail)))))
                }
                Err(ClipFault::Disk { path, source }) => Err(CheckError::Disk { path, source }),
            },
            Err(ClipFault::Refused { reason, detail }) => Ok(Err((reason, detail))),
            Err(ClipFault::Disk { path, source }) => Err(CheckError::Disk { path, source }),
        },
        progress,
    )?;
    let mut heard = heard.into_iter();
    for set in sets {
        for utterance in &set.manifest.utterances {
            let mut report = |severity, kind, detail| {
                let (set, id) = (set.name.clone(), Some(utterance.id.clone()));
                findings.push(Finding { severity, kind, set, id, detail });
            };
            match heard.next() {
                Some(Ok((sound, labels))) => {
                    audio_findings(utterance, &sound, &mut report);
                    if let Some((reason, detail)) = labels {
                        report(Severity::Error, FindingKind::of(reason), detail);
                    }
                    set.sounds.push(Some(sound));
                }
                Some(Err((reason, detail))) => {
                    report(Severity::Error, FindingKind::of(reason), detail);
                    set.sounds.push(None);
                }
                None => set.sounds.push(None),
            }
            if utterance.text.trim().is_empty() {
                let detail = "the transcript is empty".to_owned();
                report(Severity::Error, FindingKind::EmptyTranscript, detail);
            }
        }
    }
    Ok(())
}

/// How far a manifest's duration may be off.
const DURATION_TOLERANCE: f64 = 0.1;

fn audio_findings(
    utterance: &Utterance,
    sound: &Sound,
    report: &mut impl FnMut(Severity, FindingKind, String),
) {
    if (utterance.duration - sound.seconds).abs() > DURATION_TOLERANCE {
        let detail = format!(
            "the manifest says {} s, the audio lasts {:.3} s",
            utterance.duration, sound.seconds
        );
        report(Severity::Error, FindingKind::WrongDuration, detail);
    }
    if sound.is_silent() {
        let detail = format!("its loudest 25 ms lie at {:.0} dB of full scale", sound.loudest_db);
        report(Severity::Error, FindingKind::SilentAudio, detail);
    }
    if sound.is_clipped() {
        let detail = format!("{:.2} % of its samples are cut at full scale", 100.0 * sound.clipped);
        report(Severity::Warning, FindingKind::ClippedAudio, detail);
    }
}

/// Unknown characters and transcripts that are too long for the recipe's frames.
fn transcripts_under(
    context: &CheckContext,
    published: bool,
    sets: &[Set],
    findings: &mut Vec<Finding>,
) -> Result<(), CheckError> {
    let extractor = FeatureExtractor::new(&context.features).map_err(LoaderError::from)?;
    let severity = if published { Severity::Warning } else { Severity::Error };
    for set in sets {
        for (utterance, sound) in set.manifest.utterances.iter().zip(&set.sounds) {
            let mut report = |kind, detail| {
                let (set, id) = (set.name.clone(), Some(utterance.id.clone()));
                findings.push(Finding { severity, kind, set, id, detail });
            };
            let text = context.normalizer.apply(&utterance.text);
            if text.is_empty() && !utterance.text.trim().is_empty() {
                let detail = format!("nothing is left of {:?} after normalisation", utterance.text);
                report(FindingKind::EmptyTranscript, detail);
            }
            let labels = match context.alphabet.encode(&text) {
                Ok(labels) => labels,
                Err(error) => {
                    report(FindingKind::OutsideAlphabet, error.to_string());
                    continue;
                }
            };
            let Some(sound) = sound else { continue };
            let samples =
                (sound.seconds * f64::from(extractor.sample_rate()) + 1e-6).round() as usize;
            let feature_frames = extractor.frame_count(samples);
            if feature_frames == 0 {
                let detail = shorter_than_a_frame(&context.features, sound.seconds);
                report(FindingKind::ShorterThanAFrame, detail);
                continue;
            }
            let frames = (context.output_frames)(feature_frames);
            let needed = ctc_minimum_frames(&labels);
            if frames < needed {
                let detail = format!(
                    "{} labels with {} repeated neighbours need {needed} frames, the model has {frames}",
                    labels.len(),
                    needed - labels.len()
                );
                report(FindingKind::TooShortForCtc, detail);
            }
        }
    }
    Ok(())
}
