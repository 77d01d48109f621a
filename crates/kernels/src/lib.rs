//! The CPU mathematics of speech recognisers on plain slices: forward and backward, in a fixed order.
//!
//! Three rules hold everywhere in this crate.
//!
//! * **The order of a sum depends on its length alone** (and on the precision and instruction set):
//!   not on the batch, the number of threads, the cache or the shape around it. So an utterance
//!   gives the same bytes alone and among any mates, and a training run gives the same weights on
//!   any number of threads.
//! * **Batches are ragged**: the frames of all utterances lie one after another, `lengths` says where
//!   each ends. Nothing is padded, so padding cannot leak.
//! * **No hidden state**: which instruction set and precision run is an argument ([`Cpu`]), memory is the caller's
//!   except for scratch, and nothing is random unless a seed is passed.

pub mod activation;
pub mod batch_norm;
mod blocks;
pub mod convolution;
pub mod cpu;
pub mod cross_entropy;
pub mod ctc;
mod ctc_lattice;
pub mod depthwise;
pub mod dropout;
pub mod error;
mod extended;
pub mod gru;
mod lanes;
pub mod layer_norm;
pub mod linear;
pub mod lstm;
pub mod matmul;
pub mod mean;
pub mod optimizer;
pub mod pooling;
pub mod real;
pub mod recurrent;
pub mod residual;
mod scratch;
mod softmax;
#[cfg(test)]
mod testing;
mod vector;
mod window;

pub use convolution::Convolution;
pub use cpu::{Cpu, Isa, Precision, cpu_name};
pub use depthwise::DepthwiseConvolution;
pub use error::KernelError;
pub use gru::{Gru, GruVariant};
pub use linear::{linear_backward, linear_forward, linear_forward_packed};
pub use lstm::{Lstm, LstmState, LstmStateMut};
pub use matmul::{Matrix, PackedMatrix, matmul, matmul_packed};
pub use real::Real;
pub use recurrent::{RecurrentGradients, RecurrentWeights};
pub use window::Window;
