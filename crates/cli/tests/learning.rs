//! The whole path through the program: it learns, what it could not use stands in the ledger, and
//! refusing never improves a figure.

mod common;

use common::{MODEL, Sandbox, corpus, tones, trained};

/// Trains until nothing is left to learn.
const LEARN_BY_HEART: [&str; 16] = [
    "train",
    "data/tones.toml",
    "--set",
    "train.epochs=60",
    "--set",
    "train.batch-size=2",
    "--set",
    "train.learning-rate=1e-2",
    "--set",
    "train.weight-decay=0.0",
    "--set",
    "train.speeds=[1.0]",
    "--set",
    "model.dropout=0.0",
    "--set",
    "model.recurrent-hidden=64",
];

/// Learns eight utterances by heart, with these arguments as well; the manifest's lines.
fn learn_eight(sandbox: &Sandbox, more: &[&str]) -> String {
    corpus(sandbox);
    let lines: String = tones(sandbox, "data", 0, 8).iter().map(|tone| tone.line("")).collect();
    sandbox.write("data/train.jsonl", &lines);
    // The same utterances, which is what shall be measured here, though not the same file.
    let turned: Vec<&str> = lines.lines().rev().collect();
    sandbox.write("data/dev.jsonl", turned.join("\n"));
    // The masks would hide what shall be learnt by heart, speeds and dropout only slow it down.
    let recipe = sandbox.read_text("data/tones.toml").replace("-masks = 1", "-masks = 0");
    sandbox.write("data/tones.toml", recipe);
    let arguments = [&LEARN_BY_HEART[..], more].concat();
    let ran = sandbox.run_well(&arguments);
    assert!(ran.last_line().contains("dev WER 0.00 %"), "{}", ran.stdout);
    lines
}

#[test]
fn eight_utterances_are_learnt_without_an_error() {
    let sandbox = Sandbox::new();
    let lines = learn_eight(&sandbox, &[]);
    let ran = sandbox.run_well(&["evaluate", MODEL, "data/train.jsonl"]);
    assert!(ran.stdout.starts_with("WER  0.00 %"), "{}", ran.stdout);
    assert!(ran.stdout.contains("exact binomial bound"), "{}", ran.stdout);
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let file = format!("data/{}", value["audio_filepath"].as_str().unwrap());
        let ran = sandbox.run_well(&["transcribe", MODEL, &file]);
        assert_eq!(ran.stdout.trim_end(), value["text"].as_str().unwrap());
    }
}

#[test]
fn eight_utterances_are_learnt_in_bf16_without_an_error() {
    let sandbox = Sandbox::new();
    let doctor = sandbox.run_well(&["doctor", "--json"]);
    let doctor: serde_json::Value = serde_json::from_str(&doctor.stdout).unwrap();
    let isa = match doctor["instruction_set"].as_str().unwrap() {
        "avx512" if doctor["native_bf16"] == false => "avx2",
        other => other,
    };
    learn_eight(&sandbox, &["--set", "train.precision=bf16", "--isa", isa]);
    // The model is of the same kind, so that it runs in both precisions.
    for precision in ["f32", "bf16"] {
        let arguments =
            ["evaluate", MODEL, "data/train.jsonl", "--isa", isa, "--precision", precision];
        let ran = sandbox.run_well(&arguments);
        assert!(ran.stdout.starts_with("WER  0.00 %"), "{}", ran.stdout);
        assert_eq!(ran.stdout.contains(" in bf16"), precision == "bf16", "{}", ran.stdout);
    }
    // A run keeps its precision.
    let ran = sandbox.run(&[&LEARN_BY_HEART[..], &["--isa", isa, "--resume"]].concat());
    let said = ran.is_one_sentence("another recipe");
    assert!(said.contains("precision"), "{said}");
}

/// Lines of a manifest whose audio cannot be used, with their codes.
fn faulty_lines(sandbox: &Sandbox) -> (String, [(&'static str, &'static str); 4]) {
    sandbox.write("data/text.wav", "this is a text\n");
    let whole = sandbox.read("data/tone-000.wav");
    sandbox.write("data/cut.wav", &whole[..whole.len() - 500]);
    let line = |id: &str, file: &str, offset: &str| {
        format!(
            "{{\"id\":\"{id}\",\"audio_filepath\":\"{file}\",\"duration\":0.8,{offset}\
             \"text\":\"ab cd ef\",\"speaker\":\"faulty\"}}\n"
        )
    };
    let lines = line("gone", "gone.wav", "")
        + &line("text", "text.wav", "")
        + &line("cut", "cut.wav", "")
        + &line("past", "tone-000.wav", "\"offset\":100.0,");
    let codes = [
        ("gone", "missing-audio"),
        ("text", "unreadable-audio"),
        ("cut", "unreadable-audio"),
        ("past", "offset-past-end"),
    ];
    (lines, codes)
}

#[test]
fn a_fault_of_one_utterance_goes_to_the_ledger_and_training_goes_on() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let (lines, codes) = faulty_lines(&sandbox);
    let crammed = format!(
        "{{\"id\":\"crammed\",\"audio_filepath\":\"tone-001.wav\",\"duration\":1.0,\"text\":\"{}\"}}\n",
        "ab".repeat(200)
    );
    let train = sandbox.read_text("data/train.jsonl");
    sandbox.write("data/train.jsonl", lines + &train + &crammed);
    let arguments = ["train", "data/tones.toml", "--set", "train.epochs=2"];
    let ran = sandbox.run_well(&arguments);
    let expected = "left out of training: 5 of 25 utterances: 1 missing-audio, 2 unreadable-audio, \
                    1 offset-past-end, 1 too-short-for-ctc, named in runs/tones/ledger.jsonl";
    assert!(ran.last_line().ends_with(expected), "{}", ran.stdout);
    let ledger = sandbox.read_text("runs/tones/ledger.jsonl");
    for (id, code) in codes.into_iter().chain([("crammed", "too-short-for-ctc")]) {
        let line = ledger.lines().find(|line| line.contains(&format!("\"{id}\"")));
        assert!(line.is_some_and(|line| line.contains(code)), "{id} {code} in\n{ledger}");
    }
    let last = ledger.lines().last().unwrap();
    assert!(last.contains("\"read\":25,\"kept\":20,\"refused\":5"), "{last}");
}

#[test]
fn a_corpus_without_one_usable_recording_is_no_success() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let lines = sandbox.read_text("data/train.jsonl").replace("tone-", "gone-");
    sandbox.write("data/train.jsonl", lines);
    let ran = sandbox.run(&["train", "data/tones.toml", "--set", "train.epochs=1"]);
    ran.is_one_sentence("train.jsonl");
}

#[test]
fn what_cannot_be_heard_counts_as_deletions_and_all_else_is_scored() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let evaluate = |manifest: &str| -> serde_json::Value {
        let ran = sandbox.run_well(&["evaluate", MODEL, manifest, "--json"]);
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let test = sandbox.read_text("data/test.jsonl");
    let sound = evaluate("data/test.jsonl");
    let (lines, codes) = faulty_lines(&sandbox);
    sandbox.write("data/faulty.jsonl", test + &lines);
    let faulty = evaluate("data/faulty.jsonl");
    let words =
        |value: &serde_json::Value, kind: &str| value["score"]["words"][kind].as_u64().unwrap();
    // Four utterances of three words each, whose audio is lost: twelve deletions more.
    assert_eq!(words(&faulty, "deletions"), words(&sound, "deletions") + 12);
    assert_eq!(words(&faulty, "reference"), words(&sound, "reference") + 12);
    for same in ["substitutions", "insertions"] {
        assert_eq!(words(&faulty, same), words(&sound, same));
    }
    let refused = faulty["refused"].as_array().unwrap();
    assert_eq!((refused.len(), &faulty["read"], &faulty["kept"]), (4, &10.into(), &6.into()));
    for ((id, code), refusal) in codes.into_iter().zip(refused) {
        assert_eq!((&refusal["id"], &refusal["reason"]), (&id.into(), &code.into()));
    }
    let text = sandbox.run_well(&["evaluate", MODEL, "data/faulty.jsonl"]).stdout;
    assert!(text.contains("read 10 = kept 6 + refused 4"), "{text}");
    assert!(codes.iter().all(|(id, code)| text.contains(&format!("{code} {id}"))), "{text}");

    // Characters outside the alphabet and transcripts too long for their audio are scored: what was
    // heard stands against them.
    let line = |id: &str, file: &str, text: &str| {
        format!(
            "{{\"id\":\"{id}\",\"audio_filepath\":\"{file}\",\"duration\":1.0,\"text\":\"{text}\"}}\n"
        )
    };
    let strange = line("foreign", "tone-200.wav", "xyz xyz")
        + &line("long", "tone-201.wav", &"ab ".repeat(200));
    sandbox.write("data/strange.jsonl", strange);
    let strange = evaluate("data/strange.jsonl");
    assert_eq!((&strange["kept"], &strange["outside_alphabet"]), (&2.into(), &1.into()));
    assert_eq!(strange["feasible"], 0);
    assert_eq!(words(&strange, "reference"), 202);
    let utterances = strange["score"]["utterances"].as_array().unwrap();
    let heard = sandbox.run_well(&["transcribe", MODEL, "data/tone-200.wav"]).stdout;
    assert_eq!(utterances[0]["hypothesis"].as_str().unwrap(), heard.trim_end());
}

/// A disk that fails while reading is no fault of the data: the run stops and names the file. A process's
/// own memory stands for it: reading it from its beginning gives an input/output error, to root as well.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fails_stops_the_run() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    for file in ["tone-003.wav", "tone-201.wav"] {
        let path = sandbox.path("data").join(file);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/proc/self/mem", path).unwrap();
    }
    let evaluate = sandbox.run(&["evaluate", MODEL, "data/test.jsonl"]);
    assert_eq!(evaluate.stdout, "");
    evaluate.is_one_sentence("tone-201.wav");
    sandbox.run(&["check", "data/test.jsonl"]).is_one_sentence("tone-201.wav");
    let train = sandbox.run(&["train", "data/tones.toml", "--run", "other"]);
    train.is_one_sentence("tone-003.wav");
}
