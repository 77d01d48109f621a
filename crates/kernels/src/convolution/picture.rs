//! A piece of one utterance with its border of zeros, copied so that every window lies inside.

use crate::real::Real;
use crate::scratch;

/// Which piece: of an utterance of `frames` rows of `row_bins` bins that starts at `first_row`,
/// surrounded by `border` zeros in time and along the bins, the rectangle of `times` by `bins` that
/// starts at (`time`, `bin`), both counted from the first zero of the border.
pub(super) struct Picture {
    pub first_row: usize,
    pub frames: usize,
    pub row_bins: usize,
    pub channels: usize,
    pub time: usize,
    pub bin: usize,
    pub times: usize,
    pub bins: usize,
    pub border: [usize; 2],
}

impl Picture {
    /// Copies the piece out of `x` and calls `work` with it and with the size of one of its rows. What
    /// lies outside of the utterance is zero, whatever its neighbours hold.
    pub(super) fn with<T: Real, R>(&self, x: &[T], work: impl FnOnce(&[T], usize) -> R) -> R {
        let channels = self.channels;
        let line = self.bins * channels;
        // Bins of the utterance that the picture shows, and where they begin in it.
        let skip = self.border[1].saturating_sub(self.bin).min(self.bins);
        let from = (self.bin + skip).saturating_sub(self.border[1]).min(self.row_bins);
        let shown = (self.bins - skip).min(self.row_bins - from);
        scratch::with(self.times * line, |picture: &mut [T]| {
            for (i, target) in picture.chunks_exact_mut(line).enumerate() {
                let frame = (self.time + i).checked_sub(self.border[0]);
                match frame.filter(|&frame| frame < self.frames) {
                    Some(frame) => {
                        let row = (self.first_row + frame) * self.row_bins + from;
                        let source = &x[row * channels..][..shown * channels];
                        let (before, rest) = target.split_at_mut(skip * channels);
                        let (inside, after) = rest.split_at_mut(shown * channels);
                        before.fill(T::ZERO);
                        inside.copy_from_slice(source);
                        after.fill(T::ZERO);
                    }
                    None => target.fill(T::ZERO),
                }
            }
            work(picture, line)
        })
    }
}
