//! The alphabet: characters to CTC labels and back.
//!
//! Label 0 is the CTC blank ([`BLANK`]); label `1 + i` is the `i`-th character. Built from the
//! training transcripts alone, in code point order, so that it does not depend on the order of the
//! utterances. A character outside of it is an error that names it: leaving it out in silence would
//! train on other words than were said.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The label of the CTC blank.
pub const BLANK: u32 = 0;

/// The characters a model can write, each with its label. As JSON: a list of characters, the blank
/// not among them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<char>", into = "Vec<char>")]
pub struct Alphabet {
    characters: Vec<char>,
    labels: BTreeMap<char, u32>,
}

/// A text that holds characters outside the alphabet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the transcript `{text}` holds {}, outside the alphabet: correct the transcript or let the normaliser remove or replace them",
    list(.characters)
)]
pub struct UnknownCharacters {
    /// Each unknown character once, in the order in which they first occur.
    pub characters: Vec<char>,
    /// The text they were found in.
    pub text: String,
}

/// A list of characters that is no alphabet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidAlphabet {
    /// The list is empty.
    #[error("the alphabet holds no characters: list those that the model was trained on")]
    Empty,
    /// A character stands in the list twice.
    #[error("the alphabet holds {} twice: keep the one whose place is its label", list(&[*.0]))]
    Duplicate(char),
}

/// Characters for a message, with code points, since a no-break space looks like a space.
fn list(characters: &[char]) -> String {
    let named: Vec<String> = characters
        .iter()
        .map(|&c| format!("`{}` (U+{:04X})", c.escape_debug(), u32::from(c)))
        .collect();
    named.join(", ")
}

impl Alphabet {
    /// Every character that occurs in the transcripts, in code point order. Give it transcripts
    /// that went through the normaliser. From no text at all it is empty ([`Alphabet::is_empty`]).
    pub fn from_transcripts<'a>(transcripts: impl Iterator<Item = &'a str>) -> Self {
        let characters: BTreeSet<char> = transcripts.flat_map(str::chars).collect();
        Self::from_distinct(characters.into_iter().collect())
    }

    fn from_distinct(characters: Vec<char>) -> Self {
        // Unicode has fewer than 2^21 characters, so labels fit.
        let labels = characters.iter().enumerate().map(|(i, &c)| (c, i as u32 + 1)).collect();
        Alphabet { characters, labels }
    }

    /// The number of labels, blank included: the width of the model's output.
    pub fn len(&self) -> usize {
        self.characters.len() + 1
    }

    /// Whether it holds nothing but the blank.
    pub fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// The characters in the order of their labels, from label 1.
    pub fn characters(&self) -> &[char] {
        &self.characters
    }

    /// One label per character. No blanks: CTC puts them in.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, UnknownCharacters> {
        let mut labels = Vec::with_capacity(text.len());
        let mut unknown = Vec::new();
        for character in text.chars() {
            match self.labels.get(&character) {
                Some(&label) => labels.push(label),
                None if unknown.contains(&character) => {}
                None => unknown.push(character),
            }
        }
        if unknown.is_empty() {
            Ok(labels)
        } else {
            Err(UnknownCharacters { characters: unknown, text: text.to_owned() })
        }
    }

    /// The text of a sequence of labels. Blanks write nothing and repeats are kept (collapsing is
    /// the decoder's work); a label beyond the alphabet becomes U+FFFD.
    pub fn decode(&self, labels: &[u32]) -> String {
        let visible = labels.iter().filter(|&&label| label != BLANK);
        visible.map(|&label| self.symbol(label).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }

    /// The character of a label; `None` for the blank and beyond the alphabet.
    pub fn symbol(&self, label: u32) -> Option<char> {
        let index = usize::try_from(label.checked_sub(1)?).ok()?;
        self.characters.get(index).copied()
    }
}

impl TryFrom<Vec<char>> for Alphabet {
    type Error = InvalidAlphabet;

    /// Characters in the order of their labels. Any order will do, so that the alphabet of a model
    /// trained elsewhere can be kept; none and duplicates are refused.
    fn try_from(characters: Vec<char>) -> Result<Self, InvalidAlphabet> {
        if characters.is_empty() {
            return Err(InvalidAlphabet::Empty);
        }
        let mut seen = BTreeSet::new();
        match characters.iter().find(|&&character| !seen.insert(character)) {
            Some(&twice) => Err(InvalidAlphabet::Duplicate(twice)),
            None => Ok(Self::from_distinct(characters)),
        }
    }
}

impl From<Alphabet> for Vec<char> {
    fn from(alphabet: Alphabet) -> Self {
        alphabet.characters
    }
}

/// The fewest frames in which CTC can write these labels: one for each label, and one more for the
/// blank that must stand between two equal neighbours, since repeats collapse (Graves et al. 2006,
/// section 3.1). With fewer, no path spells the labels and their probability is 0.
pub fn ctc_minimum_frames(labels: &[u32]) -> usize {
    labels.len() + labels.windows(2).filter(|pair| pair[0] == pair[1]).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_follow_code_points_whatever_the_order_of_transcripts() {
        let alphabet = Alphabet::from_transcripts(["no way", "é"].into_iter());
        assert_eq!(alphabet.characters(), [' ', 'a', 'n', 'o', 'w', 'y', 'é']);
        assert_eq!(alphabet, Alphabet::from_transcripts(["é", "way no"].into_iter()));
        assert_eq!(alphabet.len(), 8);
        assert_eq!(alphabet.encode("noé").unwrap(), [3, 4, 7]);
        assert_eq!(alphabet.symbol(BLANK), None);
        assert_eq!(alphabet.symbol(1), Some(' '));
        assert_eq!(alphabet.symbol(8), None);
        assert_eq!(alphabet.decode(&[0, 3, 3, 0, 4, 8]), "nno\u{fffd}");
    }

    #[test]
    fn unknown_characters_are_named_once_each() {
        let alphabet = Alphabet::from_transcripts(["abc "].into_iter());
        let error = alphabet.encode("a cab\u{a0}is bliss").unwrap_err();
        assert_eq!(error.characters, ['\u{a0}', 'i', 's', 'l']);
        let message = error.to_string();
        assert!(message.contains("a cab\u{a0}is bliss") && message.contains("U+00A0"), "{message}");
    }

    #[test]
    fn json_is_a_list_of_characters_and_refuses_duplicates_and_nothing() {
        let alphabet = Alphabet::from_transcripts(["b a'"].into_iter());
        let json = serde_json::to_string(&alphabet).unwrap();
        assert_eq!(json, r#"[" ","'","a","b"]"#);
        assert_eq!(serde_json::from_str::<Alphabet>(&json).unwrap(), alphabet);
        for (json, part) in [
            ("[]", "no characters"),
            (r#"["a","b","a"]"#, "`a` (U+0061) twice"),
            (r#"["ab"]"#, "ab"),
        ] {
            let message = serde_json::from_str::<Alphabet>(json).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert!(Alphabet::from_transcripts([""].into_iter()).is_empty());
    }

    #[test]
    fn adjacent_repeats_cost_a_frame() {
        for (labels, frames) in [
            (&[][..], 0),
            (&[4], 1),
            (&[1, 2, 3], 3),
            (&[1, 1], 3),
            (&[5, 5, 5], 5),
            (&[1, 2, 1], 3),
            (&[8, 5, 12, 12, 15], 6), // hello
        ] {
            assert_eq!(ctc_minimum_frames(labels), frames, "{labels:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(texts in prop::collection::vec(any::<String>(), 1..4)) {
            let alphabet = Alphabet::from_transcripts(texts.iter().map(String::as_str));
            for text in &texts {
                let labels = alphabet.encode(text).unwrap();
                prop_assert!(labels.iter().all(|&l| l != BLANK && (l as usize) < alphabet.len()));
                prop_assert_eq!(&alphabet.decode(&labels), text);
            }
        }
    }
}
