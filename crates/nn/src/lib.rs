//! Layers with explicit forward and backward passes, the models made of them, and the model file.
//!
//! # Layout
//! - [`shape`]: what an activation looks like: ragged rows, bins, channels.
//! - [`parameters`]: every weight of a model by name, in one flat arena.
//! - [`layer`]: the trait that a layer fulfils: lengths, forward, backward, memory it wants.
//! - [`layers`]: one file per layer.
//! - [`reach`]: which frames of its input an output frame depends on.
//! - [`table`]: a network as a table of its layers.
//! - [`sequence`]: layers one after another, and the memory they work in (laid out by `plan`).
//! - [`architecture`]: `[model]` of a recipe, and the network it describes; one file each.
//! - [`stream`]: a network fed piece by piece.
//! - [`network`]: an architecture with its weights: features in, logits out, gradients back.
//! - [`export`]: models for PyTorch and back.
//! - [`foreign`]: tensors from files of others.
//! - [`pretrained`]: torchvision's weights of a ResNet into ours.
//! - [`model_file`]: weights together with all that a recogniser must know to use them.
//!
//! There is no automatic differentiation. Each layer's gradient is written by hand next to its
//! derivation, and `tests/gradients.rs` compares all of them with finite differences in `f64`.
//!
//! # No padding
//! The frames of a batch's utterances lie one after another, with their lengths beside them. A
//! layer therefore cannot see padding: there is none. What an utterance gives is the same to the
//! last bit alone and in any company (inference; batch norm in training sees its mates).

pub mod architecture;
pub mod error;
pub mod export;
pub mod foreign;
pub mod layer;
pub mod layers;
pub mod model_file;
pub mod network;
pub mod parameters;
mod plan;
pub mod pretrained;
mod pth;
pub mod reach;
pub mod sequence;
pub mod shape;
pub mod stream;
pub mod table;

pub use architecture::{
    ARCHITECTURES, CnnName, CnnOptions, ConvolutionOptions, Cut, Height, KeywordName,
    KeywordOptions, ModelOptions, Recurrent, ResnetName, ResnetNorm, ResnetOptions,
};
pub use error::NnError;
pub use foreign::{ForeignError, NamedTensor};
pub use layer::{Backward, Forward, Layer, Mode, Parts};
pub use model_file::{Head, ModelFile, ModelFileError, ModelHeader, Objective};
pub use network::{Memory, Network, first_head};
pub use parameters::{Initializer, ParameterSpec, Parameters};
pub use pretrained::PretrainedError;
pub use reach::Reach;
pub use sequence::Sequence;
pub use shape::Shape;
pub use stream::NetworkStream;
pub use table::{LayerRow, Table};
