//! A training that is killed, or whose disk is full, goes on to the same bytes.
#![cfg(unix)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Ran, Sandbox, corpus};
use labyrinth::signal::Random;

/// Long enough to be interrupted, short enough for a test.
const EPOCHS: &str = "train.epochs=24";

fn train<'a>(run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "data/tones.toml", "--set", EPOCHS, "--run", run], more].concat()
}

/// The unbroken run that every interrupted one is compared with.
fn unbroken(sandbox: &Sandbox) -> Ran {
    corpus(sandbox);
    sandbox.run_well(&train("unbroken", &["--threads", "1"]))
}

/// Nothing may tell an interrupted run from the unbroken one.
fn assert_same(sandbox: &Sandbox, run: &str) {
    for file in ["log.jsonl", "ledger.jsonl", "recipe.toml"] {
        let (one, other) = (format!("unbroken/{file}"), format!("{run}/{file}"));
        assert_eq!(sandbox.read_text(one), sandbox.read_text(other), "{file}");
    }
    let model = |run: &str| sandbox.read(format!("{run}/model.safetensors"));
    assert!(model("unbroken") == model(run), "the model's bytes differ");
    assert_eq!(checkpoints(sandbox, "unbroken").len(), checkpoints(sandbox, run).len());
    for (one, other) in checkpoints(sandbox, "unbroken").iter().zip(checkpoints(sandbox, run)) {
        assert!(fs::read(one).unwrap() == fs::read(&other).unwrap(), "{} differs", other.display());
    }
}

fn checkpoints(sandbox: &Sandbox, run: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(sandbox.path(run).join("checkpoints")) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn killed_at_any_moment_a_training_resumes_to_the_same_bytes() {
    let sandbox = Sandbox::new();
    let start = Instant::now();
    unbroken(&sandbox);
    let whole = start.elapsed();
    let mut random = Random::from_key(&[5]);
    let mut longest = whole / 4;
    let mut kills = 0;
    let mut attempt = 0;
    while kills < 12 {
        attempt += 1;
        assert!(attempt < 200, "only {kills} kills met the training");
        // Threads and workers differ from the unbroken run and from attempt to attempt.
        let threads = (1 + attempt % 3).to_string();
        let workers = (1 + (attempt + 1) % 3).to_string();
        let mut child = sandbox
            .command(&train("killed", &["--resume", "--threads", &threads, "--workers", &workers]))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // The first ones die while the program still sets the run up, the others anywhere within it.
        let until = if attempt <= 6 { Duration::from_millis(40) } else { longest };
        sleep(until.mul_f64(random.uniform()));
        let finished = child.try_wait().unwrap();
        child.kill().unwrap();
        let output = Ran::of(child.wait_with_output().unwrap());
        match finished {
            None => kills += 1,
            Some(status) => {
                assert!(status.success(), "{}", output.stderr);
                // A machine that has grown faster since the unbroken run: kill earlier, from the start.
                assert_same(&sandbox, "killed");
                fs::remove_dir_all(sandbox.path("killed")).unwrap();
                longest /= 2;
            }
        }
    }
    sandbox.run_well(&train("killed", &["--resume", "--threads", "2", "--workers", "2"]));
    assert_same(&sandbox, "killed");
}

#[test]
fn killed_in_the_middle_of_an_epoch_it_goes_on_from_the_checkpoint() {
    let sandbox = Sandbox::new();
    unbroken(&sandbox);
    kill_after_a_checkpoint(&sandbox, "halved");
    let ran = sandbox.run_well(&train("halved", &["--resume", "--threads", "3", "--workers", "2"]));
    let resumed = ran.stdout.lines().find(|line| line.starts_with("resumed")).unwrap();
    let step: u64 = resumed.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(step > 0, "{resumed}");
    assert_same(&sandbox, "halved");
}

/// Begins a run and kills it when it has two checkpoints and is not yet done.
fn kill_after_a_checkpoint(sandbox: &Sandbox, run: &str) {
    for _ in 0..5 {
        let mut child = sandbox.command(&train(run, &[])).stdout(Stdio::null()).spawn().unwrap();
        while checkpoints(sandbox, run).len() < 2 && child.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1));
        }
        let finished = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        if !finished {
            return;
        }
        // This machine slept through the whole training: once more.
        fs::remove_dir_all(sandbox.path(run)).unwrap();
    }
    panic!("the training could not be caught in the act");
}

#[test]
fn a_full_disk_leaves_the_checkpoint_before_and_says_so() {
    let sandbox = Sandbox::new();
    unbroken(&sandbox);
    kill_after_a_checkpoint(&sandbox, "full");
    let before: Vec<(PathBuf, Vec<u8>)> = checkpoints(&sandbox, "full")
        .into_iter()
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    let size = before[0].1.len();
    // No file may grow beyond half a checkpoint: the write fails as it does on a full disk. The signal
    // that would end the process is ignored. The unit of `ulimit -f` is 512 or 1024 bytes.
    let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", size / 2048);
    let mut arguments = vec!["-c".to_owned(), script, env!("CARGO_BIN_EXE_labyrinth").to_owned()];
    arguments.extend(train("full", &["--resume"]).iter().map(ToString::to_string));
    let output = Command::new("sh")
        .args(&arguments)
        .current_dir(sandbox.path(""))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ran = Ran::of(output);
    let said = ran.is_one_sentence("full/checkpoints/");
    assert!(said.contains("--resume"), "{said}");
    // Whatever was newest before is there still, whole, and nothing half-written is.
    let (newest, bytes) = before.last().unwrap();
    assert!(fs::read(newest).unwrap() == *bytes);
    for entry in fs::read_dir(sandbox.path("full/checkpoints")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // A kill may leave its temporary file; the failed write must not have left another.
        assert!(name.starts_with("step-") || name.starts_with('.'), "{name}");
    }
    sandbox.run_well(&train("full", &["--resume"]));
    assert_same(&sandbox, "full");
}

/// A reader, or a kill, never meets half a file: a name is given to what is whole.
#[test]
fn checkpoints_and_models_are_whole_at_every_moment() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let mut child = sandbox.command(&train("watched", &[])).stdout(Stdio::null()).spawn().unwrap();
    let model = sandbox.path("watched/model.safetensors");
    let mut looks = 0;
    let mut sizes = BTreeMap::from([("checkpoint", BTreeSet::new()), ("model", BTreeSet::new())]);
    while child.try_wait().unwrap().is_none() {
        let checkpoints =
            checkpoints(&sandbox, "watched").into_iter().map(|path| ("checkpoint", path));
        for (kind, path) in checkpoints.chain([("model", model.clone())]) {
            // One that is not there yet, or has made way for the next.
            let Ok(bytes) = fs::read(path) else { continue };
            sizes.get_mut(kind).unwrap().insert(tensor_bytes(&bytes));
            looks += 1;
        }
    }
    assert!(child.wait().unwrap().success());
    assert!(looks > 20, "{looks}");
    assert!(sizes.values().all(|sizes| sizes.len() == 1 && !sizes.contains(&None)), "{sizes:?}");
}

/// Bytes behind the header of a safetensors file: as many for every model, and for every checkpoint.
fn tensor_bytes(file: &[u8]) -> Option<usize> {
    let header = u64::from_le_bytes(file.get(..8)?.try_into().unwrap());
    file.len().checked_sub(8 + header as usize)
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let sandbox = Sandbox::new();
    unbroken(&sandbox);
    kill_after_a_checkpoint(&sandbox, "damaged");
    let newest = checkpoints(&sandbox, "damaged").pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    let ran = sandbox.run_well(&train("damaged", &["--resume"]));
    let name = newest.file_name().unwrap().to_str().unwrap();
    assert!(ran.stdout.contains(name), "{}", ran.stdout);
    assert_same(&sandbox, "damaged");
}

#[test]
fn killed_before_it_wrote_its_recipe_a_run_can_still_be_resumed() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    // What a kill can leave: the lock, and a recipe that was not whole yet.
    sandbox.write("begun/lock", "");
    sandbox.write("begun/.recipe.toml.4242.partial", "[data]\ntra");
    let arguments =
        ["train", "data/tones.toml", "--run", "begun", "--set", "train.epochs=1", "--resume"];
    sandbox.run_well(&arguments);
    // A finished run is resumed to the same end.
    let model = sandbox.read("begun/model.safetensors");
    sandbox.run_well(&arguments);
    assert!(sandbox.read("begun/model.safetensors") == model);
}

#[test]
fn another_instruction_set_is_refused_unless_told_otherwise() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let best = sandbox.run_well(&["doctor", "--json"]);
    let best: serde_json::Value = serde_json::from_str(&best.stdout).unwrap();
    let best = best["instruction_set"].as_str().unwrap().to_owned();
    let epochs = ["--set", "train.epochs=1", "--isa"];
    let with = |isa: &'static str, more: &[&'static str]| {
        [&["train", "data/tones.toml"], &epochs[..], &[isa], more].concat()
    };
    sandbox.run_well(&with("portable", &[]));
    if best == "portable" {
        println!("skipped: this machine has no second instruction set");
        return;
    }
    let ran = sandbox.run(&["train", "data/tones.toml", "--set", "train.epochs=1", "--resume"]);
    let said = ran.is_one_sentence("--isa portable");
    assert!(said.contains(&best) && said.contains("--anyway"), "{said}");
    sandbox.run_well(&with("portable", &["--resume"]));
    let anyway = ["train", "data/tones.toml", "--set", "train.epochs=1", "--resume", "--anyway"];
    sandbox.run_well(&anyway);
}

/// Of a mixture, the manifest that changed is named, and no other.
#[test]
fn a_manifest_that_changed_before_a_resume_is_named() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let other = sandbox.read_text("data/train.jsonl").replace("\"id\":\"", "\"id\":\"other-");
    sandbox.write("data/other.jsonl", &other);
    let mixture = "data.train=[{manifest=\"train.jsonl\"},{manifest=\"other.jsonl\",weight=0.5}]";
    let train = |resume: &'static [&str]| {
        [
            &[
                "train",
                "data/tones.toml",
                "--set",
                "train.epochs=1",
                "--set",
                mixture,
                "--run",
                "mixed",
            ],
            resume,
        ]
        .concat()
    };
    sandbox.run_well(&train(&[]));
    sandbox.write("data/other.jsonl", format!("{other}\n"));
    let sentence = sandbox.run(&train(&["--resume"])).is_one_sentence("other.jsonl");
    assert!(!sentence.contains("train.jsonl"), "{sentence}");
}
