//! Exact: rounding and its bounds, the order of a sum to the bit, rows in company, permutations.

use labyrinth::corpus::permutation::Permutation;
use labyrinth::kernels::{Cpu, Isa, Matrix, matmul};
use labyrinth::signal::Random;

fn noise(seed: u64, count: usize) -> Vec<f32> {
    let mut random = Random::from_key(&[seed]);
    (0..count).map(|_| random.uniform() as f32 - 0.5).collect()
}

/// The crate's sum of products.
fn product(cpu: Cpu, a: &[f32], b: &[f32]) -> f32 {
    let mut c = [f32::NAN];
    let (k, row) = (a.len(), Matrix::rows(a, 1, a.len()));
    matmul(cpu, row, Matrix::rows(b, k, 1), &mut c, 1, false).unwrap();
    c[0]
}

#[test]
fn an_error_stays_below_its_bound() {
    let large = 16_777_216.0_f32;
    assert_eq!((large + 1.0) + 1.0, large);
    assert_eq!(large + (1.0 + 1.0), large + 2.0);
    let u = 2f64.powi(-24);
    for k in [10, 256, 257, 1000, 10_000] {
        let (a, b) = (noise(1, k), noise(2, k));
        let terms = || a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        let (truth, size): (f64, f64) = (terms().sum(), terms().map(f64::abs).sum());
        let chain = a.iter().zip(&b).fold(0f32, |sum, (a, b)| sum + a * b);
        assert!((f64::from(chain) - truth).abs() <= k as f64 * u * size * 1.01);
        for isa in Cpu::available() {
            let got = f64::from(product(Cpu::with(isa).unwrap(), &a, &b));
            let bound = (256 + k.div_ceil(256)) as f64 * u * size * 1.01;
            assert!((got - truth).abs() <= bound, "{isa} {k}");
        }
    }
}

#[test]
fn a_sum_has_the_order_that_the_page_says() {
    for k in [1, 2, 255, 256, 257, 512, 513, 700, 3000] {
        let (a, b) = (noise(3, k), noise(4, k));
        for isa in Cpu::available() {
            let part = k.div_ceil(k.div_ceil(256));
            let by_hand = (0..k)
                .step_by(part)
                .map(|first| {
                    (first..k.min(first + part)).fold(0f32, |sum, l| match isa {
                        Isa::Portable => sum + a[l] * b[l],
                        // Fused: one rounding for both.
                        _ => a[l].mul_add(b[l], sum),
                    })
                })
                .reduce(|sum, part| sum + part)
                .unwrap();
            let got = product(Cpu::with(isa).unwrap(), &a, &b);
            assert_eq!(got.to_bits(), by_hand.to_bits(), "{isa} {k}");
        }
    }
    // Another order gives other bits, or the test above would say nothing.
    let (a, b) = (noise(3, 3000), noise(4, 3000));
    let chain = a.iter().zip(&b).fold(0f32, |sum, (a, b)| a.mul_add(*b, sum));
    assert_ne!(product(Cpu::detect(), &a, &b).to_bits(), chain.to_bits());
}

#[test]
fn a_row_does_not_know_its_mates() {
    let (rows, k, columns) = (37, 700, 45);
    let (a, b) = (noise(5, rows * k), noise(6, k * columns));
    for isa in Cpu::available() {
        let cpu = Cpu::with(isa).unwrap();
        let run = |a: &[f32]| {
            let mut c = vec![f32::NAN; a.len() / k * columns];
            let a = Matrix::rows(a, a.len() / k, k);
            matmul(cpu, a, Matrix::rows(&b, k, columns), &mut c, columns, false).unwrap();
            c.iter().map(|c| c.to_bits()).collect::<Vec<u32>>()
        };
        let all = run(&a);
        for (first, count) in [(0, 1), (36, 1), (3, 2), (10, 14), (5, 30)] {
            let some = run(&a[first * k..(first + count) * k]);
            assert_eq!(some, all[first * columns..(first + count) * columns], "{isa} {first}");
        }
    }
}

#[test]
fn a_permutation_misses_nobody_and_is_undone() {
    for len in [1, 2, 5, 64, 1000, 4097] {
        let order = Permutation::new(len, &[1, 2]);
        let mut seen: Vec<u64> = (0..len).map(|place| order.apply(place)).collect();
        let another: Vec<u64> =
            (0..len).map(|place| Permutation::new(len, &[1, 3]).apply(place)).collect();
        assert!(len < 64 || seen != another);
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..len), "{len}");
    }
    // The round of the page and its way back, with any f.
    let f = |key: u64, r: u64| Random::from_key(&[key, r]).next_u64() & 0xff;
    for start in 0..=0xffff_u64 {
        let (mut l, mut r) = (start >> 8, start & 0xff);
        for key in 0..8 {
            (l, r) = (r, l ^ f(key, r));
        }
        for key in (0..8).rev() {
            (l, r) = (r ^ f(key, l), l);
        }
        assert_eq!((l << 8) | r, start);
    }
}
