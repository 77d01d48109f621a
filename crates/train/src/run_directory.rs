//! The folder of one training: `recipe.toml`, `log.jsonl`, `sessions.jsonl`, `ledger.jsonl`, `checkpoints/`,
//! `model.safetensors`, `report.html`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use labyrinth_corpus::atomic::write_atomically;

use crate::error::TrainError;
use crate::recipe::Recipe;

/// Keys that are told where two recipes differ.
const DIFFERENCES: usize = 3;

/// A run directory that this process has for itself.
pub struct RunDirectory {
    path: PathBuf,
    log: File,
    existed: bool,
    // Released by the system when the process ends, however it ends.
    _lock: File,
}

impl RunDirectory {
    /// Makes a new run directory, or opens the one of the same recipe where `resume` is set.
    ///
    /// A folder that holds another run is refused; nothing in it is touched.
    pub fn open(path: &Path, recipe: &Recipe, resume: bool) -> Result<Self, TrainError> {
        let recipe_path = path.join("recipe.toml");
        let recipe_text = recipe.to_toml()?;
        let holds_a_run = holds_a_run(path);
        if holds_a_run {
            if !resume {
                return Err(TrainError::RunExists { path: path.into() });
            }
            if let Some(difference) = Self::difference(path, recipe)? {
                return Err(TrainError::OtherRecipe { path: path.into(), difference });
            }
        } else {
            refuse_a_foreign_folder(path)?;
        }
        fs::create_dir_all(path).map_err(TrainError::write(path))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lock_path)
            .map_err(TrainError::write(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(TrainError::RunInUse { path: path.into() });
            }
            Err(TryLockError::Error(source)) => {
                return Err(TrainError::Write { path: lock_path, source });
            }
        }
        if !holds_a_run {
            write_atomically(&recipe_path, |file| file.write_all(recipe_text.as_bytes()))
                .map_err(TrainError::write(&recipe_path))?;
        }
        // Only now: a folder that holds checkpoints holds the recipe they belong to, whenever the
        // process is killed.
        let checkpoints = path.join("checkpoints");
        fs::create_dir_all(&checkpoints).map_err(TrainError::write(&checkpoints))?;
        for folder in [path, checkpoints.as_path()] {
            remove_partial_files(folder)?;
        }
        let log_path = path.join("log.jsonl");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(TrainError::write(&log_path))?;
        Ok(Self { path: path.into(), log, existed: holds_a_run, _lock: lock })
    }

    /// In which keys the recipe of the run at `path` differs from this one; `None` where it does not, or
    /// where there is no run.
    ///
    /// # Errors
    /// [`TrainError`] where a run's recipe cannot be read.
    pub fn difference(path: &Path, recipe: &Recipe) -> Result<Option<String>, TrainError> {
        let recipe_path = path.join("recipe.toml");
        let found = match fs::read_to_string(&recipe_path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !holds_a_run(path) => {
                return Ok(None);
            }
            found => found.map_err(TrainError::read(&recipe_path))?,
        };
        // A run of an earlier version may have said the same in other words.
        let found = match Recipe::parse(&found, &recipe_path) {
            Ok(recipe) => recipe.to_toml()?,
            Err(_) => found,
        };
        Ok(first_differences(&found, &recipe.to_toml()?))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder held this run already.
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// Where the best model lies.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// Where checkpoints lie.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where the ledger of the dev set lies, if any of it was refused.
    pub fn dev_ledger(&self) -> PathBuf {
        self.path.join("ledger-dev.jsonl")
    }

    /// Where the ledger lies.
    pub fn ledger(&self) -> PathBuf {
        self.path.join("ledger.jsonl")
    }

    /// Appends one line to the run log.
    pub fn log(&mut self, line: &serde_json::Value) -> Result<(), TrainError> {
        let path = self.path.join("log.jsonl");
        self.log.write_all(format!("{line}\n").as_bytes()).map_err(TrainError::write(&path))
    }

    /// Bytes of the run log so far.
    pub fn log_length(&mut self) -> Result<u64, TrainError> {
        let path = self.path.join("log.jsonl");
        self.log.seek(SeekFrom::End(0)).map_err(TrainError::read(&path))
    }

    /// Cuts the run log back to what it was when the checkpoint was written, so that a resumed
    /// training tells each step once.
    pub fn truncate_log(&mut self, length: u64) -> Result<(), TrainError> {
        let path = self.path.join("log.jsonl");
        if self.log_length()? > length {
            self.log.set_len(length).map_err(TrainError::write(&path))?;
        }
        Ok(())
    }
}

/// Whether a folder holds anything of a run.
fn holds_a_run(path: &Path) -> bool {
    let names = ["recipe.toml", "log.jsonl", "model.safetensors", "checkpoints"];
    names.iter().any(|name| path.join(name).exists())
}

/// Refuses a folder that holds something else: a run must not mix with a corpus or with anyone's
/// files. `data` may stand there (quickstart's corpus), and what a kill before the first file left.
fn refuse_a_foreign_folder(path: &Path) -> Result<(), TrainError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(TrainError::Read { path: path.into(), source }),
    };
    for entry in entries {
        let name = entry.map_err(TrainError::read(path))?.file_name();
        let name = name.to_string_lossy().into_owned();
        let empty_lock = || fs::metadata(path.join("lock")).is_ok_and(|file| file.len() == 0);
        let ours = name == "data"
            || (name == "lock" && empty_lock())
            || (name.starts_with(".recipe.toml.") && name.ends_with(".partial"));
        if !ours {
            return Err(TrainError::ForeignFolder { path: path.into(), name });
        }
    }
    Ok(())
}

/// Removes what a process that was killed while writing left behind. The lock is held, so no
/// other process is writing here.
fn remove_partial_files(folder: &Path) -> Result<(), TrainError> {
    for entry in fs::read_dir(folder).map_err(TrainError::read(folder))? {
        let path = entry.map_err(TrainError::read(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // `.NAME.PID.partial`, as atomic writing names them; anything else is not ours.
        let process = name.strip_suffix(".partial").and_then(|rest| rest.rsplit('.').next());
        let ours = name.starts_with('.') && process.is_some_and(|id| id.parse::<u32>().is_ok());
        if ours {
            fs::remove_file(&path).map_err(TrainError::write(&path))?;
        }
    }
    Ok(())
}

/// The first keys in which two recipes differ, as `was …, is …`. Lines would not do: where a list is
/// shorter, all that follows stands elsewhere.
fn first_differences(found: &str, wanted: &str) -> Option<String> {
    if found == wanted {
        return None;
    }
    let leaves = |text: &str| {
        let mut leaves = BTreeMap::new();
        if let Ok(table) = text.parse::<toml::Table>() {
            collect(String::new(), &toml::Value::Table(table), &mut leaves);
        }
        leaves
    };
    let (found, wanted) = (leaves(found), leaves(wanted));
    let mut keys: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    keys.retain(|key| found.get(*key) != wanted.get(*key));
    if keys.is_empty() {
        return Some("written in another way".to_owned());
    }
    let side = |leaves: &BTreeMap<String, String>| {
        let one = |key: &&String| match leaves.get(*key) {
            Some(value) => format!("`{key} = {value}`"),
            None => format!("without `{key}`"),
        };
        keys.iter().take(DIFFERENCES).map(one).collect::<Vec<_>>().join(", ")
    };
    Some(format!("was {}, is {}", side(&found), side(&wanted)))
}

/// Every value that is no table, by the keys that lead to it; those of a list of tables are counted from 1.
fn collect(key: String, value: &toml::Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            let dot = if key.is_empty() { "" } else { "." };
            table.iter().for_each(|(name, value)| {
                collect(format!("{key}{dot}{name}"), value, leaves);
            });
        }
        toml::Value::Array(list) if list.iter().all(toml::Value::is_table) && !list.is_empty() => {
            list.iter().enumerate().for_each(|(index, value)| {
                collect(format!("{key}[{}]", index + 1), value, leaves);
            });
        }
        value => {
            leaves.insert(key, value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_differs_is_told_whatever_its_line() {
        let one = "[data]\ndev = \"d\"\n[[data.train]]\nmanifest = \"a\"\n[[data.train]]\nmanifest = \
                   \"b\"\nweight = 2.0\n[train]\nepochs = 3\n";
        let shorter =
            "[data]\ndev = \"d\"\n[[data.train]]\nmanifest = \"a\"\n[train]\nepochs = 3\n";
        assert_eq!(first_differences(one, one), None);
        assert_eq!(
            first_differences(one, shorter).unwrap(),
            "was `data.train[2].manifest = \"b\"`, `data.train[2].weight = 2.0`, is without \
             `data.train[2].manifest`, without `data.train[2].weight`"
        );
        let other = shorter.replace("epochs = 3", "epochs = 4");
        assert_eq!(
            first_differences(shorter, &other).unwrap(),
            "was `train.epochs = 3`, is `train.epochs = 4`"
        );
    }
}
