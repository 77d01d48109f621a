//! Each operation beside PyTorch's values, on every instruction set that this CPU has.
//!
//! `golden/make_golden.py` computed the files in f64 and rounded them to f32; so the errors found
//! here are those of this crate, in f32.

use std::path::Path;

use labyrinth_kernels::batch_norm::{
    batch_norm_backward, batch_norm_train_forward, batch_norm_update_running,
};
use labyrinth_kernels::cross_entropy::cross_entropy_batch;
use labyrinth_kernels::ctc::ctc_batch;
use labyrinth_kernels::layer_norm::{layer_norm_backward, layer_norm_forward};
use labyrinth_kernels::optimizer::{AdamW, Sgd, adamw_step, sgd_step};
use labyrinth_kernels::pooling::{
    Average, average_pool_backward, average_pool_forward, max_pool_backward, max_pool_forward,
};
use labyrinth_kernels::{
    Convolution, Cpu, DepthwiseConvolution, Gru, GruVariant, Lstm, LstmState, LstmStateMut,
    RecurrentGradients, RecurrentWeights, Window, linear_backward, linear_forward,
};
use safetensors::SafeTensors;

/// Largest max|a − b| / max|b| of a tensor.
const BOUND: f32 = 1e-5;

/// The tensors of one file.
struct Golden {
    name: String,
    bytes: Vec<u8>,
}

impl Golden {
    fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let path = folder.join(format!("{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { name: name.into(), bytes }
    }

    fn get(&self, tensor: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(tensor).unwrap_or_else(|e| panic!("{} {tensor}: {e}", self.name));
        let values = view.data().chunks_exact(4);
        values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    /// Whole numbers, which the files hold as f32.
    fn integers(&self, tensor: &str) -> Vec<usize> {
        self.get(tensor).iter().map(|&value| value as usize).collect()
    }

    /// Settings as they were written, in decimal: 0.1 in f32 is not 0.1 in f64.
    fn settings(&self) -> Vec<f64> {
        let decimal = |value: &f32| value.to_string().parse().unwrap();
        self.get("settings").iter().map(decimal).collect()
    }

    fn zeros(&self, tensor: &str) -> Vec<f32> {
        vec![0.0; self.get(tensor).len()]
    }

    fn check(&self, cpu: Cpu, tensor: &str, found: &[f32]) {
        let expected = self.get(tensor);
        assert_eq!(expected.len(), found.len(), "{} {tensor}", self.name);
        let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        // A NaN must not pass as "not larger".
        let worst = expected
            .iter()
            .zip(found)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0f32, |most, e| if e.is_nan() { f32::INFINITY } else { most.max(e) });
        let error = worst / largest;
        assert!(error <= BOUND, "{} {tensor} on {}: {error:e}", self.name, cpu.isa());
        println!("{} {tensor} on {}: {error:.1e}", self.name, cpu.isa());
    }
}

fn every_cpu() -> impl Iterator<Item = Cpu> {
    Cpu::available().into_iter().map(|isa| Cpu::with(isa).unwrap())
}

/// One half of each row: what a direction has of `[rows, 2·hidden]`.
fn half(both: &[f32], hidden: usize, second: bool) -> Vec<f32> {
    let first = if second { hidden } else { 0 };
    both.chunks_exact(2 * hidden).flat_map(|row| row[first..][..hidden].to_vec()).collect()
}

/// Puts the two directions' rows side by side.
fn side_by_side(left: &[f32], right: &[f32], hidden: usize) -> Vec<f32> {
    let rows = left.chunks_exact(hidden).zip(right.chunks_exact(hidden));
    rows.flat_map(|(left, right)| [left, right].concat()).collect()
}

fn check_gru(file: &str, variant: GruVariant) {
    let golden = Golden::read(file);
    let lengths = golden.integers("lengths");
    let rows: usize = lengths.iter().sum();
    let (x, dy) = (golden.get("x"), golden.get("dy"));
    let (input, hidden) = (x.len() / rows, dy.len() / rows / 2);
    for cpu in every_cpu() {
        let (mut outputs, mut dx_sum) = (Vec::new(), vec![0.0; x.len()]);
        for (direction, reverse) in [("forward", false), ("backward", true)] {
            let name = |part: &str| format!("{direction}.{part}");
            let gradient = |part: &str| format!("gradient.{direction}.{part}");
            let gru = Gru { input, hidden, reverse, variant };
            let parts = ["w_ih", "w_hh", "b_ih", "b_hh"].map(|part| golden.get(&name(part)));
            let [w_ih, w_hh, b_ih, b_hh] = &parts;
            let weights = RecurrentWeights { w_ih, w_hh, b_ih, b_hh };
            let h0 = golden.get(&name("h0"));
            let mut y = vec![0.0; rows * hidden];
            let mut saved = vec![0.0; gru.saved_len(rows)];
            let mut h_last = vec![0.0; h0.len()];
            gru.forward(
                cpu,
                &x,
                &lengths,
                weights,
                Some(&h0),
                &mut y,
                &mut saved,
                Some(&mut h_last),
            )
            .unwrap();
            golden.check(cpu, &name("h_last"), &h_last);
            let dy = half(&dy, hidden, reverse);
            let (mut dx, mut dh0) = (vec![f32::NAN; x.len()], vec![f32::NAN; h0.len()]);
            let mut sums = parts.each_ref().map(|part| vec![0.0; part.len()]);
            let [w_ih, w_hh, b_ih, b_hh] = &mut sums;
            let gradients = RecurrentGradients { w_ih, w_hh, b_ih, b_hh };
            gru.backward(
                cpu,
                &x,
                &lengths,
                weights,
                Some(&h0),
                &y,
                &saved,
                &dy,
                &mut dx,
                gradients,
                Some(&mut dh0),
            )
            .unwrap();
            golden.check(cpu, &gradient("h0"), &dh0);
            for (part, sum) in ["w_ih", "w_hh", "b_ih", "b_hh"].iter().zip(&sums) {
                golden.check(cpu, &gradient(part), sum);
            }
            dx_sum.iter_mut().zip(&dx).for_each(|(sum, dx)| *sum += dx);
            outputs.push(y);
        }
        golden.check(cpu, "y", &side_by_side(&outputs[0], &outputs[1], hidden));
        golden.check(cpu, "gradient.x", &dx_sum);
    }
}

#[test]
fn gru_that_resets_after_the_product() {
    check_gru("gru_reset_after", GruVariant::ResetAfter);
}

#[test]
fn gru_that_resets_before_the_product() {
    check_gru("gru_reset_before", GruVariant::ResetBefore);
}

#[test]
fn lstm() {
    let golden = Golden::read("lstm");
    let lengths = golden.integers("lengths");
    let rows: usize = lengths.iter().sum();
    let (x, dy) = (golden.get("x"), golden.get("dy"));
    let (input, hidden) = (x.len() / rows, dy.len() / rows / 2);
    for cpu in every_cpu() {
        let (mut outputs, mut dx_sum) = (Vec::new(), vec![0.0; x.len()]);
        for (direction, reverse) in [("forward", false), ("backward", true)] {
            let name = |part: &str| format!("{direction}.{part}");
            let gradient = |part: &str| format!("gradient.{direction}.{part}");
            let lstm = Lstm { input, hidden, reverse };
            let parts = ["w_ih", "w_hh", "b_ih", "b_hh"].map(|part| golden.get(&name(part)));
            let [w_ih, w_hh, b_ih, b_hh] = &parts;
            let weights = RecurrentWeights { w_ih, w_hh, b_ih, b_hh };
            let [h0, c0] = ["h0", "c0"].map(|part| golden.get(&name(part)));
            let initial = Some(LstmState { h: &h0, c: &c0 });
            let mut y = vec![f32::NAN; rows * hidden];
            let mut saved = vec![f32::NAN; lstm.saved_len(rows)];
            let (mut h, mut c) = (vec![f32::NAN; h0.len()], vec![f32::NAN; c0.len()]);
            let last = Some(LstmStateMut { h: &mut h, c: &mut c });
            lstm.forward(cpu, &x, &lengths, weights, initial, &mut y, &mut saved, last).unwrap();
            golden.check(cpu, &name("h_last"), &h);
            golden.check(cpu, &name("c_last"), &c);
            let dy = half(&dy, hidden, reverse);
            let mut dx = vec![f32::NAN; x.len()];
            let mut sums = parts.each_ref().map(|part| vec![0.0; part.len()]);
            let [w_ih, w_hh, b_ih, b_hh] = &mut sums;
            let gradients = RecurrentGradients { w_ih, w_hh, b_ih, b_hh };
            h.fill(f32::NAN);
            c.fill(f32::NAN);
            let d_initial = Some(LstmStateMut { h: &mut h, c: &mut c });
            lstm.backward(
                cpu, &x, &lengths, weights, initial, &y, &saved, &dy, &mut dx, gradients, d_initial,
            )
            .unwrap();
            golden.check(cpu, &gradient("h0"), &h);
            golden.check(cpu, &gradient("c0"), &c);
            for (part, sum) in ["w_ih", "w_hh", "b_ih", "b_hh"].iter().zip(&sums) {
                golden.check(cpu, &gradient(part), sum);
            }
            dx_sum.iter_mut().zip(&dx).for_each(|(sum, dx)| *sum += dx);
            outputs.push(y);
        }
        golden.check(cpu, "y", &side_by_side(&outputs[0], &outputs[1], hidden));
        golden.check(cpu, "gradient.x", &dx_sum);
    }
}

#[test]
fn linear() {
    let golden = Golden::read("linear");
    let [x, weight, bias, dy] = ["x", "weight", "bias", "dy"].map(|name| golden.get(name));
    let output = bias.len();
    let (input, rows) = (weight.len() / output, dy.len() / output);
    for cpu in every_cpu() {
        let mut y = vec![f32::NAN; dy.len()];
        linear_forward(cpu, &x, &weight, &bias, &mut y, rows, input, output).unwrap();
        golden.check(cpu, "y", &y);
        let mut dx = vec![f32::NAN; x.len()];
        let (mut dweight, mut dbias) = (golden.zeros("weight"), golden.zeros("bias"));
        linear_backward(
            cpu,
            &x,
            &weight,
            &dy,
            Some(&mut dx),
            &mut dweight,
            &mut dbias,
            rows,
            input,
            output,
        )
        .unwrap();
        golden.check(cpu, "gradient.x", &dx);
        golden.check(cpu, "gradient.weight", &dweight);
        golden.check(cpu, "gradient.bias", &dbias);
    }
}

fn check_convolution(file: &str) {
    let golden = Golden::read(file);
    let settings = golden.integers("settings");
    let convolution = Convolution {
        in_channels: settings[0],
        out_channels: settings[1],
        kernel: [settings[2], settings[3]],
        stride: [settings[4], settings[5]],
        padding: [settings[6], settings[7]],
    };
    let lengths = golden.integers("lengths");
    let [x, weight, bias, dy] = ["x", "weight", "bias", "dy"].map(|name| golden.get(name));
    let bins = x.len() / lengths.iter().sum::<usize>() / convolution.in_channels;
    for cpu in every_cpu() {
        let mut y = vec![f32::NAN; dy.len()];
        convolution.forward(cpu, &x, &lengths, bins, &weight, &bias, &mut y).unwrap();
        golden.check(cpu, "y", &y);
        let mut dx = vec![f32::NAN; x.len()];
        let (mut dweight, mut dbias) = (golden.zeros("weight"), golden.zeros("bias"));
        convolution
            .backward(
                cpu,
                &x,
                &lengths,
                bins,
                &weight,
                &dy,
                Some(&mut dx),
                &mut dweight,
                &mut dbias,
            )
            .unwrap();
        golden.check(cpu, "gradient.x", &dx);
        golden.check(cpu, "gradient.weight", &dweight);
        golden.check(cpu, "gradient.bias", &dbias);
    }
}

#[test]
fn convolution_3x3_with_stride_2() {
    check_convolution("convolution_3x3");
}

#[test]
fn convolution_5x5() {
    check_convolution("convolution_5x5");
}

#[test]
fn convolution_7x7_with_stride_2() {
    check_convolution("convolution_7x7");
}

#[test]
fn convolution_1x1_with_stride_2() {
    check_convolution("convolution_1x1");
}

#[test]
fn convolution_11x41_with_stride_2() {
    check_convolution("convolution_11x41");
}

fn check_depthwise(file: &str) {
    let golden = Golden::read(file);
    let settings = golden.integers("settings");
    let convolution = DepthwiseConvolution {
        channels: settings[0],
        kernel: [settings[1], settings[2]],
        stride: [settings[3], settings[4]],
        padding: [settings[5], settings[6]],
    };
    let lengths = golden.integers("lengths");
    let [x, weight, bias, dy] = ["x", "weight", "bias", "dy"].map(|name| golden.get(name));
    let bins = x.len() / lengths.iter().sum::<usize>() / convolution.channels;
    for cpu in every_cpu() {
        let mut y = vec![f32::NAN; dy.len()];
        convolution.forward(cpu, &x, &lengths, bins, &weight, &bias, &mut y).unwrap();
        golden.check(cpu, "y", &y);
        let mut dx = vec![f32::NAN; x.len()];
        let (mut dweight, mut dbias) = (golden.zeros("weight"), golden.zeros("bias"));
        let wanted = Some(&mut dx[..]);
        convolution
            .backward(cpu, &x, &lengths, bins, &weight, &dy, wanted, &mut dweight, &mut dbias)
            .unwrap();
        golden.check(cpu, "gradient.x", &dx);
        golden.check(cpu, "gradient.weight", &dweight);
        golden.check(cpu, "gradient.bias", &dbias);
    }
}

#[test]
fn depthwise_over_time_and_bins() {
    check_depthwise("depthwise_3x5");
}

#[test]
fn depthwise_over_time_alone() {
    check_depthwise("depthwise_9x1");
}

fn check_pooling(file: &str) {
    let golden = Golden::read(file);
    let settings = golden.integers("settings");
    let channels = settings[0];
    let window = Window {
        kernel: [settings[1], settings[2]],
        stride: [settings[3], settings[4]],
        padding: [settings[5], settings[6]],
    };
    let (lengths, x) = (golden.integers("lengths"), golden.get("x"));
    let bins = x.len() / lengths.iter().sum::<usize>() / channels;
    for cpu in every_cpu() {
        let dy = golden.get("max.dy");
        let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
        max_pool_forward(cpu, window, &x, &lengths, bins, channels, &mut y).unwrap();
        golden.check(cpu, "max.y", &y);
        max_pool_backward(cpu, window, &x, &lengths, bins, channels, &y, &dy, &mut dx).unwrap();
        golden.check(cpu, "max.gradient.x", &dx);
        for (kind, average) in [("whole", Average::WholeWindow), ("inside", Average::InsideOnly)] {
            let dy = golden.get(&format!("average_{kind}.dy"));
            average_pool_forward(cpu, window, average, &x, &lengths, bins, channels, &mut y)
                .unwrap();
            golden.check(cpu, &format!("average_{kind}.y"), &y);
            average_pool_backward(cpu, window, average, &lengths, bins, channels, &dy, &mut dx)
                .unwrap();
            golden.check(cpu, &format!("average_{kind}.gradient.x"), &dx);
        }
    }
}

#[test]
fn pooling_3x3_with_stride_2() {
    check_pooling("pooling_3x3");
}

#[test]
fn pooling_4x3_with_uneven_stride() {
    check_pooling("pooling_4x3");
}

#[test]
fn batch_norm_in_training() {
    let golden = Golden::read("batch_norm");
    let [x, gamma, beta, dy] = ["x", "gamma", "beta", "dy"].map(|name| golden.get(name));
    let channels = gamma.len();
    let (momentum, epsilon) = (golden.settings()[0] as f32, golden.settings()[1] as f32);
    for cpu in every_cpu() {
        let mut y = vec![f32::NAN; x.len()];
        let (mut mean, mut inverse) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
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
        golden.check(cpu, "y", &y);
        let mut running = [golden.get("running_mean"), golden.get("running_var")];
        let [running_mean, running_var] = &mut running;
        let positions = x.len() / channels;
        batch_norm_update_running(
            positions,
            momentum,
            epsilon,
            &mean,
            &inverse,
            running_mean,
            running_var,
        )
        .unwrap();
        golden.check(cpu, "running_mean_after", &running[0]);
        golden.check(cpu, "running_var_after", &running[1]);
        let mut dx = vec![f32::NAN; x.len()];
        let (mut dgamma, mut dbeta) = (golden.zeros("gamma"), golden.zeros("beta"));
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
        golden.check(cpu, "gradient.x", &dx);
        golden.check(cpu, "gradient.gamma", &dgamma);
        golden.check(cpu, "gradient.beta", &dbeta);
    }
}

#[test]
fn layer_norm() {
    let golden = Golden::read("layer_norm");
    let [x, gamma, beta, dy] = ["x", "gamma", "beta", "dy"].map(|name| golden.get(name));
    let (dim, epsilon) = (gamma.len(), golden.settings()[0] as f32);
    let rows = x.len() / dim;
    for cpu in every_cpu() {
        let mut y = vec![f32::NAN; x.len()];
        let (mut mean, mut inverse) = (vec![f32::NAN; rows], vec![f32::NAN; rows]);
        layer_norm_forward(cpu, &x, dim, &gamma, &beta, epsilon, &mut y, &mut mean, &mut inverse)
            .unwrap();
        golden.check(cpu, "y", &y);
        let mut dx = vec![f32::NAN; x.len()];
        let (mut dgamma, mut dbeta) = (golden.zeros("gamma"), golden.zeros("beta"));
        layer_norm_backward(
            cpu,
            &x,
            dim,
            &gamma,
            &mean,
            &inverse,
            &dy,
            &mut dx,
            &mut dgamma,
            &mut dbeta,
        )
        .unwrap();
        golden.check(cpu, "gradient.x", &dx);
        golden.check(cpu, "gradient.gamma", &dgamma);
        golden.check(cpu, "gradient.beta", &dbeta);
    }
}

#[test]
fn ctc_losses_and_gradient() {
    let golden = Golden::read("ctc");
    let [logits, scales] = ["logits", "scales"].map(|name| golden.get(name));
    let lengths = golden.integers("lengths");
    let labels = logits.len() / lengths.iter().sum::<usize>();
    let all: Vec<u32> = golden.integers("targets").iter().map(|&label| label as u32).collect();
    let mut rest = &all[..];
    let mut targets = Vec::new();
    for length in golden.integers("target_lengths") {
        let (target, behind) = rest.split_at(length);
        targets.push(target.to_vec());
        rest = behind;
    }
    for cpu in every_cpu() {
        let mut losses = vec![f32::NAN; lengths.len()];
        let mut gradient = vec![f32::NAN; logits.len()];
        let outcome = ctc_batch(
            cpu,
            &logits,
            &lengths,
            labels,
            &targets,
            &scales,
            &mut losses,
            Some(&mut gradient),
        )
        .unwrap();
        assert!(outcome.is_clean(), "{outcome:?}");
        golden.check(cpu, "losses", &losses);
        golden.check(cpu, "gradient.logits", &gradient);
    }
}

#[test]
fn framewise_cross_entropy() {
    let golden = Golden::read("cross_entropy");
    let logits = golden.get("logits");
    let targets: Vec<u32> = golden.get("targets").iter().map(|&label| label as u32).collect();
    let (rows, labels) = (targets.len(), logits.len() / targets.len());
    // Every row an utterance of its own, since the file has each row's loss; its gradient is that of
    // their mean.
    let (lengths, scales) = (vec![1; rows], vec![1.0 / rows as f32; rows]);
    for cpu in every_cpu() {
        let mut losses = vec![f32::NAN; rows];
        let mut gradient = vec![f32::NAN; logits.len()];
        cross_entropy_batch(
            cpu,
            &logits,
            &lengths,
            labels,
            &targets,
            None,
            &scales,
            &mut losses,
            Some(&mut gradient),
        )
        .unwrap();
        golden.check(cpu, "losses", &losses);
        golden.check(cpu, "gradient.logits", &gradient);
    }
}

#[test]
fn three_steps_of_adamw() {
    let golden = Golden::read("adamw");
    let settings = golden.settings();
    let rule = AdamW {
        learning_rate: settings[0],
        beta1: settings[1],
        beta2: settings[2],
        epsilon: settings[3],
        weight_decay: settings[4],
    };
    for cpu in every_cpu() {
        let mut parameters = golden.get("parameters");
        let (mut first, mut second) = (golden.zeros("parameters"), golden.zeros("parameters"));
        for step in 1..=3 {
            let gradient = golden.get(&format!("gradient.{step}"));
            adamw_step(cpu, &mut parameters, &gradient, &mut first, &mut second, &rule, step, 1.0)
                .unwrap();
            golden.check(cpu, &format!("parameters.{step}"), &parameters);
        }
    }
}

#[test]
fn three_steps_of_gradient_descent_with_momentum() {
    let golden = Golden::read("sgd");
    let settings = golden.settings();
    let rule = Sgd { learning_rate: settings[0], momentum: settings[1], weight_decay: settings[2] };
    for cpu in every_cpu() {
        let mut parameters = golden.get("parameters");
        let mut velocity = golden.zeros("parameters");
        for step in 1..=3 {
            let gradient = golden.get(&format!("gradient.{step}"));
            sgd_step(cpu, &mut parameters, &gradient, &mut velocity, &rule, 1.0).unwrap();
            golden.check(cpu, &format!("parameters.{step}"), &parameters);
        }
    }
}
