//! Where a round's time goes: a clock around each layer, and the table.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use labyrinth_nn::{Backward, Forward, Layer, NnError, ParameterSpec, Shape};

use crate::case::Case;

/// One row of a profile: what ran, its products' floating-point operations in a round, and the
/// milliseconds of each round.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// What ran.
    pub name: String,
    /// Operations of its matrix products in one round; 0 where it has none.
    pub flop: f64,
    /// Milliseconds, a value a round.
    pub milliseconds: Vec<f64>,
}

/// A clock that a layer can stop while its owner holds the layer.
pub type SharedClock = Arc<Mutex<Clock>>;

/// Runs `work` and notes its time.
pub fn timed<R>(clock: &SharedClock, work: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = work();
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    if let Ok(mut clock) = clock.lock() {
        clock.milliseconds.push(milliseconds);
    }
    result
}

/// A layer with a clock around both of its passes. All else is the layer's own.
pub struct Timed {
    /// The layer.
    pub layer: Box<dyn Layer<f32>>,
    /// Clock of the forward pass.
    pub forward: SharedClock,
    /// Clock of the backward pass.
    pub backward: SharedClock,
}

impl Layer<f32> for Timed {
    fn output_shape(&self, input: &Shape) -> Result<Shape, NnError> {
        self.layer.output_shape(input)
    }

    fn parameters(&self) -> Vec<ParameterSpec> {
        self.layer.parameters()
    }

    fn buffers(&self) -> Vec<ParameterSpec> {
        self.layer.buffers()
    }

    fn saved_len(&self, input: &Shape) -> usize {
        self.layer.saved_len(input)
    }

    fn scratch_len(&self, input: &Shape) -> usize {
        self.layer.scratch_len(input)
    }

    fn scratch_len_without_dx(&self, input: &Shape) -> usize {
        self.layer.scratch_len_without_dx(input)
    }

    fn forward_scratch_len(&self, input: &Shape) -> usize {
        self.layer.forward_scratch_len(input)
    }

    fn in_place(&self) -> bool {
        self.layer.in_place()
    }

    fn needs_output(&self) -> bool {
        self.layer.needs_output()
    }

    fn state_len(&self, batch: usize) -> usize {
        self.layer.state_len(batch)
    }

    fn forward(&self, pass: Forward<'_, f32>) -> Result<(), NnError> {
        timed(&self.forward, || self.layer.forward(pass))
    }

    fn backward(&self, pass: Backward<'_, f32>) -> Result<(), NnError> {
        timed(&self.backward, || self.layer.backward(pass))
    }

    fn update_buffers(
        &self,
        input: &Shape,
        saved: &[f32],
        buffers: &mut [f32],
    ) -> Result<(), NnError> {
        self.layer.update_buffers(input, saved, buffers)
    }
}

/// The value below which `share` of the values lie.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        count => sorted[((count - 1) as f64 * share).round() as usize],
    }
}

/// Prints the median, the minimum and the spread of a round, and each layer's median.
pub fn print(title: &str, case: &dyn Case, mut milliseconds: Vec<f64>, layers: bool) {
    milliseconds.sort_by(f64::total_cmp);
    let median = quantile(&milliseconds, 0.5);
    println!(
        "{title}: median {median:.2} ms, least {:.2} ms (10–90 %: {:.2}–{:.2}), {} rounds, \
         {:.2} GFLOP, {:.0} GFLOP/s",
        quantile(&milliseconds, 0.0),
        quantile(&milliseconds, 0.1),
        quantile(&milliseconds, 0.9),
        milliseconds.len(),
        case.flop() / 1e9,
        case.flop() / median / 1e6,
    );
    if !layers {
        return;
    }
    println!(
        "\n| part | median ms | least ms | share | GFLOP | GFLOP/s |\n|---|---|---|---|---|---|"
    );
    let mut sum = 0.0;
    for clock in case.profile() {
        let mut times = clock.milliseconds.clone();
        times.sort_by(f64::total_cmp);
        let part = quantile(&times, 0.5);
        sum += part;
        let least = quantile(&times, 0.0);
        let (gflop, speed) = match clock.flop {
            0.0 => (String::new(), String::new()),
            flop => (format!("{:.2}", flop / 1e9), format!("{:.0}", flop / part / 1e6)),
        };
        let share = part / median * 100.0;
        let name = clock.name;
        println!("| {name} | {part:.2} | {least:.2} | {share:.1} % | {gflop} | {speed} |");
    }
    println!("| sum of the medians | {sum:.2} | | {:.1} % | | |", sum / median * 100.0);
}
