//! The plain recurrent network (Elman 1990) with tanh, as in PyTorch's `nn.RNN`: `h_t = tanh(xp_t + h_{t-1}·w_hhᵀ)`.

use super::shares::{self, Buffer, Share};
use super::{Direction, Steps, add_to};
use crate::math::{simd, tanh};
use crate::ops::{PackedRhs, Weight, check};
use crate::{Acc, Device, Float, Ids, Result, Tensor, cuda};

const OP: &str = "rnn";

/// What [`rnn_backward`] needs of the forward pass.
#[derive(Clone, Debug)]
pub struct RnnSaved {
    steps: Steps,
    /// Hidden states in `T + 1` slots.
    h: Tensor,
}

/// Gradients of [`rnn_forward`] with respect to its operands.
#[derive(Clone, Debug)]
pub struct RnnGrads {
    /// `[T,B,H]`; exactly zero where a row is padded.
    pub dxp: Tensor,
    /// `[T,B,H]`: the state before each step, the other factor of the gradient of `w_hh`: `dw_hh = dxpᵀ·h_before`,
    /// `[H,H]`. The product is left to the caller, because a decoder that steps makes one of many steps.
    pub h_before: Tensor,
    /// `[B,H]`.
    pub dh0: Tensor,
}

/// Tanh network over a whole sequence: `xp: [T,B,H]`, `w_hh: [H,H]`, `h0: [B,H]` → `(y: [T,B,H], h_n: [B,H], saved)`.
///
/// `xp = x·W_ihᵀ + b_ih + b_hh`. With `lens: [B]`, row `b` has `lens[b]` steps; beyond them its state is copied, its output
/// is zero and `xp` is not read.
///
/// # Errors
/// [`Error::Rank`](crate::Error::Rank) or [`Error::Shape`](crate::Error::Shape) if the operands do not fit or an extent
/// is zero, [`Error::Value`](crate::Error::Value) if a length is not in `1..=T`.
pub fn rnn_forward(
    xp: &Tensor,
    w_hh: &Weight,
    h0: &Tensor,
    lens: Option<&Ids>,
    direction: Direction,
) -> Result<(Tensor, Tensor, RnnSaved)> {
    let (steps, h) = walk(xp, w_hh.transposed(), h0, lens, direction)?;
    let (y, h_n) = (steps.outputs(&h)?, steps.last(&h)?);
    Ok((y, h_n, RnnSaved { steps, h }))
}

/// [`rnn_forward`] without a backward pass: nothing is saved.
///
/// Gives `(y, h_n)`, the same bits as [`rnn_forward`].
///
/// # Errors
/// As [`rnn_forward`].
pub fn rnn_infer(
    xp: &Tensor,
    w_hh: &Weight,
    h0: &Tensor,
    lens: Option<&Ids>,
    direction: Direction,
) -> Result<(Tensor, Tensor)> {
    let (steps, h) = walk(xp, w_hh.transposed(), h0, lens, direction)?;
    Ok((steps.outputs(&h)?, steps.last(&h)?))
}

/// The walk over time: gives the slots of states.
fn walk(
    xp: &Tensor,
    w: &PackedRhs,
    h0: &Tensor,
    lens: Option<&Ids>,
    direction: Direction,
) -> Result<(Steps, Tensor)> {
    let steps = Steps::new(OP, 1, xp, w, h0, lens, direction)?;
    let h = steps.h;
    let mut hidden = steps.states(xp.device(), h0)?;
    if let Device::Cuda(cuda) = xp.device() {
        cuda::recurrent::rnn(cuda, &steps, xp, w, hidden.fresh_mut())?;
    } else {
        let (mut slots, xp) = (hidden.fresh_mut(), xp.cpu());
        let hidden = Buffer::new(&steps, slots.cpu_mut(), 1);
        shares::walk(&steps, w, |share, t| {
            let (units, (before, after)) = (&share.units, steps.slots(t));
            // SAFETY: all shares are done with the step that wrote the state before; these units of the next are this one's.
            unsafe { share.multiply(t, hidden.step(before), Acc::Set, &hidden, after) };
            // SAFETY: as above.
            share.for_rows(4 * h, |b| unsafe {
                let ([h_prev], [h_next]) = (hidden.row(before, b, units), hidden.row_mut(after, b, units));
                if steps.is_live(t, b) {
                    cell(&xp[steps.row(t, b, h)][units.clone()], h_next);
                } else {
                    h_next.copy_from_slice(h_prev);
                }
            });
        });
    }
    Ok((steps, hidden))
}

/// Gradients of [`rnn_forward`], given those of its outputs; `None` stands for zero.
///
/// `w_hh` is the matrix the forward pass was called with; `dy: [T,B,H]`, `dh_n: [B,H]`. Where a row is padded, `dy` is not
/// read, because the output there is the constant zero.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if an operand does not fit the forward pass.
pub fn rnn_backward(
    dy: Option<&Tensor>,
    dh_n: Option<&Tensor>,
    saved: &RnnSaved,
    w_hh: &Weight,
) -> Result<RnnGrads> {
    const OP: &str = "rnn backward";
    let RnnSaved { steps, h: hidden } = saved;
    let (device, h) = (hidden.device(), steps.h);
    check::shape(OP, "w_hh", [h, h], w_hh.value().shape())?;
    steps.output_gradient(OP, dy)?;
    let mut dh0 = steps.start_backward(OP, "dh_n", device, dh_n)?;
    let w = w_hh.plain();
    let mut dxp = Tensor::scratch(device, [steps.t, steps.b, h]);
    if let Device::Cuda(cuda) = check::device(OP, hidden, &[w, &dh0, dy.unwrap_or(hidden)])? {
        cuda::recurrent::rnn_backward(cuda, steps, dy, hidden, w, dxp.fresh_mut(), dh0.fresh_mut())?;
    } else {
        let dy = dy.map(Tensor::cpu);
        let states = hidden.cpu();
        let (mut dxp, mut dh) = (dxp.fresh_mut(), dh0.fresh_mut());
        let (dxp, dh) = (Buffer::new(steps, dxp.cpu_mut(), 1), Buffer::new(steps, dh.cpu_mut(), 1));
        let through_cells = |share: &Share<'_>, t: usize| {
            let (units, after) = (&share.units, steps.slots(t).1);
            // SAFETY: the gradients of these units are this share's, and no product reads this step's yet.
            share.for_rows(4 * h, |b| unsafe {
                let ([dxp], [dh]) = (dxp.row_mut(t, b, units), dh.row_mut(0, b, units));
                if !steps.is_live(t, b) {
                    return dxp.fill(0.0);
                }
                if let Some(dy) = dy {
                    add_to(dh, &dy[steps.row(t, b, h)][units.clone()]);
                }
                cell_backward(&states[steps.row(after, b, h)][units.clone()], dxp, dh);
            });
        };
        // SAFETY: all shares are done with the cells of this step; the gradient of these units is this share's.
        let recur = |share: &Share<'_>, t: usize| unsafe { share.multiply(t, dxp.step(t), Acc::Add, &dh, 0) };
        shares::walk_back(steps, w, through_cells, recur);
    }
    let h_before = steps.states_before(hidden)?;
    Ok(RnnGrads { dxp, h_before, dh0 })
}

simd! {
    /// One row of one step. `h` comes in as `h_{t-1}·w_hhᵀ` and goes out as `h_t`.
    fn cell(x: &[Float], h: &mut [Float]) {
        h.iter_mut().zip(x).for_each(|(h, &x)| *h = tanh(x + *h));
    }

    /// The gradient through [`cell`]: `dh` comes in with respect to `h_t` and goes out zero, because all of `h_{t-1}`'s
    /// share comes through the recurrent product.
    fn cell_backward(h: &[Float], dx: &mut [Float], dh: &mut [Float]) {
        for ((dx, dh), &h) in dx.iter_mut().zip(dh).zip(h) {
            *dx = *dh * (1.0 - h * h);
            *dh = 0.0;
        }
    }
}
