//! Tests of the products: against a plain sum in f64, and byte for byte across batches and threads.

use proptest::prelude::*;

use super::*;
use crate::testing::{
    bits, every_bf16_cpu, every_cpu, every_cpu_and_precision, nearest_bf16, noise, pool,
};

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
        for cpu in every_cpu_and_precision() {
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
    for cpu in every_cpu_and_precision() {
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
fn bf16_products_are_products_of_rounded_operands() {
    assert!(!every_bf16_cpu().is_empty());
    for cpu in every_bf16_cpu() {
        for (m, n, k) in
            [(1, 1, 1), (3, 33, 7), (5, 9, 40), (17, 65, 300), (115, 40, 513), (16, 768, 256)]
        {
            // Room between the rows; and every second column only, for strides in both directions.
            for (layout, apart) in [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (3, 2)] {
                let strided = |seed, rows: usize, columns: usize, transposed: bool| {
                    let (outer, inner) = if transposed { (columns, rows) } else { (rows, columns) };
                    let stride = inner * apart + 5;
                    (noise(seed, outer * stride), stride, outer, inner)
                };
                let (a, a_stride, a_rows, a_columns) = strided(1, m, k, layout & 1 == 1);
                let (b, b_stride, b_rows, b_columns) = strided(2, k, n, layout & 2 == 2);
                let matrix = |data, rows, columns, row_stride, transposed: bool| {
                    let m = Matrix { data, rows, columns, row_stride, column_stride: apart };
                    if transposed { m.transposed() } else { m }
                };
                let a_of = |data| matrix(data, a_rows, a_columns, a_stride, layout & 1 == 1);
                let b_of = |data| matrix(data, b_rows, b_columns, b_stride, layout & 2 == 2);
                let rounded = |x: &[f32]| x.iter().map(|&x| nearest_bf16(x)).collect::<Vec<f32>>();
                let (a_rounded, b_rounded) = (rounded(&a), rounded(&b));
                let mut c = vec![f32::NAN; m * n];
                matmul(cpu, a_of(&a), b_of(&b), &mut c, n, false).unwrap();
                for i in 0..m {
                    for j in 0..n {
                        let value = f64::from(c[i * n + j]);
                        let (sum, size) = plain(a_of(&a_rounded), b_of(&b_rounded), i, j);
                        let error = (value - sum).abs();
                        assert!(error <= 1e-6 * size, "{cpu}: {m} {n} {k}: {error} of {size}");
                        // Half a unit of 8 bits for each operand: (1 + 2⁻⁹)² − 1 of each product.
                        let (sum, size) = plain(a_of(&a), b_of(&b), i, j);
                        let error = (value - sum).abs();
                        assert!(error <= 3.92e-3 * size, "{cpu}: {m} {n} {k}: {error} of {size}");
                    }
                }
                // What is rounded already comes out the same; packed or not is the same.
                let mut again = vec![f32::NAN; m * n];
                matmul(cpu, a_of(&a_rounded), b_of(&b_rounded), &mut again, n, false).unwrap();
                assert_eq!(bits(&again), bits(&c), "{cpu}");
                let packed = PackedMatrix::pack(cpu, b_of(&b)).unwrap();
                matmul_packed(cpu, a_of(&a), &packed, &mut again, n, false).unwrap();
                assert_eq!(bits(&again), bits(&c), "{cpu}: packed differs from unpacked");
                matmul_packed(cpu, a_of(&a), &packed, &mut again, n, true).unwrap();
                // A sum of one part doubles exactly.
                let doubled = again.iter().zip(&c).all(|(twice, once)| *twice == once + once);
                assert!(doubled || k > 256, "{cpu}");
            }
        }
    }
}

/// The order that `kernel.rs` and the head of the module state, number by number.
#[test]
fn bf16_sums_run_in_the_stated_order() {
    for cpu in every_bf16_cpu() {
        for k in [1, 2, 3, 31, 256, 257, 513, 1025] {
            let round = |x: Vec<f32>| x.into_iter().map(nearest_bf16).collect::<Vec<f32>>();
            let (a, b) = (round(noise(1, k)), round(noise(2, k)));
            let mut c = [0f32];
            matmul(cpu, Matrix::rows(&a, 1, k), Matrix::rows(&b, k, 1), &mut c, 1, false).unwrap();
            let pairs = cpu.isa() == crate::cpu::Isa::Avx512;
            let mut part = k.div_ceil(k.div_ceil(256));
            if pairs {
                part = part.next_multiple_of(2);
            }
            let mut expected: Option<f32> = None;
            for (a, b) in a.chunks(part).zip(b.chunks(part)) {
                let mut sum = 0f32;
                // Products of two bf16 are exact in f32, so fused or not is the same.
                if pairs {
                    for (a, b) in a.chunks(2).zip(b.chunks(2)) {
                        if let ([_, a], [_, b]) = (a, b) {
                            sum += a * b;
                        }
                        sum += a[0] * b[0];
                    }
                } else {
                    a.iter().zip(b).for_each(|(a, b)| sum += a * b);
                }
                expected = Some(expected.map_or(sum, |before| before + sum));
            }
            assert_eq!(Some(c[0].to_bits()), expected.map(f32::to_bits), "{cpu}: {k}");
        }
    }
}

#[test]
fn bf16_passes_on_what_is_no_number_and_what_is_infinite() {
    let (m, n, k) = (5, 40, 19);
    let (a, b) = (noise(1, m * k), noise(2, k * n));
    for cpu in every_bf16_cpu() {
        for place in [0, 7, k - 1] {
            // The second NaN has its payload in the bits that rounding takes away.
            for odd in [f32::NAN, f32::from_bits(0x7f80_0001), f32::INFINITY, -f32::MAX] {
                let mut a = a.clone();
                a[2 * k + place] = odd;
                for transposed in [false, true] {
                    let columns: Vec<f32> = (0..m * k).map(|i| a[i % m * k + i / m]).collect();
                    let a = match transposed {
                        false => Matrix::rows(&a, m, k),
                        true => Matrix::rows(&columns, k, m).transposed(),
                    };
                    let mut c = vec![0f32; m * n];
                    matmul(cpu, a, Matrix::rows(&b, k, n), &mut c, n, false).unwrap();
                    for (i, &value) in c.iter().enumerate() {
                        let expected = odd * b[place * n + i % n];
                        match i / n {
                            2 if odd.is_nan() => assert!(value.is_nan(), "{cpu}"),
                            // The largest numbers of f32 are beyond those of bf16.
                            2 => assert_eq!(value, expected.signum() * f32::INFINITY, "{cpu}"),
                            _ => assert!(value.is_finite(), "{cpu}"),
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn f64_knows_no_bf16() {
    let (m, n, k) = (3, 4, 30);
    let (a, b): (Vec<f64>, Vec<f64>) =
        (noise(1, m * k).iter().map(|&x| f64::from(x)).collect(), vec![1.0 / 3.0; k * n]);
    let run = |cpu| {
        let mut c = vec![0.0; m * n];
        matmul(cpu, Matrix::rows(&a, m, k), Matrix::rows(&b, k, n), &mut c, n, false).unwrap();
        c
    };
    let expected = run(Cpu::portable());
    assert!(every_bf16_cpu().into_iter().all(|cpu| run(cpu) == expected));
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
    for cpus in [every_cpu(), every_bf16_cpu()] {
        let reference = run(cpus[0]);
        for cpu in cpus {
            for (index, (x, y)) in run(cpu).iter().zip(&reference).enumerate() {
                let (_, size) = plain(a, b, index / n, index % n);
                assert!(f64::from((x - y).abs()) <= 1e-6 * size, "{cpu}");
            }
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
    for other in every_cpu_and_precision().into_iter().filter(|&other| other != cpu) {
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
