//! `labyrinth transcribe`: recordings to text.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use labyrinth_decode::{Recognition, Recognizer};
use labyrinth_signal::{Audio, RawFormat, read_audio};
use serde_json::json;

use crate::failure::Failure;
use crate::machine::{IsaOption, PrecisionOption, ThreadsOption};
use crate::output;
use crate::raw_option::RawOption;

/// Arguments of `labyrinth transcribe`.
#[derive(Args)]
#[command(after_help = "\
Reads WAV, FLAC, MP3, M4A, Ogg Vorbis and Opus, NIST SPHERE, and headerless audio by option, at any
sample rate. Prints one line per file, or for a model that names the sound of each frame a line for
each sound: start, end, label, as Audacity reads them. A file that cannot be used is named on
standard error, the others are transcribed, and the exit status is 2.

Examples:
  labyrinth transcribe runs/an4/model.safetensors question.wav
  labyrinth transcribe runs/an4/model.safetensors *.flac --format json
  labyrinth transcribe runs/an4/model.safetensors an4.raw --encoding pcm_s16be --sample-rate 16000")]
pub struct Transcribe {
    /// The model file that `labyrinth train` wrote.
    model: PathBuf,
    /// Recordings.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Text alone, or a line of JSON for each file with the times of its words.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
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
enum Format {
    /// The text, after the file's name where there are several.
    Text,
    /// JSON Lines.
    Json,
}

impl Transcribe {
    /// Transcribes every file.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let pool = self.threads.pool()?;
        let mut recognizer = Recognizer::open(&self.model, self.precision.cpu(self.isa)?)?;
        let raw = self.raw.format();
        let mut unusable = 0;
        for file in &self.files {
            match read(file, raw.as_ref()) {
                Ok(audio) if let Err(error) = recognizer.check_rate(&audio) => {
                    output::complain(format_args!("`{}`: {error}", file.display()));
                    unusable += 1;
                }
                Ok(audio) => {
                    let recognition = pool.install(|| recognizer.recognize(&audio))?;
                    if recognition.frames == 0 {
                        output::complain(format_args!(
                            "`{}` lasts {:.3} s, too short for one frame of the model, so nothing can be \
                             heard in it",
                            file.display(),
                            recognition.seconds
                        ));
                    }
                    self.print(file, &recognition)?;
                }
                Err(sentence) => {
                    output::complain(sentence);
                    unusable += 1;
                }
            }
        }
        // Each of them has had its sentence.
        Ok(if unusable > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS })
    }

    fn print(&self, file: &Path, recognition: &Recognition) -> Result<(), Failure> {
        let text = &recognition.text;
        match self.format {
            // A framewise model: what it is for is when.
            Format::Text if !recognition.frame_labels.is_empty() => {
                if self.files.len() > 1 {
                    output::line(format_args!("{}:", file.display()))?;
                }
                recognition.words.iter().try_for_each(|word| {
                    output::line(format_args!("{:.3}\t{:.3}\t{}", word.start, word.end, word.text))
                })
            }
            Format::Text if self.files.len() == 1 => output::line(text),
            Format::Text => output::line(format_args!("{}: {text}", file.display())),
            Format::Json => {
                let words: Vec<_> = recognition
                    .words
                    .iter()
                    .map(|word| {
                        json!({
                            "word": word.text,
                            "start": milliseconds(word.start),
                            "end": milliseconds(word.end),
                        })
                    })
                    .collect();
                output::json(&json!({
                    "audio_filepath": file.display().to_string(),
                    "text": text,
                    "duration": milliseconds(recognition.seconds),
                    "words": words,
                }))
            }
        }
    }
}

/// Seconds, rounded to what a frame can tell.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The file's sound, or a sentence. Decoders read foreign bytes: should one of them panic, its file is
/// lost and the others are not.
pub fn read(file: &Path, raw: Option<&RawFormat>) -> Result<Audio, String> {
    match catch_unwind(AssertUnwindSafe(|| read_audio(file, raw))) {
        Ok(Ok(audio)) if audio.samples() > 0 => Ok(audio),
        Ok(Ok(_)) => Err(format!("`{}` has no samples; record it again", file.display())),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "`{}` breaks the decoder of its format; convert it to WAV with another program",
            file.display()
        )),
    }
}
