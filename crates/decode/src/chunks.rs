//! A model that needs the whole recording, on overlapping chunks of one that has not ended.
//!
//! ```text
//! ├── overlap ──┼──── chunk ────┼── overlap ──┤          heard
//!               └─── kept ──────┘                        said
//!               ├── overlap ──┼──── chunk ────┼── overlap ──┤ …
//! ```
//!
//! Each window of the recording is recognised as if it were all there is: normalised over itself, read from
//! its own end. What lies near its edges has too little context, so only the logits of its middle are kept;
//! the middles lie side by side and cover the recording once. The first window begins with the recording, the
//! last one ends with it.
//!
//! Chunk and overlap are whole numbers of output frames, so that the frames of all windows lie on one grid.
//! The price is computing (chunk + 2 overlap) / chunk times, a delay of a chunk and an overlap, and errors: the
//! model was trained on whole utterances.
//!
//! Book: book/src/decoding.md

use std::sync::Arc;
use std::time::{Duration, Instant};

use labyrinth_kernels::Cpu;
use labyrinth_nn::{Memory, Mode, ModelFile};
use labyrinth_signal::FeatureExtractor;

use crate::recognizer::RecognizerError;

/// Longest chunk and overlap in seconds: what a model keeps of a window grows with it.
const LONGEST: f64 = 600.0;

/// How a recording is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChunkOptions {
    /// Seconds of which a window's text is kept, rounded to output frames.
    pub chunk_seconds: f64,
    /// Seconds that a window hears before and behind them.
    pub overlap_seconds: f64,
}

/// The recording so far, as far as later windows hear it.
pub(crate) struct Chunks {
    extractor: FeatureExtractor,
    memory: Memory<f32>,
    features: Vec<f32>,
    /// Samples from the beginning of the next window on.
    samples: Vec<f32>,
    /// Samples of an output frame, and output frames of a chunk and of an overlap.
    hop: usize,
    chunk: usize,
    overlap: usize,
    /// Output frames of the next window that the one before has said already.
    said: usize,
}

impl Chunks {
    pub fn new(model: &Arc<ModelFile>, options: ChunkOptions) -> Result<Self, RecognizerError> {
        let extractor = FeatureExtractor::new(&model.header.features)?;
        let hop = extractor.shift_samples() * model.header.model.time_stride();
        let seconds = hop as f64 / f64::from(extractor.sample_rate());
        let ChunkOptions { chunk_seconds, overlap_seconds } = options;
        for (what, given, least) in
            [("chunk", chunk_seconds, seconds), ("overlap", overlap_seconds, 0.0)]
        {
            if !(least..=LONGEST).contains(&given) {
                return Err(RecognizerError::Chunks { what, given, least, most: LONGEST });
            }
        }
        Ok(Self {
            extractor,
            memory: Memory::new(),
            features: Vec::new(),
            samples: Vec::new(),
            hop,
            chunk: ((chunk_seconds / seconds).round() as usize).max(1),
            overlap: (overlap_seconds / seconds).round() as usize,
            said: 0,
        })
    }

    /// Seconds until the first frame of a chunk is said.
    pub fn latency(&self) -> f64 {
        let samples = (self.chunk + self.overlap) * self.hop;
        samples as f64 / f64::from(self.extractor.sample_rate())
    }

    /// Takes samples at the model's rate and appends the logits of the windows that they fill, and at the
    /// `end` those of the rest. Returns how long the features took.
    pub fn push(
        &mut self,
        model: &ModelFile,
        cpu: Cpu,
        samples: &[f32],
        end: bool,
        logits: &mut Vec<f32>,
    ) -> Result<Duration, RecognizerError> {
        self.samples.extend_from_slice(samples);
        let mut time = Duration::ZERO;
        loop {
            let until = self.said + self.chunk;
            let window = self.window(model, until + self.overlap);
            if self.samples.len() <= window {
                break;
            }
            time += self.hear(model, cpu, window, Some(until), logits)?;
            // The next window begins an overlap before what is still to be said.
            let next = until.saturating_sub(self.overlap);
            self.samples.drain(..next * self.hop);
            self.said = until - next;
        }
        if end {
            time += self.hear(model, cpu, self.samples.len(), None, logits)?;
            self.samples.clear();
            self.said = 0;
        }
        Ok(time)
    }

    /// Samples from which so many output frames come: what the last of them reaches of the future counts.
    fn window(&self, model: &ModelFile, frames: usize) -> usize {
        let given = |samples| model.header.model.output_frames(self.extractor.frame_count(samples));
        let mut samples = frames * self.hop;
        while given(samples) < frames {
            samples += self.hop;
        }
        samples
    }

    /// Recognises the first samples, and says the frames up to `until`, or all.
    fn hear(
        &mut self,
        model: &ModelFile,
        cpu: Cpu,
        samples: usize,
        until: Option<usize>,
        logits: &mut Vec<f32>,
    ) -> Result<Duration, RecognizerError> {
        let start = Instant::now();
        self.features.clear();
        self.extractor.compute(&self.samples[..samples], &mut self.features);
        let dim = self.extractor.dim();
        model.header.features.normalize.apply(&mut self.features, dim);
        let time = start.elapsed();
        let (network, frames) = (&model.network, self.features.len() / dim);
        let given = model.header.model.output_frames(frames);
        let until = until.unwrap_or(given).min(given);
        if self.said < until {
            network.forward(cpu, Mode::Inference, &self.features, &[frames], &mut self.memory)?;
            let width = network.labels();
            logits.extend_from_slice(&self.memory.output()[self.said * width..until * width]);
        }
        Ok(time)
    }
}
