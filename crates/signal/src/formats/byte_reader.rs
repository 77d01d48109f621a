//! Bytes taken one after the other from a file or from memory, never more than there are.

use std::path::Path;

use super::error::{FormatError, Trouble};
use crate::source::{Source, is_special_file};

/// Bytes read at once where they are looked at one by one.
const WINDOW: u64 = 1 << 16;

/// A place in a source that moves on as bytes are taken.
pub(crate) struct ByteReader {
    source: Source,
    window: Vec<u8>,
    /// Offset of the window's first byte.
    start: u64,
    /// Bytes taken.
    offset: u64,
}

impl ByteReader {
    pub(crate) fn open(path: &Path) -> Result<Self, FormatError> {
        if is_special_file(path) {
            let reason =
                "is no regular file but a pipe or a device; save it as a file and name that";
            return Err(FormatError::unusable(path, reason));
        }
        Source::open(path)
            .map(Self::new)
            .map_err(|fault| FormatError::from_trouble(path, fault.into()))
    }

    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self::new(Source::Bytes(bytes))
    }

    fn new(source: Source) -> Self {
        ByteReader { source, window: Vec::new(), start: 0, offset: 0 }
    }

    /// Bytes taken so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes not taken yet.
    pub(crate) fn remaining(&self) -> u64 {
        self.source.len().saturating_sub(self.offset)
    }

    pub(crate) fn len(&self) -> u64 {
        self.source.len()
    }

    /// Goes to a place within the source or at its end.
    pub(crate) fn seek(&mut self, offset: u64) {
        self.offset = offset.min(self.len());
    }

    /// The next byte, left where it is; `None` at the end.
    pub(crate) fn peek(&mut self) -> Result<Option<u8>, Trouble> {
        let end = self.start + self.window.len() as u64;
        if !(self.start..end).contains(&self.offset) {
            if self.remaining() == 0 {
                return Ok(None);
            }
            self.window = self.source.read_at(self.offset, WINDOW)?;
            self.start = self.offset;
        }
        Ok(self.window.get((self.offset - self.start) as usize).copied())
    }

    /// Leaves out the byte that was peeked at.
    pub(crate) fn skip(&mut self) {
        self.seek(self.offset + 1);
    }

    /// The next byte.
    pub(crate) fn byte(&mut self, what: &str) -> Result<u8, Trouble> {
        match self.peek()? {
            Some(byte) => {
                self.skip();
                Ok(byte)
            }
            None => Err(self.cut(what)),
        }
    }

    /// The next `count` bytes, whose number is checked before anything is allocated.
    pub(crate) fn take(&mut self, count: u64, what: &str) -> Result<Vec<u8>, Trouble> {
        if count > self.remaining() {
            return Err(Trouble::at(
                self.offset,
                format!(
                    "ends too soon: {what} needs {count} bytes and {} are left; it was cut short, \
                     copy or write it again",
                    self.remaining()
                ),
            ));
        }
        let start = self.offset.wrapping_sub(self.start);
        let held = self.window.len() as u64;
        let bytes = match start <= held && count <= held - start {
            true => self.window[start as usize..][..count as usize].to_vec(),
            false => self.source.read_at(self.offset, count)?,
        };
        self.offset += count;
        Ok(bytes)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Trouble> {
        let bytes = self.take(N as u64, what)?;
        let mut array = [0; N];
        array.copy_from_slice(&bytes);
        Ok(array)
    }

    /// That the source ends within something.
    pub(crate) fn cut(&self, what: &str) -> Trouble {
        Trouble::at(
            self.offset,
            format!("ends within {what}; it was cut short, copy or write it again"),
        )
    }
}

/// Numbers of `N` bytes each.
pub(crate) fn numbers<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (words, rest) = bytes.as_chunks::<N>();
    debug_assert!(rest.is_empty());
    words.iter().map(|word| number(*word)).collect()
}
