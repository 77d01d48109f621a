//! bf16, the upper half of an f32: rounding without instructions for it.
//!
//! A number keeps its sign, its 8 bits of exponent and 7 stored bits of its significand. Adding half of
//! the last kept unit (a little less where the kept part is even) and cutting the rest off rounds to
//! the nearest, ties to even; a carry goes into the exponent, as it should, and beyond the largest
//! bf16, 3.39e38, to infinity.
//!
//! Book: book/src/fast.md

/// Rounds each number to bf16.
#[inline(always)]
pub(super) fn round(values: &mut [f32]) {
    for value in values {
        let bits = value.to_bits();
        // A NaN whose payload lies in the lower half alone must not become infinite.
        let bits = match value.is_nan() {
            true => bits | 0x0040_0000,
            false => bits.wrapping_add(0x7fff + (bits >> 16 & 1)),
        };
        *value = f32::from_bits(bits & 0xffff_0000);
    }
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn numbers_go_to_the_nearest_and_ties_to_even() {
        let unit = f32::powi(2.0, -7); // between bf16 numbers from 1 to 2
        for (given, expected) in [
            (0.0, 0.0),
            (-0.0, -0.0),
            (1.0, 1.0),
            (1.0 + 0.49 * unit, 1.0),
            (1.0 + 0.5 * unit, 1.0),
            (1.0 + 0.51 * unit, 1.0 + unit),
            (1.0 + 1.5 * unit, 1.0 + 2.0 * unit),
            (-1.0 - 1.5 * unit, -1.0 - 2.0 * unit),
            (2.0 - 0.1 * unit, 2.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ] {
            let mut value = [given];
            round(&mut value);
            assert_eq!(value[0].to_bits(), f32::to_bits(expected), "{given} became {}", value[0]);
        }
        let mut nans = [f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0xffff_ffff)];
        round(&mut nans);
        assert!(nans.iter().all(|x| x.is_nan() && x.to_bits() & 0xffff == 0));
    }
}
