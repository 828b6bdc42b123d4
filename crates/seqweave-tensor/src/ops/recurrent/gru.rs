//! Gated recurrent unit (Cho et al. 2014, section 2.3) with the reset gate after the product, as in PyTorch's `nn.GRU`
//! (gate order r, z, n).
//!
//! ```text
//! [p_r p_z p_n] = h_{t-1}·w_hhᵀ + b_hh
//! r = σ(xp_r + p_r)     z = σ(xp_z + p_z)     n = tanh(xp_n + r ⊙ p_n)
//! h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}
//! ```

use super::shares::{self, Buffer, Share};
use super::{Direction, Steps, add_to, blocks, check_directions, go_both};
use crate::math::{sigmoid, simd, tanh};
use crate::ops::{PackedRhs, Weight, check, sum_rows};
use crate::{Acc, Device, Float, Ids, Result, Tensor, cuda};

const OP: &str = "gru";

/// What [`gru_backward`] needs of the forward pass.
#[derive(Clone, Debug)]
pub struct GruSaved {
    pub(crate) steps: Steps,
    /// Activated gates, `[T,B,3H]`; padded rows hold nothing.
    pub(crate) gates: Tensor,
    /// `p_n`, the recurrent part of the candidate before the reset gate, `[T,B,H]`; padded rows hold nothing.
    pub(crate) p_n: Tensor,
    /// Hidden states in `T + 1` slots.
    pub(crate) h: Tensor,
}

/// Gradients of [`gru_forward`] with respect to its operands.
#[derive(Clone, Debug)]
pub struct GruGrads {
    /// `[T,B,3H]`; exactly zero where a row is padded.
    pub dxp: Tensor,
    /// `[T,B,3H]`: the gradient of `h_{t-1}·w_hhᵀ`; exactly zero where a row is padded.
    pub dp: Tensor,
    /// `[T,B,H]`: the state before each step, the other factor of the gradient of `w_hh`: `dw_hh = dpᵀ·h_before`,
    /// `[3H,H]`. The product is left to the caller, because a decoder that steps makes one of many steps.
    pub h_before: Tensor,
    /// `[3H]`.
    pub db_hh: Tensor,
    /// `[B,H]`.
    pub dh0: Tensor,
}

/// What one direction of a GRU takes: `xp: [T,B,3H]`, `w_hh: [3H,H]`, `b_hh: [3H]`, `h0: [B,H]`.
#[derive(Clone, Copy)]
pub struct GruOperands<'a> {
    /// `x·W_ihᵀ + b_ih`.
    pub xp: &'a Tensor,
    /// The recurrent weights.
    pub w_hh: &'a Weight,
    /// Their bias, which stands apart because its candidate part lies inside the reset product.
    pub b_hh: &'a Tensor,
    /// The state before the first step.
    pub h0: &'a Tensor,
}

/// GRU over a whole sequence: `xp: [T,B,3H]`, `w_hh: [3H,H]`, `b_hh: [3H]`, `h0: [B,H]` → `(y: [T,B,H], h_n: [B,H], saved)`.
///
/// `xp = x·W_ihᵀ + b_ih`; `b_hh` stands apart because its candidate part lies inside the reset product. With `lens: [B]`,
/// row `b` has `lens[b]` steps; beyond them its state is copied, its output is zero and `xp` is not read.
///
/// # Errors
/// [`Error::Rank`](crate::Error::Rank) or [`Error::Shape`](crate::Error::Shape) if the operands do not fit or an extent
/// is zero, [`Error::Value`](crate::Error::Value) if a length is not in `1..=T`.
pub fn gru_forward(
    xp: &Tensor,
    w_hh: &Weight,
    b_hh: &Tensor,
    h0: &Tensor,
    lens: Option<&Ids>,
    direction: Direction,
) -> Result<(Tensor, Tensor, GruSaved)> {
    Walk::one(GruOperands { xp, w_hh, b_hh, h0 }, lens, direction, true)?.saved()
}

/// [`gru_forward`] without a backward pass: nothing is saved.
///
/// Gives `(y, h_n)`, the same bits as [`gru_forward`].
///
/// # Errors
/// As [`gru_forward`].
pub fn gru_infer(
    xp: &Tensor,
    w_hh: &Weight,
    b_hh: &Tensor,
    h0: &Tensor,
    lens: Option<&Ids>,
    direction: Direction,
) -> Result<(Tensor, Tensor)> {
    Walk::one(GruOperands { xp, w_hh, b_hh, h0 }, lens, direction, false)?.outputs()
}

/// [`gru_forward`] of the same rows forward and in reverse, the same bits: on a CUDA device in one launch where that can be.
///
/// # Errors
/// As [`gru_forward`]; [`Error::Shape`](crate::Error::Shape) if the directions differ in size.
pub fn gru_both_forward(
    directions: [GruOperands<'_>; 2],
    lens: Option<&Ids>,
) -> Result<[(Tensor, Tensor, GruSaved); 2]> {
    let [forward, reverse] = Walk::both(directions, lens, true)?;
    Ok([forward.saved()?, reverse.saved()?])
}

/// [`gru_infer`] of the same rows forward and in reverse.
///
/// # Errors
/// As [`gru_both_forward`].
pub fn gru_both_infer(directions: [GruOperands<'_>; 2], lens: Option<&Ids>) -> Result<[(Tensor, Tensor); 2]> {
    let [forward, reverse] = Walk::both(directions, lens, false)?;
    Ok([forward.outputs()?, reverse.outputs()?])
}

/// A walk over time: the gates and `p_n`, of all steps if they are to be saved, and states in slots.
pub(crate) struct Walk {
    pub(crate) steps: Steps,
    pub(crate) gates: Tensor,
    pub(crate) p_n: Tensor,
    pub(crate) hidden: Tensor,
}

impl Walk {
    fn one(x: GruOperands<'_>, lens: Option<&Ids>, direction: Direction, save: bool) -> Result<Walk> {
        let mut walk = Walk::before(&x, lens, direction, save)?;
        walk.go(&x)?;
        Ok(walk)
    }

    fn both(x: [GruOperands<'_>; 2], lens: Option<&Ids>, save: bool) -> Result<[Walk; 2]> {
        let [forward, reverse] = &x;
        check_directions(OP, [forward.xp, reverse.xp], [forward.h0, reverse.h0])?;
        let mut walks = [
            Walk::before(forward, lens, Direction::Forward, save)?,
            Walk::before(reverse, lens, Direction::Reverse, save)?,
        ];
        let together = |cuda: &_, walks: &mut _| cuda::recurrent::gru_both(cuda, &x, walks);
        go_both(forward.xp.device(), &mut walks, together, |i, walk| walk.go(&x[i]))?;
        Ok(walks)
    }

    /// Checks the operands; the slots hold the initial state alone.
    fn before(x: &GruOperands<'_>, lens: Option<&Ids>, direction: Direction, save: bool) -> Result<Walk> {
        let &GruOperands { xp, w_hh, b_hh, h0 } = x;
        let steps = Steps::new(OP, 3, xp, w_hh.transposed(), h0, lens, direction)?;
        let (device, h) = (xp.device(), steps.h);
        check::shape(OP, "b_hh", [3 * h], b_hh.shape())?;
        check::device(OP, xp, &[b_hh])?;
        let saved = if save { steps.t } else { 1 };
        let gates = Tensor::scratch(device, [saved, steps.b, 3 * h]);
        let p_n = Tensor::scratch(device, [saved, steps.b, h]);
        let hidden = steps.states(device, h0)?;
        Ok(Walk { steps, gates, p_n, hidden })
    }

    fn go(&mut self, x: &GruOperands<'_>) -> Result<()> {
        let Walk { steps, gates, p_n, hidden } = self;
        let (xp, w, b_hh, h) = (x.xp, x.w_hh.transposed(), x.b_hh, steps.h);
        let save = gates.shape()[0] == steps.t;
        let (mut gates, mut p_n, mut hidden) = (gates.fresh_mut(), p_n.fresh_mut(), hidden.fresh_mut());
        if let Device::Cuda(cuda) = xp.device() {
            return cuda::recurrent::gru(cuda, steps, xp, w, b_hh, gates, p_n, hidden);
        }
        let (xp, b_hh) = (xp.cpu(), b_hh.cpu());
        let gates = Buffer::new(steps, gates.cpu_mut(), 3);
        let p_n = Buffer::new(steps, p_n.cpu_mut(), 1);
        let hidden = Buffer::new(steps, hidden.cpu_mut(), 1);
        shares::walk(steps, w, |share, t| {
            let (units, (before, after)) = (&share.units, steps.slots(t));
            let [br, bz, bn] = blocks(b_hh).map(|x| &x[units.clone()]);
            let saved = if save { t } else { 0 };
            // SAFETY: all shares are done with the step that wrote the state before; the gates of these units are this one's.
            unsafe { share.multiply(t, hidden.step(before), Acc::Set, &gates, saved) };
            // SAFETY: as above, and so are the states of these units.
            share.for_rows(12 * h, |b| unsafe {
                let ([h_prev], [h_next]) = (hidden.row(before, b, units), hidden.row_mut(after, b, units));
                if steps.is_live(t, b) {
                    let [xr, xz, xn] = blocks(&xp[steps.row(t, b, 3 * h)]).map(|x| &x[units.clone()]);
                    let ([r, z, n], [p_n]) = (gates.row_mut(saved, b, units), p_n.row_mut(saved, b, units));
                    cell(xr, xz, xn, br, bz, bn, h_prev, r, z, n, p_n, h_next);
                } else {
                    h_next.copy_from_slice(h_prev);
                }
            });
        });
        Ok(())
    }

    fn outputs(&self) -> Result<(Tensor, Tensor)> {
        Ok((self.steps.outputs(&self.hidden)?, self.steps.last(&self.hidden)?))
    }

    fn saved(self) -> Result<(Tensor, Tensor, GruSaved)> {
        let (y, h_n) = self.outputs()?;
        let Walk { steps, gates, p_n, hidden: h } = self;
        Ok((y, h_n, GruSaved { steps, gates, p_n, h }))
    }
}

/// Gradients of [`gru_forward`], given those of its outputs; `None` stands for zero.
///
/// `w_hh` is the matrix the forward pass was called with; `dy: [T,B,H]`, `dh_n: [B,H]`. Where a row is padded, `dy` is not
/// read, because the output there is the constant zero.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if an operand does not fit the forward pass.
pub fn gru_backward(
    dy: Option<&Tensor>,
    dh_n: Option<&Tensor>,
    saved: &GruSaved,
    w_hh: &Weight,
) -> Result<GruGrads> {
    let mut back = WalkBack::before(dy, dh_n, saved, w_hh)?;
    back.go()?;
    back.grads()
}

/// [`gru_backward`] of both directions of [`gru_both_forward`].
///
/// # Errors
/// As [`gru_backward`].
pub fn gru_both_backward(
    dy: [Option<&Tensor>; 2],
    dh_n: [Option<&Tensor>; 2],
    saved: [&GruSaved; 2],
    w_hh: [&Weight; 2],
) -> Result<[GruGrads; 2]> {
    let mut backs = [
        WalkBack::before(dy[0], dh_n[0], saved[0], w_hh[0])?,
        WalkBack::before(dy[1], dh_n[1], saved[1], w_hh[1])?,
    ];
    let device = w_hh[0].value().device();
    go_both(device, &mut backs, cuda::recurrent::gru_both_backward, |_, back| back.go())?;
    let [forward, reverse] = backs;
    Ok([forward.grads()?, reverse.grads()?])
}

/// A walk back over time; `dh` comes in with respect to the last state and goes out with respect to the first.
pub(crate) struct WalkBack<'a> {
    pub(crate) saved: &'a GruSaved,
    pub(crate) w: &'a PackedRhs,
    pub(crate) dy: Option<&'a Tensor>,
    pub(crate) dxp: Tensor,
    /// Gradient of `[p_r p_z p_n]`: as `dxp`, but for the candidate's part, which has passed the reset gate.
    pub(crate) dp: Tensor,
    pub(crate) dh: Tensor,
}

impl<'a> WalkBack<'a> {
    fn before(
        dy: Option<&'a Tensor>,
        dh_n: Option<&Tensor>,
        saved: &'a GruSaved,
        w_hh: &'a Weight,
    ) -> Result<WalkBack<'a>> {
        const OP: &str = "gru backward";
        let GruSaved { steps, gates, .. } = saved;
        let device = gates.device();
        check::shape(OP, "w_hh", [3 * steps.h, steps.h], w_hh.value().shape())?;
        steps.output_gradient(OP, dy)?;
        let dh = steps.start_backward(OP, "dh_n", device, dh_n)?;
        let w = w_hh.plain();
        check::device(OP, gates, &[w, &dh, dy.unwrap_or(gates)])?;
        let [dxp, dp] = [(); 2].map(|()| Tensor::scratch(device, *gates.shape()));
        Ok(WalkBack { saved, w, dy, dxp, dp, dh })
    }

    fn go(&mut self) -> Result<()> {
        let WalkBack { saved, w, dy, dxp, dp, dh } = self;
        let GruSaved { steps, gates, p_n, h: hidden } = saved;
        let h = steps.h;
        let (mut dxp, mut dp, mut dh) = (dxp.fresh_mut(), dp.fresh_mut(), dh.fresh_mut());
        if let Device::Cuda(cuda) = gates.device() {
            return cuda::recurrent::gru_backward(cuda, steps, *dy, gates, p_n, hidden, w, dxp, dp, dh);
        }
        let dy = dy.map(Tensor::cpu);
        let (gates, p_n, hidden) = (gates.cpu(), p_n.cpu(), hidden.cpu());
        let dxp = Buffer::new(steps, dxp.cpu_mut(), 3);
        let dp = Buffer::new(steps, dp.cpu_mut(), 3);
        let dh = Buffer::new(steps, dh.cpu_mut(), 1);
        let through_cells = |share: &Share<'_>, t: usize| {
            let (units, before) = (&share.units, steps.slots(t).0);
            // SAFETY: the gradients of these units are this share's, and no product reads this step's yet.
            share.for_rows(12 * h, |b| unsafe {
                let ([dxr, dxz, dxn], [dpr, dpz, dpn]) = (dxp.row_mut(t, b, units), dp.row_mut(t, b, units));
                if !steps.is_live(t, b) {
                    return [dxr, dxz, dxn, dpr, dpz, dpn].into_iter().for_each(|d| d.fill(0.0));
                }
                let [dh] = dh.row_mut(0, b, units);
                if let Some(dy) = dy {
                    add_to(dh, &dy[steps.row(t, b, h)][units.clone()]);
                }
                let [r, z, n] = blocks(&gates[steps.row(t, b, 3 * h)]).map(|x| &x[units.clone()]);
                let p_n = &p_n[steps.row(t, b, h)][units.clone()];
                let h_prev = &hidden[steps.row(before, b, h)][units.clone()];
                cell_backward(r, z, n, p_n, h_prev, dxr, dxz, dxn, dpn, dh);
                dpr.copy_from_slice(dxr);
                dpz.copy_from_slice(dxz);
            });
        };
        // SAFETY: all shares are done with the cells of this step; the gradient of these units is this share's.
        let recur = |share: &Share<'_>, t: usize| unsafe { share.multiply(t, dp.step(t), Acc::Add, &dh, 0) };
        shares::walk_back(steps, w, through_cells, recur);
        Ok(())
    }

    fn grads(self) -> Result<GruGrads> {
        let h_before = self.saved.steps.states_before(&self.saved.h)?;
        let db_hh = sum_rows(&self.dp)?;
        Ok(GruGrads { dxp: self.dxp, dp: self.dp, h_before, db_hh, dh0: self.dh })
    }
}

simd! {
    /// One row of one step. `r`, `z`, `n` come in as `h_{t-1}·w_hhᵀ` and go out activated.
    fn cell(
        xr: &[Float], xz: &[Float], xn: &[Float], br: &[Float], bz: &[Float], bn: &[Float], h_prev: &[Float],
        r: &mut [Float], z: &mut [Float], n: &mut [Float], p_n: &mut [Float], h: &mut [Float],
    ) {
        let len = h.len();
        let (xr, xz, xn, h_prev) = (&xr[..len], &xz[..len], &xn[..len], &h_prev[..len]);
        let (br, bz, bn) = (&br[..len], &bz[..len], &bn[..len]);
        let (r, z, n, p_n) = (&mut r[..len], &mut z[..len], &mut n[..len], &mut p_n[..len]);
        for k in 0..len {
            r[k] = sigmoid(xr[k] + (r[k] + br[k]));
            z[k] = sigmoid(xz[k] + (z[k] + bz[k]));
            p_n[k] = n[k] + bn[k];
            n[k] = tanh(xn[k] + r[k] * p_n[k]);
            h[k] = (1.0 - z[k]) * n[k] + z[k] * h_prev[k];
        }
    }

    /// The gradient through [`cell`]: `dh` comes in with respect to `h_t` and goes out as the part of `h_{t-1}`'s that does
    /// not pass the recurrent product.
    fn cell_backward(
        r: &[Float], z: &[Float], n: &[Float], p_n: &[Float], h_prev: &[Float],
        dxr: &mut [Float], dxz: &mut [Float], dxn: &mut [Float], dpn: &mut [Float], dh: &mut [Float],
    ) {
        let len = dh.len();
        let (r, z, n, p_n, h_prev) = (&r[..len], &z[..len], &n[..len], &p_n[..len], &h_prev[..len]);
        let (dxr, dxz, dxn, dpn) = (&mut dxr[..len], &mut dxz[..len], &mut dxn[..len], &mut dpn[..len]);
        for k in 0..len {
            let dn = dh[k] * (1.0 - z[k]) * (1.0 - n[k] * n[k]);
            dxn[k] = dn;
            dpn[k] = dn * r[k];
            dxr[k] = dn * p_n[k] * (r[k] * (1.0 - r[k]));
            dxz[k] = dh[k] * (h_prev[k] - n[k]) * (z[k] * (1.0 - z[k]));
            dh[k] *= z[k];
        }
    }
}
