//! The long short-term memory, one direction, over ragged batches.
//!
//! Sources: Hochreiter and Schmidhuber, "Long Short-Term Memory" (Neural Computation 9, 1997); the
//! forget gate is that of Gers, Schmidhuber and Cummins, "Learning to Forget" (Neural Computation 12,
//! 2000). Without peepholes, as in cuDNN and PyTorch.
//!
//! Forward, from the state (h, c) to (h', c'), with σ the logistic function and ∘ element by element;
//! every gate g has the sum a_g = W_ig x + b_ig + W_hg h + b_hg:
//!
//! ```text
//! i = σ(a_i)   f = σ(a_f)   g = tanh(a_g)   o = σ(a_o)
//! c' = f ∘ c + i ∘ g
//! h' = o ∘ tanh(c')
//! ```
//!
//! Backward. Let d· stand for ∂L/∂·; dh' is what the output and the following step hand back, dc⁺ what
//! the following step hands back for c'. With t = tanh(c'):
//!
//! ```text
//! dc'  = dc⁺ + dh' ∘ o ∘ (1 − t²)
//! da_i = dc' ∘ g ∘ i ∘ (1 − i)     da_f = dc' ∘ c ∘ f ∘ (1 − f)
//! da_g = dc' ∘ i ∘ (1 − g²)        da_o = dh' ∘ t ∘ o ∘ (1 − o)
//! dc   = f ∘ dc'
//! dh   = Σ W_h·ᵀ da_·              dx = Σ W_i·ᵀ da_·
//! dW_i· = Σ da_· xᵀ,  dW_h· = Σ da_· hᵀ,  db_i· = db_h· = Σ da_·   over all frames
//! ```
//!
//! t is computed once more instead of being kept: a fifth of what the layer keeps against one
//! exponential. Products and ragged batches are those of [`crate::recurrent`], as for the GRU.
//!
//! Book: book/src/recurrent.md

mod gates;
mod recurrence;
#[cfg(test)]
mod tests;

use crate::cpu::Cpu;
use crate::error::{KernelError, check_size};
use crate::matmul::{Matrix, PackedMatrix, matmul};
use crate::real::Real;
use crate::recurrent::{
    RecurrentGradients, RecurrentWeights, Sizes, parts, split_rows, split_states,
};
use crate::{scratch, vector};
use recurrence::{BackwardPart, ForwardPart};

/// The shape of an LSTM layer in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lstm {
    /// Size of an input frame (I).
    pub input: usize,
    /// Size of the state h and of the cell c (H).
    pub hidden: usize,
    /// Runs from the last frame of each utterance to the first.
    pub reverse: bool,
}

/// A state that goes in.
#[derive(Debug, Clone, Copy)]
pub struct LstmState<'a, T> {
    /// The output, `[batch, H]`.
    pub h: &'a [T],
    /// The cell, `[batch, H]`.
    pub c: &'a [T],
}

/// A state, or the gradient of one, that comes out.
#[derive(Debug)]
pub struct LstmStateMut<'a, T> {
    /// The output, `[batch, H]`.
    pub h: &'a mut [T],
    /// The cell, `[batch, H]`.
    pub c: &'a mut [T],
}

const FORWARD: &str = "LSTM";
const BACKWARD: &str = "gradient of the LSTM";

impl Lstm {
    /// Elements that [`Lstm::forward`] keeps for [`Lstm::backward`]: for each row the four gates and
    /// the cell.
    pub fn saved_len(&self, rows: usize) -> usize {
        rows.saturating_mul(self.hidden).saturating_mul(5)
    }

    fn sizes(&self) -> Sizes {
        Sizes { input: self.input, hidden: self.hidden, blocks: 4 }
    }

    /// Checks what both directions of the computation share; the number of rows.
    fn check<T>(
        &self,
        operation: &'static str,
        x: &[T],
        lengths: &[usize],
        weights: &RecurrentWeights<'_, T>,
        initial: Option<&LstmState<'_, T>>,
        saved: usize,
    ) -> Result<usize, KernelError> {
        let RecurrentWeights { w_ih, w_hh, b_ih, b_hh } = *weights;
        let rows = self.sizes().check(operation, x, lengths, [w_ih, w_hh, b_ih, b_hh])?;
        if let Some(LstmState { h, c }) = initial {
            check_size(operation, "h0", h.len(), lengths.len() * self.hidden)?;
            check_size(operation, "c0", c.len(), lengths.len() * self.hidden)?;
        }
        check_size(operation, "saved", saved, self.saved_len(rows))?;
        Ok(rows)
    }

    /// The weights as [`Lstm::forward_packed`] reads them.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit its shape.
    pub fn pack<T: Real>(
        &self,
        cpu: Cpu,
        weights: RecurrentWeights<'_, T>,
    ) -> Result<Vec<PackedMatrix<T>>, KernelError> {
        self.sizes().pack(FORWARD, cpu, &weights, &[4])
    }

    /// Runs the layer: `x` `[rows, I]`, utterance after utterance as `lengths` says; `initial` or zeros;
    /// `y` `[rows, H]`; `saved` [`Lstm::saved_len`]; `last`, the state after the last step of each
    /// utterance (with `reverse`, after its first frame).
    ///
    /// The product with the input uses rayon's threads; so does the recurrence where the batch is large
    /// enough to be cut.
    ///
    /// # Errors
    /// [`KernelError`] for an empty batch, a length of 0 or a slice that does not fit its shape;
    /// nothing is then written.
    #[allow(clippy::too_many_arguments)]
    pub fn forward<T: Real>(
        &self,
        cpu: Cpu,
        x: &[T],
        lengths: &[usize],
        weights: RecurrentWeights<'_, T>,
        initial: Option<LstmState<'_, T>>,
        y: &mut [T],
        saved: &mut [T],
        last: Option<LstmStateMut<'_, T>>,
    ) -> Result<(), KernelError> {
        self.forward_packed(cpu, x, lengths, weights, &[], initial, y, saved, last)
    }

    /// The same bytes as [`Lstm::forward`] by weights laid out once ([`Lstm::pack`]): for calls of a few frames, where
    /// laying them out would cost more than the products. `packed` may be empty, and is then laid out for the call.
    ///
    /// # Errors
    /// As [`Lstm::forward`], and [`KernelError::PackedForOther`].
    #[allow(clippy::too_many_arguments)]
    pub fn forward_packed<T: Real>(
        &self,
        cpu: Cpu,
        x: &[T],
        lengths: &[usize],
        weights: RecurrentWeights<'_, T>,
        packed: &[PackedMatrix<T>],
        initial: Option<LstmState<'_, T>>,
        y: &mut [T],
        saved: &mut [T],
        last: Option<LstmStateMut<'_, T>>,
    ) -> Result<(), KernelError> {
        self.sizes().check_packed(FORWARD, cpu, packed, &[4])?;
        let rows = self.check(FORWARD, x, lengths, &weights, initial.as_ref(), saved.len())?;
        let (hidden, batch) = (self.hidden, lengths.len());
        check_size(FORWARD, "y", y.len(), rows * hidden)?;
        let (h_last, c_last) = match last {
            Some(LstmStateMut { h, c }) => (Some(h), Some(c)),
            None => (None, None),
        };
        for (what, state) in [("h_last", &h_last), ("c_last", &c_last)] {
            if let Some(state) = state {
                check_size(FORWARD, what, state.len(), batch * hidden)?;
            }
        }
        let (gates, cells) = saved.split_at_mut(rows * 4 * hidden);
        scratch::with(4 * hidden, |bias: &mut [T]| {
            bias.copy_from_slice(weights.b_ih);
            vector::add(cpu, weights.b_hh, bias);
            self.sizes().input_product(cpu, x, weights.w_ih, packed.first(), bias, gates)
        })?;

        let parts = parts(lengths, rayon::current_num_threads());
        let mut gates = split_rows(gates, &parts, 4 * hidden).into_iter();
        let mut cells = split_rows(cells, &parts, hidden).into_iter();
        let mut y = split_rows(y, &parts, hidden).into_iter();
        let mut h_last = split_states(h_last, &parts, hidden).into_iter();
        let mut c_last = split_states(c_last, &parts, hidden).into_iter();
        let mut work = Vec::with_capacity(parts.len());
        for part in &parts {
            let (Some(gates), Some(cells), Some(y)) = (gates.next(), cells.next(), y.next()) else {
                break;
            };
            let first = part.utterances.start * hidden;
            work.push(ForwardPart {
                lengths: &lengths[part.utterances.clone()],
                h0: initial.map(|initial| &initial.h[first..]),
                c0: initial.map(|initial| &initial.c[first..]),
                gates,
                cells,
                y,
                h_last: h_last.next().flatten(),
                c_last: c_last.next().flatten(),
            });
        }
        recurrence::forward(self, cpu, weights.w_hh, packed.get(1), work)
    }

    /// Gradients of [`Lstm::forward`] from `dy` `[rows, H]`, with `y` and `saved` as it left them: `dx`
    /// `[rows, I]` and `d_initial` are overwritten, `gradients` are added to.
    ///
    /// Rayon's threads share the work as in [`Lstm::forward`]; the sums over the rows depend on the
    /// number of rows alone.
    ///
    /// # Errors
    /// As for [`Lstm::forward`].
    #[allow(clippy::too_many_arguments)]
    pub fn backward<T: Real>(
        &self,
        cpu: Cpu,
        x: &[T],
        lengths: &[usize],
        weights: RecurrentWeights<'_, T>,
        initial: Option<LstmState<'_, T>>,
        y: &[T],
        saved: &[T],
        dy: &[T],
        dx: &mut [T],
        gradients: RecurrentGradients<'_, T>,
        d_initial: Option<LstmStateMut<'_, T>>,
    ) -> Result<(), KernelError> {
        let rows = self.check(BACKWARD, x, lengths, &weights, initial.as_ref(), saved.len())?;
        let (input, hidden, batch) = (self.input, self.hidden, lengths.len());
        check_size(BACKWARD, "y", y.len(), rows * hidden)?;
        check_size(BACKWARD, "dy", dy.len(), rows * hidden)?;
        check_size(BACKWARD, "dx", dx.len(), rows * input)?;
        let RecurrentGradients { w_ih: dw_ih, w_hh: dw_hh, b_ih: db_ih, b_hh: db_hh } = gradients;
        let sizes = self.sizes();
        sizes.check_gradients(BACKWARD, [dw_ih, dw_hh, db_ih, db_hh])?;
        let (dh0, dc0) = match d_initial {
            Some(LstmStateMut { h, c }) => (Some(h), Some(c)),
            None => (None, None),
        };
        for (what, state) in [("dh0", &dh0), ("dc0", &dc0)] {
            if let Some(state) = state {
                check_size(BACKWARD, what, state.len(), batch * hidden)?;
            }
        }
        let parts = parts(lengths, rayon::current_num_threads());
        scratch::with(rows * hidden, |previous: &mut [T]| {
            scratch::with(rows * 4 * hidden, |d_gates: &mut [T]| {
                let mut pieces = split_rows(d_gates, &parts, 4 * hidden).into_iter();
                let mut states = split_rows(previous, &parts, hidden).into_iter();
                let mut dh0 = split_states(dh0, &parts, hidden).into_iter();
                let mut dc0 = split_states(dc0, &parts, hidden).into_iter();
                let mut work = Vec::with_capacity(parts.len());
                let (gates, cells) = saved.split_at(rows * 4 * hidden);
                for part in &parts {
                    let (Some(d_gates), Some(previous)) = (pieces.next(), states.next()) else {
                        break;
                    };
                    let (row, utterance) = (part.rows.start, part.utterances.start);
                    work.push(BackwardPart {
                        lengths: &lengths[part.utterances.clone()],
                        h0: initial.map(|initial| &initial.h[utterance * hidden..]),
                        c0: initial.map(|initial| &initial.c[utterance * hidden..]),
                        y: &y[row * hidden..],
                        gates: &gates[row * 4 * hidden..],
                        cells: &cells[row * hidden..],
                        dy: &dy[row * hidden..],
                        previous,
                        d_gates,
                        dh0: dh0.next().flatten(),
                        dc0: dc0.next().flatten(),
                    });
                }
                recurrence::backward(self, cpu, weights.w_hh, work)?;

                sizes.input_gradients(cpu, d_gates, x, weights.w_ih, dx, dw_ih)?;
                let states = Matrix::rows(previous, rows, hidden);
                let d_gates_transposed = sizes.columns(d_gates, 0, 4).transposed();
                matmul(cpu, d_gates_transposed, states, dw_hh, hidden, true)?;
                sizes.with_column_sums(cpu, d_gates, |sums| {
                    vector::add(cpu, sums, db_ih);
                    vector::add(cpu, sums, db_hh);
                });
                Ok(())
            })
        })
    }
}
