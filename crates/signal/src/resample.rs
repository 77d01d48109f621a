//! Change of the sample rate, from any rate to any other, by a windowed sinc.
//!
//! A signal sampled at rate `f` that holds nothing above `f/2` is the sum of its samples times
//! sinc functions; evaluated at the times of the new samples, that sum is the resampled signal.
//! If the new rate is lower, all above its half must go first, or it folds down as an alias; if
//! it is higher, nothing above the old half may appear (an image). Both are one low-pass with its
//! edge `c` below half the lower rate, and low-pass and interpolation are one convolution:
//!
//! ```text
//! y(t) = sum over n of x[n] h(t f - n),   h(u) = r sinc(r u) w(u),   r = 2 c / f
//! ```
//!
//! `w` is Kaiser's window (1966/74) of `ZEROS` zero crossings to each side: for a stopband of
//! `A` dB its parameter is 0.1102 (A - 8.7), and the transition is (A - 7.95) / (14.36 N) of the
//! sampling rate for N taps. With A = 90 and 64 crossings it spans 9 % of half the lower rate:
//! flat to 91 %, and 90 dB down at and above 100 %.
//!
//! Times are kept as integers: with the rates reduced to `from : to` without common factor,
//! output `m` lies at input position `m from / to`, whose fraction takes only `to` values, the
//! phases. Each phase's taps are computed once. When there are more than `MAX_PHASES`, as with
//! rates that share no factor, that many are computed and the two nearest are blended, which is
//! exact to about -110 dB. Each output is a sum in a fixed order of its own inputs, so pieces give
//! the same bytes as the whole. There is no delay: output 0 lies on input 0, silence lies before
//! and after.
//!
//! (rubato, planned for this, works in FFT blocks whose size is a multiple of the reduced rates:
//! rates without a common factor, as from odd speed changes, need blocks of a second, and blocks
//! of odd size delay by half a sample.)
//!
//! Book: book/src/sampling.md

/// Zero crossings of the sinc to each side.
const ZEROS: f64 = 64.0;

/// Attenuation of the stopband in dB.
const ATTENUATION: f64 = 90.0;

const MAX_PHASES: u64 = 1024;

/// Lanes of the sums: fixed, so that the order of addition is the same on every machine.
pub(crate) const LANES: usize = 16;

/// A resampler between two rates; the table of its taps is made once, so keep it for many files.
#[derive(Clone, Debug)]
pub struct Resampler {
    /// The rates without common factor.
    from: u64,
    to: u64,
    /// Rows of the table: phases and one more, which is phase 0 one sample later.
    phases: u64,
    /// Taps per phase, a multiple of `LANES`.
    taps: usize,
    /// Taps before the position.
    before: usize,
    table: Vec<f32>, // [phases + 1, taps]
    /// Samples that later outputs still need; the first is number `first`.
    buffer: Vec<f32>,
    first: i64,
    /// Samples seen and outputs given so far.
    seen: u64,
    given: u64,
}

impl Resampler {
    /// From `from` to `to` samples per second; rates of 0 are taken as 1.
    pub fn new(from: u32, to: u32) -> Self {
        Self::with_ratio(u64::from(from), u64::from(to))
    }

    fn with_ratio(from: u64, to: u64) -> Self {
        let (from, to) = (from.max(1), to.max(1));
        let divisor = greatest_common_divisor(from, to);
        let (from, to) = (from / divisor, to / divisor);
        let lower = (to as f64 / from as f64).min(1.0);
        // The transition in units of half the lower rate, centred below it.
        let transition = (ATTENUATION - 7.95) / (14.36 * 2.0 * ZEROS) * 2.0;
        let bandwidth = lower * (1.0 - transition / 2.0);
        let reach = ZEROS / bandwidth;
        // `reach` samples to each side of positions in [0, 1).
        let before = reach.ceil() as usize;
        let taps = (2 * before + 2).next_multiple_of(LANES);
        let phases = to.min(MAX_PHASES);
        let mut table = Vec::with_capacity((phases as usize + 1) * taps);
        let beta = 0.1102 * (ATTENUATION - 8.7);
        let window_scale = 1.0 / bessel_i0(beta);
        for phase in 0..=phases {
            let position = phase as f64 / phases as f64;
            let start = table.len();
            let mut sum = 0.0;
            // ANCHOR: taps
            let row: Vec<f64> = (0..taps)
                .map(|tap| {
                    let distance = position + before as f64 - tap as f64;
                    let inside = 1.0 - (distance / reach).powi(2);
                    if inside <= 0.0 {
                        return 0.0;
                    }
                    let window = bessel_i0(beta * inside.sqrt()) * window_scale;
                    let value = bandwidth * sinc(bandwidth * distance) * window;
                    sum += value;
                    value
                })
                .collect();
            // Each phase passes a constant unchanged; the sum differs from 1 by about -90 dB.
            table.extend(row.iter().map(|value| (value / sum) as f32));
            // ANCHOR_END: taps
            debug_assert_eq!(table.len(), start + taps);
        }
        let mut resampler = Resampler {
            from,
            to,
            phases,
            taps,
            before,
            table,
            buffer: Vec::new(),
            first: 0,
            seen: 0,
            given: 0,
        };
        resampler.reset();
        resampler
    }

    /// Forgets all samples: the next one is the first of a new recording.
    pub fn reset(&mut self) {
        self.buffer.clear();
        self.buffer.resize(self.before, 0.0); // the silence before the recording
        self.first = -(self.before as i64);
        self.seen = 0;
        self.given = 0;
    }

    /// Number of outputs for a recording of `samples` samples: `samples * to / from`, rounded.
    pub fn output_samples(&self, samples: usize) -> usize {
        let (from, to) = (u128::from(self.from), u128::from(self.to));
        ((samples as u128 * to * 2 + from) / (2 * from)) as usize
    }

    /// Takes the next samples and appends the outputs that they complete to `out`.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.seen += samples.len() as u64;
        if self.from == self.to {
            out.extend_from_slice(samples);
            return;
        }
        self.buffer.extend_from_slice(samples);
        self.give(u64::MAX, out);
    }

    /// Ends the recording: appends the outputs that reach into the silence behind it.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        if self.from != self.to {
            let total = self.output_samples(self.seen as usize) as u64;
            self.buffer.resize(self.buffer.len() + self.taps, 0.0);
            self.give(total, out);
        }
        self.reset();
    }

    /// A whole recording: reset, push, finish.
    pub fn process(&mut self, samples: &[f32]) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.output_samples(samples.len()));
        self.reset();
        self.push(samples, &mut out);
        self.finish(&mut out);
        out
    }

    /// Gives all outputs below number `limit` whose inputs are in the buffer.
    fn give(&mut self, limit: u64, out: &mut Vec<f32>) {
        // ANCHOR: give
        while self.given < limit {
            let position = u128::from(self.given) * u128::from(self.from);
            let whole = (position / u128::from(self.to)) as i64;
            let fraction = (position % u128::from(self.to)) as u64;
            // `first` never passes the first tap of the next output, see below.
            let start = (whole - self.before as i64 - self.first) as usize;
            let Some(inputs) = self.buffer.get(start..start + self.taps) else { break };
            out.push(self.sum(inputs, fraction));
            self.given += 1;
        }
        // ANCHOR_END: give
        let position = u128::from(self.given) * u128::from(self.from) / u128::from(self.to);
        let needed = position as i64 - self.before as i64;
        let spent = ((needed - self.first).max(0) as usize).min(self.buffer.len());
        // Moving what is left costs as much as what is dropped is long, so wait for enough.
        if spent >= self.taps.max(self.buffer.len() / 2) {
            self.buffer.drain(..spent);
            self.first += spent as i64;
        }
    }

    /// One output: `inputs` times the taps of the fraction `fraction / to`.
    fn sum(&self, inputs: &[f32], fraction: u64) -> f32 {
        let scaled = u128::from(fraction) * u128::from(self.phases);
        let row = (scaled / u128::from(self.to)) as usize;
        let rest = (scaled % u128::from(self.to)) as u64;
        let taps = &self.table[row * self.taps..(row + 1) * self.taps];
        let value = dot(inputs, taps);
        if rest == 0 {
            return value;
        }
        let next = &self.table[(row + 1) * self.taps..(row + 2) * self.taps];
        let share = (rest as f64 / self.to as f64) as f32;
        value + share * (dot(inputs, next) - value)
    }
}

/// Changes the sample rate of a whole recording; the result has `samples * to / from` samples,
/// rounded, and no delay. For many recordings of one rate, keep a [`Resampler`].
pub fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == to {
        return samples.to_vec();
    }
    Resampler::new(from, to).process(samples)
}

/// As [`resample`], for rates that need more than 32 bits.
pub(crate) fn resample_by_ratio(samples: &[f32], from: u64, to: u64) -> Vec<f32> {
    if from == to {
        return samples.to_vec();
    }
    Resampler::with_ratio(from, to).process(samples)
}

/// The sum of products, in `LANES` partial sums; both lengths are the same multiple of `LANES`.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// sin(pi x) / (pi x).
pub(crate) fn sinc(x: f64) -> f64 {
    let angle = std::f64::consts::PI * x;
    if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle }
}

/// The modified Bessel function of order 0: the sum of ((x/2)^k / k!)^2.
pub(crate) fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-17 {
        term *= quarter / (k * k);
        sum += term;
        k += 1.0;
    }
    sum
}
