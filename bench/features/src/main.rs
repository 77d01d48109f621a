//! Times features and pitch on recordings in memory, one turn at a time, as it is asked to.
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
use labyrinth_signal::{
    Cmvn, CmvnOptions, CmvnStats, FeatureExtractor, FeatureOptions, InstructionSet, PitchExtractor,
    PitchOptions, PitchProcessor, ProcessPitchOptions, Stage, read_audio,
};

/// Features of recordings, timed.
#[derive(Parser)]
struct Arguments {
    /// A file with the path of a recording in each line.
    recordings: PathBuf,
    /// Options of features as in a recipe, or of pitch, `key=value`.
    #[arg(long = "set")]
    options: Vec<String>,
    /// Recordings are divided among as many threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// portable, avx2 or avx512; the best of this machine without.
    #[arg(long)]
    instructions: Option<String>,
    /// Subtracts from each number its mean over the recording.
    #[arg(long)]
    subtract_mean: bool,
    /// Pitch and its post-processing (without its noise) in place of features.
    #[arg(long)]
    pitch: bool,
}

/// What is computed of each recording.
#[derive(Clone)]
enum Work {
    Features { extractor: FeatureExtractor, subtract_mean: bool },
    Pitch { extractor: PitchExtractor, processor: PitchProcessor },
}

impl Work {
    fn new(arguments: &Arguments, instructions: InstructionSet) -> Result<Self, Box<dyn Error>> {
        let options = arguments.options.join("\n");
        if arguments.pitch {
            let options: PitchOptions = toml::from_str(&options)?;
            let quiet = ProcessPitchOptions {
                delta_pitch_noise_stddev: 0.0,
                ..ProcessPitchOptions::default()
            };
            return Ok(Work::Pitch {
                extractor: PitchExtractor::new(&options)?,
                processor: PitchProcessor::new(&quiet, "")?,
            });
        }
        let options: FeatureOptions = toml::from_str(&options)?;
        let extractor = FeatureExtractor::with_instructions(&options, instructions)?;
        Ok(Work::Features { extractor, subtract_mean: arguments.subtract_mean })
    }

    fn sample_rate(&self) -> u32 {
        match self {
            Work::Features { extractor, .. } => extractor.sample_rate(),
            Work::Pitch { extractor, .. } => extractor.sample_rate(),
        }
    }

    fn dim(&self) -> usize {
        match self {
            Work::Features { extractor, .. } => extractor.dim(),
            Work::Pitch { processor, .. } => processor.dim(),
        }
    }

    /// As a caller has it: a new matrix for each recording, with dither where the options have it.
    fn compute(&mut self, samples: &[f32]) -> Result<Vec<f32>, Box<dyn Error>> {
        let mut rows = Vec::new(); // [frames, dim]
        let mut out = Vec::new();
        match self {
            Work::Features { extractor, subtract_mean } => {
                extractor.compute_for("recording", samples, &mut rows);
                if !*subtract_mean {
                    return Ok(rows);
                }
                let mut stats = CmvnStats::new(extractor.dim());
                stats.accumulate(&rows);
                Cmvn::new(&stats, &CmvnOptions::default())?.push(&rows, &mut out);
            }
            Work::Pitch { extractor, processor } => {
                extractor.compute(samples, &mut rows)?;
                processor.compute("recording", &rows, &mut out);
            }
        }
        Ok(out)
    }
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
    let instructions = match &arguments.instructions {
        None => InstructionSet::detect(),
        Some(name) => InstructionSet::available()
            .into_iter()
            .find(|set| set.to_string() == *name)
            .ok_or_else(|| format!("this machine has no instruction set \"{name}\""))?,
    };
    let work = Work::new(arguments, instructions)?;
    let mut recordings = Vec::new();
    let mut seconds = 0.0;
    for path in std::fs::read_to_string(&arguments.recordings)?.lines() {
        let audio = read_audio(path.as_ref(), None)?;
        if audio.sample_rate != work.sample_rate() {
            let (found, wanted) = (audio.sample_rate, work.sample_rate());
            return Err(format!("{path} has {found} samples per second, not {wanted}").into());
        }
        let samples = audio.mono();
        seconds += samples.len() as f64 / f64::from(work.sample_rate());
        recordings.push(samples);
    }
    println!("{seconds} {instructions}");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ') {
            Some(("go", times)) => {
                let times: u32 = times.parse()?;
                let begin = Instant::now();
                run(&work, &recordings, arguments.threads, times);
                println!("{}", begin.elapsed().as_secs_f64() * 1e3 / f64::from(times));
            }
            Some(("write", file)) => {
                let mut work = work.clone();
                let mut bytes = Vec::new();
                for samples in &recordings {
                    let rows = work.compute(samples)?;
                    bytes.extend(rows.iter().flat_map(|value| value.to_le_bytes()));
                }
                std::fs::write(file, bytes)?;
                println!("{}", work.dim());
            }
            _ => break,
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// All recordings, `times` times, on `threads` threads that share them.
fn run(work: &Work, recordings: &[Vec<f32>], threads: usize, times: u32) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut work = work.clone();
                for _ in 0..times {
                    for samples in recordings.iter().skip(thread).step_by(threads) {
                        // `write` tells of a fault.
                        let _ = std::hint::black_box(work.compute(samples));
                    }
                }
            });
        }
    });
}
