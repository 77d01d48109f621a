//! Where the bytes of a recording come from: a file read in pieces, or a buffer in memory.
//!
//! Uncompressed formats read only the header and the section that is wanted, so that a thousand
//! utterances cut from one long recording do not read it a thousand times.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::audio::Audio;
use crate::encoding::Encoding;

/// Why bytes did not become audio, before the file's name is put to it.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The content is at fault; the text completes the sentence "`name` ...".
    Content(String),
    /// The disk is at fault.
    Io(io::Error),
}

impl Fault {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Fault::Content(reason.into())
    }
}

/// Whether `path`, its links followed, is a pipe, a device or a socket: reading one may never end, and
/// already opening a pipe waits for somebody to write. What cannot be looked at is left to the reader,
/// whose error tells more.
pub fn is_special_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| !data.is_file() && !data.is_dir())
}

/// Random access to bytes with a known length.
pub(crate) enum Source {
    File { file: File, len: u64 },
    Bytes(Vec<u8>),
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        if is_special_file(path) {
            return Err(Fault::new(
                "is no regular file but a pipe or a device; save the recording as a file and name that",
            ));
        }
        let mut file = File::open(path).map_err(Fault::Io)?;
        let metadata = file.metadata().map_err(Fault::Io)?;
        if metadata.is_dir() {
            return Err(Fault::Io(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        if metadata.len() == 0 {
            // The kernel's own files claim to be empty: take it whole.
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(Fault::Io)?;
            return Ok(Source::Bytes(bytes));
        }
        Ok(Source::File { file, len: metadata.len() })
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Source::File { len, .. } => *len,
            Source::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// The bytes `offset..offset + count`, fewer only where the source ends.
    pub(crate) fn read_at(&mut self, offset: u64, count: u64) -> Result<Vec<u8>, Fault> {
        let count = count.min(self.len().saturating_sub(offset));
        match self {
            Source::Bytes(bytes) => {
                // `count` is bounded by the length above, so neither index can pass the end.
                let start = offset.min(bytes.len() as u64) as usize;
                Ok(bytes[start..start + count as usize].to_vec())
            }
            Source::File { file, .. } => {
                let mut buffer = Vec::with_capacity(count as usize);
                file.seek(SeekFrom::Start(offset)).map_err(Fault::Io)?;
                file.take(count).read_to_end(&mut buffer).map_err(Fault::Io)?;
                if (buffer.len() as u64) < count {
                    return Err(Fault::new("became shorter while it was read"));
                }
                Ok(buffer)
            }
        }
    }

    /// All bytes.
    pub(crate) fn into_bytes(mut self) -> Result<Vec<u8>, Fault> {
        match self {
            Source::Bytes(bytes) => Ok(bytes),
            Source::File { len, .. } => self.read_at(0, len),
        }
    }
}

/// A part of a recording in seconds; the whole when `offset` is 0 and `duration` is `None`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Section {
    pub offset: f64,
    pub duration: Option<f64>,
}

/// Durations in manifests are rounded, some to hundredths; a section may pass the end by this
/// much before it counts as wrong.
const ROUNDING_SECONDS: f64 = 0.05;

impl Section {
    pub(crate) fn is_whole(&self) -> bool {
        self.offset == 0.0 && self.duration.is_none()
    }

    /// The section as sample indices of a recording of `samples` samples.
    pub(crate) fn range(&self, samples: u64, rate: u32) -> Result<(u64, u64), Fault> {
        let total = samples as f64 / f64::from(rate);
        if !self.offset.is_finite() || self.offset < 0.0 {
            return Err(Fault::new(format!(
                "cannot be read from offset {} s; give an offset of zero or more seconds",
                self.offset
            )));
        }
        let start = (self.offset * f64::from(rate)).round();
        if start >= samples as f64 {
            return Err(Fault::new(format!(
                "lasts {total:.3} s, but the offset {} s lies at or past its end; correct the \
                 offset in the manifest",
                self.offset
            )));
        }
        let Some(duration) = self.duration else {
            return Ok((start as u64, samples));
        };
        if !duration.is_finite() || duration <= 0.0 {
            return Err(Fault::new(format!(
                "cannot be read for {duration} s; give a duration above zero"
            )));
        }
        if self.offset + duration > total + ROUNDING_SECONDS {
            return Err(Fault::new(format!(
                "lasts {total:.3} s, but the section from {} s for {duration} s ends past its \
                 end; correct the manifest",
                self.offset
            )));
        }
        let end = ((self.offset + duration) * f64::from(rate)).round().min(samples as f64);
        if end <= start {
            return Err(Fault::new(format!(
                "has no sample in the section from {} s for {duration} s; give a longer duration",
                self.offset
            )));
        }
        Ok((start as u64, end as u64))
    }
}

/// Where uncompressed samples lie in a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PcmLayout {
    pub encoding: Encoding,
    pub sample_rate: u32,
    pub channels: u16,
    /// Byte offset of the first sample.
    pub offset: u64,
    /// Samples per channel.
    pub samples: u64,
}

impl PcmLayout {
    /// Reads and converts the section that is wanted, and no more.
    pub(crate) fn read(&self, source: &mut Source, section: Section) -> Result<Audio, Fault> {
        let (start, end) = section.range(self.samples, self.sample_rate)?;
        let block = u64::from(self.channels) * self.encoding.bytes() as u64;
        let bytes = source.read_at(self.offset + start * block, (end - start) * block)?;
        let channels = self.encoding.decode(&bytes, usize::from(self.channels));
        Ok(Audio { sample_rate: self.sample_rate, channels })
    }
}
