//! `sessions.jsonl` of a run directory: which processes worked on it, on what, for how long.
//!
//! It stands apart from the log, which is the same however often a training was interrupted.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use labyrinth_kernels::{Cpu, cpu_name};
use serde_json::{Value, json};

use crate::error::TrainError;

/// Notes that a process begins at `step`.
pub(crate) fn began(run: &Path, cpu: Cpu, workers: usize, step: u64) -> Result<(), TrainError> {
    append(
        run,
        &json!({
            "event": "began", "step": step, "cpu": cpu_name(), "instruction-set": cpu.to_string(),
            "threads": rayon::current_num_threads(), "workers": workers,
            "version": env!("CARGO_PKG_VERSION"),
        }),
    )
}

/// Notes that what it did up to `step` is saved: should it be killed, this was its share of the training.
pub(crate) fn saved(run: &Path, step: u64, seconds: f64) -> Result<(), TrainError> {
    let event = "saved";
    append(
        run,
        &json!({ "event": event, "step": step, "seconds": seconds, "peak-memory": peak_memory() }),
    )
}

/// Notes that it has come to the end of the training; a process that was killed notes nothing.
pub(crate) fn ended(run: &Path, step: u64, seconds: f64, waited: f64) -> Result<(), TrainError> {
    append(
        run,
        &json!({
            "event": "ended", "step": step, "seconds": seconds, "waited": waited,
            "peak-memory": peak_memory(),
        }),
    )
}

/// Most bytes of memory that this process has held, where the system tells (Linux).
pub fn peak_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn append(run: &Path, line: &Value) -> Result<(), TrainError> {
    let path = run.join("sessions.jsonl");
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.map_err(TrainError::write(&path))
}
