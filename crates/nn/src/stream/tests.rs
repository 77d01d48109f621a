//! Random towers of every kind of layer: pieces of any size give the bytes of the whole, alone and in company.

use labyrinth_kernels::convolution::Convolution;
use labyrinth_kernels::gru::GruVariant;
use labyrinth_kernels::pooling::Average;
use labyrinth_kernels::{Cpu, DepthwiseConvolution, Precision, Window};
use labyrinth_signal::Random;
use proptest::prelude::*;

use super::steps::{Pass, Steps};
use crate::layer::{Layer, Mode};
use crate::layers::{
    AveragePool, BatchNorm, BatchNormRelu, ConvolutionLayer, DepthwiseLayer, Dropout, GlobalMean,
    GruLayer, LayerNorm, Linear, Lookahead, LstmLayer, MaxPool, MeanOverBins, Relu, Residual,
};
use crate::parameters::Parameters;
use crate::sequence::{Memory, Sequence};
use crate::shape::Shape;

type Layers = Vec<(String, Box<dyn Layer<f32>>)>;

const BINS: usize = 7;

/// Draws layers that fit one behind the other.
struct Builder {
    random: Random,
    frame: [usize; 2],
    layers: Layers,
}

impl Builder {
    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit as u64) as usize
    }

    fn one_of(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to + 1 - from)
    }

    fn push(&mut self, layer: impl Layer<f32> + 'static) {
        let name = format!("{}", self.layers.len());
        let behind = layer.output_shape(&self.shape(1 << 10)).unwrap();
        self.frame = [behind.bins, behind.channels];
        self.layers.push((name, Box::new(layer)));
    }

    fn shape(&self, frames: usize) -> Shape {
        Shape { lengths: vec![frames], bins: self.frame[0], channels: self.frame[1] }
    }

    /// Windows in time of any kernel, stride and padding, unless `keeps`: then as many frames come out as a
    /// stride of `stride` leaves of them, ⌈n / s⌉.
    fn window(&mut self, keeps: Option<usize>) -> Window {
        let (kernel, stride, padding) = match keeps {
            Some(stride) => {
                let half = self.below(3);
                (2 * half + 1, stride, half)
            }
            None => {
                let kernel = self.one_of(1, 6);
                (kernel, self.one_of(1, 4), self.below(kernel))
            }
        };
        let bins = self.one_of(1, self.frame[0].min(3));
        Window { kernel: [kernel, bins], stride: [stride, 1], padding: [padding, bins / 2] }
    }

    fn convolution(&mut self, window: Window) {
        let Window { kernel, stride, padding } = window;
        let [in_channels, out_channels] = [self.frame[1], self.one_of(1, 20)];
        let convolution = Convolution { in_channels, out_channels, kernel, stride, padding };
        self.push(ConvolutionLayer { convolution });
    }

    /// One layer of any kind that has windows.
    fn windowed(&mut self, keeps: Option<usize>) {
        let window = self.window(keeps);
        let channels = self.frame[1];
        match self.below(5) {
            0 => self.push(MaxPool { window }),
            1 => self.push(AveragePool { window, average: Average::WholeWindow }),
            2 => self.push(AveragePool { window, average: Average::InsideOnly }),
            3 => {
                let Window { kernel, stride, padding } = window;
                let convolution = DepthwiseConvolution { channels, kernel, stride, padding };
                self.push(DepthwiseLayer { convolution });
            }
            _ => self.convolution(window),
        }
    }

    /// One layer of any kind that gives each frame from the same one, or from all before.
    fn framewise(&mut self) {
        let [bins, channels] = self.frame;
        let width = bins * channels;
        match self.below(8) {
            0 => self.push(BatchNorm { channels }),
            1 => self.push(BatchNormRelu { channels }),
            2 => self.push(Relu),
            3 => self.push(LayerNorm { width }),
            4 => self.push(Dropout { rate: 0.5, salt: 1 }),
            5 => {
                let frames = self.below(6);
                self.push(Lookahead { channels, frames });
            }
            6 => {
                let output = self.one_of(1, 20);
                self.push(Linear { input: width, output });
            }
            _ if bins == 1 => {
                let hidden = self.one_of(1, 20);
                let variants = [GruVariant::ResetAfter, GruVariant::ResetBefore];
                let (input, variant) = (channels, variants[self.below(2)]);
                match self.below(2) {
                    0 => self.push(GruLayer { input, hidden, bidirectional: false, variant }),
                    _ => self.push(LstmLayer { input, hidden, bidirectional: false }),
                }
            }
            _ => self.push(MeanOverBins),
        }
    }

    /// A block; inside of another one's branch it keeps all frames.
    fn residual(&mut self, depth: usize) {
        let stride = if depth == 0 { self.one_of(1, 2) } else { 1 };
        let frame = self.frame;
        let outer = std::mem::take(&mut self.layers);
        self.windowed(Some(stride));
        self.tower(depth + 1, true);
        let body = std::mem::take(&mut self.layers);
        let wanted = self.frame;
        self.frame = frame;
        // The same frame by some other way: windows for the stride, then a frame of the right size.
        if stride > 1 || frame != wanted {
            self.windowed(Some(stride));
            self.push(Linear {
                input: self.frame[0] * self.frame[1],
                output: wanted[0] * wanted[1],
            });
        }
        let shortcut = std::mem::take(&mut self.layers);
        let (mut body, relu) = (body, self.below(2) == 0);
        if !shortcut.is_empty() {
            // Both flat, since a linear layer flattens.
            let values = wanted[0] * wanted[1];
            body.push(("flat".into(), Box::new(Linear { input: values, output: values })));
        }
        self.layers = outer;
        self.frame = frame;
        self.push(Residual { body: Sequence::new(body), shortcut: Sequence::new(shortcut), relu });
    }

    /// Some layers, of which those inside a branch keep all frames.
    fn tower(&mut self, depth: usize, keeps: bool) {
        for _ in 0..self.one_of(1, 4) {
            match self.below(4) {
                0 if depth < 2 => self.residual(depth),
                1 | 2 => self.windowed(keeps.then_some(1)),
                _ => self.framewise(),
            }
        }
    }
}

fn tower(seed: u64) -> Sequence<f32> {
    let random = Random::from_key(&[seed]);
    let mut builder = Builder { random, frame: [BINS, 1], layers: Vec::new() };
    builder.tower(0, false);
    // A sequence is a layer too.
    if builder.below(2) == 0 {
        let inner = Sequence::new(std::mem::take(&mut builder.layers));
        builder.frame = [BINS, 1];
        builder.push(inner);
        builder.framewise();
    }
    Sequence::new(builder.layers)
}

/// Values that nothing in a network is.
fn values(count: usize, key: u64) -> Vec<f32> {
    let mut random = Random::from_key(&[key, 1]);
    (0..count).map(|_| random.normal() as f32).collect()
}

struct Model {
    sequence: Sequence<f32>,
    parameters: Vec<f32>,
    buffers: Vec<f32>,
    cpu: Cpu,
}

impl Model {
    fn new(sequence: Sequence<f32>, cpu: Cpu) -> Self {
        let noisy = |mut values: Vec<f32>, key| {
            let noise = self::values(values.len(), key);
            values.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.2 * noise.abs());
            values
        };
        let parameters = Parameters::initialize(sequence.parameters(), 7).values;
        let buffers = Parameters::initialize(sequence.buffers(), 7).values;
        Self { parameters: noisy(parameters, 3), buffers: noisy(buffers, 4), sequence, cpu }
    }

    /// Bits of each utterance's output; `None` where one is too short.
    fn offline(&self, x: &[f32], lengths: &[usize]) -> Option<Vec<Vec<u32>>> {
        let mut memory = Memory::new();
        let shape = Shape::features(lengths, BINS);
        let shape_behind = self.sequence.output_shape(&shape).ok()?;
        let Self { sequence, parameters, buffers, cpu } = self;
        let mode = Mode::Inference;
        sequence.forward(*cpu, mode, parameters, buffers, x, &shape, &mut [], &mut memory).unwrap();
        let (mut rest, width) = (memory.output(), shape_behind.width());
        let part = |&frames: &usize| {
            let (part, behind) = rest.split_at(frames * width);
            rest = behind;
            bits(part)
        };
        Some(shape_behind.lengths.iter().map(part).collect())
    }

    /// Bits of what comes out for pieces of these many frames; the last ones, if any are left, at once. Also
    /// the most values held between two pieces.
    fn stream(&self, steps: &mut Steps<f32>, x: &[f32], pieces: &[usize]) -> (Vec<u32>, usize) {
        let mut work = Vec::new();
        let (mut out, mut held, mut rest) = (Vec::new(), 0, x);
        let ends = pieces.iter().copied().map(Some).chain([None]);
        for piece in ends {
            let frames = piece.map_or(0, |frames| frames * BINS).min(rest.len());
            let end = piece.is_none();
            let (now, later) = rest.split_at(if end { rest.len() } else { frames });
            rest = later;
            let mut frames = now.to_vec();
            let mut pass = Pass {
                cpu: self.cpu,
                parameters: &self.parameters,
                buffers: &self.buffers,
                end,
                work: &mut work,
            };
            steps.advance(&self.sequence, &mut pass, &mut frames).unwrap();
            out.extend(frames);
            held = held.max(steps.held());
        }
        (bits(&out), held)
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn cpus() -> Vec<Cpu> {
    let all = Cpu::available().into_iter().filter_map(|isa| Cpu::with(isa).ok());
    all.flat_map(|cpu| [Some(cpu), cpu.with_precision(Precision::Bf16).ok()]).flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn pieces_give_the_bytes_of_the_whole(
        seed in any::<u64>(),
        frames in 1usize..70,
        mate in 1usize..40,
        pieces in prop::collection::vec(0usize..20, 0..12),
        cpu in prop::sample::select(cpus()),
    ) {
        let model = Model::new(tower(seed), cpu);
        let x = values(frames * BINS, seed);
        let whole = model.offline(&x, &[frames]).map(|mut whole| whole.remove(0));
        let expected = whole.clone().unwrap_or_default();
        let mut steps = Steps::new(&model.sequence, [BINS, 1]).unwrap();
        // Frame by frame, all at once, all and then the end, and as drawn; one stream for all.
        for pieces in [&vec![1; frames][..], &[], &[frames + 3], &pieces] {
            let (streamed, _) = model.stream(&mut steps, &x, pieces);
            steps.reset();
            prop_assert_eq!(&streamed, &expected);
        }
        // And beside a mate.
        let both = [values(mate * BINS, seed + 1), x].concat();
        if let Some(batch) = model.offline(&both, &[mate, frames]) {
            prop_assert_eq!(Some(&batch[1]), whole.as_ref());
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_held_does_not_grow(seed in any::<u64>()) {
        let model = Model::new(tower(seed), Cpu::detect());
        // So that what is held has come back to where it was many times.
        prop_assume!(model.sequence.reach().stride <= 16);
        let mut steps = Steps::new(&model.sequence, [BINS, 1]).unwrap();
        let mut held = |frames: usize| {
            let x = values(frames * BINS, seed);
            let (_, held) = model.stream(&mut steps, &x, &vec![3; frames / 3]);
            steps.reset();
            held
        };
        let short = held(1200);
        prop_assert_eq!(held(2400), short);
    }
}

#[test]
fn what_needs_the_whole_is_refused_by_name() {
    let gru = |bidirectional| GruLayer {
        input: BINS,
        hidden: 2,
        bidirectional,
        variant: GruVariant::ResetAfter,
    };
    let named = |name: &str, layer: Box<dyn Layer<f32>>| Sequence::new(vec![(name.into(), layer)]);
    assert!(Steps::new(&named("ahead", Box::new(gru(false))), [1, BINS]).is_ok());
    let body = named("both", Box::new(gru(true)));
    let shortcut = named("flat", Box::new(Linear { input: BINS, output: 4 }));
    let block = Residual { body, shortcut, relu: false };
    for (sequence, name) in [
        (named("block", Box::new(block)), "block.body.both reads"),
        (named("mean", Box::new(GlobalMean)), "mean reads"),
    ] {
        let error = Steps::new(&sequence, [1, BINS]).err().unwrap().to_string();
        assert!(error.contains(name), "{error}");
    }
}
