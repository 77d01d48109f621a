//! Bytes of label tracks to text: UTF-8 everywhere, UTF-16 where Praat writes it.

use super::LabelFault;

/// UTF-8, with or without a byte order mark.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, LabelFault> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        LabelFault::new(line, "this is not UTF-8")
    })
}

/// What Praat writes, by its preference: UTF-8, or UTF-16 of either byte order behind its mark (the
/// default where a text does not fit ASCII).
pub(super) fn praat(bytes: &[u8]) -> Result<String, LabelFault> {
    let read: fn([u8; 2]) -> u16 = match bytes {
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        _ => return utf8(bytes).map(str::to_owned),
    };
    let units: Vec<u16> = bytes[2..].chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
    let mut text = String::with_capacity(units.len());
    for unit in char::decode_utf16(units) {
        let line = || 1 + text.matches('\n').count();
        text.push(unit.map_err(|_| LabelFault::new(line(), "this is not UTF-16"))?);
    }
    if bytes.len() % 2 == 1 {
        let line = 1 + text.matches('\n').count();
        return Err(LabelFault::new(line, "this is UTF-16 and ends in the middle of a character"));
    }
    Ok(text)
}
