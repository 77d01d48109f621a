//! The page of figures from records of trials, and a figure repeated from the corpus to the verdict.

mod common;

use std::time::{Duration, Instant};

use common::{Ran, Sandbox, corpus, recipe, tones};
use serde_json::Value;

const RESULTS: &str = r#"
title = "Results"
records = "records"
text = "Two seeds of tones."

[[sections]]
title = "Tones"
text = "Seed 1 makes {one.errors} errors in {one.words} words."
[[sections.lines]]
name = "[tones](../data/tones.toml)"
records = ["one", "two"]
[[sections.others]]
name = "a whistle"
figure = "12.3"
source = "its player"
[sections.stated]
source = "commit 1234567"
text = "Once it was 99 %."
"#;

/// Two models in `runs/`, each with its record.
fn recorded(sandbox: &Sandbox) {
    corpus(sandbox);
    sandbox.write("results/results.toml", RESULTS);
    std::fs::create_dir(sandbox.path("results/records")).unwrap();
    for (name, seed) in [("one", 1), ("two", 2)] {
        let (set, run) = (format!("train.seed={seed}"), format!("runs/{name}"));
        sandbox.run_well(&["train", "data/tones.toml", "--set", &set, "--run", &run]);
        sandbox.run_well(&record(name));
    }
}

fn record(name: &str) -> Vec<String> {
    let words = format!(
        "evaluate runs/{name}/model.safetensors data/test.jsonl --commit abc1234 --record \
         results/records/{name}.json"
    );
    words.split(' ').map(str::to_owned).collect()
}

fn json(sandbox: &Sandbox, path: &str) -> Value {
    serde_json::from_str(&sandbox.read_text(path)).unwrap()
}

#[test]
fn a_page_is_made_of_records() {
    let sandbox = Sandbox::new();
    recorded(&sandbox);
    let one = json(&sandbox, "results/records/one.json");
    for key in ["rate", "parameters", "seconds", "real-time-factor", "threads"] {
        assert!(one[key].as_f64().is_some(), "{key} is missing in {one}");
    }
    assert_eq!(one["test"]["manifest"], "data/test.jsonl");
    assert_eq!((&one["seed"], &one["epochs"][0]), (&1.into(), &4.into()));
    assert_eq!(one["train"]["utterances"], 20);
    let write = ["results", "results/results.toml", "-o", "results/PAGE.md"];
    sandbox.run_well(&write);
    let page = sandbox.read_text("results/PAGE.md");
    let rates = ["one", "two"].map(|name| {
        json(&sandbox, &format!("results/records/{name}.json"))["rate"].as_f64().unwrap()
    });
    let mean = format!("**{:.2}**", 50.0 * (rates[0] + rates[1]));
    let words = one["utterances"].as_array().unwrap().iter().map(|one| one[2].as_u64().unwrap());
    let words = format!("in {} words", words.sum::<u64>());
    for part in [
        "# Results",
        "mean of 2 seeds",
        &mean,
        &words,
        "| a whistle | 12.3 | its player |",
        "Stated, not from records (commit 1234567)",
        "[one](records/one.json)",
        "abc1234",
    ] {
        assert!(page.contains(part), "{part:?} is missing in\n{page}");
    }
    // Again: the same page; changed by hand it is told.
    sandbox.run_well(&write);
    assert_eq!(sandbox.read_text("results/PAGE.md"), page);
    let check = ["results", "results/results.toml", "--check", "results/PAGE.md"];
    sandbox.run_well(&check);
    sandbox.write("results/PAGE.md", page.replace("12.3", "1.23"));
    assert_eq!(sandbox.run(&check).status, Some(1));
    // A record that no line shows is a figure that was hidden.
    let hidden = sandbox.read("results/records/one.json");
    sandbox.write("results/records/three.json", hidden);
    assert!(sandbox.run_well(&write).stderr.contains("three stands in no line"));
}

#[test]
fn figures_that_are_not_there_and_files_of_others_are_refused() {
    let sandbox = Sandbox::new();
    recorded(&sandbox);
    for (old, new, word) in [
        ("{one.errors}", "{one.luck}", "{one.luck}"),
        ("{one.errors}", "{ten.errors}", "{ten.errors}"),
        ("\"two\"", "\"ten\"", "ten.json"),
        ("title =", "tilte =", "tilte"),
    ] {
        sandbox.write("results/other.toml", RESULTS.replace(old, new));
        let ran = sandbox.run(&["results", "results/other.toml"]);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""), "{word}");
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
    }
    sandbox.write("README.md", "mine");
    sandbox.refuses(&["results", "results/results.toml", "-o", "README.md"], "README.md");
    sandbox.run_well(&["results", "results/results.toml", "-o", "page.md", "--pack", "pack.json"]);
    for precious in ["README.md", "page.md", "results/results.toml", "results/records/one.json"] {
        let before = sandbox.read(precious);
        let arguments = ["results", "results/results.toml", "-o", "page.md", "--pack", precious];
        sandbox.refuses(&arguments, precious);
        assert!(sandbox.read(precious) == before, "{precious}");
    }
    sandbox.refuses(
        &["results", "results/results.toml", "-o", "both.md", "--pack", "./both.md"],
        "the page and the pack",
    );
    let check = ["results", "results/results.toml", "--check", "page.md", "--pack", "pack.json"];
    sandbox.run_well(&check);
    sandbox.write("pack.json", "[]\n\n");
    let ran = sandbox.run(&check);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.contains("with --pack"), "{}", ran.stdout);
    for (old, new, word) in [
        ("[\"one\", \"two\"]", "[\"one\", \"one\"]", "names one twice"),
        ("[[sections]]\n", "[[sections]]\nlevel = 9\n", "level 9"),
        ("title = \"Tones\"", "tilte = \"Tones\"", "7:1"),
    ] {
        sandbox.write("results/other.toml", RESULTS.replacen(old, new, 1));
        let said = sandbox.refuses(&["results", "results/other.toml"], "results/other.toml");
        assert!(said.contains(word), "{said}");
    }
    let whole = sandbox.read_text("results/records/two.json");
    let mut damaged: Value = serde_json::from_str(&whole).unwrap();
    damaged["rate"] = (damaged["rate"].as_f64().unwrap() + 0.01).into();
    sandbox.write("results/records/two.json", damaged.to_string());
    let said = sandbox.refuses(&["results", "results/results.toml"], "two.json");
    assert!(said.contains("not those of the errors that it lists"), "{said}");
    sandbox.write("results/records/two.json", whole);
    // The same model may be measured again, another may not take its place.
    sandbox.run_well(&record("one"));
    let mut other = record("two");
    *other.last_mut().unwrap() = "results/records/one.json".into();
    let ran = sandbox.run(&other);
    ran.is_one_sentence("one.json");
    // Nor the same model on other recordings.
    let mut other = record("one");
    other[2] = "data/dev.jsonl".into();
    let before = sandbox.read("results/records/one.json");
    let said = sandbox.run(&other).is_one_sentence("one.json");
    assert!(said.contains("on data/test.jsonl"), "{said}");
    other[2] = "data/test.jsonl".into();
    let path = other.last_mut().unwrap();
    *path = "fresh.json".into();
    other.extend(["-o".into(), "fresh.json".into()]);
    sandbox.run(&other).is_one_sentence("the JSON and the record");
    assert!(sandbox.read("results/records/one.json") == before);
}

/// What a record says of a training is what that training was.
#[test]
fn a_record_tells_of_its_own_training() {
    let sandbox = Sandbox::new();
    recorded(&sandbox);
    // A manifest that was shortened since, and a model in another run's folder.
    let train = sandbox.read_text("data/train.jsonl");
    let shorter: Vec<&str> = train.lines().skip(3).collect();
    sandbox.write("data/train.jsonl", shorter.join("\n") + "\n");
    std::fs::copy(
        sandbox.path("runs/one/model.safetensors"),
        sandbox.path("runs/two/moved.safetensors"),
    )
    .unwrap();
    let recorded = |model: &str, file: &str| {
        let arguments = ["evaluate", model, "data/test.jsonl", "--record", file];
        sandbox.run_well(&arguments);
        json(&sandbox, file)
    };
    let own = recorded("runs/one/model.safetensors", "own.json");
    assert!(own["train"].is_null() && own["dev"].is_object(), "{own}");
    assert!(own["seconds"].is_number() && own["trained-on"].is_string(), "{own}");
    let moved = recorded("runs/two/moved.safetensors", "moved.json");
    assert!(moved["seconds"].is_null() && moved["trained-on"].is_null(), "{moved}");
}

/// Test sets of different length: the rate is that of all that was said, so that it lies in its interval.
#[test]
fn a_mean_over_other_test_sets_is_that_of_all_words() {
    let sandbox = Sandbox::new();
    recorded(&sandbox);
    let mut short = json(&sandbox, "results/records/two.json");
    let utterances = short["utterances"].as_array_mut().unwrap();
    utterances.truncate(2);
    utterances.iter_mut().for_each(|one| one[1] = one[2].clone());
    short["test"]["utterances"] = 2.into();
    short["test"]["contents"] = "other".into();
    short["rate"] = 1.0.into();
    sandbox.write("results/records/two.json", short.to_string());
    let page = sandbox.run_well(&["results", "results/results.toml"]).stdout;
    let count = |name: &str, place: usize| {
        let record = json(&sandbox, &format!("results/records/{name}.json"));
        let utterances = record["utterances"].as_array().unwrap().clone();
        utterances.iter().map(|one| one[place].as_f64().unwrap()).sum::<f64>()
    };
    let [errors, words] = [1, 2].map(|place| count("one", place) + count("two", place));
    assert!(page.contains(&format!("**{:.2}**", 100.0 * errors / words)), "{page}");
}

/// Models of characters and of words have a mean, for both are scored in words; one of phonemes has none with them.
#[test]
fn only_rates_of_one_kind_have_a_mean() {
    let sandbox = Sandbox::new();
    recorded(&sandbox);
    let mut two = json(&sandbox, "results/records/two.json");
    assert_eq!(two["units"], "characters");
    two["units"] = "words".into();
    sandbox.write("results/records/two.json", two.to_string());
    sandbox.run_well(&["results", "results/results.toml"]);
    two["units"] = "phonemes".into();
    sandbox.write("results/records/two.json", two.to_string());
    let said = sandbox.refuses(&["results", "results/results.toml"], "results/results.toml");
    assert!(said.contains("in words and in phonemes"), "{said}");
}

/// A corpus in `raw/` and a figure of it in `results/`, called `tones`.
fn published(sandbox: &Sandbox) {
    for tone in tones(sandbox, "raw", 0, 24) {
        sandbox.write(format!("raw/{}.txt", tone.id), tone.text);
    }
    sandbox.run_well(&["prepare", "folder", "--from", "raw", "-o", "data/tones"]);
    let recipe = recipe().replace("train.jsonl", "../data/tones/train.jsonl");
    let recipe = recipe.replace("\"dev.jsonl", "\"../data/tones/dev.jsonl");
    sandbox.write("results/tones.toml", recipe);
    std::fs::create_dir(sandbox.path("results/records")).unwrap();
    let train = ["train", "results/tones.toml", "--set", "train.seed=1", "--run", "runs/one"];
    sandbox.run_well(&train);
    let words = "evaluate runs/one/model.safetensors data/tones/test.jsonl --record results/records/one.json";
    sandbox.run_well(&words.split(' ').collect::<Vec<_>>());
    sandbox.write(
        "results/results.toml",
        "title = \"Results\"\nrecords = \"records\"\n[[sections]]\ntitle = \"Tones\"\n[[sections.lines]]\nname = \
         \"tones\"\nrecords = [\"one\"]\nreproduce = { name = \"tones\", corpus = \"folder\", recipe = \
         \"tones.toml\" }\n",
    );
}

const REPRODUCE: [&str; 6] =
    ["reproduce", "tones", "--from", "raw", "--results", "results/results.toml"];

#[test]
fn a_figure_is_repeated_from_the_corpus_to_the_verdict() {
    let sandbox = Sandbox::new();
    published(&sandbox);
    let listed = sandbox.run_well(&["reproduce", "--results", "results/results.toml"]);
    assert!(listed.stdout.starts_with("tones  WER "), "{}", listed.stdout);
    let ran = sandbox.run_well(&REPRODUCE);
    assert_eq!(ran.last_line(), "inside the published interval");
    assert!(ran.stdout.contains("\npublished  WER ") && ran.stdout.contains("\nhere       WER "));
    // The same seed, data and machine: the very same model.
    let again = "runs/reproduce/tones/seed-1/model.safetensors";
    assert_eq!(
        json(&sandbox, "runs/reproduce/tones/seed-1.json")["weights"],
        json(&sandbox, "results/records/one.json")["weights"]
    );
    // What is done is not done again.
    let before = sandbox.read(again);
    let ran = sandbox.run_well(&REPRODUCE);
    assert!(!ran.stdout.contains("epoch"), "{}", ran.stdout);
    assert_eq!(sandbox.read(again), before);
    let ran = sandbox.run(&[&REPRODUCE[..], &["--seeds", "2"]].concat());
    assert!(ran.stdout.contains("seed 2 in") && ran.stdout.contains("mean of 2 trainings"));
}

/// A record counts for the training that it is of: not for another recipe's, another seed's or another model's.
#[test]
fn figures_of_other_trainings_are_not_taken_over() {
    let sandbox = Sandbox::new();
    published(&sandbox);
    sandbox.run_well(&REPRODUCE);
    let record = "runs/reproduce/tones/seed-1.json";
    let whole = sandbox.read(record);
    // For seed 2, of which there is no training.
    sandbox.write("runs/reproduce/tones/seed-2.json", &whole);
    let two = [&REPRODUCE[..], &["--seeds", "2"]].concat();
    let said = sandbox.run(&two).is_one_sentence("runs/reproduce/tones/seed-2.json");
    assert!(said.contains("is not of the model in"), "{said}");
    // For a figure that sets another key of the same recipe.
    let results = sandbox.read_text("results/results.toml");
    let set = results.replace("\"tones.toml\" }", "\"tones.toml\", set = [\"train.epochs=1\"] }");
    sandbox.write("results/results.toml", &set);
    let said = sandbox.run(&REPRODUCE).is_one_sentence(record);
    assert!(said.contains("another recipe") && said.contains("epochs"), "{said}");
    sandbox.write("results/results.toml", results);
    sandbox.write(record, "{}");
    let said = sandbox.run(&REPRODUCE).is_one_sentence(record);
    assert!(said.contains("is damaged") && said.contains("remove it"), "{said}");
}

#[test]
fn killed_it_goes_on_to_the_same_model() {
    let sandbox = Sandbox::new();
    published(&sandbox);
    let mut child = sandbox.command(&REPRODUCE).spawn().unwrap();
    let checkpoints = sandbox.path("runs/reproduce/tones/seed-1/checkpoints");
    let end = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(&checkpoints).map_or(0, Iterator::count) == 0 {
        assert!(Instant::now() < end, "no checkpoint came");
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
    let ran = sandbox.run_well(&REPRODUCE);
    assert_eq!(ran.last_line(), "inside the published interval");
    let weights = |path: &str| json(&sandbox, path)["weights"].clone();
    assert_eq!(weights("runs/reproduce/tones/seed-1.json"), weights("results/records/one.json"));
}

#[test]
fn a_figure_outside_of_the_interval_is_status_1_with_both() {
    let sandbox = Sandbox::new();
    published(&sandbox);
    // As if the published model had made no error in many more words.
    let mut record = json(&sandbox, "results/records/one.json");
    record["rate"] = 0.0.into();
    for utterance in record["utterances"].as_array_mut().unwrap() {
        utterance[1] = 0.into();
        utterance[2] = 1000.into();
    }
    sandbox.write("results/records/one.json", record.to_string());
    let ran = sandbox.run(&REPRODUCE);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert_eq!(ran.last_line(), "outside the published interval: more errors");
    assert!(ran.stdout.contains("published  WER 0.00 %"), "{}", ran.stdout);
}

#[test]
fn another_release_little_memory_and_unknown_names_are_told() {
    let sandbox = Sandbox::new();
    published(&sandbox);
    sandbox
        .refuses(&["reproduce", "songs", "--results", "results/results.toml"], "there are tones");
    sandbox.refuses(&["reproduce", "tones", "--results", "results/results.toml"], "--from");
    let whole = sandbox.read_text("results/records/one.json");
    let mut record: Value = serde_json::from_str(&whole).unwrap();
    record["training-memory"] = 1_000_000_000_000_000_u64.into();
    sandbox.write("results/records/one.json", record.to_string());
    sandbox.refuses(&REPRODUCE, "the published training took 1000000.00 GB");
    sandbox.write("results/records/one.json", whole);
    // An incomplete copy.
    let line = sandbox.read_text("data/tones/train.jsonl").lines().next().unwrap().to_owned();
    let line: Value = serde_json::from_str(&line).unwrap();
    let name = line["audio_filepath"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    for (end, aside) in [("wav", "aside.wav"), ("txt", "aside.txt")] {
        let file = sandbox.path(format!("raw/{}", name.replace("wav", end)));
        std::fs::rename(file, sandbox.path(aside)).unwrap();
    }
    let refused = |ran: Ran| ran.is_one_sentence("another release of");
    let said = refused(sandbox.run(&REPRODUCE));
    assert!(said.contains("utterances where") && said.contains("--anyway"), "{said}");
    assert!(!sandbox.path("runs/reproduce/tones/seed-1").exists());
    // Manifests that were there before are not replaced, wherever -o leads.
    let manifests = sandbox.read("data/tones/train.jsonl");
    let here = sandbox.run(&[&REPRODUCE[..], &["-o", "."]].concat());
    here.is_one_sentence("data/tones");
    assert!(sandbox.read("data/tones/train.jsonl") == manifests);
    // As advised: the corpus anew, and the same command.
    let [wav, text] = ["wav", "txt"].map(|end| name.replace("wav", end));
    let [held, words] = [&wav, &text].map(|file| sandbox.path(format!("raw/{file}")));
    assert!(!held.exists() && !words.exists());
    std::fs::rename(sandbox.path("aside.wav"), &held).unwrap();
    std::fs::rename(sandbox.path("aside.txt"), &words).unwrap();
    sandbox.run_well(&REPRODUCE);
    std::fs::remove_dir_all(sandbox.path("runs/reproduce")).unwrap();
    std::fs::remove_file(held).unwrap();
    std::fs::remove_file(words).unwrap();
    let ran = sandbox.run(&[&REPRODUCE[..], &["--anyway"]].concat());
    assert!(ran.stderr.contains("warning: this is another release of"), "{}", ran.stderr);
    assert!(ran.stdout.contains("here       WER "), "{}", ran.stdout);
}

#[test]
fn what_travels_inside_the_program_is_what_is_published() {
    let recipes = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    if !recipes.join("results.toml").exists() {
        println!("skipped: not in the repository");
        return;
    }
    let sandbox = Sandbox::new();
    let file = recipes.join("results.toml");
    let page = recipes.join("RESULTS.md");
    let ran = sandbox.run(&["results", file.to_str().unwrap(), "--check", page.to_str().unwrap()]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.stdout, ran.stderr);
    sandbox.run_well(&["results", file.to_str().unwrap(), "--pack", "published.json"]);
    let inside = include_str!("../published.json");
    assert!(
        sandbox.read_text("published.json") == inside,
        "crates/cli/published.json is not what recipes/results.toml says; write it anew with \
         `labyrinth results recipes/results.toml -o recipes/RESULTS.md --pack crates/cli/published.json`"
    );
}
