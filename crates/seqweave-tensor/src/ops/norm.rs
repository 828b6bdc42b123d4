//! Layer normalisation (Ba, Kiros and Hinton 2016, "Layer Normalization", section 3).

use super::{check, reduce};
use crate::cuda;
use crate::lanes::{self, Lanes};
use crate::math::simd;
use crate::parallel::{self, for_rows};
use crate::{Acc, Device, Float, Result, Tensor, TensorMut};
use std::ops::Range;

/// What [`layer_norm_backward`] needs beside the input.
#[derive(Clone, Debug)]
pub struct LayerNormSaved {
    /// `[N,2]`: mean and 1/√(variance + eps) of every row.
    stats: Tensor,
}

simd! {
    /// Mean and 1/√(variance + eps); the variance is that of the differences from the mean, divided by C.
    fn row_stats(x: &[Float], eps: Float) -> (Float, Float) {
        let c = x.len() as Float;
        let mean = lanes::sum(x) / c;
        let mut squares = Lanes::new(0.0);
        squares.push(x, x, |sum, x, _| sum + (x - mean) * (x - mean));
        (mean, 1.0 / (squares.total(|a, b| a + b) / c + eps).sqrt())
    }

    fn forward_row(x: &[Float], gamma: &[Float], beta: &[Float], mean: Float, rstd: Float, y: &mut [Float]) {
        let parameters = gamma.iter().zip(beta);
        for ((y, &x), (&gamma, &beta)) in y.iter_mut().zip(x).zip(parameters) {
            *y = (x - mean) * rstd * gamma + beta;
        }
    }

    /// dx holds dy·gamma on the way.
    fn backward_row(dy: &[Float], x: &[Float], gamma: &[Float], mean: Float, rstd: Float, dx: &mut [Float]) {
        for (dx, (&dy, &gamma)) in dx.iter_mut().zip(dy.iter().zip(gamma)) {
            *dx = dy * gamma;
        }
        let c = x.len() as Float;
        let (mut along, sum) = (Lanes::new(0.0), lanes::sum(dx));
        along.push(dx, x, |sum, dx, x| sum + dx * ((x - mean) * rstd));
        let (along, level) = (along.total(|a, b| a + b) / c, sum / c);
        for (dx, &x) in dx.iter_mut().zip(x) {
            *dx = rstd * (*dx - level - (x - mean) * rstd * along);
        }
    }

    /// `partial[c] += Σ dy·(x - mean)·rstd` over the rows, whose slices start at the first of them.
    fn add_gamma_rows(dy: &[Float], x: &[Float], stats: &[Float], columns: Range<usize>, partial: &mut [Float]) {
        let c = dy.len() / (stats.len() / 2);
        for ((dy, x), stats) in dy.chunks_exact(c).zip(x.chunks_exact(c)).zip(stats.chunks_exact(2)) {
            let (dy, x) = (&dy[columns.start..columns.end], &x[columns.start..columns.end]);
            for (sum, (&dy, &x)) in partial.iter_mut().zip(dy.iter().zip(x)) {
                *sum += dy * ((x - stats[0]) * stats[1]);
            }
        }
    }
}

/// `y[..,c] = (x[..,c] - mean)/√(var + eps)·gamma[c] + beta[c]`, `x: [..,C]`, `gamma, beta: [C]`.
///
/// Mean and variance are those of a row, the variance divided by C. A row's bits depend on that row alone.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if `gamma` or `beta` is not as long as the last axis,
/// [`Error::Value`](crate::Error::Value) unless `eps` ≥ 0.
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: Float) -> Result<(Tensor, LayerNormSaved)> {
    let mut y = Tensor::scratch(x.device(), x.shape());
    let saved = layer_norm_into(x, gamma, beta, eps, y.fresh_mut())?;
    Ok((y, saved))
}

/// [`layer_norm`] into `out`.
///
/// # Errors
/// As [`layer_norm`]; [`Error::Shape`](crate::Error::Shape) if `out` is not shaped like `x`.
pub fn layer_norm_into(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: Float,
    mut out: TensorMut<'_>,
) -> Result<LayerNormSaved> {
    let op = "layer_norm";
    let (n, c) = x.shape().rows_and_columns();
    check::shape(op, "gamma", [c], gamma.shape())?;
    check::shape(op, "beta", [c], beta.shape())?;
    check::shape(op, "output", x.shape(), out.shape())?;
    check::value(op, "eps", "0 or more", eps >= 0.0, eps)?;
    if let Device::Cuda(cuda) = check::device(op, x, &[gamma, beta, &out])? {
        return Ok(LayerNormSaved { stats: cuda::norm::layer_norm(cuda, x, gamma, beta, eps, out)? });
    }
    let (rows, gamma, beta) = (x.cpu(), gamma.cpu(), beta.cpu());
    let of_row = parallel::map(n, 2 * c, |row| row_stats(&rows[row * c..(row + 1) * c], eps));
    for_rows(out.cpu_mut(), c, c, |row, y| {
        let (mean, rstd) = of_row[row];
        forward_row(&rows[row * c..(row + 1) * c], gamma, beta, mean, rstd, y);
    });
    let stats = Tensor::build(x.device(), [n, 2], |stats| {
        let pairs = stats.chunks_exact_mut(2).zip(&of_row);
        pairs.for_each(|(stats, &(mean, rstd))| stats.copy_from_slice(&[mean, rstd]));
    });
    Ok(LayerNormSaved { stats })
}

/// `(dx: [..,C], dgamma: [C], dbeta: [C])` of [`layer_norm`]; with `x̂ = (x - mean)·rstd` and `g = dy·gamma`,
/// `dx = rstd·(g - mean(g) - x̂·mean(g·x̂))`, `dgamma = Σ_n dy·x̂`, `dbeta = Σ_n dy`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes do not fit the forward call.
pub fn layer_norm_backward(
    dy: &Tensor,
    x: &Tensor,
    gamma: &Tensor,
    saved: &LayerNormSaved,
) -> Result<(Tensor, Tensor, Tensor)> {
    let op = "layer_norm_backward";
    let (n, c) = x.shape().rows_and_columns();
    check::shape(op, "dy", x.shape(), dy.shape())?;
    check::shape(op, "gamma", [c], gamma.shape())?;
    check::shape(op, "saved", [n, 2], saved.stats.shape())?;
    let device = check::device(op, x, &[dy, gamma, &saved.stats])?;
    if let Device::Cuda(cuda) = device {
        return cuda::norm::layer_norm_backward(cuda, dy, x, gamma, &saved.stats);
    }
    let dbeta = reduce::sum_rows(dy)?;
    let (dy, x_rows, stats, gamma) = (dy.cpu(), x.cpu(), saved.stats.cpu(), gamma.cpu());
    let dx = Tensor::build(device, x.shape(), |dx| {
        for_rows(dx, c, 3 * c, |row, dx| {
            let at = row * c..(row + 1) * c;
            let (mean, rstd) = (stats[2 * row], stats[2 * row + 1]);
            backward_row(&dy[at.clone()], &x_rows[at], gamma, mean, rstd, dx);
        });
    });
    let dgamma = Tensor::build(device, [c], |dgamma| {
        reduce::column_sums(n, c, Acc::Set, dgamma, |rows, columns, partial| {
            let at = rows.start * c..rows.end * c;
            let stats = &stats[2 * rows.start..2 * rows.end];
            add_gamma_rows(&dy[at.clone()], &x_rows[at], stats, columns, partial);
        });
    });
    Ok((dx, dgamma, dbeta))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check_close, gradient, same_bits_for_any_threads, wave};
    use super::*;
    use crate::Error;
    use crate::level::for_each_level;

    const EPS: Float = 1e-5;

    fn naive(x: &[f64], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
        let c = gamma.len();
        let rows = x.chunks(c).flat_map(|row| {
            let mean = row.iter().sum::<f64>() / c as f64;
            let var = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / c as f64;
            let scale = (var + EPS as f64).sqrt();
            row.iter().enumerate().map(move |(i, x)| (x - mean) / scale * gamma[i] + beta[i])
        });
        rows.collect()
    }

    #[test]
    fn values_and_gradients_equal_the_naive_loop() {
        for (n, c) in [(3, 1), (3, 31), (70, 33), (1, 1025)] {
            let (x, gamma, beta) = (wave([n, c], 0.1), wave([c], 0.4), wave([c], 0.9));
            let dy = wave([n, c], 1.3);
            let (x64, gamma64, beta64) = (x.to_f64(), gamma.to_f64(), beta.to_f64());
            let (y, saved) = layer_norm(&x, &gamma, &beta, EPS).unwrap();
            check_close("layer_norm", &y, &naive(&x64, &gamma64, &beta64));
            let (dx, dgamma, dbeta) = layer_norm_backward(&dy, &x, &gamma, &saved).unwrap();
            let slope = |f: &dyn Fn(&[f64]) -> Vec<f64>, at| gradient(f, at, &dy, Acc::Set, &[]);
            check_close("dx", &dx, &slope(&|x| naive(x, &gamma64, &beta64), &x));
            check_close("dgamma", &dgamma, &slope(&|g| naive(&x64, g, &beta64), &gamma));
            check_close("dbeta", &dbeta, &slope(&|b| naive(&x64, &gamma64, b), &beta));
        }
    }

    #[test]
    fn a_constant_row_becomes_beta() {
        let x = Tensor::full(&crate::Device::cpu(), [1, 40], 3e4);
        let (y, _) = layer_norm(&x, &wave([40], 0.1), &wave([40], 0.9), EPS).unwrap();
        assert_eq!(y.to_vec(), wave([40], 0.9).to_vec());
    }

    #[test]
    fn threads_company_and_instruction_sets_change_nothing() {
        let (x, gamma, beta) = (wave([150, 333], 0.1), wave([333], 0.4), wave([333], 0.9));
        let run = |x: &Tensor| {
            let (y, saved) = layer_norm(x, &gamma, &beta, EPS).unwrap();
            let (dx, dgamma, dbeta) = layer_norm_backward(&y, x, &gamma, &saved).unwrap();
            vec![y, dx, dgamma, dbeta]
        };
        same_bits_for_any_threads(|| run(&x));
        let all = run(&x);
        let alone = run(&x.rows(70, 71).unwrap());
        for i in [0, 1] {
            assert_eq!(alone[i].to_vec(), all[i].rows(70, 71).unwrap().to_vec());
        }
        for_each_level(|level| {
            for (got, want) in run(&x).iter().zip(&all) {
                assert_eq!(got.to_vec(), want.to_vec(), "{level:?}");
            }
        });
    }

    #[test]
    fn bad_inputs_are_errors() {
        let (x, three, two) = (wave([2, 3], 0.0), wave([3], 0.0), wave([2], 0.0));
        let message = layer_norm(&x, &two, &three, EPS).unwrap_err().to_string();
        assert_eq!(message, "layer_norm: expected gamma of shape [3], found [2]");
        assert!(layer_norm(&x, &three, &two, EPS).is_err());
        assert!(matches!(layer_norm(&x, &three, &three, -1.0), Err(Error::Value { .. })));
        assert!(layer_norm_into(&x, &three, &three, EPS, wave([3, 2], 0.0).view_mut().unwrap()).is_err());
        let (_, saved) = layer_norm(&x, &three, &three, EPS).unwrap();
        let taller = wave([3, 3], 0.0);
        assert!(layer_norm_backward(&taller, &x, &three, &saved).is_err());
        assert!(layer_norm_backward(&taller, &taller, &three, &saved).is_err());
        assert!(layer_norm_backward(&x, &x, &two, &saved).is_err());
    }
}
