//! Eight rows turned into eight columns in vector registers: what packing spends its time on.
//!
//! A block of 8×8 numbers goes through three layers of exchanges: neighbouring numbers, neighbouring
//! pairs, halves of the register. One number after another, the same copy costs six cycles a number.
//!
//! Book: book/src/fast.md

use std::arch::x86_64::*;

/// target[k · `width` + i] = source[i · `row` + k] for i in 0..8 and k in 0..`count`, a multiple of 8.
///
/// # Safety
/// The CPU has AVX2; all elements named above lie within the memory behind the pointers, and nobody
/// else touches those of `target`.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn eight_rows(
    source: *const f32,
    row: usize,
    target: *mut f32,
    width: usize,
    count: usize,
) {
    debug_assert!(count.is_multiple_of(8) && width >= 8);
    for k in (0..count).step_by(8) {
        let mut r = [_mm256_setzero_ps(); 8];
        for (i, r) in r.iter_mut().enumerate() {
            // SAFETY: the caller guarantees eight numbers of row i from k on.
            *r = unsafe { _mm256_loadu_ps(source.wrapping_add(i * row + k)) };
        }
        // a0 b0 a1 b1 | a4 b4 a5 b5, and a2 b2 a3 b3 | a6 b6 a7 b7
        let mut pairs = [_mm256_setzero_ps(); 8];
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }
        // Columns 0 and 4, 1 and 5, 2 and 6, 3 and 7 of four rows.
        let mut fours = [_mm256_setzero_ps(); 8];
        for i in 0..2 {
            for j in 0..2 {
                let (low, high) = (pairs[4 * i + j], pairs[4 * i + 2 + j]);
                fours[4 * i + 2 * j] = _mm256_shuffle_ps::<0x44>(low, high);
                fours[4 * i + 2 * j + 1] = _mm256_shuffle_ps::<0xee>(low, high);
            }
        }
        for j in 0..4 {
            let near = _mm256_permute2f128_ps::<0x20>(fours[j], fours[4 + j]);
            let far = _mm256_permute2f128_ps::<0x31>(fours[j], fours[4 + j]);
            // SAFETY: the caller guarantees eight numbers of these lines of the target.
            unsafe {
                _mm256_storeu_ps(target.wrapping_add((k + j) * width), near);
                _mm256_storeu_ps(target.wrapping_add((k + 4 + j) * width), far);
            }
        }
    }
}
