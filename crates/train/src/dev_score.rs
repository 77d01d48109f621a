//! The dev set, recognised after each epoch: what it gives, and by what the best epoch is chosen.

use labyrinth_corpus::{IGNORED, Ledger, Loader, Position};
use labyrinth_decode::greedy::best_labels;
use labyrinth_decode::search;
use labyrinth_kernels::Cpu;
use labyrinth_kernels::cross_entropy::cross_entropy_batch;
use labyrinth_kernels::ctc::ctc_batch;
use labyrinth_nn::{Memory, Mode, Network, Objective, first_head};
use labyrinth_text::{
    ErrorCounts, Interval, Units, character_errors, confidence_interval, word_errors,
};
use serde::Serialize;

use crate::data::{Data, reference};
use crate::error::TrainError;
use crate::evaluate::INTERVAL_SEED;
use crate::recipe::TrainSection;

/// Utterances of a dev set for which each epoch has an interval.
const INTERVAL_UP_TO: usize = 2000;

/// What the dev set gave.
#[derive(Clone, Debug)]
pub struct DevScore {
    /// CTC loss per label, over the utterances that are feasible; of a framewise model its loss per frame.
    pub loss: f64,
    /// What stands between spaces: words, or phonemes.
    pub units: Units,
    /// Errors in words or phonemes. Of a framewise model: the labels of its frames, with equal neighbours
    /// as one and without silence, beside those of the track.
    pub words: ErrorCounts,
    /// The 95 % interval of their rate; absent for sets so large that it would take a while and be narrow.
    pub interval: Option<Interval>,
    /// Character errors; they mean nothing where the units are phonemes.
    pub characters: ErrorCounts,
    /// Frames, of a framewise model.
    pub frames: Option<FrameScore>,
    /// Share of the frames whose best label is the blank, or silence: near 1 while a model says nothing.
    pub blank_share: f64,
    /// What was recognised and what could not be used; the latter counts as all deletions.
    pub ledger: Ledger,
}

/// How many frames have the right label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FrameScore {
    /// Frames of the model's output.
    pub all: usize,
    /// Those whose best label is that of the track.
    pub correct: usize,
    /// Those whose label the alphabet lacks: they count as wrong.
    pub outside_alphabet: usize,
}

impl FrameScore {
    /// Adds the frames of one utterance: the best labels, and the targets.
    pub fn add(&mut self, best: &[u32], targets: &[u32]) {
        self.all += targets.len();
        self.correct += best.iter().zip(targets).filter(|(best, target)| best == target).count();
        let outside = targets.iter().filter(|&&target| target == IGNORED);
        self.outside_alphabet += outside.count();
    }

    /// The share of frames that are right; `None` without any frame.
    pub fn accuracy(&self) -> Option<f64> {
        (self.all > 0).then(|| self.correct as f64 / self.all as f64)
    }
}

impl DevScore {
    /// The scores by the names that they have in files; those that are not defined are left out.
    pub fn named_scores(&self) -> Vec<(String, f64)> {
        let characters = match self.units {
            Units::Phonemes => None,
            Units::Characters | Units::Words if self.frames.is_some() => None,
            Units::Characters | Units::Words => self.characters.rate(),
        };
        let accuracy = self.frames.and_then(|frames| frames.accuracy());
        let scores = [
            (dev_rate_key(self.units), self.words.rate()),
            ("dev-cer", characters),
            ("dev-frame-accuracy", accuracy),
            ("dev-loss", Some(self.loss)),
        ];
        scores.into_iter().filter_map(|(name, score)| Some((name.to_owned(), score?))).collect()
    }
}

/// What the error rate on dev is called in files.
pub(crate) fn dev_rate_key(units: Units) -> &'static str {
    match units {
        Units::Phonemes => "dev-per",
        Units::Characters | Units::Words => "dev-wer",
    }
}

/// Recognises the dev set greedily. An utterance whose audio is refused counts as all deletions.
pub(crate) fn score_dev(
    data: &Data,
    train: &TrainSection,
    workers: usize,
    cpu: Cpu,
    network: &Network<f32>,
    memory: &mut Memory<f32>,
) -> Result<DevScore, TrainError> {
    let options = data.options(&data.dev, train, workers);
    let mut loader = Loader::new(options, Position::default())?;
    let mut score = DevScore {
        loss: 0.0,
        units: data.alphabet.units(),
        words: ErrorCounts::default(),
        interval: None,
        characters: ErrorCounts::default(),
        frames: (data.goal.objective == Objective::Framewise).then(FrameScore::default),
        blank_share: 0.0,
        ledger: Ledger::new(),
    };
    let (mut feasible, mut blanks, mut frames) = (0usize, 0usize, 0usize);
    let mut each: Vec<(Option<String>, ErrorCounts)> = Vec::new();
    let labels = data.alphabet.len();
    while let Some(batch) = loader.next_batch()? {
        for (refusal, &(_, index)) in batch.refused.iter().zip(&batch.refused_places) {
            // Of a track that cannot be read nobody knows what it says.
            if data.goal.objective == Objective::Framewise {
                score.ledger.refuse(refusal.clone());
                continue;
            }
            let utterance = data.dev.utterance(index)?;
            let reference = reference(&data.normalizer, data.lexicon.as_deref(), &utterance.text);
            each.push((utterance.speaker.clone(), word_errors(&reference, "").counts));
            score.characters += character_errors(&reference, "").counts;
            score.ledger.refuse(refusal.clone());
        }
        if batch.is_empty() {
            continue;
        }
        network.forward(cpu, Mode::Inference, &batch.features, &batch.lengths, memory)?;
        let lengths = memory.output_shape().map(|s| s.lengths.clone()).unwrap_or_default();
        let logits = &*first_head(memory.output(), network.labels(), labels);
        let mut losses = vec![0.0; lengths.len()];
        let ones = vec![1.0; lengths.len()];
        match &mut score.frames {
            None => {
                let targets = &batch.targets;
                ctc_batch(cpu, logits, &lengths, labels, targets, &ones, &mut losses, None)?;
            }
            Some(frames) => {
                let targets = batch.frame_targets.concat();
                let outside = Some(IGNORED);
                let counted = cross_entropy_batch(
                    cpu,
                    logits,
                    &lengths,
                    labels,
                    &targets,
                    outside,
                    &ones,
                    &mut losses,
                    None,
                )?;
                // Per frame; an utterance without a single target has no loss.
                for (loss, counted) in losses.iter_mut().zip(counted.counted) {
                    *loss = if counted > 0 { *loss / counted as f32 } else { f32::NAN };
                }
                frames.add(&best_labels(logits, labels), &targets);
            }
        }
        let mut row = 0;
        for (index, &length) in lengths.iter().enumerate() {
            score.ledger.keep();
            let scores = &logits[row * labels..(row + length) * labels];
            row += length;
            let tokens = search(&data.model, scores, labels);
            let best: Vec<u32> = tokens.iter().map(|token| token.label).collect();
            let hypothesis = data.alphabet.decode(&best);
            let speaker = data.dev.utterance(batch.places[index].1)?.speaker.clone();
            each.push((speaker, word_errors(&batch.texts[index], &hypothesis).counts));
            score.characters += character_errors(&batch.texts[index], &hypothesis).counts;
            frames += length;
            let spoken: usize = tokens.iter().map(|token| token.end - token.start).sum();
            blanks += length - spoken;
            if losses[index].is_finite() {
                let parts = match score.frames {
                    None => batch.targets[index].len().max(1),
                    Some(_) => 1,
                };
                score.loss += f64::from(losses[index]) / parts as f64;
                feasible += 1;
            }
        }
    }
    score.words = each.iter().map(|(_, counts)| *counts).sum();
    if each.len() <= INTERVAL_UP_TO {
        score.interval = Some(confidence_interval(&each, INTERVAL_SEED));
    }
    score.loss = if feasible == 0 { f64::MAX } else { score.loss / feasible as f64 };
    score.blank_share = blanks as f64 / frames.max(1) as f64;
    Ok(score)
}
