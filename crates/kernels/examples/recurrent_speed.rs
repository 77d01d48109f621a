//! Where the time of a bidirectional recurrent layer goes, beside what a large product reaches.
//!
//! `cargo run --release -p labyrinth-kernels --example recurrent_speed -- [rounds] [isa]`, in f32 and,
//! where the machine has it, in bf16.
//!
//! One layer of model M1: 16 utterances of 100 frames, input 512, hidden 256, two directions on two
//! threads. Every row is timed in turn in each round, so that a disturbance meets all of them.

use std::error::Error;
use std::time::Instant;

use labyrinth_kernels::gru::{Gru, GruVariant};
use labyrinth_kernels::{Cpu, KernelError, Matrix, PackedMatrix, Precision, matmul, matmul_packed};
use labyrinth_kernels::{RecurrentGradients, RecurrentWeights};

const INPUT: usize = 512;
const HIDDEN: usize = 256;
const BATCH: usize = 16;
const FRAMES: usize = 100;
const ROWS: usize = BATCH * FRAMES;

/// Numbers in [-1, 1) · scale (SplitMix64).
fn noise(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) as f64 / (1u64 << 63) as f64 - 1.0) as f32 * scale
        })
        .collect()
}

type Job<'a> = Box<dyn FnMut() -> Result<(), KernelError> + Send + 'a>;

/// One line of the table: a name, multiplications and additions, the work, and its times so far.
struct Row<'a> {
    name: String,
    flop: f64,
    job: Job<'a>,
    seconds: Vec<f64>,
}

fn row<'a>(
    name: &str,
    flop: f64,
    job: impl FnMut() -> Result<(), KernelError> + Send + 'a,
) -> Row<'a> {
    Row { name: name.to_owned(), flop, job: Box::new(job), seconds: Vec::new() }
}

/// A product of these sizes with its own operands; `a_columns`: A is stored transposed.
fn product<'a>(cpu: Cpu, name: &str, m: usize, k: usize, n: usize, a_columns: bool) -> Row<'a> {
    let (a, b) = (noise(1, m * k, 1.0), noise(2, k * n, 1.0));
    let mut c = vec![0f32; m * n];
    row(&format!("{name} [{m}×{k}]·[{k}×{n}]"), 2.0 * (m * n * k) as f64, move || {
        let a =
            if a_columns { Matrix::rows(&a, k, m).transposed() } else { Matrix::rows(&a, m, k) };
        matmul(cpu, a, Matrix::rows(&b, k, n), &mut c, n, false)
    })
}

/// The product of one step, repeated for all steps, with weights packed once.
fn recurrence<'a>(cpu: Cpu, k: usize, n: usize) -> Row<'a> {
    let (a, b) = (noise(1, BATCH * k, 1.0), noise(2, k * n, 1.0));
    let mut c = vec![0f32; BATCH * n];
    let name = format!("recurrence {FRAMES} × [{BATCH}×{k}]·[{k}×{n}] packed");
    row(&name, 2.0 * (FRAMES * BATCH * n * k) as f64, move || {
        let b = PackedMatrix::pack(cpu, Matrix::rows(&b, k, n))?;
        (0..FRAMES)
            .try_for_each(|_| matmul_packed(cpu, Matrix::rows(&a, BATCH, k), &b, &mut c, n, false))
    })
}

struct Direction {
    gru: Gru,
    w_ih: Vec<f32>,
    w_hh: Vec<f32>,
    bias: Vec<f32>,
    y: Vec<f32>,
    saved: Vec<f32>,
    dx: Vec<f32>,
    gradients: [Vec<f32>; 4],
}

impl Direction {
    fn new(reverse: bool) -> Self {
        let gru = Gru { input: INPUT, hidden: HIDDEN, reverse, variant: GruVariant::ResetAfter };
        let gates = 3 * HIDDEN;
        let sizes = [gates * INPUT, gates * HIDDEN, gates, gates];
        Self {
            gru,
            w_ih: noise(3, sizes[0], 1.0 / 16.0),
            w_hh: noise(4, sizes[1], 1.0 / 16.0),
            bias: noise(5, gates, 1.0 / 16.0),
            y: vec![0.0; ROWS * HIDDEN],
            saved: vec![0.0; gru.saved_len(ROWS)],
            dx: vec![0.0; ROWS * INPUT],
            gradients: sizes.map(|size| vec![0.0; size]),
        }
    }

    fn forward(&mut self, cpu: Cpu, x: &[f32], lengths: &[usize]) -> Result<(), KernelError> {
        let weights = RecurrentWeights {
            w_ih: &self.w_ih,
            w_hh: &self.w_hh,
            b_ih: &self.bias,
            b_hh: &self.bias,
        };
        let (y, saved) = (&mut self.y, &mut self.saved);
        self.gru.forward(cpu, x, lengths, weights, None, y, saved, None)
    }

    fn backward(
        &mut self,
        cpu: Cpu,
        x: &[f32],
        lengths: &[usize],
        dy: &[f32],
    ) -> Result<(), KernelError> {
        let weights = RecurrentWeights {
            w_ih: &self.w_ih,
            w_hh: &self.w_hh,
            b_ih: &self.bias,
            b_hh: &self.bias,
        };
        let [w_ih, w_hh, b_ih, b_hh] = &mut self.gradients;
        let gradients = RecurrentGradients { w_ih, w_hh, b_ih, b_hh };
        let (y, saved, dx) = (&self.y, &self.saved, &mut self.dx);
        self.gru.backward(cpu, x, lengths, weights, None, y, saved, dy, dx, gradients, None)
    }
}

/// One direction alone, on the threads that the pool has.
fn alone<'a>(cpu: Cpu, x: &'a [f32], dy: &'a [f32], lengths: &'a [usize], back: bool) -> Row<'a> {
    let mut direction = Direction::new(false);
    let flop = 2.0 * (ROWS * 3 * HIDDEN * (INPUT + HIDDEN)) as f64 * if back { 2.0 } else { 1.0 };
    direction.forward(cpu, x, lengths).expect("sizes fit");
    row(if back { "one direction backward" } else { "one direction forward" }, flop, move || {
        match back {
            false => direction.forward(cpu, x, lengths),
            true => direction.backward(cpu, x, lengths, dy),
        }
    })
}

fn both<'a>(cpu: Cpu, x: &'a [f32], dy: &'a [f32], lengths: &'a [usize], back: bool) -> Row<'a> {
    let mut directions = [Direction::new(false), Direction::new(true)];
    let flop = 4.0 * (ROWS * 3 * HIDDEN * (INPUT + HIDDEN)) as f64 * if back { 2.0 } else { 1.0 };
    for direction in &mut directions {
        direction.forward(cpu, x, lengths).expect("sizes fit");
    }
    row(if back { "layer backward" } else { "layer forward" }, flop, {
        move || {
            let [left, right] = &mut directions;
            let run = |direction: &mut Direction| match back {
                false => direction.forward(cpu, x, lengths),
                true => direction.backward(cpu, x, lengths, dy),
            };
            let (left, right) = rayon::join(|| run(left), || run(right));
            left.and(right)
        }
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rounds: usize = arguments.next().map_or(Ok(15), |text| text.parse())?;
    let cpu = match arguments.next() {
        Some(isa) => Cpu::with(isa.parse()?)?,
        None => Cpu::detect(),
    };
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let (one, two) = (pool(1)?, pool(2)?);
    let (x, dy) = (noise(7, ROWS * INPUT, 1.0), noise(8, ROWS * HIDDEN, 0.01));
    let lengths = [FRAMES; BATCH];
    let gates = 3 * HIDDEN;
    let products = |cpu| {
        vec![
            product(cpu, "large", 1024, 1024, 1024, false),
            product(cpu, "input", ROWS, INPUT, gates, false),
            product(cpu, "dx", ROWS, gates, INPUT, false),
            product(cpu, "dW_ih", gates, ROWS, INPUT, true),
            product(cpu, "dW_hh", gates, ROWS, HIDDEN, true),
        ]
    };
    let (mut single, mut double) = (Vec::new(), Vec::new());
    let precisions = [Precision::F32, Precision::Bf16];
    for cpu in precisions.into_iter().filter_map(|precision| cpu.with_precision(precision).ok()) {
        let (first, first_double) = (single.len(), double.len());
        single.extend(products(cpu));
        single.push(recurrence(cpu, HIDDEN, gates));
        single.push(recurrence(cpu, gates, HIDDEN));
        single.push(alone(cpu, &x, &dy, &lengths, false));
        single.push(alone(cpu, &x, &dy, &lengths, true));
        double.extend(products(cpu));
        double.push(both(cpu, &x, &dy, &lengths, false));
        double.push(both(cpu, &x, &dy, &lengths, true));
        for row in single[first..].iter_mut().chain(&mut double[first_double..]) {
            row.name = format!("{:4} {}", cpu.precision(), row.name);
        }
    }
    for _ in 0..rounds {
        for (pool, rows) in [(&one, &mut single), (&two, &mut double)] {
            for row in rows.iter_mut() {
                let (job, seconds) = (&mut row.job, &mut row.seconds);
                pool.install(|| -> Result<(), KernelError> {
                    let start = Instant::now();
                    job()?;
                    seconds.push(start.elapsed().as_secs_f64());
                    Ok(())
                })?;
            }
        }
    }
    println!("{}, {rounds} rounds: least and median time, GFLOP/s at the least", cpu.isa());
    for (threads, rows) in [(1, &mut single), (2, &mut double)] {
        for Row { name, flop, seconds, .. } in rows {
            seconds.sort_by(f64::total_cmp);
            let (least, median) = (seconds[0], seconds[rounds / 2]);
            let rate = *flop / least / 1e9;
            println!(
                "{threads} | {:8.3} ms {:8.3} ms {rate:6.1} | {name}",
                least * 1e3,
                median * 1e3
            );
        }
    }
    Ok(())
}
