//! Kaldi's compressed matrices: one or two bytes a value (`matrix/compressed-matrix.cc`).
//!
//! Behind the token stand the least value m, the range r = greatest - least, and the numbers of
//! rows and columns, four bytes each, little-endian. Then one of three layouts:
//!
//! | token | a value | greatest error |
//! |---|---|---|
//! | `CM2` | 16 bits, by rows: m + r k / 65535 | r / 131070 |
//! | `CM3` | 8 bits, by rows: m + r k / 255 | r / 510 |
//! | `CM` | 8 bits, by columns, in three straight pieces | see below |
//!
//! `CM` stores for each column its smallest value, the ones at a quarter and at three quarters of
//! the sorted column, and its greatest, as 16-bit steps of the range; bytes 0–64, 64–192 and
//! 192–255 divide the stretches between them evenly. The middle half of the values, crowded
//! together, so gets half of the bytes. The error is at most half a step of the value's own
//! stretch, (p25 - p0) / 128, (p75 - p25) / 256 or (p100 - p75) / 126, plus a step r / 65535 of the
//! marks. (All bounds but for the rounding of f32; Kaldi rounds with 0.499, a thousandth of a step
//! more.)

use super::byte_reader::ByteReader;
use super::error::Trouble;

/// How a matrix is compressed: Kaldi's `--compression-method`, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// 1: [`Compression::SpeechFeature`] for more than 8 rows, else [`Compression::TwoByteAuto`].
    Automatic,
    /// 2: `CM`, a byte a value with marks for each column.
    SpeechFeature,
    /// 3: `CM2`, two bytes a value over the matrix's own range.
    TwoByteAuto,
    /// 4: `CM2` over -32768 to 32767: 16-bit integers as they are.
    TwoByteSignedInteger,
    /// 5: `CM3`, a byte a value over the matrix's own range.
    OneByteAuto,
    /// 6: `CM3` over 0 to 255: 8-bit integers as they are.
    OneByteUnsignedInteger,
    /// 7: `CM3` over 0 to 1.
    OneByteZeroOne,
}

/// Which layout a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Columns,
    TwoBytes,
    OneByte,
}

impl Layout {
    pub(crate) fn of(token: &[u8]) -> Option<Self> {
        match token {
            b"CM" => Some(Layout::Columns),
            b"CM2" => Some(Layout::TwoBytes),
            b"CM3" => Some(Layout::OneByte),
            _ => None,
        }
    }

    fn token(self) -> &'static [u8] {
        match self {
            Layout::Columns => b"CM ",
            Layout::TwoBytes => b"CM2 ",
            Layout::OneByte => b"CM3 ",
        }
    }
}

/// The range of a matrix.
#[derive(Clone, Copy)]
struct Range {
    least: f32,
    width: f32,
}

impl Range {
    /// The value's share of the range in `steps`, rounded.
    fn step(self, value: f32, steps: f32) -> u32 {
        let share = ((value - self.least) / self.width).clamp(0.0, 1.0);
        (share * steps + 0.499) as u32
    }

    fn value(self, step: f32, steps: f32) -> f32 {
        self.least + self.width / steps * step
    }

    fn mark(self, step: u16) -> f32 {
        self.value(f32::from(step), 65535.0)
    }
}

/// The four marks of a column and the bytes between them.
struct Marks([f32; 4]);

impl Marks {
    fn byte(&self, value: f32) -> u8 {
        let [p0, p25, p75, p100] = self.0;
        let (from, to, first, last) = match () {
            () if value < p25 => (p0, p25, 0.0, 64.0),
            () if value < p75 => (p25, p75, 64.0, 192.0),
            () => (p75, p100, 192.0, 255.0),
        };
        // `as` cuts off behind the point: half a step more rounds.
        let place: f32 = (value - from) / (to - from) * (last - first) + 0.5;
        (first + place.floor()).clamp(first, last) as u8
    }

    fn value(&self, byte: u8) -> f32 {
        let [p0, p25, p75, p100] = self.0;
        let byte = f32::from(byte);
        match byte {
            ..=64.0 => p0 + (p25 - p0) * byte * (1.0 / 64.0),
            ..=192.0 => p25 + (p75 - p25) * (byte - 64.0) * (1.0 / 128.0),
            _ => p75 + (p100 - p75) * (byte - 192.0) * (1.0 / 63.0),
        }
    }
}

/// Token, header and bytes of `values`, `[rows, columns]`, all finite.
///
/// # Errors
/// A sentence's end, if the values do not fit the method's range.
pub(crate) fn compress(
    rows: usize,
    columns: usize,
    values: &[f32],
    method: Compression,
) -> Result<Vec<u8>, String> {
    let layout = match method {
        Compression::Automatic if rows > 8 => Layout::Columns,
        Compression::SpeechFeature => Layout::Columns,
        Compression::Automatic | Compression::TwoByteAuto | Compression::TwoByteSignedInteger => {
            Layout::TwoBytes
        }
        _ => Layout::OneByte,
    };
    let mut bytes = layout.token().to_vec();
    if values.is_empty() {
        bytes.extend([0; 16]);
        return Ok(bytes);
    }
    let least = values.iter().fold(f32::INFINITY, |a, b| a.min(*b));
    let greatest = values.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let range = match method {
        Compression::TwoByteSignedInteger => Range { least: -32768.0, width: 65535.0 },
        Compression::OneByteUnsignedInteger => Range { least: 0.0, width: 255.0 },
        Compression::OneByteZeroOne => Range { least: 0.0, width: 1.0 },
        // Of one value only: any range will do, as long as it is one.
        _ if least == greatest => Range { least, width: 1.0 + least.abs() },
        _ => Range { least, width: greatest - least },
    };
    let end = range.least + range.width;
    let own = !matches!(
        method,
        Compression::TwoByteSignedInteger
            | Compression::OneByteUnsignedInteger
            | Compression::OneByteZeroOne
    );
    if !end.is_finite() || !range.width.is_finite() || range.width <= 0.0 {
        return Err(format!(
            "spans {least:e} to {greatest:e}, which compression cannot represent; write it \
             uncompressed"
        ));
    }
    if !own && (least < range.least || greatest > end) {
        return Err(format!(
            "spans {least} to {greatest}, which does not lie within the {} to {end} of this \
             compression; take an automatic one",
            range.least
        ));
    }
    let size = |size: usize| i32::try_from(size).map_err(|_| format!("has {size} rows or columns"));
    bytes.extend(range.least.to_le_bytes());
    bytes.extend(range.width.to_le_bytes());
    bytes.extend(size(rows)?.to_le_bytes());
    bytes.extend(size(columns)?.to_le_bytes());
    match layout {
        Layout::TwoBytes => {
            bytes
                .extend(values.iter().flat_map(|v| (range.step(*v, 65535.0) as u16).to_le_bytes()));
        }
        Layout::OneByte => bytes.extend(values.iter().map(|v| range.step(*v, 255.0) as u8)),
        Layout::Columns => {
            let columns: Vec<Vec<f32>> = (0..columns)
                .map(|column| values[column..].iter().step_by(columns).copied().collect())
                .collect();
            let steps: Vec<[u16; 4]> = columns.iter().map(|column| marks(column, range)).collect();
            bytes.extend(steps.iter().flatten().flat_map(|step| step.to_le_bytes()));
            for (column, steps) in columns.iter().zip(steps) {
                let marks = Marks(steps.map(|step| range.mark(step)));
                bytes.extend(column.iter().map(|value| marks.byte(*value)));
            }
        }
    }
    Ok(bytes)
}

/// The marks of a column in steps of the range, each above the one before.
fn marks(column: &[f32], range: Range) -> [u16; 4] {
    let mut sorted = column.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let last = sorted.len() - 1;
    let quarter = sorted.len() / 4;
    // Of fewer than five values the marks are the values themselves.
    let places = match sorted.len() {
        5.. => [Some(0), Some(quarter), Some(3 * quarter), Some(last)],
        _ => [0, 1, 2, 3].map(|place| (place <= last).then_some(place)),
    };
    let mut marks = [0u16; 4];
    let mut below = None;
    for (index, place) in places.into_iter().enumerate() {
        let step = place.map_or(0, |place| range.step(sorted[place], 65535.0) as u16);
        // Room is left above for the marks to come.
        let least = below.map_or(0, |below: u16| below + 1);
        marks[index] = step.max(least).min(65532 + index as u16);
        below = Some(marks[index]);
    }
    marks
}

/// Reads what stands behind the token: rows, columns and values by rows.
pub(crate) fn decompress(
    layout: Layout,
    reader: &mut ByteReader,
) -> Result<(usize, usize, Vec<f32>), Trouble> {
    let start = reader.offset();
    let header = reader.array::<16>("the header of a compressed matrix")?;
    let word = |index: usize| [0, 1, 2, 3].map(|byte| header[4 * index + byte]);
    let range = Range { least: f32::from_le_bytes(word(0)), width: f32::from_le_bytes(word(1)) };
    let (rows, columns) = (i32::from_le_bytes(word(2)), i32::from_le_bytes(word(3)));
    let (Ok(rows), Ok(columns)) = (usize::try_from(rows), usize::try_from(columns)) else {
        let reason = format!(
            "announces a compressed matrix of {rows} rows and {columns} columns; write it again"
        );
        return Err(Trouble::at(start, reason));
    };
    if rows == 0 || columns == 0 {
        if rows != columns {
            let reason = format!(
                "announces a compressed matrix of {rows} rows and {columns} columns; write it again"
            );
            return Err(Trouble::at(start, reason));
        }
        return Ok((0, 0, Vec::new()));
    }
    if !range.least.is_finite() || !range.width.is_finite() {
        let reason = format!(
            "has a compressed matrix from {} over {}; write it again",
            range.least, range.width
        );
        return Err(Trouble::at(start, reason));
    }
    // Both are below 2^31: no overflow in 64 bits.
    let count = rows as u64 * columns as u64;
    let what = format!("a compressed matrix of {rows} x {columns}");
    let values = match layout {
        Layout::TwoBytes => reader
            .take(2 * count, &what)?
            .as_chunks::<2>()
            .0
            .iter()
            .map(|step| range.mark(u16::from_le_bytes(*step)))
            .collect(),
        Layout::OneByte => reader
            .take(count, &what)?
            .iter()
            .map(|step| range.value(f32::from(*step), 255.0))
            .collect(),
        Layout::Columns => {
            let bytes = reader.take(8 * columns as u64 + count, &what)?;
            let (marks, bytes) = bytes.split_at(8 * columns);
            let mut values = vec![0f32; rows * columns];
            let parts = marks.as_chunks::<8>().0.iter().zip(bytes.chunks_exact(rows));
            for (column, (marks, bytes)) in parts.enumerate() {
                let mark =
                    |i: usize| range.mark(u16::from_le_bytes([marks[2 * i], marks[2 * i + 1]]));
                let marks = Marks([0, 1, 2, 3].map(mark));
                for (row, byte) in bytes.iter().enumerate() {
                    values[row * columns + column] = marks.value(*byte);
                }
            }
            values
        }
    };
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        let reason = format!("has a compressed matrix with the value {value}; write it again");
        return Err(Trouble::at(start, reason));
    }
    Ok((rows, columns, values))
}
