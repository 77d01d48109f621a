//! The room between mouth and microphone: speech convolved with an impulse response.
//!
//! A room is linear and does not change while someone speaks, so what the microphone hears is the
//! speech convolved with what it would hear of a click (Ko, Peddinti, Povey, Seltzer and Khudanpur,
//! "A study on data augmentation of reverberant speech for robust speech recognition", ICASSP
//! 2017). The direct sound is put at time 0, so that every word stays where it was; the tail that
//! would sound on after the recording's end is cut there. The power stays the recording's own, so
//! that noise added later at a ratio means what it says.
//!
//! Book: book/src/training.md

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::convolution::Convolver;
use super::room::{MOST_IMAGES, Room, SPEED_OF_SOUND};
use super::{
    AugmentError, always, check_probability, draw_between, happens, is_always, lies_within, power,
};
use crate::random::Random;

/// The most rooms that are kept: at two seconds each and 16 kHz, 1.3 GB.
const MOST_ROOMS: u64 = 10_000;

/// What a microphone hears of a click.
#[derive(Clone, Debug, PartialEq)]
pub struct ImpulseResponse {
    /// At the sample rate of the speech.
    pub samples: Vec<f32>,
    /// Which of them is the direct sound.
    pub direct: usize,
}

impl ImpulseResponse {
    /// A recorded response, whose loudest sample is the direct sound. `None` where it is silent, or
    /// holds what is no finite number.
    pub fn from_recording(samples: Vec<f32>) -> Option<Self> {
        let loudest = (0..samples.len())
            .rev() // of equals the first
            .max_by(|a, b| samples[*a].abs().total_cmp(&samples[*b].abs()))?;
        let sound = samples.iter().all(|sample| sample.is_finite()) && samples[loudest] != 0.0;
        sound.then_some(Self { samples, direct: loudest })
    }
}

/// Rooms, simulated or recorded, one drawn for each recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reverberation {
    /// A manifest or a folder of recorded impulse responses; without it rooms are simulated, and
    /// the three options below describe them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recordings: Option<PathBuf>,
    /// Least and greatest length, width and height in metres.
    pub size_m: [[f64; 2]; 3],
    /// Least and greatest time in which a room's sound decays by 60 dB, in seconds.
    pub rt60: [f64; 2],
    /// How many different rooms; each is simulated once and kept, in 4 bytes a sample of its decay.
    pub rooms: u64,
    /// The share of recordings that are changed.
    #[serde(skip_serializing_if = "is_always")]
    pub probability: f64,
}

impl Default for Reverberation {
    /// A hundred simulated rooms from a bedroom to a classroom, with decays from 0.2 to 0.8 s;
    /// always.
    fn default() -> Self {
        Reverberation {
            recordings: None,
            size_m: [[3.0, 10.0], [3.0, 8.0], [2.4, 4.0]],
            rt60: [0.2, 0.8],
            rooms: 100,
            probability: always(),
        }
    }
}

impl Reverberation {
    /// Whether every option lies in its range.
    ///
    /// # Errors
    /// [`AugmentError::Range`] says what does not.
    pub fn check(&self) -> Result<(), AugmentError> {
        let range = |wanted: &str| Err(AugmentError::range("reverberation", wanted));
        check_probability("reverberation", self.probability)?;
        if !self.size_m.iter().all(|range| lies_within(*range, 1.5, 50.0)) {
            return range(
                "size-m = [[shortest, longest], [narrowest, widest], [lowest, highest]], metres \
                 from 1.5 to 50",
            );
        }
        if !lies_within(self.rt60, 0.1, 2.0) {
            return range("rt60 = [shortest, longest], seconds from 0.1 to 2");
        }
        if !(1..=MOST_ROOMS).contains(&self.rooms) {
            return range("rooms from 1 to 10000");
        }
        // The most images there can be: the smallest room, the longest decay, from corner to corner.
        let least = self.size_m.map(|[low, _]| low);
        let diagonal = least.iter().map(|length| length * length).sum::<f64>().sqrt();
        let radius = SPEED_OF_SOUND * self.rt60[1] + diagonal;
        let images = 4.19 * radius.powi(3) / least.iter().product::<f64>();
        if images > MOST_IMAGES {
            return range(
                "larger rooms or a shorter rt60: so long a decay in so small a room has more \
                 reflections than can be computed",
            );
        }
        Ok(())
    }

    /// Whether a recording is changed.
    pub fn draw(&self, random: &mut Random) -> bool {
        happens(self.probability, random)
    }

    /// A simulated room: drawn, its walls found, its response computed. `None` only for options
    /// that [`Reverberation::check`] refuses.
    pub fn simulate(&self, sample_rate: u32, random: &mut Random) -> Option<ImpulseResponse> {
        let room = Room::draw(self.size_m, random);
        let seconds = draw_between(self.rt60, random);
        let reflection = room.reflection_for(seconds).ok()?;
        room.impulse_response(reflection, seconds, sample_rate).ok()
    }
}

/// Convolves recordings with impulse responses; it keeps the plans of its transforms.
pub struct Reverberator {
    convolver: Convolver,
}

impl Default for Reverberator {
    fn default() -> Self {
        Self { convolver: Convolver::new() }
    }
}

impl Reverberator {
    /// Puts `samples` into the room: the same number, the same power, every sound at its time.
    pub fn apply(&mut self, samples: &mut Vec<f32>, response: &ImpulseResponse) {
        let mut reverberant = self.convolver.convolve(samples, &response.samples, response.direct);
        let scale = (power(samples) / power(&reverberant)).sqrt();
        // Silence, or a response so faint that nothing is left of the speech.
        if !(scale.is_finite() && scale > 0.0) {
            return;
        }
        for sample in &mut reverberant {
            *sample = (f64::from(*sample) * scale) as f32;
        }
        *samples = reverberant;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::test_sounds::{decibels, white};

    #[test]
    fn level_length_and_times_stay() {
        let mut reverberator = Reverberator::default();
        for seed in 0..10 {
            let mut random = Random::from_key(&[seed]);
            let room = Reverberation::default().simulate(16_000, &mut random).unwrap();
            let sound = white(seed, 16_000);
            let mut samples = sound.clone();
            reverberator.apply(&mut samples, &room);
            assert_eq!(samples.len(), sound.len());
            let change = decibels(power(&samples) / power(&sound));
            assert!(change.abs() < 0.001, "{change} dB");
            assert_ne!(samples, sound);
            let mut click = vec![0f32; 12_000];
            click[4321] = 1.0;
            reverberator.apply(&mut click, &room);
            let loudest =
                (0..click.len()).max_by(|a, b| click[*a].abs().total_cmp(&click[*b].abs()));
            // The direct sound is where it was; in a small room two reflections that coincide may
            // be louder, so the first sound is what is looked for.
            let first = click.iter().position(|v| v.abs() > 0.1).unwrap();
            assert!(first.abs_diff(4321) <= 1 && loudest >= Some(4321), "{first} {loudest:?}");
        }
    }

    #[test]
    fn a_recorded_response_is_aligned_by_its_loudest_sample() {
        let mut samples = vec![0f32; 3000];
        samples[500] = -0.2;
        samples[700] = -0.9;
        samples[900] = 0.9;
        let response = ImpulseResponse::from_recording(samples).unwrap();
        assert_eq!(response.direct, 700);
        let mut click = vec![0f32; 1000];
        click[300] = 1.0;
        Reverberator::default().apply(&mut click, &response);
        let loud = |place: usize| click[place].abs() > 0.1;
        assert!(loud(100) && loud(300) && loud(500));
        for nothing in [vec![], vec![0.0; 9], vec![0.1, f32::NAN], vec![f32::INFINITY]] {
            assert_eq!(ImpulseResponse::from_recording(nothing), None);
        }
    }

    #[test]
    fn white_noise_gains_what_the_energy_of_the_response_says() {
        let mut random = Random::from_key(&[4]);
        let room = Reverberation::default().simulate(16_000, &mut random).unwrap();
        let sound = white(3, 160_000);
        let heard = Convolver::new().convolve(&sound, &room.samples, room.direct);
        let energy: f64 = room.samples.iter().map(|v| f64::from(*v).powi(2)).sum();
        let ratio = decibels(power(&heard) / power(&sound) / energy);
        assert!(ratio.abs() < 0.3, "{ratio} dB");
    }

    #[test]
    fn silence_and_single_samples_do_no_harm() {
        let mut random = Random::from_key(&[4]);
        let room = Reverberation::default().simulate(8000, &mut random).unwrap();
        let faint = ImpulseResponse { samples: vec![1e-30], direct: 0 };
        let late = ImpulseResponse { samples: vec![0.0, 0.0, 1.0], direct: 0 };
        for response in [&room, &faint, &late] {
            for count in [0usize, 1, 2, 300] {
                for level in [0.0, 0.5] {
                    let mut samples = vec![level; count];
                    Reverberator::default().apply(&mut samples, response);
                    assert_eq!(samples.len(), count);
                    assert!(samples.iter().all(|v| v.is_finite()));
                }
            }
        }
    }

    #[test]
    fn a_room_is_a_function_of_its_key_and_ranges_are_checked() {
        let options = Reverberation::default();
        let simulate = |seed| options.simulate(16_000, &mut Random::from_key(&[seed]));
        assert_eq!(simulate(1), simulate(1));
        assert_ne!(simulate(1), simulate(2));
        assert_eq!(options.check(), Ok(()));
        let small = [[1.5, 1.5]; 3];
        for (options, word) in [
            (Reverberation { rt60: [0.05, 0.5], ..options.clone() }, "rt60"),
            (Reverberation { rt60: [0.5, 0.2], ..options.clone() }, "rt60"),
            (Reverberation { rt60: [0.2, f64::NAN], ..options.clone() }, "rt60"),
            (Reverberation { size_m: [[1.0, 3.0]; 3], ..options.clone() }, "size-m"),
            (Reverberation { rooms: 0, ..options.clone() }, "rooms"),
            (Reverberation { rooms: 1_000_000, ..options.clone() }, "rooms"),
            (Reverberation { size_m: small, rt60: [1.9, 2.0], ..options.clone() }, "reflections"),
            (Reverberation { probability: -1.0, ..options.clone() }, "probability"),
        ] {
            let error = options.check().expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
