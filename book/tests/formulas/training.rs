//! Training: descent, AdamW, clipping, the schedule, the blank plateau, dropout, speed.

use labyrinth::kernels::Cpu;
use labyrinth::kernels::ctc::{CtcScratch, ctc_utterance};
use labyrinth::kernels::dropout::{dropout_backward, dropout_forward};
use labyrinth::kernels::optimizer::{
    AdamW, Sgd, adamw_step, clipping_scale, gradient_norm, sgd_step,
};
use labyrinth::signal::{Random, change_speed};
use labyrinth::train::schedule::OneCycle;
use std::f64::consts::{PI, TAU};

fn noise(seed: u64, count: usize) -> Vec<f64> {
    let mut random = Random::from_key(&[seed]);
    (0..count).map(|_| random.uniform() - 0.5).collect()
}

#[test]
fn descent_shrinks_a_bowl_below_two_over_its_steepness() {
    let cpu = Cpu::detect();
    for (share, falls) in [(0.5, true), (1.0, true), (1.9, true), (2.1, false)] {
        let steep = 7.0;
        let rule = Sgd { learning_rate: share / steep, momentum: 0.0, weight_decay: 0.0 };
        let (mut w, mut u) = ([1.0_f64], [0.0]);
        for step in 1..=30 {
            let g = [steep * w[0]];
            sgd_step(cpu, &mut w, &g, &mut u, &rule, 1.0).unwrap();
            assert!((w[0] - (1.0 - share).powi(step)).abs() < 1e-9);
        }
        assert_eq!(w[0].abs() < 1.0, falls, "{share}");
    }
}

#[test]
fn adamw_is_the_means_it_was_rolled_out_to() {
    let (cpu, count) = (Cpu::detect(), 50);
    let rule = AdamW { learning_rate: 2e-3, weight_decay: 0.03, ..AdamW::default() };
    let gradients: Vec<Vec<f64>> = (0..40).map(|t| noise(100 + t, count)).collect();
    let start = noise(1, count);
    let (mut w, mut m, mut v) = (start.clone(), vec![0.0; count], vec![0.0; count]);
    for (t, g) in gradients.iter().enumerate() {
        adamw_step(cpu, &mut w, g, &mut m, &mut v, &rule, t as u64 + 1, 1.0).unwrap();
    }
    for i in 0..count {
        let mut expected = start[i];
        for t in 1..=40 {
            let mean = |beta: f64, of: &dyn Fn(f64) -> f64| {
                let weight = |s: usize| (1.0 - beta) * beta.powi((t - s) as i32);
                let weights: f64 = (1..=t).map(weight).sum();
                assert!((weights - (1.0 - beta.powi(t as i32))).abs() < 1e-12);
                (1..=t).map(|s| weight(s) * of(gradients[s - 1][i])).sum::<f64>() / weights
            };
            let (first, second) = (mean(0.9, &|g| g), mean(0.999, &|g| g * g));
            expected -= 2e-3 * 0.03 * expected + 2e-3 * first / (second.sqrt() + 1e-8);
        }
        assert!((w[i] - expected).abs() < 1e-11, "{} {expected}", w[i]);
    }
}

#[test]
fn clipping_keeps_the_direction() {
    let g = noise(2, 1000);
    let length = g.iter().map(|g| g * g).sum::<f64>().sqrt();
    assert!((gradient_norm(Cpu::detect(), &g) - length).abs() < 1e-12);
    assert_eq!(clipping_scale(length, length / 4.0), Some((length / 4.0) / length));
    assert_eq!(clipping_scale(length, length * 4.0), Some(1.0));
    assert_eq!(clipping_scale(f64::NAN, 5.0), None);
}

#[test]
fn the_rate_is_two_halves_of_a_cosine() {
    let (peak, w) = (1e-3, 0.3);
    let schedule = OneCycle { peak, warm_up: w };
    for step in 0..=1000 {
        let p = f64::from(step) / 1000.0;
        let expected = if p < w {
            peak + (peak / 25.0 - peak) * (1.0 + (PI * p / w).cos()) / 2.0
        } else {
            let end = peak / 250_000.0;
            end + (peak - end) * (1.0 + (PI * (p - w) / (1.0 - w)).cos()) / 2.0
        };
        assert!((schedule.rate(p) - expected).abs() < 1e-12);
    }
}

#[test]
fn the_mean_of_dancing_weights_is_nearer_to_the_bottom() {
    // Descent at a fixed rate in a bowl whose slope is told with noise; the second half of 4000 steps.
    let (mut random, mut w, mut mean) = (Random::from_key(&[5]), 3.0_f64, 0.0);
    let (mut own, mut averaged) = (0.0, 0.0);
    for step in 1..=4000 {
        w -= 0.3 * (w + random.normal());
        let step = f64::from(step);
        mean += (1.0 - f64::min(0.999, (step - 1.0) / (step + 9.0))) * (w - mean);
        if step > 2000.0 {
            own += w * w;
            averaged += mean * mean;
        }
    }
    assert!(averaged < own / 10.0, "{averaged} {own}");
    // How much each of t steps counts, and how old the mean is.
    let kept = |r: u32| f64::from(r - 1) / f64::from(r + 9);
    for t in [1, 7, 400] {
        let weight = |s: u32| (1.0 - kept(s)) * (s + 1..=t).map(kept).product::<f64>();
        let sum: f64 = (1..=t).map(weight).sum();
        let age: f64 = (1..=t).map(|s| weight(s) * f64::from(t - s)).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert!((age - f64::from(t - 1) / 11.0).abs() < 1e-9, "{t} {age}");
    }
}

/// ln of the binomial coefficient.
fn ln_choose(n: usize, k: usize) -> f64 {
    (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum()
}

/// ln P of a text of `u` letters in `t` frames that all say blank with `b`, and each of `k` letters alike.
fn ln_blind(t: usize, u: usize, k: usize, b: f64) -> f64 {
    let c = (1.0 - b) / k as f64;
    let term = |n: usize| {
        let ways = ln_choose(n - 1, u - 1) + ln_choose(t - n + u, u);
        ways + (t - n) as f64 * b.ln() + n as f64 * c.ln()
    };
    let largest = (u..=t).map(term).fold(f64::MIN, f64::max);
    largest + (u..=t).map(|n| (term(n) - largest).exp()).sum::<f64>().ln()
}

#[test]
fn a_blind_network_says_blank() {
    // Against the crate's CTC on frames that are all the same.
    let mut scratch = CtcScratch::default();
    for (t, u, k) in [(6, 3, 4), (12, 5, 9), (67, 19, 27)] {
        for b in [0.2, 0.6, 0.9] {
            let target: Vec<u32> = (0..u).map(|i| 1 + (i % k) as u32).collect();
            let mut frame = vec![((1.0 - b) / k as f64).ln(); k + 1];
            frame[0] = b.ln();
            let logits = frame.repeat(t);
            let loss =
                ctc_utterance(Cpu::detect(), &logits, k + 1, &target, 1.0, None, &mut scratch);
            let expected = -ln_blind(t, u, k, b);
            assert!((loss.unwrap() - expected).abs() < 1e-9 * expected, "{t} {u} {b}");
        }
    }
    // The best b, of the whole sum, lies where its largest term says.
    let best = (1..1000)
        .map(|i| f64::from(i) / 1000.0)
        .max_by(|a, b| ln_blind(67, 19, 27, *a).total_cmp(&ln_blind(67, 19, 27, *b)))
        .unwrap();
    let formula = 48.0 / 67.0;
    assert!((best - formula).abs() < 0.02, "{best} {formula}");
    assert!(best > (1.0 - best) / 27.0 * 20.0, "blank is the best label by far");
    let per_letter = -ln_blind(67, 19, 27, formula) / 19.0;
    assert!((per_letter - 3.4).abs() < 0.1, "{per_letter}");
}

#[test]
fn with_two_words_a_blind_network_begins_on_a_hill_and_with_letters_on_a_slope() {
    let loss = |t: usize, u: usize, k: usize, b: f64| -ln_blind(t, u, k, b) / u as f64;
    let two = |b: f64| loss(150, 8, 2, b);
    let shares: Vec<f64> = (1..100).map(|i| f64::from(i) / 100.0).collect();
    let top = shares.iter().copied().max_by(|a, b| two(*a).total_cmp(&two(*b))).unwrap();
    let bottom = shares.iter().copied().min_by(|a, b| two(*a).total_cmp(&two(*b))).unwrap();
    assert!((top - 0.31).abs() < 0.01 && (two(top) - 14.55).abs() < 0.05, "{top}");
    assert!((two(1.0 / 3.0) - 14.4).abs() < 0.05);
    assert!((bottom - 0.95).abs() < 0.01 && (two(bottom) - 0.9).abs() < 0.05, "{bottom}");
    // What `blank-bias = 5` begins with lies on the right side.
    let biased = 5f64.exp() / (5f64.exp() + 2.0);
    assert!((biased - 0.99).abs() < 0.005 && two(biased) < two(0.7));
    // Letters: downhill all the way.
    let slope: Vec<f64> =
        (0..=67).map(|i| loss(67, 19, 27, 1.0 / 28.0 + f64::from(i) / 100.0)).collect();
    assert!(slope.windows(2).all(|pair| pair[1] < pair[0]));
}

#[test]
fn the_log_of_an4_shows_the_plateau() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../recipes/logs/an4.jsonl");
    let log = std::fs::read_to_string(path).unwrap();
    let number = |line: &str, key: &str| -> f64 {
        let rest = line.split(&format!("\"{key}\":")).nth(1).unwrap();
        rest.split([',', '}']).next().unwrap().parse().unwrap()
    };
    let epochs: Vec<(f64, f64)> = log
        .lines()
        .filter(|line| line.contains("\"event\":\"epoch\""))
        .map(|line| (number(line, "train-loss"), number(line, "blank-share")))
        .collect();
    for (loss, blank) in &epochs[1..4] {
        assert!((loss - 3.0).abs() < 0.05 && *blank == 1.0);
    }
    assert!(epochs[18].0 < 1.0 && epochs[18].1 < 0.6);
}

#[test]
fn dropout_keeps_the_mean_and_its_mask() {
    let (cpu, p) = (Cpu::detect(), 0.3);
    let x = vec![2.0_f64; 200_000];
    let mut y = vec![0.0; x.len()];
    dropout_forward(cpu, &x, &mut y, p, 77).unwrap();
    let kept = y.iter().filter(|y| **y != 0.0).count() as f64 / x.len() as f64;
    assert!(y.iter().all(|&y| y == 0.0 || (y - 2.0 / (1.0 - p)).abs() < 1e-12));
    // Five deviations of a share of 200,000.
    assert!((kept - (1.0 - p)).abs() < 5.0 * (p * (1.0 - p) / 200_000.0_f64).sqrt());
    let mut dx = vec![0.0; x.len()];
    dropout_backward(cpu, &x, &mut dx, p, 77).unwrap();
    assert_eq!(dx, y);
}

#[test]
fn noise_on_weights_adds_half_its_variance_times_the_curvature() {
    let (sigma, draws) = (0.1, 400_000);
    let mut random = Random::from_key(&[8]);
    let mut check = |loss: &dyn Fn(f64, f64) -> f64, curvature: f64, within: f64| {
        // Uniform, with the variance sigma².
        let mut noise = || sigma * 12f64.sqrt() * (random.uniform() - 0.5);
        let noisy = (0..draws).map(|_| loss(0.3 + noise(), 0.2 + noise()));
        let added = noisy.sum::<f64>() / f64::from(draws) - loss(0.3, 0.2);
        let expected = sigma * sigma / 2.0 * curvature;
        assert!((added - expected).abs() < within, "{added} {expected}");
    };
    // A bowl of two weights, for which the formula is exact, and a wave, whose next term is below 0.0005; the mean of
    // so many draws has a deviation of 0.0004.
    check(&|x, y| 0.5 * (9.0 * x * x + y * y) + 2.0 * x * y, 10.0, 0.003);
    check(&|x, y| (3.0 * x).cos() + y.exp(), -9.0 * 0.9_f64.cos() + 0.2_f64.exp(), 0.003);
}

#[test]
fn faster_is_higher_and_shorter() {
    let (step, factor) = (TAU * 500.0 / 16_000.0, 1.1);
    let tone =
        |step: f64, n: usize| -> Vec<f64> { (0..n).map(|i| (step * i as f64).sin()).collect() };
    let samples: Vec<f32> = tone(step, 16_000).iter().map(|&x| x as f32).collect();
    let fast = change_speed(&samples, factor);
    assert_eq!(fast.len(), (16_000.0 / factor).round() as usize);
    let expected = tone(step * factor, fast.len());
    for i in 200..fast.len() - 200 {
        assert!((f64::from(fast[i]) - expected[i]).abs() < 1e-3, "{i}");
    }
}
