//! `labyrinth subset`: part of a manifest, drawn by a seed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use labyrinth_corpus::Manifest;
use labyrinth_corpus::subset::{Draw, draw};
use labyrinth_text::{Lexicon, Normalizer, NormalizerOptions};
use labyrinth_train::TrainError;

use crate::failure::Failure;
use crate::{output, wording};

/// Arguments of `labyrinth subset`.
#[derive(Args)]
#[command(after_help = "\
Utterances and speakers are drawn by seed and name, so that the same ones come whatever their order,
and stay in the manifest's order. More minutes (or more speakers, without minutes) hold all of
fewer. With --speakers
and --minutes each speaker gives the same share. The output lies beside the manifest, for its paths
are relative to that folder.

With --phonemes even, utterances are taken one after another, each the one that evens out best how
often the phonemes of the transcripts stand (by a lexicon such as the CMU dictionary, first
pronunciations, without stress).

Examples:
  labyrinth subset data/fsdd-theo/train.jsonl --minutes 10 -o data/fsdd-theo/train-10min.jsonl
  labyrinth subset data/an4/train.jsonl --speakers 10 -o data/an4/study-test.jsonl
  labyrinth subset data/an4/train.jsonl --without data/an4/study-test.jsonl \\
    -o data/an4/study-train.jsonl
  labyrinth subset data/speechocean762/test.jsonl --speakers-in children \\
    -o data/speechocean762/test-children.jsonl
  labyrinth subset data/an4/train.jsonl --minutes 12 --phonemes even --lexicon cmudict \\
    -o data/an4/even.jsonl")]
pub struct Subset {
    /// The manifest.
    manifest: PathBuf,
    /// Minutes of sound to draw, at most.
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// So many speakers.
    #[arg(long, value_name = "N")]
    speakers: Option<usize>,
    /// Keeps the speakers that this file names first on its lines, as Kaldi's spk2gender does.
    #[arg(long, value_name = "FILE")]
    speakers_in: Option<PathBuf>,
    /// Leaves out the speakers of this manifest, and its utterances.
    #[arg(long, value_name = "MANIFEST")]
    without: Option<PathBuf>,
    /// How often phonemes stand: as they do, or as evenly as can be had.
    #[arg(long, value_enum, default_value = "natural", requires = "minutes")]
    phonemes: Phonemes,
    /// Words and their phonemes.
    #[arg(long, value_name = "FILE", required_if_eq("phonemes", "even"))]
    lexicon: Option<PathBuf>,
    /// Another seed draws others.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The manifest to write, in the same folder.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phonemes {
    /// As the transcripts have them.
    Natural,
    /// Evened out.
    Even,
}

impl Subset {
    /// Draws and writes.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let sentence = |text: String| Err(Failure::Sentence(text));
        if self.minutes.is_some_and(|minutes| !(minutes.is_finite() && minutes > 0.0)) {
            return sentence("--minutes wants a number above 0".into());
        }
        let who = (&self.without, &self.speakers_in);
        if (&self.minutes, &self.speakers, who) == (&None, &None, (&None, &None)) {
            return sentence(
                "say what to draw: --minutes, --speakers, --speakers-in or --without".into(),
            );
        }
        // `./train.jsonl` lies beside `train.jsonl`.
        let (out, from) = (super::absolute(&self.out), super::absolute(&self.manifest));
        if out.parent() != from.parent() || out == from {
            return sentence(format!(
                "{} must be another file beside {}, for the paths in it are relative to that folder",
                self.out.display(),
                self.manifest.display()
            ));
        }
        if self.out.exists() {
            return sentence(format!("{} is there already; remove it first", self.out.display()));
        }
        let mut manifest = Manifest::read(&self.manifest)?;
        if manifest.utterances.is_empty() {
            return sentence(format!(
                "{} is empty; name a manifest with utterances",
                self.manifest.display()
            ));
        }
        let without = self.without.as_deref().map(Manifest::read).transpose()?;
        let only = self.speakers_in.as_deref().map(first_words).transpose()?;
        if let (Some(only), Some(file)) = (&only, &self.speakers_in)
            && !manifest.speakers().into_iter().any(|speaker| only.contains(speaker))
        {
            return sentence(format!(
                "{} names no speaker of {}; a line of it begins with a speaker, as in Kaldi's spk2gender",
                file.display(),
                self.manifest.display()
            ));
        }
        let normalizer =
            Normalizer::new(&NormalizerOptions::default()).map_err(TrainError::from)?;
        let lexicon = match (&self.lexicon, self.phonemes) {
            (Some(path), Phonemes::Even) => {
                Some(Lexicon::read(path, &normalizer).map_err(TrainError::from)?)
            }
            _ => None,
        };
        let what = Draw {
            seed: self.seed,
            without: without.as_ref(),
            only: only.as_ref(),
            speakers: self.speakers,
            minutes: self.minutes,
            even: lexicon.as_ref().map(|lexicon| (lexicon, &normalizer)),
        };
        let drawn = draw(&manifest, &what)
            .map_err(|fault| Failure::Sentence(format!("{}: {fault}", self.manifest.display())))?;
        let all = manifest.utterances.len();
        let mut keep = drawn.kept.iter();
        manifest.utterances.retain(|_| *keep.next().unwrap_or(&false));
        if manifest.utterances.is_empty() {
            return sentence(match drawn.outside_lexicon {
                0 if self.minutes.is_none() => format!(
                    "{} leaves nothing of {}: all its speakers or utterances stand there",
                    self.without.as_ref().unwrap_or(&self.manifest).display(),
                    self.manifest.display()
                ),
                0 => format!(
                    "the first utterance drawn from {} is longer than {} minutes; ask for more --minutes",
                    self.manifest.display(),
                    self.minutes.unwrap_or_default()
                ),
                _ => "the lexicon lacks a word of every utterance; name the one of this language"
                    .into(),
            });
        }
        manifest.path = self.out.clone();
        manifest.write()?;
        output::line(format_args!(
            "{}: {} of {}, {}, {}",
            self.out.display(),
            wording::thousands(manifest.utterances.len()),
            wording::count(all, "utterance"),
            wording::speech(drawn.seconds),
            wording::count(manifest.speakers().len(), "speaker"),
        ))?;
        if let Some((reached, natural)) = drawn.phonemes {
            output::line(format_args!(
                "phonemes as even as {reached:.1} equally frequent ones ({natural:.1} before); {} left out, for the \
                 lexicon lacks a word of theirs",
                wording::count(drawn.outside_lexicon, "utterance")
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What stands first on each line of a file.
fn first_words(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::read(path))?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(Into::into).collect())
}
