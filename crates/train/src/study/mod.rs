//! A study: one question, several recipes that differ in what is asked, each trained with several seeds.
//!
//! The file names a base recipe, what every cell changes of it, and the manifest on which all are tried.
//! The trainings are a queue that can be stopped at any moment and gone on with: what is done stays, what was
//! begun is resumed, exactly. Seeds go round before cells, so that a study that was stopped early has some of
//! everything. At its end stand a table, a picture and one line for each training.
//!
//! - `result`: what came out of each training and each cell.
//! - `table`: that as Markdown.
//! - `picture`: and as SVG.

mod picture;
mod result;
mod table;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use labyrinth_corpus::atomic::write_atomically;
use labyrinth_corpus::open_source;
use labyrinth_signal::is_special_file;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::recipe::{Place, Recipe, plain};
use crate::run_directory::RunDirectory;

pub use result::{CellResult, RunResult, StudyResult, Trial};

/// Trainings that one study may hold: beyond it a grid is a slip of the finger.
const MOST_JOBS: usize = 1000;

/// What the file of a study says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StudyFile {
    /// What stands above the table.
    pub title: String,
    /// What is asked, in a sentence.
    pub question: String,
    /// What came out, in a sentence; written by whoever has seen the figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// The recipe that cells change; relative to the file, as all paths in it.
    pub recipe: PathBuf,
    /// The manifest on which every training is tried.
    pub evaluate: PathBuf,
    /// Each cell is trained once for each of these.
    pub seeds: Vec<u64>,
    /// Keys that all cells set, as `--set` has them.
    #[serde(default)]
    pub set: Vec<String>,
    /// What is compared; the first is what the others are compared with.
    pub cells: Vec<Cell>,
}

/// One of the things compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cell {
    /// What it is called in the table.
    pub name: String,
    /// Another recipe than the study's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<PathBuf>,
    /// Keys that it sets.
    #[serde(default)]
    pub set: Vec<String>,
}

/// One training of a study.
#[derive(Clone, Debug)]
pub struct Job {
    /// Place of its cell.
    pub cell: usize,
    /// Its seed.
    pub seed: u64,
    /// Its recipe, with paths that depend on no folder.
    pub recipe: Recipe,
    /// Its recipe as its model shows it.
    pub recipe_text: String,
    /// Its run directory.
    pub run: PathBuf,
}

/// A study that can be gone through.
#[derive(Clone, Debug)]
pub struct Study {
    /// What its file says.
    pub file: StudyFile,
    /// The manifest on which all are tried, as seen from here.
    pub evaluate: PathBuf,
    /// Every training, in their order.
    pub jobs: Vec<Job>,
}

/// Where a training of a study stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing of it is there.
    Waiting,
    /// Its run directory is there.
    Begun,
    /// It was trained and tried.
    Done,
}

impl Study {
    /// Reads a study whose runs go below `runs`.
    ///
    /// # Errors
    /// [`TrainError`] where the file or a recipe of it cannot be used, or a run that was begun has another
    /// recipe than the study has now.
    pub fn read(path: &Path, runs: &Path) -> Result<Self, TrainError> {
        let refuse = |fault| TrainError::Study { path: path.into(), place: String::new(), fault };
        if is_special_file(path) {
            return Err(refuse("it is a pipe or a device and no file".into()));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| refuse(format!("it cannot be read ({error}); check the path")))?;
        let file: StudyFile = toml::from_str(&text).map_err(|error| TrainError::Study {
            path: path.into(),
            place: Place::of(&error, &text).map_or(String::new(), |place| place.to_string()),
            fault: format!("{}; correct it there", plain(error.message())),
        })?;
        file.check().map_err(refuse)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut jobs = Vec::new();
        for &seed in &file.seeds {
            for (place, cell) in file.cells.iter().enumerate() {
                let recipe_path = folder.join(cell.recipe.as_ref().unwrap_or(&file.recipe));
                let seed_key = [format!("train.seed={seed}")];
                let set = [&file.set[..], &cell.set, &seed_key].concat();
                let recipe = Recipe::read(&recipe_path, &set).map_err(|error| match error {
                    TrainError::Override { assignment, path, reason } => refuse(format!(
                        "{} cannot take `{assignment}` in set: {reason}",
                        path.display()
                    )),
                    other => other,
                })?;
                let recipe_text = recipe.to_toml()?;
                let recipe_folder = recipe_path.parent().unwrap_or(Path::new(""));
                let recipe = recipe.with_paths_from(recipe_folder);
                let run = runs.join(format!("{}-seed-{seed}", file_name(&cell.name)));
                if let Some(difference) = RunDirectory::difference(&run, &recipe)? {
                    return Err(refuse(format!(
                        "{} was trained with another recipe ({difference}); remove that run to train it anew, or \
                         name another folder with --runs",
                        run.display()
                    )));
                }
                jobs.push(Job { cell: place, seed, recipe, recipe_text, run });
            }
        }
        let evaluate = folder.join(&file.evaluate);
        Ok(Self { file, evaluate, jobs })
    }

    /// What came out so far.
    ///
    /// # Errors
    /// [`TrainError`] where the result of a training that is done cannot be read.
    pub fn result(&self) -> Result<StudyResult, TrainError> {
        StudyResult::of(self)
    }

    /// Writes `README.md`, `picture.svg` and `runs.jsonl` into a folder.
    ///
    /// # Errors
    /// [`TrainError`] as [`Study::result`], and where the folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), TrainError> {
        let result = self.result()?;
        std::fs::create_dir_all(folder).map_err(TrainError::page(folder))?;
        let lines: String =
            result.runs().map(|run| format!("{}\n", run.to_json(&self.file))).collect();
        let table = table::markdown(&self.file, &result);
        let picture = picture::svg(&self.file, &result);
        for (name, text) in [("README.md", table), ("picture.svg", picture), ("runs.jsonl", lines)]
        {
            let path = folder.join(name);
            write_atomically(&path, |file| file.write_all(text.as_bytes()))
                .map_err(TrainError::page(&path))?;
        }
        Ok(())
    }

    /// Refuses a folder in which [`Study::write`] would write over what is not of this study, or tells of more:
    /// of trainings that the study has not; with `only_done`, of trainings that are not done here.
    ///
    /// # Errors
    /// [`TrainError`] with the file that would be lost, or where the folder cannot be made.
    pub fn check_output(&self, folder: &Path, only_done: bool) -> Result<(), TrainError> {
        std::fs::create_dir_all(folder).map_err(TrainError::page(folder))?;
        let log = folder.join("runs.jsonl");
        let keep = |path: PathBuf, reason: String| Err(TrainError::KeepsMore { path, reason });
        if log.symlink_metadata().is_err() {
            let pages = ["README.md", "picture.svg"].map(|name| folder.join(name));
            return match pages.into_iter().find(|path| path.symlink_metadata().is_ok()) {
                Some(path) => keep(path, "is there already and is no page of a study".into()),
                None => Ok(()),
            };
        }
        let text = std::fs::read_to_string(&log).map_err(TrainError::page(&log))?;
        let mut elsewhere = 0;
        for line in text.lines() {
            let line: Option<LogLine> = serde_json::from_str(line).ok();
            let Some(LogLine { cell, seed }) = line else {
                return keep(log, "is there already and is no log of a study".into());
            };
            let job = self
                .jobs
                .iter()
                .find(|job| job.seed == seed && self.file.cells[job.cell].name == cell);
            match job {
                None => {
                    let what =
                        format!("tells of \"{cell}\" with seed {seed}, which this study has not");
                    return keep(log, what);
                }
                Some(job) => elsewhere += usize::from(job.progress() != Progress::Done),
            }
        }
        match elsewhere {
            0 => Ok(()),
            _ if !only_done => Ok(()),
            1 => keep(log, "tells of a training that is not done here".into()),
            count => keep(log, format!("tells of {count} trainings that are not done here")),
        }
    }

    /// Refuses a study some of whose manifests are not there, or have changed since a training of it: what is
    /// compared must have learnt from the same.
    ///
    /// # Errors
    /// [`TrainError`], with the manifest.
    pub fn check_data(&self) -> Result<(), TrainError> {
        let mut known: BTreeMap<&Path, String> = BTreeMap::new();
        for job in &self.jobs {
            let data = &job.recipe.data;
            let train = data.train.manifests().iter().map(|one| one.manifest.as_path());
            for path in train.clone().chain([data.dev.as_path()]) {
                if !known.contains_key(path) {
                    known.insert(path, open_source(path, &|_, _| ())?.digest()?);
                }
            }
            if job.progress() != Progress::Done {
                continue;
            }
            let trial = result::Trial::read(&job.evaluation())?;
            let now: Vec<&str> = train.clone().map(|path| known[path].as_str()).collect();
            let learnt = trial.train_digest.split(' ').zip(&now).zip(train);
            let chosen = [(
                (trial.dev_digest.as_str(), &known[data.dev.as_path()].as_str()),
                data.dev.as_path(),
            )];
            let changed = learnt.chain(chosen).find(|((was, is), _)| was != *is);
            if let Some((_, manifest)) = changed {
                return Err(TrainError::StudyRun {
                    path: job.run.clone(),
                    reason: format!("was trained before {} changed", manifest.display()),
                    way_out: "restore that manifest, or remove the run to train it anew",
                });
            }
        }
        Ok(())
    }
}

/// What a line of `runs.jsonl` is known by.
#[derive(Deserialize)]
struct LogLine {
    cell: String,
    seed: u64,
}

impl Job {
    /// Where the evaluation of its model lies, once it is done.
    pub fn evaluation(&self) -> PathBuf {
        self.run.join("evaluation.json")
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        if self.evaluation().exists() {
            Progress::Done
        } else if self.run.join("recipe.toml").exists() {
            Progress::Begun
        } else {
            Progress::Waiting
        }
    }
}

impl StudyFile {
    /// What types cannot say.
    fn check(&self) -> Result<(), String> {
        if self.cells.is_empty() || self.seeds.is_empty() {
            return Err("it needs at least one cell ([[cells]]) and one seed (seeds)".into());
        }
        if self.cells.len() * self.seeds.len() > MOST_JOBS {
            return Err(format!("it asks for more than {MOST_JOBS} trainings"));
        }
        for (place, cell) in self.cells.iter().enumerate() {
            let earlier = &self.cells[..place];
            let name = file_name(&cell.name);
            if name.is_empty() {
                return Err(format!(
                    "\"{}\" is no name for a cell; use letters or digits",
                    cell.name
                ));
            }
            if let Some(same) = earlier.iter().find(|other| file_name(&other.name) == name) {
                return Err(format!(
                    "the cells \"{}\" and \"{}\" would have the same run directory; name one otherwise",
                    same.name, cell.name
                ));
            }
            if cell
                .set
                .iter()
                .chain(&self.set)
                .any(|key| key.trim_start().starts_with("train.seed"))
            {
                return Err("the seed is set by seeds, not by a cell".into());
            }
        }
        let mut seeds = self.seeds.clone();
        seeds.sort_unstable();
        seeds.dedup();
        if seeds.len() < self.seeds.len() {
            return Err("a seed stands there twice, which would count one training as two".into());
        }
        Ok(())
    }
}

/// A cell's name as part of a file's: `25 / 10` becomes `25-10`.
fn file_name(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' });
    let plain: String = plain.collect();
    let parts: Vec<&str> =
        plain.split('-').filter(|part| !part.trim_matches('.').is_empty()).collect();
    parts.join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(cells: &[&str], seeds: &[u64]) -> StudyFile {
        let cell = |name: &&str| Cell { name: (*name).into(), recipe: None, set: Vec::new() };
        StudyFile {
            title: "t".into(),
            question: "q".into(),
            answer: None,
            recipe: "r.toml".into(),
            evaluate: "e.jsonl".into(),
            seeds: seeds.into(),
            set: Vec::new(),
            cells: cells.iter().map(cell).collect(),
        }
    }

    #[test]
    fn names_become_folders() {
        for (name, folder) in
            [("25/10", "25-10"), ("MFCC + CMVN", "mfcc-cmvn"), ("0.5 h", "0.5-h"), ("..", "")]
        {
            assert_eq!(file_name(name), folder);
        }
    }

    #[test]
    fn a_grid_that_cannot_be_told_apart_is_refused() {
        assert!(file(&["a", "b"], &[1, 2]).check().is_ok());
        for (bad, word) in [
            (file(&[], &[1]), "at least one"),
            (file(&["a"], &[]), "at least one"),
            (file(&["a/b", "A b"], &[1]), "same run directory"),
            (file(&["/"], &[1]), "no name"),
            (file(&["a"], &[1, 1]), "twice"),
            (file(&["a"], &(0..1001).collect::<Vec<_>>()), "more than"),
        ] {
            let fault = bad.check().unwrap_err();
            assert!(fault.contains(word), "{fault}");
        }
        let mut seeded = file(&["a"], &[1]);
        seeded.cells[0].set.push("train.seed=4".into());
        assert!(seeded.check().unwrap_err().contains("seeds"));
    }
}
