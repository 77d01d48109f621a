//! The end of the work: when every shard is there, the manifest over all, the list and the ledger.
//!
//! Whichever process finds all indices present does it, and where two find it at once, both write the
//! same bytes. The ledger is of the folder, for all manifests that are complete there: whoever writes it
//! looks once more whether another manifest became complete meanwhile.

use super::record::{LIST_ENDING, Names, ShardIndex, ShardList};
use super::write::Job;
use super::{ShardError, parquet};
use crate::ledger::Ledger;
use crate::temporary;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

/// The ledger's name, as `check` looks for it.
pub(super) const LEDGER: &str = "ledger.jsonl";

/// How many of the shards are done, and, where all are, the ledger of this manifest; its files stand then.
pub(super) fn finish(
    job: &Job<'_>,
    shards: usize,
    with_parquet: bool,
) -> Result<(usize, Option<ShardList>, Ledger), ShardError> {
    let mut ledger = Ledger::new();
    let mut entries = Vec::with_capacity(shards);
    for shard in 0..shards {
        let Some(index) = job.done(shard)? else { continue };
        index.utterances.iter().for_each(|_| ledger.keep());
        index.refused.into_iter().for_each(|refusal| ledger.refuse(refusal));
        entries.push(index.shard);
    }
    let done = entries.len();
    if done < shards {
        return Ok((done, None, ledger));
    }
    let path = job.names.parquet();
    // One that stands there from before would go on telling of shards that were written anew.
    if with_parquet || path.exists() {
        write(&path, |mut writer| {
            parquet::write(&mut writer, &mut |each| {
                each_index(job, shards, |index| each(&index.utterances))
            })
        })?;
    }
    let list = ShardList {
        made_from: job.made_from.clone(),
        complete: true,
        read: ledger.read_count(),
        kept: ledger.kept_count(),
        shards: entries,
    };
    let path = job.names.manifest();
    write(&path, |writer| {
        each_index(job, shards, |index| {
            index.utterances.iter().try_for_each(|utterance| {
                serde_json::to_writer(&mut *writer, utterance)?;
                writer.write_all(b"\n")
            })
        })
    })?;
    write(&job.names.list(), |writer| list.write(writer))?;
    write_ledger(&job.names.folder)?;
    clean(&job.names)?;
    Ok((done, Some(list), ledger))
}

/// Reads the indices again, one in memory at a time.
fn each_index(
    job: &Job<'_>,
    shards: usize,
    mut each: impl FnMut(ShardIndex) -> io::Result<()>,
) -> io::Result<()> {
    for shard in 0..shards {
        let path = job.names.index(shard);
        let gone = || {
            let reason = format!("{} was changed or removed meanwhile", path.display());
            io::Error::new(io::ErrorKind::InvalidData, reason)
        };
        each(ShardIndex::read(&path).ok().flatten().ok_or_else(gone)?)?;
    }
    Ok(())
}

/// Writes a small file of the shards' folder, whole or not at all; one that holds this already stays as it
/// is, so that a finished set on a read-only disk is no fault.
pub(super) fn write(
    path: &Path,
    fill: impl Fn(&mut dyn Write) -> io::Result<()>,
) -> Result<(), ShardError> {
    if holds(path, &fill) {
        return Ok(());
    }
    temporary::write(path, |writer| fill(writer))
        .map_err(|source| ShardError::Write { path: path.to_owned(), source })
}

/// Whether a file holds what would be written to it. What goes wrong on the way is told by the writing.
fn holds(path: &Path, fill: impl Fn(&mut dyn Write) -> io::Result<()>) -> bool {
    let Ok(file) = fs::File::open(path) else { return false };
    let mut comparison = Comparison { file: BufReader::new(file), read: Vec::new() };
    fill(&mut comparison).is_ok() && comparison.file.fill_buf().is_ok_and(<[u8]>::is_empty)
}

/// Compares what is written with a file, and fails where they part.
struct Comparison {
    file: BufReader<fs::File>,
    read: Vec<u8>,
}

impl Write for Comparison {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.read.resize(bytes.len(), 0);
        self.file.read_exact(&mut self.read)?;
        match self.read == bytes {
            true => Ok(bytes.len()),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The ledger of all complete manifests of the folder, in the order of their names.
fn write_ledger(folder: &Path) -> Result<(), ShardError> {
    loop {
        let complete = complete_lists(folder)?;
        let mut ledger = Ledger::new();
        for name in &complete {
            let names = Names { folder: folder.to_owned(), name: name.clone() };
            let Some(list) = ShardList::read(&names.list())? else { continue };
            (0..list.kept).for_each(|_| ledger.keep());
            for shard in 0..list.shards.len() {
                let Some(index) = ShardIndex::read(&names.index(shard))? else { continue };
                index.refused.into_iter().for_each(|refusal| ledger.refuse(refusal));
            }
        }
        write(&folder.join(LEDGER), |writer| writer.write_all(ledger.to_jsonl().as_bytes()))?;
        if complete_lists(folder)? == complete {
            return Ok(());
        }
    }
}

/// The names whose shards are all there.
fn complete_lists(folder: &Path) -> Result<BTreeSet<String>, ShardError> {
    let mut names = BTreeSet::new();
    for name in lists(folder)? {
        let of = Names { folder: folder.to_owned(), name: name.clone() };
        if ShardList::read(&of.list())?.is_some_and(|list| list.complete) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// The names that have a list, complete or not.
pub(super) fn lists(folder: &Path) -> Result<Vec<String>, ShardError> {
    let names = files(folder)?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(LIST_ENDING)).map(str::to_owned).collect())
}

/// The names of what lies in a folder, those that are UTF-8: ours all are.
pub(super) fn files(folder: &Path) -> Result<Vec<String>, ShardError> {
    let failed = |source| ShardError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}

/// Removes what killed processes left of this manifest's files. A living one that loses its file by it
/// was about to write what is there already, and looks.
fn clean(names: &Names) -> Result<(), ShardError> {
    for file in files(&names.folder)? {
        let target = temporary::target_of(file.as_ref());
        if target.is_some_and(|target| names.own(target) || target == LEDGER) {
            // Gone, or not to be had: another process cleans too.
            let _ = fs::remove_file(names.folder.join(&file));
        }
    }
    Ok(())
}
