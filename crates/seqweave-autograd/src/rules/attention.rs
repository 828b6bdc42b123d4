//! Rules of attention: all target steps at once.

use crate::{Result, Var, record};
use seqweave_tensor::{Float, Ids, Tensor, ops};

/// Dot-product attention over a source-major memory.
///
/// q: `[T,B,H]`, keys: `[S,B,H]`, values: `[S,B,D]`, lens: `[B]` → (context: `[T,B,D]`, alignment: `[T,B,S]`).
/// align = softmax over s < len of scale·q·keyₛ, context = Σₛ alignₛ·valueₛ; no gradient flows through the returned
/// alignment. (Luong et al. 2015, "Effective approaches to attention-based neural machine translation", section 3.1.)
pub fn dot_attention(q: &Var, keys: &Var, values: &Var, lens: &Ids, scale: Float) -> Result<(Var, Tensor)> {
    let (qv, kv, vv, lens) = (q.value().clone(), keys.value().clone(), values.value().clone(), lens.clone());
    let (ctx, align) = ops::dot_attention(&qv, &kv, &vv, &lens, scale)?;
    let saved = align.clone();
    let ctx = record(ctx, [q, keys, values], move |dctx, [q, keys, values], g| {
        let (dq, dk, dv) = ops::dot_attention_backward(&dctx, &qv, &kv, &vv, &saved, &lens, scale)?;
        g.give(q, dq)?;
        g.give(keys, dk)?;
        g.give(values, dv)
    })?;
    Ok((ctx, align))
}

/// Additive attention over a source-major memory.
///
/// qp: `[T,B,A]` and kp: `[S,B,A]` are the projected query and keys, v: `[A]`, values: `[S,B,D]`, lens: `[B]`
/// → (context: `[T,B,D]`, alignment: `[T,B,S]`). score = vᵀ·tanh(qp + kpₛ).
/// (Bahdanau, Cho and Bengio 2015, "Neural machine translation by jointly learning to align and translate", A.1.2.)
pub fn additive_attention(qp: &Var, kp: &Var, v: &Var, values: &Var, lens: &Ids) -> Result<(Var, Tensor)> {
    let [qv, kv, wv, vv] = [qp, kp, v, values].map(|x| x.value().clone());
    let lens = lens.clone();
    let (ctx, align) = ops::additive_attention(&qv, &kv, &wv, &vv, &lens)?;
    let saved = align.clone();
    let ctx = record(ctx, [qp, kp, v, values], move |dctx, [qp, kp, v, values], g| {
        let (dqp, dkp, dv, dvalues) =
            ops::additive_attention_backward(&dctx, &qv, &kv, &wv, &vv, &saved, &lens)?;
        g.give(qp, dqp)?;
        g.give(kp, dkp)?;
        g.give(v, dv)?;
        g.give(values, dvalues)
    })?;
    Ok((ctx, align))
}
