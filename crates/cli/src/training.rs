//! Runs a training and tells how it goes, and the options for it: shared by `train` and `quickstart`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use labyrinth_text::Units;
use labyrinth_train::{Event, Summary, TrainError, TrainOptions, train, write_report};

use crate::failure::Failure;
use crate::machine::{self, IsaOption, ThreadsOption, WorkersOption};
use crate::output::{self, Narrator};
use crate::progress::on_a_terminal;
use crate::wording;

/// Time between two plain lines within an epoch.
const EVERY: Duration = Duration::from_secs(10);
/// Parts of the bar.
const BAR_LENGTH: u64 = 10_000;

/// What every command that trains can be told.
#[derive(Args)]
pub struct RunOptions {
    /// The run directory; one below runs/ where not given.
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Goes on where the run directory's newest checkpoint ends.
    #[arg(long)]
    pub resume: bool,
    /// Sets a key of the recipe, such as train.epochs=5; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub threads: ThreadsOption,
    #[command(flatten)]
    pub workers: WorkersOption,
    #[command(flatten)]
    pub isa: IsaOption,
}

/// The same refusal of a training with the ways out that there are here: `labyrinth train` has --run and --resume,
/// and advises them. `ways` are pairs of what is said there and here.
pub fn with_ways_out(failure: Failure, ways: &[(&str, &str)]) -> Failure {
    let Failure::Train(error) = &failure else { return failure };
    let said = error.to_string();
    let here = ways.iter().fold(said.clone(), |said, (there, here)| {
        // Not where it is said rightly already: `--run` stands in `--runs`.
        if said.contains(here) && here.contains(there) { said } else { said.replace(there, here) }
    });
    if here == said { failure } else { Failure::Sentence(here) }
}

/// Trains on `threads`, with a line for each epoch on standard output. `warnings` are told once the training
/// begins: one that is refused says so in one sentence.
pub fn run(
    options: TrainOptions,
    threads: ThreadsOption,
    warnings: &[String],
) -> Result<Summary, Failure> {
    let pool = threads.pool()?;
    let mut teller = Teller::new(&options, threads.count());
    let (run, cpu) = (options.run.clone(), options.cpu);
    let result: Result<Summary, TrainError> = pool.install(|| {
        train(options, &mut |event| {
            if let Event::Started { .. } = event {
                warnings.iter().for_each(output::complain);
            }
            teller.tell(&event);
        })
    });
    if let Some(bar) = &teller.bar {
        bar.finish_and_clear();
    }
    let summary = result?;
    // The model is there; a page that cannot be made takes nothing away from it.
    match write_report(&run, cpu, &mut |_, _| {}) {
        Ok(page) => teller.line(&format!("report   {}", page.path.display())),
        Err(error) => teller.line(&format!("note     there is no report: {error}")),
    }
    teller.narrator.finish()?;
    Ok(summary)
}

/// What stands on the screen, and what the rates are computed from.
struct Teller {
    narrator: Narrator,
    bar: Option<ProgressBar>,
    epochs: u64,
    workers: usize,
    threads: usize,
    start: Instant,
    next_line: Instant,
    /// Progress of the whole training at `start`: above 0 after a resume.
    start_progress: Option<f64>,
    audio_seconds: f64,
}

impl Teller {
    fn new(options: &TrainOptions, threads: usize) -> Self {
        let bar = on_a_terminal().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(5);
            let bar = ProgressBar::with_draw_target(Some(BAR_LENGTH), target);
            // The template is a constant; were it wrong, the default style would show.
            match ProgressStyle::with_template("{bar:24} {msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        let now = Instant::now();
        Self {
            narrator: Narrator::default(),
            bar,
            epochs: options.recipe.train.epochs,
            workers: options.workers,
            threads,
            start: now,
            next_line: now + EVERY,
            start_progress: None,
            audio_seconds: 0.0,
        }
    }

    /// A line that stays, above the bar.
    fn line(&mut self, text: &str) {
        match self.bar.clone() {
            Some(bar) => bar.suspend(|| self.narrator.line(text)),
            None => self.narrator.line(text),
        }
    }

    fn tell(&mut self, event: &Event<'_>) {
        match event {
            Event::Started {
                ledger,
                hours,
                parameters,
                alphabet,
                steps_per_epoch,
                instruction_set,
                resumed_at,
            } => {
                self.line(&format!(
                    "data     {ledger}, {} of speech, alphabet of {} and the blank",
                    wording::speech(hours * 3600.0),
                    wording::count(
                        alphabet.symbols().len(),
                        alphabet.units().name().trim_end_matches('s')
                    ),
                ));
                self.line(&format!(
                    "model    {} parameters, {} of about {} each",
                    wording::thousands(*parameters),
                    wording::count(self.epochs as usize, "epoch"),
                    wording::count(*steps_per_epoch as usize, "step")
                ));
                self.line(&format!(
                    "machine  {}, {instruction_set}, {}, {}",
                    machine::cpu_name(),
                    wording::count(self.threads, "thread"),
                    wording::count(self.workers, "loader worker")
                ));
                if let Some(step) = resumed_at {
                    self.line(&format!("resumed  at step {step}"));
                }
                // Reading the data counts as no step.
                self.start = Instant::now();
                self.next_line = self.start + EVERY;
            }
            Event::Step { step, epoch, progress, loss, seconds, .. } => {
                self.step(*step, *epoch, *progress, *loss, *seconds);
            }
            Event::Validated { epoch, train_loss, dev, best } => {
                let second = match (dev.units, dev.frames) {
                    (_, Some(frames)) => {
                        format!("frames right {:>8}", wording::error_rate(frames.accuracy()))
                    }
                    (Units::Phonemes, None) => String::new(),
                    _ => format!("CER {:>8}", wording::error_rate(dev.characters.rate())),
                };
                let blank = if dev.frames.is_some() { "silence" } else { "blank" };
                let text = format!(
                    "epoch {epoch:>3}/{}  train loss {train_loss:.4}  dev loss {}  {} {:>8}  {second}  \
                     {blank} {:>5.1} %  {}{}",
                    self.epochs,
                    // Without a single feasible utterance there is no loss.
                    if dev.loss < 1e9 { format!("{:.4}", dev.loss) } else { "none".into() },
                    dev.units.rate_name(),
                    wording::error_rate(dev.words.rate()),
                    100.0 * dev.blank_share,
                    wording::clock(self.start.elapsed().as_secs_f64()),
                    if *best { "  *" } else { "" }
                );
                self.line(&text);
                self.next_line = Instant::now() + EVERY;
            }
            Event::Note(note) => self.line(&format!("note     {note}")),
        }
    }

    fn step(&mut self, step: u64, epoch: u64, progress: f64, loss: f64, seconds: f64) {
        let start_progress = *self.start_progress.get_or_insert(progress);
        self.audio_seconds += seconds;
        let now = Instant::now();
        if self.bar.is_none() && now < self.next_line {
            return;
        }
        let elapsed = self.start.elapsed().as_secs_f64().max(1e-3);
        let gained = progress - start_progress;
        let left = match gained > 0.0 {
            true => format!("{} left", wording::clock(elapsed / gained * (1.0 - progress))),
            false => "time left unknown".to_owned(),
        };
        let text = format!(
            "epoch {}/{}  step {step}  loss {loss:.4}  {:.0} s of audio per second  {left}",
            epoch + 1,
            self.epochs,
            self.audio_seconds / elapsed
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.set_position((progress * BAR_LENGTH as f64) as u64);
            }
            None => {
                self.next_line = now + EVERY;
                output::remark(text);
            }
        }
    }
}
