//! Batch norm against its definition: ragged statistics, slopes, bits, inference without mates.

use super::*;
use crate::testing::{check_gradient, every_cpu, noise, noise_of, pool};

const EPSILON: f64 = 1e-5;

struct Trained<T> {
    y: Vec<T>,
    mean: Vec<T>,
    inverse_std: Vec<T>,
}

fn train<T: Real>(cpu: Cpu, x: &[T], gamma: &[T], beta: &[T]) -> Trained<T> {
    let channels = gamma.len();
    let (mut mean, mut inverse_std) = (vec![T::ZERO; channels], vec![T::ZERO; channels]);
    let mut y = vec![T::ZERO; x.len()];
    let epsilon = T::from_f64(EPSILON);
    batch_norm_train_forward(
        cpu,
        x,
        channels,
        gamma,
        beta,
        epsilon,
        &mut y,
        &mut mean,
        &mut inverse_std,
    )
    .unwrap();
    Trained { y, mean, inverse_std }
}

/// Mean and biased variance by their definition, in two passes.
fn by_definition(x: &[f64], channels: usize) -> Vec<(f64, f64)> {
    let column = |c: usize| x.iter().skip(c).step_by(channels).copied();
    let n = (x.len() / channels) as f64;
    (0..channels)
        .map(|c| {
            let mean = column(c).sum::<f64>() / n;
            (mean, column(c).map(|x| (x - mean).powi(2)).sum::<f64>() / n)
        })
        .collect()
}

#[test]
fn statistics_of_a_ragged_batch_are_those_of_its_frames() {
    // Three utterances of 5, 700 and 1 frames with 3 bins: no other position exists.
    for channels in [1, 3, 16, 17, 40] {
        let lengths = [5, 700, 1];
        let utterances: Vec<Vec<f64>> = lengths
            .iter()
            .enumerate()
            .map(|(i, length)| noise_of(i as u64, length * 3 * channels))
            .collect();
        let x = utterances.concat();
        let (gamma, beta) = (noise_of(8, channels), noise_of(9, channels));
        for cpu in every_cpu() {
            let Trained { y, mean, inverse_std } = train(cpu, &x, &gamma, &beta);
            let expected = by_definition(&x, channels);
            for c in 0..channels {
                let (m, v) = expected[c];
                let r = 1.0 / (v + EPSILON).sqrt();
                assert!((mean[c] - m).abs() < 1e-13);
                assert!((inverse_std[c] - r).abs() < 1e-11);
                for (row, out) in x.chunks(channels).zip(y.chunks(channels)) {
                    assert!((out[c] - ((row[c] - m) * r * gamma[c] + beta[c])).abs() < 1e-11);
                }
            }
        }
    }
}

#[test]
fn a_large_mean_does_not_drown_the_spread() {
    let x: Vec<f32> = noise(3, 4000).iter().map(|x| 4096.0 + x / 8.0).collect();
    let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for (c, &(mean, variance)) in by_definition(&wide, 2).iter().enumerate() {
        let trained = train(Cpu::detect(), &x, &[1.0, 1.0], &[0.0, 0.0]);
        assert!((f64::from(trained.mean[c]) / mean - 1.0).abs() < 1e-7);
        let r = 1.0 / (variance + EPSILON).sqrt();
        assert!((f64::from(trained.inverse_std[c]) / r - 1.0).abs() < 1e-6);
    }
    let constant = train(Cpu::detect(), &[7.5f32; 30], &[2.0], &[0.5]);
    assert!(constant.y.iter().all(|&y| y == 0.5));
}

#[test]
fn gradients_are_slopes() {
    for channels in [1, 3, 18] {
        let x: Vec<f64> = noise_of(1, 7 * channels);
        let (gamma, beta) = (noise_of::<f64>(2, channels), noise_of::<f64>(3, channels));
        let weights: Vec<f64> = noise_of(4, x.len());
        let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| -> f64 {
            let y = train(Cpu::portable(), x, gamma, beta).y;
            y.iter().zip(&weights).map(|(y, w)| y * w).sum()
        };
        for cpu in every_cpu() {
            let trained = train(cpu, &x, &gamma, &beta);
            let mut dx = vec![f64::NAN; x.len()];
            let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
            let mut run = |dgamma: &mut [f64], dbeta: &mut [f64]| {
                batch_norm_backward(
                    cpu,
                    &x,
                    channels,
                    &gamma,
                    &trained.mean,
                    &trained.inverse_std,
                    &weights,
                    &mut dx,
                    dgamma,
                    dbeta,
                )
                .unwrap();
            };
            run(&mut dgamma, &mut dbeta);
            let (mut twice_gamma, mut twice_beta) = (dgamma.clone(), dbeta.clone());
            run(&mut twice_gamma, &mut twice_beta);
            assert!(dgamma.iter().zip(&twice_gamma).all(|(a, b)| 2.0 * a == *b));
            assert!(dbeta.iter().zip(&twice_beta).all(|(a, b)| 2.0 * a == *b));
            check_gradient("x", &x, &dx, |x| loss(x, &gamma, &beta));
            check_gradient("gamma", &gamma, &dgamma, |gamma| loss(&x, gamma, &beta));
            check_gradient("beta", &beta, &dbeta, |beta| loss(&x, &gamma, beta));
        }
    }
}

#[test]
fn threads_and_instruction_sets_change_no_bit() {
    let (positions, channels) = (5003, 19);
    let (x, dy) = (noise(1, positions * channels), noise(2, positions * channels));
    let (gamma, beta) = (noise(3, channels), noise(4, channels));
    let mut first = None;
    for cpu in every_cpu() {
        for threads in [1, 2, 3, 4] {
            let result = pool(threads).install(|| {
                let Trained { y, mean, inverse_std } = train(cpu, &x, &gamma, &beta);
                let mut dx = vec![0.0; x.len()];
                let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
                batch_norm_backward(
                    cpu,
                    &x,
                    channels,
                    &gamma,
                    &mean,
                    &inverse_std,
                    &dy,
                    &mut dx,
                    &mut dgamma,
                    &mut dbeta,
                )
                .unwrap();
                [y, mean, inverse_std, dx, dgamma, dbeta]
            });
            assert!(*first.get_or_insert_with(|| result.clone()) == result);
        }
    }
}

#[test]
fn running_estimates_follow_with_the_unbiased_variance() {
    let x: Vec<f64> = noise_of(5, 50);
    let trained = train(Cpu::portable(), &x, &[1.0, 1.0], &[0.0, 0.0]);
    let (mut mean, mut var) = (vec![2.0, -1.0], vec![1.0, 4.0]);
    let Trained { mean: m, inverse_std: r, .. } = &trained;
    batch_norm_update_running(25, 0.1, EPSILON, m, r, &mut mean, &mut var).unwrap();
    let expected = by_definition(&x, 2);
    for c in 0..2 {
        let (m, v) = expected[c];
        assert!((mean[c] - (0.9 * [2.0, -1.0][c] + 0.1 * m)).abs() < 1e-12);
        assert!((var[c] - (0.9 * [1.0, 4.0][c] + 0.1 * v * 25.0 / 24.0)).abs() < 1e-12);
    }
}

#[test]
fn inference_does_not_see_its_mates() {
    let (channels, positions) = (13, 1000);
    let x = noise(6, positions * channels);
    let (gamma, beta, mean) = (noise(7, channels), noise(8, channels), noise(9, channels));
    let var: Vec<f32> = noise(10, channels).iter().map(|v| v.abs() + 0.1).collect();
    let run = |x: &[f32]| {
        let mut y = vec![0.0; x.len()];
        let cpu = Cpu::detect();
        batch_norm_eval(cpu, x, channels, &gamma, &beta, &mean, &var, 1e-5, &mut y).unwrap();
        y
    };
    let together = run(&x);
    for (i, &y) in together.iter().enumerate() {
        let c = i % channels;
        let exact = (f64::from(x[i]) - f64::from(mean[c])) * f64::from(gamma[c])
            / (f64::from(var[c]) + 1e-5).sqrt()
            + f64::from(beta[c]);
        assert!((f64::from(y) - exact).abs() < 2e-6);
    }
    for (start, end) in [(0, 1), (1, 8), (8, 24), (999, 1000)] {
        let range = start * channels..end * channels;
        assert_eq!(run(&x[range.clone()]), together[range]);
    }
    assert!(run(&[]).is_empty());
}

#[test]
fn misfits_are_refused() {
    let cpu = Cpu::portable();
    let refused = |x: &[f32], channels: usize, parameters: usize| {
        let (g, mut y) = (vec![1.0f32; parameters], vec![0.0; x.len()]);
        let (mut m, mut r) = (g.clone(), g.clone());
        batch_norm_train_forward(cpu, x, channels, &g, &g, 1e-5, &mut y, &mut m, &mut r).is_err()
    };
    assert!(!refused(&[1.0; 6], 3, 3));
    assert!(refused(&[1.0; 7], 3, 3));
    assert!(refused(&[1.0; 6], 3, 2));
    assert!(refused(&[], 3, 3));
    assert!(refused(&[1.0; 6], 0, 0));
}
