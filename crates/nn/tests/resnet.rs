//! ResNets before recurrent layers: lengths, company, gradients, a frozen beginning, weights of others.

use std::path::Path;

use labyrinth_kernels::Cpu;
use labyrinth_nn::foreign::NamedTensor;
use labyrinth_nn::layers::{Colours, Pixels};
use labyrinth_nn::pretrained::{load_resnet, torchvision_name};
use labyrinth_nn::{
    Cut, Height, Memory, Mode, ModelOptions, Network, PretrainedError, ResnetName, ResnetNorm,
    ResnetOptions,
};
use labyrinth_signal::Random;
use proptest::prelude::*;

const LABELS: usize = 5;
const DIM: usize = 21;

fn small() -> ResnetOptions {
    ResnetOptions {
        width: 3,
        projection: 6,
        recurrent_layers: 1,
        recurrent_hidden: 5,
        dropout: 0.0,
        ..ResnetOptions::default()
    }
}

fn random(count: usize, key: u64) -> Vec<f32> {
    let mut random = Random::from_key(&[key]);
    (0..count).map(|_| random.normal() as f32).collect()
}

fn network(options: &ResnetOptions) -> Network<f32> {
    Network::new(&ModelOptions::Resnet(options.clone()), DIM, LABELS, 3).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn any_options() -> impl Strategy<Value = ResnetOptions> {
    let cuts = [Cut::Stem, Cut::Layer1, Cut::Layer2, Cut::Layer3, Cut::Layer4];
    let strides =
        [[2, 2, 1, 1, 1], [1, 2, 2, 1, 1], [1, 1, 1, 2, 2], [3, 1, 1, 1, 1], [1, 1, 4, 1, 1]];
    (
        prop::sample::select(vec![18, 34, 50]),
        prop::sample::select(cuts.to_vec()),
        prop::sample::select(strides.to_vec()),
        prop::sample::select(vec![ResnetNorm::Batch, ResnetNorm::Folded]),
        prop::sample::select(vec![Colours::Repeat, Colours::Deltas]),
        prop::sample::select(vec![Height::Mean, Height::Flatten]),
        (1usize..4, any::<bool>()),
    )
        .prop_map(|(depth, cut, time_strides, norm, colours, height, (width, both))| {
            let architecture = if both { ResnetName::ResnetGru } else { ResnetName::ResnetLstm };
            ResnetOptions {
                architecture,
                depth,
                cut,
                time_strides,
                norm,
                colours,
                height,
                width,
                bidirectional: both,
                ..small()
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_utterance_gives_the_same_bytes_in_any_company_and_as_many_frames_as_predicted(
        options in any_options(),
        lengths in prop::collection::vec(1usize..70, 1..5),
    ) {
        let network = network(&options);
        let cpu = Cpu::detect();
        let mut memory = Memory::new();
        let features: Vec<Vec<f32>> =
            lengths.iter().enumerate().map(|(i, &n)| random(n * DIM, i as u64)).collect();
        let mut alone = Vec::new();
        for (features, &frames) in features.iter().zip(&lengths) {
            network.forward(cpu, Mode::Inference, features, &[frames], &mut memory).unwrap();
            let predicted = network.options().output_frames(frames);
            prop_assert_eq!(&memory.output_shape().unwrap().lengths, &vec![predicted]);
            prop_assert_eq!(predicted, frames.div_ceil(network.options().time_stride()));
            alone.extend(bits(memory.output()));
        }
        let batch = features.concat();
        network.forward(cpu, Mode::Inference, &batch, &lengths, &mut memory).unwrap();
        prop_assert_eq!(bits(memory.output()), alone);
    }
}

/// Every third or so of the weights of a small network against finite differences.
#[test]
fn gradients() {
    for (norm, pixels, depth) in [
        (ResnetNorm::Batch, Pixels::Moments, 18),
        (ResnetNorm::Folded, Pixels::ThreeSigma, 18),
        (ResnetNorm::Batch, Pixels::ThreeSigma, 50),
    ] {
        let (cut, colours) = (Cut::Layer1, Colours::Deltas);
        let options = ResnetOptions { norm, pixels, depth, cut, colours, width: 2, ..small() };
        let options = ModelOptions::Resnet(options);
        let mut network = Network::<f64>::new(&options, DIM, LABELS, 3).unwrap();
        // Off zero, where the folded network begins.
        let noise = random(network.parameters.len(), 8);
        for (value, noise) in network.parameters.values.iter_mut().zip(noise) {
            *value += 0.05 * f64::from(noise);
        }
        let lengths = [13, 6];
        let features: Vec<f64> =
            random(lengths.iter().sum::<usize>() * DIM, 4).iter().map(|&v| f64::from(v)).collect();
        let (cpu, mode) = (Cpu::detect(), Mode::Training { key: 1 });
        let mut memory = Memory::new();
        let mut gradients = vec![0.0; network.parameters.len()];
        network.forward(cpu, mode, &features, &lengths, &mut memory).unwrap();
        let (logits, gradient) = memory.output_and_gradient();
        let weighting: Vec<f64> = random(logits.len(), 5).iter().map(|&v| f64::from(v)).collect();
        gradient.copy_from_slice(&weighting);
        network.backward(cpu, mode, &features, &mut gradients, &mut memory).unwrap();
        let mut loss = |network: &Network<f64>| -> f64 {
            network.forward(cpu, mode, &features, &lengths, &mut memory).unwrap();
            memory.output().iter().zip(&weighting).map(|(y, w)| y * w).sum()
        };
        const STEP: f64 = 1e-6;
        for index in (0..gradients.len()).step_by(7) {
            let keep = network.parameters.values[index];
            network.parameters.values[index] = keep + STEP;
            let above = loss(&network);
            network.parameters.values[index] = keep - STEP;
            let below = loss(&network);
            network.parameters.values[index] = keep;
            let (computed, measured) = (gradients[index], (above - below) / (2.0 * STEP));
            let error = (computed - measured).abs() / (1.0 + computed.abs().max(measured.abs()));
            assert!(error < 1e-5, "{norm:?} {index}: {computed}, differences {measured}");
        }
    }
}

/// A frozen beginning changes no logit of inference, gets no gradient, moves no statistic, and what follows
/// gets the gradients that it would get with these layers in inference mode.
#[test]
fn a_frozen_beginning_stays_as_it_is() {
    let mut network = network(&ResnetOptions { dropout: 0.2, ..small() });
    let (cpu, lengths) = (Cpu::detect(), [40, 23]);
    let features = random(lengths.iter().sum::<usize>() * DIM, 1);
    let mut memory = Memory::new();
    let mut pass = |network: &mut Network<f32>, mode| {
        network.forward(cpu, mode, &features, &lengths, &mut memory).unwrap();
        let logits = memory.output().to_vec();
        let mut gradients = vec![0.0; network.parameters.len()];
        if mode != Mode::Inference {
            memory.output_and_gradient().1.fill(0.1);
            network.backward(cpu, mode, &features, &mut gradients, &mut memory).unwrap();
            network.update_buffers(&memory).unwrap();
        }
        (bits(&logits), gradients)
    };
    let training = Mode::Training { key: 1 };
    // Statistics that are not those of any batch.
    pass(&mut network, training);
    let of_inference = pass(&mut network, Mode::Inference).0;
    let buffers = network.buffers.clone();
    let trained = pass(&mut network, training);
    network.buffers = buffers;
    let stages = ["stem", "layer1", "layer2"];
    // Thawing from behind, with shapes that do not change between some of the stages.
    for count in (0..=stages.len()).rev() {
        let frozen = &stages[..count];
        network.freeze(|stage| frozen.contains(&stage));
        assert_eq!(pass(&mut network, Mode::Inference).0, of_inference);
        let buffers = network.buffers.clone();
        let (logits, gradients) = pass(&mut network, training);
        assert_eq!(count == 0, logits == trained.0);
        for (index, spec) in network.parameters.specs().iter().enumerate() {
            let moved = gradients[network.parameters.range(index)].iter().any(|&g| g != 0.0);
            let is_frozen = frozen.contains(&network.options().stage_of(&spec.name));
            // A bias of a projection may by chance have none, but no such is here.
            assert_eq!(moved, !is_frozen, "{} with {count} frozen", spec.name);
        }
        for (index, spec) in buffers.specs().iter().enumerate() {
            let range = buffers.range(index);
            let same = buffers.values[range.clone()] == network.buffers.values[range];
            let is_frozen = frozen.contains(&network.options().stage_of(&spec.name));
            assert_eq!(same, is_frozen, "{} with {count} frozen", spec.name);
        }
        network.buffers = buffers;
    }
    assert_eq!(pass(&mut network, training).0, trained.0);
}

/// The tensors of a network as torchvision would have them, with random statistics, and some that a whole
/// network has behind the cut.
fn torchvision(network: &Network<f32>) -> Vec<NamedTensor> {
    let mut tensors = Vec::new();
    let groups = [&network.parameters, &network.buffers];
    for (spec, _) in groups.into_iter().flat_map(|group| group.iter()) {
        if network.options().stage_of(&spec.name) == "rest" {
            continue;
        }
        let name = torchvision_name(&spec.name);
        let mut values = random(spec.len(), tensors.len() as u64);
        if name.ends_with("running_var") {
            values.iter_mut().for_each(|value| *value = 0.1 + value.abs());
        }
        tensors.push(NamedTensor { name, shape: spec.shape.clone(), values, integers: false });
    }
    for name in ["fc.weight", "bn1.num_batches_tracked", "layer4.0.conv1.weight"] {
        tensors.push(NamedTensor {
            name: name.into(),
            shape: vec![1],
            values: vec![1.0],
            integers: false,
        });
    }
    tensors
}

fn load(
    network: &mut Network<f32>,
    tensors: Vec<NamedTensor>,
) -> Result<labyrinth_nn::pretrained::Loaded, PretrainedError> {
    let ModelOptions::Resnet(options) = network.options().clone() else { panic!() };
    let (parameters, buffers) = (&mut network.parameters, &mut network.buffers);
    load_resnet(&options, tensors, Path::new("resnet18.pth"), parameters, buffers)
}

#[test]
fn separate_norms_load_as_they_are_and_folded_and_both_compute_the_same() {
    for depth in [18, 50] {
        let options = ResnetOptions { depth, cut: Cut::Layer3, ..small() };
        let mut batch = network(&options);
        let tensors = torchvision(&batch);
        let count = tensors.len() - 3;
        let loaded = load(&mut batch, tensors.clone()).unwrap();
        assert_eq!(loaded.used, count);
        assert_eq!(loaded.ignored_groups(), "bn1.*, fc.*, layer4.*");
        let mut folded = network(&ResnetOptions { norm: ResnetNorm::Folded, ..options });
        assert_eq!(load(&mut folded, tensors).unwrap().used, count);
        // The same recurrent layers: names and seed decide how they begin.
        let features = random(50 * DIM, 1);
        let [a, b] = [&batch, &folded].map(|network| {
            let mut memory = Memory::new();
            let mode = Mode::Inference;
            network.forward(Cpu::detect(), mode, &features, &[50], &mut memory).unwrap();
            memory.output().to_vec()
        });
        let largest = a.iter().fold(0f32, |most, value| most.max(value.abs()));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * largest), "{a:?} {b:?}");
    }
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name_and_change_nothing() {
    let mut network = network(&small());
    let before = network.parameters.clone();
    let tensors = torchvision(&network);
    let mut fault = |change: &dyn Fn(&mut Vec<NamedTensor>)| {
        let mut changed = tensors.clone();
        change(&mut changed);
        let message = load(&mut network, changed).unwrap_err().to_string();
        assert_eq!(network.parameters, before);
        assert!(message.contains("resnet18.pth"), "{message}");
        message
    };
    let rename = |from: &'static str, to: &'static str| {
        move |tensors: &mut Vec<NamedTensor>| {
            tensors.iter_mut().filter(|t| t.name == from).for_each(|t| t.name = to.into());
        }
    };
    let message = fault(&rename("layer1.0.bn1.bias", "layer1.0.bn1.shift"));
    assert!(message.contains("missing layer1.0.bn1.bias"), "{message}");
    assert!(message.contains("surplus layer1.0.bn1.shift"), "{message}");
    let message = fault(&|tensors| {
        tensors.push(NamedTensor { name: "layer1.2.conv1.weight".into(), ..tensors[0].clone() });
    });
    assert!(message.contains("surplus layer1.2.conv1.weight"), "{message}");
    let message = fault(&|tensors| tensors[0].shape = vec![3, 3, 7, 8]);
    assert!(message.contains("conv1.weight ([3, 3, 7, 8] where [3, 3, 7, 7]"), "{message}");
    let message = fault(&|tensors| tensors[1].values[0] = f32::NAN);
    assert!(message.contains("not a number in bn1.weight"), "{message}");
    let message = fault(&|tensors| tensors.retain(|tensor| !tensor.name.contains("running")));
    assert!(message.contains("set norm = \"folded\""), "{message}");
}

#[test]
fn a_network_that_cannot_be_is_refused() {
    let fault = |options: ResnetOptions| {
        ModelOptions::Resnet(options).build::<f32>(DIM, LABELS).err().unwrap().to_string()
    };
    assert!(fault(ResnetOptions { depth: 101, ..small() }).contains("18, 34 or 50, not 101"));
    let strides = ResnetOptions { time_strides: [2, 2, 2, 1, 1], ..small() };
    assert!(fault(strides.clone()).contains("up to layer2 multiply to 8"));
    // Behind the cut a stride does not count.
    let cut = ResnetOptions { cut: Cut::Layer1, ..strides };
    assert!(ModelOptions::Resnet(cut).build::<f32>(DIM, LABELS).is_ok());
    assert!(fault(ResnetOptions { time_strides: [0; 5], ..small() }).contains("at least 1"));
    let build = |dim| {
        let options = ResnetOptions { colours: Colours::Windows, ..small() };
        ModelOptions::Resnet(options).build::<f32>(dim, LABELS).err().map(|error| error.to_string())
    };
    assert!(build(22).unwrap().contains("22 values do not hold three colours"));
    assert_eq!(build(21), None);
    let unknown = r#"{"architecture": "resnet-gru", "cut": "layer5"}"#;
    assert!(serde_json::from_str::<ResnetOptions>(unknown).is_err());
}
