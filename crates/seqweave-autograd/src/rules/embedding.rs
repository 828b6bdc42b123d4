//! Rule of the embedding lookup.

use crate::{Result, Var, record};
use seqweave_tensor::{Ids, ops};

/// `y[n] = w[ids[n]]`, with w: `[V,E]`, ids: `[..]`, y: `[..,E]`.
///
/// `dw[v]` is the sum of `dy[n]` over the positions n with `ids[n] = v`, in order of position; the row of `pad` gets no
/// gradient.
pub fn embedding(w: &Var, ids: &Ids, pad: Option<u32>) -> Result<Var> {
    let ids = ids.clone();
    record(ops::embedding(w.value(), &ids)?, [w], move |dy, [w], g| {
        g.accumulate(w, |dw, acc| ops::embedding_backward(&dy, &ids, pad, acc, dw))
    })
}
