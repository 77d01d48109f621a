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

use rayon::prelude::*;

use super::Convolution;
use crate::cpu::Cpu;
use crate::matmul::kernel::{Kernel, Operands};
use crate::real::Real;
use crate::window::{Batch, Block, Span, blocks};
use crate::{scratch, vector};

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

/// Where a block's words of dy start: block after block, in each panel after panel.
pub(super) fn panel_start(
    folded: &Batch,
    block: &Block,
    panels: usize,
    panel_line: usize,
) -> usize {
    (block.utterance.out_first + block.first) * folded.out_bins * panels * panel_line
}

/// Writes the words of dy, for each block of the folded batch and each panel of outputs `[count, bins,
/// width]`, and adds the sums of dy itself over all positions to `dbias`: each block's frames, then
/// their partners, block after block.
#[allow(clippy::too_many_arguments)]
pub(super) fn fold_gradient<T: Real>(
    cpu: Cpu,
    kernel: &Kernel<T>,
    batch: &Batch,
    folded: &Batch,
    block_frames: usize,
    dy: &[T],
    words: &mut [T],
    dbias: &mut [T],
) {
    let (width, out) = (kernel.columns, dbias.len());
    let padded = out.next_multiple_of(width);
    let row = batch.out_bins * out;
    let mut rest = words;
    let mut tasks = Vec::new();
    let spans = batch.utterances.iter().zip(&folded.utterances);
    for (span, own) in spans {
        for first in (0..own.out_frames).step_by(block_frames) {
            let count = block_frames.min(own.out_frames - first);
            let len = count * batch.out_bins * padded;
            let (words, behind) = std::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            let frames = |first: usize| {
                let first = first.min(span.out_frames);
                let count = count.min(span.out_frames - first);
                &dy[(span.out_first + first) * row..][..count * row]
            };
            let partners = if kernel.word() == 2 { frames(first + own.out_frames) } else { &[] };
            tasks.push((frames(first), partners, words));
        }
    }
    debug_assert!(rest.is_empty());
    scratch::with_zeros(tasks.len() * out, |sums: &mut [T]| {
        let tasks = tasks.into_par_iter().zip(sums.par_chunks_mut(out));
        tasks.for_each(|((frames, partners, words), sums)| {
            vector::add_column_sums(cpu, frames, out, frames.len() / out, sums);
            vector::add_column_sums(cpu, partners, out, partners.len() / out, sums);
            let panel_len = words.len() / (padded / width);
            for (panel, words) in words.chunks_exact_mut(panel_len).enumerate() {
                let columns = panel * width..out.min((panel + 1) * width);
                pack_panel(kernel, out, columns, frames, partners, words);
            }
        });
        sums.chunks_exact(out).for_each(|sums| vector::add(cpu, sums, dbias));
    });
}

/// These columns of some positions and of their partners, of which the last may be missing.
fn pack_panel<T: Real>(
    kernel: &Kernel<T>,
    out: usize,
    columns: std::ops::Range<usize>,
    frames: &[T],
    partners: &[T],
    words: &mut [T],
) {
    let width = kernel.columns;
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
                target.copy_from_slice(frame);
                kernel.round(target);
            }
        }
    }
}

/// The blocks that [`fold_gradient`] has packed.
pub(super) fn folded_blocks(folded: &Batch, block_frames: usize) -> Vec<Block> {
    blocks(folded, |span| span.out_frames, block_frames)
}
