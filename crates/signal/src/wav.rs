//! WAV: our own reader, because lying headers are our subject, and a writer.
//!
//! Read are RIFF, RIFX (big-endian), RF64 and BW64 with PCM of 8 to 32 bits, float of 32 and 64,
//! A-law, u-law, the extensible form of these, Microsoft's and IMA's ADPCM, and MP3 inside WAV.
//! The sizes in the header are believed only as far as the file reaches: samples announced beyond
//! its end mean that it was cut short. Programs that write into a pipe cannot know the size and
//! put 0 or a huge number there; such a file is read to its end.

use std::path::Path;

use crate::audio::{Audio, AudioError, check_rate_and_channels};
use crate::encoding::{Encoding, RawFormat};
use crate::foreign;
use crate::mp3;
use crate::source::{Fault, PcmLayout, Section, Source};

const FORMAT_PCM: u16 = 0x0001;
const FORMAT_ADPCM_MICROSOFT: u16 = 0x0002;
const FORMAT_FLOAT: u16 = 0x0003;
const FORMAT_ALAW: u16 = 0x0006;
const FORMAT_ULAW: u16 = 0x0007;
const FORMAT_ADPCM_IMA: u16 = 0x0011;
const FORMAT_MP3: u16 = 0x0055;
const FORMAT_EXTENSIBLE: u16 = 0xfffe;

/// The last 14 bytes of the extensible form's identifier; the first two are a format number.
const EXTENSIBLE_TAIL: [u8; 14] =
    [0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x80, 0x00, 0x00, 0xaa, 0x00, 0x38, 0x9b, 0x71];

/// Reads a section of a WAV file.
pub(crate) fn read(mut source: Source, section: Section) -> Result<Audio, Fault> {
    let header = Header::parse(&mut source)?;
    if let Some(encoding) = header.encoding()? {
        return header.layout(encoding)?.read(&mut source, section);
    }
    let decoded = match header.format {
        FORMAT_MP3 => mp3::decode(&source.read_at(header.data_offset, header.data_length)?)?,
        FORMAT_ADPCM_MICROSOFT | FORMAT_ADPCM_IMA => {
            foreign::decode_wav(source.into_bytes()?, header.fact)?
        }
        other => {
            return Err(Fault::new(format!(
                "is a WAV with compression number {other:#06x}, which is not read here; convert \
                 it (ffmpeg -i FILE -c:a pcm_s16le FILE.wav)"
            )));
        }
    };
    decoded.cut(section)
}

/// What the chunks before the samples say.
pub(crate) struct Header {
    big_endian: bool,
    format: u16,
    channels: u16,
    sample_rate: u32,
    block: u16,
    bits: u16,
    /// Samples per channel as announced by compressed forms.
    fact: Option<u64>,
    data_offset: u64,
    data_length: u64,
    /// The length was not known to the writer, so the samples end where the file ends.
    open_ended: bool,
}

/// Reads numbers in the byte order of the file.
struct Numbers {
    big_endian: bool,
}

impl Numbers {
    /// The unsigned number in `count` bytes at `offset`; zero where the bytes are missing.
    fn at(&self, bytes: &[u8], offset: usize, count: usize) -> u64 {
        let Some(slice) = bytes.get(offset..offset + count) else { return 0 };
        let fold = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        match self.big_endian {
            true => slice.iter().fold(0, fold),
            false => slice.iter().rev().fold(0, fold),
        }
    }
}

impl Header {
    fn parse(source: &mut Source) -> Result<Header, Fault> {
        Self::walk(source, true)?.ok_or_else(|| {
            Fault::new(
                "is a WAV without samples (the file ends before a data chunk); it was cut short: copy \
                 or record it again",
            )
        })
    }

    /// For samples that are heard while they come: what `bytes`, the beginning of a WAV, say of them, where
    /// they begin, and how many bytes there are, if the header knows. `None` if they have not begun.
    pub(crate) fn parse_head(
        bytes: &[u8],
    ) -> Result<Option<(RawFormat, usize, Option<u64>)>, Fault> {
        let Some(header) = Self::walk(&mut Source::Bytes(bytes.to_vec()), false)? else {
            return Ok(None);
        };
        let Header { sample_rate, channels, data_length, open_ended, .. } = header;
        let Some(encoding) = header.encoding()? else {
            return Err(Fault::new(format!(
                "is a WAV with compression number {:#06x}, which is not heard piece by piece; convert it \
                 (ffmpeg -i FILE -c:a pcm_s16le -f wav -)",
                header.format
            )));
        };
        let format = RawFormat { encoding, sample_rate, channels };
        let length = (!open_ended).then_some(data_length);
        Ok(Some((format, header.data_offset as usize, length)))
    }

    /// Goes from chunk to chunk up to the samples. `None` if the bytes end before them; unless they are
    /// `all` there are, a chunk that is not there whole counts as their end.
    fn walk(source: &mut Source, all: bool) -> Result<Option<Header>, Fault> {
        let top = source.read_at(0, 12)?;
        let big_endian = top.starts_with(b"RIFX");
        let numbers = Numbers { big_endian };
        let riff_length = numbers.at(&top, 4, 4);
        let mut header = Header {
            big_endian,
            format: 0,
            channels: 0,
            sample_rate: 0,
            block: 0,
            bits: 0,
            fact: None,
            data_offset: 0,
            data_length: 0,
            open_ended: false,
        };
        let mut has_format = false;
        let mut long_data_length = None;
        let mut position = 12;
        // Each round moves `position` on by at least 8, so the walk ends.
        while position + 8 <= source.len() {
            let chunk = source.read_at(position, 8)?;
            let length = numbers.at(&chunk, 4, 4);
            let body = position + 8;
            let said = if chunk.starts_with(b"data") { 0 } else { length.min(40) };
            if !all && body + said > source.len() {
                return Ok(None);
            }
            match &chunk[..4] {
                b"fmt " => {
                    let bytes = source.read_at(body, length.min(40))?;
                    header.read_format(&numbers, &bytes)?;
                    has_format = true;
                }
                b"fact" if length >= 4 => {
                    header.fact = Some(numbers.at(&source.read_at(body, 4)?, 0, 4));
                }
                b"ds64" => {
                    long_data_length = Some(numbers.at(&source.read_at(body, 16)?, 8, 8));
                }
                b"data" if !has_format => {
                    return Err(Fault::new(
                        "is a WAV whose samples come before their description (no fmt chunk \
                         before the data chunk); export it again from its source",
                    ));
                }
                b"data" => {
                    let announced = match long_data_length {
                        Some(long) if length == u64::from(u32::MAX) => long,
                        _ => length,
                    };
                    let length = if all { source.len() } else { u64::MAX };
                    header.find_samples(announced, riff_length, body, length)?;
                    return Ok(Some(header));
                }
                _ => (),
            }
            // Chunks are padded to an even length.
            position = body.saturating_add(length).saturating_add(length % 2);
        }
        Ok(None)
    }

    fn read_format(&mut self, numbers: &Numbers, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.len() < 16 {
            return Err(Fault::new(
                "is a WAV whose fmt chunk is too short; export it again from its source",
            ));
        }
        // Fields of two bytes fit in u16, of four in u32.
        self.format = numbers.at(bytes, 0, 2) as u16;
        self.channels = numbers.at(bytes, 2, 2) as u16;
        self.sample_rate = numbers.at(bytes, 4, 4) as u32;
        self.block = numbers.at(bytes, 12, 2) as u16;
        self.bits = numbers.at(bytes, 14, 2) as u16;
        if self.format == FORMAT_EXTENSIBLE {
            if bytes.get(26..40) != Some(&EXTENSIBLE_TAIL[..]) {
                return Err(Fault::new(
                    "is a WAV of the extensible form with an unknown sample format; convert it \
                     (ffmpeg -i FILE -c:a pcm_s16le FILE.wav)",
                ));
            }
            self.format = numbers.at(bytes, 24, 2) as u16;
        }
        check_rate_and_channels(self.sample_rate, u32::from(self.channels))
    }

    /// Sets where the samples begin and how many bytes they have. A `file_length` of 2^64 - 1 is one that
    /// nobody knows.
    fn find_samples(
        &mut self,
        announced: u64,
        riff_length: u64,
        offset: u64,
        file_length: u64,
    ) -> Result<(), Fault> {
        let available = file_length.saturating_sub(offset);
        // Placeholders: ffmpeg writes 2^32 - 1 (some programs less the header), SoX 2^31 - 4096,
        // others 2^31; and zero is one where the RIFF length, too, ends before the samples.
        let huge = (announced > available || file_length == u64::MAX)
            && (announced >= 0xffff_f000 || (0x7fff_f000..=0x8000_0000).contains(&announced));
        let zero = announced == 0
            && (riff_length == 0
                || riff_length == u64::from(u32::MAX)
                || riff_length + 8 <= offset);
        self.open_ended = huge || zero;
        self.data_offset = offset;
        self.data_length = if self.open_ended { available } else { announced };
        if self.data_length > available {
            return Err(Fault::new(format!(
                "was cut short: its header announces {announced} bytes of samples, but only \
                 {available} are there; copy or record it again"
            )));
        }
        if self.data_length == 0 {
            return Err(Fault::new("is a WAV with no samples; record it again or leave it out"));
        }
        Ok(())
    }

    /// The encoding of uncompressed samples; `None` for compressed ones.
    fn encoding(&self) -> Result<Option<Encoding>, Fault> {
        let bytes = match self.format {
            FORMAT_PCM | FORMAT_FLOAT | FORMAT_ALAW | FORMAT_ULAW => {
                if !self.block.is_multiple_of(self.channels) {
                    return Err(self.contradiction());
                }
                self.block / self.channels
            }
            _ => return Ok(None),
        };
        // Odd bit depths (20 bits in 3 bytes) are left-justified in whole bytes, so the container
        // decides the scale.
        let fits = self.bits > 0 && self.bits.div_ceil(8) == bytes;
        let encoding = match (self.format, bytes) {
            (FORMAT_PCM, 1) if fits => Encoding::PcmU8,
            (FORMAT_PCM, 2) if fits => Encoding::PcmS16le,
            (FORMAT_PCM, 3) if fits => Encoding::PcmS24le,
            (FORMAT_PCM, 4) if fits => Encoding::PcmS32le,
            (FORMAT_FLOAT, 4) if fits => Encoding::PcmF32le,
            (FORMAT_FLOAT, 8) if fits => Encoding::PcmF64le,
            (FORMAT_ALAW, 1) => Encoding::Alaw,
            (FORMAT_ULAW, 1) => Encoding::Ulaw,
            _ => return Err(self.contradiction()),
        };
        Ok(Some(match (self.big_endian, encoding) {
            (true, Encoding::PcmS16le) => Encoding::PcmS16be,
            (true, Encoding::PcmS24le) => Encoding::PcmS24be,
            (true, Encoding::PcmS32le) => Encoding::PcmS32be,
            (true, Encoding::PcmF32le) => Encoding::PcmF32be,
            (true, Encoding::PcmF64le) => Encoding::PcmF64be,
            (_, encoding) => encoding,
        }))
    }

    fn contradiction(&self) -> Fault {
        Fault::new(format!(
            "is a WAV whose header contradicts itself ({} bits, channels: {}, {} bytes for all \
             channels of one sample); export it again from its source",
            self.bits, self.channels, self.block
        ))
    }

    fn layout(&self, encoding: Encoding) -> Result<PcmLayout, Fault> {
        let block = encoding.bytes() as u64 * u64::from(self.channels);
        // A writer that never knew the length may have been stopped within a sample.
        if !self.open_ended && !self.data_length.is_multiple_of(block) {
            return Err(Fault::new(format!(
                "is a WAV whose header contradicts itself: {} bytes of samples are not a whole \
                 number of {block}-byte frames; export it again from its source",
                self.data_length
            )));
        }
        Ok(PcmLayout {
            encoding,
            sample_rate: self.sample_rate,
            channels: self.channels,
            offset: self.data_offset,
            samples: self.data_length / block,
        })
    }
}

/// Writes mono samples as a WAV of 16 bits, rounded to the nearest step and limited to the range.
///
/// # Errors
/// [`AudioError::Disk`] if it cannot be written; [`AudioError::Unusable`] for samples that are
/// not numbers, and for more than the 4 GiB that a WAV can hold.
pub fn write_wav(path: &Path, sample_rate: u32, samples: &[f32]) -> Result<(), AudioError> {
    let unusable =
        |reason: &str| AudioError::Unusable { path: path.to_path_buf(), reason: reason.into() };
    if samples.iter().any(|sample| !sample.is_finite()) {
        return Err(unusable("was not written: a sample is not a number; check what computed it"));
    }
    let length = samples
        .len()
        .checked_mul(2)
        .and_then(|length| u32::try_from(length).ok())
        .filter(|length| *length < u32::MAX - 36)
        .ok_or_else(|| unusable("was not written: a WAV holds at most 4 GiB; write it in parts"))?;
    let mut bytes = Vec::with_capacity(44 + samples.len() * 2);
    bytes.extend_from_slice(b"RIFF");
    bytes.extend_from_slice(&(length + 36).to_le_bytes());
    bytes.extend_from_slice(b"WAVEfmt ");
    bytes.extend_from_slice(&16u32.to_le_bytes());
    bytes.extend_from_slice(&FORMAT_PCM.to_le_bytes());
    bytes.extend_from_slice(&1u16.to_le_bytes());
    bytes.extend_from_slice(&sample_rate.to_le_bytes());
    bytes.extend_from_slice(&sample_rate.saturating_mul(2).to_le_bytes());
    bytes.extend_from_slice(&2u16.to_le_bytes());
    bytes.extend_from_slice(&16u16.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&length.to_le_bytes());
    for sample in samples {
        // `as` limits to the range of i16.
        bytes.extend_from_slice(&((sample * 32768.0).round() as i16).to_le_bytes());
    }
    std::fs::write(path, bytes).map_err(|error| AudioError::from_io(path, error))
}
