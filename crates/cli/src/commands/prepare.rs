//! `labyrinth prepare`: a corpus, or a folder of recordings, to manifests.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use labyrinth_corpus::{
    PrepareOptions, PrepareReport, prepare_an4, prepare_folder, prepare_fsdd, prepare_yesno,
};

use crate::commands::folder_recipe::{self, RecipeFile};
use crate::commands::train::default_run;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{output, wording};

/// Below this much speech the program says what to expect.
const LITTLE_SPEECH: f64 = 600.0;

/// Arguments of `labyrinth prepare`.
#[derive(Args)]
#[command(after_help = "\
Writes train.jsonl, dev.jsonl, test.jsonl and ledger.jsonl; recordings are not copied. A `folder` is
audio with a .txt of the same name beside each, its first-level subfolders are the speakers; it also
gets a recipe sized to the hours found.

Examples:
  labyrinth prepare an4 --from an4_raw.bigendian.tar.gz
  labyrinth prepare fsdd --from free-spoken-digit-dataset --hold-out george -o data/fsdd-george
  labyrinth prepare folder --from recordings -o data/mine")]
pub struct Prepare {
    /// Which corpus it is.
    #[arg(value_enum)]
    corpus: Corpus,
    /// Where it lies: its folder, a folder that holds its archive, or the archive.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The output folder; data/NAME where not given.
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Makes this speaker alone the test set.
    #[arg(long, value_name = "SPEAKER")]
    hold_out: Option<String>,
    /// Replaces what a different preparation left in the output folder.
    #[arg(long)]
    force: bool,
}

/// The corpora that the program knows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Corpus {
    /// CMU AN4: spelled letters, digits, control words.
    An4,
    /// Free Spoken Digit Dataset.
    Fsdd,
    /// Hebrew yes and no, OpenSLR 1.
    Yesno,
    /// Your own recordings.
    Folder,
}

impl Prepare {
    /// Prepares and prints the report.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let out = self.out.clone().unwrap_or_else(|| self.default_out());
        let options = PrepareOptions {
            from: self.from.clone(),
            out: out.clone(),
            hold_out: self.hold_out.clone(),
            force: self.force,
        };
        let progress = Progress::new("listening");
        let tell = |done, total| progress.at(done, total);
        let report = match self.corpus {
            Corpus::An4 => prepare_an4(&options, &tell),
            Corpus::Fsdd => prepare_fsdd(&options, &tell),
            Corpus::Yesno => prepare_yesno(&options, &tell),
            Corpus::Folder => prepare_folder(&options, &tell),
        };
        progress.finish();
        let report = report?;
        let recipe = match self.corpus {
            Corpus::Folder => Some(folder_recipe::write(&report)?),
            _ => None,
        };
        output::text(&report)?;
        self.print_recipe(&report, recipe.as_ref())?;
        self.print_next(&out)?;
        Ok(ExitCode::SUCCESS)
    }

    /// `data/an4`; for a folder of recordings its own name.
    fn default_out(&self) -> PathBuf {
        let name = match self.corpus {
            Corpus::An4 => "an4".into(),
            Corpus::Fsdd => "fsdd".into(),
            Corpus::Yesno => "yesno".into(),
            Corpus::Folder => {
                let from = std::path::absolute(&self.from).unwrap_or_else(|_| self.from.clone());
                from.file_name().map_or_else(|| "folder".into(), ToOwned::to_owned)
            }
        };
        Path::new("data").join(name)
    }

    fn print_recipe(
        &self,
        report: &PrepareReport,
        recipe: Option<&RecipeFile>,
    ) -> Result<(), Failure> {
        let Some(recipe) = recipe else { return Ok(()) };
        let path = recipe.path.display();
        output::line(match recipe.kept {
            false => format!("  recipe   {path}, {}", recipe.summary),
            true => format!("  recipe   {path} was edited and stays as it is"),
        })?;
        let seconds = report.totals.seconds;
        if seconds < LITTLE_SPEECH {
            output::line(format_args!(
                "\n{} of speech are little: expect a recogniser that knows these very words in these \
                 very voices, and errors on anything else.\nTen minutes carry a small vocabulary; an \
                 hour of many speakers, something to show.",
                wording::speech(seconds)
            ))?;
        }
        Ok(())
    }

    fn print_next(&self, out: &Path) -> Result<(), Failure> {
        let recipe = match self.corpus {
            Corpus::An4 => PathBuf::from("recipes/an4.toml"),
            Corpus::Fsdd => PathBuf::from("recipes/fsdd.toml"),
            Corpus::Yesno => PathBuf::from("recipes/yesno.toml"),
            Corpus::Folder => out.join(folder_recipe::NAME),
        };
        output::text(format_args!(
            "\nnext\n  labyrinth check {out} --recipe {recipe}\n  labyrinth train {recipe}\n  \
             labyrinth evaluate {model} {test}\n",
            out = wording::shell(out),
            recipe = wording::shell(&recipe),
            model = wording::shell(&default_run(&recipe).join("model.safetensors")),
            test = wording::shell(&out.join("test.jsonl")),
        ))
    }
}
