//! The models of the comparison, by name. `peer.py` builds each of them in PyTorch.

use labyrinth_kernels::Cpu;
use labyrinth_kernels::convolution::Convolution;
use labyrinth_kernels::gru::GruVariant;
use labyrinth_nn::Shape;
use labyrinth_nn::layers::{BatchNorm, ConvolutionLayer, GruLayer, Linear, Relu};

use crate::case::{Case, CtcCase, Failure, ProductCase, SequenceCase, Task, Work, normal, targets};

/// Every model there is; `compare.py` leaves out what is not listed.
pub const NAMES: &[&str] =
    &["product", "m1", "m1-inference", "convolutions", "gru", "ctc", "m2-chain"];

/// Utterances of a training batch.
const BATCH: usize = 16;
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
    let sequence = |layers: Vec<Work>, shape: Shape, task| -> Result<Box<dyn Case>, Failure> {
        let x = normal("x", shape.len());
        Ok(Box::new(SequenceCase::new(cpu, layers, shape, x, task)?))
    };
    match name {
        "m1" => sequence(m1(BATCH, FRAMES), features(BATCH, FRAMES), train()),
        "m1-inference" => sequence(m1(1, TEN_SECONDS), features(1, TEN_SECONDS), Task::Infer),
        "convolutions" => {
            let task = gradients(BATCH * OUT_FRAMES * BINS / 4 * 32, false);
            sequence(convolutions(BATCH, FRAMES), features(BATCH, FRAMES), task)
        }
        "gru" => {
            let shape = Shape { lengths: vec![OUT_FRAMES; BATCH], bins: 1, channels: HIDDEN };
            let task = gradients(BATCH * OUT_FRAMES * 2 * HIDDEN, true);
            sequence(recurrent(BATCH * OUT_FRAMES), shape, task)
        }
        "m2-chain" => {
            // What the stem makes of 8 pictures of 400 × 80: [8·100, 20, 64].
            let shape = Shape { lengths: vec![100; 8], bins: 20, channels: 64 };
            sequence(residual_chain(8, 100, 20), shape, gradients(8 * 25 * 5 * 256, true))
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

/// conv 1→32, ReLU, conv 32→32, ReLU, each 3×3 with stride 2.
fn convolutions(batch: usize, frames: usize) -> Vec<Work> {
    let mut layers = Vec::new();
    let (mut frames, mut bins) = (frames, BINS);
    for (index, in_channels) in [1, 32].into_iter().enumerate() {
        let convolution = Convolution {
            in_channels,
            out_channels: 32,
            kernel: [3, 3],
            stride: [2, 2],
            padding: [1, 1],
        };
        (frames, bins) = (convolution.output_frames(frames), convolution.output_bins(bins));
        layers.push(Work {
            name: format!("conv.{index}"),
            forward: 2.0 * (batch * frames * bins * convolution.weight_len()) as f64,
            layer: Box::new(ConvolutionLayer { convolution }),
        });
        let layer = Box::new(Relu);
        layers.push(Work { name: format!("relu.{index}"), forward: 0.0, layer });
    }
    layers
}

fn linear(name: &str, rows: usize, input: usize, output: usize) -> Work {
    let forward = 2.0 * (rows * input * output) as f64;
    Work { name: name.into(), forward, layer: Box::new(Linear { input, output }) }
}

/// Three bidirectional GRU layers. Their LSTM counterpart belongs here too, as "lstm" and "m1l".
fn recurrent(rows: usize) -> Vec<Work> {
    let mut layers = Vec::new();
    for index in 0..3 {
        let input = if index == 0 { HIDDEN } else { 2 * HIDDEN };
        let variant = GruVariant::ResetAfter;
        let layer = GruLayer { input, hidden: HIDDEN, bidirectional: true, variant };
        layers.push(Work {
            name: format!("gru.{index}"),
            forward: 2.0 * 2.0 * (rows * 3 * HIDDEN * (input + HIDDEN)) as f64,
            layer: Box::new(layer),
        });
    }
    layers
}

/// The 3×3 convolutions of ResNet-18's layers 1 to 3, each with batch norm and ReLU, without the
/// shortcuts: M2's bulk. M2 itself belongs here as "m2".
fn residual_chain(batch: usize, mut frames: usize, mut bins: usize) -> Vec<Work> {
    let mut layers = Vec::new();
    let mut in_channels = 64;
    let widths = [64, 64, 64, 64, 128, 128, 128, 128, 256, 256, 256, 256];
    for (index, channels) in widths.into_iter().enumerate() {
        let stride = if channels == in_channels { 1 } else { 2 };
        let convolution = Convolution {
            in_channels,
            out_channels: channels,
            kernel: [3, 3],
            stride: [stride, stride],
            padding: [1, 1],
        };
        (frames, bins) = (convolution.output_frames(frames), convolution.output_bins(bins));
        in_channels = channels;
        let forward = 2.0 * (batch * frames * bins * convolution.weight_len()) as f64;
        let layer = Box::new(ConvolutionLayer { convolution });
        layers.push(Work { name: format!("conv.{index}"), forward, layer });
        let layer = Box::new(BatchNorm { channels });
        layers.push(Work { name: format!("norm.{index}"), forward: 0.0, layer });
        let layer = Box::new(Relu);
        layers.push(Work { name: format!("relu.{index}"), forward: 0.0, layer });
    }
    layers
}

/// The CNN-GRU: convolutions, projection, GRU stack, output.
fn m1(batch: usize, frames: usize) -> Vec<Work> {
    let rows = batch * frames.div_ceil(4);
    let mut layers = convolutions(batch, frames);
    layers.push(linear("projection", rows, BINS / 4 * 32, HIDDEN));
    layers.extend(recurrent(rows));
    layers.push(linear("output", rows, 2 * HIDDEN, LABELS));
    layers
}
