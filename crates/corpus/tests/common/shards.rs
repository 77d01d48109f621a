//! Writing shards and looking at what was written.

use labyrinth_corpus::{
    Batch, Loader, LoaderError, LoaderOptions, Position, ShardError, ShardOptions, write_shards,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The batches of an epoch.
pub fn batches(options: LoaderOptions, epoch: u64) -> Result<Vec<Batch>, LoaderError> {
    let mut loader = Loader::new(options, Position::start_of_epoch(epoch))?;
    let mut batches = Vec::new();
    while let Some(batch) = loader.next_batch()? {
        batches.push(batch);
    }
    Ok(batches)
}

/// Writes shards and gives the reports; nobody watches.
pub fn shard(options: &ShardOptions) -> Result<Vec<labyrinth_corpus::ShardReport>, ShardError> {
    write_shards(options, &|_, _| {})
}

/// Every file of a folder with its bytes.
pub fn snapshot(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(|e| entry(e.unwrap())).collect()
}
