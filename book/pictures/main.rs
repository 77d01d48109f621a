//! Draws the pictures of the book from the crates' own output on real speech.
//!
//! `cargo run --release -p labyrinth-book --bin pictures -- --manifest data/an4/test.jsonl [--model FILE] [NAME…]`
//!
//! The recordings are AN4's (`labyrinth prepare an4`). A picture that shows a model needs `--model`, and is left
//! as it is without one: recipes/an4.toml's; for alignment an4-phonemes.toml's, for decoding an4-causal.toml's.

mod alignment;
mod cepstrum;
mod convolution;
mod ctc;
mod decoding;
mod exact;
mod fast;
mod frames;
mod mel;
mod plot;
mod recurrent;
mod sampling;
mod spectrum;
mod speech;
mod training;
mod transfer;
mod wer;

use speech::Speech;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Draws one chapter's pictures: (file name without ending, SVG).
type Draw = fn(&Speech) -> Result<Vec<(&'static str, String)>, String>;

/// Chapter, and what draws its pictures.
const CHAPTERS: &[(&str, Draw)] = &[
    ("sampling", sampling::draw),
    ("frames", frames::draw),
    ("spectrum", spectrum::draw),
    ("mel", mel::draw),
    ("cepstrum", cepstrum::draw),
    ("convolution", convolution::draw),
    ("recurrent", recurrent::draw),
    ("transfer", transfer::draw),
    ("ctc", ctc::draw),
    ("alignment", alignment::draw),
    ("training", training::draw),
    ("decoding", decoding::draw),
    ("wer", wer::draw),
    ("fast", fast::draw),
    ("exact", exact::draw),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let (mut manifest, mut model, mut names) = (None, None, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--manifest" => manifest = arguments.next().map(PathBuf::from),
            "--model" => model = arguments.next().map(PathBuf::from),
            name if CHAPTERS.iter().any(|(chapter, _)| *chapter == name) => {
                names.push(argument);
            }
            other => return Err(format!("{other} is neither --manifest, --model nor a chapter")),
        }
    }
    let manifest =
        manifest.ok_or("--manifest FILE is missing: the pictures show AN4's test set")?;
    let speech = Speech::open(&manifest, model.as_deref())?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pictures");
    for (chapter, draw) in CHAPTERS {
        if names.is_empty() || names.iter().any(|name| name == chapter) {
            for (name, svg) in draw(&speech)? {
                let file = folder.join(format!("{name}.svg"));
                std::fs::write(&file, svg).map_err(|e| format!("{}: {e}", file.display()))?;
                println!("{name}.svg");
            }
        }
    }
    Ok(())
}
