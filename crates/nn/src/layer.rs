//! The trait that every layer fulfils.
//!
//! A layer owns no memory and no weights: it is the description of a computation. Weights,
//! activations, what the forward pass keeps for the backward pass, and scratch all come from the
//! caller, who plans them once per batch shape ([`crate::sequence`]).
//!
//! # In place
//! A layer that gives each value from the value at the same place needs no second activation. It says so with
//! [`Layer::in_place`], and the caller decides: the layer may then find its input in `y`, to be
//! written over, and `x` empty in both passes; and on the way back the gradient of its output in `dx`, to
//! be written over, and `dy` empty. The caller decides for each pass by itself, so a layer looks whether
//! the slice is empty. What was there before is lost, so the caller does it only where the layer before
//! does not read its own output on the way back ([`Layer::needs_output`]).

use labyrinth_kernels::{Cpu, PackedMatrix, Real};

use crate::error::NnError;
use crate::layers::Residual;
use crate::parameters::ParameterSpec;
use crate::reach::Reach;
use crate::sequence::Sequence;
use crate::shape::Shape;

/// Whether a pass trains or only computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Batch norm uses its running statistics, dropout does nothing.
    Inference,
    /// Batch norm uses the batch, dropout draws from `key`.
    Training {
        /// Key of this step's dropout masks: the same key gives the same masks.
        key: u64,
    },
}

/// What a forward pass reads and writes.
pub struct Forward<'a, T> {
    /// Which instruction set computes.
    pub cpu: Cpu,
    /// Training or inference.
    pub mode: Mode,
    /// Shape of the input.
    pub shape: &'a Shape,
    /// Input, `[rows, bins, channels]`; empty where the layer works in place, on `y`.
    pub x: &'a [T],
    /// This layer's weights, in the order of [`Layer::parameters`].
    pub parameters: &'a [T],
    /// The same weights as [`Layer::pack`] laid them out, or nothing.
    pub packed: &'a [PackedMatrix<T>],
    /// This layer's running statistics, in the order of [`Layer::buffers`].
    pub buffers: &'a [T],
    /// Kept for the backward pass, of size [`Layer::saved_len`].
    pub saved: &'a mut [T],
    /// State from the previous chunk of the same utterances, replaced by the state after this
    /// one; of size [`Layer::state_len`], or empty to begin from nothing and forget.
    pub state: &'a mut [T],
    /// Work space of size [`Layer::forward_scratch_len`]; its content is arbitrary.
    pub scratch: &'a mut [T],
    /// Output, in the shape of [`Layer::output_shape`].
    pub y: &'a mut [T],
}

/// What a backward pass reads and writes.
pub struct Backward<'a, T> {
    /// Which instruction set computes.
    pub cpu: Cpu,
    /// The mode of the forward pass.
    pub mode: Mode,
    /// Shape of the input.
    pub shape: &'a Shape,
    /// Input of the forward pass; empty where that worked in place.
    pub x: &'a [T],
    /// Output of the forward pass; empty for a layer that does not need it ([`Layer::needs_output`]).
    pub y: &'a [T],
    /// Gradient of the loss with respect to the output; empty where the layer works in place, on `dx`.
    pub dy: &'a [T],
    /// This layer's weights.
    pub parameters: &'a [T],
    /// What the forward pass kept.
    pub saved: &'a [T],
    /// Work space of size [`Layer::scratch_len`] and, without `dx`, [`Layer::scratch_len_without_dx`]
    /// more; its content is arbitrary.
    pub scratch: &'a mut [T],
    /// Gradient with respect to the input, overwritten; absent for the first layer.
    pub dx: Option<&'a mut [T]>,
    /// Gradient with respect to the weights: added to what is there.
    pub gradients: &'a mut [T],
}

/// What a layer is made of, for those who run its parts by themselves ([`crate::stream`]).
pub enum Parts<'a, T> {
    /// Nothing that can be told apart.
    One,
    /// Layers one after another.
    Sequence(&'a Sequence<T>),
    /// Two branches and their sum.
    Residual(&'a Residual<T>),
}

/// One step from an activation to the next, and the way back of its gradient.
pub trait Layer<T: Real>: Send + Sync {
    /// Shape of the output, with each utterance's length exact.
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError>;

    /// The weights it wants, with names relative to the layer.
    fn parameters(&self) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// The running statistics it wants: saved with the model, moved by training, no gradient.
    fn buffers(&self) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// Values the forward pass keeps for the backward pass.
    fn saved_len(&self, _input: &Shape) -> usize {
        0
    }

    /// Values of work space the backward pass wants.
    fn scratch_len(&self, _input: &Shape) -> usize {
        0
    }

    /// Values of work space the backward pass wants beyond [`Layer::scratch_len`] where nobody asks for `dx`:
    /// for kernels that compute it along the way.
    fn scratch_len_without_dx(&self, _input: &Shape) -> usize {
        0
    }

    /// Values of work space the forward pass wants.
    fn forward_scratch_len(&self, _input: &Shape) -> usize {
        0
    }

    /// Whether both passes can work in place, as the module's text describes.
    fn in_place(&self) -> bool {
        false
    }

    /// Whether the backward pass reads `y`. Where it does not, the next layer may write over it.
    fn needs_output(&self) -> bool {
        true
    }

    /// Which input frames an output frame depends on.
    fn reach(&self) -> Reach {
        Reach::FRAME
    }

    /// Multiplications of the forward pass on an input of this shape: those of matrix products and
    /// convolutions, one for each weight and each place where it is used, beyond the edges too. Norms, gates
    /// and rectifiers, a few for each value, are not counted, as is the custom in the field's tables.
    fn multiplications(&self, _input: &Shape) -> u64 {
        0
    }

    /// What it is, for a table of layers: `convolution 3×3, stride 2×2`. By default the name of its type.
    fn describe(&self) -> String {
        let name = std::any::type_name::<Self>();
        let name = name.split('<').next().unwrap_or(name);
        name.rsplit("::").next().unwrap_or(name).to_owned()
    }

    /// What it is made of.
    fn parts(&self) -> Parts<'_, T> {
        Parts::One
    }

    /// For a layer of windows: the same one, with the same weights, that gives only the outputs whose windows
    /// lie within the utterance in time. A stream takes it where it can, since it computes nothing in vain.
    fn without_padding(&self) -> Option<Box<dyn Layer<T>>> {
        None
    }

    /// Its matrices laid out for the products, for one who calls it often with a few frames: a stream. The bytes
    /// of the output are the same. Nothing for a layer that gains nothing by it.
    fn pack(&self, _cpu: Cpu, _parameters: &[T]) -> Result<Vec<PackedMatrix<T>>, NnError> {
        Ok(Vec::new())
    }

    /// Values of the state that a chunk hands to the next one, for `batch` utterances.
    fn state_len(&self, _batch: usize) -> usize {
        0
    }

    /// Computes the output.
    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError>;

    /// Computes the gradients.
    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError>;

    /// After a training step's forward pass: moves the running statistics.
    fn update_buffers(
        &self,
        _input: &Shape,
        _saved: &[T],
        _buffers: &mut [T],
    ) -> Result<(), NnError> {
        Ok(())
    }
}
