//! Small windows over time and frequency, the same weights at every place.
//!
//! Book: book/src/convolution.md

use labyrinth_kernels::Real;
use labyrinth_kernels::convolution::Convolution;

use super::pooling::window_in_words;
use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::parameters::ParameterSpec;
use crate::reach::Reach;
use crate::shape::Shape;

/// A two-dimensional convolution over frames and bins.
///
/// Output frames are `(frames + 2·padding - kernel) / stride + 1`, rounded down, for each
/// utterance by itself; what lies before and behind an utterance is zero, not its neighbour.
#[derive(Clone, Debug)]
pub struct ConvolutionLayer {
    /// The kernel's description.
    pub convolution: Convolution,
}

impl<T: Real> Layer<T> for ConvolutionLayer {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        if input.channels != self.convolution.in_channels {
            return Err(NnError::Size {
                what: "channels of a convolution's input",
                expected: self.convolution.in_channels,
                found: input.channels,
            });
        }
        let lengths: Vec<usize> =
            input.lengths.iter().map(|&frames| self.convolution.output_frames(frames)).collect();
        if let Some(utterance) = lengths.iter().position(|&frames| frames == 0) {
            return Err(NnError::TooShort {
                utterance,
                frames: input.lengths[utterance],
                layer: "a convolution".into(),
            });
        }
        let bins = self.convolution.output_bins(input.bins);
        if bins == 0 {
            return Err(NnError::Options(format!(
                "a convolution leaves none of its {} frequency bins",
                input.bins
            )));
        }
        Ok(Shape { lengths, bins, channels: self.convolution.out_channels })
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let Convolution { in_channels, out_channels, kernel, .. } = self.convolution;
        let bound = 1.0 / ((in_channels * kernel[0] * kernel[1]) as f64).sqrt();
        vec![
            ParameterSpec::weight(
                "weight",
                &[out_channels, in_channels, kernel[0], kernel[1]],
                bound,
            ),
            ParameterSpec::bias("bias", out_channels, bound),
        ]
    }

    fn reach(&self) -> Reach {
        let window = self.convolution;
        Reach::window(window.kernel[0], window.stride[0], window.padding[0])
    }

    fn multiplications(&self, input: &Shape) -> u64 {
        // Each output value: a window of all input channels.
        let Convolution { in_channels, kernel: [time, bins], .. } = self.convolution;
        let places = Layer::<T>::output_shape(self, input).map_or(0, |shape| shape.len());
        (places * in_channels * time * bins) as u64
    }

    fn describe(&self) -> String {
        let Convolution { kernel, stride, .. } = self.convolution;
        format!("convolution {}", window_in_words(kernel, stride))
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
        let (weight, bias) =
            pass.parameters.split_at(pass.parameters.len() - self.convolution.out_channels);
        self.convolution.forward(
            pass.cpu,
            pass.x,
            &pass.shape.lengths,
            pass.shape.bins,
            weight,
            bias,
            pass.y,
        )?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let weights = pass.parameters.len() - self.convolution.out_channels;
        let (dweight, dbias) = pass.gradients.split_at_mut(weights);
        self.convolution.backward(
            pass.cpu,
            pass.x,
            &pass.shape.lengths,
            pass.shape.bins,
            &pass.parameters[..weights],
            pass.dy,
            pass.dx,
            dweight,
            dbias,
        )?;
        Ok(())
    }
}
