//! Voice activity by a small neural network: the crate `earshot`, frame by frame.
//!
//! earshot (MIT or Apache-2.0, no dependency, its 40 kB of weights inside) takes 16 kHz in frames of
//! 256 samples (16 ms), computes 40 log mel energies of the last 48 ms, and gives a probability of
//! speech from these of the last three frames and a recurrent state. It sees nothing of what
//! follows: a stream gives what the whole recording gives. The last frame of a recording is filled
//! with silence.

use std::fmt;

use earshot::Detector;

use super::{VadError, VoiceActivity, check};
use crate::feature_options::FeatureError;

/// Samples per frame.
const FRAME: usize = 256;

/// A neural detector for recordings at 16 kHz; causal.
pub struct ModelVad {
    detector: Box<Detector>,
    threshold: f32,
    /// Samples of the frame that is not whole yet, within [-1, 1].
    waiting: Vec<f32>, // at most FRAME - 1
    seen: u64,
}

impl fmt::Debug for ModelVad {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ModelVad")
            .field("threshold", &self.threshold)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

impl Default for ModelVad {
    /// Speech from a probability of 0.5 on, as the crate advises.
    fn default() -> Self {
        ModelVad {
            detector: Detector::default_boxed(),
            threshold: 0.5,
            waiting: Vec::new(),
            seen: 0,
        }
    }
}

impl ModelVad {
    /// A detector that says speech from the probability `threshold` on.
    ///
    /// # Errors
    /// [`FeatureError`] for a threshold that is not between 0 and 1.
    pub fn new(threshold: f32) -> Result<Self, FeatureError> {
        if !(threshold > 0.0 && threshold < 1.0) {
            let reason = "must lie between 0 and 1; 0.5 is usual";
            return Err(FeatureError::new("threshold", threshold, reason));
        }
        Ok(ModelVad { threshold, ..ModelVad::default() })
    }

    /// Probabilities of speech of a whole recording, one per frame, appended to `out`. A stream
    /// begun before is forgotten.
    ///
    /// # Errors
    /// [`VadError::Sample`]; `out` is then as it was.
    pub fn probabilities(&mut self, samples: &[f32], out: &mut Vec<f32>) -> Result<(), VadError> {
        self.reset();
        check(samples, 0)?;
        self.take(samples, &mut |probability| out.push(probability));
        self.close(&mut |probability| out.push(probability));
        Ok(())
    }

    fn take(&mut self, mut samples: &[f32], give: &mut dyn FnMut(f32)) {
        self.seen += samples.len() as u64;
        while self.waiting.len() + samples.len() >= FRAME {
            let (missing, rest) = samples.split_at(FRAME - self.waiting.len());
            // The network knows nothing beyond full scale.
            self.waiting.extend(missing.iter().map(|sample| sample.clamp(-1.0, 1.0)));
            give(self.detector.predict_f32(&self.waiting));
            self.waiting.clear();
            samples = rest;
        }
        self.waiting.extend(samples.iter().map(|sample| sample.clamp(-1.0, 1.0)));
    }

    fn close(&mut self, give: &mut dyn FnMut(f32)) {
        if !self.waiting.is_empty() {
            self.waiting.resize(FRAME, 0.0);
            give(self.detector.predict_f32(&self.waiting));
        }
        self.reset();
    }
}

impl VoiceActivity for ModelVad {
    fn sample_rate(&self) -> u32 {
        16_000
    }

    fn shift_samples(&self) -> usize {
        FRAME
    }

    fn frame_count(&self, samples: usize) -> usize {
        samples.div_ceil(FRAME)
    }

    fn is_causal(&self) -> bool {
        true
    }

    fn detect(&mut self, samples: &[f32], out: &mut Vec<bool>) -> Result<(), VadError> {
        self.reset();
        self.push(samples, out)?;
        self.finish(out)
    }

    fn push(&mut self, samples: &[f32], out: &mut Vec<bool>) -> Result<(), VadError> {
        check(samples, self.seen)?;
        let threshold = self.threshold;
        self.take(samples, &mut |probability| out.push(probability >= threshold));
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<bool>) -> Result<(), VadError> {
        let threshold = self.threshold;
        self.close(&mut |probability| out.push(probability >= threshold));
        Ok(())
    }

    fn reset(&mut self) {
        self.detector.reset();
        self.waiting.clear();
        self.seen = 0;
    }
}
