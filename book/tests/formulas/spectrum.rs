//! Spectrum: the transform as a sum, Parseval, the butterfly, pre-emphasis.

use labyrinth::signal::{FeatureExtractor, FeatureKind, FeatureOptions, Random, WindowType};
use std::f64::consts::TAU;

/// Power spectra of one frame of `length` samples, nothing done to it before.
fn options(length: usize, power_of_two: bool) -> FeatureOptions {
    FeatureOptions {
        kind: FeatureKind::Spectrogram,
        // A sample a millisecond.
        sample_frequency: 1000.0,
        frame_length: length as f32,
        frame_shift: length as f32,
        window_type: WindowType::Rectangular,
        preemphasis_coefficient: 0.0,
        remove_dc_offset: false,
        round_to_power_of_two: power_of_two,
        sample_scale: 1.0,
        ..FeatureOptions::default()
    }
}

fn computed(options: &FeatureOptions, samples: &[f32]) -> Vec<f64> {
    let mut power = Vec::new();
    FeatureExtractor::new(options).unwrap().compute(samples, &mut power);
    power.into_iter().map(f64::from).collect()
}

/// X_k of `samples`, with the wave of k turns in `points`.
fn transform(samples: &[f64], k: usize, points: usize) -> (f64, f64) {
    samples.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, x)| {
        let angle = TAU * (k * i % points) as f64 / points as f64;
        (re + x * angle.cos(), im - x * angle.sin())
    })
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random::from_key(&[seed]);
    (0..count).map(|_| random.uniform() as f32 - 0.5).collect()
}

#[test]
fn bins_are_the_sums_and_zeros_change_nothing() {
    for (length, power_of_two, points) in
        [(512, true, 512), (400, true, 512), (400, false, 400), (64, true, 64), (100, true, 128)]
    {
        let samples = noise(length as u64, length);
        let got = computed(&options(length, power_of_two), &samples);
        assert_eq!(got.len(), points / 2 + 1);
        let x: Vec<f64> = samples.iter().map(|&x| f64::from(x)).collect();
        let energy: f64 = x.iter().map(|x| x * x).sum();
        for (k, got) in got.iter().enumerate() {
            let (re, im) = transform(&x, k, points);
            let power = re * re + im * im;
            assert!((got - power).abs() < 1e-5 * energy, "{length} {k}: {got} {power}");
        }
        // Parseval: all bins but the ends stand for their mirror images too.
        let sum = got[0] + got[points / 2] + 2.0 * got[1..points / 2].iter().sum::<f64>();
        assert!((sum / (points as f64 * energy) - 1.0).abs() < 1e-5, "{length}");
    }
}

#[test]
fn two_halves_make_a_whole_by_the_butterfly() {
    let samples = noise(7, 256);
    let got = computed(&options(256, true), &samples);
    let part = |first: usize| -> Vec<f64> {
        samples.iter().skip(first).step_by(2).map(|&x| f64::from(x)).collect()
    };
    let (even, odd) = (part(0), part(1));
    // The crate's powers of both halves are those of E and O.
    for (half, x) in [(&even, 0), (&odd, 1)] {
        let half_samples: Vec<f32> = samples.iter().skip(x).step_by(2).copied().collect();
        for (k, got) in computed(&options(128, true), &half_samples).iter().enumerate() {
            let (re, im) = transform(half, k, 128);
            assert!((got - (re * re + im * im)).abs() < 1e-4, "{k}");
        }
    }
    for (k, got) in got.iter().enumerate() {
        let (e, o) = (transform(&even, k % 128, 128), transform(&odd, k % 128, 128));
        let angle = TAU * (k % 128) as f64 / 256.0;
        let (cos, sin) = (angle.cos(), angle.sin());
        let turned = (o.0 * cos + o.1 * sin, o.1 * cos - o.0 * sin);
        let sign = if k < 128 { 1.0 } else { -1.0 };
        let (re, im) = (e.0 + sign * turned.0, e.1 + sign * turned.1);
        assert!((got - (re * re + im * im)).abs() < 1e-4, "{k}");
    }
    // And neighbours as one complex number, separated afterwards.
    for (k, got) in got.iter().enumerate().take(128).skip(1) {
        let z = |k: usize| {
            let (e, o) = (transform(&even, k, 128), transform(&odd, k, 128));
            (e.0 - o.1, e.1 + o.0)
        };
        let (z, mirror) = (z(k), z(128 - k));
        let e = (0.5 * (z.0 + mirror.0), 0.5 * (z.1 - mirror.1));
        let o = (0.5 * (z.1 + mirror.1), -0.5 * (z.0 - mirror.0));
        let angle = TAU * k as f64 / 256.0;
        let (cos, sin) = (angle.cos(), angle.sin());
        let (re, im) = (e.0 + o.0 * cos + o.1 * sin, e.1 + o.1 * cos - o.0 * sin);
        assert!((got - (re * re + im * im)).abs() < 1e-4, "{k}");
    }
}

#[test]
fn differences_tilt_the_spectrum_as_the_formula_says() {
    let c = 0.97_f64;
    let length = 4000;
    for step in 1..20 {
        // A tone in the middle of a bin that returns at the frame's end, so that only the first sample,
        // which has no predecessor, differs.
        let k = 100 * step;
        let omega = TAU * f64::from(k) / f64::from(length);
        let samples: Vec<f32> = (0..length).map(|i| (omega * f64::from(i)).cos() as f32).collect();
        let plain = options(length as usize, false);
        let tilted = FeatureOptions { preemphasis_coefficient: c as f32, ..plain.clone() };
        let (before, after) = (computed(&plain, &samples), computed(&tilted, &samples));
        let ratio = after[k as usize] / before[k as usize];
        let formula = 1.0 + c * c - 2.0 * c * omega.cos();
        assert!((ratio / formula - 1.0).abs() < 0.02, "{omega}: {ratio} {formula}");
    }
    // Exactly, with x[-1] = x[0], for noise.
    let samples = noise(9, 512);
    let tilted = FeatureOptions { preemphasis_coefficient: c as f32, ..options(512, true) };
    let y: Vec<f64> = (0..512_usize)
        .map(|i| f64::from(samples[i]) - c * f64::from(samples[i.saturating_sub(1)]))
        .collect();
    for (k, got) in computed(&tilted, &samples).iter().enumerate() {
        let (re, im) = transform(&y, k, 512);
        assert!((got - (re * re + im * im)).abs() < 1e-3, "{k}");
    }
}
