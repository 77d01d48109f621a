//! Normal numbers for dither, four hundred a frame: the ziggurat, a table in place of logarithms.
//!
//! Marsaglia and Tsang, "The ziggurat method for generating random variables" (2000). The area under
//! `f(x) = exp(-x² / 2)`, x >= 0, is covered by 256 layers of the same area `A`: 255 rectangles
//! `[0, x_i) × [f(x_i), f(x_{i+1}))` one upon another, and below them one that goes on as the tail
//! beyond `R = x_1`:
//!
//! ```text
//! A = R f(R) + ∫_R^∞ f      x_{i+1} = f⁻¹(f(x_i) + A / x_i)      x_256 = 0
//! ```
//!
//! A draw picks a layer and a place in it. A place left of the next layer's edge lies under the curve
//! (98.8 of 100); else its height decides, or for the lowest layer the tail is drawn as Marsaglia did
//! (1964). The lowest layer is drawn as wide as its area wants, `x_0 = A / f(R)`. Layer, sign and place
//! come from different bits of one number: from common ones they would be correlated (Doornik 2005).
//!
//! Book: book/src/sampling.md

use crate::random::Random;

const LAYERS: usize = 256;

/// Where the tail begins: the number that makes the layers close at `x_256 = 0`.
const TAIL: f64 = 3.654_152_885_361_009;

/// The area of a layer, for this tail.
const AREA: f64 = 0.004_928_673_233_974_658;

/// The bell, not normalised.
fn bell(x: f64) -> f64 {
    (-0.5 * x * x).exp()
}

/// The layers' edges and the bell's heights there.
#[derive(Clone, Debug)]
pub(crate) struct Ziggurat {
    edges: [f32; LAYERS + 1],
    heights: [f64; LAYERS + 1],
}

impl Ziggurat {
    pub(crate) fn new() -> Self {
        let mut edges = [0f64; LAYERS + 1];
        edges[0] = AREA / bell(TAIL);
        edges[1] = TAIL;
        for layer in 2..LAYERS {
            let below = edges[layer - 1];
            edges[layer] = (-2.0 * (bell(below) + AREA / below).ln()).sqrt();
        }
        Ziggurat { heights: edges.map(bell), edges: edges.map(|edge| edge as f32) }
    }

    /// Adds to each sample a number of mean 0 and this standard deviation.
    pub(crate) fn add_noise(&self, random: &mut Random, deviation: f32, samples: &mut [f32]) {
        for pair in samples.chunks_mut(2) {
            // One number of the generator for two samples: 8 bits for the layer and 24 for the place are
            // as many as a single-precision result shows.
            let bits = random.next_u64();
            for (sample, bits) in pair.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
                *sample += deviation * self.normal(bits, random);
            }
        }
    }

    /// A number of mean 0 and variance 1 from 32 random bits, seldom from more.
    #[inline]
    fn normal(&self, mut bits: u32, random: &mut Random) -> f32 {
        loop {
            let layer = (bits & 0xff) as usize;
            // The upper 24 bits with their sign, in [-1, 1): no branch on it, which none could foresee.
            let place = (bits as i32 >> 8) as f32 * (1.0 / (1 << 23) as f32);
            let x = place * self.edges[layer];
            if x.abs() < self.edges[layer + 1] {
                return x;
            }
            if layer == 0 {
                return tail(random).copysign(x);
            }
            let (low, high) = (self.heights[layer], self.heights[layer + 1]);
            if low + (high - low) * random.uniform() < bell(f64::from(x)) {
                return x;
            }
            bits = random.next_u64() as u32;
        }
    }
}

/// A number beyond `TAIL`: exponential with the bell's slope there, taken as often as the bell is lower.
fn tail(random: &mut Random) -> f32 {
    loop {
        // 1 - uniform is in (0, 1], where the logarithm is finite.
        let x = -(1.0 - random.uniform()).ln() / TAIL;
        let y = -(1.0 - random.uniform()).ln();
        if 2.0 * y > x * x {
            return (TAIL + x) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_the_same_area_and_close() {
        let table = Ziggurat::new();
        // The uppermost layer ends at the top of the bell: the two constants belong together.
        let last = f64::from(table.edges[LAYERS - 1]);
        assert!((bell(last) + AREA / last - 1.0).abs() < 1e-7);
        // The tail's area by the trapezoidal rule, whose ends are flat or negligible but one.
        let step = 1e-4;
        let sum: f64 = (1..100_000).map(|i| bell(TAIL + f64::from(i) * step)).sum();
        let area = TAIL * bell(TAIL) + (sum + 0.5 * bell(TAIL)) * step;
        assert!((area - AREA).abs() < 1e-10, "{area}");
        assert!(table.edges.windows(2).all(|pair| pair[0] > pair[1]));
    }

    /// Shares of many draws in bins, against the bell's integral over each: chi-squared. The edges of
    /// layers lie among the bins, so a layer drawn too often would show.
    #[test]
    fn draws_are_normal() {
        let table = Ziggurat::new();
        let mut random = Random::from_key(&[31]);
        let (bins, width, count) = (80usize, 0.1, 2_000_000u32);
        let mut found = vec![0u32; bins + 2];
        let (mut beyond, mut moments) = (0u32, [0f64; 4]);
        let mut noise = vec![1.0f32; count as usize];
        table.add_noise(&mut random, 2.0, &mut noise);
        for x in noise {
            let x = f64::from(x - 1.0) / 2.0;
            let bin = ((x / width) + bins as f64 / 2.0).floor().clamp(-1.0, bins as f64);
            found[(bin + 1.0) as usize] += 1;
            beyond += u32::from(x.abs() > TAIL);
            for (power, moment) in (1..).zip(&mut moments) {
                *moment += x.powi(power) / f64::from(count);
            }
        }
        // Standard errors: of the mean 7e-4, of the variance 1e-3, of the fourth moment 7e-3.
        let [mean, variance, third, fourth] = moments;
        assert!(mean.abs() < 3e-3 && (variance - 1.0).abs() < 4e-3, "{moments:?}");
        assert!(third.abs() < 0.011 && (fourth - 3.0).abs() < 0.028, "{moments:?}");
        let density = |x: f64| bell(x) / std::f64::consts::TAU.sqrt();
        let mut distance = 0.0;
        for (bin, &found) in found[1..=bins].iter().enumerate() {
            let left = (bin as f64 - bins as f64 / 2.0) * width;
            // Simpson's rule: the bell hardly bends over a tenth.
            let share = (density(left) + 4.0 * density(left + 0.5 * width) + density(left + width))
                * width
                / 6.0;
            let expected = share * f64::from(count);
            distance += (f64::from(found) - expected).powi(2) / expected;
        }
        // 80 degrees of freedom: mean 80, standard deviation 12.6; five of them.
        assert!(distance < 143.0, "{distance}");
        // 2.58e-4 of the bell lies beyond the tail's edge on both sides.
        let expected =
            2.0 * (AREA - TAIL * bell(TAIL)) / std::f64::consts::TAU.sqrt() * f64::from(count);
        assert!(
            (f64::from(beyond) - expected).abs() < 5.0 * expected.sqrt(),
            "{beyond} {expected}"
        );
    }
}
