//! Additive attention: Bahdanau et al. 2015, section A.1.2.

use super::kernels::{RowsMut, dots, tanh_of_sum, tanh_score_backward};
use super::{Extents, attend, expect_gradients, scores_backward, take};
use crate::ops::check;
use crate::{Device, Ids, Result, Tensor, cuda};

/// `score_s = vᵀ tanh(qp + kp_s)`, `align = softmax(score)` over `s < lens[b]`, `ctx = Σ_s align_s value_s`.
///
/// `qp: [T,B,A]` and `kp: [S,B,A]` are the projected queries and keys (`W_a s_{i-1}` and `U_a h_j` in the paper), `v: [A]`,
/// `values: [S,B,D]`, `lens: [B]` → `(ctx: [T,B,D], align: [T,B,S])`. The alignment is exactly zero from `lens[b]` on, where
/// keys and values are not read.
///
/// # Errors
/// [`Error::Rank`](crate::Error::Rank) or [`Error::Shape`](crate::Error::Shape) if the operands do not fit or an extent
/// is zero, [`Error::Value`](crate::Error::Value) if a length is not in `1..=S`.
pub fn additive_attention(
    qp: &Tensor,
    kp: &Tensor,
    v: &Tensor,
    values: &Tensor,
    lens: &Ids,
) -> Result<(Tensor, Tensor)> {
    const OP: &str = "additive attention";
    let x = Extents::new(OP, qp, kp, values, lens)?;
    check::shape(OP, "v", [x.h], v.shape())?;
    if let Device::Cuda(cuda) = check::device(OP, qp, &[v])? {
        return cuda::attention::additive(cuda, x, qp, kp, v, values, lens);
    }
    let v = v.cpu();
    Ok(attend(x, qp, kp, values, |keys, query, u, scores| {
        for (s, score) in scores.iter_mut().enumerate() {
            tanh_of_sum(query, keys.row(s), u);
            dots(v, u, u.len(), std::slice::from_mut(score));
        }
    }))
}

/// Gradients `(dqp: [T,B,A], dkp: [S,B,A], dv: [A], dvalues: [S,B,D])` of [`additive_attention`], given that of `ctx`.
///
/// `align` is the forward pass's. The `[T,B,S,A]` values of tanh are computed again rather than kept. The gradients of keys
/// and values are exactly zero from `lens[b]` on.
///
/// # Errors
/// As [`additive_attention`].
pub fn additive_attention_backward(
    dctx: &Tensor,
    qp: &Tensor,
    kp: &Tensor,
    v: &Tensor,
    values: &Tensor,
    align: &Tensor,
    lens: &Ids,
) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
    const OP: &str = "additive attention backward";
    let x = Extents::new(OP, qp, kp, values, lens)?;
    check::shape(OP, "v", [x.h], v.shape())?;
    expect_gradients(OP, x, dctx, align)?;
    if let Device::Cuda(cuda) = check::device(OP, qp, &[v, dctx])? {
        return cuda::attention::additive_backward(cuda, x, dctx, qp, kp, v, values, align, lens);
    }
    let device = qp.device();
    let mut dqp = Tensor::zeros(device, *qp.shape());
    let mut dkp = Tensor::zeros(device, *kp.shape());
    let mut dvalues = Tensor::scratch(device, *values.shape());
    // Each sentence's share of dv, added up in order below.
    let mut shares = Tensor::zeros(device, [x.b, x.h]);
    {
        let (mut dqp, mut dkp, mut dvalues) = (dqp.fresh_mut(), dkp.fresh_mut(), dvalues.fresh_mut());
        let mut shares = shares.fresh_mut();
        let dqp = RowsMut::new(dqp.cpu_mut(), x.b, x.h);
        let dkp = RowsMut::new(dkp.cpu_mut(), x.b, x.h);
        let dvalues = RowsMut::new(dvalues.cpu_mut(), x.b, x.d);
        let shares = RowsMut::new(shares.cpu_mut(), x.b, x.h);
        x.for_sentences(|b, room| {
            let mut room = &mut *room; // for no longer than the operands are there
            let dscores = scores_backward(x, b, [dctx, values, align], &dvalues, &mut room);
            let (queries, keys) = (x.queries(qp, b, x.h, &mut room), x.memory(kp, b, x.h, &mut room));
            let u = take(&mut room, x.h);
            // SAFETY: this task alone writes the rows of sentence `b`, and holds each once.
            let dv = unsafe { shares.row(0, b) };
            for (t, dscore) in dscores.chunks_exact(x.len(b)).enumerate() {
                // SAFETY: as above.
                let dq = unsafe { dqp.row(t, b) };
                for (s, &ds) in dscore.iter().enumerate() {
                    tanh_of_sum(queries.row(t), keys.row(s), u);
                    // SAFETY: as above; it is let go of at once.
                    tanh_score_backward(ds, u, v.cpu(), dq, unsafe { dkp.row(s, b) }, dv);
                }
            }
        });
    }
    let dv = Tensor::build(device, [x.h], |dv| {
        dv.fill(0.0);
        for share in shares.cpu().chunks_exact(x.h) {
            dv.iter_mut().zip(share).for_each(|(dv, &share)| *dv += share);
        }
    });
    Ok((dqp, dkp, dv, dvalues))
}
