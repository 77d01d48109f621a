//! Pictures of the chapter on the cepstrum: a smoothed frame, what varies together, a microphone taken away.

use labyrinth::signal::{FeatureKind, FeatureOptions};

use crate::plot::{BLUE, ORANGE, Panel, svg};
use crate::speech::{Recording, Speech};

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let recording = speech.recording("cen7-mjgm-b")?;
    Ok(vec![
        ("cepstrum-smooth", smooth(&recording)?),
        ("cepstrum-correlation", correlation(&recording)?),
        ("cepstrum-cmn", microphone(&recording)?),
    ])
}

const FILTERS: usize = 23;
const COEFFICIENTS: usize = 13;

fn options(kind: FeatureKind) -> FeatureOptions {
    FeatureOptions {
        kind,
        num_mel_bins: FILTERS,
        num_ceps: COEFFICIENTS,
        use_energy: false,
        cepstral_lifter: 0.0,
        ..FeatureOptions::default()
    }
}

fn smooth(recording: &Recording) -> Result<String, String> {
    let (logs, _) = recording.features(&options(FeatureKind::Fbank))?;
    let (mfcc, _) = recording.features(&options(FeatureKind::Mfcc))?;
    let sum = |frame: &[f32]| frame.iter().sum::<f32>();
    let (frame, m) = logs
        .chunks(FILTERS)
        .enumerate()
        .max_by(|a, b| sum(a.1).total_cmp(&sum(b.1)))
        .ok_or("the recording has no frame")?;
    let c = &mfcc[frame * COEFFICIENTS..(frame + 1) * COEFFICIENTS];
    // The transform backwards, at places between the filters too.
    let back = |count: usize, place: f64| -> f64 {
        (0..count)
            .map(|k| {
                let terms = if k == 0 { 1.0 } else { 2.0 };
                let angle = std::f64::consts::PI * k as f64 * (place + 0.5) / FILTERS as f64;
                f64::from(c[k]) * (terms / FILTERS as f64).sqrt() * angle.cos()
            })
            .sum()
    };
    let curve = |count| -> Vec<(f64, f64)> {
        (0..=220).map(|i| f64::from(i) / 10.0).map(|place| (place, back(count, place))).collect()
    };
    let (low, high) = m.iter().fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    let range = (f64::from(low) - 1.0, f64::from(high) + 1.0);
    let panel = Panel::new("A frame of a vowel", (-0.5, 22.5), range)
        .labels("filter", "ln")
        .height(200.0)
        .stems(
            "23 filters",
            BLUE,
            m.iter().enumerate().map(|(b, v)| (b as f64, (*v).into())).collect(),
        )
        .line("13 coefficients", ORANGE, curve(COEFFICIENTS));
    Ok(svg("Log energies of a frame and the curve of 13 cepstral coefficients", &[panel]))
}

/// |Correlation| of each pair of columns, `[dim, dim]`.
fn correlations(rows: &[f32], dim: usize) -> Vec<f32> {
    let frames = (rows.len() / dim) as f64;
    let mean: Vec<f64> = (0..dim)
        .map(|d| rows.iter().skip(d).step_by(dim).map(|&v| f64::from(v)).sum::<f64>() / frames)
        .collect();
    let covariance = |a: usize, b: usize| -> f64 {
        rows.chunks(dim)
            .map(|row| (f64::from(row[a]) - mean[a]) * (f64::from(row[b]) - mean[b]))
            .sum()
    };
    let own: Vec<f64> = (0..dim).map(|d| covariance(d, d).sqrt()).collect();
    let pairs = (0..dim).flat_map(|a| (0..dim).map(move |b| (a, b)));
    pairs.map(|(a, b)| (covariance(a, b) / (own[a] * own[b])).abs() as f32).collect()
}

fn correlation(recording: &Recording) -> Result<String, String> {
    let mut panels = Vec::new();
    for (name, kind, unit) in [
        ("23 log energies: |correlation|", FeatureKind::Fbank, "filter"),
        ("13 cepstral coefficients: |correlation|", FeatureKind::Mfcc, "coefficient"),
    ] {
        let (rows, dim) = recording.features(&options(kind))?;
        panels.push(
            Panel::new(name, (0.0, dim as f64), (0.0, dim as f64))
                .labels(unit, unit)
                .height(170.0)
                .frames(&correlations(&rows, dim), dim),
        );
    }
    Ok(svg("How filters vary together, and how coefficients do", &panels))
}

fn microphone(recording: &Recording) -> Result<String, String> {
    let mut dull = Vec::with_capacity(recording.samples.len());
    let mut before = 0.0;
    for &sample in &recording.samples {
        before = 0.6 * before + 0.4 * sample;
        dull.push(before);
    }
    let dull = Recording { text: String::new(), samples: dull, rate: recording.rate };
    let mut curves = Vec::new();
    for recording in [recording, &dull] {
        let (rows, dim) = recording.features(&options(FeatureKind::Mfcc))?;
        let values: Vec<f64> = rows.iter().skip(1).step_by(dim).map(|&v| v.into()).collect();
        curves.push(values);
    }
    let seconds = recording.samples.len() as f64 / f64::from(recording.rate);
    let points = |values: &[f64], less: f64| -> Vec<(f64, f64)> {
        values.iter().enumerate().map(|(t, v)| (t as f64 * 0.01 + 0.0125, v - less)).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut panels = Vec::new();
    for (name, normalised) in [("Coefficient 1", false), ("less its mean over the recording", true)]
    {
        let less = |values: &[f64]| if normalised { mean(values) } else { 0.0 };
        let drawn: Vec<_> = curves.iter().map(|values| points(values, less(values))).collect();
        let values = || drawn.iter().flatten().map(|point| point.1);
        let range = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        panels.push(
            Panel::new(name, (0.0, seconds), range)
                .labels(if normalised { "seconds" } else { "" }, "")
                .height(130.0)
                .line("as recorded", BLUE, drawn[0].clone())
                .line("dull microphone", ORANGE, drawn[1].clone()),
        );
    }
    Ok(svg("A cepstral coefficient through two microphones, with and without its mean", &panels))
}
