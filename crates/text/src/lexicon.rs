//! The lexicon: words and how they are spoken, read from pronouncing dictionaries.
//!
//! A line is a word and its phonemes with white space between. A further pronunciation of a word is a
//! further line; dictionaries number them in one of three ways, and all are read:
//!
//! ```text
//! ENTER      EH N ER          ENTER 1 EH N ER          enter EH N ER
//! ENTER(2)   EH N T ER        ENTER 2 EH N T ER        enter EH N T ER
//! ```
//!
//! So a number behind the word (a counter in the CMU dictionary, a probability in Kaldi's
//! `lexiconp.txt`) is passed over, and pronunciations stand in the order of the file. Lines that begin
//! with `;;;` are comments. Words go through the normaliser of the transcripts, for it is its words
//! that are looked up.
//!
//! [`Lexicon::pronounce`] takes the **first** pronunciation of each word. Which one was really said only the
//! aligner asks; for training a dictionary whose first is the rarer one wants its lines in another order.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::normalize::Normalizer;

/// Words with their pronunciations, each its phonemes with single spaces between. As JSON:
/// `{"enter": ["EH N ER", "EH N T ER"]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lexicon {
    words: BTreeMap<String, Vec<String>>,
}

/// A lexicon that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LexiconError {
    /// The file cannot be read.
    #[error("cannot read the lexicon {} ({source}); check the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is broken.
    #[error("the lexicon {}, line {line}: {reason}; write a word and its phonemes there, or remove it", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// There is no word in it.
    #[error("the lexicon {} holds no words; name a file with a word and its phonemes in each line", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Words that the lexicon lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the lexicon lacks {} of the transcript `{text}`: {}; add {} there, or correct the transcript",
    if words.len() == 1 { "1 word".to_owned() } else { format!("{} words", words.len()) },
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
    if words.len() == 1 { "it" } else { "them" }
)]
pub struct OutsideLexicon {
    /// Each unknown word once, in the order in which they first occur.
    pub words: Vec<String>,
    /// The transcript.
    pub text: String,
}

impl Lexicon {
    /// Reads a file, its words as `normalizer` writes them.
    ///
    /// # Errors
    /// [`LexiconError`], with the line where there is one.
    pub fn read(path: &Path, normalizer: &Normalizer) -> Result<Self, LexiconError> {
        let bytes = std::fs::read(path)
            .map_err(|source| LexiconError::Read { path: path.into(), source })?;
        let lexicon = Self::parse(&bytes, normalizer)
            .map_err(|(line, reason)| LexiconError::Line { path: path.into(), line, reason })?;
        match lexicon.is_empty() {
            true => Err(LexiconError::Empty { path: path.into() }),
            false => Ok(lexicon),
        }
    }

    /// Reads the content of a file; a fault is the line, counted from one, and what is wrong there.
    pub fn parse(bytes: &[u8], normalizer: &Normalizer) -> Result<Self, (usize, String)> {
        let mut lexicon = Self::default();
        for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let fault = |reason: &str| (index + 1, reason.to_owned());
            let line = std::str::from_utf8(line).map_err(|_| fault("it is not UTF-8 text"))?;
            let line = if index == 0 { line.trim_start_matches('\u{feff}') } else { line };
            if line.starts_with(";;;") {
                continue;
            }
            let mut fields = line.split_whitespace().peekable();
            let Some(word) = fields.next() else { continue };
            // The counter of a variant, or its probability.
            fields.next_if(|field| field.parse::<f64>().is_ok_and(f64::is_finite));
            let phonemes: Vec<&str> = fields.collect();
            if phonemes.is_empty() {
                return Err((index + 1, format!("`{word}` has no phonemes")));
            }
            let word = normalizer.apply(without_variant(word));
            let pronunciations = lexicon.words.entry(word).or_default();
            let pronunciation = phonemes.join(" ");
            if !pronunciations.contains(&pronunciation) {
                pronunciations.push(pronunciation);
            }
        }
        Ok(lexicon)
    }

    /// How many words it holds.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it holds no word.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The pronunciations of a word, in the order of the file.
    pub fn pronunciations(&self, word: &str) -> &[String] {
        self.words.get(word).map_or(&[], Vec::as_slice)
    }

    /// The phonemes of a normalised transcript, with spaces between: each word's first pronunciation.
    ///
    /// # Errors
    /// [`OutsideLexicon`] names every word that is not there.
    pub fn pronounce(&self, text: &str) -> Result<String, OutsideLexicon> {
        let mut phonemes: Vec<&str> = Vec::new();
        let mut unknown: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match self.pronunciations(word).first() {
                Some(pronunciation) => phonemes.push(pronunciation),
                None if unknown.iter().any(|known| known == word) => {}
                None => unknown.push(word.to_owned()),
            }
        }
        match unknown.is_empty() {
            true => Ok(phonemes.join(" ")),
            false => Err(OutsideLexicon { words: unknown, text: text.to_owned() }),
        }
    }

    /// As [`Lexicon::pronounce`], with `<word>` in place of the phonemes of an unknown word: something
    /// that no model writes, so that the word counts as an error and never as left out.
    pub fn pronounce_all(&self, text: &str) -> String {
        let spoken = text.split_whitespace().map(|word| match self.pronunciations(word).first() {
            Some(pronunciation) => pronunciation.clone(),
            None => format!("<{word}>"),
        });
        spoken.collect::<Vec<_>>().join(" ")
    }
}

/// `ENTER` for `ENTER(2)`.
fn without_variant(word: &str) -> &str {
    let variant = word.strip_suffix(')').and_then(|word| word.rsplit_once('('));
    match variant {
        Some((stem, number))
            if !stem.is_empty()
                && !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            stem
        }
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::NormalizerOptions;

    fn parse(text: &str) -> Result<Lexicon, (usize, String)> {
        Lexicon::parse(text.as_bytes(), &Normalizer::new(&NormalizerOptions::default()).unwrap())
    }

    #[test]
    fn three_ways_to_number_variants_say_the_same() {
        let expected = parse("enter EH N ER\nenter EH N T ER\ngo G OW\n").unwrap();
        for text in [
            "ENTER    EH N ER\r\nENTER(2)  EH N T ER\r\nGO G OW",
            ";;; a comment\nENTER 1 EH N ER\nENTER 2 EH N T ER\n\nGO 1 G OW\n",
            "\u{feff}enter 0.7 EH N ER\nenter 0.3 EH N T ER\nEnter EH N ER\ngo 1.0 G\tOW\n",
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        assert_eq!(expected.len(), 2);
        assert_eq!(expected.pronunciations("enter"), ["EH N ER", "EH N T ER"]);
        assert_eq!(expected.pronounce("go enter go").unwrap(), "G OW EH N ER G OW");
        let json = serde_json::to_string(&expected).unwrap();
        assert_eq!(json, r#"{"enter":["EH N ER","EH N T ER"],"go":["G OW"]}"#);
        assert_eq!(serde_json::from_str::<Lexicon>(&json).unwrap(), expected);
    }

    #[test]
    fn what_looks_like_a_variant_and_is_none_stays() {
        for (word, stem) in
            [("a(2)", "a"), ("a(b)", "a(b)"), ("(2)", "(2)"), ("a()", "a()"), ("a(2", "a(2")]
        {
            assert_eq!(without_variant(word), stem);
        }
    }

    #[test]
    fn missing_words_are_named_once_each_and_counted() {
        let lexicon = parse("go G OW").unwrap();
        let error = lexicon.pronounce("go now go away now").unwrap_err();
        assert_eq!(error.words, ["now", "away"]);
        let message = error.to_string();
        assert!(
            message.contains("lacks 2 words of") && message.contains("`now`, `away`"),
            "{message}"
        );
        assert_eq!(lexicon.pronounce_all("go now"), "G OW <now>");
        assert_eq!(lexicon.pronounce("  ").unwrap(), "");
    }

    #[test]
    fn broken_lines_are_told_by_number() {
        assert_eq!(parse("go G OW\n\nstop\n").unwrap_err().0, 3);
        assert_eq!(parse("go 2\n").unwrap_err(), (1, "`go` has no phonemes".to_owned()));
        let normalizer = Normalizer::new(&NormalizerOptions::default()).unwrap();
        assert_eq!(Lexicon::parse(b"a AH\n\xff B\n", &normalizer).unwrap_err().0, 2);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lexicon.txt");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Lexicon::read(&path, &normalizer).unwrap_err().to_string()
        };
        assert!(read("a AH\nb").contains("lexicon.txt, line 2"));
        assert!(read(";;; nothing\n").contains("holds no words"));
        let missing = Lexicon::read(&folder.path().join("none"), &normalizer);
        assert!(missing.unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn real_dictionaries_are_read() {
        let Some(data) = std::env::var_os("LABYRINTH_DATA").map(PathBuf::from) else {
            return eprintln!("skipped: LABYRINTH_DATA is not set");
        };
        let normalizer = Normalizer::new(&NormalizerOptions::default()).unwrap();
        for (file, words, entry) in [
            ("an4/etc/an4.dic", 100, ("rubout", "R AH B AW T")),
            ("cmudict/cmudict", 110_000, ("zebra", "Z IY1 B R AH0")),
        ] {
            let path = data.join(file);
            if !path.exists() {
                eprintln!("skipped: {file} is not there");
                continue;
            }
            let lexicon = Lexicon::read(&path, &normalizer).unwrap();
            assert!(lexicon.len() >= words, "{file}: {}", lexicon.len());
            assert_eq!(lexicon.pronunciations(entry.0)[0], entry.1);
        }
    }
}
