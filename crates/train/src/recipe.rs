//! The recipe: one TOML file that describes an experiment whole.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use labyrinth_corpus::SoundOptions;
use labyrinth_kernels::Precision;
use labyrinth_nn::layers::Colours;
use labyrinth_nn::{
    ARCHITECTURES, CnnOptions, KeywordOptions, ModelOptions, Objective, ResnetOptions,
};
use labyrinth_signal::{
    FeatureExtractor, FeatureKind, FeatureOptions, LowPass, Noise, Normalization, RandomFilter,
    RecordedNoise, Reverberation, SpecAugment, Telephone, Volume, is_special_file,
};
use labyrinth_text::plain_words::in_plain_words;
use labyrinth_text::{NormalizerOptions, TrackOptions, Units};
use serde::de::DeserializeOwned;
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

/// The recipe as a file holds it, with the options of one architecture.
///
/// Generic, so that each architecture's keys are read directly and a mistake keeps its line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RecipeFile<M> {
    data: DataSection,
    #[serde(default)]
    features: FeatureOptions,
    model: M,
    #[serde(default)]
    train: TrainSection,
    #[serde(default)]
    decode: DecodeSection,
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
    /// Reads a recipe and applies `--set` overrides of the form `train.epochs=5`.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        Self::parse_with(&read_text(path)?, path, overrides)
    }

    /// The `[features]` of a recipe as they stand there: the files that they name are not read, and
    /// the other sections need not be right.
    pub fn read_features(path: &Path) -> Result<FeatureOptions, TrainError> {
        #[derive(Deserialize)]
        struct Section {
            #[serde(default)]
            features: FeatureOptions,
        }
        let section: Section =
            toml::from_str(&read_text(path)?).map_err(|error| Fault::Toml(error).of_file(path))?;
        Ok(section.features)
    }

    /// Parses the text of a recipe; `path` names it in messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, TrainError> {
        Self::interpret(text, path).map_err(|fault| fault.of_file(path))
    }

    /// [`Recipe::parse`], then the overrides of [`Recipe::read`]. What is wrong with the text alone is
    /// blamed on the file, what is wrong only afterwards on the override that brings it in.
    pub fn parse_with(text: &str, path: &Path, overrides: &[String]) -> Result<Self, TrainError> {
        let recipe = Self::parse(text, path)?;
        if overrides.is_empty() {
            return Ok(recipe);
        }
        let table: toml::Table = text.parse().map_err(|error| Fault::Toml(error).of_file(path))?;
        let refused = |assignments: &[String], reason: String| TrainError::Override {
            assignment: assignments.join(" --set "),
            path: path.into(),
            reason,
        };
        Self::with(&table, overrides, path).map_err(|reason| {
            // Each on its own first: where one alone is at fault, the others are not named.
            let alone = overrides.iter().map(std::slice::from_ref);
            let guilty = alone.map(|one| (one, Self::with(&table, one, path)));
            match guilty.filter_map(|(one, result)| Some((one, result.err()?))).next() {
                Some((one, reason)) => refused(one, reason),
                None => refused(overrides, reason),
            }
        })
    }

    /// The recipe of `table` with `overrides`, or what is wrong with it.
    fn with(table: &toml::Table, overrides: &[String], path: &Path) -> Result<Self, String> {
        let mut table = table.clone();
        for assignment in overrides {
            set(&mut table, assignment).ok_or(
                "this is no assignment; write it as section.key=value, such as train.epochs=5",
            )?;
        }
        let text = toml::to_string(&table).map_err(|error| error.to_string())?;
        Self::interpret(&text, path).map_err(|fault| fault.to_string())
    }

    /// The recipe that stands in `text`; files of sums that its features name lie beside `path`.
    fn interpret(text: &str, path: &Path) -> Result<Self, Fault> {
        let table: toml::Table = text.parse().map_err(Fault::Toml)?;
        let architecture = table
            .get("model")
            .and_then(|model| model.get("architecture"))
            .and_then(|name| name.as_str())
            .unwrap_or("cnn-gru");
        let mut recipe = match architecture {
            "cnn-gru" | "cnn-lstm" => Self::of::<CnnOptions>(text, ModelOptions::Cnn)?,
            "keyword" => Self::of::<KeywordOptions>(text, ModelOptions::Keyword)?,
            "resnet-gru" | "resnet-lstm" => Self::of::<ResnetOptions>(text, ModelOptions::Resnet)?,
            other => return Err(Fault::Architecture(other.into())),
        };
        let folder = path.parent().unwrap_or(path);
        let read = recipe.features.read_stats(folder);
        read.map_err(|error| Fault::Value(error.to_string()))?;
        recipe.check().map_err(Fault::Value)?;
        recipe.model = recipe.model.in_todays_words();
        Ok(recipe)
    }

    fn of<M: DeserializeOwned>(
        text: &str,
        model: impl Fn(M) -> ModelOptions,
    ) -> Result<Self, Fault> {
        let file: RecipeFile<M> = toml::from_str(text).map_err(Fault::Toml)?;
        Ok(Self {
            data: file.data,
            features: file.features,
            model: model(file.model),
            train: file.train,
            decode: file.decode,
        })
    }

    /// What types cannot say: ranges, and whether features and network can be made at all, so that a
    /// mistake is told as the recipe's before any data is read.
    fn check(&self) -> Result<(), String> {
        let train = &self.train;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let manifests = self.data.train.manifests();
        let fault = if train.epochs == 0 || train.batch_size == 0 || train.checkpoint_every == 0 {
            "epochs, batch-size and checkpoint-every must be at least 1"
        } else if !manifests.iter().all(|one| (0.001..=1000.0).contains(&one.weight)) {
            "the weight of a manifest must lie from 0.001 to 1000"
        } else if !positive(train.learning_rate) || !positive(train.clip) {
            "learning-rate and clip must be above 0"
        } else if !positive(train.max_batch_seconds) {
            "max-batch-seconds must be above 0"
        } else if !(0.0..=1.0).contains(&train.warm_up) {
            "warm-up must lie from 0 to 1"
        } else if !(train.weight_decay.is_finite() && train.weight_decay >= 0.0) {
            "weight-decay must be at least 0"
        } else if train.speeds.is_empty()
            || !train.speeds.iter().all(|speed| (0.25..=4.0).contains(speed))
        {
            "speeds must name at least one factor, each from 0.25 to 4"
        } else if !train.tempos.iter().all(|tempo| (0.25..=4.0).contains(tempo)) {
            "tempos must be factors from 0.25 to 4"
        } else if train.spec_augment.as_ref().is_some_and(|masks| {
            masks.freq_masks.max(masks.time_masks) > 1000
                || !(0.0..=1.0).contains(&masks.time_share)
        }) {
            "spec-augment allows at most 1000 masks, and a time-share from 0 to 1"
        } else if train
            .random_filter
            .as_ref()
            .is_some_and(|filter| !(0.0..=100.0).contains(&filter.ripple_db))
        {
            "random-filter wants a ripple-db from 0 to 100"
        } else if train.random_filter.is_some()
            && (matches!(self.features.normalize, Normalization::Utterance | Normalization::Nemo)
                || !matches!(self.features.kind, FeatureKind::Fbank | FeatureKind::LogSpectrogram)
                || !self.features.use_log_fbank)
        {
            "random-filter adds to logarithmic spectra, and normalize = \"utterance\" would take \
             it away again: set [features] normalize to \"level\" or \"none\", or leave it out"
        } else if let Some(fault) = self.fault_of_labels() {
            fault
        } else if holds_no_number(&self.features) {
            "every value of [features] must be a finite number"
        } else {
            let features =
                FeatureExtractor::new(&self.features).map_err(|error| error.to_string())?;
            for &vtln_warp in &train.vtln_warps {
                let warped = FeatureOptions { vtln_warp, ..self.features.clone() };
                FeatureExtractor::new(&warped).map_err(|error| format!("vtln-warps: {error}"))?;
            }
            self.check_model()?;
            let sound = train.sound().check(features.sample_rate());
            sound.map_err(|error| error.to_string())?;
            // The width of the output is the alphabet's, which is not known yet; any will do.
            let network = self.model.build::<f32>(features.dim(), 2);
            return network.map(|_| ()).map_err(|error| error.to_string());
        };
        Err(fault.to_owned())
    }

    /// What the network, its features and its training must agree on.
    fn check_model(&self) -> Result<(), String> {
        let (train, features) = (&self.train, &self.features);
        let stages = self.model.stages();
        if let Some(unknown) = train.stages.keys().find(|name| !stages.contains(&name.as_str())) {
            return Err(if stages.is_empty() {
                "stages in [train] are for resnet-gru and resnet-lstm; leave them out".into()
            } else {
                format!(
                    "there is no stage {unknown} in [train.stages]; there are {}",
                    stages.join(", ")
                )
            });
        }
        if !train.stages.values().all(|stage| stage.rate > 0.0 && stage.rate <= 1000.0) {
            return Err(
                "the rate of a stage must lie above 0, up to 1000; to keep a stage as it is, set \
                        its frozen-epochs"
                    .into(),
            );
        }
        for pair in stages.windows(2) {
            let [before, behind] = [pair[0], pair[1]].map(|name| train.stage(name).frozen_epochs);
            if behind > before {
                return Err(format!(
                    "{} would be frozen for {behind} epochs and {}, which comes before it, for {before}; \
                     a stage can be frozen only as long as all before it are",
                    pair[1], pair[0]
                ));
            }
        }
        if stages.last().is_some_and(|rest| train.stage(rest).frozen_epochs > 0) {
            return Err("rest in [train.stages] holds the output, which cannot be frozen".into());
        }
        if train.from.is_some() && train.pretrained.is_some() {
            return Err("from and pretrained in [train] both name the weights to begin with; leave out one of them".into());
        }
        let ModelOptions::Resnet(model) = &self.model else {
            return match train.pretrained {
                Some(_) => Err("pretrained weights are for resnet-gru and resnet-lstm; leave \
                                pretrained out of [train], or change architecture in [model]"
                    .into()),
                None => Ok(()),
            };
        };
        let (given, wanted) = match model.colours {
            Colours::Repeat => return Ok(()),
            Colours::Deltas => (
                features.deltas.is_some_and(|deltas| deltas.order == 2),
                "colours = \"deltas\" in [model] needs deltas = { order = 2 } in [features]",
            ),
            Colours::Windows => (
                features.frame_lengths.len() == 3,
                "colours = \"windows\" in [model] needs three frame-lengths in [features], such as \
                 [25, 64, 250]",
            ),
        };
        if given && features.splice.is_none() {
            Ok(())
        } else {
            Err(format!("{wanted}, and no splice"))
        }
    }

    /// Keys about labels that contradict each other.
    fn fault_of_labels(&self) -> Option<&'static str> {
        let (data, train) = (&self.data, &self.train);
        let phonemes = data.units == Units::Phonemes;
        let weight = train.auxiliary_phonemes.as_ref().map_or(1.0, |head| head.weight);
        let fault = match train.loss {
            Objective::Ctc if phonemes && data.lexicon.is_none() => {
                "units = \"phonemes\" needs a lexicon: set lexicon = \"FILE\" in [data], a file with a \
                 word and its phonemes in each line"
            }
            Objective::Ctc if !phonemes && data.lexicon.is_some() => {
                "lexicon in [data] is for units = \"phonemes\"; set both or none"
            }
            Objective::Ctc if !data.track.is_default() => {
                "[data.track] is for loss = \"framewise\" in [train]; CTC learns from transcripts"
            }
            Objective::Ctc if phonemes && train.auxiliary_phonemes.is_some() => {
                "auxiliary-phonemes is for a first head of characters or words, and units is \
                 \"phonemes\""
            }
            Objective::Framewise if data.units == Units::Characters => {
                "loss = \"framewise\" learns the labels of label tracks: say with units in [data] \
                 whether they are \"phonemes\" or \"words\""
            }
            Objective::Framewise
                if data.lexicon.is_some() || train.auxiliary_phonemes.is_some() =>
            {
                "loss = \"framewise\" learns the labels of label tracks as they are: leave out lexicon \
                 in [data] and auxiliary-phonemes in [train]"
            }
            _ if !(0.0..=100.0).contains(&weight) => {
                "the weight of auxiliary-phonemes must lie from 0 to 100"
            }
            _ => return None,
        };
        Some(fault)
    }

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

/// The text of a recipe.
pub(crate) fn read_text(path: &Path) -> Result<String, TrainError> {
    let unreadable = |source| TrainError::RecipeUnreadable { path: path.into(), source };
    if is_special_file(path) {
        return Err(unreadable(io::Error::other("it is a pipe or a device and no file")));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// What is wrong with a recipe, before it is said whose mistake it is. Its text is without a place, as
/// an override needs it: the lines of the file do not hold what was overridden.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{}", in_plain_words(.0.message()))]
    Toml(toml::de::Error),
    #[error("{0}")]
    Value(String),
    #[error("there is no architecture \"{0}\"; this version has {names}", names = ARCHITECTURES.join(", "))]
    Architecture(String),
}

impl Fault {
    fn of_file(self, path: &Path) -> TrainError {
        let path = path.to_owned();
        match self {
            Self::Toml(error) => {
                // The lines of the file with a mark under the mistake; below them serde's message.
                let (shown, plain) = (error.to_string(), in_plain_words(error.message()));
                let lines = shown.trim_end().strip_suffix(error.message().trim_end());
                let message =
                    lines.map_or_else(|| shown.clone(), |lines| format!("{lines}{plain}"));
                TrainError::Recipe { path, message }
            }
            Self::Value(fault) => TrainError::RecipeValue { path, fault },
            Self::Architecture(name) => TrainError::Architecture { path, name },
        }
    }
}

/// Whether a value is infinite or not a number: JSON, in which model files keep it, has no such.
fn holds_no_number(features: &FeatureOptions) -> bool {
    match serde_json::to_value(features) {
        Ok(serde_json::Value::Object(map)) => map.values().any(serde_json::Value::is_null),
        _ => true,
    }
}

/// Applies `section.key=value` to a table; `None` where it is no such assignment. A value that is no
/// TOML counts as a string.
fn set(table: &mut toml::Table, assignment: &str) -> Option<()> {
    let (key, value) = assignment.split_once('=')?;
    let value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.trim().into()));
    let mut parts: Vec<&str> = key.trim().split('.').collect();
    let last = parts.pop().filter(|part| !part.is_empty())?;
    let mut here = table;
    for part in parts {
        here = here
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()?;
    }
    here.insert(last.into(), value);
    Some(())
}
