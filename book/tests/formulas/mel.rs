//! Mel: the scale, the triangles, what they sum to, the logarithm of a louder recording.

use labyrinth::signal::{FeatureExtractor, FeatureKind, FeatureOptions, Random, WindowType};
use std::f64::consts::TAU;

fn mel(hertz: f64) -> f64 {
    1127.0 * (1.0 + hertz / 700.0).ln()
}

/// W as the chapter writes it: the weight of bin `k` in triangle `b`.
fn weight(b: usize, k: usize, filters: usize, rate: f64, points: usize) -> f64 {
    let (low, high) = (mel(20.0), mel(rate / 2.0));
    let d = (high - low) / (filters + 1) as f64;
    let m = mel(k as f64 * rate / points as f64);
    let (left, right) = (low + b as f64 * d, low + (b + 2) as f64 * d);
    ((m - left) / d).min((right - m) / d).max(0.0)
}

fn computed(options: &FeatureOptions, samples: &[f32]) -> (Vec<f32>, usize) {
    let mut extractor = FeatureExtractor::new(options).unwrap();
    let mut rows = Vec::new();
    extractor.compute(samples, &mut rows);
    (rows, extractor.dim())
}

#[test]
fn the_scale_meets_at_1000_and_bends_as_its_slope_says() {
    assert!((mel(1000.0) - 1000.0).abs() < 0.02);
    assert!((1000.0 / (17f64 / 7.0).ln() - 1127.01).abs() < 0.01);
    for hertz in [10.0, 300.0, 700.0, 4000.0] {
        let slope = (mel(hertz + 0.01) - mel(hertz - 0.01)) / 0.02;
        assert!((slope - 1127.0 / (hertz + 700.0)).abs() < 1e-6);
        assert!((700.0 * ((mel(hertz) / 1127.0).exp() - 1.0) - hertz).abs() < 1e-9);
    }
}

#[test]
fn filters_are_weighted_sums_of_the_powers() {
    let mut random = Random::from_key(&[3]);
    let samples: Vec<f32> = (0..6000).map(|_| random.uniform() as f32 - 0.5).collect();
    for (filters, rate) in [(80, 16_000.0), (23, 16_000.0), (40, 8000.0)] {
        let fbank = FeatureOptions {
            num_mel_bins: filters,
            sample_frequency: rate as f32,
            ..FeatureOptions::default()
        };
        let spectrum = FeatureOptions { kind: FeatureKind::Spectrogram, ..fbank.clone() };
        let (rows, dim) = computed(&fbank, &samples);
        let (powers, bins) = computed(&spectrum, &samples);
        assert_eq!((dim, rows.len() / dim), (filters, powers.len() / bins));
        let points = 2 * (bins - 1);
        for (row, power) in rows.chunks(dim).zip(powers.chunks(bins)) {
            for (b, got) in row.iter().enumerate() {
                let energy: f64 = (0..bins - 1)
                    .map(|k| weight(b, k, filters, rate, points) * f64::from(power[k]))
                    .sum();
                let expected = energy.max(2f64.powi(-23)).ln();
                assert!((f64::from(*got) - expected).abs() < 2e-4, "{filters} {b}: {got}");
            }
        }
    }
}

#[test]
fn every_bin_between_the_outer_peaks_is_shared_out_whole() {
    // 512 samples without a window: a tone on a bin is in that bin alone.
    let plain = FeatureOptions {
        frame_length: 32.0,
        window_type: WindowType::Rectangular,
        preemphasis_coefficient: 0.0,
        remove_dc_offset: false,
        use_log_fbank: false,
        ..FeatureOptions::default()
    };
    for filters in [23, 80] {
        let options = FeatureOptions { num_mel_bins: filters, ..plain.clone() };
        let spectrum = FeatureOptions { kind: FeatureKind::Spectrogram, ..options.clone() };
        for k in [3, 10, 64, 100, 200, 240] {
            let tone: Vec<f32> =
                (0..512).map(|i| (TAU * f64::from(k * i) / 512.0).cos() as f32).collect();
            let (energies, _) = computed(&options, &tone);
            let (power, _) = computed(&spectrum, &tone);
            let shares: Vec<f64> =
                energies.iter().map(|e| f64::from(*e) / f64::from(power[k as usize])).collect();
            let mut sum = 0.0;
            for (b, share) in shares.iter().enumerate() {
                let formula = weight(b, k as usize, filters, 16_000.0, 512);
                assert!((share - formula).abs() < 1e-4, "{filters} {k} {b}: {share} {formula}");
                sum += share;
            }
            // Below the first peak and above the last the sum falls to 0.
            let (low, high) = (mel(20.0), mel(8000.0));
            let d = (high - low) / (filters + 1) as f64;
            let m = mel(f64::from(k) * 31.25);
            if (low + d..=high - d).contains(&m) {
                assert!((sum - 1.0).abs() < 1e-4, "{filters} {k}: {sum}");
            } else {
                assert!(sum < 1.0, "{filters} {k}: {sum}");
            }
        }
    }
}

#[test]
fn louder_is_a_constant_more() {
    let mut random = Random::from_key(&[4]);
    let quiet: Vec<f32> = (0..4000).map(|_| random.uniform() as f32 * 0.1 - 0.05).collect();
    let loud: Vec<f32> = quiet.iter().map(|x| 8.0 * x).collect();
    let options = FeatureOptions::default();
    let (before, after) = (computed(&options, &quiet).0, computed(&options, &loud).0);
    let shift = 2.0 * 8f32.ln();
    assert!(before.iter().zip(&after).all(|(a, b)| (b - a - shift).abs() < 1e-4));
}
