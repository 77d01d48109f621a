//! The data of a training: manifests, alphabet, loader options.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use labyrinth_corpus::{
    Corpus, Framewise, Infeasible, Ledger, LoaderOptions, SoundRecordings, Source, TrackContents,
    open_source, plan_training, training_alphabet,
};
use labyrinth_nn::model_file::hexadecimal;
use labyrinth_nn::{Head, ModelOptions, Objective};
use labyrinth_signal::{FeatureExtractor, FeatureOptions};
use labyrinth_text::{Alphabet, Lexicon, Normalizer, TrackOptions, Units};
use sha2::{Digest, Sha256};

use crate::error::TrainError;
use crate::mixture::WeightedManifest;
use crate::objective::{Goal, WeightedHead};
use crate::recipe::{Recipe, TrainSection};

/// Corpora and everything that follows from them.
pub(crate) struct Data {
    pub train: Vec<Corpus>,
    pub dev: Arc<dyn Source>,
    /// Of each training manifest, with spaces between.
    pub train_digest: String,
    pub dev_digest: String,
    pub alphabet: Alphabet,
    pub lexicon: Option<Arc<Lexicon>>,
    pub track: TrackOptions,
    /// What the frames of the output learn.
    pub goal: Goal,
    pub normalizer: Normalizer,
    pub features: FeatureOptions,
    pub model: ModelOptions,
    /// Values of a feature frame.
    pub dim: usize,
    /// What training mixes into its sound.
    pub recordings: SoundRecordings,
    /// What whoever trains should know of it.
    pub notes: Vec<String>,
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
        let sources = || train.iter().map(|corpus| &*corpus.source);
        let objective = recipe.train.loss;
        let units = recipe.data.units;
        let read = |path: &Path| Lexicon::read(path, &normalizer);
        let lexicon = recipe.data.lexicon.as_deref().map(read).transpose()?;
        let nothing = |reason: String| {
            Err(TrainError::NoLabels { path: recipe.data.train.first().into(), reason })
        };
        let mut notes = Vec::new();
        let alphabet = match objective {
            Objective::Ctc => training_alphabet(sources(), &normalizer, units, lexicon.as_ref())?,
            Objective::Framewise => {
                let contents = TrackContents::read(sources(), &recipe.data.track)?;
                if let Some(fault) = fault_of_tracks(&contents, &recipe.data.track) {
                    return nothing(fault);
                }
                let missing = contents.missing(&recipe.data.track);
                if !missing.is_empty() {
                    notes.push(format!(
                        "labels in [data.track] that stand in no label track, and that nothing will teach: {}",
                        few(&missing)
                    ));
                }
                contents.alphabet(units, &recipe.data.track)
            }
        };
        if alphabet.is_empty() && units == Units::Phonemes {
            return nothing(
                "each transcript holds a word that the lexicon lacks; name another lexicon".into(),
            );
        }
        let mut auxiliary = Vec::new();
        if let Some(phonemes) = &recipe.train.auxiliary_phonemes {
            let lexicon = read(&phonemes.lexicon)?;
            let units = Units::Phonemes;
            let alphabet = training_alphabet(sources(), &normalizer, units, Some(&lexicon))?;
            if alphabet.is_empty() {
                return nothing(
                    "each transcript holds a word that the lexicon of auxiliary-phonemes lacks; name \
                     another lexicon"
                        .into(),
                );
            }
            let head = Head { alphabet, lexicon: Some(lexicon) };
            auxiliary.push(WeightedHead { head, weight: phonemes.weight });
        }
        let goal = Goal { objective, labels: alphabet.len(), auxiliary };
        Ok(Self {
            recordings,
            train_digest: digests.join(" "),
            dev_digest,
            alphabet,
            lexicon: lexicon.map(Arc::new),
            track: recipe.data.track.clone(),
            goal,
            train,
            dev,
            normalizer,
            features: recipe.features.clone(),
            model: recipe.model.clone(),
            dim,
            notes,
        })
    }

    /// SHA-256 of the lexicons as they were read; empty where there are none.
    pub fn lexicon_digest(&self) -> String {
        let auxiliary = self.goal.auxiliary.iter().map(|one| &one.head.lexicon);
        let lexicons = self.lexicon.as_deref().into_iter().chain(auxiliary.flatten());
        let texts = lexicons.map(|lexicon| serde_json::to_vec(lexicon).unwrap_or_default());
        match texts.collect::<Vec<_>>().concat() {
            text if text.is_empty() => String::new(),
            text => hexadecimal(&Sha256::digest(&text)),
        }
    }

    pub fn options(
        &self,
        source: &Arc<dyn Source>,
        train: &TrainSection,
        workers: usize,
    ) -> LoaderOptions {
        let model = self.model.clone();
        let framewise = (self.goal.objective == Objective::Framewise)
            .then(|| Framewise { track: self.track.clone(), stride: model.time_stride() });
        LoaderOptions {
            lexicon: self.lexicon.clone(),
            framewise,
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

    /// What will be left out of training, by name and reason, before the first step, and the hours of what is kept,
    /// each recording counted once; and whether dev can be heard at all.
    pub fn plan(&self, train: &TrainSection) -> Result<(Ledger, f64), TrainError> {
        labyrinth_corpus::check_options(&self.options(&self.dev, train, 1))?;
        let (ledger, seconds) = plan_training(&self.train_options(train, 1))?;
        Ok((ledger, seconds / 3600.0))
    }
}

/// Why these label tracks teach nothing of what the options ask for.
fn fault_of_tracks(contents: &TrackContents, options: &TrackOptions) -> Option<String> {
    let names = |names: &BTreeSet<String>| few(&names.iter().cloned().collect::<Vec<_>>());
    let tiers = names(&contents.tiers);
    let (nothing, missing) = (contents.labels.is_empty(), contents.missing(options));
    let fault = match &options.tier {
        Some(tier) if nothing && !tiers.is_empty() && !contents.tiers.contains(tier) => format!(
            "no label track has the tier {tier:?}; there are {tiers}: set tier in [data.track] to one of these"
        ),
        None if nothing && !tiers.is_empty() => format!(
            "its label tracks have several tiers, {tiers}: set tier in [data.track] to one of these"
        ),
        _ if nothing => {
            "no label track says anything; name tracks as `labels` in its lines (`labyrinth align` makes them)"
                .into()
        }
        _ if !missing.is_empty() && missing.len() >= options.labels.len() => format!(
            "no label track says what labels in [data.track] asks for ({}); there stand {}",
            few(&missing),
            names(&contents.labels)
        ),
        _ => return None,
    };
    Some(fault)
}

/// So many names stand in a sentence.
const FEW: usize = 20;

/// Names in a sentence; of many the first.
fn few(names: &[String]) -> String {
    let first: Vec<String> = names.iter().take(FEW).map(|name| format!("{name:?}")).collect();
    match names.len() > FEW {
        true => format!("{} and {} more", first.join(", "), names.len() - FEW),
        false => first.join(", "),
    }
}

/// What a transcript is scored as: its normalised text, or the phonemes of that where there is a lexicon.
pub(crate) fn reference(normalizer: &Normalizer, lexicon: Option<&Lexicon>, text: &str) -> String {
    let text = normalizer.apply(text);
    match lexicon {
        Some(lexicon) => lexicon.pronounce_all(&text),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_corpus::{Loader, Position};
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

    #[test]
    fn tracks_that_teach_nothing_are_told_with_what_stands_there() {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let fault = |labels: &[&str], tiers: &[&str], tier: Option<&str>, wanted: &[&str]| {
            let contents = TrackContents { labels: set(labels), tiers: set(tiers) };
            let labels = wanted.iter().map(|&label| label.to_owned()).collect();
            let tier = tier.map(str::to_owned);
            fault_of_tracks(&contents, &TrackOptions { tier, labels, silence: Vec::new() })
        };
        assert_eq!(fault(&["a", "b"], &[], None, &[]), None);
        assert_eq!(fault(&["a", "b"], &["phones"], Some("phones"), &["a", "z"]), None);
        let tiers = ["phones", "words"];
        let other = fault(&[], &tiers, Some("phonemes"), &[]).unwrap();
        assert!(
            other.contains("\"phonemes\"") && other.contains("\"phones\", \"words\""),
            "{other}"
        );
        assert!(fault(&[], &tiers, None, &[]).unwrap().contains("several tiers, \"phones\""));
        assert!(fault(&[], &[], None, &["z"]).unwrap().contains("labyrinth align"));
        let labels = fault(&["a", "b"], &[], None, &["y", "z"]).unwrap();
        assert!(labels.contains("(\"y\", \"z\"); there stand \"a\", \"b\""), "{labels}");
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
        let hours = |data: &Data| {
            data.train.iter().map(|corpus| corpus.source.seconds()).sum::<f64>() / 3600.0
        };
        let train = TrainSection::default();
        let planned = mixed.plan(&train).unwrap();
        assert_eq!((planned.0.kept_count(), planned.1), (12, hours(&mixed)));
        assert_eq!(hours(&mixed), 2.0 * hours(&alone));
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
