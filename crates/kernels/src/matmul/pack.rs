//! Packing: copies blocks of a matrix into the order in which the micro-kernel reads them, and rounds
//! what is to be rounded (`kernel.rs` says what a word is).
//!
//! Book: book/src/fast.md

use super::Matrix;
use super::kernel::{Kernel, Operands, PairPacking};
use crate::real::Real;
use crate::scratch;

/// So many k are transposed at a time that both sides of the copy stay in the first-level cache.
const STRIP: usize = 64;

/// Rows that are transposed at once.
const EIGHT: usize = 8;

/// Rows `first..first + count` and k `k0..k0 + depth` of `a`, as `[words, count]` or, where this answers
/// true, as `[count, words]`. Which of the two is a matter of the strides of `a` alone.
pub(super) fn pack_rows<T: Real>(
    kernel: &Kernel<T>,
    a: Matrix<'_, T>,
    first: usize,
    count: usize,
    k0: usize,
    depth: usize,
    packed: &mut [T],
) -> bool {
    let source = Source {
        data: a.data,
        start: first * a.row_stride + k0 * a.column_stride,
        across: a.row_stride,
        along: a.column_stride,
    };
    if let (Operands::Pairs(pairs), 1) = (kernel.operands, source.along) {
        // The kernel reads rows as well as columns; turning them round would only cost.
        pair_rows(pairs, source, count, depth, packed);
        return true;
    }
    pack_lines(kernel, source, Panel { packed, width: count, filled: count, depth });
    false
}

/// Columns `first..first + filled` and k `k0..k0 + depth` of `b` as `[words, width]`, the columns from
/// `filled` to `width` zero.
#[allow(clippy::too_many_arguments)]
pub(super) fn pack_panel<T: Real>(
    kernel: &Kernel<T>,
    b: Matrix<'_, T>,
    first: usize,
    filled: usize,
    k0: usize,
    depth: usize,
    width: usize,
    packed: &mut [T],
) {
    debug_assert!(filled <= width);
    let source = Source {
        data: b.data,
        start: first * b.column_stride + k0 * b.row_stride,
        across: b.column_stride,
        along: b.row_stride,
    };
    pack_lines(kernel, source, Panel { packed, width, filled, depth });
}

/// Where numbers come from: number (k, i) is at `start + i · across + k · along`.
#[derive(Clone, Copy)]
struct Source<'a, T> {
    data: &'a [T],
    start: usize,
    across: usize,
    along: usize,
}

/// A block as lines of `width` words, in the form that the kernel wants.
fn pack_lines<T: Real>(kernel: &Kernel<T>, source: Source<'_, T>, panel: Panel<'_, T>) {
    debug_assert_eq!(panel.packed.len(), panel.depth.div_ceil(kernel.word()) * panel.width);
    let Source { data, start, across, along } = source;
    match kernel.operands {
        Operands::Plain => interleave(kernel, data, start, across, along, panel),
        Operands::Rounded(_) => {
            let Panel { packed, width, filled, depth } = panel;
            let copy = Panel { packed: &mut *packed, width, filled, depth };
            interleave(kernel, data, start, across, along, copy);
            kernel.round(packed);
        }
        Operands::Pairs(pairs) => {
            let Panel { packed, width, filled, depth } = panel;
            if along == 1 {
                let words = depth.div_ceil(2);
                scratch::with(filled * words, |rows: &mut [T]| {
                    pair_rows(pairs, source, filled, depth, rows);
                    let copy = Panel { packed, width, filled, depth: words };
                    interleave(kernel, rows, 0, words, 1, copy);
                });
            } else if across == 1 {
                pair_lines(pairs, data, start, along, Panel { packed, width, filled, depth });
            } else {
                scratch::with(depth * filled, |lines: &mut [T]| {
                    let copy = Panel { packed: &mut *lines, width: filled, filled, depth };
                    interleave(kernel, data, start, across, along, copy);
                    let panel = Panel { packed, width, filled, depth };
                    pair_lines(pairs, lines, 0, filled, panel);
                });
            }
        }
    }
}

/// Rows whose numbers are neighbours in memory, each as words: `[filled, words]`.
fn pair_rows<T: Real>(
    pairs: PairPacking<T>,
    source: Source<'_, T>,
    filled: usize,
    depth: usize,
    packed: &mut [T],
) {
    debug_assert_eq!(source.along, 1);
    let words = depth.div_ceil(2);
    assert!(packed.len() >= filled * words, "packing leaves the block");
    for (i, packed) in packed.chunks_exact_mut(words.max(1)).take(filled).enumerate() {
        let row = &source.data[source.start + i * source.across..][..depth];
        pairs.along(row, packed);
    }
}

/// Lines `along` apart, their numbers neighbours in memory, two lines to one of words.
fn pair_lines<T: Real>(
    pairs: PairPacking<T>,
    data: &[T],
    start: usize,
    along: usize,
    panel: Panel<'_, T>,
) {
    let Panel { packed, width, filled, depth } = panel;
    if filled == 0 {
        return;
    }
    for (word, line) in packed.chunks_exact_mut(width).enumerate() {
        let line_of = |k: usize| &data[start + k * along..][..filled];
        let second = (2 * word + 1 < depth).then(|| line_of(2 * word + 1));
        let (copied, rest) = line.split_at_mut(filled);
        pairs.across(line_of(2 * word), second, copied);
        rest.fill(T::ZERO);
    }
}

/// `[rows, columns]` as `[columns, rows]`.
pub(crate) fn transpose<T: Real>(
    kernel: &Kernel<T>,
    source: &[T],
    rows: usize,
    columns: usize,
    target: &mut [T],
) {
    let target = Panel { packed: target, width: rows, filled: rows, depth: columns };
    interleave(kernel, source, 0, columns, 1, target);
}

/// The destination of a copy: `[depth, width]`, or half as many lines of words, of which `filled` columns come from the source.
struct Panel<'a, T> {
    packed: &'a mut [T],
    width: usize,
    filled: usize,
    depth: usize,
}

/// packed[k, i] = data[start + i · across + k · along].
fn interleave<T: Real>(
    kernel: &Kernel<T>,
    data: &[T],
    start: usize,
    across: usize,
    along: usize,
    panel: Panel<'_, T>,
) {
    let Panel { packed, width, filled, depth } = panel;
    if filled == 0 || depth == 0 {
        return;
    }
    if across == 1 {
        // A copy of known size becomes a few vector moves instead of a call: whole panels, and the
        // rows of the tiles that equal parts of many rows have.
        let copy_all = match filled {
            4 => copy_lines::<T, 4>,
            6 => copy_lines::<T, 6>,
            8 => copy_lines::<T, 8>,
            10 => copy_lines::<T, 10>,
            11 => copy_lines::<T, 11>,
            12 => copy_lines::<T, 12>,
            13 => copy_lines::<T, 13>,
            14 => copy_lines::<T, 14>,
            16 => copy_lines::<T, 16>,
            32 => copy_lines::<T, 32>,
            _ => copy_any_lines::<T>,
        };
        copy_all(&data[start..], along, packed, width, filled);
        return;
    }
    if filled < width {
        packed.fill(T::ZERO);
    }
    let mut done = 0;
    if let (Some(eight_rows), true) = (kernel.eight_rows, along == 1 && filled >= EIGHT) {
        done = depth - depth % EIGHT;
        for i in eights(filled) {
            let from = start + i * across;
            assert!(
                from + (EIGHT - 1) * across + depth <= data.len(),
                "packing reads past the end"
            );
            assert!(
                depth * width <= packed.len() && i + EIGHT <= width,
                "packing leaves the panel"
            );
            // SAFETY: the last row ends within the data and the last line within the panel, as just
            // checked; the panel is borrowed mutably; a kernel is only chosen by a `Cpu`.
            unsafe {
                let target = packed.as_mut_ptr().add(i);
                eight_rows(data.as_ptr().add(from), across, target, width, done);
            }
        }
    }
    for (strip, lines) in packed[done * width..].chunks_mut(STRIP * width).enumerate() {
        let k0 = done + strip * STRIP;
        for i in 0..filled {
            let from = start + i * across + k0 * along;
            if along == 1 {
                let source = &data[from..from + lines.len() / width];
                for (line, &value) in lines.chunks_exact_mut(width).zip(source) {
                    line[i] = value;
                }
            } else {
                for (k, line) in lines.chunks_exact_mut(width).enumerate() {
                    line[i] = data[from + k * along];
                }
            }
        }
    }
}

/// Where groups of eight start that cover `0..count` (at least 8): the last may overlap the one
/// before, which writes the same numbers twice and needs no mask.
fn eights(count: usize) -> impl Iterator<Item = usize> {
    debug_assert!(count >= EIGHT);
    (0..count / EIGHT)
        .map(|i| i * EIGHT)
        .chain((!count.is_multiple_of(EIGHT)).then(|| count - EIGHT))
}

/// The first `filled` numbers of each line, `along` apart in the data; the rest of a line is zero.
fn copy_any_lines<T: Real>(
    data: &[T],
    along: usize,
    packed: &mut [T],
    width: usize,
    filled: usize,
) {
    for (k, line) in packed.chunks_exact_mut(width).enumerate() {
        let (copied, rest) = line.split_at_mut(filled);
        copied.copy_from_slice(&data[k * along..][..filled]);
        rest.fill(T::ZERO);
    }
}

/// The same for a number known when compiled.
fn copy_lines<T: Real, const N: usize>(
    data: &[T],
    along: usize,
    packed: &mut [T],
    width: usize,
    filled: usize,
) {
    debug_assert_eq!(filled, N);
    for (k, line) in packed.chunks_exact_mut(width).enumerate() {
        let (copied, rest) = line.split_at_mut(N);
        copied.copy_from_slice(&data[k * along..][..N]);
        rest.fill(T::ZERO);
    }
}
