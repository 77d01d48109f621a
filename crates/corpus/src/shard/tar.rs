//! A tar as it is written here: plain ustar whose bytes depend on names and contents alone.
//!
//! Each member has a header of 512 bytes, its content, and zeros up to the next 512; two blocks of zeros
//! end the archive (POSIX.1-2001, "ustar Interchange Format"). Time, owner and group are zero and the
//! mode is 0644, so that the same corpus gives the same tar on any machine. A name of more than 100 bytes
//! has a pax header before it, which every reader of today knows.

use std::io::{self, Write};

const BLOCK: usize = 512;

/// The longest name that stands in a header itself.
const LONGEST_NAME: usize = 100;

/// The greatest size that eleven octal digits say.
const LARGEST: u64 = (1 << 33) - 1;

/// Writes members one after the other.
pub(super) struct TarWriter<W: Write> {
    writer: W,
    position: u64,
}

impl<W: Write> TarWriter<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer, position: 0 }
    }

    /// Writes one member; tells at which byte its content begins.
    pub(super) fn append(&mut self, name: &str, content: &[u8]) -> io::Result<u64> {
        let mut short = name;
        if name.len() > LONGEST_NAME {
            let record = pax_record("path", name);
            self.block(b'x', "pax-header", record.as_bytes())?;
            // Readers that know no pax see the name's end; names here are ASCII.
            short = name.get(name.len() - LONGEST_NAME..).unwrap_or("long-name");
        }
        self.block(b'0', short, content)
    }

    fn block(&mut self, kind: u8, name: &str, content: &[u8]) -> io::Result<u64> {
        let header = header(kind, name, content.len() as u64)?;
        self.put(&header)?;
        let offset = self.position;
        self.put(content)?;
        let filling = content.len().next_multiple_of(BLOCK) - content.len();
        self.put(&[0; BLOCK][..filling])?;
        Ok(offset)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Ends the archive; gives the writer back, and the number of bytes written.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        self.put(&[0; 2 * BLOCK])?;
        self.writer.flush()?;
        Ok((self.writer, self.position))
    }
}

/// `length key=value\n`, where the length counts its own digits.
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn header(kind: u8, name: &str, size: u64) -> io::Result<[u8; BLOCK]> {
    if size > LARGEST {
        let reason = format!("{name} has {size} bytes, and a member of a tar at most {LARGEST}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    debug_assert!(name.len() <= LONGEST_NAME);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0"); // user
    put(116, b"0000000\0"); // group
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0"); // time
    put(148, b"        "); // checksum, blank while it is taken
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// The crate `tar` reads what is written here, names of every length, contents of every filling.
    #[test]
    fn another_reader_finds_names_contents_and_places() {
        let mut expected: Vec<(String, Vec<u8>)> = Vec::new();
        for length in [1, 99, 100, 101, 255, 256, 900, 990, 1000] {
            for size in [0usize, 1, 511, 512, 513] {
                let name = format!("{size:04}{}", "n".repeat(length));
                expected.push((name, (0..size).map(|i| i as u8 ^ length as u8).collect()));
            }
        }
        let mut writer = TarWriter::new(Vec::new());
        let mut offsets = Vec::new();
        for (name, content) in &expected {
            offsets.push(writer.append(name, content).unwrap());
        }
        let (bytes, length) = writer.finish().unwrap();
        assert_eq!((bytes.len() as u64, bytes.len() % BLOCK), (length, 0));
        let mut archive = ::tar::Archive::new(&bytes[..]);
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            let facts = (header.mode(), header.mtime(), header.uid(), header.gid());
            assert!(matches!(facts, (Ok(0o644), Ok(0), Ok(0), Ok(0))), "{facts:?}");
            assert_eq!(entry.raw_file_position(), offsets[found.len()]);
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.push((name, content));
        }
        assert_eq!(found, expected);
        assert!(bytes.ends_with(&[0; 1024]));
    }
}
