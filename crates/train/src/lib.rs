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
//! - `objective`: the loss: CTC, of one head or several, or frame by frame.
//! - [`trainer`]: the loop, on one screen.
//! - [`evaluate`]: a model on a manifest: error rates with intervals, real-time factor.
//!
//! # What a result depends on
//! On the recipe (its seed included), the data and the instruction set; never on the number of
//! threads or loader workers, nor on whether the training was interrupted.

pub mod checkpoint;
mod data;
pub mod describe;
pub mod error;
pub mod evaluate;
mod from_model;
pub mod mixture;
mod objective;
pub mod recipe;
pub mod run_directory;
pub mod schedule;
pub mod trainer;

pub use data::{DevScore, FrameScore};
pub use describe::{Described, Feasibility, Subject};
pub use error::TrainError;
pub use evaluate::{Evaluation, Seen, evaluate};
pub use mixture::{Mixture, WeightedManifest};
pub use recipe::{
    AuxiliaryPhonemes, DataSection, PretrainedOptions, Recipe, StageOptions, TrainSection,
};
pub use run_directory::RunDirectory;
pub use trainer::{Event, Summary, TrainOptions, train};
