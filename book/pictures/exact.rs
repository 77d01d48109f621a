//! Pictures of the chapter on exactness: one sum in many orders.

use labyrinth::kernels::{Cpu, Matrix, matmul};
use labyrinth::signal::Random;

use crate::plot::{BLUE, GREEN, ORANGE, Panel, svg};
use crate::speech::Speech;

/// Orders that are tried.
const ORDERS: u64 = 2000;

pub fn draw(speech: &Speech) -> Result<Vec<(&'static str, String)>, String> {
    let mut x = speech.recording("cen7-mjgm-b")?.samples;
    let truth: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
    let unit = f64::from(f32::from_bits((truth as f32).to_bits() + 1) - truth as f32);
    let off = |sum: f32| (f64::from(sum) - truth) / unit;
    let chain = |x: &[f32]| x.iter().fold(0f32, |sum, &x| sum + x * x);

    let one_chain = off(chain(&x));
    let mut squared = [0.0];
    let (row, column) = (Matrix::rows(&x, 1, x.len()), Matrix::rows(&x, x.len(), 1));
    matmul(Cpu::portable(), row, column, &mut squared, 1, false).map_err(|e| e.to_string())?;
    let chains_of_256 = off(squared[0]);

    let mut results = Vec::new();
    for order in 0..ORDERS {
        let mut random = Random::from_key(&[order]);
        for last in (1..x.len()).rev() {
            x.swap(last, random.below(last as u64 + 1) as usize);
        }
        results.push(off(chain(&x)).round() as i64);
    }
    results.extend([one_chain.round() as i64, chains_of_256.round() as i64]);
    let (low, high) = (*results.iter().min().unwrap_or(&0), *results.iter().max().unwrap_or(&0));
    results.truncate(ORDERS as usize);
    let heap: Vec<(f64, f64)> = (low..=high)
        .map(|at| (at as f64, results.iter().filter(|&&result| result == at).count() as f64))
        .filter(|point| point.1 > 0.0)
        .collect();
    let top = heap.iter().map(|point| point.1).fold(0.0, f64::max) * 1.25;
    let margin = (high - low) as f64 * 0.05 + 2.0;
    let panel = Panel::new(
        &format!("{} squares in {ORDERS} orders", x.len()),
        (low as f64 - margin, high as f64 + margin),
        (0.0, top),
    )
    .labels("units in the last place from the true sum", "orders")
    .height(220.0)
    .stems("random orders", BLUE, heap)
    .line("in order, one chain", ORANGE, vec![(one_chain, 0.0), (one_chain, top * 0.9)])
    .line("chains of 256", GREEN, vec![(chains_of_256, 0.0), (chains_of_256, top * 0.9)]);
    Ok(vec![("exact-orders", svg("One sum in many orders", &[panel]))])
}
