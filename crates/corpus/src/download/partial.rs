//! The unfinished file, and beside it what is known of the file that it will be.

use super::DownloadError;
use crate::atomic::{sync_folder, write_atomically};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What the server that sent the first byte said of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Where it was asked for.
    #[serde(default)]
    pub(super) url: String,
    /// Its `ETag` or `Last-Modified`, to be sent back in `If-Range`.
    #[serde(default)]
    pub(super) version: Option<String>,
    /// Its length in bytes.
    #[serde(default)]
    pub(super) total: Option<u64>,
}

/// `NAME.partial`, locked against a second process, and `NAME.partial.json`.
pub(super) struct Partial {
    pub(super) file: File,
    pub(super) path: PathBuf,
    /// Bytes that are there.
    pub(super) length: u64,
    pub(super) note: Note,
    note_path: PathBuf,
}

impl Partial {
    /// Opens or makes the unfinished file of `path`.
    pub(super) fn open(path: &Path) -> Result<Self, DownloadError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!("{name}.partial"));
        let note_path = path.with_file_name(format!("{name}.partial.json"));
        let write_error = DownloadError::write(&partial);
        // `append` would not let it be cut off.
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial);
        let mut file = file.map_err(write_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DownloadError::InUse { path: partial }),
            // A file system without locks: the digest still tells two writers' work from the file.
            Err(TryLockError::Error(_)) => {}
        }
        let length = file.seek(SeekFrom::End(0)).map_err(DownloadError::read(&partial))?;
        // Without a note, or with a broken one, the digest alone tells whether the pieces fit.
        let note = fs::read(&note_path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Ok(Self { file, path: partial, length, note: note.unwrap_or_default(), note_path })
    }

    /// Throws away what is there, before the note of what will come is written: bytes never stand beside the
    /// note of others.
    pub(super) fn restart(&mut self, note: Note) -> Result<(), DownloadError> {
        self.file.set_len(0).map_err(DownloadError::write(&self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(DownloadError::write(&self.path))?;
        self.length = 0;
        let text = serde_json::to_vec(&note).map_err(io::Error::from);
        text.and_then(|text| write_atomically(&self.note_path, |writer| writer.write_all(&text)))
            .map_err(DownloadError::write(&self.note_path))?;
        self.note = note;
        Ok(())
    }

    /// Writes at the end.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), DownloadError> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => {
                    let source = io::ErrorKind::WriteZero.into();
                    return Err(DownloadError::Write { path: self.path.clone(), source });
                }
                Ok(count) => {
                    self.length += count as u64;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DownloadError::write(&self.path)(error)),
            }
        }
        Ok(())
    }

    /// Gives it its name, when all of it is on the disk.
    pub(super) fn rename(&mut self, path: &Path) -> Result<(), DownloadError> {
        self.file.sync_all().map_err(DownloadError::write(&self.path))?;
        fs::rename(&self.path, path).map_err(DownloadError::write(path))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        sync_folder(folder).map_err(DownloadError::write(folder))?;
        self.remove_note()
    }

    /// Takes both away.
    pub(super) fn remove(self) -> Result<(), DownloadError> {
        fs::remove_file(&self.path).map_err(DownloadError::write(&self.path))?;
        self.remove_note()
    }

    fn remove_note(&self) -> Result<(), DownloadError> {
        match fs::remove_file(&self.note_path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DownloadError::write(&self.note_path)(error))
            }
            _ => Ok(()),
        }
    }
}
