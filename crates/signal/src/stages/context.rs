//! Frames with their neighbours to the left and right, as deltas and splicing need them.
//!
//! At the ends of the recording the first and the last frame stand in for the neighbours that are
//! not there, as in Kaldi.

use super::frame_buffer::{FrameBuffer, rows};

/// Hands out each frame with `left` frames before it and `right` behind, as soon as they are there.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    buffer: FrameBuffer,
    left: usize,
    right: usize,
    /// The next frame to be handed out.
    next: u64,
}

/// One frame and its neighbours.
pub(crate) struct Neighbours<'a> {
    buffer: &'a FrameBuffer,
    frame: u64,
}

impl Neighbours<'_> {
    /// The frame `offset` places on (before, if negative), or the nearest that there is.
    pub(crate) fn row(&self, offset: isize) -> &[f32] {
        let last = self.buffer.end() - 1;
        let index = self.frame.saturating_add_signed(offset as i64).min(last);
        self.buffer.row(index)
    }
}

impl Context {
    pub(crate) fn new(dim: usize, left: usize, right: usize) -> Self {
        Context { buffer: FrameBuffer::new(dim), left, right, next: 0 }
    }

    /// Numbers per frame.
    pub(crate) fn dim(&self) -> usize {
        self.buffer.dim()
    }

    pub(crate) fn right(&self) -> usize {
        self.right
    }

    pub(crate) fn push(&mut self, frames: &[f32], mut emit: impl FnMut(&Neighbours)) {
        for frame in rows(frames, self.dim()) {
            self.buffer.push(frame);
            if self.next + (self.right as u64) < self.buffer.end() {
                self.emit(&mut emit);
            }
        }
    }

    pub(crate) fn finish(&mut self, mut emit: impl FnMut(&Neighbours)) {
        while self.next < self.buffer.end() {
            self.emit(&mut emit);
        }
        self.reset();
    }

    pub(crate) fn reset(&mut self) {
        self.buffer.clear();
        self.next = 0;
    }

    fn emit(&mut self, emit: &mut impl FnMut(&Neighbours)) {
        emit(&Neighbours { buffer: &self.buffer, frame: self.next });
        self.next += 1;
        self.buffer.forget(self.next.saturating_sub(self.left as u64));
    }
}
