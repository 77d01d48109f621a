//! `labyrinth study`: a grid of recipes and seeds as a queue that can be stopped, then a table and a picture.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use labyrinth_corpus::Manifest;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_nn::ModelFile;
use labyrinth_train::study::{Job, Progress as Standing, Study as Plan};
use labyrinth_train::{TrainOptions, evaluate};
use serde_json::json;

use super::evaluate::to_json;
use crate::failure::Failure;
use crate::machine::{IsaOption, ThreadsOption, WorkersOption};
use crate::progress::Progress;
use crate::{interrupt, output, training, wording};

/// Arguments of `labyrinth study`.
#[derive(Args)]
#[command(after_help = "\
The file names a base recipe, the manifest on which every model is tried, seeds, and cells: what
is compared, each with the keys it sets. Every cell is trained once with every seed. Stopped at
any moment, the same command goes on where it was, to the same figures. At the end, and with
--table at any time, README.md (the table), picture.svg and runs.jsonl (one line for each
training) stand in the output folder. A cell may name another recipe of its own; `answer`, a
sentence written by who has seen the figures, stands above the table.

  title = \"How long should a frame be?\"
  question = \"What does a frame of 250 ms cost, and what does it save?\"
  recipe = \"../recipes/an4.toml\"
  evaluate = \"../data/an4/dev.jsonl\"
  seeds = [1, 2, 3]
  set = [\"train.epochs=20\"]
  [[cells]]
  name = \"25/10\"
  [[cells]]
  name = \"50/20\"
  set = [\"features.frame-length=50\", \"features.frame-shift=20\"]

Examples:
  labyrinth study docs/studies/frames/study.toml -o docs/studies/frames
  labyrinth study docs/studies/frames/study.toml --table")]
pub struct Study {
    /// The file of the study, TOML.
    file: PathBuf,
    /// Where the table and the picture go; beside the runs where not given.
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the run directories go; runs/studies/NAME where not given.
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// Trains nothing: writes the table and the picture of what is done.
    #[arg(long)]
    table: bool,
    #[command(flatten)]
    threads: ThreadsOption,
    #[command(flatten)]
    workers: WorkersOption,
    #[command(flatten)]
    isa: IsaOption,
}

impl Study {
    /// Goes through the queue, then writes what came out.
    pub fn run(self) -> Result<ExitCode, Failure> {
        self.go().map_err(in_a_study)
    }

    fn go(self) -> Result<ExitCode, Failure> {
        let runs = self.runs.clone().unwrap_or_else(|| default_runs(&self.file));
        let plan = Plan::read(&self.file, &runs)?;
        let out = self.out.as_ref().unwrap_or(&runs);
        let manifest = Manifest::read(&plan.evaluate)?;
        if manifest.utterances.is_empty() {
            return Err(Failure::Sentence(format!(
                "{} is empty; name a manifest with utterances",
                plan.evaluate.display()
            )));
        }
        if !self.table {
            plan.check_data()?;
            plan.check_output(&runs, false)?;
            interrupt::advise("the same command goes on where it stopped");
        }
        // Before hours of training: what stands there is of this study, and no table of more than there will be.
        plan.check_output(out, self.table && self.out.is_some())?;
        let count = |standing| plan.jobs.iter().filter(|job| job.progress() == standing).count();
        output::line(format_args!(
            "{}: {}, {} done, {} begun, {} waiting",
            plan.file.title,
            wording::count(plan.jobs.len(), "training"),
            count(Standing::Done),
            count(Standing::Begun),
            count(Standing::Waiting)
        ))?;
        if !self.table {
            for (place, job) in plan.jobs.iter().enumerate() {
                if job.progress() != Standing::Done {
                    let name = &plan.file.cells[job.cell].name;
                    let of = plan.jobs.len();
                    output::line(format_args!(
                        "\n{} of {of}: {name}, seed {}",
                        place + 1,
                        job.seed
                    ))?;
                    self.train(job, &manifest)?;
                    // A table of what there is, should nobody ever finish the rest.
                    plan.write(&runs)?;
                }
            }
        }
        plan.write(out)?;
        let table = std::fs::read_to_string(out.join("README.md")).map_err(Failure::read(out))?;
        output::text(format_args!("\n{table}\n"))?;
        output::line(out.join("README.md").display())?;
        Ok(ExitCode::SUCCESS)
    }

    /// One training and the trial of its model.
    fn train(&self, job: &Job, manifest: &Manifest) -> Result<(), Failure> {
        let cpu = self.isa.cpu()?;
        let options = TrainOptions {
            recipe: job.recipe.clone(),
            recipe_text: job.recipe_text.clone(),
            run: job.run.clone(),
            resume: job.progress() != Standing::Waiting,
            anyway: false,
            cpu,
            workers: self.workers.count(),
        };
        let summary = training::run(options, self.threads, &[])?;
        let cpu = cpu.with_precision(job.recipe.train.precision)?;
        let progress = Progress::new("recognising");
        let result =
            evaluate(&summary.model, manifest, cpu, &mut |done, total| progress.at(done, total));
        progress.finish();
        let evaluation = result?;
        let mut value = to_json(&summary.model, &manifest.path, &evaluation, &cpu.to_string());
        let model = ModelFile::read(&summary.model)
            .map_err(|error| Failure::Sentence(error.to_string()))?;
        value["parameters"] = json!(model.network.parameters.len());
        value["contents"] = json!(manifest.contents_digest());
        value["train_digest"] = json!(model.header.data.train_digest);
        value["dev_digest"] = json!(model.header.data.dev_digest);
        let path = job.evaluation();
        let text = format!("{value}\n");
        write_atomically(&path, |file| file.write_all(text.as_bytes()))
            .map_err(Failure::write(&path))?;
        output::line(format_args!(
            "{} {}",
            evaluation.units.rate_name(),
            wording::rate(evaluation.score.wer, &evaluation.score.wer_interval)
        ))
    }
}

/// The same refusal with the ways out that there are here: `labyrinth train` has --run and --resume, and advises them.
fn in_a_study(failure: Failure) -> Failure {
    training::with_ways_out(
        failure,
        &[
            ("with --run", "with --runs"),
            ("continue with --resume", "begin the study again, which goes on where it was"),
            (", --anyway continues it with other rounding", ""),
        ],
    )
}

/// `runs/studies/frames` for `frames.toml`; a file called `study.toml` is named after its folder.
fn default_runs(file: &Path) -> PathBuf {
    let absolute = super::absolute(file);
    let stem = absolute.file_stem().filter(|stem| *stem != "study");
    let folder = absolute.parent().and_then(Path::file_name);
    let name = stem.or(folder).unwrap_or("study".as_ref());
    Path::new("runs/studies").join(name)
}
