//! The window functions, as Kaldi defines them, and the arithmetic of framing.
//!
//! Book: book/src/frames.md

use crate::feature_options::{Centering, FeatureOptions, WindowType};

// ANCHOR: window
/// The window of `length` samples; the formulas' period is `length - 1`, so both ends are alike,
/// but for the periodic window, whose period is `length`.
pub(crate) fn window(kind: WindowType, length: usize, blackman: f32) -> Vec<f32> {
    let period = if kind == WindowType::HannPeriodic { length } else { length - 1 };
    let step = std::f64::consts::TAU / period.max(1) as f64;
    let blackman = f64::from(blackman);
    let value = |i: usize| {
        let angle = step * i as f64;
        match kind {
            // Hann's window raised to 0.85: between Hann's and Hamming's, and zero at the ends.
            WindowType::Povey => (0.5 - 0.5 * angle.cos()).powf(0.85),
            WindowType::Hanning | WindowType::HannPeriodic => 0.5 - 0.5 * angle.cos(),
            WindowType::Hamming => 0.54 - 0.46 * angle.cos(),
            WindowType::Sine => (0.5 * angle).sin(),
            WindowType::Rectangular => 1.0,
            WindowType::Blackman => {
                blackman - 0.5 * angle.cos() + (0.5 - blackman) * (2.0 * angle).cos()
            }
        }
    };
    (0..length).map(|i| value(i) as f32).collect()
}
// ANCHOR_END: window

/// Where frames lie, in samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    pub length: usize,
    pub shift: usize,
    /// Only frames that lie within the recording; otherwise frames are centred on multiples of
    /// the shift plus half a shift, and see the recording mirrored at its ends.
    pub snip_edges: bool,
    /// Frames that are centred on multiples of the shift instead.
    pub centering: Centering,
}

impl Framing {
    /// Milliseconds to samples, rounded down as Kaldi does.
    pub(crate) fn new(options: &FeatureOptions) -> Self {
        let per_millisecond = f64::from(options.sample_frequency) * 0.001;
        Framing {
            length: (per_millisecond * f64::from(options.frame_length)) as usize,
            shift: (per_millisecond * f64::from(options.frame_shift)) as usize,
            snip_edges: options.snip_edges,
            centering: options.centering,
        }
    }

    // ANCHOR: count
    /// Number of frames of a recording of `samples` samples.
    pub(crate) fn count(&self, samples: u64) -> u64 {
        let (length, shift) = (self.length as u64, self.shift as u64);
        if self.centering != Centering::None {
            // A short-time transform has one more, centred on the recording's end, which both
            // Whisper and NeMo drop.
            samples / shift
        } else if !self.snip_edges {
            (samples + shift / 2) / shift
        } else if samples < length {
            0
        } else {
            1 + (samples - length) / shift
        }
    }

    /// The first sample of a frame; negative where it reaches before the recording.
    pub(crate) fn begin(&self, frame: u64) -> i64 {
        let start = frame as i64 * self.shift as i64;
        if self.centering != Centering::None {
            return start - (self.length / 2) as i64;
        }
        if self.snip_edges {
            return start;
        }
        start + (self.shift / 2) as i64 - (self.length / 2) as i64
    }
    // ANCHOR_END: count

    /// Samples that must be known before a frame that ends within them is: up to its end; where its
    /// beginning is mirrored around sample 0, up to the farthest mirror image; and where frames are
    /// centred, as many as make it count.
    pub(crate) fn needs(&self, frame: u64) -> i64 {
        let begin = self.begin(frame);
        let end = begin + self.length as i64;
        let counted = (frame as i64 + 1) * self.shift as i64;
        match self.centering {
            Centering::None => end,
            Centering::Zeros => end.max(counted),
            Centering::Reflect => end.max(counted).max(1 - begin),
        }
    }

    /// The sample that stands at position `index` of a recording of `samples` > 0 samples, which
    /// may lie outside of it; none stands for 0.
    pub(crate) fn sample_at(&self, index: i64, samples: i64) -> Option<i64> {
        match self.centering {
            Centering::None => Some(mirrored(index, samples)),
            Centering::Reflect => Some(reflected(index, samples)),
            Centering::Zeros => (0..samples).contains(&index).then_some(index),
        }
    }
}

/// As [`mirrored`], but the first and the last sample are not repeated: ... 2 1 | 0 1 2 | 1 0 ...
fn reflected(index: i64, samples: i64) -> i64 {
    let last = samples - 1;
    let folded = index.rem_euclid((2 * last).max(1));
    if folded <= last { folded } else { 2 * last - folded }
}

/// The sample that stands at position `index` of a recording of `samples` > 0 samples mirrored
/// at both ends, again and again: ... 1 0 | 0 1 2 | 2 1 ...
fn mirrored(index: i64, samples: i64) -> i64 {
    let folded = index.rem_euclid(2 * samples);
    if folded < samples { folded } else { 2 * samples - 1 - folded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_repeats_the_ends() {
        let seen: Vec<i64> = (-4..8).map(|index| mirrored(index, 3)).collect();
        assert_eq!(seen, [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]);
        assert_eq!(mirrored(-77, 1), 0);
        let seen: Vec<i64> = (-4..8).map(|index| reflected(index, 3)).collect();
        assert_eq!(seen, [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1]);
        assert_eq!((reflected(-77, 1), reflected(5, 1), reflected(3, 2)), (0, 0, 1));
    }

    /// Values computed by hand from the definitions.
    #[test]
    fn windows_have_their_values() {
        let at = |kind, index: usize| window(kind, 5, 0.42)[index];
        assert_eq!(at(WindowType::Hanning, 0), 0.0);
        assert_eq!(at(WindowType::Hanning, 1), 0.5);
        assert_eq!(at(WindowType::Hanning, 2), 1.0);
        assert!((at(WindowType::HannPeriodic, 1) - 0.345_491_5).abs() < 1e-7);
        assert_eq!(at(WindowType::HannPeriodic, 1), at(WindowType::HannPeriodic, 4));
        assert_eq!(at(WindowType::Povey, 1), 0.5f64.powf(0.85) as f32);
        assert_eq!(at(WindowType::Hamming, 0), (0.54f64 - 0.46) as f32);
        assert_eq!(at(WindowType::Hamming, 4), (0.54f64 - 0.46) as f32);
        assert!((at(WindowType::Sine, 1) - 0.5f32.sqrt()).abs() < 1e-7);
        assert!((at(WindowType::Blackman, 2) - 1.0).abs() < 1e-7);
        assert!((at(WindowType::Blackman, 1) - 0.34).abs() < 1e-7);
        assert_eq!(at(WindowType::Rectangular, 3), 1.0);
    }
}
