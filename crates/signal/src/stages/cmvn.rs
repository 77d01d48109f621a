//! Cepstral mean and variance normalisation with sums over a speaker, an utterance or a corpus.
//!
//! A microphone, a room or a level multiplies the spectrum; in its logarithm, and in the cepstrum,
//! that is a constant added to each dimension, which subtracting the mean removes (Atal 1974).
//! Kaldi's `compute-cmvn-stats` sums, `apply-cmvn` uses the sums (`transform/cmvn.cc`):
//!
//! ```text
//! mean = S1 / n     variance = S2 / n - mean^2      n frames, S1 and S2 sums of x and x^2
//! y = (x - mean) / sqrt(variance)                   or y = x - mean
//! ```
//!
//! The variance as a difference of large sums loses digits, which f64 has to spare for features;
//! it is bounded from below by 1e-20, as in Kaldi. Sums run frame by frame in f64.
//!
//! Applying given sums looks at one frame at a time and runs in a stream. Sums over the recording
//! at hand need the whole of it: such normalisation is **not causal**. Its streaming counterparts
//! are [`crate::OnlineCmvn`], which begins with a corpus's sums and moves to the recording's own,
//! and [`crate::SlidingCmvn`].
//!
//! Book: book/src/cepstrum.md

use serde::{Deserialize, Serialize};

use super::Stage;
use super::frame_buffer::rows;
use crate::feature_options::FeatureError;
use crate::formats::{Array, Values};

/// Least variance divided by (Kaldi's).
const VARIANCE_FLOOR: f64 = 1e-20;

/// Number of frames, sums, and sums of squares of each dimension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CmvnStats {
    /// Number of frames, or the sum of their weights.
    pub count: f64,
    /// Sum of each dimension, `[dim]`.
    pub sums: Vec<f64>,
    /// Sum of squares of each dimension, `[dim]`.
    pub squares: Vec<f64>,
}

impl CmvnStats {
    /// Empty sums of frames of `dim` numbers.
    pub fn new(dim: usize) -> Self {
        CmvnStats { count: 0.0, sums: vec![0.0; dim], squares: vec![0.0; dim] }
    }

    /// Numbers per frame.
    pub fn dim(&self) -> usize {
        self.sums.len()
    }

    /// Adds frames, `[frames, dim]`, one after the other; pieces give what the whole gives.
    ///
    /// # Panics
    /// If `frames` is not a whole number of rows.
    pub fn accumulate(&mut self, frames: &[f32]) {
        for frame in rows(frames, self.dim()) {
            self.add(frame, 1.0);
        }
    }

    /// Adds one frame, `[dim]`, `weight` times: 0 for a frame without voice.
    pub fn add(&mut self, frame: &[f32], weight: f64) {
        self.count += weight;
        for ((sum, square), value) in self.sums.iter_mut().zip(&mut self.squares).zip(frame) {
            let value = f64::from(*value);
            *sum += value * weight;
            *square += value * value * weight;
        }
    }

    /// Adds another's sums `weight` times (1 for the utterances of a speaker).
    pub fn merge(&mut self, other: &CmvnStats, weight: f64) {
        self.count += other.count * weight;
        for (sum, value) in self.sums.iter_mut().zip(&other.sums) {
            *sum += value * weight;
        }
        for (sum, value) in self.squares.iter_mut().zip(&other.squares) {
            *sum += value * weight;
        }
    }

    /// Sums of no frame again.
    pub(crate) fn clear(&mut self) {
        self.count = 0.0;
        self.sums.fill(0.0);
        self.squares.fill(0.0);
    }

    /// As Kaldi stores it, `[2, dim + 1]`: sums and the count, then squares and a 0.
    pub fn to_array(&self) -> Array {
        let values: Vec<f64> = self
            .sums
            .iter()
            .chain([&self.count])
            .chain(&self.squares)
            .chain([&0.0])
            .copied()
            .collect();
        Array::from_f64(2, self.dim() + 1, values)
    }

    /// From what [`CmvnStats::to_array`] or Kaldi's `compute-cmvn-stats` stored.
    ///
    /// # Errors
    /// [`FeatureError`] for another shape, or sums that are none.
    pub fn from_array(array: &Array) -> Result<Self, FeatureError> {
        let (&[2, columns], true) = (array.shape(), array.values().len() >= 4) else {
            let reason = "is not the shape of CMVN statistics, which is 2 rows and a column more \
                          than features; name the output of compute-cmvn-stats";
            return Err(FeatureError::new("stats", format!("{:?}", array.shape()), reason));
        };
        let values: Vec<f64> = match array.values() {
            Values::F64(values) => values.clone(),
            _ => array.to_f32().iter().map(|value| f64::from(*value)).collect(),
        };
        let (sums, squares) = values.split_at(columns);
        let dim = columns - 1;
        let stats = CmvnStats {
            count: sums[dim],
            sums: sums[..dim].to_vec(),
            squares: squares[..dim].to_vec(),
        };
        stats.check(dim)?;
        Ok(stats)
    }

    /// Whether they are sums of at least one frame of `dim` numbers.
    pub(crate) fn check(&self, dim: usize) -> Result<(), FeatureError> {
        if self.sums.len() != dim || self.squares.len() != dim {
            let value = format!("{} sums and {} squares", self.sums.len(), self.squares.len());
            let reason = format!(
                "must be {dim} each, as many as a frame has numbers; compute the statistics of these \
                 features"
            );
            return Err(FeatureError::new("stats", value, reason));
        }
        if !(self.count >= 1.0 && self.count.is_finite()) {
            let reason = "is too few frames for statistics; sum over at least one";
            return Err(FeatureError::new("stats.count", self.count, reason));
        }
        let wrong = self.sums.iter().chain(&self.squares).find(|value| !value.is_finite());
        if let Some(value) = wrong {
            let reason = "is no number; compute the statistics again";
            return Err(FeatureError::new("stats", value, reason));
        }
        // By Cauchy and Schwarz no frames have less; the slack is for sums in single precision.
        let impossible = self.sums.iter().zip(&self.squares).position(|(sum, square)| {
            sum * sum / self.count > square * (1.0 + 1e-4) + f64::MIN_POSITIVE
        });
        if let Some(index) = impossible {
            let value = format!("{} beside a sum of {}", self.squares[index], self.sums[index]);
            let reason = format!(
                "cannot be the squares of dimension {index} in {} frames; compute the statistics again",
                self.count
            );
            return Err(FeatureError::new("stats", value, reason));
        }
        Ok(())
    }

    // ANCHOR: moments
    /// Mean and bounded variance of a dimension.
    fn moments(&self, index: usize) -> (f64, f64) {
        let mean = self.sums[index] / self.count;
        (mean, (self.squares[index] / self.count - mean * mean).max(VARIANCE_FLOOR))
    }
    // ANCHOR_END: moments
}

/// The options of Kaldi's `apply-cmvn`, and its defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct CmvnOptions {
    /// Subtract the mean; without it (and without `norm-vars`) nothing is done.
    pub norm_means: bool,
    /// Divide by the standard deviation.
    pub norm_vars: bool,
    /// The other way round: from normalised features back.
    pub reverse: bool,
    /// Dimensions left as they are, from 0.
    pub skip_dims: Vec<usize>,
}

impl Default for CmvnOptions {
    fn default() -> Self {
        CmvnOptions { norm_means: true, norm_vars: false, reverse: false, skip_dims: Vec::new() }
    }
}

impl CmvnOptions {
    pub(crate) fn check(&self, dim: usize) -> Result<(), FeatureError> {
        if self.norm_vars && !self.norm_means {
            let reason = "needs norm-means = true, as in Kaldi";
            return Err(FeatureError::new("norm-vars", self.norm_vars, reason));
        }
        if let Some(skipped) = self.skip_dims.iter().find(|skipped| **skipped >= dim) {
            let reason = format!("names no dimension of a frame of {dim} numbers, from 0");
            return Err(FeatureError::new("skip-dims", skipped, reason));
        }
        Ok(())
    }

    /// One offset and one factor for each dimension, in f32 as in Kaldi.
    pub(crate) fn scales(&self, stats: &CmvnStats, scales: &mut Vec<(f32, f32)>) {
        scales.clear();
        for index in 0..stats.dim() {
            if !self.norm_means || self.skip_dims.contains(&index) {
                scales.push((0.0, 1.0));
                continue;
            }
            let (mean, variance) = stats.moments(index);
            let deviation = if self.norm_vars { variance.sqrt() } else { 1.0 };
            let (offset, factor) = match self.reverse {
                false => (-mean / deviation, 1.0 / deviation),
                true => (mean, deviation),
            };
            scales.push((offset as f32, factor as f32));
        }
    }
}

/// Appends a frame, each number times its factor plus its offset.
pub(crate) fn append_scaled(frame: &[f32], scales: &[(f32, f32)], out: &mut Vec<f32>) {
    out.extend(frame.iter().zip(scales).map(|(value, (offset, factor))| offset + value * factor));
}

/// Normalises with sums that are known beforehand: a corpus's (global) or a speaker's. Causal,
/// without latency.
#[derive(Clone, Debug)]
pub struct Cmvn {
    scales: Vec<(f32, f32)>, // [dim]
}

impl Cmvn {
    /// Normalisation with the given sums.
    ///
    /// # Errors
    /// [`FeatureError`] for sums of no frame, `norm-vars` without `norm-means`, or a skipped
    /// dimension that is not there.
    pub fn new(stats: &CmvnStats, options: &CmvnOptions) -> Result<Self, FeatureError> {
        stats.check(stats.sums.len())?;
        options.check(stats.dim())?;
        let mut scales = Vec::new();
        options.scales(stats, &mut scales);
        Ok(Cmvn { scales })
    }
}

impl Stage for Cmvn {
    fn input_dim(&self) -> usize {
        self.scales.len()
    }

    fn dim(&self) -> usize {
        self.scales.len()
    }

    fn lookahead(&self) -> usize {
        0
    }

    fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        for frame in rows(frames, self.scales.len()) {
            append_scaled(frame, &self.scales, out);
        }
    }

    fn finish(&mut self, _out: &mut Vec<f32>) {}

    fn reset(&mut self) {}

    fn boxed(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
