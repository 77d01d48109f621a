//! Log-softmax of rows, and the exponentials of one row that the CTC loss builds on.
//!
//! log softmax(x)_k = (x_k - m) - ln Σ_j e^(x_j - m), with m the largest of the row: no
//! exponential can overflow, and one of them is 1, so that the logarithm is of a number of at
//! least 1. Sums are over eight lanes of f64, added in a fixed tree: the value of a row depends on
//! that row alone.
//!
//! Book: book/src/ctc.md

use rayon::prelude::*;

use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_size};
use crate::extended::{exp, power_of_two};
use crate::real::Real;

/// Lanes of the sums; exponentials are computed for a whole number of them.
const LANES: usize = 8;
/// Elements a task of rayon works through at least.
const TASK_ELEMENTS: usize = 1 << 14;

/// What one row of logits leaves behind for its normalisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowSum {
    /// The largest logit m.
    pub max: f64,
    /// Σ_k e^(x_k - m), at least 1; not a number where a logit is not finite.
    pub sum: f64,
}

/// Refuses `elements` that are no whole rows of `width`.
pub(crate) fn check_rows(
    operation: &'static str,
    what: &'static str,
    elements: usize,
    width: usize,
) -> Result<(), KernelError> {
    if width == 0 {
        return Err(KernelError::TooSmall {
            operation,
            what: "the width of a row",
            actual: 0,
            minimum: 1,
        });
    }
    check_size(operation, what, elements, elements / width * width)
}

/// Length of the two work rows that [`row_exponentials`] wants for rows of `labels`.
pub(crate) fn padded(labels: usize) -> usize {
    labels.next_multiple_of(LANES)
}

/// Writes e^(x_k - max) of one row as extended numbers into `mantissas` and `exponents`, both of
/// [`padded`] length, and returns the maximum and the sum. A row with a logit that is not finite
/// gives a sum that is not a number.
#[inline(always)]
pub(crate) fn row_exponentials<T: Real>(
    row: &[T],
    mantissas: &mut [f64],
    exponents: &mut [f64],
) -> RowSum {
    for (value, &logit) in mantissas.iter_mut().zip(row) {
        *value = logit.to_f64();
    }
    // Padding: so far below that it adds exactly zero to the sum.
    mantissas[row.len()..].fill(f64::MIN);
    let mut tops = [f64::MIN; LANES];
    let mut faults = [0.0f64; LANES];
    for values in mantissas.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            let value = values[lane];
            tops[lane] = if value > tops[lane] { value } else { tops[lane] };
            // Zero for a finite number, not a number for an infinite one and for NaN.
            faults[lane] += value * 0.0;
        }
    }
    let max = tops.iter().fold(f64::MIN, |a, &b| if b > a { b } else { a });
    let mut sums = [0.0f64; LANES];
    let groups = mantissas.as_chunks_mut::<LANES>().0.iter_mut();
    for (mantissas, exponents) in groups.zip(exponents.as_chunks_mut::<LANES>().0) {
        // Into arrays of their own first: where the compiler cannot exclude that the two rows
        // overlap, it does not vectorise.
        let (mut m, mut e) = (*mantissas, [0.0; LANES]);
        for lane in 0..LANES {
            (m[lane], e[lane]) = exp(m[lane] - max);
            sums[lane] += m[lane] * power_of_two(e[lane]);
        }
        *mantissas = m;
        *exponents = e;
    }
    RowSum { max, sum: tree(sums) + tree(faults) }
}

/// The sum of the lanes, in one order.
#[inline(always)]
fn tree(lanes: [f64; LANES]) -> f64 {
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6]))
        + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

per_isa! {
    /// Log-softmax of whole rows on this thread.
    fn log_softmax_rows<T>(logits: &[T], labels: usize, out: &mut [T]) {
        let mut work = vec![0.0; 2 * padded(labels)];
        let (mantissas, exponents) = work.split_at_mut(padded(labels));
        for (row, out) in logits.chunks_exact(labels).zip(out.chunks_exact_mut(labels)) {
            let RowSum { max, sum } = row_exponentials(row, mantissas, exponents);
            let normaliser = sum.ln();
            for (out, &logit) in out.iter_mut().zip(row) {
                *out = T::from_f64((logit.to_f64() - max) - normaliser);
            }
        }
    }
}

/// Natural logarithms of the softmax of each row: logits `[rows, labels]` → out `[rows, labels]`.
/// A row with a logit that is infinite or not a number becomes NaN throughout.
///
/// # Errors
/// [`KernelError`] when `labels` is 0, the logits are no whole rows, or `out` has another size.
pub fn log_softmax<T: Real>(
    cpu: Cpu,
    logits: &[T],
    labels: usize,
    out: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "log_softmax";
    check_rows(OPERATION, "logits", logits.len(), labels)?;
    check_size(OPERATION, "out", out.len(), logits.len())?;
    let task = labels * (TASK_ELEMENTS / labels).max(1);
    logits
        .par_chunks(task)
        .zip(out.par_chunks_mut(task))
        .for_each(|(logits, out)| log_softmax_rows(cpu, logits, labels, out));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_normalised_and_shifts_do_not_matter() {
        for labels in [1, 2, 7, 8, 9, 31, 32, 100] {
            let logits: Vec<f64> =
                (0..3 * labels).map(|i| ((i * i * 7919) % 101) as f64 / 10.0 - 5.0).collect();
            let mut out = vec![0.0; logits.len()];
            log_softmax(Cpu::detect(), &logits, labels, &mut out).unwrap();
            for (row, out) in logits.chunks(labels).zip(out.chunks(labels)) {
                let naive: f64 = row.iter().map(|x| x.exp()).sum::<f64>().ln();
                for (x, y) in row.iter().zip(out) {
                    assert!((x - naive - y).abs() < 1e-13, "{labels} {x} {y}");
                }
            }
            let shifted: Vec<f64> = logits.iter().map(|x| x + 1024.0).collect();
            let mut again = vec![0.0; logits.len()];
            log_softmax(Cpu::portable(), &shifted, labels, &mut again).unwrap();
            for (a, b) in out.iter().zip(&again) {
                assert!((a - b).abs() < 1e-11);
            }
        }
    }

    #[test]
    fn far_apart_logits_and_faults() {
        let mut out = [0.0f32; 3];
        log_softmax(Cpu::detect(), &[1e30f32, 0.0, -1e30], 3, &mut out).unwrap();
        assert_eq!(out, [0.0, -1e30, -2e30]);
        for fault in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            log_softmax(Cpu::detect(), &[0.0, fault, 1.0], 3, &mut out).unwrap();
            assert!(out.iter().all(|x| x.is_nan()), "{fault}: {out:?}");
        }
    }

    #[test]
    fn misfits_are_refused() {
        let cpu = Cpu::portable();
        assert!(log_softmax(cpu, &[0.0f32; 6], 0, &mut [0.0; 6]).is_err());
        assert!(log_softmax(cpu, &[0.0f32; 7], 3, &mut [0.0; 7]).is_err());
        assert!(log_softmax(cpu, &[0.0f32; 6], 3, &mut [0.0; 5]).is_err());
    }
}
