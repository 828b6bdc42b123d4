//! Rules of the recurrent layers: one node for a whole sequence.

use crate::{Result, Var, record_many};
use seqweave_tensor::Ids;
use seqweave_tensor::ops::{self, Direction};

/// Long short-term memory over a whole sequence.
///
/// xp: `[T,B,4H]` (input projection with both biases, gate order i,f,g,o), w_hh: `[4H,H]`, h0, c0: `[B,H]`, lens: `[B]`
/// → (y: `[T,B,H]`, h_n, c_n: `[B,H]`). Beyond the length of a row its state is copied and its output is zero.
/// (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.)
pub fn lstm(
    xp: &Var,
    w_hh: &Var,
    h0: &Var,
    c0: &Var,
    lens: Option<&Ids>,
    dir: Direction,
) -> Result<(Var, Var, Var)> {
    let w = w_hh.weight()?;
    let (y, h_n, c_n, saved) = ops::lstm_forward(xp.value(), &w, h0.value(), c0.value(), lens, dir)?;
    let [y, h_n, c_n] =
        record_many([y, h_n, c_n], [xp, w_hh, h0, c0], move |[dy, dh, dc], [xp, w_hh, h0, c0], g| {
            let grads = ops::lstm_backward(dy.as_ref(), dh.as_ref(), dc.as_ref(), &saved, &w)?;
            g.give(xp, grads.dxp.clone())?;
            g.accumulate_product(w_hh, grads.dxp, grads.h_before)?;
            g.give(h0, grads.dh0)?;
            g.give(c0, grads.dc0)
        })?;
    Ok((y, h_n, c_n))
}

/// Gated recurrent unit over a whole sequence.
///
/// xp: `[T,B,3H]` (input projection with the input bias, gate order r,z,n), w_hh: `[3H,H]`, b_hh: `[3H]`, h0: `[B,H]`, lens: `[B]`
/// → (y: `[T,B,H]`, h_n: `[B,H]`). The candidate is n = tanh(xₙ + r ∘ (W·h + b)), as in PyTorch.
/// (Cho et al. 2014, "Learning phrase representations using RNN encoder–decoder", section 2.3.)
pub fn gru(
    xp: &Var,
    w_hh: &Var,
    b_hh: &Var,
    h0: &Var,
    lens: Option<&Ids>,
    dir: Direction,
) -> Result<(Var, Var)> {
    let w = w_hh.weight()?;
    let (y, h_n, saved) = ops::gru_forward(xp.value(), &w, b_hh.value(), h0.value(), lens, dir)?;
    let [y, h_n] = record_many([y, h_n], [xp, w_hh, b_hh, h0], move |[dy, dh], [xp, w_hh, b_hh, h0], g| {
        let grads = ops::gru_backward(dy.as_ref(), dh.as_ref(), &saved, &w)?;
        g.give(xp, grads.dxp)?;
        g.accumulate_product(w_hh, grads.dp, grads.h_before)?;
        g.give(b_hh, grads.db_hh)?;
        g.give(h0, grads.dh0)
    })?;
    Ok((y, h_n))
}

/// Simple (Elman) recurrent layer with tanh over a whole sequence.
///
/// xp: `[T,B,H]` (input projection with both biases), w_hh: `[H,H]`, h0: `[B,H]`, lens: `[B]` → (y: `[T,B,H]`, h_n: `[B,H]`).
/// (Elman 1990, "Finding structure in time".)
pub fn rnn(xp: &Var, w_hh: &Var, h0: &Var, lens: Option<&Ids>, dir: Direction) -> Result<(Var, Var)> {
    let w = w_hh.weight()?;
    let (y, h_n, saved) = ops::rnn_forward(xp.value(), &w, h0.value(), lens, dir)?;
    let [y, h_n] = record_many([y, h_n], [xp, w_hh, h0], move |[dy, dh], [xp, w_hh, h0], g| {
        let grads = ops::rnn_backward(dy.as_ref(), dh.as_ref(), &saved, &w)?;
        g.give(xp, grads.dxp.clone())?;
        g.accumulate_product(w_hh, grads.dxp, grads.h_before)?;
        g.give(h0, grads.dh0)
    })?;
    Ok((y, h_n))
}
