//! The data of a training: manifests, alphabet, loader options, and the score on dev.

use std::path::Path;
use std::sync::Arc;

use labyrinth_corpus::{
    Corpus, Infeasible, Ledger, Loader, LoaderOptions, Position, SoundRecordings, Source,
    open_source, training_alphabet,
};
use labyrinth_decode::greedy::greedy;
use labyrinth_kernels::Cpu;
use labyrinth_kernels::ctc::ctc_batch;
use labyrinth_nn::{Memory, Mode, ModelOptions, Network};
use labyrinth_signal::{FeatureExtractor, FeatureOptions};
use labyrinth_text::{Alphabet, ErrorCounts, Normalizer, character_errors, word_errors};

use crate::error::TrainError;
use crate::mixture::WeightedManifest;
use crate::recipe::{Recipe, TrainSection};

/// Corpora and everything that follows from them.
pub(crate) struct Data {
    pub train: Vec<Corpus>,
    pub dev: Arc<dyn Source>,
    /// Of each training manifest, with spaces between.
    pub train_digest: String,
    pub dev_digest: String,
    pub alphabet: Alphabet,
    pub normalizer: Normalizer,
    pub features: FeatureOptions,
    pub model: ModelOptions,
    /// Values of a feature frame.
    pub dim: usize,
    /// What training mixes into its sound.
    pub recordings: SoundRecordings,
}

/// What the dev set gave.
#[derive(Clone, Debug)]
pub struct DevScore {
    /// CTC loss per label, over the utterances that are feasible.
    pub loss: f64,
    /// Word errors.
    pub words: ErrorCounts,
    /// Character errors.
    pub characters: ErrorCounts,
    /// Share of the frames whose best label is the blank: near 1 while a model says nothing.
    pub blank_share: f64,
    /// What was recognised and what could not be used; the latter counts as all deletions.
    pub ledger: Ledger,
}

impl Data {
    pub fn read(recipe: &Recipe) -> Result<Self, TrainError> {
        let normalizer = Normalizer::new(&recipe.data.normalizer)?;
        let dim = FeatureExtractor::new(&recipe.features)?.dim();
        let open = |path: &Path| {
            let source = open_source(path, &|_, _| ())?;
            if source.is_empty() {
                return Err(TrainError::nothing_to_use(path, &Ledger::new()));
            }
            Ok(source)
        };
        let mut train = Vec::new();
        for WeightedManifest { manifest, weight } in recipe.data.train.manifests() {
            train.push(Corpus { source: open(manifest)?, weight: *weight });
        }
        let dev = open(&recipe.data.dev)?;
        let dev_digest = dev.digest()?;
        let mut digests = Vec::new();
        for corpus in &train {
            let digest = corpus.source.digest()?;
            let path = |source: &Arc<dyn Source>| source.path().to_owned();
            if digest == dev_digest {
                let [train, dev] = [&corpus.source, &dev].map(path);
                return Err(TrainError::SameData { train, dev });
            }
            if let Some(same) = digests.iter().position(|other| *other == digest) {
                let [first, second] = [&train[same].source, &corpus.source].map(path);
                return Err(TrainError::TwiceInMixture { first, second });
            }
            digests.push(digest);
        }
        let recordings = recipe.train.sound().read_recordings()?;
        let sources = train.iter().map(|corpus| &*corpus.source);
        let alphabet = training_alphabet(sources, &normalizer, recipe.data.units)?;
        Ok(Self {
            recordings,
            train_digest: digests.join(" "),
            dev_digest,
            alphabet,
            train,
            dev,
            normalizer,
            features: recipe.features.clone(),
            model: recipe.model.clone(),
            dim,
        })
    }

    /// Hours of audio to train on, each recording counted once.
    pub fn hours(&self) -> f64 {
        self.train.iter().fold(0.0, |sum, corpus| sum + corpus.source.seconds()) / 3600.0
    }

    fn options(
        &self,
        source: &Arc<dyn Source>,
        train: &TrainSection,
        workers: usize,
    ) -> LoaderOptions {
        let model = self.model.clone();
        LoaderOptions {
            batch_size: train.batch_size,
            max_batch_seconds: train.max_batch_seconds,
            seed: train.seed,
            workers,
            ..LoaderOptions::evaluation(
                Arc::clone(source),
                self.features.clone(),
                self.normalizer.clone(),
                self.alphabet.clone(),
                Arc::new(move |frames| model.output_frames(frames)),
            )
        }
    }

    pub fn train_options(&self, train: &TrainSection, workers: usize) -> LoaderOptions {
        LoaderOptions {
            shuffle: true,
            prefetch_batches: 4,
            speeds: train.speeds.clone(),
            vtln_warps: train.vtln_warps.clone(),
            tempos: train.tempos.clone(),
            sound: train.sound(),
            recordings: self.recordings.clone(),
            random_filter: train.random_filter.clone(),
            spec_augment: train.spec_augment.clone(),
            infeasible: Infeasible::Refuse,
            corpora: self.train.clone(),
            ..self.options(&self.dev, train, workers)
        }
    }

    /// What will be left out of training, by name and reason, before the first step; and whether dev can
    /// be heard at all.
    pub fn plan_ledger(&self, train: &TrainSection) -> Result<Ledger, TrainError> {
        labyrinth_corpus::check_options(&self.options(&self.dev, train, 1))?;
        Ok(labyrinth_corpus::plan_refusals(&self.train_options(train, 1))?)
    }
}

/// Recognises the dev set greedily. An utterance whose audio is refused counts as all deletions.
pub(crate) fn score_dev(
    data: &Data,
    train: &TrainSection,
    workers: usize,
    cpu: Cpu,
    network: &Network<f32>,
    memory: &mut Memory<f32>,
) -> Result<DevScore, TrainError> {
    let options = data.options(&data.dev, train, workers);
    let mut loader = Loader::new(options, Position::default())?;
    let mut score = DevScore {
        loss: 0.0,
        words: ErrorCounts::default(),
        characters: ErrorCounts::default(),
        blank_share: 0.0,
        ledger: Ledger::new(),
    };
    let (mut feasible, mut blanks, mut frames) = (0usize, 0usize, 0usize);
    let labels = network.labels();
    while let Some(batch) = loader.next_batch()? {
        for (refusal, &(_, index)) in batch.refused.iter().zip(&batch.refused_places) {
            let reference = data.normalizer.apply(&data.dev.utterance(index)?.text);
            score.words += word_errors(&reference, "").counts;
            score.characters += character_errors(&reference, "").counts;
            score.ledger.refuse(refusal.clone());
        }
        if batch.is_empty() {
            continue;
        }
        network.forward(cpu, Mode::Inference, &batch.features, &batch.lengths, memory)?;
        let lengths = memory.output_shape().map(|s| s.lengths.clone()).unwrap_or_default();
        let logits = memory.output();
        let mut losses = vec![0.0; lengths.len()];
        let ones = vec![1.0; lengths.len()];
        ctc_batch(cpu, logits, &lengths, labels, &batch.targets, &ones, &mut losses, None)?;
        let mut row = 0;
        for (index, &length) in lengths.iter().enumerate() {
            score.ledger.keep();
            let scores = &logits[row * labels..(row + length) * labels];
            row += length;
            let tokens = greedy(scores, labels);
            let best: Vec<u32> = tokens.iter().map(|token| token.label).collect();
            let hypothesis = data.alphabet.decode(&best);
            score.words += word_errors(&batch.texts[index], &hypothesis).counts;
            score.characters += character_errors(&batch.texts[index], &hypothesis).counts;
            frames += length;
            let spoken: usize = tokens.iter().map(|token| token.end - token.start).sum();
            blanks += length - spoken;
            if losses[index].is_finite() {
                score.loss += f64::from(losses[index]) / batch.targets[index].len().max(1) as f64;
                feasible += 1;
            }
        }
    }
    score.loss = if feasible == 0 { f64::MAX } else { score.loss / feasible as f64 };
    score.blank_share = blanks as f64 / frames.max(1) as f64;
    Ok(score)
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_corpus::{Manifest, SoundOptions, Utterance};
    use labyrinth_signal::{Random, write_wav};

    /// A corpus of noise, with the same recordings to train on and to choose by but other ids.
    fn write_corpus(folder: &Path) {
        for name in ["train", "dev"] {
            let utterances = (0..6u64)
                .map(|key| {
                    let mut random = Random::from_key(&[key]);
                    let samples: Vec<f32> =
                        (0..8000).map(|_| 0.1 * random.normal() as f32).collect();
                    let file = format!("{key}.wav");
                    write_wav(&folder.join(&file), 16_000, &samples).unwrap();
                    Utterance::new(format!("{name}-{key}"), file, 0.5, "ab")
                })
                .collect();
            Manifest { path: folder.join(format!("{name}.jsonl")), utterances }.write().unwrap();
        }
    }

    fn data(folder: &Path, train: &str) -> (Data, TrainSection) {
        let text = format!(
            "[data]\ntrain = \"train.jsonl\"\ndev = \"dev.jsonl\"\n[features]\n\
             num-mel-bins = 8\nnormalize = \"level\"\n[model]\narchitecture = \"cnn-gru\"\n\
             recurrent-hidden = 4\n[train]\n{train}"
        );
        let recipe = Recipe::parse(&text, Path::new("recipe.toml")).unwrap();
        let recipe = recipe.with_paths_from(folder);
        (Data::read(&recipe).unwrap(), recipe.train)
    }

    /// Every manifest gives its characters, its hours and its digest; dev may not be among them.
    #[test]
    fn a_mixture_is_all_of_its_manifests() {
        let folder = tempfile::tempdir().unwrap();
        write_corpus(folder.path());
        let train = folder.path().join("train.jsonl");
        let mut other = Manifest::read(&train).unwrap();
        other.path = folder.path().join("other.jsonl");
        other.utterances[0].text = "xyz".into();
        other.write().unwrap();
        let alone = data(folder.path(), "epochs = 1").0;
        let read = |second: &str| {
            let text = format!(
                "[data]\ntrain = [{{ manifest = \"train.jsonl\" }}, {{ manifest = \"{second}\", \
                 weight = 0.5 }}]\ndev = \"dev.jsonl\"\n[model]\narchitecture = \"cnn-gru\""
            );
            let recipe = Recipe::parse(&text, Path::new("recipe.toml")).unwrap();
            Data::read(&recipe.with_paths_from(folder.path()))
        };
        let mixed = read("other.jsonl").unwrap();
        assert_eq!(mixed.alphabet.len(), alone.alphabet.len() + 3);
        assert_eq!(mixed.hours(), 2.0 * alone.hours());
        let digests = format!("{} {}", alone.train_digest, other.digest().unwrap());
        assert_eq!(mixed.train_digest, digests);
        assert!(matches!(read("dev.jsonl"), Err(TrainError::SameData { .. })));
        let twice = read("train.jsonl").err().unwrap().to_string();
        assert!(twice.contains("weight = 2"), "{twice}");
        let missing = read("none.jsonl").err().unwrap().to_string();
        assert!(missing.contains("none.jsonl"), "{missing}");
    }

    fn features(options: LoaderOptions) -> Vec<u32> {
        let mut loader =
            Loader::new(LoaderOptions { shuffle: false, ..options }, Position::default()).unwrap();
        let mut bits = Vec::new();
        while let Some(batch) = loader.next_batch().unwrap() {
            bits.extend(batch.features.iter().map(|value| value.to_bits()));
        }
        bits
    }

    /// Whatever a recipe does to the training data, dev is heard as it was recorded.
    #[test]
    fn dev_is_never_augmented() {
        let folder = tempfile::tempdir().unwrap();
        write_corpus(folder.path());
        let noises = folder.path().join("noise");
        std::fs::create_dir(&noises).unwrap();
        write_wav(&noises.join("n.wav"), 8000, &[0.5, -0.5, 0.25]).unwrap();
        let plain = data(folder.path(), "epochs = 1");
        let clean = features(plain.0.options(&plain.0.dev, &plain.1, 2));
        assert_eq!(features(plain.0.train_options(&plain.1, 2)), clean);
        for key in [
            "speeds = [0.9]",
            "tempos = [0.9]",
            "vtln-warps = [0.9]",
            "reverberation = { rt60 = [0.1, 0.2], rooms = 2 }",
            "recorded-noise = { recordings = \"noise\", snr-db = [0, 5] }",
            "noise = { snr-db = [0, 5] }",
            "volume = { gain-db = [20, 30], clip = true }",
            "low-pass = { cutoff-hz = [1000, 2000] }",
            "telephone = {}",
            "random-filter = { ripple-db = 3 }",
            "spec-augment = { freq-width = 4 }",
        ] {
            let (data, train) = data(folder.path(), &format!("epochs = 1\n{key}"));
            let dev = data.options(&data.dev, &train, 2);
            assert_eq!(dev.sound, SoundOptions::default());
            assert_eq!(features(dev), clean, "{key} reached dev");
            assert_ne!(features(data.train_options(&train, 2)), clean, "{key} does nothing");
            let recorded = key.starts_with("recorded-noise");
            assert_eq!(data.recordings.digest().is_empty(), !recorded);
        }
    }
}
