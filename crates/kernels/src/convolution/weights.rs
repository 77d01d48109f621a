//! The gradient of the convolution's weights; its derivation stands in the parent module.

use rayon::prelude::*;

use super::folded::{fold, fold_gradient, fold_input, folded_blocks, panel_start};
use super::words::Words;
use super::{BACKWARD, BLOCK_POSITIONS, Convolution};
use crate::cpu::Cpu;
use crate::error::KernelError;
use crate::matmul::kernel::{Kernel, Operands, Place, Rows, equal_parts};
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

/// Copies a few numbers, in pieces whose size the compiler knows: a call of the system's copy takes as
/// long as the copying.
#[inline]
fn copy_short<T: Real>(source: &[T], target: &mut [T]) {
    let (pieces, rest) = source.as_chunks::<16>();
    let (target_pieces, target_rest) = target.as_chunks_mut::<16>();
    for (target, piece) in target_pieces.iter_mut().zip(pieces) {
        *target = *piece;
    }
    target_rest.copy_from_slice(rest);
}

/// Lines of the sums that are turned round together, about.
const TRANSPOSED: usize = 64;

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
        if !matches!(kernel.operands, Operands::Plain) {
            let folded = fold(self, &kernel, batch);
            let positions = (BLOCK_POSITIONS / kernel.word()).div_ceil(batch.out_bins);
            let panels = self.out_channels.next_multiple_of(kernel.columns);
            let x_len = folded.rows * folded.bins * self.in_channels;
            let dy_len = folded.out_rows * folded.out_bins * panels;
            scratch::with(x_len, |x_words: &mut [T]| {
                scratch::with(dy_len, |dy_words: &mut [T]| {
                    fold_input(self, &kernel, batch, &folded, x, x_words);
                    fold_gradient(cpu, &kernel, batch, &folded, positions, dy, dy_words, dbias);
                    let blocks = folded_blocks(&folded, positions);
                    let dy = Gradient::Words(dy_words);
                    unpadded.add_weight_gradient(cpu, &folded, &blocks, x_words, dy, dweight, None);
                });
            });
            return Ok(());
        }
        let copies =
            self.out_channels.div_ceil(kernel.columns) * (self.kernel[0] / self.task_rows());
        if copies < COPIES || self.padding == [0, 0] {
            let blocks = self.output_blocks(batch);
            let dy = Gradient::Numbers(dy);
            self.add_weight_gradient(cpu, batch, &blocks, x, dy, dweight, Some(dbias));
            return Ok(());
        }
        // The same sums over utterances that hold their border of zeros: no task copies its pictures.
        let [border, side] = self.padding;
        let bordered: Vec<usize> = lengths.iter().map(|frames| frames + 2 * border).collect();
        let bordered = unpadded.window().batch(BACKWARD, &bordered, batch.bins + 2 * side)?;
        let line = bordered.bins * self.in_channels;
        scratch::with(bordered.rows * line, |target: &mut [T]| {
            add_border(batch, x, line, border, side * self.in_channels, target);
            let blocks = unpadded.output_blocks(&bordered);
            let dy = Gradient::Numbers(dy);
            unpadded.add_weight_gradient(cpu, &bordered, &blocks, target, dy, dweight, Some(dbias));
        });
        Ok(())
    }

    /// Rows of the kernel that a task of the gradient of the weights works on. Where they are long, each
    /// is a task; short ones would copy more than multiply.
    fn task_rows(&self) -> usize {
        if self.kernel[1] * self.in_channels >= LONG_ROW { 1 } else { self.kernel[0] }
    }

    #[allow(clippy::too_many_arguments)]
    fn add_weight_gradient<T: Real>(
        &self,
        cpu: Cpu,
        batch: &Batch,
        blocks: &[Block],
        x: &[T],
        dy: Gradient<'_, T>,
        dweight: &mut [T],
        dbias: Option<&mut [T]>,
    ) {
        let kernel = T::kernel(cpu);
        let width = kernel.columns;
        let segment_rows = self.kernel[1] * self.in_channels;
        let panels = self.out_channels.div_ceil(width);
        let rows = self.task_rows();
        let parts = self.kernel[0] / rows;
        // A matter of the shape alone: the threads find these groups, they do not make them.
        let most = (TASKS / (panels * parts)).clamp(1, blocks.len());
        let group = blocks.len().div_ceil(most);
        let groups = blocks.len().div_ceil(group);
        // The weights of a task as [rows, bins, in, width], then the bias.
        let size = (rows * segment_rows + 1) * width;
        let work = Weights { layer: self, cpu, kernel, batch, x, dy, rows };
        scratch::with(groups * panels * parts * size, |partial: &mut [T]| {
            partial.par_chunks_mut(size).enumerate().for_each(|(index, sums)| {
                let (group_index, place) = (index / (panels * parts), index % (panels * parts));
                let (panel, part) = (place / parts, place % parts);
                let first = group_index * group;
                let blocks = &blocks[first..blocks.len().min(first + group)];
                work.add_blocks(blocks, panel * width, part * rows, sums);
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
                self.add_transposed(sums, rows, width, dweight);
            });
            if let Some(dbias) = dbias {
                let sums = total.chunks_exact(parts * size);
                for (dbias, sums) in dbias.chunks_mut(width).zip(sums) {
                    vector::add(cpu, &sums[size - width..][..dbias.len()], dbias);
                }
            }
        });
    }

    /// dweight[out, channel, time, bin] += sums[part][(time, bin, channel), out] for a panel of outputs.
    fn add_transposed<T: Real>(&self, sums: &[T], rows: usize, width: usize, dweight: &mut [T]) {
        let taps = self.kernel[0] * self.kernel[1];
        let part_size = (rows * self.kernel[1] * self.in_channels + 1) * width;
        // A few channels at a time, side by side: in the sums a channel's taps lie so far apart, at distances
        // of a power of two, that the first-level cache cannot hold them together.
        let group = (TRANSPOSED / taps).clamp(1, self.in_channels);
        scratch::with(group * taps * width, |lines: &mut [T]| {
            for first in (0..self.in_channels).step_by(group) {
                let group = group.min(self.in_channels - first);
                let lines = &mut lines[..group * taps * width];
                for (i, line) in lines.chunks_exact_mut(width).enumerate() {
                    let (channel, tap) = (first + i / taps, i % taps);
                    let [part, tap] =
                        [tap / (rows * self.kernel[1]), tap % (rows * self.kernel[1])];
                    // The row of tap and channel is tap · in_channels + channel.
                    let row = part * part_size + (tap * self.in_channels + channel) * width;
                    line.copy_from_slice(&sums[row..row + width]);
                }
                let outputs = dweight.chunks_exact_mut(self.in_channels * taps);
                for (out, dweight) in outputs.enumerate() {
                    debug_assert!(out < width);
                    let dweight = &mut dweight[first * taps..][..group * taps];
                    let sums = lines[out..].iter().step_by(width);
                    dweight.iter_mut().zip(sums).for_each(|(dweight, &sum)| *dweight += sum);
                }
            }
        });
    }
}

/// The gradient of the output.
#[derive(Clone, Copy)]
enum Gradient<'a, T> {
    /// As it is.
    Numbers(&'a [T]),
    /// As words in panels.
    Words(&'a [T]),
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
    fn add_blocks(&self, blocks: &[Block], first: usize, time: usize, sums: &mut [T]) {
        let Self { layer, cpu, kernel, batch, x, dy, rows } = *self;
        let (width, out) = (kernel.columns, layer.out_channels);
        let filled = width.min(out - first);
        let (sums, bias) = sums.split_at_mut(sums.len() - width);
        bias.fill(T::ZERO);
        for (index, block) in blocks.iter().enumerate() {
            let positions = block.count * batch.out_bins;
            let mut picture = layer.input_picture(batch, block, self.words());
            picture.time += time;
            picture.times -= layer.kernel[0] - rows;
            picture.with(x, |picture, line| {
                let mut multiply = |panel: &[T]| {
                    self.add_block(block, picture, line, panel, filled, index > 0, sums);
                };
                let dy = match dy {
                    Gradient::Words(words) => {
                        let panels = out.div_ceil(width);
                        let start = panel_start(batch, block, panels, width);
                        let start = start + first / width * positions * width;
                        return multiply(&words[start..][..positions * width]);
                    }
                    Gradient::Numbers(dy) => {
                        let start = (block.utterance.out_first + block.first) * batch.out_bins;
                        &dy[start * out..][..positions * out]
                    }
                };
                if time == 0 {
                    vector::add_column_sums(cpu, &dy[first..], out, positions, &mut bias[..filled]);
                }
                if out == width {
                    // Rows of dy are rows of the only panel.
                    return multiply(dy);
                }
                scratch::with(positions * width, |panel: &mut [T]| {
                    for (target, dy) in panel.chunks_exact_mut(width).zip(dy.chunks_exact(out)) {
                        let (target, padding) = target.split_at_mut(filled);
                        copy_short(&dy[first..first + filled], target);
                        padding.fill(T::ZERO);
                    }
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
