//! `labyrinth align`: when each part of a transcript was said.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use labyrinth_corpus::clip::{ClipFault, read_clip};
use labyrinth_corpus::labels::{Recording, Tier};
use labyrinth_corpus::{
    Label, LabelFormat, LabelTrack, Ledger, Manifest, Reason, Refusal, Utterance, manifest_path,
};
use labyrinth_decode::{
    AlignError, Aligner, AlignerError, AlignerOptions, Alignment, BoundaryRule,
};
use labyrinth_text::{Lexicon, Normalizer, Units};
use labyrinth_train::TrainError;

use crate::commands::transcribe;
use crate::failure::Failure;
use crate::machine::{IsaOption, PrecisionOption, ThreadsOption};
use crate::progress::Progress;
use crate::raw_option::RawOption;
use crate::{model, output, wording};

/// Arguments of `labyrinth align`.
#[derive(Args)]
#[command(after_help = "\
A transcript is words in quotes, or the name of a .txt file that holds them. Of a manifest each
utterance is aligned with its own transcript; the folder then holds a label track for each, a
manifest that names them, and ledger.jsonl with what could not be aligned. What is aligned are the
labels the model was trained on, unless --units says otherwise; a model without phonemes cuts the
words of its alignment into equal parts, one for each phoneme that the lexicon has.

Examples:
  labyrinth align runs/an4/model.safetensors rubout.wav \"rubout g m e f\" --units words
  labyrinth align runs/an4/model.safetensors talk.flac talk.txt --format textgrid -o talk.TextGrid
  labyrinth align runs/an4-phonemes/model.safetensors data/an4/dev.jsonl -o data/an4-aligned")]
pub struct Align {
    /// The model file that `labyrinth train` wrote, or `embedded`.
    model: PathBuf,
    /// A recording, or a manifest.
    input: PathBuf,
    /// What is said in the recording; a manifest has its own.
    transcript: Option<String>,
    /// What is told apart; the labels of the model where not given.
    #[arg(long, value_enum)]
    units: Option<AlignUnits>,
    /// Words and their phonemes, in place of the model's own lexicon.
    #[arg(long, value_name = "FILE")]
    lexicon: Option<PathBuf>,
    /// The format of the label track; left out, that of the file's name, or Audacity's.
    #[arg(long, value_enum)]
    format: Option<TrackFormat>,
    /// Where the labels go: a file, or for a manifest a folder; standard output where not given.
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Where, between the frames in which the model is sure, a label ends and the next begins.
    #[arg(long, value_enum, default_value = "change")]
    boundaries: Boundaries,
    /// Gives pauses to the labels beside them, half to each.
    #[arg(long)]
    keep_pauses: bool,
    #[command(flatten)]
    raw: RawOption,
    #[command(flatten)]
    threads: ThreadsOption,
    #[command(flatten)]
    isa: IsaOption,
    #[command(flatten)]
    precision: PrecisionOption,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AlignUnits {
    /// Characters.
    Letters,
    /// Words.
    Words,
    /// Phonemes.
    Phonemes,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TrackFormat {
    /// start TAB end TAB label.
    Audacity,
    /// NIST's recording, channel, start, duration, word.
    Ctm,
    /// Praat's, with the words as a second tier.
    Textgrid,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Boundaries {
    /// Where the model's preference changes from the one label to the next.
    Change,
    /// In the middle between the frames where the model is sure.
    Middle,
}

impl TrackFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Audacity => "txt",
            Self::Ctm => "ctm",
            Self::Textgrid => "TextGrid",
        }
    }

    fn label_format(self) -> LabelFormat {
        match self {
            Self::Audacity => LabelFormat::Audacity,
            Self::Ctm => LabelFormat::Ctm,
            Self::Textgrid => LabelFormat::TextGrid,
        }
    }
}

impl Align {
    /// Aligns a recording or a manifest.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let is_manifest = self.input.extension().is_some_and(|end| end == "jsonl");
        match (is_manifest, &self.transcript, &self.out) {
            (true, Some(_), _) => {
                return Err(Failure::Sentence(format!(
                    "{} is a manifest, whose lines hold the transcripts; leave out the one given",
                    self.input.display()
                )));
            }
            (true, None, None) => {
                return Err(Failure::Sentence(format!(
                    "name a folder for the label tracks of {} with -o",
                    self.input.display()
                )));
            }
            (false, None, _) => {
                return Err(Failure::Sentence(format!(
                    "say what is spoken in {}: words in quotes, or a .txt file, behind its name",
                    self.input.display()
                )));
            }
            _ => {}
        }
        if let (false, Some(path)) = (is_manifest, &self.out) {
            if path.is_dir() {
                return Err(Failure::Sentence(format!(
                    "{} is a folder; name a file for the labels of one recording",
                    path.display()
                )));
            }
            output::refuse_to_replace(path)?;
            if self.format.is_none() && self.named_format().is_none() {
                return Err(Failure::Sentence(format!(
                    "the name of {} tells no format of label tracks; let it end in .txt (Audacity), .ctm or \
                     .TextGrid, or name one with --format",
                    path.display()
                )));
            }
        }
        let pool = self.threads.pool()?;
        let mut aligner = self.aligner()?;
        match (&self.transcript, &self.out) {
            (Some(transcript), _) => pool.install(|| self.one(&mut aligner, transcript)),
            (None, Some(folder)) => pool.install(|| self.all(&mut aligner, folder)),
            (None, None) => Ok(ExitCode::SUCCESS),
        }
    }

    fn aligner(&self) -> Result<Aligner, Failure> {
        let model = model::read(&self.model)?;
        let normalizer = Normalizer::new(&model.header.normalizer).map_err(TrainError::from)?;
        let read = |path: &PathBuf| Lexicon::read(path, &normalizer);
        let lexicon = self.lexicon.as_ref().map(read).transpose().map_err(TrainError::from)?;
        let options = AlignerOptions {
            units: self.units.map(|units| match units {
                AlignUnits::Letters => Units::Characters,
                AlignUnits::Words => Units::Words,
                AlignUnits::Phonemes => Units::Phonemes,
            }),
            lexicon,
            rule: match self.boundaries {
                Boundaries::Change => BoundaryRule::Change,
                Boundaries::Middle => BoundaryRule::Middle,
            },
            keep_pauses: self.keep_pauses,
        };
        Ok(Aligner::new(model, self.precision.cpu(self.isa)?, options).map_err(
            |error| match error {
                AlignerError::Model(reason) => {
                    AlignerError::Model(format!("{}: {reason}", self.model.display()))
                }
                other => other,
            },
        )?)
    }

    fn format(&self) -> TrackFormat {
        self.format.or_else(|| self.named_format()).unwrap_or(TrackFormat::Audacity)
    }

    /// The format that the name of the output tells.
    fn named_format(&self) -> Option<TrackFormat> {
        match LabelFormat::of(self.out.as_deref()?)? {
            LabelFormat::Audacity => Some(TrackFormat::Audacity),
            LabelFormat::Ctm => Some(TrackFormat::Ctm),
            LabelFormat::TextGrid => Some(TrackFormat::Textgrid),
            _ => None,
        }
    }

    /// One recording.
    fn one(&self, aligner: &mut Aligner, transcript: &str) -> Result<ExitCode, Failure> {
        let raw = self.raw.format_at(aligner.sample_rate());
        let audio = transcribe::read(&self.input, raw.as_ref()).map_err(Failure::Sentence)?;
        let path = Path::new(transcript);
        let transcript = match path.extension() {
            Some(end) if end == "txt" => {
                std::fs::read_to_string(path).map_err(Failure::read(path))?
            }
            _ => transcript.to_owned(),
        };
        let alignment = aligner
            .align(&audio, &transcript)
            .map_err(|error| Failure::Sentence(format!("{}: {error}", self.input.display())))?;
        if alignment.makeshift {
            output::remark(MAKESHIFT);
        }
        let format = self.format();
        let track = track(&alignment, aligner.units(), format, 0.0);
        let stem = self.input.file_stem().unwrap_or_default().to_string_lossy().replace(' ', "_");
        let names = [stem.as_str()];
        let recording = Recording {
            sample_rate: Some(audio.sample_rate),
            seconds: Some(alignment.seconds),
            names: &names,
        };
        let text = track.to_text(format.label_format(), &recording).map_err(|reason| {
            Failure::Sentence(format!("the labels of {}: {reason}", self.input.display()))
        })?;
        match &self.out {
            None => output::text(text)?,
            Some(path) => labyrinth_corpus::atomic::write_atomically(path, |file| {
                std::io::Write::write_all(file, text.as_bytes())
            })
            .map_err(Failure::write(path))?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Every utterance of a manifest.
    fn all(&self, aligner: &mut Aligner, folder: &Path) -> Result<ExitCode, Failure> {
        let manifest = Manifest::read(&self.input)?;
        if manifest.utterances.iter().any(|utterance| utterance.shard.is_some()) {
            return Err(Failure::Sentence(format!(
                "{} lies in tar shards, to which no label tracks can be added; align the manifest from \
                 which they were made, and make them again",
                self.input.display()
            )));
        }
        let name = self.input.file_name().unwrap_or_default();
        let (tracks, path) = (folder.join("labels"), folder.join(name));
        std::fs::create_dir_all(&tracks).map_err(Failure::write(&tracks))?;
        let real = |path: &Path| path.canonicalize().map_err(Failure::read(path));
        let here = match manifest.folder() {
            folder if folder.as_os_str().is_empty() => Path::new("."),
            folder => folder,
        };
        let (from, to) = (real(here)?, real(folder)?);
        if from == to {
            return Err(Failure::Sentence(format!(
                "{} lies in that very folder, and its aligned copy would take its place; name another \
                 folder with -o",
                self.input.display()
            )));
        }
        output::refuse_to_replace(&path)?;
        let format = self.format();
        let mut ledger = Ledger::new();
        let mut aligned = Manifest { path, utterances: Vec::new() };
        let mut files = HashSet::new();
        let (mut labels, mut seconds, mut makeshift) = (0, 0.0, false);
        let progress = Progress::new("aligning");
        for (index, utterance) in manifest.utterances.iter().enumerate() {
            progress.at(index, manifest.utterances.len());
            let alignment = match align_utterance(aligner, &from, utterance)? {
                Ok(alignment) => alignment,
                Err(refusal) => {
                    ledger.refuse(refusal);
                    continue;
                }
            };
            let file = file_name(&utterance.id, index, format, &mut files);
            let track = track(&alignment, aligner.units(), format, utterance.offset.unwrap_or(0.0));
            let stem = Path::new(&utterance.audio_filepath).file_stem().unwrap_or_default();
            let stem = stem.to_string_lossy().replace(' ', "_");
            let names = [stem.as_str()];
            let recording = Recording { sample_rate: None, seconds: None, names: &names };
            track.write(&tracks.join(&file), &recording)?;
            let mut line = utterance.clone();
            move_audio(&mut line, &from, &to);
            (line.labels, line.labels_shard) = (Some(format!("labels/{file}")), None);
            aligned.utterances.push(line);
            ledger.keep();
            makeshift |= alignment.makeshift;
            labels += alignment.labels.len();
            seconds += alignment.seconds;
        }
        progress.finish();
        let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
        let ledger_path = folder.join(format!("ledger-{stem}.jsonl"));
        ledger.write(&ledger_path)?;
        if makeshift {
            output::remark(MAKESHIFT);
        }
        if ledger.kept_count() == 0 {
            return Err(Failure::Sentence(format!(
                "no utterance of {} could be aligned ({ledger}); {} says why",
                self.input.display(),
                ledger_path.display()
            )));
        }
        aligned.write()?;
        output::line(format_args!(
            "{}: {} of {} in {}, left out: {}, named in {}",
            aligned.path.display(),
            wording::count(labels, aligner.units().name().trim_end_matches('s')),
            wording::speech(seconds),
            wording::count(ledger.kept_count(), "utterance"),
            wording::left_out(&ledger),
            ledger_path.display()
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

const MAKESHIFT: &str = "the model has no phonemes, so each word was cut into equal parts, one for each \
                         phoneme of its first pronunciation";

/// One utterance, or why it is left out. A fault of the model or the disk ends the command.
fn align_utterance(
    aligner: &mut Aligner,
    folder: &Path,
    utterance: &Utterance,
) -> Result<Result<Alignment, Refusal>, Failure> {
    let refuse = |reason, detail| Ok(Err(Refusal::new(utterance.id.clone(), reason, detail)));
    let audio = match read_clip(folder, utterance) {
        Ok(audio) => audio,
        Err(ClipFault::Refused { reason, detail }) => return refuse(reason, detail),
        Err(ClipFault::Disk { path, source }) => {
            return Err(TrainError::Disk { path, source }.into());
        }
    };
    match aligner.align(&audio, &utterance.text) {
        Ok(alignment) => Ok(Ok(alignment)),
        Err(error) => {
            let reason = match &error {
                AlignerError::Empty { .. } => Reason::EmptyTranscript,
                AlignerError::OutsideAlphabet(_) => Reason::OutsideAlphabet,
                AlignerError::OutsideLexicon(_) => Reason::OutsideLexicon,
                AlignerError::Path(AlignError::TooShort { .. }) => Reason::TooShortForCtc,
                AlignerError::Rate(_) => Reason::SampleRate,
                _ => return Err(error.into()),
            };
            refuse(reason, error.to_string())
        }
    }
}

/// The labels as a track; times count from the beginning of the file.
fn track(alignment: &Alignment, units: Units, format: TrackFormat, offset: f64) -> LabelTrack {
    // Six decimals are what label tracks hold, and neighbours must not overlap by rounding.
    let round = |seconds: f64| ((seconds + offset) * 1e6).round() / 1e6;
    let tier = |name: &str, words: &[labyrinth_decode::Word]| Tier {
        name: name.to_owned(),
        labels: words
            .iter()
            .map(|word| Label::new(round(word.start), round(word.end), word.text.clone()))
            .collect(),
    };
    if format != TrackFormat::Textgrid {
        return LabelTrack { tiers: vec![tier("", &alignment.labels)] };
    }
    let name = match units {
        Units::Characters => "letters",
        other => other.name(),
    };
    let mut tiers = vec![tier(name, &alignment.labels)];
    if units != Units::Words {
        tiers.push(tier("words", &alignment.words));
    }
    LabelTrack { tiers }
}

/// The name of an utterance's track: its id, where a file can be called so and none is yet.
fn file_name(id: &str, index: usize, format: TrackFormat, taken: &mut HashSet<String>) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.@".contains(c) { c } else { '_' };
    let stem: String = id.chars().map(plain).collect();
    let stem = stem.trim_start_matches('.');
    let end = format.extension();
    // Some systems do not tell capitals from small letters.
    let free = !stem.is_empty() && stem.len() <= 200 && taken.insert(stem.to_lowercase());
    match free {
        true => format!("{stem}.{end}"),
        false => format!("{index:08}-{}.{end}", stem.chars().take(40).collect::<String>()),
    }
}

/// Paths of a manifest's line as they stand in a manifest in another folder.
fn move_audio(line: &mut Utterance, from: &Path, to: &Path) {
    let moved = |path: &str| {
        let path = from.join(path);
        let path = path.canonicalize().unwrap_or(path);
        manifest_path(to, &path)
    };
    if let Some(path) = moved(&line.audio_filepath) {
        line.audio_filepath = path;
    }
}
