//! From folders of recordings to batches: manifests, the ledger, preparation, checks and the loader.
//!
//! # Layout
//! - [`manifest`]: one utterance a line, JSON Lines with NeMo's keys.
//! - [`index`]: a manifest of any size, opened without being held.
//! - [`ledger`]: read = kept + refused, each refusal with its id and reason.
//! - [`prepare`]: the recipes of public corpora and of a user's own folder, one file each.
//! - [`mod@download`]: a publisher's file, fetched when it is asked for: resumed and verified.
//! - [`labels`]: what is said when: Audacity, CTM, TextGrid, TIMIT and SRT, read and written.
//! - [`check`](mod@check): what is wrong with a corpus, before training finds out.
//! - [`loader`]: manifests to batches of features in worker threads, in bounded memory, with an
//!   order that is a function of (seed, epoch) and a position that is four numbers.
//! - [`source`]: what the loader reads from: manifests in memory or through an index.
//! - [`permutation`]: the keyed permutation behind that order.
//! - [`recordings`]: noises and rooms that training mixes in.
//! - [`clip`]: the one place where the audio of a manifest's line is read.
//! - [`shard`]: corpora as tar shards, written in parallel and resumed; where in one an utterance lies.
//! - [`features`]: what a shard may hold in the place of audio.
//! - [`page`]: what every HTML page of this program is made of.
//! - [`atomic`]: files that are either whole or not there.
//!
//! Two kinds of fault are kept apart everywhere. A fault of one utterance (missing, unreadable,
//! empty audio, a transcript that cannot be learnt) becomes a [`Refusal`] in a [`Ledger`] and never
//! stops a run. A fault of the machine (a disk that returns an error) is an `Err` and always does.

pub mod atomic;
pub mod check;
pub mod clip;
mod digest;
pub mod download;
pub mod features;
pub mod index;
pub mod labels;
pub mod ledger;
pub mod loader;
pub mod manifest;
pub mod page;
mod parallel;
pub mod permutation;
pub mod prepare;
pub mod recordings;
pub mod shard;
pub mod source;
pub mod subset;
mod temporary;

pub use check::{
    CheckContext, CheckError, CheckReport, Checked, Finding, FindingKind, FixReport, Severity,
    Survey, check,
};
pub use download::{DownloadError, DownloadEvent, Patience, RemoteFile, download};
pub use features::{
    FeatureBits, FeatureMismatch, StoredFeatures, StoredRows, read_stored_features, stored_features,
};
pub use index::IndexedManifest;
pub use labels::{Label, LabelError, LabelFormat, LabelTrack, read_labels};
pub use ledger::{Ledger, LedgerError, Reason, Refusal};
pub use loader::frames::{
    FrameGrid, IGNORED, TrackContents, frame_targets, read_spoken, spoken_text,
};
pub use loader::{
    Batch, Corpus, Framewise, Infeasible, Loader, LoaderError, LoaderOptions, OutputFrames,
    Position, Rank, SoundOptions, SoundRecordings, check_options, plan_refusals, plan_training,
};
pub use manifest::{Manifest, ManifestError, Utterance};
pub use prepare::{
    CORPORA, CorpusInfo, CorpusRecord, PrepareError, PrepareOptions, PrepareReport, Published,
    PublishedArchive, Totals, manifest_path, prepare_an4, prepare_folder, prepare_fsdd,
    prepare_yesno,
};
pub use recordings::{Recordings, RecordingsError};
pub use shard::{
    ShardAudio, ShardError, ShardFeatures, ShardOptions, ShardRange, ShardReport, write_shards,
};
pub use source::{Source, open_source, shared_utterances, training_alphabet};

/// What is told how far a long pass over a corpus has come: (utterances done, utterances in all).
/// Called from worker threads, in no particular order of the first number.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);
