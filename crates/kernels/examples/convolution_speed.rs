//! How fast the convolutions run, pass by pass, beside a large matrix product of the same crate.
//!
//! `cargo run --release -p labyrinth-kernels --example convolution_speed -- [rounds] [threads] [name]`
//!
//! Every round times the product and the three passes of every shape one after another, so that all
//! see the same machine; the table shows the best and the median. The product is about as long as a
//! pass, so that on a machine in use both find its quiet moments. GFLOP are two per
//! multiply-add of the definition, padding included.

use std::time::Instant;

use labyrinth_kernels::{Convolution, Cpu, Matrix, matmul};

/// A layer of a model and what it works on.
struct Case {
    name: &'static str,
    utterances: usize,
    frames: usize,
    bins: usize,
    convolution: Convolution,
}

fn case(
    name: &'static str,
    [utterances, frames, bins]: [usize; 3],
    [in_channels, out_channels]: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
) -> Case {
    let padding = kernel.map(|size| size / 2);
    let convolution =
        Convolution { in_channels, out_channels, kernel, stride: [stride; 2], padding };
    Case { name, utterances, frames, bins, convolution }
}

fn cases() -> Vec<Case> {
    vec![
        case("M1 first", [16, 400, 80], [1, 32], [3, 3], 2),
        case("M1 second", [16, 200, 40], [32, 32], [3, 3], 2),
        case("ResNet stem", [8, 400, 80], [3, 64], [7, 7], 2),
        case("ResNet 64", [8, 100, 20], [64, 64], [3, 3], 1),
        case("ResNet 64-128", [8, 100, 20], [64, 128], [3, 3], 2),
        case("ResNet 64-128 1x1", [8, 100, 20], [64, 128], [1, 1], 2),
        case("ResNet 128", [8, 50, 10], [128, 128], [3, 3], 1),
        case("ResNet 128-256", [8, 50, 10], [128, 256], [3, 3], 2),
        case("ResNet 128-256 1x1", [8, 50, 10], [128, 256], [1, 1], 2),
        case("ResNet 256", [8, 25, 5], [256, 256], [3, 3], 1),
        case("Deep Speech 2", [16, 400, 80], [1, 32], [11, 41], 2),
    ]
}

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919) % 1013) as f32 / 506.5 - 1.0).collect()
}

/// Seconds that `work` takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// The best and the median of some times.
fn summary(times: &[f64]) -> [f64; 2] {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    [times[0], times[times.len() / 2]]
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| {
        arguments.next().map_or(default, |text| text.parse().expect("a number is expected"))
    };
    let (rounds, threads) = (number(15).max(1), number(2).max(1));
    let wanted = arguments.next().unwrap_or_default();
    let cpu = Cpu::detect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("no threads");
    let cases: Vec<Case> = cases().into_iter().filter(|c| c.name.contains(&wanted)).collect();

    const SIZE: usize = 768;
    let (a, b) = (numbers(SIZE * SIZE), numbers(SIZE * SIZE));
    let mut c = vec![0f32; SIZE * SIZE];
    let mut product = Vec::new();
    // For each case: forward, gradient of the weights, both gradients.
    let mut times = vec![[const { Vec::new() }; 3]; cases.len()];
    for round in 0..=rounds {
        let (a, b) = (Matrix::rows(&a, SIZE, SIZE), Matrix::rows(&b, SIZE, SIZE));
        for (case, times) in cases.iter().zip(&mut times) {
            let layer = case.convolution;
            let lengths = vec![case.frames; case.utterances];
            let x = numbers(case.utterances * case.frames * case.bins * layer.in_channels);
            let positions =
                case.utterances * layer.output_frames(case.frames) * layer.output_bins(case.bins);
            // Filled with numbers, so that the memory is there before the clock runs.
            let mut y = numbers(positions * layer.out_channels);
            let dy = numbers(y.len());
            let (weight, bias) = (numbers(layer.weight_len()), numbers(layer.out_channels));
            let (mut dx, mut dw) = (x.clone(), vec![0f32; weight.len()]);
            let mut db = vec![0f32; bias.len()];
            for _ in 0..2 {
                product.push(seconds(|| {
                    pool.install(|| matmul(cpu, a, b, &mut c, SIZE, false)).unwrap();
                }));
                let forward = seconds(|| {
                    pool.install(|| {
                        layer.forward(cpu, &x, &lengths, case.bins, &weight, &bias, &mut y)
                    })
                    .unwrap();
                });
                let mut backward = |dx: Option<&mut [f32]>| {
                    seconds(|| {
                        pool.install(|| {
                            let (dw, db) = (&mut dw[..], &mut db[..]);
                            layer.backward(cpu, &x, &lengths, case.bins, &weight, &dy, dx, dw, db)
                        })
                        .unwrap();
                    })
                };
                let weights = backward(None);
                // A first layer's input is data: nobody asks for its gradient.
                let both = if layer.in_channels < 32 { weights } else { backward(Some(&mut dx)) };
                if round > 0 {
                    for (times, time) in times.iter_mut().zip([forward, weights, both]) {
                        times.push(time);
                    }
                }
            }
        }
    }
    let peak = summary(&product).map(|time| 2.0 * (SIZE as f64).powi(3) / time / 1e9);
    println!("{} · {threads} threads · {rounds} rounds", cpu.isa());
    println!("product of {SIZE}³: {:.0} GFLOP/s at best, median {:.0}", peak[0], peak[1]);
    println!("GFLOP/s at best (median), share of the product's best\n");
    println!("| layer | GFLOP | forward | gradient of x | gradient of weights | ms, all three |");
    println!("|---|---|---|---|---|---|");
    let mut total = 0.0;
    for (case, times) in cases.iter().zip(&times) {
        let layer = case.convolution;
        let positions =
            case.utterances * layer.output_frames(case.frames) * layer.output_bins(case.bins);
        let work = 2.0 * positions as f64 * layer.weight_len() as f64 / 1e9;
        let [forward, weights, both] = [0, 1, 2].map(|pass| summary(&times[pass]));
        let input = [both[0] - weights[0], both[1] - weights[1]];
        let cell = |[best, median]: [f64; 2]| {
            if best <= 0.0 {
                return String::from("not needed");
            }
            let rate = work / best;
            format!("{rate:.0} ({:.0}) {:.0} %", work / median, 100.0 * rate / peak[0])
        };
        total += forward[0] + both[0];
        println!(
            "| {} | {work:.2} | {} | {} | {} | {:.2} |",
            case.name,
            cell(forward),
            cell(input),
            cell(weights),
            1e3 * (forward[0] + both[0])
        );
    }
    println!("\nall: {:.1} ms at best", 1e3 * total);
}
