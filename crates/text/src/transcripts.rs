//! Files of transcripts: JSON Lines, Kaldi `text`, or plain lines.
//!
//! - **JSON Lines**: one object a line with `id` and `text`, which a NeMo manifest is. Without `id`,
//!   the id is `audio_filepath`, with `@` and `offset` behind it where the line has an offset. As a
//!   hypothesis, a line's `pred_text` goes before its `text`, so that a manifest written by a
//!   recogniser can be scored as it stands. `speaker` is kept; other keys are passed over.
//! - **Kaldi `text`**: the id, white space, the words.
//! - **Plain**: line N is utterance N, and its id is its number, from 1.
//!
//! Blank lines are passed over in the first two, and are an empty transcript in the third (where
//! blank lines of a hypothesis beyond the reference mean nothing and are left out by the scorer).
//! A byte order mark and carriage returns at the ends of lines are dropped.
//!
//! [`TranscriptFormat::Auto`] does not guess between words and ids where both are sensible, and the
//! report says what it read. It looks at the first token of every line of both files:
//!
//! - a file whose first line that is not blank begins with `{` is JSON Lines;
//! - a file is Kaldi `text` where *every* first token looks like an id: it holds `_`, or both a
//!   digit and a letter (digits alone may be spoken numbers), or a digit and `-`;
//! - else it is plain if first tokens repeat (ids do not), or, of two files, if one of the two
//!   repeats first tokens or they have no first token in common;
//! - what is left is refused as [`TranscriptError::Ambiguous`], and so are two files of different
//!   formats: `hello 3 2` may be an utterance `hello` or a line that begins with that word, and a
//!   wrong guess would give a wrong error rate without a word said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::plain_words::{Holds, explain_json_line};

/// How a file of transcripts is laid out; the module says what each means and how `Auto` decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TranscriptFormat {
    /// Found out where it is certain, refused where it is not.
    #[default]
    Auto,
    /// JSON Lines; `jsonl`.
    Jsonl,
    /// Kaldi `text`; `kaldi`.
    Kaldi,
    /// Plain lines; `plain`.
    Plain,
}

impl fmt::Display for TranscriptFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            TranscriptFormat::Auto => "auto",
            TranscriptFormat::Jsonl => "jsonl",
            TranscriptFormat::Kaldi => "kaldi",
            TranscriptFormat::Plain => "plain",
        })
    }
}

impl FromStr for TranscriptFormat {
    type Err = TranscriptError;

    fn from_str(name: &str) -> Result<Self, TranscriptError> {
        match name {
            "auto" => Ok(TranscriptFormat::Auto),
            "jsonl" => Ok(TranscriptFormat::Jsonl),
            "kaldi" => Ok(TranscriptFormat::Kaldi),
            "plain" => Ok(TranscriptFormat::Plain),
            _ => Err(TranscriptError::UnknownFormat { name: name.to_owned() }),
        }
    }
}

/// What a file is read for: it decides which text of a JSON line counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// What was said: `text`.
    Reference,
    /// What was recognised: `pred_text`, else `text`.
    Hypothesis,
}

/// One utterance of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transcript {
    /// Its name; in a plain file the line number.
    pub id: String,
    /// Its words, as in the file.
    pub text: String,
    /// Who spoke, where a JSON line says so.
    pub speaker: Option<String>,
    /// The line it stands on, from 1.
    pub line: usize,
}

/// A file that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transcripts {
    /// Where it lies.
    pub path: PathBuf,
    /// What it was read as; never `Auto`.
    pub format: TranscriptFormat,
    /// Its utterances in order, each id once.
    pub utterances: Vec<Transcript>,
}

/// Why transcripts could not be read or scored.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// The file cannot be opened or read.
    #[error("{} cannot be read ({source}): check the path", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not UTF-8.
    #[error("{} line {line} is not UTF-8: convert the file, with iconv for instance", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// A line does not follow the format.
    #[error("{} line {line} is broken ({reason}): correct or remove it", path.display())]
    BrokenLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Two lines have the same id.
    #[error("{} gives `{id}` twice, on lines {first} and {line}: keep one", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
        /// The line of its first occurrence.
        first: usize,
        /// The line of the second.
        line: usize,
    },
    /// The reference holds no utterance.
    #[error("{} holds no transcripts: give a file with at least one utterance", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// `Auto` cannot tell Kaldi `text` from plain lines.
    #[error(
        "{} may be Kaldi text or plain lines: say which with --format kaldi or --format plain",
        path.display()
    )]
    Ambiguous {
        /// The file (of two, the reference).
        path: PathBuf,
    },
    /// `Auto` found two formats.
    #[error(
        "{} looks like {reference_looks} and {} like {hypothesis_looks}: {remedy}",
        reference.display(), hypothesis.display()
    )]
    Mixed {
        /// The reference.
        reference: PathBuf,
        /// What it looks like.
        reference_looks: &'static str,
        /// The hypothesis.
        hypothesis: PathBuf,
        /// What it looks like.
        hypothesis_looks: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The hypothesis has an utterance that the reference lacks.
    #[error(
        "{} line {line} has the utterance `{id}`, which {} lacks: score against the reference it belongs to, or remove the line",
        hypothesis.display(), reference.display()
    )]
    UnknownId {
        /// The hypothesis.
        hypothesis: PathBuf,
        /// The line in it.
        line: usize,
        /// The id.
        id: String,
        /// The reference.
        reference: PathBuf,
    },
    /// A name that is none of the formats.
    #[error("`{name}` is no format of transcripts: use auto, jsonl, kaldi or plain")]
    UnknownFormat {
        /// The name.
        name: String,
    },
}

/// Reads one file. `Auto` decides by this file alone.
pub fn read_transcripts(
    path: &Path,
    format: TranscriptFormat,
    role: Role,
) -> Result<Transcripts, TranscriptError> {
    let lines = Lines::read(path)?;
    let format = match format {
        TranscriptFormat::Auto => match lines.look() {
            TranscriptFormat::Auto if lines.blank() || lines.first_tokens_repeat() => {
                TranscriptFormat::Plain
            }
            TranscriptFormat::Auto => {
                return Err(TranscriptError::Ambiguous { path: path.to_owned() });
            }
            certain => certain,
        },
        named => named,
    };
    lines.parse(format, role)
}

/// Reads a reference and a hypothesis of one format. `Auto` decides by both together; a hypothesis
/// without any line takes the format of the reference.
pub fn read_pair(
    reference: &Path,
    hypothesis: &Path,
    format: TranscriptFormat,
) -> Result<(Transcripts, Transcripts), TranscriptError> {
    let (reference, hypothesis) = (Lines::read(reference)?, Lines::read(hypothesis)?);
    let format = match format {
        TranscriptFormat::Auto => detect_pair(&reference, &hypothesis)?,
        named => named,
    };
    Ok((reference.parse(format, Role::Reference)?, hypothesis.parse(format, Role::Hypothesis)?))
}

fn detect_pair(reference: &Lines, hypothesis: &Lines) -> Result<TranscriptFormat, TranscriptError> {
    if reference.blank() {
        return Err(TranscriptError::Empty { path: reference.path.clone() });
    }
    let (first, second) = (reference.look(), hypothesis.look());
    if hypothesis.blank() && first != TranscriptFormat::Auto {
        return Ok(first);
    }
    if first != second {
        // JSON is never plain lines; anything else may be.
        let json = [first, second].contains(&TranscriptFormat::Jsonl);
        return Err(TranscriptError::Mixed {
            remedy: match json {
                true => "bring both into one format",
                false => {
                    "compare them line by line with --format plain, or bring both into one format"
                }
            },
            reference: reference.path.clone(),
            reference_looks: first.describe(),
            hypothesis: hypothesis.path.clone(),
            hypothesis_looks: second.describe(),
        });
    }
    if first != TranscriptFormat::Auto {
        return Ok(first);
    }
    let known: BTreeSet<&str> = reference.first_tokens().collect();
    let repeated = reference.first_tokens_repeat() || hypothesis.first_tokens_repeat();
    if repeated || !hypothesis.first_tokens().any(|token| known.contains(token)) {
        return Ok(TranscriptFormat::Plain);
    }
    Err(TranscriptError::Ambiguous { path: reference.path.clone() })
}

impl TranscriptFormat {
    /// The format in words. `Auto` stands for what shows no sign of JSON or of ids.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            TranscriptFormat::Jsonl => "JSON Lines",
            TranscriptFormat::Kaldi => "Kaldi text",
            TranscriptFormat::Plain => "plain lines",
            TranscriptFormat::Auto => "lines of words",
        }
    }
}

/// The lines of a file, known to be UTF-8.
struct Lines {
    path: PathBuf,
    lines: Vec<String>,
}

impl Lines {
    fn read(path: &Path) -> Result<Self, TranscriptError> {
        let bytes = std::fs::read(path)
            .map_err(|source| TranscriptError::Unreadable { path: path.to_owned(), source })?;
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        // A line feed ends a line: one at the end of the file begins no further line.
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut lines = Vec::new();
        if !bytes.is_empty() {
            for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let text = std::str::from_utf8(line).map_err(|_| TranscriptError::NotUtf8 {
                    path: path.to_owned(),
                    line: index + 1,
                })?;
                lines.push(text.to_owned());
            }
        }
        Ok(Lines { path: path.to_owned(), lines })
    }

    /// The first tokens of the lines that are not blank.
    fn first_tokens(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter_map(|line| line.split_whitespace().next())
    }

    fn blank(&self) -> bool {
        self.first_tokens().next().is_none()
    }

    fn first_tokens_repeat(&self) -> bool {
        let mut seen = BTreeSet::new();
        self.first_tokens().any(|token| !seen.insert(token))
    }

    /// `Jsonl` or `Kaldi` where the file shows it by itself, else `Auto`.
    fn look(&self) -> TranscriptFormat {
        match self.first_tokens().next() {
            Some(token) if token.starts_with('{') => TranscriptFormat::Jsonl,
            Some(_) if self.first_tokens().all(looks_like_id) => TranscriptFormat::Kaldi,
            _ => TranscriptFormat::Auto,
        }
    }

    fn parse(self, format: TranscriptFormat, role: Role) -> Result<Transcripts, TranscriptError> {
        let mut utterances = Vec::with_capacity(self.lines.len());
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, content) in self.lines.iter().enumerate() {
            let line = index + 1;
            let blank = content.trim().is_empty();
            let (id, text, speaker) =
                match format {
                    TranscriptFormat::Plain => (line.to_string(), content.clone(), None),
                    _ if blank => continue,
                    TranscriptFormat::Kaldi => {
                        let content = content.trim();
                        let (id, text) =
                            content.split_once(char::is_whitespace).unwrap_or((content, ""));
                        (id.to_owned(), text.trim().to_owned(), None)
                    }
                    TranscriptFormat::Jsonl | TranscriptFormat::Auto => parse_json(content, role)
                        .map_err(|reason| {
                        TranscriptError::BrokenLine { path: self.path.clone(), line, reason }
                    })?,
                };
            if let Some(first) = seen.insert(id.clone(), line) {
                return Err(TranscriptError::Duplicate { path: self.path, id, first, line });
            }
            utterances.push(Transcript { id, text, speaker, line });
        }
        Ok(Transcripts { path: self.path, format, utterances })
    }
}

/// A word of a transcript rarely holds `_`, or a digit beside a letter or `-`, and in every line
/// hardly ever; the ids of Kaldi's recipes do: `1089-134686-0000`, `fash_cen1`, `utt7`.
fn looks_like_id(token: &str) -> bool {
    let has_digit = token.contains(|c: char| c.is_ascii_digit());
    token.contains('_') || has_digit && token.contains(|c: char| c == '-' || c.is_alphabetic())
}

/// The keys of a line that matter here.
#[derive(Deserialize)]
struct JsonLine {
    id: Option<Name>,
    audio_filepath: Option<String>,
    offset: Option<f64>,
    text: Option<String>,
    pred_text: Option<String>,
    speaker: Option<Name>,
}

const KEYS: [(&str, Holds); 6] = [
    ("id", Holds::Name),
    ("audio_filepath", Holds::Text),
    ("offset", Holds::Number),
    ("text", Holds::Text),
    ("pred_text", Holds::Text),
    ("speaker", Holds::Name),
];

/// Corpora name speakers by number as well as by word.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Word(String),
    Number(u64),
}

impl Name {
    fn into_string(self) -> String {
        match self {
            Name::Word(word) => word,
            Name::Number(number) => number.to_string(),
        }
    }
}

fn parse_json(line: &str, role: Role) -> Result<(String, String, Option<String>), String> {
    let line: JsonLine =
        serde_json::from_str(line).map_err(|error| explain_json_line(line, &error, &KEYS))?;
    let id = match (line.id, line.audio_filepath, line.offset) {
        (Some(id), _, _) => id.into_string(),
        (None, Some(path), Some(offset)) => format!("{path}@{offset}"),
        (None, Some(path), None) => path,
        (None, None, _) => return Err("it has neither `id` nor `audio_filepath`".to_owned()),
    };
    let text = match role {
        Role::Reference => line.text.ok_or("it has no `text`")?,
        Role::Hypothesis => {
            line.pred_text.or(line.text).ok_or("it has neither `pred_text` nor `text`")?
        }
    };
    Ok((id, text, line.speaker.map(Name::into_string)))
}
