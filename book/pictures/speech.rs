//! The recordings that the pictures show, and the model that hears them.

use labyrinth::corpus::Manifest;
use labyrinth::decode::Recognizer;
use labyrinth::kernels::Cpu;
use labyrinth::signal::{FeatureExtractor, FeatureOptions, read_audio};
use std::path::Path;

/// AN4's test set, and a model if one was named.
pub struct Speech {
    manifest: Manifest,
    model: Option<std::path::PathBuf>,
}

/// One recording: what was said, samples in [-1, 1), and their rate.
pub struct Recording {
    pub text: String,
    pub samples: Vec<f32>,
    pub rate: u32,
}

impl Speech {
    pub fn open(manifest: &Path, model: Option<&Path>) -> Result<Self, String> {
        let manifest = Manifest::read(manifest).map_err(|e| e.to_string())?;
        Ok(Self { manifest, model: model.map(Path::to_path_buf) })
    }

    /// The recording with this id.
    pub fn recording(&self, id: &str) -> Result<Recording, String> {
        let utterance =
            self.manifest.utterances.iter().find(|utterance| utterance.id == id).ok_or_else(
                || format!("no {id} in the manifest: the pictures want AN4's test set"),
            )?;
        let audio =
            read_audio(&self.manifest.audio_path(utterance), None).map_err(|e| e.to_string())?;
        let rate = audio.sample_rate;
        Ok(Recording { text: utterance.text.clone(), samples: audio.mono(), rate })
    }

    /// The file of `--model`; none without it.
    pub fn model(&self) -> Option<&Path> {
        self.model.as_deref()
    }

    /// The recogniser of `--model`; none without it.
    pub fn recognizer(&self) -> Result<Option<Recognizer>, String> {
        let Some(model) = &self.model else { return Ok(None) };
        Recognizer::open(model, Cpu::detect()).map(Some).map_err(|e| e.to_string())
    }

    /// AN4's test set.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl Recording {
    /// Features `[frames, dim]` of the whole recording, and `dim`.
    pub fn features(&self, options: &FeatureOptions) -> Result<(Vec<f32>, usize), String> {
        let mut extractor = FeatureExtractor::new(options).map_err(|e| e.to_string())?;
        let mut rows = Vec::new();
        extractor.compute(&self.samples, &mut rows);
        Ok((rows, extractor.dim()))
    }
}
