//! FLAC, decoded fast; what is not read here without doubt, a careful decoder decides.
//!
//! A corpus of FLAC is decoded once in every epoch, and most of a loader's time goes there. symphonia
//! takes 22 ns for a sample of speech, a third of it for the MD5 of all samples; this decoder takes a
//! quarter of that (`bench/corpus`). It reads what speech corpora hold: up to 8 channels of up to 24 bits, with
//! the number of samples in the header. Of what is read everything is checked but the MD5: each frame's
//! checksums and number, the padding between the bits, and that the samples are as many as announced.
//! Where anything does not fit, or is of a kind not read here, [`foreign::decode_flac`] reads the file
//! again, and its judgement is what counts.

mod bits;
mod checksum;
mod frame;

use crate::audio::Audio;
use crate::foreign;
use crate::source::Fault;
use frame::Stream;

/// Decodes a whole file.
pub(crate) fn decode(mut bytes: Vec<u8>) -> Result<Audio, Fault> {
    let length = bytes.len();
    bytes.extend([0; bits::PADDING]);
    match fast(&bytes, length) {
        Some(audio) => Ok(audio),
        None => {
            bytes.truncate(length);
            foreign::decode_flac(bytes)
        }
    }
}

/// Decodes the first `length` bytes, behind which there is padding. `None` where anything is not as it
/// should be.
fn fast(bytes: &[u8], length: usize) -> Option<Audio> {
    let (stream, announced, mut place) = metadata(bytes)?;
    // A header may lie about what follows: memory is taken as samples come, but for a plausible start.
    let room = announced.min(length.saturating_mul(8));
    let mut channels: Vec<Vec<f32>> =
        (0..stream.channels).map(|_| Vec::with_capacity(room)).collect();
    let mut block = vec![Vec::new(); stream.channels];
    // Full scale is 1, as for every other format of integers; exact, since it is a power of two.
    let scale = 1.0 / (1u32 << (stream.width - 1)) as f32;
    let (mut number, mut decoded) = (0, 0);
    while place < length {
        place = frame::decode(bytes, place, &stream, number, decoded as u64, &mut block)?;
        for (channel, samples) in channels.iter_mut().zip(&block) {
            channel.extend(samples.iter().map(|&sample| sample as f32 * scale));
        }
        number += 1;
        decoded = channels[0].len();
        if decoded > announced {
            return None;
        }
    }
    let whole = place == length && decoded == announced;
    whole.then_some(Audio { sample_rate: stream.sample_rate, channels })
}

/// What STREAMINFO says, the samples announced, and where the first frame begins.
fn metadata(bytes: &[u8]) -> Option<(Stream, usize, usize)> {
    let mut place = 4;
    let mut found = None;
    if !bytes.starts_with(b"fLaC") {
        return None;
    }
    loop {
        let &[kind, a, b, c] = bytes.get(place..place + 4)?.first_chunk()?;
        let block = bytes.get(place + 4..)?.get(..u32::from_be_bytes([0, a, b, c]) as usize)?;
        place += 4 + block.len();
        if place == 4 + 4 + 34 && kind & 0x7f == 0 {
            // After the sizes of blocks and frames: 20 bits of sample rate, 3 of channels, 5 of width,
            // 36 of samples.
            let numbers = u64::from_be_bytes(*block.get(10..)?.first_chunk()?);
            let width = (numbers >> 36 & 31) as u32 + 1;
            let channels = (numbers >> 41 & 7) as usize + 1;
            let announced = usize::try_from(numbers & ((1 << 36) - 1)).ok()?;
            let sample_rate = (numbers >> 44) as u32;
            let read_here = width <= 24 && announced > 0 && sample_rate > 0;
            found = read_here.then_some((Stream { sample_rate, channels, width }, announced));
        }
        let (stream, announced) = found?;
        if kind & 0x80 != 0 {
            return Some((stream, announced, place));
        }
    }
}

#[cfg(test)]
mod tests;
