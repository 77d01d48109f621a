//! One frame: a header, and for each channel a prediction with what is left of the samples.
//!
//! A subframe predicts each sample from the ones before it, x̂ₙ = (Σ cᵢ xₙ₋ᵢ) >> shift, and stores the
//! differences in Rice codes, which take few bits where they are small. Stereo may be stored as one channel and
//! the difference of both. Everything is in integers, so that decoding gives back every bit.
//! Source: RFC 9639, sections 9 and 10.

use super::bits::Bits;
use super::checksum::{crc8, crc16};

/// The sample rates that have a code of their own, from code 1.
const RATES: [u32; 11] =
    [88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000];

/// What STREAMINFO says of all frames.
#[derive(Clone, Copy)]
pub(super) struct Stream {
    pub(super) sample_rate: u32,
    pub(super) channels: usize,
    /// Of a sample, at most 24.
    pub(super) width: u32,
}

/// What a header says of its frame.
struct Header {
    /// Samples in each channel.
    length: usize,
    /// How the channels are stored.
    assignment: u32,
}

/// Decodes the frame that begins at byte `begin`, the `number`-th of its stream with `before` samples
/// before it, to the channels of `block`. Returns the byte behind it, or `None` where anything is amiss.
pub(super) fn decode(
    bytes: &[u8],
    begin: usize,
    stream: &Stream,
    number: u64,
    before: u64,
    block: &mut [Vec<i32>],
) -> Option<usize> {
    let mut bits = Bits::new(bytes, begin);
    let header = header(&mut bits, bytes, begin, stream, number, before)?;
    // The difference of two channels takes a bit more than each.
    let wider = match header.assignment {
        8 | 10 => Some(1),
        9 => Some(0),
        _ => None,
    };
    for (index, channel) in block.iter_mut().enumerate() {
        channel.resize(header.length, 0);
        let width = stream.width + u32::from(wider == Some(index));
        subframe(&mut bits, width, channel)?;
    }
    bits.align()?;
    bits.unsigned(16);
    let end = bits.position() / 8;
    if crc16(bytes.get(begin..end)?) != 0 {
        return None;
    }
    if let [first, second] = block {
        let pairs = first.iter_mut().zip(second);
        match header.assignment {
            8 => pairs.for_each(|(left, side)| *side = left.wrapping_sub(*side)),
            9 => pairs.for_each(|(side, right)| *side = side.wrapping_add(*right)),
            10 => pairs.for_each(|(mid, side)| {
                // The sum of both lost its last bit, which is that of the difference.
                let sum = *mid << 1 | *side & 1;
                (*mid, *side) = (sum.wrapping_add(*side) >> 1, sum.wrapping_sub(*side) >> 1);
            }),
            _ => {}
        }
    }
    Some(end)
}

fn header(
    bits: &mut Bits<'_>,
    bytes: &[u8],
    begin: usize,
    stream: &Stream,
    number: u64,
    before: u64,
) -> Option<Header> {
    let sync = bits.unsigned(15);
    let by_samples = bits.unsigned(1) == 1;
    let (length, rate) = (bits.unsigned(4), bits.unsigned(4));
    let (assignment, width) = (bits.unsigned(4), bits.unsigned(3));
    let reserved = bits.unsigned(1);
    let channels = match assignment {
        0..=7 => assignment as usize + 1,
        8..=10 => 2,
        _ => return None,
    };
    let width = match width {
        0 => stream.width,
        1 => 8,
        2 => 12,
        4 => 16,
        5 => 20,
        6 => 24,
        _ => return None,
    };
    let whole = sync == 0x7ffc && reserved == 0;
    if !whole || channels != stream.channels || width != stream.width {
        return None;
    }
    // Frames, or samples where blocks may differ in length.
    if coded_number(bits)? != if by_samples { before } else { number } {
        return None;
    }
    let length = match length {
        1 => 192,
        2..=5 => 144 << length,
        6 => bits.unsigned(8) + 1,
        7 => bits.unsigned(16) + 1,
        8..=15 => 1 << length,
        _ => return None,
    };
    let rate = match rate {
        0 => stream.sample_rate,
        1..=11 => RATES[rate as usize - 1],
        12 => bits.unsigned(8) * 1000,
        13 => bits.unsigned(16),
        14 => bits.unsigned(16) * 10,
        _ => return None,
    };
    let end = bits.position() / 8;
    let sound = bits.unsigned(8) == u32::from(crc8(bytes.get(begin..end)?));
    (sound && rate == stream.sample_rate).then_some(Header { length: length as usize, assignment })
}

/// A number of up to 36 bits in the manner of UTF-8: as many ones before the first zero as there are bytes.
fn coded_number(bits: &mut Bits<'_>) -> Option<u64> {
    let first = bits.unsigned(8);
    let ones = (first << 24).leading_ones();
    let more = match ones {
        0 => return Some(u64::from(first)),
        2..=7 => ones - 1,
        _ => return None,
    };
    let mut value = u64::from(first & (0x7f >> ones));
    for _ in 0..more {
        if bits.unsigned(2) != 0b10 {
            return None;
        }
        value = value << 6 | u64::from(bits.unsigned(6));
    }
    Some(value)
}

/// One channel of a block, whose samples have `width` bits.
fn subframe(bits: &mut Bits<'_>, width: u32, samples: &mut [i32]) -> Option<()> {
    if bits.unsigned(1) != 0 {
        return None;
    }
    let kind = bits.unsigned(6);
    // Where the last bits of all samples are 0 they are left out.
    let wasted = if bits.unsigned(1) == 1 { bits.unary(32)? + 1 } else { 0 };
    let width = width.checked_sub(wasted).filter(|&width| width > 0)?;
    match kind {
        0 => samples.fill(bits.signed(width)),
        1 => samples.iter_mut().for_each(|sample| *sample = bits.signed(width)),
        8..=12 => {
            let coefficients: &[i64] =
                [&[][..], &[1], &[2, -1], &[3, -3, 1], &[4, -6, 4, -1]][kind as usize - 8];
            warm_up(bits, width, samples.get_mut(..coefficients.len())?);
            residual(bits, samples, coefficients.len())?;
            predict(samples, coefficients, 0);
        }
        32..=63 => {
            let order = kind as usize - 31;
            warm_up(bits, width, samples.get_mut(..order)?);
            let precision = bits.unsigned(4) + 1;
            let shift = bits.signed(5);
            if precision == 16 || shift < 0 {
                return None;
            }
            let mut coefficients = [0; 32];
            for coefficient in &mut coefficients[..order] {
                *coefficient = i64::from(bits.signed(precision));
            }
            residual(bits, samples, order)?;
            predict(samples, &coefficients[..order], shift as u32);
        }
        _ => return None,
    }
    if wasted > 0 {
        samples.iter_mut().for_each(|sample| *sample <<= wasted);
    }
    Some(())
}

fn warm_up(bits: &mut Bits<'_>, width: u32, samples: &mut [i32]) {
    samples.iter_mut().for_each(|sample| *sample = bits.signed(width));
}

/// The differences from the prediction, which begin behind the first `order` samples, in parts with a
/// Rice parameter each.
fn residual(bits: &mut Bits<'_>, samples: &mut [i32], order: usize) -> Option<()> {
    let parameter_width = match bits.unsigned(2) {
        0 => 4,
        1 => 5,
        _ => return None,
    };
    let parts = 1 << bits.unsigned(4);
    let length = samples.len() / parts;
    if !samples.len().is_multiple_of(parts) || length < order {
        return None;
    }
    for part in 0..parts {
        let begin = if part == 0 { order } else { part * length };
        let samples = &mut samples[begin..(part + 1) * length];
        let parameter = bits.unsigned(parameter_width);
        // All ones: not in Rice codes, but as numbers of a fixed width.
        if parameter == (1 << parameter_width) - 1 {
            match bits.unsigned(5) {
                0 => samples.fill(0),
                width => warm_up(bits, width, samples),
            }
        } else {
            bits.rice(parameter, samples)?;
        }
    }
    Some(())
}

/// Adds its prediction to each sample behind the first ones; `coefficients` begin with that of the
/// sample just before.
fn predict(samples: &mut [i32], coefficients: &[i64], shift: u32) {
    match coefficients.len() {
        0 => {}
        1 => predict_order::<1>(samples, coefficients, shift),
        2 => predict_order::<2>(samples, coefficients, shift),
        3 => predict_order::<3>(samples, coefficients, shift),
        4 => predict_order::<4>(samples, coefficients, shift),
        5..=6 => predict_order::<6>(samples, coefficients, shift),
        7..=8 => predict_order::<8>(samples, coefficients, shift),
        9..=12 => predict_order::<12>(samples, coefficients, shift),
        _ => predict_order::<32>(samples, coefficients, shift),
    }
}

/// Where the order is smaller than `ORDER`, the first samples take a slower way until there are enough
/// before them, and the coefficients that are missing are 0.
fn predict_order<const ORDER: usize>(samples: &mut [i32], coefficients: &[i64], shift: u32) {
    let order = coefficients.len();
    for n in order..ORDER.min(samples.len()) {
        let before = samples[..n].iter().rev();
        let sum: i64 = before.zip(coefficients).map(|(&x, &c)| i64::from(x) * c).sum();
        samples[n] = samples[n].wrapping_add((sum >> shift) as i32);
    }
    // In the order of the samples, so that the newest, for which the sum must wait, comes last.
    let mut oldest_first = [0; ORDER];
    for (&coefficient, slot) in coefficients.iter().zip(oldest_first.iter_mut().rev()) {
        *slot = coefficient;
    }
    for end in ORDER..samples.len() {
        let (before, here) = samples.split_at_mut(end);
        let Some(before) = before.last_chunk::<ORDER>() else { return };
        let mut sum = 0;
        for (&sample, &coefficient) in before.iter().zip(&oldest_first) {
            sum += i64::from(sample) * coefficient;
        }
        here[0] = here[0].wrapping_add((sum >> shift) as i32);
    }
}
