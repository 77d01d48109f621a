//! Preparation: a corpus as its publisher ships it, or a user's folder, becomes three manifests and a
//! ledger.
//!
//! One file per corpus ([`an4`], [`librispeech`], [`folder`] …; [`CORPORA`] lists them all) says how its
//! transcripts, speakers and splits are found; the rest of this module is what they share. The output folder holds
//! `train.jsonl`, `dev.jsonl`, `test.jsonl`, `ledger.jsonl`, `corpus.json` (what the corpus is and by
//! which rule it was split) and, only where an archive had to be unpacked, `audio/`. Recordings are
//! never copied: manifests point to where they lie.
//!
//! Durations are those of the decoded audio, so that every recording has been read once before a
//! training begins; one that cannot be read stands in the ledger by name and reason. The same input
//! gives the same bytes, and what stands in the output folder is never overwritten unasked.

pub mod an4;
mod archive;
pub mod arctic;
mod assign;
mod candidate;
mod catalog;
pub mod common_voice;
pub mod csv;
pub mod folder;
pub mod fsdd;
pub mod gigaspeech;
pub mod kaldi;
pub mod lhotse;
pub mod librispeech;
mod list_files;
mod lists;
mod named_files;
pub mod nemo;
mod output;
pub(crate) mod paths;
pub mod peoples_speech;
mod published;
mod report;
mod section;
mod source;
pub mod speech_commands;
pub mod speechocean762;
mod split;
pub mod ted_lium;
pub mod timit;
pub mod vctk;
pub mod yesno;

pub use an4::prepare_an4;
pub use catalog::{CORPORA, CorpusInfo};
pub use folder::prepare_folder;
pub use fsdd::prepare_fsdd;
pub use output::{CORPUS_FILE, CorpusRecord};
pub use paths::manifest_path;
pub use published::{Published, PublishedArchive};
pub use report::{PrepareReport, SplitReport, Totals};
pub use yesno::prepare_yesno;

use crate::ManifestError;
use crate::atomic::remedy;
use std::io;
use std::path::{Path, PathBuf};

/// What every preparation is told.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// The corpus: its folder, a folder that holds its archive, or the archive itself.
    pub from: PathBuf,
    /// Where there are any, the corpus is what these archives hold together, and `from` is the folder they
    /// lie in.
    pub archives: Vec<PathBuf>,
    /// The output folder; made where it does not exist.
    pub out: PathBuf,
    /// This speaker alone becomes the test set, and leaves the other two.
    pub hold_out: Option<String>,
    /// These speakers are the test set, whatever the corpus says; everybody not named trains.
    pub test_speakers: Vec<String>,
    /// These speakers are the development set; where there are none, but test speakers, a tenth of the
    /// others' speech is.
    pub dev_speakers: Vec<String>,
    /// Replace what an earlier, different preparation left in the output folder.
    pub force: bool,
}

impl PrepareOptions {
    /// The standard split, nothing overwritten.
    pub fn new(from: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            from: from.into(),
            archives: Vec::new(),
            out: out.into(),
            hold_out: None,
            test_speakers: Vec::new(),
            dev_speakers: Vec::new(),
            force: false,
        }
    }

    fn names_speakers(&self) -> bool {
        !(self.test_speakers.is_empty() && self.dev_speakers.is_empty())
    }
}

/// Why a corpus could not be prepared. Each is one sentence with the file and the way out.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// `--from` names nothing.
    #[error("{} does not exist; name {expected} with --from", path.display())]
    MissingFrom {
        /// What was named.
        path: PathBuf,
        /// What should be named.
        expected: String,
    },
    /// `--from` names a folder without recordings.
    #[error("{} holds no recordings; name {expected} with --from", path.display())]
    Empty {
        /// What was named.
        path: PathBuf,
        /// What should be named.
        expected: String,
    },
    /// `--from` names something else than this corpus.
    #[error("{} does not look like {title} ({reason}); name {expected} with --from", path.display())]
    NotThisCorpus {
        /// What was named.
        path: PathBuf,
        /// The corpus.
        title: String,
        /// What is missing.
        reason: String,
        /// What should be named.
        expected: String,
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
    #[error("{} cannot be written ({source}); {} or choose another folder", path.display(), remedy(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// A list of the corpus is broken.
    #[error("{}, line {line}: {reason}; get the corpus anew or correct the line", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A packed list cannot be unpacked to its end.
    #[error("{}, line {line}: the .gz is damaged or cut off ({reason}); get it anew", path.display())]
    Packed {
        /// The list.
        path: PathBuf,
        /// The line at which it breaks off, counted from one.
        line: usize,
        /// What the unpacking met.
        reason: String,
    },
    /// The archive is cut off, damaged or hostile.
    #[error("the archive {} {reason}; get it anew from its publisher", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The output folder holds something else.
    #[error(
        "{} already stands there and differs from what would be written; choose another folder with \
         -o, or --force to replace it",
        path.display()
    )]
    Occupied {
        /// The file or folder in the way.
        path: PathBuf,
    },
    /// Nothing of the corpus can be used.
    #[error(
        "not one of the {read} utterances under {} can be used (the first, {first}); correct the \
         recordings and prepare again",
        path.display()
    )]
    NothingKept {
        /// What was read.
        path: PathBuf,
        /// Utterances read.
        read: usize,
        /// The first refusal: id, reason, detail.
        first: String,
    },
    /// A manifest of another toolkit is broken.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// `--test-speakers` or `--dev-speakers` cannot be had.
    #[error("speaker {speaker:?} of {} {reason}", path.display())]
    Speakers {
        /// The corpus.
        path: PathBuf,
        /// The name given.
        speaker: String,
        /// Why not, and what could be given.
        reason: String,
    },
    /// `--hold-out` names nobody, or there is nobody to hold out against.
    #[error("speaker {speaker:?} cannot be held out of {}: {reason}", path.display())]
    HoldOut {
        /// The corpus.
        path: PathBuf,
        /// The name given.
        speaker: String,
        /// Why not, and what could be given.
        reason: String,
    },
}

impl PrepareError {
    /// Tells what is not there from what this user may not look into.
    fn refuse_missing(from: &Path, expected: &str) -> Result<(), Self> {
        match is_there(from) {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(Self::MissingFrom { path: from.to_owned(), expected: expected.to_owned() })
            }
            Err(source) => Err(Self::Read { path: from.to_owned(), source }),
        }
    }

    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { path: path.to_owned(), source }
    }

    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}

/// Whether there is something of this name; an error where its folder cannot be looked into.
pub(crate) fn is_there(path: &Path) -> io::Result<bool> {
    match path.try_exists() {
        // A part of the path is a file.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        other => other,
    }
}
