//! The bench as a child process: commands on standard input, answers on standard output.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::case::{Case, Failure, Tensor};

/// Rounds whose loss is written for the peer.
const LOSSES: usize = 5;

/// `VmRSS` or `VmHWM` of this process in KiB, where the system tells it.
pub fn resident_kilobytes(what: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(what))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Answers `go COUNT` with the milliseconds of one of COUNT rounds, and `memory` with the peak above
/// the idle process in KiB, until `quit` or the end of the input. Begins with the operations of a
/// round's products.
pub fn serve(case: &mut dyn Case, idle: Option<u64>) -> Result<(), Failure> {
    let mut answer = std::io::stdout();
    writeln!(answer, "ready {}", case.flop())?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split_once(' ').unwrap_or((line.as_str(), "")) {
            ("go", count) => {
                let count: usize = count.parse()?;
                let start = Instant::now();
                for _ in 0..count {
                    case.round()?;
                }
                writeln!(answer, "{}", start.elapsed().as_secs_f64() * 1e3 / count as f64)?;
            }
            ("memory", _) => {
                let above = resident_kilobytes("VmHWM").zip(idle).map(|(peak, idle)| peak - idle);
                writeln!(answer, "{}", above.unwrap_or(0))?;
            }
            ("quit", _) => break,
            _ => return Err(format!("'{line}' is no command: go COUNT, memory or quit").into()),
        }
        answer.flush()?;
    }
    Ok(())
}

/// Writes what a peer needs to check the first rounds: `input.*` and `weight.*` before the first,
/// `output.*` and `gradient.*` behind it, `loss` of the first five.
pub fn write(case: &mut dyn Case, path: &Path) -> Result<(), Failure> {
    let mut tensors = case.given();
    let mut losses = vec![case.round()? as f32];
    tensors.extend(case.results());
    for _ in 1..LOSSES {
        losses.push(case.round()? as f32);
    }
    tensors.push(Tensor { name: "loss".into(), shape: vec![LOSSES], values: losses });
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|tensor| tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let mut views = HashMap::new();
    for (tensor, bytes) in tensors.iter().zip(&bytes) {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes)?;
        views.insert(tensor.name.clone(), view);
    }
    safetensors::serialize_to_file(views, None, path)?;
    Ok(())
}
