//! How fast the kernels run that do little with each number, beside a plain copy of the same memory.
//!
//! `cargo run --release -p labyrinth-kernels --example elementwise_speed -- [rounds] [threads]`
//!
//! The shape is the output of a ResNet's first layer: 8 utterances of 200 frames, 40 bins, 64 channels.
//! A kernel's cost is the memory that it must read and write once (`streams` slices of this shape); the
//! table gives the rate of that traffic. A rate far below the copy's means work or passes in excess.

use std::time::Instant;

use labyrinth_kernels::batch_norm::{
    batch_norm_backward, batch_norm_relu_backward, batch_norm_relu_train_forward,
    batch_norm_train_forward,
};
use labyrinth_kernels::layer_norm::{layer_norm_backward, layer_norm_forward};
use labyrinth_kernels::mean::{global_mean_backward, global_mean_forward};
use labyrinth_kernels::pooling::{max_pool_backward, max_pool_forward};
use labyrinth_kernels::residual::residual_add_relu_forward;
use labyrinth_kernels::{Cpu, DepthwiseConvolution, Window, activation};

const UTTERANCES: usize = 8;
const FRAMES: usize = 200;
const BINS: usize = 40;
const CHANNELS: usize = 64;

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919) % 1013) as f32 / 506.5 - 1.0).collect()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| {
        arguments.next().map_or(default, |text| text.parse().expect("a number is expected"))
    };
    let (rounds, threads) = (number(20).max(1), number(2).max(1));
    let cpu = Cpu::detect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("no threads");
    let lengths = [FRAMES; UTTERANCES];
    let size = UTTERANCES * FRAMES * BINS * CHANNELS;
    let (x, dy, shortcut) = (numbers(size), numbers(size), numbers(size));
    let (mut y, mut dx) = (numbers(size), numbers(size));
    let (gamma, beta) = (numbers(CHANNELS), numbers(CHANNELS));
    let (mut mean, mut inverse) = (vec![0f32; CHANNELS], vec![1f32; CHANNELS]);
    let (mut dgamma, mut dbeta) = (vec![0f32; CHANNELS], vec![0f32; CHANNELS]);
    let width = BINS * CHANNELS;
    let rows = UTTERANCES * FRAMES;
    let (wide_gamma, wide_beta) = (numbers(width), numbers(width));
    let (mut row_mean, mut row_inverse) = (vec![0f32; rows], vec![1f32; rows]);
    let (mut wide_dgamma, mut wide_dbeta) = (vec![0f32; width], vec![0f32; width]);
    let window = Window { kernel: [3, 3], stride: [2, 2], padding: [1, 1] };
    let quarter = UTTERANCES * window.output_frames(FRAMES) * window.output_bins(BINS) * CHANNELS;
    let mut small = numbers(quarter);
    let small_dy = numbers(quarter);
    let depthwise = DepthwiseConvolution {
        channels: CHANNELS,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
    };
    let weight = numbers(depthwise.weight_len());
    let mut dweight = vec![0f32; weight.len()];
    let mut means = numbers(UTTERANCES * CHANNELS);

    let mut table: Vec<(&str, f64, Vec<f64>)> = Vec::new();
    for round in 0..=rounds {
        let mut row = 0;
        let mut time = |name: &'static str, streams: f64, work: &mut (dyn FnMut() + Send)| {
            let start = Instant::now();
            pool.install(work);
            let seconds = start.elapsed().as_secs_f64();
            if round == 0 {
                table.push((name, streams, Vec::new()));
            } else {
                table[row].2.push(seconds);
            }
            row += 1;
        };
        time("copy", 2.0, &mut || {
            use rayon::prelude::*;
            let pairs = y.par_chunks_mut(1 << 14).zip(x.par_chunks(1 << 14));
            pairs.for_each(|(y, x)| y.copy_from_slice(x));
        });
        time("relu forward", 2.0, &mut || activation::relu_forward(cpu, &x, &mut y).unwrap());
        time("relu in place", 2.0, &mut || activation::relu_in_place(cpu, &mut y));
        time("relu backward", 3.0, &mut || {
            activation::relu_backward(cpu, &y, &dy, &mut dx).unwrap();
        });
        time("residual addition with relu", 3.0, &mut || {
            residual_add_relu_forward(cpu, &x, &shortcut, &mut y).unwrap();
        });
        time("batch norm forward", 3.0, &mut || {
            let saved = (&mut mean[..], &mut inverse[..]);
            let (m, r) = saved;
            batch_norm_train_forward(cpu, &x, CHANNELS, &gamma, &beta, 1e-5, &mut y, m, r).unwrap();
        });
        time("batch norm, shortcut, relu forward", 4.0, &mut || {
            let (m, r) = (&mut mean[..], &mut inverse[..]);
            let s = Some(&shortcut[..]);
            batch_norm_relu_train_forward(cpu, &x, CHANNELS, &gamma, &beta, 1e-5, s, &mut y, m, r)
                .unwrap();
        });
        time("batch norm backward", 5.0, &mut || {
            let (m, r, dg, db) = (&mean, &inverse, &mut dgamma, &mut dbeta);
            batch_norm_backward(cpu, &x, CHANNELS, &gamma, m, r, &dy, &mut dx, dg, db).unwrap();
        });
        time("batch norm with relu backward", 7.0, &mut || {
            let (m, r, dg, db) = (&mean, &inverse, &mut dgamma, &mut dbeta);
            batch_norm_relu_backward(cpu, &x, &y, CHANNELS, &gamma, m, r, &dy, &mut dx, dg, db)
                .unwrap();
        });
        time("layer norm forward, rows of 2560", 2.0, &mut || {
            let (m, r) = (&mut row_mean[..], &mut row_inverse[..]);
            layer_norm_forward(cpu, &x, width, &wide_gamma, &wide_beta, 1e-5, &mut y, m, r)
                .unwrap();
        });
        time("layer norm backward, rows of 2560", 5.0, &mut || {
            let (m, r) = (&row_mean, &row_inverse);
            let (dg, db) = (&mut wide_dgamma, &mut wide_dbeta);
            layer_norm_backward(cpu, &x, width, &wide_gamma, m, r, &dy, &mut dx, dg, db).unwrap();
        });
        time("max pool 3x3 s2 forward", 1.25, &mut || {
            max_pool_forward(cpu, window, &x, &lengths, BINS, CHANNELS, &mut small).unwrap();
        });
        time("max pool 3x3 s2 backward", 2.5, &mut || {
            let (y, dy) = (&small, &small_dy);
            max_pool_backward(cpu, window, &x, &lengths, BINS, CHANNELS, y, dy, &mut dx).unwrap();
        });
        time("depthwise 3x3 forward", 2.0, &mut || {
            depthwise.forward(cpu, &x, &lengths, BINS, &weight, &beta, &mut y).unwrap();
        });
        time("depthwise 3x3 backward", 4.0, &mut || {
            let (dw, db) = (&mut dweight, &mut dbeta);
            let dx = Some(&mut dx[..]);
            depthwise.backward(cpu, &x, &lengths, BINS, &weight, &dy, dx, dw, db).unwrap();
        });
        time("global mean forward", 1.0, &mut || {
            global_mean_forward(cpu, &x, &lengths, BINS, CHANNELS, &mut means).unwrap();
        });
        time("global mean backward", 1.0, &mut || {
            global_mean_backward(cpu, &means, &lengths, BINS, CHANNELS, &mut dx).unwrap();
        });
    }
    println!(
        "{} · {threads} threads · {rounds} rounds · {} MB a slice\n",
        cpu.isa(),
        size * 4 / 1_000_000
    );
    println!("| kernel | ms at best (median) | GB/s at best |\n|---|---|---|");
    for (name, streams, times) in &mut table {
        times.sort_by(f64::total_cmp);
        let (best, median) = (times[0], times[times.len() / 2]);
        let rate = *streams * size as f64 * 4.0 / best / 1e9;
        println!("| {name} | {:.2} ({:.2}) | {rate:.1} |", best * 1e3, median * 1e3);
    }
}
