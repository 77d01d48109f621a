//! A model on a manifest: error rates with intervals, real-time factor, the worst utterances,
//! confusions.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use labyrinth_corpus::clip::{ClipFault, read_clip};
use labyrinth_corpus::shard::origin_digest;
use labyrinth_corpus::{
    Ledger, Manifest, Reason, Refusal, StoredRows, Utterance, read_stored_features, stored_features,
};
use labyrinth_decode::{Recognition, Recognizer};
use labyrinth_kernels::Cpu;
use labyrinth_nn::model_file::DataRecord;
use labyrinth_signal::Audio;
use labyrinth_text::score::{Pair, ScoreReport, score_pairs};
use labyrinth_text::{Normalizer, Operation, ctc_minimum_frames, word_errors};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::error::TrainError;

/// Seed of the bootstrap: fixed, so that the same errors always give the same interval.
const INTERVAL_SEED: u64 = 1;

/// What the model saw of a manifest before it was evaluated on it, as the digests in the model file tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// Utterances with characters that the alphabet lacks; scored like any other.
    pub outside_alphabet: usize,
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
    let recognizer = Recognizer::open(model, cpu)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|error| TrainError::Threads { threads: 1, reason: error.to_string() })?;
    evaluate_with(recognizer, &pool, manifest, progress)
}

/// One recognised or refused utterance.
struct Heard {
    recognition: Option<Recognition>,
    refusal: Option<Refusal>,
    audio_time: f64,
}

fn evaluate_with(
    mut recognizer: Recognizer,
    pool: &rayon::ThreadPool,
    manifest: &Manifest,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Evaluation, TrainError> {
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
    for (index, utterance) in manifest.utterances.iter().enumerate() {
        progress(index, manifest.utterances.len());
        let reference = normalizer.apply(&utterance.text);
        let start = Instant::now();
        let heard = match read(manifest, utterance, &mut rows)? {
            Ok(Input::Features(features)) => {
                from_features += 1;
                let audio_time = start.elapsed().as_secs_f64();
                let seconds = utterance.duration;
                let recognition =
                    pool.install(|| recognizer.recognize_features(&features, seconds))?;
                Heard { recognition: Some(recognition), refusal: None, audio_time }
            }
            Ok(Input::Audio(audio)) if let Err(error) = recognizer.check_rate(&audio) => {
                let (id, detail) = (utterance.id.clone(), error.to_string());
                let refusal = Some(Refusal::new(id, Reason::SampleRate, detail));
                Heard { recognition: None, refusal, audio_time: 0.0 }
            }
            Ok(Input::Audio(audio)) => {
                let audio_time = start.elapsed().as_secs_f64();
                let recognition = pool.install(|| recognizer.recognize(&audio))?;
                Heard { recognition: Some(recognition), refusal: None, audio_time }
            }
            Err(ClipFault::Refused { reason, detail }) => {
                let refusal = Some(Refusal::new(utterance.id.clone(), reason, detail));
                Heard { recognition: None, refusal, audio_time: 0.0 }
            }
            Err(ClipFault::Disk { path, source }) => {
                return Err(TrainError::Disk { path, source });
            }
        };
        match heard.refusal {
            Some(refusal) => ledger.refuse(refusal),
            None => ledger.keep(),
        }
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
    let total: f64 = audio_time + feature_time + model_time;
    speed.real_time_factor = total / speed.audio_seconds.max(f64::MIN_POSITIVE);
    speed.audio_share = audio_time / total.max(f64::MIN_POSITIVE);
    speed.feature_share = feature_time / total.max(f64::MIN_POSITIVE);
    let mut confusions: Vec<_> =
        confusions.into_iter().map(|((said, heard), times)| (said, heard, times)).collect();
    confusions.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.cmp(b)));
    let score = score_pairs(pairs, INTERVAL_SEED);
    Ok(Evaluation {
        score,
        ledger,
        feasible,
        outside_alphabet,
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
