//! The feature extractor: samples to frames, whole recordings and streams by the same code.
//!
//! ```text
//! samples ──framing, dither──► frames ──spectra──► power spectra, energies ──row──► features
//!                                                               mel, cepstrum or plp
//! ```
//!
//! A frame is a function of its own samples alone. Frames are computed in blocks that stay in the
//! cache, as many as the samples at hand complete; a frame's place in its block changes nothing. It is
//! out as soon as its last sample is in: no kind of feature looks ahead, their latency is 0 frames;
//! stages behind them state their own ([`FeatureExtractor::lookahead`]).
//!
//! Dither is noise added to the samples of a frame before anything else: it keeps the logarithm of
//! digital silence from being an outlier. Kaldi draws it from the program's global generator, so
//! that two runs differ; here sample `i` of frame `f` of utterance `u` is a function of
//! (`u`, `f`, `i`), and whoever does not name the utterance gets none.
//!
//! Book: book/src/frames.md
//! Book: book/src/sampling.md

use crate::feature_options::{FeatureError, FeatureKind, FeatureOptions};
use crate::random::{Random, hash_name};
use crate::row::RowMaker;
use crate::spectra::{FRAMES, Spectra};
use crate::stages::{Chain, Stage, stages_of};
use crate::vector::InstructionSet;
use crate::window::Framing;
use crate::ziggurat::Ziggurat;
use std::fmt;
use std::sync::Arc;

/// Samples taken into the buffer at once, so that an hour needs no more memory than a minute.
const BLOCK: usize = 1 << 16;

/// Computes feature frames from samples; plans and tables are made once, and nothing is allocated
/// per frame.
#[derive(Clone)]
pub struct FeatureExtractor {
    options: FeatureOptions,
    framing: Framing,
    spectra: Spectra,
    rows: RowMaker,
    frames: Vec<f32>,   // [FRAMES, length]: the frames of a block, as many as wait
    power: Vec<f32>,    // [bins, FRAMES]
    energies: Vec<f32>, // [FRAMES]
    /// Samples that later frames still need, scaled; the first is number `first`.
    buffer: Vec<f32>,
    first: u64,
    /// Samples seen since the last reset.
    seen: u64,
    /// The next frame to be computed.
    next: u64,
    /// The last sample before pre-emphasis, scaled, where that goes over the whole recording.
    previous: Option<f32>,
    /// The number of the utterance whose dither is drawn; none: no dither.
    dithered: Option<u64>,
    /// Where dither is drawn from, if the options want any.
    normals: Option<Arc<Ziggurat>>,
    /// The frames of other lengths around the same moments, if any.
    beside: Option<Box<Beside>>,
    /// What the rows pass on their way out, if anything, and the rows before.
    stages: Option<Chain>,
    staged: Vec<f32>,
}

/// Extractors whose rows stand beside each other, and rows that wait for the others of their moment: a long
/// frame is complete later than a short one.
#[derive(Clone)]
struct Beside {
    others: Vec<FeatureExtractor>,
    /// Of the extractor itself and of the others.
    waiting: Vec<Vec<f32>>,
}

impl Beside {
    /// Appends the rows that are complete, `[frames, lengths × dim]`; `dim` numbers of each length.
    fn join(&mut self, dim: usize, out: &mut Vec<f32>) {
        let complete = self.waiting.iter().map(|rows| rows.len() / dim).min().unwrap_or(0);
        for frame in 0..complete {
            for rows in &self.waiting {
                out.extend_from_slice(&rows[frame * dim..(frame + 1) * dim]);
            }
        }
        for rows in &mut self.waiting {
            rows.drain(..complete * dim);
        }
    }
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
        let mut inner = match options.frame_lengths.first() {
            Some(&first) => FeatureOptions { frame_length: first, ..options.clone() },
            None => options.clone(),
        };
        let framing = Framing::new(&inner);
        let others: Result<Vec<_>, _> = options
            .frame_lengths
            .iter()
            .skip(1)
            .map(|&length| Self::with_instructions(&options.of_length(length), instructions))
            .collect();
        let others = others?;
        let waiting = vec![Vec::new(); others.len() + 1];
        // What the spectra see: the energy where it is all that is asked for, and no pre-emphasis
        // where `push` has done it.
        inner.use_energy |= options.kind == FeatureKind::Energy;
        if options.preemphasis_across_frames {
            inner.preemphasis_coefficient = 0.0;
        }
        let spectra = Spectra::new(&inner, &framing, instructions);
        let rows = RowMaker::new(options, spectra.points(), instructions)?;
        Ok(FeatureExtractor {
            framing,
            stages: stages_of(options, waiting.len() * rows.dim())?,
            beside: (!others.is_empty()).then(|| Box::new(Beside { others, waiting })),
            staged: Vec::new(),
            rows,
            frames: Vec::with_capacity(FRAMES * framing.length),
            power: vec![0.0; spectra.bins() * FRAMES],
            energies: vec![0.0; FRAMES],
            spectra,
            buffer: Vec::new(),
            first: 0,
            seen: 0,
            next: 0,
            previous: None,
            dithered: None,
            normals: (options.dither != 0.0).then(|| Arc::new(Ziggurat::new())),
            options: options.clone(),
        })
    }

    /// Numbers per frame.
    pub fn dim(&self) -> usize {
        let lengths = self.beside.as_ref().map_or(1, |beside| beside.waiting.len());
        self.stages.as_ref().map_or_else(|| lengths * self.rows.dim(), Stage::dim)
    }

    /// The most frames that have to follow a frame before it is given; 0 without stages.
    pub fn lookahead(&self) -> usize {
        self.stages.as_ref().map_or(0, Stage::lookahead)
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

    /// The sample in the middle of a frame; before the recording's first it is negative.
    pub fn middle_sample(&self, frame: usize) -> i64 {
        self.framing.begin(frame as u64) + (self.framing.length / 2) as i64
    }

    /// Features of a whole recording: reset, push, finish. Appends `[frames, dim]` to `out`, not
    /// normalised and without dither; nothing for a recording shorter than a frame.
    pub fn compute(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        out.reserve(self.frame_count(samples.len()) * self.dim());
        self.reset();
        self.push(samples, out);
        self.finish(out);
    }

    /// As [`FeatureExtractor::compute`], with the dither of this utterance (none where the option
    /// is 0).
    pub fn compute_for(&mut self, utterance: &str, samples: &[f32], out: &mut Vec<f32>) {
        out.reserve(self.frame_count(samples.len()) * self.dim());
        self.reset_for(utterance);
        self.push(samples, out);
        self.finish(out);
    }

    /// Takes the next samples of a stream, in [-1, 1), and appends the frames that they complete
    /// to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let Some(mut stages) = self.stages.take() else { return self.push_rows(samples, out) };
        let mut rows = std::mem::take(&mut self.staged);
        for block in samples.chunks(BLOCK) {
            rows.clear();
            self.push_rows(block, &mut rows);
            stages.push(&rows, out);
        }
        self.staged = rows;
        self.stages = Some(stages);
    }

    /// As `push`, before the stages.
    fn push_rows(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let Some(mut beside) = self.beside.take() else { return self.push_own(samples, out) };
        for block in samples.chunks(BLOCK) {
            self.push_own(block, &mut beside.waiting[0]);
            for (other, rows) in beside.others.iter_mut().zip(&mut beside.waiting[1..]) {
                other.push_own(block, rows);
            }
            beside.join(self.rows.dim(), out);
        }
        self.beside = Some(beside);
    }

    /// As `push_rows`, of the first length alone.
    fn push_own(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        for block in samples.chunks(BLOCK) {
            let scale = self.options.sample_scale;
            if self.options.preemphasis_across_frames {
                let coefficient = self.options.preemphasis_coefficient;
                for sample in block {
                    let sample = sample * scale;
                    // The recording's first sample stays as it is.
                    let before = self.previous.replace(sample).unwrap_or(0.0);
                    self.buffer.push(sample - coefficient * before);
                }
            } else {
                self.buffer.extend(block.iter().map(|sample| sample * scale));
            }
            self.seen += block.len() as u64;
            while self.framing.needs(self.next) <= self.seen as i64 {
                self.take_next(out);
            }
            self.compute_block(out);
            self.forget();
        }
    }

    /// Ends the stream: appends the frames that reach past its end (with `snip-edges` there are
    /// none) and those that wait in the stages, and resets, to a stream without dither.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        let Some(mut stages) = self.stages.take() else { return self.finish_rows(out) };
        let mut rows = std::mem::take(&mut self.staged);
        rows.clear();
        self.finish_rows(&mut rows);
        stages.push(&rows, out);
        stages.finish(out);
        self.staged = rows;
        self.stages = Some(stages);
    }

    /// As `finish`, before the stages.
    fn finish_rows(&mut self, out: &mut Vec<f32>) {
        let Some(mut beside) = self.beside.take() else { return self.finish_own(out) };
        self.finish_own(&mut beside.waiting[0]);
        for (other, rows) in beside.others.iter_mut().zip(&mut beside.waiting[1..]) {
            other.finish_own(rows);
        }
        beside.join(self.rows.dim(), out);
        self.beside = Some(beside);
    }

    /// As `finish_rows`, of the first length alone.
    fn finish_own(&mut self, out: &mut Vec<f32>) {
        while self.next < self.framing.count(self.seen) {
            self.take_next(out);
        }
        self.compute_block(out);
        self.reset();
    }

    /// Forgets the stream: the next sample is the first of a new one, and it has no dither.
    pub fn reset(&mut self) {
        if let Some(stages) = &mut self.stages {
            stages.reset();
        }
        if let Some(beside) = &mut self.beside {
            beside.others.iter_mut().for_each(FeatureExtractor::reset);
            beside.waiting.iter_mut().for_each(Vec::clear);
        }
        self.previous = None;
        self.dithered = None;
        self.buffer.clear();
        self.first = 0;
        self.seen = 0;
        self.next = 0;
    }

    /// Forgets the stream: the next sample is the first of this utterance. Its name decides the
    /// dither, so that another run, in chunks of other sizes, gives the same bytes.
    pub fn reset_for(&mut self, utterance: &str) {
        self.reset();
        self.dithered = self.normals.is_some().then(|| hash_name(utterance));
        for other in self.beside.iter_mut().flat_map(|beside| &mut beside.others) {
            other.reset_for(utterance);
        }
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
        let frame = self.next;
        let begin = self.framing.begin(frame);
        self.next += 1;
        let length = self.framing.length;
        let (first, seen) = (self.first as i64, self.seen as i64);
        if begin >= 0 && begin + length as i64 <= seen {
            let start = (begin - first) as usize;
            self.frames.extend_from_slice(&self.buffer[start..start + length]);
        } else {
            let samples = (begin..begin + length as i64).map(|index| {
                let sample = self.framing.sample_at(index, seen);
                sample.map_or(0.0, |sample| self.buffer[(sample - first) as usize])
            });
            self.frames.extend(samples);
        }
        if let (Some(utterance), Some(normals)) = (self.dithered, &self.normals) {
            let mut random = Random::from_key(&[hash_name("dither"), utterance, frame]);
            let start = self.frames.len() - length;
            normals.add_noise(&mut random, self.options.dither, &mut self.frames[start..]);
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
        self.rows.append(&mut self.power, &self.energies[..block], out);
    }
}
