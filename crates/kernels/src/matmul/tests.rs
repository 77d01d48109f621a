//! Tests of the products: against a plain sum in f64, and byte for byte across batches and threads.

use proptest::prelude::*;

use super::*;
use crate::testing::{bits, every_cpu, noise, pool};

/// Σₖ a[i, k] b[k, j] in f64, and Σₖ |a b|, by which errors are measured.
fn plain(a: Matrix<'_, f32>, b: Matrix<'_, f32>, i: usize, j: usize) -> (f64, f64) {
    (0..a.columns).fold((0.0, 0.0), |(sum, size), k| {
        let x = a.data[i * a.row_stride + k * a.column_stride];
        let y = b.data[k * b.row_stride + j * b.column_stride];
        let product = f64::from(x) * f64::from(y);
        (sum + product, size + product.abs())
    })
}

#[test]
fn products_equal_a_plain_sum_for_every_layout() {
    for cpu in every_cpu() {
        for (m, n, k) in [(1, 1, 1), (3, 33, 7), (17, 65, 300), (115, 40, 513), (16, 768, 256)] {
            let (a, b) = (noise(1, m * k), noise(2, k * n));
            for layout in 0..4 {
                let a = if layout & 1 == 0 {
                    Matrix::rows(&a, m, k)
                } else {
                    Matrix::rows(&a, k, m).transposed()
                };
                let b = if layout & 2 == 0 {
                    Matrix::rows(&b, k, n)
                } else {
                    Matrix::rows(&b, n, k).transposed()
                };
                let stride = n + 3;
                let start = noise(3, m * stride);
                for accumulate in [false, true] {
                    let mut c = start.clone();
                    matmul(cpu, a, b, &mut c, stride, accumulate).unwrap();
                    for i in 0..m {
                        for j in 0..stride {
                            let (old, new) = (start[i * stride + j], c[i * stride + j]);
                            if j >= n {
                                assert_eq!(old.to_bits(), new.to_bits(), "wrote between the rows");
                                continue;
                            }
                            let (mut sum, mut size) = plain(a, b, i, j);
                            if accumulate {
                                sum += f64::from(old);
                                size += f64::from(old).abs();
                            }
                            let error = (f64::from(new) - sum).abs();
                            assert!(
                                error <= 1e-6 * (size + 1e-3),
                                "{m} {n} {k}: {error} of {size}"
                            );
                        }
                    }
                    let packed = PackedMatrix::pack(cpu, b).unwrap();
                    let mut again = start.clone();
                    matmul_packed(cpu, a, &packed, &mut again, stride, accumulate).unwrap();
                    assert_eq!(bits(&c), bits(&again), "packed differs from unpacked");
                }
            }
        }
    }
}

#[test]
fn f64_products_equal_a_plain_sum() {
    let (m, n, k) = (9, 11, 300);
    let a: Vec<f64> = noise(1, m * k).into_iter().map(f64::from).collect();
    let b: Vec<f64> = noise(2, n * k).into_iter().map(f64::from).collect();
    let mut c = vec![0.0; m * n];
    let b_rows = Matrix::rows(&b, k, n);
    matmul(Cpu::detect(), Matrix::rows(&a, m, k), b_rows, &mut c, n, false).unwrap();
    for i in 0..m {
        for j in 0..n {
            let sum: f64 = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
            assert!((c[i * n + j] - sum).abs() < 1e-12);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Promise 3 at its root: a row alone, in any batch, in any layout, at any number of columns and
    /// threads gives the same bytes.
    #[test]
    fn a_row_gives_the_same_bytes_in_any_company(
        n in 1usize..200, k in 1usize..700, seed in any::<u64>(), transpose in any::<bool>(),
    ) {
        let most = 130;
        let (a, b) = (noise(seed, most * k), noise(seed ^ 1, k * n));
        let b = if transpose { Matrix::rows(&b, n, k).transposed() } else { Matrix::rows(&b, k, n) };
        for cpu in every_cpu() {
            let mut alone = vec![0f32; most * n];
            for i in 0..most {
                let row = Matrix::rows(&a[i * k..][..k], 1, k);
                matmul(cpu, row, b, &mut alone[i * n..][..n], n, false).unwrap();
            }
            for rows in [2, 3, 7, 16, most] {
                for threads in 1..=4 {
                    let mut c = vec![f32::NAN; rows * n];
                    let batch = Matrix::rows(&a[..rows * k], rows, k);
                    pool(threads).install(|| matmul(cpu, batch, b, &mut c, n, false)).unwrap();
                    prop_assert_eq!(bits(&c), bits(&alone[..rows * n]));
                }
            }
            // One column of B alone, and A read by columns.
            let column = n / 2;
            let one = Matrix { data: &b.data[column * b.column_stride..], columns: 1, ..b };
            let mut a_columns = vec![0f32; 7 * k];
            for i in 0..7 {
                for p in 0..k {
                    a_columns[p * 7 + i] = a[i * k + p];
                }
            }
            let mut c = vec![f32::NAN; 7];
            let by_columns = Matrix::rows(&a_columns, k, 7).transposed();
            matmul(cpu, by_columns, one, &mut c, 1, false).unwrap();
            for i in 0..7 {
                prop_assert_eq!(c[i].to_bits(), alone[i * n + column].to_bits());
            }
        }
    }
}

#[test]
fn large_products_do_not_depend_on_the_threads() {
    let (m, n, k) = (300, 2100, 520);
    let (a, b) = (noise(5, m * k), noise(6, k * n));
    for cpu in every_cpu() {
        let run = |threads: usize| {
            let mut c = noise(7, m * n);
            let (a, b) = (Matrix::rows(&a, m, k), Matrix::rows(&b, k, n));
            pool(threads).install(|| matmul(cpu, a, b, &mut c, n, true)).unwrap();
            c
        };
        let one = run(1);
        for threads in 2..=4 {
            assert_eq!(bits(&run(threads)), bits(&one), "{threads} threads");
        }
    }
}

#[test]
fn instruction_sets_agree_within_rounding() {
    let (m, n, k) = (20, 50, 640);
    let (a, b) = (noise(8, m * k), noise(9, k * n));
    let (a, b) = (Matrix::rows(&a, m, k), Matrix::rows(&b, k, n));
    let run = |cpu| {
        let mut c = vec![0f32; m * n];
        matmul(cpu, a, b, &mut c, n, false).unwrap();
        c
    };
    let reference = run(Cpu::portable());
    for cpu in every_cpu() {
        for (index, (x, y)) in run(cpu).iter().zip(&reference).enumerate() {
            let (_, size) = plain(a, b, index / n, index % n);
            assert!(f64::from((x - y).abs()) <= 1e-6 * size);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_with_both_sizes_and_nothing_is_written() {
    let cpu = Cpu::detect();
    let data = vec![1f32; 12];
    let (a, b) = (Matrix::rows(&data, 3, 4), Matrix::rows(&data, 4, 3));
    let mut c = vec![7f32; 9];
    let error = matmul(cpu, a, Matrix::rows(&data, 3, 4), &mut c, 4, false).unwrap_err();
    assert!(matches!(error, KernelError::Mismatch { left: 4, right: 3, .. }), "{error}");
    let error = matmul(cpu, Matrix::rows(&data, 4, 4), b, &mut c, 3, false).unwrap_err();
    assert!(matches!(error, KernelError::Size { actual: 12, expected: 16, .. }), "{error}");
    let error = matmul(cpu, a, b, &mut c[..8], 3, false).unwrap_err();
    assert!(matches!(error, KernelError::Size { actual: 8, expected: 9, .. }), "{error}");
    let error = matmul(cpu, a, b, &mut c, 2, false).unwrap_err();
    assert!(matches!(error, KernelError::TooSmall { actual: 2, minimum: 3, .. }), "{error}");
    let huge =
        Matrix { data: &data, rows: usize::MAX, columns: 2, row_stride: 9, column_stride: 1 };
    assert!(matmul(cpu, huge, b, &mut c, 3, false).is_err());
    let error = matmul_packed(cpu, b, &PackedMatrix::pack(cpu, b).unwrap(), &mut c, 3, false);
    assert!(matches!(error, Err(KernelError::Mismatch { left: 3, right: 4, .. })), "{error:?}");
    for other in every_cpu().into_iter().filter(|other| other.isa() != cpu.isa()) {
        let packed = PackedMatrix::pack(other, b).unwrap();
        let error = matmul_packed(cpu, a, &packed, &mut c, 3, false).unwrap_err();
        assert!(matches!(error, KernelError::PackedForOther { .. }), "{error}");
    }
    assert!(c.iter().all(|&x| x == 7.0));
}

#[test]
fn an_empty_sum_is_zero_and_empty_products_are_allowed() {
    let cpu = Cpu::detect();
    let none: [f32; 0] = [];
    let mut c = vec![3f32; 5];
    let (a, b) = (Matrix::rows(&none, 1, 0), Matrix::rows(&none, 0, 4));
    matmul(cpu, a, b, &mut c, 4, true).unwrap();
    assert_eq!(c, [3.0; 5]);
    let packed = PackedMatrix::pack(cpu, b).unwrap();
    matmul_packed(cpu, a, &packed, &mut c, 4, false).unwrap();
    assert_eq!(c, [0.0, 0.0, 0.0, 0.0, 3.0]);
    matmul(cpu, Matrix::rows(&none, 0, 4), Matrix::rows(&c, 4, 1), &mut [], 1, false).unwrap();
}
