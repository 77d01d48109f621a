//! Word error rate: the edit distance, the rate, its interval, and the comparison of two.

use labyrinth::signal::Random;
use labyrinth::text::{
    ErrorCounts, PairedErrors, align, compare, confidence_interval, error_counts, word_errors,
};

/// The least (errors, substitutions) of all alignments, tried one by one.
fn by_trying(reference: &[u8], hypothesis: &[u8]) -> (usize, usize) {
    let (Some((r, r_rest)), Some((h, h_rest))) =
        (reference.split_first(), hypothesis.split_first())
    else {
        return (reference.len() + hypothesis.len(), 0);
    };
    let wrong = usize::from(r != h);
    let (errors, substitutions) = by_trying(r_rest, h_rest);
    let paired = (errors + wrong, substitutions + wrong);
    let [deleted, inserted] = [by_trying(r_rest, hypothesis), by_trying(reference, h_rest)]
        .map(|(errors, substitutions)| (errors + 1, substitutions));
    paired.min(deleted).min(inserted)
}

#[test]
fn no_alignment_has_fewer_errors() {
    let mut random = Random::from_key(&[1]);
    let mut sequence = |longest: u64| {
        let length = random.below(longest + 1);
        (0..length).map(|_| random.below(3) as u8).collect::<Vec<_>>()
    };
    for _ in 0..400 {
        let (reference, hypothesis) = (sequence(6), sequence(6));
        let (errors, substitutions) = by_trying(&reference, &hypothesis);
        let counts = align(&reference, &hypothesis).counts;
        assert_eq!(error_counts(&reference, &hypothesis), counts);
        assert_eq!((counts.errors(), counts.substitutions), (errors, substitutions));
        // D - I = N - M and D + I = E - S.
        let (d, i) = (counts.deletions, counts.insertions);
        assert_eq!(d + hypothesis.len(), i + reference.len());
        assert_eq!(d + i, errors - substitutions);
    }
    let counts = word_errors("ERASE F O X K EIGHT", "ERASE X K EIGHT").counts;
    assert_eq!((counts.substitutions, counts.deletions, counts.insertions), (0, 2, 0));
}

fn counts(errors: usize, reference: usize) -> ErrorCounts {
    let substitutions = errors.min(reference);
    ErrorCounts { substitutions, deletions: 0, insertions: errors - substitutions, reference }
}

#[test]
fn the_rate_of_a_set_is_all_errors_over_all_words() {
    let utterances = ["YES", "NO", "ONE TWO THREE FOUR FIVE SIX", ""];
    let heard = ["YES YES YES YES", "", "ONE TWO TREE FOUR SIX", "HUM"];
    let scored = utterances.iter().zip(heard).map(|(r, h)| word_errors(r, h).counts);
    let total: ErrorCounts = scored.clone().sum();
    // 3 insertions, 1 deletion, 1 substitution and 1 deletion, 1 insertion, of 1 + 1 + 6 + 0 words.
    assert_eq!(total.rate(), Some(7.0 / 8.0));
    let rates: Vec<_> = scored.map(|counts| counts.rate()).collect();
    assert_eq!(rates, [Some(3.0), Some(1.0), Some(2.0 / 6.0), None]);
}

/// All ways to draw as many units as there are, each unit each time: their rates, sorted.
fn all_resamples(units: &[(f64, f64)]) -> Vec<f64> {
    let count = units.len();
    let mut rates: Vec<f64> = (0..count.pow(count as u32))
        .map(|number| {
            let drawn = (0..count).map(|place| units[number / count.pow(place as u32) % count]);
            let (errors, words) =
                drawn.fold((0.0, 0.0), |sum, unit| (sum.0 + unit.0, sum.1 + unit.1));
            errors / words
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    rates
}

/// `value` has a share of `share` of `rates` below it, as closely as 10,000 draws can tell.
fn at_quantile(rates: &[f64], value: f64, share: f64) -> bool {
    let below = rates.iter().filter(|&&r| r < value - 1e-12).count() as f64 / rates.len() as f64;
    let up_to = rates.iter().filter(|&&r| r <= value + 1e-12).count() as f64 / rates.len() as f64;
    below <= share + 0.006 && up_to >= share - 0.006
}

#[test]
fn the_interval_holds_95_of_100_resamples() {
    let utterances = [(1, 7), (4, 9), (0, 5), (2, 3), (3, 11)];
    let scored: Vec<_> =
        utterances.iter().map(|&(errors, words)| (None, counts(errors, words))).collect();
    let interval = confidence_interval(&scored, 3);
    let rates = all_resamples(&utterances.map(|(e, n)| (e as f64, n as f64)));
    assert!(at_quantile(&rates, interval.low, 0.025), "{interval:?}");
    assert!(at_quantile(&rates, interval.high, 0.975), "{interval:?}");
}

#[test]
fn without_errors_all_words_are_right_with_one_chance_in_forty() {
    for words in [5, 100, 4000] {
        let interval = confidence_interval(&[(None, counts(0, words))], 1);
        let p = 1.0 - 0.025f64.powf(1.0 / words as f64);
        assert!((interval.high - p).abs() < 1e-12 && interval.low == 0.0);
        assert!(words < 100 || (p * words as f64 - 3.69).abs() < 0.07, "{words}");
    }
}

#[test]
fn speakers_that_differ_make_the_interval_wide() {
    // p_s = p + d_s with a standard deviation tau; n words of each of so many speakers.
    let (p, tau, words, speakers) = (0.2, 0.06, 60, 40);
    let mut random = Random::from_key(&[2]);
    let (mut rates, mut widths) = (Vec::new(), Vec::new());
    for set in 0..300 {
        let mut scored = Vec::new();
        for speaker in 0..speakers {
            let own = p + tau * random.normal();
            let errors = (0..words).filter(|_| random.uniform() < own).count();
            scored.push((Some(format!("s{speaker}")), counts(errors, words)));
        }
        let total: ErrorCounts = scored.iter().map(|(_, counts)| *counts).sum();
        rates.push(total.rate().unwrap());
        let interval = confidence_interval(&scored, set);
        widths.push(interval.high - interval.low);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let all = (speakers * words) as f64;
    let variance = tau * tau / speakers as f64 + p * (1.0 - p) / all;
    let middle = mean(&rates);
    let seen = mean(&rates.iter().map(|rate| (rate - middle).powi(2)).collect::<Vec<_>>());
    // The standard deviation of a variance from 300 sets is 8 %.
    assert!((seen / variance - 1.0).abs() < 0.25, "{seen} {variance}");
    let width = mean(&widths) / (2.0 * 1.96 * variance.sqrt());
    assert!((0.9..1.05).contains(&width), "{width}");
    // Drawing words would have seen the second term alone.
    assert!(variance.sqrt() > 1.3 * (p * (1.0 - p) / all).sqrt());
}

/// Differences of the utterances, five words each.
fn pairs(differences: &[i64]) -> Vec<PairedErrors> {
    let pair =
        |&d: &i64| PairedErrors { speaker: None, a: counts(2, 5), b: counts((2 + d) as usize, 5) };
    differences.iter().map(pair).collect()
}

#[test]
fn p_is_the_share_of_signs_that_reach_what_was_seen() {
    fn reaching(rest: &[i64], sum: i64, seen: i64) -> usize {
        match rest.split_first() {
            None => usize::from(sum.abs() >= seen),
            Some((d, rest)) => reaching(rest, sum + d, seen) + reaching(rest, sum - d, seen),
        }
    }
    for differences in [&[1, 1, 1, -1, 2][..], &[3, -2, -2, 1, 0, 1], &[-1; 10], &[2, -2]] {
        let seen: i64 = differences.iter().sum::<i64>().abs();
        // A unit that does not differ doubles both counts.
        let expected = reaching(differences, 0, seen) as f64 / 2f64.powi(differences.len() as i32);
        assert_eq!(compare(&pairs(differences), 1).p_value, expected, "{differences:?}");
    }
    assert_eq!(compare(&pairs(&[1; 10]), 1).p_value, 2.0 / 1024.0);
}

#[test]
fn the_paired_interval_holds_95_of_100_resampled_differences() {
    let differences = [1, -2, 0, 3, 1];
    let found = compare(&pairs(&differences), 5);
    assert!((found.difference - 3.0 / 25.0).abs() < 1e-12);
    let rates = all_resamples(&differences.map(|d| (d as f64, 5.0)));
    assert!(at_quantile(&rates, found.interval.low, 0.025), "{found:?}");
    assert!(at_quantile(&rates, found.interval.high, 0.975), "{found:?}");
}
