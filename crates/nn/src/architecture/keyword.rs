//! `keyword`: depthwise-separable convolutions for a few words on a small device.
//!
//! Book: book/src/convolution.md

use labyrinth_kernels::convolution::Convolution;
use labyrinth_kernels::{DepthwiseConvolution, Real};
use serde::{Deserialize, Serialize};

use super::Layers;
use super::recurrent::{LARGEST_WIDTH, MOST_LAYERS};
use crate::error::NnError;
use crate::layers::{BatchNormRelu, ConvolutionLayer, DepthwiseLayer, Dropout, Linear};
use crate::sequence::Sequence;
use crate::shape::Shape;

/// The network of Zhang et al. 2017 ("Hello Edge: Keyword Spotting on Microcontrollers", DS-CNN), a score for
/// each word and frame.
///
/// ```text
/// features [frames, bins]
///   → convolution → norm → ReLU                                    [frames', bins', channels]
///   → (depthwise convolution → norm → ReLU → 1×1 convolution → norm → ReLU) × `blocks`
///   → depthwise convolution over all bins that are left → norm → ReLU → dropout   [frames', channels]
///   → linear to the alphabet: logits [frames', labels]
/// ```
///
/// A depthwise and a 1×1 convolution together have some ninth of the weights of a convolution of the same
/// size (Howard et al. 2017, "MobileNets", section 3.1). Two things differ from the paper. It averages over the
/// bins; here each channel weighs them, since where in the spectrum something was tells a word. And it
/// averages over the clip, which must then be cut to one second around the word; here each frame has its
/// own scores, so that the model listens to a stream, and CTC teaches it from the word alone, without
/// anybody saying when it was said. What a frame sees is finite on both sides, `kernel` and `block-kernel` say
/// how far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeywordOptions {
    /// `"keyword"`.
    pub architecture: KeywordName,
    /// Channels of every layer.
    pub channels: usize,
    /// Frames and bins that the first convolution sees; odd, so that its padding is the same on both sides.
    pub kernel: [usize; 2],
    /// Frames and bins between two of its places.
    pub stride: [usize; 2],
    /// Depthwise-separable blocks.
    pub blocks: usize,
    /// Frames and bins that the depthwise convolution of a block sees; odd.
    pub block_kernel: [usize; 2],
    /// Blocks that halve the bins, first ones first.
    pub halvings: usize,
    /// Share of the values that dropout sets to zero in training.
    pub dropout: f64,
    /// Whether each recording holds exactly one word, as in Speech Commands: then the most probable one is
    /// given, and never none or two. For streams and for more words: false.
    pub one_word: bool,
}

/// The name of [`KeywordOptions`] in a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeywordName {
    /// The only one.
    Keyword,
}

impl Default for KeywordOptions {
    fn default() -> Self {
        Self {
            architecture: KeywordName::Keyword,
            channels: 64,
            kernel: [9, 5],
            stride: [2, 2],
            blocks: 5,
            block_kernel: [5, 3],
            halvings: 1,
            dropout: 0.2,
            one_word: true,
        }
    }
}

/// Half of an odd kernel before and behind.
fn half(kernel: [usize; 2]) -> [usize; 2] {
    kernel.map(|size| size / 2)
}

impl KeywordOptions {
    /// How many logit frames come from `frames` feature frames.
    pub(super) fn output_frames(&self, frames: usize) -> usize {
        // Odd kernels with half of them as padding: n frames become ⌈n / stride⌉.
        frames.div_ceil(self.stride[0].max(1))
    }

    /// Feature frames between two logit frames.
    pub(super) fn time_stride(&self) -> usize {
        self.stride[0]
    }

    fn check(&self) -> Result<(), NnError> {
        let refuse = |message: String| Err(NnError::Options(message));
        let sizes = [self.kernel, self.block_kernel].concat();
        if sizes.iter().any(|size| size.is_multiple_of(2)) {
            return refuse("kernel and block-kernel must be odd".into());
        }
        if self.channels == 0 || self.stride.contains(&0) {
            return refuse("channels and stride must be at least 1".into());
        }
        let widest = sizes.into_iter().chain(self.stride).chain([self.channels]);
        if widest.max() > Some(LARGEST_WIDTH) || self.blocks > MOST_LAYERS {
            return refuse(format!(
                "at most {MOST_LAYERS} blocks, {LARGEST_WIDTH} channels, kernel frames and kernel bins \
                 are allowed"
            ));
        }
        if self.halvings > self.blocks {
            return refuse(format!(
                "{} of {} blocks cannot halve the bins; lower halvings",
                self.halvings, self.blocks
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse(format!("dropout must lie from 0 to below 1, not {}", self.dropout));
        }
        Ok(())
    }

    /// Builds the layers for features of `dim` values a frame and `labels` labels.
    pub(super) fn build<T: Real>(&self, dim: usize, labels: usize) -> Result<Sequence<T>, NnError> {
        self.check()?;
        let channels = self.channels;
        let mut layers: Layers<T> = Vec::new();
        let norm = |layers: &mut Layers<T>, name: String| {
            layers.push((name, Box::new(BatchNormRelu { channels })));
        };
        let mut bins = dim;
        let first = Convolution {
            in_channels: 1,
            out_channels: channels,
            kernel: self.kernel,
            stride: self.stride,
            padding: half(self.kernel),
        };
        bins = first.output_bins(bins);
        layers.push(("conv".into(), Box::new(ConvolutionLayer { convolution: first })));
        norm(&mut layers, "norm".into());
        for block in 0..self.blocks {
            let depthwise = DepthwiseConvolution {
                channels,
                kernel: self.block_kernel,
                stride: [1, if block < self.halvings { 2 } else { 1 }],
                padding: half(self.block_kernel),
            };
            bins = depthwise.window().output_bins(bins);
            let pointwise = Convolution {
                in_channels: channels,
                out_channels: channels,
                kernel: [1, 1],
                stride: [1, 1],
                padding: [0, 0],
            };
            let name = |part: &str| format!("block.{block}.{part}");
            layers.push((name("depthwise"), Box::new(DepthwiseLayer { convolution: depthwise })));
            norm(&mut layers, name("depthwise_norm"));
            let pointwise = ConvolutionLayer { convolution: pointwise };
            layers.push((name("pointwise"), Box::new(pointwise)));
            norm(&mut layers, name("pointwise_norm"));
        }
        let spectrum = DepthwiseConvolution {
            channels,
            kernel: [1, bins.max(1)],
            stride: [1, 1],
            padding: [0, 0],
        };
        layers.push(("spectrum".into(), Box::new(DepthwiseLayer { convolution: spectrum })));
        norm(&mut layers, "spectrum_norm".into());
        if self.dropout > 0.0 {
            let dropout = Dropout { rate: self.dropout, salt: 0 };
            layers.push(("dropout.0".into(), Box::new(dropout)));
        }
        layers.push(("output".into(), Box::new(Linear { input: channels, output: labels })));
        let sequence = Sequence::new(layers);
        // Shapes are checked once here, on frames enough for any stride.
        sequence.output_shape(&Shape::features(&[1 << 16], dim))?;
        Ok(sequence)
    }
}
