//! Mel frequency cepstral coefficients: the cosine transform of a log filterbank, and the lifter.
//!
//! The logarithm of a filterbank is a smooth curve, the vocal tract, plus ripple. Neighbouring
//! filters overlap and rise and fall together; over many frames of speech their covariance is
//! nearly that of a first-order Markov process, whose principal axes are close to cosines. So the
//! cosine transform all but decorrelates them (which is what lets a Gaussian with a diagonal
//! covariance model the result), and its first coefficients keep the smooth part:
//!
//! ```text
//! c[0] = sqrt(1 / B) Σ_b m[b]                               m[b]: log energy of filter b of B
//! c[k] = sqrt(2 / B) Σ_b m[b] cos(π k (b + 1/2) / B)        k = 1 .. num-ceps - 1
//! ```
//!
//! These rows are orthonormal (DCT-II). HTK scales row 0 like the others, hence the factor of
//! sqrt(2) under `htk-compat`. Higher coefficients are smaller; the lifter evens them out,
//! c[k] (1 + Q/2 sin(π k / Q)), which has no effect on a network that scales its input but does on
//! distances and variance floors.
//!
//! Davis and Mermelstein 1980, "Comparison of parametric representations for monosyllabic word
//! recognition"; Juang, Rabiner and Wilpon 1987, "On the use of bandpass liftering in speech
//! recognition". The order and scale of coefficients are those of Kaldi's `feat/feature-mfcc.cc`.
//!
//! Book: book/src/cepstrum.md

use std::f64::consts::PI;

use crate::feature_options::FeatureOptions;

/// The factors of the lifter for coefficients 0 to `count - 1`; 1 for a constant of 0.
pub(crate) fn lifter(constant: f32, count: usize) -> Vec<f64> {
    let constant = f64::from(constant);
    let factor = |k: usize| match constant > 0.0 {
        true => 1.0 + 0.5 * constant * (PI * k as f64 / constant).sin(),
        false => 1.0,
    };
    (0..count).map(factor).collect()
}

/// From logarithms of filter energies to cepstral coefficients.
#[derive(Clone, Debug)]
pub(crate) struct CosineTransform {
    rows: Vec<f32>, // [bins, ceps]: a filter's shares in all coefficients lie together
    ceps: usize,
}

impl CosineTransform {
    // ANCHOR: transform
    /// The transform of these options, with the lifter and `htk-compat`'s factor inside.
    pub(crate) fn new(options: &FeatureOptions) -> Self {
        let (bins, ceps) = (options.num_mel_bins, options.num_ceps);
        let lifter = lifter(options.cepstral_lifter, ceps);
        let mut rows = Vec::with_capacity(bins * ceps);
        for bin in 0..bins {
            for (k, lifter) in lifter.iter().enumerate() {
                let terms = if k == 0 && !options.htk_compat { 1.0 } else { 2.0 };
                let cosine = (PI * k as f64 * (bin as f64 + 0.5) / bins as f64).cos();
                rows.push((lifter * (terms / bins as f64).sqrt() * cosine) as f32);
            }
        }
        CosineTransform { rows, ceps }
    }
    // ANCHOR_END: transform

    /// Appends the coefficients of the log energies of one frame to `out`.
    pub(crate) fn apply(&self, log_energies: &[f32], out: &mut Vec<f32>) {
        let start = out.len();
        out.resize(start + self.ceps, 0.0);
        let out = &mut out[start..];
        for (row, energy) in self.rows.chunks_exact(self.ceps).zip(log_energies) {
            for (sum, weight) in out.iter_mut().zip(row) {
                *sum += weight * energy;
            }
        }
    }
}
