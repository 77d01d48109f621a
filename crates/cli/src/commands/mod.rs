//! The commands, one file each.

mod check;
mod doctor;
mod evaluate;
mod evaluate_stream;
mod features;
mod fetch;
mod folder_recipe;
mod prepare;
mod quickstart;
mod score;
mod shard;
mod train;
mod transcribe;
mod transcribe_stream;

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
    /// Trains a recogniser as a recipe says.
    Train(train::Train),
    /// Measures a recogniser on a manifest: error rates, speed, the worst errors.
    Evaluate(evaluate::Evaluate),
    /// Writes down what is said in recordings.
    Transcribe(transcribe::Transcribe),
    /// Computes features of recordings, as Kaldi does, and writes them for other programs.
    Features(Box<features::Features>),
    /// Compares transcripts with a reference: word and character error rate.
    Score(score::Score),
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
            Self::Train(command) => command.run(),
            Self::Evaluate(command) => command.run(),
            Self::Transcribe(command) => command.run(),
            Self::Features(command) => command.run(),
            Self::Score(command) => command.run(),
            Self::Doctor(command) => command.run(),
        }
    }
}
