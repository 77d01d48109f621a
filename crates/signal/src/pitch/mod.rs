//! Kaldi's pitch: for each frame how periodic it is, and with which frequency.
//!
//! P. Ghahremani, B. BabaAli, D. Povey, K. Riedhammer, J. Trmal and S. Khudanpur, "A pitch
//! extraction algorithm tuned for automatic speech recognition", ICASSP 2014; what later versions
//! of Kaldi's `compute-kaldi-pitch-feats` added (chunks, recomputation, edges) as in its
//! `feat/pitch-functions.cc`. One file per step:
//!
//! ```text
//! samples ──filters──► signal at 4 kHz ──correlation──► nccf per lag ──filters──► per pitch
//!         ──viterbi──► (nccf, pitch) per frame ──process──► features for a recogniser
//! ```
//!
//! Every frame gets a pitch, voiced or not: the path goes straight through what is unvoiced, and
//! the correlation says how much the pitch means. Unlike Kaldi, sums are taken in `f64` and the
//! transitions' minimum is exact; the values differ by Kaldi's rounding, and where two paths cost
//! the same to rounding, the path may.
//!
//! **What is causal.** By default a frame depends on the whole recording (its mean loudness, and
//! the traceback from its end), so a stream is refused ([`PitchError::NotCausal`]). Its streaming
//! counterpart is Kaldi's simulation of its online decoder, [`PitchOptions::online`]: samples are
//! taken in chunks of `frames-per-chunk` frames, cut here at the same places however the samples
//! come in, and each frame is given as it stands when its chunk has been heard. Memory is bounded
//! by `recompute-frame` and `max-frames-latency`.

mod correlation;
mod filters;
mod options;
mod process;
mod track;
mod viterbi;

use std::fmt;

use crate::feature_options::FeatureError;
pub use options::{PitchOptions, ProcessPitchOptions};
pub use process::PitchProcessor;
use track::Tracker;

/// Largest magnitude of a sample; far beyond any recording, far from overflow.
const LOUDEST: f32 = 1e6;

/// Samples or a request that pitch cannot follow.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PitchError {
    /// A stream was asked for what needs the whole recording.
    #[error(
        "pitch with these options depends on the whole recording and cannot be computed in a \
         stream; set `frames-per-chunk` above 0 (such as 10) and `simulate-first-pass-online = \
         true`"
    )]
    NotCausal,
    /// A sample that is not a number, infinite, or beyond 1000000.
    #[error(
        "sample {index} is {value}, which has no pitch; samples must be finite and within \
         -1000000 to 1000000 (full scale is 1)"
    )]
    Sample {
        /// Its number in the recording.
        index: u64,
        /// Its value.
        value: f32,
    },
}

/// Tracks the pitch of recordings and streams: samples in, rows of `[nccf, pitch in Hz]` out.
///
/// ```
/// use labyrinth_signal::{PitchExtractor, PitchOptions};
///
/// let tone: Vec<f32> = (0..16_000).map(|i| (i as f32 * 0.05).sin() * 0.3).collect(); // 127.3 Hz
/// let mut extractor = PitchExtractor::new(&PitchOptions::default())?;
/// let mut rows = Vec::new(); // [frames, 2]
/// extractor.compute(&tone, &mut rows)?;
/// assert!((rows[2 * 50 + 1] - 127.3).abs() < 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PitchExtractor {
    options: PitchOptions,
    tracker: Tracker,
    /// Samples per chunk; 0 for the whole recording.
    chunk: usize,
    /// Samples of the chunk that is not whole yet.
    waiting: Vec<f32>,
    /// Samples of the stream so far.
    seen: u64,
}

impl fmt::Debug for PitchExtractor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PitchExtractor")
            .field("options", &self.options)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl PitchExtractor {
    /// Numbers per frame: the correlation at the chosen lag, in [-1, 1], and the pitch in Hz.
    pub const DIM: usize = 2;

    /// Prepares an extractor; its tables are made once.
    ///
    /// # Errors
    /// [`FeatureError`] names the option that cannot be followed.
    pub fn new(options: &PitchOptions) -> Result<Self, FeatureError> {
        options.check()?;
        Ok(PitchExtractor {
            tracker: Tracker::new(options),
            chunk: options.chunk(),
            waiting: Vec::new(),
            seen: 0,
            options: options.clone(),
        })
    }

    /// The options it was made with.
    pub fn options(&self) -> &PitchOptions {
        &self.options
    }

    /// The sample rate that recordings must have, in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.options.sample_frequency as u32
    }

    /// Number of frames of a recording of `samples` samples; none if it is shorter than a window.
    pub fn frame_count(&self, samples: usize) -> usize {
        self.tracker.frame_count(samples as u64) as usize
    }

    /// Samples of a stream, from a frame's first on, after which it has been given at the latest:
    /// the window and its longest lag, the low-pass, a chunk, the wait for the path, and one
    /// sample that tells that the chunk is not the last.
    pub fn latency_samples(&self) -> usize {
        let (frame, filter) = self.tracker.reach();
        let ratio =
            f64::from(self.options.sample_frequency) / f64::from(self.options.resample_frequency);
        let shift = (self.options.shift() as f64 * ratio).ceil() as usize;
        let wait = self.options.max_frames_latency as usize * shift;
        (frame as f64 * ratio).ceil() as usize + filter as usize + self.chunk + wait + 1
    }

    /// The same in frames: the first frame stands in row 0 when so many frames' shifts of samples
    /// have been pushed.
    pub fn latency_frames(&self) -> usize {
        let shift = f64::from(self.options.sample_frequency) * self.options.shift() as f64
            / f64::from(self.options.resample_frequency);
        (self.latency_samples() as f64 / shift).ceil() as usize
    }

    /// Tracks a whole recording in [-1, 1): appends `[frames, 2]` to `out`, nothing for a
    /// recording shorter than a window. A stream begun before is forgotten.
    ///
    /// # Errors
    /// [`PitchError::Sample`]; `out` is then as it was.
    pub fn compute(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), PitchError> {
        self.reset();
        self.check(samples)?;
        out.reserve(self.frame_count(samples.len()) * Self::DIM);
        if self.chunk == 0 {
            self.tracker.accept(samples, out);
        } else {
            self.take_in(samples, out);
        }
        self.close(out);
        Ok(())
    }

    /// Takes the next samples of a stream and appends the frames that may be given, `[frames, 2]`.
    ///
    /// # Errors
    /// [`PitchError::NotCausal`] if the options need the whole recording, [`PitchError::Sample`]
    /// for a sample that is no number; nothing of `samples` has then been taken.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), PitchError> {
        if !self.options.is_causal() {
            return Err(PitchError::NotCausal);
        }
        self.check(samples)?;
        self.take_in(samples, out);
        Ok(())
    }

    /// Ends the stream: appends the frames that are left, and resets.
    ///
    /// # Errors
    /// [`PitchError::NotCausal`] if the options need the whole recording.
    pub fn finish(&mut self, out: &mut Vec<f32>) -> Result<(), PitchError> {
        if !self.options.is_causal() {
            return Err(PitchError::NotCausal);
        }
        self.close(out);
        Ok(())
    }

    /// Forgets the stream: the next sample is the first of a new one.
    pub fn reset(&mut self) {
        self.tracker.reset();
        self.waiting.clear();
        self.seen = 0;
    }

    /// Refuses samples that would spread through the sums.
    fn check(&self, samples: &[f32]) -> Result<(), PitchError> {
        match samples.iter().position(|sample| sample.is_nan() || sample.abs() > LOUDEST) {
            None => Ok(()),
            Some(place) => {
                let index = self.seen + place as u64;
                Err(PitchError::Sample { index, value: samples[place] })
            }
        }
    }

    /// Cuts chunks. A chunk goes on when a sample after it has come: the last one is tracked
    /// together with the end of the recording, before its frames are given, as Kaldi does.
    fn take_in(&mut self, mut samples: &[f32], out: &mut Vec<f32>) {
        self.seen += samples.len() as u64;
        while self.waiting.len() + samples.len() > self.chunk {
            if self.waiting.is_empty() {
                let (chunk, rest) = samples.split_at(self.chunk);
                self.tracker.accept(chunk, out);
                samples = rest;
            } else {
                let (missing, rest) = samples.split_at(self.chunk - self.waiting.len());
                self.waiting.extend_from_slice(missing);
                self.tracker.accept(&self.waiting, out);
                self.waiting.clear();
                samples = rest;
            }
        }
        self.waiting.extend_from_slice(samples);
    }

    fn close(&mut self, out: &mut Vec<f32>) {
        self.tracker.end(&self.waiting, out);
        self.reset();
    }
}
