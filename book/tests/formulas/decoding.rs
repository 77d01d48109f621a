//! Decoding: the best path, the best text, the best single word, and how far an output looks.

use labyrinth::decode::{greedy, one_word};
use labyrinth::kernels::Cpu;
use labyrinth::kernels::ctc::{CtcScratch, ctc_utterance};
use labyrinth::nn::{CnnOptions, ConvolutionOptions, ModelOptions, Reach};
use labyrinth::signal::Random;

fn noise(count: usize, key: u64) -> Vec<f32> {
    let mut random = Random::from_key(&[key]);
    (0..count).map(|_| 1.5 * random.normal() as f32).collect()
}

fn softmax(logits: &[f32], labels: usize) -> Vec<f64> {
    let row = |x: &[f32]| {
        let sum: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
        x.iter().map(move |&x| f64::from(x).exp() / sum).collect::<Vec<_>>()
    };
    logits.chunks(labels).flat_map(row).collect()
}

/// Every path with its probability and the text that it writes.
fn paths(y: &[f64], labels: usize) -> Vec<(f64, Vec<u32>)> {
    let frames = y.len() / labels;
    (0..labels.pow(frames as u32))
        .map(|number| {
            let path: Vec<u32> =
                (0..frames).map(|t| (number / labels.pow(t as u32) % labels) as u32).collect();
            let factors = path.iter().enumerate();
            let p = factors.map(|(t, &label)| y[t * labels + label as usize]).product();
            let mut text = path;
            text.dedup();
            text.retain(|&label| label != 0);
            (p, text)
        })
        .collect()
}

#[test]
fn the_best_path_takes_the_best_label_of_each_frame() {
    for key in 0..50 {
        let (labels, frames) = (3, 6);
        let logits = noise(frames * labels, key);
        let all = paths(&softmax(&logits, labels), labels);
        let best = all.iter().max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        let found: Vec<u32> = greedy(&logits, labels).iter().map(|token| token.label).collect();
        assert_eq!(found, best.1, "{key}");
    }
}

#[test]
fn the_best_path_is_not_the_best_text() {
    let logits: Vec<f64> = [0.6f64, 0.4, 0.6, 0.4].iter().map(|p| p.ln()).collect();
    let scores: Vec<f32> = logits.iter().map(|&x| x as f32).collect();
    assert!(greedy(&scores, 2).is_empty());
    let p = |text: &[u32]| {
        let mut scratch = CtcScratch::default();
        let cpu = Cpu::detect();
        (-ctc_utterance(cpu, &logits, 2, text, 1.0, None, &mut scratch).unwrap()).exp()
    };
    assert!((p(&[]) - 0.36).abs() < 1e-12 && (p(&[1]) - 0.64).abs() < 1e-12);
}

#[test]
fn the_best_single_word_has_the_largest_sum() {
    let labels = 4;
    for key in 0..60 {
        let logits = noise((1 + key as usize % 6) * labels, 100 + key);
        let y = softmax(&logits, labels);
        let all = paths(&y, labels);
        let mut sums = Vec::new();
        for word in 1..labels {
            let own = all.iter().filter(|(_, text)| text[..] == [word as u32]);
            let sum: f64 = own.map(|(p, _)| p).sum();
            // The three running sums of the page.
            let (mut before, mut amid, mut after) = (1.0, 0.0, 0.0);
            for y in y.chunks(labels) {
                after = (after + amid) * y[0];
                amid = (amid + before) * y[word];
                before *= y[0];
            }
            assert!((amid + after - sum).abs() < 1e-12, "{key} {word}");
            sums.push(sum);
        }
        let best = (1..labels).max_by(|&a, &b| sums[a - 1].total_cmp(&sums[b - 1])).unwrap();
        assert_eq!(one_word(&logits, labels).unwrap().label as usize, best, "{key}");
    }
}

#[test]
fn the_reach_of_layers_is_that_of_all_that_they_read() {
    let mut random = Random::from_key(&[9]);
    for _ in 0..200 {
        let layers: Vec<[usize; 3]> = (0..1 + random.below(4))
            .map(|_| {
                let kernel = 1 + random.below(5) as usize;
                // A window that reads its own frame: what the formula is about.
                let padding = random.below(kernel as u64) as usize;
                [kernel, 1 + random.below(3) as usize, padding]
            })
            .collect();
        // Which inputs output 1000 reads, from the last layer down to the first.
        let mut read = vec![1000i64];
        for &[kernel, stride, padding] in layers.iter().rev() {
            let first = |t: &i64| t * stride as i64 - padding as i64;
            let mut below: Vec<i64> =
                read.iter().flat_map(|t| first(t)..first(t) + kernel as i64).collect();
            below.sort_unstable();
            below.dedup();
            read = below;
        }
        let reach = layers.iter().fold(Reach::FRAME, |reach, &[kernel, stride, padding]| {
            reach.then(Reach::window(kernel, stride, padding))
        });
        let stride: usize = layers.iter().map(|layer| layer[1]).product();
        assert_eq!(reach.stride, stride);
        let own = 1000 * stride as i64;
        assert_eq!(own - read[0], reach.before.unwrap() as i64, "{layers:?}");
        assert_eq!(read[read.len() - 1] - own, reach.after.unwrap() as i64, "{layers:?}");
    }
}

#[test]
fn a_network_that_runs_live_waits_for_what_it_reaches() {
    let convolution = || ConvolutionOptions { channels: 2, kernel: [3, 3], stride: [2, 2] };
    let options = |bidirectional: bool| {
        ModelOptions::Cnn(CnnOptions {
            convolutions: vec![convolution(), convolution()],
            bidirectional,
            lookahead: if bidirectional { 0 } else { 8 },
            ..CnnOptions::default()
        })
    };
    let reach = options(false).reach(80).unwrap();
    assert_eq!((reach.stride, reach.after), (4, Some(3 + 4 * 8)));
    assert_eq!(reach.after.unwrap() * 10 + 25, 375);
    assert_eq!(options(true).reach(80).unwrap().after, None);
}
