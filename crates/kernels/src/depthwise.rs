//! Depthwise convolution over time and bins, ragged over time, channels last, and its gradients.
//!
//! Each channel has a kernel of its own (Chollet, "Xception", CVPR 2017; over time alone it is the
//! convolution inside a Conformer block, Gulati et al. 2020). With the windows of `window.rs`,
//!
//! ```text
//! y[t, f, c] = b[c] + Σ_{i, j} x[t s_t − p_t + i, f s_f − p_f + j, c] W[c, i, j]
//! ```
//!
//! over the taps (i, j) whose place lies inside of the utterance and its bins, in the order of i, then j.
//!
//! **Gradients.** x[τ, φ] is seen by the outputs (t, f) with τ = t s_t − p_t + i, and likewise for φ:
//!
//! ```text
//! dx[τ, φ, c] = Σ_{t, f} dy[t, f, c] W[c, τ + p_t − t s_t, φ + p_f − f s_f]    in the order of t, then f
//! dW[c, i, j] = Σ_{t, f} dy[t, f, c] x[t s_t − p_t + i, f s_f − p_f + j, c]    db[c] = Σ_{t, f} dy[t, f, c]
//! ```
//!
//! The sums of dW and db run over blocks of frames fixed by the shape; groups of blocks are summed side by
//! side and then added in order (`blocks.rs`), so the threads do not show. There is little
//! arithmetic for each number read, so no product of matrices pays here: channels lie along the vector
//! registers, sums stay in them, and the weights are turned to `[i, j, channels]` once per call.
//!
//! Book: book/src/convolution.md

use rayon::prelude::*;

use crate::blocks::{ELEMENT_BLOCK, sum_blocks};
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_least, check_size, elements};
use crate::lanes::{Lanes, add_to, load, over_channels, store};
use crate::real::Real;
use crate::window::{Batch, Seen, Span, Window, blocks, split_rows};
use crate::{scratch, vector};

/// The shape of a depthwise convolution. Sizes in pairs are for time and for bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepthwiseConvolution {
    /// Channels of the input and of the output.
    pub channels: usize,
    /// Frames and bins that one output sees.
    pub kernel: [usize; 2],
    /// Frames and bins from one output to the next.
    pub stride: [usize; 2],
    /// Zeros before and after each utterance and before and after its bins; less than the kernel.
    pub padding: [usize; 2],
}

const FORWARD: &str = "depthwise convolution";
const BACKWARD: &str = "gradient of the depthwise convolution";

/// Positions of the output in a block of frames whose weight gradient is one chain of sums, about.
const BLOCK_POSITIONS: usize = 512;

/// The sizes that the loops need.
#[derive(Clone, Copy)]
struct Grid {
    window: Window,
    bins: usize,
    out_bins: usize,
    channels: usize,
}

/// One output: its bias and what its window sees.
struct Output<'a, T> {
    x: &'a [T],
    weight: &'a [T],
    bias: &'a [T],
    grid: Grid,
    time: Seen,
    bin: Seen,
    y: &'a mut [T],
}

impl<T: Real> Lanes for Output<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let Grid { window, bins, channels, .. } = self.grid;
        let mut sums: [T; L] = load(self.bias, channel);
        for i in 0..self.time.count {
            let x = ((self.time.place + i) * bins + self.bin.place) * channels + channel;
            let tap = ((self.time.tap + i) * window.kernel[1] + self.bin.tap) * channels + channel;
            for j in 0..self.bin.count {
                let x: [T; L] = load(self.x, x + j * channels);
                let weight: [T; L] = load(self.weight, tap + j * channels);
                for lane in 0..L {
                    sums[lane] += x[lane] * weight[lane];
                }
            }
        }
        store(self.y, channel, sums);
    }
}

/// The gradient of one input from the outputs `times` × `outputs` that see it.
struct Input<'a, T> {
    dy: &'a [T],
    weight: &'a [T],
    grid: Grid,
    time: usize,
    bin: usize,
    times: std::ops::Range<usize>,
    outputs: std::ops::Range<usize>,
    dx: &'a mut [T],
}

impl<T: Real> Lanes for Input<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let Grid { window, out_bins, channels, .. } = self.grid;
        let Window { kernel, stride, padding } = window;
        let mut sums = [T::ZERO; L];
        for t in self.times.clone() {
            let i = self.time + padding[0] - t * stride[0];
            for f in self.outputs.clone() {
                let j = self.bin + padding[1] - f * stride[1];
                debug_assert!(i < kernel[0] && j < kernel[1]);
                let dy: [T; L] = load(self.dy, (t * out_bins + f) * channels + channel);
                let tap = (i * kernel[1] + j) * channels + channel;
                let weight: [T; L] = load(self.weight, tap);
                for lane in 0..L {
                    sums[lane] += dy[lane] * weight[lane];
                }
            }
        }
        store(self.dx, channel, sums);
    }
}

/// The gradient of one tap (`i`, `j`) from output frames `first..first + count` of an utterance.
struct Tap<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    grid: Grid,
    tap: [usize; 2],
    frames: usize,
    first: usize,
    count: usize,
    sums: &'a mut [T],
}

impl<T: Real> Lanes for Tap<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let Grid { window, bins, out_bins, channels } = self.grid;
        let Window { stride, padding, .. } = window;
        // Outputs whose tap lies inside: 0 ≤ o s − p + i < n.
        let range = |axis: usize, size: usize, outputs: usize| {
            let tap = self.tap[axis];
            let first = padding[axis].saturating_sub(tap).div_ceil(stride[axis]);
            let end = (size + padding[axis]).saturating_sub(tap).div_ceil(stride[axis]);
            first..end.min(outputs)
        };
        let times = range(0, self.frames, self.first + self.count);
        let outputs = range(1, bins, out_bins);
        let mut sums = [T::ZERO; L];
        for t in times.start.max(self.first)..times.end {
            let x = (t * stride[0] + self.tap[0] - padding[0]) * bins;
            for f in outputs.clone() {
                let x = x + f * stride[1] + self.tap[1] - padding[1];
                let x: [T; L] = load(self.x, x * channels + channel);
                let dy = ((t - self.first) * out_bins + f) * channels;
                let dy: [T; L] = load(self.dy, dy + channel);
                for lane in 0..L {
                    sums[lane] += x[lane] * dy[lane];
                }
            }
        }
        add_to(self.sums, channel, sums);
    }
}

per_isa! {
    /// Output frames from `first` on of one utterance.
    fn forward_rows<T>(
        grid: Grid, x: &[T], weight: &[T], bias: &[T], frames: usize, first: usize, y: &mut [T],
    ) {
        let row = grid.out_bins * grid.channels;
        for (t, y) in y.chunks_exact_mut(row).enumerate() {
            let time = grid.window.seen(0, first + t, frames);
            for (f, y) in y.chunks_exact_mut(grid.channels).enumerate() {
                let bin = grid.window.seen(1, f, grid.bins);
                let mut work = Output { x, weight, bias, grid, time, bin, y };
                over_channels(grid.channels, &mut work);
            }
        }
    }

    /// dx of the frames from `first` on of one utterance.
    fn input_rows<T>(
        grid: Grid, dy: &[T], weight: &[T], out_frames: usize, first: usize, dx: &mut [T],
    ) {
        let row = grid.bins * grid.channels;
        for (t, dx) in dx.chunks_exact_mut(row).enumerate() {
            let time = first + t;
            let times = grid.window.seen_by(0, time, time, out_frames);
            for (bin, dx) in dx.chunks_exact_mut(grid.channels).enumerate() {
                let outputs = grid.window.seen_by(1, bin, bin, grid.out_bins);
                let times = times.clone();
                let mut work = Input { dy, weight, grid, time, bin, times, outputs, dx };
                over_channels(grid.channels, &mut work);
            }
        }
    }

    /// Adds the gradients of all taps from output frames `first..first + count`, whose dy is `dy`,
    /// onto `sums` `[taps, channels]`.
    fn weight_rows<T>(
        grid: Grid, x: &[T], dy: &[T], frames: usize, first: usize, count: usize, sums: &mut [T],
    ) {
        for (index, sums) in sums.chunks_exact_mut(grid.channels).enumerate() {
            let tap = [index / grid.window.kernel[1], index % grid.window.kernel[1]];
            let mut work = Tap { x, dy, grid, tap, frames, first, count, sums };
            over_channels(grid.channels, &mut work);
        }
    }
}

impl DepthwiseConvolution {
    /// What each output sees.
    pub fn window(&self) -> Window {
        Window { kernel: self.kernel, stride: self.stride, padding: self.padding }
    }

    /// Frames of the output for an utterance of `frames`; 0 when it is too short for the kernel.
    pub fn output_frames(&self, frames: usize) -> usize {
        self.window().output_frames(frames)
    }

    /// Bins of the output for an input of `bins`; 0 when they are too few for the kernel.
    pub fn output_bins(&self, bins: usize) -> usize {
        self.window().output_bins(bins)
    }

    /// Elements of the weights, `[channels, time, bins]`; saturates where they do not fit.
    pub fn weight_len(&self) -> usize {
        self.channels.saturating_mul(self.kernel[0]).saturating_mul(self.kernel[1])
    }

    /// Checks what both passes share.
    fn check(
        &self,
        operation: &'static str,
        x: usize,
        lengths: &[usize],
        bins: usize,
        weight: usize,
    ) -> Result<(Batch, Grid), KernelError> {
        check_least(operation, "the number of channels", self.channels, 1)?;
        let window = self.window();
        let batch = window.batch(operation, lengths, bins)?;
        let channels = self.channels;
        check_size(operation, "x", x, elements(operation, "x", &[batch.rows, bins, channels])?)?;
        let shape = [channels, self.kernel[0], self.kernel[1]];
        check_size(operation, "weight", weight, elements(operation, "weight", &shape)?)?;
        elements(operation, "y", &[batch.out_rows, batch.out_bins, channels])?;
        let grid = Grid { window, bins, out_bins: batch.out_bins, channels };
        Ok((batch, grid))
    }

    /// Lends the weights as `[taps, channels]`.
    fn with_taps<T: Real>(&self, weight: &[T], work: impl FnOnce(&[T])) {
        let taps = self.kernel[0] * self.kernel[1];
        scratch::with(weight.len(), |turned: &mut [T]| {
            for (channel, weight) in weight.chunks_exact(taps).enumerate() {
                for (tap, &weight) in weight.iter().enumerate() {
                    turned[tap * self.channels + channel] = weight;
                }
            }
            work(turned);
        });
    }

    /// Runs the layer: `x` `[rows, bins, channels]`, utterance after utterance as `lengths` says; `weight`
    /// `[channels, 1, time, bins]` (PyTorch's layout with as many groups as channels), `bias`
    /// `[channels]`; `y` `[rows', bins', channels]` with [`DepthwiseConvolution::output_frames`] rows
    /// for each utterance.
    ///
    /// # Errors
    /// [`KernelError`] for an empty batch, an utterance that is too short for the kernel, a padding
    /// that is not smaller than the kernel, or a slice that does not fit its shape; nothing is then
    /// written.
    #[allow(clippy::too_many_arguments)]
    pub fn forward<T: Real>(
        &self,
        cpu: Cpu,
        x: &[T],
        lengths: &[usize],
        bins: usize,
        weight: &[T],
        bias: &[T],
        y: &mut [T],
    ) -> Result<(), KernelError> {
        let (batch, grid) = self.check(FORWARD, x.len(), lengths, bins, weight.len())?;
        let (line, row) = (bins * self.channels, batch.out_bins * self.channels);
        check_size(FORWARD, "bias", bias.len(), self.channels)?;
        check_size(FORWARD, "y", y.len(), batch.out_rows * row)?;
        let tasks = blocks(&batch, |span| span.out_frames, (ELEMENT_BLOCK / row).max(1));
        let tasks = split_rows(y, row, &tasks);
        self.with_taps(weight, |weight| {
            tasks.into_par_iter().for_each(|(block, y)| {
                let Span { first, frames, .. } = block.utterance;
                let x = &x[first * line..][..frames * line];
                forward_rows(cpu, grid, x, weight, bias, frames, block.first, y);
            });
        });
        Ok(())
    }

    /// Gradients of [`DepthwiseConvolution::forward`] from `dy` `[rows', bins', channels]`: `dx` is
    /// overwritten when it is wanted, `dweight` and `dbias` are added to.
    ///
    /// # Errors
    /// As for [`DepthwiseConvolution::forward`].
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
        let (batch, grid) = self.check(BACKWARD, x.len(), lengths, bins, weight.len())?;
        let channels = self.channels;
        let (line, row) = (bins * channels, batch.out_bins * channels);
        check_size(BACKWARD, "dy", dy.len(), batch.out_rows * row)?;
        if let Some(dx) = &dx {
            check_size(BACKWARD, "dx", dx.len(), x.len())?;
        }
        check_size(BACKWARD, "dweight", dweight.len(), weight.len())?;
        check_size(BACKWARD, "dbias", dbias.len(), channels)?;
        let of = |span: Span| &dy[span.out_first * row..][..span.out_frames * row];
        if let Some(dx) = dx {
            let tasks = blocks(&batch, |span| span.frames, (ELEMENT_BLOCK / line).max(1));
            let tasks = split_rows(dx, line, &tasks);
            self.with_taps(weight, |weight| {
                tasks.into_par_iter().for_each(|(block, dx)| {
                    let span = block.utterance;
                    input_rows(cpu, grid, of(span), weight, span.out_frames, block.first, dx);
                });
            });
        }
        let count = BLOCK_POSITIONS.div_ceil(batch.out_bins);
        let blocks = blocks(&batch, |span| span.out_frames, count);
        // The taps' sums, then those of the bias.
        let size = dweight.len() + channels;
        let add = |index: usize, sums: &mut [T]| {
            let block = &blocks[index];
            let span = block.utterance;
            let x = &x[span.first * line..][..span.frames * line];
            let dy = &of(span)[block.first * row..][..block.count * row];
            let (taps, bias) = sums.split_at_mut(weight.len());
            weight_rows(cpu, grid, x, dy, span.frames, block.first, block.count, taps);
            vector::add_column_sums(cpu, dy, channels, block.count * batch.out_bins, bias);
        };
        sum_blocks(cpu, blocks.len(), size, add, |sums| {
            let (taps, bias) = sums.split_at(dweight.len());
            let count = self.kernel[0] * self.kernel[1];
            for (channel, dweight) in dweight.chunks_exact_mut(count).enumerate() {
                for (tap, dweight) in dweight.iter_mut().enumerate() {
                    *dweight += taps[tap * channels + channel];
                }
            }
            vector::add(cpu, bias, dbias);
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
