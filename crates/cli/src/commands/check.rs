//! `labyrinth check`: what is wrong with a corpus, before training finds out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_corpus::{
    CheckContext, CheckError, FindingKind, ManifestError, Source, Survey, training_alphabet,
};
use labyrinth_nn::Objective;
use labyrinth_text::{Lexicon, Normalizer};
use labyrinth_train::{Recipe, TrainError};
use serde_json::json;

use crate::commands::train::recipe_folder;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use crate::wording::count;

/// Broken lines that are told before the recordings are listened to; the report has all.
const TOLD_AT_ONCE: usize = 5;

/// Arguments of `labyrinth check`.
#[derive(Args)]
#[command(after_help = "\
Finds audio that is unreadable, empty, cut short, silent, clipped, off zero or upsampled, channels
that cancel, transcripts that are empty, wrongly decoded, full of marks or much too long for their
sound, broken lines, duplicates, and a speaker, a sentence or a recording in two sets. With a recipe
also characters outside its alphabet and utterances too short for their transcript.

Exit status 1 where there are errors (with --fix: where some are left); warnings alone give 0.

Examples:
  labyrinth check data/an4
  labyrinth check data/an4 --recipe recipes/an4.toml
  labyrinth check data/mine --html check.html     look at it, and listen to what is suspicious
  labyrinth check data/mine --fix data/clean      manifests without what spoils a training
  labyrinth check data/mine/test.jsonl --json")]
pub struct Check {
    /// A prepared folder, one manifest, or a folder of recordings with transcripts.
    #[arg(value_name = "DIR|MANIFEST")]
    target: PathBuf,
    /// Also checks for this recipe's alphabet and frame rate.
    #[arg(long, value_name = "RECIPE")]
    recipe: Option<PathBuf>,
    /// Writes cleaned manifests and a ledger into this folder; touches no audio.
    #[arg(long, value_name = "DIR")]
    fix: Option<PathBuf>,
    /// Writes a page with charts and the suspicious utterances, to listen to.
    #[arg(long, value_name = "PAGE.html")]
    html: Option<PathBuf>,
    /// Prints one object of JSON with every finding.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// Checks and prints; the status is 1 where there are errors.
    pub fn run(self) -> Result<ExitCode, Failure> {
        if let Some(page) = &self.html {
            refuse_page(page)?;
        }
        let context = self.recipe.as_deref().map(context).transpose()?;
        let survey = Survey::read(&self.target)?;
        if let Some(out) = &self.fix {
            survey.refuse_fix_into(out)?;
        }
        tell_broken_lines(&survey);
        let progress = Progress::new("listening");
        let checked = survey.listen(context.as_ref(), &|done, total| progress.at(done, total))?;
        progress.finish();
        let fixed = self.fix.as_deref().map(|out| checked.fix(out)).transpose()?;
        if let Some(path) = &self.html {
            let page = checked.page()?;
            write_atomically(path, |file| std::io::Write::write_all(file, page.as_bytes()))
                .map_err(Failure::write(path))?;
        }
        let report = &checked.report;
        if self.json {
            let mut object = json!(report);
            if let Some(fixed) = &fixed {
                let ledger = &fixed.ledger;
                object["fix"] = json!({
                    "out": fixed.out.to_string_lossy(),
                    "read": ledger.read_count(),
                    "kept": ledger.kept_count(),
                    "refused": ledger.refused_count(),
                    "changed": fixed.repairs,
                    "unfixed": fixed.unfixed,
                });
            }
            output::json(&object)?;
        } else {
            output::text(report)?;
            if let Some(fixed) = &fixed {
                output::text(fixed)?;
            }
            if let Some(path) = &self.html {
                output::line(format_args!("page: {}", path.display()))?;
            }
        }
        let errors = fixed.map_or(report.errors(), |fixed| fixed.unfixed.len());
        Ok(if errors > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}

/// A page is written over a page, and over nothing else; and its folder must be there before hours of
/// recordings are listened to.
fn refuse_page(path: &Path) -> Result<(), Failure> {
    let html = path.extension().is_some_and(|end| end == "html" || end == "htm");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let reason = if !html || path.is_dir() {
        "is no name for a page; name a file that ends in .html"
    } else if folder.is_some_and(|folder| !folder.is_dir()) {
        "cannot be written, since its folder is not there; make it, or name another place"
    } else {
        return Ok(());
    };
    Err(Failure::Sentence(format!("{} {reason} with --html", path.display())))
}

/// Lines that cannot be read are told before hours of recordings are listened to.
fn tell_broken_lines(survey: &Survey) {
    let broken: Vec<_> =
        survey.findings().iter().filter(|f| f.kind == FindingKind::BrokenLine).collect();
    for finding in broken.iter().take(TOLD_AT_ONCE) {
        output::remark(&finding.detail);
    }
    if broken.len() > TOLD_AT_ONCE {
        let more = broken.len() - TOLD_AT_ONCE;
        output::remark(format_args!("and {} more", count(more, "broken line")));
    }
}

/// What a recipe adds: its alphabet is that of its own training set.
pub(super) fn context(path: &Path) -> Result<CheckContext, Failure> {
    let recipe = Recipe::read(path, &[])?.with_paths_from(recipe_folder(path));
    let normalizer = Normalizer::new(&recipe.data.normalizer).map_err(TrainError::from)?;
    // A broken line of one is for the check to tell, where it is among what is checked.
    let mut surveys = Vec::new();
    for one in recipe.data.train.manifests() {
        surveys.push(match Survey::read(&one.manifest) {
            Ok(survey) => survey,
            Err(CheckError::Missing { path }) => return Err(ManifestError::Missing { path }.into()),
            Err(error) => return Err(error.into()),
        });
    }
    let sources = surveys.iter().filter_map(|survey| survey.manifests().next());
    let sources = sources.map(|manifest| manifest as &dyn Source);
    let lexicon = recipe.data.lexicon.as_deref().map(|path| Lexicon::read(path, &normalizer));
    let lexicon = lexicon.transpose().map_err(TrainError::from)?;
    let alphabet = training_alphabet(sources, &normalizer, recipe.data.units, lexicon.as_ref())?;
    let framewise = recipe.train.loss == Objective::Framewise;
    let model = recipe.model.clone();
    Ok(CheckContext {
        normalizer,
        alphabet,
        lexicon,
        framewise,
        features: recipe.features,
        output_frames: Arc::new(move |frames| model.output_frames(frames)),
    })
}
