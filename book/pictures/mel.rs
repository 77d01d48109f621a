//! Pictures of the chapter on the mel scale: the triangles, one recording through them.

use labyrinth::signal::{FeatureKind, FeatureOptions, WindowType};

use crate::plot::{BLUE, GREEN, ORANGE, PURPLE, Panel, svg};
use crate::speech::{Recording, Speech};

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let recording = speech.recording("cen7-mjgm-b")?;
    Ok(vec![("mel-triangles", triangles()?), ("mel-bands", bands(&recording)?)])
}

const RATE: u32 = 16_000;
const POINTS: usize = 512;

/// The weights of each filter, `[bins][filters]`: the answer to a tone on each bin, which without a window
/// is in that bin alone.
fn weights(filters: usize) -> Result<Vec<Vec<f64>>, String> {
    let options = FeatureOptions {
        num_mel_bins: filters,
        frame_length: 32.0,
        window_type: WindowType::Rectangular,
        preemphasis_coefficient: 0.0,
        remove_dc_offset: false,
        use_log_fbank: false,
        ..FeatureOptions::default()
    };
    let spectrum = FeatureOptions { kind: FeatureKind::Spectrogram, ..options.clone() };
    let of_bin = |bin: usize| {
        let step = std::f64::consts::TAU * bin as f64 / POINTS as f64;
        let samples = (0..POINTS).map(|i| (step * i as f64).cos() as f32).collect();
        let tone = Recording { text: String::new(), samples, rate: RATE };
        let power = f64::from(tone.features(&spectrum)?.0[bin]);
        Ok(tone.features(&options)?.0.iter().map(|&energy| f64::from(energy) / power).collect())
    };
    (1..POINTS / 2).map(of_bin).collect()
}

fn triangles() -> Result<String, String> {
    const HIGHEST: f64 = 4.0;
    let mut panels = Vec::new();
    for filters in [23, 80] {
        let weights = weights(filters)?;
        let mut panel =
            Panel::new(&format!("{filters} filters"), (0.0, HIGHEST), (0.0, 1.05)).height(120.0);
        panel = panel.labels(if filters == 80 { "kHz" } else { "" }, "weight");
        for filter in 0..filters {
            let points: Vec<(f64, f64)> = weights
                .iter()
                .enumerate()
                .map(|(index, row)| {
                    ((index + 1) as f64 * f64::from(RATE) / POINTS as f64 / 1000.0, row[filter])
                })
                .collect();
            // The bins under the triangle, and the two beside it; elsewhere the tone's rounding is left.
            let under: Vec<usize> =
                (0..points.len()).filter(|&index| points[index].1 > 1e-3).collect();
            let (Some(first), Some(last)) = (under.first(), under.last()) else { continue };
            let end = (last + 2).min(points.len());
            let points = points[first.saturating_sub(1)..end].to_vec();
            if points[0].0 < HIGHEST && points[points.len() - 1].0 < HIGHEST {
                panel = panel.line("", [BLUE, ORANGE, GREEN, PURPLE][filter % 4], points);
            }
        }
        panels.push(panel);
    }
    Ok(svg("The triangles of 23 and 80 mel filters, up to 4 kHz", &panels))
}

fn bands(recording: &Recording) -> Result<String, String> {
    let seconds = recording.samples.len() as f64 / f64::from(recording.rate);
    let mut panels = Vec::new();
    for (name, kind, filters) in [
        ("257 bins, 0 to 8 kHz", FeatureKind::LogSpectrogram, 80),
        ("80 mel filters", FeatureKind::Fbank, 80),
        ("23 mel filters", FeatureKind::Fbank, 23),
    ] {
        let options = FeatureOptions {
            kind,
            num_mel_bins: filters,
            snip_edges: false,
            ..FeatureOptions::default()
        };
        let (rows, dim) = recording.features(&options)?;
        let (top, unit) = match kind {
            FeatureKind::Fbank => (filters as f64, "filter"),
            _ => (8.0, "kHz"),
        };
        panels.push(
            Panel::new(name, (0.0, seconds), (0.0, top))
                .labels(if filters == 23 { "seconds" } else { "" }, unit)
                .height(130.0)
                .frames(&rows, dim),
        );
    }
    let alt = format!("{} as a spectrogram and through 80 and 23 mel filters", recording.text);
    Ok(svg(&alt, &panels))
}
