//! `labyrinth shard`: manifests to tar shards.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use labyrinth_corpus::shard::MOST_UTTERANCES;
use labyrinth_corpus::{
    FeatureBits, ShardAudio, ShardFeatures, ShardOptions, ShardReport, write_shards,
};
use labyrinth_train::Recipe;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::{interrupt, output, wording};

/// Arguments of `labyrinth shard`.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Shard {
    /// Prepared folders or manifests.
    #[arg(required = true, value_name = "DIR|MANIFEST")]
    inputs: Vec<PathBuf>,
    /// The output folder.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// What happens to the audio.
    #[arg(long, value_enum, default_value_t = Audio::Keep)]
    audio: Audio,
    /// Stores the features of this recipe's [features] in the place of the audio.
    #[arg(long, value_name = "RECIPE", conflicts_with = "audio")]
    features: Option<PathBuf>,
    /// Of a stored value: 8, or 16 for a smaller error at twice the size.
    #[arg(long, value_name = "8|16", default_value = "8", requires = "features",
          value_parser = bits)]
    bits: FeatureBits,
    /// Utterances in a shard, at most.
    #[arg(long, value_name = "N", default_value_t = 512,
          value_parser = clap::value_parser!(u64).range(1..=MOST_UTTERANCES as u64))]
    utterances: u64,
    /// Seconds of sound in a shard, at most, by the manifest's durations.
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Writes part i of N alone, such as 1/4; other processes or machines write the others.
    #[arg(long, value_name = "i/N")]
    shard: Option<Part>,
    /// Threads, each with a shard of its own; as many as the machine runs at once where not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Writes shards anew that lack refused utterances: their recordings were repaired.
    #[arg(long)]
    retry: bool,
    /// Reads the shards that are done, and writes anew those that are not what their digest says.
    #[arg(long)]
    verify: bool,
    /// The form of the manifest over all shards; JSON Lines are written in either case.
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Form::Jsonl)]
    manifest: Form,
}

const AFTER_HELP: &str = "\
For each manifest NAME.jsonl: NAME-000000.tar and so on, in WebDataset's form (KEY.flac, KEY.json,
KEY.labels.EXT), each with its index (NAME-000000.json), and when all are there NAME.jsonl, which
train, check and evaluate read like any manifest, NAME.shards.json with digests, and ledger.jsonl.
Training from shards gives the same weights as from loose files.

Run again, it goes on where it was stopped (--verify also reads what is done and compares digests;
without it lengths are compared, and training compares the digest of each utterance it reads). The
files are the same bytes whether one process writes them or many. An utterance that cannot be read
is named in the ledger.

Audio is kept as it is: bytes are copied, and a section of a longer recording is cut without loss
(FLAC, or WAV of 32-bit floats where FLAC cannot hold it). With --audio flac everything becomes FLAC:
without loss where 16 or 24 bits hold the samples exactly; recordings in lossy formats (MP3, Ogg) and
in floats are rounded to 16 bits, and what is above full scale is cut off there.

With --features RECIPE a shard holds no audio but what [features] of the recipe describes, as one
compressed matrix of Kaldi's an utterance (KEY.ark). A training whose features are the same reads
them; normalize, cmn, deltas and splice may differ, for they are computed after reading, and so may
spec-augment and random-filter. What changes the sound (speeds, tempos, vtln-warps, noises, rooms,
volume, filters) is refused, nothing can be listened to, and transcribe needs recordings. With dither
one draw of it is stored, in which dev and test are heard too. Where FLAC is smaller, or speeds help,
shard the audio.

Examples:
  labyrinth shard data/an4 -o shards/an4
  labyrinth shard data/an4 -o features/an4 --features recipes/an4.toml --bits 8
  labyrinth shard data/big/train.jsonl -o shards --audio flac --utterances 2000
  for i in 1 2 3 4; do labyrinth shard data/big -o shards --shard $i/4 --threads 1 & done; wait
  labyrinth shard data/big -o shards --shard $((SLURM_ARRAY_TASK_ID + 1))/$SLURM_ARRAY_TASK_COUNT
  labyrinth train recipes/an4.toml --set data.train=shards/an4/train.jsonl";

/// What happens to the audio.
#[derive(Clone, Copy, ValueEnum)]
enum Audio {
    /// Copied byte by byte; sections are cut without loss.
    Keep,
    /// Everything becomes FLAC.
    Flac,
}

/// The form of the manifest.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Form {
    /// NAME.jsonl.
    Jsonl,
    /// Also NAME.parquet, with the same columns.
    Parquet,
}

/// Part i of N, counted from one.
#[derive(Clone, Copy)]
struct Part {
    number: usize,
    of: usize,
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/').and_then(|(number, of)| {
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        });
        parts
            .filter(|part| (1..=part.of).contains(&part.number))
            .ok_or_else(|| "it must be i/N with i from 1 to N, such as 1/4".to_owned())
    }
}

impl Shard {
    /// Writes the shards and says what stands.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let part = self.shard.unwrap_or(Part { number: 1, of: 1 });
        let mut options = ShardOptions {
            inputs: self.inputs,
            audio: match self.audio {
                Audio::Keep => ShardAudio::Keep,
                Audio::Flac => ShardAudio::Flac,
            },
            features: self
                .features
                .as_deref()
                .map(|recipe| features(recipe, self.bits))
                .transpose()?,
            utterances: self.utterances as usize,
            seconds: self.seconds,
            part: (part.number - 1, part.of),
            retry: self.retry,
            verify: self.verify,
            parquet: self.manifest == Form::Parquet,
            ..ShardOptions::new("", self.out)
        };
        if let Some(threads) = self.threads {
            options.threads = usize::from(threads);
        }
        interrupt::advise("the same command goes on where it was");
        let progress = Progress::new("sharding");
        let reports = write_shards(&options, &|done, total| progress.at(done, total));
        progress.finish();
        let reports = reports?;
        for report in &reports {
            output::line(describe(report, part.of > 1))?;
        }
        let read: usize = reports.iter().map(|report| report.ledger.read_count()).sum();
        let refusals = || reports.iter().flat_map(|report| report.ledger.refusals());
        if let Some(first) = refusals().next()
            && refusals().count() == read
        {
            return Err(Failure::Sentence(format!(
                "not one of the {} read can go into a shard (the first, {}: {}); correct the recordings \
                 and run the command again with --retry",
                wording::count(read, "utterance"),
                first.id,
                first.detail
            )));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a recipe's features are, with its paths as they are from here.
fn features(recipe: &Path, bits: FeatureBits) -> Result<ShardFeatures, Failure> {
    let options = Recipe::read(recipe, &[])?.features;
    Ok(ShardFeatures { bits, options })
}

fn bits(text: &str) -> Result<FeatureBits, String> {
    text.parse::<u8>()
        .ok()
        .and_then(|bits| FeatureBits::try_from(bits).ok())
        .ok_or_else(|| "it must be 8 or 16".to_owned())
}

/// `train: 2 shards, 46.1 MB, read 948 = kept 948 + refused 0`.
fn describe(report: &ShardReport, parts: bool) -> String {
    let ShardReport { name, shards, written, damaged, done, bytes, ledger, .. } = report;
    let Some(bytes) = bytes else {
        return format!(
            "{name}: {written} of {} written, {} not done yet; {}",
            wording::count(*shards, "shard"),
            shards - done,
            if parts { "run the other parts too" } else { "run the command again" }
        );
    };
    let mut text =
        format!("{name}: {}, {}, {ledger}", wording::count(*shards, "shard"), size(*bytes));
    let before = shards - written;
    if before > 0 {
        text += &format!("; {} done before", wording::count(before, "shard"));
    }
    if *damaged > 0 {
        text += &format!("; {} damaged and written anew", wording::count(*damaged, "shard"));
    }
    if ledger.refused_count() > 0 {
        text += "; see ledger.jsonl, and --retry once they are repaired";
    }
    text
}

/// `46.1 MB`.
fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        bytes if bytes >= 1e9 => format!("{:.2} GB", bytes / 1e9),
        bytes if bytes >= 1e6 => format!("{:.1} MB", bytes / 1e6),
        bytes => format!("{:.1} kB", bytes / 1e3),
    }
}
