//! HTK's parameter files: a header of 12 bytes and frames, big-endian.
//!
//! ```text
//! frames: 4 bytes, period of a frame in 100 ns: 4, bytes of a frame: 2, kind: 2, then the frames
//! ```
//!
//! (HTK book, section 5.10.1.) The kind's low six bits name the features, the others what was done
//! to them. With `_C` values are 16-bit integers, and the first 4 of the counted frames are not
//! frames but the scales A and offsets B of each dimension, in f32: x = (k + B) / A. With `_K` two
//! bytes of check sum stand behind; they are looked for, but not checked.

use std::path::Path;

use super::array::{Array, Values};
use super::byte_reader::{ByteReader, numbers};
use super::error::{FormatError, Trouble};
use super::output::write_whole;

/// What the numbers of a frame are: HTK's parameter kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HtkKind(pub u16);

impl HtkKind {
    /// Mel-frequency cepstra.
    pub const MFCC: HtkKind = HtkKind(6);
    /// Logarithms of filterbank energies.
    pub const FBANK: HtkKind = HtkKind(7);
    /// Filterbank energies.
    pub const MELSPEC: HtkKind = HtkKind(8);
    /// Of one's own making.
    pub const USER: HtkKind = HtkKind(9);
    /// Perceptual linear prediction.
    pub const PLP: HtkKind = HtkKind(11);

    const WAVEFORM: u16 = 0;
    const IREFC: u16 = 5;
    const DISCRETE: u16 = 10;
    const COMPRESSED: u16 = 0o2000;
    const CHECKED: u16 = 0o10000;

    const NAMES: [&str; 13] = [
        "WAVEFORM",
        "LPC",
        "LPREFC",
        "LPCEPSTRA",
        "LPDELCEP",
        "IREFC",
        "MFCC",
        "FBANK",
        "MELSPEC",
        "USER",
        "DISCRETE",
        "PLP",
        "ANON",
    ];
    const QUALIFIERS: [(u16, &str); 10] = [
        (0o100, "_E"),
        (0o200, "_N"),
        (0o400, "_D"),
        (0o1000, "_A"),
        (0o100000, "_T"),
        (Self::COMPRESSED, "_C"),
        (0o4000, "_Z"),
        (Self::CHECKED, "_K"),
        (0o20000, "_0"),
        (0o40000, "_V"),
    ];

    /// The kind without qualifiers.
    fn base(self) -> u16 {
        self.0 & 0o77
    }

    fn is_compressed(self) -> bool {
        self.0 & Self::COMPRESSED != 0
    }

    fn is_checked(self) -> bool {
        self.0 & Self::CHECKED != 0
    }
}

impl std::fmt::Display for HtkKind {
    /// HTK's name, such as `MFCC_D_A_0`.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Self::NAMES.get(usize::from(self.base())) {
            Some(name) => formatter.write_str(name)?,
            None => write!(formatter, "kind {}", self.base())?,
        }
        for (bit, name) in Self::QUALIFIERS {
            if self.0 & bit != 0 {
                formatter.write_str(name)?;
            }
        }
        Ok(())
    }
}

/// A parameter file.
#[derive(Clone, Debug, PartialEq)]
pub struct HtkFile {
    /// The frames, `[frames, dim]`: f32, or i16 for a waveform (`[samples, 1]`).
    pub features: Array,
    /// From one frame to the next, in units of 100 ns (10 ms: 100 000).
    pub sample_period: u32,
    /// What the numbers are; as read, `_C` and `_K` are taken off, since they speak of the file.
    pub kind: HtkKind,
}

/// Reads a parameter file.
///
/// # Errors
/// [`FormatError`] if the file cannot be read, is cut, longer than its header says, or holds
/// symbols instead of numbers.
pub fn read_htk(path: &Path) -> Result<HtkFile, FormatError> {
    let mut reader = ByteReader::open(path)?;
    read(&mut reader).map_err(|trouble| FormatError::from_trouble(path, trouble))
}

/// Reads a parameter file in memory; `name` is used for messages alone.
///
/// # Errors
/// [`FormatError`], as [`read_htk`].
pub fn parse_htk(bytes: Vec<u8>, name: &Path) -> Result<HtkFile, FormatError> {
    let mut reader = ByteReader::from_bytes(bytes);
    read(&mut reader).map_err(|trouble| FormatError::from_trouble(name, trouble))
}

fn read(reader: &mut ByteReader) -> Result<HtkFile, Trouble> {
    let header = reader.array::<12>("the header of an HTK file")?;
    let word = |index: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| header[index + byte]));
    let half = |index: usize| u16::from_be_bytes([header[index], header[index + 1]]);
    let (frames, sample_period) = (u64::from(word(0)), word(4));
    let (size, kind) = (u64::from(half(8)), HtkKind(half(10)));
    // Below 2^48: no overflow.
    let check = if kind.is_checked() { 2 } else { 0 };
    let needed = frames * size + check;
    let base = kind.base();
    if needed != reader.remaining() || size == 0 || base >= HtkKind::NAMES.len() as u16 {
        let reason = format!(
            "has {} bytes behind a header that announces {frames} frames of {size} bytes of {kind}; \
             it is no HTK file in HTK's own byte order, or was cut short",
            reader.remaining()
        );
        return Err(Trouble::at(0, reason));
    }
    if base == HtkKind::DISCRETE || kind.0 & 0o40000 != 0 {
        let reason = format!("holds symbols of a codebook ({kind}), not features");
        return Err(Trouble::at(10, reason));
    }
    let integers = base == HtkKind::WAVEFORM || base == HtkKind::IREFC || kind.is_compressed();
    let width = if integers { 2 } else { 4 };
    if size % width != 0 {
        let reason =
            format!("has frames of {size} bytes of {kind}, whose values have {width} each");
        return Err(Trouble::at(8, reason));
    }
    // [frames, dim]
    let dim = (size / width) as usize;
    let plain = HtkKind(kind.0 & !(HtkKind::COMPRESSED | HtkKind::CHECKED));
    let start = reader.offset();
    let values = if base == HtkKind::WAVEFORM {
        Values::I16(numbers(&reader.take(frames * size, "the samples")?, i16::from_be_bytes))
    } else if base == HtkKind::IREFC {
        // Reflection coefficients lie in [-1, 1], so their scale is fixed.
        let bytes = reader.take(frames * size, "the frames")?;
        Values::F32(numbers(&bytes, |k| f32::from(i16::from_be_bytes(k)) / 32767.0))
    } else if kind.is_compressed() {
        let Some(frames) = frames.checked_sub(4) else {
            let reason = format!("has {frames} frames of {kind}, which begins with 4 of scales");
            return Err(Trouble::at(0, reason));
        };
        let scales = numbers(&reader.take(4 * dim as u64, "the scales")?, f32::from_be_bytes);
        let offsets = numbers(&reader.take(4 * dim as u64, "the offsets")?, f32::from_be_bytes);
        let bytes = reader.take(frames * size, "the frames")?;
        let mut values: Vec<f32> = numbers(&bytes, |k| f32::from(i16::from_be_bytes(k)));
        for frame in values.chunks_exact_mut(dim) {
            for ((value, scale), offset) in frame.iter_mut().zip(&scales).zip(&offsets) {
                *value = (*value + offset) / scale;
            }
        }
        Values::F32(values)
    } else {
        Values::F32(numbers(&reader.take(frames * size, "the frames")?, f32::from_be_bytes))
    };
    if let Some(index) = values.not_finite() {
        let reason =
            format!("holds a value that is not a finite number (number {index} of {kind})");
        return Err(Trouble::at(start, reason));
    }
    let rows = values.len() / dim;
    let features = Array::new(vec![rows, dim], values)
        .ok_or_else(|| Trouble::at(start, "contradicts itself"))?;
    Ok(HtkFile { features, sample_period, kind: plain })
}

/// Writes a parameter file of f32, neither compressed nor with a check sum.
///
/// # Errors
/// [`FormatError`] if it cannot be written, or the features are no matrix of finite f32 that
/// HTK's header can describe.
pub fn write_htk(path: &Path, file: &HtkFile) -> Result<(), FormatError> {
    let refuse = |reason: String| {
        FormatError::unusable(path, format!("was not written: {reason}; write an ark or a .npy"))
    };
    let ([rows, dim], Values::F32(values)) = (file.features.shape(), file.features.values()) else {
        return Err(refuse("HTK features are a matrix of f32".into()));
    };
    let size = dim.checked_mul(4).and_then(|size| i16::try_from(size).ok());
    let (Some(size @ 1..), Ok(frames)) = (size, i32::try_from(*rows)) else {
        return Err(refuse(format!("HTK's header has no room for {rows} frames of {dim} numbers")));
    };
    if let Some(index) = file.features.values().not_finite() {
        return Err(refuse(format!("value {index} is not a finite number")));
    }
    let base = file.kind.base();
    let integers = [HtkKind::WAVEFORM, HtkKind::IREFC, HtkKind::DISCRETE].contains(&base);
    let file_bits = HtkKind::COMPRESSED | HtkKind::CHECKED | 0o40000;
    if integers || base >= HtkKind::NAMES.len() as u16 || file.kind.0 & file_bits != 0 {
        return Err(refuse(format!("{} is no kind of plain f32 features", file.kind)));
    }
    let mut bytes = Vec::with_capacity(12 + 4 * values.len());
    bytes.extend(frames.to_be_bytes());
    bytes.extend(file.sample_period.to_be_bytes());
    bytes.extend(size.to_be_bytes());
    bytes.extend(file.kind.0.to_be_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    write_whole(path, &bytes)
}
