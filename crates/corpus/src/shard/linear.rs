//! A predictor fitted to a block of samples: the next one as a weighted sum of those before it.
//!
//! The weights a_1 .. a_p that make the sum of (x_n - sum_i a_i x_(n-i))^2 least solve the normal equations
//! sum_j a_j r_|i-j| = r_i with the autocorrelation r of the windowed block. Durbin's recursion solves them
//! order by order (J. Makhoul, Linear prediction: a tutorial review, Proc. IEEE 63, 1975): with the error
//! e_0 = r_0,
//!
//! ```text
//! k_m = (r_m - sum_(j<m) a_j r_(m-j)) / e_(m-1)
//! a_m = k_m,  a_j <- a_j - k_m a_(m-j),  e_m = (1 - k_m^2) e_(m-1)
//! ```
//!
//! The weights then become integers a_i 2^s, and the rounding error of each is carried to the next, which
//! keeps their sum. The window is Welch's parabola, which needs no function that differs between machines.

/// Weights as FLAC writes them.
pub(super) struct Predictor {
    /// Of the last sample first, times two to the power of `shift`.
    pub(super) coefficients: Vec<i32>,
    pub(super) shift: u32,
}

impl Predictor {
    /// Of a coefficient, with its sign.
    pub(super) const BITS: u32 = 14;

    /// `None` where the block is too short, silent, or no integers hold the weights.
    pub(super) fn fit(samples: &[i32], order: usize) -> Option<Self> {
        if samples.len() <= 2 * order {
            return None;
        }
        let weights = durbin(&autocorrelation(samples, order))?;
        let largest = weights.iter().fold(0.0f64, |largest, weight| largest.max(weight.abs()));
        let limit = f64::from((1i32 << (Self::BITS - 1)) - 1);
        let shift = (0..=15u32).rev().find(|&s| largest * f64::from(1u32 << s) <= limit - 1.0)?;
        let mut carried = 0.0;
        let mut integer = |weight: &f64| {
            let wanted = weight * f64::from(1u32 << shift) + carried;
            let rounded = wanted.round().clamp(-limit, limit);
            carried = wanted - rounded;
            rounded as i32
        };
        Some(Self { coefficients: weights.iter().map(&mut integer).collect(), shift })
    }

    /// What the prediction misses, from the first sample on that has enough before it.
    pub(super) fn residuals(&self, samples: &[i32]) -> Vec<i64> {
        let order = self.coefficients.len();
        let windows = samples.windows(order + 1);
        windows
            .map(|window| {
                let before = window[..order].iter().rev().zip(&self.coefficients);
                let sum: i64 = before.map(|(&x, &a)| i64::from(x) * i64::from(a)).sum();
                i64::from(window[order]) - (sum >> self.shift)
            })
            .collect()
    }
}

/// `r_0 .. r_order` of the block under Welch's window.
fn autocorrelation(samples: &[i32], order: usize) -> Vec<f64> {
    let middle = (samples.len() - 1) as f64 / 2.0;
    let windowed: Vec<f64> = samples
        .iter()
        .enumerate()
        .map(|(index, &sample)| {
            let place = (index as f64 - middle) / (middle + 1.0);
            f64::from(sample) * (1.0 - place * place)
        })
        .collect();
    (0..=order).map(|lag| windowed[lag..].iter().zip(&windowed).map(|(a, b)| a * b).sum()).collect()
}

fn durbin(correlation: &[f64]) -> Option<Vec<f64>> {
    let mut error = correlation[0];
    let mut weights: Vec<f64> = Vec::with_capacity(correlation.len() - 1);
    for order in 1..correlation.len() {
        // Nothing is left to predict, or rounding ate it.
        if error <= 0.0 || !error.is_finite() {
            return None;
        }
        let known: f64 =
            weights.iter().zip(correlation[1..order].iter().rev()).map(|(a, r)| a * r).sum();
        let reflection = (correlation[order] - known) / error;
        let before = weights.clone();
        for (weight, mirrored) in weights.iter_mut().zip(before.iter().rev()) {
            *weight -= reflection * mirrored;
        }
        weights.push(reflection);
        error *= 1.0 - reflection * reflection;
    }
    weights.iter().all(|weight| weight.is_finite()).then_some(weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A damped oscillation obeys x_n = 2 d cos(w) x_(n-1) - d^2 x_(n-2) exactly.
    #[test]
    fn the_weights_of_an_oscillation_are_found() {
        let (damping, step) = (0.9999f64, 0.1f64);
        let samples: Vec<i32> = (0..4096)
            .map(|n| (1e6 * damping.powi(n) * (step * f64::from(n)).sin()).round() as i32)
            .collect();
        let predictor = Predictor::fit(&samples, 2).unwrap();
        let scale = f64::from(1u32 << predictor.shift);
        let found: Vec<f64> =
            predictor.coefficients.iter().map(|&a| f64::from(a) / scale).collect();
        assert!((found[0] - 2.0 * damping * step.cos()).abs() < 2e-2, "{found:?}");
        assert!((found[1] + damping * damping).abs() < 2e-2, "{found:?}");
        let residuals = predictor.residuals(&samples);
        assert_eq!(residuals.len(), samples.len() - 2);
        assert!(residuals.iter().all(|r| r.abs() < 20_000), "{:?}", residuals.iter().max());
    }

    #[test]
    fn silence_and_short_blocks_have_no_predictor() {
        assert!(Predictor::fit(&[0; 4096], 8).is_none());
        assert!(Predictor::fit(&[1, 2, 3, 4, 5, 6, 7, 8], 4).is_none());
    }
}
