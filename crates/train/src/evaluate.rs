//! A model on a manifest: error rates with intervals, real-time factor, the worst utterances,
//! confusions.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use labyrinth_corpus::clip::{ClipFault, read_clip};
use labyrinth_corpus::shard::origin_digest;
use labyrinth_corpus::{
    FrameGrid, Ledger, Manifest, Reason, Refusal, StoredRows, Utterance, frame_targets,
    read_labels, read_spoken, read_stored_features, spoken_text, stored_features,
};
use labyrinth_decode::{Recognition, Recognizer};
use labyrinth_kernels::Cpu;
use labyrinth_nn::model_file::DataRecord;
use labyrinth_nn::{ModelHeader, Objective};
use labyrinth_signal::Audio;
use labyrinth_text::score::{Pair, ScoreReport, score_pairs};
use labyrinth_text::{Normalizer, Operation, Units, ctc_minimum_frames, word_errors};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::data::reference;
use crate::dev_score::FrameScore;
use crate::error::TrainError;

/// Seed of the bootstrap: fixed, so that the same errors always give the same interval.
pub(crate) const INTERVAL_SEED: u64 = 1;

/// What the model saw of a manifest before it was evaluated on it, as the digests in the model file tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// It is the very manifest that the model was trained on, or shards of it.
    TrainedOn,
    /// It is the very manifest by which the best epoch was chosen, or shards of it.
    ChosenBy,
}

/// What a model does on a manifest.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Error rates, intervals and every utterance.
    pub score: ScoreReport,
    /// Utterances read, kept, and refused by reason. A refused one counts as all deletions.
    #[serde(serialize_with = "serialize_ledger")]
    pub ledger: Ledger,
    /// Utterances with enough frames for their transcript (CTC).
    pub feasible: usize,
    /// Utterances with characters or phonemes that the alphabet lacks, or words that the lexicon lacks;
    /// scored like any other.
    pub outside_alphabet: usize,
    /// What the labels of the model are.
    pub units: Units,
    /// What its frames were trained to say.
    pub objective: Objective,
    /// Frames that have the right label, of a framewise model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<FrameScore>,
    /// Whether the figures are worth less than those on new speech; `None` where nothing tells so.
    pub seen: Option<Seen>,
    /// Utterances of which a shard held the features and no sound: computing those is no part of the speed.
    #[serde(skip_serializing_if = "is_zero")]
    pub from_features: usize,
    /// How fast it went.
    pub speed: Speed,
    /// Pairs of words taken for each other, most frequent first: (said, heard, times).
    pub confusions: Vec<(String, String, usize)>,
}

/// Real-time factor: seconds of computing for each second of audio, one thread, one utterance at
/// a time, the model already loaded.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Speed {
    /// Seconds of audio recognised.
    pub audio_seconds: f64,
    /// Of the whole: reading and decoding audio, features, network, search.
    pub real_time_factor: f64,
    /// Share of the time spent on reading and decoding audio.
    pub audio_share: f64,
    /// Share of the time spent on features.
    pub feature_share: f64,
}

/// Recognises every utterance of `manifest` with the model at `model`.
///
/// `progress` is told utterances done and in all. Recognition runs on one thread, so that the
/// real-time factor means something; the result does not depend on it.
pub fn evaluate(
    model: &Path,
    manifest: &Manifest,
    cpu: Cpu,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation, TrainError> {
    evaluate_with(Recognizer::open(model, cpu)?, manifest, progress)
}

/// The one thread on which a real-time factor is measured.
pub(crate) fn one_thread() -> Result<rayon::ThreadPool, TrainError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|error| TrainError::Threads { threads: 1, reason: error.to_string() })
}

/// One recognised or refused utterance.
struct Heard {
    recognition: Option<Recognition>,
    refusal: Option<Refusal>,
    /// What the label track says, and the target of each frame, for a framewise model.
    track: Option<(String, Vec<u32>)>,
    audio_time: f64,
}

impl Heard {
    /// An utterance that cannot be used; a disk that fails ends the evaluation.
    fn refused_for(fault: ClipFault, utterance: &Utterance) -> Result<Self, TrainError> {
        match fault {
            ClipFault::Refused { reason, detail } => {
                let refusal = Some(Refusal::new(utterance.id.clone(), reason, detail));
                Ok(Self { recognition: None, refusal, track: None, audio_time: 0.0 })
            }
            ClipFault::Disk { path, source } => Err(TrainError::Disk { path, source }),
        }
    }
}

/// Refuses to measure a framewise model where no utterance names a label track: there is nothing to measure it by.
pub(crate) fn check_labels(header: &ModelHeader, manifest: &Manifest) -> Result<(), TrainError> {
    let framewise = header.objective == Objective::Framewise;
    match framewise && manifest.utterances.iter().all(|utterance| utterance.labels.is_none()) {
        true => Err(TrainError::NothingToMeasure {
            path: manifest.path.clone(),
            reason: "no line of it names a label track".into(),
        }),
        false => Ok(()),
    }
}

/// The same where all tracks that are named had to be refused.
pub(crate) fn check_any_kept(
    header: &ModelHeader,
    manifest: &Manifest,
    ledger: &Ledger,
) -> Result<(), TrainError> {
    match ledger.refusals().first() {
        Some(first) if header.objective == Objective::Framewise && ledger.kept_count() == 0 => {
            Err(TrainError::NothingToMeasure {
                path: manifest.path.clone(),
                reason: format!("{ledger}, first {}: {}", first.id, first.detail),
            })
        }
        _ => Ok(()),
    }
}

/// What the label track of an utterance says, as the model's frames should.
pub(crate) fn said(
    header: &ModelHeader,
    folder: &Path,
    utterance: &Utterance,
    sample_rate: u32,
    frames: usize,
) -> Result<(String, Vec<u32>), ClipFault> {
    let refused = |reason, detail| Err(ClipFault::Refused { reason, detail });
    let Some(track) = read_labels(folder, utterance, sample_rate)? else {
        let detail = "its line in the manifest names no label track".to_owned();
        return refused(Reason::MissingLabels, detail);
    };
    match read_spoken(&track, &header.track) {
        Err(detail) => {
            let path = utterance.labels.as_deref().unwrap_or_default();
            refused(Reason::UnusableLabels, format!("{path}: {detail}"))
        }
        Ok(spoken) => {
            let grid = FrameGrid::new(&header.features, header.model.time_stride());
            let targets = frame_targets(&spoken, &header.alphabet, grid, frames);
            Ok((spoken_text(&spoken), targets))
        }
    }
}

/// [`evaluate`] with a model that is in memory already.
///
/// # Errors
/// [`TrainError`] where the manifest or the disk fails.
pub fn evaluate_with(
    mut recognizer: Recognizer,
    manifest: &Manifest,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation, TrainError> {
    check_labels(recognizer.header(), manifest)?;
    let pool = one_thread()?;
    let normalizer = Normalizer::new(&recognizer.header().normalizer)?;
    let seen = seen(manifest, &recognizer.header().data)?;
    let mut rows = StoredRows::new(&recognizer.header().features)?;
    let mut from_features = 0;
    let mut pairs = Vec::with_capacity(manifest.utterances.len());
    let mut ledger = Ledger::new();
    let mut speed = Speed::default();
    let (mut audio_time, mut feature_time, mut model_time) = (0.0, 0.0, 0.0);
    let (mut feasible, mut outside_alphabet) = (0, 0);
    let mut confusions: BTreeMap<(String, String), usize> = BTreeMap::new();
    let objective = recognizer.header().objective;
    let units = recognizer.header().alphabet.units();
    let mut frames = (objective == Objective::Framewise).then(FrameScore::default);
    let lexicon = recognizer.header().lexicon.clone();
    for (index, utterance) in manifest.utterances.iter().enumerate() {
        progress(index, manifest.utterances.len());
        let reference = reference(&normalizer, lexicon.as_ref(), &utterance.text);
        let start = Instant::now();
        let heard = match read(manifest, utterance, &mut rows)? {
            Err(fault) => Heard::refused_for(fault, utterance)?,
            Ok(Input::Audio(audio)) if let Err(error) = recognizer.check_rate(&audio) => {
                let (reason, detail) = (Reason::SampleRate, error.to_string());
                Heard::refused_for(ClipFault::Refused { reason, detail }, utterance)?
            }
            Ok(input) => {
                let audio_time = start.elapsed().as_secs_f64();
                let (recognition, sample_rate) = match &input {
                    Input::Audio(audio) => {
                        (pool.install(|| recognizer.recognize(audio))?, audio.sample_rate)
                    }
                    Input::Features(features) => {
                        from_features += 1;
                        let hear = || recognizer.recognize_features(features, utterance.duration);
                        (pool.install(hear)?, recognizer.sample_rate())
                    }
                };
                let track = match objective {
                    Objective::Ctc => Ok(None),
                    Objective::Framewise => {
                        let (header, frames) = (recognizer.header(), recognition.frames);
                        said(header, manifest.folder(), utterance, sample_rate, frames).map(Some)
                    }
                };
                match track {
                    Ok(track) => {
                        let recognition = Some(recognition);
                        Heard { recognition, refusal: None, track, audio_time }
                    }
                    Err(fault) => Heard::refused_for(fault, utterance)?,
                }
            }
        };
        match heard.refusal {
            Some(refusal) => ledger.refuse(refusal),
            None => ledger.keep(),
        }
        let reference = match (heard.track, &mut frames, &heard.recognition) {
            (Some((said, targets)), Some(frames), Some(recognition)) => {
                frames.add(&recognition.frame_labels, &targets);
                said
            }
            // Of a track that cannot be read nobody knows what it says.
            (_, Some(_), _) => String::new(),
            (_, None, _) => reference,
        };
        match recognizer.header().alphabet.encode(&reference) {
            Ok(labels) => {
                let frames = heard.recognition.as_ref().map_or(0, |r| r.frames);
                feasible += usize::from(frames >= ctc_minimum_frames(&labels).max(1));
            }
            Err(_) => outside_alphabet += 1,
        }
        let hypothesis = heard.recognition.map(|recognition| {
            speed.audio_seconds += recognition.seconds;
            audio_time += heard.audio_time;
            feature_time += recognition.feature_time.as_secs_f64();
            model_time += recognition.model_time.as_secs_f64();
            recognition.text
        });
        count_confusions(&reference, hypothesis.as_deref().unwrap_or(""), &mut confusions);
        pairs.push(Pair {
            id: utterance.id.clone(),
            speaker: utterance.speaker.clone(),
            reference,
            hypothesis,
        });
    }
    check_any_kept(recognizer.header(), manifest, &ledger)?;
    let total: f64 = audio_time + feature_time + model_time;
    speed.real_time_factor = total / speed.audio_seconds.max(f64::MIN_POSITIVE);
    speed.audio_share = audio_time / total.max(f64::MIN_POSITIVE);
    speed.feature_share = feature_time / total.max(f64::MIN_POSITIVE);
    let mut confusions: Vec<_> =
        confusions.into_iter().map(|((said, heard), times)| (said, heard, times)).collect();
    confusions.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.cmp(b)));
    let score = ScoreReport { units, ..score_pairs(pairs, INTERVAL_SEED) };
    Ok(Evaluation {
        score,
        ledger,
        feasible,
        outside_alphabet,
        units,
        objective,
        frames,
        seen,
        from_features,
        speed,
        confusions,
    })
}

/// What the model saw of a manifest: the manifest itself, or the one from which its shards were made.
fn seen(manifest: &Manifest, data: &DataRecord) -> Result<Option<Seen>, TrainError> {
    let digests = [Some(manifest.digest()?), origin_digest(&manifest.path)];
    let is_among = |known: &str| {
        digests.iter().flatten().any(|digest| known.split(' ').any(|one| one == digest))
    };
    Ok(match () {
        () if is_among(&data.train_digest) => Some(Seen::TrainedOn),
        () if is_among(&data.dev_digest) => Some(Seen::ChosenBy),
        () => None,
    })
}

/// What there is of an utterance.
enum Input {
    Audio(Audio),
    /// `[frames, dim]`, not normalised.
    Features(Vec<f32>),
}

/// Reads an utterance's sound, or the features that a shard holds of it.
fn read(
    manifest: &Manifest,
    utterance: &Utterance,
    rows: &mut StoredRows,
) -> Result<Result<Input, ClipFault>, TrainError> {
    let Some(stored) = stored_features(utterance) else {
        return Ok(read_clip(manifest.folder(), utterance).map(Input::Audio));
    };
    rows.check(&manifest.path, &stored)?;
    Ok(read_stored_features(manifest.folder(), utterance).map(|stored| {
        let mut features = Vec::new();
        rows.append(&stored, &mut features);
        Input::Features(features)
    }))
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn serialize_ledger<S: Serializer>(ledger: &Ledger, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_struct("Ledger", 3)?;
    map.serialize_field("read", &ledger.read_count())?;
    map.serialize_field("kept", &ledger.kept_count())?;
    map.serialize_field("refused", ledger.refusals())?;
    map.end()
}

fn count_confusions(
    reference: &str,
    hypothesis: &str,
    confusions: &mut BTreeMap<(String, String), usize>,
) {
    let said: Vec<&str> = reference.split_whitespace().collect();
    let heard: Vec<&str> = hypothesis.split_whitespace().collect();
    for operation in word_errors(reference, hypothesis).operations {
        if let Operation::Substitution { reference, hypothesis } = operation {
            let pair = (said[reference].to_owned(), heard[hypothesis].to_owned());
            *confusions.entry(pair).or_default() += 1;
        }
    }
}

impl Evaluation {
    /// Utterances with most word errors first; those without errors are not among them.
    pub fn worst(&self, most: usize) -> Vec<&labyrinth_text::score::UtteranceScore> {
        let mut wrong: Vec<_> =
            self.score.utterances.iter().filter(|u| u.words.errors() > 0).collect();
        wrong.sort_by(|a, b| b.words.errors().cmp(&a.words.errors()).then_with(|| a.id.cmp(&b.id)));
        wrong.truncate(most);
        wrong
    }

    /// The ledger's refusals of one reason.
    pub fn refused_for(&self, reason: Reason) -> usize {
        self.ledger.reasons().get(&reason).copied().unwrap_or(0)
    }
}
