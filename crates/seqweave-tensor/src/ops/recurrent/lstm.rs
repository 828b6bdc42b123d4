//! Long short-term memory: the cell of Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, as in
//! PyTorch's `nn.LSTM` (gate order i, f, g, o).
//!
//! ```text
//! [i f g o] = xp_t + h_{t-1}·w_hhᵀ       i, f, o through σ, g through tanh
//! c_t = f ⊙ c_{t-1} + i ⊙ g
//! h_t = o ⊙ tanh(c_t)
//! ```

use super::{Direction, Steps, add_to, blocks, blocks_mut};
use crate::math::{sigmoid, simd, tanh};
use crate::ops::{PackedRhs, Weight, check};
use crate::{Device, Float, Ids, Result, Tensor, cuda, parallel};

const OP: &str = "lstm";

/// What [`lstm_backward`] needs of the forward pass.
#[derive(Clone, Debug)]
pub struct LstmSaved {
    steps: Steps,
    /// Activated gates, `[T,B,4H]`; padded rows hold nothing.
    gates: Tensor,
    /// Hidden states in `T + 1` slots.
    h: Tensor,
    /// Cell states in `T + 1` slots.
    c: Tensor,
}

/// Gradients of [`lstm_forward`] with respect to its operands.
#[derive(Clone, Debug)]
pub struct LstmGrads {
    /// `[T,B,4H]`; exactly zero where a row is padded.
    pub dxp: Tensor,
    /// `[T,B,H]`: the state before each step, the other factor of the gradient of `w_hh`: `dw_hh = dxpᵀ·h_before`,
    /// `[4H,H]`. The product is left to the caller, because a decoder that steps makes one of many steps.
    pub h_before: Tensor,
    /// `[B,H]`.
    pub dh0: Tensor,
    /// `[B,H]`.
    pub dc0: Tensor,
}

/// LSTM over a whole sequence: `xp: [T,B,4H]`, `w_hh: [4H,H]`, `h0, c0: [B,H]` → `(y: [T,B,H], h_n, c_n: [B,H], saved)`.
///
/// `xp = x·W_ihᵀ + b_ih + b_hh`. With `lens: [B]`, row `b` has `lens[b]` steps; beyond them its state is copied, its output
/// is zero and `xp` is not read.
///
/// # Errors
/// [`Error::Rank`](crate::Error::Rank) or [`Error::Shape`](crate::Error::Shape) if the operands do not fit or an extent
/// is zero, [`Error::Value`](crate::Error::Value) if a length is not in `1..=T`.
pub fn lstm_forward(
    xp: &Tensor,
    w_hh: &Weight,
    h0: &Tensor,
    c0: &Tensor,
    lens: Option<&Ids>,
    direction: Direction,
) -> Result<(Tensor, Tensor, Tensor, LstmSaved)> {
    let (steps, gates, h, c) = walk(xp, w_hh.transposed(), h0, c0, lens, direction, true)?;
    let (y, h_n, c_n) = (steps.outputs(&h)?, steps.last(&h)?, steps.last(&c)?);
    Ok((y, h_n, c_n, LstmSaved { steps, gates, h, c }))
}

/// [`lstm_forward`] without a backward pass: nothing is saved.
///
/// Gives `(y, h_n, c_n)`, the same bits as [`lstm_forward`].
///
/// # Errors
/// As [`lstm_forward`].
pub fn lstm_infer(
    xp: &Tensor,
    w_hh: &Weight,
    h0: &Tensor,
    c0: &Tensor,
    lens: Option<&Ids>,
    direction: Direction,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (steps, _, h, c) = walk(xp, w_hh.transposed(), h0, c0, lens, direction, false)?;
    Ok((steps.outputs(&h)?, steps.last(&h)?, steps.last(&c)?))
}

/// The walk over time: gives the gates, of all steps if they are to be saved, and the slots of hidden and cell states.
fn walk(
    xp: &Tensor,
    w: &PackedRhs,
    h0: &Tensor,
    c0: &Tensor,
    lens: Option<&Ids>,
    direction: Direction,
    save: bool,
) -> Result<(Steps, Tensor, Tensor, Tensor)> {
    let steps = Steps::new(OP, 4, xp, w, h0, lens, direction)?;
    check::shape(OP, "c0", [steps.b, steps.h], c0.shape())?;
    check::device(OP, xp, &[c0])?;
    let (device, h) = (xp.device(), steps.h);
    let mut gates = Tensor::scratch(device, [if save { steps.t } else { 1 }, steps.b, 4 * h]);
    let mut hidden = steps.states(device, h0)?;
    let mut cells = steps.states(device, c0)?;
    if let Device::Cuda(cuda) = device {
        let (gates, hidden, cells) = (gates.fresh_mut(), hidden.fresh_mut(), cells.fresh_mut());
        cuda::recurrent::lstm(cuda, &steps, xp, w, gates, hidden, cells)?;
    } else {
        let (mut gates, mut hidden, mut cells) = (gates.fresh_mut(), hidden.fresh_mut(), cells.fresh_mut());
        let (gates, hidden, cells) = (gates.cpu_mut(), hidden.cpu_mut(), cells.cpu_mut());
        for t in steps.order() {
            let xp = &xp.cpu()[steps.at(t, 4 * h)];
            let gates = &mut gates[steps.at(if save { t } else { 0 }, 4 * h)];
            let (h_prev, h_next) = steps.step_states(hidden, t);
            let (c_prev, c_next) = steps.step_states(cells, t);
            steps.recur(t, h_prev, w, gates);
            parallel::for_rows_of(
                [gates, h_next, c_next],
                [4 * h, h, h],
                16 * h,
                |b, [gates, h_next, c_next]| {
                    let (h_prev, c_prev) = (&h_prev[b * h..(b + 1) * h], &c_prev[b * h..(b + 1) * h]);
                    if steps.is_live(t, b) {
                        let [xi, xf, xg, xo] = blocks(&xp[b * 4 * h..(b + 1) * 4 * h]);
                        let [i, f, g, o] = blocks_mut(gates);
                        cell(xi, xf, xg, xo, c_prev, i, f, g, o, c_next, h_next);
                    } else {
                        h_next.copy_from_slice(h_prev);
                        c_next.copy_from_slice(c_prev);
                    }
                },
            );
        }
    }
    Ok((steps, gates, hidden, cells))
}

/// Gradients of [`lstm_forward`], given those of its outputs; `None` stands for zero.
///
/// `w_hh` is the matrix the forward pass was called with; `dy: [T,B,H]`, `dh_n, dc_n: [B,H]`. Where a row is padded, `dy` is
/// not read, because the output there is the constant zero.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if an operand does not fit the forward pass.
pub fn lstm_backward(
    dy: Option<&Tensor>,
    dh_n: Option<&Tensor>,
    dc_n: Option<&Tensor>,
    saved: &LstmSaved,
    w_hh: &Weight,
) -> Result<LstmGrads> {
    const OP: &str = "lstm backward";
    let LstmSaved { steps, gates, h: hidden, c: cells } = saved;
    let (device, h) = (w_hh.value().device(), steps.h);
    check::shape(OP, "w_hh", [4 * h, h], w_hh.value().shape())?;
    steps.output_gradient(OP, dy)?;
    let mut dh0 = steps.start_backward(OP, "dh_n", device, dh_n)?;
    let mut dc0 = steps.start_backward(OP, "dc_n", device, dc_n)?;
    let w = w_hh.plain();
    let mut dxp = Tensor::scratch(device, *gates.shape());
    if let Device::Cuda(cuda) = check::device(OP, gates, &[w, &dh0, &dc0, dy.unwrap_or(gates)])? {
        let (dxp, dh, dc) = (dxp.fresh_mut(), dh0.fresh_mut(), dc0.fresh_mut());
        cuda::recurrent::lstm_backward(cuda, steps, dy, gates, cells, w, dxp, dh, dc)?;
    } else {
        let dy = dy.map(Tensor::cpu);
        let (mut dxp, mut dh, mut dc) = (dxp.fresh_mut(), dh0.fresh_mut(), dc0.fresh_mut());
        let (dxp, dh, dc) = (dxp.cpu_mut(), dh.cpu_mut(), dc.cpu_mut());
        let (gates, cells) = (gates.cpu(), cells.cpu());
        for t in steps.order().rev() {
            let (before, after) = steps.slots(t);
            let dgates = &mut dxp[steps.at(t, 4 * h)];
            let outs = [&mut *dgates, &mut *dh, &mut *dc];
            parallel::for_rows_of(outs, [4 * h, h, h], 16 * h, |b, [dgates, dh, dc]| {
                if !steps.is_live(t, b) {
                    return dgates.fill(0.0);
                }
                if let Some(dy) = dy {
                    add_to(dh, &dy[steps.row(t, b, h)]);
                }
                let [i, f, g, o] = blocks(&gates[steps.row(t, b, 4 * h)]);
                let [di, df, dg, do_] = blocks_mut(dgates);
                let (c_prev, c) = (&cells[steps.row(before, b, h)], &cells[steps.row(after, b, h)]);
                cell_backward(i, f, g, o, c_prev, c, di, df, dg, do_, dh, dc);
            });
            steps.recur_backward(t, dgates, w, dh);
        }
    }
    let h_before = steps.states_before(hidden)?;
    Ok(LstmGrads { dxp, h_before, dh0, dc0 })
}

simd! {
    /// One row of one step. The gates come in as `h_{t-1}·w_hhᵀ` and go out activated.
    fn cell(
        xi: &[Float], xf: &[Float], xg: &[Float], xo: &[Float], c_prev: &[Float],
        i: &mut [Float], f: &mut [Float], g: &mut [Float], o: &mut [Float], c: &mut [Float], h: &mut [Float],
    ) {
        let n = h.len();
        let (xi, xf, xg, xo, c_prev) = (&xi[..n], &xf[..n], &xg[..n], &xo[..n], &c_prev[..n]);
        let (i, f, g, o, c) = (&mut i[..n], &mut f[..n], &mut g[..n], &mut o[..n], &mut c[..n]);
        for k in 0..n {
            i[k] = sigmoid(xi[k] + i[k]);
            f[k] = sigmoid(xf[k] + f[k]);
            g[k] = tanh(xg[k] + g[k]);
            o[k] = sigmoid(xo[k] + o[k]);
            c[k] = f[k] * c_prev[k] + i[k] * g[k];
            h[k] = o[k] * tanh(c[k]);
        }
    }

    /// The gradient through [`cell`]: `dh`, `dc` come in with respect to `h_t`, `c_t`. `dc` goes out with respect to
    /// `c_{t-1}`; `dh` goes out zero, because all of `h_{t-1}`'s share comes through the recurrent product.
    fn cell_backward(
        i: &[Float], f: &[Float], g: &[Float], o: &[Float], c_prev: &[Float], c: &[Float],
        di: &mut [Float], df: &mut [Float], dg: &mut [Float], do_: &mut [Float], dh: &mut [Float], dc: &mut [Float],
    ) {
        let n = dh.len();
        let (i, f, g, o, c_prev, c) = (&i[..n], &f[..n], &g[..n], &o[..n], &c_prev[..n], &c[..n]);
        let (di, df, dg, do_, dc) = (&mut di[..n], &mut df[..n], &mut dg[..n], &mut do_[..n], &mut dc[..n]);
        for k in 0..n {
            let tanh_c = tanh(c[k]);
            let dck = dc[k] + dh[k] * o[k] * (1.0 - tanh_c * tanh_c);
            di[k] = dck * g[k] * (i[k] * (1.0 - i[k]));
            df[k] = dck * c_prev[k] * (f[k] * (1.0 - f[k]));
            dg[k] = dck * i[k] * (1.0 - g[k] * g[k]);
            do_[k] = dh[k] * tanh_c * (o[k] * (1.0 - o[k]));
            dc[k] = dck * f[k];
            dh[k] = 0.0;
        }
    }
}
