//! What every command owes its user: help with an example, the right status, no fuss about a closed
//! pipe; and each one used once.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::{MODEL, Ran, Sandbox, corpus, tones, trained};
use serde_json::Value;

const COMMANDS: [&str; 19] = [
    "quickstart",
    "prepare",
    "check",
    "shard",
    "describe",
    "train",
    "evaluate",
    "study",
    "results",
    "reproduce",
    "report",
    "transcribe",
    "align",
    "export",
    "import",
    "subset",
    "score",
    "compare",
    "doctor",
];

#[test]
fn the_help_of_every_command_shows_an_example() {
    let sandbox = Sandbox::new();
    let all = sandbox.run_well(&["--help"]).stdout;
    assert!(all.contains("Examples:"), "{all}");
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is missing in\n{all}");
        let help = sandbox.run_well(&[command, "--help"]).stdout;
        let examples = help.split_once("Examples:").unwrap_or_else(|| panic!("{help}")).1;
        assert!(examples.contains(&format!("\n  labyrinth {command}")), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 101), "{help}");
    }
}

#[test]
fn wrong_arguments_end_with_status_2() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["sing"][..],
        &[],
        &["train"],
        &["doctor", "--isa", "mmx"],
        &["train", "a.toml", "--isa", "mmx"],
        &["evaluate", "model", "a.jsonl", "--precision", "f16"],
        &["train", "a.toml", "--threads", "0"],
        &["train", "a.toml", "--workers", "none"],
        &["train", "a.toml", "--anyway"],
        &["transcribe", "model"],
        &["features", "a.raw", "--encoding", "pcm_s16be"],
        &["transcribe", "model", "a.raw", "--encoding", "pcm_s17", "--sample-rate", "8000"],
        // Resampled to a model's rate one such second would be gigabytes.
        &["transcribe", "model", "a.raw", "--encoding", "pcm_s16le", "--sample-rate", "1"],
        &["score", "a", "b", "--format", "word"],
        &["prepare", "timid", "--from", "."],
    ] {
        let ran = sandbox.run(arguments);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!ran.stderr.is_empty() && !ran.stderr.contains("panicked"), "{}", ran.stderr);
    }
    for arguments in [["train", "--workers", "65535"], ["quickstart", "--threads", "1025"]] {
        let ran = sandbox.run(&arguments);
        assert!(ran.stderr.contains("threads from 1 to 1024"), "{}", ran.stderr);
    }
}

/// Runs the program with a standard output that is closed after `lines` lines.
fn head(sandbox: &Sandbox, arguments: &[&str], lines: usize) -> (Option<i32>, String) {
    let mut child = sandbox.command(arguments).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..lines {
        stdout.read_line(&mut String::new()).unwrap();
    }
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_closed_pipe_is_no_fault() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    for arguments in [
        &["doctor"][..],
        &["doctor", "--json"],
        &["check", "data/test.jsonl"],
        &["score", "data/test.jsonl", "data/test.jsonl"],
        &["evaluate", MODEL, "data/test.jsonl"],
        &["transcribe", MODEL, "data/tone-200.wav", "data/tone-201.wav"],
    ] {
        for lines in [0, 1] {
            let (status, stderr) = head(&sandbox, arguments, lines);
            assert_eq!((status, stderr.as_str()), (Some(0), ""), "{arguments:?}");
        }
    }
    // Hours of training do not end because the terminal that showed them has gone.
    let train = ["train", "data/tones.toml", "--set", "train.epochs=2", "--run", "runs/unwatched"];
    let (status, stderr) = head(&sandbox, &train, 1);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    assert!(sandbox.path("runs/unwatched/model.safetensors").is_file());
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_is_full_is_told() {
    let sandbox = Sandbox::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = sandbox.command(&["doctor"]).stdout(full).output().unwrap();
    Ran::of(output).is_one_sentence("standard output");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = sandbox.command(&["--help"]).stdout(full).output().unwrap();
    Ran::of(output).is_one_sentence("standard output");
    // Closed before the program began, which is not the same as thrown away.
    let script = "\"$0\" doctor >&-; \"$0\" doctor >/dev/null; \"$0\" doctor | cat >/dev/null";
    let program = env!("CARGO_BIN_EXE_labyrinth");
    let output = Command::new("sh").args(["-c", script, program]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told.matches("standard output is closed").count(), 1, "{told}");
}

#[test]
fn doctor_tells_what_is_used() {
    let sandbox = Sandbox::new();
    let text = sandbox.run_well(&["doctor"]).stdout;
    let json: Value =
        serde_json::from_str(&sandbox.run_well(&["doctor", "--json"]).stdout).unwrap();
    let used = json["instruction_set"].as_str().unwrap();
    let sets = json["instruction_sets"].as_array().unwrap();
    assert!(sets.iter().any(|set| set == "portable") && sets.iter().any(|set| set == used));
    assert!(json["cores"].as_u64().unwrap() >= 1);
    let products = json["products"].as_array().unwrap();
    let native = json["native_bf16"].as_bool().unwrap();
    assert_eq!(products.len(), sets.len() + usize::from(native));
    for (product, set) in products.iter().zip(sets.iter().chain(sets.last())) {
        assert_eq!(&product["instruction_set"], set);
        assert!(product["one_thread_gflops"].as_f64().unwrap() > 0.0, "{product}");
        assert!(product["all_threads_gflops"].as_f64().unwrap() > 0.0, "{product}");
        let line = |line: &str| line.trim_start().starts_with(set.as_str().unwrap());
        assert!(text.lines().any(line), "{text}");
    }
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(text.contains(json["cpu"].as_str().unwrap()) && text.contains(used), "{text}");
}

#[test]
fn check_tells_errors_from_warnings_by_its_status() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let ran = sandbox.run(&["check", "data/train.jsonl", "--recipe", "data/tones.toml"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stdout);
    // Faults of single utterances are what `check` is for: status 1, not 2.
    let line = |id: &str, file: &str, text: &str| {
        format!(
            "{{\"id\":\"{id}\",\"audio_filepath\":\"{file}\",\"duration\":1.0,\"text\":\"{text}\"}}\n"
        )
    };
    sandbox.write("data/text.wav", "no audio\n");
    let faulty = line("gone", "gone.wav", "ab")
        + &line("text", "text.wav", "ab")
        + &line("foreign", "tone-200.wav", "xyz")
        + &line("crammed", "tone-201.wav", &"ab".repeat(200));
    sandbox.write("data/faulty.jsonl", faulty);
    let arguments = ["check", "data/faulty.jsonl", "--recipe", "data/tones.toml", "--json"];
    let ran = sandbox.run(&arguments);
    assert_eq!(ran.status, Some(1), "{}{}", ran.stdout, ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (id, kind) in [
        ("gone", "missing-audio"),
        ("text", "unreadable-audio"),
        ("foreign", "outside-alphabet"),
        ("crammed", "too-short-for-ctc"),
    ] {
        let found = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|finding| finding["id"] == id && finding["kind"] == kind);
        assert!(found, "{id} {kind}: {report:#}");
    }
    let text = sandbox.run(&arguments[..4]);
    assert_eq!(text.status, Some(1));
    assert!(
        text.stdout.contains("missing-audio") && text.stdout.contains("gone"),
        "{}",
        text.stdout
    );
}

#[test]
fn a_folder_goes_all_the_way_with_the_commands_that_prepare_prints() {
    let sandbox = Sandbox::new();
    for (number, speaker) in ["anna", "ben", "cleo", "dan"].into_iter().enumerate() {
        for tone in tones(&sandbox, &format!("mine/{speaker}"), 10 * number as u64, 6) {
            sandbox.write(format!("mine/{speaker}/{}.txt", tone.id), tone.text);
        }
    }
    let ran = sandbox.run_well(&["prepare", "folder", "--from", "mine"]);
    assert!(ran.stdout.contains("read 24 = kept 24 + refused 0"), "{}", ran.stdout);
    assert!(ran.stdout.contains("expect"), "under ten minutes it says so: {}", ran.stdout);
    assert!(sandbox.read_text("data/mine/recipe.toml").contains("sample-frequency = 8000"));
    let next: Vec<Vec<String>> = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("  labyrinth "))
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect();
    assert_eq!(next.len(), 3, "{}", ran.stdout);
    for command in next {
        let short = ["--set", "train.epochs=1"].map(str::to_owned);
        let more = if command[0] == "train" { &short[..] } else { &[] };
        sandbox.run_well(&[&command[..], more].concat());
    }
    let ran = sandbox.run_well(&[
        "prepare",
        "folder",
        "--from",
        "mine",
        "--hold-out",
        "cleo",
        "-o",
        "data/cleo",
    ]);
    assert!(ran.stdout.contains("cleo"), "{}", ran.stdout);
    let test = sandbox.read_text("data/cleo/test.jsonl");
    assert_eq!(test.lines().count(), 6);
    assert!(test.lines().all(|line| line.contains("\"speaker\":\"cleo\"")), "{test}");
}

#[test]
fn score_compares_files() {
    let sandbox = Sandbox::new();
    sandbox.write("said.txt", "One, two three\nfour\n");
    sandbox.write("heard.txt", "one two four\nfour four\n");
    let plain = ["score", "said.txt", "heard.txt", "--format", "plain"];
    let with = |more: &'static [&'static str]| [&plain[..], more].concat();
    let json =
        |more| -> Value { serde_json::from_str(&sandbox.run_well(&with(more)).stdout).unwrap() };
    let strict = json(&["--json"]);
    assert_eq!(strict["words"]["substitutions"], 2);
    let normal = json(&["--json", "--normalize"]);
    assert_eq!((&normal["words"]["substitutions"], &normal["wer"]), (&1.into(), &0.5.into()));
    let text = sandbox.run_well(&with(&["--alignments", "--normalize"])).stdout;
    assert!(text.contains("WER  50.00 %") && text.contains("REF:"), "{text}");
}

#[test]
fn transcribe_writes_json_and_reads_headerless_audio() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let file = "data/tone-000.wav";
    let text = sandbox.run_well(&["transcribe", MODEL, file]).stdout;
    let json = sandbox.run_well(&["transcribe", MODEL, file, "--format", "json"]).stdout;
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["text"].as_str().unwrap(), text.trim_end());
    assert_eq!(value["audio_filepath"], file);
    let words = value["words"].as_array().unwrap();
    let joined: Vec<&str> = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(joined.join(" "), text.trim_end());
    for word in words {
        let [start, end] = ["start", "end"].map(|key| word[key].as_f64().unwrap());
        assert!(0.0 <= start && start < end && end <= value["duration"].as_f64().unwrap() + 0.05);
    }
    let raw = sandbox.read(file)[44..].to_vec();
    let swapped: Vec<u8> = raw.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect();
    sandbox.write("tone.raw", swapped);
    let options = ["--encoding", "pcm_s16be", "--sample-rate", "8000"];
    let ran = sandbox.run_well(&[&["transcribe", MODEL, "tone.raw"], &options[..]].concat());
    assert_eq!(ran.stdout, text);
    sandbox.refuses(&["transcribe", MODEL, "tone.raw"], "tone.raw");
}

/// Promise 4 at the whole program's height: twenty steps, with a batch large enough to be cut.
#[test]
fn the_weights_do_not_depend_on_threads() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    for cell in ["gru", "lstm"] {
        let cell_set = format!("model.recurrent={cell}");
        let train = |threads: &str, run: &str| {
            let options = ["train.epochs=20", "train.batch-size=20", &cell_set];
            let mut arguments =
                vec!["train", "data/tones.toml", "--run", run, "--threads", threads];
            arguments.extend(options.iter().flat_map(|option| ["--set", *option]));
            arguments.extend(["--workers", threads]);
            let said = sandbox.run_well(&arguments).stdout;
            assert!(said.contains(", 20 steps"), "{said}");
            let model = sandbox.read(format!("{run}/model.safetensors"));
            let newest = sandbox.read(format!("{run}/checkpoints/step-000000020.safetensors"));
            (model, newest)
        };
        let one = train("1", &format!("{cell}-1"));
        for (threads, run) in [("2", "2"), ("3", "3"), ("4", "4"), ("2", "again")] {
            let other = train(threads, &format!("{cell}-{run}"));
            assert!(one.0 == other.0, "the model on {threads} threads differs ({cell})");
            assert!(one.1 == other.1, "the weights on {threads} threads differ ({cell})");
        }
    }
}

#[test]
fn the_model_and_the_logs_name_no_folder_of_this_machine() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let here = sandbox.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let model = sandbox.read(MODEL);
    assert!(!model.windows(here.len()).any(|bytes| bytes == here.as_bytes()));
}

#[test]
fn evaluate_writes_json_and_nothing_else() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let before = sandbox.snapshot();
    let json = sandbox.run_well(&["evaluate", MODEL, "data/test.jsonl", "--json"]).stdout;
    assert!(sandbox.snapshot() == before);
    sandbox.run_well(&["evaluate", MODEL, "data/test.jsonl", "-o", "test.json"]);
    let file: Value = serde_json::from_str(&sandbox.read_text("test.json")).unwrap();
    let printed: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(file["score"], printed["score"]);
    assert_eq!((&file["read"], &file["kept"]), (&6.into(), &6.into()));
    assert!(file["speed"]["real_time_factor"].as_f64().unwrap() > 0.0);
}

/// The whole of quickstart but for the length of its training.
#[test]
fn quickstart_runs_twice_in_a_row() {
    let sandbox = Sandbox::new();
    let short = ["quickstart", "--set", "train.epochs=1", "--set", "train.speeds=[1.0]"];
    let first = sandbox.run_well(&short);
    for part in
        ["synthetic speech", "never heard", "said ", "heard ", "WER ", "at 95 %", "prepare an4"]
    {
        assert!(first.stdout.contains(part), "{part} is missing in\n{}", first.stdout);
    }
    assert!(sandbox.path("runs/quickstart/model.safetensors").is_file());
    assert!(sandbox.path("runs/quickstart/test.json").is_file());
    let second = sandbox.run_well(&[&short[..], &["--seed", "2"]].concat());
    assert!(second.stdout.contains("runs/quickstart-2"), "{}", second.stdout);
    assert!(sandbox.path("runs/quickstart-2/model.safetensors").is_file());
    assert_ne!(
        sandbox.read("runs/quickstart/model.safetensors"),
        sandbox.read("runs/quickstart-2/model.safetensors")
    );
    // The commands that it prints work.
    let line =
        first.stdout.lines().find(|line| line.starts_with("  labyrinth transcribe")).unwrap();
    let arguments: Vec<&str> = line.trim().split(' ').skip(1).collect();
    sandbox.run_well(&arguments);
}

#[test]
fn standard_error_may_be_closed_too() {
    let sandbox = Sandbox::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_labyrinth"))
        .args(["transcribe", "missing", "missing"])
        .current_dir(sandbox.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(2));
}

#[test]
fn prepare_shows_every_corpus_with_its_split_and_licence() {
    let sandbox = Sandbox::new();
    let help = sandbox.run_well(&["prepare", "--help"]).stdout;
    for info in labyrinth_corpus::CORPORA {
        for text in [info.name, info.title, info.split, info.licence] {
            assert!(help.contains(text), "{}: {text}", info.name);
        }
    }
}
