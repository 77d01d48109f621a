//! The recurrence itself: the loops over time, forward and backward, of one part of a batch.
//!
//! The equations stand in the parent module, the loops over the hidden units in [`gates`].
//!
//! Book: book/src/recurrent.md

use rayon::prelude::*;

use super::{Lstm, gates};
use crate::cpu::Cpu;
use crate::error::KernelError;
use crate::matmul::{Matrix, PackedMatrix, matmul_packed};
use crate::real::Real;
use crate::recurrent::Schedule;
use crate::scratch;

/// What the forward pass of a few neighbouring utterances reads and writes. Slices that are only
/// read may go on behind the part.
pub(super) struct ForwardPart<'a, T> {
    pub lengths: &'a [usize],
    pub h0: Option<&'a [T]>,
    pub c0: Option<&'a [T]>,
    /// `[rows, 4H]`: the input's share, then i, f, g, o.
    pub gates: &'a mut [T],
    /// `[rows, H]`: receives c'.
    pub cells: &'a mut [T],
    pub y: &'a mut [T],
    pub h_last: Option<&'a mut [T]>,
    pub c_last: Option<&'a mut [T]>,
}

pub(super) fn forward<T: Real>(
    lstm: &Lstm,
    cpu: Cpu,
    w_hh: &[T],
    packed: Option<&PackedMatrix<T>>,
    parts: Vec<ForwardPart<'_, T>>,
) -> Result<(), KernelError> {
    let w_hh = Matrix::rows(w_hh, 4 * lstm.hidden, lstm.hidden).transposed();
    let whole = |w_hh: &PackedMatrix<T>| {
        parts.into_par_iter().try_for_each(|part| forward_part(lstm, cpu, w_hh, part))
    };
    match packed {
        Some(packed) => whole(packed),
        None => PackedMatrix::lend(cpu, w_hh, whole),
    }
}

fn forward_part<T: Real>(
    lstm: &Lstm,
    cpu: Cpu,
    w_hh: &PackedMatrix<T>,
    part: ForwardPart<'_, T>,
) -> Result<(), KernelError> {
    let hidden = lstm.hidden;
    let ForwardPart { lengths, h0, c0, gates, cells, y, h_last, c_last } = part;
    let schedule = Schedule::new(lengths, lstm.reverse);
    let size = lengths.len() * hidden;
    scratch::with(6 * size, |buffer: &mut [T]| {
        let (state, rest) = buffer.split_at_mut(size);
        let (cell, recurrent) = rest.split_at_mut(size);
        schedule.load(hidden, h0, state);
        schedule.load(hidden, c0, cell);
        for step in 0..schedule.steps() {
            let alive = schedule.alive(step);
            let states = Matrix::rows(&*state, alive, hidden);
            matmul_packed(cpu, states, w_hh, recurrent, 4 * hidden, false)?;
            let rows = state.chunks_exact_mut(hidden).zip(cell.chunks_exact_mut(hidden));
            let rows = rows.zip(recurrent.chunks(4 * hidden));
            for (place, ((state, cell), recurrent)) in rows.take(alive).enumerate() {
                let row = schedule.row(place, step);
                let gates = &mut gates[row * 4 * hidden..][..4 * hidden];
                gates::forward(cpu, gates, recurrent, cell, state);
                cells[row * hidden..][..hidden].copy_from_slice(cell);
                y[row * hidden..][..hidden].copy_from_slice(state);
            }
        }
        schedule.store(hidden, state, h_last);
        schedule.store(hidden, cell, c_last);
        Ok(())
    })
}

/// What the backward pass of a few neighbouring utterances reads and writes. Slices that are only
/// read may go on behind the part.
pub(super) struct BackwardPart<'a, T> {
    pub lengths: &'a [usize],
    pub h0: Option<&'a [T]>,
    pub c0: Option<&'a [T]>,
    pub y: &'a [T],
    pub gates: &'a [T],
    pub cells: &'a [T],
    pub dy: &'a [T],
    /// `[rows, H]`: receives the state h before each step.
    pub previous: &'a mut [T],
    /// `[rows, 4H]`: receives the gradients of the gates' sums.
    pub d_gates: &'a mut [T],
    pub dh0: Option<&'a mut [T]>,
    pub dc0: Option<&'a mut [T]>,
}

pub(super) fn backward<T: Real>(
    lstm: &Lstm,
    cpu: Cpu,
    w_hh: &[T],
    parts: Vec<BackwardPart<'_, T>>,
) -> Result<(), KernelError> {
    let w_hh = Matrix::rows(w_hh, 4 * lstm.hidden, lstm.hidden);
    PackedMatrix::lend(cpu, w_hh, |w_hh| {
        parts.into_par_iter().try_for_each(|part| backward_part(lstm, cpu, w_hh, part))
    })
}

fn backward_part<T: Real>(
    lstm: &Lstm,
    cpu: Cpu,
    w_hh: &PackedMatrix<T>,
    part: BackwardPart<'_, T>,
) -> Result<(), KernelError> {
    let hidden = lstm.hidden;
    let BackwardPart { lengths, h0, c0, y, gates, cells, dy, previous, d_gates, dh0, dc0 } = part;
    let schedule = Schedule::new(lengths, lstm.reverse);
    schedule.previous_states(hidden, h0, y, previous);
    let size = lengths.len() * hidden;
    scratch::with_zeros(6 * size + hidden, |buffer: &mut [T]| {
        let (carry, rest) = buffer.split_at_mut(size);
        let (carry_cell, rest) = rest.split_at_mut(size);
        let (steps, zeros) = rest.split_at_mut(4 * size);
        for step in (0..schedule.steps()).rev() {
            let alive = schedule.alive(step);
            for place in 0..alive {
                let row = schedule.row(place, step);
                gates::backward(
                    cpu,
                    &gates[row * 4 * hidden..][..4 * hidden],
                    &cells[row * hidden..][..hidden],
                    schedule.before(place, step, hidden, c0, cells).unwrap_or(zeros),
                    &dy[row * hidden..][..hidden],
                    &carry[place * hidden..][..hidden],
                    &mut carry_cell[place * hidden..][..hidden],
                    &mut d_gates[row * 4 * hidden..][..4 * hidden],
                    &mut steps[place * 4 * hidden..][..4 * hidden],
                );
            }
            let steps = Matrix::rows(&*steps, alive, 4 * hidden);
            matmul_packed(cpu, steps, w_hh, carry, hidden, false)?;
        }
        schedule.store(hidden, carry, dh0);
        schedule.store(hidden, carry_cell, dc0);
        Ok(())
    })
}
