//! What is printed: commands that can be pasted, figures that mean something, text that commands no
//! terminal, and a plain sentence where there is something to say.

mod common;

use std::fs;
use std::process::Command;

use common::{MODEL, Sandbox, corpus, tones, trained};
use labyrinth::signal::write_wav;
use serde_json::Value;

/// Runs a printed line `labyrinth …` as a shell would.
#[cfg(unix)]
fn paste(sandbox: &Sandbox, line: &str) {
    let script = format!("labyrinth() {{ \"$0\" \"$@\"; }}; {line}");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_labyrinth")])
        .current_dir(sandbox.path(""))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{stderr}");
}

#[cfg(unix)]
#[test]
fn printed_commands_can_be_pasted_whatever_the_folders_are_called() {
    let sandbox = Sandbox::new();
    let folder = "my voice; it's (new) & $good";
    for tone in tones(&sandbox, folder, 0, 20) {
        sandbox.write(format!("{folder}/{}.txt", tone.id), tone.text);
    }
    let prepared = sandbox.run_well(&["prepare", "folder", "--from", folder]);
    let lines: Vec<&str> =
        prepared.stdout.lines().filter(|line| line.starts_with("  labyrinth ")).collect();
    assert_eq!(lines.len(), 3, "{}", prepared.stdout);
    for line in lines {
        let short = if line.contains(" train ") { " --set train.epochs=1" } else { "" };
        paste(&sandbox, &format!("{line}{short}"));
    }
    let recipe = sandbox.read_text(format!("data/{folder}/recipe.toml"));
    let line = recipe.lines().find_map(|line| line.strip_prefix("# Train with: ")).unwrap();
    paste(&sandbox, &format!("{line} --set train.epochs=1 --run again"));
    let arguments = [
        "train",
        &format!("data/{folder}/recipe.toml"),
        "--set",
        "train.epochs=1",
        "--run",
        "runs/it's mine",
    ];
    let ran = sandbox.run_well(&arguments);
    let line = ran.stdout.lines().find(|line| line.contains("labyrinth evaluate")).unwrap();
    paste(&sandbox, line);
}

#[test]
fn quickstart_quotes_the_commands_it_prints() {
    let sandbox = Sandbox::new();
    let short = ["--set", "train.epochs=1", "--set", "train.speeds=[1.0]", "--run", "my run"];
    let ran = sandbox.run_well(&[&["quickstart"], &short[..]].concat());
    let line = ran.stdout.lines().find(|line| line.contains("labyrinth transcribe")).unwrap();
    assert!(line.contains("'my run/model.safetensors' 'my run/data/"), "{line}");
}

#[test]
fn a_model_that_recognises_nothing_is_said_to_do_so() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let train = ["train", "data/tones.toml", "--set", "train.learning-rate=1e-9", "--set"];
    let ran = sandbox.run_well(&[&train[..], &["train.epochs=1"]].concat());
    assert!(ran.last_line().contains("dev WER 1"), "{}", ran.stdout);
    let sentence = ran.stdout.lines().rev().nth(1).unwrap();
    for part in ["no better than silence", "epochs", "more recordings", "labyrinth check"] {
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[test]
fn a_training_that_diverges_is_told_what_drove_it_away() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let with = |set: &str, run: &str| {
        let arguments = ["train", "data/tones.toml", "--set", "train.epochs=40", "--set", set];
        let ran = sandbox.run(&[&arguments[..], &["--run", run]].concat());
        ran.is_one_sentence("diverged")
    };
    let said = with("train.learning-rate=1e30", "fast");
    assert!(said.contains("lower learning-rate") && said.contains("--run"), "{said}");
}

#[test]
fn a_rate_of_no_words_is_none_and_not_infinite() {
    let sandbox = Sandbox::new();
    sandbox.write("said", "u1\nu2\n");
    sandbox.write("heard", "u1 one two\nu2\n");
    let score = ["score", "said", "heard", "--format", "kaldi"];
    let text = sandbox.run_well(&score).stdout;
    assert!(text.starts_with("WER  none, ") && !text.contains("inf"), "{text}");
    let json = sandbox.run_well(&[&score[..], &["--json"]].concat()).stdout;
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&value["wer"], &value["cer"]), (&Value::Null, &Value::Null));
    // A dev set without a word: nothing is chosen by, and the model can still be read.
    corpus(&sandbox);
    let dev = sandbox.read_text("data/dev.jsonl");
    let silent = dev.lines().map(|line| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        value["text"] = "".into();
        format!("{value}\n")
    });
    sandbox.write("data/dev.jsonl", silent.collect::<String>());
    let ran = sandbox.run_well(&["train", "data/tones.toml", "--set", "train.epochs=2"]);
    assert!(ran.last_line().contains("dev WER none"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("inf "), "{}", ran.stdout);
    sandbox.run_well(&["transcribe", MODEL, "data/tone-200.wav"]);
}

#[test]
fn evaluating_on_the_training_data_is_said_and_done() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    for (set, seen, words) in [
        ("train", Value::from("trained-on"), "was trained on"),
        ("dev", Value::from("chosen-by"), "best epoch was chosen"),
        ("test", Value::Null, ""),
    ] {
        let manifest = format!("data/{set}.jsonl");
        let text = sandbox.run_well(&["evaluate", MODEL, &manifest]).stdout;
        assert_eq!(text.contains("note this is the manifest"), seen != Value::Null, "{text}");
        assert!(text.contains(words), "{text}");
        let ran = sandbox.run_well(&["evaluate", MODEL, &manifest, "--json"]);
        let value: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(value["seen"], seen);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
}

#[test]
fn names_and_texts_command_no_terminal() {
    let sandbox = Sandbox::new();
    // ESC ] 0 ; … BEL sets a terminal's title; U+009B is ESC [ in one character.
    // U+202E turns what follows around.
    let (title, colour) = ("\u{1b}]0;mine\u{7}", "\u{9b}31m\u{202e}");
    let line = |text: &str| format!("{}\n", serde_json::json!({"id": title, "text": text}));
    sandbox.write("said.jsonl", line(&format!("one {colour}two")));
    sandbox.write("heard.jsonl", line("one two"));
    let score = ["score", "said.jsonl", "heard.jsonl"];
    let text = sandbox.run_well(&[&score[..], &["--alignments"]].concat()).stdout;
    assert!(
        text.contains("\\u{1b}]0;mine\\u{7}") && text.contains("\\u{9b}31m\\u{202e}"),
        "{text:?}"
    );
    let json = sandbox.run_well(&[&score[..], &["--json"]].concat()).stdout;
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["utterances"][0]["reference"], format!("one {colour}two"));
    let refused = sandbox.run(&["check", &format!("gone{title}")]).stderr;
    for printed in [text, json, refused] {
        assert!(!printed.contains(|c: char| c.is_control() && c != '\n'), "{printed:?}");
    }
}

#[test]
fn a_recording_too_short_to_be_heard_is_named() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    write_wav(&sandbox.path("blink.wav"), 8000, &[0.1; 80]).unwrap();
    let ran = sandbox.run_well(&["transcribe", MODEL, "blink.wav"]);
    assert_eq!(ran.stdout, "\n");
    assert!(ran.stderr.contains("`blink.wav` lasts 0.010 s"), "{}", ran.stderr);
}

#[test]
fn one_is_not_many_and_nothing_is_not_less() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let dev = sandbox.read_text("data/dev.jsonl");
    sandbox.write("data/dev.jsonl", dev.lines().next().unwrap().to_owned() + "\n");
    sandbox.write("data/test.jsonl", "");
    let text = sandbox.run(&["check", "data"]).stdout;
    assert!(text.contains(" 1 utterance ") && !text.contains(" 1 utterances"), "{text}");
    assert!(text.contains(" 0.00 h") && !text.contains("-0.00"), "{text}");
    let json = sandbox.run(&["check", "data", "--json"]).stdout;
    assert!(!json.contains("-0.0"), "{json}");
}

#[test]
fn a_set_that_is_not_there_is_found() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    fs::remove_file(sandbox.path("data/dev.jsonl")).unwrap();
    let ran = sandbox.run(&["check", "data"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stdout);
    assert!(ran.stdout.contains("missing-set dev: there is no data/dev.jsonl"), "{}", ran.stdout);
    // A test set alone is a corpus of its own.
    fs::remove_file(sandbox.path("data/train.jsonl")).unwrap();
    let ran = sandbox.run(&["check", "data"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stdout);
}

/// "Make room" is said where there is none, and only there.
#[cfg(unix)]
#[test]
fn the_way_out_fits_the_fault() {
    let sandbox = Sandbox::new();
    for tone in tones(&sandbox, "mine", 0, 20) {
        sandbox.write(format!("mine/{}.txt", tone.id), tone.text);
    }
    sandbox.write("file", "");
    let said =
        sandbox.refuses(&["prepare", "folder", "--from", "mine", "-o", "file/out"], "file/out");
    assert!(!said.contains("make room"), "{said}");
}
