//! Scoring: a reference and a hypothesis file, or the pairs of an evaluation, to one report.
//!
//! Nothing improves a score by being left out: an utterance without a hypothesis counts as all
//! deletions and is listed, and a hypothesis without a reference is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::alphabet::Units;
use crate::counts::{ErrorCounts, character_counts, word_counts};
use crate::interval::{Interval, confidence_interval};
use crate::normalize::{Normalizer, NormalizerError, NormalizerOptions};
use crate::transcripts::{TranscriptError, TranscriptFormat, read_pair};

/// How two files are scored.
#[derive(Clone, PartialEq, Debug)]
pub struct ScoreOptions {
    /// The format of both files.
    pub format: TranscriptFormat,
    /// What both texts go through first. By default [`NormalizerOptions::spaces_only`]: case and
    /// punctuation count unless the caller says otherwise.
    pub normalizer: NormalizerOptions,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for ScoreOptions {
    fn default() -> Self {
        ScoreOptions {
            format: TranscriptFormat::Auto,
            normalizer: NormalizerOptions::spaces_only(),
            seed: 0,
        }
    }
}

/// One utterance to score.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Its name.
    pub id: String,
    /// Who spoke, where known.
    pub speaker: Option<String>,
    /// What was said, normalised.
    pub reference: String,
    /// What was recognised, normalised; `None` where there is nothing, which counts as an empty
    /// text and is listed as missing.
    pub hypothesis: Option<String>,
}

/// The score of one utterance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UtteranceScore {
    /// Its name.
    pub id: String,
    /// Who spoke, where known.
    pub speaker: Option<String>,
    /// What was said, as compared.
    pub reference: String,
    /// What was recognised, as compared; `None` where it is missing.
    pub hypothesis: Option<String>,
    /// Errors in words; in phonemes where the texts are phonemes, and then under that name in JSON.
    #[serde(alias = "phonemes")]
    pub words: ErrorCounts,
    /// Errors in characters, spaces included; in JSON left out where the texts are phonemes.
    #[serde(default)]
    pub characters: ErrorCounts,
}

/// The scores of a whole set. `to_string()` gives the summary, [`ScoreReport::alignments`] the
/// utterances; as JSON it holds all of it (a rate that is not defined is `null` there).
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ScoreReport {
    /// What the files were read as; `None` where the utterances came from memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<TranscriptFormat>,
    /// What stands between spaces in the texts. Where it is phonemes, the word error rate is the phoneme
    /// error rate, and characters mean nothing.
    #[serde(skip)]
    pub units: Units,
    /// Word error rate, over totals; 1.0 is 100 %. `None` where the reference has no words at all.
    pub wer: Option<f64>,
    /// Its 95 % interval.
    pub wer_interval: Interval,
    /// Character error rate, spaces included, over totals; `None` as above.
    pub cer: Option<f64>,
    /// Its 95 % interval.
    pub cer_interval: Interval,
    /// Errors in words, summed.
    pub words: ErrorCounts,
    /// Errors in characters, summed.
    pub characters: ErrorCounts,
    /// The ids without a hypothesis.
    pub missing: Vec<String>,
    /// Every utterance, in the order of the reference.
    pub utterances: Vec<UtteranceScore>,
}

/// Why two files could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// A fault of one of the files.
    #[error(transparent)]
    Transcripts(#[from] TranscriptError),
    /// A fault of the normaliser's options.
    #[error(transparent)]
    Normalizer(#[from] NormalizerError),
}

/// Scores a hypothesis file against a reference file.
pub fn score_files(
    reference: &Path,
    hypothesis: &Path,
    options: &ScoreOptions,
) -> Result<ScoreReport, ScoreError> {
    let normalizer = Normalizer::new(&options.normalizer)?;
    let (reference, hypothesis) = read_pair(reference, hypothesis, options.format)?;
    if reference.utterances.is_empty() {
        return Err(TranscriptError::Empty { path: reference.path }.into());
    }
    let mut recognised: BTreeMap<&str, &str> = BTreeMap::new();
    let ids: BTreeSet<&str> = reference.utterances.iter().map(|u| u.id.as_str()).collect();
    for utterance in &hypothesis.utterances {
        if ids.contains(utterance.id.as_str()) {
            recognised.insert(&utterance.id, &utterance.text);
        } else if hypothesis.format != TranscriptFormat::Plain || !utterance.text.trim().is_empty()
        {
            return Err(TranscriptError::UnknownId {
                hypothesis: hypothesis.path.clone(),
                line: utterance.line,
                id: utterance.id.clone(),
                reference: reference.path,
            }
            .into());
        }
    }
    let pairs = reference
        .utterances
        .iter()
        .map(|utterance| Pair {
            id: utterance.id.clone(),
            speaker: utterance.speaker.clone(),
            reference: normalizer.apply(&utterance.text),
            hypothesis: recognised.get(utterance.id.as_str()).map(|text| normalizer.apply(text)),
        })
        .collect();
    Ok(ScoreReport { format: Some(reference.format), ..score_pairs(pairs, options.seed) })
}

/// Scores utterances that are in memory. Texts are compared as they are given: normalise both first.
pub fn score_pairs(pairs: Vec<Pair>, seed: u64) -> ScoreReport {
    let utterances: Vec<UtteranceScore> = pairs
        .into_iter()
        .map(|Pair { id, speaker, reference, hypothesis }| {
            let written = hypothesis.as_deref().unwrap_or("");
            let words = word_counts(&reference, written);
            let characters = character_counts(&reference, written);
            UtteranceScore { id, speaker, reference, hypothesis, words, characters }
        })
        .collect();
    let interval = |counts: fn(&UtteranceScore) -> ErrorCounts| {
        let units: Vec<(Option<String>, ErrorCounts)> =
            utterances.iter().map(|u| (u.speaker.clone(), counts(u))).collect();
        confidence_interval(&units, seed)
    };
    let (wer_interval, cer_interval) = (interval(|u| u.words), interval(|u| u.characters));
    let words: ErrorCounts = utterances.iter().map(|u| u.words).sum();
    let characters: ErrorCounts = utterances.iter().map(|u| u.characters).sum();
    let missing =
        utterances.iter().filter(|u| u.hypothesis.is_none()).map(|u| u.id.clone()).collect();
    ScoreReport {
        format: None,
        units: Units::Words,
        wer: words.rate(),
        wer_interval,
        cer: characters.rate(),
        cer_interval,
        words,
        characters,
        missing,
        utterances,
    }
}
