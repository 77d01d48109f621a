//! A table: CSV, TSV or semicolons, with a line of column names; one file, or one a set.
//!
//! The columns are known by their names, in any order and case; the first that is there counts:
//! audio ([`AUDIO`]) and text ([`TEXT`]) are needed, id, speaker, set, start, end and duration are taken
//! where they are there. Quotes as in RFC 4180: a field in quotes may hold separators, line breaks and
//! doubled quotes. Paths are relative to the table. Without ids an utterance is called by its path.

use super::assign::finish_with_sets;
use super::candidate::{Candidate, Found};
use super::catalog::CorpusInfo;
use super::list_files::{self, ListFile, ListFiles};
use super::lists::{broken, collapse, listed, set_of};
use super::section::Section;
use super::{PrepareError, PrepareOptions, PrepareReport};
use crate::Progress;
use crate::ledger::Reason;
use labyrinth_signal::is_special_file;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

/// What `prepare` shows of it.
pub const INFO: CorpusInfo = CorpusInfo {
    name: "csv",
    title: "a table with columns for audio and text: CSV or TSV",
    home: "your own data",
    licence: "yours to know",
    split: "by a column or the files' names, else by speaker",
    tried: false,
    published: false,
    prepare: prepare_csv,
};

/// Names of the column with the recordings' paths.
pub const AUDIO: [&str; 9] = [
    "audio_filepath",
    "audio",
    "wav_filename",
    "audio_path",
    "path",
    "filename",
    "file_name",
    "file",
    "wav",
];
/// Names of the column with what is said.
pub const TEXT: [&str; 6] =
    ["text", "transcript", "sentence", "transcription", "normalized_text", "label"];
const ID: [&str; 3] = ["id", "utterance_id", "utt_id"];
const SPEAKER: [&str; 4] = ["speaker", "speaker_id", "spk_id", "client_id"];
const SET: [&str; 4] = ["split", "set", "subset", "partition"];
const START: [&str; 4] = ["offset", "start", "start_time", "begin_time"];
const END: [&str; 2] = ["end", "end_time"];
const DURATION: [&str; 2] = ["duration", "duration_s"];

const EXPECTED: &str = "a .csv or .tsv with a line of column names, or a folder of them";

/// Prepares a table.
///
/// # Errors
/// [`PrepareError`] where there is none under `from`, a row is broken, a column is missing, a disk fails,
/// or the output folder holds something else.
pub fn prepare_csv(
    options: &PrepareOptions,
    progress: Progress<'_>,
) -> Result<PrepareReport, PrepareError> {
    let is_one = |name: &str| name.ends_with(".csv") || name.ends_with(".tsv");
    let ListFiles { files, mut rule, warnings } =
        list_files::find(options, "a table", EXPECTED, is_one)?;
    let mut found = Found { warnings, ..Found::default() };
    let mut ids = BTreeSet::new();
    for file in &files {
        if read_table(file, &mut found, &mut ids)? && rule.is_empty() {
            rule = "as the table's own column says".to_owned();
        }
    }
    finish_with_sets(INFO.record(options, rule), options, found, progress)
}

/// The places of the columns that are there.
struct Columns {
    audio: usize,
    text: usize,
    id: Option<usize>,
    speaker: Option<usize>,
    set: Option<usize>,
    start: Option<usize>,
    end: Option<usize>,
    duration: Option<usize>,
}

impl Columns {
    /// By their names, or which kind is missing.
    fn of(names: &[String]) -> Result<Self, String> {
        let find = |wanted: &[&str]| {
            wanted
                .iter()
                .find_map(|w| names.iter().position(|name| name.trim().eq_ignore_ascii_case(w)))
        };
        let needed = |what: &str, wanted: &[&str]| {
            find(wanted).ok_or_else(|| {
                format!("no column for the {what} is named here; call it {:?}", wanted[0])
            })
        };
        Ok(Self {
            audio: needed("recordings", &AUDIO)?,
            text: needed("text", &TEXT)?,
            id: find(&ID),
            speaker: find(&SPEAKER),
            set: find(&SET),
            start: find(&START),
            end: find(&END),
            duration: find(&DURATION),
        })
    }
}

/// Reads a table; whether a column says the sets.
fn read_table(
    file: &ListFile,
    found: &mut Found,
    ids: &mut BTreeSet<String>,
) -> Result<bool, PrepareError> {
    let path = &file.path;
    if is_special_file(path) {
        let error = io::Error::other("it is a pipe or a device and no file");
        return Err(PrepareError::read(path)(error));
    }
    let bytes = fs::read(path).map_err(PrepareError::read(path))?;
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(broken(path, 1, "this is text in UTF-16; save the table as UTF-8"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = String::from_utf8_lossy(bytes);
    // Replaced bytes stand out; where there are none, nobody may object to a character of the user's.
    let replaced = matches!(text, Cow::Owned(_));
    let mut rows = rows(&text).map_err(|(line, reason)| broken(path, line, reason))?.into_iter();
    let Some((line, names)) = rows.next() else {
        return Err(broken(path, 1, "the table is empty; it begins with the names of its columns"));
    };
    let columns = Columns::of(&names).map_err(|reason| broken(path, line, reason))?;
    let folders = [path.parent().unwrap_or(Path::new("")).to_owned()];
    for (line, row) in rows {
        if row.len() != names.len() {
            let reason =
                format!("{} fields stand here under {} column names", row.len(), names.len());
            found.refuse_line(broken(path, line, reason))?;
            continue;
        }
        if replaced && row.iter().any(|field| field.contains(char::REPLACEMENT_CHARACTER)) {
            found.refuse_line(broken(path, line, "this is not UTF-8"))?;
            continue;
        }
        let field = |column: Option<usize>| {
            column.map(|column| row[column].trim()).filter(|value| !value.is_empty())
        };
        let Some(audio) = field(Some(columns.audio)) else {
            found.refuse_line(broken(path, line, "no recording is named"))?;
            continue;
        };
        let section = match section(&field, &columns) {
            Ok(section) => section,
            Err(reason) => {
                found.refuse_line(broken(path, line, reason))?;
                continue;
            }
        };
        let id = match (field(columns.id), &section) {
            (Some(id), _) => id.to_owned(),
            (None, None) => audio.to_owned(),
            (None, Some(section)) => format!("{audio}@{}", section.start),
        };
        let split = match field(columns.set) {
            None => file.split,
            Some(name) => match set_of(name) {
                Some(split) => split,
                None => {
                    let detail = format!("line {line}: {name:?} is neither train, dev nor test");
                    ids.insert(id.clone());
                    found.refuse(&id, Reason::NotListed, detail);
                    continue;
                }
            },
        };
        let text = collapse(&row[columns.text]);
        if text.is_empty() {
            ids.insert(id.clone());
            found.refuse(&id, Reason::EmptyTranscript, format!("{}, line {line}", path.display()));
            continue;
        }
        let speaker = field(columns.speaker).map(str::to_owned);
        let mut candidate = Candidate::new(id, listed(&folders, audio), text, speaker, split);
        candidate.section = section;
        candidate.part.clone_from(&file.part);
        found.push(candidate, ids);
    }
    Ok(columns.set.is_some())
}

/// Where start, end or duration say that the utterance is a part of its file. A duration alone is that of
/// the file, and is measured anyway.
fn section<'a>(
    field: &impl Fn(Option<usize>) -> Option<&'a str>,
    columns: &Columns,
) -> Result<Option<Section>, String> {
    let number = |column: Option<usize>| match field(column) {
        None => Ok(None),
        Some(text) => {
            let value: Option<f64> = text.parse().ok().filter(|value: &f64| value.is_finite());
            value.map(Some).ok_or_else(|| format!("{text:?} is not a number of seconds"))
        }
    };
    let (start, end) = (number(columns.start)?, number(columns.end)?);
    let duration = number(columns.duration)?;
    if start.is_none() && end.is_none() {
        return Ok(None);
    }
    let start = start.unwrap_or(0.0);
    Ok(Some(Section::new(start, end.map(|end| end - start).or(duration))))
}

/// A row: the line on which it begins, and its fields.
type Row = (usize, Vec<String>);

/// All rows that are not blank. The separator is the one that stands most often in the first line.
fn rows(text: &str) -> Result<Vec<Row>, (usize, String)> {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |separator: char| first.matches(separator).count();
    // Of equals the last is the greatest: a comma unless another is more frequent.
    let separator =
        ['|', ';', '\t', ','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(',');
    let mut rows = Vec::new();
    let (mut row, mut field): (Vec<String>, String) = (Vec::new(), String::new());
    let (mut line, mut begun) = (1, 1);
    let mut characters = text.chars().peekable();
    loop {
        let next = characters.next();
        match next {
            Some('"') if field.is_empty() => {
                let opened = line;
                loop {
                    match characters.next() {
                        Some('"') if characters.next_if_eq(&'"').is_none() => break,
                        Some(character) => {
                            line += usize::from(character == '\n');
                            field.push(character);
                        }
                        None => {
                            return Err((opened, "the quote here is never closed".to_owned()));
                        }
                    }
                }
                let ends = characters.peek().is_none_or(|c| [separator, '\n', '\r'].contains(c));
                if !ends {
                    return Err((line, "text follows the closing quote of a field".to_owned()));
                }
            }
            Some(character) if character == separator => row.push(std::mem::take(&mut field)),
            Some('\r') if characters.peek() == Some(&'\n') => {}
            Some('\n') | None => {
                if !(row.is_empty() && field.trim().is_empty()) {
                    row.push(std::mem::take(&mut field));
                    rows.push((begun, std::mem::take(&mut row)));
                }
                field.clear();
                if next.is_none() {
                    return Ok(rows);
                }
                line += 1;
                begun = line;
            }
            Some(character) => field.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables_of_every_separator_are_read() {
        for separator in [',', ';', '\t', '|'] {
            let text =
                "a,b,c\r\n1,\"x, \"\"y\"\"\nz\",\r\n\n 2 ,,3".replace(',', &separator.to_string());
            let rows = rows(&text).unwrap();
            let row = |line, fields: [&str; 3]| (line, fields.map(str::to_owned).to_vec());
            let quoted = format!("x{separator} \"y\"\nz");
            assert_eq!(
                rows,
                [row(1, ["a", "b", "c"]), row(2, ["1", &quoted, ""]), row(5, [" 2 ", "", "3"])]
            );
        }
        assert_eq!(rows("a,b\n1,\"x\n").unwrap_err().0, 2);
        assert_eq!(rows("a,b\n1,\"x\"y\n").unwrap_err().0, 2);
        assert!(rows("\n \n").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn rows_come_back(table in prop::collection::vec(prop::collection::vec("[a-z,;\"\n\t ]{1,6}", 3), 1..6)) {
            let quote = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let mut text = "one,two,three\n".to_owned();
            for row in &table {
                text += &row.iter().map(quote).collect::<Vec<_>>().join(",");
                text.push('\n');
            }
            let read: Vec<Vec<String>> =
                rows(&text).unwrap().into_iter().skip(1).map(|(_, row)| row).collect();
            prop_assert_eq!(read, table);
        }
    }
}
