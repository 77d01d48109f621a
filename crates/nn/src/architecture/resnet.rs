//! `resnet-gru` and `resnet-lstm`: a network for pictures with its final layers chopped off, then recurrent layers.
//!
//! Book: book/src/transfer.md

use labyrinth_kernels::convolution::Convolution;
use labyrinth_kernels::{Real, Window};
use serde::{Deserialize, Serialize};

use super::recurrent::{
    LARGEST_WIDTH, Recurrent, RecurrentStack, is_false, is_zero, recurrent_stack,
};
use super::{Layers, REST};
use crate::error::NnError;
use crate::layer::Layer;
use crate::layers::{
    BatchNorm, BatchNormRelu, BlockConvolution, Colours, MaxPool, MeanOverBins, Picture, Pixels,
    Relu, Residual,
};
use crate::sequence::Sequence;
use crate::shape::Shape;

/// The first layers of a ResNet (He et al. 2016), then recurrent layers.
///
/// ```text
/// features [frames, bins] → picture [frames, bins, 3]
///   → stem: 7×7 convolution, norm, ReLU, 3×3 max pooling
///   → layer1 … layer4, as far as `cut` says: residual blocks
///   → mean over the bins, or all bins side by side (`height`)
///   → projection, recurrent layers, logits, as in every architecture
/// ```
///
/// A picture's height is time here and its width frequency, so that torchvision's kernels are ours as they
/// are; blocks, channels, paddings and the strides over frequency are torchvision's. Strides over time are
/// `time-strides`: torchvision's own would leave a frame in 320 ms of speech, where people say four letters.
/// A stride does not change a weight.
///
/// The names of the tensors are torchvision's, with `body.` and `shortcut.` for the two branches of a block:
/// `layer2.0.body.conv1.weight`, `layer2.0.shortcut.downsample.0.weight`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct ResnetOptions {
    /// `"resnet-gru"` or `"resnet-lstm"`.
    pub architecture: ResnetName,
    /// Layers of the whole network for pictures: 18, 34 or 50.
    pub depth: usize,
    /// The last stage that is kept.
    pub cut: Cut,
    /// Strides over time of the stem's convolution, of its max pooling, and of the first blocks of layer2,
    /// layer3 and layer4; what is kept of them may multiply to 4 at most.
    pub time_strides: [usize; 5],
    /// Channels of the stem; torchvision's networks have 64.
    pub width: usize,
    /// Batch norms of their own, or folded into the convolutions.
    pub norm: ResnetNorm,
    /// What the three colours of the picture show.
    pub colours: Colours,
    /// How a feature becomes a pixel.
    pub pixels: Pixels,
    /// What becomes of the bins that are left.
    pub height: Height,
    /// Width between the picture and the recurrent layers.
    pub projection: usize,
    /// Recurrent layers.
    pub recurrent_layers: usize,
    /// Width of one direction of a recurrent layer.
    pub recurrent_hidden: usize,
    /// Whether each recurrent layer also reads from the end. Such a model cannot stream.
    pub bidirectional: bool,
    /// Share of the values that dropout sets to zero in training.
    pub dropout: f64,
    /// Frames of the future that each frame of a model with `bidirectional = false` sees, by a lookahead
    /// convolution behind the recurrent layers, at their rate.
    #[serde(skip_serializing_if = "is_zero")]
    pub lookahead: usize,
    /// Layer norm before each recurrent layer but the first, which has one in any case.
    #[serde(skip_serializing_if = "is_false")]
    pub recurrent_norm: bool,
    /// Each recurrent layer adds to its input, where both have the same width.
    #[serde(skip_serializing_if = "is_false")]
    pub residual: bool,
}

impl Default for ResnetOptions {
    fn default() -> Self {
        Self {
            architecture: ResnetName::ResnetGru,
            depth: 18,
            cut: Cut::Layer2,
            time_strides: [2, 2, 1, 1, 1],
            width: 64,
            norm: ResnetNorm::Batch,
            colours: Colours::default(),
            pixels: Pixels::default(),
            height: Height::Mean,
            projection: 256,
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

/// The names of [`ResnetOptions`] in a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResnetName {
    /// With gated recurrent units.
    ResnetGru,
    /// With long short-term memories.
    ResnetLstm,
}

/// The stages of a ResNet, first to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// The convolution and the max pooling before all blocks.
    Stem,
    /// The blocks that keep the stem's size.
    Layer1,
    /// Half the bins, twice the channels.
    Layer2,
    /// Once more.
    Layer3,
    /// Once more.
    Layer4,
}

/// Where the normalisation of a ResNet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResnetNorm {
    /// Batch norm behind each convolution, which has no bias then.
    Batch,
    /// No norm, but a bias: what is left of a trained network whose batch norms were multiplied into its
    /// convolutions. From scratch the last convolution of each block begins with zeros, so that the block
    /// begins as its shortcut and nothing grows from block to block (Zhang et al. 2019, "Fixup").
    Folded,
}

/// What becomes of the bins behind the last stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Height {
    /// Their mean: a frame of as many values as there are channels, which knows no pitch.
    Mean,
    /// All of them side by side: a frame that knows where in the spectrum something was.
    Flatten,
}

const STAGES: [(Cut, &str); 5] = [
    (Cut::Stem, "stem"),
    (Cut::Layer1, "layer1"),
    (Cut::Layer2, "layer2"),
    (Cut::Layer3, "layer3"),
    (Cut::Layer4, "layer4"),
];

/// The largest time stride: with more, fast speech has more letters than frames.
const LARGEST_STRIDE: usize = 4;

impl Cut {
    /// Its name in a recipe.
    pub fn name(self) -> &'static str {
        STAGES[self as usize].1
    }
}

/// One convolution of a block: the names of itself and of its norm, and its description.
struct Part {
    convolution: Convolution,
    names: [&'static str; 2],
}

impl ResnetOptions {
    /// Blocks of each of the four layers, and whether they are bottlenecks.
    fn blocks(&self) -> Result<([usize; 4], bool), NnError> {
        // Table 1 of He et al. 2016.
        match self.depth {
            18 => Ok(([2, 2, 2, 2], false)),
            34 => Ok(([3, 4, 6, 3], false)),
            50 => Ok(([3, 4, 6, 3], true)),
            other => Err(NnError::Options(format!("depth must be 18, 34 or 50, not {other}"))),
        }
    }

    /// The kind of the recurrent layers.
    pub fn recurrent_kind(&self) -> Recurrent {
        match self.architecture {
            ResnetName::ResnetGru => Recurrent::Gru,
            ResnetName::ResnetLstm => Recurrent::Lstm,
        }
    }

    /// The strides over time that are kept, in the order in which they come.
    fn kept_strides(&self) -> &[usize] {
        let kept = match self.cut {
            Cut::Stem | Cut::Layer1 => 2,
            Cut::Layer2 => 3,
            Cut::Layer3 => 4,
            Cut::Layer4 => 5,
        };
        &self.time_strides[..kept]
    }

    /// How many logit frames come from `frames` feature frames; 0 where there are too few.
    pub(super) fn output_frames(&self, frames: usize) -> usize {
        // Every window has an odd kernel and half of it as padding: n frames become ⌈n / stride⌉.
        self.kept_strides().iter().fold(frames, |frames, &stride| frames.div_ceil(stride.max(1)))
    }

    /// Feature frames between two logit frames.
    pub(super) fn time_stride(&self) -> usize {
        self.kept_strides().iter().product()
    }

    /// The parts that can train at rates of their own, first to last.
    pub(crate) fn stages(&self) -> Vec<&'static str> {
        let kept = STAGES.iter().filter(|(stage, _)| *stage <= self.cut);
        kept.map(|(_, name)| *name).chain([REST]).collect()
    }

    /// The stage to which a layer or tensor belongs, by its name.
    pub(crate) fn stage_of(name: &str) -> &'static str {
        let first = name.split('.').next().unwrap_or(name);
        if ["picture", "conv1", "bn1", "conv1_relu", "maxpool"].contains(&first) {
            return STAGES[0].1;
        }
        STAGES.iter().find(|(_, stage)| *stage == first).map_or(REST, |(_, stage)| stage)
    }

    fn stack(&self) -> RecurrentStack {
        recurrent_stack!(self)
    }

    fn check(&self) -> Result<(), NnError> {
        let refuse = |message: String| Err(NnError::Options(message));
        self.blocks()?;
        if self.time_strides.contains(&0) {
            return refuse("each of the time-strides must be at least 1".into());
        }
        let stride = self.kept_strides().iter().fold(1usize, |all, &one| all.saturating_mul(one));
        if stride > LARGEST_STRIDE {
            return refuse(format!(
                "time-strides {:?} up to {} multiply to {stride}, and at most {LARGEST_STRIDE} feature \
                 frames may become one; lower some of them",
                self.time_strides,
                self.cut.name()
            ));
        }
        if self.width == 0 || self.width > LARGEST_WIDTH {
            return refuse(format!("width must lie from 1 to {LARGEST_WIDTH}"));
        }
        self.stack().check()
    }

    /// Appends a convolution and its norm, rectified behind it if wanted.
    fn append<T: Real>(&self, layers: &mut Layers<T>, part: Part, bound: Option<f64>, relu: bool) {
        let Part { convolution, names: [name, norm] } = part;
        let channels = convolution.out_channels;
        let separate = self.norm == ResnetNorm::Batch;
        let mut layer = BlockConvolution::he(convolution, !separate);
        layer.bound = bound.unwrap_or(layer.bound);
        layers.push((name.into(), Box::new(layer)));
        match (separate, relu) {
            (true, true) => layers.push((norm.into(), Box::new(BatchNormRelu { channels }))),
            (true, false) => layers.push((norm.into(), Box::new(BatchNorm { channels }))),
            (false, true) => layers.push((format!("{name}_relu"), Box::new(Relu))),
            (false, false) => {}
        }
    }

    /// A residual block: `stride` is that of its one convolution that has any.
    fn block<T: Real>(
        &self,
        bottleneck: bool,
        inputs: usize,
        channels: usize,
        stride: [usize; 2],
    ) -> Residual<T> {
        let window = |in_channels, out_channels, size: usize, stride| Convolution {
            in_channels,
            out_channels,
            kernel: [size; 2],
            stride,
            padding: [size / 2; 2],
        };
        let (outputs, convolutions) = if bottleneck {
            // The stride is the 3×3 convolution's, as in torchvision ("v1.5"); He et al. have it in the first.
            let wide = 4 * channels;
            let three = [
                window(inputs, channels, 1, [1, 1]),
                window(channels, channels, 3, stride),
                window(channels, wide, 1, [1, 1]),
            ];
            (wide, three.to_vec())
        } else {
            let two = [window(inputs, channels, 3, stride), window(channels, channels, 3, [1, 1])];
            (channels, two.to_vec())
        };
        let names = [["conv1", "bn1"], ["conv2", "bn2"], ["conv3", "bn3"]];
        let mut body: Layers<T> = Vec::new();
        let last = convolutions.len() - 1;
        for (index, (convolution, names)) in convolutions.into_iter().zip(names).enumerate() {
            let zeros = index == last && self.norm == ResnetNorm::Folded;
            let part = Part { convolution, names };
            self.append(&mut body, part, zeros.then_some(0.0), index < last);
        }
        let mut shortcut: Layers<T> = Vec::new();
        if stride != [1, 1] || inputs != outputs {
            let convolution = window(inputs, outputs, 1, stride);
            let names = ["downsample.0", "downsample.1"];
            self.append(&mut shortcut, Part { convolution, names }, None, false);
        }
        let [body, shortcut] = [body, shortcut].map(Sequence::new);
        Residual { body, shortcut, relu: true }
    }

    /// The layers up to the cut.
    fn trunk_layers<T: Real>(&self) -> Result<Layers<T>, NnError> {
        self.check()?;
        let (blocks, bottleneck) = self.blocks()?;
        let [stem, pool, later @ ..] = self.time_strides;
        let mut layers: Layers<T> = Vec::new();
        let picture = Picture { colours: self.colours, pixels: self.pixels };
        layers.push(("picture".into(), Box::new(picture)));
        let convolution = Convolution {
            in_channels: 3,
            out_channels: self.width,
            kernel: [7, 7],
            stride: [stem, 2],
            padding: [3, 3],
        };
        self.append(&mut layers, Part { convolution, names: ["conv1", "bn1"] }, None, true);
        let window = Window { kernel: [3, 3], stride: [pool, 2], padding: [1, 1] };
        layers.push(("maxpool".into(), Box::new(MaxPool { window })));
        let mut inputs = self.width;
        let strides = [[1, 1], [later[0], 2], [later[1], 2], [later[2], 2]];
        for (index, ((&(stage, name), count), stride)) in
            STAGES[1..].iter().zip(blocks).zip(strides).enumerate()
        {
            if stage > self.cut {
                break;
            }
            let channels = self.width << index;
            for block in 0..count {
                let stride = if block == 0 { stride } else { [1, 1] };
                let layer = self.block(bottleneck, inputs, channels, stride);
                inputs = if bottleneck { 4 * channels } else { channels };
                layers.push((format!("{name}.{block}"), Box::new(layer)));
            }
        }
        Ok(layers)
    }

    /// The network for pictures alone, from features to the activations behind the cut.
    pub fn trunk<T: Real>(&self) -> Result<Sequence<T>, NnError> {
        Ok(Sequence::new(self.trunk_layers()?))
    }

    /// Builds the layers for features of `dim` values a frame and `labels` labels.
    pub(super) fn build<T: Real>(&self, dim: usize, labels: usize) -> Result<Sequence<T>, NnError> {
        let mut layers = self.trunk_layers()?;
        // Shapes are checked once here, on frames enough for any stride.
        let trunk: Sequence<T> = self.trunk()?;
        let shape = Sequence::output_shape(&trunk, &Shape::features(&[1 << 16], dim))?;
        let width = match self.height {
            Height::Flatten => shape.width(),
            Height::Mean => {
                let mean: Box<dyn Layer<T>> = Box::new(MeanOverBins);
                layers.push(("height".into(), mean));
                shape.channels
            }
        };
        self.stack().append(&mut layers, width, labels);
        Ok(Sequence::new(layers))
    }
}
