//! The feature extractor: samples to frames, whole recordings and streams by the same code.
//!
//! ```text
//! samples ──framing──► frames ──spectra──► power spectra, energies ──mel──► filter energies ──► row
//! ```
//!
//! A frame is a function of its own samples alone. Frames are computed in blocks that stay in the
//! cache, as many as the samples at hand complete; a frame's place in its block changes nothing.

use crate::feature_options::{FeatureError, FeatureKind, FeatureOptions};
use crate::mel::MelBanks;
use crate::spectra::{FRAMES, Logarithms, Rows, Spectra, SquareRoots};
use crate::vector::InstructionSet;
use crate::window::{Framing, mirrored};
use std::fmt;

/// Full scale of 16-bit samples, Kaldi's unit.
const SCALE: f32 = 32768.0;

/// Samples taken into the buffer at once, so that an hour needs no more memory than a minute.
const BLOCK: usize = 1 << 16;

/// Computes feature frames from samples; plans and tables are made once, and nothing is allocated
/// per frame.
#[derive(Clone)]
pub struct FeatureExtractor {
    options: FeatureOptions,
    instructions: InstructionSet,
    dim: usize,
    framing: Framing,
    spectra: Spectra,
    mel: Option<MelBanks>,
    frames: Vec<f32>,   // [FRAMES, length]: the frames of a block, as many as wait
    power: Vec<f32>,    // [bins, FRAMES]
    filters: Vec<f32>,  // [mel, FRAMES]
    energies: Vec<f32>, // [FRAMES]
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
        Self::with_instructions(options, InstructionSet::detect())
    }

    /// Prepares an extractor that computes with one of the machine's instruction sets: at another
    /// speed, to the same bytes.
    ///
    /// # Errors
    /// [`FeatureError`] names the option that cannot be followed.
    pub fn with_instructions(
        options: &FeatureOptions,
        instructions: InstructionSet,
    ) -> Result<Self, FeatureError> {
        options.check()?;
        let framing = Framing::new(options);
        let spectra = Spectra::new(options, &framing, instructions);
        let mel = match options.kind {
            FeatureKind::Fbank => Some(MelBanks::new(options, spectra.points())?),
            FeatureKind::Spectrogram | FeatureKind::LogSpectrogram => None,
        };
        Ok(FeatureExtractor {
            instructions,
            dim: match &mel {
                Some(mel) => mel.len() + usize::from(options.use_energy),
                None => spectra.bins(),
            },
            framing,
            filters: vec![0.0; mel.as_ref().map_or(0, MelBanks::len) * FRAMES],
            mel,
            frames: Vec::with_capacity(FRAMES * framing.length),
            power: vec![0.0; spectra.bins() * FRAMES],
            energies: vec![0.0; FRAMES],
            spectra,
            buffer: Vec::new(),
            first: 0,
            seen: 0,
            next: 0,
            options: options.clone(),
        })
    }

    /// Numbers per frame.
    pub fn dim(&self) -> usize {
        self.dim
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
                self.take_next(out);
            }
            self.compute_block(out);
            self.forget();
        }
    }

    /// Ends the stream: appends the frames that reach past its end (with `snip-edges` there are
    /// none) and resets.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        while self.next < self.framing.count(self.seen) {
            self.take_next(out);
        }
        self.compute_block(out);
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

    /// Takes frame `next` from the buffer, mirrored where it reaches out of the recording, and
    /// computes the block that it fills.
    fn take_next(&mut self, out: &mut Vec<f32>) {
        let begin = self.framing.begin(self.next);
        self.next += 1;
        let length = self.framing.length;
        let (first, seen) = (self.first as i64, self.seen as i64);
        if begin >= 0 && begin + length as i64 <= seen {
            let start = (begin - first) as usize;
            self.frames.extend_from_slice(&self.buffer[start..start + length]);
        } else {
            let samples = (begin..begin + length as i64)
                .map(|index| self.buffer[(mirrored(index, seen) - first) as usize]);
            self.frames.extend(samples);
        }
        if self.frames.len() == FRAMES * length {
            self.compute_block(out);
        }
    }

    /// From the samples in `frames` to as many rows appended to `out`.
    fn compute_block(&mut self, out: &mut Vec<f32>) {
        let block = self.frames.len() / self.framing.length;
        if block == 0 {
            return;
        }
        let energies = &mut self.energies[..block];
        self.spectra.compute(&self.frames, &mut self.power, energies);
        self.frames.clear();
        let options = &self.options;
        let set = self.instructions;
        let (columns, log) = match &self.mel {
            Some(mel) => {
                if !options.use_power {
                    set.run(SquareRoots(&mut self.power));
                }
                mel.apply(set, &self.power, &mut self.filters);
                (&mut self.filters, options.use_log_fbank)
            }
            None => (&mut self.power, options.kind == FeatureKind::LogSpectrogram),
        };
        if log {
            set.run(Logarithms(columns));
        }
        let (start, dim) = (out.len(), self.dim);
        out.resize(start + block * dim, 0.0);
        let rows = &mut out[start..];
        // Where the energy stands, and where what stands beside it begins.
        let (place, first) = match self.mel {
            _ if !options.use_energy => (None, 0),
            Some(_) if options.htk_compat => (Some(dim - 1), 0),
            Some(_) => (Some(0), 1),
            None => (Some(0), 0),
        };
        set.run(Rows { columns, block, rows: &mut rows[first..], stride: dim });
        if let Some(place) = place {
            for (row, energy) in rows.chunks_exact_mut(dim).zip(energies) {
                row[place] = *energy;
            }
        }
    }
}
