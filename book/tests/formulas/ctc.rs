//! CTC: the sum over all paths, both recursions, the gradient, the number of paths, and log-sum-exp.

use labyrinth::kernels::Cpu;
use labyrinth::kernels::ctc::{CtcScratch, ctc_utterance, log_softmax, minimum_frames};
use labyrinth::signal::Random;

/// Loss and gradient of the crate.
fn crate_loss(logits: &[f64], labels: usize, target: &[u32]) -> (f64, Vec<f64>) {
    let mut gradient = vec![0.0; logits.len()];
    let mut scratch = CtcScratch::default();
    let wanted = Some(&mut gradient[..]);
    let loss =
        ctc_utterance(Cpu::detect(), logits, labels, target, 1.0, wanted, &mut scratch).unwrap();
    (loss, gradient)
}

/// y of each frame: e^x over the sum of all e^x.
fn softmax(logits: &[f64], labels: usize) -> Vec<f64> {
    let row = |x: &[f64]| {
        let sum: f64 = x.iter().map(|x| x.exp()).sum();
        x.iter().map(move |x| x.exp() / sum).collect::<Vec<_>>()
    };
    logits.chunks(labels).flat_map(row).collect()
}

/// Merges equal neighbours, then drops the blanks.
fn collapse(path: &[u32]) -> Vec<u32> {
    let mut merged = path.to_vec();
    merged.dedup();
    merged.retain(|&label| label != 0);
    merged
}

/// All paths of so many frames.
fn paths(frames: usize, labels: usize) -> impl Iterator<Item = Vec<u32>> {
    (0..labels.pow(frames as u32)).map(move |number| {
        (0..frames).map(|t| (number / labels.pow(t as u32) % labels) as u32).collect()
    })
}

/// p, and for each frame and label the sum of the paths that hold this label there.
fn by_all_paths(y: &[f64], labels: usize, target: &[u32]) -> (f64, Vec<f64>) {
    let (mut p, mut through) = (0.0, vec![0.0; y.len()]);
    for path in paths(y.len() / labels, labels).filter(|path| collapse(path) == target) {
        let factors = path.iter().enumerate();
        let product: f64 = factors.map(|(t, &label)| y[t * labels + label as usize]).product();
        p += product;
        for (t, &label) in path.iter().enumerate() {
            through[t * labels + label as usize] += product;
        }
    }
    (p, through)
}

const TARGETS: [&[u32]; 7] = [&[], &[1], &[1, 2], &[2, 2], &[1, 2, 1], &[1, 1, 2], &[3, 3, 3]];

fn noise(count: usize, key: u64) -> Vec<f64> {
    let mut random = Random::from_key(&[key]);
    (0..count).map(|_| 2.0 * random.normal()).collect()
}

#[test]
fn the_loss_is_the_sum_over_all_paths_and_its_gradient_softmax_minus_posterior() {
    let labels = 4;
    for frames in 1..=6 {
        for target in TARGETS {
            let logits = noise(frames * labels, frames as u64);
            let y = softmax(&logits, labels);
            let (p, through) = by_all_paths(&y, labels, target);
            let (loss, gradient) = crate_loss(&logits, labels, target);
            if p == 0.0 {
                assert_eq!(loss, f64::INFINITY);
                continue;
            }
            assert!((loss + p.ln()).abs() < 1e-12, "{frames} {target:?}: {loss} {}", -p.ln());
            for ((y, through), gradient) in y.iter().zip(&through).zip(&gradient) {
                assert!((y - through / p - gradient).abs() < 1e-12, "{frames} {target:?}");
            }
        }
    }
}

#[test]
fn there_are_paths_from_so_many_frames_on() {
    for target in TARGETS {
        let repeats = target.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!(minimum_frames(target), target.len() + repeats);
        for frames in 1..=6 {
            let some = paths(frames, 4).any(|path| collapse(&path) == target);
            assert_eq!(some, frames >= minimum_frames(target), "{frames} {target:?}");
        }
    }
}

#[test]
fn forward_and_backward_meet_at_every_frame() {
    let labels = 4;
    for target in TARGETS {
        let (length, frames) = (target.len(), 9);
        let logits = noise(frames * labels, 77 + length as u64);
        let y = softmax(&logits, labels);
        let blank = |t: usize| y[t * labels];
        // Labels count from 1, as on the page.
        let label = |t: usize, i: usize| y[t * labels + target[i - 1] as usize];
        let skip =
            |i: usize| f64::from(u8::from(i >= 2 && i <= length && target[i - 1] != target[i - 2]));
        let (mut a, mut c) =
            (vec![vec![0.0; length + 2]; frames], vec![vec![0.0; length + 2]; frames]);
        let (mut b, mut d) = (a.clone(), c.clone());
        a[0][0] = blank(0);
        if length > 0 {
            c[0][1] = label(0, 1);
        }
        for t in 1..frames {
            for i in 0..=length {
                a[t][i] = (a[t - 1][i] + c[t - 1][i]) * blank(t);
            }
            for i in 1..=length {
                let skipped = skip(i) * c[t - 1][i - 1];
                c[t][i] = (c[t - 1][i] + a[t - 1][i - 1] + skipped) * label(t, i);
            }
        }
        (b[frames - 1][length], d[frames - 1][length]) = (1.0, 1.0);
        for t in (0..frames - 1).rev() {
            for i in 0..=length {
                let next = if i < length { label(t + 1, i + 1) * d[t + 1][i + 1] } else { 0.0 };
                b[t][i] = blank(t + 1) * b[t + 1][i] + next;
                if i > 0 {
                    let stays = label(t + 1, i) * d[t + 1][i];
                    d[t][i] = stays + blank(t + 1) * b[t + 1][i] + skip(i + 1) * next;
                }
            }
        }
        let p = a[frames - 1][length] + c[frames - 1][length];
        let (loss, gradient) = crate_loss(&logits, labels, target);
        assert!((loss + p.ln()).abs() < 1e-12);
        for t in 0..frames {
            let mut posterior = vec![0.0; labels];
            for i in 0..=length {
                posterior[0] += a[t][i] * b[t][i] / p;
                if i > 0 {
                    posterior[target[i - 1] as usize] += c[t][i] * d[t][i] / p;
                }
            }
            assert!((posterior.iter().sum::<f64>() - 1.0).abs() < 1e-12, "frame {t}");
            for k in 0..labels {
                let expected = y[t * labels + k] - posterior[k];
                assert!((gradient[t * labels + k] - expected).abs() < 1e-12, "{t} {k}");
            }
        }
    }
}

/// ln of the number of ways to choose `chosen` of `all`.
fn ln_binomial(all: usize, chosen: usize) -> f64 {
    (1..=chosen).map(|i| ((all - chosen + i) as f64 / i as f64).ln()).sum()
}

#[test]
fn a_network_that_knows_nothing_counts_the_paths() {
    // Closed forms where no sum over paths could be written down, and p is far below the smallest f64.
    for (frames, labels, length) in [(6, 3, 2), (100, 28, 19), (3000, 28, 250), (500, 5, 240)] {
        let target: Vec<u32> =
            (0..length).map(|i| (i * i * 7919 % (labels - 1)) as u32 + 1).collect();
        let repeats = minimum_frames(&target) - length;
        let paths = ln_binomial(frames + length - repeats, 2 * length);
        let (loss, gradient) = crate_loss(&vec![0.0; frames * labels], labels, &target);
        let expected = frames as f64 * (labels as f64).ln() - paths;
        assert!((loss / expected - 1.0).abs() < 1e-12, "{frames}: {loss} {expected}");
        let blanks: f64 = gradient.chunks(labels).map(|g| 1.0 / labels as f64 - g[0]).sum();
        let free = (frames - length - repeats) as f64 / (2 * length + 1) as f64;
        let expected = repeats as f64 + (length + 1) as f64 * free;
        assert!((blanks / expected - 1.0).abs() < 1e-10, "{frames}: {blanks} {expected}");
    }
}

#[test]
fn log_sum_exp_may_be_shifted() {
    let logits = noise(5 * 31, 3);
    let (mut there, mut shifted) = (vec![0.0; logits.len()], vec![0.0; logits.len()]);
    log_softmax(Cpu::detect(), &logits, 31, &mut there).unwrap();
    // So high that no exponential of it is a number.
    let high: Vec<f64> = logits.iter().map(|x| x + 4096.0).collect();
    log_softmax(Cpu::detect(), &high, 31, &mut shifted).unwrap();
    for ((x, there), shifted) in logits.chunks(31).zip(there.chunks(31)).zip(shifted.chunks(31)) {
        let plain: f64 = x.iter().map(|x| x.exp()).sum::<f64>().ln();
        let m = x.iter().copied().fold(f64::MIN, f64::max);
        let moved = m + x.iter().map(|x| (x - m).exp()).sum::<f64>().ln();
        assert!((plain - moved).abs() < 1e-14);
        for k in 0..31 {
            assert!((there[k] - (x[k] - plain)).abs() < 1e-13);
            assert!((shifted[k] - there[k]).abs() < 2e-12);
        }
    }
}
