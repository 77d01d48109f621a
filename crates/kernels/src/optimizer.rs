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
//!
//! Book: book/src/training.md

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
    // ANCHOR: adamw
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
    // ANCHOR_END: adamw

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, every_cpu, noise, noise_of, pool};

    #[test]
    fn adamw_follows_its_definition_over_steps() {
        let count = 1000;
        let settings = AdamW { learning_rate: 3e-3, weight_decay: 0.05, ..AdamW::default() };
        for cpu in every_cpu() {
            let start: Vec<f64> = noise_of(1, count);
            let (mut theta, mut m, mut v) = (start.clone(), vec![0.0; count], vec![0.0; count]);
            let gradients: Vec<Vec<f64>> = (0..20).map(|t| noise_of(100 + t, count)).collect();
            for (t, g) in gradients.iter().enumerate() {
                adamw_step(cpu, &mut theta, g, &mut m, &mut v, &settings, t as u64 + 1, 0.5)
                    .unwrap();
            }
            for i in 0..count {
                // The moments as the weighted sums that the recursion stands for.
                let mut expected = start[i];
                for t in 1..=20 {
                    let sum = |beta: f64, power: i32| -> f64 {
                        (1..=t)
                            .map(|s| {
                                let g = 0.5 * gradients[s - 1][i];
                                (1.0 - beta) * beta.powi((t - s) as i32) * g.powi(power)
                            })
                            .sum::<f64>()
                            / (1.0 - beta.powi(t as i32))
                    };
                    let step = sum(0.9, 1) / (sum(0.999, 2).sqrt() + 1e-8);
                    expected -= 3e-3 * (0.05 * expected + step);
                }
                assert!((theta[i] - expected).abs() < 1e-11, "{} {expected}", theta[i]);
            }
        }
    }

    #[test]
    fn the_first_step_of_adamw_has_the_length_of_the_learning_rate() {
        // With both moments freshly started, m̂ = g and v̂ = g²: a step of η sign(g).
        for g in [1e-3f32, -40.0, 2.0] {
            let (mut theta, mut m, mut v) = ([1.0f32], [0.0f32], [0.0f32]);
            let settings = AdamW { weight_decay: 0.0, ..AdamW::default() };
            adamw_step(Cpu::detect(), &mut theta, &[g], &mut m, &mut v, &settings, 1, 1.0).unwrap();
            assert!((theta[0] - (1.0 - 1e-3 * g.signum())).abs() < 2e-7, "{g}: {}", theta[0]);
        }
        // Decay does not pass through the gradient: without one, θ shrinks by η λ alone.
        let (mut theta, mut m, mut v) = ([1.0f64], [0.0], [0.0]);
        let settings = AdamW { learning_rate: 0.1, weight_decay: 0.5, ..AdamW::default() };
        adamw_step(Cpu::detect(), &mut theta, &[0.0], &mut m, &mut v, &settings, 1, 1.0).unwrap();
        assert!((theta[0] - 0.95).abs() < 1e-15);
    }

    #[test]
    fn gradient_descent_gathers_momentum() {
        let settings = Sgd { learning_rate: 0.1, momentum: 0.5, weight_decay: 0.25 };
        for cpu in every_cpu() {
            let (mut theta, mut u) = ([2.0f64], [0.0f64]);
            sgd_step(cpu, &mut theta, &[3.0], &mut u, &settings, 2.0).unwrap();
            // u = 6 + 0.25 · 2, θ = 2 - 0.1 u; then u = 0.5 · 6.5 + 0.25 · 1.35, θ = 1.35 - 0.1 u.
            assert!((u[0] - 6.5).abs() < 1e-15 && (theta[0] - 1.35).abs() < 1e-15);
            sgd_step(cpu, &mut theta, &[0.0], &mut u, &settings, 2.0).unwrap();
            assert!((u[0] - 3.5875).abs() < 1e-14 && (theta[0] - 0.99125).abs() < 1e-14);
        }
    }

    #[test]
    fn threads_and_instruction_sets_change_no_bit() {
        let count = 3 * ELEMENT_BLOCK + 5;
        let gradient = noise(1, count);
        let mut first = None;
        for cpu in every_cpu() {
            for threads in [1, 2, 3, 4] {
                let result = pool(threads).install(|| {
                    let (mut theta, mut m, mut v) =
                        (noise(2, count), noise(3, count), noise(4, count));
                    v.iter_mut().for_each(|v| *v = v.abs());
                    let settings = AdamW::default();
                    adamw_step(cpu, &mut theta, &gradient, &mut m, &mut v, &settings, 9, 0.3)
                        .unwrap();
                    let (mut other, mut u) = (noise(2, count), noise(3, count));
                    let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.1 };
                    sgd_step(cpu, &mut other, &gradient, &mut u, &sgd, 0.3).unwrap();
                    let norm = gradient_norm(cpu, &gradient).to_bits();
                    ([theta, m, v, other, u].map(|values| bits(&values)), norm)
                });
                assert!(*first.get_or_insert_with(|| result.clone()) == result);
            }
        }
    }

    #[test]
    fn norms_are_exact_and_faults_show() {
        for cpu in every_cpu() {
            assert_eq!(gradient_norm(cpu, &[3.0f32, -4.0]), 5.0);
            assert_eq!(gradient_norm::<f32>(cpu, &[]), 0.0);
            // Squares that f32 could not hold, and a million small ones beside a large one.
            assert_eq!(
                gradient_norm(cpu, &[3e30f32, 4e30]),
                f64::hypot(3e30f32.into(), 4e30f32.into())
            );
            let mut many = vec![2.0f32; 1 << 20];
            many[77] = 4096.0;
            let exact = (4.0 * ((1 << 20) - 1) as f64 + 4096.0 * 4096.0).sqrt();
            assert_eq!(gradient_norm(cpu, &many), exact);
            for fault in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                many[999_999] = fault;
                let norm = gradient_norm(cpu, &many);
                assert!(!norm.is_finite());
                assert_eq!(clipping_scale(norm, 5.0), None);
            }
        }
        assert_eq!(clipping_scale(10.0, 5.0), Some(0.5));
        assert_eq!(clipping_scale(4.0, 5.0), Some(1.0));
        assert_eq!(clipping_scale(0.0, 5.0), Some(1.0));
    }

    #[test]
    fn misfits_are_refused() {
        let (cpu, settings) = (Cpu::portable(), AdamW::default());
        let run = |g: usize, m: usize, v: usize, step: u64| {
            let (mut theta, g) = (vec![0.0f32; 4], vec![0.0; g]);
            adamw_step(
                cpu,
                &mut theta,
                &g,
                &mut vec![0.0; m],
                &mut vec![0.0; v],
                &settings,
                step,
                1.0,
            )
        };
        assert!(run(4, 4, 4, 1).is_ok());
        for (g, m, v, step) in [(3, 4, 4, 1), (4, 5, 4, 1), (4, 4, 0, 1), (4, 4, 4, 0)] {
            assert!(run(g, m, v, step).is_err());
        }
        let sgd = Sgd { learning_rate: 0.1, momentum: 0.9, weight_decay: 0.0 };
        assert!(sgd_step(cpu, &mut [0.0f32; 2], &[0.0; 2], &mut [0.0; 3], &sgd, 1.0).is_err());
    }
}
