//! The gated recurrent unit in both of its variants, one direction, over ragged batches.
//!
//! Sources: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014), which
//! resets the state before the product; Chung et al., "Empirical Evaluation of Gated Recurrent Neural
//! Networks" (2014); the variant that resets after the product is that of cuDNN and PyTorch.
//!
//! Forward, from the state h to h', with σ the logistic function and ∘ element by element:
//!
//! ```text
//! r = σ(a_r),  a_r = W_ir x + b_ir + W_hr h + b_hr
//! z = σ(a_z),  a_z = W_iz x + b_iz + W_hz h + b_hz
//! n = tanh(a_n)
//!   reset after:   a_n = W_in x + b_in + r ∘ q,  q = W_hn h + b_hn
//!   reset before:  a_n = W_in x + b_in + W_hn p + b_hn,  p = r ∘ h
//! h' = (1 − z) ∘ n + z ∘ h = n + z ∘ (h − n)
//! ```
//!
//! Backward. Let d· stand for ∂L/∂·; dh' is what the output and the following step hand back.
//!
//! ```text
//! da_z = dh' ∘ (h − n) ∘ z ∘ (1 − z)
//! da_n = dh' ∘ (1 − z) ∘ (1 − n²)
//!   reset after:   da_r = da_n ∘ q ∘ r ∘ (1 − r),   dq = da_n ∘ r
//!                  dh = z ∘ dh' + W_hrᵀ da_r + W_hzᵀ da_z + W_hnᵀ dq
//!   reset before:  dp = W_hnᵀ da_n,  da_r = dp ∘ h ∘ r ∘ (1 − r)
//!                  dh = z ∘ dh' + r ∘ dp + W_hrᵀ da_r + W_hzᵀ da_z
//! dx = W_irᵀ da_r + W_izᵀ da_z + W_inᵀ da_n
//! dW_i· = Σ da_· xᵀ,  db_i· = Σ da_·   over all frames
//! dW_hr = Σ da_r hᵀ,  dW_hz = Σ da_z hᵀ,  db_h likewise
//!   reset after:   dW_hn = Σ dq hᵀ,    db_hn = Σ dq
//!   reset before:  dW_hn = Σ da_n pᵀ,  db_hn = Σ da_n
//! ```
//!
//! So the input's share of all frames is one product before the recurrence, and all weight gradients
//! are a few products after it; only W_h h and its transpose stay inside. The weights of that product
//! are packed once per call.
//!
//! Ragged batches: step t computes the utterances that are longer than t and no others. Inside a call
//! the utterances are ordered by falling length, so that those are the first rows of the state; since a
//! row's sums do not depend on its company, the order and the mates change no bit of the result.

mod gates;
mod recurrence;
#[cfg(test)]
mod tests;

use crate::cpu::Cpu;
use crate::error::{KernelError, check_least, check_size, elements, total_rows};
use crate::matmul::{Matrix, matmul};
use crate::real::Real;
use crate::{scratch, vector};
use recurrence::{Backward, Forward, Schedule};

/// Where the reset gate acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GruVariant {
    /// On the product of the state with the weights (cuDNN, PyTorch).
    ResetAfter,
    /// On the state itself (Cho et al. 2014).
    ResetBefore,
}

/// The shape of a GRU layer in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gru {
    /// Size of an input frame (I).
    pub input: usize,
    /// Size of the state (H).
    pub hidden: usize,
    /// Runs from the last frame of each utterance to the first.
    pub reverse: bool,
    /// Where the reset gate acts.
    pub variant: GruVariant,
}

/// The weights in PyTorch's layout; gates in the order r, z, n.
#[derive(Debug, Clone, Copy)]
pub struct GruWeights<'a, T> {
    /// Input to gates, `[3H, I]`.
    pub w_ih: &'a [T],
    /// State to gates, `[3H, H]`.
    pub w_hh: &'a [T],
    /// Bias of the input's share, `[3H]`.
    pub b_ih: &'a [T],
    /// Bias of the state's share, `[3H]`.
    pub b_hh: &'a [T],
}

/// Where the gradients of [`GruWeights`] are added, in the same shapes.
#[derive(Debug)]
pub struct GruGradients<'a, T> {
    /// `[3H, I]`.
    pub w_ih: &'a mut [T],
    /// `[3H, H]`.
    pub w_hh: &'a mut [T],
    /// `[3H]`.
    pub b_ih: &'a mut [T],
    /// `[3H]`.
    pub b_hh: &'a mut [T],
}

const FORWARD: &str = "GRU";
const BACKWARD: &str = "gradient of the GRU";

impl Gru {
    /// Elements that [`Gru::forward`] keeps for [`Gru::backward`]: for each row the three gates and
    /// q (reset after) or p (reset before).
    pub fn saved_len(&self, rows: usize) -> usize {
        rows.saturating_mul(self.hidden).saturating_mul(4)
    }

    /// Checks what both directions of the computation share; the number of rows.
    fn check<T>(
        &self,
        operation: &'static str,
        x: &[T],
        lengths: &[usize],
        weights: &GruWeights<'_, T>,
        h0: Option<&[T]>,
        saved: usize,
    ) -> Result<usize, KernelError> {
        let (input, hidden) = (self.input, self.hidden);
        check_least(operation, "the input size", input, 1)?;
        check_least(operation, "the hidden size", hidden, 1)?;
        let rows = total_rows(operation, lengths)?;
        elements(operation, "saved", &[rows, hidden, 4])?;
        let gates = elements(operation, "the gates", &[3, hidden])?;
        check_size(operation, "x", x.len(), elements(operation, "x", &[rows, input])?)?;
        let w_ih = elements(operation, "w_ih", &[gates, input])?;
        check_size(operation, "w_ih", weights.w_ih.len(), w_ih)?;
        let w_hh = elements(operation, "w_hh", &[gates, hidden])?;
        check_size(operation, "w_hh", weights.w_hh.len(), w_hh)?;
        check_size(operation, "b_ih", weights.b_ih.len(), gates)?;
        check_size(operation, "b_hh", weights.b_hh.len(), gates)?;
        let states = elements(operation, "h0", &[lengths.len(), hidden])?;
        if let Some(h0) = h0 {
            check_size(operation, "h0", h0.len(), states)?;
        }
        check_size(operation, "saved", saved, self.saved_len(rows))?;
        Ok(rows)
    }

    /// Runs the layer: `x` `[rows, I]`, utterance after utterance as `lengths` says; `h0` `[batch, H]`
    /// or zeros; `y` `[rows, H]`; `saved` [`Gru::saved_len`]; `h_last` `[batch, H]`, the state after
    /// the last step of each utterance (with `reverse`, after its first frame).
    ///
    /// The product with the input uses rayon's threads; the recurrence runs on the calling thread.
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
        weights: GruWeights<'_, T>,
        h0: Option<&[T]>,
        y: &mut [T],
        saved: &mut [T],
        h_last: Option<&mut [T]>,
    ) -> Result<(), KernelError> {
        let rows = self.check(FORWARD, x, lengths, &weights, h0, saved.len())?;
        let (input, hidden, batch) = (self.input, self.hidden, lengths.len());
        check_size(FORWARD, "y", y.len(), rows * hidden)?;
        if let Some(h_last) = &h_last {
            check_size(FORWARD, "h_last", h_last.len(), batch * hidden)?;
        }
        let schedule = Schedule::new(lengths, self.reverse);
        let (gates, kept) = saved.split_at_mut(rows * 3 * hidden);

        // The input's share of all sums, with every bias that stands outside of q.
        scratch::with(3 * hidden, |bias: &mut [T]| {
            bias.copy_from_slice(weights.b_ih);
            let outside = match self.variant {
                GruVariant::ResetAfter => 2 * hidden,
                GruVariant::ResetBefore => 3 * hidden,
            };
            vector::add(cpu, &weights.b_hh[..outside], &mut bias[..outside]);
            vector::fill_rows(gates, bias);
        });
        let w_ih = Matrix::rows(weights.w_ih, 3 * hidden, input).transposed();
        matmul(cpu, Matrix::rows(x, rows, input), w_ih, gates, 3 * hidden, true)?;

        scratch::with(batch * hidden, |state: &mut [T]| {
            for (state, &utterance) in state.chunks_exact_mut(hidden).zip(&schedule.order) {
                match h0 {
                    Some(h0) => state.copy_from_slice(&h0[utterance * hidden..][..hidden]),
                    None => state.fill(T::ZERO),
                }
            }
            let run = Forward { gru: self, cpu, schedule: &schedule };
            match self.variant {
                GruVariant::ResetAfter => run.after(weights, gates, kept, state, y)?,
                GruVariant::ResetBefore => run.before(weights, gates, kept, state, y)?,
            }
            if let Some(h_last) = h_last {
                for (state, &utterance) in state.chunks_exact(hidden).zip(&schedule.order) {
                    h_last[utterance * hidden..][..hidden].copy_from_slice(state);
                }
            }
            Ok(())
        })
    }

    /// Gradients of [`Gru::forward`] from `dy` `[rows, H]`, with `y` and `saved` as it left them: `dx`
    /// `[rows, I]` and `dh0` `[batch, H]` are overwritten, `gradients` are added to.
    ///
    /// The recurrence runs on the calling thread, the products after it on rayon's; their sums over the
    /// rows depend on the number of rows alone.
    ///
    /// # Errors
    /// As for [`Gru::forward`].
    #[allow(clippy::too_many_arguments)]
    pub fn backward<T: Real>(
        &self,
        cpu: Cpu,
        x: &[T],
        lengths: &[usize],
        weights: GruWeights<'_, T>,
        h0: Option<&[T]>,
        y: &[T],
        saved: &[T],
        dy: &[T],
        dx: &mut [T],
        gradients: GruGradients<'_, T>,
        dh0: Option<&mut [T]>,
    ) -> Result<(), KernelError> {
        let rows = self.check(BACKWARD, x, lengths, &weights, h0, saved.len())?;
        let (input, hidden, batch) = (self.input, self.hidden, lengths.len());
        check_size(BACKWARD, "y", y.len(), rows * hidden)?;
        check_size(BACKWARD, "dy", dy.len(), rows * hidden)?;
        check_size(BACKWARD, "dx", dx.len(), rows * input)?;
        let GruGradients { w_ih: dw_ih, w_hh: dw_hh, b_ih: db_ih, b_hh: db_hh } = gradients;
        check_size(BACKWARD, "the gradient of w_ih", dw_ih.len(), weights.w_ih.len())?;
        check_size(BACKWARD, "the gradient of w_hh", dw_hh.len(), weights.w_hh.len())?;
        check_size(BACKWARD, "the gradient of b_ih", db_ih.len(), 3 * hidden)?;
        check_size(BACKWARD, "the gradient of b_hh", db_hh.len(), 3 * hidden)?;
        if let Some(dh0) = &dh0 {
            check_size(BACKWARD, "dh0", dh0.len(), batch * hidden)?;
        }
        let schedule = Schedule::new(lengths, self.reverse);

        scratch::with(rows * 4 * hidden, |d_gates: &mut [T]| {
            scratch::with(rows * hidden, |previous: &mut [T]| {
                schedule.previous_states(hidden, h0, y, previous);
                scratch::with_zeros(batch * hidden, |carry: &mut [T]| {
                    let run = Backward { gru: self, cpu, schedule: &schedule, saved, previous, dy };
                    match self.variant {
                        GruVariant::ResetAfter => run.after(weights, carry, d_gates)?,
                        GruVariant::ResetBefore => run.before(weights, carry, d_gates)?,
                    }
                    if let Some(dh0) = dh0 {
                        for (carry, &utterance) in carry.chunks_exact(hidden).zip(&schedule.order) {
                            dh0[utterance * hidden..][..hidden].copy_from_slice(carry);
                        }
                    }
                    Ok(())
                })?;

                // d_gates is [rows, 4H]: da_r, da_z, da_n, and dq where the reset comes after.
                let part = |first: usize, columns: usize| Matrix {
                    data: &d_gates[first * hidden..],
                    rows,
                    columns: columns * hidden,
                    row_stride: 4 * hidden,
                    column_stride: 1,
                };
                let w_ih = Matrix::rows(weights.w_ih, 3 * hidden, input);
                matmul(cpu, part(0, 3), w_ih, dx, input, false)?;
                let x = Matrix::rows(x, rows, input);
                matmul(cpu, part(0, 3).transposed(), x, dw_ih, input, true)?;
                vector::add_column_sums(cpu, d_gates, 4 * hidden, rows, db_ih);

                let (dw_rz, dw_n) = dw_hh.split_at_mut(2 * hidden * hidden);
                let states = Matrix::rows(previous, rows, hidden);
                matmul(cpu, part(0, 2).transposed(), states, dw_rz, hidden, true)?;
                let (db_rz, db_n) = db_hh.split_at_mut(2 * hidden);
                vector::add_column_sums(cpu, d_gates, 4 * hidden, rows, db_rz);
                let (column, times) = match self.variant {
                    GruVariant::ResetAfter => (3, &*previous),
                    GruVariant::ResetBefore => (2, &saved[rows * 3 * hidden..]),
                };
                let times = Matrix::rows(times, rows, hidden);
                matmul(cpu, part(column, 1).transposed(), times, dw_n, hidden, true)?;
                let d_new = &d_gates[column * hidden..];
                vector::add_column_sums(cpu, d_new, 4 * hidden, rows, db_n);
                Ok(())
            })
        })
    }
}
