//! Models described, taken out and in, made smaller, and tuned further on other labels.

mod common;

use common::{MODEL, Sandbox, corpus, trained};

const RECIPE: &str = "data/tones.toml";

#[test]
fn a_recipe_and_its_model_have_the_same_layers() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    let of = |arguments: &[&str]| {
        let ran = sandbox.run_well(&[&["describe", "--json"], arguments].concat());
        serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap()
    };
    let (recipe, model) = (of(&[RECIPE]), of(&[MODEL]));
    assert_eq!(recipe, model);
    let parts = recipe["layers"].as_array().unwrap().iter();
    let sum: u64 = parts.map(|layer| layer["parameters"].as_u64().unwrap()).sum();
    assert_eq!(recipe["parameters"].as_u64(), Some(sum));
    let data = of(&[MODEL, "--data", "data/test.jsonl"]);
    assert_eq!(data["data"]["read"], 6);
    assert_eq!(data["data"]["infeasible-share"], 0.0);
    let table = sandbox.run_well(&["describe", RECIPE, "--data", "data/train.jsonl"]).stdout;
    assert!(table.contains("20 of 20 usable utterances feasible for CTC"), "{table}");
    sandbox.refuses(&["describe", MODEL, "--set", "model.dropout=0.1"], "name a recipe");
    sandbox.refuses(&["describe", RECIPE, "--seconds", "0"], "--seconds");
}

/// Some utterances without frames enough are a warning with their share; most of them an error, before
/// anything is written.
#[test]
fn a_stride_at_which_most_cannot_be_learnt_is_refused() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let whole = sandbox.read_text("data/train.jsonl");
    let with_long = |count: usize| {
        let lines = whole.lines().enumerate().map(|(index, line)| {
            let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
            if index < count {
                value["text"] = "abcdefgh".repeat(20).into();
            }
            format!("{value}\n")
        });
        sandbox.write("data/train.jsonl", lines.collect::<String>());
    };
    with_long(12);
    let said = sandbox.refuses(&["train", RECIPE], "12 of 20 training utterances (60 %)");
    assert!(said.contains("time stride of 2") && said.contains("lower the strides"), "{said}");
    with_long(4);
    let ran = sandbox.run_well(&["train", RECIPE, "--set", "train.epochs=1"]);
    assert!(
        ran.stdout.contains("20.0 % of the training data (4 of 20 utterances)"),
        "{}",
        ran.stdout
    );
    let told = sandbox.run_well(&["describe", RECIPE, "--data", "data/train.jsonl"]).stdout;
    assert!(told.contains("16 of 20 usable utterances feasible"), "{told}");
}

#[test]
fn weights_go_out_and_come_back_the_same() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    sandbox.run_well(&["export", MODEL, "-o", "torch"]);
    let program = sandbox.read_text("torch/model.py");
    assert!(program.contains("class Model(Recurrent)"), "{program}");
    let arguments =
        ["import", "torch/weights.safetensors", "--like", MODEL, "-o", "back.safetensors"];
    sandbox.run_well(&arguments);
    let heard = |model: &str| sandbox.run_well(&["transcribe", model, "data/tone-200.wav"]).stdout;
    assert_eq!(heard("back.safetensors"), heard(MODEL));
    sandbox.run_well(&["export", "back.safetensors", "--format", "safetensors", "-o", "again"]);
    assert_eq!(sandbox.read("again"), sandbox.read("torch/weights.safetensors"));
    let by_recipe =
        ["import", "torch/weights.safetensors", "--recipe", RECIPE, "-o", "of-recipe.safetensors"];
    sandbox.run_well(&by_recipe);
    assert_eq!(heard("of-recipe.safetensors"), heard(MODEL));
    let short = ["export", MODEL, "--format", "labyrinth", "--precision", "bf16", "-o", "short"];
    sandbox.run_well(&short);
    let [long, short] = [MODEL, "short"].map(|name| sandbox.read(name).len());
    assert!(short < long * 2 / 3, "{short} {long}");
    sandbox.run_well(&["evaluate", "short", "data/test.jsonl"]);
    sandbox
        .refuses(&["export", MODEL, "--format", "labyrinth", "-o", MODEL], "is the model itself");
    sandbox.refuses(&["export", MODEL, "--precision", "bf16", "-o", "x"], "--format labyrinth");
    let wrong = ["import", MODEL, "--like", MODEL, "-o", "x"];
    let said = sandbox.refuses(&wrong, "are missing (");
    assert!(said.contains("gru.0.weight_ih_l0") && said.contains("too many"), "{said}");
    // Two causes, two sentences.
    let weights = "torch/weights.safetensors";
    let recipe = sandbox.read_text(RECIPE);
    sandbox.write("data/gone.toml", recipe.replace("train.jsonl", "gone.jsonl"));
    sandbox.refuses(&["import", weights, "--recipe", "data/gone.toml", "-o", "x"], "gone.jsonl");
    let head = "[train]\nauxiliary-phonemes = { lexicon = \"few.dic\" }\n";
    sandbox.write("data/few.dic", "ab AE B\n");
    sandbox.write("data/two.toml", recipe.replace("[train]\n", head));
    let two = ["import", weights, "--recipe", "data/two.toml", "-o", "x"];
    assert!(!sandbox.refuses(&two, "second head").contains("manifests"));
}

#[test]
fn nothing_that_lies_there_is_written_over() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    sandbox.write("mine/model.py", "mine");
    sandbox.write("mine.txt", "mine");
    sandbox.write("sound.wav", sandbox.read("data/tone-200.wav"));
    sandbox.run_well(&["export", MODEL, "-o", "torch"]);
    let weights = "torch/weights.safetensors";
    sandbox.refuses(&["export", MODEL, "-o", "mine"], "mine/model.py is there already");
    sandbox.refuses(&["export", MODEL, "--format", "safetensors", "-o", "mine.txt"], "mine.txt");
    sandbox.refuses(&["import", weights, "--like", MODEL, "-o", weights], weights);
    sandbox.refuses(&["import", weights, "--like", MODEL, "-o", MODEL], MODEL);
    sandbox.refuses(&["align", MODEL, "sound.wav", "a", "-o", "sound.wav"], "sound.wav is there");
    assert_eq!(sandbox.read_text("mine/model.py") + &sandbox.read_text("mine.txt"), "minemine");
    assert_eq!(sandbox.read("sound.wav"), sandbox.read("data/tone-200.wav"));
}

/// A model of eight letters becomes one of six, of which it knew four.
#[test]
fn a_model_is_tuned_further_on_other_labels_and_resumes_without_it() {
    let sandbox = Sandbox::new();
    trained(&sandbox);
    for set in ["train", "dev"] {
        let lines: String = sandbox
            .read_text(format!("data/{set}.jsonl"))
            .lines()
            .map(|line| {
                let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = value["text"].as_str().unwrap();
                let text = text.replace(['e', 'f'], "x").replace(['g', 'h'], "y");
                value["text"] = text.into();
                format!("{value}\n")
            })
            .collect();
        sandbox.write(format!("data/{set}-xy.jsonl"), lines);
    }
    let recipe = sandbox.read_text(RECIPE).replace("train.jsonl", "train-xy.jsonl");
    sandbox.write("data/tuned.toml", recipe.replace("dev.jsonl", "dev-xy.jsonl"));
    let train = |run: &str, epochs: &str, more: &[&str]| {
        let epochs = format!("train.epochs={epochs}");
        let first = ["train", "data/tuned.toml", "--from", MODEL, "--run", run, "--set", &epochs];
        sandbox.run(&[&first[..], more].concat())
    };
    let whole = train("runs/whole", "2", &[]);
    assert_eq!(whole.status, Some(0), "{}", whole.stderr);
    assert!(
        whole.stdout.contains("the blank and 5 labels that both alphabets have; new: `x` `y`"),
        "{}",
        whole.stdout
    );
    // A refusal is one sentence, whatever was noted before it.
    let again = ["train", "data/tuned.toml", "--from", MODEL, "--run", "runs/whole"];
    sandbox.refuses(&again, "already holds a run");
    let log = sandbox.read_text("runs/whole/log.jsonl");
    assert!(log.lines().next().unwrap().contains("began-with-model"), "{log}");
    // The run is whole without the model it came from: its checkpoint holds what is needed.
    let model = sandbox.read(MODEL);
    sandbox.write(MODEL, "gone");
    let checkpoint = train("runs/whole", "2", &["--resume"]);
    assert_eq!(checkpoint.status, Some(0), "{}", checkpoint.stderr);
    sandbox.write(MODEL, model);
    let features = ["train", "data/tuned.toml", "--from", MODEL, "--run", "runs/other"];
    let other = ["--set", "features.num-mel-bins=41"];
    let said = sandbox.refuses(&[&features[..], &other].concat(), "num-mel-bins is");
    assert!(said.contains("there and 41 here"), "{said}");
    let other = ["--set", "model.recurrent-hidden=33"];
    let said = sandbox.refuses(&[&features[..], &other].concat(), "recurrent-hidden is");
    assert!(said.contains("make [model] the same"), "{said}");
}

#[test]
fn a_subset_depends_on_its_seed_alone() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let draw = |out: &str, more: &[&str]| {
        let first = ["subset", "data/train.jsonl", "--minutes", "0.2", "-o", out];
        sandbox.run_well(&[&first[..], more].concat());
        sandbox.read_text(out)
    };
    let [a, b, c] = [
        draw("data/a.jsonl", &[]),
        draw("data/b.jsonl", &["--seed", "1"]),
        draw("data/c.jsonl", &["--seed", "2"]),
    ];
    assert_eq!(a, b);
    assert_ne!(a, c);
    let all = sandbox.read_text("data/train.jsonl");
    assert!(a.lines().count() > 1 && a.lines().count() < all.lines().count(), "{a}");
    sandbox.refuses(&["subset", "data/train.jsonl", "--minutes", "1", "-o", "x.jsonl"], "beside");
    let few = ["subset", "data/train.jsonl", "--minutes", "0.001", "-o", "data/x.jsonl"];
    sandbox.refuses(&few, "more --minutes");
    let train = ["--without", "data/train.jsonl", "-o", "data/x.jsonl"];
    let said =
        sandbox.refuses(&[&["subset", "data/train.jsonl"], &train[..]].concat(), "train.jsonl");
    assert!(said.contains("leaves nothing of") && !said.contains("minutes"), "{said}");
    // Beside it, however it is written.
    assert_eq!(draw("./data/d.jsonl", &[]), a);
    sandbox.write("data/empty.jsonl", "");
    let none = ["subset", "data/empty.jsonl", "--minutes", "1", "-o", "data/x.jsonl"];
    sandbox.refuses(&none, "data/empty.jsonl is empty");
    sandbox.refuses(
        &["subset", "data/train.jsonl", "--minutes", "1", "-o", "data/a.jsonl"],
        "is there already",
    );
}

#[test]
fn speakers_are_drawn_held_out_and_their_phonemes_evened() {
    let sandbox = Sandbox::new();
    corpus(&sandbox);
    let subset = |words: &str| -> Vec<serde_json::Value> {
        let arguments: Vec<&str> = words.split(' ').collect();
        sandbox.run_well(&[&["subset", "data/train.jsonl"], &arguments[..]].concat());
        let out = sandbox.read_text(arguments.last().unwrap());
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let speakers = |lines: &[serde_json::Value]| -> std::collections::BTreeSet<String> {
        lines.iter().map(|line| line["speaker"].as_str().unwrap().to_owned()).collect()
    };
    let test = subset("--speakers 1 -o data/held.jsonl");
    let rest = subset("--without data/held.jsonl -o data/rest.jsonl");
    assert_eq!((speakers(&test).len(), speakers(&rest).len()), (1, 3));
    assert!(speakers(&test).is_disjoint(&speakers(&rest)));
    assert_eq!(test.len() + rest.len(), 20);
    let held: Vec<String> = speakers(&test).into_iter().collect();
    sandbox.write("who", format!("{} 7\n\nsomebody-else 8\n", held[0]));
    assert_eq!(subset("--speakers-in who -o data/named.jsonl"), test);
    let words: std::collections::BTreeSet<String> = rest
        .iter()
        .chain(&test)
        .flat_map(|line| {
            line["text"].as_str().unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    let spelled = words.iter().map(|word| {
        let letters: Vec<String> = word.chars().map(|letter| letter.to_string()).collect();
        format!("{word} {}\n", letters.join(" "))
    });
    sandbox.write("letters.dic", spelled.collect::<String>());
    let even = subset("--minutes 0.15 --phonemes even --lexicon letters.dic -o data/even.jsonl");
    assert!(even.len() > 2 && even.len() < 20, "{}", even.len());
    for (arguments, word) in [
        ("--speakers 9 -o data/a.jsonl", "9 speakers cannot be drawn: there are 4"),
        ("--speakers 1 --minutes 9 -o data/a.jsonl", "0 with 540 s of sound or more"),
        ("-o data/a.jsonl", "--speakers"),
        ("--speakers-in letters.dic -o data/a.jsonl", "letters.dic names no speaker"),
        ("--speakers-in gone -o data/a.jsonl", "gone"),
        ("--minutes 1 --phonemes even --lexicon gone.dic -o data/a.jsonl", "gone.dic"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        sandbox.refuses(&[&["subset", "data/train.jsonl"], &arguments[..]].concat(), word);
    }
}
