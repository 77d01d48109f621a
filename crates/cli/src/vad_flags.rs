//! Voice activity on the command line, and which frames of one recording hold speech.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use labyrinth_signal::{
    EnergyVad, EnergyVadOptions, FeatureExtractor, FeatureOptions, ModelVad, VadError,
    VoiceActivity,
};

use crate::config_file::with_config;
use crate::failure::Failure;
use crate::sound::Sound;

/// Who decides.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VadMethod {
    /// Kaldi's compute-vad: what is louder than a line drawn by the mean over the recording.
    Energy,
    /// A small neural network, which needs nothing of what follows.
    Model,
}

/// Voice activity on the command line.
#[derive(Args)]
pub struct VadFlags {
    /// Leaves out frames without speech, by Kaldi's energy rule or a small neural network.
    #[arg(long, value_enum, value_name = "METHOD")]
    vad: Option<VadMethod>,
    /// Writes for each frame 1 (speech) or 0 in place of its features, as Kaldi's compute-vad does.
    #[arg(long, requires = "vad", conflicts_with_all = ["pitch", "subtract_mean"])]
    vad_only: bool,
    /// A file of flags of Kaldi's compute-vad, for the energy rule.
    #[arg(long, value_name = "FILE", requires = "vad")]
    vad_config: Option<PathBuf>,
}

impl VadFlags {
    /// Whether decisions are written, not features.
    pub fn alone(&self) -> bool {
        self.vad_only
    }

    /// The options of features that matter for the decision alone.
    pub fn matter(&self) -> &'static [&'static str] {
        match self.vad {
            Some(VadMethod::Energy) => &["raw-energy", "energy-floor"],
            Some(VadMethod::Model) | None => &[],
        }
    }

    /// The detector that is asked for, over the frames of `features`; `None` where none is.
    pub fn vad(&self, features: &FeatureOptions) -> Result<Option<Vad>, Failure> {
        let Some(method) = self.vad else { return Ok(None) };
        if method == VadMethod::Model && self.vad_config.is_some() {
            return Err(Failure::Sentence(
                "--vad-config is for Kaldi's rule; leave it out, or decide by --vad energy".into(),
            ));
        }
        let energy = with_config(&EnergyVadOptions::default(), self.vad_config.as_deref())?;
        let detector = match method {
            VadMethod::Energy => Detector::Energy(Box::new(EnergyVad::new(&energy, features)?)),
            VadMethod::Model => Detector::Model,
        };
        Ok(Some(Vad { detector, only: self.vad_only }))
    }
}

/// How a detector is made for each thread.
#[derive(Clone)]
enum Detector {
    Energy(Box<EnergyVad>),
    Model,
}

/// Decides which frames of recordings hold speech.
#[derive(Clone)]
pub struct Vad {
    detector: Detector,
    /// Whether nothing else is wanted.
    pub only: bool,
}

impl Vad {
    fn detector(&self) -> Box<dyn VoiceActivity> {
        match &self.detector {
            Detector::Energy(rule) => rule.clone(),
            Detector::Model => Box::new(ModelVad::default()),
        }
    }

    /// Whether it can decide in a stream.
    pub fn check_causal(&self) -> Result<(), Failure> {
        match self.detector().is_causal() {
            true => Ok(()),
            false => Err(Failure::Sentence(format!(
                "--vad energy: {} (--vad model)",
                VadError::NotCausal
            ))),
        }
    }

    /// Frames of `extractor` that have to follow a frame before it is decided.
    pub fn latency_frames(&self, extractor: &FeatureExtractor) -> usize {
        let detector = self.detector();
        let seconds = detector.shift_samples() as f64 / f64::from(detector.sample_rate());
        let shift = extractor.shift_samples() as f64 / f64::from(extractor.sample_rate());
        (seconds / shift).ceil() as usize
    }

    /// For each of `frames` frames of `extractor` whether it holds speech. A detector with frames of its
    /// own is asked about the one in which the frame's middle lies.
    ///
    /// # Errors
    /// In words, completing a sentence about the recording.
    pub fn decide(
        &self,
        samples: &[f32],
        rate: u32,
        piece: Option<usize>,
        extractor: &FeatureExtractor,
        frames: usize,
    ) -> Result<Vec<bool>, String> {
        let mut detector = self.detector();
        let sound = Sound::new(samples, rate, detector.sample_rate(), piece);
        let mut decided = Vec::new();
        detect(detector.as_mut(), &sound, &mut decided).map_err(|error| error.to_string())?;
        if matches!(self.detector, Detector::Energy(_)) {
            return Ok(decided); // its frames are those of the features
        }
        let ratio = f64::from(detector.sample_rate()) / f64::from(extractor.sample_rate());
        let shift = detector.shift_samples() as f64;
        let last = decided.len().saturating_sub(1);
        let place = |frame| (extractor.middle_sample(frame) as f64 * ratio / shift) as usize;
        // A float below 0 becomes 0.
        let voiced = |frame| decided.get(place(frame).min(last)).copied().unwrap_or(false);
        Ok((0..frames).map(voiced).collect())
    }
}

fn detect(
    detector: &mut dyn VoiceActivity,
    sound: &Sound,
    out: &mut Vec<bool>,
) -> Result<(), VadError> {
    if let Sound::Whole(samples) = sound {
        return detector.detect(samples, out);
    }
    detector.reset();
    for piece in sound.pieces() {
        detector.push(piece, out)?;
    }
    detector.finish(out)
}
