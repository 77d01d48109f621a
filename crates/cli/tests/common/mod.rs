//! What the tests of the program share: a folder of their own, the program as a process, and a small
//! corpus whose letters are tones.

// Each test file uses its own part of this module.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use labyrinth::signal::{Random, write_wav};
use tempfile::TempDir;

/// Samples per second of the test recordings.
pub const RATE: u32 = 8000;
const LETTER: f64 = 0.09;
const SPACE: f64 = 0.09;

/// A folder that vanishes, in which the program runs.
pub struct Sandbox {
    folder: TempDir,
}

/// What a run of the program left behind.
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn read_text(&self, name: impl AsRef<Path>) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// The program with these arguments, not started yet.
    pub fn command<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_labyrinth"));
        command
            .args(arguments.iter().map(AsRef::as_ref))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// As [`Sandbox::run`], for what must succeed.
    pub fn run_well<S: AsRef<str>>(&self, arguments: &[S]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.status, Some(0), "{}\n{}", ran.stdout, ran.stderr);
        ran
    }

    /// Every file of the sandbox with its bytes.
    pub fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    files.insert(path, bytes);
                }
            }
        }
        files
    }

    /// The program must refuse these arguments: status 2, nothing on standard output, nothing changed
    /// on the disk, and one sentence that names what is at fault. Returns that sentence.
    pub fn refuses<S: AsRef<str>>(&self, arguments: &[S], named: &str) -> String {
        let before = self.snapshot();
        let ran = self.run(arguments);
        assert!(self.snapshot() == before, "the files changed; it said: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
        ran.is_one_sentence(named)
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Status 2 and one sentence on standard error that names what is at fault.
    pub fn is_one_sentence(&self, named: &str) -> String {
        let Self { status, stderr, .. } = self;
        assert_eq!(*status, Some(2), "{}\n{stderr}", self.stdout);
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("labyrinth: "), "{stderr}");
        assert!(stderr.contains(named), "{stderr:?} does not name {named:?}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        stderr.clone()
    }

    pub fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }
}

/// The sound of a text: a tone for each letter, silence for a space, a little noise over all.
pub fn sound_of(text: &str, seed: u64) -> Vec<f32> {
    let mut random = Random::from_key(&[seed]);
    let rate = f64::from(RATE);
    let mut samples = vec![0.0; (0.05 * rate) as usize];
    for character in text.chars() {
        if character == ' ' {
            samples.extend(vec![0.0; (SPACE * rate) as usize]);
            continue;
        }
        let number = f64::from(u32::from(character) - u32::from('a'));
        let hertz = 350.0 * 1.25_f64.powf(number) * (1.0 + 0.02 * random.normal());
        let length = (LETTER * rate) as usize;
        samples.extend((0..length).map(|index| {
            let envelope = (std::f64::consts::PI * index as f64 / length as f64).sin().powi(2);
            (0.4 * envelope * (std::f64::consts::TAU * hertz * index as f64 / rate).sin()) as f32
        }));
    }
    samples.extend(vec![0.0; (0.05 * rate) as usize]);
    for sample in &mut samples {
        *sample += (0.003 * random.normal()) as f32;
    }
    samples
}

/// A text of two or three short words of the letters a to h.
pub fn text_of(seed: u64) -> String {
    let mut random = Random::from_key(&[seed, 77]);
    let words: Vec<String> = (0..2 + random.below(2))
        .map(|_| {
            let letters = 2 + random.below(3);
            (0..letters).map(|_| char::from(b'a' + random.below(8) as u8)).collect()
        })
        .collect();
    words.join(" ")
}

/// One utterance of the tone corpus.
pub struct Tone {
    pub id: String,
    pub speaker: String,
    pub text: String,
    pub seconds: f64,
}

impl Tone {
    pub fn line(&self, folder: &str) -> String {
        let Self { id, speaker, text, seconds } = self;
        format!(
            "{{\"id\":\"{id}\",\"audio_filepath\":\"{folder}{id}.wav\",\"duration\":{seconds},\
             \"text\":\"{text}\",\"speaker\":\"{speaker}\"}}\n"
        )
    }
}

/// Writes utterances `first..first + count` as WAV files into a folder of the sandbox.
pub fn tones(sandbox: &Sandbox, folder: &str, first: u64, count: u64) -> Vec<Tone> {
    fs::create_dir_all(sandbox.path(folder)).unwrap();
    (first..first + count)
        .map(|seed| {
            let (id, text) = (format!("tone-{seed:03}"), text_of(seed));
            let samples = sound_of(&text, seed);
            write_wav(&sandbox.path(folder).join(format!("{id}.wav")), RATE, &samples).unwrap();
            let seconds = samples.len() as f64 / f64::from(RATE);
            Tone { id, speaker: format!("speaker-{}", seed % 4), text, seconds }
        })
        .collect()
}

/// A prepared corpus in `data/`: 20 utterances to train on, 6 for dev, 6 for test; and a recipe.
pub fn corpus(sandbox: &Sandbox) {
    for (set, first, count) in [("train", 0, 20), ("dev", 100, 6), ("test", 200, 6)] {
        let lines: String =
            tones(sandbox, "data", first, count).iter().map(|tone| tone.line("")).collect();
        sandbox.write(format!("data/{set}.jsonl"), lines);
    }
    sandbox.write("data/tones.toml", recipe());
}

/// A recipe small enough to train in seconds.
pub fn recipe() -> String {
    "\
[data]
train = \"train.jsonl\"
dev = \"dev.jsonl\"

[features]
kind = \"fbank\"
sample-frequency = 8000
num-mel-bins = 24

[model]
architecture = \"cnn-gru\"
projection = 48
recurrent-layers = 1
recurrent-hidden = 32
dropout = 0.1

[[model.convolutions]]
channels = 8
kernel = [3, 3]
stride = [2, 2]

[train]
seed = 3
epochs = 4
batch-size = 4
learning-rate = 5e-3
speeds = [0.9, 1.0, 1.1]
checkpoint-every = 3

[train.spec-augment]
freq-masks = 1
freq-width = 4
time-masks = 1
time-width = 6

[decode]
method = \"greedy\"
"
    .to_owned()
}

/// A run that was trained in `runs/tones` on [`corpus`], for tests that need a model.
pub fn trained(sandbox: &Sandbox) {
    corpus(sandbox);
    sandbox.run_well(&["train", "data/tones.toml", "--set", "train.epochs=1"]);
}

/// The model of [`trained`].
pub const MODEL: &str = "runs/tones/model.safetensors";
