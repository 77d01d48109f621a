//! One batch from the disk: read, resample, change speed, sound, features, normalise, mask.

use super::frames::{ANY_RATE, FrameGrid, frame_targets, read_spoken, spoken_text};
use super::order::Place;
use super::plan::{BatchPlan, Item, Purpose};
use super::sound::{RateConverter, SoundStage, SoundWorker};
use super::{Batch, Infeasible, LoaderError, LoaderOptions, extractor, shorter_than_a_frame};
use crate::clip::ClipFault;
use crate::features::{StoredFeatures, StoredRows, stored_features};
use crate::labels::LabelTrack;
use crate::ledger::{Reason, Refusal};
use crate::manifest::Utterance;
use crate::source::Source;
use labyrinth_signal::{
    Audio, FeatureExtractor, FeatureOptions, Random, change_speed, change_tempo,
};
use labyrinth_text::ctc_minimum_frames;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A transcript, ready to learn from.
#[derive(Default)]
pub(super) struct Transcript {
    pub(super) text: String,
    /// Empty where the alphabet lacks a character.
    pub(super) targets: Vec<u32>,
    /// Why training cannot use it, if it cannot.
    pub(super) refusal: Option<Refusal>,
}

/// Normalises and encodes the transcript of the utterance that is called `name`.
pub(super) fn transcript(options: &LoaderOptions, name: &str, utterance: &Utterance) -> Transcript {
    let text = options.normalizer.apply(&utterance.text);
    let refusal = |reason, detail: String| Some(Refusal::new(name, reason, detail));
    let text = match options.lexicon.as_ref().map(|lexicon| (lexicon, lexicon.pronounce(&text))) {
        None => text,
        Some((_, Ok(phonemes))) => phonemes,
        Some((lexicon, Err(error))) => {
            let refusal = refusal(Reason::OutsideLexicon, error.to_string());
            let text = lexicon.pronounce_all(&text);
            return Transcript { text, targets: Vec::new(), refusal };
        }
    };
    match options.alphabet.encode(&text) {
        Err(error) => {
            let detail = error.to_string();
            let refusal = refusal(Reason::OutsideAlphabet, detail);
            Transcript { text, targets: Vec::new(), refusal }
        }
        Ok(targets) if targets.is_empty() => {
            let detail = format!("nothing is left of {:?} after normalisation", utterance.text);
            Transcript { text, targets, refusal: refusal(Reason::EmptyTranscript, detail) }
        }
        Ok(targets) => Transcript { text, targets, refusal: None },
    }
}

/// Why an utterance teaches nothing frame by frame.
pub(super) const NO_TRACK: &str = "its line in the manifest names no label track";

/// Refuses an utterance whose labels have no CTC path through the model's frames.
pub(super) fn check_frames(
    options: &LoaderOptions,
    name: &str,
    targets: &[u32],
    feature_frames: usize,
) -> Result<(), Refusal> {
    let frames = (options.output_frames)(feature_frames);
    let needed = ctc_minimum_frames(targets);
    if frames >= needed {
        return Ok(());
    }
    let detail = format!(
        "{} labels with {} repeated neighbours need {needed} frames, the model has {frames}",
        targets.len(),
        needed - targets.len()
    );
    Err(Refusal::new(name, Reason::TooShortForCtc, detail))
}

/// An extractor for each warp that may be drawn.
///
/// # Errors
/// [`LoaderError::Features`] names the warp that cannot be.
pub(super) fn warped_extractors(
    options: &LoaderOptions,
) -> Result<Vec<FeatureExtractor>, LoaderError> {
    let warped = |&vtln_warp: &f32| {
        let features = FeatureOptions { vtln_warp, ..options.features.clone() };
        Ok(FeatureExtractor::new(&features)?)
    };
    options.vtln_warps.iter().map(warped).collect()
}

/// What a worker works with.
pub(super) struct BatchLoader {
    options: Arc<LoaderOptions>,
    extractor: FeatureExtractor,
    // One for each of the options' warps: a filterbank is a small table.
    warped: Vec<FeatureExtractor>,
    rate: RateConverter,
    sound: SoundWorker,
    stored: StoredRows,
}

/// An utterance whose features lie at the end of the batch, not normalised yet.
struct Heard {
    labels: Option<LabelTrack>,
    /// Whether CTC can write the transcript in these frames.
    fits: bool,
    seconds: f64,
}

impl BatchLoader {
    pub(super) fn new(
        options: &Arc<LoaderOptions>,
        stage: &Arc<SoundStage>,
    ) -> Result<Self, LoaderError> {
        let extractor = extractor(options)?;
        Ok(Self {
            warped: warped_extractors(options)?,
            rate: RateConverter::new(extractor.sample_rate()),
            sound: SoundWorker::new(options, stage),
            stored: StoredRows::new(&options.features)?,
            options: Arc::clone(options),
            extractor,
        })
    }

    /// Loads the utterances of a plan; `cancelled` ends it early with whatever there is.
    pub(super) fn load(
        &mut self,
        plan: BatchPlan,
        cancelled: &AtomicBool,
    ) -> Result<Batch, LoaderError> {
        let mut batch = Batch { begins: plan.begins, ..Batch::default() };
        for (place, refusal) in plan.refused {
            batch.refuse(place, refusal);
        }
        for item in plan.items {
            if cancelled.load(Ordering::Relaxed) {
                break;
            }
            if let Err(refusal) = self.load_utterance(plan.epoch, item, &mut batch)? {
                batch.refuse(item.place, refusal);
            }
        }
        Ok(batch)
    }

    fn load_utterance(
        &mut self,
        epoch: u64,
        item: Item,
        batch: &mut Batch,
    ) -> Result<Result<(), Refusal>, LoaderError> {
        let options = Arc::clone(&self.options);
        let Place { corpus, index, key } = item.place;
        let source = &*options.corpora[corpus].source;
        let utterance = source.utterance(index)?;
        let name = options.name(corpus, &utterance);
        let transcript = match options.framewise {
            Some(_) => Transcript::default(),
            None => transcript(&options, &name, &utterance),
        };
        let known = transcript.refusal.as_ref().is_none_or(|r| r.reason == Reason::EmptyTranscript);
        let refuse = options.infeasible == Infeasible::Refuse;
        if let (true, Some(refusal)) = (refuse, transcript.refusal) {
            return Ok(Err(refusal));
        }
        let begin = batch.features.len();
        let random = |purpose| Random::from_key(&[options.seed, epoch, purpose as u64, key]);
        let subject = Subject { source, utterance: &utterance, name, targets: transcript.targets };
        let heard = match stored_features(&utterance) {
            Some(stored) => self.read_rows(&subject, &stored, batch)?,
            None => self.hear(&subject, &item, random, batch)?,
        };
        let Heard { labels, fits, seconds } = match heard {
            Ok(heard) => heard,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let dim = self.extractor.dim();
        let features = &mut batch.features[begin..]; // [frames, dim]
        if let Some(filter) = &options.random_filter {
            filter.apply(features, dim, &mut random(Purpose::Filter));
        }
        options.features.normalize.apply(features, dim);
        if let Some(masks) = &options.spec_augment {
            masks.apply(features, dim, options.features.views(), &mut random(Purpose::Masks));
        }
        let frames = features.len() / dim;
        batch.lengths.push(frames);
        let (mut targets, mut text) = (subject.targets, transcript.text);
        if let (Some(framewise), Some(track)) = (&options.framewise, &labels) {
            let grid = FrameGrid::new(&options.features, framewise.stride);
            let spoken = read_spoken(track, &framewise.track).unwrap_or_default();
            let frames = (options.output_frames)(frames);
            batch.frame_targets.push(frame_targets(&spoken, &options.alphabet, grid, frames));
            text = spoken_text(&spoken);
            targets = options.alphabet.encode(&text).unwrap_or_default();
        }
        batch.ids.push(subject.name);
        batch.places.push((corpus, index));
        batch.targets.push(targets);
        batch.texts.push(text);
        batch.labels.push(labels);
        batch.feasible.push(known && fits);
        batch.seconds += seconds;
        Ok(Ok(()))
    }

    /// Computes the features of the utterance's sound, changed as was drawn.
    fn hear(
        &mut self,
        subject: &Subject<'_>,
        item: &Item,
        random: impl Fn(Purpose) -> Random,
        batch: &mut Batch,
    ) -> Result<Result<Heard, Refusal>, LoaderError> {
        let options = &*self.options;
        let Subject { source, utterance, name, targets } = subject;
        let audio: Audio = match or_refused(name, source.audio(utterance))? {
            Ok(audio) => audio,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(error) = options.features.check_rate(audio.sample_rate) {
            return Ok(Err(Refusal::new(name, Reason::SampleRate, error.to_string())));
        }
        let mut labels = match subject.labels(options, audio.sample_rate)? {
            Ok(labels) => labels,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut samples = self.rate.convert(audio.mono(), audio.sample_rate);
        let frames = self.extractor.frame_count(samples.len());
        if frames == 0 {
            let detail = shorter_than_a_frame(&options.features, audio.duration());
            return Ok(Err(Refusal::new(name, Reason::ShorterThanAFrame, detail)));
        }
        let mut fits = check_frames(options, name, targets, frames);
        if let (Infeasible::Refuse, Err(refusal)) = (options.infeasible, &fits) {
            return Ok(Err(refusal.clone()));
        }
        if item.speed != 1.0 || item.tempo != 1.0 {
            let mut changed = change_speed(&samples, item.speed);
            if item.tempo != 1.0 {
                changed = change_tempo(&changed, item.tempo, self.extractor.sample_rate());
            }
            let frames = self.extractor.frame_count(changed.len());
            let changed_fits = check_frames(options, name, targets, frames);
            // Whoever speaks too fast for CTC only because we made it so is heard as recorded.
            if frames > 0 && (changed_fits.is_ok() || fits.is_err()) {
                samples = changed;
                fits = changed_fits;
                labels = labels.map(|track| track.scale(item.speed * item.tempo));
            }
        }
        self.sound.apply(&mut samples, &random)?;
        let drawn = random(Purpose::Warp).below(self.warped.len().max(1) as u64) as usize;
        let extractor = self.warped.get_mut(drawn).unwrap_or(&mut self.extractor);
        // Dither is the training's; an evaluation hears what recognition will, which has none.
        match options.infeasible {
            Infeasible::Refuse => {
                extractor.compute_for(&utterance.id, &samples, &mut batch.features);
            }
            Infeasible::Keep => extractor.compute(&samples, &mut batch.features),
        }
        Ok(Ok(Heard { labels, fits: fits.is_ok(), seconds: audio.duration() }))
    }

    /// Reads the features that a shard holds in the place of the utterance's sound.
    fn read_rows(
        &mut self,
        subject: &Subject<'_>,
        stored: &StoredFeatures,
        batch: &mut Batch,
    ) -> Result<Result<Heard, Refusal>, LoaderError> {
        let options = &*self.options;
        let Subject { source, utterance, name, targets } = subject;
        refuse_stored(options, &self.stored, *source, stored)?;
        // They are stored in seconds, whatever they were.
        let labels = match subject.labels(options, self.extractor.sample_rate())? {
            Ok(labels) => labels,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let fits = check_frames(options, name, targets, stored.frames);
        if let (Infeasible::Refuse, Err(refusal)) = (options.infeasible, &fits) {
            return Ok(Err(refusal.clone()));
        }
        let rows = match or_refused(name, source.features(utterance))? {
            Ok(rows) => rows,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.stored.append(&rows, &mut batch.features);
        Ok(Ok(Heard { labels, fits: fits.is_ok(), seconds: utterance.duration }))
    }
}

/// The utterance that is being loaded.
struct Subject<'a> {
    source: &'a dyn Source,
    utterance: &'a Utterance,
    name: String,
    targets: Vec<u32>,
}

impl Subject<'_> {
    /// Its label track, where such are wanted; one that frames cannot be named after is a refusal.
    fn labels(
        &self,
        options: &LoaderOptions,
        sample_rate: u32,
    ) -> Result<Result<Option<LabelTrack>, Refusal>, LoaderError> {
        if !options.labels && options.framewise.is_none() {
            return Ok(Ok(None));
        }
        let labels = match or_refused(&self.name, self.source.labels(self.utterance, sample_rate))?
        {
            Ok(labels) => labels,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(framewise) = &options.framewise else { return Ok(Ok(labels)) };
        let fault = match &labels {
            Some(track) => read_spoken(track, &framewise.track).err().map(|reason| {
                let path = self.utterance.labels.as_deref().unwrap_or_default();
                (Reason::UnusableLabels, format!("{path}: {reason}"))
            }),
            None => Some((Reason::MissingLabels, NO_TRACK.to_owned())),
        };
        Ok(match fault {
            Some((reason, detail)) => Err(Refusal::new(&self.name, reason, detail)),
            None => Ok(labels),
        })
    }
}

/// Refuses an utterance whose label track is missing or broken, where frames are named after it. The rate of its
/// recording is not known yet, so that what only that shows is found when it is loaded.
pub(super) fn judge_labels(
    options: &LoaderOptions,
    corpus: usize,
    utterance: &Utterance,
) -> Result<Result<(), Refusal>, LoaderError> {
    if options.framewise.is_none() {
        return Ok(Ok(()));
    }
    let (source, name) = (&*options.corpora[corpus].source, options.name(corpus, utterance));
    let subject = Subject { source, utterance, name, targets: Vec::new() };
    Ok(subject.labels(options, ANY_RATE)?.map(|_| ()))
}

/// Stops a loader that could not do with stored features what it is asked to: they are those of other
/// options, or something shall be done to their sound, which is not there.
pub(super) fn refuse_stored(
    options: &LoaderOptions,
    rows: &StoredRows,
    source: &dyn Source,
    stored: &StoredFeatures,
) -> Result<(), LoaderError> {
    rows.check(source.path(), stored)?;
    match options.acts_on_sound() {
        Some(key) => Err(LoaderError::NoSound { path: source.path().to_owned(), key }),
        None => Ok(()),
    }
}

/// Tells what one utterance is to blame for from what stops the run.
fn or_refused<T>(
    name: &str,
    read: Result<T, ClipFault>,
) -> Result<Result<T, Refusal>, LoaderError> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(ClipFault::Refused { reason, detail }) => Ok(Err(Refusal::new(name, reason, detail))),
        Err(ClipFault::Disk { path, source }) => Err(LoaderError::Disk { path, source }),
    }
}
