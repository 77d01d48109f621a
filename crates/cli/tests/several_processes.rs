//! Several processes prepare the same folder at once, or are killed on the way: the same bytes.
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{RATE, Ran, Sandbox, sound_of};
use labyrinth::signal::{Random, write_wav};

/// Recordings of some speakers, one of them broken and one without a transcript.
fn recordings(sandbox: &Sandbox) {
    for number in 0..150u64 {
        let folder = sandbox.path(format!("recordings/speaker-{}", number % 10));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{number}.wav"));
        write_wav(&file, RATE, &sound_of("abc de", number)).unwrap();
        if number != 7 {
            fs::write(file.with_extension("txt"), "abc de").unwrap();
        }
    }
    sandbox.write("recordings/speaker-3/13.wav", b"no sound");
}

const PREPARE: [&str; 5] = ["prepare", "folder", "--from", "recordings", "-o"];

fn prepare(out: &str) -> Vec<&str> {
    [&PREPARE[..], &[out]].concat()
}

/// One process, undisturbed. The recipe names its folder, so that all must be called the same.
fn prepare_alone(sandbox: &Sandbox) {
    sandbox.run_well(&prepare("out"));
    fs::rename(sandbox.path("out"), sandbox.path("alone")).unwrap();
}

/// The files of a prepared folder, whatever else lies there included.
fn files(sandbox: &Sandbox, out: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(sandbox.path(out)).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

fn same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert!(found.keys().eq(expected.keys()), "{:?} for {:?}", found.keys(), expected.keys());
    for (name, bytes) in found {
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(text, String::from_utf8_lossy(&expected[name]), "{name}");
    }
}

#[test]
fn four_processes_prepare_one_folder() {
    let sandbox = Sandbox::new();
    recordings(&sandbox);
    prepare_alone(&sandbox);
    let expected = files(&sandbox, "alone");
    assert!(expected.contains_key("train.jsonl") && expected.contains_key("ledger.jsonl"));
    for _ in 0..5 {
        let children: Vec<_> =
            (0..4).map(|_| sandbox.command(&prepare("out")).spawn().unwrap()).collect();
        for child in children {
            let ran = Ran::of(child.wait_with_output().unwrap());
            assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        }
        same(&files(&sandbox, "out"), &expected);
        fs::remove_dir_all(sandbox.path("out")).unwrap();
    }
}

#[test]
fn killed_twenty_times_a_preparation_ends_in_the_same_bytes() {
    let sandbox = Sandbox::new();
    recordings(&sandbox);
    let start = Instant::now();
    prepare_alone(&sandbox);
    let whole = start.elapsed();
    let mut random = Random::from_key(&[20]);
    let mut kills = 0;
    for attempt in 0.. {
        let mut child = sandbox
            .command(&prepare("out"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Nothing is written before the end, so that most shall die there.
        let share = if attempt % 3 == 0 { random.uniform() } else { 0.8 + 0.3 * random.uniform() };
        sleep(whole.mul_f64(share).max(Duration::from_micros(200)));
        kills += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        if kills == 20 {
            break;
        }
        assert!(attempt < 200, "only {kills} of {attempt} kills met the preparation");
    }
    sandbox.run_well(&prepare("out"));
    same(&files(&sandbox, "out"), &files(&sandbox, "alone"));
}
