//! `labyrinth reproduce`: a published figure again, from the corpus to the verdict.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_corpus::{CorpusInfo, Manifest, PrepareOptions, Survey};
use labyrinth_nn::ModelFile;
use labyrinth_train::results::{DataSet, Figure, Published, Record, ResultsFile};
use labyrinth_train::{Recipe, RunDirectory, TrainError, TrainOptions, evaluate};

use crate::commands::check;
use crate::commands::train::refuse_a_file;
use crate::failure::Failure;
use crate::machine::{self, IsaOption, ThreadsOption, WorkersOption};
use crate::progress::Progress;
use crate::{interrupt, output, training, wording};

/// Recipes and figures that travel with the program, written by `labyrinth results --pack`.
static PUBLISHED: &str = include_str!("../../published.json");

/// Arguments of `labyrinth reproduce`.
#[derive(Args)]
#[command(after_help = "\
Prepares the corpus, checks it, trains, tries the model on the test set, and compares with the
published figure: status 0 where the new one lies inside its interval, else 1. Without a name, says
what there is. All of it goes to runs/reproduce/NAME; interrupted at any moment, the same command
goes on where it stopped.

Refused without --anyway: another release of the corpus or an incomplete one (told by a digest of
ids, speakers, transcripts and durations), recordings in which `labyrinth check` finds errors, and
less memory than the published training took.

Examples:
  labyrinth reproduce
  labyrinth reproduce an4 --from an4_raw.bigendian.tar.gz
  labyrinth reproduce yesno --from waves_yesno --seeds 3")]
pub struct Reproduce {
    /// The figure; all that there are where none is named.
    name: Option<String>,
    /// Where the corpus lies: its folder, or its archive.
    #[arg(long, value_name = "DIR", requires = "name")]
    from: Option<PathBuf>,
    /// Trains with the seeds 1 to N, and compares their mean.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Where everything goes; runs/reproduce/NAME where not given.
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Goes on with another release, with errors in it, or with less memory.
    #[arg(long)]
    anyway: bool,
    /// Takes the figures of this file, as for `labyrinth results`.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadsOption,
    #[command(flatten)]
    workers: WorkersOption,
    #[command(flatten)]
    isa: IsaOption,
}

impl Reproduce {
    /// From the corpus to the verdict; the status is 1 outside of the interval.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let ways = [
            ("with --run", "with -o"),
            (
                "continue with --resume",
                "begin again with the same command, which goes on where it stopped",
            ),
            (", --anyway continues it with other rounding", ""),
        ];
        self.go().map_err(|failure| training::with_ways_out(failure, &ways))
    }

    fn go(self) -> Result<ExitCode, Failure> {
        let all = match &self.results {
            Some(file) => ResultsFile::read(file)?.published()?,
            None => Published::from_text(PUBLISHED).map_err(|error| {
                Failure::Sentence(format!(
                    "the figures inside this program cannot be read ({error}); install it again"
                ))
            })?,
        };
        let Some(name) = &self.name else { return list(&all) };
        let Some(published) = all.iter().find(|one| one.reproduce.name == *name) else {
            let names: Vec<&str> = all.iter().map(|one| one.reproduce.name.as_str()).collect();
            return Err(Failure::Sentence(format!(
                "no published figure is called {name}; there are {}",
                names.join(", ")
            )));
        };
        let corpus = corpus_of(published)?;
        let Some(from) = &self.from else {
            return Err(Failure::Sentence(format!(
                "name the folder or the archive of {} with --from; it comes from {}",
                corpus.title, corpus.home
            )));
        };
        let out = self.out.clone().unwrap_or_else(|| Path::new("runs/reproduce").join(name));
        refuse_a_file(&out, "-o")?;
        self.refuse_little_memory(published)?;
        let job = Job {
            published,
            out: &out,
            recipe_path: out.join("recipes").join(file_name(published)),
        };
        // A recipe that this version cannot read is told before anything is made.
        job.recipe(1)?;
        interrupt::advise("the same command goes on where it stopped");
        let existed = job.data()?.exists();
        let data = job.prepare(corpus, from)?;
        let release = self.refuse_another_release(published, corpus, &data);
        if release.is_err() && !existed {
            // It would be in the way of the right one.
            let _ = std::fs::remove_dir_all(&data);
        }
        release?;
        self.refuse_errors(&job, &data)?;
        let mut records = Vec::new();
        for seed in 1..=self.seeds {
            records.push(self.train(&job, seed, &data)?);
        }
        verdict(published, &records)
    }

    /// Before anything is made: a training that the system kills after an hour helps nobody.
    fn refuse_little_memory(&self, published: &Published) -> Result<(), Failure> {
        let (Some(needed), Some((_, available))) = (published.training_memory, machine::memory())
        else {
            return Ok(());
        };
        if needed <= available {
            return Ok(());
        }
        self.refuse_unless_anyway(
            format!(
                "{} are available and the published training took {}",
                wording::bytes(available),
                wording::bytes(needed)
            ),
            "close other programs",
        )
    }

    fn refuse_another_release(
        &self,
        published: &Published,
        corpus: &CorpusInfo,
        data: &Path,
    ) -> Result<(), Failure> {
        let mut differences = Vec::new();
        let Published { train, dev, test, .. } = published;
        for (name, wanted) in [("train", train), ("dev", dev), ("test", &Some(test.clone()))] {
            let Some(wanted) = wanted else { continue };
            let found = DataSet::of(&Manifest::read(&data.join(format!("{name}.jsonl")))?);
            if found.contents != wanted.contents {
                differences.push(match found.utterances == wanted.utterances {
                    true => {
                        format!("{name} has other utterances, speakers, transcripts or durations")
                    }
                    false => format!(
                        "{name} has {} where {} were published",
                        wording::count(found.utterances, "utterance"),
                        wording::thousands(wanted.utterances)
                    ),
                });
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        self.refuse_unless_anyway(
            format!(
                "this is another release of {} than the published figure's, or an incomplete one: {}",
                corpus.title,
                differences.join(", ")
            ),
            "get the corpus anew",
        )
    }

    fn refuse_errors(&self, job: &Job<'_>, data: &Path) -> Result<(), Failure> {
        let context = check::context(&job.recipe_path)?;
        let survey = Survey::read(data)?;
        let progress = Progress::new("checking");
        let checked = survey.listen(Some(&context), &|done, total| progress.at(done, total))?;
        progress.finish();
        let report = &checked.report;
        output::line(format_args!(
            "checked  {}, {}",
            wording::count(report.errors(), "error"),
            wording::count(report.warnings(), "warning")
        ))?;
        if report.errors() == 0 {
            return Ok(());
        }
        let what = format!(
            "the check found {} in {}",
            wording::count(report.errors(), "error"),
            data.display()
        );
        let way_out = format!("see them with `labyrinth check {}`", wording::shell(data));
        self.refuse_unless_anyway(what, &way_out)
    }

    fn refuse_unless_anyway(&self, what: String, way_out: &str) -> Result<(), Failure> {
        if !self.anyway {
            return Err(Failure::Sentence(format!("{what}; {way_out}, or go on with --anyway")));
        }
        output::complain(format_args!("warning: {what}"));
        Ok(())
    }

    /// One training and its trial; what is done already is not done again.
    fn train(&self, job: &Job<'_>, seed: u64, data: &Path) -> Result<Record, Failure> {
        let test = Manifest::read(&data.join("test.jsonl"))?;
        let record_path = job.out.join(format!("seed-{seed}.json"));
        let run = job.out.join(format!("seed-{seed}"));
        let cpu = self.isa.cpu()?;
        let recipe = job.recipe(seed)?;
        let recipe_text = recipe.to_toml()?;
        let recipe = recipe.with_paths_from(&job.out.join("recipes"));
        if record_path.exists() {
            return match record_of(&record_path, &run, &recipe, &test) {
                Ok(record) => Ok(record),
                Err(reason) => Err(Failure::Sentence(format!(
                    "{} {reason}; remove it, or name another folder with -o",
                    record_path.display()
                ))),
            };
        }
        output::line(format_args!("\nseed {seed} in {}", run.display()))?;
        let cpu_of_trial = cpu.with_precision(recipe.train.precision)?;
        let options = TrainOptions {
            recipe,
            recipe_text,
            resume: run.join("recipe.toml").exists(),
            run: run.clone(),
            anyway: false,
            cpu,
            workers: self.workers.count(),
        };
        let summary = training::run(options, self.threads, &[])?;
        let progress = Progress::new("recognising");
        let told = &mut |done, total| progress.at(done, total);
        let result = evaluate(&summary.model, &test, cpu_of_trial, told);
        progress.finish();
        let (evaluation, model) = (result?, ModelFile::read(&summary.model)?);
        let record = Record::new(&model, Some(&run), &test, &evaluation, cpu_of_trial, None)?;
        write_atomically(&record_path, |file| file.write_all(record.to_text().as_bytes()))
            .map_err(Failure::write(&record_path))?;
        Ok(record)
    }
}

/// The record of the training in `run`, or why it is not that.
fn record_of(path: &Path, run: &Path, recipe: &Recipe, test: &Manifest) -> Result<Record, String> {
    let record = match Record::read(path) {
        Ok(record) => record,
        Err(TrainError::NoRecord { reason, .. }) => return Err(format!("is damaged ({reason})")),
        Err(error) => return Err(format!("is damaged ({error})")),
    };
    if record.test != DataSet::of(test) {
        return Err(format!("is of another test set than {}", test.path.display()));
    }
    let trained = ModelFile::read(&run.join("model.safetensors"));
    let own = trained.is_ok_and(|model| model.header.weights_digest == record.weights);
    // An empty folder, where a run was, has no recipe that could differ.
    match RunDirectory::difference(run, recipe) {
        Ok(None) if own => Ok(record),
        Ok(Some(difference)) => Err(format!("is of a training with another recipe ({difference})")),
        _ => Err(format!("is not of the model in {}", run.display())),
    }
}

/// One figure and where it is done again.
struct Job<'a> {
    published: &'a Published,
    out: &'a Path,
    recipe_path: PathBuf,
}

impl Job<'_> {
    fn recipe(&self, seed: u64) -> Result<Recipe, Failure> {
        let mut set = self.published.reproduce.set.clone();
        set.push(format!("train.seed={seed}"));
        Ok(Recipe::parse_with(&self.published.recipe_text, &self.recipe_path, &set)?)
    }

    /// The folder of the manifests: of `../data/an4/train.jsonl`, as seen from the recipe.
    fn data(&self) -> Result<PathBuf, Failure> {
        let recipe = self.recipe(1)?;
        let train = recipe.data.train.first();
        let below = train.strip_prefix("..").ok().and_then(Path::parent);
        below.map(|below| self.out.join(below)).ok_or_else(|| {
            Failure::Sentence(format!(
                "the recipe of {} takes {}, which is no manifest of a folder ../data",
                self.published.reproduce.name,
                train.display()
            ))
        })
    }

    /// Writes the recipe and the manifests; gives the folder of these.
    fn prepare(&self, corpus: &CorpusInfo, from: &Path) -> Result<PathBuf, Failure> {
        let folder = self.out.join("recipes");
        std::fs::create_dir_all(&folder).map_err(Failure::write(&folder))?;
        let text = &self.published.recipe_text;
        match std::fs::read_to_string(&self.recipe_path) {
            Ok(found) if found == *text => {}
            Ok(_) => {
                return Err(Failure::Sentence(format!(
                    "{} is not the published recipe; name another folder with -o",
                    self.recipe_path.display()
                )));
            }
            Err(_) => write_atomically(&self.recipe_path, |file| file.write_all(text.as_bytes()))
                .map_err(Failure::write(&self.recipe_path))?,
        }
        let data = self.data()?;
        let how = &self.published.reproduce;
        let options = PrepareOptions {
            hold_out: how.hold_out.clone(),
            test_speakers: how.test_speakers.clone(),
            dev_speakers: how.dev_speakers.clone(),
            ..PrepareOptions::new(from, &data)
        };
        let progress = Progress::new("listening");
        let report = (corpus.prepare)(&options, &|done, total| progress.at(done, total));
        progress.finish();
        let report = report?;
        output::line(format_args!(
            "prepared {}, {} of speech, in {}",
            report.ledger,
            wording::speech(report.totals.seconds),
            data.display()
        ))?;
        Ok(data)
    }
}

fn file_name(published: &Published) -> &Path {
    let recipe = &published.reproduce.recipe;
    recipe.file_name().map_or(recipe, Path::new)
}

fn corpus_of(published: &Published) -> Result<&'static CorpusInfo, Failure> {
    let name = &published.reproduce.corpus;
    CorpusInfo::named(name).ok_or_else(|| {
        Failure::Sentence(format!(
            "the figure {} is of the corpus {name}, which `labyrinth prepare` does not know",
            published.reproduce.name
        ))
    })
}

fn figure(name: &str, figure: &Figure) -> String {
    let Figure { mean, spread, interval, trials, .. } = figure;
    let spread = match trials {
        1 => "1 training".to_owned(),
        _ => format!(
            "mean of {trials} trainings, {} to {}",
            wording::percent(spread.0),
            wording::percent(spread.1)
        ),
    };
    format!(
        "{name} {} [{:.2}, {:.2}], {spread}",
        wording::percent(*mean),
        100.0 * interval.0,
        100.0 * interval.1
    )
}

fn list(all: &[Published]) -> Result<ExitCode, Failure> {
    let width = all.iter().map(|one| one.reproduce.name.len()).max().unwrap_or(0);
    for one in all {
        let corpus = corpus_of(one)?;
        let held_out = one.reproduce.hold_out.as_ref();
        let held_out = held_out.map_or_else(String::new, |who| format!(", {who} held out"));
        let time = match (one.seconds, &one.trained_on) {
            (Some(seconds), Some(machine)) => {
                format!("; a training took {} on {machine}", wording::clock(seconds))
            }
            _ => String::new(),
        };
        output::line(format_args!(
            "{:<width$}  {}\n{:<width$}  {}{held_out}{time}",
            one.reproduce.name,
            figure(&one.rate_name, &one.figure),
            "",
            corpus.title
        ))?;
    }
    output::line("\nlabyrinth reproduce NAME --from DIR repeats one of them")?;
    Ok(ExitCode::SUCCESS)
}

/// Both figures, and whether the new one lies inside the interval of the old one.
fn verdict(published: &Published, records: &[Record]) -> Result<ExitCode, Failure> {
    let Some(new) = Figure::of(records, false) else {
        return Err(Failure::Sentence(
            "nobody says a word in the test set, so it has no error rate".into(),
        ));
    };
    let name = &published.rate_name;
    let inside = published.figure.holds(new.mean);
    output::line(format_args!(
        "\npublished  {}\nhere       {}\n{}",
        figure(name, &published.figure),
        figure(name, &new),
        match inside {
            true => "inside the published interval",
            false if new.mean < published.figure.mean =>
                "outside the published interval: fewer errors",
            false => "outside the published interval: more errors",
        }
    ))?;
    Ok(ExitCode::from(u8::from(!inside)))
}
