//! A model's logits for features in `.npy` files, as `.npy`: what `bench/export/check.py` compares.
//!
//! ```sh
//! cargo run --release -p labyrinth-decode --example logits -- MODEL OUT-FOLDER FEATURES.npy…
//! ```

use std::path::{Path, PathBuf};

use labyrinth_kernels::Cpu;
use labyrinth_nn::{Memory, Mode, ModelFile};
use labyrinth_signal::{Array, Values, read_npy, write_npy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [model, out, files @ ..] = &arguments[..] else {
        return Err("name a model, a folder for the logits, and features".into());
    };
    let network = ModelFile::read(model)?.network;
    std::fs::create_dir_all(out)?;
    let mut memory = Memory::new();
    for file in files {
        let features = read_npy(file)?;
        let (&[frames, _], Values::F32(values)) = (features.shape(), features.values()) else {
            return Err(format!("{} holds no [frames, values] of f32", file.display()).into());
        };
        network.forward(Cpu::detect(), Mode::Inference, values, &[frames], &mut memory)?;
        let frames = memory.output_shape().map_or(0, |shape| shape.rows());
        let logits = Array::from_f32(frames, network.labels(), memory.output().to_vec());
        write_npy(&out.join(Path::new(file.file_name().unwrap_or_default())), &logits)?;
    }
    Ok(())
}
