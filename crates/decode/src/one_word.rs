//! The most probable transcript of exactly one word: what a model of keywords says to a clip of one word.
//!
//! The probability that CTC gives to the transcript of a single label w is the sum over all paths of blanks,
//! then a run of w, then blanks (Graves et al. 2006, section 4.1, for one label). With y the posteriors and
//! three running sums, of the paths that are still before the run (b), within it (w) and behind it (a):
//!
//! ```text
//! a ← (a + w) · y[blank],   w ← (w + b) · y[w],   b ← b · y[blank]
//! ```
//!
//! The word with the largest w + a at the end is the best transcript among all of one word, by the very
//! measure that training minimised. Greedy search would give none where the blank is best everywhere, or two.
//!
//! Book: book/src/decoding.md

use labyrinth_nn::ModelOptions;
use labyrinth_text::BLANK;

use crate::greedy::{Token, greedy};

/// The labels of one recording, as its model's options ask for them: the one best word, or what greedy search
/// finds.
///
/// # Panics
///
/// As [`greedy`].
pub fn search(model: &ModelOptions, scores: &[f32], labels: usize) -> Vec<Token> {
    match model.one_word() {
        true => one_word(scores, labels).into_iter().collect(),
        false => greedy(scores, labels),
    }
}

/// The best single label for `scores`, `[frames, labels]` of logits, with the frames around its peak; none
/// without frames, or without any label but the blank. Of equal labels the first is taken.
///
/// # Panics
///
/// If `labels` is 0 or `scores` is not a whole number of frames: a fault of the calling program.
pub fn one_word(scores: &[f32], labels: usize) -> Option<Token> {
    assert!(
        labels > 0 && scores.len().is_multiple_of(labels),
        "{} scores are not a whole number of frames of {labels} labels",
        scores.len()
    );
    let posteriors: Vec<f64> = scores.chunks_exact(labels).flat_map(log_softmax).collect();
    let mut best: Option<(f64, usize)> = None;
    for label in 0..labels {
        if label == BLANK as usize || posteriors.is_empty() {
            continue;
        }
        let score = log_probability(&posteriors, labels, label);
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, label));
        }
    }
    let (_, label) = best?;
    // The run around the frame where the word is surest, as far as it is half as probable.
    let at = |frame: usize| posteriors[frame * labels + label];
    let frames = posteriors.len() / labels;
    let peak = (0..frames).fold(0, |peak, frame| if at(frame) > at(peak) { frame } else { peak });
    let within = |frame: &usize| at(*frame) >= at(peak) - std::f64::consts::LN_2;
    let before = (0..peak).rev().take_while(within).count();
    let behind = (peak + 1..frames).take_while(within).count();
    Some(Token { label: label as u32, start: peak - before, end: peak + 1 + behind })
}

/// Logarithms of the posteriors of one frame.
fn log_softmax(frame: &[f32]) -> Vec<f64> {
    let largest = frame.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let largest = f64::from(if largest.is_finite() { largest } else { 0.0 });
    let sum: f64 = frame.iter().map(|&score| (f64::from(score) - largest).exp()).sum();
    frame.iter().map(|&score| f64::from(score) - largest - sum.ln()).collect()
}

/// ln(eᵃ + eᵇ).
fn add(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

// ANCHOR: one_word
fn log_probability(posteriors: &[f64], labels: usize, label: usize) -> f64 {
    let (mut before, mut within, mut behind) = (0.0, f64::NEG_INFINITY, f64::NEG_INFINITY);
    for frame in posteriors.chunks_exact(labels) {
        let blank = frame[BLANK as usize];
        behind = add(behind, within) + blank;
        within = add(within, before) + frame[label];
        before += blank;
    }
    add(within, behind)
}
// ANCHOR_END: one_word

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All paths of so many frames over so many labels, as numbers in that base.
    fn by_brute_force(posteriors: &[f64], labels: usize, label: usize) -> f64 {
        let frames = posteriors.len() / labels;
        let mut sum = 0.0;
        for path in 0..labels.pow(frames as u32) {
            let steps: Vec<usize> =
                (0..frames).map(|frame| path / labels.pow(frame as u32) % labels).collect();
            let mut collapsed = steps.clone();
            collapsed.dedup();
            collapsed.retain(|&step| step != BLANK as usize);
            if collapsed == [label] {
                let terms = steps.iter().enumerate();
                sum += terms.map(|(f, &s)| posteriors[f * labels + s]).sum::<f64>().exp();
            }
        }
        sum.ln()
    }

    proptest! {
        #[test]
        fn the_probability_is_that_of_all_paths(
            scores in prop::collection::vec(-4f32..4.0, 1..6).prop_flat_map(|v| {
                let frames = v.len();
                prop::collection::vec(-4f32..4.0, frames * 3)
            })
        ) {
            let posteriors: Vec<f64> = scores.chunks_exact(3).flat_map(log_softmax).collect();
            let all: Vec<f64> = (1..3).map(|label| by_brute_force(&posteriors, 3, label)).collect();
            for label in 1..3 {
                let found = log_probability(&posteriors, 3, label);
                prop_assert!((found - all[label - 1]).abs() < 1e-9, "{found} {all:?}");
            }
            let wanted = if all[1] > all[0] { 2 } else { 1 };
            prop_assert_eq!(one_word(&scores, 3).unwrap().label, wanted);
        }
    }

    #[test]
    fn a_word_below_the_blank_is_heard_all_the_same() {
        // The blank is best in every frame; label 2 comes nearest, in frames 1 and 2.
        let scores = [9.0, 0.0, 0.0, 9.0, 1.0, 5.0, 9.0, 1.0, 5.1, 9.0, 2.0, 0.0];
        assert!(crate::greedy::greedy(&scores, 3).is_empty());
        assert_eq!(one_word(&scores, 3), Some(Token { label: 2, start: 1, end: 3 }));
        assert_eq!(one_word(&[], 3), None);
        assert_eq!(one_word(&[1.0, 2.0], 1), None);
    }
}
