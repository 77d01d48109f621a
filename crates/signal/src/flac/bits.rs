//! Reads numbers of any width from bytes, the most significant bit first.

/// Bytes that must follow the data, so that eight can be read wherever a bit is.
pub(super) const PADDING: usize = 16;

/// A place in a stream of bits. Past the end of the data come zeros; who reads them finds out by
/// [`Bits::position`].
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    /// Begins at a byte; `bytes` end with [`PADDING`].
    pub(super) fn new(bytes: &'a [u8], byte: usize) -> Self {
        Self { bytes, position: 8 * byte }
    }

    /// Bits from the beginning of the bytes.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next bits, the first of them on top: at least 57, then zeros.
    fn window(&self) -> u64 {
        let byte = self.position / 8;
        match self.bytes.get(byte..byte + 8).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => u64::from_be_bytes(bytes) << (self.position % 8),
            None => 0,
        }
    }

    /// A number of `width` bits, 0 to 32.
    pub(super) fn unsigned(&mut self, width: u32) -> u32 {
        // In two steps, for a shift by 64 is none.
        let value = self.window() >> 1 >> (63 - width);
        self.position += width as usize;
        value as u32
    }

    /// A number of `width` bits in two's complement, 1 to 32.
    pub(super) fn signed(&mut self, width: u32) -> i32 {
        let unused = 32 - width;
        (self.unsigned(width) << unused) as i32 >> unused
    }

    /// The zeros before the next one, which is passed over too. `None` where there are `most` or more.
    pub(super) fn unary(&mut self, most: u32) -> Option<u32> {
        let mut count = 0;
        loop {
            let zeros = self.window().leading_zeros();
            // Of the window's bits 57 are surely real.
            if zeros < 57 {
                self.position += zeros as usize + 1;
                return (count + zeros < most).then_some(count + zeros);
            }
            count += 57;
            self.position += 57;
            if count >= most {
                return None;
            }
        }
    }

    /// To the next whole byte; `None` where a one is passed over.
    pub(super) fn align(&mut self) -> Option<()> {
        let rest = (8 - self.position % 8) as u32 % 8;
        (self.unsigned(rest) == 0).then_some(())
    }

    /// Rice codes: of a number n, folded to 2n or −2n − 1, the part above `parameter` bits in unary, the
    /// rest as it is.
    ///
    /// The time goes into a chain: where a code begins depends on the length of the one before. So one
    /// window serves as many codes as nearly always fit into it.
    pub(super) fn rice(&mut self, parameter: u32, samples: &mut [i32]) -> Option<()> {
        match parameter {
            0..=7 => self.rice_in_groups::<4>(parameter, samples),
            8..=14 => self.rice_in_groups::<3>(parameter, samples),
            _ => samples.iter_mut().try_for_each(|sample| {
                *sample = self.rice_code(parameter)?;
                Some(())
            }),
        }
    }

    fn rice_in_groups<const CODES: usize>(
        &mut self,
        parameter: u32,
        samples: &mut [i32],
    ) -> Option<()> {
        let mut groups = samples.chunks_exact_mut(CODES);
        for group in &mut groups {
            let mut window = self.window();
            let mut used = 0;
            let mut folded = [0; CODES];
            for value in &mut folded {
                let zeros = window.leading_zeros();
                // Taken modulo 64: a sum too large to fit is thrown away below.
                let rest = window << (zeros & 63) << 1;
                *value = zeros << parameter | (rest >> 1 >> (63 - parameter)) as u32;
                window = rest << parameter;
                used += zeros + 1 + parameter;
            }
            if used <= 57 {
                self.position += used as usize;
                for (sample, folded) in group.iter_mut().zip(folded) {
                    *sample = unfold(folded);
                }
            } else {
                for sample in group {
                    *sample = self.rice_code(parameter)?;
                }
            }
        }
        for sample in groups.into_remainder() {
            *sample = self.rice_code(parameter)?;
        }
        Some(())
    }

    fn rice_code(&mut self, parameter: u32) -> Option<i32> {
        // What is folded has at most 32 bits.
        let high = self.unary(1 << 16)?;
        let high = u64::from(high) << parameter;
        let folded = u32::try_from(high).ok()? | self.unsigned(parameter);
        Some(unfold(folded))
    }
}

/// 0, 1, 2, 3, … as 0, −1, 1, −2, …
fn unfold(folded: u32) -> i32 {
    (folded >> 1) as i32 ^ -((folded & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Writes bits, the slow and simple way.
    #[derive(Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn number(&mut self, value: u32, width: u32) {
            self.0.extend((0..width).rev().map(|bit| value >> bit & 1 == 1));
        }

        fn rice(&mut self, value: i32, parameter: u32) {
            let folded = ((value << 1) ^ (value >> 31)) as u32;
            self.0.extend(std::iter::repeat_n(false, (folded >> parameter) as usize));
            self.0.push(true);
            self.number(folded & ((1 << parameter) - 1), parameter);
        }

        fn bytes(&self) -> Vec<u8> {
            let byte = |bits: &[bool]| {
                bits.iter().enumerate().fold(0, |byte, (i, &bit)| byte | u8::from(bit) << (7 - i))
            };
            let mut bytes: Vec<u8> = self.0.chunks(8).map(byte).collect();
            bytes.extend([0; PADDING]);
            bytes
        }
    }

    #[test]
    fn numbers_of_every_width_come_back() {
        let mut writer = Writer::default();
        let values: Vec<(u32, u32)> = (1..=32u32)
            .flat_map(|width| [(0, width), (u32::MAX >> (32 - width), width), (1, width)])
            .collect();
        for &(value, width) in &values {
            writer.number(value, width);
        }
        let bytes = writer.bytes();
        let mut bits = Bits::new(&bytes, 0);
        for &(value, width) in &values {
            assert_eq!(bits.unsigned(width), value, "{width} bits");
        }
        let mut bits = Bits::new(&bytes, 0);
        for &(value, width) in &values {
            let expected = i64::from(value) - (i64::from(value) >> (width - 1) << width);
            assert_eq!(i64::from(bits.signed(width)), expected, "{width} bits");
        }
        assert_eq!(bits.position(), writer.0.len());
    }

    #[test]
    fn rice_codes_of_every_parameter_come_back_short_and_long() {
        for parameter in 0..=30 {
            let mut random = Random::from_key(&[u64::from(parameter)]);
            let values: Vec<i32> = (0..1003)
                .map(|i| {
                    // Now and then one that is far longer than a window.
                    let scale = if i % 97 == 0 { 300.0 } else { 0.7 };
                    let limit = f64::from(i32::MAX) / 4.0;
                    (random.normal() * scale * f64::from(1u32 << parameter)).clamp(-limit, limit)
                        as i32
                })
                .collect();
            let mut writer = Writer::default();
            writer.number(5, 3);
            values.iter().for_each(|&value| writer.rice(value, parameter));
            let bytes = writer.bytes();
            let mut bits = Bits::new(&bytes, 0);
            bits.unsigned(3);
            let mut found = vec![0; values.len()];
            bits.rice(parameter, &mut found).unwrap();
            assert_eq!(found, values, "parameter {parameter}");
            assert_eq!(bits.position(), writer.0.len());
        }
    }

    #[test]
    fn zeros_without_end_are_no_code() {
        let bytes = [0; 100];
        assert_eq!(Bits::new(&bytes, 0).unary(1 << 16), None);
        assert_eq!(Bits::new(&bytes, 0).rice(3, &mut [0; 50]), None);
        assert_eq!(Bits::new(&[0, 1, 0, 0, 0, 0, 0, 0, 0], 0).unary(100), Some(15));
        assert_eq!(Bits::new(&[0, 1, 0, 0, 0, 0, 0, 0, 0], 0).unary(15), None);
    }
}
