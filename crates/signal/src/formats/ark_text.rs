//! Kaldi's text form of matrices and vectors: numbers in brackets.
//!
//! ```text
//! key [ 1 2 3 ]          a vector: all on one line
//! key  [                 a matrix: a line per row, the first behind the line of the bracket
//!   1 2 3
//!   4 5 6 ]
//! ```
//!
//! An empty matrix and an empty vector look the same, `[ ]`; it is read as a matrix of 0 x 0. Text
//! does not say its precision, so it is read as f64.

use super::array::{Array, Values};
use super::byte_reader::ByteReader;
use super::error::Trouble;

/// Longest number believed: the largest of f64 without an exponent has 309 digits.
const MAX_WORD: usize = 400;

/// Reads an object in text, from behind its key.
pub(crate) fn read(reader: &mut ByteReader) -> Result<Array, Trouble> {
    let start = reader.offset();
    while reader.peek()?.is_some_and(is_blank) {
        reader.skip();
    }
    match reader.peek()? {
        Some(b'[') => reader.skip(),
        None => return Err(reader.cut("an object")),
        Some(_) => {
            let reason = "has neither a binary object nor a `[` behind a key; it is no archive of \
                          matrices or vectors, or damaged";
            return Err(Trouble::at(start, reason));
        }
    }
    let mut values = Vec::new();
    let (mut columns, mut rows, mut in_row) = (0, 0, 0);
    let mut on_one_line = true;
    loop {
        match reader.peek()? {
            None => return Err(reader.cut("an object in text")),
            Some(byte) if is_blank(byte) => reader.skip(),
            Some(byte @ (b'\n' | b']')) => {
                if in_row > 0 {
                    if rows > 0 && in_row != columns {
                        let reason = format!(
                            "has a row of {in_row} numbers in a matrix of {columns} columns; it is \
                             damaged, write it again"
                        );
                        return Err(Trouble::at(reader.offset(), reason));
                    }
                    (columns, rows, in_row) = (in_row, rows + 1, 0);
                }
                reader.skip();
                if byte == b']' {
                    break;
                }
                on_one_line = false;
            }
            Some(_) => {
                values.push(number(reader)?);
                in_row += 1;
            }
        }
    }
    // The line ends with the object.
    while reader.peek()?.is_some_and(is_blank) {
        reader.skip();
    }
    if reader.peek()? == Some(b'\n') {
        reader.skip();
    }
    let shape = match on_one_line && !values.is_empty() {
        true => vec![columns],
        false => vec![rows, columns],
    };
    Array::new(shape, Values::F64(values)).ok_or_else(|| Trouble::at(start, "contradicts itself"))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

fn number(reader: &mut ByteReader) -> Result<f64, Trouble> {
    let start = reader.offset();
    let mut word = Vec::new();
    while let Some(byte) = reader.peek()? {
        if byte <= b' ' || byte == b']' || word.len() > MAX_WORD {
            break;
        }
        word.push(byte);
        reader.skip();
    }
    let number = match word.len() {
        ..=MAX_WORD => std::str::from_utf8(&word).ok().and_then(|word| word.parse::<f64>().ok()),
        _ => None,
    };
    number.filter(|number| number.is_finite()).ok_or_else(|| {
        let reason = format!(
            "holds `{}` where a finite number should stand; it is damaged, write it again",
            word[..word.len().min(40)].escape_ascii()
        );
        Trouble::at(start, reason)
    })
}

/// An array as it stands in a text archive, behind its key: each number with as many digits as tell it
/// from its neighbours.
pub fn kaldi_text(array: &Array) -> String {
    // Debug's form of a float has an exponent where the digits would become many.
    let words: Vec<String> = match array.values() {
        Values::F32(values) => values.iter().map(|value| format!("{value:?}")).collect(),
        Values::F64(values) => values.iter().map(|value| format!("{value:?}")).collect(),
        Values::I16(values) => values.iter().map(i16::to_string).collect(),
    };
    match *array.shape() {
        [_, columns] if !words.is_empty() => {
            let rows: Vec<String> = words.chunks(columns).map(|row| row.join(" ")).collect();
            format!(" [\n  {} ]\n", rows.join(" \n  "))
        }
        _ => format!(" [ {} ]\n", words.join(" ")),
    }
}
