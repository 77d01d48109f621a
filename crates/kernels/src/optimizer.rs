//! Optimiser steps in one pass over the parameters, and the norm that gradients are clipped by.
//!
//! # AdamW
//! Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, with the weight decay
//! decoupled from the gradient as in Loshchilov and Hutter, "Decoupled weight decay
//! regularization", ICLR 2019. With g the gradient, at step t = 1, 2, …
//! ```text
//! m ← β₁ m + (1 - β₁) g          v ← β₂ v + (1 - β₂) g²
//! θ ← θ - η λ θ - η (m / (1 - β₁ᵗ)) / ( √(v / (1 - β₂ᵗ)) + ε )
//! ```
//! m and v start at zero and so lean towards zero in the first steps; dividing by 1 - βᵗ takes
//! that out, because the weights of a running mean of t terms sum to 1 - βᵗ.
//!
//! # Stochastic gradient descent with momentum
//! Polyak 1964, in PyTorch's form: u ← μ u + g + λ θ, θ ← θ - η u.
//!
//! # Clipping
//! Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML
//! 2013: where ‖g‖ exceeds a limit, g is scaled by limit / ‖g‖. [`gradient_norm`] gives the norm,
//! [`clipping_scale`] the factor, and the steps apply it as they read the gradient, so that it is
//! never written back.

use rayon::prelude::*;

use crate::blocks::ELEMENT_BLOCK;
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_size};
use crate::real::Real;

/// Lanes of the sum of squares.
const LANES: usize = 16;

/// The settings of [`adamw_step`] for one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// η, after warm-up and decay.
    pub learning_rate: f64,
    /// β₁, the memory of the first moment.
    pub beta1: f64,
    /// β₂, the memory of the second moment.
    pub beta2: f64,
    /// ε, added to the root of the second moment.
    pub epsilon: f64,
    /// λ, the share of a parameter that decays each step, times η.
    pub weight_decay: f64,
}

impl Default for AdamW {
    /// The defaults of PyTorch's AdamW.
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-2 }
    }
}

/// The settings of [`sgd_step`] for one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// η, after warm-up and decay.
    pub learning_rate: f64,
    /// μ, the share of the velocity that is kept.
    pub momentum: f64,
    /// λ, added to the gradient times the parameter.
    pub weight_decay: f64,
}

/// The numbers of an AdamW step in the precision of the parameters.
#[derive(Clone, Copy)]
struct Factors<T> {
    gradient_scale: T,
    keep1: T,
    add1: T,
    keep2: T,
    add2: T,
    /// 1 - η λ.
    decay: T,
    /// η / (1 - β₁ᵗ).
    rate: T,
    /// √(1 - β₂ᵗ)⁻¹.
    root: T,
    epsilon: T,
}

per_isa! {
    fn adamw_block<T>(
        parameters: &mut [T],
        gradient: &[T],
        first: &mut [T],
        second: &mut [T],
        factors: &Factors<T>,
    ) {
        let f = *factors;
        let moments = first.iter_mut().zip(second.iter_mut());
        for ((parameter, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            let g = g * f.gradient_scale;
            *m = *m * f.keep1 + g * f.add1;
            *v = *v * f.keep2 + g * g * f.add2;
            *parameter = *parameter * f.decay - f.rate * *m / (v.sqrt() * f.root + f.epsilon);
        }
    }

    fn sgd_block<T>(
        parameters: &mut [T],
        gradient: &[T],
        velocity: &mut [T],
        rate: T,
        momentum: T,
        decay: T,
        scale: T,
    ) {
        for ((parameter, &g), u) in parameters.iter_mut().zip(gradient).zip(velocity) {
            *u = *u * momentum + (g * scale + *parameter * decay);
            *parameter -= rate * *u;
        }
    }

    /// Σ g² in f64, in an order that depends on the length alone.
    fn sum_of_squares<T>(gradient: &[T]) -> f64 {
        let mut lanes = [0.0; LANES];
        let groups = gradient.chunks_exact(LANES);
        let rest = groups.remainder();
        for group in groups {
            for (lane, g) in lanes.iter_mut().zip(group) {
                let g = g.to_f64();
                *lane += g * g;
            }
        }
        for (lane, g) in lanes.iter_mut().zip(rest) {
            let g = g.to_f64();
            *lane += g * g;
        }
        lanes.iter().sum()
    }
}

/// One step of AdamW on `parameters`, with the gradient read as `gradient_scale` times itself.
///
/// `step` counts from 1. The two moments start at zero and belong to the parameters: a checkpoint
/// holds them. All slices have one length; parameters that take another decay go into another call.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths or `step` is 0.
#[allow(clippy::too_many_arguments)]
pub fn adamw_step<T: Real>(
    cpu: Cpu,
    parameters: &mut [T],
    gradient: &[T],
    first_moment: &mut [T],
    second_moment: &mut [T],
    settings: &AdamW,
    step: u64,
    gradient_scale: f64,
) -> Result<(), KernelError> {
    const OPERATION: &str = "adamw_step";
    check_size(OPERATION, "gradient", gradient.len(), parameters.len())?;
    check_size(OPERATION, "first_moment", first_moment.len(), parameters.len())?;
    check_size(OPERATION, "second_moment", second_moment.len(), parameters.len())?;
    if step == 0 {
        let what = "the number of the step";
        return Err(KernelError::TooSmall { operation: OPERATION, what, actual: 0, minimum: 1 });
    }
    let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = *settings;
    // Multiplied out by squaring, because the library's power is not the same on every machine.
    let correction1 = 1.0 - power(beta1, step);
    let correction2 = 1.0 - power(beta2, step);
    let factors = Factors {
        gradient_scale: T::from_f64(gradient_scale),
        keep1: T::from_f64(beta1),
        add1: T::from_f64(1.0 - beta1),
        keep2: T::from_f64(beta2),
        add2: T::from_f64(1.0 - beta2),
        decay: T::from_f64(1.0 - learning_rate * weight_decay),
        rate: T::from_f64(learning_rate / correction1),
        root: T::from_f64(1.0 / correction2.sqrt()),
        epsilon: T::from_f64(epsilon),
    };
    parameters
        .par_chunks_mut(ELEMENT_BLOCK)
        .zip(gradient.par_chunks(ELEMENT_BLOCK))
        .zip(first_moment.par_chunks_mut(ELEMENT_BLOCK))
        .zip(second_moment.par_chunks_mut(ELEMENT_BLOCK))
        .for_each(|(((parameters, gradient), first), second)| {
            adamw_block(cpu, parameters, gradient, first, second, &factors);
        });
    Ok(())
}

/// One step of gradient descent with momentum, with the gradient read as `gradient_scale` times
/// itself. `velocity` starts at zero.
///
/// # Errors
/// [`KernelError`] when the slices have different lengths.
pub fn sgd_step<T: Real>(
    cpu: Cpu,
    parameters: &mut [T],
    gradient: &[T],
    velocity: &mut [T],
    settings: &Sgd,
    gradient_scale: f64,
) -> Result<(), KernelError> {
    const OPERATION: &str = "sgd_step";
    check_size(OPERATION, "gradient", gradient.len(), parameters.len())?;
    check_size(OPERATION, "velocity", velocity.len(), parameters.len())?;
    let rate = T::from_f64(settings.learning_rate);
    let momentum = T::from_f64(settings.momentum);
    let decay = T::from_f64(settings.weight_decay);
    let scale = T::from_f64(gradient_scale);
    parameters
        .par_chunks_mut(ELEMENT_BLOCK)
        .zip(gradient.par_chunks(ELEMENT_BLOCK))
        .zip(velocity.par_chunks_mut(ELEMENT_BLOCK))
        .for_each(|((parameters, gradient), velocity)| {
            sgd_block(cpu, parameters, gradient, velocity, rate, momentum, decay, scale);
        });
    Ok(())
}

/// The Euclidean norm of a gradient, summed in f64 over fixed blocks: the same for any number of
/// threads, and not finite exactly where an element of an f32 gradient is not finite.
pub fn gradient_norm<T: Real>(cpu: Cpu, gradient: &[T]) -> f64 {
    let sums: Vec<f64> =
        gradient.par_chunks(ELEMENT_BLOCK).map(|block| sum_of_squares(cpu, block)).collect();
    sums.iter().sum::<f64>().sqrt()
}

/// The factor that brings a gradient of this norm down to `limit`: 1 where it is below, nothing
/// where the norm is not finite, because then no factor makes it a gradient.
pub fn clipping_scale(norm: f64, limit: f64) -> Option<f64> {
    norm.is_finite().then(|| if norm > limit { limit / norm } else { 1.0 })
}

/// base^exponent.
fn power(base: f64, exponent: u64) -> f64 {
    let (mut result, mut square, mut rest) = (1.0, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        square *= square;
        rest >>= 1;
    }
    result
}
