//! Alignment against its definition by brute force, and against jiwer and kaldialign.

use labyrinth_text::{ErrorCounts, Operation, align, character_errors, error_counts, word_errors};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

/// One line of the file that `golden/make_alignments.py` writes.
#[derive(Deserialize)]
struct Case {
    reference: String,
    hypothesis: String,
    jiwer_word_errors: usize,
    jiwer_character_errors: usize,
    kaldialign_words: ErrorCounts,
    kaldialign_characters: ErrorCounts,
}

#[test]
fn agrees_with_jiwer_and_kaldialign() {
    let golden: Golden = serde_json::from_str(include_str!("golden/alignments.json")).unwrap();
    let (mut splits, mut equal_splits) = (0, 0);
    for case in golden.cases {
        let (reference, hypothesis) = (&case.reference, &case.hypothesis);
        for (ours, jiwer_errors, kaldialign) in [
            (word_errors(reference, hypothesis), case.jiwer_word_errors, case.kaldialign_words),
            (
                character_errors(reference, hypothesis),
                case.jiwer_character_errors,
                case.kaldialign_characters,
            ),
        ] {
            let ours = ours.counts;
            assert_eq!(ours.errors(), jiwer_errors, "{reference} / {hypothesis}");
            assert_eq!(ours.errors(), kaldialign.errors(), "{reference} / {hypothesis}");
            assert_eq!(ours.reference, kaldialign.reference, "{reference} / {hypothesis}");
            assert!(ours.substitutions <= kaldialign.substitutions, "{reference} / {hypothesis}");
            splits += 1;
            equal_splits += usize::from(ours == kaldialign);
        }
    }
    // In the other three kaldialign's search meets a split with more substitutions first.
    assert_eq!((equal_splits, splits), (233, 236));
}

/// The least `(errors, substitutions)` by trying every alignment.
fn brute_force(reference: &[u8], hypothesis: &[u8]) -> (usize, usize) {
    let add = |(errors, substitutions): (usize, usize), extra: (usize, usize)| {
        (errors + extra.0, substitutions + extra.1)
    };
    match (reference.split_first(), hypothesis.split_first()) {
        (None, _) => (hypothesis.len(), 0),
        (_, None) => (reference.len(), 0),
        (Some((r, reference_rest)), Some((h, hypothesis_rest))) => {
            let here = if r == h { (0, 0) } else { (1, 1) };
            let diagonal = add(brute_force(reference_rest, hypothesis_rest), here);
            let deletion = add(brute_force(reference_rest, hypothesis), (1, 0));
            let insertion = add(brute_force(reference, hypothesis_rest), (1, 0));
            diagonal.min(deletion).min(insertion)
        }
    }
}

fn sequence(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..3, 0..longest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn counts_are_the_least_by_brute_force(reference in sequence(7), hypothesis in sequence(7)) {
        let counts = align(&reference, &hypothesis).counts;
        prop_assert_eq!(
            (counts.errors(), counts.substitutions),
            brute_force(&reference, &hypothesis)
        );
        // Errors and substitutions fix the rest.
        prop_assert_eq!(
            counts.deletions + hypothesis.len(),
            counts.insertions + reference.len()
        );
        prop_assert_eq!(counts.reference, reference.len());
    }

    #[test]
    fn counts_do_not_depend_on_the_direction(reference in sequence(20), hypothesis in sequence(20)) {
        let counts = error_counts(&reference, &hypothesis);
        let reversed = |sequence: &[u8]| sequence.iter().rev().copied().collect::<Vec<_>>();
        prop_assert_eq!(counts, error_counts(&reversed(&reference), &reversed(&hypothesis)));
        let swapped = error_counts(&hypothesis, &reference);
        prop_assert_eq!(
            (counts.substitutions, counts.deletions, counts.insertions),
            (swapped.substitutions, swapped.insertions, swapped.deletions)
        );
    }

    #[test]
    fn operations_walk_both_sequences_and_carry_the_counts(
        reference in sequence(20),
        hypothesis in sequence(20),
    ) {
        let alignment = align(&reference, &hypothesis);
        prop_assert_eq!(alignment.counts, error_counts(&reference, &hypothesis));
        let mut counts = ErrorCounts { reference: reference.len(), ..ErrorCounts::default() };
        let (mut i, mut j) = (0, 0);
        for operation in alignment.operations {
            match operation {
                Operation::Match { reference: at, hypothesis: to } => {
                    prop_assert_eq!((at, to), (i, j));
                    prop_assert_eq!(reference[at], hypothesis[to]);
                    (i, j) = (i + 1, j + 1);
                }
                Operation::Substitution { reference: at, hypothesis: to } => {
                    prop_assert_eq!((at, to), (i, j));
                    prop_assert_ne!(reference[at], hypothesis[to]);
                    counts.substitutions += 1;
                    (i, j) = (i + 1, j + 1);
                }
                Operation::Deletion { reference: at } => {
                    prop_assert_eq!(at, i);
                    counts.deletions += 1;
                    i += 1;
                }
                Operation::Insertion { hypothesis: to } => {
                    prop_assert_eq!(to, j);
                    counts.insertions += 1;
                    j += 1;
                }
            }
        }
        prop_assert_eq!((i, j), (reference.len(), hypothesis.len()));
        prop_assert_eq!(counts, alignment.counts);
    }
}

#[test]
fn the_tie_order_is_as_stated() {
    let letters = |reference: &str, hypothesis: &str| -> String {
        word_errors(reference, hypothesis)
            .operations
            .iter()
            .map(|operation| match operation {
                Operation::Match { .. } => '=',
                Operation::Substitution { .. } => 'S',
                Operation::Deletion { .. } => 'D',
                Operation::Insertion { .. } => 'I',
            })
            .collect()
    };
    for (reference, hypothesis, expected) in [
        ("", "", ""),
        ("a b", "", "DD"),
        ("", "a b", "II"),
        ("a b", "b c", "D=I"), // rather than SS: one word more is recognised
        ("a b", "b a", "D=I"), // rather than I=D: a deletion goes before an insertion
        ("a a", "a", "=D"),    // matched as early as possible
        ("a", "a a", "=I"),
        ("a b", "c", "SD"), // a substitution goes before a deletion
        ("a", "c d", "SI"),
        ("a b c d", "a c d e", "=D==I"),
    ] {
        assert_eq!(letters(reference, hypothesis), expected, "{reference} / {hypothesis}");
    }
}

#[test]
fn spaces_are_characters_and_only_one_between_words() {
    let counts = character_errors("up  right\t now ", " upright now").counts;
    assert_eq!((counts.deletions, counts.errors(), counts.reference), (1, 1, 12));
}
