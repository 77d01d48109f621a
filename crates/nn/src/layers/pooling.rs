//! Fewer frames, bins or both: the largest number or the mean of each window, or of a whole utterance.
//!
//! Book: book/src/convolution.md

use labyrinth_kernels::mean::{
    global_mean_backward, global_mean_forward, mean_over_bins_backward, mean_over_bins_forward,
};
use labyrinth_kernels::pooling::{
    Average, average_pool_backward, average_pool_forward, max_pool_backward, max_pool_forward,
};
use labyrinth_kernels::{Real, Window};

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::reach::Reach;
use crate::shape::Shape;

/// What windows make of a shape; refuses utterances and bins that hold none.
pub(super) fn windowed_shape(layer: &str, window: Window, input: &Shape) -> Result<Shape, NnError> {
    let lengths: Vec<usize> = input.lengths.iter().map(|&n| window.output_frames(n)).collect();
    if let Some(utterance) = lengths.iter().position(|&frames| frames == 0) {
        let frames = input.lengths[utterance];
        return Err(NnError::TooShort { utterance, frames, layer: layer.into() });
    }
    let bins = window.output_bins(input.bins);
    if bins == 0 {
        return Err(NnError::Options(format!(
            "{layer} leaves none of its {} frequency bins",
            input.bins
        )));
    }
    Ok(Shape { lengths, bins, channels: input.channels })
}

/// `3×3`, or `3×3, stride 2×2`: time first.
pub(super) fn window_in_words(kernel: [usize; 2], stride: [usize; 2]) -> String {
    let stride = match stride {
        [1, 1] => String::new(),
        [time, bins] => format!(", stride {time}×{bins}"),
    };
    format!("{}×{}{stride}", kernel[0], kernel[1])
}

/// The largest number of each window.
#[derive(Clone, Debug)]
pub struct MaxPool {
    /// Size, stride and padding; the padding never wins.
    pub window: Window,
}

impl<T: Real> Layer<T> for MaxPool {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        windowed_shape("a max pooling", self.window, input)
    }

    fn describe(&self) -> String {
        format!("max pooling {}", window_in_words(self.window.kernel, self.window.stride))
    }

    fn reach(&self) -> Reach {
        Reach::of(self.window)
    }

    fn without_padding(&self) -> Option<Box<dyn Layer<T>>> {
        let mut layer = self.clone();
        layer.window.padding[0] = 0;
        Some(Box::new(layer))
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let Shape { lengths, bins, channels } = pass.shape;
        max_pool_forward(pass.cpu, self.window, pass.x, lengths, *bins, *channels, pass.y)?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Backward { cpu, x, y, dy, .. } = pass;
        let Shape { lengths, bins, channels } = pass.shape;
        if let Some(dx) = pass.dx {
            max_pool_backward(cpu, self.window, x, lengths, *bins, *channels, y, dy, dx)?;
        }
        Ok(())
    }
}

/// The mean of each window.
#[derive(Clone, Debug)]
pub struct AveragePool {
    /// Size, stride and padding.
    pub window: Window,
    /// Whether the padding counts.
    pub average: Average,
}

impl<T: Real> Layer<T> for AveragePool {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        windowed_shape("an average pooling", self.window, input)
    }

    fn describe(&self) -> String {
        format!("average pooling {}", window_in_words(self.window.kernel, self.window.stride))
    }

    fn reach(&self) -> Reach {
        Reach::of(self.window)
    }

    fn without_padding(&self) -> Option<Box<dyn Layer<T>>> {
        let mut layer = self.clone();
        layer.window.padding[0] = 0;
        Some(Box::new(layer))
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let Forward { cpu, x, y, .. } = pass;
        let Shape { lengths, bins, channels } = pass.shape;
        average_pool_forward(cpu, self.window, self.average, x, lengths, *bins, *channels, y)?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Backward { cpu, dy, .. } = pass;
        let Shape { lengths, bins, channels } = pass.shape;
        if let Some(dx) = pass.dx {
            average_pool_backward(
                cpu,
                self.window,
                self.average,
                lengths,
                *bins,
                *channels,
                dy,
                dx,
            )?;
        }
        Ok(())
    }
}

/// The mean of each frame over its bins: one bin is left.
#[derive(Clone, Debug)]
pub struct MeanOverBins;

impl<T: Real> Layer<T> for MeanOverBins {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Ok(Shape { bins: 1, ..input.clone() })
    }

    fn describe(&self) -> String {
        "mean over bins".into()
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        mean_over_bins_forward(pass.cpu, pass.x, pass.shape.bins, pass.shape.channels, pass.y)?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        if let Some(dx) = pass.dx {
            mean_over_bins_backward(pass.cpu, pass.dy, pass.shape.bins, pass.shape.channels, dx)?;
        }
        Ok(())
    }
}

/// The mean of each utterance over its frames and bins: one frame of one bin is left.
#[derive(Clone, Debug)]
pub struct GlobalMean;

impl<T: Real> Layer<T> for GlobalMean {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Ok(Shape { lengths: vec![1; input.lengths.len()], bins: 1, channels: input.channels })
    }

    fn describe(&self) -> String {
        "mean over frames and bins".into()
    }

    fn reach(&self) -> Reach {
        Reach { stride: 1, before: None, after: None }
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let Shape { lengths, bins, channels } = pass.shape;
        global_mean_forward(pass.cpu, pass.x, lengths, *bins, *channels, pass.y)?;
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Shape { lengths, bins, channels } = pass.shape;
        if let Some(dx) = pass.dx {
            global_mean_backward(pass.cpu, pass.dy, lengths, *bins, *channels, dx)?;
        }
        Ok(())
    }
}
