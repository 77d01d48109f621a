//! What the members of a sample are called.
//!
//! WebDataset groups neighbouring members by what stands before the first dot, so the key of an
//! utterance holds none: each byte of its id but letters, digits, `_` and `-` becomes `%` and two
//! hexadecimal digits. `%` itself is among them, so no two ids share a key.

use std::path::Path;

/// The key of an id.
pub(super) fn key_of(id: &str) -> String {
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
    let plain = !extension.is_empty() && extension.bytes().all(|b| b.is_ascii_alphanumeric());
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
            let key = key_of(&id);
            prop_assert!(!key.contains(['.', '/', ' ', '\\']) && key.is_ascii());
            prop_assert_eq!(decode(&key), id.as_bytes());
        }
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
