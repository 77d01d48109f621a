//! Batch norm with the rectifier behind it, and with a residual addition between the two, in one pass.
//!
//! y = max(BN(x) + s, 0), with s the shortcut of a residual block, or 0. Norm, addition and rectifier
//! have one operation for each number that comes from memory; apart they would read and write it
//! three times. The gradient behind the rectifier is g = dL/dy where y > 0 and 0 elsewhere; that is
//! also the gradient of the shortcut, and dL/dx follows from it as in the parent module.
//!
//! Book: book/src/convolution.md

use rayon::prelude::*;

use super::{GradientSums, eval_scale, gradient_constants, positions, statistics};
use crate::blocks::{row_task, sum_over_rows};
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_size};
use crate::lanes::{Lanes, load, over_channels, store};
use crate::real::Real;
use crate::softmax::check_rows;

/// max(x, 0), NaN left as it is.
#[inline(always)]
fn rectified<T: Real>(x: T) -> T {
    if x < T::ZERO { T::ZERO } else { x }
}

per_isa! {
    /// y = max((x - mean) · scale + beta, 0) for whole rows.
    fn rectified_rows<T>(x: &[T], mean: &[T], scale: &[T], beta: &[T], y: &mut [T]) {
        let channels = mean.len();
        let constants = || mean.iter().zip(scale).zip(beta);
        for (row, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for ((y, &x), ((&mean, &scale), &beta)) in y.iter_mut().zip(row).zip(constants()) {
                *y = rectified((x - mean) * scale + beta);
            }
        }
    }

    /// y = max((x - mean) · scale + beta + shortcut, 0) for whole rows.
    fn rectified_sum_rows<T>(
        x: &[T], mean: &[T], scale: &[T], beta: &[T], shortcut: &[T], y: &mut [T],
    ) {
        let channels = mean.len();
        let constants = || mean.iter().zip(scale).zip(beta);
        let rows = x.chunks_exact(channels).zip(shortcut.chunks_exact(channels));
        for ((row, shortcut), y) in rows.zip(y.chunks_exact_mut(channels)) {
            let values = y.iter_mut().zip(row).zip(shortcut);
            for (((y, &x), &shortcut), ((&mean, &scale), &beta)) in values.zip(constants()) {
                *y = rectified((x - mean) * scale + beta + shortcut);
            }
        }
    }
}

per_isa! {
    /// Adds Σg and Σg x̂ of each channel onto `sums`: `[2, channels]`; g is dy where y > 0.
    fn add_rectified_sums<T>(
        x: &[T], y: &[T], dy: &[T], mean: &[T], inverse_std: &[T], sums: &mut [f64],
    ) {
        let (first, second) = sums.split_at_mut(mean.len());
        let mut work = GradientSums::<_, true> { x, y, dy, mean, inverse_std, first, second };
        over_channels(mean.len(), &mut work);
    }

    /// dx = scale · (g - offset - (x - mean) · slope) for whole rows; g is dy where y > 0.
    fn rectified_gradient_rows<T>(
        x: &[T], y: &[T], dy: &[T], constants: [&[T]; 4], dx: &mut [T],
    ) {
        let channels = constants[0].len();
        let rows = x.chunks_exact(channels).zip(y.chunks_exact(channels));
        let rows = rows.zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels));
        for (((x, y), dy), dx) in rows {
            over_channels(channels, &mut Gradient { x, y, dy, constants, dx });
        }
    }
}

/// dx of one row. (As a loop over eight slices the compiler would not vectorise it.)
struct Gradient<'a, T> {
    x: &'a [T],
    y: &'a [T],
    dy: &'a [T],
    constants: [&'a [T]; 4],
    dx: &'a mut [T],
}

impl<T: Real> Lanes for Gradient<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let [x, y, dy] = [self.x, self.y, self.dy].map(|values| load::<T, L>(values, channel));
        let [mean, scale, offset, slope] = self.constants.map(|c| load::<T, L>(c, channel));
        let mut dx = [T::ZERO; L];
        for lane in 0..L {
            let g = if y[lane] > T::ZERO { dy[lane] } else { T::ZERO };
            dx[lane] = scale[lane] * (g - offset[lane] - (x[lane] - mean[lane]) * slope[lane]);
        }
        store(self.dx, channel, dx);
    }
}

/// y = max((x - mean) · scale + beta + shortcut, 0), in parallel.
fn apply<T: Real>(cpu: Cpu, x: &[T], constants: [&[T]; 3], shortcut: Option<&[T]>, y: &mut [T]) {
    let [mean, scale, beta] = constants;
    let task = row_task(mean.len());
    let pairs = x.par_chunks(task).zip(y.par_chunks_mut(task));
    match shortcut {
        None => pairs.for_each(|(x, y)| rectified_rows(cpu, x, mean, scale, beta, y)),
        Some(shortcut) => pairs.zip(shortcut.par_chunks(task)).for_each(|((x, y), shortcut)| {
            rectified_sum_rows(cpu, x, mean, scale, beta, shortcut, y);
        }),
    }
}

/// Training: y = max(BN(x) + shortcut, 0), where BN is
/// [`batch_norm_train_forward`](super::batch_norm_train_forward) and the shortcut, where there is one,
/// has the shape of x.
///
/// # Errors
/// [`KernelError`] when the slices do not fit or there is no position; nothing is then written.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_relu_train_forward<T: Real>(
    cpu: Cpu,
    x: &[T],
    channels: usize,
    gamma: &[T],
    beta: &[T],
    epsilon: T,
    shortcut: Option<&[T]>,
    y: &mut [T],
    saved_mean: &mut [T],
    saved_inverse_std: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "batch_norm_relu_train_forward";
    positions(OPERATION, x, channels)?;
    check_size(OPERATION, "gamma", gamma.len(), channels)?;
    check_size(OPERATION, "beta", beta.len(), channels)?;
    check_size(OPERATION, "shortcut", shortcut.map_or(x.len(), <[T]>::len), x.len())?;
    check_size(OPERATION, "y", y.len(), x.len())?;
    check_size(OPERATION, "saved_mean", saved_mean.len(), channels)?;
    check_size(OPERATION, "saved_inverse_std", saved_inverse_std.len(), channels)?;
    let scale = statistics(cpu, x, gamma, epsilon, saved_mean, saved_inverse_std);
    apply(cpu, x, [saved_mean, &scale, beta], shortcut, y);
    Ok(())
}

/// Inference: y = max(BN(x) + shortcut, 0), where BN is
/// [`batch_norm_eval`](super::batch_norm_eval); each element by itself.
///
/// # Errors
/// [`KernelError`] when the slices do not fit; nothing is then written.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_relu_eval<T: Real>(
    cpu: Cpu,
    x: &[T],
    channels: usize,
    gamma: &[T],
    beta: &[T],
    running_mean: &[T],
    running_var: &[T],
    epsilon: T,
    shortcut: Option<&[T]>,
    y: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "batch_norm_relu_eval";
    check_rows(OPERATION, "x", x.len(), channels)?;
    check_size(OPERATION, "gamma", gamma.len(), channels)?;
    check_size(OPERATION, "beta", beta.len(), channels)?;
    check_size(OPERATION, "running_mean", running_mean.len(), channels)?;
    check_size(OPERATION, "running_var", running_var.len(), channels)?;
    check_size(OPERATION, "shortcut", shortcut.map_or(x.len(), <[T]>::len), x.len())?;
    check_size(OPERATION, "y", y.len(), x.len())?;
    let scale = eval_scale(gamma, running_var, epsilon);
    apply(cpu, x, [running_mean, &scale, beta], shortcut, y);
    Ok(())
}

/// The gradient of [`batch_norm_relu_train_forward`] from its input and output: dx is overwritten,
/// dgamma and dbeta are added to. With a shortcut, its gradient is that of
/// [`residual_add_relu_backward`](crate::residual::residual_add_relu_backward); whoever needs that one
/// too calls it, and hands its result to [`batch_norm_backward`](super::batch_norm_backward) instead.
///
/// # Errors
/// [`KernelError`] when the slices do not fit or there is no position; nothing is then written.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_relu_backward<T: Real>(
    cpu: Cpu,
    x: &[T],
    y: &[T],
    channels: usize,
    gamma: &[T],
    saved_mean: &[T],
    saved_inverse_std: &[T],
    dy: &[T],
    dx: &mut [T],
    dgamma: &mut [T],
    dbeta: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "batch_norm_relu_backward";
    let positions = positions(OPERATION, x, channels)?;
    check_size(OPERATION, "y", y.len(), x.len())?;
    check_size(OPERATION, "gamma", gamma.len(), channels)?;
    check_size(OPERATION, "saved_mean", saved_mean.len(), channels)?;
    check_size(OPERATION, "saved_inverse_std", saved_inverse_std.len(), channels)?;
    check_size(OPERATION, "dy", dy.len(), x.len())?;
    check_size(OPERATION, "dx", dx.len(), x.len())?;
    check_size(OPERATION, "dgamma", dgamma.len(), channels)?;
    check_size(OPERATION, "dbeta", dbeta.len(), channels)?;

    let sums = sum_over_rows(positions, 2 * channels, |first, rows, sums| {
        let range = first * channels..(first + rows) * channels;
        let (x, y, dy) = (&x[range.clone()], &y[range.clone()], &dy[range]);
        add_rectified_sums(cpu, x, y, dy, saved_mean, saved_inverse_std, sums);
    });
    let constants = gradient_constants(&sums, positions, gamma, saved_inverse_std, dgamma, dbeta);
    let (scale, rest) = constants.split_at(channels);
    let (offset, slope) = rest.split_at(channels);
    let constants = [saved_mean, scale, offset, slope];
    let task = row_task(channels);
    x.par_chunks(task)
        .zip(y.par_chunks(task))
        .zip(dy.par_chunks(task))
        .zip(dx.par_chunks_mut(task))
        .for_each(|(((x, y), dy), dx)| rectified_gradient_rows(cpu, x, y, dy, constants, dx));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch_norm::{batch_norm_backward, batch_norm_eval, batch_norm_train_forward};
    use crate::residual::{residual_add_relu_backward, residual_add_relu_in_place};
    use crate::testing::{bits, check_gradient, every_cpu, noise, noise_of, pool};

    #[test]
    fn it_is_what_the_parts_are_one_after_another() {
        let (channels, positions) = (43, 1700);
        let [x, s, dy] = [1, 2, 3].map(|seed| noise(seed, channels * positions));
        let [gamma, beta] = [4, 5].map(|seed| noise(seed, channels));
        for cpu in every_cpu() {
            for shortcut in [None, Some(s.as_slice())] {
                let zeros = || vec![0f32; channels];
                let (mut mean, mut inverse) = (zeros(), zeros());
                let mut y = vec![f32::NAN; x.len()];
                batch_norm_train_forward(
                    cpu,
                    &x,
                    channels,
                    &gamma,
                    &beta,
                    1e-5,
                    &mut y,
                    &mut mean,
                    &mut inverse,
                )
                .unwrap();
                let none = vec![0f32; x.len()];
                residual_add_relu_in_place(cpu, shortcut.unwrap_or(&none), &mut y).unwrap();
                let mut g = vec![f32::NAN; x.len()];
                residual_add_relu_backward(cpu, &y, &dy, &mut g).unwrap();
                let (mut dx, mut dgamma, mut dbeta) = (vec![f32::NAN; x.len()], zeros(), zeros());
                batch_norm_backward(
                    cpu,
                    &x,
                    channels,
                    &gamma,
                    &mean,
                    &inverse,
                    &g,
                    &mut dx,
                    &mut dgamma,
                    &mut dbeta,
                )
                .unwrap();
                let mut eval = vec![f32::NAN; x.len()];
                let variance: Vec<f32> = inverse.iter().map(|r| 1.0 / (r * r)).collect();
                batch_norm_eval(
                    cpu, &x, channels, &gamma, &beta, &mean, &variance, 1e-5, &mut eval,
                )
                .unwrap();
                residual_add_relu_in_place(cpu, shortcut.unwrap_or(&none), &mut eval).unwrap();
                for threads in 1..=4 {
                    pool(threads).install(|| {
                        let (mut fused, mut m, mut r) = (vec![f32::NAN; x.len()], zeros(), zeros());
                        batch_norm_relu_train_forward(
                            cpu, &x, channels, &gamma, &beta, 1e-5, shortcut, &mut fused, &mut m,
                            &mut r,
                        )
                        .unwrap();
                        assert_eq!(fused, y);
                        assert_eq!((bits(&m), bits(&r)), (bits(&mean), bits(&inverse)));
                        let (mut d, mut dg, mut db) = (vec![f32::NAN; x.len()], zeros(), zeros());
                        batch_norm_relu_backward(
                            cpu, &x, &y, channels, &gamma, &mean, &inverse, &dy, &mut d, &mut dg,
                            &mut db,
                        )
                        .unwrap();
                        assert_eq!(bits(&d), bits(&dx));
                        assert_eq!((bits(&dg), bits(&db)), (bits(&dgamma), bits(&dbeta)));
                        batch_norm_relu_eval(
                            cpu, &x, channels, &gamma, &beta, &mean, &variance, 1e-5, shortcut,
                            &mut fused,
                        )
                        .unwrap();
                        assert_eq!(fused, eval);
                    });
                }
            }
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let (channels, positions) = (3, 13);
        let [x, s, dy] = [1, 2, 3].map(|seed| noise_of::<f64>(seed, channels * positions));
        let [gamma, beta] = [4, 5].map(|seed| noise_of::<f64>(seed, channels));
        for cpu in every_cpu() {
            let run = |x: &[f64], gamma: &[f64], beta: &[f64]| {
                let mut y = vec![0.0; x.len()];
                let (mut mean, mut inverse) = (vec![0.0; channels], vec![0.0; channels]);
                batch_norm_relu_train_forward(
                    cpu,
                    x,
                    channels,
                    gamma,
                    beta,
                    1e-5,
                    Some(&s),
                    &mut y,
                    &mut mean,
                    &mut inverse,
                )
                .unwrap();
                (y, mean, inverse)
            };
            let loss = |x: &[f64], gamma: &[f64], beta: &[f64]| {
                run(x, gamma, beta).0.iter().zip(&dy).map(|(y, d)| y * d).sum()
            };
            let (y, mean, inverse) = run(&x, &gamma, &beta);
            let (mut dx, mut dgamma) = (vec![f64::NAN; x.len()], vec![0.0; channels]);
            let mut dbeta = vec![0.0; channels];
            batch_norm_relu_backward(
                cpu,
                &x,
                &y,
                channels,
                &gamma,
                &mean,
                &inverse,
                &dy,
                &mut dx,
                &mut dgamma,
                &mut dbeta,
            )
            .unwrap();
            check_gradient("x", &x, &dx, |x| loss(x, &gamma, &beta));
            check_gradient("gamma", &gamma, &dgamma, |gamma| loss(&x, gamma, &beta));
            check_gradient("beta", &beta, &dbeta, |beta| loss(&x, &gamma, beta));
        }
    }

    #[test]
    fn misfits_are_refused_and_nothing_is_written() {
        let (cpu, x, c) = (Cpu::portable(), [1f32; 6], [1f32; 2]);
        let (mut y, mut m, mut r) = ([5f32; 6], [5f32; 2], [5f32; 2]);
        let short = Some(&x[1..]);
        assert!(
            batch_norm_relu_train_forward(cpu, &x, 2, &c, &c, 0.1, short, &mut y, &mut m, &mut r)
                .is_err()
        );
        assert!(
            batch_norm_relu_train_forward(cpu, &[], 2, &c, &c, 0.1, None, &mut [], &mut m, &mut r)
                .is_err()
        );
        assert!(batch_norm_relu_eval(cpu, &x, 4, &c, &c, &c, &c, 0.1, None, &mut y).is_err());
        assert!(batch_norm_relu_eval(cpu, &x, 2, &c, &c, &c, &c, 0.1, short, &mut y).is_err());
        assert!(
            batch_norm_relu_backward(cpu, &x, &x[1..], 2, &c, &c, &c, &x, &mut y, &mut m, &mut r)
                .is_err()
        );
        assert_eq!((y, m, r), ([5.0; 6], [5.0; 2], [5.0; 2]));
    }
}
