//! What a network costs fed piece by piece, beside the whole recording at once, on one thread.
//!
//! `cargo run --release -p labyrinth-nn --example stream_speed -- MODEL [rounds]`
//!
//! Ten seconds of features without meaning: how fast a network is does not depend on them. All sizes of a piece
//! take turns in each round, so that a disturbance meets all of them; a stream is made anew each time, as for
//! each recording.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use labyrinth_kernels::Cpu;
use labyrinth_nn::{Memory, Mode, ModelFile, NetworkStream};

/// Frames of a recording of ten seconds.
const FRAMES: usize = 1000;
/// Frames in a piece: of 20 ms, of 100 ms, of a second.
const PIECES: [usize; 3] = [2, 10, 100];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("a model file is wanted")?;
    let rounds: usize = arguments.next().map_or(Ok(15), |rounds| rounds.parse())?;
    let network = ModelFile::read(Path::new(&path))?.network;
    let cpu = Cpu::detect();
    let mut state = 1u64;
    let features: Vec<f32> = (0..FRAMES * network.dim())
        .map(|_| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    let mut whole = Memory::new();
    let mut times = vec![Vec::new(); PIECES.len() + 1];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| -> Result<(), Box<dyn Error + Send + Sync>> {
        for _ in 0..rounds {
            let start = Instant::now();
            network.forward(cpu, Mode::Inference, &features, &[FRAMES], &mut whole)?;
            times[0].push(start.elapsed().as_secs_f64());
            for (piece, times) in PIECES.iter().zip(&mut times[1..]) {
                let start = Instant::now();
                let mut stream = NetworkStream::new(&network)?;
                let mut logits = Vec::new(); // [frames, labels]
                for piece in features.chunks(piece * network.dim()) {
                    stream.push(&network, cpu, piece, &mut logits)?;
                }
                stream.finish(&network, cpu, &mut logits)?;
                times.push(start.elapsed().as_secs_f64());
                assert_eq!(logits, whole.output(), "a stream's logits are those of the whole");
            }
        }
        Ok(())
    })
    .map_err(|error| error.to_string())?;
    println!("{} weights, {FRAMES} frames, {rounds} rounds, {cpu}", network.parameters.len());
    let names = PIECES.map(|piece| format!("pieces of {piece} frames"));
    let names = std::iter::once("whole".to_owned()).chain(names);
    let offline = times[0].iter().copied().fold(f64::INFINITY, f64::min);
    for (name, mut times) in names.zip(times) {
        times.sort_by(f64::total_cmp);
        let (least, median) = (times[0], times[times.len() / 2]);
        println!(
            "{name:22} least {:7.2} ms   median {:7.2} ms   {:5.2} × the whole",
            1e3 * least,
            1e3 * median,
            least / offline
        );
    }
    Ok(())
}
