//! Pictures of the chapter on recurrent layers: how far back fresh layers reach, and what a trained one remembers.

use labyrinth::kernels::{
    Cpu, Gru, GruVariant, Lstm, LstmState, LstmStateMut, RecurrentGradients, RecurrentWeights,
};
use labyrinth::nn::{Memory, Mode, ModelFile};
use labyrinth::signal::{Audio, Random};

use crate::plot::{BLUE, GREEN, GREY, ORANGE, Panel, svg};
use crate::speech::{Recording, Speech};

const HIDDEN: usize = 256;
/// Frames over which a slope is followed.
const BACK: usize = 40;

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let Some(mut recognizer) = speech.recognizer()? else { return Ok(Vec::new()) };
    let Recording { samples, rate, .. } = speech.recording("an406-fcaw-b")?;
    let audio = Audio { sample_rate: rate, channels: vec![samples] };
    recognizer.logits(&audio).map_err(|e| e.to_string())?;
    let (features, dim) = recognizer.features();
    let alt = "How far back a slope reaches in fresh layers, and how far a gap is felt by a trained network";
    let Some(path) = speech.model() else { return Ok(Vec::new()) };
    let model = ModelFile::read(path).map_err(|e| e.to_string())?;
    let panels = [fresh(features, dim)?, trained(&model, features, dim)?];
    Ok(vec![("recurrent-memory", svg(alt, &panels))])
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
}

/// Weights as a layer begins with them, `gates` times HIDDEN rows.
struct Fresh([Vec<f32>; 4]);

impl Fresh {
    fn new(gates: usize, dim: usize) -> Self {
        let mut random = Random::from_key(&[gates as u64]);
        let bound = 1.0 / (HIDDEN as f64).sqrt();
        let rows = gates * HIDDEN;
        let mut part = |count: usize| {
            (0..count).map(|_| ((2.0 * random.uniform() - 1.0) * bound) as f32).collect()
        };
        Self([part(rows * dim), part(rows * HIDDEN), part(rows), part(rows)])
    }

    fn lent(&self) -> RecurrentWeights<'_, f32> {
        let [w_ih, w_hh, b_ih, b_hh] = &self.0;
        RecurrentWeights { w_ih, w_hh, b_ih, b_hh }
    }
}

fn fresh(features: &[f32], dim: usize) -> Result<Panel, String> {
    let end = features.len() / dim / 2;
    let start = end - BACK;
    let mut random = Random::from_key(&[9]);
    let mut way: Vec<f32> = (0..HIDDEN).map(|_| random.normal() as f32).collect();
    let length = norm(&way) as f32;
    way.iter_mut().for_each(|v| *v /= length);
    let mut panel =
        Panel::new("Slope of the last state by an earlier one", (0.0, BACK as f64), (-12.0, 0.5))
            .labels("frames between the two", "power of ten")
            .height(190.0);
    let curves = [
        ("plain", GREY, plain(features, dim, start, end, &way)),
        ("GRU", BLUE, gru(features, dim, start, end, &way)?),
        ("LSTM", ORANGE, lstm(features, dim, start, end, &way)?),
    ];
    for (name, colour, slopes) in curves {
        let points = slopes.iter().enumerate().map(|(k, slope)| (k as f64, slope.log10()));
        panel = panel.line(name, colour, points.collect());
    }
    Ok(panel)
}

/// h' = tanh(W x + U h + b): lengths of the slope by the states 0, 1, 2… frames before the last.
fn plain(features: &[f32], dim: usize, start: usize, end: usize, way: &[f32]) -> Vec<f64> {
    let Fresh([w, u, b, _]) = Fresh::new(1, dim);
    let mut states = vec![vec![0.0f32; HIDDEN]];
    for x in features[..end * dim].chunks(dim) {
        let h = states.last().expect("begins with one");
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let next = (0..HIDDEN).map(|j| {
            (dot(&w[j * dim..][..dim], x) + dot(&u[j * HIDDEN..][..HIDDEN], h) + b[j]).tanh()
        });
        let next = next.collect();
        states.push(next);
    }
    let mut slope = way.to_vec();
    let mut lengths = vec![norm(&slope)];
    for h in states[start + 1..].iter().rev() {
        let da: Vec<f32> = slope.iter().zip(h).map(|(d, h)| d * (1.0 - h * h)).collect();
        slope = (0..HIDDEN).map(|i| (0..HIDDEN).map(|j| u[j * HIDDEN + i] * da[j]).sum()).collect();
        lengths.push(norm(&slope));
    }
    lengths
}

fn gru(
    features: &[f32],
    dim: usize,
    start: usize,
    end: usize,
    way: &[f32],
) -> Result<Vec<f64>, String> {
    let fault = |e: labyrinth::kernels::KernelError| e.to_string();
    let (weights, cpu) = (Fresh::new(3, dim), Cpu::detect());
    let layer = Gru { input: dim, hidden: HIDDEN, reverse: false, variant: GruVariant::ResetAfter };
    let mut lengths = vec![norm(way)];
    for first in (start..end).rev() {
        let state = |frames: usize| -> Result<Vec<f32>, String> {
            let mut y = vec![0.0; frames * HIDDEN];
            let mut saved = vec![0.0; layer.saved_len(frames)];
            let x = &features[..frames * dim];
            layer
                .forward(cpu, x, &[frames], weights.lent(), None, &mut y, &mut saved, None)
                .map_err(fault)?;
            Ok(y[(frames - 1) * HIDDEN..].to_vec())
        };
        let h0 = state(first)?;
        let (x, frames) = (&features[first * dim..end * dim], end - first);
        let (mut y, mut saved) = (vec![0.0; frames * HIDDEN], vec![0.0; layer.saved_len(frames)]);
        layer
            .forward(cpu, x, &[frames], weights.lent(), Some(&h0), &mut y, &mut saved, None)
            .map_err(fault)?;
        let mut dy = vec![0.0; y.len()];
        dy[(frames - 1) * HIDDEN..].copy_from_slice(way);
        let (mut dx, mut dh0) = (vec![0.0; x.len()], vec![0.0; HIDDEN]);
        let mut d = weights.0.clone().map(|part| vec![0.0; part.len()]);
        let [w_ih, w_hh, b_ih, b_hh] = &mut d;
        let into = RecurrentGradients { w_ih, w_hh, b_ih, b_hh };
        let (start, first) = (Some(&h0[..]), Some(&mut dh0[..]));
        layer
            .backward(
                cpu,
                x,
                &[frames],
                weights.lent(),
                start,
                &y,
                &saved,
                &dy,
                &mut dx,
                into,
                first,
            )
            .map_err(fault)?;
        lengths.push(norm(&dh0));
    }
    Ok(lengths)
}

fn lstm(
    features: &[f32],
    dim: usize,
    start: usize,
    end: usize,
    way: &[f32],
) -> Result<Vec<f64>, String> {
    let fault = |e: labyrinth::kernels::KernelError| e.to_string();
    let (weights, cpu) = (Fresh::new(4, dim), Cpu::detect());
    let layer = Lstm { input: dim, hidden: HIDDEN, reverse: false };
    let mut lengths = vec![norm(way)];
    for first in (start..end).rev() {
        let (mut h, mut c) = (vec![0.0; HIDDEN], vec![0.0; HIDDEN]);
        let (mut y, mut saved) = (vec![0.0; first * HIDDEN], vec![0.0; layer.saved_len(first)]);
        let last = Some(LstmStateMut { h: &mut h, c: &mut c });
        let x = &features[..first * dim];
        layer
            .forward(cpu, x, &[first], weights.lent(), None, &mut y, &mut saved, last)
            .map_err(fault)?;
        let before = Some(LstmState { h: &h, c: &c });
        let (x, frames) = (&features[first * dim..end * dim], end - first);
        let (mut y, mut saved) = (vec![0.0; frames * HIDDEN], vec![0.0; layer.saved_len(frames)]);
        layer
            .forward(cpu, x, &[frames], weights.lent(), before, &mut y, &mut saved, None)
            .map_err(fault)?;
        let mut dy = vec![0.0; y.len()];
        dy[(frames - 1) * HIDDEN..].copy_from_slice(way);
        let (mut dx, mut first) = (vec![0.0; x.len()], vec![0.0; 2 * HIDDEN]);
        let mut d = weights.0.clone().map(|part| vec![0.0; part.len()]);
        let [w_ih, w_hh, b_ih, b_hh] = &mut d;
        let into = RecurrentGradients { w_ih, w_hh, b_ih, b_hh };
        let (dh, dc) = first.split_at_mut(HIDDEN);
        let to = Some(LstmStateMut { h: dh, c: dc });
        layer
            .backward(cpu, x, &[frames], weights.lent(), before, &y, &saved, &dy, &mut dx, into, to)
            .map_err(fault)?;
        lengths.push(norm(&first));
    }
    Ok(lengths)
}

/// How much the probabilities of each output frame change when a few input frames are wiped out.
fn trained(model: &ModelFile, features: &[f32], dim: usize) -> Result<Panel, String> {
    let network = &model.network;
    let labels = network.labels();
    let frames = features.len() / dim;
    let outputs = |features: &[f32]| -> Result<Vec<f64>, String> {
        let mut memory = Memory::new();
        network
            .forward(Cpu::detect(), Mode::Inference, features, &[frames], &mut memory)
            .map_err(|e| e.to_string())?;
        let logits: Vec<f64> = memory.output().iter().map(|&x| f64::from(x)).collect();
        Ok(crate::ctc::softmax(&logits, labels))
    };
    let whole = outputs(features)?;
    let hop = model.header.frame_times().1;
    let seconds = frames as f64 * 0.01;
    let mut panel =
        Panel::new("Change of each output where 40 ms are wiped out", (0.0, seconds), (-6.0, 0.5))
            .labels("seconds", "power of ten")
            .height(190.0);
    for (place, colour) in [(0.35, BLUE), (0.65, GREEN)] {
        let gap = (place * frames as f64) as usize;
        let mut wiped = features.to_vec();
        wiped[gap * dim..(gap + 4) * dim].fill(0.0);
        let changed = outputs(&wiped)?;
        let points = whole.chunks(labels).zip(changed.chunks(labels)).enumerate();
        let points = points.map(|(t, (a, b))| {
            let change: f64 = a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0;
            ((t as f64 + 0.5) * hop, change.max(1e-12).log10())
        });
        let (from, to) = (gap as f64 * 0.01, (gap + 4) as f64 * 0.01);
        let name = format!("gap at {from:.2} s");
        panel = panel.band(from, to, colour).line(&name, colour, points.collect());
    }
    Ok(panel)
}
