//! The page of results: which lines there are, from a file, and their figures, from records.
//!
//! A section is prose, a table of lines with records, what others published, and prose whose figures no record
//! holds, which the page says. Prose takes figures from records too: `{an4-seed1.wer}` becomes `8.80`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use labyrinth_nn::Objective;
use labyrinth_signal::is_special_file;
use labyrinth_text::Units;
use serde::Deserialize;

use super::publish::Reproduce;
use super::{Figure, Record};
use crate::error::TrainError;
use crate::recipe::{Place, plain};

/// Which figures are published, and what is said about them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    /// The page's title.
    title: String,
    /// What stands below it.
    #[serde(default)]
    text: String,
    /// The folder of the records, relative to the file.
    records: PathBuf,
    sections: Vec<Section>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Section {
    title: String,
    /// Depth of its heading: 2, or 3 for a part of the one before.
    #[serde(default = "two")]
    level: usize,
    /// Prose above the table.
    #[serde(default)]
    text: String,
    #[serde(default)]
    lines: Vec<Line>,
    #[serde(default)]
    others: Vec<Other>,
    /// Prose below, with figures that no record holds.
    #[serde(default)]
    stated: Option<Stated>,
}

fn two() -> usize {
    2
}

/// A line of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Line {
    /// What it is, as Markdown.
    pub name: String,
    /// The records, without folder and ending; several are seeds, or speakers held out in turn.
    pub records: Vec<String>,
    /// How long the training took, where no process noted it.
    #[serde(default)]
    training: Option<String>,
    /// How anyone can repeat it.
    #[serde(default)]
    pub reproduce: Option<Reproduce>,
}

/// A figure that others published.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Other {
    name: String,
    figure: String,
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Stated {
    /// Where its figures come from.
    source: String,
    text: String,
}

/// A file of results with the records that it names.
#[derive(Debug)]
pub struct ResultsFile {
    path: PathBuf,
    file: File,
    records: BTreeMap<String, Record>,
}

impl ResultsFile {
    /// Reads the file and its records.
    ///
    /// # Errors
    /// [`TrainError`] where one of them cannot be used.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let refuse = |fault: String| TrainError::Results { path: path.into(), fault };
        if is_special_file(path) {
            return Err(refuse("it is a pipe or a device and no file".into()));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| refuse(format!("it cannot be read ({error}); check the path")))?;
        let file: File = toml::from_str(&text).map_err(|error| {
            let place =
                Place::of(&error, &text).map_or(String::new(), |place| format!("{place}: "));
            refuse(format!("{place}{}; correct it there", plain(error.message())))
        })?;
        if let Some(section) = file.sections.iter().find(|one| !(2..=6).contains(&one.level)) {
            return Err(refuse(format!(
                "the section \"{}\" has level {}, and headings have 2 to 6",
                section.title, section.level
            )));
        }
        let folder = path.parent().unwrap_or(Path::new("")).join(&file.records);
        let mut records = BTreeMap::new();
        for line in file.sections.iter().flat_map(|section| &section.lines) {
            if line.records.is_empty() {
                return Err(refuse(format!("the line \"{}\" names no record", line.name)));
            }
            for (place, name) in line.records.iter().enumerate() {
                if line.records[..place].contains(name) {
                    let fault = format!(
                        "the line \"{}\" names {name} twice, which would count one training as two",
                        line.name
                    );
                    return Err(refuse(fault));
                }
                if !records.contains_key(name) {
                    let record = Record::read(&folder.join(format!("{name}.json")))?;
                    records.insert(name.clone(), record);
                }
            }
        }
        let results = Self { path: path.into(), file, records };
        for line in results.lines() {
            let mut rates = line.records.iter().map(|name| results.records[name].rate_name());
            let first = rates.next();
            if rates.any(|other| Some(other) != first) {
                return Err(refuse(format!(
                    "the line \"{}\" has records in words and in phonemes, which have no mean",
                    line.name
                )));
            }
        }
        Ok(results)
    }

    /// The records of a line.
    pub(super) fn records(&self, line: &Line) -> Vec<Record> {
        line.records.iter().filter_map(|name| self.records.get(name).cloned()).collect()
    }

    /// Every line that there is.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.file.sections.iter().flat_map(|section| &section.lines)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn refuse(&self, fault: String) -> TrainError {
        TrainError::Results { path: self.path.clone(), fault }
    }

    /// Records in the folder that no line uses.
    pub fn unused(&self) -> Vec<String> {
        let folder = self.path.parent().unwrap_or(Path::new("")).join(&self.file.records);
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let path = entry.path();
            let name = path.file_stem()?.to_str()?.to_owned();
            let record = path.extension().is_some_and(|end| end == "json");
            (record && !self.records.contains_key(&name)).then_some(name)
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The page.
    ///
    /// # Errors
    /// [`TrainError::Results`] where prose asks for a figure that there is not.
    pub fn page(&self) -> Result<String, TrainError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let mut page = format!(
            "# {}\n\n<!-- Written by `labyrinth results` from {name} and the records it names; changes belong there. \
             -->\n\n{}\n",
            self.file.title,
            self.filled(self.file.text.trim())?
        );
        for section in &self.file.sections {
            let _ = write!(page, "\n{} {}\n", "#".repeat(section.level), section.title);
            if !section.text.trim().is_empty() {
                let _ = write!(page, "\n{}\n", self.filled(section.text.trim())?);
            }
            if !section.lines.is_empty() {
                let _ = write!(page, "\n{}", self.table(section));
            }
            if !section.others.is_empty() {
                page.push_str(
                    "\n| others, as they published it | figure | source |\n|---|---|---|\n",
                );
                for Other { name, figure, source } in &section.others {
                    let _ = writeln!(page, "| {name} | {figure} | {source} |");
                }
            }
            if let Some(Stated { source, text }) = &section.stated {
                let _ = write!(
                    page,
                    "\n*Stated, not from records ({source}):*\n\n{}\n",
                    self.filled(text.trim())?
                );
            }
        }
        page.push_str(&self.list_of_records());
        Ok(page)
    }

    /// One row for each line, with the columns of which any line has something.
    fn table(&self, section: &Section) -> String {
        let rows: Vec<[String; COLUMNS.len()]> =
            section.lines.iter().map(|line| cells(line, &self.records(line))).collect();
        let shown: Vec<usize> = (0..COLUMNS.len())
            .filter(|&column| rows.iter().any(|row| !row[column].is_empty()))
            .collect();
        let row = |cells: &dyn Fn(usize) -> String| {
            let cells: Vec<String> = shown.iter().map(|&column| cells(column)).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let mut table = row(&|column| COLUMNS[column].to_owned());
        table += &format!("|{}\n", "---|".repeat(shown.len()));
        rows.iter().for_each(|cells| table += &row(&|column| cells[column].clone()));
        if rows.iter().any(|cells| cells[TRAINING].contains(BY_HAND)) {
            let _ = write!(table, "\n{BY_HAND} noted by hand; no process wrote it down.\n");
        }
        table
    }

    /// Where each figure comes from.
    fn list_of_records(&self) -> String {
        let mut text = String::from(
            "\n## Records\n\nEach is a file, written by the trial itself. A digest of contents covers ids, speakers, \
             transcripts and durations of a test set, wherever it lies.\n\n| record | seed | weights | test set | its \
             contents | trained on | tried on | version | commit |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        let short = |digest: &str| digest.chars().take(8).collect::<String>();
        for (name, record) in &self.records {
            let threads = match record.threads {
                None => String::new(),
                Some(1) => ", 1 thread".into(),
                Some(threads) => format!(", {threads} threads"),
            };
            let _ = writeln!(
                text,
                "| [{name}]({}/{name}.json) | {} | {} | {}, {} utterances | {} | {}{threads} | {} | {} | {} |",
                self.file.records.display(),
                record.seed,
                short(&record.weights),
                record.test.manifest,
                record.test.utterances,
                short(&record.test.contents),
                record.trained_on.as_deref().unwrap_or("not noted"),
                record.tried_on,
                record.version,
                record.commit.as_deref().unwrap_or("not noted"),
            );
        }
        let methods: BTreeSet<&str> =
            self.records.values().map(|record| record.interval_method.as_str()).collect();
        let methods: Vec<&str> = methods.into_iter().collect();
        let _ = write!(text, "\nIntervals: {}.\n", methods.join("; "));
        text
    }

    /// Prose with `{record.figure}` filled in.
    fn filled(&self, text: &str) -> Result<String, TrainError> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            filled.push_str(&rest[..open]);
            rest = &rest[open..];
            let Some(close) = rest.find('}') else { break };
            let asked = &rest[1..close];
            match asked
                .rsplit_once('.')
                .and_then(|(name, key)| Some((self.records.get(name)?, key)))
            {
                Some((record, key)) => {
                    let figure = figure(record, key).ok_or_else(|| {
                        self.refuse(format!(
                            "{{{asked}}} asks for a figure that this record has not"
                        ))
                    })?;
                    filled.push_str(&figure);
                }
                None => return Err(self.refuse(format!("{{{asked}}} names no record of the page"))),
            }
            rest = &rest[close + 1..];
        }
        Ok(filled + rest)
    }
}

const COLUMNS: [&str; 12] = [
    "model",
    "parameters",
    "training",
    "memory",
    "dev",
    "test WER %",
    "test CER %",
    "test PER %",
    "frames right %",
    "utterances right %",
    "feasible",
    "RTF",
];
const TRAINING: usize = 2;
/// Stands behind what a person wrote down.
const BY_HAND: &str = "†";

/// One figure of a record, as prose has it.
fn figure(record: &Record, key: &str) -> Option<String> {
    Some(match key {
        "wer" | "per" => percent(record.rate?),
        "cer" => percent(record.character_rate?),
        "interval" => interval(record.interval),
        "dev" => percent(record.dev_rate?),
        "right" => percent(record.right()),
        "errors" => record.utterances.iter().map(|one| one.1).sum::<usize>().to_string(),
        "words" => record.utterances.iter().map(|one| one.2).sum::<usize>().to_string(),
        "utterances" => record.test.utterances.to_string(),
        "rtf" => format!("{:.4}", record.real_time_factor),
        _ => return None,
    })
}

fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

fn interval((low, high): (f64, f64)) -> String {
    format!("[{}, {}]", percent(low), percent(high))
}

fn mean(records: &[Record], of: impl Fn(&Record) -> Option<f64>) -> Option<f64> {
    let values = records.iter().map(of).collect::<Option<Vec<f64>>>()?;
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Weights: `3.34 M`, `63,083` where they are few.
fn weights(count: usize) -> String {
    match count {
        0..100_000 => {
            format!("{},{:03}", count / 1000, count % 1000).trim_start_matches("0,").into()
        }
        _ => format!("{:.2} M", count as f64 / 1e6),
    }
}

fn duration(seconds: f64) -> String {
    if seconds < 99.5 { format!("{seconds:.0} s") } else { format!("{:.1} min", seconds / 60.0) }
}

/// A rate of one or several trials: `**8.80** [6.17, 11.78]`, `**9.19** (8.67 to 10.09) [6.9, 11.6]`.
fn rate(figure: Option<Figure>) -> String {
    let Some(figure) = figure else { return String::new() };
    let spread = match figure.trials {
        1 => String::new(),
        _ => format!(" ({} to {})", percent(figure.spread.0), percent(figure.spread.1)),
    };
    format!("**{}**{spread} {}", percent(figure.mean), interval(figure.interval))
}

fn cells(line: &Line, records: &[Record]) -> [String; COLUMNS.len()] {
    let Some(first) = records.first() else { return Default::default() };
    let name = match records.len() {
        1 => line.name.clone(),
        count => {
            let seeds: BTreeSet<u64> = records.iter().map(|record| record.seed).collect();
            let what = if seeds.len() == count { "seeds" } else { "trainings" };
            format!("{}, mean of {count} {what}", line.name)
        }
    };
    let time = match (&line.training, mean(records, |record| record.seconds)) {
        (Some(time), _) => format!(", {time} {BY_HAND}"),
        (None, Some(seconds)) => format!(", {}", duration(seconds)),
        (None, None) => String::new(),
    };
    let epochs = first.epochs.0;
    let training = if epochs > 0 { format!("{epochs} epochs{time}") } else { time };
    let memory = records.iter().filter_map(|record| record.training_memory).max();
    let framewise = first.objective == Objective::Framewise;
    let phonemes = first.units == Units::Phonemes;
    let whole = |rate: String, shown: bool| if shown { rate } else { String::new() };
    let frames =
        mean(records, |record| record.frames.map(|(right, all)| right as f64 / all.max(1) as f64));
    let one_word = first.utterances.iter().all(|utterance| utterance.2 == 1);
    let right = mean(records, |record| Some(record.right()));
    let utterances: usize = records.iter().map(|record| record.test.utterances).sum();
    let feasible: usize = records.iter().map(|record| record.feasible).sum();
    let seen = if records.iter().any(|record| record.seen) { " (seen in training)" } else { "" };
    let error_rate = rate(Figure::of(records, false)) + seen;
    [
        name,
        weights(first.parameters),
        training,
        memory.map_or_else(String::new, |bytes| format!("{:.0} MB", bytes as f64 / 1e6)),
        mean(records, |record| record.dev_rate).map_or_else(String::new, percent),
        whole(error_rate.clone(), !phonemes),
        whole(rate(Figure::of(records, true)), !phonemes && !one_word),
        whole(error_rate, phonemes),
        frames.map_or_else(String::new, percent),
        whole(right.map_or_else(String::new, percent), one_word),
        whole(format!("{feasible} of {utterances}"), !framewise && !one_word),
        mean(records, |record| Some(record.real_time_factor))
            .map_or_else(String::new, |rtf| format!("{rtf:.4}")),
    ]
}
