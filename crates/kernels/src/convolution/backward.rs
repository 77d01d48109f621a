//! The gradients of the convolution; their derivation stands in the parent module.

use rayon::prelude::*;

use super::correlate::{Grid, Taps, TapsShape, correlate};
use super::picture::Picture;
use super::{BACKWARD, BLOCK_PICTURE, BLOCK_POSITIONS, Convolution};
use crate::cpu::Cpu;
use crate::error::{KernelError, check_size};
use crate::matmul::kernel::{Kernel, Place, Rows, equal_parts};
use crate::real::Real;
use crate::window::{Batch, Block, blocks, split_rows};
use crate::{scratch, vector};

/// Most groups of blocks whose weight gradients are summed side by side.
const GROUPS: usize = 32;
/// Numbers that all groups together may take.
const GROUPS_MEMORY: usize = 1 << 22;

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
        self.weight_gradient(cpu, &batch, x, dy, dweight, dbias);
        Ok(())
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
                    (time, bin, self.phase_taps(time, bin, shape, own, weight))
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
        time: usize,
        bin: usize,
        shape: TapsShape,
        packed: &'a mut [T],
        weight: &[T],
    ) -> Taps<'a, T> {
        let bin_taps = shape.length / self.out_channels;
        Taps::pack(shape, packed, |segment, place, channel| {
            let (tap, out) = (place / self.out_channels, place % self.out_channels);
            let i = time + self.stride[0] * (shape.segments - 1 - segment);
            let j = bin + self.stride[1] * (bin_taps - 1 - tap);
            weight[self.weight_index(out, channel, i, j)]
        })
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
        let picture = Picture {
            first_row: block.utterance.out_first,
            frames: block.utterance.out_frames,
            row_bins: batch.out_bins,
            channels: self.out_channels,
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
                    start: u * line + v * self.out_channels,
                    time_step: line,
                    bin_step: self.out_channels,
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
        let blocks = self.output_blocks(batch);
        let out = self.out_channels;
        let weights = dweight.len();
        let size = weights + out;
        // A matter of the shape alone: the threads find these groups, they do not make them.
        let most = GROUPS.min(GROUPS_MEMORY / size).clamp(1, blocks.len());
        let group = blocks.len().div_ceil(most);
        let groups = blocks.len().div_ceil(group);
        scratch::with(groups * size, |partial: &mut [T]| {
            partial.par_chunks_mut(size).zip(blocks.par_chunks(group)).for_each(
                |(partial, blocks)| {
                    partial.fill(T::ZERO);
                    let (partial_weight, partial_bias) = partial.split_at_mut(weights);
                    for block in blocks {
                        let rows = block.utterance.out_first + block.first;
                        let width = batch.out_bins * out;
                        let dy = &dy[rows * width..][..block.count * width];
                        let positions = block.count * batch.out_bins;
                        vector::add_column_sums(cpu, dy, out, positions, partial_bias);
                        self.weight_gradient_of(&kernel, batch, block, x, dy, partial_weight);
                    }
                },
            );
            for partial in partial.chunks_exact(size) {
                let (partial_weight, partial_bias) = partial.split_at(weights);
                self.add_transposed(partial_weight, dweight);
                vector::add(cpu, partial_bias, dbias);
            }
        });
    }

    /// partial[k, out] += Σ over the block's positions of window[k] dy[out], k over time, bins, channels.
    fn weight_gradient_of<T: Real>(
        &self,
        kernel: &Kernel<T>,
        batch: &Batch,
        block: &Block,
        x: &[T],
        dy: &[T],
        partial: &mut [T],
    ) {
        let out = self.out_channels;
        let positions = block.count * batch.out_bins;
        let segment_rows = self.kernel[1] * self.in_channels;
        let (tiles, height) = equal_parts(segment_rows, kernel.rows);
        self.input_picture(batch, block).with(x, |picture, line| {
            scratch::with(positions * kernel.columns, |panel: &mut [T]| {
                for first in (0..out).step_by(kernel.columns) {
                    let filled = kernel.columns.min(out - first);
                    let lines = panel.chunks_exact_mut(kernel.columns);
                    for (target, dy) in lines.zip(dy.chunks_exact(out)) {
                        target[..filled].copy_from_slice(&dy[first..first + filled]);
                        target[filled..].fill(T::ZERO);
                    }
                    for time in 0..self.kernel[0] {
                        for tile in 0..tiles {
                            let row = tile * height;
                            // Rows of this product are taps and channels, which lie side by side;
                            // its sum runs over bins, then frames.
                            let rows = Rows {
                                data: picture,
                                start: time * line + row,
                                row: 1,
                                step: self.stride[1] * self.in_channels,
                                segment: self.stride[0] * line,
                                segments: block.count,
                                length: batch.out_bins,
                            };
                            let place = Place {
                                start: (time * segment_rows + row) * out + first,
                                row: out,
                                rows: height.min(segment_rows - row),
                                columns: filled,
                                accumulate: true,
                            };
                            kernel.tile_of(&rows, panel, partial, place);
                        }
                    }
                }
            });
        });
    }

    /// dweight[out, channel, time, bin] += partial[(time, bin, channel), out].
    fn add_transposed<T: Real>(&self, partial: &[T], dweight: &mut [T]) {
        let out = self.out_channels;
        for (k, values) in partial.chunks_exact(out).enumerate() {
            let (tap, channel) = (k / self.in_channels, k % self.in_channels);
            let (time, bin) = (tap / self.kernel[1], tap % self.kernel[1]);
            for (o, &value) in values.iter().enumerate() {
                dweight[self.weight_index(o, channel, time, bin)] += value;
            }
        }
    }
}
