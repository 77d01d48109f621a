//! Kaldi's `scp`: a line per key that says in which file, and where in it, the object stands.
//!
//! ```text
//! key file.ark:1234          the object at byte 1234
//! key file.mat               a file that is an object
//! key file.ark:1234[0:99]    its rows 0 to 99, both included; [0:99,0:12] columns too
//! ```
//!
//! A path is taken as it stands, from the folder in which the program runs, as in Kaldi. Commands
//! (`gunzip -c file.gz |`) are refused: reading features does not run programs.

use std::path::{Path, PathBuf};

use super::ark::read_kaldi;
use super::array::Array;
use super::byte_reader::ByteReader;
use super::error::{FormatError, Trouble};

/// Rows that a range may reach beyond the matrix: Kaldi's segments are rounded to frames, and it
/// cuts such a range off.
const TOLERANCE: usize = 3;

/// Rows and columns of a matrix, first and last, both included; `None` for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowRange {
    /// First and last row.
    pub rows: Option<(usize, usize)>,
    /// First and last column.
    pub columns: Option<(usize, usize)>,
}

/// A line of an `scp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScpEntry {
    /// The utterance, or whatever the object belongs to.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// The byte at which the object stands.
    pub offset: u64,
    /// The part that is wanted.
    pub range: RowRange,
}

impl ScpEntry {
    /// Reads the object.
    ///
    /// # Errors
    /// [`FormatError`], as [`read_kaldi`]; and for a range that ends more than 3 rows beyond the
    /// matrix, or is one of a vector.
    pub fn read(&self) -> Result<Array, FormatError> {
        let array = read_kaldi(&self.path, self.offset)?;
        if self.range == RowRange::default() {
            return Ok(array);
        }
        let refuse = |what: String| {
            let reason = format!(
                "has at byte {} {what}, which the range of `{}` in the scp does not fit; write the \
                 scp again",
                self.offset, self.key
            );
            FormatError::unusable(&self.path, reason)
        };
        let [rows, columns] = *array.shape() else { return Err(refuse("a vector".into())) };
        let matrix = || refuse(format!("a matrix of {rows} x {columns}"));
        let (first, last) = self.range.rows.unwrap_or((0, rows.saturating_sub(1)));
        let (left, right) = self.range.columns.unwrap_or((0, columns.saturating_sub(1)));
        if first >= rows || last >= rows + TOLERANCE || left >= columns || right >= columns {
            return Err(matrix());
        }
        Ok(array.part(first..last.min(rows - 1) + 1, left..right + 1))
    }
}

/// Reads an `scp`.
///
/// # Errors
/// [`FormatError`] if it cannot be read, or a line of it: none of them is left out.
pub fn read_scp(path: &Path) -> Result<Vec<ScpEntry>, FormatError> {
    let mut reader = ByteReader::open(path)?;
    let bytes = reader
        .take(reader.len(), "an scp")
        .map_err(|trouble| FormatError::from_trouble(path, trouble))?;
    parse_scp(&bytes, path)
}

/// Reads an `scp` in memory; `name` is used for messages alone.
///
/// # Errors
/// [`FormatError`], as [`read_scp`].
pub fn parse_scp(bytes: &[u8], name: &Path) -> Result<Vec<ScpEntry>, FormatError> {
    parse(bytes).map_err(|trouble| FormatError::from_trouble(name, trouble))
}

fn parse(bytes: &[u8]) -> Result<Vec<ScpEntry>, Trouble> {
    let mut entries = Vec::new();
    let mut offset = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let start = offset;
        offset += line.len() as u64;
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(Trouble::at(start, "has a line that is no UTF-8 text; it is no scp"));
        };
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let Some((key, place)) = line.split_once([' ', '\t']) else {
            let reason =
                format!("has a line with `{}` alone; a line is a key and a file", brief(line));
            return Err(Trouble::at(start, reason));
        };
        let entry = entry(key, place.trim()).map_err(|reason| Trouble::at(start, reason))?;
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(key: &str, place: &str) -> Result<ScpEntry, String> {
    if place.starts_with('|') || place.ends_with('|') {
        return Err(format!(
            "takes `{}` from a command, and reading features runs no programs; run it first, and \
             name the file that it writes",
            brief(key)
        ));
    }
    let (place, range) = match place.strip_suffix(']').and_then(|place| place.rsplit_once('[')) {
        Some((place, text)) => {
            let range = range(text).ok_or_else(|| {
                format!(
                    "has the range [{}] for `{}`; a range is [first:last] or \
                     [first:last,first:last], both included",
                    brief(text),
                    brief(key)
                )
            })?;
            (place, range)
        }
        None => (place, RowRange::default()),
    };
    let (path, offset) = match place.rsplit_once(':') {
        Some((path, digits))
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            let offset = digits.parse().map_err(|_| {
                format!("has an offset beyond any file for `{}`; write it again", brief(key))
            })?;
            (path, offset)
        }
        _ => (place, 0),
    };
    if path.is_empty() || path == "-" {
        return Err(format!("names no file for `{}`; write one", brief(key)));
    }
    Ok(ScpEntry { key: key.to_string(), path: path.into(), offset, range })
}

fn range(text: &str) -> Option<RowRange> {
    fn ends(text: &str) -> Option<Option<(usize, usize)>> {
        if text.is_empty() || text == ":" {
            return Some(None);
        }
        let (first, last) = text.split_once(':')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u32>().ok()).flatten().map(|number| number as usize)
        };
        let (first, last) = (number(first)?, number(last)?);
        (first <= last).then_some(Some((first, last)))
    }
    let (rows, columns) = text.split_once(',').unwrap_or((text, ""));
    Some(RowRange { rows: ends(rows)?, columns: ends(columns)? })
}

/// The beginning of a text, for a message.
fn brief(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
