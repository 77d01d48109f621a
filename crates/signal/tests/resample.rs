//! Resampling: what must vanish vanishes, what must survive survives in level, phase and length,
//! and pieces give the same bytes as the whole.

mod common;

use std::f64::consts::TAU;

use common::{measure, tone};
use labyrinth_signal::{Random, Resampler, resample};
use proptest::prelude::*;

fn level(samples: &[f32]) -> f64 {
    let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
    let power: f64 = middle.iter().map(|v| f64::from(*v).powi(2)).sum();
    10.0 * (power / middle.len() as f64).log10()
}

/// Decibels of a tone of amplitude 0.5.
fn tone_level() -> f64 {
    10.0 * (0.125f64).log10()
}

#[test]
fn aliases_and_images_are_gone() {
    // Pitfall 27: 7 kHz would fold to 1 kHz.
    let alias = level(&resample(&tone(16_000, 16_000, 7000.0), 16_000, 8000));
    println!("7 kHz at 16 kHz to 8 kHz: {:.1} dB", alias - tone_level());
    assert!(alias - tone_level() < -60.0);
    // Everything from the new half rate on, and other rates.
    for (from, to, frequency) in [
        (16_000, 8000, 4000.0),
        (16_000, 8000, 4100.0),
        (48_000, 16_000, 9000.0),
        (44_100, 16_000, 8050.0),
        (22_050, 16_000, 8100.0),
        (44_101, 16_000, 12_000.0),
    ] {
        let rest = level(&resample(&tone(40_000, from, frequency), from, to)) - tone_level();
        println!("{frequency} Hz at {from} to {to}: {rest:.1} dB");
        assert!(rest < -80.0, "{from} to {to}: {rest}");
    }
    // Images: what remains when the tone itself is taken away.
    for (from, to, frequency) in [
        (8000, 16_000, 1000.0),
        (8000, 16_000, 3500.0),
        (11_025, 16_000, 5000.0),
        (8000, 44_100, 3000.0),
        (15_999, 16_000, 3000.0),
        (8000, 44_101, 3000.0),
    ] {
        let out = resample(&tone(20_000, from, frequency), from, to);
        let (_, _, rest) = measure(&out, to, frequency);
        let rest = 20.0 * rest.log10() - tone_level();
        println!("images of {frequency} Hz, {from} to {to}: {rest:.1} dB");
        assert!(rest < -80.0, "{from} to {to}: {rest}");
    }
}

#[test]
fn tones_survive_in_level_phase_and_length() {
    let pairs = [
        (8000, 16_000),
        (11_025, 16_000),
        (22_050, 16_000),
        (44_100, 16_000),
        (48_000, 16_000),
        (16_000, 8000),
        (16_000, 16_000),
        (16_000, 44_100),
        (44_101, 16_000),
        (1000, 16_000),
    ];
    for (from, to) in pairs {
        let samples = tone(from as usize, from, 440.0);
        let out = resample(&samples, from, to);
        assert_eq!(out.len(), to as usize, "{from} to {to}");
        let (amplitude, delay, noise) = measure(&out, to, 440.0);
        println!("{from} to {to}: {amplitude:.6}, delay {delay:.6}, noise {noise:.1e}");
        assert!((amplitude - 0.5).abs() < 1e-4, "{from} to {to}: {amplitude}");
        assert!(delay.abs() < 1e-3, "{from} to {to}: {delay}");
        assert!(noise < 1e-4, "{from} to {to}: {noise}");
    }
}

#[test]
fn the_passband_is_flat() {
    for (from, to) in [(16_000u32, 8000u32), (8000, 16_000), (44_100, 16_000), (48_000, 16_000)] {
        let edge = 0.9 * f64::from(from.min(to)) / 2.0;
        for share in [0.001, 0.1, 0.5, 0.9, 1.0] {
            let frequency = edge * share;
            let out = resample(&tone(from as usize * 2, from, frequency), from, to);
            let (amplitude, _, _) = measure(&out, to, frequency);
            let decibels = 20.0 * (amplitude / 0.5).log10();
            assert!(decibels.abs() < 0.01, "{from} to {to} at {frequency} Hz: {decibels} dB");
        }
    }
}

#[test]
fn a_constant_stays_itself() {
    for (from, to) in [(16_000, 8000), (8000, 16_000), (44_100, 16_000), (44_101, 16_000)] {
        let out = resample(&[0.5; 8000], from, to);
        let middle = &out[out.len() / 4..out.len() * 3 / 4];
        assert!(middle.iter().all(|v| (v - 0.5).abs() < 1e-6), "{from} to {to}");
    }
}

/// The sum of the definition, in double precision, for random samples.
#[test]
fn outputs_follow_the_definition() {
    let mut random = Random::from_key(&[27]);
    let samples: Vec<f32> = (0..600).map(|_| random.uniform() as f32 - 0.5).collect();
    // Kaiser's formulas for 90 dB and 64 zero crossings, as the file states them.
    let transition = (90.0 - 7.95) / (14.36 * 64.0);
    let beta = 0.1102 * (90.0 - 8.7);
    let bessel = |x: f64| {
        (1..60)
            .fold((1.0, 1.0), |(sum, term), k| {
                let term = term * (x / 2.0 / f64::from(k)).powi(2);
                (sum + term, term)
            })
            .0
    };
    for (from, to) in [(3u32, 2u32), (2, 3), (441, 160), (7919, 8000), (4999, 5003)] {
        let ratio = f64::from(to) / f64::from(from);
        let bandwidth = ratio.min(1.0) * (1.0 - transition / 2.0);
        let reach = 64.0 / bandwidth;
        let out = resample(&samples, from * 1000, to * 1000);
        assert_eq!(out.len(), (600.0 * ratio).round() as usize);
        for (index, ours) in out.iter().enumerate() {
            let position = index as f64 / ratio;
            let (mut sum, mut gain) = (0.0, 0.0);
            for tap in (position - reach).ceil() as i64..=(position + reach).floor() as i64 {
                let distance = position - tap as f64;
                let inside = (1.0 - (distance / reach).powi(2)).max(0.0);
                let angle = TAU / 2.0 * bandwidth * distance;
                let sinc = if angle == 0.0 { 1.0 } else { angle.sin() / angle };
                let weight = sinc * bessel(beta * inside.sqrt());
                gain += weight;
                if let Some(sample) = usize::try_from(tap).ok().and_then(|tap| samples.get(tap)) {
                    sum += f64::from(*sample) * weight;
                }
            }
            let expected = sum / gain;
            assert!(
                (f64::from(*ours) - expected).abs() < 3e-6,
                "{from}:{to} {index}: {ours} {expected}"
            );
        }
    }
}

#[test]
fn edges_of_use() {
    assert!(resample(&[], 8000, 16_000).is_empty());
    assert_eq!(resample(&[0.25, 0.5], 16_000, 16_000), [0.25, 0.5]);
    assert_eq!(resample(&[1.0], 8000, 16_000).len(), 2);
    assert_eq!(resample(&[1.0], 16_000, 8000).len(), 1);
    assert_eq!(resample(&[1.0; 3], 0, 0).len(), 3);
    assert!(resample(&[1.0], 48_000, 1000).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..Default::default() })]

    #[test]
    fn pieces_equal_the_whole(
        from in 1..2000u32,
        to in 1..2000u32,
        total in 0..2000usize,
        sizes in proptest::collection::vec(1..300usize, 1..6),
    ) {
        // Ratios up to 20 either way.
        let (from, to) = (from + 100, to + 100);
        let mut random = Random::from_key(&[u64::from(from), u64::from(to)]);
        let samples: Vec<f32> = (0..total).map(|_| random.uniform() as f32 - 0.5).collect();
        let mut resampler = Resampler::new(from, to);
        let whole = resampler.process(&samples);
        let exact = (total as f64 * f64::from(to) / f64::from(from)).round() as usize;
        prop_assert_eq!(whole.len(), exact);
        prop_assert_eq!(whole.len(), resampler.output_samples(total));
        let (mut pieces, mut rest, mut round) = (Vec::new(), &samples[..], 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes[round % sizes.len()].min(rest.len()));
            resampler.push(piece, &mut pieces);
            (rest, round) = (after, round + 1);
        }
        resampler.finish(&mut pieces);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&whole), bits(&pieces));
    }
}
