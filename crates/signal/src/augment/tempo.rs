//! Another tempo at the same pitch: overlap and add of stretches that fit each other (WSOLA).
//!
//! Verhelst and Roelands, "An overlap-add technique based on waveform similarity (WSOLA) for high
//! quality time-scale modification of speech", ICASSP 1993. The output is a sum of stretches of
//! the input, each `2 S` samples under Hann's window, one every `S` samples; since
//! w[i] + w[i + S] = 1, a stretch that continues the one before it copies the input unchanged. For
//! a tempo `a`, stretch k should be centred at input sample a k S. Taken from exactly there it
//! would meet its neighbour out of phase, and the voice would sound rough. So each may move by up
//! to `D` samples, to where it resembles most what would have followed its predecessor:
//!
//! ```text
//! c[k] = a k S + argmax over |d| <= D of  sum over i of p[i] q[i] / sqrt(sum of q[i]^2)
//! p[i] = x[c[k-1] + i],   q[i] = x[a k S + d - S + i],   0 <= i < S
//! ```
//!
//! (the correlation over the half in which the two overlap, normalised so that a loud place does
//! not win for being loud; between equals the smallest move wins). `S` is 15 ms. `D` is 10 ms, so
//! that the 20 ms searched hold a period of any voice above 50 Hz; it bounds how far a label's
//! time may be off: t becomes t / a, give or take 10 ms.
//!
//! Book: book/src/training.md

use crate::resample::{LANES, dot};

/// Half of a stretch, and the distance between two, in seconds.
const HALF_SECONDS: f64 = 0.015;

/// The furthest that a stretch moves, in seconds.
const MOVE_SECONDS: f64 = 0.010;

/// Plays samples `factor` times as fast at the same pitch: the length becomes `length / factor`,
/// rounded. Factors that are not above zero leave the samples as they are.
pub fn change_tempo(samples: &[f32], factor: f64, sample_rate: u32) -> Vec<f32> {
    if !(1e-3..1e3).contains(&factor) || factor == 1.0 || samples.is_empty() {
        return samples.to_vec();
    }
    let rate = f64::from(sample_rate.max(1));
    let half = ((HALF_SECONDS * rate).round() as usize).max(1).next_multiple_of(LANES);
    let reach = (MOVE_SECONDS * rate).round() as usize;
    let length = (samples.len() as f64 / factor).round() as usize;
    let stretches = length.div_ceil(half) + 1;
    let place = |stretch: usize| (stretch as f64 * half as f64 * factor).round() as usize;
    // Silence before and after, so that every stretch lies inside; sample 0 is at `lead`.
    let lead = half + reach;
    let end = lead + place(stretches - 1) + reach + 2 * half;
    let mut input = vec![0f32; end.max(lead + samples.len())];
    input[lead..lead + samples.len()].copy_from_slice(samples);
    let energies = running_energies(&input);
    let window: Vec<f32> = (0..half)
        .map(|i| (0.5 - 0.5 * (std::f64::consts::PI * i as f64 / half as f64).cos()) as f32)
        .collect();

    let mut output = vec![0f32; (stretches + 1) * half]; // sample 0 is at `half`
    let mut before = lead; // the centre of the stretch before
    for stretch in 0..stretches {
        let wanted = lead + place(stretch);
        let center = match stretch {
            0 => lead,
            _ => {
                let follows = &input[before..before + half];
                best_center(&input, &energies, follows, wanted, reach)
            }
        };
        let target = &mut output[stretch * half..(stretch + 2) * half];
        let source = &input[center - half..center + half];
        for i in 0..half {
            target[i] += window[i] * source[i];
            target[half + i] += (1.0 - window[i]) * source[half + i];
        }
        before = center;
    }
    output.drain(..half);
    output.truncate(length);
    output
}

/// Sums of squares before each sample, so that a difference is the energy of a range.
fn running_energies(input: &[f32]) -> Vec<f64> {
    let mut sum = 0.0;
    let mut energies = Vec::with_capacity(input.len() + 1);
    energies.push(0.0);
    energies.extend(input.iter().map(|&sample| {
        sum += f64::from(sample).powi(2);
        sum
    }));
    energies
}

/// The centre, at most `reach` from `wanted`, before which the input resembles `follows` most.
fn best_center(
    input: &[f32],
    energies: &[f64],
    follows: &[f32],
    wanted: usize,
    reach: usize,
) -> usize {
    let half = follows.len();
    let score = |center: usize| {
        let begin = center - half;
        let energy = energies[center] - energies[begin];
        // The difference of two sums is exact to about 1e-16 of the whole recording's energy.
        if energy <= 1e-12 * energies[energies.len() - 1] {
            return 0.0;
        }
        f64::from(dot(&input[begin..center], follows)) / energy.sqrt()
    };
    let (mut best, mut center) = (score(wanted), wanted);
    for distance in 1..=reach {
        for candidate in [wanted - distance, wanted + distance] {
            let score = score(candidate);
            if score > best {
                (best, center) = (score, candidate);
            }
        }
    }
    center
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::test_sounds::{decibels, tone, white};

    /// Amplitude of the best fitting tone of `step` over the middle half, and the root mean square
    /// of the rest, over pieces of `piece` samples each of which may have its own phase.
    fn fit(samples: &[f32], step: f64, piece: usize) -> (f64, f64) {
        let middle = &samples[samples.len() / 4..samples.len() * 3 / 4];
        let (mut amplitudes, mut rest, mut count) = (0.0, 0.0, 0.0);
        for piece in middle.chunks_exact(piece) {
            // Least squares over sine and cosine, solved by hand.
            let (mut ss, mut sc, mut cc, mut xs, mut xc) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (i, &x) in piece.iter().enumerate() {
                let (s, c) = (step * i as f64).sin_cos();
                ss += s * s;
                sc += s * c;
                cc += c * c;
                xs += f64::from(x) * s;
                xc += f64::from(x) * c;
            }
            let determinant = ss * cc - sc * sc;
            let (a, b) = ((xs * cc - xc * sc) / determinant, (xc * ss - xs * sc) / determinant);
            amplitudes += a.hypot(b);
            for (i, &x) in piece.iter().enumerate() {
                let (s, c) = (step * i as f64).sin_cos();
                rest += (f64::from(x) - a * s - b * c).powi(2);
            }
            count += 1.0;
        }
        (amplitudes / count, (rest / (count * piece as f64)).sqrt())
    }

    #[test]
    fn tempo_changes_the_length_and_not_the_pitch() {
        for rate in [8000u32, 16_000, 44_100] {
            for frequency in [60.0, 100.0, 137.0, 440.0, 1000.0] {
                let step = std::f64::consts::TAU * frequency / f64::from(rate);
                let sound = tone(step, rate as usize);
                for factor in [0.5, 0.8, 0.9, 1.1, 1.25, 2.0] {
                    let changed = change_tempo(&sound, factor, rate);
                    let length = (f64::from(rate) / factor).round() as usize;
                    assert_eq!(changed.len(), length);
                    // Ten periods at a time: had the pitch changed by the factor, the phase would
                    // turn by at least a whole period within each.
                    let piece = (10.0 * f64::from(rate) / frequency) as usize;
                    let (amplitude, rest) = fit(&changed, step, piece.min(length / 8));
                    let ratio = decibels((rest / amplitude).powi(2));
                    assert!((amplitude - 0.5).abs() < 0.03, "{frequency} x {factor}: {amplitude}");
                    assert!(ratio < -18.0, "{frequency} Hz x {factor} at {rate}: {ratio} dB");
                    let crossings = |samples: &[f32]| {
                        samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count()
                    };
                    let found = crossings(&changed) as f64 / length as f64 * f64::from(rate);
                    assert!((found / frequency - 1.0).abs() < 0.04, "{found} of {frequency} Hz");
                }
            }
        }
    }

    /// Clicks are what a pitch of their own cannot hide: each must be found where it belongs.
    #[test]
    fn events_stay_at_their_times() {
        let rate = 16_000;
        for factor in [0.7, 0.9, 1.1, 1.5] {
            let mut sound = vec![0f32; 32_000];
            let times = [4000usize, 12_000, 20_000, 28_000];
            for time in times {
                // A burst of 5 ms.
                for (offset, value) in white(3, 80).iter().enumerate() {
                    sound[time + offset] = *value;
                }
            }
            let changed = change_tempo(&sound, factor, rate);
            for time in times {
                let expected = (time + 40) as f64 / factor;
                let near = expected as usize - 2000..(expected as usize + 2000).min(changed.len());
                let energy = |range: std::ops::Range<usize>| {
                    range.map(|i| f64::from(changed[i]).powi(2)).sum::<f64>()
                };
                let place =
                    near.clone().map(|i| i as f64 * f64::from(changed[i]).powi(2)).sum::<f64>()
                        / energy(near);
                let milliseconds = (place - expected) / 16.0;
                // The move of the input's stretch, and where in the stretch the burst lay.
                assert!(milliseconds.abs() < 16.0, "{factor}: {milliseconds} ms");
            }
        }
    }

    #[test]
    fn noise_keeps_its_power() {
        let sound = white(1, 32_000);
        let power = |samples: &[f32]| {
            samples.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / samples.len() as f64
        };
        for factor in [0.8, 1.2] {
            let ratio = decibels(power(&change_tempo(&sound, factor, 16_000)) / power(&sound));
            // Where unlike stretches overlap, the mean of w^2 + (1 - w)^2 is 3/4, or -1.25 dB.
            assert!((-1.4..0.2).contains(&ratio), "{factor}: {ratio} dB");
        }
    }

    #[test]
    fn edges_of_use() {
        let sound = tone(0.2, 10);
        for factor in [1.0, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(change_tempo(&sound, factor, 16_000), sound);
        }
        assert!(change_tempo(&[], 0.9, 16_000).is_empty());
        for count in [1usize, 2, 3, 15, 16, 17, 239, 240, 241, 1000] {
            for factor in [0.25, 0.9, 1.1, 4.0] {
                for rate in [0, 1, 100, 8000, 16_000, 192_000] {
                    let silent = change_tempo(&vec![0.0; count], factor, rate);
                    assert_eq!(silent, vec![0.0; (count as f64 / factor).round() as usize]);
                    let loud = change_tempo(&vec![1.0; count], factor, rate);
                    assert!(loud.iter().all(|v| (0.0..=1.0001).contains(v)), "{count} {factor}");
                }
            }
        }
    }
}
