//! The book and the source know each other: lists of formulas name tests, source files name chapters and chapters
//! the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders and files of the crates below that name no chapter, and why. A path stands for all below it.
const WITHOUT_A_CHAPTER: &[(&str, &str)] = &[
    // signal: bytes of files to samples and back.
    ("signal/src/audio.rs", "chooses a reader"),
    ("signal/src/flac", "a file format; its derivation stands there"),
    ("signal/src/foreign.rs", "calls another crate's decoders"),
    ("signal/src/formats", "file formats"),
    ("signal/src/mp3.rs", "a file format"),
    ("signal/src/mp4.rs", "a file format"),
    ("signal/src/ogg.rs", "a file format"),
    ("signal/src/opus.rs", "a file format"),
    ("signal/src/source.rs", "reads bytes"),
    ("signal/src/sphere.rs", "a file format"),
    ("signal/src/wav.rs", "a file format"),
    // signal: options, and what stands around the computing.
    ("signal/src/feature_options.rs", "options and their refusals"),
    ("signal/src/presets.rs", "options"),
    ("signal/src/augment/mod.rs", "what the methods share: probabilities and ranges"),
    ("signal/src/stages/mod.rs", "one stage behind another"),
    ("signal/src/stages/context.rs", "hands out neighbours, computes nothing"),
    ("signal/src/stages/frame_buffer.rs", "keeps frames, computes nothing"),
    ("signal/src/stages/options.rs", "options"),
    ("signal/src/stages/source.rs", "reads statistics"),
    // signal: what the book leaves out, and says so in its introduction.
    ("signal/src/pitch", "pitch has no chapter; derived in its files"),
    ("signal/src/vad", "voice activity has no chapter; derived in its files"),
    // kernels and nn: helpers.
    ("kernels/src/error.rs", "refusals"),
    ("kernels/src/real.rs", "the two number types"),
    ("kernels/src/scratch.rs", "memory"),
    ("kernels/src/testing.rs", "for tests"),
    ("kernels/src/convolution/picture.rs", "copies a piece of the input"),
    ("kernels/src/convolution/words.rs", "lays numbers out"),
    ("nn/src/architecture/mod.rs", "a list of architectures"),
    ("nn/src/error.rs", "refusals"),
    ("nn/src/export", "writes programs for PyTorch"),
    ("nn/src/foreign.rs", "reads tensors"),
    ("nn/src/layer.rs", "the trait"),
    ("nn/src/layers/mod.rs", "a list of layers"),
    ("nn/src/model_file.rs", "a file format"),
    ("nn/src/network.rs", "puts an architecture and its weights together"),
    ("nn/src/parameters.rs", "names of weights"),
    ("nn/src/pth", "a file format"),
    ("nn/src/shape.rs", "a shape"),
    ("nn/src/table.rs", "prints a table"),
];

const BOOK_LINE: &str = "//! Book: book/src/";

fn book() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file of the crates, by its path from `crates/`.
fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    let crates = book().join("../crates").canonicalize().unwrap();
    let mut found = Vec::new();
    for folder in fs::read_dir(&crates).unwrap() {
        let folder = folder.unwrap().path().join("src");
        if folder.is_dir() {
            walk(&folder, &mut found);
        }
    }
    let name = |path: &PathBuf| {
        let parts = path.strip_prefix(&crates).unwrap().components();
        let parts: Vec<_> = parts.map(|part| part.as_os_str().to_str().unwrap()).collect();
        parts.join("/")
    };
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The chapters that a file's head names.
fn chapters_of(text: &str) -> Vec<&str> {
    let head = text.lines().take_while(|line| line.starts_with("//!"));
    head.filter_map(|line| line.strip_prefix(BOOK_LINE)).collect()
}

/// Whether the path stands in the list, or lies below one that does.
fn stands_for(listed: &str, path: &str) -> bool {
    path.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[test]
fn every_formula_in_the_list_has_its_test_and_every_test_its_formula() {
    let list = fs::read_to_string(book().join("src/formulas.md")).unwrap();
    let listed: BTreeSet<String> = list
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::"))
        .map(ToOwned::to_owned)
        .collect();
    let mut written = BTreeSet::new();
    for entry in fs::read_dir(book().join("tests/formulas")).unwrap() {
        let path = entry.unwrap().path();
        let chapter = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if chapter == "main" || chapter == "listed" {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for test in text.split("#[test]\nfn ").skip(1) {
            let name = test.split('(').next().unwrap();
            written.insert(format!("{chapter}::{name}"));
        }
    }
    assert_eq!(listed, written);
}

#[test]
fn a_file_that_names_a_chapter_is_named_by_it() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        // A line that the head does not hold, or that is written otherwise, would be overlooked.
        let lines = text.lines().filter(|line| line.contains("Book: book/")).count();
        if lines != chapters_of(&text).len() {
            faults.push(format!("{path}: `{BOOK_LINE}CHAPTER.md` belongs into the file's head"));
        }
        for chapter in chapters_of(&text) {
            match fs::read_to_string(book().join("src").join(chapter)) {
                Err(_) => faults.push(format!("{path} names {chapter}, which does not exist")),
                Ok(page) if !page.contains(&format!("](../../crates/{path})")) => {
                    faults.push(format!("{chapter} does not link to {path}, which names it"));
                }
                Ok(_) => {}
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_file_that_computes_names_its_chapter() {
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for (path, text) in sources() {
        let computing = ["signal/", "kernels/", "nn/", "decode/"];
        let file = path.rsplit('/').next().unwrap();
        if !computing.iter().any(|name| path.starts_with(name))
            || ["lib.rs", "tests.rs"].contains(&file)
        {
            continue;
        }
        let named = !chapters_of(&text).is_empty();
        let listed: Vec<&str> = WITHOUT_A_CHAPTER
            .iter()
            .map(|(listed, _)| *listed)
            .filter(|listed| stands_for(listed, &path))
            .collect();
        used.extend(listed.iter().copied());
        match (named, listed.is_empty()) {
            (true, true) | (false, false) => {}
            (true, false) => faults.push(format!("{path} names a chapter: take it off the list")),
            (false, true) => faults.push(format!("{path} names no chapter and is not listed")),
        }
    }
    for (listed, reason) in WITHOUT_A_CHAPTER {
        if !used.contains(listed) || reason.is_empty() {
            faults.push(format!("{listed} is listed and does not exist, or without a reason"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
