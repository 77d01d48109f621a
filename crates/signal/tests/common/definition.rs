//! Features by their definitions, written down a second time.

use std::f64::consts::{PI, TAU};

use labyrinth_signal::{FeatureKind, FeatureOptions, WindowType};

/// The definition, written down a second time: double precision, the transform as a sum, the
/// triangles by their corners.
pub fn by_definition(options: &FeatureOptions, samples: &[f32]) -> Vec<Vec<f64>> {
    let rate = f64::from(options.sample_frequency);
    let length = (rate * f64::from(options.frame_length) / 1000.0).floor() as i64;
    let shift = (rate * f64::from(options.frame_shift) / 1000.0).floor() as i64;
    let points = if options.round_to_power_of_two {
        (length as u64).next_power_of_two() as i64
    } else {
        length
    };
    let total = samples.len() as i64;
    let sample = |mut index: i64| {
        while !(0..total).contains(&index) {
            index = if index < 0 { -index - 1 } else { 2 * total - 1 - index };
        }
        f64::from(samples[index as usize]) * 32768.0
    };
    let starts: Vec<i64> = if options.snip_edges {
        (0..).map(|frame| frame * shift).take_while(|start| start + length <= total).collect()
    } else {
        let count = (total + shift / 2) / shift;
        (0..count).map(|frame| frame * shift + shift / 2 - length / 2).collect()
    };
    let mut rows = Vec::new();
    for start in starts {
        let mut frame: Vec<f64> = (start..start + length).map(sample).collect();
        if options.remove_dc_offset {
            let mean = frame.iter().sum::<f64>() / length as f64;
            frame.iter_mut().for_each(|value| *value -= mean);
        }
        let before = frame.clone();
        for (i, value) in frame.iter_mut().enumerate() {
            *value -= f64::from(options.preemphasis_coefficient) * before[i.saturating_sub(1)];
            let angle = TAU * i as f64 / (length - 1) as f64;
            *value *= match options.window_type {
                WindowType::Hamming => 0.54 - 0.46 * angle.cos(),
                _ => (0.5 - 0.5 * angle.cos()).powf(0.85),
            };
        }
        let power: Vec<f64> = (0..=points / 2)
            .map(|bin| {
                let (mut re, mut im) = (0.0, 0.0);
                for (i, value) in frame.iter().enumerate() {
                    let angle = TAU * ((bin * i as i64) % points) as f64 / points as f64;
                    re += value * angle.cos();
                    im -= value * angle.sin();
                }
                re * re + im * im
            })
            .collect();
        let energy = |frame: &[f64]| {
            let squares: f64 = frame.iter().map(|value| value * value).sum();
            squares.max(f64::from(f32::EPSILON)).ln()
        };
        let energy = if options.raw_energy { energy(&before) } else { energy(&frame) };
        rows.push(match options.kind {
            FeatureKind::Energy => vec![energy],
            FeatureKind::Spectrogram => power,
            FeatureKind::LogSpectrogram => {
                let mut row = logarithms(power);
                if options.use_energy {
                    row[0] = energy;
                }
                row
            }
            FeatureKind::Fbank => {
                let mut row = logarithms(filters(options, &power, points));
                if options.use_energy {
                    row.insert(if options.htk_compat { row.len() } else { 0 }, energy);
                }
                row
            }
            FeatureKind::Mfcc => {
                let mut row = mfcc(options, &logarithms(filters(options, &power, points)));
                arrange(options, energy, &mut row);
                row
            }
            FeatureKind::Plp => {
                let mut row = plp(options, &filters(options, &power, points));
                arrange(options, energy, &mut row);
                row
            }
        });
    }
    rows
}

fn mel(frequency: f64) -> f64 {
    1127.0 * (1.0 + frequency / 700.0).ln()
}

fn logarithms(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(|value| value.max(f64::from(f32::EPSILON)).ln()).collect()
}

/// The peak of triangle `bin` and half its width, in mel.
fn triangle(options: &FeatureOptions, bin: usize) -> (f64, f64) {
    let nyquist = f64::from(options.sample_frequency) / 2.0;
    let (low, high) = (mel(f64::from(options.low_freq)), mel(nyquist));
    let step = (high - low) / (options.num_mel_bins + 1) as f64;
    (low + (bin + 1) as f64 * step, step)
}

fn filters(options: &FeatureOptions, power: &[f64], points: i64) -> Vec<f64> {
    let width = f64::from(options.sample_frequency) / points as f64;
    (0..options.num_mel_bins)
        .map(|bin| {
            let (center, step) = triangle(options, bin);
            let height =
                |k: usize| (1.0 - ((mel(k as f64 * width) - center) / step).abs()).max(0.0);
            (0..power.len() - 1).map(|k| power[k] * height(k)).sum()
        })
        .collect()
}

fn lifter(options: &FeatureOptions, k: usize) -> f64 {
    let constant = f64::from(options.cepstral_lifter);
    if constant == 0.0 { 1.0 } else { 1.0 + constant / 2.0 * (PI * k as f64 / constant).sin() }
}

/// The cosine transform, by projecting on vectors that are made to length 1.
fn mfcc(options: &FeatureOptions, logarithms: &[f64]) -> Vec<f64> {
    let bins = logarithms.len() as f64;
    (0..options.num_ceps)
        .map(|k| {
            let vector: Vec<f64> = (0..logarithms.len())
                .map(|bin| (PI * k as f64 * (2 * bin + 1) as f64 / (2.0 * bins)).cos())
                .collect();
            let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
            let product: f64 = vector.iter().zip(logarithms).map(|(a, b)| a * b).sum();
            // HTK does not make the constant vector shorter than the others.
            let scale = if k == 0 && options.htk_compat { 2f64.sqrt() } else { 1.0 };
            scale * lifter(options, k) * product / length
        })
        .collect()
}

/// Perceptual linear prediction by another road: the normal equations by elimination, the cepstrum
/// as the transform of the logarithm of the model's spectrum.
fn plp(options: &FeatureOptions, energies: &[f64]) -> Vec<f64> {
    let heard: Vec<f64> = energies
        .iter()
        .enumerate()
        .map(|(bin, energy)| {
            let hertz = 700.0 * ((triangle(options, bin).0 / 1127.0).exp() - 1.0);
            let square = hertz * hertz;
            let low = square / (square + 400.0 * 400.0);
            let loudness = low * low * (square + 1200.0 * 1200.0) / (square + 3100.0 * 3100.0);
            (loudness * energy).powf(f64::from(options.compress_factor))
        })
        .collect();
    let mut half = vec![heard[0]];
    half.extend(&heard);
    half.push(heard[heard.len() - 1]);
    // The whole even spectrum, and its inverse transform as it is defined.
    let mut spectrum = half.clone();
    spectrum.extend(half[1..half.len() - 1].iter().rev());
    let size = spectrum.len() as f64;
    let correlation = |lag: usize| {
        let cosines = (0..spectrum.len()).map(|j| (TAU * (j * lag) as f64 / size).cos());
        spectrum.iter().zip(cosines).map(|(a, b)| a * b).sum::<f64>() / size
    };
    let order = options.lpc_order;
    let correlations: Vec<f64> = (0..=order).map(correlation).collect();
    let matrix = (0..order).map(|i| {
        let row = (0..order).map(|j| correlations[i.abs_diff(j)]);
        row.chain([correlations[i + 1]]).collect()
    });
    let predictor = solve(matrix.collect());
    let explained: f64 = predictor.iter().zip(&correlations[1..]).map(|(a, r)| a * r).sum();
    let error = correlations[0] - explained;
    const POINTS: usize = 4096;
    let log_model: Vec<f64> = (0..POINTS)
        .map(|point| {
            let (mut re, mut im) = (1.0, 0.0);
            for (i, a) in predictor.iter().enumerate() {
                let angle = TAU * ((point * (i + 1)) % POINTS) as f64 / POINTS as f64;
                re -= a * angle.cos();
                im += a * angle.sin();
            }
            error.ln() - (re * re + im * im).ln()
        })
        .collect();
    (0..options.num_ceps)
        .map(|k| {
            let cosine = |j: usize| (TAU * ((j * k) % POINTS) as f64 / POINTS as f64).cos();
            let sum: f64 = log_model.iter().enumerate().map(|(j, value)| value * cosine(j)).sum();
            let value = if k == 0 { (sum / POINTS as f64).max(0.0) } else { sum / POINTS as f64 };
            value * lifter(options, k) * f64::from(options.cepstral_scale)
        })
        .collect()
}

/// Solves a system given as rows with the right side behind, by elimination.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let size = rows.len();
    for pivot in 0..size {
        let best = (pivot..size)
            .max_by(|a, b| rows[*a][pivot].abs().total_cmp(&rows[*b][pivot].abs()))
            .expect("rows are left");
        rows.swap(pivot, best);
        let lead = rows[pivot].clone();
        for (index, row) in rows.iter_mut().enumerate() {
            let factor = row[pivot] / lead[pivot];
            if index != pivot {
                row.iter_mut().zip(&lead).for_each(|(value, lead)| *value -= factor * lead);
            }
        }
    }
    (0..size).map(|i| rows[i][size] / rows[i][i]).collect()
}

fn arrange(options: &FeatureOptions, energy: f64, row: &mut Vec<f64>) {
    if options.use_energy {
        row[0] = energy;
    }
    if options.htk_compat {
        let first = row.remove(0);
        row.push(first);
    }
}
