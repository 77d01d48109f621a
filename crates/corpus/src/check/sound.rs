//! What is measured on one recording: a few numbers, whatever its length.
//!
//! Levels are in dB of full scale, on stretches of 25 ms with the mean of the whole taken off, so that a
//! constant counts as silence. What concerns the ear (levels, silence at the ends, band) is measured on
//! the mean of the channels, which is what features are computed of; faults of a single channel on each.

use super::band::band_edge;
use labyrinth_signal::Audio;
use sha2::{Digest, Sha256};

/// Samples at or above this count as full scale: 16-bit 32752 and up. A limiter or a converter that
/// clips rarely hits the last step exactly.
pub(crate) const FULL_SCALE: f32 = 0.9995;

/// A run of so many samples at full scale is clipped; one or two may be a peak that just fits.
const CLIPPED_RUN: usize = 3;

/// Below this the loudest stretch is silence: 16-bit steps of 33.
pub(super) const SILENCE_DB: f32 = -60.0;

/// Length of a stretch in seconds.
const STRETCH: f64 = 0.025;

/// Speech begins with the first stretch that is at most so much softer than the loudest, and ends with
/// the last.
const SPEECH_RANGE_DB: f32 = 35.0;

/// What was measured on one recording.
#[derive(Clone, Debug)]
pub(super) struct Sound {
    pub(super) seconds: f64,
    pub(super) sample_rate: u32,
    pub(super) channels: usize,
    /// Root mean square of the loudest stretch of the mean of the channels.
    pub(super) loudest_db: f32,
    /// The same of the loudest channel by itself.
    pub(super) loudest_channel_db: f32,
    /// The same of the softest channel by itself.
    pub(super) softest_channel_db: f32,
    /// Root mean square of the whole.
    pub(super) level_db: f32,
    /// The greatest sample of any channel, in [0, 1].
    pub(super) peak: f32,
    /// Whether every sample is the same.
    pub(super) constant: bool,
    /// Mean of the samples, of the worst channel.
    pub(super) offset: f32,
    /// Share of the samples that lie in runs at full scale, of the worst channel.
    pub(super) clipped: f32,
    /// Seconds of silence before and after the speech.
    pub(super) silence: [f32; 2],
    /// The longest time in seconds, and where, that one value stands still inside of the speech.
    pub(super) stands_still: [f32; 2],
    /// Level of the 95th in a hundred stretches above the 10th, in dB, of the speech.
    pub(super) contrast_db: f32,
    /// Hz; `None` where the band reaches as high as the sample rate allows.
    pub(super) band_edge: Option<f32>,
    /// Correlation of the first two channels; 1 for a single one.
    pub(super) correlation: f32,
    /// Of the decoded samples, so that the same sound in two formats is found.
    pub(super) digest: [u8; 16],
}

impl Sound {
    pub(super) fn is_silent(&self) -> bool {
        self.loudest_channel_db < SILENCE_DB
    }

    /// Seconds from the beginning to the end of speech.
    pub(super) fn speech(&self) -> f64 {
        self.seconds - f64::from(self.silence[0]) - f64::from(self.silence[1])
    }
}

/// Measures a recording.
pub(super) fn measure(audio: &Audio) -> Sound {
    let stretch = ((STRETCH * f64::from(audio.sample_rate)) as usize).max(1);
    let channels: Vec<Channel> =
        audio.channels.iter().map(|samples| Channel::measure(samples, stretch)).collect();
    let most = |of: fn(&Channel) -> f32| channels.iter().map(of).fold(0.0, f32::max);
    let loudest = |channel: &Channel| channel.loudest_db;
    let mixed;
    let (mono, samples) = match (&channels[..], &audio.channels[..]) {
        ([only], [samples]) => (only.clone(), samples),
        _ => {
            mixed = audio.mono();
            (Channel::measure(&mixed, stretch), &mixed)
        }
    };
    let floor = (mono.loudest_db - SPEECH_RANGE_DB).max(SILENCE_DB);
    let first = mono.levels.iter().position(|level| *level >= floor).unwrap_or(0);
    let last = mono.levels.iter().rposition(|level| *level >= floor);
    let end = last.map_or(mono.levels.len(), |last| last + 1).max(first);
    let seconds = |count: usize| (count as f64 / f64::from(audio.sample_rate)) as f32;
    let (begin, after) = (first * stretch, (end * stretch).min(samples.len()));
    let (run, place) = longest_run(&samples[begin.min(after)..after]);
    let correlation = match &audio.channels[..] {
        [a, b, ..] => correlation(a, b),
        _ => 1.0,
    };
    Sound {
        seconds: audio.duration(),
        sample_rate: audio.sample_rate,
        channels: audio.channels.len(),
        loudest_db: mono.loudest_db,
        loudest_channel_db: channels.iter().map(loudest).fold(-200.0, f32::max),
        softest_channel_db: channels.iter().map(loudest).fold(200.0, f32::min),
        level_db: mono.level_db,
        peak: most(|channel| channel.peak),
        constant: audio.channels.iter().all(|c| c.windows(2).all(|pair| pair[0] == pair[1])),
        offset: most(|channel| channel.mean.abs()),
        clipped: most(|channel| channel.clipped),
        silence: [seconds(begin), seconds(samples.len() - after)],
        stands_still: [seconds(run), seconds(begin + place)],
        contrast_db: contrast(&mono.levels[first..end]),
        band_edge: band_edge(samples, audio.sample_rate),
        correlation,
        digest: digest(audio),
    }
}

/// What is measured on one channel.
#[derive(Clone)]
struct Channel {
    /// Of each stretch, in dB.
    levels: Vec<f32>,
    loudest_db: f32,
    level_db: f32,
    peak: f32,
    mean: f32,
    clipped: f32,
}

impl Channel {
    fn measure(samples: &[f32], stretch: usize) -> Self {
        let mean = samples.iter().map(|x| f64::from(*x)).sum::<f64>() / samples.len().max(1) as f64;
        let (mut whole, mut loudest) = (0.0, 0f64);
        let levels = samples
            .chunks(stretch)
            .map(|chunk| {
                let sum: f64 = chunk.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
                whole += sum;
                let power = sum / chunk.len() as f64;
                loudest = loudest.max(power);
                decibels(power)
            })
            .collect();
        Self {
            levels,
            loudest_db: decibels(loudest),
            level_db: decibels(whole / samples.len().max(1) as f64),
            peak: samples.iter().fold(0.0, |peak, x| x.abs().max(peak)),
            mean: mean as f32,
            clipped: clipped_share(samples),
        }
    }
}

fn decibels(power: f64) -> f32 {
    (10.0 * power.max(1e-20).log10()) as f32
}

fn clipped_share(samples: &[f32]) -> f32 {
    let (mut clipped, mut run) = (0, 0);
    for sample in samples {
        run = if sample.abs() >= FULL_SCALE { run + 1 } else { 0 };
        match run {
            CLIPPED_RUN => clipped += CLIPPED_RUN,
            run if run > CLIPPED_RUN => clipped += 1,
            _ => {}
        }
    }
    clipped as f32 / samples.len().max(1) as f32
}

/// The longest run of equal samples below full scale (above it is clipping): its length and its place.
fn longest_run(samples: &[f32]) -> (usize, usize) {
    let (mut longest, mut start) = ((0, 0), 0);
    for place in 1..=samples.len() {
        if place < samples.len() && samples[place] == samples[start] {
            continue;
        }
        if place - start > longest.0 && samples[start].abs() < FULL_SCALE {
            longest = (place - start, start);
        }
        start = place;
    }
    longest
}

/// How far the loud stretches lie above the soft ones.
fn contrast(levels: &[f32]) -> f32 {
    let mut sorted = levels.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| sorted.get((share * sorted.len() as f64) as usize).copied();
    at(0.95).zip(at(0.1)).map_or(0.0, |(loud, soft)| loud - soft)
}

/// Pearson's, in [-1, 1]; 1 where either does not move.
fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let mean = |of: &[f32]| of.iter().map(|x| f64::from(*x)).sum::<f64>() / of.len().max(1) as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x) - mean_a, f64::from(*y) - mean_b);
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    if aa * bb > 0.0 { (ab / (aa * bb).sqrt()) as f32 } else { 1.0 }
}

fn digest(audio: &Audio) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(audio.sample_rate.to_le_bytes());
    let mut bytes = Vec::with_capacity(4096 * 4);
    for channel in &audio.channels {
        for chunk in channel.chunks(4096) {
            bytes.clear();
            bytes.extend(chunk.iter().flat_map(|sample| sample.to_le_bytes()));
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
        assert!(sound(vec![0.25; 8000]).constant);
        assert!(sound(tone(0.001)).is_silent());
        assert!(!sound(tone(0.01)).is_silent());
        let mut one_word = vec![0.0; 80000];
        one_word[40000..40400].copy_from_slice(&tone(0.1)[..400]);
        assert!(!sound(one_word).is_silent());
    }

    #[test]
    fn clipping_needs_runs() {
        assert_eq!(sound(tone(0.99)).clipped, 0.0);
        assert!(sound(tone(1.5).iter().map(|x| x.clamp(-1.0, 1.0)).collect()).clipped > 0.1);
        let mut peaks = tone(0.5);
        for place in (0..8000).step_by(100) {
            peaks[place] = 1.0;
            peaks[place + 1] = 1.0;
        }
        assert_eq!(sound(peaks.clone()).clipped, 0.0);
        for place in (0..8000).step_by(100) {
            peaks[place + 2] = -1.0;
        }
        assert!((sound(peaks).clipped - 0.03).abs() < 1e-6);
    }

    #[test]
    fn levels_are_those_of_a_tone() {
        let half = sound(tone(0.5));
        // A sine of amplitude 1/2 has a mean square of 1/8.
        assert!((half.level_db + 9.03).abs() < 0.1, "{}", half.level_db);
        assert!((half.loudest_db + 9.03).abs() < 0.3, "{}", half.loudest_db);
        assert!((half.peak - 0.5).abs() < 1e-3 && half.offset.abs() < 1e-3);
        assert!(half.contrast_db < 1.0);
        let raised = sound(tone(0.5).iter().map(|x| x + 0.1).collect());
        assert!((raised.offset - 0.1).abs() < 1e-3);
        assert!((raised.level_db - half.level_db).abs() < 1e-3);
    }

    #[test]
    fn silence_at_the_ends_and_gaps_inside_are_measured() {
        let mut samples = vec![0.0; 4000];
        samples.extend(tone(0.5));
        samples.extend(vec![0.0; 2000]);
        samples[6000..8000].fill(0.0);
        let found = sound(samples);
        assert!((found.silence[0] - 0.5).abs() < 0.03, "{:?}", found.silence);
        assert!((found.silence[1] - 0.25).abs() < 0.03, "{:?}", found.silence);
        assert!((found.speech() - 1.0).abs() < 0.06);
        assert!((found.stands_still[0] - 0.25).abs() < 1e-3, "{:?}", found.stands_still);
        assert!((found.stands_still[1] - 0.75).abs() < 1e-3, "{:?}", found.stands_still);
    }

    #[test]
    fn channels_are_told_apart() {
        let two = |a: Vec<f32>, b| measure(&Audio { sample_rate: 8000, channels: vec![a, b] });
        let same = two(tone(0.5), tone(0.5));
        assert!(same.correlation > 0.999 && same.loudest_db > -10.0);
        let turned = two(tone(0.5), tone(0.5).iter().map(|x| -x).collect());
        assert!(turned.correlation < -0.999 && turned.loudest_db < -100.0);
        assert!(!turned.is_silent());
        let dead = two(tone(0.5), vec![0.0; 8000]);
        assert!(dead.softest_channel_db < SILENCE_DB && dead.loudest_channel_db > -10.0);
        let other = two(tone(0.5), (0..8000).map(|i| 0.5 * (i as f32 * 0.7).sin()).collect());
        assert!(other.correlation.abs() < 0.1);
    }

    #[test]
    fn the_digest_is_of_the_sound() {
        assert_eq!(sound(tone(0.5)).digest, sound(tone(0.5)).digest);
        assert_ne!(sound(tone(0.5)).digest, sound(tone(0.5001)).digest);
    }
}
