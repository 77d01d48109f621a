//! From (nccf, pitch) to features for a recogniser: voicing, normalised log pitch, its slope.
//!
//! Kaldi's `process-kaldi-pitch-feats`, section 4 of the paper. With `n` the correlation of a
//! frame, `p` its pitch and `a = |n|`,
//!
//! ```text
//! voicing feature   (1.0001 - n)^0.15 - 1                    n clipped to [-1, 1]
//! odds of voicing   r = -5.2 + 5.4 e^(7.5 (a-1)) + 4.8 a - 2 e^(-10 a) + 4.2 e^(20 (a-1))
//! weight            w = 1 / (1 + e^-r)
//! normalised pitch  ln p - sum of w ln p / sum of w          over the window around the frame
//! slope             sum over d of d ln p[t+d] / sum of d^2   over -delta-window..delta-window
//! ```
//!
//! The first spreads the correlation evenly; the second was fitted to the logarithm of the odds of
//! voicing on a corpus where voicing is marked (Keele). At the ends of a recording the window is
//! cut, and the slope repeats the first and last frame.
//!
//! A frame is given when all it depends on is known: the same values in a stream and offline.
//! (Kaldi's program is offline. Its online decoder also re-reads the pitch of past frames as the
//! path changes, and lets a cut window pass within the first `delay` frames: that is not here.)
//!
//! Noise is added to the slope by default: a function of the utterance's id and the frame alone.

use std::collections::VecDeque;

use super::options::ProcessPitchOptions;
use crate::feature_options::FeatureError;
use crate::random::{Random, hash_name};

/// The voicing feature of a correlation; falls from 0.11 at -1 to -0.75 at 1.
pub(crate) fn voicing_feature(nccf: f32) -> f32 {
    ((1.0001 - f64::from(nccf.clamp(-1.0, 1.0))).powf(0.15) - 1.0) as f32
}

/// The probability of voicing of a correlation.
pub(crate) fn voicing_probability(nccf: f32) -> f64 {
    let a = f64::from(nccf).abs().min(1.0);
    let odds = -5.2 + 5.4 * (7.5 * (a - 1.0)).exp() + 4.8 * a - 2.0 * (-10.0 * a).exp()
        + 4.2 * (20.0 * (a - 1.0)).exp();
    1.0 / (1.0 + (-odds).exp())
}

/// Key of the noise among all uses of the generator.
const NOISE: u64 = 0x70_6974_6368;

/// What is kept of a frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    nccf: f32,
    log_pitch: f32,
    weight: f64,
}

/// Turns rows of [`super::PitchExtractor`] into features, whole recordings and streams alike.
#[derive(Clone, Debug)]
pub struct PitchProcessor {
    options: ProcessPitchOptions,
    /// Frames that later ones need; the first is number `first`.
    frames: VecDeque<Frame>,
    first: u64,
    /// The next frame to be computed.
    next: u64,
    random: Random,
}

impl PitchProcessor {
    /// Prepares a processor for one utterance, whose id is the key of the noise.
    ///
    /// # Errors
    /// [`FeatureError`] names the option that cannot be followed.
    pub fn new(options: &ProcessPitchOptions, utterance: &str) -> Result<Self, FeatureError> {
        options.check()?;
        Ok(PitchProcessor {
            options: options.clone(),
            frames: VecDeque::new(),
            first: 0,
            next: 0,
            random: noise_of(utterance),
        })
    }

    /// Numbers per frame.
    pub fn dim(&self) -> usize {
        self.options.dim()
    }

    /// Rows given for so many frames: one each, and as many more as the delay.
    pub fn frame_count(&self, frames: usize) -> usize {
        if frames == 0 { 0 } else { frames + self.options.delay as usize }
    }

    /// Frames that must follow one before it is given.
    pub fn latency_frames(&self) -> usize {
        let options = &self.options;
        let mean =
            if options.add_normalized_log_pitch { options.normalization_right_context } else { 0 };
        let slope = if options.add_delta_pitch { options.delta_window } else { 0 };
        mean.max(slope) as usize
    }

    /// Forgets the stream; the next frame is the first of `utterance`.
    pub fn reset(&mut self, utterance: &str) {
        self.frames.clear();
        self.first = 0;
        self.next = 0;
        self.random = noise_of(utterance);
    }

    /// Features of a whole recording of `[frames, 2]`, appended to `out` as `[frames + delay,
    /// dim]`; then reset for `utterance` to come.
    pub fn compute(&mut self, utterance: &str, rows: &[f32], out: &mut Vec<f32>) {
        self.reset(utterance);
        self.push(rows, out);
        self.finish(out);
    }

    /// Takes the next rows, `[frames, 2]` of correlation and pitch in Hz, and appends the features
    /// that they complete. A row that is not whole is left out.
    pub fn push(&mut self, rows: &[f32], out: &mut Vec<f32>) {
        let latency = self.latency_frames() as u64;
        for row in rows.chunks_exact(2) {
            // Any positive pitch has a logarithm; what is not positive is no pitch.
            let pitch = if row[1] > 0.0 { row[1].min(f32::MAX) } else { f32::MIN_POSITIVE };
            let log_pitch = pitch.ln();
            let nccf = if row[0].is_nan() { 0.0 } else { row[0] };
            self.frames.push_back(Frame { nccf, log_pitch, weight: voicing_probability(nccf) });
            let known = self.first + self.frames.len() as u64;
            while self.next + latency < known {
                self.give(out);
            }
        }
    }

    /// Ends the stream: appends the features of the frames left. The processor must be reset before
    /// the next utterance.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let known = self.first + self.frames.len() as u64;
        while self.next < known {
            self.give(out);
        }
    }

    /// The frame of a number, the first or last one where it lies outside.
    fn frame(&self, number: i64) -> Frame {
        let last = self.frames.len() as i64 - 1;
        self.frames[(number - self.first as i64).clamp(0, last) as usize]
    }

    /// Appends the features of frame `next`.
    fn give(&mut self, out: &mut Vec<f32>) {
        let options = &self.options;
        let now = self.next as i64;
        let frame = self.frame(now);
        let row = out.len();
        if options.add_pov_feature {
            out.push(options.pov_scale * voicing_feature(frame.nccf) + options.pov_offset);
        }
        if options.add_normalized_log_pitch {
            let start = self.next.saturating_sub(u64::from(options.normalization_left_context));
            let start = start.saturating_sub(self.first) as usize;
            let end = self.next + u64::from(options.normalization_right_context) + 1;
            let end = ((end - self.first) as usize).min(self.frames.len());
            let (mut sum, mut weights) = (0.0, 0.0);
            for frame in self.frames.range(start..end) {
                sum += frame.weight * f64::from(frame.log_pitch);
                weights += frame.weight;
            }
            let mean = (sum / weights) as f32;
            out.push((frame.log_pitch - mean) * options.pitch_scale);
        }
        if options.add_delta_pitch {
            let (mut slope, mut norm) = (0.0, 0.0);
            for distance in -i64::from(options.delta_window)..=i64::from(options.delta_window) {
                let weight = distance as f64;
                slope += weight * f64::from(self.frame(now + distance).log_pitch);
                norm += weight * weight;
            }
            let noise = self.random.normal() * f64::from(options.delta_pitch_noise_stddev);
            out.push(((slope / norm + noise) * f64::from(options.delta_pitch_scale)) as f32);
        }
        if options.add_raw_log_pitch {
            out.push(frame.log_pitch);
        }
        if self.next == 0 {
            for _ in 0..options.delay {
                out.extend_from_within(row..row + options.dim());
            }
        }
        self.next += 1;
        let behind = options.normalization_left_context.max(options.delta_window);
        let keep = self.next.saturating_sub(u64::from(behind));
        while self.first < keep {
            self.frames.pop_front();
            self.first += 1;
        }
    }
}

fn noise_of(utterance: &str) -> Random {
    Random::from_key(&[NOISE, hash_name(utterance)])
}
