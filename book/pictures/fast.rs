//! Pictures of the chapter on speed: the rate of a thin product over its arithmetic intensity, measured.

use std::time::Instant;

use labyrinth::kernels::{Cpu, Matrix, PackedMatrix, cpu_name, matmul_packed};
use labyrinth::signal::Random;

use crate::plot::{BLUE, GREY, Panel, svg};
use crate::speech::Speech;

/// The recurrence of a GRU of 256 units.
const DEPTH: usize = 256;
const COLUMNS: usize = 768;
/// Seconds of measuring.
const PATIENCE: f64 = 10.0;

pub fn draw(_: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let cpu = Cpu::detect();
    let mut random = Random::from_key(&[1]);
    let mut noise =
        |count: usize| -> Vec<f32> { (0..count).map(|_| random.uniform() as f32 - 0.5).collect() };
    let b = noise(DEPTH * COLUMNS);
    let packed =
        PackedMatrix::pack(cpu, Matrix::rows(&b, DEPTH, COLUMNS)).map_err(|e| e.to_string())?;
    let rows = [1, 2, 4, 8, 14, 28, 56, 112, 224, 448];
    let a = noise(rows[rows.len() - 1] * DEPTH);
    let mut c = vec![0.0; rows[rows.len() - 1] * COLUMNS];
    let mut best = [f64::MAX; 10];
    let start = Instant::now();
    // By turns and in short rounds, so that whatever else the machine does meets all of them alike.
    while start.elapsed().as_secs_f64() < PATIENCE {
        for (&rows, best) in rows.iter().zip(&mut best) {
            let repeats = (56 / rows).max(1);
            let (a, c) = (&a[..rows * DEPTH], &mut c[..rows * COLUMNS]);
            let round = Instant::now();
            for _ in 0..repeats {
                matmul_packed(cpu, Matrix::rows(a, rows, DEPTH), &packed, c, COLUMNS, false)
                    .map_err(|e| e.to_string())?;
            }
            *best = best.min(round.elapsed().as_secs_f64() / repeats as f64);
        }
    }
    let points: Vec<(f64, f64)> = rows
        .iter()
        .zip(best)
        .map(|(&rows, seconds)| {
            let rate = 2.0 * (rows * DEPTH * COLUMNS) as f64 / seconds / 1e9;
            ((rows as f64 / 2.0).log2(), rate.log2())
        })
        .collect();
    // From the first point on, as far as the picture goes.
    let top = 8.0;
    let slope = vec![points[0], (points[0].0 + top - points[0].1, top)];
    let name = format!("{}, {}, one thread", cpu_name(), cpu.isa());
    let panel = Panel::new(&name, (-1.2, 8.0), (3.0, top))
        .labels("intensity: log2 of operations per byte of weights", "log2 GFLOP/s")
        .height(260.0)
        .line("slope", GREY, slope)
        .line("measured", BLUE, points.clone())
        .stems("", BLUE, points);
    Ok(vec![(
        "fast-roofline",
        svg("Rate of a thin product over its arithmetic intensity", &[panel]),
    )])
}
