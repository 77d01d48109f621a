//! Posteriors to words.
//!
//! # Layout
//!
//! - [`greedy`](mod@greedy): the best label of every frame, collapsed, and the words with their times.
//! - [`align`](mod@align): the best path of a known transcript, and where its labels end and begin.
//! - [`aligner`]: a model file that aligns: letters, words or phonemes with their times.
//! - [`one_word`](mod@one_word): the most probable transcript of exactly one word.
//! - [`quiet`]: which frames hold nothing but the room.
//! - [`growing`]: the same, frame by frame: words as soon as nothing can change them.
//! - [`recognizer`]: a model file that listens: features, network and search in one.
//! - [`stream`]: the same while a recording comes in, and `chunks` for models that cannot wait for its end.

pub mod align;
pub mod aligner;
mod chunks;
pub mod greedy;
pub mod growing;
pub mod one_word;
pub mod quiet;
pub mod recognizer;
pub mod stream;

pub use align::{AlignError, BoundaryRule, best_path, best_path_of_ways, spread};
pub use aligner::{Aligner, AlignerError, AlignerOptions, Alignment};
pub use chunks::ChunkOptions;
pub use greedy::{Token, Word, greedy, text, words};
pub use growing::GrowingWords;
pub use one_word::{one_word, search};
pub use recognizer::{Recognition, Recognizer, RecognizerError};
pub use stream::RecognizerStream;
