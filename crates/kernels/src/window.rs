//! Windows that move over time and bins: how many fit, what each sees, and how a batch is cut into tasks.
//!
//! With kernel K, stride s and padding p, an axis of n places has ⌊(n + 2p − K) / s⌋ + 1 windows;
//! window o sees the places o s − p … o s − p + K − 1, of which some may lie outside of 0 … n − 1. Because
//! p < K, each sees at least one place inside: the first ends at K − 1 − p ≥ 0, the last begins at most at
//! n + p − K ≤ n − 1. Windows never see another utterance of the batch.
//!
//! Book: book/src/convolution.md

use crate::error::{KernelError, check_least, elements, total_rows};

/// The windows of a convolution or a pooling. Sizes in pairs are for time and for bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Frames and bins that one output sees.
    pub kernel: [usize; 2],
    /// Frames and bins from one output to the next.
    pub stride: [usize; 2],
    /// Places outside of each utterance, before and after it and its bins, that windows may reach;
    /// less than the kernel.
    pub padding: [usize; 2],
}

/// What a call works on, after its arguments have been checked.
pub(crate) struct Batch {
    pub bins: usize,
    pub out_bins: usize,
    pub utterances: Vec<Span>,
    pub rows: usize,
    pub out_rows: usize,
}

/// One utterance: first row and number of frames, in the input and in the output.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub first: usize,
    pub frames: usize,
    pub out_first: usize,
    pub out_frames: usize,
}

/// Frames `first..first + count` of one utterance's input or output.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub utterance: Span,
    pub first: usize,
    pub count: usize,
}

/// The part of a window along one axis that lies inside: places `place..place + count`, seen through
/// the taps from `tap` on.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub place: usize,
    pub tap: usize,
    pub count: usize,
}

impl Window {
    /// Frames of the output for an utterance of `frames`; 0 when it is too short for the kernel.
    pub fn output_frames(&self, frames: usize) -> usize {
        self.output_size(0, frames)
    }

    /// Bins of the output for an input of `bins`; 0 when they are too few for the kernel.
    pub fn output_bins(&self, bins: usize) -> usize {
        self.output_size(1, bins)
    }

    // ANCHOR: size
    /// ⌊(size + 2 padding − kernel) / stride⌋ + 1, or 0 where nothing fits.
    fn output_size(&self, axis: usize, size: usize) -> usize {
        let [kernel, stride, padding] = [self.kernel, self.stride, self.padding].map(|x| x[axis]);
        if size == 0 || stride == 0 || kernel == 0 {
            return 0;
        }
        let padded = size.saturating_add(padding.saturating_mul(2));
        padded.checked_sub(kernel).map_or(0, |rest| rest / stride + 1)
    }
    // ANCHOR_END: size

    /// Checks the windows, the lengths and the bins against each other.
    pub(crate) fn batch(
        &self,
        operation: &'static str,
        lengths: &[usize],
        bins: usize,
    ) -> Result<Batch, KernelError> {
        for (what, axis) in [("the kernel in time", 0), ("the kernel over bins", 1)] {
            // A window that lies in the padding alone would see nothing.
            check_least(operation, what, self.kernel[axis], self.padding[axis].saturating_add(1))?;
        }
        for (what, axis) in [("the stride in time", 0), ("the stride over bins", 1)] {
            check_least(operation, what, self.stride[axis], 1)?;
        }
        let rows = total_rows(operation, lengths)?;
        elements(operation, "x", &[rows, bins])?;
        let least = |axis: usize| {
            self.kernel[axis].saturating_sub(self.padding[axis].saturating_mul(2)).max(1)
        };
        check_least(operation, "the number of bins", bins, least(1))?;
        let mut utterances = Vec::with_capacity(lengths.len());
        let (mut first, mut out_first) = (0, 0usize);
        for &frames in lengths {
            check_least(operation, "the number of frames of an utterance", frames, least(0))?;
            let out_frames = self.output_frames(frames);
            utterances.push(Span { first, frames, out_first, out_frames });
            first += frames;
            out_first = out_first
                .checked_add(out_frames)
                .ok_or(KernelError::Overflow { operation, what: "y" })?;
        }
        Ok(Batch { bins, out_bins: self.output_bins(bins), utterances, rows, out_rows: out_first })
    }

    /// What window `output` sees of an axis of `size` places.
    #[inline(always)]
    pub(crate) fn seen(&self, axis: usize, output: usize, size: usize) -> Seen {
        let start = output * self.stride[axis];
        let tap = self.padding[axis].saturating_sub(start);
        let place = (start + tap) - self.padding[axis];
        let count = (self.kernel[axis] - tap).min(size - place);
        debug_assert!(count > 0 && place + count <= size);
        Seen { place, tap, count }
    }

    /// The windows, of `outputs` along an axis, that see one of the places `first..=last`.
    #[inline(always)]
    pub(crate) fn seen_by(
        &self,
        axis: usize,
        first: usize,
        last: usize,
        outputs: usize,
    ) -> std::ops::Range<usize> {
        let begin = (first + self.padding[axis] + 1).saturating_sub(self.kernel[axis]);
        let begin = begin.div_ceil(self.stride[axis]);
        let end = ((last + self.padding[axis]) / self.stride[axis] + 1).min(outputs);
        begin.min(end)..end
    }
}

/// Blocks of at most `count` frames of every utterance, in order; `frames` says whether of the input or
/// of the output.
pub(crate) fn blocks(batch: &Batch, frames: impl Fn(&Span) -> usize, count: usize) -> Vec<Block> {
    let mut blocks = Vec::new();
    for &utterance in &batch.utterances {
        let total = frames(&utterance);
        for first in (0..total).step_by(count) {
            blocks.push(Block { utterance, first, count: count.min(total - first) });
        }
    }
    blocks
}

/// Hands each block its own rows of `y`.
pub(crate) fn split_rows<'a, T>(
    mut y: &'a mut [T],
    row: usize,
    blocks: &[Block],
) -> Vec<(Block, &'a mut [T])> {
    let mut tasks = Vec::with_capacity(blocks.len());
    for &block in blocks {
        let (rows, rest) = std::mem::take(&mut y).split_at_mut(block.count * row);
        tasks.push((block, rows));
        y = rest;
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths and what is seen, against windows that are slid by hand.
    #[test]
    fn windows_are_those_that_a_slide_finds() {
        for kernel in (1..=7).chain([11, 41]) {
            for (stride, padding) in (1..=5).flat_map(|s| (0..kernel).map(move |p| (s, p))) {
                let window =
                    Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2] };
                for size in (1..60).chain([200]) {
                    let starts: Vec<isize> = (-(padding as isize)..)
                        .step_by(stride)
                        .take_while(|start| start + kernel as isize <= (size + padding) as isize)
                        .collect();
                    assert_eq!(window.output_frames(size), starts.len());
                    assert_eq!(window.output_bins(size), starts.len());
                    let mut seers = vec![Vec::new(); size];
                    for (output, &start) in starts.iter().enumerate() {
                        let inside: Vec<usize> = (start..start + kernel as isize)
                            .filter_map(|place| usize::try_from(place).ok())
                            .filter(|&place| place < size)
                            .collect();
                        let seen = window.seen(0, output, size);
                        assert_eq!((seen.place, seen.count), (inside[0], inside.len()));
                        assert_eq!(seen.tap as isize, inside[0] as isize - start);
                        inside.iter().for_each(|&place| seers[place].push(output));
                    }
                    for (place, seers) in seers.iter().enumerate() {
                        let found = window.seen_by(1, place, place, starts.len());
                        assert_eq!(&found.collect::<Vec<_>>(), seers);
                    }
                }
            }
        }
    }
}
