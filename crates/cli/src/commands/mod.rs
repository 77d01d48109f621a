//! The commands, one file each.

mod align;
mod check;
mod compare;
mod describe;
mod doctor;
mod evaluate;
mod evaluate_stream;
mod export;
mod features;
mod fetch;
mod folder_recipe;
mod import;
mod prepare;
mod quickstart;
mod report;
mod reproduce;
mod results;
mod score;
mod shard;
mod study;
mod subset;
mod train;
mod transcribe;
mod transcribe_stream;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use crate::failure::Failure;

/// What can be done.
#[derive(Subcommand)]
pub enum Command {
    /// Trains on the corpus inside this program, and tests on unheard voices.
    Quickstart(quickstart::Quickstart),
    /// Turns a corpus, or a folder of recordings with transcripts, into manifests.
    Prepare(prepare::Prepare),
    /// Says what is wrong with a corpus, before training finds out.
    Check(check::Check),
    /// Packs a corpus into tar shards, in parallel and resumable.
    Shard(shard::Shard),
    /// Shows the layers of a recipe or a model, what they cost, and what fits through them.
    Describe(describe::Describe),
    /// Trains a recogniser as a recipe says.
    Train(train::Train),
    /// Measures a recogniser on a manifest: error rates, speed, the worst errors.
    Evaluate(evaluate::Evaluate),
    /// Trains a grid of recipes and seeds, and answers its question with a table and a picture.
    Study(study::Study),
    /// Writes the page of published figures from the records of trials.
    Results(results::Results),
    /// Repeats a published figure from the corpus to the verdict.
    Reproduce(reproduce::Reproduce),
    /// Shows a training as a page: curves, letters, the worst utterances to listen to.
    Report(report::Report),
    /// Writes down what is said in recordings.
    Transcribe(transcribe::Transcribe),
    /// Says when each word, letter or phoneme of a transcript was said.
    Align(align::Align),
    /// Computes features of recordings, as Kaldi does, and writes them for other programs.
    Features(Box<features::Features>),
    /// Writes a model for PyTorch, or a smaller model file.
    Export(export::Export),
    /// Makes a model file of weights from PyTorch.
    Import(import::Import),
    /// Draws part of a manifest: so many minutes, so many speakers.
    Subset(subset::Subset),
    /// Compares transcripts with a reference: word and character error rate.
    Score(score::Score),
    /// Compares two recognisers on the same recordings: is one better, or was it lucky?
    Compare(compare::Compare),
    /// Tells what this machine has, and what the program uses of it.
    Doctor(doctor::Doctor),
}

impl Command {
    /// Runs the command; the status is 0, or 1 where the job found fault.
    pub fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Quickstart(command) => command.run(),
            Self::Prepare(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Shard(command) => command.run(),
            Self::Describe(command) => command.run(),
            Self::Train(command) => command.run(),
            Self::Evaluate(command) => command.run(),
            Self::Study(command) => command.run(),
            Self::Results(command) => command.run(),
            Self::Reproduce(command) => command.run(),
            Self::Report(command) => command.run(),
            Self::Transcribe(command) => command.run(),
            Self::Align(command) => command.run(),
            Self::Features(command) => command.run(),
            Self::Export(command) => command.run(),
            Self::Import(command) => command.run(),
            Self::Subset(command) => command.run(),
            Self::Score(command) => command.run(),
            Self::Compare(command) => command.run(),
            Self::Doctor(command) => command.run(),
        }
    }
}

/// A path that depends on no folder; as it is where the system does not know where here is.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
