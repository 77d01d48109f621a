//! Recipes: those that are committed are read, and every mistake is shown on its line.

use std::path::{Path, PathBuf};

use labyrinth_kernels::Precision;
use labyrinth_train::Recipe;

const RECIPE: &str = r#"
[data]
train = "train.jsonl"
dev = "dev.jsonl"

[features]
kind = "fbank"
num-mel-bins = 40

[model]
architecture = "cnn-gru"
recurrent-hidden = 8

[train]
epochs = 3
spec-augment = { freq-masks = 1 }

[decode]
method = "greedy"
"#;

fn parse(text: &str) -> Result<Recipe, String> {
    Recipe::parse(text, Path::new("some/recipe.toml")).map_err(|error| error.to_string())
}

#[test]
fn every_committed_recipe_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // results.toml says which figures are published.
        let is_recipe = path.extension().is_some_and(|extension| extension == "toml");
        if is_recipe && !path.ends_with("results.toml") {
            let recipe = Recipe::read(&path, &[]).unwrap();
            let dim = labyrinth_signal::FeatureExtractor::new(&recipe.features).unwrap().dim();
            labyrinth_nn::Network::<f32>::new(&recipe.model, dim, 30, 1).unwrap();
            count += 1;
        }
    }
    assert!(count >= 5, "{count} recipes");
}

#[test]
fn an_unknown_key_of_any_section_is_shown_on_its_line() {
    assert!(parse(RECIPE).is_ok());
    for (section, line) in
        [("[data]", 3), ("[features]", 7), ("[model]", 11), ("[train]", 15), ("[decode]", 19)]
    {
        let text = RECIPE.replacen(section, &format!("{section}\nfrobnicate = 1"), 1);
        let message = parse(&text).unwrap_err();
        assert!(message.contains("some/recipe.toml"), "{message}");
        assert!(message.contains("frobnicate = 1"), "{section}: {message}");
        assert!(message.contains(&format!("some/recipe.toml:{line}:1, ")), "{section}: {message}");
        assert!(!message.contains('\n'), "{message}");
    }
    let message = parse(&format!("{RECIPE}\n[traim]\nepochs = 1")).unwrap_err();
    assert!(message.contains("traim"), "{message}");
}

#[test]
fn a_wrong_type_is_shown_on_its_line() {
    for (good, bad) in [
        ("num-mel-bins = 40", "num-mel-bins = \"forty\""),
        ("recurrent-hidden = 8", "recurrent-hidden = -8"),
        ("epochs = 3", "epochs = \"three\""),
        ("method = \"greedy\"", "method = \"lucky\""),
        ("epochs = 3", "precision = \"f16\""),
    ] {
        let message = parse(&RECIPE.replace(good, bad)).unwrap_err();
        assert!(message.contains(bad) && message.contains("some/recipe.toml:"), "{message}");
    }
}

#[test]
fn values_out_of_range_and_unknown_architectures_are_refused() {
    let message = parse(&RECIPE.replace("epochs = 3", "epochs = 0")).unwrap_err();
    assert!(message.contains("epochs"), "{message}");
    let biased = |bias: &str| {
        parse(&RECIPE.replace("epochs = 3", &format!("epochs = 3\nblank-bias = {bias}")))
    };
    assert_eq!(biased("5").unwrap().train.blank_bias, 5.0);
    assert!(biased("nan").unwrap_err().contains("blank-bias must lie from -20 to 20"));
    let framewise = biased("5\nloss = \"framewise\"").unwrap_err();
    assert!(framewise.contains("which has a blank"), "{framewise}");
    for memory in ["1.0", "-0.1", "nan"] {
        let averaged = format!("epochs = 3\naverage-weights = {memory}");
        let message = parse(&RECIPE.replace("epochs = 3", &averaged)).unwrap_err();
        assert!(message.contains("less than 1, such as 0.999"), "{message}");
    }
    let noisy = RECIPE.replace("epochs = 3", "epochs = 3\nweight-noise = 1.5");
    assert!(parse(&noisy).unwrap_err().contains("weight-noise is a standard deviation from 0"));
    let message = parse(&RECIPE.replace("cnn-gru", "oracle")).unwrap_err();
    assert!(message.contains("oracle") && message.contains("cnn-gru"), "{message}");
}

#[test]
fn overrides_set_values_and_are_checked_like_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("recipe.toml");
    std::fs::write(&path, RECIPE).unwrap();
    let read = |sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        Recipe::read(&path, &sets).map_err(|error| error.to_string())
    };
    let recipe = read(&["train.epochs=7", "data.train=other.jsonl", "train.speeds=[0.9, 1.1]"]);
    let recipe = recipe.unwrap();
    assert_eq!(recipe.train.epochs, 7);
    assert_eq!(recipe.data.train.first(), Path::new("other.jsonl"));
    assert_eq!(recipe.train.speeds, [0.9, 1.1]);
    assert!(read(&["train.epoch=7"]).unwrap_err().contains("epoch"));
    assert!(read(&["train.epochs"]).unwrap_err().contains("section.key=value"));
    assert!(read(&["train.epochs.more=1"]).unwrap_err().contains("section.key=value"));
}

#[test]
fn a_resolved_recipe_is_itself_a_recipe() {
    let recipe = parse(RECIPE).unwrap().with_paths_from(Path::new("folder"));
    assert!(recipe.data.train.first().is_absolute());
    let again = parse(&recipe.to_toml().unwrap()).unwrap();
    assert_eq!(again, recipe);
    // Runs that began before there was a precision must find their recipe unchanged.
    assert!(!recipe.to_toml().unwrap().contains("precision"));
    let text = RECIPE.replace("epochs = 3", "epochs = 3\nprecision = \"bf16\"");
    let recipe = parse(&text).unwrap();
    assert_eq!(recipe.train.precision, Precision::Bf16);
    assert_eq!(parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
}

#[test]
fn several_manifests_are_mixed_by_weight() {
    let list = "train = [{ manifest = \"a.jsonl\" }, { manifest = \"b/b.jsonl\", weight = 0.25 }]";
    let mixed = |list: &str| parse(&RECIPE.replace("train = \"train.jsonl\"", list));
    let recipe = mixed(list).unwrap();
    assert_eq!(parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
    let moved = recipe.with_paths_from(Path::new("/folder"));
    let paths: Vec<&Path> = moved.data.train.manifests().iter().map(|m| &*m.manifest).collect();
    assert_eq!(paths, [Path::new("/folder/a.jsonl"), Path::new("/folder/b/b.jsonl")]);
    for (list, reason) in [
        (list.replace("0.25", "0"), "weight"),
        (list.replace("0.25", "nan"), "weight"),
        (list.replace("0.25", "1e-300"), "weight"),
        (list.replace("0.25", "\"much\""), "much"),
        (list.replace("weight", "share"), "share"),
        ("train = []".to_owned(), "names no manifest"),
        ("train = 7".to_owned(), "a manifest in quotes"),
    ] {
        let message = mixed(&list).unwrap_err();
        assert!(message.contains(reason) && message.contains("recipe.toml"), "{message}");
    }
}

/// Every key of augmentation at a value of its own.
const AUGMENTED: &str = r#"epochs = 3
tempos = [0.9, 1.1]
reverberation = { rt60 = [0.2, 0.5], rooms = 50, size-m = [[3, 6], [3, 5], [2.5, 3]], probability = 0.5 }
recorded-noise = { recordings = "noise", snr-db = [5, 20], probability = 0.3 }
noise = { snr-db = [10, 30], probability = 0.2 }
volume = { gain-db = [-6, 6], clip = true, probability = 0.4 }
low-pass = { cutoff-hz = [3000, 7000], probability = 0.1 }
telephone = { laws = ["a-law"], band-hz = [0, 4000], probability = 0.1 }"#;

#[test]
fn augmentation_is_read_resolved_and_written_again() {
    let recipe = parse(&RECIPE.replace("epochs = 3", AUGMENTED)).unwrap();
    let train = &recipe.train;
    assert_eq!(train.tempos, [0.9, 1.1]);
    let rooms = train.reverberation.as_ref().unwrap();
    assert_eq!((rooms.rooms, rooms.size_m[2], rooms.probability), (50, [2.5, 3.0], 0.5));
    assert_eq!(rooms.recordings, None);
    assert_eq!(train.recorded_noise.as_ref().unwrap().snr_db, [5.0, 20.0]);
    assert_eq!(train.noise.as_ref().unwrap().probability, 0.2);
    assert!(train.volume.as_ref().unwrap().clip);
    assert_eq!(train.low_pass.as_ref().unwrap().cutoff_hz, [3000.0, 7000.0]);
    assert_eq!(train.telephone.as_ref().unwrap().laws.len(), 1);
    assert_eq!(parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
    let moved = recipe.with_paths_from(Path::new("folder"));
    let noise = moved.train.recorded_noise.unwrap().recordings;
    assert!(noise.is_absolute() && noise.ends_with("folder/noise"), "{}", noise.display());

    // Tables alone stand for their defaults, and a recipe without them is what it always was.
    let short = "epochs = 3\nreverberation = { recordings = \"rooms.jsonl\" }\ntelephone = {}";
    let recipe = parse(&RECIPE.replace("epochs = 3", short)).unwrap();
    assert_eq!(recipe.train.telephone, Some(labyrinth_signal::Telephone::default()));
    let rooms = recipe.with_paths_from(Path::new("folder")).train.reverberation.unwrap();
    assert!(rooms.recordings.unwrap().ends_with("folder/rooms.jsonl"));
    let old = "epochs = 3\nnoise = { snr-db = [0, 9] }";
    let text = parse(&RECIPE.replace("epochs = 3", old)).unwrap().to_toml().unwrap();
    for key in ["tempos", "probability", "reverberation", "volume", "low-pass", "telephone"] {
        assert!(!text.contains(key), "{key} in\n{text}");
    }
}

#[test]
fn augmentation_out_of_range_is_refused_with_its_range() {
    for (key, words) in [
        ("tempos = [0.1]", "tempos"),
        ("tempos = [nan]", "tempos"),
        ("reverberation = { rt60 = [0.0, 0.5] }", "rt60"),
        ("reverberation = { rooms = 0 }", "rooms"),
        ("reverberation = { size-m = [[0, 6], [3, 5], [2.5, 3]] }", "size-m"),
        ("reverberation = { size-m = [[2, 6], [2, 5], [2, 3]], rt60 = [1, 2] }", "reflections"),
        ("reverberation = { probability = 1.5 }", "probability"),
        ("recorded-noise = { recordings = \"n\", snr-db = [20, 5] }", "snr-db"),
        ("recorded-noise = { snr-db = [5, 20] }", "recordings"),
        ("noise = { snr-db = [5, 500] }", "snr-db"),
        ("noise = { snr-db = [5, 20], probability = -1 }", "probability"),
        ("volume = { gain-db = [6, -6] }", "gain-db"),
        ("volume = { gain-db = [-inf, 6] }", "gain-db"),
        ("low-pass = { cutoff-hz = [3000, 9000] }", "8000"),
        ("low-pass = { cutoff-hz = [10, 4000] }", "300"),
        ("telephone = { band-hz = [300, 5000] }", "4000"),
        ("telephone = { laws = [\"b-law\"] }", "a-law"),
        ("telephone = { law = [] }", "law"),
    ] {
        let message = parse(&RECIPE.replace("epochs = 3", key)).unwrap_err();
        assert!(message.contains("some/recipe.toml"), "{key}: {message}");
        assert!(message.contains(words), "{key}: {message}");
    }
}

#[test]
fn a_recipe_of_earlier_versions_that_asks_for_an_lstm_gets_one() {
    let old = RECIPE.replace("recurrent-hidden = 8", "recurrent-hidden = 8\nrecurrent = \"lstm\"");
    let new = RECIPE.replace("cnn-gru", "cnn-lstm");
    assert_eq!(parse(&old).unwrap(), parse(&new).unwrap());
    let both = new.replace("recurrent-hidden = 8", "recurrent-hidden = 8\nrecurrent = \"gru\"");
    assert!(parse(&both).unwrap_err().contains("leave recurrent out"));
}

#[test]
fn stages_and_pretrained_weights_are_read_resolved_and_refused_with_the_way_out() {
    let resnet =
        RECIPE.replace("cnn-gru", "resnet-gru").replace("epochs = 3", "epochs = 3\nSTAGES");
    let with = |stages: &str| parse(&resnet.replace("STAGES", stages));
    let recipe = with(
        "pretrained = { weights = \"resnet18.pth\" }\n\
         stages = { stem = { frozen-epochs = 2 }, layer1 = { rate = 0.1 } }",
    )
    .unwrap();
    assert_eq!(recipe.train.stage("stem").frozen_epochs, 2);
    assert_eq!((recipe.train.stage("layer1").rate, recipe.train.stage("layer2").rate), (0.1, 1.0));
    let moved = recipe.with_paths_from(Path::new("/some/recipes"));
    let weights = moved.train.pretrained.clone().unwrap().weights;
    assert_eq!(weights, Path::new("/some/recipes/resnet18.pth"));
    assert_eq!(parse(&moved.to_toml().unwrap()).unwrap(), moved);
    let refused = [
        ("stages = { layer3 = { rate = 0.1 } }", "there are stem, layer1, layer2, rest"),
        ("stages = { stem = { rate = 0 } }", "set its frozen-epochs"),
        ("stages = { layer1 = { frozen-epochs = 1 } }", "as long as all before it are"),
        (
            "stages = { stem = { frozen-epochs = 1 }, layer1 = { frozen-epochs = 1 }, \
             layer2 = { frozen-epochs = 1 }, rest = { frozen-epochs = 1 } }",
            "holds the output",
        ),
        ("stages = { stem = { momentum = 1 } }", "momentum"),
    ];
    for (stages, wanted) in refused {
        let message = with(stages).unwrap_err();
        assert!(message.contains(wanted), "{message}");
    }
    let cnn = |line: &str| parse(&RECIPE.replace("epochs = 3", line)).unwrap_err();
    assert!(cnn("stages = { stem = { rate = 0.1 } }").contains("for resnet-gru and resnet-lstm"));
    assert!(cnn("pretrained = { weights = \"w\" }").contains("for resnet-gru and resnet-lstm"));
    let colours = |colours: &str| {
        parse(&resnet.replace("STAGES", "").replace("[model]", &format!("[model]\n{colours}")))
    };
    assert!(colours("colours = \"deltas\"").unwrap_err().contains("deltas = { order = 2 }"));
    assert!(colours("colours = \"windows\"").unwrap_err().contains("three frame-lengths"));
    let windows = resnet
        .replace("STAGES", "")
        .replace("[model]", "[model]\ncolours = \"windows\"")
        .replace("[features]", "[features]\nsnip-edges = false\nframe-lengths = [25, 64, 250]");
    parse(&windows).unwrap();
}
