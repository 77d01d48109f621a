//! Fast: the product and its gradients, the operations of a step, the fetches of a tile.

use labyrinth::kernels::{Cpu, Matrix, matmul};
use labyrinth::nn::{CnnOptions, ModelOptions, Table};
use labyrinth::signal::Random;

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random::from_key(&[seed]);
    (0..count).map(|_| random.uniform() as f32 - 0.5).collect()
}

/// The three loops, in f64.
fn plain(a: &Matrix<'_, f32>, b: &Matrix<'_, f32>) -> Vec<f64> {
    let at = |m: &Matrix<'_, f32>, i: usize, j: usize| {
        f64::from(m.data[i * m.row_stride + j * m.column_stride])
    };
    let mut c = vec![0.0; a.rows * b.columns];
    for i in 0..a.rows {
        for j in 0..b.columns {
            for l in 0..a.columns {
                c[i * b.columns + j] += at(a, i, l) * at(b, l, j);
            }
        }
    }
    c
}

#[test]
fn the_fast_product_is_the_slow_one() {
    for (m, k, n) in [(14, 40, 32), (28, 600, 64), (13, 257, 33), (1, 1000, 5), (5, 3, 100)] {
        let (a, b, dc) = (noise(1, m * k), noise(2, k * n), noise(3, m * n));
        let (a, b, dc) = (Matrix::rows(&a, m, k), Matrix::rows(&b, k, n), Matrix::rows(&dc, m, n));
        for (left, right) in [(a, b), (dc, b.transposed()), (a.transposed(), dc)] {
            let mut c = vec![f32::NAN; left.rows * right.columns];
            matmul(Cpu::detect(), left, right, &mut c, right.columns, false).unwrap();
            for (got, wanted) in c.iter().zip(plain(&left, &right)) {
                assert!((f64::from(*got) - wanted).abs() < 2e-5, "{m} {k} {n}: {got} {wanted}");
            }
        }
    }
    // dA and dB are the slopes of L = Σ dC · C: one element of A, moved by 1, moves L by its dA.
    let (m, k, n) = (3, 4, 5);
    let (a, b, dc) = (noise(4, m * k), noise(5, k * n), noise(6, m * n));
    let loss = |a: &[f32]| -> f64 {
        let c = plain(&Matrix::rows(a, m, k), &Matrix::rows(&b, k, n));
        c.iter().zip(&dc).map(|(c, d)| c * f64::from(*d)).sum()
    };
    let da = plain(&Matrix::rows(&dc, m, n), &Matrix::rows(&b, k, n).transposed());
    for at in 0..m * k {
        let mut moved = a.clone();
        moved[at] += 1.0;
        assert!((loss(&moved) - loss(&a) - da[at]).abs() < 1e-5);
    }
}

#[test]
fn a_step_of_m1_is_33_85_billion_operations() {
    let (batch, frames, labels) = (16.0, 400, 32);
    let options = ModelOptions::Cnn(CnnOptions {
        projection: 256,
        recurrent_layers: 3,
        recurrent_hidden: 256,
        ..CnnOptions::default()
    });
    let sequence = options.build::<f32>(80, labels).unwrap();
    let table = Table::new(&sequence, frames, 80).unwrap();
    // The page's own count: outputs times what each is summed from.
    let (out, hidden) = (100.0, 256.0);
    let first = 200.0 * 40.0 * 32.0 * 9.0;
    let second = out * 20.0 * 32.0 * 9.0 * 32.0;
    let linear = out * (20.0 * 32.0) * 256.0;
    let gru = |inputs: f64| 2.0 * out * (inputs + hidden) * 3.0 * hidden;
    let output = out * 512.0 * 32.0;
    let forward = first + second + linear + gru(256.0) + 2.0 * gru(512.0) + output;
    assert_eq!(table.multiplications as f64, forward);
    let operations = batch * 2.0 * (3.0 * forward - first);
    assert!((operations / 1e9 - 33.85).abs() < 0.01, "{operations}");
    // At 118 GFLOP/s a core, two of them need 143 ms.
    assert!((operations / (2.0 * 118e9) - 0.143).abs() < 0.001);
    // The recurrence of one direction: bytes a step, and all that an utterance of 10 s reads.
    let bytes = 3 * 256 * 256 * 4;
    assert_eq!(bytes, 786_432);
    assert!((f64::from(bytes * 250 * 3) * 2.0 / 1e9 - 1.18).abs() < 0.005);
}

#[test]
fn a_tile_fetches_as_often_as_the_formula_says() {
    // Three loops: two numbers of four bytes for each multiply-add.
    let textbook = 2.0 / 8.0;
    let source = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../crates/kernels/src/matmul/avx512.rs"
    ))
    .unwrap();
    let number = |key: &str| -> usize {
        let rest = source.split(key).nth(1).unwrap();
        rest.split(',').next().unwrap().trim().parse().unwrap()
    };
    let (rows, columns) = (number("rows: "), number("columns: "));
    assert_eq!((rows, columns), (14, 32), "the page names the tile's size");
    // Accumulators, a row of the panel, the number of A: of 32 registers with 16 numbers each.
    assert!(rows * columns / 16 + columns / 16 < 32);
    let (mut operations, mut bytes) = (0, 0);
    for _l in 0..7 {
        bytes += 4 * (rows + columns);
        operations += 2 * rows * columns;
    }
    let counted = operations as f64 / bytes as f64;
    let formula = (rows * columns) as f64 / (2.0 * (rows + columns) as f64);
    assert!((counted - formula).abs() < 1e-12 && (formula - 4.9).abs() < 0.05);
    assert!((formula / textbook - 20.0).abs() < 1.0);
}
