//! Layers one after another, and the plan of the memory they work in.

use std::ops::Range;

use labyrinth_kernels::{Cpu, Real};

use crate::error::{NnError, expect_size};
use crate::layer::{Backward, Forward, Layer, Mode};
use crate::parameters::ParameterSpec;
use crate::shape::Shape;

/// A named layer and where its weights lie.
struct Step<T> {
    name: String,
    layer: Box<dyn Layer<T>>,
    parameters: Range<usize>,
    buffers: Range<usize>,
}

/// Layers one after another.
pub struct Sequence<T> {
    steps: Vec<Step<T>>,
}

/// Where everything lies for one batch shape. Made by [`Sequence::plan`].
///
/// Training keeps every activation and all that the layers save, for the way back. Inference needs
/// an activation only until the next one stands: two places, used in turn, and one for what a layer
/// would save, do for any number of layers.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    training: bool,
    /// Shape before each step, and behind the last.
    shapes: Vec<Shape>,
    /// Output of each step within the activations.
    outputs: Vec<Range<usize>>,
    /// What each step keeps, within the saved values.
    saved: Vec<Range<usize>>,
    /// The largest activation.
    widest: usize,
    /// The largest work space of a step.
    scratch: usize,
}

/// The memory of one forward and backward pass; grows to the largest batch seen and is reused.
#[derive(Debug, Default)]
pub struct Memory<T> {
    plan: Option<Plan>,
    activations: Vec<T>,
    saved: Vec<T>,
    gradient: Vec<T>,
    next_gradient: Vec<T>,
    scratch: Vec<T>,
}

impl<T: Real> Memory<T> {
    /// Memory that holds nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Shape of the output of the last forward pass.
    pub fn output_shape(&self) -> Option<&Shape> {
        self.plan.as_ref()?.shapes.last()
    }

    /// Output of the last forward pass.
    pub fn output(&self) -> &[T] {
        match self.plan.as_ref().and_then(|plan| plan.outputs.last()) {
            Some(range) => &self.activations[range.clone()],
            None => &[],
        }
    }

    /// The output of the last forward pass, and the place where the caller writes the gradient
    /// with respect to it before [`Sequence::backward`].
    pub fn output_and_gradient(&mut self) -> (&[T], &mut [T]) {
        let Some(range) = self.plan.as_ref().and_then(|plan| plan.outputs.last()).cloned() else {
            return (&[], &mut []);
        };
        let size = range.len();
        grow(&mut self.gradient, size);
        (&self.activations[range], &mut self.gradient[..size])
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let values = self.activations.capacity()
            + self.saved.capacity()
            + self.gradient.capacity()
            + self.next_gradient.capacity()
            + self.scratch.capacity();
        values * size_of::<T>()
    }
}

/// Makes room without touching what is there.
fn grow<T: Real>(values: &mut Vec<T>, size: usize) {
    if values.len() < size {
        values.resize(size, T::ZERO);
    }
}

impl<T: Real> Sequence<T> {
    /// Puts named layers one after another.
    pub fn new(layers: Vec<(String, Box<dyn Layer<T>>)>) -> Self {
        let (mut parameters, mut buffers) = (0, 0);
        let next = |specs: Vec<ParameterSpec>, end: &mut usize| {
            let start = *end;
            *end += specs.iter().map(ParameterSpec::len).sum::<usize>();
            start..*end
        };
        let steps = layers
            .into_iter()
            .map(|(name, layer)| Step {
                parameters: next(layer.parameters(), &mut parameters),
                buffers: next(layer.buffers(), &mut buffers),
                name,
                layer,
            })
            .collect();
        Self { steps }
    }

    /// Whether there is no layer: the output is the input.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Every weight, named `layer.weight`, in the order of the arena.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        self.named(|layer| layer.parameters())
    }

    /// Every running statistic, named `layer.statistic`, in the order of the arena.
    pub fn buffers(&self) -> Vec<ParameterSpec> {
        self.named(|layer| layer.buffers())
    }

    fn named(&self, specs: impl Fn(&dyn Layer<T>) -> Vec<ParameterSpec>) -> Vec<ParameterSpec> {
        let mut all = Vec::new();
        for step in &self.steps {
            for spec in specs(step.layer.as_ref()) {
                all.push(ParameterSpec { name: format!("{}.{}", step.name, spec.name), ..spec });
            }
        }
        all
    }

    /// Shape behind the last layer.
    pub fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        let mut shape = input.clone();
        for step in &self.steps {
            shape = step.layer.output_shape(&shape)?;
        }
        Ok(shape)
    }

    /// Values of state that `batch` utterances carry from chunk to chunk.
    pub fn state_len(&self, batch: usize) -> usize {
        self.steps.iter().map(|step| step.layer.state_len(batch)).sum()
    }

    fn plan(&self, input: &Shape, training: bool) -> Result<Plan, NnError> {
        let mut plan = Plan {
            training,
            shapes: vec![input.clone()],
            outputs: Vec::new(),
            saved: Vec::new(),
            widest: input.len(),
            scratch: 0,
        };
        for step in &self.steps {
            let before = &plan.shapes[plan.shapes.len() - 1];
            let after = step.layer.output_shape(before)?;
            plan.outputs.push(0..after.len());
            plan.saved.push(0..step.layer.saved_len(before));
            plan.scratch = plan.scratch.max(step.layer.scratch_len(before));
            plan.widest = plan.widest.max(after.len());
            plan.shapes.push(after);
        }
        if training {
            // One behind the other.
            for ranges in [&mut plan.outputs, &mut plan.saved] {
                let mut end = 0;
                for range in ranges {
                    *range = end..end + range.len();
                    end = range.end;
                }
            }
        } else {
            // The even ones at the front, the odd ones behind the largest of those.
            let largest = plan.outputs.iter().step_by(2).map(Range::len).max().unwrap_or(0);
            for range in plan.outputs.iter_mut().skip(1).step_by(2) {
                *range = largest..largest + range.len();
            }
        }
        Ok(plan)
    }

    /// Computes the output of `x`, which has the shape `input`; read it with [`Memory::output`].
    ///
    /// `states` has [`Sequence::state_len`] values, read before and replaced behind the pass, or
    /// none at all.
    #[allow(clippy::too_many_arguments)]
    pub fn forward(
        &self,
        cpu: Cpu,
        mode: Mode,
        parameters: &[T],
        buffers: &[T],
        x: &[T],
        input: &Shape,
        states: &mut [T],
        memory: &mut Memory<T>,
    ) -> Result<(), NnError> {
        expect_size("the input", input.len(), x.len())?;
        let training = mode != Mode::Inference;
        let fits = |plan: &Plan| plan.shapes[0] == *input && plan.training == training;
        if !memory.plan.as_ref().is_some_and(fits) {
            memory.plan = None;
            memory.plan = Some(self.plan(input, training)?);
        }
        let Some(plan) = &memory.plan else { return Ok(()) };
        let end = |ranges: &[Range<usize>]| ranges.iter().map(|range| range.end).max().unwrap_or(0);
        grow(&mut memory.activations, end(&plan.outputs));
        grow(&mut memory.saved, end(&plan.saved));
        let batch = input.lengths.len();
        if !states.is_empty() {
            expect_size("the state", self.state_len(batch), states.len())?;
        }
        let mut states = states;
        for (index, step) in self.steps.iter().enumerate() {
            let output = plan.outputs[index].clone();
            let (x, y) = if index == 0 {
                (x, &mut memory.activations[output])
            } else {
                let input = plan.outputs[index - 1].clone();
                if input.end <= output.start {
                    let (before, y) = memory.activations[..output.end].split_at_mut(output.start);
                    (&before[input], y)
                } else {
                    let (y, x) = memory.activations[..input.end].split_at_mut(input.start);
                    (&*x, &mut y[output])
                }
            };
            let wanted = if states.is_empty() { 0 } else { step.layer.state_len(batch) };
            let (state, rest) = states.split_at_mut(wanted);
            states = rest;
            step.layer.forward(Forward {
                cpu,
                mode,
                shape: &plan.shapes[index],
                x,
                parameters: &parameters[step.parameters.clone()],
                buffers: &buffers[step.buffers.clone()],
                saved: &mut memory.saved[plan.saved[index].clone()],
                state,
                y,
            })?;
        }
        Ok(())
    }

    /// Computes all gradients of the last forward pass, one in training mode, whose output gradient stands in
    /// [`Memory::output_and_gradient`], and adds them to `gradients`.
    ///
    /// With `dx` the gradient with respect to the input is written there.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        cpu: Cpu,
        mode: Mode,
        parameters: &[T],
        x: &[T],
        gradients: &mut [T],
        memory: &mut Memory<T>,
        mut dx: Option<&mut [T]>,
    ) -> Result<(), NnError> {
        let Some(plan) = memory.plan.as_ref().filter(|plan| plan.training) else {
            return Err(NnError::NothingToGoBackThrough);
        };
        grow(&mut memory.gradient, plan.widest);
        grow(&mut memory.next_gradient, plan.widest);
        grow(&mut memory.scratch, plan.scratch);
        for (index, step) in self.steps.iter().enumerate().rev() {
            let shape = &plan.shapes[index];
            let y = &memory.activations[plan.outputs[index].clone()];
            let input = match index {
                0 => x,
                _ => &memory.activations[plan.outputs[index - 1].clone()],
            };
            let next = match index {
                0 => dx.as_deref_mut(),
                _ => Some(&mut memory.next_gradient[..shape.len()]),
            };
            step.layer.backward(Backward {
                cpu,
                mode,
                shape,
                x: input,
                y,
                dy: &memory.gradient[..y.len()],
                parameters: &parameters[step.parameters.clone()],
                saved: &memory.saved[plan.saved[index].clone()],
                scratch: &mut memory.scratch[..plan.scratch],
                dx: next,
                gradients: &mut gradients[step.parameters.clone()],
            })?;
            std::mem::swap(&mut memory.gradient, &mut memory.next_gradient);
        }
        Ok(())
    }

    /// After a training forward pass: moves the running statistics of every layer.
    pub fn update_buffers(&self, buffers: &mut [T], memory: &Memory<T>) -> Result<(), NnError> {
        let Some(plan) = &memory.plan else { return Ok(()) };
        for (index, step) in self.steps.iter().enumerate() {
            step.layer.update_buffers(
                &plan.shapes[index],
                &memory.saved[plan.saved[index].clone()],
                &mut buffers[step.buffers.clone()],
            )?;
        }
        Ok(())
    }
}

/// A sequence is a layer too: inside of another one all that it keeps lies in that one's memory.
///
/// What it keeps is the outputs of all steps but the last, then what each step keeps. Its work space is two
/// gradients of the widest activation, then the largest work space of a step. Without a step it is
/// the identity.
impl<T: Real> Layer<T> for Sequence<T> {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        Sequence::output_shape(self, input)
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        Sequence::parameters(self)
    }

    fn buffers(&self) -> Vec<ParameterSpec> {
        Sequence::buffers(self)
    }

    fn saved_len(&self, input: &Shape) -> usize {
        // A shape that does not fit is refused by `output_shape`, which is asked first.
        self.plan(input, true)
            .map_or(0, |plan| plan.kept() + plan.saved.last().map_or(0, |r| r.end))
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        self.plan(input, true).map_or(0, |plan| 2 * plan.widest + plan.scratch)
    }

    fn state_len(&self, batch: usize) -> usize {
        Sequence::state_len(self, batch)
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let plan = self.plan(pass.shape, true)?;
        if self.steps.is_empty() {
            pass.y.copy_from_slice(pass.x);
            return Ok(());
        }
        let (activations, saved) = pass.saved.split_at_mut(plan.kept());
        let batch = pass.shape.lengths.len();
        let mut states = pass.state;
        for (index, step) in self.steps.iter().enumerate() {
            let output = plan.outputs[index].clone();
            let last = index + 1 == self.steps.len();
            let (before, after) = activations.split_at_mut(output.start);
            let wanted = if states.is_empty() { 0 } else { step.layer.state_len(batch) };
            let (state, rest) = states.split_at_mut(wanted);
            states = rest;
            step.layer.forward(Forward {
                cpu: pass.cpu,
                mode: pass.mode,
                shape: &plan.shapes[index],
                x: match index {
                    0 => pass.x,
                    _ => &before[plan.outputs[index - 1].clone()],
                },
                parameters: &pass.parameters[step.parameters.clone()],
                buffers: &pass.buffers[step.buffers.clone()],
                saved: &mut saved[plan.saved[index].clone()],
                state,
                y: if last { &mut *pass.y } else { &mut after[..output.len()] },
            })?;
        }
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let plan = self.plan(pass.shape, true)?;
        let mut dx = pass.dx;
        if self.steps.is_empty() {
            if let Some(dx) = dx {
                dx.copy_from_slice(pass.dy);
            }
            return Ok(());
        }
        let (activations, saved) = pass.saved.split_at(plan.kept());
        let (mut gradient, rest) = pass.scratch.split_at_mut(plan.widest);
        let (mut next_gradient, scratch) = rest.split_at_mut(plan.widest);
        for (index, step) in self.steps.iter().enumerate().rev() {
            let shape = &plan.shapes[index];
            let last = index + 1 == self.steps.len();
            let y = if last { pass.y } else { &activations[plan.outputs[index].clone()] };
            step.layer.backward(Backward {
                cpu: pass.cpu,
                mode: pass.mode,
                shape,
                x: match index {
                    0 => pass.x,
                    _ => &activations[plan.outputs[index - 1].clone()],
                },
                y,
                dy: if last { pass.dy } else { &gradient[..y.len()] },
                parameters: &pass.parameters[step.parameters.clone()],
                saved: &saved[plan.saved[index].clone()],
                scratch: &mut scratch[..plan.scratch],
                dx: match index {
                    0 => dx.as_deref_mut(),
                    _ => Some(&mut next_gradient[..shape.len()]),
                },
                gradients: &mut pass.gradients[step.parameters.clone()],
            })?;
            std::mem::swap(&mut gradient, &mut next_gradient);
        }
        Ok(())
    }

    fn update_buffers(&self, input: &Shape, saved: &[T], buffers: &mut [T]) -> Result<(), NnError> {
        let plan = self.plan(input, true)?;
        let saved = &saved[plan.kept()..];
        for (index, step) in self.steps.iter().enumerate() {
            step.layer.update_buffers(
                &plan.shapes[index],
                &saved[plan.saved[index].clone()],
                &mut buffers[step.buffers.clone()],
            )?;
        }
        Ok(())
    }
}

impl Plan {
    /// Values of all outputs but the last: what a sequence keeps that is itself a layer.
    fn kept(&self) -> usize {
        self.outputs.last().map_or(0, |range| range.start)
    }
}
