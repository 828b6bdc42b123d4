//! Rules of sums.

use crate::{Result, Var, record};
use seqweave_tensor::{Float, Tensor, ops};

/// y = Σ x over all elements: `[..]` → `[1]`. dx = dy everywhere.
pub fn sum(x: &Var) -> Result<Var> {
    let (device, shape) = (x.value().device().clone(), *x.shape());
    record(ops::sum(x.value())?, [x], move |dy, [x], g| g.give(x, Tensor::full(&device, shape, dy.item()?)))
}

/// y = Σ x / n over all n elements: `[..]` → `[1]`. dx = dy / n everywhere.
pub fn mean(x: &Var) -> Result<Var> {
    let (device, shape) = (x.value().device().clone(), *x.shape());
    record(ops::mean(x.value())?, [x], move |dy, [x], g| {
        g.give(x, Tensor::full(&device, shape, dy.item()? / shape.numel() as Float))
    })
}
