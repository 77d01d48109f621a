//! Options of pitch on the command line, and the pitch of one recording.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use labyrinth_signal::{
    FeatureOptions, PitchExtractor, PitchOptions, PitchProcessor, ProcessPitchOptions,
};
use labyrinth_text::plain_words::in_plain_words;
use serde::de::DeserializeOwned;
use toml::Table;

use crate::failure::Failure;
use crate::feature_flags::{internal, read_config};

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
        let options: PitchOptions = changed(&base, self.pitch_config.as_deref())?;
        if options.sample_frequency != features.sample_frequency {
            return Err(Failure::Sentence(format!(
                "pitch is to be computed at {} Hz and the features at {} Hz; give both the same \
                 sample-frequency",
                options.sample_frequency, features.sample_frequency
            )));
        }
        let process =
            changed(&ProcessPitchOptions::default(), self.pitch_postprocess_config.as_deref())?;
        let extractor = PitchExtractor::new(&options)?;
        let processor = PitchProcessor::new(&process, "")?;
        Ok(Some(Pitch { use_of, extractor, processor, raw: Vec::new() }))
    }
}

/// Options with a file of flags over them.
fn changed<T: serde::Serialize + DeserializeOwned>(
    base: &T,
    config: Option<&Path>,
) -> Result<T, Failure> {
    let mut table = Table::try_from(base).map_err(internal)?;
    if let Some(path) = config {
        table.extend(read_config(path)?);
    }
    let name = config.map_or_else(String::new, |path| path.display().to_string());
    T::deserialize(table)
        .map_err(|error| Failure::Sentence(format!("{name}: {}", in_plain_words(error.message()))))
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

    /// What is written for a recording with `features` `[frames, dim]`: the rows and numbers in each.
    ///
    /// # Errors
    /// In words, completing a sentence about the recording.
    pub fn rows(
        &mut self,
        id: &str,
        samples: &[f32],
        features: &[f32],
        dim: usize,
    ) -> Result<(Vec<f32>, usize), String> {
        self.raw.clear();
        self.extractor.compute(samples, &mut self.raw).map_err(|error| error.to_string())?;
        if self.use_of == PitchUse::Raw {
            return Ok((self.raw.clone(), PitchExtractor::DIM));
        }
        let mut processed = Vec::new(); // [frames, own]
        self.processor.compute(id, &self.raw, &mut processed);
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
}
