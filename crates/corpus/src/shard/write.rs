//! One shard: its utterances read one after the other, its tar written as they come, its index after it.

use super::finish;
use super::record::{MadeFrom, Names, ShardEntry, ShardIndex};
use super::sample::{Member, Sample, SampleReader};
use super::tar::TarWriter;
use super::{ShardDigest, ShardError, ShardRange};
use crate::digest::sha256;
use crate::manifest::{Utterance, hexadecimal};
use crate::source::Source;
use crate::temporary::Temporary;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// What all shards of a manifest share.
pub(super) struct Job<'a> {
    pub(super) manifest: &'a dyn Source,
    pub(super) made_from: MadeFrom,
    pub(super) names: Names,
}

impl Job<'_> {
    /// The index of a shard that is done: made from the same, and its tar as long as it says.
    ///
    /// # Errors
    /// [`ShardError::Foreign`] where the index is of another manifest or of other options.
    pub(super) fn done(&self, shard: usize) -> Result<Option<ShardIndex>, ShardError> {
        let path = self.names.index(shard);
        let Some(index) = ShardIndex::read(&path)? else { return Ok(None) };
        if index.made_from != self.made_from {
            let (found, wanted) = (index.made_from.to_string(), self.made_from.to_string());
            return Err(ShardError::Foreign { path, found, wanted });
        }
        let tar = self.names.folder.join(self.names.tar(shard));
        // A pair that was copied over this one is as whole as this one was, and is not it.
        let own = index.shard.file == self.names.tar(shard);
        let whole = own && tar.metadata().is_ok_and(|data| data.len() == index.shard.bytes);
        Ok(whole.then_some(index))
    }

    /// Whether a shard that is done holds the bytes that its index tells of.
    ///
    /// # Errors
    /// [`ShardError::Read`] where the disk fails.
    pub(super) fn is_intact(&self, entry: &ShardEntry) -> Result<bool, ShardError> {
        let path = self.names.folder.join(&entry.file);
        let digest = File::open(&path).and_then(|file| sha256(file, &|_| {}));
        match digest {
            Ok(digest) => Ok(digest == entry.sha256),
            Err(source) => Err(ShardError::Read { path, source }),
        }
    }

    /// Writes a shard; `told` is called after each utterance. False where `stop` ended it early.
    pub(super) fn write(
        &self,
        shard: usize,
        utterances: Range<usize>,
        stop: &AtomicBool,
        told: &dyn Fn(),
    ) -> Result<bool, ShardError> {
        let target = self.names.folder.join(self.names.tar(shard));
        let failed = |source| ShardError::Write { path: target.clone(), source };
        let (temporary, file) = Temporary::create(&target).map_err(failed)?;
        let mut tar =
            TarWriter::new(Hashed { writer: BufWriter::new(file), hasher: Sha256::new() });
        let mut reader = SampleReader::new(self.manifest.folder(), &self.made_from)?;
        let (mut lines, mut refused) = (Vec::with_capacity(utterances.len()), Vec::new());
        for index in utterances {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let utterance = self.manifest.utterance(index)?;
            match reader.read(&utterance)? {
                Ok(sample) => {
                    lines.push(append(&mut tar, &self.names.tar(shard), sample).map_err(failed)?);
                }
                Err(refusal) => refused.push(refusal),
            }
            told();
        }
        let (hashed, bytes) = tar.finish().map_err(failed)?;
        let sha256 = hexadecimal(&hashed.hasher.finalize());
        let file = hashed.writer.into_inner().map_err(|error| failed(error.into_error()))?;
        temporary.persist(file).map_err(failed)?;
        let entry =
            ShardEntry { file: self.names.tar(shard), utterances: lines.len(), bytes, sha256 };
        let made_from = self.made_from.clone();
        let index = ShardIndex { made_from, shard: entry, utterances: lines, refused };
        finish::write(&self.names.index(shard), |writer| index.write(writer))?;
        Ok(true)
    }
}

/// Appends the members of a sample, and gives its line with their places.
fn append(tar: &mut TarWriter<Hashed>, file: &str, sample: Sample) -> io::Result<Utterance> {
    let mut put = |member: &Member| {
        let offset = tar.append(&member.name, &member.content)?;
        let (bytes, digest) = (member.content.len() as u64, ShardDigest::of(&member.content));
        let features = None;
        io::Result::Ok(ShardRange { file: file.to_owned(), offset, bytes, digest, features })
    };
    let Sample { audio, features, line, labels, mut utterance } = sample;
    utterance.shard = Some(Box::new(ShardRange { features, ..put(&audio)? }));
    put(&line)?;
    if let Some(labels) = labels {
        utterance.labels_shard = Some(Box::new(put(&labels)?));
    }
    Ok(utterance)
}

/// A file, and the digest of what went into it.
struct Hashed {
    writer: BufWriter<File>,
    hasher: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// How many utterances and how much sound a shard may hold.
pub(super) struct Limits {
    pub(super) utterances: usize,
    pub(super) seconds: Option<f64>,
}

/// Where each shard begins, and behind them where the last one ends. It depends on the manifest and the
/// limits alone: durations are the manifest's, and what will be refused counts too.
pub(super) fn plan(manifest: &dyn Source, limits: &Limits) -> Result<Vec<usize>, ShardError> {
    let count = manifest.len();
    let Some(most_seconds) = limits.seconds else {
        let starts = (0..count).step_by(limits.utterances);
        return Ok(starts.chain([count]).collect());
    };
    let mut starts = vec![0];
    let (mut held, mut seconds) = (0, 0.0);
    for index in 0..count {
        let duration = manifest.duration(index)?;
        // An utterance that alone is longer makes a shard of its own.
        if held == limits.utterances || (held > 0 && seconds + duration > most_seconds) {
            starts.push(index);
            (held, seconds) = (0, 0.0);
        }
        held += 1;
        seconds += duration;
    }
    if count > 0 {
        starts.push(count);
    }
    Ok(starts)
}

/// Whether the same shard is there by the work of another process, whose cleaning took our file away.
pub(super) fn vanished(error: &ShardError) -> bool {
    matches!(error, ShardError::Write { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
