//! `labyrinth features`: what Kaldi would have computed.

mod input;
mod sink;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use labyrinth_corpus::{Ledger, Reason};
use rayon::prelude::*;

use crate::failure::Failure;
use crate::feature_flags::FeatureFlags;
use crate::machine::ThreadsOption;
use crate::output;
use crate::pitch_flags::PitchFlags;
use crate::progress::Progress;
use crate::raw_option::RawOption;
use crate::vad_flags::VadFlags;
use crate::wording;
use input::Inputs;
use sink::{Form, Format, Sink};
use worker::{Features as Computed, RecordingFlags, Worker};

/// Recordings that are computed side by side before they are written; it bounds the memory.
const AT_ONCE: usize = 64;

/// Arguments of `labyrinth features`.
#[derive(Args)]
#[command(after_help = "\
Takes recordings (WAV, FLAC, MP3, M4A, Ogg, SPHERE, headerless by option), manifests (.jsonl) and Kaldi's
lists of recordings (wav.scp). Without a preset or recipe the options are those of compute-fbank-feats.
The flags of Kaldi's compute-*-feats that say what is computed are known (--help shows them; -h does
not), those about output and messages are not; noise (--dither) is
drawn by the name of the utterance, so two runs give the same bytes. An utterance of a manifest or list
that cannot be used goes to a ledger beside the output, a file named here gives status 2.

Examples:
  labyrinth features question.wav                                as text, to look at
  labyrinth features --preset kaldi-mfcc data/an4/test.jsonl -o mfcc.ark
  labyrinth features --config conf/mfcc.conf wav.scp -o mfcc.ark --compress
  labyrinth features --num-mel-bins=80 --dither=0 a.wav b.wav -o folder --format npy
  labyrinth features --preset kaldi-mfcc --set 'deltas={}' a.flac -o a.htk
  labyrinth features --preset kaldi-mfcc --pitch data/an4/test.jsonl -o mfcc_pitch.ark
  labyrinth features --recipe an4.toml data/an4/train.jsonl --cmvn-stats an4.cmvn
  labyrinth features --preset kaldi-mfcc --vad energy --vad-only wav.scp -o vad.ark
  labyrinth features --preset kaldi-mfcc --stream 160 a.wav      as text, like a microphone's")]
pub struct Features {
    /// Recordings, manifests, wav.scp lists.
    #[arg(required = true, value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// An archive (.ark, with an .scp beside it), an array (.npy), an HTK file, or a folder of the
    /// latter two; standard output as text where not given.
    #[arg(short, long, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
    /// The form of the output, where its name does not tell.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// One byte a value in the archive, Kaldi's compressed matrices.
    #[arg(long)]
    compress: bool,
    /// Writes sums over all frames in place of the frames, a matrix as of Kaldi's compute-cmvn-stats:
    /// the `stats` of a recipe's cmn. Taken before normalisation, deltas and splicing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["output", "format", "compress", "vad_only"])]
    cmvn_stats: Option<PathBuf>,
    /// Computes as a stream does that brings so many samples at once: to the same bytes. What needs the
    /// whole recording is refused.
    #[arg(long, value_name = "SAMPLES", value_parser = clap::value_parser!(u32).range(1..))]
    stream: Option<u32>,
    /// Plays recordings so many times as fast, as `speeds` of a recipe does in training.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = speed,
          conflicts_with_all = ["stream", "vad"])]
    speed: f64,
    #[command(flatten)]
    raw: RawOption,
    #[command(flatten)]
    threads: ThreadsOption,
    #[command(flatten)]
    pitch: PitchFlags,
    #[command(flatten)]
    vad: VadFlags,
    #[command(flatten)]
    features: FeatureFlags,
    #[command(flatten)]
    recording: RecordingFlags,
}

/// Reads a factor of speed.
fn speed(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().ok().filter(|factor| (0.1..=10.0).contains(factor));
    factor.ok_or_else(|| "name a factor from 0.1 to 10".into())
}

impl Features {
    /// Computes and writes; the status is 2 where a file named on the command line was of no use.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let options = match self.cmvn_stats {
            None => self.features.options()?,
            Some(_) => self.features.options_before_normalization()?,
        };
        let matter = [self.vad.matter(), self.recording.matter()].concat();
        let (pitch, vad) = (self.pitch.pitch(&options)?, self.vad.vad(&options)?);
        let piece = self.stream.map(|samples| samples as usize);
        let worker =
            Worker::new(&options, &self.recording, pitch, vad, piece)?.with_speed(self.speed);
        self.features.remark_without_effect(&options, &matter)?;
        let latency = worker.latency_frames();
        let raw = self.raw.format()?;
        let inputs = Inputs::read(&self.inputs, raw)?;
        let mut sink = match &self.cmvn_stats {
            Some(path) => Sink::statistics(path, &inputs)?,
            None => {
                let form = Form {
                    format: self.format,
                    compress: self.compress,
                    vectors: self.vad.alone(),
                };
                Sink::create(self.output.as_deref(), form, &inputs, &options)?
            }
        };
        let pool = self.threads.pool()?;
        let progress = Progress::new("computing");
        let mut ledger = Ledger::new();
        let (mut unusable, mut done) = (0, 0);
        let mut total = Total::default();
        for some in inputs.recordings.chunks(AT_ONCE) {
            let computed: Vec<_> = pool.install(|| {
                some.par_iter()
                    .map_init(
                        || worker.clone(),
                        |worker, recording| worker.compute(&inputs, recording),
                    )
                    .collect()
            });
            for (recording, result) in some.iter().zip(computed) {
                done += 1;
                let written = match result? {
                    Ok(Computed { array, seconds, unvoiced }) => {
                        let shape = array.shape();
                        let (frames, dim) = (shape[0], shape.get(1).copied().unwrap_or(1));
                        let written = sink.write(&recording.id, array)?;
                        let one = Total { frames, dim, seconds, unvoiced };
                        written.map(|()| one).map_err(|reason| {
                            recording
                                .refuse(Reason::UnreadableAudio, format!("its features: {reason}"))
                        })
                    }
                    Err(refusal) => Err(refusal),
                };
                match written {
                    Ok(one) => {
                        total.add(&one);
                        ledger.keep();
                    }
                    Err(refusal) => {
                        if recording.named {
                            output::complain(&refusal.detail);
                            unusable += 1;
                        }
                        ledger.refuse(refusal);
                    }
                }
            }
            progress.at(done, inputs.recordings.len());
        }
        progress.finish();
        let written = self.output.as_deref().or(self.cmvn_stats.as_deref());
        let beside = written.map(|output| output.with_extension("ledger.jsonl"));
        // A ledger of an earlier run would speak of this one.
        let named_only = ledger.refused_count() == unusable;
        let beside = beside.filter(|path| !named_only || path.exists());
        if let Some(path) = &beside {
            ledger.write(path).map_err(|error| Failure::Sentence(error.to_string()))?;
        }
        if ledger.kept_count() == 0 {
            // What stood in the output's place still does.
            let first = ledger.refusals().first().map_or("", |refusal| &refusal.detail);
            return match unusable {
                0 if first.is_empty() => Err(Failure::Sentence(
                    "there is no recording in what was named; name some".into(),
                )),
                0 => Err(Failure::Sentence(format!(
                    "none of {} can be used; the first: {first}",
                    wording::count(ledger.read_count(), "recording")
                ))),
                _ => Ok(ExitCode::from(2)),
            };
        }
        let refused = match (&beside, named_only) {
            (Some(path), false) => {
                format!("; refused {}, named in {}", ledger.refused_count(), path.display())
            }
            _ => String::new(),
        };
        if let Some(written) = sink.finish()? {
            let what = if self.cmvn_stats.is_some() { "sums over " } else { "" };
            let latency = match self.stream {
                Some(_) => format!("; {} of latency", wording::count(latency, "frame")),
                None => String::new(),
            };
            output::line(format_args!(
                "{}: {what}{} of {}, {}{latency}{refused}",
                wording::shell(&written),
                wording::speech(total.seconds),
                wording::count(ledger.kept_count(), "recording"),
                total.in_words(&self.vad),
            ))?;
        } else if !named_only {
            output::complain(format_args!(
                "{} of {} could not be used; name an output (-o) to get their names in a ledger",
                ledger.refused_count(),
                wording::count(ledger.read_count(), "recording"),
            ));
        }
        Ok(if unusable > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS })
    }
}

/// What a run wrote, over all recordings.
#[derive(Default)]
struct Total {
    frames: usize,
    /// Numbers in each.
    dim: usize,
    seconds: f64,
    unvoiced: usize,
}

impl Total {
    fn add(&mut self, one: &Self) {
        self.frames += one.frames;
        self.dim = one.dim;
        self.seconds += one.seconds;
        self.unvoiced += one.unvoiced;
    }

    fn in_words(&self, vad: &VadFlags) -> String {
        let frames = wording::count(self.frames, "frame");
        if vad.alone() {
            let voiced = wording::thousands(self.frames - self.unvoiced);
            return format!("{frames}, {voiced} with speech");
        }
        let left_out = match self.unvoiced {
            0 => String::new(),
            unvoiced => format!(", {} without speech left out", wording::thousands(unvoiced)),
        };
        format!("{frames} of {} numbers{left_out}", self.dim)
    }
}
