//! The rectifier, plain and clipped, with its gradient.
//!
//! y = max(x, 0); clipped: y = min(max(x, 0), ceiling), as Deep Speech has it (Hannun et al. 2014).
//! Its slope is 1 where 0 < y (and y < ceiling), 0 elsewhere, so the backward pass needs y alone and
//! the forward pass may run in place. A NaN goes through: a broken step must be seen, not cured.
//!
//! Book: book/src/convolution.md

use rayon::prelude::*;

use crate::blocks::ELEMENT_BLOCK;
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_size};
use crate::real::Real;

/// x between 0 and the ceiling, NaN left as it is.
#[inline(always)]
fn clip<T: Real>(x: T, ceiling: T) -> T {
    let low = if x < T::ZERO { T::ZERO } else { x };
    if low > ceiling { ceiling } else { low }
}

per_isa! {
    fn forward<T>(x: &[T], ceiling: T, y: &mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = clip(x, ceiling);
        }
    }
    fn forward_in_place<T>(values: &mut [T], ceiling: T) {
        for value in values {
            *value = clip(*value, ceiling);
        }
    }
    fn backward<T>(y: &[T], dy: &[T], ceiling: T, dx: &mut [T]) {
        for ((dx, &dy), &y) in dx.iter_mut().zip(dy).zip(y) {
            let open = (y > T::ZERO) & (y < ceiling);
            *dx = if open { dy } else { T::ZERO };
        }
    }
    fn backward_in_place<T>(y: &[T], ceiling: T, gradient: &mut [T]) {
        for (gradient, &y) in gradient.iter_mut().zip(y) {
            let open = (y > T::ZERO) & (y < ceiling);
            *gradient = if open { *gradient } else { T::ZERO };
        }
    }
}

/// y = max(x, 0), any shape.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn relu_forward<T: Real>(cpu: Cpu, x: &[T], y: &mut [T]) -> Result<(), KernelError> {
    clipped_relu_forward(cpu, x, T::INFINITY, y)
}

/// x = max(x, 0) in its place, any shape.
pub fn relu_in_place<T: Real>(cpu: Cpu, values: &mut [T]) {
    clipped_relu_in_place(cpu, values, T::INFINITY);
}

/// dx = dy where y > 0, else 0.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn relu_backward<T: Real>(
    cpu: Cpu,
    y: &[T],
    dy: &[T],
    dx: &mut [T],
) -> Result<(), KernelError> {
    clipped_relu_backward(cpu, y, dy, T::INFINITY, dx)
}

/// [`relu_backward`] with dx written over dy.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn relu_backward_in_place<T: Real>(
    cpu: Cpu,
    y: &[T],
    gradient: &mut [T],
) -> Result<(), KernelError> {
    clipped_relu_backward_in_place(cpu, y, T::INFINITY, gradient)
}

/// y = min(max(x, 0), ceiling), any shape.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn clipped_relu_forward<T: Real>(
    cpu: Cpu,
    x: &[T],
    ceiling: T,
    y: &mut [T],
) -> Result<(), KernelError> {
    check_size("relu_forward", "y", y.len(), x.len())?;
    x.par_chunks(ELEMENT_BLOCK)
        .zip(y.par_chunks_mut(ELEMENT_BLOCK))
        .for_each(|(x, y)| forward(cpu, x, ceiling, y));
    Ok(())
}

/// [`clipped_relu_forward`] in its place.
pub fn clipped_relu_in_place<T: Real>(cpu: Cpu, values: &mut [T], ceiling: T) {
    values.par_chunks_mut(ELEMENT_BLOCK).for_each(|values| forward_in_place(cpu, values, ceiling));
}

/// dx = dy where 0 < y < ceiling, else 0.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn clipped_relu_backward<T: Real>(
    cpu: Cpu,
    y: &[T],
    dy: &[T],
    ceiling: T,
    dx: &mut [T],
) -> Result<(), KernelError> {
    check_size("relu_backward", "dy", dy.len(), y.len())?;
    check_size("relu_backward", "dx", dx.len(), y.len())?;
    y.par_chunks(ELEMENT_BLOCK)
        .zip(dy.par_chunks(ELEMENT_BLOCK))
        .zip(dx.par_chunks_mut(ELEMENT_BLOCK))
        .for_each(|((y, dy), dx)| backward(cpu, y, dy, ceiling, dx));
    Ok(())
}

/// [`clipped_relu_backward`] with dx written over dy.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn clipped_relu_backward_in_place<T: Real>(
    cpu: Cpu,
    y: &[T],
    ceiling: T,
    gradient: &mut [T],
) -> Result<(), KernelError> {
    check_size("relu_backward", "gradient", gradient.len(), y.len())?;
    y.par_chunks(ELEMENT_BLOCK)
        .zip(gradient.par_chunks_mut(ELEMENT_BLOCK))
        .for_each(|(y, gradient)| backward_in_place(cpu, y, ceiling, gradient));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, check_gradient, every_cpu, noise, noise_of};

    #[test]
    fn values_at_the_edges() {
        for cpu in every_cpu() {
            let x = [-1.0f32, -0.0, 0.0, 2.0, 7.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
            let mut y = [9.0f32; 8];
            relu_forward(cpu, &x, &mut y).unwrap();
            assert_eq!(y[..7], [0.0, 0.0, 0.0, 2.0, 7.0, f32::INFINITY, 0.0]);
            assert!(y[7].is_nan(), "a fault must be seen");
            clipped_relu_forward(cpu, &x, 5.0, &mut y).unwrap();
            assert_eq!(y[..7], [0.0, 0.0, 0.0, 2.0, 5.0, 5.0, 0.0]);
            assert!(y[7].is_nan());
            let mut dx = [9.0f32; 8];
            clipped_relu_backward(cpu, &y, &[3.0; 8], 5.0, &mut dx).unwrap();
            assert_eq!(dx, [0.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn gradients_are_slopes() {
        let x: Vec<f64> = noise_of(1, 100);
        let weights: Vec<f64> = noise_of(2, 100);
        for cpu in every_cpu() {
            for ceiling in [f64::INFINITY, 0.5] {
                let loss = |x: &[f64]| -> f64 {
                    let mut y = vec![0.0; x.len()];
                    clipped_relu_forward(cpu, x, ceiling, &mut y).unwrap();
                    y.iter().zip(&weights).map(|(y, w)| y * w).sum()
                };
                let (mut y, mut dx) = (x.clone(), vec![0.0; x.len()]);
                clipped_relu_in_place(cpu, &mut y, ceiling);
                clipped_relu_backward(cpu, &y, &weights, ceiling, &mut dx).unwrap();
                check_gradient("x", &x, &dx, loss);
            }
        }
    }

    #[test]
    fn in_place_is_the_same() {
        let (x, dy) = (noise(3, 40_001), noise(4, 40_001));
        for cpu in every_cpu() {
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            relu_forward(cpu, &x, &mut y).unwrap();
            relu_backward(cpu, &y, &dy, &mut dx).unwrap();
            let (mut values, mut gradient) = (x.clone(), dy.clone());
            relu_in_place(cpu, &mut values);
            relu_backward_in_place(cpu, &values, &mut gradient).unwrap();
            assert_eq!(bits(&y), bits(&values));
            assert_eq!(bits(&dx), bits(&gradient));
            assert!(relu_forward(cpu, &x, &mut y[1..]).is_err());
            assert!(relu_backward(cpu, &y, &dy[1..], &mut dx).is_err());
        }
    }
}
