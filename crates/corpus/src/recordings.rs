//! Recordings that training mixes into speech: noises, and the impulse responses of rooms.
//!
//! A manifest, or a folder with audio at any depth. All are read once when a training begins: one that
//! cannot be used ends it there, with its name, rather than after a night; and their digest goes into the
//! checkpoints, since a run that goes on with other noises is another run. What is kept is the list;
//! the sound is read again for each use, of a long recording only the part that is asked for (formats
//! other than WAV, SPHERE and headerless are decoded whole for it).

use crate::clip::{ClipFault, read_clip};
use crate::manifest::{Manifest, ManifestError, Utterance, hexadecimal};
use crate::parallel::try_map;
use crate::prepare::PrepareError;
use crate::prepare::folder::{AUDIO_EXTENSIONS, FOREIGN_EXTENSIONS};
use crate::prepare::paths::{extension, files_under};
use labyrinth_signal::{Audio, Random};
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};

/// Recordings to draw from.
#[derive(Clone, Debug)]
pub struct Recordings {
    manifest: Manifest,
    digest: String,
}

/// Why recordings cannot be drawn from.
#[derive(Debug, thiserror::Error)]
pub enum RecordingsError {
    /// There is neither file nor folder.
    #[error("there is no {}; name a manifest or a folder of recordings that exists", path.display())]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// Not one recording.
    #[error("{} holds no recordings; name a manifest or a folder that does", path.display())]
    Empty {
        /// What was named.
        path: PathBuf,
    },
    /// One of them cannot be used.
    #[error("the recording {detail}; correct it, or take it out of {}", path.display())]
    Unusable {
        /// What was named.
        path: PathBuf,
        /// Which, and why.
        detail: String,
    },
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] PrepareError),
    /// The disk failed.
    #[error("{} cannot be read ({source}); this is the disk's failure, see to it", path.display())]
    Disk {
        /// The file that was being read.
        path: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

/// A part of a recording.
pub(crate) struct Section {
    /// As it was read.
    pub(crate) audio: Audio,
    /// Where in it to begin, as a share, going round at its end; `None` where it is long enough.
    pub(crate) begin: Option<f64>,
}

/// Seconds read beyond what is asked for, so that the rounding of rates leaves no gap.
const MARGIN: f64 = 0.02;

impl Recordings {
    /// Reads every recording of a manifest (`.jsonl`) or under a folder.
    ///
    /// # Errors
    /// [`RecordingsError`] names the first that cannot be used: unreadable, in a format not known here,
    /// or silent.
    pub fn open(path: &Path) -> Result<Self, RecordingsError> {
        let mut manifest = match path {
            path if path.is_dir() => list(path)?,
            path if !path.exists() => return Err(RecordingsError::Missing { path: path.into() }),
            path => Manifest::read(path)?,
        };
        if manifest.utterances.is_empty() {
            return Err(RecordingsError::Empty { path: path.into() });
        }
        let unusable = |detail| RecordingsError::Unusable { path: path.into(), detail };
        let listen = |utterance: &Utterance| {
            let audio = read_clip(manifest.folder(), utterance).map_err(|fault| match fault {
                ClipFault::Refused { detail, .. } => unusable(detail),
                ClipFault::Disk { path, source } => RecordingsError::Disk { path, source },
            })?;
            if audio.channels.iter().flatten().all(|sample| *sample == 0.0) {
                let file = manifest.audio_path(utterance);
                return Err(unusable(format!("{} is silent", file.display())));
            }
            let mut hasher = Sha256::new();
            hasher.update(audio.sample_rate.to_le_bytes());
            for channel in &audio.channels {
                hasher.update((channel.len() as u64).to_le_bytes());
                channel.iter().for_each(|sample| hasher.update(sample.to_le_bytes()));
            }
            Ok((audio.duration(), hasher.finalize()))
        };
        let heard = try_map(&manifest.utterances, listen, &|_, _| {})?;
        let mut hasher = Sha256::new();
        for (utterance, (duration, digest)) in manifest.utterances.iter_mut().zip(heard) {
            // As it is, not as the manifest says: a place is drawn within it.
            utterance.duration = duration;
            hasher.update(digest);
        }
        Ok(Self { manifest, digest: hexadecimal(&hasher.finalize()) })
    }

    /// SHA-256 over the samples of all, in the list's order.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// How many there are; never none.
    pub fn len(&self) -> usize {
        self.manifest.utterances.len()
    }

    /// Whether there are none, which [`Recordings::open`] refuses.
    pub fn is_empty(&self) -> bool {
        self.manifest.utterances.is_empty()
    }

    /// A random recording from its beginning, at most `seconds` of it.
    pub(crate) fn draw(&self, seconds: f64, random: &mut Random) -> Result<Audio, ClipFault> {
        let utterance = self.draw_one(random);
        match utterance.duration > seconds {
            true => self.read_from(utterance, 0.0, seconds),
            false => read_clip(self.manifest.folder(), utterance),
        }
    }

    /// `seconds` of a random recording from a random place on, or all of it where it is shorter.
    pub(crate) fn draw_section(
        &self,
        seconds: f64,
        random: &mut Random,
    ) -> Result<Section, ClipFault> {
        let utterance = self.draw_one(random);
        let share = random.uniform();
        let spare = utterance.duration - (seconds + MARGIN);
        if spare > 0.0 {
            let audio = self.read_from(utterance, share * spare, seconds + MARGIN)?;
            return Ok(Section { audio, begin: None });
        }
        Ok(Section { audio: read_clip(self.manifest.folder(), utterance)?, begin: Some(share) })
    }

    fn draw_one(&self, random: &mut Random) -> &Utterance {
        &self.manifest.utterances[random.below(self.len() as u64) as usize]
    }

    fn read_from(&self, of: &Utterance, place: f64, seconds: f64) -> Result<Audio, ClipFault> {
        let offset = Some(of.offset.unwrap_or(0.0) + place);
        read_clip(self.manifest.folder(), &Utterance { offset, duration: seconds, ..of.clone() })
    }
}

/// The audio under a folder as a manifest in it.
fn list(folder: &Path) -> Result<Manifest, RecordingsError> {
    let mut utterances = Vec::new();
    for file in files_under(folder)? {
        let end = extension(&file);
        let foreign = FOREIGN_EXTENSIONS.contains(&end.as_str());
        let name = file.strip_prefix(folder).unwrap_or(&file).to_str();
        match name {
            _ if !foreign && !AUDIO_EXTENSIONS.contains(&end.as_str()) => {}
            Some(name) if !foreign => {
                // The name on this machine; the duration is found when it is heard.
                utterances.push(Utterance::new(name, name, 0.0, ""));
            }
            _ => {
                let reason = if foreign {
                    "is in a format that is not read here, or headerless"
                } else {
                    "has a name that is not UTF-8"
                };
                let detail = format!("{} {reason}", file.display());
                return Err(RecordingsError::Unusable { path: folder.into(), detail });
            }
        }
    }
    Ok(Manifest { path: folder.join("recordings.jsonl"), utterances })
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_signal::write_wav;

    /// Sample n of the file is n / 32768, so that a sample tells where it was.
    fn ramp(folder: &Path, name: &str, samples: u16) -> PathBuf {
        let path = folder.join(name);
        let ramp: Vec<f32> = (0..samples).map(|n| f32::from(n) / 32768.0).collect();
        write_wav(&path, 8000, &ramp).unwrap();
        path
    }

    #[test]
    fn a_folder_and_a_manifest_give_the_same() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        ramp(folder.path(), "a.wav", 8000);
        ramp(folder.path(), "deep/b.wav", 500);
        std::fs::write(folder.path().join("README"), "of no matter").unwrap();
        let from_folder = Recordings::open(folder.path()).unwrap();
        assert_eq!(from_folder.len(), 2);
        let manifest = folder.path().join("noise.jsonl");
        let lines = "{\"audio_filepath\": \"a.wav\", \"duration\": 1.0, \"text\": \"\"}\n\
                     {\"audio_filepath\": \"deep/b.wav\", \"duration\": 9.0, \"text\": \"\"}\n";
        std::fs::write(&manifest, lines).unwrap();
        let from_manifest = Recordings::open(&manifest).unwrap();
        assert_eq!(from_folder.digest(), from_manifest.digest());
        assert_eq!(from_manifest.manifest.utterances[1].duration, 0.0625);
        ramp(folder.path(), "a.wav", 7999);
        assert_ne!(Recordings::open(&manifest).unwrap().digest(), from_manifest.digest());
    }

    #[test]
    fn places_are_drawn_all_over_a_recording() {
        let folder = tempfile::tempdir().unwrap();
        ramp(folder.path(), "a.wav", 8000);
        let recordings = Recordings::open(folder.path()).unwrap();
        let mut firsts = Vec::new();
        for seed in 0..300 {
            let section = recordings.draw_section(0.2, &mut Random::from_key(&[seed])).unwrap();
            assert!(section.begin.is_none());
            let samples = &section.audio.channels[0];
            assert!(samples.len() >= 1600, "{}", samples.len());
            firsts.push(samples[0] * 32768.0);
        }
        let (least, most) =
            firsts.iter().fold((f32::MAX, 0f32), |(a, b), v| (a.min(*v), b.max(*v)));
        // 8000 samples, of which 1760 are read.
        assert!(least < 200.0 && (6040.0..=6240.0).contains(&most), "{least} {most}");
        let whole = recordings.draw_section(2.0, &mut Random::from_key(&[1])).unwrap();
        assert_eq!(whole.audio.samples(), 8000);
        assert!(whole.begin.is_some_and(|begin| (0.0..1.0).contains(&begin)));
        let beginning = recordings.draw(0.1, &mut Random::from_key(&[1])).unwrap();
        assert_eq!((beginning.samples(), beginning.channels[0][1]), (800, 1.0 / 32768.0));
    }

    #[test]
    fn what_cannot_be_used_is_named_before_training() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Recordings::open(folder.path()).unwrap_err().to_string();
        assert!(open().contains("no recordings"));
        ramp(folder.path(), "good.wav", 100);
        std::fs::write(folder.path().join("text.wav"), "hello there, this is text").unwrap();
        let sentence = open();
        assert!(sentence.contains("text.wav") && sentence.contains("take it out"), "{sentence}");
        write_wav(&folder.path().join("text.wav"), 8000, &[0.0; 50]).unwrap();
        assert!(open().contains("silent"));
        std::fs::rename(folder.path().join("text.wav"), folder.path().join("x.aiff")).unwrap();
        assert!(open().contains("x.aiff"));
        let gone = Recordings::open(&folder.path().join("gone")).unwrap_err();
        assert!(matches!(gone, RecordingsError::Missing { .. }), "{gone}");
    }
}
