//! Text files in which corpora list their utterances: lines with numbers, names of sets, paths.

use super::PrepareError;
use super::candidate::Split;
use flate2::bufread::MultiGzDecoder;
use labyrinth_signal::is_special_file;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

/// One list, line by line, in memory that the longest line needs. What ends in `.gz` is unpacked.
pub(crate) struct List {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    line: usize,
    bytes: Vec<u8>,
}

impl List {
    /// Opens a list.
    pub(crate) fn open(path: &Path) -> Result<Self, PrepareError> {
        if is_special_file(path) {
            let error = io::Error::other("it is a pipe or a device and no file");
            return Err(PrepareError::read(path)(error));
        }
        let reader = BufReader::new(File::open(path).map_err(PrepareError::read(path))?);
        let packed = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz"));
        let reader: Box<dyn BufRead> = if packed {
            Box::new(BufReader::new(MultiGzDecoder::new(reader)))
        } else {
            Box::new(reader)
        };
        Ok(Self { path: path.to_owned(), reader, line: 0, bytes: Vec::new() })
    }

    /// The next line that is not blank, without its end, and its number. After a line that is not UTF-8
    /// ([`PrepareError::Line`]) the next call goes on behind it.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, &str)>, PrepareError> {
        loop {
            self.bytes.clear();
            self.line += 1;
            let read = self.reader.read_until(b'\n', &mut self.bytes);
            if read.map_err(|error| self.read_fault(error))? == 0 {
                return Ok(None);
            }
            if !self.bytes.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        let bytes = match self.line {
            // Editors on Windows begin a file with a byte order mark.
            1 => self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.bytes),
            _ => &self.bytes,
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some((self.line, text.trim_end_matches(['\n', '\r'])))),
            Err(error) => Err(self.broken(self.line, format!("this is not UTF-8 ({error})"))),
        }
    }

    /// Broken packing is the file's fault; all else is the disk's.
    fn read_fault(&self, error: io::Error) -> PrepareError {
        if error.raw_os_error().is_none() {
            let (path, reason) = (self.path.clone(), error.to_string());
            return PrepareError::Packed { path, line: self.line, reason };
        }
        PrepareError::read(&self.path)(error)
    }

    /// The error about a line.
    pub(crate) fn broken(&self, line: usize, reason: impl Into<String>) -> PrepareError {
        PrepareError::Line { path: self.path.clone(), line, reason: reason.into() }
    }
}

/// Every line that is not blank, with its number.
pub(crate) fn lines(path: &Path) -> Result<Vec<(usize, String)>, PrepareError> {
    let mut list = List::open(path)?;
    let mut lines = Vec::new();
    while let Some((number, line)) = list.next()? {
        lines.push((number, line.to_owned()));
    }
    Ok(lines)
}

/// The error about a line of `path`.
pub(crate) fn broken(path: &Path, line: usize, reason: impl Into<String>) -> PrepareError {
    PrepareError::Line { path: path.to_owned(), line, reason: reason.into() }
}

/// `name` below `folder`, or `None` where it is absolute or climbs out.
pub(crate) fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// A path that a user's own list names, relative to the first of `folders` in which it is there; of the
/// first where it is in none. Without `..` and links, as manifests want it.
pub(crate) fn listed(folders: &[PathBuf], name: &str) -> PathBuf {
    for folder in folders {
        if let Ok(path) = folder.join(name).canonicalize() {
            return path;
        }
    }
    folders.first().map_or_else(|| PathBuf::from(name), |folder| folder.join(name))
}

/// The set that a name speaks of: `train_clean`, `dev`, `cv-valid`, `validation`, `test-other`, `eval92`.
pub(crate) fn set_of(name: &str) -> Option<Split> {
    let name = name.to_lowercase();
    let words = || name.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty());
    let begins =
        |starts: &[&str]| words().any(|word| starts.iter().any(|start| word.starts_with(start)));
    if begins(&["train"]) || words().any(|word| word == "tr") {
        Some(Split::Train)
    } else if begins(&["dev", "val"]) || words().any(|word| word == "cv") {
        Some(Split::Dev)
    } else if begins(&["test", "eval"]) || words().any(|word| word == "tt") {
        Some(Split::Test)
    } else {
        None
    }
}

/// White space collapsed.
pub(crate) fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sets() {
        for (name, split) in [
            ("train", Some(Split::Train)),
            ("train-clean-100", Some(Split::Train)),
            ("en_train_cleaned", Some(Split::Train)),
            ("tr05_multi", Some(Split::Train)),
            ("dev_clean_2", Some(Split::Dev)),
            ("validation", Some(Split::Dev)),
            ("cv-valid", Some(Split::Dev)),
            ("test-other", Some(Split::Test)),
            ("eval2000", Some(Split::Test)),
            ("local", None),
            ("contest", None),
            ("lang", None),
        ] {
            assert_eq!(set_of(name), split, "{name}");
        }
    }

    #[test]
    fn a_list_tells_lines_and_their_faults() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        std::fs::write(&path, b"\xef\xbb\xbfone\r\n\n  \ntwo \n").unwrap();
        assert_eq!(lines(&path).unwrap(), [(1, "one".to_owned()), (4, "two ".to_owned())]);
        std::fs::write(&path, b"one\n\xff\n").unwrap();
        let error = lines(&path).unwrap_err().to_string();
        assert!(error.contains("list.txt, line 2: this is not UTF-8"), "{error}");
        let packed = folder.path().join("list.txt.gz");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all("one\ntwo\n".repeat(500).as_bytes()).unwrap();
        let bytes = encoder.finish().unwrap();
        std::fs::write(&packed, &bytes).unwrap();
        assert_eq!(lines(&packed).unwrap().len(), 1000);
        std::fs::write(&packed, &bytes[..bytes.len() - 6]).unwrap();
        let error = lines(&packed).unwrap_err().to_string();
        assert!(error.contains("line 1001") && error.contains("damaged or cut off"), "{error}");
        assert!(lines(&folder.path().join("none")).unwrap_err().to_string().contains("none"));
    }

    #[test]
    fn paths_stay_inside() {
        let root = Path::new("root");
        assert_eq!(inside(root, "./a/b.wav"), Some(root.join("a/b.wav")));
        for name in ["/etc/passwd", "../x", "a/../../x"] {
            assert_eq!(inside(root, name), None, "{name}");
        }
    }
}
