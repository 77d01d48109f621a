//! `labyrinth check`: what is wrong with a corpus, before training finds out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use labyrinth_corpus::{CheckContext, check, open_source, training_alphabet};
use labyrinth_text::Normalizer;
use labyrinth_train::{Recipe, TrainError};
use serde_json::json;

use crate::commands::train::recipe_folder;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// Arguments of `labyrinth check`.
#[derive(Args)]
#[command(after_help = "\
Finds audio that is unreadable, empty, clipped or silent, transcripts without audio and the reverse,
duplicates, a speaker or a sentence in two sets. With a recipe also characters outside its alphabet
and utterances too short for their transcript. Exit status 1 where there are errors; warnings alone
give 0.

Examples:
  labyrinth check data/an4
  labyrinth check data/an4 --recipe recipes/an4.toml
  labyrinth check data/mine/test.jsonl --json")]
pub struct Check {
    /// A prepared folder, one manifest, or a folder of recordings with transcripts.
    #[arg(value_name = "DIR|MANIFEST")]
    target: PathBuf,
    /// Also checks for this recipe's alphabet and frame rate.
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// Prints one object of JSON with every finding.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Checks and prints; the status is 1 where there are errors.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let context = self.recipe.as_deref().map(context).transpose()?;
        let progress = Progress::new("listening");
        let report = check(&self.target, context.as_ref(), &|done, total| progress.at(done, total));
        progress.finish();
        let report = report?;
        if self.json {
            output::json(&json!(report))?;
        } else {
            output::text(&report)?;
        }
        Ok(if report.errors() > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}

/// What a recipe adds: its alphabet is that of its own training set.
fn context(path: &Path) -> Result<CheckContext, Failure> {
    let recipe = Recipe::read(path, &[])?.with_paths_from(recipe_folder(path));
    let normalizer = Normalizer::new(&recipe.data.normalizer).map_err(TrainError::from)?;
    let mut sources = Vec::new();
    for one in recipe.data.train.manifests() {
        sources.push(open_source(&one.manifest, &|_, _| ())?);
    }
    let sources = sources.iter().map(|source| &**source);
    let alphabet = training_alphabet(sources, &normalizer, recipe.data.units)?;
    let model = recipe.model.clone();
    Ok(CheckContext {
        normalizer,
        alphabet,
        features: recipe.features,
        output_frames: Arc::new(move |frames| model.output_frames(frames)),
    })
}
