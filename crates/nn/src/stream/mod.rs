//! A network fed piece by piece: the logits of the whole recording, byte for byte, as soon as they are certain.
//!
//! Each layer has a counterpart that remembers what it needs of the past, and no more:
//!
//! ```text
//! a frame from the same frame   linear, norms, rectifier        nothing
//! a frame from all before       GRU, LSTM                       their state
//! a frame from a window         convolution, pooling,           the frames that a later window
//!                               lookahead                       still sees
//! two branches                  residual block                  of the faster branch what the
//!                                                               slower one still owes
//! ```
//!
//! What a frame needs of the future decides when it is out ([`Reach::after`](crate::Reach)); a layer that
//! needs all of the future (one that reads from the end, a mean over the recording) is refused, by name.
//!
//! **The same bytes.** The layers are the offline ones, called on pieces. Each of their output elements is
//! summed in an order that depends on the length of the sum alone, never on the frame's place or on how many
//! frames there are, so a piece gives what the whole gives, where the windows see the same frames. How that
//! is arranged stands in `window.rs`.
//!
//! **The cost** is that of the new frames and of no others: a layer of windows computes each output once,
//! but for those at the very beginning and end, where padding is seen. The matrices of linear and recurrent
//! layers are laid out for the products when the first piece comes, and kept: that would cost more than the
//! products of a few frames. A stream therefore holds a copy of them; one that has ended may begin anew.
//!
//! Book: book/src/decoding.md

mod steps;
mod window;

#[cfg(test)]
mod tests;

use labyrinth_kernels::{Cpu, Real};

use crate::error::{NnError, expect_size};
use crate::network::Network;
use steps::{Pass, Steps};

/// What a network remembers of one recording between two pieces of it.
///
/// ```no_run
/// # use labyrinth_kernels::Cpu;
/// # use labyrinth_nn::{Network, NetworkStream, NnError};
/// # fn hear(network: &Network<f32>, features: &[f32]) -> Result<(), NnError> {
/// let mut stream = NetworkStream::new(network)?;
/// let mut logits = Vec::new(); // [frames, labels]
/// for piece in features.chunks(network.dim()) {
///     stream.push(network, Cpu::detect(), piece, &mut logits)?;
/// }
/// stream.finish(network, Cpu::detect(), &mut logits)?;
/// # Ok(())
/// # }
/// ```
pub struct NetworkStream<T> {
    steps: Steps<T>,
    dim: usize,
    work: Vec<T>,
    /// Features on their way in; between two pieces it holds nothing.
    frames: Vec<T>,
}

impl<T: Real> NetworkStream<T> {
    /// A stream that has heard nothing yet, for this network.
    ///
    /// # Errors
    /// [`NnError::NoStream`] names the layer that needs the whole recording.
    pub fn new(network: &Network<T>) -> Result<Self, NnError> {
        if network.is_frozen() {
            return Err(NnError::Options(
                "a network whose beginning is frozen is being trained; stream the model file that training \
                 writes"
                    .into(),
            ));
        }
        let dim = network.dim();
        let steps = Steps::new(network.sequence(), [dim, 1])?;
        Ok(Self { steps, dim, work: Vec::new(), frames: Vec::new() })
    }

    /// Takes the next frames of features, `[frames, dim]`, and appends the logits that they complete to
    /// `logits`, `[frames', labels]`. `network` is the one that the stream was made for, its weights those of the
    /// first call.
    ///
    /// # Errors
    /// [`NnError::Size`] for torn frames; then nothing was taken.
    pub fn push(
        &mut self,
        network: &Network<T>,
        cpu: Cpu,
        features: &[T],
        logits: &mut Vec<T>,
    ) -> Result<(), NnError> {
        let whole = features.len().next_multiple_of(self.dim);
        expect_size("a piece of a stream's features", whole, features.len())?;
        if !features.is_empty() {
            self.frames.extend_from_slice(features);
            self.pass(network, cpu, false, logits)?;
        }
        Ok(())
    }

    /// Ends the recording: appends the logits that waited for frames to come, and begins anew. Together they
    /// are as many as offline: none where the recording is too short for one.
    pub fn finish(
        &mut self,
        network: &Network<T>,
        cpu: Cpu,
        logits: &mut Vec<T>,
    ) -> Result<(), NnError> {
        self.pass(network, cpu, true, logits)?;
        self.reset();
        Ok(())
    }

    /// Forgets the recording.
    pub fn reset(&mut self) {
        self.steps.reset();
    }

    /// Values held between two pieces, of the past and of what is not certain yet: bounded, however long the
    /// recording.
    pub fn held(&self) -> usize {
        self.steps.held()
    }

    fn pass(
        &mut self,
        network: &Network<T>,
        cpu: Cpu,
        end: bool,
        logits: &mut Vec<T>,
    ) -> Result<(), NnError> {
        let mut pass = Pass {
            cpu,
            parameters: &network.parameters.values,
            buffers: &network.buffers.values,
            end,
            work: &mut self.work,
        };
        self.steps.advance(network.sequence(), &mut pass, &mut self.frames)?;
        logits.append(&mut self.frames);
        Ok(())
    }
}
