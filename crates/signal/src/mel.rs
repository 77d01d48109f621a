//! The mel filterbank: triangles of equal width on the mel scale over the bins of a spectrum.
//!
//! mel(f) = 1127 ln(1 + f / 700). With edges `low` and `high` in mel and `n` triangles, triangle
//! `b` rises from `low + b d` to 1 at `low + (b + 1) d` and falls to `low + (b + 2) d`, with
//! `d = (high - low) / (n + 1)`; the weight of a spectral bin is the triangle's height at the
//! bin's own mel frequency. Single precision is used where Kaldi uses it, so that even the
//! rounding is Kaldi's.
//!
//! Slaney's scale (Slaney 1998, "Auditory Toolbox", with librosa's inverse) is 3 f / 200 up to
//! 1000 Hz and 15 + 27 ln(f / 1000) / ln 6.4 above. Its triangles are straight over Hz, not over
//! mel, and each is divided by half its width, so that white noise gives all filters the same.
//!
//! Vocal tract length normalisation moves the triangles. A vocal tract shorter by a factor resonates
//! higher by the same; `warp` > 1 moves the filters down by it, f / warp, between `vtln-low` and
//! `vtln-high`, and two straight lines lead from there to the filterbank's own edges, which stay.
//! (Lee & Rose 1998, "A frequency warping approach to speaker normalization"; where the lines meet
//! is Kaldi's choice.) Drawn at random in training it is an augmentation (Jaitly & Hinton 2013,
//! "Vocal Tract Length Perturbation improves speech recognition").
//!
//! Book: book/src/mel.md

use crate::feature_options::{FeatureError, FeatureOptions, MelScale};
use crate::spectra::FRAMES;
use crate::vector::{InstructionSet, Isa, Task};

/// One triangle: the weights of the bins `first..first + weights.len()`.
#[derive(Clone, Debug)]
struct Triangle {
    first: usize,
    weights: Vec<f32>,
}

/// All triangles.
#[derive(Clone, Debug)]
pub(crate) struct MelBanks {
    triangles: Vec<Triangle>,
}

// ANCHOR: scale
fn mel(frequency: f32) -> f32 {
    1127.0 * (1.0 + frequency / 700.0).ln()
}

fn hertz(mel: f32) -> f32 {
    700.0 * ((mel / 1127.0).exp() - 1.0)
}
// ANCHOR_END: scale

/// A frequency map in three straight pieces.
struct Warp {
    /// Edges of the filterbank, in Hz: nothing beyond is moved.
    low: f32,
    high: f32,
    /// Between these two, f becomes f · scale.
    lower: f32,
    upper: f32,
    scale: f32,
}

impl Warp {
    /// The warp of these options over a filterbank from `low` to `high` Hz; none for a factor of 1.
    fn new(options: &FeatureOptions, low: f32, high: f32) -> Result<Option<Self>, FeatureError> {
        let factor = options.vtln_warp;
        if factor == 1.0 {
            return Ok(None);
        }
        if !(0.2..=5.0).contains(&factor) {
            let reason = "must lie from 0.2 to 5; 1 means no warp";
            return Err(FeatureError::new("vtln-warp", factor, reason));
        }
        let nyquist = 0.5 * options.sample_frequency;
        let vtln_high = match options.vtln_high {
            edge if edge > 0.0 => edge,
            edge => nyquist + edge,
        };
        if !(low < options.vtln_low && options.vtln_low < vtln_high) {
            let reason = format!("must lie between low-freq ({low} Hz) and vtln-high");
            return Err(FeatureError::new("vtln-low", options.vtln_low, reason));
        }
        if vtln_high.is_nan() || vtln_high >= high {
            let reason =
                format!("means {vtln_high} Hz, which must lie below high-freq ({high} Hz)");
            return Err(FeatureError::new("vtln-high", options.vtln_high, reason));
        }
        let (lower, upper) = (options.vtln_low * factor.max(1.0), vtln_high * factor.min(1.0));
        if lower >= upper {
            let reason = format!(
                "leaves no band to warp between vtln-low and vtln-high ({lower} to {upper} Hz)"
            );
            return Err(FeatureError::new("vtln-warp", factor, reason));
        }
        Ok(Some(Warp { low, high, lower, upper, scale: 1.0 / factor }))
    }

    fn apply(&self, frequency: f32) -> f32 {
        let Warp { low, high, lower, upper, scale } = *self;
        if frequency < low || frequency > high {
            frequency
        } else if frequency < lower {
            low + (scale * lower - low) / (lower - low) * (frequency - low)
        } else if frequency < upper {
            scale * frequency
        } else {
            high + (high - scale * upper) / (high - upper) * (frequency - high)
        }
    }
}

// ANCHOR: height
/// The height at `position` of the triangle with these corners; none outside of it.
fn height(position: f32, [left, center, right]: [f32; 3]) -> Option<f32> {
    if position <= left || position >= right {
        None
    } else if position <= center {
        Some((position - left) / (center - left))
    } else {
        Some((right - position) / (right - center))
    }
}
// ANCHOR_END: height

/// Slaney's scale: the frequency in Hz of a point on it, and back.
mod slaney {
    const LINEAR: f64 = 200.0 / 3.0; // Hz per mel
    const BEND: f64 = 1000.0 / LINEAR;

    /// Width of a mel above the bend, in ln Hz.
    fn step() -> f64 {
        6.4f64.ln() / 27.0
    }

    pub(super) fn mel(hertz: f64) -> f64 {
        if hertz < 1000.0 { hertz / LINEAR } else { BEND + (hertz / 1000.0).ln() / step() }
    }

    pub(super) fn hertz(mel: f64) -> f64 {
        if mel < BEND { mel * LINEAR } else { 1000.0 * ((mel - BEND) * step()).exp() }
    }
}

/// The edges of the filterbank in Hz, checked.
fn band(options: &FeatureOptions) -> Result<(f32, f32), FeatureError> {
    let nyquist = 0.5 * options.sample_frequency;
    let low = options.low_freq;
    let high =
        if options.high_freq > 0.0 { options.high_freq } else { nyquist + options.high_freq };
    if options.num_mel_bins < 3 {
        return Err(FeatureError::new("num-mel-bins", options.num_mel_bins, "must be at least 3"));
    }
    if !(0.0..nyquist).contains(&low) {
        let reason = format!("must lie from 0 to below half the sample frequency, {nyquist} Hz");
        return Err(FeatureError::new("low-freq", low, reason));
    }
    if high <= low || high > nyquist || high.is_nan() {
        let reason = format!(
            "means an upper edge of {high} Hz, which must lie above low-freq ({low} Hz) and at \
             most at half the sample frequency ({nyquist} Hz); 0 means the latter"
        );
        return Err(FeatureError::new("high-freq", options.high_freq, reason));
    }
    Ok((low, high))
}

/// The points at which triangles begin, peak and end, `num-mel-bins + 2` of them: in mel on HTK's
/// scale, in Hz on Slaney's.
fn corners(options: &FeatureOptions) -> Result<Vec<f64>, FeatureError> {
    let (low, high) = band(options)?;
    let warp = Warp::new(options, low, high)?;
    let bins = options.num_mel_bins;
    Ok(match options.mel_scale {
        MelScale::Htk => {
            let (low_mel, high_mel) = (mel(low), mel(high));
            let delta = (high_mel - low_mel) / (bins + 1) as f32;
            let corner = |index: usize| {
                let unwarped = low_mel + index as f32 * delta;
                match &warp {
                    Some(warp) => mel(warp.apply(hertz(unwarped))),
                    None => unwarped,
                }
            };
            (0..bins + 2).map(|index| f64::from(corner(index))).collect()
        }
        MelScale::Slaney => {
            let (low, high) = (slaney::mel(f64::from(low)), slaney::mel(f64::from(high)));
            let corner = |index: usize| {
                let hertz = slaney::hertz(low + index as f64 * (high - low) / (bins + 1) as f64);
                match &warp {
                    Some(warp) => f64::from(warp.apply(hertz as f32)),
                    None => hertz,
                }
            };
            (0..bins + 2).map(corner).collect()
        }
    })
}

/// The frequencies in Hz at which the triangles peak.
///
/// # Errors
/// As [`MelBanks::new`].
pub(crate) fn centers(options: &FeatureOptions) -> Result<Vec<f32>, FeatureError> {
    let corners = corners(options)?;
    let peaks = corners[1..=options.num_mel_bins].iter();
    Ok(match options.mel_scale {
        MelScale::Htk => peaks.map(|peak| hertz(*peak as f32)).collect(),
        MelScale::Slaney => peaks.map(|peak| *peak as f32).collect(),
    })
}

impl MelBanks {
    /// The filterbank over the lower half of a transform of `padded` points.
    pub(crate) fn new(options: &FeatureOptions, padded: usize) -> Result<Self, FeatureError> {
        let bins = options.num_mel_bins;
        if bins > padded {
            let reason = format!("must be at most the {padded} points of the transform");
            return Err(FeatureError::new("num-mel-bins", bins, reason));
        }
        let corners = corners(options)?;
        let width = options.sample_frequency / padded as f32;
        let mut triangles = Vec::with_capacity(bins);
        for bin in 0..bins {
            let corners = [corners[bin], corners[bin + 1], corners[bin + 2]];
            let weight = |index: usize| match options.mel_scale {
                MelScale::Htk => height(mel(width * index as f32), corners.map(|mel| mel as f32)),
                MelScale::Slaney => {
                    let [left, center, right] = corners;
                    let hertz = f64::from(options.sample_frequency) * index as f64 / padded as f64;
                    let sides = (hertz - left) / (center - left);
                    let height = sides.min((right - hertz) / (right - center));
                    (height > 0.0).then(|| (height * 2.0 / (right - left)) as f32)
                }
            };
            let mut triangle = Triangle { first: 0, weights: Vec::new() };
            for index in 0..padded / 2 {
                let Some(weight) = weight(index) else { continue };
                if triangle.weights.is_empty() {
                    triangle.first = index;
                }
                triangle.weights.push(weight);
            }
            // HTK leaves the lowest bin out of the first filter when low-freq is not 0.
            if options.htk_mode
                && bin == 0
                && mel(options.low_freq) != 0.0
                && let Some(weight) = triangle.weights.first_mut()
            {
                *weight = 0.0;
            }
            if triangle.weights.is_empty() {
                let reason = format!(
                    "is too many: filter {} lies between two bins of the spectrum, which are \
                     {width:.1} Hz apart; lower num-mel-bins or lengthen frame-length",
                    bin + 1
                );
                return Err(FeatureError::new("num-mel-bins", bins, reason));
            }
            triangles.push(triangle);
        }
        Ok(MelBanks { triangles })
    }

    /// From power spectra side by side, `[bins, FRAMES]`, to the energies under each triangle,
    /// `[triangles, FRAMES]`.
    pub(crate) fn apply(&self, instructions: InstructionSet, power: &[f32], energies: &mut [f32]) {
        instructions.run(Apply { triangles: &self.triangles, power, energies });
    }

    /// Number of triangles.
    pub(crate) fn len(&self) -> usize {
        self.triangles.len()
    }
}

/// Partial sums over a triangle: fixed, so that the order of addition depends on its width alone.
const SUMS: usize = 4;

struct Apply<'a> {
    triangles: &'a [Triangle],
    power: &'a [f32],
    energies: &'a mut [f32],
}

impl Task for Apply<'_> {
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (triangle, energies) in
            self.triangles.iter().zip(self.energies.chunks_exact_mut(FRAMES))
        {
            let bins = &self.power[triangle.first * FRAMES..][..triangle.weights.len() * FRAMES];
            for lane in (0..FRAMES).step_by(I::LANES) {
                let mut sums = [isa.splat(0.0); SUMS];
                let weights = triangle.weights.chunks_exact(SUMS);
                let bins = bins.chunks_exact(SUMS * FRAMES);
                let rest = weights.remainder().iter().zip(bins.remainder().chunks_exact(FRAMES));
                for (sum, (weight, bin)) in sums.iter_mut().zip(rest) {
                    *sum = isa.splat(*weight) * isa.load(&bin[lane..]);
                }
                for (weights, bins) in weights.zip(bins) {
                    for (index, sum) in sums.iter_mut().enumerate() {
                        let bin = isa.load(&bins[index * FRAMES + lane..]);
                        *sum = *sum + isa.splat(weights[index]) * bin;
                    }
                }
                isa.store((sums[0] + sums[1]) + (sums[2] + sums[3]), &mut energies[lane..]);
            }
        }
    }
}
