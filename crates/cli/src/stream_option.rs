//! The options that let a model hear recordings piece by piece.

use clap::Args;
use labyrinth_decode::{ChunkOptions, RecognizerError};
use labyrinth_nn::NnError;
use labyrinth_train::{StreamOptions, TrainError};

use crate::failure::Failure;

/// Whether and how recordings are heard in pieces.
#[derive(Args, Clone, Copy)]
pub struct StreamOption {
    /// Hears recordings piece by piece, while they come.
    #[arg(long)]
    stream: bool,
    /// Milliseconds in a piece of a file.
    #[arg(long, value_name = "MS", requires = "stream", default_value = "20",
          value_parser = positive)]
    piece_ms: f64,
    /// Seconds of a chunk, where a model needs whole recordings.
    #[arg(long, value_name = "S", requires = "stream", value_parser = positive)]
    chunk_seconds: Option<f64>,
    /// Seconds heard before and behind each chunk.
    #[arg(long, value_name = "S", requires = "chunk_seconds", default_value = "2",
          value_parser = not_negative)]
    overlap_seconds: f64,
}

fn positive(text: &str) -> Result<f64, String> {
    not_negative(text).and_then(|number| match number > 0.0 {
        true => Ok(number),
        false => Err("it must be above 0".into()),
    })
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("it must be a number, not below 0".into()),
    }
}

impl StreamOption {
    /// Whether a stream is wanted.
    pub fn is_given(self) -> bool {
        self.stream
    }

    /// What the options say, if a stream is wanted.
    pub fn options(self) -> Option<StreamOptions> {
        let overlap_seconds = self.overlap_seconds;
        let chunks =
            self.chunk_seconds.map(|chunk_seconds| ChunkOptions { chunk_seconds, overlap_seconds });
        self.stream.then_some(StreamOptions { piece_ms: self.piece_ms, chunks })
    }

    /// Adds to the refusal of a model what can be done with it.
    pub fn way_out(self, failure: Failure) -> Failure {
        let (Failure::Recognizer(error) | Failure::Train(TrainError::Recognizer(error))) = &failure
        else {
            return failure;
        };
        let other = match error {
            RecognizerError::Network(NnError::NoStream { .. }) => {
                "train one with bidirectional = false in [model], or have this one hear"
            }
            RecognizerError::Features(error) if error.option == "normalize" => "this one hears",
            _ => return failure,
        };
        let sentence = format!("{error}; {other} overlapping chunks: --chunk-seconds 2");
        Failure::Sentence(sentence)
    }
}
