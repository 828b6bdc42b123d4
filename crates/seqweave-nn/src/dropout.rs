//! Dropout at one place of a model.

use crate::{Ctx, ParamId, Result};
use schemars::JsonSchema;
use seqweave_autograd::{self as ag, Var};
use seqweave_tensor::Float;
use serde::{Deserialize, Serialize};

/// What a dropout mask is drawn for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DropoutKind {
    /// Every unit at every time step. (Zaremba, Sutskever and Vinyals 2014, "Recurrent neural network regularization".)
    #[default]
    Step,
    /// Every unit of a sentence, once for all of its time steps. (Gal and Ghahramani 2016, "A theoretically grounded
    /// application of dropout in recurrent neural networks", section 4; on what goes into and comes out of a layer, not on
    /// its own state from step to step.)
    Variational,
}

/// Dropout of `[T,B,F]` in front of one weight matrix.
///
/// `step`: `y[t,b,f] = x[t,b,f]·m[t,b,f]`; `variational`: `y[t,b,f] = x[t,b,f]·m[b,f]`, with `m` 0 with probability p and
/// 1/(1-p) otherwise.
///
/// A decoder that steps through time must meet the same variational mask at every step. So the mask depends on the matrix
/// that reads it, `site`, and not on how many masks the pass has drawn before.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Probability of dropping, in [0, 1).
    pub p: Float,
    /// What a mask is drawn for.
    pub kind: DropoutKind,
    /// The matrix that reads the result.
    pub site: ParamId,
}

impl Dropout {
    /// x: `[T,B,F]` → y: `[T,B,F]`; the identity in a pass without a dropout stream, and for p = 0.
    ///
    /// # Errors
    /// A tensor error if p is outside [0, 1), or x has no axis of time.
    pub fn forward(&self, cx: &Ctx<'_>, x: &Var) -> Result<Var> {
        /// Masks that are counted never reach numbers so high.
        const SITES: u32 = 1 << 31;
        match (self.kind, cx.dropout_key()) {
            (DropoutKind::Step, _) => cx.dropout(x, self.p),
            (DropoutKind::Variational, Some(key)) if self.p != 0.0 => {
                Ok(ag::dropout_steps(x, self.p, key, SITES | self.site.index() as u32)?)
            }
            _ => Ok(x.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, ParamsBuilder};
    use seqweave_autograd::Tape;
    use seqweave_tensor::{Device, Philox, Tensor};

    const KEY: Philox = Philox { seed: 11, step: 3 };
    const T: usize = 4;
    const B: usize = 3;
    const F: usize = 5;

    /// What is left of ones `[T,B,F]` under p = 0.4 at the n-th of two parameters, in parts of so many steps.
    fn kept(kind: DropoutKind, n: usize, parts: &[usize], key: Option<Philox>) -> Vec<Float> {
        let mut builder = ParamsBuilder::new();
        let sites = ["a", "b"].map(|name| builder.root().param(name, [1], Init::Zeros));
        let params = builder.build(&Device::cpu(), 0).unwrap();
        let cx = Ctx::train(&params, Tape::new(), key);
        let dropout = Dropout { p: 0.4, kind, site: sites[n] };
        let part = |&steps: &usize| {
            let x = Var::constant(Tensor::full(&Device::cpu(), [steps, B, F], 1.0));
            dropout.forward(&cx, &x).unwrap().value().to_vec()
        };
        parts.iter().flat_map(part).collect()
    }

    #[test]
    fn a_variational_mask_follows_its_formula_at_every_step() {
        let keep = 1.0 / (1.0 - 0.4);
        for n in [0, 1] {
            let op = (1 << 31) | n as u32;
            let element = |i| if KEY.uniform(op, i % (B * F) as u64) as Float >= 0.4 { keep } else { 0.0 };
            let want: Vec<Float> = (0..(T * B * F) as u64).map(element).collect();
            let whole = kept(DropoutKind::Variational, n, &[T], Some(KEY));
            assert_eq!(whole, want, "site {n}");
            assert_eq!(kept(DropoutKind::Variational, n, &[1; T], Some(KEY)), want, "step by step, site {n}");
        }
    }

    #[test]
    fn sites_steps_and_kinds_have_their_own_masks() {
        let mask = |kind, n, step| kept(kind, n, &[T], Some(Philox { step, ..KEY }));
        let (variational, step) = (DropoutKind::Variational, DropoutKind::Step);
        let base = mask(variational, 0, 1);
        for other in [mask(variational, 1, 1), mask(variational, 0, 2), mask(step, 0, 1)] {
            assert_ne!(other, base);
        }
        let by_step = mask(step, 0, 1);
        assert_ne!(by_step[..B * F], by_step[B * F..2 * B * F]);
        for kind in [variational, step] {
            assert_eq!(kept(kind, 0, &[T], None), [1.0; T * B * F], "without a stream nothing is dropped");
        }
    }
}
