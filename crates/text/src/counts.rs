//! Counts of errors, and the rates made of them.
//!
//! A rate over a corpus is the sum of the errors over the sum of the reference units, never a mean
//! of the rates of its utterances: one wrong of a one-word utterance and none wrong of 99 words are
//! one error in a hundred, 1 %, not 50 %.
//!
//! Book: book/src/wer.md

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::align::{Alignment, align, error_counts};

/// Errors of one utterance, or summed over many, in words or in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorCounts {
    /// Units taken for another.
    pub substitutions: usize,
    /// Units of the reference that are missing.
    pub deletions: usize,
    /// Units that the reference does not have.
    pub insertions: usize,
    /// Units of the reference.
    pub reference: usize,
}

impl ErrorCounts {
    /// Substitutions, deletions and insertions together.
    pub fn errors(&self) -> usize {
        self.substitutions + self.deletions + self.insertions
    }

    /// Units of the reference that were recognised.
    pub fn matches(&self) -> usize {
        self.reference - self.substitutions - self.deletions
    }

    /// Errors per reference unit. Insertions can take it above 1. `None` with an empty reference:
    /// nothing was said, so there is nothing to divide by; in a sum such an utterance counts with its
    /// insertions like any other.
    pub fn rate(&self) -> Option<f64> {
        (self.reference > 0).then(|| self.errors() as f64 / self.reference as f64)
    }
}

impl Add for ErrorCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        ErrorCounts {
            substitutions: self.substitutions + other.substitutions,
            deletions: self.deletions + other.deletions,
            insertions: self.insertions + other.insertions,
            reference: self.reference + other.reference,
        }
    }
}

impl AddAssign for ErrorCounts {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for ErrorCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

/// The words of a text: what stands between white space.
pub(crate) fn split_words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// The characters of a text: Unicode scalar values, **spaces included**, after runs of white space
/// became one space and those at the ends were dropped. A missed word boundary is thus one error.
pub(crate) fn split_characters(text: &str) -> Vec<char> {
    crate::normalize::collapse_spaces(text).chars().collect()
}

/// Aligns the words of two texts.
pub fn word_errors(reference: &str, hypothesis: &str) -> Alignment {
    align(&split_words(reference), &split_words(hypothesis))
}

/// Aligns the characters of two texts; a space between words counts as a character.
pub fn character_errors(reference: &str, hypothesis: &str) -> Alignment {
    align(&split_characters(reference), &split_characters(hypothesis))
}

/// The counts of [`word_errors`] alone.
pub(crate) fn word_counts(reference: &str, hypothesis: &str) -> ErrorCounts {
    error_counts(&split_words(reference), &split_words(hypothesis))
}

/// The counts of [`character_errors`] alone.
pub(crate) fn character_counts(reference: &str, hypothesis: &str) -> ErrorCounts {
    error_counts(&split_characters(reference), &split_characters(hypothesis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(reference: &str, hypothesis: &str) -> ErrorCounts {
        word_errors(reference, hypothesis).counts
    }

    #[test]
    fn one_wrong_in_a_hundred_words_is_one_percent_however_they_are_cut() {
        let ninety_nine = vec!["right"; 99].join(" ");
        let total = words("wrong", "rung") + words(&ninety_nine, &ninety_nine);
        assert_eq!((total.errors(), total.reference, total.matches()), (1, 100, 99));
        assert_eq!(total.rate(), Some(0.01));
        assert_eq!([words("wrong", "rung"); 3].into_iter().sum::<ErrorCounts>().errors(), 3);
    }

    #[test]
    fn empty_references_and_rates_above_one() {
        for (reference, hypothesis, errors, rate) in [
            ("", "", 0, None),
            (" ", "\t", 0, None),
            ("", "hum hum", 2, None),
            ("hum", "", 1, Some(1.0)),
            ("yes", "yes yes yes yes", 3, Some(3.0)),
            ("yes", "no no", 2, Some(2.0)),
        ] {
            let counts = words(reference, hypothesis);
            assert_eq!((counts.errors(), counts.rate()), (errors, rate), "{reference:?}");
        }
        // In a sum, insertions into silence count with the words of the others.
        let total = words("", "hum") + words("one two three four", "one two three four");
        assert_eq!(total.rate(), Some(0.25));
    }

    #[test]
    fn the_counts_alone_are_those_of_the_alignment() {
        let (reference, hypothesis) = ("no yes  yes no", "yes yes\tno so");
        assert_eq!(word_counts(reference, hypothesis), words(reference, hypothesis));
        assert_eq!(
            character_counts(reference, hypothesis),
            character_errors(reference, hypothesis).counts
        );
    }
}
