//! From batches to a trained model: the recipe, the loop, checkpoints, exact resume, the run log,
//! and evaluation.
//!
//! # Layout
//! - [`recipe`]: the TOML file that describes an experiment whole.
//! - [`mixture`]: its training data: one manifest, or several with weights.
//! - [`run_directory`]: the folder of one training, and what it must not overwrite.
//! - [`describe`]: what a recipe or a model is before it is run.
//! - [`schedule`]: the learning rate along the way.
//! - [`checkpoint`]: all that a training needs to go on exactly, written so that no crash can
//!   take it away.
//! - `average`: a running mean of the weights.
//! - `weight_noise`: noise on the weights while they learn.
//! - `objective`: the loss: CTC, of one head or several, or frame by frame.
//! - [`trainer`]: the loop, on one screen.
//! - `sessions`: which processes worked on a run, on what, for how long.
//! - [`report`]: a run as a page to look at and to listen to.
//! - [`results`]: records of trials, and the page of published figures.
//! - [`study`]: several recipes and seeds as a queue, and the answer to its question.
//! - [`mod@evaluate`]: a model on a manifest: error rates with intervals, real-time factor.
//! - [`streaming`]: the same in pieces, beside whole recordings.
//!
//! # What a result depends on
//! On the recipe (its seed included), the data and the instruction set; never on the number of
//! threads or loader workers, nor on whether the training was interrupted.

mod average;
pub mod checkpoint;
mod data;
pub mod describe;
mod dev_score;
pub mod error;
pub mod evaluate;
mod from_model;
pub mod mixture;
mod objective;
pub mod recipe;
pub mod report;
pub mod results;
pub mod run_directory;
pub mod schedule;
mod sessions;
pub mod streaming;
pub mod study;
pub mod trainer;
mod weight_noise;

pub use describe::{Described, Feasibility, Subject};
pub use dev_score::{DevScore, FrameScore};
pub use error::TrainError;
pub use evaluate::{Evaluation, Seen, evaluate, evaluate_with};
pub use mixture::{Mixture, WeightedManifest};
pub use recipe::{
    AuxiliaryPhonemes, DataSection, PretrainedOptions, Recipe, StageOptions, TrainSection,
};
pub use report::{WrittenReport, write_report};
pub use run_directory::RunDirectory;
pub use sessions::peak_memory;
pub use streaming::{Difference, StreamOptions, StreamedEvaluation, evaluate_stream};
pub use trainer::{Event, Summary, TrainOptions, train};
