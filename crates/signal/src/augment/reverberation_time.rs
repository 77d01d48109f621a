//! Which reflection coefficient a room's walls need for a reverberation time.
//!
//! Sabine's and Eyring's formulas assume a diffuse field, which a room of mirrors (`room.rs`) is not:
//! they miss by a third. But the coefficient `b` enters the decay in a simple way. With E[n, t] the
//! energy 1/d^2 of the images of n reflections that arrive at t, the energy that arrives at t is the
//! sum over n of E[n, t] b^(2n); E is counted once, then `b` is found by bisection, such that the
//! energy still to come (Schroeder, "New method of measuring reverberation time", JASA 37, 1965) falls
//! from -5 to -35 dB at the rate of 60 dB in the time asked for. The direct sound does not count: the
//! time is the tail's.
//!
//! Book: book/src/training.md

use super::room::{Room, RoomError, SPEED_OF_SOUND};

/// Places in time at which the energy's decay is counted.
const STEPS: usize = 250;

impl Room {
    /// The reflection coefficient with which the tail decays by 60 dB in `seconds`.
    ///
    /// # Errors
    /// As [`Room::impulse_response`].
    pub fn reflection_for(&self, seconds: f64) -> Result<f64, RoomError> {
        self.check(seconds, 1.0)?;
        // energies[n * STEPS + step]: of images of n reflections.
        let mut energies = vec![0f64; (self.most_reflections(seconds) + 1) * STEPS];
        let direct = self.distance();
        let steps_per_metre = STEPS as f64 / (SPEED_OF_SOUND * seconds).max(1e-9);
        self.for_each_image(seconds, |distance, reflections| {
            let step = (((distance - direct) * steps_per_metre) as usize).min(STEPS - 1);
            energies[reflections * STEPS + step] += 1.0 / (distance * distance);
        });
        // The direct sound is no part of the tail.
        energies[..STEPS].fill(0.0);
        let longer = |log_reflection: f64| {
            let mut arriving = [0f64; STEPS];
            for (n, row) in energies.chunks_exact(STEPS).enumerate() {
                let gain = (2.0 * n as f64 * log_reflection).exp();
                for (sum, energy) in arriving.iter_mut().zip(row) {
                    *sum += gain * energy;
                }
            }
            decays_longer(&arriving)
        };
        let (mut least, mut greatest) = (-12f64, -1e-6f64);
        for _ in 0..50 {
            let middle = (least + greatest) / 2.0;
            match longer(middle) {
                true => greatest = middle,
                false => least = middle,
            }
        }
        Ok(((least + greatest) / 2.0).exp())
    }
}

/// Whether energy that arrives so takes longer than all the steps together to fall by 60 dB, by the
/// line of least squares through Schroeder's curve from -5 to -35 dB.
///
/// Far from the answer simpler rules decide. The curve lacks what arrives after the last step; that
/// matters only where the decay is so slow that two thirds of the time, which should bring 40 dB, do
/// not bring 30. And where walls are soft, few images make a curve of steps, whose slope says nothing:
/// then the times of -5 and -35 dB lie close together.
fn decays_longer(arriving: &[f64; STEPS]) -> bool {
    let mut to_come = *arriving;
    for step in (1..STEPS).rev() {
        to_come[step - 1] += to_come[step];
    }
    if to_come[0] <= 0.0 {
        return false;
    }
    let levels = to_come.map(|energy| 10.0 * (energy / to_come[0]).log10());
    if levels[STEPS * 2 / 3] > -30.0 {
        return true;
    }
    let first = |limit: f64| levels.iter().position(|level| *level <= limit).unwrap_or(STEPS);
    let places = first(-5.0)..first(-35.0);
    if places.len() < STEPS / 4 {
        return false;
    }
    let count = places.len() as f64;
    let mean_place = places.clone().sum::<usize>() as f64 / count;
    let mean_level = places.clone().map(|step| levels[step]).sum::<f64>() / count;
    let (mut covariance, mut variance) = (0.0, 0.0);
    for step in places {
        covariance += (step as f64 - mean_place) * (levels[step] - mean_level);
        variance += (step as f64 - mean_place).powi(2);
    }
    // Decibels in all the steps.
    covariance / variance * STEPS as f64 > -60.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::reverberation::ImpulseResponse;
    use crate::augment::test_sounds::decibels;
    use crate::random::Random;

    const OFFICE: Room =
        Room { size: [5.2, 4.1, 2.7], source: [1.3, 2.9, 1.6], microphone: [3.8, 1.5, 1.3] };

    /// The time of 60 dB, measured on the samples and by another rule than the solver's: the line of
    /// least squares through Schroeder's curve from -5 to -35 dB, without the direct sound.
    fn measured(response: &ImpulseResponse, rate: u32) -> f64 {
        let tail = &response.samples[response.direct + 2..];
        let mut sum = 0.0;
        let mut curve: Vec<f64> = tail
            .iter()
            .rev()
            .map(|v| {
                sum += f64::from(*v).powi(2);
                sum
            })
            .collect();
        curve.reverse();
        let points: Vec<(f64, f64)> = curve
            .iter()
            .enumerate()
            .map(|(n, energy)| (n as f64 / f64::from(rate), decibels(energy / curve[0])))
            .filter(|(_, level)| (-35.0..=-5.0).contains(level))
            .collect();
        let count = points.len() as f64;
        let mean_time = points.iter().map(|p| p.0).sum::<f64>() / count;
        let mean_level = points.iter().map(|p| p.1).sum::<f64>() / count;
        let covariance: f64 = points.iter().map(|p| (p.0 - mean_time) * (p.1 - mean_level)).sum();
        let variance: f64 = points.iter().map(|p| (p.0 - mean_time).powi(2)).sum();
        -60.0 * variance / covariance
    }

    #[test]
    fn the_tail_decays_in_the_time_asked_for() {
        let mut errors = Vec::new();
        for seed in 0..24 {
            let mut random = Random::from_key(&[seed]);
            let room = Room::draw([[3.0, 10.0], [3.0, 8.0], [2.4, 4.0]], &mut random);
            for (asked, rate) in [(0.2, 16_000), (0.4, 8000), (0.7, 16_000)] {
                let reflection = room.reflection_for(asked).unwrap();
                let response = room.impulse_response(reflection, asked, rate).unwrap();
                let error = measured(&response, rate) / asked - 1.0;
                errors.push(error.abs());
                assert!(error.abs() < 0.2, "{room:?}: {asked} s, off by {error:.3}");
            }
        }
        errors.sort_by(f64::total_cmp);
        let (median, worst) = (100.0 * errors[errors.len() / 2], 100.0 * errors[errors.len() - 1]);
        println!("reverberation time off by {median:.1} % (median), {worst:.1} % at most");
    }

    /// Against `tests/golden/make_room.py`, which counts images and fits decays in its own way.
    #[test]
    fn walls_and_decay_belong_together_as_elsewhere_computed() {
        for (reflection, seconds) in [(0.5, 0.0945), (0.7, 0.1795), (0.8, 0.2808), (0.9, 0.5878)] {
            let found: f64 = OFFICE.reflection_for(seconds).unwrap();
            println!("{seconds} s: {found:.4} for {reflection}");
            // The decay rate goes with the logarithm.
            assert!((found.ln() / f64::ln(reflection) - 1.0).abs() < 0.03, "{seconds}: {found}");
        }
    }
}
