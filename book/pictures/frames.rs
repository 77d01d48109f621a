//! Pictures of the chapter on frames: one utterance through four lengths, one tone through two windows.

use labyrinth::signal::{FeatureKind, FeatureOptions, WindowType};

use crate::plot::{BLUE, ORANGE, Panel, svg};
use crate::speech::{Recording, Speech};

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    Ok(vec![("frames-lengths", lengths(speech)?), ("frames-windows", windows()?)])
}

/// Highest frequency that is drawn.
const HIGHEST: f64 = 4000.0;

fn lengths(speech: &Speech) -> Result<String, String> {
    let recording = speech.recording("an406-fcaw-b")?;
    let mut panels = Vec::new();
    for length in [25.0, 50.0, 100.0, 250.0] {
        let options = FeatureOptions {
            kind: FeatureKind::LogSpectrogram,
            frame_length: length,
            snip_edges: false,
            ..FeatureOptions::default()
        };
        let (rows, dim) = recording.features(&options)?;
        let kept = (dim as f64 * HIGHEST * 2.0 / f64::from(recording.rate)) as usize;
        let low: Vec<f32> = rows.chunks(dim).flat_map(|row| &row[..kept]).copied().collect();
        let seconds = recording.samples.len() as f64 / f64::from(recording.rate);
        panels.push(
            Panel::new(&format!("{length} ms"), (0.0, seconds), (0.0, HIGHEST / 1000.0))
                .labels(if length > 200.0 { "seconds" } else { "" }, "kHz")
                .height(130.0)
                .frames(&low, kept),
        );
    }
    Ok(svg("One utterance seen through four frame lengths", &panels))
}

fn windows() -> Result<String, String> {
    const RATE: u32 = 16_000;
    let tone = |i: u32| (f64::from(i) * 1000.0 / f64::from(RATE) * std::f64::consts::TAU).sin();
    // Zeros behind the frame: many points of the same spectrum. One frame of 25 ms within 1 s.
    let (length, padded) = (400, 16_000);
    let mut panel = Panel::new("A tone of 1000 Hz in 25 ms", (600.0, 1400.0), (-70.0, 3.0))
        .labels("Hz", "dB below the peak")
        .height(220.0);
    for (window, name, colour) in
        [(WindowType::Rectangular, "plain cut", ORANGE), (WindowType::Povey, "Povey", BLUE)]
    {
        // The extractor's own window, read off a frame of ones.
        let shape = window_of(window, length)?;
        let samples: Vec<f32> = (0..padded)
            .map(|i| if i < length { tone(i as u32) as f32 * shape[i] } else { 0.0 })
            .collect();
        let options = FeatureOptions {
            kind: FeatureKind::Spectrogram,
            window_type: WindowType::Rectangular,
            frame_length: 1000.0,
            preemphasis_coefficient: 0.0,
            remove_dc_offset: false,
            round_to_power_of_two: false,
            ..FeatureOptions::default()
        };
        let recording = Recording { text: String::new(), samples, rate: RATE };
        let (power, _) = recording.features(&options)?;
        let highest = power.iter().copied().fold(0.0, f32::max);
        let decibels = |p: f32| 10.0 * f64::from(p / highest).max(1e-12).log10();
        let points = (600..=1400).map(|hertz| (f64::from(hertz), decibels(power[hertz as usize])));
        panel = panel.line(name, colour, points.collect());
    }
    Ok(svg("The spectrum of a tone through two windows", &[panel]))
}

/// The window that the extractor lays over a frame, sample by sample: the energy of an impulse at each place.
pub fn window_of(window: WindowType, length: usize) -> Result<Vec<f32>, String> {
    let options = FeatureOptions {
        kind: FeatureKind::Spectrogram,
        window_type: window,
        preemphasis_coefficient: 0.0,
        remove_dc_offset: false,
        sample_scale: 1.0,
        ..FeatureOptions::default()
    };
    (0..length)
        .map(|place| {
            let mut samples = vec![0.0; length];
            samples[place] = 1.0;
            let recording = Recording { text: String::new(), samples, rate: 16_000 };
            // The power at frequency 0 is the square of the sum of the windowed samples.
            Ok(recording.features(&options)?.0[0].sqrt())
        })
        .collect()
}
