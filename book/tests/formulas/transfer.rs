//! Transfer: a residual block's gradient, pixels from features, strides, folded batch norms.

use std::path::Path;

use labyrinth::kernels::{Convolution, Cpu};
use labyrinth::nn::layers::{
    Colours, IMAGENET_DEVIATION, IMAGENET_MEAN, Linear, Picture, Pixels, Residual,
};
use labyrinth::nn::pretrained::{load_resnet, torchvision_name};
use labyrinth::nn::{
    Backward, Cut, Forward, Layer, Memory, Mode, ModelOptions, NamedTensor, Network, ResnetNorm,
    ResnetOptions, Sequence, Shape,
};
use labyrinth::signal::Random;

fn noise(count: usize, key: u64) -> Vec<f64> {
    let mut random = Random::from_key(&[key]);
    (0..count).map(|_| random.normal()).collect()
}

#[test]
fn a_residual_block_hands_its_gradient_straight_back() {
    let (width, rows) = (5, 4);
    let body: Box<dyn Layer<f64>> = Box::new(Linear { input: width, output: width });
    let body = Sequence::new(vec![("linear".to_owned(), body)]);
    let block = Residual { body, shortcut: Sequence::new(Vec::new()), relu: true };
    let shape = Shape::features(&[rows], width);
    let parameters = noise(width * (width + 1), 1);
    let (w, b) = parameters.split_at(width * width);
    let (x, dy) = (noise(rows * width, 2), noise(rows * width, 3));
    let mut y = vec![0.0; x.len()];
    let mut saved = vec![0.0; block.saved_len(&shape)];
    block
        .forward(Forward {
            packed: &[],
            cpu: Cpu::detect(),
            mode: Mode::Training { key: 0 },
            shape: &shape,
            x: &x,
            parameters: &parameters,
            buffers: &[],
            saved: &mut saved,
            state: &mut [],
            scratch: &mut vec![0.0; block.forward_scratch_len(&shape)],
            y: &mut y,
        })
        .unwrap();
    let mut dx = vec![0.0; x.len()];
    block
        .backward(Backward {
            cpu: Cpu::detect(),
            mode: Mode::Training { key: 0 },
            shape: &shape,
            x: &x,
            y: &y,
            dy: &dy,
            parameters: &parameters,
            saved: &saved,
            scratch: &mut vec![0.0; block.scratch_len(&shape)],
            dx: Some(&mut dx),
            gradients: &mut vec![0.0; parameters.len()],
        })
        .unwrap();
    for row in 0..rows {
        let at = row * width..(row + 1) * width;
        let (x, dy, y, dx) = (&x[at.clone()], &dy[at.clone()], &y[at.clone()], &dx[at]);
        // f(x) = W x + b, so that J = W.
        let sum: Vec<f64> = (0..width)
            .map(|j| x[j] + b[j] + (0..width).map(|i| w[j * width + i] * x[i]).sum::<f64>())
            .collect();
        let g: Vec<f64> =
            sum.iter().zip(dy).map(|(sum, dy)| if *sum > 0.0 { *dy } else { 0.0 }).collect();
        for i in 0..width {
            assert!((y[i] - sum[i].max(0.0)).abs() < 1e-12);
            let through: f64 = (0..width).map(|j| w[j * width + i] * g[j]).sum();
            assert!((dx[i] - (g[i] + through)).abs() < 1e-12, "{row} {i}");
        }
    }
}

#[test]
fn pixels_follow_both_rules() {
    let features = noise(60, 4).into_iter().map(|v| 2.0 * v).collect::<Vec<_>>();
    for (colours, width) in [(Colours::Repeat, 10), (Colours::Deltas, 30)] {
        for pixels in [Pixels::Moments, Pixels::ThreeSigma] {
            let picture = Picture { colours, pixels };
            let shape = Shape::features(&[60 / width], width);
            let mut y = vec![0.0; Layer::<f64>::output_shape(&picture, &shape).unwrap().len()];
            picture
                .forward(Forward {
                    packed: &[],
                    cpu: Cpu::detect(),
                    mode: Mode::Inference,
                    shape: &shape,
                    x: &features,
                    parameters: &[],
                    buffers: &[],
                    saved: &mut [],
                    state: &mut [],
                    scratch: &mut [],
                    y: &mut y,
                })
                .unwrap();
            for (index, found) in y.iter().enumerate() {
                let (colour, place) = (index % 3, index / 3);
                let (frame, bin) = (place / 10, place % 10);
                // Colours stand one behind the other in a frame of features, or are all the same.
                let first = if colours == Colours::Repeat { 0 } else { 10 * colour };
                let v = features[frame * width + first + bin];
                let (mean, deviation) = (IMAGENET_MEAN[colour], IMAGENET_DEVIATION[colour]);
                let pixel = match pixels {
                    Pixels::Moments => mean + deviation * v,
                    Pixels::ThreeSigma => (0.5 + v / 6.0).clamp(0.0, 1.0),
                };
                assert!((found - (pixel - mean) / deviation).abs() < 1e-12, "{index}");
            }
        }
    }
}

#[test]
fn a_stride_takes_every_other_output() {
    let (frames, bins, inputs, outputs) = (13, 9, 2, 3);
    let convolution = |stride: usize| Convolution {
        in_channels: inputs,
        out_channels: outputs,
        kernel: [3, 3],
        stride: [stride, 2],
        padding: [1, 1],
    };
    let x = noise(frames * bins * inputs, 5);
    let (w, b) = (noise(outputs * inputs * 9, 6), noise(outputs, 7));
    let run = |stride: usize| {
        let rows = frames.div_ceil(stride);
        let mut y = vec![0.0; rows * bins.div_ceil(2) * outputs];
        convolution(stride).forward(Cpu::detect(), &x, &[frames], bins, &w, &b, &mut y).unwrap();
        y
    };
    let width = bins.div_ceil(2) * outputs;
    let whole = run(1);
    for stride in 2..=4 {
        for (row, strided) in run(stride).chunks(width).enumerate() {
            let place = row * stride * width;
            for (found, expected) in strided.iter().zip(&whole[place..place + width]) {
                assert!((found - expected).abs() < 1e-12, "{stride} {row}");
            }
        }
    }
    let options = ResnetOptions { cut: Cut::Layer4, ..ResnetOptions::default() };
    for n in 1..100 {
        let frames = options.time_strides.iter().fold(n, |n: usize, s| n.div_ceil(*s));
        assert_eq!(ModelOptions::Resnet(options.clone()).output_frames(n), frames);
    }
}

#[test]
fn a_batch_norm_folds_into_the_convolution_before_it() {
    let options = |norm| ResnetOptions {
        width: 4,
        cut: Cut::Layer2,
        norm,
        projection: 6,
        recurrent_layers: 1,
        recurrent_hidden: 5,
        dropout: 0.0,
        ..ResnetOptions::default()
    };
    let (batch, folded) = (options(ResnetNorm::Batch), options(ResnetNorm::Folded));
    let build = |options: &ResnetOptions| {
        Network::<f32>::new(&ModelOptions::Resnet(options.clone()), 20, 4, 3).unwrap()
    };
    let [mut separate, mut single] = [&batch, &folded].map(build);
    // Weights, gains, shifts, means and variances that no initialisation would give.
    let mut random = Random::from_key(&[8]);
    let mut tensors = Vec::new();
    for (spec, values) in separate.parameters.iter().chain(separate.buffers.iter()) {
        let norm = spec.name.contains("bn") || spec.name.contains("downsample.1");
        let values = values.iter().map(|&value| match norm {
            true => 0.5 + random.uniform() as f32,
            false => value,
        });
        let name = torchvision_name(&spec.name);
        tensors.push(NamedTensor {
            name,
            shape: spec.shape.clone(),
            values: values.collect(),
            integers: false,
        });
    }
    // Only what stands before the cut is known to torchvision.
    let stages = ["conv1", "bn1", "layer1", "layer2"];
    tensors.retain(|tensor| stages.contains(&tensor.name.split('.').next().unwrap()));
    let path = Path::new("photographs.safetensors");
    for (options, network) in [(&batch, &mut separate), (&folded, &mut single)] {
        let (parameters, buffers) = (&mut network.parameters, &mut network.buffers);
        load_resnet(options, tensors.clone(), path, parameters, buffers).unwrap();
    }
    // Each folded weight and bias from the formula.
    let tensor = |name: &str| -> Vec<f64> {
        let found = tensors.iter().find(|tensor| tensor.name == name).unwrap();
        found.values.iter().map(|&value| f64::from(value)).collect()
    };
    for (ours, convolution, norm) in [
        ("conv1", "conv1", "bn1"),
        ("layer1.1.body.conv2", "layer1.1.conv2", "layer1.1.bn2"),
        ("layer2.0.shortcut.downsample.0", "layer2.0.downsample.0", "layer2.0.downsample.1"),
    ] {
        let w = tensor(&format!("{convolution}.weight"));
        let [gain, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|n| tensor(&format!("{norm}.{n}")));
        let get = |part: &str| single.parameters.get(&format!("{ours}.{part}")).unwrap();
        let (weight, bias) = (get("weight"), get("bias"));
        let size = w.len() / gain.len();
        for c in 0..gain.len() {
            let scale = gain[c] / (variance[c] + 1e-5).sqrt();
            assert!((f64::from(bias[c]) - (shift[c] - scale * mean[c])).abs() < 1e-6);
            for i in c * size..(c + 1) * size {
                assert!((f64::from(weight[i]) - scale * w[i]).abs() < 1e-6 * (1.0 + w[i].abs()));
            }
        }
    }
    // And what the two networks see up to the cut.
    let frames = 30;
    let x: Vec<f32> = noise(frames * 20, 9).into_iter().map(|v| v as f32).collect();
    let mut outputs = Vec::new();
    for (options, network) in [(&batch, &separate), (&folded, &single)] {
        let trunk: Sequence<f32> = options.trunk().unwrap();
        let mut memory = Memory::new();
        let shape = Shape::features(&[frames], 20);
        let (parameters, buffers) = (&network.parameters.values, &network.buffers.values);
        let mode = Mode::Inference;
        let cpu = Cpu::detect();
        trunk.forward(cpu, mode, parameters, buffers, &x, &shape, &mut [], &mut memory).unwrap();
        outputs.push(memory.output().to_vec());
    }
    let largest = outputs[0].iter().copied().fold(0.0, f32::max);
    for (separate, single) in outputs[0].iter().zip(&outputs[1]) {
        assert!((separate - single).abs() < 1e-5 * largest, "{separate} {single}");
    }
    assert!(largest > 0.1);
}
