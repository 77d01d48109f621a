//! Live recognition: sound in, in pieces of any size, and words as soon as nothing can change them.
//!
//! ```text
//! samples → (resampler) → features → network → logits → words
//!                         └─────── listener ──────┘
//! ```
//!
//! Every step is the offline one, fed in pieces to the same bytes, so a model that can stream says the same
//! live as offline ([`Recognizer::recognize`]); but a model of keywords, which finds exactly one word in a clip,
//! says live each word as it hears it. There are two listeners:
//!
//! - **causal**: features and network hear each sample once, and logits come as soon as they are certain
//!   ([`NetworkStream`]). What needs the whole recording is refused: a normalisation over it, a layer that
//!   reads from its end.
//! - **in chunks**, for models that are refused so: overlapping chunks of the recording, each recognised as if
//!   it were all there is, of which only the middle is kept (`chunks.rs`). An approximation: the text may
//!   differ from the offline one, and it comes a chunk and a half late.
//!
//! Book: book/src/decoding.md

use std::sync::Arc;
use std::time::{Duration, Instant};

use labyrinth_kernels::Cpu;
use labyrinth_nn::{ModelFile, NetworkStream};
use labyrinth_signal::{FeatureExtractor, Resampler};

use crate::chunks::{ChunkOptions, Chunks};
use crate::greedy::Word;
use crate::growing::GrowingWords;
use crate::recognizer::{Recognizer, RecognizerError};

/// One recording that is recognised while it comes in.
pub struct RecognizerStream {
    model: Arc<ModelFile>,
    cpu: Cpu,
    /// Absent where samples come at the model's rate.
    resampler: Option<Resampler>,
    listener: Listener,
    words: GrowingWords,
    work: Work,
    time: [Duration; 2],
}

/// Buffers between the steps; empty between two pieces.
#[derive(Default)]
struct Work {
    samples: Vec<f32>,
    features: Vec<f32>,
    logits: Vec<f32>,
}

enum Listener {
    Causal(Box<(FeatureExtractor, NetworkStream<f32>)>),
    Chunks(Box<Chunks>),
}

impl Recognizer {
    /// A stream of samples at `sample_rate`, by a model that can hear them one after another.
    ///
    /// # Errors
    /// [`RecognizerError`] names what of the model needs the whole recording, or the rate that its features
    /// do not take.
    pub fn stream(&self, sample_rate: u32) -> Result<RecognizerStream, RecognizerError> {
        self.header().features.check_causal()?;
        let network = NetworkStream::new(&self.model().network)?;
        let extractor = FeatureExtractor::new(&self.header().features)?;
        let listener = Listener::Causal(Box::new((extractor, network)));
        RecognizerStream::new(self, sample_rate, listener)
    }

    /// A stream of samples at `sample_rate`, recognised in overlapping chunks, by any model.
    ///
    /// # Errors
    /// [`RecognizerError`] for chunks that are too short or too long, and for a rate that the model's features
    /// do not take.
    pub fn stream_in_chunks(
        &self,
        sample_rate: u32,
        options: ChunkOptions,
    ) -> Result<RecognizerStream, RecognizerError> {
        let listener = Listener::Chunks(Box::new(Chunks::new(self.model(), options)?));
        RecognizerStream::new(self, sample_rate, listener)
    }
}

impl RecognizerStream {
    fn new(
        recognizer: &Recognizer,
        sample_rate: u32,
        listener: Listener,
    ) -> Result<Self, RecognizerError> {
        let header = recognizer.header();
        header.features.check_rate(sample_rate)?;
        let rate = recognizer.sample_rate();
        let (hop, offset) = recognizer.word_times();
        Ok(Self {
            model: recognizer.model().clone(),
            cpu: recognizer.cpu(),
            resampler: (sample_rate != rate).then(|| Resampler::new(sample_rate, rate)),
            listener,
            words: GrowingWords::new(hop, offset),
            work: Work::default(),
            time: [Duration::ZERO; 2],
        })
    }

    /// Takes the next samples, one channel in [-1, 1), and returns the words that are finished by then.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<Word>, RecognizerError> {
        self.pass(samples, false)
    }

    /// Ends the recording and returns its last words. The next sample is the first of another one.
    pub fn finish(&mut self) -> Result<Vec<Word>, RecognizerError> {
        let mut words = self.pass(&[], true)?;
        words.extend(self.words.finish());
        Ok(words)
    }

    /// What has been spelt of the word that may still grow.
    pub fn partial(&self) -> Option<&Word> {
        self.words.partial()
    }

    /// Frames of the model's output so far.
    pub fn frames(&self) -> usize {
        self.words.frames()
    }

    /// How long features, and model and search, took since the stream was made.
    pub fn times(&self) -> [Duration; 2] {
        self.time
    }

    /// How long, in seconds of audio, the model waits behind the beginning of an output frame before it says
    /// what was heard in it, however fast it computes: the frames of the future that it needs, and the length
    /// of one. At the beginning of a recording a normalisation may add to it
    /// ([`RecognizerStream::start_latency`]).
    pub fn latency(&self) -> f64 {
        let header = &self.model.header;
        let length = f64::from(header.features.frame_length) / 1000.0;
        match &self.listener {
            Listener::Causal(_) => {
                let after = self.model.network.reach().after.unwrap_or(0);
                f64::from(header.features.frame_shift) / 1000.0 * after as f64 + length
            }
            Listener::Chunks(chunks) => chunks.latency() + length,
        }
    }

    /// Seconds that the features of a recording's first frames may wait for frames to come: those by which a
    /// sliding mean begins, those of deltas and splicing.
    pub fn start_latency(&self) -> f64 {
        let shift = f64::from(self.model.header.features.frame_shift) / 1000.0;
        match &self.listener {
            Listener::Causal(listener) => shift * listener.0.lookahead() as f64,
            Listener::Chunks(_) => 0.0,
        }
    }

    fn pass(&mut self, samples: &[f32], end: bool) -> Result<Vec<Word>, RecognizerError> {
        let start = Instant::now();
        let Work { samples: resampled, features, logits } = &mut self.work;
        resampled.clear();
        let samples = match &mut self.resampler {
            None => samples,
            Some(resampler) => {
                resampler.push(samples, resampled);
                if end {
                    resampler.finish(resampled);
                }
                resampled
            }
        };
        logits.clear();
        match &mut self.listener {
            Listener::Causal(listener) => {
                let (extractor, stream) = &mut **listener;
                features.clear();
                extractor.push(samples, features);
                if end {
                    extractor.finish(features);
                }
                self.time[0] += start.elapsed();
                let start = Instant::now();
                stream.push(&self.model.network, self.cpu, features, logits)?;
                if end {
                    stream.finish(&self.model.network, self.cpu, logits)?;
                }
                self.time[1] += start.elapsed();
            }
            Listener::Chunks(chunks) => {
                let feature_time = chunks.push(&self.model, self.cpu, samples, end, logits)?;
                self.time[0] += feature_time;
                self.time[1] += start.elapsed() - feature_time;
            }
        }
        let start = Instant::now();
        let alphabet = &self.model.header.alphabet;
        let frames = logits.chunks_exact(self.model.network.labels());
        // Of several heads the first.
        let first = frames.map(|scores| &scores[..alphabet.len()]);
        let words = first.filter_map(|scores| self.words.push(scores, alphabet)).collect();
        self.time[1] += start.elapsed();
        Ok(words)
    }
}
