//! Kaldi's files of flags, such as conf/mfcc.conf: `--name=value` a line, laid over options.

use std::path::{Path, PathBuf};

use labyrinth_text::plain_words::in_plain_words;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::failure::Failure;

/// A file of flags, read.
pub struct ConfigFile {
    path: PathBuf,
    flags: Vec<Flag>,
}

struct Flag {
    line: usize,
    name: String,
    value: Value,
}

impl ConfigFile {
    /// Reads a file of flags: `--name=value` a line, `--name` for a yes, `#` before a remark.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(Failure::read(path))?;
        let text = text.trim_start_matches('\u{feff}');
        let mut file = Self { path: path.to_owned(), flags: Vec::new() };
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            let flag = text.strip_prefix("--").ok_or_else(|| {
                file.fault(line, format_args!("{text:?} is no flag of Kaldi's; write --name=value"))
            })?;
            let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
            let value = value_of(value.trim().trim_matches('"'));
            file.flags.push(Flag { line, name: name.trim().to_owned(), value });
        }
        Ok(file)
    }

    /// The names of its flags.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.flags.iter().map(|flag| &flag.name[..])
    }

    /// Lays the flags over `table`, the options of type `T`, one after the other, so that the line at
    /// fault is named.
    pub fn lay_over<T: DeserializeOwned>(&self, table: &mut Table) -> Result<(), Failure> {
        for Flag { line, name, value } in &self.flags {
            table.insert(name.clone(), value.clone());
            if let Err(error) = T::deserialize(table.clone()) {
                let words = in_plain_words(error.message());
                return Err(self.fault(*line, format_args!("--{name}: {words}")));
            }
        }
        Ok(())
    }

    fn fault(&self, line: usize, what: impl std::fmt::Display) -> Failure {
        Failure::Sentence(format!("{}, line {line}: {what}", self.path.display()))
    }
}

/// Options with a file of flags over them, if there is one.
pub fn with_config<T: Serialize + DeserializeOwned>(
    base: &T,
    path: Option<&Path>,
) -> Result<T, Failure> {
    let mut table = Table::try_from(base).map_err(internal)?;
    if let Some(path) = path {
        ConfigFile::read(path)?.lay_over::<T>(&mut table)?;
    }
    T::deserialize(table).map_err(internal)
}

/// What should never be.
pub fn internal(error: impl std::fmt::Display) -> Failure {
    Failure::Sentence(format!(
        "the options of features cannot be written as TOML ({error}); please report this"
    ))
}

/// A word of a flag as TOML has it: a yes or no, a number, a table, else a text.
pub fn value_of(word: &str) -> Value {
    let parsed = format!("value = {word}").parse::<Table>();
    match parsed.ok().and_then(|mut table| table.remove("value")) {
        Some(value) => value,
        None => Value::String(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_toml_makes_of_them() {
        assert_eq!(value_of("true"), Value::Boolean(true));
        assert_eq!(value_of("-400"), Value::Integer(-400));
        assert_eq!(value_of("0.97"), Value::Float(0.97));
        assert_eq!(value_of("hamming"), Value::String("hamming".into()));
        assert!(value_of("{ delta-order = 2 }").is_table());
    }

    #[test]
    fn a_file_of_flags_is_read_as_kaldi_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mfcc.conf");
        std::fs::write(
            &path,
            "# remark\n--num-ceps=40  # all of them\n\n--use-energy=false\n--htk-compat\n",
        )
        .unwrap();
        let file = ConfigFile::read(&path).unwrap();
        let read: Vec<_> =
            file.flags.iter().map(|flag| (flag.line, &flag.name[..], flag.value.clone())).collect();
        assert_eq!(
            read,
            [
                (2, "num-ceps", Value::Integer(40)),
                (4, "use-energy", Value::Boolean(false)),
                (5, "htk-compat", Value::Boolean(true)),
            ]
        );
        std::fs::write(&path, "--a=1\nnum-ceps=40\n").unwrap();
        let Err(error) = ConfigFile::read(&path) else { panic!("a line without -- was taken") };
        assert!(error.to_string().contains("mfcc.conf, line 2"), "{error}");
    }
}
