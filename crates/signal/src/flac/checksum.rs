//! The two checksums of a FLAC frame: remainders of the bits, taken as a polynomial over GF(2).
//!
//! Of the header the divisor is x⁸ + x² + x + 1, of the frame x¹⁶ + x¹⁵ + x² + 1 (RFC 9639, section 9).
//! A table gives the remainder of a byte; eight tables that of eight bytes at once, each for a byte with
//! so many zeros behind it (M. Kounavis, F. Berry, "Novel table lookup-based algorithms for
//! high-performance CRC generation", IEEE Trans. Computers 57, 2008).

const CRC8: [u8; 256] = crc8_table();
const CRC16: [[u16; 256]; 8] = crc16_tables();

const fn crc8_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut rest, mut bit) = (byte as u8, 0);
        while bit < 8 {
            rest = rest << 1 ^ if rest & 0x80 == 0 { 0 } else { 0x07 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
}

const fn crc16_tables() -> [[u16; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = (byte as u16) << 8;
        let mut zeros = 0;
        while zeros < 8 {
            let mut bit = 0;
            while bit < 8 {
                rest = rest << 1 ^ if rest & 0x8000 == 0 { 0 } else { 0x8005 };
                bit += 1;
            }
            tables[zeros][byte] = rest;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

/// Of a frame's header.
pub(super) fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |rest, &byte| CRC8[usize::from(rest ^ byte)])
}

/// Of a whole frame: 0 where its own last two bytes are right.
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    let mut rest = 0u16;
    let mut groups = bytes.chunks_exact(8);
    for group in &mut groups {
        let [high, low] = rest.to_be_bytes();
        rest = CRC16[7][usize::from(group[0] ^ high)]
            ^ CRC16[6][usize::from(group[1] ^ low)]
            ^ CRC16[5][usize::from(group[2])]
            ^ CRC16[4][usize::from(group[3])]
            ^ CRC16[3][usize::from(group[4])]
            ^ CRC16[2][usize::from(group[5])]
            ^ CRC16[1][usize::from(group[6])]
            ^ CRC16[0][usize::from(group[7])];
    }
    groups
        .remainder()
        .iter()
        .fold(rest, |rest, &byte| rest << 8 ^ CRC16[0][usize::from(rest.to_be_bytes()[0] ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that catalogues of checksums give for these nine bytes (CRC-8/SMBUS, CRC-16/UMTS).
    #[test]
    fn known_values_whatever_the_length() {
        assert_eq!(crc8(b"123456789"), 0xf4);
        assert_eq!(crc16(b"123456789"), 0xfee8);
        let bytes: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(37)).collect();
        for length in 0..100 {
            let one_by_one = bytes[..length].iter().fold(0u16, |rest, &byte| {
                rest << 8 ^ CRC16[0][usize::from(rest.to_be_bytes()[0] ^ byte)]
            });
            assert_eq!(crc16(&bytes[..length]), one_by_one);
        }
    }
}
