//! `labyrinth doctor`: what this machine has, what the program uses of it, and how fast that is.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use labyrinth_kernels::{Cpu, KernelError, Matrix, Precision, matmul};
use serde_json::json;

use crate::failure::Failure;
use crate::{machine, output, wording};

/// Rows and columns of the matrices whose product is timed: large enough to keep every thread busy
/// and not to fit into the nearest caches.
const SIZE: usize = 768;
/// How long each product is repeated; the fastest counts, since others can only slow it down.
const PATIENCE: Duration = Duration::from_millis(200);

/// The speed of large products on one instruction set and in one precision, in multiplications and
/// additions per second.
struct Speed {
    cpu: Cpu,
    one_thread: f64,
    all_threads: f64,
}

impl Speed {
    fn measure(cpu: Cpu, threads: usize) -> Result<Self, Failure> {
        let on = |threads: usize| -> Result<f64, Failure> {
            Ok(machine::pool(threads)?.install(|| fastest_product(cpu))?)
        };
        Ok(Self { cpu, one_thread: on(1)?, all_threads: on(threads)? })
    }
}

/// Floating-point operations per second of the fastest of several products.
fn fastest_product(cpu: Cpu) -> Result<f64, KernelError> {
    let a: Vec<f32> = (0..SIZE * SIZE).map(|index| (index % 7) as f32 - 3.0).collect();
    let mut c = vec![0f32; SIZE * SIZE];
    let matrix = Matrix::rows(&a, SIZE, SIZE);
    let (begin, mut fastest) = (Instant::now(), f64::INFINITY);
    while begin.elapsed() < PATIENCE {
        let start = Instant::now();
        matmul(cpu, matrix, matrix, &mut c, SIZE, false)?;
        fastest = fastest.min(start.elapsed().as_secs_f64());
    }
    Ok(2.0 * (SIZE as f64).powi(3) / fastest)
}

/// Arguments of `labyrinth doctor`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  labyrinth doctor
  labyrinth doctor --json")]
pub struct Doctor {
    /// Prints one object of JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Prints the report.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let available: Vec<String> = Cpu::available().iter().map(ToString::to_string).collect();
        let used = Cpu::detect().isa().to_string();
        let memory = machine::memory();
        let cores = machine::cores();
        let mut cpus =
            Cpu::available().into_iter().map(Cpu::with).collect::<Result<Vec<_>, _>>()?;
        if Cpu::has_native_bf16() {
            cpus.push(Cpu::detect().with_precision(Precision::Bf16)?);
        }
        let speeds = cpus
            .into_iter()
            .map(|cpu| Speed::measure(cpu, cores))
            .collect::<Result<Vec<_>, _>>()?;
        if self.json {
            let speed = |speed: &Speed| {
                let gflops =
                    [speed.one_thread, speed.all_threads].map(|speed| (speed / 1e8).round() / 10.0);
                json!({
                    "instruction_set": speed.cpu.isa().to_string(),
                    "precision": speed.cpu.precision().to_string(),
                    "one_thread_gflops": gflops[0],
                    "all_threads_gflops": gflops[1],
                })
            };
            let products: Vec<_> = speeds.iter().map(speed).collect();
            output::json(&json!({
                "version": env!("CARGO_PKG_VERSION"),
                "system": std::env::consts::OS,
                "architecture": std::env::consts::ARCH,
                "cpu": machine::cpu_name(),
                "cores": cores,
                "memory_bytes": memory.map(|(all, _)| all),
                "memory_available_bytes": memory.map(|(_, available)| available),
                "instruction_sets": available,
                "instruction_set": used,
                "product_size": SIZE,
                "products": products,
                "native_bf16": Cpu::has_native_bf16(),
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let gibibytes = |bytes: u64| format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64);
        let memory = memory.map_or_else(
            || "unknown".to_owned(),
            |(all, available)| format!("{}, {} available", gibibytes(all), gibibytes(available)),
        );
        let line = |speed: &Speed| {
            format!(
                "                  {:<15} {:>10.0} {:>10.0}\n",
                speed.cpu.to_string(),
                speed.one_thread / 1e9,
                speed.all_threads / 1e9
            )
        };
        let bf16 = match Cpu::has_native_bf16() {
            true => {
                "native (AVX512-BF16), for precision = \"bf16\" in [train] and for --precision bf16"
            }
            false => "no instructions for it, f32 is faster",
        };
        output::text(format_args!(
            "\
program           labyrinth {}
system            {} on {}
cpu               {}
cores             {} (training uses all of them; --threads N for fewer)
memory            {memory}
instruction sets  {}
in use            {used} (--isa for another)
bf16              {bf16}
measured          products of {SIZE} × {SIZE} matrices, billions of operations a second
                  {:<15} {:>10} {:>10}
{}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH,
            machine::cpu_name(),
            cores,
            available.join(", "),
            "",
            "1 thread",
            wording::count(cores, "thread"),
            speeds.iter().map(line).collect::<String>(),
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
