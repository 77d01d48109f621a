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
        if path.extension().is_some_and(|extension| extension == "toml") {
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
        assert!(message.contains(&format!("line {line}")), "{section}: {message}");
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
        assert!(message.contains(bad) && message.contains("line "), "{message}");
    }
}

#[test]
fn values_out_of_range_and_unknown_architectures_are_refused() {
    let message = parse(&RECIPE.replace("epochs = 3", "epochs = 0")).unwrap_err();
    assert!(message.contains("epochs"), "{message}");
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
    assert_eq!(recipe.data.train, Path::new("other.jsonl"));
    assert_eq!(recipe.train.speeds, [0.9, 1.1]);
    assert!(read(&["train.epoch=7"]).unwrap_err().contains("epoch"));
    assert!(read(&["train.epochs"]).unwrap_err().contains("section.key=value"));
    assert!(read(&["train.epochs.more=1"]).unwrap_err().contains("section.key=value"));
}

#[test]
fn a_resolved_recipe_is_itself_a_recipe() {
    let recipe = parse(RECIPE).unwrap().with_paths_from(Path::new("folder"));
    assert!(recipe.data.train.is_absolute());
    let again = parse(&recipe.to_toml().unwrap()).unwrap();
    assert_eq!(again, recipe);
    // Runs that began before there was a precision must find their recipe unchanged.
    assert!(!recipe.to_toml().unwrap().contains("precision"));
    let text = RECIPE.replace("epochs = 3", "epochs = 3\nprecision = \"bf16\"");
    let recipe = parse(&text).unwrap();
    assert_eq!(recipe.train.precision, Precision::Bf16);
    assert_eq!(parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
}
