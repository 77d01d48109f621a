//! The gates of one LSTM step for one utterance: loops over the hidden units, forward and backward.
//!
//! The equations stand in the parent module. Slices of `4H` hold the gates i, f, g, o one after
//! another.
//!
//! Book: book/src/recurrent.md

use crate::cpu::per_isa;

per_isa! {
    /// `gates` comes in as W_i x + b and leaves as i, f, g, o; `recurrent` is W_h h; `cell` goes from
    /// c to c', `state` receives h'.
    pub(super) fn forward<T>(gates: &mut [T], recurrent: &[T], cell: &mut [T], state: &mut [T]) {
        let hidden = state.len();
        let (input, rest) = gates.split_at_mut(hidden);
        let (forget, rest) = rest.split_at_mut(hidden);
        let (new, output) = rest.split_at_mut(hidden);
        let (output, cell) = (&mut output[..hidden], &mut cell[..hidden]);
        let (recurrent_i, rest) = recurrent.split_at(hidden);
        let (recurrent_f, rest) = rest.split_at(hidden);
        let (recurrent_g, recurrent_o) = rest.split_at(hidden);
        let recurrent_o = &recurrent_o[..hidden];
        for j in 0..hidden {
            let i = (input[j] + recurrent_i[j]).sigmoid();
            let f = (forget[j] + recurrent_f[j]).sigmoid();
            let g = (new[j] + recurrent_g[j]).tanh();
            let o = (output[j] + recurrent_o[j]).sigmoid();
            let c = f * cell[j] + i * g;
            input[j] = i;
            forget[j] = f;
            new[j] = g;
            output[j] = o;
            cell[j] = c;
            state[j] = o * c.tanh();
        }
    }

    /// Gradient of `forward`: `carry` is what the later step hands back for h'; `carry_cell` comes in as
    /// its share for c' and leaves as the gradient of c; `gradient` and `step` receive the gradients of
    /// the four sums. `cell` is c', `before` is c.
    pub(super) fn backward<T>(
        gates: &[T],
        cell: &[T],
        before: &[T],
        dy: &[T],
        carry: &[T],
        carry_cell: &mut [T],
        gradient: &mut [T],
        step: &mut [T],
    ) {
        let hidden = carry_cell.len();
        let (input, rest) = gates.split_at(hidden);
        let (forget, rest) = rest.split_at(hidden);
        let (new, output) = rest.split_at(hidden);
        let (output, cell, before) = (&output[..hidden], &cell[..hidden], &before[..hidden]);
        let (dy, carry) = (&dy[..hidden], &carry[..hidden]);
        let (d_input, rest) = gradient.split_at_mut(hidden);
        let (d_forget, rest) = rest.split_at_mut(hidden);
        let (d_new, d_output) = rest.split_at_mut(hidden);
        let d_output = &mut d_output[..hidden];
        // ANCHOR: backward
        for j in 0..hidden {
            let (i, f, g, o) = (input[j], forget[j], new[j], output[j]);
            let t = cell[j].tanh();
            let dh = dy[j] + carry[j];
            let dc = carry_cell[j] + dh * o * (T::ONE - t * t);
            d_input[j] = dc * g * (i * (T::ONE - i));
            d_forget[j] = dc * before[j] * (f * (T::ONE - f));
            d_new[j] = dc * i * (T::ONE - g * g);
            d_output[j] = dh * t * (o * (T::ONE - o));
            carry_cell[j] = dc * f;
        }
        // ANCHOR_END: backward
        // The same numbers where the next product wants them, still warm.
        step.copy_from_slice(gradient);
    }
}
