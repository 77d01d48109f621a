//! A model on a manifest, whole recordings beside the same in pieces: whether it says the same live, and what
//! that costs.

use std::time::Instant;

use labyrinth_corpus::clip::{ClipFault, read_clip};
use labyrinth_corpus::{Ledger, Manifest, Reason, Refusal};
use labyrinth_decode::{ChunkOptions, Recognizer, RecognizerError, RecognizerStream, Word};
use labyrinth_nn::Objective;
use labyrinth_signal::Audio;
use labyrinth_text::score::{Pair, ScoreReport, score_pairs};
use labyrinth_text::{Normalizer, Units};
use serde::Serialize;

use crate::data::reference;
use crate::error::TrainError;
use crate::evaluate::{INTERVAL_SEED, check_any_kept, check_labels, one_thread, said};

/// How recordings are streamed.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    /// Milliseconds of sound in a piece.
    pub piece_ms: f64,
    /// For models that need whole recordings: overlapping chunks in their place.
    pub chunks: Option<ChunkOptions>,
}

/// An utterance that is heard otherwise in a stream than as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// Its id.
    pub id: String,
    /// What was heard in the whole recording.
    pub offline: String,
    /// What was heard in pieces.
    pub streamed: String,
}

/// What a model does on a manifest, as a whole and in pieces.
#[derive(Debug)]
pub struct StreamedEvaluation {
    /// What the labels of the model are.
    pub units: Units,
    /// Error rates of whole recordings.
    pub offline: ScoreReport,
    /// Error rates of the same in pieces.
    pub streamed: ScoreReport,
    /// Utterances read, kept, and refused by reason. A refused one counts as all deletions in both.
    pub ledger: Ledger,
    /// Utterances with another text or other times of words in pieces.
    pub differences: Vec<Difference>,
    /// Seconds of audio recognised.
    pub audio_seconds: f64,
    /// Seconds of computing per second of audio, one thread, reading and decoding not counted: offline, and
    /// in pieces.
    pub real_time_factors: [f64; 2],
    /// Seconds of audio that the model waits behind the beginning of a frame before it says what was heard in
    /// it.
    pub latency: f64,
    /// Seconds that the first frames of a recording may wait beyond that.
    pub start_latency: f64,
}

/// Recognises every utterance of `manifest`, offline and in a stream, on one thread.
///
/// # Errors
/// [`TrainError::Recognizer`] for a model that cannot run in such a stream.
pub fn evaluate_stream(
    mut recognizer: Recognizer,
    manifest: &Manifest,
    options: StreamOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<StreamedEvaluation, TrainError> {
    check_labels(recognizer.header(), manifest)?;
    let units = recognizer.header().alphabet.units();
    let framewise = recognizer.header().objective == Objective::Framewise;
    let pool = one_thread()?;
    let normalizer = Normalizer::new(&recognizer.header().normalizer)?;
    let lexicon = recognizer.header().lexicon.clone();
    let (mut offline, mut streamed) = (Vec::new(), Vec::new());
    let (mut differences, mut ledger) = (Vec::new(), Ledger::new());
    let (mut audio_seconds, mut seconds) = (0.0, [0.0; 2]);
    // A model that cannot is refused before the first utterance.
    let stream = start(&recognizer, recognizer.sample_rate(), options)?;
    let (latency, start_latency) = (stream.latency(), stream.start_latency());
    for (index, utterance) in manifest.utterances.iter().enumerate() {
        progress(index, manifest.utterances.len());
        let mut pair = |reference: String, texts: Option<[&str; 2]>| {
            for (pairs, text) in [&mut offline, &mut streamed].into_iter().zip([0, 1]) {
                pairs.push(Pair {
                    id: utterance.id.clone(),
                    speaker: utterance.speaker.clone(),
                    reference: reference.clone(),
                    hypothesis: texts.map(|texts| texts[text].to_owned()),
                });
            }
        };
        let refusal = match read_clip(manifest.folder(), utterance) {
            Ok(audio) => match recognizer.check_rate(&audio) {
                Err(error) => (Reason::SampleRate, error.to_string()),
                Ok(()) => {
                    let whole = pool.install(|| recognizer.recognize(&audio))?;
                    let folder = manifest.folder();
                    let reference = match framewise {
                        false => Ok(reference(&normalizer, lexicon.as_ref(), &utterance.text)),
                        true => {
                            let rate = audio.sample_rate;
                            said(recognizer.header(), folder, utterance, rate, whole.frames)
                                .map(|(text, _)| text)
                        }
                    };
                    let reference = match reference {
                        Ok(reference) => reference,
                        Err(ClipFault::Refused { reason, detail }) => {
                            // Of a track that cannot be read nobody knows what it says.
                            pair(String::new(), None);
                            ledger.refuse(Refusal::new(utterance.id.clone(), reason, detail));
                            continue;
                        }
                        Err(ClipFault::Disk { path, source }) => {
                            return Err(TrainError::Disk { path, source });
                        }
                    };
                    seconds[0] += (whole.feature_time + whole.model_time).as_secs_f64();
                    let start = Instant::now();
                    let words = pool.install(|| hear(&recognizer, &audio, options))?;
                    seconds[1] += start.elapsed().as_secs_f64();
                    audio_seconds += audio.duration();
                    let text: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
                    let text = text.join(" ");
                    pair(reference, Some([&whole.text, &text]));
                    if words != whole.words {
                        let id = utterance.id.clone();
                        differences.push(Difference { id, offline: whole.text, streamed: text });
                    }
                    ledger.keep();
                    continue;
                }
            },
            Err(ClipFault::Refused { reason, detail }) => (reason, detail),
            Err(ClipFault::Disk { path, source }) => {
                return Err(TrainError::Disk { path, source });
            }
        };
        let reference = match framewise {
            true => String::new(),
            false => reference(&normalizer, lexicon.as_ref(), &utterance.text),
        };
        pair(reference, None);
        ledger.refuse(Refusal::new(utterance.id.clone(), refusal.0, refusal.1));
    }
    check_any_kept(recognizer.header(), manifest, &ledger)?;
    let score = |pairs| ScoreReport { units, ..score_pairs(pairs, INTERVAL_SEED) };
    Ok(StreamedEvaluation {
        units,
        offline: score(offline),
        streamed: score(streamed),
        ledger,
        differences,
        audio_seconds,
        real_time_factors: seconds.map(|seconds| seconds / audio_seconds.max(f64::MIN_POSITIVE)),
        latency,
        start_latency,
    })
}

fn start(
    recognizer: &Recognizer,
    rate: u32,
    options: StreamOptions,
) -> Result<RecognizerStream, RecognizerError> {
    match options.chunks {
        None => recognizer.stream(rate),
        Some(chunks) => recognizer.stream_in_chunks(rate, chunks),
    }
}

/// The words of a recording that comes in pieces.
fn hear(
    recognizer: &Recognizer,
    audio: &Audio,
    options: StreamOptions,
) -> Result<Vec<Word>, RecognizerError> {
    let mut stream = start(recognizer, audio.sample_rate, options)?;
    let piece = (options.piece_ms / 1000.0 * f64::from(audio.sample_rate)).round() as usize;
    let mut words = Vec::new();
    for samples in audio.mono().chunks(piece.max(1)) {
        words.extend(stream.push(samples)?);
    }
    words.extend(stream.finish()?);
    Ok(words)
}
