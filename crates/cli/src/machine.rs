//! What this machine has, and the options by which a user says how much of it to use.

use std::num::NonZero;
use std::thread::available_parallelism;

use clap::Args;
pub use labyrinth_kernels::cpu_name;
use labyrinth_kernels::{Cpu, Isa, Precision};

use crate::failure::Failure;

/// Threads of a kind that are started at most: far beyond any machine that this program meets, and far
/// below what a slip of the finger asks for.
const MOST_THREADS: u16 = 1024;

/// Reads a number of threads.
fn threads(text: &str) -> Result<NonZero<u16>, String> {
    let number = text.parse().ok().and_then(NonZero::new);
    number
        .filter(|number| number.get() <= MOST_THREADS)
        .ok_or_else(|| format!("name a whole number of threads from 1 to {MOST_THREADS}"))
}

/// The choice of instruction set.
#[derive(Args, Clone, Copy)]
pub struct IsaOption {
    /// Computes with portable, avx2 or avx512 instead of the best there is.
    #[arg(long, value_name = "SET")]
    isa: Option<Isa>,
}

impl IsaOption {
    /// The instruction set asked for, or the best one.
    pub fn cpu(self) -> Result<Cpu, Failure> {
        Ok(self.isa.map_or_else(|| Ok(Cpu::detect()), Cpu::with)?)
    }
}

/// The choice of precision, for commands that have no recipe to say it.
#[derive(Args, Clone, Copy)]
pub struct PrecisionOption {
    /// Multiplies in f32, or coarser and faster in bf16.
    #[arg(long, value_name = "NAME", default_value_t = Precision::F32)]
    precision: Precision,
}

impl PrecisionOption {
    /// The instruction set that `isa` asks for, in this precision.
    pub fn cpu(self, isa: IsaOption) -> Result<Cpu, Failure> {
        Ok(isa.cpu()?.with_precision(self.precision)?)
    }
}

/// The choice of threads that compute.
#[derive(Args, Clone, Copy)]
pub struct ThreadsOption {
    /// Computes on this many threads, not on all cores; results are the same.
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZero<u16>>,
}

impl ThreadsOption {
    /// Threads asked for, or one for each core.
    pub fn count(self) -> usize {
        self.threads.map_or_else(cores, |threads| usize::from(threads.get()))
    }

    /// The threads themselves.
    pub fn pool(self) -> Result<rayon::ThreadPool, Failure> {
        pool(self.count())
    }
}

/// So many threads that compute.
pub fn pool(threads: usize) -> Result<rayon::ThreadPool, Failure> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| Failure::Threads { threads, reason: error.to_string() })
}

/// The choice of threads that read, decode and compute features.
#[derive(Args, Clone, Copy)]
pub struct WorkersOption {
    /// Loads on this many threads more; results are the same.
    #[arg(long, value_name = "N", default_value = "1", value_parser = threads)]
    workers: NonZero<u16>,
}

impl WorkersOption {
    /// How many.
    pub fn count(self) -> usize {
        usize::from(self.workers.get())
    }
}

/// Threads that this process can run at once.
pub fn cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// Bytes of memory: (in all, available now), where the system tells.
pub fn memory() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some((bytes("MemTotal")?, bytes("MemAvailable")?))
}
