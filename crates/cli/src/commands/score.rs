//! `labyrinth score`: the error rates of one file of transcripts against another.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use labyrinth_text::score::{ScoreOptions, score_files};
use labyrinth_text::{NormalizerOptions, TranscriptFormat};
use serde_json::json;

use crate::failure::Failure;
use crate::output;

/// Arguments of `labyrinth score`.
#[derive(Args)]
#[command(after_help = "\
An utterance without a hypothesis counts as all deletions; a hypothesis that no reference belongs to
is an error. Plain files are compared line by line.

Examples:
  labyrinth score reference.txt hypothesis.txt --format plain
  labyrinth score data/test/text decoded/text --format kaldi --alignments
  labyrinth score data/an4/test.jsonl heard.jsonl --normalize --json")]
pub struct Score {
    /// What was said: JSON Lines, Kaldi's `text` or plain lines.
    reference: PathBuf,
    /// What was recognised, in the same format.
    hypothesis: PathBuf,
    /// The format of both files.
    #[arg(long, value_name = "auto|kaldi|plain|jsonl", default_value = "auto")]
    format: TranscriptFormat,
    /// Lowers case and drops punctuation in both before they are compared.
    #[arg(long)]
    normalize: bool,
    /// Shows every utterance with errors, word under word.
    #[arg(long)]
    alignments: bool,
    /// Prints one object of JSON with every utterance.
    #[arg(long, conflicts_with = "alignments")]
    json: bool,
}

impl Score {
    /// Scores and prints.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let normalizer = if self.normalize {
            NormalizerOptions::default()
        } else {
            NormalizerOptions::spaces_only()
        };
        let options = ScoreOptions { format: self.format, normalizer, ..ScoreOptions::default() };
        let report = score_files(&self.reference, &self.hypothesis, &options)?;
        if self.json {
            output::json(&json!(report))?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.alignments {
            let alignments = report.alignments(true);
            if !alignments.is_empty() {
                output::line(alignments)?;
            }
        }
        output::text(&report)?;
        Ok(ExitCode::SUCCESS)
    }
}
