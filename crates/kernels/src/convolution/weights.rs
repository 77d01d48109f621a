//! The gradient of the convolution's weights; its derivation stands in the parent module.
//!
//! Book: book/src/convolution.md

use rayon::prelude::*;

use super::folded::{
    Piece, copy_short, fold, fold_gradient, fold_input, pack_panel, panels_start, pieces,
};
use super::words::Words;
use super::{BACKWARD, BLOCK_POSITIONS, Convolution};
use crate::cpu::Cpu;
use crate::error::KernelError;
use crate::matmul::kernel::{Kernel, Operands, Place, Rows, equal_parts};
use crate::matmul::pack::transpose;
use crate::real::Real;
use crate::window::{Batch, Block};
use crate::{scratch, vector};

/// Tasks that the gradient of the weights is cut into, about.
const TASKS: usize = 32;
/// Taps and channels in a row of the kernel from which on each row is a task of its own.
const LONG_ROW: usize = 64;

/// Tasks that would each copy the same pictures, from which on one copy is made for all of them.
const COPIES: usize = 6;

/// Copies `x` into utterances with `border` frames of zeros before and behind, and `side` zeros on
/// either side of each of their rows of `line` numbers.
fn add_border<T: Real>(
    batch: &Batch,
    x: &[T],
    line: usize,
    border: usize,
    side: usize,
    mut target: &mut [T],
) {
    let row = line - 2 * side;
    let mut utterances = Vec::with_capacity(batch.utterances.len());
    for span in &batch.utterances {
        let own = (span.frames + 2 * border) * line;
        let (bordered, rest) = std::mem::take(&mut target).split_at_mut(own);
        target = rest;
        utterances.push((&x[span.first * row..][..span.frames * row], bordered));
    }
    debug_assert!(target.is_empty());
    utterances.into_par_iter().for_each(|(x, bordered)| {
        let (before, rest) = bordered.split_at_mut(border * line);
        let (inside, behind) = rest.split_at_mut(x.len() / row * line);
        before.fill(T::ZERO);
        behind.fill(T::ZERO);
        for (x, target) in x.chunks_exact(row).zip(inside.chunks_exact_mut(line)) {
            target[..side].fill(T::ZERO);
            target[side..side + row].copy_from_slice(x);
            target[side + row..].fill(T::ZERO);
        }
    });
}

/// Lines of the sums that are turned round together, about.
const TRANSPOSED: usize = 128;

impl Convolution {
    /// dweight and dbias, from operands as the kernel wants them.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn weight_gradient<T: Real>(
        &self,
        cpu: Cpu,
        lengths: &[usize],
        batch: &Batch,
        x: &[T],
        dy: &[T],
        dweight: &mut [T],
        dbias: &mut [T],
    ) -> Result<(), KernelError> {
        let kernel = T::kernel(cpu);
        let unpadded = Self { padding: [0, 0], ..*self };
        let panels = self.out_channels.div_ceil(kernel.columns);
        let parts = self.kernel[0] / self.task_rows();
        if !matches!(kernel.operands, Operands::Plain) {
            let folded = fold(self, &kernel, batch);
            let count = (BLOCK_POSITIONS / kernel.word()).div_ceil(batch.out_bins);
            let pieces = pieces(batch, &folded, count);
            scratch::with(folded.rows * folded.bins * self.in_channels, |words: &mut [T]| {
                fold_input(self, &kernel, batch, &folded, x, words);
                if parts == 1 {
                    // Each task needs its own panel of dy, and nobody else does.
                    let dy = Gradient { dy, words: None };
                    unpadded.add_gradient(cpu, &folded, &pieces, words, dy, dweight, dbias);
                    return;
                }
                let positions = folded.out_rows * folded.out_bins;
                scratch::with(positions * panels * kernel.columns, |dy_words: &mut [T]| {
                    let (bins, out) = (folded.out_bins, self.out_channels);
                    fold_gradient(&kernel, &pieces, bins, out, dy, dy_words);
                    let dy = Gradient { dy, words: Some(dy_words) };
                    unpadded.add_gradient(cpu, &folded, &pieces, words, dy, dweight, dbias);
                });
            });
            return Ok(());
        }
        let dy = Gradient { dy, words: None };
        if panels * parts < COPIES || self.padding == [0, 0] {
            let pieces = self.output_pieces(batch);
            self.add_gradient(cpu, batch, &pieces, x, dy, dweight, dbias);
            return Ok(());
        }
        // The same sums over utterances that hold their border of zeros: no task copies its pictures.
        let [border, side] = self.padding;
        let bordered: Vec<usize> = lengths.iter().map(|frames| frames + 2 * border).collect();
        let bordered = unpadded.window().batch(BACKWARD, &bordered, batch.bins + 2 * side)?;
        let line = bordered.bins * self.in_channels;
        scratch::with(bordered.rows * line, |target: &mut [T]| {
            add_border(batch, x, line, border, side * self.in_channels, target);
            let pieces = unpadded.output_pieces(&bordered);
            unpadded.add_gradient(cpu, &bordered, &pieces, target, dy, dweight, dbias);
        });
        Ok(())
    }

    /// The blocks of a batch that is not folded.
    fn output_pieces(&self, batch: &Batch) -> Vec<Piece> {
        let piece = |block: Block| {
            let first = block.utterance.out_first + block.first;
            Piece { block, frames: first..first + block.count, partners: 0..0 }
        };
        self.output_blocks(batch).into_iter().map(piece).collect()
    }

    /// Rows of the kernel that a task of the gradient of the weights works on. Where they are long, each
    /// is a task; short ones would copy more than multiply.
    fn task_rows(&self) -> usize {
        if self.kernel[1] * self.in_channels >= LONG_ROW { 1 } else { self.kernel[0] }
    }

    /// The same for an `x` of words, and pieces that say which positions make up the sum.
    #[allow(clippy::too_many_arguments)]
    fn add_gradient<T: Real>(
        &self,
        cpu: Cpu,
        batch: &Batch,
        pieces: &[Piece],
        x: &[T],
        dy: Gradient<'_, T>,
        dweight: &mut [T],
        dbias: &mut [T],
    ) {
        let kernel = T::kernel(cpu);
        let width = kernel.columns;
        let segment_rows = self.kernel[1] * self.in_channels;
        let panels = self.out_channels.div_ceil(width);
        let rows = self.task_rows();
        let parts = self.kernel[0] / rows;
        // A matter of the shape alone: the threads find these groups, they do not make them.
        let most = (TASKS / (panels * parts)).clamp(1, pieces.len());
        let group = pieces.len().div_ceil(most);
        let groups = pieces.len().div_ceil(group);
        // The weights of a task as [rows, bins, in, width], then the bias.
        let size = (rows * segment_rows + 1) * width;
        let work = Weights { layer: self, cpu, kernel, batch, x, dy, rows };
        scratch::with(groups * panels * parts * size, |partial: &mut [T]| {
            partial.par_chunks_mut(size).enumerate().for_each(|(index, sums)| {
                let (group_index, place) = (index / (panels * parts), index % (panels * parts));
                let (panel, part) = (place / parts, place % parts);
                let first = group_index * group;
                let pieces = &pieces[first..pieces.len().min(first + group)];
                work.add_pieces(pieces, panel * width, part * rows, sums);
            });
            let (total, others) = partial.split_at_mut(panels * parts * size);
            total.par_chunks_mut(size).enumerate().for_each(|(index, total)| {
                for group in others.chunks_exact(panels * parts * size) {
                    vector::add(cpu, &group[index * size..][..size], total);
                }
            });
            let total = &*total;
            let out_size = dweight.len() / self.out_channels;
            let sums = total.par_chunks(parts * size);
            dweight.par_chunks_mut(width * out_size).zip(sums).for_each(|(dweight, sums)| {
                self.add_transposed(&kernel, sums, rows, dweight);
            });
            for (dbias, sums) in dbias.chunks_mut(width).zip(total.chunks_exact(parts * size)) {
                vector::add(cpu, &sums[size - width..][..dbias.len()], dbias);
            }
        });
    }

    /// dweight[out, channel, time, bin] += sums[part][(time, bin, channel), out] for a panel of outputs.
    fn add_transposed<T: Real>(
        &self,
        kernel: &Kernel<T>,
        sums: &[T],
        rows: usize,
        dweight: &mut [T],
    ) {
        let width = kernel.columns;
        let taps = self.kernel[0] * self.kernel[1];
        let part_size = (rows * self.kernel[1] * self.in_channels + 1) * width;
        // A few channels at a time, side by side: in the sums a channel's taps lie so far apart, at distances
        // of a power of two, that the first-level cache cannot hold them together.
        let group = (TRANSPOSED / taps).clamp(1, self.in_channels);
        let len = group * taps * width;
        scratch::with(2 * len, |both: &mut [T]| {
            let (lines, turned) = both.split_at_mut(len);
            for first in (0..self.in_channels).step_by(group) {
                let count = group.min(self.in_channels - first) * taps;
                let (lines, turned) = (&mut lines[..count * width], &mut turned[..count * width]);
                for (i, line) in lines.chunks_exact_mut(width).enumerate() {
                    let (channel, tap) = (first + i / taps, i % taps);
                    let [part, tap] =
                        [tap / (rows * self.kernel[1]), tap % (rows * self.kernel[1])];
                    // The row of tap and channel is tap · in_channels + channel.
                    let row = part * part_size + (tap * self.in_channels + channel) * width;
                    copy_short(&sums[row..row + width], line);
                }
                transpose(kernel, lines, count, width, turned);
                let outputs = dweight.chunks_exact_mut(self.in_channels * taps);
                debug_assert!(outputs.len() <= width);
                for (dweight, sums) in outputs.zip(turned.chunks_exact(count)) {
                    let dweight = &mut dweight[first * taps..][..count];
                    dweight.iter_mut().zip(sums).for_each(|(dweight, &sum)| *dweight += sum);
                }
            }
        });
    }
}

/// The gradient of the output, and its words in panels where they have been packed for all tasks.
#[derive(Clone, Copy)]
struct Gradient<'a, T> {
    dy: &'a [T],
    words: Option<&'a [T]>,
}

/// The sums over positions that make up the gradient of the weights.
struct Weights<'a, T: Real> {
    layer: &'a Convolution,
    cpu: Cpu,
    kernel: Kernel<T>,
    batch: &'a Batch,
    x: &'a [T],
    dy: Gradient<'a, T>,
    /// Rows of the kernel that a task works on.
    rows: usize,
}

impl<T: Real> Weights<'_, T> {
    /// sums[k, out] = Σ over the blocks' positions of window[k] dy[out], for rows of the kernel from `time`
    /// on and a panel of outputs from `first` on; k runs over time, bins, channels. The bias follows.
    fn add_pieces(&self, pieces: &[Piece], first: usize, time: usize, sums: &mut [T]) {
        let Self { layer, cpu, kernel, batch, x, dy, rows } = *self;
        let (width, out) = (kernel.columns, layer.out_channels);
        let filled = width.min(out - first);
        let row = batch.out_bins * out;
        let (sums, bias) = sums.split_at_mut(sums.len() - width);
        bias.fill(T::ZERO);
        for (index, piece) in pieces.iter().enumerate() {
            let block = &piece.block;
            let positions = block.count * batch.out_bins;
            if time == 0 {
                // Of the numbers themselves, not of what they are rounded to.
                for frames in [&piece.frames, &piece.partners] {
                    let positions = frames.len() * batch.out_bins;
                    let dy = dy.dy.get(frames.start * row + first..).unwrap_or_default();
                    vector::add_column_sums(cpu, dy, out, positions, &mut bias[..filled]);
                }
            }
            let mut picture = layer.input_picture(batch, block, self.words());
            picture.time += time;
            picture.times -= layer.kernel[0] - rows;
            picture.with(x, |picture, line| {
                let mut multiply = |panel: &[T]| {
                    self.add_block(block, picture, line, panel, filled, index > 0, sums);
                };
                if let Some(words) = dy.words {
                    let start = panels_start(batch, block, out.next_multiple_of(width));
                    return multiply(&words[start + first * positions..][..positions * width]);
                }
                if out == width && matches!(kernel.operands, Operands::Plain) {
                    // Rows of dy are rows of the only panel.
                    return multiply(&dy.dy[piece.frames.start * row..piece.frames.end * row]);
                }
                scratch::with(positions * width, |panel: &mut [T]| {
                    pack_panel(&kernel, piece, row, out, first..first + filled, dy.dy, panel);
                    multiply(panel);
                });
            });
        }
    }

    /// The words of `x` as they are: what must be rounded has been.
    fn words(&self) -> Words<T> {
        let kernel = Kernel { operands: Operands::Plain, ..self.kernel };
        Words::of(&kernel, self.layer.in_channels)
    }

    /// The product of one block. Its rows are taps and channels, which lie side by side in the picture;
    /// its sum runs over frames, then bins.
    #[allow(clippy::too_many_arguments)]
    fn add_block(
        &self,
        block: &Block,
        picture: &[T],
        line: usize,
        panel: &[T],
        filled: usize,
        accumulate: bool,
        sums: &mut [T],
    ) {
        let Self { layer, kernel, .. } = self;
        let segment_rows = layer.kernel[1] * layer.in_channels;
        let (tiles, height) = equal_parts(segment_rows, kernel.rows);
        for time in 0..self.rows {
            for tile in 0..tiles {
                let row = tile * height;
                let rows = Rows {
                    data: picture,
                    start: time * line + row,
                    row: 1,
                    step: layer.stride[1] * layer.in_channels,
                    segment: layer.stride[0] * line,
                    segments: block.count,
                    length: self.batch.out_bins,
                };
                let place = Place {
                    start: (time * segment_rows + row) * kernel.columns,
                    row: kernel.columns,
                    rows: height.min(segment_rows - row),
                    columns: filled,
                    accumulate,
                };
                kernel.tile_of(&rows, panel, sums, place);
            }
        }
    }
}
