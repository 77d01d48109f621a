//! Cepstrum: the cosine transform and back, the lifter, means over everything and over a window, slopes.

use labyrinth::signal::{
    Cmvn, CmvnOptions, CmvnStats, DeltaOptions, Deltas, FeatureExtractor, FeatureKind,
    FeatureOptions, Random, SlidingCmvn, SlidingCmvnOptions, Splice, SpliceOptions, Stage,
    normalize_utterance,
};
use std::f64::consts::PI;

fn computed(options: &FeatureOptions, samples: &[f32]) -> Vec<f32> {
    let mut rows = Vec::new();
    FeatureExtractor::new(options).unwrap().compute(samples, &mut rows);
    rows
}

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random::from_key(&[seed]);
    (0..count).map(|_| random.uniform() as f32 - 0.5).collect()
}

/// s_k cos(πk(b + 1/2) / B).
fn cosine(k: usize, b: usize, filters: usize) -> f64 {
    let terms = if k == 0 { 1.0 } else { 2.0 };
    let angle = PI * k as f64 * (b as f64 + 0.5) / filters as f64;
    (terms / filters as f64).sqrt() * angle.cos()
}

#[test]
fn mfcc_are_the_cosine_transform_of_the_filterbank() {
    for filters in [23, 40] {
        for k in 0..filters {
            for l in 0..filters {
                let product: f64 =
                    (0..filters).map(|b| cosine(k, b, filters) * cosine(l, b, filters)).sum();
                assert!((product - f64::from(u8::from(k == l))).abs() < 1e-12);
            }
        }
        let samples = noise(1, 5000);
        for (count, lifter) in [(13, 0.0), (13, 22.0), (filters, 0.0)] {
            let mfcc = FeatureOptions {
                kind: FeatureKind::Mfcc,
                use_energy: false,
                num_mel_bins: filters,
                num_ceps: count,
                cepstral_lifter: lifter,
                ..FeatureOptions::default()
            };
            let fbank = FeatureOptions { kind: FeatureKind::Fbank, ..mfcc.clone() };
            let (got, logs) = (computed(&mfcc, &samples), computed(&fbank, &samples));
            assert_eq!(got.len() / count, logs.len() / filters);
            for (got, m) in got.chunks(count).zip(logs.chunks(filters)) {
                for (k, got) in got.iter().enumerate() {
                    let sum: f64 =
                        (0..filters).map(|b| f64::from(m[b]) * cosine(k, b, filters)).sum();
                    let q = f64::from(lifter);
                    let lift =
                        if q > 0.0 { 1.0 + q / 2.0 * (PI * k as f64 / q).sin() } else { 1.0 };
                    assert!((f64::from(*got) - lift * sum).abs() < 1e-3, "{count} {k}");
                }
                if count == filters {
                    for (b, m) in m.iter().enumerate() {
                        let back: f64 =
                            (0..count).map(|k| f64::from(got[k]) * cosine(k, b, filters)).sum();
                        assert!((f64::from(*m) - back).abs() < 1e-3);
                    }
                }
            }
        }
    }
}

#[test]
fn a_microphone_is_a_constant_that_the_mean_takes_away() {
    let (frames, dim) = (200, 5);
    let x = noise(2, frames * dim);
    // In a logarithm, another microphone adds to each dimension.
    let coloured: Vec<f32> = x.iter().enumerate().map(|(i, v)| v + (i % dim) as f32).collect();
    for norm_vars in [false, true] {
        let normalised = |x: &[f32]| {
            let mut stats = CmvnStats::new(dim);
            stats.accumulate(x);
            let options = CmvnOptions { norm_vars, ..CmvnOptions::default() };
            let mut out = Vec::new();
            Cmvn::new(&stats, &options).unwrap().compute(x, &mut out);
            out
        };
        let (plain, other) = (normalised(&x), normalised(&coloured));
        assert!(plain.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-4));
        for d in 0..dim {
            let column: Vec<f64> = x.iter().skip(d).step_by(dim).map(|&v| v.into()).collect();
            let mean = column.iter().sum::<f64>() / frames as f64;
            let square = column.iter().map(|v| v * v).sum::<f64>() / frames as f64;
            let deviation = if norm_vars { (square - mean * mean).sqrt() } else { 1.0 };
            for (t, value) in column.iter().enumerate() {
                let expected = (value - mean) / deviation;
                assert!((f64::from(plain[t * dim + d]) - expected).abs() < 1e-5);
            }
        }
        if norm_vars {
            let mut over_utterance = x.clone();
            normalize_utterance(&mut over_utterance, dim);
            assert!(plain.iter().zip(&over_utterance).all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}

#[test]
fn the_sliding_mean_is_over_the_frames_it_says() {
    let (frames, dim, window, least) = (120, 2, 30, 10);
    let x = noise(3, frames * dim);
    let options = SlidingCmvnOptions {
        cmn_window: window,
        min_cmn_window: least,
        ..SlidingCmvnOptions::default()
    };
    let mut out = Vec::new();
    SlidingCmvn::new(dim, options).unwrap().compute(&x, &mut out);
    for t in 0..frames {
        let start = t.saturating_sub(window);
        let end = (t + 1).max(least);
        for d in 0..dim {
            let sum: f64 = (start..end).map(|i| f64::from(x[i * dim + d])).sum();
            let expected = f64::from(x[t * dim + d]) - sum / (end - start) as f64;
            assert!((f64::from(out[t * dim + d]) - expected).abs() < 1e-5, "{t}");
        }
    }
}

#[test]
fn deltas_are_least_squares_slopes_and_splices_are_neighbours() {
    let (frames, dim) = (40_i64, 3);
    let x = noise(4, frames as usize * dim);
    let at = |t: i64, d: usize| f64::from(x[t.clamp(0, frames - 1) as usize * dim + d]);
    for w in 1..4_i64 {
        let mut out = Vec::new();
        let options = DeltaOptions { order: 2, window: w as usize, truncate: 0 };
        Deltas::new(dim, options).unwrap().compute(&x, &mut out);
        let squares: f64 = (-w..=w).map(|j| (j * j) as f64).sum();
        let slope =
            |t: i64, d: usize| (-w..=w).map(|j| j as f64 * at(t + j, d)).sum::<f64>() / squares;
        for t in 0..frames {
            for d in 0..dim {
                let row = &out[t as usize * 3 * dim..];
                assert!((f64::from(row[dim + d]) - slope(t, d)).abs() < 1e-6);
                // Inside, the second order is the slope of the slopes.
                if (2 * w..frames - 2 * w).contains(&t) {
                    let twice = (-w..=w).map(|j| j as f64 * slope(t + j, d)).sum::<f64>() / squares;
                    assert!((f64::from(row[2 * dim + d]) - twice).abs() < 1e-6);
                }
                // No other line fits better.
                let fit = |a: f64, b: f64| -> f64 {
                    (-w..=w).map(|j| (at(t + j, d) - a - b * j as f64).powi(2)).sum()
                };
                let mean = (-w..=w).map(|j| at(t + j, d)).sum::<f64>() / (2 * w + 1) as f64;
                let best = fit(mean, slope(t, d));
                for nudge in [-1e-3, 1e-3] {
                    assert!(fit(mean, slope(t, d) + nudge) > best);
                    assert!(fit(mean + nudge, slope(t, d)) > best);
                }
            }
        }
    }
    let mut spliced = Vec::new();
    Splice::new(dim, SpliceOptions { left: 2, right: 1 }).unwrap().compute(&x, &mut spliced);
    for t in 0..frames {
        for (place, offset) in (-2..=1).enumerate() {
            for d in 0..dim {
                let got = spliced[(t as usize * 4 + place) * dim + d];
                assert_eq!(f64::from(got), at(t + offset, d));
            }
        }
    }
}
