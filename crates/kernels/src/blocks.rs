//! Fixed partitions of the work: how loops are cut for threads without the cut touching a sum.
//!
//! Elementwise kernels may be cut anywhere. Sums over rows are cut at whole multiples of
//! [`ROW_BLOCK`] rows, one partial sum a block, and the partial sums are added in the order of
//! their blocks: the result depends on the number of rows alone, never on the threads.
//!
//! Book: book/src/exact.md

use rayon::prelude::*;

use crate::cpu::Cpu;
use crate::real::Real;
use crate::{scratch, vector};

/// Rows that one partial sum covers.
pub(crate) const ROW_BLOCK: usize = 512;

/// Elements that one task of an elementwise kernel covers.
pub(crate) const ELEMENT_BLOCK: usize = 1 << 14;

// ANCHOR: sum
/// Sums `width` numbers over all rows. `block(first, rows, sums)` adds rows `first..first + rows`
/// onto `sums`, which start at zero.
pub(crate) fn sum_over_rows(
    rows: usize,
    width: usize,
    block: impl Fn(usize, usize, &mut [f64]) + Sync,
) -> Vec<f64> {
    let mut partial = vec![0.0; rows.div_ceil(ROW_BLOCK) * width];
    partial.par_chunks_mut(width.max(1)).enumerate().for_each(|(index, sums)| {
        let first = index * ROW_BLOCK;
        block(first, ROW_BLOCK.min(rows - first), sums);
    });
    let mut total = vec![0.0; width];
    for sums in partial.chunks_exact(width.max(1)) {
        for (total, &sum) in total.iter_mut().zip(sums) {
            *total += sum;
        }
    }
    total
}
// ANCHOR_END: sum

/// Sums `size` numbers over `blocks` blocks whose cut the caller has fixed. `add(block, sums)` adds a
/// block onto sums that start at zero; groups of blocks, as many as the number of blocks and the size
/// say, are summed side by side and then added in order. `finish` gets the total.
pub(crate) fn sum_blocks<T: Real>(
    cpu: Cpu,
    blocks: usize,
    size: usize,
    add: impl Fn(usize, &mut [T]) + Sync,
    finish: impl FnOnce(&[T]),
) {
    /// Most groups, and numbers that all groups together may take.
    const GROUPS: usize = 32;
    const MEMORY: usize = 1 << 22;
    // A matter of the shape alone: the threads find these groups, they do not make them.
    let most = GROUPS.min(MEMORY / size.max(1)).clamp(1, blocks.max(1));
    let group = blocks.div_ceil(most).max(1);
    let groups = blocks.div_ceil(group).max(1);
    scratch::with(groups * size, |partial: &mut [T]| {
        partial.par_chunks_mut(size.max(1)).enumerate().for_each(|(index, sums)| {
            sums.fill(T::ZERO);
            for block in index * group..blocks.min((index + 1) * group) {
                add(block, sums);
            }
        });
        let (total, rest) = partial.split_at_mut(size);
        for sums in rest.chunks_exact(size.max(1)) {
            vector::add(cpu, sums, total);
        }
        finish(total);
    });
}

/// Whole rows that make up about one [`ELEMENT_BLOCK`]: the length of a task in elements.
pub(crate) fn row_task(width: usize) -> usize {
    width * (ELEMENT_BLOCK / width.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_counted_once_at_any_number_of_threads() {
        for rows in [0, 1, ROW_BLOCK - 1, ROW_BLOCK, ROW_BLOCK + 1, 5 * ROW_BLOCK + 7] {
            let value = |row: usize| 1.0 / (row as f64 + 1.0);
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| {
                    sum_over_rows(rows, 2, |first, count, sums| {
                        for row in first..first + count {
                            sums[0] += 1.0;
                            sums[1] += value(row);
                        }
                    })
                })
            };
            let one = run(1);
            assert_eq!(one[0], rows as f64);
            let plain: f64 = (0..rows).map(value).sum();
            assert!((one[1] - plain).abs() < 1e-12);
            for threads in [2, 3, 4] {
                assert_eq!(run(threads)[1].to_bits(), one[1].to_bits());
            }
        }
    }
}
