//! What is computed of one recording: its channel, its warp, its frames, its pitch.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use labyrinth_corpus::{Reason, Refusal};
use labyrinth_signal::{
    Array, Audio, Cmvn, CmvnOptions, CmvnStats, FeatureError, FeatureExtractor, FeatureOptions,
    Stage, Values, change_speed,
};

use super::input::{Inputs, Recording};
use crate::failure::Failure;
use crate::pitch_flags::Pitch;
use crate::sound::Sound;
use crate::vad_flags::Vad;
use crate::wording;

/// Reads a length of time.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=1e9).contains(seconds));
    seconds.ok_or_else(|| "name a number of seconds from 0 on".into())
}

/// Kaldi's flags about recordings, not frames.
#[derive(Args)]
#[command(next_help_heading = "Kaldi's flags")]
pub struct RecordingFlags {
    /// Takes this channel, from 0, not the mean of all.
    #[arg(long, hide_short_help = true, value_name = "N")]
    channel: Option<usize>,
    /// Refuses recordings that are shorter than so many seconds.
    #[arg(long, hide_short_help = true, value_name = "SECONDS", default_value_t = 0.0,
          allow_negative_numbers = true, value_parser = seconds)]
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

impl RecordingFlags {
    /// The options of features that matter because of these flags.
    pub fn matter(&self) -> &'static [&'static str] {
        if self.vtln_map.is_some() { &["vtln-low", "vtln-high"] } else { &[] }
    }
}

/// What a thread computes with.
#[derive(Clone)]
pub struct Worker {
    extractor: FeatureExtractor,
    pitch: Option<Pitch>,
    vad: Option<Vad>,
    /// Samples that a stream brings at once; none: recordings are taken whole.
    piece: Option<usize>,
    speed: f64,
    channel: Option<usize>,
    min_duration: f64,
    subtract_mean: bool,
    /// The factor of each utterance or speaker, and who speaks.
    warps: Option<Arc<HashMap<String, f32>>>,
    speakers: Option<Arc<HashMap<String, String>>>,
}

/// What came of one recording.
pub struct Features {
    /// `[frames, dim]`, or the decisions on voice, `[frames]`.
    pub array: Array,
    /// How long the recording is.
    pub seconds: f64,
    /// Frames that were heard and hold no speech, where somebody decided.
    pub unvoiced: usize,
}

/// Features of one recording, or why there are none.
type Computed = Result<Features, Refusal>;

impl Worker {
    /// Prepares the computation.
    pub fn new(
        options: &FeatureOptions,
        flags: &RecordingFlags,
        pitch: Option<Pitch>,
        vad: Option<Vad>,
        piece: Option<usize>,
    ) -> Result<Self, Failure> {
        if piece.is_some() {
            check_causal(options, flags, pitch.as_ref(), vad.as_ref())?;
        }
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
            vad,
            piece,
            speed: 1.0,
            channel: flags.channel,
            min_duration: flags.min_duration,
            subtract_mean: flags.subtract_mean,
            warps: warps.map(Arc::new),
            speakers: speakers.map(Arc::new),
        })
    }

    /// Plays recordings so many times as fast.
    pub fn with_speed(self, speed: f64) -> Self {
        Self { speed, ..self }
    }

    /// Frames that a stream has to bring after a frame before it is given.
    pub fn latency_frames(&self) -> usize {
        let pitch = self.pitch.as_ref().map_or(0, Pitch::latency_frames);
        let vad = self.vad.as_ref().map_or(0, |vad| vad.latency_frames(&self.extractor));
        self.extractor.lookahead().max(pitch).max(vad)
    }

    /// Computes the features of one recording.
    ///
    /// # Errors
    /// [`Failure`] where the disk fails.
    pub fn compute(&mut self, inputs: &Inputs, recording: &Recording) -> Result<Computed, Failure> {
        match inputs.audio(recording)? {
            Ok(audio) => self.compute_audio(recording, &audio),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    fn compute_audio(&mut self, recording: &Recording, audio: &Audio) -> Result<Computed, Failure> {
        let refused = |reason| Ok(Err(recording.refuse(Reason::UnreadableAudio, reason)));
        if audio.duration() < self.min_duration {
            let reason = format!("lasts {:.3} s, less than min-duration", audio.duration());
            return Ok(Err(recording.refuse(Reason::UnreadableAudio, reason)));
        }
        let samples = match self.channel {
            None => audio.mono(),
            Some(channel) => match audio.channels.get(channel) {
                Some(samples) => samples.clone(),
                None => {
                    let count = wording::count(audio.channels.len(), "channel");
                    let reason = format!("has {count}, so no channel {channel}");
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
        let mut sound =
            Sound::new(&samples, audio.sample_rate, extractor.sample_rate(), self.piece);
        if let (Sound::Whole(samples), true) = (&mut sound, self.speed != 1.0) {
            *samples = change_speed(samples, self.speed);
        }
        let (mut rows, mut dim) = (Vec::new(), extractor.dim()); // [frames, dim]
        if pitch.as_ref().is_none_or(Pitch::needs_features) {
            extractor.reset_for(&recording.id);
            for piece in sound.pieces() {
                extractor.push(piece, &mut rows);
            }
            extractor.finish(&mut rows);
            options.normalize.apply(&mut rows, dim);
            if self.subtract_mean {
                rows = less_their_mean(&rows, dim)?;
            }
        }
        if let Some(pitch) = pitch {
            (rows, dim) = match pitch.rows(&recording.id, &sound, &rows, dim) {
                Ok(pitched) => pitched,
                Err(reason) => return refused(reason),
            };
        }
        if rows.is_empty() {
            return Ok(Err(recording.too_short(audio.duration(), options.frame_length)));
        }
        let (frames, seconds) = (rows.len() / dim, audio.duration());
        let Some(vad) = &self.vad else {
            let array = Array::from_f32(frames, dim, rows);
            return Ok(Ok(Features { array, seconds, unvoiced: 0 }));
        };
        let voiced = match vad.decide(&samples, audio.sample_rate, self.piece, extractor, frames) {
            Ok(voiced) => voiced,
            Err(reason) => return refused(reason),
        };
        let unvoiced = voiced.iter().filter(|voiced| !**voiced).count();
        let array = if vad.only {
            let flags: Vec<f32> =
                voiced.iter().map(|voiced| f32::from(u8::from(*voiced))).collect();
            Array::new(vec![flags.len()], Values::F32(flags))
        } else {
            let pairs = rows.chunks_exact(dim).zip(voiced).filter(|(_, voiced)| *voiced);
            let rows: Vec<f32> = pairs.flat_map(|(row, _)| row).copied().collect();
            (!rows.is_empty()).then(|| Array::from_f32(rows.len() / dim, dim, rows))
        };
        let no_speech = || {
            recording.refuse(
                Reason::EmptyAudio,
                "holds no speech, as --vad decides; leave it out, or leave out --vad",
            )
        };
        Ok(array.map(|array| Features { array, seconds, unvoiced }).ok_or_else(no_speech))
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

/// Refuses what a stream cannot have: all that needs the whole recording.
fn check_causal(
    options: &FeatureOptions,
    flags: &RecordingFlags,
    pitch: Option<&Pitch>,
    vad: Option<&Vad>,
) -> Result<(), Failure> {
    options.check_causal()?;
    if flags.subtract_mean {
        return Err(Failure::Sentence(
            "--subtract-mean needs the mean over the whole recording, which a stream does not have; a \
             stream takes that of a window of frames: --set 'cmn={kind=\"sliding\"}'"
                .into(),
        ));
    }
    pitch.map_or(Ok(()), Pitch::check_causal)?;
    vad.map_or(Ok(()), Vad::check_causal)
}

/// `rows`, `[frames, dim]`, less the mean of each column.
fn less_their_mean(rows: &[f32], dim: usize) -> Result<Vec<f32>, FeatureError> {
    let mut out = Vec::with_capacity(rows.len());
    if !rows.is_empty() {
        let mut stats = CmvnStats::new(dim);
        stats.accumulate(rows);
        Cmvn::new(&stats, &CmvnOptions::default())?.push(rows, &mut out);
    }
    Ok(out)
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
