//! The streaming loader: a manifest becomes batches of features, in worker threads and bounded memory.
//!
//! What comes out is a function of the manifest, the options and the position alone. The order of an
//! epoch is a keyed permutation ([`crate::permutation`]); every augmentation is drawn from a generator
//! keyed by (seed, epoch, utterance); so neither the number of workers nor an interruption can change a
//! byte. The order is cut into windows of some batches, sorted by duration inside a window, and cut into
//! batches (see [`plan`]); a position is (epoch, window, batch within it), and finding it again looks at
//! one window, whatever the corpus's size.
//!
//! At most `workers + prefetch_batches` batches exist between plan and delivery; they are delivered in
//! the order of the plan. In each epoch every utterance of the manifest is delivered once or named once
//! in some batch's `refused`: read = kept + refused.

mod load;
pub mod plan;
mod pool;
mod sound;

pub use sound::{SoundOptions, SoundRecordings};

use crate::ledger::{Ledger, Refusal};
use crate::manifest::Manifest;
use labyrinth_signal::{
    AugmentError, FeatureError, FeatureExtractor, FeatureOptions, RandomFilter, SpecAugment,
};
use labyrinth_text::{Alphabet, Normalizer};
use plan::{Cursor, Planner, Step};
use pool::Pool;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Model frames from feature frames: the lengths rule of a model's layers.
pub type OutputFrames = Arc<dyn Fn(usize) -> usize + Send + Sync>;

/// What to do with an utterance whose transcript CTC cannot learn: unknown characters, no characters, or
/// fewer model frames than labels and repeated neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Infeasible {
    /// Leave it out, by name and reason: training.
    Refuse,
    /// Deliver it like any other: evaluation, where it counts. Its targets are empty where the alphabet
    /// lacks a character.
    Keep,
}

/// How a manifest becomes batches.
#[derive(Clone)]
pub struct LoaderOptions {
    /// The utterances.
    pub manifest: Arc<Manifest>,
    /// The features, their normalisation included.
    pub features: FeatureOptions,
    /// Transcripts pass through it before they are encoded.
    pub normalizer: Normalizer,
    /// Characters to labels.
    pub alphabet: Alphabet,
    /// Most utterances in a batch.
    pub batch_size: usize,
    /// Most seconds of audio in a batch, after the change of speed; an utterance that alone is longer
    /// makes a batch of its own. Infinite: no limit.
    pub max_batch_seconds: f64,
    /// Of the order, the speeds, the warps and the masks.
    pub seed: u64,
    /// Threads; 0 counts as 1.
    pub workers: usize,
    /// Finished batches that may wait, beside those being worked on.
    pub prefetch_batches: usize,
    /// Another order each epoch, grouped by length; else the manifest's.
    pub shuffle: bool,
    /// One of these is drawn for each utterance and epoch; none: 1.0. Times within the utterance are
    /// divided by it.
    pub speeds: Vec<f64>,
    /// As `speeds`, at the same pitch; both are drawn, and their product changes the length. An utterance
    /// that would become too short for CTC by it is used as it was recorded.
    pub tempos: Vec<f64>,
    /// One of these factors of [`FeatureOptions::vtln_warp`] is drawn for each utterance and epoch;
    /// none: that of `features`.
    pub vtln_warps: Vec<f32>,
    /// What is done to the sound after that; times stay.
    pub sound: SoundOptions,
    /// The recordings that `sound` names, from [`SoundOptions::read_recordings`].
    pub recordings: SoundRecordings,
    /// A filter over the logarithmic features.
    pub random_filter: Option<RandomFilter>,
    /// Masks over the normalised features.
    pub spec_augment: Option<SpecAugment>,
    /// For what CTC needs.
    pub output_frames: OutputFrames,
    /// Training refuses, evaluation keeps. Training alone dithers ([`FeatureOptions::dither`]).
    pub infeasible: Infeasible,
}

impl LoaderOptions {
    /// Options for an evaluation: the manifest's order, nothing augmented, nothing left out but what has
    /// no usable audio; 16 utterances a batch, two workers.
    pub fn evaluation(
        manifest: Arc<Manifest>,
        features: FeatureOptions,
        normalizer: Normalizer,
        alphabet: Alphabet,
        output_frames: OutputFrames,
    ) -> Self {
        Self {
            manifest,
            features,
            normalizer,
            alphabet,
            batch_size: 16,
            max_batch_seconds: f64::INFINITY,
            seed: 0,
            workers: 2,
            prefetch_batches: 2,
            shuffle: false,
            speeds: Vec::new(),
            tempos: Vec::new(),
            vtln_warps: Vec::new(),
            sound: SoundOptions::default(),
            recordings: SoundRecordings::default(),
            random_filter: None,
            spec_augment: None,
            output_frames,
            infeasible: Infeasible::Keep,
        }
    }
}

/// Some utterances, ready for the model. Frames lie one utterance after the other, without padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Of the utterances delivered. May be empty where all were refused.
    pub ids: Vec<String>,
    /// Their places in the manifest.
    pub indices: Vec<usize>,
    /// `[sum of lengths, dim]`.
    pub features: Vec<f32>,
    /// Feature frames of each utterance.
    pub lengths: Vec<usize>,
    /// Labels of each utterance.
    pub targets: Vec<Vec<u32>>,
    /// The normalised transcript of each utterance: what a hypothesis is scored against.
    pub texts: Vec<String>,
    /// Whether CTC can write each transcript in the model frames it has; always true under
    /// [`Infeasible::Refuse`]. Where false, the loss of the utterance is infinite.
    pub feasible: Vec<bool>,
    /// Seconds of the original recordings.
    pub seconds: f64,
    /// Utterances that belong to this part of the epoch and are left out.
    pub refused: Vec<Refusal>,
}

impl Batch {
    /// Whether it holds refusals only.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Utterances delivered.
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

/// A place between two batches of a run. Start from [`Position::default`] or
/// [`Position::start_of_epoch`]; any other comes from [`Loader::position`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Counted from 0.
    pub epoch: u64,
    /// Batches of this epoch that were handed out.
    pub batch: u64,
    /// The window of the epoch's order that the next batch comes from.
    pub window: u64,
    /// Batches of that window that were handed out.
    pub batch_in_window: u64,
}

impl Position {
    /// Before the first batch of an epoch.
    pub fn start_of_epoch(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }
}

/// What stops a loader.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// There is nothing to load.
    #[error("{} holds no utterances; prepare the corpus again or name another manifest", path.display())]
    Empty {
        /// The manifest.
        path: PathBuf,
    },
    /// An option makes no sense.
    #[error("the loader cannot work with {option} = {value}; set it to {wanted}")]
    Option {
        /// Which.
        option: &'static str,
        /// As it was given.
        value: String,
        /// What would do.
        wanted: &'static str,
    },
    /// The features cannot be computed so.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// An augmentation's option is out of its range.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// A recording to be mixed in is not what it was.
    #[error("the recording {detail}, which it did not when the run began; restore it and resume")]
    Recording {
        /// Which, and what is wrong.
        detail: String,
    },
    /// The disk failed: no fault of the data.
    #[error(
        "{} cannot be read ({source}); this is the disk's failure, see to it and resume",
        path.display()
    )]
    Disk {
        /// The file that was being read.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// A worker failed in a way it never should.
    #[error("a worker of the loader failed on {ids} ({message}); please report this")]
    Worker {
        /// The utterances of its batch.
        ids: String,
        /// What it said.
        message: String,
    },
    /// A thread could not be started.
    #[error("the loader's threads cannot be started ({source}); use fewer workers")]
    Threads {
        /// What the system said.
        source: io::Error,
    },
    /// The loader was asked again after it had failed.
    #[error("the loader stopped at an earlier error; make a new one at its position")]
    Stopped,
}

/// Streams batches, epoch after epoch.
pub struct Loader {
    pool: Pool,
    cursor: Cursor,
    pending: VecDeque<Pending>,
    position: Position,
    limit: usize,
    stopped: bool,
}

/// Planned, not yet handed out.
enum Pending {
    Batch { number: u64, after: Position },
    EndOfEpoch { after: Position },
}

impl Loader {
    /// A loader whose first batch is the one at `position`. Work begins at once.
    ///
    /// # Errors
    /// [`LoaderError`] where the manifest is empty or an option makes no sense.
    pub fn new(options: LoaderOptions, position: Position) -> Result<Self, LoaderError> {
        let planner = Planner::new(Arc::new(options))?;
        let options = planner.options();
        let limit = options.workers.max(1) + options.prefetch_batches;
        let pool = Pool::start(options)?;
        let cursor = Cursor::new(planner, position);
        let pending = VecDeque::new();
        let mut loader = Self { pool, cursor, pending, position, limit, stopped: false };
        loader.fill();
        Ok(loader)
    }

    /// The next batch; `None` at the end of an epoch, after which the next call begins the next epoch.
    /// An utterance's fault never ends a run: it is named in the batch's `refused`. A batch may hold
    /// nothing else ([`Batch::is_empty`]).
    ///
    /// # Errors
    /// [`LoaderError::Disk`] where the disk fails; the position stays at the batch that failed.
    pub fn next_batch(&mut self) -> Result<Option<Batch>, LoaderError> {
        if self.stopped {
            return Err(LoaderError::Stopped);
        }
        self.fill();
        match self.pending.pop_front() {
            Some(Pending::Batch { number, after }) => {
                let batch = self.pool.take(number).inspect_err(|_| self.stopped = true)?;
                self.position = after;
                // Workers go on while the caller computes.
                self.fill();
                Ok(Some(batch))
            }
            Some(Pending::EndOfEpoch { after }) => {
                self.position = after;
                Ok(None)
            }
            // The limit is at least one and an epoch at least a batch or its end.
            None => Err(LoaderError::Stopped),
        }
    }

    /// The position of the next batch that was not yet handed out, however many wait already.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Batches of one epoch, from the manifest's durations. Where `max_batch_seconds` is set, epochs
    /// differ by a few, because other utterances meet in a window.
    pub fn batches_in_epoch(&self, epoch: u64) -> u64 {
        self.cursor.planner().batches_in_epoch(epoch)
    }

    /// [`Loader::batches_in_epoch`] of the first epoch.
    pub fn batches_per_epoch(&self) -> u64 {
        self.batches_in_epoch(0)
    }

    /// Values of a feature frame.
    pub fn dim(&self) -> usize {
        self.cursor.planner().dim()
    }

    /// The most batches that existed at once between plan and delivery so far; never more than workers +
    /// prefetched batches.
    pub fn most_in_flight(&self) -> usize {
        self.pool.most_in_flight()
    }

    /// Plans as far ahead as memory is granted.
    fn fill(&mut self) {
        loop {
            let batches =
                self.pending.iter().filter(|p| matches!(p, Pending::Batch { .. })).count();
            // An evaluation reads its data once: nothing of a second epoch is begun before it is asked
            // for. Training has its next epoch ready when validation is over.
            let ended = !self.cursor.planner().options().shuffle
                && matches!(self.pending.back(), Some(Pending::EndOfEpoch { .. }));
            if batches >= self.limit || ended || self.pending.len() > self.limit {
                return;
            }
            match self.cursor.next_step() {
                Step::Batch { plan, after } => {
                    let number = self.pool.submit(plan);
                    self.pending.push_back(Pending::Batch { number, after });
                }
                Step::EndOfEpoch { after } => {
                    self.pending.push_back(Pending::EndOfEpoch { after });
                }
            }
        }
    }
}

/// What a loader with these options would refuse, judged from the manifest's durations and transcripts
/// without reading audio: the ledger that stands before a training begins. A broken recording is found
/// only when it is loaded, and then named in a batch ([`Ledger::refuse_kept`] enters it).
///
/// # Errors
/// [`LoaderError`] where the manifest is empty or an option makes no sense.
pub fn plan_refusals(options: &LoaderOptions) -> Result<Ledger, LoaderError> {
    let planner = Planner::new(Arc::new(options.clone()))?;
    let mut ledger = Ledger::new();
    for index in 0..options.manifest.utterances.len() {
        match planner.judge(index) {
            Ok(()) => ledger.keep(),
            Err(refusal) => ledger.refuse(refusal),
        }
    }
    Ok(ledger)
}

/// Why there is not one frame of features, with both lengths.
pub(crate) fn shorter_than_a_frame(features: &FeatureOptions, seconds: f64) -> String {
    let (option, milliseconds) = match features.snip_edges {
        true => ("frame-length", features.frame_length),
        // Frames are then counted by shifts, rounded, and the recording is mirrored at its ends.
        false => ("frame-shift", features.frame_shift),
    };
    format!("{seconds:.3} s are shorter than one frame ({option} is {milliseconds} ms)")
}

/// An extractor for these options; each thread has its own.
fn extractor(options: &LoaderOptions) -> Result<FeatureExtractor, LoaderError> {
    Ok(FeatureExtractor::new(&options.features)?)
}
