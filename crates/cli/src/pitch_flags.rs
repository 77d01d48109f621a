//! Options of pitch on the command line, and the pitch of one recording.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use labyrinth_signal::{
    FeatureOptions, PitchError, PitchExtractor, PitchOptions, PitchProcessor, ProcessPitchOptions,
};

use crate::config_file::with_config;
use crate::failure::Failure;
use crate::sound::Sound;

/// Rows by which pitch and features may differ in number, as in Kaldi's `paste-feats`.
const LENGTH_TOLERANCE: usize = 2;

/// What is done with pitch.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PitchUse {
    /// Puts voicing, normalised log pitch and its slope behind each frame.
    Append,
    /// Writes these three alone.
    Only,
    /// Writes the correlation and the pitch in Hz alone.
    Raw,
}

/// Pitch on the command line.
#[derive(Args)]
pub struct PitchFlags {
    /// Kaldi's pitch: behind each frame, alone, or raw; the first where no word is given.
    #[arg(long, value_enum, value_name = "USE", num_args = 0..=1, require_equals = true,
          default_missing_value = "append")]
    pitch: Option<PitchUse>,
    /// A file of flags of Kaldi's compute-kaldi-pitch-feats.
    #[arg(long, value_name = "FILE", requires = "pitch")]
    pitch_config: Option<PathBuf>,
    /// A file of flags of Kaldi's process-kaldi-pitch-feats.
    #[arg(long, value_name = "FILE", requires = "pitch")]
    pitch_postprocess_config: Option<PathBuf>,
}

impl PitchFlags {
    /// The pitch that is asked for, over the frames of `features`; `None` where none is.
    pub fn pitch(&self, features: &FeatureOptions) -> Result<Option<Pitch>, Failure> {
        let Some(use_of) = self.pitch else { return Ok(None) };
        let base = PitchOptions {
            sample_frequency: features.sample_frequency,
            frame_length: features.frame_length,
            frame_shift: features.frame_shift,
            snip_edges: features.snip_edges,
            ..PitchOptions::default()
        };
        let options: PitchOptions = with_config(&base, self.pitch_config.as_deref())?;
        if options.sample_frequency != features.sample_frequency {
            return Err(Failure::Sentence(format!(
                "pitch is to be computed at {} Hz and the features at {} Hz; give both the same \
                 sample-frequency",
                options.sample_frequency, features.sample_frequency
            )));
        }
        let process =
            with_config(&ProcessPitchOptions::default(), self.pitch_postprocess_config.as_deref())?;
        let extractor = PitchExtractor::new(&options)?;
        let processor = PitchProcessor::new(&process, "")?;
        Ok(Some(Pitch { use_of, extractor, processor, raw: Vec::new() }))
    }
}

/// Computes the pitch of recordings.
#[derive(Clone)]
pub struct Pitch {
    use_of: PitchUse,
    extractor: PitchExtractor,
    processor: PitchProcessor,
    raw: Vec<f32>,
}

impl Pitch {
    /// Whether the other features are wanted too.
    pub fn needs_features(&self) -> bool {
        self.use_of == PitchUse::Append
    }

    /// Whether it can be computed in a stream.
    pub fn check_causal(&self) -> Result<(), Failure> {
        match self.extractor.options().is_causal() {
            true => Ok(()),
            false => Err(Failure::Sentence(format!("--pitch: {}", PitchError::NotCausal))),
        }
    }

    /// Frames that have to follow a frame before its row is given.
    pub fn latency_frames(&self) -> usize {
        let processed = match self.use_of {
            PitchUse::Raw => 0,
            PitchUse::Append | PitchUse::Only => self.processor.latency_frames(),
        };
        self.extractor.latency_frames() + processed
    }

    /// What is written for a recording with `features` `[frames, dim]`: the rows and numbers in each.
    ///
    /// # Errors
    /// In words, completing a sentence about the recording.
    pub fn rows(
        &mut self,
        id: &str,
        sound: &Sound,
        features: &[f32],
        dim: usize,
    ) -> Result<(Vec<f32>, usize), String> {
        let raw_only = self.use_of == PitchUse::Raw;
        let mut processed = Vec::new(); // [frames, own]
        self.track(id, sound, (!raw_only).then_some(&mut processed)).map_err(|e| e.to_string())?;
        if raw_only {
            return Ok((self.raw.clone(), PitchExtractor::DIM));
        }
        let own = self.processor.dim();
        if self.use_of == PitchUse::Only {
            return Ok((processed, own));
        }
        let (ours, theirs) = (processed.len() / own, features.len() / dim);
        if ours.abs_diff(theirs) > LENGTH_TOLERANCE {
            return Err(format!(
                "has {theirs} frames of features and {ours} of pitch; give both the same frame-shift \
                 and snip-edges"
            ));
        }
        let pairs = features.chunks_exact(dim).zip(processed.chunks_exact(own));
        let rows = pairs.flat_map(|(features, pitch)| features.iter().chain(pitch)).copied();
        Ok((rows.collect(), dim + own))
    }
    /// Fills `raw`, `[frames, 2]`, and what comes of it if wanted; a stream piece by piece.
    fn track(
        &mut self,
        id: &str,
        sound: &Sound,
        mut processed: Option<&mut Vec<f32>>,
    ) -> Result<(), PitchError> {
        let Self { extractor, processor, raw, .. } = self;
        raw.clear();
        if let Sound::Whole(samples) = sound {
            extractor.compute(samples, raw)?;
            if let Some(out) = processed {
                processor.compute(id, raw, out);
            }
            return Ok(());
        }
        extractor.reset();
        processor.reset(id);
        for piece in sound.pieces() {
            let before = raw.len();
            extractor.push(piece, raw)?;
            if let Some(out) = &mut processed {
                processor.push(&raw[before..], out);
            }
        }
        let before = raw.len();
        extractor.finish(raw)?;
        if let Some(out) = processed {
            processor.push(&raw[before..], out);
            processor.finish(out);
        }
        Ok(())
    }
}
