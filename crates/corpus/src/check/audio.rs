//! What can be heard to be wrong with one recording: silence, clipping, and whether it was heard before.

use labyrinth_signal::Audio;
use sha2::{Digest, Sha256};

/// Samples at or above this count as full scale: 16-bit 32752 and up. A limiter or a converter that
/// clips rarely hits the last step exactly.
const FULL_SCALE: f32 = 0.9995;

/// A run of so many samples at full scale is clipped; one or two may be a peak that just fits.
const CLIPPED_RUN: usize = 3;

/// This share of clipped samples makes a recording clipped.
const CLIPPED_SHARE: f64 = 0.001;

/// Below this the loudest stretch is silence: 16-bit steps of 33.
const SILENCE_DB: f64 = -60.0;

/// Length of that stretch in seconds.
const STRETCH: f64 = 0.025;

/// What was measured on one recording.
#[derive(Clone, Debug)]
pub(super) struct Sound {
    pub(super) seconds: f64,
    /// Root mean square of the loudest 25 ms, the mean taken off, in dB of full scale.
    pub(super) loudest_db: f64,
    /// Share of the samples that lie in runs at full scale, of the worst channel.
    pub(super) clipped: f64,
    /// Of the decoded samples, so that the same sound in two formats is found.
    pub(super) digest: [u8; 16],
}

impl Sound {
    pub(super) fn is_silent(&self) -> bool {
        self.loudest_db < SILENCE_DB
    }

    pub(super) fn is_clipped(&self) -> bool {
        self.clipped >= CLIPPED_SHARE
    }
}

/// Measures a recording.
pub(super) fn measure(audio: &Audio) -> Sound {
    let stretch = ((STRETCH * f64::from(audio.sample_rate)) as usize).max(1);
    let power = audio.channels.iter().map(|channel| loudest_power(channel, stretch));
    let clipped = audio.channels.iter().map(|channel| clipped_share(channel));
    Sound {
        seconds: audio.duration(),
        loudest_db: 10.0 * power.fold(0.0, f64::max).max(1e-20).log10(),
        clipped: clipped.fold(0.0, f64::max),
        digest: digest(audio),
    }
}

/// Mean square of the loudest stretch, the mean of the whole taken off: a constant is silence too.
fn loudest_power(samples: &[f32], stretch: usize) -> f64 {
    let mean = samples.iter().map(|x| f64::from(*x)).sum::<f64>() / samples.len().max(1) as f64;
    samples
        .chunks(stretch)
        .map(|chunk| {
            chunk.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / chunk.len() as f64
        })
        .fold(0.0, f64::max)
}

fn clipped_share(samples: &[f32]) -> f64 {
    let (mut clipped, mut run) = (0, 0);
    for sample in samples {
        run = if sample.abs() >= FULL_SCALE { run + 1 } else { 0 };
        match run {
            CLIPPED_RUN => clipped += CLIPPED_RUN,
            run if run > CLIPPED_RUN => clipped += 1,
            _ => {}
        }
    }
    clipped as f64 / samples.len().max(1) as f64
}

fn digest(audio: &Audio) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(audio.sample_rate.to_le_bytes());
    for channel in &audio.channels {
        for chunk in channel.chunks(4096) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    let full: [u8; 32] = hasher.finalize().into();
    std::array::from_fn(|index| full[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(samples: Vec<f32>) -> Sound {
        measure(&Audio { sample_rate: 8000, channels: vec![samples] })
    }

    fn tone(level: f32) -> Vec<f32> {
        (0..8000).map(|i| level * (i as f32 * 0.3).sin()).collect()
    }

    #[test]
    fn silence_is_quiet_even_with_an_offset() {
        assert!(sound(vec![0.0; 8000]).is_silent());
        assert!(sound(vec![0.25; 8000]).is_silent());
        assert!(sound(tone(0.001)).is_silent());
        assert!(!sound(tone(0.01)).is_silent());
        let mut one_word = vec![0.0; 80000];
        one_word[40000..40400].copy_from_slice(&tone(0.1)[..400]);
        assert!(!sound(one_word).is_silent());
    }

    #[test]
    fn clipping_needs_runs_and_a_share() {
        assert!(!sound(tone(0.99)).is_clipped());
        assert!(sound(tone(1.5).iter().map(|x| x.clamp(-1.0, 1.0)).collect()).is_clipped());
        let mut peaks = tone(0.5);
        for place in (0..8000).step_by(100) {
            peaks[place] = 1.0;
            peaks[place + 1] = 1.0;
        }
        assert!(!sound(peaks.clone()).is_clipped());
        for place in (0..8000).step_by(100) {
            peaks[place + 2] = -1.0;
        }
        assert!((sound(peaks).clipped - 0.03).abs() < 1e-9);
    }

    #[test]
    fn the_digest_is_of_the_sound() {
        assert_eq!(sound(tone(0.5)).digest, sound(tone(0.5)).digest);
        assert_ne!(sound(tone(0.5)).digest, sound(tone(0.5001)).digest);
    }
}
