//! Files that are written whole or not at all: a run that fails leaves what stood there before.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::FormatError;

/// A file in the making. It takes its name when it is finished; dropped before, it leaves nothing.
pub(crate) struct Output {
    path: PathBuf,
    /// Where the bytes go until then, and the file that takes its place; none for a device or a pipe.
    partial: Option<(PathBuf, PathBuf)>,
    writer: Option<BufWriter<File>>,
}

impl Output {
    /// Begins a file.
    pub(crate) fn create(path: &Path) -> Result<Self, FormatError> {
        let begin = || -> io::Result<Self> {
            let stands = std::fs::metadata(path).ok();
            if stands.is_some_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
                let writer = Some(BufWriter::new(File::create(path)?));
                return Ok(Output { path: path.to_path_buf(), partial: None, writer });
            }
            // A link stays one: the file behind it is replaced.
            let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
            if target.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
            let mut partial = std::ffi::OsString::from(".");
            partial.push(name);
            partial.push(format!(".{}.partial", std::process::id()));
            let partial = target.with_file_name(partial);
            let writer = Some(BufWriter::new(File::create(&partial)?));
            Ok(Output { path: path.to_path_buf(), partial: Some((partial, target)), writer })
        };
        begin().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FormatError::unusable(
                path,
                "cannot be written, because its folder does not exist; make it or name another",
            ),
            _ => FormatError::from_io(path, error),
        })
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), FormatError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write_all(bytes).map_err(|error| FormatError::from_io(&self.path, error))
    }

    /// Gives the file its name.
    pub(crate) fn finish(mut self) -> Result<(), FormatError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let finish = || -> io::Result<()> {
            let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            if let Some((partial, target)) = &self.partial {
                file.sync_all()?;
                std::fs::rename(partial, target)?;
            }
            Ok(())
        };
        let finished = finish();
        if finished.is_ok() {
            self.partial = None;
        }
        finished.map_err(|error| FormatError::from_io(&self.path, error))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((partial, _)) = &self.partial {
            // Nothing can be done about a failure here.
            let _ = std::fs::remove_file(partial);
        }
    }
}

/// Writes a file whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FormatError> {
    let mut output = Output::create(path)?;
    output.write(bytes)?;
    output.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_there_stands_until_the_new_file_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ark");
        std::fs::write(&path, "old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write(b"half of the new").unwrap();
        drop(output);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        write_whole(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write_whole(&folder.path().join("none/a.npy"), b"x").unwrap_err().to_string();
        assert!(error.contains("folder does not exist"), "{error}");
        let error = write_whole(folder.path(), b"x").unwrap_err().to_string();
        assert!(error.contains("is a folder"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_and_devices_are_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.npy"), folder.path().join("link.npy"));
        std::fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert!(link.is_symlink());
        write_whole(Path::new("/dev/null"), b"new").unwrap();
        assert!(write_whole(Path::new("/dev/full"), b"new").is_err());
    }
}
