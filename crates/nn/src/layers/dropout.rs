//! In training, a random share of the values becomes zero and the rest grow to match.
//!
//! Book: book/src/training.md

use labyrinth_kernels::Real;
use labyrinth_kernels::dropout::{dropout_backward, dropout_forward, dropout_in_place};

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer, Mode};
use crate::shape::Shape;

/// Inverted dropout (Srivastava et al. 2014): kept values are divided by `1 - rate`.
///
/// The mask is a function of the step's key, the layer's `salt` and the element's place, so that
/// the backward pass computes it again instead of keeping it, and no thread can change it.
#[derive(Clone, Debug)]
pub struct Dropout {
    /// Share of the values that become zero, from 0 to below 1.
    pub rate: f64,
    /// Tells this layer's masks from another's.
    pub salt: u64,
}

impl Dropout {
    fn key(&self, key: u64) -> u64 {
        // An odd multiplier spreads the salts over all bits; the kernel hashes the result.
        key ^ self.salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl<T: Real> Layer<T> for Dropout {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Ok(input.clone())
    }

    fn describe(&self) -> String {
        format!("dropout {}", self.rate)
    }

    fn in_place(&self) -> bool {
        true
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let Forward { cpu, mode, x, y, .. } = pass;
        match mode {
            Mode::Inference if x.is_empty() => {}
            Mode::Inference => y.copy_from_slice(x),
            Mode::Training { key } if x.is_empty() => {
                dropout_in_place(cpu, y, self.rate, self.key(key))?;
            }
            Mode::Training { key } => dropout_forward(cpu, x, y, self.rate, self.key(key))?,
        }
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Backward { cpu, mode, dy, dx, .. } = pass;
        let Some(dx) = dx else { return Ok(()) };
        match mode {
            Mode::Inference if dy.is_empty() => {}
            Mode::Inference => dx.copy_from_slice(dy),
            Mode::Training { key } if dy.is_empty() => {
                dropout_in_place(cpu, dx, self.rate, self.key(key))?;
            }
            Mode::Training { key } => dropout_backward(cpu, dy, dx, self.rate, self.key(key))?,
        }
        Ok(())
    }
}
