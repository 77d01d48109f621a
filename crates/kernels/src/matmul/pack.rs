//! Packing: copies blocks of a matrix into the order in which the micro-kernel reads them.

use super::Matrix;
use crate::real::Real;

/// So many k are transposed at a time that both sides of the copy stay in the first-level cache.
const STRIP: usize = 64;

/// Rows `first..first + count` and k `k0..k0 + depth` of `a` as `[depth, count]`.
pub(super) fn pack_rows<T: Real>(
    a: Matrix<'_, T>,
    first: usize,
    count: usize,
    k0: usize,
    depth: usize,
    packed: &mut [T],
) {
    debug_assert_eq!(packed.len(), depth * count);
    interleave(
        a.data,
        first * a.row_stride + k0 * a.column_stride,
        a.row_stride,
        a.column_stride,
        Panel { packed, width: count, filled: count, depth },
    );
}

/// Columns `first..first + filled` and k `k0..k0 + depth` of `b` as `[depth, width]`, the columns from
/// `filled` to `width` zero.
pub(super) fn pack_panel<T: Real>(
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
fn interleave<T: Real>(data: &[T], start: usize, across: usize, along: usize, panel: Panel<'_, T>) {
    let Panel { packed, width, filled, depth } = panel;
    if filled == 0 || depth == 0 {
        return;
    }
    if across == 1 {
        for (k, line) in packed.chunks_exact_mut(width).enumerate() {
            let from = start + k * along;
            line[..filled].copy_from_slice(&data[from..from + filled]);
            line[filled..].fill(T::ZERO);
        }
        return;
    }
    if filled < width {
        packed.fill(T::ZERO);
    }
    for (strip, lines) in packed.chunks_mut(STRIP * width).enumerate() {
        let k0 = strip * STRIP;
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
