//! Transcripts to tokens and back, and scores.
//!
//! # Layout
//!
//! - [`normalize`]: one function from a transcript as written to a transcript as trained and scored;
//! - [`alphabet`]: characters, words or phonemes to CTC labels and back, and the fewest frames a transcript needs;
//! - [`lexicon`]: words and how they are spoken;
//! - [`align`](mod@align): the edit alignment of two sequences, with ties broken by a rule that fixes the counts;
//! - [`counts`]: substitutions, deletions and insertions, and the rates made of them;
//! - [`interval`]: the 95 % confidence interval of an error rate;
//! - [`compare`](mod@compare): whether one recogniser is better than another, or was lucky;
//! - [`track_options`]: how label tracks are read as labels;
//! - [`transcripts`]: files of transcripts, as JSON Lines, Kaldi `text` or plain lines;
//! - [`plain_words`]: what serde says of a value that does not fit, in words for people;
//! - [`score`]: two such files, or the pairs of an evaluation, to a report;
//! - [`report`]: that report as text.
//!
//! ```
//! use labyrinth_text::{Normalizer, NormalizerOptions, word_errors};
//!
//! let normalizer = Normalizer::new(&NormalizerOptions::default())?;
//! let reference = normalizer.apply("Ring the bell, now!");
//! let counts = word_errors(&reference, "ring a bell").counts;
//! assert_eq!((counts.substitutions, counts.deletions, counts.rate()), (1, 1, Some(0.5)));
//! # Ok::<(), labyrinth_text::NormalizerError>(())
//! ```
//!
//! Nothing here knows about sound, frames or models: the crate stands on strings alone.

pub mod align;
pub mod alphabet;
pub mod compare;
pub mod counts;
pub mod interval;
pub mod lexicon;
pub mod normalize;
pub mod plain_words;
pub mod report;
pub mod score;
pub mod track_options;
pub mod transcripts;

pub use align::{Alignment, Operation, align, error_counts};
pub use alphabet::{Alphabet, BLANK, InvalidAlphabet, OutsideAlphabet, Units, ctc_minimum_frames};
pub use compare::{Comparison, NotPaired, PairedErrors, compare, pair_scores};
pub use counts::{ErrorCounts, character_errors, word_errors};
pub use interval::{Interval, confidence_interval};
pub use lexicon::{Lexicon, LexiconError, OutsideLexicon};
pub use normalize::{Case, Normalizer, NormalizerError, NormalizerOptions};
pub use score::{
    Pair, ScoreError, ScoreOptions, ScoreReport, UtteranceScore, score_files, score_pairs,
};
pub use track_options::TrackOptions;
pub use transcripts::{
    Role, Transcript, TranscriptError, TranscriptFormat, Transcripts, read_pair, read_transcripts,
};
