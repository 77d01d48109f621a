//! The two recursions of the CTC lattice over whole groups of states: the inner loops of `ctc.rs`.
//!
//! `ctc.rs` derives what is computed here and names it; `extended.rs` has the arithmetic. A row of
//! states is computed in groups of eight neighbours, which is what the compiler turns into vectors.
//!
//! Book: book/src/ctc.md

use crate::cpu::per_isa;
use crate::extended::{NEVER, power_of_two, split, sum2, sum3};
use crate::softmax::{padded, row_exponentials};

/// States are computed in whole groups of this many. Places past the target have no path that
/// leads from them to the end, so that their posteriors are zero.
const LANES: usize = 8;

/// Rows of one frame of the lattice, each [`stride`] long: mantissas and exponents of a (blanks),
/// of c (labels, place 0 unused), and of the emissions y (place 0 the blank).
pub(crate) const ROWS: usize = 6;

/// Length of a row of states for a target of `length` labels: groups may start at place 0 or 1,
/// and read one place on.
pub(crate) fn stride(length: usize) -> usize {
    length.next_multiple_of(LANES) + 2 * LANES
}

/// Cuts a frame of the lattice into its rows.
#[inline(always)]
fn rows<const N: usize>(frame: &[f64], stride: usize) -> [&[f64]; N] {
    std::array::from_fn(|row| &frame[row * stride..(row + 1) * stride])
}

/// Eight neighbours of a row.
#[inline(always)]
fn at(row: &[f64], place: usize) -> [f64; LANES] {
    let mut lanes = [0.0; LANES];
    lanes.copy_from_slice(&row[place..place + LANES]);
    lanes
}

/// Makes a row of states zero throughout.
fn clear(mantissas: &mut [f64], exponents: &mut [f64]) {
    mantissas.fill(1.0);
    exponents.fill(NEVER);
}

per_isa! {
    /// Runs the forward recursion. `slots` frames of the lattice are kept, frame t in slot
    /// (t + 1) mod slots. Writes `scale` times the softmax into `gradient` where that is not empty.
    /// Returns two extended numbers, p(target) and the product of the sums of exponentials that it
    /// is still to be divided by; or none if a logit is not finite.
    pub(crate) fn forward<T>(
        logits: &[T],
        labels: usize,
        target: &[u32],
        scale: f64,
        slots: usize,
        lattice: &mut [f64],
        skips: &[f64],
        exponentials: &mut [f64],
        inverse_sums: &mut [f64],
        gradient: &mut [T],
    ) -> Option<[f64; 4]> {
        let stride = stride(target.len());
        let size = ROWS * stride;
        let (mantissas, exponents) = exponentials.split_at_mut(padded(labels));

        // The frame before the first: the walk stands in blank 0, and nothing else is possible.
        for row in lattice[..4 * stride].chunks_exact_mut(2 * stride) {
            let (mantissas, exponents) = row.split_at_mut(stride);
            clear(mantissas, exponents);
        }
        lattice[stride] = 0.0;

        let mut product = (1.0, 0.0);
        let mut last = 0;
        for (t, row) in logits.chunks_exact(labels).enumerate() {
            let total = row_exponentials(row, mantissas, exponents).sum;
            if !total.is_finite() {
                return None;
            }
            let (mantissa, exponent) = split(product.0 * total);
            product = (mantissa, product.1 + exponent);
            inverse_sums[t] = 1.0 / total;
            if let Some(out) = gradient.get_mut(t * labels..(t + 1) * labels) {
                let factor = scale / total;
                for ((out, &m), &e) in out.iter_mut().zip(&*mantissas).zip(&*exponents) {
                    *out = T::from_f64(m * power_of_two(e) * factor);
                }
            }

            let slot = (t + 1) % slots;
            let (before, after) = lattice.split_at_mut(slot.max(last) * size);
            let (previous, current) = if slot > last {
                (&before[last * size..][..size], &mut after[..size])
            } else {
                (&after[..size], &mut before[slot * size..][..size])
            };
            last = slot;
            let [pam, pae, pcm, pce] = rows(previous, stride);
            let (am, rest) = current.split_at_mut(stride);
            let (ae, rest) = rest.split_at_mut(stride);
            let (cm, rest) = rest.split_at_mut(stride);
            let (ce, rest) = rest.split_at_mut(stride);
            let (ym, ye) = rest.split_at_mut(stride);

            ym[0] = mantissas[0];
            ye[0] = exponents[0];
            for (place, &label) in target.iter().enumerate() {
                ym[place + 1] = mantissas[label as usize];
                ye[place + 1] = exponents[label as usize];
            }
            ym[target.len() + 1..].fill(1.0);
            ye[target.len() + 1..].fill(0.0);
            // What the groups below leave out of c and the next frame's groups read.
            cm[0] = 1.0;
            ce[0] = NEVER;
            cm[target.len() + 1..].fill(1.0);
            ce[target.len() + 1..].fill(NEVER);

            // a(i) = (a(i) + c(i)) y(blank)
            let (blank_m, blank_e) = (ym[0], ye[0]);
            for i in (0..=target.len()).step_by(LANES) {
                let (xm, xe, zm, ze) = (at(pam, i), at(pae, i), at(pcm, i), at(pce, i));
                let (mut outm, mut oute) = ([0.0; LANES], [0.0; LANES]);
                for l in 0..LANES {
                    let (m, e) = sum2(xm[l], xe[l], zm[l], ze[l]);
                    let (m, k) = split(m * blank_m);
                    outm[l] = m;
                    oute[l] = e + blank_e + k;
                }
                am[i..i + LANES].copy_from_slice(&outm);
                ae[i..i + LANES].copy_from_slice(&oute);
            }
            // ANCHOR: labels
            // c(i) = (c(i) + a(i-1) + s(i) c(i-1)) y(label i)
            for i in (1..=target.len()).step_by(LANES) {
                let (xm, xe) = (at(pcm, i), at(pce, i));
                let (zm, ze) = (at(pam, i - 1), at(pae, i - 1));
                let (wm, we, skip) = (at(pcm, i - 1), at(pce, i - 1), at(skips, i));
                let (emitm, emite) = (at(ym, i), at(ye, i));
                let (mut outm, mut oute) = ([0.0; LANES], [0.0; LANES]);
                for l in 0..LANES {
                    let (m, e) = sum3(xm[l], xe[l], zm[l], ze[l], wm[l], we[l] + skip[l]);
                    let (m, k) = split(m * emitm[l]);
                    outm[l] = m;
                    oute[l] = e + emite[l] + k;
                }
                cm[i..i + LANES].copy_from_slice(&outm);
                ce[i..i + LANES].copy_from_slice(&oute);
            }
            // ANCHOR_END: labels
        }
        let [am, ae, cm, ce] = rows(&lattice[last * size..][..size], stride);
        let end = target.len();
        let (m, e) = sum2(am[end], ae[end], cm[end], ce[end]);
        let (m, k) = split(m);
        Some([m, e + k, product.0, product.1])
    }

    /// Runs the backward recursion over a whole forward lattice and replaces the softmax of the
    /// labels that the target holds by softmax minus posterior, times `scale`.
    pub(crate) fn backward<T>(
        labels: usize,
        target: &[u32],
        scale: f64,
        probability: (f64, f64),
        lattice: &[f64],
        skips: &[f64],
        states: &mut [f64],
        posteriors: &mut [f64],
        inverse_sums: &[f64],
        distinct: &[(usize, usize)],
        gradient: &mut [T],
    ) {
        let stride = stride(target.len());
        let (now, rest) = states.split_at_mut(4 * stride);
        let (next, gammas) = rest.split_at_mut(4 * stride);
        let (mut now, mut next) = (now, next);
        for states in [&mut *now, &mut *next] {
            for row in states.chunks_exact_mut(2 * stride) {
                let (mantissas, exponents) = row.split_at_mut(stride);
                clear(mantissas, exponents);
            }
        }
        // The frame after the last: only the final blank is a complete walk, so that the last
        // frame may be that blank or the final label.
        next[stride + target.len()] = 0.0;

        let inverse = 1.0 / probability.0;
        for (t, out) in gradient.chunks_exact_mut(labels).enumerate().rev() {
            let frame = &lattice[(t + 1) * ROWS * stride..][..ROWS * stride];
            let [am, ae, cm, ce, ym, ye] = rows(frame, stride);
            let [nbm, nbe, ndm, nde] = rows(next, stride);
            let (bm, rest) = now.split_at_mut(stride);
            let (be, rest) = rest.split_at_mut(stride);
            let (dm, de) = rest.split_at_mut(stride);

            // b(i) = b̂(i) + d̂(i+1), and the posterior of all blanks.
            let (blank_m, blank_e) = (ym[0], ye[0]);
            let mut blanks = [0.0; LANES];
            for i in (0..=target.len()).step_by(LANES) {
                let (xm, xe) = (at(nbm, i), at(nbe, i));
                let (zm, ze) = (at(ndm, i + 1), at(nde, i + 1));
                let (walkm, walke) = (at(am, i), at(ae, i));
                let (mut outm, mut oute) = ([0.0; LANES], [0.0; LANES]);
                for l in 0..LANES {
                    let (m, e) = sum2(xm[l], xe[l], zm[l], ze[l]);
                    let exponent = walke[l] + e - probability.1;
                    blanks[l] += walkm[l] * m * inverse * power_of_two(exponent);
                    let (m, k) = split(m * blank_m);
                    outm[l] = m;
                    oute[l] = e + blank_e + k;
                }
                bm[i..i + LANES].copy_from_slice(&outm);
                be[i..i + LANES].copy_from_slice(&oute);
            }
            // d(i) = d̂(i) + b̂(i) + s(i+1) d̂(i+1), and the posterior of each place.
            for i in (1..=target.len()).step_by(LANES) {
                let (xm, xe) = (at(ndm, i), at(nde, i));
                let (zm, ze) = (at(nbm, i), at(nbe, i));
                let (wm, we, skip) = (at(ndm, i + 1), at(nde, i + 1), at(skips, i + 1));
                let (walkm, walke) = (at(cm, i), at(ce, i));
                let (emitm, emite) = (at(ym, i), at(ye, i));
                let (mut outm, mut oute) = ([0.0; LANES], [0.0; LANES]);
                let mut gamma = [0.0; LANES];
                for l in 0..LANES {
                    let (m, e) = sum3(xm[l], xe[l], zm[l], ze[l], wm[l], we[l] + skip[l]);
                    let exponent = walke[l] + e - probability.1;
                    gamma[l] = walkm[l] * m * inverse * power_of_two(exponent);
                    let (m, k) = split(m * emitm[l]);
                    outm[l] = m;
                    oute[l] = e + emite[l] + k;
                }
                gammas[i..i + LANES].copy_from_slice(&gamma);
                dm[i..i + LANES].copy_from_slice(&outm);
                de[i..i + LANES].copy_from_slice(&oute);
            }
            posteriors[0] = blanks.iter().sum();
            for (&label, &gamma) in target.iter().zip(&gammas[1..]) {
                posteriors[label as usize] += gamma;
            }
            // ANCHOR: gradient
            // From the f64 emissions: where softmax and posterior nearly cancel, the rounding of
            // the softmax to T must not stay behind.
            for &(label, place) in distinct {
                let softmax = ym[place] * power_of_two(ye[place]) * inverse_sums[t];
                out[label] = T::from_f64(scale * (softmax - posteriors[label]));
                posteriors[label] = 0.0;
            }
            // ANCHOR_END: gradient
            std::mem::swap(&mut now, &mut next);
        }
    }
}
