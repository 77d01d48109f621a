//! What serde says of a value that does not fit, in words for people who never met its types.
//!
//! Recipes and manifests are written by hand. "invalid type: string, expected usize" helps whoever
//! wrote the program; "a whole number is needed" helps whoever wrote the file.

use serde_json::Value;
use serde_json::error::Category;

/// One message of serde, toml or serde_json, without its place, as a sentence without a full stop.
/// What is not recognised is returned as it is.
pub fn in_plain_words(message: &str) -> String {
    let message = message.trim();
    let after = |beginning: &str| message.strip_prefix(beginning);
    if let Some(rest) = after("invalid type: ").or(after("invalid value: "))
        && let Some((found, wanted)) = rest.rsplit_once(", expected ")
    {
        return format!("{} is needed, not {}", needed(wanted), found_value(found));
    }
    if let Some(rest) = after("invalid length ")
        && let Some((found, wanted)) = rest.split_once(", expected ")
    {
        return format!("{} is needed, not one of {found}", needed(wanted));
    }
    if let Some(rest) = after("unknown field ") {
        return match rest.split_once(", expected ") {
            Some((name, known)) => format!("there is no key {name}; there is {}", list(known)),
            None => format!("there is no key {}", rest.split(',').next().unwrap_or(rest)),
        };
    }
    if let Some(rest) = after("unknown variant ")
        && let Some((name, known)) = rest.rsplit_once(", expected ")
    {
        return format!("{name} is not known here; choose {}", list(known));
    }
    if let Some(name) = after("missing field ") {
        return format!("the key {name} is missing");
    }
    if let Some(name) = after("duplicate field ") {
        return format!("the key {name} stands twice");
    }
    message.to_owned()
}

/// serde's "one of `a`, `b`" or "`a` or `b`".
fn list(known: &str) -> &str {
    known.strip_prefix("one of ").unwrap_or(known)
}

/// What serde expected.
fn needed(wanted: &str) -> String {
    let wanted = wanted.trim();
    let words = match wanted {
        "usize" | "u64" | "u32" => "a whole number from 0 on",
        "u16" => "a whole number from 0 to 65535",
        "u8" => "a whole number from 0 to 255",
        "isize" | "i64" | "i32" | "i16" | "i8" => "a whole number",
        "f32" | "f64" => "a number",
        "a string" | "path string" | "a borrowed string" | "string only" => "a text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list in brackets",
        "a map" => "a section with keys",
        wanted
            if wanted.starts_with("struct ") || wanted.starts_with("internally tagged enum ") =>
        {
            "a section with keys"
        }
        wanted if wanted.starts_with("string or table") || wanted.starts_with("enum ") => {
            "a text in quotes"
        }
        wanted => {
            return match wanted.strip_prefix("an array of length ") {
                Some(length) => format!("a list of {length} values"),
                None => wanted.to_owned(),
            };
        }
    };
    words.to_owned()
}

/// What serde found.
fn found_value(found: &str) -> String {
    match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer" | "boolean", value)) => value.trim_matches('`').to_owned(),
        Some(("floating", value)) => {
            value.trim_start_matches("point").trim().trim_matches('`').to_owned()
        }
        _ => match found {
            "sequence" => "a list".to_owned(),
            "map" => "a section or an object".to_owned(),
            "unit variant" => "another kind of value".to_owned(),
            other => other.to_owned(),
        },
    }
}

/// What a key of a line of JSON must hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// A text.
    Text,
    /// A text, or a whole number that stands for a name.
    Name,
    /// A number.
    Number,
    /// A whole number from 0 on.
    Whole,
    /// An object in braces.
    Object,
}

impl Holds {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Name => value.is_string() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Whole => value.is_u64(),
            Self::Object => value.is_object(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Name => "a text in quotes or a whole number",
            Self::Number => "a number",
            Self::Whole => "a whole number from 0 on",
            Self::Object => "an object in braces",
        }
    }
}

/// Why a line of JSON Lines could not be read, naming the key at fault where `keys` tell what each
/// must hold.
pub fn explain_json_line(line: &str, error: &serde_json::Error, keys: &[(&str, Holds)]) -> String {
    match error.classify() {
        Category::Eof => return "it ends in the middle of its object".to_owned(),
        Category::Syntax | Category::Io => {
            return format!("it is no JSON from character {} on", error.column());
        }
        Category::Data => {}
    }
    let Ok(Value::Object(object)) = serde_json::from_str(line) else {
        return "it is no JSON object in braces".to_owned();
    };
    for (key, holds) in keys {
        if let Some(value) = object.get(*key)
            && !value.is_null()
            && !holds.fits(value)
        {
            return format!("`{key}` must be {}, not {value}", holds.words());
        }
    }
    in_plain_words(&without_place(error))
}

/// The message of an error without serde_json's line (always 1, and not the file's) and column.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Line {
        count: usize,
        #[serde(default)]
        share: f64,
        #[serde(default)]
        pair: [u8; 2],
    }

    #[test]
    fn serdes_types_become_words() {
        for (line, words) in [
            (r#"{"count": "four"}"#, "a whole number from 0 on is needed, not the text \"four\""),
            (r#"{"count": -1}"#, "a whole number from 0 on is needed, not -1"),
            (r#"{"count": 2.5}"#, "a whole number from 0 on is needed, not 2.5"),
            (r#"{"count": 1, "share": true}"#, "a number is needed, not true"),
            (r#"{"count": 1, "share": []}"#, "a number is needed, not a list"),
            (r#"{"count": 1, "pair": [1]}"#, "a list of 2 values is needed, not one of 1"),
            (r#"{"count": 1, "pair": 1}"#, "a list of 2 values is needed, not 1"),
            (r#"{"share": 1}"#, "the key `count` is missing"),
            (
                r#"{"count": 1, "size": 1}"#,
                "there is no key `size`; there is `count`, `share`, `pair`",
            ),
        ] {
            let error = serde_json::from_str::<Line>(line).unwrap_err();
            assert_eq!(explain_json_line(line, &error, &[]), words, "{error}");
        }
    }

    #[test]
    fn enums_are_called_what_they_look_like() {
        for (message, words) in [
            (
                "invalid type: boolean `true`, expected internally tagged enum CmnOptions",
                "a section with keys is needed, not true",
            ),
            (
                "invalid type: unit variant, expected string only",
                "a text in quotes is needed, not another kind of value",
            ),
        ] {
            assert_eq!(in_plain_words(message), words);
        }
    }

    #[test]
    fn the_key_at_fault_is_named_and_broken_json_is_said_to_be_broken() {
        let keys = [("count", Holds::Whole), ("share", Holds::Number)];
        for (line, words) in [
            (r#"{"count": "four"}"#, "`count` must be a whole number from 0 on, not \"four\""),
            (r#"{"count": 1, "share": "x"}"#, "`share` must be a number, not \"x\""),
            (r#"{"count": 1"#, "it ends in the middle of its object"),
            ("\"text\"", "it is no JSON object in braces"),
            ("7", "it is no JSON object in braces"),
            ("tone 1", "it is no JSON from character 2 on"),
        ] {
            let error = serde_json::from_str::<Line>(line).unwrap_err();
            assert_eq!(explain_json_line(line, &error, &keys), words, "{error}");
        }
    }
}
