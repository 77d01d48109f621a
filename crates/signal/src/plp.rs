//! Perceptual linear prediction: the cepstrum of an all-pole model of what is heard.
//!
//! ```text
//! filter energies ─► × equal loudness ─► ^ 0.33 ─► autocorrelation ─► all-pole model ─► cepstrum
//! ```
//!
//! * The ear is less sensitive to low frequencies: filter b, centred on f Hz, is weighted by
//!   E(f) = (f² / (f² + 1.6e5))² (f² + 1.44e6) / (f² + 9.61e6), which approximates the curve of
//!   equal loudness at 40 dB. Loudness grows as the cube root of power: `compress-factor`.
//! * The compressed filters, the first and the last one doubled to stand at 0 and at half the
//!   sample rate, are half of an even power spectrum P of 2 (B + 1) points. Its inverse transform is
//!   an autocorrelation, r[k] = 1 / (2 (B + 1)) Σ_j P[j] cos(π j k / (B + 1)) over all points.
//! * The predictor of order p that leaves the least error, x[n] ≈ Σ a[i] x[n - i], solves the
//!   normal equations Σ_i a[i] r[|i - k|] = r[k]. They are of Toeplitz form, and Durbin's recursion
//!   solves them order by order: with error E and reflection
//!   κ = (r[i] - Σ_{j<i} a[j] r[i - j]) / E, set a[i] = κ, a[j] -= κ a[i - j], E *= 1 - κ².
//! * The model's spectrum is E / |A|², A(z) = 1 - Σ a[i] z^-i. Differentiating its logarithm gives
//!   the cepstrum without a transform: c[k] = a[k] + Σ_{i<k} (i / k) c[i] a[k - i], c[0] = ln E.
//!
//! Hermansky 1990, "Perceptual linear predictive (PLP) analysis of speech"; Makhoul 1975, "Linear
//! prediction: a tutorial review"; Atal 1974 for the cepstrum. Mel triangles stand for Hermansky's
//! critical bands as in HTK and in Kaldi (`feat/feature-plp.cc`, `feat/mel-computations.cc`), whose
//! order, floors and scales these are. Sums are in double precision: at order 12 the normal
//! equations of a vowel lose four digits.
//!
//! Book: book/src/cepstrum.md

use std::f64::consts::PI;

use crate::cepstrum::lifter;
use crate::feature_options::{FeatureError, FeatureOptions};
use crate::mel::centers;

/// Least share of the error that a step of the recursion leaves, Kaldi's guard for a constant.
const LEAST_REST: f64 = 1e-5;

/// From filter energies to cepstral coefficients; tables and room are made once.
#[derive(Clone, Debug)]
pub(crate) struct LinearPrediction {
    loudness: Vec<f64>, // [bins]
    compress_factor: f64,
    cosines: Vec<f64>,      // [order + 1, bins + 2]
    lifter: Vec<f64>,       // [ceps], cepstral-scale inside
    compressed: Vec<f64>,   // [bins + 2]
    correlations: Vec<f64>, // [order + 1]
    predictor: Vec<f64>,    // [order]
    before: Vec<f64>,       // [order]: the predictor of one order less
    cepstrum: Vec<f64>,     // [order]: coefficients 1 and up
}

impl LinearPrediction {
    /// Prepares the analysis for options that were checked.
    pub(crate) fn new(options: &FeatureOptions) -> Result<Self, FeatureError> {
        let (bins, order) = (options.num_mel_bins, options.lpc_order);
        let loudness = |frequency: &f32| {
            let square = f64::from(*frequency).powi(2);
            (square / (square + 1.6e5)).powi(2) * (square + 1.44e6) / (square + 9.61e6)
        };
        let points = bins + 2;
        let cosine = |lag: usize, point: usize| {
            // The points between stand for two of the even spectrum.
            let share = if point == 0 || point == points - 1 { 0.5 } else { 1.0 };
            let angle = PI * ((lag * point) % (2 * (points - 1))) as f64 / (points - 1) as f64;
            share / (points - 1) as f64 * angle.cos()
        };
        let scale = f64::from(options.cepstral_scale);
        let lifter = lifter(options.cepstral_lifter, options.num_ceps);
        Ok(LinearPrediction {
            loudness: centers(options)?.iter().map(loudness).collect(),
            compress_factor: f64::from(options.compress_factor),
            cosines: (0..=order)
                .flat_map(|lag| (0..points).map(move |point| cosine(lag, point)))
                .collect(),
            lifter: lifter.iter().map(|factor| factor * scale).collect(),
            compressed: vec![0.0; points],
            correlations: vec![0.0; order + 1],
            predictor: vec![0.0; order],
            before: vec![0.0; order],
            cepstrum: vec![0.0; order],
        })
    }

    /// Appends the coefficients of one frame's filter energies to `out`.
    pub(crate) fn apply(&mut self, energies: &[f32], out: &mut Vec<f32>) {
        let bins = self.loudness.len();
        let inner = self.compressed[1..=bins].iter_mut();
        for ((point, energy), loudness) in inner.zip(energies).zip(&self.loudness) {
            *point = (f64::from(*energy) * loudness).powf(self.compress_factor);
        }
        self.compressed[0] = self.compressed[1];
        self.compressed[bins + 1] = self.compressed[bins];
        let rows = self.cosines.chunks_exact(bins + 2);
        for (correlation, row) in self.correlations.iter_mut().zip(rows) {
            *correlation = row.iter().zip(&self.compressed).map(|(a, b)| a * b).sum();
        }
        let error = self.predict();
        self.find_cepstrum();
        // Kaldi bounds the logarithm itself, so that a frame fainter than 1 counts as 1.
        let first = error.ln().max(f64::from(f32::EPSILON));
        let all = std::iter::once(&first).chain(&self.cepstrum);
        out.extend(all.zip(&self.lifter).map(|(value, factor)| (value * factor) as f32));
    }

    /// Durbin's recursion; gives the error that is left.
    fn predict(&mut self) -> f64 {
        let LinearPrediction { correlations, predictor, before, .. } = self;
        predictor.fill(0.0);
        let mut error = correlations[0];
        // A frame of zeros: nothing to predict. (Kaldi divides zero by zero.)
        if error <= 0.0 {
            return 0.0;
        }
        for order in 0..predictor.len() {
            before.copy_from_slice(predictor);
            let known: f64 = (0..order).map(|i| before[i] * correlations[order - i]).sum();
            let reflection = (correlations[order + 1] - known) / error;
            predictor[order] = reflection;
            for i in 0..order {
                predictor[i] = before[i] - reflection * before[order - 1 - i];
            }
            error *= (1.0 - reflection * reflection).max(LEAST_REST);
        }
        error
    }

    fn find_cepstrum(&mut self) {
        let LinearPrediction { predictor, cepstrum, .. } = self;
        for k in 0..predictor.len() {
            let known: f64 =
                (0..k).map(|i| (i + 1) as f64 * cepstrum[i] * predictor[k - 1 - i]).sum();
            cepstrum[k] = predictor[k] + known / (k + 1) as f64;
        }
    }
}
