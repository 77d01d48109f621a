//! Mean and variance normalisation for a stream: from a corpus's sums to the speaker's own.
//!
//! Kaldi's OnlineCmvn (`feat/online-feature.cc`), the causal counterpart of normalising over an
//! utterance or a speaker. Frame t is normalised with the sums over the last `cmn-window` frames,
//! itself included. While these are fewer, n, the sums are filled up:
//!
//! 1. with the sums of the same speaker's earlier recordings, scaled to count
//!    min(`speaker-frames`, W - n, frames that there were) frames;
//! 2. with the corpus's sums, scaled to count min(`global-frames`, what is then left of W).
//!
//! So the first frame is normalised almost wholly by the corpus, and what the recording says about
//! its own mean takes over: the weight of evidence against a prior, with the prior's weight in
//! frames. Sums run in f64, a frame is added when it comes and subtracted when it leaves the
//! window, in the order of the recording, whatever the pieces.
//!
//! Book: book/src/cepstrum.md

use serde::{Deserialize, Serialize};

use super::Stage;
use super::cmvn::{CmvnOptions, CmvnStats, append_scaled};
use super::frame_buffer::{FrameBuffer, rows};
use crate::feature_options::FeatureError;

/// The options of Kaldi's OnlineCmvn, and its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct OnlineCmvnOptions {
    /// Frames of the recording that count.
    pub cmn_window: usize,
    /// Most frames that earlier recordings of the speaker count as.
    pub speaker_frames: usize,
    /// Most frames that the corpus counts as.
    pub global_frames: usize,
    /// Subtract the mean.
    pub norm_means: bool,
    /// Divide by the standard deviation.
    pub norm_vars: bool,
    /// Dimensions left as they are, from 0.
    pub skip_dims: Vec<usize>,
}

impl Default for OnlineCmvnOptions {
    fn default() -> Self {
        OnlineCmvnOptions {
            cmn_window: 600,
            speaker_frames: 600,
            global_frames: 200,
            norm_means: true,
            norm_vars: false,
            skip_dims: Vec::new(),
        }
    }
}

/// What is known before a recording begins.
#[derive(Clone, Debug, PartialEq)]
pub struct OnlineCmvnState {
    /// Sums over a corpus.
    pub global: CmvnStats,
    /// Sums over the speaker's recordings so far.
    pub speaker: Option<CmvnStats>,
    /// Sums that are used for every frame from now on, whatever it says.
    pub frozen: Option<CmvnStats>,
}

impl OnlineCmvnState {
    /// A corpus's sums and an unknown speaker.
    pub fn new(global: CmvnStats) -> Self {
        OnlineCmvnState { global, speaker: None, frozen: None }
    }
}

/// Normalises a stream as it comes. Causal, without latency.
#[derive(Clone, Debug)]
pub struct OnlineCmvn {
    options: OnlineCmvnOptions,
    applied: CmvnOptions,
    state: OnlineCmvnState,
    frozen: Option<CmvnStats>,
    buffer: FrameBuffer,
    /// Sums over the last frames, and over the whole recording.
    window: CmvnStats,
    recording: CmvnStats,
    /// The window's sums filled up, and what follows from them.
    filled: CmvnStats,
    scales: Vec<(f32, f32)>,
}

impl OnlineCmvn {
    /// Normalisation of the recordings that follow `state`.
    ///
    /// # Errors
    /// [`FeatureError`] for a window of 0 frames, sums of no frame or of other dimensions,
    /// `norm-vars` without `norm-means`, or a skipped dimension that is not there.
    pub fn new(state: OnlineCmvnState, options: OnlineCmvnOptions) -> Result<Self, FeatureError> {
        let dim = state.global.dim();
        if options.cmn_window == 0 {
            let reason = "must be at least 1 frame; Kaldi's default is 600";
            return Err(FeatureError::new("cmn.cmn-window", options.cmn_window, reason));
        }
        state.global.check(dim)?;
        if let Some(frozen) = &state.frozen {
            frozen.check(dim)?;
        }
        if let Some(speaker) = state.speaker.as_ref().filter(|speaker| speaker.count > 0.0) {
            speaker.check(dim)?;
        }
        let applied = CmvnOptions {
            norm_means: options.norm_means,
            norm_vars: options.norm_vars,
            reverse: false,
            skip_dims: options.skip_dims.clone(),
        };
        applied.check(dim)?;
        Ok(OnlineCmvn {
            options,
            applied,
            frozen: state.frozen.clone(),
            state,
            buffer: FrameBuffer::new(dim),
            window: CmvnStats::new(dim),
            recording: CmvnStats::new(dim),
            filled: CmvnStats::new(dim),
            scales: Vec::new(),
        })
    }

    /// What is known behind the frames taken since the last reset: the speaker's sums have grown by
    /// them. Ask before [`Stage::finish`], which resets, and make the next recording's stage of it.
    pub fn state(&self) -> OnlineCmvnState {
        let mut speaker = self.recording.clone();
        if let Some(before) = &self.state.speaker {
            speaker.merge(before, 1.0);
        }
        OnlineCmvnState {
            global: self.state.global.clone(),
            speaker: Some(speaker),
            frozen: self.frozen.clone(),
        }
    }

    /// Normalises all later frames of this recording as the last one was.
    pub fn freeze(&mut self) {
        if self.frozen.is_none() {
            self.fill();
            self.frozen = Some(self.filled.clone());
        }
    }

    /// The window's sums, filled up with the speaker's and the corpus's.
    fn fill(&mut self) {
        let filled = &mut self.filled;
        filled.clone_from(&self.window);
        let window = self.options.cmn_window as f64;
        let priors = [
            (self.state.speaker.as_ref(), self.options.speaker_frames, true),
            (Some(&self.state.global), self.options.global_frames, false),
        ];
        for (prior, frames, bounded) in priors {
            let Some(prior) = prior.filter(|prior| prior.count > 0.0) else { continue };
            let mut count = (window - filled.count).min(frames as f64);
            if bounded {
                count = count.min(prior.count);
            }
            if count > 0.0 {
                filled.merge(prior, count / prior.count);
            }
        }
    }
}

impl Stage for OnlineCmvn {
    fn input_dim(&self) -> usize {
        self.buffer.dim()
    }

    fn dim(&self) -> usize {
        self.buffer.dim()
    }

    fn lookahead(&self) -> usize {
        0
    }

    fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        for frame in rows(frames, self.buffer.dim()) {
            self.recording.add(frame, 1.0);
            self.window.add(frame, 1.0);
            self.buffer.push(frame);
            if let Some(leaving) = self.buffer.end().checked_sub(self.options.cmn_window as u64 + 1)
            {
                self.window.add(self.buffer.row(leaving), -1.0);
                self.buffer.forget(leaving + 1);
            }
            match &self.frozen {
                Some(frozen) => self.applied.scales(frozen, &mut self.scales),
                None => {
                    self.fill();
                    self.applied.scales(&self.filled, &mut self.scales);
                }
            }
            append_scaled(frame, &self.scales, out);
        }
    }

    fn finish(&mut self, _out: &mut Vec<f32>) {
        self.reset();
    }

    fn reset(&mut self) {
        self.buffer.clear();
        self.window.clear();
        self.recording.clear();
        self.frozen.clone_from(&self.state.frozen);
    }

    fn boxed(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
