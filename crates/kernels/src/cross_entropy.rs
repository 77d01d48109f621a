//! Framewise cross-entropy: the loss of one known label for each frame, and its gradient with respect to the logits.
//!
//! A network gives rows of logits x; softmax makes them y(k) = e^(x(k)) / Σ_j e^(x(j)), the probability of
//! label k. The loss of a row with label k is −ln y(k) = ln Σ_j e^(x(j)) − x(k), and since
//! ∂ ln Σ_j e^(x(j)) / ∂x(i) = y(i),
//! ```text
//! ∂(−ln y(k)) / ∂x(i) = y(i) − [i = k]
//! ```
//! A row whose label is the one to ignore has loss and gradient zero. The loss of an utterance is the
//! sum over its rows; a mean is that sum divided by [`CrossEntropyOutcome::counted`], which the
//! caller puts into `scales`.
//!
//! Exponentials, sums and losses are f64, whatever the type of the logits (`softmax.rs`); a row's
//! result depends on that row alone, and an utterance's loss is added up in the order of its rows.
//!
//! Book: book/src/alignment.md

use rayon::prelude::*;

use crate::cpu::{Cpu, per_isa};
use crate::ctc::NotFinite;
use crate::error::{KernelError, check_size, total_rows};
use crate::extended::power_of_two;
use crate::real::Real;
use crate::softmax::{RowSum, check_rows, padded, row_exponentials};

/// Elements of logits in a task, about.
const TASK_ELEMENTS: usize = 1 << 13;

/// What a batch was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrossEntropyOutcome {
    /// For each utterance the rows that count: those whose label is not ignored.
    pub counted: Vec<usize>,
    /// Utterances with a logit that is infinite or not a number in a row that counts, each with the
    /// first such place: their loss is NaN, the gradient of such a row exactly zero.
    pub not_finite: Vec<NotFinite>,
}

per_isa! {
    /// The losses of whole rows, and their gradients scaled by the scale of each row's utterance.
    fn loss_rows<T>(
        logits: &[T],
        labels: usize,
        targets: &[u32],
        ignore: Option<u32>,
        scales: &[f64],
        losses: &mut [f64],
        gradient: &mut [T],
    ) {
        let mut work = vec![0.0; 2 * padded(labels)];
        let (mantissas, exponents) = work.split_at_mut(padded(labels));
        for (index, row) in logits.chunks_exact(labels).enumerate() {
            let target = targets[index];
            losses[index] = 0.0;
            let gradient = if gradient.is_empty() {
                &mut []
            } else {
                &mut gradient[index * labels..(index + 1) * labels]
            };
            if Some(target) == ignore {
                gradient.fill(T::ZERO);
                continue;
            }
            let RowSum { max, sum } = row_exponentials(row, mantissas, exponents);
            let target = target as usize;
            losses[index] = sum.ln() - (row[target].to_f64() - max);
            if sum.is_nan() {
                losses[index] = f64::NAN;
                gradient.fill(T::ZERO);
                continue;
            }
            if gradient.is_empty() {
                continue;
            }
            let scale = scales[index];
            let factor = scale / sum;
            let powers = mantissas.iter().zip(&*exponents);
            for (gradient, (&mantissa, &exponent)) in gradient.iter_mut().zip(powers) {
                *gradient = T::from_f64(factor * (mantissa * power_of_two(exponent)));
            }
            let probability = mantissas[target] * power_of_two(exponents[target]) / sum;
            gradient[target] = T::from_f64(scale * (probability - 1.0));
        }
    }
}

/// The losses of a ragged batch and their gradient.
///
/// `logits` `[sum of lengths, labels]`, before softmax; `targets` one label for each row, below
/// `labels` or equal to `ignore`. `losses[b]`, overwritten, is the sum of −ln p over the rows of
/// utterance b that count; `gradient`, of the shape of `logits` and overwritten, is that of
/// Σ_b `scales[b]` · `losses[b]`.
///
/// # Errors
/// [`KernelError`] when the slices do not fit, a length is 0, or a target is no label; nothing has
/// been written then.
#[allow(clippy::too_many_arguments)]
pub fn cross_entropy_batch<T: Real>(
    cpu: Cpu,
    logits: &[T],
    lengths: &[usize],
    labels: usize,
    targets: &[u32],
    ignore: Option<u32>,
    scales: &[T],
    losses: &mut [T],
    gradient: Option<&mut [T]>,
) -> Result<CrossEntropyOutcome, KernelError> {
    const OPERATION: &str = "cross_entropy";
    check_rows(OPERATION, "logits", logits.len(), labels)?;
    let rows = total_rows(OPERATION, lengths)?;
    if rows != logits.len() / labels {
        return Err(KernelError::Mismatch {
            operation: OPERATION,
            what: "the number of frames (rows of logits; sum of lengths)",
            left: logits.len() / labels,
            right: rows,
        });
    }
    check_size(OPERATION, "targets", targets.len(), rows)?;
    check_size(OPERATION, "scales", scales.len(), lengths.len())?;
    check_size(OPERATION, "losses", losses.len(), lengths.len())?;
    if let Some(gradient) = &gradient {
        check_size(OPERATION, "gradient", gradient.len(), logits.len())?;
    }
    let foreign = |&target: &u32| Some(target) != ignore && target as usize >= labels;
    if let Some(row) = targets.iter().position(foreign) {
        let label = targets[row];
        return Err(KernelError::Label { operation: OPERATION, row, label, labels });
    }

    let mut row_scales = Vec::with_capacity(rows);
    for (&length, scale) in lengths.iter().zip(scales) {
        row_scales.resize(row_scales.len() + length, scale.to_f64());
    }
    let mut row_losses = vec![0.0; rows];
    let task = (TASK_ELEMENTS / labels).max(1);
    let inputs = logits.par_chunks(task * labels).zip(targets.par_chunks(task));
    let tasks = inputs.zip(row_scales.par_chunks(task)).zip(row_losses.par_chunks_mut(task));
    match gradient {
        Some(gradient) => tasks.zip(gradient.par_chunks_mut(task * labels)).for_each(
            |((((logits, targets), scales), losses), gradient)| {
                loss_rows(cpu, logits, labels, targets, ignore, scales, losses, gradient);
            },
        ),
        None => tasks.for_each(|(((logits, targets), scales), losses)| {
            loss_rows(cpu, logits, labels, targets, ignore, scales, losses, &mut []);
        }),
    }

    let mut outcome = CrossEntropyOutcome::default();
    let mut first = 0;
    for (utterance, (&length, loss)) in lengths.iter().zip(losses.iter_mut()).enumerate() {
        let own = first..first + length;
        *loss = T::from_f64(row_losses[own.clone()].iter().sum());
        let counted = targets[own.clone()].iter().filter(|&&target| Some(target) != ignore);
        outcome.counted.push(counted.count());
        if let Some(frame) = row_losses[own].iter().position(|loss| loss.is_nan()) {
            let row = &logits[(first + frame) * labels..][..labels];
            let label = row.iter().position(|logit| !logit.is_finite()).unwrap_or(0);
            outcome.not_finite.push(NotFinite { utterance, frame, label });
        }
        first += length;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, check_gradient, every_cpu, noise_of, pool};

    const IGNORE: Option<u32> = Some(u32::MAX);

    struct Case<T> {
        logits: Vec<T>,
        lengths: Vec<usize>,
        labels: usize,
        targets: Vec<u32>,
        scales: Vec<T>,
    }

    type Results<T> = (Vec<T>, Vec<T>, CrossEntropyOutcome);

    impl<T: Real> Case<T> {
        fn new(lengths: &[usize], labels: usize, spread: f64) -> Self {
            let rows: usize = lengths.iter().sum();
            let logits = noise_of::<T>(1, rows * labels);
            let logits = logits.into_iter().map(|x| x * T::from_f64(spread)).collect();
            let target = |i: usize| if i % 5 == 3 { u32::MAX } else { (i * 7 % labels) as u32 };
            Self {
                logits,
                lengths: lengths.to_vec(),
                labels,
                targets: (0..rows).map(target).collect(),
                scales: noise_of(2, lengths.len()),
            }
        }

        fn run(&self, cpu: Cpu) -> Result<Results<T>, KernelError> {
            let mut losses = vec![T::from_f64(f64::NAN); self.lengths.len()];
            let mut gradient = vec![T::from_f64(f64::NAN); self.logits.len()];
            let Self { logits, lengths, labels, targets, scales } = self;
            let wanted = Some(gradient.as_mut_slice());
            let outcome = cross_entropy_batch(
                cpu,
                logits,
                lengths,
                *labels,
                targets,
                IGNORE,
                scales,
                &mut losses,
                wanted,
            )?;
            let mut again = losses.clone();
            cross_entropy_batch(
                cpu, logits, lengths, *labels, targets, IGNORE, scales, &mut again, None,
            )?;
            let same = losses.iter().zip(&again).all(|(a, b)| a == b || a.is_nan() && b.is_nan());
            assert!(same, "the loss depends on whether a gradient is wanted");
            Ok((losses, gradient, outcome))
        }
    }

    #[test]
    fn losses_and_gradients_are_those_of_the_definition() {
        for labels in [1, 2, 7, 32, 43] {
            for cpu in every_cpu() {
                let mut case = Case::<f64>::new(&[4, 1, 6], labels, 3.0);
                let (losses, gradient, outcome) = case.run(cpu).unwrap();
                assert_eq!(
                    outcome,
                    CrossEntropyOutcome { counted: vec![3, 1, 5], not_finite: vec![] }
                );
                let mut row = 0;
                for (&length, loss) in case.lengths.iter().zip(&losses) {
                    let mut expected = 0.0;
                    for _ in 0..length {
                        let logits = &case.logits[row * labels..][..labels];
                        let sum: f64 = logits.iter().map(|x| x.exp()).sum();
                        if case.targets[row] != u32::MAX {
                            expected += sum.ln() - logits[case.targets[row] as usize];
                        }
                        row += 1;
                    }
                    assert!((loss - expected).abs() < 1e-12, "{loss} {expected}");
                }
                let point = case.logits.clone();
                check_gradient("logits", &point, &gradient, |logits| {
                    case.logits.copy_from_slice(logits);
                    let (losses, ..) = case.run(cpu).unwrap();
                    losses.iter().zip(&case.scales).map(|(loss, scale)| loss * scale).sum()
                });
            }
        }
    }

    #[test]
    fn single_precision_is_as_good_as_it_can_be() {
        // Far apart logits: the loss is large and the gradient of a likely label tiny.
        for cpu in every_cpu() {
            let case = Case::<f32>::new(&[50, 70], 31, 60.0);
            let mut exact = Case::<f64>::new(&[50, 70], 31, 60.0);
            exact.logits = case.logits.iter().map(|&x| f64::from(x)).collect();
            exact.scales = case.scales.iter().map(|&x| f64::from(x)).collect();
            let (losses, gradient, _) = case.run(cpu).unwrap();
            let (exact_losses, exact_gradient, _) = exact.run(cpu).unwrap();
            let found = losses.iter().chain(&gradient);
            for (&found, &exact) in found.zip(exact_losses.iter().chain(&exact_gradient)) {
                let error = (f64::from(found) - exact).abs();
                assert!(error <= 6e-8 * exact.abs() + 1e-45, "{found} {exact}");
            }
        }
    }

    #[test]
    fn an_utterance_gives_the_same_bytes_in_any_company() {
        let labels = 29;
        let lengths: Vec<usize> = (0..16).map(|u| 1 + (u * 131) % 700).collect();
        let all = Case::<f32>::new(&lengths, labels, 5.0);
        for cpu in every_cpu() {
            for size in [1, 2, 3, 7, 16] {
                let rows: usize = lengths[..size].iter().sum();
                let batch = Case {
                    logits: all.logits[..rows * labels].to_vec(),
                    lengths: lengths[..size].to_vec(),
                    labels,
                    targets: all.targets[..rows].to_vec(),
                    scales: all.scales[..size].to_vec(),
                };
                let run = |case: &Case<f32>, threads| {
                    let (losses, gradient, _) = pool(threads).install(|| case.run(cpu)).unwrap();
                    (bits(&losses), bits(&gradient))
                };
                let one = run(&batch, 1);
                for threads in 2..=4 {
                    assert_eq!(run(&batch, threads), one);
                }
                let first = rows - lengths[size - 1];
                let alone = Case {
                    logits: batch.logits[first * labels..].to_vec(),
                    lengths: vec![lengths[size - 1]],
                    labels,
                    targets: batch.targets[first..].to_vec(),
                    scales: vec![batch.scales[size - 1]],
                };
                let alone = run(&alone, 1);
                assert!(one.0.ends_with(&alone.0) && one.1.ends_with(&alone.1));
            }
        }
    }

    #[test]
    fn faults_are_named_and_touch_no_other() {
        for cpu in every_cpu() {
            let clean = Case::<f32>::new(&[4, 3, 5], 9, 1.0);
            let (clean_losses, clean_gradient, _) = clean.run(cpu).unwrap();
            for fault in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut case = Case::<f32>::new(&[4, 3, 5], 9, 1.0);
                // Row 3 is ignored, row 6 is frame 2 of utterance 1.
                case.logits[3 * 9] = fault;
                case.logits[6 * 9 + 8] = fault;
                let (losses, gradient, outcome) = case.run(cpu).unwrap();
                let found = NotFinite { utterance: 1, frame: 2, label: 8 };
                assert_eq!(outcome.not_finite, [found]);
                assert!(losses[1].is_nan());
                assert_eq!((losses[0], losses[2]), (clean_losses[0], clean_losses[2]));
                for (i, (a, b)) in gradient.iter().zip(&clean_gradient).enumerate() {
                    assert_eq!(*a, if i / 9 == 6 { 0.0 } else { *b });
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sizes() {
        let cpu = Cpu::portable();
        let good = || Case::<f32>::new(&[2, 3], 4, 1.0);
        assert!(good().run(cpu).is_ok());
        let mut case = good();
        case.targets[4] = 4;
        let error = case.run(cpu).unwrap_err();
        assert!(matches!(error, KernelError::Label { row: 4, label: 4, labels: 4, .. }), "{error}");
        let mut case = good();
        case.targets.pop();
        let error = case.run(cpu).unwrap_err();
        assert!(matches!(error, KernelError::Size { actual: 4, expected: 5, .. }), "{error}");
        let mut case = good();
        case.lengths[0] = 1;
        let error = case.run(cpu).unwrap_err();
        assert!(matches!(error, KernelError::Mismatch { left: 5, right: 4, .. }), "{error}");
        let mut case = good();
        case.lengths = vec![5, 0];
        assert!(matches!(case.run(cpu), Err(KernelError::EmptyUtterance { index: 1, .. })));
        let mut case = good();
        case.labels = 0;
        assert!(case.run(cpu).is_err());
        let mut case = good();
        case.scales.pop();
        assert!(case.run(cpu).is_err());
    }
}
