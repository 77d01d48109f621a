//! Positive numbers that carry a wide exponent of their own, so that products of many small probabilities neither vanish nor need a logarithm.
//!
//! A number is a pair `(mantissa, exponent)` of f64 that stands for `mantissa · 2^exponent`; the
//! exponent is a whole number. Nothing here branches, so that a loop over pairs vectorises: the
//! power of two and the split of a mantissa are done on the bits of IEEE 754 doubles.
//!
//! Why not logarithms: adding two probabilities kept as logarithms costs an exponential and a
//! logarithm, and the rounding of ln p grows with |ln p|; here a sum costs one multiplication for
//! each term and the relative error of a step stays at 2^-53 however small the number is.
//! Why not one common scale for each frame: states of a CTC lattice can differ by more than the
//! range of a double (200 letters at e^-10 each are e^-2000), and the small one may be the one
//! that the only complete path goes through.
//!
//! Book: book/src/ctc.md

/// Exponent that stands for the number zero: no product of probabilities comes near it, and sums
/// of a few of them are still exact in an f64.
pub(crate) const NEVER: f64 = -((1u64 << 50) as f64);

/// The farthest below the largest logit of its row, in nats, at which a logit still counts as
/// itself; those farther below count as this.
const DEEPEST: f64 = -((1u64 << 24) as f64);

/// 1.5 · 2^52: adding it to a whole number of less than 51 bits puts that number into the low bits.
const SHIFTER: f64 = 6_755_399_441_055_744.0;
/// 2^52, whose bits with a 52-bit whole number or-ed in are the float 2^52 + that number.
const TWO_TO_52: f64 = 4_503_599_627_370_496.0;

/// 2^exponent for a whole exponent of at most 1023; exactly zero below -1022.
#[inline(always)]
pub(crate) fn power_of_two(exponent: f64) -> f64 {
    let exponent = if exponent > -1023.0 { exponent } else { -1023.0 };
    f64::from_bits((exponent + (SHIFTER + 1023.0)).to_bits() << 52)
}

/// Splits a positive, normal number into a mantissa in [1, 2) and its exponent.
#[inline(always)]
pub(crate) fn split(value: f64) -> (f64, f64) {
    let bits = value.to_bits();
    let exponent = f64::from_bits((bits >> 52) | TWO_TO_52.to_bits()) - (TWO_TO_52 + 1023.0);
    (f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 1.0f64.to_bits()), exponent)
}

/// The sum of two extended numbers, its mantissa not yet split.
#[inline(always)]
// ANCHOR: sum
pub(crate) fn sum2(am: f64, ae: f64, bm: f64, be: f64) -> (f64, f64) {
    let top = if ae > be { ae } else { be };
    (am * power_of_two(ae - top) + bm * power_of_two(be - top), top)
}
// ANCHOR_END: sum

/// The sum of three extended numbers, its mantissa not yet split.
#[inline(always)]
pub(crate) fn sum3(am: f64, ae: f64, bm: f64, be: f64, cm: f64, ce: f64) -> (f64, f64) {
    let top = if ae > be { ae } else { be };
    let top = if ce > top { ce } else { top };
    let sum = am * power_of_two(ae - top) + bm * power_of_two(be - top);
    (sum + cm * power_of_two(ce - top), top)
}

/// e^x for x of at most 0 as an extended number with a mantissa in [0.70, 1.42].
///
/// x = k ln 2 + r with a whole k and |r| <= ln 2 / 2; then e^x = 2^k e^r, and the Taylor series of
/// e^r to the 13th power leaves (ln 2 / 2)^14 / 14! = 4e-18 unsaid. ln 2 is subtracted in two
/// parts, the first of 32 bits, so that k times it is exact (Cody and Waite 1980).
#[inline(always)]
pub(crate) fn exp(x: f64) -> (f64, f64) {
    const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LOW: f64 = std::f64::consts::LN_2 - LN2_HIGH + LN2_REST;
    /// What the double nearest to ln 2 leaves of ln 2.
    const LN2_REST: f64 = 2.319_046_813_846_299_6e-17;
    let x = if x > DEEPEST { x } else { DEEPEST };
    let k = (x * std::f64::consts::LOG2_E + SHIFTER) - SHIFTER;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    let mut sum = COEFFICIENTS[0];
    for &coefficient in &COEFFICIENTS[1..] {
        sum = sum * r + coefficient;
    }
    (sum, k)
}

/// 1/13!, 1/12!, … 1/0!.
const COEFFICIENTS: [f64; 14] = {
    let mut coefficients = [1.0; 14];
    let mut factorial = 1.0;
    let mut n = 1;
    while n < 14 {
        factorial *= n as f64;
        coefficients[13 - n] = 1.0 / factorial;
        n += 1;
    }
    coefficients
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_exact_to_two_roundings() {
        for i in 0..200_000 {
            let x = -700.0 * (i as f64 / 200_000.0);
            let (m, k) = exp(x);
            assert!((0.70..1.42).contains(&m), "{x}: {m}");
            let ours = m * power_of_two(k);
            assert!((ours / x.exp() - 1.0).abs() < 4.5e-16, "{x}: {ours} {}", x.exp());
        }
        assert_eq!(exp(0.0), (1.0, 0.0));
    }

    #[test]
    fn exponential_goes_on_where_doubles_end() {
        // e^-10000 = 10^-4342.9448…; its logarithm comes back.
        for x in [-1e3, -1e4, -123_456.789, -1e7] {
            let (m, k) = exp(x);
            let logarithm = m.ln() + k * std::f64::consts::LN_2;
            assert!((logarithm / x - 1.0).abs() < 1e-15, "{x}: {logarithm}");
        }
        assert_eq!(exp(f64::MIN).1, exp(DEEPEST).1);
    }

    #[test]
    fn powers_and_splits() {
        for exponent in -1022..=1023 {
            assert_eq!(power_of_two(exponent as f64), 2.0f64.powi(exponent), "{exponent}");
        }
        assert_eq!(power_of_two(-1023.0), 0.0);
        assert_eq!(power_of_two(2.0 * NEVER), 0.0);
        for value in [1.0, 0.75, 3.0, 1e-300, 1e300, 2.0, 1.999_999_999] {
            let (m, e) = split(value);
            assert!((1.0..2.0).contains(&m));
            assert_eq!(m * power_of_two(e), value);
        }
    }

    #[test]
    fn sums_keep_both_terms_and_ignore_never() {
        assert_eq!(sum2(1.5, -3000.0, 1.0, NEVER), (1.5, -3000.0));
        assert_eq!(sum2(1.5, -3000.0, 1.0, -3001.0), (2.0, -3000.0));
        assert_eq!(sum3(1.0, -5.0, 1.0, -4.0, 1.0, -6.0), (1.75, -4.0));
    }
}
