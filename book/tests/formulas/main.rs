//! Every formula of the book that has code beside it, computed once more straight from the page and compared.
//!
//! One file per chapter. What is computed here is slow and plain on purpose: sums as they are written, in `f64`,
//! over indices as the page has them.
#![allow(clippy::needless_range_loop)]

mod alignment;
mod cepstrum;
mod convolution;
mod ctc;
mod decoding;
mod exact;
mod fast;
mod frames;
mod listed;
mod mel;
mod recurrent;
mod sampling;
mod spectrum;
mod training;
mod transfer;
mod wer;
