//! The gradients of the convolution; their derivation stands in the parent module.

use rayon::prelude::*;

use super::correlate::{Grid, Source, Taps, TapsShape, correlate};
use super::picture::Picture;
use super::words::Words;
use super::{BACKWARD, BLOCK_PICTURE, BLOCK_POSITIONS, Convolution};
use crate::cpu::Cpu;
use crate::error::{KernelError, check_size};
use crate::matmul::kernel::{Kernel, Operands, Place, Rows, equal_parts};
use crate::real::Real;
use crate::window::{Batch, Block, blocks, split_rows};
use crate::{scratch, vector};

/// Tasks that the gradient of the weights is cut into, about.
const TASKS: usize = 32;
/// Taps and channels in a row of the kernel from which on each row is a task of its own.
const LONG_ROW: usize = 64;

/// Tasks that would each copy the same pictures, from which on one copy is made for all of them.
const COPIES: usize = 6;

/// Copies `x` into utterances with `border` frames of zeros before and behind, and `side` zeros on
/// either side of each of their rows of `line` numbers. Words of two hold a number and the one `apart`
/// frames later, zero where none is: neighbours in a sum over positions that runs over two frames at once.
#[allow(clippy::too_many_arguments)]
fn add_border<T: Real>(
    kernel: &Kernel<T>,
    apart: usize,
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
    if let Operands::Pairs(pairs) = kernel.operands {
        utterances.into_par_iter().for_each(|(x, bordered)| {
            let frame = |r: usize| x.chunks_exact(row).nth(r.checked_sub(border)?);
            scratch::with_zeros(row, |zeros: &mut [T]| {
                for (r, target) in bordered.chunks_exact_mut(line).enumerate() {
                    target[..side].fill(T::ZERO);
                    target[side + row..].fill(T::ZERO);
                    let inside = &mut target[side..side + row];
                    match (frame(r), frame(r + apart)) {
                        (None, None) => inside.fill(T::ZERO),
                        (first, second) => pairs.across(first.unwrap_or(zeros), second, inside),
                    }
                }
            });
        });
        return;
    }
    utterances.into_par_iter().for_each(|(x, bordered)| {
        let (before, rest) = bordered.split_at_mut(border * line);
        let (inside, behind) = rest.split_at_mut(x.len() / row * line);
        before.fill(T::ZERO);
        behind.fill(T::ZERO);
        for (x, target) in x.chunks_exact(row).zip(inside.chunks_exact_mut(line)) {
            target[..side].fill(T::ZERO);
            target[side..side + row].copy_from_slice(x);
            kernel.round(&mut target[side..side + row]);
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

/// One axis of a phase: the positions x with (x + padding) mod stride = phase.
#[derive(Clone, Copy)]
struct Phase {
    phase: usize,
    /// Taps phase, phase + stride, … inside the kernel.
    taps: usize,
    /// First such position at or after the start of the range, and how many there are.
    first: usize,
    count: usize,
}

impl Phase {
    /// The phase's positions within `start..end`.
    fn of(
        phase: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        start: usize,
        end: usize,
    ) -> Self {
        let taps = kernel.saturating_sub(phase).div_ceil(stride);
        let ahead = (phase + stride - (start + padding) % stride) % stride;
        let first = start + ahead;
        Self { phase, taps, first, count: end.saturating_sub(first).div_ceil(stride) }
    }
}

impl Convolution {
    /// Gradients of [`Convolution::forward`] from `dy` `[rows', bins', out]`: `dx` is overwritten when
    /// it is wanted, `dweight` and `dbias` are added to. Parallel over blocks of frames; the sums
    /// depend on the shape of the batch alone.
    ///
    /// # Errors
    /// As for [`Convolution::forward`].
    #[allow(clippy::too_many_arguments)]
    pub fn backward<T: Real>(
        &self,
        cpu: Cpu,
        x: &[T],
        lengths: &[usize],
        bins: usize,
        weight: &[T],
        dy: &[T],
        dx: Option<&mut [T]>,
        dweight: &mut [T],
        dbias: &mut [T],
    ) -> Result<(), KernelError> {
        let batch = self.batch(BACKWARD, x.len(), lengths, bins, weight.len())?;
        let row = batch.out_bins * self.out_channels;
        check_size(BACKWARD, "dy", dy.len(), batch.out_rows * row)?;
        if let Some(dx) = &dx {
            check_size(BACKWARD, "dx", dx.len(), batch.rows * bins * self.in_channels)?;
        }
        check_size(BACKWARD, "dweight", dweight.len(), weight.len())?;
        check_size(BACKWARD, "dbias", dbias.len(), self.out_channels)?;
        if let Some(dx) = dx {
            self.input_gradient(cpu, &batch, weight, dy, dx);
        }
        let kernel = T::kernel(cpu);
        let copies =
            self.out_channels.div_ceil(kernel.columns) * (self.kernel[0] / self.task_rows());
        let plain = matches!(kernel.operands, Operands::Plain);
        if plain && (copies < COPIES || self.padding == [0, 0]) {
            self.weight_gradient(cpu, &batch, x, dy, dweight, dbias);
            return Ok(());
        }
        // The same sums over utterances that hold their border of zeros, and the words that the kernel
        // wants: no task copies its pictures.
        let unpadded = Self { padding: [0, 0], ..*self };
        let [border, side] = self.padding;
        let bordered: Vec<usize> = lengths.iter().map(|frames| frames + 2 * border).collect();
        let bordered = unpadded.window().batch(BACKWARD, &bordered, bins + 2 * side)?;
        let line = bordered.bins * self.in_channels;
        scratch::with(bordered.rows * line, |target: &mut [T]| {
            add_border(
                &kernel,
                self.stride[0],
                &batch,
                x,
                line,
                border,
                side * self.in_channels,
                target,
            );
            unpadded.weight_gradient(cpu, &bordered, target, dy, dweight, dbias);
        });
        Ok(())
    }

    /// Rows of the kernel that a task of the gradient of the weights works on. Where they are long, each
    /// is a task; short ones would copy more than multiply.
    fn task_rows(&self) -> usize {
        if self.kernel[1] * self.in_channels >= LONG_ROW { 1 } else { self.kernel[0] }
    }

    fn input_gradient<T: Real>(
        &self,
        cpu: Cpu,
        batch: &Batch,
        weight: &[T],
        dy: &[T],
        dx: &mut [T],
    ) {
        let kernel = T::kernel(cpu);
        let [time_stride, bin_stride] = self.stride;
        let shapes: Vec<(usize, usize, TapsShape)> = (0..time_stride.min(self.kernel[0]))
            .flat_map(|time| (0..bin_stride.min(self.kernel[1])).map(move |bin| (time, bin)))
            .map(|(time, bin)| {
                let shape = TapsShape {
                    segments: (self.kernel[0] - time).div_ceil(time_stride),
                    length: (self.kernel[1] - bin).div_ceil(bin_stride) * self.out_channels,
                    columns: self.in_channels,
                    width: kernel.columns,
                    word: kernel.word(),
                };
                (time, bin, shape)
            })
            .collect();
        let row = batch.bins * self.in_channels;
        let picture_row = batch.out_bins.div_ceil(time_stride) * self.out_channels;
        let count = (BLOCK_PICTURE / picture_row.max(1)).min(BLOCK_POSITIONS.div_ceil(batch.bins));
        let tasks = split_rows(dx, row, &blocks(batch, |span| span.frames, count.max(1)));
        let packed_len = shapes.iter().map(|(_, _, shape)| shape.packed_len()).sum();
        scratch::with(packed_len, |mut packed: &mut [T]| {
            let phases: Vec<(usize, usize, Taps<'_, T>)> = shapes
                .into_iter()
                .map(|(time, bin, shape)| {
                    let (own, rest) = std::mem::take(&mut packed).split_at_mut(shape.packed_len());
                    packed = rest;
                    (time, bin, self.phase_taps(&kernel, time, bin, shape, own, weight))
                })
                .collect();
            tasks.into_par_iter().for_each(|(block, dx)| {
                dx.fill(T::ZERO);
                self.input_gradient_of(&kernel, batch, &block, &phases, dy, dx);
            });
        });
    }

    /// Every `stride`-th tap from (`time`, `bin`) on, in reverse order: k runs over time, bins and
    /// output channels, columns are input channels.
    fn phase_taps<'a, T: Real>(
        &self,
        kernel: &Kernel<T>,
        time: usize,
        bin: usize,
        shape: TapsShape,
        packed: &'a mut [T],
        weight: &[T],
    ) -> Taps<'a, T> {
        let [[times, bins], [time_stride, bin_stride]] = [self.kernel, self.stride];
        // The last of the phase's taps comes first.
        let last_time = time + time_stride * (shape.segments - 1);
        let last_bin = bin + bin_stride * (shape.length / self.out_channels - 1);
        let source = Source {
            start: last_time * bins + last_bin,
            segment_step: -((time_stride * bins) as isize),
            tap_step: -(bin_stride as isize),
            inner_step: self.in_channels * times * bins,
            column_step: times * bins,
            inners: self.out_channels,
        };
        Taps::pack(kernel, shape, packed, weight, source)
    }

    /// dx of one block of input frames.
    fn input_gradient_of<T: Real>(
        &self,
        kernel: &Kernel<T>,
        batch: &Batch,
        block: &Block,
        phases: &[(usize, usize, Taps<'_, T>)],
        dy: &[T],
        dx: &mut [T],
    ) {
        let row = batch.bins * self.in_channels;
        let [time_border, bin_border] =
            [0, 1].map(|axis| self.kernel[axis].div_ceil(self.stride[axis]) - 1);
        // u − j of the first frame and the largest j, counted with the border in front.
        let first_time = (block.first + self.padding[0]) / self.stride[0];
        let last_time = (block.first + block.count - 1 + self.padding[0]) / self.stride[0];
        let first_bin = self.padding[1] / self.stride[1];
        let last_bin = (batch.bins - 1 + self.padding[1]) / self.stride[1];
        let words = Words::of(kernel, self.out_channels);
        let picture = Picture {
            first_row: block.utterance.out_first,
            frames: block.utterance.out_frames,
            row_bins: batch.out_bins,
            words,
            time: first_time,
            bin: first_bin,
            times: last_time - first_time + time_border + 1,
            bins: last_bin - first_bin + bin_border + 1,
            border: [time_border, bin_border],
        };
        picture.with(dy, |picture, line| {
            for (time_phase, bin_phase, taps) in phases {
                let [k, s, p] = [self.kernel, self.stride, self.padding];
                let end = block.first + block.count;
                let time = Phase::of(*time_phase, k[0], s[0], p[0], block.first, end);
                let bin = Phase::of(*bin_phase, k[1], s[1], p[1], 0, batch.bins);
                // The window of position t starts at output u − (taps − 1).
                let u = (time.first + p[0]) / s[0] + time_border - (time.taps - 1) - first_time;
                let v = (bin.first + p[1]) / s[1] + bin_border - (bin.taps - 1) - first_bin;
                debug_assert_eq!((time.phase, bin.phase), (*time_phase, *bin_phase));
                debug_assert_eq!(time.taps, taps.shape.segments);
                let grid = Grid {
                    start: u * line + v * words.bin(),
                    time_step: line,
                    bin_step: words.bin(),
                    step: words.step(),
                    segment: line,
                    times: time.count,
                    bins: bin.count,
                    c_start: (time.first - block.first) * row + bin.first * self.in_channels,
                    c_time_step: s[0] * row,
                    c_bin_step: s[1] * self.in_channels,
                };
                correlate(kernel, picture, grid, taps, dx);
            }
        });
    }

    fn weight_gradient<T: Real>(
        &self,
        cpu: Cpu,
        batch: &Batch,
        x: &[T],
        dy: &[T],
        dweight: &mut [T],
        dbias: &mut [T],
    ) {
        let kernel = T::kernel(cpu);
        let width = kernel.columns;
        let segment_rows = self.kernel[1] * self.in_channels;
        let panels = self.out_channels.div_ceil(width);
        let rows = self.task_rows();
        let parts = self.kernel[0] / rows;
        let blocks = self.output_blocks(batch, kernel.word());
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
            for (dbias, sums) in dbias.chunks_mut(width).zip(total.chunks_exact(parts * size)) {
                vector::add(cpu, &sums[size - width..][..dbias.len()], dbias);
            }
        });
    }

    /// dweight[out, channel, time, bin] += sums[part][(time, bin, channel), out] for a panel of outputs.
    fn add_transposed<T: Real>(&self, sums: &[T], rows: usize, width: usize, dweight: &mut [T]) {
        let [times, bins] = self.kernel;
        let part_size = (rows * bins * self.in_channels + 1) * width;
        // One channel after the other: its lines of the sums stay in the first-level cache for all outputs.
        for channel in 0..self.in_channels {
            let lines = dweight.chunks_exact_mut(self.in_channels * times * bins);
            for (out, dweight) in lines.enumerate() {
                debug_assert!(out < width);
                let dweight = &mut dweight[channel * times * bins..][..times * bins];
                let parts = dweight.chunks_exact_mut(rows * bins).zip(sums.chunks_exact(part_size));
                for (dweight, sums) in parts {
                    // The row of tap and channel is tap · in_channels + channel.
                    let sums = sums[channel * width + out..].iter();
                    let sums = sums.step_by(self.in_channels * width);
                    dweight.iter_mut().zip(sums).for_each(|(dweight, &sum)| *dweight += sum);
                }
            }
        }
    }
}

/// The sums over positions that make up the gradient of the weights.
struct Weights<'a, T: Real> {
    layer: &'a Convolution,
    cpu: Cpu,
    kernel: Kernel<T>,
    batch: &'a Batch,
    /// Words, with their border where they are not plain numbers.
    x: &'a [T],
    dy: &'a [T],
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
            let start = (block.utterance.out_first + block.first) * batch.out_bins;
            let dy = &dy[start * out..][..positions * out];
            if time == 0 {
                // Of the numbers themselves, not of what they are rounded to.
                let sums = &mut bias[..filled];
                vector::add_column_sums(cpu, &dy[first..], out, positions, sums);
            }
            let mut picture = layer.input_picture(batch, block, self.words());
            picture.time += time;
            picture.times -= layer.kernel[0] - rows;
            picture.with(x, |picture, line| {
                let mut multiply = |panel: &[T]| {
                    self.add_block(block, picture, line, panel, filled, index > 0, sums);
                };
                if out == width && matches!(kernel.operands, Operands::Plain) {
                    // Rows of dy are rows of the only panel.
                    multiply(dy);
                } else {
                    let words = block.count.div_ceil(kernel.word()) * batch.out_bins;
                    scratch::with(words * width, |panel: &mut [T]| {
                        self.pack_panel(dy, first, filled, panel);
                        multiply(panel);
                    });
                }
            });
        }
    }

    /// The words of `x` as they are: what must be rounded has been.
    fn words(&self) -> Words<T> {
        let kernel = Kernel { operands: Operands::Plain, ..self.kernel };
        Words::of(&kernel, self.layer.in_channels)
    }

    /// Columns `first..first + filled` of a block of dy as `[words, width]`, the columns from `filled` on
    /// zero. Words of two hold the same bin of two neighbouring frames.
    fn pack_panel(&self, dy: &[T], first: usize, filled: usize, panel: &mut [T]) {
        let (kernel, out) = (&self.kernel, self.layer.out_channels);
        let width = kernel.columns;
        let Operands::Pairs(pairs) = kernel.operands else {
            for (target, dy) in panel.chunks_exact_mut(width).zip(dy.chunks_exact(out)) {
                let (target, padding) = target.split_at_mut(filled);
                copy_short(&dy[first..first + filled], target);
                padding.fill(T::ZERO);
            }
            return kernel.round(panel);
        };
        let frame = self.batch.out_bins * out;
        let targets = panel.chunks_exact_mut(self.batch.out_bins * width);
        for (target, frames) in targets.zip(dy.chunks(2 * frame)) {
            let (one, other) = frames.split_at(frame);
            if out == width {
                pairs.across(one, (!other.is_empty()).then_some(other), target);
                continue;
            }
            for (bin, target) in target.chunks_exact_mut(width).enumerate() {
                let (target, padding) = target.split_at_mut(filled);
                let place = bin * out + first..bin * out + first + filled;
                let other = (!other.is_empty()).then(|| &other[place.clone()]);
                pairs.across(&one[place], other, target);
                padding.fill(T::ZERO);
            }
        }
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
                    segment: kernel.word() * layer.stride[0] * line,
                    segments: block.count.div_ceil(kernel.word()),
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
