//! Alignment: the best path, the boundary between two peaks, quiet frames, a frame's middle, cross-entropy.

use labyrinth::corpus::loader::frames::Spoken;
use labyrinth::corpus::{FrameGrid, frame_targets};
use labyrinth::decode::quiet::quiet_frames;
use labyrinth::decode::{BoundaryRule, Token, best_path, spread};
use labyrinth::kernels::Cpu;
use labyrinth::kernels::cross_entropy::cross_entropy_batch;
use labyrinth::signal::Random;
use labyrinth::text::{Alphabet, Units};

fn noise(count: usize, key: u64) -> Vec<f32> {
    let mut random = Random::from_key(&[key]);
    (0..count).map(|_| 2.0 * random.normal() as f32).collect()
}

/// s of each frame: logit minus the logarithm of the sum of all exponentials.
fn log_softmax(logits: &[f32], labels: usize) -> Vec<f64> {
    let row = |x: &[f32]| {
        let sum = x.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        x.iter().map(move |&x| f64::from(x) - sum).collect::<Vec<_>>()
    };
    logits.chunks(labels).flat_map(row).collect()
}

#[test]
fn no_path_is_better_than_the_best() {
    let labels = 3;
    for frames in 1..=7 {
        for target in [&[1][..], &[1, 2], &[2, 2], &[1, 2, 1], &[2, 1, 1]] {
            let logits = noise(frames * labels, (frames * 10 + target.len()) as u64);
            let s = log_softmax(&logits, labels);
            let mut best: Option<f64> = None;
            for number in 0..labels.pow(frames as u32) {
                let path: Vec<u32> =
                    (0..frames).map(|t| (number / labels.pow(t as u32) % labels) as u32).collect();
                let mut text = path.clone();
                text.dedup();
                text.retain(|&label| label != 0);
                if text == target {
                    let terms = path.iter().enumerate();
                    let sum = terms.map(|(t, &label)| s[t * labels + label as usize]).sum();
                    best = Some(best.map_or(sum, |best: f64| best.max(sum)));
                }
            }
            let found = best_path(&logits, labels, target).ok().map(|path| path.log_probability);
            match (found, best) {
                // Scores are single precision.
                (Some(found), Some(best)) => assert!((found - best).abs() < 1e-5),
                (found, best) => assert_eq!(found, best, "{frames} {target:?}"),
            }
        }
    }
}

#[test]
fn no_boundary_is_better_than_the_change_of_preference() {
    let labels = 4;
    for key in 0..200 {
        let logits = noise(20 * labels, 1000 + key);
        let s = log_softmax(&logits, labels);
        let peaks = [Token { label: 1, start: 3, end: 5 }, Token { label: 3, start: 14, end: 15 }];
        let (p, q) = (5, 14);
        let sum = |b: usize| {
            let first: f64 = (p..b).map(|t| s[t * labels + 1]).sum();
            first + (b..q).map(|t| s[t * labels + 3]).sum::<f64>()
        };
        let best = (p..=q).max_by(|&a, &b| sum(a).total_cmp(&sum(b))).unwrap();
        let spans = spread(&peaks, &logits, labels, &[], false, BoundaryRule::Change);
        assert_eq!((spans[0].end, spans[1].start), (best, best), "{key}");
        let spans = spread(&peaks, &logits, labels, &[], false, BoundaryRule::Middle);
        assert!((spans[0].end as f64 - (p + q) as f64 / 2.0).abs() <= 0.5);
    }
}

#[test]
fn quiet_is_a_fifth_of_the_way_from_floor_to_speech() {
    const RATE: usize = 8000;
    let (hop, frames) = (0.02, 150);
    let mut random = Random::from_key(&[7]);
    for loudest in [0.3, 0.001] {
        // Stretches of noise, every third one quieter: at the floor, or somewhat more than a fifth up in decibels.
        // The second time nothing is much louder than the rest, so that nothing is quiet.
        let (quietest, mut samples): (f64, Vec<f32>) = (0.0008, Vec::new());
        for part in 0..24 {
            let way = [0.0, 0.26, 0.02, 0.3, 0.04, 0.26, 0.01, 0.27][part as usize / 3];
            let loudness = match part % 3 {
                1 => quietest * (loudest / quietest).powf(way),
                other => loudest * (1.0 + 0.5 * f64::from(other)),
            };
            let count = 700 + 300 * (part as usize % 5);
            samples.extend((0..count).map(|_| (loudness * random.normal()) as f32));
        }
        samples.truncate(frames * RATE / 50);
        // The window of a frame is 25 ms here, longer than the hop.
        let level = |frame: usize| {
            let center = 0.01 + frame as f64 * hop;
            let at = |t: f64| ((t * RATE as f64).max(0.0) as usize).min(samples.len());
            let window = &samples[at(center - 0.0125)..at(center + 0.0125)];
            let mean =
                window.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / window.len() as f64;
            10.0 * (mean + 1e-12).log10()
        };
        let levels: Vec<f64> = (0..frames).map(level).collect();
        let mut sorted = levels.clone();
        sorted.sort_by(f64::total_cmp);
        let (floor, speech) = (sorted[frames / 10], sorted[frames * 9 / 10]);
        let range = speech - floor;
        let below: Vec<bool> =
            levels.iter().map(|l| range >= 15.0 && *l < floor + range / 5.0).collect();
        // Runs of less than five frames of 20 ms are none, but for one at either end.
        let mut expected = below.clone();
        for frame in 0..frames {
            let run = below[frame..].iter().take_while(|&&b| b).count();
            let inside = frame > 0 && frame + run < frames;
            if run > 0 && run < 5 && inside && !below[frame - 1] {
                expected[frame..frame + run].fill(false);
            }
        }
        assert_eq!(quiet_frames(&samples, RATE as u32, 0.01, hop, frames), expected);
        assert_eq!(expected.contains(&true), loudest > 0.1);
    }
}

#[test]
fn a_frame_is_named_by_the_label_that_covers_most_of_its_middle() {
    let alphabet = Alphabet::from_transcripts(Units::Phonemes, ["a b c"].into_iter());
    let mut random = Random::from_key(&[11]);
    for _ in 0..100 {
        // Labels and pauses on whole milliseconds.
        let (mut at, mut spoken, mut names) = (0, Vec::new(), Vec::new());
        while at < 2000 {
            let length = 3 + (random.uniform() * 120.0) as usize;
            let label = (random.uniform() * 4.0) as usize;
            names.extend(std::iter::repeat_n(label as u32, length));
            if label > 0 {
                let (start, end) = (at as f64 / 1000.0, (at + length) as f64 / 1000.0);
                spoken.push(Spoken { start, end, name: ["a", "b", "c"][label - 1].into() });
            }
            at += length;
        }
        let grid = FrameGrid { first: 0.125, hop: 0.05 };
        for (frame, found) in frame_targets(&spoken, &alphabet, grid, 30).into_iter().enumerate() {
            let middle = 100 + 50 * frame..150 + 50 * frame;
            // Neighbours of one name are labels of their own, so stretches are counted, not names.
            let mut stretches: Vec<(u32, usize)> = Vec::new();
            let mut start = middle.start;
            for one in &spoken {
                let [from, to] = [one.start, one.end].map(|t| (t * 1000.0).round() as usize);
                let inside = to.min(middle.end).saturating_sub(from.max(middle.start));
                let label = alphabet.encode(&one.name).unwrap()[0];
                stretches.push((label, inside));
                start += inside;
            }
            let silent = middle.end - start;
            let most = stretches.iter().map(|(_, inside)| *inside).max().unwrap_or(0);
            let first = stretches.iter().find(|(_, inside)| *inside == most);
            let expected = match first {
                Some(&(label, inside)) if inside > 0 && inside >= silent => label,
                _ => 0,
            };
            assert_eq!(found, expected, "frame {frame}: {stretches:?}");
        }
    }
}

#[test]
fn cross_entropy_is_the_logarithm_and_its_gradient_softmax_minus_one() {
    let (labels, lengths) = (6, [4, 3]);
    let logits: Vec<f64> = noise(7 * labels, 5).into_iter().map(f64::from).collect();
    let targets = [2, 0, 5, 5, 1, 3, 2];
    let (mut losses, mut gradient) = ([0.0; 2], vec![0.0; logits.len()]);
    let into = Some(&mut gradient[..]);
    let scales = [1.0, 1.0];
    cross_entropy_batch(
        Cpu::detect(),
        &logits,
        &lengths,
        labels,
        &targets,
        None,
        &scales,
        &mut losses,
        into,
    )
    .unwrap();
    let mut expected = [0.0; 2];
    for (t, (x, &k)) in logits.chunks(labels).zip(&targets).enumerate() {
        let sum: f64 = x.iter().map(|x| x.exp()).sum();
        expected[t / 4] += sum.ln() - x[k as usize];
        for i in 0..labels {
            let slope = x[i].exp() / sum - f64::from(u8::from(i as u32 == k));
            assert!((gradient[t * labels + i] - slope).abs() < 1e-13);
        }
    }
    assert!((losses[0] - expected[0]).abs() < 1e-12 && (losses[1] - expected[1]).abs() < 1e-12);
}
