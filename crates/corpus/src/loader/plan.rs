//! Which utterances meet in which batch: a function of seed, epoch and window.
//!
//! An epoch's order ([`super::order`]) is cut into windows of [`WINDOW_BATCHES`] batches; a last window of
//! less than half that joins the one before. Inside a window utterances are sorted by duration, cut into
//! batches by number and seconds, and the batches put into a random order. A window is so a sample of the
//! corpus from which its buckets of length are learnt, each as wide as its batch: a batch is random in
//! what it holds, its members are alike in length, and everything about it follows from one window.
//!
//! Without shuffling, windows are runs of the manifests and nothing is sorted.
//!
//! In a run of several ranks all plan the same batches. Those that follow each other are dealt, one to
//! each rank, for one common step; where an epoch ends within a deal, the ranks that are left get an empty
//! batch, so that all take the same number of steps. Together they read what a single one would.

use super::load::{
    NO_TRACK, Transcript, check_frames, refuse_stored, transcript, warped_extractors,
};
use super::order::{Order, Place};
use super::sound::SoundStage;
use super::{Infeasible, LoaderError, LoaderOptions, Position, extractor, shorter_than_a_frame};
use crate::features::{StoredRows, stored_features};
use crate::ledger::{Reason, Refusal};
use crate::manifest::Utterance;
use labyrinth_signal::{FeatureExtractor, Random};
use std::sync::Arc;

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
    Blocks = 15,
}

/// One utterance of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) place: Place,
    /// As drawn; the load may fall back to 1.
    pub(super) speed: f64,
    /// As drawn, likewise.
    pub(super) tempo: f64,
}

/// What a worker is given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct BatchPlan {
    pub(super) epoch: u64,
    /// The share of the epoch that comes before it, or before the deal that it belongs to.
    pub(super) begins: f64,
    pub(super) items: Vec<Item>,
    pub(super) refused: Vec<(Place, Refusal)>,
}

/// Turns (epoch, window) into plans.
pub(super) struct Planner {
    options: Arc<LoaderOptions>,
    order: Order,
    extractor: FeatureExtractor,
    stored: StoredRows,
}

impl Planner {
    pub(super) fn new(options: Arc<LoaderOptions>) -> Result<Self, LoaderError> {
        let error = |option, value: String, wanted| LoaderError::Option { option, value, wanted };
        for corpus in &options.corpora {
            if corpus.source.is_empty() {
                return Err(LoaderError::Empty { path: corpus.source.path().to_owned() });
            }
            // More or fewer readings of a recording than this are a slip of the keyboard.
            if !(0.001..=1000.0).contains(&corpus.weight) {
                let value = corpus.weight.to_string();
                return Err(error("weight", value, "a number from 0.001 to 1000"));
            }
        }
        if options.corpora.is_empty() {
            return Err(error("corpora", "nothing".into(), "at least one manifest"));
        }
        if options.rank.number >= options.rank.of {
            let value = format!("{} of {}", options.rank.number, options.rank.of);
            return Err(error("rank", value, "a number below that of the ranks"));
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
        let stored = StoredRows::new(&options.features)?;
        let lengths: Vec<(usize, f64)> =
            options.corpora.iter().map(|corpus| (corpus.source.len(), corpus.weight)).collect();
        let order = Order::new(&lengths, options.seed, options.shuffle);
        let planner = Self { options, order, extractor, stored };
        // The first line of each tells, as a rule; a loader looks at every one.
        for (number, corpus) in planner.options.corpora.iter().enumerate() {
            planner.refuse_stored(number, &*corpus.source.utterance(0)?)?;
        }
        Ok(planner)
    }

    /// Whether features that are stored for an utterance are of use for these options.
    pub(super) fn refuse_stored(
        &self,
        corpus: usize,
        utterance: &Utterance,
    ) -> Result<(), LoaderError> {
        let source = &*self.options.corpora[corpus].source;
        match stored_features(utterance) {
            Some(stored) => refuse_stored(&self.options, &self.stored, source, &stored),
            None => Ok(()),
        }
    }

    pub(super) fn options(&self) -> &Arc<LoaderOptions> {
        &self.options
    }

    pub(super) fn dim(&self) -> usize {
        self.extractor.dim()
    }

    fn len(&self) -> u64 {
        self.order.len()
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
    pub(super) fn judge(&self, corpus: usize, utterance: &Utterance) -> Result<(), Refusal> {
        if self.options.infeasible == Infeasible::Keep {
            return Ok(());
        }
        let id = self.options.name(corpus, utterance);
        let transcript = match (&self.options.framewise, &utterance.labels) {
            (None, _) => transcript(&self.options, &id, utterance),
            (Some(_), Some(_)) => Transcript::default(),
            (Some(_), None) => return Err(Refusal::new(id, Reason::MissingLabels, NO_TRACK)),
        };
        if let Some(refusal) = transcript.refusal {
            return Err(refusal);
        }
        if let Some(stored) = stored_features(utterance) {
            return check_frames(&self.options, &id, &transcript.targets, stored.frames);
        }
        // The samples there will be after resampling. The 1e-6 lets an exact half, which the decimal
        // digits of the duration may miss by a hair, round as it does when samples are counted.
        let rate = f64::from(self.extractor.sample_rate());
        let samples = (utterance.duration * rate + 1e-6).round() as usize;
        let frames = self.extractor.frame_count(samples);
        if frames == 0 {
            let detail = shorter_than_a_frame(&self.options.features, utterance.duration);
            return Err(Refusal::new(id, Reason::ShorterThanAFrame, detail));
        }
        check_frames(&self.options, &id, &transcript.targets, frames)
    }

    /// Seconds of an utterance, or why training cannot use it.
    fn look_at(&self, place: Place) -> Result<Result<f64, Refusal>, LoaderError> {
        let source = &self.options.corpora[place.corpus].source;
        if self.options.infeasible == Infeasible::Keep {
            return Ok(Ok(source.duration(place.index)?));
        }
        let utterance = source.utterance(place.index)?;
        Ok(self.judge(place.corpus, &utterance).map(|()| utterance.duration))
    }

    /// The batches of one window, in the order of their delivery. Never empty: where all utterances are
    /// refused, one batch carries the refusals.
    pub(super) fn window(&self, epoch: u64, window: u64) -> Result<Vec<BatchPlan>, LoaderError> {
        let options = &*self.options;
        let begin = window * self.window_len();
        let last = window + 1 == self.windows();
        let end = if last { self.len() } else { begin + self.window_len() };
        let mut refused = Vec::new();
        let mut items: Vec<(f64, Item)> = Vec::new();
        for position in begin..end {
            let place = self.order.place(epoch, position);
            match self.look_at(place)? {
                Ok(duration) => {
                    let speed = self.factor(&options.speeds, Purpose::Speed, epoch, place);
                    let tempo = self.factor(&options.tempos, Purpose::Tempo, epoch, place);
                    items.push((duration / (speed * tempo), Item { place, speed, tempo }));
                }
                Err(refusal) => refused.push((place, refusal)),
            }
        }
        if options.shuffle {
            // Ascending, so that a last batch with fewer utterances holds the longest.
            items.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.place.key.cmp(&b.1.place.key)));
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
        let mut before = begin;
        for plan in &mut plans {
            plan.begins = before as f64 / self.len() as f64;
            before += (plan.items.len() + plan.refused.len()) as u64;
        }
        Ok(plans)
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
    fn factor(&self, factors: &[f64], purpose: Purpose, epoch: u64, place: Place) -> f64 {
        let key = [self.options.seed, epoch, purpose as u64, place.key];
        let drawn = Random::from_key(&key).below(factors.len() as u64) as usize;
        factors.get(drawn).copied().unwrap_or(1.0)
    }

    /// About how many steps an epoch has, from its first window.
    pub(super) fn about_steps_in_epoch(&self) -> Result<u64, LoaderError> {
        let plans = self.window(0, 0)?;
        let utterances: usize = plans.iter().map(|p| p.items.len() + p.refused.len()).sum();
        let batches = plans.len() as f64 * self.len() as f64 / utterances as f64;
        Ok((batches.round() as u64).div_ceil(self.options.rank.of as u64))
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

    /// The next batch of this rank. After an error the cursor is of no more use.
    pub(super) fn next_step(&mut self) -> Result<Step, LoaderError> {
        let rank = self.planner.options().rank;
        let mut own = BatchPlan { epoch: self.position.epoch, ..BatchPlan::default() };
        for number in 0..rank.of {
            match self.next_plan()? {
                Some(plan) => {
                    // All ranks are at the same place of the schedule.
                    let begins = if number == 0 { plan.begins } else { own.begins };
                    if number == rank.number {
                        own = plan;
                    }
                    own.begins = begins;
                }
                None if number == 0 => {
                    self.position = Position::start_of_epoch(self.position.epoch + 1);
                    return Ok(Step::EndOfEpoch { after: self.position });
                }
                None => break,
            }
        }
        Ok(Step::Batch { plan: own, after: self.position })
    }

    /// The next batch of the epoch, whoever loads it; `None` at the end.
    fn next_plan(&mut self) -> Result<Option<BatchPlan>, LoaderError> {
        loop {
            let Position { epoch, window, batch_in_window, .. } = self.position;
            if window >= self.planner.windows() {
                return Ok(None);
            }
            let plans = match &mut self.window {
                Some((e, w, plans)) if (*e, *w) == (epoch, window) => plans,
                other => {
                    let plans = self.planner.window(epoch, window)?;
                    &mut other.insert((epoch, window, plans)).2
                }
            };
            match plans.get_mut(batch_in_window as usize) {
                Some(plan) => {
                    // Each plan is taken once; what stays behind is empty.
                    let plan = std::mem::take(plan);
                    self.position.batch += 1;
                    self.position.batch_in_window += 1;
                    return Ok(Some(plan));
                }
                None => {
                    self.position.window += 1;
                    self.position.batch_in_window = 0;
                }
            }
        }
    }
}
