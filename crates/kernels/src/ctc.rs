//! Connectionist temporal classification: the loss and its gradient with respect to the logits.
//!
//! Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification: labelling
//! unsegmented sequence data with recurrent neural networks", ICML 2006.
//!
//! # The loss
//! A network gives T rows of logits; softmax makes them y_t(k), the probability of label k at
//! frame t, where label 0 is the blank. A *path* is one label for each frame, its probability the
//! product of its y_t. Merging repeats and then dropping blanks turns a path into a transcript, and
//! p(target) is the sum over all paths that turn into the target. The loss is -ln p(target).
//!
//! # Forward
//! A path can pause in a blank before, between and after the L labels. Number the blanks 0..=L and
//! the labels 1..=L: blank i stands after label i. A path is a walk through
//! blank 0, label 1, blank 1, label 2, …, label L, blank L, each frame staying or going one on;
//! it may also go from label i-1 straight to label i, unless they are equal, because without a
//! blank between them they would merge. With a_t(i) and c_t(i) the probability of all walks of
//! t+1 frames that end in blank i and in label i,
//! ```text
//! a_t(i) = ( a_{t-1}(i) + c_{t-1}(i) ) y_t(blank)
//! c_t(i) = ( c_{t-1}(i) + a_{t-1}(i-1) + s(i) c_{t-1}(i-1) ) y_t(label i)
//! p(target) = a_{T-1}(L) + c_{T-1}(L)
//! ```
//! where s(i) is 1 if label i may follow label i-1 directly, else 0; a_0(0) = y_0(blank),
//! c_0(1) = y_0(label 1), everything else starts at 0. A walk needs one frame for each label and
//! one for each forced blank: T >= L + adjacent repeats, else p = 0 and the loss is +infinity.
//!
//! # Backward
//! Let b_t(i) and d_t(i) be the probability of what may follow after frame t in blank i and in
//! label i. With b̂ = y_t(blank) b and d̂ = y_t(label) d,
//! ```text
//! b_t(i) = b̂_{t+1}(i) + d̂_{t+1}(i+1)
//! d_t(i) = d̂_{t+1}(i) + b̂_{t+1}(i) + s(i+1) d̂_{t+1}(i+1)
//! b_{T-1}(L) = d_{T-1}(L) = 1
//! ```
//! so a_t(i) b_t(i) / p is the posterior probability that the walk is in blank i at frame t,
//! given the target, and likewise for the labels; at each frame they sum to one.
//!
//! # Why the gradient is softmax minus posterior
//! p is a sum of products with exactly one factor y_t(·) of frame t each, hence
//! ∂p/∂y_t(k) · y_t(k) = the part of p whose walks emit k at frame t = p γ_t(k), where γ_t(k) is
//! the posterior summed over all places of the walk that hold label k. So
//! ∂(-ln p)/∂ ln y_t(k) = -γ_t(k). With ln y_t(k) = x_t(k) - ln Σ_j e^{x_t(j)},
//! ∂ ln y_t(j)/∂x_t(k) = [j = k] - y_t(k), and
//! ```text
//! ∂(-ln p)/∂x_t(k) = -γ_t(k) + y_t(k) Σ_j γ_t(j) = y_t(k) - γ_t(k)
//! ```
//! for the posteriors of a frame sum to one.
//!
//! # Numbers
//! All of it runs in f64 on numbers with an exponent of their own (`extended.rs`; the loops are in `ctc_lattice.rs`), whatever the
//! type of the logits, and on e^(x - max) in place of y: a common factor of a frame cancels in the
//! posterior and comes back into the loss as Σ_t ln Σ_k e^(x_t(k) - max). Only states that can be
//! reached from the start and can still reach the end are computed. Time O(T (L + labels)).
//!
//! Book: book/src/ctc.md

use rayon::prelude::*;

use crate::cpu::Cpu;
use crate::ctc_lattice::{ROWS, backward, forward, stride};
use crate::error::{KernelError, check_size, total_rows};
use crate::extended::NEVER;
use crate::real::Real;
use crate::softmax::{check_rows, padded};

pub use crate::softmax::log_softmax;

/// The label of the blank.
pub const BLANK: u32 = 0;

/// Why the loss of an utterance is not defined. An utterance with too few frames for its target
/// is no error: its loss is +infinity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CtcError {
    /// The slices do not fit together.
    #[error(transparent)]
    Shape(#[from] KernelError),
    /// A target holds the blank or a label that the logits do not have.
    #[error(
        "ctc: the target has label {label} at position {position}, where labels from 1 to below {labels} are possible and 0 is the blank."
    )]
    Label {
        /// Where in the target.
        position: usize,
        /// The label found there.
        label: u32,
        /// Number of labels of the logits, the blank included.
        labels: usize,
    },
    /// A logit is infinite or not a number.
    #[error("ctc: the logit of label {label} at frame {frame} is infinite or not a number.")]
    NotFinite {
        /// Frame, counted from the start of the utterance.
        frame: usize,
        /// Label.
        label: usize,
    },
}

/// Working memory of [`ctc_utterance`]; it grows to the longest utterance and is then reused.
#[derive(Clone, Debug, Default)]
pub struct CtcScratch {
    /// The forward lattice, [`ROWS`] rows a frame, one frame before the first; only two frames
    /// where no gradient is asked for.
    lattice: Vec<f64>,
    /// Which labels may follow their predecessor directly, the backward states, one posterior each.
    states: Vec<f64>,
    /// Two rows of exponentials, and the posterior of each label.
    labels: Vec<f64>,
    /// 1 / Σ_k e^(x - max) of each frame.
    inverse_sums: Vec<f64>,
    /// Each distinct label of the blank and the target, with the first place that holds it.
    distinct: Vec<(usize, usize)>,
}

/// The fewest frames that can spell `target`: one for each label and one blank between two equal
/// neighbours.
// ANCHOR: minimum_frames
pub fn minimum_frames(target: &[u32]) -> usize {
    target.len() + target.windows(2).filter(|pair| pair[0] == pair[1]).count()
}
// ANCHOR_END: minimum_frames

/// The CTC loss of one utterance, -ln p(target | logits), in nats, and its gradient.
///
/// `logits` is `[frames, labels]`, before softmax; `target` holds labels from 1 to below `labels`
/// (0 is the blank) and may be empty. `gradient`, of the same shape as `logits`, is overwritten
/// with the gradient of `scale` times the loss.
///
/// An utterance with fewer frames than [`minimum_frames`] has loss +infinity, and its gradient is
/// set to exactly zero. A logit more than 2^24 nats below the largest of its frame counts as 2^24
/// below.
///
/// # Errors
/// [`CtcError`] when the slices do not fit, the target holds a label that cannot be, or a logit is
/// not finite; the gradient is then exactly zero where it has the right size.
pub fn ctc_utterance<T: Real>(
    cpu: Cpu,
    logits: &[T],
    labels: usize,
    target: &[u32],
    scale: T,
    mut gradient: Option<&mut [T]>,
    scratch: &mut CtcScratch,
) -> Result<T, CtcError> {
    check_rows("ctc", "logits", logits.len(), labels)?;
    if let Some(gradient) = &mut gradient {
        check_size("ctc", "gradient", gradient.len(), logits.len())?;
        gradient.fill(T::ZERO);
    }
    check_target(target, labels)?;
    let frames = logits.len() / labels;
    if frames < minimum_frames(target) {
        return not_finite(logits, labels).map_or(Ok(T::INFINITY), Err);
    }

    let stride = stride(target.len());
    let slots = if gradient.is_some() { frames + 1 } else { 2 };
    let CtcScratch { lattice, states, labels: label_rows, inverse_sums, distinct } = scratch;
    let lattice = grow(lattice, slots * ROWS * stride);
    let inverse_sums = grow(inverse_sums, frames);
    let (skips, states) = grow(states, 10 * stride).split_at_mut(stride);
    let (exponentials, posteriors) =
        grow(label_rows, 3 * padded(labels)).split_at_mut(2 * padded(labels));

    skips.fill(NEVER);
    for (place, pair) in target.windows(2).enumerate() {
        skips[place + 2] = if pair[0] == pair[1] { NEVER } else { 0.0 };
    }

    let gradient = gradient.unwrap_or_default();
    let factor = scale.to_f64();
    let Some([m, e, product_m, product_e]) = forward(
        cpu,
        logits,
        labels,
        target,
        factor,
        slots,
        lattice,
        skips,
        exponentials,
        inverse_sums,
        gradient,
    ) else {
        gradient.fill(T::ZERO);
        let fault = CtcError::NotFinite { frame: 0, label: 0 };
        return Err(not_finite(logits, labels).unwrap_or(fault));
    };
    if !gradient.is_empty() {
        posteriors.fill(0.0);
        distinct.clear();
        distinct.push((0, 0));
        for (place, &label) in target.iter().enumerate() {
            if posteriors[label as usize] == 0.0 {
                posteriors[label as usize] = 1.0;
                distinct.push((label as usize, place + 1));
            }
        }
        posteriors.fill(0.0);
        backward(
            cpu,
            labels,
            target,
            factor,
            (m, e),
            lattice,
            skips,
            states,
            posteriors,
            inverse_sums,
            distinct,
            gradient,
        );
    }
    Ok(T::from_f64((product_m / m).ln() + (product_e - e) * std::f64::consts::LN_2))
}

/// Refuses blanks and labels that are not there.
fn check_target(target: &[u32], labels: usize) -> Result<(), CtcError> {
    match target.iter().position(|&label| label == BLANK || label as usize >= labels) {
        Some(position) => Err(CtcError::Label { position, label: target[position], labels }),
        None => Ok(()),
    }
}

/// The first logit that is infinite or not a number.
fn not_finite<T: Real>(logits: &[T], labels: usize) -> Option<CtcError> {
    let index = logits.iter().position(|logit| !logit.is_finite())?;
    Some(CtcError::NotFinite { frame: index / labels, label: index % labels })
}

/// The first `length` elements of a work vector, which grows if it must.
fn grow(vector: &mut Vec<f64>, length: usize) -> &mut [f64] {
    if vector.len() < length {
        vector.resize(length, 0.0);
    }
    &mut vector[..length]
}

/// An utterance that has too few frames for its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Infeasible {
    /// Index in the batch.
    pub utterance: usize,
    /// Frames it has.
    pub frames: usize,
    /// Frames its target needs: see [`minimum_frames`].
    pub needed: usize,
}

/// An utterance with a logit that is infinite or not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFinite {
    /// Index in the batch.
    pub utterance: usize,
    /// The first such frame, counted from the start of the utterance.
    pub frame: usize,
    /// The first such label in it.
    pub label: usize,
}

/// The utterances of a batch that have no finite loss, in the order of the batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CtcOutcome {
    /// Too short for their targets: loss +infinity, gradient exactly zero.
    pub infeasible: Vec<Infeasible>,
    /// With faulty logits: loss NaN, gradient exactly zero.
    pub not_finite: Vec<NotFinite>,
}

impl CtcOutcome {
    /// Every utterance has a finite loss.
    pub fn is_clean(&self) -> bool {
        self.infeasible.is_empty() && self.not_finite.is_empty()
    }
}

/// The CTC losses of a ragged batch: [`ctc_utterance`] for each, in parallel, each as if alone.
///
/// `logits` is `[sum of lengths, labels]`; utterance b has `lengths[b]` frames, the target
/// `targets[b]`, and its gradient is that of `scales[b]` times its loss. `losses[b]`, not scaled,
/// and `gradient`, of the shape of `logits`, are overwritten.
///
/// What is wrong with one utterance's frames touches no other: see [`CtcOutcome`].
///
/// # Errors
/// [`KernelError`] when the slices do not fit, a length is 0, or a target holds a label that
/// cannot be; nothing has been written then.
#[allow(clippy::too_many_arguments)]
pub fn ctc_batch<T: Real, L: AsRef<[u32]> + Sync>(
    cpu: Cpu,
    logits: &[T],
    lengths: &[usize],
    labels: usize,
    targets: &[L],
    scales: &[T],
    losses: &mut [T],
    gradient: Option<&mut [T]>,
) -> Result<CtcOutcome, KernelError> {
    const OPERATION: &str = "ctc";
    check_rows(OPERATION, "logits", logits.len(), labels)?;
    let frames = total_rows(OPERATION, lengths)?;
    if frames != logits.len() / labels {
        return Err(KernelError::Mismatch {
            operation: OPERATION,
            what: "the number of frames (rows of logits; sum of lengths)",
            left: logits.len() / labels,
            right: frames,
        });
    }
    check_size(OPERATION, "targets", targets.len(), lengths.len())?;
    check_size(OPERATION, "scales", scales.len(), lengths.len())?;
    check_size(OPERATION, "losses", losses.len(), lengths.len())?;
    if let Some(gradient) = &gradient {
        check_size(OPERATION, "gradient", gradient.len(), logits.len())?;
    }
    for (utterance, target) in targets.iter().enumerate() {
        check_target(target.as_ref(), labels)
            .map_err(|reason| KernelError::Ctc { utterance, reason: Box::new(reason) })?;
    }

    let mut logits = logits;
    let mut gradient = gradient;
    let mut jobs = Vec::with_capacity(lengths.len());
    for (((&length, target), &scale), loss) in
        lengths.iter().zip(targets).zip(scales).zip(losses.iter_mut())
    {
        let (head, tail) = logits.split_at(length * labels);
        logits = tail;
        let part = gradient.take().map(|all| {
            let (head, tail) = all.split_at_mut(length * labels);
            gradient = Some(tail);
            head
        });
        jobs.push((head, target.as_ref(), scale, loss, part));
    }
    let faults: Vec<Option<CtcError>> = jobs
        .into_par_iter()
        .with_max_len(1)
        .map_init(CtcScratch::default, |scratch, (logits, target, scale, loss, gradient)| {
            match ctc_utterance(cpu, logits, labels, target, scale, gradient, scratch) {
                Ok(value) => {
                    *loss = value;
                    None
                }
                Err(fault) => {
                    *loss = T::from_f64(f64::NAN);
                    Some(fault)
                }
            }
        })
        .collect();

    let mut outcome = CtcOutcome::default();
    for (utterance, fault) in faults.into_iter().enumerate() {
        match fault {
            None if losses[utterance] == T::INFINITY => outcome.infeasible.push(Infeasible {
                utterance,
                frames: lengths[utterance],
                needed: minimum_frames(targets[utterance].as_ref()),
            }),
            None => {}
            Some(CtcError::NotFinite { frame, label }) => {
                outcome.not_finite.push(NotFinite { utterance, frame, label });
            }
            Some(CtcError::Shape(error)) => return Err(error),
            Some(reason) => return Err(KernelError::Ctc { utterance, reason: Box::new(reason) }),
        }
    }
    Ok(outcome)
}
