//! `[model]` of a recipe, and the network it describes.

use labyrinth_kernels::Real;
use labyrinth_kernels::convolution::Convolution;
use labyrinth_kernels::gru::GruVariant;
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::layer::Layer;
use crate::layers::{
    BatchNorm, ConvolutionLayer, Dropout, GruLayer, LayerNorm, Linear, LstmLayer, Relu,
};
use crate::sequence::Sequence;
use crate::shape::Shape;

/// The architectures there are, told apart by `architecture = "…"`.
///
/// Each architecture's options hold that name themselves, as a type with one value, so that a
/// recipe is read straight into them and a mistake is shown on its own line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ModelOptions {
    /// Convolutions, then recurrent layers, then one score per label and frame.
    CnnGru(CnnGruOptions),
}

/// The raw CNN-GRU with which this project began, after Deep Speech 2 (Amodei et al. 2016).
///
/// ```text
/// features [frames, bins]
///   → (convolution → batch norm → ReLU) for each of `convolutions`
///   → linear to `projection` → layer norm → dropout
///   → (GRU or LSTM → dropout) × `recurrent_layers`
///   → linear to the alphabet: logits [frames', labels]
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct CnnGruOptions {
    /// `"cnn-gru"`.
    pub architecture: CnnGruName,
    /// The convolutions, first to last.
    pub convolutions: Vec<ConvolutionOptions>,
    /// Width between the convolutions and the recurrent layers.
    pub projection: usize,
    /// What the recurrent layers are.
    pub recurrent: Recurrent,
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
}

impl Default for CnnGruOptions {
    fn default() -> Self {
        Self {
            architecture: CnnGruName::CnnGru,
            convolutions: vec![ConvolutionOptions::default(), ConvolutionOptions::default()],
            projection: 256,
            recurrent: Recurrent::Gru,
            recurrent_layers: 3,
            recurrent_hidden: 256,
            bidirectional: true,
            dropout: 0.3,
        }
    }
}

/// The name of [`CnnGruOptions`] in a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CnnGruName {
    /// The only value.
    #[serde(rename = "cnn-gru")]
    CnnGru,
}

/// The kinds of recurrent layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recurrent {
    /// The gated recurrent unit, reset after the product as in cuDNN and PyTorch.
    #[default]
    Gru,
    /// The long short-term memory: a third more weights and work than a GRU of its width.
    Lstm,
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

impl ModelOptions {
    /// Builds the layers for features of `dim` values a frame and `labels` labels.
    pub fn build<T: Real>(&self, dim: usize, labels: usize) -> Result<Sequence<T>, NnError> {
        match self {
            Self::CnnGru(options) => options.build(dim, labels),
        }
    }

    /// How many logit frames come from `frames` feature frames; 0 where there are too few.
    pub fn output_frames(&self, frames: usize) -> usize {
        match self {
            Self::CnnGru(options) => options
                .convolutions
                .iter()
                .fold(frames, |frames, layer| layer.convolution(1).output_frames(frames)),
        }
    }

    /// Feature frames between two logit frames.
    pub fn time_stride(&self) -> usize {
        match self {
            Self::CnnGru(options) => options.convolutions.iter().map(|c| c.stride[0]).product(),
        }
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

const LARGEST_WIDTH: usize = 4096;
const MOST_LAYERS: usize = 32;

impl CnnGruOptions {
    fn check(&self) -> Result<(), NnError> {
        let refuse = |message: String| Err(NnError::Options(message));
        for (index, convolution) in self.convolutions.iter().enumerate() {
            let sizes = [convolution.kernel, convolution.stride].concat();
            if convolution.channels == 0 || sizes.contains(&0) {
                return refuse(format!(
                    "channels, kernel and stride of convolution {index} must be at least 1"
                ));
            }
        }
        if self.projection == 0 || self.recurrent_layers == 0 || self.recurrent_hidden == 0 {
            return refuse(
                "projection, recurrent-layers (gru-layers) and recurrent-hidden (gru-hidden) must be \
                 at least 1"
                    .into(),
            );
        }
        // Far beyond what a CPU trains; without a limit a slip of the finger asks for all memory.
        let widest = self.convolutions.iter().flat_map(|c| [c.channels, c.kernel[0], c.kernel[1]]);
        let widest = widest.chain([self.projection, self.recurrent_hidden]).max().unwrap_or(0);
        if widest > LARGEST_WIDTH
            || self.recurrent_layers.max(self.convolutions.len()) > MOST_LAYERS
        {
            return refuse(format!(
                "at most {LARGEST_WIDTH} channels, kernel frames or hidden values and {MOST_LAYERS} \
                 layers of a kind are allowed"
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse(format!("dropout must lie from 0 to below 1, not {}", self.dropout));
        }
        Ok(())
    }

    fn build<T: Real>(&self, dim: usize, labels: usize) -> Result<Sequence<T>, NnError> {
        self.check()?;
        let mut layers: Vec<(String, Box<dyn Layer<T>>)> = Vec::new();
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
        // Dropout layers that drop nothing are left out, to save their copy.
        let dropout = |layers: &mut Vec<(String, Box<dyn Layer<T>>)>, index: usize| {
            if self.dropout > 0.0 {
                let layer = Dropout { rate: self.dropout, salt: index as u64 };
                layers.push((format!("dropout.{index}"), Box::new(layer)));
            }
        };
        let projection = Linear { input: bins * channels, output: self.projection };
        layers.push(("projection".into(), Box::new(projection)));
        layers.push(("projection_norm".into(), Box::new(LayerNorm { width: self.projection })));
        dropout(&mut layers, 0);
        let mut width = self.projection;
        for index in 0..self.recurrent_layers {
            let (input, hidden, bidirectional) = (width, self.recurrent_hidden, self.bidirectional);
            let (name, layer): (&str, Box<dyn Layer<T>>) = match self.recurrent {
                Recurrent::Gru => {
                    let variant = GruVariant::ResetAfter;
                    ("gru", Box::new(GruLayer { input, hidden, bidirectional, variant }))
                }
                Recurrent::Lstm => ("lstm", Box::new(LstmLayer { input, hidden, bidirectional })),
            };
            layers.push((format!("{name}.{index}"), layer));
            width = hidden * if bidirectional { 2 } else { 1 };
            dropout(&mut layers, index + 1);
        }
        layers.push(("output".into(), Box::new(Linear { input: width, output: labels })));
        let sequence = Sequence::new(layers);
        // Shapes are checked once here, on frames enough for any stride.
        sequence.output_shape(&Shape::features(&[1 << 16], dim))?;
        Ok(sequence)
    }
}
