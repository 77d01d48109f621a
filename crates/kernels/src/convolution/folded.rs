//! Both operands of the gradient of the weights as the words of bf16: copied, rounded and laid out once,
//! for all tasks.
//!
//! The sum runs over positions, so a word of two holds two positions. Any two would do; here frame t of
//! an utterance of n output frames stands beside frame t + h, h = ⌈n / 2⌉, the same bin. The utterance is
//! folded: a window's row in x that frame t meets through tap i,
//!
//! ```text
//! words[t s + i] = (x[t s + i − p], x[(t + h) s + i − p]),   t = 0 … h − 1,
//! ```
//!
//! is shared by all t and i of the same t s + i, as in x itself. So the folded utterance is half as long,
//! with windows as before, and nothing is copied twice; neighbouring frames as pairs would be copied K / s
//! times. Where n is odd, the last frame's partner is a zero of dy. Words of one number are not folded:
//! h = n.
//!
//! Book: book/src/convolution.md

use std::ops::Range;

use rayon::prelude::*;

use super::Convolution;
use crate::matmul::kernel::{Kernel, Operands};
use crate::real::Real;
use crate::scratch;
use crate::window::{Batch, Block, Span};

/// The folded batch: its utterances hold their border of zeros, and what no window sees is cut off.
pub(super) fn fold<T: Real>(layer: &Convolution, kernel: &Kernel<T>, batch: &Batch) -> Batch {
    let size =
        |axis: usize, outputs: usize| (outputs - 1) * layer.stride[axis] + layer.kernel[axis];
    let (mut rows, mut out_rows) = (0, 0);
    let utterances = batch.utterances.iter().map(|span| {
        let out_frames = span.out_frames.div_ceil(kernel.word());
        let folded =
            Span { first: rows, frames: size(0, out_frames), out_first: out_rows, out_frames };
        rows += folded.frames;
        out_rows += out_frames;
        folded
    });
    let utterances = utterances.collect();
    let bins = size(1, batch.out_bins);
    Batch { bins, out_bins: batch.out_bins, utterances, rows, out_rows }
}

/// Rows that a task copies at least.
const ROWS: usize = 8;

/// Writes the words of `x` into `words`, `[rows, bins, in]` of the folded batch.
pub(super) fn fold_input<T: Real>(
    layer: &Convolution,
    kernel: &Kernel<T>,
    batch: &Batch,
    folded: &Batch,
    x: &[T],
    words: &mut [T],
) {
    let channels = layer.in_channels;
    let row = batch.bins * channels;
    let side = layer.padding[1] * channels;
    let line = folded.bins * channels;
    let shown = row.min(line - side);
    let mut tasks = Vec::with_capacity(folded.rows);
    let mut lines = words.chunks_exact_mut(line);
    for (span, own) in batch.utterances.iter().zip(&folded.utterances) {
        let partner = own.out_frames * layer.stride[0];
        for (frame, target) in (0..own.frames).zip(&mut lines) {
            // Between windows that stand further apart than they are long lie rows that none sees.
            if frame % layer.stride[0] < layer.kernel[0] {
                tasks.push((span, [frame, frame + partner], target));
            }
        }
    }
    tasks.into_par_iter().with_min_len(ROWS).for_each(|(span, frames, target)| {
        let [first, second] = frames.map(|frame| {
            let frame = frame.checked_sub(layer.padding[0]).filter(|&frame| frame < span.frames)?;
            Some(&x[(span.first + frame) * row..][..shown])
        });
        let (before, rest) = target.split_at_mut(side);
        let (inside, after) = rest.split_at_mut(shown);
        before.fill(T::ZERO);
        after.fill(T::ZERO);
        match (kernel.operands, first, second) {
            (Operands::Pairs(_), None, None) => inside.fill(T::ZERO),
            (Operands::Pairs(pairs), Some(first), second) => pairs.across(first, second, inside),
            (Operands::Pairs(pairs), None, Some(second)) => {
                scratch::with_zeros(shown, |zeros: &mut [T]| {
                    pairs.across(zeros, Some(second), inside);
                });
            }
            (_, None, _) => inside.fill(T::ZERO),
            (_, Some(first), _) => {
                inside.copy_from_slice(first);
                kernel.round(inside);
            }
        }
    });
}

/// Some frames of the folded batch, and the rows of dy, in frames, that they and their partners are.
pub(super) struct Piece {
    pub block: Block,
    pub frames: Range<usize>,
    /// Empty where words are numbers; the last frame's may be missing.
    pub partners: Range<usize>,
}

/// The folded batch in blocks of `count` frames.
pub(super) fn pieces(batch: &Batch, folded: &Batch, count: usize) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (span, &utterance) in batch.utterances.iter().zip(&folded.utterances) {
        let rows = |first: usize, count: usize| {
            let first = first.min(span.out_frames);
            let last = (first + count).min(span.out_frames);
            span.out_first + first..span.out_first + last
        };
        for first in (0..utterance.out_frames).step_by(count) {
            let count = count.min(utterance.out_frames - first);
            let block = Block { utterance, first, count };
            // Not folded, an utterance ends where its partners would begin.
            let partners = rows(first + utterance.out_frames, count);
            pieces.push(Piece { block, frames: rows(first, count), partners });
        }
    }
    pieces
}

/// Where a piece's words of dy start: piece after piece, in each panel after panel.
pub(super) fn panels_start(folded: &Batch, block: &Block, line: usize) -> usize {
    (block.utterance.out_first + block.first) * folded.out_bins * line
}

/// Writes the words of dy, for each piece and each panel of outputs `[count, bins, width]`.
pub(super) fn fold_gradient<T: Real>(
    kernel: &Kernel<T>,
    pieces: &[Piece],
    out_bins: usize,
    out: usize,
    dy: &[T],
    words: &mut [T],
) {
    let width = kernel.columns;
    let mut rest = words;
    let mut tasks = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let positions = piece.block.count * out_bins;
        let (words, behind) = rest.split_at_mut(positions * out.next_multiple_of(width));
        rest = behind;
        tasks.push((piece, positions * width, words));
    }
    debug_assert!(rest.is_empty());
    tasks.into_par_iter().for_each(|(piece, len, words)| {
        for (panel, words) in words.chunks_exact_mut(len).enumerate() {
            let columns = panel * width..out.min((panel + 1) * width);
            pack_panel(kernel, piece, out_bins * out, out, columns, dy, words);
        }
    });
}

/// These columns of a piece of dy, `row` numbers a frame, as `[positions, width]` words, the columns
/// from `columns.len()` on zero.
pub(super) fn pack_panel<T: Real>(
    kernel: &Kernel<T>,
    piece: &Piece,
    row: usize,
    out: usize,
    columns: Range<usize>,
    dy: &[T],
    words: &mut [T],
) {
    let width = kernel.columns;
    let [frames, partners] =
        [&piece.frames, &piece.partners].map(|frames| &dy[frames.start * row..frames.end * row]);
    if let (Operands::Pairs(pairs), true) = (kernel.operands, out == width) {
        // Rows of dy are rows of the only panel.
        let (paired, last) = words.split_at_mut(partners.len());
        let (frames, last_frame) = frames.split_at(partners.len());
        pairs.across(frames, Some(partners), paired);
        return pairs.across(last_frame, None, last);
    }
    let mut partners = partners.chunks_exact(out);
    for (target, frame) in words.chunks_exact_mut(width).zip(frames.chunks_exact(out)) {
        let (target, padding) = target.split_at_mut(columns.len());
        padding.fill(T::ZERO);
        let frame = &frame[columns.clone()];
        match kernel.operands {
            Operands::Pairs(pairs) => {
                let partner = partners.next().map(|partner| &partner[columns.clone()]);
                pairs.across(frame, partner, target);
            }
            _ => {
                copy_short(frame, target);
                kernel.round(target);
            }
        }
    }
}

/// Copies a few numbers, in pieces whose size the compiler knows: a call of the system's copy takes as
/// long as the copying.
#[inline]
pub(super) fn copy_short<T: Real>(source: &[T], target: &mut [T]) {
    let (pieces, rest) = source.as_chunks::<16>();
    let (target_pieces, target_rest) = target.as_chunks_mut::<16>();
    for (target, piece) in target_pieces.iter_mut().zip(pieces) {
        *target = *piece;
    }
    target_rest.copy_from_slice(rest);
}
