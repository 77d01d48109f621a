//! Every weight of a model by name, in one flat arena.
//!
//! One arena makes the optimiser, the checkpoint and the gradient norm loops over a slice, and a
//! layer's weights a range of it. Names and shapes follow PyTorch, so that weights move both ways.

use std::ops::Range;

use labyrinth_kernels::Real;
use labyrinth_signal::{Random, hash_name};

/// How a weight begins its life.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initializer {
    /// All values the same.
    Constant(f64),
    /// Uniform in ±`bound`. With bound 1/√fan-in this is what PyTorch does for linear and
    /// convolutional layers, with 1/√hidden for recurrent ones (LeCun et al. 1998, section 4.6).
    Uniform {
        /// Largest magnitude.
        bound: f64,
    },
}

/// Name, shape and first values of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSpec {
    /// Name, unique within the model: `gru.0.forward.w_ih`.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// How the values begin.
    pub initializer: Initializer,
    /// Whether weight decay pulls on it: on matrices, not on biases and gains.
    pub decay: bool,
}

impl ParameterSpec {
    /// A weight matrix or kernel, subject to weight decay.
    pub fn weight(name: &str, shape: &[usize], bound: f64) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            initializer: Initializer::Uniform { bound },
            decay: true,
        }
    }

    /// A bias, not subject to weight decay.
    pub fn bias(name: &str, size: usize, bound: f64) -> Self {
        Self { decay: false, ..Self::weight(name, &[size], bound) }
    }

    /// A vector that begins as a constant and does not decay.
    pub fn constant(name: &str, size: usize, value: f64) -> Self {
        Self {
            name: name.into(),
            shape: vec![size],
            initializer: Initializer::Constant(value),
            decay: false,
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Named tensors in one arena.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters<T> {
    specs: Vec<ParameterSpec>,
    offsets: Vec<usize>,
    /// All values, tensor after tensor.
    pub values: Vec<T>,
}

impl<T: Real> Parameters<T> {
    /// Makes the tensors and gives each its first values, which depend on the seed and on the
    /// tensor's name only: adding a layer does not change how the others begin.
    pub fn initialize(specs: Vec<ParameterSpec>, seed: u64) -> Self {
        let mut offsets = Vec::with_capacity(specs.len());
        let mut values = Vec::with_capacity(specs.iter().map(ParameterSpec::len).sum());
        for spec in &specs {
            offsets.push(values.len());
            match spec.initializer {
                Initializer::Constant(value) => {
                    values.resize(values.len() + spec.len(), T::from_f64(value));
                }
                Initializer::Uniform { bound } => {
                    let mut random = Random::from_key(&[seed, hash_name(&spec.name)]);
                    values.extend(
                        (0..spec.len())
                            .map(|_| T::from_f64((2.0 * random.uniform() - 1.0) * bound)),
                    );
                }
            }
        }
        Self { specs, offsets, values }
    }

    /// Names and shapes, in the order of the arena.
    pub fn specs(&self) -> &[ParameterSpec] {
        &self.specs
    }

    /// Where a tensor lies in the arena.
    pub fn range(&self, index: usize) -> Range<usize> {
        self.offsets[index]..self.offsets[index] + self.specs[index].len()
    }

    /// A tensor's values by name.
    pub fn get(&self, name: &str) -> Option<&[T]> {
        let index = self.specs.iter().position(|spec| spec.name == name)?;
        Some(&self.values[self.range(index)])
    }

    /// Every tensor with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&ParameterSpec, &[T])> {
        self.specs.iter().enumerate().map(|(i, spec)| (spec, &self.values[self.range(i)]))
    }

    /// Number of values in all tensors.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
