//! What the tests of this crate share: noise by seed, every instruction set, thread pools, comparisons.

use crate::cpu::{Cpu, Precision};
use crate::real::Real;

/// Numbers in [-1, 1) from a seed (the SplitMix64 generator of Steele, Lea and Flood, 2014).
pub(crate) fn noise(seed: u64, count: usize) -> Vec<f32> {
    noise_of::<f64>(seed, count).into_iter().map(|x| x as f32).collect()
}

/// The same in any precision.
pub(crate) fn noise_of<T: Real>(seed: u64, count: usize) -> Vec<T> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            T::from_f64((z >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
        })
        .collect()
}

/// One `Cpu` for each instruction set that this machine has.
pub(crate) fn every_cpu() -> Vec<Cpu> {
    Cpu::available().into_iter().map(|isa| Cpu::with(isa).unwrap()).collect()
}

/// The same in bf16, where the machine has it; the portable one always.
pub(crate) fn every_bf16_cpu() -> Vec<Cpu> {
    every_cpu().into_iter().filter_map(|cpu| cpu.with_precision(Precision::Bf16).ok()).collect()
}

/// Every instruction set in every precision.
pub(crate) fn every_cpu_and_precision() -> Vec<Cpu> {
    [every_cpu(), every_bf16_cpu()].concat()
}

/// A pool of its own, so that tests choose their number of threads.
pub(crate) fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// The bytes of f32 numbers, for comparisons that tell −0 from 0 and one NaN from another.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Rounded to bf16 by comparing both neighbours in f64, another way than the crate's.
pub(crate) fn nearest_bf16(x: f32) -> f32 {
    let below = f32::from_bits(x.to_bits() & 0xffff_0000);
    let above = f32::from_bits((x.to_bits() & 0xffff_0000) + 0x1_0000);
    let distance = |to: f32| (f64::from(to) - f64::from(x)).abs();
    let even = |x: f32| x.to_bits() >> 16 & 1 == 0;
    match distance(below).total_cmp(&distance(above)) {
        std::cmp::Ordering::Less => below,
        std::cmp::Ordering::Equal if even(below) => below,
        _ => above,
    }
}

/// Checks `gradient` of `loss` at `point` against central differences in f64.
pub(crate) fn check_gradient(
    what: &str,
    point: &[f64],
    gradient: &[f64],
    mut loss: impl FnMut(&[f64]) -> f64,
) {
    assert_eq!(point.len(), gradient.len(), "{what}");
    let step = 1e-5;
    let mut moved = point.to_vec();
    for i in 0..point.len() {
        moved[i] = point[i] + step;
        let above = loss(&moved);
        moved[i] = point[i] - step;
        let below = loss(&moved);
        moved[i] = point[i];
        let difference = (above - below) / (2.0 * step);
        let error = (difference - gradient[i]).abs();
        let size = difference.abs().max(gradient[i].abs()).max(1e-2);
        assert!(
            error <= 1e-6 * size,
            "{what}[{i}]: gradient {} but finite difference {difference}",
            gradient[i]
        );
    }
}
