//! The impulse response of a rectangular room, from its size, by the image method.
//!
//! Allen and Berkley, "Image method for efficiently simulating small-room acoustics", JASA 65(4),
//! 1979. A flat wall answers a source as its mirror image would, weaker by the wall's reflection
//! coefficient `b`; six walls mirror the images again and again. Along one axis of length L, with
//! the source at `s` and the microphone at `r`, the images lie at (1 - 2p) s + 2 m L - r from the
//! microphone, p in {0, 1}, m any integer, after |m - p| + |m| reflections. With d the distance
//! in space and n the reflections of all axes, and c the speed of sound, the response is
//!
//! ```text
//! h(t) = sum over images of  b^n / d  delta(t - d / c),     here times d0, and d0 / c earlier:
//! ```
//!
//! the direct sound (d0) has gain 1 at time 0, so that a recording keeps its times. Each pulse is
//! a sinc at its own fraction of a sample, under Hann's window of 16 samples to each side; the
//! fractions are those of 32 phases, blended linearly, which is exact to about -58 dB at half the
//! sample rate and better below. All pulses are positive and add up at the lowest frequencies to a
//! pressure that no room has; as in the paper a high-pass takes it away, here at 20 Hz.
//!
//! Which `b` a reverberation time wants is another question: `reverberation_time.rs`.
//!
//! Book: book/src/training.md

use std::f64::consts::{PI, TAU};

use super::draw_between;
use super::reverberation::ImpulseResponse;
use crate::random::Random;
use crate::resample::sinc;

/// Metres per second, in air at 20 degrees.
pub(super) const SPEED_OF_SOUND: f64 = 343.0;

/// The most images of one response: about half a second of work.
pub(super) const MOST_IMAGES: f64 = 3e7;

/// Fractions of a sample that have their own row of taps.
const PHASES: usize = 32;

/// Taps to each side of a pulse.
const REACH: usize = 16;

/// The high-pass that removes the pressure at rest, in Hz.
const HIGH_PASS: f64 = 20.0;

/// A rectangular room with a source of sound and a microphone, in metres from one corner.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// Length, width, height.
    pub size: [f64; 3],
    /// The mouth.
    pub source: [f64; 3],
    /// The microphone.
    pub microphone: [f64; 3],
}

/// What cannot be simulated.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RoomError {
    /// A length that is none, or a place outside of the room.
    #[error(
        "source {source_place:?} and microphone {microphone:?} do not lie apart from each other inside a room of {size:?} m; move them in"
    )]
    Outside {
        /// The room's.
        size: [f64; 3],
        /// Where the sound comes from.
        source_place: [f64; 3],
        /// Where it is heard.
        microphone: [f64; 3],
    },
    /// The response would take too long.
    #[error(
        "{seconds} s of a room of {cubic_metres:.1} cubic metres hold {images:.0} reflections, more than the {MOST_IMAGES:.0} allowed; make the room larger or the time shorter"
    )]
    Images {
        /// Length of the response.
        seconds: f64,
        /// The room's volume.
        cubic_metres: f64,
        /// About how many.
        images: f64,
    },
    /// Not a number of seconds, or a coefficient that no wall has.
    #[error(
        "{seconds} s with a reflection coefficient of {reflection} describe no response; use up to 60 s and a coefficient from 0 to 1"
    )]
    Response {
        /// Length of the response.
        seconds: f64,
        /// Of the walls.
        reflection: f64,
    },
}

/// The images of one axis: squared distance along it and reflections, nearest first.
type Axis = Vec<(f64, usize)>;

impl Room {
    /// A room of a size drawn from `size`, the ranges of length, width and height, with source and
    /// microphone at random, at least 0.3 m from every wall (or a tenth of the room, where that is
    /// less), and half a metre from each other where the room allows.
    pub fn draw(size: [[f64; 2]; 3], random: &mut Random) -> Room {
        let size = size.map(|range| draw_between(range, random));
        let mut place = || {
            size.map(|length| {
                let margin = (0.1 * length).min(0.3);
                draw_between([margin, length - margin], random)
            })
        };
        let mut room = Room { size, source: place(), microphone: place() };
        for _ in 0..100 {
            if room.distance() >= 0.5 {
                break;
            }
            room.microphone = place();
        }
        room
    }

    /// About how many images arrive within `seconds`: one for each volume of the room in a sphere.
    pub fn images_within(&self, seconds: f64) -> f64 {
        let radius = SPEED_OF_SOUND * seconds + self.distance();
        4.0 / 3.0 * PI * radius.powi(3) / self.size.iter().product::<f64>()
    }

    /// From source to microphone, in metres.
    pub fn distance(&self) -> f64 {
        let squares = self.source.iter().zip(&self.microphone).map(|(a, b)| (a - b).powi(2));
        squares.sum::<f64>().sqrt()
    }

    pub(super) fn check(&self, seconds: f64, reflection: f64) -> Result<(), RoomError> {
        let inside = |place: &[f64; 3]| {
            place.iter().zip(&self.size).all(|(x, length)| *x >= 0.0 && x <= length)
        };
        let sound = self.size.iter().all(|length| (0.1..=1000.0).contains(length));
        if !(sound && inside(&self.source) && inside(&self.microphone) && self.distance() > 1e-3) {
            return Err(RoomError::Outside {
                size: self.size,
                source_place: self.source,
                microphone: self.microphone,
            });
        }
        if !((0.0..=60.0).contains(&seconds) && (0.0..=1.0).contains(&reflection)) {
            return Err(RoomError::Response { seconds, reflection });
        }
        let images = self.images_within(seconds);
        if images > MOST_IMAGES {
            let cubic_metres = self.size.iter().product();
            return Err(RoomError::Images { seconds, cubic_metres, images });
        }
        Ok(())
    }

    /// The response of `seconds` from the direct sound on, where every wall reflects the share
    /// `reflection` of the pressure.
    ///
    /// # Errors
    /// [`RoomError`] where a place lies outside, or the response would take too long.
    pub fn impulse_response(
        &self,
        reflection: f64,
        seconds: f64,
        sample_rate: u32,
    ) -> Result<ImpulseResponse, RoomError> {
        self.check(seconds, reflection)?;
        let rate = f64::from(sample_rate);
        let count = (seconds * rate).ceil() as usize + 1;
        // Pulses by time in steps of 1 / PHASES sample, two more for the blend of the last.
        let mut pulses = vec![0f32; (count + 1) * PHASES + 2]; // [count + 1, PHASES]
        let gains: Vec<f64> = powers(reflection, self.most_reflections(seconds));
        let direct = self.distance();
        self.for_each_image(seconds, |distance, reflections| {
            let place = (distance - direct) / SPEED_OF_SOUND * rate * PHASES as f64;
            // The direct sound's own distance may come out a rounding below itself.
            let place = place.max(0.0);
            let before = place as usize;
            let share = place - before as f64;
            let gain = gains[reflections] * direct / distance;
            pulses[before] += (gain * (1.0 - share)) as f32;
            pulses[before + 1] += (gain * share) as f32;
        });
        let mut samples = spread(&pulses, count);
        high_pass(&mut samples, HIGH_PASS / rate.max(4.0 * HIGH_PASS));
        Ok(ImpulseResponse { samples, direct: REACH })
    }

    /// Images of each axis within `radius`.
    fn axes(&self, radius: f64) -> [Axis; 3] {
        [0, 1, 2].map(|axis| {
            let (length, source) = (self.size[axis], self.source[axis]);
            let most = (radius / (2.0 * length)).ceil() as i64 + 1;
            let mut images = Vec::with_capacity(4 * most as usize + 2);
            for m in -most..=most {
                for p in [0i64, 1] {
                    let place = (1 - 2 * p) as f64 * source + (2 * m) as f64 * length;
                    let square = (place - self.microphone[axis]).powi(2);
                    images.push((square, ((m - p).abs() + m.abs()) as usize));
                }
            }
            images.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            images
        })
    }

    /// Calls `visit` with distance and reflections of every image heard within `seconds` after the
    /// direct sound.
    pub(super) fn for_each_image(&self, seconds: f64, mut visit: impl FnMut(f64, usize)) {
        // A hair more, so that the direct sound itself is within 0 s.
        let radius = (self.distance() + SPEED_OF_SOUND * seconds) * (1.0 + 1e-12);
        let square = radius * radius;
        let [x, y, z] = self.axes(radius);
        for &(x, x_reflections) in &x {
            for &(y, y_reflections) in &y {
                let plane = x + y;
                if plane > square {
                    break;
                }
                for &(z, z_reflections) in &z {
                    if plane + z > square {
                        break;
                    }
                    visit((plane + z).sqrt(), x_reflections + y_reflections + z_reflections);
                }
            }
        }
    }

    /// At least as many as any image within `seconds` has.
    pub(super) fn most_reflections(&self, seconds: f64) -> usize {
        let radius = self.distance() + SPEED_OF_SOUND * seconds;
        let axes = self.axes(radius * (1.0 + 1e-12));
        axes.iter().map(|axis| axis.iter().map(|image| image.1).max().unwrap_or(0)).sum()
    }
}

/// 1, `base`, its square, … up to the power of `most`.
fn powers(base: f64, most: usize) -> Vec<f64> {
    std::iter::successors(Some(1.0), |power| Some(power * base)).take(most + 1).collect()
}

/// Pulses on the fine grid to samples, each as its sinc; `[REACH + count]`.
fn spread(pulses: &[f32], count: usize) -> Vec<f32> {
    let width = 2 * REACH;
    let table: Vec<f32> = (0..PHASES * width) // [PHASES, width]
        .map(|place| {
            let (phase, tap) = (place / width, place % width);
            // From one before -REACH on, so that the distance is above -REACH.
            let distance = tap as f64 + 1.0 - REACH as f64 - phase as f64 / PHASES as f64;
            let window = 0.5 + 0.5 * (PI * distance / (REACH as f64 + 1.0)).cos();
            (sinc(distance) * window) as f32
        })
        .collect();
    let mut samples = vec![0f32; count + 3 * REACH];
    for (place, pulse) in pulses.iter().enumerate() {
        if *pulse != 0.0 {
            let (whole, phase) = (place / PHASES, place % PHASES);
            // A pulse at `whole` lies REACH further on in the response.
            let begin = whole + 1;
            let end = (begin + width).min(samples.len());
            let taps = &table[phase * width..(phase + 1) * width];
            for (sample, tap) in samples[begin.min(end)..end].iter_mut().zip(taps) {
                *sample += pulse * tap;
            }
        }
    }
    samples.truncate(REACH + count);
    samples
}

/// A Butterworth high-pass of second order at `cutoff`, a share of the sample rate, by the bilinear
/// transform: with k = tan(pi f), H(z) = (1 - z^-1)^2 over the denominator written out below.
fn high_pass(samples: &mut [f32], cutoff: f64) {
    let k = (TAU / 2.0 * cutoff).tan();
    let scale = 1.0 / (1.0 + std::f64::consts::SQRT_2 * k + k * k);
    let a1 = 2.0 * (k * k - 1.0) * scale;
    let a2 = (1.0 - std::f64::consts::SQRT_2 * k + k * k) * scale;
    let (mut x1, mut x2, mut y1, mut y2) = (0.0, 0.0, 0.0, 0.0);
    for sample in samples {
        let x = f64::from(*sample);
        let y = scale * (x - 2.0 * x1 + x2) - a1 * y1 - a2 * y2;
        (x2, x1, y2, y1) = (x1, x, y1, y);
        *sample = y as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::test_sounds::decibels;

    const OFFICE: Room =
        Room { size: [5.2, 4.1, 2.7], source: [1.3, 2.9, 1.6], microphone: [3.8, 1.5, 1.3] };

    /// Against `tests/golden/make_room.py`.
    #[test]
    fn images_are_counted() {
        let mut images = 0;
        OFFICE.for_each_image(1.2, |_, _| images += 1);
        assert_eq!(images, 5_181_550);
        assert!((OFFICE.images_within(1.2) / f64::from(images) - 1.0).abs() < 0.02);
    }

    #[test]
    fn the_direct_sound_stands_at_its_place_with_gain_one() {
        for seed in 0..20 {
            let mut random = Random::from_key(&[seed, 1]);
            let room = Room::draw([[3.0, 10.0], [3.0, 8.0], [2.4, 4.0]], &mut random);
            let dead = room.impulse_response(0.0, 0.1, 16_000).unwrap();
            assert!(dead.samples[..dead.direct].iter().all(|v| v.abs() < 1e-9));
            // The high-pass takes 0.6 % at once and pays it back slowly.
            assert!((dead.samples[dead.direct] - 1.0).abs() < 0.01);
            let rest = &dead.samples[dead.direct + 1..];
            assert!(rest.iter().all(|v| v.abs() < 0.013), "{seed}");
            let live = room.impulse_response(0.8, 0.3, 16_000).unwrap();
            assert_eq!((live.direct, live.samples.len()), (REACH, REACH + 4801));
        }
    }

    /// One wall at a time, by hand: the image behind it, its delay and its gain.
    #[test]
    fn first_reflections_come_when_and_as_strong_as_geometry_says() {
        let rate = 192_000u32;
        let reflection = 0.6;
        let response = OFFICE.impulse_response(reflection, 0.012, rate).unwrap();
        let direct = OFFICE.distance();
        for axis in 0..3 {
            for wall in [0.0, OFFICE.size[axis]] {
                let mut image = OFFICE.source;
                image[axis] = 2.0 * wall - image[axis];
                let distance = Room { source: image, ..OFFICE.clone() }.distance();
                let delay = (distance - direct) / 343.0 * f64::from(rate);
                // The pulse's area, since its peak depends on the fraction of a sample; above what
                // the high-pass still pays back for the pulses before it.
                let center = response.direct + delay.round() as usize;
                let area: f32 = response.samples[center - 8..=center + 8].iter().sum();
                let before: f32 = response.samples[center - 30..center - 18].iter().sum();
                let area = area - before / 12.0 * 17.0;
                let expected = reflection * direct / distance;
                assert!(
                    (f64::from(area) / expected - 1.0).abs() < 0.1,
                    "{axis} {wall}: {area} {expected}"
                );
            }
        }
    }

    /// Every fraction of a sample: the spectrum of a pulse is flat and its phase that of the delay.
    #[test]
    fn delays_are_exact_to_a_fraction_of_a_sample() {
        for step in 0..40 {
            let delay = 20.0 + f64::from(step) / 40.0 + 0.003;
            let place = delay * PHASES as f64;
            let mut pulses = vec![0f32; 80 * PHASES];
            let share = (place - place.floor()) as f32;
            pulses[place as usize] = 1.0 - share;
            pulses[place as usize + 1] = share;
            let samples = spread(&pulses, 60);
            for frequency in [0.05, 0.2, 0.5, 0.8] {
                let step = PI * frequency;
                let (mut real, mut imaginary) = (0.0, 0.0);
                for (n, v) in samples.iter().enumerate() {
                    let angle = step * (n as f64 - REACH as f64 - delay);
                    real += f64::from(*v) * angle.cos();
                    imaginary += f64::from(*v) * angle.sin();
                }
                let error = (real - 1.0).hypot(imaginary);
                assert!(error < 3e-3, "{delay} at {frequency}: {error}");
            }
        }
    }

    /// The energy of the tail does not depend on the distance, that of the direct sound falls with
    /// its square; where they are equal, theory puts the critical distance 0.057 sqrt(V / T). What
    /// would have come before the direct sound is lacking (Barron and Lee, JASA 84, 1988).
    #[test]
    fn direct_and_reverberant_energy_keep_their_law() {
        let size = [7.0, 5.5, 3.0];
        let volume: f64 = size.iter().product();
        let (mut sum, mut count) = (0.0, 0.0);
        for seed in 0..30 {
            let mut random = Random::from_key(&[seed, 2]);
            let room = Room::draw(size.map(|length| [length, length]), &mut random);
            let time = 0.5;
            let reflection = room.reflection_for(time).unwrap();
            let response = room.impulse_response(reflection, time, 16_000).unwrap();
            let energy =
                |samples: &[f32]| samples.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
            let tail = energy(&response.samples[response.direct + 2..]);
            let critical = 0.057 * (volume / time).sqrt();
            let lost = 13.8 * room.distance() / (343.0 * time);
            let expected = 20.0 * (critical / room.distance()).log10() + decibels(lost.exp());
            let difference = decibels(1.0 / tail) - expected;
            assert!(difference.abs() < 5.0, "{difference} dB at {} m", room.distance());
            sum += difference;
            count += 1.0;
        }
        let mean: f64 = sum / count;
        println!("direct to reverberant: {mean:.2} dB from theory");
        assert!(mean.abs() < 2.0, "{mean} dB");
    }

    #[test]
    fn what_is_no_room_is_refused() {
        let outside = Room { source: [9.0, 1.0, 1.0], ..OFFICE };
        let error = outside.impulse_response(0.5, 0.1, 16_000).unwrap_err().to_string();
        assert!(error.contains("inside") && error.contains("9.0"), "{error}");
        let same = Room { source: OFFICE.microphone, ..OFFICE };
        assert!(same.reflection_for(0.3).is_err());
        for size in [[0.0, 4.0, 3.0], [f64::NAN, 4.0, 3.0], [-5.2, 4.1, 2.7], [1e9, 4.1, 2.7]] {
            assert!(Room { size, ..OFFICE }.impulse_response(0.5, 0.1, 16_000).is_err());
        }
        for (reflection, seconds) in [(1.5, 0.1), (-0.1, 0.1), (f64::NAN, 0.1), (0.5, -1.0)] {
            assert!(OFFICE.impulse_response(reflection, seconds, 16_000).is_err());
        }
        let error = OFFICE.impulse_response(0.5, 30.0, 16_000).unwrap_err().to_string();
        assert!(error.contains("reflections"), "{error}");
        // Nothing but the direct sound, at any rate.
        for rate in [1, 8000, 192_000] {
            let response = OFFICE.impulse_response(0.5, 0.0, rate).unwrap();
            assert_eq!(response.samples.len(), REACH + 1);
        }
        assert!(OFFICE.reflection_for(0.0).unwrap() < 1.0);
        // A hall so large that nothing comes back in time: any walls will do.
        let hall = Room { size: [900.0; 3], source: [450.0; 3], microphone: [451.0, 450.0, 450.0] };
        assert!((0.0..=1.0).contains(&hall.reflection_for(0.1).unwrap()));
    }
}
