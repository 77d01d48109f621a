//! A FLAC encoder, small and exact: linear predictors and Rice codes (RFC 9639).
//!
//! Blocks of 4096 samples. In each, and for each channel, a predictor guesses a sample from those before
//! it, and what it misses, the residual, is written in a code that is short for small numbers:
//!
//! - The fixed predictor of order p continues the polynomial of degree p - 1 through the last p samples,
//!   so its residual is the p-th difference of the signal (9.2.5). The order with the least sum of
//!   magnitudes is taken.
//! - A predictor fitted to the block ([`super::linear`]) of order 4, 8 and 12 is tried beside it; its
//!   coefficients are written as integers, and encoder and decoder compute with those (9.2.6).
//! - A residual r becomes u = 2r, or -2r - 1 below zero; its Rice code of parameter k is u >> k in unary
//!   and k bits. For a geometric distribution of mean m the best k is near log2(m); the exact sizes of
//!   its neighbours are compared. Loud and soft parts of a block get their own k: partitions of 2^0 to
//!   2^6 are tried, and the smallest whole is written (9.2.7).
//!
//! The shortest is written, to the bit; where that is no gain, the block is stored as it is, and one
//! value repeated is stored once. What is rounded (the coefficients) is rounded by additions,
//! multiplications and divisions alone, in a fixed order, so a recording has the same bytes on every
//! machine. Channels stand each on its own.

use super::linear::Predictor;
use md5::{Digest, Md5};

const BLOCK: usize = 4096;
/// The code of a block of 4096 samples: 256 * 2^(12 - 8).
const BLOCK_CODE: u64 = 12;
/// The code that says: a number of 16 bits follows.
const SHORT_BLOCK_CODE: u64 = 7;
const MOST_PARTITIONS: u32 = 6;
/// 31 of the five bits would mean another code.
const LARGEST_PARAMETER: u32 = 30;

/// The most channels that FLAC holds.
pub(super) const MOST_CHANNELS: usize = 8;
/// The highest sample rate that every reader of FLAC takes (RFC 9639 knows higher ones, symphonia does not).
pub(super) const HIGHEST_RATE: u32 = 655_350;

/// Encodes samples of `bits` bits (16 or 24), `channels x [samples]`, all channels of one length.
pub(super) fn encode(channels: &[Vec<i32>], sample_rate: u32, bits: u32) -> Vec<u8> {
    debug_assert!(matches!(bits, 16 | 24) && sample_rate <= HIGHEST_RATE);
    debug_assert!((1..=MOST_CHANNELS).contains(&channels.len()));
    let samples = channels.first().map_or(0, Vec::len);
    let mut frames = Vec::new();
    let (mut shortest, mut longest) = (usize::MAX, 0);
    for (number, start) in (0..samples).step_by(BLOCK).enumerate() {
        let end = samples.min(start + BLOCK);
        let begin = frames.len();
        frame(&mut frames, number as u64, channels, start..end, bits);
        shortest = shortest.min(frames.len() - begin);
        longest = longest.max(frames.len() - begin);
    }
    let mut head = Bits::default();
    head.put(0x664c_6143, 32); // "fLaC"
    head.put(0x80, 8); // the only block of metadata, and its kind: the description of the stream
    head.put(34, 24);
    head.put(BLOCK as u64, 16);
    head.put(BLOCK as u64, 16);
    head.put(if samples == 0 { 0 } else { shortest as u64 }, 24);
    head.put(longest as u64, 24);
    head.put(u64::from(sample_rate), 20);
    head.put(channels.len() as u64 - 1, 3);
    head.put(u64::from(bits) - 1, 5);
    head.put(samples as u64 >> 18, 18);
    head.put(samples as u64 & 0x3_ffff, 18);
    let mut bytes = head.bytes;
    bytes.extend_from_slice(&checksum(channels, bits));
    bytes.append(&mut frames);
    bytes
}

/// MD5 of the samples, interleaved, the least significant byte first.
fn checksum(channels: &[Vec<i32>], bits: u32) -> [u8; 16] {
    let width = bits as usize / 8;
    let mut hasher = Md5::new();
    let mut buffer = Vec::with_capacity(BLOCK * width * channels.len());
    let samples = channels.first().map_or(0, Vec::len);
    for start in (0..samples).step_by(BLOCK) {
        buffer.clear();
        for index in start..samples.min(start + BLOCK) {
            for channel in channels {
                buffer.extend_from_slice(&channel[index].to_le_bytes()[..width]);
            }
        }
        hasher.update(&buffer);
    }
    hasher.finalize().into()
}

fn frame(
    bytes: &mut Vec<u8>,
    number: u64,
    channels: &[Vec<i32>],
    range: std::ops::Range<usize>,
    bits: u32,
) {
    let mut out = Bits::default();
    out.put(0xfff8, 16); // the sync code, and blocks of one size
    let full = range.len() == BLOCK;
    out.put(if full { BLOCK_CODE } else { SHORT_BLOCK_CODE }, 4);
    out.put(0, 4); // the sample rate stands in the description
    out.put(channels.len() as u64 - 1, 4); // each channel on its own
    out.put(if bits == 16 { 0b1000 } else { 0b1100 }, 4); // sample size, and a zero
    put_number(&mut out, number);
    if !full {
        out.put(range.len() as u64 - 1, 16);
    }
    let check = crc8(&out.bytes);
    out.put(u64::from(check), 8);
    for channel in channels {
        subframe(&mut out, &channel[range.clone()], bits);
    }
    out.align();
    let check = crc16(&out.bytes);
    out.put(u64::from(check), 16);
    bytes.extend_from_slice(&out.bytes);
}

/// A number as UTF-8 would write a character of up to 36 bits.
fn put_number(out: &mut Bits, number: u64) {
    if number < 0x80 {
        return out.put(number, 8);
    }
    // n bytes behind the first carry 6 bits each, the first what is left of its 8.
    let behind = (1..=6).find(|n| number < 1 << (6 * n + 6 - n)).unwrap_or(6);
    let marker = 0xff ^ (0xff >> (behind + 1));
    out.put((marker & 0xff) | (number >> (6 * behind)), 8);
    for index in (0..behind).rev() {
        out.put(0x80 | ((number >> (6 * index)) & 0x3f), 8);
    }
}

fn subframe(out: &mut Bits, samples: &[i32], bits: u32) {
    if samples.iter().all(|sample| *sample == samples[0]) {
        out.put(0, 8);
        out.put_signed(samples[0], bits);
        return;
    }
    // Recordings of 8 bits that were converted to 16: what is zero in all samples is said once (9.2.2).
    let wasted = samples.iter().fold(0, |all, sample| all | sample).trailing_zeros();
    let shifted: Vec<i32> = samples.iter().map(|sample| sample >> wasted).collect();
    let (samples, bits) = (&shifted[..], bits - wasted);
    let mut kind = |kind: usize| {
        out.put((kind as u64) << 1 | u64::from(wasted > 0), 8);
        if wasted > 0 {
            out.put(1, wasted);
        }
    };
    let mut best = fixed(samples, bits);
    for order in LINEAR_ORDERS {
        let fitted = linear(samples, order, bits);
        if let Some(fitted) = fitted.filter(|fitted| fitted.bits < best.bits) {
            best = fitted;
        }
    }
    if best.bits >= samples.len() as u64 * u64::from(bits) {
        kind(1);
        for &sample in samples {
            out.put_signed(sample, bits);
        }
        return;
    }
    let order = best.order;
    kind(if best.predictor.is_some() { 0b10_0000 | (order - 1) } else { 0b1000 | order });
    for &sample in &samples[..order] {
        out.put_signed(sample, bits);
    }
    if let Some(predictor) = &best.predictor {
        out.put(u64::from(Predictor::BITS) - 1, 4);
        out.put(u64::from(predictor.shift), 5);
        for &coefficient in &predictor.coefficients {
            out.put_signed(coefficient, Predictor::BITS);
        }
    }
    best.plan.write(out, &best.codes, order, samples.len());
}

/// The orders of fitted predictors that are tried; up to 12 every reader must know.
const LINEAR_ORDERS: [usize; 3] = [4, 8, 12];

/// A way to write a block.
struct Coded {
    order: usize,
    /// Fitted, or else fixed.
    predictor: Option<Predictor>,
    /// Of the residuals.
    codes: Vec<u64>,
    plan: Plan,
    /// Of everything but the byte that names the way.
    bits: u64,
}

impl Coded {
    fn new(
        residuals: &[i64],
        order: usize,
        predictor: Option<Predictor>,
        block: usize,
        bits: u32,
    ) -> Self {
        let codes: Vec<u64> = residuals.iter().map(|&r| ((r << 1) ^ (r >> 63)) as u64).collect();
        let plan = Plan::of(&codes, order, block);
        let coefficients =
            predictor.as_ref().map_or(0, |_| 9 + order as u64 * u64::from(Predictor::BITS));
        let bits = plan.bits + order as u64 * u64::from(bits) + coefficients;
        Self { order, predictor, codes, plan, bits }
    }
}

fn fixed(samples: &[i32], bits: u32) -> Coded {
    let mut residual: Vec<i64> = samples.iter().map(|&sample| i64::from(sample)).collect();
    let (mut best, mut order) = (residual.clone(), 0);
    let weigh = |residual: &[i64]| residual.iter().map(|r| r.unsigned_abs()).sum::<u64>();
    let mut least = weigh(&residual);
    for candidate in 1..=4.min(samples.len() - 1) {
        for index in (1..residual.len()).rev() {
            residual[index] -= residual[index - 1];
        }
        residual.remove(0);
        let weight = weigh(&residual);
        if weight < least {
            (least, order) = (weight, candidate);
            best.clone_from(&residual);
        }
    }
    Coded::new(&best, order, None, samples.len(), bits)
}

/// `None` where no predictor can be fitted, or one misses by more than FLAC allows.
fn linear(samples: &[i32], order: usize, bits: u32) -> Option<Coded> {
    let predictor = Predictor::fit(samples, order)?;
    let residuals = predictor.residuals(samples);
    let allowed = residuals.iter().all(|residual| residual.unsigned_abs() < 1 << 31);
    allowed.then(|| Coded::new(&residuals, order, Some(predictor), samples.len(), bits))
}

/// How the residuals of a block are coded.
struct Plan {
    partition_order: u32,
    parameters: Vec<u32>,
    /// Of all of it.
    bits: u64,
}

impl Plan {
    fn of(codes: &[u64], order: usize, block: usize) -> Self {
        let plans = (0..=MOST_PARTITIONS).filter_map(|partition_order| {
            let count = 1usize << partition_order;
            let fits = block.is_multiple_of(count) && block / count > order;
            fits.then(|| {
                let mut plan =
                    Plan { partition_order, parameters: Vec::with_capacity(count), bits: 6 };
                for part in parts(codes, order, block, partition_order) {
                    let (parameter, bits) = best_parameter(part);
                    plan.parameters.push(parameter);
                    plan.bits += 5 + bits;
                }
                plan
            })
        });
        // One partition always fits; of equals the first is taken.
        plans.min_by_key(|plan| plan.bits).unwrap_or(Plan {
            partition_order: 0,
            parameters: vec![0],
            bits: u64::MAX / 2,
        })
    }

    fn write(&self, out: &mut Bits, codes: &[u64], order: usize, block: usize) {
        // Parameters of four bits where they suffice.
        let wide = self.parameters.iter().any(|&parameter| parameter >= 15);
        out.put(u64::from(wide), 2);
        out.put(u64::from(self.partition_order), 4);
        let partitions = parts(codes, order, block, self.partition_order);
        for (part, &parameter) in partitions.zip(&self.parameters) {
            out.put(u64::from(parameter), if wide { 5 } else { 4 });
            for &code in part {
                out.put_zeros(code >> parameter);
                out.put((1 << parameter) | (code & ((1 << parameter) - 1)), parameter + 1);
            }
        }
    }
}

/// The codes of each partition; the first lacks those that the predictor needs to begin with.
fn parts(
    codes: &[u64],
    order: usize,
    block: usize,
    partition_order: u32,
) -> impl Iterator<Item = &[u64]> {
    let size = block >> partition_order;
    (0..1usize << partition_order).map(move |index| {
        let start = (index * size).saturating_sub(order);
        &codes[start..(index + 1) * size - order]
    })
}

/// The Rice parameter that makes these codes shortest, and their bits.
fn best_parameter(codes: &[u64]) -> (u32, u64) {
    let count = codes.len() as u64;
    let mean = codes.iter().sum::<u64>() / count.max(1);
    let guess = mean.max(1).ilog2().min(LARGEST_PARAMETER);
    let size = |k: u32| count * u64::from(k + 1) + codes.iter().map(|code| code >> k).sum::<u64>();
    (guess.saturating_sub(1)..=LARGEST_PARAMETER.min(guess + 1))
        .map(|k| (k, size(k)))
        .min_by_key(|&(_, bits)| bits)
        .unwrap_or((0, size(0)))
}

/// Bits, the most significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    /// The lowest `count` bits of `value`, at most 32.
    fn put(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 32 && value >> count == 0, "{value} in {count} bits");
        self.held = (self.held << count) | value;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.held >> self.count) as u8);
        }
        self.held &= (1 << self.count) - 1;
    }

    fn put_signed(&mut self, value: i32, count: u32) {
        self.put(u64::from(value as u32) & ((1 << count) - 1), count);
    }

    fn put_zeros(&mut self, mut count: u64) {
        while count > 32 {
            self.put(0, 32);
            count -= 32;
        }
        self.put(0, count as u32);
    }

    /// Zeros up to the next byte.
    fn align(&mut self) {
        self.put(0, (8 - self.count) % 8);
    }
}

/// x^8 + x^2 + x + 1.
fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| (crc << 1) ^ if crc & 0x80 != 0 { 0x07 } else { 0 })
    })
}

/// x^16 + x^15 + x^2 + 1.
fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut crc = (index as u16) << 8;
            let mut bit = 0;
            while bit < 8 {
                crc = (crc << 1) ^ if crc & 0x8000 != 0 { 0x8005 } else { 0 };
                bit += 1;
            }
            table[index] = crc;
            index += 1;
        }
        table
    };
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_signal::{Random, decode_audio};
    use std::path::Path;

    /// Decoded by symphonia, which verifies the checks of each frame and the MD5 of the whole.
    fn round_trip(channels: &[Vec<i32>], rate: u32, bits: u32) -> usize {
        let bytes = encode(channels, rate, bits);
        let size = bytes.len();
        let audio = decode_audio(bytes, Path::new("test.flac"), None).unwrap();
        assert_eq!(audio.sample_rate, rate);
        assert_eq!(audio.channels.len(), channels.len());
        let scale = (1i64 << (bits - 1)) as f32;
        for (decoded, channel) in audio.channels.iter().zip(channels) {
            let expected: Vec<f32> = channel.iter().map(|&x| x as f32 / scale).collect();
            let differs = decoded.iter().zip(&expected).position(|(a, b)| a != b);
            assert_eq!(
                (decoded.len(), differs),
                (expected.len(), None),
                "{bits} bits, {rate} Hz, {:?}",
                &channel[..4.min(channel.len())]
            );
        }
        size
    }

    fn sound(seed: u64, samples: usize, level: f64, noise: f64) -> Vec<i32> {
        let mut random = Random::from_key(&[seed]);
        (0..samples)
            .map(|i| {
                let tone = (i as f64 * 0.05).sin() * (i as f64 * 0.0007).sin();
                (level * tone + noise * random.normal()).clamp(-level, level) as i32
            })
            .collect()
    }

    #[test]
    fn every_length_around_a_block_comes_back() {
        for samples in (1..40).chain([4095, 4096, 4097, 4098, 8191, 8192, 20_000]) {
            round_trip(&[sound(1, samples, 20_000.0, 30.0)], 16_000, 16);
        }
    }

    #[test]
    fn silence_full_scale_noise_and_both_widths_come_back() {
        let full = |bits: u32, seed| {
            let mut random = Random::from_key(&[seed]);
            let half = 1i64 << (bits - 1);
            (0..10_000).map(|_| (random.below(2 * half as u64) as i64 - half) as i32).collect()
        };
        for bits in [16, 24] {
            let (low, high) = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
            let cases: Vec<Vec<Vec<i32>>> = vec![
                vec![vec![0; 9000]],
                vec![vec![low; 5000]],
                vec![full(bits, 3)],
                vec![(0..9000).map(|i| if i % 2 == 0 { low } else { high }).collect()],
                vec![(0..9000).map(|i| if i == 4321 { high } else { 0 }).collect()],
                vec![
                    (0..9000).map(|i| (f64::from(high) * (i as f64 * 0.3).sin()) as i32).collect(),
                ],
                vec![sound(6, 9000, 100.0, 3.0).iter().map(|x| x << 8).collect()],
                vec![(0..9000).map(|i| if i == 7 { low } else { 0 }).collect()],
                vec![(0..9000).map(|i| if i / 50 % 2 == 0 { low } else { high }).collect()],
                vec![sound(5, 10_000, f64::from(high), 1e3), full(bits, 4), vec![7; 10_000]],
                (0..8).map(|seed| sound(seed, 4100, 9000.0, 10.0)).collect(),
            ];
            for (case, channels) in cases.iter().enumerate() {
                for rate in [8000, 44_100, HIGHEST_RATE] {
                    assert!(round_trip(channels, rate, bits) > 42, "{case}");
                }
            }
        }
    }

    #[test]
    fn frame_numbers_of_every_length_are_written() {
        for (number, bytes) in [
            (0x7f, vec![0x7f]),
            (0x80, vec![0xc2, 0x80]),
            (0x7ff, vec![0xdf, 0xbf]),
            (0x800, vec![0xe0, 0xa0, 0x80]),
            (0xffff, vec![0xef, 0xbf, 0xbf]),
            (0x1_0000, vec![0xf0, 0x90, 0x80, 0x80]),
            (0x1f_ffff, vec![0xf7, 0xbf, 0xbf, 0xbf]),
            (0x20_0000, vec![0xf8, 0x88, 0x80, 0x80, 0x80]),
            (0x400_0000, vec![0xfc, 0x84, 0x80, 0x80, 0x80, 0x80]),
        ] {
            let mut out = Bits::default();
            put_number(&mut out, number);
            assert_eq!(out.bytes, bytes, "{number:#x}");
        }
        // Many frames, so that the number has two bytes.
        round_trip(&[sound(9, 140 * BLOCK, 3000.0, 20.0)], 8000, 16);
    }

    #[test]
    fn a_smooth_sound_becomes_small() {
        let samples = sound(2, 100_000, 12_000.0, 4.0);
        let size = round_trip(&[samples], 16_000, 16);
        // With the fixed predictors alone it would be 79,000.
        assert!(size < 61_000, "{size} bytes of 200,000");
    }
}
