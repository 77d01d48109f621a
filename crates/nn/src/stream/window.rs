//! A layer of windows in a stream: the frames that later windows see are kept, and each output is computed
//! once its window is full.
//!
//! With stride s, output o sees the frames o s − b … o s + a, b of them before its own. Offline, windows that
//! reach out of the recording see padding instead, at its beginning and at its end and nowhere else. A piece
//! of a recording has two more edges, false ones, so
//!
//! - outputs whose windows lie within the recording are computed by the layer without padding in time
//!   ([`Layer::without_padding`]) from exactly the frames that they see: no window can reach an edge;
//! - the first ones, whose windows reach before the recording, and at the end those that reach behind it, by
//!   the layer itself, from frames that begin at a multiple of s, so that the windows lie as they did. Outputs
//!   that saw a false edge are thrown away. A layer that has no form without padding does so everywhere.

use labyrinth_kernels::Real;

use super::steps::{Pass, Place};
use crate::error::NnError;
use crate::layer::Layer;

/// What is kept of the past.
pub(super) struct Windows<T> {
    stride: usize,
    before: usize,
    after: usize,
    inner: Option<Box<dyn Layer<T>>>,
    /// Frames from number `first` on.
    kept: Vec<T>,
    first: usize,
    /// Frames that came, and outputs that left.
    seen: usize,
    given: usize,
    outputs: Vec<T>,
}

impl<T: Real> Windows<T> {
    /// `inner` is the layer without padding in time.
    pub fn new(
        stride: usize,
        before: usize,
        after: usize,
        inner: Option<Box<dyn Layer<T>>>,
    ) -> Self {
        let (kept, outputs) = (Vec::new(), Vec::new());
        Self { stride, before, after, inner, kept, first: 0, seen: 0, given: 0, outputs }
    }

    /// How many outputs are certain.
    fn complete(&self, place: &Place, layer: &dyn Layer<T>, end: bool) -> Result<usize, NnError> {
        if !end {
            return Ok(self.seen.saturating_sub(self.after).div_ceil(self.stride));
        }
        if self.seen == 0 {
            return Ok(0);
        }
        match layer.output_shape(&place.shape(self.seen)) {
            Ok(shape) => Ok(shape.lengths[0]),
            Err(NnError::TooShort { .. }) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Takes `x` and appends the outputs that are certain by then to `y`.
    pub fn advance(
        &mut self,
        place: &Place,
        layer: &dyn Layer<T>,
        pass: &mut Pass<'_, T>,
        x: &[T],
        y: &mut Vec<T>,
    ) -> Result<(), NnError> {
        self.kept.extend_from_slice(x);
        self.seen += x.len() / place.input_width();
        let complete = self.complete(place, layer, pass.end)?;
        if self.given < complete && self.touches_start() && self.inner.is_some() {
            // Those at the true beginning by themselves; the others need no padding.
            let last = self.before.div_ceil(self.stride).min(complete);
            self.give_padded(place, layer, pass, last, y)?;
        }
        if self.given < complete && self.inner.is_some() && !self.touches_start() {
            let full = self.seen.saturating_sub(self.after).div_ceil(self.stride).min(complete);
            self.give_inner(place, pass, full, y)?;
        }
        if self.given < complete {
            self.give_padded(place, layer, pass, complete, y)?;
        }
        self.forget(place);
        Ok(())
    }

    /// Whether the window of the next output reaches before the recording.
    fn touches_start(&self) -> bool {
        self.given * self.stride < self.before
    }

    /// The kept frames `from..to`, counted from the beginning of the recording.
    fn frames(&self, from: usize, to: usize, width: usize) -> &[T] {
        &self.kept[(from - self.first) * width..(to - self.first) * width]
    }

    /// Outputs up to `until`, whose windows all lie within the recording.
    fn give_inner(
        &mut self,
        place: &Place,
        pass: &mut Pass<'_, T>,
        until: usize,
        y: &mut Vec<T>,
    ) -> Result<(), NnError> {
        let Some(layer) = self.inner.as_deref().filter(|_| self.given < until) else {
            return Ok(());
        };
        let from = self.given * self.stride - self.before;
        let to = (until - 1) * self.stride + self.after + 1;
        let x = self.frames(from, to, place.input_width());
        place.run(layer, pass, x, &mut [], y)?;
        self.given = until;
        Ok(())
    }

    /// Outputs up to `until` by the layer as it is, from a multiple of the stride on.
    fn give_padded(
        &mut self,
        place: &Place,
        layer: &dyn Layer<T>,
        pass: &mut Pass<'_, T>,
        until: usize,
        y: &mut Vec<T>,
    ) -> Result<(), NnError> {
        let from = self.needed() / self.stride * self.stride;
        let to = match pass.end {
            true => self.seen,
            false => ((until - 1) * self.stride + self.after + 1).min(self.seen),
        };
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.clear();
        let x = self.frames(from, to, place.input_width());
        place.run(layer, pass, x, &mut [], &mut outputs)?;
        let (skipped, width) = (from / self.stride, place.output_width());
        y.extend_from_slice(&outputs[(self.given - skipped) * width..(until - skipped) * width]);
        self.outputs = outputs;
        self.given = until;
        Ok(())
    }

    /// The first frame that the next output sees.
    fn needed(&self) -> usize {
        (self.given * self.stride).saturating_sub(self.before)
    }

    /// Drops the frames that no later output needs.
    fn forget(&mut self, place: &Place) {
        let keep = (self.needed() / self.stride * self.stride).min(self.seen);
        // What is left moves to the front: less than a window, whatever the piece.
        self.kept.drain(..(keep - self.first) * place.input_width());
        self.first = keep;
    }

    pub fn reset(&mut self) {
        self.kept.clear();
        (self.first, self.seen, self.given) = (0, 0, 0);
    }

    pub fn held(&self) -> usize {
        self.kept.len()
    }
}
