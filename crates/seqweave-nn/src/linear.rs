//! The affine layer.

use crate::{Ctx, Init, ParamId, Result, Scope};
use seqweave_autograd::Var;

/// y = x·Wᵀ + b, with x: `[..,K]`, W: `[M,K]`, b: `[M]`, y: `[..,M]`.
///
/// Parameters `weight` (Xavier uniform) and `bias` (zeros), laid out as in PyTorch.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// W: `[M,K]`.
    pub weight: ParamId,
    /// b: `[M]`.
    pub bias: Option<ParamId>,
}

impl Linear {
    /// A layer from `inputs` to `outputs` features.
    pub fn new(scope: &mut Scope<'_>, inputs: usize, outputs: usize) -> Self {
        let weight = scope.param("weight", [outputs, inputs], Init::XavierUniform);
        Self { weight, bias: Some(scope.param("bias", [outputs], Init::Zeros)) }
    }

    /// A layer from `inputs` to `outputs` features without a bias.
    pub fn without_bias(scope: &mut Scope<'_>, inputs: usize, outputs: usize) -> Self {
        Self { weight: scope.param("weight", [outputs, inputs], Init::XavierUniform), bias: None }
    }

    /// x: `[..,K]` → y: `[..,M]`.
    ///
    /// # Errors
    /// A tensor error if the last axis of `x` is not K.
    pub fn forward(&self, cx: &Ctx<'_>, x: &Var) -> Result<Var> {
        let bias = self.bias.map(|b| cx.param(b)).transpose()?;
        cx.linear(x, self.weight, bias.as_ref())
    }
}
