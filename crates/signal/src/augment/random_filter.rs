//! A smooth random filter over logarithmic features: what another microphone would have done.
//!
//! Book: book/src/training.md

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// A smooth random filter over logarithmic features: another microphone, another room.
///
/// A filter multiplies the spectrum, so it adds to its logarithm: here three cosines over the bins,
/// of half a period, one and one and a half, each of a random height.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RandomFilter {
    /// Standard deviation of each cosine's height, in dB.
    pub ripple_db: f64,
}

impl RandomFilter {
    /// Adds the filter to `features`, `[frames, dim]`, natural logarithms of power.
    pub fn apply(&self, features: &mut [f32], dim: usize, random: &mut Random) {
        let nepers = self.ripple_db * std::f64::consts::LN_10 / 10.0;
        let heights = [random.normal(), random.normal(), random.normal()];
        let filter: Vec<f32> = (0..dim)
            .map(|bin| {
                let place = std::f64::consts::PI * (bin as f64 + 0.5) / dim as f64;
                let cosines = heights.iter().zip([1.0, 2.0, 3.0]);
                (nepers * cosines.map(|(height, k)| height * (k * place).cos()).sum::<f64>()) as f32
            })
            .collect();
        for row in features.chunks_exact_mut(dim.max(1)) {
            for (value, gain) in row.iter_mut().zip(&filter) {
                *value += gain;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_filter_is_smooth_and_the_same_in_every_frame() {
        let (dim, frames, ripple_db) = (40, 5, 6.0);
        let mut squares = 0.0;
        for seed in 0..200 {
            let mut features: Vec<f32> = (0..dim * frames).map(|i| i as f32).collect();
            let before = features.clone();
            RandomFilter { ripple_db }.apply(&mut features, dim, &mut Random::from_key(&[seed]));
            let filter: Vec<f32> = features.iter().zip(&before).map(|(a, b)| a - b).collect();
            for row in filter.chunks(dim) {
                assert!(row.iter().zip(&filter).all(|(a, b)| (a - b).abs() < 1e-4));
            }
            let decibels: Vec<f64> = filter[..dim]
                .iter()
                .map(|v| f64::from(*v) * 10.0 / std::f64::consts::LN_10)
                .collect();
            assert!(decibels.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 10.0));
            // The mean level stays: a filter is not a change of volume.
            assert!(decibels.iter().sum::<f64>().abs() < 1e-3);
            squares += decibels.iter().map(|v| v * v).sum::<f64>() / dim as f64;
        }
        // Each of three cosines has half its height's variance.
        let deviation = (squares / 200.0 / 1.5).sqrt();
        assert!((deviation - ripple_db).abs() < 0.6, "{deviation}");
    }
}
