//! Which utterances meet in which batch: a function of seed, epoch and window.
//!
//! An epoch's order is a keyed permutation of the manifest. It is cut into windows of
//! [`WINDOW_BATCHES`] batches; a last window of less than half that joins the one before. Inside a window
//! utterances are sorted by duration, so that those of one batch are about equally long, cut into batches
//! by number and seconds, and the batches put into a random order. So a batch is random in what it holds,
//! its members are alike in length, and everything about it follows from one window's positions.
//!
//! Without shuffling, windows are runs of the manifest and nothing is sorted.

use super::load::{check_frames, transcript, warped_extractors};
use super::sound::SoundStage;
use super::{Infeasible, LoaderError, LoaderOptions, Position, extractor, shorter_than_a_frame};
use crate::ledger::{Reason, Refusal};
use crate::permutation::Permutation;
use labyrinth_signal::{FeatureExtractor, Random};
use std::sync::{Arc, OnceLock};

/// Batches in a window. More make the lengths in a batch more alike, fewer make it more random.
pub const WINDOW_BATCHES: u64 = 16;

/// What a key is for: the last number but one of it, so that no two draws share a key.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Purpose {
    Order = 1,
    Batches = 2,
    Speed = 3,
    Masks = 4,
    Warp = 5,
    Noise = 6,
    Filter = 7,
    Tempo = 8,
    Reverberation = 9,
    Rooms = 10,
    RecordedNoise = 11,
    Volume = 12,
    LowPass = 13,
    Telephone = 14,
}

/// One utterance of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Item {
    /// In the manifest.
    pub(super) index: usize,
    /// As drawn; the load may fall back to 1.
    pub(super) speed: f64,
    /// As drawn, likewise.
    pub(super) tempo: f64,
}

/// What a worker is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct BatchPlan {
    pub(super) epoch: u64,
    pub(super) items: Vec<Item>,
    pub(super) refused: Vec<Refusal>,
}

/// Turns (epoch, window) into plans.
pub(super) struct Planner {
    options: Arc<LoaderOptions>,
    extractor: FeatureExtractor,
    // Filled by the first walk over a whole epoch: which utterances pass `judge`.
    sound: OnceLock<Vec<bool>>,
}

impl Planner {
    pub(super) fn new(options: Arc<LoaderOptions>) -> Result<Self, LoaderError> {
        let error = |option, value: String, wanted| LoaderError::Option { option, value, wanted };
        if options.manifest.utterances.is_empty() {
            return Err(LoaderError::Empty { path: options.manifest.path.clone() });
        }
        if options.batch_size == 0 {
            return Err(error("batch-size", "0".into(), "1 or more"));
        }
        if options.max_batch_seconds.is_nan() || options.max_batch_seconds <= 0.0 {
            let value = options.max_batch_seconds.to_string();
            return Err(error("max-batch-seconds", value, "a number of seconds above 0"));
        }
        for (option, factors) in [("speeds", &options.speeds), ("tempos", &options.tempos)] {
            if let Some(factor) = factors.iter().find(|factor| !(0.25..=4.0).contains(*factor)) {
                return Err(error(option, factor.to_string(), "factors from 0.25 to 4"));
            }
        }
        let extractor = extractor(&options)?;
        SoundStage::new(&options, extractor.sample_rate())?;
        warped_extractors(&options)?;
        Ok(Self { options, extractor, sound: OnceLock::new() })
    }

    pub(super) fn options(&self) -> &Arc<LoaderOptions> {
        &self.options
    }

    pub(super) fn dim(&self) -> usize {
        self.extractor.dim()
    }

    fn len(&self) -> u64 {
        self.options.manifest.utterances.len() as u64
    }

    fn window_len(&self) -> u64 {
        (self.options.batch_size as u64).saturating_mul(WINDOW_BATCHES)
    }

    pub(super) fn windows(&self) -> u64 {
        let (len, window) = (self.len(), self.window_len());
        if self.options.shuffle {
            ((len + window / 2) / window).max(1)
        } else {
            len.div_ceil(window)
        }
    }

    /// Whether training can use an utterance, as far as its line in the manifest tells. Under
    /// [`Infeasible::Keep`] it always can.
    pub(super) fn judge(&self, index: usize) -> Result<(), Refusal> {
        if self.options.infeasible == Infeasible::Keep {
            return Ok(());
        }
        let utterance = &self.options.manifest.utterances[index];
        let transcript = transcript(&self.options, utterance);
        if let Some(refusal) = transcript.refusal {
            return Err(refusal);
        }
        // The samples there will be after resampling. The 1e-6 lets an exact half, which the decimal
        // digits of the duration may miss by a hair, round as it does when samples are counted.
        let rate = f64::from(self.extractor.sample_rate());
        let samples = (utterance.duration * rate + 1e-6).round() as usize;
        let frames = self.extractor.frame_count(samples);
        if frames == 0 {
            let detail = shorter_than_a_frame(&self.options.features, utterance.duration);
            return Err(Refusal::new(&utterance.id, Reason::ShorterThanAFrame, detail));
        }
        check_frames(&self.options, utterance, &transcript.targets, frames)
    }

    fn is_sound(&self, index: usize) -> Result<(), Refusal> {
        match self.sound.get() {
            Some(sound) if sound[index] => Ok(()),
            _ => self.judge(index),
        }
    }

    /// The batches of one window, in the order of their delivery. Never empty: where all utterances are
    /// refused, one batch carries the refusals.
    pub(super) fn window(&self, epoch: u64, window: u64) -> Vec<BatchPlan> {
        let options = &*self.options;
        let begin = window * self.window_len();
        let last = window + 1 == self.windows();
        let end = if last { self.len() } else { begin + self.window_len() };
        let order = Permutation::new(self.len(), &[options.seed, epoch, Purpose::Order as u64]);
        let mut refused = Vec::new();
        let mut items: Vec<(f64, Item)> = Vec::new();
        for position in begin..end {
            let index = if options.shuffle { order.apply(position) } else { position } as usize;
            match self.is_sound(index) {
                Ok(()) => {
                    let speed = self.factor(&options.speeds, Purpose::Speed, epoch, index);
                    let tempo = self.factor(&options.tempos, Purpose::Tempo, epoch, index);
                    let seconds = options.manifest.utterances[index].duration / (speed * tempo);
                    items.push((seconds, Item { index, speed, tempo }));
                }
                Err(refusal) => refused.push(refusal),
            }
        }
        if options.shuffle {
            // Ascending, so that a last batch with fewer utterances holds the longest.
            items.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.index.cmp(&b.1.index)));
        }
        let mut plans = self.cut(epoch, &items);
        if options.shuffle {
            let key = [options.seed, epoch, Purpose::Batches as u64, window];
            let mut random = Random::from_key(&key);
            // Fisher and Yates.
            for last in (1..plans.len()).rev() {
                plans.swap(last, random.below(last as u64 + 1) as usize);
            }
        }
        if plans.is_empty() {
            plans.push(BatchPlan { epoch, ..BatchPlan::default() });
        }
        plans[0].refused = refused;
        plans
    }

    fn cut(&self, epoch: u64, items: &[(f64, Item)]) -> Vec<BatchPlan> {
        let mut plans: Vec<BatchPlan> = Vec::new();
        let mut filled = 0.0;
        for (seconds, item) in items {
            let fits = plans.last().is_some_and(|plan| {
                plan.items.len() < self.options.batch_size
                    && filled + seconds <= self.options.max_batch_seconds
            });
            if !fits {
                plans.push(BatchPlan { epoch, ..BatchPlan::default() });
                filled = 0.0;
            }
            filled += seconds;
            if let Some(plan) = plans.last_mut() {
                plan.items.push(*item);
            }
        }
        plans
    }

    /// One of `factors`, or 1 where there is none.
    fn factor(&self, factors: &[f64], purpose: Purpose, epoch: u64, index: usize) -> f64 {
        let key = [self.options.seed, epoch, purpose as u64, index as u64];
        let drawn = Random::from_key(&key).below(factors.len() as u64) as usize;
        factors.get(drawn).copied().unwrap_or(1.0)
    }

    /// Walks the durations of a whole epoch.
    pub(super) fn batches_in_epoch(&self, epoch: u64) -> u64 {
        self.sound.get_or_init(|| {
            (0..self.options.manifest.utterances.len())
                .map(|index| self.judge(index).is_ok())
                .collect()
        });
        (0..self.windows()).map(|window| self.window(epoch, window).len() as u64).sum()
    }
}

/// The next thing in a run.
pub(super) enum Step {
    Batch { plan: BatchPlan, after: Position },
    EndOfEpoch { after: Position },
}

/// Walks through epochs, windows and batches, holding the plan of one window.
pub(super) struct Cursor {
    planner: Planner,
    position: Position,
    window: Option<(u64, u64, Vec<BatchPlan>)>,
}

impl Cursor {
    pub(super) fn new(planner: Planner, position: Position) -> Self {
        Self { planner, position, window: None }
    }

    pub(super) fn planner(&self) -> &Planner {
        &self.planner
    }

    pub(super) fn next_step(&mut self) -> Step {
        loop {
            let Position { epoch, window, batch_in_window, .. } = self.position;
            if window >= self.planner.windows() {
                self.position = Position::start_of_epoch(epoch + 1);
                return Step::EndOfEpoch { after: self.position };
            }
            let plans = match &mut self.window {
                Some((e, w, plans)) if (*e, *w) == (epoch, window) => plans,
                other => {
                    let plans = self.planner.window(epoch, window);
                    &mut other.insert((epoch, window, plans)).2
                }
            };
            match plans.get_mut(batch_in_window as usize) {
                Some(plan) => {
                    // Each plan is taken once; what stays behind is empty.
                    let plan = std::mem::take(plan);
                    self.position.batch += 1;
                    self.position.batch_in_window += 1;
                    return Step::Batch { plan, after: self.position };
                }
                None => {
                    self.position.window += 1;
                    self.position.batch_in_window = 0;
                }
            }
        }
    }
}
