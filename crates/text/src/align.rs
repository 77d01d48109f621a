//! Edit alignment of a reference and a hypothesis, with ties broken by a rule that fixes the counts.
//!
//! The number of errors is the edit distance (Levenshtein 1966; Wagner and Fischer 1974): the
//! fewest substitutions, deletions and insertions, one each, that turn the reference into the
//! hypothesis. How these errors split is *not* fixed by it: `a b` against `b c` is two
//! substitutions, or one deletion and one insertion. So the tie order is part of the definition:
//!
//! 1. the fewest errors;
//! 2. among these the fewest substitutions, that is, the most units recognised.
//!
//! With `N` reference and `M` hypothesis units, `D - I = N - M` always. So the number of errors `E`
//! and the number of substitutions `S` give `D + I = E - S` and with it all three counts: they are
//! a property of the two sequences and not of the order in which a program looked at them.
//! Alignments may still differ in where the errors stand; from left to right, the first of match or
//! substitution, deletion, insertion that keeps the optimum is taken, so that a unit is matched as
//! early as possible.
//!
//! Both rules together are the least cost when a substitution costs `(1, 1)`, a deletion or an
//! insertion `(1, 0)`, added by component and compared in dictionary order: one dynamic programme
//! over pairs, here held in one integer.
//!
//! Book: book/src/wer.md

use crate::counts::ErrorCounts;

/// One step of an alignment, with the positions it speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// The two units are equal.
    Match {
        /// Position in the reference.
        reference: usize,
        /// Position in the hypothesis.
        hypothesis: usize,
    },
    /// One unit was taken for another.
    Substitution {
        /// Position in the reference.
        reference: usize,
        /// Position in the hypothesis.
        hypothesis: usize,
    },
    /// A unit of the reference has no partner.
    Deletion {
        /// Position in the reference.
        reference: usize,
    },
    /// A unit of the hypothesis has no partner.
    Insertion {
        /// Position in the hypothesis.
        hypothesis: usize,
    },
}

/// The steps from left to right, and their counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alignment {
    /// Each reference and each hypothesis position exactly once, in order.
    pub operations: Vec<Operation>,
    /// How many of each.
    pub counts: ErrorCounts,
}

// A cost is `errors << 32 | substitutions`: comparing integers compares the pairs.
const GAP: u64 = 1 << 32;
const SUBSTITUTION: u64 = (1 << 32) | 1;

const DIAGONAL: u8 = 0;
const DELETION: u8 = 1;
const INSERTION: u8 = 2;

/// The costs of aligning `reference[i..]` with `hypothesis[j..]`, a row of `j` for one `i`, from the
/// row of `i + 1`. Calls `choose(j, move)` with the first best move in the stated order.
// ANCHOR: step_row
fn step_row<T: PartialEq>(
    unit: &T,
    hypothesis: &[T],
    below: &[u64],   // [hypothesis + 1]
    row: &mut [u64], // [hypothesis + 1]
    mut choose: impl FnMut(usize, u8),
) {
    let end = hypothesis.len();
    row[end] = below[end] + GAP;
    choose(end, DELETION);
    for j in (0..end).rev() {
        let diagonal = below[j + 1] + if *unit == hypothesis[j] { 0 } else { SUBSTITUTION };
        let (deletion, insertion) = (below[j] + GAP, row[j + 1] + GAP);
        let (best, chosen) = if diagonal <= deletion && diagonal <= insertion {
            (diagonal, DIAGONAL)
        } else if deletion <= insertion {
            (deletion, DELETION)
        } else {
            (insertion, INSERTION)
        };
        row[j] = best;
        choose(j, chosen);
    }
}
// ANCHOR_END: step_row

/// The last row: nothing of the reference is left, so all that remains is inserted.
fn last_row(hypothesis: usize) -> Vec<u64> {
    (0..=hypothesis).rev().map(|left| left as u64 * GAP).collect()
}

/// Aligns two sequences by the rule of this module.
///
/// Takes time and memory proportional to the product of the two lengths (one byte a pair); where
/// only the counts matter, [`error_counts`] needs one row.
pub fn align<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> Alignment {
    let (rows, columns) = (reference.len(), hypothesis.len() + 1);
    let mut moves = vec![INSERTION; rows * columns]; // [reference, hypothesis + 1]
    let mut below = last_row(hypothesis.len());
    let mut row = below.clone();
    for (i, unit) in reference.iter().enumerate().rev() {
        let chosen = &mut moves[i * columns..][..columns];
        step_row(unit, hypothesis, &below, &mut row, |j, best| chosen[j] = best);
        std::mem::swap(&mut row, &mut below);
    }

    let mut operations = Vec::with_capacity(reference.len().max(hypothesis.len()));
    let mut counts = ErrorCounts { reference: reference.len(), ..ErrorCounts::default() };
    let (mut i, mut j) = (0, 0);
    while i < reference.len() || j < hypothesis.len() {
        let chosen = if i < reference.len() { moves[i * columns + j] } else { INSERTION };
        match chosen {
            DIAGONAL if reference[i] == hypothesis[j] => {
                operations.push(Operation::Match { reference: i, hypothesis: j });
            }
            DIAGONAL => {
                operations.push(Operation::Substitution { reference: i, hypothesis: j });
                counts.substitutions += 1;
            }
            DELETION => {
                operations.push(Operation::Deletion { reference: i });
                counts.deletions += 1;
            }
            _ => {
                operations.push(Operation::Insertion { hypothesis: j });
                counts.insertions += 1;
            }
        }
        i += usize::from(chosen != INSERTION);
        j += usize::from(chosen != DELETION);
    }
    Alignment { operations, counts }
}

/// The counts of [`align`] without the alignment, in memory for one row.
///
/// They follow from the cost alone: it holds `E` and `S`, and `D + I = E - S`, `D - I = N - M`.
pub fn error_counts<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> ErrorCounts {
    let mut below = last_row(hypothesis.len());
    let mut row = below.clone();
    for unit in reference.iter().rev() {
        step_row(unit, hypothesis, &below, &mut row, |_, _| {});
        std::mem::swap(&mut row, &mut below);
    }
    let errors = (below[0] >> 32) as usize;
    let substitutions = (below[0] & u64::from(u32::MAX)) as usize;
    let gaps = errors - substitutions;
    // 2D = (D + I) + (D - I); the additions come first, so nothing goes below zero.
    let deletions = (gaps + reference.len() - hypothesis.len()) / 2;
    ErrorCounts {
        substitutions,
        deletions,
        insertions: gaps - deletions,
        reference: reference.len(),
    }
}
