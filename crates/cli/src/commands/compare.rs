//! `labyrinth compare`: whether one recogniser is better than another, or was lucky.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use labyrinth_text::score::{ScoreOptions, UtteranceScore, score_files};
use labyrinth_text::{Comparison, NormalizerOptions, TranscriptFormat, compare, pair_scores};
use serde_json::json;

use crate::failure::Failure;
use crate::{output, wording};

/// A difference as large by chance alone in fewer than one of twenty.
const SIGNIFICANT: f64 = 0.05;
/// Seed of the bootstrap and of the drawn signs.
const SEED: u64 = 1;

/// Arguments of `labyrinth compare`.
#[derive(Args)]
#[command(after_help = "\
Errors are compared utterance by utterance, or speaker by speaker where there are at least eight,
so that hard recordings do not hide the difference. Exit status 1 where B is worse and chance does
not explain it (p below 0.05).

Examples:
  labyrinth compare runs/a/test.json runs/b/test.json          (of `labyrinth evaluate -o`)
  labyrinth compare reference.txt a.txt b.txt --format plain")]
pub struct Compare {
    /// A and B of `evaluate -o` or `score --json`; or a reference and two transcripts.
    #[arg(required = true, num_args = 2..=3, value_names = ["A.json|REF", "B.json|HYP-A", "HYP-B"])]
    files: Vec<PathBuf>,
    /// The format of transcripts.
    #[arg(long, value_name = "auto|kaldi|plain|jsonl", default_value = "auto")]
    format: TranscriptFormat,
    /// Lowers case and drops punctuation of transcripts before they are compared.
    #[arg(long)]
    normalize: bool,
    /// Compares characters, not words.
    #[arg(long)]
    characters: bool,
    /// Prints one object of JSON.
    #[arg(long)]
    json: bool,
}

impl Compare {
    /// Compares and prints.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let (a, b) = match &self.files[..] {
            [reference, a, b] => (self.score(reference, a)?, self.score(reference, b)?),
            files => (read_scores(&files[0])?, read_scores(&files[1])?),
        };
        let pairs = pair_scores(&a, &b, self.characters)
            .map_err(|error| Failure::Sentence(error.to_string()))?;
        let result = compare(&pairs, SEED);
        if self.json {
            output::json(&json!(result))?;
        } else {
            output::text(self.to_text(&result))?;
        }
        let worse = result.difference > 0.0 && result.p_value < SIGNIFICANT;
        Ok(if worse { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }

    fn score(&self, reference: &Path, file: &Path) -> Result<Vec<UtteranceScore>, Failure> {
        let normalizer = match self.normalize {
            true => NormalizerOptions::default(),
            false => NormalizerOptions::spaces_only(),
        };
        let options = ScoreOptions { format: self.format, normalizer, ..ScoreOptions::default() };
        Ok(score_files(reference, file, &options)?.utterances)
    }

    fn to_text(&self, result: &Comparison) -> String {
        let Comparison { difference, interval, p_value, test, better, worse, .. } = result;
        let name = if self.characters { "CER" } else { "WER" };
        let [a, b] = &self.files[self.files.len() - 2..] else { return String::new() };
        let verdict = match (*p_value < SIGNIFICANT, *difference < 0.0) {
            (true, true) => "B is better, and chance does not explain it",
            (true, false) => "B is worse, and chance does not explain it",
            (false, _) => "chance explains the difference: neither is shown to be better",
        };
        format!(
            "A    {name} {} {}\nB    {name} {} {}\nB-A  {:+.2} points [{:+.2}, {:+.2}] at 95 %, {}\n\
             p    {p_value:.4}: {test}\n     {better} of {} better, {worse} worse\n{verdict}\n",
            wording::error_rate(result.a),
            a.display(),
            wording::error_rate(result.b),
            b.display(),
            100.0 * difference,
            100.0 * interval.low,
            100.0 * interval.high,
            interval.method,
            wording::count(result.utterances, "utterance"),
        )
    }
}

/// The utterances of a result that `evaluate -o` or `score --json` wrote.
fn read_scores(path: &Path) -> Result<Vec<UtteranceScore>, Failure> {
    let no_result = |reason: String| {
        Failure::Sentence(format!(
            "{} is no result of `labyrinth evaluate -o` or `labyrinth score --json` ({reason}); name one, \
             or name a reference and two files of transcripts",
            path.display()
        ))
    };
    let text = std::fs::read_to_string(path).map_err(|error| no_result(error.to_string()))?;
    let mut value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| no_result(error.to_string()))?;
    let utterances = match value.pointer_mut("/score/utterances") {
        Some(utterances) => utterances.take(),
        None => value["utterances"].take(),
    };
    serde_json::from_value(utterances).map_err(|error| no_result(error.to_string()))
}
