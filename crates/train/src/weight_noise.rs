//! Noise on the weights while they learn, so that what is learnt does not hang on their last digits.
//!
//! Each step computes loss and gradient at w + ε, with ε drawn anew, and moves w. What is made small then is the mean
//! over the noise; with variance σ² for each weight and the loss L expanded to the second order,
//!
//! ```text
//! E L(w + ε) ≈ L(w) + σ²/2 Σᵢ ∂²L/∂wᵢ²
//! ```
//!
//! so steep valleys, in which a training set is learnt by heart, cost more than flat ones (An 1996). Recognisers from
//! little speech gained much by it (Graves, Mohamed and Hinton 2013, section 4: σ = 0.075 for LSTMs on TIMIT). Only
//! matrices are disturbed, as only they decay; dev and the model file see w itself.
//!
//! The noise is uniform, of the same variance as a normal one: the formula asks for no more, and it is quicker drawn. It is a function of (seed, step, name of the tensor), as every draw.
//!
//! Book: book/src/training.md

use labyrinth_nn::Parameters;
use labyrinth_signal::{Random, hash_name};

/// Disturbs the matrices for which `disturbed` says so, with standard deviation `sigma`, and returns all values as they
/// were.
pub(crate) fn disturb(
    parameters: &mut Parameters<f32>,
    sigma: f64,
    key: [u64; 2],
    disturbed: impl Fn(&str) -> bool,
) -> Vec<f32> {
    let before = parameters.values.clone();
    // A uniform number from -1/2 to 1/2 has the variance 1/12.
    let width = (sigma * 12f64.sqrt()) as f32;
    for index in 0..parameters.specs().len() {
        let spec = &parameters.specs()[index];
        if !spec.decay || !disturbed(&spec.name) {
            continue;
        }
        let mut random =
            Random::from_key(&[hash_name("weight noise"), key[0], key[1], hash_name(&spec.name)]);
        let range = parameters.range(index);
        for pair in parameters.values[range].chunks_mut(2) {
            // 24 bits, which an f32 holds exactly, for each of two.
            let bits = random.next_u64();
            for (value, bits) in pair.iter_mut().zip([bits >> 40, bits & 0xff_ffff]) {
                *value += width * (bits as f32 / 16_777_216.0 - 0.5);
            }
        }
    }
    before
}

#[cfg(test)]
mod tests {
    use super::*;
    use labyrinth_nn::ParameterSpec;

    fn parameters() -> Parameters<f32> {
        let specs = vec![
            ParameterSpec::weight("frozen.weight", &[40, 50], 0.1),
            ParameterSpec::weight("layer.weight", &[101, 99], 0.1),
            ParameterSpec::bias("layer.bias", 101, 0.1),
        ];
        Parameters::initialize(specs, 1)
    }

    #[test]
    fn matrices_are_disturbed_by_so_much_and_nothing_else() {
        let whole = parameters();
        let noisy = |step| {
            let mut noisy = whole.clone();
            let before = disturb(&mut noisy, 0.02, [7, step], |name| !name.starts_with("frozen"));
            assert_eq!(before, whole.values);
            noisy
        };
        let (one, two) = (noisy(1), noisy(2));
        assert_eq!(one, noisy(1));
        for name in ["frozen.weight", "layer.bias"] {
            assert_eq!(one.get(name), whole.get(name));
        }
        let noise = |noisy: &Parameters<f32>| -> Vec<f64> {
            let pairs =
                noisy.get("layer.weight").unwrap().iter().zip(whole.get("layer.weight").unwrap());
            pairs.map(|(noisy, before)| f64::from(noisy - before)).collect()
        };
        let (one, two) = (noise(&one), noise(&two));
        let mean =
            |of: &dyn Fn(usize) -> f64| (0..one.len()).map(of).sum::<f64>() / one.len() as f64;
        // Four deviations of each mean over 9,999 draws.
        assert!(mean(&|i| one[i]).abs() < 8e-4);
        assert!((mean(&|i| one[i] * one[i]).sqrt() - 0.02).abs() < 3e-4);
        // Neighbours, which may share a draw, and other steps are unrelated.
        let neighbour = |i: usize| one[(i + 1) % one.len()];
        assert!(mean(&|i| one[i] * neighbour(i)).abs() < 2e-5);
        assert!(mean(&|i| one[i] * two[i]).abs() < 2e-5);
        assert!(one.iter().all(|noise| noise.abs() < 0.0347));
    }
}
