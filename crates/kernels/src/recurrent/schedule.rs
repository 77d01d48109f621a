//! In which order a ragged batch is computed, and how it is cut for threads.
//!
//! Step t computes the utterances that are longer than t and no others. The utterances are ordered by
//! falling length, so that those are the first rows of the state. A row's sums do not depend on its
//! company, so neither the order nor the cut changes a bit of any result.
//!
//! Book: book/src/recurrent.md

use std::ops::Range;

use crate::real::Real;

/// Utterances in one part of a batch, at least: so many rows keep the micro-kernel busy.
const PART: usize = 8;

/// Neighbouring utterances and their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub utterances: Range<usize>,
    pub rows: Range<usize>,
}

/// Cuts a batch between utterances into at most `threads` parts of about as many rows.
pub(crate) fn parts(lengths: &[usize], threads: usize) -> Vec<Part> {
    let count = (lengths.len() / PART).clamp(1, threads.max(1));
    let total: usize = lengths.iter().sum();
    let mut parts = Vec::with_capacity(count);
    let (mut first, mut first_row, mut row) = (0, 0, 0);
    for (utterance, &length) in lengths.iter().enumerate() {
        row += length;
        // The share of the rows that belongs to the parts up to this one has been reached.
        let full = row * count >= total * (parts.len() + 1);
        if full || utterance + 1 == lengths.len() {
            parts.push(Part { utterances: first..utterance + 1, rows: first_row..row });
            (first, first_row) = (utterance + 1, row);
        }
    }
    parts
}

/// `[rows, width]` cut into the rows of each part.
pub(crate) fn split_rows<'a, T>(
    values: &'a mut [T],
    parts: &[Part],
    width: usize,
) -> Vec<&'a mut [T]> {
    split(values, parts.iter().map(|part| part.rows.len() * width))
}

/// `[batch, width]`, or nothing, cut into the utterances of each part.
pub(crate) fn split_states<'a, T>(
    values: Option<&'a mut [T]>,
    parts: &[Part],
    width: usize,
) -> Vec<Option<&'a mut [T]>> {
    match values {
        None => parts.iter().map(|_| None).collect(),
        Some(values) => split(values, parts.iter().map(|part| part.utterances.len() * width))
            .into_iter()
            .map(Some)
            .collect(),
    }
}

fn split<T>(values: &mut [T], sizes: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut rest = values;
    let mut pieces = Vec::new();
    for size in sizes {
        let (piece, behind) = rest.split_at_mut(size);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// In which order a ragged batch is computed.
pub(crate) struct Schedule {
    /// Utterances by falling length; equal lengths keep their order.
    order: Vec<usize>,
    /// First row of each utterance, in the order of `order`.
    first: Vec<usize>,
    /// Lengths in the order of `order`.
    lengths: Vec<usize>,
    reverse: bool,
}

impl Schedule {
    pub(crate) fn new(lengths: &[usize], reverse: bool) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&utterance| std::cmp::Reverse(lengths[utterance]));
        let starts: Vec<usize> = lengths
            .iter()
            .scan(0, |next, &length| Some(std::mem::replace(next, *next + length)))
            .collect();
        Self {
            first: order.iter().map(|&utterance| starts[utterance]).collect(),
            lengths: order.iter().map(|&utterance| lengths[utterance]).collect(),
            order,
            reverse,
        }
    }

    pub(crate) fn steps(&self) -> usize {
        self.lengths.first().copied().unwrap_or(0)
    }

    /// How many utterances are longer than `step`; they are the first of the order.
    pub(crate) fn alive(&self, step: usize) -> usize {
        self.lengths.partition_point(|&length| length > step)
    }

    /// The row that the utterance at `place` of the order computes at `step`.
    pub(crate) fn row(&self, place: usize, step: usize) -> usize {
        debug_assert!(step < self.lengths[place]);
        let frame = if self.reverse { self.lengths[place] - 1 - step } else { step };
        self.first[place] + frame
    }

    /// The state with which the utterance at `place` enters `step`: the row before among `states`
    /// `[rows, hidden]`, or the initial one out of `[batch, hidden]`; nothing stands for zero.
    pub(crate) fn before<'a, T>(
        &self,
        place: usize,
        step: usize,
        hidden: usize,
        initial: Option<&'a [T]>,
        states: &'a [T],
    ) -> Option<&'a [T]> {
        match step {
            0 => initial.map(|initial| &initial[self.order[place] * hidden..][..hidden]),
            _ => Some(&states[self.row(place, step - 1) * hidden..][..hidden]),
        }
    }

    /// For every row the state before its step.
    pub(crate) fn previous_states<T: Real>(
        &self,
        hidden: usize,
        initial: Option<&[T]>,
        states: &[T],
        previous: &mut [T],
    ) {
        for place in 0..self.order.len() {
            for step in 0..self.lengths[place] {
                let target = &mut previous[self.row(place, step) * hidden..][..hidden];
                match self.before(place, step, hidden, initial, states) {
                    None => target.fill(T::ZERO),
                    Some(state) => target.copy_from_slice(state),
                }
            }
        }
    }

    /// States `[batch, hidden]` into the order of computation; without any, zeros.
    pub(crate) fn load<T: Real>(&self, hidden: usize, from: Option<&[T]>, to: &mut [T]) {
        for (to, &utterance) in to.chunks_exact_mut(hidden).zip(&self.order) {
            match from {
                Some(from) => to.copy_from_slice(&from[utterance * hidden..][..hidden]),
                None => to.fill(T::ZERO),
            }
        }
    }

    /// The way back of [`Schedule::load`].
    pub(crate) fn store<T: Real>(&self, hidden: usize, from: &[T], to: Option<&mut [T]>) {
        let Some(to) = to else { return };
        for (from, &utterance) in from.chunks_exact(hidden).zip(&self.order) {
            to[utterance * hidden..][..hidden].copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_batch_once_and_are_about_equal() {
        for (lengths, threads) in [
            (vec![100; 16], 2),
            (vec![100; 16], 4),
            (vec![7; 3], 4),
            ((1..60).collect(), 4),
            ((1..60).rev().collect(), 5),
            (vec![1000, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 2),
        ] {
            let parts = parts(&lengths, threads);
            assert!(!parts.is_empty() && parts.len() <= threads);
            let (mut utterance, mut row) = (0, 0);
            for part in &parts {
                assert!(!part.utterances.is_empty());
                assert_eq!((part.utterances.start, part.rows.start), (utterance, row));
                let rows: usize = lengths[part.utterances.clone()].iter().sum();
                assert_eq!(part.rows.len(), rows);
                (utterance, row) = (part.utterances.end, part.rows.end);
            }
            assert_eq!((utterance, row), (lengths.len(), lengths.iter().sum()));
            let largest = parts.iter().map(|part| part.rows.len()).max().unwrap();
            let longest = lengths.iter().max().unwrap();
            assert!(largest <= row / parts.len() + 2 * longest, "{lengths:?} {parts:?}");
        }
        assert_eq!(parts(&[100; 16], 4).len(), 2);
        assert_eq!(parts(&[100; 3], 4).len(), 1);
    }
}
