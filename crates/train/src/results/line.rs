//! Several records as one line: seeds of the same recipe, or speakers held out in turn.

use labyrinth_text::{ErrorCounts, Interval, confidence_interval};
use serde::{Deserialize, Serialize};

use super::{Record, SEED};

/// A rate over one or several trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figure {
    /// All errors over all that was said: the mean of the trials' rates where their test sets are equally long.
    pub mean: f64,
    /// Least and greatest of them.
    pub spread: (f64, f64),
    /// 95 % interval of the mean: over utterances or speakers, with the errors of seeds added up.
    pub interval: (f64, f64),
    /// How that was made.
    pub method: String,
    /// Trials.
    pub trials: usize,
}

impl Figure {
    /// The words (or phonemes) that are wrong, or with `characters` those.
    ///
    /// `None` without records, or where one of them has no rate.
    pub fn of(records: &[Record], characters: bool) -> Option<Self> {
        let rate = |record: &Record| match characters {
            true => record.character_rate,
            false => record.rate,
        };
        let rates = records.iter().map(rate).collect::<Option<Vec<f64>>>()?;
        let low = rates.iter().copied().reduce(f64::min)?;
        let high = rates.iter().copied().reduce(f64::max)?;
        let counts = added_up(records, characters);
        let all: ErrorCounts = counts.iter().map(|(_, counts)| *counts).sum();
        let Interval { low: from, high: to, method } = confidence_interval(&counts, SEED);
        Some(Self {
            mean: all.rate()?,
            spread: (low, high),
            interval: (from, to),
            method,
            trials: rates.len(),
        })
    }

    /// Whether a rate lies in the interval.
    pub fn holds(&self, rate: f64) -> bool {
        // Rates are shares of whole numbers: what is meant to be equal may differ in the last bit.
        (self.interval.0 - 1e-12..=self.interval.1 + 1e-12).contains(&rate)
    }
}

/// Errors of each utterance, with its speaker.
type Counted = Vec<(Option<String>, ErrorCounts)>;

/// Errors of each utterance: those of the same test set added up, those of others one after another.
fn added_up(records: &[Record], characters: bool) -> Counted {
    let mut sets: Vec<(&str, Counted)> = Vec::new();
    for record in records {
        let counts = record.counts(characters);
        match sets.iter_mut().find(|(contents, _)| *contents == record.test.contents) {
            Some((_, sums)) => {
                sums.iter_mut().zip(counts).for_each(|(sum, (_, more))| sum.1 += more);
            }
            None => sets.push((&record.test.contents, counts)),
        }
    }
    sets.into_iter().flat_map(|(_, counts)| counts).collect()
}
