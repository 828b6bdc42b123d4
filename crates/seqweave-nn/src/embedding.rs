//! The table of token vectors.

use crate::{Ctx, Init, ParamId, Result, Scope};
use seqweave_autograd::{self as ag, Var};
use seqweave_tensor::{Float, Ids};

/// `y = W[ids]`, with W: `[V,E]`, ids: `[..]`, y: `[..,E]`.
///
/// Parameter `weight`, drawn normal with standard deviation 1/√E, so that the same matrix can serve as the output
/// projection (Press and Wolf 2017, "Using the output embedding to improve language models").
#[derive(Clone, Copy, Debug)]
pub struct Embedding {
    /// W: `[V,E]`.
    pub weight: ParamId,
    /// The id whose row gets no gradient.
    pub pad: Option<u32>,
}

impl Embedding {
    /// A table of `vocab` rows of `dim` features; the row of `pad` is never trained.
    pub fn new(scope: &mut Scope<'_>, vocab: usize, dim: usize, pad: Option<u32>) -> Self {
        let std = 1.0 / (dim.max(1) as Float).sqrt();
        Self { weight: scope.param("weight", [vocab, dim], Init::Normal(std)), pad }
    }

    /// ids: `[..]` → y: `[..,E]`.
    ///
    /// # Errors
    /// A tensor error that names the position of an id outside the table.
    pub fn forward(&self, cx: &Ctx<'_>, ids: &Ids) -> Result<Var> {
        Ok(ag::embedding(&cx.param(self.weight)?, ids, self.pad)?)
    }
}
