//! `labyrinth prepare`: a corpus, or a folder of recordings, to manifests.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use labyrinth_corpus::{CORPORA, CorpusInfo, PrepareOptions, PrepareReport};

use crate::commands::fetch;
use crate::commands::folder_recipe::{self, RecipeFile};
use crate::commands::train::default_run;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::{output, wording};

/// Below this much speech the program says what to expect.
const LITTLE_SPEECH: f64 = 600.0;

/// Corpora with a recipe of the project's own; others get one that is sized to the hours found.
const PUBLISHED_RECIPES: [&str; 3] = ["an4", "fsdd", "yesno"];

/// Arguments of `labyrinth prepare`.
#[derive(Args)]
#[command(after_help = short_table(), after_long_help = long_table())]
pub struct Prepare {
    /// Which corpus it is: see the table below.
    #[arg(value_parser = corpus_parser(), hide_possible_values = true)]
    corpus: &'static CorpusInfo,
    /// Where it lies: its folder, a folder that holds its archive, or the archive.
    #[arg(long, value_name = "DIR", required_unless_present = "download")]
    from: Option<PathBuf>,
    /// Fetches its archives into this folder first; without it no network is touched.
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    download: Option<PathBuf>,
    /// Which parts to fetch, with commas between: dev-clean,test-clean.
    #[arg(long = "part", value_name = "PARTS", value_delimiter = ',', requires = "download")]
    parts: Vec<String>,
    /// Fetches from another server than the publisher's: http://host/folder.
    #[arg(long, value_name = "URL", requires = "download")]
    mirror: Option<String>,
    /// The output folder; data/NAME where not given.
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Makes this speaker alone the test set.
    #[arg(long, value_name = "SPEAKER", conflicts_with_all = ["test_speakers", "dev_speakers"])]
    hold_out: Option<String>,
    /// These speakers are the test set, with commas between; all that are not named train.
    #[arg(long, value_name = "SPEAKERS", value_delimiter = ',')]
    test_speakers: Vec<String>,
    /// These speakers are the development set.
    #[arg(long, value_name = "SPEAKERS", value_delimiter = ',')]
    dev_speakers: Vec<String>,
    /// Replaces what a different preparation left in the output folder.
    #[arg(long)]
    force: bool,
}

const OUTPUT: &str = "\
Writes train.jsonl, dev.jsonl, test.jsonl and ledger.jsonl; recordings are not copied. Every
utterance that was read is in one of the sets or, with its reason, in the ledger.

With --download, what was begun goes on, and what is there is verified and not fetched again.";

const EXAMPLES: &str = "\
Examples:
  labyrinth prepare an4 --from an4_raw.bigendian.tar.gz
  labyrinth prepare fsdd --from free-spoken-digit-dataset --hold-out george -o data/fsdd-george
  labyrinth prepare librispeech --from dev-clean --test-speakers 84,174 --dev-speakers 777
  labyrinth prepare librispeech --download archives --part train-clean-100,dev-clean,test-clean
  labyrinth prepare kaldi --from egs/mine/data
  labyrinth prepare folder --from recordings -o data/mine";

/// A line a corpus.
fn short_table() -> String {
    let lines: Vec<String> =
        CORPORA.iter().map(|info| format!("  {:<16} {}", info.name, info.title)).collect();
    format!(
        "Corpora (--help has their splits and licences):\n{}\n\n{OUTPUT}\n\n{EXAMPLES}",
        lines.join("\n")
    )
}

/// Title, split and licence of each corpus.
fn long_table() -> String {
    let entry = |info: &&CorpusInfo| {
        format!(
            "  {:<16}{} {}\n{:20}split: {}\n{:20}licence: {}{}",
            info.name,
            if info.tried { " " } else { "*" },
            info.title,
            "",
            info.split,
            "",
            info.licence,
            fetch::parts(info).map_or_else(String::new, |parts| indented(&parts))
        )
    };
    let entries: Vec<String> = CORPORA.iter().map(entry).collect();
    format!(
        "Corpora:\n{}\n\n  * tested on small trees of its shape, not yet on the corpus itself\n\n\
         {OUTPUT}\n\n{EXAMPLES}",
        entries.join("\n")
    )
}

/// Words in lines of their own, as wide as the rest of the help.
fn indented(text: &str) -> String {
    let mut lines = String::new();
    let mut width = usize::MAX;
    for word in text.split(' ') {
        if width.saturating_add(1 + word.len()) > 100 {
            lines.push_str(&format!("\n{:20}{word}", ""));
            width = 20 + word.len();
        } else {
            lines.push_str(&format!(" {word}"));
            width += 1 + word.len();
        }
    }
    lines
}

fn corpus_parser() -> impl TypedValueParser<Value = &'static CorpusInfo> {
    let names: Vec<&str> = CORPORA.iter().map(|info| info.name).collect();
    PossibleValuesParser::new(names).try_map(|name| {
        CorpusInfo::named(&name).ok_or_else(|| format!("{name} is no corpus that is known"))
    })
}

impl Prepare {
    /// Prepares and prints the report.
    pub fn run(mut self) -> Result<ExitCode, Failure> {
        let (from, archives) = match (self.from.take(), &self.download) {
            (Some(from), _) => (from, Vec::new()),
            (None, folder) => {
                let folder = folder.clone().unwrap_or_default();
                let archives = self.fetch(&folder)?;
                (folder, archives)
            }
        };
        let out = self.out.clone().unwrap_or_else(|| self.default_out(&from));
        let options = PrepareOptions {
            from,
            archives,
            out: out.clone(),
            hold_out: self.hold_out.clone(),
            test_speakers: self.test_speakers.clone(),
            dev_speakers: self.dev_speakers.clone(),
            force: self.force,
        };
        let progress = Progress::new("listening");
        let tell = |done, total| progress.at(done, total);
        let report = (self.corpus.prepare)(&options, &tell);
        progress.finish();
        let report = report?;
        let recipe = match PUBLISHED_RECIPES.contains(&self.corpus.name) {
            true => None,
            false => Some(folder_recipe::write(&report)?),
        };
        output::text(&report)?;
        self.print_recipe(&report, recipe.as_ref())?;
        self.print_next(&out)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Fetches what was asked for; gives the archives.
    fn fetch(&self, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
        let mut more = String::new();
        if let Some(out) = &self.out {
            more = format!(" -o {}", wording::shell(out));
        }
        let wanted = fetch::Wanted {
            corpus: self.corpus,
            folder,
            parts: &self.parts,
            mirror: self.mirror.as_deref(),
        };
        wanted.fetch(&more)
    }

    /// `data/an4`; for one's own data the name of its folder or file.
    fn default_out(&self, from: &Path) -> PathBuf {
        let name = match self.corpus.name {
            "folder" | "kaldi" | "nemo" | "lhotse" | "csv" => {
                let from = super::absolute(from);
                let name = from.file_name().map(|name| name.to_string_lossy().into_owned());
                match name.unwrap_or_else(|| self.corpus.name.to_owned()) {
                    name if from.is_file() => name.split('.').next().unwrap_or(&name).to_owned(),
                    name => name,
                }
            }
            name => name.to_owned(),
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
        let recipe = match PUBLISHED_RECIPES.contains(&self.corpus.name) {
            true => Path::new("recipes").join(format!("{}.toml", self.corpus.name)),
            false => out.join(folder_recipe::NAME),
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
