//! Softmax and its logarithm along the last axis.
//!
//! The largest element of a row is subtracted first, so nothing overflows. An element of -∞ has probability 0. A row that
//! is all -∞, or has a NaN or +∞, becomes all NaN, as in PyTorch. A row's bits depend on that row alone.

use super::check;
use crate::cuda::{self, CudaDevice};
use crate::lanes::{self, Lanes};
use crate::math::{self, simd};
use crate::parallel::{self, for_rows};
use crate::{Acc, Device, Error, Float, Result, Tensor, TensorMut};

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
/// [`Error::Shape`] if the shapes differ.
pub fn softmax_into(x: &Tensor, out: TensorMut<'_>) -> Result<()> {
    rows("softmax", x, out, softmax_row, cuda::softmax::softmax)
}

/// `dx (+)= y·(dy - Σ_k y·dy)` from the output `y` of [`softmax`], all `[..,C]`.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ.
pub fn softmax_backward(y: &Tensor, dy: &Tensor, acc: Acc, dx: TensorMut<'_>) -> Result<()> {
    backward_rows("softmax_backward", y, dy, acc, dx, softmax_backward_row, cuda::softmax::softmax_backward)
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
/// [`Error::Shape`] if the shapes differ.
pub fn log_softmax_into(x: &Tensor, out: TensorMut<'_>) -> Result<()> {
    rows("log_softmax", x, out, log_softmax_row, cuda::softmax::log_softmax)
}

/// `dx (+)= dy - e^y·Σ_k dy` from the output `y` of [`log_softmax`], all `[..,C]`.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ.
pub fn log_softmax_backward(y: &Tensor, dy: &Tensor, acc: Acc, dx: TensorMut<'_>) -> Result<()> {
    backward_rows(
        "log_softmax_backward",
        y,
        dy,
        acc,
        dx,
        log_softmax_backward_row,
        cuda::softmax::log_softmax_backward,
    )
}

/// What a search reads of a row of logits.
#[derive(Clone, Debug, PartialEq)]
pub struct TopLogProbs {
    /// (column, log-probability) of the most probable columns, best first; of equals, the smaller column first.
    pub best: Vec<(u32, Float)>,
    /// Log-probability of the column that was asked for by name.
    pub named: Float,
}

/// For each row of `x: [N,V]` the `k` largest of [`log_softmax`], except in the columns `never`, and that of column `named`.
///
/// The same bits as [`log_softmax`], of which nothing is stored. A row with a NaN or a +∞, or of nothing but -∞, gives NaN
/// for each.
///
/// # Errors
/// [`Error::Rank`] unless `x` has two axes, [`Error::Index`] unless `named` is below `V`.
pub fn top_log_probs(x: &Tensor, k: usize, never: &[u32], named: u32) -> Result<Vec<TopLogProbs>> {
    let [n, v] = x.dims("logits of a search [N,V]")?;
    if named as usize >= v {
        return Err(Error::Index { op: "top_log_probs", index: named as usize, bound: v, position: 0 });
    }
    if let Device::Cuda(cuda) = x.device() {
        return cuda::softmax::top_log_probs(cuda, x, k, never, named);
    }
    let x = x.cpu();
    Ok(parallel::map(n, WORK * v, |row| {
        let x = &x[row * v..(row + 1) * v];
        let (max, sum_exp) = max_and_sum_exp(x);
        let log_sum = math::ln(sum_exp);
        let mut best = Vec::with_capacity(k.min(v) + 1);
        most_probable(x, max, log_sum, k, never, &mut best);
        TopLogProbs { best, named: (x[named as usize] - max) - log_sum }
    }))
}

simd! {
    /// The largest element m, and Σ e^(x-m) in the order of `log_softmax`.
    fn max_and_sum_exp(x: &[Float]) -> (Float, Float) {
        const BLOCK: usize = 256;
        let max = lanes::max(x);
        let (mut sum, mut buffer) = (Lanes::new(0.0), [0.0; BLOCK]);
        for x in x.chunks(BLOCK) {
            let exps = &mut buffer[..x.len()];
            exps.iter_mut().zip(x).for_each(|(e, &x)| *e = math::exp(x - max));
            sum.push(exps, exps, |sum, e, _| sum + e);
        }
        (max, sum.total(|a, b| a + b))
    }

    /// The `k` largest y = (x - max) - log_sum as (index, y), largest first; of equals, the smaller index first. The y are
    /// compared and not the x, of which several may round to one y.
    fn most_probable(
        x: &[Float], max: Float, log_sum: Float, k: usize, never: &[u32], best: &mut Vec<(u32, Float)>,
    ) {
        const BLOCK: usize = 64;
        if k == 0 {
            return;
        }
        for (block, x) in x.chunks(BLOCK).enumerate() {
            // Most blocks hold nothing new, and asking a whole block is quick.
            let bar = if best.len() < k { Float::NEG_INFINITY } else { best[k - 1].1 };
            if best.len() == k && !x.iter().fold(false, |any, &x| any | ((x - max) - log_sum > bar)) {
                continue;
            }
            for (i, &x) in x.iter().enumerate() {
                let (column, y) = ((block * BLOCK + i) as u32, (x - max) - log_sum);
                if (best.len() == k && best.last().is_some_and(|last| y <= last.1)) || never.contains(&column) {
                    continue;
                }
                let rank = best.partition_point(|better| better.1 >= y);
                best.insert(rank, (column, y));
                best.truncate(k);
            }
        }
    }
}

/// What a row costs a thread, in elements touched by a plain sum.
const WORK: usize = 4;

fn rows(
    op: &'static str,
    x: &Tensor,
    mut out: TensorMut<'_>,
    f: fn(&[Float], &mut [Float]),
    launch: fn(&CudaDevice, &Tensor, TensorMut<'_>) -> Result<()>,
) -> Result<()> {
    check::shape(op, "output", x.shape(), out.shape())?;
    if let Device::Cuda(cuda) = check::device(op, x, &[&out])? {
        return launch(cuda, x, out);
    }
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
    launch: fn(&CudaDevice, &Tensor, &Tensor, Acc, TensorMut<'_>) -> Result<()>,
) -> Result<()> {
    check::shape(op, "dy", y.shape(), dy.shape())?;
    check::shape(op, "dx", y.shape(), dx.shape())?;
    if let Device::Cuda(cuda) = check::device(op, y, &[dy, &dx])? {
        return launch(cuda, y, dy, acc, dx);
    }
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

    #[test]
    fn the_top_of_a_row_is_that_of_its_sorted_log_softmax() {
        for v in [5, 63, 64, 65, 1025] {
            // Rounded, so that there are ties.
            let values = wave([3, v], 0.4).to_vec().iter().map(|x| (x * 50.0).round() / 10.0).collect();
            let x = Tensor::from_vec(&Device::cpu(), values, [3, v]).unwrap();
            let all = log_softmax(&x).unwrap().to_vec();
            for k in [0, 1, 2, 11] {
                for (top, row) in top_log_probs(&x, k, &[0, 2], 3).unwrap().iter().zip(all.chunks(v)) {
                    let mut want: Vec<(u32, Float)> = (0..).zip(row.iter().copied()).collect();
                    want.retain(|(column, _)| ![0, 2].contains(column));
                    want.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                    want.truncate(k);
                    assert_eq!((&top.best, top.named), (&want, row[3]), "V = {v}, k = {k}");
                }
            }
        }
    }

    #[cfg(not(seqweave_f64))]
    #[test]
    fn logits_apart_with_one_log_probability_go_to_the_smaller_column() {
        // ln 1000 is so large beside the last digit of 1 that both become the same number.
        let mut row = vec![0.999_999_94; 1000];
        (row[5], row[7]) = (0.999_999_94, 1.0);
        row.iter_mut().skip(8).for_each(|x| *x = 0.9);
        let x = Tensor::from_vec(&Device::cpu(), row, [1, 1000]).unwrap();
        let best = &top_log_probs(&x, 2, &[0, 1, 2, 3, 4, 6], 0).unwrap()[0].best;
        assert_eq!((best[0].0, best[1].0, best[0].1 == best[1].1), (5, 7, true));
    }

    #[test]
    fn a_row_without_probabilities_has_no_top() {
        let (nan, inf) = (Float::NAN, Float::INFINITY);
        for row in [[0.0, nan, 1.0], [inf, 0.0, 0.0], [-inf; 3]] {
            let x = Tensor::from_vec(&Device::cpu(), row.to_vec(), [1, 3]).unwrap();
            assert!(top_log_probs(&x, 2, &[], 1).unwrap()[0].best[0].1.is_nan(), "{row:?}");
        }
        let x = Tensor::zeros(&Device::cpu(), [1, 3]);
        assert!(matches!(top_log_probs(&x, 2, &[], 3), Err(Error::Index { index: 3, bound: 3, .. })));
    }

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
        crate::level::for_each_level(|level| {
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
