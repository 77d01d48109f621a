//! `labyrinth train`: a recipe to a model.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use labyrinth_corpus::source::HELD_IN_MEMORY;
use labyrinth_corpus::{Manifest, shared_utterances};
use labyrinth_train::{Recipe, Summary, TrainOptions};

use crate::failure::Failure;
use crate::training::RunOptions;
use crate::{interrupt, model, output, training, wording};

/// Arguments of `labyrinth train`.
#[derive(Args)]
#[command(after_help = "\
Writes the run directory, runs/NAME-OF-THE-RECIPE where not named: the recipe as resolved,
log.jsonl, ledger.jsonl, checkpoints and model.safetensors, the best epoch's model. Interrupted at
any moment, it goes on with --resume to the same weights, byte for byte; --from must be given again.
`embedded` is the model inside this program, which is written beside the run as a file; the recipe
has [features] and [model] of the model it begins with (recipes/embedded.toml).

Examples:
  labyrinth train recipes/an4.toml
  labyrinth train recipes/an4.toml --set train.epochs=5 --run runs/short
  labyrinth train recipes/an4.toml --resume
  labyrinth train recipes/fsdd-finetune.toml --from runs/an4-8k/model.safetensors")]
pub struct Train {
    /// The recipe, a TOML file; its paths are relative to its own folder.
    recipe: PathBuf,
    /// Resumes with another instruction set, and so with other rounding.
    #[arg(long, requires = "resume")]
    anyway: bool,
    /// Begins with this model's weights (or `embedded`), whatever its alphabet.
    #[arg(long, value_name = "MODEL")]
    from: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

impl Train {
    /// Trains, and tells what came out.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let recipe = Recipe::read(&self.recipe, &self.options.set)?;
        // The model file shows the recipe without this machine's folders.
        let mut shown = recipe.clone();
        let mut recipe = recipe.with_paths_from(recipe_folder(&self.recipe));
        let run = self.options.run.clone().unwrap_or_else(|| default_run(&self.recipe));
        refuse_a_file(&run, "--run")?;
        let from = self.from.as_ref().map(|named| model::as_file(named, &run)).transpose()?;
        if let Some(model) = &from {
            shown.train.from = model.file_name().map(PathBuf::from);
            recipe.train.from = Some(super::absolute(model));
        }
        let recipe_text = shown.to_toml()?;
        let test = recipe.data.train.first().with_file_name("test.jsonl");
        let warnings = warnings_of_overlap(&recipe);
        interrupt::advise("the same command goes on with --resume");
        let options = TrainOptions {
            recipe,
            recipe_text,
            run: run.clone(),
            resume: self.options.resume,
            anyway: self.anyway,
            cpu: self.options.isa.cpu()?,
            workers: self.options.workers.count(),
        };
        let summary = training::run(options, self.options.threads, &warnings)?;
        let test = if test.is_file() { shortest(&test) } else { "TEST.jsonl".into() };
        output::text(format_args!(
            "\nnext\n  labyrinth evaluate {model} {test}\n  labyrinth transcribe {model} FILE.wav\n\n",
            model = wording::shell(&summary.model),
            test = wording::shell(&test)
        ))
        .and_then(|()| output::line(outcome(&summary, &run)))
        .or_else(|failure| match failure {
            Failure::ClosedPipe => Ok(()),
            other => Err(other),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Where dev holds what is trained on, of manifests that are small enough to be in memory. What cannot be read
/// is for the training to tell.
fn warnings_of_overlap(recipe: &Recipe) -> Vec<String> {
    let read = |path: &Path| {
        let small = path.metadata().is_ok_and(|data| data.len() <= HELD_IN_MEMORY);
        small.then(|| Manifest::read(path).ok()).flatten()
    };
    let Some(dev) = read(&recipe.data.dev) else { return Vec::new() };
    let manifests = recipe.data.train.manifests().iter().filter_map(|one| read(&one.manifest));
    let overlaps = manifests.filter_map(|train| {
        // The very same data is refused in a sentence of its own.
        let shared = shared_utterances(&dev, &train);
        let first = shared.first().filter(|_| dev.utterances != train.utterances)?;
        Some(format!(
            "warning: {} of the {} of {} stand in {} too (first {}), so the figure on dev is better than on new \
             speech",
            wording::thousands(shared.len()),
            wording::count(dev.utterances.len(), "utterance"),
            dev.path.display(),
            train.path.display(),
            first.id
        ))
    });
    overlaps.collect()
}

/// The end of a training: in the last line the model, its figure, and what was left out and why; before
/// it a sentence where the model is of no use yet.
pub fn outcome(summary: &Summary, run: &Path) -> String {
    let useless = match summary.dev_error_rate {
        Some(rate) if rate >= 1.0 => {
            "This model does no better than silence yet: train for more epochs (--set train.epochs=N), give it \
             more recordings, and let `labyrinth check` look for faults in them.\n"
        }
        _ => "",
    };
    let skipped = match summary.skipped {
        0 => String::new(),
        count => format!(" ({} skipped, see log.jsonl)", wording::thousands(count as usize)),
    };
    format!(
        "{useless}{}: best of epoch {}, dev {} {}, {}{skipped} in {}, of which {:.1} % waiting for data; left out of training: {}, named in {}",
        summary.model.display(),
        summary.best_epoch,
        summary.rate_name,
        wording::error_rate(summary.dev_error_rate),
        wording::count(summary.steps as usize, "step"),
        wording::clock(summary.seconds),
        100.0 * summary.waited / summary.seconds.max(1e-9),
        wording::left_out(&summary.ledger),
        run.join("ledger.jsonl").display()
    )
}

/// A run directory cannot be where a file lies (or a device, or a pipe).
pub fn refuse_a_file(run: &Path, option: &str) -> Result<(), Failure> {
    match run.ancestors().find(|path| path.exists() && !path.is_dir()) {
        None => Ok(()),
        Some(file) => Err(Failure::Sentence(format!(
            "{} is a file, so the run cannot go to {}; name another folder with {option}",
            file.display(),
            run.display()
        ))),
    }
}

/// The folder to which a recipe's paths are relative.
pub fn recipe_folder(recipe: &Path) -> &Path {
    recipe.parent().unwrap_or(Path::new(""))
}

/// `runs/an4` for `recipes/an4.toml`. A file called `recipe.toml` is named after its folder.
pub fn default_run(recipe: &Path) -> PathBuf {
    let absolute = super::absolute(recipe);
    let folder = absolute.parent().and_then(Path::file_name);
    let name = match (recipe.file_stem(), folder) {
        (Some(stem), Some(folder)) if stem == "recipe" => folder,
        (Some(stem), _) => stem,
        (None, _) => "run".as_ref(),
    };
    Path::new("runs").join(name)
}

/// A path as seen from here where it lies below, so that it can be pasted.
fn shortest(path: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_after_its_recipe() {
        for (recipe, run) in [
            ("recipes/an4.toml", "runs/an4"),
            ("an4-250-50.toml", "runs/an4-250-50"),
            ("data/mine/recipe.toml", "runs/mine"),
        ] {
            assert_eq!(default_run(Path::new(recipe)), Path::new(run), "{recipe}");
        }
    }
}
