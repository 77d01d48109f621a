//! The product inside every convolution: windows of a local, zero-bordered picture times packed taps.
//!
//! A window is a few segments (one per row of the kernel), each a contiguous run of bins and channels.
//! The micro-kernel reads the windows where they lie, so nothing is copied per window (no im2col).

use crate::matmul::kernel::{Kernel, Place, Rows, equal_parts};
use crate::real::Real;

/// Most k in one part of the sum, unless a single segment is longer.
const DEPTH: usize = 384;

/// The numbers of a kernel as the micro-kernel reads them: `[segments, length]` k by `columns`, cut
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
}

impl TapsShape {
    /// Columns with the padding of the last panel.
    fn padded(&self) -> usize {
        self.columns.next_multiple_of(self.width)
    }

    /// Elements of the packed form.
    pub(super) fn packed_len(&self) -> usize {
        self.segments * self.length * self.padded()
    }

    /// Segments in one part of the sum.
    fn part(&self) -> usize {
        equal_parts(self.segments, (DEPTH / self.length.max(1)).max(1)).1.max(1)
    }
}

impl<'a, T: Real> Taps<'a, T> {
    /// Packs the numbers `value(segment, place within the segment, column)` into `packed`.
    pub(super) fn pack(
        shape: TapsShape,
        packed: &'a mut [T],
        value: impl Fn(usize, usize, usize) -> T,
    ) -> Self {
        debug_assert_eq!(packed.len(), shape.packed_len());
        let mut place = 0;
        for first in (0..shape.segments).step_by(shape.part()) {
            let part = shape.part().min(shape.segments - first);
            for panel in (0..shape.columns).step_by(shape.width) {
                for segment in first..first + part {
                    for k in 0..shape.length {
                        for column in panel..panel + shape.width {
                            packed[place] = if column < shape.columns {
                                value(segment, k, column)
                            } else {
                                T::ZERO
                            };
                            place += 1;
                        }
                    }
                }
            }
        }
        debug_assert_eq!(place, packed.len());
        Self { packed, shape }
    }
}

/// Where the windows lie in the picture and their results in C: `times` by `bins` of each.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// First element of the first window.
    pub start: usize,
    /// From a window to the next one in time, and to the next one along the bins.
    pub time_step: usize,
    pub bin_step: usize,
    /// From one segment of a window to the next: a row of the picture.
    pub segment: usize,
    pub times: usize,
    pub bins: usize,
    /// The same for the results, each `columns` numbers in a row.
    pub c_start: usize,
    pub c_time_step: usize,
    pub c_bin_step: usize,
}

/// C += windows × taps, for every window of the grid.
pub(super) fn correlate<T: Real>(
    kernel: &Kernel<T>,
    picture: &[T],
    grid: Grid,
    taps: &Taps<'_, T>,
    c: &mut [T],
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
            let (b, rest) = packed.split_at(part * shape.length * shape.width);
            packed = rest;
            for line in 0..lines {
                for tile in 0..tiles {
                    let row = tile * height;
                    let rows = Rows {
                        data: picture,
                        start: grid.start + line * line_step + row * step + first * grid.segment,
                        row: step,
                        step: 1,
                        segment: grid.segment,
                        segments: part,
                        length: shape.length,
                    };
                    let place = Place {
                        start: grid.c_start + line * c_line_step + row * c_step + panel,
                        row: c_step,
                        rows: height.min(along - row),
                        columns: shape.width.min(shape.columns - panel),
                        accumulate: true,
                    };
                    kernel.tile_of(&rows, b, c, place);
                }
            }
        }
    }
}
