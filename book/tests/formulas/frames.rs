//! Frames: how many, the windowed spectrum, the lobes of a plain cut.

use labyrinth::signal::{FeatureExtractor, FeatureKind, FeatureOptions, Random, WindowType};
use std::f64::consts::{PI, TAU};

fn plain(kind: FeatureKind) -> FeatureOptions {
    FeatureOptions {
        kind,
        preemphasis_coefficient: 0.0,
        remove_dc_offset: false,
        sample_scale: 1.0,
        ..FeatureOptions::default()
    }
}

#[test]
fn as_many_frames_as_can_be_laid_down() {
    for (length, shift) in [(25.0, 10.0), (250.0, 50.0), (64.0, 16.0)] {
        for snip_edges in [true, false] {
            let options = FeatureOptions {
                frame_length: length,
                frame_shift: shift,
                snip_edges,
                ..plain(FeatureKind::Fbank)
            };
            let extractor = FeatureExtractor::new(&options).unwrap();
            let (whole, hop) = ((length * 16.0) as usize, (shift * 16.0) as usize);
            for samples in (0..20_000).step_by(7) {
                let mut laid = 0;
                if snip_edges {
                    while laid * hop + whole <= samples {
                        laid += 1;
                    }
                } else {
                    // The middle of frame f, (f + 1/2) S, lies within the recording.
                    while (2 * laid + 1) * hop <= 2 * samples {
                        laid += 1;
                    }
                }
                assert_eq!(extractor.frame_count(samples), laid, "{samples} {length}/{shift}");
            }
        }
    }
}

/// The windows as the chapter writes them.
fn window(kind: WindowType, i: usize, length: usize) -> f64 {
    let hann = 0.5 - 0.5 * (TAU * i as f64 / (length - 1) as f64).cos();
    match kind {
        WindowType::Hanning => hann,
        WindowType::Povey => hann.powf(0.85),
        WindowType::Rectangular => 1.0,
        other => unreachable!("{other:?} is not in the chapter"),
    }
}

#[test]
fn a_frame_is_the_window_times_the_samples() {
    let mut random = Random::from_key(&[1]);
    let samples: Vec<f32> = (0..2000).map(|_| random.uniform() as f32 - 0.5).collect();
    for kind in [WindowType::Hanning, WindowType::Povey, WindowType::Rectangular] {
        let options = FeatureOptions { window_type: kind, ..plain(FeatureKind::Spectrogram) };
        let mut extractor = FeatureExtractor::new(&options).unwrap();
        let mut rows = Vec::new();
        extractor.compute(&samples, &mut rows);
        for (frame, row) in rows.chunks(extractor.dim()).enumerate() {
            for bin in [0, 1, 17, 128, 256] {
                // The sum over the frame, of window times sample times wave; 512 points with zeros behind.
                let (mut re, mut im) = (0.0, 0.0);
                for i in 0..400 {
                    let x = window(kind, i, 400) * f64::from(samples[frame * 160 + i]);
                    let angle = TAU * (bin * i) as f64 / 512.0;
                    re += x * angle.cos();
                    im -= x * angle.sin();
                }
                let power = re * re + im * im;
                let got = f64::from(row[bin]);
                assert!(
                    (got - power).abs() < 1e-4 * power + 1e-5,
                    "{kind:?} {frame} {bin}: {got} {power}"
                );
            }
        }
    }
}

#[test]
fn a_plain_cut_smears_as_the_geometric_sum_says() {
    // A frame of ones is a tone of frequency 0; 1 Hz between bins shows the lobes.
    let options = FeatureOptions {
        window_type: WindowType::Rectangular,
        frame_length: 1000.0,
        round_to_power_of_two: false,
        ..plain(FeatureKind::Spectrogram)
    };
    let mut extractor = FeatureExtractor::new(&options).unwrap();
    let samples: Vec<f32> = (0..16_000).map(|i| if i < 400 { 1.0 } else { 0.0 }).collect();
    let mut power = Vec::new();
    extractor.compute(&samples, &mut power);
    for hertz in 1..8000 {
        let omega = TAU * f64::from(hertz) / 16_000.0;
        let formula = (omega * 200.0).sin() / (omega / 2.0).sin();
        let got = f64::from(power[hertz as usize]);
        assert!(
            (got - formula * formula).abs() < 0.02 + 1e-4 * formula * formula,
            "{hertz} Hz: {got}"
        );
    }
    // First zero at 1/T = 40 Hz; the first side lobe 13 dB below the main one.
    assert!(power[40] < 1e-3 && power[20] > 1e4);
    let side = f64::from(power[41..80].iter().copied().fold(0.0, f32::max));
    let decibels = 10.0 * (side / f64::from(power[0])).log10();
    assert!((decibels + 13.26).abs() < 0.1, "{decibels}");
    assert!((side.sqrt() - 400.0 / (1.5 * PI)).abs() < 4.0);
}
