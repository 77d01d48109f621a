//! Small windows over time and frequency, for each channel by itself.
//!
//! Book: book/src/convolution.md

use labyrinth_kernels::{DepthwiseConvolution, Real};

use super::pooling::{window_in_words, windowed_shape};
use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::parameters::ParameterSpec;
use crate::reach::Reach;
use crate::shape::Shape;

/// A convolution with a kernel of its own for each channel.
#[derive(Clone, Debug)]
pub struct DepthwiseLayer {
    /// The kernel's description.
    pub convolution: DepthwiseConvolution,
}

impl<T: Real> Layer<T> for DepthwiseLayer {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        if input.channels != self.convolution.channels {
            return Err(NnError::Size {
                what: "channels of a depthwise convolution's input",
                expected: self.convolution.channels,
                found: input.channels,
            });
        }
        windowed_shape("a depthwise convolution", self.convolution.window(), input)
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let DepthwiseConvolution { channels, kernel: [time, bins], .. } = self.convolution;
        let bound = 1.0 / ((time * bins) as f64).sqrt();
        vec![
            ParameterSpec::weight("weight", &[channels, 1, time, bins], bound),
            ParameterSpec::bias("bias", channels, bound),
        ]
    }

    fn reach(&self) -> Reach {
        Reach::of(self.convolution.window())
    }

    fn multiplications(&self, input: &Shape) -> u64 {
        let [time, bins] = self.convolution.kernel;
        let places = Layer::<T>::output_shape(self, input).map_or(0, |shape| shape.len());
        (places * time * bins) as u64
    }

    fn describe(&self) -> String {
        let DepthwiseConvolution { kernel, stride, .. } = self.convolution;
        format!("depthwise convolution {}", window_in_words(kernel, stride))
    }

    fn without_padding(&self) -> Option<Box<dyn Layer<T>>> {
        let mut layer = self.clone();
        layer.convolution.padding[0] = 0;
        Some(Box::new(layer))
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let Forward { cpu, x, y, .. } = pass;
        let Shape { lengths, bins, .. } = pass.shape;
        let (weight, bias) = pass.parameters.split_at(self.convolution.weight_len());
        self.convolution.forward(cpu, x, lengths, *bins, weight, bias, y)?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Backward { cpu, x, dy, dx, .. } = pass;
        let Shape { lengths, bins, .. } = pass.shape;
        let weights = self.convolution.weight_len();
        let weight = &pass.parameters[..weights];
        let (dw, db) = pass.gradients.split_at_mut(weights);
        self.convolution.backward(cpu, x, lengths, *bins, weight, dy, dx, dw, db)?;
        Ok(())
    }
}
