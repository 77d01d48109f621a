//! The micro-kernel for AVX-512: up to 14 rows of 32 columns, 28 accumulators of 512 bits.
//!
//! Two registers hold the panel's row, one the broadcast number of A; 31 of the 32 are in use. Each
//! k costs 28 multiply-adds and 16 loads, so the loads hide even where two vectors are multiplied
//! in one cycle.

use std::arch::x86_64::*;

use super::kernel::{Kernel, Tile};

pub(super) const F32: Kernel<f32> = Kernel {
    rows: 14,
    columns: 32,
    tiles: &[
        tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>, tile::<7>, tile::<8>,
        tile::<9>, tile::<10>, tile::<11>, tile::<12>, tile::<13>, tile::<14>,
    ],
    eight_rows: Some(super::transpose::eight_rows),
};

/// # Safety
/// The CPU has AVX-512F; every element that the tile describes lies within its slices, and nobody
/// else touches C's.
#[target_feature(enable = "avx512f")]
unsafe fn tile<const R: usize>(tile: &Tile<f32>) {
    debug_assert!((1..=32).contains(&tile.columns));
    let mut sums = [[_mm512_setzero_ps(); 2]; R];
    let row = tile.row;
    for i in 0..R {
        // The tile of C is wanted when the sums are done, some microseconds later. A prefetch reads
        // nothing that a program could see, so the masks need not hold here.
        let c = tile.c.wrapping_add(i * tile.c_row);
        _mm_prefetch::<_MM_HINT_T0>(c.cast());
        _mm_prefetch::<_MM_HINT_T0>(c.wrapping_add(16).cast());
    }
    let mut b = tile.b;
    for segment in 0..tile.segments {
        // Two pointers into A keep the chain of address additions half as long.
        let mut a = [tile.a.wrapping_add(segment * tile.segment); 2];
        a[1] = a[0].wrapping_add(R.div_ceil(2) * row);
        for _ in 0..tile.length {
            // SAFETY: the caller guarantees 32 numbers of the panel for each k.
            let (b0, b1) = unsafe { (_mm512_loadu_ps(b), _mm512_loadu_ps(b.wrapping_add(16))) };
            for (i, sums) in sums.iter_mut().enumerate() {
                let half = usize::from(i >= R.div_ceil(2));
                let at = a[half].wrapping_add((i - half * R.div_ceil(2)) * row);
                // SAFETY: the caller guarantees row i of A at this k.
                let x = _mm512_set1_ps(unsafe { *at });
                sums[0] = _mm512_fmadd_ps(x, b0, sums[0]);
                sums[1] = _mm512_fmadd_ps(x, b1, sums[1]);
            }
            a = a.map(|a| a.wrapping_add(tile.step));
            b = b.wrapping_add(32);
        }
    }
    // The columns that exist, as a mask: the same code stores whole and partial panels.
    let mask = (((1u64 << tile.columns) - 1) & 0xffff_ffff) as u32;
    let (mask0, mask1) = (mask as u16, (mask >> 16) as u16);
    for (i, &[mut sum0, mut sum1]) in sums.iter().enumerate() {
        let c = tile.c.wrapping_add(i * tile.c_row);
        // SAFETY: the masks let only the `columns` numbers of row i be touched, which the caller
        // guarantees for this thread alone.
        unsafe {
            if tile.accumulate {
                sum0 = _mm512_add_ps(_mm512_maskz_loadu_ps(mask0, c), sum0);
                sum1 = _mm512_add_ps(_mm512_maskz_loadu_ps(mask1, c.wrapping_add(16)), sum1);
            }
            _mm512_mask_storeu_ps(c, mask0, sum0);
            _mm512_mask_storeu_ps(c.wrapping_add(16), mask1, sum1);
        }
    }
}
