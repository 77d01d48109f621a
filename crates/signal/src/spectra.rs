//! Frames of samples to power spectra: offset, energy, pre-emphasis, window and transform.
//!
//! Kaldi's definition, step by step for each frame of `length` samples (times 32768):
//!
//! ```text
//! x  = x - mean(x)                       remove-dc-offset
//! E  = ln max(sum of x^2, eps)           raw-energy (else after the window)
//! x  = x[i] - c x[i-1], x[-1] = x[0]     preemphasis-coefficient
//! x  = x * window                        window-type
//! P  = |DFT of x filled with zeros|^2    bins 0 to padded / 2
//! ```
//!
//! Frames come in blocks, but each is computed by the same instructions in the same order wherever
//! it stands in a block: that is why chunks of any size give the same bytes.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use crate::feature_options::FeatureOptions;
use crate::features::floored_log;
use crate::window::{Framing, window};

/// Lanes of the sums: fixed, so that the order of addition is the same on every machine.
const LANES: usize = 16;

/// Turns frames of samples into power spectra; plans and tables are made once, and nothing is
/// allocated per frame.
#[derive(Clone)]
pub(crate) struct Spectra {
    remove_dc_offset: bool,
    preemphasis_coefficient: f32,
    /// Whether the energy is asked for, and whether before pre-emphasis and window.
    use_energy: bool,
    raw_energy: bool,
    energy_floor: f32,
    window: Vec<f32>, // [length]
    plan: Arc<dyn RealToComplex<f32>>,
    scratch: Vec<Complex<f32>>,
    padded: Vec<f32>,             // [padded]: windowed, zeros behind
    transform: Vec<Complex<f32>>, // [padded / 2 + 1]
}

impl Spectra {
    /// Prepares the spectra of frames of `framing.length` samples, for options that were checked.
    pub(crate) fn new(options: &FeatureOptions, framing: &Framing) -> Self {
        let points = match options.round_to_power_of_two {
            true => framing.length.next_power_of_two(),
            false => framing.length,
        };
        let plan = RealFftPlanner::<f32>::new().plan_fft_forward(points);
        Spectra {
            remove_dc_offset: options.remove_dc_offset,
            preemphasis_coefficient: options.preemphasis_coefficient,
            use_energy: options.use_energy,
            raw_energy: options.raw_energy,
            energy_floor: options.energy_floor,
            window: window(options.window_type, framing.length, options.blackman_coeff),
            scratch: plan.make_scratch_vec(),
            padded: vec![0.0; points],
            transform: plan.make_output_vec(),
            plan,
        }
    }

    /// Points of the transform.
    pub(crate) fn points(&self) -> usize {
        self.padded.len()
    }

    /// Bins of a spectrum, `points / 2 + 1`.
    pub(crate) fn bins(&self) -> usize {
        self.transform.len()
    }

    /// From `frames`, `[block, length]`, which it changes, to the power spectra, `[block, bins]`,
    /// and the logarithms of the energies, `[block]` (0 where `use-energy` is off).
    pub(crate) fn compute(&mut self, frames: &mut [f32], power: &mut [f32], energies: &mut [f32]) {
        let (length, bins) = (self.window.len(), self.bins());
        let rows = frames.chunks_exact_mut(length).zip(power.chunks_exact_mut(bins));
        for ((frame, power), energy) in rows.zip(energies) {
            *energy = self.compute_frame(frame, power);
        }
    }

    fn compute_frame(&mut self, frame: &mut [f32], power: &mut [f32]) -> f32 {
        let length = frame.len();
        if self.remove_dc_offset {
            let mean = sum(frame, |sample| sample) / length as f32;
            for sample in &mut *frame {
                *sample -= mean;
            }
        }
        let mut energy = 0.0;
        if self.use_energy && self.raw_energy {
            energy = sum(frame, |sample| sample * sample);
        }
        let coefficient = self.preemphasis_coefficient;
        let (windowed, zeros) = self.padded.split_at_mut(length);
        windowed[0] = (frame[0] - coefficient * frame[0]) * self.window[0];
        let pairs = frame.windows(2).zip(&self.window[1..]);
        for (target, (pair, weight)) in windowed[1..].iter_mut().zip(pairs) {
            *target = (pair[1] - coefficient * pair[0]) * weight;
        }
        zeros.fill(0.0); // the transform uses its input as scratch
        if self.use_energy && !self.raw_energy {
            energy = sum(windowed, |sample| sample * sample);
        }
        // It fails for wrong lengths alone, and all three vectors were made by the plan's sizes.
        let _ = self.plan.process_with_scratch(
            &mut self.padded,
            &mut self.transform,
            &mut self.scratch,
        );
        for (power, value) in power.iter_mut().zip(&self.transform) {
            *power = value.re * value.re + value.im * value.im;
        }
        if self.use_energy { log_energy(energy, self.energy_floor) } else { 0.0 }
    }
}

fn log_energy(energy: f32, floor: f32) -> f32 {
    let energy = floored_log(energy);
    if floor > 0.0 { energy.max(floor.ln()) } else { energy }
}

/// The sum of a function of the samples, in `LANES` partial sums.
fn sum(samples: &[f32], value: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let chunks = samples.chunks_exact(LANES);
    for (lane, sample) in chunks.remainder().iter().enumerate() {
        sums[lane] = value(*sample);
    }
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += value(chunk[lane]);
        }
    }
    sums.iter().sum()
}
