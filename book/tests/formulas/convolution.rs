//! Convolution: the sum, its gradients, how far it sees; batch norm, its gradient, what padding would do to it.

use labyrinth::kernels::batch_norm::{batch_norm_backward, batch_norm_train_forward};
use labyrinth::kernels::{Convolution, Cpu};
use labyrinth::nn::Reach;
use labyrinth::signal::Random;

fn noise(seed: u64, count: usize) -> Vec<f64> {
    let mut random = Random::from_key(&[seed]);
    (0..count).map(|_| random.uniform() - 0.5).collect()
}

const BINS: usize = 7;
const LENGTHS: [usize; 2] = [11, 6];

fn shapes() -> Vec<Convolution> {
    let mut shapes = Vec::new();
    for (kernel, stride, padding) in
        [([3, 3], [2, 2], [1, 1]), ([3, 5], [1, 2], [1, 2]), ([4, 2], [3, 1], [2, 0])]
    {
        shapes.push(Convolution { in_channels: 2, out_channels: 3, kernel, stride, padding });
    }
    shapes
}

/// Calls `each` with output, input and weight wherever a weight meets an input: the sum of the chapter.
fn meetings(c: &Convolution, mut each: impl FnMut(usize, usize, usize)) {
    let (mut first, mut out_first) = (0, 0);
    for frames in LENGTHS {
        let (out_frames, out_bins) = (c.output_frames(frames), c.output_bins(BINS));
        for t in 0..out_frames {
            for f in 0..out_bins {
                for o in 0..c.out_channels {
                    let y = ((out_first + t) * out_bins + f) * c.out_channels + o;
                    for i in 0..c.kernel[0] {
                        for j in 0..c.kernel[1] {
                            let time = (t * c.stride[0] + i) as i64 - c.padding[0] as i64;
                            let bin = (f * c.stride[1] + j) as i64 - c.padding[1] as i64;
                            if !(0..frames as i64).contains(&time)
                                || !(0..BINS as i64).contains(&bin)
                            {
                                continue;
                            }
                            for channel in 0..c.in_channels {
                                let row = first + time as usize;
                                let x = (row * BINS + bin as usize) * c.in_channels + channel;
                                let w = ((o * c.in_channels + channel) * c.kernel[0] + i)
                                    * c.kernel[1]
                                    + j;
                                each(y, x, w);
                            }
                        }
                    }
                }
            }
        }
        first += frames;
        out_first += out_frames;
    }
}

fn forward(c: &Convolution, x: &[f64], w: &[f64], b: &[f64]) -> Vec<f64> {
    let rows: usize = LENGTHS.iter().map(|&frames| c.output_frames(frames)).sum();
    let mut y = vec![f64::NAN; rows * c.output_bins(BINS) * c.out_channels];
    c.forward(Cpu::detect(), x, &LENGTHS, BINS, w, b, &mut y).unwrap();
    y
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-11), "{a:?}\n{b:?}");
}

#[test]
fn outputs_and_gradients_are_the_sums_of_the_page() {
    for c in shapes() {
        // Lengths by laying windows down one by one.
        for n in 1..40 {
            let mut laid = 0;
            while laid * c.stride[0] + c.kernel[0] <= n + 2 * c.padding[0] {
                laid += 1;
            }
            assert_eq!(c.output_frames(n), laid);
        }
        let x = noise(1, LENGTHS.iter().sum::<usize>() * BINS * c.in_channels);
        let (w, b) = (noise(2, c.weight_len()), noise(3, c.out_channels));
        let y = forward(&c, &x, &w, &b);
        let mut expected: Vec<f64> = (0..y.len()).map(|y| b[y % c.out_channels]).collect();
        meetings(&c, |y, at, tap| expected[y] += x[at] * w[tap]);
        close(&y, &expected);

        let dy = noise(4, y.len());
        let (mut dx, mut dw, mut db) =
            (vec![f64::NAN; x.len()], vec![0.0; w.len()], vec![0.0; b.len()]);
        let cpu = Cpu::detect();
        c.backward(cpu, &x, &LENGTHS, BINS, &w, &dy, Some(&mut dx), &mut dw, &mut db).unwrap();
        let (mut wanted_dx, mut wanted_dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
        meetings(&c, |y, at, tap| {
            wanted_dx[at] += dy[y] * w[tap];
            wanted_dw[tap] += dy[y] * x[at];
        });
        close(&dx, &wanted_dx);
        close(&dw, &wanted_dw);
        let wanted_db: Vec<f64> =
            (0..b.len()).map(|o| dy.iter().skip(o).step_by(b.len()).sum()).collect();
        close(&db, &wanted_db);

        // The same as phases: u, a from τ = t + p, taps a + s j from u − j.
        let [s, p] = [c.stride[0], c.padding[0]];
        for t in 0..LENGTHS[0] {
            let (u, a) = ((t + p) / s, (t + p) % s);
            let by_phases: Vec<(usize, usize)> = (0..=u)
                .map(|j| (u - j, a + s * j))
                .filter(|&(out, tap)| tap < c.kernel[0] && out < c.output_frames(LENGTHS[0]))
                .collect();
            let mut by_windows: Vec<(usize, usize)> = (0..c.output_frames(LENGTHS[0]))
                .flat_map(|out| (0..c.kernel[0]).map(move |tap| (out, tap)))
                .filter(|&(out, tap)| out * s + tap == t + p)
                .collect();
            by_windows.reverse();
            assert_eq!(by_phases, by_windows);
        }

        // And as slopes of L = Σ dy · y.
        let loss = |x: &[f64], w: &[f64]| -> f64 {
            forward(&c, x, w, &b).iter().zip(&dy).map(|(y, d)| y * d).sum()
        };
        let step = 1e-4;
        for at in (0..x.len()).step_by(13) {
            let (mut more, mut less) = (x.clone(), x.clone());
            more[at] += step;
            less[at] -= step;
            assert!(((loss(&more, &w) - loss(&less, &w)) / (2.0 * step) - dx[at]).abs() < 1e-8);
        }
        for at in 0..w.len() {
            let (mut more, mut less) = (w.clone(), w.clone());
            more[at] += step;
            less[at] -= step;
            assert!(((loss(&x, &more) - loss(&x, &less)) / (2.0 * step) - dw[at]).abs() < 1e-8);
        }
    }
}

#[test]
fn an_output_notices_the_frames_that_its_reach_names() {
    let first = Convolution {
        in_channels: 1,
        out_channels: 1,
        kernel: [3, 1],
        stride: [2, 1],
        padding: [1, 0],
    };
    let second = Convolution { kernel: [5, 1], stride: [3, 1], padding: [2, 0], ..first };
    let reach = Reach::window(3, 2, 1).then(Reach::window(5, 3, 2));
    assert_eq!(reach, Reach { stride: 6, before: Some(1 + 2 * 2), after: Some(1 + 2 * 2) });
    let frames = 60;
    let run = |x: &[f64]| {
        let middle = first.output_frames(frames);
        let mut y = vec![0.0; middle];
        let cpu = Cpu::detect();
        first.forward(cpu, x, &[frames], 1, &[0.3, 0.4, 0.5], &[0.1], &mut y).unwrap();
        let mut z = vec![0.0; second.output_frames(middle)];
        let weights = [0.1, 0.2, 0.3, 0.4, 0.5];
        second.forward(cpu, &y, &[middle], 1, &weights, &[0.0], &mut z).unwrap();
        z
    };
    let x = noise(5, frames);
    let before = run(&x);
    for changed in 0..frames {
        let mut other = x.clone();
        other[changed] += 1.0;
        for (t, (a, b)) in before.iter().zip(run(&other)).enumerate() {
            let (low, high) = (t as i64 * 6 - 5, t as i64 * 6 + 5);
            assert_eq!(*a != b, (low..=high).contains(&(changed as i64)), "{t} {changed}");
        }
    }
}

#[test]
fn batch_norm_and_its_gradient_are_those_of_the_page() {
    let (n, channels, epsilon) = (50, 3, 1e-5);
    let x: Vec<f64> = noise(6, n * channels).iter().map(|x| 3.0 * x + 1.0).collect();
    let (gamma, beta) = (noise(7, channels), noise(8, channels));
    let dy = noise(9, x.len());
    let cpu = Cpu::detect();
    let mut y = vec![0.0; x.len()];
    let (mut mean, mut inverse) = (vec![0.0; channels], vec![0.0; channels]);
    batch_norm_train_forward(
        cpu,
        &x,
        channels,
        &gamma,
        &beta,
        epsilon,
        &mut y,
        &mut mean,
        &mut inverse,
    )
    .unwrap();
    let (mut dx, mut dgamma, mut dbeta) =
        (vec![0.0; x.len()], vec![0.0; channels], vec![0.0; channels]);
    batch_norm_backward(
        cpu,
        &x,
        channels,
        &gamma,
        &mean,
        &inverse,
        &dy,
        &mut dx,
        &mut dgamma,
        &mut dbeta,
    )
    .unwrap();
    for c in 0..channels {
        let of = |values: &[f64]| -> Vec<f64> {
            values.iter().skip(c).step_by(channels).copied().collect()
        };
        let (x, y, dy, dx) = (of(&x), of(&y), of(&dy), of(&dx));
        let mu = x.iter().sum::<f64>() / n as f64;
        let v = x.iter().map(|x| (x - mu).powi(2)).sum::<f64>() / n as f64;
        let r = 1.0 / (v + epsilon).sqrt();
        let hat: Vec<f64> = x.iter().map(|x| (x - mu) * r).collect();
        let along: f64 = dy.iter().zip(&hat).map(|(d, h)| d * h).sum();
        let total: f64 = dy.iter().sum();
        assert!((dgamma[c] - along).abs() < 1e-11 && (dbeta[c] - total).abs() < 1e-11);
        for i in 0..n {
            assert!((y[i] - (gamma[c] * hat[i] + beta[c])).abs() < 1e-11);
            let formula = gamma[c] * r * (dy[i] - total / n as f64 - hat[i] * along / n as f64);
            assert!((dx[i] - formula).abs() < 1e-11);
            // The slopes of x̂ that the formula was multiplied from.
            let slope = |j: usize| {
                r * (f64::from(u8::from(i == j)) - 1.0 / n as f64 - hat[i] * hat[j] / n as f64)
            };
            let summed: f64 = (0..n).map(|j| dy[j] * slope(j)).sum::<f64>() * gamma[c];
            assert!((dx[i] - summed).abs() < 1e-11);
        }
        // What zeros behind the utterances would make of mean and variance.
        let mut padded = x.clone();
        padded.resize(n + 30, 0.0);
        let q = 30.0 / (n + 30) as f64;
        let all = padded.len() as f64;
        let padded_mu = padded.iter().sum::<f64>() / all;
        let padded_v = padded.iter().map(|x| (x - padded_mu).powi(2)).sum::<f64>() / all;
        assert!((padded_mu - (1.0 - q) * mu).abs() < 1e-12);
        assert!((padded_v - (1.0 - q) * (v + q * mu * mu)).abs() < 1e-12);
    }
}
