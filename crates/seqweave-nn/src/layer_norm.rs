//! Layer normalisation.

use crate::{Ctx, Init, ParamId, Result, Scope};
use seqweave_autograd::{self as ag, Var};
use seqweave_tensor::Float;

/// y = γ ∘ (x − mean) / √(var + eps) + β over the last axis, with x, y: `[..,C]`, γ, β: `[C]`.
///
/// Parameters `weight` (γ, ones) and `bias` (β, zeros).
/// (Ba, Kiros and Hinton 2016, "Layer normalization", section 3.)
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// γ: `[C]`.
    pub weight: ParamId,
    /// β: `[C]`.
    pub bias: ParamId,
    /// Added to the variance; 1e-5 as in PyTorch.
    pub eps: Float,
}

impl LayerNorm {
    /// A layer over `features` columns.
    pub fn new(scope: &mut Scope<'_>, features: usize) -> Self {
        let weight = scope.param("weight", [features], Init::Ones);
        Self { weight, bias: scope.param("bias", [features], Init::Zeros), eps: 1e-5 }
    }

    /// x: `[..,C]` → y: `[..,C]`.
    ///
    /// # Errors
    /// A tensor error if the last axis of `x` is not C.
    pub fn forward(&self, cx: &Ctx<'_>, x: &Var) -> Result<Var> {
        Ok(ag::layer_norm(x, &cx.param(self.weight)?, &cx.param(self.bias)?, self.eps)?)
    }
}
