//! A convolution with the choices that residual networks need: with a bias or without, and how it begins.

use labyrinth_kernels::Real;
use labyrinth_kernels::convolution::Convolution;

use super::ConvolutionLayer;
use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::parameters::ParameterSpec;
use crate::reach::Reach;
use crate::shape::Shape;

/// [`ConvolutionLayer`] without its bias where a batch norm follows, which takes any bias away again, and
/// with first values of its own.
#[derive(Clone, Debug)]
pub struct BlockConvolution {
    /// The kernel's description.
    pub convolution: Convolution,
    /// Whether there is a bias.
    pub bias: bool,
    /// Weights begin uniform in ± this; 0 for a branch that adds nothing at first.
    pub bound: f64,
}

impl BlockConvolution {
    /// He et al. 2015 ("Delving deep into rectifiers", eq. 10): behind a rectifier half of the second
    /// moment is left, so weights of variance 2 / fan-in keep the size of activations from layer to layer;
    /// uniform values in ±b have variance b² / 3.
    pub fn he(convolution: Convolution, bias: bool) -> Self {
        let fan_in = convolution.in_channels * convolution.kernel[0] * convolution.kernel[1];
        Self { convolution, bias, bound: (6.0 / fan_in as f64).sqrt() }
    }

    fn inner(&self) -> ConvolutionLayer {
        ConvolutionLayer { convolution: self.convolution }
    }

    /// Values of work space that stand for the bias, or its gradient, where there is none.
    fn stand_in(&self) -> usize {
        if self.bias { 0 } else { self.convolution.out_channels }
    }
}

impl<T: Real> Layer<T> for BlockConvolution {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Layer::<T>::output_shape(&self.inner(), input)
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let Convolution { in_channels, out_channels, kernel, .. } = self.convolution;
        let shape = [out_channels, in_channels, kernel[0], kernel[1]];
        let mut specs = vec![ParameterSpec::weight("weight", &shape, self.bound)];
        if self.bias {
            specs.push(ParameterSpec::constant("bias", out_channels, 0.0));
        }
        specs
    }

    fn scratch_len(&self, _input: &Shape) -> usize {
        self.stand_in()
    }

    fn forward_scratch_len(&self, _input: &Shape) -> usize {
        self.stand_in()
    }

    fn multiplications(&self, input: &Shape) -> u64 {
        Layer::<T>::multiplications(&self.inner(), input)
    }

    fn describe(&self) -> String {
        Layer::<T>::describe(&self.inner())
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn without_padding(&self) -> Option<Box<dyn Layer<T>>> {
        let mut layer = self.clone();
        layer.convolution.padding[0] = 0;
        Some(Box::new(layer))
    }

    fn reach(&self) -> Reach {
        Layer::<T>::reach(&self.inner())
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        if self.bias {
            return self.inner().forward(pass);
        }
        let Forward { cpu, shape, x, parameters, scratch, y, .. } = pass;
        scratch.fill(T::ZERO);
        self.convolution.forward(cpu, x, &shape.lengths, shape.bins, parameters, scratch, y)?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        if self.bias {
            return self.inner().backward(pass);
        }
        let Backward { cpu, shape, x, dy, parameters, scratch, dx, gradients, .. } = pass;
        let (lengths, bins) = (&shape.lengths, shape.bins);
        scratch.fill(T::ZERO);
        self.convolution.backward(cpu, x, lengths, bins, parameters, dy, dx, gradients, scratch)?;
        Ok(())
    }
}
