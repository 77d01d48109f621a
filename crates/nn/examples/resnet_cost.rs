//! What a ResNet costs: milliseconds per second of audio, forward and back, for each cut, frozen and trained.
//!
//! ```text
//! cargo run --release -p labyrinth-nn --example resnet_cost [BINS [ROUNDS]]
//! ```
//!
//! Frames of 10 ms, a batch of 16 utterances of 2.7 s (AN4's mean), recurrent layers as in the recipes. The
//! rows take turns, so that whatever else the machine does hits all of them; minimum and median are shown.

use std::time::Instant;

use labyrinth_kernels::Cpu;
use labyrinth_nn::{
    CnnOptions, Cut, Height, Memory, Mode, ModelOptions, Network, ResnetNorm, ResnetOptions,
};
use labyrinth_signal::Random;

const LABELS: usize = 30;

struct Row {
    name: String,
    network: Network<f32>,
    memory: Memory<f32>,
    times: Vec<f64>,
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let mut next = |default| arguments.next().and_then(Result::ok).unwrap_or(default);
    let (bins, rounds) = (next(40), next(7));
    let lengths = vec![270usize; 16];
    let seconds = lengths.iter().sum::<usize>() as f64 * 0.01;
    let mut random = Random::from_key(&[1]);
    let features: Vec<f32> =
        (0..lengths.iter().sum::<usize>() * bins).map(|_| random.normal() as f32).collect();
    let mut rows = vec![row("cnn-gru", ModelOptions::Cnn(CnnOptions::default()), bins, false)];
    for norm in [ResnetNorm::Folded, ResnetNorm::Batch] {
        for cut in [Cut::Stem, Cut::Layer1, Cut::Layer2, Cut::Layer3] {
            for frozen in [true, false] {
                let height = Height::Flatten;
                let options = ResnetOptions { cut, norm, height, ..ResnetOptions::default() };
                let state = if frozen { "frozen" } else { "trained" };
                let name = format!("{} {norm:?} {state}", cut.name());
                rows.push(row(&name, ModelOptions::Resnet(options), bins, frozen));
            }
        }
    }
    let cpu = Cpu::detect();
    for round in 0..=rounds {
        for row in &mut rows {
            let mut gradients = vec![0.0; row.network.parameters.len()];
            let start = Instant::now();
            let (mode, memory) = (Mode::Training { key: 1 }, &mut row.memory);
            row.network.forward(cpu, mode, &features, &lengths, memory).expect("a forward pass");
            memory.output_and_gradient().1.fill(1e-3);
            row.network.backward(cpu, mode, &features, &mut gradients, memory).expect("a way back");
            // The first round makes room.
            if round > 0 {
                row.times.push(start.elapsed().as_secs_f64() * 1000.0 / seconds);
            }
        }
    }
    println!("{bins} bins, milliseconds per second of audio, forward and back: minimum, median");
    for row in &mut rows {
        row.times.sort_by(f64::total_cmp);
        let (least, median) = (row.times[0], row.times[row.times.len() / 2]);
        let megabytes = row.memory.bytes() as f64 / 1e6;
        println!(
            "{:24} {least:7.2} {median:7.2}   {:9} weights, {megabytes:6.1} MB",
            row.name,
            row.network.parameters.len()
        );
    }
}

fn row(name: &str, options: ModelOptions, bins: usize, frozen: bool) -> Row {
    let mut network = Network::new(&options, bins, LABELS, 1).expect("a network");
    network.freeze(|stage| frozen && stage != "rest");
    Row { name: name.into(), network, memory: Memory::new(), times: Vec::new() }
}
