//! Where everything lies in the memory of a pass, for one batch shape.
//!
//! Training fills one area like a stack: each step puts down its output, unless it works in place, and
//! what it saves. On the way back the stack shrinks: behind step i nothing is needed any more of what
//! came after it, so its gradients and its work space lie there. What outlives the way back, the last
//! output and what moves running statistics, lies at the bottom.
//!
//! Inference needs an activation only until the next one stands, so each place is free again two steps
//! later. A sequence that is itself a layer keeps its stack in what that layer may save, and its
//! gradients in that layer's work space; its input and output, and their gradients, are the caller's.
//!
//! Book: book/src/fast.md

use std::ops::Range;

use labyrinth_kernels::Real;

use crate::error::NnError;
use crate::layer::Layer;
use crate::shape::Shape;

/// What the memory serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Forward passes alone.
    Inference,
    /// Passes there and back.
    Training,
    /// The passes of a sequence that is itself a layer.
    Layer,
}

/// Where one step reads and writes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Places {
    /// Whether the output lies where the input did.
    pub in_place: bool,
    /// Output; none where it is the caller's.
    pub y: Option<Range<usize>>,
    /// What is kept for the way back.
    pub saved: Range<usize>,
    /// On the way back what lies before is still needed, what lies behind is free for the three below.
    pub floor: usize,
    /// Gradient of the output, none where it is the caller's.
    pub dy: Option<Range<usize>>,
    /// Gradient of the input: that of the first step is always the caller's, if anybody wants it. The same
    /// place as `dy` where the step works in place on the way back.
    pub dx: Option<Range<usize>>,
    /// Work space of the way back.
    pub scratch: Range<usize>,
}

/// Where everything lies. All places are counted from one beginning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub purpose: Purpose,
    /// Shape before each step, and behind the last.
    pub shapes: Vec<Shape>,
    pub steps: Vec<Places>,
    /// Values that the forward pass leaves behind.
    pub kept: usize,
    /// Values of work space that the forward pass wants beyond them.
    pub forward_scratch: usize,
    /// Values of all together.
    pub size: usize,
}

/// The first place of `len` values from `floor` on that none of the taken ones touches.
fn free(len: usize, floor: usize, taken: &[&Option<Range<usize>>]) -> Range<usize> {
    let mut taken: Vec<&Range<usize>> = taken.iter().filter_map(|range| range.as_ref()).collect();
    taken.sort_by_key(|range| range.start);
    let mut start = floor;
    for range in taken {
        if start + len <= range.start {
            break;
        }
        start = start.max(range.end);
    }
    start..start + len
}

impl Plan {
    /// Lays out what `layers` need for `input`.
    pub(crate) fn new<T: Real>(
        layers: &[&dyn Layer<T>],
        input: &Shape,
        purpose: Purpose,
    ) -> Result<Self, NnError> {
        let mut shapes = vec![input.clone()];
        let mut steps: Vec<Places> = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let before = &shapes[index];
            let after = layer.output_shape(before)?;
            let may_lose =
                |before: &&dyn Layer<T>| purpose == Purpose::Inference || !before.needs_output();
            let in_place = layer.in_place()
                && after.len() == before.len()
                && index > 0
                && may_lose(&layers[index - 1]);
            let saved = 0..layer.saved_len(before);
            let y = Some(0..after.len());
            steps.push(Places { in_place, y, saved, floor: 0, dy: None, dx: None, scratch: 0..0 });
            shapes.push(after);
        }
        let forward_scratch =
            layers.iter().zip(&shapes).map(|(l, shape)| l.forward_scratch_len(shape));
        let forward_scratch = forward_scratch.max().unwrap_or(0);
        let mut plan = Self { purpose, shapes, steps, kept: 0, forward_scratch, size: 0 };
        if purpose == Purpose::Inference {
            plan.place_in_turn();
        } else {
            plan.stack(layers);
        }
        plan.size = plan.kept + forward_scratch;
        if purpose != Purpose::Inference {
            plan.place_gradients(layers);
        }
        Ok(plan)
    }

    /// Each output beside its input, wherever there is room, and what is saved beside both.
    fn place_in_turn(&mut self) {
        let mut before: Option<Range<usize>> = None;
        for places in &mut self.steps {
            if !places.in_place {
                let len = places.y.as_ref().map_or(0, Range::len);
                places.y = Some(free(len, 0, &[&before]));
            } else {
                places.y = before.clone();
            }
            places.saved = free(places.saved.len(), 0, &[&before, &places.y]);
            before = places.y.clone();
            let end = before.as_ref().map_or(0, |range| range.end).max(places.saved.end);
            self.kept = self.kept.max(end);
        }
    }

    /// One behind the other, what lasts first.
    fn stack<T: Real>(&mut self, layers: &[&dyn Layer<T>]) {
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len..end
        };
        // From this step on all outputs lie in one place.
        let last = self.steps.iter().rposition(|places| !places.in_place).unwrap_or(0);
        let mut output = None;
        if self.purpose == Purpose::Training {
            output = self.shapes.last().map(|shape| take(shape.len()));
        }
        let lasts: Vec<bool> = layers.iter().map(|layer| !layer.buffers().is_empty()).collect();
        for (places, _) in self.steps.iter_mut().zip(&lasts).filter(|(_, lasts)| **lasts) {
            places.saved = take(places.saved.len());
        }
        let mut before = None;
        for (index, places) in self.steps.iter_mut().enumerate() {
            if index >= last {
                places.y = output.clone();
            } else if places.in_place {
                places.y = before;
            } else {
                places.y = Some(take(self.shapes[index + 1].len()));
            }
            before = places.y.clone();
            if !lasts[index] {
                places.saved = take(places.saved.len());
            }
            places.floor = take(0).end;
        }
        self.kept = end;
        if self.purpose == Purpose::Layer {
            // What was saved is only lent on the way back: nothing of it becomes free.
            for places in &mut self.steps {
                places.floor = end;
            }
        }
    }

    /// Gradients and work space of the way back, from the last step to the first.
    fn place_gradients<T: Real>(&mut self, layers: &[&dyn Layer<T>]) {
        let mut dy = None;
        if self.purpose == Purpose::Training {
            let len = self.shapes.last().map_or(0, Shape::len);
            dy = self.steps.last().map(|places| free(len, places.floor, &[]));
        }
        for (index, places) in self.steps.iter_mut().enumerate().rev() {
            let shape = &self.shapes[index];
            let mut scratch = layers[index].scratch_len(shape);
            places.dx = if index == 0 {
                scratch += layers[index].scratch_len_without_dx(shape);
                None
            } else if places.in_place && dy.is_some() {
                dy.clone()
            } else {
                Some(free(shape.len(), places.floor, &[&dy]))
            };
            places.scratch = free(scratch, places.floor, &[&dy, &places.dx]);
            for range in [&dy, &places.dx].into_iter().flatten().chain([&places.scratch]) {
                self.size = self.size.max(range.end);
            }
            places.dy = dy;
            dy = places.dx.clone();
        }
    }
}

/// Several places at once; they must not overlap.
pub(crate) fn pieces<T, const N: usize>(
    values: &mut [T],
    ranges: [Range<usize>; N],
) -> [&mut [T]; N] {
    let mut order: [usize; N] = std::array::from_fn(|index| index);
    order.sort_by_key(|&index| (ranges[index].start, ranges[index].end));
    let mut pieces = std::array::from_fn(|_| Default::default());
    let (mut rest, mut start) = (values, 0);
    for index in order {
        let range = &ranges[index];
        if range.is_empty() {
            continue;
        }
        debug_assert!(start <= range.start, "{ranges:?} overlap");
        let (piece, behind) = rest[range.start - start..].split_at_mut(range.len());
        pieces[index] = piece;
        (rest, start) = (behind, range.end);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_first_that_touches_nothing() {
        assert_eq!(free(5, 3, &[]), 3..8);
        assert_eq!(free(5, 3, &[&None, &Some(8..9)]), 3..8);
        assert_eq!(free(6, 3, &[&Some(8..9), &Some(4..5)]), 9..15);
        assert_eq!(free(3, 3, &[&Some(8..9), &Some(4..5)]), 5..8);
        assert_eq!(free(3, 3, &[&Some(0..3), &Some(1..9)]), 9..12);
    }

    #[test]
    fn pieces_are_those_asked_for_in_any_order() {
        let mut values: Vec<usize> = (0..10).collect();
        let [a, b, c, d] = pieces(&mut values, [6..9, 0..2, 7..7, 2..5]);
        assert_eq!((&*a, &*b, &*c, &*d), (&[6, 7, 8][..], &[0, 1][..], &[][..], &[2, 3, 4][..]));
    }
}
