//! `labyrinth transcribe --stream`: words as they are heard, from standard input or from files in pieces.

use std::io::{self, ErrorKind, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use labyrinth_decode::{Recognizer, RecognizerStream, Word};
use labyrinth_signal::{Encoding, PcmStream, RawFormat};
use rayon::ThreadPool;
use serde_json::json;

use super::transcribe::{Format, milliseconds, read};
use crate::failure::Failure;
use crate::output;
use crate::stream_option::StreamOption;

/// Bytes read at once at most; a pipe gives what it has.
const BYTES: usize = 1 << 15;

/// The name of standard input in what is printed.
const STDIN: &str = "-";

/// Recognises live.
pub struct Live<'a> {
    /// The model.
    pub recognizer: &'a Recognizer,
    /// Where it computes.
    pub pool: &'a ThreadPool,
    /// How words are printed.
    pub format: Format,
}

impl Live<'_> {
    /// Recognises the files one after another, or standard input where there are none.
    pub fn run(
        &self,
        options: &StreamOption,
        files: &[PathBuf],
        raw: Option<RawFormat>,
    ) -> Result<ExitCode, Failure> {
        // A model that cannot is refused before the first sample.
        self.stream(options, self.recognizer.sample_rate())?;
        if files.is_empty() {
            return self.hear_standard_input(options, raw);
        }
        let mut unusable = 0;
        for file in files {
            let name = file.display().to_string();
            match read(file, raw.as_ref()) {
                Ok(audio) if let Err(error) = self.recognizer.check_rate(&audio) => {
                    output::complain(format_args!("`{name}`: {error}"));
                    unusable += 1;
                }
                Ok(audio) => {
                    let stream = self.stream(options, audio.sample_rate)?;
                    let prefix = if files.len() > 1 { Some(file.as_path()) } else { None };
                    let mut speech = Speech::new(self, &name, prefix, stream);
                    let piece_ms = options.options().map_or(0.0, |options| options.piece_ms);
                    let piece = piece_ms / 1000.0 * f64::from(audio.sample_rate);
                    for samples in audio.mono().chunks((piece.round() as usize).max(1)) {
                        speech.push(samples)?;
                    }
                    speech.finish()?;
                }
                Err(sentence) => {
                    output::complain(sentence);
                    unusable += 1;
                }
            }
        }
        Ok(if unusable > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS })
    }

    fn stream(&self, options: &StreamOption, rate: u32) -> Result<RecognizerStream, Failure> {
        let chunks = options.options().and_then(|options| options.chunks);
        let stream = match chunks {
            None => self.recognizer.stream(rate),
            Some(chunks) => self.recognizer.stream_in_chunks(rate, chunks),
        };
        stream.map_err(|error| options.way_out(error.into()))
    }

    fn hear_standard_input(
        &self,
        options: &StreamOption,
        raw: Option<RawFormat>,
    ) -> Result<ExitCode, Failure> {
        let mut stdin = io::stdin().lock();
        let rate = self.recognizer.sample_rate();
        if stdin.is_terminal() {
            return Err(Failure::Sentence(format!(
                "standard input is a terminal and brings no sound; lead some into it (arecord -q -f S16_LE \
                 -r {rate} -c 1 -t raw | labyrinth transcribe MODEL --stream), or name a file"
            )));
        }
        let mut bytes = match raw {
            Some(raw) => PcmStream::headerless(raw),
            None => PcmStream::new(RawFormat {
                encoding: Encoding::PcmS16le,
                sample_rate: rate,
                channels: 1,
            }),
        };
        let mut buffer = vec![0; BYTES];
        let (mut samples, mut speech) = (Vec::new(), None);
        let mut come = 0;
        loop {
            let count = match stdin.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Failure::Sentence(format!(
                        "standard input cannot be read ({error}); check where it comes from"
                    )));
                }
            };
            come += count;
            samples.clear();
            let result = match count {
                0 => bytes.finish(&mut samples),
                _ => bytes.push(&buffer[..count], &mut samples),
            };
            if let (None, Some(format)) = (&speech, bytes.format())
                && come > 0
            {
                let stream = self.stream(options, format.sample_rate)?;
                speech = Some(Speech::new(self, STDIN, None, stream));
            }
            if let Some(speech) = &mut speech {
                speech.push(&samples)?;
            }
            // What was heard is said before what is wrong.
            if count == 0 || result.is_err() {
                if let Some(speech) = speech.filter(Speech::has_begun) {
                    speech.finish()?;
                }
                return match result {
                    _ if come == 0 => Err(Failure::Sentence(
                        "standard input brought nothing; check the program in front of this one"
                            .into(),
                    )),
                    Err(reason) => Err(Failure::Sentence(format!("standard input {reason}"))),
                    Ok(()) => Ok(ExitCode::SUCCESS),
                };
            }
        }
    }
}

/// One recording on its way to the screen.
struct Speech<'a> {
    live: &'a Live<'a>,
    name: &'a str,
    prefix: Option<&'a Path>,
    stream: RecognizerStream,
    /// Samples so far, and words printed.
    samples: usize,
    words: usize,
}

impl<'a> Speech<'a> {
    fn new(
        live: &'a Live<'a>,
        name: &'a str,
        prefix: Option<&'a Path>,
        stream: RecognizerStream,
    ) -> Self {
        Self { live, name, prefix, stream, samples: 0, words: 0 }
    }

    fn push(&mut self, samples: &[f32]) -> Result<(), Failure> {
        self.samples += samples.len();
        let words = self.live.pool.install(|| self.stream.push(samples))?;
        self.print(&words)
    }

    fn finish(mut self) -> Result<(), Failure> {
        let words = self.live.pool.install(|| self.stream.finish())?;
        self.print(&words)?;
        if self.live.format == Format::Text {
            self.begin_line()?;
            output::text("\n")?;
        }
        Ok(())
    }

    /// Whether there was anything to hear.
    fn has_begun(&self) -> bool {
        self.samples > 0
    }

    /// The file's name before its first word, where there are several files.
    fn begin_line(&mut self) -> Result<(), Failure> {
        match self.prefix.take() {
            Some(file) => output::text(format_args!("{}: ", file.display())),
            None => Ok(()),
        }
    }

    /// Each word as soon as it is known, behind what stands there.
    fn print(&mut self, words: &[Word]) -> Result<(), Failure> {
        for word in words {
            match self.live.format {
                Format::Text => {
                    self.begin_line()?;
                    let space = if self.words > 0 { " " } else { "" };
                    output::text(format_args!("{space}{}", word.text))?;
                }
                Format::Json => output::json(&json!({
                    "audio_filepath": self.name,
                    "word": word.text,
                    "start": milliseconds(word.start),
                    "end": milliseconds(word.end),
                }))?,
            }
            self.words += 1;
        }
        Ok(())
    }
}
