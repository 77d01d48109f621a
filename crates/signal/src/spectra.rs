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
//! Frames come in blocks of up to [`FRAMES`] and are computed side by side, one in each lane of a
//! vector (see `vector`). Each goes through the same operations in the same order wherever it
//! stands in a block and whoever its mates are: that is why chunks of any size give the same bytes.
//!
//! Book: book/src/spectrum.md

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use crate::feature_options::FeatureOptions;
use crate::fourier::Fourier;
use crate::vector::{
    InstructionSet, Isa, Task, Vector, floored_log, floored_log_of_one, transpose,
};
use crate::window::{Framing, window};

/// Frames in a block: the columns of its matrices, and what the lanes of every vector divide.
pub(crate) const FRAMES: usize = 16;

/// Partial sums over a frame: fixed, so that the order of addition depends on its length alone.
const SUMS: usize = 4;

/// Turns frames of samples into power spectra; plans and tables are made once, and nothing is
/// allocated per frame.
#[derive(Clone)]
pub(crate) struct Spectra {
    instructions: InstructionSet,
    steps: Steps,
    transform: Transform,
    lanes: Vec<f32>, // [points, lanes of a vector]: windowed, zeros behind
}

/// What is done to a frame before the transform.
#[derive(Clone)]
struct Steps {
    remove_dc_offset: bool,
    preemphasis_coefficient: f32,
    /// Whether the energy is asked for, and whether before pre-emphasis and window.
    use_energy: bool,
    raw_energy: bool,
    energy_floor: f32,
    window: Vec<f32>, // [length]
}

/// How the transform is computed.
#[derive(Clone)]
enum Transform {
    /// In lanes, for powers of two.
    Lanes(Fourier),
    /// Frame by frame, for other numbers of points.
    Frames(Single),
}

/// A plan for one frame, with its memory.
#[derive(Clone)]
struct Single {
    plan: Arc<dyn RealToComplex<f32>>,
    scratch: Vec<Complex<f32>>,
    points: Vec<f32>,            // [points]
    spectrum: Vec<Complex<f32>>, // [points / 2 + 1]
}

impl Spectra {
    /// Prepares the spectra of frames of `framing.length` samples, for options that were checked.
    pub(crate) fn new(
        options: &FeatureOptions,
        framing: &Framing,
        instructions: InstructionSet,
    ) -> Self {
        let points = match options.round_to_power_of_two {
            true => framing.length.next_power_of_two(),
            false => framing.length,
        };
        let transform = match Fourier::new(points) {
            Some(fourier) => Transform::Lanes(fourier),
            None => Transform::Frames(Single::new(points)),
        };
        Spectra {
            instructions,
            steps: Steps {
                remove_dc_offset: options.remove_dc_offset,
                preemphasis_coefficient: options.preemphasis_coefficient,
                use_energy: options.use_energy,
                raw_energy: options.raw_energy,
                energy_floor: options.energy_floor,
                window: window(options.window_type, framing.length, options.blackman_coeff),
            },
            transform,
            lanes: vec![0.0; points * FRAMES],
        }
    }

    /// Points of the transform.
    pub(crate) fn points(&self) -> usize {
        self.lanes.len() / FRAMES
    }

    /// Bins of a spectrum, `points / 2 + 1`.
    pub(crate) fn bins(&self) -> usize {
        self.points() / 2 + 1
    }

    /// From `frames`, `[block, length]` with at most [`FRAMES`] of them, to the power spectra side
    /// by side, `[bins, FRAMES]`, and the logarithms of the energies, `[block]` (0 where
    /// `use-energy` is off). The columns from `block` on mean nothing.
    pub(crate) fn compute(&mut self, frames: &[f32], power: &mut [f32], energies: &mut [f32]) {
        debug_assert!(energies.len() <= FRAMES);
        debug_assert!(frames.len() == energies.len() * self.steps.window.len());
        debug_assert!(power.len() == self.bins() * FRAMES);
        let Spectra { instructions, steps, transform, lanes } = self;
        instructions.run(Compute { steps, transform, lanes, frames, power, energies });
    }
}

/// The arguments of [`Spectra::compute`].
struct Compute<'a> {
    steps: &'a Steps,
    transform: &'a mut Transform,
    lanes: &'a mut [f32],
    frames: &'a [f32],
    power: &'a mut [f32],
    energies: &'a mut [f32],
}

impl Task for Compute<'_> {
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Compute { steps, transform, lanes, frames, power, energies } = self;
        let length = steps.window.len();
        let points = lanes.len() / FRAMES;
        let lanes = &mut lanes[..points * I::LANES];
        let groups = frames.chunks(I::LANES * length).zip(energies.chunks_mut(I::LANES));
        for (group, (frames, energies)) in groups.enumerate() {
            let shape = [energies.len(), length];
            transpose(isa, shape, frames, length, lanes, I::LANES); // [length, LANES]
            let (samples, zeros) = lanes.split_at_mut(length * I::LANES);
            let energy = steps.run(isa, samples);
            zeros.fill(0.0); // the transform leaves others there
            if steps.use_energy {
                let mut values = [0f32; FRAMES];
                isa.store(energy, &mut values);
                for (energy, value) in energies.iter_mut().zip(values) {
                    *energy = log_energy(value, steps.energy_floor);
                }
            } else {
                energies.fill(0.0);
            }
            let power = &mut power[group * I::LANES..];
            match &mut *transform {
                Transform::Lanes(fourier) => fourier.power(isa, lanes, power, FRAMES),
                Transform::Frames(single) => {
                    for lane in 0..energies.len() {
                        single.power(lanes, I::LANES, lane, &mut power[lane..]);
                    }
                }
            }
        }
    }
}

impl Steps {
    // ANCHOR: steps
    /// From samples, `[length, LANES]`, to what is transformed, in place; returns the energies.
    #[inline(always)]
    fn run<I: Isa>(&self, isa: I, samples: &mut [f32]) -> I::V {
        let mut mean = isa.splat(0.0);
        if self.remove_dc_offset {
            mean = sum(isa, samples) / isa.splat(self.window.len() as f32);
        }
        let mut energy = isa.splat(0.0);
        if self.use_energy && self.raw_energy {
            energy = sum_of_squares(isa, samples, mean);
        }
        let coefficient = isa.splat(self.preemphasis_coefficient);
        let mut before = isa.load(samples) - mean;
        for (sample, weight) in samples.chunks_exact_mut(I::LANES).zip(&self.window) {
            let value = isa.load(sample) - mean;
            isa.store((value - coefficient * before) * isa.splat(*weight), sample);
            before = value;
        }
        if self.use_energy && !self.raw_energy {
            energy = sum_of_squares(isa, samples, isa.splat(0.0));
        }
        energy
    }
    // ANCHOR_END: steps
}

/// The sum of samples, `[length, LANES]`, in [`SUMS`] partial sums.
#[inline(always)]
fn sum<I: Isa>(isa: I, samples: &[f32]) -> I::V {
    let mut sums = [isa.splat(0.0); SUMS];
    let chunks = samples.chunks_exact(SUMS * I::LANES);
    for (sum, sample) in sums.iter_mut().zip(chunks.remainder().chunks_exact(I::LANES)) {
        *sum = isa.load(sample);
    }
    for chunk in chunks {
        for index in 0..SUMS {
            sums[index] = sums[index] + isa.load(&chunk[index * I::LANES..]);
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// The sum of the squares of what `mean` leaves of them.
#[inline(always)]
fn sum_of_squares<I: Isa>(isa: I, samples: &[f32], mean: I::V) -> I::V {
    let mut sums = [isa.splat(0.0); SUMS];
    let chunks = samples.chunks_exact(SUMS * I::LANES);
    for (sum, sample) in sums.iter_mut().zip(chunks.remainder().chunks_exact(I::LANES)) {
        let value = isa.load(sample) - mean;
        *sum = value * value;
    }
    for chunk in chunks {
        for index in 0..SUMS {
            let value = isa.load(&chunk[index * I::LANES..]) - mean;
            sums[index] = sums[index] + value * value;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

fn log_energy(energy: f32, floor: f32) -> f32 {
    let energy = floored_log_of_one(energy);
    if floor > 0.0 { energy.max(floor.ln()) } else { energy }
}

impl Single {
    fn new(points: usize) -> Self {
        let plan = RealFftPlanner::<f32>::new().plan_fft_forward(points);
        Single {
            scratch: plan.make_scratch_vec(),
            points: plan.make_input_vec(),
            spectrum: plan.make_output_vec(),
            plan,
        }
    }

    /// The power spectrum of one lane of `[points, width]`, to a column of `[bins, FRAMES]`.
    fn power(&mut self, lanes: &[f32], width: usize, lane: usize, power: &mut [f32]) {
        for (point, row) in self.points.iter_mut().zip(lanes.chunks_exact(width)) {
            *point = row[lane];
        }
        // It fails for wrong lengths alone, and all three vectors were made by the plan's sizes.
        let _ =
            self.plan.process_with_scratch(&mut self.points, &mut self.spectrum, &mut self.scratch);
        for (power, value) in power.iter_mut().step_by(FRAMES).zip(&self.spectrum) {
            *power = value.re * value.re + value.im * value.im;
        }
    }
}

/// Square roots of `values`, `[anything, FRAMES]`, in place.
pub(crate) struct SquareRoots<'a>(pub &'a mut [f32]);

impl Task for SquareRoots<'_> {
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for value in self.0.chunks_exact_mut(I::LANES) {
            isa.store(isa.load(value).sqrt(), value);
        }
    }
}

/// Logarithms of `values`, `[anything, FRAMES]`, in place, bounded from below as Kaldi does.
pub(crate) struct Logarithms<'a>(pub &'a mut [f32]);

impl Task for Logarithms<'_> {
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for value in self.0.chunks_exact_mut(I::LANES) {
            isa.store(floored_log(isa, isa.load(value)), value);
        }
    }
}

/// From columns, `[dim, FRAMES]`, to rows, `[block, dim]`, the rows `stride` apart.
pub(crate) struct Rows<'a> {
    pub columns: &'a [f32],
    pub block: usize,
    pub rows: &'a mut [f32],
    pub stride: usize,
}

impl Task for Rows<'_> {
    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let shape = [self.columns.len() / FRAMES, self.block];
        transpose(isa, shape, self.columns, FRAMES, self.rows, self.stride);
    }
}
