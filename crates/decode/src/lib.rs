//! Posteriors to words.
//!
//! # Layout
//!
//! - [`greedy`](mod@greedy): the best label of every frame, collapsed, and the words with their times.
//! - [`recognizer`]: a model file that listens: features, network and search in one.

pub mod greedy;
pub mod recognizer;

pub use greedy::{Token, Word, greedy, text, words};
pub use recognizer::{Recognition, Recognizer, RecognizerError};
