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
//! Ragged batches are computed longest first and may be cut for threads ([`crate::recurrent`]); since
//! a row's sums do not depend on its company, neither changes a bit of the result.
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
use recurrence::{Backward, BackwardPart, Forward, ForwardPart};

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

const FORWARD: &str = "GRU";
const BACKWARD: &str = "gradient of the GRU";

impl Gru {
    /// Elements that [`Gru::forward`] keeps for [`Gru::backward`]: for each row the three gates and
    /// q (reset after) or p (reset before).
    pub fn saved_len(&self, rows: usize) -> usize {
        rows.saturating_mul(self.hidden).saturating_mul(4)
    }

    fn sizes(&self) -> Sizes {
        Sizes { input: self.input, hidden: self.hidden, blocks: 3 }
    }

    /// Checks what both directions of the computation share; the number of rows.
    fn check<T>(
        &self,
        operation: &'static str,
        x: &[T],
        lengths: &[usize],
        weights: &RecurrentWeights<'_, T>,
        h0: Option<&[T]>,
        saved: usize,
    ) -> Result<usize, KernelError> {
        let RecurrentWeights { w_ih, w_hh, b_ih, b_hh } = *weights;
        let rows = self.sizes().check(operation, x, lengths, [w_ih, w_hh, b_ih, b_hh])?;
        if let Some(h0) = h0 {
            check_size(operation, "h0", h0.len(), lengths.len() * self.hidden)?;
        }
        check_size(operation, "saved", saved, self.saved_len(rows))?;
        Ok(rows)
    }

    /// How many gates share a product with the state.
    fn state_blocks(&self) -> &'static [usize] {
        match self.variant {
            GruVariant::ResetAfter => &[3],
            GruVariant::ResetBefore => &[2, 1],
        }
    }

    /// The weights as [`Gru::forward_packed`] reads them.
    ///
    /// # Errors
    /// [`KernelError`] when a slice does not fit its shape.
    pub fn pack<T: Real>(
        &self,
        cpu: Cpu,
        weights: RecurrentWeights<'_, T>,
    ) -> Result<Vec<PackedMatrix<T>>, KernelError> {
        self.sizes().pack(FORWARD, cpu, &weights, self.state_blocks())
    }

    /// Runs the layer: `x` `[rows, I]`, utterance after utterance as `lengths` says; `h0` `[batch, H]`
    /// or zeros; `y` `[rows, H]`; `saved` [`Gru::saved_len`]; `h_last` `[batch, H]`, the state after
    /// the last step of each utterance (with `reverse`, after its first frame).
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
        h0: Option<&[T]>,
        y: &mut [T],
        saved: &mut [T],
        h_last: Option<&mut [T]>,
    ) -> Result<(), KernelError> {
        self.forward_packed(cpu, x, lengths, weights, &[], h0, y, saved, h_last)
    }

    /// The same bytes as [`Gru::forward`] by weights laid out once ([`Gru::pack`]): for calls of a few frames, where
    /// laying them out would cost more than the products. `packed` may be empty, and is then laid out for the call.
    ///
    /// # Errors
    /// As [`Gru::forward`], and [`KernelError::PackedForOther`].
    #[allow(clippy::too_many_arguments)]
    pub fn forward_packed<T: Real>(
        &self,
        cpu: Cpu,
        x: &[T],
        lengths: &[usize],
        weights: RecurrentWeights<'_, T>,
        packed: &[PackedMatrix<T>],
        h0: Option<&[T]>,
        y: &mut [T],
        saved: &mut [T],
        h_last: Option<&mut [T]>,
    ) -> Result<(), KernelError> {
        self.sizes().check_packed(FORWARD, cpu, packed, self.state_blocks())?;
        let rows = self.check(FORWARD, x, lengths, &weights, h0, saved.len())?;
        let (hidden, batch) = (self.hidden, lengths.len());
        check_size(FORWARD, "y", y.len(), rows * hidden)?;
        if let Some(h_last) = &h_last {
            check_size(FORWARD, "h_last", h_last.len(), batch * hidden)?;
        }
        let (gates, kept) = saved.split_at_mut(rows * 3 * hidden);

        // The input's share of all sums, with every bias that stands outside of q.
        scratch::with(3 * hidden, |bias: &mut [T]| {
            bias.copy_from_slice(weights.b_ih);
            let outside = match self.variant {
                GruVariant::ResetAfter => 2 * hidden,
                GruVariant::ResetBefore => 3 * hidden,
            };
            vector::add(cpu, &weights.b_hh[..outside], &mut bias[..outside]);
            self.sizes().input_product(cpu, x, weights.w_ih, packed.first(), bias, gates)
        })?;

        let parts = parts(lengths, rayon::current_num_threads());
        let mut gates = split_rows(gates, &parts, 3 * hidden).into_iter();
        let mut kept = split_rows(kept, &parts, hidden).into_iter();
        let mut y = split_rows(y, &parts, hidden).into_iter();
        let mut h_last = split_states(h_last, &parts, hidden).into_iter();
        let mut work = Vec::with_capacity(parts.len());
        for part in &parts {
            let (Some(gates), Some(kept), Some(y), Some(h_last)) =
                (gates.next(), kept.next(), y.next(), h_last.next())
            else {
                break;
            };
            work.push(ForwardPart {
                lengths: &lengths[part.utterances.clone()],
                h0: h0.map(|h0| &h0[part.utterances.start * hidden..]),
                gates,
                kept,
                y,
                h_last,
            });
        }
        let run = Forward { gru: self, cpu, packed: packed.get(1..).unwrap_or_default() };
        match self.variant {
            GruVariant::ResetAfter => run.after(weights, work),
            GruVariant::ResetBefore => run.before(weights, work),
        }
    }

    /// Gradients of [`Gru::forward`] from `dy` `[rows, H]`, with `y` and `saved` as it left them: `dx`
    /// `[rows, I]` and `dh0` `[batch, H]` are overwritten, `gradients` are added to.
    ///
    /// Rayon's threads share the work as in [`Gru::forward`]; the sums over the rows depend on the number
    /// of rows alone.
    ///
    /// # Errors
    /// As for [`Gru::forward`].
    #[allow(clippy::too_many_arguments)]
    pub fn backward<T: Real>(
        &self,
        cpu: Cpu,
        x: &[T],
        lengths: &[usize],
        weights: RecurrentWeights<'_, T>,
        h0: Option<&[T]>,
        y: &[T],
        saved: &[T],
        dy: &[T],
        dx: &mut [T],
        gradients: RecurrentGradients<'_, T>,
        dh0: Option<&mut [T]>,
    ) -> Result<(), KernelError> {
        let rows = self.check(BACKWARD, x, lengths, &weights, h0, saved.len())?;
        let (input, hidden, batch) = (self.input, self.hidden, lengths.len());
        check_size(BACKWARD, "y", y.len(), rows * hidden)?;
        check_size(BACKWARD, "dy", dy.len(), rows * hidden)?;
        check_size(BACKWARD, "dx", dx.len(), rows * input)?;
        let RecurrentGradients { w_ih: dw_ih, w_hh: dw_hh, b_ih: db_ih, b_hh: db_hh } = gradients;
        let sizes = self.sizes();
        sizes.check_gradients(BACKWARD, [dw_ih, dw_hh, db_ih, db_hh])?;
        if let Some(dh0) = &dh0 {
            check_size(BACKWARD, "dh0", dh0.len(), batch * hidden)?;
        }
        let parts = parts(lengths, rayon::current_num_threads());
        scratch::with(rows * hidden, |previous: &mut [T]| {
            scratch::with(rows * 4 * hidden, |d_gates: &mut [T]| {
                let mut pieces = split_rows(d_gates, &parts, 4 * hidden).into_iter();
                let mut states = split_rows(previous, &parts, hidden).into_iter();
                let mut dh0 = split_states(dh0, &parts, hidden).into_iter();
                let mut work = Vec::with_capacity(parts.len());
                let (gates, kept) = saved.split_at(rows * 3 * hidden);
                for part in &parts {
                    let (Some(d_gates), Some(previous), Some(dh0)) =
                        (pieces.next(), states.next(), dh0.next())
                    else {
                        break;
                    };
                    let first = part.rows.start;
                    work.push(BackwardPart {
                        lengths: &lengths[part.utterances.clone()],
                        h0: h0.map(|h0| &h0[part.utterances.start * hidden..]),
                        y: &y[first * hidden..],
                        gates: &gates[first * 3 * hidden..],
                        kept: &kept[first * hidden..],
                        dy: &dy[first * hidden..],
                        previous,
                        d_gates,
                        dh0,
                    });
                }
                let run = Backward { gru: self, cpu };
                match self.variant {
                    GruVariant::ResetAfter => run.after(weights, work)?,
                    GruVariant::ResetBefore => run.before(weights, work)?,
                }

                // d_gates is [rows, 4H]: da_r, da_z, da_n, and dq where the reset comes after.
                sizes.input_gradients(cpu, d_gates, x, weights.w_ih, dx, dw_ih)?;
                let (dw_rz, dw_n) = dw_hh.split_at_mut(2 * hidden * hidden);
                let states = Matrix::rows(previous, rows, hidden);
                let d_rz = sizes.columns(d_gates, 0, 2).transposed();
                matmul(cpu, d_rz, states, dw_rz, hidden, true)?;
                let (block, times) = match self.variant {
                    GruVariant::ResetAfter => (3, &*previous),
                    GruVariant::ResetBefore => (2, kept),
                };
                let times = Matrix::rows(times, rows, hidden);
                let d_n = sizes.columns(d_gates, block, 1).transposed();
                matmul(cpu, d_n, times, dw_n, hidden, true)?;
                sizes.with_column_sums(cpu, d_gates, |sums| {
                    vector::add(cpu, &sums[..3 * hidden], db_ih);
                    let (db_rz, db_n) = db_hh.split_at_mut(2 * hidden);
                    vector::add(cpu, &sums[..2 * hidden], db_rz);
                    vector::add(cpu, &sums[block * hidden..][..hidden], db_n);
                });
                Ok(())
            })
        })
    }
}
