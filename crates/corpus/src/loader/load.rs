//! One batch from the disk: read, resample, change speed, sound, features, normalise, mask.

use super::frames::{FrameGrid, frame_targets, read_spoken, spoken_text};
use super::order::Place;
use super::plan::{BatchPlan, Item, Purpose};
use super::sound::{RateConverter, SoundStage, SoundWorker};
use super::{Batch, Infeasible, LoaderError, LoaderOptions, extractor, shorter_than_a_frame};
use crate::clip::ClipFault;
use crate::ledger::{Reason, Refusal};
use crate::manifest::Utterance;
use labyrinth_signal::{FeatureExtractor, FeatureOptions, Random, change_speed, change_tempo};
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
        let options = &*self.options;
        let refuse = options.infeasible == Infeasible::Refuse;
        let Place { corpus, index, key } = item.place;
        let source = &options.corpora[corpus].source;
        let utterance = source.utterance(index)?;
        let name = options.name(corpus, &utterance);
        let transcript = match options.framewise {
            Some(_) => Transcript::default(),
            None => transcript(options, &name, &utterance),
        };
        let known = transcript.refusal.as_ref().is_none_or(|r| r.reason == Reason::EmptyTranscript);
        if let (true, Some(refusal)) = (refuse, transcript.refusal) {
            return Ok(Err(refusal));
        }
        let audio = match or_refused(&name, source.audio(&utterance))? {
            Ok(audio) => audio,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(error) = options.features.check_rate(audio.sample_rate) {
            return Ok(Err(Refusal::new(name, Reason::SampleRate, error.to_string())));
        }
        let mut labels = match options.labels || options.framewise.is_some() {
            true => match or_refused(&name, source.labels(&utterance, audio.sample_rate))? {
                Ok(labels) => labels,
                Err(refusal) => return Ok(Err(refusal)),
            },
            false => None,
        };
        if let Some(framewise) = &options.framewise {
            let faults = match &labels {
                Some(track) => read_spoken(track, &framewise.track).err().map(|reason| {
                    let path = utterance.labels.as_deref().unwrap_or_default();
                    (Reason::UnusableLabels, format!("{path}: {reason}"))
                }),
                None => Some((Reason::MissingLabels, NO_TRACK.to_owned())),
            };
            if let Some((reason, detail)) = faults {
                return Ok(Err(Refusal::new(name, reason, detail)));
            }
        }
        let mut samples = self.rate.convert(audio.mono(), audio.sample_rate);
        let frames = self.extractor.frame_count(samples.len());
        if frames == 0 {
            let detail = shorter_than_a_frame(&options.features, audio.duration());
            return Ok(Err(Refusal::new(name, Reason::ShorterThanAFrame, detail)));
        }
        let targets = transcript.targets;
        let mut fits = check_frames(options, &name, &targets, frames);
        if let (true, Err(refusal)) = (refuse, &fits) {
            return Ok(Err(refusal.clone()));
        }
        if item.speed != 1.0 || item.tempo != 1.0 {
            let mut changed = change_speed(&samples, item.speed);
            if item.tempo != 1.0 {
                changed = change_tempo(&changed, item.tempo, self.extractor.sample_rate());
            }
            let frames = self.extractor.frame_count(changed.len());
            let changed_fits = check_frames(options, &name, &targets, frames);
            // Whoever speaks too fast for CTC only because we made it so is heard as recorded.
            if frames > 0 && (changed_fits.is_ok() || fits.is_err()) {
                samples = changed;
                fits = changed_fits;
                labels = labels.map(|track| track.scale(item.speed * item.tempo));
            }
        }
        let begin = batch.features.len();
        let random = |purpose| Random::from_key(&[options.seed, epoch, purpose as u64, key]);
        self.sound.apply(&mut samples, random)?;
        let drawn = random(Purpose::Warp).below(self.warped.len().max(1) as u64) as usize;
        let extractor = self.warped.get_mut(drawn).unwrap_or(&mut self.extractor);
        // Dither is the training's; an evaluation hears what recognition will, which has none.
        match options.infeasible {
            Infeasible::Refuse => {
                extractor.compute_for(&utterance.id, &samples, &mut batch.features);
            }
            Infeasible::Keep => extractor.compute(&samples, &mut batch.features),
        }
        let dim = self.extractor.dim();
        let features = &mut batch.features[begin..]; // [frames, dim]
        if let Some(filter) = &options.random_filter {
            filter.apply(features, dim, &mut random(Purpose::Filter));
        }
        options.features.normalize.apply(features, dim);
        if let Some(masks) = &options.spec_augment {
            masks.apply(features, dim, &mut random(Purpose::Masks));
        }
        let frames = features.len() / dim;
        batch.lengths.push(frames);
        let (mut targets, mut text) = (targets, transcript.text);
        if let (Some(framewise), Some(track)) = (&options.framewise, &labels) {
            let grid = FrameGrid::new(&options.features, framewise.stride);
            let spoken = read_spoken(track, &framewise.track).unwrap_or_default();
            let frames = (options.output_frames)(frames);
            batch.frame_targets.push(frame_targets(&spoken, &options.alphabet, grid, frames));
            text = spoken_text(&spoken);
            targets = options.alphabet.encode(&text).unwrap_or_default();
        }
        batch.ids.push(name);
        batch.places.push((corpus, index));
        batch.targets.push(targets);
        batch.texts.push(text);
        batch.labels.push(labels);
        batch.feasible.push(known && fits.is_ok());
        batch.seconds += audio.duration();
        Ok(Ok(()))
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
