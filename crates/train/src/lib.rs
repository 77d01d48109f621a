//! From batches to a trained model: the recipe, the loop, checkpoints, exact resume, the run log,
//! and evaluation.
//!
//! # Layout
//! - [`recipe`]: the TOML file that describes an experiment whole.
//! - [`mixture`]: its training data: one manifest, or several with weights.
//! - [`run_directory`]: the folder of one training, and what it must not overwrite.
//! - [`schedule`]: the learning rate along the way.
//! - [`checkpoint`]: all that a training needs to go on exactly, written so that no crash can
//!   take it away.
//! - [`trainer`]: the loop, on one screen.
//! - [`evaluate`]: a model on a manifest: error rates with intervals, real-time factor.
//!
//! # What a result depends on
//! On the recipe (its seed included), the data and the instruction set; never on the number of
//! threads or loader workers, nor on whether the training was interrupted.

pub mod checkpoint;
mod data;
pub mod error;
pub mod evaluate;
pub mod mixture;
pub mod recipe;
pub mod run_directory;
pub mod schedule;
pub mod trainer;

pub use data::DevScore;
pub use error::TrainError;
pub use evaluate::{Evaluation, Seen, evaluate};
pub use mixture::{Mixture, WeightedManifest};
pub use recipe::{DataSection, PretrainedOptions, Recipe, StageOptions, TrainSection};
pub use run_directory::RunDirectory;
pub use trainer::{Event, Summary, TrainOptions, train};
