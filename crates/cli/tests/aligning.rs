//! The first form, whole: recordings with label tracks to a model that names the sound of each frame, and
//! transcripts to label tracks by an aligner.

mod common;

use std::collections::BTreeMap;

use common::{MODEL, RATE, Sandbox, corpus, recipe, sound_of, text_of};
use labyrinth::signal::write_wav;

/// When each tone of [`sound_of`] sounds: (start, end, letter) in seconds.
fn tones_of(text: &str) -> Vec<(f64, f64, char)> {
    let step = (0.09 * f64::from(RATE)).floor() / f64::from(RATE);
    let at = |index: usize| 0.05 + index as f64 * step;
    let sounds = text.chars().enumerate().filter(|(_, letter)| *letter != ' ');
    sounds.map(|(index, letter)| (at(index), at(index + 1), letter)).collect()
}

fn audacity(text: &str) -> String {
    tones_of(text).iter().map(|(a, b, letter)| format!("{a:.6}\t{b:.6}\t{letter}\n")).collect()
}

/// Recordings of several speakers with an Audacity label track beside each, and three broken tracks.
fn labelled_folder(sandbox: &Sandbox) {
    for seed in 0..48 {
        let text = text_of(seed);
        let name = format!("recordings/speaker-{}/{seed:02}", seed % 6);
        let track = match seed {
            0 => audacity(&text).replacen("0.050000\t", "9.500000\t", 1), // ends before it starts
            1 => audacity(&text) + "2.0\t99.0\ta\n",                      // past the recording
            2 => audacity(&text) + "0.06\t0.3\tb\n",                      // overlaps
            _ => audacity(&text),
        };
        let path = sandbox.write(format!("{name}.txt"), track).with_extension("wav");
        write_wav(&path, RATE, &sound_of(&text, seed)).unwrap();
    }
}

fn framewise_recipe(more: &str) -> String {
    recipe()
        .replace("[features]", &format!("units = \"phonemes\"\n{more}\n[features]"))
        .replace("[train]\n", "[train]\nloss = \"framewise\"\n")
        .replace("epochs = 4", "epochs = 30")
        .replace("checkpoint-every = 3", "checkpoint-every = 1000")
        .replace("stride = [2, 2]", "stride = [1, 2]")
        .replace("-masks = 1", "-masks = 0")
}

#[test]
fn a_folder_with_label_tracks_becomes_a_framewise_model() {
    let sandbox = Sandbox::new();
    labelled_folder(&sandbox);
    sandbox.run_well(&["prepare", "folder", "--from", "recordings", "-o", "data/mine"]);
    let ledger = sandbox.read_text("data/mine/ledger.jsonl");
    // Two tracks are broken in themselves and refused at once, with file and line.
    for (id, detail) in [("speaker-0/00", "before it starts"), ("speaker-1/01", "ends at 99 s")] {
        let line = ledger.lines().find(|line| line.contains(id)).unwrap();
        assert!(line.contains("unusable-labels") && line.contains(detail), "{line}");
    }
    let train = sandbox.read_text("data/mine/train.jsonl");
    assert!(train.contains("\"labels\":"), "{train}");
    // All sets in one where `speaker-2/02`, whose labels overlap, is trained on for sure.
    let all: String =
        ["train", "dev"].map(|set| sandbox.read_text(format!("data/mine/{set}.jsonl"))).concat()
            + &sandbox.read_text("data/mine/test.jsonl");
    let (dev, train): (Vec<&str>, Vec<&str>) =
        all.lines().partition(|line| line.contains("\"id\":\"speaker-5/"));
    let without =
        "{\"id\":\"no-track\",\"audio_filepath\":\"x.wav\",\"duration\":1.0,\"text\":\"a\"}\n";
    sandbox.write("data/mine/train.jsonl", train.join("\n") + "\n" + without);
    sandbox.write("data/mine/dev.jsonl", dev.join("\n") + "\n");
    sandbox.write("data/mine/tones.toml", framewise_recipe(""));
    let ran = sandbox.run_well(&["train", "data/mine/tones.toml"]);
    assert!(ran.stdout.contains("alphabet of 8 phonemes"), "{}", ran.stdout);
    // Broken tracks are counted before the first step.
    let data = ran.stdout.lines().find(|line| line.starts_with("data ")).unwrap();
    assert!(data.contains("missing-labels 1") && data.contains("unusable-labels 1"), "{data}");
    assert!(
        ran.stdout.contains("frames right") && ran.stdout.contains("silence"),
        "{}",
        ran.stdout
    );
    assert!(!ran.stdout.contains("WER") && !ran.stdout.contains("CER"), "{}", ran.stdout);
    let ledger = sandbox.read_text("runs/tones/ledger.jsonl");
    let line = |id: &str| ledger.lines().find(|line| line.contains(id)).unwrap().to_owned();
    assert!(line("speaker-2/02").contains("unusable-labels"), "{ledger}");
    assert!(line("speaker-2/02").contains("overlap"), "{ledger}");
    assert!(line("speaker-2/02").contains("02.txt: label "), "{ledger}");
    assert!(line("no-track").contains("missing-labels"), "{ledger}");

    // A speaker's recordings that were not trained on: nearly all frames are right.
    let test: String = dev.iter().rev().map(|line| format!("{line}\n")).collect();
    sandbox.write("data/mine/unseen.jsonl", test);
    let ran = sandbox.run_well(&["evaluate", MODEL, "data/mine/unseen.jsonl", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let (all, correct) = (&value["frames"]["all"], &value["frames"]["correct"]);
    let accuracy = correct.as_f64().unwrap() / all.as_f64().unwrap();
    assert!(accuracy > 0.85, "{accuracy}");
    // Two equal letters after each other are one to a model of frames: about one in eight of these.
    assert!(value["score"]["per"].as_f64().unwrap() < 0.3, "{}", value["score"]["per"]);
    assert!(value["score"].get("wer").is_none() && value["score"].get("cer").is_none());
    // In a stream they are compared with the same: what the tracks say.
    let chunks = ["--stream", "--chunk-seconds", "60"];
    let offline = ["evaluate", MODEL, "data/mine/unseen.jsonl"];
    let ran = sandbox.run_well(&[&offline[..], &chunks, &["--json"]].concat());
    let streamed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(streamed["score"], value["score"]);
    assert!(streamed["offline"].get("wer").is_none(), "{}", streamed["offline"]);
    let ran = sandbox.run_well(&[&offline[..], &chunks].concat());
    assert!(ran.stdout.starts_with("PER ") && ran.stdout.contains("offline PER"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("WER") && !ran.stdout.contains("CER"), "{}", ran.stdout);
    // Without tracks there is nothing to measure.
    let bare = |from: &str, to: &str| {
        let manifest = sandbox.read_text("data/mine/unseen.jsonl");
        sandbox.write("data/mine/bare.jsonl", manifest.replace(from, to));
        for stream in [&[][..], &chunks] {
            let arguments = [&["evaluate", MODEL, "data/mine/bare.jsonl"][..], stream].concat();
            let said = sandbox.refuses(&arguments, "data/mine/bare.jsonl");
            assert!(said.contains("labyrinth align"), "{said}");
        }
    };
    bare("\"labels\":", "\"remark\":");
    bare(".txt\"", ".gone.txt\"");
    let ran = sandbox.run_well(&["evaluate", MODEL, "data/mine/unseen.jsonl"]);
    assert!(ran.stdout.starts_with("PER "), "{}", ran.stdout);
    assert!(ran.stdout.contains("have the label of the track"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("WER") && !ran.stdout.contains("CTC"), "{}", ran.stdout);

    // What is heard, with times: in the middle of a tone nearly always that tone.
    let (mut right, mut tones) = (0, 0);
    for seed in (5..48).step_by(6) {
        let file = format!("recordings/speaker-5/{seed:02}.wav");
        let ran = sandbox.run_well(&["transcribe", MODEL, &file]);
        let heard: Vec<(f64, f64, &str)> = ran
            .stdout
            .lines()
            .map(|line| {
                let fields: Vec<&str> = line.split('\t').collect();
                (fields[0].parse().unwrap(), fields[1].parse().unwrap(), fields[2])
            })
            .collect();
        assert!(heard.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{}", ran.stdout);
        for (start, end, letter) in tones_of(&text_of(seed)) {
            let middle = 0.5 * (start + end);
            let there = heard.iter().find(|(from, to, _)| *from <= middle && middle < *to);
            tones += 1;
            right += usize::from(there.is_some_and(|heard| heard.2 == letter.to_string()));
        }
        let ran = sandbox.run_well(&["transcribe", MODEL, &file, "--format", "json"]);
        let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(value["words"].as_array().unwrap().len(), heard.len());
    }
    assert!(right * 10 >= tones * 8, "{right} of {tones}");

    // It does not align, and says why.
    let said = sandbox.refuses(&["align", MODEL, "recordings/speaker-5/05.wav", "a"], "CTC");
    assert!(said.contains("model.safetensors"), "{said}");
}

#[test]
fn labels_outside_the_alphabet_are_passed_over_and_counted() {
    let sandbox = Sandbox::new();
    labelled_folder(&sandbox);
    sandbox.run_well(&["prepare", "folder", "--from", "recordings", "-o", "data/mine"]);
    let few = framewise_recipe("track = { labels = [\"a\", \"b\", \"c\"] }")
        .replace("epochs = 30", "epochs = 1");
    sandbox.write("data/mine/tones.toml", few);
    let ran = sandbox.run_well(&["train", "data/mine/tones.toml"]);
    assert!(ran.stdout.contains("alphabet of 3 phonemes"), "{}", ran.stdout);
    assert!(ran.stdout.contains("outside the alphabet and are passed over"), "{}", ran.stdout);
    let log = sandbox.read_text("runs/tones/log.jsonl");
    let epoch = log.lines().find(|line| line.contains("\"epoch\"") && line.contains("dev-per"));
    let epoch: serde_json::Value = serde_json::from_str(epoch.unwrap()).unwrap();
    assert!(epoch["passed-over"].as_u64().unwrap() > 100, "{epoch}");
    // A label that no track says is told; where none does, nothing is trained.
    let train = ["train", "data/mine/tones.toml", "--run", "runs/other", "--set"];
    let labels = |labels: &str| format!("data.track={{ labels = {labels} }}");
    let ran = sandbox.run_well(&[&train[..], &[&labels(r#"["a", "b", "zz"]"#)]].concat());
    assert!(ran.stdout.contains("stand in no label track") && ran.stdout.contains("\"zz\""));
    std::fs::remove_dir_all(sandbox.path("runs/other")).unwrap();
    let none = labels(r#"["yy", "zz"]"#);
    let said = sandbox.refuses(&[&train[..], &[&none]].concat(), "\"yy\", \"zz\"");
    assert!(said.contains("there stand \"a\", \"b\""), "{said}");
    // Where they are evaluated they count as wrong: leaving out must not improve a figure.
    let ran = sandbox.run_well(&["evaluate", MODEL, "data/mine/test.jsonl", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let count = |key: &str| value["frames"][key].as_u64().unwrap();
    assert!(count("outside_alphabet") > 50);
    assert!(count("correct") + count("outside_alphabet") <= count("all"));
}

/// A model of letters that knows the tones well.
fn aligner(sandbox: &Sandbox) {
    corpus(sandbox);
    let recipe = sandbox.read_text("data/tones.toml").replace("-masks = 1", "-masks = 0");
    sandbox.write("data/tones.toml", recipe);
    let more = ["train.epochs=40", "train.learning-rate=1e-2", "train.weight-decay=0.0"];
    let set = more.iter().flat_map(|value| ["--set", value]);
    let arguments: Vec<&str> = ["train", "data/tones.toml"].into_iter().chain(set).collect();
    sandbox.run_well(&arguments);
}

#[test]
fn letters_and_words_are_found_where_they_sound() {
    let sandbox = Sandbox::new();
    aligner(&sandbox);
    let text = text_of(3);
    let letters = sandbox.run_well(&["align", MODEL, "data/tone-003.wav", &text]);
    let truth = tones_of(&text);
    let found: Vec<(f64, f64, String)> = letters
        .stdout
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            (fields[0].parse().unwrap(), fields[1].parse().unwrap(), fields[2].to_owned())
        })
        .collect();
    assert_eq!(found.len(), truth.len(), "{}", letters.stdout);
    for ((start, end, letter), (true_start, true_end, tone)) in found.iter().zip(&truth) {
        assert_eq!(letter, &tone.to_string());
        assert!(start < end);
        let middle = 0.5 * (true_start + true_end);
        assert!(start - 0.05 < middle && middle < end + 0.05, "{truth:?}\n{}", letters.stdout);
    }
    assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{}", letters.stdout);

    // Words in all formats; the transcript from a file.
    sandbox.write("text.txt", &text);
    let words = text.split_whitespace().count();
    for (format, lines) in [("audacity", words), ("ctm", words)] {
        let arguments = [
            "align",
            MODEL,
            "data/tone-003.wav",
            "text.txt",
            "--units",
            "words",
            "--format",
            format,
        ];
        let ran = sandbox.run_well(&arguments);
        assert_eq!(ran.stdout.lines().count(), lines, "{}", ran.stdout);
    }
    let arguments = ["align", MODEL, "data/tone-003.wav", "text.txt", "-o", "a.TextGrid"];
    sandbox.run_well(&arguments);
    let grid = sandbox.read_text("a.TextGrid");
    assert!(grid.contains("\"letters\"") && grid.contains("\"words\""), "{grid}");

    // Phonemes of a model that has none: parts of words, and it says so.
    let lexicon: String = text
        .split_whitespace()
        .map(|word| {
            format!(
                "{word} {}\n",
                word.to_uppercase().chars().map(|c| format!("{c} ")).collect::<String>()
            )
        })
        .collect();
    sandbox.write("lexicon.txt", lexicon);
    let phonemes = ["align", MODEL, "data/tone-003.wav", &text, "--units", "phonemes"];
    assert!(sandbox.refuses(&phonemes, "--lexicon").contains("no phonemes"));
    let ran = sandbox.run_well(&[&phonemes[..], &["--lexicon", "lexicon.txt"]].concat());
    assert_eq!(ran.stdout.lines().count(), truth.len());
    assert!(ran.stderr.contains("equal parts"), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_aligned_is_one_sentence_or_a_line_of_the_ledger() {
    let sandbox = Sandbox::new();
    common::trained(&sandbox);
    let wav = "data/tone-003.wav";
    sandbox.refuses(&["align", MODEL, wav], "what is spoken");
    sandbox.refuses(&["align", MODEL, wav, "..."], "nothing is left");
    sandbox.refuses(&["align", MODEL, wav, "xyz"], "`x`");
    sandbox.refuses(&["align", MODEL, wav, &"abab".repeat(100)], "need 400 frames");
    sandbox.refuses(&["align", MODEL, "none.wav", "ab"], "none.wav");
    sandbox.refuses(&["align", MODEL, wav, "none.txt"], "none.txt");
    sandbox.refuses(&["align", MODEL, wav, "ab", "-o", "data"], "folder");
    for name in ["labels.foo", "labels", "labels.srt"] {
        sandbox.refuses(&["align", MODEL, wav, "ab", "-o", name], "--format");
    }
    sandbox.run_well(&["align", MODEL, wav, "ab", "-o", "labels.foo", "--format", "ctm"]);
    sandbox.refuses(&["align", MODEL, "data/train.jsonl"], "-o");
    sandbox.refuses(&["align", MODEL, "data/train.jsonl", "ab", "-o", "out"], "leave out");
    sandbox.refuses(&["align", MODEL, wav, "ab", "--lexicon", "data/tones.toml"], "tones.toml");

    let line = |id: &str, file: &str, text: &str| {
        format!(
            "{{\"id\":\"{id}\",\"audio_filepath\":\"{file}\",\"duration\":1.0,\"text\":\"{text}\"}}\n"
        )
    };
    let lines = sandbox.read_text("data/test.jsonl")
        + &line("x/y", "tone-200.wav", &text_of(200))
        + &line("foreign", "tone-201.wav", "xyz")
        + &line("long", "tone-202.wav", &"ab".repeat(200))
        + &line("empty", "tone-203.wav", "...")
        + &line("gone", "gone.wav", "ab");
    sandbox.write("data/some.jsonl", lines);
    let ran = sandbox.run_well(&["align", MODEL, "data/some.jsonl", "-o", "aligned"]);
    assert!(ran.last_line().contains("4 of 11 utterances"), "{}", ran.stdout);
    let ledger = sandbox.read_text("aligned/ledger-some.jsonl");
    for (id, reason) in [
        ("foreign", "outside-alphabet"),
        ("long", "too-short-for-ctc"),
        ("empty", "empty-transcript"),
        ("gone", "missing-audio"),
    ] {
        let line = ledger.lines().find(|line| line.contains(&format!("\"{id}\""))).unwrap();
        assert!(line.contains(reason), "{line}");
    }
    // The new manifest names a track for each, and its audio can be found from there.
    let manifest = sandbox.read_text("aligned/some.jsonl");
    assert_eq!(manifest.lines().count(), 7);
    let mut tracks = BTreeMap::new();
    for line in manifest.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let path = |key: &str| format!("aligned/{}", value[key].as_str().unwrap());
        assert!(sandbox.path(path("audio_filepath")).is_file(), "{line}");
        let letters = value["text"].as_str().unwrap().replace(' ', "").len();
        let track = sandbox.read_text(path("labels"));
        assert_eq!(track.lines().count(), letters, "{line}\n{track}");
        tracks.insert(path("labels"), track);
    }
    assert_eq!(tracks.len(), 7);
    // Its own folder would lose the manifest.
    sandbox.refuses(&["align", MODEL, "aligned/some.jsonl", "-o", "aligned"], "another folder");
}

#[test]
fn keys_about_labels_that_contradict_each_other_are_refused() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let train = |set: &[&str], named: &str| {
        let set = set.iter().flat_map(|value| ["--set", value]);
        let arguments: Vec<&str> = ["train", "data/tones.toml"].into_iter().chain(set).collect();
        sandbox.refuses(&arguments, named)
    };
    sandbox.write("data/few.dic", "ab AE B\n");
    train(&["data.units=phonemes"], "needs a lexicon");
    train(&["data.lexicon=few.dic"], "units = \"phonemes\"");
    train(&["data.units=phonemes", "data.lexicon=none.dic"], "none.dic");
    train(&["train.loss=framewise"], "units");
    train(&["train.loss=framewise", "data.units=words"], "no label track");
    train(&["data.track={tier=\"a\"}"], "framewise");
    train(&["train.auxiliary-phonemes={lexicon=\"few.dic\", weight=-1}"], "weight");
    let said = train(&["data.units=phonemes", "data.lexicon=few.dic"], "lexicon lacks");
    assert!(said.contains("train.jsonl"), "{said}");
}

#[test]
fn a_second_head_of_phonemes_trains_aligns_and_leaves_the_text_to_the_first() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let manifest = sandbox.read_text("data/train.jsonl") + &sandbox.read_text("data/dev.jsonl");
    let mut words: Vec<String> = Vec::new();
    for line in manifest.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        words.extend(value["text"].as_str().unwrap().split(' ').map(str::to_owned));
    }
    // One word is missing, so that the phonemes of its utterances are not learnt.
    let missing = words[0].clone();
    words.sort();
    words.dedup();
    words.retain(|word| *word != missing);
    let spoken = |word: &String| {
        let letters = word.to_uppercase().chars().map(|c| format!(" {c}")).collect::<String>();
        format!("{word}{letters}\n")
    };
    let lexicon: String = words.iter().map(spoken).collect();
    sandbox.write("data/words.dic", lexicon);
    let head = "train.auxiliary-phonemes={lexicon=\"words.dic\", weight=0.5}";
    let arguments = ["train", "data/tones.toml", "--set", "train.epochs=2", "--set", head];
    let ran = sandbox.run_well(&arguments);
    assert!(ran.stdout.contains("alphabet of 9 characters"), "{}", ran.stdout);
    assert!(ran.stdout.contains("targets of auxiliary-phonemes do not exist"), "{}", ran.stdout);
    let ran = sandbox.run_well(&["evaluate", MODEL, "data/test.jsonl"]);
    assert!(ran.stdout.starts_with("WER "), "{}", ran.stdout);
    sandbox.run_well(&["transcribe", MODEL, "data/tone-200.wav"]);
    let word = words.iter().rev().find(|word| word.len() == 3).unwrap();
    let ran = sandbox.run_well(&["align", MODEL, "data/tone-200.wav", word, "--units", "phonemes"]);
    assert_eq!(ran.stdout.lines().count(), 3, "{}", ran.stdout);
    assert_eq!(ran.stderr, "");
    let upper: Vec<String> = word.to_uppercase().chars().map(String::from).collect();
    let found: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split('\t').nth(2)).collect();
    assert_eq!(found, upper);
}

#[test]
fn phonemes_have_an_error_rate_of_their_own_name() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let manifest = sandbox.read_text("data/train.jsonl");
    let mut lexicon = String::new();
    for line in manifest.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        for word in value["text"].as_str().unwrap().split(' ') {
            let phonemes = word.to_uppercase().chars().map(|c| format!(" {c}")).collect::<String>();
            lexicon += &format!("{word}{phonemes}\n");
        }
    }
    sandbox.write("data/words.dic", lexicon);
    let extra = "{\"id\":\"unknown\",\"audio_filepath\":\"tone-000.wav\",\"duration\":0.8,\"text\":\"zzz\"}\n";
    sandbox.write("data/train.jsonl", manifest + extra);
    let set = ["data.units=phonemes", "data.lexicon=words.dic", "train.epochs=1"];
    let set = set.iter().flat_map(|value| ["--set", value]);
    let arguments: Vec<&str> = ["train", "data/tones.toml"].into_iter().chain(set).collect();
    let ran = sandbox.run_well(&arguments);
    assert!(ran.stdout.contains("alphabet of 8 phonemes"), "{}", ran.stdout);
    assert!(ran.last_line().contains("dev PER"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("WER") && !ran.stdout.contains("CER"), "{}", ran.stdout);
    let ledger = sandbox.read_text("runs/tones/ledger.jsonl");
    let line = ledger.lines().find(|line| line.contains("\"unknown\"")).unwrap();
    assert!(line.contains("outside-lexicon") && line.contains("`zzz`"), "{line}");
    // A resume learns the same phonemes.
    let changed = sandbox.read_text("data/words.dic");
    sandbox.write("data/words.dic", changed + "aaaa A A\n");
    let more: Vec<&str> = arguments.iter().copied().chain(["--resume"]).collect();
    let said = sandbox.run(&more);
    said.is_one_sentence("lexicon changed");
    // Words of the test set that the lexicon lacks count as errors, each as one phoneme nobody writes.
    let ran = sandbox.run_well(&["evaluate", MODEL, "data/test.jsonl", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(value["score"]["per"].is_number() && value["score"].get("wer").is_none(), "{value}");
    assert!(value["outside_alphabet"].as_u64().unwrap() > 0);
    let reference = value["score"]["utterances"][0]["reference"].as_str().unwrap();
    assert!(reference.contains('<'), "{reference}");
    // And in a stream, and in a study.
    let stream = ["evaluate", MODEL, "data/test.jsonl", "--stream", "--chunk-seconds", "60"];
    let ran = sandbox.run_well(&stream);
    assert!(ran.stdout.starts_with("PER ") && ran.stdout.contains("offline PER"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("WER") && !ran.stdout.contains("CER"), "{}", ran.stdout);
    let ran = sandbox.run_well(&[&stream[..], &["--json"]].concat());
    let value: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(value["score"]["per"].is_number() && value["offline"]["per"].is_number(), "{value}");
    let study = "title = \"T\"\nquestion = \"Q\"\nrecipe = \"data/tones.toml\"\nevaluate = \
                 \"data/test.jsonl\"\nseeds = [1]\nset = [\"train.epochs=1\", \"data.units=phonemes\", \
                 \"data.lexicon=words.dic\"]\n[[cells]]\nname = \"one\"\n";
    sandbox.write("phonemes.toml", study);
    let ran = sandbox.run_well(&["study", "phonemes.toml", "-o", "study"]);
    assert!(ran.stdout.contains("\nPER "), "{}", ran.stdout);
    for file in ["study/README.md", "study/picture.svg"] {
        let text = sandbox.read_text(file);
        assert!(text.contains("PER") && !text.contains("WER"), "{text}");
    }
    let log: serde_json::Value =
        serde_json::from_str(sandbox.read_text("study/runs.jsonl").trim()).unwrap();
    assert!(log["per"].is_number() && log.get("wer").is_none() && log.get("cer").is_none());
}
