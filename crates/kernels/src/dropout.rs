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
//!
//! Book: book/src/training.md

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
    let [low, high, ..] = &mut words;
    for (lane, (low, high)) in low.iter_mut().zip(high).enumerate() {
        let counter = first + lane as u64;
        *low = counter as u32;
        *high = (counter >> 32) as u32;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, every_cpu, noise, pool};

    /// Which of `count` elements are kept.
    fn kept(count: usize, probability: f64, key: u64) -> Vec<bool> {
        let mut y = vec![0.0f32; count];
        dropout_forward(Cpu::detect(), &vec![1.0; count], &mut y, probability, key).unwrap();
        y.iter().map(|&y| y != 0.0).collect()
    }

    /// How far a count of `hits` out of `n` is from n p, in standard deviations.
    fn deviations(hits: usize, n: usize, p: f64) -> f64 {
        (hits as f64 - n as f64 * p).abs() / (n as f64 * p * (1.0 - p)).sqrt()
    }

    #[test]
    fn words_are_those_of_the_definition() {
        // Philox by its definition, one block at a time, for counters above 2^32 too.
        for key in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            for first in [0u64, 16, (1 << 32) - 16, u64::MAX - 15] {
                let words = philox(key, first);
                for (lane, counter) in (first..=first + 15).enumerate() {
                    let mut c = [counter as u32, (counter >> 32) as u32, 0, 0];
                    for round in 0..10u32 {
                        let k0 = (key as u32).wrapping_add(round.wrapping_mul(0x9e37_79b9));
                        let k1 = ((key >> 32) as u32).wrapping_add(round.wrapping_mul(0xbb67_ae85));
                        let a = u64::from(c[0]) * 0xd251_1f53;
                        let b = u64::from(c[2]) * 0xcd9e_8d57;
                        c = [
                            (b >> 32) as u32 ^ c[1] ^ k0,
                            b as u32,
                            (a >> 32) as u32 ^ c[3] ^ k1,
                            a as u32,
                        ];
                    }
                    assert_eq!(c, [0, 1, 2, 3].map(|word| words[word][lane]));
                }
            }
        }
    }

    #[test]
    fn the_share_is_right_and_neighbours_and_keys_are_independent() {
        let n = 1 << 18;
        for (seed, p) in [0.1, 0.3, 0.5, 0.9].into_iter().enumerate() {
            let mask = kept(n, p, 40 + seed as u64);
            let other = kept(n, p, 41 + seed as u64);
            let count = |test: &dyn Fn(usize) -> bool| (0..n).filter(|&i| test(i)).count();
            let q = 1.0 - p;
            assert!(deviations(count(&|i| mask[i]), n, q) < 4.5);
            for step in [1, 2, 16, 63, 64, 256, 640] {
                let both = count(&|i| mask[i] && mask[(i + step) % n]);
                assert!(deviations(both, n, q * q) < 6.0, "p {p}, {step} apart");
            }
            assert!(deviations(count(&|i| mask[i] && other[i]), n, q * q) < 4.5);
        }
    }

    #[test]
    fn what_is_kept_is_scaled_and_the_gradient_has_the_same_mask() {
        let (x, dy) = (noise(1, 50_003), noise(2, 50_003));
        for cpu in every_cpu() {
            let (mut y, mut dx) = (vec![9.0; x.len()], vec![9.0; x.len()]);
            dropout_forward(cpu, &x, &mut y, 0.2, 7).unwrap();
            dropout_backward(cpu, &dy, &mut dx, 0.2, 7).unwrap();
            let mask = kept(x.len(), 0.2, 7);
            for i in 0..x.len() {
                let scale = if mask[i] { 1.25 } else { 0.0 };
                assert_eq!((y[i], dx[i]), (x[i] * scale, dy[i] * scale));
            }
            let mut values = x.clone();
            dropout_in_place(cpu, &mut values, 0.2, 7).unwrap();
            assert_eq!(bits(&values), bits(&y));
            dropout_forward(cpu, &x, &mut y, 0.0, 7).unwrap();
            assert_eq!(bits(&x), bits(&y));
        }
    }

    #[test]
    fn an_element_keeps_its_lot_whatever_the_length_and_the_threads() {
        let mask = kept(100_000, 0.3, 5);
        for length in [0, 1, 15, 16, 63, 64, 65, ELEMENT_BLOCK, ELEMENT_BLOCK + 1, 99_999] {
            for threads in [1, 2, 3] {
                let short = pool(threads).install(|| kept(length, 0.3, 5));
                assert_eq!(short, mask[..length], "{length}");
            }
        }
        assert_ne!(kept(100, 0.3, 5), kept(100, 0.3, 6));
        assert_ne!(kept(100, 0.3, 5), kept(100, 0.3, 5 | 1 << 40));
    }

    #[test]
    fn impossible_probabilities_are_refused() {
        for p in [-0.1, 1.0, 1.5, f64::NAN] {
            let error = dropout_in_place(Cpu::portable(), &mut [1.0f32], p, 1).unwrap_err();
            assert!(error.to_string().contains(&p.to_string()), "{error}");
        }
        assert!(dropout_forward(Cpu::portable(), &[1.0f32; 3], &mut [0.0; 2], 0.1, 1).is_err());
    }
}
