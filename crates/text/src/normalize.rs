//! The text normaliser: one function for training, scoring and decoding.
//!
//! A score is only comparable when the reference, the hypothesis and the training transcripts went
//! through the same function, so its options travel inside the model file. One pass of it is
//!
//! 1. Unicode normalisation form C ([UAX 15](https://www.unicode.org/reports/tr15/)),
//! 2. the case mapping,
//! 3. replacements of single characters,
//! 4. removal of single characters,
//! 5. form C again, since a removal can bring a letter and a combining mark together,
//! 6. runs of white space to one space, none at the ends.
//!
//! The result must be **idempotent**: `apply(apply(x)) == apply(x)`. A single pass is not. With `.`
//! removed and `é` replaced by `e`, the text `e`, `.`, U+0301 becomes `é` in step 5, which step 3
//! would have replaced. So passes are repeated until nothing changes, which on ordinary text is
//! after the first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// After this many passes a character with a replacement is removed instead, so that the passes
/// come to an end whatever the table (see [`Normalizer::apply`]).
const REPLACING_PASSES: usize = 8;

/// What happens to upper and lower case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// Unicode lower case, the default.
    #[default]
    Lower,
    /// Unicode upper case (`ß` becomes `SS`).
    Upper,
    /// Left as it is.
    Keep,
}

/// The options of a [`Normalizer`], as they stand in a recipe and in a model file.
///
/// Form C and the collapsing of white space are not options: without them two texts that look alike
/// would score as different.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NormalizerOptions {
    /// The case mapping; lower case by default.
    pub case: Case,
    /// Characters to remove: by default the punctuation that nobody speaks, and invisible marks.
    /// The apostrophe and the hyphen stay, being letters of the spelling in many languages.
    pub remove: String,
    /// Single characters and what stands in their place: by default typographic apostrophes become
    /// `'` and dashes become a space. A table in a recipe takes the place of the whole default.
    pub replace: BTreeMap<String, String>,
}

impl Default for NormalizerOptions {
    fn default() -> Self {
        let replace = [("\u{2018}", "'"), ("\u{2019}", "'"), ("\u{2013}", " "), ("\u{2014}", " ")];
        NormalizerOptions {
            case: Case::Lower,
            // After the visible marks: soft hyphen, zero-width space, direction marks, byte order
            // mark.
            remove: ".,;:!?¡¿\"„“”«»…()[]{}\u{ad}\u{200b}\u{200e}\u{200f}\u{feff}".to_owned(),
            replace: replace.map(|(from, to)| (from.to_owned(), to.to_owned())).into(),
        }
    }
}

impl NormalizerOptions {
    /// Only what cannot be switched off: form C and single spaces. Case and punctuation stay.
    pub fn spaces_only() -> Self {
        NormalizerOptions { case: Case::Keep, remove: String::new(), replace: BTreeMap::new() }
    }
}

/// Why a set of options makes no normaliser.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NormalizerError {
    /// A key of `replace` that is not one character.
    #[error(
        "the normaliser replaces single characters, so give one character in place of `{key}` in `replace`"
    )]
    NotOneCharacter {
        /// The key as given.
        key: String,
    },
    /// A character of `remove` or `replace` that the case mapping turns into several.
    #[error(
        "the normaliser's case mapping turns `{character}` into `{mapped}` before anything is removed or replaced, so take `{character}` out of its options or set case = \"keep\""
    )]
    MapsToSeveral {
        /// The character as given.
        character: char,
        /// What step 2 makes of it.
        mapped: String,
    },
    /// Two keys of `replace` that are the same character after form C and the case mapping.
    #[error(
        "the normaliser's `replace` holds `{character}` twice once its case is mapped, so keep one"
    )]
    ReplacedTwice {
        /// The character after step 2.
        character: char,
    },
    /// A replacement that contains a character which is itself replaced.
    #[error(
        "the normaliser replaces `{key}` by `{value}`, which holds `{again}`, which is replaced in turn, so name the final characters in `replace`"
    )]
    ReplacedAgain {
        /// The replaced character.
        key: char,
        /// Its replacement.
        value: String,
        /// The character of the replacement that is a key.
        again: char,
    },
}

/// The normaliser: [`NormalizerOptions`] made ready to use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Normalizer {
    options: NormalizerOptions,
    remove: BTreeSet<char>,
    replace: BTreeMap<char, String>,
}

impl Normalizer {
    /// Checks the options and prepares the tables. Characters named in them are taken through form
    /// C and the case mapping first, since that is how steps 3 and 4 meet them.
    pub fn new(options: &NormalizerOptions) -> Result<Self, NormalizerError> {
        let single = |character: char| {
            let mapped = map_case(options.case, &character.nfc().collect::<String>());
            let mut characters = mapped.nfc();
            match (characters.next(), characters.next()) {
                (Some(only), None) => Ok(only),
                _ => Err(NormalizerError::MapsToSeveral { character, mapped: mapped.clone() }),
            }
        };
        let remove = options.remove.nfc().map(single).collect::<Result<BTreeSet<char>, _>>()?;

        let mut replace = BTreeMap::new();
        for (key, value) in &options.replace {
            let composed: Vec<char> = key.nfc().collect();
            let &[character] = composed.as_slice() else {
                return Err(NormalizerError::NotOneCharacter { key: key.clone() });
            };
            let character = single(character)?;
            let value: String =
                map_case(options.case, &value.nfc().collect::<String>()).nfc().collect();
            if replace.insert(character, value).is_some() {
                return Err(NormalizerError::ReplacedTwice { character });
            }
        }
        for (key, value) in &replace {
            if let Some(again) = value.chars().find(|character| replace.contains_key(character)) {
                let (key, value) = (*key, value.clone());
                return Err(NormalizerError::ReplacedAgain { key, value, again });
            }
        }
        Ok(Normalizer { options: options.clone(), remove, replace })
    }

    /// The options it was made from.
    pub fn options(&self) -> &NormalizerOptions {
        &self.options
    }

    /// The normalised text. Idempotent: applied to its own result it changes nothing.
    ///
    /// Why it ends: case is settled after the first pass, and no replacement holds a replaced
    /// character, so a later pass finds work only where a combining mark met a new base. Such
    /// chains are limited by the marks in the text; for tables made to feed one another, the ninth
    /// pass and those after it remove instead of replacing, so that each of them shortens the text.
    pub fn apply(&self, text: &str) -> String {
        let mut current = self.pass(text, true);
        for pass in 1.. {
            let next = self.pass(&current, pass < REPLACING_PASSES);
            if next == current {
                break;
            }
            current = next;
        }
        current
    }

    fn pass(&self, text: &str, replacing: bool) -> String {
        let cased = if is_nfc(text) {
            map_case(self.options.case, text)
        } else {
            map_case(self.options.case, &text.nfc().collect::<String>())
        };
        let mut edited = String::with_capacity(cased.len());
        // A case mapping can decompose (`ΐ` in upper case), hence form C between the steps too.
        for character in cased.nfc() {
            match self.replace.get(&character) {
                Some(value) if replacing => {
                    edited.extend(value.chars().filter(|part| !self.remove.contains(part)));
                }
                Some(_) => {}
                None if self.remove.contains(&character) => {}
                None => edited.push(character),
            }
        }
        collapse_spaces(&edited.nfc().collect::<String>())
    }
}

fn map_case(case: Case, text: &str) -> String {
    match case {
        Case::Lower => text.to_lowercase(),
        Case::Upper => text.to_uppercase(),
        Case::Keep => text.to_owned(),
    }
}

/// Runs of Unicode white space to one U+0020, none at the ends.
pub(crate) fn collapse_spaces(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !collapsed.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(word);
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(case: Case, remove: &str, replace: &[(&str, &str)]) -> NormalizerOptions {
        let replace = replace.iter().map(|&(from, to)| (from.to_owned(), to.to_owned())).collect();
        NormalizerOptions { case, remove: remove.to_owned(), replace }
    }

    fn apply(options: &NormalizerOptions, text: &str) -> String {
        Normalizer::new(options).unwrap().apply(text)
    }

    #[test]
    fn default_gives_lower_case_words() {
        let normalizer = Normalizer::new(&NormalizerOptions::default()).unwrap();
        for (text, expected) in [
            ("", ""),
            (" \t\r\n ", ""),
            ("Ring  the\tbell, Anna!", "ring the bell anna"),
            ("It\u{2019}s half-past five.", "it's half-past five"),
            ("yes\u{2014}or no?", "yes or no"),
            ("\u{feff}na\u{ef}ve NAI\u{308}VE", "na\u{ef}ve na\u{ef}ve"),
            ("a\u{a0}b\u{3000}c", "a b c"),
            ("ΟΔΟΣ", "οδος"),
        ] {
            assert_eq!(normalizer.apply(text), expected, "{text:?}");
        }
    }

    #[test]
    fn case_is_an_option() {
        assert_eq!(apply(&options(Case::Keep, "", &[]), "Straße  Å"), "Straße Å");
        assert_eq!(apply(&options(Case::Upper, "", &[]), "Straße å"), "STRASSE Å");
        assert_eq!(apply(&NormalizerOptions::spaces_only(), " A, b "), "A, b");
    }

    #[test]
    fn one_pass_is_not_enough_when_marks_meet_a_new_base() {
        let options = options(Case::Lower, ".", &[("é", "e")]);
        assert_eq!(apply(&options, "e.\u{301}"), "e");
        let composed_and_removed = self::options(Case::Lower, ".é", &[]);
        assert_eq!(apply(&composed_and_removed, "xe.\u{301}y"), "xy");
    }

    #[test]
    fn form_c_holds_before_and_after_the_tables() {
        // Upper case takes the iota with two marks apart; the bare iota's replacement is not meant
        // for it.
        let latin_iota = options(Case::Upper, "", &[("Ι", "I")]);
        assert_eq!(apply(&latin_iota, "ι\u{390}"), "I\u{3aa}\u{301}");
        // What is removed from a replacement brings its parts together.
        let composed_late = options(Case::Lower, ".", &[("é", "e.\u{301}")]);
        assert_eq!(apply(&composed_late, "é"), "é");
    }

    #[test]
    fn white_space_can_be_removed_altogether() {
        assert_eq!(apply(&options(Case::Lower, " ", &[]), "a\t b\u{3000}c"), "abc");
    }

    #[test]
    fn option_tables_follow_the_case() {
        assert_eq!(apply(&options(Case::Lower, "X", &[("É", "E")]), "XxÉé"), "ee");
        assert_eq!(apply(&options(Case::Lower, "'", &[("\u{2019}", "'")]), "it\u{2019}s"), "its");
    }

    #[test]
    fn tables_that_contradict_themselves_are_refused() {
        let refused = |options: NormalizerOptions| Normalizer::new(&options).unwrap_err();
        assert_eq!(
            refused(options(Case::Lower, "", &[("ab", "c")])),
            NormalizerError::NotOneCharacter { key: "ab".into() }
        );
        assert_eq!(
            refused(options(Case::Upper, "ß", &[])),
            NormalizerError::MapsToSeveral { character: 'ß', mapped: "SS".into() }
        );
        assert_eq!(
            refused(options(Case::Lower, "", &[("a", "x"), ("A", "y")])),
            NormalizerError::ReplacedTwice { character: 'a' }
        );
        assert_eq!(
            refused(options(Case::Lower, "", &[("a", "b"), ("b", "a")])),
            NormalizerError::ReplacedAgain { key: 'a', value: "b".into(), again: 'b' }
        );
    }

    #[test]
    fn options_refuse_unknown_keys_and_fill_in_missing_ones() {
        let given: NormalizerOptions = serde_json::from_str(r#"{"case": "upper"}"#).unwrap();
        assert_eq!(given.case, Case::Upper);
        assert_eq!(given.remove, NormalizerOptions::default().remove);
        let message =
            serde_json::from_str::<NormalizerOptions>(r#"{"caze": "upper"}"#).unwrap_err();
        assert!(message.to_string().contains("caze"), "{message}");
    }

    #[test]
    fn case_settles_in_one_pass_for_every_character() {
        for case in [Case::Lower, Case::Upper] {
            let normalizer = Normalizer::new(&options(case, "", &[])).unwrap();
            for character in '\0'..=char::MAX {
                let once = normalizer.pass(character.encode_utf8(&mut [0; 4]), true);
                assert_eq!(normalizer.pass(&once, true), once, "{:?}", character);
            }
        }
    }

    /// Letters, marks that compose with them, casing oddities, spaces and punctuation.
    fn awkward_text() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "a", "e", "E", "é", "o", "Σ", "ς", "ß", "İ", "ŉ", "ﬁ", "\u{301}", "\u{327}", "\u{302}",
            "\u{308}", "\u{345}", "\u{212b}", "\u{1100}", "\u{1161}", " ", "\u{a0}", "\t", ".",
            "'", "\u{2019}", "\u{200b}",
        ]);
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn any_options() -> impl Strategy<Value = NormalizerOptions> {
        let case = prop::sample::select(vec![Case::Lower, Case::Upper, Case::Keep]);
        let table = prop::collection::btree_map("[aeé.' \u{301}]", awkward_text(), 0..4);
        (case, "[aeéo.' \u{301}\u{327}]{0,4}", table)
            .prop_map(|(case, remove, replace)| NormalizerOptions { case, remove, replace })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn idempotent(options in any_options(), text in awkward_text()) {
            if let Ok(normalizer) = Normalizer::new(&options) {
                let once = normalizer.apply(&text);
                prop_assert_eq!(normalizer.apply(&once), once.clone());
                prop_assert_eq!(once.nfc().collect::<String>(), once.clone());
                prop_assert_eq!(collapse_spaces(&once), once);
            }
        }

        #[test]
        fn idempotent_on_any_text(text in any::<String>()) {
            let normalizer = Normalizer::new(&NormalizerOptions::default()).unwrap();
            let once = normalizer.apply(&text);
            prop_assert_eq!(normalizer.apply(&once), once);
        }
    }
}
