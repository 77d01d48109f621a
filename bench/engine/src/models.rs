//! The models of the comparison, by name. `peer.py` builds each of them in PyTorch.

use labyrinth_kernels::convolution::Convolution;
use labyrinth_kernels::gru::GruVariant;
use labyrinth_kernels::{Cpu, Window};
use labyrinth_nn::layers::{
    BatchNorm, BatchNormRelu, ConvolutionLayer, GruLayer, Linear, LstmLayer, MaxPool, Relu,
    Residual,
};
use labyrinth_nn::{Layer, Sequence, Shape};

use crate::case::{Case, CtcCase, Failure, ProductCase, SequenceCase, Task, Work, normal, targets};
use crate::profile::SharedClock;

/// Every model there is; `compare.py` leaves out what is not listed.
pub const NAMES: &[&str] = &[
    "product",
    "m1",
    "m1l",
    "m1-inference",
    "m2",
    "m2-chain",
    "convolutions",
    "gru",
    "lstm",
    "ctc",
];

/// Utterances of a training batch.
const BATCH: usize = 16;
/// Pictures of a batch of M2.
const PICTURES: usize = 8;
/// Feature frames of each.
const FRAMES: usize = 400;
/// Feature frames of ten seconds.
const TEN_SECONDS: usize = 1000;
/// Feature bins.
const BINS: usize = 80;
/// Frames behind the convolutions.
const OUT_FRAMES: usize = FRAMES / 4;
/// Width of the projection and of one direction of a recurrent layer.
const HIDDEN: usize = 256;
/// Labels with the blank.
const LABELS: usize = 32;
/// Labels of a target.
const TARGET: usize = 30;

/// Threads that the comparison gives a model.
pub fn threads(model: &str) -> usize {
    if model == "m1-inference" { 1 } else { 2 }
}

/// Builds a model.
pub fn build(name: &str, cpu: Cpu) -> Result<Box<dyn Case>, Failure> {
    let train = || Task::Train { targets: targets("targets", BATCH, TARGET, LABELS) };
    // What stands first in a model has no use for the gradient of its input.
    let gradients = |count, to_input| Task::Gradients { dy: normal("dy", count), to_input };
    let features = |batch, frames| Shape::features(&vec![frames; batch], BINS);
    let case = |layers: Vec<Work>, shape: Shape, task| -> Result<SequenceCase, Failure> {
        let x = normal("x", shape.len());
        SequenceCase::new(cpu, layers, shape, x, task)
    };
    let sequence = |layers, shape, task| -> Result<Box<dyn Case>, Failure> {
        Ok(Box::new(case(layers, shape, task)?))
    };
    let stack = |cell| {
        let shape = Shape { lengths: vec![OUT_FRAMES; BATCH], bins: 1, channels: HIDDEN };
        let task = gradients(BATCH * OUT_FRAMES * 2 * HIDDEN, true);
        sequence(recurrent(cell, BATCH * OUT_FRAMES), shape, task)
    };
    match name {
        "m1" => sequence(m1(Cell::Gru, BATCH, FRAMES), features(BATCH, FRAMES), train()),
        "m1l" => sequence(m1(Cell::Lstm, BATCH, FRAMES), features(BATCH, FRAMES), train()),
        "m1-inference" => {
            sequence(m1(Cell::Gru, 1, TEN_SECONDS), features(1, TEN_SECONDS), Task::Infer)
        }
        "convolutions" => {
            let task = gradients(BATCH * OUT_FRAMES * BINS / 4 * 32, false);
            sequence(convolutions(BATCH, FRAMES), features(BATCH, FRAMES), task)
        }
        "gru" => stack(Cell::Gru),
        "lstm" => stack(Cell::Lstm),
        "m2" => {
            let shape = Shape { lengths: vec![FRAMES; PICTURES], bins: BINS, channels: 3 };
            let task = gradients(PICTURES * FRAMES / 16 * BINS / 16 * 256, false);
            Ok(Box::new(case(m2(PICTURES, FRAMES), shape, task)?.without_biases()))
        }
        "m2-chain" => {
            // What the stem makes of M2's pictures: [8·100, 20, 64].
            let extent =
                Extent { batch: PICTURES, frames: FRAMES / 4, bins: BINS / 4, channels: 64 };
            let shape = Shape { lengths: vec![FRAMES / 4; PICTURES], bins: BINS / 4, channels: 64 };
            let task = gradients(PICTURES * FRAMES / 16 * BINS / 16 * 256, true);
            Ok(Box::new(case(residual_chain(extent), shape, task)?.without_biases()))
        }
        "ctc" => {
            let logits = normal("logits", BATCH * OUT_FRAMES * LABELS);
            Ok(Box::new(CtcCase {
                cpu,
                lengths: vec![OUT_FRAMES; BATCH],
                labels: LABELS,
                gradient: vec![0.0; logits.len()],
                logits,
                targets: targets("targets", BATCH, TARGET, LABELS),
            }))
        }
        "product" => Ok(Box::new(ProductCase::new(cpu, 2048))),
        _ => Err(format!("there is no model '{name}'; there are {}", NAMES.join(", ")).into()),
    }
}

/// Extent of the activations on the way through a model.
#[derive(Clone, Copy)]
struct Extent {
    batch: usize,
    frames: usize,
    bins: usize,
    channels: usize,
}

impl Extent {
    /// A convolution to `channels` with "same" padding, from this extent to the one it leaves.
    fn convolve(&mut self, name: &str, channels: usize, kernel: usize, stride: usize) -> Work {
        let convolution = Convolution {
            in_channels: self.channels,
            out_channels: channels,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
        };
        self.frames = convolution.output_frames(self.frames);
        self.bins = convolution.output_bins(self.bins);
        self.channels = channels;
        let positions = self.batch * self.frames * self.bins;
        let forward = 2.0 * (positions * convolution.weight_len()) as f64;
        Work::new(name, forward, ConvolutionLayer { convolution })
    }

    fn norm(&self, name: &str) -> Work {
        Work::new(name, 0.0, BatchNorm { channels: self.channels })
    }

    fn norm_relu(&self, name: &str) -> Work {
        Work::new(name, 0.0, BatchNormRelu { channels: self.channels })
    }
}

/// conv 1→32, ReLU, conv 32→32, ReLU, each 3×3 with stride 2.
fn convolutions(batch: usize, frames: usize) -> Vec<Work> {
    let mut extent = Extent { batch, frames, bins: BINS, channels: 1 };
    let mut layers = Vec::new();
    for index in 0..2 {
        layers.push(extent.convolve(&format!("conv.{index}"), 32, 3, 2));
        layers.push(Work::new(format!("relu.{index}"), 0.0, Relu));
    }
    layers
}

fn linear(name: &str, rows: usize, input: usize, output: usize) -> Work {
    Work::new(name, 2.0 * (rows * input * output) as f64, Linear { input, output })
}

/// Which recurrent cell.
#[derive(Clone, Copy)]
enum Cell {
    Gru,
    Lstm,
}

/// Three bidirectional recurrent layers.
fn recurrent(cell: Cell, rows: usize) -> Vec<Work> {
    let (hidden, bidirectional) = (HIDDEN, true);
    let layer = |index: usize| {
        let input = if index == 0 { HIDDEN } else { 2 * HIDDEN };
        let forward = |gates| 2.0 * 2.0 * (rows * gates * HIDDEN * (input + HIDDEN)) as f64;
        match cell {
            Cell::Gru => {
                let variant = GruVariant::ResetAfter;
                let layer = GruLayer { input, hidden, bidirectional, variant };
                Work::new(format!("gru.{index}"), forward(3), layer)
            }
            Cell::Lstm => {
                let layer = LstmLayer { input, hidden, bidirectional };
                Work::new(format!("lstm.{index}"), forward(4), layer)
            }
        }
    };
    (0..3).map(layer).collect()
}

/// The 3×3 convolutions of ResNet-18's layers 1 to 3, each with batch norm and ReLU, without the
/// shortcuts: M2's bulk.
fn residual_chain(mut extent: Extent) -> Vec<Work> {
    let mut layers = Vec::new();
    let widths = [64, 64, 64, 64, 128, 128, 128, 128, 256, 256, 256, 256];
    for (index, channels) in widths.into_iter().enumerate() {
        let stride = if channels == extent.channels { 1 } else { 2 };
        layers.push(extent.convolve(&format!("conv.{index}"), channels, 3, stride));
        layers.push(extent.norm_relu(&format!("norm.{index}")));
    }
    layers
}

/// A branch of a residual block; its clocks go to `inner`.
fn branch(block: &str, works: Vec<Work>, inner: &mut [Vec<SharedClock>; 2]) -> Sequence<f32> {
    let mut backward = Vec::new();
    let mut steps = Vec::new();
    for mut work in works {
        let name = work.name.clone();
        work.name = format!("{block}.{name}");
        let twice = 2.0 * work.forward;
        let (layer, [ahead, back]) = work.timed(twice);
        inner[0].push(ahead);
        backward.push(back);
        steps.push((name, Box::new(layer) as Box<dyn Layer<f32>>));
    }
    inner[1].extend(backward.into_iter().rev());
    Sequence::new(steps)
}

/// The basic block of He et al. (2016), with the names of its published weights.
fn basic_block(name: &str, extent: &mut Extent, channels: usize, stride: usize) -> Work {
    let mut inner = [Vec::new(), Vec::new()];
    let mut shortcut = Vec::new();
    if stride != 1 || channels != extent.channels {
        let mut extent = *extent;
        shortcut.push(extent.convolve("0", channels, 1, stride));
        shortcut.push(extent.norm("1"));
    }
    let body = vec![
        extent.convolve("conv1", channels, 3, stride),
        extent.norm_relu("bn1"),
        extent.convolve("conv2", channels, 3, 1),
        extent.norm("bn2"),
    ];
    let forward = body.iter().chain(&shortcut).map(|work| work.forward).sum();
    let body = branch(name, body, &mut inner);
    let shortcut = branch(&format!("{name}.shortcut"), shortcut, &mut inner);
    let mut block = Work::new(name, forward, Residual { body, shortcut, relu: true });
    block.inner = inner;
    block
}

/// ResNet-18's stem and layers 1 to 3.
fn m2(batch: usize, frames: usize) -> Vec<Work> {
    let mut extent = Extent { batch, frames, bins: BINS, channels: 3 };
    let window = Window { kernel: [3; 2], stride: [2; 2], padding: [1; 2] };
    let mut layers = vec![extent.convolve("conv1", 64, 7, 2), extent.norm_relu("bn1")];
    extent.frames = window.output_frames(extent.frames);
    extent.bins = window.output_bins(extent.bins);
    layers.push(Work::new("pool", 0.0, MaxPool { window }));
    for (layer, channels) in [(1, 64), (2, 128), (3, 256)] {
        for block in 0..2 {
            let stride = if block == 0 && layer > 1 { 2 } else { 1 };
            let name = format!("layer{layer}.{block}");
            layers.push(basic_block(&name, &mut extent, channels, stride));
        }
    }
    layers
}

/// The CNN-RNN: convolutions, projection, recurrent stack, output.
fn m1(cell: Cell, batch: usize, frames: usize) -> Vec<Work> {
    let rows = batch * frames.div_ceil(4);
    let mut layers = convolutions(batch, frames);
    layers.push(linear("projection", rows, BINS / 4 * 32, HIDDEN));
    layers.extend(recurrent(cell, rows));
    layers.push(linear("output", rows, 2 * HIDDEN, LABELS));
    layers
}
