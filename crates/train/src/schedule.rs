//! The learning rate along the way: up for a while, then down.
//!
//! Book: book/src/training.md

use std::f64::consts::PI;

/// One cycle (Smith & Topin 2019): the rate rises from a 25th of its peak along half a cosine
/// during `warm_up` of the training, then falls to almost nothing along another.
///
/// Small at first, because the first gradients of a fresh network point anywhere; large in the
/// middle, to cross the plateau on which a CTC model says nothing but blank; small at the end,
/// to settle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneCycle {
    /// Largest learning rate.
    pub peak: f64,
    /// Share of the training during which the rate rises.
    pub warm_up: f64,
}

const START_DIVISOR: f64 = 25.0;
const END_DIVISOR: f64 = 25.0 * 1e4;

impl OneCycle {
    // ANCHOR: rate
    /// The rate when `progress` of the training, from 0 to 1, is done.
    pub fn rate(&self, progress: f64) -> f64 {
        let progress = progress.clamp(0.0, 1.0);
        let between =
            |from: f64, to: f64, share: f64| to + (from - to) * 0.5 * (1.0 + (PI * share).cos());
        if progress < self.warm_up {
            between(self.peak / START_DIVISOR, self.peak, progress / self.warm_up)
        } else {
            let share = (progress - self.warm_up) / (1.0 - self.warm_up).max(f64::MIN_POSITIVE);
            between(self.peak, self.peak / END_DIVISOR, share)
        }
    }
    // ANCHOR_END: rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_almost_nothing() {
        let schedule = OneCycle { peak: 1e-3, warm_up: 0.3 };
        assert!((schedule.rate(0.0) - 4e-5).abs() < 1e-12);
        assert!((schedule.rate(0.3) - 1e-3).abs() < 1e-12);
        assert!((schedule.rate(1.0) - 4e-9).abs() < 1e-12);
        let rates: Vec<f64> = (0..=100).map(|i| schedule.rate(f64::from(i) / 100.0)).collect();
        assert!(rates[..=30].windows(2).all(|pair| pair[0] < pair[1]));
        assert!(rates[30..].windows(2).all(|pair| pair[0] > pair[1]));
    }

    #[test]
    fn a_schedule_without_warm_up_begins_at_its_peak() {
        let schedule = OneCycle { peak: 0.1, warm_up: 0.0 };
        assert!((schedule.rate(0.0) - 0.1).abs() < 1e-12);
    }
}
