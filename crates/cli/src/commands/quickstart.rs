//! `labyrinth quickstart`: from nothing to a tested recogniser, on the corpus inside this program.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use labyrinth_corpus::Manifest;
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_text::score::{ScoreReport, UtteranceScore};
use labyrinth_text::{ErrorCounts, confidence_interval};
use labyrinth_train::{Evaluation, TrainError, TrainOptions, evaluate};

use crate::commands::evaluate::to_json;
use crate::commands::train::{outcome, refuse_a_file};
use crate::embedded;
use crate::failure::Failure;
use crate::output::Narrator;
use crate::progress::Progress;
use crate::training::RunOptions;
use crate::{training, wording};

/// Where runs go unless told otherwise; later ones get a number.
const RUNS: &str = "runs/quickstart";
/// Utterances shown side by side.
const SHOWN: usize = 5;
/// Seed of the bootstrap of a single voice.
const INTERVAL_SEED: u64 = 1;

/// Arguments of `labyrinth quickstart`.
#[derive(Args)]
#[command(after_help = "\
Everything happens on this machine and nothing is downloaded. The corpus is synthetic speech: digits
spoken by speech synthesisers. The run directory, runs/quickstart or the next free number of it
(with --resume the newest), holds the corpus, the recipe, the model and its scores.

Examples:
  labyrinth quickstart
  labyrinth quickstart --seed 2 --run runs/second
  labyrinth quickstart --resume")]
pub struct Quickstart {
    /// The seed of everything random.
    #[arg(long, value_name = "N")]
    seed: Option<u32>,
    #[command(flatten)]
    options: RunOptions,
}

impl Quickstart {
    /// Unpacks, trains, tests, and says what to do next.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let start = Instant::now();
        // Whatever can be refused is refused before anything is made: a folder left behind would be
        // taken for the newest run by the next --resume.
        let mut overrides = self.options.set.clone();
        overrides.extend(self.seed.map(|seed| format!("train.seed={seed}")));
        let recipe = embedded::recipe(&overrides)?;
        let cpu = self.options.isa.cpu()?;
        cpu.with_precision(recipe.train.precision)?;
        let mut narrator = Narrator::default();
        let run = self.choose_run(&mut narrator)?;
        std::fs::create_dir_all(&run).map_err(Failure::write(&run))?;
        let data = run.join("data");
        embedded::unpack(&data)?;
        let sets = ["train", "dev", "test"]
            .map(|name| Manifest::read(&data.join(format!("{name}.jsonl"))));
        let [train_set, dev_set, test_set] = sets;
        let (train_set, dev_set, test_set) = (train_set?, dev_set?, test_set?);
        introduce(&mut narrator, &[&train_set, &dev_set, &test_set]);
        narrator.line(format_args!("run      {}", run.display()));

        let options = TrainOptions {
            recipe_text: recipe.to_toml()?,
            recipe: recipe.with_paths_from(&data),
            run: run.clone(),
            resume: self.options.resume,
            anyway: false,
            cpu,
            workers: self.options.workers.count(),
        };
        let summary = training::run(options, self.options.threads, &[])?;
        narrator.line(outcome(&summary, &run));

        let progress = Progress::new("recognising");
        let result =
            evaluate(&summary.model, &test_set, cpu, &mut |done, all| progress.at(done, all));
        progress.finish();
        let evaluation = result?;
        let isa = cpu.isa().to_string();
        let scores = run.join("test.json");
        let text = format!("{:#}\n", to_json(&summary.model, &test_set.path, &evaluation, &isa));
        write_atomically(&scores, |file| file.write_all(text.as_bytes()))
            .map_err(Failure::write(&scores))?;
        tell_scores(&mut narrator, &evaluation, &isa);
        tell_examples(&mut narrator, &evaluation.score.utterances);
        tell_next(&mut narrator, &summary.model, &test_set);
        narrator.line(format_args!(
            "quickstart took {}",
            wording::clock(start.elapsed().as_secs_f64())
        ));
        narrator.finish()?;
        Ok(ExitCode::SUCCESS)
    }

    /// The named folder; or the usual one, with the next free number where it is taken.
    fn choose_run(&self, narrator: &mut Narrator) -> Result<PathBuf, Failure> {
        if let Some(run) = &self.options.run {
            refuse_a_file(run, "--run")?;
            if !self.options.resume && is_taken(run) {
                return Err(TrainError::RunExists { path: run.clone() }.into());
            }
            return Ok(run.clone());
        }
        let names = |number: usize| match number {
            1 => PathBuf::from(RUNS),
            number => PathBuf::from(format!("{RUNS}-{number}")),
        };
        refuse_a_file(Path::new(RUNS), "--run")?;
        let taken = (1..).take_while(|&number| is_taken(&names(number))).count();
        if taken == 0 {
            return Ok(names(1));
        }
        if self.options.resume {
            // One that was interrupted while its corpus was unpacked holds no run yet.
            let begun =
                (1..=taken).rev().find(|&number| names(number).join("recipe.toml").exists());
            return Ok(names(begun.unwrap_or(taken)));
        }
        let (last, next) = (names(taken), names(taken + 1));
        narrator.line(format_args!(
            "{} holds an earlier run (--resume would go on with it), so this one goes to {}\n",
            last.display(),
            next.display()
        ));
        Ok(next)
    }
}

fn is_taken(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.exists(),
    }
}

/// Voices of a manifest, each with the engines that speak with it.
fn voices(manifest: &Manifest) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut voices: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for utterance in &manifest.utterances {
        let engine = utterance.extra.get("engine").and_then(|engine| engine.as_str());
        voices.entry(utterance.speaker.as_deref().unwrap_or("?")).or_default().extend(engine);
    }
    voices
}

fn introduce(narrator: &mut Narrator, sets: &[&Manifest; 3]) {
    let all = sets.map(voices);
    let engines: BTreeSet<&str> =
        all.iter().flat_map(BTreeMap::values).flatten().copied().collect();
    let names: BTreeSet<&str> = all.iter().flat_map(BTreeMap::keys).copied().collect();
    let engines: Vec<&str> = engines.into_iter().collect();
    narrator.line(format_args!(
        "Connected digits in synthetic speech: {} of the speech synthesisers {}.\nNo person was \
         recorded; people sound different, and their errors will be more.\n",
        wording::count(names.len(), "voice"),
        engines.join(", ")
    ));
    for ((set, voices), name) in sets.iter().zip(&all).zip(["train", "dev", "test"]) {
        let who = if name == "test" { ", none of them heard in training" } else { "" };
        narrator.line(format_args!(
            "{name:<7}  {}, {}, {}{who}",
            wording::count(set.utterances.len(), "utterance"),
            wording::speech(set.seconds()),
            wording::count(voices.len(), "voice")
        ));
    }
}

fn tell_scores(narrator: &mut Narrator, evaluation: &Evaluation, instruction_set: &str) {
    let score = &evaluation.score;
    narrator.line("\ntest on voices never heard");
    let mut voices: BTreeMap<&str, Vec<ErrorCounts>> = BTreeMap::new();
    for utterance in &score.utterances {
        voices
            .entry(utterance.speaker.as_deref().unwrap_or("?"))
            .or_default()
            .push(utterance.words);
    }
    for (voice, counts) in &voices {
        let total: ErrorCounts = counts.iter().copied().sum();
        // Within one voice only utterances can be drawn.
        let units: Vec<_> = counts.iter().map(|&counts| (None, counts)).collect();
        let interval = confidence_interval(&units, INTERVAL_SEED);
        tell_rate(narrator, voice, &total, &wording::rate(total.rate(), &interval));
    }
    let ScoreReport { words, wer, wer_interval, .. } = score;
    tell_rate(narrator, "all", words, &wording::rate(*wer, wer_interval));
    narrator.line(format_args!("  interval of all: {}", wer_interval.method));
    narrator.line(format_args!(
        "  real-time factor {:.4} on one thread ({instruction_set})",
        evaluation.speed.real_time_factor
    ));
}

fn tell_rate(narrator: &mut Narrator, who: &str, words: &ErrorCounts, rate: &str) {
    narrator.line(format_args!(
        "  {who:<8} WER {rate}, {} in {}",
        wording::count(words.errors(), "error"),
        wording::count(words.reference, "word")
    ));
}

/// A few utterances from the whole length of the test set.
fn tell_examples(narrator: &mut Narrator, utterances: &[UtteranceScore]) {
    narrator.line("");
    for number in 0..SHOWN.min(utterances.len()) {
        let utterance = &utterances[(2 * number + 1) * utterances.len() / (2 * SHOWN)];
        narrator.line(format_args!("  {}", utterance.id));
        narrator.line(format_args!("    said   {}", utterance.reference));
        let heard = utterance.hypothesis.as_deref().unwrap_or("");
        narrator.line(format_args!("    heard  {heard}"));
    }
}

fn tell_next(narrator: &mut Narrator, model: &Path, test: &Manifest) {
    let model = wording::shell(model);
    narrator.line("\nnext");
    if let Some(utterance) = test.utterances.first() {
        let file = test.audio_path(utterance);
        narrator.line(format_args!("  labyrinth transcribe {model} {}", wording::shell(&file)));
    }
    narrator.line(
        "  labyrinth prepare folder --from YOUR-RECORDINGS -o data/mine   (audio, a .txt beside each)\n  \
         labyrinth prepare an4 --from an4_raw.bigendian.tar.gz          (people, 49 minutes, from CMU)\n  \
         labyrinth train recipes/an4.toml\n",
    );
}
