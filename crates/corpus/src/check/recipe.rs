//! What a recipe adds to the checks: its alphabet, and how many frames its model has for the labels.

use super::error::CheckError;
use super::finding::{Finding, FindingKind, Severity};
use super::sound::Sound;
use super::survey::Set;
use crate::features::{StoredRows, stored_features};
use crate::loader::{LoaderError, OutputFrames, shorter_than_a_frame};
use labyrinth_signal::{CmnOptions, CmvnSource, FeatureExtractor, FeatureOptions};
use labyrinth_text::{Alphabet, Lexicon, Normalizer, ctc_minimum_frames};

/// What a recipe adds to the checks: its text and its frame rate.
#[derive(Clone)]
pub struct CheckContext {
    /// Of the recipe.
    pub normalizer: Normalizer,
    /// Of the recipe, or of the training set: see [`crate::training_alphabet`].
    pub alphabet: Alphabet,
    /// Of the recipe, where its units are phonemes.
    pub lexicon: Option<Lexicon>,
    /// Whether frames are learnt from label tracks, so that transcripts do not matter.
    pub framewise: bool,
    /// For the number of feature frames.
    pub features: FeatureOptions,
    /// Model frames from feature frames.
    pub output_frames: OutputFrames,
}

/// Unknown characters, transcripts that are too long for the recipe's frames, rates that its features
/// refuse.
pub(super) fn judge(
    context: &CheckContext,
    published: bool,
    sets: &[Set],
    findings: &mut Vec<Finding>,
) -> Result<(), CheckError> {
    let extractor = FeatureExtractor::new(&context.features).map_err(LoaderError::from)?;
    let rows = StoredRows::new(&context.features).map_err(LoaderError::from)?;
    statistics(context, &extractor, sets, findings);
    let severity = if published { Severity::Warning } else { Severity::Error };
    for set in sets {
        let mut foreign = None;
        for (utterance, sound) in set.manifest.utterances.iter().zip(&set.sounds) {
            let mut report = |kind, detail| {
                findings.push(Finding::of_one(severity, kind, &set.name, &utterance.id, detail));
            };
            let text = match context.framewise {
                true => String::new(),
                false => context.normalizer.apply(&utterance.text),
            };
            if !context.framewise && text.is_empty() && !utterance.text.trim().is_empty() {
                let detail = format!("nothing is left of {:?} after normalisation", utterance.text);
                report(FindingKind::EmptyTranscript, detail);
            }
            let text = match context.lexicon.as_ref().map(|lexicon| lexicon.pronounce(&text)) {
                None => text,
                Some(Ok(phonemes)) => phonemes,
                Some(Err(error)) => {
                    report(FindingKind::OutsideAlphabet, error.to_string());
                    continue;
                }
            };
            let labels = match context.alphabet.encode(&text) {
                Ok(labels) => labels,
                Err(error) => {
                    report(FindingKind::OutsideAlphabet, error.to_string());
                    continue;
                }
            };
            let fits = |feature_frames: usize| {
                let frames = (context.output_frames)(feature_frames);
                let needed = ctc_minimum_frames(&labels);
                (frames < needed).then(|| {
                    format!(
                        "{} labels with {} repeated neighbours need {needed} frames, the model has \
                         {frames}",
                        labels.len(),
                        needed - labels.len()
                    )
                })
            };
            if let Some(stored) = stored_features(utterance) {
                if let Err(mismatch) = rows.check(&set.manifest.path, &stored) {
                    foreign.get_or_insert(mismatch);
                } else if let Some(detail) = fits(stored.frames) {
                    report(FindingKind::TooShortForCtc, detail);
                }
                continue;
            }
            let Some(sound) = sound else { continue };
            let (rate, wanted) = (sound.sample_rate, extractor.sample_rate());
            let refused = rate > wanted && !context.features.allow_downsample
                || rate < wanted && !context.features.allow_upsample;
            if refused {
                let detail = format!("it has {rate} Hz, and the recipe takes {wanted} Hz alone");
                report(FindingKind::SampleRate, detail);
                continue;
            }
            let feature_frames = frames_of(&extractor, sound);
            if feature_frames == 0 {
                let detail = shorter_than_a_frame(&context.features, sound.seconds);
                report(FindingKind::ShorterThanAFrame, detail);
                continue;
            }
            if let Some(detail) = fits(feature_frames) {
                report(FindingKind::TooShortForCtc, detail);
            }
        }
        // Once for a set, whose shards were made in one go.
        if let Some(mismatch) = foreign {
            let (severity, kind) = (Severity::Error, FindingKind::ForeignFeatures);
            findings.push(Finding::of_set(severity, kind, &set.name, mismatch.to_string()));
        }
    }
    Ok(())
}

/// Feature frames of a recording, once it is resampled to the recipe's rate.
fn frames_of(extractor: &FeatureExtractor, sound: &Sound) -> usize {
    let samples = sound.seconds * f64::from(extractor.sample_rate()) + 1e-6;
    extractor.frame_count(samples.round() as usize)
}

/// Sums over so many more frames than the training set has hold others' frames too: rounding and the
/// handling of edges differ by less.
const MORE_FRAMES: f64 = 1.005;

/// Sums for normalisation that stand in a recipe must come from its training set alone; their count tells
/// where they do not. A part of the training set is enough.
fn statistics(
    context: &CheckContext,
    extractor: &FeatureExtractor,
    sets: &[Set],
    findings: &mut Vec<Finding>,
) {
    let stats = match &context.features.cmn {
        Some(CmnOptions::Global(options)) => &options.stats,
        Some(CmnOptions::Online(options)) => &options.stats,
        Some(CmnOptions::Sliding(_)) | None => return,
    };
    // What a recipe names as a file was read with it.
    let CmvnSource::Sums(stats) = stats else { return };
    let frames =
        |set: &Set| set.heard().map(|(_, sound)| frames_of(extractor, sound)).sum::<usize>();
    let Some(train) = sets.iter().find(|set| set.name == "train") else { return };
    let (training, all) = (frames(train), sets.iter().map(frames).sum::<usize>());
    if stats.count > MORE_FRAMES * training as f64 {
        let detail = format!(
            "the sums of the recipe's cmn are of {:.0} frames; the training set has {training}, all \
             sets together {all}",
            stats.count
        );
        let (severity, kind) = (Severity::Error, FindingKind::ForeignStatistics);
        findings.push(Finding::of_set(severity, kind, &train.name, detail));
    }
}
