//! The tracker: samples to frames, their correlation, and the best path so far, chunk by chunk.
//!
//! Everything here is a function of the chunks taken in, as in Kaldi: the mean loudness behind the
//! ballast is that of all chunks so far, and the path is traced back at each chunk's end. Who cuts
//! the chunks decides what a frame may depend on ([`super::PitchExtractor`]).

use super::correlation::Correlator;
use super::filters::{Downsampler, Interpolator};
use super::options::PitchOptions;
use super::viterbi::{Paths, Transitions, smallest};

/// Frames between two looks for what is settled.
const LOOK: u64 = 256;

/// What is kept of the first frames until their loudness is known better.
#[derive(Clone, Debug)]
struct Loudness {
    /// The correlation with ballast at the path's lags.
    nccf: Vec<f32>, // [states]
    /// Mean over the lags of the products of energies.
    mean_norm: f64,
    /// The mean square of the signal that made the ballast.
    mean_square: f32,
}

#[derive(Clone, Debug)]
pub(super) struct Tracker {
    window: usize,
    shift: usize,
    last_lag: usize,
    snip_edges: bool,
    preemphasis: f32,
    soft: f32,
    ballast: f64,
    ballast_online: bool,
    recompute_frame: u64,
    max_latency: usize,
    /// Frames are given as they stand, not as they end.
    first_pass: bool,

    downsampler: Downsampler,
    correlator: Correlator,
    interpolator: Interpolator,
    transitions: Transitions,
    lags: Vec<f32>,     // [states], seconds
    frame: Vec<f32>,    // [window + last lag]
    measured: Vec<f32>, // [lags, padded]
    nccf: Vec<f32>,     // [states]
    before: Vec<f32>,   // [states]: costs of the frame before

    /// The signal at the lower rate that later frames need; the first is sample `first`.
    signal: Vec<f32>,
    first: u64,
    /// Sum and sum of squares of the first `summed` samples at the lower rate.
    summed: u64,
    sum: f64,
    squares: f64,
    /// Costs of the last frame, the least of them 0.
    costs: Vec<f32>, // [states]
    paths: Paths,
    loudness: Vec<Loudness>,
    /// Frames whose path is not settled, as counted at the last chunk's end.
    latency: usize,
    given: u64,
}

impl Tracker {
    /// `options` have been checked.
    pub(super) fn new(options: &PitchOptions) -> Self {
        let (first_lag, last_lag) = options.measured_lags();
        let lags = options.lags(usize::from(u16::MAX) - 1);
        let rate = options.resample_frequency;
        let measured = (last_lag - first_lag + 1) as usize;
        let offset = (first_lag as f32) / rate;
        let points: Vec<f32> = lags.iter().map(|lag| lag - offset).collect();
        let interpolator =
            Interpolator::new(measured, rate, &points, options.upsample_filter_width);
        let step = (1.0 + f64::from(options.delta_pitch)).ln().powi(2) as f32;
        let correlator = Correlator::new(options.window(), first_lag as usize, last_lag as usize);
        Tracker {
            window: options.window(),
            shift: options.shift(),
            last_lag: last_lag as usize,
            snip_edges: options.snip_edges,
            preemphasis: options.preemphasis_coefficient,
            ballast: f64::from(options.nccf_ballast),
            ballast_online: options.nccf_ballast_online,
            recompute_frame: u64::from(options.recompute_frame),
            max_latency: options.max_frames_latency as usize,
            first_pass: options.simulate_first_pass_online,
            downsampler: Downsampler::new(
                options.sample_frequency as u32,
                rate as u32,
                options.lowpass_cutoff,
                options.lowpass_filter_width,
            ),
            frame: vec![0.0; correlator.frame_length()],
            correlator,
            measured: vec![0.0; interpolator.padded()],
            interpolator,
            transitions: Transitions::new(lags.len(), step * options.penalty_factor),
            soft: options.soft_min_f0,
            nccf: vec![0.0; lags.len()],
            before: vec![0.0; lags.len()],
            costs: vec![0.0; lags.len()],
            lags,
            signal: Vec::new(),
            first: 0,
            summed: 0,
            sum: 0.0,
            squares: 0.0,
            paths: Paths::default(),
            loudness: Vec::new(),
            latency: 0,
            given: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        self.downsampler.reset();
        self.signal.clear();
        self.first = 0;
        self.summed = 0;
        self.sum = 0.0;
        self.squares = 0.0;
        self.costs.fill(0.0);
        self.paths.reset();
        self.loudness.clear();
        self.latency = 0;
        self.given = 0;
    }

    /// Frames of a whole recording.
    pub(super) fn frame_count(&self, samples: u64) -> u64 {
        self.available(self.downsampler.due(samples, true), true)
    }

    /// Samples at the lower rate from a frame's first to the last that it needs, and samples of
    /// the recording that the low-pass needs beyond.
    pub(super) fn reach(&self) -> (usize, u64) {
        (self.frame.len(), self.downsampler.delay())
    }

    /// Frames that so many samples at the lower rate complete. Until the end a frame needs its
    /// longest lag; at the end its window is enough, and silence follows.
    fn available(&self, samples: u64, finished: bool) -> u64 {
        let shift = self.shift as u64;
        let length = (self.window + if finished { 0 } else { self.last_lag }) as u64;
        if samples < length {
            return 0;
        }
        if self.snip_edges {
            (samples - length) / shift + 1
        } else {
            let behind = if finished { 0 } else { length / 2 };
            (2 * (samples - behind) + shift) / (2 * shift)
        }
    }

    /// The first sample of a frame at the lower rate; below 0 it reaches before the recording.
    fn begin(&self, frame: u64) -> i64 {
        if self.snip_edges {
            (frame * self.shift as u64) as i64
        } else {
            ((2 * frame + 1) * self.shift as u64 / 2) as i64 - (self.frame.len() / 2) as i64
        }
    }

    /// Takes in a chunk that is not the last, and appends the frames that may be given,
    /// `[frames, 2]`.
    pub(super) fn accept(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.extend(samples, false, out);
        if self.first_pass {
            self.give(self.paths.frames() - self.latency as u64, out);
        }
    }

    /// Takes in the last chunk and the silence behind it, and appends all frames left. (The
    /// loudness of the chunk's own frames does not know of the silence yet.)
    pub(super) fn end(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.extend(samples, false, out);
        self.extend(&[], true, out);
        if self.paths.frames() < self.recompute_frame && !self.ballast_online {
            self.recompute();
        }
        self.give(self.paths.frames(), out);
    }

    /// Takes a chunk in and brings the path up to its end.
    fn extend(&mut self, samples: &[f32], finished: bool, out: &mut Vec<f32>) {
        self.downsampler.push(samples, finished, &mut self.signal);
        let total = self.first + self.signal.len() as u64;
        if !self.ballast_online {
            self.sum_up_to(total);
        }
        let end = self.available(total, finished);
        if end > self.paths.frames() {
            while self.paths.frames() < end {
                let frame = self.paths.frames();
                self.take_frame(frame);
                if self.ballast_online {
                    let last = self.begin(frame) + self.frame.len() as i64;
                    self.sum_up_to((last.max(0) as u64).min(total));
                }
                self.track(frame);
                if frame + 1 == self.recompute_frame && !self.ballast_online {
                    self.recompute();
                }
                if frame % LOOK == LOOK - 1 && self.is_final() {
                    let settled = self.paths.settle();
                    self.give(settled, out);
                }
            }
            self.paths.trace(smallest(&self.costs));
            self.latency = self.paths.latency(self.max_latency);
        }
        let begin = self.begin(self.paths.frames()).max(0) as u64;
        let spent = begin.min(self.summed).saturating_sub(self.first) as usize;
        if spent > 0 {
            self.signal.drain(..spent);
            self.first += spent as u64;
        }
    }

    /// Whether no later chunk can change a settled frame, and frames are given as they end.
    fn is_final(&self) -> bool {
        !self.first_pass && (self.ballast_online || self.paths.frames() >= self.recompute_frame)
    }

    /// Adds the samples at the lower rate before number `end` to the sums, one by one.
    fn sum_up_to(&mut self, end: u64) {
        if end <= self.summed {
            return;
        }
        let (from, to) = ((self.summed - self.first) as usize, (end - self.first) as usize);
        for sample in &self.signal[from..to] {
            let sample = f64::from(*sample);
            self.sum += sample;
            self.squares += sample * sample;
        }
        self.summed = end;
    }

    /// The variance of the signal summed so far.
    fn mean_square(&self) -> f64 {
        let count = self.summed.max(1) as f64;
        (self.squares / count - (self.sum / count).powi(2)).max(0.0)
    }

    /// What a mean square puts under the root.
    fn ballast(&self, mean_square: f64) -> f64 {
        (mean_square * self.window as f64).powi(2) * self.ballast
    }

    /// Copies a frame from the signal, with silence outside of it; pre-emphasis is Kaldi's, within
    /// the part that is signal.
    fn take_frame(&mut self, frame: u64) {
        let begin = self.begin(frame) - self.first as i64;
        self.frame.fill(0.0);
        let end = (begin + self.frame.len() as i64).clamp(0, self.signal.len() as i64) as usize;
        let start = begin.clamp(0, end as i64) as usize;
        let place = (start as i64 - begin).clamp(0, self.frame.len() as i64) as usize;
        let part = &mut self.frame[place..][..end - start];
        part.copy_from_slice(&self.signal[start..end]);
        if self.preemphasis != 0.0 && !part.is_empty() {
            for i in (1..part.len()).rev() {
                part[i] -= self.preemphasis * part[i - 1];
            }
            part[0] *= 1.0 - self.preemphasis;
        }
    }

    /// Correlates the frame taken and extends the paths by it.
    fn track(&mut self, frame: u64) {
        let mean_square = self.mean_square();
        let mean_norm = self.correlator.correlate(&self.frame);
        let ballast = self.ballast(mean_square);
        self.correlator.nccf(ballast, &mut self.measured);
        self.interpolator.apply(&self.measured, &mut self.nccf);
        let step = self.paths.push(self.lags.len(), self.measured.len());
        self.correlator.nccf(0.0, &mut step.voicing);
        std::mem::swap(&mut self.before, &mut self.costs);
        self.transitions.step(&self.before, &mut self.costs, &mut step.back);
        add_local(&mut self.costs, &self.nccf, &self.lags, self.soft);
        if frame < self.recompute_frame && !self.ballast_online {
            let mean_square = mean_square as f32;
            self.loudness.push(Loudness { nccf: self.nccf.clone(), mean_norm, mean_square });
        }
    }

    /// Finds the path through the first frames anew with the loudness known now, unless it was
    /// known within 2 % at each of them. Their correlations are scaled as the new ballast would
    /// scale them on average over the lags.
    fn recompute(&mut self) {
        let mut loudness = std::mem::take(&mut self.loudness);
        let mean_square = self.mean_square();
        let now = mean_square as f32;
        let near = |then: f32| (then - now).abs() <= 0.01 * (then.abs() + now.abs());
        if loudness.iter().all(|frame| near(frame.mean_square)) {
            return;
        }
        let ballast = self.ballast(f64::from(now));
        self.costs.fill(0.0);
        let mut unused = vec![0u16; self.lags.len()];
        for (index, frame) in loudness.iter_mut().enumerate() {
            let old = self.ballast(f64::from(frame.mean_square));
            let scale = rescale(old, ballast, frame.mean_norm);
            frame.nccf.iter_mut().for_each(|nccf| *nccf *= scale);
            std::mem::swap(&mut self.before, &mut self.costs);
            let back = match self.paths.rewrite(index as u64) {
                Some(step) => &mut step.back,
                None => &mut unused,
            };
            self.transitions.step(&self.before, &mut self.costs, back);
            add_local(&mut self.costs, &frame.nccf, &self.lags, self.soft);
        }
        self.paths.trace(smallest(&self.costs));
    }

    /// Appends the frames before `until` that have not been given, and forgets what nothing needs.
    fn give(&mut self, until: u64, out: &mut Vec<f32>) {
        while self.given < until {
            let Some(step) = self.paths.get(self.given) else { break };
            let state = usize::from(step.state);
            let pitch = (1.0 / f64::from(self.lags[state])) as f32;
            out.extend([self.interpolator.at(&step.voicing, state), pitch]);
            self.given += 1;
        }
        let looked_at = self.paths.frames().saturating_sub(self.max_latency as u64);
        self.paths.forget(self.given.min(looked_at));
    }
}

/// How a change of ballast scales a correlation whose norm is `norm`.
fn rescale(old: f64, new: f64, norm: f64) -> f32 {
    // Without ballast and norm there is no correlation to scale.
    if new + norm > 0.0 { ((old + norm) / (new + norm)).sqrt() as f32 } else { 1.0 }
}

/// Adds the local costs and takes the least away, so that costs stay small.
///
/// In `f32`, rounded as Kaldi rounds: with its ballast a quiet frame's correlation is so small
/// that the steps of `f32` below 1, 6e-8, decide which of two neighbouring pitches is cheaper.
fn add_local(costs: &mut [f32], nccf: &[f32], lags: &[f32], soft: f32) {
    let mut least = f32::INFINITY;
    for ((cost, nccf), lag) in costs.iter_mut().zip(nccf).zip(lags) {
        let local = (1.0 - nccf) + soft * nccf * lag;
        *cost += local;
        least = least.min(*cost);
    }
    costs.iter_mut().for_each(|cost| *cost -= least);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Scaled from one ballast, a correlation is that computed with the other.
    #[test]
    fn rescaling_is_a_change_of_ballast() {
        let frame: Vec<f32> = (0..181).map(|i| ((i * i * 31 % 997) as f32 - 400.0) * 8.0).collect();
        let mut correlator = Correlator::new(100, 81, 81);
        let norm = correlator.correlate(&frame);
        let nccf = |ballast: f64| {
            let mut out = [0.0];
            correlator.nccf(ballast, &mut out);
            out[0]
        };
        for (old, new) in [(0.0, norm), (norm, 7.0 * norm), (3.0 * norm, 0.0)] {
            let scaled = nccf(old) * rescale(old, new, norm);
            assert!((scaled - nccf(new)).abs() < 1e-6 * scaled.abs(), "{scaled} {}", nccf(new));
        }
        assert_eq!(rescale(0.0, 0.0, 0.0), 1.0);
        assert_eq!(rescale(0.0, 5.0, 0.0), 0.0);
    }

    /// Ten minutes of noise, where paths meet late, need the memory of one: what is kept while a
    /// stream runs, and of the paths while a recording is tracked whole.
    #[test]
    fn memory_does_not_grow() {
        let mut random = Random::from_key(&[4]);
        let minute: Vec<f32> = (0..480_000).map(|_| random.uniform() as f32 - 0.5).collect();
        let options = PitchOptions { sample_frequency: 8000.0, ..PitchOptions::online() };
        let mut tracker = Tracker::new(&options);
        let mut out = Vec::new();
        for _ in 0..10 {
            for chunk in minute.chunks(800) {
                tracker.accept(chunk, &mut out);
                assert!(tracker.paths.kept() <= 10 && tracker.signal.len() < 1000);
                assert!(tracker.loudness.len() < 500);
            }
        }
        assert_eq!(out.len() / 2 * 2, out.len());
        assert!(out.len() / 2 > 59_990);

        let whole =
            PitchOptions { frames_per_chunk: 10, simulate_first_pass_online: false, ..options };
        let (mut tracker, mut most) = (Tracker::new(&whole), 0);
        out.clear();
        for chunk in minute.chunks(800) {
            tracker.accept(chunk, &mut out);
            most = most.max(tracker.paths.kept());
        }
        println!("at most {most} of 6000 frames kept");
        assert!(most < 2000, "{most}");
    }

    /// Giving settled frames on the way changes nothing: the same rows as from one traceback.
    #[test]
    fn settled_frames_are_those_of_one_traceback() {
        let mut random = Random::from_key(&[5]);
        let samples: Vec<f32> = (0..160_000)
            .map(|i| ((i as f32 * 0.07).sin() + random.uniform() as f32 - 0.5) * 0.3)
            .collect();
        let options = PitchOptions { sample_frequency: 8000.0, ..PitchOptions::default() };
        let (mut on_the_way, mut at_the_end) = (Vec::new(), Vec::new());
        let mut tracker = Tracker::new(&options);
        tracker.accept(&samples, &mut on_the_way);
        assert!(on_the_way.len() > 2000, "nothing was settled");
        tracker.end(&[], &mut on_the_way);
        // As late as the frame of recomputation: nothing is given before.
        let options = PitchOptions { recompute_frame: 100_000, ..options };
        let mut tracker = Tracker::new(&options);
        tracker.accept(&samples, &mut at_the_end);
        assert!(at_the_end.is_empty());
        tracker.end(&[], &mut at_the_end);
        assert_eq!(on_the_way, at_the_end);
    }
}
