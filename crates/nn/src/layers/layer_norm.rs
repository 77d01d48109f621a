//! Each frame to mean 0 and variance 1, then scaled and shifted.
//!
//! Book: book/src/recurrent.md

use labyrinth_kernels::Real;
use labyrinth_kernels::layer_norm::{layer_norm_backward, layer_norm_forward};

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::parameters::ParameterSpec;
use crate::shape::Shape;

/// Layer norm over a frame's values (Ba, Kiros, Hinton 2016), with PyTorch's epsilon of 1e-5.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// Values of a frame.
    pub width: usize,
}

const EPSILON: f64 = 1e-5;

impl<T: Real> Layer<T> for LayerNorm {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Ok(input.clone())
    }

    fn describe(&self) -> String {
        "layer norm".into()
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        vec![
            ParameterSpec::constant("weight", self.width, 1.0),
            ParameterSpec::constant("bias", self.width, 0.0),
        ]
    }

    // The mean and the inverse standard deviation of each row.
    fn saved_len(&self, input: &Shape) -> usize {
        2 * input.rows()
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let (gain, shift) = pass.parameters.split_at(self.width);
        let (mean, inverse_deviation) = pass.saved.split_at_mut(pass.shape.rows());
        layer_norm_forward(
            pass.cpu,
            pass.x,
            self.width,
            gain,
            shift,
            T::from_f64(EPSILON),
            pass.y,
            mean,
            inverse_deviation,
        )?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let (gain, _) = pass.parameters.split_at(self.width);
        let (dgain, dshift) = pass.gradients.split_at_mut(self.width);
        let (mean, inverse_deviation) = pass.saved.split_at(pass.shape.rows());
        let rows = pass.shape.len();
        // The first layer's input needs no gradient, but the kernel computes it along the way.
        let dx = match pass.dx {
            Some(dx) => dx,
            None => &mut pass.scratch[..rows],
        };
        layer_norm_backward(
            pass.cpu,
            pass.x,
            self.width,
            gain,
            mean,
            inverse_deviation,
            pass.dy,
            dx,
            dgain,
            dshift,
        )?;
        Ok(())
    }

    fn scratch_len_without_dx(&self, input: &Shape) -> usize {
        input.len()
    }
}
