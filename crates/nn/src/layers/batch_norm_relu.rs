//! Batch norm with a rectifier behind it: what stands behind most convolutions, in fewer passes over memory.
//!
//! Book: book/src/convolution.md

use labyrinth_kernels::Real;
use labyrinth_kernels::batch_norm::{
    batch_norm_relu_backward, batch_norm_relu_eval, batch_norm_relu_train_forward,
};

use super::batch_norm::{BatchNorm, EPSILON};
use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer, Mode};
use crate::parameters::ParameterSpec;
use crate::shape::Shape;

/// [`BatchNorm`] and then the larger of each value and 0: the same weights, statistics and bytes as
/// the two layers one after the other, without the activation between them.
#[derive(Clone, Debug)]
pub struct BatchNormRelu {
    /// Channels.
    pub channels: usize,
}

impl BatchNormRelu {
    fn norm(&self) -> BatchNorm {
        BatchNorm { channels: self.channels }
    }
}

impl<T: Real> Layer<T> for BatchNormRelu {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Layer::<T>::output_shape(&self.norm(), input)
    }

    fn describe(&self) -> String {
        "batch norm, rectified".into()
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        Layer::<T>::parameters(&self.norm())
    }

    fn buffers(&self) -> Vec<ParameterSpec> {
        Layer::<T>::buffers(&self.norm())
    }

    fn saved_len(&self, input: &Shape) -> usize {
        Layer::<T>::saved_len(&self.norm(), input)
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        Layer::<T>::scratch_len(&self.norm(), input)
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let (gain, shift) = pass.parameters.split_at(self.channels);
        let epsilon = T::from_f64(EPSILON);
        match pass.mode {
            Mode::Training { .. } => {
                let (mean, inverse_deviation) = pass.saved.split_at_mut(self.channels);
                batch_norm_relu_train_forward(
                    pass.cpu,
                    pass.x,
                    self.channels,
                    gain,
                    shift,
                    epsilon,
                    None,
                    pass.y,
                    mean,
                    inverse_deviation,
                )?;
            }
            Mode::Inference => {
                let (mean, variance) = pass.buffers.split_at(self.channels);
                batch_norm_relu_eval(
                    pass.cpu,
                    pass.x,
                    self.channels,
                    gain,
                    shift,
                    mean,
                    variance,
                    epsilon,
                    None,
                    pass.y,
                )?;
            }
        }
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let (gain, _) = pass.parameters.split_at(self.channels);
        let (dgain, dshift) = pass.gradients.split_at_mut(self.channels);
        let (mean, inverse_deviation) = pass.saved.split_at(self.channels);
        let values = pass.shape.len();
        let dx = match pass.dx {
            Some(dx) => dx,
            None => &mut pass.scratch[..values],
        };
        batch_norm_relu_backward(
            pass.cpu,
            pass.x,
            pass.y,
            self.channels,
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

    fn update_buffers(&self, input: &Shape, saved: &[T], buffers: &mut [T]) -> Result<(), NnError> {
        self.norm().update_buffers(input, saved, buffers)
    }
}
