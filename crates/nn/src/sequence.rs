//! Layers one after another, and the memory they work in.
//!
//! Book: book/src/fast.md

use std::ops::Range;

use labyrinth_kernels::{Cpu, Real};

use crate::error::{NnError, expect_size};
use crate::layer::{Backward, Forward, Layer, Mode, Parts};
use crate::parameters::ParameterSpec;
use crate::plan::{Plan, Purpose, pieces};
use crate::reach::Reach;
use crate::shape::Shape;

/// A named layer and where its weights lie.
pub(crate) struct Step<T> {
    pub name: String,
    pub layer: Box<dyn Layer<T>>,
    pub parameters: Range<usize>,
    pub buffers: Range<usize>,
}

/// Layers one after another.
pub struct Sequence<T> {
    steps: Vec<Step<T>>,
}

/// The memory of one forward and backward pass; grows to the largest batch seen and is reused.
#[derive(Debug, Default)]
pub struct Memory<T> {
    plan: Option<Plan>,
    values: Vec<T>,
    /// Where layers that are not trained compute, which come before those that are.
    pub(crate) before: Option<Box<Memory<T>>>,
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
        let places = self.plan.as_ref().and_then(|plan| plan.steps.last());
        match places.and_then(|places| places.y.clone()) {
            Some(range) => &self.values[range],
            None => &[],
        }
    }

    /// The output of the last forward pass, and the place where the caller writes the gradient
    /// with respect to it before [`Sequence::backward`]. The place is empty behind a pass in inference
    /// mode.
    pub fn output_and_gradient(&mut self) -> (&[T], &mut [T]) {
        let Some(places) = self.plan.as_ref().and_then(|plan| plan.steps.last()) else {
            return (&[], &mut []);
        };
        let [y, dy] = [&places.y, &places.dy].map(|range| range.clone().unwrap_or_default());
        let [y, dy] = pieces(&mut self.values, [y, dy]);
        (y, dy)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let before = self.before.as_ref().map_or(0, |memory| memory.bytes());
        self.values.capacity() * size_of::<T>() + before
    }

    /// Makes room for a plan. Nothing of an earlier pass is kept, so nothing is copied, and the old room
    /// is given back before there is a new one.
    fn prepare(&mut self, plan: Plan) {
        let size = plan.size;
        self.plan = None;
        if self.values.len() < size {
            self.values = Vec::new();
            self.values = vec![T::ZERO; size];
        }
        self.plan = Some(plan);
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

    /// Takes the first layers out, as long as `wanted` says so of their names: a sequence of its own, which
    /// reads its weights from the same arenas as before.
    pub(crate) fn take_first(&mut self, wanted: impl Fn(&str) -> bool) -> Self {
        let count = self.steps.iter().take_while(|step| wanted(&step.name)).count();
        let rest = self.steps.split_off(count);
        Self { steps: std::mem::replace(&mut self.steps, rest) }
    }

    /// Puts layers that [`Sequence::take_first`] took out back to their place.
    pub(crate) fn put_first(&mut self, first: Self) {
        self.steps.splice(0..0, first.steps);
    }

    /// The layers in their order.
    pub(crate) fn steps(&self) -> &[Step<T>] {
        &self.steps
    }

    /// Whether there is no layer: the output is the input.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The layers with their names, first to last.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &dyn Layer<T>)> {
        self.steps.iter().map(|step| (step.name.as_str(), step.layer.as_ref()))
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

    /// Which input frames an output frame of the last layer depends on.
    pub fn reach(&self) -> Reach {
        self.steps.iter().fold(Reach::FRAME, |reach, step| reach.then(step.layer.reach()))
    }

    /// Values of state that `batch` utterances carry from chunk to chunk.
    pub fn state_len(&self, batch: usize) -> usize {
        self.steps.iter().map(|step| step.layer.state_len(batch)).sum()
    }

    fn plan(&self, input: &Shape, purpose: Purpose) -> Result<Plan, NnError> {
        let layers: Vec<&dyn Layer<T>> = self.steps.iter().map(|step| &*step.layer).collect();
        Plan::new(&layers, input, purpose)
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
        if !states.is_empty() {
            expect_size("the state", self.state_len(input.lengths.len()), states.len())?;
        }
        let purpose = match mode {
            Mode::Inference => Purpose::Inference,
            Mode::Training { .. } => Purpose::Training,
        };
        // Layers may have been taken out since, or put back.
        let steps = self.steps.len();
        let fits = |plan: &Plan| {
            plan.shapes[0] == *input && plan.purpose == purpose && plan.steps.len() == steps
        };
        if !memory.plan.as_ref().is_some_and(fits) {
            memory.plan = None;
            memory.prepare(self.plan(input, purpose)?);
        }
        let Some(plan) = &memory.plan else { return Ok(()) };
        let (saved, scratch) = memory.values.split_at_mut(plan.kept);
        let shape = input;
        let (packed, state, y) = (&[][..], states, &mut []);
        self.run(
            plan,
            Forward { cpu, mode, shape, x, parameters, packed, buffers, saved, state, scratch, y },
        )
    }

    /// All steps of a forward pass by plan; `saved` is what the plan keeps.
    fn run(&self, plan: &Plan, pass: Forward<'_, T>) -> Result<(), NnError> {
        let batch = pass.shape.lengths.len();
        let mut states = pass.state;
        let mut before = None;
        for (index, (step, places)) in self.steps.iter().zip(&plan.steps).enumerate() {
            let shape = &plan.shapes[index];
            let x = if places.in_place { None } else { before };
            let [x, y] = [x, places.y.clone()].map(Option::unwrap_or_default);
            let [x, y, saved] = pieces(pass.saved, [x, y, places.saved.clone()]);
            before = places.y.clone();
            let wanted = if states.is_empty() { 0 } else { step.layer.state_len(batch) };
            let (state, rest) = states.split_at_mut(wanted);
            states = rest;
            step.layer.forward(Forward {
                cpu: pass.cpu,
                mode: pass.mode,
                shape,
                x: if index == 0 { pass.x } else { x },
                parameters: &pass.parameters[step.parameters.clone()],
                packed: &[],
                buffers: &pass.buffers[step.buffers.clone()],
                saved,
                state,
                scratch: &mut pass.scratch[..step.layer.forward_scratch_len(shape)],
                y: if places.y.is_none() { &mut *pass.y } else { y },
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
        dx: Option<&mut [T]>,
    ) -> Result<(), NnError> {
        let purpose = Purpose::Training;
        let Some(plan) = memory.plan.as_ref().filter(|plan| plan.purpose == purpose) else {
            return Err(NnError::NothingToGoBackThrough);
        };
        let (saved, scratch, y, dy) = (&[], &mut [], &[], &[]);
        let shape = &plan.shapes[0];
        let mut pass =
            Backward { cpu, mode, shape, x, y, dy, parameters, saved, scratch, dx, gradients };
        for index in (0..self.steps.len()).rev() {
            let (kept, free) = memory.values.split_at_mut(plan.steps[index].floor);
            self.step_back(plan, index, kept, free, &mut pass)?;
        }
        Ok(())
    }

    /// One step of the way back, with what lies before the step's floor and what lies behind it. From the
    /// whole sequence's `pass` come its two ends.
    fn step_back(
        &self,
        plan: &Plan,
        index: usize,
        kept: &[T],
        free: &mut [T],
        pass: &mut Backward<'_, T>,
    ) -> Result<(), NnError> {
        let (step, places) = (&self.steps[index], &plan.steps[index]);
        let in_place = places.dy.is_some() && places.dy == places.dx;
        let behind = |range: &Option<Range<usize>>| {
            range.clone().map_or(0..0, |r| r.start - places.floor..r.end - places.floor)
        };
        let dy = if in_place { 0..0 } else { behind(&places.dy) };
        let scratch = behind(&Some(places.scratch.clone()));
        let [dy, dx, scratch] = pieces(free, [dy, behind(&places.dx), scratch]);
        let before = index.checked_sub(1).and_then(|before| plan.steps[before].y.clone());
        step.layer.backward(Backward {
            cpu: pass.cpu,
            mode: pass.mode,
            shape: &plan.shapes[index],
            x: match before {
                _ if index == 0 => pass.x,
                Some(range) if !places.in_place => &kept[range],
                _ => &[],
            },
            y: match &places.y {
                _ if !step.layer.needs_output() => &[],
                Some(range) => &kept[range.clone()],
                None => pass.y,
            },
            dy: if places.dy.is_none() { pass.dy } else { dy },
            parameters: &pass.parameters[step.parameters.clone()],
            saved: &kept[places.saved.clone()],
            scratch,
            dx: if index == 0 { pass.dx.as_deref_mut() } else { Some(dx) },
            gradients: &mut pass.gradients[step.parameters.clone()],
        })
    }

    /// Moves the running statistics of every layer by what a pass by plan has kept.
    fn move_buffers(&self, plan: &Plan, kept: &[T], buffers: &mut [T]) -> Result<(), NnError> {
        for (index, (step, places)) in self.steps.iter().zip(&plan.steps).enumerate() {
            let buffers = &mut buffers[step.buffers.clone()];
            let saved = &kept[places.saved.clone()];
            step.layer.update_buffers(&plan.shapes[index], saved, buffers)?;
        }
        Ok(())
    }

    /// After a training forward pass, before or behind the way back: moves the running statistics of every
    /// layer.
    pub fn update_buffers(&self, buffers: &mut [T], memory: &Memory<T>) -> Result<(), NnError> {
        match &memory.plan {
            Some(plan) => self.move_buffers(plan, &memory.values, buffers),
            None => Ok(()),
        }
    }
}

/// A sequence is a layer too: inside of another one all that it keeps lies in that one's memory, its
/// gradients and work space in that one's work space. Without a step it is the identity.
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
        self.plan(input, Purpose::Layer).map_or(0, |plan| plan.kept)
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        self.plan(input, Purpose::Layer).map_or(0, |plan| plan.size - plan.kept)
    }

    fn forward_scratch_len(&self, input: &Shape) -> usize {
        self.plan(input, Purpose::Layer).map_or(0, |plan| plan.forward_scratch)
    }

    fn needs_output(&self) -> bool {
        self.steps.last().is_some_and(|step| step.layer.needs_output())
    }

    fn reach(&self) -> Reach {
        Sequence::reach(self)
    }

    fn multiplications(&self, input: &Shape) -> u64 {
        let mut shape = input.clone();
        let mut sum = 0;
        for step in &self.steps {
            sum += step.layer.multiplications(&shape);
            // A shape that does not fit is refused by `output_shape`, which is asked first.
            let Ok(next) = step.layer.output_shape(&shape) else { break };
            shape = next;
        }
        sum
    }

    fn describe(&self) -> String {
        "sequence".into()
    }

    fn parts(&self) -> Parts<'_, T> {
        Parts::Sequence(self)
    }

    fn state_len(&self, batch: usize) -> usize {
        Sequence::state_len(self, batch)
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        if self.steps.is_empty() {
            pass.y.copy_from_slice(pass.x);
            return Ok(());
        }
        self.run(&self.plan(pass.shape, Purpose::Layer)?, pass)
    }

    fn backward(&self, mut pass: Backward<'_, T>) -> Result<(), NnError> {
        if self.steps.is_empty() {
            if let Some(dx) = pass.dx {
                dx.copy_from_slice(pass.dy);
            }
            return Ok(());
        }
        let plan = self.plan(pass.shape, Purpose::Layer)?;
        let (kept, free) = (pass.saved, std::mem::take(&mut pass.scratch));
        for index in (0..self.steps.len()).rev() {
            self.step_back(&plan, index, kept, free, &mut pass)?;
        }
        Ok(())
    }

    fn update_buffers(&self, input: &Shape, saved: &[T], buffers: &mut [T]) -> Result<(), NnError> {
        self.move_buffers(&self.plan(input, Purpose::Layer)?, saved, buffers)
    }
}
