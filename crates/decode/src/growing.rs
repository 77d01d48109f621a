//! Greedy CTC decoding frame by frame: words as soon as nothing can change them.
//!
//! The same path, collapsed in the same way, as [`greedy`](crate::greedy()) and [`words`](crate::words) take
//! over a whole recording: each frame's best label depends on that frame alone, so what was said once stands.
//! A word is finished where the space behind it begins, or where the next word does; until then it is what
//! has been spelt of it so far.
//!
//! Book: book/src/decoding.md

use labyrinth_text::{Alphabet, BLANK, Units};

use crate::greedy::{Word, best_label};

/// The words of one recording while its scores come in.
#[derive(Clone, Debug)]
pub struct GrowingWords {
    seconds_per_frame: f64,
    offset: f64,
    /// Frames so far.
    frame: usize,
    /// The label of the last frame, blanks among them.
    previous: u32,
    /// The word that may still grow.
    current: Option<Word>,
}

impl GrowingWords {
    /// Nothing heard yet. `seconds_per_frame` is the model's output frame shift and `offset` the time of frame
    /// 0, both in seconds.
    pub fn new(seconds_per_frame: f64, offset: f64) -> Self {
        Self { seconds_per_frame, offset, frame: 0, previous: BLANK, current: None }
    }

    fn time(&self, frame: usize) -> f64 {
        self.offset + frame as f64 * self.seconds_per_frame
    }

    /// Takes the scores of the next frame and returns the word that they finish, if they do. Only the labels
    /// of `alphabet` count, the first of `scores`.
    pub fn push(&mut self, scores: &[f32], alphabet: &Alphabet) -> Option<Word> {
        let label = best_label(&scores[..alphabet.len().min(scores.len())]);
        let (repeated, frame) = (label == self.previous, self.frame);
        (self.previous, self.frame) = (label, frame + 1);
        let words = alphabet.units() != Units::Characters;
        if label == BLANK {
            // A word that is one label ends with its run.
            return if words { self.current.take() } else { None };
        }
        let symbol = alphabet.symbol(label).unwrap_or("\u{fffd}");
        let [start, end] = [self.time(frame), self.time(frame + 1)];
        match &mut self.current {
            _ if symbol == " " => self.current.take(),
            Some(word) if repeated => {
                word.end = end;
                None
            }
            Some(word) if !words => {
                word.text.push_str(symbol);
                word.end = end;
                None
            }
            current => current.replace(Word { text: symbol.to_owned(), start, end }),
        }
    }

    /// What has been spelt of the word that may still grow.
    pub fn partial(&self) -> Option<&Word> {
        self.current.as_ref()
    }

    /// Frames so far.
    pub fn frames(&self) -> usize {
        self.frame
    }

    /// Ends the recording: the last word, if it is not out yet. Begins anew.
    pub fn finish(&mut self) -> Option<Word> {
        (self.frame, self.previous) = (0, BLANK);
        self.current.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greedy::{greedy, words};
    use proptest::prelude::*;

    fn scores(path: &[u32], labels: usize) -> Vec<f32> {
        let frame =
            |&best: &u32| (0..labels).map(move |l| if l == best as usize { 0.5 } else { -1.0 });
        path.iter().flat_map(frame).collect()
    }

    #[test]
    fn a_word_is_out_when_nothing_can_change_it() {
        let alphabet = Alphabet::from_transcripts(Units::Characters, ["abc "].into_iter());
        // labels: 1 space, 2 a, 3 b, 4 c
        let path = [0, 2, 2, 3, 0, 1, 1, 4];
        let mut growing = GrowingWords::new(0.5, 0.0);
        let mut seen = Vec::new();
        for frame in scores(&path, alphabet.len()).chunks(alphabet.len()) {
            let word = growing.push(frame, &alphabet).map(|word| word.text);
            let partial = growing.partial().map(|word| word.text.clone());
            seen.push([word, partial].map(Option::unwrap_or_default).join("|"));
        }
        assert_eq!(seen, ["|", "|a", "|a", "|ab", "|ab", "ab|", "|", "|c"]);
        assert_eq!(growing.frames(), 8);
        assert_eq!(growing.finish(), Some(Word { text: "c".into(), start: 3.5, end: 4.0 }));
        assert_eq!((growing.frames(), growing.finish()), (0, None));
    }

    proptest! {
        #[test]
        fn the_words_are_those_of_the_whole(
            path in prop::collection::vec(0u32..4, 0..40),
            units in prop::sample::select(vec![Units::Characters, Units::Words]),
        ) {
            let transcript = match units { Units::Characters => "ab ", _ => "one two three" };
            let alphabet = Alphabet::from_transcripts(units, [transcript].into_iter());
            let labels = alphabet.len() + 1;
            // Beside a score that is none of the alphabet's, and wins.
            let scores: Vec<f32> = scores(&path, alphabet.len())
                .chunks(alphabet.len())
                .flat_map(|frame| frame.iter().copied().chain([9.0]))
                .collect();
            let whole: Vec<f32> =
                scores.chunks(labels).flat_map(|frame| &frame[..labels - 1]).copied().collect();
            let expected = words(&greedy(&whole, labels - 1), &alphabet, 0.04, 0.1);
            let mut growing = GrowingWords::new(0.04, 0.1);
            let mut found = Vec::new();
            for frame in scores.chunks(labels) {
                found.extend(growing.push(frame, &alphabet));
            }
            found.extend(growing.finish());
            prop_assert_eq!(found, expected);
        }
    }
}
