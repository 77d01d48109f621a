//! Which frames of its input an output frame depends on: context, latency, whether a model can stream.
//!
//! Output frame t of a layer reads the input frames from `t · stride − before` to
//! `t · stride + after`. Two layers one after another: the second reads outputs of the first from
//! `t·s₂ − b₂` to `t·s₂ + a₂`, and the first of these reads from `(t·s₂ − b₂)·s₁ − b₁`, so
//!
//! ```text
//! s = s₁·s₂,  b = b₁ + s₁·b₂,  a = a₁ + s₁·a₂
//! ```

use labyrinth_kernels::Window;

/// Which frames of its input an output frame depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Input frames between two output frames; 1 where there is one output frame for all.
    pub stride: usize,
    /// Input frames before the output frame's own; `None` for all there are: a state is handed on.
    pub before: Option<usize>,
    /// Input frames behind the output frame's own: what must be waited for. `None` for all there are:
    /// nothing can be said before the recording has ended.
    pub after: Option<usize>,
}

impl Reach {
    /// A layer that computes each frame from the same one.
    pub const FRAME: Self = Self { stride: 1, before: Some(0), after: Some(0) };

    /// A layer that reads windows of `kernel` frames, with `padding` frames before the first.
    pub fn window(kernel: usize, stride: usize, padding: usize) -> Self {
        // Without padding a window may end before the next one begins; `after` is never negative.
        Self { stride, before: Some(padding), after: Some((kernel - 1).saturating_sub(padding)) }
    }

    /// [`Reach::window`] of windows over time and bins.
    pub fn of(window: Window) -> Self {
        Self::window(window.kernel[0], window.stride[0], window.padding[0])
    }

    /// What two layers one after another depend on.
    // ANCHOR: then
    pub fn then(self, next: Self) -> Self {
        let add = |first: Option<usize>, second: Option<usize>| {
            first.zip(second).map(|(first, second)| first + self.stride * second)
        };
        Self {
            stride: self.stride * next.stride,
            before: add(self.before, next.before),
            after: add(self.after, next.after),
        }
    }
    // ANCHOR_END: then

    /// What two layers side by side depend on; both have the same stride.
    pub fn beside(self, other: Self) -> Self {
        let wider = |a: Option<usize>, b: Option<usize>| a.zip(b).map(|(a, b)| a.max(b));
        Self {
            stride: self.stride,
            before: wider(self.before, other.before),
            after: wider(self.after, other.after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_strided_windows_see_what_their_formula_says() {
        let convolution = Reach::window(3, 2, 1);
        let both = convolution.then(convolution);
        assert_eq!(both, Reach { stride: 4, before: Some(3), after: Some(3) });
        let past = Reach { stride: 1, before: None, after: Some(0) };
        assert_eq!(both.then(past), Reach { stride: 4, before: None, after: Some(3) });
        assert_eq!(both.beside(Reach::window(1, 4, 0)), both);
    }
}
