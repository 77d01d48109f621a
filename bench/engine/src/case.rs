//! What is timed: a round that can be repeated, with all that a peer needs to do the same.

use std::error::Error;
use std::sync::{Arc, Mutex};

use labyrinth_kernels::ctc::ctc_batch;
use labyrinth_kernels::optimizer::{AdamW, adamw_step};
use labyrinth_kernels::{Cpu, Matrix, matmul};
use labyrinth_nn::parameters::Initializer;
use labyrinth_nn::{Layer, Memory, Mode, Parameters, Sequence, Shape};
use labyrinth_signal::Random;

use crate::profile::{Clock, SharedClock, Timed, timed};

/// A failure with its sentence.
pub type Failure = Box<dyn Error>;

/// A named tensor for a peer.
pub struct Tensor {
    /// Its name: `input.x`, `weight.gru.0.forward.w_ih`, `gradient.…`, `output.…`.
    pub name: String,
    /// Shape, outermost first.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}

impl Tensor {
    fn new(name: impl Into<String>, shape: &[usize], values: &[f32]) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), values: values.to_vec() }
    }
}

/// Something to time.
pub trait Case {
    /// One round; the loss where there is one.
    fn round(&mut self) -> Result<f64, Failure>;

    /// Floating-point operations of a round's matrix products and convolutions.
    fn flop(&self) -> f64;

    /// Inputs and weights as they stand.
    fn given(&self) -> Vec<Tensor>;

    /// Gradients and outputs of the last round.
    fn results(&self) -> Vec<Tensor>;

    /// Times of the parts.
    fn profile(&self) -> Vec<Clock> {
        Vec::new()
    }

    /// Forgets the times.
    fn clear_profile(&mut self) {}
}

/// Values of a normal distribution, the same for the same name.
pub fn normal(name: &str, count: usize) -> Vec<f32> {
    let mut random = Random::from_key(&[labyrinth_signal::hash_name(name)]);
    (0..count).map(|_| random.normal() as f32).collect()
}

/// Labels from 1 to below `labels`, the same for the same name.
pub fn targets(name: &str, batch: usize, length: usize, labels: usize) -> Vec<Vec<u32>> {
    let mut random = Random::from_key(&[labyrinth_signal::hash_name(name)]);
    let mut label = || 1 + random.below(labels as u64 - 1) as u32;
    (0..batch).map(|_| (0..length).map(|_| label()).collect()).collect()
}

fn targets_tensor(targets: &[Vec<u32>]) -> Tensor {
    let values: Vec<f32> = targets.iter().flatten().map(|&label| label as f32).collect();
    Tensor::new("input.targets", &[targets.len(), targets.first().map_or(0, Vec::len)], &values)
}

fn clock(name: impl Into<String>, flop: f64) -> SharedClock {
    Arc::new(Mutex::new(Clock { name: name.into(), flop, milliseconds: Vec::new() }))
}

/// What is done with a sequence of layers.
pub enum Task {
    /// Forward, CTC on these targets, backward, a step of AdamW.
    Train {
        /// Labels of each utterance.
        targets: Vec<Vec<u32>>,
    },
    /// Forward, and backward from this gradient of the output.
    Gradients {
        /// Gradient of the output.
        dy: Vec<f32>,
        /// Whether the gradient of the input is wanted too.
        to_input: bool,
    },
    /// Forward alone.
    Infer,
}

/// Layers one after another, with a task.
pub struct SequenceCase {
    cpu: Cpu,
    sequence: Sequence<f32>,
    parameters: Parameters<f32>,
    buffers: Parameters<f32>,
    gradients: Vec<f32>,
    moments: [Vec<f32>; 2],
    memory: Memory<f32>,
    shape: Shape,
    x: Vec<f32>,
    dx: Vec<f32>,
    task: Task,
    steps: u64,
    flop: f64,
    parts: Vec<Part>,
    ctc_clock: SharedClock,
    optimizer_clock: SharedClock,
}

/// Learning rate and the rest of AdamW in this bench; `peer.py` has the same.
const ADAMW: AdamW =
    AdamW { learning_rate: 3e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };

/// Gives the shifts of batch norms, which begin at 0, a value that keeps nearly all of what follows
/// off the kink of the rectifier: one value that rounding pushes over it changes a weight's
/// gradient in the second digit, for a peer as for us, and no comparison would be left.
fn lift_norms(parameters: &mut Parameters<f32>) {
    for index in 0..parameters.specs().len() {
        if parameters.specs()[index].initializer == Initializer::Constant(0.0) {
            let range = parameters.range(index);
            parameters.values[range].fill(3.0);
        }
    }
}

/// A layer and what it costs.
pub struct Work {
    /// Operations of the products of one forward pass, two for a multiply-add.
    pub forward: f64,
    /// The layer.
    pub layer: Box<dyn Layer<f32>>,
    /// Its name.
    pub name: String,
    /// The clocks of what is inside of it: of the forward passes, and of the backward passes.
    pub inner: [Vec<SharedClock>; 2],
}

impl Work {
    /// A layer with products of `forward` operations.
    pub fn new(name: impl Into<String>, forward: f64, layer: impl Layer<f32> + 'static) -> Self {
        let inner = [Vec::new(), Vec::new()];
        Self { forward, layer: Box::new(layer), name: name.into(), inner }
    }

    /// The layer with clocks around it, and the clocks: forward and backward, which takes
    /// `backward` operations.
    pub fn timed(self, backward: f64) -> (Timed, [SharedClock; 2]) {
        let forward = clock(format!("{} forward", self.name), self.forward);
        let backward = clock(format!("{} backward", self.name), backward);
        let clocks = [forward.clone(), backward.clone()];
        (Timed { layer: self.layer, forward, backward }, clocks)
    }
}

/// A layer's clock and those of what is inside of it.
struct Part {
    own: SharedClock,
    inner: Vec<SharedClock>,
}

impl Part {
    fn clear(&self) {
        for clock in self.inner.iter().chain([&self.own]) {
            if let Ok(mut clock) = clock.lock() {
                clock.milliseconds.clear();
            }
        }
    }

    /// Its rows of the profile: itself, or what is inside and what that leaves of its time.
    fn rows(&self) -> Vec<Clock> {
        let read =
            |clock: &SharedClock| clock.lock().map_or_else(|_| Clock::default(), |c| c.clone());
        let mut own = read(&self.own);
        if self.inner.is_empty() {
            return vec![own];
        }
        let mut rows: Vec<Clock> = self.inner.iter().map(read).collect();
        for row in &rows {
            for (rest, inner) in own.milliseconds.iter_mut().zip(&row.milliseconds) {
                *rest -= inner;
            }
        }
        own.name += ", the rest";
        own.flop = 0.0;
        rows.push(own);
        rows
    }
}

impl SequenceCase {
    /// Builds the case: `x` of `shape` through `layers`.
    pub fn new(
        cpu: Cpu,
        layers: Vec<Work>,
        shape: Shape,
        x: Vec<f32>,
        task: Task,
    ) -> Result<Self, Failure> {
        let wants_dx = matches!(task, Task::Gradients { to_input: true, .. });
        let (mut parts, mut backward_parts, mut steps, mut flop) =
            (Vec::new(), Vec::new(), Vec::new(), 0.0);
        for (index, mut work) in layers.into_iter().enumerate() {
            let (forward, name) = (work.forward, work.name.clone());
            // The gradient of the weights costs what the forward pass costs, and that of the input
            // again, which the first layer of a training does not compute.
            let backward = forward * if index == 0 && !wants_dx { 1.0 } else { 2.0 };
            flop += forward + if matches!(task, Task::Infer) { 0.0 } else { backward };
            let [inner, inner_back] = std::mem::take(&mut work.inner);
            let (timed, [own, own_back]) = work.timed(backward);
            parts.push(Part { own, inner });
            backward_parts.push(Part { own: own_back, inner: inner_back });
            steps.push((name, Box::new(timed) as Box<dyn Layer<f32>>));
        }
        backward_parts.reverse();
        let sequence = Sequence::new(steps);
        sequence.output_shape(&shape)?;
        let mut parameters = Parameters::initialize(sequence.parameters(), 1);
        lift_norms(&mut parameters);
        let learns = parameters.len() * usize::from(!matches!(task, Task::Infer));
        let moment = parameters.len() * usize::from(matches!(task, Task::Train { .. }));
        Ok(Self {
            cpu,
            buffers: Parameters::initialize(sequence.buffers(), 1),
            gradients: vec![0.0; learns],
            moments: [vec![0.0; moment], vec![0.0; moment]],
            memory: Memory::new(),
            dx: vec![0.0; if wants_dx { x.len() } else { 0 }],
            parameters,
            sequence,
            shape,
            x,
            task,
            steps: 0,
            flop,
            parts: parts.into_iter().chain(backward_parts).collect(),
            ctc_clock: clock("CTC loss and gradient", 0.0),
            optimizer_clock: clock("AdamW", 0.0),
        })
    }

    /// Sets the biases of the convolutions to zero: the peer's have none, since a batch norm follows that
    /// takes any bias away again.
    pub fn without_biases(mut self) -> Self {
        for index in 0..self.parameters.specs().len() {
            let spec = &self.parameters.specs()[index];
            let constant = matches!(spec.initializer, Initializer::Constant(_));
            if spec.shape.len() == 1 && !constant {
                let range = self.parameters.range(index);
                self.parameters.values[range].fill(0.0);
            }
        }
        self
    }

    fn forward(&mut self, mode: Mode) -> Result<(), Failure> {
        self.sequence.forward(
            self.cpu,
            mode,
            &self.parameters.values,
            &self.buffers.values,
            &self.x,
            &self.shape,
            &mut [],
            &mut self.memory,
        )?;
        Ok(())
    }

    fn backward(&mut self, mode: Mode) -> Result<(), Failure> {
        self.gradients.fill(0.0);
        let dx = (!self.dx.is_empty()).then_some(&mut self.dx[..]);
        self.sequence.backward(
            self.cpu,
            mode,
            &self.parameters.values,
            &self.x,
            &mut self.gradients,
            &mut self.memory,
            dx,
        )?;
        Ok(())
    }
}

impl Case for SequenceCase {
    fn round(&mut self) -> Result<f64, Failure> {
        self.steps += 1;
        let mode = match self.task {
            Task::Infer => Mode::Inference,
            _ => Mode::Training { key: self.steps },
        };
        self.forward(mode)?;
        let mut loss = 0.0;
        match &self.task {
            Task::Infer => return Ok(0.0),
            Task::Gradients { dy, .. } => {
                self.memory.output_and_gradient().1.copy_from_slice(dy);
            }
            Task::Train { targets } => {
                let (cpu, memory) = (self.cpu, &mut self.memory);
                loss = timed(&self.ctc_clock, || mean_ctc(cpu, targets, memory))?;
            }
        }
        self.backward(mode)?;
        if matches!(self.task, Task::Train { .. }) {
            let [first, second] = &mut self.moments;
            timed(&self.optimizer_clock, || {
                // One rate and one decay for all: the arena is one tensor to the optimiser.
                let values = &mut self.parameters.values;
                adamw_step(
                    self.cpu,
                    values,
                    &self.gradients,
                    first,
                    second,
                    &ADAMW,
                    self.steps,
                    1.0,
                )
            })?;
        }
        Ok(loss)
    }

    fn flop(&self) -> f64 {
        self.flop
    }

    fn given(&self) -> Vec<Tensor> {
        let Shape { lengths, bins, channels } = &self.shape;
        let shape = [lengths.len(), lengths[0], *bins, *channels];
        let mut tensors = vec![Tensor::new("input.x", &shape, &self.x)];
        match &self.task {
            Task::Train { targets } => tensors.push(targets_tensor(targets)),
            Task::Gradients { dy, .. } => tensors.push(Tensor::new("input.dy", &[dy.len()], dy)),
            Task::Infer => {}
        }
        for (spec, values) in self.parameters.iter() {
            tensors.push(Tensor::new(format!("weight.{}", spec.name), &spec.shape, values));
        }
        tensors
    }

    fn results(&self) -> Vec<Tensor> {
        let output = self.memory.output();
        let mut tensors = vec![Tensor::new("output.y", &[output.len()], output)];
        if !self.dx.is_empty() {
            tensors.push(Tensor::new("gradient.x", &[self.dx.len()], &self.dx));
        }
        if !self.gradients.is_empty() {
            for (index, spec) in self.parameters.specs().iter().enumerate() {
                let values = &self.gradients[self.parameters.range(index)];
                tensors.push(Tensor::new(format!("gradient.{}", spec.name), &spec.shape, values));
            }
        }
        tensors
    }

    fn profile(&self) -> Vec<Clock> {
        let ends = [&self.ctc_clock, &self.optimizer_clock];
        let ends = ends.into_iter().filter_map(|clock| Some(clock.lock().ok()?.clone()));
        let clocks = self.parts.iter().flat_map(Part::rows).chain(ends);
        clocks.filter(|clock| !clock.milliseconds.is_empty()).collect()
    }

    fn clear_profile(&mut self) {
        self.parts.iter().for_each(Part::clear);
        for clock in [&self.ctc_clock, &self.optimizer_clock] {
            if let Ok(mut clock) = clock.lock() {
                clock.milliseconds.clear();
            }
        }
    }
}

/// The mean over the batch of each utterance's loss per label, as PyTorch's `reduction="mean"`.
fn mean_ctc(cpu: Cpu, targets: &[Vec<u32>], memory: &mut Memory<f32>) -> Result<f64, Failure> {
    let Some(Shape { lengths, channels, .. }) = memory.output_shape().cloned() else {
        return Err("no forward pass has run".into());
    };
    let (logits, gradient) = memory.output_and_gradient();
    ctc(cpu, logits, &lengths, channels, targets, gradient)
}

fn ctc(
    cpu: Cpu,
    logits: &[f32],
    lengths: &[usize],
    labels: usize,
    targets: &[Vec<u32>],
    gradient: &mut [f32],
) -> Result<f64, Failure> {
    let batch = targets.len() as f32;
    let scales: Vec<f32> = targets.iter().map(|t| 1.0 / (t.len() as f32 * batch)).collect();
    let mut losses = vec![0.0; targets.len()];
    let outcome =
        ctc_batch(cpu, logits, lengths, labels, targets, &scales, &mut losses, Some(gradient))?;
    if !outcome.is_clean() {
        return Err(format!("the bench's own utterances have no loss: {outcome:?}").into());
    }
    Ok(losses.iter().zip(&scales).map(|(&l, &s)| f64::from(l) * f64::from(s)).sum())
}

/// CTC loss and its gradient alone.
pub struct CtcCase {
    /// Instruction set.
    pub cpu: Cpu,
    /// Frames of each utterance.
    pub lengths: Vec<usize>,
    /// Labels, the blank among them.
    pub labels: usize,
    /// `[sum of lengths, labels]`.
    pub logits: Vec<f32>,
    /// Labels of each utterance.
    pub targets: Vec<Vec<u32>>,
    /// Of the logits.
    pub gradient: Vec<f32>,
}

impl Case for CtcCase {
    fn round(&mut self) -> Result<f64, Failure> {
        let Self { cpu, lengths, labels, logits, targets, gradient } = self;
        ctc(*cpu, logits, lengths, *labels, targets, gradient)
    }

    fn flop(&self) -> f64 {
        0.0
    }

    fn given(&self) -> Vec<Tensor> {
        let shape = [self.lengths.len(), self.lengths[0], self.labels];
        vec![Tensor::new("input.x", &shape, &self.logits), targets_tensor(&self.targets)]
    }

    fn results(&self) -> Vec<Tensor> {
        vec![Tensor::new("gradient.x", &[self.gradient.len()], &self.gradient)]
    }
}

/// A large square product: the roof over all others.
pub struct ProductCase {
    cpu: Cpu,
    size: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl ProductCase {
    /// `[size, size] · [size, size]`.
    pub fn new(cpu: Cpu, size: usize) -> Self {
        let (a, b) = (normal("product.a", size * size), normal("product.b", size * size));
        Self { cpu, size, a, b, c: vec![0.0; size * size] }
    }
}

impl Case for ProductCase {
    fn round(&mut self) -> Result<f64, Failure> {
        let size = self.size;
        let (a, b) = (Matrix::rows(&self.a, size, size), Matrix::rows(&self.b, size, size));
        matmul(self.cpu, a, b, &mut self.c, size, false)?;
        Ok(0.0)
    }

    fn flop(&self) -> f64 {
        2.0 * (self.size as f64).powi(3)
    }

    fn given(&self) -> Vec<Tensor> {
        let shape = [self.size, self.size];
        vec![Tensor::new("input.a", &shape, &self.a), Tensor::new("input.b", &shape, &self.b)]
    }

    fn results(&self) -> Vec<Tensor> {
        vec![Tensor::new("output.c", &[self.size, self.size], &self.c)]
    }
}
