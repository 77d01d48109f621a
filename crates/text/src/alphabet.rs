//! The alphabet: characters, words or phonemes to CTC labels and back.
//!
//! Label 0 is the CTC blank ([`BLANK`]); label `1 + i` is the `i`-th symbol. Built from the
//! training transcripts alone, in code point order, so that it does not depend on the order of the
//! utterances. A symbol outside of it is an error that names it: leaving it out in silence would
//! train on other words than were said.
//!
//! The symbols are characters, with which a model can spell words it was never taught; or whole
//! words, for commands, digits and other closed lists: such a model cannot misspell, needs a frame
//! or two for a word, and knows nothing beyond its list; or phonemes, of which a lexicon makes words
//! ([`crate::lexicon`]). Phonemes, like words, stand with white space between.
//!
//! A model that names the sound of every frame instead of writing a transcript (framewise) has the
//! same alphabet; its label 0 is silence.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The label of the CTC blank.
pub const BLANK: u32 = 0;

/// What one label stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Units {
    /// A character; the space between words is one too.
    #[default]
    Characters,
    /// A word.
    Words,
    /// A phoneme: what a lexicon has for the word.
    Phonemes,
}

impl Units {
    /// The name in recipes and messages: `characters`, `words` or `phonemes`.
    pub fn name(self) -> &'static str {
        match self {
            Units::Characters => "characters",
            Units::Words => "words",
            Units::Phonemes => "phonemes",
        }
    }

    /// One of what stands between white space in a text of these units: `word` or `phoneme`.
    pub fn token_name(self) -> &'static str {
        match self {
            Units::Characters | Units::Words => "word",
            Units::Phonemes => "phoneme",
        }
    }

    /// What the error rate over these is called: WER, or PER for phonemes.
    pub fn rate_name(self) -> &'static str {
        match self {
            Units::Characters | Units::Words => "WER",
            Units::Phonemes => "PER",
        }
    }
}

/// The symbols a model can write, each with its label. As JSON: a list of characters, or an object
/// whose `words` lists words or whose `phonemes` lists phonemes; the blank is not among them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "AlphabetFile", into = "AlphabetFile")]
pub struct Alphabet {
    units: Units,
    symbols: Vec<String>,
    labels: BTreeMap<String, u32>,
}

/// The alphabet as a model file holds it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum AlphabetFile {
    Characters(Vec<String>),
    Words { words: Vec<String> },
    Phonemes { phonemes: Vec<String> },
}

/// A text that holds characters, words or phonemes outside the alphabet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the transcript `{text}` holds {}, outside the alphabet: {}",
    list(.units, .symbols),
    way_out(.units)
)]
pub struct OutsideAlphabet {
    /// What a symbol is.
    pub units: Units,
    /// Each unknown symbol once, in the order in which they first occur.
    pub symbols: Vec<String>,
    /// The text they were found in.
    pub text: String,
}

/// A list that is no alphabet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidAlphabet {
    /// The list is empty.
    #[error("the alphabet holds no {}: list those that the model was trained on", .0.name())]
    Empty(Units),
    /// A symbol stands in the list twice.
    #[error(
        "the alphabet holds {} twice: keep the one whose place is its label",
        list(.units, std::slice::from_ref(.symbol))
    )]
    Duplicate {
        /// What a symbol is.
        units: Units,
        /// The symbol.
        symbol: String,
    },
    /// An entry of a list of characters is not one, or an entry of a list of words is empty or holds
    /// white space.
    #[error("`{symbol}` in the alphabet is not one of its {}: give each on its own", .units.name())]
    NotASymbol {
        /// What a symbol should be.
        units: Units,
        /// The entry.
        symbol: String,
    },
}

/// Symbols for a message; characters with code points, since a no-break space looks like a space.
fn list(units: &Units, symbols: &[String]) -> String {
    let named = symbols.iter().map(|symbol| {
        let shown = symbol.escape_debug();
        match (units, symbol.chars().next()) {
            (Units::Characters, Some(c)) => format!("`{shown}` (U+{:04X})", u32::from(c)),
            _ => format!("`{shown}`"),
        }
    });
    named.collect::<Vec<_>>().join(", ")
}

fn way_out(units: &Units) -> &'static str {
    match units {
        Units::Characters => "correct the transcript or let the normaliser remove or replace them",
        Units::Words => "correct the transcript, or train on recordings of these words too",
        Units::Phonemes => "train on recordings in which they are spoken, too",
    }
}

/// The symbols of a text, one after another.
fn split(units: Units, text: &str) -> Box<dyn Iterator<Item = &str> + '_> {
    match units {
        Units::Characters => {
            Box::new(text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]))
        }
        Units::Words | Units::Phonemes => Box::new(text.split_whitespace()),
    }
}

impl Alphabet {
    /// Every character or word that occurs in the transcripts, in code point order. Give it
    /// transcripts that went through the normaliser. From no text at all it is empty
    /// ([`Alphabet::is_empty`]).
    ///
    /// Holds the symbols and one transcript at a time.
    pub fn from_transcripts<T: AsRef<str>>(
        units: Units,
        transcripts: impl Iterator<Item = T>,
    ) -> Self {
        let mut symbols: BTreeSet<String> = BTreeSet::new();
        for text in transcripts {
            for symbol in split(units, text.as_ref()) {
                if !symbols.contains(symbol) {
                    symbols.insert(symbol.to_owned());
                }
            }
        }
        Self::from_distinct(units, symbols.into_iter().collect())
    }

    fn from_distinct(units: Units, symbols: Vec<String>) -> Self {
        // More than 2^32 distinct symbols do not fit into memory, so labels fit.
        let labels = symbols.iter().zip(1u32..).map(|(symbol, label)| (symbol.clone(), label));
        Alphabet { units, labels: labels.collect(), symbols }
    }

    /// What a label stands for.
    pub fn units(&self) -> Units {
        self.units
    }

    /// The number of labels, blank included: the width of the model's output.
    pub fn len(&self) -> usize {
        self.symbols.len() + 1
    }

    /// Whether it holds nothing but the blank.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// The symbols in the order of their labels, from label 1.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// One label per symbol. No blanks: CTC puts them in.
    ///
    /// # Errors
    /// [`OutsideAlphabet`] names every symbol that has no label.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, OutsideAlphabet> {
        let mut labels = Vec::with_capacity(text.len());
        let mut unknown: Vec<String> = Vec::new();
        for symbol in split(self.units, text) {
            match self.labels.get(symbol) {
                Some(&label) => labels.push(label),
                None if unknown.iter().any(|known| known == symbol) => {}
                None => unknown.push(symbol.to_owned()),
            }
        }
        if unknown.is_empty() {
            Ok(labels)
        } else {
            Err(OutsideAlphabet { units: self.units, symbols: unknown, text: text.to_owned() })
        }
    }

    /// The text of a sequence of labels. Blanks write nothing and repeats are kept (collapsing is
    /// the decoder's work); a label beyond the alphabet becomes U+FFFD.
    pub fn decode(&self, labels: &[u32]) -> String {
        let visible = labels.iter().filter(|&&label| label != BLANK);
        let symbols = visible.map(|&label| self.symbol(label).unwrap_or("\u{fffd}"));
        let between = match self.units {
            Units::Characters => "",
            Units::Words | Units::Phonemes => " ",
        };
        symbols.collect::<Vec<_>>().join(between)
    }

    /// The symbol of a label; `None` for the blank and beyond the alphabet.
    pub fn symbol(&self, label: u32) -> Option<&str> {
        let index = usize::try_from(label.checked_sub(1)?).ok()?;
        self.symbols.get(index).map(String::as_str)
    }
}

impl TryFrom<AlphabetFile> for Alphabet {
    type Error = InvalidAlphabet;

    /// Symbols in the order of their labels. Any order will do, so that the alphabet of a model
    /// trained elsewhere can be kept; none, duplicates and what is no symbol are refused.
    fn try_from(file: AlphabetFile) -> Result<Self, InvalidAlphabet> {
        let (units, symbols) = match file {
            AlphabetFile::Characters(symbols) => (Units::Characters, symbols),
            AlphabetFile::Words { words } => (Units::Words, words),
            AlphabetFile::Phonemes { phonemes } => (Units::Phonemes, phonemes),
        };
        if symbols.is_empty() {
            return Err(InvalidAlphabet::Empty(units));
        }
        let mut seen = BTreeSet::new();
        for symbol in &symbols {
            if !split(units, symbol).eq([symbol.as_str()]) {
                return Err(InvalidAlphabet::NotASymbol { units, symbol: symbol.clone() });
            }
            if !seen.insert(symbol) {
                return Err(InvalidAlphabet::Duplicate { units, symbol: symbol.clone() });
            }
        }
        Ok(Self::from_distinct(units, symbols))
    }
}

impl From<Alphabet> for AlphabetFile {
    fn from(alphabet: Alphabet) -> Self {
        match alphabet.units {
            Units::Characters => AlphabetFile::Characters(alphabet.symbols),
            Units::Words => AlphabetFile::Words { words: alphabet.symbols },
            Units::Phonemes => AlphabetFile::Phonemes { phonemes: alphabet.symbols },
        }
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
        let alphabet = Alphabet::from_transcripts(Units::Characters, ["no way", "é"].into_iter());
        assert_eq!(alphabet.symbols(), [" ", "a", "n", "o", "w", "y", "é"]);
        assert_eq!(
            alphabet,
            Alphabet::from_transcripts(Units::Characters, ["é", "way no"].into_iter())
        );
        assert_eq!(alphabet.len(), 8);
        assert_eq!(alphabet.encode("noé").unwrap(), [3, 4, 7]);
        assert_eq!(alphabet.symbol(BLANK), None);
        assert_eq!(alphabet.symbol(1), Some(" "));
        assert_eq!(alphabet.symbol(8), None);
        assert_eq!(alphabet.decode(&[0, 3, 3, 0, 4, 8]), "nno\u{fffd}");
    }

    #[test]
    fn unknown_characters_are_named_once_each() {
        let alphabet = Alphabet::from_transcripts(Units::Characters, ["abc "].into_iter());
        let error = alphabet.encode("a cab\u{a0}is bliss").unwrap_err();
        assert_eq!(error.symbols, ["\u{a0}", "i", "s", "l"]);
        let message = error.to_string();
        assert!(message.contains("a cab\u{a0}is bliss") && message.contains("U+00A0"), "{message}");
    }

    #[test]
    fn json_is_a_list_of_characters_and_refuses_duplicates_and_nothing() {
        let alphabet = Alphabet::from_transcripts(Units::Characters, ["b a'"].into_iter());
        let json = serde_json::to_string(&alphabet).unwrap();
        assert_eq!(json, r#"[" ","'","a","b"]"#);
        assert_eq!(serde_json::from_str::<Alphabet>(&json).unwrap(), alphabet);
        for (json, part) in [
            ("[]", "no characters"),
            (r#"["a","b","a"]"#, "`a` (U+0061) twice"),
            (r#"["ab"]"#, "`ab`"),
            (r#"[""]"#, "is not one of its characters"),
            (r#"{"words":[]}"#, "no words"),
            (r#"{"words":["yes","no","yes"]}"#, "`yes` twice"),
            (r#"{"words":["yes no"]}"#, "`yes no`"),
            (r#"{"words":[""]}"#, "is not one of its words"),
        ] {
            let message = serde_json::from_str::<Alphabet>(json).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert!(Alphabet::from_transcripts(Units::Characters, [""].into_iter()).is_empty());
    }

    #[test]
    fn words_are_symbols_too() {
        let texts = ["nine one", "oh one one"];
        let alphabet = Alphabet::from_transcripts(Units::Words, texts.into_iter());
        assert_eq!(alphabet.symbols(), ["nine", "oh", "one"]);
        assert_eq!(alphabet.len(), 4);
        let labels = alphabet.encode("one one nine").unwrap();
        assert_eq!(labels, [3, 3, 1]);
        assert_eq!(alphabet.decode(&labels), "one one nine");
        assert_eq!(alphabet.decode(&[0, 2, 0, 9]), "oh \u{fffd}");
        let error = alphabet.encode("one two on two").unwrap_err();
        assert_eq!(error.symbols, ["two", "on"]);
        let message = error.to_string();
        assert!(message.contains("`two`, `on`") && message.contains("recordings"), "{message}");
        let json = serde_json::to_string(&alphabet).unwrap();
        assert_eq!(json, r#"{"words":["nine","oh","one"]}"#);
        assert_eq!(serde_json::from_str::<Alphabet>(&json).unwrap(), alphabet);
    }

    #[test]
    fn phonemes_are_symbols_too() {
        let alphabet = Alphabet::from_transcripts(Units::Phonemes, ["G OW", "R AH B"].into_iter());
        assert_eq!(alphabet.symbols(), ["AH", "B", "G", "OW", "R"]);
        let labels = alphabet.encode("B OW").unwrap();
        assert_eq!((alphabet.decode(&labels).as_str(), labels), ("B OW", vec![2, 4]));
        let json = serde_json::to_string(&alphabet).unwrap();
        assert_eq!(json, r#"{"phonemes":["AH","B","G","OW","R"]}"#);
        assert_eq!(serde_json::from_str::<Alphabet>(&json).unwrap(), alphabet);
        assert!(alphabet.encode("B ZH").unwrap_err().to_string().contains("`ZH`"));
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
            let alphabet = Alphabet::from_transcripts(Units::Characters, texts.iter().map(String::as_str));
            for text in &texts {
                let labels = alphabet.encode(text).unwrap();
                prop_assert!(labels.iter().all(|&l| l != BLANK && (l as usize) < alphabet.len()));
                prop_assert_eq!(&alphabet.decode(&labels), text);
            }
        }
    }
}
