//! One file per layer.

mod batch_norm;
mod convolution;
mod dropout;
mod gru;
mod layer_norm;
mod linear;
mod lstm;
mod recurrent;
mod relu;

pub use batch_norm::BatchNorm;
pub use convolution::ConvolutionLayer;
pub use dropout::Dropout;
pub use gru::GruLayer;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use lstm::LstmLayer;
pub use relu::Relu;
