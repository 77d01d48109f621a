//! Unpacks a publisher's archives into the output folder, whole or not at all.

use super::{PrepareError, PrepareOptions};
use crate::atomic::sync_folder;
use crate::digest::sha256;
use flate2::bufread::MultiGzDecoder;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType};

/// Says inside `audio/` which archive it came from, so that a second preparation need not unpack again.
const ORIGIN_FILE: &str = "unpacked-from.txt";

/// A tar is made of blocks of so many bytes.
const BLOCK: u64 = 512;

/// Unpacks `archives`, which hold one tree together, into `audio/` of the output folder; returns that
/// folder, and whether this call filled it. What several of them hold, such as a README, is that of the
/// last.
///
/// Everything goes to `audio.partial` first, which is renamed when it is complete; an unfinished one
/// that a killed run left behind is removed. Where `audio/` holds these very archives already it is used
/// as it is; where it holds something else it stays, unless `--force` was given.
pub(crate) fn unpack(
    archives: &[PathBuf],
    options: &PrepareOptions,
) -> Result<(PathBuf, bool), PrepareError> {
    let mut origin = String::new();
    for archive in archives {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        origin.push_str(&format!("{name}\nsha256 {}\n", digest(archive)?));
    }
    let audio = options.out.join("audio");
    if audio.exists() {
        if fs::read_to_string(audio.join(ORIGIN_FILE)).is_ok_and(|text| text == origin) {
            return Ok((audio, false));
        }
        if !options.force {
            return Err(PrepareError::Occupied { path: audio });
        }
    }
    let partial = options.out.join("audio.partial");
    remove_folder(&partial)?;
    fs::create_dir_all(&partial).map_err(PrepareError::write(&partial))?;
    let all = archives.iter().try_for_each(|archive| unpack_into(archive, &partial));
    let result = all.and_then(|()| {
        let path = partial.join(ORIGIN_FILE);
        fs::write(&path, &origin).map_err(PrepareError::write(&path))?;
        remove_folder(&audio)?;
        fs::rename(&partial, &audio).map_err(PrepareError::write(&audio))?;
        sync_folder(&options.out).map_err(PrepareError::write(&options.out))
    });
    if result.is_err() {
        // The error that brought us here is the one to tell; the next run removes what is left.
        let _ = fs::remove_dir_all(&partial);
    }
    result.map(|()| (audio, true))
}

fn remove_folder(folder: &Path) -> Result<(), PrepareError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PrepareError::write(folder)(error))
        }
        _ => Ok(()),
    }
}

fn digest(path: &Path) -> Result<String, PrepareError> {
    let file = File::open(path).map_err(PrepareError::read(path))?;
    sha256(file, &|_| {}).map_err(PrepareError::read(path))
}

fn unpack_into(path: &Path, folder: &Path) -> Result<(), PrepareError> {
    let mut reader = BufReader::new(File::open(path).map_err(PrepareError::read(path))?);
    let magic = reader.fill_buf().map_err(PrepareError::read(path))?;
    let packed: Box<dyn Read> = if magic.starts_with(&[0x1f, 0x8b]) {
        Box::new(MultiGzDecoder::new(reader))
    } else {
        Box::new(reader)
    };
    let mut archive = Archive::new(CountingReader { inner: packed, count: 0 });
    let end = extract_entries(&mut archive, path, folder)?;
    // The rest must be read as well: the gzip checksum stands at the very end. And the tar reader takes
    // an early end for the end of a file or of the archive; that the two blocks of zeros which end every
    // archive were read behind the last file proves that all of it was there.
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(|error| archive_error(path, &error))?;
    if rest.count < end.saturating_add(2 * BLOCK) {
        return Err(cut_off(path));
    }
    Ok(())
}

/// Unpacks every file; gives the offset in the tar at which the last of them ends.
fn extract_entries(
    archive: &mut Archive<CountingReader>,
    path: &Path,
    folder: &Path,
) -> Result<u64, PrepareError> {
    let mut made = BTreeSet::new();
    let mut end = 0;
    for entry in archive.entries().map_err(|error| archive_error(path, &error))? {
        let mut entry = entry.map_err(|error| archive_error(path, &error))?;
        let name = entry.path().map_err(|error| archive_error(path, &error))?.into_owned();
        let kind = entry.header().entry_type();
        // A header may lie about the size: no overflow, and more than was read is "cut off" below.
        let unpadded = entry.raw_file_position().saturating_add(entry.size());
        end = unpadded.div_ceil(BLOCK).saturating_mul(BLOCK);
        if matches!(kind, EntryType::XGlobalHeader) {
            continue;
        }
        let target = inside(folder, &name).ok_or_else(|| PrepareError::Archive {
            path: path.to_owned(),
            reason: format!("holds the path {:?}, which leads out of its folder", name.display()),
        })?;
        match kind {
            EntryType::Directory => {
                fs::create_dir_all(&target).map_err(PrepareError::write(&target))?;
            }
            EntryType::Regular | EntryType::Continuous => {
                if let Some(parent) =
                    target.parent().filter(|parent| made.insert(parent.to_path_buf()))
                {
                    fs::create_dir_all(parent).map_err(PrepareError::write(parent))?;
                }
                copy_entry(&mut entry, path, &target)?;
            }
            // A link could lead out of the folder, a device is no recording.
            _ => {
                return Err(PrepareError::Archive {
                    path: path.to_owned(),
                    reason: format!("holds {:?}, which is no plain file", name.display()),
                });
            }
        }
    }
    Ok(end)
}

/// Copies one file. Reading and writing fail for different reasons and must not be mixed up, so this is
/// not `io::copy`.
fn copy_entry(
    entry: &mut tar::Entry<'_, CountingReader>,
    archive: &Path,
    target: &Path,
) -> Result<(), PrepareError> {
    let mut file = File::create(target).map_err(PrepareError::write(target))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = entry.read(&mut buffer).map_err(|error| archive_error(archive, &error))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(PrepareError::write(target))?;
    }
    Ok(())
}

/// `name` below `folder`, or `None` where it is absolute or climbs out.
fn inside(folder: &Path, name: &Path) -> Option<PathBuf> {
    let mut target = folder.to_owned();
    for part in name.components() {
        match part {
            Component::Normal(part) => target.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

/// What a failed read of an archive means: a broken archive, or a broken disk.
fn archive_error(path: &Path, error: &io::Error) -> PrepareError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => cut_off(path),
        _ if error.raw_os_error().is_some() => PrepareError::Read {
            path: path.to_owned(),
            source: io::Error::new(error.kind(), error.to_string()),
        },
        _ => {
            PrepareError::Archive { path: path.to_owned(), reason: format!("is damaged ({error})") }
        }
    }
}

fn cut_off(path: &Path) -> PrepareError {
    PrepareError::Archive { path: path.to_owned(), reason: "is cut off before its end".to_owned() }
}

/// Counts the bytes that were read.
struct CountingReader {
    inner: Box<dyn Read>,
    count: u64,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn tar_with(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let content = name.repeat(2000);
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            // Written by hand: the library refuses to make the hostile names that we must refuse.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The outcome, and the names left in the output folder.
    fn try_unpack(bytes: &[u8]) -> (Result<(PathBuf, bool), PrepareError>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("a.tar.gz");
        fs::write(&archive, bytes).unwrap();
        let out = folder.path().join("out");
        fs::create_dir(&out).unwrap();
        let result = unpack(std::slice::from_ref(&archive), &PrepareOptions::new(&archive, &out));
        let names = super::super::paths::files_under(&out).unwrap();
        let name = |path: &PathBuf| path.strip_prefix(&out).unwrap().display().to_string();
        (result, names.iter().map(name).collect())
    }

    #[test]
    fn plain_and_packed_archives_unpack() {
        for bytes in
            [tar_with(&["an4/a.raw", "an4/b.raw"]), gzip(&tar_with(&["an4/a.raw", "an4/b.raw"]))]
        {
            let (result, names) = try_unpack(&bytes);
            result.unwrap();
            assert_eq!(names, ["audio/an4/a.raw", "audio/an4/b.raw", "audio/unpacked-from.txt"]);
        }
    }

    /// Cut in a header, in a file, between two files, before the end blocks, in the checksum; with files
    /// of text and of zeros (digital silence), which look like the end of an archive.
    #[test]
    fn a_truncated_archive_is_refused_and_leaves_nothing() {
        let text = tar_with(&["an4/a.raw", "an4/b.raw"]);
        let mut zeros = text.clone();
        let size = 9 * 2000usize;
        let block = 512 + size.next_multiple_of(512);
        for file in 0..2 {
            zeros[file * block + 512..][..size].fill(0);
        }
        let mut cuts: Vec<Vec<u8>> = Vec::new();
        for tar in [&text, &zeros] {
            for cut in
                [300, 700, 512 + 4096, block, block + 100, block + 5000, 2 * block, 2 * block + 512]
            {
                cuts.push(tar[..cut].to_vec());
            }
            let packed = gzip(tar);
            for part in 1..8 {
                cuts.push(packed[..packed.len() * part / 8].to_vec());
            }
            cuts.push(packed[..packed.len() - 1].to_vec());
            try_unpack(tar).0.unwrap();
            try_unpack(&packed).0.unwrap();
        }
        for (index, bytes) in cuts.into_iter().enumerate() {
            let (result, names) = try_unpack(&bytes);
            let error =
                result.map(|_| format!("cut {index} was accepted")).unwrap_err().to_string();
            assert!(error.contains("a.tar.gz"), "cut {index}: {error}");
            assert!(error.contains("cut off") || error.contains("damaged"), "cut {index}: {error}");
            assert!(names.is_empty(), "cut {index} left {names:?}");
        }
    }

    #[test]
    fn a_flipped_byte_is_found() {
        let mut packed = gzip(&tar_with(&["an4/a.raw", "an4/b.raw"]));
        let middle = packed.len() / 2;
        packed[middle] ^= 0x10;
        let (result, names) = try_unpack(&packed);
        assert!(matches!(result, Err(PrepareError::Archive { .. })), "{result:?}");
        assert!(names.is_empty());
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for name in ["../evil", "an4/../../evil", "/evil"] {
            let (result, names) = try_unpack(&tar_with(&["an4/a.raw", name]));
            let error = result.unwrap_err().to_string();
            assert!(error.contains("leads out"), "{error}");
            assert!(names.is_empty(), "{names:?}");
        }
    }

    #[test]
    fn another_archive_is_not_unpacked_over_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let options = PrepareOptions::new(folder.path(), folder.path().join("out"));
        let [first, second] = ["1.tar", "2.tar"].map(|name| folder.path().join(name));
        fs::write(&first, tar_with(&["a"])).unwrap();
        fs::write(&second, tar_with(&["b"])).unwrap();
        fs::create_dir_all(options.out.join("audio.partial/left-by-a-killed-run")).unwrap();
        assert!(unpack(std::slice::from_ref(&first), &options).unwrap().1);
        assert!(!unpack(std::slice::from_ref(&first), &options).unwrap().1);
        assert!(matches!(
            unpack(std::slice::from_ref(&second), &options),
            Err(PrepareError::Occupied { .. })
        ));
        assert!(options.out.join("audio/a").exists());
        unpack(std::slice::from_ref(&second), &PrepareOptions { force: true, ..options.clone() })
            .unwrap();
        assert!(options.out.join("audio/b").exists() && !options.out.join("audio/a").exists());
        assert!(!options.out.join("audio.partial").exists());
    }
}
