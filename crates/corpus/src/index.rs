//! A manifest of any size, opened without being held: an index beside it tells where each line begins.
//!
//! A list of ten million utterances takes gigabytes as structures. Its index takes 16 bytes for each,
//! on the disk: the offset of the line and the seconds of audio, which is all that a plan of batches
//! asks for. A line is read when its utterance is. So memory does not grow with the corpus, and any
//! utterance is found in the same time.
//!
//! ```text
//! train.jsonl.index   "labyrinth index\n", format, bytes and time of the manifest,
//!                     utterances, seconds, SHA-256 of the manifest     (88 bytes)
//!                     offset, seconds                                  (16 bytes, once an utterance)
//!                     bytes of the manifest, 0                         (16 bytes)
//! ```
//!
//! All numbers are little-endian. The index is made when a manifest is opened for the first time or
//! was changed, and checks each line and that no id stands twice. Ids are compared through 64-bit
//! hashes, written into `BUCKETS` files without a name and sorted file by file, so this takes no
//! memory either; two ids whose hashes agree are read again and compared.

use crate::Progress;
use crate::atomic::write_atomically;
use crate::manifest::{Line, ManifestError, ManifestLines, Utterance, hexadecimal, parse_line};
use std::collections::hash_map::DefaultHasher;
use std::fs::{File, Metadata};
use std::hash::{Hash, Hasher};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const MAGIC: &[u8; 16] = b"labyrinth index\n";
const FORMAT: u64 = 1;
const HEADER: u64 = 88;
const ENTRY: u64 = 16;

/// Files that the hashes of the ids are dealt to.
const BUCKETS: usize = 64;

/// Utterances between two reports of progress.
const REPORT: u64 = 1 << 14;

/// A manifest whose lines are read one by one.
#[derive(Debug)]
pub struct IndexedManifest {
    path: PathBuf,
    lines: File,
    index: File,
    /// What was indexed: bytes, and when they were last written.
    indexed: (u64, u64),
    count: u64,
    seconds: f64,
    digest: [u8; 32],
}

/// What the index says of the manifest as a whole.
#[derive(Clone, Copy, PartialEq)]
struct Header {
    bytes: u64,
    /// When the manifest was last written, in nanoseconds since 1970.
    modified: u64,
    count: u64,
    seconds: f64,
    digest: [u8; 32],
}

impl Header {
    fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        writer.write_all(MAGIC)?;
        for number in [FORMAT, self.bytes, self.modified, self.count, self.seconds.to_bits()] {
            writer.write_all(&number.to_le_bytes())?;
        }
        writer.write_all(&self.digest)
    }

    /// The header of an index, `None` where this is none of ours.
    fn read(index: &File) -> Option<Self> {
        let mut bytes = [0; HEADER as usize];
        read_at(index, &mut bytes, 0).ok()?;
        let number = |at: usize| number(&bytes[at..at + 8]);
        let known = bytes.starts_with(MAGIC) && number(16) == FORMAT;
        let count = number(40);
        let whole = count.checked_add(1)?.checked_mul(ENTRY)?.checked_add(HEADER)?;
        (known && index.metadata().ok()?.len() == whole).then(|| Self {
            bytes: number(24),
            modified: number(32),
            count,
            seconds: f64::from_bits(number(48)),
            digest: std::array::from_fn(|i| bytes[56 + i]),
        })
    }
}

/// Nanoseconds since 1970, 0 where the system does not tell.
fn modified(metadata: &Metadata) -> u64 {
    let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    time.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or(0)
}

impl IndexedManifest {
    /// Opens a manifest. Where its index is missing or older than the manifest, all lines are read and
    /// the index written beside it, or, where that folder cannot be written, to a file without a name;
    /// `progress` is told bytes read and bytes in all.
    ///
    /// # Errors
    /// [`ManifestError`], with file and line: the same as [`crate::Manifest::read`].
    pub fn open(path: &Path, progress: Progress<'_>) -> Result<Self, ManifestError> {
        // Opened by the rules for manifests: no folder, no pipe.
        let lines = ManifestLines::open(path)?;
        let read_error = |source| ManifestError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_error)?;
        let metadata = file.metadata().map_err(read_error)?;
        let beside = index_path(path);
        if let Ok(index) = File::open(&beside)
            && let Some(header) = Header::read(&index)
            && (header.bytes, header.modified) == (metadata.len(), modified(&metadata))
        {
            return Ok(Self::with(path, file, index, header));
        }
        let (entries, header) = entries(path, lines, &metadata, progress)?;
        let write_error = |source| ManifestError::Write { path: beside.clone(), source };
        let fill = |writer: &mut dyn Write| -> io::Result<()> {
            header.write(&mut &mut *writer)?;
            let mut entries = &entries;
            entries.rewind()?;
            io::copy(&mut entries, writer).map(|_| ())
        };
        let written = match is_free(&beside) {
            true => write_atomically(&beside, |writer| fill(writer)).is_ok(),
            false => false,
        };
        let index = if written {
            File::open(&beside).map_err(write_error)?
        } else {
            // A read-only disk, or somebody's own file of that name, costs a reading at each start
            // and nothing else.
            let mut index = tempfile::tempfile().map_err(write_error)?;
            fill(&mut index).map_err(write_error)?;
            index
        };
        Ok(Self::with(path, file, index, header))
    }

    fn with(path: &Path, lines: File, index: File, header: Header) -> Self {
        let Header { bytes, modified, count, seconds, digest } = header;
        let indexed = (bytes, modified);
        Self { path: path.to_owned(), lines, index, indexed, count, seconds, digest }
    }

    /// The manifest's file; audio paths are relative to its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Utterances.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Seconds of audio in all.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// SHA-256 of the manifest's bytes, in hexadecimal.
    pub fn digest(&self) -> String {
        hexadecimal(&self.digest)
    }

    /// Seconds of audio of one utterance, from the index alone.
    ///
    /// # Errors
    /// [`ManifestError::Read`] where the disk fails.
    pub fn duration(&self, index: usize) -> Result<f64, ManifestError> {
        Ok(self.entry(index)?.1)
    }

    /// One utterance, from its line.
    ///
    /// # Errors
    /// [`ManifestError::Read`] where the disk fails, [`ManifestError::Changed`] where the manifest is
    /// not the one that was indexed, [`ManifestError::Index`] where the index is damaged.
    pub fn utterance(&self, index: usize) -> Result<Utterance, ManifestError> {
        let read_error = |source| ManifestError::Read { path: self.path.clone(), source };
        let metadata = self.lines.metadata().map_err(read_error)?;
        if (metadata.len(), modified(&metadata)) != self.indexed {
            return Err(ManifestError::Changed { path: self.path.clone() });
        }
        let (start, duration, end) = self.entry(index)?;
        // The manifest is what it was: whatever does not fit now is the index's.
        let length = end.checked_sub(start).filter(|_| end <= metadata.len());
        let length = length.and_then(|length| usize::try_from(length).ok());
        let mut line = vec![0; length.ok_or_else(|| self.damaged())?];
        read_at(&self.lines, &mut line, start).map_err(read_error)?;
        match parse_line(&line) {
            Ok(Some(utterance)) if utterance.duration.to_bits() == duration.to_bits() => {
                Ok(utterance)
            }
            _ => Err(self.damaged()),
        }
    }

    fn damaged(&self) -> ManifestError {
        ManifestError::Index { path: index_path(&self.path) }
    }

    /// Where a line begins, its seconds, and where the next one begins.
    fn entry(&self, index: usize) -> Result<(u64, f64, u64), ManifestError> {
        debug_assert!(index < self.len());
        let mut bytes = [0; 24];
        read_at(&self.index, &mut bytes, HEADER + index as u64 * ENTRY).map_err(|source| {
            match source.kind() {
                io::ErrorKind::UnexpectedEof => self.damaged(),
                _ => ManifestError::Read { path: index_path(&self.path), source },
            }
        })?;
        let [start, seconds, end] = [0, 8, 16].map(|at| number(&bytes[at..at + 8]));
        Ok((start, f64::from_bits(seconds), end))
    }
}

/// A number of the index: eight bytes, the least significant first.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

/// Whether an index may be written there: over nothing, or over what was one.
fn is_free(path: &Path) -> bool {
    let mut head = [0; MAGIC.len()];
    match path.symlink_metadata() {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(metadata) => {
            metadata.is_file()
                && (metadata.len() == 0
                    || File::open(path)
                        .is_ok_and(|file| read_at(&file, &mut head, 0).is_ok() && head == *MAGIC))
        }
    }
}

/// Where the index of a manifest lies.
fn index_path(manifest: &Path) -> PathBuf {
    let mut name = manifest.file_name().unwrap_or_default().to_owned();
    name.push(".index");
    manifest.with_file_name(name)
}

/// Reads every line: the entries as a file without a name, and what the header will say.
fn entries(
    path: &Path,
    mut lines: ManifestLines,
    metadata: &Metadata,
    progress: Progress<'_>,
) -> Result<(File, Header), ManifestError> {
    let failed = |source| ManifestError::Write { path: index_path(path), source };
    let mut entries = BufWriter::new(tempfile::tempfile().map_err(failed)?);
    let mut buckets = Vec::with_capacity(BUCKETS);
    for _ in 0..BUCKETS {
        buckets.push(BufWriter::new(tempfile::tempfile().map_err(failed)?));
    }
    let (mut count, mut seconds) = (0u64, 0.0);
    while let Some(Line { offset, utterance, .. }) = lines.next_line()? {
        let write = |target: &mut BufWriter<File>, numbers: [u64; 2]| {
            numbers.iter().try_for_each(|number| target.write_all(&number.to_le_bytes()))
        };
        write(&mut entries, [offset, utterance.duration.to_bits()]).map_err(failed)?;
        let hash = hash(&utterance.id);
        let bucket = &mut buckets[(hash % BUCKETS as u64) as usize];
        write(bucket, [hash, count]).map_err(failed)?;
        count += 1;
        seconds += utterance.duration;
        if count.is_multiple_of(REPORT) {
            progress(lines.offset() as usize, metadata.len() as usize);
        }
    }
    entries.write_all(&lines.offset().to_le_bytes()).map_err(failed)?;
    entries.write_all(&0u64.to_le_bytes()).map_err(failed)?;
    let entries = entries.into_inner().map_err(|error| failed(error.into_error()))?;
    let mut suspects = Vec::new();
    for bucket in buckets {
        let bucket = bucket.into_inner().map_err(|error| failed(error.into_error()))?;
        suspects.extend(equal_hashes(bucket).map_err(failed)?);
    }
    if !suspects.is_empty() {
        suspects.sort_unstable();
        refuse_equal_ids(path, &suspects)?;
    }
    let header = Header {
        bytes: lines.offset(),
        modified: modified(metadata),
        count,
        seconds,
        digest: lines.digest(),
    };
    Ok((entries, header))
}

/// The utterances of a bucket whose hash another one has too.
fn equal_hashes(mut bucket: File) -> io::Result<Vec<u64>> {
    bucket.rewind()?;
    let mut reader = BufReader::new(bucket);
    let mut pairs: Vec<(u64, u64)> = Vec::new();
    let mut bytes = [0; 16];
    while read_whole(&mut reader, &mut bytes)? {
        let [hash, utterance] = [0, 8].map(|at| number(&bytes[at..at + 8]));
        pairs.push((hash, utterance));
    }
    pairs.sort_unstable();
    let twins = pairs.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1);
    Ok(twins.flatten().map(|&(_, utterance)| utterance).collect())
}

/// Fills the buffer; false at the end of the file.
fn read_whole(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads the manifest once more and compares the ids of these utterances, sorted by number.
fn refuse_equal_ids(path: &Path, suspects: &[u64]) -> Result<(), ManifestError> {
    let mut lines = ManifestLines::open(path)?;
    let mut seen = std::collections::HashMap::new();
    let mut number = 0u64;
    while let Some(Line { number: line, utterance, .. }) = lines.next_line()? {
        if suspects.binary_search(&number).is_ok()
            && let Some(first) = seen.insert(utterance.id.clone(), line)
        {
            return Err(ManifestError::twice(path, &utterance.id, line, first));
        }
        number += 1;
    }
    Ok(())
}

/// Lives as long as the making of one index, so the function may change with the compiler.
fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// Reads at a place without moving the file's own, so that threads may share it.
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset);
    #[cfg(windows)]
    {
        use std::os::windows::fs::FileExt;
        let mut done = 0;
        while done < bytes.len() {
            match file.seek_read(&mut bytes[done..], offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Manifest;

    fn quiet(_: usize, _: usize) {}

    fn write(path: &Path, lines: &[String]) {
        std::fs::write(path, lines.concat()).unwrap();
    }

    fn line(id: usize) -> String {
        format!(
            "{{\"id\":\"u{id}\",\"audio_filepath\":\"{id}.wav\",\"duration\":{},\"text\":\"ä {id}\"}}\n",
            id as f64 * 0.1
        )
    }

    /// Byte order mark, blank lines, a last line without its end: the same utterances either way.
    #[test]
    fn an_indexed_manifest_is_the_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        let mut text: Vec<String> = (0..300).map(line).collect();
        text[0].insert(0, '\u{feff}');
        text.insert(7, "\n  \r\n".into());
        text.push("\n".into());
        text.push(line(1000).trim_end().into());
        write(&path, &text);
        let whole = Manifest::read(&path).unwrap();
        for _ in 0..2 {
            let indexed = IndexedManifest::open(&path, &quiet).unwrap();
            assert_eq!(indexed.len(), 301);
            assert_eq!(indexed.seconds().to_bits(), whole.seconds().to_bits());
            assert_eq!(indexed.digest(), whole.digest().unwrap());
            for (index, utterance) in whole.utterances.iter().enumerate() {
                assert_eq!(indexed.utterance(index).unwrap(), *utterance);
                assert_eq!(indexed.duration(index).unwrap(), utterance.duration);
            }
        }
        assert!(folder.path().join("train.jsonl.index").is_file());
    }

    #[test]
    fn an_old_a_foreign_and_a_broken_index_are_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        write(&path, &[line(1), line(2)]);
        IndexedManifest::open(&path, &quiet).unwrap();
        let index = std::fs::read(index_path(&path)).unwrap();
        assert_eq!(index.len() as u64, HEADER + 3 * ENTRY);
        write(&path, &[line(1), line(2), line(3)]);
        assert_eq!(IndexedManifest::open(&path, &quiet).unwrap().len(), 3);
        for foreign in [&b"something else"[..], &index[..index.len() - 1], &[]] {
            std::fs::write(index_path(&path), foreign).unwrap();
            assert_eq!(IndexedManifest::open(&path, &quiet).unwrap().len(), 3);
        }
        // Somebody's own file of that name is left alone.
        std::fs::write(index_path(&path), "precious").unwrap();
        assert_eq!(IndexedManifest::open(&path, &quiet).unwrap().len(), 3);
        assert_eq!(std::fs::read_to_string(index_path(&path)).unwrap(), "precious");
    }

    /// Whatever byte of it is damaged: no panic, no endless allocation, and the index is named.
    #[test]
    fn a_damaged_index_is_told_from_a_changed_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        write(&path, &[line(1), line(2), line(3)]);
        IndexedManifest::open(&path, &quiet).unwrap();
        let whole = std::fs::read(index_path(&path)).unwrap();
        let mut noticed = 0;
        for place in HEADER as usize..whole.len() {
            for flip in [1, 0x80, 0xff] {
                let mut index = whole.clone();
                index[place] ^= flip;
                std::fs::write(index_path(&path), &index).unwrap();
                let indexed = IndexedManifest::open(&path, &quiet).unwrap();
                for number in 0..3 {
                    match indexed.utterance(number) {
                        Ok(utterance) => assert_eq!(utterance.id, format!("u{}", number + 1)),
                        Err(error) => {
                            let error = error.to_string();
                            assert!(error.contains("train.jsonl.index is damaged"), "{error}");
                            noticed += 1;
                        }
                    }
                }
            }
        }
        assert!(noticed > 100, "{noticed}");
        // Cut while it is in use.
        std::fs::write(index_path(&path), &whole).unwrap();
        let indexed = IndexedManifest::open(&path, &quiet).unwrap();
        File::options().write(true).open(index_path(&path)).unwrap().set_len(HEADER + 20).unwrap();
        let error = indexed.utterance(2).unwrap_err().to_string();
        assert!(error.contains("is damaged"), "{error}");
    }

    #[test]
    fn a_manifest_that_changes_under_its_reader_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        write(&path, &[line(1), line(2), line(3)]);
        let indexed = IndexedManifest::open(&path, &quiet).unwrap();
        write(&path, &[line(4), line(2)]);
        for index in [0, 2] {
            let error = indexed.utterance(index).unwrap_err().to_string();
            assert!(error.contains("train.jsonl") && error.contains("changed"), "{error}");
        }
    }

    #[test]
    fn broken_lines_and_ids_that_stand_twice_are_named_as_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        let mut text: Vec<String> = (0..500).map(line).collect();
        text[400] = line(17);
        text[450] = line(3);
        for broken in [None, Some("{\"id\": 3}\n".to_owned())] {
            text[300] = broken.unwrap_or_else(|| text[300].clone());
            write(&path, &text);
            let expected = Manifest::read(&path).unwrap_err().to_string();
            let error = IndexedManifest::open(&path, &quiet).unwrap_err().to_string();
            assert_eq!(error, expected);
            assert!(!index_path(&path).exists());
        }
    }

    /// A million lines would be another test; this many reach every bucket many times over.
    #[test]
    fn hashes_are_dealt_to_buckets_and_equal_ones_found() {
        let mut bucket = tempfile::tempfile().unwrap();
        let pairs = (0..1000u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15), i));
        for (hash, utterance) in pairs.chain([(0, 5000), (0, 4000)]) {
            bucket.write_all(&hash.to_le_bytes()).unwrap();
            bucket.write_all(&utterance.to_le_bytes()).unwrap();
        }
        assert_eq!(equal_hashes(bucket).unwrap(), [0, 4000, 5000]);
        let mut used = [false; BUCKETS];
        (0..1000).for_each(|id| used[(hash(&format!("u{id}")) % BUCKETS as u64) as usize] = true);
        assert!(used.iter().all(|&used| used));
    }
}
