//! Before the first shard: what stands in the output folder, and whether it is ours.
//!
//! The list `NAME.shards.json` is written first of all. So whatever shards, indices or manifests of that
//! name stand in a folder without it are somebody else's, and stay.

use super::ShardError;
use super::finish::{LEDGER, files, lists, write};
use super::record::ShardList;
use super::write::Job;
use crate::prepare::CORPUS_FILE;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The output must be a folder, and not that of an input: the shards' manifest would replace it.
pub(super) fn refuse_inputs(
    out: &Path,
    manifests: &BTreeMap<String, PathBuf>,
) -> Result<(), ShardError> {
    if out.exists() && !out.is_dir() {
        let source = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(ShardError::Write { path: out.to_owned(), source });
    }
    if let Ok(here) = out.canonicalize() {
        for path in manifests.values() {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if folder.unwrap_or(Path::new(".")).canonicalize().is_ok_and(|folder| folder == here) {
                return Err(ShardError::Input { manifest: path.clone() });
            }
        }
    }
    Ok(())
}

/// Whether nobody works on these shards or has made them.
///
/// # Errors
/// [`ShardError::Foreign`], and [`ShardError::Occupied`] where files of these names are no shards of ours.
pub(super) fn is_unclaimed(job: &Job<'_>) -> Result<bool, ShardError> {
    let folder = &job.names.folder;
    // Looked at in this order, since another process that begins now writes its list first.
    let in_the_way = files(folder)?.into_iter().find(|file| job.names.own(file));
    let ledger = folder.join(LEDGER);
    let ledger = ledger.exists().then_some(ledger);
    let path = job.names.list();
    if let Some(list) = ShardList::read(&path)? {
        if list.made_from != job.made_from {
            let (found, wanted) = (list.made_from.to_string(), job.made_from.to_string());
            return Err(ShardError::Foreign { path, found, wanted });
        }
        return Ok(false);
    }
    if let Some(file) = in_the_way {
        return Err(ShardError::Occupied { path: folder.join(file) });
    }
    match ledger {
        Some(path) if lists(folder)?.is_empty() => Err(ShardError::Occupied { path }),
        _ => Ok(true),
    }
}

/// Says that these shards are being made.
pub(super) fn claim(job: &Job<'_>) -> Result<(), ShardError> {
    let made_from = job.made_from.clone();
    let list = ShardList { made_from, complete: false, read: 0, kept: 0, shards: Vec::new() };
    write(&job.names.list(), |writer| list.write(writer))
}

/// What says which corpus it is goes with the shards, where all manifests are of one prepared folder.
pub(super) fn record_of(
    manifests: &BTreeMap<String, PathBuf>,
    out: &Path,
) -> Result<Option<Vec<u8>>, ShardError> {
    let mut folders = manifests.values().map(|path| path.parent().unwrap_or(Path::new("")));
    let Some(folder) = folders.next().filter(|first| folders.all(|other| other == *first)) else {
        return Ok(None);
    };
    let path = folder.join(CORPUS_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ShardError::Read { path, source }),
    };
    let there = out.join(CORPUS_FILE);
    match fs::read(&there) {
        Ok(old) if old == bytes => Ok(None),
        Ok(_) => Err(ShardError::Occupied { path: there }),
        Err(_) => Ok(Some(bytes)),
    }
}
