//! Features of many recordings under one set of options, as raw numbers: what `bench/features`
//! compares with other programs.
//!
//! `extract OPTIONS.toml LIST OUT`: LIST names a recording a line; OUT gets for each the number of
//! frames and of values per frame (u32) and the values (f32), little-endian. Recordings are taken
//! as if they had the options' rate, and without dither.

use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::Path;

use labyrinth_signal::{FeatureExtractor, FeatureOptions, read_audio};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [options, list, out] = arguments.as_slice() else {
        return Err("usage: extract OPTIONS.toml LIST OUT".into());
    };
    let options: FeatureOptions = toml::from_str(&std::fs::read_to_string(options)?)?;
    let mut extractor = FeatureExtractor::new(&options)?;
    let mut out = BufWriter::new(std::fs::File::create(out)?);
    let mut features = Vec::new();
    for path in std::fs::read_to_string(list)?.lines() {
        features.clear();
        extractor.compute(&read_audio(Path::new(path), None)?.mono(), &mut features);
        let dim = extractor.dim();
        options.normalize.apply(&mut features, dim);
        for count in [features.len() / dim, dim] {
            out.write_all(&u32::try_from(count)?.to_le_bytes())?;
        }
        for value in &features {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(out.flush()?)
}
