//! `--set`: a mistake in it is told as such, in plain words, before anything is made.

mod common;

use std::fs;

use common::{Sandbox, corpus, recipe};

/// What can be wrong with an override, and what must be said of it.
const FAULTS: [(&str, &str); 10] = [
    ("train.epochs=four", "a whole number from 0 on is needed, not the text \"four\""),
    ("train.epoch=4", "there is no key `epoch`"),
    ("colour.red=1", "there is no key `colour`"),
    ("train.epochs=0", "epochs"),
    ("train.epochs", "section.key=value"),
    ("train.vtln-warps=[1.0, 9.0]", "vtln-warps"),
    ("model.recurrent-hidden=0", "recurrent-hidden"),
    ("model.architecture=transformer", "transformer"),
    ("features.frame-length=0.0", "frame-length"),
    ("features.num-mel-bins=0", "num-mel-bins"),
];

#[test]
fn a_mistake_is_blamed_on_the_assignment_that_makes_it() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    for (set, reason) in FAULTS {
        let sound = ["train", "data/tones.toml", "--set", "train.seed=5", "--set", set];
        let said = sandbox.refuses(&sound, &format!("--set {set}: "));
        assert!(said.contains(reason) && said.contains("tones.toml"), "{said}");
        assert!(!said.contains("train.seed=5"), "another assignment is blamed: {said}");
    }
    // Two that are wrong only together are both named.
    let both = ["--set", "features.kind=spectrogram", "--set", "features.use-energy=true"];
    let said =
        sandbox.refuses(&[&["train", "data/tones.toml"], &both[..]].concat(), "use-energy=true");
    assert!(said.contains("--set features.kind=spectrogram --set"), "{said}");
}

#[test]
fn quickstart_makes_nothing_where_it_is_refused() {
    let sandbox = Sandbox::new();
    // An earlier run, which a --resume must still find after the refusals.
    sandbox.write("runs/quickstart/recipe.toml", "");
    for (set, reason) in FAULTS {
        let said = sandbox.refuses(&["quickstart", "--set", set], &format!("--set {set}: "));
        assert!(said.contains(reason), "{said}");
        sandbox.refuses(&["quickstart", "--set", set, "--run", "other"], set);
    }
    assert!(!sandbox.path("runs/quickstart-2").exists() && !sandbox.path("other").exists());
    // What a kill within the unpacking left is not what --resume means.
    sandbox.write("runs/quickstart-2/.data.partial/half", "");
    let said = sandbox.run(&["quickstart", "--resume", "--set", "train.epochs=1"]);
    assert!(said.stderr.contains("runs/quickstart "), "{}{}", said.stdout, said.stderr);
}

#[test]
fn a_run_that_is_a_file_is_named_before_anything_else() {
    let sandbox = Sandbox::new();
    sandbox.write("notes.txt", "mine");
    for run in ["notes.txt", "notes.txt/run"] {
        for resume in [&[][..], &["--resume"]] {
            let arguments = [&["quickstart", "--run", run], resume].concat();
            let said = sandbox.refuses(&arguments, "notes.txt is a file");
            assert!(said.contains("--run"), "{said}");
        }
    }
}

#[test]
fn values_that_fit_no_network_are_the_recipes_fault() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    // The data would be refused too, but are not reached.
    fs::remove_file(sandbox.path("data/train.jsonl")).unwrap();
    for (line, wrong, named) in [
        ("num-mel-bins = 24", "frame-shift = 0.0", "frame-shift"),
        ("num-mel-bins = 24", "num-mel-bins = 24\nlow-freq = 4100.0", "low-freq"),
        ("recurrent-hidden = 32", "recurrent-hidden = 5000", "4096"),
        ("dropout = 0.1", "dropout = 1.0", "dropout"),
        ("stride = [2, 2]", "stride = [2, 0]", "stride"),
    ] {
        sandbox.write("data/tones.toml", recipe().replacen(line, wrong, 1));
        for command in
            [&["train", "data/tones.toml"][..], &["check", "data", "--recipe", "data/tones.toml"]]
        {
            let said = sandbox.refuses(command, "tones.toml");
            assert!(said.contains(named), "{named}: {said}");
        }
    }
}
