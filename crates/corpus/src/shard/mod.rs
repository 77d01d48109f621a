//! Shards: a corpus as tar files of some hundred utterances, for disks and networks that dislike a
//! million small files.
//!
//! ```text
//! train.jsonl           a manifest like any other, whose lines say where in which shard their audio lies
//! train-000000.tar      KEY.flac KEY.json [KEY.labels.textgrid] for each utterance, as WebDataset has it
//! train-000000.json     the shard's index: what it was made from, its digest, its lines, its refusals
//! train.shards.json     what all were made from, and each with its utterances, bytes and SHA-256
//! ledger.jsonl          read = kept + refused, of all manifests in the folder
//! ```
//!
//! - **The same training.** Audio is copied as it is; a section of a longer recording is cut and stored
//!   without loss (see [`ShardAudio`]). Features from shards are, byte for byte, those from loose files.
//! - **Or features.** With [`ShardOptions::features`] a shard holds `KEY.ark` in the place of the audio, a
//!   compressed matrix ([`crate::features`]); what acts on sound cannot be trained with any more.
//! - **The same bytes.** Which utterance goes to which shard depends on the manifest and the options
//!   alone, and tars hold no times and no owners; so one process or many on several machines
//!   ([`ShardOptions::part`]), killed and begun again, write the same files.
//! - **Never half.** A shard is written under a temporary name, renamed when it is whole, and counts as
//!   done when its index stands beside it, which comes after. What is done is not done again; what was
//!   made from another manifest or with other options is a fault and stays untouched.
//! - **Nothing is lost.** An utterance that cannot be read is in its shard's index and in the ledger. A
//!   range of a shard that cannot be read later stops the training ([`crate::clip`]).
//!
//! A shard is written as its utterances are read: memory holds one of them a thread, and one shard's
//! lines.

mod claim;
mod error;
mod finish;
mod flac;
mod linear;
mod matrix;
mod member;
mod parquet;
mod range;
mod record;
mod sample;
mod tar;
mod write;

pub use error::ShardError;
pub use range::{ShardDigest, ShardRange};

use crate::Progress;
use crate::features::{FeatureBits, refusal_of, stored_features};
use crate::ledger::Ledger;
use crate::manifest::manifest_files;
use crate::prepare::CORPUS_FILE;
use crate::source::{Source, open_source};
use claim::{claim, is_unclaimed, record_of, refuse_inputs};
use labyrinth_signal::{FeatureExtractor, FeatureOptions};
use record::{MadeFrom, Names};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use write::{Job, Limits, plan, vanished};

/// The most utterances in a shard: its lines are in memory while it is written.
pub const MOST_UTTERANCES: usize = 65_536;

/// What happens to the audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShardAudio {
    /// Bytes are copied. A section of a longer recording becomes FLAC where 16 or 24 bits hold its
    /// samples exactly, and WAV of 32-bit floats where not: it decodes to the same samples.
    #[default]
    Keep,
    /// All becomes FLAC: without loss where 16 or 24 bits hold the samples exactly (and FLAC holds up to
    /// eight channels), else rounded to 16 bits.
    Flac,
}

/// As it is written on the command line.
impl fmt::Display for ShardAudio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Keep => "keep",
            Self::Flac => "flac",
        })
    }
}

/// Features that are stored in the place of the audio.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardFeatures {
    /// Of a value.
    pub bits: FeatureBits,
    /// What is computed. `cmn`, `deltas`, `splice` and `normalize` are no part of what is stored
    /// ([`crate::features`]). With dither one draw of it is stored, for evaluation too, which has none
    /// where it hears the audio.
    pub options: FeatureOptions,
}

/// What to write.
#[derive(Clone, Debug)]
pub struct ShardOptions {
    /// Manifests; a prepared folder stands for all that lie in it.
    pub inputs: Vec<PathBuf>,
    /// The output folder; made where it does not exist.
    pub out: PathBuf,
    /// Copied or re-coded.
    pub audio: ShardAudio,
    /// Features instead, where given; the audio is left out, and `audio` says nothing.
    pub features: Option<ShardFeatures>,
    /// Utterances in a shard, at most; 1 to [`MOST_UTTERANCES`].
    pub utterances: usize,
    /// Seconds of sound in a shard, at most, by the manifest's durations.
    pub seconds: Option<f64>,
    /// This process writes the shards whose number leaves this remainder: (remainder, divisor).
    pub part: (usize, usize),
    /// Threads, each with a shard of its own; 0 counts as 1.
    pub threads: usize,
    /// Writes shards anew that lack refused utterances: their recordings were repaired.
    pub retry: bool,
    /// Reads the shards that are done again and writes anew those whose SHA-256 is not that of their
    /// index. Without it their length is compared: a corpus of terabytes would be read whole at each
    /// resumption, and whoever reads an utterance later compares its own digest ([`ShardRange::read`]).
    pub verify: bool,
    /// Also writes the manifest as Parquet.
    pub parquet: bool,
}

impl ShardOptions {
    /// Everything in one process, 512 utterances in a shard, audio as it is.
    pub fn new(input: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            inputs: vec![input.into()],
            out: out.into(),
            audio: ShardAudio::Keep,
            features: None,
            utterances: 512,
            seconds: None,
            part: (0, 1),
            threads: crate::parallel::available_threads(),
            retry: false,
            verify: false,
            parquet: false,
        }
    }
}

/// What became of one manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardReport {
    /// Of the manifest, without ending.
    pub name: String,
    /// The manifest of the shards; it stands once all are done.
    pub manifest: PathBuf,
    /// All shards of the manifest.
    pub shards: usize,
    /// Those that this call wrote.
    pub written: usize,
    /// Of these, the ones that stood there with other bytes than their index tells.
    pub damaged: usize,
    /// Those that are done, by whomever.
    pub done: usize,
    /// Bytes of all tars, once all are done.
    pub bytes: Option<u64>,
    /// The utterances of the shards that are done.
    pub ledger: Ledger,
}

impl ShardReport {
    /// Whether every shard is there, and the manifest over them.
    pub fn is_complete(&self) -> bool {
        self.bytes.is_some()
    }
}

/// Writes the shards of the manifests, or this process's part of them. `progress` is told utterances.
///
/// # Errors
/// [`ShardError`]; shards that were done before it stay.
pub fn write_shards(
    options: &ShardOptions,
    progress: Progress<'_>,
) -> Result<Vec<ShardReport>, ShardError> {
    check(options)?;
    let manifests = manifests(&options.inputs)?;
    refuse_inputs(&options.out, &manifests)?;
    let mut opened = Vec::with_capacity(manifests.len());
    for (name, path) in &manifests {
        opened.push((name.clone(), open_source(path, &|_, _| {})?));
    }
    let limits = Limits { utterances: options.utterances, seconds: options.seconds };
    let mut jobs = Vec::with_capacity(opened.len());
    for (name, manifest) in &opened {
        refuse_features(&**manifest)?;
        let made_from = MadeFrom::new(manifest.path(), manifest.digest()?, options);
        let names = Names { folder: options.out.clone(), name: name.clone() };
        let plan = plan(&**manifest, &limits)?;
        jobs.push((Job { manifest: &**manifest, made_from, names }, plan));
    }
    fs::create_dir_all(&options.out)
        .map_err(|source| ShardError::Write { path: options.out.clone(), source })?;
    // All are looked at before the first is written: a refusal changes nothing.
    let unclaimed: Vec<bool> =
        jobs.iter().map(|(job, _)| is_unclaimed(job)).collect::<Result<_, _>>()?;
    let record = record_of(&manifests, &options.out)?;
    for ((job, _), _) in jobs.iter().zip(unclaimed).filter(|(_, unclaimed)| *unclaimed) {
        claim(job)?;
    }
    if let Some(bytes) = record {
        finish::write(&options.out.join(CORPUS_FILE), |writer| writer.write_all(&bytes))?;
    }
    let written = write_all(&jobs, options, progress)?;
    let mut reports = Vec::with_capacity(jobs.len());
    for ((job, plan), Work { written, damaged }) in jobs.iter().zip(written) {
        let shards = plan.len().saturating_sub(1);
        let (done, list, ledger) = finish::finish(job, shards, options.parquet)?;
        reports.push(ShardReport {
            name: job.names.name.clone(),
            manifest: job.names.manifest(),
            shards,
            written,
            damaged,
            done,
            bytes: list.map(|list| list.shards.iter().map(|shard| shard.bytes).sum()),
            ledger,
        });
    }
    Ok(reports)
}

fn check(options: &ShardOptions) -> Result<(), ShardError> {
    let wrong = |option, value: String, wanted: &str| {
        Err(ShardError::Option { option, value, wanted: wanted.to_owned() })
    };
    let ShardOptions { utterances, seconds, part: (remainder, divisor), .. } = options;
    if !(1..=MOST_UTTERANCES).contains(utterances) {
        let wanted = format!("1 to {MOST_UTTERANCES}");
        return wrong("--utterances", utterances.to_string(), &wanted);
    }
    if let Some(seconds) = seconds.filter(|seconds| !(*seconds > 0.0 && seconds.is_finite())) {
        return wrong("--seconds", seconds.to_string(), "a number above zero");
    }
    if let Some(features) = &options.features {
        FeatureExtractor::new(&features.options)?;
        if let Some(reason) = refusal_of(&features.options) {
            return Err(ShardError::NotStorable { reason });
        }
    }
    if remainder >= divisor {
        let value = format!("{}/{divisor}", remainder.saturating_add(1));
        return wrong("--shard", value, "i/N with i from 1 to N");
    }
    Ok(())
}

/// Features are no sound, from which anything else could be made.
fn refuse_features(manifest: &dyn Source) -> Result<(), ShardError> {
    if !manifest.is_empty() && stored_features(&*manifest.utterance(0)?).is_some() {
        return Err(ShardError::Features { path: manifest.path().to_owned() });
    }
    Ok(())
}

/// The options of the features in the shards of this manifest, and their bits; `None` where no list beside
/// it tells.
pub(crate) fn stored_options(manifest: &Path) -> Option<(FeatureBits, FeatureOptions)> {
    let features = record::made_from(manifest)?.features?;
    Some((features.bits, features.options))
}

/// The SHA-256 of the manifest from which the shards of this manifest were made; `None` where no list
/// beside it tells.
pub fn origin_digest(manifest: &Path) -> Option<String> {
    record::made_from(manifest).map(|made_from| made_from.sha256)
}

/// The manifests, by the names that their shards get.
fn manifests(inputs: &[PathBuf]) -> Result<BTreeMap<String, PathBuf>, ShardError> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for input in inputs {
        let paths = if input.is_dir() { manifests_in(input)? } else { vec![input.clone()] };
        for path in paths {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            // A name that is not UTF-8 could not stand in the lines of the shards' manifest.
            let name =
                stem.filter(|stem| !stem.starts_with('.')).ok_or_else(|| ShardError::Option {
                    option: "the name of the manifest",
                    value: path.display().to_string(),
                    wanted: "UTF-8 without a dot before it".to_owned(),
                })?;
            match found.insert(name.to_owned(), path.clone()) {
                Some(first) if first != path => {
                    let name = name.to_owned();
                    return Err(ShardError::SameName { name, first, second: path });
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

fn manifests_in(folder: &Path) -> Result<Vec<PathBuf>, ShardError> {
    let failed = |source| ShardError::Read { path: folder.to_owned(), source };
    let mut paths = manifest_files(folder).map_err(failed)?;
    paths.retain(|path| path.is_file());
    if paths.is_empty() {
        return Err(ShardError::Nothing { path: folder.to_owned() });
    }
    Ok(paths)
}

/// How often a shard is written anew whose file another process took for a dead one's.
const ATTEMPTS: usize = 5;

/// What was done for one manifest, in shards.
struct Work {
    written: usize,
    damaged: usize,
}

/// Writes every shard of this process's part that is not done; how many of each job.
fn write_all(
    jobs: &[(Job<'_>, Vec<usize>)],
    options: &ShardOptions,
    progress: Progress<'_>,
) -> Result<Vec<Work>, ShardError> {
    let (remainder, divisor) = options.part;
    let mut tasks = Vec::new();
    for (number, (job, starts)) in jobs.iter().enumerate() {
        for (shard, range) in starts.windows(2).enumerate() {
            if shard % divisor != remainder {
                continue;
            }
            match job.done(shard)? {
                Some(index) if !options.retry || index.refused.is_empty() => {
                    if options.verify {
                        tasks.push((number, shard, range[0]..range[1], Some(index.shard)));
                    }
                }
                _ => tasks.push((number, shard, range[0]..range[1], None)),
            }
        }
    }
    let total = tasks.iter().map(|(_, _, range, _)| range.len()).sum();
    let (next, told, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let count = || jobs.iter().map(|_| AtomicUsize::new(0)).collect();
    let (written, damaged): (Vec<AtomicUsize>, Vec<AtomicUsize>) = (count(), count());
    let fault: Mutex<Option<ShardError>> = Mutex::new(None);
    let tell = || progress(told.fetch_add(1, Ordering::Relaxed) + 1, total);
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let task = tasks.get(next.fetch_add(1, Ordering::Relaxed));
            let Some((number, shard, range, done)) = task else { return };
            let job = &jobs[*number].0;
            let outcome = match done.as_ref().map(|entry| job.is_intact(entry)) {
                Some(Ok(true)) => {
                    range.clone().for_each(|_| tell());
                    continue;
                }
                Some(Err(error)) => Err(error),
                Some(Ok(false)) | None => write_one(job, *shard, range.clone(), &stop, &tell),
            };
            match outcome {
                Ok(true) => {
                    written[*number].fetch_add(1, Ordering::Relaxed);
                    damaged[*number].fetch_add(usize::from(done.is_some()), Ordering::Relaxed);
                }
                Ok(false) => return,
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    // The first is told. A poisoned lock only says that another thread panicked.
                    let mut fault = fault.lock().unwrap_or_else(|poison| poison.into_inner());
                    fault.get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.threads.clamp(1, tasks.len().max(1)) {
            scope.spawn(work);
        }
    });
    match fault.into_inner().unwrap_or_else(|poison| poison.into_inner()) {
        Some(error) => Err(error),
        None => {
            let counts = written.into_iter().zip(damaged);
            let work = counts.map(|(written, damaged)| Work {
                written: written.into_inner(),
                damaged: damaged.into_inner(),
            });
            Ok(work.collect())
        }
    }
}

/// Writes a shard, again where another process that found all done took our temporary file away.
fn write_one(
    job: &Job<'_>,
    shard: usize,
    range: std::ops::Range<usize>,
    stop: &AtomicBool,
    tell: &dyn Fn(),
) -> Result<bool, ShardError> {
    let mut attempt = 1;
    loop {
        match job.write(shard, range.clone(), stop, tell) {
            Err(error) if vanished(&error) && attempt < ATTEMPTS => {
                if job.done(shard)?.is_some() {
                    return Ok(true);
                }
                attempt += 1;
            }
            result => return result,
        }
    }
}
