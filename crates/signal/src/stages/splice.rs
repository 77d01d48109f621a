//! Splicing: each frame with its neighbours in one row, for models that see one row at a time.
//!
//! Kaldi's `splice-feats` (`feat/feature-functions.cc`): row t is x[t-left], …, x[t+right], where
//! the first and the last frame stand in for those beyond the ends.
//!
//! Book: book/src/cepstrum.md

use serde::{Deserialize, Serialize};

use super::Stage;
use super::context::{Context, Neighbours};
use crate::feature_options::FeatureError;

/// The options of Kaldi's `splice-feats`, and its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SpliceOptions {
    /// `left-context`: frames before.
    pub left: usize,
    /// `right-context`: frames behind.
    pub right: usize,
}

impl Default for SpliceOptions {
    fn default() -> Self {
        SpliceOptions { left: 4, right: 4 }
    }
}

/// Most frames to each side.
const MAX_CONTEXT: usize = 1000;

/// Puts neighbours into one row: `dim` numbers become `(left + 1 + right) dim`. Latency: `right`
/// frames.
#[derive(Clone, Debug)]
pub struct Splice {
    context: Context,
    options: SpliceOptions,
}

impl Splice {
    /// Splices frames of `dim` numbers.
    ///
    /// # Errors
    /// [`FeatureError`] for more than a thousand frames to a side.
    pub fn new(dim: usize, options: SpliceOptions) -> Result<Self, FeatureError> {
        for (option, value) in [("splice.left", options.left), ("splice.right", options.right)] {
            if value > MAX_CONTEXT {
                let reason = format!("must be at most {MAX_CONTEXT} frames");
                return Err(FeatureError::new(option, value, reason));
            }
        }
        Ok(Splice { context: Context::new(dim, options.left, options.right), options })
    }
}

fn append(options: SpliceOptions, around: &Neighbours, out: &mut Vec<f32>) {
    for offset in -(options.left as isize)..=options.right as isize {
        out.extend_from_slice(around.row(offset));
    }
}

impl Stage for Splice {
    fn input_dim(&self) -> usize {
        self.context.dim()
    }

    fn dim(&self) -> usize {
        self.context.dim() * (self.options.left + 1 + self.options.right)
    }

    fn lookahead(&self) -> usize {
        self.context.right()
    }

    fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        let options = self.options;
        self.context.push(frames, |around| append(options, around, out));
    }

    fn finish(&mut self, out: &mut Vec<f32>) {
        let options = self.options;
        self.context.finish(|around| append(options, around, out));
    }

    fn reset(&mut self) {
        self.context.reset();
    }

    fn boxed(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
