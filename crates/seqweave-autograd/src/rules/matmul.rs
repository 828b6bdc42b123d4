//! Rules of matrix products.

use crate::{Result, Var, record};
use seqweave_tensor::Trans::{N, T};
use seqweave_tensor::ops;

/// y = x·w, with x: `[..,K]`, w: `[K,M]`, y: `[..,M]`.
///
/// dx = dy·wᵀ, dw = xᵀ·dy.
pub fn matmul(x: &Var, w: &Var) -> Result<Var> {
    let (xv, wv) = (x.value().clone(), w.value().clone());
    record(ops::matmul(&xv, N, &wv, N)?, [x, w], move |dy, [x, w], g| {
        g.accumulate(x, |dx, acc| ops::gemm(&dy, N, &wv, T, acc, dx))?;
        g.accumulate(w, |dw, acc| ops::gemm(&xv, T, &dy, N, acc, dw))
    })
}

/// y = x·wᵀ + b, with x: `[..,K]`, w: `[M,K]`, b: `[M]`, y: `[..,M]`; the layout of a PyTorch `Linear`.
///
/// dx = dy·w, dw = dyᵀ·x, db = column sums of dy.
pub fn linear(x: &Var, w: &Var, b: Option<&Var>) -> Result<Var> {
    let (xv, weight) = (x.value().clone(), w.weight()?);
    let y = ops::linear_packed(&xv, weight.transposed(), b.map(Var::value))?;
    let weight = weight.for_backward();
    record(y, [Some(x), Some(w), b], move |dy, [x, w, b], g| {
        g.accumulate(x, |dx, acc| ops::gemm_packed(&dy, weight.plain(), acc, dx))?;
        g.accumulate(b, |db, acc| ops::bias_backward(&dy, acc, db))?;
        g.accumulate_product(w, dy, xv)
    })
}
