//! A recipe from its text, with overrides, and what is wrong with it in one sentence that shows the line.

use std::fmt;
use std::io;
use std::path::Path;

use labyrinth_nn::{ARCHITECTURES, CnnOptions, KeywordOptions, ModelOptions, ResnetOptions};
use labyrinth_signal::{FeatureOptions, is_special_file};
use labyrinth_text::plain_words::in_plain_words;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{DataSection, DecodeSection, Recipe, TrainSection};
use crate::error::TrainError;

/// The recipe as a file holds it, with the options of one architecture.
///
/// Generic, so that each architecture's keys are read directly and a mistake keeps its line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RecipeFile<M> {
    data: DataSection,
    #[serde(default)]
    features: FeatureOptions,
    model: M,
    #[serde(default)]
    train: TrainSection,
    #[serde(default)]
    decode: DecodeSection,
}

impl Recipe {
    /// Reads a recipe and applies `--set` overrides of the form `train.epochs=5`.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        Self::parse_with(&read_text(path)?, path, overrides)
    }

    /// The `[features]` of a recipe as they stand there: the files that they name are not read, and
    /// the other sections need not be right.
    pub fn read_features(path: &Path) -> Result<FeatureOptions, TrainError> {
        #[derive(Deserialize)]
        struct Section {
            #[serde(default)]
            features: FeatureOptions,
        }
        let text = read_text(path)?;
        let section: Section =
            toml::from_str(&text).map_err(|error| Fault::Toml(error).of_file(path, &text))?;
        Ok(section.features)
    }

    /// Parses the text of a recipe; `path` names it in messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, TrainError> {
        Self::interpret(text, path).map_err(|fault| fault.of_file(path, text))
    }

    /// [`Recipe::parse`], then the overrides of [`Recipe::read`]. What is wrong with the text alone is
    /// blamed on the file, what is wrong only afterwards on the override that brings it in.
    pub fn parse_with(text: &str, path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        let recipe = Self::parse(text, path)?;
        if overrides.is_empty() {
            return Ok(recipe);
        }
        let table: toml::Table =
            text.parse().map_err(|error| Fault::Toml(error).of_file(path, text))?;
        let refused = |assignments: &[String], reason: String| TrainError::Override {
            assignment: assignments.join(" --set "),
            path: path.into(),
            reason,
        };
        Self::with(&table, overrides, path).map_err(|reason| {
            // Each on its own first: where one alone is at fault, the others are not named.
            let alone = overrides.iter().map(std::slice::from_ref);
            let guilty = alone.map(|one| (one, Self::with(&table, one, path)));
            match guilty.filter_map(|(one, result)| Some((one, result.err()?))).next() {
                Some((one, reason)) => refused(one, reason),
                None => refused(overrides, reason),
            }
        })
    }

    /// The recipe of `table` with `overrides`, or what is wrong with it.
    fn with(table: &toml::Table, overrides: &[String], path: &Path) -> Result<Self, String> {
        let mut table = table.clone();
        for assignment in overrides {
            set(&mut table, assignment).ok_or(
                "this is no assignment; write it as section.key=value, such as train.epochs=5",
            )?;
        }
        let text = toml::to_string(&table).map_err(|error| error.to_string())?;
        Self::interpret(&text, path).map_err(|fault| fault.to_string())
    }

    /// The recipe that stands in `text`; files of sums that its features name lie beside `path`.
    fn interpret(text: &str, path: &Path) -> Result<Self, Fault> {
        let table: toml::Table = text.parse().map_err(Fault::Toml)?;
        let architecture = table
            .get("model")
            .and_then(|model| model.get("architecture"))
            .and_then(|name| name.as_str())
            .unwrap_or("cnn-gru");
        let mut recipe = match architecture {
            "cnn-gru" | "cnn-lstm" => Self::of::<CnnOptions>(text, ModelOptions::Cnn)?,
            "keyword" => Self::of::<KeywordOptions>(text, ModelOptions::Keyword)?,
            "resnet-gru" | "resnet-lstm" => Self::of::<ResnetOptions>(text, ModelOptions::Resnet)?,
            other => return Err(Fault::Architecture(other.into())),
        };
        let folder = path.parent().unwrap_or(path);
        let read = recipe.features.read_stats(folder);
        read.map_err(|error| Fault::Value(error.to_string()))?;
        recipe.check().map_err(Fault::Value)?;
        recipe.model = recipe.model.in_todays_words();
        Ok(recipe)
    }

    fn of<M: DeserializeOwned>(
        text: &str,
        model: impl Fn(M) -> ModelOptions,
    ) -> Result<Self, Fault> {
        let file: RecipeFile<M> = toml::from_str(text).map_err(Fault::Toml)?;
        Ok(Self {
            data: file.data,
            features: file.features,
            model: model(file.model),
            train: file.train,
            decode: file.decode,
        })
    }
}

/// The text of a recipe.
pub(crate) fn read_text(path: &Path) -> Result<String, TrainError> {
    let unreadable = |source| TrainError::RecipeUnreadable { path: path.into(), source };
    if is_special_file(path) {
        return Err(unreadable(io::Error::other("it is a pipe or a device and no file")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// What is wrong with a recipe, before it is said whose mistake it is. Its text is without a place, as
/// an override needs it: the lines of the file do not hold what was overridden.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{}", plain(.0.message()))]
    Toml(toml::de::Error),
    #[error("{0}")]
    Value(String),
    #[error("there is no architecture \"{0}\"; this version has {names}", names = ARCHITECTURES.join(", "))]
    Architecture(String),
}

impl Fault {
    /// The mistake of the file at `path`, which holds `text`.
    fn of_file(self, path: &Path, text: &str) -> TrainError {
        let path = path.to_owned();
        match self {
            Self::Toml(error) => {
                let place =
                    Place::of(&error, text).map_or(String::new(), |place| place.to_string());
                TrainError::Recipe { path, place, fault: plain(error.message()) }
            }
            Self::Value(fault) => TrainError::RecipeValue { path, fault },
            Self::Architecture(name) => TrainError::Architecture { path, name },
        }
    }
}

/// Where in a file of TOML a mistake stands.
pub(crate) struct Place<'a> {
    line: usize,
    column: usize,
    /// The line itself.
    shown: &'a str,
}

impl<'a> Place<'a> {
    /// Of an error in `text`; `None` where it has no place, as a key that is missing altogether.
    pub(crate) fn of(error: &toml::de::Error, text: &'a str) -> Option<Self> {
        let at = error.span().filter(|_| !error.message().starts_with("missing field"))?.start;
        let before = text.get(..at.min(text.len()))?;
        // What is missing at the end of the text is missing in its last line.
        let before = if at >= text.len() { before.trim_end_matches('\n') } else { before };
        let line = before.matches('\n').count();
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[begin..].chars().count() + 1;
        Some(Self { line: line + 1, column, shown: text.lines().nth(line)?.trim() })
    }
}

impl fmt::Display for Place<'_> {
    /// `:14:3, `epoch = 5``, to stand behind the file's name.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, ":{}:{}", self.line, self.column)?;
        match self.shown {
            "" => Ok(()),
            shown => write!(formatter, ", `{shown}`"),
        }
    }
}

/// What toml says, in one line of plain words; of many keys that there are only the nearest to one that there is not.
pub(crate) fn plain(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let message = lines.join("; ");
    if let Some(nearest) = nearest_key(&message) {
        return nearest;
    }
    in_plain_words(&message)
}

/// Most edits between two names of which one is a slip of the pen of the other.
const SLIP: usize = 2;

/// For serde's "unknown field `epoch`, expected one of `epochs`, …" the key that was meant, if one is near.
fn nearest_key(message: &str) -> Option<String> {
    let (name, known) = message.strip_prefix("unknown field ")?.split_once(", expected ")?;
    let bare = name.trim_matches('`');
    let known = known.split('`').skip(1).step_by(2);
    let edits = |other: &str| {
        let [a, b] = [bare, other].map(|name| name.replace('_', "-").to_lowercase());
        // As a prefix or suffix it is near however much is left out: `gru-hidden`, `mel-bins`.
        let within = a.len().min(b.len()) >= 4 && (a.contains(&b) || b.contains(&a));
        if within { 1 } else { edit_distance(&a, &b) }
    };
    let (edits, nearest) = known.map(|key| (edits(key), key)).min_by_key(|(edits, _)| *edits)?;
    (edits <= SLIP.min(bare.len() / 3))
        .then(|| format!("there is no key {name}; the nearest that there is is `{nearest}`"))
}

/// Characters to put in, take out or exchange until the one is the other (Levenshtein 1966).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let exchanged = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = exchanged.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Applies `section.key=value` to a table; `None` where it is no such assignment. A value that is no
/// TOML counts as a string.
fn set(table: &mut toml::Table, assignment: &str) -> Option<()> {
    let (key, value) = assignment.split_once('=')?;
    let value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.trim().into()));
    let mut parts: Vec<&str> = key.trim().split('.').collect();
    let last = parts.pop().filter(|part| !part.is_empty())?;
    let mut here = table;
    for part in parts {
        here = here
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()?;
    }
    here.insert(last.into(), value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, edits) in
            [("", "", 0), ("epoch", "epochs", 1), ("abc", "", 3), ("sead", "seed", 1)]
        {
            assert_eq!((edit_distance(a, b), edit_distance(b, a)), (edits, edits));
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_told_what_was_meant_and_anything_else_all_there_is() {
        let keys = "expected one of `epochs`, `batch-size`, `learning-rate`";
        for (wrong, nearest) in
            [("epoch", "epochs"), ("batch_size", "batch-size"), ("rate", "learning-rate")]
        {
            let said = plain(&format!("unknown field `{wrong}`, {keys}"));
            assert!(said.ends_with(&format!("is `{nearest}`")), "{said}");
        }
        let said = plain(&format!("unknown field `frobnicate`, {keys}"));
        assert_eq!(
            said,
            "there is no key `frobnicate`; there is `epochs`, `batch-size`, `learning-rate`"
        );
        assert!(!plain("a\n  b\n").contains('\n'));
    }

    #[test]
    fn a_place_is_a_line_a_column_and_what_stands_there() {
        let place = |text: &str| {
            let error = toml::from_str::<toml::Table>(text).unwrap_err();
            Place::of(&error, text).unwrap().to_string()
        };
        assert_eq!(place("a = 1\nb = ?\n"), ":2:5, `b = ?`");
        assert!(place("a = 1\nb = ").starts_with(":2:"), "{}", place("a = 1\nb = "));
    }
}
