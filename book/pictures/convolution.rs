//! Pictures of the chapter on convolution: features, and what a trained model's first layer makes of them.

use labyrinth::kernels::activation::relu_forward;
use labyrinth::kernels::batch_norm::batch_norm_eval;
use labyrinth::kernels::{Convolution, Cpu};
use labyrinth::nn::{ModelFile, ModelOptions};

use crate::plot::{Panel, svg};
use crate::speech::Speech;

/// Channels that are drawn.
const SHOWN: usize = 4;

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let Some(path) = speech.model() else { return Ok(Vec::new()) };
    let file = ModelFile::read(path).map_err(|e| e.to_string())?;
    let ModelOptions::Cnn(options) = &file.header.model else {
        return Err(format!("{} is no cnn-gru", path.display()));
    };
    let first = options.convolutions.first().ok_or("the model has no convolution")?;
    let recording = speech.recording("cen7-mjgm-b")?;
    let (mut x, bins) = recording.features(&file.header.features)?;
    file.header.features.normalize.apply(&mut x, bins);
    let frames = x.len() / bins;
    let convolution = Convolution {
        in_channels: 1,
        out_channels: first.channels,
        kernel: first.kernel,
        stride: first.stride,
        padding: first.kernel.map(|size| size / 2),
    };
    let (out_frames, out_bins) = (convolution.output_frames(frames), convolution.output_bins(bins));
    let tensor = |name: &str| {
        let network = &file.network;
        let found = network.parameters.get(name).or_else(|| network.buffers.get(name));
        found.ok_or_else(|| format!("{} has no {name}", path.display()))
    };
    let cpu = Cpu::detect();
    let mut y = vec![0.0; out_frames * out_bins * first.channels];
    let (weight, bias) = (tensor("conv.0.weight")?, tensor("conv.0.bias")?);
    convolution
        .forward(cpu, &x, &[frames], bins, weight, bias, &mut y)
        .map_err(|e| e.to_string())?;
    let mut z = vec![0.0; y.len()];
    batch_norm_eval(
        cpu,
        &y,
        first.channels,
        tensor("norm.0.weight")?,
        tensor("norm.0.bias")?,
        tensor("norm.0.running_mean")?,
        tensor("norm.0.running_var")?,
        1e-5,
        &mut z,
    )
    .map_err(|e| e.to_string())?;
    relu_forward(cpu, &z, &mut y).map_err(|e| e.to_string())?;

    let channel =
        |c: usize| -> Vec<f32> { y.iter().skip(c).step_by(first.channels).copied().collect() };
    let spread = |c: usize| -> f32 {
        let values = channel(c);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        values.iter().map(|v| (v - mean).powi(2)).sum::<f32>()
    };
    let mut order: Vec<(f32, usize)> = (0..first.channels).map(|c| (spread(c), c)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let seconds = recording.samples.len() as f64 / f64::from(recording.rate);
    let mut panels = vec![
        Panel::new("Features", (0.0, seconds), (0.0, bins as f64))
            .labels("", "filter")
            .height(130.0)
            .frames(&x, bins),
    ];
    for (place, (_, c)) in order.iter().take(SHOWN).enumerate() {
        panels.push(
            Panel::new(&format!("Channel {c}"), (0.0, seconds), (0.0, out_bins as f64))
                .labels(if place + 1 == SHOWN { "seconds" } else { "" }, "bin")
                .height(90.0)
                .frames(&channel(*c), out_bins),
        );
    }
    let alt = "Features of an utterance and four channels behind a trained first layer";
    Ok(vec![("convolution-channels", svg(alt, &panels))])
}
