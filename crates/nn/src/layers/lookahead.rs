//! A glance at the next frames, for models that read in one direction.
//!
//! A recurrent layer that reads from left to right knows nothing of what comes, and a sound is often told by
//! the one behind it. Row convolution (Wang et al. 2016, "Lookahead Convolution Layer for Unidirectional
//! Recurrent Neural Networks"; Amodei et al. 2016, "Deep Speech 2", section 3.7) lends it the next τ frames,
//! each channel by itself:
//!
//! ```text
//! y[t, c] = b[c] + Σ_{j = 0 … τ} W[c, j] x[t + j, c],   x[t] = 0 behind the last frame.
//! ```
//!
//! (The paper has no b; the layer behind it absorbs it.) It is a depthwise convolution of τ + 1 frames, of
//! which the first τ outputs, those whose windows begin before the utterance, are left out. The kernel pads
//! both ends with τ frames, so that its output o sees the frames o − τ … o:
//!
//! ```text
//! y[t] = y'[t + τ],   dy'[o] = dy[o − τ] for o ≥ τ, else 0;
//! ```
//!
//! what the kernel makes of dy' is the gradient, since a zero adds nothing.
//!
//! Book: book/src/recurrent.md

use labyrinth_kernels::{DepthwiseConvolution, Real};

use super::DepthwiseLayer;
use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::parameters::ParameterSpec;
use crate::reach::Reach;
use crate::shape::Shape;

/// A weighted sum of each frame and the `frames` behind it, channel by channel.
#[derive(Clone, Debug)]
pub struct Lookahead {
    /// Channels of a bin.
    pub channels: usize,
    /// Frames of the future, τ: so many frames its output waits for.
    pub frames: usize,
}

impl Lookahead {
    fn depthwise(&self, padding: usize) -> DepthwiseLayer {
        let convolution = DepthwiseConvolution {
            channels: self.channels,
            kernel: [self.frames + 1, 1],
            stride: [1, 1],
            padding: [padding, 0],
        };
        DepthwiseLayer { convolution }
    }

    /// Values of y', which has τ frames more for each utterance.
    fn padded_len(&self, input: &Shape) -> usize {
        (input.rows() + self.frames * input.lengths.len()) * input.width()
    }

    /// The values of each utterance, behind the τ frames that are left out in y'.
    fn parts<'a>(&self, shape: &'a Shape) -> impl Iterator<Item = [usize; 3]> + 'a {
        let (width, skipped) = (shape.width(), self.frames * shape.width());
        let (mut whole, mut padded) = (0, 0);
        shape.lengths.iter().map(move |&frames| {
            let len = frames * width;
            let part = [whole, padded + skipped, len];
            whole += len;
            padded += skipped + len;
            part
        })
    }
}

impl<T: Real> Layer<T> for Lookahead {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Layer::<T>::output_shape(&self.depthwise(self.frames), input)?;
        Ok(input.clone())
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        Layer::<T>::parameters(&self.depthwise(self.frames))
    }

    fn reach(&self) -> Reach {
        Reach::window(self.frames + 1, 1, 0)
    }

    fn multiplications(&self, input: &Shape) -> u64 {
        // Those of the outputs that are kept.
        (input.len() * (self.frames + 1)) as u64
    }

    fn describe(&self) -> String {
        format!("lookahead of {} frames", self.frames)
    }

    fn without_padding(&self) -> Option<Box<dyn Layer<T>>> {
        Some(Box::new(self.depthwise(0)))
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn forward_scratch_len(&self, input: &Shape) -> usize {
        self.padded_len(input)
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        self.padded_len(input)
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let Forward { y, shape, .. } = pass;
        let padded = &mut pass.scratch[..self.padded_len(shape)]; // [rows + τ · batch, bins, channels]
        let kernel = self.depthwise(self.frames).convolution;
        let (weight, bias) = pass.parameters.split_at(kernel.weight_len());
        kernel.forward(pass.cpu, pass.x, &shape.lengths, shape.bins, weight, bias, padded)?;
        for [whole, behind, len] in self.parts(shape) {
            y[whole..whole + len].copy_from_slice(&padded[behind..behind + len]);
        }
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Backward { cpu, shape, x, dy, dx, .. } = pass;
        let Shape { lengths, bins, .. } = shape;
        let padded = &mut pass.scratch[..self.padded_len(shape)]; // [rows + τ · batch, bins, channels]
        padded.fill(T::ZERO);
        for [whole, behind, len] in self.parts(shape) {
            padded[behind..behind + len].copy_from_slice(&dy[whole..whole + len]);
        }
        let kernel = self.depthwise(self.frames).convolution;
        let (dw, db) = pass.gradients.split_at_mut(kernel.weight_len());
        let weight = &pass.parameters[..kernel.weight_len()];
        kernel.backward(cpu, x, lengths, *bins, weight, padded, dx, dw, db)?;
        Ok(())
    }
}
