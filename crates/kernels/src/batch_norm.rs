//! Batch normalisation over channels-last positions: training, its gradient, and inference.
//!
//! Ioffe and Szegedy, "Batch normalization: accelerating deep network training by reducing
//! internal covariate shift", ICML 2015.
//!
//! x is `[positions, channels]`. A position is one frame and bin of one utterance; in the ragged
//! layout of this project there are no others, so the statistics are over valid frames by
//! construction. For each channel, over the n positions,
//! ```text
//! μ = Σ x / n      v = Σ (x - μ)² / n      r = 1 / √(v + ε)      x̂ = (x - μ) r      y = γ x̂ + β
//! ```
//!
//! # Backward
//! With g = dL/dy: dL/dβ = Σ g and dL/dγ = Σ g x̂. For x, μ and r are functions of every position:
//! ∂μ/∂x_j = 1/n and ∂r/∂x_j = -r³ (x_j - μ) / n = -r² x̂_j / n, so that
//! ∂x̂_i/∂x_j = r ([i = j] - 1/n - x̂_i x̂_j / n), and
//! ```text
//! dL/dx_j = γ Σ_i g_i ∂x̂_i/∂x_j = γ r ( g_j - Σ g / n - x̂_j Σ g x̂ / n )
//! ```
//!
//! # Sums
//! The statistics are taken in one pass in f64 of d = x - x_0, with x_0 the first position:
//! μ = x_0 + Σd/n and n v = Σd² - (Σd)²/n. The shift keeps that difference from cancelling where the
//! mean is large beside the spread. All sums run over fixed blocks of positions (`blocks.rs`).
//!
//! At inference the running estimates stand in for μ and v, every element is computed by itself,
//! and an utterance's result cannot depend on its mates.
//!
//! Book: book/src/convolution.md

mod relu;

use rayon::prelude::*;

use crate::blocks::{row_task, sum_over_rows};
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_size};
use crate::lanes::{Lanes, add_to, load, over_channels};
use crate::real::Real;
use crate::softmax::check_rows;

pub use relu::{batch_norm_relu_backward, batch_norm_relu_eval, batch_norm_relu_train_forward};

/// Σd and Σd², d = x - origin, of a few channels.
struct Moments<'a, T> {
    x: &'a [T],
    origin: &'a [T],
    first: &'a mut [f64],
    second: &'a mut [f64],
}

impl<T: Real> Lanes for Moments<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let shift = load::<T, L>(self.origin, channel).map(T::to_f64);
        let (mut a, mut b) = ([0.0; L], [0.0; L]);
        for row in self.x.chunks_exact(self.origin.len()) {
            let values: [T; L] = load(row, channel);
            for lane in 0..L {
                let d = values[lane].to_f64() - shift[lane];
                a[lane] += d;
                b[lane] += d * d;
            }
        }
        add_to(self.first, channel, a);
        add_to(self.second, channel, b);
    }
}

/// Σg and Σg x̂ of a few channels; with `RECTIFIED`, g is dy where y > 0 and 0 elsewhere.
struct GradientSums<'a, T, const RECTIFIED: bool> {
    x: &'a [T],
    /// The output behind the rectifier; where there is none, anything of the same size.
    y: &'a [T],
    dy: &'a [T],
    mean: &'a [T],
    inverse_std: &'a [T],
    first: &'a mut [f64],
    second: &'a mut [f64],
}

impl<T: Real, const RECTIFIED: bool> Lanes for GradientSums<'_, T, RECTIFIED> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let channels = self.mean.len();
        let center = load::<T, L>(self.mean, channel).map(T::to_f64);
        let scale = load::<T, L>(self.inverse_std, channel).map(T::to_f64);
        let (mut a, mut b) = ([0.0; L], [0.0; L]);
        let rows = self.x.chunks_exact(channels).zip(self.dy.chunks_exact(channels));
        for ((row, slopes), outputs) in rows.zip(self.y.chunks_exact(channels)) {
            let values: [T; L] = load(row, channel);
            let slopes: [T; L] = load(slopes, channel);
            let outputs: [T; L] = if RECTIFIED { load(outputs, channel) } else { [T::ONE; L] };
            for lane in 0..L {
                let slope = if outputs[lane] > T::ZERO { slopes[lane] } else { T::ZERO }.to_f64();
                a[lane] += slope;
                b[lane] += slope * (values[lane].to_f64() - center[lane]);
            }
        }
        for lane in 0..L {
            b[lane] *= scale[lane];
        }
        add_to(self.first, channel, a);
        add_to(self.second, channel, b);
    }
}

per_isa! {
    /// Adds Σd and Σd², d = x - origin, of each channel onto `sums`: `[2, channels]`.
    fn add_moments<T>(x: &[T], origin: &[T], sums: &mut [f64]) {
        let (first, second) = sums.split_at_mut(origin.len());
        over_channels(origin.len(), &mut Moments { x, origin, first, second });
    }

    /// Adds Σg and Σg x̂ of each channel onto `sums`: `[2, channels]`.
    fn add_gradient_sums<T>(x: &[T], dy: &[T], mean: &[T], inverse_std: &[T], sums: &mut [f64]) {
        let (first, second) = sums.split_at_mut(mean.len());
        let mut work =
            GradientSums::<_, false> { x, y: x, dy, mean, inverse_std, first, second };
        over_channels(mean.len(), &mut work);
    }

    /// y = (x - mean) · scale + beta for whole rows.
    fn scale_rows<T>(x: &[T], mean: &[T], scale: &[T], beta: &[T], y: &mut [T]) {
        let channels = mean.len();
        let constants = || mean.iter().zip(scale).zip(beta);
        for (row, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for ((y, &x), ((&mean, &scale), &beta)) in y.iter_mut().zip(row).zip(constants()) {
                *y = (x - mean) * scale + beta;
            }
        }
    }

    // ANCHOR: gradient
    /// dx = scale · (dy - offset - (x - mean) · slope) for whole rows.
    fn gradient_rows<T>(
        x: &[T],
        dy: &[T],
        mean: &[T],
        scale: &[T],
        offset: &[T],
        slope: &[T],
        dx: &mut [T],
    ) {
        let channels = mean.len();
        let constants = || mean.iter().zip(scale).zip(offset).zip(slope);
        let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
        for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(channels)) {
            let values = dx.iter_mut().zip(x).zip(dy);
            for (((dx, &x), &dy), (((&mean, &scale), &offset), &slope)) in values.zip(constants()) {
                *dx = scale * (dy - offset - (x - mean) * slope);
            }
        }
    }
    // ANCHOR_END: gradient
}

/// Training: normalises with the statistics of this batch.
///
/// x `[positions, channels]` → y of the same shape. `saved_mean` and `saved_inverse_std`
/// (`[channels]`) get μ and r, for the backward pass and [`batch_norm_update_running`].
///
/// # Errors
/// [`KernelError`] when the slices do not fit or there is no position.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_train_forward<T: Real>(
    cpu: Cpu,
    x: &[T],
    channels: usize,
    gamma: &[T],
    beta: &[T],
    epsilon: T,
    y: &mut [T],
    saved_mean: &mut [T],
    saved_inverse_std: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "batch_norm_train_forward";
    positions(OPERATION, x, channels)?;
    check_size(OPERATION, "gamma", gamma.len(), channels)?;
    check_size(OPERATION, "beta", beta.len(), channels)?;
    check_size(OPERATION, "y", y.len(), x.len())?;
    check_size(OPERATION, "saved_mean", saved_mean.len(), channels)?;
    check_size(OPERATION, "saved_inverse_std", saved_inverse_std.len(), channels)?;

    let scale = statistics(cpu, x, gamma, epsilon, saved_mean, saved_inverse_std);
    let task = row_task(channels);
    x.par_chunks(task)
        .zip(y.par_chunks_mut(task))
        .for_each(|(x, y)| scale_rows(cpu, x, saved_mean, &scale, beta, y));
    Ok(())
}

/// μ and r of each channel into the two slices; returns γ r.
fn statistics<T: Real>(
    cpu: Cpu,
    x: &[T],
    gamma: &[T],
    epsilon: T,
    saved_mean: &mut [T],
    saved_inverse_std: &mut [T],
) -> Vec<T> {
    let channels = gamma.len();
    let positions = x.len() / channels;
    let origin = &x[..channels];
    let sums = sum_over_rows(positions, 2 * channels, |first, rows, sums| {
        add_moments(cpu, &x[first * channels..(first + rows) * channels], origin, sums);
    });
    let n = positions as f64;
    let mut scale = vec![T::ZERO; channels];
    for c in 0..channels {
        let shift = sums[c] / n;
        let variance = ((sums[channels + c] - sums[c] * shift) / n).max(0.0);
        let inverse_std = 1.0 / (variance + epsilon.to_f64()).sqrt();
        saved_mean[c] = T::from_f64(origin[c].to_f64() + shift);
        saved_inverse_std[c] = T::from_f64(inverse_std);
        scale[c] = T::from_f64(inverse_std * gamma[c].to_f64());
    }
    scale
}

/// From Σg and Σg x̂: γ r, Σg / n and r Σg x̂ / n of each channel one after another, and the gradients
/// of γ and β added to theirs.
fn gradient_constants<T: Real>(
    sums: &[f64],
    positions: usize,
    gamma: &[T],
    saved_inverse_std: &[T],
    dgamma: &mut [T],
    dbeta: &mut [T],
) -> Vec<T> {
    let channels = gamma.len();
    let n = positions as f64;
    let mut constants = vec![T::ZERO; 3 * channels];
    for c in 0..channels {
        let inverse_std = saved_inverse_std[c].to_f64();
        constants[c] = T::from_f64(gamma[c].to_f64() * inverse_std);
        constants[channels + c] = T::from_f64(sums[c] / n);
        constants[2 * channels + c] = T::from_f64(inverse_std * sums[channels + c] / n);
        dbeta[c] += T::from_f64(sums[c]);
        dgamma[c] += T::from_f64(sums[channels + c]);
    }
    constants
}

/// Moves the running estimates towards the statistics of a batch, in PyTorch's convention:
/// running = (1 - momentum) · running + momentum · batch, with the unbiased variance
/// Σ (x - μ)² / (n - 1). (A batch of a single position has no unbiased variance and counts as 0.)
///
/// `positions`, `epsilon`, `saved_mean` and `saved_inverse_std` are those of
/// [`batch_norm_train_forward`]. The variance is read back as 1 / r² - ε: the rounding of r leaves
/// an error of two roundings of v + ε, which is the only form in which inference uses it.
///
/// # Errors
/// [`KernelError`] when the slices do not fit or there is no position.
pub fn batch_norm_update_running<T: Real>(
    positions: usize,
    momentum: T,
    epsilon: T,
    saved_mean: &[T],
    saved_inverse_std: &[T],
    running_mean: &mut [T],
    running_var: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "batch_norm_update_running";
    let channels = saved_mean.len();
    check_size(OPERATION, "saved_inverse_std", saved_inverse_std.len(), channels)?;
    check_size(OPERATION, "running_mean", running_mean.len(), channels)?;
    check_size(OPERATION, "running_var", running_var.len(), channels)?;
    if positions == 0 {
        return Err(no_position(OPERATION));
    }
    let momentum = momentum.to_f64();
    let unbiased = positions as f64 / (positions.max(2) - 1) as f64;
    let blend = |running: T, batch: f64| {
        T::from_f64((1.0 - momentum) * running.to_f64() + momentum * batch)
    };
    for c in 0..channels {
        let inverse_std = saved_inverse_std[c].to_f64();
        let variance = (1.0 / (inverse_std * inverse_std) - epsilon.to_f64()).max(0.0);
        running_mean[c] = blend(running_mean[c], saved_mean[c].to_f64());
        running_var[c] = blend(running_var[c], variance * unbiased);
    }
    Ok(())
}

/// The gradient of [`batch_norm_train_forward`]: dx is overwritten, dgamma and dbeta are added to.
///
/// # Errors
/// [`KernelError`] when the slices do not fit or there is no position.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_backward<T: Real>(
    cpu: Cpu,
    x: &[T],
    channels: usize,
    gamma: &[T],
    saved_mean: &[T],
    saved_inverse_std: &[T],
    dy: &[T],
    dx: &mut [T],
    dgamma: &mut [T],
    dbeta: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "batch_norm_backward";
    let positions = positions(OPERATION, x, channels)?;
    check_size(OPERATION, "gamma", gamma.len(), channels)?;
    check_size(OPERATION, "saved_mean", saved_mean.len(), channels)?;
    check_size(OPERATION, "saved_inverse_std", saved_inverse_std.len(), channels)?;
    check_size(OPERATION, "dy", dy.len(), x.len())?;
    check_size(OPERATION, "dx", dx.len(), x.len())?;
    check_size(OPERATION, "dgamma", dgamma.len(), channels)?;
    check_size(OPERATION, "dbeta", dbeta.len(), channels)?;

    let sums = sum_over_rows(positions, 2 * channels, |first, rows, sums| {
        let range = first * channels..(first + rows) * channels;
        add_gradient_sums(cpu, &x[range.clone()], &dy[range], saved_mean, saved_inverse_std, sums);
    });
    let constants = gradient_constants(&sums, positions, gamma, saved_inverse_std, dgamma, dbeta);
    let (scale, rest) = constants.split_at(channels);
    let (offset, slope) = rest.split_at(channels);
    let task = row_task(channels);
    x.par_chunks(task)
        .zip(dy.par_chunks(task))
        .zip(dx.par_chunks_mut(task))
        .for_each(|((x, dy), dx)| gradient_rows(cpu, x, dy, saved_mean, scale, offset, slope, dx));
    Ok(())
}

/// Inference: normalises with the running estimates, each element by itself.
///
/// x `[positions, channels]`, possibly none → y of the same shape.
///
/// # Errors
/// [`KernelError`] when the slices do not fit.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_eval<T: Real>(
    cpu: Cpu,
    x: &[T],
    channels: usize,
    gamma: &[T],
    beta: &[T],
    running_mean: &[T],
    running_var: &[T],
    epsilon: T,
    y: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "batch_norm_eval";
    check_rows(OPERATION, "x", x.len(), channels)?;
    check_size(OPERATION, "gamma", gamma.len(), channels)?;
    check_size(OPERATION, "beta", beta.len(), channels)?;
    check_size(OPERATION, "running_mean", running_mean.len(), channels)?;
    check_size(OPERATION, "running_var", running_var.len(), channels)?;
    check_size(OPERATION, "y", y.len(), x.len())?;
    let scale = eval_scale(gamma, running_var, epsilon);
    let task = row_task(channels);
    x.par_chunks(task)
        .zip(y.par_chunks_mut(task))
        .for_each(|(x, y)| scale_rows(cpu, x, running_mean, &scale, beta, y));
    Ok(())
}

/// γ / √(v + ε) with the running variance.
fn eval_scale<T: Real>(gamma: &[T], running_var: &[T], epsilon: T) -> Vec<T> {
    gamma
        .iter()
        .zip(running_var)
        .map(|(gamma, var)| T::from_f64(gamma.to_f64() / (var.to_f64() + epsilon.to_f64()).sqrt()))
        .collect()
}

/// The number of positions, at least one.
fn positions<T>(operation: &'static str, x: &[T], channels: usize) -> Result<usize, KernelError> {
    check_rows(operation, "x", x.len(), channels)?;
    if x.is_empty() { Err(no_position(operation)) } else { Ok(x.len() / channels) }
}

/// The refusal of a batch without frames.
fn no_position(operation: &'static str) -> KernelError {
    KernelError::TooSmall { operation, what: "the number of positions", actual: 0, minimum: 1 }
}

#[cfg(test)]
mod tests;
