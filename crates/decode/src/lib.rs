//! Posteriors to words.
//!
//! # Layout
//!
//! - [`greedy`](mod@greedy): the best label of every frame, collapsed, and the words with their times.
//! - [`align`](mod@align): the best path of a known transcript, and where its labels end and begin.
//! - [`aligner`]: a model file that aligns: letters, words or phonemes with their times.
//! - [`one_word`](mod@one_word): the most probable transcript of exactly one word.
//! - [`quiet`]: which frames hold nothing but the room.
//! - [`recognizer`]: a model file that listens: features, network and search in one.

pub mod align;
pub mod aligner;
pub mod greedy;
pub mod one_word;
pub mod quiet;
pub mod recognizer;

pub use align::{AlignError, BoundaryRule, best_path, spread};
pub use aligner::{Aligner, AlignerError, AlignerOptions, Alignment};
pub use greedy::{Token, Word, greedy, text, words};
pub use one_word::{one_word, search};
pub use recognizer::{Recognition, Recognizer, RecognizerError};
