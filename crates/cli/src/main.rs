//! The program `labyrinth`: reads its arguments, runs one command, and turns what came of it into an
//! exit status: 0, 1 (the job found fault) or 2 (it could not run).

mod commands;
mod embedded;
mod failure;
mod machine;
mod output;
mod progress;
mod training;
mod wording;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use failure::Failure;

/// Trains speech recognisers and runs them, on this machine alone.
#[derive(Parser)]
#[command(name = "labyrinth", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  labyrinth quickstart                             a recogniser in minutes, trained before your eyes
  labyrinth prepare folder --from recordings -o data/mine
  labyrinth train data/mine/recipe.toml
  labyrinth transcribe runs/mine/model.safetensors question.wav

Exit status: 0, 1 (the job found fault, such as a failed check) or 2 (it could not run).";

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(status) => status,
        // Whoever reads our output has seen enough, as in `labyrinth … | head`.
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(2)
        }
    }
}
