//! NumPy's `.npy`: one array with a header in Python's notation.
//!
//! ```text
//! \x93NUMPY major minor length {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } values
//! ```
//!
//! `length` has 2 bytes in version 1 and 4 in versions 2 and 3, which also differ in the header's
//! character set, without effect on numbers (NumPy enhancement proposal 1). Read are f32, f64 and
//! 16-bit integers of both byte orders; columns first (`fortran_order`) is turned to rows first.
//! Written is version 1, little-endian.

use std::path::Path;

use super::array::{Array, Values};
use super::byte_reader::{ByteReader, numbers};
use super::error::{FormatError, Trouble};
use super::output::write_whole;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Longest header believed; NumPy's own limit, beyond which its parser is no longer safe.
const MAX_HEADER: u64 = 10_000;

/// Most dimensions (NumPy's).
const MAX_DIMENSIONS: usize = 64;

/// Reads an array.
///
/// # Errors
/// [`FormatError`] if the file cannot be read, is cut, longer than its header says, or of another
/// kind of numbers.
pub fn read_npy(path: &Path) -> Result<Array, FormatError> {
    let mut reader = ByteReader::open(path)?;
    read(&mut reader).map_err(|trouble| FormatError::from_trouble(path, trouble))
}

/// Reads an array in memory; `name` is used for messages alone.
///
/// # Errors
/// [`FormatError`], as [`read_npy`].
pub fn parse_npy(bytes: Vec<u8>, name: &Path) -> Result<Array, FormatError> {
    let mut reader = ByteReader::from_bytes(bytes);
    read(&mut reader).map_err(|trouble| FormatError::from_trouble(name, trouble))
}

fn read(reader: &mut ByteReader) -> Result<Array, Trouble> {
    let [magic @ .., major, _minor] = reader.array::<8>("the magic of a .npy")?;
    if magic != *MAGIC {
        let reason = match magic.starts_with(b"PK\x03\x04") {
            true => "is an .npz, an archive of arrays; unpack it and name one",
            false => "does not begin as a .npy does; name one written by numpy.save",
        };
        return Err(Trouble::at(0, reason));
    }
    let length = match major {
        1 => u64::from(u16::from_le_bytes(reader.array("the header's length")?)),
        2 | 3 => u64::from(u32::from_le_bytes(reader.array("the header's length")?)),
        _ => {
            let reason = format!("is a .npy of version {major}; versions 1 to 3 are read");
            return Err(Trouble::at(6, reason));
        }
    };
    let start = reader.offset();
    if length > MAX_HEADER {
        let reason = format!("has a header of {length} bytes; no array of numbers needs that much");
        return Err(Trouble::at(start, reason));
    }
    let bytes = reader.take(length, "the header")?;
    let header = Header::parse(&bytes).map_err(|reason| Trouble::at(start, reason))?;
    let start = reader.offset();
    let count = header.shape.iter().try_fold(1u64, |count, side| count.checked_mul(*side));
    let needed = count.and_then(|count| count.checked_mul(header.width));
    let Some(needed) = needed.filter(|needed| *needed == reader.remaining()) else {
        let needed = needed.map_or("more than 2^64".to_string(), |needed| needed.to_string());
        let reason = format!(
            "has {} bytes of values where the shape {:?} needs {needed}; it was cut short or \
             damaged, save it again",
            reader.remaining(),
            header.shape
        );
        return Err(Trouble::at(start, reason));
    };
    let bytes = reader.take(needed, "the values")?;
    let values = match (header.kind, header.width, header.big_endian) {
        ('f', 4, false) => Values::F32(numbers(&bytes, f32::from_le_bytes)),
        ('f', 4, true) => Values::F32(numbers(&bytes, f32::from_be_bytes)),
        ('f', _, false) => Values::F64(numbers(&bytes, f64::from_le_bytes)),
        ('f', _, true) => Values::F64(numbers(&bytes, f64::from_be_bytes)),
        (_, _, false) => Values::I16(numbers(&bytes, i16::from_le_bytes)),
        (_, _, true) => Values::I16(numbers(&bytes, i16::from_be_bytes)),
    };
    if let Some(index) = values.not_finite() {
        let reason = "holds a value that is not a finite number; compute it again";
        return Err(Trouble::at(start + index as u64 * header.width, reason));
    }
    // A side of an empty array may be anything; all others are bounded by the bytes there are.
    let shape: Vec<usize> =
        header.shape.iter().map(|side| usize::try_from(*side).unwrap_or(usize::MAX)).collect();
    let values = match header.fortran_order {
        true => by_rows(&shape, values),
        false => values,
    };
    Array::new(shape, values).ok_or_else(|| Trouble::at(start, "contradicts itself"))
}

/// What the header says.
struct Header {
    kind: char,
    width: u64,
    big_endian: bool,
    fortran_order: bool,
    shape: Vec<u64>,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Header, String> {
        let broken = |what: &str| {
            format!("has a header that {what}, not one that numpy.save writes; save it again")
        };
        let text = std::str::from_utf8(bytes).map_err(|_| broken("is no text"))?;
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        let mut rest = text
            .trim()
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .ok_or_else(|| broken("is no dictionary"))?
            .trim();
        while !rest.is_empty() {
            let (key, after) = string(rest).ok_or_else(|| broken("has a key that is no string"))?;
            let value = after
                .trim_start()
                .strip_prefix(':')
                .ok_or_else(|| broken("has a key without a value"))?
                .trim_start();
            let after = match key {
                "descr" => {
                    let Some((value, after)) = string(value) else {
                        return Err(
                            "holds records of several kinds; save the columns as arrays of \
                                    f4, f8 or i2"
                                .into(),
                        );
                    };
                    descr = Some(value);
                    after
                }
                "fortran_order" => {
                    let after = value.strip_prefix("True").map(|after| (true, after));
                    let (value, after) = after
                        .or_else(|| value.strip_prefix("False").map(|after| (false, after)))
                        .ok_or_else(|| broken("has an order that is neither True nor False"))?;
                    fortran_order = Some(value);
                    after
                }
                "shape" => {
                    let (value, after) = sides(value).ok_or_else(|| broken("has no shape"))?;
                    shape = Some(value);
                    after
                }
                _ => return Err(broken("has a key that no .npy has")),
            };
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(after) => after.trim_start(),
                None if after.is_empty() => after,
                None => return Err(broken("has no comma between its keys")),
            };
        }
        let (Some(descr), Some(fortran_order), Some(shape)) = (descr, fortran_order, shape) else {
            return Err(broken("lacks one of descr, fortran_order and shape"));
        };
        let (kind, width, big_endian) = match descr {
            "<f4" => ('f', 4, false),
            ">f4" => ('f', 4, true),
            "<f8" => ('f', 8, false),
            ">f8" => ('f', 8, true),
            "<i2" => ('i', 2, false),
            ">i2" => ('i', 2, true),
            other => {
                return Err(format!(
                    "holds numbers of kind `{}`; f4, f8 and i2 are read, so convert it \
                     (array.astype('f4'))",
                    other.chars().take(20).collect::<String>().escape_default()
                ));
            }
        };
        Ok(Header { kind, width, big_endian, fortran_order, shape })
    }
}

/// A string in either kind of quotes, and what follows it.
fn string(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// `(3, 4)`, `(3,)` or `()`, and what follows.
fn sides(text: &str) -> Option<(Vec<u64>, &str)> {
    let (inner, after) = text.strip_prefix('(')?.split_once(')')?;
    let inner = inner.trim();
    let inner = inner.strip_suffix(',').unwrap_or(inner);
    if inner.is_empty() {
        return Some((Vec::new(), after));
    }
    let sides: Option<Vec<u64>> = inner
        .split(',')
        // Python 2 wrote long integers with an L.
        .map(|side| side.trim().trim_end_matches('L').parse().ok())
        .collect();
    sides.filter(|sides| sides.len() <= MAX_DIMENSIONS).map(|sides| (sides, after))
}

/// From the first dimension running fastest to the last.
fn by_rows(shape: &[usize], values: Values) -> Values {
    fn turn<T: Copy>(shape: &[usize], values: &[T]) -> Vec<T> {
        let mut strides = Vec::with_capacity(shape.len());
        let mut stride = 1;
        for side in shape {
            strides.push(stride);
            stride *= side;
        }
        let mut place = vec![0; shape.len()];
        let mut index = 0;
        let mut turned = Vec::with_capacity(values.len());
        while turned.len() < values.len() {
            turned.push(values[index]);
            // The next place, the last dimension first, like a mileage counter.
            for dimension in (0..shape.len()).rev() {
                place[dimension] += 1;
                index += strides[dimension];
                if place[dimension] < shape[dimension] {
                    break;
                }
                index -= strides[dimension] * shape[dimension];
                place[dimension] = 0;
            }
        }
        turned
    }
    if values.is_empty() {
        return values;
    }
    match values {
        Values::F32(values) => Values::F32(turn(shape, &values)),
        Values::F64(values) => Values::F64(turn(shape, &values)),
        Values::I16(values) => Values::I16(turn(shape, &values)),
    }
}

/// Writes an array as `numpy.save` does.
///
/// # Errors
/// [`FormatError`] if it cannot be written, has values that are not finite, or a shape beyond what
/// a header of version 1 holds.
pub fn write_npy(path: &Path, array: &Array) -> Result<(), FormatError> {
    if let Some(index) = array.values().not_finite() {
        let reason = format!("was not written: value {index} is not a finite number");
        return Err(FormatError::unusable(path, reason));
    }
    if array.shape().len() > MAX_DIMENSIONS {
        let reason = format!("was not written: {} dimensions are too many", array.shape().len());
        return Err(FormatError::unusable(path, reason));
    }
    let (descr, width) = match array.values() {
        Values::F32(_) => ("<f4", 4),
        Values::F64(_) => ("<f8", 8),
        Values::I16(_) => ("<i2", 2),
    };
    let sides: Vec<String> = array.shape().iter().map(usize::to_string).collect();
    let comma = if sides.len() == 1 { "," } else { "" };
    let mut header = format!(
        "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        sides.join(", ")
    );
    // The values begin at a multiple of 64 bytes: magic, version and length are 10.
    let padding = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let mut bytes = Vec::with_capacity(10 + header.len() + array.values().len() * width);
    bytes.extend(MAGIC);
    bytes.extend([1, 0]);
    // At most 64 sides of 20 digits: far below 65536.
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    match array.values() {
        Values::F32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Values::F64(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Values::I16(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
    }
    write_whole(path, &bytes)
}
