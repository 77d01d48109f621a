//! Posteriors to words.
//!
//! # Layout
//!
//! - [`greedy`](mod@greedy): the best label of every frame, collapsed, and the words with their times.
//! - [`growing`]: the same, frame by frame: words as soon as nothing can change them.
//! - [`recognizer`]: a model file that listens: features, network and search in one.
//! - [`stream`]: the same while a recording comes in, and `chunks` for models that cannot wait for its end.

mod chunks;
pub mod greedy;
pub mod growing;
pub mod recognizer;
pub mod stream;

pub use chunks::ChunkOptions;
pub use greedy::{Token, Word, greedy, text, words};
pub use growing::GrowingWords;
pub use recognizer::{Recognition, Recognizer, RecognizerError};
pub use stream::RecognizerStream;
