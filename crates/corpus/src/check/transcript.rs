//! What is wrong with one transcript by itself: characters that are no letters, marks that nobody speaks.

use super::finding::{FindingKind, Severity};
use labyrinth_text::{Normalizer, NormalizerOptions};

/// The alphabets whose capitals look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Script {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Hebrew,
    Arabic,
    Indic,
    Thai,
    Georgian,
    Hangul,
    Kana,
    Han,
    Other,
}

impl Script {
    /// Of a letter; `None` of whatever is none. By blocks of Unicode, which is enough to tell that a
    /// transcript is in another writing.
    pub(super) fn of(c: char) -> Option<Self> {
        if !c.is_alphabetic() {
            return None;
        }
        Some(match u32::from(c) {
            0x41..=0x24f | 0x1e00..=0x1eff | 0x2c60..=0x2c7f | 0xa720..=0xa7ff => Self::Latin,
            0x250..=0x2af | 0xff21..=0xff5a => Self::Latin,
            0x370..=0x3ff | 0x1f00..=0x1fff => Self::Greek,
            0x400..=0x52f | 0x1c80..=0x1c8f | 0x2de0..=0x2dff | 0xa640..=0xa69f => Self::Cyrillic,
            0x530..=0x58f => Self::Armenian,
            0x590..=0x5ff => Self::Hebrew,
            0x600..=0x6ff | 0x750..=0x77f | 0x8a0..=0x8ff => Self::Arabic,
            0x900..=0xdff => Self::Indic,
            0xe00..=0xe7f => Self::Thai,
            0x10a0..=0x10ff | 0x1c90..=0x1cbf => Self::Georgian,
            0x1100..=0x11ff | 0xac00..=0xd7af => Self::Hangul,
            0x3040..=0x30ff => Self::Kana,
            0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x323af => Self::Han,
            _ => Self::Other,
        })
    }

    /// Whether letters of it are taken for letters of another.
    fn has_doubles(self) -> bool {
        matches!(self, Self::Latin | Self::Greek | Self::Cyrillic | Self::Armenian)
    }
}

/// Soft hyphen, zero-width marks, marks of direction, byte order mark.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
        // These two join and part letters in Indic scripts and Persian, where they are spelling.
        && !matches!(c, '\u{200c}' | '\u{200d}')
}

/// Neither text nor white space: it would become a letter to learn.
fn is_no_text(c: char) -> bool {
    (c.is_control() && !c.is_whitespace())
        // What decoders put in the place of what they could not read; private use.
        || matches!(c, '\u{fffd}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..)
}

/// Form C and single spaces, and what cannot be seen taken away: what `--fix` writes.
pub(super) fn mended(text: &str) -> String {
    let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    composed(&visible)
}

fn composed(text: &str) -> String {
    // These options hold no characters, so nothing of them can be refused.
    Normalizer::new(&NormalizerOptions::spaces_only())
        .map_or_else(|_| text.to_owned(), |normalizer| normalizer.apply(text))
}

/// Looks at one transcript. `kept`: what is outside of the user's making is only worth a warning.
pub(super) fn judge(
    text: &str,
    published: bool,
    report: &mut impl FnMut(Severity, FindingKind, String),
) {
    use FindingKind::*;
    use Severity::{Error, Warning};
    let spoils = if published { Warning } else { Error };
    if text.trim().is_empty() {
        return report(Error, EmptyTranscript, "the transcript is empty".to_owned());
    }
    // Nearly all transcripts are plain.
    if !text.is_ascii() {
        if let Some(seen) = mojibake(text) {
            let detail = format!("{seen:?} in {} looks wrongly decoded", quoted(text));
            report(spoils, Mojibake, detail);
        }
        if let Some(word) = text.split_whitespace().find(|word| mixes_scripts(word)) {
            let letters: Vec<String> =
                rarer_letters(word).map(|c| format!("`{c}` (U+{:04X})", u32::from(c))).collect();
            let detail = format!("in `{word}`, {} is of another alphabet", letters.join(", "));
            report(spoils, MixedScripts, detail);
        }
        if let Some(c) = text.chars().find(|c| is_invisible(*c)) {
            let detail = format!("{} holds U+{:04X}", quoted(text), u32::from(c));
            report(Warning, InvisibleCharacter, detail);
        }
        let spaced: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if composed(text) != spaced {
            let detail = format!("{} is not in Unicode form C", quoted(text));
            report(Warning, NotComposed, detail);
        }
    }
    if let Some(c) = text.chars().find(|c| is_no_text(*c)) {
        let detail = format!("{} holds U+{:04X}", quoted(text), u32::from(c));
        report(spoils, ControlCharacter, detail);
    }
    if let Some(mark) = markup(text) {
        report(Warning, Markup, format!("{mark:?} in {}", quoted(text)));
    }
    if let Some(word) = text.split_whitespace().find(|w| w.chars().any(char::is_numeric)) {
        report(Warning, Digits, format!("`{word}` in {}", quoted(text)));
    }
}

/// The beginning of a transcript in quotes.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Two bytes of UTF-8 shown as two characters of Latin-1 or Windows-1252: a lead byte (Â to ß, or â and
/// what follows in three bytes) and a continuation byte, U+0080 to U+00BF or what Windows has there.
fn mojibake(text: &str) -> Option<&str> {
    let follows =
        |c: char| matches!(c, '\u{80}'..='\u{bf}') || "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ".contains(c);
    let mut characters = text.char_indices().peekable();
    while let Some((start, c)) = characters.next() {
        let Some(&(place, next)) = characters.peek() else { break };
        // A letter with an accent before a closing quotation mark is text: "voilà»", "Ö“".
        let quotation = "»”’“‘«".contains(next);
        let lead = matches!(c, 'Â'..='ß') && !quotation || c == 'â' && "€‚„".contains(next);
        if lead && follows(next) {
            return Some(&text[start..place + next.len_utf8()]);
        }
    }
    None
}

fn mixes_scripts(word: &str) -> bool {
    let mut scripts = word.chars().filter_map(Script::of).filter(|script| script.has_doubles());
    // The sign for micro and ohm are not mixed into words; single Greek letters stand alone.
    scripts.next().is_some_and(|first| scripts.any(|script| script != first))
}

/// The letters of a mixed word that are in the minority.
fn rarer_letters(word: &str) -> impl Iterator<Item = char> + '_ {
    let count = |script: Script| word.chars().filter(|c| Script::of(*c) == Some(script)).count();
    let most = word
        .chars()
        .filter_map(Script::of)
        .filter(|script| script.has_doubles())
        .max_by_key(|script| count(*script));
    word.chars().filter(move |c| {
        Script::of(*c).is_some_and(|script| script.has_doubles() && Some(script) != most)
    })
}

/// `<…>`, `[…]`, `{…}`, `&…;`, `((…))` and `%word`: what transcribers write and nobody says. A round
/// bracket by itself is punctuation.
fn markup(text: &str) -> Option<&str> {
    for (open, close) in [("<", '>'), ("[", ']'), ("{", '}'), ("&", ';'), ("((", ')')] {
        let Some(start) = text.find(open) else { continue };
        let rest = &text[start + open.len()..];
        let Some(length) = rest.find(close) else { continue };
        let name = &rest[..length];
        // Tom & Jerry; Romeo: no entity has spaces in it.
        if !name.is_empty() && (open != "&" || !name.contains(char::is_whitespace)) {
            return Some(&text[start..start + open.len() + length + close.len_utf8()]);
        }
    }
    let spoken_mark = |word: &&str| {
        word.strip_prefix(['%', '#']).is_some_and(|rest| rest.starts_with(char::is_alphabetic))
    };
    text.split_whitespace().find(spoken_mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<&'static str> {
        let mut found = Vec::new();
        judge(text, false, &mut |_, kind, _| found.push(kind.code()));
        found
    }

    #[test]
    fn plain_text_of_any_language_has_no_findings() {
        for text in [
            "the quick brown fox, he said: \"don't!\" (twice) & left",
            "Übermäßig schön — „Straße“ «voilà» Ça, où? ÂGE",
            "привет мир",
            "καλημέρα κόσμε, α-ακτινοβολία",
            "こんにちは 世界",
            "नमस्ते दुनिया",
            "می\u{200c}خواهم",
            "50\u{a0}% is fifty percent".trim_start_matches("50\u{a0}% "),
            "tabs\tand  double spaces",
        ] {
            assert_eq!(kinds(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn each_fault_is_told() {
        for (text, kind) in [
            (" \t", "empty-transcript"),
            ("a bell\u{7} rings", "control-character"),
            ("not re\u{fffd}d", "control-character"),
            ("so\u{ad}ft", "invisible-character"),
            ("\u{feff}first", "invisible-character"),
            ("cafe\u{301}", "not-composed"),
            ("cafÃ© au lait", "mojibake"),
            ("donâ€™t", "mojibake"),
            ("the сat sat", "mixed-scripts"),
            ("hello <noise> there", "markup"),
            ("[laughter]", "markup"),
            ("rock &amp; roll", "markup"),
            ("well %hesitation yes", "markup"),
            ("((unclear)) words", "markup"),
            ("in 1984 he", "digits"),
        ] {
            assert_eq!(kinds(text), [kind], "{text:?}");
        }
    }

    #[test]
    fn mending_changes_what_cannot_be_seen_alone() {
        assert_eq!(mended("cafe\u{301}  so\u{ad}ft "), "café soft");
        assert_eq!(mended("As It, was!"), "As It, was!");
    }
}
