//! What is computed of one recording: its channel, its warp, its frames, its pitch.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use labyrinth_corpus::{Reason, Refusal};
use labyrinth_signal::{Array, Audio, FeatureExtractor, FeatureOptions, resample};

use super::input::{Inputs, Recording};
use crate::failure::Failure;
use crate::pitch_flags::Pitch;

/// Kaldi's flags about recordings, not frames.
#[derive(Args)]
#[command(next_help_heading = "Kaldi's flags")]
pub struct RecordingFlags {
    /// Takes this channel, from 0, not the mean of all.
    #[arg(long, hide_short_help = true, value_name = "N")]
    channel: Option<usize>,
    /// Refuses recordings that are shorter than so many seconds.
    #[arg(long, hide_short_help = true, value_name = "SECONDS", default_value_t = 0.0)]
    min_duration: f64,
    /// Subtracts from each number its mean over the recording.
    #[arg(long, hide_short_help = true)]
    subtract_mean: bool,
    /// Warps the filters by a factor for each utterance, or speaker with --utt2spk: lines of a name and
    /// a factor.
    #[arg(long, hide_short_help = true, value_name = "FILE")]
    vtln_map: Option<PathBuf>,
    /// Who speaks each utterance: lines of an utterance and a speaker.
    #[arg(long, hide_short_help = true, value_name = "FILE", requires = "vtln_map")]
    utt2spk: Option<PathBuf>,
}

/// What a thread computes with.
#[derive(Clone)]
pub struct Worker {
    extractor: FeatureExtractor,
    pitch: Option<Pitch>,
    channel: Option<usize>,
    min_duration: f64,
    subtract_mean: bool,
    /// The factor of each utterance or speaker, and who speaks.
    warps: Option<Arc<HashMap<String, f32>>>,
    speakers: Option<Arc<HashMap<String, String>>>,
}

/// Features of one recording and its seconds, or why there are none.
type Computed = Result<(Array, f64), Refusal>;

impl Worker {
    /// Prepares the computation.
    pub fn new(
        options: &FeatureOptions,
        flags: &RecordingFlags,
        pitch: Option<Pitch>,
    ) -> Result<Self, Failure> {
        let warps = flags.vtln_map.as_deref().map(|path| {
            let factor = |word: &str| word.parse::<f32>().ok();
            read_map(path, "a name and a factor, such as `anna 1.04`", factor)
        });
        let speakers = flags
            .utt2spk
            .as_deref()
            .map(|path| read_map(path, "an utterance and a speaker", |word| Some(word.to_owned())));
        let (warps, speakers) = (warps.transpose()?, speakers.transpose()?);
        // A factor that cannot be is refused before anything is computed.
        for &vtln_warp in warps.iter().flat_map(HashMap::values) {
            FeatureExtractor::new(&FeatureOptions { vtln_warp, ..options.clone() })?;
        }
        Ok(Self {
            extractor: FeatureExtractor::new(options)?,
            pitch,
            channel: flags.channel,
            min_duration: flags.min_duration,
            subtract_mean: flags.subtract_mean,
            warps: warps.map(Arc::new),
            speakers: speakers.map(Arc::new),
        })
    }

    /// Computes the features of one recording.
    ///
    /// # Errors
    /// [`Failure`] where the disk fails.
    pub fn compute(&mut self, inputs: &Inputs, recording: &Recording) -> Result<Computed, Failure> {
        Ok(match inputs.audio(recording)? {
            Ok(audio) => {
                self.compute_audio(recording, &audio)?.map(|features| (features, audio.duration()))
            }
            Err(refusal) => Err(refusal),
        })
    }

    fn compute_audio(
        &mut self,
        recording: &Recording,
        audio: &Audio,
    ) -> Result<Result<Array, Refusal>, Failure> {
        if audio.duration() < self.min_duration {
            let reason = format!("lasts {:.3} s, less than min-duration", audio.duration());
            return Ok(Err(recording.refuse(Reason::UnreadableAudio, reason)));
        }
        let samples = match self.channel {
            None => audio.mono(),
            Some(channel) => match audio.channels.get(channel) {
                Some(samples) => samples.clone(),
                None => {
                    let count = audio.channels.len();
                    let reason = format!("has {count} channels, so no channel {channel}");
                    return Ok(Err(recording.refuse(Reason::UnreadableAudio, reason)));
                }
            },
        };
        if let Err(refusal) = self.warp(recording)? {
            return Ok(Err(refusal));
        }
        let Self { extractor, pitch, .. } = self;
        let options = extractor.options().clone();
        if let Err(error) = options.check_rate(audio.sample_rate) {
            return Ok(Err(recording.refuse(Reason::SampleRate, &error)));
        }
        let samples = resample(&samples, audio.sample_rate, extractor.sample_rate());
        let (mut rows, mut dim) = (Vec::new(), extractor.dim()); // [frames, dim]
        if pitch.as_ref().is_none_or(Pitch::needs_features) {
            extractor.compute_for(&recording.id, &samples, &mut rows);
            options.normalize.apply(&mut rows, dim);
            if self.subtract_mean {
                subtract_mean(&mut rows, dim);
            }
        }
        if let Some(pitch) = pitch {
            (rows, dim) = match pitch.rows(&recording.id, &samples, &rows, dim) {
                Ok(pitched) => pitched,
                Err(reason) => return Ok(Err(recording.refuse(Reason::UnreadableAudio, reason))),
            };
        }
        if rows.is_empty() {
            return Ok(Err(recording.too_short(audio.duration(), options.frame_length)));
        }
        Ok(Ok(Array::from_f32(rows.len() / dim, dim, rows)))
    }

    /// Warps the filters as the maps say for this recording.
    fn warp(&mut self, recording: &Recording) -> Result<Result<(), Refusal>, Failure> {
        let Some(warps) = &self.warps else { return Ok(Ok(())) };
        let name = match &self.speakers {
            None => Some(&recording.id),
            Some(speakers) => speakers.get(&recording.id),
        };
        let Some(name) = name else {
            return Ok(Err(recording.refuse(
                Reason::OutsideCorpus,
                "stands in no line of the map from utterances to speakers",
            )));
        };
        let Some(&vtln_warp) = warps.get(name) else {
            let reason = format!("has no warp: {name:?} stands in no line of the map of factors");
            return Ok(Err(recording.refuse(Reason::OutsideCorpus, reason)));
        };
        if self.extractor.options().vtln_warp != vtln_warp {
            let options = FeatureOptions { vtln_warp, ..self.extractor.options().clone() };
            self.extractor = FeatureExtractor::new(&options)?;
        }
        Ok(Ok(()))
    }
}

/// Subtracts the mean of each column of `rows`, `[frames, dim]`.
fn subtract_mean(rows: &mut [f32], dim: usize) {
    let mut means = vec![0f64; dim];
    for row in rows.chunks_exact(dim) {
        for (mean, value) in means.iter_mut().zip(row) {
            *mean += f64::from(*value);
        }
    }
    let share = 1.0 / (rows.len() / dim).max(1) as f64;
    for row in rows.chunks_exact_mut(dim) {
        for (value, mean) in row.iter_mut().zip(&means) {
            *value -= (mean * share) as f32;
        }
    }
}

/// Reads lines of two words, the second as `read` has it.
fn read_map<T>(
    path: &Path,
    wanted: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<HashMap<String, T>, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::read(path))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let pair = match words[..] {
                [name, value] => read(value).map(|value| (name.to_owned(), value)),
                _ => None,
            };
            pair.ok_or_else(|| {
                Failure::Sentence(format!(
                    "{}, line {}: {line:?} is not {wanted}; correct the line",
                    path.display(),
                    index + 1
                ))
            })
        })
        .collect()
}
