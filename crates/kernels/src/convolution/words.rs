//! How the numbers of a picture become the words that the micro-kernel multiplies.
//!
//! In f32 a word is a number. In bf16 it is a rounded number, or, where the CPU multiplies pairs, a pair
//! of neighbours in the sum (`matmul/kernel.rs`). A window's row runs over bins and channels, so neighbours
//! in the sum are neighbours in memory, but windows begin at any bin:
//!
//! * with an even number of channels every bin begins a pair, and a picture has half as many words as
//!   numbers;
//! * with an odd one (1 channel of features, 3 of features and their deltas) each number begins a pair with
//!   its right neighbour, overlapping the next; a window reads every other word. A channel of zeros would
//!   be simpler and take 41 words for a row of 41 taps instead of 21, 14 for one of 7 × 3 instead of 11.
//!
//! A row of odd length ends in half a pair: its tap is zero, and what it meets lies in the same row of the
//! same utterance or is zero too.

use crate::matmul::kernel::{Kernel, Operands};
use crate::real::Real;

/// The words of rows of bins, each of so many channels.
#[derive(Clone, Copy)]
pub(super) struct Words<T: 'static> {
    kernel: Kernel<T>,
    pub(super) channels: usize,
}

impl<T: Real> Words<T> {
    pub(super) fn of(kernel: &Kernel<T>, channels: usize) -> Self {
        Self { kernel: *kernel, channels }
    }

    /// Whether words are numbers, so that no copy is needed.
    pub(super) fn plain(&self) -> bool {
        matches!(self.kernel.operands, Operands::Plain)
    }

    fn overlap(&self) -> bool {
        self.kernel.word() == 2 && self.channels % 2 == 1
    }

    /// Words from one bin to the next.
    pub(super) fn bin(&self) -> usize {
        if self.overlap() { self.channels } else { self.channels / self.kernel.word() }
    }

    /// Words from one of a window to the next.
    pub(super) fn step(&self) -> usize {
        if self.overlap() { 2 } else { 1 }
    }

    /// A row of `skip` empty bins, those of `shown` and empty ones to its end.
    pub(super) fn write(&self, skip: usize, shown: &[T], row: &mut [T]) {
        let bins = shown.len() / self.channels;
        let (before, rest) = row.split_at_mut(skip * self.bin());
        let (inside, after) = rest.split_at_mut(bins * self.bin());
        before.fill(T::ZERO);
        after.fill(T::ZERO);
        match self.kernel.operands {
            Operands::Plain => inside.copy_from_slice(shown),
            Operands::Rounded(_) => {
                inside.copy_from_slice(shown);
                self.kernel.round(inside);
            }
            Operands::Pairs(pairs) if !self.overlap() => pairs.along(shown, inside),
            Operands::Pairs(pairs) => {
                let (Some((first, right)), Some((end, left)), Some((word, words))) =
                    (shown.split_first(), shown.split_last(), inside.split_last_mut())
                else {
                    return;
                };
                if let Some(word) = before.last_mut() {
                    pairs.across(&[T::ZERO], Some(&[*first]), std::slice::from_mut(word));
                }
                pairs.across(left, Some(right), words);
                pairs.across(&[*end], None, std::slice::from_mut(word));
            }
        }
    }
}
