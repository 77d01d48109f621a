//! The linear layer y = x·Wᵀ + b and its gradients.
//!
//! With a loss L and dy = ∂L/∂y: yᵢₒ = Σₖ xᵢₖ Wₒₖ + bₒ gives
//!
//! * ∂L/∂xᵢₖ = Σₒ dyᵢₒ Wₒₖ, that is dx = dy·W;
//! * ∂L/∂Wₒₖ = Σᵢ dyᵢₒ xᵢₖ, that is dW = dyᵀ·x;
//! * ∂L/∂bₒ = Σᵢ dyᵢₒ.
//!
//! The bias comes first in each sum, then the products of [`matmul`](crate::matmul()) in their order.
//!
//! Book: book/src/recurrent.md

use crate::cpu::Cpu;
use crate::error::{KernelError, check_size, elements};
use crate::matmul::{Matrix, PackedMatrix, matmul, matmul_packed};
use crate::real::Real;
use crate::vector;

/// y = x·Wᵀ + b: `x` `[rows, input]`, `weight` `[output, input]`, `bias` `[output]`, `y`
/// `[rows, output]`.
///
/// # Errors
/// [`KernelError::Size`] when a slice does not fit its shape; nothing is then written.
#[allow(clippy::too_many_arguments)]
pub fn linear_forward<T: Real>(
    cpu: Cpu,
    x: &[T],
    weight: &[T],
    bias: &[T],
    y: &mut [T],
    rows: usize,
    input: usize,
    output: usize,
) -> Result<(), KernelError> {
    const OPERATION: &str = "linear layer";
    check_size(OPERATION, "x", x.len(), elements(OPERATION, "x", &[rows, input])?)?;
    check_size(
        OPERATION,
        "weight",
        weight.len(),
        elements(OPERATION, "weight", &[output, input])?,
    )?;
    check_size(OPERATION, "bias", bias.len(), output)?;
    check_size(OPERATION, "y", y.len(), elements(OPERATION, "y", &[rows, output])?)?;
    vector::fill_rows(y, bias);
    let weight = Matrix::rows(weight, output, input).transposed();
    matmul(cpu, Matrix::rows(x, rows, input), weight, y, output, true)
}

/// The same bytes by a weight laid out before, `PackedMatrix::pack` of the transposed `weight`: for calls of a few
/// rows, where laying it out would cost more than the product. On the calling thread alone.
///
/// # Errors
/// As [`linear_forward`], and [`KernelError::PackedForOther`].
pub fn linear_forward_packed<T: Real>(
    cpu: Cpu,
    x: &[T],
    weight: &PackedMatrix<T>,
    bias: &[T],
    y: &mut [T],
    rows: usize,
) -> Result<(), KernelError> {
    const OPERATION: &str = "linear layer";
    let (input, output) = (weight.rows(), weight.columns());
    check_size(OPERATION, "x", x.len(), elements(OPERATION, "x", &[rows, input])?)?;
    check_size(OPERATION, "bias", bias.len(), output)?;
    check_size(OPERATION, "y", y.len(), elements(OPERATION, "y", &[rows, output])?)?;
    weight.check_cpu(OPERATION, cpu)?;
    vector::fill_rows(y, bias);
    matmul_packed(cpu, Matrix::rows(x, rows, input), weight, y, output, true)
}

/// Gradients of [`linear_forward`]: `dx` is overwritten when it is wanted, `dweight` and `dbias` are
/// added to. The sums over rows depend on the number of rows alone, not on the threads.
///
/// # Errors
/// [`KernelError::Size`] when a slice does not fit its shape; nothing is then written.
#[allow(clippy::too_many_arguments)]
pub fn linear_backward<T: Real>(
    cpu: Cpu,
    x: &[T],
    weight: &[T],
    dy: &[T],
    dx: Option<&mut [T]>,
    dweight: &mut [T],
    dbias: &mut [T],
    rows: usize,
    input: usize,
    output: usize,
) -> Result<(), KernelError> {
    const OPERATION: &str = "gradient of the linear layer";
    let inputs = elements(OPERATION, "x", &[rows, input])?;
    let weights = elements(OPERATION, "weight", &[output, input])?;
    check_size(OPERATION, "x", x.len(), inputs)?;
    check_size(OPERATION, "weight", weight.len(), weights)?;
    check_size(OPERATION, "dy", dy.len(), elements(OPERATION, "dy", &[rows, output])?)?;
    if let Some(dx) = &dx {
        check_size(OPERATION, "dx", dx.len(), inputs)?;
    }
    check_size(OPERATION, "dweight", dweight.len(), weights)?;
    check_size(OPERATION, "dbias", dbias.len(), output)?;
    let dy_matrix = Matrix::rows(dy, rows, output);
    if let Some(dx) = dx {
        matmul(cpu, dy_matrix, Matrix::rows(weight, output, input), dx, input, false)?;
    }
    matmul(cpu, dy_matrix.transposed(), Matrix::rows(x, rows, input), dweight, input, true)?;
    vector::add_column_sums(cpu, dy, output, rows, dbias);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        bits, check_gradient, every_cpu, every_cpu_and_precision, noise, noise_of, pool,
    };

    #[test]
    fn forward_equals_a_plain_loop_in_f64() {
        for cpu in every_cpu() {
            for (rows, input, output) in [(1, 1, 1), (5, 640, 256), (33, 17, 29), (0, 3, 2)] {
                let (x, w, b) =
                    (noise(1, rows * input), noise(2, output * input), noise(3, output));
                let mut y = vec![f32::NAN; rows * output];
                linear_forward(cpu, &x, &w, &b, &mut y, rows, input, output).unwrap();
                for i in 0..rows {
                    for o in 0..output {
                        let sum: f64 = (0..input)
                            .map(|k| f64::from(x[i * input + k]) * f64::from(w[o * input + k]))
                            .sum();
                        let exact = sum + f64::from(b[o]);
                        let error = (f64::from(y[i * output + o]) - exact).abs();
                        assert!(error <= 1e-5, "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let cpu = Cpu::detect();
        let (rows, input, output) = (4, 5, 3);
        let x: Vec<f64> = noise_of(1, rows * input);
        let w: Vec<f64> = noise_of(2, output * input);
        let b: Vec<f64> = noise_of(3, output);
        let dy: Vec<f64> = noise_of(4, rows * output);
        let loss = |x: &[f64], w: &[f64], b: &[f64]| {
            let mut y = vec![0.0; rows * output];
            linear_forward(cpu, x, w, b, &mut y, rows, input, output).unwrap();
            y.iter().zip(&dy).map(|(y, d)| y * d).sum::<f64>()
        };
        // Weight gradients are added to what is there, dx replaces it.
        let mut dx = vec![f64::NAN; x.len()];
        let mut dw = vec![1.0; w.len()];
        let mut db = vec![2.0; b.len()];
        let target = Some(dx.as_mut_slice());
        linear_backward(cpu, &x, &w, &dy, target, &mut dw, &mut db, rows, input, output).unwrap();
        dw.iter_mut().for_each(|d| *d -= 1.0);
        db.iter_mut().for_each(|d| *d -= 2.0);
        check_gradient("x", &x, &dx, |x| loss(x, &w, &b));
        check_gradient("weight", &w, &dw, |w| loss(&x, w, &b));
        check_gradient("bias", &b, &db, |b| loss(&x, &w, b));
    }

    #[test]
    fn rows_and_gradients_are_the_same_bytes_in_any_company() {
        let (rows, input, output) = (700, 300, 40);
        let (x, w, b) = (noise(1, rows * input), noise(2, output * input), noise(3, output));
        let dy = noise(4, rows * output);
        for cpu in every_cpu_and_precision() {
            let run = |rows: usize, threads: usize| {
                let (x, dy) = (&x[..rows * input], &dy[..rows * output]);
                let mut y = vec![0f32; rows * output];
                let mut dx = vec![0f32; rows * input];
                let (mut dw, mut db) = (vec![0f32; w.len()], vec![0f32; output]);
                pool(threads).install(|| {
                    linear_forward(cpu, x, &w, &b, &mut y, rows, input, output).unwrap();
                    let dx = Some(dx.as_mut_slice());
                    linear_backward(cpu, x, &w, dy, dx, &mut dw, &mut db, rows, input, output)
                        .unwrap();
                });
                (bits(&y), bits(&dx), bits(&dw), bits(&db))
            };
            let whole = run(rows, 1);
            for threads in 2..=4 {
                assert_eq!(run(rows, threads), whole, "{threads} threads");
            }
            let packed = Matrix::rows(&w, output, input).transposed();
            let packed = PackedMatrix::pack(cpu, packed).unwrap();
            for fewer in [1, 2, 3, 7, 16] {
                let mut by_packed = vec![f32::NAN; fewer * output];
                linear_forward_packed(cpu, &x[..fewer * input], &packed, &b, &mut by_packed, fewer)
                    .unwrap();
                assert_eq!(bits(&by_packed), whole.0[..fewer * output], "packed");
                let (y, dx, ..) = run(fewer, 2);
                assert_eq!(y, whole.0[..fewer * output]);
                assert_eq!(dx, whole.1[..fewer * input]);
            }
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_with_both_sizes() {
        let cpu = Cpu::detect();
        let mut y = [5f32; 4];
        let error =
            linear_forward(cpu, &[1.0; 5], &[1.0; 6], &[0.0; 2], &mut y, 2, 3, 2).unwrap_err();
        assert!(matches!(error, KernelError::Size { what: "x", actual: 5, expected: 6, .. }));
        assert_eq!(y, [5.0; 4]);
        let (mut dw, mut db) = ([0f32; 6], [0f32; 3]);
        let error =
            linear_backward(cpu, &[1.; 6], &[1.; 6], &[1.; 4], None, &mut dw, &mut db, 2, 3, 2)
                .unwrap_err();
        assert!(matches!(error, KernelError::Size { what: "dbias", actual: 3, expected: 2, .. }));
        let huge = usize::MAX / 2;
        assert!(linear_forward(cpu, &[], &[], &[], &mut y, huge, huge, 2).is_err());
    }
}
