//! Working memory of the kernels: aligned buffers that a thread keeps between calls.
//!
//! Packed panels and ragged gathers need memory that outlives no call. Allocating it afresh each time
//! costs page faults that rival the arithmetic, so each thread keeps a few buffers and hands them out.
//! Nothing depends on what they hold: a build with debug assertions fills them with NaN first, so that
//! a kernel which reads what it has not written fails its tests.

use std::cell::RefCell;

use crate::real::Real;

/// One cache line, which is also the widest vector register.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A growing buffer of numbers whose first element lies on a cache line.
#[derive(Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
}

impl Buffer {
    /// The first `len` numbers; what they hold is left over from earlier use.
    pub(crate) fn slice_mut<T: Real>(&mut self, len: usize) -> &mut [T] {
        let lines = len.div_ceil(64 / size_of::<T>());
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 64]));
        }
        debug_assert!(self.lines.len() * 64 >= len * size_of::<T>());
        // SAFETY: the lines are initialised bytes, aligned to 64, at least `len` numbers of them, and
        // borrowed for as long as the slice lives; `Real` is sealed over f32 and f64, for which every
        // pattern of bits is a value.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast::<T>(), len) }
    }

    /// The first `len` numbers, which must have been reached by `slice_mut` before.
    pub(crate) fn slice<T: Real>(&self, len: usize) -> &[T] {
        assert!(self.lines.len() * 64 >= len * size_of::<T>(), "scratch buffer too short");
        // SAFETY: as in `slice_mut`; the length has just been checked.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast::<T>(), len) }
    }
}

thread_local! {
    static POOL: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) };
}

/// Buffers that a thread keeps; more come and go.
const KEPT: usize = 12;

/// Takes a buffer out of the thread's pool, or a new one: the smallest that holds `len` numbers.
pub(crate) fn take<T: Real>(len: usize) -> Buffer {
    let wanted = len.div_ceil(64 / size_of::<T>());
    POOL.with_borrow_mut(|pool| {
        // The smallest that is large enough, else the largest (it grows).
        let fitting = (0..pool.len())
            .filter(|&i| pool[i].lines.len() >= wanted)
            .min_by_key(|&i| pool[i].lines.len());
        let chosen = fitting.or_else(|| (0..pool.len()).max_by_key(|&i| pool[i].lines.len()));
        chosen.map(|i| pool.swap_remove(i)).unwrap_or_default()
    })
}

/// Gives a buffer to the thread's pool.
pub(crate) fn give(buffer: Buffer) {
    POOL.with_borrow_mut(|pool| {
        if pool.len() < KEPT {
            pool.push(buffer);
        }
    });
}

/// Lends a buffer of `len` numbers for the length of one call. The buffer is taken out of the thread's
/// pool meanwhile, so a nested or stolen task on the same thread gets another one.
pub(crate) fn with<T: Real, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    let mut buffer = take::<T>(len);
    let slice = buffer.slice_mut(len);
    if cfg!(debug_assertions) {
        slice.fill(T::from_f64(f64::NAN));
    }
    let result = work(slice);
    give(buffer);
    result
}

/// The same, filled with zeros.
pub(crate) fn with_zeros<T: Real, R>(len: usize, work: impl FnOnce(&mut [T]) -> R) -> R {
    with(len, |slice: &mut [T]| {
        slice.fill(T::ZERO);
        work(slice)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_buffers_do_not_overlap_and_are_aligned() {
        with(100, |outer: &mut [f32]| {
            outer.fill(1.0);
            with(200, |inner: &mut [f64]| {
                inner.fill(2.0);
                assert_eq!(inner.as_ptr() as usize % 64, 0);
            });
            assert_eq!(outer.as_ptr() as usize % 64, 0);
            assert!(outer.iter().all(|&x| x == 1.0));
        });
        with_zeros(300, |again: &mut [f32]| assert!(again.iter().all(|&x| x == 0.0)));
    }
}
