//! Models for PyTorch and back: weights under PyTorch's own names, and the program that reads them.
//!
//! Our tensors have PyTorch's shapes, orders of gates and pairs of biases already; only names differ. A
//! recurrent layer's `forward.w_ih` is `weight_ih_l0` there and its `backward.w_ih` `weight_ih_l0_reverse`; what
//! lies in the branches of a residual block has no `body.` and `shortcut.` before it, as in torchvision; and
//! a recurrent layer that is added to its input is named as if it were not.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use labyrinth_text::Units;
use safetensors::tensor::{Dtype, TensorView};

use crate::architecture::ModelOptions;
use crate::foreign::NamedTensor;
use crate::model_file::{ModelFileError, ModelHeader};
use crate::network::Network;
use crate::parameters::Parameters;

const HEAD: &str = include_str!("head.py");
const RECURRENT: &str = include_str!("recurrent.py");
const CNN: &str = include_str!("cnn.py");
const RESNET: &str = include_str!("resnet.py");
const KEYWORD: &str = include_str!("keyword.py");
const TAIL: &str = include_str!("tail.py");

/// Weights that are not those of a model.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Tensors that are missing, too many, or of another shape.
    #[error("the weights {} do not fit the network, which has {of}: {faults}; export a model of the same recipe to see its names and shapes", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// How many tensors the network has: `21 tensors`.
        of: String,
        /// How many tensors have each fault, and their names.
        faults: String,
    },
    /// A tensor with values that are no numbers.
    #[error("tensor {name} of the weights {} holds {value} at place {place}; the training that made it diverged", path.display())]
    NoNumber {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// NaN or an infinity.
        value: f32,
        /// Where, in the order of its values.
        place: usize,
    },
}

/// The name that PyTorch has for one of our tensors.
pub fn torch_name(name: &str) -> String {
    let mut parts: Vec<&str> = name.split('.').collect();
    if parts[0] == "residual" && parts.len() > 2 {
        parts.drain(..2);
    }
    parts.retain(|part| !["body", "shortcut"].contains(part));
    let mut last = String::new();
    if let [.., direction @ ("forward" | "backward"), weight] = parts[..] {
        let kind = if weight.starts_with('w') { "weight" } else { "bias" };
        let gates = &weight[2..];
        let reverse = if direction == "backward" { "_reverse" } else { "" };
        last = format!("{kind}_{gates}_l0{reverse}");
        parts.truncate(parts.len() - 2);
    }
    if !last.is_empty() {
        parts.push(&last);
    }
    parts.join(".")
}

/// All tensors of a network under PyTorch's names, as a safetensors file.
///
/// # Errors
/// [`ModelFileError::Serialise`].
pub fn weights_for_torch(network: &Network<f32>) -> Result<Vec<u8>, ModelFileError> {
    let fault = |error: safetensors::SafeTensorError| ModelFileError::Serialise(error.to_string());
    let tensors = network.parameters.iter().chain(network.buffers.iter());
    let named: Vec<(String, &[usize], Vec<u8>)> = tensors
        .map(|(spec, values)| {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (torch_name(&spec.name), &spec.shape[..], bytes)
        })
        .collect();
    let mut views = Vec::with_capacity(named.len());
    for (name, shape, bytes) in &named {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(fault)?;
        views.push((name.as_str(), view));
    }
    safetensors::serialize(views, Some(HashMap::from([("format".into(), "pt".into())])))
        .map_err(fault)
}

/// A program for PyTorch that builds the same network, loads `weights.safetensors` beside it, and prints
/// logits or text for features.
///
/// # Errors
/// [`ModelFileError::Serialise`].
pub fn program_for_torch(
    header: &ModelHeader,
    network: &Network<f32>,
) -> Result<String, ModelFileError> {
    let json = |value: &serde_json::Value| serde_json::to_string_pretty(value);
    let fault = |error: serde_json::Error| ModelFileError::Serialise(error.to_string());
    let options = serde_json::to_value(&header.model).map_err(fault)?;
    let features = serde_json::to_value(&header.features).map_err(fault)?;
    let mut labels = vec!["<blank>".to_owned()];
    labels.extend(header.alphabet.symbols().iter().cloned());
    let separator = match header.alphabet.units() {
        Units::Characters => "",
        _ => " ",
    };
    // JSON never has three quotes in a row, so it can stand between three.
    let constants = format!(
        "# The [model] of the recipe.\nOPTIONS = json.loads(\n    r\"\"\"\n{}\n\"\"\"\n)\n\
         # The [features] of the recipe: `labyrinth features --config` computes them.\n\
         FEATURES = json.loads(\n    r\"\"\"\n{}\n\"\"\"\n)\n\
         # Label 0 is the blank, or silence.\nLABELS = json.loads(r\"\"\"{}\"\"\")\nSEPARATOR = \"{separator}\"\n\
         # Values of a frame of features, and of a frame of logits.\nBINS, OUTPUTS = {}, {}\n",
        json(&options).map_err(fault)?,
        json(&features).map_err(fault)?,
        serde_json::to_string(&labels).map_err(fault)?,
        network.dim(),
        network.labels(),
    );
    let (recurrent, model) = match &header.model {
        ModelOptions::Cnn(_) => (RECURRENT, CNN),
        ModelOptions::Resnet(_) => (RECURRENT, RESNET),
        ModelOptions::Keyword(_) => ("", KEYWORD),
    };
    let title = "\"\"\"A model of labyrinth in PyTorch: its network, its weights, greedy CTC search.\n\n\
                 Needs torch and numpy. Reads features as `labyrinth features -o npy` writes them with this \
                 model's options.\n\"\"\"\n\n";
    let head = HEAD.replace("@CONSTANTS@", &constants);
    Ok([title, &head, recurrent, model, TAIL].concat())
}

/// What `DataParallel` and `DistributedDataParallel` put before the name of each tensor of a module.
const PARALLEL: &str = "module.";

/// Puts tensors in PyTorch's names into a network: every one must be there, of the right shape, with numbers in it.
/// PyTorch's own count of batches is passed over. Names that all begin with `module.`, as `DataParallel` saves them,
/// are taken without it; answers whether they were.
///
/// # Errors
/// [`ImportError`] names every tensor that does not fit.
pub fn import_from_torch(
    tensors: Vec<NamedTensor>,
    path: &Path,
    network: &mut Network<f32>,
) -> Result<bool, ImportError> {
    let parallel =
        !tensors.is_empty() && tensors.iter().all(|tensor| tensor.name.starts_with(PARALLEL));
    let skipped = if parallel { PARALLEL.len() } else { 0 };
    let mut tensors: BTreeMap<String, NamedTensor> = tensors
        .into_iter()
        .filter(|tensor| !tensor.name.ends_with("num_batches_tracked"))
        .map(|tensor| (tensor.name[skipped..].to_owned(), tensor))
        .collect();
    let mut faults = Faults::default();
    let mut of = 0;
    for group in [&mut network.parameters, &mut network.buffers] {
        of += group.specs().len();
        take(&mut tensors, path, group, &mut faults)?;
    }
    faults.surplus.extend(tensors.into_keys());
    match faults.told() {
        none if none.is_empty() => Ok(parallel),
        faults => Err(ImportError::Tensors { path: path.into(), of: counted(of), faults }),
    }
}

/// Names of tensors that do not fit.
#[derive(Default)]
struct Faults {
    missing: Vec<String>,
    shapes: Vec<String>,
    integers: Vec<String>,
    surplus: Vec<String>,
}

impl Faults {
    /// `1 tensor is missing (output.bias), 2 tensors are too many (head.bias, head.weight)`.
    fn told(&self) -> String {
        let kinds = [
            (&self.missing, "missing"),
            (&self.shapes, "of another shape"),
            (&self.integers, "of whole numbers, which are no weights"),
            (&self.surplus, "too many"),
        ];
        let some = kinds.iter().filter(|(names, _)| !names.is_empty());
        let told = some.map(|(names, what)| {
            let are = if names.len() == 1 { "is" } else { "are" };
            format!("{} {are} {what} ({})", counted(names.len()), names.join(", "))
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

fn counted(tensors: usize) -> String {
    format!("{tensors} tensor{}", if tensors == 1 { "" } else { "s" })
}

fn take(
    tensors: &mut BTreeMap<String, NamedTensor>,
    path: &Path,
    group: &mut Parameters<f32>,
    faults: &mut Faults,
) -> Result<(), ImportError> {
    for index in 0..group.specs().len() {
        let (name, wanted) =
            (torch_name(&group.specs()[index].name), group.specs()[index].shape.clone());
        let Some(tensor) = tensors.remove(&name) else {
            faults.missing.push(name);
            continue;
        };
        if tensor.shape != wanted {
            faults.shapes.push(format!("{name} is {:?} and must be {wanted:?}", tensor.shape));
            continue;
        }
        if tensor.integers {
            faults.integers.push(name);
            continue;
        }
        if let Some(place) = tensor.values.iter().position(|value| !value.is_finite()) {
            let value = tensor.values[place];
            return Err(ImportError::NoNumber { path: path.into(), name, value, place });
        }
        let range = group.range(index);
        group.values[range].copy_from_slice(&tensor.values);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{CnnOptions, KeywordOptions, ResnetOptions};
    use crate::foreign::parse_tensors;

    #[test]
    fn names_are_those_of_pytorch_and_torchvision() {
        for (ours, theirs) in [
            ("conv.0.weight", "conv.0.weight"),
            ("norm.1.running_var", "norm.1.running_var"),
            ("gru.2.forward.w_ih", "gru.2.weight_ih_l0"),
            ("lstm.0.backward.b_hh", "lstm.0.bias_hh_l0_reverse"),
            ("residual.1.body.gru.1.forward.w_hh", "gru.1.weight_hh_l0"),
            ("residual.1.body.recurrent_norm.1.bias", "recurrent_norm.1.bias"),
            ("layer2.0.body.conv1.weight", "layer2.0.conv1.weight"),
            ("layer2.0.shortcut.downsample.1.weight", "layer2.0.downsample.1.weight"),
            ("lookahead.weight", "lookahead.weight"),
        ] {
            assert_eq!(torch_name(ours), theirs);
        }
    }

    fn networks() -> Vec<Network<f32>> {
        let causal = CnnOptions {
            bidirectional: false,
            lookahead: 3,
            recurrent_norm: true,
            residual: true,
            ..CnnOptions::default()
        };
        let ahead = ResnetOptions {
            width: 8,
            bidirectional: false,
            lookahead: 2,
            recurrent_norm: true,
            residual: true,
            ..ResnetOptions::default()
        };
        let options = [
            ModelOptions::Cnn(CnnOptions::default()),
            ModelOptions::Cnn(causal),
            ModelOptions::Resnet(ResnetOptions { width: 8, ..ResnetOptions::default() }),
            ModelOptions::Resnet(ahead),
            ModelOptions::Keyword(KeywordOptions::default()),
        ];
        options.iter().map(|options| Network::new(options, 40, 9, 7).unwrap()).collect()
    }

    #[test]
    fn what_goes_out_comes_back_and_no_two_names_are_the_same() {
        let path = Path::new("w.safetensors");
        for network in networks() {
            let bytes = weights_for_torch(&network).unwrap();
            let tensors = parse_tensors(&bytes, path).unwrap();
            let count = network.parameters.specs().len() + network.buffers.specs().len();
            assert_eq!(tensors.len(), count);
            let mut other = Network::new(network.options(), 40, 9, 8).unwrap();
            assert_ne!(other.parameters, network.parameters);
            assert!(!import_from_torch(tensors.clone(), path, &mut other).unwrap());
            // As `DataParallel` saves them, with its counters.
            let mut parallel = tensors;
            let counter = NamedTensor {
                name: "bn.num_batches_tracked".into(),
                shape: vec![],
                values: vec![3.0],
                integers: true,
            };
            parallel.push(counter);
            parallel.iter_mut().for_each(|tensor| tensor.name.insert_str(0, PARALLEL));
            other.parameters.values.fill(0.0);
            assert!(import_from_torch(parallel, path, &mut other).unwrap());
            assert_eq!(other.parameters, network.parameters);
            assert_eq!(other.buffers, network.buffers);
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let path = Path::new("w.pth");
        let mut network = networks().remove(0);
        let whole = parse_tensors(&weights_for_torch(&network).unwrap(), path).unwrap();
        let mut fault = |change: &dyn Fn(&mut Vec<NamedTensor>)| {
            let mut tensors = whole.clone();
            change(&mut tensors);
            import_from_torch(tensors, path, &mut network).unwrap_err().to_string()
        };
        let place = whole.iter().position(|tensor| tensor.name == "output.bias").unwrap();
        let renamed = fault(&|tensors| tensors[place].name = "head.bias".into());
        let both = "1 tensor is missing (output.bias), 1 tensor is too many (head.bias)";
        assert!(renamed.contains(both), "{renamed}");
        let empty = fault(&|tensors| tensors.clear());
        let all = format!("which has {0} tensors: {0} tensors are missing (", whole.len());
        assert!(empty.contains(&all), "{empty}");
        let whole_numbers = fault(&|tensors| tensors[place].integers = true);
        assert!(whole_numbers.contains("of whole numbers"), "{whole_numbers}");
        assert!(whole_numbers.contains("(output.bias)"), "{whole_numbers}");
        let shape = fault(&|tensors| {
            tensors[place].shape = vec![8];
            tensors[place].values.pop();
        });
        assert!(shape.contains("output.bias is [8] and must be [9]"), "{shape}");
        let nan = fault(&|tensors| tensors[place].values[4] = f32::NAN);
        assert!(
            nan.contains("tensor output.bias of the weights w.pth holds NaN at place 4"),
            "{nan}"
        );
    }
}
