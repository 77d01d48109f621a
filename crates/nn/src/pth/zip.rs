//! The stored entries of a zip archive: as much of the format as PyTorch writes.
//!
//! Source: PKWARE's APPNOTE.TXT 6.3, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to
//! 4.3.16 (its end, also with 64 bits) and 4.5.3 (sizes of 64 bits). The directory stands at the end and says
//! where each entry begins. Nothing is unpacked: entries must be stored, as PyTorch's are, and are slices of
//! the file.

use std::collections::HashMap;

/// Entries of an archive by name.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    entries: HashMap<String, Entry>,
}

struct Entry {
    header: u64,
    size: u64,
    method: u16,
    checksum: u32,
}

/// A field of `N` bytes, little-endian.
fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(N)?)?;
    Some(field.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// Where something lies that is said to begin at `at`, if it can lie in memory at all.
fn place(at: u64) -> Option<usize> {
    usize::try_from(at).ok()
}

impl<'a> Archive<'a> {
    /// Reads the directory; the error is what is wrong with it.
    pub fn open(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let end = Self::end(bytes).ok_or("its directory is not there: it was cut short")?;
        let entries = Self::directory(bytes, end).ok_or("its directory is broken")?;
        Ok(Self { bytes, entries })
    }

    /// Number of entries, and where the directory begins.
    fn end(bytes: &[u8]) -> Option<(u64, u64)> {
        // Behind the end there is at most a comment of 65,535 bytes.
        let first = bytes.len().saturating_sub(22 + 65_535);
        let tail = bytes.get(first..)?;
        let end = first + tail.windows(4).rposition(|window| window == b"PK\x05\x06")?;
        let comment = field::<2>(bytes, end + 20)?;
        bytes.get(end + 22 + comment as usize..)?;
        let (count, directory) = (field::<2>(bytes, end + 10)?, field::<4>(bytes, end + 16)?);
        if count != 0xffff && directory != 0xffff_ffff {
            return Some((count, directory));
        }
        // The numbers do not fit: 20 bytes before stands where the wider record is.
        let locator = end.checked_sub(20)?;
        if bytes.get(locator..locator + 4)? != b"PK\x06\x07" {
            return None;
        }
        let wide = place(field::<8>(bytes, locator + 8)?)?;
        if bytes.get(wide..wide.checked_add(4)?)? != b"PK\x06\x06" {
            return None;
        }
        Some((field::<8>(bytes, wide + 32)?, field::<8>(bytes, wide + 48)?))
    }

    fn directory(bytes: &[u8], (count, begin): (u64, u64)) -> Option<HashMap<String, Entry>> {
        let mut entries = HashMap::new();
        let mut at = place(begin)?;
        for _ in 0..count {
            let record = bytes.get(at..)?;
            if record.get(..4)? != b"PK\x01\x02" {
                return None;
            }
            let [name, extra, comment] =
                [28, 30, 32].map(|at| field::<2>(record, at).unwrap_or(0) as usize);
            let mut entry = Entry {
                method: field::<2>(record, 10)? as u16,
                checksum: field::<4>(record, 16)? as u32,
                size: field::<4>(record, 24)?,
                header: field::<4>(record, 42)?,
            };
            let packed = field::<4>(record, 20)?;
            let behind = 46 + name;
            entry.widen(packed, record.get(behind..behind + extra)?)?;
            let name = String::from_utf8_lossy(record.get(46..behind)?).into_owned();
            entries.insert(name, entry);
            at += behind + extra + comment;
        }
        Some(entries)
    }

    /// The name of the entry whose last part is `part` and that lies deepest in one folder, with that folder.
    pub fn folder_of(&self, part: &str) -> Option<String> {
        let mut folders = self.entries.keys().filter_map(|name| name.strip_suffix(part));
        folders.find(|folder| folder.matches('/').count() <= 1).map(str::to_owned)
    }

    /// The bytes of an entry; none where there is no such entry.
    pub fn get(&self, name: &str) -> Option<Result<&'a [u8], String>> {
        let entry = self.entries.get(name)?;
        if entry.method != 0 {
            return Some(Err(format!("{name} in it is compressed, which PyTorch never does")));
        }
        let bytes = entry.bytes(self.bytes);
        let checked = bytes.filter(|bytes| crc32(bytes) == entry.checksum);
        Some(checked.ok_or_else(|| format!("{name} in it does not match its checksum or its size")))
    }
}

impl Entry {
    /// Takes numbers of 64 bits from the extra fields, where the directory has all ones.
    fn widen(&mut self, packed: u64, mut extra: &[u8]) -> Option<()> {
        while extra.len() >= 4 {
            let (kind, size) = (field::<2>(extra, 0)?, field::<2>(extra, 2)? as usize);
            let values = extra.get(4..4 + size)?;
            if kind == 1 {
                // In this order, and only those that did not fit.
                let mut at = 0;
                let mut next = |narrow: u64| -> Option<u64> {
                    if narrow != 0xffff_ffff {
                        return Some(narrow);
                    }
                    at += 8;
                    field::<8>(values, at - 8)
                };
                self.size = next(self.size)?;
                next(packed)?;
                self.header = next(self.header)?;
            }
            extra = &extra[4 + size..];
        }
        Some(())
    }

    fn bytes<'a>(&self, archive: &'a [u8]) -> Option<&'a [u8]> {
        let header = archive.get(place(self.header)?..)?;
        if header.get(..4)? != b"PK\x03\x04" {
            return None;
        }
        let begin = 30 + (field::<2>(header, 26)? + field::<2>(header, 28)?) as usize;
        header.get(begin..begin.checked_add(place(self.size)?)?)
    }
}

/// The checksum of zip: the polynomial 0x04c11db7 with its bits turned round.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0u32; 256];
    for (index, entry) in (0u32..).zip(&mut table) {
        *entry = (0..8).fold(index, |value, _| value >> 1 ^ (0xedb8_8320 * (value & 1)));
    }
    !bytes.iter().fold(!0u32, |sum, &byte| sum >> 8 ^ table[(sum as u8 ^ byte) as usize])
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_zip() {
        // The check value that catalogues of checksums give.
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
