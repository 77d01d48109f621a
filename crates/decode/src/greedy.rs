//! Greedy CTC decoding: the best label of every frame, collapsed, then words with their times.
//!
//! CTC (Graves et al. 2006) lets many paths, one label or blank per frame, spell one transcript:
//! merge equal neighbours, then drop the blanks. In this order, since the blank between two equal
//! labels is what keeps them apart: `l l _ l` is `ll`, and `l l l` is `l`. The search takes the best
//! label of each frame and collapses that one path (section 3.2, "best path decoding"). It does not
//! sum the paths of a transcript, so the result need not be the most probable one; prefix beam
//! search is the remedy.
//!
//! Softmax keeps the order of the scores of a frame, so logits and log posteriors decode alike.
//!
//! Book: book/src/decoding.md

use labyrinth_text::{Alphabet, BLANK, Units};

/// A label that was read, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// The label, never the blank.
    pub label: u32,
    /// The first frame of its run.
    pub start: usize,
    /// The frame after its run.
    pub end: usize,
}

/// A word and when it was said. CTC peaks somewhere within a letter and leaves the rest to the
/// blank, so the times are those of the peaks: right to a few frames, and rather short.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Word {
    /// Its characters.
    pub text: String,
    /// The start of its first letter, in seconds.
    pub start: f64,
    /// The end of its last letter, in seconds.
    pub end: f64,
}

/// The tokens on the best path through `scores`, `[frames, labels]`: logits or log posteriors.
///
/// Of equal scores the lowest label is taken, and NaN loses against any number; a frame of nothing
/// but NaN or negative infinity is thus a blank. A score that is NaN is a fault of the model, which
/// shows as missing words here and is to be caught where the scores are made.
///
/// # Panics
///
/// If `labels` is 0 or `scores` is not a whole number of frames: a fault of the calling program.
// ANCHOR: greedy
pub fn greedy(scores: &[f32], labels: usize) -> Vec<Token> {
    assert!(
        labels > 0 && scores.len().is_multiple_of(labels),
        "{} scores are not a whole number of frames of {labels} labels",
        scores.len()
    );
    let mut tokens: Vec<Token> = Vec::new();
    let mut previous = BLANK;
    for (frame, scores) in scores.chunks_exact(labels).enumerate() {
        let label = best_label(scores);
        if label != BLANK {
            match tokens.last_mut() {
                Some(token) if label == previous => token.end = frame + 1,
                _ => tokens.push(Token { label, start: frame, end: frame + 1 }),
            }
        }
        previous = label;
    }
    tokens
}
// ANCHOR_END: greedy

/// The best label of each frame of `scores`, `[frames, labels]`, as [`greedy`] takes it.
pub fn best_labels(scores: &[f32], labels: usize) -> Vec<u32> {
    scores.chunks_exact(labels.max(1)).map(best_label).collect()
}

/// The label with the highest score of a frame, `[labels]`.
pub(crate) fn best_label(scores: &[f32]) -> u32 {
    let (mut best, mut label) = (f32::NEG_INFINITY, BLANK);
    for (candidate, &score) in scores.iter().enumerate() {
        // False for NaN, and for an equal score of a later label.
        if score > best {
            (best, label) = (score, candidate as u32);
        }
    }
    label
}

/// The text of tokens: one symbol each, spaces between characters as the model wrote them. A label
/// beyond the alphabet becomes U+FFFD.
pub fn text(tokens: &[Token], alphabet: &Alphabet) -> String {
    let labels: Vec<u32> = tokens.iter().map(|token| token.label).collect();
    alphabet.decode(&labels)
}

/// The words of tokens: what stands between spaces, or every token of an alphabet of words.
/// `seconds_per_frame` is the model's output frame
/// shift and `offset` the time of frame 0, both in seconds.
pub fn words(
    tokens: &[Token],
    alphabet: &Alphabet,
    seconds_per_frame: f64,
    offset: f64,
) -> Vec<Word> {
    let time = |frame: usize| offset + frame as f64 * seconds_per_frame;
    let mut words: Vec<Word> = Vec::new();
    let mut within_word = false;
    for token in tokens {
        let symbol = alphabet.symbol(token.label).unwrap_or("\u{fffd}");
        if symbol == " " {
            within_word = false;
            continue;
        }
        match words.last_mut() {
            Some(word) if within_word => {
                word.text.push_str(symbol);
                word.end = time(token.end);
            }
            _ => words.push(Word {
                text: symbol.to_owned(),
                start: time(token.start),
                end: time(token.end),
            }),
        }
        within_word = alphabet.units() == Units::Characters;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Scores whose best label in each frame is the one given. `[frames, labels]`
    fn scores(path: &[u32], labels: usize) -> Vec<f32> {
        let frame =
            |&best: &u32| (0..labels).map(move |l| if l == best as usize { 0.5 } else { -1.0 });
        path.iter().flat_map(frame).collect()
    }

    fn labels(tokens: &[Token]) -> Vec<u32> {
        tokens.iter().map(|token| token.label).collect()
    }

    #[test]
    fn collapses_repeats_and_then_drops_blanks() {
        for (path, expected) in [
            (&[][..], &[][..]),
            (&[0, 0, 0], &[]),
            (&[1], &[1]),
            (&[1, 1, 1], &[1]),
            (&[1, 0, 1], &[1, 1]),
            (&[1, 1, 0, 0, 1], &[1, 1]),
            (&[0, 1, 2, 2, 0, 2, 1, 0], &[1, 2, 2, 1]),
            (&[2, 1, 2], &[2, 1, 2]),
            // hello: without a blank between them the two l are one
            (&[3, 3, 0, 2, 4, 0, 4, 4, 5], &[3, 2, 4, 4, 5]),
            (&[3, 3, 0, 2, 4, 4, 4, 4, 5], &[3, 2, 4, 5]),
        ] {
            assert_eq!(labels(&greedy(&scores(path, 6), 6)), expected, "{path:?}");
        }
    }

    #[test]
    fn tokens_know_their_frames() {
        let token = |label, start, end| Token { label, start, end };
        assert_eq!(
            greedy(&scores(&[0, 2, 2, 0, 2, 1, 1, 1], 3), 3),
            [token(2, 1, 3), token(2, 4, 5), token(1, 5, 8)]
        );
    }

    #[test]
    fn ties_go_to_the_lowest_label_and_nan_to_none() {
        let (nan, low) = (f32::NAN, f32::NEG_INFINITY);
        for (frame, expected) in [
            ([0.25, 0.25, 0.25], &[][..]),
            ([0.0, 0.25, 0.25], &[1]),
            ([-0.0, 0.0, -1.0], &[]),
            ([nan, -3.0, nan], &[1]),
            ([nan, -3.0, -2.0], &[2]),
            ([7.0, nan, 7.0], &[]),
            ([nan, nan, nan], &[]),
            ([nan, low, low], &[]),
            ([low, low, low], &[]),
            ([low, f32::INFINITY, f32::INFINITY], &[1]),
        ] {
            assert_eq!(labels(&greedy(&frame, 3)), expected, "{frame:?}");
        }
    }

    #[test]
    #[should_panic(expected = "7 scores are not a whole number of frames of 3 labels")]
    fn a_torn_frame_is_a_fault_of_the_program() {
        greedy(&[0.0; 7], 3);
    }

    #[test]
    fn words_split_at_spaces_and_carry_times() {
        let alphabet = Alphabet::from_transcripts(Units::Characters, ["abc "].into_iter());
        // labels: 1 space, 2 a, 3 b, 4 c
        let path = [1, 0, 2, 2, 3, 0, 1, 1, 0, 1, 4, 4, 0, 1];
        let tokens = greedy(&scores(&path, alphabet.len()), alphabet.len());
        assert_eq!(text(&tokens, &alphabet), " ab  c ");
        let word = |text: &str, start, end| Word { text: text.to_owned(), start, end };
        assert_eq!(
            words(&tokens, &alphabet, 0.25, 10.0),
            [word("ab", 10.5, 11.25), word("c", 12.5, 13.0)]
        );
        assert_eq!(words(&[], &alphabet, 0.25, 0.0), []);
        let beyond = [Token { label: 9, start: 0, end: 1 }];
        assert_eq!(words(&beyond, &alphabet, 1.0, 0.0), [word("\u{fffd}", 0.0, 1.0)]);
    }

    #[test]
    fn a_token_of_an_alphabet_of_words_is_a_word() {
        let alphabet = Alphabet::from_transcripts(Units::Words, ["yes no"].into_iter());
        // labels: 1 no, 2 yes
        let tokens = greedy(&scores(&[0, 2, 2, 0, 2, 1, 1], alphabet.len()), alphabet.len());
        assert_eq!(text(&tokens, &alphabet), "yes yes no");
        let word = |text: &str, start, end| Word { text: text.to_owned(), start, end };
        assert_eq!(
            words(&tokens, &alphabet, 0.5, 0.0),
            [word("yes", 0.5, 1.5), word("yes", 2.0, 2.5), word("no", 2.5, 3.5)]
        );
    }

    proptest! {
        /// A path is made from labels by repeating frames, with a blank run before, between equal
        /// neighbours always and elsewhere sometimes; reading it gives the labels back.
        #[test]
        fn a_path_of_repeated_frames_gives_back_its_labels(
            steps in prop::collection::vec((1_u32..5, 1_usize..4, 0_usize..3), 0..20),
            trailing in 0_usize..3,
        ) {
            let mut path: Vec<u32> = Vec::new();
            let mut expected: Vec<Token> = Vec::new();
            for &(label, run, blanks) in &steps {
                let touching = expected.last().is_some_and(|token| token.label == label);
                path.extend(std::iter::repeat_n(BLANK, blanks.max(usize::from(touching))));
                let start = path.len();
                path.extend(std::iter::repeat_n(label, run));
                expected.push(Token { label, start, end: path.len() });
            }
            path.extend(std::iter::repeat_n(BLANK, trailing));
            prop_assert_eq!(greedy(&scores(&path, 5), 5), expected);
        }

        #[test]
        fn words_are_those_of_the_text(path in prop::collection::vec(0_u32..4, 0..30)) {
            let alphabet = Alphabet::from_transcripts(Units::Characters, ["ab "].into_iter());
            let tokens = greedy(&scores(&path, 4), 4);
            let (text, words) = (text(&tokens, &alphabet), words(&tokens, &alphabet, 0.5, 0.0));
            let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
            prop_assert_eq!(texts, text.split_whitespace().collect::<Vec<_>>());
            prop_assert!(words.iter().all(|word| word.start < word.end));
            prop_assert!(words.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }
}
