//! Why shards cannot be written, each in one sentence with the file and the way out.

use crate::atomic::remedy;
use crate::manifest::ManifestError;
use labyrinth_signal::FeatureError;
use std::io;
use std::path::PathBuf;

/// Why no shards could be written. Each is one sentence with the file and the way out.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The folder holds no manifest.
    #[error("{} holds no manifest; name a prepared folder or a manifest (.jsonl)", path.display())]
    Nothing {
        /// What was named.
        path: PathBuf,
    },
    /// A manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest tells of features.
    #[error(
        "{} tells of shards that hold features and no sound; shard the manifest that they were made from",
        path.display()
    )]
    Features {
        /// The manifest.
        path: PathBuf,
    },
    /// The features' options cannot be followed.
    #[error(transparent)]
    Options(#[from] FeatureError),
    /// The features cannot be stored in so few bits.
    #[error("the features of the recipe {reason}")]
    NotStorable {
        /// Why, and the way out.
        reason: &'static str,
    },
    /// Two manifests would have the same shards.
    #[error(
        "{} and {} would both become {name}.jsonl; shard one of them into a folder of its own",
        first.display(),
        second.display()
    )]
    SameName {
        /// Of the shards.
        name: String,
        /// A manifest.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
    },
    /// The output folder is that of the input.
    #[error(
        "the shards would stand beside {}, from which they are made; name another folder with -o, such \
         as {}",
        manifest.display(),
        manifest.with_file_name("shards").display()
    )]
    Input {
        /// The manifest.
        manifest: PathBuf,
    },
    /// A file that is no part of shards stands in the way.
    #[error(
        "{} stands there already and was not written by `labyrinth shard`; name another folder with -o",
        path.display()
    )]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// Shards of something else stand there.
    #[error(
        "{} is of shards made from {found}, and these would be made from {wanted}; name another folder \
         with -o, or delete the shards that are there",
        path.display()
    )]
    Foreign {
        /// The index or the list.
        path: PathBuf,
        /// What it was made from.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// An index or a list is not what this program writes.
    #[error("{} is damaged ({reason}); delete it and run the command again", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An option has an impossible value.
    #[error("{option} is {value}, and must be {wanted}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What would do.
        wanted: String,
    },
    /// The disk failed while reading.
    #[error("{} cannot be read ({source}); see to the disk or its permissions", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The disk failed, or is full, while writing.
    #[error("{} cannot be written ({source}); {} or name another folder with -o, and run the command again: \
             what is done is kept", path.display(), remedy(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}
