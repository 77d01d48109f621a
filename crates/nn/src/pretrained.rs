//! torchvision's weights of a ResNet into ours: by name, with batch norms of their own or folded.
//!
//! # Folding
//! In inference a batch norm is `y = (c − mean) / √(variance + ε) · gain + shift`, and the convolution before it
//! `c = w ∗ x` without a bias. Together they are one convolution with a bias:
//!
//! ```text
//! scale = gain / √(variance + ε),   y = (scale · w) ∗ x + (shift − scale · mean)
//! ```
//!
//! It goes in this direction only: from the folded form nobody can tell what the statistics were.
//!
//! Book: book/src/transfer.md

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::architecture::{ResnetNorm, ResnetOptions};
use crate::foreign::NamedTensor;
use crate::layers::BATCH_NORM_EPSILON;
use crate::parameters::Parameters;

/// Weights that a network cannot begin with, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// Names, shapes or values do not fit.
    #[error("the weights {} do not fit {network}: {}; check depth, width and cut in [model], or name other weights", path.display(), faults.join("; "))]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What was to begin with them.
        network: String,
        /// What is wrong, with the names of the tensors.
        faults: Vec<String>,
    },
    /// Folded weights for a network with batch norms.
    #[error("the batch norms of the weights {} are folded into their convolutions, which cannot be undone, and [model] has norm = \"batch\"; set norm = \"folded\", or name the weights before folding", path.display())]
    Folded {
        /// The file.
        path: PathBuf,
    },
}

/// What a network has taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Tensors of the file that were used.
    pub used: usize,
    /// Names of those that were not: what lies behind the cut, counters.
    pub ignored: Vec<String>,
}

impl Loaded {
    /// The ignored tensors in short: `fc.*, layer4.*`.
    pub fn ignored_groups(&self) -> String {
        let mut groups: Vec<&str> = Vec::new();
        for name in &self.ignored {
            let group = name.split('.').next().unwrap_or(name);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups.iter().map(|group| format!("{group}.*")).collect::<Vec<_>>().join(", ")
    }
}

/// torchvision's name of one of our tensors.
pub fn torchvision_name(name: &str) -> String {
    name.replacen(".body.", ".", 1).replacen(".shortcut.", ".", 1)
}

/// The batch norm behind a convolution, in torchvision's names.
fn norm_of(convolution: &str) -> String {
    match convolution.strip_suffix("downsample.0") {
        Some(block) => format!("{block}downsample.1"),
        // conv1 → bn1, layer1.0.conv2 → layer1.0.bn2
        None => convolution.replacen("conv", "bn", 1),
    }
}

/// How many names a message lists.
const LISTED: usize = 12;

fn list(names: &[String]) -> String {
    let mut text = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        text += &format!(" and {} more", names.len() - LISTED);
    }
    text
}

/// Names of what does not fit.
#[derive(Default)]
struct Faults {
    missing: Vec<String>,
    shapes: Vec<String>,
    not_finite: Vec<String>,
    integers: Vec<String>,
    surplus: Vec<String>,
}

impl Faults {
    fn told(&self) -> Vec<String> {
        let kinds = [
            ("missing", &self.missing),
            ("of another shape", &self.shapes),
            ("infinite or not a number in", &self.not_finite),
            ("whole numbers, which are no weights, in", &self.integers),
            ("surplus", &self.surplus),
        ];
        let some = kinds.iter().filter(|(_, names)| !names.is_empty());
        some.map(|(what, names)| format!("{what} {}", list(names))).collect()
    }
}

/// The tensors of a file, each taken out at most once.
struct Tensors {
    left: BTreeMap<String, NamedTensor>,
    faults: Faults,
    used: usize,
}

impl Tensors {
    /// A tensor's values, if it is there, has the shape and holds numbers.
    fn take(&mut self, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
        let Some(tensor) = self.left.remove(name) else {
            self.faults.missing.push(name.into());
            return None;
        };
        if tensor.shape != shape {
            let (found, shape) = (tensor.shape, shape.to_vec());
            self.faults.shapes.push(format!("{name} ({found:?} where {shape:?} is needed)"));
            return None;
        }
        if !tensor.values.iter().all(|value| value.is_finite()) {
            self.faults.not_finite.push(name.into());
            return None;
        }
        if tensor.integers {
            self.faults.integers.push(name.into());
            return None;
        }
        self.used += 1;
        Some(tensor.values)
    }

    /// A convolution and the batch norm behind it as weights and a bias.
    fn take_folded(&mut self, convolution: &str, shape: &[usize]) -> Option<[Vec<f32>; 2]> {
        let norm = norm_of(convolution);
        let mut weight = self.take(&format!("{convolution}.weight"), shape);
        let mut part = |name: &str| self.take(&format!("{norm}.{name}"), &shape[..1]);
        let parts = ["weight", "bias", "running_mean", "running_var"].map(&mut part);
        let (Some(weight), [Some(gain), Some(shift), Some(mean), Some(variance)]) =
            (weight.as_mut(), parts)
        else {
            return None;
        };
        // ANCHOR: fold
        let mut bias = Vec::with_capacity(gain.len());
        let columns = weight.len() / gain.len().max(1);
        for (channel, row) in weight.chunks_exact_mut(columns.max(1)).enumerate() {
            let deviation = (f64::from(variance[channel]) + BATCH_NORM_EPSILON).sqrt();
            let scale = f64::from(gain[channel]) / deviation;
            for value in row {
                *value = (scale * f64::from(*value)) as f32;
            }
            bias.push((f64::from(shift[channel]) - scale * f64::from(mean[channel])) as f32);
        }
        // ANCHOR_END: fold
        if !bias.iter().chain(weight.iter()).all(|value| value.is_finite()) {
            self.faults.not_finite.push(format!("{norm}.running_var"));
            return None;
        }
        Some([std::mem::take(weight), bias])
    }
}

/// Puts the tensors of a file, in torchvision's names, into a ResNet: `parameters` and `buffers` are those of a
/// network of `options` or of its [`ResnetOptions::trunk`]. What follows the cut keeps its values. `path` names
/// the file in messages.
///
/// # Errors
/// [`PretrainedError`] lists what is missing, surplus within the cut, of another shape or not a number; nothing
/// is changed then.
pub fn load_resnet(
    options: &ResnetOptions,
    tensors: Vec<NamedTensor>,
    path: &Path,
    parameters: &mut Parameters<f32>,
    buffers: &mut Parameters<f32>,
) -> Result<Loaded, PretrainedError> {
    let folded = !tensors.iter().any(|tensor| tensor.name.ends_with(".running_mean"));
    if folded && options.norm == ResnetNorm::Batch {
        return Err(PretrainedError::Folded { path: path.into() });
    }
    let to_be_folded = !folded && options.norm == ResnetNorm::Folded;
    let left = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut tensors = Tensors { left, faults: Faults::default(), used: 0 };
    let stages = options.stages();
    let kept = |name: &str| {
        let stage = ResnetOptions::stage_of(name);
        stage != "rest" && stages.contains(&stage)
    };
    let mut found: [Vec<(usize, Vec<f32>)>; 2] = Default::default();
    for (group, found) in [&*parameters, &*buffers].into_iter().zip(&mut found) {
        for (index, spec) in group.specs().iter().enumerate().filter(|(_, spec)| kept(&spec.name)) {
            let name = torchvision_name(&spec.name);
            if !to_be_folded {
                found.extend(tensors.take(&name, &spec.shape).map(|values| (index, values)));
            } else if let Some(convolution) = name.strip_suffix(".weight") {
                // The bias follows its weight.
                if let Some([weight, bias]) = tensors.take_folded(convolution, &spec.shape) {
                    found.extend([(index, weight), (index + 1, bias)]);
                }
            }
        }
    }
    let Tensors { left, mut faults, used } = tensors;
    let ignored: Vec<String> = left.into_keys().collect();
    let counter = |name: &String| name.ends_with(".num_batches_tracked");
    faults.surplus = ignored.iter().filter(|n| kept(n) && !counter(n)).cloned().collect();
    let faults = faults.told();
    if !faults.is_empty() {
        let network = format!(
            "a ResNet-{} of width {} up to {}",
            options.depth,
            options.width,
            options.cut.name()
        );
        return Err(PretrainedError::Tensors { path: path.into(), network, faults });
    }
    for (group, found) in [parameters, buffers].into_iter().zip(found) {
        for (index, values) in found {
            let range = group.range(index);
            group.values[range].copy_from_slice(&values);
        }
    }
    Ok(Loaded { used, ignored })
}
