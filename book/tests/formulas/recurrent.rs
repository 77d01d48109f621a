//! Recurrent layers: GRU in both variants and LSTM, forward and backward, both directions, lookahead.

use labyrinth::kernels::layer_norm::{layer_norm_backward, layer_norm_forward};
use labyrinth::kernels::{
    Cpu, Gru, GruVariant, Lstm, LstmState, LstmStateMut, RecurrentGradients, RecurrentWeights,
    linear_backward, linear_forward,
};
use labyrinth::nn::layers::{GruLayer, Lookahead};
use labyrinth::nn::{Forward, Layer, Mode, Shape};
use labyrinth::signal::Random;

const INPUT: usize = 3;
const HIDDEN: usize = 5;
const FRAMES: usize = 7;

fn noise(count: usize, key: u64) -> Vec<f64> {
    let mut random = Random::from_key(&[key]);
    (0..count).map(|_| 0.6 * random.normal()).collect()
}

fn sigma(a: f64) -> f64 {
    1.0 / (1.0 + (-a).exp())
}

/// Weights of some gates, gate after gate: W, U, b of the input and b of the state.
#[derive(Clone)]
struct Weights([Vec<f64>; 4]);

impl Weights {
    fn new(gates: usize, key: u64) -> Self {
        let rows = gates * HIDDEN;
        let sizes = [rows * INPUT, rows * HIDDEN, rows, rows];
        Self(std::array::from_fn(|part| noise(sizes[part], key + part as u64)))
    }

    fn zeros(gates: usize) -> Self {
        Self(Self::new(gates, 0).0.map(|part| vec![0.0; part.len()]))
    }

    fn lent(&self) -> RecurrentWeights<'_, f64> {
        let [w_ih, w_hh, b_ih, b_hh] = &self.0;
        RecurrentWeights { w_ih, w_hh, b_ih, b_hh }
    }

    fn lent_mut(&mut self) -> RecurrentGradients<'_, f64> {
        let [w_ih, w_hh, b_ih, b_hh] = &mut self.0;
        RecurrentGradients { w_ih, w_hh, b_ih, b_hh }
    }

    /// Number j of W x + b of one gate.
    fn input_share(&self, gate: usize, j: usize, x: &[f64]) -> f64 {
        let row = gate * HIDDEN + j;
        let sum: f64 = x.iter().enumerate().map(|(i, x)| self.0[0][row * INPUT + i] * x).sum();
        sum + self.0[2][row]
    }

    /// Number j of U h + b of one gate.
    fn state_share(&self, gate: usize, j: usize, h: &[f64]) -> f64 {
        let row = gate * HIDDEN + j;
        let sum: f64 = h.iter().enumerate().map(|(i, h)| self.0[1][row * HIDDEN + i] * h).sum();
        sum + self.0[3][row]
    }

    /// Number i of Uᵀ da of one gate.
    fn back_to_state(&self, gate: usize, i: usize, da: &[f64]) -> f64 {
        (0..HIDDEN).map(|j| self.0[1][(gate * HIDDEN + j) * HIDDEN + i] * da[j]).sum()
    }

    /// Number i of Wᵀ da of one gate.
    fn back_to_input(&self, gate: usize, i: usize, da: &[f64]) -> f64 {
        (0..HIDDEN).map(|j| self.0[0][(gate * HIDDEN + j) * INPUT + i] * da[j]).sum()
    }

    /// Adds what one frame says about one gate: `da` of the input's share, `du` of the state's.
    fn add(&mut self, gate: usize, da: &[f64], x: &[f64], du: &[f64], h: &[f64]) {
        for j in 0..HIDDEN {
            let row = gate * HIDDEN + j;
            for (i, x) in x.iter().enumerate() {
                self.0[0][row * INPUT + i] += da[j] * x;
            }
            for (i, h) in h.iter().enumerate() {
                self.0[1][row * HIDDEN + i] += du[j] * h;
            }
            self.0[2][row] += da[j];
            self.0[3][row] += du[j];
        }
    }
}

/// What a run gives: outputs, and the slopes by the input, the first state, and the weights.
struct Run {
    y: Vec<f64>,
    dx: Vec<f64>,
    dh0: Vec<f64>,
    d: Weights,
}

fn each(f: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..HIDDEN).map(f).collect()
}

/// The GRU from the page, for the loss Σ dy y.
fn gru(variant: GruVariant, w: &Weights, x: &[f64], h0: &[f64], dy: &[f64]) -> Run {
    let after = variant == GruVariant::ResetAfter;
    let (mut h, mut y, mut kept) = (h0.to_vec(), Vec::new(), Vec::new());
    for x in x.chunks(INPUT) {
        let r = each(|j| sigma(w.input_share(0, j, x) + w.state_share(0, j, &h)));
        let z = each(|j| sigma(w.input_share(1, j, x) + w.state_share(1, j, &h)));
        let p = each(|j| r[j] * h[j]);
        let q = each(|j| w.state_share(2, j, &h));
        let n = each(|j| {
            let state = if after { r[j] * q[j] } else { w.state_share(2, j, &p) };
            (w.input_share(2, j, x) + state).tanh()
        });
        let next = each(|j| (1.0 - z[j]) * n[j] + z[j] * h[j]);
        kept.push([r, z, n, if after { q } else { p }, std::mem::replace(&mut h, next)]);
        y.extend_from_slice(&h);
    }
    let (mut dx, mut d, mut carry) = (vec![0.0; x.len()], Weights::zeros(3), vec![0.0; HIDDEN]);
    for t in (0..kept.len()).rev() {
        let [r, z, n, kept, h] = &kept[t];
        let x = &x[t * INPUT..][..INPUT];
        let dh = each(|j| dy[t * HIDDEN + j] + carry[j]);
        let da_z = each(|j| dh[j] * (h[j] - n[j]) * z[j] * (1.0 - z[j]));
        let da_n = each(|j| dh[j] * (1.0 - z[j]) * (1.0 - n[j] * n[j]));
        let (da_r, straight);
        if after {
            let dq = each(|j| da_n[j] * r[j]);
            da_r = each(|j| da_n[j] * kept[j] * r[j] * (1.0 - r[j]));
            straight = each(|i| z[i] * dh[i] + w.back_to_state(2, i, &dq));
            d.add(2, &da_n, x, &dq, h);
        } else {
            let dp = each(|i| w.back_to_state(2, i, &da_n));
            da_r = each(|j| dp[j] * h[j] * r[j] * (1.0 - r[j]));
            straight = each(|i| z[i] * dh[i] + r[i] * dp[i]);
            d.add(2, &da_n, x, &da_n, kept);
        }
        d.add(0, &da_r, x, &da_r, h);
        d.add(1, &da_z, x, &da_z, h);
        carry = each(|i| straight[i] + w.back_to_state(0, i, &da_r) + w.back_to_state(1, i, &da_z));
        for (i, dx) in dx[t * INPUT..][..INPUT].iter_mut().enumerate() {
            *dx = w.back_to_input(0, i, &da_r)
                + w.back_to_input(1, i, &da_z)
                + w.back_to_input(2, i, &da_n);
        }
    }
    Run { y, dx, dh0: carry, d }
}

/// The LSTM from the page; the slopes by the first state are those by h, then those by c.
fn lstm(w: &Weights, x: &[f64], h0: &[f64], c0: &[f64], dy: &[f64]) -> Run {
    let (mut h, mut c, mut y, mut kept) = (h0.to_vec(), c0.to_vec(), Vec::new(), Vec::new());
    for x in x.chunks(INPUT) {
        let a = |gate: usize| each(|j| w.input_share(gate, j, x) + w.state_share(gate, j, &h));
        let [i, f, o] = [0, 1, 3].map(|gate| a(gate).into_iter().map(sigma).collect::<Vec<_>>());
        let g: Vec<f64> = a(2).into_iter().map(f64::tanh).collect();
        let next_c = each(|j| f[j] * c[j] + i[j] * g[j]);
        let next_h = each(|j| o[j] * next_c[j].tanh());
        let before = [std::mem::replace(&mut h, next_h), std::mem::replace(&mut c, next_c)];
        y.extend_from_slice(&h);
        kept.push(([i, f, g, o], before, c.clone()));
    }
    let (mut dx, mut d) = (vec![0.0; x.len()], Weights::zeros(4));
    let (mut carry, mut carry_c) = (vec![0.0; HIDDEN], vec![0.0; HIDDEN]);
    for t in (0..kept.len()).rev() {
        let ([i, f, g, o], [h, c], c_next) = &kept[t];
        let x = &x[t * INPUT..][..INPUT];
        let dh = each(|j| dy[t * HIDDEN + j] + carry[j]);
        let tanh = each(|j| c_next[j].tanh());
        let dc = each(|j| carry_c[j] + dh[j] * o[j] * (1.0 - tanh[j] * tanh[j]));
        let da = [
            each(|j| dc[j] * g[j] * i[j] * (1.0 - i[j])),
            each(|j| dc[j] * c[j] * f[j] * (1.0 - f[j])),
            each(|j| dc[j] * i[j] * (1.0 - g[j] * g[j])),
            each(|j| dh[j] * tanh[j] * o[j] * (1.0 - o[j])),
        ];
        carry_c = each(|j| f[j] * dc[j]);
        carry = each(|i| (0..4).map(|gate| w.back_to_state(gate, i, &da[gate])).sum());
        for (i, dx) in dx[t * INPUT..][..INPUT].iter_mut().enumerate() {
            *dx = (0..4).map(|gate| w.back_to_input(gate, i, &da[gate])).sum();
        }
        for (gate, da) in da.iter().enumerate() {
            d.add(gate, da, x, da, h);
        }
    }
    Run { y, dx, dh0: [carry, carry_c].concat(), d }
}

fn near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() < 1e-11 * (1.0 + b.abs()), "{what} {index}: {a} {b}");
    }
}

fn compare(found: &Run, expected: &Run) {
    near("y", &found.y, &expected.y);
    near("dx", &found.dx, &expected.dx);
    near("dh0", &found.dh0, &expected.dh0);
    for (part, name) in ["w_ih", "w_hh", "b_ih", "b_hh"].iter().enumerate() {
        near(name, &found.d.0[part], &expected.d.0[part]);
    }
}

#[test]
fn a_gru_goes_forward_and_back_as_on_the_page() {
    for variant in [GruVariant::ResetAfter, GruVariant::ResetBefore] {
        let w = Weights::new(3, 10);
        let (x, h0) = (noise(FRAMES * INPUT, 20), noise(HIDDEN, 21));
        let dy = noise(FRAMES * HIDDEN, 22);
        let cell = Gru { input: INPUT, hidden: HIDDEN, reverse: false, variant };
        let (cpu, lengths, start) = (Cpu::detect(), &[FRAMES], Some(&h0[..]));
        let mut found = Run {
            y: vec![0.0; dy.len()],
            dx: vec![0.0; x.len()],
            dh0: vec![0.0; HIDDEN],
            d: Weights::zeros(3),
        };
        let mut saved = vec![0.0; cell.saved_len(FRAMES)];
        cell.forward(cpu, &x, lengths, w.lent(), start, &mut found.y, &mut saved, None).unwrap();
        let Run { y, dx, dh0, d } = &mut found;
        let into = d.lent_mut();
        cell.backward(cpu, &x, lengths, w.lent(), start, y, &saved, &dy, dx, into, Some(dh0))
            .unwrap();
        compare(&found, &gru(variant, &w, &x, &h0, &dy));
        // And what knows nothing of the derivation.
        slopes(&found.d, &w, &dy, |w| gru(variant, w, &x, &h0, &dy).y);
    }
}

#[test]
fn an_lstm_goes_forward_and_back_as_on_the_page() {
    let w = Weights::new(4, 30);
    let (x, h, c) = (noise(FRAMES * INPUT, 40), noise(HIDDEN, 41), noise(HIDDEN, 42));
    let dy = noise(FRAMES * HIDDEN, 43);
    let cell = Lstm { input: INPUT, hidden: HIDDEN, reverse: false };
    let (cpu, lengths, start) = (Cpu::detect(), &[FRAMES], Some(LstmState { h: &h, c: &c }));
    let mut found = Run {
        y: vec![0.0; dy.len()],
        dx: vec![0.0; x.len()],
        dh0: vec![0.0; 2 * HIDDEN],
        d: Weights::zeros(4),
    };
    let mut saved = vec![0.0; cell.saved_len(FRAMES)];
    cell.forward(cpu, &x, lengths, w.lent(), start, &mut found.y, &mut saved, None).unwrap();
    let Run { y, dx, dh0, d } = &mut found;
    let (dh, dc) = dh0.split_at_mut(HIDDEN);
    let (into, first) = (d.lent_mut(), Some(LstmStateMut { h: dh, c: dc }));
    cell.backward(cpu, &x, lengths, w.lent(), start, y, &saved, &dy, dx, into, first).unwrap();
    compare(&found, &lstm(&w, &x, &h, &c, &dy));
    slopes(&found.d, &w, &dy, |w| lstm(w, &x, &h, &c, &dy).y);
}

/// The slope of Σ dy y by single weights, by moving them a little.
fn slopes(found: &Weights, w: &Weights, dy: &[f64], y: impl Fn(&Weights) -> Vec<f64>) {
    let loss = |w: &Weights| y(w).iter().zip(dy).map(|(y, dy)| y * dy).sum::<f64>();
    for part in 0..4 {
        for index in (0..w.0[part].len()).step_by(3) {
            let moved = |step: f64| {
                let mut w = w.clone();
                w.0[part][index] += step;
                loss(&w)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let gradient = found.0[part][index];
            assert!((slope - gradient).abs() < 1e-8, "{part} {index}: {gradient} {slope}");
        }
    }
}

/// The output of a layer in inference, with its weights in the order of the layer.
fn layer_output(layer: &dyn Layer<f64>, shape: &Shape, x: &[f64], parameters: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; layer.output_shape(shape).unwrap().len()];
    layer
        .forward(Forward {
            packed: &[],
            cpu: Cpu::detect(),
            mode: Mode::Inference,
            shape,
            x,
            parameters,
            buffers: &[],
            saved: &mut vec![0.0; layer.saved_len(shape)],
            state: &mut [],
            scratch: &mut vec![0.0; layer.forward_scratch_len(shape)],
            y: &mut y,
        })
        .unwrap();
    y
}

#[test]
fn the_second_direction_begins_at_each_utterances_own_end() {
    let variant = GruVariant::ResetAfter;
    let [one, two] = [Weights::new(3, 50), Weights::new(3, 60)];
    let layer = GruLayer { input: INPUT, hidden: HIDDEN, bidirectional: true, variant };
    let lengths = [FRAMES, 4, 1];
    let shape = Shape::features(&lengths, INPUT);
    let x = noise(shape.rows() * INPUT, 70);
    let parameters = [one.0.concat(), two.0.concat()].concat();
    let found = layer_output(&layer, &shape, &x, &parameters);
    let mut expected = Vec::new();
    let mut rest = &x[..];
    for length in lengths {
        let (x, behind) = rest.split_at(length * INPUT);
        rest = behind;
        let (h0, dy) = (vec![0.0; HIDDEN], vec![0.0; length * HIDDEN]);
        let turned: Vec<f64> = x.chunks(INPUT).rev().flatten().copied().collect();
        let forward = gru(variant, &one, x, &h0, &dy).y;
        let backward = gru(variant, &two, &turned, &h0, &dy).y;
        for (a, b) in forward.chunks(HIDDEN).zip(backward.chunks(HIDDEN).rev()) {
            expected.extend(a.iter().chain(b));
        }
    }
    near("both directions", &found, &expected);
}

#[test]
fn lookahead_is_a_weighted_sum_of_what_comes() {
    let (channels, ahead) = (4, 3);
    let layer = Lookahead { channels, frames: ahead };
    let lengths = [6, 2];
    let shape = Shape { lengths: lengths.to_vec(), bins: 1, channels };
    let x = noise(shape.len(), 80);
    let parameters = noise(channels * (ahead + 2), 81);
    let (w, b) = parameters.split_at(channels * (ahead + 1));
    let found = layer_output(&layer, &shape, &x, &parameters);
    let mut first = 0;
    for length in lengths {
        for t in 0..length {
            for c in 0..channels {
                let terms = (0..=ahead).filter(|j| t + j < length);
                let sum: f64 =
                    terms.map(|j| w[c * (ahead + 1) + j] * x[(first + t + j) * channels + c]).sum();
                let found = found[(first + t) * channels + c];
                assert!((found - b[c] - sum).abs() < 1e-12, "{t} {c}");
            }
        }
        first += length;
    }
}

#[test]
fn a_linear_layer_is_a_weighted_sum_and_its_slopes_the_other_sums() {
    let (rows, inputs, outputs) = (6, 4, 3);
    let (x, w, b) = (noise(rows * inputs, 90), noise(outputs * inputs, 91), noise(outputs, 92));
    let dy = noise(rows * outputs, 93);
    let (cpu, mut y) = (Cpu::detect(), vec![0.0; rows * outputs]);
    linear_forward(cpu, &x, &w, &b, &mut y, rows, inputs, outputs).unwrap();
    let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; outputs]);
    linear_backward(cpu, &x, &w, &dy, Some(&mut dx), &mut dw, &mut db, rows, inputs, outputs)
        .unwrap();
    let sum = |terms: usize, term: &dyn Fn(usize) -> f64| (0..terms).map(term).sum::<f64>();
    for j in 0..outputs {
        for t in 0..rows {
            let expected = b[j] + sum(inputs, &|i| w[j * inputs + i] * x[t * inputs + i]);
            assert!((y[t * outputs + j] - expected).abs() < 1e-12);
        }
        assert!((db[j] - sum(rows, &|t| dy[t * outputs + j])).abs() < 1e-12);
        for i in 0..inputs {
            let expected = sum(rows, &|t| dy[t * outputs + j] * x[t * inputs + i]);
            assert!((dw[j * inputs + i] - expected).abs() < 1e-12);
        }
    }
    for t in 0..rows {
        for i in 0..inputs {
            let expected = sum(outputs, &|j| w[j * inputs + i] * dy[t * outputs + j]);
            assert!((dx[t * inputs + i] - expected).abs() < 1e-12);
        }
    }
}

#[test]
fn a_layer_norm_goes_forward_and_back_as_on_the_page() {
    let (rows, n, epsilon) = (3, 7, 1e-5);
    let (x, gain, shift) = (noise(rows * n, 94), noise(n, 95), noise(n, 96));
    let dy = noise(rows * n, 97);
    let (cpu, mut y) = (Cpu::detect(), vec![0.0; x.len()]);
    let (mut means, mut inverses) = (vec![0.0; rows], vec![0.0; rows]);
    layer_norm_forward(cpu, &x, n, &gain, &shift, epsilon, &mut y, &mut means, &mut inverses)
        .unwrap();
    let (mut dx, mut d_gain, mut d_shift) = (vec![0.0; x.len()], vec![0.0; n], vec![0.0; n]);
    layer_norm_backward(
        cpu,
        &x,
        n,
        &gain,
        &means,
        &inverses,
        &dy,
        &mut dx,
        &mut d_gain,
        &mut d_shift,
    )
    .unwrap();
    let norm = |x: &[f64]| {
        let m = x.iter().sum::<f64>() / n as f64;
        let s = (x.iter().map(|x| (x - m).powi(2)).sum::<f64>() / n as f64 + epsilon).sqrt();
        (x.iter().map(|x| (x - m) / s).collect::<Vec<_>>(), s)
    };
    for row in 0..rows {
        let at = row * n..(row + 1) * n;
        let (x, dy) = (&x[at.clone()], &dy[at.clone()]);
        let (hat, s) = norm(x);
        let g: Vec<f64> = gain.iter().zip(dy).map(|(gain, dy)| gain * dy).collect();
        let mean = g.iter().sum::<f64>() / n as f64;
        let along = g.iter().zip(&hat).map(|(g, hat)| g * hat).sum::<f64>() / n as f64;
        for i in 0..n {
            assert!((y[at.start + i] - (gain[i] * hat[i] + shift[i])).abs() < 1e-12);
            let expected = (g[i] - mean - hat[i] * along) / s;
            assert!((dx[at.start + i] - expected).abs() < 1e-12, "{row} {i}");
            // And by moving one number a little.
            let loss = |step: f64| {
                let mut x = x.to_vec();
                x[i] += step;
                norm(&x).0.iter().zip(&g).map(|(hat, g)| hat * g).sum::<f64>()
            };
            let slope = (loss(1e-5) - loss(-1e-5)) / 2e-5;
            assert!((slope - expected).abs() < 1e-7, "{row} {i}: {slope} {expected}");
        }
    }
}
