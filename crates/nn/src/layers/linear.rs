//! Each frame times one matrix, plus a bias.
//!
//! Book: book/src/recurrent.md

use labyrinth_kernels::linear::{linear_backward, linear_forward, linear_forward_packed};
use labyrinth_kernels::{Cpu, Matrix, PackedMatrix, Real};

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::parameters::ParameterSpec;
use crate::shape::Shape;

/// `y = x·Wᵀ + b` on every frame; a frame's bins and channels count as one vector.
///
/// `W` is `[output, input]`, as in PyTorch.
#[derive(Clone, Debug)]
pub struct Linear {
    /// Values of an input frame.
    pub input: usize,
    /// Values of an output frame.
    pub output: usize,
}

impl<T: Real> Layer<T> for Linear {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        if input.width() != self.input {
            return Err(NnError::Size {
                what: "input frame of a linear layer",
                expected: self.input,
                found: input.width(),
            });
        }
        Ok(input.with_width(self.output))
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let bound = 1.0 / (self.input as f64).sqrt();
        vec![
            ParameterSpec::weight("weight", &[self.output, self.input], bound),
            ParameterSpec::bias("bias", self.output, bound),
        ]
    }

    fn multiplications(&self, input: &Shape) -> u64 {
        (input.rows() * self.input * self.output) as u64
    }

    fn describe(&self) -> String {
        "linear".into()
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn pack(&self, cpu: Cpu, parameters: &[T]) -> Result<Vec<PackedMatrix<T>>, NnError> {
        let weight = &parameters[..self.output * self.input];
        let weight = Matrix::rows(weight, self.output, self.input).transposed();
        Ok(vec![PackedMatrix::pack(cpu, weight)?])
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let (weight, bias) = pass.parameters.split_at(self.output * self.input);
        let rows = pass.shape.rows();
        if let [packed] = pass.packed {
            linear_forward_packed(pass.cpu, pass.x, packed, bias, pass.y, rows)?;
            return Ok(());
        }
        linear_forward(pass.cpu, pass.x, weight, bias, pass.y, rows, self.input, self.output)?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let (weight, _) = pass.parameters.split_at(self.output * self.input);
        let (dweight, dbias) = pass.gradients.split_at_mut(self.output * self.input);
        linear_backward(
            pass.cpu,
            pass.x,
            weight,
            pass.dy,
            pass.dx,
            dweight,
            dbias,
            pass.shape.rows(),
            self.input,
            self.output,
        )?;
        Ok(())
    }
}
