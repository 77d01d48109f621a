//! A GRU over the frames of each utterance, in one direction or in both.

use labyrinth_kernels::gru::{Gru, GruGradients, GruVariant, GruWeights};
use labyrinth_kernels::{Cpu, Real};

use crate::error::NnError;
use crate::layer::{Backward, Forward, Layer};
use crate::parameters::ParameterSpec;
use crate::shape::Shape;

/// One recurrent layer. With both directions, a frame's output is `[forward, backward]`.
///
/// The backward direction of an utterance begins at its own last frame. The two directions know
/// nothing of each other and run on two threads.
#[derive(Clone, Debug)]
pub struct GruLayer {
    /// Values of an input frame.
    pub input: usize,
    /// Values of one direction's output frame.
    pub hidden: usize,
    /// Whether a second GRU reads the utterance from its end.
    pub bidirectional: bool,
    /// Where the reset gate stands.
    pub variant: GruVariant,
}

impl GruLayer {
    fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    fn gru(&self, reverse: bool) -> Gru {
        Gru { input: self.input, hidden: self.hidden, reverse, variant: self.variant }
    }

    /// Values of one direction's weights.
    fn weights_len(&self) -> usize {
        3 * self.hidden * (self.input + self.hidden + 2)
    }

    fn split_weights<'a, T>(&self, values: &'a [T]) -> GruWeights<'a, T> {
        let gates = 3 * self.hidden;
        let (w_ih, rest) = values.split_at(gates * self.input);
        let (w_hh, rest) = rest.split_at(gates * self.hidden);
        let (b_ih, b_hh) = rest.split_at(gates);
        GruWeights { w_ih, w_hh, b_ih, b_hh }
    }

    fn split_gradients<'a, T>(&self, values: &'a mut [T]) -> GruGradients<'a, T> {
        let gates = 3 * self.hidden;
        let (w_ih, rest) = values.split_at_mut(gates * self.input);
        let (w_hh, rest) = rest.split_at_mut(gates * self.hidden);
        let (b_ih, b_hh) = rest.split_at_mut(gates);
        GruGradients { w_ih, w_hh, b_ih, b_hh }
    }

    /// What one direction of a bidirectional layer keeps: its own output, then its gates.
    fn direction_saved_len(&self, rows: usize) -> usize {
        rows * self.hidden + self.gru(false).saved_len(rows)
    }

    fn direction_forward<T: Real>(
        &self,
        cpu: Cpu,
        reverse: bool,
        pass: (&[T], &[usize], &[T]),
        saved: &mut [T],
    ) -> Result<(), NnError> {
        let (x, lengths, weights) = pass;
        let rows: usize = lengths.iter().sum();
        let (output, gates) = saved.split_at_mut(rows * self.hidden);
        let weights = self.split_weights(weights);
        self.gru(reverse).forward(cpu, x, lengths, weights, None, output, gates, None)?;
        Ok(())
    }
}

impl<T: Real> Layer<T> for GruLayer {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        if input.width() != self.input {
            return Err(NnError::Size {
                what: "input frame of a GRU",
                expected: self.input,
                found: input.width(),
            });
        }
        Ok(input.with_width(self.directions() * self.hidden))
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        let bound = 1.0 / (self.hidden as f64).sqrt();
        let gates = 3 * self.hidden;
        ["forward", "backward"][..self.directions()]
            .iter()
            .flat_map(|direction| {
                let name = |part: &str| format!("{direction}.{part}");
                [
                    ParameterSpec::weight(&name("w_ih"), &[gates, self.input], bound),
                    ParameterSpec::weight(&name("w_hh"), &[gates, self.hidden], bound),
                    ParameterSpec::bias(&name("b_ih"), gates, bound),
                    ParameterSpec::bias(&name("b_hh"), gates, bound),
                ]
            })
            .collect()
    }

    fn saved_len(&self, input: &Shape) -> usize {
        let rows = input.rows();
        if self.bidirectional {
            2 * self.direction_saved_len(rows)
        } else {
            self.gru(false).saved_len(rows)
        }
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        // Both directions' share of dy, and one dx each.
        self.directions() * input.rows() * (self.hidden + self.input)
    }

    fn state_len(&self, batch: usize) -> usize {
        // A layer that reads from the end cannot hand a state to the next chunk.
        if self.bidirectional { 0 } else { batch * self.hidden }
    }

    fn forward(&self, pass: Forward<'_, T>) -> Result<(), NnError> {
        let Forward { cpu, shape, x, parameters, saved, state, y, .. } = pass;
        let lengths = &shape.lengths;
        if !self.bidirectional {
            let weights = self.split_weights(parameters);
            let gru = self.gru(false);
            if state.is_empty() {
                gru.forward(cpu, x, lengths, weights, None, y, saved, None)?;
            } else {
                let before = state.to_vec();
                gru.forward(cpu, x, lengths, weights, Some(&before), y, saved, Some(state))?;
            }
            return Ok(());
        }
        let rows = shape.rows();
        let (first, second) = parameters.split_at(self.weights_len());
        let (left, right) = saved.split_at_mut(self.direction_saved_len(rows));
        let (forward, backward) = rayon::join(
            || self.direction_forward(cpu, false, (x, lengths, first), left),
            || self.direction_forward(cpu, true, (x, lengths, second), right),
        );
        forward?;
        backward?;
        let hidden = self.hidden;
        // [rows, hidden] twice → [rows, 2·hidden]
        for (row, out) in y.chunks_exact_mut(2 * hidden).enumerate() {
            out[..hidden].copy_from_slice(&left[row * hidden..][..hidden]);
            out[hidden..].copy_from_slice(&right[row * hidden..][..hidden]);
        }
        Ok(())
    }

    fn backward(&self, pass: Backward<'_, T>) -> Result<(), NnError> {
        let Backward { cpu, shape, x, y, dy, parameters, saved, scratch, dx, gradients, .. } = pass;
        let lengths = &shape.lengths;
        let (rows, hidden) = (shape.rows(), self.hidden);
        if !self.bidirectional {
            let weights = self.split_weights(parameters);
            let gradients = self.split_gradients(gradients);
            let dx = match dx {
                Some(dx) => dx,
                None => &mut scratch[..rows * self.input],
            };
            let gru = self.gru(false);
            gru.backward(cpu, x, lengths, weights, None, y, saved, dy, dx, gradients, None)?;
            return Ok(());
        }
        let (first, second) = parameters.split_at(self.weights_len());
        let (first_gradients, second_gradients) = gradients.split_at_mut(self.weights_len());
        let (left, right) = saved.split_at(self.direction_saved_len(rows));
        let (dy_left, rest) = scratch.split_at_mut(rows * hidden);
        let (dy_right, rest) = rest.split_at_mut(rows * hidden);
        let (dx_left, rest) = rest.split_at_mut(rows * self.input);
        let dx_right = &mut rest[..rows * self.input];
        for (row, both) in dy.chunks_exact(2 * hidden).enumerate() {
            dy_left[row * hidden..][..hidden].copy_from_slice(&both[..hidden]);
            dy_right[row * hidden..][..hidden].copy_from_slice(&both[hidden..]);
        }
        let one = |reverse, weights, saved: &[T], dy: &[T], dx: &mut [T], gradients: &mut [T]| {
            let (output, gates) = saved.split_at(rows * hidden);
            let weights = self.split_weights(weights);
            let gradients = self.split_gradients(gradients);
            let gru = self.gru(reverse);
            gru.backward(cpu, x, lengths, weights, None, output, gates, dy, dx, gradients, None)
        };
        let (forward, backward) = rayon::join(
            || one(false, first, left, dy_left, dx_left, first_gradients),
            || one(true, second, right, dy_right, dx_right, second_gradients),
        );
        forward?;
        backward?;
        if let Some(dx) = dx {
            for ((sum, &a), &b) in dx.iter_mut().zip(&*dx_left).zip(&*dx_right) {
                *sum = a + b;
            }
        }
        Ok(())
    }
}
