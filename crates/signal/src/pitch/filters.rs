//! The two windowed sinc filters of pitch tracking: to the lower rate, and between lags.
//!
//! Kaldi's filters (`feat/resample.h`), which are short on purpose, unlike those of
//! [`crate::Resampler`]: a sinc of edge `c` Hz under Hann's window, which ends at zero crossing
//! number `z` to each side, at `z / (2 c)` seconds:
//!
//! ```text
//! h(t) = sin(2 pi c t) / (pi t) * (1 + cos(2 pi c t / z)) / 2,   |t| < z / (2 c)
//! y(t) = 1/f * sum over n of x[n] h(t - n/f)
//! ```
//!
//! With the defaults (`c` = 1000 Hz, `z` = 1) the low-pass is one lobe of 1 ms: it falls slowly
//! from 500 Hz on and passes some of what lies above 2000 Hz, which then folds down. That is
//! Kaldi's choice, for speed.

use std::f64::consts::PI;

/// Lanes of the sums, so that their order is the same on every machine.
const LANES: usize = 4;

/// Samples taken in at once.
const BLOCK: usize = 1 << 16;

/// Full scale of 16-bit samples, Kaldi's unit. A power of two: exact wherever it is multiplied in.
const SCALE: f64 = 32768.0;

pub(super) fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// The filter at `time` seconds from its middle.
fn windowed_sinc(time: f64, cutoff: f64, zeros: f64) -> f64 {
    if time.abs() >= zeros / (2.0 * cutoff) {
        return 0.0;
    }
    let window = 0.5 * (1.0 + (2.0 * PI * cutoff / zeros * time).cos());
    let sinc =
        if time == 0.0 { 2.0 * cutoff } else { (2.0 * PI * cutoff * time).sin() / (PI * time) };
    sinc * window
}

/// The sum of products of two slices of a length that is a multiple of the lanes.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// From the recording's rate to the lower one, for whole recordings and for pieces.
///
/// Times are integers in ticks of the rates' least common multiple. Output `m` lies at
/// `m from / to` input samples; its fraction takes `to` values, one row of taps each.
#[derive(Clone, Debug)]
pub(super) struct Downsampler {
    /// The rates without common factor.
    from: u64,
    to: u64,
    /// Taps per output, padded with zeros to whole lanes.
    taps: usize,
    table: Vec<f32>, // [to, taps]
    /// First input of each row, relative to its unit of `from` inputs.
    starts: Vec<i64>, // [to]
    /// Half of the filter, in ticks.
    reach: u64,
    /// Inputs that later outputs still need; the first is number `first`, before 0 lies silence.
    buffer: Vec<f32>,
    first: i64,
    seen: u64,
    given: u64,
}

impl Downsampler {
    pub(super) fn new(from: u32, to: u32, cutoff: f32, zeros: u32) -> Self {
        let divisor = greatest_common_divisor(u64::from(from), u64::from(to));
        let (from_unit, to_unit) = (u64::from(from) / divisor, u64::from(to) / divisor);
        let (input_rate, cutoff_hz) = (f64::from(from), f64::from(cutoff));
        let width = f64::from(zeros) / (2.0 * cutoff_hz);
        let span = |row: u64| {
            let time = row as f64 / f64::from(to);
            let start = ((time - width) * input_rate).ceil() as i64;
            (time, start, ((time + width) * input_rate).floor() as i64)
        };
        let longest = (0..to_unit).map(span).map(|(_, a, b)| b - a + 1).max();
        let taps = (longest.unwrap_or(1).max(1) as usize).next_multiple_of(LANES);
        let mut table = vec![0f32; to_unit as usize * taps];
        let mut starts = Vec::with_capacity(to_unit as usize);
        for (row, weights) in (0..to_unit).zip(table.chunks_exact_mut(taps)) {
            let (time, start, end) = span(row);
            starts.push(start);
            for (index, weight) in (start..=end).zip(weights) {
                let offset = index as f64 / input_rate - time;
                // Rounded before the scale, so that the sum is Kaldi's.
                let rounded = windowed_sinc(offset, cutoff_hz, f64::from(zeros)) / input_rate;
                *weight = (f64::from(rounded as f32) * SCALE) as f32;
            }
        }
        // How many outputs are due is reckoned as Kaldi does, in f32: a tick more or less moves
        // the end of a chunk by a sample.
        let ticks = u64::from(from) * to_unit;
        let reach = (width as f32 * ticks as f32).floor() as u64;
        Downsampler {
            from: from_unit,
            to: to_unit,
            taps,
            table,
            starts,
            reach,
            buffer: Vec::new(),
            first: 0,
            seen: 0,
            given: 0,
        }
    }

    /// Outputs due after `samples` inputs: those at times before the end, less the filter's reach
    /// unless nothing follows.
    pub(super) fn due(&self, samples: u64, finished: bool) -> u64 {
        let ticks = samples * self.to; // one input is `to` ticks, one output is `from`
        let ticks = if finished { ticks } else { ticks.saturating_sub(self.reach) };
        ticks.div_ceil(self.from)
    }

    /// Inputs that must follow an output's time before it is given.
    pub(super) fn delay(&self) -> u64 {
        (self.reach + self.from).div_ceil(self.to) + 1
    }

    pub(super) fn reset(&mut self) {
        self.buffer.clear();
        self.first = 0;
        self.seen = 0;
        self.given = 0;
    }

    /// Takes inputs in [-1, 1) and appends the outputs due, at 16-bit scale. `finished`: silence
    /// follows.
    pub(super) fn push(&mut self, samples: &[f32], finished: bool, out: &mut Vec<f32>) {
        for block in samples.chunks(BLOCK) {
            self.buffer.extend_from_slice(block);
            self.seen += block.len() as u64;
            self.give(false, out);
        }
        if finished {
            self.give(true, out);
        }
    }

    fn give(&mut self, finished: bool, out: &mut Vec<f32>) {
        let due = self.due(self.seen, finished).max(self.given);
        out.reserve((due - self.given) as usize);
        for output in self.given..due {
            let row = (output % self.to) as usize;
            let weights = &self.table[row * self.taps..][..self.taps];
            let start = self.starts[row] + (output / self.to * self.from) as i64 - self.first;
            let inside = usize::try_from(start)
                .ok()
                .and_then(|start| self.buffer.get(start..start + self.taps));
            let value = match inside {
                Some(samples) => dot(samples, weights),
                None => {
                    // At the ends silence stands for what is missing; the order is the same.
                    let mut sums = [0f32; LANES];
                    for (tap, weight) in weights.iter().enumerate() {
                        let sample = usize::try_from(start + tap as i64)
                            .ok()
                            .and_then(|index| self.buffer.get(index));
                        sums[tap % LANES] += sample.copied().unwrap_or(0.0) * weight;
                    }
                    (sums[0] + sums[1]) + (sums[2] + sums[3])
                }
            };
            out.push(value);
        }
        self.given = due;
        let next = self.starts[(due % self.to) as usize] + (due / self.to * self.from) as i64;
        let spent = (next - self.first).clamp(0, self.buffer.len() as i64) as usize;
        // Moving what is left costs as much as it is long, so wait for enough.
        if spent >= self.buffer.len() / 2 {
            self.buffer.drain(..spent);
            self.first += spent as i64;
        }
    }
}

/// Values at even spacing, read at fixed points between: from measured lags to the path's lags.
#[derive(Clone, Debug)]
pub(super) struct Interpolator {
    taps: usize,
    table: Vec<f32>,  // [points, taps]
    starts: Vec<u32>, // [points]
    /// Values to be interpolated, and zeros behind them that padded taps read.
    padded: usize,
}

impl Interpolator {
    /// For `count` values at `rate`, the first at time 0, read at the times `points`.
    pub(super) fn new(count: usize, rate: f32, points: &[f32], zeros: u32) -> Self {
        // Half the rate of the values: they hold little above `lowpass-cutoff`.
        let (rate, cutoff) = (f64::from(rate), f64::from(rate * 0.5));
        let width = f64::from(zeros) / (2.0 * cutoff);
        let span = |point: f32| {
            let start = ((f64::from(point) - width) * rate).ceil().max(0.0) as usize;
            let end =
                (((f64::from(point) + width) * rate).floor().max(0.0) as usize + 1).min(count);
            (start, end.max(start))
        };
        let longest = points.iter().map(|point| span(*point)).map(|(a, b)| b - a).max();
        let taps = longest.unwrap_or(1).max(1).next_multiple_of(LANES);
        let mut table = vec![0f32; points.len() * taps];
        let mut starts = Vec::with_capacity(points.len());
        for (point, weights) in points.iter().zip(table.chunks_exact_mut(taps)) {
            let (start, end) = span(*point);
            starts.push(start as u32);
            for (index, weight) in (start..end).zip(weights) {
                let offset = f64::from(*point) - index as f64 / rate;
                *weight = (windowed_sinc(offset, cutoff, f64::from(zeros)) / rate) as f32;
            }
        }
        let padded = starts.iter().max().map_or(0, |start| *start as usize) + taps;
        Interpolator { taps, table, starts, padded: padded.max(count) }
    }

    /// Length that slices of values must have: the values, then zeros.
    pub(super) fn padded(&self) -> usize {
        self.padded
    }

    /// The value at one point.
    pub(super) fn at(&self, values: &[f32], point: usize) -> f32 {
        let start = self.starts[point] as usize;
        dot(&values[start..start + self.taps], &self.table[point * self.taps..][..self.taps])
    }

    /// The values at all points.
    pub(super) fn apply(&self, values: &[f32], out: &mut [f32]) {
        let rows = self.starts.iter().zip(self.table.chunks_exact(self.taps));
        for (out, (start, weights)) in out.iter_mut().zip(rows) {
            let start = *start as usize;
            *out = dot(&values[start..start + self.taps], weights);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: u32, to: u32, zeros: u32, pieces: usize, samples: &[f32]) -> Vec<f32> {
        let mut filter = Downsampler::new(from, to, 1000.0, zeros);
        let mut out = Vec::new();
        for piece in samples.chunks(pieces) {
            filter.push(piece, false, &mut out);
        }
        filter.push(&[], true, &mut out);
        out
    }

    /// The impulse response is the formula, at every phase of rates with an awkward ratio.
    #[test]
    fn impulse_response_is_the_definition() {
        for (from, to, zeros) in [(16_000u32, 4000u32, 1u32), (11_025, 4000, 3), (8000, 2600, 2)] {
            for place in [0usize, 1, 50, 77, 199] {
                let mut samples = vec![0f32; 200];
                samples[place] = 1.0;
                let out = run(from, to, zeros, 200, &samples);
                let expected_length = (200 * u64::from(to)).div_ceil(u64::from(from));
                assert_eq!(out.len() as u64, expected_length);
                for (m, value) in out.iter().enumerate() {
                    let time = m as f64 / f64::from(to) - place as f64 / f64::from(from);
                    let z = f64::from(zeros);
                    let expected = if time.abs() * 2000.0 < z {
                        let x = 2000.0 * PI * time;
                        let sinc = if x == 0.0 { 1.0 } else { x.sin() / x };
                        2000.0 * sinc * (0.5 + 0.5 * (x / z).cos()) / f64::from(from) * SCALE
                    } else {
                        0.0
                    };
                    assert!((f64::from(*value) - expected).abs() < 2e-3, "{from} {to} {m}");
                }
            }
        }
    }

    /// Passed low, stopped high, as the transform of the impulse response says.
    #[test]
    fn frequency_response() {
        for (zeros, frequency, low, high) in [
            (1u32, 100.0, 0.5, 1.0),
            (1, 1000.0, 0.1, 0.6),
            (10, 500.0, 0.99, 1.01),
            (10, 800.0, 0.95, 1.01),
            (10, 1000.0, 0.49, 0.51),
            (10, 1300.0, 0.0, 0.01),
            (10, 7000.0, 0.0, 0.01),
        ] {
            let step = 2.0 * PI * frequency / 16_000.0;
            let samples: Vec<f32> =
                (0..16_000).map(|i| (step * f64::from(i)).sin() as f32).collect();
            let out = run(16_000, 4000, zeros, 777, &samples);
            let middle = &out[500..3500];
            let power = middle.iter().map(|v| (f64::from(*v) / SCALE).powi(2)).sum::<f64>();
            let gain = (2.0 * power / 3000.0).sqrt();
            assert!((low..=high).contains(&gain), "{zeros} zeros, {frequency} Hz: {gain}");
        }
    }

    #[test]
    fn interpolation_is_the_definition() {
        let values: Vec<f32> = (0..75).map(|i| (0.3 * i as f32).sin() * 0.9f32.powi(i)).collect();
        let points: Vec<f32> = (0..60).map(|i| 0.0001 + 0.0003 * i as f32).collect();
        let interpolator = Interpolator::new(values.len(), 4000.0, &points, 5);
        let mut padded = values.clone();
        padded.resize(interpolator.padded(), 0.0);
        let mut out = vec![0.0; points.len()];
        interpolator.apply(&padded, &mut out);
        for (place, point) in points.iter().enumerate() {
            let expected: f64 = (0..75)
                .map(|n| {
                    let time = f64::from(*point) - f64::from(n) / 4000.0;
                    f64::from(values[n as usize]) * windowed_sinc(time, 2000.0, 5.0) / 4000.0
                })
                .sum();
            assert!((f64::from(out[place]) - expected).abs() < 1e-6);
            assert_eq!(out[place], interpolator.at(&padded, place));
        }
    }

    /// Outputs due never ask for an input that has not come, and the count is Kaldi's formula.
    #[test]
    fn pieces_give_the_whole() {
        let samples: Vec<f32> = (0..3000).map(|i| ((i * i % 251) as f32 - 125.0) / 250.0).collect();
        for (from, to, zeros) in [(16_000, 4000, 1), (11_025, 4000, 2), (8000, 4000, 1)] {
            let whole = run(from, to, zeros, 3000, &samples);
            for pieces in [1, 2, 7, 64, 999] {
                let parts = run(from, to, zeros, pieces, &samples);
                assert_eq!(whole.len(), parts.len());
                // A tap on the window's very edge, 1e-17 of the middle one, may come too late.
                for (a, b) in whole.iter().zip(&parts) {
                    assert!((a - b).abs() < 1e-6, "{a} {b}");
                }
            }
        }
    }
}
