//! What training adds to recordings, one file per method; nothing here touches an evaluation.
//!
//! In the order in which sound meets them, each drawn from its own [`Random`] of (seed, epoch,
//! utterance), so that a run repeats byte for byte on any number of threads:
//!
//! | file | what changes | times of labels |
//! |---|---|---|
//! | `speed.rs` | tempo and pitch of the voice | t / speed |
//! | `tempo.rs` | tempo alone | t / tempo, to within 10 ms |
//! | `room.rs`, `reverberation.rs` | the room between mouth and microphone | stay |
//! | `noise.rs` | noise, computed or recorded, at a stated ratio | stay |
//! | `volume.rs` | the level of the recording, clipped if asked | stay |
//! | `low_pass.rs`, `telephone.rs` | the bandwidth and coding of the line | stay |
//! | `random_filter.rs`, `spec_augment.rs` | the features | stay |
//!
//! Methods with a `probability` leave the other recordings as they are.

mod convolution;
mod low_pass;
mod noise;
mod random_filter;
mod reverberation;
mod reverberation_time;
mod room;
mod spec_augment;
mod speed;
mod telephone;
mod tempo;
mod volume;

pub use low_pass::{LowPass, LowPassFilter};
pub use noise::{Noise, RecordedNoise, add_at_ratio, power};
pub use random_filter::RandomFilter;
pub use reverberation::{ImpulseResponse, Reverberation, Reverberator};
pub use room::{Room, RoomError};
pub use spec_augment::SpecAugment;
pub use speed::change_speed;
pub use telephone::{CompandingLaw, Telephone, TelephoneLine};
pub use tempo::change_tempo;
pub use volume::Volume;

use crate::random::Random;

/// An option of a method is out of its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AugmentError {
    /// One option of one method.
    #[error("{method} wants {wanted}")]
    Range {
        /// The method, as recipes name it.
        method: &'static str,
        /// The option and its range.
        wanted: String,
    },
}

impl AugmentError {
    fn range(method: &'static str, wanted: impl Into<String>) -> Self {
        Self::Range { method, wanted: wanted.into() }
    }
}

/// Whether a range is one, and lies within limits. What is not a number does not.
fn lies_within(range: [f64; 2], least: f64, greatest: f64) -> bool {
    let [low, high] = range;
    low <= high && low >= least && high <= greatest
}

/// A probability's check.
fn check_probability(method: &'static str, probability: f64) -> Result<(), AugmentError> {
    match (0.0..=1.0).contains(&probability) {
        true => Ok(()),
        false => Err(AugmentError::range(method, "a probability from 0 to 1")),
    }
}

/// Evenly from a range.
fn draw_between(range: [f64; 2], random: &mut Random) -> f64 {
    range[0] + (range[1] - range[0]) * random.uniform()
}

/// Whether a method applies. Where it always does nothing is drawn, so that what follows is the
/// same as before the method had a probability.
fn happens(probability: f64, random: &mut Random) -> bool {
    probability >= 1.0 || random.uniform() < probability
}

fn always() -> f64 {
    1.0
}

/// For serde: a probability that need not be written.
fn is_always(probability: &f64) -> bool {
    *probability == 1.0
}

#[cfg(test)]
mod test_sounds {
    use crate::random::Random;

    /// A tone of `step` radians a sample, of amplitude 0.5.
    pub(super) fn tone(step: f64, n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f64 * step).sin() as f32 * 0.5).collect()
    }

    /// White noise of standard deviation 0.1.
    pub(super) fn white(seed: u64, n: usize) -> Vec<f32> {
        let mut random = Random::from_key(&[seed]);
        (0..n).map(|_| (0.1 * random.normal()) as f32).collect()
    }

    /// Decibels of a ratio of powers.
    pub(super) fn decibels(ratio: f64) -> f64 {
        10.0 * ratio.log10()
    }

    /// Power of the spectrum of the middle of `samples` from `low` to `high`, as shares of half the
    /// sample rate, under a Blackman-Harris window whose side lobes lie at -92 dB.
    pub(super) fn band_power(samples: &[f32], low: f64, high: f64) -> f64 {
        let points = 4096;
        let begin = (samples.len() - points) / 2;
        let mut planner = realfft::RealFftPlanner::<f64>::new();
        let plan = planner.plan_fft_forward(points);
        let mut input: Vec<f64> = (0..points)
            .map(|i| {
                let angle = std::f64::consts::TAU * i as f64 / points as f64;
                let window = 0.35875 - 0.48829 * angle.cos() + 0.14128 * (2.0 * angle).cos()
                    - 0.01168 * (3.0 * angle).cos();
                window * f64::from(samples[begin + i])
            })
            .collect();
        let mut spectrum = plan.make_output_vec();
        plan.process(&mut input, &mut spectrum).expect("the lengths are the plan's");
        let bin = |share: f64| (share * (points / 2) as f64).round() as usize;
        spectrum[bin(low)..=bin(high)].iter().map(|value| value.norm_sqr()).sum()
    }
}
