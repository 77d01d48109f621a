//! CTC against its definition: every path enumerated, tables, finite differences, extremes, batches.

use labyrinth_kernels::ctc::{
    CtcError, CtcScratch, Infeasible, NotFinite, ctc_batch, ctc_utterance, log_softmax,
    minimum_frames,
};
use labyrinth_kernels::{Cpu, Isa, KernelError};
use proptest::prelude::*;

/// Every machine's instruction sets, the portable one first.
fn cpus() -> Vec<Cpu> {
    Cpu::available().into_iter().map(|isa: Isa| Cpu::with(isa).unwrap()).collect()
}

fn loss64(cpu: Cpu, logits: &[f64], labels: usize, target: &[u32]) -> f64 {
    ctc_utterance(cpu, logits, labels, target, 1.0, None, &mut CtcScratch::default()).unwrap()
}

fn loss_and_gradient64(
    cpu: Cpu,
    logits: &[f64],
    labels: usize,
    target: &[u32],
    scale: f64,
) -> (f64, Vec<f64>) {
    // What was in the gradient and in the scratch before must not matter.
    let mut gradient = vec![f64::NAN; logits.len()];
    let mut scratch = CtcScratch::default();
    let other: Vec<f64> = (0..90).map(|i| f64::from(i % 7)).collect();
    let mut other_gradient = vec![0.0; 90];
    ctc_utterance(cpu, &other, 3, &[1, 2, 2, 1], 1.0, Some(&mut other_gradient), &mut scratch)
        .unwrap();
    let loss = ctc_utterance(cpu, logits, labels, target, scale, Some(&mut gradient), &mut scratch)
        .unwrap();
    (loss, gradient)
}

/// p(target) and the posteriors γ_t(k), by walking through all labels^frames paths.
fn brute_force(logits: &[f64], labels: usize, target: &[u32]) -> (f64, Vec<f64>) {
    let frames = logits.len() / labels;
    let softmax: Vec<f64> = logits
        .chunks(labels)
        .flat_map(|row| {
            let total: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(move |x| x.exp() / total).collect::<Vec<_>>()
        })
        .collect();
    let mut total = 0.0;
    let mut posterior = vec![0.0; logits.len()];
    let mut path = vec![0usize; frames];
    for code in 0..labels.pow(frames as u32) {
        let mut rest = code;
        for label in &mut path {
            *label = rest % labels;
            rest /= labels;
        }
        let mut collapsed: Vec<u32> = path.iter().map(|&label| label as u32).collect();
        collapsed.dedup();
        collapsed.retain(|&label| label != 0);
        if collapsed == target {
            let p: f64 = path.iter().enumerate().map(|(t, &k)| softmax[t * labels + k]).product();
            total += p;
            for (t, &k) in path.iter().enumerate() {
                posterior[t * labels + k] += p;
            }
        }
    }
    posterior.iter_mut().for_each(|p| *p /= total);
    let gradient = softmax.iter().zip(&posterior).map(|(y, gamma)| y - gamma).collect();
    (-total.ln(), gradient)
}

fn tiny() -> impl Strategy<Value = (usize, Vec<f64>, Vec<u32>)> {
    (1usize..=6, 2usize..=4).prop_flat_map(|(frames, labels)| {
        (
            Just(labels),
            prop::collection::vec(-6.0..6.0f64, frames * labels),
            // Few labels, so that repeats are common; sometimes one more than can fit.
            prop::collection::vec(1..labels as u32, 0..=frames + 1),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn equals_the_enumeration_of_all_paths((labels, logits, target) in tiny()) {
        let (expected, expected_gradient) = brute_force(&logits, labels, &target);
        for cpu in cpus() {
            let (loss, gradient) = loss_and_gradient64(cpu, &logits, labels, &target, 0.5);
            prop_assert_eq!(loss, loss64(cpu, &logits, labels, &target));
            if logits.len() / labels < minimum_frames(&target) {
                prop_assert!(expected == f64::INFINITY && loss == f64::INFINITY);
                prop_assert!(gradient.iter().all(|g| g.to_bits() == 0));
                continue;
            }
            prop_assert!((loss - expected).abs() <= 1e-12 * expected.max(1.0), "{} {}", loss, expected);
            for (ours, exact) in gradient.iter().zip(&expected_gradient) {
                prop_assert!((ours - 0.5 * exact).abs() < 1e-13, "{} {}", ours, exact);
            }
        }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss((labels, logits, target) in tiny()) {
        prop_assume!(logits.len() / labels >= minimum_frames(&target));
        let cpu = Cpu::detect();
        let (_, gradient) = loss_and_gradient64(cpu, &logits, labels, &target, 1.0);
        let mut moved = logits.clone();
        for i in 0..logits.len() {
            let step = 1e-5;
            moved[i] = logits[i] + step;
            let up = loss64(cpu, &moved, labels, &target);
            moved[i] = logits[i] - step;
            let down = loss64(cpu, &moved, labels, &target);
            moved[i] = logits[i];
            let slope = (up - down) / (2.0 * step);
            prop_assert!((slope - gradient[i]).abs() < 1e-8, "{}: {} {}", i, slope, gradient[i]);
        }
    }
}

#[test]
fn one_frame_less_than_needed_is_infinite() {
    let table: [(&[u32], usize); 8] = [
        (&[], 1),
        (&[1], 1),
        (&[1, 2], 2),
        (&[1, 1], 3),
        (&[2, 2, 2], 5),
        (&[1, 2, 1, 2], 4),
        (&[3, 3, 1, 1, 2], 7),
        (&[1, 2, 3, 3, 2, 1, 1, 1, 2, 3, 1, 2], 15),
    ];
    for (target, needed) in table {
        if !target.is_empty() {
            assert_eq!(minimum_frames(target), needed);
        }
        let logits = vec![0.25; 4 * needed];
        for cpu in cpus() {
            let (loss, gradient) = loss_and_gradient64(cpu, &logits, 4, target, 1.0);
            // Just enough frames leave exactly one path, of probability 4^-needed.
            assert!((loss - needed as f64 * 4f64.ln()).abs() < 1e-12, "{target:?}: {loss}");
            assert!(gradient.iter().any(|&g| g != 0.0));
            if !target.is_empty() {
                let (loss, gradient) = loss_and_gradient64(cpu, &logits[4..], 4, target, 1.0);
                assert_eq!(loss, f64::INFINITY, "{target:?}");
                assert!(gradient.iter().all(|g| g.to_bits() == 0));
            }
        }
    }
    assert_eq!(loss64(Cpu::portable(), &[], 4, &[]), 0.0);
    assert_eq!(loss64(Cpu::portable(), &[], 4, &[1]), f64::INFINITY);
}

/// A pseudo-random logit in [-3, 3).
fn noise(index: usize) -> f64 {
    let mut x = (index as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 32;
    (x >> 11) as f64 / (1u64 << 53) as f64 * 6.0 - 3.0
}

/// The recursion as the textbook has it, in logarithms: slow, and another way to the same number.
fn textbook_loss(logits: &[f64], labels: usize, target: &[u32]) -> f64 {
    let mut y = vec![0.0; logits.len()];
    log_softmax(Cpu::portable(), logits, labels, &mut y).unwrap();
    let mut states = vec![0u32];
    for &label in target {
        states.extend([label, 0]);
    }
    let add = |values: &[f64]| {
        let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if top == f64::NEG_INFINITY {
            top
        } else {
            top + values.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
        }
    };
    let mut alpha = vec![f64::NEG_INFINITY; states.len()];
    alpha[0] = 0.0;
    for (t, row) in y.chunks(labels).enumerate() {
        let old = alpha.clone();
        for s in 0..states.len() {
            let mut terms = vec![if t == 0 && s > 0 { f64::NEG_INFINITY } else { old[s] }];
            if s >= 1 {
                terms.push(old[s - 1]);
            }
            if s >= 2 && states[s] != 0 && states[s] != states[s - 2] && t > 0 {
                terms.push(old[s - 2]);
            }
            alpha[s] = add(&terms) + row[states[s] as usize];
        }
    }
    -add(&alpha[alpha.len().saturating_sub(2)..])
}

#[test]
fn long_utterances_of_improbable_labels_stay_finite() {
    // Five thousand frames on which every label but one that the target lacks has p = 1e-30.
    let (frames, labels) = (5000, 6);
    let row = [0.0, 0.0, 0.0, 0.0, 0.0, 30.0 * std::f64::consts::LN_10];
    let logits: Vec<f64> = row.iter().copied().cycle().take(frames * labels).collect();
    let target: Vec<u32> = (0..400).map(|i| 1 + (i * i / 3) % 4).collect();
    let expected = textbook_loss(&logits, labels, &target);
    assert!(expected > 300_000.0);
    for cpu in cpus() {
        let (loss, gradient) = loss_and_gradient64(cpu, &logits, labels, &target, 1.0);
        assert!((loss / expected - 1.0).abs() < 1e-12, "{loss} {expected}");
        // At each frame the posteriors sum to one, and so does the softmax.
        for row in gradient.chunks(labels) {
            assert!(row.iter().sum::<f64>().abs() < 1e-10, "{row:?}");
            assert!((row[5] - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn one_path_through_what_a_common_scale_would_lose() {
    // Blank is all but certain everywhere, each label has p = e^-40: the complete walks have
    // e^-12000 where pausing in the first blank has 1.
    let (frames, labels, length) = (700, 3, 300);
    let logits: Vec<f64> = [0.0, -40.0, -40.0].into_iter().cycle().take(frames * labels).collect();
    let target: Vec<u32> = (0..length).map(|i| 1 + i % 2).collect();
    let expected = textbook_loss(&logits, labels, &target);
    for cpu in cpus() {
        let (loss, gradient) = loss_and_gradient64(cpu, &logits, labels, &target, 1.0);
        assert!((loss / expected - 1.0).abs() < 1e-12, "{loss} {expected}");
        let spoken: f64 = gradient.chunks(labels).map(|row| -(row[1] + row[2])).sum();
        assert!((spoken - f64::from(length)).abs() < 1e-6, "{spoken} labels in the posterior");
    }
}

#[test]
fn far_apart_logits_are_finite() {
    // The target is impossible for all but arithmetic: 100 nats below even for f32.
    for depth in [1e3f32, 1e6, 1e30] {
        let logits = [0.0, -depth, 0.0, -depth, 0.0, -depth];
        let mut gradient = [0.0f32; 6];
        let loss = ctc_utterance(
            Cpu::detect(),
            &logits,
            2,
            &[1],
            1.0,
            Some(&mut gradient),
            &mut CtcScratch::default(),
        )
        .unwrap();
        let expected = if depth > 2e7 { 16_777_216.0 } else { depth };
        assert!((loss / expected - 1.0).abs() < 1e-2, "{depth}: {loss}");
        for row in gradient.chunks(2) {
            assert!((row[0] - 1.0 / 3.0).abs() < 1e-6 && (row[1] + 1.0 / 3.0).abs() < 1e-6);
        }
    }
}

#[test]
fn single_precision_agrees_with_double() {
    for (frames, labels, length) in [(40, 5, 9), (120, 30, 30), (400, 32, 111), (1600, 32, 300)] {
        let logits: Vec<f32> = (0..frames * labels).map(|i| noise(i) as f32).collect();
        let wide: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
        let target: Vec<u32> =
            (0..length).map(|i| 1 + ((i * i + i / 3) % (labels - 1)) as u32).collect();
        let mut first: Option<(f32, Vec<f32>)> = None;
        for cpu in cpus() {
            let (exact_loss, exact) = loss_and_gradient64(cpu, &wide, labels, &target, 1.0);
            assert!((exact_loss / textbook_loss(&wide, labels, &target) - 1.0).abs() < 1e-12);
            let mut gradient = vec![0.0f32; logits.len()];
            let mut scratch = CtcScratch::default();
            let loss = ctc_utterance(
                cpu,
                &logits,
                labels,
                &target,
                1.0,
                Some(&mut gradient),
                &mut scratch,
            )
            .unwrap();
            assert!((f64::from(loss) / exact_loss - 1.0).abs() < 1e-7);
            for (ours, exact) in gradient.iter().zip(&exact) {
                let error = (f64::from(*ours) - exact).abs();
                assert!(error <= 1e-7 * exact.abs() + 1e-38, "{ours} {exact}");
            }
            // The same bits at every instruction set.
            let (first_loss, first_gradient) =
                first.get_or_insert_with(|| (loss, gradient.clone()));
            assert_eq!(first_loss.to_bits(), loss.to_bits());
            assert_eq!(*first_gradient, gradient);
        }
    }
}

#[test]
fn all_sizes_of_targets_pass_the_group_boundaries() {
    for length in 0..40usize {
        let target: Vec<u32> = (0..length).map(|i| 1 + (i % 3) as u32 / 2).collect();
        let frames = minimum_frames(&target).max(1) + length % 4;
        let logits: Vec<f64> = (0..frames * 3).map(|i| noise(i + 77 * length)).collect();
        let expected = textbook_loss(&logits, 3, &target);
        for cpu in cpus() {
            let (loss, gradient) = loss_and_gradient64(cpu, &logits, 3, &target, 1.0);
            assert!((loss - expected).abs() < 1e-11, "{length}: {loss} {expected}");
            for row in gradient.chunks(3) {
                assert!(row.iter().sum::<f64>().abs() < 1e-12, "{length}: {row:?}");
            }
        }
    }
}

/// A ragged batch of five, the third one too short and the fourth with a NaN if asked for.
struct Batch {
    lengths: Vec<usize>,
    targets: Vec<Vec<u32>>,
    scales: Vec<f32>,
    logits: Vec<f32>,
}

const LABELS: usize = 7;

fn batch() -> Batch {
    let lengths = vec![12, 40, 3, 25, 9];
    let targets =
        vec![vec![1, 2, 2], vec![3; 11], vec![5, 5, 6], vec![], vec![6, 1, 6, 1, 6, 1, 6, 1, 6]];
    let logits = (0..89 * LABELS).map(|i| noise(i) as f32).collect();
    Batch { lengths, targets, scales: vec![1.0, 0.5, 0.25, 2.0, 0.1], logits }
}

#[test]
fn a_batch_is_its_utterances_and_counts_what_is_infeasible() {
    let Batch { lengths, targets, scales, logits } = batch();
    let cpu = Cpu::detect();
    let mut results = Vec::new();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut losses = [f32::NAN; 5];
        let mut gradient = vec![f32::NAN; logits.len()];
        let outcome = pool
            .install(|| {
                let gradient = Some(&mut gradient[..]);
                ctc_batch(cpu, &logits, &lengths, LABELS, &targets, &scales, &mut losses, gradient)
            })
            .unwrap();
        let short = Infeasible { utterance: 2, frames: 3, needed: 4 };
        assert_eq!(outcome.infeasible, [short]);
        assert!(outcome.not_finite.is_empty() && !outcome.is_clean());
        results.push((losses.map(f32::to_bits), gradient));
    }
    assert!(results.iter().all(|result| *result == results[0]));
    let (losses, gradient) = &results[0];
    let mut start = 0;
    for b in 0..5 {
        let range = start * LABELS..(start + lengths[b]) * LABELS;
        let mut alone = vec![f32::NAN; range.len()];
        let loss = ctc_utterance(
            cpu,
            &logits[range.clone()],
            LABELS,
            &targets[b],
            scales[b],
            Some(&mut alone),
            &mut CtcScratch::default(),
        )
        .unwrap();
        assert_eq!(loss.to_bits(), losses[b]);
        assert_eq!(alone, gradient[range]);
        assert_eq!(loss.is_infinite(), b == 2);
        assert_eq!(alone.iter().all(|g| g.to_bits() == 0), b == 2);
        assert!(alone.iter().all(|g| g.is_finite()));
        start += lengths[b];
    }
}

#[test]
fn faulty_logits_are_reported_and_touch_no_mate() {
    let Batch { lengths, targets, scales, logits } = batch();
    let cpu = Cpu::detect();
    let mut clean_losses = [0.0f32; 5];
    let mut clean = vec![0.0f32; logits.len()];
    ctc_batch(
        cpu,
        &logits,
        &lengths,
        LABELS,
        &targets,
        &scales,
        &mut clean_losses,
        Some(&mut clean),
    )
    .unwrap();
    for fault in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut faulty = logits.clone();
        faulty[(12 + 17) * LABELS + 4] = fault; // utterance 1, frame 17
        faulty[(12 + 40 + 1) * LABELS] = fault; // utterance 2, which is infeasible as well
        let mut losses = [0.0f32; 5];
        let mut gradient = vec![f32::NAN; logits.len()];
        let outcome = ctc_batch(
            cpu,
            &faulty,
            &lengths,
            LABELS,
            &targets,
            &scales,
            &mut losses,
            Some(&mut gradient),
        )
        .unwrap();
        let faults = [
            NotFinite { utterance: 1, frame: 17, label: 4 },
            NotFinite { utterance: 2, frame: 1, label: 0 },
        ];
        assert_eq!(outcome.not_finite, faults);
        assert!(losses[1].is_nan() && losses[2].is_nan());
        for b in [0, 3, 4] {
            assert_eq!(losses[b].to_bits(), clean_losses[b].to_bits());
        }
        let (start, end) = (12 * LABELS, (12 + 40 + 3) * LABELS);
        assert!(gradient[start..end].iter().all(|g| g.to_bits() == 0));
        assert_eq!(gradient[..start], clean[..start]);
        assert_eq!(gradient[end..], clean[end..]);
    }
}

#[test]
fn misfits_are_refused_with_both_sizes() {
    let cpu = Cpu::portable();
    let scratch = &mut CtcScratch::default();
    let logits = [0.0f32; 12];
    let label = ctc_utterance(cpu, &logits, 4, &[1, 4], 1.0, None, scratch).unwrap_err();
    assert_eq!(label, CtcError::Label { position: 1, label: 4, labels: 4 });
    let blank = ctc_utterance(cpu, &logits, 4, &[0], 1.0, None, scratch).unwrap_err();
    assert_eq!(blank, CtcError::Label { position: 0, label: 0, labels: 4 });
    assert!(ctc_utterance(cpu, &logits, 5, &[1], 1.0, None, scratch).is_err());
    assert!(ctc_utterance(cpu, &logits, 0, &[], 1.0, None, scratch).is_err());
    let mut short = [0.0f32; 11];
    let error = ctc_utterance(cpu, &logits, 4, &[1], 1.0, Some(&mut short), scratch).unwrap_err();
    assert!(error.to_string().contains("11") && error.to_string().contains("12"), "{error}");

    let targets = [vec![1u32], vec![2]];
    let run = |lengths: &[usize], targets: &[Vec<u32>], scales: &[f32]| {
        let mut losses = vec![0.0; lengths.len()];
        ctc_batch(cpu, &logits, lengths, 4, targets, scales, &mut losses, None)
    };
    assert!(run(&[1, 2], &targets, &[1.0, 1.0]).unwrap().is_clean());
    let mismatch = run(&[1, 3], &targets, &[1.0, 1.0]).unwrap_err();
    assert!(matches!(mismatch, KernelError::Mismatch { left: 3, right: 4, .. }), "{mismatch}");
    assert!(run(&[3], &targets, &[1.0]).is_err());
    assert!(run(&[1, 2], &targets, &[1.0]).is_err());
    assert!(run(&[3, 0], &targets, &[1.0, 1.0]).is_err());
    let error = run(&[1, 2], &[vec![1], vec![9]], &[1.0, 1.0]).unwrap_err();
    assert!(error.to_string().contains("Utterance 1"), "{error}");
    assert!(error.to_string().contains("label 9"), "{error}");
}
