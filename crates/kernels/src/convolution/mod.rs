//! Convolution over time and frequency, ragged over time, channels last, and its gradients.
//!
//! With kernel K, stride s, padding p (each for time and for bins), y has ⌊(n + 2p − K) / s⌋ + 1
//! frames and bins, and
//!
//! ```text
//! y[t, f, o] = b[o] + Σ_{i, j, c} x[t s_t − p_t + i, f s_f − p_f + j, c] W[o, c, i, j]
//! ```
//!
//! where x is zero outside of its own utterance: the neighbour's frames in the batch are never seen,
//! so each utterance comes out as if it were alone.
//!
//! **Gradient of x.** Let τ = t + p_t be the time in the padded input. Output frame t' sees it through
//! tap i = τ − t' s_t. With τ = s_t u + a (0 ≤ a < s_t) these are the taps i = a + s_t j at t' = u − j:
//!
//! ```text
//! dx[t] = Σ_j dy[u − j] W[a + s_t j],   and the same along the bins.
//! ```
//!
//! For each phase (a_t, a_f) this is again a convolution with stride 1, over dy, with every s-th tap in
//! reverse order: the same code as the forward pass, no scattered additions.
//!
//! **Gradient of W.** dW[o, c, i, j] = Σ_{t, f} dy[t, f, o] x[t s_t − p_t + i, f s_f − p_f + j, c]: the
//! sum over positions runs in blocks of frames fixed by the shape; groups of blocks, fixed by the shape
//! too, are summed side by side on rayon's threads and then added in order, so the threads do not show.
//! The gradient of b is the sum of dy in the same blocks.
//!
//! Each block copies its piece of the input (or of dy) with a border of zeros into a picture that stays
//! in the second-level cache (`picture.rs`); the products read windows out of it (`correlate.rs`). The
//! blocking of the sums follows the matrix product (Goto and van de Geijn 2008).
//!
//! **In bf16** ([`Precision::Bf16`](crate::Precision::Bf16)) the operands are rounded: x and W; dy and W; x and
//! dy. The bias and its gradient are no operands. Where the CPU multiplies pairs of neighbours in the sum,
//! pictures and taps are rounded into pairs of channels, or of places in a row where the channels are odd
//! (`words.rs`), and the gradient of W pairs each frame with one half an utterance later (`folded.rs`).
//!
//! Book: book/src/convolution.md

mod backward;
mod correlate;
mod folded;
mod picture;
#[cfg(test)]
mod tests;
mod weights;
mod words;

use rayon::prelude::*;

use crate::cpu::Cpu;
use crate::error::{KernelError, check_least, check_size, elements};
use crate::real::Real;
use crate::window::{Batch, Block, Span, Window, blocks, split_rows};
use crate::{scratch, vector};
use correlate::{Grid, Source, Taps, TapsShape, correlate};
use picture::Picture;
use words::Words;

/// The shape of a convolution. Sizes in pairs are for time and for bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Frames and bins that one output sees.
    pub kernel: [usize; 2],
    /// Frames and bins from one output to the next.
    pub stride: [usize; 2],
    /// Zeros before and after each utterance and before and after its bins; less than the kernel.
    pub padding: [usize; 2],
}

const FORWARD: &str = "convolution";
const BACKWARD: &str = "gradient of the convolution";

/// Positions in a block of frames, about.
const BLOCK_POSITIONS: usize = 640;
/// Numbers in a block's picture, about: a part of the second-level cache.
const BLOCK_PICTURE: usize = 1 << 15;

impl Convolution {
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

    /// Elements of the weights, `[out, in, time, bins]`; saturates where they do not fit.
    pub fn weight_len(&self) -> usize {
        [self.out_channels, self.in_channels, self.kernel[0], self.kernel[1]]
            .into_iter()
            .fold(1, usize::saturating_mul)
    }

    /// Checks what both passes share.
    fn batch(
        &self,
        operation: &'static str,
        x: usize,
        lengths: &[usize],
        bins: usize,
        weight: usize,
    ) -> Result<Batch, KernelError> {
        check_least(operation, "the number of input channels", self.in_channels, 1)?;
        check_least(operation, "the number of output channels", self.out_channels, 1)?;
        let batch = self.window().batch(operation, lengths, bins)?;
        let size = elements(operation, "x", &[batch.rows, bins, self.in_channels])?;
        check_size(operation, "x", x, size)?;
        let shape = [self.out_channels, self.in_channels, self.kernel[0], self.kernel[1]];
        check_size(operation, "weight", weight, elements(operation, "weight", &shape)?)?;
        elements(operation, "y", &[batch.out_rows, batch.out_bins, self.out_channels])?;
        Ok(batch)
    }

    /// How the output frames of a batch are cut into blocks: a matter of the shape alone.
    fn output_blocks(&self, batch: &Batch) -> Vec<Block> {
        let row = self.stride[0] * batch.bins * self.in_channels;
        let count = (BLOCK_PICTURE / row.max(1)).min(BLOCK_POSITIONS.div_ceil(batch.out_bins));
        blocks(batch, |utterance| utterance.out_frames, count.max(1))
    }

    /// The picture that the windows of a block of output frames need.
    fn input_picture<T: Real>(&self, batch: &Batch, block: &Block, words: Words<T>) -> Picture<T> {
        let Span { first, frames, .. } = block.utterance;
        Picture {
            first_row: first,
            frames,
            row_bins: batch.bins,
            words,
            // The first frame and bin of the picture, counted in the padded utterance.
            time: block.first * self.stride[0],
            bin: 0,
            times: (block.count - 1) * self.stride[0] + self.kernel[0],
            bins: (batch.out_bins - 1) * self.stride[1] + self.kernel[1],
            border: self.padding,
        }
    }

    /// Runs the layer: `x` `[rows, bins, in]`, utterance after utterance as `lengths` says; `weight`
    /// `[out, in, time, bins]` (PyTorch's layout), `bias` `[out]`; `y` `[rows', bins', out]` with
    /// [`Convolution::output_frames`] rows for each utterance. Parallel over blocks of frames.
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
        let batch = self.batch(FORWARD, x.len(), lengths, bins, weight.len())?;
        let row = batch.out_bins * self.out_channels;
        check_size(FORWARD, "bias", bias.len(), self.out_channels)?;
        check_size(FORWARD, "y", y.len(), batch.out_rows * row)?;
        let kernel = T::kernel(cpu);
        let [times, taps] = self.kernel;
        let shape = TapsShape {
            segments: times,
            length: taps * self.in_channels,
            columns: self.out_channels,
            width: kernel.columns,
            word: kernel.word(),
        };
        let words = Words::of(&kernel, self.in_channels);
        let blocks = self.output_blocks(&batch);
        let tasks = split_rows(y, row, &blocks);
        scratch::with(shape.packed_len(), |packed: &mut [T]| {
            // k runs over time, bins and channels, as the picture lies in memory.
            let source = Source {
                start: 0,
                segment_step: taps as isize,
                tap_step: 1,
                inner_step: times * taps,
                column_step: self.in_channels * times * taps,
                inners: self.in_channels,
            };
            let taps = Taps::pack(&kernel, shape, packed, weight, source);
            tasks.into_par_iter().for_each(|(block, y)| {
                vector::fill_rows(y, bias);
                self.input_picture(&batch, &block, words).with(x, |picture, line| {
                    let grid = Grid {
                        start: 0,
                        time_step: self.stride[0] * line,
                        bin_step: self.stride[1] * words.bin(),
                        step: words.step(),
                        segment: line,
                        times: block.count,
                        bins: batch.out_bins,
                        c_start: 0,
                        c_time_step: row,
                        c_bin_step: self.out_channels,
                    };
                    correlate(&kernel, picture, grid, &taps, y, true);
                });
            });
        });
        Ok(())
    }
}
