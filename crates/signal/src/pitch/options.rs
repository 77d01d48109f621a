//! The options of pitch tracking and of its post-processing, with Kaldi's names, and refusals.

use serde::{Deserialize, Serialize};

use crate::feature_options::FeatureError;

/// Options of Kaldi's `compute-kaldi-pitch-feats`, under its names and with its defaults.
///
/// Frequencies are in Hz, lengths in milliseconds. The defaults track a whole recording and are
/// not causal: the energy of the recording and the traceback from its end enter each frame. A
/// stream needs `frames-per-chunk` above 0 and `simulate-first-pass-online = true`
/// ([`PitchOptions::is_causal`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct PitchOptions {
    /// Samples per second of the recordings.
    pub sample_frequency: f32,
    /// Length of the correlated window.
    pub frame_length: f32,
    /// Distance of the starts of two frames.
    pub frame_shift: f32,
    /// Coefficient `c` of pre-emphasis, `x[i] - c x[i-1]`; deprecated in Kaldi.
    pub preemphasis_coefficient: f32,
    /// Lowest pitch searched.
    pub min_f0: f32,
    /// Highest pitch searched.
    pub max_f0: f32,
    /// A preference for high pitch: a lag `L` is trusted only 1 - `soft-min-f0` L as much. At most
    /// `min-f0`.
    pub soft_min_f0: f32,
    /// Cost of a change of pitch, per squared difference of log pitch from frame to frame.
    pub penalty_factor: f32,
    /// Edge of the low-pass before correlation, at most half of either sample rate.
    pub lowpass_cutoff: f32,
    /// Sample rate at which the signal is correlated.
    pub resample_frequency: f32,
    /// Ratio of two neighbouring pitches, less 1.
    pub delta_pitch: f32,
    /// What is added under the root of the correlation's norm, in units of the squared energy of
    /// a window of mean loudness. It makes quiet frames matter less to the path.
    pub nccf_ballast: f32,
    /// Zero crossings of the low-pass to each side.
    pub lowpass_filter_width: u32,
    /// Zero crossings of the interpolation between lags, to each side.
    pub upsample_filter_width: u32,
    /// Frames that a stream may wait for the path to settle.
    pub max_frames_latency: u32,
    /// Frames of signal taken in at once; 0 takes the whole recording, which is not causal. The
    /// mean loudness behind the ballast is that of all chunks so far.
    pub frames_per_chunk: u32,
    /// Give each frame as it stands when its chunk has been heard; if false, as it stands at the
    /// end of the recording, which is not causal.
    pub simulate_first_pass_online: bool,
    /// When this many frames have been heard, their costs are scaled to the mean loudness known by
    /// then and the path is found anew (at the recording's end, if that comes first).
    pub recompute_frame: u32,
    /// Take the mean loudness up to the end of the frame instead of the end of the chunk.
    pub nccf_ballast_online: bool,
    /// Only frames whose window lies within the recording; if false, as many as the shift fits,
    /// with silence around the recording.
    pub snip_edges: bool,
}

impl Default for PitchOptions {
    fn default() -> Self {
        PitchOptions {
            sample_frequency: 16_000.0,
            frame_length: 25.0,
            frame_shift: 10.0,
            preemphasis_coefficient: 0.0,
            min_f0: 50.0,
            max_f0: 400.0,
            soft_min_f0: 10.0,
            penalty_factor: 0.1,
            lowpass_cutoff: 1000.0,
            resample_frequency: 4000.0,
            delta_pitch: 0.005,
            nccf_ballast: 7000.0,
            lowpass_filter_width: 1,
            upsample_filter_width: 5,
            max_frames_latency: 0,
            frames_per_chunk: 0,
            simulate_first_pass_online: false,
            recompute_frame: 500,
            nccf_ballast_online: false,
            snip_edges: true,
        }
    }
}

/// Longest frame and shift in milliseconds.
const MAX_FRAME: f32 = 10_000.0;

/// Most pitches and most lags: what a 16-bit back pointer holds, with room for a mark.
const MAX_STATES: usize = 20_000;

/// Most numbers in a table of filter taps.
const MAX_TABLE: f64 = 1e7;

/// Most frames waited for or taken at once.
const MAX_WAIT: u32 = 100_000;

impl PitchOptions {
    /// The options that Kaldi's documentation names for compatibility with online decoding: ten
    /// frames a chunk, each frame given as soon as its chunk has been heard.
    pub fn online() -> Self {
        PitchOptions {
            frames_per_chunk: 10,
            simulate_first_pass_online: true,
            ..PitchOptions::default()
        }
    }

    /// Whether a frame depends on a bounded stretch of what follows it, so that a stream can be
    /// tracked.
    pub fn is_causal(&self) -> bool {
        self.frames_per_chunk > 0 && self.simulate_first_pass_online
    }

    /// Samples of the correlated window at the lower rate. (Kaldi multiplies in `f32`, divides in
    /// `f64` and rounds down.)
    pub(super) fn window(&self) -> usize {
        (f64::from(self.resample_frequency * self.frame_length) / 1000.0) as usize
    }

    /// Samples from frame to frame at the lower rate.
    pub(super) fn shift(&self) -> usize {
        (f64::from(self.resample_frequency * self.frame_shift) / 1000.0) as usize
    }

    /// Samples of the recording taken at once.
    pub(super) fn chunk(&self) -> usize {
        (self.frames_per_chunk as f32 * self.sample_frequency * self.frame_shift / 1000.0) as usize
    }

    /// First and last lag, in samples at the lower rate, at which the correlation is measured:
    /// those of the highest and lowest pitch, and half the interpolating filter beyond.
    pub(super) fn measured_lags(&self) -> (i64, i64) {
        let rate = f64::from(self.resample_frequency);
        let reach = f64::from(self.upsample_filter_width) / (2.0 * rate);
        let shortest = 1.0 / f64::from(self.max_f0) - reach;
        let longest = 1.0 / f64::from(self.min_f0) + reach;
        ((rate * shortest).ceil() as i64, (rate * longest).floor() as i64)
    }

    /// The lags of the path's states in seconds, from that of `max-f0` in constant ratio up to
    /// that of `min-f0`; rounded to `f32` at each step as Kaldi does, since their number and each
    /// pitch depend on it. No more than `most` and one.
    pub(super) fn lags(&self, most: usize) -> Vec<f32> {
        let ratio = 1.0 + f64::from(self.delta_pitch);
        let longest = (1.0 / f64::from(self.min_f0)) as f32;
        let first = (1.0 / f64::from(self.max_f0)) as f32;
        let next = |lag: &f32| Some((f64::from(*lag) * ratio) as f32);
        std::iter::successors(Some(first), next)
            .take_while(|lag| *lag <= longest)
            .take(most + 1)
            .collect()
    }

    /// Checks each option and what they mean together.
    pub(super) fn check(&self) -> Result<(), FeatureError> {
        let whole = |option, value: f32, low: f32, high: f32, range: &str| {
            if (low..=high).contains(&value) && value.fract() == 0.0 {
                return Ok(());
            }
            Err(FeatureError::new(option, value, format!("must be a whole number of Hz {range}")))
        };
        let range = "from 1000 to 1000000";
        whole("sample-frequency", self.sample_frequency, 1000.0, 1e6, range)?;
        let range = "from 100 to 192000; Kaldi's is 4000";
        whole("resample-frequency", self.resample_frequency, 100.0, 192_000.0, range)?;
        let within = |option, value: f32, low: f32, high: f32| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(FeatureError::new(option, value, format!("must lie from {low} to {high}")))
        };
        within("frame-length", self.frame_length, 0.0, MAX_FRAME)?;
        within("frame-shift", self.frame_shift, 0.0, MAX_FRAME)?;
        if self.window() < 2 {
            let reason = "must be at least two samples at resample-frequency";
            return Err(FeatureError::new("frame-length", self.frame_length, reason));
        }
        if self.shift() < 1 {
            let reason = "must be at least one sample at resample-frequency";
            return Err(FeatureError::new("frame-shift", self.frame_shift, reason));
        }
        within("preemphasis-coefficient", self.preemphasis_coefficient, 0.0, 1.0)?;
        within("min-f0", self.min_f0, 1.0, 1e5)?;
        within("max-f0", self.max_f0, 1.0, 1e5)?;
        if self.max_f0 <= self.min_f0 {
            let reason = format!("must be above min-f0, which is {}", self.min_f0);
            return Err(FeatureError::new("max-f0", self.max_f0, reason));
        }
        within("soft-min-f0", self.soft_min_f0, 0.0, self.min_f0)?;
        within("penalty-factor", self.penalty_factor, 0.0, 1e6)?;
        within("delta-pitch", self.delta_pitch, 1e-5, 1.0)?;
        within("nccf-ballast", self.nccf_ballast, 0.0, 1e12)?;
        let lower = self.sample_frequency.min(self.resample_frequency);
        if !(self.lowpass_cutoff >= 1.0 && 2.0 * self.lowpass_cutoff <= lower) {
            let reason = format!(
                "must lie from 1 to {}, half the lower of sample-frequency and resample-frequency",
                lower / 2.0
            );
            return Err(FeatureError::new("lowpass-cutoff", self.lowpass_cutoff, reason));
        }
        let count = |option, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(FeatureError::new(option, value, format!("must lie from {low} to {high}")))
        };
        count("lowpass-filter-width", self.lowpass_filter_width, 1, 10_000)?;
        count("upsample-filter-width", self.upsample_filter_width, 1, 10_000)?;
        count("max-frames-latency", self.max_frames_latency, 0, MAX_WAIT)?;
        count("frames-per-chunk", self.frames_per_chunk, 0, MAX_WAIT)?;
        if self.frames_per_chunk > 0 && self.chunk() == 0 {
            let reason = "must be at least one sample of the recording";
            return Err(FeatureError::new("frames-per-chunk", self.frames_per_chunk, reason));
        }
        if self.simulate_first_pass_online && self.frames_per_chunk == 0 {
            let reason = "needs frames-per-chunk above 0, such as 10";
            return Err(FeatureError::new("simulate-first-pass-online", true, reason));
        }
        self.check_tables()
    }

    /// What bounds memory: the states and the tables of the two filters.
    fn check_tables(&self) -> Result<(), FeatureError> {
        let (first, last) = self.measured_lags();
        if first < 0 {
            let reason = format!(
                "is too high for an upsample-filter-width of {} at a resample-frequency of {}: \
                 the filter would reach below lag 0",
                self.upsample_filter_width, self.resample_frequency
            );
            return Err(FeatureError::new("max-f0", self.max_f0, reason));
        }
        if last - first >= MAX_STATES as i64 {
            let reason = format!(
                "means {} lags at a resample-frequency of {}; at most {MAX_STATES} are searched",
                last - first + 1,
                self.resample_frequency
            );
            return Err(FeatureError::new("min-f0", self.min_f0, reason));
        }
        let states = self.lags(MAX_STATES).len();
        if states > MAX_STATES {
            let reason = format!(
                "means more than {MAX_STATES} pitches from {} to {} Hz; take a larger one",
                self.min_f0, self.max_f0
            );
            return Err(FeatureError::new("delta-pitch", self.delta_pitch, reason));
        }
        let taps = 2.0 * f64::from(self.upsample_filter_width) + 8.0;
        if taps * states as f64 > MAX_TABLE {
            let reason = format!("is too wide for {states} pitches; take a smaller one");
            let option = "upsample-filter-width";
            return Err(FeatureError::new(option, self.upsample_filter_width, reason));
        }
        let (rate, lower) = (self.sample_frequency as u64, self.resample_frequency as u64);
        let phases = lower / super::filters::greatest_common_divisor(rate, lower);
        let seconds = f64::from(self.lowpass_filter_width) / f64::from(self.lowpass_cutoff);
        if (seconds * f64::from(self.sample_frequency) + 8.0) * phases as f64 > MAX_TABLE {
            let reason = format!(
                "is too wide to resample from {rate} to {lower} Hz; take a smaller one, or rates \
                 with a common factor"
            );
            let option = "lowpass-filter-width";
            return Err(FeatureError::new(option, self.lowpass_filter_width, reason));
        }
        Ok(())
    }
}

/// Options of Kaldi's `process-kaldi-pitch-feats`, under its names and with its defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ProcessPitchOptions {
    /// Factor of the normalised log pitch.
    pub pitch_scale: f32,
    /// Factor of the voicing feature.
    pub pov_scale: f32,
    /// Added to the voicing feature after its factor.
    pub pov_offset: f32,
    /// Factor of the slope of log pitch.
    pub delta_pitch_scale: f32,
    /// Standard deviation of the noise added to the slope before its factor, which hides that
    /// pitches are a ladder.
    pub delta_pitch_noise_stddev: f32,
    /// Frames before the current one in the window of the mean log pitch.
    pub normalization_left_context: u32,
    /// Frames after it.
    pub normalization_right_context: u32,
    /// Frames to each side for the slope.
    pub delta_window: u32,
    /// Frames by which all is delayed: the first frame is repeated as often.
    pub delay: u32,
    /// Give the voicing feature.
    pub add_pov_feature: bool,
    /// Give log pitch less its mean over the window, weighted by the probability of voicing.
    pub add_normalized_log_pitch: bool,
    /// Give the slope of log pitch.
    pub add_delta_pitch: bool,
    /// Give log pitch itself.
    pub add_raw_log_pitch: bool,
}

impl Default for ProcessPitchOptions {
    fn default() -> Self {
        ProcessPitchOptions {
            pitch_scale: 2.0,
            pov_scale: 2.0,
            pov_offset: 0.0,
            delta_pitch_scale: 10.0,
            delta_pitch_noise_stddev: 0.005,
            normalization_left_context: 75,
            normalization_right_context: 75,
            delta_window: 2,
            delay: 0,
            add_pov_feature: true,
            add_normalized_log_pitch: true,
            add_delta_pitch: true,
            add_raw_log_pitch: false,
        }
    }
}

impl ProcessPitchOptions {
    /// Numbers per frame.
    pub fn dim(&self) -> usize {
        [
            self.add_pov_feature,
            self.add_normalized_log_pitch,
            self.add_delta_pitch,
            self.add_raw_log_pitch,
        ]
        .into_iter()
        .map(usize::from)
        .sum()
    }

    /// Checks each option.
    pub(super) fn check(&self) -> Result<(), FeatureError> {
        for (option, value) in [
            ("pitch-scale", self.pitch_scale),
            ("pov-scale", self.pov_scale),
            ("pov-offset", self.pov_offset),
            ("delta-pitch-scale", self.delta_pitch_scale),
        ] {
            if !value.is_finite() {
                return Err(FeatureError::new(option, value, "must be a finite number"));
            }
        }
        let noise = self.delta_pitch_noise_stddev;
        if !(noise.is_finite() && noise >= 0.0) {
            let reason = "must be a finite number of 0 or more";
            return Err(FeatureError::new("delta-pitch-noise-stddev", noise, reason));
        }
        for (option, value, least) in [
            ("normalization-left-context", self.normalization_left_context, 0),
            ("normalization-right-context", self.normalization_right_context, 0),
            ("delta-window", self.delta_window, 1),
            ("delay", self.delay, 0),
        ] {
            if !(least..=MAX_WAIT).contains(&value) {
                let reason = format!("must lie from {least} to {MAX_WAIT}");
                return Err(FeatureError::new(option, value, reason));
            }
        }
        if self.dim() == 0 {
            let reason = "leaves no feature at all; add at least one of add-pov-feature, \
                          add-normalized-log-pitch, add-delta-pitch and add-raw-log-pitch";
            return Err(FeatureError::new("add-pov-feature", false, reason));
        }
        Ok(())
    }
}
