//! Layers beside a shortcut, and their sum.
//!
//! Book: book/src/transfer.md

use labyrinth_kernels::Real;
use labyrinth_kernels::residual::{
    residual_add_forward, residual_add_in_place, residual_add_relu_backward,
    residual_add_relu_forward, residual_add_relu_in_place,
};

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer, Parts};
use crate::parameters::ParameterSpec;
use crate::reach::Reach;
use crate::sequence::Sequence;
use crate::shape::Shape;

/// `y = body(x) + shortcut(x)`, with ReLU behind the sum if wanted (He et al. 2016).
///
/// The gradient behind the sum goes into both branches; that of `x` is the sum of what comes out of
/// them. An empty shortcut is `x` itself.
pub struct Residual<T> {
    /// The layers that learn what is to be added.
    pub body: Sequence<T>,
    /// What it is added to: nothing but `x`, or layers that bring `x` to the body's shape.
    pub shortcut: Sequence<T>,
    /// Whether negative sums become zero.
    pub relu: bool,
}

/// Sizes of the parts of what a block keeps: the outputs of those branches that need theirs on the way
/// back, then what the branches keep.
struct Kept {
    body_output: usize,
    shortcut_output: usize,
    body: usize,
}

impl<T: Real> Residual<T> {
    fn kept(&self, input: &Shape, output: usize) -> Kept {
        Kept {
            body_output: if self.body.needs_output() { output } else { 0 },
            shortcut_output: if self.shortcut.needs_output() { output } else { 0 },
            body: Layer::saved_len(&self.body, input),
        }
    }

    /// Work space for the output of a shortcut that is needed no longer than for the sum.
    fn shortcut_scratch(&self, output: usize) -> usize {
        if self.shortcut.is_empty() || self.shortcut.needs_output() { 0 } else { output }
    }

    fn named(&self, specs: impl Fn(&Sequence<T>) -> Vec<ParameterSpec>) -> Vec<ParameterSpec> {
        let branch = |name: &str, branch| -> Vec<ParameterSpec> {
            let rename = |spec: ParameterSpec| {
                let name = format!("{name}.{}", spec.name);
                ParameterSpec { name, ..spec }
            };
            specs(branch).into_iter().map(rename).collect()
        };
        [branch("body", &self.body), branch("shortcut", &self.shortcut)].concat()
    }
}

/// Number of values of some tensors.
fn count(specs: &[ParameterSpec]) -> usize {
    specs.iter().map(ParameterSpec::len).sum()
}

impl<T: Real> Layer<T> for Residual<T> {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        let body = self.body.output_shape(input)?;
        let shortcut = self.shortcut.output_shape(input)?;
        if body != shortcut {
            return Err(NnError::Options(format!(
                "the branches of a residual block do not fit: {} frames, {} bins and {} channels, \
                 and {} frames, {} bins and {} channels",
                body.rows(),
                body.bins,
                body.channels,
                shortcut.rows(),
                shortcut.bins,
                shortcut.channels
            )));
        }
        Ok(body)
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        self.named(Sequence::parameters)
    }

    fn buffers(&self) -> Vec<ParameterSpec> {
        self.named(Sequence::buffers)
    }

    fn saved_len(&self, input: &Shape) -> usize {
        let output = self.body.output_shape(input).map_or(0, |shape| shape.len());
        let kept = self.kept(input, output);
        let branches = kept.body + Layer::saved_len(&self.shortcut, input);
        kept.body_output + kept.shortcut_output + branches
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        let output = self.body.output_shape(input).map_or(0, |shape| shape.len());
        let [body, shortcut] = [&self.body, &self.shortcut].map(|b| Layer::scratch_len(b, input));
        let gradient = if self.relu { output } else { 0 };
        let second = if self.shortcut.is_empty() { 0 } else { input.len() };
        gradient + second + body.max(shortcut)
    }

    fn forward_scratch_len(&self, input: &Shape) -> usize {
        let output = self.body.output_shape(input).map_or(0, |shape| shape.len());
        let branches = [&self.body, &self.shortcut];
        let [body, shortcut] = branches.map(|b| Layer::forward_scratch_len(b, input));
        self.shortcut_scratch(output) + body.max(shortcut)
    }

    fn needs_output(&self) -> bool {
        self.relu
    }

    fn parts(&self) -> Parts<'_, T> {
        Parts::Residual(self)
    }

    fn reach(&self) -> Reach {
        self.body.reach().beside(self.shortcut.reach())
    }

    fn multiplications(&self, input: &Shape) -> u64 {
        self.body.multiplications(input) + self.shortcut.multiplications(input)
    }

    fn describe(&self) -> String {
        let sum = if self.shortcut.is_empty() { "its input + body" } else { "body + shortcut" };
        format!("{sum}{}", if self.relu { ", rectified" } else { "" })
    }

    fn state_len(&self, batch: usize) -> usize {
        self.body.state_len(batch) + self.shortcut.state_len(batch)
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let kept = self.kept(pass.shape, pass.y.len());
        let (a, saved) = pass.saved.split_at_mut(kept.body_output);
        let (b, saved) = saved.split_at_mut(kept.shortcut_output);
        let (body_saved, shortcut_saved) = saved.split_at_mut(kept.body);
        let (body_parameters, shortcut_parameters) =
            pass.parameters.split_at(count(&self.body.parameters()));
        let (body_buffers, shortcut_buffers) = pass.buffers.split_at(count(&self.body.buffers()));
        let batch = pass.shape.lengths.len();
        let wanted = if pass.state.is_empty() { 0 } else { self.body.state_len(batch) };
        let (body_state, shortcut_state) = pass.state.split_at_mut(wanted);
        let Forward { cpu, mode, shape, x, y, .. } = pass;
        let (short_lived, scratch) = pass.scratch.split_at_mut(self.shortcut_scratch(y.len()));
        // A body that does not need its output writes where the sum will stand.
        let body_beside = self.body.needs_output();
        Layer::forward(
            &self.body,
            Forward {
                cpu,
                mode,
                shape,
                x,
                parameters: body_parameters,
                packed: &[],
                buffers: body_buffers,
                saved: body_saved,
                state: body_state,
                scratch: &mut *scratch,
                y: if body_beside { &mut *a } else { &mut *y },
            },
        )?;
        let b = if self.shortcut.is_empty() {
            x
        } else {
            let b = if self.shortcut.needs_output() { b } else { short_lived };
            Layer::forward(
                &self.shortcut,
                Forward {
                    cpu,
                    mode,
                    shape,
                    x,
                    parameters: shortcut_parameters,
                    packed: &[],
                    buffers: shortcut_buffers,
                    saved: shortcut_saved,
                    state: shortcut_state,
                    scratch,
                    y: &mut *b,
                },
            )?;
            b
        };
        match (body_beside, self.relu) {
            (true, true) => residual_add_relu_forward(cpu, a, b, y)?,
            (true, false) => residual_add_forward(cpu, a, b, y)?,
            (false, true) => residual_add_relu_in_place(cpu, b, y)?,
            (false, false) => residual_add_in_place(cpu, b, y)?,
        }
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let kept = self.kept(pass.shape, pass.dy.len());
        let (a, saved) = pass.saved.split_at(kept.body_output);
        let (b, saved) = saved.split_at(kept.shortcut_output);
        let (body_saved, shortcut_saved) = saved.split_at(kept.body);
        let weights = count(&self.body.parameters());
        let (body_parameters, shortcut_parameters) = pass.parameters.split_at(weights);
        let (body_gradients, shortcut_gradients) = pass.gradients.split_at_mut(weights);
        let gradient = if self.relu { pass.dy.len() } else { 0 };
        let second = if self.shortcut.is_empty() { 0 } else { pass.x.len() };
        let (gradient, rest) = pass.scratch.split_at_mut(gradient);
        let (second, scratch) = rest.split_at_mut(second);
        let Backward { cpu, mode, shape, x, .. } = pass;
        let gradient = if self.relu {
            residual_add_relu_backward(cpu, pass.y, pass.dy, gradient)?;
            &*gradient
        } else {
            pass.dy
        };
        let mut dx = pass.dx;
        Layer::backward(
            &self.body,
            Backward {
                cpu,
                mode,
                shape,
                x,
                y: a,
                dy: gradient,
                parameters: body_parameters,
                saved: body_saved,
                scratch: &mut *scratch,
                dx: dx.as_deref_mut(),
                gradients: body_gradients,
            },
        )?;
        let second = if self.shortcut.is_empty() {
            gradient
        } else {
            Layer::backward(
                &self.shortcut,
                Backward {
                    cpu,
                    mode,
                    shape,
                    x,
                    y: b,
                    dy: gradient,
                    parameters: shortcut_parameters,
                    saved: shortcut_saved,
                    scratch,
                    dx: dx.is_some().then_some(&mut *second),
                    gradients: shortcut_gradients,
                },
            )?;
            second
        };
        if let Some(dx) = dx {
            residual_add_in_place(cpu, second, dx)?;
        }
        Ok(())
    }

    fn update_buffers(&self, input: &Shape, saved: &[T], buffers: &mut [T]) -> Result<(), NnError> {
        let output = self.body.output_shape(input)?.len();
        let kept = self.kept(input, output);
        let saved = &saved[kept.body_output + kept.shortcut_output..];
        let (body_saved, shortcut_saved) = saved.split_at(kept.body);
        let (body, shortcut) = buffers.split_at_mut(count(&self.body.buffers()));
        Layer::update_buffers(&self.body, input, body_saved, body)?;
        Layer::update_buffers(&self.shortcut, input, shortcut_saved, shortcut)
    }
}
