//! The two floating-point types of this crate, f32 for work and f64 for checks, behind one trait.
//!
//! The transcendental functions of f32 are polynomials of our own: free of branches, so that the
//! compiler vectorises any loop around them, and free of fused multiply-add, so that they give the
//! same bits at every vector width and on every machine. f64 serves the tests and uses the standard
//! library.
//!
//! * `exp`: x = n ln 2 + r with |r| ≤ ln 2 / 2 (ln 2 in two parts, Cody and Waite 1980), then
//!   eʳ = 1 + r + r² q(r), q of degree 4, and 2ⁿ in two factors so that results below the smallest
//!   normal number and overflow come out right. At most 1.1 units in the last place.
//! * `tanh`: with y = 2|x| and m = eʸ − 1 = 2ⁿ p + (2ⁿ − 1), p = r + r² q(r), tanh|x| = m / (m + 2);
//!   m keeps its relative accuracy near 0. At most 2.5 units in the last place.
//! * `sigmoid`: 1 / (1 + e⁻ˣ). At most 2.5 units in the last place of normal results.
//! * `ln`: x = 2ᵏ (1 + f) with 1 + f in [√½, √2), ln x = k ln 2 + f − f²/2 + f³ p(f), p of degree 8.
//!   At most 1.5 units in the last place.
//!
//! The coefficients interpolate the exact functions at Chebyshev nodes. The bounds are tested below.

use std::fmt::{Debug, Display};
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::cpu::{Cpu, Precision};
use crate::matmul::kernel::{self, Kernel};

/// f32 or f64; no other type can implement it.
pub trait Real:
    sealed::Sealed
    + Copy
    + Send
    + Sync
    + PartialOrd
    + PartialEq
    + Default
    + Debug
    + Display
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Negative infinity.
    const NEG_INFINITY: Self;
    /// Distance from 1 to the next larger number.
    const EPSILON: Self;

    /// The micro-kernel for this type, in the precision that `cpu` asks for.
    #[doc(hidden)]
    fn kernel(cpu: Cpu) -> Kernel<Self>;

    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;
    /// The same number in double precision; exact.
    fn to_f64(self) -> f64;
    /// The nearest number of this type.
    fn from_usize(value: usize) -> Self {
        Self::from_f64(value as f64)
    }
    /// √x, correctly rounded.
    fn sqrt(self) -> Self;
    /// eˣ.
    fn exp(self) -> Self;
    /// Natural logarithm: −∞ at 0, NaN below.
    fn ln(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// 1 / (1 + e⁻ˣ).
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }
    /// |x|.
    fn abs(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// Not a number.
    fn is_nan(self) -> bool;
    /// The larger of two numbers; `other` when either is NaN.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    /// The smaller of two numbers; `other` when either is NaN.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const INFINITY: Self = f64::INFINITY;
    const NEG_INFINITY: Self = f64::NEG_INFINITY;
    const EPSILON: Self = f64::EPSILON;

    #[inline(always)]
    fn kernel(cpu: Cpu) -> Kernel<Self> {
        kernel::of_f64(cpu)
    }

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f64::abs(self)
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const INFINITY: Self = f32::INFINITY;
    const NEG_INFINITY: Self = f32::NEG_INFINITY;
    const EPSILON: Self = f32::EPSILON;

    fn kernel(cpu: Cpu) -> Kernel<Self> {
        match cpu.precision() {
            Precision::F32 => kernel::of_f32(cpu),
            Precision::Bf16 => kernel::of_bf16(cpu),
        }
    }

    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        exp(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        ln(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        tanh(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f32::abs(self)
    }
    #[inline(always)]
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
}

/// ln 2 = `LN2_HIGH` + `LN2_LOW`; the first part has so few bits that n times it is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
/// Adding and taking away 1.5 · 2²³ rounds to the nearest whole number at every vector width.
const ROUNDER: f32 = 12_582_912.0;

/// x = n ln 2 + r, and p = eʳ − 1. `x` lies within [-110, 110] or is NaN.
#[inline(always)]
fn reduce(x: f32) -> (i32, f32) {
    let shifted = x * std::f32::consts::LOG2_E + ROUNDER;
    let whole = shifted - ROUNDER;
    // The low bits of the shifted number hold n as an integer.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUNDER.to_bits() as i32);
    let r = (x - whole * LN2_HIGH) - whole * LN2_LOW;
    let mut q = 1.392_625_e-3_f32;
    q = q * r + 8.363_233e-3;
    q = q * r + 4.166_655_2e-2;
    q = q * r + 1.666_657_6e-1;
    q = q * r + 0.5;
    (n, r + (r * r) * q)
}

/// 2ⁿ for n in [-126, 127].
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

#[inline(always)]
fn exp(x: f32) -> f32 {
    // Written as selections that keep a NaN: every comparison with it is false.
    let clamped = if x > 100.0 { 100.0 } else { x };
    let clamped = if clamped < -110.0 { -110.0 } else { clamped };
    let (n, p) = reduce(clamped);
    let half = n >> 1;
    (1.0 + p) * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let magnitude = if magnitude > 10.0 { 10.0 } else { magnitude };
    let (n, p) = reduce(magnitude + magnitude);
    let scale = power_of_two(n);
    let m = scale * p + (scale - 1.0);
    (m / (m + 2.0)).copysign(x)
}

#[inline(always)]
fn ln(x: f32) -> f32 {
    // Numbers below the smallest normal one are lifted by 2²³ first.
    let tiny = x < f32::MIN_POSITIVE;
    let lifted = if tiny { x * 8_388_608.0 } else { x };
    let lift = if tiny { 23 } else { 0 };
    // Subtracting the bits of √½ puts the mantissa into [√½, √2) and leaves k in the exponent.
    const SQRT_HALF: i32 = 0x3f35_04f3;
    let bits = lifted.to_bits() as i32;
    let k = bits.wrapping_sub(SQRT_HALF) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub(k << 23) as u32);
    let f = mantissa - 1.0;
    let k = (k - lift) as f32;
    let mut p = 6.973_215e-2_f32;
    p = p * f - 1.148_234_75e-1;
    p = p * f + 1.168_606_5e-1;
    p = p * f - 1.242_539_7e-1;
    p = p * f + 1.424_896_9e-1;
    p = p * f - 1.666_781_2e-1;
    p = p * f + 2.000_071_9e-1;
    p = p * f - 2.499_999_7e-1;
    p = p * f + 3.333_333e-1;
    let square = f * f;
    let tail = square * f * p + (k * LN2_LOW - 0.5 * square);
    let value = (f + tail) + k * LN2_HIGH;
    let value = if x > f32::MAX { x } else { value };
    let value = if x == 0.0 { f32::NEG_INFINITY } else { value };
    if x >= 0.0 { value } else { f32::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest distance from the exact value in units in the last place of the exact result.
    fn worst(f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let steps = 2_000_000;
        let mut worst = 0f64;
        for i in 0..=steps {
            let x = low + (high - low) * (i as f32 / steps as f32);
            let truth = exact(f64::from(x));
            let exponent = truth.abs().log2().floor().max(-126.0);
            let unit = 2f64.powf(exponent - 23.0);
            worst = worst.max((f64::from(f(x)) - truth).abs() / unit);
        }
        worst
    }

    #[test]
    fn exp_is_within_one_and_a_tenth_units() {
        for (low, high) in [(-104.0, -87.0), (-87.0, 0.0), (-1.0, 1.0), (0.0, 88.7), (-1e-3, 1e-3)]
        {
            let worst = worst(exp, f64::exp, low, high);
            assert!(worst <= 1.1, "[{low}, {high}]: {worst}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::MAX), f32::INFINITY);
        assert_eq!(exp(-110.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_and_sigmoid_are_within_two_and_a_half_units() {
        for (low, high) in [(-12.0, 12.0), (-0.5, 0.5), (-1e-4, 1e-4)] {
            let worst = worst(tanh, f64::tanh, low, high);
            assert!(worst <= 2.5, "tanh [{low}, {high}]: {worst}");
        }
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for (low, high) in [(-87.0, 0.0), (-3.0, 3.0), (0.0, 100.0)] {
            let worst = worst(Real::sigmoid, sigmoid, low, high);
            assert!(worst <= 2.5, "sigmoid [{low}, {high}]: {worst}");
        }
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f32).to_bits());
        assert!(tanh(f32::NAN).is_nan());
        assert_eq!(Real::sigmoid(f32::NEG_INFINITY), 0.0);
        assert_eq!(Real::sigmoid(f32::INFINITY), 1.0);
        assert!(Real::sigmoid(f32::NAN).is_nan());
    }

    #[test]
    fn ln_is_within_one_and_a_half_units() {
        for (low, high) in [(1e-45, 1e-38), (1e-38, 1e-3), (0.5, 2.0), (0.999, 1.001), (1.0, 3e38)]
        {
            let worst = worst(ln, f64::ln, low, high);
            assert!(worst <= 1.5, "[{low}, {high}]: {worst}");
        }
        assert_eq!(ln(1.0), 0.0);
        assert_eq!(ln(0.0), f32::NEG_INFINITY);
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert!(ln(-1.0).is_nan());
        assert!(ln(f32::NAN).is_nan());
    }
}
