//! The power spectra of several frames at once: a real Fourier transform in vector lanes.
//!
//! A frame x of N = 2 M points, M a power of two from 4 on, is taken as M complex numbers
//! z[n] = x[2n] + i x[2n+1] (Cooley, Lewis & Welch 1970, "The fast Fourier transform algorithm:
//! programming considerations"). With w = exp(-2 pi i / N), Z the transform of z and
//! Z' = conj Z[M-k], the spectrum is
//!
//! ```text
//! X[k] = 1/2 (Z[k] + Z') - i/2 w^k (Z[k] - Z'),   X[M-k] = conj of the same with + i/2
//! ```
//!
//! Z is computed in place by passes of radix 8 and 4 with decimation in frequency (Gentleman & Sande
//! 1966, "Fast Fourier transforms: for fun and profit"). A pass over a block of B numbers, q = B / R,
//!
//! ```text
//! z[j + s q] <- w_B^(j s) sum over r of z[j + r q] w_R^(r s),   w_B = exp(-2 pi i / B)
//! ```
//!
//! leaves R blocks of q, of which block s holds the outputs k = s mod R. So the outputs end up with
//! their digits reversed; here that costs nothing, because a number is one vector register of as
//! many frames, and registers can be read in any order. This is what lanes win: neither shuffles nor
//! a second copy of the data, and the blocks of a pass are done one by one to their end, so that
//! those of a long frame stay in the cache.
//!
//! Book: book/src/spectrum.md

use crate::vector::{Isa, Pairs, Vector};
use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// A complex number for each lane.
#[derive(Clone, Copy)]
struct Complex<V> {
    re: V,
    im: V,
}

impl<V: Vector> Complex<V> {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        Complex { re: self.re + other.re, im: self.im + other.im }
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        Complex { re: self.re - other.re, im: self.im - other.im }
    }

    /// self - i other
    #[inline(always)]
    fn minus_i(self, other: Self) -> Self {
        Complex { re: self.re + other.im, im: self.im - other.re }
    }

    /// self + i other
    #[inline(always)]
    fn plus_i(self, other: Self) -> Self {
        Complex { re: self.re - other.im, im: self.im + other.re }
    }

    /// The square of the absolute value.
    #[inline(always)]
    fn square(self) -> V {
        self.re * self.re + self.im * self.im
    }

    #[inline(always)]
    fn times<I: Isa<V = V>>(self, isa: I, [re, im]: [f32; 2]) -> Self {
        let (re, im) = (isa.splat(re), isa.splat(im));
        Complex { re: self.re * re - self.im * im, im: self.re * im + self.im * re }
    }
}

#[inline(always)]
fn load<I: Isa>(isa: I, data: &[f32], index: usize) -> Complex<I::V> {
    let data = &data[index * 2 * I::LANES..][..2 * I::LANES];
    Complex { re: isa.load(data), im: isa.load(&data[I::LANES..]) }
}

/// One pass: its radix, and w_B^(j s) for j from 1 to q - 1, s from 1 to R - 1.
#[derive(Clone)]
struct Pass {
    radix: usize,
    twiddles: Vec<[f32; 2]>,
}

/// Tables for frames of one number of points.
#[derive(Clone)]
pub(crate) struct Fourier {
    passes: Vec<Pass>,
    /// Where Z[k] is found, for k from 0 to M - 1.
    places: Vec<usize>,
    /// -i w^k for k from 1 to M / 2.
    turns: Vec<[f32; 2]>,
}

/// The `numerator / denominator` part of a turn, clockwise.
fn turn(numerator: usize, denominator: usize) -> [f64; 2] {
    let angle = TAU * (numerator % denominator) as f64 / denominator as f64;
    [angle.cos(), -angle.sin()]
}

impl Fourier {
    /// Tables for frames of `points`; none where `points` is not a power of two from 8 on.
    pub(crate) fn new(points: usize) -> Option<Self> {
        if points < 8 || !points.is_power_of_two() {
            return None;
        }
        let half = points / 2;
        // M = 2^k in passes of 8, or with one or two of 4 at the end.
        let mut radices = Vec::new();
        let mut left = half;
        while left > 1 {
            let radix = if left == 4 || left == 16 { 4 } else { 8 };
            radices.push(radix);
            left /= radix;
        }
        let mut block = half;
        let mut passes = Vec::new();
        for &radix in &radices {
            let quotient = block / radix;
            let twiddles = (1..quotient)
                .flat_map(|j| (1..radix).map(move |s| turn(j * s, block).map(|part| part as f32)))
                .collect();
            passes.push(Pass { radix, twiddles });
            block = quotient;
        }
        let place = |k: usize| {
            let (mut digits, mut block, mut place) = (k, half, 0);
            for radix in &radices {
                block /= radix;
                place += digits % radix * block;
                digits /= radix;
            }
            place
        };
        let turns = (1..=half / 2).map(|k| {
            let [re, im] = turn(k, points);
            [im as f32, -re as f32] // times -i
        });
        Some(Fourier { places: (0..half).map(place).collect(), turns: turns.collect(), passes })
    }

    /// From `data`, `[points, LANES]`, which it changes, to the squares of the spectra's absolute
    /// values, `[points / 2 + 1, LANES]`, the rows of which lie `stride` apart.
    #[inline(always)]
    pub(crate) fn power<I: Isa>(&self, isa: I, data: &mut [f32], power: &mut [f32], stride: usize) {
        self.transform(isa, data);
        let half = self.places.len();
        // X[0] and X[M] are the sum and the difference of Z[0]'s parts.
        let zero = load(isa, data, 0);
        let (sum, difference) = (zero.re + zero.im, zero.re - zero.im);
        isa.store(sum * sum, power);
        isa.store(difference * difference, &mut power[half * stride..]);
        let quarter = isa.splat(0.25); // for the two halves
        for (index, turn) in self.turns.iter().enumerate() {
            let k = index + 1;
            let a = load(isa, data, self.places[k]);
            let b = load(isa, data, self.places[half - k]);
            let sum = Complex { re: a.re + b.re, im: a.im - b.im };
            let difference = Complex { re: a.re - b.re, im: a.im + b.im }.times(isa, *turn);
            let (x, mirrored) = (sum.plus(difference), sum.minus(difference));
            isa.store(x.square() * quarter, &mut power[k * stride..]);
            isa.store(mirrored.square() * quarter, &mut power[(half - k) * stride..]);
        }
    }

    /// From z, `[half, 2, LANES]`, to Z in the same place, Z[k] at `places[k]`.
    #[inline(always)]
    fn transform<I: Isa>(&self, isa: I, data: &mut [f32]) {
        let Some((first, rest)) = self.passes.split_first() else { return };
        first.run(isa, data);
        // The first pass leaves blocks that know nothing of each other.
        let size = data.len() / first.radix;
        for part in data.chunks_exact_mut(size) {
            let mut size = size;
            for pass in rest {
                for block in part.chunks_exact_mut(size) {
                    pass.run(isa, block);
                }
                size /= pass.radix;
            }
        }
    }
}

impl Pass {
    #[inline(always)]
    fn run<I: Isa>(&self, isa: I, block: &mut [f32]) {
        match self.radix {
            8 => self.run_with::<I, 8>(isa, block),
            _ => self.run_with::<I, 4>(isa, block),
        }
    }

    #[expect(clippy::needless_range_loop, reason = "s is the number of an output")]
    #[inline(always)]
    // ANCHOR: pass
    fn run_with<I: Isa, const R: usize>(&self, isa: I, block: &mut [f32]) {
        let quotient = block.len() / (2 * I::LANES * R);
        let mut z = Pairs::<I, R>::new(isa, block, quotient);
        let a = butterfly(isa, take(&z, 0));
        for s in 0..R {
            z.store(s, 0, [a[s].re, a[s].im]);
        }
        let twiddles = &self.twiddles[..(quotient - 1) * (R - 1)];
        for j in 1..quotient {
            let twiddles = &twiddles[(j - 1) * (R - 1)..][..R - 1];
            let a = butterfly(isa, take(&z, j));
            z.store(0, j, [a[0].re, a[0].im]);
            for s in 1..R {
                let turned = a[s].times(isa, twiddles[s - 1]);
                z.store(s, j, [turned.re, turned.im]);
            }
        }
    }
    // ANCHOR_END: pass
}

/// Column `j`: z[j + r q] for r from 0 to R - 1.
#[expect(clippy::needless_range_loop, reason = "r is the number of an input")]
#[inline(always)]
fn take<I: Isa, const R: usize>(z: &Pairs<I, R>, j: usize) -> [Complex<I::V>; R] {
    let [re, im] = z.load(0, j);
    let mut a = [Complex { re, im }; R];
    for r in 1..R {
        let [re, im] = z.load(r, j);
        a[r] = Complex { re, im };
    }
    a
}

/// The transform of R numbers, 4 or 8.
#[inline(always)]
fn butterfly<I: Isa, const R: usize>(isa: I, mut a: [Complex<I::V>; R]) -> [Complex<I::V>; R] {
    if R == 4 {
        [a[0], a[1], a[2], a[3]] = butterfly4([a[0], a[1], a[2], a[3]]);
        return a;
    }
    // Of the four even and of the four odd ones, then even +- w_8^k odd.
    let even = butterfly4([a[0], a[2], a[4], a[6]]);
    let odd = butterfly4([a[1], a[3], a[5], a[7]]);
    let root = isa.splat(FRAC_1_SQRT_2 as f32);
    // w_8 = (1 - i) / sqrt 2; w_8^3 = -(1 + i) / sqrt 2, the sign of which is taken below.
    let one = Complex { re: (odd[1].re + odd[1].im) * root, im: (odd[1].im - odd[1].re) * root };
    let three = Complex { re: (odd[3].re - odd[3].im) * root, im: (odd[3].re + odd[3].im) * root };
    a[0] = even[0].plus(odd[0]);
    a[1] = even[1].plus(one);
    a[2] = even[2].minus_i(odd[2]);
    a[3] = even[3].minus(three);
    a[4] = even[0].minus(odd[0]);
    a[5] = even[1].minus(one);
    a[6] = even[2].plus_i(odd[2]);
    a[7] = even[3].plus(three);
    a
}

// ANCHOR: butterfly
/// The transform of 4 numbers.
#[inline(always)]
fn butterfly4<V: Vector>([a, b, c, d]: [Complex<V>; 4]) -> [Complex<V>; 4] {
    let (sum, difference) = (a.plus(c), a.minus(c));
    let (sum_odd, difference_odd) = (b.plus(d), b.minus(d));
    [
        sum.plus(sum_odd),
        difference.minus_i(difference_odd),
        sum.minus(sum_odd),
        difference.plus_i(difference_odd),
    ]
}
// ANCHOR_END: butterfly

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::vector::{InstructionSet, Task};
    use realfft::RealFftPlanner;

    const FRAMES: usize = 16;

    /// The power spectra of as many of 16 frames, `[points, FRAMES]`, as fill the lanes.
    struct Power<'a>(&'a Fourier, &'a [f32], &'a mut [f32]);

    impl Task for Power<'_> {
        #[inline(always)]
        fn run<I: Isa>(self, isa: I) {
            let Power(fourier, frames, power) = self;
            for first in (0..FRAMES).step_by(I::LANES) {
                let rows = frames.chunks_exact(FRAMES);
                let mut data: Vec<f32> =
                    rows.flat_map(|row| row[first..first + I::LANES].to_vec()).collect();
                fourier.power(isa, &mut data, &mut power[first..], FRAMES);
            }
        }
    }

    /// Beside realfft in double precision, relative to the largest bin; the same bytes with every
    /// instruction set.
    #[test]
    fn spectra_are_right_for_every_power_of_two() {
        for points in (3..=14).map(|power| 1usize << power) {
            let fourier = Fourier::new(points).expect("a power of two");
            let mut random = Random::from_key(&[7, points as u64]);
            let frames: Vec<f32> =
                (0..points * FRAMES).map(|_| random.uniform() as f32 - 0.5).collect();
            let mut first: Option<Vec<f32>> = None;
            for set in InstructionSet::available() {
                let mut power = vec![0.0; (points / 2 + 1) * FRAMES];
                set.run(Power(&fourier, &frames, &mut power));
                let plan = RealFftPlanner::<f64>::new().plan_fft_forward(points);
                for frame in 0..FRAMES {
                    let column = frames.iter().skip(frame).step_by(FRAMES);
                    let mut samples: Vec<f64> = column.map(|value| f64::from(*value)).collect();
                    let mut spectrum = plan.make_output_vec();
                    plan.process(&mut samples, &mut spectrum).expect("the plan's sizes");
                    let expected: Vec<f64> =
                        spectrum.iter().map(|value| value.norm_sqr()).collect();
                    let largest = expected.iter().fold(0f64, |a, b| a.max(*b));
                    for (bin, expected) in expected.iter().enumerate() {
                        let difference = (f64::from(power[bin * FRAMES + frame]) - expected).abs();
                        assert!(difference < largest * 1e-6, "{points} {set} {frame} {bin}");
                    }
                }
                assert!(*first.get_or_insert_with(|| power.clone()) == power, "{points} {set}");
            }
        }
    }

    #[test]
    fn other_sizes_have_no_tables() {
        for points in [0, 1, 2, 4, 6, 12, 400, 511, 513] {
            assert!(Fourier::new(points).is_none(), "{points}");
        }
    }
}
