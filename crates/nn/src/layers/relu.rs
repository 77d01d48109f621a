//! Negative values become zero.

use labyrinth_kernels::Real;
use labyrinth_kernels::activation::{relu_backward, relu_forward};

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::shape::Shape;

/// `y = max(x, 0)`; its gradient passes where the output is positive.
#[derive(Clone, Debug)]
pub struct Relu;

impl<T: Real> Layer<T> for Relu {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Ok(input.clone())
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        relu_forward(pass.cpu, pass.x, pass.y)?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        if let Some(dx) = pass.dx {
            relu_backward(pass.cpu, pass.y, pass.dy, dx)?;
        }
        Ok(())
    }
}
