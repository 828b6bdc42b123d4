//! Additive attention: Bahdanau et al. 2015, section A.1.2.

use super::kernels::{dots, tanh_of_sum, tanh_score_backward};
use super::{Extents, attend, expect_gradients, scores_backward};
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
    let mut shares = vec![0.0; x.b * x.h];
    {
        let (mut dqp, mut dkp, mut dvalues) = (dqp.fresh_mut(), dkp.fresh_mut(), dvalues.fresh_mut());
        let dqp = x.by_sentence(dqp.cpu_mut(), x.h).into_iter();
        let dkp = x.by_sentence(dkp.cpu_mut(), x.h).into_iter();
        let dvalues = x.by_sentence(dvalues.cpu_mut(), x.d).into_iter();
        let parts = dqp.zip(dkp).zip(dvalues).zip(shares.chunks_exact_mut(x.h)).collect();
        x.for_sentences(parts, |b, (((dqp, mut dkp), dvalues), dv)| {
            let len = x.len(b);
            let dscores = scores_backward(x, b, dctx, values, align, dvalues);
            let (queries, keys) = (x.queries(qp, b, x.h), x.memory(kp, b, x.h));
            let mut u = vec![0.0; x.h];
            for (t, (dscore, dq)) in dscores.chunks_exact(len).zip(dqp).enumerate() {
                for (s, &ds) in dscore.iter().enumerate() {
                    tanh_of_sum(queries.row(t), keys.row(s), &mut u);
                    tanh_score_backward(ds, &u, v.cpu(), dq, dkp[s], dv);
                }
            }
        });
    }
    let dv = Tensor::build(device, [x.h], |dv| {
        dv.fill(0.0);
        for share in shares.chunks_exact(x.h) {
            dv.iter_mut().zip(share).for_each(|(dv, &share)| *dv += share);
        }
    });
    Ok((dqp, dkp, dv, dvalues))
}
