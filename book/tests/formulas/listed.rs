//! The book's list of formulas names tests that exist, and every test here is in the list.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_formula_in_the_list_has_its_test_and_every_test_its_formula() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(book.join("src/formulas.md")).unwrap();
    let listed: BTreeSet<String> = list
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::"))
        .map(ToOwned::to_owned)
        .collect();
    let mut written = BTreeSet::new();
    for entry in fs::read_dir(book.join("tests/formulas")).unwrap() {
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
