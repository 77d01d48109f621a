//! Packing: copies blocks of a matrix into the order in which the micro-kernel reads them.

use super::Matrix;
use super::kernel::Kernel;
use crate::real::Real;

/// So many k are transposed at a time that both sides of the copy stay in the first-level cache.
const STRIP: usize = 64;

/// Rows that are transposed at once.
const EIGHT: usize = 8;

/// Rows `first..first + count` and k `k0..k0 + depth` of `a` as `[depth, count]`.
pub(super) fn pack_rows<T: Real>(
    kernel: &Kernel<T>,
    a: Matrix<'_, T>,
    first: usize,
    count: usize,
    k0: usize,
    depth: usize,
    packed: &mut [T],
) {
    debug_assert_eq!(packed.len(), depth * count);
    interleave(
        kernel,
        a.data,
        first * a.row_stride + k0 * a.column_stride,
        a.row_stride,
        a.column_stride,
        Panel { packed, width: count, filled: count, depth },
    );
}

/// Columns `first..first + filled` and k `k0..k0 + depth` of `b` as `[depth, width]`, the columns from
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
    debug_assert_eq!(packed.len(), depth * width);
    debug_assert!(filled <= width);
    interleave(
        kernel,
        b.data,
        first * b.column_stride + k0 * b.row_stride,
        b.column_stride,
        b.row_stride,
        Panel { packed, width, filled, depth },
    );
}

/// The destination of a copy: `[depth, width]`, of which `filled` columns come from the source.
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
