//! Each channel to mean 0 and variance 1 over the batch, then scaled and shifted.
//!
//! Book: book/src/convolution.md

use labyrinth_kernels::Real;
use labyrinth_kernels::batch_norm::{
    batch_norm_backward, batch_norm_eval, batch_norm_train_forward, batch_norm_update_running,
};

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer, Mode};
use crate::parameters::ParameterSpec;
use crate::shape::Shape;

/// Batch norm over all frames and bins of a channel (Ioffe & Szegedy 2015).
///
/// The rows hold no padding, so the statistics are those of real frames only. In inference the
/// running statistics serve, so that an utterance does not depend on its mates.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Channels.
    pub channels: usize,
}

/// What is added to a variance before its root is taken: PyTorch's.
pub const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

impl<T: Real> Layer<T> for BatchNorm {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Ok(input.clone())
    }

    fn describe(&self) -> String {
        "batch norm".into()
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        vec![
            ParameterSpec::constant("weight", self.channels, 1.0),
            ParameterSpec::constant("bias", self.channels, 0.0),
        ]
    }

    fn buffers(&self) -> Vec<ParameterSpec> {
        vec![
            ParameterSpec::constant("running_mean", self.channels, 0.0),
            ParameterSpec::constant("running_var", self.channels, 1.0),
        ]
    }

    fn saved_len(&self, _input: &Shape) -> usize {
        2 * self.channels
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        input.len()
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let (gain, shift) = pass.parameters.split_at(self.channels);
        let epsilon = T::from_f64(EPSILON);
        match pass.mode {
            Mode::Training { .. } => {
                let (mean, inverse_deviation) = pass.saved.split_at_mut(self.channels);
                batch_norm_train_forward(
                    pass.cpu,
                    pass.x,
                    self.channels,
                    gain,
                    shift,
                    epsilon,
                    pass.y,
                    mean,
                    inverse_deviation,
                )?;
            }
            Mode::Inference => {
                let (mean, variance) = pass.buffers.split_at(self.channels);
                batch_norm_eval(
                    pass.cpu,
                    pass.x,
                    self.channels,
                    gain,
                    shift,
                    mean,
                    variance,
                    epsilon,
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
        // The first layer's input needs no gradient, but the kernel computes it along the way.
        let dx = match pass.dx {
            Some(dx) => dx,
            None => &mut pass.scratch[..values],
        };
        batch_norm_backward(
            pass.cpu,
            pass.x,
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
        let (mean, inverse_deviation) = saved.split_at(self.channels);
        let (running_mean, running_variance) = buffers.split_at_mut(self.channels);
        batch_norm_update_running(
            input.rows() * input.bins,
            T::from_f64(MOMENTUM),
            T::from_f64(EPSILON),
            mean,
            inverse_deviation,
            running_mean,
            running_variance,
        )?;
        Ok(())
    }
}
