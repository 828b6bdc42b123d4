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
    let w = w.for_backward();
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

/// What one direction of [`lstm_both`] takes; as the operands of [`lstm`].
#[derive(Clone, Copy)]
pub struct LstmVars<'a> {
    /// `[T,B,4H]`: the input projection with both biases.
    pub xp: &'a Var,
    /// `[4H,H]`.
    pub w_hh: &'a Var,
    /// `[B,H]`.
    pub h0: &'a Var,
    /// `[B,H]`.
    pub c0: &'a Var,
}

/// [`lstm`] of the same rows forward and in reverse: one node, the same bits, and on a GPU one launch where that can be.
pub fn lstm_both(x: [LstmVars<'_>; 2], lens: Option<&Ids>) -> Result<[(Var, Var, Var); 2]> {
    let w = [x[0].w_hh.weight()?, x[1].w_hh.weight()?];
    let operands = [0, 1].map(|d| ops::LstmOperands {
        xp: x[d].xp.value(),
        w_hh: &w[d],
        h0: x[d].h0.value(),
        c0: x[d].c0.value(),
    });
    let [(y, h, c, saved), (y2, h2, c2, saved2)] = ops::lstm_both_forward(operands, lens)?;
    let w = w.map(|w| w.for_backward());
    let [a, b] = x;
    let inputs = [a.xp, a.w_hh, a.h0, a.c0, b.xp, b.w_hh, b.h0, b.c0];
    let [y, h, c, y2, h2, c2] = record_many([y, h, c, y2, h2, c2], inputs, move |d, inputs, g| {
        let d = d.each_ref().map(Option::as_ref);
        let outputs = [0, 3].map(|i| ops::LstmOutputGrads { dy: d[i], dh_n: d[i + 1], dc_n: d[i + 2] });
        let [w, w2] = &w;
        let [grads, grads2] = ops::lstm_both_backward(outputs, [&saved, &saved2], [w, w2])?;
        let [xp, w_hh, h0, c0, xp2, w_hh2, h02, c02] = inputs;
        // The reverse direction first, as a tape with a node for each would.
        for (grads, [xp, w_hh, h0, c0]) in [(grads2, [xp2, w_hh2, h02, c02]), (grads, [xp, w_hh, h0, c0])] {
            g.give(xp, grads.dxp.clone())?;
            g.accumulate_product(w_hh, grads.dxp, grads.h_before)?;
            g.give(h0, grads.dh0)?;
            g.give(c0, grads.dc0)?;
        }
        Ok(())
    })?;
    Ok([(y, h, c), (y2, h2, c2)])
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
    let w = w.for_backward();
    let [y, h_n] = record_many([y, h_n], [xp, w_hh, b_hh, h0], move |[dy, dh], [xp, w_hh, b_hh, h0], g| {
        let grads = ops::gru_backward(dy.as_ref(), dh.as_ref(), &saved, &w)?;
        g.give(xp, grads.dxp)?;
        g.accumulate_product(w_hh, grads.dp, grads.h_before)?;
        g.give(b_hh, grads.db_hh)?;
        g.give(h0, grads.dh0)
    })?;
    Ok((y, h_n))
}

/// What one direction of [`gru_both`] takes; as the operands of [`gru`].
#[derive(Clone, Copy)]
pub struct GruVars<'a> {
    /// `[T,B,3H]`: the input projection with the input bias.
    pub xp: &'a Var,
    /// `[3H,H]`.
    pub w_hh: &'a Var,
    /// `[3H]`.
    pub b_hh: &'a Var,
    /// `[B,H]`.
    pub h0: &'a Var,
}

/// [`gru`] of the same rows forward and in reverse: one node, the same bits, and on a GPU one launch where that can be.
pub fn gru_both(x: [GruVars<'_>; 2], lens: Option<&Ids>) -> Result<[(Var, Var); 2]> {
    let w = [x[0].w_hh.weight()?, x[1].w_hh.weight()?];
    let operands = [0, 1].map(|d| ops::GruOperands {
        xp: x[d].xp.value(),
        w_hh: &w[d],
        b_hh: x[d].b_hh.value(),
        h0: x[d].h0.value(),
    });
    let [(y, h, saved), (y2, h2, saved2)] = ops::gru_both_forward(operands, lens)?;
    let w = w.map(|w| w.for_backward());
    let [a, b] = x;
    let inputs = [a.xp, a.w_hh, a.b_hh, a.h0, b.xp, b.w_hh, b.b_hh, b.h0];
    let [y, h, y2, h2] = record_many([y, h, y2, h2], inputs, move |d, inputs, g| {
        let [dy, dh, dy2, dh2] = d.each_ref().map(Option::as_ref);
        let [w, w2] = &w;
        let [grads, grads2] = ops::gru_both_backward([dy, dy2], [dh, dh2], [&saved, &saved2], [w, w2])?;
        let [xp, w_hh, b_hh, h0, xp2, w_hh2, b_hh2, h02] = inputs;
        // The reverse direction first, as a tape with a node for each would.
        for (grads, [xp, w_hh, b_hh, h0]) in
            [(grads2, [xp2, w_hh2, b_hh2, h02]), (grads, [xp, w_hh, b_hh, h0])]
        {
            g.give(xp, grads.dxp)?;
            g.accumulate_product(w_hh, grads.dp, grads.h_before)?;
            g.give(b_hh, grads.db_hh)?;
            g.give(h0, grads.dh0)?;
        }
        Ok(())
    })?;
    Ok([(y, h), (y2, h2)])
}

/// Simple (Elman) recurrent layer with tanh over a whole sequence.
///
/// xp: `[T,B,H]` (input projection with both biases), w_hh: `[H,H]`, h0: `[B,H]`, lens: `[B]` → (y: `[T,B,H]`, h_n: `[B,H]`).
/// (Elman 1990, "Finding structure in time".)
pub fn rnn(xp: &Var, w_hh: &Var, h0: &Var, lens: Option<&Ids>, dir: Direction) -> Result<(Var, Var)> {
    let w = w_hh.weight()?;
    let (y, h_n, saved) = ops::rnn_forward(xp.value(), &w, h0.value(), lens, dir)?;
    let w = w.for_backward();
    let [y, h_n] = record_many([y, h_n], [xp, w_hh, h0], move |[dy, dh], [xp, w_hh, h0], g| {
        let grads = ops::rnn_backward(dy.as_ref(), dh.as_ref(), &saved, &w)?;
        g.give(xp, grads.dxp.clone())?;
        g.accumulate_product(w_hh, grads.dxp, grads.h_before)?;
        g.give(h0, grads.dh0)
    })?;
    Ok((y, h_n))
}
