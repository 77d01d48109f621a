//! The model file: weights together with all that a recogniser must know to use them.
//!
//! A model that was trained on one kind of features and is fed another gives nonsense, and says
//! nothing. So the file carries its features, its alphabet, its text normaliser, its
//! architecture, the digest of its data and its scores, and whoever loads it builds everything
//! from there; nothing can disagree.
//!
//! On disk it is a safetensors file, which any tool that knows that format reads; our header is
//! one JSON text under the metadata key `labyrinth`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use labyrinth_signal::FeatureOptions;
use labyrinth_text::{Alphabet, Lexicon, NormalizerOptions, TrackOptions};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::architecture::ModelOptions;
use crate::error::NnError;
use crate::foreign::{bf16_to_f32, f32_to_bf16};
use crate::network::Network;
use crate::parameters::Parameters;

/// The version of the file's header that this program writes and reads.
pub const FORMAT: u32 = 1;

const METADATA_KEY: &str = "labyrinth";

/// Everything about a model but its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelHeader {
    /// Version of this header.
    pub format: u32,
    /// Version of the program that wrote it.
    pub program: String,
    /// How sound becomes features.
    pub features: FeatureOptions,
    /// How transcripts are brought into one form, for training and for scoring.
    pub normalizer: NormalizerOptions,
    /// The labels.
    pub alphabet: Alphabet,
    /// How words are spoken, where the labels are phonemes made of transcripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lexicon: Option<Lexicon>,
    /// What the labels of its frames mean.
    #[serde(default, skip_serializing_if = "Objective::is_ctc")]
    pub objective: Objective,
    /// How label tracks are read, where it was trained on them.
    #[serde(default, skip_serializing_if = "TrackOptions::is_default")]
    pub track: TrackOptions,
    /// Heads beside the first: their labels stand behind those of [`ModelHeader::alphabet`] in each
    /// output frame, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auxiliary: Vec<Head>,
    /// The architecture.
    pub model: ModelOptions,
    /// What it was trained on.
    pub data: DataRecord,
    /// How it was trained.
    pub training: TrainingRecord,
    /// Figures by name, such as `dev-wer` (a share, not percent).
    pub scores: BTreeMap<String, f64>,
    /// SHA-256 of all weights; guards against a damaged file.
    #[serde(default)]
    pub weights_digest: String,
}

/// What a model's output frames were trained to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// A transcript, by connectionist temporal classification: label 0 is the blank.
    #[default]
    Ctc,
    /// What is said at each frame: label 0 is silence.
    Framewise,
}

impl Objective {
    /// Whether it is CTC, which model files of earlier versions do not say.
    pub fn is_ctc(&self) -> bool {
        *self == Self::Ctc
    }
}

/// A head: scores for the labels of one alphabet, trained by CTC. All heads are one linear layer each on
/// the same frames, and stand side by side as the rows of one matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Its labels.
    pub alphabet: Alphabet,
    /// How words are spoken, where the labels are phonemes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lexicon: Option<Lexicon>,
}

impl ModelHeader {
    /// When its output frames are: the centre of frame 0 and the time from one to the next, in seconds.
    pub fn frame_times(&self) -> (f64, f64) {
        let shift = f64::from(self.features.frame_shift) / 1000.0;
        (self.features.frame_center(0), shift * self.model.time_stride() as f64)
    }

    /// Values of an output frame: the labels of all heads, each with its blank.
    pub fn outputs(&self) -> usize {
        self.alphabet.len() + self.auxiliary.iter().map(|head| head.alphabet.len()).sum::<usize>()
    }
}

/// Which data a model has seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// SHA-256 of the training manifest.
    pub train_digest: String,
    /// SHA-256 of the manifest by which the best epoch was chosen.
    pub dev_digest: String,
    /// Utterances trained on.
    pub train_utterances: usize,
    /// Their hours.
    pub train_hours: f64,
}

/// How a model came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// The recipe as resolved, TOML.
    pub recipe: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Instruction set that computed it.
    pub instruction_set: String,
    /// Epochs finished when these weights were taken.
    pub epoch: u64,
    /// Steps done when these weights were taken.
    pub step: u64,
    /// SHA-256 of the file of pretrained weights that the training began with; empty where there was none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pretrained_digest: String,
}

/// A model file that cannot be used, in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// The file cannot be read.
    #[error("cannot read the model {}: {source}; check the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no model of this program.
    #[error("{} is not a labyrinth model ({reason}); name a model.safetensors that `labyrinth train` wrote", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It was written in another version of the format.
    #[error("{} is a model of format {found}, and this program reads format {FORMAT}; use the program that wrote it ({program}) or train again", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// What wrote it.
        program: String,
    },
    /// It is cut short or was altered.
    #[error("the model {} is damaged ({reason}); copy it again or train again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// Its header describes no network that can be built.
    #[error("the model {} cannot be built: {source}", path.display())]
    Build {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NnError,
    },
    /// The weights could not be written down.
    #[error("the model could not be serialised: {0}")]
    Serialise(String),
}

/// A model as it lies on disk: its header, and its network with weights.
pub struct ModelFile {
    /// Everything but the weights.
    pub header: ModelHeader,
    /// The network.
    pub network: Network<f32>,
}

impl ModelFile {
    /// Reads and checks a model file.
    pub fn read(path: &Path) -> Result<Self, ModelFileError> {
        if labyrinth_signal::is_special_file(path) {
            let reason = "it is a pipe or a device".into();
            return Err(ModelFileError::NotAModel { path: path.into(), reason });
        }
        let bytes = std::fs::read(path)
            .map_err(|source| ModelFileError::Read { path: path.into(), source })?;
        Self::from_bytes(&bytes, path)
    }

    /// Reads a model from memory; `path` names it in messages.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, ModelFileError> {
        let not_a_model = |reason: String| ModelFileError::NotAModel { path: path.into(), reason };
        let damaged = |reason: String| ModelFileError::Damaged { path: path.into(), reason };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| match error {
            // The header is whole, and less follows than it announces.
            SafeTensorError::MetadataIncompleteBuffer => damaged("it is cut short".into()),
            other => not_a_model(other.to_string()),
        })?;
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|entries| entries.get(METADATA_KEY))
            .ok_or_else(|| not_a_model("it has no labyrinth header".into()))?;
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        let found = value["format"].as_u64().unwrap_or(0);
        if found != u64::from(FORMAT) {
            let program = value["program"].as_str().unwrap_or("unknown").to_owned();
            return Err(ModelFileError::Version { path: path.into(), found, program });
        }
        let mut header: ModelHeader =
            serde_json::from_value(value).map_err(|error| damaged(error.to_string()))?;
        header.model = header.model.in_todays_words();
        let tensors =
            SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
        let dim = labyrinth_signal::FeatureExtractor::new(&header.features)
            .map_err(|error| damaged(error.to_string()))?
            .dim();
        let mut network = Network::new(&header.model, dim, header.outputs(), 0)
            .map_err(|source| ModelFileError::Build { path: path.into(), source })?;
        let known = network.parameters.specs().len() + network.buffers.specs().len();
        if tensors.len() != known {
            return Err(damaged(format!(
                "it holds {} tensors where its architecture has {known}",
                tensors.len()
            )));
        }
        read_tensors(&tensors, "", &mut network.parameters).map_err(damaged)?;
        read_tensors(&tensors, "", &mut network.buffers).map_err(damaged)?;
        if weights_digest(&network) != header.weights_digest {
            return Err(damaged("its weights do not match their digest".into()));
        }
        Ok(Self { header, network })
    }

    /// Writes a model to memory. The same weights and header give the same bytes.
    pub fn to_bytes(
        header: &ModelHeader,
        network: &Network<f32>,
    ) -> Result<Vec<u8>, ModelFileError> {
        Self::to_bytes_as(header, network, Dtype::F32)
    }

    /// [`ModelFile::to_bytes`] with weights of 16 bits, the upper half of an `f32` (rounded to the nearest, ties
    /// to even), for half the size: the network is rounded, and what is read back is what it became. Running
    /// statistics stay as they are. The digest is that of the rounded values, which the 16 bits say exactly.
    pub fn to_bytes_bf16(
        header: &ModelHeader,
        network: &mut Network<f32>,
    ) -> Result<Vec<u8>, ModelFileError> {
        for value in &mut network.parameters.values {
            *value = bf16_to_f32(f32_to_bf16(*value));
        }
        Self::to_bytes_as(header, network, Dtype::BF16)
    }

    fn to_bytes_as(
        header: &ModelHeader,
        network: &Network<f32>,
        dtype: Dtype,
    ) -> Result<Vec<u8>, ModelFileError> {
        let header = ModelHeader { weights_digest: weights_digest(network), ..header.clone() };
        let text = serde_json::to_string(&header)
            .map_err(|error| ModelFileError::Serialise(error.to_string()))?;
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), text)]);
        let tensors = [("", &network.parameters, dtype), ("", &network.buffers, Dtype::F32)];
        write_tensors_as(&tensors, metadata)
    }
}

/// SHA-256 over names, shapes and values of all weights and running statistics.
pub fn weights_digest(network: &Network<f32>) -> String {
    let mut digest = Sha256::new();
    for (spec, values) in network.parameters.iter().chain(network.buffers.iter()) {
        digest.update(format!("{} {:?}\n", spec.name, spec.shape));
        digest.update(to_bytes(values));
    }
    hexadecimal(&digest.finalize())
}

/// Bytes as hexadecimal digits: how digests stand in files.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Writes groups of tensors, each under its own prefix, to one safetensors file.
pub fn write_tensors(
    groups: &[(&str, &Parameters<f32>)],
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, ModelFileError> {
    let groups: Vec<_> =
        groups.iter().map(|&(prefix, parameters)| (prefix, parameters, Dtype::F32)).collect();
    write_tensors_as(&groups, metadata)
}

/// [`write_tensors`], each group as `F32` or, of values that it can say, `BF16`.
fn write_tensors_as(
    groups: &[(&str, &Parameters<f32>, Dtype)],
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, ModelFileError> {
    let mut named = Vec::new();
    for &(prefix, parameters, dtype) in groups {
        for (spec, values) in parameters.iter() {
            let bytes = match dtype {
                Dtype::BF16 => {
                    values.iter().flat_map(|&value| f32_to_bf16(value).to_le_bytes()).collect()
                }
                _ => to_bytes(values),
            };
            named.push((format!("{prefix}{}", spec.name), spec.shape.clone(), bytes, dtype));
        }
    }
    let mut views = Vec::with_capacity(named.len());
    for (name, shape, bytes, dtype) in &named {
        let view = TensorView::new(*dtype, shape.clone(), bytes)
            .map_err(|error| ModelFileError::Serialise(error.to_string()))?;
        views.push((name.as_str(), view));
    }
    safetensors::serialize(views, Some(metadata))
        .map_err(|error| ModelFileError::Serialise(error.to_string()))
}

/// Reads the tensors that stand under `prefix`; the error says which does not fit.
pub fn read_tensors(
    tensors: &SafeTensors<'_>,
    prefix: &str,
    into: &mut Parameters<f32>,
) -> Result<(), String> {
    for index in 0..into.specs().len() {
        let spec = into.specs()[index].clone();
        let name = format!("{prefix}{}", spec.name);
        let tensor = tensors.tensor(&name).map_err(|_| format!("tensor {name} is missing"))?;
        let known = matches!(tensor.dtype(), Dtype::F32 | Dtype::BF16);
        if !known || tensor.shape() != spec.shape {
            return Err(format!(
                "tensor {name} is {:?} {:?} where F32 or BF16 {:?} is needed",
                tensor.dtype(),
                tensor.shape(),
                spec.shape
            ));
        }
        let range = into.range(index);
        if tensor.dtype() == Dtype::BF16 {
            let values = tensor.data().chunks_exact(2);
            for (value, bytes) in into.values[range].iter_mut().zip(values) {
                *value = bf16_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]));
            }
            continue;
        }
        for (value, bytes) in into.values[range].iter_mut().zip(tensor.data().chunks_exact(4)) {
            *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
    }
    Ok(())
}
