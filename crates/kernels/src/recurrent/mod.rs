//! What the recurrent layers share: their checks, the order of a ragged batch, and the products that
//! need no recurrence.
//!
//! The input's share of all sums is one product over all frames before the recurrence, and all weight
//! gradients are products over all frames after it; see the equations of each layer. Only the
//! product of the state with its weights stays inside the loop over time.
//!
//! Book: book/src/recurrent.md

mod schedule;

use crate::cpu::Cpu;
use crate::error::{KernelError, check_least, check_size, elements, total_rows};
use crate::matmul::{Matrix, PackedMatrix, matmul, matmul_packed};
use crate::real::Real;
use crate::{scratch, vector};
pub(crate) use schedule::{Schedule, parts, split_rows, split_states};

/// The weights of one direction in PyTorch's layout, for G gates: of a GRU r, z, n; of an LSTM
/// i, f, g, o.
#[derive(Debug, Clone, Copy)]
pub struct RecurrentWeights<'a, T> {
    /// Input to gates, `[G·H, I]`.
    pub w_ih: &'a [T],
    /// State to gates, `[G·H, H]`.
    pub w_hh: &'a [T],
    /// Bias of the input's share, `[G·H]`.
    pub b_ih: &'a [T],
    /// Bias of the state's share, `[G·H]`.
    pub b_hh: &'a [T],
}

/// Where the gradients of [`RecurrentWeights`] are added, in the same shapes.
#[derive(Debug)]
pub struct RecurrentGradients<'a, T> {
    /// `[G·H, I]`.
    pub w_ih: &'a mut [T],
    /// `[G·H, H]`.
    pub w_hh: &'a mut [T],
    /// `[G·H]`.
    pub b_ih: &'a mut [T],
    /// `[G·H]`.
    pub b_hh: &'a mut [T],
}

/// One direction's sizes: every recurrent layer has `blocks` gates of `hidden` units.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Of an input frame (I).
    pub input: usize,
    /// Of the state (H).
    pub hidden: usize,
    /// Gates (G): the weights are `[G·H, I]` and `[G·H, H]`, the biases `[G·H]`.
    pub blocks: usize,
}

impl Sizes {
    /// Checks all that forward and backward share; the number of rows.
    pub(crate) fn check<T>(
        self,
        operation: &'static str,
        x: &[T],
        lengths: &[usize],
        weights: [&[T]; 4],
    ) -> Result<usize, KernelError> {
        let Self { input, hidden, blocks } = self;
        check_least(operation, "the input size", input, 1)?;
        check_least(operation, "the hidden size", hidden, 1)?;
        let rows = total_rows(operation, lengths)?;
        // No layer keeps more for each unit than this; so no later size can overflow.
        elements(operation, "saved", &[rows, hidden, 8])?;
        let gates = elements(operation, "the gates", &[blocks, hidden])?;
        check_size(operation, "x", x.len(), elements(operation, "x", &[rows, input])?)?;
        let [w_ih, w_hh, b_ih, b_hh] = weights;
        check_size(operation, "w_ih", w_ih.len(), elements(operation, "w_ih", &[gates, input])?)?;
        check_size(operation, "w_hh", w_hh.len(), elements(operation, "w_hh", &[gates, hidden])?)?;
        check_size(operation, "b_ih", b_ih.len(), gates)?;
        check_size(operation, "b_hh", b_hh.len(), gates)?;
        elements(operation, "the states", &[lengths.len(), hidden])?;
        Ok(rows)
    }

    /// Checks the gradients' places against the weights.
    pub(crate) fn check_gradients<T>(
        self,
        operation: &'static str,
        gradients: [&[T]; 4],
    ) -> Result<(), KernelError> {
        let gates = self.blocks * self.hidden;
        let [w_ih, w_hh, b_ih, b_hh] = gradients;
        check_size(operation, "the gradient of w_ih", w_ih.len(), gates * self.input)?;
        check_size(operation, "the gradient of w_hh", w_hh.len(), gates * self.hidden)?;
        check_size(operation, "the gradient of b_ih", b_ih.len(), gates)?;
        check_size(operation, "the gradient of b_hh", b_hh.len(), gates)
    }

    /// The weights laid out for many calls: the input's, then the state's, which are `w_hh` cut into blocks of
    /// so many gates.
    pub(crate) fn pack<T: Real>(
        self,
        operation: &'static str,
        cpu: Cpu,
        weights: &RecurrentWeights<'_, T>,
        blocks: &[usize],
    ) -> Result<Vec<PackedMatrix<T>>, KernelError> {
        let RecurrentWeights { w_ih, w_hh, b_ih, b_hh } = *weights;
        let (x, lengths) = (&w_ih[..self.input.min(w_ih.len())], [1]);
        self.check(operation, x, &lengths, [w_ih, w_hh, b_ih, b_hh])?;
        let gates = self.blocks * self.hidden;
        let w_ih = Matrix::rows(w_ih, gates, self.input).transposed();
        let mut packed = vec![PackedMatrix::pack(cpu, w_ih)?];
        let mut rest = w_hh;
        for blocks in blocks {
            let (block, behind) = rest.split_at(blocks * self.hidden * self.hidden);
            let block = Matrix::rows(block, blocks * self.hidden, self.hidden).transposed();
            packed.push(PackedMatrix::pack(cpu, block)?);
            rest = behind;
        }
        Ok(packed)
    }

    /// Checks what [`Sizes::pack`] has made, for those who say that they have it: none, or all of it.
    pub(crate) fn check_packed<T: Real>(
        self,
        operation: &'static str,
        cpu: Cpu,
        packed: &[PackedMatrix<T>],
        blocks: &[usize],
    ) -> Result<(), KernelError> {
        let Some((input, state)) = packed.split_first() else {
            return Ok(());
        };
        packed.iter().try_for_each(|packed| packed.check_cpu(operation, cpu))?;
        check_size(operation, "the packed weights", packed.len(), 1 + blocks.len())?;
        check_size(operation, "rows of the packed w_ih", input.rows(), self.input)?;
        let width = self.blocks * self.hidden;
        check_size(operation, "columns of the packed w_ih", input.columns(), width)?;
        for (state, blocks) in state.iter().zip(blocks) {
            check_size(operation, "rows of the packed w_hh", state.rows(), self.hidden)?;
            let width = blocks * self.hidden;
            check_size(operation, "columns of the packed w_hh", state.columns(), width)?;
        }
        Ok(())
    }

    /// gates = bias + x·W_ihᵀ over all frames; `gates` is `[rows, G·H]`. `packed` is W_ih laid out before.
    // ANCHOR: input_product
    pub(crate) fn input_product<T: Real>(
        self,
        cpu: Cpu,
        x: &[T],
        w_ih: &[T],
        packed: Option<&PackedMatrix<T>>,
        bias: &[T],
        gates: &mut [T],
    ) -> Result<(), KernelError> {
        let (rows, width) = (x.len() / self.input, self.blocks * self.hidden);
        vector::fill_rows(gates, bias);
        if let Some(packed) = packed {
            return matmul_packed(
                cpu,
                Matrix::rows(x, rows, self.input),
                packed,
                gates,
                width,
                true,
            );
        }
        let w_ih = Matrix::rows(w_ih, width, self.input).transposed();
        matmul(cpu, Matrix::rows(x, rows, self.input), w_ih, gates, width, true)
    }
    // ANCHOR_END: input_product

    /// From the gradients of the gates' sums `[rows, 4H]`, of which the first G·H columns belong to the
    /// input: dx (overwritten) and dW_ih (added to).
    pub(crate) fn input_gradients<T: Real>(
        self,
        cpu: Cpu,
        d_gates: &[T],
        x: &[T],
        w_ih: &[T],
        dx: &mut [T],
        dw_ih: &mut [T],
    ) -> Result<(), KernelError> {
        let (rows, width) = (x.len() / self.input, self.blocks * self.hidden);
        let d_gates = self.columns(d_gates, 0, self.blocks);
        matmul(cpu, d_gates, Matrix::rows(w_ih, width, self.input), dx, self.input, false)?;
        let x = Matrix::rows(x, rows, self.input);
        matmul(cpu, d_gates.transposed(), x, dw_ih, self.input, true)
    }

    /// So many blocks of H columns out of `[rows, 4H]`.
    pub(crate) fn columns<T>(self, d_gates: &[T], first: usize, blocks: usize) -> Matrix<'_, T> {
        Matrix {
            data: &d_gates[first * self.hidden..],
            rows: d_gates.len() / (4 * self.hidden),
            columns: blocks * self.hidden,
            row_stride: 4 * self.hidden,
            column_stride: 1,
        }
    }

    /// The sums of all columns of `[rows, 4H]`, lent to `work`: the gradients of the biases.
    pub(crate) fn with_column_sums<T: Real>(
        self,
        cpu: Cpu,
        d_gates: &[T],
        work: impl FnOnce(&[T]),
    ) {
        let width = 4 * self.hidden;
        scratch::with_zeros(width, |sums: &mut [T]| {
            vector::add_column_sums(cpu, d_gates, width, d_gates.len() / width, sums);
            work(sums);
        });
    }
}
