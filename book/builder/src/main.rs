//! Builds the book into docs/book: formulas become MathML, pages come from mdBook, every link is checked.
//!
//! `cargo run --release --manifest-path book/builder/Cargo.toml`, from the repository's root. The pages ask
//! no network for anything: MathML needs neither scripts nor fonts of its own.

mod formulas;
mod links;
mod outside;

use anyhow::{Context, Result, ensure};
use mdbook_driver::MDBook;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut built = MDBook::load(&book).context("book/book.toml cannot be read")?;
    built.with_preprocessor(formulas::Formulas);
    built.with_preprocessor(outside::Outside);
    built.build()?;
    let pages = book.join(built.build_dir_for("html"));
    let broken = links::broken(&pages)?;
    for sentence in &broken {
        eprintln!("{sentence}");
    }
    ensure!(broken.is_empty(), "{} links of the book lead nowhere", broken.len());
    Ok(())
}
