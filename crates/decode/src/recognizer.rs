//! A trained model that turns sound into text.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use labyrinth_kernels::Cpu;
use labyrinth_nn::{Memory, Mode, ModelFile, ModelFileError, ModelHeader, NnError};
use labyrinth_signal::{Audio, FeatureError, FeatureExtractor, resample};
use serde::Serialize;

use crate::greedy::{Word, greedy, words};

/// What was heard in one recording.
#[derive(Clone, Debug, Serialize)]
pub struct Recognition {
    /// The text.
    pub text: String,
    /// Its words with their times in seconds from the beginning of the recording.
    pub words: Vec<Word>,
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
    #[error("{what}s of {given} s cannot be heard; they last {least} to {most} s with this model")]
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

    /// Recognises a whole recording; several channels are averaged. Another sample rate than the
    /// model's is resampled, whatever [`Recognizer::check_rate`] says of it; there is no dither,
    /// whatever the training had.
    pub fn recognize(&mut self, audio: &Audio) -> Result<Recognition, RecognizerError> {
        let start = Instant::now();
        let rate = self.extractor.sample_rate();
        let mono = audio.mono();
        let samples =
            if audio.sample_rate == rate { mono } else { resample(&mono, audio.sample_rate, rate) };
        self.features.clear();
        self.extractor.compute(&samples, &mut self.features);
        let dim = self.extractor.dim();
        self.model.header.features.normalize.apply(&mut self.features, dim);
        let feature_time = start.elapsed();
        let frames = self.features.len() / dim;
        let options = &self.model.header.model;
        let output_frames = options.output_frames(frames);
        let words = if output_frames == 0 {
            // Too short for a single frame of the model: nothing can be said in it.
            Vec::new()
        } else {
            let network = &self.model.network;
            let mode = Mode::Inference;
            network.forward(self.cpu, mode, &self.features, &[frames], &mut self.memory)?;
            let tokens = greedy(self.memory.output(), network.labels());
            let shift = f64::from(self.model.header.features.frame_shift) / 1000.0;
            let seconds_per_frame = shift * options.time_stride() as f64;
            words(&tokens, &self.model.header.alphabet, seconds_per_frame, 0.0)
        };
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        Ok(Recognition {
            text,
            words,
            seconds: audio.duration(),
            frames: output_frames,
            feature_time,
            model_time: start.elapsed() - feature_time,
        })
    }
}
