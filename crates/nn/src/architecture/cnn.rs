//! `cnn-gru` and `cnn-lstm`: the raw network with which this project began.
//!
//! Book: book/src/convolution.md

use labyrinth_kernels::Real;
use labyrinth_kernels::convolution::Convolution;
use serde::{Deserialize, Serialize};

use super::Layers;
use super::recurrent::{
    LARGEST_WIDTH, MOST_LAYERS, Recurrent, RecurrentStack, is_false, is_zero, recurrent_stack,
};
use crate::error::NnError;
use crate::layers::{BatchNorm, ConvolutionLayer, Relu};
use crate::sequence::Sequence;
use crate::shape::Shape;

/// Convolutions, then recurrent layers, after Deep Speech 2 (Amodei et al. 2016).
///
/// ```text
/// features [frames, bins]
///   → (convolution → batch norm → ReLU) for each of `convolutions`
///   → linear to `projection` → layer norm → dropout
///   → (GRU or LSTM → dropout) × `recurrent_layers`
///   → (lookahead convolution over `lookahead` frames)
///   → linear to the alphabet: logits [frames', labels]
/// ```
///
/// **What it hears of the future.** Without `bidirectional` the model runs in a stream. Each convolution is
/// centred on its frame, in streams as offline: it waits for half a kernel of frames, a few hundredths of a
/// second in all, and `lookahead` for as many as it says; [`ModelOptions::reach`](super::ModelOptions::reach)
/// adds them up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct CnnOptions {
    /// `"cnn-gru"` or `"cnn-lstm"`.
    pub architecture: CnnName,
    /// The convolutions, first to last.
    pub convolutions: Vec<ConvolutionOptions>,
    /// Width between the convolutions and the recurrent layers.
    pub projection: usize,
    /// The kind of recurrent layer where it is another than the architecture's name says: how models
    /// and recipes of earlier versions asked for an LSTM. See [`CnnOptions::recurrent_kind`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurrent: Option<Recurrent>,
    /// Recurrent layers; `gru-layers` in recipes and models of earlier versions.
    #[serde(alias = "gru-layers")]
    pub recurrent_layers: usize,
    /// Width of one direction of a recurrent layer; `gru-hidden` in earlier versions.
    #[serde(alias = "gru-hidden")]
    pub recurrent_hidden: usize,
    /// Whether each recurrent layer also reads from the end. Such a model cannot stream.
    pub bidirectional: bool,
    /// Share of the values that dropout sets to zero in training.
    pub dropout: f64,
    /// Frames of the future that each frame of a model with `bidirectional = false` sees, by a lookahead
    /// convolution behind the recurrent layers: frames at their rate, so that each delays the text by the
    /// time stride times the frame shift.
    #[serde(skip_serializing_if = "is_zero")]
    pub lookahead: usize,
    /// Layer norm before each recurrent layer but the first, which has one in any case.
    #[serde(skip_serializing_if = "is_false")]
    pub recurrent_norm: bool,
    /// Each recurrent layer adds to its input, where both have the same width.
    #[serde(skip_serializing_if = "is_false")]
    pub residual: bool,
}

impl Default for CnnOptions {
    fn default() -> Self {
        Self {
            architecture: CnnName::CnnGru,
            convolutions: vec![ConvolutionOptions::default(), ConvolutionOptions::default()],
            projection: 256,
            recurrent: None,
            recurrent_layers: 3,
            recurrent_hidden: 256,
            bidirectional: true,
            dropout: 0.3,
            lookahead: 0,
            recurrent_norm: false,
            residual: false,
        }
    }
}

/// The names of [`CnnOptions`] in a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CnnName {
    /// With gated recurrent units.
    CnnGru,
    /// With long short-term memories.
    CnnLstm,
}

/// One convolution. Kernels and strides are `[time, frequency]`; the padding is half the kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ConvolutionOptions {
    /// Channels it makes.
    pub channels: usize,
    /// Frames and bins that it sees at once.
    pub kernel: [usize; 2],
    /// Frames and bins between two places.
    pub stride: [usize; 2],
}

impl Default for ConvolutionOptions {
    fn default() -> Self {
        Self { channels: 32, kernel: [3, 3], stride: [2, 2] }
    }
}

impl ConvolutionOptions {
    fn convolution(&self, in_channels: usize) -> Convolution {
        Convolution {
            in_channels,
            out_channels: self.channels,
            kernel: self.kernel,
            stride: self.stride,
            padding: [self.kernel[0] / 2, self.kernel[1] / 2],
        }
    }
}

impl CnnOptions {
    /// The kind of the recurrent layers.
    pub fn recurrent_kind(&self) -> Recurrent {
        self.recurrent.unwrap_or(match self.architecture {
            CnnName::CnnGru => Recurrent::Gru,
            CnnName::CnnLstm => Recurrent::Lstm,
        })
    }

    pub(super) fn in_todays_words(mut self) -> Self {
        self.architecture = match self.recurrent_kind() {
            Recurrent::Gru => CnnName::CnnGru,
            Recurrent::Lstm => CnnName::CnnLstm,
        };
        self.recurrent = None;
        self
    }

    /// How many logit frames come from `frames` feature frames; 0 where there are too few.
    pub(super) fn output_frames(&self, frames: usize) -> usize {
        let layers = self.convolutions.iter();
        layers.fold(frames, |frames, layer| layer.convolution(1).output_frames(frames))
    }

    /// Feature frames between two logit frames.
    pub(super) fn time_stride(&self) -> usize {
        self.convolutions.iter().map(|convolution| convolution.stride[0]).product()
    }

    fn stack(&self) -> RecurrentStack {
        recurrent_stack!(self)
    }

    fn check(&self) -> Result<(), NnError> {
        let refuse = |message: String| Err(NnError::Options(message));
        if (self.architecture, self.recurrent) == (CnnName::CnnLstm, Some(Recurrent::Gru)) {
            return refuse(
                "architecture is cnn-lstm and recurrent is gru; leave recurrent out, the architecture's \
                 name says it"
                    .into(),
            );
        }
        for (index, convolution) in self.convolutions.iter().enumerate() {
            let sizes = [convolution.kernel, convolution.stride].concat();
            if convolution.channels == 0 || sizes.contains(&0) {
                return refuse(format!(
                    "channels, kernel and stride of convolution {index} must be at least 1"
                ));
            }
        }
        let widest = self.convolutions.iter().flat_map(|c| [c.channels, c.kernel[0], c.kernel[1]]);
        if widest.max().unwrap_or(0) > LARGEST_WIDTH || self.convolutions.len() > MOST_LAYERS {
            return refuse(format!(
                "at most {MOST_LAYERS} convolutions of at most {LARGEST_WIDTH} channels, kernel \
                 frames and kernel bins are allowed"
            ));
        }
        self.stack().check()
    }

    /// Builds the layers for features of `dim` values a frame and `labels` labels.
    pub(super) fn build<T: Real>(&self, dim: usize, labels: usize) -> Result<Sequence<T>, NnError> {
        self.check()?;
        let mut layers: Layers<T> = Vec::new();
        let (mut channels, mut bins) = (1, dim);
        for (index, options) in self.convolutions.iter().enumerate() {
            let convolution = options.convolution(channels);
            (channels, bins) = (options.channels, convolution.output_bins(bins));
            if bins == 0 {
                return Err(NnError::Options(format!(
                    "convolution {index} leaves none of the {dim} frequency bins"
                )));
            }
            layers.push((format!("conv.{index}"), Box::new(ConvolutionLayer { convolution })));
            layers.push((format!("norm.{index}"), Box::new(BatchNorm { channels })));
            layers.push((format!("relu.{index}"), Box::new(Relu)));
        }
        self.stack().append(&mut layers, bins * channels, labels);
        let sequence = Sequence::new(layers);
        // Shapes are checked once here, on frames enough for any stride.
        sequence.output_shape(&Shape::features(&[1 << 16], dim))?;
        Ok(sequence)
    }
}
