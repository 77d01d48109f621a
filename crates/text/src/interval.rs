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
//!
//! Book: book/src/wer.md

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::counts::ErrorCounts;

pub(crate) const RESAMPLES: usize = 10_000;
/// How many resamples lie outside the interval at each end: 2.5 %.
pub(crate) const TAIL: usize = RESAMPLES / 40;
/// With fewer speakers than this their resamples say little about other speakers.
pub(crate) const FEWEST_SPEAKERS: usize = 8;

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
    let units: Vec<(i64, u64)> =
        units.iter().map(|counts| (counts.errors() as i64, counts.reference as u64)).collect();
    let rates = resampled_rates(&units, seed);
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

/// Σ errors / Σ reference of each resample of `units`, (errors, reference units), from the smallest to the
/// largest. Units hold at least one reference unit between them; errors may be differences of errors.
// ANCHOR: resample
pub(crate) fn resampled_rates(units: &[(i64, u64)], seed: u64) -> Vec<f64> {
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
    rates.sort_unstable_by(f64::total_cmp);
    rates
}
// ANCHOR_END: resample

/// SplitMix64 (Steele, Lea and Flood 2014): a counter and a bijective mixing of its bits. Small
/// enough to stand here, so that this crate needs no other for its one use of chance.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Below `bound`, by the high half of a product: the bias is below `bound / 2^64`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(errors: usize, reference: usize) -> ErrorCounts {
        let substitutions = errors.min(reference);
        let insertions = errors - substitutions;
        ErrorCounts { substitutions, deletions: 0, insertions, reference }
    }

    type Utterances = Vec<(Option<String>, ErrorCounts)>;

    /// One utterance per pair of speaker and errors, each of `reference` words.
    fn spoken(utterances: &[(&str, usize)], reference: usize) -> Utterances {
        let utterance = |&(speaker, errors): &(&str, usize)| {
            (Some(speaker.to_owned()), counts(errors, reference))
        };
        utterances.iter().map(utterance).collect()
    }

    fn anonymous(errors: &[usize], reference: usize) -> Utterances {
        errors.iter().map(|&errors| (None, counts(errors, reference))).collect()
    }

    const SPEAKERS: [&str; 8] = ["ada", "bo", "cy", "di", "ed", "flo", "gus", "hal"];

    #[test]
    fn eight_speakers_are_drawn_and_seven_are_not() {
        let eight: Vec<_> = SPEAKERS.iter().flat_map(|&s| [(s, 1), (s, 0)]).collect();
        let method = |utterances: &Utterances| confidence_interval(utterances, 1).method;
        let mut utterances = spoken(&eight, 4);
        assert_eq!(method(&utterances), "bootstrap over 8 speakers, 10000 resamples");
        assert_eq!(
            method(&utterances[..14].to_vec()),
            "bootstrap over 14 utterances, 10000 resamples"
        );
        utterances[5].0 = None;
        assert_eq!(method(&utterances), "bootstrap over 16 utterances, 10000 resamples");
    }

    /// Eight speakers, one word each, one of them wrong: the rate of a resample is k / 8 with k
    /// binomial(8, 1/8). P(k = 0) = 0.344, P(k >= 3) = 0.067 and P(k >= 4) = 0.011, so the interval
    /// is exactly 0 to 3/8.
    #[test]
    fn percentiles_of_a_distribution_known_in_full() {
        let utterances: Vec<_> = SPEAKERS.iter().map(|&s| (s, usize::from(s == "cy"))).collect();
        for seed in 0..20 {
            let interval = confidence_interval(&spoken(&utterances, 1), seed);
            assert_eq!((interval.low, interval.high), (0.0, 0.375), "seed {seed}");
        }
    }

    /// 400 independent words, 40 of them wrong: the normal approximation gives 0.1 +- 0.0294.
    #[test]
    fn many_utterances_come_close_to_the_normal_approximation() {
        let errors: Vec<usize> = (0..400).map(|i| usize::from(i % 10 == 0)).collect();
        let interval = confidence_interval(&anonymous(&errors, 1), 7);
        assert!((interval.low - 0.0706).abs() < 0.004, "{interval:?}");
        assert!((interval.high - 0.1294).abs() < 0.004, "{interval:?}");
    }

    /// All errors are one speaker's: who is drawn matters far more than which utterance.
    #[test]
    fn errors_of_one_speaker_widen_the_interval() {
        let utterances: Vec<_> = SPEAKERS
            .iter()
            .flat_map(|&s| std::iter::repeat_n((s, usize::from(s == "flo")), 25))
            .collect();
        let by_speaker = confidence_interval(&spoken(&utterances, 1), 3);
        let errors: Vec<usize> = utterances.iter().map(|&(_, errors)| errors).collect();
        let by_utterance = confidence_interval(&anonymous(&errors, 1), 3);
        let width = |interval: &Interval| interval.high - interval.low;
        assert!(width(&by_speaker) > 3.0 * width(&by_utterance), "{by_speaker:?} {by_utterance:?}");
    }

    #[test]
    fn a_speaker_is_one_unit_however_its_words_are_cut() {
        let whole: Vec<_> = SPEAKERS.iter().enumerate().map(|(i, &s)| (s, i)).collect();
        let mut parts = Utterances::new();
        for (i, speaker) in SPEAKERS.iter().enumerate() {
            parts.push((Some(speaker.to_string()), counts(i, i)));
            parts.push((Some(speaker.to_string()), counts(0, 20 - i)));
        }
        assert_eq!(confidence_interval(&spoken(&whole, 20), 5), confidence_interval(&parts, 5));
    }

    #[test]
    fn seed_decides_and_order_does_not() {
        let mut utterances = anonymous(&(0..60).map(|i| i * i % 7).collect::<Vec<_>>(), 11);
        let interval = confidence_interval(&utterances, 1);
        assert_eq!(interval, confidence_interval(&utterances, 1));
        let unit = |counts: &ErrorCounts| (counts.errors() as i64, counts.reference as u64);
        let units: Vec<_> = utterances.iter().map(|(_, counts)| unit(counts)).collect();
        assert_ne!(resampled_rates(&units, 1), resampled_rates(&units, 2));
        utterances.rotate_left(23);
        utterances.swap(4, 40);
        assert_eq!(interval, confidence_interval(&utterances, 1));
    }

    #[test]
    fn no_errors_get_the_exact_bound() {
        for words in [1, 10, 232, 100_000] {
            let interval = confidence_interval(&anonymous(&[0, 0], words), 1);
            assert_eq!((interval.low, interval.method.as_str()), (0.0, "exact binomial bound"));
            let all_right = (1.0 - interval.high).powf(2.0 * words as f64);
            assert!((all_right - 0.025).abs() < 1e-9, "{words}: {interval:?}");
        }
        let hundred = confidence_interval(&anonymous(&[0], 100), 1);
        assert!((hundred.high - 0.036217).abs() < 1e-6, "{hundred:?}");
    }

    #[test]
    fn empty_references_leave_it_finite() {
        let nothing = confidence_interval(&[], 1);
        assert_eq!((nothing.low, nothing.high), (0.0, 1.0));
        assert_eq!(confidence_interval(&anonymous(&[3, 1], 0), 1), nothing);
        let mut mixed = anonymous(&[2, 0, 1], 0);
        mixed.push((None, counts(1, 4)));
        let interval = confidence_interval(&mixed, 1);
        assert!(0.0 <= interval.low && interval.low < interval.high, "{interval:?}");
        assert!(interval.high.is_finite(), "{interval:?}");
    }

    #[test]
    fn rates_above_one_and_a_single_utterance() {
        let above = confidence_interval(&anonymous(&[9, 4, 6, 5], 3), 1);
        assert!(above.low > 1.0 && above.high > above.low, "{above:?}");
        let single = confidence_interval(&anonymous(&[1], 4), 1);
        assert_eq!((single.low, single.high), (0.25, 0.25));
        assert_eq!(single.method, "bootstrap over 1 utterance, which has no width");
    }

    #[test]
    fn draws_are_uniform() {
        let mut random = Random(11);
        let mut hits = [0_i32; 7];
        for _ in 0..70_000 {
            hits[random.below(7)] += 1;
        }
        // Standard deviation 93.
        assert!(hits.iter().all(|&hits| (hits - 10_000).abs() < 400), "{hits:?}");
    }
}
