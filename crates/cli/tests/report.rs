//! `labyrinth report`: the page of a training that ended, of one that died, and of none.

mod common;

use common::{Sandbox, corpus};

#[test]
fn a_training_leaves_a_page_that_needs_nothing_from_elsewhere() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let ran = sandbox.run(&["train", "data/tones.toml", "--run", "run", "--set", "train.epochs=2"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("report.html"), "{}", ran.stdout);
    let page = sandbox.read_text("run/report.html");
    for part in
        ["Loss", "Errors on dev", "Learning rate", "Where the letters fire", "data:image/bmp"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("learning-rate = ") && page.contains("2 of 2 epochs"));
    assert!(!page.contains("<script") && !page.contains("://") && !page.contains("NaN"));
    // One of the two polylines of the loss has both epochs.
    let line = page.split("class=\"line train\" points=\"").nth(1).unwrap();
    assert_eq!(line.split('"').next().unwrap().split_whitespace().count(), 2);
}

#[test]
fn a_run_that_died_has_a_page_of_what_there_is() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let ran = sandbox.run(&["train", "data/tones.toml", "--run", "run", "--set", "train.epochs=1"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    // As a kill leaves it: no model yet, the last line of the log cut, nothing of an end.
    std::fs::remove_file(sandbox.path("run/model.safetensors")).unwrap();
    std::fs::remove_file(sandbox.path("run/report.html")).unwrap();
    sandbox.write("run/log.jsonl", "{\"event\":\"step\",\"step\":1,\"loss\":9.5,\"learning-rate\":0.1,\"gradient-norm\":2}\n{\"event\":\"st");
    let began = sandbox.read_text("run/sessions.jsonl");
    sandbox.write("run/sessions.jsonl", began.lines().next().unwrap());
    let ran = sandbox.run(&["report", "run"]);
    assert_eq!((ran.status, ran.stdout.trim()), (Some(0), "run/report.html"), "{}", ran.stderr);
    let page = sandbox.read_text("run/report.html");
    assert!(page.contains("no epoch was finished") && page.contains("cut off"), "{page}");
    assert!(page.contains("nothing was measured yet") && !page.contains("NaN"));
}

#[test]
fn a_dev_set_that_is_gone_is_told_on_the_page() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let ran = sandbox.run(&["train", "data/tones.toml", "--run", "run", "--set", "train.epochs=1"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    std::fs::remove_file(sandbox.path("data/dev.jsonl")).unwrap();
    let ran = sandbox.run(&["report", "run"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let told = "the dev set was not tried again";
    assert!(ran.stderr.contains(told) && ran.stderr.contains("dev.jsonl"), "{}", ran.stderr);
    assert!(sandbox.read_text("run/report.html").contains(told));
}

#[test]
fn a_page_of_what_is_gone_since_is_not_replaced() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let ran = sandbox.run(&["train", "data/tones.toml", "--run", "run", "--set", "train.epochs=1"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let page = sandbox.read("run/report.html");
    for (gone, left) in [("log.jsonl", ""), ("log.jsonl", "{\"ev"), ("model.safetensors", "")] {
        let (file, saved) = (format!("run/{gone}"), sandbox.read(format!("run/{gone}")));
        match left {
            "" => std::fs::remove_file(sandbox.path(&file)).unwrap(),
            left => drop(sandbox.write(&file, left)),
        }
        let said = sandbox.refuses(&["report", "run"], "run/report.html");
        assert!(said.contains(gone), "{said}");
        assert!(sandbox.read("run/report.html") == page, "{gone}: the page was replaced");
        sandbox.write(&file, saved);
    }
    sandbox.run_well(&["report", "run"]);
    // One epoch of a page of two.
    let more = page_of(&sandbox).replace("1 of 1 epochs", "2 of 2 epochs");
    sandbox.write("run/report.html", &more);
    let said = sandbox.refuses(&["report", "run"], "run/report.html");
    assert!(said.contains("log.jsonl") && page_of(&sandbox) == more, "{said}");
    // Without a page there is nothing to lose.
    std::fs::remove_file(sandbox.path("run/model.safetensors")).unwrap();
    std::fs::remove_file(sandbox.path("run/report.html")).unwrap();
    sandbox.run_well(&["report", "run"]);
}

fn page_of(sandbox: &Sandbox) -> String {
    sandbox.read_text("run/report.html")
}

#[test]
fn what_is_no_run_is_refused_in_a_sentence() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.refuses(&["report", "data"], "data");
    sandbox.refuses(&["report", "missing"], "missing");
}
