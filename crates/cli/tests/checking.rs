//! `labyrinth check` as a user meets it: the page, the cleaned manifests, exit statuses, what is named
//! wrongly.

mod common;

use common::{Sandbox, corpus};
use serde_json::Value;
use std::fs;

/// The small corpus with other speakers in each set, one recording gone and one line cut.
fn faulty(sandbox: &Sandbox) {
    corpus(sandbox);
    for set in ["train", "dev", "test"] {
        let name = format!("data/{set}.jsonl");
        sandbox.write(&name, sandbox.read_text(&name).replace("\"speaker-", &format!("\"{set}-")));
    }
    fs::remove_file(sandbox.path("data/tone-003.wav")).unwrap();
    let train = sandbox.read_text("data/train.jsonl");
    sandbox.write("data/train.jsonl", format!("{train}{{\"id\":\"cut\",\"audio\n"));
}

#[test]
fn a_broken_line_is_told_before_the_recordings_are_listened_to() {
    let sandbox = Sandbox::new();
    faulty(&sandbox);
    let ran = sandbox.run(&["check", "data"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.starts_with("data/train.jsonl, line 21: "), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    assert!(ran.stdout.contains("broken-line train: data/train.jsonl, line 21"), "{}", ran.stdout);
    assert!(ran.last_line().starts_with("2 errors, "), "{}", ran.stdout);
}

/// A quarter of a million lines, one of them broken: by number, and soon.
#[test]
fn one_broken_line_of_many_is_found_soon() {
    let sandbox = Sandbox::new();
    let line = |n: usize| {
        format!(
            "{{\"id\":\"u{n}\",\"audio_filepath\":\"{n}.wav\",\"duration\":1.5,\"text\":\"a b\"}}\n"
        )
    };
    let mut text: String = (0..250_000).map(line).collect();
    let place = text.find("{\"id\":\"u123455\"").unwrap();
    text.replace_range(place..place + 1, "[");
    sandbox.write("many.jsonl", text);
    let mut child = sandbox.command(&["check", "many.jsonl"]).spawn().unwrap();
    let start = std::time::Instant::now();
    let mut first = String::new();
    let stderr = child.stderr.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut first).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first.starts_with("many.jsonl, line 123456: "), "{first}");
    assert!(seconds < 20.0, "{seconds} s");
}

#[test]
fn a_page_and_cleaned_manifests_are_written_where_they_are_wanted() {
    let sandbox = Sandbox::new();
    faulty(&sandbox);
    let before = sandbox.read_text("data/train.jsonl");
    let arguments = ["check", "data", "--fix", "clean", "--html", "check.html"];
    let ran = sandbox.run(&arguments);
    // All that spoils a training is gone from the cleaned manifests: status 0.
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("read 33 = kept 31 + refused 2"), "{}", ran.stdout);
    assert!(ran.last_line().contains("check.html"), "{}", ran.stdout);
    assert_eq!(sandbox.read_text("data/train.jsonl"), before);
    let page = sandbox.read_text("check.html");
    assert!(page.contains("tone-003") && page.contains("broken-line"), "{}", page.len());
    assert_eq!(sandbox.run(&["check", "clean"]).status, Some(0));
    // A page may take the place of a page; the cleaned manifests are the same again.
    let object: Value =
        serde_json::from_str(&sandbox.run(&[&arguments[..], &["--json"]].concat()).stdout).unwrap();
    assert_eq!(object["fix"]["kept"], 31);
    assert_eq!(object["fix"]["unfixed"], Value::Array(Vec::new()));
    assert_eq!(object["findings"][0]["kind"], "broken-line");
    sandbox.refuses(&["check", "data", "--fix", "data"], "data");
    sandbox.refuses(&["check", "data/test.jsonl", "--fix", "data"], "data");
}

#[test]
fn what_cannot_be_mended_leaves_status_1() {
    let sandbox = Sandbox::new();
    // The same speakers are in its three sets.
    corpus(&sandbox);
    let ran = sandbox.run(&["check", "data", "--fix", "clean"]);
    assert_eq!(ran.status, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("not mended speaker-overlap test"), "{}", ran.stdout);
}

#[test]
fn what_is_no_corpus_is_refused_in_a_sentence() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    fs::create_dir(sandbox.path("folder.jsonl")).unwrap();
    sandbox.write("empty.jsonl", "\n  \n");
    fs::copy(sandbox.path("data/tone-000.wav"), sandbox.path("a <b> 'c'.wav")).unwrap();
    fs::copy(sandbox.path("data/tone-000.wav"), sandbox.path("sound.jsonl")).unwrap();
    sandbox.write("notes.txt", "some words\nand more\n");
    sandbox.write("garbage.jsonl", [0u8, 159, 146, 150].repeat(100));
    sandbox.refuses(&["check", "not-there"], "not-there does not exist");
    sandbox.refuses(&["check", "folder.jsonl"], "folder.jsonl holds neither");
    sandbox.refuses(&["check", "empty.jsonl"], "empty.jsonl holds no utterances");
    sandbox.refuses(&["check", "a <b> 'c'.wav"], "a <b> 'c'.wav is a recording, no manifest");
    sandbox.refuses(&["check", "sound.jsonl"], "sound.jsonl is a recording");
    sandbox.refuses(&["check", "notes.txt"], "notes.txt, line 1");
    sandbox.refuses(&["check", "garbage.jsonl"], "garbage.jsonl, line 1");
    sandbox.refuses(&["check", "data", "--html", "data/train.jsonl"], "data/train.jsonl");
    sandbox.refuses(&["check", "data", "--html", "page"], "page");
    sandbox.refuses(&["check", "data", "--fix", "notes.txt"], "notes.txt is a file");
    let said = sandbox.run(&["check", "data", "--html", "no/such/folder/page.html"]);
    said.is_one_sentence("page.html");
}
