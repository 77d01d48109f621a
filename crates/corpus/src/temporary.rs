//! Files under a name that nobody else uses, until they are whole.
//!
//! Several processes, on several machines with one file system, may write the same file at once. So the
//! temporary name holds the process and the time, and the file must be new; of those who write the same
//! bytes it does not matter who renames last. What a killed process leaves behind is told by its name, and
//! removed by the process that finds the work complete.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::atomic::sync_folder;

const ENDING: &str = ".partial";

/// A file being written; removed where it is dropped before it has its name.
pub(crate) struct Temporary {
    path: PathBuf,
    target: PathBuf,
    named: bool,
}

impl Temporary {
    /// Makes the file that shall become `target`.
    pub(crate) fn create(target: &Path) -> io::Result<(Self, File)> {
        let name = target.file_name().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the path names no file to be written")
        })?;
        let name = name.to_string_lossy();
        loop {
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let unique = format!("{}-{time:x}", std::process::id());
            let path = target.with_file_name(format!(".{name}.{unique}{ENDING}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok((Self { path, target: target.to_owned(), named: false }, file));
                }
                // The clock stands still for another thread; not for long.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the file its name, once its content is on the disk.
    pub(crate) fn persist(mut self, file: File) -> io::Result<()> {
        file.sync_all()?;
        drop(file);
        fs::rename(&self.path, &self.target)?;
        self.named = true;
        sync_folder(self.target.parent().unwrap_or(Path::new(".")))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.named {
            // The error that brought us here is the one to tell.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// How often a file is begun anew that another process took for a dead one's.
const ATTEMPTS: usize = 20;

/// Writes a small file, whole or not at all.
pub(crate) fn write(
    target: &Path,
    fill: impl Fn(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut attempt = 1;
    loop {
        let (temporary, file) = Temporary::create(target)?;
        let mut writer = BufWriter::new(file);
        fill(&mut writer)?;
        writer.flush()?;
        let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        match temporary.persist(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {
                attempt += 1;
            }
            result => return result,
        }
    }
}

/// The file that this name was to become, where it is a temporary name.
pub(crate) fn target_of(name: &OsStr) -> Option<&str> {
    parts_of(name).map(|(target, _)| target)
}

/// The same, and the process that began it.
pub(crate) fn target_and_process_of(name: &OsStr) -> Option<(&str, u32)> {
    let (target, unique) = parts_of(name)?;
    let process = unique.split('-').next()?;
    Some((target, process.parse().ok()?))
}

fn parts_of(name: &OsStr) -> Option<(&str, &str)> {
    name.to_str()?.strip_prefix('.')?.strip_suffix(ENDING)?.rsplit_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there_and_its_temporary_name_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.b-000001.tar");
        let (temporary, mut file) = Temporary::create(&target).unwrap();
        file.write_all(b"half").unwrap();
        let (other, _) = Temporary::create(&target).unwrap();
        assert_ne!(temporary.path, other.path);
        let name = temporary.path.file_name().unwrap().to_owned();
        assert_eq!(target_of(&name), Some("a.b-000001.tar"));
        assert_eq!(target_of(OsStr::new("a.b-000001.tar")), None);
        drop(other);
        temporary.persist(file).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"half");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&target, |_| Err(io::Error::other("full"))).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// A process that finished cleaned up after those it took for dead: the file is written once more.
    #[test]
    fn a_temporary_file_that_vanishes_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("list.json");
        let attempts = std::cell::Cell::new(0);
        write(&target, |writer| {
            attempts.set(attempts.get() + 1);
            if attempts.get() < 3 {
                for entry in fs::read_dir(folder.path())? {
                    fs::remove_file(entry?.path())?;
                }
            }
            writer.write_all(b"whole")
        })
        .unwrap();
        assert_eq!((attempts.get(), fs::read(&target).unwrap()), (3, b"whole".to_vec()));
    }
}
