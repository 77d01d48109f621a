//! The recurrent layers that follow an architecture's picture of the sound, up to the logits.
//!
//! Book: book/src/recurrent.md

use labyrinth_kernels::Real;
use labyrinth_kernels::gru::GruVariant;
use serde::{Deserialize, Serialize};

use super::Layers;
use crate::error::NnError;
use crate::layer::Layer;
use crate::layers::{Dropout, GruLayer, LayerNorm, Linear, Lookahead, LstmLayer, Residual};
use crate::sequence::Sequence;

/// Widths beyond which no CPU trains; without a limit a slip of the finger asks for all memory.
pub(super) const LARGEST_WIDTH: usize = 4096;
pub(super) const MOST_LAYERS: usize = 32;
/// Frames of future beyond which nobody waits for a word.
const MOST_LOOKAHEAD: usize = 1000;

/// The kinds of recurrent layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recurrent {
    /// The gated recurrent unit, reset after the product as in cuDNN and PyTorch.
    #[default]
    Gru,
    /// The long short-term memory: a third more weights and work than a GRU of its width.
    Lstm,
}

/// From a picture of bins and channels to logits.
///
/// ```text
/// [frames, bins, channels]
///   → linear to `projection` → layer norm → dropout
///   → (GRU or LSTM → dropout) × `layers`
///   → (lookahead convolution over `lookahead` frames)
///   → linear to the alphabet: logits [frames, labels]
/// ```
///
/// With `norm` a layer norm stands before each recurrent layer but the first, whose input has had its own;
/// with `residual` each recurrent layer (its norm and dropout with it) adds to what it reads, where it gives
/// as many values as it takes: without `bidirectional`, wherever `projection` and `hidden` agree.
///
/// Architectures hold these options flat among their own, since a recipe's `[model]` is one table.
pub(super) struct RecurrentStack {
    pub projection: usize,
    pub kind: Recurrent,
    pub layers: usize,
    pub hidden: usize,
    pub bidirectional: bool,
    pub dropout: f64,
    pub lookahead: usize,
    pub norm: bool,
    pub residual: bool,
}

/// The [`RecurrentStack`] of an architecture's options, which all hold them under the same names.
macro_rules! recurrent_stack {
    ($options:expr) => {
        RecurrentStack {
            projection: $options.projection,
            kind: $options.recurrent_kind(),
            layers: $options.recurrent_layers,
            hidden: $options.recurrent_hidden,
            bidirectional: $options.bidirectional,
            dropout: $options.dropout,
            lookahead: $options.lookahead,
            norm: $options.recurrent_norm,
            residual: $options.residual,
        }
    };
}
pub(super) use recurrent_stack;

// What came after the first models is written only where it says something, so that their recipes and files
// stay what they were.
pub(super) fn is_zero(value: &usize) -> bool {
    *value == 0
}

pub(super) fn is_false(value: &bool) -> bool {
    !value
}

impl RecurrentStack {
    /// Refuses what cannot be built or is far beyond what can be trained.
    pub fn check(&self) -> Result<(), NnError> {
        let refuse = |message: String| Err(NnError::Options(message));
        if self.projection == 0 || self.layers == 0 || self.hidden == 0 {
            return refuse(
                "projection, recurrent-layers (gru-layers) and recurrent-hidden (gru-hidden) must be \
                 at least 1"
                    .into(),
            );
        }
        if self.projection.max(self.hidden) > LARGEST_WIDTH || self.layers > MOST_LAYERS {
            return refuse(format!(
                "at most {LARGEST_WIDTH} values of projection and recurrent-hidden and \
                 {MOST_LAYERS} recurrent-layers are allowed"
            ));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return refuse(format!("dropout must lie from 0 to below 1, not {}", self.dropout));
        }
        if self.lookahead > 0 && self.bidirectional {
            return refuse(format!(
                "lookahead = {} needs bidirectional = false; layers that read from the end have seen the \
                 future",
                self.lookahead
            ));
        }
        if self.lookahead > MOST_LOOKAHEAD {
            return refuse(format!(
                "lookahead must be at most {MOST_LOOKAHEAD} frames, not {}",
                self.lookahead
            ));
        }
        if self.residual && self.layers == 1 && self.projection != self.width() {
            return refuse(format!(
                "residual = true finds no recurrent layer to add to its input, for the only one takes {} \
                 values and gives {}; make projection {1}, or leave residual out",
                self.projection,
                self.width()
            ));
        }
        Ok(())
    }

    /// Values that a recurrent layer gives.
    fn width(&self) -> usize {
        self.hidden * if self.bidirectional { 2 } else { 1 }
    }

    /// Appends the layers for frames of `width` values and `labels` labels.
    pub fn append<T: Real>(&self, layers: &mut Layers<T>, width: usize, labels: usize) {
        // Dropout layers that drop nothing are left out, to save their copy.
        let dropout = |layers: &mut Layers<T>, index: usize| {
            if self.dropout > 0.0 {
                let layer = Dropout { rate: self.dropout, salt: index as u64 };
                layers.push((format!("dropout.{index}"), Box::new(layer)));
            }
        };
        let projection = Linear { input: width, output: self.projection };
        layers.push(("projection".into(), Box::new(projection)));
        layers.push(("projection_norm".into(), Box::new(LayerNorm { width: self.projection })));
        dropout(layers, 0);
        let mut width = self.projection;
        for index in 0..self.layers {
            let (input, hidden, bidirectional) = (width, self.hidden, self.bidirectional);
            let (name, layer): (&str, Box<dyn Layer<T>>) = match self.kind {
                Recurrent::Gru => {
                    let variant = GruVariant::ResetAfter;
                    ("gru", Box::new(GruLayer { input, hidden, bidirectional, variant }))
                }
                Recurrent::Lstm => ("lstm", Box::new(LstmLayer { input, hidden, bidirectional })),
            };
            let mut block: Layers<T> = Vec::new();
            if self.norm && index > 0 {
                block.push((format!("recurrent_norm.{index}"), Box::new(LayerNorm { width })));
            }
            block.push((format!("{name}.{index}"), layer));
            dropout(&mut block, index + 1);
            if self.residual && width == self.width() {
                let (body, shortcut) = (Sequence::new(block), Sequence::new(Vec::new()));
                let layer = Residual { body, shortcut, relu: false };
                layers.push((format!("residual.{index}"), Box::new(layer)));
            } else {
                layers.append(&mut block);
            }
            width = self.width();
        }
        if self.lookahead > 0 {
            let layer = Lookahead { channels: width, frames: self.lookahead };
            layers.push(("lookahead".into(), Box::new(layer)));
        }
        layers.push(("output".into(), Box::new(Linear { input: width, output: labels })));
    }
}
