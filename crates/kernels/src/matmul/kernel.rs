//! The micro-kernel's interface: one tile of C, a few rows by one panel of columns, kept in registers.
//!
//! Every product of this crate (matrix product, recurrence, convolution and their gradients) ends
//! here, and here alone numbers are multiplied and summed. For each element of the tile
//!
//!   c = Σₖ a[k] b[k], in ascending k, one fused multiply-add each (one multiplication and one
//!   addition on the portable path), starting at zero; then C = c or C = C + c.
//!
//! The rows of a tile never meet, and the lanes of a vector never meet: how many rows or columns a
//! tile has cannot change an element's bits. That is what promise 3 rests on.
//!
//! A is read through strides, so that one kernel serves packed panels (rows adjacent), plain row-major
//! rows, and the overlapping windows of a convolution (one segment of k per row of the window).
//! B is a packed panel: `columns` numbers per k, the last panel filled up with zeros.
//!
//! Operands rounded to bf16 may be packed two to a *word*, the bits of one number: a pair of
//! neighbouring k, the earlier one in the lower half. The kernel then steps over words,
//!
//!   c = Σⱼ a[2j + 1] b[2j + 1] + a[2j] b[2j], in ascending j and in this order within the pair,
//!
//! each addition rounded, each product exact; a sum of odd length ends with a zero. `step` and `length`
//! of [`Rows`] count words, as everything here does; with plain operands a word is one number.
//!
//! Book: book/src/fast.md

use crate::cpu::{Cpu, Isa};
use crate::real::Real;

/// Where a tile's A lies: element (i, k) with k = s · `length` + j is at
/// `start + i · row + s · segment + j · step`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    pub data: &'a [T],
    pub start: usize,
    /// From one row of the tile to the next.
    pub row: usize,
    /// From one k to the next within a segment.
    pub step: usize,
    /// From one segment of k to the next.
    pub segment: usize,
    pub segments: usize,
    /// Number of k in a segment.
    pub length: usize,
}

/// What the vector code gets: the same as [`Rows`] and the panel and tile, checked and as pointers.
pub(crate) struct Tile<T> {
    pub a: *const T,
    pub row: usize,
    pub step: usize,
    pub segment: usize,
    pub segments: usize,
    pub length: usize,
    pub b: *const T,
    pub c: *mut T,
    pub c_row: usize,
    /// Columns of C that exist, at most the panel's width.
    pub columns: usize,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

/// The micro-kernel of one number type on one instruction set.
#[derive(Clone, Copy)]
pub struct Kernel<T: 'static> {
    /// Most rows of a tile.
    pub(crate) rows: usize,
    /// Columns of a packed panel.
    pub(crate) columns: usize,
    /// One function for each number of rows, from 1 to `rows`.
    pub(crate) tiles: &'static [unsafe fn(&Tile<T>)],
    /// Transposes eight rows into a panel, where there is vector code for it.
    pub(crate) eight_rows: Option<EightRows<T>>,
    /// What the kernel reads.
    pub(crate) operands: Operands<T>,
}

/// What packing makes of the operands.
#[derive(Clone, Copy)]
pub(crate) enum Operands<T> {
    /// A copy.
    Plain,
    /// Each number rounded, by this function, to fewer bits.
    Rounded(unsafe fn(&mut [T])),
    /// Each pair of neighbouring k rounded into one word.
    Pairs(PairPacking<T>),
}

/// Rounds numbers into words of two; `avx512.rs` says how.
#[derive(Clone, Copy)]
pub(crate) struct PairPacking<T> {
    /// Neighbours in memory are the pairs: from, to, so many numbers.
    pub(crate) along: unsafe fn(*const T, *mut T, usize),
    /// Numbers of two lines are the pairs: from the first, from the second (zeros without one), to, so
    /// many words.
    pub(crate) across: unsafe fn(*const T, Option<*const T>, *mut T, usize),
}

impl<T: Real> PairPacking<T> {
    /// Neighbours of `source` as pairs; an odd last number is joined by zero.
    #[inline]
    pub(crate) fn along(&self, source: &[T], target: &mut [T]) {
        assert_eq!(target.len(), source.len().div_ceil(2), "words of a run");
        // SAFETY: both slices have the length that is read and written; a kernel, and with it this
        // value, is only chosen by a `Cpu`, which has the function's instructions.
        unsafe { (self.along)(source.as_ptr(), target.as_mut_ptr(), source.len()) }
    }

    /// Numbers of two lines as pairs, zeros in the place of a missing second.
    #[inline]
    pub(crate) fn across(&self, first: &[T], second: Option<&[T]>, target: &mut [T]) {
        assert_eq!(first.len(), target.len(), "words of a line");
        assert!(second.is_none_or(|second| second.len() == first.len()), "lines of two lengths");
        let second = second.map(<[T]>::as_ptr);
        // SAFETY: as above.
        unsafe { (self.across)(first.as_ptr(), second, target.as_mut_ptr(), first.len()) }
    }
}

/// From a source, the distance of its rows, into a target, the distance of its lines, so many k:
/// see `transpose.rs`.
pub(crate) type EightRows<T> = unsafe fn(*const T, usize, *mut T, usize, usize);

/// C as several threads see it: each writes tiles that no other touches.
#[derive(Clone, Copy)]
pub(crate) struct Output<T> {
    pointer: *mut T,
    len: usize,
}

// SAFETY: the pointer comes from a `&mut [T]` that the caller of the product holds for the whole
// call, and `Kernel::tile` is unsafe to call unless the tiles of different threads are disjoint.
unsafe impl<T: Send> Send for Output<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Output<T> {}

impl<T> Output<T> {
    pub(crate) fn new(c: &mut [T]) -> Self {
        Self { pointer: c.as_mut_ptr(), len: c.len() }
    }
}

/// Where a tile of C lies within an [`Output`].
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub start: usize,
    /// From one row of C to the next.
    pub row: usize,
    pub rows: usize,
    pub columns: usize,
    pub accumulate: bool,
}

impl<T: Real> Kernel<T> {
    /// Numbers of k in a word.
    pub(crate) fn word(&self) -> usize {
        match self.operands {
            Operands::Plain | Operands::Rounded(_) => 1,
            Operands::Pairs(_) => 2,
        }
    }

    /// Rounds copies of operands in place, where the kernel wants them rounded and not paired.
    #[inline]
    pub(crate) fn round(&self, copies: &mut [T]) {
        if let Operands::Rounded(round) = self.operands {
            // SAFETY: a kernel is only chosen by a `Cpu`, which has the function's instructions.
            unsafe { round(copies) }
        }
    }

    /// Computes one tile.
    ///
    /// # Safety
    /// The slice behind `c` must still be borrowed, and no other thread may read or write the
    /// elements of this tile meanwhile. All bounds are checked here.
    #[inline]
    pub(crate) unsafe fn tile(&self, a: &Rows<'_, T>, b: &[T], c: Output<T>, place: Place) {
        if a.segments == 0 || a.length == 0 || place.rows == 0 || place.columns == 0 {
            debug_assert!(place.accumulate || place.rows == 0 || place.columns == 0);
            return;
        }
        let last_a = a.start
            + (place.rows - 1) * a.row
            + (a.segments - 1) * a.segment
            + (a.length - 1) * a.step;
        // Bounds stand in every build: they cost a few instructions per some thousand.
        assert!(last_a < a.data.len(), "tile reads past the end of A");
        assert!(a.segments * a.length * self.columns <= b.len(), "tile reads past the panel");
        assert!(place.rows <= self.rows && place.columns <= self.columns, "tile too large");
        let last_c = place.start + (place.rows - 1) * place.row + place.columns;
        assert!(last_c <= c.len, "tile writes past the end of C");
        debug_assert!(a.start < a.data.len() && place.start < c.len);
        debug_assert!(place.rows == 1 || place.row >= place.columns, "rows of C overlap");
        let tile = Tile {
            // SAFETY: start is at most the last index, which has been checked.
            a: unsafe { a.data.as_ptr().add(a.start) },
            row: a.row,
            step: a.step,
            segment: a.segment,
            segments: a.segments,
            length: a.length,
            b: b.as_ptr(),
            // SAFETY: start is below the length, which has been checked.
            c: unsafe { c.pointer.add(place.start) },
            c_row: place.row,
            columns: place.columns,
            accumulate: place.accumulate,
        };
        // SAFETY: all reads and writes of the tile lie within the checked bounds; a kernel for an
        // instruction set is only chosen by a `Cpu`, which proves that the CPU has it.
        unsafe { self.tiles[place.rows - 1](&tile) }
    }

    /// Computes one tile of a slice that this thread holds alone.
    #[inline]
    pub(crate) fn tile_of(&self, a: &Rows<'_, T>, b: &[T], c: &mut [T], place: Place) {
        let c = Output::new(c);
        // SAFETY: the slice is borrowed mutably for this call, so nobody else touches it.
        unsafe { self.tile(a, b, c, place) }
    }
}

/// `total` in parts of at most `largest`, as equal as can be: how many, and the larger size.
#[inline]
pub(crate) fn equal_parts(total: usize, largest: usize) -> (usize, usize) {
    let parts = total.div_ceil(largest).max(1);
    (parts, total.div_ceil(parts))
}

pub(crate) fn of_f32(cpu: Cpu) -> Kernel<f32> {
    match cpu.isa() {
        Isa::Portable => super::portable::F32,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => super::avx2::F32,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => super::avx512::F32,
        #[cfg(not(target_arch = "x86_64"))]
        _ => super::portable::F32,
    }
}

/// f32 with operands rounded to bf16. With AVX-512 a `Cpu` says bf16 only where the CPU has
/// AVX512-BF16.
pub(crate) fn of_bf16(cpu: Cpu) -> Kernel<f32> {
    debug_assert!(cpu.isa() != Isa::Avx512 || Cpu::has_native_bf16());
    match cpu.isa() {
        Isa::Portable => super::portable::BF16,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => super::avx2::BF16,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => super::avx512::BF16,
        #[cfg(not(target_arch = "x86_64"))]
        _ => super::portable::BF16,
    }
}

/// f64 serves the gradient tests: the portable code on every machine, so also the same bits.
pub(crate) fn of_f64(_cpu: Cpu) -> Kernel<f64> {
    super::portable::F64
}
