//! Sound out of a pipe: bytes in pieces as they come, samples out.
//!
//! A pipe holds headerless samples (`arecord -t raw`, `ffmpeg -f s16le`, `sox -t raw`) of a format that
//! somebody has to name, or a WAV, which is told by its first bytes as in files. The chunks of a WAV are
//! walked until its samples begin. How many there are is believed where the header knows it; programs that
//! write into a pipe do not, put 0 or a huge number there ([`crate::read_audio`]), and the samples end with
//! the pipe.
//!
//! Book: book/src/sampling.md

use crate::audio::{Audio, unusable_sample};
use crate::encoding::RawFormat;
use crate::source::Fault;
use crate::wav::Header;

/// Most bytes before the samples of a WAV: pictures and texts of a tagger, but not a whole recording.
const LONGEST_HEAD: usize = 1 << 20;

/// Formats that have to be decoded before they can be heard: where in the file which bytes tell them.
const OTHERS: [(usize, &[u8], &str); 12] = [
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"ID3", "MP3"),
    (0, b"NIST_1A", "NIST SPHERE"),
    (0, b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (0, b"FORM", "AIFF"),
    (4, b"ftyp", "M4A or MP4"),
    (0, b".snd", "Sun's .au"),
    (0, b"#!AMR", "AMR"),
    (0, b"caff", "Apple's CAF"),
    (0, b"wvpk", "WavPack"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "WMA"),
];

/// So many bytes of text and nothing else are no samples: quiet sound has bytes that are no text, and loud sound
/// is not likely to have none in so many.
const TEXT: usize = 64;
/// A stream that ends before is text with fewer.
const SHORT_TEXT: usize = 4;

/// Whether all of this could be the beginning of a text: UTF-8, whose last character may be cut, without control
/// characters other than white space.
fn is_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace())
}

/// Turns the bytes of a pipe into samples of one channel.
#[derive(Clone, Debug)]
pub struct PcmStream {
    /// What headerless bytes are.
    raw: RawFormat,
    /// Bytes that are no whole sample yet, or a header that is not complete.
    waiting: Vec<u8>,
    /// What the samples are, once it is known.
    format: Option<RawFormat>,
    /// Bytes of samples that the header announces and that have not come; `None` where nobody knows.
    announced: Option<u64>,
    /// Samples of each channel so far.
    come: u64,
}

impl PcmStream {
    /// A stream that has brought nothing yet. `raw` is what its samples are if it does not begin as a WAV.
    pub fn new(raw: RawFormat) -> Self {
        Self { raw, waiting: Vec::new(), format: None, announced: None, come: 0 }
    }

    /// A stream of headerless samples, whatever its first bytes are.
    pub fn headerless(raw: RawFormat) -> Self {
        Self { format: Some(raw), ..Self::new(raw) }
    }

    /// What the samples are; `None` before enough has come to tell.
    pub fn format(&self) -> Option<RawFormat> {
        self.format
    }

    /// Takes the next bytes and appends the samples that they complete to `samples`, the mean of all channels,
    /// in [-1, 1).
    ///
    /// # Errors
    /// Why this is no sound, completing a sentence that begins with the stream's name.
    pub fn push(&mut self, bytes: &[u8], samples: &mut Vec<f32>) -> Result<(), String> {
        self.waiting.extend_from_slice(bytes);
        let format = match self.format {
            Some(format) => format,
            None => match self.find_format(false)? {
                Some(format) => format,
                None => return Ok(()),
            },
        };
        self.take(format, samples)
    }

    /// Ends the stream: what came before anybody could tell what it is are samples too.
    ///
    /// # Errors
    /// What is missing: a stream that ends within a header, within a sample, before all came that its header
    /// announced, or without a sample. All samples that came are in `samples` all the same.
    pub fn finish(&mut self, samples: &mut Vec<f32>) -> Result<(), String> {
        if self.format.is_none()
            && let Some(format) = self.find_format(true)?
        {
            self.take(format, samples)?;
        }
        if let Some(missing) = self.announced.filter(|&missing| missing > 0) {
            return Err(format!(
                "was cut short: {missing} bytes of the samples that its header announces did not come; \
                 what came was heard"
            ));
        }
        if !self.waiting.is_empty() && self.announced.is_none() {
            let bytes = self.format.unwrap_or(self.raw);
            return Err(format!(
                "ended within a sample, after {} of its {} bytes; check its encoding and its channels \
                 ({:?}, {}); what came before was heard",
                self.waiting.len(),
                bytes.encoding.bytes() * usize::from(bytes.channels),
                bytes.encoding.to_string(),
                bytes.channels
            ));
        }
        if self.come == 0 {
            return Err("has no samples; record it again".into());
        }
        Ok(())
    }

    /// Tells from the first bytes what this is, and drops what stands before the samples. `None` where more
    /// has to come.
    fn find_format(&mut self, end: bool) -> Result<Option<RawFormat>, String> {
        let head = &self.waiting;
        let way_out = || {
            let rate = self.raw.sample_rate;
            format!("send samples or a WAV, as `ffmpeg -i FILE -f s16le -ar {rate} -ac 1 -` does")
        };
        // Bytes that have not come could be anything.
        let could_be =
            |place: usize, magic: &[u8]| head.iter().skip(place).zip(magic).all(|(a, b)| a == b);
        for (place, magic, name) in OTHERS {
            if head.len() >= place + magic.len() && could_be(place, magic) {
                return Err(format!(
                    "holds {name}, which is not heard piece by piece; {}",
                    way_out()
                ));
            }
        }
        let wav = [b"RIFF", b"RIFX", b"RF64", b"BW64"].iter().any(|magic| could_be(0, &magic[..]));
        let wav =
            wav && head.get(8..).is_none_or(|rest| rest.iter().zip(b"WAVE").all(|(a, b)| a == b));
        if !wav || (end && head.len() < 12) {
            let text = is_text(head);
            if text && head.len() >= if end { SHORT_TEXT } else { TEXT } {
                return Err(format!("holds text and no sound; {}", way_out()));
            }
            // Before the eighth byte any of them could be an M4A.
            let other = OTHERS.iter().any(|(place, magic, _)| could_be(*place, magic));
            if (other || text) && !end {
                return Ok(None);
            }
            self.format = Some(self.raw);
            return Ok(self.format);
        }
        if head.len() < 12 {
            return Ok(None);
        }
        let sentence = |fault: Fault| match fault {
            Fault::Content(reason) => reason,
            Fault::Io(error) => format!("cannot be read ({error})"),
        };
        match Header::parse_head(head).map_err(sentence)? {
            Some(header) => {
                let (format, offset, length) = header;
                self.waiting.drain(..offset);
                (self.format, self.announced) = (Some(format), length);
                Ok(self.format)
            }
            None if end => Err("is a WAV that ends before its samples; record it again".into()),
            None if head.len() > LONGEST_HEAD => Err(format!(
                "is a WAV with more than {LONGEST_HEAD} bytes before its samples; convert it (ffmpeg -i \
                 FILE -map_metadata -1 -f wav -)"
            )),
            None => Ok(None),
        }
    }

    /// Decodes the whole samples that wait, as many as are announced; of those that are no sound, the ones before
    /// the first of these.
    fn take(&mut self, format: RawFormat, samples: &mut Vec<f32>) -> Result<(), String> {
        let channels = usize::from(format.channels.max(1));
        let block = format.encoding.bytes() * channels;
        let mut bytes = self.waiting.len() / block * block;
        if let Some(announced) = &mut self.announced {
            // What follows the samples of a WAV are other chunks.
            bytes = bytes.min(usize::try_from(*announced).unwrap_or(usize::MAX)) / block * block;
            *announced -= bytes as u64;
        }
        let mut channels = format.encoding.decode(&self.waiting[..bytes], channels);
        match self.announced {
            Some(0) => self.waiting.clear(),
            _ => drop(self.waiting.drain(..bytes)),
        }
        let bad = channels.iter().filter_map(|channel| unusable_sample(channel));
        let bad = bad.min_by_key(|(index, _)| *index);
        if let Some((index, _)) = bad {
            channels.iter_mut().for_each(|channel| channel.truncate(index));
        }
        let audio = Audio { sample_rate: format.sample_rate, channels };
        self.come += audio.samples() as u64;
        samples.extend(audio.mono());
        bad.map_or(Ok(()), |(_, what)| {
            let seconds = self.come as f64 / f64::from(format.sample_rate);
            Err(format!("holds {what} (at {seconds:.3} s); export it again from its source"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::decode_audio;
    use crate::encoding::Encoding;
    use std::path::Path;

    const RAW: RawFormat =
        RawFormat { encoding: Encoding::PcmS16le, sample_rate: 8000, channels: 1 };

    /// A WAV of 16 bits with the sizes that its header is to announce.
    fn wav(channels: u16, samples: &[i16], sizes: Option<u32>, behind: &[u8]) -> Vec<u8> {
        let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let length = sizes.unwrap_or(data.len() as u32);
        let mut bytes = b"RIFF".to_vec();
        bytes.extend(length.saturating_add(4 + 24 + 11 + 9).to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
        bytes.extend(channels.to_le_bytes());
        bytes.extend(16000u32.to_le_bytes());
        bytes.extend((32000 * u32::from(channels)).to_le_bytes());
        bytes.extend((2 * channels).to_le_bytes());
        bytes.extend(b"\x10\0LIST\x03\0\0\0abc\0data");
        bytes.extend(length.to_le_bytes());
        [&bytes, &data, behind].concat()
    }

    fn stream(bytes: &[u8], piece: usize) -> (Vec<f32>, Option<RawFormat>, Result<(), String>) {
        let mut stream = PcmStream::new(RAW);
        let mut samples = Vec::new();
        for piece in bytes.chunks(piece) {
            if let Err(error) = stream.push(piece, &mut samples) {
                return (samples, None, Err(error));
            }
        }
        let result = stream.finish(&mut samples);
        (samples, stream.format(), result)
    }

    #[test]
    fn a_wav_in_any_pieces_is_the_wav() {
        let samples: Vec<i16> = (0..600).map(|i| (i * 331 % 5000) as i16 - 2500).collect();
        for channels in [1, 2, 3] {
            let whole = wav(channels, &samples, None, b"");
            let expected = decode_audio(whole, Path::new("x"), None).unwrap().mono();
            for sizes in [None, Some(0), Some(u32::MAX), Some(0x7fff_f000), Some(0x8000_0000)] {
                let behind = if sizes.is_none() { &b"LIST\x02\0\0\0xy"[..] } else { b"" };
                let bytes = wav(channels, &samples, sizes, behind);
                for piece in [1, 7, 160, 100_000] {
                    let (found, format, result) = stream(&bytes, piece);
                    assert_eq!((result, &found), (Ok(()), &expected), "{sizes:?} {piece}");
                    assert_eq!(format.unwrap(), RawFormat { sample_rate: 16000, channels, ..RAW });
                }
            }
        }
    }

    #[test]
    fn headerless_samples_are_what_they_are_said_to_be() {
        let samples: Vec<i16> = vec![0, 1, -1, i16::MAX, i16::MIN, 77];
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let expected: Vec<f32> = samples.iter().map(|&s| f32::from(s) / 32768.0).collect();
        for piece in 1..13 {
            assert_eq!(stream(&bytes, piece), (expected.clone(), Some(RAW), Ok(())));
        }
        // These bytes could become a header, and do not.
        assert_eq!(stream(b"RIFF\0\0", 1).0.len(), 3);
        assert_eq!(stream(b"RIFFxx\0xWAVx", 1).0.len(), 6);
        assert_eq!(stream(b"fL", 1).0.len(), 1);
        assert_eq!(stream(b"", 1).0.len(), 0);
        // Bytes of text among others are samples too.
        let loud = [&b"0123456789".repeat(6)[..], b"\0a"].concat();
        assert_eq!(stream(&loud, 7).0.len(), 31);
    }

    #[test]
    fn what_is_wrong_is_said_and_what_came_was_heard() {
        for (piece, whole) in [(1, false), (1, true), (1000, false), (1000, true)] {
            let mut floats: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
            for bad in [f32::NAN, f32::NEG_INFINITY, 1e30] {
                floats[70] = bad;
                let bytes: Vec<u8> = floats.iter().flat_map(|x| x.to_le_bytes()).collect();
                let raw = RawFormat { encoding: Encoding::PcmF32le, ..RAW };
                let mut stream = PcmStream::headerless(raw);
                let mut samples = Vec::new();
                let pieces = bytes.chunks(if whole { 400 } else { piece });
                let error =
                    pieces.map(|piece| stream.push(piece, &mut samples)).find_map(Result::err);
                let offline = decode_audio(bytes.clone(), Path::new("x"), Some(&raw)).unwrap_err();
                let said = error.unwrap();
                assert!(offline.to_string().contains(&said), "{said}: {offline}");
                assert_eq!(samples.len(), 70);
            }
        }
        let (samples, _, result) = stream(&[1, 2, 3], 1);
        assert_eq!(samples.len(), 1);
        assert!(result.unwrap_err().contains("after 1 of its 2 bytes"));
        let samples: Vec<i16> = (0..100).collect();
        let (found, _, result) = stream(&wav(1, &samples, Some(1000), b""), 33);
        assert_eq!(found.len(), 100);
        assert!(result.unwrap_err().contains("800 bytes"));
        for (bytes, named) in [
            (&b"fLaC\0\0\0\x22"[..], "FLAC"),
            (b"OggS\0", "Ogg"),
            (b"\0\0\0\x20ftypM4A \0\0\0\0", "M4A"),
            (b".snd\0\0\0\x18", ".au"),
            (b"#!AMR\n\x3c", "AMR"),
            ("Gr\u{fc}\u{df}e\n".as_bytes(), "text"),
            (&b"nothing but words\n".repeat(20)[..], "text and no sound; send samples"),
            (b"", "no samples"),
            (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "fmt"),
            (b"RIFF\0\0\0\0WAVEfmt ", "before its samples"),
            (b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0ab", "fmt chunk is too short"),
        ] {
            for piece in [1, 99] {
                let error = stream(bytes, piece).2.unwrap_err();
                assert!(error.contains(named), "{error}");
            }
        }
        let mut compressed = wav(1, &samples, None, b"");
        compressed[20] = 0x11;
        assert!(stream(&compressed, 9).2.unwrap_err().contains("0x0011"));
        let endless = [&b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x7f"[..], &[0; 1 << 20]].concat();
        assert!(stream(&endless, 4096).2.unwrap_err().contains("1048576 bytes"));
    }
}
