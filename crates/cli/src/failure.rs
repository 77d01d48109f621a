//! The one error type at the program's edge: what ends a command, in one sentence for the screen.

use std::path::{Path, PathBuf};

use labyrinth_corpus::atomic::remedy;

/// Why a command could not run. Its text is what the user reads after `labyrinth: `.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A recipe, a run directory, a training, an evaluation.
    #[error(transparent)]
    Train(#[from] labyrinth_train::TrainError),
    /// A preparation.
    #[error(transparent)]
    Prepare(#[from] labyrinth_corpus::PrepareError),
    /// A download.
    #[error(transparent)]
    Download(#[from] labyrinth_corpus::DownloadError),
    /// A check.
    #[error(transparent)]
    Check(#[from] labyrinth_corpus::CheckError),
    /// Shards.
    #[error(transparent)]
    Shard(#[from] labyrinth_corpus::ShardError),
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] labyrinth_corpus::ManifestError),
    /// A file of features.
    #[error(transparent)]
    Format(#[from] labyrinth_signal::FormatError),
    /// Options of features.
    #[error(transparent)]
    Features(#[from] labyrinth_signal::FeatureError),
    /// Two files of transcripts.
    #[error(transparent)]
    Score(#[from] labyrinth_text::ScoreError),
    /// A model.
    #[error(transparent)]
    Recognizer(#[from] labyrinth_decode::RecognizerError),
    /// An alignment.
    #[error(transparent)]
    Aligner(#[from] labyrinth_decode::AlignerError),
    /// A label track.
    #[error(transparent)]
    Labels(#[from] labyrinth_corpus::LabelError),
    /// A ledger.
    #[error(transparent)]
    Ledger(#[from] labyrinth_corpus::LedgerError),
    /// A model file.
    #[error(transparent)]
    Model(#[from] labyrinth_nn::ModelFileError),
    /// A network.
    #[error(transparent)]
    Network(#[from] labyrinth_nn::NnError),
    /// Weights of others.
    #[error(transparent)]
    Foreign(#[from] labyrinth_nn::ForeignError),
    /// Weights that do not fit.
    #[error(transparent)]
    Import(#[from] labyrinth_nn::export::ImportError),
    /// An instruction set that this machine lacks.
    #[error(transparent)]
    Kernel(#[from] labyrinth_kernels::KernelError),
    /// The threads asked for cannot be had.
    #[error("cannot start {threads} threads ({reason}); name fewer with --threads")]
    Threads {
        /// How many.
        threads: usize,
        /// What the system said.
        reason: String,
    },
    /// A file of the command's own output.
    #[error("cannot write {} ({source}); {} or name another place", path.display(), remedy(source))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that the command reads itself.
    #[error("cannot read {} ({source}); check the path and its permissions", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Standard output is full or failing.
    #[error("cannot write to standard output ({0}); check where it leads")]
    Output(std::io::Error),
    /// Standard output is a pipe whose reader has gone: no fault at all.
    #[error("the reader of standard output has gone")]
    ClosedPipe,
    /// Anything that is said in a sentence of its own.
    #[error("{0}")]
    Sentence(String),
}

impl Failure {
    /// A file that cannot be written.
    pub fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Write { path: path.into(), source }
    }

    /// A file that cannot be read.
    pub fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Read { path: path.into(), source }
    }
}
