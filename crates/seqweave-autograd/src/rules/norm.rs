//! Rule of layer normalisation.

use crate::{Result, Var, record};
use seqweave_tensor::{Float, ops};

/// y = γ ∘ (x − mean) / √(var + eps) + β along the last axis, with x: `[..,C]`, γ, β: `[C]`.
///
/// (Ba, Kiros and Hinton 2016, "Layer normalization", section 3.)
pub fn layer_norm(x: &Var, gamma: &Var, beta: &Var, eps: Float) -> Result<Var> {
    let (xv, gv) = (x.value().clone(), gamma.value().clone());
    let (y, saved) = ops::layer_norm(&xv, &gv, beta.value(), eps)?;
    record(y, [x, gamma, beta], move |dy, [x, gamma, beta], g| {
        let (dx, dgamma, dbeta) = ops::layer_norm_backward(&dy, &xv, &gv, &saved)?;
        g.give(x, dx)?;
        g.give(gamma, dgamma)?;
        g.give(beta, dbeta)
    })
}
