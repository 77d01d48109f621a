//! Layer normalisation of rows: each row by its own mean and variance.
//!
//! Ba, Kiros and Hinton, "Layer normalization", 2016.
//!
//! x is `[rows, dim]`. For each row, over its dim elements,
//! ```text
//! μ = Σ x / dim     v = Σ (x - μ)² / dim     r = 1 / √(v + ε)     x̂ = (x - μ) r     y = γ x̂ + β
//! ```
//! with γ and β `[dim]`. A row's result depends on that row alone.
//!
//! # Backward
//! With g = γ dL/dy the gradient inside a row is that of `batch_norm.rs` with rows and columns
//! exchanged: dL/dx_j = r ( g_j - Σ g / dim - x̂_j Σ g x̂ / dim ); and over the rows
//! dL/dβ = Σ dL/dy, dL/dγ = Σ dL/dy x̂.
//!
//! Sums inside a row run over eight lanes of f64 in a fixed tree; sums over rows run in f64 over
//! fixed blocks of rows (`blocks.rs`). The variance is taken in a second pass about the mean.
//!
//! Book: book/src/recurrent.md

use rayon::prelude::*;

use crate::blocks::{row_task, sum_over_rows};
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_size};
use crate::real::Real;
use crate::softmax::check_rows;

/// Lanes of the sums inside a row.
const LANES: usize = 8;

/// Σ value(a_i, b_i, …) over rows of one length, in f64, in an order that depends on that length
/// alone.
#[inline(always)]
fn sum_of<T: Real, const N: usize>(rows: [&[T]; N], value: impl Fn([T; N]) -> f64) -> f64 {
    let count = rows[0].len();
    let mut sums = [0.0; LANES];
    let whole = count / LANES;
    let groups = rows.map(|row| row[..count].as_chunks::<LANES>().0);
    // Several rows go side by side.
    #[allow(clippy::needless_range_loop)]
    for group in 0..whole {
        for lane in 0..LANES {
            sums[lane] += value(std::array::from_fn(|n| groups[n][group][lane]));
        }
    }
    for (lane, sum) in sums.iter_mut().enumerate().take(count - whole * LANES) {
        *sum += value(std::array::from_fn(|n| rows[n][whole * LANES + lane]));
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

per_isa! {
    /// Normalises whole rows, and keeps μ and r of each.
    fn forward_rows<T>(
        x: &[T],
        gamma: &[T],
        beta: &[T],
        epsilon: f64,
        y: &mut [T],
        means: &mut [T],
        inverse_stds: &mut [T],
    ) {
        let dim = gamma.len();
        let rows = x.chunks_exact(dim).zip(y.chunks_exact_mut(dim));
        for ((row, y), (mean, inverse_std)) in rows.zip(means.iter_mut().zip(inverse_stds)) {
            let center = sum_of([row], |[x]| x.to_f64()) / dim as f64;
            let square = |[x]: [T; 1]| {
                let d = x.to_f64() - center;
                d * d
            };
            let variance = sum_of([row], square) / dim as f64;
            *mean = T::from_f64(center);
            *inverse_std = T::from_f64(1.0 / (variance + epsilon).sqrt());
            let (mean, inverse_std) = (*mean, *inverse_std);
            for ((y, &x), (&gamma, &beta)) in y.iter_mut().zip(row).zip(gamma.iter().zip(beta)) {
                *y = (x - mean) * inverse_std * gamma + beta;
            }
        }
    }

    /// dL/dx of whole rows.
    fn backward_rows<T>(
        x: &[T],
        gamma: &[T],
        means: &[T],
        inverse_stds: &[T],
        dy: &[T],
        dx: &mut [T],
    ) {
        let dim = gamma.len();
        let rows = x.chunks_exact(dim).zip(dy.chunks_exact(dim)).zip(dx.chunks_exact_mut(dim));
        for (((x, dy), dx), (&mean, &inverse_std)) in rows.zip(means.iter().zip(inverse_stds)) {
            let (x, dy, dx) = (&x[..dim], &dy[..dim], &mut dx[..dim]);
            let offset = sum_of([dy, gamma], |[dy, gamma]| (dy * gamma).to_f64());
            let slope = sum_of([x, dy, gamma], |[x, dy, gamma]| {
                (dy * gamma).to_f64() * ((x - mean) * inverse_std).to_f64()
            });
            let offset = T::from_f64(offset / dim as f64);
            let slope = T::from_f64(slope / dim as f64);
            for i in 0..dim {
                let normal = (x[i] - mean) * inverse_std;
                dx[i] = inverse_std * (dy[i] * gamma[i] - offset - normal * slope);
            }
        }
    }

    /// Adds Σ dy and Σ dy x̂ of each column onto `sums`: `[2, dim]`.
    fn add_parameter_sums<T>(
        x: &[T],
        dim: usize,
        means: &[T],
        inverse_stds: &[T],
        dy: &[T],
        sums: &mut [f64],
    ) {
        let (first, second) = sums.split_at_mut(dim);
        let rows = x.chunks_exact(dim).zip(dy.chunks_exact(dim));
        for ((x, dy), (&mean, &inverse_std)) in rows.zip(means.iter().zip(inverse_stds)) {
            let sums = first.iter_mut().zip(second.iter_mut());
            for ((beta, gamma), (&x, &dy)) in sums.zip(x.iter().zip(dy)) {
                *beta += dy.to_f64();
                *gamma += (dy * ((x - mean) * inverse_std)).to_f64();
            }
        }
    }
}

/// Normalises each row: x `[rows, dim]` → y of the same shape, with `dim` the length of `gamma`.
/// `saved_mean` and `saved_inverse_std` (`[rows]`) get μ and r of each row. No row is no error.
///
/// # Errors
/// [`KernelError`] when the slices do not fit or `dim` is 0.
#[allow(clippy::too_many_arguments)]
pub fn layer_norm_forward<T: Real>(
    cpu: Cpu,
    x: &[T],
    dim: usize,
    gamma: &[T],
    beta: &[T],
    epsilon: T,
    y: &mut [T],
    saved_mean: &mut [T],
    saved_inverse_std: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "layer_norm_forward";
    check_rows(OPERATION, "x", x.len(), dim)?;
    check_size(OPERATION, "gamma", gamma.len(), dim)?;
    check_size(OPERATION, "beta", beta.len(), dim)?;
    check_size(OPERATION, "y", y.len(), x.len())?;
    check_size(OPERATION, "saved_mean", saved_mean.len(), x.len() / dim)?;
    check_size(OPERATION, "saved_inverse_std", saved_inverse_std.len(), x.len() / dim)?;
    let task = row_task(dim);
    x.par_chunks(task)
        .zip(y.par_chunks_mut(task))
        .zip(saved_mean.par_chunks_mut(task / dim))
        .zip(saved_inverse_std.par_chunks_mut(task / dim))
        .for_each(|(((x, y), mean), inverse_std)| {
            forward_rows(cpu, x, gamma, beta, epsilon.to_f64(), y, mean, inverse_std);
        });
    Ok(())
}

/// The gradient of [`layer_norm_forward`]: dx is overwritten, dgamma and dbeta are added to.
///
/// # Errors
/// [`KernelError`] when the slices do not fit or `dim` is 0.
#[allow(clippy::too_many_arguments)]
pub fn layer_norm_backward<T: Real>(
    cpu: Cpu,
    x: &[T],
    dim: usize,
    gamma: &[T],
    saved_mean: &[T],
    saved_inverse_std: &[T],
    dy: &[T],
    dx: &mut [T],
    dgamma: &mut [T],
    dbeta: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "layer_norm_backward";
    check_rows(OPERATION, "x", x.len(), dim)?;
    let rows = x.len() / dim;
    check_size(OPERATION, "gamma", gamma.len(), dim)?;
    check_size(OPERATION, "saved_mean", saved_mean.len(), rows)?;
    check_size(OPERATION, "saved_inverse_std", saved_inverse_std.len(), rows)?;
    check_size(OPERATION, "dy", dy.len(), x.len())?;
    check_size(OPERATION, "dx", dx.len(), x.len())?;
    check_size(OPERATION, "dgamma", dgamma.len(), dim)?;
    check_size(OPERATION, "dbeta", dbeta.len(), dim)?;
    let task = row_task(dim);
    x.par_chunks(task)
        .zip(dy.par_chunks(task))
        .zip(dx.par_chunks_mut(task))
        .zip(saved_mean.par_chunks(task / dim))
        .zip(saved_inverse_std.par_chunks(task / dim))
        .for_each(|((((x, dy), dx), mean), inverse_std)| {
            backward_rows(cpu, x, gamma, mean, inverse_std, dy, dx);
        });
    let sums = sum_over_rows(rows, 2 * dim, |first, rows, sums| {
        let range = first * dim..(first + rows) * dim;
        let (mean, inverse_std) =
            (&saved_mean[first..first + rows], &saved_inverse_std[first..first + rows]);
        add_parameter_sums(cpu, &x[range.clone()], dim, mean, inverse_std, &dy[range], sums);
    });
    for c in 0..dim {
        dbeta[c] += T::from_f64(sums[c]);
        dgamma[c] += T::from_f64(sums[dim + c]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, check_gradient, every_cpu, noise, noise_of, pool};

    const EPSILON: f64 = 1e-5;

    fn forward<T: Real>(cpu: Cpu, x: &[T], gamma: &[T], beta: &[T]) -> [Vec<T>; 3] {
        let (dim, rows) = (gamma.len(), x.len() / gamma.len());
        let mut y = vec![T::ZERO; x.len()];
        let (mut mean, mut inverse_std) = (vec![T::ZERO; rows], vec![T::ZERO; rows]);
        let epsilon = T::from_f64(EPSILON);
        layer_norm_forward(cpu, x, dim, gamma, beta, epsilon, &mut y, &mut mean, &mut inverse_std)
            .unwrap();
        [y, mean, inverse_std]
    }

    fn backward<T: Real>(
        cpu: Cpu,
        x: &[T],
        gamma: &[T],
        saved: [&[T]; 2],
        dy: &[T],
    ) -> [Vec<T>; 3] {
        let dim = gamma.len();
        let mut dx = vec![T::ONE; x.len()];
        let (mut dgamma, mut dbeta) = (vec![T::ONE; dim], vec![T::ONE; dim]);
        let [mean, inverse_std] = saved;
        layer_norm_backward(
            cpu,
            x,
            dim,
            gamma,
            mean,
            inverse_std,
            dy,
            &mut dx,
            &mut dgamma,
            &mut dbeta,
        )
        .unwrap();
        [dx, dgamma, dbeta]
    }

    #[test]
    fn rows_follow_the_definition() {
        for dim in [1, 2, 7, 8, 9, 33, 256] {
            let x: Vec<f64> = noise_of::<f64>(1, 5 * dim).iter().map(|x| 30.0 + x).collect();
            let (gamma, beta) = (noise_of::<f64>(2, dim), noise_of::<f64>(3, dim));
            for cpu in every_cpu() {
                let [y, mean, _] = forward(cpu, &x, &gamma, &beta);
                for (row, (out, &saved)) in x.chunks(dim).zip(y.chunks(dim).zip(&mean)) {
                    let m = row.iter().sum::<f64>() / dim as f64;
                    let v = row.iter().map(|x| (x - m).powi(2)).sum::<f64>() / dim as f64;
                    assert!((saved - m).abs() < 1e-12);
                    for i in 0..dim {
                        let exact = (row[i] - m) / (v + EPSILON).sqrt() * gamma[i] + beta[i];
                        assert!((out[i] - exact).abs() < 1e-10, "{dim}: {} {exact}", out[i]);
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_slopes() {
        for dim in [2, 5, 11] {
            let x: Vec<f64> = noise_of(1, 4 * dim);
            let (gamma, beta) = (noise_of::<f64>(2, dim), noise_of::<f64>(3, dim));
            let weights: Vec<f64> = noise_of(4, x.len());
            let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| -> f64 {
                let [y, ..] = forward(Cpu::portable(), x, gamma, beta);
                y.iter().zip(&weights).map(|(y, w)| y * w).sum()
            };
            for cpu in every_cpu() {
                let [_, mean, inverse_std] = forward(cpu, &x, &gamma, &beta);
                let saved = [&mean[..], &inverse_std[..]];
                let [dx, mut dgamma, mut dbeta] = backward(cpu, &x, &gamma, saved, &weights);
                // They are added to what was there, which was 1.
                dgamma.iter_mut().chain(&mut dbeta).for_each(|g| *g -= 1.0);
                check_gradient("x", &x, &dx, |x| loss(x, &gamma, &beta));
                check_gradient("gamma", &gamma, &dgamma, |gamma| loss(&x, gamma, &beta));
                check_gradient("beta", &beta, &dbeta, |beta| loss(&x, &gamma, beta));
            }
        }
    }

    #[test]
    fn a_row_is_the_same_alone_in_any_batch_and_at_any_number_of_threads() {
        let (rows, dim) = (1500, 37);
        let (x, dy) = (noise(1, rows * dim), noise(2, rows * dim));
        let (gamma, beta) = (noise(3, dim), noise(4, dim));
        let mut first = None;
        for cpu in every_cpu() {
            for threads in [1, 2, 3] {
                let all = pool(threads).install(|| {
                    let [y, mean, inverse_std] = forward(cpu, &x, &gamma, &beta);
                    let [dx, dgamma, dbeta] = backward(cpu, &x, &gamma, [&mean, &inverse_std], &dy);
                    [y, mean, inverse_std, dx, dgamma, dbeta].map(|values| bits(&values))
                });
                assert!(*first.get_or_insert_with(|| all.clone()) == all);
            }
        }
        let [y, ..] = first.unwrap();
        for (start, count) in [(0, 1), (1, 2), (700, 3), (600, 7), (1484, 16)] {
            let range = start * dim..(start + count) * dim;
            let [alone, ..] = forward(Cpu::detect(), &x[range.clone()], &gamma, &beta);
            assert_eq!(bits(&alone), y[range]);
        }
        assert!(forward(Cpu::detect(), &[], &gamma, &beta)[0].is_empty());
    }

    #[test]
    fn misfits_are_refused() {
        let refused = |x: usize, dim: usize, parameters: usize, saved: usize| {
            let (x, g) = (vec![1.0f32; x], vec![1.0f32; parameters]);
            let (mut y, mut m, mut r) = (x.clone(), vec![0.0; saved], vec![0.0; saved]);
            let cpu = Cpu::portable();
            layer_norm_forward(cpu, &x, dim, &g, &g, 1e-5, &mut y, &mut m, &mut r).is_err()
        };
        assert!(!refused(6, 3, 3, 2));
        assert!(refused(7, 3, 3, 2));
        assert!(refused(6, 3, 2, 2));
        assert!(refused(6, 3, 3, 3));
        assert!(refused(6, 0, 0, 2));
    }
}
