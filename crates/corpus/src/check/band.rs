//! Up to which frequency a recording holds sound: one that was resampled from a lower rate ends at a
//! sharp edge.
//!
//! The power spectrum is averaged over frames of 32 ms and summed into bands of 125 Hz. Speech falls off
//! towards high frequencies, but slowly, and the noise of the room goes on to the end; a resampler's
//! filter cuts both off within a few hundred Hz. An edge is where the mean of the four bands below lies
//! [`DROP_DB`] above every band from 375 Hz higher on.

use labyrinth_signal::{FeatureExtractor, FeatureKind, FeatureOptions, Normalization, WindowType};

/// Width of a band in Hz.
const BAND: f64 = 125.0;

/// Bands that are averaged below an edge.
const BELOW: usize = 4;

/// Bands that an edge may take.
const EDGE: usize = 3;

/// Nothing is called an edge below this frequency in Hz: speech reaches higher.
const LOWEST: f64 = 1500.0;

/// Nor above this share of half the sample rate: filters before a converter end there.
const HIGHEST: f64 = 0.8;

/// Recognisers listen at 16 kHz at most; what is missing above their half is not missed. (Opus is
/// decoded at 48 kHz whatever it was made of.)
const LISTENED_TO: f64 = 8000.0;

/// How much lower everything above must lie.
const DROP_DB: f64 = 25.0;

/// The frequency in Hz above which there is nothing, where there is such an edge.
pub(super) fn band_edge(samples: &[f32], sample_rate: u32) -> Option<f32> {
    let options = FeatureOptions {
        kind: FeatureKind::Spectrogram,
        sample_frequency: sample_rate as f32,
        frame_length: 32.0,
        frame_shift: 32.0,
        preemphasis_coefficient: 0.0,
        window_type: WindowType::Blackman,
        normalize: Normalization::None,
        ..FeatureOptions::default()
    };
    let mut extractor = FeatureExtractor::new(&options).ok()?;
    let bins = extractor.dim();
    let mut power = vec![0.0; bins];
    let mut frames = Vec::new(); // [frames, bins]
    // Blocks, so that the spectrum of an hour is never held whole.
    for block in samples.chunks(1 << 16) {
        extractor.push(block, &mut frames);
        add_frames(&frames, &mut power);
        frames.clear();
    }
    extractor.finish(&mut frames);
    add_frames(&frames, &mut power);
    edge(&band_levels(&power, sample_rate))
}

fn add_frames(frames: &[f32], power: &mut [f64]) {
    for frame in frames.chunks_exact(power.len()) {
        power.iter_mut().zip(frame).for_each(|(sum, bin)| *sum += f64::from(*bin));
    }
}

/// Mean power of the bins of each band in dB; the last, half-filled band is left out.
fn band_levels(power: &[f64], sample_rate: u32) -> Vec<f64> {
    let half = f64::from(sample_rate) / 2.0;
    let width = half / (power.len() - 1) as f64; // Hz a bin
    let bands = (half / BAND) as usize;
    (0..bands)
        .map(|band| {
            let first = (band as f64 * BAND / width).ceil() as usize;
            let end = ((band + 1) as f64 * BAND / width).ceil() as usize;
            let bins = &power[first..end.max(first + 1).min(power.len())];
            10.0 * (bins.iter().sum::<f64>() / bins.len() as f64).max(1e-20).log10()
        })
        .collect()
}

fn edge(levels: &[f64]) -> Option<f32> {
    let lowest = ((LOWEST / BAND) as usize).max(BELOW);
    let half = (levels.len() as f64 * BAND).min(LISTENED_TO);
    let highest = (half * HIGHEST / BAND) as usize;
    // From each band on, the loudest; the very last is the converter's own filter.
    let mut above = vec![f64::NEG_INFINITY; levels.len() + 1];
    for band in (0..levels.len()).rev() {
        above[band] = above[band + 1].max(levels[band]);
    }
    let drop = |band: usize| {
        let below = levels[band - BELOW..band].iter().sum::<f64>() / BELOW as f64;
        below - above[(band + EDGE).min(levels.len() - 1)]
    };
    let steepest = (lowest..=highest).max_by(|a, b| drop(*a).total_cmp(&drop(*b)))?;
    (drop(steepest) >= DROP_DB).then_some((steepest as f64 * BAND) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_signal::{Random, resample};

    /// Noise that falls off by 12 dB an octave, as the long-term spectrum of speech does, over that of a
    /// quiet room.
    fn speech_like(rate: u32, seconds: usize) -> Vec<f32> {
        let mut random = Random::from_key(&[3]);
        let (mut once, mut twice) = (0.0, 0.0);
        (0..rate as usize * seconds)
            .map(|_| {
                let white = 2.0 * random.uniform() - 1.0;
                once += 0.15 * (white - once);
                twice += 0.15 * (once - twice);
                (twice + 0.002 * (2.0 * random.uniform() - 1.0)) as f32
            })
            .collect()
    }

    #[test]
    fn a_recording_from_a_lower_rate_ends_at_its_edge() {
        for rate in [16000, 22050, 44100] {
            assert_eq!(band_edge(&speech_like(rate, 2), rate), None, "{rate}");
        }
        assert_eq!(band_edge(&resample(&speech_like(16000, 2), 16000, 48000), 48000), None);
        for (from, to) in [(8000, 16000), (11025, 22050), (8000, 48000)] {
            let raised = resample(&speech_like(from, 2), from, to);
            let edge = f64::from(band_edge(&raised, to).unwrap());
            let half = f64::from(from) / 2.0;
            assert!(edge > 0.85 * half && edge < 1.1 * half, "{from} to {to}: {edge}");
        }
    }

    #[test]
    fn what_is_too_short_or_silent_has_no_edge() {
        assert_eq!(band_edge(&[0.1; 100], 16000), None);
        assert_eq!(band_edge(&[0.0; 16000], 16000), None);
        assert_eq!(band_edge(&[0.0; 1000], 1000), None);
    }
}
