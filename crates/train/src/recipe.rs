//! The recipe: one TOML file that describes an experiment whole.
//!
//! - `read`: from its text, with overrides; what is wrong with it in a sentence.
//! - `check`: what its types cannot say.

mod check;
mod read;

pub(crate) use read::{Place, plain};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use labyrinth_corpus::SoundOptions;
use labyrinth_kernels::Precision;
use labyrinth_nn::{ModelOptions, Objective};
use labyrinth_signal::{
    FeatureOptions, LowPass, Noise, RandomFilter, RecordedNoise, Reverberation, SpecAugment,
    Telephone, Volume,
};
use labyrinth_text::{NormalizerOptions, TrackOptions, Units};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::mixture::Mixture;

/// An experiment: data, features, model, training, decoding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// Manifests and the normaliser of their transcripts.
    pub data: DataSection,
    /// From sound to frames.
    pub features: FeatureOptions,
    /// The network.
    pub model: ModelOptions,
    /// How it is trained.
    pub train: TrainSection,
    /// How words are found in its output.
    pub decode: DecodeSection,
}

/// `[data]`: manifests, relative to the recipe's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DataSection {
    /// Manifest to train on, or several with weights.
    pub train: Mixture,
    /// Manifest by which the best epoch is chosen; never a test set.
    pub dev: PathBuf,
    /// How transcripts are brought into one form.
    #[serde(default)]
    pub normalizer: NormalizerOptions,
    /// What a label stands for: a character, a word of a closed list, or a phoneme.
    #[serde(default)]
    pub units: Units,
    /// Words and their phonemes, for transcripts to phonemes ([`labyrinth_text::lexicon`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lexicon: Option<PathBuf>,
    /// How label tracks are read, for framewise training.
    #[serde(default, skip_serializing_if = "TrackOptions::is_default")]
    pub track: TrackOptions,
}

/// `[train]`: the training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainSection {
    /// Seed of everything random.
    pub seed: u64,
    /// What the frames of the output learn: "ctc", a transcript, or "framewise", the label track of the
    /// utterance. Left out where it is CTC, as in older runs.
    #[serde(skip_serializing_if = "Objective::is_ctc")]
    pub loss: Objective,
    /// A second head that learns phonemes beside the first, by CTC; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auxiliary_phonemes: Option<AuxiliaryPhonemes>,
    /// Passes over the data.
    pub epochs: u64,
    /// Utterances in a batch, at most.
    pub batch_size: usize,
    /// Seconds of audio in a batch, at most.
    pub max_batch_seconds: f64,
    /// Largest learning rate.
    pub learning_rate: f64,
    /// Share of the training during which the learning rate rises.
    pub warm_up: f64,
    /// Weight decay of AdamW, on matrices.
    pub weight_decay: f64,
    /// Largest norm of the gradient; larger ones are scaled down to it.
    pub clip: f64,
    /// Memory of a running mean of the weights, 0.999 for about the last thousand steps: dev is recognised with the
    /// mean, and the model file holds it, while training goes on from the weights themselves. 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub average_weights: f64,
    /// Standard deviation of noise that each step adds to the matrices while loss and gradient are computed, and takes
    /// away before it moves them: against learning by heart, such as 0.02. 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub weight_noise: f64,
    /// What the blank's bias begins with, for CTC from scratch. A network that begins by finding all labels
    /// equally likely may learn to say a word throughout it and its silence, and keep the blank to part a word
    /// from its repetition; with few labels some seeds never leave that. Above 0 they begin with the blank.
    #[serde(skip_serializing_if = "is_zero")]
    pub blank_bias: f64,
    /// Factors of speed, one drawn for each utterance and epoch.
    pub speeds: Vec<f64>,
    /// Factors of tempo at the same pitch, likewise. Empty for none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tempos: Vec<f64>,
    /// Factors by which the filters are warped, one drawn for each utterance and epoch: speakers
    /// with longer and shorter vocal tracts (`vtln-warp` of `[features]`). Empty for none.
    pub vtln_warps: Vec<f32>,
    /// A room between mouth and microphone, simulated or recorded; absent for none.
    pub reverberation: Option<Reverberation>,
    /// Recordings of noise added to the samples; absent for none.
    pub recorded_noise: Option<RecordedNoise>,
    /// Noise of a random colour added to the samples; absent for none.
    pub noise: Option<Noise>,
    /// Another level; absent for none.
    pub volume: Option<Volume>,
    /// Nothing above a drawn cutoff; absent for all.
    pub low_pass: Option<LowPass>,
    /// The band and the code of a telephone; absent for none.
    pub telephone: Option<Telephone>,
    /// A smooth filter, drawn anew for each utterance and epoch: other microphones and rooms. For
    /// logarithmic features that are not normalised bin by bin; absent for none.
    pub random_filter: Option<RandomFilter>,
    /// Masks over time and frequency; absent for none.
    pub spec_augment: Option<SpecAugment>,
    /// Weights of others that the network begins with; absent for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PretrainedOptions>,
    /// A model file whose weights are tuned further, `--from` of `labyrinth train`: with the same features
    /// and the same network but for its labels, relative to the recipe's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Learning rates of stages of the network (`stem`, `layer1` … `rest`), and how long they are frozen.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<String, StageOptions>,
    /// Steps between two checkpoints (one more follows each epoch).
    pub checkpoint_every: u64,
    /// Precision of the operands of matrix products and convolutions, also where dev is recognised: "f32" or "bf16".
    /// Weights, sums and everything else are f32 in both. Left out where it is f32, so that runs older
    /// than this key are still the same recipe.
    #[serde(with = "PrecisionName", skip_serializing_if = "is_f32")]
    pub precision: Precision,
}

impl TrainSection {
    /// How a stage is trained.
    pub fn stage(&self, name: &str) -> StageOptions {
        self.stages.get(name).copied().unwrap_or_default()
    }

    /// What training does to the sound.
    pub fn sound(&self) -> SoundOptions {
        SoundOptions {
            reverberation: self.reverberation.clone(),
            recorded_noise: self.recorded_noise.clone(),
            noise: self.noise.clone(),
            volume: self.volume.clone(),
            low_pass: self.low_pass.clone(),
            telephone: self.telephone.clone(),
        }
    }
}

/// `pretrained = { weights = "…" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PretrainedOptions {
    /// A ResNet's tensors in torchvision's names: safetensors or a state dict of PyTorch, relative to the
    /// recipe's folder.
    pub weights: PathBuf,
}

/// How a stage of the network is trained: `stem = { frozen-epochs = 10, rate = 0.1 }` under
/// `[train.stages]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StageOptions {
    /// Factor of the learning rate.
    pub rate: f64,
    /// Epochs at the beginning in which the stage stays as it is: no update, no weight decay, and its batch
    /// norms use their running statistics and do not move. For all of a training: its `epochs`, or more.
    pub frozen_epochs: u64,
}

impl Default for StageOptions {
    fn default() -> Self {
        Self { rate: 1.0, frozen_epochs: 0 }
    }
}

/// A head of phonemes beside the first head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AuxiliaryPhonemes {
    /// Words and their phonemes.
    pub lexicon: PathBuf,
    /// Its loss counts so much beside that of the first head.
    #[serde(default = "third")]
    pub weight: f64,
}

fn third() -> f64 {
    0.3
}

/// How a recipe writes a [`Precision`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Precision", rename_all = "kebab-case")]
enum PrecisionName {
    F32,
    Bf16,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_f32(precision: &Precision) -> bool {
    *precision == Precision::F32
}

impl Default for TrainSection {
    fn default() -> Self {
        Self {
            seed: 1,
            loss: Objective::Ctc,
            auxiliary_phonemes: None,
            epochs: 60,
            batch_size: 16,
            max_batch_seconds: 240.0,
            learning_rate: 1e-3,
            warm_up: 0.3,
            weight_decay: 0.01,
            clip: 5.0,
            average_weights: 0.0,
            weight_noise: 0.0,
            blank_bias: 0.0,
            speeds: vec![1.0],
            tempos: Vec::new(),
            vtln_warps: Vec::new(),
            reverberation: None,
            recorded_noise: None,
            noise: None,
            volume: None,
            low_pass: None,
            telephone: None,
            random_filter: None,
            spec_augment: None,
            pretrained: None,
            from: None,
            stages: BTreeMap::new(),
            checkpoint_every: 100,
            precision: Precision::F32,
        }
    }
}

/// `[decode]`: the search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DecodeSection {
    /// The method of search.
    pub method: DecodeMethod,
}

/// Methods of search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecodeMethod {
    /// The best label of each frame.
    #[default]
    Greedy,
}

impl Recipe {
    /// The same recipe with paths that no longer depend on the recipe's folder.
    pub fn with_paths_from(&self, folder: &Path) -> Self {
        let mut recipe = self.clone();
        let train = &mut recipe.train;
        let rooms = train.reverberation.as_mut().and_then(|rooms| rooms.recordings.as_mut());
        let noises = train.recorded_noise.as_mut().map(|noise| &mut noise.recordings);
        let phonemes = train.auxiliary_phonemes.as_mut().map(|head| &mut head.lexicon);
        let data = &mut recipe.data;
        let from = train.from.as_mut();
        let weights = train.pretrained.as_mut().map(|pretrained| &mut pretrained.weights);
        let lexicon = data.lexicon.as_mut();
        let manifests = data.train.manifests_mut().iter_mut().map(|one| &mut one.manifest);
        for path in manifests
            .chain([&mut data.dev])
            .chain(rooms)
            .chain(noises)
            .chain(lexicon)
            .chain(phonemes)
            .chain(weights)
            .chain(from)
        {
            let joined = folder.join(&*path);
            *path = std::path::absolute(&joined).unwrap_or(joined);
        }
        recipe
    }

    /// The recipe as TOML.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string(self).map_err(|error| TrainError::RecipeUnwritable(error.to_string()))
    }
}
