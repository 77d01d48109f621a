//! `labyrinth transcribe`: recordings to text.

use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use labyrinth_decode::{Recognition, Recognizer};
use labyrinth_signal::{Audio, RawFormat, is_special_file, read_audio};
use serde_json::json;

use super::transcribe_stream::Live;
use crate::failure::Failure;
use crate::machine::{IsaOption, PrecisionOption, ThreadsOption};
use crate::raw_option::RawOption;
use crate::stream_option::StreamOption;
use crate::{model, output};

/// Arguments of `labyrinth transcribe`.
#[derive(Args)]
#[command(
    override_usage = "labyrinth transcribe [OPTIONS] [MODEL] FILE...",
    after_help = "\
Where no model is named, the one inside this program (`embedded`) listens, and says so.

Reads WAV, FLAC, MP3, M4A, Ogg Vorbis and Opus, NIST SPHERE, and headerless audio by option, at any
sample rate. Prints one line per file, or for a model that names the sound of each frame a line for
each sound: start, end, label, as Audacity reads them. A file that cannot be used is named on
standard error, the others are transcribed, and the exit status is 2.

With --stream the words are printed as they are heard, and without a FILE the sound comes from
standard input: a WAV, or 16-bit little-endian samples of one channel at the model's rate (others
by --encoding, --sample-rate and --channels). A model that hears only what was said so far gives
the same text as offline; one that needs the whole recording is refused, unless --chunk-seconds
has it hear overlapping chunks.

Examples:
  labyrinth transcribe question.wav
  arecord -q -f S16_LE -r 16000 -c 1 -t raw | labyrinth transcribe MODEL --stream
  ffmpeg -v error -i talk.mp4 -f wav - | labyrinth transcribe MODEL --stream --format json
  sox -d -t raw -r 16000 -e signed -b 16 -c 1 - | labyrinth transcribe MODEL --stream
  labyrinth transcribe runs/an4/model.safetensors question.wav
  labyrinth transcribe runs/an4/model.safetensors *.flac --format json
  labyrinth transcribe runs/an4/model.safetensors an4.raw --encoding pcm_s16be --sample-rate 16000"
)]
pub struct Transcribe {
    /// The model file, then recordings; with --stream these may be left out.
    #[arg(required_unless_present = "stream", value_name = "FILE")]
    named: Vec<PathBuf>,
    /// Text alone, or JSON with times: a line for each file, with --stream for each word.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    stream: StreamOption,
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
pub(super) enum Format {
    /// The text, after the file's name where there are several.
    Text,
    /// JSON Lines.
    Json,
}

impl Transcribe {
    /// Transcribes every file.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let pool = self.threads.pool()?;
        let cpu = self.precision.cpu(self.isa)?;
        let (model, files) =
            model::and_files(&self.named, self.raw.is_given(), self.stream.is_given())?;
        let mut recognizer = Recognizer::new(model, cpu)?;
        let raw = self.raw.format_at(recognizer.sample_rate());
        if self.stream.is_given() {
            let live = Live { recognizer: &recognizer, pool: &pool, format: self.format };
            return live.run(&self.stream, files, raw);
        }
        let mut unusable = 0;
        for file in files {
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
                    self.print(file, files.len(), &recognition)?;
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

    fn print(&self, file: &Path, files: usize, recognition: &Recognition) -> Result<(), Failure> {
        let text = &recognition.text;
        match self.format {
            // A framewise model: what it is for is when.
            Format::Text if !recognition.frame_labels.is_empty() => {
                if files > 1 {
                    output::line(format_args!("{}:", file.display()))?;
                }
                recognition.words.iter().try_for_each(|word| {
                    output::line(format_args!("{:.3}\t{:.3}\t{}", word.start, word.end, word.text))
                })
            }
            Format::Text if files == 1 => output::line(text),
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
pub(super) fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// What to say of a shard, or of features out of one, in the place of a recording.
fn of_a_shard(file: &Path) -> Option<String> {
    if is_special_file(file) {
        return None;
    }
    let mut head = Vec::new();
    File::open(file).ok()?.take(512).read_to_end(&mut head).ok()?;
    let file = file.display();
    if head.get(257..262) == Some(b"ustar") {
        return Some(format!(
            "`{file}` is a tar, not a recording; unpack it, or let `labyrinth evaluate` read the manifest of \
             its shards"
        ));
    }
    // An archive of Kaldi's: a key, a blank, and the mark of an object.
    let blank = head.iter().position(|byte| *byte == b' ')?;
    let key = head[..blank].iter().all(u8::is_ascii_graphic) && blank > 0;
    (key && head[blank + 1..].starts_with(b"\0B")).then(|| {
        format!(
            "`{file}` holds features and no sound; name the recording, or let `labyrinth evaluate` read the \
             manifest of the shards"
        )
    })
}

/// The file's sound, or a sentence. Decoders read foreign bytes: should one of them panic, its file is
/// lost and the others are not.
pub fn read(file: &Path, raw: Option<&RawFormat>) -> Result<Audio, String> {
    match catch_unwind(AssertUnwindSafe(|| read_audio(file, raw))) {
        Ok(Ok(audio)) if audio.samples() > 0 => Ok(audio),
        Ok(Ok(_)) => Err(format!("`{}` has no samples; record it again", file.display())),
        Ok(Err(error)) => Err(of_a_shard(file).unwrap_or_else(|| error.to_string())),
        Err(_) => Err(format!(
            "`{}` breaks the decoder of its format; convert it to WAV with another program",
            file.display()
        )),
    }
}
