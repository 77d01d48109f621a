//! `[model]` of a recipe, and the network it describes: one file per architecture.
//!
//! - [`cnn`](CnnOptions): convolutions, then recurrent layers: `cnn-gru`, `cnn-lstm`.
//! - `recurrent`: what every architecture does behind its picture of the sound.

mod cnn;
mod recurrent;

pub use cnn::{CnnName, CnnOptions, ConvolutionOptions};
pub use recurrent::Recurrent;

use labyrinth_kernels::Real;
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::layer::Layer;
use crate::reach::Reach;
use crate::sequence::Sequence;

/// The names of all architectures, as `architecture = "…"` has them.
pub const ARCHITECTURES: [&str; 2] = ["cnn-gru", "cnn-lstm"];

/// The architectures there are, told apart by `architecture = "…"`.
///
/// Each architecture's options hold that name themselves, as a type with its own values only, so that
/// a recipe is read straight into them and a mistake is shown on its own line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModelOptions {
    /// Convolutions, then recurrent layers, then one score per label and frame.
    Cnn(CnnOptions),
}

/// Layers in the order in which they compute, each with its name.
type Layers<T> = Vec<(String, Box<dyn Layer<T>>)>;

impl ModelOptions {
    /// Builds the layers for features of `dim` values a frame and `labels` labels.
    pub fn build<T: Real>(&self, dim: usize, labels: usize) -> Result<Sequence<T>, NnError> {
        match self {
            Self::Cnn(options) => options.build(dim, labels),
        }
    }

    /// The same network as recipes describe it today, where an earlier version used other words.
    pub fn in_todays_words(self) -> Self {
        match self {
            Self::Cnn(options) => Self::Cnn(options.in_todays_words()),
        }
    }

    /// How many logit frames come from `frames` feature frames; 0 where there are too few.
    pub fn output_frames(&self, frames: usize) -> usize {
        match self {
            Self::Cnn(options) => options.output_frames(frames),
        }
    }

    /// Feature frames between two logit frames.
    pub fn time_stride(&self) -> usize {
        match self {
            Self::Cnn(options) => options.time_stride(),
        }
    }

    /// Which feature frames a logit frame depends on.
    pub fn reach(&self, dim: usize) -> Result<Reach, NnError> {
        Ok(Layer::reach(&self.build::<f32>(dim, 2)?))
    }
}
