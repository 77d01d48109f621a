//! One recording in memory, and the choice of the reader by what the first bytes say.

use std::io;
use std::path::{Path, PathBuf};

use crate::encoding::RawFormat;
use crate::source::{Fault, PcmLayout, Section, Source};
use crate::{flac, foreign, mp3, mp4, ogg, opus, sphere, wav};

/// Decoded sound: planar samples in [-1, 1), all channels of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// Samples per second.
    pub sample_rate: u32,
    /// `channels x [samples]`.
    pub channels: Vec<Vec<f32>>,
}

impl Audio {
    /// Samples per channel.
    pub fn samples(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// Length in seconds.
    pub fn duration(&self) -> f64 {
        self.samples() as f64 / f64::from(self.sample_rate)
    }

    /// The mean of the channels, `[samples]`.
    pub fn mono(&self) -> Vec<f32> {
        let Some((first, rest)) = self.channels.split_first() else { return Vec::new() };
        let mut sum = first.clone();
        if rest.is_empty() {
            return sum;
        }
        for channel in rest {
            for (total, sample) in sum.iter_mut().zip(channel) {
                *total += sample;
            }
        }
        let share = 1.0 / self.channels.len() as f32;
        for sample in &mut sum {
            *sample *= share;
        }
        sum
    }

    /// The part that begins at `offset` and lasts `duration` seconds, rounded to samples as
    /// [`read_audio_section`] rounds: for many parts of a recording that is decoded once.
    ///
    /// # Errors
    /// Why there is no such part, completing a sentence that begins with the recording's name.
    pub fn section(&self, offset: f64, duration: f64) -> Result<Audio, String> {
        let section = Section { offset, duration: Some(duration) };
        let (start, end) = section.range(self.samples() as u64, self.sample_rate).map_err(
            |fault| match fault {
                Fault::Content(reason) => reason,
                Fault::Io(error) => error.to_string(),
            },
        )?;
        let channels = self.channels.iter().map(|c| c[start as usize..end as usize].to_vec());
        Ok(Audio { sample_rate: self.sample_rate, channels: channels.collect() })
    }

    /// Cuts a decoded recording down to a section.
    pub(crate) fn cut(mut self, section: Section) -> Result<Audio, Fault> {
        if !section.is_whole() {
            let (start, end) = section.range(self.samples() as u64, self.sample_rate)?;
            for channel in &mut self.channels {
                channel.truncate(end as usize);
                channel.drain(..start as usize);
            }
        }
        Ok(self)
    }
}

/// Why a file did not become audio. Each message names the file and the way out.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// There is no such file.
    #[error("`{}` does not exist; correct the path or put the file there", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed while reading or writing: no fault of the data, and a reason to stop a run.
    #[error(
        "`{}` could not be read or written because the disk answered \"{source}\"; check the disk \
         and the permissions",
        path.display()
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The content of this one file is at fault.
    #[error("`{}` {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do, completing a sentence that begins with the file's name.
        reason: String,
    },
}

impl AudioError {
    /// Whether the disk failed, rather than this one file's content.
    pub fn is_disk_fault(&self) -> bool {
        matches!(self, AudioError::Disk { .. })
    }

    /// Sorts what the operating system says into the file's faults and the disk's.
    pub(crate) fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        let unusable = |path, reason: &str| AudioError::Unusable { path, reason: reason.into() };
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => AudioError::Missing { path },
            io::ErrorKind::IsADirectory => {
                unusable(path, "is a folder; name one of the audio files in it")
            }
            // A name with a zero byte or one longer than the file system takes: the manifest's
            // fault, no reading was tried.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => {
                unusable(path, "cannot be the name of a file; correct it in the manifest")
            }
            _ => AudioError::Disk { path, source: error },
        }
    }

    fn from_fault(path: &Path, fault: Fault) -> Self {
        match fault {
            Fault::Content(reason) => AudioError::Unusable { path: path.to_path_buf(), reason },
            Fault::Io(error) => AudioError::from_io(path, error),
        }
    }
}

/// Reads a whole recording of any supported format; with `raw`, a headerless one.
///
/// # Errors
/// [`AudioError::Missing`], [`AudioError::Disk`], or [`AudioError::Unusable`] for a file that is
/// truncated, empty, text, of an unknown format, or not what its header says.
pub fn read_audio(path: &Path, raw: Option<&RawFormat>) -> Result<Audio, AudioError> {
    read_audio_section(path, raw, 0.0, None)
}

/// Reads the part of a recording that begins at `offset_seconds` and lasts `duration` seconds, or
/// to its end. WAV, SPHERE and headerless files are read from there; others are decoded whole.
///
/// # Errors
/// As [`read_audio`]; and [`AudioError::Unusable`] if the offset lies past the end, or the section
/// ends more than 0.05 s past it (manifests round their durations).
pub fn read_audio_section(
    path: &Path,
    raw: Option<&RawFormat>,
    offset_seconds: f64,
    duration: Option<f64>,
) -> Result<Audio, AudioError> {
    let section = Section { offset: offset_seconds, duration };
    Source::open(path)
        .and_then(|source| decode(source, raw, section))
        .map_err(|fault| AudioError::from_fault(path, fault))
}

/// Decodes a recording in memory; `name` is used for messages alone.
///
/// # Errors
/// [`AudioError::Unusable`], as [`read_audio`].
pub fn decode_audio(
    bytes: Vec<u8>,
    name: &Path,
    raw: Option<&RawFormat>,
) -> Result<Audio, AudioError> {
    decode(Source::Bytes(bytes), raw, Section::default())
        .map_err(|fault| AudioError::from_fault(name, fault))
}

/// How many bytes suffice to tell the format.
const HEAD: u64 = 512;

fn decode(mut source: Source, raw: Option<&RawFormat>, section: Section) -> Result<Audio, Fault> {
    if source.len() == 0 {
        return Err(Fault::new("is empty (0 bytes); record or copy it again"));
    }
    let audio = match raw {
        Some(format) => raw_layout(&source, format)?.read(&mut source, section)?,
        None => decode_with_header(source, section)?,
    };
    check(&audio)?;
    Ok(audio)
}

fn decode_with_header(mut source: Source, section: Section) -> Result<Audio, Fault> {
    let head = source.read_at(0, HEAD)?;
    match Format::of(&head) {
        Format::Wav => wav::read(source, section),
        Format::Sphere => sphere::layout(&mut source)?.read(&mut source, section),
        Format::Flac => flac::decode(source.into_bytes()?)?.cut(section),
        Format::Tagged => {
            let bytes = mp3::without_id3(source.into_bytes()?)?;
            match Format::of(&bytes) {
                Format::Flac => flac::decode(bytes)?.cut(section),
                _ => mp3::decode(&bytes)?.cut(section),
            }
        }
        Format::Mp3 => mp3::decode(&source.into_bytes()?)?.cut(section),
        Format::Mp4 => mp4::decode(source.into_bytes()?)?.cut(section),
        Format::Ogg => {
            let bytes = source.into_bytes()?;
            let stream = ogg::Stream::parse(&bytes)?;
            if stream.is_opus() {
                opus::decode(&stream)?.cut(section)
            } else {
                let samples = stream.check_foreign()?;
                foreign::decode_ogg(bytes, samples)?.cut(section)
            }
        }
        Format::Refused(what, hint) => Err(Fault::new(format!("is {what}; {hint}"))),
        Format::Unknown => Err(Fault::new(
            "is in no audio format known here; convert it (ffmpeg -i FILE FILE.wav), or for \
             headerless samples give encoding, sample_rate and channels",
        )),
    }
}

/// Whether a file that begins with these bytes is a recording, of a format that is read here or not.
///
/// The more bytes, the surer: some MP3 files can be told by their second frame only, 1500 bytes behind.
pub fn begins_as_sound(head: &[u8]) -> bool {
    match Format::of(head) {
        Format::Refused(_, way_out) => way_out == CONVERT || is_adts(head),
        Format::Unknown => false,
        _ => true,
    }
}

/// What the first bytes say.
enum Format {
    Wav,
    Sphere,
    Flac,
    Tagged,
    Mp3,
    Mp4,
    Ogg,
    Refused(&'static str, &'static str),
    Unknown,
}

const CONVERT: &str = "convert it first (ffmpeg -i FILE FILE.wav)";

impl Format {
    fn of(head: &[u8]) -> Format {
        let at = |offset: usize, magic: &[u8]| {
            head.get(offset..).is_some_and(|rest| rest.starts_with(magic))
        };
        if at(0, b"RIFF") || at(0, b"RIFX") || at(0, b"RF64") || at(0, b"BW64") {
            return match at(8, b"WAVE") {
                true => Format::Wav,
                false => Format::Refused("a RIFF file, but not a WAV", CONVERT),
            };
        }
        match () {
            () if at(0, b"NIST_1A") => Format::Sphere,
            () if at(0, b"fLaC") => Format::Flac,
            () if at(0, b"ID3") => Format::Tagged,
            () if at(0, b"OggS") => Format::Ogg,
            () if at(4, b"ftyp") => Format::Mp4,
            () if at(0, b"FORM") => Format::Refused("an AIFF file", CONVERT),
            () if at(0, b".snd") => Format::Refused("a Sun AU file", CONVERT),
            () if at(0, b"caff") => Format::Refused("a Core Audio file", CONVERT),
            () if at(0, b"#!AMR") => Format::Refused("an AMR file", CONVERT),
            () if at(0, b"wvpk") => Format::Refused("a WavPack file", CONVERT),
            () if at(0, b"ajkg") => Format::Refused("a Shorten file", CONVERT),
            () if at(0, &[0x1a, 0x45, 0xdf, 0xa3]) => {
                Format::Refused("a Matroska or WebM file", CONVERT)
            }
            () if at(0, &[0x30, 0x26, 0xb2, 0x75]) => {
                Format::Refused("a Windows Media file", CONVERT)
            }
            () if at(0, &[0x1f, 0x8b]) || at(0, b"PK\x03\x04") || at(0, b"BZh") => {
                Format::Refused("a compressed archive", "unpack it first")
            }
            () if is_adts(head) => Format::Refused(
                "bare AAC frames without a container",
                "put them into one without loss (ffmpeg -i FILE -c copy FILE.m4a)",
            ),
            () if is_text(head) => {
                Format::Refused("text, not audio", "name the recording instead of its transcript")
            }
            () if mp3::finds_frames(head) => Format::Mp3,
            () => Format::Unknown,
        }
    }
}

/// ADTS: twelve bits of sync, then layer 0, which MPEG audio does not have.
fn is_adts(head: &[u8]) -> bool {
    matches!(head, [0xff, second, ..] if second & 0xf6 == 0xf0)
}

/// Text: no control characters but white space, and UTF-8 as far as the bytes reach.
fn is_text(head: &[u8]) -> bool {
    let printable = head.iter().all(|&byte| byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r'));
    let utf8 = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The last character may be cut by the end of `head`.
        Err(error) => error.error_len().is_none(),
    };
    printable && utf8
}

fn raw_layout(source: &Source, format: &RawFormat) -> Result<PcmLayout, Fault> {
    check_rate_and_channels(format.sample_rate, u32::from(format.channels))?;
    let block = u64::from(format.channels) * format.encoding.bytes() as u64;
    if !source.len().is_multiple_of(block) {
        return Err(Fault::new(format!(
            "holds {} bytes, not a whole number of {block}-byte frames of {} x {}; it was cut \
             short, or the given encoding or channels are wrong",
            source.len(),
            format.channels,
            format.encoding
        )));
    }
    Ok(PcmLayout {
        encoding: format.encoding,
        sample_rate: format.sample_rate,
        channels: format.channels,
        offset: 0,
        samples: source.len() / block,
    })
}

/// Sample rates believed: no speech is recorded below the one, no converter is sold above the
/// other. (A lie here would multiply the memory that resampling needs.)
const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 1000..=1_000_000;

/// Refuses rates and channel counts that no recording has.
pub(crate) fn check_rate_and_channels(sample_rate: u32, channels: u32) -> Result<(), Fault> {
    if !SAMPLE_RATES.contains(&sample_rate) {
        return Err(Fault::new(format!(
            "has a header with the impossible sample rate {sample_rate} Hz; convert it again from \
             its source"
        )));
    }
    if channels == 0 || channels > 1024 {
        return Err(Fault::new(format!(
            "has a header with an impossible number of channels, {channels}; convert it again \
             from its source"
        )));
    }
    Ok(())
}

/// What holds for every recording, whichever reader it came from.
fn check(audio: &Audio) -> Result<(), Fault> {
    check_rate_and_channels(audio.sample_rate, audio.channels.len() as u32)?;
    if audio.samples() == 0 {
        return Err(Fault::new("has no samples; record it again or leave it out"));
    }
    for channel in &audio.channels {
        if channel.len() != audio.samples() {
            return Err(Fault::new("has channels of different lengths; convert it again"));
        }
        if let Some((index, what)) = unusable_sample(channel) {
            return Err(Fault::new(format!(
                "holds {what} (at {:.3} s); export it again from its source",
                index as f64 / f64::from(audio.sample_rate)
            )));
        }
    }
    Ok(())
}

/// The first sample that is no sound, and what it is.
pub(crate) fn unusable_sample(channel: &[f32]) -> Option<(usize, String)> {
    // Without a way out of the loop the compiler compares many samples at once. No comparison
    // holds for what is not a number.
    if channel.iter().fold(true, |sound, sample| sound & (sample.abs() <= LOUDEST)) {
        return None;
    }
    let index = channel.iter().position(|sample| sample.is_nan() || sample.abs() > LOUDEST)?;
    let what = match channel[index] {
        sample if sample.is_finite() => format!("a sample of {sample:e}, where full scale is 1"),
        _ => "a sample that is not a number".into(),
    };
    Some((index, what))
}

/// Largest magnitude of a sample that is taken for sound: floats in the scale of 16- or 20-bit integers
/// still are; what is beyond is damaged, and its squares would overflow.
const LOUDEST: f32 = 1e6;
