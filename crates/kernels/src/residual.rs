//! Residual addition, plain or with the rectifier that follows it, and its gradient.
//!
//! He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016.
//!
//! y = a + b, or y = max(a + b, 0). Both branches get the same gradient: dL/dy, or dL/dy where y > 0 and 0
//! elsewhere. Without the rectifier that is dL/dy itself and there is nothing to compute; where branches
//! meet again at their common input, the gradients are added by [`residual_add_in_place`].
//!
//! Book: book/src/transfer.md

use rayon::prelude::*;

use crate::activation::relu_backward;
use crate::blocks::ELEMENT_BLOCK;
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_size};
use crate::real::Real;
use crate::vector;

/// max(x, 0), NaN left as it is.
#[inline(always)]
fn rectified<T: Real>(x: T) -> T {
    if x < T::ZERO { T::ZERO } else { x }
}

per_isa! {
    fn sum<T>(a: &[T], b: &[T], y: &mut [T]) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    }
    fn rectified_sum<T>(a: &[T], b: &[T], y: &mut [T]) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = rectified(a + b);
        }
    }
    fn rectified_sum_in_place<T>(b: &[T], sum: &mut [T]) {
        for (sum, &b) in sum.iter_mut().zip(b) {
            *sum = rectified(*sum + b);
        }
    }
}

/// y = a + b, any shape.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn residual_add_forward<T: Real>(
    cpu: Cpu,
    a: &[T],
    b: &[T],
    y: &mut [T],
) -> Result<(), KernelError> {
    forward(a, b, y, |a, b, y| sum(cpu, a, b, y))
}

/// y = max(a + b, 0), any shape.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn residual_add_relu_forward<T: Real>(
    cpu: Cpu,
    a: &[T],
    b: &[T],
    y: &mut [T],
) -> Result<(), KernelError> {
    forward(a, b, y, |a, b, y| rectified_sum(cpu, a, b, y))
}

fn forward<T: Real>(
    a: &[T],
    b: &[T],
    y: &mut [T],
    block: impl Fn(&[T], &[T], &mut [T]) + Sync,
) -> Result<(), KernelError> {
    check_size("residual addition", "b", b.len(), a.len())?;
    check_size("residual addition", "y", y.len(), a.len())?;
    a.par_chunks(ELEMENT_BLOCK)
        .zip(b.par_chunks(ELEMENT_BLOCK))
        .zip(y.par_chunks_mut(ELEMENT_BLOCK))
        .for_each(|((a, b), y)| block(a, b, y));
    Ok(())
}

/// sum += b: of activations, or of the gradients of two branches.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn residual_add_in_place<T: Real>(cpu: Cpu, b: &[T], sum: &mut [T]) -> Result<(), KernelError> {
    forward_in_place(b, sum, |b, sum| vector::add(cpu, b, sum))
}

/// sum = max(sum + b, 0).
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn residual_add_relu_in_place<T: Real>(
    cpu: Cpu,
    b: &[T],
    sum: &mut [T],
) -> Result<(), KernelError> {
    forward_in_place(b, sum, |b, sum| rectified_sum_in_place(cpu, b, sum))
}

fn forward_in_place<T: Real>(
    b: &[T],
    sum: &mut [T],
    block: impl Fn(&[T], &mut [T]) + Sync,
) -> Result<(), KernelError> {
    check_size("residual addition", "b", b.len(), sum.len())?;
    b.par_chunks(ELEMENT_BLOCK)
        .zip(sum.par_chunks_mut(ELEMENT_BLOCK))
        .for_each(|(b, sum)| block(b, sum));
    Ok(())
}

/// The gradient of both branches of [`residual_add_relu_forward`] from its output: dx = dy where
/// y > 0, else 0.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn residual_add_relu_backward<T: Real>(
    cpu: Cpu,
    y: &[T],
    dy: &[T],
    dx: &mut [T],
) -> Result<(), KernelError> {
    relu_backward(cpu, y, dy, dx)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, check_gradient, every_cpu, noise, noise_of, pool};

    #[test]
    fn sums_and_slopes_are_those_of_the_definition() {
        let [a, b, weights] = [1, 2, 3].map(|seed| noise_of::<f64>(seed, 101));
        for cpu in every_cpu() {
            let mut y = vec![f64::NAN; a.len()];
            residual_add_forward(cpu, &a, &b, &mut y).unwrap();
            assert!(y.iter().zip(a.iter().zip(&b)).all(|(y, (a, b))| *y == a + b));
            residual_add_relu_forward(cpu, &a, &b, &mut y).unwrap();
            assert!(y.iter().zip(a.iter().zip(&b)).all(|(y, (a, b))| *y == (a + b).max(0.0)));
            let mut dx = vec![f64::NAN; a.len()];
            residual_add_relu_backward(cpu, &y, &weights, &mut dx).unwrap();
            let loss = |a: &[f64], b: &[f64]| {
                let mut y = vec![0.0; a.len()];
                residual_add_relu_forward(cpu, a, b, &mut y).unwrap();
                y.iter().zip(&weights).map(|(y, w)| y * w).sum()
            };
            check_gradient("a", &a, &dx, |a| loss(a, &b));
            check_gradient("b", &b, &dx, |b| loss(&a, b));
        }
    }

    #[test]
    fn in_place_on_any_number_of_threads_is_the_same() {
        let (mut a, b) = (noise(1, 70_001), noise(2, 70_001));
        a[69_000] = f32::NAN;
        for cpu in every_cpu() {
            for threads in 1..=4 {
                pool(threads).install(|| {
                    let (mut y, mut sum) = (vec![0.0; a.len()], a.clone());
                    residual_add_forward(cpu, &a, &b, &mut y).unwrap();
                    residual_add_in_place(cpu, &b, &mut sum).unwrap();
                    assert_eq!(bits(&y), bits(&sum));
                    residual_add_relu_forward(cpu, &a, &b, &mut y).unwrap();
                    sum.copy_from_slice(&a);
                    residual_add_relu_in_place(cpu, &b, &mut sum).unwrap();
                    assert_eq!(bits(&y), bits(&sum));
                    assert!(y[69_000].is_nan(), "a fault must be seen");
                    assert!(y.iter().all(|&y| y.is_nan() || y >= 0.0));
                });
            }
        }
    }

    #[test]
    fn misfits_are_refused() {
        let (cpu, x, mut y) = (Cpu::portable(), [1f32; 3], [5f32; 2]);
        assert!(residual_add_forward(cpu, &x, &x, &mut y).is_err());
        assert!(residual_add_relu_forward(cpu, &x[1..], &x, &mut y).is_err());
        assert!(residual_add_in_place(cpu, &x, &mut y).is_err());
        assert!(residual_add_relu_in_place(cpu, &x, &mut y).is_err());
        assert!(residual_add_relu_backward(cpu, &x, &x, &mut y).is_err());
        assert_eq!(y, [5.0; 2]);
    }
}
