//! The program `labyrinth`: reads its arguments, runs one command, and turns what came of it into an
//! exit status: 0, 1 (the job found fault) or 2 (it could not run).

mod commands;
mod config_file;
mod embedded;
mod failure;
mod feature_flags;
mod interrupt;
mod machine;
mod model;
mod output;
mod pitch_flags;
mod progress;
mod raw_option;
mod sound;
mod stream_option;
mod training;
mod vad_flags;
mod wording;

use std::io::{self, Write};
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

/// Help, the version, or what is wrong with the arguments.
fn tell_usage(usage: &clap::Error) -> ExitCode {
    // Standard output keeps what did not end in a line feed; a full disk shows only at the flush.
    match usage.print().and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            output::complain(Failure::Output(error));
            ExitCode::from(2)
        }
        _ if usage.use_stderr() => ExitCode::from(2),
        _ => ExitCode::SUCCESS,
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => return tell_usage(&usage),
    };
    output::remark_if_stdout_is_closed();
    match arguments.command.run() {
        Ok(status) => status,
        // Whoever reads our output has seen enough, as in `labyrinth … | head`.
        Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(2)
        }
    }
}
