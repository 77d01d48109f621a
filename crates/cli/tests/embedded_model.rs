//! The model inside the program: it listens where none is named, or the program says that it has none.

mod common;

use common::{MODEL, Sandbox, trained};

const RECORDING: &str = "data/tone-200.wav";

#[test]
fn a_recording_without_a_model_is_heard_by_the_embedded_one_or_refused_in_a_sentence() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    if sandbox.run(&["describe", "embedded"]).status == Some(0) {
        let ran = sandbox.run_well(&["transcribe", RECORDING]);
        assert!(
            ran.stderr.starts_with("no model named: the embedded one listens"),
            "{}",
            ran.stderr
        );
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        let named = sandbox.run_well(&["transcribe", "embedded", RECORDING]);
        assert_eq!((named.stdout, named.stderr.as_str()), (ran.stdout, ""));
        sandbox.run_well(&["evaluate", "embedded", "data/test.jsonl"]);
        sandbox.run_well(&["export", "embedded", "-o", "torch"]);
    } else {
        sandbox.refuses(&["transcribe", RECORDING], "this program holds none of its own");
        sandbox.refuses(&["transcribe", "--stream"], "this program holds no model of its own");
        for arguments in [
            &["transcribe", "embedded", RECORDING][..],
            &["describe", "embedded"],
            &["evaluate", "embedded", "data/test.jsonl"],
            &["align", "embedded", RECORDING, "ab cd"],
            &["export", "embedded", "-o", "torch"],
            &["train", "data/tones.toml", "--run", "again", "--from", "embedded"],
        ] {
            sandbox.refuses(arguments, "this program holds no model of its own");
        }
    }
}

#[test]
fn what_was_meant_is_told_whatever_was_forgotten() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    sandbox.refuses(&["transcribe", MODEL], "name a recording behind it");
    sandbox.refuses(&["transcribe", "runs/gone.safetensors"], "cannot read the model");
    sandbox.refuses(&["transcribe", "runs/gone.safetensors", RECORDING], "cannot read the model");
    sandbox.refuses(&["transcribe", "runs/gone", RECORDING], "cannot read the model runs/gone");
    sandbox.refuses(&["transcribe", "gone"], "there is no gone");
    // A file of that name is named by its folder.
    sandbox.write("embedded", sandbox.read(MODEL));
    let by_folder = sandbox.run_well(&["transcribe", "./embedded", RECORDING]);
    assert_eq!(by_folder.stdout, sandbox.run_well(&["transcribe", MODEL, RECORDING]).stdout);
}
