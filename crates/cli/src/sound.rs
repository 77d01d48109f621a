//! The samples of a recording at the rate that something is computed at: whole, or in the pieces in
//! which a stream brings them.

use labyrinth_signal::{Resampler, resample};

/// Samples of one recording.
pub enum Sound {
    /// All of them.
    Whole(Vec<f32>),
    /// The same, and where each piece ends.
    Pieces {
        /// All samples.
        samples: Vec<f32>,
        /// For each piece the number of samples up to its end.
        ends: Vec<usize>,
    },
}

impl Sound {
    /// From `from` to `to` samples per second; in a stream that brings `piece` samples of the recording
    /// at once, what the resampler gives for each piece and for the end.
    pub fn new(samples: &[f32], from: u32, to: u32, piece: Option<usize>) -> Self {
        let Some(piece) = piece else { return Self::Whole(resample(samples, from, to)) };
        let mut resampler = Resampler::new(from, to);
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        for piece in samples.chunks(piece.max(1)) {
            resampler.push(piece, &mut out);
            ends.push(out.len());
        }
        resampler.finish(&mut out);
        ends.push(out.len());
        Self::Pieces { samples: out, ends }
    }

    /// The samples, piece by piece; a piece may be empty.
    pub fn pieces(&self) -> impl Iterator<Item = &[f32]> {
        let (samples, ends) = match self {
            Self::Whole(samples) => (samples, vec![samples.len()]),
            Self::Pieces { samples, ends } => (samples, ends.clone()),
        };
        let mut begin = 0;
        ends.into_iter().map(move |end| &samples[std::mem::replace(&mut begin, end)..end])
    }
}
