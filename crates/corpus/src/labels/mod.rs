//! Label tracks: what is said when, as one structure in memory and six formats in files.
//!
//! | format | file | times | tiers | overlaps |
//! |---|---|---|---|---|
//! | Audacity | `.txt` | seconds | one | allowed |
//! | NIST CTM | `.ctm` | start and duration in seconds | one for each channel | allowed |
//! | Praat TextGrid | `.TextGrid`, long and short, UTF-8 or UTF-16 | seconds | named | a fault in a tier |
//! | TIMIT | `.phn`, `.wrd` | sample numbers | one | a fault among phones |
//! | SubRip | `.srt` | milliseconds | one | allowed |
//! | JSON, our own | `.json` | seconds | named | allowed |
//!
//! The last holds whatever the structure in memory holds, to the last bit, and is what shards carry
//! where a track was cut.
//!
//! Whatever the format, these are faults, told with file, line and reason: text in no encoding that
//! the format knows, a time that is no number, negative or past the end of the recording, and an end
//! before its start. In TIMIT's own example the words share a sound, so that one ends after the next
//! begins; its phones never do.
//!
//! Times count from the beginning of the audio *file*, as the programs that write them mean it.
//! [`read_labels`] gives those of one utterance, which may be a section of its file.

mod audacity;
mod ctm;
mod encoding;
mod json;
mod srt;
mod textgrid;
mod timit;
mod utterance;

pub use textgrid::{TextGridForm, to_text_grid};
pub(crate) use utterance::read_for;
pub use utterance::read_labels;

use crate::atomic::{remedy, write_atomically};
use labyrinth_signal::is_special_file;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A label may end this many seconds past the recording, as sections of audio may: tools round.
pub const TOLERANCE: f64 = 0.05;

/// Something that happens from `start` to `end`; a point in time where the two are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// Seconds from the beginning.
    pub start: f64,
    /// Seconds from the beginning, not before `start`.
    pub end: f64,
    /// What: a word, a phone, a note.
    pub text: String,
    /// How sure its writer was, 0 to 1; of the formats only CTM and JSON carry it.
    pub confidence: Option<f64>,
}

impl Label {
    /// A label without confidence.
    pub fn new(start: f64, end: f64, text: impl Into<String>) -> Self {
        Self { start, end, text: text.into(), confidence: None }
    }
}

/// Labels of one kind: the words, the phones, one channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tier {
    /// Empty where the format has no names.
    pub name: String,
    /// In the order of the file.
    pub labels: Vec<Label>,
}

/// All labels of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelTrack {
    /// In the order of the file.
    pub tiers: Vec<Tier>,
}

/// The formats that are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelFormat {
    /// What Audacity exports: `start TAB end TAB label`.
    Audacity,
    /// NIST's time-marked words, `recording channel start duration word [confidence]`.
    Ctm,
    /// Praat's, both text forms.
    TextGrid,
    /// TIMIT's phones: `first-sample sample-after-the-last phone`.
    TimitPhones,
    /// TIMIT's words: as the phones, and may overlap.
    TimitWords,
    /// SubRip subtitles.
    Srt,
    /// Our own: everything that a track can hold.
    Json,
}

impl LabelFormat {
    /// The format that a file's name ends with, if it is one.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "txt" => Some(Self::Audacity),
            "ctm" => Some(Self::Ctm),
            "textgrid" => Some(Self::TextGrid),
            "phn" => Some(Self::TimitPhones),
            "wrd" => Some(Self::TimitWords),
            "srt" => Some(Self::Srt),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// What is known of the recording that the labels belong to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recording<'a> {
    /// Hz; TIMIT counts in samples.
    pub sample_rate: Option<u32>,
    /// Its length; where given, labels past it are a fault.
    pub seconds: Option<f64>,
    /// What a CTM may call it; the first is what one is written with. With none, a CTM must be of a
    /// single recording.
    pub names: &'a [&'a str],
}

/// What is wrong with the content of a label track.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LabelFault {
    /// Counted from one.
    pub line: usize,
    /// In words.
    pub reason: String,
}

impl LabelFault {
    fn new(line: usize, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into() }
    }
}

/// Why a label track could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// There is no such file.
    #[error("there is no label track {}; put it there or correct the path", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed, or the file may not be read.
    #[error("{} cannot be read ({source}); see to the disk or its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The disk failed, or is full.
    #[error("{} cannot be written ({source}); {} or choose another folder", path.display(), remedy(source))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The name does not tell the format, or it is no file.
    #[error(
        "{} is no label track; its name must end in .txt (Audacity), .ctm, .TextGrid, .phn, .wrd, \
         .srt or .json, and it must be a file",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// A line is broken.
    #[error("{}, line {line}: {reason}; correct the line or remove it", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The labels cannot stand in this format.
    #[error("{} cannot hold these labels ({reason}); choose another format", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What the format lacks.
        reason: String,
    },
}

impl LabelTrack {
    /// A track of one tier without a name.
    pub fn single(labels: Vec<Label>) -> Self {
        Self { tiers: vec![Tier { name: String::new(), labels }] }
    }

    /// Every label, tier after tier.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        self.tiers.iter().flat_map(|tier| &tier.labels)
    }

    /// The first tier of this name.
    pub fn tier(&self, name: &str) -> Option<&Tier> {
        self.tiers.iter().find(|tier| tier.name == name)
    }

    /// The labels of the recording played `speed` times as fast: every time divided by `speed`, as
    /// `labyrinth_signal::change_speed` divides the length. A speed that is not above zero changes
    /// nothing, there and here.
    pub fn scale(&self, speed: f64) -> Self {
        let mut track = self.clone();
        if speed > 0.0 && speed.is_finite() {
            for label in track.tiers.iter_mut().flat_map(|tier| &mut tier.labels) {
                label.start /= speed;
                label.end /= speed;
            }
        }
        track
    }

    /// The labels of the section that begins at `offset` and lasts `duration` seconds, counted from its
    /// beginning. What reaches over an edge is cut there; what only touches one is left out. All tiers
    /// stay, also those that are empty then.
    pub fn section(&self, offset: f64, duration: f64) -> Self {
        let end = offset + duration;
        let cut = |label: &Label| {
            let inside = if label.start == label.end {
                offset <= label.start && label.start < end
            } else {
                label.end > offset && label.start < end
            };
            inside.then(|| Label {
                start: label.start.max(offset) - offset,
                end: label.end.min(end) - offset,
                ..label.clone()
            })
        };
        let tier = |tier: &Tier| Tier {
            name: tier.name.clone(),
            labels: tier.labels.iter().filter_map(cut).collect(),
        };
        Self { tiers: self.tiers.iter().map(tier).collect() }
    }

    /// Reads a file; its name tells the format.
    ///
    /// # Errors
    /// [`LabelError`], with the line where there is one.
    pub fn read(path: &Path, recording: &Recording<'_>) -> Result<Self, LabelError> {
        let format =
            LabelFormat::of(path).ok_or_else(|| LabelError::Unknown { path: path.to_owned() })?;
        if path.is_dir() || is_special_file(path) {
            return Err(LabelError::Unknown { path: path.to_owned() });
        }
        let bytes = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                LabelError::Missing { path: path.to_owned() }
            }
            _ => LabelError::Read { path: path.to_owned(), source },
        })?;
        Self::parse(&bytes, format, recording).map_err(|LabelFault { line, reason }| {
            LabelError::Line { path: path.to_owned(), line, reason }
        })
    }

    /// Reads the content of a file.
    ///
    /// # Errors
    /// [`LabelFault`]: the line and what is wrong there.
    pub fn parse(
        bytes: &[u8],
        format: LabelFormat,
        recording: &Recording<'_>,
    ) -> Result<Self, LabelFault> {
        match format {
            LabelFormat::Audacity => audacity::parse(encoding::utf8(bytes)?, recording),
            LabelFormat::Ctm => ctm::parse(encoding::utf8(bytes)?, recording),
            LabelFormat::TextGrid => textgrid::parse(&encoding::praat(bytes)?, recording),
            LabelFormat::TimitPhones => timit::parse(encoding::utf8(bytes)?, recording, false),
            LabelFormat::TimitWords => timit::parse(encoding::utf8(bytes)?, recording, true),
            LabelFormat::Srt => srt::parse(encoding::utf8(bytes)?, recording),
            LabelFormat::Json => json::parse(encoding::utf8(bytes)?, recording),
        }
    }

    /// Writes a file, whole or not at all; its name tells the format. A TextGrid gets the long form.
    ///
    /// # Errors
    /// [`LabelError::Unfit`] where the format cannot hold the labels, and where the disk fails.
    pub fn write(&self, path: &Path, recording: &Recording<'_>) -> Result<(), LabelError> {
        let format =
            LabelFormat::of(path).ok_or_else(|| LabelError::Unknown { path: path.to_owned() })?;
        let text = self
            .to_text(format, recording)
            .map_err(|reason| LabelError::Unfit { path: path.to_owned(), reason })?;
        write_atomically(path, |file| file.write_all(text.as_bytes()))
            .map_err(|source| LabelError::Write { path: path.to_owned(), source })
    }

    /// The content of a file. Formats without tiers get all labels, tier after tier.
    ///
    /// # Errors
    /// Why the format cannot hold these labels, in words.
    pub fn to_text(
        &self,
        format: LabelFormat,
        recording: &Recording<'_>,
    ) -> Result<String, String> {
        for label in self.labels() {
            check_times(label.start, label.end, None)
                .map_err(|reason| format!("{:?}: {reason}", label.text))?;
        }
        match format {
            LabelFormat::Audacity => audacity::to_text(self),
            LabelFormat::Ctm => ctm::to_text(self, recording),
            LabelFormat::TextGrid => to_text_grid(self, recording, TextGridForm::Long),
            LabelFormat::TimitPhones => timit::to_text(self, recording, false),
            LabelFormat::TimitWords => timit::to_text(self, recording, true),
            LabelFormat::Srt => srt::to_text(self),
            LabelFormat::Json => json::to_text(self),
        }
    }
}

/// A number of seconds, or why it is none.
fn seconds(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok();
    value
        .filter(|value| value.is_finite())
        .ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

/// What every format asks of a label's times.
fn check_times(start: f64, end: f64, length: Option<f64>) -> Result<(), String> {
    // Not a number fails every comparison, so that these are written as what must hold.
    if !(start >= 0.0 && start.is_finite()) {
        return Err(format!("it starts at {start} s"));
    }
    if !(end >= start && end.is_finite()) {
        return Err(format!("it ends at {end} s, before it starts at {start} s"));
    }
    match length {
        Some(length) if end > length + TOLERANCE => {
            Err(format!("it ends at {end} s, and the recording at {length} s"))
        }
        _ => Ok(()),
    }
}

/// For tiers without overlaps: `label` must not begin before the one above it ends.
fn check_order(above: Option<&Label>, label: &Label) -> Result<(), String> {
    match above {
        // One part in a million of a second: numbers that were added up in different orders.
        Some(above) if label.start < above.end - 1e-6 => Err(format!(
            "{:?} starts at {} s, and {:?} above it ends at {} s only: they overlap",
            label.text, label.start, above.text, above.end
        )),
        _ => Ok(()),
    }
}

/// Six decimals, as Audacity writes; more where the number has more.
fn spell_seconds(value: f64) -> String {
    let short = format!("{value:.6}");
    if short.parse() == Ok(value) { short } else { format!("{value}") }
}

/// Labels whose text would break a format of lines.
fn one_line(text: &str) -> Result<&str, String> {
    if text.contains(['\n', '\r']) { Err(format!("{text:?} holds a line break")) } else { Ok(text) }
}

#[cfg(test)]
mod tests;
