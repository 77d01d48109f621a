//! What a kernel answers when it cannot compute: every refusal names the operation and both sizes.

use crate::cpu::{Cpu, Isa, Precision};

/// Why a kernel refused its arguments. Nothing has been written when one of these comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// A slice is longer or shorter than its shape says.
    #[error("{operation}: {what} has {actual} elements where its shape asks for {expected}.")]
    Size {
        /// The kernel that refused.
        operation: &'static str,
        /// The argument that does not fit.
        what: &'static str,
        /// Elements found.
        actual: usize,
        /// Elements that the shape asks for.
        expected: usize,
    },
    /// Two arguments disagree about a size that they share.
    #[error("{operation}: {what} is {left} in one argument and {right} in the other.")]
    Mismatch {
        /// The kernel that refused.
        operation: &'static str,
        /// The shared size, in words.
        what: &'static str,
        /// The size according to the first argument.
        left: usize,
        /// The size according to the second argument.
        right: usize,
    },
    /// A size is outside the range in which the operation is defined.
    #[error("{operation}: {what} is {actual} and must be at least {minimum}.")]
    TooSmall {
        /// The kernel that refused.
        operation: &'static str,
        /// The size, in words.
        what: &'static str,
        /// The value found.
        actual: usize,
        /// The least value that is allowed.
        minimum: usize,
    },
    /// An utterance of length zero: it has no frame to compute and no state to hand on.
    #[error("{operation}: utterance {index} of the batch has length 0 and must have at least 1.")]
    EmptyUtterance {
        /// The kernel that refused.
        operation: &'static str,
        /// Which utterance of the batch, counted from 0.
        index: usize,
    },
    /// A shape whose number of elements does not fit into `usize`.
    #[error("{operation}: the shape of {what} has more elements than this machine can address.")]
    Overflow {
        /// The kernel that refused.
        operation: &'static str,
        /// The argument whose shape is too large.
        what: &'static str,
    },
    /// A target of a batch that no loss is defined for.
    #[error("Utterance {utterance} of the batch: {reason}")]
    Ctc {
        /// Which utterance of the batch, counted from 0.
        utterance: usize,
        /// What is wrong with it.
        reason: Box<crate::ctc::CtcError>,
    },
    /// A row whose target is no label.
    #[error(
        "{operation}: the target of row {row} is {label}, where labels from 0 to below {labels} are possible."
    )]
    Label {
        /// The kernel that refused.
        operation: &'static str,
        /// Which row of the batch, counted from 0.
        row: usize,
        /// The target found.
        label: u32,
        /// Number of labels of the logits.
        labels: usize,
    },
    /// A setting outside the range in which the operation is defined.
    #[error("{operation}: {what} is {value} and must be {range}.")]
    Setting {
        /// The kernel that refused.
        operation: &'static str,
        /// The setting, in words.
        what: &'static str,
        /// The value given.
        value: String,
        /// What is allowed, in words.
        range: &'static str,
    },
    /// The CPU lacks an instruction set that was asked for.
    #[error("This CPU does not have the instruction set {asked}; it has {}.", list(.available))]
    IsaUnavailable {
        /// What was asked for.
        asked: Isa,
        /// What this CPU has.
        available: Vec<Isa>,
    },
    /// A name that is no instruction set.
    #[error("\"{name}\" is no instruction set; there are portable, avx2 and avx512.")]
    IsaUnknown {
        /// What was given.
        name: String,
    },
    /// The CPU lacks the instructions for a precision that was asked for.
    #[error(
        "This CPU has {isa} without AVX512-BF16, its instructions for {precision}; avx2 and portable compute {precision} without them, and f32 is faster here."
    )]
    PrecisionUnavailable {
        /// What was asked for.
        precision: Precision,
        /// The instruction set that would compute it.
        isa: Isa,
    },
    /// A name that is no precision.
    #[error("\"{name}\" is no precision; there are f32 and bf16.")]
    PrecisionUnknown {
        /// What was given.
        name: String,
    },
    /// A matrix that was packed for one instruction set or precision is used with another.
    #[error("{operation}: the matrix was packed for {packed} and is used with {used}.")]
    PackedForOther {
        /// The kernel that refused.
        operation: &'static str,
        /// What the matrix was packed for.
        packed: Cpu,
        /// What the call computes with.
        used: Cpu,
    },
}

fn list(isas: &[Isa]) -> String {
    isas.iter().map(Isa::to_string).collect::<Vec<_>>().join(", ")
}

/// Refuses a slice of `actual` elements where the shape asks for `expected`.
#[inline]
pub(crate) fn check_size(
    operation: &'static str,
    what: &'static str,
    actual: usize,
    expected: usize,
) -> Result<(), KernelError> {
    if actual == expected {
        Ok(())
    } else {
        Err(KernelError::Size { operation, what, actual, expected })
    }
}

/// Refuses a size below `minimum`.
pub(crate) fn check_least(
    operation: &'static str,
    what: &'static str,
    actual: usize,
    minimum: usize,
) -> Result<(), KernelError> {
    if actual >= minimum {
        Ok(())
    } else {
        Err(KernelError::TooSmall { operation, what, actual, minimum })
    }
}

/// The product of the sizes of a shape, refused when it does not fit into `usize`.
pub(crate) fn elements(
    operation: &'static str,
    what: &'static str,
    sizes: &[usize],
) -> Result<usize, KernelError> {
    sizes
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .filter(|&product| product <= isize::MAX as usize / 16)
        .ok_or(KernelError::Overflow { operation, what })
}

/// The sum of the lengths of a ragged batch; refuses an empty batch, a length of zero and a sum that
/// overflows.
pub(crate) fn total_rows(operation: &'static str, lengths: &[usize]) -> Result<usize, KernelError> {
    if lengths.is_empty() {
        let what = "the number of utterances";
        return Err(KernelError::TooSmall { operation, what, actual: 0, minimum: 1 });
    }
    let mut rows = 0usize;
    for (index, &length) in lengths.iter().enumerate() {
        if length == 0 {
            return Err(KernelError::EmptyUtterance { operation, index });
        }
        rows = rows
            .checked_add(length)
            .ok_or(KernelError::Overflow { operation, what: "the lengths" })?;
    }
    Ok(rows)
}
