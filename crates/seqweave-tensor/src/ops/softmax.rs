//! Softmax and its logarithm along the last axis.
//!
//! The largest element of a row is subtracted first, so nothing overflows. An element of -∞ has probability 0. A row that
//! is all -∞, or has a NaN or +∞, becomes all NaN, as in PyTorch. A row's bits depend on that row alone.

use super::check;
use crate::lanes;
use crate::math::{self, simd};
use crate::parallel::for_rows;
use crate::{Acc, Float, Result, Tensor, TensorMut};

simd! {
    fn softmax_row(x: &[Float], y: &mut [Float]) {
        let max = lanes::max(x);
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = math::exp(x - max));
        let inverse = 1.0 / lanes::sum(y);
        y.iter_mut().for_each(|y| *y *= inverse);
    }

    fn softmax_backward_row(y: &[Float], dy: &[Float], acc: Acc, dx: &mut [Float]) {
        let mean = lanes::dot(y, dy);
        let dx = dx.iter_mut().zip(y.iter().zip(dy));
        match acc {
            Acc::Set => dx.for_each(|(dx, (&y, &dy))| *dx = y * (dy - mean)),
            Acc::Add => dx.for_each(|(dx, (&y, &dy))| *dx += y * (dy - mean)),
        }
    }

    fn log_softmax_row(x: &[Float], y: &mut [Float]) {
        let max = lanes::max(x);
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = math::exp(x - max));
        let log_sum = math::ln(lanes::sum(y));
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - max) - log_sum);
    }

    fn log_softmax_backward_row(y: &[Float], dy: &[Float], acc: Acc, dx: &mut [Float]) {
        let sum = lanes::sum(dy);
        let dx = dx.iter_mut().zip(y.iter().zip(dy));
        match acc {
            Acc::Set => dx.for_each(|(dx, (&y, &dy))| *dx = dy - math::exp(y) * sum),
            Acc::Add => dx.for_each(|(dx, (&y, &dy))| *dx += dy - math::exp(y) * sum),
        }
    }
}

/// `y[..,c] = e^x[..,c] / Σ_k e^x[..,k]`, any shape `[..,C]`.
///
/// # Errors
/// None today.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    Tensor::try_build(x.device(), x.shape(), |out| softmax_into(x, out))
}

/// [`softmax`] into `out`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
pub fn softmax_into(x: &Tensor, out: TensorMut<'_>) -> Result<()> {
    rows("softmax", x, out, softmax_row)
}

/// `dx (+)= y·(dy - Σ_k y·dy)` from the output `y` of [`softmax`], all `[..,C]`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
pub fn softmax_backward(y: &Tensor, dy: &Tensor, acc: Acc, dx: TensorMut<'_>) -> Result<()> {
    backward_rows("softmax_backward", y, dy, acc, dx, softmax_backward_row)
}

/// `y[..,c] = x[..,c] - ln Σ_k e^x[..,k]`, any shape `[..,C]`.
///
/// # Errors
/// None today.
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    Tensor::try_build(x.device(), x.shape(), |out| log_softmax_into(x, out))
}

/// [`log_softmax`] into `out`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
pub fn log_softmax_into(x: &Tensor, out: TensorMut<'_>) -> Result<()> {
    rows("log_softmax", x, out, log_softmax_row)
}

/// `dx (+)= dy - e^y·Σ_k dy` from the output `y` of [`log_softmax`], all `[..,C]`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes differ.
pub fn log_softmax_backward(y: &Tensor, dy: &Tensor, acc: Acc, dx: TensorMut<'_>) -> Result<()> {
    backward_rows("log_softmax_backward", y, dy, acc, dx, log_softmax_backward_row)
}

/// What a row costs a thread, in elements touched by a plain sum.
const WORK: usize = 4;

fn rows(op: &'static str, x: &Tensor, mut out: TensorMut<'_>, f: fn(&[Float], &mut [Float])) -> Result<()> {
    check::shape(op, "output", x.shape(), out.shape())?;
    let (_, c) = x.shape().rows_and_columns();
    let x = x.cpu();
    for_rows(out.cpu_mut(), c, WORK * c, |row, out| f(&x[row * c..(row + 1) * c], out));
    Ok(())
}

fn backward_rows(
    op: &'static str,
    y: &Tensor,
    dy: &Tensor,
    acc: Acc,
    mut dx: TensorMut<'_>,
    f: fn(&[Float], &[Float], Acc, &mut [Float]),
) -> Result<()> {
    check::shape(op, "dy", y.shape(), dy.shape())?;
    check::shape(op, "dx", y.shape(), dx.shape())?;
    let (_, c) = y.shape().rows_and_columns();
    let (y, dy) = (y.cpu(), dy.cpu());
    for_rows(dx.cpu_mut(), c, WORK * c, |row, dx| {
        let row = row * c..(row + 1) * c;
        f(&y[row.clone()], &dy[row], acc, dx);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ODD, check_close, gradient, same_bits_for_any_threads, wave};
    use super::*;
    use crate::Device;

    fn naive(x: &[f64], c: usize, log: bool) -> Vec<f64> {
        let rows = x.chunks(c).flat_map(|row| {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(move |x| if log { x - sum.ln() } else { x.exp() / sum })
        });
        rows.collect()
    }

    #[test]
    fn values_and_gradients_equal_the_naive_loop() {
        for c in ODD {
            let (x, dy) = (wave([2, c], 0.1), wave([2, c], 0.9));
            for log in [false, true] {
                let y = if log { log_softmax(&x) } else { softmax(&x) }.unwrap();
                check_close("softmax", &y, &naive(&x.to_f64(), c, log));
                for acc in [Acc::Set, Acc::Add] {
                    let mut dx = wave([2, c], 3.0);
                    let want = gradient(|x| naive(x, c, log), &x, &dy, acc, &dx.to_f64());
                    let backward = if log { log_softmax_backward } else { softmax_backward };
                    backward(&y, &dy, acc, dx.view_mut().unwrap()).unwrap();
                    check_close("softmax_backward", &dx, &want);
                }
            }
        }
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let x = Tensor::from_slice(&Device::cpu(), &[1e4, 1e4 - 1.0, -1e4], [1, 3]).unwrap();
        let e = (-1f64).exp();
        check_close("softmax", &softmax(&x).unwrap(), &[1.0 / (1.0 + e), e / (1.0 + e), 0.0]);
        let z = (1.0 + e).ln();
        check_close("log_softmax", &log_softmax(&x).unwrap(), &[-z, -1.0 - z, -2e4 - z]);
    }

    #[test]
    fn infinities_and_nan_do_what_is_documented() {
        const INF: Float = Float::INFINITY;
        let row = |x: [Float; 3]| Tensor::from_slice(&Device::cpu(), &x, [1, 3]).unwrap();
        let masked = row([-INF, 0.0, 0.0]);
        assert_eq!(softmax(&masked).unwrap().to_vec(), [0.0, 0.5, 0.5]);
        assert_eq!(log_softmax(&masked).unwrap().to_vec()[0], -INF);
        for x in [[-INF; 3], [0.0, INF, 0.0], [0.0, Float::NAN, 1.0], [INF, -INF, Float::NAN]] {
            for y in [softmax(&row(x)), log_softmax(&row(x))] {
                assert!(y.unwrap().to_vec().iter().all(|y| y.is_nan()), "{x:?}");
            }
        }
    }

    #[test]
    fn threads_company_and_instruction_sets_change_nothing() {
        let (x, dy) = (wave([90, 333], 0.1), wave([90, 333], 0.9));
        let all = |x: &Tensor, dy: &Tensor| {
            let (y, log_y) = (softmax(x).unwrap(), log_softmax(x).unwrap());
            let mut dx = [dy.deep_clone(), dy.deep_clone()];
            softmax_backward(&y, dy, Acc::Add, dx[0].fresh_mut()).unwrap();
            log_softmax_backward(&log_y, dy, Acc::Set, dx[1].fresh_mut()).unwrap();
            dx.into_iter().chain([y, log_y]).collect::<Vec<_>>()
        };
        same_bits_for_any_threads(|| all(&x, &dy));
        let want = all(&x, &dy);
        math::for_each_level(|level| {
            for (got, want) in all(&x, &dy).iter().zip(&want) {
                assert_eq!(got.to_vec(), want.to_vec(), "{level:?}");
            }
        });
        let alone = all(&x.rows(57, 58).unwrap(), &dy.rows(57, 58).unwrap());
        for (alone, all) in alone.iter().zip(&want) {
            assert_eq!(alone.to_vec(), all.rows(57, 58).unwrap().to_vec());
        }
    }

    #[test]
    fn shapes_that_differ_are_errors() {
        let (a, b, mut out) = (wave([2, 3], 0.0), wave([3, 2], 0.0), wave([6], 0.0));
        let message = softmax_backward(&a, &b, Acc::Set, out.view_mut().unwrap()).unwrap_err().to_string();
        assert_eq!(message, "softmax_backward: expected dy of shape [2, 3], found [3, 2]");
        let mut out = out.view_mut().unwrap();
        for result in [
            softmax_into(&a, out.reborrow()),
            log_softmax_into(&a, out.reborrow()),
            log_softmax_backward(&a, &a, Acc::Set, out.reborrow()),
        ] {
            assert!(result.is_err());
        }
        assert_eq!(softmax(&wave([3, 0], 0.0)).unwrap().numel(), 0);
    }
}
