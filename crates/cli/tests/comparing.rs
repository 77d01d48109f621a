//! `labyrinth compare`: two recognisers on the same recordings.

mod common;

use common::Sandbox;

/// Reference, and two recognisers of which B has one word of each sentence wrong where A has none.
fn texts(sandbox: &Sandbox) {
    let line = |i: usize, word: &str| format!("u{i} one {word} three\n");
    sandbox.write("ref", (0..12).map(|i| line(i, "two")).collect::<String>());
    sandbox.write("a", (0..12).map(|i| line(i, "two")).collect::<String>());
    sandbox.write("b", (0..12).map(|i| line(i, "too")).collect::<String>());
}

#[test]
fn a_worse_one_is_told_so_with_status_1() {
    let sandbox = Sandbox::new();
    texts(&sandbox);
    let ran = sandbox.run(&["compare", "ref", "a", "b", "--format", "kaldi"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    for part in ["+33.33 points", "all 4096 signs of 12 utterances", "12 worse", "B is worse"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let ran = sandbox.run(&["compare", "ref", "b", "a", "--format", "kaldi", "--json"]);
    assert_eq!(ran.status, Some(0));
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&value["better"], &value["utterances"]), (&12.into(), &12.into()));
    assert_eq!(value["p_value"], 2.0 / 4096.0);
    let ran = sandbox.run(&["compare", "ref", "a", "a", "--format", "kaldi"]);
    assert_eq!(ran.status, Some(0));
    assert!(ran.stdout.contains("chance explains"), "{}", ran.stdout);
}

#[test]
fn results_in_json_are_compared_as_they_are() {
    let sandbox = Sandbox::new();
    texts(&sandbox);
    for name in ["a", "b"] {
        let ran = sandbox.run(&["score", "ref", name, "--format", "kaldi", "--json"]);
        sandbox.write(format!("{name}.json"), ran.stdout);
    }
    let ran = sandbox.run(&["compare", "a.json", "b.json", "--characters"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.contains("CER"), "{}", ran.stdout);
    // Of phonemes `evaluate` calls them so.
    sandbox.write("p.json", sandbox.read_text("b.json").replace("\"words\"", "\"phonemes\""));
    let ran = sandbox.run(&["compare", "a.json", "p.json"]);
    assert!(ran.stdout.contains("+33.33 points"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn what_does_not_belong_together_is_refused_in_a_sentence() {
    let sandbox = Sandbox::new();
    texts(&sandbox);
    sandbox.refuses(&["compare", "ref", "a"], "ref");
    sandbox.refuses(&["compare", "missing.json", "a"], "missing.json");
    sandbox.write("more", sandbox.read_text("ref") + "u99 four\n");
    for (name, reference) in [("one", "ref"), ("two", "more")] {
        let ran = sandbox.run(&["score", reference, "a", "--format", "kaldi", "--json"]);
        sandbox.write(format!("{name}.json"), ran.stdout);
    }
    sandbox.refuses(&["compare", "one.json", "two.json"], "u99");
}
