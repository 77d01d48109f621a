//! The recurrence itself: the loops over time, forward and backward, of one part of a batch.
//!
//! The equations stand in the parent module, the loops over the hidden units in [`gates`].
//!
//! Book: book/src/recurrent.md

use rayon::prelude::*;

use super::{Gru, RecurrentWeights, gates};
use crate::cpu::Cpu;
use crate::error::KernelError;
use crate::matmul::{Matrix, PackedMatrix, matmul_packed};
use crate::real::Real;
use crate::recurrent::Schedule;
use crate::scratch;

/// What the forward pass of a few neighbouring utterances reads and writes.
pub(super) struct ForwardPart<'a, T> {
    pub lengths: &'a [usize],
    pub h0: Option<&'a [T]>,
    /// `[rows, 3H]`: the input's share, then r, z, n.
    pub gates: &'a mut [T],
    /// `[rows, H]`: q or p.
    pub kept: &'a mut [T],
    pub y: &'a mut [T],
    pub h_last: Option<&'a mut [T]>,
}

/// The forward recurrence.
pub(super) struct Forward<'a, T> {
    pub gru: &'a Gru,
    pub cpu: Cpu,
    /// The state's weights, where they have been laid out before.
    pub packed: &'a [PackedMatrix<T>],
}

impl<T: Real> Forward<'_, T> {
    pub(super) fn after(
        &self,
        weights: RecurrentWeights<'_, T>,
        parts: Vec<ForwardPart<'_, T>>,
    ) -> Result<(), KernelError> {
        let hidden = self.gru.hidden;
        let bias_n = &weights.b_hh[2 * hidden..];
        let w_hh = Matrix::rows(weights.w_hh, 3 * hidden, hidden).transposed();
        let whole = |w_hh: &PackedMatrix<T>| {
            parts.into_par_iter().try_for_each(|part| self.part_after(w_hh, bias_n, part))
        };
        match self.packed {
            [w_hh] => whole(w_hh),
            _ => PackedMatrix::lend(self.cpu, w_hh, whole),
        }
    }

    fn part_after(
        &self,
        w_hh: &PackedMatrix<T>,
        bias_n: &[T],
        part: ForwardPart<'_, T>,
    ) -> Result<(), KernelError> {
        let (cpu, hidden) = (self.cpu, self.gru.hidden);
        let ForwardPart { lengths, h0, gates, kept, y, h_last } = part;
        let schedule = Schedule::new(lengths, self.gru.reverse);
        scratch::with(4 * lengths.len() * hidden, |buffer: &mut [T]| {
            let (state, recurrent) = buffer.split_at_mut(lengths.len() * hidden);
            schedule.load(hidden, h0, state);
            for step in 0..schedule.steps() {
                let alive = schedule.alive(step);
                let states = Matrix::rows(&*state, alive, hidden);
                matmul_packed(cpu, states, w_hh, recurrent, 3 * hidden, false)?;
                let rows = state.chunks_exact_mut(hidden).zip(recurrent.chunks(3 * hidden));
                for (place, (state, recurrent)) in rows.take(alive).enumerate() {
                    let row = schedule.row(place, step);
                    let gates = &mut gates[row * 3 * hidden..][..3 * hidden];
                    let kept = &mut kept[row * hidden..][..hidden];
                    gates::after(cpu, gates, kept, recurrent, bias_n, state);
                    y[row * hidden..][..hidden].copy_from_slice(state);
                }
            }
            schedule.store(hidden, state, h_last);
            Ok(())
        })
    }

    pub(super) fn before(
        &self,
        weights: RecurrentWeights<'_, T>,
        parts: Vec<ForwardPart<'_, T>>,
    ) -> Result<(), KernelError> {
        let (cpu, hidden) = (self.cpu, self.gru.hidden);
        let (w_rz, w_n) = weights.w_hh.split_at(2 * hidden * hidden);
        let w_rz = Matrix::rows(w_rz, 2 * hidden, hidden).transposed();
        let w_n = Matrix::rows(w_n, hidden, hidden).transposed();
        let whole = |rz: &PackedMatrix<T>, n: &PackedMatrix<T>| {
            parts.into_par_iter().try_for_each(|part| self.part_before(rz, n, part))
        };
        match self.packed {
            [rz, n] => whole(rz, n),
            _ => PackedMatrix::lend(cpu, w_rz, |rz| PackedMatrix::lend(cpu, w_n, |n| whole(rz, n))),
        }
    }

    fn part_before(
        &self,
        w_rz: &PackedMatrix<T>,
        w_n: &PackedMatrix<T>,
        part: ForwardPart<'_, T>,
    ) -> Result<(), KernelError> {
        let (cpu, hidden) = (self.cpu, self.gru.hidden);
        let ForwardPart { lengths, h0, gates, kept, y, h_last } = part;
        let schedule = Schedule::new(lengths, self.gru.reverse);
        let size = lengths.len() * hidden;
        scratch::with(5 * size, |buffer: &mut [T]| {
            let (state, rest) = buffer.split_at_mut(size);
            let (recurrent, rest) = rest.split_at_mut(2 * size);
            let (reset_states, product) = rest.split_at_mut(size);
            schedule.load(hidden, h0, state);
            for step in 0..schedule.steps() {
                let alive = schedule.alive(step);
                let states = Matrix::rows(&*state, alive, hidden);
                matmul_packed(cpu, states, w_rz, recurrent, 2 * hidden, false)?;
                for place in 0..alive {
                    let row = schedule.row(place, step);
                    let gates = &mut gates[row * 3 * hidden..][..3 * hidden];
                    let kept = &mut kept[row * hidden..][..hidden];
                    let recurrent = &recurrent[place * 2 * hidden..][..2 * hidden];
                    let state = &state[place * hidden..][..hidden];
                    gates::before_reset(cpu, gates, kept, recurrent, state);
                    reset_states[place * hidden..][..hidden].copy_from_slice(kept);
                }
                let states = Matrix::rows(&*reset_states, alive, hidden);
                matmul_packed(cpu, states, w_n, product, hidden, false)?;
                let rows = state.chunks_exact_mut(hidden).zip(product.chunks(hidden));
                for (place, (state, product)) in rows.take(alive).enumerate() {
                    let row = schedule.row(place, step);
                    let gates = &mut gates[row * 3 * hidden..][..3 * hidden];
                    gates::before_new(cpu, gates, product, state);
                    y[row * hidden..][..hidden].copy_from_slice(state);
                }
            }
            schedule.store(hidden, state, h_last);
            Ok(())
        })
    }
}

/// What the backward pass of a few neighbouring utterances reads and writes. Slices that are only
/// read may go on behind the part.
pub(super) struct BackwardPart<'a, T> {
    pub lengths: &'a [usize],
    pub h0: Option<&'a [T]>,
    pub y: &'a [T],
    pub gates: &'a [T],
    pub kept: &'a [T],
    pub dy: &'a [T],
    /// `[rows, H]`: receives the state before each step.
    pub previous: &'a mut [T],
    /// `[rows, 4H]`: receives the gradients of the gates' sums.
    pub d_gates: &'a mut [T],
    pub dh0: Option<&'a mut [T]>,
}

impl<T: Real> BackwardPart<'_, T> {
    /// What a step at `row` reads: the gates, q or p, the state before, and dy.
    fn at(&self, hidden: usize, row: usize) -> (&[T], &[T], &[T], &[T]) {
        (
            &self.gates[row * 3 * hidden..][..3 * hidden],
            &self.kept[row * hidden..][..hidden],
            &self.previous[row * hidden..][..hidden],
            &self.dy[row * hidden..][..hidden],
        )
    }
}

/// The recurrence backward in time.
pub(super) struct Backward<'a> {
    pub gru: &'a Gru,
    pub cpu: Cpu,
}

impl Backward<'_> {
    pub(super) fn after<T: Real>(
        &self,
        weights: RecurrentWeights<'_, T>,
        parts: Vec<BackwardPart<'_, T>>,
    ) -> Result<(), KernelError> {
        let hidden = self.gru.hidden;
        let w_hh = Matrix::rows(weights.w_hh, 3 * hidden, hidden);
        PackedMatrix::lend(self.cpu, w_hh, |w_hh| {
            parts.into_par_iter().try_for_each(|part| self.part_after(w_hh, part))
        })
    }

    fn part_after<T: Real>(
        &self,
        w_hh: &PackedMatrix<T>,
        mut part: BackwardPart<'_, T>,
    ) -> Result<(), KernelError> {
        let (cpu, hidden) = (self.cpu, self.gru.hidden);
        let schedule = Schedule::new(part.lengths, self.gru.reverse);
        schedule.previous_states(hidden, part.h0, part.y, part.previous);
        let size = part.lengths.len() * hidden;
        scratch::with(4 * size, |buffer: &mut [T]| {
            let (carry, steps) = buffer.split_at_mut(size);
            carry.fill(T::ZERO);
            // Taken out, so that the rest of the part can be read beside it.
            let d_gates = std::mem::take(&mut part.d_gates);
            // ANCHOR: step
            for step in (0..schedule.steps()).rev() {
                let alive = schedule.alive(step);
                let rows = carry.chunks_exact_mut(hidden).zip(steps.chunks_mut(3 * hidden));
                for (place, (carry, step_gates)) in rows.take(alive).enumerate() {
                    let row = schedule.row(place, step);
                    let (gates, kept, previous, dy) = part.at(hidden, row);
                    let d = &mut d_gates[row * 4 * hidden..][..4 * hidden];
                    gates::after_backward(cpu, gates, kept, previous, dy, carry, d, step_gates);
                }
                let steps = Matrix::rows(&*steps, alive, 3 * hidden);
                matmul_packed(cpu, steps, w_hh, carry, hidden, true)?;
            }
            // ANCHOR_END: step
            schedule.store(hidden, carry, part.dh0);
            Ok(())
        })
    }

    pub(super) fn before<T: Real>(
        &self,
        weights: RecurrentWeights<'_, T>,
        parts: Vec<BackwardPart<'_, T>>,
    ) -> Result<(), KernelError> {
        let (cpu, hidden) = (self.cpu, self.gru.hidden);
        let (w_rz, w_n) = weights.w_hh.split_at(2 * hidden * hidden);
        let w_rz = Matrix::rows(w_rz, 2 * hidden, hidden);
        let w_n = Matrix::rows(w_n, hidden, hidden);
        let whole = |rz: &PackedMatrix<T>, n: &PackedMatrix<T>| {
            parts.into_par_iter().try_for_each(|part| self.part_before(rz, n, part))
        };
        PackedMatrix::lend(cpu, w_rz, |rz| PackedMatrix::lend(cpu, w_n, |n| whole(rz, n)))
    }

    fn part_before<T: Real>(
        &self,
        w_rz: &PackedMatrix<T>,
        w_n: &PackedMatrix<T>,
        mut part: BackwardPart<'_, T>,
    ) -> Result<(), KernelError> {
        let (cpu, hidden) = (self.cpu, self.gru.hidden);
        let schedule = Schedule::new(part.lengths, self.gru.reverse);
        schedule.previous_states(hidden, part.h0, part.y, part.previous);
        let size = part.lengths.len() * hidden;
        scratch::with(5 * size, |buffer: &mut [T]| {
            let (carry, rest) = buffer.split_at_mut(size);
            let (steps_rz, rest) = rest.split_at_mut(2 * size);
            let (steps_n, products) = rest.split_at_mut(size);
            carry.fill(T::ZERO);
            let d_gates = std::mem::take(&mut part.d_gates);
            for step in (0..schedule.steps()).rev() {
                let alive = schedule.alive(step);
                for (place, carry) in carry.chunks_exact_mut(hidden).take(alive).enumerate() {
                    let row = schedule.row(place, step);
                    let (gates, _, previous, dy) = part.at(hidden, row);
                    let d = &mut d_gates[row * 4 * hidden..][..4 * hidden];
                    let step_n = &mut steps_n[place * hidden..][..hidden];
                    gates::before_new_backward(cpu, gates, previous, dy, carry, d, step_n);
                }
                let steps = Matrix::rows(&*steps_n, alive, hidden);
                matmul_packed(cpu, steps, w_n, products, hidden, false)?;
                for (place, carry) in carry.chunks_exact_mut(hidden).take(alive).enumerate() {
                    let row = schedule.row(place, step);
                    let (gates, _, previous, _) = part.at(hidden, row);
                    let d = &mut d_gates[row * 4 * hidden..][..4 * hidden];
                    let product = &products[place * hidden..][..hidden];
                    let step_rz = &mut steps_rz[place * 2 * hidden..][..2 * hidden];
                    gates::before_reset_backward(cpu, gates, previous, product, carry, d, step_rz);
                }
                let steps = Matrix::rows(&*steps_rz, alive, 2 * hidden);
                matmul_packed(cpu, steps, w_rz, carry, hidden, true)?;
            }
            schedule.store(hidden, carry, part.dh0);
            Ok(())
        })
    }
}
