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
/// query q: `[T,B,H]`, encoder states: `[S,B,D]` → context: `[T,B,D]` and alignment: `[T,B,S]`:
/// align = softmax over the S steps within a row's length of score(q, key), context = Σₛ alignₛ · stateₛ.
///
/// | kind | parameters | needs |
/// |---|---|---|
/// | dot, scaled-dot | none | H = D |
/// | general | `weight` `[H,D]` | |
/// | additive | `query.weight` `[A,H]`, `key.weight` `[A,D]`, `v` `[A]` | |
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
    /// What queries are compared with: `[S,B,H]` for the dot kinds, `[S,B,A]` for additive.
    pub keys: Var,
    /// What contexts are made of: `[S,B,D]`.
    pub values: Var,
    /// Length of each row: `[B]`.
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

    /// Prepares encoder states `[S,B,D]` with lengths `[B]`: whatever does not depend on the query is computed here, once.
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

    /// Attends from all queries `[T,B,H]` at once; returns the context `[T,B,D]` and the alignment `[T,B,S]`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Params, ParamsBuilder};
    use seqweave_tensor::Device;
    use seqweave_testkit::wave;

    const KINDS: [AttentionKind; 4] =
        [AttentionKind::Dot, AttentionKind::ScaledDot, AttentionKind::General, AttentionKind::Additive];

    fn layer(kind: AttentionKind) -> (Attention, Params) {
        let mut builder = ParamsBuilder::new();
        let attention = Attention::new(&mut builder.root(), kind, 4, 4, 5).unwrap();
        (attention, builder.build(&Device::cpu(), 1).unwrap())
    }

    fn input(t: usize, b: usize, phase: f64) -> Var {
        let values = wave(t * b * 4, 0.7, phase).into_iter().map(|x| x as Float).collect();
        Var::constant(Tensor::from_vec(&Device::cpu(), values, [t, b, 4]).unwrap())
    }

    #[test]
    fn step_by_step_equals_all_steps_at_once_bit_for_bit() {
        for kind in KINDS {
            let (attention, params) = layer(kind);
            let (cx, q) = (Ctx::infer(&params), input(3, 2, 0.1));
            let memory = attention.memory(&cx, &input(6, 2, 0.9), &Ids::list(vec![6, 2])).unwrap();
            let (context, align) = attention.attend(&cx, &q, &memory).unwrap();
            for t in 0..3 {
                let (c, a) = attention.attend(&cx, &ag::rows(&q, t, t + 1).unwrap(), &memory).unwrap();
                assert_eq!(c.value().to_vec(), context.value().step(t).unwrap().to_vec(), "{kind:?}");
                assert_eq!(a.to_vec(), align.step(t).unwrap().to_vec(), "{kind:?}");
            }
        }
    }

    #[test]
    fn padding_of_the_source_changes_nothing() {
        for kind in KINDS {
            let (attention, params) = layer(kind);
            let (cx, q, states) = (Ctx::infer(&params), input(3, 1, 0.1), input(6, 1, 0.9));
            let short = ag::rows(&states, 0, 4).unwrap();
            let lens = Ids::list(vec![4]);
            let run =
                |states| attention.attend(&cx, &q, &attention.memory(&cx, states, &lens).unwrap()).unwrap().0;
            assert_eq!(run(&states).value().to_vec(), run(&short).value().to_vec(), "{kind:?}");
        }
    }

    #[test]
    fn parameters_by_kind() {
        let names = |kind| layer(kind).1.iter().map(|(n, s, _)| format!("{n} {s}")).collect::<Vec<_>>();
        assert!(names(AttentionKind::Dot).is_empty() && names(AttentionKind::None).is_empty());
        assert_eq!(names(AttentionKind::General), ["weight [4, 4]"]);
        assert_eq!(names(AttentionKind::Additive), ["query.weight [5, 4]", "key.weight [5, 4]", "v [5]"]);
    }

    #[test]
    fn errors_name_the_way_out() {
        let new = |kind| Attention::new(&mut ParamsBuilder::new().root(), kind, 4, 6, 5);
        let message = new(AttentionKind::Dot).unwrap_err().to_string();
        assert!(message.contains("\"general\"") && message.contains("4 and 6"), "{message}");
        assert!(new(AttentionKind::General).is_ok());
        let (none, params) = layer(AttentionKind::None);
        let cx = Ctx::infer(&params);
        let memory = none.memory(&cx, &input(2, 1, 0.0), &Ids::list(vec![2])).unwrap();
        assert!(matches!(none.attend(&cx, &input(1, 1, 0.0), &memory), Err(Error::NoAttention)));
    }
}
