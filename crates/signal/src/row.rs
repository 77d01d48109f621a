//! What becomes of power spectra: the rows of features that their kind asks for.
//!
//! Book: book/src/spectrum.md

use crate::cepstrum::CosineTransform;
use crate::feature_options::{FeatureError, FeatureKind, FeatureOptions, Logarithm};
use crate::mel::MelBanks;
use crate::plp::LinearPrediction;
use crate::spectra::{FRAMES, Logarithms, Rows, SquareRoots};
use crate::vector::InstructionSet;

/// What stands between the filters and the row.
#[derive(Clone)]
enum Shape {
    /// No filters.
    Spectrum,
    /// The energy alone.
    Energy,
    Filters(MelBanks),
    Cosine(MelBanks, CosineTransform),
    Prediction(MelBanks, Box<LinearPrediction>),
}

/// Makes rows of features from power spectra and energies.
#[derive(Clone)]
pub(crate) struct RowMaker {
    instructions: InstructionSet,
    shape: Shape,
    kind: FeatureKind,
    use_energy: bool,
    htk_compat: bool,
    htk_mode: bool,
    use_power: bool,
    use_log_fbank: bool,
    logarithm: Logarithm,
    dim: usize,
    filters: Vec<f32>, // [mels, FRAMES]: energies of the filters of a block
    lines: Vec<f32>,   // [FRAMES, mels]: the same, a frame in a line
}

impl RowMaker {
    /// Prepares rows for spectra of a transform of `points` points, for options that were checked.
    pub(crate) fn new(
        options: &FeatureOptions,
        points: usize,
        instructions: InstructionSet,
    ) -> Result<Self, FeatureError> {
        let banks = || MelBanks::new(options, points);
        let (shape, dim) = match options.kind {
            FeatureKind::Fbank => {
                let energy = usize::from(options.use_energy);
                (Shape::Filters(banks()?), options.num_mel_bins + energy)
            }
            FeatureKind::Mfcc => {
                (Shape::Cosine(banks()?, CosineTransform::new(options)), options.num_ceps)
            }
            FeatureKind::Plp => {
                let prediction = Box::new(LinearPrediction::new(options)?);
                (Shape::Prediction(banks()?, prediction), options.num_ceps)
            }
            FeatureKind::Spectrogram | FeatureKind::LogSpectrogram => {
                (Shape::Spectrum, points / 2 + 1)
            }
            FeatureKind::Energy => (Shape::Energy, 1),
        };
        let mels = match &shape {
            Shape::Spectrum | Shape::Energy => 0,
            Shape::Filters(banks) | Shape::Cosine(banks, _) | Shape::Prediction(banks, _) => {
                banks.len()
            }
        };
        Ok(RowMaker {
            instructions,
            shape,
            kind: options.kind,
            use_energy: options.use_energy,
            htk_compat: options.htk_compat,
            htk_mode: options.htk_mode,
            use_power: options.use_power,
            use_log_fbank: options.use_log_fbank,
            logarithm: options.logarithm,
            dim,
            filters: vec![0.0; mels * FRAMES],
            lines: vec![0.0; mels * FRAMES],
        })
    }

    /// Numbers per row.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// Appends the rows of a block of frames to `out`: `power`, `[points / 2 + 1, FRAMES]`, is used
    /// up, and as many of its columns count as there are `energies`.
    pub(crate) fn append(&mut self, power: &mut [f32], energies: &[f32], out: &mut Vec<f32>) {
        let (block, dim, set) = (energies.len(), self.dim, self.instructions);
        match &mut self.shape {
            Shape::Energy => out.extend_from_slice(energies),
            Shape::Spectrum => {
                let mut place = None;
                if self.kind == FeatureKind::LogSpectrogram {
                    set.run(Logarithms(power));
                    place = self.use_energy.then_some(0);
                }
                let rows = grow(out, block * dim);
                set.run(Rows { columns: power, block, rows, stride: dim });
                put(energies, place, rows, dim);
            }
            Shape::Filters(banks) => {
                if !self.use_power {
                    set.run(SquareRoots(power));
                }
                banks.apply(set, power, &mut self.filters);
                raise(&mut self.filters, self.htk_mode);
                if self.use_log_fbank {
                    take_logarithms(set, &mut self.filters, self.logarithm);
                }
                let rows = grow(out, block * dim);
                // Where the energy stands, and where what stands beside it begins.
                let (place, first) = match (self.use_energy, self.htk_compat) {
                    (false, _) => (None, 0),
                    (true, true) => (Some(dim - 1), 0),
                    (true, false) => (Some(0), 1),
                };
                let columns = &self.filters;
                set.run(Rows { columns, block, rows: &mut rows[first..], stride: dim });
                put(energies, place, rows, dim);
            }
            Shape::Cosine(banks, _) | Shape::Prediction(banks, _) => {
                let mels = banks.len();
                banks.apply(set, power, &mut self.filters);
                raise(&mut self.filters, self.htk_mode);
                if matches!(self.shape, Shape::Cosine(..)) {
                    take_logarithms(set, &mut self.filters, self.logarithm);
                }
                let (columns, rows) = (&self.filters, &mut self.lines[..]);
                set.run(Rows { columns, block, rows, stride: mels });
                for (line, energy) in self.lines.chunks_exact(mels).zip(energies) {
                    let start = out.len();
                    match &mut self.shape {
                        Shape::Cosine(_, transform) => transform.apply(line, out),
                        Shape::Prediction(_, prediction) => prediction.apply(line, out),
                        _ => (),
                    }
                    // The energy comes in the place of coefficient 0, and either where it belongs.
                    if self.use_energy {
                        out[start] = *energy;
                    }
                    if self.htk_compat {
                        out[start..].rotate_left(1);
                    }
                }
            }
        }
    }
}

/// Room for `count` more numbers behind `out`.
fn grow(out: &mut Vec<f32>, count: usize) -> &mut [f32] {
    let start = out.len();
    out.resize(start + count, 0.0);
    &mut out[start..]
}

/// Puts the energies into the rows, each at `place`.
fn put(energies: &[f32], place: Option<usize>, rows: &mut [f32], dim: usize) {
    if let Some(place) = place {
        for (row, energy) in rows.chunks_exact_mut(dim).zip(energies) {
            row[place] = *energy;
        }
    }
}

/// HTK bounds the energies of filters from below by 1, so that their logarithms are not negative.
fn raise(energies: &mut [f32], htk_mode: bool) {
    if htk_mode {
        for energy in energies {
            *energy = energy.max(1.0);
        }
    }
}

fn take_logarithms(set: InstructionSet, energies: &mut [f32], logarithm: Logarithm) {
    match logarithm {
        Logarithm::Floored => set.run(Logarithms(energies)),
        Logarithm::Decimal => {
            for energy in energies {
                *energy = energy.max(1e-10).log10();
            }
        }
        Logarithm::Guarded => {
            const GUARD: f32 = 1.0 / (1 << 24) as f32;
            for energy in energies {
                *energy = (*energy + GUARD).ln();
            }
        }
    }
}
