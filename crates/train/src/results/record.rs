//! What one trial of one model on one test set found, small enough to be committed.

use std::fmt::Write as _;
use std::path::Path;

use labyrinth_corpus::Manifest;
use labyrinth_kernels::{Cpu, cpu_name};
use labyrinth_nn::{ModelFile, Objective};
use labyrinth_text::{ErrorCounts, Units};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::evaluate::Evaluation;
use crate::report::History;
use crate::sessions::peak_memory;

/// The version of the file.
const FORMAT: u32 = 1;

/// A model on a test set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Record {
    /// Version of this file.
    pub format: u32,
    /// What errors are counted in: words, characters' words, phonemes.
    pub units: Units,
    /// What the frames were trained to say.
    pub objective: Objective,
    /// Share of the words (or phonemes) that are wrong.
    pub rate: Option<f64>,
    /// Its 95 % interval and how that was made.
    pub interval: (f64, f64),
    /// How the interval was made.
    pub interval_method: String,
    /// Share of the characters that are wrong; none of a model of phonemes.
    pub character_rate: Option<f64>,
    /// Its 95 % interval.
    pub character_interval: Option<(f64, f64)>,
    /// Frames that have the right label, and all of them, of a framewise model.
    pub frames: Option<(usize, usize)>,
    /// Utterances with frames enough for their transcript (CTC).
    pub feasible: usize,
    /// Utterances that could not be used and count as all deletions.
    pub refused: usize,
    /// Whether the model saw these utterances before, in training or in the choice of its epoch.
    pub seen: bool,
    /// The test set.
    pub test: DataSet,
    /// The training set, where its manifest was still there.
    pub train: Option<DataSet>,
    /// The set by which the epoch was chosen, likewise.
    pub dev: Option<DataSet>,
    /// Error rate on dev of the epoch that was kept.
    pub dev_rate: Option<f64>,
    /// Utterances learnt from, and their hours.
    pub learnt: (usize, f64),
    /// Weights.
    pub parameters: usize,
    /// SHA-256 of the weights.
    pub weights: String,
    /// Seed of the training.
    pub seed: u64,
    /// `f32` or `bf16`.
    pub precision: String,
    /// Epochs of the training, and the one that was kept.
    pub epochs: (u64, u64),
    /// Seconds of training; `None` where no process noted them.
    pub seconds: Option<f64>,
    /// Threads of the training.
    pub threads: Option<u64>,
    /// What trained it.
    pub trained_on: Option<String>,
    /// Most bytes of memory that the training held.
    pub training_memory: Option<u64>,
    /// Seconds of computing for each second of audio, on one thread.
    pub real_time_factor: f64,
    /// What tried it.
    pub tried_on: String,
    /// Most bytes of memory that the trial held.
    pub memory: Option<u64>,
    /// The program that tried it.
    pub version: String,
    /// The commit of the repository that the training belongs to.
    pub commit: Option<String>,
    /// Speakers of the utterances, by their place in [`Record::utterances`].
    pub speakers: Vec<String>,
    /// Of each utterance: place of its speaker, errors, words; errors and all characters.
    pub utterances: Vec<(Option<usize>, usize, usize, usize, usize)>,
}

/// Which utterances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DataSet {
    /// File and folder, such as `an4/test.jsonl`.
    pub manifest: String,
    /// How many.
    pub utterances: usize,
    /// [`Manifest::contents_digest`].
    pub contents: String,
}

impl DataSet {
    /// What a manifest holds.
    pub fn of(manifest: &Manifest) -> Self {
        let path = &manifest.path;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let names: Vec<_> = absolute.iter().map(|name| name.to_string_lossy()).collect();
        Self {
            // Not where it lies on this machine.
            manifest: names[names.len().saturating_sub(2)..].join("/"),
            utterances: manifest.utterances.len(),
            contents: manifest.contents_digest(),
        }
    }
}

impl Record {
    /// The record of `evaluation`, which tried the model at `model` on `manifest` just now. What the training took
    /// is read from its run directory, where it has one.
    ///
    /// # Errors
    /// [`TrainError`] where the run's files cannot be read.
    pub fn new(
        model: &ModelFile,
        run: Option<&Path>,
        manifest: &Manifest,
        evaluation: &Evaluation,
        cpu: Cpu,
        commit: Option<String>,
    ) -> Result<Self, TrainError> {
        let (header, score) = (&model.header, &evaluation.score);
        // The folder of a model that was moved there tells of another training.
        let run = run.filter(|run| {
            let own = ModelFile::read(&run.join("model.safetensors"));
            own.is_ok_and(|own| own.header.weights_digest == header.weights_digest)
        });
        let history = run.map(History::read).transpose()?.unwrap_or_default();
        let phonemes = evaluation.units == Units::Phonemes;
        // As text: of the recipe of an earlier version some keys may have had other names.
        let recipe = run.and_then(|run| std::fs::read_to_string(run.join("recipe.toml")).ok());
        let recipe = recipe.as_deref().unwrap_or(&header.training.recipe);
        let recipe: toml::Table = recipe.parse().unwrap_or_default();
        let key = |section: &str, key: &str| recipe.get(section).and_then(|table| table.get(key));
        // Only as it was then: a manifest that changed since is not what was learnt from.
        let data_set = |key: Option<&toml::Value>, digest: &str| {
            let manifest = Manifest::read(Path::new(key?.as_str()?)).ok()?;
            (manifest.digest().ok()? == digest).then(|| DataSet::of(&manifest))
        };
        let mut speakers: Vec<String> = Vec::new();
        let utterances = score.utterances.iter().map(|utterance| {
            let speaker = utterance.speaker.as_ref().map(|speaker| {
                speakers.iter().position(|known| known == speaker).unwrap_or_else(|| {
                    speakers.push(speaker.clone());
                    speakers.len() - 1
                })
            });
            let (words, characters) = (utterance.words, utterance.characters);
            let [errors, all] = match phonemes {
                true => [0, 0],
                false => [characters.errors(), characters.reference],
            };
            (speaker, words.errors(), words.reference, errors, all)
        });
        let utterances = utterances.collect();
        let dev_rate = ["dev-wer", "dev-per"].iter().find_map(|key| header.scores.get(*key));
        let precision = key("train", "precision").and_then(toml::Value::as_str);
        let epochs = key("train", "epochs").and_then(toml::Value::as_integer);
        let last = history.sessions.last();
        let interval = |of: &labyrinth_text::Interval| (of.low, of.high);
        Ok(Self {
            format: FORMAT,
            units: evaluation.units,
            objective: evaluation.objective,
            rate: score.wer,
            interval: interval(&score.wer_interval),
            interval_method: score.wer_interval.method.clone(),
            character_rate: score.cer.filter(|_| !phonemes),
            character_interval: (!phonemes).then(|| interval(&score.cer_interval)),
            frames: evaluation.frames.as_ref().map(|frames| (frames.correct, frames.all)),
            feasible: evaluation.feasible,
            refused: evaluation.ledger.refused_count(),
            seen: evaluation.seen.is_some(),
            test: DataSet::of(manifest),
            train: data_set(key("data", "train"), &header.data.train_digest),
            dev: data_set(key("data", "dev"), &header.data.dev_digest),
            dev_rate: dev_rate.copied(),
            learnt: (header.data.train_utterances, header.data.train_hours),
            parameters: model.network.parameters.len(),
            weights: header.weights_digest.clone(),
            seed: header.training.seed,
            precision: precision.unwrap_or("f32").to_owned(),
            epochs: (epochs.unwrap_or(0) as u64, header.training.epoch),
            seconds: history.seconds().filter(|(_, whole)| *whole).map(|(seconds, _)| seconds),
            threads: last.map(|session| session.threads),
            trained_on: last.map(|one| format!("{}, {}", one.cpu, one.instruction_set)),
            training_memory: history.sessions.iter().filter_map(|one| one.peak_memory).max(),
            real_time_factor: evaluation.speed.real_time_factor,
            tried_on: format!("{}, {cpu}", cpu_name()),
            memory: peak_memory(),
            version: env!("CARGO_PKG_VERSION").into(),
            commit,
            speakers,
            utterances,
        })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`TrainError::NoRecord`] where it is none.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let refuse = |reason: String| TrainError::NoRecord { path: path.into(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        let record: Self =
            serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        if record.format != FORMAT {
            let other = record.format;
            return Err(refuse(format!(
                "it is of format {other}, and this program reads {FORMAT}"
            )));
        }
        let said: ErrorCounts = record.counts(false).into_iter().map(|(_, counts)| counts).sum();
        let counted = said.rate().unwrap_or(0.0);
        let contradicts = record.utterances.len() != record.test.utterances
            || (counted - record.rate.unwrap_or(0.0)).abs() > 1e-9;
        match contradicts {
            true => Err(refuse("its figures are not those of the errors that it lists".into())),
            false => Ok(record),
        }
    }

    /// Whether it is of these weights on the test set with this digest of contents.
    pub fn is_of(&self, weights: &str, contents: &str) -> bool {
        self.weights == weights && self.test.contents == contents
    }

    /// Keeps the real-time factor of an earlier trial of the same model on the same machine where that was faster:
    /// what else the machine did can only slow it down.
    pub fn keep_fastest(&mut self, earlier: &Self) {
        let same = earlier.is_of(&self.weights, &self.test.contents);
        if same && earlier.tried_on == self.tried_on {
            self.real_time_factor = self.real_time_factor.min(earlier.real_time_factor);
        }
    }

    /// The file: an object with a key in each line, so that a change of it can be read.
    pub fn to_text(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        let mut text = String::new();
        for (key, value) in value.as_object().into_iter().flatten() {
            let comma = if text.is_empty() { "{" } else { "," };
            let _ = write!(text, "{comma}\n  \"{key}\": {value}");
        }
        text + "\n}\n"
    }

    /// What its rate is called: WER or PER.
    pub fn rate_name(&self) -> &'static str {
        self.units.rate_name()
    }

    /// Share of the utterances without an error.
    pub fn right(&self) -> f64 {
        let right = self.utterances.iter().filter(|utterance| utterance.1 == 0).count();
        right as f64 / self.utterances.len().max(1) as f64
    }

    /// Errors and words of each utterance with its speaker; or of characters.
    pub(super) fn counts(&self, characters: bool) -> Vec<(Option<String>, ErrorCounts)> {
        let one = |&(speaker, errors, words, character_errors, all): &_| {
            let (errors, reference) =
                if characters { (character_errors, all) } else { (errors, words) };
            let speaker: Option<usize> = speaker;
            let speaker = speaker.and_then(|place| self.speakers.get(place).cloned());
            // Which kind of error it was matters to no rate.
            let counts = ErrorCounts { insertions: errors, reference, ..ErrorCounts::default() };
            (speaker, counts)
        };
        self.utterances.iter().map(one).collect()
    }
}
