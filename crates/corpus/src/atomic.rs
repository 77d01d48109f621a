//! Writes files that are either whole or not there, whenever the power goes.

use crate::temporary::{Temporary, target_and_process_of};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::Path;

/// Writes `path` through a temporary file in the same folder: fill, flush to the disk, rename, flush
/// the folder. A reader sees the old file or the new one, never a part; where anything fails (a full
/// disk, say) the old file stands as it was and the temporary one is removed.
///
/// # Errors
/// Whatever the file system or `fill` returns.
pub fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let (temporary, file) = Temporary::create(path)?;
    let mut writer = BufWriter::new(file);
    fill(&mut writer)?;
    temporary.persist(writer.into_inner().map_err(io::IntoInnerError::into_error)?)
}

/// What a user can do about a write that failed, as the middle of a sentence.
pub fn remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind::*;
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => "make room",
        PermissionDenied | ReadOnlyFilesystem => "change its permissions",
        NotFound => "make its folder",
        NotADirectory | AlreadyExists | IsADirectory => "move away what stands in its place",
        _ => "see to the disk",
    }
}

/// Makes a rename in this folder last over a power failure. Only Unix lets a folder be opened for it.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Removes what processes that were killed left of these files. Where the system does not tell who lives,
/// it stays.
pub fn sweep<'a>(paths: impl IntoIterator<Item = &'a Path>) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let paths: BTreeSet<&Path> = paths.into_iter().collect();
    let folders: BTreeSet<&Path> = paths.iter().filter_map(|path| path.parent()).collect();
    for folder in folders {
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        for entry in fs::read_dir(here).into_iter().flatten().flatten() {
            let file = entry.file_name();
            let left = target_and_process_of(&file).is_some_and(|(target, process)| {
                let dead = !Path::new("/proc").join(process.to_string()).exists();
                dead && paths.contains(&*folder.join(target))
            });
            if left {
                // Nobody needs it; that it stays does no harm either.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[cfg(target_os = "linux")]
    #[test]
    fn only_what_the_dead_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let living = format!(".a.jsonl.{}.partial", std::process::id());
        let names =
            [".a.jsonl.4294967295.partial", &living, ".b.jsonl.4294967295.partial", "a.jsonl"];
        names.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
        sweep([&*path]);
        let there: Vec<bool> = names.iter().map(|name| folder.path().join(name).exists()).collect();
        assert_eq!(there, [false, true, true, true]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn room_is_made_only_where_room_is_missing() {
        // ENOSPC, EDQUOT, EFBIG; EACCES, EROFS, ENOTDIR, EIO.
        for (code, room) in
            [(28, true), (122, true), (27, true), (13, false), (30, false), (20, false), (5, false)]
        {
            let error = io::Error::from_raw_os_error(code);
            assert_eq!(remedy(&error).contains("room"), room, "{error}");
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        write_atomically(&path, |w| w.write_all(b"old")).unwrap();
        let error = write_atomically(&path, |w| {
            w.write_all(b"half of the new")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(error.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_atomically(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
