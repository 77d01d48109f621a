//! Sharing of places changes no byte, and saves what it promises.

use labyrinth_kernels::Cpu;
use labyrinth_kernels::convolution::Convolution;
use labyrinth_kernels::gru::GruVariant;
use labyrinth_nn::layers::{
    BatchNorm, ConvolutionLayer, Dropout, GruLayer, LayerNorm, Linear, LstmLayer, MaxPool, Relu,
    Residual,
};
use labyrinth_nn::{
    Backward, Forward, Layer, Memory, Mode, NnError, ParameterSpec, Parameters, Sequence, Shape,
};
use labyrinth_signal::Random;

/// A layer of which the caller knows neither that it works in place nor that it needs no output.
struct Reserved(Box<dyn Layer<f32>>);

impl Layer<f32> for Reserved {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        self.0.output_shape(input)
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        self.0.parameters()
    }

    fn buffers(&self) -> Vec<ParameterSpec> {
        self.0.buffers()
    }

    fn saved_len(&self, input: &Shape) -> usize {
        self.0.saved_len(input)
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        self.0.scratch_len(input)
    }

    fn scratch_len_without_dx(&self, input: &Shape) -> usize {
        self.0.scratch_len_without_dx(input)
    }

    fn forward_scratch_len(&self, input: &Shape) -> usize {
        self.0.forward_scratch_len(input)
    }

    fn forward(&self, pass: Forward<'_, f32>) -> Result<(), NnError> {
        assert!(!pass.x.is_empty(), "worked in place unasked");
        self.0.forward(pass)
    }

    fn backward(&self, pass: Backward<'_, f32>) -> Result<(), NnError> {
        assert!(!pass.dy.is_empty() && !pass.x.is_empty(), "worked in place unasked");
        self.0.backward(pass)
    }

    fn update_buffers(
        &self,
        input: &Shape,
        saved: &[f32],
        buffers: &mut [f32],
    ) -> Result<(), NnError> {
        self.0.update_buffers(input, saved, buffers)
    }
}

type Named = Vec<(String, Box<dyn Layer<f32>>)>;

/// Layers one after another, each in its own name, or as [`Reserved`].
fn sequence(layers: Vec<Box<dyn Layer<f32>>>, shares: bool) -> Sequence<f32> {
    let named: Named = layers
        .into_iter()
        .enumerate()
        .map(|(index, layer)| {
            let layer = if shares { layer } else { Box::new(Reserved(layer)) };
            (format!("{index}"), layer)
        })
        .collect();
    Sequence::new(named)
}

fn convolution(in_channels: usize, out_channels: usize, stride: usize) -> Box<dyn Layer<f32>> {
    let convolution = Convolution {
        in_channels,
        out_channels,
        kernel: [3, 3],
        stride: [stride; 2],
        padding: [1, 1],
    };
    Box::new(ConvolutionLayer { convolution })
}

fn dropout(salt: u64) -> Box<dyn Layer<f32>> {
    Box::new(Dropout { rate: 0.3, salt })
}

/// Rectifiers and dropout behind layers that need their output and behind some that do not, at the end, in
/// a sequence within the sequence and in the branches of a residual block.
fn everything(shares: bool) -> Sequence<f32> {
    let nested = |layers| -> Box<dyn Layer<f32>> { Box::new(sequence(layers, shares)) };
    let residual = |relu, stride, channels| -> Box<dyn Layer<f32>> {
        let body = sequence(
            vec![
                convolution(4, channels, stride),
                Box::new(BatchNorm { channels }),
                Box::new(Relu),
                convolution(channels, channels, 1),
                dropout(5),
            ],
            shares,
        );
        let shortcut = match stride {
            1 => Vec::new(),
            _ => vec![convolution(4, channels, stride), dropout(6), Box::new(Relu)],
        };
        Box::new(Residual { body, shortcut: sequence(shortcut, shares), relu })
    };
    let window = labyrinth_kernels::Window { kernel: [3, 1], stride: [1, 1], padding: [1, 0] };
    let variant = GruVariant::ResetAfter;
    sequence(
        vec![
            // What stands first cannot write over the caller's input.
            dropout(1),
            convolution(1, 4, 2),
            Box::new(BatchNorm { channels: 4 }),
            Box::new(Relu),
            residual(true, 1, 4),
            Box::new(Relu),
            residual(false, 2, 3),
            dropout(9),
            Box::new(MaxPool { window }),
            Box::new(Relu),
            nested(vec![
                Box::new(Linear { input: 9, output: 8 }),
                dropout(2),
                Box::new(Relu),
                Box::new(LayerNorm { width: 8 }),
                Box::new(Relu),
            ]),
            nested(vec![Box::new(Relu), dropout(3)]),
            Box::new(GruLayer { input: 8, hidden: 5, bidirectional: true, variant }),
            dropout(4),
            Box::new(Relu),
            Box::new(LstmLayer { input: 10, hidden: 6, bidirectional: false }),
            dropout(7),
            Box::new(Linear { input: 6, output: 7 }),
            dropout(8),
            Box::new(Relu),
        ],
        shares,
    )
}

struct Outcome {
    /// Outputs, gradients, statistics: all bits there are.
    bits: Vec<Vec<u32>>,
    bytes: usize,
}

/// A training step, there and back, and inference on each shape, all in one memory.
fn run(sequence: &Sequence<f32>, shapes: &[Shape], wants_dx: bool) -> Outcome {
    let cpu = Cpu::detect();
    let parameters = Parameters::<f32>::initialize(sequence.parameters(), 3).values;
    let mut buffers = Parameters::<f32>::initialize(sequence.buffers(), 3).values;
    let mut memory = Memory::new();
    let mut outcome = Outcome { bits: Vec::new(), bytes: 0 };
    for (key, shape) in shapes.iter().enumerate() {
        let mut random = Random::from_key(&[key as u64]);
        let x: Vec<f32> = (0..shape.len()).map(|_| random.normal() as f32).collect();
        let mut keep = |values: &[f32]| {
            assert!(values.iter().all(|value| value.is_finite()));
            outcome.bits.push(values.iter().map(|value| value.to_bits()).collect());
        };
        for mode in [Mode::Training { key: key as u64 }, Mode::Inference] {
            let state = &mut [];
            sequence
                .forward(cpu, mode, &parameters, &buffers, &x, shape, state, &mut memory)
                .unwrap();
            keep(memory.output());
            if mode == Mode::Inference {
                continue;
            }
            let (output, dy) = memory.output_and_gradient();
            assert_eq!(output.len(), dy.len());
            dy.fill_with(|| random.normal() as f32);
            let output = output.to_vec();
            let mut gradients = vec![0.0; parameters.len()];
            let mut dx = vec![f32::NAN; if wants_dx { x.len() } else { 0 }];
            let wanted = wants_dx.then_some(&mut dx[..]);
            sequence
                .backward(cpu, mode, &parameters, &x, &mut gradients, &mut memory, wanted)
                .unwrap();
            // Neither the output nor what moves the statistics is lost on the way back.
            assert_eq!(memory.output(), output);
            sequence.update_buffers(&mut buffers, &memory).unwrap();
            keep(&gradients);
            keep(&dx);
            keep(&buffers);
        }
    }
    outcome.bytes = memory.bytes();
    outcome
}

#[test]
fn in_place_or_not_gives_the_same_bytes() {
    let shapes = [[9, 4], [6, 17], [2, 1]].map(|lengths| Shape::features(&lengths, 12));
    for wants_dx in [false, true] {
        let [with, without] = [true, false].map(|s| run(&everything(s), &shapes, wants_dx));
        assert_eq!(with.bits, without.bits);
        assert!(with.bytes < without.bytes, "{} bytes, not below {}", with.bytes, without.bytes);
        assert!(with.bits.iter().flatten().any(|&bits| bits != 0));
    }
}

/// A recurrent layer, a norm or a block that stands first and whose dx nobody wants.
#[test]
fn what_stands_first_computes_the_same_weight_gradients_with_and_without_dx() {
    const VARIANT: GruVariant = GruVariant::ResetBefore;
    type Make = fn() -> Box<dyn Layer<f32>>;
    let first: [Make; 5] = [
        || Box::new(GruLayer { input: 12, hidden: 5, bidirectional: true, variant: VARIANT }),
        || Box::new(LstmLayer { input: 12, hidden: 5, bidirectional: false }),
        || Box::new(LayerNorm { width: 12 }),
        || Box::new(BatchNorm { channels: 1 }),
        || Box::new(everything(true)),
    ];
    for first in first {
        let shapes = [Shape::features(&[9, 4], 12)];
        let [with, without] =
            [true, false].map(|dx| run(&sequence(vec![first()], true), &shapes, dx).bits);
        // Output, gradients, dx, statistics, output of inference.
        assert_eq!([&with[..2], &with[3..]], [&without[..2], &without[3..]]);
    }
}

#[test]
fn a_rectifier_costs_no_activation_and_freed_places_serve_the_gradients() {
    let shape = Shape { lengths: vec![40, 30], bins: 1, channels: 64 };
    let rows = 70;
    let linear = |input, output| -> Box<dyn Layer<f32>> { Box::new(Linear { input, output }) };
    let bytes = |layers| run(&sequence(layers, true), std::slice::from_ref(&shape), false).bytes;
    let plain = bytes(vec![linear(64, 64), linear(64, 32), linear(32, 8)]);
    let relu = || -> Box<dyn Layer<f32>> { Box::new(Relu) };
    let with_relu = bytes(vec![
        linear(64, 64),
        relu(),
        dropout(1),
        linear(64, 32),
        dropout(1),
        relu(),
        linear(32, 8),
    ]);
    // The dropout behind the rectifier, which needs its output, takes one activation; else nothing.
    assert_eq!(with_relu - plain, 4 * rows * 64);
    // Three outputs and their gradients; a fourth layer in front, behind whose output all of that is over,
    // takes no more than its own output.
    assert_eq!(plain, 4 * rows * 2 * (64 + 32 + 8));
    let layers = [(64, 20), (20, 64), (64, 32), (32, 8)].map(|(i, o)| linear(i, o));
    assert_eq!(bytes(layers.into()) - plain, 4 * rows * 20);
}
