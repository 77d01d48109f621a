//! Negative values become zero.
//!
//! Book: book/src/convolution.md

use labyrinth_kernels::Real;
use labyrinth_kernels::activation::{
    relu_backward, relu_backward_in_place, relu_forward, relu_in_place,
};

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

    fn describe(&self) -> String {
        "rectifier".into()
    }

    fn in_place(&self) -> bool {
        true
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        if pass.x.is_empty() {
            relu_in_place(pass.cpu, pass.y);
        } else {
            relu_forward(pass.cpu, pass.x, pass.y)?;
        }
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        match pass.dx {
            Some(dx) if pass.dy.is_empty() => relu_backward_in_place(pass.cpu, pass.y, dx)?,
            Some(dx) => relu_backward(pass.cpu, pass.y, pass.dy, dx)?,
            None => {}
        }
        Ok(())
    }
}
