//! The product inside every convolution: windows of a local, zero-bordered picture times packed taps.
//!
//! A window is a few segments (one per row of the kernel), each a contiguous run of bins and channels.
//! The micro-kernel reads the windows where they lie, so nothing is copied per window (no im2col).
//!
//! Book: book/src/convolution.md

use rayon::prelude::*;

use crate::matmul::kernel::{Kernel, Operands, Place, Rows, equal_parts};
use crate::real::Real;
use crate::scratch;

/// Most words of k in one part of the sum, unless a single segment is longer.
const DEPTH: usize = 384;

/// The numbers of a kernel as the micro-kernel reads them: `[segments, words]` k by `columns`, cut
/// into parts of whole segments, each part into panels. The cut depends on the kernel's shape alone.
pub(super) struct Taps<'a, T> {
    packed: &'a [T],
    pub(super) shape: TapsShape,
}

/// The sizes of [`Taps`].
#[derive(Clone, Copy)]
pub(super) struct TapsShape {
    /// Rows of the kernel.
    pub(super) segments: usize,
    /// Bins times channels of a row of the kernel.
    pub(super) length: usize,
    /// Channels of the result.
    pub(super) columns: usize,
    /// Columns of a panel.
    pub(super) width: usize,
    /// Numbers in a word.
    pub(super) word: usize,
}

impl TapsShape {
    /// Columns with the padding of the last panel.
    fn padded(&self) -> usize {
        self.columns.next_multiple_of(self.width)
    }

    /// Elements of the packed form.
    pub(super) fn packed_len(&self) -> usize {
        self.segments * self.words() * self.padded()
    }

    /// Words of a segment.
    fn words(&self) -> usize {
        self.length.div_ceil(self.word)
    }

    /// Segments in one part of the sum.
    fn part(&self) -> usize {
        equal_parts(self.segments, (DEPTH / self.words().max(1)).max(1)).1.max(1)
    }
}

/// Where the numbers of [`Taps`] stand in the weights: that of (segment, tap, inner, column) at
/// `start + segment · segment_step + tap · tap_step + inner · inner_step + column · column_step`. A place
/// within a segment is tap · `inners` + inner.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub start: usize,
    /// Negative where the taps are read in reverse order.
    pub segment_step: isize,
    pub tap_step: isize,
    pub inner_step: usize,
    pub column_step: usize,
    pub inners: usize,
}

/// Numbers that a task packs at least.
const PACK_TASK: usize = 1 << 13;

impl<'a, T: Real> Taps<'a, T> {
    /// Packs the weights into `packed`, panels side by side on rayon's threads: numbers are moved and,
    /// in bf16, rounded.
    pub(super) fn pack(
        kernel: &Kernel<T>,
        shape: TapsShape,
        packed: &'a mut [T],
        weight: &[T],
        source: Source,
    ) -> Self {
        debug_assert_eq!(packed.len(), shape.packed_len());
        debug_assert_eq!(shape.length % source.inners, 0);
        let mut panels = Vec::new();
        let mut rest = &mut *packed;
        for first in (0..shape.segments).step_by(shape.part()) {
            let part = shape.part().min(shape.segments - first);
            for column in (0..shape.columns).step_by(shape.width) {
                let (panel, behind) = rest.split_at_mut(part * shape.words() * shape.width);
                rest = behind;
                panels.push((first, column, panel));
            }
        }
        debug_assert!(rest.is_empty());
        let least = PACK_TASK / (shape.part() * shape.length * shape.width).max(1);
        let gather = |first: usize, column: usize, panel: &mut [T]| {
            let filled = shape.width.min(shape.columns - column);
            let start = source.start + column * source.column_step;
            let segments = panel.chunks_exact_mut((shape.length * shape.width).max(1));
            for (segment, panel) in segments.enumerate() {
                let steps = (first + segment) as isize * source.segment_step;
                gather_segment(
                    shape,
                    source,
                    start.wrapping_add_signed(steps),
                    filled,
                    weight,
                    panel,
                );
            }
        };
        panels.into_par_iter().with_min_len(least.max(1)).for_each(|(first, column, panel)| {
            let Operands::Pairs(pairs) = kernel.operands else {
                gather(first, column, panel);
                return kernel.round(panel);
            };
            let (words, length) = (shape.words() * shape.width, shape.length * shape.width);
            scratch::with(panel.len() / words.max(1) * length, |lines: &mut [T]| {
                gather(first, column, lines);
                let segments = panel.chunks_exact_mut(words).zip(lines.chunks_exact(length));
                for (panel, lines) in segments {
                    let lines = lines.chunks(2 * shape.width);
                    for (target, lines) in panel.chunks_exact_mut(shape.width).zip(lines) {
                        // A sum of odd length ends with a zero.
                        let (first, second) = lines.split_at(shape.width);
                        let second = (!second.is_empty()).then_some(second);
                        pairs.across(first, second, target);
                    }
                }
            });
        });
        Self { packed, shape }
    }
}

/// The numbers of one segment as `[length, width]`, the columns from `filled` on zero. Taps that lie side by
/// side in the weights come one after another, while the first-level cache holds their lines.
fn gather_segment<T: Real>(
    shape: TapsShape,
    source: Source,
    start: usize,
    filled: usize,
    weight: &[T],
    panel: &mut [T],
) {
    let Source { tap_step, inner_step, column_step, inners, .. } = source;
    let (width, taps) = (shape.width, shape.length / inners);
    for inner in 0..inners {
        for tap in 0..taps {
            let from = start.wrapping_add_signed(tap as isize * tap_step) + inner * inner_step;
            let (target, padding) =
                panel[(tap * inners + inner) * width..][..width].split_at_mut(filled);
            let values = weight[from..].iter().step_by(column_step);
            target.iter_mut().zip(values).for_each(|(target, &value)| *target = value);
            padding.fill(T::ZERO);
        }
    }
}

/// Where the windows lie in the picture and their results in C: `times` by `bins` of each.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// First word of the first window.
    pub start: usize,
    /// From a window to the next one in time, and to the next one along the bins.
    pub time_step: usize,
    pub bin_step: usize,
    /// From one word of a segment to the next.
    pub step: usize,
    /// From one segment of a window to the next: a row of the picture.
    pub segment: usize,
    pub times: usize,
    pub bins: usize,
    /// The same for the results, each `columns` numbers in a row.
    pub c_start: usize,
    pub c_time_step: usize,
    pub c_bin_step: usize,
}

/// C = windows × taps, or C += windows × taps with `accumulate`, for every window of the grid.
pub(super) fn correlate<T: Real>(
    kernel: &Kernel<T>,
    picture: &[T],
    grid: Grid,
    taps: &Taps<'_, T>,
    c: &mut [T],
    accumulate: bool,
) {
    let shape = taps.shape;
    if shape.segments == 0 || shape.length == 0 || grid.times == 0 || grid.bins == 0 {
        return;
    }
    // Tiles run along the bins, or along time where there are fewer bins than a tile wants. Which way
    // changes no sum.
    let by_time = grid.bins < grid.times && grid.bins * 2 < kernel.rows;
    let (lines, line_step, c_line_step) = if by_time {
        (grid.bins, grid.bin_step, grid.c_bin_step)
    } else {
        (grid.times, grid.time_step, grid.c_time_step)
    };
    let (along, step, c_step) = if by_time {
        (grid.times, grid.time_step, grid.c_time_step)
    } else {
        (grid.bins, grid.bin_step, grid.c_bin_step)
    };
    let (tiles, height) = equal_parts(along, kernel.rows);
    let mut packed = taps.packed;
    for first in (0..shape.segments).step_by(shape.part()) {
        let part = shape.part().min(shape.segments - first);
        for panel in (0..shape.columns).step_by(shape.width) {
            let (b, rest) = packed.split_at(part * shape.words() * shape.width);
            packed = rest;
            for line in 0..lines {
                for tile in 0..tiles {
                    let row = tile * height;
                    let rows = Rows {
                        data: picture,
                        start: grid.start + line * line_step + row * step + first * grid.segment,
                        row: step,
                        step: grid.step,
                        segment: grid.segment,
                        segments: part,
                        length: shape.words(),
                    };
                    let place = Place {
                        start: grid.c_start + line * c_line_step + row * c_step + panel,
                        row: c_step,
                        rows: height.min(along - row),
                        columns: shape.width.min(shape.columns - panel),
                        accumulate: accumulate || first > 0,
                    };
                    kernel.tile_of(&rows, b, c, place);
                }
            }
        }
    }
}
