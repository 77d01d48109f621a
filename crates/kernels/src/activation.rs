//! The rectifier, plain and clipped, with its gradient.
//!
//! y = max(x, 0); clipped: y = min(max(x, 0), ceiling), as Deep Speech has it (Hannun et al. 2014).
//! Its slope is 1 where 0 < y (and y < ceiling), 0 elsewhere, so the backward pass needs y alone and
//! the forward pass may run in place. A NaN goes through: a broken step must be seen, not cured.

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
