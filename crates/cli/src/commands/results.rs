//! `labyrinth results`: the page of published figures, from records of trials.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_train::results::{Published, ResultsFile};

use crate::failure::Failure;
use crate::{output, wording};

/// Arguments of `labyrinth results`.
#[derive(Args)]
#[command(after_help = "\
After a training, `labyrinth evaluate MODEL TEST --record FILE` tries the model and leaves a small
record: error rates with intervals, training time, memory, real-time factor, machine, digests. The
file (TOML) says which lines there are and which records each is made of; several are seeds, and
the line shows their mean and spread. Prose takes figures from records: {an4-seed1.wer}.

  title = \"Results\"
  records = \"results\"                   # the folder of the records
  [[sections]]
  title = \"AN4\"
  text = \"Greedy, no language model.\"
  [[sections.lines]]
  name = \"[an4.toml](an4.toml)\"
  records = [\"an4-seed1\", \"an4-seed2\"]
  reproduce = { name = \"an4\", corpus = \"an4\", recipe = \"an4.toml\" }
  [[sections.others]]                   # what others published
  name = \"Kaldi tri3\"
  figure = \"5.95\"
  source = \"its repository\"
  [sections.stated]                     # prose with figures that no record holds
  source = \"commit 1234567\"
  text = \"…\"

Examples:
  labyrinth results recipes/results.toml -o recipes/RESULTS.md
  labyrinth results recipes/results.toml --check recipes/RESULTS.md")]
pub struct Results {
    /// The file that says which lines there are.
    file: PathBuf,
    /// The page to write; standard output where not given.
    #[arg(short, long, value_name = "PAGE")]
    out: Option<PathBuf>,
    /// Writes nothing: status 1 where this page is not what would be written.
    #[arg(long, value_name = "PAGE", conflicts_with = "out")]
    check: Option<PathBuf>,
    /// Also writes (or checks) what `labyrinth reproduce` carries: recipes and figures.
    #[arg(long, value_name = "FILE")]
    pack: Option<PathBuf>,
}

/// What every page begins with that this command wrote, below its title.
const MARK: &str = "<!-- Written by `labyrinth results`";

impl Results {
    /// Writes the page.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let results = ResultsFile::read(&self.file)?;
        let page = results.page()?;
        let published = results.published()?;
        let packed = Published::to_text(&published);
        for name in results.unused() {
            output::complain(format_args!(
                "warning: the record {name} stands in no line of {}",
                self.file.display()
            ));
        }
        if let Some(path) = &self.check {
            let mut same = is_what_records_say(path, &page, "-o")?;
            if let Some(path) = &self.pack {
                same &= is_what_records_say(path, &packed, "--pack")?;
            }
            return Ok(ExitCode::from(u8::from(!same)));
        }
        if let Some(path) = &self.pack {
            refuse_what_is_no_pack(path)?;
            if self.out.as_ref().is_some_and(|page| super::absolute(page) == super::absolute(path))
            {
                return Err(Failure::Sentence(format!(
                    "{} cannot be the page and the pack; name another file with --pack",
                    path.display()
                )));
            }
        }
        match &self.out {
            None => output::text(&page)?,
            Some(path) => {
                // A page of this command may be written over, and nothing else.
                let found = std::fs::read_to_string(path).unwrap_or_default();
                if !found.contains(MARK) {
                    output::refuse_to_replace(path)?;
                }
                write_atomically(path, |file| file.write_all(page.as_bytes()))
                    .map_err(Failure::write(path))?;
                output::line(format_args!(
                    "{}: {} can be repeated with `labyrinth reproduce`",
                    path.display(),
                    wording::count(published.len(), "figure")
                ))?;
            }
        }
        if let Some(path) = &self.pack {
            write_atomically(path, |file| file.write_all(packed.as_bytes()))
                .map_err(Failure::write(path))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Says whether a file is what would be written; `option` writes it.
fn is_what_records_say(path: &Path, wanted: &str, option: &str) -> Result<bool, Failure> {
    let found = std::fs::read_to_string(path).map_err(Failure::read(path))?;
    let same = found == wanted;
    let what = match same {
        true => "is what its records say".to_owned(),
        false => format!("is not what its records say; write it anew with {option}"),
    };
    output::line(format_args!("{} {what}", path.display()))?;
    Ok(same)
}

/// An earlier pack may be written over, and nothing else.
fn refuse_what_is_no_pack(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match Published::from_text(&text) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::Sentence(format!(
            "{} is there already and was not written by --pack; name another file, or remove it",
            path.display()
        ))),
    }
}
