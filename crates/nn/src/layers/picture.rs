//! From frames of features to a picture in three colours, as networks trained on photographs want it.
//!
//! Such a network has seen pixels from 0 to 1, from which each colour's mean over ImageNet was subtracted, and
//! which were divided by its standard deviation:
//!
//! ```text
//! y[colour] = (pixel − mean[colour]) / deviation[colour]
//! mean = 0.485 0.456 0.406,  deviation = 0.229 0.224 0.225     red, green, blue
//! ```
//!
//! Features have mean 0 and variance 1 once a recipe has normalised them. Two rules make pixels of them, with
//! the same meaning in every recording ([`Pixels`]).
//!
//! Book: book/src/transfer.md

use labyrinth_kernels::Real;
use serde::{Deserialize, Serialize};

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::shape::Shape;

/// Mean of each colour over ImageNet's training pictures, as torchvision subtracts it.
pub const IMAGENET_MEAN: [f64; COLOURS] = [0.485, 0.456, 0.406];
/// Standard deviation of each colour over them.
pub const IMAGENET_DEVIATION: [f64; COLOURS] = [0.229, 0.224, 0.225];
/// Red, green and blue.
const COLOURS: usize = 3;
/// Features this far from 0, in standard deviations, are black and white.
const SIGMAS: f64 = 3.0;

/// What each of the three colours shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colours {
    /// All three the same: every bin of a frame.
    #[default]
    Repeat,
    /// The features, their slope and its slope, which stand one behind the other in a frame
    /// (`deltas = { order = 2 }` of `[features]`).
    Deltas,
    /// The features of a short, a longer and a long window around the same moment, which stand one behind the
    /// other in a frame (`frame-lengths = [25, 64, 250]` of `[features]`).
    Windows,
}

/// How a feature becomes a pixel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pixels {
    /// `pixel = 1/2 + x / 6`, and what lies beyond 0 or 1 is put there: three standard deviations to each side
    /// from black to white. What the network sees then varies about as a dim photograph does: with deviation
    /// 0.74 instead of 1.
    ThreeSigma,
    /// `pixel = mean + deviation · x`, colour by colour: the pixels have ImageNet's mean and deviation, and
    /// the network sees `x` itself. Single pixels may lie beyond 0 and 1.
    #[default]
    Moments,
}

/// Makes `[frames, bins, 3]` from frames of features.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What the colours show.
    pub colours: Colours,
    /// How features become pixels.
    pub pixels: Pixels,
}

impl Picture {
    /// How often the bins of the picture stand side by side in a frame.
    fn groups(&self) -> usize {
        match self.colours {
            Colours::Repeat => 1,
            Colours::Deltas | Colours::Windows => COLOURS,
        }
    }

    /// The factor of a feature and the summand behind it, and the bounds of what comes out.
    // ANCHOR: map
    fn map(&self, colour: usize) -> [f64; 4] {
        let (mean, deviation) = (IMAGENET_MEAN[colour], IMAGENET_DEVIATION[colour]);
        let normal = |pixel: f64| (pixel - mean) / deviation;
        match self.pixels {
            Pixels::ThreeSigma => [0.5 / SIGMAS / deviation, normal(0.5), normal(0.0), normal(1.0)],
            Pixels::Moments => [1.0, 0.0, f64::NEG_INFINITY, f64::INFINITY],
        }
    }
    // ANCHOR_END: map
}

impl<T: Real> Layer<T> for Picture {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        let (groups, width) = (self.groups(), input.width());
        if !width.is_multiple_of(groups) || width == 0 {
            return Err(NnError::Options(format!(
                "frames of {width} values do not hold three colours side by side; set deltas or \
                 frame-lengths in [features] as colours in [model] says, or colours to \"repeat\""
            )));
        }
        Ok(Shape { lengths: input.lengths.clone(), bins: width / groups, channels: COLOURS })
    }

    fn describe(&self) -> String {
        "picture of three colours".into()
    }

    fn needs_output(&self) -> bool {
        false
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let width = pass.shape.width();
        let bins = width / self.groups();
        // Where a colour's bins begin in a frame: all at the same place, or one behind the other.
        let step = if self.groups() == 1 { 0 } else { bins };
        for colour in 0..COLOURS {
            let [factor, summand, low, high] = self.map(colour).map(T::from_f64);
            let frames = pass.x.chunks_exact(width).zip(pass.y.chunks_exact_mut(bins * COLOURS));
            for (x, y) in frames {
                let x = &x[colour * step..][..bins];
                for (&x, y) in x.iter().zip(y[colour..].iter_mut().step_by(COLOURS)) {
                    // In this order a value that is no number stays none.
                    *y = high.min(low.max(factor * x + summand));
                }
            }
        }
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Some(dx) = pass.dx else { return Ok(()) };
        let width = pass.shape.width();
        let bins = width / self.groups();
        let step = if self.groups() == 1 { 0 } else { bins };
        dx.fill(T::ZERO);
        for colour in 0..COLOURS {
            let [factor, summand, low, high] = self.map(colour).map(T::from_f64);
            let rows = pass.x.chunks_exact(width).zip(dx.chunks_exact_mut(width));
            for ((x, dx), dy) in rows.zip(pass.dy.chunks_exact(bins * COLOURS)) {
                let (x, dx) = (&x[colour * step..][..bins], &mut dx[colour * step..][..bins]);
                let dy = dy[colour..].iter().step_by(COLOURS);
                for ((&x, dx), &dy) in x.iter().zip(dx).zip(dy) {
                    let y = factor * x + summand;
                    if y > low && y < high {
                        *dx += factor * dy;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use labyrinth_kernels::Cpu;

    use super::*;
    use crate::layer::Mode;

    fn pixels(picture: &Picture, x: &[f64], width: usize) -> Vec<f64> {
        let shape = Shape::features(&[x.len() / width], width);
        let output = Layer::<f64>::output_shape(picture, &shape).unwrap();
        let mut y = vec![0.0; output.len()];
        let pass = Forward {
            cpu: Cpu::detect(),
            mode: Mode::Inference,
            shape: &shape,
            x,
            parameters: &[],
            packed: &[],
            buffers: &[],
            saved: &mut [],
            state: &mut [],
            scratch: &mut [],
            y: &mut y,
        };
        picture.forward(pass).unwrap();
        for (index, value) in y.iter_mut().enumerate() {
            *value = *value * IMAGENET_DEVIATION[index % 3] + IMAGENET_MEAN[index % 3];
        }
        y
    }

    fn assert_near(found: &[f64], wanted: &[f64]) {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        }
    }

    #[test]
    fn three_deviations_to_each_side_are_black_and_white() {
        let picture = Picture { colours: Colours::Repeat, pixels: Pixels::ThreeSigma };
        let shades = pixels(&picture, &[-9.0, -3.0, 0.0, 1.5, 3.0, 3.1], 2);
        let grey: Vec<f64> = [0.0, 0.0, 0.5, 0.75, 1.0, 1.0].iter().flat_map(|&v| [v; 3]).collect();
        assert_near(&shades, &grey);
    }

    #[test]
    fn colours_side_by_side_become_one_picture() {
        let picture = Picture { colours: Colours::Deltas, pixels: Pixels::ThreeSigma };
        // Two frames of two bins: features, slopes, slopes of slopes.
        let frames = [-3.0, 0.0, 3.0, 1.5, 0.0, -1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0];
        let wanted = [0.0, 1.0, 0.5, 0.5, 0.75, 0.25, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0];
        assert_near(&pixels(&picture, &frames, 6), &wanted);
        let shape = Shape::features(&[2], 7);
        let error = Layer::<f64>::output_shape(&picture, &shape).unwrap_err().to_string();
        assert!(error.contains("frames of 7 values"), "{error}");
    }

    #[test]
    fn moments_are_those_of_imagenet() {
        let picture = Picture { colours: Colours::Windows, pixels: Pixels::Moments };
        let [r, g, b] = IMAGENET_MEAN;
        let [dr, dg, db] = IMAGENET_DEVIATION;
        assert_near(&pixels(&picture, &[0.0, 1.0, 2.0], 3), &[r, g + dg, b + 2.0 * db]);
        assert_near(&pixels(&picture, &[1.0, 0.0, -1.0], 3), &[r + dr, g, b - db]);
    }
}
