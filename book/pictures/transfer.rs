//! Picture of the chapter on transfer: what the first layer of a network for photographs sees in speech.
//!
//! The weights are those that the recipes name: `resnet18-imagenet.safetensors` beside the manifest's folder.

use labyrinth::kernels::{Convolution, Cpu};
use labyrinth::nn::foreign::read_tensors;
use labyrinth::signal::{FeatureOptions, normalize_utterance};

use crate::plot::{Panel, svg};
use crate::speech::Speech;

const BINS: usize = 64;
const SIZE: usize = 7;

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let path = speech.manifest().folder().join("../resnet18-imagenet.safetensors");
    if !path.exists() {
        eprintln!("transfer: left as it is, for {} is not there", path.display());
        return Ok(Vec::new());
    }
    let tensors = read_tensors(&path).map_err(|e| e.to_string())?;
    let tensor = |name: &str| {
        let found = tensors.iter().find(|tensor| tensor.name == name);
        found.map(|tensor| tensor.values.clone()).ok_or(format!("{}: no {name}", path.display()))
    };
    let (weight, bias) = (tensor("conv1.weight")?, tensor("conv1.bias")?);
    let channels = bias.len();
    let recording = speech.recording("an406-fcaw-b")?;
    let seconds = recording.samples.len() as f64 / f64::from(recording.rate);
    let options = FeatureOptions { num_mel_bins: BINS, ..FeatureOptions::default() };
    let (mut mel, bins) = recording.features(&options)?;
    normalize_utterance(&mut mel, bins);
    let frames = mel.len() / bins;
    // All three colours show the same.
    let picture: Vec<f32> = mel.iter().flat_map(|&v| [v; 3]).collect();
    // Every place, so that the picture is as large as the sound's.
    let convolution = Convolution {
        in_channels: 3,
        out_channels: channels,
        kernel: [SIZE; 2],
        stride: [1, 1],
        padding: [SIZE / 2; 2],
    };
    let mut seen = vec![0.0; frames * bins * channels];
    convolution
        .forward(Cpu::detect(), &picture, &[frames], bins, &weight, &bias, &mut seen)
        .map_err(|e| e.to_string())?;

    let axis = |title: &str| {
        Panel::new(title, (0.0, seconds), (0.0, bins as f64)).labels("", "mel bin").height(105.0)
    };
    let mut panels = vec![axis("the picture: log-mel").frames(&mel, bins)];
    let maps: Vec<Vec<f32>> = (0..channels)
        .map(|channel| seen.chunks(channels).map(|at| at[channel].max(0.0)).collect())
        .collect();
    let slants: Vec<[f64; 3]> = maps.iter().map(|map| slants(map, frames, bins)).collect();
    for (title, of) in [
        ("changes least upwards: onsets", 0),
        ("changes least in time: harmonics, formants", 1),
        ("the most slanted", 2),
    ] {
        let best = (0..channels).max_by(|&a, &b| slants[a][of].total_cmp(&slants[b][of]));
        let channel = best.unwrap_or(0);
        panels.push(axis(&format!("channel {channel}: {title}")).frames(&maps[channel], bins));
    }
    let last = panels.pop().map(|panel| panel.labels("seconds", "mel bin"));
    panels.extend(last);
    let alt = "An utterance as a picture, and three channels of a network trained on photographs";
    Ok(vec![("transfer-stem", svg(alt, &panels))])
}

/// How upright, how flat and how slanted the picture of a channel is, by how alike its pixels are to those a few
/// places above, later, and on both diagonals.
fn slants(map: &[f32], frames: usize, bins: usize) -> [f64; 3] {
    const STEP: usize = 3;
    let mean = map.iter().map(|&v| f64::from(v)).sum::<f64>() / map.len() as f64;
    let at = |t: usize, f: usize| f64::from(map[t * bins + f]) - mean;
    let all: f64 = map.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    // Edges of the picture left out.
    let alike = |dt: usize, df: isize| {
        let mut sum = 0.0;
        for t in STEP..frames - 2 * STEP {
            for f in 2 * STEP..bins - 2 * STEP {
                sum += at(t, f) * at(t + dt, f.saturating_add_signed(df));
            }
        }
        sum / all.max(1e-9)
    };
    let step = STEP as isize;
    let (upwards, later) = (alike(0, step), alike(STEP, 0));
    let (rising, falling) = (alike(STEP, step), alike(STEP, -step));
    [upwards - later, later - upwards, (rising - falling).abs()]
}
