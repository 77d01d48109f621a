//! The streaming loader: corpora become batches of features, in worker threads and bounded memory.
//!
//! What comes out is a function of the corpora, the options and the position alone. The order of an
//! epoch is a keyed permutation ([`order`]); every augmentation is drawn from a generator keyed by
//! (seed, epoch, utterance); so neither the number of workers nor an interruption can change a byte. The
//! order is cut into windows of some batches, sorted by duration inside a window, and cut into batches
//! (see [`plan`]); a position is (epoch, window, batch within it), and finding it again looks at one
//! window, whatever the corpus's size.
//!
//! At most `workers + prefetch_batches` batches exist between plan and delivery; they are delivered in
//! the order of the plan. In each epoch every utterance of a corpus of weight 1 is delivered once or
//! named once in some batch's `refused`: read = kept + refused.
//!
//! # Memory
//! Beside the options there are: those batches (of `batch_size` utterances or `max_batch_seconds`), the
//! plan of one window (16 batches), and in each worker one recording, decoded. None grows with the
//! corpus; nor does the list of utterances where it is read through an index ([`crate::source`]).

pub mod frames;
mod load;
pub mod order;
pub mod plan;
mod pool;
mod sound;

pub(crate) use sound::RateConverter;
pub use sound::{SoundOptions, SoundRecordings};

use crate::clip::reading_failed;
use crate::features::FeatureMismatch;
use crate::labels::LabelTrack;
use crate::ledger::{Ledger, Refusal};
use crate::manifest::{ManifestError, Utterance};
use crate::source::Source;
use labyrinth_signal::{
    AugmentError, FeatureError, FeatureExtractor, FeatureOptions, RandomFilter, SpecAugment,
};
use labyrinth_text::{Alphabet, Lexicon, Normalizer, TrackOptions};
use plan::{Cursor, Planner, Step};
use pool::Pool;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// A corpus, and how much of an epoch it makes.
#[derive(Clone)]
pub struct Corpus {
    /// The utterances.
    pub source: Arc<dyn Source>,
    /// How often an epoch reads each of them: 1 once, 2 twice, 0.5 every other one, by turns.
    pub weight: f64,
}

/// One of the processes that train a model together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Counted from 0.
    pub number: usize,
    /// How many there are.
    pub of: usize,
}

impl Rank {
    /// A process that trains alone.
    pub const ALONE: Self = Self { number: 0, of: 1 };
}

/// What framewise targets are made with ([`frames`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Framewise {
    /// How a track is read.
    pub track: TrackOptions,
    /// Feature frames between two frames of the model's output.
    pub stride: usize,
}

/// How corpora become batches.
#[derive(Clone)]
pub struct LoaderOptions {
    /// The utterances, mixed by weight where there are several corpora. Ids are then told with the
    /// manifest before them.
    pub corpora: Vec<Corpus>,
    /// Which share of the batches is loaded here.
    pub rank: Rank,
    /// The features, their normalisation included.
    pub features: FeatureOptions,
    /// Transcripts pass through it before they are encoded.
    pub normalizer: Normalizer,
    /// Characters to labels.
    pub alphabet: Alphabet,
    /// Words to phonemes, which then are the texts; for alphabets of phonemes.
    pub lexicon: Option<Arc<Lexicon>>,
    /// Targets of frames from label tracks in place of transcripts; `labels` is then on. Every utterance
    /// needs a track, and its text is that of the track.
    pub framewise: Option<Framewise>,
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
    /// Whether label tracks are read and delivered; a track that cannot be used refuses its utterance.
    pub labels: bool,
    /// Training refuses, evaluation keeps. Training alone dithers ([`FeatureOptions::dither`]).
    pub infeasible: Infeasible,
}

impl LoaderOptions {
    /// Options for an evaluation: the manifest's order, nothing augmented, nothing left out but what has
    /// no usable audio; 16 utterances a batch, two workers.
    pub fn evaluation(
        source: Arc<dyn Source>,
        features: FeatureOptions,
        normalizer: Normalizer,
        alphabet: Alphabet,
        output_frames: OutputFrames,
    ) -> Self {
        Self {
            corpora: vec![Corpus { source, weight: 1.0 }],
            rank: Rank::ALONE,
            features,
            normalizer,
            alphabet,
            lexicon: None,
            framewise: None,
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
            labels: false,
            infeasible: Infeasible::Keep,
        }
    }

    /// The key of a recipe's `[train]` that changes the sound of utterances, if one does.
    fn acts_on_sound(&self) -> Option<&'static str> {
        let SoundOptions { reverberation, recorded_noise, noise, volume, low_pass, telephone } =
            &self.sound;
        let changes = |factors: &[f64]| factors.iter().any(|factor| *factor != 1.0);
        [
            ("speeds", changes(&self.speeds)),
            ("tempos", changes(&self.tempos)),
            ("vtln-warps", self.vtln_warps.iter().any(|warp| *warp != self.features.vtln_warp)),
            ("reverberation", reverberation.is_some()),
            ("recorded-noise", recorded_noise.is_some()),
            ("noise", noise.is_some()),
            ("volume", volume.is_some()),
            ("low-pass", low_pass.is_some()),
            ("telephone", telephone.is_some()),
        ]
        .into_iter()
        .find_map(|(key, acts)| acts.then_some(key))
    }

    /// What an utterance is called: by its id, which is unique in its manifest alone.
    fn name(&self, corpus: usize, utterance: &Utterance) -> String {
        match self.corpora.len() {
            1 => utterance.id.clone(),
            _ => format!("{}:{}", self.corpora[corpus].source.path().display(), utterance.id),
        }
    }
}

/// Some utterances, ready for the model. Frames lie one utterance after the other, without padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Of the utterances delivered. May be empty where all were refused.
    pub ids: Vec<String>,
    /// Corpus and place in its manifest of each.
    pub places: Vec<(usize, usize)>,
    /// `[sum of lengths, dim]`.
    pub features: Vec<f32>,
    /// Feature frames of each utterance.
    pub lengths: Vec<usize>,
    /// Labels of each utterance.
    pub targets: Vec<Vec<u32>>,
    /// The target of each output frame of each utterance; empty where training is not framewise.
    pub frame_targets: Vec<Vec<u32>>,
    /// The normalised transcript of each utterance, or its phonemes: what a hypothesis is scored against.
    pub texts: Vec<String>,
    /// Whether CTC can write each transcript in the model frames it has; always true under
    /// [`Infeasible::Refuse`]. Where false, the loss of the utterance is infinite.
    pub feasible: Vec<bool>,
    /// Label tracks, in the time of the sound as delivered; all `None` where not asked for.
    pub labels: Vec<Option<LabelTrack>>,
    /// Seconds of the original recordings.
    pub seconds: f64,
    /// The share of the epoch that comes before, from 0 to 1; the same for all ranks of a step.
    pub begins: f64,
    /// Utterances that belong to this part of the epoch and are left out.
    pub refused: Vec<Refusal>,
    /// Corpus and place in its manifest of each of those.
    pub refused_places: Vec<(usize, usize)>,
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

    fn refuse(&mut self, place: order::Place, refusal: Refusal) {
        self.refused.push(refusal);
        self.refused_places.push((place.corpus, place.index));
    }
}

/// A place between two batches of a run. Start from [`Position::default`] or
/// [`Position::start_of_epoch`]; any other comes from [`Loader::position`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Counted from 0.
    pub epoch: u64,
    /// Batches of this epoch that were handed out, by all ranks.
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
    /// Something shall be done to sound where there are features alone.
    #[error(
        "{} tells of shards that hold features and no sound, which `{key}` of [train] would change; take \
         `{key}` out of the recipe, or shard the audio (`labyrinth shard` without --features)",
        path.display()
    )]
    NoSound {
        /// The manifest.
        path: PathBuf,
        /// Of the recipe.
        key: &'static str,
    },
    /// The shards hold other features.
    #[error(transparent)]
    OtherFeatures(#[from] FeatureMismatch),
    /// A manifest cannot be read any more.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
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
    #[error("{}", reading_failed(path, source, "this is the disk's failure, see to it and resume"))]
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
    // What planning met after the batches that wait.
    failure: Option<LoaderError>,
    stopped: bool,
    waited: Duration,
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
        let mut loader = Self {
            pool,
            cursor,
            pending,
            position,
            limit,
            failure: None,
            stopped: false,
            waited: Duration::ZERO,
        };
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
        let start = Instant::now();
        let next = self.next_step();
        self.waited += start.elapsed();
        next
    }

    fn next_step(&mut self) -> Result<Option<Batch>, LoaderError> {
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
            None => {
                self.stopped = true;
                Err(self.failure.take().unwrap_or(LoaderError::Stopped))
            }
        }
    }

    /// The position of the next batch that was not yet handed out, however many wait already.
    pub fn position(&self) -> Position {
        self.position
    }

    /// About how many steps an epoch has, judged by its first window.
    ///
    /// # Errors
    /// [`LoaderError::Manifest`] where the manifest cannot be read.
    pub fn about_steps_in_epoch(&self) -> Result<u64, LoaderError> {
        self.cursor.planner().about_steps_in_epoch()
    }

    /// Values of a feature frame.
    pub fn dim(&self) -> usize {
        self.cursor.planner().dim()
    }

    /// How long callers waited in [`Loader::next_batch`] so far: what loading cost beside the computing.
    pub fn waited(&self) -> Duration {
        self.waited
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
            let full = batches >= self.limit || self.pending.len() > self.limit;
            if full || ended || self.failure.is_some() {
                return;
            }
            match self.cursor.next_step() {
                Err(error) => self.failure = Some(error),
                Ok(Step::Batch { plan, after }) => {
                    let number = self.pool.submit(plan);
                    self.pending.push_back(Pending::Batch { number, after });
                }
                Ok(Step::EndOfEpoch { after }) => {
                    self.pending.push_back(Pending::EndOfEpoch { after });
                }
            }
        }
    }
}

/// Whether a loader with these options would begin: a recipe that cannot do with its dev set is told before
/// hours of training.
///
/// # Errors
/// As [`Loader::new`].
pub fn check_options(options: &LoaderOptions) -> Result<(), LoaderError> {
    Planner::new(Arc::new(options.clone())).map(|_| ())
}

/// What a loader with these options would refuse, judged from the manifest's durations, transcripts and label
/// tracks without reading audio: the ledger that stands before a training begins. A broken recording is found
/// only when it is loaded, and then named in a batch ([`Ledger::refuse_kept`] enters it).
///
/// # Errors
/// [`LoaderError`] where the manifest is empty or an option makes no sense.
pub fn plan_refusals(options: &LoaderOptions) -> Result<Ledger, LoaderError> {
    Ok(plan_training(options)?.0)
}

/// [`plan_refusals`], and the seconds of what is kept.
///
/// # Errors
/// As [`plan_refusals`].
pub fn plan_training(options: &LoaderOptions) -> Result<(Ledger, f64), LoaderError> {
    let planner = Planner::new(Arc::new(options.clone()))?;
    let (mut ledger, mut seconds) = (Ledger::new(), 0.0);
    for (number, corpus) in options.corpora.iter().enumerate() {
        for index in 0..corpus.source.len() {
            let utterance = corpus.source.utterance(index)?;
            planner.refuse_stored(number, &utterance)?;
            let judged = match planner.judge(number, &utterance) {
                Ok(()) => load::judge_labels(options, number, &utterance)?,
                refused => refused,
            };
            match judged {
                Ok(()) => {
                    ledger.keep();
                    seconds += utterance.duration;
                }
                Err(refusal) => ledger.refuse(refusal),
            }
        }
    }
    Ok((ledger, seconds))
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
