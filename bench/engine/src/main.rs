//! Times the models that `bench/engine` compares with PyTorch.
//!
//! `labyrinth-bench-engine MODEL --profile` shows where a round's time goes; `--serve` makes the
//! program a child of `compare.py`, which lets it and its peers run in turn; `--write` leaves the
//! inputs, weights, losses and gradients of the first rounds for a peer to check.

mod case;
mod models;
mod profile;
mod serve;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use labyrinth_kernels::{Cpu, Isa, Precision};

/// Times one model of the engine's bench.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// What to time, or `list` for the names there are.
    model: String,
    /// Rounds to time.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Rounds before the clock starts.
    #[arg(long, default_value_t = 3)]
    warm_up: usize,
    /// Threads (a model for one thread says so itself).
    #[arg(long)]
    threads: Option<usize>,
    /// Instruction set: portable, avx2, avx512.
    #[arg(long)]
    isa: Option<Isa>,
    /// Precision of matrix products: f32, bf16.
    #[arg(long, default_value_t = Precision::F32)]
    precision: Precision,
    /// Show each layer's time.
    #[arg(long)]
    profile: bool,
    /// Write what a peer needs to check the first rounds into this safetensors file, and end.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Read commands from standard input: `go COUNT`, `memory`, `quit`.
    #[arg(long)]
    serve: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    if arguments.model == "list" {
        for model in models::NAMES {
            println!("{model}");
        }
        return Ok(());
    }
    let cpu = match arguments.isa {
        Some(isa) => Cpu::with(isa)?,
        None => Cpu::detect(),
    }
    .with_precision(arguments.precision)?;
    let threads = arguments.threads.unwrap_or(models::threads(&arguments.model));
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let idle = serve::resident_kilobytes("VmRSS");
    let mut case = models::build(&arguments.model, cpu)?;
    if let Some(path) = &arguments.write {
        return serve::write(case.as_mut(), path);
    }
    for _ in 0..arguments.warm_up {
        case.round()?;
    }
    case.clear_profile();
    if arguments.serve {
        return serve::serve(case.as_mut(), idle);
    }
    let mut milliseconds = Vec::with_capacity(arguments.rounds);
    for _ in 0..arguments.rounds.max(1) {
        let start = Instant::now();
        case.round()?;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let title = format!("{} on {cpu}, {threads} threads", arguments.model);
    profile::print(&title, case.as_ref(), milliseconds, arguments.profile);
    if let (Some(idle), Some(peak)) = (idle, serve::resident_kilobytes("VmHWM")) {
        let above = (peak.saturating_sub(idle)) as f64 / 1024.0;
        println!("\nPeak memory above the idle process: {above:.0} MiB.");
    }
    Ok(())
}
