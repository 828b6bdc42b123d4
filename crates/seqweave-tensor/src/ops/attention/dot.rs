//! Dot-product attention: Luong et al. 2015, section 3.1 (dot; general, when the caller has multiplied the keys), and
//! with `scale = 1/√H` Vaswani et al. 2017, section 3.2.1.

use super::kernels::{RowsMut, dots, weighted_sum};
use super::{Extents, attend, expect_gradients, memory_backward, scores_backward};
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
        dots(query, keys.data, keys.pitch, scores);
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
        let dq = RowsMut::new(dq.cpu_mut(), x.b, x.h);
        let dkeys = RowsMut::new(dkeys.cpu_mut(), x.b, x.h);
        let dvalues = RowsMut::new(dvalues.cpu_mut(), x.b, x.d);
        x.for_sentences(|b, room| {
            let mut room = &mut *room; // for no longer than the operands are there
            let len = x.len(b);
            let dscores = scores_backward(x, b, [dctx, values, align], &dvalues, &mut room);
            dscores.iter_mut().for_each(|d| *d *= scale);
            let (q, keys) = (x.queries(q, b, x.h, &mut room), x.memory(keys, b, x.h, &mut room));
            for (t, dscore) in dscores.chunks_exact(len).enumerate() {
                // SAFETY: this task alone writes the rows of sentence `b`, and each once.
                weighted_sum(dscore, keys.data, keys.pitch, unsafe { dq.row(t, b) });
            }
            memory_backward(x, b, |t, s| dscores[t * len + s], q, &dkeys, room);
        });
    }
    Ok((dq, dkeys, dvalues))
}
