//! Long short-term memory: the cell of Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, as in
//! PyTorch's `nn.LSTM` (gate order i, f, g, o).
//!
//! ```text
//! [i f g o] = xp_t + h_{t-1}·w_hhᵀ       i, f, o through σ, g through tanh
//! c_t = f ⊙ c_{t-1} + i ⊙ g
//! h_t = o ⊙ tanh(c_t)
//! ```

use super::shares::{self, Buffer, Share};
use super::{Direction, Steps, add_to, blocks, check_directions, go_both};
use crate::math::{sigmoid, simd, tanh};
use crate::ops::{PackedRhs, Weight, check};
use crate::{Acc, Device, Float, Ids, Result, Tensor, cuda};

const OP: &str = "lstm";

/// What [`lstm_backward`] needs of the forward pass.
#[derive(Clone, Debug)]
pub struct LstmSaved {
    pub(crate) steps: Steps,
    /// Activated gates, `[T,B,4H]`; padded rows hold nothing.
    pub(crate) gates: Tensor,
    /// Hidden states in `T + 1` slots.
    h: Tensor,
    /// Cell states in `T + 1` slots.
    pub(crate) c: Tensor,
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

/// What one direction of an LSTM takes: `xp: [T,B,4H]`, `w_hh: [4H,H]`, `h0, c0: [B,H]`.
#[derive(Clone, Copy)]
pub struct LstmOperands<'a> {
    /// `x·W_ihᵀ + b_ih + b_hh`.
    pub xp: &'a Tensor,
    /// The recurrent weights.
    pub w_hh: &'a Weight,
    /// The hidden state before the first step.
    pub h0: &'a Tensor,
    /// The cell state before the first step.
    pub c0: &'a Tensor,
}

/// What a direction gives: `(y: [T,B,H], h_n, c_n: [B,H])`.
type Outputs = (Tensor, Tensor, Tensor);

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
    Walk::one(LstmOperands { xp, w_hh, h0, c0 }, lens, direction, true)?.saved()
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
) -> Result<Outputs> {
    Walk::one(LstmOperands { xp, w_hh, h0, c0 }, lens, direction, false)?.outputs()
}

/// [`lstm_forward`] of the same rows forward and in reverse, the same bits: on a CUDA device in one launch where that can be.
///
/// # Errors
/// As [`lstm_forward`]; [`Error::Shape`](crate::Error::Shape) if the directions differ in size.
pub fn lstm_both_forward(
    directions: [LstmOperands<'_>; 2],
    lens: Option<&Ids>,
) -> Result<[(Tensor, Tensor, Tensor, LstmSaved); 2]> {
    let [forward, reverse] = Walk::both(directions, lens, true)?;
    Ok([forward.saved()?, reverse.saved()?])
}

/// [`lstm_infer`] of the same rows forward and in reverse.
///
/// # Errors
/// As [`lstm_both_forward`].
pub fn lstm_both_infer(directions: [LstmOperands<'_>; 2], lens: Option<&Ids>) -> Result<[Outputs; 2]> {
    let [forward, reverse] = Walk::both(directions, lens, false)?;
    Ok([forward.outputs()?, reverse.outputs()?])
}

/// A walk over time: the gates, of all steps if they are to be saved, and hidden and cell states in slots.
pub(crate) struct Walk {
    pub(crate) steps: Steps,
    pub(crate) gates: Tensor,
    pub(crate) hidden: Tensor,
    pub(crate) cells: Tensor,
}

impl Walk {
    fn one(x: LstmOperands<'_>, lens: Option<&Ids>, direction: Direction, save: bool) -> Result<Walk> {
        let mut walk = Walk::before(&x, lens, direction, save)?;
        walk.go(&x)?;
        Ok(walk)
    }

    fn both(x: [LstmOperands<'_>; 2], lens: Option<&Ids>, save: bool) -> Result<[Walk; 2]> {
        let [forward, reverse] = &x;
        check_directions(OP, [forward.xp, reverse.xp], [forward.h0, reverse.h0])?;
        let mut walks = [
            Walk::before(forward, lens, Direction::Forward, save)?,
            Walk::before(reverse, lens, Direction::Reverse, save)?,
        ];
        let together = |cuda: &_, walks: &mut _| cuda::recurrent::lstm_both(cuda, &x, walks);
        go_both(forward.xp.device(), &mut walks, together, |i, walk| walk.go(&x[i]))?;
        Ok(walks)
    }

    /// Checks the operands; the slots hold the initial states alone.
    fn before(x: &LstmOperands<'_>, lens: Option<&Ids>, direction: Direction, save: bool) -> Result<Walk> {
        let &LstmOperands { xp, w_hh, h0, c0 } = x;
        let steps = Steps::new(OP, 4, xp, w_hh.transposed(), h0, lens, direction)?;
        check::shape(OP, "c0", [steps.b, steps.h], c0.shape())?;
        check::device(OP, xp, &[c0])?;
        let device = xp.device();
        let gates = Tensor::scratch(device, [if save { steps.t } else { 1 }, steps.b, 4 * steps.h]);
        let (hidden, cells) = (steps.states(device, h0)?, steps.states(device, c0)?);
        Ok(Walk { steps, gates, hidden, cells })
    }

    fn go(&mut self, x: &LstmOperands<'_>) -> Result<()> {
        let Walk { steps, gates, hidden, cells } = self;
        let (xp, w, h) = (x.xp, x.w_hh.transposed(), steps.h);
        let save = gates.shape()[0] == steps.t;
        let (mut gates, mut hidden, mut cells) = (gates.fresh_mut(), hidden.fresh_mut(), cells.fresh_mut());
        if let Device::Cuda(cuda) = xp.device() {
            return cuda::recurrent::lstm(cuda, steps, xp, w, gates, hidden, cells);
        }
        let xp = xp.cpu();
        let gates = Buffer::new(steps, gates.cpu_mut(), 4);
        let hidden = Buffer::new(steps, hidden.cpu_mut(), 1);
        let cells = Buffer::new(steps, cells.cpu_mut(), 1);
        shares::walk(steps, w, |share, t| {
            let (units, (before, after)) = (&share.units, steps.slots(t));
            let saved = if save { t } else { 0 };
            // SAFETY: all shares are done with the step that wrote the state before; the gates of these units are this one's.
            unsafe { share.multiply(t, hidden.step(before), Acc::Set, &gates, saved) };
            // SAFETY: as above, and so are the states of these units.
            share.for_rows(16 * h, |b| unsafe {
                let ([h_prev], [c_prev]) = (hidden.row(before, b, units), cells.row(before, b, units));
                let ([h_next], [c_next]) = (hidden.row_mut(after, b, units), cells.row_mut(after, b, units));
                if steps.is_live(t, b) {
                    let [xi, xf, xg, xo] = blocks(&xp[steps.row(t, b, 4 * h)]).map(|x| &x[units.clone()]);
                    let [i, f, g, o] = gates.row_mut(saved, b, units);
                    cell(xi, xf, xg, xo, c_prev, i, f, g, o, c_next, h_next);
                } else {
                    h_next.copy_from_slice(h_prev);
                    c_next.copy_from_slice(c_prev);
                }
            });
        });
        Ok(())
    }

    fn outputs(&self) -> Result<Outputs> {
        let Walk { steps, hidden, cells, .. } = self;
        Ok((steps.outputs(hidden)?, steps.last(hidden)?, steps.last(cells)?))
    }

    fn saved(self) -> Result<(Tensor, Tensor, Tensor, LstmSaved)> {
        let (y, h_n, c_n) = self.outputs()?;
        let Walk { steps, gates, hidden: h, cells: c } = self;
        Ok((y, h_n, c_n, LstmSaved { steps, gates, h, c }))
    }
}

/// Gradients of the outputs of one direction; `None` stands for zero.
#[derive(Clone, Copy, Default)]
pub struct LstmOutputGrads<'a> {
    /// `[T,B,H]`.
    pub dy: Option<&'a Tensor>,
    /// `[B,H]`.
    pub dh_n: Option<&'a Tensor>,
    /// `[B,H]`.
    pub dc_n: Option<&'a Tensor>,
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
    let mut back = WalkBack::before(LstmOutputGrads { dy, dh_n, dc_n }, saved, w_hh)?;
    back.go()?;
    back.grads()
}

/// [`lstm_backward`] of both directions of [`lstm_both_forward`].
///
/// # Errors
/// As [`lstm_backward`].
pub fn lstm_both_backward(
    outputs: [LstmOutputGrads<'_>; 2],
    saved: [&LstmSaved; 2],
    w_hh: [&Weight; 2],
) -> Result<[LstmGrads; 2]> {
    let mut backs =
        [WalkBack::before(outputs[0], saved[0], w_hh[0])?, WalkBack::before(outputs[1], saved[1], w_hh[1])?];
    let device = w_hh[0].value().device();
    go_both(device, &mut backs, cuda::recurrent::lstm_both_backward, |_, back| back.go())?;
    let [forward, reverse] = backs;
    Ok([forward.grads()?, reverse.grads()?])
}

/// A walk back over time; `dh` and `dc` come in with respect to the last state and go out with respect to the first.
pub(crate) struct WalkBack<'a> {
    pub(crate) saved: &'a LstmSaved,
    pub(crate) w: &'a PackedRhs,
    pub(crate) dy: Option<&'a Tensor>,
    pub(crate) dxp: Tensor,
    pub(crate) dh: Tensor,
    pub(crate) dc: Tensor,
}

impl<'a> WalkBack<'a> {
    fn before(outputs: LstmOutputGrads<'a>, saved: &'a LstmSaved, w_hh: &'a Weight) -> Result<WalkBack<'a>> {
        const OP: &str = "lstm backward";
        let LstmOutputGrads { dy, dh_n, dc_n } = outputs;
        let LstmSaved { steps, gates, .. } = saved;
        let device = gates.device();
        check::shape(OP, "w_hh", [4 * steps.h, steps.h], w_hh.value().shape())?;
        steps.output_gradient(OP, dy)?;
        let dh = steps.start_backward(OP, "dh_n", device, dh_n)?;
        let dc = steps.start_backward(OP, "dc_n", device, dc_n)?;
        let w = w_hh.plain();
        check::device(OP, gates, &[w, &dh, &dc, dy.unwrap_or(gates)])?;
        Ok(WalkBack { saved, w, dy, dxp: Tensor::scratch(device, *gates.shape()), dh, dc })
    }

    fn go(&mut self) -> Result<()> {
        let WalkBack { saved, w, dy, dxp, dh, dc } = self;
        let LstmSaved { steps, gates, c: cells, .. } = saved;
        let h = steps.h;
        let (mut dxp, mut dh, mut dc) = (dxp.fresh_mut(), dh.fresh_mut(), dc.fresh_mut());
        if let Device::Cuda(cuda) = gates.device() {
            return cuda::recurrent::lstm_backward(cuda, steps, *dy, gates, cells, w, dxp, dh, dc);
        }
        let dy = dy.map(Tensor::cpu);
        let (gates, cells) = (gates.cpu(), cells.cpu());
        let dxp = Buffer::new(steps, dxp.cpu_mut(), 4);
        let dh = Buffer::new(steps, dh.cpu_mut(), 1);
        let dc = Buffer::new(steps, dc.cpu_mut(), 1);
        let through_cells = |share: &Share<'_>, t: usize| {
            let (units, (before, after)) = (&share.units, steps.slots(t));
            // SAFETY: the gradients of these units are this share's, and no product reads this step's yet.
            share.for_rows(16 * h, |b| unsafe {
                let [di, df, dg, do_] = dxp.row_mut(t, b, units);
                if !steps.is_live(t, b) {
                    return [di, df, dg, do_].into_iter().for_each(|d| d.fill(0.0));
                }
                let ([dh], [dc]) = (dh.row_mut(0, b, units), dc.row_mut(0, b, units));
                if let Some(dy) = dy {
                    add_to(dh, &dy[steps.row(t, b, h)][units.clone()]);
                }
                let [i, f, g, o] = blocks(&gates[steps.row(t, b, 4 * h)]).map(|x| &x[units.clone()]);
                let c_prev = &cells[steps.row(before, b, h)][units.clone()];
                let c = &cells[steps.row(after, b, h)][units.clone()];
                cell_backward(i, f, g, o, c_prev, c, di, df, dg, do_, dh, dc);
            });
        };
        // SAFETY: all shares are done with the cells of this step; the gradient of these units is this share's.
        let recur = |share: &Share<'_>, t: usize| unsafe { share.multiply(t, dxp.step(t), Acc::Add, &dh, 0) };
        shares::walk_back(steps, w, through_cells, recur);
        Ok(())
    }

    fn grads(self) -> Result<LstmGrads> {
        let h_before = self.saved.steps.states_before(&self.saved.h)?;
        Ok(LstmGrads { dxp: self.dxp, h_before, dh0: self.dh, dc0: self.dc })
    }
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
