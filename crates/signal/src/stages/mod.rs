//! Steps from frames to frames, fed piece by piece: what they have in common, and one behind another.
//!
//! ```text
//! rows of the extractor ──cmvn──► ──deltas──► ──splice──► rows of the model
//! ```
//!
//! A step looks at a bounded stretch of frames, so it can run in a stream; each says how many
//! frames a frame may have to wait. What is summed is summed frame by frame in the order of the
//! recording, so pieces of any size give the same bytes: offline is one piece and the end.

mod cmvn;
mod context;
mod deltas;
mod frame_buffer;
mod online_cmvn;
mod options;
mod sliding_cmvn;
mod source;
mod splice;

pub use cmvn::{Cmvn, CmvnOptions, CmvnStats};
pub use deltas::{DeltaOptions, Deltas};
pub use online_cmvn::{OnlineCmvn, OnlineCmvnOptions, OnlineCmvnState};
pub use options::{CmnOptions, GlobalCmnOptions, OnlineCmnOptions};
pub use sliding_cmvn::{SlidingCmvn, SlidingCmvnOptions};
pub use source::CmvnSource;
pub use splice::{Splice, SpliceOptions};

pub(crate) use options::stages_of;

/// A step from frames to frames that is fed piece by piece.
///
/// Frames are whole rows of [`Stage::input_dim`] numbers, rows out have [`Stage::dim`]; as many
/// frames come out as went in. Whatever the sizes of the pieces, the bytes are the same.
pub trait Stage: Send + Sync {
    /// Numbers per frame taken.
    fn input_dim(&self) -> usize;

    /// Numbers per frame given.
    fn dim(&self) -> usize;

    /// The most frames that have to follow a frame before it is given: the latency in frames.
    fn lookahead(&self) -> usize;

    /// Takes the next frames, `[frames, input_dim]`, and appends those that they complete to
    /// `out`, `[frames, dim]`.
    ///
    /// # Panics
    /// If `frames` is not a whole number of rows, a fault of the caller.
    fn push(&mut self, frames: &[f32], out: &mut Vec<f32>);

    /// Ends the recording: appends the frames that still waited, and resets.
    fn finish(&mut self, out: &mut Vec<f32>);

    /// Forgets the recording: the next frame is the first of a new one.
    fn reset(&mut self);

    /// A copy in the same state.
    fn boxed(&self) -> Box<dyn Stage>;

    /// A whole recording: reset, push, finish.
    fn compute(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        self.reset();
        self.push(frames, out);
        self.finish(out);
    }
}

/// Steps one behind another, themselves a step.
pub struct Chain {
    stages: Vec<Box<dyn Stage>>,
    /// Rows on their way from one step to the next.
    rows: Vec<f32>,
    next: Vec<f32>,
}

impl Chain {
    /// Steps in their order; `None` if there are none, or one's rows do not fit into the next.
    pub fn new(stages: Vec<Box<dyn Stage>>) -> Option<Self> {
        let fit = stages.windows(2).all(|pair| pair[0].dim() == pair[1].input_dim());
        (fit && !stages.is_empty()).then(|| Chain { stages, rows: Vec::new(), next: Vec::new() })
    }

    /// Passes rows through all steps, and ends each behind its rows if the recording ends.
    fn pass(&mut self, frames: &[f32], end: bool, out: &mut Vec<f32>) {
        self.rows.clear();
        self.rows.extend_from_slice(frames);
        for stage in &mut self.stages {
            self.next.clear();
            stage.push(&self.rows, &mut self.next);
            if end {
                stage.finish(&mut self.next);
            }
            std::mem::swap(&mut self.rows, &mut self.next);
        }
        out.extend_from_slice(&self.rows);
    }
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        let stages = self.stages.iter().map(|stage| stage.boxed()).collect();
        Chain { stages, rows: Vec::new(), next: Vec::new() }
    }
}

impl Stage for Chain {
    fn input_dim(&self) -> usize {
        self.stages[0].input_dim()
    }

    fn dim(&self) -> usize {
        self.stages[self.stages.len() - 1].dim()
    }

    fn lookahead(&self) -> usize {
        self.stages.iter().map(|stage| stage.lookahead()).sum()
    }

    fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        self.pass(frames, false, out);
    }

    fn finish(&mut self, out: &mut Vec<f32>) {
        self.pass(&[], true, out);
    }

    fn reset(&mut self) {
        for stage in &mut self.stages {
            stage.reset();
        }
    }

    fn boxed(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
