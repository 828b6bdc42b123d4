//! Rule of dropout.

use crate::{Result, Var, record};
use seqweave_tensor::{Float, Philox, ops};

/// y = x / (1 − p) where element and key say keep, else 0; dx is the same function of dy.
///
/// The mask is a function of (seed, step, `op`, position) and is never stored, so two calls in one step must differ in
/// `op`. (Srivastava et al. 2014, "Dropout", section 10, with the scaling at training time.)
pub fn dropout(x: &Var, p: Float, key: Philox, op: u32) -> Result<Var> {
    record(ops::dropout(x.value(), p, key, op)?, [x], move |dy, [x], g| {
        g.give(x, ops::dropout(&dy, p, key, op)?)
    })
}

/// [`dropout`] of x: `[T,..]` with one mask for all steps: `y[t] = x[t] ∘ m`. dx is the same function of dy.
///
/// (Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural networks", section 4.)
pub fn dropout_steps(x: &Var, p: Float, key: Philox, op: u32) -> Result<Var> {
    record(ops::dropout_steps(x.value(), p, key, op)?, [x], move |dy, [x], g| {
        g.give(x, ops::dropout_steps(&dy, p, key, op)?)
    })
}
