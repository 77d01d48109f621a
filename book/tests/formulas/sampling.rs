//! Sampling: aliases, the interpolating sum, the noise of rounding, dithered silence.

use labyrinth::signal::{
    FeatureExtractor, FeatureKind, FeatureOptions, Random, read_audio, resample, write_wav,
};
use std::f64::consts::{PI, TAU};

#[test]
fn a_family_of_tones_has_the_same_samples() {
    let (rate, phase) = (8000.0, 0.7);
    for i in 0..200 {
        let at = |f: f64, phase: f64| (TAU * f / rate * f64::from(i) + phase).cos();
        for f in [0.0, 440.0, 3000.0, 3999.0] {
            for whole in 0..4 {
                let above = f64::from(whole) * rate;
                assert!((at(above + f, phase) - at(f, phase)).abs() < 1e-9);
                assert!((at(above + rate - f, -phase) - at(f, phase)).abs() < 1e-9);
            }
        }
    }
    // What the crate takes for the same sound: 5000 Hz at 8000 samples a second is 3000 Hz.
    let tone = |f: f64| -> Vec<f32> {
        (0..800).map(|i| (TAU * f / rate * f64::from(i)).cos() as f32).collect()
    };
    let spectrum = |samples: &[f32]| {
        let options = FeatureOptions {
            kind: FeatureKind::Spectrogram,
            sample_frequency: rate as f32,
            ..FeatureOptions::default()
        };
        let mut rows = Vec::new();
        FeatureExtractor::new(&options).unwrap().compute(samples, &mut rows);
        rows[..129].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
    };
    assert_eq!(spectrum(&tone(5000.0)), spectrum(&tone(3000.0)));
    assert_eq!(spectrum(&tone(3000.0)), 96); // 3000 Hz of 8000 in 256 points
}

/// sin(πz) / (πz).
fn sinc(z: f64) -> f64 {
    if z == 0.0 { 1.0 } else { (PI * z).sin() / (PI * z) }
}

#[test]
fn every_time_of_a_band_limited_sound_is_in_its_samples() {
    // A stretch of n = 21 samples that repeats, waves k = 0 .. 10: the finite form of the theorem.
    let (n, most) = (21, 10);
    let mut random = Random::from_key(&[1]);
    let waves: Vec<(f64, f64)> =
        (0..=most).map(|_| (random.uniform() - 0.5, TAU * random.uniform())).collect();
    let x = |t: f64| -> f64 {
        let wave = |(k, &(size, phase)): (usize, &(f64, f64))| {
            size * (TAU * k as f64 * t / f64::from(n) + phase).cos()
        };
        waves.iter().enumerate().map(wave).sum()
    };
    let kernel = |u: f64| match (u / f64::from(n)).fract() == 0.0 {
        true => 1.0,
        false => (PI * u).sin() / (f64::from(n) * (PI * u / f64::from(n)).sin()),
    };
    for step in 0..300 {
        let t = f64::from(step) * 0.07;
        let sum: f64 = (0..n).map(|i| x(f64::from(i)) * kernel(t - f64::from(i))).sum();
        assert!((sum - x(t)).abs() < 1e-12, "{t}");
        let plain: f64 =
            (-most..=most).map(|k| (TAU * f64::from(k) * t / f64::from(n)).cos()).sum::<f64>()
                / f64::from(n);
        assert!((plain - kernel(t)).abs() < 1e-12, "{t}");
    }
}

#[test]
fn resampling_is_the_windowed_sum() {
    // Kaiser's window, 64 zero crossings to each side, 90 dB.
    let bessel = |x: f64| -> f64 {
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 1..60 {
            term *= (x / 2.0 / f64::from(k)).powi(2);
            sum += term;
        }
        sum
    };
    let beta = 0.1102 * (90.0 - 8.7);
    let mut random = Random::from_key(&[2]);
    let x: Vec<f32> = (0..1500).map(|_| random.uniform() as f32 - 0.5).collect();
    for (from, to) in [(16_000, 8_000), (8_000, 16_000), (44_100, 16_000), (16_000, 11_025)] {
        let y = resample(&x, from, to);
        assert_eq!(y.len(), (1500.0 * f64::from(to) / f64::from(from)).round() as usize);
        let lower = (f64::from(to) / f64::from(from)).min(1.0);
        let transition = (90.0 - 7.95) / (14.36 * 128.0) * 2.0;
        let share = lower * (1.0 - transition / 2.0);
        let reach = 64.0 / share;
        let h = |u: f64| match u.abs() < reach {
            true => {
                let window = bessel(beta * (1.0 - (u / reach).powi(2)).sqrt()) / bessel(beta);
                share * sinc(share * u) * window
            }
            false => 0.0,
        };
        for m in (0..y.len()).step_by(7) {
            let position = m as f64 * f64::from(from) / f64::from(to);
            let (mut sum, mut weights) = (0.0, 0.0);
            let first = (position - reach).floor() as i64;
            for i in first..=(position + reach).ceil() as i64 {
                let weight = h(position - i as f64);
                weights += weight;
                if let Some(&sample) = usize::try_from(i).ok().and_then(|i| x.get(i)) {
                    sum += f64::from(sample) * weight;
                }
            }
            let expected = sum / weights;
            assert!((f64::from(y[m]) - expected).abs() < 2e-6, "{from} {to} {m}: {}", y[m]);
        }
    }
}

#[test]
fn sixteen_bits_are_98_decibels() {
    let samples: Vec<f32> =
        (0..100_000).map(|i| (0.99 * (f64::from(i) * 0.123_456).sin()) as f32).collect();
    let path = std::env::temp_dir().join(format!("labyrinth-book-{}.wav", std::process::id()));
    write_wav(&path, 16_000, &samples).unwrap();
    let read = read_audio(&path, None).unwrap().mono();
    std::fs::remove_file(&path).unwrap();
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
    let noise = power(&mut samples.iter().zip(&read).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let signal = power(&mut samples.iter().map(|&v| f64::from(v) / 0.99));
    let measured = 10.0 * (signal / noise).log10();
    assert!((measured - (6.02 * 16.0 + 1.76)).abs() < 0.1, "{measured}");
}

#[test]
fn dithered_silence_lies_where_the_integral_says() {
    let options = FeatureOptions {
        kind: FeatureKind::LogSpectrogram,
        dither: 1.0,
        preemphasis_coefficient: 0.0,
        remove_dc_offset: false,
        ..FeatureOptions::default()
    };
    let mut extractor = FeatureExtractor::new(&options).unwrap();
    let dim = extractor.dim();
    let mut rows = Vec::new();
    extractor.compute_for("silence", &vec![0.0; 160_000], &mut rows);
    let squares: f64 =
        (0..400).map(|i| (0.5 - 0.5 * (TAU * f64::from(i) / 399.0).cos()).powf(1.7)).sum();
    let expected = squares.ln() - 0.577_215_664_901_532_9;
    // Every second frame and bin, away from the ends, so that most are independent.
    let picked: Vec<f64> = rows
        .chunks(dim)
        .step_by(2)
        .flat_map(|row| row[6..250].iter().step_by(2))
        .map(|&value| f64::from(value))
        .collect();
    let mean = picked.iter().sum::<f64>() / picked.len() as f64;
    // One deviation of ln P is π / √6; the mean of 60,000 lies within 0.02 of four of them.
    assert!((mean - expected).abs() < 0.03, "{mean} {expected}");
    assert!((expected - 4.5).abs() < 0.1, "the chapter says 4.5: {expected}");
    // Without dither it is the floor.
    rows.clear();
    extractor.compute(&vec![0.0; 16_000], &mut rows);
    assert!(rows.iter().all(|value| (value + 15.942_385).abs() < 1e-3));
}
