//! What features are computed of: files, the utterances of manifests, the recordings of Kaldi's lists.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use labyrinth_corpus::clip::{ClipFault, read_clip, read_file};
use labyrinth_corpus::{Manifest, Reason, Refusal, Utterance};
use labyrinth_signal::{Audio, RawFormat};

use crate::failure::Failure;

/// One recording, or a part of one.
pub struct Recording {
    /// What its features are called: a file's name without its ending, the id of a manifest or list.
    pub id: String,
    /// Whether the user named it on the command line.
    pub named: bool,
    /// Why it cannot be used, where its line in a list tells already.
    fault: Option<String>,
    /// The file, where the user or a list named one: its name need not be UTF-8.
    file: Option<PathBuf>,
    /// The manifest that it comes from, as an index (0 for a file), and its utterance.
    manifest: usize,
    utterance: Utterance,
}

impl Recording {
    /// A refusal of this recording.
    pub fn refuse(&self, code: Reason, reason: impl std::fmt::Display) -> Refusal {
        let file = &self.utterance.audio_filepath;
        Refusal::new(&self.id, code, format!("`{file}`: {reason}"))
    }

    /// The refusal of a recording without a frame.
    pub fn too_short(&self, seconds: f64, frame_length: f32) -> Refusal {
        let detail = format!(
            "`{}` lasts {seconds:.3} s and has no whole frame of {frame_length} ms; shorten \
             frame-length or leave it out",
            self.utterance.audio_filepath
        );
        Refusal::new(&self.id, Reason::ShorterThanAFrame, detail)
    }
}

/// Everything that was named on the command line.
pub struct Inputs {
    /// In the order of the command line, ids unique.
    pub recordings: Vec<Recording>,
    manifests: Vec<Manifest>,
    /// Manifests and lists that were named.
    lists: Vec<PathBuf>,
    raw: Option<RawFormat>,
}

impl Inputs {
    /// Reads manifests and lists; recordings are looked at later.
    pub fn read(paths: &[PathBuf], raw: Option<RawFormat>) -> Result<Self, Failure> {
        let mut inputs =
            Self { recordings: Vec::new(), manifests: Vec::new(), lists: Vec::new(), raw };
        for path in paths {
            let ending = path.extension().and_then(|ending| ending.to_str());
            match ending {
                Some("jsonl" | "json") => inputs.add_manifest(path)?,
                Some("scp") => inputs.add_list(path)?,
                _ => {
                    inputs.add_file(path);
                    continue;
                }
            }
            inputs.lists.push(path.clone());
        }
        let mut first: HashMap<&str, &str> = HashMap::new();
        for Recording { id, utterance, .. } in &inputs.recordings {
            if let Some(other) = first.insert(id, &utterance.audio_filepath) {
                if other == utterance.audio_filepath {
                    return Err(Failure::Sentence(format!(
                        "{id:?} (`{other}`) is named twice; name it once"
                    )));
                }
                return Err(Failure::Sentence(format!(
                    "`{other}` and `{}` would both be called {id:?}; compute one of them in a command \
                     of its own, or rename it",
                    utterance.audio_filepath
                )));
            }
        }
        Ok(inputs)
    }

    fn add_file(&mut self, path: &Path) {
        let name = path.file_stem().unwrap_or(path.as_os_str());
        // Ids stand in archives, where blanks separate.
        let id = name.to_string_lossy().replace(char::is_whitespace, "_");
        let utterance = Utterance::new(&id, path.to_string_lossy(), 0.0, "");
        let (fault, file) = (None, Some(path.to_owned()));
        self.recordings.push(Recording { id, named: true, fault, file, manifest: 0, utterance });
    }

    fn add_manifest(&mut self, path: &Path) -> Result<(), Failure> {
        let mut manifest = Manifest::read(path)?;
        let number = self.manifests.len();
        for utterance in std::mem::take(&mut manifest.utterances) {
            let id = utterance.id.clone();
            self.recordings.push(Recording {
                id,
                named: false,
                fault: None,
                file: None,
                manifest: number,
                utterance,
            });
        }
        self.manifests.push(manifest);
        Ok(())
    }

    /// Reads Kaldi's `wav.scp`: an id and a path a line, paths relative to where the user stands, as
    /// Kaldi's programs take them. Commands are not run.
    fn add_list(&mut self, path: &Path) -> Result<(), Failure> {
        let text = std::fs::read_to_string(path).map_err(Failure::read(path))?;
        let text = text.trim_start_matches('\u{feff}');
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (id, file) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let file = file.trim();
            let refused =
                |reason: &str| Some(format!("{}, line {}: {reason}", path.display(), index + 1));
            let fault = if file.is_empty() {
                refused("there is an id and no file behind it; complete or remove the line")
            } else if file.ends_with('|') || file.starts_with('|') {
                refused(
                    "a command in place of a file is never run; run it yourself and list the files that \
                     it writes",
                )
            } else {
                None
            };
            let utterance = Utterance::new(id, file, 0.0, "");
            self.recordings.push(Recording {
                id: id.to_owned(),
                named: false,
                fault,
                file: Some(file.into()),
                manifest: 0,
                utterance,
            });
        }
        Ok(())
    }

    /// Whether writing this file would destroy an input.
    pub fn contain(&self, output: &Path) -> bool {
        // What is not there yet cannot be an input.
        let Ok(output) = output.canonicalize() else { return false };
        let same = |path: &Path| path.canonicalize().is_ok_and(|path| path == output);
        self.lists.iter().any(|list| same(list))
            || self.recordings.iter().any(|recording| same(&self.path(recording)))
    }

    /// Where a recording lies.
    fn path(&self, recording: &Recording) -> PathBuf {
        match &recording.file {
            Some(file) => file.clone(),
            None => self.manifests[recording.manifest].audio_path(&recording.utterance),
        }
    }

    /// The sound of a recording, or why there is none.
    ///
    /// # Errors
    /// [`Failure`] where the disk fails.
    pub fn audio(&self, recording: &Recording) -> Result<Result<Audio, Refusal>, Failure> {
        if let Some(fault) = &recording.fault {
            return Ok(Err(Refusal::new(&recording.id, Reason::NotAFile, fault)));
        }
        let read = match &recording.file {
            Some(file) => read_file(file, self.raw.as_ref()),
            None => read_clip(self.manifests[recording.manifest].folder(), &recording.utterance),
        };
        match read {
            Ok(audio) => Ok(Ok(audio)),
            Err(ClipFault::Refused { reason, detail }) => {
                Ok(Err(Refusal::new(&recording.id, reason, detail)))
            }
            Err(ClipFault::Disk { path, source }) => Err(Failure::Read { path, source }),
        }
    }
}
