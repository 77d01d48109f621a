//! Deltas: how fast each feature changes, and how fast that changes, behind the features.
//!
//! The slope of the straight line that fits the `2 w + 1` values around frame t best in the sense
//! of least squares is (the means drop out, since the offsets j sum to 0)
//!
//! ```text
//! d[t] = sum over j = -w..w of j x[t+j] / sum over j of j^2
//! ```
//!
//! (Furui 1986, "Speaker-independent isolated word recognition using dynamic features of speech
//! spectrum"; HTK book, section 5.9.) Deltas of order n repeat it n times, which is one sum over
//! `2 n w + 1` frames with the n-fold convolution of the weights: that sum is what is computed, as
//! in Kaldi's `add-deltas` (`feat/feature-functions.cc`), in f32, from the earliest frame to the
//! latest.
//!
//! **Edges.** Kaldi repeats the first and the last *frame* as often as the convolved weights reach
//! out. HTK repeats, at each order, the first and last value of the *previous order*. Inside, from
//! frame `n w` to the last but `n w`, both are the same; at the edges the first order is the same
//! too, higher orders differ.
//!
//! Book: book/src/cepstrum.md

use serde::{Deserialize, Serialize};

use super::Stage;
use super::context::{Context, Neighbours};
use crate::feature_options::FeatureError;

/// The options of Kaldi's `add-deltas`, and its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DeltaOptions {
    /// `delta-order`: how often the slope is taken; 2 gives features, deltas and their deltas.
    pub order: usize,
    /// `delta-window`: frames to each side of a slope.
    pub window: usize,
    /// If above 0, only so many of the first numbers of each frame are used, and the rest dropped.
    pub truncate: usize,
}

impl Default for DeltaOptions {
    fn default() -> Self {
        DeltaOptions { order: 2, window: 2, truncate: 0 }
    }
}

/// Frames to each side beyond which weights are a slip of the pen.
const MAX_REACH: usize = 1000;

/// Appends deltas: rows of `dim` numbers become rows of `(order + 1) dim`, the order of the slope
/// running slowest. Latency: `order x window` frames.
#[derive(Clone, Debug)]
pub struct Deltas {
    context: Context,
    /// Weights of each order 0 to `order`, centred: `[2 order window + 1]`.
    weights: Vec<Vec<f32>>,
    /// Numbers used of each frame.
    used: usize,
}

impl Deltas {
    /// Deltas of frames of `dim` numbers.
    ///
    /// # Errors
    /// [`FeatureError`] for a window of 0, a reach beyond a thousand frames, or `truncate` above
    /// `dim`.
    pub fn new(dim: usize, options: DeltaOptions) -> Result<Self, FeatureError> {
        let DeltaOptions { order, window, truncate } = options;
        if window == 0 {
            let reason = "must be at least 1: a slope needs neighbours";
            return Err(FeatureError::new("deltas.window", window, reason));
        }
        let reach = order.checked_mul(window).filter(|reach| *reach <= MAX_REACH);
        let Some(reach) = reach else {
            let reason = format!(
                "times window = {window} reaches over more than {MAX_REACH} frames to each side; \
                 Kaldi's defaults are order 2 and window 2"
            );
            return Err(FeatureError::new("deltas.order", order, reason));
        };
        if truncate > dim {
            let reason = format!("is more than the {dim} numbers of a frame");
            return Err(FeatureError::new("deltas.truncate", truncate, reason));
        }
        Ok(Deltas {
            context: Context::new(dim, reach, reach),
            weights: weights(order, window),
            used: if truncate > 0 { truncate } else { dim },
        })
    }
}

// ANCHOR: weights
/// Weights of the orders 0 to `order`: each is the one before convolved with the slope's.
fn weights(order: usize, window: usize) -> Vec<Vec<f32>> {
    let reach = window as i64;
    let normalizer = (-reach..=reach).map(|j| (j * j) as f32).sum::<f32>();
    let mut all = vec![vec![1f32]];
    for _ in 0..order {
        let previous = &all[all.len() - 1];
        let mut next = vec![0f32; previous.len() + 2 * window];
        for j in 0..=2 * window {
            for (k, weight) in previous.iter().enumerate() {
                next[j + k] += (j as i64 - reach) as f32 * weight;
            }
        }
        for weight in &mut next {
            *weight /= normalizer;
        }
        all.push(next);
    }
    all
}
// ANCHOR_END: weights

fn append(weights: &[Vec<f32>], used: usize, around: &Neighbours, out: &mut Vec<f32>) {
    for weights in weights {
        let reach = (weights.len() / 2) as isize;
        let start = out.len();
        out.resize(start + used, 0.0);
        for (offset, weight) in (-reach..=reach).zip(weights) {
            if *weight != 0.0 {
                for (sum, value) in out[start..].iter_mut().zip(around.row(offset)) {
                    *sum += weight * value;
                }
            }
        }
    }
}

impl Stage for Deltas {
    fn input_dim(&self) -> usize {
        self.context.dim()
    }

    fn dim(&self) -> usize {
        self.used * self.weights.len()
    }

    fn lookahead(&self) -> usize {
        self.context.right()
    }

    fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        let (weights, used) = (&self.weights, self.used);
        self.context.push(frames, |around| append(weights, used, around, out));
    }

    fn finish(&mut self, out: &mut Vec<f32>) {
        let (weights, used) = (&self.weights, self.used);
        self.context.finish(|around| append(weights, used, around, out));
    }

    fn reset(&mut self) {
        self.context.reset();
    }

    fn boxed(&self) -> Box<dyn Stage> {
        Box::new(self.clone())
    }
}
