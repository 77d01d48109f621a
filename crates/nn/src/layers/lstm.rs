//! An LSTM over the frames of each utterance, in one direction or in both.
//!
//! Book: book/src/recurrent.md

use labyrinth_kernels::lstm::{Lstm, LstmState, LstmStateMut};
use labyrinth_kernels::{
    Cpu, KernelError, PackedMatrix, Real, RecurrentGradients, RecurrentWeights,
};

use super::recurrent::{Cell, Frames, Gradients, Kept, Weights};

/// One LSTM layer. With both directions, a frame's output is `[forward, backward]`.
#[derive(Clone, Debug)]
pub struct LstmLayer {
    /// Values of an input frame.
    pub input: usize,
    /// Values of one direction's output frame.
    pub hidden: usize,
    /// Whether a second LSTM reads the utterance from its end.
    pub bidirectional: bool,
}

impl LstmLayer {
    fn kernel(&self, reverse: bool) -> Lstm {
        Lstm { input: self.input, hidden: self.hidden, reverse }
    }
}

impl Cell for LstmLayer {
    const NAME: &'static str = "input frame of an LSTM";
    const KIND: &'static str = "LSTM";
    const GATES: usize = 4;
    // The output and the cell.
    const STATES: usize = 2;

    fn input(&self) -> usize {
        self.input
    }

    fn hidden(&self) -> usize {
        self.hidden
    }

    fn bidirectional(&self) -> bool {
        self.bidirectional
    }

    fn kept_len(&self, rows: usize) -> usize {
        self.kernel(false).saved_len(rows)
    }

    fn run<T: Real>(
        &self,
        reverse: bool,
        frames: Frames<'_, T>,
        [w_ih, w_hh, b_ih, b_hh]: Weights<'_, T>,
        state: &mut [T],
        y: &mut [T],
        saved: &mut [T],
    ) -> Result<(), KernelError> {
        let Frames { cpu, x, lengths, packed } = frames;
        let weights = RecurrentWeights { w_ih, w_hh, b_ih, b_hh };
        let lstm = self.kernel(reverse);
        if state.is_empty() {
            return lstm.forward_packed(cpu, x, lengths, weights, packed, None, y, saved, None);
        }
        let before = state.to_vec();
        let (h, c) = before.split_at(before.len() / 2);
        let initial = Some(LstmState { h, c });
        let (h, c) = state.split_at_mut(before.len() / 2);
        let last = Some(LstmStateMut { h, c });
        lstm.forward_packed(cpu, x, lengths, weights, packed, initial, y, saved, last)
    }

    fn lay_out<T: Real>(
        &self,
        cpu: Cpu,
        [w_ih, w_hh, b_ih, b_hh]: Weights<'_, T>,
    ) -> Result<Vec<PackedMatrix<T>>, KernelError> {
        self.kernel(false).pack(cpu, RecurrentWeights { w_ih, w_hh, b_ih, b_hh })
    }

    fn run_back<T: Real>(
        &self,
        reverse: bool,
        frames: Frames<'_, T>,
        [w_ih, w_hh, b_ih, b_hh]: Weights<'_, T>,
        kept: Kept<'_, T>,
        dx: &mut [T],
        gradients: Gradients<'_, T>,
    ) -> Result<(), KernelError> {
        let Frames { cpu, x, lengths, .. } = frames;
        let Kept { y, saved, dy } = kept;
        let weights = RecurrentWeights { w_ih, w_hh, b_ih, b_hh };
        let [w_ih, w_hh, b_ih, b_hh] = gradients;
        let gradients = RecurrentGradients { w_ih, w_hh, b_ih, b_hh };
        let lstm = self.kernel(reverse);
        lstm.backward(cpu, x, lengths, weights, None, y, saved, dy, dx, gradients, None)
    }
}
