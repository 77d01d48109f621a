//! A piece of one utterance with its border of zeros, copied where it has one so that every window lies
//! inside, or where it must be rounded.

use super::words::Words;
use crate::real::Real;
use crate::scratch;

/// Which piece: of an utterance of `frames` rows of `row_bins` bins that starts at `first_row`,
/// surrounded by `border` zeros in time and along the bins, the rectangle of `times` by `bins` that
/// starts at (`time`, `bin`), both counted from the first zero of the border.
pub(super) struct Picture<T: 'static> {
    pub first_row: usize,
    pub frames: usize,
    pub row_bins: usize,
    pub words: Words<T>,
    pub time: usize,
    pub bin: usize,
    pub times: usize,
    pub bins: usize,
    pub border: [usize; 2],
}

impl<T: Real> Picture<T> {
    /// Calls `work` with the words of the piece, copied out of `x` unless all of it lies inside of the
    /// utterance and words are numbers, and with the distance from one of its rows to the next. What lies
    /// outside of the utterance is zero, whatever its neighbours hold.
    pub(super) fn with<R>(&self, x: &[T], work: impl FnOnce(&[T], usize) -> R) -> R {
        let channels = self.words.channels;
        let inside = |axis: usize, first: usize, count: usize, size: usize| {
            first >= self.border[axis] && first + count <= size + self.border[axis]
        };
        if self.words.plain()
            && inside(0, self.time, self.times, self.frames)
            && inside(1, self.bin, self.bins, self.row_bins)
        {
            // No zero is needed, so no copy.
            let row = (self.first_row + self.time - self.border[0]) * self.row_bins;
            let start = (row + self.bin - self.border[1]) * channels;
            let line = self.row_bins * channels;
            return work(&x[start..][..(self.times - 1) * line + self.bins * channels], line);
        }
        let line = self.bins * self.words.bin();
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
                        self.words.write(skip, source, target);
                    }
                    None => target.fill(T::ZERO),
                }
            }
            work(picture, line)
        })
    }
}
