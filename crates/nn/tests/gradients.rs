//! Every layer's gradient, and the whole model's, against finite differences in f64.
//!
//! The loss is a fixed random weighting of the outputs; its derivative along each weight and each
//! input value is measured as (L(v + h) - L(v - h)) / 2h and compared with the backward pass.

use labyrinth_kernels::convolution::Convolution;
use labyrinth_kernels::gru::GruVariant;
use labyrinth_kernels::pooling::Average;
use labyrinth_kernels::{Cpu, DepthwiseConvolution, Window};
use labyrinth_nn::layers::{
    AveragePool, BatchNorm, BatchNormRelu, ConvolutionLayer, DepthwiseLayer, Dropout, GlobalMean,
    GruLayer, LayerNorm, Linear, Lookahead, LstmLayer, MaxPool, MeanOverBins, Relu, Residual,
};
use labyrinth_nn::{
    CnnOptions, ConvolutionOptions, Layer, Memory, Mode, ModelOptions, Parameters, Recurrent,
    Sequence, Shape,
};
use labyrinth_signal::Random;

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;

fn random_values(count: usize, key: u64) -> Vec<f64> {
    let mut random = Random::from_key(&[key]);
    (0..count).map(|_| random.normal()).collect()
}

/// The loss and, on request, its gradients with respect to weights and input.
struct Check {
    sequence: Sequence<f64>,
    shape: Shape,
    mode: Mode,
    weighting: Vec<f64>,
    buffers: Vec<f64>,
    memory: Memory<f64>,
}

impl Check {
    fn new(sequence: Sequence<f64>, shape: Shape, mode: Mode) -> Self {
        let outputs = sequence.output_shape(&shape).unwrap().len();
        let buffers = Parameters::<f64>::initialize(sequence.buffers(), 0).values;
        let weighting = random_values(outputs, 99);
        Self { sequence, shape, mode, weighting, buffers, memory: Memory::new() }
    }

    fn loss(&mut self, parameters: &[f64], x: &[f64]) -> f64 {
        let cpu = Cpu::detect();
        self.sequence
            .forward(
                cpu,
                self.mode,
                parameters,
                &self.buffers,
                x,
                &self.shape,
                &mut [],
                &mut self.memory,
            )
            .unwrap();
        self.memory.output().iter().zip(&self.weighting).map(|(y, w)| y * w).sum()
    }

    fn gradients(&mut self, parameters: &[f64], x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        self.loss(parameters, x);
        let mut gradients = vec![0.0; parameters.len()];
        let mut dx = vec![f64::NAN; x.len()];
        self.memory.output_and_gradient().1.copy_from_slice(&self.weighting);
        self.sequence
            .backward(
                Cpu::detect(),
                self.mode,
                parameters,
                x,
                &mut gradients,
                &mut self.memory,
                Some(&mut dx),
            )
            .unwrap();
        (gradients, dx)
    }

    /// Compares up to `most` weights and as many inputs, evenly spread.
    fn run(&mut self, most: usize) {
        let specs = self.sequence.parameters();
        let mut parameters = Parameters::<f64>::initialize(specs, 7).values;
        // Gains and biases that begin as constants move off their symmetric values.
        for (value, noise) in parameters.iter_mut().zip(random_values(1 << 16, 5)) {
            *value += 0.05 * noise;
        }
        let mut x = random_values(self.shape.len(), 11);
        let (gradients, dx) = self.gradients(&parameters, &x);
        for index in spread(parameters.len(), most) {
            let keep = parameters[index];
            parameters[index] = keep + STEP;
            let above = self.loss(&parameters, &x);
            parameters[index] = keep - STEP;
            let below = self.loss(&parameters, &x);
            parameters[index] = keep;
            assert_close("weight", index, gradients[index], (above - below) / (2.0 * STEP));
        }
        for index in spread(x.len(), most) {
            let keep = x[index];
            x[index] = keep + STEP;
            let above = self.loss(&parameters, &x);
            x[index] = keep - STEP;
            let below = self.loss(&parameters, &x);
            x[index] = keep;
            assert_close("input", index, dx[index], (above - below) / (2.0 * STEP));
        }
    }
}

fn spread(count: usize, most: usize) -> impl Iterator<Item = usize> {
    let stride = count.div_ceil(most).max(1);
    (0..count).step_by(stride)
}

fn assert_close(what: &str, index: usize, computed: f64, measured: f64) {
    let error = (computed - measured).abs() / (1.0 + computed.abs().max(measured.abs()));
    assert!(error < TOLERANCE, "{what} {index}: backward gives {computed}, differences {measured}");
}

fn layer(layer: impl Layer<f64> + 'static) -> Sequence<f64> {
    Sequence::new(vec![("layer".into(), Box::new(layer))])
}

const TRAINING: Mode = Mode::Training { key: 3 };

fn frames(lengths: &[usize], width: usize) -> Shape {
    Shape { lengths: lengths.to_vec(), bins: 1, channels: width }
}

#[test]
fn linear() {
    let shape = Shape { lengths: vec![3, 2], bins: 2, channels: 3 };
    Check::new(layer(Linear { input: 6, output: 4 }), shape, TRAINING).run(200);
}

#[test]
fn relu() {
    Check::new(layer(Relu), frames(&[4, 1], 7), TRAINING).run(200);
}

#[test]
fn dropout() {
    let layer = layer(Dropout { rate: 0.4, salt: 2 });
    Check::new(layer, frames(&[4, 1], 7), TRAINING).run(200);
}

#[test]
fn layer_norm() {
    Check::new(layer(LayerNorm { width: 9 }), frames(&[4, 1, 2], 9), TRAINING).run(200);
}

#[test]
fn batch_norm() {
    let shape = Shape { lengths: vec![3, 1, 2], bins: 5, channels: 4 };
    Check::new(layer(BatchNorm { channels: 4 }), shape, TRAINING).run(200);
}

#[test]
fn batch_norm_with_a_rectifier() {
    Check::new(layer(BatchNormRelu { channels: 3 }), frames(&[4, 3], 3), TRAINING).run(200);
}

#[test]
fn batch_norm_with_a_rectifier_is_both_layers_one_after_the_other() {
    let shape = Shape { lengths: vec![40, 7], bins: 3, channels: 19 };
    let apart: Sequence<f64> = Sequence::new(vec![
        ("layer".into(), Box::new(BatchNorm { channels: 19 })),
        ("relu".into(), Box::new(Relu)),
    ]);
    let x = random_values(shape.len(), 11);
    for mode in [TRAINING, Mode::Inference] {
        let together = layer(BatchNormRelu { channels: 19 });
        assert_eq!(together.parameters(), apart.parameters());
        assert_eq!(together.buffers(), apart.buffers());
        let mut parameters = Parameters::<f64>::initialize(apart.parameters(), 7);
        for (value, noise) in parameters.values.iter_mut().zip(random_values(38, 5)) {
            *value += noise;
        }
        let before = Parameters::<f64>::initialize(apart.buffers(), 0).values;
        let pass = |sequence: &Sequence<f64>| {
            let (cpu, mut memory) = (Cpu::detect(), Memory::new());
            let values = &parameters.values;
            sequence.forward(cpu, mode, values, &before, &x, &shape, &mut [], &mut memory).unwrap();
            let y = memory.output().to_vec();
            if mode == Mode::Inference {
                return (y, Vec::new(), Vec::new(), Vec::new());
            }
            let mut buffers = before.clone();
            sequence.update_buffers(&mut buffers, &memory).unwrap();
            let (mut gradients, mut dx) = (vec![0.0; values.len()], vec![f64::NAN; x.len()]);
            memory.output_and_gradient().1.copy_from_slice(&random_values(y.len(), 9));
            let wanted = Some(&mut dx[..]);
            sequence.backward(cpu, mode, values, &x, &mut gradients, &mut memory, wanted).unwrap();
            (y, buffers, gradients, dx)
        };
        let found = pass(&together);
        assert!(found.0.contains(&0.0) && found.0.iter().any(|&y| y > 0.0));
        assert_eq!(found, pass(&apart));
    }
}

#[test]
fn convolution() {
    for (kernel, stride, padding) in
        [([3, 3], [2, 2], [1, 1]), ([5, 2], [1, 3], [0, 1]), ([1, 1], [1, 1], [0, 0])]
    {
        let convolution = Convolution { in_channels: 2, out_channels: 3, kernel, stride, padding };
        let shape = Shape { lengths: vec![7, 5], bins: 6, channels: 2 };
        Check::new(layer(ConvolutionLayer { convolution }), shape, TRAINING).run(300);
    }
}

#[test]
fn depthwise_convolution() {
    let convolution =
        DepthwiseConvolution { channels: 3, kernel: [3, 2], stride: [2, 1], padding: [1, 0] };
    let shape = Shape { lengths: vec![7, 5], bins: 4, channels: 3 };
    Check::new(layer(DepthwiseLayer { convolution }), shape, TRAINING).run(300);
}

#[test]
fn lookahead() {
    for frames in [0, 1, 4] {
        let shape = Shape { lengths: vec![7, 5, 1], bins: 2, channels: 3 };
        Check::new(layer(Lookahead { channels: 3, frames }), shape, TRAINING).run(300);
    }
}

/// Against the formula: each output from its own frame and those behind it, none of another utterance.
#[test]
fn lookahead_sees_the_next_frames_of_its_own_utterance() {
    let (frames, lengths) = (2, [4, 1, 3]);
    let sequence = layer(Lookahead { channels: 2, frames });
    let weights = [0.5, 3.0, 7.0, -1.0, 2.0, 10.0, 100.0, 200.0]; // [channels, frames + 1], bias
    let x: Vec<f64> = (1..=16).map(f64::from).collect(); // [rows, channels]
    let (shape, mut memory) = (self::frames(&lengths, 2), Memory::new());
    let (cpu, mode) = (Cpu::detect(), Mode::Inference);
    sequence.forward(cpu, mode, &weights, &[], &x, &shape, &mut [], &mut memory).unwrap();
    let (mut expected, mut first) = (Vec::new(), 0);
    for length in lengths {
        for t in 0..length {
            for channel in 0..2 {
                let seen = (0..=frames).filter(|j| t + j < length);
                let at = |j: usize| x[(first + t + j) * 2 + channel] * weights[channel * 3 + j];
                expected.push(weights[6 + channel] + seen.map(at).sum::<f64>());
            }
        }
        first += length;
    }
    assert_eq!(memory.output(), expected);
}

#[test]
fn pooling() {
    let window = Window { kernel: [3, 2], stride: [2, 2], padding: [1, 1] };
    let shape = || Shape { lengths: vec![7, 5, 1], bins: 4, channels: 3 };
    Check::new(layer(MaxPool { window }), shape(), TRAINING).run(300);
    for average in [Average::WholeWindow, Average::InsideOnly] {
        Check::new(layer(AveragePool { window, average }), shape(), TRAINING).run(300);
    }
    Check::new(layer(MeanOverBins), shape(), TRAINING).run(300);
    let sequence = layer(GlobalMean);
    let mean = Shape { lengths: vec![1, 1, 1], bins: 1, channels: 3 };
    assert_eq!(sequence.output_shape(&shape()).unwrap(), mean);
    Check::new(sequence, shape(), TRAINING).run(300);
}

/// A basic block of a ResNet, with a shortcut of its own where the shape changes.
fn block(channels: [usize; 2], stride: usize, relu: bool) -> Residual<f64> {
    let convolution = |in_channels, kernel: usize, stride: usize| {
        let layer: Box<dyn Layer<f64>> = Box::new(ConvolutionLayer {
            convolution: Convolution {
                in_channels,
                out_channels: channels[1],
                kernel: [kernel; 2],
                stride: [stride; 2],
                padding: [kernel / 2; 2],
            },
        });
        layer
    };
    let norm = || -> Box<dyn Layer<f64>> { Box::new(BatchNorm { channels: channels[1] }) };
    let body = Sequence::new(vec![
        ("conv1".into(), convolution(channels[0], 3, stride)),
        ("norm1".into(), norm()),
        ("relu".into(), Box::new(Relu)),
        ("conv2".into(), convolution(channels[1], 3, 1)),
        ("norm2".into(), norm()),
    ]);
    let shortcut = if stride > 1 || channels[0] != channels[1] {
        vec![("conv".into(), convolution(channels[0], 1, stride)), ("norm".into(), norm())]
    } else {
        Vec::new()
    };
    Residual { body, shortcut: Sequence::new(shortcut), relu }
}

#[test]
fn residual_blocks() {
    let shape = Shape { lengths: vec![4, 3], bins: 4, channels: 2 };
    for relu in [false, true] {
        for (channels, stride) in [([2, 2], 1), ([2, 3], 2)] {
            let sequence = layer(block(channels, stride, relu));
            Check::new(sequence, shape.clone(), TRAINING).run(300);
        }
        // One behind the other, and one inside the other.
        let inner = Residual {
            body: layer(block([2, 2], 1, true)),
            shortcut: Sequence::new(Vec::new()),
            relu,
        };
        let both: Vec<(String, Box<dyn Layer<f64>>)> =
            vec![("a".into(), Box::new(inner)), ("b".into(), Box::new(block([2, 3], 2, relu)))];
        Check::new(Sequence::new(both), shape.clone(), TRAINING).run(300);
    }
    // Branches that do not fit each other are refused with both shapes.
    let misfit = Residual {
        body: layer(Linear { input: 8, output: 5 }),
        shortcut: Sequence::new(Vec::new()),
        relu: true,
    };
    let message = layer(misfit).output_shape(&shape).unwrap_err().to_string();
    assert!(message.contains("5 channels") && message.contains("2 channels"), "{message}");
}

#[test]
fn running_statistics_inside_a_block_move_by_name() {
    let shape = Shape { lengths: vec![4, 3], bins: 4, channels: 2 };
    let sequence = layer(block([2, 3], 2, true));
    let names: Vec<String> = sequence.buffers().into_iter().map(|spec| spec.name).collect();
    assert!(names.contains(&"layer.body.norm1.running_mean".to_owned()), "{names:?}");
    assert!(names.contains(&"layer.shortcut.norm.running_var".to_owned()), "{names:?}");
    let mut check = Check::new(sequence, shape, TRAINING);
    let parameters = Parameters::<f64>::initialize(check.sequence.parameters(), 7).values;
    let x = random_values(check.shape.len(), 11);
    check.loss(&parameters, &x);
    let before = check.buffers.clone();
    check.sequence.update_buffers(&mut check.buffers, &check.memory).unwrap();
    assert!(before.iter().zip(&check.buffers).all(|(a, b)| a != b), "a statistic did not move");
}

#[test]
fn gru_in_one_direction_and_both_and_both_variants() {
    for bidirectional in [false, true] {
        for variant in [GruVariant::ResetAfter, GruVariant::ResetBefore] {
            let gru = GruLayer { input: 3, hidden: 4, bidirectional, variant };
            Check::new(layer(gru), frames(&[5, 1, 7], 3), TRAINING).run(300);
        }
    }
}

#[test]
fn lstm_in_one_direction_and_both() {
    for bidirectional in [false, true] {
        let lstm = LstmLayer { input: 3, hidden: 4, bidirectional };
        Check::new(layer(lstm), frames(&[5, 1, 7], 3), TRAINING).run(300);
    }
}

#[test]
fn a_state_handed_on_continues_an_lstm() {
    let sequence = || layer(LstmLayer { input: 3, hidden: 4, bidirectional: false });
    let parameters = Parameters::<f64>::initialize(sequence().parameters(), 7).values;
    // Two utterances of 9 frames, at once and as chunks of 5 and 4 frames of both.
    let x = random_values(2 * 9 * 3, 1);
    let run = |x: &[f64], lengths: &[usize], states: &mut [f64]| {
        let (sequence, mut memory) = (sequence(), Memory::new());
        let (cpu, shape) = (Cpu::detect(), frames(lengths, 3));
        let mode = Mode::Inference;
        sequence.forward(cpu, mode, &parameters, &[], x, &shape, states, &mut memory).unwrap();
        memory.output().to_vec()
    };
    let whole = run(&x, &[9, 9], &mut []);
    let mut states = vec![0.0; sequence().state_len(2)];
    assert_eq!(states.len(), 2 * 2 * 4, "output and cell of both utterances");
    let first = run(&[&x[..5 * 3], &x[9 * 3..14 * 3]].concat(), &[5, 5], &mut states);
    let second = run(&[&x[5 * 3..9 * 3], &x[14 * 3..]].concat(), &[4, 4], &mut states);
    let chunks = [&first[..5 * 4], &second[..4 * 4], &first[5 * 4..], &second[4 * 4..]].concat();
    assert_eq!(chunks, whole);
}

#[test]
fn the_whole_model() {
    for recurrent in [Recurrent::Gru, Recurrent::Lstm] {
        whole_model(CnnOptions { recurrent: Some(recurrent), ..CnnOptions::default() });
    }
    // With everything that may stand between and behind the recurrent layers.
    let ahead = CnnOptions { bidirectional: false, lookahead: 2, ..CnnOptions::default() };
    whole_model(CnnOptions { recurrent_norm: true, residual: true, ..ahead });
}

fn whole_model(more: CnnOptions) {
    let convolution = |channels| ConvolutionOptions { channels, kernel: [3, 3], stride: [2, 2] };
    let options = ModelOptions::Cnn(CnnOptions {
        convolutions: vec![convolution(3), convolution(2)],
        projection: 5,
        recurrent_layers: 2,
        recurrent_hidden: 4,
        dropout: 0.2,
        ..more
    });
    let sequence = options.build(8, 6).unwrap();
    Check::new(sequence, Shape::features(&[21, 9, 14], 8), TRAINING).run(400);
}
