//! Output projection and cross entropy in one operation, a block of rows at a time.
//!
//! Between them stand the logits `[N,V]`, by far the largest tensors of a training step, and their gradient. Here a block
//! of rows goes all the way, from its logits to its share of every gradient, before the next one begins, in one buffer
//! that is used again: neither is ever there as a whole. (The idea is that of Hsu et al. 2024, "Liger Kernel", section 3.)

use super::{CrossEntropy, LossTotals, Row, Totals, backward_in_place, check_smoothing, check_targets};
use super::{cross_entropy, cross_entropy_backward, forward_row};
use crate::ops::matmul::linear_packed_into;
use crate::ops::{Weight, bias_backward, check, gemm, gemm_packed, linear_packed, matmul, matmul_packed};
use crate::{Acc, Device, Float, Ids, Result, Tensor, Trans, cuda, parallel};

/// The loss of a batch, and the gradients if they were asked for.
#[derive(Clone, Debug)]
pub struct LinearCrossEntropy {
    /// Sum of the smoothed loss over the counted rows, shape `[1]`; 0 if every row is ignored.
    pub loss: Tensor,
    /// Number of counted rows: those whose target is not `ignore`.
    pub count: usize,
    /// What else was summed over the counted rows.
    pub totals: LossTotals,
    /// Gradients of `scale·loss`, with the `scale` that was asked for.
    pub grads: Option<LinearCrossEntropyGrads>,
}

/// Gradients of `scale·loss` with respect to the operands of [`linear_cross_entropy`].
#[derive(Clone, Debug)]
pub struct LinearCrossEntropyGrads {
    /// `[N,K]`.
    pub dx: Tensor,
    /// `[V,K]`.
    pub dw: Tensor,
    /// `[V]`; there if there was a bias.
    pub db: Option<Tensor>,
}

/// Rows that go through at a time at most: a multiple of the 64 in which a bias gradient is summed, few enough for a block
/// of logits of 16 MiB, and enough that the products have something to reuse. The order of every sum is the same for any
/// such number.
fn block_rows(v: usize) -> usize {
    const LOGITS: usize = 1 << 22;
    (LOGITS / v.max(1) / 64 * 64).clamp(128, 384)
}

/// [`cross_entropy`](super::cross_entropy) of the logits `x·wᵀ + b`, with `x: [N,K]`, `w: [V,K]`, `b: [V]`, `targets: [N]`.
///
/// With `scale` it also gives the gradients of `scale·loss`, which costs the two products of the backward pass:
///
/// ```text
/// dz = scale·(softmax(x·wᵀ + b) - q)      dx = dz·w      dw = dzᵀ·x      db = Σ_n dz
/// ```
///
/// In f32 and bf16 bit for bit what `linear`, `cross_entropy` and their backward passes give from gradients of zero; with
/// operands in parts (`F32Fast` on matrix units) dw is summed block by block, so its last bits are its own.
///
/// # Errors
/// [`Error::Index`](crate::Error::Index) if a target other than `ignore` is V or more,
/// [`Error::Value`](crate::Error::Value) unless 0 ≤ `smoothing` ≤ 1, [`Error::Rank`](crate::Error::Rank) or
/// [`Error::Shape`](crate::Error::Shape) if the shapes do not fit.
pub fn linear_cross_entropy(
    x: &Tensor,
    w: &Weight,
    b: Option<&Tensor>,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
    scale: Option<Float>,
) -> Result<LinearCrossEntropy> {
    const OP: &str = "linear_cross_entropy";
    let [n, k] = x.dims("linear cross entropy x [N,K]")?;
    let [v, _] = w.value().dims("linear cross entropy w [V,K]")?;
    check::shape(OP, "w", [v, k], w.value().shape())?;
    if let Some(b) = b {
        check::shape(OP, "b", [v], b.shape())?;
    }
    check_smoothing(OP, smoothing)?;
    check_targets(OP, targets, ignore, n, v)?;

    let device = x.device();
    if let Device::Cuda(_) = check::device(OP, x, &[w.value(), b.unwrap_or(x)])? {
        return on_cuda(x, w, b, targets, ignore, smoothing, scale);
    }
    // With gradients, nothing else of this pass multiplies by the weight: its layouts, the longest of all, go with it.
    let own;
    let w = if scale.is_some() {
        own = Weight::new(w.value())?;
        &own
    } else {
        w
    };
    let mut grads = scale.map(|_| LinearCrossEntropyGrads {
        dx: Tensor::scratch(device, [n, k]),
        // The first block sets it.
        dw: if n == 0 { Tensor::zeros(device, [v, k]) } else { Tensor::scratch(device, [v, k]) },
        db: b.map(|_| Tensor::zeros(device, [v])),
    });
    // As many blocks as that takes, and equally long ones: every product with the last block pays for being called, too.
    let blocks = n.div_ceil(block_rows(v)).max(1);
    let rows = n.div_ceil(blocks).next_multiple_of(64).min(n);
    let mut logits = Tensor::scratch(device, [rows, v]);
    let mut totals = Totals::default();
    for start in (0..n).step_by(rows.max(1)) {
        let end = n.min(start + rows);
        let x = x.rows(start, end)?;
        {
            let mut z = logits.fresh_mut();
            let mut z = z.rows_mut(0, end - start)?;
            linear_packed_into(&x, w.transposed(), b, z.reborrow())?;
            let targets = &targets.as_slice()[start..end];
            totals.add(&through_softmax(z.cpu_mut(), v, targets, ignore, smoothing, scale));
        }
        let Some(LinearCrossEntropyGrads { dx, dw, db }) = &mut grads else { continue };
        let dz = logits.rows(0, end - start)?;
        gemm_packed(&dz, w.plain(), Acc::Set, dx.fresh_mut().rows_mut(start, end)?)?;
        gemm(&dz, Trans::T, &x, Trans::N, if start == 0 { Acc::Set } else { Acc::Add }, dw.fresh_mut())?;
        if let Some(db) = db {
            for first in (0..end - start).step_by(64) {
                let part = dz.rows(first, (first + 64).min(end - start))?;
                bias_backward(&part, Acc::Add, db.fresh_mut())?;
            }
        }
    }
    let loss = Tensor::scalar(device, totals.loss as Float);
    Ok(LinearCrossEntropy { loss, count: totals.count, totals: totals.known(), grads })
}

/// The same by the operations it joins: on a GPU a block of rows is too little work for one launch, so the logits and their
/// gradient are there as a whole, the gradient in bfloat16 alone where the products want that.
fn on_cuda(
    x: &Tensor,
    w: &Weight,
    b: Option<&Tensor>,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
    scale: Option<Float>,
) -> Result<LinearCrossEntropy> {
    let logits = linear_packed(x, w.transposed(), b)?;
    if let (Device::Cuda(cuda), Some(scale)) = (x.device(), scale)
        && let Some((loss, dz)) =
            cuda::cross_entropy::rounded(cuda, &logits, targets, ignore, smoothing, scale)?
    {
        return Ok(LinearCrossEntropy { grads: Some(dz.of_linear(cuda, x, w, b)?), ..loss });
    }
    let saved = cross_entropy(&logits, targets, ignore, smoothing)?;
    let gradients = |scale| -> Result<LinearCrossEntropyGrads> {
        let device = x.device();
        let dz = Tensor::try_build(device, *logits.shape(), |dz| {
            cross_entropy_backward(&logits, targets, ignore, smoothing, &saved, scale, Acc::Set, dz)
        })?;
        let dx = matmul_packed(&dz, w.plain())?;
        let dw = matmul(&dz, Trans::T, x, Trans::N)?;
        let db = b.map(|b| Tensor::try_build(device, *b.shape(), |db| bias_backward(&dz, Acc::Set, db)));
        Ok(LinearCrossEntropyGrads { dx, dw, db: db.transpose()? })
    };
    let grads = scale.map(gradients).transpose()?;
    let CrossEntropy { loss, count, totals, .. } = saved;
    Ok(LinearCrossEntropy { loss, count, totals, grads })
}

/// What each row of the logits `z: [N,V]` costs; with `scale`, `z` goes out as the gradient.
fn through_softmax(
    z: &mut [Float],
    v: usize,
    targets: &[u32],
    ignore: u32,
    smoothing: Float,
    scale: Option<Float>,
) -> Vec<Row> {
    parallel::map_rows(z, v, 8 * v, |n, z| {
        let target = targets[n];
        if target == ignore {
            if scale.is_some() {
                z.fill(0.0);
            }
            return Row::default();
        }
        let row = forward_row(z, target as usize, smoothing);
        if let Some(scale) = scale {
            backward_in_place(row.max, row.log_sum, smoothing / v as Float, scale, z);
            z[target as usize] -= (1.0 - smoothing) * scale;
        }
        row
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{same_bits_for_any_threads, wave};
    use super::*;
    use crate::ops::linear;
    use crate::{Error, Precision};

    const IGNORE: u32 = 2;

    fn targets(n: usize, v: usize) -> Ids {
        Ids::list((0..n).map(|i| ((i * 7 + 3) % v) as u32).collect())
    }

    /// The same by the operations it joins, from gradients of zero.
    fn composed(
        [x, w, b]: [&Tensor; 3],
        targets: &Ids,
        smoothing: Float,
        scale: Float,
    ) -> (CrossEntropy, [Tensor; 3]) {
        let logits = linear(x, w, Some(b)).unwrap();
        let saved = cross_entropy(&logits, targets, IGNORE, smoothing).unwrap();
        let mut dz = Tensor::scratch(x.device(), *logits.shape());
        let out = dz.view_mut().unwrap();
        cross_entropy_backward(&logits, targets, IGNORE, smoothing, &saved, scale, Acc::Set, out).unwrap();
        let [mut dx, mut dw, mut db] = [x, w, b].map(|like| Tensor::zeros(x.device(), *like.shape()));
        gemm(&dz, Trans::N, w, Trans::N, Acc::Set, dx.view_mut().unwrap()).unwrap();
        gemm(&dz, Trans::T, x, Trans::N, Acc::Add, dw.view_mut().unwrap()).unwrap();
        bias_backward(&dz, Acc::Add, db.view_mut().unwrap()).unwrap();
        (saved, [dx, dw, db])
    }

    /// One row, part of a block, several blocks with a rest; a vocabulary wide enough for the smallest block.
    const SIZES: [[usize; 3]; 5] = [[1, 1, 3], [5, 31, 33], [401, 8, 17], [1000, 5, 40], [150, 3, 40_000]];

    #[test]
    fn equal_to_the_operations_it_joins_bit_for_bit() {
        for precision in [Precision::F32, Precision::Bf16] {
            for [n, k, v] in SIZES {
                let device = Device::cpu().with_precision(precision);
                let make = |shape: &[usize], phase| {
                    Tensor::from_slice(&device, &wave(shape, phase).to_vec(), shape).unwrap()
                };
                let (x, w, b) = (make(&[n, k], 0.1), make(&[v, k], 0.7), make(&[v], 1.3));
                let targets = targets(n, v);
                for smoothing in [0.0, 0.1] {
                    let (want, [dx, dw, db]) = composed([&x, &w, &b], &targets, smoothing, 0.25);
                    let weight = Weight::new(&w).unwrap();
                    let run = |scale| {
                        linear_cross_entropy(&x, &weight, Some(&b), &targets, IGNORE, smoothing, scale)
                            .unwrap()
                    };
                    let got = run(Some(0.25));
                    let what = format!("{n}x{k}x{v} ε={smoothing} {precision:?}");
                    assert_eq!(got.loss.to_vec(), want.loss.to_vec(), "{what}");
                    assert_eq!(
                        (got.count, got.totals.pending().peek()),
                        (want.count, want.totals.pending().peek()),
                        "{what}"
                    );
                    let grads = got.grads.unwrap();
                    assert_eq!(grads.dx.to_vec(), dx.to_vec(), "dx {what}");
                    assert_eq!(grads.dw.to_vec(), dw.to_vec(), "dw {what}");
                    assert_eq!(grads.db.unwrap().to_vec(), db.to_vec(), "db {what}");

                    let alone = run(None);
                    assert_eq!(alone.loss.to_vec(), want.loss.to_vec(), "{what}");
                    assert!(alone.grads.is_none());
                }
            }
        }
    }

    #[test]
    fn same_bits_for_any_number_of_threads() {
        let (x, w, b, targets) =
            (wave([500, 40], 0.1), wave([900, 40], 0.7), wave([900], 0.2), targets(500, 900));
        same_bits_for_any_threads(|| {
            let weight = Weight::new(&w).unwrap();
            let out = linear_cross_entropy(&x, &weight, Some(&b), &targets, IGNORE, 0.1, Some(1.0)).unwrap();
            let grads = out.grads.unwrap();
            vec![out.loss, grads.dx, grads.dw, grads.db.unwrap()]
        });
    }

    #[test]
    fn operands_that_do_not_fit_are_refused() {
        let (x, w) = (wave([4, 3], 0.0), Weight::new(&wave([5, 3], 0.0)).unwrap());
        let run = |x: &Tensor, b: Option<&Tensor>, targets: &Ids, smoothing| {
            linear_cross_entropy(x, &w, b, targets, IGNORE, smoothing, None).unwrap_err()
        };
        assert!(matches!(run(&wave([4, 2], 0.0), None, &targets(4, 5), 0.0), Error::Shape { .. }));
        assert!(matches!(run(&wave([12], 0.0), None, &targets(4, 5), 0.0), Error::Rank { .. }));
        assert!(matches!(run(&x, Some(&wave([4], 0.0)), &targets(4, 5), 0.0), Error::Shape { .. }));
        assert!(matches!(run(&x, None, &targets(3, 5), 0.0), Error::Shape { .. }));
        assert!(matches!(run(&x, None, &targets(4, 5), 1.5), Error::Value { .. }));
        let beyond = run(&x, None, &Ids::list(vec![0, 1, 5, 0]), 0.0);
        assert!(matches!(beyond, Error::Index { index: 5, bound: 5, position: 2, .. }), "{beyond}");
    }
}
