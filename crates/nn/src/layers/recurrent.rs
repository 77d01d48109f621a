//! What all recurrent layers share: one direction or both, their weights, their state.
//!
//! A [`Cell`] computes one direction with a kernel; here it becomes a layer. The backward direction of
//! an utterance begins at its own last frame. The two directions know nothing of each other and run
//! on different threads; within a direction the kernels share out what they can.

use labyrinth_kernels::{Cpu, KernelError, Real};
use rayon::prelude::*;

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::parameters::ParameterSpec;
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

/// What one direction of a bidirectional layer keeps: its own output, then the cell's values.
fn direction_saved_len(cell: &impl Cell, rows: usize) -> usize {
    rows * cell.hidden() + cell.kept_len(rows)
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
        let rows = input.rows();
        if self.bidirectional() { 2 * direction_saved_len(self, rows) } else { self.kept_len(rows) }
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        // Both directions' share of dy, and one dx each.
        directions(self) * input.rows() * (self.hidden() + self.input())
    }

    fn state_len(&self, batch: usize) -> usize {
        // A layer that reads from the end cannot hand a state to the next chunk.
        if self.bidirectional() { 0 } else { C::STATES * batch * self.hidden() }
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let Forward { cpu, shape, x, parameters, saved, state, y, .. } = pass;
        let frames = Frames { cpu, x, lengths: &shape.lengths };
        if !self.bidirectional() {
            self.run(false, frames, split_weights(self, parameters), state, y, saved)?;
            return Ok(());
        }
        let (rows, hidden) = (shape.rows(), self.hidden());
        let (first, second) = parameters.split_at(weight_sizes(self).iter().sum());
        let (left, right) = saved.split_at_mut(direction_saved_len(self, rows));
        let one = |reverse, weights, saved: &mut [T]| {
            let (y, kept) = saved.split_at_mut(rows * hidden);
            self.run(reverse, frames, split_weights(self, weights), &mut [], y, kept)
        };
        let (forward, backward) =
            rayon::join(|| one(false, first, left), || one(true, second, right));
        forward?;
        backward?;
        // [rows, hidden] twice → [rows, 2·hidden]
        let tasks = left[..rows * hidden]
            .par_chunks(TASK * hidden)
            .zip(right[..rows * hidden].par_chunks(TASK * hidden));
        y.par_chunks_mut(TASK * 2 * hidden).zip(tasks).for_each(|(y, (left, right))| {
            let rows = left.chunks_exact(hidden).zip(right.chunks_exact(hidden));
            for (y, (left, right)) in y.chunks_exact_mut(2 * hidden).zip(rows) {
                y[..hidden].copy_from_slice(left);
                y[hidden..].copy_from_slice(right);
            }
        });
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Backward { cpu, shape, x, y, dy, parameters, saved, scratch, dx, gradients, .. } = pass;
        let frames = Frames { cpu, x, lengths: &shape.lengths };
        let (rows, hidden) = (shape.rows(), self.hidden());
        let inputs = rows * self.input();
        if !self.bidirectional() {
            let dx = match dx {
                Some(dx) => dx,
                None => &mut scratch[..inputs],
            };
            let gradients = split_gradients(self, gradients);
            let kept = Kept { y, saved, dy };
            self.run_back(false, frames, split_weights(self, parameters), kept, dx, gradients)?;
            return Ok(());
        }
        let weights = weight_sizes(self).iter().sum();
        let (first, second) = parameters.split_at(weights);
        let (first_gradients, second_gradients) = gradients.split_at_mut(weights);
        let (left, right) = saved.split_at(direction_saved_len(self, rows));
        let (dy_left, rest) = scratch.split_at_mut(rows * hidden);
        let (dy_right, rest) = rest.split_at_mut(rows * hidden);
        let (dx_left, rest) = rest.split_at_mut(inputs);
        let dx_right = &mut rest[..inputs];
        // [rows, 2·hidden] → [rows, hidden] twice
        let tasks =
            dy_left.par_chunks_mut(TASK * hidden).zip(dy_right.par_chunks_mut(TASK * hidden));
        dy.par_chunks(TASK * 2 * hidden).zip(tasks).for_each(|(dy, (left, right))| {
            let rows = left.chunks_exact_mut(hidden).zip(right.chunks_exact_mut(hidden));
            for (dy, (left, right)) in dy.chunks_exact(2 * hidden).zip(rows) {
                left.copy_from_slice(&dy[..hidden]);
                right.copy_from_slice(&dy[hidden..]);
            }
        });
        let one = |reverse, weights, saved: &[T], dy: &[T], dx: &mut [T], gradients: &mut [T]| {
            let (y, saved) = saved.split_at(rows * hidden);
            let gradients = split_gradients(self, gradients);
            let weights = split_weights(self, weights);
            self.run_back(reverse, frames, weights, Kept { y, saved, dy }, dx, gradients)
        };
        let (forward, backward) = rayon::join(
            || one(false, first, left, dy_left, dx_left, first_gradients),
            || one(true, second, right, dy_right, dx_right, second_gradients),
        );
        forward?;
        backward?;
        if let Some(dx) = dx {
            let size = TASK * self.input();
            let tasks = dx_left.par_chunks(size).zip(dx_right.par_chunks(size));
            dx.par_chunks_mut(size).zip(tasks).for_each(|(dx, (left, right))| {
                for ((sum, &a), &b) in dx.iter_mut().zip(left).zip(right) {
                    *sum = a + b;
                }
            });
        }
        Ok(())
    }
}
