//! A small corpus that sounds like speech and has no faults: voiced letters with formants, hissed ones,
//! pauses between words, a quiet room; other speakers and other sentences in each set.

use labyrinth_corpus::{Manifest, Utterance};
use labyrinth_signal::{Random, read_audio};
use std::f64::consts::{PI, TAU};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const RATE: f64 = 16000.0;
const LETTER: f64 = 0.07;
const PAUSE: f64 = 0.09;

const WORDS: [&str; 64] = [
    "river",
    "mountain",
    "early",
    "window",
    "silver",
    "garden",
    "harbour",
    "winter",
    "letter",
    "paper",
    "quiet",
    "yellow",
    "corner",
    "bridge",
    "market",
    "simple",
    "under",
    "along",
    "before",
    "never",
    "seven",
    "eleven",
    "morning",
    "evening",
    "father",
    "sister",
    "doctor",
    "sailor",
    "baker",
    "farmer",
    "carries",
    "brings",
    "opens",
    "closes",
    "follows",
    "remembers",
    "answers",
    "finds",
    "wants",
    "keeps",
    "slowly",
    "quickly",
    "gently",
    "often",
    "again",
    "always",
    "perhaps",
    "together",
    "behind",
    "around",
    "bread",
    "water",
    "stone",
    "flower",
    "candle",
    "basket",
    "coat",
    "ladder",
    "kettle",
    "mirror",
    "very",
    "small",
    "heavy",
    "bright",
];

/// A sentence of four to seven words.
pub fn said(key: u64) -> String {
    let mut random = Random::from_key(&[21, key]);
    let count = 4 + random.below(4);
    let words: Vec<&str> = (0..count).map(|_| WORDS[random.below(64) as usize]).collect();
    words.join(" ")
}

/// The sentence as somebody says it, at 16 kHz.
pub fn voice(key: u64, text: &str) -> Vec<f32> {
    let mut random = Random::from_key(&[22, key]);
    let pitch = 90.0 + 120.0 * random.uniform();
    let mut samples: Vec<f64> = vec![0.0; (0.12 * RATE) as usize];
    for letter in text.chars() {
        if letter == ' ' {
            samples.extend(vec![0.0; (PAUSE * RATE) as usize]);
            continue;
        }
        let length = (LETTER * RATE) as usize;
        let loudness = 0.25 * (0.6 + 0.4 * random.uniform());
        let hissed = "fsxzthkcpq".contains(letter);
        let number = f64::from(u32::from(letter) % 32);
        let formants = [300.0 + 25.0 * number, 900.0 + 60.0 * number, 2500.0 + 30.0 * number];
        for index in 0..length {
            let time = samples.len() as f64 / RATE;
            let envelope = (PI * index as f64 / length as f64).sin();
            let breath = 2.0 * random.uniform() - 1.0;
            let sound = match hissed {
                true => 0.25 * breath,
                false => {
                    0.03 * breath
                        + (1..24)
                            .map(|harmonic| {
                                let hertz = pitch * f64::from(harmonic);
                                let near = |formant: &f64| {
                                    1.0 / (1.0 + ((hertz - formant) / 120.0).powi(2))
                                };
                                formants.iter().map(near).sum::<f64>()
                                    * (TAU * hertz * time).sin()
                                    * 0.4
                            })
                            .sum::<f64>()
                }
            };
            samples.push(loudness * envelope * sound);
        }
    }
    samples.extend(vec![0.0; (0.12 * RATE) as usize]);
    let room = |x: f64, random: &mut Random| (x + 0.0015 * (2.0 * random.uniform() - 1.0)) as f32;
    samples.into_iter().map(|x| room(x, &mut random)).collect()
}

/// Three sets in a folder, not yet written: 30 utterances to train, 12 to choose by, 12 to test.
pub struct Corpus {
    home: TempDir,
    pub folder: PathBuf,
    pub sets: [Manifest; 3],
    /// What stands behind the last line of a set.
    tails: Vec<(String, Vec<u8>)>,
    written: bool,
}

impl Corpus {
    /// Without a fault.
    pub fn sound() -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("corpus");
        fs::create_dir(&folder).unwrap();
        let mut key = 0;
        let sets = [("train", 30), ("dev", 12), ("test", 12)].map(|(set, count)| {
            let utterances = (0..count).map(|index| {
                key += 1;
                let (id, text) = (format!("{set}-{index:02}"), said(key));
                let sound = voice(key, &text);
                let name = format!("{id}.wav");
                write_wav(&folder.join(&name), 16000, std::slice::from_ref(&sound));
                let mut utterance = Utterance::new(id, name, sound.len() as f64 / RATE, text);
                utterance.speaker = Some(format!("{set}-{}", ["A", "B", "C"][index % 3]));
                utterance
            });
            Manifest { path: folder.join(format!("{set}.jsonl")), utterances: utterances.collect() }
        });
        Self { home, folder, sets, tails: Vec::new(), written: false }
    }

    /// The same files in another folder.
    pub fn copy(&self) -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("corpus");
        fs::create_dir(&folder).unwrap();
        for entry in fs::read_dir(&self.folder).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
        }
        let mut sets = self.sets.clone();
        for set in &mut sets {
            set.path = folder.join(set.path.file_name().unwrap());
        }
        Self { home, folder, sets, tails: Vec::new(), written: false }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes the manifests, once.
    pub fn write(&mut self) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        for set in &self.sets {
            set.write().unwrap();
        }
        for (set, tail) in &self.tails {
            let path = self.folder.join(format!("{set}.jsonl"));
            let bytes = [&fs::read(&path).unwrap()[..], tail].concat();
            fs::write(path, bytes).unwrap();
        }
    }

    pub fn utterance(&mut self, id: &str) -> &mut Utterance {
        let mut all = self.sets.iter_mut().flat_map(|set| &mut set.utterances);
        all.find(|utterance| utterance.id == id).unwrap()
    }

    pub fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.wav"))
    }

    pub fn samples(&self, id: &str) -> Vec<f32> {
        read_audio(&self.file(id), None).unwrap().channels.remove(0)
    }

    pub fn seconds(&self, id: &str) -> f64 {
        read_audio(&self.file(id), None).unwrap().duration()
    }

    /// Puts other sound in the place of a recording.
    pub fn record(&self, id: &str, rate: u32, channels: &[Vec<f32>]) {
        write_wav(&self.file(id), rate, channels);
    }

    /// As 32-bit floating point.
    pub fn record_float(&self, id: &str, samples: &[f32]) {
        let data: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
        fs::write(self.file(id), wav(16000, 1, 3, 32, &data)).unwrap();
    }

    /// Gives an utterance a label track.
    pub fn label(&mut self, id: &str, name: &str, content: &str) {
        fs::write(self.folder.join(name), content).unwrap();
        self.utterance(id).labels = Some(name.to_owned());
    }

    /// Puts bytes behind the last line of a set.
    pub fn append(&mut self, set: &str, bytes: &[u8]) {
        self.tails.push((set.to_owned(), bytes.to_vec()));
    }
}

/// 16 bits, any number of channels.
fn write_wav(path: &Path, rate: u32, channels: &[Vec<f32>]) {
    let mut data = Vec::new();
    for index in 0..channels[0].len() {
        for channel in channels {
            data.extend(((channel[index] * 32768.0).round() as i16).to_le_bytes());
        }
    }
    fs::write(path, wav(rate, channels.len() as u16, 1, 16, &data)).unwrap();
}

fn wav(rate: u32, channels: u16, format: u16, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + data.len() as u32).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0");
    bytes.extend(format.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * u32::from(block)).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}
