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
use crate::wording;
use input::Inputs;
use sink::{Format, Sink};
use worker::{RecordingFlags, Worker};

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
  labyrinth features --preset kaldi-mfcc --pitch data/an4/test.jsonl -o mfcc_pitch.ark")]
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
    #[command(flatten)]
    raw: RawOption,
    #[command(flatten)]
    threads: ThreadsOption,
    #[command(flatten)]
    pitch: PitchFlags,
    #[command(flatten)]
    features: FeatureFlags,
    #[command(flatten)]
    recording: RecordingFlags,
}

impl Features {
    /// Computes and writes; the status is 2 where a file named on the command line was of no use.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let options = self.features.options()?;
        let worker = Worker::new(&options, &self.recording, self.pitch.pitch(&options)?)?;
        let raw = self.raw.format();
        let inputs = Inputs::read(&self.inputs, raw)?;
        let mut sink =
            Sink::create(self.output.as_deref(), self.format, self.compress, &inputs, &options)?;
        let pool = self.threads.pool()?;
        let progress = Progress::new("computing");
        let mut ledger = Ledger::new();
        let (mut unusable, mut frames, mut dim, mut seconds, mut done) = (0, 0, 0, 0.0, 0);
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
                    Ok((features, length)) => {
                        let shape = [features.shape()[0], features.shape()[1]];
                        let written = sink.write(&recording.id, features)?;
                        written.map(|()| (shape, length)).map_err(|reason| {
                            recording
                                .refuse(Reason::UnreadableAudio, format!("its features: {reason}"))
                        })
                    }
                    Err(refusal) => Err(refusal),
                };
                match written {
                    Ok((shape, length)) => {
                        (frames, dim) = (frames + shape[0], shape[1]);
                        seconds += length;
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
        let beside = self.output.as_deref().map(|output| output.with_extension("ledger.jsonl"));
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
            output::line(format_args!(
                "{}: {} of {}, {} of {dim} numbers{refused}",
                wording::shell(&written),
                wording::speech(seconds),
                wording::count(ledger.kept_count(), "recording"),
                wording::count(frames, "frame"),
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
