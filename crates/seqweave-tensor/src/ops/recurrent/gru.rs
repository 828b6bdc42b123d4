//! Gated recurrent unit (Cho et al. 2014, section 2.3) with the reset gate after the product, as in PyTorch's `nn.GRU`
//! (gate order r, z, n).
//!
//! ```text
//! [p_r p_z p_n] = h_{t-1}·w_hhᵀ + b_hh
//! r = σ(xp_r + p_r)     z = σ(xp_z + p_z)     n = tanh(xp_n + r ⊙ p_n)
//! h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}
//! ```

use super::{Direction, Steps, add_to, blocks, blocks_mut};
use crate::math::{sigmoid, simd, tanh};
use crate::ops::{PackedRhs, Weight, check, sum_rows};
use crate::{Device, Float, Ids, Result, Tensor, cuda, parallel};

const OP: &str = "gru";

/// What [`gru_backward`] needs of the forward pass.
#[derive(Clone, Debug)]
pub struct GruSaved {
    steps: Steps,
    /// Activated gates, `[T,B,3H]`; padded rows hold nothing.
    gates: Tensor,
    /// `p_n`, the recurrent part of the candidate before the reset gate, `[T,B,H]`; padded rows hold nothing.
    p_n: Tensor,
    /// Hidden states in `T + 1` slots.
    h: Tensor,
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
    let (steps, gates, p_n, h) = walk(xp, w_hh.transposed(), b_hh, h0, lens, direction, true)?;
    let (y, h_n) = (steps.outputs(&h)?, steps.last(&h)?);
    Ok((y, h_n, GruSaved { steps, gates, p_n, h }))
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
    let (steps, _, _, h) = walk(xp, w_hh.transposed(), b_hh, h0, lens, direction, false)?;
    Ok((steps.outputs(&h)?, steps.last(&h)?))
}

/// The walk over time: gives the gates and `p_n`, of all steps if they are to be saved, and the slots of states.
fn walk(
    xp: &Tensor,
    w: &PackedRhs,
    b_hh: &Tensor,
    h0: &Tensor,
    lens: Option<&Ids>,
    direction: Direction,
    save: bool,
) -> Result<(Steps, Tensor, Tensor, Tensor)> {
    let steps = Steps::new(OP, 3, xp, w, h0, lens, direction)?;
    let (device, h) = (xp.device(), steps.h);
    check::shape(OP, "b_hh", [3 * h], b_hh.shape())?;
    check::device(OP, xp, &[b_hh])?;
    let saved = if save { steps.t } else { 1 };
    let mut gates = Tensor::scratch(device, [saved, steps.b, 3 * h]);
    let mut p_n = Tensor::scratch(device, [saved, steps.b, h]);
    let mut hidden = steps.states(device, h0)?;
    if let Device::Cuda(cuda) = device {
        let (gates, p_n, hidden) = (gates.fresh_mut(), p_n.fresh_mut(), hidden.fresh_mut());
        cuda::recurrent::gru(cuda, &steps, xp, w, b_hh, gates, p_n, hidden)?;
    } else {
        let (mut gates, mut p_n, mut hidden) = (gates.fresh_mut(), p_n.fresh_mut(), hidden.fresh_mut());
        let (gates, p_n, hidden) = (gates.cpu_mut(), p_n.cpu_mut(), hidden.cpu_mut());
        let [br, bz, bn] = blocks(b_hh.cpu());
        for t in steps.order() {
            let xp = &xp.cpu()[steps.at(t, 3 * h)];
            let saved = if save { t } else { 0 };
            let (gates, p_n) = (&mut gates[steps.at(saved, 3 * h)], &mut p_n[steps.at(saved, h)]);
            let (h_prev, h_next) = steps.step_states(hidden, t);
            steps.recur(t, h_prev, w, gates);
            parallel::for_rows_of([gates, p_n, h_next], [3 * h, h, h], 12 * h, |b, [gates, p_n, h_next]| {
                let h_prev = &h_prev[b * h..(b + 1) * h];
                if steps.is_live(t, b) {
                    let [xr, xz, xn] = blocks(&xp[b * 3 * h..(b + 1) * 3 * h]);
                    let [r, z, n] = blocks_mut(gates);
                    cell(xr, xz, xn, br, bz, bn, h_prev, r, z, n, p_n, h_next);
                } else {
                    h_next.copy_from_slice(h_prev);
                }
            });
        }
    }
    Ok((steps, gates, p_n, hidden))
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
    const OP: &str = "gru backward";
    let GruSaved { steps, gates, p_n, h: hidden } = saved;
    let (device, h) = (w_hh.value().device(), steps.h);
    check::shape(OP, "w_hh", [3 * h, h], w_hh.value().shape())?;
    steps.output_gradient(OP, dy)?;
    let mut dh0 = steps.start_backward(OP, "dh_n", device, dh_n)?;
    let w = w_hh.plain();
    let mut dxp = Tensor::scratch(device, *gates.shape());
    // Gradient of [p_r p_z p_n]: as dxp, but for the candidate's part, which has passed the reset gate.
    let mut dp = Tensor::scratch(device, *gates.shape());
    if let Device::Cuda(cuda) = check::device(OP, gates, &[w, &dh0, dy.unwrap_or(gates)])? {
        let (dxp, dp, dh) = (dxp.fresh_mut(), dp.fresh_mut(), dh0.fresh_mut());
        cuda::recurrent::gru_backward(cuda, steps, dy, gates, p_n, hidden, w, dxp, dp, dh)?;
    } else {
        let dy = dy.map(Tensor::cpu);
        let (mut dxp, mut dp, mut dh) = (dxp.fresh_mut(), dp.fresh_mut(), dh0.fresh_mut());
        let (dxp, dp, dh) = (dxp.cpu_mut(), dp.cpu_mut(), dh.cpu_mut());
        let (gates, p_n, hidden) = (gates.cpu(), p_n.cpu(), hidden.cpu());
        for t in steps.order().rev() {
            let before = steps.slots(t).0;
            let (dxp, dp) = (&mut dxp[steps.at(t, 3 * h)], &mut dp[steps.at(t, 3 * h)]);
            let outs = [dxp, &mut *dp, &mut *dh];
            parallel::for_rows_of(outs, [3 * h, 3 * h, h], 12 * h, |b, [dxp, dp, dh]| {
                if !steps.is_live(t, b) {
                    dxp.fill(0.0);
                    return dp.fill(0.0);
                }
                if let Some(dy) = dy {
                    add_to(dh, &dy[steps.row(t, b, h)]);
                }
                let [r, z, n] = blocks(&gates[steps.row(t, b, 3 * h)]);
                let (p_n, h_prev) = (&p_n[steps.row(t, b, h)], &hidden[steps.row(before, b, h)]);
                let [dxr, dxz, dxn] = blocks_mut(dxp);
                let [_, _, dpn] = blocks_mut(dp);
                cell_backward(r, z, n, p_n, h_prev, dxr, dxz, dxn, dpn, dh);
                dp[..2 * h].copy_from_slice(&dxp[..2 * h]);
            });
            steps.recur_backward(t, dp, w, dh);
        }
    }
    let h_before = steps.states_before(hidden)?;
    let db_hh = sum_rows(&dp)?;
    Ok(GruGrads { dxp, dp, h_before, db_hh, dh0 })
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
