//! A network as a table of its layers: shapes, weights, multiplications, and what a frame depends on.

use labyrinth_kernels::Real;
use serde::Serialize;

use crate::error::NnError;
use crate::layer::{Layer, Parts};
use crate::parameters::ParameterSpec;
use crate::reach::Reach;
use crate::sequence::Sequence;
use crate::shape::Shape;

/// One layer, for an input of one utterance.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LayerRow {
    /// How many layers it lies inside of.
    pub depth: usize,
    /// Name, under which its weights lie within the layer around it.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// Frames of its output.
    pub frames: usize,
    /// Bins of an output frame.
    pub bins: usize,
    /// Values of a bin.
    pub channels: usize,
    /// Weights that training moves by gradients, those inside included.
    pub parameters: usize,
    /// Multiplications for the whole utterance ([`Layer::multiplications`]), those inside included.
    pub multiplications: u64,
    /// Feature frames between two frames of its output.
    pub stride: usize,
}

/// A network, layer by layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its layers as they compute; those inside of another one follow it.
    pub rows: Vec<LayerRow>,
    /// Weights in all.
    pub parameters: usize,
    /// Multiplications for the whole utterance.
    pub multiplications: u64,
    /// What an output frame depends on.
    pub reach: Reach,
}

impl Table {
    /// The table of `sequence` for one utterance of `frames` frames of `dim` values.
    ///
    /// # Errors
    /// [`NnError`] where the utterance is too short for the network.
    pub fn new<T: Real>(
        sequence: &Sequence<T>,
        frames: usize,
        dim: usize,
    ) -> Result<Self, NnError> {
        let shape = Shape::features(&[frames], dim);
        let mut rows = Vec::new();
        append(sequence, shape.clone(), 0, 1, &mut rows)?;
        Ok(Self {
            rows,
            parameters: count(&sequence.parameters()),
            multiplications: Layer::multiplications(sequence, &shape),
            reach: sequence.reach(),
        })
    }
}

fn count(specs: &[ParameterSpec]) -> usize {
    specs.iter().map(ParameterSpec::len).sum()
}

fn append<T: Real>(
    sequence: &Sequence<T>,
    mut shape: Shape,
    depth: usize,
    mut stride: usize,
    rows: &mut Vec<LayerRow>,
) -> Result<(), NnError> {
    for (name, layer) in sequence.layers() {
        let output = layer.output_shape(&shape)?;
        let before = stride;
        stride *= layer.reach().stride;
        rows.push(LayerRow {
            depth,
            name: name.to_owned(),
            kind: layer.describe(),
            frames: output.rows(),
            bins: output.bins,
            channels: output.channels,
            parameters: count(&layer.parameters()),
            multiplications: layer.multiplications(&shape),
            stride,
        });
        let inside = match layer.parts() {
            Parts::One => Vec::new(),
            Parts::Sequence(sequence) => vec![("", sequence)],
            Parts::Residual(block) => vec![("body", &block.body), ("shortcut", &block.shortcut)],
        };
        for (branch, inside) in inside.into_iter().filter(|(_, inside)| !inside.is_empty()) {
            let first = rows.len();
            append(inside, shape.clone(), depth + 1, before, rows)?;
            if !branch.is_empty() {
                // The names of what lies inside begin with the branch, as those of the weights do.
                for row in rows[first..].iter_mut().filter(|row| row.depth == depth + 1) {
                    row.name = format!("{branch}.{}", row.name);
                }
            }
        }
        shape = output;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{CnnName, CnnOptions, ConvolutionOptions, ModelOptions};
    use crate::layers::{DepthwiseLayer, Linear, Residual};
    use labyrinth_kernels::DepthwiseConvolution;

    /// Counted by hand: 100 frames of 80 bins through the network of `an4.toml` in small.
    #[test]
    fn a_network_multiplies_as_often_as_counted_by_hand() {
        let convolution =
            |channels, stride| ConvolutionOptions { channels, kernel: [3, 5], stride };
        for (architecture, gates) in [(CnnName::CnnGru, 3), (CnnName::CnnLstm, 4)] {
            let options = ModelOptions::Cnn(CnnOptions {
                architecture,
                convolutions: vec![convolution(8, [2, 2]), convolution(6, [2, 1])],
                projection: 20,
                recurrent_layers: 2,
                recurrent_hidden: 10,
                bidirectional: true,
                dropout: 0.5,
                ..CnnOptions::default()
            });
            let table = Table::new(&options.build::<f32>(80, 7).unwrap(), 100, 80).unwrap();
            let row = |name: &str| table.rows.iter().find(|row| row.name == name).unwrap();
            // 100 frames → 50 × 40 bins × 8 channels → 25 × 40 × 6
            let first = row("conv.0");
            assert_eq!((first.frames, first.bins, first.channels, first.stride), (50, 40, 8, 2));
            assert_eq!(first.multiplications, 50 * 40 * 8 * 15);
            assert_eq!(first.parameters, 8 * 15 + 8);
            assert_eq!(row("conv.1").multiplications, 25 * 40 * 6 * 8 * 15);
            assert_eq!(row("projection").multiplications, 25 * 240 * 20);
            let recurrent = |input: u64| 25 * 2 * gates * 10 * (input + 10);
            let kind = if gates == 3 { "gru" } else { "lstm" };
            assert_eq!(row(&format!("{kind}.0")).multiplications, recurrent(20));
            assert_eq!(row(&format!("{kind}.1")).multiplications, recurrent(20));
            assert_eq!(row("output").multiplications, 25 * 20 * 7);
            assert_eq!(row("norm.0").multiplications, 0);
            let sum = table.rows.iter().map(|row| row.multiplications).sum::<u64>();
            assert_eq!(table.multiplications, sum);
            let parameters = table.rows.iter().map(|row| row.parameters).sum::<usize>();
            assert_eq!(table.parameters, parameters);
            assert_eq!(table.reach, Reach { stride: 4, before: None, after: None });
        }
    }

    #[test]
    fn layers_inside_of_a_layer_follow_it() {
        let linear = |input, output| -> Box<dyn Layer<f32>> { Box::new(Linear { input, output }) };
        let body = Sequence::new(vec![("a".into(), linear(4, 6)), ("b".into(), linear(6, 5))]);
        let shortcut = Sequence::new(vec![("c".into(), linear(4, 5))]);
        let block = Residual { body, shortcut, relu: true };
        let layers: Vec<(String, Box<dyn Layer<f32>>)> =
            vec![("block".into(), Box::new(block)), ("end".into(), linear(5, 2))];
        let table = Table::new(&Sequence::new(layers), 3, 4).unwrap();
        let rows: Vec<_> =
            table.rows.iter().map(|r| (r.depth, r.name.as_str(), r.multiplications)).collect();
        let expected = [
            (0, "block", 3 * (24 + 30 + 20)),
            (1, "body.a", 72),
            (1, "body.b", 90),
            (1, "shortcut.c", 60),
            (0, "end", 30),
        ];
        assert_eq!(rows, expected);
        assert_eq!(table.multiplications, 252);
        assert_eq!(table.rows[0].kind, "body + shortcut, rectified");
    }

    #[test]
    fn a_depthwise_convolution_has_one_window_for_each_channel() {
        let convolution =
            DepthwiseConvolution { channels: 4, kernel: [3, 3], stride: [2, 1], padding: [1, 1] };
        let layer: Box<dyn Layer<f32>> = Box::new(DepthwiseLayer { convolution });
        let shape = Shape { lengths: vec![10, 5], bins: 6, channels: 4 };
        // Five and three frames are left.
        assert_eq!(layer.multiplications(&shape), 8 * 6 * 4 * 9);
        assert_eq!(layer.describe(), "depthwise convolution 3×3, stride 2×1");
    }
}
