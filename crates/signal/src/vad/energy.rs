//! Kaldi's energy rule: speech is what is louder than a line drawn by the recording's mean.
//!
//! Kaldi's `compute-vad` (`ivector/voice-activity-detection.h`), made for speaker recognition. With
//! `e` the log energies of the frames,
//!
//! ```text
//! line  = vad-energy-threshold + vad-energy-mean-scale * mean of e
//! voiced(t)  if  share of frames t-c .. t+c with e > line  is at least vad-proportion-threshold
//! ```
//!
//! with `c` = `vad-frames-context`; at the ends the window is cut. There is no continuity between
//! frames but that of the window. (Kaldi of 2013 looked at frame `t` in place of its neighbours.)
//!
//! The mean is over the whole recording: not causal, refused in a stream.

use serde::{Deserialize, Serialize};

use super::{VadError, VoiceActivity, check};
use crate::feature_options::{FeatureError, FeatureKind, FeatureOptions};
use crate::features::FeatureExtractor;

/// Options of Kaldi's `compute-vad`, under its names and with its defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct EnergyVadOptions {
    /// Constant part of the line, in nepers of energy at 16-bit scale.
    pub vad_energy_threshold: f32,
    /// How much of the mean log energy is added to it.
    pub vad_energy_mean_scale: f32,
    /// Frames to each side that are counted.
    pub vad_frames_context: u32,
    /// Share of them that must lie above the line.
    pub vad_proportion_threshold: f32,
}

impl Default for EnergyVadOptions {
    fn default() -> Self {
        EnergyVadOptions {
            vad_energy_threshold: 5.0,
            vad_energy_mean_scale: 0.5,
            vad_frames_context: 0,
            vad_proportion_threshold: 0.6,
        }
    }
}

impl EnergyVadOptions {
    fn check(&self) -> Result<(), FeatureError> {
        let threshold = self.vad_energy_threshold;
        if !threshold.is_finite() {
            let reason = "must be a finite number";
            return Err(FeatureError::new("vad-energy-threshold", threshold, reason));
        }
        let scale = self.vad_energy_mean_scale;
        if !(scale.is_finite() && scale >= 0.0) {
            let reason = "must be a finite number of 0 or more";
            return Err(FeatureError::new("vad-energy-mean-scale", scale, reason));
        }
        let context = self.vad_frames_context;
        if context > 100_000 {
            let reason = "must be at most 100000";
            return Err(FeatureError::new("vad-frames-context", context, reason));
        }
        let share = self.vad_proportion_threshold;
        if !(share > 0.0 && share < 1.0) {
            let reason = "must lie between 0 and 1";
            return Err(FeatureError::new("vad-proportion-threshold", share, reason));
        }
        Ok(())
    }
}

/// The rule itself, for log energies computed elsewhere (column 0 of Kaldi's features): appends one
/// decision per frame.
///
/// # Errors
/// [`FeatureError`] names the option that cannot be followed.
pub fn energy_rule(
    options: &EnergyVadOptions,
    log_energies: &[f32],
    out: &mut Vec<bool>,
) -> Result<(), FeatureError> {
    options.check()?;
    decide(options, log_energies, out);
    Ok(())
}

fn decide(options: &EnergyVadOptions, log_energies: &[f32], out: &mut Vec<bool>) {
    let frames = log_energies.len();
    let sum: f64 = log_energies.iter().map(|energy| f64::from(*energy)).sum();
    let mean = (sum / frames.max(1) as f64) as f32;
    let line = options.vad_energy_threshold + options.vad_energy_mean_scale * mean;
    let loud: Vec<bool> = log_energies.iter().map(|energy| *energy > line).collect();
    let context = options.vad_frames_context as usize;
    // The count of loud frames in the window [begin, end), moved along.
    let (mut begin, mut end, mut count) = (0, 0, 0usize);
    for frame in 0..frames {
        while end < (frame + context + 1).min(frames) {
            count += usize::from(loud[end]);
            end += 1;
        }
        while begin < frame.saturating_sub(context) {
            count -= usize::from(loud[begin]);
            begin += 1;
        }
        let least = (end - begin) as f32 * options.vad_proportion_threshold;
        out.push(count as f32 >= least);
    }
}

/// The energy rule over Kaldi's frames: decides a whole recording.
#[derive(Clone, Debug)]
pub struct EnergyVad {
    options: EnergyVadOptions,
    extractor: FeatureExtractor,
}

impl EnergyVad {
    /// Prepares a detector. Of `features` the sample rate, where frames lie, the window and what is
    /// done before it, `raw-energy` and `energy-floor` matter: the energy is that of column 0 of
    /// Kaldi's MFCC, at 16-bit scale, without dither.
    ///
    /// # Errors
    /// [`FeatureError`] names the option that cannot be followed.
    pub fn new(
        options: &EnergyVadOptions,
        features: &FeatureOptions,
    ) -> Result<Self, FeatureError> {
        options.check()?;
        let features = FeatureOptions {
            sample_frequency: features.sample_frequency,
            frame_length: features.frame_length,
            frame_shift: features.frame_shift,
            snip_edges: features.snip_edges,
            centering: features.centering,
            preemphasis_coefficient: features.preemphasis_coefficient,
            preemphasis_across_frames: features.preemphasis_across_frames,
            remove_dc_offset: features.remove_dc_offset,
            window_type: features.window_type,
            blackman_coeff: features.blackman_coeff,
            round_to_power_of_two: features.round_to_power_of_two,
            raw_energy: features.raw_energy,
            energy_floor: features.energy_floor,
            ..FeatureOptions::kaldi(FeatureKind::Energy)
        };
        Ok(EnergyVad { options: options.clone(), extractor: FeatureExtractor::new(&features)? })
    }
}

impl VoiceActivity for EnergyVad {
    fn sample_rate(&self) -> u32 {
        self.extractor.sample_rate()
    }

    fn shift_samples(&self) -> usize {
        self.extractor.shift_samples()
    }

    fn frame_count(&self, samples: usize) -> usize {
        self.extractor.frame_count(samples)
    }

    fn is_causal(&self) -> bool {
        false
    }

    fn detect(&mut self, samples: &[f32], out: &mut Vec<bool>) -> Result<(), VadError> {
        check(samples, 0)?;
        let mut energies = Vec::new(); // [frames, 1]
        self.extractor.compute(samples, &mut energies);
        decide(&self.options, &energies, out);
        Ok(())
    }

    fn push(&mut self, _: &[f32], _: &mut Vec<bool>) -> Result<(), VadError> {
        Err(VadError::NotCausal)
    }

    fn finish(&mut self, _: &mut Vec<bool>) -> Result<(), VadError> {
        Err(VadError::NotCausal)
    }

    fn reset(&mut self) {}
}
