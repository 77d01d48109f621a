//! Fine-tuning: a training that begins with the weights of a model file, whatever its alphabet.
//!
//! Features must be the same, for the weights mean nothing on others; so must the architecture. Every tensor is
//! taken as it is but the output layer, whose rows are labels: where both alphabets have a symbol its
//! row is taken, the blank's too, and the rows of other labels begin as from scratch.

use std::path::Path;

use labyrinth_nn::foreign::{file_digest, read_bytes};
use labyrinth_nn::{ModelFile, ModelHeader, Network};
use labyrinth_text::Alphabet;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::data::Data;
use crate::error::TrainError;
use crate::recipe::Recipe;

/// The biases of the labels, the blank's first.
pub(crate) const OUTPUT_BIAS: &str = "output.bias";
/// The layer whose rows are labels.
const OUTPUT: [&str; 2] = ["output.weight", OUTPUT_BIAS];

/// Options of a network that change no weight.
const NOT_IN_WEIGHTS: [&str; 2] = ["dropout", "one-word"];

/// `1 label`, `2 labels`.
fn counted(number: usize, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

/// What a training took from a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Taken {
    /// SHA-256 of the model file.
    pub digest: String,
    /// Tensors taken whole.
    pub tensors: usize,
    /// Symbols whose rows of the output were taken; the blank's is not named.
    pub labels: Vec<String>,
    /// Symbols whose rows are new.
    pub new_labels: Vec<String>,
    /// Whether the row of the blank, or of silence, was taken.
    pub blank: bool,
}

impl Taken {
    /// A sentence for the screen.
    pub fn sentence(&self, path: &Path) -> String {
        let blank = if self.blank { "the blank" } else { "no blank" };
        let new = match &self.new_labels[..] {
            [] => "none".to_owned(),
            labels if labels.len() <= 20 => {
                let quoted: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
                quoted.join(" ")
            }
            labels => format!("{} labels", labels.len()),
        };
        format!(
            "began with {} of {}; of its output layer {blank} and {} that both alphabets have; new: {new}",
            counted(self.tensors, "tensor"),
            path.display(),
            counted(self.labels.len(), "label")
        )
    }
}

/// Puts the weights of the model at `path` into `network`, as far as they fit.
pub(crate) fn begin_from(
    path: &Path,
    recipe: &Recipe,
    data: &Data,
    network: &mut Network<f32>,
) -> Result<Taken, TrainError> {
    let bytes = read_bytes(path)?;
    let model = ModelFile::from_bytes(&bytes, path)?;
    check(path, recipe, &model.header)?;
    let blank = model.header.objective == data.goal.objective;
    let same = blank && same_outputs(&model.header, data);
    let rows = shared_rows(&model.header.alphabet, &data.alphabet, blank);
    let mut taken = Taken {
        digest: file_digest(&bytes),
        tensors: 0,
        labels: Vec::new(),
        new_labels: Vec::new(),
        blank,
    };
    for (index, symbol) in data.alphabet.symbols().iter().enumerate() {
        let label = index + 1;
        let list = match rows.iter().any(|&(_, to)| to == label) {
            true => &mut taken.labels,
            false => &mut taken.new_labels,
        };
        list.push(symbol.clone());
    }
    let mut missing = Vec::new();
    let groups = [
        (&model.network.parameters, &mut network.parameters),
        (&model.network.buffers, &mut network.buffers),
    ];
    for (source, target) in groups {
        for index in 0..target.specs().len() {
            let spec = target.specs()[index].clone();
            let (from, range) = (source.get(&spec.name), target.range(index));
            let Some(from) = from else {
                missing.push(spec.name);
                continue;
            };
            if OUTPUT.contains(&spec.name.as_str()) && !same {
                let width = spec.len() / spec.shape[0];
                let to = &mut target.values[range];
                for &(source, target) in &rows {
                    let row = &from[source * width..(source + 1) * width];
                    to[target * width..(target + 1) * width].copy_from_slice(row);
                }
            } else if from.len() == range.len() {
                target.values[range].copy_from_slice(from);
                taken.tensors += 1;
            } else {
                missing.push(spec.name);
            }
        }
    }
    // Cannot be where the options are the same; were it so, it must not pass in silence.
    if let Some(name) = missing.first() {
        let difference = format!("tensor {name} does not fit");
        return Err(TrainError::FromArchitecture { path: path.into(), difference });
    }
    Ok(taken)
}

/// Whether both have the same labels in all heads.
fn same_outputs(header: &ModelHeader, data: &Data) -> bool {
    let heads = data.goal.auxiliary.iter().map(|head| &head.head.alphabet);
    header.alphabet == data.alphabet && header.auxiliary.iter().map(|head| &head.alphabet).eq(heads)
}

/// Pairs of labels that stand for the same symbol, in the old and the new alphabet.
fn shared_rows(old: &Alphabet, new: &Alphabet, blank: bool) -> Vec<(usize, usize)> {
    let mut rows = if blank { vec![(0, 0)] } else { Vec::new() };
    if old.units() != new.units() {
        return rows;
    }
    for (to, symbol) in new.symbols().iter().enumerate() {
        if let Some(from) = old.symbols().iter().position(|other| other == symbol) {
            rows.push((from + 1, to + 1));
        }
    }
    rows
}

fn check(path: &Path, recipe: &Recipe, header: &ModelHeader) -> Result<(), TrainError> {
    if let Some(difference) = difference(&header.features, &recipe.features, &[]) {
        return Err(TrainError::FromFeatures { path: path.into(), difference });
    }
    match difference(&header.model, &recipe.model, &NOT_IN_WEIGHTS) {
        Some(difference) => Err(TrainError::FromArchitecture { path: path.into(), difference }),
        None => Ok(()),
    }
}

/// The keys in which two sets of options differ, each with both values: `sample-frequency is 16000.0 there and
/// 8000.0 here`.
fn difference<T: Serialize>(there: &T, here: &T, but: &[&str]) -> Option<String> {
    let map = |options: &T| match serde_json::to_value(options) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let (there, here) = (map(there), map(here));
    let mut keys: Vec<&String> = there.keys().chain(here.keys()).collect();
    keys.sort();
    keys.dedup();
    let told = |value: Option<&Value>| value.map_or("its default".to_owned(), Value::to_string);
    let differences: Vec<String> = keys
        .into_iter()
        .filter(|key| !but.contains(&key.as_str()) && there.get(*key) != here.get(*key))
        .map(|key| {
            format!("{key} is {} there and {} here", told(there.get(key)), told(here.get(key)))
        })
        .collect();
    (!differences.is_empty()).then(|| differences.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_signal::FeatureOptions;
    use labyrinth_text::Units;

    #[test]
    fn labels_keep_their_rows_wherever_they_stand() {
        let alphabet =
            |units, text: &str| Alphabet::from_transcripts(units, [text.to_owned()].into_iter());
        let (old, new) = (alphabet(Units::Characters, "adb"), alphabet(Units::Characters, "bcd"));
        assert_eq!(shared_rows(&old, &new, true), [(0, 0), (2, 1), (3, 3)]);
        assert_eq!(shared_rows(&old, &new, false), [(2, 1), (3, 3)]);
        // A letter is not the word that is written like it.
        let words = alphabet(Units::Words, "a b");
        assert_eq!(shared_rows(&old, &words, true), [(0, 0)]);
    }

    #[test]
    fn what_differs_is_told_with_both_values() {
        let there = FeatureOptions::default();
        let here = FeatureOptions { sample_frequency: 8000.0, ..there.clone() };
        assert_eq!(difference(&there, &there, &[]), None);
        let told = difference(&there, &here, &[]).unwrap();
        assert_eq!(told, "sample-frequency is 16000.0 there and 8000.0 here");
        assert_eq!(difference(&there, &here, &["sample-frequency"]), None);
    }
}
