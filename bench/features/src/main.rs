//! Times the feature extractor on recordings in memory, one turn at a time, as it is asked to.
//!
//! It says how many seconds of audio it holds, then reads commands: `go N` computes the features of
//! all recordings N times and answers with the milliseconds of one time; `write FILE` leaves them in
//! a file, all recordings one after another as little-endian f32; `quit` ends.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use labyrinth_signal::{FeatureExtractor, FeatureOptions, InstructionSet, read_audio};

/// Features of recordings, timed.
#[derive(Parser)]
struct Arguments {
    /// A file with the path of a recording in each line.
    recordings: PathBuf,
    /// Feature options as in a recipe, `key=value`.
    #[arg(long = "set")]
    options: Vec<String>,
    /// Recordings are divided among as many threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// portable, avx2 or avx512; the best of this machine without.
    #[arg(long)]
    instructions: Option<String>,
}

fn main() -> ExitCode {
    match serve(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let options: FeatureOptions = toml::from_str(&arguments.options.join("\n"))?;
    let instructions = match &arguments.instructions {
        None => InstructionSet::detect(),
        Some(name) => InstructionSet::available()
            .into_iter()
            .find(|set| set.to_string() == *name)
            .ok_or_else(|| format!("this machine has no instruction set \"{name}\""))?,
    };
    let extractor = FeatureExtractor::with_instructions(&options, instructions)?;
    let mut recordings = Vec::new();
    let mut seconds = 0.0;
    for path in std::fs::read_to_string(&arguments.recordings)?.lines() {
        let audio = read_audio(path.as_ref(), None)?;
        if audio.sample_rate != extractor.sample_rate() {
            let (found, wanted) = (audio.sample_rate, extractor.sample_rate());
            return Err(format!("{path} has {found} samples per second, not {wanted}").into());
        }
        let samples = audio.mono();
        seconds += samples.len() as f64 / f64::from(extractor.sample_rate());
        recordings.push(samples);
    }
    println!("{seconds} {instructions}");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            Some(("go", times)) => {
                let times: u32 = times.parse()?;
                let begin = Instant::now();
                run(&extractor, &recordings, arguments.threads, times);
                println!("{}", begin.elapsed().as_secs_f64() * 1e3 / f64::from(times));
            }
            Some(("write", file)) => {
                let mut extractor = extractor.clone();
                let mut features = Vec::new();
                for samples in &recordings {
                    extractor.compute(samples, &mut features);
                }
                let bytes: Vec<u8> =
                    features.iter().flat_map(|value| value.to_le_bytes()).collect();
                std::fs::write(file, bytes)?;
                println!("{}", extractor.dim());
            }
            _ => break,
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// The features of all recordings, `times` times, on `threads` threads that share the recordings.
fn run(extractor: &FeatureExtractor, recordings: &[Vec<f32>], threads: usize, times: u32) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut extractor = extractor.clone();
                for _ in 0..times {
                    for samples in recordings.iter().skip(thread).step_by(threads) {
                        // As a caller has it: a new matrix for each recording.
                        let mut features = Vec::new();
                        extractor.compute(samples, &mut features);
                        std::hint::black_box(features);
                    }
                }
            });
        }
    });
}
