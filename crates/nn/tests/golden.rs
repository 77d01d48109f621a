//! Whole models beside PyTorch's and torchvision's values: logits, and the gradient of every weight.
//!
//! `golden/make_golden.py` computed the files in f64; so the errors found here are those of this crate, in f32.

use std::path::{Path, PathBuf};

use labyrinth_kernels::Cpu;
use labyrinth_nn::foreign::read_tensors;
use labyrinth_nn::layers::{Colours, Pixels};
use labyrinth_nn::pretrained::load_resnet;
use labyrinth_nn::{
    Cut, Memory, Mode, ModelOptions, Network, Parameters, ResnetNorm, ResnetOptions, Shape,
};
use safetensors::SafeTensors;

/// Largest error, relative to the largest value of a tensor or to its norm.
const BOUND: f64 = 1e-4;

struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        Self { bytes: std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap() }
    }

    fn find(&self, tensor: &str) -> Option<Vec<f32>> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let values = file.tensor(tensor).ok()?;
        let values = values.data().chunks_exact(4);
        Some(values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect())
    }

    fn get(&self, tensor: &str) -> Vec<f32> {
        self.find(tensor).unwrap_or_else(|| panic!("there is no {tensor}"))
    }

    fn integers(&self, tensor: &str) -> Vec<usize> {
        self.get(tensor).iter().map(|&value| value as usize).collect()
    }

    fn metadata(&self, key: &str) -> String {
        let (_, metadata) = SafeTensors::read_metadata(&self.bytes).unwrap();
        metadata.metadata().as_ref().unwrap()[key].clone()
    }
}

/// Values from -1 to 1 by a tensor's name and their place, as the script makes them.
fn pattern(name: &str, count: usize) -> Vec<f32> {
    let hash = |seed: u32, byte: u8| (seed ^ u32::from(byte)).wrapping_mul(16_777_619);
    let seed = name.bytes().fold(2_166_136_261, hash);
    let value = |index: u32| {
        let mut x = seed ^ index.wrapping_mul(2_654_435_761);
        x = (x ^ x >> 16).wrapping_mul(0x85EB_CA6B);
        x = (x ^ x >> 13).wrapping_mul(0xC2B2_AE35);
        x ^= x >> 16;
        (f64::from(x) / 2f64.powi(31) - 1.0) as f32
    };
    (0..count as u32).map(value).collect()
}

/// How both sides begin.
fn set_first_values(parameters: &mut Parameters<f32>) {
    for index in 0..parameters.specs().len() {
        let spec = parameters.specs()[index].clone();
        let fan_in: usize = spec.shape[1..].iter().product();
        let scale = (3.0 / fan_in as f64).sqrt();
        let range = parameters.range(index);
        let values = pattern(&spec.name, spec.len());
        for (place, value) in parameters.values[range].iter_mut().zip(values) {
            let value = f64::from(value);
            *place = match spec.shape.len() {
                1 if spec.name.ends_with(".weight") => 1.0 + 0.2 * value,
                1 => 0.1 * value,
                _ => value * scale,
            } as f32;
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// max|a − b| / max|b|
fn error(found: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let difference = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    f64::from(difference) / f64::from(wanted.iter().fold(0f32, |most, b| most.max(b.abs())))
}

/// The largest error of the logits and of any gradient.
fn compare(name: &str) {
    let golden = Golden::read(name);
    let options: ModelOptions = serde_json::from_str(&golden.metadata("model")).unwrap();
    let [dim, labels] = ["dim", "labels"].map(|key| golden.metadata(key).parse::<usize>().unwrap());
    let lengths = golden.integers("lengths");
    let mut network = Network::<f32>::new(&options, dim, labels, 1).unwrap();
    set_first_values(&mut network.parameters);
    let mut features = pattern("features", lengths.iter().sum::<usize>() * dim);
    features.iter_mut().for_each(|value| *value *= 1.75);
    for isa in Cpu::available() {
        let (cpu, mode) = (Cpu::with(isa).unwrap(), Mode::Training { key: 1 });
        let mut memory = Memory::new();
        network.forward(cpu, mode, &features, &lengths, &mut memory).unwrap();
        assert_eq!(memory.output_shape().unwrap().lengths, golden.integers("lengths-out"));
        let (logits, gradient) = memory.output_and_gradient();
        let mut worst = error(logits, &golden.get("logits"));
        assert!(worst <= BOUND, "{name} on {isa}: the logits err by {worst:e}");
        gradient.copy_from_slice(&pattern("loss", logits.len()));
        let mut gradients = network.parameters.clone();
        gradients.values.fill(0.0);
        network.backward(cpu, mode, &features, &mut gradients.values, &mut memory).unwrap();
        let sums = |tensor: &str| golden.get(&format!("sums {tensor}"));
        let largest: f64 =
            gradients.specs().iter().map(|spec| sums(&spec.name)[0]).fold(0.0, f32::max).into();
        for (spec, found) in gradients.iter() {
            let tensor = &spec.name;
            let [norm, product] = [0, 1].map(|index| f64::from(sums(tensor)[index]));
            // A bias before a batch norm has no gradient but rounding.
            let unit = norm + 1e-3 * largest;
            let products = dot(found, &pattern(&format!("product {tensor}"), found.len()));
            let mut errors = vec![
                (dot(found, found).sqrt() - norm).abs() / unit,
                (products - product).abs() / unit,
            ];
            if let Some(wanted) = golden.find(&format!("gradient {tensor}")) {
                let differences: Vec<f32> = found.iter().zip(&wanted).map(|(a, b)| a - b).collect();
                errors.push(dot(&differences, &differences).sqrt() / unit);
            }
            for error in errors {
                assert!(
                    error <= BOUND,
                    "{name} on {isa}: the gradient of {tensor} errs by {error:e}"
                );
                worst = worst.max(error);
            }
        }
        println!("{name} on {isa}: {} tensors, largest error {worst:.1e}", gradients.specs().len());
    }
}

#[test]
fn networks_of_convolutions() {
    compare("cnn-gru");
    compare("cnn-lstm");
}

#[test]
fn a_whole_resnet_18() {
    compare("resnet-gru-18");
}

#[test]
fn a_resnet_18_with_folded_norms_up_to_layer3() {
    compare("resnet-gru-18-folded");
}

#[test]
fn a_resnet_34() {
    compare("resnet-gru-34");
}

#[test]
fn a_resnet_50_of_bottlenecks() {
    compare("resnet-lstm-50");
}

#[test]
fn a_resnet_50_with_folded_norms() {
    compare("resnet-lstm-50-folded");
}

#[test]
fn a_stem_alone() {
    compare("resnet-gru-stem");
}

/// The file of the pretrained network, if this machine has it.
fn weights() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("LABYRINTH_DATA") else {
        println!("skipped: LABYRINTH_DATA names no folder with resnet18-imagenet-folded");
        return None;
    };
    let path = "resnet18-imagenet-folded/resnet18_stem_to_layer3_folded.safetensors";
    Some(Path::new(&folder).join(path))
}

#[test]
fn the_pretrained_network_sees_in_a_known_picture_what_torchvision_sees() {
    let Some(path) = weights() else { return };
    let golden = Golden::read("pretrained");
    let (features, lengths) = (golden.get("features"), golden.integers("lengths"));
    for time_strides in [[2, 2, 1, 1, 1], [1, 1, 2, 2, 1]] {
        for cut in [Cut::Stem, Cut::Layer1, Cut::Layer2, Cut::Layer3] {
            let options = ResnetOptions {
                cut,
                time_strides,
                norm: ResnetNorm::Folded,
                colours: Colours::Deltas,
                pixels: Pixels::ThreeSigma,
                ..ResnetOptions::default()
            };
            let trunk = options.trunk::<f32>().unwrap();
            let mut parameters = Parameters::initialize(trunk.parameters(), 1);
            let mut buffers = Parameters::initialize(trunk.buffers(), 1);
            let tensors = read_tensors(&path).unwrap();
            load_resnet(&options, tensors, &path, &mut parameters, &mut buffers).unwrap();
            let strides: String = time_strides.iter().map(usize::to_string).collect();
            let prefix = format!("{} {strides}", cut.name());
            let shape = Shape::features(&lengths, features.len() / lengths[0]);
            for isa in Cpu::available() {
                let (cpu, mut memory) = (Cpu::with(isa).unwrap(), Memory::new());
                let (weights, mode) = (&parameters.values, Mode::Inference);
                let nothing = &mut [];
                trunk
                    .forward(cpu, mode, weights, &[], &features, &shape, nothing, &mut memory)
                    .unwrap();
                let found = memory.output_shape().unwrap();
                let sizes = vec![found.rows(), found.bins, found.channels];
                assert_eq!(sizes, golden.integers(&format!("{prefix} shape")));
                let values: Vec<f32> = memory.output().iter().step_by(7).copied().collect();
                let error = error(&values, &golden.get(&format!("{prefix} values")));
                println!("{prefix} on {isa}: error {error:.1e}");
                assert!(error <= BOUND, "{prefix} on {isa}: {error:e}");
            }
        }
    }
}
