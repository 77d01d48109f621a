//! Posteriors to words.
//!
//! # Layout
//!
//! - [`greedy`](mod@greedy): the best label of every frame, collapsed, and the words with their times.

pub mod greedy;

pub use greedy::{Token, Word, greedy, text, words};
