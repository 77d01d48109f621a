//! The recurrent layers that follow an architecture's picture of the sound, up to the logits.

use labyrinth_kernels::Real;
use labyrinth_kernels::gru::GruVariant;
use serde::{Deserialize, Serialize};

use super::Layers;
use crate::error::NnError;
use crate::layer::Layer;
use crate::layers::{Dropout, GruLayer, LayerNorm, Linear, LstmLayer};

/// Widths beyond which no CPU trains; without a limit a slip of the finger asks for all memory.
pub(super) const LARGEST_WIDTH: usize = 4096;
pub(super) const MOST_LAYERS: usize = 32;

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
///   → linear to the alphabet: logits [frames, labels]
/// ```
///
/// Architectures hold these options flat among their own, since a recipe's `[model]` is one table.
pub(super) struct RecurrentStack {
    pub projection: usize,
    pub kind: Recurrent,
    pub layers: usize,
    pub hidden: usize,
    pub bidirectional: bool,
    pub dropout: f64,
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
        Ok(())
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
            layers.push((format!("{name}.{index}"), layer));
            width = hidden * if bidirectional { 2 } else { 1 };
            dropout(layers, index + 1);
        }
        layers.push(("output".into(), Box::new(Linear { input: width, output: labels })));
    }
}
