//! The loader on real recordings: how fast it is, and how much memory a corpus of any size costs it.

mod memory;
mod throughput;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use labyrinth_corpus::{LoaderOptions, Source};
use labyrinth_signal::FeatureOptions;
use labyrinth_text::{Alphabet, Normalizer, NormalizerOptions, Units};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to measure.
#[derive(Subcommand)]
enum Command {
    /// Stays, and answers each line `epoch` with the milliseconds of one epoch; other lines end it.
    Throughput {
        /// Of recordings and their transcripts.
        manifest: PathBuf,
        #[arg(long, default_value_t = 2)]
        workers: usize,
        #[arg(long, default_value_t = 16)]
        batch_size: usize,
        /// Reads and decodes only: what of the time is not the loader's.
        #[arg(long)]
        decode: bool,
    },
    /// Opens, shuffles, restores and walks through a made-up manifest; prints times and memory as JSON.
    Memory {
        /// Of a few recordings, which the made-up manifest names over and over.
        manifest: PathBuf,
        /// Lines to make.
        utterances: usize,
        /// Where the made-up manifest goes; some 150 bytes a line.
        #[arg(long)]
        folder: PathBuf,
        #[arg(long, default_value_t = 10)]
        epochs: u64,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Throughput { manifest, workers, batch_size, decode } => {
            throughput::serve(&manifest, workers, batch_size, decode)
        }
        Command::Memory { manifest, utterances, folder, epochs } => {
            memory::measure(&manifest, utterances, &folder, epochs)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Filterbanks of 80 filters, shuffled, nothing augmented: what the peers do too.
fn options(
    source: Arc<dyn Source>,
    workers: usize,
    batch_size: usize,
) -> Result<LoaderOptions, Box<dyn Error>> {
    let features = FeatureOptions { num_mel_bins: 80, ..FeatureOptions::default() };
    let alphabet = Alphabet::from_transcripts(
        Units::Characters,
        [" 'abcdefghijklmnopqrstuvwxyz0123456789"].into_iter(),
    );
    let normalizer = Normalizer::new(&NormalizerOptions::default())?;
    let frames = Arc::new(|frames: usize| frames);
    Ok(LoaderOptions {
        workers,
        batch_size,
        prefetch_batches: 4,
        shuffle: true,
        ..LoaderOptions::evaluation(source, features, normalizer, alphabet, frames)
    })
}
