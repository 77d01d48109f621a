//! What can go wrong between layers.

use labyrinth_kernels::KernelError;

/// A shape that does not fit, or a fault that a kernel reports.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// A kernel refused its input.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A slice does not have the size that the shapes beside it ask for.
    #[error("{what} has {found} values where {expected} are needed")]
    Size {
        /// Which slice.
        what: &'static str,
        /// Values needed.
        expected: usize,
        /// Values found.
        found: usize,
    },
    /// An utterance is too short to leave a single frame after the strides.
    #[error(
        "utterance {utterance} of the batch has {frames} frames, too few for one frame of {layer}"
    )]
    TooShort {
        /// Place of the utterance within the batch.
        utterance: usize,
        /// Its frames at the layer's input.
        frames: usize,
        /// The layer.
        layer: String,
    },
    /// A backward pass without a forward pass in training mode before it.
    #[error(
        "there is no forward pass to go back through; run one in training mode with this memory first"
    )]
    NothingToGoBackThrough,
    /// A layer that needs the whole recording before it gives anything.
    #[error("the model cannot run in a stream: its layer {layer} {reason}")]
    NoStream {
        /// Its name.
        layer: String,
        /// What it does; the text completes the sentence.
        reason: &'static str,
    },
    /// Options that describe no possible network.
    #[error("the model cannot be built: {0}")]
    Options(String),
}

/// Refuses a slice whose size is not `expected`.
pub(crate) fn expect_size(
    what: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), NnError> {
    if expected == found { Ok(()) } else { Err(NnError::Size { what, expected, found }) }
}
