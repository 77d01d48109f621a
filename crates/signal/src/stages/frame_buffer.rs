//! The recent frames of a stream: appended at one end, forgotten at the other, found by number.

/// Frames `first..end` of a recording, `dim` numbers each.
#[derive(Clone, Debug)]
pub(crate) struct FrameBuffer {
    dim: usize,
    values: Vec<f32>, // [end - first, dim]
    first: u64,
}

impl FrameBuffer {
    pub(crate) fn new(dim: usize) -> Self {
        FrameBuffer { dim, values: Vec::new(), first: 0 }
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// The number of the next frame to come: how many have come.
    pub(crate) fn end(&self) -> u64 {
        self.first + (self.values.len() / self.dim) as u64
    }

    /// Appends one frame.
    pub(crate) fn push(&mut self, frame: &[f32]) {
        debug_assert_eq!(frame.len(), self.dim);
        self.values.extend_from_slice(frame);
    }

    /// Frame `index`, one that came and was not forgotten.
    pub(crate) fn row(&self, index: u64) -> &[f32] {
        debug_assert!((self.first..self.end()).contains(&index));
        let start = (index - self.first) as usize * self.dim;
        &self.values[start..start + self.dim]
    }

    /// Forgets the frames before `index`, or lets them wait: moving what stays costs as much as
    /// it is long, so as much has to go.
    pub(crate) fn forget(&mut self, index: u64) {
        let spent = index.min(self.end()).saturating_sub(self.first) as usize * self.dim;
        if spent > 0 && spent >= self.values.len() / 2 {
            self.values.drain(..spent);
            self.first += (spent / self.dim) as u64;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
        self.first = 0;
    }
}

/// The rows of `frames`, `[frames, dim]`.
///
/// # Panics
/// If the last row is not whole.
pub(crate) fn rows(frames: &[f32], dim: usize) -> std::slice::ChunksExact<'_, f32> {
    let rows = frames.chunks_exact(dim);
    assert!(rows.remainder().is_empty(), "{} numbers are no rows of {dim}", frames.len());
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_bounded_and_rows_stay_right() {
        let mut buffer = FrameBuffer::new(2);
        for index in 0..10_000u64 {
            buffer.push(&[index as f32, -(index as f32)]);
            buffer.forget(index.saturating_sub(9));
            assert_eq!(buffer.end(), index + 1);
            for kept in index.saturating_sub(9)..=index {
                assert_eq!(buffer.row(kept), [kept as f32, -(kept as f32)]);
            }
            assert!(buffer.values.len() <= 2 * 2 * 11, "{}", buffer.values.len());
        }
        buffer.clear();
        assert_eq!(buffer.end(), 0);
    }
}
