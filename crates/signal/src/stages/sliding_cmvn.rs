//! Mean and variance normalisation over a window that slides along the recording.
//!
//! Kaldi's `apply-cmvn-sliding` (`feat/feature-functions.cc`, SlidingWindowCmn). With the window W
//! of `cmn-window` frames, frame t of N is normalised with the frames `start..end`:
//!
//! ```text
//! center:  start = t - W/2, end = start + W, moved as a whole to lie within 0..N
//! else:    start = max(t - W, 0), end = max(t + 1, min-cmn-window), both within 0..N
//! ```
//!
//! So without `center` the window holds up to W + 1 frames, this one included, and the first
//! frames look ahead to frame `min-cmn-window` - 1; from there on nothing is waited for. Means of
//! very few frames would cancel the speech itself. With `min-cmn-window` = 1 it is causal in the
//! strict sense.
//!
//! Sums run in f64: a frame is added when it enters and subtracted when it leaves, in the order of
//! the recording, whatever the pieces. The variance is bounded from below by 1e-10; of one frame
//! alone it is nothing, and the frame becomes 0.
//!
//! Book: book/src/cepstrum.md

use serde::{Deserialize, Serialize};

use super::Stage;
use super::frame_buffer::{FrameBuffer, rows};
use crate::feature_options::FeatureError;

/// Least variance divided by (Kaldi's).
const VARIANCE_FLOOR: f64 = 1e-10;

/// Longest window in frames: a day at a hundred frames a second.
const MAX_WINDOW: usize = 8_640_000;

/// The options of Kaldi's `apply-cmvn-sliding`, and its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SlidingCmvnOptions {
    /// Length of the window in frames.
    pub cmn_window: usize,
    /// Frames that the first ones look ahead to; without effect if `center`.
    pub min_cmn_window: usize,
    /// Divide by the standard deviation.
    pub norm_vars: bool,
    /// The frame in the middle of its window, rather than at its end.
    pub center: bool,
}

impl Default for SlidingCmvnOptions {
    fn default() -> Self {
        SlidingCmvnOptions { cmn_window: 600, min_cmn_window: 100, norm_vars: false, center: false }
    }
}

/// Normalises over a sliding window. Latency: at most `min-cmn-window` - 1 frames, at the start
/// of a recording and nowhere else; with `center`, `cmn-window` - 1 frames at the start, half of
/// it later.
#[derive(Clone, Debug)]
pub struct SlidingCmvn {
    options: SlidingCmvnOptions,
    buffer: FrameBuffer,
    /// The next frame to be normalised.
    next: u64,
    /// The window that is summed, and its sums.
    start: u64,
    end: u64,
    sums: Vec<f64>,    // [dim]
    squares: Vec<f64>, // [dim]
}

impl SlidingCmvn {
    /// Normalisation of frames of `dim` numbers.
    ///
    /// # Errors
    /// [`FeatureError`] for windows of 0 frames, longer than a day, or a least one that is longer
    /// than the window.
    pub fn new(dim: usize, options: SlidingCmvnOptions) -> Result<Self, FeatureError> {
        let SlidingCmvnOptions { cmn_window, min_cmn_window, .. } = options;
        if !(1..=MAX_WINDOW).contains(&cmn_window) {
            let reason = format!("must be 1 to {MAX_WINDOW} frames; Kaldi's default is 600");
            return Err(FeatureError::new("cmn.cmn-window", cmn_window, reason));
        }
        if !(1..=cmn_window).contains(&min_cmn_window) {
            let reason = format!("must be 1 to cmn-window = {cmn_window} frames");
            return Err(FeatureError::new("cmn.min-cmn-window", min_cmn_window, reason));
        }
        Ok(SlidingCmvn {
            options,
            buffer: FrameBuffer::new(dim),
            next: 0,
            start: 0,
            end: 0,
            sums: vec![0.0; dim],
            squares: vec![0.0; dim],
        })
    }

    /// The window of frame `frame`, in a recording of `total` frames if its end is known.
    fn window(&self, frame: u64, total: Option<u64>) -> (u64, u64) {
        let length = self.options.cmn_window as u64;
        let (start, end) = match self.options.center {
            true => {
                let start = frame.saturating_sub(length / 2);
                (start, start + length)
            }
            false => {
                let start = frame.saturating_sub(length);
                (start, (frame + 1).max(self.options.min_cmn_window as u64))
            }
        };
        match total {
            Some(total) if end > total => (start.saturating_sub(end - total), total),
            _ => (start, end),
        }
    }

    /// Sums over the window of the next frame, and appends that frame.
    fn emit(&mut self, (start, end): (u64, u64), out: &mut Vec<f32>) {
        while self.start < start {
            self.sum(self.start, -1.0);
            self.start += 1;
        }
        while self.end < end {
            self.sum(self.end, 1.0);
            self.end += 1;
        }
        let share = 1.0 / (end - start) as f64;
        let frame = self.buffer.row(self.next);
        for ((value, sum), square) in frame.iter().zip(&self.sums).zip(&self.squares) {
            let mean = sum * share;
            let difference = f64::from(*value) - mean;
            out.push(match self.options.norm_vars {
                false => difference as f32,
                true if end - start == 1 => 0.0,
                true => {
                    let variance = (square * share - mean * mean).max(VARIANCE_FLOOR);
                    (difference / variance.sqrt()) as f32
                }
            });
        }
        self.next += 1;
        self.buffer.forget(self.start);
    }

    fn sum(&mut self, frame: u64, sign: f64) {
        let frame = self.buffer.row(frame);
        for ((sum, square), value) in self.sums.iter_mut().zip(&mut self.squares).zip(frame) {
            let value = f64::from(*value);
            *sum += sign * value;
            *square += sign * (value * value);
        }
    }
}

impl Stage for SlidingCmvn {
    fn input_dim(&self) -> usize {
        self.buffer.dim()
    }

    fn dim(&self) -> usize {
        self.buffer.dim()
    }

    fn lookahead(&self) -> usize {
        match self.options.center {
            true => self.options.cmn_window - 1,
            false => self.options.min_cmn_window - 1,
        }
    }

    fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        for frame in rows(frames, self.buffer.dim()) {
            self.buffer.push(frame);
            loop {
                let window = self.window(self.next, None);
                if window.1 > self.buffer.end() {
                    break;
                }
                self.emit(window, out);
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<f32>) {
        let total = self.buffer.end();
        while self.next < total {
            self.emit(self.window(self.next, Some(total)), out);
        }
        self.reset();
    }

    fn reset(&mut self) {
        self.buffer.clear();
        (self.next, self.start, self.end) = (0, 0, 0);
        self.sums.fill(0.0);
        self.squares.fill(0.0);
    }

    fn boxed(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
