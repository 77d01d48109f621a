//! The layers of a sequence in a stream, one after another, and the two branches of a residual block.
//!
//! Book: book/src/decoding.md

use std::ops::Range;

use labyrinth_kernels::residual::{residual_add_forward, residual_add_relu_forward};
use labyrinth_kernels::{Cpu, PackedMatrix, Real};

use super::window::Windows;
use crate::error::NnError;
use crate::layer::{Forward, Layer, Mode, Parts};
use crate::layers::Residual;
use crate::parameters::ParameterSpec;
use crate::sequence::Sequence;
use crate::shape::Shape;

/// Frames of the shape by which a stream's shapes are found out: enough for any stride and kernel.
const MANY: usize = 1 << 16;

/// What all layers are called with.
pub(super) struct Pass<'a, T> {
    pub cpu: Cpu,
    /// The network's weights, and its running statistics.
    pub parameters: &'a [T],
    pub buffers: &'a [T],
    /// Whether the recording ends behind the frames that are handed in.
    pub end: bool,
    /// Work space, kept from call to call.
    pub work: &'a mut Vec<T>,
}

/// Where a layer's weights lie in the network's, and the shape of a frame before and behind it: bins, channels.
#[derive(Clone)]
pub(super) struct Place {
    parameters: Range<usize>,
    buffers: Range<usize>,
    input: [usize; 2],
    output: [usize; 2],
}

impl Place {
    /// Values of a frame that goes in.
    pub fn input_width(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Values of a frame that comes out.
    pub fn output_width(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// The shape of so many frames that go in.
    pub fn shape(&self, frames: usize) -> Shape {
        Shape { lengths: vec![frames], bins: self.input[0], channels: self.input[1] }
    }

    /// Runs a layer on an utterance `x`, at least one frame, `[frames, bins, channels]`; appends its output to
    /// `y`.
    pub fn run<T: Real>(
        &self,
        layer: &dyn Layer<T>,
        pass: &mut Pass<'_, T>,
        packed: &[PackedMatrix<T>],
        x: &[T],
        state: &mut [T],
        y: &mut Vec<T>,
    ) -> Result<(), NnError> {
        let shape = self.shape(x.len() / self.input_width());
        let [saved, scratch] = [layer.saved_len(&shape), layer.forward_scratch_len(&shape)];
        if pass.work.len() < saved + scratch {
            pass.work.resize(saved + scratch, T::ZERO);
        }
        let (saved, rest) = pass.work.split_at_mut(saved);
        let before = y.len();
        y.resize(before + layer.output_shape(&shape)?.len(), T::ZERO);
        layer.forward(Forward {
            cpu: pass.cpu,
            mode: Mode::Inference,
            shape: &shape,
            x,
            parameters: &pass.parameters[self.parameters.clone()],
            packed,
            buffers: &pass.buffers[self.buffers.clone()],
            saved,
            state,
            scratch: &mut rest[..scratch],
            y: &mut y[before..],
        })
    }
}

/// What a layer remembers.
enum Memory<T> {
    /// Nothing: each frame comes from the same one.
    Frame,
    /// A state in place of all frames before.
    State(Vec<T>),
    Windows(Windows<T>),
    Sequence(Steps<T>),
    Residual(Branches<T>),
}

/// A layer's matrices as the products read them, laid out when the first frames come.
struct Laid<T> {
    cpu: Cpu,
    matrices: Vec<PackedMatrix<T>>,
}

impl<T: Real> Laid<T> {
    /// Those of `laid`, which are made first where they are missing or another instruction set is asked for.
    fn matrices<'a>(
        laid: &'a mut Option<Self>,
        place: &Place,
        layer: &dyn Layer<T>,
        pass: &Pass<'_, T>,
    ) -> Result<&'a [PackedMatrix<T>], NnError> {
        if laid.as_ref().is_some_and(|laid| laid.cpu != pass.cpu) {
            *laid = None;
        }
        let laid = match laid {
            Some(laid) => laid,
            None => {
                let parameters = &pass.parameters[place.parameters.clone()];
                let matrices = layer.pack(pass.cpu, parameters)?;
                laid.insert(Self { cpu: pass.cpu, matrices })
            }
        };
        Ok(&laid.matrices)
    }
}

/// One layer of a sequence, in a stream.
struct Step<T> {
    place: Place,
    memory: Memory<T>,
    laid: Option<Laid<T>>,
}

/// The layers of a sequence, in a stream.
pub(super) struct Steps<T> {
    steps: Vec<Step<T>>,
    next: Vec<T>,
}

/// Where the weights of a part of the network begin, and the name of what it is part of.
struct Context<'a> {
    name: &'a str,
    parameters: usize,
    buffers: usize,
}

impl<T: Real> Steps<T> {
    /// A whole network whose frames have this shape: bins, channels.
    pub fn new(sequence: &Sequence<T>, frame: [usize; 2]) -> Result<Self, NnError> {
        Ok(Self::of(sequence, frame, &Context { name: "", parameters: 0, buffers: 0 })?.0)
    }

    /// Also returns the shape of a frame behind the last layer.
    fn of(
        sequence: &Sequence<T>,
        mut frame: [usize; 2],
        context: &Context<'_>,
    ) -> Result<(Self, [usize; 2]), NnError> {
        let mut steps = Vec::new();
        for step in sequence.steps() {
            let name = match context.name {
                "" => step.name.clone(),
                outer => format!("{outer}.{}", step.name),
            };
            let within =
                |start: usize, range: &Range<usize>| start + range.start..start + range.end;
            let place = Place {
                parameters: within(context.parameters, &step.parameters),
                buffers: within(context.buffers, &step.buffers),
                input: frame,
                output: frame,
            };
            let inner = Context {
                name: &name,
                parameters: place.parameters.start,
                buffers: place.buffers.start,
            };
            let behind = step.layer.output_shape(&place.shape(MANY))?;
            frame = [behind.bins, behind.channels];
            let memory = Memory::of(step.layer.as_ref(), &place, &inner)?;
            let place = Place { output: frame, ..place };
            steps.push(Step { place, memory, laid: None });
        }
        Ok((Self { steps, next: Vec::new() }, frame))
    }

    /// Passes `frames`, none or some, through all layers; what comes out stands in their place.
    pub fn advance(
        &mut self,
        sequence: &Sequence<T>,
        pass: &mut Pass<'_, T>,
        frames: &mut Vec<T>,
    ) -> Result<(), NnError> {
        for (step, layer) in self.steps.iter_mut().zip(sequence.steps()) {
            self.next.clear();
            step.advance(layer.layer.as_ref(), pass, frames, &mut self.next)?;
            std::mem::swap(frames, &mut self.next);
        }
        Ok(())
    }

    pub fn reset(&mut self) {
        for step in &mut self.steps {
            step.memory.reset();
        }
    }

    pub fn held(&self) -> usize {
        self.steps.iter().map(|step| step.memory.held()).sum()
    }
}

impl<T: Real> Step<T> {
    /// Takes `x` and appends what is certain by then to `y`.
    fn advance(
        &mut self,
        layer: &dyn Layer<T>,
        pass: &mut Pass<'_, T>,
        x: &[T],
        y: &mut Vec<T>,
    ) -> Result<(), NnError> {
        let Self { place, memory, laid } = self;
        let state = match (memory, layer.parts()) {
            (Memory::Sequence(steps), Parts::Sequence(sequence)) => {
                y.extend_from_slice(x);
                return steps.advance(sequence, pass, y);
            }
            (Memory::Residual(branches), Parts::Residual(block)) => {
                return branches.advance(block, pass, x, y);
            }
            (Memory::Windows(windows), _) => return windows.advance(place, layer, pass, x, y),
            (Memory::State(state), _) => state.as_mut_slice(),
            _ => &mut [],
        };
        if x.is_empty() {
            return Ok(());
        }
        let packed = Laid::matrices(laid, place, layer, pass)?;
        place.run(layer, pass, packed, x, state, y)
    }
}

impl<T: Real> Memory<T> {
    fn of(layer: &dyn Layer<T>, place: &Place, context: &Context<'_>) -> Result<Self, NnError> {
        match layer.parts() {
            Parts::Sequence(sequence) => {
                let (steps, _) = Steps::of(sequence, place.input, context)?;
                return Ok(Self::Sequence(steps));
            }
            Parts::Residual(block) => {
                return Ok(Self::Residual(Branches::of(block, place.input, context)?));
            }
            Parts::One => {}
        }
        let refused = |reason| Err(NnError::NoStream { layer: context.name.to_owned(), reason });
        let reach = layer.reach();
        let Some(after) = reach.after else {
            return refused("reads a recording from its end too, or as a whole");
        };
        let Some(before) = reach.before else {
            return match layer.state_len(1) {
                0 => refused("reads all that came before and hands no state on"),
                _ if after > 0 || reach.stride > 1 => {
                    refused("hands a state on and looks ahead or leaves out frames, both at once")
                }
                values => Ok(Self::State(vec![T::ZERO; values])),
            };
        };
        Ok(match (reach.stride, before, after) {
            (1, 0, 0) => Self::Frame,
            (stride, before, after) => {
                Self::Windows(Windows::new(stride, before, after, layer.without_padding()))
            }
        })
    }

    fn reset(&mut self) {
        match self {
            Self::Frame => {}
            Self::State(state) => state.fill(T::ZERO),
            Self::Windows(windows) => windows.reset(),
            Self::Sequence(steps) => steps.reset(),
            Self::Residual(branches) => branches.reset(),
        }
    }

    fn held(&self) -> usize {
        match self {
            Self::Frame => 0,
            Self::State(state) => state.len(),
            Self::Windows(windows) => windows.held(),
            Self::Sequence(steps) => steps.held(),
            Self::Residual(branches) => branches.held(),
        }
    }
}

/// The branches of a residual block, and what came out of each that the other has not met yet.
struct Branches<T> {
    body: Steps<T>,
    shortcut: Steps<T>,
    ready: [Vec<T>; 2],
    width: usize,
    next: Vec<T>,
}

impl<T: Real> Branches<T> {
    fn of(block: &Residual<T>, frame: [usize; 2], context: &Context<'_>) -> Result<Self, NnError> {
        let count = |specs: Vec<ParameterSpec>| specs.iter().map(ParameterSpec::len).sum::<usize>();
        let name = format!("{}.body", context.name);
        let inner = Context { name: &name, ..*context };
        let (body, behind) = Steps::of(&block.body, frame, &inner)?;
        let name = format!("{}.shortcut", context.name);
        // The weights of the shortcut lie behind those of the body.
        let inner = Context {
            name: &name,
            parameters: context.parameters + count(block.body.parameters()),
            buffers: context.buffers + count(block.body.buffers()),
        };
        let (shortcut, _) = Steps::of(&block.shortcut, frame, &inner)?;
        let ready = [Vec::new(), Vec::new()];
        Ok(Self { body, shortcut, ready, width: behind[0] * behind[1], next: Vec::new() })
    }

    fn advance(
        &mut self,
        block: &Residual<T>,
        pass: &mut Pass<'_, T>,
        x: &[T],
        y: &mut Vec<T>,
    ) -> Result<(), NnError> {
        let branches = [(&mut self.body, &block.body), (&mut self.shortcut, &block.shortcut)];
        for ((steps, sequence), ready) in branches.into_iter().zip(&mut self.ready) {
            self.next.clear();
            self.next.extend_from_slice(x);
            steps.advance(sequence, pass, &mut self.next)?;
            ready.extend_from_slice(&self.next);
        }
        let [a, b] = &mut self.ready;
        let met = a.len().min(b.len()) / self.width * self.width;
        if met > 0 {
            let before = y.len();
            y.resize(before + met, T::ZERO);
            let y = &mut y[before..];
            match block.relu {
                true => residual_add_relu_forward(pass.cpu, &a[..met], &b[..met], y)?,
                false => residual_add_forward(pass.cpu, &a[..met], &b[..met], y)?,
            }
            a.drain(..met);
            b.drain(..met);
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.body.reset();
        self.shortcut.reset();
        self.ready.iter_mut().for_each(Vec::clear);
    }

    fn held(&self) -> usize {
        let ready: usize = self.ready.iter().map(Vec::len).sum();
        self.body.held() + self.shortcut.held() + ready
    }
}
