//! Pictures of the chapter on sampling: half the rate with and without a filter, silence with and without dither.

use labyrinth::signal::{FeatureExtractor, FeatureKind, FeatureOptions, resample};

use crate::plot::{BLUE, ORANGE, Panel, svg};
use crate::speech::{Recording, Speech};

/// "SIX EIGHT THREE THREE OH SEVEN FIVE".
const SPOKEN: &str = "cen7-mjgm-b";

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let recording = speech.recording(SPOKEN)?;
    Ok(vec![("sampling-alias", alias(&recording)?), ("sampling-dither", dither(&recording)?)])
}

fn alias(recording: &Recording) -> Result<String, String> {
    let Recording { samples, rate, .. } = recording;
    let half = rate / 2;
    let sounds = [
        (format!("{rate} samples a second"), *rate, samples.clone()),
        ("every second sample".into(), half, samples.iter().step_by(2).copied().collect()),
        (format!("resampled to {half}"), half, resample(samples, *rate, half)),
    ];
    let mut panels = Vec::new();
    for (name, rate, samples) in sounds {
        let options = FeatureOptions {
            kind: FeatureKind::LogSpectrogram,
            sample_frequency: rate as f32,
            snip_edges: false,
            ..FeatureOptions::default()
        };
        let seconds = samples.len() as f64 / f64::from(rate);
        let (rows, dim) = Recording { text: String::new(), samples, rate }.features(&options)?;
        let last = panels.len() == 2;
        panels.push(
            Panel::new(&name, (0.0, seconds), (0.0, f64::from(rate) / 2000.0))
                .labels(if last { "seconds" } else { "" }, "kHz")
                .height(if rate == recording.rate { 180.0 } else { 90.0 })
                .frames(&rows, dim),
        );
    }
    Ok(svg("A recording at 16 kHz, decimated without a filter, and resampled", &panels))
}

fn dither(recording: &Recording) -> Result<String, String> {
    const FILTER: usize = 40;
    let mut samples = vec![0.0; recording.rate as usize / 2];
    samples.extend_from_slice(&recording.samples);
    let seconds = samples.len() as f64 / f64::from(recording.rate);
    let mut panel =
        Panel::new(&format!("Log energy of filter {FILTER} of 80"), (0.0, seconds), (-17.0, 22.0))
            .labels("seconds", "ln")
            .height(200.0);
    for (dither, name, colour) in [(1.0, "dither 1", ORANGE), (0.0, "no dither", BLUE)] {
        let options = FeatureOptions { dither, ..FeatureOptions::default() };
        let mut extractor = FeatureExtractor::new(&options).map_err(|e| e.to_string())?;
        let mut rows = Vec::new();
        extractor.compute_for(SPOKEN, &samples, &mut rows);
        let points = rows.chunks(extractor.dim()).enumerate();
        let points = points.map(|(frame, row)| (options.frame_center(frame), row[FILTER].into()));
        panel = panel.line(name, colour, points.collect());
    }
    Ok(svg("Digital silence before speech, with and without dither", &[panel]))
}
