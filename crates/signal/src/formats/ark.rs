//! Kaldi's archives: keys and matrices or vectors, one behind the other.
//!
//! An entry is a key, a blank and an object (`util/kaldi-holder-inl.h`, `matrix/kaldi-matrix.cc`).
//! A binary object begins with a zero byte and `B`; then come a token and a blank, then sizes, each
//! a byte 4 and four bytes, and the values, all little-endian:
//!
//! ```text
//! FM rows columns values    DM …    f32, f64 matrices
//! FV length values          DV …    f32, f64 vectors
//! CM, CM2, CM3                      compressed matrices
//! ```
//!
//! Anything else is a text object: numbers in brackets. An archive may mix all of them. The offset
//! that an `scp` names is that of the object, behind its key.

use std::path::{Path, PathBuf};

use super::ark_text;
use super::array::{Array, Values};
use super::byte_reader::{ByteReader, numbers};
use super::compressed::{Compression, Layout, compress, decompress};
use super::error::{FormatError, Trouble};
use super::output::{Output, write_whole};

/// Longest key believed: beyond, it is no archive.
const MAX_KEY: usize = 4096;

/// Reads an archive entry by entry; the memory needed is that of one entry.
pub struct ArkReader {
    reader: ByteReader,
    path: PathBuf,
    failed: bool,
}

impl ArkReader {
    /// Opens an archive.
    ///
    /// # Errors
    /// [`FormatError`] if it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        Ok(Self::new(ByteReader::open(path)?, path))
    }

    /// An archive in memory; `name` is used for messages alone.
    pub fn from_bytes(bytes: Vec<u8>, name: &Path) -> Self {
        Self::new(ByteReader::from_bytes(bytes), name)
    }

    fn new(reader: ByteReader, path: &Path) -> Self {
        ArkReader { reader, path: path.to_path_buf(), failed: false }
    }

    fn entry(&mut self) -> Result<Option<(String, Array)>, Trouble> {
        let Some(key) = key(&mut self.reader)? else { return Ok(None) };
        let array = object(&mut self.reader)?;
        Ok(Some((key, array)))
    }
}

impl Iterator for ArkReader {
    type Item = Result<(String, Array), FormatError>;

    /// The next key and its object; behind an error there is nothing more, since where the next
    /// entry begins is not known.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.entry() {
            Ok(entry) => entry.map(Ok),
            Err(trouble) => {
                self.failed = true;
                Some(Err(FormatError::from_trouble(&self.path, trouble)))
            }
        }
    }
}

/// Reads one object: at `offset` of an archive, as an `scp` says, or a file that is nothing but an
/// object (`cmvn.stats`) from 0.
///
/// # Errors
/// [`FormatError`] if the file cannot be read, ends before `offset` or within the object, or holds
/// something else there.
pub fn read_kaldi(path: &Path, offset: u64) -> Result<Array, FormatError> {
    let mut reader = ByteReader::open(path)?;
    if offset >= reader.len() {
        let reason = format!(
            "has {} bytes, and an object at byte {offset} was asked for; write the scp again with \
             its archive",
            reader.len()
        );
        return Err(FormatError::unusable(path, reason));
    }
    reader.seek(offset);
    object(&mut reader).map_err(|trouble| FormatError::from_trouble(path, trouble))
}

/// A key and the blank behind it; `None` at the end.
fn key(reader: &mut ByteReader) -> Result<Option<String>, Trouble> {
    while reader.peek()?.is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
        reader.skip();
    }
    let start = reader.offset();
    let mut key = Vec::new();
    loop {
        match reader.peek()? {
            None if key.is_empty() => return Ok(None),
            Some(byte) if byte > b' ' && byte != 0x7f && key.len() < MAX_KEY => {
                reader.skip();
                key.push(byte);
            }
            Some(b' ' | b'\t') if !key.is_empty() => {
                reader.skip();
                break;
            }
            None => return Err(reader.cut("a key")),
            Some(_) => {
                let reason = "has no key and blank where an entry should begin; it is no Kaldi \
                              archive, or damaged: write it again";
                return Err(Trouble::at(start, reason));
            }
        }
    }
    String::from_utf8(key).map(Some).map_err(|_| {
        Trouble::at(start, "has a key that is no UTF-8 text; it is damaged, or convert its keys")
    })
}

/// An object, from behind its key.
fn object(reader: &mut ByteReader) -> Result<Array, Trouble> {
    let start = reader.offset();
    match reader.peek()? {
        Some(0) => reader.skip(),
        Some(b'R') => {
            let head = reader.take(4.min(reader.remaining()), "a WAV")?;
            if head == b"RIFF" {
                let reason = "holds recordings (a wav archive), not features; unpack it to files";
                return Err(Trouble::at(start, reason));
            }
            reader.seek(start);
            return ark_text::read(reader);
        }
        Some(_) => return ark_text::read(reader),
        None => return Err(reader.cut("an object")),
    }
    if reader.byte("an object")? != b'B' {
        let reason = "has a zero byte but no `B` where an object should begin; write it again";
        return Err(Trouble::at(start, reason));
    }
    let mut token = Vec::new();
    loop {
        match reader.byte("a token")? {
            b' ' => break,
            4 if token.is_empty() => {
                let reason = "holds integers, such as an alignment, not features; name an archive \
                              of matrices or vectors";
                return Err(Trouble::at(start, reason));
            }
            byte if token.len() < 8 && byte.is_ascii_graphic() => token.push(byte),
            _ => return Err(unknown(start, &token)),
        }
    }
    match token.as_slice() {
        b"FM" => matrix(reader, 4, |bytes| Values::F32(numbers(bytes, f32::from_le_bytes))),
        b"DM" => matrix(reader, 8, |bytes| Values::F64(numbers(bytes, f64::from_le_bytes))),
        b"FV" => vector(reader, 4, |bytes| Values::F32(numbers(bytes, f32::from_le_bytes))),
        b"DV" => vector(reader, 8, |bytes| Values::F64(numbers(bytes, f64::from_le_bytes))),
        token => match Layout::of(token) {
            Some(layout) => {
                let (rows, columns, values) = decompress(layout, reader)?;
                Ok(Array::from_f32(rows, columns, values))
            }
            None => Err(unknown(start, token)),
        },
    }
}

fn unknown(start: u64, token: &[u8]) -> Trouble {
    let reason = format!(
        "holds an object `{}`, which is no matrix or vector of Kaldi's (FM DM FV DV CM CM2 CM3)",
        token.escape_ascii()
    );
    Trouble::at(start, reason)
}

/// A size: a byte 4, four bytes, not negative.
fn size(reader: &mut ByteReader) -> Result<u64, Trouble> {
    let start = reader.offset();
    let [width, bytes @ ..] = reader.array::<5>("a size")?;
    let size = i32::from_le_bytes(bytes);
    match u64::try_from(size) {
        Ok(size) if width == 4 => Ok(size),
        _ => {
            let reason = format!(
                "announces a size of {size} in {width} bytes; it is damaged, write it again"
            );
            Err(Trouble::at(start, reason))
        }
    }
}

fn matrix(
    reader: &mut ByteReader,
    width: u64,
    values: impl Fn(&[u8]) -> Values,
) -> Result<Array, Trouble> {
    let start = reader.offset();
    let (rows, columns) = (size(reader)?, size(reader)?);
    if (rows == 0) != (columns == 0) {
        let reason =
            format!("announces a matrix of {rows} rows and {columns} columns; write it again");
        return Err(Trouble::at(start, reason));
    }
    // Sizes are below 2^31 each: their product is below 2^62, eight times it below 2^65.
    let length = (rows * columns).saturating_mul(width);
    payload(reader, vec![rows as usize, columns as usize], length, width, values)
}

fn vector(
    reader: &mut ByteReader,
    width: u64,
    values: impl Fn(&[u8]) -> Values,
) -> Result<Array, Trouble> {
    let length = size(reader)?;
    payload(reader, vec![length as usize], length * width, width, values)
}

fn payload(
    reader: &mut ByteReader,
    shape: Vec<usize>,
    length: u64,
    width: u64,
    values: impl Fn(&[u8]) -> Values,
) -> Result<Array, Trouble> {
    let start = reader.offset();
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let what = format!("an object of {} values of {width} bytes", sizes.join(" x "));
    let values = values(&reader.take(length, &what)?);
    if let Some(index) = values.not_finite() {
        let reason = "holds a value that is not a finite number; compute it again";
        return Err(Trouble::at(start + index as u64 * width, reason));
    }
    Array::new(shape, values).ok_or_else(|| Trouble::at(start, "contradicts itself"))
}

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArkFormat {
    /// Values as they are: `FM`, `DM`, `FV`, `DV`.
    Binary,
    /// Numbers in brackets, each with as many digits as tell it from its neighbours.
    Text,
    /// Matrices with a loss ([`Compression`]); vectors as [`ArkFormat::Binary`].
    Compressed(Compression),
}

/// An object as bytes.
fn object_bytes(array: &Array, format: ArkFormat) -> Result<Vec<u8>, String> {
    if let Some(index) = array.values().not_finite() {
        return Err(format!("(value {index}) holds something that is not a finite number"));
    }
    let (rows, columns) = match *array.shape() {
        [rows, columns] => (Some(rows), columns),
        [length] => (None, length),
        _ => {
            return Err(format!(
                "has the shape {:?}; Kaldi has vectors and matrices",
                array.shape()
            ));
        }
    };
    // An empty matrix has no columns either.
    let columns = if rows == Some(0) { 0 } else { columns };
    if columns == 0 && rows.is_some_and(|rows| rows > 0) {
        return Err(format!(
            "has the shape {:?}; leave out matrices without columns",
            array.shape()
        ));
    }
    match (format, rows) {
        (ArkFormat::Text, _) => return Ok(ark_text::kaldi_text(array).into_bytes()),
        (ArkFormat::Compressed(method), Some(rows)) => {
            let mut bytes = b"\0B".to_vec();
            bytes.extend(compress(rows, columns, &array.to_f32(), method)?);
            return Ok(bytes);
        }
        _ => (),
    }
    let mut bytes = match (array.values(), rows) {
        (Values::F64(_), Some(_)) => b"\0BDM ".to_vec(),
        (Values::F64(_), None) => b"\0BDV ".to_vec(),
        (_, Some(_)) => b"\0BFM ".to_vec(),
        (_, None) => b"\0BFV ".to_vec(),
    };
    for size in rows.into_iter().chain([columns]) {
        let size = i32::try_from(size)
            .map_err(|_| format!("is {size} long, and Kaldi's sizes end at {}", i32::MAX))?;
        bytes.push(4);
        bytes.extend(size.to_le_bytes());
    }
    match array.values() {
        Values::F64(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        _ => bytes.extend(array.to_f32().iter().flat_map(|value| value.to_le_bytes())),
    }
    Ok(bytes)
}

/// Writes a file that is nothing but an object, such as `cmvn.stats`.
///
/// # Errors
/// [`FormatError`] if it cannot be written, or Kaldi has no such object.
pub fn write_kaldi(path: &Path, array: &Array, format: ArkFormat) -> Result<(), FormatError> {
    let bytes = object_bytes(array, format)
        .map_err(|reason| FormatError::unusable(path, format!("was not written: it {reason}")))?;
    write_whole(path, &bytes)
}

/// One entry as it stands in an archive: a key, a blank and the object. By itself it is an archive of one
/// entry; `name` is used for messages alone.
///
/// # Errors
/// [`FormatError`] if the key is empty or has blanks, or the values are not finite or do not fit the
/// format.
pub fn ark_entry(
    key: &str,
    array: &Array,
    format: ArkFormat,
    name: &Path,
) -> Result<Vec<u8>, FormatError> {
    let wrong = key.is_empty() || key.len() > MAX_KEY;
    if wrong || key.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let reason = format!(
            "cannot hold the key {key:?}: a key is 1 to {MAX_KEY} bytes without blanks; rename the \
             utterance"
        );
        return Err(FormatError::unusable(name, reason));
    }
    let object = object_bytes(array, format).map_err(|reason| {
        FormatError::unusable(name, format!("cannot hold `{key}`: its array {reason}"))
    })?;
    Ok([key.as_bytes(), b" ", &object].concat())
}

/// Writes an archive entry by entry, with an `scp` beside it if wanted.
pub struct ArkWriter {
    path: PathBuf,
    ark: Output,
    scp: Option<Output>,
    format: ArkFormat,
    offset: u64,
}

impl ArkWriter {
    /// Begins an archive, and an `scp` that names it as `path` is given here.
    ///
    /// # Errors
    /// [`FormatError`] if a file cannot be made, or the archive's name cannot stand in an `scp`.
    pub fn create(path: &Path, scp: Option<&Path>, format: ArkFormat) -> Result<Self, FormatError> {
        if scp.is_some() && !path.to_str().is_some_and(can_stand_in_scp) {
            let reason = "cannot be named in an scp: blanks at its ends, line breaks, pipes or \
                          bytes that are no UTF-8; take another name";
            return Err(FormatError::unusable(path, reason));
        }
        let ark = Output::create(path)?;
        let scp = scp.map(Output::create).transpose()?;
        Ok(ArkWriter { path: path.to_path_buf(), ark, scp, format, offset: 0 })
    }

    /// Appends an entry. What was refused leaves no trace in the files.
    ///
    /// # Errors
    /// [`FormatError`] if the disk fails, the key is empty or has blanks, or the values are not
    /// finite or do not fit the format.
    pub fn write(&mut self, key: &str, array: &Array) -> Result<(), FormatError> {
        let entry = ark_entry(key, array, self.format, &self.path)?;
        let place = self.offset + key.len() as u64 + 1;
        self.ark.write(&entry)?;
        self.offset += entry.len() as u64;
        if let Some(scp) = &mut self.scp {
            scp.write(format!("{key} {}:{place}\n", self.path.display()).as_bytes())?;
        }
        Ok(())
    }

    /// Gives the files their names: until then, and where the writer is dropped before, what stood there
    /// stands.
    ///
    /// # Errors
    /// [`FormatError`] if the disk fails.
    pub fn finish(self) -> Result<(), FormatError> {
        self.ark.finish()?;
        self.scp.map_or(Ok(()), Output::finish)
    }
}

/// Whether an `scp` with this name of an archive reads back as it.
fn can_stand_in_scp(name: &str) -> bool {
    name.trim() == name
        && !name.is_empty()
        && !name.starts_with('|')
        && !name.chars().any(char::is_control)
}
