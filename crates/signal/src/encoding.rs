//! Encodings of uncompressed samples, and their conversion to `f32`.
//!
//! Integers of `b` bits are divided by 2^(b-1), so that full scale is [-1, 1). u-law and A-law are
//! ITU-T G.711's expansions to 14 and 13 bits, left-justified in 16.
//!
//! Book: book/src/sampling.md

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How one sample is stored. The serialised names are Lhotse's and FFmpeg's: `pcm_s16be`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// 8-bit signed integers.
    PcmS8,
    /// 8-bit unsigned integers, 128 is silence.
    PcmU8,
    /// 16-bit signed integers, least significant byte first.
    PcmS16le,
    /// 16-bit signed integers, most significant byte first.
    PcmS16be,
    /// 24-bit signed integers, least significant byte first.
    PcmS24le,
    /// 24-bit signed integers, most significant byte first.
    PcmS24be,
    /// 32-bit signed integers, least significant byte first.
    PcmS32le,
    /// 32-bit signed integers, most significant byte first.
    PcmS32be,
    /// 32-bit floats in [-1, 1], least significant byte first.
    PcmF32le,
    /// 32-bit floats in [-1, 1], most significant byte first.
    PcmF32be,
    /// 64-bit floats in [-1, 1], least significant byte first.
    PcmF64le,
    /// 64-bit floats in [-1, 1], most significant byte first.
    PcmF64be,
    /// G.711 u-law, one byte a sample (North American telephony).
    Ulaw,
    /// G.711 A-law, one byte a sample (telephony elsewhere).
    Alaw,
}

const NAMES: [(Encoding, &str); 14] = [
    (Encoding::PcmS8, "pcm_s8"),
    (Encoding::PcmU8, "pcm_u8"),
    (Encoding::PcmS16le, "pcm_s16le"),
    (Encoding::PcmS16be, "pcm_s16be"),
    (Encoding::PcmS24le, "pcm_s24le"),
    (Encoding::PcmS24be, "pcm_s24be"),
    (Encoding::PcmS32le, "pcm_s32le"),
    (Encoding::PcmS32be, "pcm_s32be"),
    (Encoding::PcmF32le, "pcm_f32le"),
    (Encoding::PcmF32be, "pcm_f32be"),
    (Encoding::PcmF64le, "pcm_f64le"),
    (Encoding::PcmF64be, "pcm_f64be"),
    (Encoding::Ulaw, "ulaw"),
    (Encoding::Alaw, "alaw"),
];

impl fmt::Display for Encoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(encoding, _)| encoding == self).map_or("", |(_, name)| name);
        formatter.pad(name)
    }
}

/// The name is none of the encodings'.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an encoding; use one of {names}", names = names())]
pub struct UnknownEncoding(pub String);

fn names() -> String {
    NAMES.map(|(_, name)| name).join(", ")
}

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NAMES
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(encoding, _)| *encoding)
            .ok_or_else(|| UnknownEncoding(text.to_string()))
    }
}

/// What a headerless file does not say about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFormat {
    /// How each sample is stored.
    pub encoding: Encoding,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Channels, interleaved.
    pub channels: u16,
}

impl Encoding {
    /// Bytes of one sample of one channel.
    pub fn bytes(self) -> usize {
        match self {
            Encoding::PcmS8 | Encoding::PcmU8 | Encoding::Ulaw | Encoding::Alaw => 1,
            Encoding::PcmS16le | Encoding::PcmS16be => 2,
            Encoding::PcmS24le | Encoding::PcmS24be => 3,
            Encoding::PcmS32le | Encoding::PcmS32be => 4,
            Encoding::PcmF32le | Encoding::PcmF32be => 4,
            Encoding::PcmF64le | Encoding::PcmF64be => 8,
        }
    }

    /// Interleaved bytes `[samples, channels]` to planar samples `channels x [samples]`; bytes
    /// after the last whole frame are left out.
    pub(crate) fn decode(self, bytes: &[u8], channels: usize) -> Vec<Vec<f32>> {
        const BITS_8: f32 = 1.0 / 128.0;
        const BITS_16: f32 = 1.0 / 32768.0;
        const BITS_24: f32 = 1.0 / 8_388_608.0;
        const BITS_32: f32 = 1.0 / 2_147_483_648.0;
        match self {
            Encoding::PcmS8 => planar(bytes, channels, |[a]| f32::from(a as i8) * BITS_8),
            Encoding::PcmU8 => planar(bytes, channels, |[a]| (f32::from(a) - 128.0) * BITS_8),
            Encoding::Ulaw => planar(bytes, channels, |[a]| f32::from(expand_ulaw(a)) * BITS_16),
            Encoding::Alaw => planar(bytes, channels, |[a]| f32::from(expand_alaw(a)) * BITS_16),
            Encoding::PcmS16le => {
                planar(bytes, channels, |b| f32::from(i16::from_le_bytes(b)) * BITS_16)
            }
            Encoding::PcmS16be => {
                planar(bytes, channels, |b| f32::from(i16::from_be_bytes(b)) * BITS_16)
            }
            // The shift right of the three bytes at the top of a word extends the sign.
            Encoding::PcmS24le => planar(bytes, channels, |[a, b, c]| {
                (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 * BITS_24
            }),
            Encoding::PcmS24be => planar(bytes, channels, |[a, b, c]| {
                (i32::from_be_bytes([a, b, c, 0]) >> 8) as f32 * BITS_24
            }),
            Encoding::PcmS32le => {
                planar(bytes, channels, |b| i32::from_le_bytes(b) as f32 * BITS_32)
            }
            Encoding::PcmS32be => {
                planar(bytes, channels, |b| i32::from_be_bytes(b) as f32 * BITS_32)
            }
            Encoding::PcmF32le => planar(bytes, channels, f32::from_le_bytes),
            Encoding::PcmF32be => planar(bytes, channels, f32::from_be_bytes),
            Encoding::PcmF64le => planar(bytes, channels, |b| f64::from_le_bytes(b) as f32),
            Encoding::PcmF64be => planar(bytes, channels, |b| f64::from_be_bytes(b) as f32),
        }
    }
}

/// `N` bytes a sample.
fn planar<const N: usize>(
    bytes: &[u8],
    channels: usize,
    convert: impl Fn([u8; N]) -> f32,
) -> Vec<Vec<f32>> {
    let mut planes = vec![Vec::with_capacity(bytes.len() / (N * channels.max(1))); channels];
    for frame in bytes.chunks_exact(N * channels.max(1)) {
        for (plane, sample) in planes.iter_mut().zip(frame.chunks_exact(N)) {
            let mut word = [0; N];
            word.copy_from_slice(sample);
            plane.push(convert(word));
        }
    }
    planes
}

/// G.711 u-law: bits are inverted; sign, three bits of exponent, four of mantissa; the steps
/// begin at 132 so that each segment joins the next.
pub(crate) fn expand_ulaw(byte: u8) -> i16 {
    let code = !byte;
    let exponent = (code >> 4) & 7;
    let mantissa = i16::from(code & 15);
    let magnitude = (((mantissa << 3) + 132) << exponent) - 132;
    if code & 0x80 != 0 { -magnitude } else { magnitude }
}

/// G.711 A-law: every second bit is inverted; the first segment is linear, so that it has no
/// hidden leading bit.
pub(crate) fn expand_alaw(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let exponent = (code >> 4) & 7;
    let mantissa = i16::from(code & 15) << 4;
    let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 264) << (exponent - 1) };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

/// The u-law code of a 16-bit sample: the two lowest bits go, 33 is added to the magnitude, and what
/// follows the leading bit are the four bits of mantissa.
pub(crate) fn compress_ulaw(sample: i16) -> u8 {
    let linear = sample >> 2;
    // 8158 is the greatest of 14 bits whose sum with 33 stays in the eight segments.
    let magnitude = linear.unsigned_abs().min(8158) + 33;
    let exponent = magnitude.ilog2() as u8 - 5;
    let mantissa = (magnitude >> (exponent + 1)) as u8 & 15;
    let code = (exponent << 4) | mantissa;
    if linear < 0 { !(code | 0x80) } else { !code }
}

/// The A-law code of a 16-bit sample: the three lowest bits go; negative numbers are counted from
/// -1, so that both signs have as many codes.
pub(crate) fn compress_alaw(sample: i16) -> u8 {
    let linear = sample >> 3;
    let magnitude = (if linear < 0 { !linear } else { linear }) as u16; // at most 4095
    // Below 32 the first two segments are one line; from there on one for each leading bit.
    let exponent = (magnitude | 16).ilog2() as u8 - 4;
    let mantissa = (magnitude >> exponent.max(1)) as u8 & 15;
    let code = (exponent << 4) | mantissa;
    if linear < 0 { code ^ 0x55 } else { (code | 0x80) ^ 0x55 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_through_text() {
        for (encoding, name) in NAMES {
            assert_eq!(encoding.to_string(), name);
            assert_eq!(name.parse::<Encoding>(), Ok(encoding));
        }
        let error = "pcm16".parse::<Encoding>().expect_err("not a name");
        assert!(error.to_string().contains("pcm_s16le"), "{error}");
    }

    #[test]
    fn g711_has_the_published_extremes_and_is_monotone() {
        // G.711 tables: the largest u-law value is 8031 of 14 bits, the largest A-law one 4032
        // of 13 bits, both left-justified in 16.
        assert_eq!(expand_ulaw(0x80), 8031 * 4);
        assert_eq!(expand_ulaw(0x00), -8031 * 4);
        assert_eq!(expand_ulaw(0xff), 0);
        assert_eq!(expand_ulaw(0x7f), 0);
        assert_eq!(expand_alaw(0xaa), 4032 * 8);
        assert_eq!(expand_alaw(0x2a), -4032 * 8);
        assert_eq!(expand_alaw(0xd5), 8);
        assert_eq!(expand_alaw(0x55), -8);
        for byte in 0x80..0xffu8 {
            assert!(expand_ulaw(byte) > expand_ulaw(byte + 1));
        }
        let mut alaw: Vec<i16> = (0..128u8).map(|code| expand_alaw((code | 0x80) ^ 0x55)).collect();
        assert!(alaw.is_sorted());
        alaw.dedup();
        assert_eq!(alaw.len(), 128);
    }

    /// Every sample of 16 bits, against the ranges that `tests/golden/make_g711.py` found in an
    /// implementation of another origin.
    #[test]
    fn g711_codes_every_sample_as_the_standard_does() {
        let mut seen = 0;
        for line in include_str!("../tests/golden/g711.txt").lines() {
            let Some((law, numbers)) = line.split_once(' ').filter(|(law, _)| *law != "#") else {
                continue;
            };
            let numbers: Vec<i32> =
                numbers.split(' ').map(|number| number.parse().expect("a number")).collect();
            let [code, least, greatest, expanded] = numbers[..] else { panic!("{line}") };
            let compress = if law == "ulaw" { compress_ulaw } else { compress_alaw };
            let expand = if law == "ulaw" { expand_ulaw } else { expand_alaw };
            assert_eq!(i32::from(expand(code as u8)), expanded, "{line}");
            for sample in least..=greatest {
                assert_eq!(i32::from(compress(sample as i16)), code, "{law} of {sample}");
                seen += 1;
            }
        }
        assert_eq!(seen, 2 * 65536);
    }

    #[test]
    fn each_encoding_spans_the_unit_interval() {
        let cases: [(Encoding, &[u8], f32); 12] = [
            (Encoding::PcmS8, &[0x80], -1.0),
            (Encoding::PcmU8, &[0x00], -1.0),
            (Encoding::PcmU8, &[0x80], 0.0),
            (Encoding::PcmS16le, &[0x00, 0x80], -1.0),
            (Encoding::PcmS16be, &[0x40, 0x00], 0.5),
            (Encoding::PcmS24le, &[0x00, 0x00, 0x80], -1.0),
            (Encoding::PcmS24be, &[0x40, 0x00, 0x00], 0.5),
            (Encoding::PcmS32le, &[0, 0, 0, 0xc0], -0.5),
            (Encoding::PcmS32be, &[0x20, 0, 0, 0], 0.25),
            (Encoding::PcmF32be, &[0x3f, 0, 0, 0], 0.5),
            (Encoding::PcmF64be, &[0x3f, 0xe0, 0, 0, 0, 0, 0, 0], 0.5),
            (Encoding::PcmF64le, &[0, 0, 0, 0, 0, 0, 0xe0, 0xbf], -0.5),
        ];
        for (encoding, bytes, value) in cases {
            assert_eq!(encoding.decode(bytes, 1), vec![vec![value]], "{encoding}");
        }
    }

    #[test]
    fn channels_are_separated() {
        let bytes = [0x00, 0x40, 0x00, 0xc0, 0x00, 0x20, 0x00, 0xe0];
        let planes = Encoding::PcmS16le.decode(&bytes, 2);
        assert_eq!(planes, vec![vec![0.5, 0.25], vec![-0.5, -0.25]]);
    }
}
