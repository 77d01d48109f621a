//! Frames side by side in vector registers: the crate's only `unsafe` code, chosen at run time.
//!
//! A vector holds one number of each of several frames, so that whatever is written for a number
//! runs for all of them at once, and no sum ever runs across a register. Every instruction set does
//! the same operations in the same order, each rounded for itself as IEEE 754 says (no fused
//! multiply-add, a logarithm of our own): **the results are the same bytes with all of them**, and
//! in a register half filled the same as in a full one.
//!
//! Code for vectors is written once, as a [`Task`] over an [`Isa`], and compiled for each of them.
//! All of it must be `#[inline(always)]` and must hand no vectors to closures: what is called instead
//! of inlined is not compiled for the instruction set, which costs ten times the time.
//!
//! It is one long file so that who wants to know whether the crate's `unsafe` code is sound reads one
//! file: the operations, and the types that exist only where the CPU has them.
//!
//! Book: book/src/spectrum.md

use std::fmt;
use std::ops::{Add, Div, Mul, Sub};

/// An instruction set that this machine has. Features are the same bytes with each, and so on every
/// machine, but for transforms of other sizes than powers of two (`round-to-power-of-two` off): those
/// are realfft's, which chooses instructions for itself and rounds by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstructionSet(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// Plain Rust, which every machine runs.
    pub const fn portable() -> Self {
        InstructionSet(Kind::Portable)
    }

    /// Those that this machine has, from the simplest to the fastest.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut found = vec![Self::portable()];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                found.push(InstructionSet(Kind::Avx2));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avx512f") {
                found.push(InstructionSet(Kind::Avx512));
            }
        }
        found
    }

    /// The fastest that this machine has.
    pub fn detect() -> Self {
        Self::available().pop().unwrap_or(Self::portable())
    }

    /// Runs a task with this instruction set.
    pub(crate) fn run<T: Task>(self, task: T) {
        match self.0 {
            Kind::Portable => task.run(Portable::<8>),
            // SAFETY: this value is only made where the CPU has AVX2.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { x86::run_avx2(task) },
            // SAFETY: this value is only made where the CPU has AVX-512 F.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => unsafe { x86::run_avx512(task) },
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        })
    }
}

/// What is to be done, for any instruction set.
pub(crate) trait Task {
    /// Does it. Must be `#[inline(always)]`.
    fn run<I: Isa>(self, isa: I);
}

/// One number for each of several frames.
pub(crate) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// Each number, but at least `floor`; `floor` for those that are not a number.
    fn at_least(self, floor: Self) -> Self;

    /// Square roots.
    fn sqrt(self) -> Self;

    /// Of x = m 2^e, with m from the root of 1/2 to that of 2, the pair (m, e). For normal x > 0.
    fn split(self) -> (Self, Self);

    /// Each number, but infinity where `other` is.
    fn infinite_where(self, other: Self) -> Self;
}

/// Makes vectors. Holding one is the proof that the CPU has its instructions.
pub(crate) trait Isa: Copy {
    type V: Vector;

    /// Numbers in a vector; it divides 16.
    const LANES: usize;

    /// The same number in all lanes.
    fn splat(self, value: f32) -> Self::V;

    /// The first `LANES` numbers of a slice, which must have as many.
    fn load(self, from: &[f32]) -> Self::V;

    /// Writes into the first `LANES` places of a slice, which must have as many.
    fn store(self, value: Self::V, to: &mut [f32]);

    /// `to[c * to_stride + r] = from[r * from_stride + c]` for r and c below `LANES`.
    fn transpose(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize);
}

/// A matrix of pairs of vectors with `R` rows, `[R, width, 2, LANES]`, for access without a check
/// of the whole index each time.
pub(crate) struct Pairs<'a, I, const R: usize> {
    isa: I,
    data: &'a mut [f32],
    width: usize,
}

impl<'a, I: Isa, const R: usize> Pairs<'a, I, R> {
    #[inline(always)]
    pub(crate) fn new(isa: I, data: &'a mut [f32], width: usize) -> Self {
        assert!(data.len() == R * width * 2 * I::LANES);
        Pairs { isa, data, width }
    }

    /// The pair at row `r` and column `j`.
    #[inline(always)]
    pub(crate) fn load(&self, r: usize, j: usize) -> [I::V; 2] {
        assert!(r < R && j < self.width);
        let start = (r * self.width + j) * 2 * I::LANES;
        // SAFETY: r + 1 <= R and j + 1 <= width, so start + 2 LANES is at most R width 2 LANES, the
        // length, by the assertion in `new`.
        let pair = unsafe { self.data.get_unchecked(start..start + 2 * I::LANES) };
        [self.isa.load(pair), self.isa.load(&pair[I::LANES..])]
    }

    /// Writes a pair to row `r` and column `j`.
    #[inline(always)]
    pub(crate) fn store(&mut self, r: usize, j: usize, [first, second]: [I::V; 2]) {
        assert!(r < R && j < self.width);
        let start = (r * self.width + j) * 2 * I::LANES;
        // SAFETY: as in `load`.
        let pair = unsafe { self.data.get_unchecked_mut(start..start + 2 * I::LANES) };
        self.isa.store(first, pair);
        self.isa.store(second, &mut pair[I::LANES..]);
    }
}

/// A matrix of `shape` rows and columns, the rows `from_stride` apart, to its transpose, the rows
/// of which lie `to_stride` apart.
#[inline(always)]
pub(crate) fn transpose<I: Isa>(
    isa: I,
    shape: [usize; 2],
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
) {
    let [rows, columns] = shape;
    for row in (0..rows).step_by(I::LANES) {
        for column in (0..columns).step_by(I::LANES) {
            let (height, width) = ((rows - row).min(I::LANES), (columns - column).min(I::LANES));
            let (from, to) =
                (&from[row * from_stride + column..], &mut to[column * to_stride + row..]);
            if height == I::LANES && width == I::LANES {
                isa.transpose(from, from_stride, to, to_stride);
            } else {
                transpose_one_by_one([height, width], from, from_stride, to, to_stride);
            }
        }
    }
}

#[inline(always)]
fn transpose_one_by_one(
    [rows, columns]: [usize; 2],
    from: &[f32],
    from_stride: usize,
    to: &mut [f32],
    to_stride: usize,
) {
    for column in 0..columns {
        for row in 0..rows {
            to[column * to_stride + row] = from[row * from_stride + column];
        }
    }
}

/// The natural logarithms of numbers from `f32::EPSILON` on; what is less, or not a number, counts
/// as that, Kaldi's bound.
///
/// With x = m 2^e and f = m - 1 (which is exact), ln x = e ln 2 + ln (1 + f). For s = f / (2 + f),
///
/// ```text
/// ln (1 + f) = 2 artanh s = 2 s + s t,   t = 2 (z / 3 + z^2 / 5 + z^3 / 7 + ...),   z = s^2
///            = f - s (f - t),            since 2 s = f - s f
/// ```
///
/// |s| < 0.172, so the first term left out, 2 z^5 / 11, is below 1e-8 of the sum. The second form
/// is taken for its rounding: what is subtracted is less than a quarter of f. ln 2 is taken in two
/// parts, of which the first has zeros at its end, so that e times it is exact. At most 1 unit in
/// the last place off.
#[inline(always)]
pub(crate) fn floored_log<I: Isa>(isa: I, value: I::V) -> I::V {
    let value = value.at_least(isa.splat(f32::EPSILON));
    let (mantissa, exponent) = value.split();
    let f = mantissa - isa.splat(1.0);
    let s = f / (isa.splat(2.0) + f);
    let z = s * s;
    let mut t = isa.splat(2.0 / 9.0);
    for coefficient in [2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0] {
        t = t * z + isa.splat(coefficient);
    }
    let small = exponent * isa.splat(LN_2_LOW) - s * (f - t * z);
    let sum = exponent * isa.splat(LN_2_HIGH) + (f + small);
    sum.infinite_where(value)
}

/// ln 2 in two parts; the first is a multiple of 2^-14.
const LN_2_HIGH: f32 = 11357.0 / 16384.0;
const LN_2_LOW: f32 = (std::f64::consts::LN_2 - 11357.0 / 16384.0) as f32;

/// [`floored_log`] of one number: the same bytes.
pub(crate) fn floored_log_of_one(value: f32) -> f32 {
    floored_log(Portable::<1>, Numbers([value])).0[0]
}

/// Plain Rust with `N` numbers side by side, for the compiler to vectorise.
#[derive(Clone, Copy)]
struct Portable<const N: usize>;

#[derive(Clone, Copy)]
struct Numbers<const N: usize>([f32; N]);

impl<const N: usize> Numbers<N> {
    #[inline(always)]
    fn with(self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        Numbers(std::array::from_fn(|lane| operation(self.0[lane], other.0[lane])))
    }
}

impl<const N: usize> Vector for Numbers<N> {
    #[inline(always)]
    fn at_least(self, floor: Self) -> Self {
        self.with(floor, |value, floor| if value > floor { value } else { floor })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Numbers(self.0.map(f32::sqrt))
    }

    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let exponents =
            self.0.map(|value| (value.to_bits() as i32).wrapping_sub(ROOT_OF_HALF) >> 23);
        let exponent = Numbers(exponents.map(|exponent| exponent as f32));
        let mantissa = std::array::from_fn(|lane| {
            f32::from_bits(
                (self.0[lane].to_bits() as i32).wrapping_sub(exponents[lane] << 23) as u32
            )
        });
        (Numbers(mantissa), exponent)
    }

    #[inline(always)]
    fn infinite_where(self, other: Self) -> Self {
        self.with(other, |value, other| if other == f32::INFINITY { other } else { value })
    }
}

/// The bits of the root of 1/2: the exponent changes there, not at 1.
const ROOT_OF_HALF: i32 = std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32;

impl<const N: usize> Isa for Portable<N> {
    type V = Numbers<N>;
    const LANES: usize = N;

    #[inline(always)]
    fn splat(self, value: f32) -> Numbers<N> {
        Numbers([value; N])
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> Numbers<N> {
        let from = &from[..N];
        Numbers(std::array::from_fn(|lane| from[lane]))
    }

    #[inline(always)]
    fn store(self, value: Numbers<N>, to: &mut [f32]) {
        to[..N].copy_from_slice(&value.0);
    }

    #[inline(always)]
    fn transpose(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
        transpose_one_by_one([N, N], from, from_stride, to, to_stride);
    }
}

macro_rules! operators {
    ($($operator:ident $method:ident $symbol:tt),+) => {$(
        impl<const N: usize> $operator for Numbers<N> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.with(other, |a, b| a $symbol b)
            }
        }
    )+};
}

operators! { Add add +, Sub sub -, Mul mul *, Div div / }

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Isa, ROOT_OF_HALF, Task, Vector};
    use std::arch::x86_64::*;
    use std::ops::{Add, Div, Mul, Sub};

    #[target_feature(enable = "avx2")]
    pub(super) fn run_avx2<T: Task>(task: T) {
        task.run(Avx2(()));
    }

    #[target_feature(enable = "avx2,avx512f")]
    pub(super) fn run_avx512<T: Task>(task: T) {
        task.run(Avx512(()));
    }

    /// Made only in `run_avx2`, so that whoever holds one runs on a CPU with AVX2.
    #[derive(Clone, Copy)]
    struct Avx2(());

    /// Made only from an `Avx2`.
    #[derive(Clone, Copy)]
    struct Vector8(__m256);

    /// Made only in `run_avx512`, so that whoever holds one runs on a CPU with AVX-512 F.
    #[derive(Clone, Copy)]
    struct Avx512(());

    /// Made only from an `Avx512`.
    #[derive(Clone, Copy)]
    struct Vector16(__m512);

    // Of every operation below that says no more: it asks for nothing but the instruction set, and a
    // value of its type exists only where the CPU has that.

    macro_rules! operators {
        ($type:ident: $($operator:ident $method:ident $instruction:ident),+) => {$(
            impl $operator for $type {
                type Output = Self;
                #[inline(always)]
                fn $method(self, other: Self) -> Self {
                    // SAFETY: the instruction set, as said above.
                    unsafe { $type($instruction(self.0, other.0)) }
                }
            }
        )+};
    }

    operators! { Vector8: Add add _mm256_add_ps, Sub sub _mm256_sub_ps, Mul mul _mm256_mul_ps,
    Div div _mm256_div_ps }
    operators! { Vector16: Add add _mm512_add_ps, Sub sub _mm512_sub_ps, Mul mul _mm512_mul_ps,
    Div div _mm512_div_ps }

    impl Vector for Vector8 {
        #[inline(always)]
        fn at_least(self, floor: Self) -> Self {
            // If one is not a number the instruction returns the second.
            // SAFETY: the instruction set, as said above.
            unsafe { Vector8(_mm256_max_ps(self.0, floor.0)) }
        }

        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: the instruction set, as said above.
            unsafe { Vector8(_mm256_sqrt_ps(self.0)) }
        }

        #[inline(always)]
        fn split(self) -> (Self, Self) {
            // SAFETY: the instruction set, as said above.
            unsafe {
                let bits = _mm256_castps_si256(self.0);
                let above = _mm256_sub_epi32(bits, _mm256_set1_epi32(ROOT_OF_HALF));
                let exponent = _mm256_srai_epi32::<23>(above);
                let mantissa = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(exponent));
                (Vector8(_mm256_castsi256_ps(mantissa)), Vector8(_mm256_cvtepi32_ps(exponent)))
            }
        }

        #[inline(always)]
        fn infinite_where(self, other: Self) -> Self {
            // SAFETY: the instruction set, as said above.
            unsafe {
                let infinity = _mm256_set1_ps(f32::INFINITY);
                let infinite = _mm256_cmp_ps::<_CMP_EQ_OQ>(other.0, infinity);
                Vector8(_mm256_blendv_ps(self.0, infinity, infinite))
            }
        }
    }

    impl Vector for Vector16 {
        #[inline(always)]
        fn at_least(self, floor: Self) -> Self {
            // If one is not a number the instruction returns the second.
            // SAFETY: the instruction set, as said above.
            unsafe { Vector16(_mm512_max_ps(self.0, floor.0)) }
        }

        #[inline(always)]
        fn sqrt(self) -> Self {
            // SAFETY: the instruction set, as said above.
            unsafe { Vector16(_mm512_sqrt_ps(self.0)) }
        }

        #[inline(always)]
        fn split(self) -> (Self, Self) {
            // SAFETY: the instruction set, as said above.
            unsafe {
                let bits = _mm512_castps_si512(self.0);
                let above = _mm512_sub_epi32(bits, _mm512_set1_epi32(ROOT_OF_HALF));
                let exponent = _mm512_srai_epi32::<23>(above);
                let mantissa = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(exponent));
                (Vector16(_mm512_castsi512_ps(mantissa)), Vector16(_mm512_cvtepi32_ps(exponent)))
            }
        }

        #[inline(always)]
        fn infinite_where(self, other: Self) -> Self {
            // SAFETY: the instruction set, as said above.
            unsafe {
                let infinity = _mm512_set1_ps(f32::INFINITY);
                let infinite = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(other.0, infinity);
                Vector16(_mm512_mask_blend_ps(infinite, self.0, infinity))
            }
        }
    }

    impl Isa for Avx2 {
        type V = Vector8;
        const LANES: usize = 8;

        #[inline(always)]
        fn splat(self, value: f32) -> Vector8 {
            // SAFETY: the instruction set, as said above.
            unsafe { Vector8(_mm256_set1_ps(value)) }
        }

        #[inline(always)]
        fn load(self, from: &[f32]) -> Vector8 {
            assert!(from.len() >= 8);
            // SAFETY: the instruction set, as said above; 8 numbers are there.
            unsafe { Vector8(_mm256_loadu_ps(from.as_ptr())) }
        }

        #[inline(always)]
        fn store(self, value: Vector8, to: &mut [f32]) {
            assert!(to.len() >= 8);
            // SAFETY: the instruction set, as said above; there is room for 8 numbers.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value.0) }
        }

        #[inline(always)]
        fn transpose(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
            // SAFETY: the instruction set, as said above.
            unsafe { transpose_8(from, from_stride, to, to_stride) }
        }
    }

    impl Isa for Avx512 {
        type V = Vector16;
        const LANES: usize = 16;

        #[inline(always)]
        fn splat(self, value: f32) -> Vector16 {
            // SAFETY: the instruction set, as said above.
            unsafe { Vector16(_mm512_set1_ps(value)) }
        }

        #[inline(always)]
        fn load(self, from: &[f32]) -> Vector16 {
            assert!(from.len() >= 16);
            // SAFETY: the instruction set, as said above; 16 numbers are there.
            unsafe { Vector16(_mm512_loadu_ps(from.as_ptr())) }
        }

        #[inline(always)]
        fn store(self, value: Vector16, to: &mut [f32]) {
            assert!(to.len() >= 16);
            // SAFETY: the instruction set, as said above; there is room for 16 numbers.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value.0) }
        }

        #[inline(always)]
        fn transpose(self, from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
            // SAFETY: the instruction set, as said above.
            unsafe { transpose_16(from, from_stride, to, to_stride) }
        }
    }

    /// By squares of 4 x 4: a register takes 4 columns of row `i` in its first quarter, of row
    /// `i + 4` in its second, and so on; then quarters are transposed.
    #[target_feature(enable = "avx2")]
    fn transpose_8(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
        assert!(from.len() >= 7 * from_stride + 8 && to.len() >= 7 * to_stride + 8);
        for column in [0, 4] {
            // SAFETY: r <= 7 and column + 4 <= 8, so reads
            // end before 7 from_stride + 8, and likewise the writes below.
            unsafe {
                let from = from.as_ptr().add(column);
                let a = quarters_8(from, from_stride);
                let b = quarters_8(from.add(from_stride), from_stride);
                let c = quarters_8(from.add(2 * from_stride), from_stride);
                let d = quarters_8(from.add(3 * from_stride), from_stride);
                let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
                let (ef, gh) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
                let rows = [
                    _mm256_shuffle_ps::<0x44>(ab, cd),
                    _mm256_shuffle_ps::<0xee>(ab, cd),
                    _mm256_shuffle_ps::<0x44>(ef, gh),
                    _mm256_shuffle_ps::<0xee>(ef, gh),
                ];
                for (i, row) in rows.into_iter().enumerate() {
                    _mm256_storeu_ps(to.as_mut_ptr().add((column + i) * to_stride), row);
                }
            }
        }
    }

    /// As with AVX2, in four quarters.
    #[target_feature(enable = "avx2,avx512f")]
    fn transpose_16(from: &[f32], from_stride: usize, to: &mut [f32], to_stride: usize) {
        assert!(from.len() >= 15 * from_stride + 16 && to.len() >= 15 * to_stride + 16);
        for column in [0, 4, 8, 12] {
            // SAFETY: r <= 15 and column + 4 <= 16, so
            // reads end before 15 from_stride + 16, and likewise the writes below.
            unsafe {
                let from = from.as_ptr().add(column);
                let a = quarters_16(from, from_stride);
                let b = quarters_16(from.add(from_stride), from_stride);
                let c = quarters_16(from.add(2 * from_stride), from_stride);
                let d = quarters_16(from.add(3 * from_stride), from_stride);
                let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
                let (ef, gh) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
                let rows = [
                    _mm512_shuffle_ps::<0x44>(ab, cd),
                    _mm512_shuffle_ps::<0xee>(ab, cd),
                    _mm512_shuffle_ps::<0x44>(ef, gh),
                    _mm512_shuffle_ps::<0xee>(ef, gh),
                ];
                for (i, row) in rows.into_iter().enumerate() {
                    _mm512_storeu_ps(to.as_mut_ptr().add((column + i) * to_stride), row);
                }
            }
        }
    }

    /// Four numbers from row 0 and from row 4.
    ///
    /// # Safety
    /// They must be there.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn quarters_8(from: *const f32, stride: usize) -> __m256 {
        // SAFETY: the caller's word.
        unsafe { _mm256_set_m128(_mm_loadu_ps(from.add(4 * stride)), _mm_loadu_ps(from)) }
    }

    /// Four numbers from each of the rows 0, 4, 8 and 12.
    ///
    /// # Safety
    /// They must be there.
    #[inline]
    #[target_feature(enable = "avx2,avx512f")]
    unsafe fn quarters_16(from: *const f32, stride: usize) -> __m512 {
        // SAFETY: the caller's word.
        unsafe {
            let rows = _mm512_castps128_ps512(_mm_loadu_ps(from));
            let rows = _mm512_insertf32x4::<1>(rows, _mm_loadu_ps(from.add(4 * stride)));
            let rows = _mm512_insertf32x4::<2>(rows, _mm_loadu_ps(from.add(8 * stride)));
            _mm512_insertf32x4::<3>(rows, _mm_loadu_ps(from.add(12 * stride)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Logarithm<'a>(&'a [f32], &'a mut [f32]);

    impl Task for Logarithm<'_> {
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            for (from, to) in self.0.chunks(I::LANES).zip(self.1.chunks_mut(I::LANES)) {
                isa.store(floored_log(isa, isa.load(from)), to);
            }
        }
    }

    fn logarithms(set: InstructionSet, values: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; values.len()];
        set.run(Logarithm(values, &mut out));
        out
    }

    /// Numbers of all sizes from the floor on, and close ones around 1.
    fn positive() -> Vec<f32> {
        let all = (f32::EPSILON.to_bits()..f32::INFINITY.to_bits()).step_by(997);
        let around_one = 0.9f32.to_bits()..1.1f32.to_bits();
        let mut values: Vec<f32> = all.chain(around_one.step_by(7)).map(f32::from_bits).collect();
        values.truncate(values.len() / 16 * 16);
        values
    }

    #[test]
    fn logarithms_are_right_to_the_last_place() {
        let values = positive();
        let expected: Vec<f64> = values.iter().map(|value| f64::from(*value).ln()).collect();
        let mut first: Option<Vec<f32>> = None;
        for set in InstructionSet::available() {
            let found = logarithms(set, &values);
            let mut worst = 0f64;
            for (found, expected) in found.iter().zip(&expected) {
                let exact = *expected as f32;
                let unit = f64::from(f32::from_bits(exact.abs().to_bits() + 1) - exact.abs());
                worst = worst.max((f64::from(*found) - expected).abs() / unit);
            }
            println!("{set}: off by at most {worst:.2} units in the last place");
            assert!(worst < 1.0, "{set}: {worst}");
            assert!(*first.get_or_insert_with(|| found.clone()) == found, "{set}");
        }
        for (value, expected) in values.iter().zip(first.unwrap_or_default()).step_by(101) {
            assert_eq!(floored_log_of_one(*value), expected);
        }
    }

    #[test]
    fn logarithms_are_bounded() {
        let floor = floored_log_of_one(f32::EPSILON);
        assert!((floor - f32::EPSILON.ln()).abs() < 2e-6);
        let mut values = [1.0; 16];
        values[..7].copy_from_slice(&[
            0.0,
            -0.0,
            -5.0,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MIN_POSITIVE / 2.0,
            f32::INFINITY,
        ]);
        for set in InstructionSet::available() {
            let found = logarithms(set, &values);
            assert_eq!(found[..6], [floor; 6], "{set}");
            assert_eq!(found[6], f32::INFINITY, "{set}");
            assert_eq!(found[7..], [0.0; 9], "{set}");
        }
    }

    struct Transpose<'a>([usize; 2], &'a [f32], &'a mut [f32]);

    impl Task for Transpose<'_> {
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            let Transpose([rows, columns], from, to) = self;
            transpose(isa, [rows, columns], from, columns + 3, to, rows + 2);
        }
    }

    /// Whole tiles and rests, with rows that lie apart; what lies between them is left alone.
    #[test]
    fn matrices_are_transposed() {
        for set in InstructionSet::available() {
            for (rows, columns) in [(16, 16), (16, 400), (80, 16), (13, 16), (1, 33), (17, 5)] {
                let from: Vec<f32> = (0..rows * (columns + 3)).map(|i| i as f32).collect();
                let mut to = vec![-1.0; columns * (rows + 2)];
                set.run(Transpose([rows, columns], &from, &mut to));
                for (column, target) in to.chunks(rows + 2).enumerate() {
                    for (row, value) in target[..rows].iter().enumerate() {
                        assert_eq!(*value, from[row * (columns + 3) + column], "{set} {rows}");
                    }
                    assert_eq!(target[rows..], [-1.0; 2], "{set} {rows} {columns}");
                }
            }
        }
    }
}
