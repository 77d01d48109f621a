//! Means over bins, over the frames of an utterance, or over both: global average pooling.
//!
//! y = Σ x / n and dL/dx = dL/dy / n for each of the n terms. The sum runs in chains of 256 terms whose
//! sums are then added in order: a matter of n alone.
//!
//! Book: book/src/convolution.md

use rayon::prelude::*;

use crate::blocks::row_task;
use crate::cpu::{Cpu, per_isa};
use crate::error::{KernelError, check_least, check_size, elements, total_rows};
use crate::lanes::{Lanes, load, over_channels, store};
use crate::real::Real;

/// Terms whose sum is one chain of additions, as in `vector.rs`.
const CHAIN: usize = 256;

/// The means of the columns of `x` `[rows, width]`.
struct Mean<'a, T> {
    x: &'a [T],
    width: usize,
    y: &'a mut [T],
}

impl<T: Real> Lanes for Mean<'_, T> {
    #[inline(always)]
    fn run<const L: usize>(&mut self, channel: usize) {
        let rows = self.x.len() / self.width;
        let mut total = [T::ZERO; L];
        for first in (0..rows).step_by(CHAIN) {
            let mut chain = [T::ZERO; L];
            for row in first..rows.min(first + CHAIN) {
                let values: [T; L] = load(self.x, row * self.width + channel);
                for (sum, value) in chain.iter_mut().zip(values) {
                    *sum += value;
                }
            }
            for (total, chain) in total.iter_mut().zip(chain) {
                *total += chain;
            }
        }
        let rows = T::from_usize(rows);
        store(self.y, channel, total.map(|total| total / rows));
    }
}

per_isa! {
    /// y = the means of groups of `count` rows each; y is `[groups, width]`.
    fn means<T>(x: &[T], count: usize, width: usize, y: &mut [T]) {
        for (x, y) in x.chunks_exact(count * width).zip(y.chunks_exact_mut(width)) {
            over_channels(width, &mut Mean { x, width, y });
        }
    }

    /// Every row of a group of `count` gets that group's dy / count.
    fn spread<T>(dy: &[T], count: usize, width: usize, dx: &mut [T]) {
        let divisor = T::from_usize(count);
        for (dy, dx) in dy.chunks_exact(width).zip(dx.chunks_exact_mut(count * width)) {
            let (first, rest) = dx.split_at_mut(width);
            for (dx, &dy) in first.iter_mut().zip(dy) {
                *dx = dy / divisor;
            }
            for row in rest.chunks_exact_mut(width) {
                row.copy_from_slice(first);
            }
        }
    }
}

/// Elements of x and y of a mean over the frames of each utterance, rows of `width`.
fn check(
    operation: &'static str,
    lengths: &[usize],
    bins: usize,
    width: usize,
) -> Result<[usize; 2], KernelError> {
    check_least(operation, "the number of bins", bins, 1)?;
    check_least(operation, "the number of channels", width, 1)?;
    let rows = total_rows(operation, lengths)?;
    let y = elements(operation, "y", &[lengths.len(), width])?;
    Ok([elements(operation, "x", &[rows, bins, width])?, y])
}

/// The mean of each frame over its bins: x `[rows, bins, channels]` → y `[rows, channels]`.
///
/// # Errors
/// [`KernelError`] when bins or channels are 0 or a slice does not fit; nothing is then written.
pub fn mean_over_bins_forward<T: Real>(
    cpu: Cpu,
    x: &[T],
    bins: usize,
    channels: usize,
    y: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "mean_over_bins_forward";
    check_least(OPERATION, "the number of bins", bins, 1)?;
    check_least(OPERATION, "the number of channels", channels, 1)?;
    let width = elements(OPERATION, "a row of x", &[bins, channels])?;
    check_size(OPERATION, "x", x.len(), x.len() / width * width)?;
    check_size(OPERATION, "y", y.len(), x.len() / bins)?;
    let task = row_task(width);
    x.par_chunks(task)
        .zip(y.par_chunks_mut(task / bins))
        .for_each(|(x, y)| means(cpu, x, bins, channels, y));
    Ok(())
}

/// The gradient of [`mean_over_bins_forward`]: dx is overwritten.
///
/// # Errors
/// As for [`mean_over_bins_forward`].
pub fn mean_over_bins_backward<T: Real>(
    cpu: Cpu,
    dy: &[T],
    bins: usize,
    channels: usize,
    dx: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "mean_over_bins_backward";
    check_least(OPERATION, "the number of bins", bins, 1)?;
    check_least(OPERATION, "the number of channels", channels, 1)?;
    let width = elements(OPERATION, "a row of dx", &[bins, channels])?;
    check_size(OPERATION, "dy", dy.len(), dy.len() / channels * channels)?;
    check_size(OPERATION, "dx", dx.len(), elements(OPERATION, "dx", &[dy.len(), bins])?)?;
    let task = row_task(width);
    dy.par_chunks(task / bins)
        .zip(dx.par_chunks_mut(task))
        .for_each(|(dy, dx)| spread(cpu, dy, bins, channels, dx));
    Ok(())
}

/// The mean of each utterance over its frames: x `[rows, width]`, utterance after utterance as `lengths`
/// says → y `[utterances, width]`.
///
/// # Errors
/// [`KernelError`] for an empty batch, an utterance of length 0, or a slice that does not fit; nothing
/// is then written.
pub fn mean_over_frames_forward<T: Real>(
    cpu: Cpu,
    x: &[T],
    lengths: &[usize],
    width: usize,
    y: &mut [T],
) -> Result<(), KernelError> {
    global_mean_forward(cpu, x, lengths, 1, width, y)
}

/// The gradient of [`mean_over_frames_forward`]: dx is overwritten.
///
/// # Errors
/// As for [`mean_over_frames_forward`].
pub fn mean_over_frames_backward<T: Real>(
    cpu: Cpu,
    dy: &[T],
    lengths: &[usize],
    width: usize,
    dx: &mut [T],
) -> Result<(), KernelError> {
    global_mean_backward(cpu, dy, lengths, 1, width, dx)
}

/// The mean of each utterance over its frames and bins: x `[rows, bins, channels]` → y
/// `[utterances, channels]`.
///
/// # Errors
/// [`KernelError`] for an empty batch, an utterance of length 0, or a slice that does not fit; nothing
/// is then written.
pub fn global_mean_forward<T: Real>(
    cpu: Cpu,
    x: &[T],
    lengths: &[usize],
    bins: usize,
    channels: usize,
    y: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "mean over an utterance";
    let [inputs, outputs] = check(OPERATION, lengths, bins, channels)?;
    check_size(OPERATION, "x", x.len(), inputs)?;
    check_size(OPERATION, "y", y.len(), outputs)?;
    let mut rest = x;
    let tasks: Vec<_> = lengths
        .iter()
        .zip(y.chunks_exact_mut(channels))
        .map(|(&length, y)| {
            let (own, others) = rest.split_at(length * bins * channels);
            rest = others;
            (own, length * bins, y)
        })
        .collect();
    tasks.into_par_iter().for_each(|(x, count, y)| means(cpu, x, count, channels, y));
    Ok(())
}

/// The gradient of [`global_mean_forward`]: dx is overwritten.
///
/// # Errors
/// As for [`global_mean_forward`].
pub fn global_mean_backward<T: Real>(
    cpu: Cpu,
    dy: &[T],
    lengths: &[usize],
    bins: usize,
    channels: usize,
    dx: &mut [T],
) -> Result<(), KernelError> {
    const OPERATION: &str = "gradient of the mean over an utterance";
    let [inputs, outputs] = check(OPERATION, lengths, bins, channels)?;
    check_size(OPERATION, "dy", dy.len(), outputs)?;
    check_size(OPERATION, "dx", dx.len(), inputs)?;
    let mut rest = dx;
    let tasks: Vec<_> = lengths
        .iter()
        .zip(dy.chunks_exact(channels))
        .map(|(&length, dy)| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(length * bins * channels);
            rest = others;
            (dy, length * bins, own)
        })
        .collect();
    tasks.into_par_iter().for_each(|(dy, count, dx)| spread(cpu, dy, count, channels, dx));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bits, check_gradient, every_cpu, noise, noise_of, pool};

    #[test]
    fn means_are_means_and_gradients_their_slopes() {
        let (lengths, bins, channels) = ([3usize, 1, 5], 4, 43);
        let rows: usize = lengths.iter().sum();
        let x: Vec<f64> = noise_of(1, rows * bins * channels);
        for cpu in every_cpu() {
            let mut over_bins = vec![f64::NAN; rows * channels];
            mean_over_bins_forward(cpu, &x, bins, channels, &mut over_bins).unwrap();
            let mut over_frames = vec![f64::NAN; 3 * bins * channels];
            let width = bins * channels;
            mean_over_frames_forward(cpu, &x, &lengths, width, &mut over_frames).unwrap();
            let mut global = vec![f64::NAN; 3 * channels];
            global_mean_forward(cpu, &x, &lengths, bins, channels, &mut global).unwrap();
            let at = |row: usize, bin: usize, c: usize| x[(row * bins + bin) * channels + c];
            let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-14, "{a} {b}");
            let mut first = 0;
            for (u, &length) in lengths.iter().enumerate() {
                for c in 0..channels {
                    let mut whole = 0.0;
                    for bin in 0..bins {
                        let sum: f64 = (first..first + length).map(|row| at(row, bin, c)).sum();
                        close(over_frames[(u * bins + bin) * channels + c], sum / length as f64);
                        whole += sum;
                    }
                    close(global[u * channels + c], whole / (length * bins) as f64);
                    for row in first..first + length {
                        let sum: f64 = (0..bins).map(|bin| at(row, bin, c)).sum();
                        close(over_bins[row * channels + c], sum / bins as f64);
                    }
                }
                first += length;
            }
            let mut dx = vec![f64::NAN; x.len()];
            let dy: Vec<f64> = noise_of(2, over_bins.len());
            mean_over_bins_backward(cpu, &dy, bins, channels, &mut dx).unwrap();
            check_gradient("mean over bins", &x, &dx, |x| {
                let mut y = vec![0.0; dy.len()];
                mean_over_bins_forward(cpu, x, bins, channels, &mut y).unwrap();
                y.iter().zip(&dy).map(|(y, d)| y * d).sum()
            });
            for (bins, channels) in [(1, width), (bins, channels)] {
                let dy: Vec<f64> = noise_of(3, 3 * channels);
                dx.fill(f64::NAN);
                global_mean_backward(cpu, &dy, &lengths, bins, channels, &mut dx).unwrap();
                check_gradient("mean over an utterance", &x, &dx, |x| {
                    let mut y = vec![0.0; dy.len()];
                    global_mean_forward(cpu, x, &lengths, bins, channels, &mut y).unwrap();
                    y.iter().zip(&dy).map(|(y, d)| y * d).sum()
                });
            }
        }
    }

    #[test]
    fn an_utterance_gives_the_same_bytes_in_any_company() {
        let (bins, channels) = (3, 37);
        let lengths: Vec<usize> = (0..16).map(|i| 1 + i * i * 5 % 400).collect();
        let x = noise(4, lengths.iter().sum::<usize>() * bins * channels);
        let firsts: Vec<usize> = (0..16).map(|u| lengths[..u].iter().sum()).collect();
        for cpu in every_cpu() {
            let run = |x: &[f32], lengths: &[usize], threads: usize| {
                let mut y = vec![f32::NAN; lengths.len() * channels];
                let mut frames = vec![f32::NAN; x.len() / bins];
                let mut dx = vec![f32::NAN; x.len()];
                pool(threads).install(|| {
                    global_mean_forward(cpu, x, lengths, bins, channels, &mut y).unwrap();
                    global_mean_backward(cpu, &y, lengths, bins, channels, &mut dx).unwrap();
                    mean_over_bins_forward(cpu, x, bins, channels, &mut frames).unwrap();
                });
                (bits(&y), bits(&frames), bits(&dx))
            };
            for size in [1, 2, 3, 7, 16] {
                let rows: usize = lengths[16 - size..].iter().sum();
                let batch = &x[firsts[16 - size] * bins * channels..];
                let one = run(batch, &lengths[16 - size..], 1);
                for threads in 2..=4 {
                    assert_eq!(run(batch, &lengths[16 - size..], threads), one);
                }
                assert_eq!(one.1.len(), rows * channels);
                let u = 15;
                let alone = run(&x[firsts[u] * bins * channels..], &lengths[u..], 2);
                assert!(one.0.ends_with(&alone.0));
                assert!(one.1.ends_with(&alone.1));
                assert!(one.2.ends_with(&alone.2));
            }
        }
    }

    #[test]
    fn long_means_keep_their_accuracy() {
        let x = vec![0.1f32; 100_000];
        let mut y = [0f32];
        mean_over_frames_forward(Cpu::detect(), &x, &[100_000], 1, &mut y).unwrap();
        assert!((y[0] - 0.1).abs() < 1e-7, "{}", y[0]);
    }

    #[test]
    fn misfits_are_refused() {
        let cpu = Cpu::portable();
        let mut y = [7f32; 2];
        assert!(mean_over_bins_forward(cpu, &[0.0; 6], 0, 2, &mut y).is_err());
        assert!(mean_over_bins_forward(cpu, &[0.0; 6], 2, 2, &mut y).is_err());
        let error = mean_over_bins_forward(cpu, &[0.0; 8], 2, 2, &mut y).unwrap_err();
        assert!(matches!(error, KernelError::Size { actual: 2, expected: 4, .. }), "{error}");
        assert!(mean_over_frames_forward(cpu, &[0.0; 6], &[2, 0], 2, &mut y).is_err());
        assert!(mean_over_frames_forward(cpu, &[0.0; 6], &[2], 2, &mut y).is_err());
        assert!(mean_over_frames_forward(cpu, &[0.0; 6], &[], 2, &mut y).is_err());
        assert!(mean_over_frames_backward(cpu, &[0.0; 2], &[2], 2, &mut y).is_err());
        assert!(global_mean_forward(cpu, &[], &[usize::MAX], 3, 2, &mut y).is_err());
        assert_eq!(y, [7.0; 2]);
    }
}
