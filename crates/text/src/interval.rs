//! The 95 % confidence interval of an error rate.
//!
//! **Bootstrap** (Efron 1979; for word error rates Bisani and Ney 2004). The words of one speaker
//! are wrong together: an accent or a microphone spoils many at once. So the units that are drawn
//! are the speakers, wherever there are at least eight; with fewer, or where an utterance has no
//! speaker, they are the utterances, and the interval is then too narrow for a new speaker, which is
//! why `method` says what was drawn. One resample draws as many units as there are, with
//! replacement, and divides the sum of their errors by the sum of their reference units; the
//! interval reaches from the 250th smallest to the 250th largest of 10,000 such rates. A resample
//! without any reference unit has no rate and is drawn again.
//!
//! **No errors at all** would give every resample the rate 0 and an interval of no width. Then the
//! exact bound of Clopper and Pearson (1934) stands in: the largest error probability `p` for which
//! `n` independent words all come out right with a probability of at least 2.5 %,
//! `(1 - p)^n = 0.025`, so `p = 1 - 0.025^(1/n)`, about `3.69 / n`. It is the two-sided bound, with
//! 2.5 % and not 5 % in the tail, so that it means the same as the upper end of the intervals it
//! stands beside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counts::ErrorCounts;

const RESAMPLES: usize = 10_000;
/// How many resamples lie outside the interval at each end: 2.5 %.
const TAIL: usize = RESAMPLES / 40;
/// With fewer speakers than this their resamples say little about other speakers.
const FEWEST_SPEAKERS: usize = 8;

/// A 95 % confidence interval of an error rate; 1.0 is 100 %.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The lower end; finite.
    pub low: f64,
    /// The upper end; finite.
    pub high: f64,
    /// How it was made, such as "bootstrap over 10 speakers, 10000 resamples".
    pub method: String,
}

/// The interval of the rate of `utterances`, each with its speaker where that is known.
///
/// The same utterances in any order and the same seed give the same interval. Takes time
/// proportional to the number of speakers or utterances drawn, times 10,000.
pub fn confidence_interval(utterances: &[(Option<String>, ErrorCounts)], seed: u64) -> Interval {
    let total: ErrorCounts = utterances.iter().map(|(_, counts)| *counts).sum();
    if total.reference == 0 {
        let method = "no reference units: nothing was measured".to_owned();
        return Interval { low: 0.0, high: 1.0, method };
    }
    if total.errors() == 0 {
        let high = 1.0 - 0.025_f64.powf(1.0 / total.reference as f64);
        return Interval { low: 0.0, high, method: "exact binomial bound".to_owned() };
    }

    let (mut units, name) = match by_speaker(utterances) {
        Some(speakers) => (speakers, "speaker"),
        None => (utterances.iter().map(|(_, counts)| *counts).collect(), "utterance"),
    };
    // The order of the utterances in the file shall not move the interval.
    units.sort_unstable_by_key(|counts| (counts.reference, counts.errors()));
    let mut rates = resampled_rates(&units, seed);
    rates.sort_unstable_by(f64::total_cmp);
    let method = match units.len() {
        1 => format!("bootstrap over 1 {name}, which has no width"),
        count => format!("bootstrap over {count} {name}s, {RESAMPLES} resamples"),
    };
    Interval { low: rates[TAIL - 1], high: rates[RESAMPLES - TAIL], method }
}

/// The sums per speaker, if every utterance has one and they are at least eight.
fn by_speaker(utterances: &[(Option<String>, ErrorCounts)]) -> Option<Vec<ErrorCounts>> {
    let mut speakers: BTreeMap<&str, ErrorCounts> = BTreeMap::new();
    for (speaker, counts) in utterances {
        *speakers.entry(speaker.as_deref()?).or_default() += *counts;
    }
    (speakers.len() >= FEWEST_SPEAKERS).then(|| speakers.into_values().collect())
}

/// The rates of the resamples. `units` hold at least one reference unit between them.
fn resampled_rates(units: &[ErrorCounts], seed: u64) -> Vec<f64> {
    let units: Vec<(u64, u64)> =
        units.iter().map(|counts| (counts.errors() as u64, counts.reference as u64)).collect();
    let mut random = Random(seed);
    let mut rates = Vec::with_capacity(RESAMPLES);
    while rates.len() < RESAMPLES {
        let (mut errors, mut reference) = (0, 0);
        for _ in 0..units.len() {
            let (unit_errors, unit_reference) = units[random.below(units.len())];
            errors += unit_errors;
            reference += unit_reference;
        }
        if reference > 0 {
            rates.push(errors as f64 / reference as f64);
        }
    }
    rates
}

/// SplitMix64 (Steele, Lea and Flood 2014): a counter and a bijective mixing of its bits. Small
/// enough to stand here, so that this crate needs no other for its one use of chance.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Below `bound`, by the high half of a product: the bias is below `bound / 2^64`.
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
