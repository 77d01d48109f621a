//! A trained model that turns sound into text.
//!
//! Book: book/src/decoding.md

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use labyrinth_kernels::Cpu;
use labyrinth_nn::{
    Memory, Mode, ModelFile, ModelFileError, ModelHeader, NnError, Objective, first_head,
};
use labyrinth_signal::{Audio, FeatureError, FeatureExtractor, resample};
use serde::Serialize;

use crate::greedy::{Word, best_labels, words};
use crate::one_word::search;

/// What was heard in one recording.
#[derive(Clone, Debug, Serialize)]
pub struct Recognition {
    /// The text.
    pub text: String,
    /// Its words with their times in seconds from the beginning of the recording; of a model of phonemes
    /// those, and of a framewise model the labels of its frames, equal neighbours as one and without
    /// silence.
    pub words: Vec<Word>,
    /// The best label of each frame of a framewise model; of others empty.
    #[serde(skip)]
    pub frame_labels: Vec<u32>,
    /// Seconds of audio.
    pub seconds: f64,
    /// Frames of the model's output.
    #[serde(skip)]
    pub frames: usize,
    /// How long features took.
    #[serde(skip)]
    pub feature_time: Duration,
    /// How long the model and the search took.
    #[serde(skip)]
    pub model_time: Duration,
}

/// A model file, ready to listen.
///
/// Everything comes from the file: the sample rate, the features, the alphabet. The same
/// recording gives the same text on any number of threads.
pub struct Recognizer {
    model: Arc<ModelFile>,
    extractor: FeatureExtractor,
    cpu: Cpu,
    memory: Memory<f32>,
    features: Vec<f32>,
}

/// A model that cannot recognise.
#[derive(Debug, thiserror::Error)]
pub enum RecognizerError {
    /// The model file cannot be used.
    #[error(transparent)]
    Model(#[from] ModelFileError),
    /// Its features are refused by this program.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// The network refused the input, or cannot run in a stream.
    #[error(transparent)]
    Network(#[from] NnError),
    /// A chunk or an overlap of no use.
    #[error("{what}s of {} s cannot be heard; they last {least} to {most} s with this model", spell(*given))]
    Chunks {
        /// Chunk or overlap.
        what: &'static str,
        /// Seconds asked for.
        given: f64,
        /// Least seconds.
        least: f64,
        /// Most seconds.
        most: f64,
    },
}

/// A number of seconds, without thirty zeros.
fn spell(seconds: f64) -> String {
    if seconds.abs() < 1e7 { seconds.to_string() } else { format!("{seconds:e}") }
}

impl Recognizer {
    /// Loads a model file.
    pub fn open(path: &Path, cpu: Cpu) -> Result<Self, RecognizerError> {
        Self::new(ModelFile::read(path)?, cpu)
    }

    /// Takes a model that is already in memory.
    pub fn new(model: ModelFile, cpu: Cpu) -> Result<Self, RecognizerError> {
        let extractor = FeatureExtractor::new(&model.header.features)?;
        let model = Arc::new(model);
        Ok(Self { model, extractor, cpu, memory: Memory::new(), features: Vec::new() })
    }

    /// What the model file says of itself.
    pub fn header(&self) -> &ModelHeader {
        &self.model.header
    }

    /// The sample rate at which the model listens, in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.extractor.sample_rate()
    }

    /// Seconds from one output frame to the next, and where the time begins for which frame 0 speaks.
    pub(crate) fn word_times(&self) -> (f64, f64) {
        let (center, hop) = self.model.header.frame_times();
        match self.model.header.objective {
            Objective::Ctc => (hop, 0.0),
            // A frame speaks for the piece of time around its centre that is one hop long.
            Objective::Framewise => (hop, center - 0.5 * hop),
        }
    }

    pub(crate) fn model(&self) -> &Arc<ModelFile> {
        &self.model
    }

    pub(crate) fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Whether the model's features take the sample rate of this recording, as it is or resampled.
    ///
    /// # Errors
    /// The features' refusal, with both rates.
    pub fn check_rate(&self, audio: &Audio) -> Result<(), FeatureError> {
        self.model.header.features.check_rate(audio.sample_rate)
    }

    /// The features of the last recording, `[frames, dim]` as the network saw them, and `dim`.
    pub fn features(&self) -> (&[f32], usize) {
        (&self.features, self.extractor.dim())
    }

    /// What the model gives for a whole recording, `[frames, outputs]` with the labels of all heads side by
    /// side ([`ModelHeader::outputs`]): logits, not probabilities. Empty where the recording is too short
    /// for one frame. The sound is treated as by [`Recognizer::recognize`].
    pub fn logits(&mut self, audio: &Audio) -> Result<&[f32], RecognizerError> {
        self.extract(audio);
        let frames = self.normalize();
        if self.model.header.model.output_frames(frames) == 0 {
            return Ok(&[]);
        }
        let network = &self.model.network;
        network.forward(self.cpu, Mode::Inference, &self.features, &[frames], &mut self.memory)?;
        Ok(self.memory.output())
    }

    /// Computes the features, not normalised.
    fn extract(&mut self, audio: &Audio) {
        let rate = self.extractor.sample_rate();
        let mono = audio.mono();
        let samples =
            if audio.sample_rate == rate { mono } else { resample(&mono, audio.sample_rate, rate) };
        self.features.clear();
        self.extractor.compute(&samples, &mut self.features);
    }

    /// Normalises the features; returns the number of frames.
    fn normalize(&mut self) -> usize {
        let dim = self.extractor.dim();
        self.model.header.features.normalize.apply(&mut self.features, dim);
        self.features.len() / dim
    }

    /// Recognises a whole recording; several channels are averaged. Another sample rate than the
    /// model's is resampled, whatever [`Recognizer::check_rate`] says of it; there is no dither,
    /// whatever the training had.
    pub fn recognize(&mut self, audio: &Audio) -> Result<Recognition, RecognizerError> {
        let start = Instant::now();
        self.extract(audio);
        self.hear(start, audio.duration())
    }

    /// Recognises a recording of which there are features and no sound: those that the model's extractor
    /// gives, `[frames, dim]`, not normalised. They tell nothing of the recording's length in `seconds`.
    pub fn recognize_features(
        &mut self,
        features: &[f32],
        seconds: f64,
    ) -> Result<Recognition, RecognizerError> {
        let start = Instant::now();
        self.features.clear();
        self.features.extend_from_slice(features);
        self.hear(start, seconds)
    }

    /// Normalises the features, and from there on.
    fn hear(&mut self, start: Instant, seconds: f64) -> Result<Recognition, RecognizerError> {
        let frames = self.normalize();
        let feature_time = start.elapsed();
        let options = &self.model.header.model;
        let output_frames = options.output_frames(frames);
        let mut frame_labels = Vec::new();
        let words = if output_frames == 0 {
            // Too short for a single frame of the model: nothing can be said in it.
            Vec::new()
        } else {
            let network = &self.model.network;
            let mode = Mode::Inference;
            network.forward(self.cpu, mode, &self.features, &[frames], &mut self.memory)?;
            let alphabet = &self.model.header.alphabet;
            let scores = first_head(self.memory.output(), network.labels(), alphabet.len());
            if self.model.header.objective == Objective::Framewise {
                frame_labels = best_labels(&scores, alphabet.len());
            }
            let (hop, offset) = self.word_times();
            // Equal neighbours become one, and label 0 is left out: the blank, or silence.
            words(&search(options, &scores, alphabet.len()), alphabet, hop, offset)
        };
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        Ok(Recognition {
            text,
            words,
            frame_labels,
            seconds,
            frames: output_frames,
            feature_time,
            model_time: start.elapsed() - feature_time,
        })
    }
}
