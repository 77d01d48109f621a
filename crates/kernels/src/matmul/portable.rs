//! The micro-kernel in plain Rust, for every machine and for f64; the compiler vectorises it.
//!
//! Book: book/src/fast.md

use super::bf16;
use super::kernel::{Kernel, Operands, Tile};
use crate::real::Real;

/// Four rows of eight columns: eight accumulators of 128 bits, which the baseline of x86-64 and
/// of AArch64 both hold in registers.
pub(super) const F32: Kernel<f32> = Kernel {
    rows: 4,
    columns: 8,
    tiles: &[tile::<f32, 1, 8>, tile::<f32, 2, 8>, tile::<f32, 3, 8>, tile::<f32, 4, 8>],
    eight_rows: None,
    operands: Operands::Plain,
};

/// Operands rounded to bf16, multiplied and summed in f32.
pub(super) const BF16: Kernel<f32> = Kernel { operands: Operands::Rounded(round), ..F32 };

/// # Safety
/// None is asked for; the type is that of the code with vectors.
unsafe fn round(values: &mut [f32]) {
    bf16::round(values);
}

/// Four rows of four columns.
pub(super) const F64: Kernel<f64> = Kernel {
    rows: 4,
    columns: 4,
    tiles: &[tile::<f64, 1, 4>, tile::<f64, 2, 4>, tile::<f64, 3, 4>, tile::<f64, 4, 4>],
    eight_rows: None,
    operands: Operands::Plain,
};

/// # Safety
/// Every element that the tile describes lies within its slices, and nobody else touches C's.
unsafe fn tile<T: Real, const R: usize, const C: usize>(tile: &Tile<T>) {
    debug_assert!(tile.columns <= C);
    // ANCHOR: tile
    let mut sums = [[T::ZERO; C]; R];
    let mut b = tile.b;
    for segment in 0..tile.segments {
        let mut a = tile.a.wrapping_add(segment * tile.segment);
        for _ in 0..tile.length {
            // SAFETY: the caller guarantees C numbers of the panel for each k.
            let panel = unsafe { b.cast::<[T; C]>().read_unaligned() };
            for (i, sums) in sums.iter_mut().enumerate() {
                // SAFETY: the caller guarantees row i of A at this k.
                let x = unsafe { *a.wrapping_add(i * tile.row) };
                for (sum, &y) in sums.iter_mut().zip(&panel) {
                    *sum += x * y;
                }
            }
            a = a.wrapping_add(tile.step);
            b = b.wrapping_add(C);
        }
    }
    // ANCHOR_END: tile
    // A copy with variable bounds, so that the sums themselves can stay in registers.
    let done = sums;
    for (i, sums) in done.iter().enumerate() {
        // SAFETY: the caller guarantees `columns` numbers in each row of C, for this thread alone.
        let c = unsafe {
            std::slice::from_raw_parts_mut(tile.c.wrapping_add(i * tile.c_row), tile.columns)
        };
        for (c, &sum) in c.iter_mut().zip(sums) {
            *c = if tile.accumulate { *c + sum } else { sum };
        }
    }
}
