//! A running mean of the weights, which is scored and kept in place of the last weights themselves.
//!
//! At a fixed learning rate the weights dance around the bottom at the height of their gradients' noise; their mean
//! lies nearer to it (Polyak and Juditsky 1992). A mean over all steps would remember the random beginning for long,
//! so old steps fade: with w the weights after step t = 1, 2, … and the memory β,
//!
//! ```text
//! w̄ ← w̄ + (1 - βₜ) (w - w̄),     βₜ = min(β, (t - 1) / (t + 9))
//! ```
//!
//! In the first ten thousand steps of β = 0.999 the second term rules: the mean then covers about the last tenth of
//! all steps, however many there were (polynomial decay, Shamir and Zhang 2013, section 4, with η = 9), and the weights
//! before the first step count nothing. Later it covers about the last 1 / (1 - β) steps. Training itself never sees w̄:
//! it goes on from w.
//!
//! Book: book/src/training.md

use labyrinth_nn::{Network, Parameters};

/// The running mean of a network's weights and of its running statistics.
pub(crate) struct Average {
    /// β, from 0 to less than 1.
    memory: f64,
    parameters: Parameters<f32>,
    buffers: Parameters<f32>,
}

impl Average {
    /// The mean of the weights with which a network begins; `None` for a memory of 0, which would be the weights
    /// themselves.
    pub fn begin(memory: f64, network: &Network<f32>) -> Option<Self> {
        let (parameters, buffers) = (network.parameters.clone(), network.buffers.clone());
        (memory > 0.0).then_some(Self { memory, parameters, buffers })
    }

    /// Takes the weights after `step`, counted from 1, into the mean.
    pub fn add(&mut self, network: &Network<f32>, step: u64) {
        let share = (1.0 - memory_at(self.memory, step)) as f32;
        let groups =
            [(&mut self.parameters, &network.parameters), (&mut self.buffers, &network.buffers)];
        for (mean, new) in groups {
            for (mean, new) in mean.values.iter_mut().zip(&new.values) {
                *mean += share * (new - *mean);
            }
        }
    }

    /// The means of weights and running statistics, for a checkpoint.
    pub fn tensors(&mut self) -> [&mut Parameters<f32>; 2] {
        [&mut self.parameters, &mut self.buffers]
    }

    /// Puts the mean into the network and the network's weights here; a second time, back.
    pub fn exchange(&mut self, network: &mut Network<f32>) {
        std::mem::swap(&mut self.parameters.values, &mut network.parameters.values);
        std::mem::swap(&mut self.buffers.values, &mut network.buffers.values);
    }
}

/// What is kept of the mean at `step`, counted from 1.
fn memory_at(memory: f64, step: u64) -> f64 {
    let step = step as f64;
    memory.min((step - 1.0) / (step + 9.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much each of `steps` steps counts in the mean: share of its own times what the later ones keep.
    fn weights(memory: f64, steps: u64) -> Vec<f64> {
        let kept = |from: u64| (from + 1..=steps).map(|t| memory_at(memory, t)).product::<f64>();
        (1..=steps).map(|s| (1.0 - memory_at(memory, s)) * kept(s)).collect()
    }

    #[test]
    fn the_mean_covers_the_last_tenth_and_later_its_memory() {
        for steps in [1, 2, 50, 5000] {
            let weights = weights(0.999, steps);
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "nothing else counts");
            assert!(weights.windows(2).all(|pair| pair[0] < pair[1]));
        }
        let age = |steps: u64| {
            let weights = weights(0.999, steps).into_iter().rev().enumerate();
            weights.map(|(age, weight)| age as f64 * weight).sum::<f64>()
        };
        assert!((age(5000) / 5000.0 - 1.0 / 11.0).abs() < 1e-3, "{}", age(5000));
        assert!((age(30_000) - 999.0).abs() < 1.0, "{}", age(30_000));
    }
}
