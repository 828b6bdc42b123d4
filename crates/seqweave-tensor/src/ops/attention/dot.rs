//! Dot-product attention: Luong et al. 2015, section 3.1 (dot; general, when the caller has multiplied the keys), and
//! with `scale = 1/√H` Vaswani et al. 2017, section 3.2.1.

use super::kernels::{dots, weighted_sum};
use super::{Extents, attend, expect_gradients, scores_backward};
use crate::ops::check;
use crate::{Device, Float, Ids, Result, Tensor, cuda};

/// `score_s = scale · q·key_s`, `align = softmax(score)` over `s < lens[b]`, `ctx = Σ_s align_s value_s`.
///
/// `q: [T,B,H]`, `keys: [S,B,H]`, `values: [S,B,D]`, `lens: [B]` → `(ctx: [T,B,D], align: [T,B,S])`. The alignment is exactly
/// zero from `lens[b]` on, where keys and values are not read.
///
/// # Errors
/// [`Error::Rank`](crate::Error::Rank) or [`Error::Shape`](crate::Error::Shape) if the operands do not fit or an extent
/// is zero, [`Error::Value`](crate::Error::Value) if a length is not in `1..=S`.
pub fn dot_attention(
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    lens: &Ids,
    scale: Float,
) -> Result<(Tensor, Tensor)> {
    let x = Extents::new("dot attention", q, keys, values, lens)?;
    if let Device::Cuda(cuda) = q.device() {
        return cuda::attention::dot(cuda, x, q, keys, values, lens, scale);
    }
    Ok(attend(x, q, keys, values, |keys, query, _, scores| {
        dots(query, &keys.data, keys.pitch, scores);
        scores.iter_mut().for_each(|score| *score *= scale);
    }))
}

/// Gradients `(dq: [T,B,H], dkeys: [S,B,H], dvalues: [S,B,D])` of [`dot_attention`], given that of `ctx`.
///
/// `align` is the forward pass's; the gradients of keys and values are exactly zero from `lens[b]` on.
///
/// # Errors
/// As [`dot_attention`].
pub fn dot_attention_backward(
    dctx: &Tensor,
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    align: &Tensor,
    lens: &Ids,
    scale: Float,
) -> Result<(Tensor, Tensor, Tensor)> {
    const OP: &str = "dot attention backward";
    let x = Extents::new(OP, q, keys, values, lens)?;
    expect_gradients(OP, x, dctx, align)?;
    if let Device::Cuda(cuda) = check::device(OP, q, &[dctx])? {
        return cuda::attention::dot_backward(cuda, x, dctx, q, keys, values, align, lens, scale);
    }
    let mut dq = Tensor::scratch(q.device(), *q.shape());
    let mut dkeys = Tensor::scratch(q.device(), *keys.shape());
    let mut dvalues = Tensor::scratch(q.device(), *values.shape());
    {
        let (mut dq, mut dkeys, mut dvalues) = (dq.fresh_mut(), dkeys.fresh_mut(), dvalues.fresh_mut());
        let dq = x.by_sentence(dq.cpu_mut(), x.h).into_iter();
        let dkeys = x.by_sentence(dkeys.cpu_mut(), x.h).into_iter();
        let dvalues = x.by_sentence(dvalues.cpu_mut(), x.d).into_iter();
        let parts = dq.zip(dkeys).zip(dvalues).collect();
        x.for_sentences(parts, |b, ((dq, dkeys), dvalues)| {
            let len = x.len(b);
            let mut dscores = scores_backward(x, b, dctx, values, align, dvalues);
            dscores.iter_mut().for_each(|d| *d *= scale);
            let (q, keys) = (x.queries(q, b, x.h), x.memory(keys, b, x.h));
            for (dscore, dq) in dscores.chunks_exact(len).zip(dq) {
                weighted_sum(dscore, &keys.data, keys.pitch, dq);
            }
            let mut weights = vec![0.0; x.t];
            for (s, dkey) in dkeys.into_iter().enumerate() {
                if s < len {
                    weights.iter_mut().enumerate().for_each(|(t, w)| *w = dscores[t * len + s]);
                    weighted_sum(&weights, &q.data, q.pitch, dkey);
                } else {
                    dkey.fill(0.0);
                }
            }
        });
    }
    Ok((dq, dkeys, dvalues))
}
