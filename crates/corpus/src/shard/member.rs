//! What the members of a sample are called.
//!
//! WebDataset groups neighbouring members by what stands before the first dot, so the key of an
//! utterance holds none: each byte of its id but letters, digits, `_` and `-` becomes `%` and two
//! hexadecimal digits. `%` itself is among them, so no two ids share a key.
//!
//! File systems end names at 255 bytes, and common tools cannot unpack what is called longer. So a key of
//! more than [`LONGEST_KEY`] bytes is cut, and `~` and the beginning of the id's SHA-256 stand for the
//! rest; no other key holds a `~`. The whole id stands in the sample's JSON.

use super::ShardDigest;
use std::path::Path;

/// Bytes of a key; what is left of 255 is for the longest ending.
const LONGEST_KEY: usize = 200;

/// Bytes of an ending that copied audio keeps: with `KEY.labels.` before another one there is room.
const LONGEST_EXTENSION: usize = 16;

/// The key of an id.
pub(super) fn key_of(id: &str) -> String {
    let mut key = whole_key_of(id);
    if key.len() > LONGEST_KEY {
        let digest = ShardDigest::of(id.as_bytes()).to_string();
        let digest = digest.get(..16).unwrap_or(&digest);
        let kept = LONGEST_KEY - 1 - digest.len();
        key.truncate(kept);
        // Not in the middle of an escape.
        if let Some(escape) = key.rfind('%').filter(|escape| escape + 3 > kept) {
            key.truncate(escape);
        }
        key += &format!("~{digest}");
    }
    key
}

fn whole_key_of(id: &str) -> String {
    let mut key = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            key.push(char::from(byte));
        } else {
            key.push_str(&format!("%{byte:02X}"));
        }
    }
    key
}

/// The ending that copied audio keeps: that of its file in lower case, `audio` where it has none that
/// could stand in a key of WebDataset.
pub(super) fn audio_extension(file: &str) -> String {
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let extension = Path::new(name).extension().and_then(|end| end.to_str()).unwrap_or_default();
    let plain = (1..=LONGEST_EXTENSION).contains(&extension.len())
        && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    // `json` is the line of the manifest.
    match extension.to_ascii_lowercase() {
        extension if plain && extension != "json" => extension,
        _ => "audio".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(key: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = key.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            if first == b'%' {
                let digits = std::str::from_utf8(&tail[..2]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &tail[2..];
            } else {
                bytes.push(first);
                rest = tail;
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn keys_are_injective_and_plain(id in "\\PC{1,40}") {
            let key = whole_key_of(&id);
            prop_assert!(!key.contains(['.', '/', ' ', '\\']) && key.is_ascii());
            prop_assert_eq!(decode(&key), id.as_bytes());
        }
    }

    #[test]
    fn long_ids_have_keys_that_every_file_system_takes() {
        let mut keys = std::collections::BTreeSet::new();
        for length in 190..330 {
            for letter in ["i", "\u{e4}", "."] {
                let id = letter.repeat(length);
                let key = key_of(&id);
                assert!(key.len() <= LONGEST_KEY && key.is_ascii(), "{key}");
                assert_eq!(key.contains('~'), whole_key_of(&id).len() > LONGEST_KEY, "{key}");
                let escapes = key.split('~').next().unwrap();
                assert_eq!(decode(escapes), &id.as_bytes()[..decode(escapes).len()]);
                assert!(keys.insert(key), "{id}");
            }
        }
        assert_eq!(audio_extension(&format!("a.{}", "x".repeat(17))), "audio");
    }

    #[test]
    fn names_are_as_people_expect_them() {
        assert_eq!(key_of("an4-fash/cen1.b"), "an4-fash%2Fcen1%2Eb");
        for (file, extension) in [
            ("a/b.WAV", "wav"),
            ("a.b/c", "audio"),
            ("x.json", "audio"),
            ("x.m4a", "m4a"),
            ("x.w v", "audio"),
            (".raw", "audio"),
        ] {
            assert_eq!(audio_extension(file), extension, "{file}");
        }
    }
}
