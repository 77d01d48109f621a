//! The micro-kernel for AVX2 with FMA: up to 6 rows of 16 columns, 12 accumulators of 256 bits.
//!
//! Book: book/src/fast.md

use std::arch::x86_64::*;

use super::bf16;
use super::kernel::{Kernel, Operands, Tile};

pub(super) const F32: Kernel<f32> = Kernel {
    rows: 6,
    columns: 16,
    tiles: &[tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>],
    eight_rows: Some(super::transpose::eight_rows),
    operands: Operands::Plain,
};

/// Operands rounded to bf16, multiplied and summed in f32.
pub(super) const BF16: Kernel<f32> = Kernel { operands: Operands::Rounded(round), ..F32 };

/// # Safety
/// The CPU has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn round(values: &mut [f32]) {
    bf16::round(values);
}

/// # Safety
/// The CPU has AVX2 and FMA; every element that the tile describes lies within its slices, and
/// nobody else touches C's.
#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const R: usize>(tile: &Tile<f32>) {
    debug_assert!((1..=16).contains(&tile.columns));
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    let row = tile.row;
    let mut b = tile.b;
    for segment in 0..tile.segments {
        // Two pointers into A keep the chain of address additions half as long.
        let mut a = [tile.a.wrapping_add(segment * tile.segment); 2];
        a[1] = a[0].wrapping_add(R.div_ceil(2) * row);
        for _ in 0..tile.length {
            // SAFETY: the caller guarantees 16 numbers of the panel for each k.
            let (b0, b1) = unsafe { (_mm256_loadu_ps(b), _mm256_loadu_ps(b.wrapping_add(8))) };
            for (i, sums) in sums.iter_mut().enumerate() {
                let half = usize::from(i >= R.div_ceil(2));
                let at = a[half].wrapping_add((i - half * R.div_ceil(2)) * row);
                // SAFETY: the caller guarantees row i of A at this k.
                let x = _mm256_set1_ps(unsafe { *at });
                sums[0] = _mm256_fmadd_ps(x, b0, sums[0]);
                sums[1] = _mm256_fmadd_ps(x, b1, sums[1]);
            }
            a = a.map(|a| a.wrapping_add(tile.step));
            b = b.wrapping_add(16);
        }
    }
    let columns = tile.columns as i32;
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let mask0 = _mm256_cmpgt_epi32(_mm256_set1_epi32(columns), lanes);
    let mask1 = _mm256_cmpgt_epi32(_mm256_set1_epi32(columns - 8), lanes);
    for (i, &[mut sum0, mut sum1]) in sums.iter().enumerate() {
        let c = tile.c.wrapping_add(i * tile.c_row);
        // SAFETY: whole rows of 16 columns, or masks that let only the `columns` numbers of row i be
        // touched, which the caller guarantees for this thread alone. Masked stores are slow on some
        // CPUs, so whole panels go without; what is stored is the same.
        unsafe {
            if tile.columns == 16 {
                if tile.accumulate {
                    sum0 = _mm256_add_ps(_mm256_loadu_ps(c), sum0);
                    sum1 = _mm256_add_ps(_mm256_loadu_ps(c.wrapping_add(8)), sum1);
                }
                _mm256_storeu_ps(c, sum0);
                _mm256_storeu_ps(c.wrapping_add(8), sum1);
            } else {
                if tile.accumulate {
                    sum0 = _mm256_add_ps(_mm256_maskload_ps(c, mask0), sum0);
                    sum1 = _mm256_add_ps(_mm256_maskload_ps(c.wrapping_add(8), mask1), sum1);
                }
                _mm256_maskstore_ps(c, mask0, sum0);
                _mm256_maskstore_ps(c.wrapping_add(8), mask1, sum1);
            }
        }
    }
}
