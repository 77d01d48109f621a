//! `labyrinth export`: a model for PyTorch, or a smaller model file.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use labyrinth_corpus::atomic::write_atomically;
use labyrinth_kernels::Precision;
use labyrinth_nn::ModelFile;
use labyrinth_nn::export::{program_for_torch, weights_for_torch};

use crate::failure::Failure;
use crate::{model, output, wording};

/// Arguments of `labyrinth export`.
#[derive(Args)]
#[command(after_help = "\
pytorch writes a folder with weights.safetensors, a state dict in PyTorch's own names, and
model.py, which builds the same network, loads it and prints text or logits; python model.py
--save W.pth makes a .pth of it. `labyrinth import` brings weights back.

Examples:
  labyrinth export runs/an4/model.safetensors -o an4-torch
  labyrinth export runs/an4/model.safetensors --format safetensors -o an4-weights.safetensors
  labyrinth export runs/an4/model.safetensors --format labyrinth --precision bf16 -o s.safetensors")]
pub struct Export {
    /// The model file that `labyrinth train` wrote, or `embedded`.
    model: PathBuf,
    /// The folder (pytorch) or the file to write.
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value = "pytorch")]
    format: Format,
    /// Of a labyrinth model: weights as f32, or rounded to bf16 in half the size.
    #[arg(long, value_name = "NAME", default_value_t = Precision::F32)]
    precision: Precision,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A folder with weights and the program that reads them.
    Pytorch,
    /// The weights alone, in PyTorch's names.
    Safetensors,
    /// A model file.
    Labyrinth,
}

impl Export {
    /// Writes and tells what.
    pub fn run(self) -> Result<ExitCode, Failure> {
        if self.precision == Precision::Bf16 && self.format != Format::Labyrinth {
            let sentence = "--precision bf16 is for --format labyrinth; in PyTorch, model.bfloat16() does the same";
            return Err(Failure::Sentence(sentence.into()));
        }
        let model = model::read(&self.model)?;
        let (header, mut network) = (model.header, model.network);
        match self.format {
            Format::Pytorch => {
                // Both or none.
                for name in ["weights.safetensors", "model.py"] {
                    output::refuse_to_replace(&self.out.join(name))?;
                }
                fs::create_dir_all(&self.out).map_err(Failure::write(&self.out))?;
                let program = program_for_torch(&header, &network)?;
                let weights = weights_for_torch(&network)?;
                self.write(&self.out.join("weights.safetensors"), &weights)?;
                let path = self.out.join("model.py");
                self.write(&path, program.as_bytes())?;
                output::text(format_args!(
                    "\nnext\n  labyrinth features FILE.wav --recipe RECIPE -o features --format npy\n  \
                     python {0} features/FILE.npy\n",
                    wording::shell(&path)
                ))?;
            }
            Format::Safetensors => self.write(&self.out, &weights_for_torch(&network)?)?,
            Format::Labyrinth => {
                let bytes = match self.precision {
                    Precision::Bf16 => ModelFile::to_bytes_bf16(&header, &mut network)?,
                    Precision::F32 => ModelFile::to_bytes(&header, &network)?,
                };
                self.write(&self.out, &bytes)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
        let same = |a: &Path, b: &Path| {
            fs::canonicalize(a).ok().is_some_and(|a| fs::canonicalize(b).ok() == Some(a))
        };
        if same(path, &self.model) {
            return Err(Failure::Sentence(format!(
                "{} is the model itself; name another place with -o",
                path.display()
            )));
        }
        output::refuse_to_replace(path)?;
        write_atomically(path, |file| file.write_all(bytes)).map_err(Failure::write(path))?;
        output::line(format_args!("{}: {}", path.display(), wording::bytes(bytes.len() as u64)))
    }
}
