//! The feature extractor: samples to frames, whole recordings and streams by the same code.
//!
//! Kaldi's definition, step by step for each frame of `length` samples (times 32768):
//!
//! ```text
//! x  = x - mean(x)                       remove-dc-offset
//! E  = ln max(sum of x^2, eps)           raw-energy (else after the window)
//! x  = x[i] - c x[i-1], x[-1] = x[0]     preemphasis-coefficient
//! x  = x * window                        window-type
//! P  = |DFT of x filled with zeros|^2    bins 0 to padded / 2
//! P  = triangles * P                     fbank, see mel
//! y  = ln max(P, eps)                    eps = 2^-23, the spacing of f32 at 1
//! ```
//!
//! A frame is a function of its own samples alone, and each is computed by the same instructions
//! whenever its last sample arrives: that is why chunks of any size give the same bytes.

use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use crate::feature_options::{FeatureError, FeatureKind, FeatureOptions};
use crate::mel::MelBanks;
use crate::window::{Framing, mirrored, window};

/// Full scale of 16-bit samples, Kaldi's unit.
const SCALE: f32 = 32768.0;

/// Samples taken into the buffer at once, so that an hour needs no more memory than a minute.
const BLOCK: usize = 1 << 16;

/// Lanes of the sums: fixed, so that the order of addition is the same on every machine.
const LANES: usize = 16;

/// Computes feature frames from samples; plans and tables are made once, and nothing is allocated
/// per frame.
#[derive(Clone)]
pub struct FeatureExtractor {
    options: FeatureOptions,
    framing: Framing,
    window: Vec<f32>, // [length]
    mel: Option<MelBanks>,
    plan: Arc<dyn RealToComplex<f32>>,
    scratch: Vec<Complex<f32>>,
    frame: Vec<f32>,              // [length]: the samples, then without their mean
    padded: Vec<f32>,             // [padded]: windowed, zeros behind
    transform: Vec<Complex<f32>>, // [padded / 2 + 1]
    power: Vec<f32>,              // [padded / 2 + 1]
    /// Samples that later frames still need, scaled; the first is number `first`.
    buffer: Vec<f32>,
    first: u64,
    /// Samples seen since the last reset.
    seen: u64,
    /// The next frame to be computed.
    next: u64,
}

impl fmt::Debug for FeatureExtractor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FeatureExtractor")
            .field("options", &self.options)
            .field("seen", &self.seen)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl FeatureExtractor {
    /// Prepares an extractor.
    ///
    /// # Errors
    /// [`FeatureError`] names the option that cannot be followed.
    pub fn new(options: &FeatureOptions) -> Result<Self, FeatureError> {
        options.check()?;
        let framing = Framing::new(options);
        let points = match options.round_to_power_of_two {
            true => framing.length.next_power_of_two(),
            false => framing.length,
        };
        let mel = match options.kind {
            FeatureKind::Fbank => Some(MelBanks::new(options, points)?),
            FeatureKind::Spectrogram | FeatureKind::LogSpectrogram => None,
        };
        let plan = RealFftPlanner::<f32>::new().plan_fft_forward(points);
        Ok(FeatureExtractor {
            framing,
            window: window(options.window_type, framing.length, options.blackman_coeff),
            mel,
            scratch: plan.make_scratch_vec(),
            frame: vec![0.0; framing.length],
            padded: vec![0.0; points],
            transform: plan.make_output_vec(),
            power: vec![0.0; points / 2 + 1],
            plan,
            buffer: Vec::new(),
            first: 0,
            seen: 0,
            next: 0,
            options: options.clone(),
        })
    }

    /// Numbers per frame.
    pub fn dim(&self) -> usize {
        match self.options.kind {
            FeatureKind::Fbank => self.options.num_mel_bins + usize::from(self.options.use_energy),
            FeatureKind::Spectrogram | FeatureKind::LogSpectrogram => self.power.len(),
        }
    }

    /// The sample rate that recordings must have, in Hz.
    pub fn sample_rate(&self) -> u32 {
        // Checked to be whole and in range.
        self.options.sample_frequency as u32
    }

    /// Samples from the start of one frame to the start of the next.
    pub fn shift_samples(&self) -> usize {
        self.framing.shift
    }

    /// The options it was made with.
    pub fn options(&self) -> &FeatureOptions {
        &self.options
    }

    /// Number of frames of a recording of `samples` samples.
    pub fn frame_count(&self, samples: usize) -> usize {
        self.framing.count(samples as u64) as usize
    }

    /// Features of a whole recording: reset, push, finish. Appends `[frames, dim]` to `out`, not
    /// normalised; nothing for a recording shorter than a frame.
    pub fn compute(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        out.reserve(self.frame_count(samples.len()) * self.dim());
        self.reset();
        self.push(samples, out);
        self.finish(out);
    }

    /// Takes the next samples of a stream, in [-1, 1), and appends the frames that they complete
    /// to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        for block in samples.chunks(BLOCK) {
            self.buffer.extend(block.iter().map(|sample| sample * SCALE));
            self.seen += block.len() as u64;
            while self.framing.begin(self.next) + self.framing.length as i64 <= self.seen as i64 {
                self.compute_next(out);
            }
            self.forget();
        }
    }

    /// Ends the stream: appends the frames that reach past its end (with `snip-edges` there are
    /// none) and resets.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        while self.next < self.framing.count(self.seen) {
            self.compute_next(out);
        }
        self.reset();
    }

    /// Forgets the stream: the next sample is the first of a new one.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.first = 0;
        self.seen = 0;
        self.next = 0;
    }

    /// Drops samples that no later frame needs. A frame that is mirrored at the end has its middle
    /// at or before the end, so mirroring leads to no sample before the frame's own first one.
    fn forget(&mut self) {
        let keep = (self.framing.begin(self.next).max(0) as u64).min(self.seen);
        let spent = keep.saturating_sub(self.first) as usize;
        // Moving what is left costs as much as what is dropped is long, so wait for enough.
        if spent >= self.framing.length && spent >= self.buffer.len() / 2 {
            self.buffer.drain(..spent);
            self.first = keep;
        }
    }

    /// Computes frame `next` from the buffer, mirrored where it reaches out of the recording.
    fn compute_next(&mut self, out: &mut Vec<f32>) {
        let begin = self.framing.begin(self.next);
        self.next += 1;
        let length = self.framing.length;
        let (first, seen) = (self.first as i64, self.seen as i64);
        if begin >= 0 && begin + length as i64 <= seen {
            let start = (begin - first) as usize;
            self.frame.copy_from_slice(&self.buffer[start..start + length]);
        } else {
            for (index, sample) in (begin..).zip(&mut self.frame) {
                *sample = self.buffer[(mirrored(index, seen) - first) as usize];
            }
        }
        self.compute_frame(out);
    }

    /// From the samples in `frame` to one row appended to `out`.
    fn compute_frame(&mut self, out: &mut Vec<f32>) {
        let options = &self.options;
        let length = self.frame.len();
        if options.remove_dc_offset {
            let mean = sum(&self.frame, |sample| sample) / length as f32;
            for sample in &mut self.frame {
                *sample -= mean;
            }
        }
        let mut energy = 0.0;
        if options.use_energy && options.raw_energy {
            energy = sum(&self.frame, |sample| sample * sample);
        }
        let coefficient = options.preemphasis_coefficient;
        let (windowed, zeros) = self.padded.split_at_mut(length);
        windowed[0] = (self.frame[0] - coefficient * self.frame[0]) * self.window[0];
        let pairs = self.frame.windows(2).zip(&self.window[1..]);
        for (target, (pair, weight)) in windowed[1..].iter_mut().zip(pairs) {
            *target = (pair[1] - coefficient * pair[0]) * weight;
        }
        zeros.fill(0.0); // the transform uses its input as scratch
        if options.use_energy && !options.raw_energy {
            energy = sum(windowed, |sample| sample * sample);
        }
        // It fails for wrong lengths alone, and all three vectors were made by the plan's sizes.
        let _ = self.plan.process_with_scratch(
            &mut self.padded,
            &mut self.transform,
            &mut self.scratch,
        );
        for (power, value) in self.power.iter_mut().zip(&self.transform) {
            *power = value.re * value.re + value.im * value.im;
        }
        match (&self.mel, options.kind) {
            (Some(mel), _) => {
                if !options.use_power {
                    for power in &mut self.power {
                        *power = power.sqrt();
                    }
                }
                if options.use_energy && !options.htk_compat {
                    out.push(log_energy(energy, options.energy_floor));
                }
                let start = out.len();
                mel.apply(&self.power, out);
                if options.use_log_fbank {
                    for value in &mut out[start..] {
                        *value = floored_log(*value);
                    }
                }
                if options.use_energy && options.htk_compat {
                    out.push(log_energy(energy, options.energy_floor));
                }
            }
            (None, FeatureKind::LogSpectrogram) => {
                let start = out.len();
                out.extend(self.power.iter().map(|power| floored_log(*power)));
                if options.use_energy {
                    out[start] = log_energy(energy, options.energy_floor);
                }
            }
            (None, _) => out.extend_from_slice(&self.power),
        }
    }
}

fn floored_log(value: f32) -> f32 {
    value.max(f32::EPSILON).ln()
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
