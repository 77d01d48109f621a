//! `[model]` of a recipe, and the network it describes: one file per architecture.
//!
//! - [`cnn`](CnnOptions): convolutions, then recurrent layers: `cnn-gru`, `cnn-lstm`.
//! - [`resnet`](ResnetOptions): a network for pictures, cut, then recurrent layers: `resnet-gru`, `resnet-lstm`.
//! - [`keyword`](KeywordOptions): depthwise-separable convolutions for a few words on a small device.
//! - `recurrent`: what every architecture does behind its picture of the sound.

mod cnn;
mod keyword;
mod recurrent;
mod resnet;

pub use cnn::{CnnName, CnnOptions, ConvolutionOptions};
pub use keyword::{KeywordName, KeywordOptions};
pub use recurrent::Recurrent;
pub use resnet::{Cut, Height, ResnetName, ResnetNorm, ResnetOptions};

use labyrinth_kernels::Real;
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::layer::Layer;
use crate::reach::Reach;
use crate::sequence::Sequence;

/// The names of all architectures, as `architecture = "…"` has them.
pub const ARCHITECTURES: &[&str] = &["cnn-gru", "cnn-lstm", "resnet-gru", "resnet-lstm", "keyword"];

/// The architectures there are, told apart by `architecture = "…"`.
///
/// Each architecture's options hold that name themselves, as a type with its own values only, so that
/// a recipe is read straight into them and a mistake is shown on its own line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModelOptions {
    /// Convolutions, then recurrent layers, then one score per label and frame.
    Cnn(CnnOptions),
    /// A network for pictures, cut behind one of its stages, then the same.
    Resnet(ResnetOptions),
    /// Depthwise-separable convolutions, then one score per label and frame.
    Keyword(KeywordOptions),
}

/// The stage that is what follows all others.
const REST: &str = "rest";

/// Layers in the order in which they compute, each with its name.
type Layers<T> = Vec<(String, Box<dyn Layer<T>>)>;

impl ModelOptions {
    /// Builds the layers for features of `dim` values a frame and `labels` labels.
    pub fn build<T: Real>(&self, dim: usize, labels: usize) -> Result<Sequence<T>, NnError> {
        match self {
            Self::Cnn(options) => options.build(dim, labels),
            Self::Resnet(options) => options.build(dim, labels),
            Self::Keyword(options) => options.build(dim, labels),
        }
    }

    /// The same network as recipes describe it today, where an earlier version used other words.
    pub fn in_todays_words(self) -> Self {
        match self {
            Self::Cnn(options) => Self::Cnn(options.in_todays_words()),
            Self::Resnet(options) => Self::Resnet(options),
            Self::Keyword(options) => Self::Keyword(options),
        }
    }

    /// How many logit frames come from `frames` feature frames; 0 where there are too few.
    pub fn output_frames(&self, frames: usize) -> usize {
        match self {
            Self::Cnn(options) => options.output_frames(frames),
            Self::Resnet(options) => options.output_frames(frames),
            Self::Keyword(options) => options.output_frames(frames),
        }
    }

    /// Feature frames between two logit frames.
    pub fn time_stride(&self) -> usize {
        match self {
            Self::Cnn(options) => options.time_stride(),
            Self::Resnet(options) => options.time_stride(),
            Self::Keyword(options) => options.time_stride(),
        }
    }

    /// The parts of the network that can train at rates of their own, first to last: the last is `rest`.
    /// None for an architecture of one piece.
    pub fn stages(&self) -> Vec<&'static str> {
        match self {
            Self::Cnn(_) | Self::Keyword(_) => Vec::new(),
            Self::Resnet(options) => options.stages(),
        }
    }

    /// The stage to which a layer or a tensor belongs, by its name.
    pub fn stage_of(&self, name: &str) -> &'static str {
        match self {
            Self::Cnn(_) | Self::Keyword(_) => REST,
            Self::Resnet(_) => ResnetOptions::stage_of(name),
        }
    }

    /// Whether every recording holds exactly one word, so that the search gives exactly one.
    pub fn one_word(&self) -> bool {
        matches!(self, Self::Keyword(KeywordOptions { one_word: true, .. }))
    }

    /// Which feature frames a logit frame depends on.
    pub fn reach(&self, dim: usize) -> Result<Reach, NnError> {
        Ok(Layer::reach(&self.build::<f32>(dim, 2)?))
    }
}
