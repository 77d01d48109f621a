//! Whether one recogniser is better than another on the same recordings, or was lucky.
//!
//! Two intervals that overlap do not answer that: most of what makes them wide, hard and easy speakers, is
//! common to both. So the errors are compared **in pairs**: d = errors of B − errors of A of the same unit,
//! a speaker where there are at least eight, else an utterance (see [`crate::interval`] for why).
//!
//! - The **interval** of the difference of the rates: units are drawn with replacement, Σd / Σn of each of
//!   10,000 resamples, from the 250th smallest to the 250th largest (Bisani and Ney 2004, section 3).
//! - The **p-value**: were A and B equally good, each unit could as well have gone the other way round, so
//!   every d could have had the other sign. p is the share of all ways to set the signs whose |Σ ± d| reaches
//!   the one seen: all 2^k of them where k units differ and k is at most 16, else 10,000 drawn ones (Fisher
//!   1935, "the test of randomisation"). Nothing is assumed of how errors are distributed.
//!
//! Book: book/src/wer.md

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::counts::ErrorCounts;
use crate::interval::{FEWEST_SPEAKERS, Interval, RESAMPLES, Random, TAIL, resampled_rates};
use crate::score::UtteranceScore;

/// With so many units that differ, all ways to set their signs are counted.
const COUNTED: usize = 16;

/// The errors of both recognisers in one utterance.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedErrors {
    /// Who spoke, where known.
    pub speaker: Option<String>,
    /// Errors of A.
    pub a: ErrorCounts,
    /// Errors of B; of the same reference.
    pub b: ErrorCounts,
}

/// What B is beside A.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Rate of A; `None` where nothing was said.
    pub a: Option<f64>,
    /// Rate of B.
    pub b: Option<f64>,
    /// Rate of B minus rate of A: negative where B is better.
    pub difference: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// How often chance alone makes a difference as large, were both equally good; from 0 to 1.
    pub p_value: f64,
    /// How it was found, such as "all 1024 signs of 10 speakers that differ".
    pub test: String,
    /// Utterances in which B has fewer errors.
    pub better: usize,
    /// Utterances in which B has more errors.
    pub worse: usize,
    /// All utterances.
    pub utterances: usize,
}

/// Two lists of scores that are not of the same utterances.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotPaired {
    /// One has an utterance that the other lacks.
    #[error("utterance {id} stands in only one of both; score both on the same recordings")]
    Missing {
        /// The utterance.
        id: String,
    },
    /// The transcripts differ.
    #[error(
        "the reference of {id} is not the same in both (\"{a}\" and \"{b}\"); score both against the same transcripts"
    )]
    OtherReference {
        /// The utterance.
        id: String,
        /// Of A.
        a: String,
        /// Of B.
        b: String,
    },
}

/// Brings the scores of both together by id. `characters`: counts characters, not words.
///
/// # Errors
/// [`NotPaired`] where they are not of the same utterances with the same references.
pub fn pair_scores(
    a: &[UtteranceScore],
    b: &[UtteranceScore],
    characters: bool,
) -> Result<Vec<PairedErrors>, NotPaired> {
    let mut others: HashMap<&str, &UtteranceScore> =
        b.iter().map(|score| (score.id.as_str(), score)).collect();
    let mut pairs = Vec::with_capacity(a.len());
    let of = |score: &UtteranceScore| if characters { score.characters } else { score.words };
    for score in a {
        let id = || score.id.clone();
        let other = others.remove(score.id.as_str());
        let other = other.ok_or_else(|| NotPaired::Missing { id: id() })?;
        if score.reference != other.reference {
            let (a, b) = (score.reference.clone(), other.reference.clone());
            return Err(NotPaired::OtherReference { id: id(), a, b });
        }
        pairs.push(PairedErrors { speaker: score.speaker.clone(), a: of(score), b: of(other) });
    }
    match b.iter().find(|score| others.contains_key(score.id.as_str())) {
        Some(left) => Err(NotPaired::Missing { id: left.id.clone() }),
        None => Ok(pairs),
    }
}

/// Compares B with A. The same pairs in any order and the same seed give the same result.
pub fn compare(pairs: &[PairedErrors], seed: u64) -> Comparison {
    let sum = |of: fn(&PairedErrors) -> ErrorCounts| pairs.iter().map(of).sum::<ErrorCounts>();
    let (a, b) = (sum(|pair| pair.a), sum(|pair| pair.b));
    let (mut units, name) = units(pairs);
    // The order of the utterances in the file shall not move the result.
    units.sort_unstable();
    let (p_value, test) = signs(&units, name, seed);
    let errors = |counts: &ErrorCounts| counts.errors();
    Comparison {
        a: a.rate(),
        b: b.rate(),
        difference: (b.errors() as f64 - a.errors() as f64) / a.reference.max(1) as f64,
        interval: interval(&units, name, seed),
        p_value,
        test,
        better: pairs.iter().filter(|pair| errors(&pair.b) < errors(&pair.a)).count(),
        worse: pairs.iter().filter(|pair| errors(&pair.b) > errors(&pair.a)).count(),
        utterances: pairs.len(),
    }
}

/// (errors of B − errors of A, reference units) of each unit, and what a unit is.
fn units(pairs: &[PairedErrors]) -> (Vec<(i64, u64)>, &'static str) {
    let difference = |pair: &PairedErrors| pair.b.errors() as i64 - pair.a.errors() as i64;
    let mut speakers: BTreeMap<&str, (i64, u64)> = BTreeMap::new();
    let mut all_named = true;
    for pair in pairs {
        let Some(speaker) = pair.speaker.as_deref() else {
            all_named = false;
            break;
        };
        let unit = speakers.entry(speaker).or_default();
        unit.0 += difference(pair);
        unit.1 += pair.a.reference as u64;
    }
    if all_named && speakers.len() >= FEWEST_SPEAKERS {
        return (speakers.into_values().collect(), "speaker");
    }
    let each = pairs.iter().map(|pair| (difference(pair), pair.a.reference as u64));
    (each.collect(), "utterance")
}

/// The bootstrap interval of Σd / Σn.
fn interval(units: &[(i64, u64)], name: &str, seed: u64) -> Interval {
    if units.iter().all(|(_, reference)| *reference == 0) {
        let method = "no reference units: nothing was measured".to_owned();
        return Interval { low: -1.0, high: 1.0, method };
    }
    let differences = resampled_rates(units, seed);
    let method = format!("paired bootstrap over {} {name}s, {RESAMPLES} resamples", units.len());
    Interval { low: differences[TAIL - 1], high: differences[RESAMPLES - TAIL], method }
}

/// The p-value of the test of randomisation, and how it was found.
fn signs(units: &[(i64, u64)], name: &str, seed: u64) -> (f64, String) {
    let different: Vec<i64> = units.iter().map(|(d, _)| *d).filter(|d| *d != 0).collect();
    let seen = different.iter().sum::<i64>().abs();
    let count = different.len();
    let plural = if count == 1 { "" } else { "s" };
    if count == 0 {
        return (1.0, format!("no {name} differs"));
    }
    // ANCHOR: signs
    if count <= COUNTED {
        let ways = 1u32 << count;
        let reaching = (0..ways).filter(|signs| {
            let terms = different.iter().enumerate();
            let sum: i64 = terms.map(|(k, d)| if signs >> k & 1 == 1 { -d } else { *d }).sum();
            sum.abs() >= seen
        });
        let p = reaching.count() as f64 / f64::from(ways);
        return (p, format!("all {ways} signs of {count} {name}{plural} that differ"));
    }
    // ANCHOR_END: signs
    let mut random = Random(seed);
    let reaching = (0..RESAMPLES).filter(|_| {
        let sum: i64 =
            different.iter().map(|d| if random.next() >> 63 == 1 { -d } else { *d }).sum();
        sum.abs() >= seen
    });
    // The way that was seen counts as one of those drawn: p is never 0.
    let p = (reaching.count() + 1) as f64 / (RESAMPLES + 1) as f64;
    (p, format!("{RESAMPLES} drawn signs of {count} {name}{plural} that differ"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(errors: usize, reference: usize) -> ErrorCounts {
        let substitutions = errors.min(reference);
        ErrorCounts { substitutions, deletions: 0, insertions: errors - substitutions, reference }
    }

    fn pairs(errors: &[(usize, usize)], reference: usize) -> Vec<PairedErrors> {
        let pair = |&(a, b): &(usize, usize)| PairedErrors {
            speaker: None,
            a: counts(a, reference),
            b: counts(b, reference),
        };
        errors.iter().map(pair).collect()
    }

    #[test]
    fn the_same_twice_is_no_difference() {
        let same = compare(&pairs(&[(1, 1), (0, 0), (3, 3)], 5), 1);
        assert_eq!((same.difference, same.p_value, same.better, same.worse), (0.0, 1.0, 0, 0));
        assert_eq!((same.interval.low, same.interval.high), (0.0, 0.0));
        let nothing = compare(&[], 1);
        assert_eq!((nothing.a, nothing.p_value, nothing.utterances), (None, 1.0, 0));
    }

    /// Five utterances, each better by one: of the 32 ways only all-plus and all-minus reach 5.
    #[test]
    fn few_units_are_counted_in_full() {
        let five = compare(&pairs(&[(1, 0); 5], 4), 1);
        assert_eq!(five.p_value, 2.0 / 32.0);
        assert_eq!((five.difference, five.better, five.worse), (-0.25, 5, 0));
        // 3 + 1 - 1 = 3: of 8 ways |sum| >= 3 in 6 (5, 3, 3 and their negatives).
        let mixed = compare(&pairs(&[(0, 3), (0, 1), (1, 0), (2, 2)], 4), 1);
        assert_eq!(mixed.p_value, 6.0 / 8.0);
        assert_eq!(mixed.test, "all 8 signs of 3 utterances that differ");
    }

    /// Of 100 utterances 60 better and 40 worse by one: the sign test's normal approximation with
    /// correction gives p = 2 (1 - Phi(1.9)) = 0.0574.
    #[test]
    fn many_units_come_close_to_the_sign_test() {
        let errors: Vec<(usize, usize)> =
            (0..100).map(|i| if i < 60 { (1, 0) } else { (0, 1) }).collect();
        let result = compare(&pairs(&errors, 1), 5);
        assert!((result.p_value - 0.0574).abs() < 0.01, "{result:?}");
        // The difference is -0.2 with a standard deviation of sqrt(0.96 / 100).
        assert!((result.interval.low + 0.392).abs() < 0.02, "{result:?}");
    }

    #[test]
    fn eight_speakers_are_the_units() {
        let speaker = |i: usize| PairedErrors {
            speaker: Some(format!("s{}", i % 8)),
            a: counts(1, 2),
            b: counts(0, 2),
        };
        let result = compare(&(0..80).map(speaker).collect::<Vec<_>>(), 1);
        assert_eq!(result.p_value, 2.0 / 256.0);
        assert!(result.interval.method.contains("8 speakers"), "{}", result.interval.method);
    }

    #[test]
    fn only_the_same_utterances_are_compared() {
        let score = |id: &str, reference: &str| UtteranceScore {
            id: id.into(),
            speaker: None,
            reference: reference.into(),
            hypothesis: None,
            words: counts(1, 2),
            characters: counts(3, 9),
        };
        let a = [score("one", "a b"), score("two", "c")];
        let b = [score("two", "c"), score("one", "a b")];
        assert_eq!(pair_scores(&a, &b, true).unwrap()[0].b, counts(3, 9));
        let missing = |id: &str| NotPaired::Missing { id: id.into() };
        assert_eq!(pair_scores(&a, &b[..1], false), Err(missing("one")));
        assert_eq!(pair_scores(&a[..1], &b, false), Err(missing("two")));
        let other = [score("two", "c"), score("one", "a")];
        let error = pair_scores(&a, &other, false).unwrap_err().to_string();
        assert!(error.contains("\"a b\" and \"a\""), "{error}");
    }

    proptest! {
        #[test]
        fn who_is_called_a_turns_the_sign_alone(
            errors in prop::collection::vec((0usize..4, 0usize..4), 1..40),
            seed in any::<u64>(),
        ) {
            let there = compare(&pairs(&errors, 3), seed);
            let turned: Vec<(usize, usize)> = errors.iter().map(|&(a, b)| (b, a)).collect();
            let back = compare(&pairs(&turned, 3), seed);
            prop_assert_eq!(there.difference, -back.difference);
            prop_assert_eq!((there.better, there.worse), (back.worse, back.better));
            prop_assert!((there.p_value - back.p_value).abs() < 0.03);
            prop_assert!(there.p_value > 0.0 && there.p_value <= 1.0);
            prop_assert!(there.interval.low <= there.difference + 1e-12);
            prop_assert!(there.interval.high >= there.difference - 1e-12);
        }

        #[test]
        fn the_order_of_the_utterances_is_no_matter(
            errors in prop::collection::vec((0usize..4, 0usize..4), 1..40),
        ) {
            let mut reversed = errors.clone();
            reversed.reverse();
            prop_assert_eq!(compare(&pairs(&errors, 3), 2), compare(&pairs(&reversed, 3), 2));
        }
    }
}
