//! What a training begins with, and stages that are frozen and thaw: what must not move does not, and an
//! interrupted training goes on to the same bytes.

use std::collections::HashMap;
use std::f32::consts::TAU;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use labyrinth_kernels::Cpu;
use labyrinth_nn::pretrained::torchvision_name;
use labyrinth_nn::{ModelFile, Network, Parameters};
use labyrinth_train::{Event, Recipe, TrainError, TrainOptions, train};
use safetensors::tensor::{Dtype, TensorView};

const RECIPE: &str = r#"
[data]
train = "train.jsonl"
dev = "dev.jsonl"

[features]
kind = "fbank"
sample-frequency = 8000
num-mel-bins = 16

[model]
architecture = "resnet-gru"
cut = "layer1"
width = 4
norm = "NORM"
projection = 8
recurrent-layers = 1
recurrent-hidden = 8

[train]
epochs = EPOCHS
batch-size = 4
checkpoint-every = 2
learning-rate = 1e-2
pretrained = { weights = "weights.safetensors" }

[train.stages]
stem = { frozen-epochs = 99, rate = 0.5 }
layer1 = { frozen-epochs = 2, rate = 0.1 }
"#;

/// Tones of two heights in 16 recordings to train on and 4 to choose by.
fn corpus(folder: &Path) {
    for (name, count) in [("train", 16), ("dev", 4)] {
        let mut manifest = String::new();
        for index in 0..count {
            let (text, step) = if index % 2 == 0 { ("a", 0.3) } else { ("b", 0.9) };
            let length = 2400 + 160 * index;
            let samples: Vec<u8> = (0..length)
                .map(|i| ((i as f32 * step % TAU).sin() * 9000.0) as i16)
                .flat_map(i16::to_le_bytes)
                .collect();
            let mut wav = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
            wav[4..8].copy_from_slice(&(36 + samples.len() as u32).to_le_bytes());
            for number in [16u32, 1 | 1 << 16, 8000, 16_000, 2 | 16 << 16] {
                wav.extend(number.to_le_bytes());
            }
            wav.extend(b"data");
            wav.extend((samples.len() as u32).to_le_bytes());
            wav.extend(samples);
            let file = format!("{name}-{index}.wav");
            std::fs::write(folder.join(&file), wav).unwrap();
            let seconds = length as f64 / 8000.0;
            manifest += &format!(
                "{{\"id\":\"{name}-{index}\",\"audio_filepath\":\"{file}\",\"duration\":{seconds},\
                 \"text\":\"{text}\"}}\n"
            );
        }
        std::fs::write(folder.join(format!("{name}.jsonl")), manifest).unwrap();
    }
}

fn recipe(folder: &Path, norm: &str, epochs: usize) -> Recipe {
    let text = RECIPE.replace("NORM", norm).replace("EPOCHS", &epochs.to_string());
    let path = folder.join("recipe.toml");
    Recipe::parse(&text, &path).unwrap().with_paths_from(folder)
}

/// A network of other first values, and its tensors as a file in torchvision's names.
fn write_weights(folder: &Path, recipe: &Recipe) -> Network<f32> {
    let network = Network::<f32>::new(&recipe.model, 16, 3, 77).unwrap();
    let mut named: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (spec, values) in network.parameters.iter().chain(network.buffers.iter()) {
        if network.options().stage_of(&spec.name) != "rest" {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            named.push((torchvision_name(&spec.name), spec.shape.clone(), bytes));
        }
    }
    let views: Vec<(&str, TensorView<'_>)> = named
        .iter()
        .map(|(name, shape, bytes)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        })
        .collect();
    let none: Option<HashMap<String, String>> = None;
    let bytes = safetensors::serialize(views, none).unwrap();
    std::fs::write(folder.join("weights.safetensors"), bytes).unwrap();
    network
}

fn options(recipe: &Recipe, run: &Path, resume: bool) -> TrainOptions {
    TrainOptions {
        recipe: recipe.clone(),
        recipe_text: String::new(),
        run: run.into(),
        resume,
        anyway: false,
        cpu: Cpu::detect(),
        workers: 1,
    }
}

fn model(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("model.safetensors")).unwrap()
}

fn values<'a>(group: &'a Parameters<f32>, name: &str) -> &'a [f32] {
    group.get(name).unwrap()
}

fn newest_checkpoint(run: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(run.join("checkpoints")).unwrap();
    std::fs::read(entries.map(|entry| entry.unwrap().path()).max().unwrap()).unwrap()
}

fn tensor(file: &[u8], name: &str) -> Vec<f32> {
    let file = safetensors::SafeTensors::deserialize(file).unwrap();
    let tensor = file.tensor(name).unwrap();
    let values = tensor.data().chunks_exact(4);
    values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn what_is_frozen_stays_and_what_thaws_moves() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    corpus(folder);
    for norm in ["batch", "folded"] {
        for (epochs, thawed) in [(2, false), (3, true)] {
            let recipe = recipe(folder, norm, epochs);
            let given = write_weights(folder, &recipe);
            let run = folder.join(format!("{norm}-{epochs}"));
            let mut notes = String::new();
            train(options(&recipe, &run, false), &mut |event| {
                if let Event::Note(note) = event {
                    notes += note;
                }
            })
            .unwrap();
            assert!(notes.contains("weights.safetensors"), "{notes}");
            // The last checkpoint, since the best model may be an earlier epoch's.
            let bytes = newest_checkpoint(&run);
            let found = |group: &str, name: &str| tensor(&bytes, &format!("{group}/{name}"));
            for name in ["conv1.weight", "layer1.0.body.conv1.weight"] {
                let same = found("parameters", name) == values(&given.parameters, name);
                assert_eq!(same, !thawed || name == "conv1.weight", "{norm} {epochs} {name}");
            }
            assert!(found("first-moment", "conv1.weight").iter().all(|&value| value == 0.0));
            if norm == "batch" {
                for name in ["bn1.running_mean", "layer1.1.body.bn2.running_var"] {
                    let same = found("buffers", name) == values(&given.buffers, name);
                    assert_eq!(same, !thawed || name == "bn1.running_mean", "{epochs} {name}");
                }
            }
            let header = ModelFile::read(&run.join("model.safetensors")).unwrap().header;
            assert_eq!(header.training.pretrained_digest.len(), 64);
        }
    }
}

/// Killed at each step in turn, without the weights at hand where a checkpoint holds all that came of them.
#[test]
fn an_interrupted_training_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    corpus(folder);
    let mut recipe = recipe(folder, "batch", 4);
    recipe.train.average_weights = 0.9;
    recipe.train.weight_noise = 0.02;
    write_weights(folder, &recipe);
    let whole = folder.join("whole");
    let steps = train(options(&recipe, &whole, false), &mut |_| ()).unwrap().steps;
    assert!(steps >= 12, "{steps}");
    for last in 1..steps {
        let run = folder.join(format!("killed-{last}"));
        let killed = catch_unwind(AssertUnwindSafe(|| {
            train(options(&recipe, &run, false), &mut |event| {
                if let Event::Step { step, .. } = event {
                    assert!(step < last, "killed as planned");
                }
            })
        }));
        assert!(killed.is_err());
        let hidden = folder.join("hidden");
        let weights = folder.join("weights.safetensors");
        if last > 4 {
            std::fs::rename(&weights, &hidden).unwrap();
        }
        train(options(&recipe, &run, true), &mut |_| ()).unwrap();
        if last > 4 {
            std::fs::rename(&hidden, &weights).unwrap();
        }
        assert!(model(&run) == model(&whole), "killed at step {last}");
        let logs =
            [&run, &whole].map(|run| std::fs::read_to_string(run.join("log.jsonl")).unwrap());
        assert_eq!(logs[0], logs[1], "killed at step {last}");
    }
}

#[test]
fn weights_that_are_not_there_or_do_not_fit_leave_no_run_behind() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    corpus(folder);
    let folded = recipe(folder, "folded", 1);
    let run = folder.join("run");
    let fault = |recipe: &Recipe| -> TrainError {
        let error = train(options(recipe, &run, false), &mut |_| ()).unwrap_err();
        assert!(!run.exists());
        error
    };
    let message = fault(&folded).to_string();
    assert!(
        message.contains("weights.safetensors") && message.contains("check the path"),
        "{message}"
    );
    write_weights(folder, &folded);
    let message = fault(&recipe(folder, "batch", 1)).to_string();
    assert!(message.contains("set norm = \"folded\""), "{message}");
    let mut wider = folded.clone();
    let labyrinth_nn::ModelOptions::Resnet(model) = &mut wider.model else { panic!() };
    model.width = 8;
    let message = fault(&wider).to_string();
    assert!(message.contains("conv1.weight ([4, 3, 7, 7] where [8, 3, 7, 7]"), "{message}");
}

/// The model file holds the mean of the weights after each step, the checkpoint the weights themselves, and the
/// training is the same as without a mean.
#[test]
fn the_model_holds_the_mean_of_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    corpus(folder);
    let mut recipe = recipe(folder, "batch", 1);
    recipe.train.checkpoint_every = 1;
    write_weights(folder, &recipe);
    let run = |recipe: &Recipe, name: &str, seen: &mut dyn FnMut(Vec<u8>)| {
        let run = folder.join(name);
        train(options(recipe, &run, false), &mut |event| {
            // A step is told before its checkpoint is written.
            if matches!(event, Event::Step { step, .. } if step > 1)
                || matches!(event, Event::Validated { .. })
            {
                seen(newest_checkpoint(&run));
            }
        })
        .unwrap();
        model(&run)
    };
    let names = ["output.bias", "layer1.0.body.conv1.weight", "gru.0.forward.w_hh"];
    let buffer = "layer1.1.body.bn2.running_var";
    let mut without = Vec::new();
    run(&recipe, "without", &mut |checkpoint| without.push(checkpoint));
    recipe.train.average_weights = 0.6;
    let mut with = Vec::new();
    let kept = run(&recipe, "with", &mut |checkpoint| with.push(checkpoint));
    let kept = ModelFile::from_bytes(&kept, folder).unwrap().network;
    assert!(with.len() >= 4 && with.len() == without.len(), "{}", with.len());
    for (group, name) in
        names.map(|name| ("parameters", name)).into_iter().chain([("buffers", buffer)])
    {
        let name_in = format!("{group}/{name}");
        let steps: Vec<Vec<f32>> = with.iter().map(|bytes| tensor(bytes, &name_in)).collect();
        let plain: Vec<Vec<f32>> = without.iter().map(|bytes| tensor(bytes, &name_in)).collect();
        assert!(steps == plain, "{name}");
        let mut mean = vec![0.0; steps[0].len()];
        for (index, weights) in steps.iter().enumerate() {
            let memory = 0.6f64.min(index as f64 / (index as f64 + 10.0));
            for (mean, &weight) in mean.iter_mut().zip(weights) {
                *mean = memory * *mean + (1.0 - memory) * f64::from(weight);
            }
        }
        let held = match group {
            "parameters" => values(&kept.parameters, name),
            _ => values(&kept.buffers, name),
        };
        for (held, mean) in held.iter().zip(mean) {
            assert!((f64::from(*held) - mean).abs() < 1e-6, "{name}: {held} {mean}");
        }
    }
}

/// The loss is that of disturbed weights; those that are kept, and those that wait, are not.
#[test]
fn noise_on_the_weights_is_in_the_loss_and_not_in_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    corpus(folder);
    let mut recipe = recipe(folder, "folded", 1);
    let given = write_weights(folder, &recipe);
    // So slow that nothing moves.
    recipe.train.learning_rate = 1e-12;
    recipe.train.weight_decay = 0.0;
    let (mut losses, mut kept_weights) = (Vec::new(), Vec::new());
    for sigma in [0.0, 0.05] {
        recipe.train.weight_noise = sigma;
        let run = folder.join(format!("sigma-{sigma}"));
        let mut of = Vec::new();
        train(options(&recipe, &run, false), &mut |event| {
            if let Event::Step { loss, .. } = event {
                of.push(loss);
            }
        })
        .unwrap();
        losses.push(of);
        let bytes = newest_checkpoint(&run);
        let kept = tensor(&bytes, "parameters/conv1.weight");
        assert!(kept == values(&given.parameters, "conv1.weight"), "{sigma}");
        kept_weights.push(tensor(&bytes, "parameters/gru.0.forward.w_hh"));
    }
    let [undisturbed, disturbed] = &kept_weights[..] else { panic!() };
    assert!(undisturbed.iter().zip(disturbed).all(|(a, b)| (a - b).abs() < 1e-6));
    let [without, with] = &losses[..] else { panic!() };
    assert!(without.iter().zip(with).all(|(a, b)| a != b && (a - b).abs() < 0.5 * a), "{losses:?}");
}

#[test]
fn the_blank_begins_with_its_bias() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    corpus(folder);
    let mut recipe = recipe(folder, "folded", 1);
    write_weights(folder, &recipe);
    recipe.train.learning_rate = 1e-9;
    let bias = |recipe: &Recipe, name: &str| {
        let run = folder.join(name);
        train(options(recipe, &run, false), &mut |_| {}).unwrap();
        let file = ModelFile::from_bytes(&model(&run), &run).unwrap();
        values(&file.network.parameters, "output.bias").to_vec()
    };
    let without = bias(&recipe, "without");
    recipe.train.blank_bias = 5.0;
    let with = bias(&recipe, "with");
    assert!(without[0].abs() < 1.0 && (with[0] - 5.0).abs() < 1e-6, "{without:?} {with:?}");
    assert!(without[1..].iter().zip(&with[1..]).all(|(a, b)| (a - b).abs() < 1e-6));
}
