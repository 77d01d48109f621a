//! The `recipe.toml` that `prepare` writes where the project has none for the corpus: sized to the speech that was found, and never over
//! one that the user has edited.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use labyrinth_corpus::atomic::{sweep, write_atomically};
use labyrinth_corpus::{Manifest, PrepareReport, Totals};
use labyrinth_signal::hash_name;
use labyrinth_text::{Normalizer, NormalizerOptions};
use labyrinth_train::TrainError;

use crate::failure::Failure;
use crate::wording;

/// The file's name in the output folder.
pub const NAME: &str = "recipe.toml";

/// The last line begins with it; what follows is a digest of the lines above.
const MARK: &str = "# As `labyrinth prepare` wrote it, unedited: ";

/// The recipe as it lies in the output folder.
pub struct RecipeFile {
    /// Where.
    pub path: PathBuf,
    /// The user's own, which was not touched.
    pub kept: bool,
    /// Its size in words.
    pub summary: String,
}

/// Writes the recipe beside the manifests, unless one stands there that was edited.
pub fn write(report: &PrepareReport) -> Result<RecipeFile, Failure> {
    let path = report.out.join(NAME);
    let size = Size::of(report);
    let vocabulary = Vocabulary::of(&Manifest::read(&report.out.join("train.jsonl"))?)?;
    let kept = match std::fs::read_to_string(&path) {
        Ok(text) => !is_unedited(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Failure::read(&path)(error)),
    };
    if !kept {
        let text = size.to_toml(report, &vocabulary);
        write_atomically(&path, |file| file.write_all(text.as_bytes()))
            .map_err(Failure::write(&path))?;
        sweep([&*path]);
    }
    Ok(RecipeFile { path, kept, summary: size.summary(&vocabulary) })
}

fn is_unedited(text: &str) -> bool {
    let Some((body, digest)) = text.rsplit_once(MARK) else { return false };
    digest.trim_end() == digest_of(body)
}

fn digest_of(body: &str) -> String {
    format!("{:016x}", hash_name(body))
}

/// The words of the training transcripts.
#[derive(Debug, PartialEq)]
struct Vocabulary {
    utterances: usize,
    /// Each word, and how often it is said.
    counts: BTreeMap<String, usize>,
}

/// A list of words counts as closed up to this length.
const LONGEST_LIST: usize = 100;
/// And where each word is said this often, so that it can be learned as one.
const LEAST_EXAMPLES: usize = 5;

impl Vocabulary {
    fn of(train: &Manifest) -> Result<Self, Failure> {
        let normalizer =
            Normalizer::new(&NormalizerOptions::default()).map_err(TrainError::from)?;
        let texts = train.utterances.iter().map(|utterance| normalizer.apply(&utterance.text));
        Ok(Self::of_texts(texts))
    }

    fn of_texts(texts: impl Iterator<Item = String>) -> Self {
        let mut vocabulary = Vocabulary { utterances: 0, counts: BTreeMap::new() };
        for text in texts {
            vocabulary.utterances += 1;
            for word in text.split_whitespace() {
                *vocabulary.counts.entry(word.to_owned()).or_default() += 1;
            }
        }
        vocabulary
    }

    /// Commands or digits, not sentences: a model of whole words cannot misspell them.
    fn is_closed_list(&self) -> bool {
        (1..=LONGEST_LIST).contains(&self.counts.len())
            && self.counts.values().all(|&count| count >= LEAST_EXAMPLES)
    }

    /// Clips of one word, whose mean spectrum tells the word.
    fn is_single_words(&self) -> bool {
        self.is_closed_list() && self.counts.values().sum::<usize>() < 2 * self.utterances
    }
}

/// What depends on the amount and kind of speech. The rules are drawn through what was tried: AN4
/// (0.7 h) wants three layers of 256 and 60 epochs, some minutes of digits two of 128.
#[derive(Debug, PartialEq)]
struct Size {
    sample_frequency: u32,
    mel_bins: usize,
    layers: usize,
    width: usize,
    time_strides: [usize; 2],
    epochs: usize,
    batch_size: usize,
}

impl Size {
    fn of(report: &PrepareReport) -> Self {
        let train = report.splits.iter().find(|split| split.name == "train");
        Self::fitting(train.map_or(&report.totals, |split| &split.totals))
    }

    fn fitting(train: &Totals) -> Self {
        let hours = train.hours();
        let (layers, width) = match hours {
            hours if hours < 1.0 / 3.0 => (2, 128),
            hours if hours < 0.6 => (3, 192),
            hours if hours < 5.0 => (3, 256),
            _ => (3, 320),
        };
        let narrow: usize = train.sample_rates.range(..=8000).map(|(_, count)| count).sum();
        let telephone = 2 * narrow > train.utterances;
        // Four frames of 10 ms become one: 25 a second. CTC needs one for each character and a blank
        // between equal ones; fast speech at 1.1 of its speed leaves no room above about 15.
        let fast = train.characters as f64 > 15.0 * train.seconds;
        Self {
            sample_frequency: if telephone { 8000 } else { 16_000 },
            mel_bins: if telephone { 64 } else { 80 },
            layers,
            width,
            time_strides: if fast { [2, 1] } else { [2, 2] },
            // About as many hours heard in all as AN4's 45, within reason.
            epochs: ((45.0 / hours.max(0.01)).round() as usize).clamp(20, 120),
            // At least some forty steps an epoch.
            batch_size: (train.utterances / 40).clamp(4, 16),
        }
    }

    fn summary(&self, vocabulary: &Vocabulary) -> String {
        let labels = match vocabulary.is_closed_list() {
            true => {
                format!("a label for each of {}", wording::count(vocabulary.counts.len(), "word"))
            }
            false => "a label for each character".to_owned(),
        };
        format!(
            "{} GRU layers of {}, {labels}, {} epochs, {} Hz",
            self.layers, self.width, self.epochs, self.sample_frequency
        )
    }

    fn to_toml(&self, report: &PrepareReport, vocabulary: &Vocabulary) -> String {
        let Self { sample_frequency, mel_bins, layers, width, epochs, batch_size, .. } = self;
        let [first, second] = self.time_strides;
        let channels = if *width < 192 { 16 } else { 32 };
        let (freq_width, speech) = (mel_bins / 3, wording::speech(report.totals.seconds));
        let units = match vocabulary.is_closed_list() {
            true => "\nunits = \"words\" # a closed list; \"characters\" can spell other words too",
            false => "",
        };
        let normalize = match vocabulary.is_single_words() {
            true => {
                "\nnormalize = \"level\" # clips of one word; \"utterance\" for sentences and other \
                 microphones"
            }
            false => "",
        };
        let body = format!(
            r#"# A recipe for {speech} of speech, written by `labyrinth prepare {corpus}`.
# Train with: labyrinth train {path}
# Any key can also be set for one run: --set train.epochs=10

[data] # paths are relative to this file
train = "train.jsonl"
dev = "dev.jsonl" # chooses the best epoch; test.jsonl is for `labyrinth evaluate` alone{units}

[features] # names, units and meanings are Kaldi's
kind = "fbank"
sample-frequency = {sample_frequency} # most recordings have this rate; the others are resampled
frame-length = 25.0 # ms
frame-shift = 10.0 # ms
num-mel-bins = {mel_bins}{normalize}

[model]
architecture = "cnn-gru"
projection = {width}
recurrent-layers = {layers}
recurrent-hidden = {width} # in each direction: more for more hours, less for less
bidirectional = true
dropout = 0.3

[[model.convolutions]] # stride: [time, frequency]; both strides of time together divide the frame rate
channels = {channels}
kernel = [3, 3]
stride = [{first}, 2]

[[model.convolutions]]
channels = {channels}
kernel = [3, 3]
stride = [{second}, 2]

[train]
seed = 1
epochs = {epochs}
batch-size = {batch_size} # utterances
learning-rate = 1e-3 # the peak: it rises for `warm-up` of the training, then falls
warm-up = 0.3
speeds = [0.9, 1.0, 1.1] # one is drawn for each utterance and epoch

[train.spec-augment] # bands of frequency and time that are masked in training
freq-masks = 2
freq-width = {freq_width} # mel bins, at most
time-masks = 2
time-width = 40 # frames, at most

"#,
            corpus = report.corpus.corpus,
            path = wording::shell(&report.out.join(NAME)),
        );
        format!("{body}{MARK}{}\n", digest_of(&body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(utterances: usize, seconds: f64, sample_rate: u32) -> Totals {
        Totals {
            utterances,
            seconds,
            characters: (10.0 * seconds) as usize,
            sample_rates: [(sample_rate, utterances)].into(),
            ..Totals::default()
        }
    }

    #[test]
    fn more_speech_gets_a_wider_model_and_fewer_epochs() {
        let sizes = [120.0, 1200.0, 2700.0, 3600.0 * 8.0]
            .map(|seconds| Size::fitting(&totals(4000, seconds, 16_000)));
        assert!(sizes.windows(2).all(|pair| pair[0].width < pair[1].width), "{sizes:?}");
        assert!(sizes.windows(2).all(|pair| pair[0].epochs >= pair[1].epochs), "{sizes:?}");
        assert_eq!((sizes[2].width, sizes[2].layers, sizes[2].epochs), (256, 3, 60));
    }

    #[test]
    fn telephone_speech_stays_at_8_khz_and_fast_speech_keeps_its_frames() {
        assert_eq!(Size::fitting(&totals(30, 60.0, 8000)).sample_frequency, 8000);
        assert_eq!(Size::fitting(&totals(30, 60.0, 44_100)).sample_frequency, 16_000);
        let fast = Totals { characters: 1000, ..totals(30, 60.0, 8000) };
        assert_eq!(Size::fitting(&fast).time_strides, [2, 1]);
        assert_eq!(Size::fitting(&totals(30, 60.0, 8000)).time_strides, [2, 2]);
    }

    #[test]
    fn a_closed_list_of_words_gets_a_label_for_each() {
        let of = |texts: &[&str], times: usize| {
            let texts = texts.iter().cycle().take(texts.len() * times);
            Vocabulary::of_texts(texts.map(|text| (*text).to_owned()))
        };
        let commands = of(&["on", "off", "up"], 5);
        assert!(commands.is_closed_list() && commands.is_single_words());
        assert!(!of(&["on", "off", "up"], 4).is_closed_list());
        let digits = of(&["one two two", "two one one"], 5);
        assert!(digits.is_closed_list() && !digits.is_single_words());
        assert!(!Vocabulary::of_texts(std::iter::empty()).is_closed_list());
        let many: Vec<String> = (0..101).map(|number| format!("word{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(of(&many[..100], 5).is_closed_list() && !of(&many, 5).is_closed_list());
    }

    #[test]
    fn an_edit_is_seen() {
        let body = "epochs = 5\n\n";
        let text = format!("{body}{MARK}{}\n", digest_of(body));
        assert!(is_unedited(&text));
        assert!(!is_unedited(&text.replace('5', "6")));
        assert!(!is_unedited(&format!("{text}seed = 2\n")));
        assert!(!is_unedited(body));
    }
}
