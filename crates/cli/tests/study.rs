//! `labyrinth study`: a queue of trainings that is stopped, gone on with, and changed half-way.

mod common;

use common::{Sandbox, corpus};

const STUDY: &str = r#"
title = "Frames"
question = "Does the shift matter?"
recipe = "data/tones.toml"
evaluate = "data/test.jsonl"
seeds = [1, 2]
set = ["train.epochs=1"]

[[cells]]
name = "25/10"

[[cells]]
name = "50/20"
set = ["features.frame-length=50", "features.frame-shift=20"]
"#;

#[test]
fn a_study_gives_a_table_a_picture_and_a_log() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.write("frames.toml", STUDY);
    sandbox.write("project/README.md", "mine");
    sandbox.refuses(&["study", "frames.toml", "-o", "project"], "project/README.md");
    let ran = sandbox.run(&["study", "frames.toml", "-o", "out"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("4 trainings, 0 done, 0 begun, 4 waiting"), "{}", ran.stdout);
    let table = sandbox.read_text("out/README.md");
    assert!(table.contains("# Frames") && table.contains("| 50/20 |"), "{table}");
    let picture = sandbox.read_text("out/picture.svg");
    assert_eq!(picture.matches("class=\"seed\"").count(), 4, "{picture}");
    let log = sandbox.read_text("out/runs.jsonl");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert!(lines.iter().all(|line| line["parameters"].as_u64().unwrap() > 100));
    // Again: nothing is trained, the same is written.
    let ran = sandbox.run(&["study", "frames.toml", "-o", "out"]);
    assert!(ran.stdout.contains("4 done") && !ran.stdout.contains("epoch"), "{}", ran.stdout);
    assert_eq!(sandbox.read_text("out/README.md"), table);
}

#[test]
fn what_was_begun_goes_on_to_the_same_figures() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.write("frames.toml", STUDY);
    assert_eq!(sandbox.run(&["study", "frames.toml"]).status, Some(0));
    let run = "runs/studies/frames/25-10-seed-2";
    let evaluation = |text: String| -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["score"].take()
    };
    let whole = evaluation(sandbox.read_text(format!("{run}/evaluation.json")));
    // As a kill between the training and its trial leaves it, and one before the first step.
    std::fs::remove_file(sandbox.path(format!("{run}/evaluation.json"))).unwrap();
    std::fs::remove_dir_all(sandbox.path("runs/studies/frames/50-20-seed-1")).unwrap();
    let ran = sandbox.run(&["study", "frames.toml", "--table"]);
    assert!(ran.stdout.contains("2 done, 1 begun, 1 waiting"), "{}", ran.stdout);
    assert!(ran.stdout.contains("2 trainings are missing"), "{}", ran.stdout);
    assert_eq!(sandbox.run(&["study", "frames.toml"]).status, Some(0));
    assert_eq!(evaluation(sandbox.read_text(format!("{run}/evaluation.json"))), whole);
}

#[test]
fn a_study_that_changed_half_way_is_refused_with_the_key() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.write("frames.toml", STUDY.replace("seeds = [1, 2]", "seeds = [1]"));
    assert_eq!(sandbox.run(&["study", "frames.toml"]).status, Some(0));
    let changed = STUDY.replace("frame-shift=20", "frame-shift=25");
    sandbox.write("frames.toml", changed);
    let ran = sandbox.run(&["study", "frames.toml"]);
    let said = ran.is_one_sentence("runs/studies/frames/50-20-seed-1");
    assert!(said.contains("frame-shift"), "{said}");
    for (old, new, word) in [
        ("[1, 2]", "[]", "at least one"),
        ("50/20", "25-10", "same run directory"),
        ("seeds", "sedes", "sedes"),
        ("\"train.epochs=1\"", "\"train.epochs\"", "train.epochs"),
        ("data/test.jsonl", "data/none.jsonl", "none.jsonl"),
    ] {
        sandbox.write("other.toml", STUDY.replace(old, new));
        let ran = sandbox.run(&["study", "other.toml"]);
        assert_eq!(ran.status, Some(2), "{word}");
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
        assert!(!sandbox.path("runs/studies/other").exists());
    }
}
