//! Bad input: one sentence that names the file, status 2, nothing overwritten.

mod common;

use common::{MODEL, Ran, Sandbox, corpus, recipe, tones, trained};

#[test]
fn a_named_recording_that_cannot_be_used_is_refused() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let whole = sandbox.read("data/tone-000.wav");
    let with = |range: std::ops::Range<usize>, bytes: &[u8]| {
        let mut changed = whole.clone();
        changed[range].copy_from_slice(bytes);
        changed
    };
    let header_only = {
        let mut header = with(40..44, &[0; 4]);
        header.truncate(44);
        header[4..8].copy_from_slice(&36u32.to_le_bytes());
        header
    };
    for (name, bytes) in [
        ("truncated.wav", whole[..whole.len() / 2].to_vec()),
        ("truncated-in-its-header.wav", whole[..30].to_vec()),
        ("lies-about-its-length.wav", with(40..44, &100_000_000u32.to_le_bytes())),
        ("lies-about-its-channels.wav", with(22..24, &[0, 0])),
        ("lies-about-its-rate.wav", with(24..28, &[0; 4])),
        ("no-samples.wav", header_only),
        ("no-bytes.wav", Vec::new()),
        ("text.wav", b"ring the bell, now\n".to_vec()),
    ] {
        sandbox.write(name, bytes);
        sandbox.refuses(&["transcribe", MODEL, name], name);
    }
    sandbox.refuses(&["transcribe", MODEL, "not-there.wav"], "not-there.wav");
    sandbox.refuses(&["transcribe", MODEL, "data"], "data");
}

#[test]
fn a_recording_that_cannot_be_used_leaves_the_others_alone() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    sandbox.write("text.wav", "no audio");
    let good = ["data/tone-000.wav", "data/tone-001.wav"];
    let ran = sandbox.run(&["transcribe", MODEL, good[0], "text.wav", good[1]]);
    ran.is_one_sentence("text.wav");
    let names: Vec<&str> =
        ran.stdout.lines().filter_map(|line| line.split_once(':')).map(|pair| pair.0).collect();
    assert_eq!(names, good);
}

#[test]
fn a_missing_or_empty_folder_is_refused() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("empty")).unwrap();
    for corpus in labyrinth_corpus::CORPORA.iter().map(|info| info.name) {
        for folder in ["missing", "empty"] {
            let out = format!("out-{corpus}-{folder}");
            sandbox.refuses(&["prepare", corpus, "--from", folder, "-o", &out], folder);
            assert!(!sandbox.path(&out).exists(), "{out} was left behind");
        }
    }
    for folder in ["missing", "empty"] {
        sandbox.refuses(&["check", folder], folder);
    }
}

#[test]
fn a_manifest_with_a_broken_line_is_refused_by_its_number() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let good = sandbox.read_text("data/test.jsonl");
    let train = sandbox.read("data/train.jsonl");
    let duplicate = good.lines().next().unwrap();
    for broken in [
        "{\"audio_filepath\":\"tone-200.wav\",\"duration\":1.0",
        "{\"audio_filepath\":\"tone-200.wav\",\"text\":\"no duration\"}",
        "{\"audio_filepath\":\"tone-200.wav\",\"duration\":\"long\",\"text\":\"a\"}",
        "{\"audio_filepath\":\"tone-200.wav\",\"duration\":-1,\"text\":\"a\"}",
        "tone-200 ab cd",
        duplicate,
    ] {
        sandbox.write("data/broken.jsonl", format!("{good}{broken}\n"));
        let line = format!("data/broken.jsonl, line {}", good.lines().count() + 1);
        sandbox.refuses(&["evaluate", MODEL, "data/broken.jsonl"], &line);
        // To find such lines is what `check` is for: status 1, and told before it listens.
        let ran = sandbox.run(&["check", "data/broken.jsonl"]);
        assert_eq!(ran.status, Some(1), "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(&line), "{}", ran.stdout);
        assert!(broken == duplicate || ran.stderr.starts_with(&line), "{}", ran.stderr);
    }
    sandbox.write("data/train.jsonl", [&train, &b"{\"id\":\n"[..]].concat());
    sandbox.refuses(&["train", "data/tones.toml", "--run", "other"], "train.jsonl, line 21");
    sandbox.write("data/train.jsonl", "");
    sandbox.refuses(&["train", "data/tones.toml", "--run", "other"], "train.jsonl");
    std::fs::remove_file(sandbox.path("data/train.jsonl")).unwrap();
    sandbox.refuses(&["train", "data/tones.toml", "--run", "other"], "train.jsonl");
    sandbox.refuses(&["check", "data", "--recipe", "data/tones.toml"], "train.jsonl");
}

/// The recipe must be refused in one sentence, with the place and the line shown.
fn refuses_recipe(sandbox: &Sandbox, arguments: &[&str], line: &str) {
    let said = sandbox.refuses(arguments, "data/tones.toml:");
    assert!(said.contains(&format!("`{}`", line.trim())), "the line {line:?} is not shown: {said}");
    for jargon in ["panicked", "usize", "u64", "f64", "invalid type", "unknown field", "struct "] {
        assert!(!said.contains(jargon), "{said}");
    }
}

#[test]
fn a_recipe_with_an_unknown_key_or_a_wrong_type_is_refused_with_the_line() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let good = recipe();
    let cases = [
        // a line of the recipe, what stands in its place
        ("[data]", "colour = 3\n[data]"),
        ("[data]", "[data]\ntest = \"test.jsonl\""),
        ("train = \"train.jsonl\"", "train = 3"),
        ("[features]", "[data.normalizer]\ncases = \"upper\"\n[features]"),
        ("[features]", "[data.normalizer]\ncase = \"sideways\"\n[features]"),
        ("num-mel-bins = 24", "num-mel-bin = 24"),
        ("num-mel-bins = 24", "num-mel-bins = \"many\""),
        ("kind = \"fbank\"", "kind = \"cepstrum\""),
        ("recurrent-hidden = 32", "gru-width = 32"),
        ("recurrent-hidden = 32", "recurrent-hidden = 32.5"),
        ("recurrent-hidden = 32", "recurrent-hidden = -1"),
        ("kernel = [3, 3]", "kernels = [3, 3]"),
        ("kernel = [3, 3]", "kernel = 3"),
        ("epochs = 4", "epoch = 4"),
        ("epochs = 4", "epochs = \"four\""),
        ("speeds = [0.9, 1.0, 1.1]", "speeds = 1.0"),
        ("freq-masks = 1", "frequency-masks = 1"),
        ("freq-masks = 1", "freq-masks = true"),
        ("method = \"greedy\"", "methods = \"greedy\""),
        ("method = \"greedy\"", "method = \"beam\""),
        ("epochs = 4", "epochs = "),
    ];
    for (line, wrong) in cases {
        assert!(good.contains(line), "{line}");
        sandbox.write("data/tones.toml", good.replacen(line, wrong, 1));
        let shown = wrong.lines().rfind(|line| !good.contains(line)).unwrap_or(wrong);
        refuses_recipe(&sandbox, &["train", "data/tones.toml"], shown);
    }
    sandbox.write("data/tones.toml", good);
}

#[test]
fn a_recipe_whose_values_make_no_sense_is_refused() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    for (set, named) in [
        ("train.epochs=0", "epochs"),
        ("train.batch-size=0", "batch-size"),
        ("train.checkpoint-every=0", "checkpoint-every"),
        ("train.learning-rate=-1.0", "learning-rate"),
        ("train.warm-up=2.0", "warm-up"),
        ("train.speeds=[]", "speeds"),
        ("train.speeds=[100.0]", "speeds"),
        ("features.frame-length=0.0", "frame-length"),
        ("features.num-mel-bins=0", "num-mel-bins"),
        ("model.recurrent-hidden=0", "recurrent-hidden"),
        ("model.dropout=1.0", "dropout"),
        ("model.architecture=transformer", "transformer"),
        ("nonsense", "nonsense"),
    ] {
        sandbox.refuses(&["train", "data/tones.toml", "--set", set], named);
    }
    sandbox.refuses(&["train", "missing.toml"], "missing.toml");
    sandbox.refuses(&["train", "data"], "data");
    sandbox.refuses(&["check", "data", "--recipe", "missing.toml"], "missing.toml");
}

#[test]
fn a_model_file_of_another_version_or_truncated_is_refused() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let whole = sandbox.read(MODEL);
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let end = whole.len();
    let replaced = |from: &[u8], to: &[u8]| {
        assert_eq!(from.len(), to.len());
        let place = whole.windows(from.len()).position(|bytes| bytes == from).unwrap();
        let mut changed = whole.clone();
        changed[place..place + from.len()].copy_from_slice(to);
        changed
    };
    let mut flipped = whole.clone();
    flipped[end - 3] ^= 0x10;
    let mut cases = vec![
        ("of-another-version", replaced(br#"\"format\":1"#, br#"\"format\":9"#)),
        ("of-another-program", replaced(br#""labyrinth":"#, br#""labyrimth":"#)),
        ("with-another-width", replaced(br#"hidden\":32"#, br#"hidden\":33"#)),
        ("with-a-flipped-bit", flipped),
        ("text", b"This is a text, and no model at all.\n".to_vec()),
        ("grown", [&whole[..], b"more"].concat()),
    ];
    for length in [0, 5, 8, 100, 8 + header / 2, 8 + header, 8 + header + 1000, end - 4, end - 1] {
        cases.push(("truncated", whole[..length].to_vec()));
    }
    for (name, bytes) in cases {
        sandbox.write(name, &bytes);
        sandbox.refuses(&["transcribe", name, "data/tone-200.wav"], name);
        let said = sandbox.refuses(&["evaluate", name, "data/test.jsonl"], name);
        if name == "of-another-version" {
            assert!(said.contains("format 9") && said.contains("format 1"), "{said}");
        }
    }
    for name in ["not-there", "data"] {
        sandbox.refuses(&["transcribe", name, "data/tone-200.wav"], name);
    }
    sandbox.refuses(&["evaluate", "data/tone-200.wav", "data/test.jsonl"], "tone-200.wav");
}

#[test]
fn a_run_directory_with_another_run_is_refused_and_stays() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let said = sandbox.refuses(&["train", "data/tones.toml"], "runs/tones");
    assert!(said.contains("--resume") && said.contains("--run"), "{said}");
    let other = ["train", "data/tones.toml", "--set", "train.seed=4", "--run", "runs/tones"];
    sandbox.refuses(&other, "runs/tones");
    let said = sandbox.refuses(&[&other[..], &["--resume"]].concat(), "runs/tones");
    assert!(said.contains("seed = 3") && said.contains("seed = 4"), "{said}");
    let said = sandbox.refuses(&["quickstart", "--run", "runs/tones"], "runs/tones");
    assert!(said.contains("already holds a run"), "{said}");
    sandbox.refuses(&["train", "data/tones.toml", "--run", "data/tones.toml"], "data/tones.toml");
    sandbox.refuses(&["train", "data/tones.toml", "--run", "data/tones.toml/run"], "tones.toml");
    // The same run is refused once its data are others.
    tones(&sandbox, "data", 300, 1);
    let line = tones(&sandbox, "data", 300, 1)[0].line("");
    let train = sandbox.read_text("data/train.jsonl");
    sandbox.write("data/train.jsonl", train + &line);
    let set = ["--set", "train.epochs=1", "--resume"];
    sandbox.refuses(&[&["train", "data/tones.toml"], &set[..]].concat(), "train.jsonl");
}

#[test]
fn a_run_does_not_mix_with_other_files() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    sandbox.write("films/film.mkv.partial", "half a film");
    sandbox.write("locked/lock", "somebody's lock");
    for folder in ["films", "data", "locked"] {
        sandbox.refuses(&["train", "data/tones.toml", "--run", folder], folder);
    }
}

#[test]
fn an_evaluation_is_not_written_over_models_and_manifests() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    for out in [MODEL, "data/test.jsonl", "data"] {
        sandbox.refuses(&["evaluate", MODEL, "data/test.jsonl", "-o", out], out);
    }
    sandbox.run_well(&["evaluate", MODEL, "data/test.jsonl", "-o", "result.json"]);
    sandbox.run_well(&["evaluate", MODEL, "data/test.jsonl", "-o", "result.json"]);
}

#[test]
fn values_beyond_all_measure_are_refused_before_memory_is_asked_for() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    for set in [
        "model.recurrent-hidden=1000000000000",
        "model.projection=99999999999",
        "model.recurrent-layers=1000000",
        "features.high-freq=nan",
        "train.spec-augment.freq-masks=1000000000",
        "train.spec-augment.time-share=nan",
    ] {
        sandbox.refuses(&["train", "data/tones.toml", "--set", set], "");
    }
}

#[test]
fn a_run_whose_checkpoints_are_gone_is_not_begun_anew() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let train = ["train", "data/tones.toml", "--set", "train.epochs=3"];
    sandbox.run_well(&train);
    for checkpoint in std::fs::read_dir(sandbox.path("runs/tones/checkpoints")).unwrap() {
        std::fs::remove_file(checkpoint.unwrap().path()).unwrap();
    }
    let said = sandbox.refuses(&[&train[..], &["--resume"]].concat(), "runs/tones");
    assert!(said.contains("no checkpoint"), "{said}");
}

#[test]
fn prepare_does_not_write_over_other_data() {
    let sandbox = Sandbox::new();
    let folder = |name: &str, first: u64| {
        for tone in tones(&sandbox, &format!("{name}/anna"), first, 10) {
            sandbox.write(format!("{name}/anna/{}.txt", tone.id), tone.text);
        }
    };
    folder("one", 0);
    folder("two", 50);
    let prepare =
        |from: &str| ["prepare", "folder", "--from", from, "-o", "out"].map(str::to_owned);
    sandbox.run_well(&prepare("one"));
    let before = sandbox.snapshot();
    sandbox.run_well(&prepare("one"));
    assert!(sandbox.snapshot() == before, "the same preparation changed its own output");
    let said = sandbox.refuses(&prepare("two"), "out/train.jsonl");
    assert!(said.contains("--force"), "{said}");

    let edited = sandbox.read_text("out/recipe.toml").replace("seed = 1", "seed = 99");
    sandbox.write("out/recipe.toml", &edited);
    let ran = sandbox.run_well(&[&prepare("two")[..], &["--force".to_owned()]].concat());
    assert!(ran.stdout.contains("out/recipe.toml was edited and stays"), "{}", ran.stdout);
    assert_eq!(sandbox.read_text("out/recipe.toml"), edited);
    assert!(sandbox.read_text("out/train.jsonl").contains("two/"));
}

#[test]
fn files_of_transcripts_that_do_not_fit_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("said", "u1 one two\nu2 three\n");
    sandbox.write("heard", "u1 one two\nu9 three\n");
    sandbox.write("broken.jsonl", "{\"id\":\"u1\"\n");
    for (reference, hypothesis, named) in
        [("missing", "heard", "missing"), ("said", "missing", "missing"), ("said", "heard", "u9")]
    {
        sandbox.refuses(&["score", reference, hypothesis, "--format", "kaldi"], named);
    }
    sandbox.refuses(&["score", "broken.jsonl", "broken.jsonl"], "broken.jsonl");
    // Two files of plain lines that do not look alike.
    sandbox.write("plain.txt", "one two\nthree\n");
    sandbox.write("ids.txt", "x_1 two\nx_2 three\n");
    let said = sandbox.refuses(&["score", "plain.txt", "ids.txt"], "ids.txt");
    assert!(said.contains("--format plain"), "{said}");
    let said = sandbox.refuses(&["score", "plain.txt", "plain.txt"], "plain.txt");
    assert!(said.contains("--format plain") && said.contains("--format kaldi"), "{said}");
    sandbox.write("id.jsonl", "{\"id\":\"u1\",\"text\":\"a\"}\n");
    let said = sandbox.refuses(&["score", "plain.txt", "id.jsonl"], "id.jsonl");
    assert!(!said.contains("plain lines with") && !said.contains("--format plain"), "{said}");
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let out = ["evaluate", MODEL, "data/test.jsonl", "-o", "missing/test.json"];
    sandbox.refuses(&out, "missing/test.json");
    // A file where a folder shall be made, for a file system that lets root write anywhere.
    sandbox.refuses(&["quickstart", "--run", "data/tones.toml/run"], "tones.toml");
}

/// Opening a pipe waits for somebody to write, and a device may never end.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_a_device_or_a_folder_is_refused_at_once() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    // Outside of the sandbox, which is read as a whole.
    let elsewhere = tempfile::tempdir().unwrap();
    let pipe = elsewhere.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let folder = elsewhere.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let tone = "data/tone-200.wav";
    for special in [pipe.to_str().unwrap(), "/dev/zero", folder.to_str().unwrap()] {
        for arguments in [
            &["transcribe", MODEL, special][..],
            &["transcribe", special, tone],
            &["evaluate", MODEL, special],
            &["train", special],
        ] {
            let mut child = sandbox.command(arguments).spawn().unwrap();
            let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
            while child.try_wait().unwrap().is_none() {
                if std::time::Instant::now() > end {
                    child.kill().unwrap();
                    panic!("{arguments:?} hangs");
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Ran::of(child.wait_with_output().unwrap()).is_one_sentence(special);
        }
    }
    sandbox.refuses(&["check", pipe.to_str().unwrap()], "pipe");
}

#[test]
fn choosing_by_what_was_trained_on_is_refused() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let train = sandbox.read("data/train.jsonl");
    sandbox.write("data/copy.jsonl", train);
    for dev in ["train.jsonl", "../data/train.jsonl", "copy.jsonl"] {
        let set = format!("data.dev=\"{dev}\"");
        let said = sandbox.refuses(&["train", "data/tones.toml", "--set", &set], "train.jsonl");
        assert!(said.contains(dev) && said.contains("the same data"), "{said}");
    }
}

#[test]
fn frames_longer_than_every_recording_are_told_as_such() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let long = ["train", "data/tones.toml", "--set", "features.frame-length=5000"];
    let said = sandbox.refuses(&long, "train.jsonl");
    assert!(said.contains("shorter-than-a-frame 20"), "{said}");
    assert!(said.contains("lower frame-length"), "{said}");
    let strides = ["train", "data/tones.toml", "--set", "model.convolutions=[{stride=[200, 2]}]"];
    let said = sandbox.refuses(&strides, "train.jsonl");
    assert!(said.contains("too-short-for-ctc 20") && said.contains("strides"), "{said}");
    // Where some remain, each of the others is named with both lengths.
    let some = ["train", "data/tones.toml", "--set", "features.frame-length=650", "--set"];
    // Every frame of the features is one of the model, or too few would be left for their transcripts.
    let whole = ["model.convolutions=[{stride=[1, 2]}]", "--set", "train.epochs=1"];
    sandbox.run_well(&[&some[..], &whole, &["--run", "some"]].concat());
    let ledger = sandbox.read_text("some/ledger.jsonl");
    let line = ledger.lines().find(|line| line.contains("shorter-than-a-frame")).unwrap();
    assert!(line.contains(" s are shorter than one frame (frame-length is 650 ms)"), "{line}");
    sandbox.write("data/long.toml", recipe().replace("[model]", "frame-length = 5000\n[model]"));
    let ran = sandbox.run(&["check", "data/dev.jsonl", "--recipe", "data/long.toml"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.contains("shorter-than-a-frame dev tone-100"), "{}", ran.stdout);
}

#[test]
fn a_value_of_a_manifest_that_does_not_fit_is_named_in_plain_words() {
    let sandbox = Sandbox::new();
    for (value, said) in [
        ("\"duration\":\"long\",\"text\":\"a\"", "`duration` must be a number, not \"long\""),
        ("\"duration\":1,\"text\":7", "`text` must be a text in quotes, not 7"),
        ("\"duration\":1", "the key `text` is missing"),
    ] {
        sandbox.write("m.jsonl", format!("{{\"audio_filepath\":\"a.wav\",{value}}}\n"));
        let sentence = sandbox.refuses(&["check", "m.jsonl"], "m.jsonl, line 1");
        assert!(sentence.contains(said), "{sentence}");
    }
    sandbox.write("said.jsonl", "{\"id\":[1],\"text\":\"a\"}\n");
    let sentence = sandbox.refuses(&["score", "said.jsonl", "said.jsonl"], "said.jsonl line 1");
    assert!(sentence.contains("`id` must be a text in quotes or a whole number"), "{sentence}");
}

#[test]
fn lists_of_corpora_are_refused_with_file_and_line() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let write = |name: &str, text: &str| sandbox.write(name, text);
    let prepare = |corpus: &str, from: &str| {
        ["prepare", corpus, "--from", from, "-o", "out"].map(str::to_owned)
    };
    write("kaldi/wav.scp", "a a.wav\nb\n");
    sandbox.refuses(&prepare("kaldi", "kaldi"), "wav.scp, line 2");
    write("table.csv", "audio,text\na.wav,\"x\n");
    sandbox.refuses(&prepare("csv", "table.csv"), "table.csv, line 2");
    write("cuts.jsonl", "{}\n");
    sandbox.refuses(&prepare("lhotse", "cuts.jsonl"), "cuts.jsonl, line 1");
    write("nemo.json", "{\"audio_filepath\":\"a.wav\",\"duration\":\"long\",\"text\":\"x\"}\n");
    sandbox.refuses(&prepare("nemo", "nemo.json"), "nemo.json, line 1");
    // Commands in a list are never run: nothing can be used, and the sentence says why.
    write("piped/wav.scp", "a touch ran |\n");
    write("piped/text", "a hello\n");
    write("piped/utt2spk", "a s\n");
    let said = sandbox.refuses(&prepare("kaldi", "piped"), "commands are not run");
    assert!(!sandbox.path("ran").exists() && !sandbox.path("piped/ran").exists(), "{said}");
    let speakers = ["--test-speakers".to_owned(), "nobody".to_owned()];
    let named = [&prepare("nemo", "data/train.jsonl")[..], &speakers[..]].concat();
    sandbox.refuses(&named, "\"nobody\"");
    assert!(!sandbox.path("out").exists());
}
