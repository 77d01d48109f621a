//! The gradients of the convolution, that of its input among them; their derivation stands in the parent
//! module.
//!
//! Book: book/src/convolution.md

use rayon::prelude::*;

use super::correlate::{Grid, Source, Taps, TapsShape, correlate};
use super::picture::Picture;
use super::words::Words;
use super::{BACKWARD, BLOCK_PICTURE, BLOCK_POSITIONS, Convolution};
use crate::cpu::Cpu;
use crate::error::{KernelError, check_size};
use crate::matmul::kernel::Kernel;
use crate::real::Real;
use crate::scratch;
use crate::window::{Batch, Block, blocks, split_rows};

// ANCHOR: phase
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
// ANCHOR_END: phase

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
        self.weight_gradient(cpu, lengths, &batch, x, dy, dweight, dbias)
    }

    /// Whether windows lie no further apart than they are long, so that each phase has a tap.
    fn every_input_is_seen(&self) -> bool {
        self.kernel[0] >= self.stride[0] && self.kernel[1] >= self.stride[1]
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
                if !self.every_input_is_seen() {
                    dx.fill(T::ZERO);
                }
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
                // Each position has one phase.
                correlate(kernel, picture, grid, taps, dx, false);
            }
        });
    }
}
