//! An architecture with its weights: features in, logits out, gradients back.

use std::borrow::Cow;

use labyrinth_kernels::{Cpu, Real};

use crate::architecture::ModelOptions;
use crate::error::NnError;
use crate::layer::Mode;
use crate::parameters::Parameters;
use crate::reach::Reach;
pub use crate::sequence::Memory;
use crate::sequence::Sequence;
use crate::shape::Shape;

/// A model that computes.
pub struct Network<T> {
    options: ModelOptions,
    dim: usize,
    labels: usize,
    /// The first layers, where training leaves them as they are; empty otherwise.
    frozen: Sequence<T>,
    /// The others.
    sequence: Sequence<T>,
    /// What training moves by gradients.
    pub parameters: Parameters<T>,
    /// What training moves by averaging: batch norm's running statistics.
    pub buffers: Parameters<T>,
}

impl<T: Real> Network<T> {
    /// Builds `options` for features of `dim` values and `labels` labels, weights from `seed`.
    pub fn new(
        options: &ModelOptions,
        dim: usize,
        labels: usize,
        seed: u64,
    ) -> Result<Self, NnError> {
        let sequence = options.build(dim, labels)?;
        Ok(Self {
            options: options.clone(),
            dim,
            labels,
            parameters: Parameters::initialize(sequence.parameters(), seed),
            buffers: Parameters::initialize(sequence.buffers(), seed),
            frozen: Sequence::new(Vec::new()),
            sequence,
        })
    }

    /// Leaves the first layers, as long as `is_frozen` says so of their stages
    /// ([`ModelOptions::stage_of`]), out of training until the next call: they compute as in inference in
    /// both modes, batch norms with their running statistics, which do not move; they keep nothing for the
    /// way back, and their gradients stay 0. What they cost is a forward pass.
    pub fn freeze(&mut self, is_frozen: impl Fn(&str) -> bool) {
        let frozen = std::mem::replace(&mut self.frozen, Sequence::new(Vec::new()));
        self.sequence.put_first(frozen);
        let options = &self.options;
        self.frozen = self.sequence.take_first(|layer| is_frozen(options.stage_of(layer)));
    }

    /// The architecture.
    pub fn options(&self) -> &ModelOptions {
        &self.options
    }

    /// Values of a feature frame.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Values of an output frame: the labels of all heads, their blanks among them.
    pub fn labels(&self) -> usize {
        self.labels
    }

    /// The layers.
    /// Whether a part of it does not learn ([`Network::freeze`]).
    pub fn is_frozen(&self) -> bool {
        !self.frozen.is_empty()
    }

    pub(crate) fn sequence(&self) -> &Sequence<T> {
        &self.sequence
    }

    /// Which feature frames a logit frame depends on.
    pub fn reach(&self) -> Reach {
        self.sequence.reach()
    }

    /// Computes logits `[sum of the shape's lengths, labels]`, which lie in `memory` afterwards
    /// ([`Memory::output`], [`Memory::output_shape`]).
    ///
    /// `features` is `[sum of lengths, dim]`, the utterances one after another.
    pub fn forward(
        &self,
        cpu: Cpu,
        mode: Mode,
        features: &[T],
        lengths: &[usize],
        memory: &mut Memory<T>,
    ) -> Result<(), NnError> {
        let shape = Shape::features(lengths, self.dim);
        let (parameters, buffers) = (&self.parameters.values, &self.buffers.values);
        if self.frozen.is_empty() {
            let states = &mut [];
            return self
                .sequence
                .forward(cpu, mode, parameters, buffers, features, &shape, states, memory);
        }
        let mut before = memory.before.take().unwrap_or_default();
        let (frozen, still) = (&self.frozen, Mode::Inference);
        frozen.forward(cpu, still, parameters, buffers, features, &shape, &mut [], &mut before)?;
        let shape = before.output_shape().unwrap_or(&shape);
        let x = before.output();
        let result =
            self.sequence.forward(cpu, mode, parameters, buffers, x, shape, &mut [], memory);
        memory.before = Some(before);
        result
    }

    /// Adds the gradients of the last forward pass to `gradients`, in the order of
    /// [`Network::parameters`]. The gradient of the logits stands in `memory`
    /// ([`Memory::output_and_gradient`]).
    pub fn backward(
        &self,
        cpu: Cpu,
        mode: Mode,
        features: &[T],
        gradients: &mut [T],
        memory: &mut Memory<T>,
    ) -> Result<(), NnError> {
        let parameters = &self.parameters.values;
        if self.frozen.is_empty() {
            return self
                .sequence
                .backward(cpu, mode, parameters, features, gradients, memory, None);
        }
        let Some(before) = memory.before.take() else {
            return Err(NnError::NothingToGoBackThrough);
        };
        let x = before.output();
        let result = self.sequence.backward(cpu, mode, parameters, x, gradients, memory, None);
        memory.before = Some(before);
        result
    }

    /// Moves batch norm's running statistics after a training forward pass.
    pub fn update_buffers(&mut self, memory: &Memory<T>) -> Result<(), NnError> {
        self.sequence.update_buffers(&mut self.buffers.values, memory)
    }
}

/// The scores of the first head: the first `labels` of the `outputs` values of each frame.
pub fn first_head<T: Copy>(logits: &[T], outputs: usize, labels: usize) -> Cow<'_, [T]> {
    match outputs == labels {
        true => logits.into(),
        false => {
            logits.chunks_exact(outputs.max(1)).flat_map(|row| &row[..labels]).copied().collect()
        }
    }
}

/// Takes the frames out of a padded batch `[utterances, longest, dim]`.
///
/// Others keep batches padded; here the padding ends, whatever it holds.
pub fn remove_padding<T: Copy>(
    padded: &[T],
    longest: usize,
    dim: usize,
    lengths: &[usize],
) -> Result<Vec<T>, NnError> {
    let expected = lengths.len() * longest * dim;
    crate::error::expect_size("a padded batch", expected, padded.len())?;
    let mut frames = Vec::with_capacity(lengths.iter().sum::<usize>() * dim);
    for (utterance, &length) in padded.chunks_exact((longest * dim).max(1)).zip(lengths) {
        if length > longest {
            return Err(NnError::Size {
                what: "an utterance of a padded batch",
                expected: length,
                found: longest,
            });
        }
        frames.extend_from_slice(&utterance[..length * dim]);
    }
    Ok(frames)
}
