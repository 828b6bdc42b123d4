//! Attention of decoder states over encoder states.

use crate::{Ctx, Error, Init, Linear, ParamId, Result, Scope};
use schemars::JsonSchema;
use seqweave_autograd::{self as ag, Var};
use seqweave_tensor::{Float, Ids, Tensor};
use serde::{Deserialize, Serialize};

/// How a query is scored against a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionKind {
    /// No attention: what the bridge hands over is all the decoder knows of the source.
    None,
    /// qᵀ·k. (Luong et al. 2015, section 3.1, "dot".)
    Dot,
    /// qᵀ·k / √H. (Vaswani et al. 2017, "Attention is all you need", section 3.2.1.)
    ScaledDot,
    /// qᵀ·W·k. (Luong et al. 2015, section 3.1, "general".)
    #[default]
    General,
    /// vᵀ·tanh(W·q + U·k). (Bahdanau, Cho and Bengio 2015, section A.1.2.)
    Additive,
}

/// Attention over the encoder's states.
///
/// query q: [T,B,H], encoder states: [S,B,D] → context: [T,B,D] and alignment: [T,B,S]:
/// align = softmax over the S steps within a row's length of score(q, key), context = Σₛ alignₛ · stateₛ.
///
/// | kind | parameters | needs |
/// |---|---|---|
/// | dot, scaled-dot | none | H = D |
/// | general | `weight` [H,D] | |
/// | additive | `query.weight` [A,H], `key.weight` [A,D], `v` [A] | |
#[derive(Clone, Debug)]
pub struct Attention {
    kind: AttentionKind,
    score: Score,
}

/// The parameters of a score function.
#[derive(Clone, Debug)]
enum Score {
    None,
    Dot { scale: Float },
    General { weight: Linear },
    Additive { query: Linear, key: Linear, v: ParamId },
}

/// What a decoder attends to: a value, made once a batch and read at every step.
#[derive(Clone, Debug)]
pub struct Memory {
    /// What queries are compared with: [S,B,H] for the dot kinds, [S,B,A] for additive.
    pub keys: Var,
    /// What contexts are made of: [S,B,D].
    pub values: Var,
    /// Length of each row: [B].
    pub lens: Ids,
}

impl Attention {
    /// Declares the parameters of an attention of `query` (H) over `states` (D) features; `hidden` (A) is the width of
    /// the additive score and unused by the other kinds.
    ///
    /// # Errors
    /// [`Error::Config`] if a dot kind gets H ≠ D.
    pub fn new(
        scope: &mut Scope<'_>,
        kind: AttentionKind,
        query: usize,
        states: usize,
        hidden: usize,
    ) -> Result<Self> {
        let score = match kind {
            AttentionKind::None => Score::None,
            AttentionKind::Dot | AttentionKind::ScaledDot if query != states => {
                let expected = "\"general\" or \"additive\" where decoder and encoder states differ in size";
                let found = format!("a dot product of {query} and {states} features");
                return Err(Error::Config { field: "attention", expected, found });
            }
            AttentionKind::Dot => Score::Dot { scale: 1.0 },
            AttentionKind::ScaledDot => Score::Dot { scale: 1.0 / (query.max(1) as Float).sqrt() },
            AttentionKind::General => Score::General { weight: Linear::without_bias(scope, states, query) },
            AttentionKind::Additive => Score::Additive {
                query: Linear::without_bias(&mut scope.sub("query"), query, hidden),
                key: Linear::without_bias(&mut scope.sub("key"), states, hidden),
                v: scope.param("v", [hidden], Init::Uniform(1.0 / (hidden.max(1) as Float).sqrt())),
            },
        };
        Ok(Self { kind, score })
    }

    /// How queries are scored.
    pub fn kind(&self) -> AttentionKind {
        self.kind
    }

    /// Prepares encoder states [S,B,D] with lengths [B]: whatever does not depend on the query is computed here, once.
    ///
    /// # Errors
    /// Tensor errors for shapes.
    pub fn memory(&self, cx: &Ctx<'_>, states: &Var, lens: &Ids) -> Result<Memory> {
        let keys = match &self.score {
            Score::None | Score::Dot { .. } => states.clone(),
            Score::General { weight } => weight.forward(cx, states)?,
            Score::Additive { key, .. } => key.forward(cx, states)?,
        };
        Ok(Memory { keys, values: states.clone(), lens: lens.clone() })
    }

    /// Attends from all queries [T,B,H] at once; returns the context [T,B,D] and the alignment [T,B,S].
    ///
    /// No gradient flows through the returned alignment.
    ///
    /// # Errors
    /// [`Error::NoAttention`] for kind `none`, tensor errors for shapes.
    pub fn attend(&self, cx: &Ctx<'_>, q: &Var, memory: &Memory) -> Result<(Var, Tensor)> {
        let Memory { keys, values, lens } = memory;
        Ok(match &self.score {
            Score::None => return Err(Error::NoAttention),
            Score::Dot { scale } => ag::dot_attention(q, keys, values, lens, *scale)?,
            Score::General { .. } => ag::dot_attention(q, keys, values, lens, 1.0)?,
            Score::Additive { query, v, .. } => {
                ag::additive_attention(&query.forward(cx, q)?, keys, &cx.param(*v)?, values, lens)?
            }
        })
    }
}
