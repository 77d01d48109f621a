//! A GRU over the frames of each utterance, in one direction or in both.
//!
//! Book: book/src/recurrent.md

use labyrinth_kernels::gru::{Gru, GruVariant};
use labyrinth_kernels::{
    Cpu, KernelError, PackedMatrix, Real, RecurrentGradients, RecurrentWeights,
};

use super::recurrent::{Cell, Frames, Gradients, Kept, Weights};

/// One GRU layer. With both directions, a frame's output is `[forward, backward]`.
#[derive(Clone, Debug)]
pub struct GruLayer {
    /// Values of an input frame.
    pub input: usize,
    /// Values of one direction's output frame.
    pub hidden: usize,
    /// Whether a second GRU reads the utterance from its end.
    pub bidirectional: bool,
    /// Where the reset gate stands.
    pub variant: GruVariant,
}

impl GruLayer {
    fn kernel(&self, reverse: bool) -> Gru {
        Gru { input: self.input, hidden: self.hidden, reverse, variant: self.variant }
    }
}

impl Cell for GruLayer {
    const NAME: &'static str = "input frame of a GRU";
    const KIND: &'static str = "GRU";
    const GATES: usize = 3;
    const STATES: usize = 1;

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
        let gru = self.kernel(reverse);
        if state.is_empty() {
            return gru.forward_packed(cpu, x, lengths, weights, packed, None, y, saved, None);
        }
        let before = state.to_vec();
        gru.forward_packed(cpu, x, lengths, weights, packed, Some(&before), y, saved, Some(state))
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
        let gru = self.kernel(reverse);
        gru.backward(cpu, x, lengths, weights, None, y, saved, dy, dx, gradients, None)
    }
}
