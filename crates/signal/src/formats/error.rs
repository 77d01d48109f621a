//! Why a file of features could not be read or written.

use std::io;
use std::path::{Path, PathBuf};

use crate::source::Fault;

/// Why a file of features could not be read or written. Each message names the file, the byte
/// where it showed if it was in the content, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// There is no such file.
    #[error("`{}` does not exist; correct the path or put the file there", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed while reading or writing.
    #[error(
        "`{}` could not be read or written because the disk answered \"{source}\"; check the disk \
         and the permissions",
        path.display()
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The content is at fault.
    #[error("`{}`, at byte {offset}, {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Bytes before the place where it showed.
        offset: u64,
        /// What is wrong and what to do, completing a sentence that begins with the file's name.
        reason: String,
    },
    /// What was asked for cannot be done.
    #[error("`{}` {reason}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do, completing a sentence that begins with the file's name.
        reason: String,
    },
}

impl FormatError {
    pub(crate) fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        let unusable = |path, reason: &str| FormatError::Unusable { path, reason: reason.into() };
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FormatError::Missing { path },
            io::ErrorKind::IsADirectory => unusable(path, "is a folder; name a file in it"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => {
                unusable(path, "cannot be the name of a file; correct it")
            }
            _ => FormatError::Disk { path, source: error },
        }
    }

    pub(crate) fn unusable(path: &Path, reason: impl Into<String>) -> Self {
        FormatError::Unusable { path: path.to_path_buf(), reason: reason.into() }
    }

    pub(crate) fn from_trouble(path: &Path, trouble: Trouble) -> Self {
        match trouble {
            Trouble::Content { offset, reason } => {
                FormatError::Content { path: path.to_path_buf(), offset, reason }
            }
            Trouble::Source(Fault::Content(reason)) => FormatError::unusable(path, reason),
            Trouble::Source(Fault::Io(error)) => FormatError::from_io(path, error),
        }
    }
}

/// A [`FormatError`] before the file's name is put to it.
#[derive(Debug)]
pub(crate) enum Trouble {
    Content { offset: u64, reason: String },
    Source(Fault),
}

impl Trouble {
    pub(crate) fn at(offset: u64, reason: impl Into<String>) -> Self {
        Trouble::Content { offset, reason: reason.into() }
    }
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Trouble::Source(fault)
    }
}
