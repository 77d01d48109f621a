//! MP3: the frames are walked one by one, so that a break is seen, then decoded by symphonia.
//!
//! An MP3 is a row of frames, each beginning with 11 set bits and telling its own length; nothing
//! says how many there are, except the note that most encoders leave in the first frame (Xing,
//! Info or VBRI). Where that note is present, its count must be reached, and the encoder's delay
//! and padding are cut off ("gapless": the note's delay plus the decoder's own 529 samples); where
//! it is absent, the recording keeps about 25 to 50 ms of silence at its start. Bytes between
//! frames that are no frame and no tag mean that the file is broken, and a last frame that is not
//! whole means that it was cut short.

use symphonia::core::codecs::audio::well_known::CODEC_ID_MP3;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoderOptions};
use symphonia::core::packet::PacketRef;
use symphonia::core::units::{Duration, Timestamp};

use crate::audio::Audio;
use crate::foreign::{Collector, explain, guarded};
use crate::source::Fault;

/// What a decoder itself delays, by the standard's filterbanks.
const DECODER_DELAY: usize = 529;

/// Bytes before the first frame that are skipped in search of it.
const MAX_JUNK: usize = 64 * 1024;

/// The fields of one frame's header.
#[derive(Clone, Copy, PartialEq)]
struct FrameHeader {
    /// 3 = MPEG 1, 2 = MPEG 2, 0 = MPEG 2.5.
    version: u8,
    sample_rate: u32,
    mono: bool,
    length: usize,
}

/// Kilobits per second by the header's index, layer III.
const RATES_MPEG1: [usize; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
const RATES_MPEG2: [usize; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

impl FrameHeader {
    /// The header at the start of `bytes`, if a layer III frame begins there.
    fn parse(bytes: &[u8]) -> Option<FrameHeader> {
        let &[first, second, third, fourth, ..] = bytes else { return None };
        if first != 0xff || second & 0xe0 != 0xe0 {
            return None;
        }
        let version = (second >> 3) & 3;
        let layer = (second >> 1) & 3;
        // Version 1 is reserved; layer III is coded as 1.
        if version == 1 || layer != 1 {
            return None;
        }
        let rates = if version == 3 { &RATES_MPEG1 } else { &RATES_MPEG2 };
        // Index 0 is the free format, whose length no header tells; 15 is invalid.
        let kilobits = *rates.get(usize::from(third >> 4)).filter(|rate| **rate > 0)?;
        let base = *[44_100, 48_000, 32_000].get(usize::from((third >> 2) & 3))?;
        let sample_rate = match version {
            3 => base,
            2 => base / 2,
            _ => base / 4,
        };
        let padding = usize::from((third >> 1) & 1);
        let bytes_per_rate = if version == 3 { 144_000 } else { 72_000 };
        Some(FrameHeader {
            version,
            sample_rate,
            mono: fourth >> 6 == 3,
            length: bytes_per_rate * kilobits / sample_rate as usize + padding,
        })
    }

    /// Whether another frame can belong to the same stream.
    fn continues(&self, other: &FrameHeader) -> bool {
        (self.version, self.sample_rate, self.mono)
            == (other.version, other.sample_rate, other.mono)
    }

    fn samples(&self) -> usize {
        if self.version == 3 { 1152 } else { 576 }
    }
}

/// The offset of the first frame that is followed by another (or by the end).
fn first_frame(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len().min(MAX_JUNK)).find(|&offset| {
        let Some(header) = FrameHeader::parse(&bytes[offset..]) else { return false };
        match bytes.get(offset + header.length..) {
            Some(rest) if rest.len() >= 4 => {
                FrameHeader::parse(rest).is_some_and(|next| next.continues(&header))
            }
            // The end of the file or of the piece at hand.
            _ => offset == 0,
        }
    })
}

/// Whether the first bytes of a file look like an MP3 without a tag.
pub(crate) fn finds_frames(head: &[u8]) -> bool {
    FrameHeader::parse(head).is_some() && first_frame(head) == Some(0)
}

/// Cuts ID3v2 tags off the front.
pub(crate) fn without_id3(mut bytes: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let mut start = 0;
    while bytes[start..].starts_with(b"ID3") {
        let length = bytes.get(start + 6..start + 10).map(|size| {
            // Four bytes of seven bits each; a footer has the length of the header.
            let body = size.iter().fold(0, |sum, &byte| (sum << 7) | usize::from(byte & 0x7f));
            let footer = if bytes[start + 5] & 0x10 != 0 { 10 } else { 0 };
            10 + body + footer
        });
        match length {
            Some(length) if start + length < bytes.len() => start += length,
            _ => {
                return Err(Fault::new(
                    "was cut short within its ID3 tag, before any sound; copy it again",
                ));
            }
        }
    }
    bytes.drain(..start);
    Ok(bytes)
}

/// Tags and padding that may follow the last frame.
fn is_trailer(rest: &[u8]) -> bool {
    rest.starts_with(b"TAG")
        || rest.starts_with(b"APETAGEX")
        || rest.starts_with(b"LYRICSBEGIN")
        || rest.starts_with(b"ID3")
        || rest.starts_with(b"3DI")
        || rest.iter().all(|&byte| byte == 0)
}

/// The frames, in order, and where each begins.
fn frames(bytes: &[u8]) -> Result<Vec<(FrameHeader, &[u8])>, Fault> {
    let mut offset = first_frame(bytes).ok_or_else(|| {
        Fault::new("has no MP3 frames; convert it from its source (ffmpeg -i FILE FILE.wav)")
    })?;
    let mut frames: Vec<(FrameHeader, &[u8])> = Vec::new();
    while offset < bytes.len() {
        let rest = &bytes[offset..];
        let header = FrameHeader::parse(rest)
            .filter(|header| frames.first().is_none_or(|(first, _)| first.continues(header)));
        let Some(header) = header else {
            if is_trailer(rest) {
                break;
            }
            if rest.len() < 4 {
                return Err(cut(&frames));
            }
            return Err(Fault::new(format!(
                "is a broken MP3 (no frame begins at byte {offset}, at {:.2} s); copy it again, \
                 or keep what can be saved (ffmpeg -i FILE FILE.wav)",
                seconds(&frames)
            )));
        };
        let frame = rest.get(..header.length).ok_or_else(|| cut(&frames))?;
        frames.push((header, frame));
        offset += header.length;
    }
    Ok(frames)
}

fn seconds(frames: &[(FrameHeader, &[u8])]) -> f64 {
    frames.first().map_or(0.0, |(first, _)| {
        (frames.len() * first.samples()) as f64 / f64::from(first.sample_rate)
    })
}

fn cut(frames: &[(FrameHeader, &[u8])]) -> Fault {
    Fault::new(format!(
        "was cut short: its last MP3 frame, at {:.2} s, is not whole; copy it again, or keep what \
         is there (ffmpeg -i FILE FILE.wav)",
        seconds(frames)
    ))
}

/// What the encoder noted in the first frame.
struct Note {
    /// Number of frames that follow it.
    frames: Option<usize>,
    /// Samples added by the encoder at the start and at the end.
    delay_and_padding: Option<(usize, usize)>,
}

impl Note {
    fn parse(header: &FrameHeader, frame: &[u8]) -> Option<Note> {
        let number = |offset: usize| {
            let bytes: [u8; 4] = frame.get(offset..offset + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(bytes)).ok()
        };
        let at = |offset: usize, magic: &[u8]| {
            frame.get(offset..).is_some_and(|rest| rest.starts_with(magic))
        };
        if at(36, b"VBRI") {
            return Some(Note { frames: number(36 + 14), delay_and_padding: None });
        }
        // The note takes the place of the sound, behind the header and the side information.
        let start = match (header.version == 3, header.mono) {
            (true, false) => 36,
            (true, true) | (false, false) => 21,
            (false, true) => 13,
        };
        if !at(start, b"Xing") && !at(start, b"Info") {
            return None;
        }
        let flags = number(start + 4)?;
        let mut offset = start + 8;
        let mut frames = None;
        for (bit, length) in [(1, 4), (2, 4), (4, 100), (8, 4)] {
            if flags & bit != 0 {
                if bit == 1 {
                    frames = number(offset);
                }
                offset += length;
            }
        }
        // The encoder's name has nine bytes; twelve more fields follow before the delays, of
        // twelve bits each.
        let named = at(offset, b"LAME") || at(offset, b"Lav");
        let delay_and_padding = match frame.get(offset + 21..offset + 24) {
            Some(&[high, middle, low]) if named => Some((
                usize::from(high) << 4 | usize::from(middle >> 4),
                usize::from(middle & 15) << 8 | usize::from(low),
            )),
            _ => None,
        };
        Some(Note { frames, delay_and_padding })
    }
}

/// Decodes a whole MP3, tags at its front already removed.
pub(crate) fn decode(bytes: &[u8]) -> Result<Audio, Fault> {
    let mut frames = frames(bytes)?;
    let note = frames.first().and_then(|(header, frame)| Note::parse(header, frame));
    if note.is_some() {
        frames.remove(0);
    }
    let Some(&(first, _)) = frames.first() else {
        return Err(Fault::new("has no samples; record it again or leave it out"));
    };
    if let Some(announced) = note.as_ref().and_then(|note| note.frames)
        && frames.len() < announced
    {
        return Err(Fault::new(format!(
            "was cut short: its header announces {announced} MP3 frames, but only {} are there; \
             copy it again",
            frames.len()
        )));
    }
    let mut audio = guarded(|| decode_frames(&frames))?;
    if let Some((delay, padding)) = note.as_ref().and_then(|note| note.delay_and_padding) {
        let announced = note.and_then(|note| note.frames).unwrap_or(frames.len());
        let start = delay + DECODER_DELAY;
        let end =
            (announced * first.samples()).saturating_sub(padding.saturating_sub(DECODER_DELAY));
        for channel in &mut audio.channels {
            // Frames beyond the announced ones (joined files) are kept.
            if frames.len() == announced {
                channel.truncate(end);
            }
            channel.drain(..start.min(channel.len()));
        }
    }
    Ok(audio)
}

fn decode_frames(frames: &[(FrameHeader, &[u8])]) -> Result<Audio, Fault> {
    let broken = |seconds: f64, error: &symphonia::core::errors::Error| {
        Fault::new(format!(
            "is a broken MP3 (at {seconds:.2} s: {}); copy it again, or keep what can be saved \
             (ffmpeg -i FILE FILE.wav)",
            explain(error)
        ))
    };
    let mut parameters = AudioCodecParameters::new();
    parameters.for_codec(CODEC_ID_MP3);
    let options = AudioDecoderOptions::default().gapless(false);
    let mut collector =
        Collector::new(&parameters, options).map_err(|error| broken(0.0, &error))?;
    for (header, frame) in frames {
        let at = collector.seconds();
        let duration = Duration::new(header.samples() as u64);
        let packet = PacketRef::new(0, Timestamp::new(collector.samples() as i64), duration, frame);
        collector.push(&packet).map_err(|error| broken(at, &error))?;
    }
    Ok(collector.finish().0)
}
