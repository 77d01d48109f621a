//! Max and average pooling over time and bins, ragged over time, channels last, and their gradients.
//!
//! x is `[rows, bins, channels]`; each channel by itself, output (t, f) sees the window W(t, f) of
//! places of its own utterance (`window.rs`):
//!
//! ```text
//! max:      y[t, f] = max_{W} x          average:   y[t, f] = Σ_{W} x / n
//! ```
//!
//! Padding is no number: a maximum passes it over (PyTorch's −∞), a sum skips it (zero). Whether the
//! average's n counts padded places is [`Average`]'s choice. A NaN in a window makes its output NaN.
//!
//! **Gradients.** The average hands dy / n to each place of the window. The maximum hands dy to the
//! place that holds it, to the first in time and bins where several do (as PyTorch does), or to the
//! first NaN where the maximum is one. That place is found again from x and y, nothing is kept: of all
//! places of the window the first with x = y.
//!
//! An element of dx is summed over the windows that see it, in the order of their t, then f; blocks of
//! frames are shared out over the threads and each looks at all windows that reach into it.
//!
//! Book: book/src/convolution.md

use rayon::prelude::*;

use crate::blocks::ELEMENT_BLOCK;
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_least, check_size, elements};
use crate::lanes::{Lanes, add_to, load, over_channels, store};
use crate::real::Real;
use crate::window::{Batch, Block, Span, Window, blocks, split_rows};

/// What an average divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Average {
    /// The places of the kernel, padding among them: PyTorch's default (`count_include_pad`).
    WholeWindow,
    /// The places inside of the utterance and its bins.
    InsideOnly,
}

/// Which pooling.
#[derive(Clone, Copy)]
enum Kind {
    Max,
    Average(Average),
}

/// The sizes that a loop over windows needs.
#[derive(Clone, Copy)]
struct Grid {
    window: Window,
    bins: usize,
    out_bins: usize,
    channels: usize,
    kind: Kind,
}

/// One window: where its first place lies in x, and how many rows and columns of it lie inside.
#[derive(Clone, Copy)]
struct View {
    start: usize,
    rows: usize,
    line: usize,
    columns: usize,
    /// What an average divides by.
    count: usize,
}

impl Grid {
    /// The window (`t`, `f`) over an utterance of `frames`.
    #[inline(always)]
    fn view(&self, t: usize, f: usize, frames: usize) -> View {
        let time = self.window.seen(0, t, frames);
        let bin = self.window.seen(1, f, self.bins);
        let count = match self.kind {
            Kind::Average(Average::WholeWindow) => self.window.kernel[0] * self.window.kernel[1],
            _ => time.count * bin.count,
        };
        View {
            start: (time.place * self.bins + bin.place) * self.channels,
            rows: time.count,
            line: self.bins * self.channels,
            columns: bin.count,
            count,
        }
    }
}

/// The larger number, or the first NaN.
#[inline(always)]
fn larger<T: Real>(a: T, b: T) -> T {
    // `!(b <= a)` is true for b > a and for a NaN on either side.
    #[allow(clippy::neg_cmp_op_on_partial_ord)]
    if !(b <= a) & !a.is_nan() { b } else { a }
}

/// One window's maximum.
struct Maximum<'a, T> {
    x: &'a [T],
    view: View,
    channels: usize,
    y: &'a mut [T],
}

impl<T: Real> Lanes for Maximum<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let View { start, rows, line, columns, .. } = self.view;
        let mut best: [T; L] = load(self.x, start + channel);
        for row in 0..rows {
            for column in 0..columns {
                let at = start + row * line + column * self.channels + channel;
                let values: [T; L] = load(self.x, at);
                for (best, value) in best.iter_mut().zip(values) {
                    *best = larger(*best, value);
                }
            }
        }
        store(self.y, channel, best);
    }
}

/// One window's average.
struct Mean<'a, T> {
    x: &'a [T],
    view: View,
    channels: usize,
    y: &'a mut [T],
}

impl<T: Real> Lanes for Mean<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let View { start, rows, line, columns, count } = self.view;
        let mut sums = [T::ZERO; L];
        for row in 0..rows {
            for column in 0..columns {
                let at = start + row * line + column * self.channels + channel;
                let values: [T; L] = load(self.x, at);
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value;
                }
            }
        }
        let count = T::from_usize(count);
        store(self.y, channel, sums.map(|sum| sum / count));
    }
}

/// One window's gradient, handed to the places of frames that lie in `dx`.
struct Scatter<'a, T> {
    x: &'a [T],
    y: &'a [T],
    dy: &'a [T],
    view: View,
    channels: usize,
    max: bool,
    /// Rows of the window that lie in the block of `dx`.
    inside: std::ops::Range<usize>,
    /// Element of x at which `dx` begins.
    origin: usize,
    dx: &'a mut [T],
}

impl<T: Real> Lanes for Scatter<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let View { start, line, columns, count, .. } = self.view;
        let mut slopes: [T; L] = load(self.dy, channel);
        if !self.max {
            let count = T::from_usize(count);
            let slopes = slopes.map(|slope| slope / count);
            for row in self.inside.clone() {
                for column in 0..columns {
                    let at = start + row * line + column * self.channels + channel;
                    add_to(self.dx, at - self.origin, slopes);
                }
            }
            return;
        }
        let tops: [T; L] = load(self.y, channel);
        // Rows before the block can hold the maximum too; those behind it no longer matter.
        for row in 0..self.inside.end {
            for column in 0..columns {
                let at = start + row * line + column * self.channels + channel;
                let values: [T; L] = load(self.x, at);
                let mut shares = [T::ZERO; L];
                for lane in 0..L {
                    let same = (values[lane] == tops[lane])
                        | (values[lane].is_nan() & tops[lane].is_nan());
                    shares[lane] = if same { slopes[lane] } else { T::ZERO };
                    // Handed on once: what comes later gets nothing.
                    slopes[lane] = if same { T::ZERO } else { slopes[lane] };
                }
                if row >= self.inside.start {
                    add_to(self.dx, at - self.origin, shares);
                }
            }
        }
    }
}

per_isa! {
    /// Output frames from `first` on of one utterance, x `[frames, bins, channels]`.
    fn forward_rows<T>(grid: Grid, x: &[T], frames: usize, first: usize, y: &mut [T]) {
        let row = grid.out_bins * grid.channels;
        for (t, y) in y.chunks_exact_mut(row).enumerate() {
            for (f, y) in y.chunks_exact_mut(grid.channels).enumerate() {
                let view = grid.view(first + t, f, frames);
                let channels = grid.channels;
                match grid.kind {
                    Kind::Max => over_channels(channels, &mut Maximum { x, view, channels, y }),
                    Kind::Average(_) => over_channels(channels, &mut Mean { x, view, channels, y }),
                }
            }
        }
    }

    /// dx of the frames from `first` on of one utterance; x, y and dy are those of the utterance.
    fn backward_rows<T>(
        grid: Grid, x: &[T], y: &[T], dy: &[T], span: Span, first: usize, dx: &mut [T],
    ) {
        dx.fill(T::ZERO);
        let (line, channels) = (grid.bins * grid.channels, grid.channels);
        let end = first + dx.len() / line;
        let max = matches!(grid.kind, Kind::Max);
        for t in grid.window.seen_by(0, first, end - 1, span.out_frames) {
            let place = grid.window.seen(0, t, span.frames).place;
            for f in 0..grid.out_bins {
                let view = grid.view(t, f, span.frames);
                let inside = first.saturating_sub(place)..view.rows.min(end - place);
                let at = (t * grid.out_bins + f) * channels;
                let (dy, y) = (&dy[at..at + channels], if max { &y[at..at + channels] } else { y });
                let origin = first * line;
                let mut work =
                    Scatter { x, y, dy, view, channels, max, inside, origin, dx: &mut *dx };
                over_channels(channels, &mut work);
            }
        }
    }
}

/// Blocks of about [`ELEMENT_BLOCK`] elements of rows of `row` elements.
fn tasks(batch: &Batch, row: usize, frames: impl Fn(&Span) -> usize) -> Vec<Block> {
    blocks(batch, frames, (ELEMENT_BLOCK / row.max(1)).max(1))
}

/// What both passes check, and their sizes.
fn check(
    operation: &'static str,
    window: Window,
    kind: Kind,
    x: usize,
    lengths: &[usize],
    bins: usize,
    channels: usize,
) -> Result<(Batch, Grid), KernelError> {
    check_least(operation, "the number of channels", channels, 1)?;
    let batch = window.batch(operation, lengths, bins)?;
    check_size(operation, "x", x, elements(operation, "x", &[batch.rows, bins, channels])?)?;
    elements(operation, "y", &[batch.out_rows, batch.out_bins, channels])?;
    let grid = Grid { window, bins, out_bins: batch.out_bins, channels, kind };
    Ok((batch, grid))
}

#[allow(clippy::too_many_arguments)]
fn forward<T: Real>(
    operation: &'static str,
    cpu: Cpu,
    window: Window,
    kind: Kind,
    x: &[T],
    lengths: &[usize],
    bins: usize,
    channels: usize,
    y: &mut [T],
) -> Result<(), KernelError> {
    let (batch, grid) = check(operation, window, kind, x.len(), lengths, bins, channels)?;
    let row = batch.out_bins * channels;
    check_size(operation, "y", y.len(), batch.out_rows * row)?;
    let tasks = tasks(&batch, row, |span| span.out_frames);
    split_rows(y, row, &tasks).into_par_iter().for_each(|(block, y)| {
        let Span { first, frames, .. } = block.utterance;
        let line = bins * channels;
        forward_rows(cpu, grid, &x[first * line..][..frames * line], frames, block.first, y);
    });
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn backward<T: Real>(
    operation: &'static str,
    cpu: Cpu,
    window: Window,
    kind: Kind,
    x_and_y: Option<(&[T], &[T])>,
    lengths: &[usize],
    bins: usize,
    channels: usize,
    dy: &[T],
    dx: &mut [T],
) -> Result<(), KernelError> {
    let size = x_and_y.map_or(dx.len(), |(x, _)| x.len());
    let (batch, grid) = check(operation, window, kind, size, lengths, bins, channels)?;
    let (line, row) = (bins * channels, batch.out_bins * channels);
    check_size(operation, "dx", dx.len(), size)?;
    check_size(operation, "dy", dy.len(), batch.out_rows * row)?;
    let (x, y) = x_and_y.unwrap_or_default();
    if x_and_y.is_some() {
        check_size(operation, "y", y.len(), batch.out_rows * row)?;
    }
    let tasks = tasks(&batch, line, |span| span.frames);
    split_rows(dx, line, &tasks).into_par_iter().for_each(|(block, dx)| {
        let span = block.utterance;
        let of = |values, first, frames, width| part(values, first * width, frames * width);
        let x = of(x, span.first, span.frames, line);
        let y = of(y, span.out_first, span.out_frames, row);
        let dy = of(dy, span.out_first, span.out_frames, row);
        backward_rows(cpu, grid, x, y, dy, span, block.first, dx);
    });
    Ok(())
}

/// `count` numbers from `first` on, or none where there are none at all.
fn part<T>(values: &[T], first: usize, count: usize) -> &[T] {
    if values.is_empty() { values } else { &values[first..first + count] }
}

/// The largest number of each window: x `[rows, bins, channels]`, utterance after utterance as
/// `lengths` says → y `[rows', bins', channels]` with [`Window::output_frames`] rows for each.
///
/// # Errors
/// [`KernelError`] for an empty batch, an utterance that is too short for the kernel, a padding that
/// is not smaller than the kernel, or a slice that does not fit; nothing is then written.
#[allow(clippy::too_many_arguments)]
pub fn max_pool_forward<T: Real>(
    cpu: Cpu,
    window: Window,
    x: &[T],
    lengths: &[usize],
    bins: usize,
    channels: usize,
    y: &mut [T],
) -> Result<(), KernelError> {
    forward("max_pool_forward", cpu, window, Kind::Max, x, lengths, bins, channels, y)
}

/// The gradient of [`max_pool_forward`], from its input, its output and dy: dx is overwritten.
///
/// # Errors
/// As for [`max_pool_forward`].
#[allow(clippy::too_many_arguments)]
pub fn max_pool_backward<T: Real>(
    cpu: Cpu,
    window: Window,
    x: &[T],
    lengths: &[usize],
    bins: usize,
    channels: usize,
    y: &[T],
    dy: &[T],
    dx: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "max_pool_backward";
    let known = Some((x, y));
    backward(OPERATION, cpu, window, Kind::Max, known, lengths, bins, channels, dy, dx)
}

/// The average of each window, in the shapes of [`max_pool_forward`].
///
/// # Errors
/// As for [`max_pool_forward`].
#[allow(clippy::too_many_arguments)]
pub fn average_pool_forward<T: Real>(
    cpu: Cpu,
    window: Window,
    average: Average,
    x: &[T],
    lengths: &[usize],
    bins: usize,
    channels: usize,
    y: &mut [T],
) -> Result<(), KernelError> {
    let kind = Kind::Average(average);
    forward("average_pool_forward", cpu, window, kind, x, lengths, bins, channels, y)
}

/// The gradient of [`average_pool_forward`], which depends on dy alone: dx is overwritten.
///
/// # Errors
/// As for [`max_pool_forward`].
#[allow(clippy::too_many_arguments)]
pub fn average_pool_backward<T: Real>(
    cpu: Cpu,
    window: Window,
    average: Average,
    lengths: &[usize],
    bins: usize,
    channels: usize,
    dy: &[T],
    dx: &mut [T],
) -> Result<(), KernelError> {
    let kind = Kind::Average(average);
    backward("average_pool_backward", cpu, window, kind, None, lengths, bins, channels, dy, dx)
}

#[cfg(test)]
mod tests;
