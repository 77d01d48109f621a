//! Where in a tar shard the bytes of an utterance lie, and the reading of them.
//!
//! The range stands in the manifest, so that an utterance is one read at a known place: no walk through
//! the tar, no index in memory. The digest makes a shard that was replaced under a running training a
//! fault with a name, where it would otherwise be another training.

use crate::clip::ClipFault;
use crate::features::StoredFeatures;
use crate::manifest::hexadecimal;
use labyrinth_signal::is_special_file;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Bytes of a tar: the content of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardRange {
    /// The tar, relative to the manifest's folder and inside it, with `/` between the parts.
    pub file: String,
    /// Of the first byte.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// Of these bytes.
    pub digest: ShardDigest,
    /// What they hold where that is features; `None`: audio, or labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<StoredFeatures>,
}

/// The first 16 bytes of a SHA-256; 32 hexadecimal digits in a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardDigest(pub [u8; 16]);

impl ShardDigest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let full: [u8; 32] = Sha256::digest(bytes).into();
        Self(std::array::from_fn(|index| full[index]))
    }
}

impl fmt::Display for ShardDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hexadecimal(&self.0))
    }
}

impl Serialize for ShardDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hexadecimal(&self.0))
    }
}

impl<'de> Deserialize<'de> for ShardDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut digest = [0; 16];
        let digits = text.as_bytes();
        let value = |digit: u8| char::from(digit).to_digit(16);
        let wrong = || D::Error::custom(format!("digest {text:?} is not 32 hexadecimal digits"));
        if digits.len() != 32 {
            return Err(wrong());
        }
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = value(pair[0]).zip(value(pair[1])).ok_or_else(wrong)?;
            // Two digits make at most 255.
            *byte = (high * 16 + low) as u8;
        }
        Ok(Self(digest))
    }
}

impl ShardRange {
    /// What is wrong with it as a part of a manifest's line. Shards lie beside or below their manifest;
    /// a foreign manifest shall not reach for other files.
    pub(crate) fn fault(&self) -> Option<String> {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        let path = Path::new(&self.file);
        if self.file.is_empty() || self.file.contains('\\') || !path.components().all(inside) {
            return Some(format!(
                "file {:?} does not lie in the manifest's folder, as a shard must",
                self.file
            ));
        }
        if self.bytes == 0 || self.offset.checked_add(self.bytes).is_none() {
            return Some(format!("{} bytes at {} are no part of a file", self.bytes, self.offset));
        }
        if self.features.is_some_and(|stored| stored.frames == 0 || stored.dim == 0) {
            return Some("features of no frames or no values are none".to_owned());
        }
        None
    }

    /// What the member is called in messages: the shard's path with the member's name behind it.
    pub(crate) fn name_of(&self, folder: &Path, member: &str) -> PathBuf {
        folder.join(&self.file).join(member)
    }

    /// Reads the bytes, for a manifest in `folder`, and compares their digest.
    ///
    /// # Errors
    /// [`ClipFault::Disk`] with the shard's path: it is missing, ends before the range does, holds other
    /// bytes, or the disk fails. None of these is the fault of one utterance.
    pub fn read(&self, folder: &Path) -> Result<Vec<u8>, ClipFault> {
        let path = folder.join(&self.file);
        let fault = |source: io::Error| ClipFault::Disk { path: path.clone(), source };
        let broken = |detail: String| fault(io::Error::new(io::ErrorKind::InvalidData, detail));
        if is_special_file(&path) {
            return Err(broken("it is a pipe or a device and no shard".to_owned()));
        }
        if path.is_dir() {
            return Err(broken("it is a folder and no shard; put the shard back".to_owned()));
        }
        let mut file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => fault(io::Error::new(
                io::ErrorKind::NotFound,
                "the shard is not there; copy it to its manifest, or run `labyrinth shard` again",
            )),
            _ => fault(error),
        })?;
        let length = file.metadata().map_err(fault)?.len();
        // Checked when the line was read, but a range can be made otherwise.
        let end = self.offset.saturating_add(self.bytes);
        let cut = |length: u64| {
            broken(format!(
                "the shard ends after {length} bytes, and its manifest tells of bytes {} to {end}, so \
                 it was cut short or replaced; copy it again, or delete it and run `labyrinth shard` \
                 again",
                self.offset
            ))
        };
        if end > length {
            return Err(cut(length));
        }
        let mut bytes = vec![0; self.bytes as usize];
        file.seek(SeekFrom::Start(self.offset)).map_err(fault)?;
        file.read_exact(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut(length),
            _ => fault(error),
        })?;
        if ShardDigest::of(&bytes) != self.digest {
            return Err(broken(format!(
                "bytes {} to {end} of the shard are not those that its manifest tells of, so it was \
                 damaged or replaced; copy shard and manifest again, or delete it and run `labyrinth \
                 shard` again",
                self.offset
            )));
        }
        Ok(bytes)
    }
}
