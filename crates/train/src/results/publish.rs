//! The lines that anyone can repeat with one command: all that `labyrinth reproduce` needs, in one small text that
//! travels inside the program.

use std::path::PathBuf;

use labyrinth_corpus::CorpusInfo;
use serde::{Deserialize, Serialize};

use super::page::ResultsFile;
use super::{DataSet, Figure};
use crate::error::TrainError;
use crate::recipe::Recipe;

/// How a line is repeated: `reproduce = { name = "an4", corpus = "an4", recipe = "an4.toml" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reproduce {
    /// What it is called.
    pub name: String,
    /// The corpus, as `labyrinth prepare` calls it.
    pub corpus: String,
    /// The recipe, beside the file of results.
    pub recipe: PathBuf,
    /// The speaker that is the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<String>,
    /// Speakers that are the test set, and those that are the development set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_speakers: Vec<String>,
    /// The development set's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dev_speakers: Vec<String>,
    /// Keys of the recipe that the line sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
}

/// A published figure with all that it takes to repeat it but the corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Published {
    /// How.
    pub reproduce: Reproduce,
    /// The recipe's text.
    pub recipe_text: String,
    /// WER or PER.
    pub rate_name: String,
    /// The figure that was published.
    pub figure: Figure,
    /// Sets that it was trained and tried on.
    pub train: Option<DataSet>,
    /// The one by which the epoch was chosen.
    pub dev: Option<DataSet>,
    /// The test set.
    pub test: DataSet,
    /// Most bytes of memory that the training held.
    pub training_memory: Option<u64>,
    /// Seconds of one training, and on what.
    pub seconds: Option<f64>,
    /// What trained it.
    pub trained_on: Option<String>,
}

impl ResultsFile {
    /// Every line that can be repeated.
    ///
    /// # Errors
    /// [`TrainError`] where a recipe cannot be read, or two lines have the same name.
    pub fn published(&self) -> Result<Vec<Published>, TrainError> {
        let mut all: Vec<Published> = Vec::new();
        for line in self.lines() {
            let Some(reproduce) = &line.reproduce else { continue };
            if all.iter().any(|one| one.reproduce.name == reproduce.name) {
                return Err(
                    self.refuse(format!("two lines are reproduced as \"{}\"", reproduce.name))
                );
            }
            let records = self.records(line);
            let (Some(figure), Some(first)) = (Figure::of(&records, false), records.first()) else {
                return Err(
                    self.refuse(format!("the line \"{}\" has no figure to reproduce", line.name))
                );
            };
            if records.iter().any(|record| record.test.contents != first.test.contents) {
                return Err(self.refuse(format!(
                    "the line \"{}\" has several test sets; let one of them be reproduced",
                    line.name
                )));
            }
            let recipe = self.path().with_file_name("").join(&reproduce.recipe);
            let recipe_text = std::fs::read_to_string(&recipe).map_err(|error| {
                let name = &line.name;
                self.refuse(format!(
                    "the recipe {} of the line \"{name}\" cannot be read ({error}); check its path",
                    recipe.display()
                ))
            })?;
            Recipe::parse_with(&recipe_text, &recipe, &reproduce.set)?;
            if CorpusInfo::named(&reproduce.corpus).is_none() {
                return Err(self.refuse(format!(
                    "the line \"{}\" is of the corpus \"{}\", which `labyrinth prepare` does not know",
                    line.name, reproduce.corpus
                )));
            }
            all.push(Published {
                reproduce: reproduce.clone(),
                recipe_text,
                rate_name: first.rate_name().into(),
                figure,
                train: first.train.clone(),
                dev: first.dev.clone(),
                test: first.test.clone(),
                training_memory: records.iter().filter_map(|record| record.training_memory).max(),
                seconds: first.seconds,
                trained_on: first.trained_on.clone(),
            });
        }
        Ok(all)
    }
}

impl Published {
    /// As one text, for the program to carry.
    pub fn to_text(all: &[Self]) -> String {
        let lines: Vec<String> =
            all.iter().map(|one| serde_json::to_string(one).unwrap_or_default()).collect();
        format!("[\n{}\n]\n", lines.join(",\n"))
    }

    /// From that text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_text(text: &str) -> Result<Vec<Self>, serde_json::Error> {
        serde_json::from_str(text)
    }
}
