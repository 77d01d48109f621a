//! Dropout whose mask is a function of a key and an element's index: nothing stored, nothing hidden.
//!
//! Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR
//! 2014; in its inverted form, y = x / (1 - p) where an element is kept and 0 where it is dropped,
//! so that the expectation of y is x and inference does nothing at all.
//!
//! The random numbers are Philox-4×32 with ten rounds: Salmon, Moraes, Dror and Shaw, "Parallel
//! random numbers: as easy as 1, 2, 3", SC 2011. It is a bijection of a 128-bit counter under a
//! 64-bit key, each round two multiplications 32 × 32 → 64 whose halves are exchanged and mixed
//! with the key. Any element's number can be had without those before it, so the backward pass
//! makes the mask again, and threads may share the elements out as they like. The key should come
//! from the seed of the run, the step and the layer: the same key gives the same mask.
//!
//! Element e uses word (e mod 64) / 16 of the block with counter 16 ⌊e / 64⌋ + e mod 16: sixteen
//! counters side by side fill the vector registers.

use rayon::prelude::*;

use crate::blocks::ELEMENT_BLOCK;
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_size};
use crate::real::Real;

/// Counters computed side by side.
const LANES: usize = 16;
/// Elements that they serve.
const GROUP: usize = 4 * LANES;

/// Ten rounds of Philox-4×32 for the counters `first..first + 16`: four words of each.
#[inline(always)]
fn philox(key: u64, first: u64) -> [[u32; LANES]; 4] {
    const MULTIPLIERS: [u64; 2] = [0xd251_1f53, 0xcd9e_8d57];
    // The golden ratio and √3 - 1, as 32-bit fractions: the key moves on by these each round.
    const STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];
    let mut keys = [key as u32, (key >> 32) as u32];
    let mut words = [[0u32; LANES]; 4];
    for lane in 0..LANES {
        let counter = first + lane as u64;
        words[0][lane] = counter as u32;
        words[1][lane] = (counter >> 32) as u32;
    }
    for _ in 0..10 {
        let [mut w0, mut w1, mut w2, mut w3] = words;
        for lane in 0..LANES {
            let a = u64::from(w0[lane]) * MULTIPLIERS[0];
            let b = u64::from(w2[lane]) * MULTIPLIERS[1];
            w0[lane] = (b >> 32) as u32 ^ w1[lane] ^ keys[0];
            w1[lane] = b as u32;
            w2[lane] = (a >> 32) as u32 ^ w3[lane] ^ keys[1];
            w3[lane] = a as u32;
        }
        words = [w0, w1, w2, w3];
        keys = [keys[0].wrapping_add(STEPS[0]), keys[1].wrapping_add(STEPS[1])];
    }
    words
}

per_isa! {
    /// Keeps and scales, or drops, the elements from index `first` on, a multiple of [`GROUP`].
    fn apply<T>(x: &[T], first: usize, threshold: u32, scale: T, key: u64, y: &mut [T]) {
        for (group, (x, y)) in x.chunks(GROUP).zip(y.chunks_mut(GROUP)).enumerate() {
            let words = philox(key, ((first / GROUP + group) * LANES) as u64);
            for ((x, y), words) in x.chunks(LANES).zip(y.chunks_mut(LANES)).zip(&words) {
                for ((y, &x), &word) in y.iter_mut().zip(x).zip(words) {
                    *y = if word < threshold { T::ZERO } else { x * scale };
                }
            }
        }
    }
    /// [`apply`] over the values themselves.
    fn apply_in_place<T>(values: &mut [T], first: usize, threshold: u32, scale: T, key: u64) {
        for (group, values) in values.chunks_mut(GROUP).enumerate() {
            let words = philox(key, ((first / GROUP + group) * LANES) as u64);
            for (values, words) in values.chunks_mut(LANES).zip(&words) {
                for (value, &word) in values.iter_mut().zip(words) {
                    *value = if word < threshold { T::ZERO } else { *value * scale };
                }
            }
        }
    }
}

/// The number of 32-bit words below which an element is dropped, and the scale of the others.
fn setting<T: Real>(probability: f64) -> Result<(u32, T), KernelError> {
    if !(0.0..1.0).contains(&probability) {
        return Err(KernelError::Setting {
            operation: "dropout",
            what: "the probability of dropping an element",
            value: probability.to_string(),
            range: "at least 0 and below 1",
        });
    }
    let threshold = (probability * 4_294_967_296.0).round().min(f64::from(u32::MAX));
    Ok((threshold as u32, T::from_f64(1.0 / (1.0 - probability))))
}

/// y = x / (1 - p) with probability 1 - p, else 0, element by element; any shape. Which elements
/// are dropped depends on `key` and their index alone. A dropped NaN becomes 0.
///
/// # Errors
/// [`KernelError`] when the lengths differ or `probability` is not in [0, 1).
pub fn dropout_forward<T: Real>(
    cpu: Cpu,
    x: &[T],
    y: &mut [T],
    probability: f64,
    key: u64,
) -> Result<(), KernelError> {
    check_size("dropout", "the output", y.len(), x.len())?;
    let (threshold, scale) = setting(probability)?;
    x.par_chunks(ELEMENT_BLOCK)
        .zip(y.par_chunks_mut(ELEMENT_BLOCK))
        .enumerate()
        .for_each(|(block, (x, y))| apply(cpu, x, block * ELEMENT_BLOCK, threshold, scale, key, y));
    Ok(())
}

/// The gradient of [`dropout_forward`] with the same probability and key: dx = dy / (1 - p) where
/// the element was kept, else 0.
///
/// # Errors
/// [`KernelError`] when the lengths differ or `probability` is not in [0, 1).
pub fn dropout_backward<T: Real>(
    cpu: Cpu,
    dy: &[T],
    dx: &mut [T],
    probability: f64,
    key: u64,
) -> Result<(), KernelError> {
    dropout_forward(cpu, dy, dx, probability, key)
}

/// [`dropout_forward`], or its gradient, over the values themselves.
///
/// # Errors
/// [`KernelError`] when `probability` is not in [0, 1).
pub fn dropout_in_place<T: Real>(
    cpu: Cpu,
    values: &mut [T],
    probability: f64,
    key: u64,
) -> Result<(), KernelError> {
    let (threshold, scale) = setting(probability)?;
    values.par_chunks_mut(ELEMENT_BLOCK).enumerate().for_each(|(block, values)| {
        apply_in_place(cpu, values, block * ELEMENT_BLOCK, threshold, scale, key);
    });
    Ok(())
}
