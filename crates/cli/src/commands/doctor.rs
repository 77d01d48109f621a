//! `labyrinth doctor`: what this machine has, and what the program uses of it.

use std::process::ExitCode;

use clap::Args;
use labyrinth_kernels::Cpu;
use serde_json::json;

use crate::failure::Failure;
use crate::{machine, output};

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
        if self.json {
            output::json(&json!({
                "version": env!("CARGO_PKG_VERSION"),
                "system": std::env::consts::OS,
                "architecture": std::env::consts::ARCH,
                "cpu": machine::cpu_name(),
                "cores": machine::cores(),
                "memory_bytes": memory.map(|(all, _)| all),
                "memory_available_bytes": memory.map(|(_, available)| available),
                "instruction_sets": available,
                "instruction_set": used,
                "native_bf16": Cpu::has_native_bf16(),
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let gibibytes = |bytes: u64| format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64);
        let memory = memory.map_or_else(
            || "unknown".to_owned(),
            |(all, available)| format!("{}, {} available", gibibytes(all), gibibytes(available)),
        );
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
",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::OS,
            std::env::consts::ARCH,
            machine::cpu_name(),
            machine::cores(),
            available.join(", "),
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}
