//! Why nothing could be checked, cleaned or shown: one sentence each, with the way out.

use crate::atomic::remedy;
use crate::clip::reading_failed;
use crate::ledger::LedgerError;
use crate::loader::LoaderError;
use crate::manifest::ManifestError;
use crate::prepare::PrepareError;
use std::io;
use std::path::PathBuf;

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no such file or folder.
    #[error("{} does not exist; name a prepared folder, a manifest or a folder of recordings", path.display())]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// The folder holds neither manifests nor recordings.
    #[error(
        "{} holds neither manifests nor recordings; run `labyrinth prepare` or name another folder",
        path.display()
    )]
    Nothing {
        /// What was named.
        path: PathBuf,
    },
    /// A recording in place of a manifest.
    #[error(
        "{} is a recording, no manifest; name the folder that it lies in, or a manifest (.jsonl)",
        path.display()
    )]
    Recording {
        /// What was named.
        path: PathBuf,
    },
    /// The manifest holds no line.
    #[error("{} holds no utterances; prepare the corpus again or name another manifest", path.display())]
    Empty {
        /// What was named.
        path: PathBuf,
    },
    /// A manifest is broken as a whole.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The ledger beside the manifests is broken.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A folder of recordings cannot be read.
    #[error(transparent)]
    Folder(#[from] PrepareError),
    /// The recipe's features cannot be computed.
    #[error(transparent)]
    Features(#[from] LoaderError),
    /// `corpus.json` is broken.
    #[error("{} is broken ({reason}); prepare the corpus again", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The disk failed.
    #[error("{}", reading_failed(path, source, "see to the disk or its permissions"))]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// A folder of recordings has no manifest that could be cleaned.
    #[error(
        "{} has no manifests to clean; make them first with `labyrinth prepare folder --from` it",
        path.display()
    )]
    NoManifests {
        /// What was named.
        path: PathBuf,
    },
    /// Shards lie beside their manifest, and a cleaned one would lie elsewhere.
    #[error(
        "{} tells of shards, which a cleaned manifest elsewhere could not; clean the manifest that they \
         were made from, and run `labyrinth shard` again",
        path.display()
    )]
    Sharded {
        /// The manifest.
        path: PathBuf,
    },
    /// The cleaned manifests would take the place of what is there.
    #[error("{} {reason}; name another folder for the cleaned manifests", path.display())]
    Occupied {
        /// The folder or file in the way.
        path: PathBuf,
        /// What it is.
        reason: &'static str,
    },
    /// The disk failed, or is full.
    #[error("{} cannot be written ({source}); {} or choose another folder", path.display(), remedy(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}
