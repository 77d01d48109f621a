//! Which frames of a recording hold nothing but the room: silence, for the aligner.
//!
//! A frame's level is the mean power, in dB, of the samples in a window around its centre. The floor of a
//! recording is the tenth percentile of its frames' levels, its speech the ninetieth. Where the two lie
//! less than `LEAST_RANGE` dB apart, there is no silence to be told from speech. Else frames below a
//! fifth of the way up are quiet, where at least `LEAST_SECONDS` of them follow each other: the closure
//! of a plosive is shorter, a pause between words is not. Frames at a tenth of the recording are so always
//! below the floor; they are called quiet only where they stand out from speech by this much.
//!
//! Book: book/src/alignment.md

/// Decibels between floor and speech.
const LEAST_RANGE: f64 = 15.0;
/// A shorter stretch is part of a word.
const LEAST_SECONDS: f64 = 0.1;
/// How far up from the floor to the speech quiet frames may lie.
const SHARE: f64 = 0.2;
/// Seconds of sound around a centre, at least.
const WINDOW: f64 = 0.025;

/// Whether each of `frames` frames is quiet; frame k lies around `first + k · hop` seconds of `samples`.
pub fn quiet_frames(
    samples: &[f32],
    sample_rate: u32,
    first: f64,
    hop: f64,
    frames: usize,
) -> Vec<bool> {
    let rate = f64::from(sample_rate);
    let half = 0.5 * hop.max(WINDOW);
    let level = |frame: usize| {
        let center = first + frame as f64 * hop;
        let at = |seconds: f64| ((seconds * rate).max(0.0) as usize).min(samples.len());
        let window = &samples[at(center - half)..at(center + half)];
        let power: f64 = window.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        // Digital silence is 120 dB below full scale, so that it is a number.
        10.0 * (power / window.len().max(1) as f64 + 1e-12).log10()
    };
    let levels: Vec<f64> = (0..frames).map(level).collect();
    let mut sorted = levels.clone();
    sorted.sort_by(f64::total_cmp);
    let percentile = |share: f64| sorted.get((share * frames as f64) as usize).copied();
    let (Some(floor), Some(speech)) = (percentile(0.1), percentile(0.9)) else {
        return vec![false; frames];
    };
    if speech - floor < LEAST_RANGE {
        return vec![false; frames];
    }
    let most = floor + SHARE * (speech - floor);
    let mut quiet: Vec<bool> = levels.iter().map(|&level| level < most).collect();
    let least = (LEAST_SECONDS / hop).ceil() as usize;
    let mut begin = 0;
    for frame in 0..=frames {
        if frame == frames || !quiet[frame] {
            // At its ends a recording may cut a pause short.
            if frame - begin < least && begin > 0 && frame < frames {
                quiet[begin..frame].fill(false);
            }
            begin = frame + 1;
        }
    }
    quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds of a tone at an amplitude, one after another.
    fn sound(parts: &[(f64, f32)]) -> Vec<f32> {
        let mut samples = Vec::new();
        for &(seconds, amplitude) in parts {
            let count = (seconds * 8000.0) as usize;
            samples.extend((0..count).map(|n| amplitude * (n as f32 * 0.7).sin()));
        }
        samples
    }

    #[test]
    fn pauses_are_quiet_and_closures_are_not() {
        let samples =
            sound(&[(0.3, 0.001), (0.5, 0.3), (0.06, 0.001), (0.4, 0.3), (0.2, 0.001), (0.5, 0.3)]);
        let quiet = quiet_frames(&samples, 8000, 0.01, 0.02, 98);
        let runs: Vec<usize> = (1..98).filter(|&frame| quiet[frame] != quiet[frame - 1]).collect();
        assert!(quiet[0] && runs.len() == 3, "{runs:?}");
        for (run, frame) in runs.iter().zip([15, 63, 73]) {
            assert!(run.abs_diff(frame) <= 1, "{runs:?}");
        }
    }

    #[test]
    fn without_a_pause_nothing_is_quiet() {
        for samples in
            [sound(&[(1.0, 0.3)]), sound(&[(0.5, 0.3), (0.5, 0.15)]), vec![0.0; 8000], vec![]]
        {
            assert!(!quiet_frames(&samples, 8000, 0.01, 0.02, 50).contains(&true));
        }
        assert!(quiet_frames(&[], 8000, 0.0, 0.02, 0).is_empty());
    }
}
