//! Shards of features as a user meets them: sharded, trained on, evaluated, and refused where sound is
//! wanted; what a model has seen is known through shards; and a word where the user stops.
#![cfg(unix)]

mod common;

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::{MODEL, Ran, Sandbox, corpus, trained};

const QUIET: [&str; 2] = ["--set", "train.speeds=[1.0]"];

fn sharded(sandbox: &Sandbox) {
    let shard = ["shard", "data", "-o", "features", "--features", "data/tones.toml"];
    let ran = sandbox.run_well(&[&shard[..], &["--bits", "16"]].concat());
    assert!(ran.stdout.contains("train: 1 shard"), "{}", ran.stdout);
    let again = sandbox.run_well(&[&shard[..], &["--bits", "16"]].concat());
    assert_eq!(again.stdout.matches("done before").count(), again.stdout.lines().count());
}

#[test]
fn a_training_reads_features_as_it_reads_sound() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sharded(&sandbox);
    let train = |run: &str, more: &[&str]| {
        let all = [&["train", "data/tones.toml", "--run", run], &QUIET[..], more].concat();
        sandbox.run_well(&all)
    };
    let loose = train("loose", &[]);
    let features = train(
        "stored",
        &["--set", "data.train=../features/train.jsonl", "--set", "data.dev=../features/dev.jsonl"],
    );
    let steps = |ran: &Ran| ran.stdout.lines().filter(|line| line.starts_with("epoch")).count();
    assert!(steps(&loose) >= 4 && steps(&loose) == steps(&features), "{}", features.stdout);
    // With the model that was trained on sound: the same words, but for what the rounding decides.
    let rate = |manifest: &str| {
        let ran = sandbox.run_well(&["evaluate", "loose/model.safetensors", manifest, "--json"]);
        let value: serde_json::Value = serde_json::from_str(ran.stdout.trim()).unwrap();
        (value["score"]["words"].clone(), value["kept"].clone(), value["from_features"].clone())
    };
    let (sound, stored) = (rate("data/dev.jsonl"), rate("features/dev.jsonl"));
    assert_eq!((&sound.0, &sound.1), (&stored.0, &stored.1));
    assert_eq!((sound.2.as_u64(), stored.2 == stored.1), (Some(0), true));
    let text =
        sandbox.run_well(&["evaluate", "loose/model.safetensors", "features/dev.jsonl"]).stdout;
    assert!(text.contains("read as stored features"), "{text}");
    assert!(text.contains("best epoch was chosen"), "{text}");
    // What is told of the recordings themselves, whose speakers are everywhere, is told here too.
    let checked = sandbox.run(&["check", "features", "--recipe", "data/tones.toml"]).stdout;
    let mut errors = checked.lines().filter(|line| line.starts_with("  error"));
    assert!(errors.all(|line| line.contains("speaker-overlap")), "{checked}");
    assert!(checked.contains("no-sound train: 20 of 20"), "{checked}");
}

#[test]
fn where_sound_or_other_features_are_wanted_a_sentence_says_so() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    sharded(&sandbox);
    let on =
        ["train", "data/tones.toml", "--run", "r", "--set", "data.train=../features/train.jsonl"];
    let told = sandbox.refuses(&on, "train.jsonl");
    assert!(told.contains("`speeds` of [train]") && told.contains("without --features"), "{told}");
    let other = ["--set", "features.num-mel-bins=20"];
    let told = sandbox.refuses(&[&on[..], &QUIET, &other].concat(), "train.jsonl");
    assert!(told.contains("num-mel-bins = 24") && told.contains("num-mel-bins = 20"), "{told}");
    // Dev is looked at before the first step, not after the first epoch.
    let dev = ["train", "data/tones.toml", "--run", "r", "--set", "data.dev=../features/dev.jsonl"];
    let told = sandbox.refuses(&[&dev[..], &QUIET, &other].concat(), "dev.jsonl");
    assert!(told.contains("num-mel-bins = 24"), "{told}");
    assert!(!sandbox.path("r").exists());
    let told =
        sandbox.refuses(&["transcribe", MODEL, "features/train-000000.tar"], "train-000000.tar");
    assert!(told.contains("evaluate"), "{told}");
    let tar = sandbox.read("features/train-000000.tar");
    let length = usize::from_str_radix(std::str::from_utf8(&tar[124..135]).unwrap(), 8).unwrap();
    sandbox.write("one.ark", &tar[512..512 + length]);
    let told = sandbox.refuses(&["transcribe", MODEL, "one.ark"], "one.ark");
    assert!(told.contains("features and no sound"), "{told}");
    for arguments in [
        &["shard", "data", "-o", "x", "--bits", "8"][..],
        &["shard", "data", "-o", "x", "--features", "data/tones.toml", "--bits", "12"],
        &["shard", "data", "-o", "x", "--features", "data/tones.toml", "--audio", "flac"],
    ] {
        assert_eq!(sandbox.run(arguments).status, Some(2), "{arguments:?}");
    }
    sandbox.refuses(&["shard", "features/train.jsonl", "-o", "x"], "train.jsonl");
    sandbox.refuses(&["shard", "data", "-o", "x", "--features", "none.toml"], "none.toml");
}

/// The digest in the model is that of the loose manifest; its shards know what they were made from.
#[test]
fn shards_of_what_was_trained_on_are_known() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    sandbox.run_well(&["shard", "data", "-o", "shards"]);
    for (manifest, wanted) in
        [("shards/train.jsonl", "was trained on"), ("shards/dev.jsonl", "was chosen")]
    {
        let ran = sandbox.run_well(&["evaluate", MODEL, manifest]);
        assert!(ran.stdout.contains(wanted), "{}", ran.stdout);
    }
}

#[test]
fn what_dev_shares_with_train_is_told_when_a_training_begins() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let train = ["train", "data/tones.toml", "--set", "train.epochs=1", "--run"];
    let ran = sandbox.run_well(&[&train[..], &["clean"]].concat());
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    let (lines, dev) = (sandbox.read_text("data/train.jsonl"), sandbox.read_text("data/dev.jsonl"));
    let first = lines.lines().next().unwrap();
    sandbox.write("data/dev.jsonl", format!("{dev}{first}\n"));
    let ran = sandbox.run_well(&[&train[..], &["mixed"]].concat());
    let told = ran.stderr.lines().find(|line| line.contains("warning")).unwrap();
    assert!(told.contains("1 of the ") && told.contains("dev.jsonl"), "{told}");
}

/// Ctrl-C: a word, death by the signal, and the same run afterwards; not where it is ignored.
#[test]
fn a_training_that_is_stopped_says_how_to_go_on() {
    use std::os::unix::process::ExitStatusExt;
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let train = ["train", "data/tones.toml", "--set", "train.epochs=20000", "--run", "stopped"];
    let child =
        sandbox.command(&train).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !sandbox.path("stopped/log.jsonl").exists() {
        sleep(Duration::from_millis(5));
    }
    sleep(Duration::from_millis(50));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(2), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("stopped; ") && told.contains("--resume"), "{told}");
}
