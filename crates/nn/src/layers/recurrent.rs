//! What all recurrent layers share: one direction or both, their weights, their state.
//!
//! A [`Cell`] computes one direction with a kernel; here it becomes a layer. The backward direction of
//! an utterance begins at its own last frame. The two directions know nothing of each other and run
//! on different threads; within a direction the kernels share out what they can.
//!
//! Book: book/src/recurrent.md

use labyrinth_kernels::residual::residual_add_in_place;
use labyrinth_kernels::{Cpu, KernelError, PackedMatrix, Real};
use rayon::prelude::*;

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::parameters::ParameterSpec;
use crate::reach::Reach;
use crate::shape::Shape;

/// Frames that one task copies or adds.
const TASK: usize = 64;

/// Input and state to gates `[G·H, I]`, `[G·H, H]`, and their biases `[G·H]`.
pub(super) type Weights<'a, T> = [&'a [T]; 4];

/// Where the gradients of [`Weights`] are added.
pub(super) type Gradients<'a, T> = [&'a mut [T]; 4];

/// The batch that one direction reads.
#[derive(Clone, Copy)]
pub(super) struct Frames<'a, T> {
    pub cpu: Cpu,
    pub x: &'a [T],
    pub lengths: &'a [usize],
    /// The weights as [`Cell::lay_out`] gave them, or nothing.
    pub packed: &'a [PackedMatrix<T>],
}

/// What one direction of the forward pass left behind, and the gradient of its output.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a, T> {
    pub y: &'a [T],
    pub saved: &'a [T],
    pub dy: &'a [T],
}

/// A recurrent computation in one direction.
pub(super) trait Cell: Send + Sync {
    /// What it is called in messages.
    const NAME: &'static str;
    /// What it is called in a table.
    const KIND: &'static str;
    /// Gates: so many times the hidden size has each weight.
    const GATES: usize;
    /// Vectors of the hidden size that make up its state.
    const STATES: usize;

    /// Values of an input frame.
    fn input(&self) -> usize;
    /// Values of an output frame.
    fn hidden(&self) -> usize;
    /// Whether a second cell reads the utterance from its end.
    fn bidirectional(&self) -> bool;
    /// Values kept for the backward pass.
    fn kept_len(&self, rows: usize) -> usize;

    /// Runs one direction; `state` is `[STATES, batch, H]`, replaced, or empty to begin from nothing.
    fn run<T: Real>(
        &self,
        reverse: bool,
        frames: Frames<'_, T>,
        weights: Weights<'_, T>,
        state: &mut [T],
        y: &mut [T],
        saved: &mut [T],
    ) -> Result<(), KernelError>;

    /// The matrices of one direction laid out for many runs of a few frames.
    fn lay_out<T: Real>(
        &self,
        cpu: Cpu,
        weights: Weights<'_, T>,
    ) -> Result<Vec<PackedMatrix<T>>, KernelError>;

    /// The gradients of a run that began from nothing.
    fn run_back<T: Real>(
        &self,
        reverse: bool,
        frames: Frames<'_, T>,
        weights: Weights<'_, T>,
        kept: Kept<'_, T>,
        dx: &mut [T],
        gradients: Gradients<'_, T>,
    ) -> Result<(), KernelError>;
}

fn directions(cell: &impl Cell) -> usize {
    if cell.bidirectional() { 2 } else { 1 }
}

/// Sizes of one direction's weights, in the order of [`Weights`].
fn weight_sizes<C: Cell>(cell: &C) -> [usize; 4] {
    let gates = C::GATES * cell.hidden();
    [gates * cell.input(), gates * cell.hidden(), gates, gates]
}

fn split_weights<'a, T>(cell: &impl Cell, values: &'a [T]) -> Weights<'a, T> {
    let [w_ih, w_hh, b_ih, _] = weight_sizes(cell);
    let (w_ih, rest) = values.split_at(w_ih);
    let (w_hh, rest) = rest.split_at(w_hh);
    let (b_ih, b_hh) = rest.split_at(b_ih);
    [w_ih, w_hh, b_ih, b_hh]
}

fn split_gradients<'a, T>(cell: &impl Cell, values: &'a mut [T]) -> Gradients<'a, T> {
    let [w_ih, w_hh, b_ih, _] = weight_sizes(cell);
    let (w_ih, rest) = values.split_at_mut(w_ih);
    let (w_hh, rest) = rest.split_at_mut(w_hh);
    let (b_ih, b_hh) = rest.split_at_mut(b_ih);
    [w_ih, w_hh, b_ih, b_hh]
}

/// `[rows, hidden]` twice → `[rows, 2·hidden]`.
fn interleave<T: Real>(hidden: usize, left: &[T], right: &[T], both: &mut [T]) {
    let tasks = left.par_chunks(TASK * hidden).zip(right.par_chunks(TASK * hidden));
    both.par_chunks_mut(TASK * 2 * hidden).zip(tasks).for_each(|(both, (left, right))| {
        let rows = left.chunks_exact(hidden).zip(right.chunks_exact(hidden));
        for (both, (left, right)) in both.chunks_exact_mut(2 * hidden).zip(rows) {
            both[..hidden].copy_from_slice(left);
            both[hidden..].copy_from_slice(right);
        }
    });
}

/// The way back of [`interleave`].
fn separate<T: Real>(hidden: usize, both: &[T], left: &mut [T], right: &mut [T]) {
    let tasks = left.par_chunks_mut(TASK * hidden).zip(right.par_chunks_mut(TASK * hidden));
    both.par_chunks(TASK * 2 * hidden).zip(tasks).for_each(|(both, (left, right))| {
        let rows = left.chunks_exact_mut(hidden).zip(right.chunks_exact_mut(hidden));
        for (both, (left, right)) in both.chunks_exact(2 * hidden).zip(rows) {
            left.copy_from_slice(&both[..hidden]);
            right.copy_from_slice(&both[hidden..]);
        }
    });
}

impl<T: Real, C: Cell> Layer<T> for C {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        if input.width() != self.input() {
            let (expected, found) = (self.input(), input.width());
            return Err(NnError::Size { what: C::NAME, expected, found });
        }
        Ok(input.with_width(directions(self) * self.hidden()))
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let bound = 1.0 / (self.hidden() as f64).sqrt();
        let gates = C::GATES * self.hidden();
        ["forward", "backward"][..directions(self)]
            .iter()
            .flat_map(|direction| {
                let name = |part: &str| format!("{direction}.{part}");
                [
                    ParameterSpec::weight(&name("w_ih"), &[gates, self.input()], bound),
                    ParameterSpec::weight(&name("w_hh"), &[gates, self.hidden()], bound),
                    ParameterSpec::bias(&name("b_ih"), gates, bound),
                    ParameterSpec::bias(&name("b_hh"), gates, bound),
                ]
            })
            .collect()
    }

    fn saved_len(&self, input: &Shape) -> usize {
        directions(self) * self.kept_len(input.rows())
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        // Both directions' shares of y and of dy, and the second one's dx.
        let wanted = if self.bidirectional() { 4 * self.hidden() + self.input() } else { 0 };
        input.rows() * wanted
    }

    fn scratch_len_without_dx(&self, input: &Shape) -> usize {
        input.rows() * self.input()
    }

    fn forward_scratch_len(&self, input: &Shape) -> usize {
        // Both directions' outputs.
        if self.bidirectional() { 2 * input.rows() * self.hidden() } else { 0 }
    }

    fn reach(&self) -> Reach {
        let after = if self.bidirectional() { None } else { Some(0) };
        Reach { stride: 1, before: None, after }
    }

    fn multiplications(&self, input: &Shape) -> u64 {
        // Each frame: all weights of both matrices once, in each direction.
        let [w_ih, w_hh, ..] = weight_sizes(self);
        (input.rows() * directions(self) * (w_ih + w_hh)) as u64
    }

    fn describe(&self) -> String {
        format!("{}{}", C::KIND, if self.bidirectional() { ", both directions" } else { "" })
    }

    fn state_len(&self, batch: usize) -> usize {
        // A layer that reads from the end cannot hand a state to the next chunk.
        if self.bidirectional() { 0 } else { C::STATES * batch * self.hidden() }
    }

    fn pack(&self, cpu: Cpu, parameters: &[T]) -> Result<Vec<PackedMatrix<T>>, NnError> {
        // Both directions want the whole recording, and are called once for it.
        if self.bidirectional() {
            return Ok(Vec::new());
        }
        Ok(self.lay_out(cpu, split_weights(self, parameters))?)
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let Forward { cpu, shape, x, parameters, packed, saved, state, scratch, y, .. } = pass;
        let frames = Frames { cpu, x, lengths: &shape.lengths, packed };
        if !self.bidirectional() {
            self.run(false, frames, split_weights(self, parameters), state, y, saved)?;
            return Ok(());
        }
        let (rows, hidden) = (shape.rows(), self.hidden());
        let (first, second) = parameters.split_at(weight_sizes(self).iter().sum());
        let (first_saved, second_saved) = saved.split_at_mut(self.kept_len(rows));
        let (left, right) = scratch.split_at_mut(rows * hidden);
        let one = |reverse, weights, saved: &mut [T], y: &mut [T]| {
            self.run(reverse, frames, split_weights(self, weights), &mut [], y, saved)
        };
        let (forward, backward) = rayon::join(
            || one(false, first, first_saved, left),
            || one(true, second, second_saved, right),
        );
        forward?;
        backward?;
        interleave(hidden, left, right, y);
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Backward { cpu, shape, x, y, dy, parameters, saved, scratch, dx, gradients, .. } = pass;
        let frames = Frames { cpu, x, lengths: &shape.lengths, packed: &[] };
        let (rows, hidden) = (shape.rows(), self.hidden());
        // The first layer's input needs no gradient, but the kernel computes it along the way.
        let wanted = dx.is_some();
        let (dx, scratch) = match dx {
            Some(dx) => (dx, scratch),
            None => scratch.split_at_mut(rows * self.input()),
        };
        if !self.bidirectional() {
            let gradients = split_gradients(self, gradients);
            let kept = Kept { y, saved, dy };
            self.run_back(false, frames, split_weights(self, parameters), kept, dx, gradients)?;
            return Ok(());
        }
        let weights = weight_sizes(self).iter().sum();
        let (first, second) = parameters.split_at(weights);
        let (first_gradients, second_gradients) = gradients.split_at_mut(weights);
        let (first_saved, second_saved) = saved.split_at(self.kept_len(rows));
        let (y_left, rest) = scratch.split_at_mut(rows * hidden);
        let (y_right, rest) = rest.split_at_mut(rows * hidden);
        let (dy_left, rest) = rest.split_at_mut(rows * hidden);
        let (dy_right, rest) = rest.split_at_mut(rows * hidden);
        let dx_right = &mut rest[..rows * self.input()];
        separate(hidden, y, y_left, y_right);
        separate(hidden, dy, dy_left, dy_right);
        let one = |reverse, weights, kept: Kept<'_, T>, dx: &mut [T], gradients: &mut [T]| {
            let gradients = split_gradients(self, gradients);
            self.run_back(reverse, frames, split_weights(self, weights), kept, dx, gradients)
        };
        let left = Kept { y: y_left, saved: first_saved, dy: dy_left };
        let right = Kept { y: y_right, saved: second_saved, dy: dy_right };
        let (forward, backward) = rayon::join(
            || one(false, first, left, dx, first_gradients),
            || one(true, second, right, dx_right, second_gradients),
        );
        forward?;
        backward?;
        if wanted {
            residual_add_in_place(cpu, dx_right, dx)?;
        }
        Ok(())
    }
}
