//! Pictures of the chapter on the spectrum: one frame, its power in few and many points, pre-emphasis.

use labyrinth::signal::{FeatureKind, FeatureOptions};

use crate::plot::{BLUE, GREEN, ORANGE, Panel, svg};
use crate::speech::{Recording, Speech};

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let recording = speech.recording("cen7-mjgm-b")?;
    Ok(vec![("spectrum-frame", frame(&recording)?)])
}

/// Samples of a frame.
const LENGTH: usize = 400;
/// Highest frequency that is drawn.
const HIGHEST: f64 = 5000.0;

fn frame(recording: &Recording) -> Result<String, String> {
    let rate = f64::from(recording.rate);
    let power = |piece: &[f32]| piece.iter().map(|x| x * x).sum::<f32>();
    let pieces = recording.samples.windows(LENGTH).step_by(160);
    let (begin, loudest) = pieces
        .enumerate()
        .max_by(|a, b| power(a.1).total_cmp(&power(b.1)))
        .map(|(frame, piece)| (frame * 160, piece))
        .ok_or("the recording is shorter than a frame")?;
    let top = loudest.iter().fold(0f32, |a, b| a.max(b.abs())) * 1.1;
    let wave = loudest.iter().enumerate();
    let wave = wave.map(|(i, &x)| ((begin + i) as f64 / rate * 1000.0, f64::from(x)));
    let from = begin as f64 / rate * 1000.0;
    let first = Panel::new("The loudest 25 ms", (from, from + 25.0), (f64::from(-top), top.into()))
        .labels("ms", "pressure")
        .height(110.0)
        .line("", BLUE, wave.collect());
    // 4096 points: the same frame, behind which a longer frame holds zeros; the window of 400 samples is laid
    // over it here as the extractor would.
    let curve = |points: usize, preemphasis: f32| -> Result<Vec<(f64, f64)>, String> {
        let window = crate::frames::window_of(labyrinth::signal::WindowType::Povey, LENGTH)?;
        let mut samples: Vec<f32> = Vec::with_capacity(points);
        let mut before = loudest[0];
        for (&sample, weight) in loudest.iter().zip(window) {
            samples.push((sample - preemphasis * before) * weight);
            before = sample;
        }
        samples.resize(points, 0.0);
        let options = FeatureOptions {
            kind: FeatureKind::LogSpectrogram,
            frame_length: (points as f64 / rate * 1000.0) as f32,
            window_type: labyrinth::signal::WindowType::Rectangular,
            preemphasis_coefficient: 0.0,
            remove_dc_offset: false,
            ..FeatureOptions::default()
        };
        let one = Recording { text: String::new(), samples, rate: recording.rate };
        let (row, dim) = one.features(&options)?;
        let hertz = rate / points as f64;
        let kept = (HIGHEST / hertz) as usize;
        Ok(row[..dim.min(kept)]
            .iter()
            .enumerate()
            .map(|(k, &ln)| (k as f64 * hertz / 1000.0, f64::from(ln) * 10.0 / 10f64.ln()))
            .collect())
    };
    let axis = |name: &str| Panel::new(name, (0.0, HIGHEST / 1000.0), (40.0, 150.0));
    let second = axis("Its power in 512 and in 4096 points")
        .labels("", "dB")
        .height(190.0)
        .line("4096", ORANGE, curve(4096, 0.0)?)
        .stems("512", BLUE, curve(512, 0.0)?);
    let third = axis("Pre-emphasis")
        .labels("kHz", "dB")
        .height(190.0)
        .line("without", ORANGE, curve(4096, 0.0)?)
        .line("with", GREEN, curve(4096, 0.97)?);
    Ok(svg(
        "A frame of a vowel, its power spectrum, and what pre-emphasis does",
        &[first, second, third],
    ))
}
