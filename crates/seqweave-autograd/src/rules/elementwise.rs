//! Rules of pointwise operations.

use crate::{Result, Var, record};
use seqweave_tensor::{Float, ops};

/// y = a + b, all of one shape. da = db = dy.
pub fn add(a: &Var, b: &Var) -> Result<Var> {
    record(ops::add(a.value(), b.value())?, [a, b], |dy, [a, b], g| {
        g.give(a, dy.clone())?;
        g.give(b, dy)
    })
}

/// y = a − b, all of one shape. da = dy, db = −dy.
pub fn sub(a: &Var, b: &Var) -> Result<Var> {
    record(ops::sub(a.value(), b.value())?, [a, b], |dy, [a, b], g| {
        if g.wants(b) {
            g.give(b, ops::scale(&dy, -1.0)?)?;
        }
        g.give(a, dy)
    })
}

/// y = a ∘ b (element by element), all of one shape. da = dy ∘ b, db = dy ∘ a.
pub fn mul(a: &Var, b: &Var) -> Result<Var> {
    let (av, bv) = (a.value().clone(), b.value().clone());
    record(ops::mul(&av, &bv)?, [a, b], move |dy, [a, b], g| {
        g.accumulate(a, |da, acc| ops::mul_into(&dy, &bv, acc, da))?;
        g.accumulate(b, |db, acc| ops::mul_into(&dy, &av, acc, db))
    })
}

/// y = x + b in every row, with x: `[..,C]`, b: `[C]`. dx = dy, db = column sums of dy.
pub fn add_bias(x: &Var, b: &Var) -> Result<Var> {
    record(ops::add_bias(x.value(), b.value())?, [x, b], |dy, [x, b], g| {
        g.accumulate(b, |db, acc| ops::bias_backward(&dy, acc, db))?;
        g.give(x, dy)
    })
}

/// y = s·x. dx = s·dy.
pub fn scale(x: &Var, s: Float) -> Result<Var> {
    record(ops::scale(x.value(), s)?, [x], move |dy, [x], g| g.give(x, ops::scale(&dy, s)?))
}

/// y = tanh(x). dx = (1 − y²) ∘ dy.
pub fn tanh(x: &Var) -> Result<Var> {
    let y = ops::tanh(x.value())?;
    record(y.clone(), [x], move |dy, [x], g| g.accumulate(x, |dx, acc| ops::tanh_backward(&y, &dy, acc, dx)))
}

/// y = 1 / (1 + e⁻ˣ). dx = y ∘ (1 − y) ∘ dy.
pub fn sigmoid(x: &Var) -> Result<Var> {
    let y = ops::sigmoid(x.value())?;
    record(y.clone(), [x], move |dy, [x], g| {
        g.accumulate(x, |dx, acc| ops::sigmoid_backward(&y, &dy, acc, dx))
    })
}

/// y = max(x, 0). dx = dy where y > 0, else 0.
pub fn relu(x: &Var) -> Result<Var> {
    let y = ops::relu(x.value())?;
    record(y.clone(), [x], move |dy, [x], g| g.accumulate(x, |dx, acc| ops::relu_backward(&y, &dy, acc, dx)))
}
