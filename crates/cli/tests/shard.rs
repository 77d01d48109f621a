//! `labyrinth shard` as a process: several at once, killed at any moment, on a full disk.
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use common::{Ran, Sandbox, Tone, corpus, tones};
use labyrinth::signal::Random;

/// Enough work to be caught in the middle of: some recordings, many times, and labels.
fn data(sandbox: &Sandbox, copies: usize) {
    let recordings = tones(sandbox, "data", 0, 30);
    let lines: String = (0..copies)
        .flat_map(|copy| {
            recordings.iter().map(move |tone| {
                let file = &tone.id;
                let Tone { speaker, text, seconds, .. } = tone;
                let duration = seconds / 3.0;
                format!(
                    "{{\"id\":\"{file}/{copy}\",\"audio_filepath\":\"{file}.wav\",\"offset\":0.05,\
                     \"duration\":{duration},\"text\":\"{text}\",\"speaker\":\"{speaker}\",\
                     \"labels\":\"labels.txt\"}}\n"
                )
            })
        })
        .collect();
    sandbox.write("data/train.jsonl", lines);
    sandbox.write("data/labels.txt", "0.1\t0.2\tein\n0.15\t0.3\tzwei\n");
}

const OUT: &str = "shards";

fn arguments<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["shard", "data", "-o", out, "--audio", "flac", "--utterances", "16"], more].concat()
}

/// Every file of a folder, hidden ones too.
fn files(sandbox: &Sandbox, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(sandbox.path(folder)).unwrap().map(|entry| read(entry.unwrap())).collect()
}

fn names(files: &BTreeMap<String, Vec<u8>>) -> Vec<&String> {
    files.keys().collect()
}

fn spawn(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    sandbox.command(arguments).stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn four_processes_at_once_write_what_one_writes() {
    let sandbox = Sandbox::new();
    data(&sandbox, 12);
    let ran = sandbox.run_well(&arguments(OUT, &["--threads", "1"]));
    assert!(ran.stdout.contains("train: 23 shards"), "{}", ran.stdout);
    assert!(ran.stdout.contains("read 360 = kept 360 + refused 0"), "{}", ran.stdout);
    let expected = files(&sandbox, OUT);
    assert_eq!(expected.len(), 2 * 23 + 3);
    let quarters = ["1/4", "2/4", "3/4", "4/4"];
    // Each a part of its own; and all four the whole, each the same shards at the same time.
    for (round, whole) in [false, true, false, true].into_iter().enumerate() {
        let out = format!("out-{round}");
        let children: Vec<Child> = quarters
            .iter()
            .map(|quarter| {
                let threads = (1 + round).to_string();
                let part: &[&str] =
                    if whole { &["--threads", &threads] } else { &["--shard", quarter] };
                spawn(&sandbox, &arguments(&out, part))
            })
            .collect();
        for child in children {
            let ran = Ran::of(child.wait_with_output().unwrap());
            assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
        }
        let found = files(&sandbox, &out);
        assert_eq!(names(&found), names(&expected));
        assert!(found == expected);
    }
}

#[test]
fn killed_twenty_times_the_bytes_are_the_same() {
    let sandbox = Sandbox::new();
    data(&sandbox, 40);
    let start = Instant::now();
    sandbox.run_well(&arguments(OUT, &["--threads", "2"]));
    let whole = start.elapsed();
    let expected = files(&sandbox, OUT);
    let mut random = Random::from_key(&[20]);
    let (mut kills, mut attempts, mut left) = (0, 0, 0);
    while kills < 20 && attempts < 200 {
        attempts += 1;
        // Alone, two parts of two, or two at the same shards.
        let parts: &[&[&str]] = match attempts % 3 {
            0 => &[&["--threads", "3"]],
            1 => &[&["--shard", "1/2", "--threads", "1"], &["--shard", "2/2"]],
            _ => &[&["--threads", "1"], &["--threads", "1"]],
        };
        let children: Vec<Child> =
            parts.iter().map(|part| spawn(&sandbox, &arguments("killed", part))).collect();
        sleep((whole / 12).mul_f64(random.uniform()));
        for mut child in children {
            if child.try_wait().unwrap().is_none() {
                kills += 1;
            }
            child.kill().unwrap();
            let ran = Ran::of(child.wait_with_output().unwrap());
            assert_eq!(ran.stderr, "");
        }
        if sandbox.path("killed").is_dir() {
            let there = files(&sandbox, "killed");
            left += there.keys().filter(|name| name.ends_with(".partial")).count();
            if there.contains_key("train.jsonl") {
                // Done before there were twenty: from the beginning.
                fs::remove_dir_all(sandbox.path("killed")).unwrap();
            }
        }
    }
    assert!(kills >= 20, "{kills} kills in {attempts} attempts");
    assert!(left > 0, "no kill met a file that was being written");
    sandbox.run_well(&arguments("killed", &[]));
    let found = files(&sandbox, "killed");
    assert_eq!(names(&found), names(&expected));
    assert!(found == expected);
}

#[test]
fn a_full_disk_ends_it_with_a_sentence_and_nothing_half_written() {
    let sandbox = Sandbox::new();
    data(&sandbox, 3);
    sandbox.run_well(&arguments(OUT, &[]));
    let expected = files(&sandbox, OUT);
    // No file may grow beyond some blocks: the write fails as it does on a full disk. The signal that
    // would end the process is ignored. The unit of `ulimit -f` is 512 or 1024 bytes.
    let script = "trap '' XFSZ; ulimit -f 24; exec \"$0\" \"$@\"";
    let mut shell = vec!["-c", script, env!("CARGO_BIN_EXE_labyrinth")];
    shell.extend(arguments("full", &[]));
    let output = Command::new("sh")
        .args(&shell)
        .current_dir(sandbox.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = Ran::of(output).is_one_sentence("full/train-");
    assert!(said.contains(".tar cannot be written") && said.contains("make room"), "{said}");
    let there = files(&sandbox, "full");
    assert!(!there.keys().any(|name| name.ends_with(".partial")), "{:?}", names(&there));
    for (name, bytes) in there.iter().filter(|(name, _)| !name.ends_with(".shards.json")) {
        assert!(expected[name] == *bytes, "{name}");
    }
    sandbox.run_well(&arguments("full", &[]));
    assert!(files(&sandbox, "full") == expected);
}

/// What is behind the header of a safetensors file: the weights. The header holds the digest of the
/// manifest, which is another one.
fn weights(model: &[u8]) -> &[u8] {
    let header = u64::from_le_bytes(model[..8].try_into().unwrap());
    &model[8 + header as usize..]
}

#[test]
fn training_from_shards_gives_the_same_weights() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.run_well(&["shard", "data", "-o", OUT, "--utterances", "7"]);
    let recipe = ["train", "data/tones.toml", "--set", "train.epochs=2", "--run"];
    sandbox.run_well(&[&recipe[..], &["loose"]].concat());
    let recipe_text = sandbox.read_text("data/tones.toml");
    sandbox.write("shards/tones.toml", recipe_text);
    let recipe = ["train", "shards/tones.toml", "--set", "train.epochs=2", "--run"];
    sandbox.run_well(&[&recipe[..], &["sharded", "--workers", "3"]].concat());
    let [loose, sharded] =
        ["loose", "sharded"].map(|run| sandbox.read(format!("{run}/model.safetensors")));
    assert!(weights(&loose).len() > 1000 && weights(&loose) == weights(&sharded));
    // What check finds in the one it finds in the other.
    let [loose, sharded] = ["data", OUT].map(|folder| {
        let found = sandbox.run(&["check", folder, "--json"]);
        let found: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
        (found["sets"].clone(), found["findings"].clone())
    });
    assert_eq!(loose, sharded);
    let evaluated = ["data", OUT].map(|folder| {
        let test = format!("{folder}/test.jsonl");
        let ran = sandbox.run_well(&["evaluate", "loose/model.safetensors", &test, "--json"]);
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        report["score"].clone()
    });
    assert!(evaluated[0].is_object());
    assert_eq!(evaluated[0], evaluated[1]);
}

#[test]
fn a_shard_that_was_replaced_ends_a_training_with_its_name() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.run_well(&["shard", "data", "-o", OUT, "--utterances", "7"]);
    let recipe_text = sandbox.read_text("data/tones.toml");
    sandbox.write("shards/tones.toml", recipe_text);
    let other = sandbox.read("shards/train-000001.tar");
    let whole = sandbox.read("shards/train-000000.tar");
    for replacement in [&other[..], &whole[..whole.len() / 2]] {
        sandbox.write("shards/train-000000.tar", replacement);
        let ran = sandbox.run(&["train", "shards/tones.toml", "--run", "replaced"]);
        let said = ran.is_one_sentence("shards/train-000000.tar");
        assert!(said.contains("replaced"), "{said}");
        fs::remove_dir_all(sandbox.path("replaced")).unwrap();
    }
}

#[test]
fn what_cannot_be_sharded_is_refused_in_a_sentence() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.refuses(&["shard", "missing", "-o", OUT], "missing");
    sandbox.refuses(&["shard", "data", "-o", "data"], "data/dev.jsonl");
    sandbox.refuses(&["shard", "data", "-o", "data/tone-000.wav"], "data/tone-000.wav");
    sandbox.refuses(&["shard", "data", "-o", OUT, "--seconds", "0"], "--seconds is 0");
    for part in ["0/4", "5/4", "1", "x/y", "1/0"] {
        let ran = sandbox.run(&["shard", "data", "-o", OUT, "--shard", part]);
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains("such as 1/4"), "{}", ran.stderr);
    }
    let broken = sandbox.read_text("data/test.jsonl") + "{\"audio_filepath\":\"x\n";
    sandbox.write("data/test.jsonl", broken);
    let ran = sandbox.run(&["shard", "data", "-o", OUT]);
    ran.is_one_sentence("data/test.jsonl, line 7");
    assert!(!sandbox.path(OUT).exists());
    // All are read, all are refused: no corpus.
    sandbox.write("gone/train.jsonl", sandbox.read("data/train.jsonl"));
    let ran = sandbox.run(&["shard", "gone", "-o", "none"]);
    assert!(
        ran.stdout.contains("read 20 = kept 0 + refused 20 (missing-audio 20)"),
        "{}",
        ran.stdout
    );
    ran.is_one_sentence("tone-000");
}

#[test]
fn what_check_writes_beside_manifests_is_no_manifest() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.write("data/train.jsonl", sandbox.read_text("data/train.jsonl").repeat(2));
    let checked = sandbox.run(&["check", "data", "--fix", "mended"]);
    assert_eq!(checked.status, Some(1), "{}", checked.stderr);
    assert!(sandbox.path("mended/repairs.jsonl").exists());
    let ran = sandbox.run(&["shard", "mended", "-o", OUT]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(!names(&files(&sandbox, OUT)).iter().any(|name| name.contains("repairs")));
}
