//! The recurrence itself: which utterances compute at which step, and the loops over time.
//!
//! The equations stand in the parent module, the loops over the hidden units in [`gates`].

use super::{Gru, GruWeights, gates};
use crate::cpu::Cpu;
use crate::error::KernelError;
use crate::matmul::{Matrix, PackedMatrix, matmul_packed};
use crate::real::Real;
use crate::scratch;

/// In which order a ragged batch is computed.
pub(super) struct Schedule {
    /// Utterances by falling length; equal lengths keep their order.
    pub(super) order: Vec<usize>,
    /// First row of each utterance, in the order of `order`.
    first: Vec<usize>,
    /// Lengths in the order of `order`.
    lengths: Vec<usize>,
    reverse: bool,
}

impl Schedule {
    pub(super) fn new(lengths: &[usize], reverse: bool) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&utterance| std::cmp::Reverse(lengths[utterance]));
        let starts: Vec<usize> = lengths
            .iter()
            .scan(0, |next, &length| Some(std::mem::replace(next, *next + length)))
            .collect();
        Self {
            first: order.iter().map(|&utterance| starts[utterance]).collect(),
            lengths: order.iter().map(|&utterance| lengths[utterance]).collect(),
            order,
            reverse,
        }
    }

    fn steps(&self) -> usize {
        self.lengths.first().copied().unwrap_or(0)
    }

    /// How many utterances are longer than `step`; they are the first of the order.
    fn alive(&self, step: usize) -> usize {
        self.lengths.partition_point(|&length| length > step)
    }

    /// The row that the utterance at `place` of the order computes at `step`.
    fn row(&self, place: usize, step: usize) -> usize {
        debug_assert!(step < self.lengths[place]);
        let frame = if self.reverse { self.lengths[place] - 1 - step } else { step };
        self.first[place] + frame
    }

    /// For every row the state before its step: the neighbouring row of y, or the initial state.
    pub(super) fn previous_states<T: Real>(
        &self,
        hidden: usize,
        h0: Option<&[T]>,
        y: &[T],
        previous: &mut [T],
    ) {
        for (place, &utterance) in self.order.iter().enumerate() {
            for step in 0..self.lengths[place] {
                let target = &mut previous[self.row(place, step) * hidden..][..hidden];
                match (step, h0) {
                    (0, None) => target.fill(T::ZERO),
                    (0, Some(h0)) => target.copy_from_slice(&h0[utterance * hidden..][..hidden]),
                    _ => {
                        let row = self.row(place, step - 1);
                        target.copy_from_slice(&y[row * hidden..][..hidden]);
                    }
                }
            }
        }
    }
}

/// The forward recurrence.
pub(super) struct Forward<'a> {
    pub(super) gru: &'a Gru,
    pub(super) cpu: Cpu,
    pub(super) schedule: &'a Schedule,
}

impl Forward<'_> {
    pub(super) fn after<T: Real>(
        &self,
        weights: GruWeights<'_, T>,
        gates: &mut [T],
        kept: &mut [T],
        state: &mut [T],
        y: &mut [T],
    ) -> Result<(), KernelError> {
        let hidden = self.gru.hidden;
        let bias_n = &weights.b_hh[2 * hidden..];
        let w_hh = Matrix::rows(weights.w_hh, 3 * hidden, hidden).transposed();
        PackedMatrix::lend(self.cpu, w_hh, |w_hh| {
            scratch::with(3 * state.len(), |recurrent: &mut [T]| {
                for step in 0..self.schedule.steps() {
                    let alive = self.schedule.alive(step);
                    let states = Matrix::rows(&*state, alive, hidden);
                    matmul_packed(self.cpu, states, w_hh, recurrent, 3 * hidden, false)?;
                    let rows = state.chunks_exact_mut(hidden).zip(recurrent.chunks(3 * hidden));
                    for (place, (state, recurrent)) in rows.take(alive).enumerate() {
                        let row = self.schedule.row(place, step);
                        let gates = &mut gates[row * 3 * hidden..][..3 * hidden];
                        let kept = &mut kept[row * hidden..][..hidden];
                        gates::after(self.cpu, gates, kept, recurrent, bias_n, state);
                        y[row * hidden..][..hidden].copy_from_slice(state);
                    }
                }
                Ok(())
            })
        })
    }

    pub(super) fn before<T: Real>(
        &self,
        weights: GruWeights<'_, T>,
        gates: &mut [T],
        kept: &mut [T],
        state: &mut [T],
        y: &mut [T],
    ) -> Result<(), KernelError> {
        let (cpu, hidden) = (self.cpu, self.gru.hidden);
        let (w_rz, w_n) = weights.w_hh.split_at(2 * hidden * hidden);
        let w_rz = Matrix::rows(w_rz, 2 * hidden, hidden).transposed();
        let w_n = Matrix::rows(w_n, hidden, hidden).transposed();
        let mut whole = |packed_rz: &PackedMatrix<T>, packed_n: &PackedMatrix<T>| {
            scratch::with(4 * state.len(), |buffer: &mut [T]| {
                let (recurrent, rest) = buffer.split_at_mut(2 * state.len());
                let (reset_states, product) = rest.split_at_mut(state.len());
                for step in 0..self.schedule.steps() {
                    let alive = self.schedule.alive(step);
                    let states = Matrix::rows(&*state, alive, hidden);
                    matmul_packed(cpu, states, packed_rz, recurrent, 2 * hidden, false)?;
                    for place in 0..alive {
                        let row = self.schedule.row(place, step);
                        let gates = &mut gates[row * 3 * hidden..][..3 * hidden];
                        let kept = &mut kept[row * hidden..][..hidden];
                        let recurrent = &recurrent[place * 2 * hidden..][..2 * hidden];
                        let state = &state[place * hidden..][..hidden];
                        gates::before_reset(cpu, gates, kept, recurrent, state);
                        reset_states[place * hidden..][..hidden].copy_from_slice(kept);
                    }
                    let states = Matrix::rows(&*reset_states, alive, hidden);
                    matmul_packed(cpu, states, packed_n, product, hidden, false)?;
                    let rows = state.chunks_exact_mut(hidden).zip(product.chunks(hidden));
                    for (place, (state, product)) in rows.take(alive).enumerate() {
                        let row = self.schedule.row(place, step);
                        let gates = &mut gates[row * 3 * hidden..][..3 * hidden];
                        gates::before_new(cpu, gates, product, state);
                        y[row * hidden..][..hidden].copy_from_slice(state);
                    }
                }
                Ok(())
            })
        };
        PackedMatrix::lend(cpu, w_rz, |rz| PackedMatrix::lend(cpu, w_n, |n| whole(rz, n)))
    }
}

/// The recurrence backward in time.
pub(super) struct Backward<'a, T> {
    pub(super) gru: &'a Gru,
    pub(super) cpu: Cpu,
    pub(super) schedule: &'a Schedule,
    pub(super) saved: &'a [T],
    pub(super) previous: &'a [T],
    pub(super) dy: &'a [T],
}

impl<T: Real> Backward<'_, T> {
    /// What a step at `row` reads: the gates, q or p, the state before, and dy.
    fn at(&self, row: usize) -> (&[T], &[T], &[T], &[T]) {
        let hidden = self.gru.hidden;
        let rows = self.previous.len() / hidden;
        let (gates, kept) = self.saved.split_at(rows * 3 * hidden);
        (
            &gates[row * 3 * hidden..][..3 * hidden],
            &kept[row * hidden..][..hidden],
            &self.previous[row * hidden..][..hidden],
            &self.dy[row * hidden..][..hidden],
        )
    }

    pub(super) fn after(
        &self,
        weights: GruWeights<'_, T>,
        carry: &mut [T],
        d_gates: &mut [T],
    ) -> Result<(), KernelError> {
        let (cpu, hidden) = (self.cpu, self.gru.hidden);
        let w_hh = Matrix::rows(weights.w_hh, 3 * hidden, hidden);
        PackedMatrix::lend(cpu, w_hh, |w_hh| {
            scratch::with(3 * carry.len(), |steps: &mut [T]| {
                for step in (0..self.schedule.steps()).rev() {
                    let alive = self.schedule.alive(step);
                    let rows = carry.chunks_exact_mut(hidden).zip(steps.chunks_mut(3 * hidden));
                    for (place, (carry, step_gates)) in rows.take(alive).enumerate() {
                        let row = self.schedule.row(place, step);
                        let (gates, kept, previous, dy) = self.at(row);
                        let d = &mut d_gates[row * 4 * hidden..][..4 * hidden];
                        gates::after_backward(cpu, gates, kept, previous, dy, carry, d, step_gates);
                    }
                    let steps = Matrix::rows(&*steps, alive, 3 * hidden);
                    matmul_packed(cpu, steps, w_hh, carry, hidden, true)?;
                }
                Ok(())
            })
        })
    }

    pub(super) fn before(
        &self,
        weights: GruWeights<'_, T>,
        carry: &mut [T],
        d_gates: &mut [T],
    ) -> Result<(), KernelError> {
        let (cpu, hidden) = (self.cpu, self.gru.hidden);
        let (w_rz, w_n) = weights.w_hh.split_at(2 * hidden * hidden);
        let w_rz = Matrix::rows(w_rz, 2 * hidden, hidden);
        let w_n = Matrix::rows(w_n, hidden, hidden);
        let mut whole = |packed_rz: &PackedMatrix<T>, packed_n: &PackedMatrix<T>| {
            scratch::with(4 * carry.len(), |buffer: &mut [T]| {
                let (steps_rz, rest) = buffer.split_at_mut(2 * carry.len());
                let (steps_n, products) = rest.split_at_mut(carry.len());
                for step in (0..self.schedule.steps()).rev() {
                    let alive = self.schedule.alive(step);
                    for (place, carry) in carry.chunks_exact_mut(hidden).take(alive).enumerate() {
                        let row = self.schedule.row(place, step);
                        let (gates, _, previous, dy) = self.at(row);
                        let d = &mut d_gates[row * 4 * hidden..][..4 * hidden];
                        let step_n = &mut steps_n[place * hidden..][..hidden];
                        gates::before_new_backward(cpu, gates, previous, dy, carry, d, step_n);
                    }
                    let steps = Matrix::rows(&*steps_n, alive, hidden);
                    matmul_packed(cpu, steps, packed_n, products, hidden, false)?;
                    for (place, carry) in carry.chunks_exact_mut(hidden).take(alive).enumerate() {
                        let row = self.schedule.row(place, step);
                        let (gates, _, previous, _) = self.at(row);
                        let d = &mut d_gates[row * 4 * hidden..][..4 * hidden];
                        let product = &products[place * hidden..][..hidden];
                        let step_rz = &mut steps_rz[place * 2 * hidden..][..2 * hidden];
                        gates::before_reset_backward(
                            cpu, gates, previous, product, carry, d, step_rz,
                        );
                    }
                    let steps = Matrix::rows(&*steps_rz, alive, 2 * hidden);
                    matmul_packed(cpu, steps, packed_rz, carry, hidden, true)?;
                }
                Ok(())
            })
        };
        PackedMatrix::lend(cpu, w_rz, |rz| PackedMatrix::lend(cpu, w_n, |n| whole(rz, n)))
    }
}
