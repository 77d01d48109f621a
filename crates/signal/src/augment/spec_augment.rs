//! SpecAugment: bands of frequency and stretches of time masked in the features.
//!
//! Book: book/src/training.md

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Masks over frequency and time (Park et al., "SpecAugment", Interspeech 2019), without time
/// warping. What is masked becomes 0, the mean of features normalised per utterance.
///
/// The masked share is bounded, so that no short utterance loses everything: all time masks
/// together cover at most `time_share` of the frames, all frequency masks at most half of the
/// bins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SpecAugment {
    /// Number of frequency masks.
    pub freq_masks: usize,
    /// Greatest width of a frequency mask in bins; the width is drawn evenly from 0 to this.
    pub freq_width: usize,
    /// Number of time masks.
    pub time_masks: usize,
    /// Greatest width of a time mask in frames; the width is drawn evenly from 0 to this.
    pub time_width: usize,
    /// Greatest share of the frames that all time masks cover together.
    pub time_share: f64,
}

impl Default for SpecAugment {
    /// Two frequency masks of up to 27 bins (the paper's, for 80 bins), two time masks of up to
    /// 40 frames, at most a fifth of the frames.
    fn default() -> Self {
        SpecAugment {
            freq_masks: 2,
            freq_width: 27,
            time_masks: 2,
            time_width: 40,
            time_share: 0.2,
        }
    }
}

impl SpecAugment {
    // ANCHOR: masks
    /// Masks `features`, `[frames, views, bins]`, in place: the same bins in each of the views that a frame has of
    /// one sound, its deltas or windows of several lengths, so that none shows what the others hide.
    pub fn apply(&self, features: &mut [f32], dim: usize, views: usize, random: &mut Random) {
        if dim == 0 || features.len() < dim {
            return;
        }
        // Views of different sizes cannot be told apart.
        let views = if views > 0 && dim.is_multiple_of(views) { views } else { 1 };
        let (frames, bins) = (features.len() / dim, dim / views);
        let mut budget = bins / 2;
        for _ in 0..self.freq_masks {
            let (start, end) = draw(self.freq_width.min(budget), bins, random);
            budget -= end - start;
            for view in features.chunks_exact_mut(bins) {
                view[start..end].fill(0.0);
            }
        }
        // `as` maps what is not a number to 0.
        let mut budget = (self.time_share.clamp(0.0, 1.0) * frames as f64) as usize;
        for _ in 0..self.time_masks {
            let (start, end) = draw(self.time_width.min(budget), frames, random);
            budget -= end - start;
            features[start * dim..end * dim].fill(0.0);
        }
    }
    // ANCHOR_END: masks
}

/// A range within `0..length`, its width from 0 to `width`, which is at most `length`.
fn draw(width: usize, length: usize, random: &mut Random) -> (usize, usize) {
    let width = random.below(width as u64 + 1) as usize;
    let start = random.below((length - width) as u64 + 1) as usize;
    (start, start + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_shares_are_bounded_and_reached() {
        let dim = 20;
        let augment =
            SpecAugment { freq_width: 8, time_width: 50, time_masks: 3, ..Default::default() };
        for frames in [1usize, 2, 4, 5, 37, 400] {
            let (mut most_frames, mut most_bins) = (0, 0);
            for seed in 0..200 {
                let mut features = vec![1.0; frames * dim];
                augment.apply(&mut features, dim, 1, &mut Random::from_key(&[seed, frames as u64]));
                let rows = features.chunks(dim);
                let masked_frames = rows.filter(|row| row.iter().all(|v| *v == 0.0)).count();
                let masked_bins = (0..dim)
                    .filter(|bin| features.iter().skip(*bin).step_by(dim).all(|v| *v == 0.0))
                    .count();
                assert!(masked_frames <= frames / 5 && masked_bins <= dim / 2);
                most_frames = most_frames.max(masked_frames);
                most_bins = most_bins.max(masked_bins);
            }
            assert_eq!(most_frames, frames / 5, "{frames} frames");
            assert_eq!(most_bins, dim / 2);
        }
    }

    #[test]
    fn all_views_of_a_frame_lose_the_same_bins() {
        let (bins, frames) = (40, 50);
        for seed in 0..20 {
            let random = || Random::from_key(&[seed]);
            let mut one = vec![1.0; frames * bins];
            SpecAugment::default().apply(&mut one, bins, 1, &mut random());
            let mut three = vec![1.0; frames * 3 * bins];
            SpecAugment::default().apply(&mut three, 3 * bins, 3, &mut random());
            for (row, rows) in one.chunks(bins).zip(three.chunks(3 * bins)) {
                assert!(rows.chunks(bins).all(|view| view == row), "seed {seed}");
            }
        }
    }

    #[test]
    fn masks_are_a_function_of_the_key() {
        let masked = |seed| {
            let mut features = vec![1.0; 100 * 80];
            SpecAugment::default().apply(&mut features, 80, 1, &mut Random::from_key(&[seed]));
            features
        };
        assert_eq!(masked(1), masked(1));
        assert_ne!(masked(1), masked(2));
    }
}
