//! FLAC, by the fast decoder; what it does not read without doubt, the careful one decides.
//!
//! A corpus of FLAC is decoded once in every epoch, and most of a loader's time goes there. claxon
//! needs half of symphonia's time (`bench/corpus`), a third of which is the MD5 of all samples. We do
//! without that sum here: each frame has its own checksum (CRC-16), and that none is missing or out of
//! place is seen from their numbers and from the number of samples in the header. Where anything does not fit,
//! or claxon lacks a feature, [`crate::foreign::decode_flac`] reads the file again, and its
//! judgement, MD5 included, is what counts.

use claxon::FlacReader;

use crate::audio::Audio;
use crate::foreign;
use crate::source::Fault;

/// Decodes a whole file.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<Audio, Fault> {
    match foreign::guarded(|| Ok(fast(&bytes))) {
        Ok(Some(audio)) => Ok(audio),
        _ => foreign::decode_flac(bytes),
    }
}

/// `None` where anything is not as it should be.
fn fast(bytes: &[u8]) -> Option<Audio> {
    let mut reader = FlacReader::new(bytes).ok()?;
    let info = reader.streaminfo();
    let announced = info.samples.filter(|samples| *samples > 0)?;
    let (width, channels) = (info.bits_per_sample, info.channels as usize);
    // A header may lie about what follows: memory is taken as samples come, but for a plausible start.
    let room = usize::try_from(announced).ok()?.min(bytes.len().saturating_mul(8));
    let mut planes: Vec<Vec<f32>> = (0..channels).map(|_| Vec::with_capacity(room)).collect();
    // Full scale is 1, as for every other format of integers; exact, since it is a power of two.
    let scale = (-(f64::from(width) - 1.0)).exp2() as f32;
    let mut blocks = reader.blocks();
    let (mut buffer, mut number) = (Vec::new(), 0u64);
    while let Some(block) = blocks.read_next_or_eof(buffer).ok()? {
        let (here, length) = (planes.first()?.len() as u64, u64::from(block.duration()));
        // Streams with blocks of one size count blocks, and claxon takes the size of this one for
        // that of all: in the last block, which may be shorter, that gives number · length.
        let in_place = block.time() == here || block.time() == number * length;
        if !in_place || block.channels() as usize != channels {
            return None;
        }
        for (channel, plane) in (0u32..).zip(&mut planes) {
            plane.extend(block.channel(channel).iter().map(|&sample| sample as f32 * scale));
        }
        number += 1;
        buffer = block.into_buffer();
    }
    let whole = planes.first().is_some_and(|plane| plane.len() as u64 == announced);
    whole.then_some(Audio { sample_rate: info.sample_rate, channels: planes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/");
        std::fs::read(format!("{folder}{name}")).unwrap()
    }

    /// Both decoders give the same samples, to the bit.
    #[test]
    fn the_fast_decoder_is_the_careful_one() {
        for name in ["tone.flac", "stereo24.flac"] {
            let bytes = fixture(name);
            let fast = fast(&bytes).unwrap();
            assert_eq!(fast, foreign::decode_flac(bytes).unwrap(), "{name}");
            assert!(fast.samples() > 1000);
        }
    }

    /// Wherever a byte is changed among the frames, the fast decoder hands the file on, or finds the
    /// same samples as before; cut files it always hands on.
    #[test]
    fn what_is_damaged_is_left_to_the_careful_decoder() {
        let bytes = fixture("tone.flac");
        let whole = fast(&bytes).unwrap();
        let mut handed_on = 0;
        for place in (42..bytes.len()).step_by(bytes.len() / 300) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            match foreign::guarded(|| Ok(fast(&damaged))) {
                Ok(Some(audio)) => assert_eq!(audio, whole, "byte {place}"),
                _ => handed_on += 1,
            }
            let cut = foreign::guarded(|| Ok(fast(&bytes[..place])));
            assert!(!matches!(cut, Ok(Some(_))), "cut at {place}");
        }
        assert!(handed_on > 150, "{handed_on}");
    }

    /// A frame taken out, doubled, or in another's place has its checksum right.
    #[test]
    fn frames_out_of_place_are_noticed() {
        let bytes = fixture("tone.flac");
        // A frame begins with these two bytes; this file has two, and the bytes nowhere else.
        let places: Vec<usize> = (42..bytes.len() - 1)
            .filter(|&place| bytes[place..place + 2] == [0xff, 0xf8])
            .collect();
        let [first, second] = places[..] else { panic!("{places:?}") };
        let out = [&bytes[..first], &bytes[second..]].concat();
        let double = [&bytes[..second], &bytes[first..]].concat();
        let swapped = [&bytes[..first], &bytes[second..], &bytes[first..second]].concat();
        for changed in [out, double, swapped] {
            assert!(fast(&changed).is_none());
        }
    }
}
