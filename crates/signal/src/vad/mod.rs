//! Voice activity: which frames of a recording hold speech.
//!
//! One trait, [`VoiceActivity`], and two detectors behind it: Kaldi's energy rule ([`EnergyVad`]),
//! which compares each frame with the mean over the whole recording and so is not causal, and a
//! small neural network ([`ModelVad`]), which decides frame by frame and is its counterpart in a
//! stream.

mod energy;
mod model;

pub use energy::{EnergyVad, EnergyVadOptions, energy_rule};
pub use model::ModelVad;

/// Samples or a request that a detector cannot follow.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VadError {
    /// A stream was asked for what needs the whole recording.
    #[error(
        "the energy rule compares each frame with the mean energy of the whole recording and \
         cannot decide in a stream; detect with the model there"
    )]
    NotCausal,
    /// A sample that is not a number, infinite, or beyond 1000000.
    #[error(
        "sample {index} is {value}; voice activity needs finite samples within -1000000 to \
         1000000 (full scale is 1)"
    )]
    Sample {
        /// Its number in the recording.
        index: u64,
        /// Its value.
        value: f32,
    },
}

/// Largest magnitude of a sample; far beyond any recording, far from overflow.
const LOUDEST: f32 = 1e6;

/// Refuses samples that would spread; the first is number `seen` of the recording.
fn check(samples: &[f32], seen: u64) -> Result<(), VadError> {
    match samples.iter().position(|sample| sample.is_nan() || sample.abs() > LOUDEST) {
        None => Ok(()),
        Some(place) => Err(VadError::Sample { index: seen + place as u64, value: samples[place] }),
    }
}

/// Decides for each frame of a recording or stream whether it holds speech.
///
/// Samples are in [-1, 1) at [`VoiceActivity::sample_rate`]; frame `t` begins
/// `t * shift_samples()` samples into the recording. Decisions are appended to `out`.
pub trait VoiceActivity {
    /// The sample rate that recordings must have, in Hz.
    fn sample_rate(&self) -> u32;

    /// Samples from the start of one frame to the start of the next.
    fn shift_samples(&self) -> usize;

    /// Number of frames of a recording of `samples` samples.
    fn frame_count(&self, samples: usize) -> usize;

    /// Whether a frame depends on nothing after it, so that a stream can be decided.
    fn is_causal(&self) -> bool;

    /// Decides a whole recording. A stream begun before is forgotten.
    ///
    /// # Errors
    /// [`VadError::Sample`]; `out` is then as it was.
    fn detect(&mut self, samples: &[f32], out: &mut Vec<bool>) -> Result<(), VadError>;

    /// Takes the next samples of a stream and decides the frames that they complete.
    ///
    /// # Errors
    /// [`VadError::NotCausal`] from a detector that needs the whole recording;
    /// [`VadError::Sample`], when nothing of `samples` has been taken.
    fn push(&mut self, samples: &[f32], out: &mut Vec<bool>) -> Result<(), VadError>;

    /// Ends the stream, decides what is left of it, and resets.
    ///
    /// # Errors
    /// [`VadError::NotCausal`] from a detector that needs the whole recording.
    fn finish(&mut self, out: &mut Vec<bool>) -> Result<(), VadError>;

    /// Forgets the stream: the next sample is the first of a new one.
    fn reset(&mut self);
}
