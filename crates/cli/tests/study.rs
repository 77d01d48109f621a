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

/// A page is written over by one of the same study that tells of as much, and by no other.
#[test]
fn what_stands_in_the_output_folder_is_not_lost() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let one = STUDY.replace("[1, 2]", "[1]");
    sandbox.write("frames.toml", &one);
    sandbox.run_well(&["study", "frames.toml", "-o", "out"]);
    let files = ["README.md", "picture.svg", "runs.jsonl"].map(|name| format!("out/{name}"));
    let written = files.each_ref().map(|file| sandbox.read(file));
    sandbox.write("other.toml", one.replace("25/10", "something else"));
    for (arguments, words) in [
        // As in a fresh clone, or with a slip in --runs.
        (
            &["study", "frames.toml", "-o", "out", "--table", "--runs", "elsewhere"][..],
            "tells of 2 trainings",
        ),
        (
            &["study", "other.toml", "-o", "out"],
            "tells of \"25/10\" with seed 1, which this study has not",
        ),
    ] {
        let said = sandbox.refuses(arguments, "out/runs.jsonl");
        assert!(said.contains(words), "{said}");
        assert!(files.each_ref().map(|file| sandbox.read(file)) == written, "{words}");
    }
    for (file, words) in [
        ("picture.svg", "is no page of a study"),
        ("README.md", "is no page of a study"),
        ("runs.jsonl", "is no log of a study"),
    ] {
        for (option, out) in [("-o", format!("mine-{file}")), ("--runs", format!("my-runs-{file}"))]
        {
            sandbox.write(format!("{out}/{file}"), "mine");
            let said = sandbox.refuses(&["study", "frames.toml", option, &out], file);
            assert!(said.contains(words), "{said}");
            assert_eq!(sandbox.read_text(format!("{out}/{file}")), "mine");
        }
    }
    // The same command, from the first training on, replaces the page by the same.
    sandbox.run_well(&["study", "frames.toml", "-o", "out", "--runs", "again"]);
    assert!(sandbox.read_text("out/README.md").contains("| 50/20 |"));
}

/// What is compared was learnt from the same, and tried on the same.
#[test]
fn data_that_changed_half_way_is_refused() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.write("frames.toml", STUDY.replace("[1, 2]", "[1]"));
    sandbox.run_well(&["study", "frames.toml", "-o", "out"]);
    sandbox.write("frames.toml", STUDY);
    let table = sandbox.read("out/README.md");
    for (manifest, words) in [
        ("data/train.jsonl", "was trained before"),
        ("data/dev.jsonl", "was trained before"),
        ("data/test.jsonl", "on another test set than the study's now"),
    ] {
        let whole = sandbox.read_text(manifest);
        let shorter: Vec<&str> = whole.lines().skip(1).collect();
        sandbox.write(manifest, shorter.join("\n") + "\n");
        // Of a trial on another set no table is made; data to learn from matters where something is trained.
        let mut arguments = vec!["study", "frames.toml", "-o", "out"];
        arguments.extend((manifest == "data/test.jsonl").then_some("--table"));
        let ran = sandbox.run(&arguments);
        let said = ran.is_one_sentence("runs/studies/frames/25-10-seed-1");
        assert!(said.contains(words), "{said}");
        assert!(!sandbox.path("runs/studies/frames/25-10-seed-2").exists());
        assert!(sandbox.read("out/README.md") == table);
        sandbox.write(manifest, whole);
    }
    std::fs::remove_file(sandbox.path("data/dev.jsonl")).unwrap();
    let said = sandbox.refuses(&["study", "frames.toml"], "dev.jsonl");
    assert!(!said.contains("--resume"), "{said}");
}

#[test]
fn what_cannot_be_compared_stays_empty_and_what_is_known_is_told() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let known = STUDY.replace("data/test.jsonl", "data/train.jsonl").replace("[1, 2]", "[1]");
    sandbox.write("frames.toml", &known);
    sandbox.run_well(&["study", "frames.toml", "-o", "out"]);
    let table = sandbox.read_text("out/README.md");
    assert!(table.contains("they learnt from it, so the figures say nothing"), "{table}");
    let row = |table: &str, name: &str| {
        let row = table.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap();
        row.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    assert!(row(&table, "50/20")[5].starts_with(['+', '-']), "{table}");
    // Another first cell, not trained yet: there is nothing to compare with.
    let first = known.replacen("[[cells]]", "[[cells]]\nname = \"base\"\n[[cells]]", 1);
    sandbox.write("frames.toml", first);
    sandbox.run_well(&["study", "frames.toml", "--table"]);
    let table = sandbox.read_text("runs/studies/frames/README.md");
    let empty = |cells: &[String]| cells.iter().all(String::is_empty);
    assert!(row(&table, "base")[2] == "none yet" && empty(&row(&table, "base")[3..]), "{table}");
    assert!(empty(&row(&table, "50/20")[5..7]), "{table}");
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
