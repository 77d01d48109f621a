//! Matrix products C = A·B and C += A·B whose sums run in an order fixed by their length.
//!
//! The blocking is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
//! (ACM TOMS 34, 2008): B is cut into blocks of up to 512 k and packed into panels, A into blocks that
//! stay in the second-level cache, and a micro-kernel keeps a tile of C in registers (`kernel.rs`).
//!
//! The sum over k is cut into ⌈K / 256⌉ parts of equal size; each part is one chain of
//! multiply-adds from zero in ascending k, and the parts are added to C in ascending order. Nothing
//! else about the call (the other two sizes, strides, threads, packed or not) can reach the order:
//! threads share out blocks of C, never the sum. So a row of A gives the same row of C alone and in
//! any batch, on any number of threads; only the instruction set and the precision change the
//! rounding.
//!
//! With [`Precision::Bf16`](crate::Precision::Bf16) packing rounds both operands, so that all of A is packed
//! too; where two numbers go into a word (`kernel.rs`) the parts have even length but for the last.
//!
//! Book: book/src/fast.md

mod bf16;
pub(crate) mod kernel;
pub(crate) mod pack;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod transpose;

use rayon::prelude::*;

use crate::cpu::Cpu;
use crate::error::{KernelError, elements};
use crate::real::Real;
use crate::scratch::{self, Buffer};
use kernel::{Kernel, Operands, Output, Place, Rows, equal_parts};

/// Most k in one part of the sum: longer chains round worse.
const DEPTH: usize = 256;
/// Parts that are packed and multiplied together. The second finds its tile of C in the first-level
/// cache; with a pass over all of C for each part, a product of 1600×512×768 ran at 100 GFLOP/s on a
/// core of Zen 4 instead of 106.
const PARTS: usize = 2;
/// Rows of A in a block, about: with [`DEPTH`] k they fill part of the second-level cache.
const BLOCK_ROWS: usize = 112;
/// Columns of B that are packed at once, about: with [`DEPTH`] k they fit the last-level cache.
const BLOCK_COLUMNS: usize = 2048;
/// Below so many multiply-adds a second thread costs more than it brings.
const WORTH_A_THREAD: usize = 1 << 19;

/// A matrix inside a slice: element (i, j) is at `i · row_stride + j · column_stride`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    /// The numbers; may hold more than the matrix.
    pub data: &'a [T],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// From one row to the next.
    pub row_stride: usize,
    /// From one column to the next.
    pub column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix without gaps: `data` is `[rows, columns]`.
    pub fn rows(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The same numbers with rows and columns exchanged; copies nothing.
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// Elements from the first to the last of a strided matrix.
fn extent(
    operation: &'static str,
    what: &'static str,
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
) -> Result<usize, KernelError> {
    if rows == 0 || columns == 0 {
        return Ok(0);
    }
    let down = elements(operation, what, &[rows - 1, row_stride])?;
    let across = elements(operation, what, &[columns - 1, column_stride])?;
    Ok(down + across + 1)
}

fn check_matrix<T>(
    operation: &'static str,
    what: &'static str,
    matrix: &Matrix<'_, T>,
) -> Result<(), KernelError> {
    let Matrix { data, rows, columns, row_stride, column_stride } = *matrix;
    elements(operation, what, &[rows, columns])?;
    let expected = extent(operation, what, rows, columns, row_stride, column_stride)?;
    if data.len() < expected {
        return Err(KernelError::Size { operation, what, actual: data.len(), expected });
    }
    Ok(())
}

/// C as the caller describes it: `[rows, columns]` with `row_stride` from row to row.
fn check_output(
    operation: &'static str,
    len: usize,
    rows: usize,
    columns: usize,
    row_stride: usize,
) -> Result<(), KernelError> {
    if rows > 1 && row_stride < columns {
        let what = "the row stride of C";
        return Err(KernelError::TooSmall {
            operation,
            what,
            actual: row_stride,
            minimum: columns,
        });
    }
    elements(operation, "C", &[rows, columns])?;
    let expected = extent(operation, "C", rows, columns, row_stride, 1)?;
    if len < expected {
        return Err(KernelError::Size { operation, what: "C", actual: len, expected });
    }
    Ok(())
}

/// How many k one part of a sum over `depth` takes, and how many are packed and multiplied together.
fn cut<T: Real>(kernel: &Kernel<T>, depth: usize) -> (usize, usize) {
    let (_, part) = equal_parts(depth, DEPTH);
    let part = part.next_multiple_of(kernel.word());
    (part, (PARTS * part).min(depth))
}

/// A product without a sum: C = 0, or C as it was.
fn empty_sum<T: Real>(c: &mut [T], rows: usize, columns: usize, stride: usize, accumulate: bool) {
    if !accumulate && columns > 0 {
        for row in 0..rows {
            c[row * stride..row * stride + columns].fill(T::ZERO);
        }
    }
}

/// C = A·B, or C += A·B with `accumulate`: A `[m, k]`, B `[k, n]`, C `[m, n]` with `c_row_stride` from
/// row to row. Blocks of C are shared out over rayon's threads.
///
/// # Errors
/// [`KernelError`] when the sizes do not fit each other or their slices; C is then untouched.
pub fn matmul<T: Real>(
    cpu: Cpu,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    c: &mut [T],
    c_row_stride: usize,
    accumulate: bool,
) -> Result<(), KernelError> {
    const OPERATION: &str = "matrix product";
    check_matrix(OPERATION, "A", &a)?;
    check_matrix(OPERATION, "B", &b)?;
    if a.columns != b.rows {
        let what = "the length of the sum (columns of A, rows of B)";
        let (left, right) = (a.columns, b.rows);
        return Err(KernelError::Mismatch { operation: OPERATION, what, left, right });
    }
    check_output(OPERATION, c.len(), a.rows, b.columns, c_row_stride)?;
    let (rows, columns, depth) = (a.rows, b.columns, a.columns);
    if rows == 0 || columns == 0 || depth == 0 {
        empty_sum(c, rows, columns, c_row_stride, accumulate);
        return Ok(());
    }

    let kernel = T::kernel(cpu);
    let work = rows.saturating_mul(columns).saturating_mul(depth);
    let threads = if work < WORTH_A_THREAD { 1 } else { rayon::current_num_threads() };
    let width = kernel.columns;
    let word = kernel.word();
    let (part, pass) = cut(&kernel, depth);
    let output = Output::new(c);
    let block_panels = (BLOCK_COLUMNS / width).min(columns.div_ceil(width));
    scratch::with(pass.div_ceil(word) * block_panels * width, |packed: &mut [T]| {
        for column in (0..columns).step_by(block_panels * width) {
            let block_columns = (columns - column).min(block_panels * width);
            let panels = block_columns.div_ceil(width);
            for k0 in (0..depth).step_by(pass) {
                let depth = pass.min(depth - k0);
                let panel_len = depth.div_ceil(word) * width;
                let packed = &mut packed[..panels * panel_len];
                let pack = |(panel, packed): (usize, &mut [T])| {
                    let first = panel * width;
                    let filled = width.min(block_columns - first);
                    pack::pack_panel(&kernel, b, column + first, filled, k0, depth, width, packed);
                };
                if threads > 1 {
                    packed.par_chunks_mut(panel_len).enumerate().for_each(pack);
                } else {
                    packed.chunks_mut(panel_len).enumerate().for_each(pack);
                }
                let block = Block {
                    kernel,
                    a,
                    k0,
                    depth,
                    part,
                    packed,
                    c: output,
                    c_start: column,
                    c_row_stride,
                    columns: block_columns,
                    accumulate: accumulate || k0 > 0,
                };
                block.multiply(threads);
            }
        }
    });
    Ok(())
}

/// One packed block of B and everything that is multiplied with it.
struct Block<'a, T: Real> {
    kernel: Kernel<T>,
    a: Matrix<'a, T>,
    k0: usize,
    depth: usize,
    /// Number of k in one part of the sum.
    part: usize,
    packed: &'a [T],
    c: Output<T>,
    /// Column of C at which the block starts.
    c_start: usize,
    c_row_stride: usize,
    columns: usize,
    accumulate: bool,
}

impl<T: Real> Block<'_, T> {
    /// Shares the rows (and, where there are few, the panels) out over the threads.
    fn multiply(&self, threads: usize) {
        let panels = self.columns.div_ceil(self.kernel.columns);
        let (row_blocks, rows) = equal_parts(self.a.rows, BLOCK_ROWS);
        // Which thread gets which part of C changes no sum, so this may depend on the threads.
        let wanted = if threads > 1 { (4 * threads).div_ceil(row_blocks) } else { 1 };
        let (groups, group) = equal_parts(panels, panels.div_ceil(wanted).max(4));
        let task = |index: usize| {
            let (row_block, group_index) = (index / groups, index % groups);
            let first = row_block * rows;
            let count = rows.min(self.a.rows.saturating_sub(first));
            let first_panel = group_index * group;
            let last_panel = (first_panel + group).min(panels);
            if count > 0 && first_panel < last_panel {
                self.rows(first, count, first_panel..last_panel);
            }
        };
        if threads > 1 && row_blocks * groups > 1 {
            (0..row_blocks * groups).into_par_iter().for_each(task);
        } else {
            (0..row_blocks * groups).for_each(task);
        }
    }

    /// C's rows `first..first + count` in the columns of these panels.
    fn rows(&self, first: usize, count: usize, panels: std::ops::Range<usize>) {
        let (tiles, height) = equal_parts(count, self.kernel.rows);
        let words = self.depth.div_ceil(self.kernel.word());
        // Packing pays when several panels read the copy; either way the kernel reads the same. What
        // has to be rounded must be packed.
        if panels.len() <= 2 && matches!(self.kernel.operands, Operands::Plain) {
            let source = |tile: usize, _rows: usize| Rows {
                data: self.a.data,
                start: (first + tile * height) * self.a.row_stride + self.k0 * self.a.column_stride,
                row: self.a.row_stride,
                step: self.a.column_stride,
                segment: 0,
                segments: 1,
                length: self.depth,
            };
            self.tiles(first, count, tiles, height, panels, source);
        } else {
            scratch::with(count * words, |packed: &mut [T]| {
                let mut by_rows = false;
                for tile in 0..tiles {
                    let row = tile * height;
                    let rows = height.min(count.saturating_sub(row));
                    let packed = &mut packed[row.min(count) * words..][..rows * words];
                    by_rows = pack::pack_rows(
                        &self.kernel,
                        self.a,
                        first + row,
                        rows,
                        self.k0,
                        self.depth,
                        packed,
                    );
                }
                let source = |tile: usize, rows: usize| Rows {
                    data: &*packed,
                    start: tile * height * words,
                    row: if by_rows { words } else { 1 },
                    step: if by_rows { 1 } else { rows },
                    segment: 0,
                    segments: 1,
                    length: words,
                };
                self.tiles(first, count, tiles, height, panels, source);
            });
        }
    }

    fn tiles<'s>(
        &self,
        first: usize,
        count: usize,
        tiles: usize,
        height: usize,
        panels: std::ops::Range<usize>,
        source: impl Fn(usize, usize) -> Rows<'s, T>,
    ) where
        T: 's,
    {
        let (width, word) = (self.kernel.columns, self.kernel.word());
        let words = self.depth.div_ceil(word);
        for panel in panels {
            let b = &self.packed[panel * words * width..][..words * width];
            for tile in 0..tiles {
                let row = tile * height;
                let rows = height.min(count.saturating_sub(row));
                if rows == 0 {
                    break;
                }
                let place = Place {
                    start: (first + row) * self.c_row_stride + self.c_start + panel * width,
                    row: self.c_row_stride,
                    rows,
                    columns: width.min(self.columns - panel * width),
                    accumulate: self.accumulate,
                };
                let source = source(tile, rows);
                for k in (0..words).step_by(self.part.div_ceil(word)) {
                    let length = self.part.div_ceil(word).min(words - k);
                    let a = Rows { start: source.start + k * source.step, length, ..source };
                    let place = Place { accumulate: self.accumulate || k > 0, ..place };
                    // SAFETY: C is borrowed by the caller of the product for the whole call, and
                    // each task has its own rows and panels.
                    unsafe { self.kernel.tile(&a, &b[k * width..], self.c, place) };
                }
            }
        }
    }
}

/// A matrix B packed for the micro-kernel, for many products with the same B: the recurrence.
pub struct PackedMatrix<T> {
    cpu: Cpu,
    rows: usize,
    columns: usize,
    buffer: Buffer,
    number: std::marker::PhantomData<T>,
}

impl<T: Real> PackedMatrix<T> {
    /// An empty matrix, to be filled by [`PackedMatrix::repack`].
    pub fn new() -> Self {
        Self {
            cpu: Cpu::portable(),
            rows: 0,
            columns: 0,
            buffer: Buffer::default(),
            number: std::marker::PhantomData,
        }
    }

    /// Packs `b`.
    ///
    /// # Errors
    /// [`KernelError`] when the sizes do not fit the slice.
    pub fn pack(cpu: Cpu, b: Matrix<'_, T>) -> Result<Self, KernelError> {
        let mut packed = Self::new();
        packed.repack(cpu, b)?;
        Ok(packed)
    }

    /// Packs `b` into the memory of an earlier matrix.
    ///
    /// # Errors
    /// [`KernelError`] when the sizes do not fit the slice; the old matrix is then still there.
    pub fn repack(&mut self, cpu: Cpu, b: Matrix<'_, T>) -> Result<(), KernelError> {
        const OPERATION: &str = "packing of a matrix";
        check_matrix(OPERATION, "B", &b)?;
        let kernel = T::kernel(cpu);
        let width = kernel.columns;
        let panels = b.columns.div_ceil(width);
        let word = kernel.word();
        let total = elements(OPERATION, "B", &[b.rows.div_ceil(word), panels, width])?;
        self.cpu = cpu;
        self.rows = b.rows;
        self.columns = b.columns;
        let packed = self.buffer.slice_mut(total);
        let (_, pass) = cut(&kernel, b.rows);
        for k0 in (0..b.rows).step_by(pass.max(1)) {
            let depth = pass.min(b.rows - k0);
            let words = depth.div_ceil(word);
            let packed = &mut packed[k0 / word * panels * width..][..words * panels * width];
            for (panel, packed) in packed.chunks_mut(words * width).enumerate() {
                let first = panel * width;
                let filled = width.min(b.columns - first);
                pack::pack_panel(&kernel, b, first, filled, k0, depth, width, packed);
            }
        }
        Ok(())
    }

    /// Packs `b` into memory that the thread keeps, for the length of one call.
    pub(crate) fn lend<R>(
        cpu: Cpu,
        b: Matrix<'_, T>,
        work: impl FnOnce(&Self) -> Result<R, KernelError>,
    ) -> Result<R, KernelError> {
        let buffer = scratch::take::<T>(b.rows.saturating_mul(b.columns));
        let mut packed = Self { buffer, ..Self::new() };
        packed.repack(cpu, b)?;
        let result = work(&packed);
        scratch::give(packed.buffer);
        result
    }

    /// Refuses one that was packed for another instruction set or precision.
    pub(crate) fn check_cpu(&self, operation: &'static str, used: Cpu) -> Result<(), KernelError> {
        match self.cpu == used {
            true => Ok(()),
            false => Err(KernelError::PackedForOther { operation, packed: self.cpu, used }),
        }
    }

    /// Rows of B: the length of the sum.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of B.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

impl<T: Real> Default for PackedMatrix<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// C = A·B, or C += A·B, with a packed B, on the calling thread alone; the same bits as [`matmul`].
///
/// # Errors
/// [`KernelError`] when the sizes do not fit, or B was packed for another instruction set or precision;
/// C is then untouched.
pub fn matmul_packed<T: Real>(
    cpu: Cpu,
    a: Matrix<'_, T>,
    b: &PackedMatrix<T>,
    c: &mut [T],
    c_row_stride: usize,
    accumulate: bool,
) -> Result<(), KernelError> {
    const OPERATION: &str = "product with a packed matrix";
    check_matrix(OPERATION, "A", &a)?;
    if a.columns != b.rows {
        let what = "the length of the sum (columns of A, rows of B)";
        let (left, right) = (a.columns, b.rows);
        return Err(KernelError::Mismatch { operation: OPERATION, what, left, right });
    }
    let (rows, columns, depth) = (a.rows, b.columns, a.columns);
    check_output(OPERATION, c.len(), rows, columns, c_row_stride)?;
    if rows == 0 || columns == 0 || depth == 0 {
        empty_sum(c, rows, columns, c_row_stride, accumulate);
        return Ok(());
    }
    b.check_cpu(OPERATION, cpu)?;
    let kernel = T::kernel(cpu);
    let panels = columns.div_ceil(kernel.columns);
    let (word, panels_width) = (kernel.word(), panels * kernel.columns);
    let packed = b.buffer.slice(depth.div_ceil(word) * panels_width);
    let output = Output::new(c);
    let (part, pass) = cut(&kernel, depth);
    for k0 in (0..depth).step_by(pass) {
        let depth = pass.min(depth - k0);
        let block = Block {
            kernel,
            a,
            k0,
            depth,
            part,
            packed: &packed[k0 / word * panels_width..][..depth.div_ceil(word) * panels_width],
            c: output,
            c_start: 0,
            c_row_stride,
            columns,
            accumulate: accumulate || k0 > 0,
        };
        block.multiply(1);
    }
    Ok(())
}
