//! The output layer: from attentional states to a logit per target token.

use seqweave_autograd::{self as ag, CrossEntropyStats, Var};
use seqweave_nn::{Ctx, Embedding, Init, Linear, ParamId, Scope};
use seqweave_tensor::{Float, Ids};

use crate::{ModelConfig, PAD, Result, Tie};

/// `logits = W_o·s + b`, with `s` the attentional state of H units and `W_o` `[V,H]`.
///
/// Tied (Press & Wolf 2017), `W_o` is the target embedding `[V,E]`. Where E and H differ a learned projection comes
/// first, `logits = E_tgt·(P·s) + b` with `P` `[E,H]`, so that tying never forces the two sizes to agree.
pub struct Output {
    project: Option<Linear>,
    weight: ParamId,
    bias: ParamId,
}

impl Output {
    /// Parameters under `scope`: `weight` unless tied, `project.weight` if tied and E ≠ H, and `bias`.
    pub(crate) fn new(
        config: &ModelConfig,
        tgt_vocab: usize,
        target: &Embedding,
        scope: &mut Scope<'_>,
    ) -> Self {
        let (e, h) = (config.emb, config.hidden);
        let (project, weight) = match config.tie {
            Tie::None => (None, scope.param("weight", [tgt_vocab, h], Init::XavierUniform)),
            Tie::Softmax | Tie::All if e == h => (None, target.weight),
            Tie::Softmax | Tie::All => {
                (Some(Linear::without_bias(&mut scope.sub("project"), h, e)), target.weight)
            }
        };
        Self { project, weight, bias: scope.param("bias", [tgt_vocab], Init::Zeros) }
    }

    /// Logits `[..,V]` of attentional states `[..,H]`.
    pub fn logits(&self, cx: &Ctx<'_>, states: &Var) -> Result<Var> {
        let bias = cx.param(self.bias)?;
        Ok(cx.linear(&self.projected(cx, states)?, self.weight, Some(&bias))?)
    }

    /// `scale · Σ cross-entropy` of attentional states `[N,H]` over the rows whose target, of `[N]`, is not padding. The
    /// logits are never there as a whole.
    pub(crate) fn loss(
        &self,
        cx: &Ctx<'_>,
        states: &Var,
        targets: &Ids,
        smoothing: Float,
        scale: Float,
    ) -> Result<(Var, CrossEntropyStats)> {
        let (weight, bias) = (cx.param(self.weight)?, cx.param(self.bias)?);
        let states = self.projected(cx, states)?;
        Ok(ag::linear_cross_entropy(&states, &weight, Some(&bias), targets, PAD, smoothing, scale)?)
    }

    /// The states as the weight takes them.
    fn projected(&self, cx: &Ctx<'_>, states: &Var) -> Result<Var> {
        match &self.project {
            Some(project) => Ok(project.forward(cx, states)?),
            None => Ok(states.clone()),
        }
    }
}
