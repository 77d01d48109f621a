//! One file per layer.

mod batch_norm;
mod batch_norm_relu;
mod block_convolution;
mod convolution;
mod depthwise;
mod dropout;
mod gru;
mod layer_norm;
mod linear;
mod lookahead;
mod lstm;
mod picture;
mod pooling;
mod recurrent;
mod relu;
mod residual;

pub use batch_norm::{BatchNorm, EPSILON as BATCH_NORM_EPSILON};
pub use batch_norm_relu::BatchNormRelu;
pub use block_convolution::BlockConvolution;
pub use convolution::ConvolutionLayer;
pub use depthwise::DepthwiseLayer;
pub use dropout::Dropout;
pub use gru::GruLayer;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use lookahead::Lookahead;
pub use lstm::LstmLayer;
pub use picture::{Colours, IMAGENET_DEVIATION, IMAGENET_MEAN, Picture, Pixels};
pub use pooling::{AveragePool, GlobalMean, MaxPool, MeanOverBins};
pub use relu::Relu;
pub use residual::Residual;
