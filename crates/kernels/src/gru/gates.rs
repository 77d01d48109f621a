//! The gates of one GRU step for one utterance: loops over the hidden units, forward and backward.
//!
//! The equations stand in the parent module. Slices of `3H` hold the gates r, z, n one after another.
//!
//! Book: book/src/recurrent.md

use crate::cpu::per_isa;

per_isa! {
    /// Reset after the product. `gates` comes in as W_i x + b (r and z with both biases) and leaves as
    /// r, z, n; `recurrent` is W_h h without bias; `kept` receives q = W_hn h + b_hn; `state` goes from
    /// h to h'.
    pub(super) fn after<T>(
        gates: &mut [T],
        kept: &mut [T],
        recurrent: &[T],
        bias_n: &[T],
        state: &mut [T],
    ) {
        let hidden = state.len();
        let (reset, rest) = gates.split_at_mut(hidden);
        let (update, new) = rest.split_at_mut(hidden);
        let (new, kept, bias_n) = (&mut new[..hidden], &mut kept[..hidden], &bias_n[..hidden]);
        let (recurrent_r, rest) = recurrent.split_at(hidden);
        let (recurrent_z, recurrent_n) = rest.split_at(hidden);
        let (recurrent_z, recurrent_n) = (&recurrent_z[..hidden], &recurrent_n[..hidden]);
        // ANCHOR: after
        for j in 0..hidden {
            let r = (reset[j] + recurrent_r[j]).sigmoid();
            let z = (update[j] + recurrent_z[j]).sigmoid();
            let q = recurrent_n[j] + bias_n[j];
            let n = (new[j] + r * q).tanh();
            reset[j] = r;
            update[j] = z;
            new[j] = n;
            kept[j] = q;
            state[j] = n + z * (state[j] - n);
        }
        // ANCHOR_END: after
    }

    /// Reset before the product, first half: r, z and `kept` = r h.
    pub(super) fn before_reset<T>(
        gates: &mut [T],
        kept: &mut [T],
        recurrent: &[T],
        state: &[T],
    ) {
        let hidden = state.len();
        let (reset, rest) = gates.split_at_mut(hidden);
        let update = &mut rest[..hidden];
        let kept = &mut kept[..hidden];
        let (recurrent_r, recurrent_z) = recurrent.split_at(hidden);
        let recurrent_z = &recurrent_z[..hidden];
        for j in 0..hidden {
            let r = (reset[j] + recurrent_r[j]).sigmoid();
            let z = (update[j] + recurrent_z[j]).sigmoid();
            reset[j] = r;
            update[j] = z;
            kept[j] = r * state[j];
        }
    }

    /// Reset before the product, second half: `recurrent` is W_hn (r h); n and h'.
    pub(super) fn before_new<T>(gates: &mut [T], recurrent: &[T], state: &mut [T]) {
        let hidden = state.len();
        let (_, rest) = gates.split_at_mut(hidden);
        let (update, new) = rest.split_at_mut(hidden);
        let (new, recurrent) = (&mut new[..hidden], &recurrent[..hidden]);
        for j in 0..hidden {
            let n = (new[j] + recurrent[j]).tanh();
            new[j] = n;
            state[j] = n + update[j] * (state[j] - n);
        }
    }

    /// Gradient of `after`: `carry` comes in as what the later step hands back and leaves as the part
    /// z dh of the gradient of h; `gradient` receives the gradients of the four sums a_r, a_z, a_n
    /// and q; `step` the three that belong to W_h h.
    pub(super) fn after_backward<T>(
        gates: &[T],
        kept: &[T],
        previous: &[T],
        dy: &[T],
        carry: &mut [T],
        gradient: &mut [T],
        step: &mut [T],
    ) {
        let hidden = carry.len();
        let (reset, rest) = gates.split_at(hidden);
        let (update, new) = rest.split_at(hidden);
        let (new, kept, dy) = (&new[..hidden], &kept[..hidden], &dy[..hidden]);
        let previous = &previous[..hidden];
        let (d_reset, rest) = gradient.split_at_mut(hidden);
        let (d_update, rest) = rest.split_at_mut(hidden);
        let (d_new, d_kept) = rest.split_at_mut(hidden);
        let d_kept = &mut d_kept[..hidden];
        let (step_r, rest) = step.split_at_mut(hidden);
        let (step_z, step_q) = rest.split_at_mut(hidden);
        let step_q = &mut step_q[..hidden];
        // ANCHOR: after_backward
        for j in 0..hidden {
            let (r, z, n, q) = (reset[j], update[j], new[j], kept[j]);
            let dh = dy[j] + carry[j];
            let dz = dh * (previous[j] - n) * (z * (T::ONE - z));
            let dn = dh * (T::ONE - z) * (T::ONE - n * n);
            let dr = dn * q * (r * (T::ONE - r));
            let dq = dn * r;
            d_reset[j] = dr;
            d_update[j] = dz;
            d_new[j] = dn;
            d_kept[j] = dq;
            step_r[j] = dr;
            step_z[j] = dz;
            step_q[j] = dq;
            carry[j] = dh * z;
        }
        // ANCHOR_END: after_backward
    }

    /// Gradient of `before_new`: a_z, a_n, and the part z dh of the gradient of h; `step` receives a_n.
    pub(super) fn before_new_backward<T>(
        gates: &[T],
        previous: &[T],
        dy: &[T],
        carry: &mut [T],
        gradient: &mut [T],
        step: &mut [T],
    ) {
        let hidden = carry.len();
        let (update, new) = gates[hidden..].split_at(hidden);
        let (new, dy, previous) = (&new[..hidden], &dy[..hidden], &previous[..hidden]);
        let (d_update, d_new) = gradient[hidden..].split_at_mut(hidden);
        let (d_new, step) = (&mut d_new[..hidden], &mut step[..hidden]);
        for j in 0..hidden {
            let (z, n) = (update[j], new[j]);
            let dh = dy[j] + carry[j];
            let dn = dh * (T::ONE - z) * (T::ONE - n * n);
            d_update[j] = dh * (previous[j] - n) * (z * (T::ONE - z));
            d_new[j] = dn;
            step[j] = dn;
            carry[j] = dh * z;
        }
    }

    /// Gradient of `before_reset`: `product` is the gradient of r h; a_r and the part r d(r h) of the
    /// gradient of h; `step` receives a_r and a_z.
    pub(super) fn before_reset_backward<T>(
        gates: &[T],
        previous: &[T],
        product: &[T],
        carry: &mut [T],
        gradient: &mut [T],
        step: &mut [T],
    ) {
        let hidden = carry.len();
        let reset = &gates[..hidden];
        let (previous, product) = (&previous[..hidden], &product[..hidden]);
        let (d_reset, rest) = gradient.split_at_mut(hidden);
        let d_update = &rest[..hidden];
        let (step_r, step_z) = step.split_at_mut(hidden);
        let step_z = &mut step_z[..hidden];
        for j in 0..hidden {
            let r = reset[j];
            let dr = product[j] * previous[j] * (r * (T::ONE - r));
            d_reset[j] = dr;
            step_r[j] = dr;
            step_z[j] = d_update[j];
            carry[j] += product[j] * r;
        }
    }
}
