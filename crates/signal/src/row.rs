//! What becomes of one power spectrum: the row of features that its kind asks for.

use crate::cepstrum::CosineTransform;
use crate::feature_options::{FeatureError, FeatureKind, FeatureOptions, Logarithm};
use crate::features::floored_log;
use crate::mel::MelBanks;
use crate::plp::LinearPrediction;

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
    shape: Shape,
    kind: FeatureKind,
    use_energy: bool,
    htk_compat: bool,
    htk_mode: bool,
    use_power: bool,
    use_log_fbank: bool,
    logarithm: Logarithm,
    dim: usize,
    filters: Vec<f32>, // [bins]: energies of the filters of one frame
}

impl RowMaker {
    /// Prepares rows for spectra of a transform of `points` points, for options that were checked.
    pub(crate) fn new(options: &FeatureOptions, points: usize) -> Result<Self, FeatureError> {
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
        Ok(RowMaker {
            shape,
            kind: options.kind,
            use_energy: options.use_energy,
            htk_compat: options.htk_compat,
            htk_mode: options.htk_mode,
            use_power: options.use_power,
            use_log_fbank: options.use_log_fbank,
            logarithm: options.logarithm,
            dim,
            filters: Vec::with_capacity(options.num_mel_bins),
        })
    }

    /// Numbers per row.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// Appends the row of one frame to `out`; `power`, `[points / 2 + 1]`, is used up.
    pub(crate) fn append(&mut self, power: &mut [f32], energy: f32, out: &mut Vec<f32>) {
        let start = out.len();
        match &mut self.shape {
            Shape::Energy => out.push(energy),
            Shape::Spectrum => match self.kind {
                FeatureKind::LogSpectrogram => {
                    out.extend(power.iter().map(|power| floored_log(*power)));
                    if self.use_energy {
                        out[start] = energy;
                    }
                }
                _ => out.extend_from_slice(power),
            },
            Shape::Filters(banks) => {
                if !self.use_power {
                    for power in &mut *power {
                        *power = power.sqrt();
                    }
                }
                if self.use_energy && !self.htk_compat {
                    out.push(energy);
                }
                let first = out.len();
                banks.apply(power, out);
                raise(&mut out[first..], self.htk_mode);
                if self.use_log_fbank {
                    take_logarithms(&mut out[first..], self.logarithm);
                }
                if self.use_energy && self.htk_compat {
                    out.push(energy);
                }
            }
            Shape::Cosine(banks, transform) => {
                self.filters.clear();
                banks.apply(power, &mut self.filters);
                raise(&mut self.filters, self.htk_mode);
                take_logarithms(&mut self.filters, self.logarithm);
                transform.apply(&self.filters, out);
                self.finish_cepstrum(energy, &mut out[start..]);
            }
            Shape::Prediction(banks, prediction) => {
                self.filters.clear();
                banks.apply(power, &mut self.filters);
                raise(&mut self.filters, self.htk_mode);
                prediction.apply(&self.filters, out);
                self.finish_cepstrum(energy, &mut out[start..]);
            }
        }
    }

    /// Puts the energy in the place of coefficient 0, and either where it belongs.
    fn finish_cepstrum(&self, energy: f32, row: &mut [f32]) {
        if self.use_energy {
            row[0] = energy;
        }
        if self.htk_compat {
            row.rotate_left(1);
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

fn take_logarithms(energies: &mut [f32], logarithm: Logarithm) {
    match logarithm {
        Logarithm::Floored => {
            for energy in energies {
                *energy = floored_log(*energy);
            }
        }
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
