//! Loops over rows that several layers share: bias rows and sums over rows in a fixed order.
//!
//! Book: book/src/exact.md

use crate::cpu::per_isa;
use crate::lanes::{Lanes, add_to, load, over_channels};

/// Rows whose sum is one chain of additions; the chains are then added one after another. This
/// bounds rounding over long batches and depends on the number of rows alone.
const CHAIN: usize = 256;

per_isa! {
    /// sums[j] += Σᵢ x[i · stride + j] over `rows` rows of `sums.len()` columns, the sum from zero.
    fn add_rows<T>(x: &[T], stride: usize, rows: usize, sums: &mut [T]) {
        over_channels(sums.len(), &mut Columns { x, stride, rows, sums });
    }

    /// sums[j] += x[j].
    pub(crate) fn add<T>(x: &[T], sums: &mut [T]) {
        for (sum, &value) in sums.iter_mut().zip(x) {
            *sum += value;
        }
    }
}

/// sums[j] += Σᵢ x[i · stride + j] over `rows` rows, in chains of [`CHAIN`] rows.
pub(crate) fn add_column_sums<T: crate::real::Real>(
    cpu: crate::cpu::Cpu,
    x: &[T],
    stride: usize,
    rows: usize,
    sums: &mut [T],
) {
    for first in (0..rows).step_by(CHAIN) {
        add_rows(cpu, &x[first * stride..], stride, CHAIN.min(rows - first), sums);
    }
}

/// Sums of columns, kept in registers.
struct Columns<'a, T> {
    x: &'a [T],
    stride: usize,
    rows: usize,
    sums: &'a mut [T],
}

impl<T: crate::real::Real> Lanes for Columns<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, column: usize) {
        let mut chain = [T::ZERO; L];
        for i in 0..self.rows {
            let values: [T; L] = load(self.x, i * self.stride + column);
            for (sum, value) in chain.iter_mut().zip(values) {
                *sum += value;
            }
        }
        add_to(self.sums, column, chain);
    }
}

/// Writes `row` into every row of `x`.
pub(crate) fn fill_rows<T: Copy>(x: &mut [T], row: &[T]) {
    if row.is_empty() {
        return;
    }
    for target in x.chunks_exact_mut(row.len()) {
        target.copy_from_slice(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, every_cpu, noise};

    #[test]
    fn column_sums_are_right_and_the_same_on_every_instruction_set() {
        let (rows, columns, stride) = (700, 37, 40);
        let x = noise(1, rows * stride);
        let mut first: Option<Vec<u32>> = None;
        for cpu in every_cpu() {
            let mut sums = vec![0.5f32; columns];
            add_column_sums(cpu, &x, stride, rows, &mut sums);
            for (j, &sum) in sums.iter().enumerate() {
                let exact: f64 = (0..rows).map(|i| f64::from(x[i * stride + j])).sum();
                assert!((f64::from(sum) - 0.5 - exact).abs() < 1e-4);
            }
            let found = bits(&sums);
            assert_eq!(*first.get_or_insert_with(|| found.clone()), found);
        }
    }
}
