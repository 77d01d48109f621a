//! The micro-kernels for AVX-512: up to 14 rows of 32 columns, 28 accumulators of 512 bits.
//!
//! Two registers hold the panel's row, one the broadcast number of A; 31 of the 32 are in use. Each
//! k costs 28 multiply-adds and 16 loads, so the loads hide even where two vectors are multiplied
//! in one cycle.
//!
//! With AVX512-BF16 each lane holds a pair of bf16 instead of a number, two neighbouring k, and one
//! instruction multiplies and adds both: the same tile in half as many steps.
//!
//! Book: book/src/fast.md

use std::arch::x86_64::*;

use super::kernel::{Kernel, Operands, PairPacking, Tile};

pub(super) const F32: Kernel<f32> = Kernel {
    rows: 14,
    columns: 32,
    tiles: &[
        tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>, tile::<7>, tile::<8>,
        tile::<9>, tile::<10>, tile::<11>, tile::<12>, tile::<13>, tile::<14>,
    ],
    eight_rows: Some(super::transpose::eight_rows),
    operands: Operands::Plain,
};

/// Operands rounded to bf16 and packed in pairs; C stays f32. Only for CPUs with AVX512-BF16.
pub(super) const BF16: Kernel<f32> = Kernel {
    tiles: &[
        paired::<1>,
        paired::<2>,
        paired::<3>,
        paired::<4>,
        paired::<5>,
        paired::<6>,
        paired::<7>,
        paired::<8>,
        paired::<9>,
        paired::<10>,
        paired::<11>,
        paired::<12>,
        paired::<13>,
        paired::<14>,
    ],
    operands: Operands::Pairs(PairPacking { along: pairs_along, across: pairs_across }),
    ..F32
};

/// sum + x · b, one rounding.
#[inline]
#[target_feature(enable = "avx512f")]
fn multiply_add(sum: __m512, x: f32, b: __m512) -> __m512 {
    _mm512_fmadd_ps(_mm512_set1_ps(x), b, sum)
}

/// sum + x₁ · b₁ + x₀ · b₀ in this order, each addition rounded to f32, the products exact; x and the
/// lanes of b hold pairs. Subnormal numbers count as zero, whatever the state of the CPU says.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn multiply_add_pairs(sum: __m512, x: f32, b: __m512) -> __m512 {
    let pairs = _mm512_set1_epi32(x.to_bits().cast_signed());
    // SAFETY: both types are 512 bits that may hold any pattern.
    let (pairs, b) = unsafe {
        (
            std::mem::transmute::<__m512i, __m512bh>(pairs),
            std::mem::transmute::<__m512, __m512bh>(b),
        )
    };
    _mm512_dpbf16_ps(sum, pairs, b)
}

/// Writes the tile once for each way to multiply and add.
macro_rules! tile {
    ($name:ident, $features:literal, $multiply_add:ident) => {
        /// # Safety
        /// The CPU has these features; every element that the tile describes lies within its slices, and
        /// nobody else touches C's.
        #[target_feature(enable = $features)]
        unsafe fn $name<const R: usize>(tile: &Tile<f32>) {
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
            // ANCHOR: tile
            let mut b = tile.b;
            for segment in 0..tile.segments {
                // Two pointers into A keep the chain of address additions half as long.
                let mut a = [tile.a.wrapping_add(segment * tile.segment); 2];
                a[1] = a[0].wrapping_add(R.div_ceil(2) * row);
                for _ in 0..tile.length {
                    // SAFETY: the caller guarantees 32 numbers of the panel for each k.
                    let b0 = unsafe { _mm512_loadu_ps(b) };
                    // SAFETY: as above.
                    let b1 = unsafe { _mm512_loadu_ps(b.wrapping_add(16)) };
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let half = usize::from(i >= R.div_ceil(2));
                        let at = a[half].wrapping_add((i - half * R.div_ceil(2)) * row);
                        // SAFETY: the caller guarantees row i of A at this k.
                        let x = unsafe { *at };
                        sums[0] = $multiply_add(sums[0], x, b0);
                        sums[1] = $multiply_add(sums[1], x, b1);
                    }
                    a = a.map(|a| a.wrapping_add(tile.step));
                    b = b.wrapping_add(32);
                }
            }
            // ANCHOR_END: tile
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
                        sum1 =
                            _mm512_add_ps(_mm512_maskz_loadu_ps(mask1, c.wrapping_add(16)), sum1);
                    }
                    _mm512_mask_storeu_ps(c, mask0, sum0);
                    _mm512_mask_storeu_ps(c.wrapping_add(16), mask1, sum1);
                }
            }
        }
    };
}

tile!(tile, "avx512f", multiply_add);
tile!(paired, "avx512f,avx512bf16", multiply_add_pairs);

/// target[j] = (source[2j], source[2j + 1]) rounded to bf16, the first in the lower half; an odd
/// last number is joined by zero.
///
/// # Safety
/// The CPU has AVX512-BF16, AVX-512F and BW; `count` numbers lie behind `source`, half as many,
/// rounded up, behind `target`, and nobody else touches those.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pairs_along(source: *const f32, target: *mut f32, count: usize) {
    for k in (0..count).step_by(32) {
        let mask = first_lanes(count - k);
        let words = first_lanes((count - k).div_ceil(2)) as u16;
        // SAFETY: the masks let only numbers within `count` be read and written.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask as u16, source.wrapping_add(k));
            let high = _mm512_maskz_loadu_ps((mask >> 16) as u16, source.wrapping_add(k + 16));
            let rounded = std::mem::transmute::<__m512bh, __m512>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_mask_storeu_ps(target.wrapping_add(k / 2), words, rounded);
        }
    }
}

/// target[i] = (first[i], second[i]) rounded to bf16, the first in the lower half; zero in the place
/// of `second` where there is none.
///
/// # Safety
/// The CPU has AVX512-BF16, AVX-512F and BW; `count` numbers lie behind each pointer, and nobody else
/// touches those of `target`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pairs_across(
    first: *const f32,
    second: Option<*const f32>,
    target: *mut f32,
    count: usize,
) {
    // Lane 2i takes number i of the lower half, lane 2i + 1 number i of the upper half.
    let mut order = [0i16; 32];
    for (lane, from) in order.iter_mut().enumerate() {
        *from = (lane / 2 + lane % 2 * 16) as i16;
    }
    // SAFETY: 32 numbers of 16 bits are 512 bits.
    let order = unsafe { std::mem::transmute::<[i16; 32], __m512i>(order) };
    for i in (0..count).step_by(16) {
        let mask = first_lanes(count - i) as u16;
        // SAFETY: the masks let only numbers within `count` be read and written.
        unsafe {
            let low = _mm512_maskz_loadu_ps(mask, first.wrapping_add(i));
            let high = match second {
                Some(second) => _mm512_maskz_loadu_ps(mask, second.wrapping_add(i)),
                None => _mm512_setzero_ps(),
            };
            let rounded = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            let pairs = _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, rounded));
            _mm512_mask_storeu_ps(target.wrapping_add(i), mask, pairs);
        }
    }
}

/// A mask of the first `count` of 32 lanes.
fn first_lanes(count: usize) -> u32 {
    u32::MAX >> (32 - count.clamp(1, 32))
}
