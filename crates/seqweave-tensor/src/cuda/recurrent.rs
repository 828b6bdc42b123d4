//! Recurrent layers: in one launch where [`persistent`](super::persistent) can, else step by step, a product with the state
//! and then the cell of `kernels/cu/recurrent.cu`.

use super::launch::{Ptr, PtrMut, int};
use super::matmul::{Left, Right, Start};
use super::persistent::{self, Pass, Plan, or_scratch, weights};
use super::{CudaDevice, launchers};
use crate::ops::recurrent::{Steps, gru, lstm};
use crate::ops::{GruOperands, LstmOperands, PackedRhs};
use crate::{Result, Tensor, TensorMut};

/// A walk over the steps of one call on the device.
struct Walk<'a> {
    cuda: &'a CudaDevice,
    steps: &'a Steps,
    right: &'a Right,
    /// A thread a unit of a row.
    grid: [u32; 3],
}

impl<'a> Walk<'a> {
    fn new(cuda: &'a CudaDevice, steps: &'a Steps, w: &'a PackedRhs) -> Result<Walk<'a>> {
        let grid = [int(steps.b * steps.h)?.unsigned_abs().div_ceil(256), 1, 1];
        Ok(Walk { cuda, steps, right: w.right(), grid })
    }

    /// Elements before slot or step `index` of rows of `width`.
    fn at(&self, index: usize, width: usize) -> usize {
        index * self.steps.b * width
    }

    /// `gates = h·w` for all rows.
    fn recur(&self, h: Ptr<f32>, gates: PtrMut<f32>) -> Result<()> {
        self.right.multiply(
            self.cuda,
            self.steps.b,
            Left::rows(self.cuda, h, self.steps.h),
            Start::Zero,
            gates,
        )
    }

    /// `dh += dgates·w`, `dgates` of `width` columns; padded rows of `dgates` are zero.
    fn recur_backward(&self, dgates: Ptr<f32>, width: usize, dh: PtrMut<f32>) -> Result<()> {
        self.right.multiply(self.cuda, self.steps.b, Left::rows(self.cuda, dgates, width), Start::There, dh)
    }

    /// What cells take behind their tensors: the step, B and H.
    fn place(&self, t: usize) -> Result<(i32, i32, i32)> {
        Ok((int(t)?, int(self.steps.b)?, int(self.steps.h)?))
    }
}

/// Calls `f` with the address of the lengths, or null when all rows are full.
pub(super) fn with_lens(
    cuda: &CudaDevice,
    steps: &Steps,
    f: impl FnOnce(Ptr<u32>) -> Result<()>,
) -> Result<()> {
    match &steps.lens {
        None => f(Ptr::null()),
        Some(lens) => lens.on(cuda, f),
    }
}

/// The states after each step, zero where a row is padded.
pub(crate) fn outputs(cuda: &CudaDevice, steps: &Steps, after: &Tensor) -> Result<Tensor> {
    let Some(lens) = &steps.lens else { return Ok(after.clone()) };
    Tensor::try_build(after.device(), after.shape(), |mut y| {
        let (from, y) = (after.ptr()?, y.ptr_mut()?);
        let grid = super::elementwise::grid(after.numel());
        let (t, b, h) = (int(steps.t)?, int(steps.b)?, int(steps.h)?);
        // SAFETY: both are [T,B,H], and there are B lengths.
        lens.on(cuda, |lens| unsafe {
            launchers::recurrent_outputs(cuda.stream()?, grid, 0, from, lens, y, t, b, h)
        })
    })
}

/// The forward walk of an LSTM; `gates` has `T` steps, or one that is used again.
pub(crate) fn lstm(
    cuda: &CudaDevice,
    steps: &Steps,
    xp: &Tensor,
    w: &PackedRhs,
    mut gates: TensorMut<'_>,
    mut hidden: TensorMut<'_>,
    mut cells: TensorMut<'_>,
) -> Result<()> {
    let saves = gates.shape()[0] == steps.t;
    let (xp, gates, hidden, cells) = (xp.ptr()?, gates.ptr_mut()?, hidden.ptr_mut()?, cells.ptr_mut()?);
    if let Some(plan) = Plan::of(cuda, steps, Pass::LstmForward, 1)? {
        let mut scratch = None;
        let all = steps.t * steps.b * 4 * steps.h;
        let gates = or_scratch(cuda, saves.then_some(gates), all, &mut scratch)?;
        let one = persistent::Lstm { xp, w: weights(w)?, gates, hidden, cells };
        return persistent::lstm(cuda, plan, steps, one, one);
    }
    let (walk, h, stream) = (Walk::new(cuda, steps, w)?, steps.h, cuda.stream()?);
    with_lens(cuda, steps, |lens| {
        for t in steps.order() {
            let (before, after) = steps.slots(t);
            let gates = gates.at(walk.at(if saves { t } else { 0 }, 4 * h));
            let (h_prev, h_next) = (hidden.at(walk.at(before, h)).read(), hidden.at(walk.at(after, h)));
            let (c_prev, c_next) = (cells.at(walk.at(before, h)).read(), cells.at(walk.at(after, h)));
            let (xp, (t, b, h)) = (xp.at(walk.at(t, 4 * h)), walk.place(t)?);
            walk.recur(h_prev, gates)?;
            // SAFETY: each operand is one step or slot, [B,4H] or [B,H], and there are B lengths or none.
            unsafe {
                launchers::lstm_cell(
                    stream, walk.grid, 0, xp, gates, h_prev, c_prev, h_next, c_next, lens, t, b, h,
                )?;
            }
        }
        Ok(())
    })
}

/// Both directions of an LSTM in one launch; `false` if that cannot be, and nothing is done.
pub(crate) fn lstm_both(
    cuda: &CudaDevice,
    x: &[LstmOperands<'_>; 2],
    walks: &mut [lstm::Walk; 2],
) -> Result<bool> {
    let steps = walks[0].steps.clone();
    let Some(plan) = Plan::of(cuda, &steps, Pass::LstmForward, 2)? else { return Ok(false) };
    let mut scratch = [None, None];
    let mut direction = |i: usize| -> Result<persistent::Lstm> {
        let (x, walk) = (&x[i], &mut walks[i]);
        let saves = walk.gates.shape()[0] == steps.t;
        let gates = walk.gates.fresh_mut().ptr_mut()?;
        let all = steps.t * steps.b * 4 * steps.h;
        Ok(persistent::Lstm {
            xp: x.xp.ptr()?,
            w: weights(x.w_hh.transposed())?,
            gates: or_scratch(cuda, saves.then_some(gates), all, &mut scratch[i])?,
            hidden: walk.hidden.fresh_mut().ptr_mut()?,
            cells: walk.cells.fresh_mut().ptr_mut()?,
        })
    };
    let (a, b) = (direction(0)?, direction(1)?);
    persistent::lstm(cuda, plan, &steps, a, b)?;
    Ok(true)
}

/// The way back of [`lstm_both`].
pub(crate) fn lstm_both_backward(cuda: &CudaDevice, backs: &mut [lstm::WalkBack<'_>; 2]) -> Result<bool> {
    let steps = &backs[0].saved.steps;
    if backs[1].saved.steps.shares_launch_with(steps) {
        let Some(plan) = Plan::of(cuda, steps, Pass::LstmBackward, 2)? else { return Ok(false) };
        let direction = |back: &mut lstm::WalkBack<'_>| -> Result<persistent::LstmBack> {
            Ok(persistent::LstmBack {
                w: weights(back.w)?,
                gates: back.saved.gates.ptr()?,
                cells: back.saved.c.ptr()?,
                dy: back.dy.map_or(Ok(Ptr::null()), Tensor::ptr)?,
                dxp: back.dxp.fresh_mut().ptr_mut()?,
                dh: back.dh.fresh_mut().ptr_mut()?,
                dc: back.dc.fresh_mut().ptr_mut()?,
            })
        };
        let [a, b] = backs;
        let (a, b) = (direction(a)?, direction(b)?);
        persistent::lstm_backward(cuda, plan, steps, a, b)?;
        return Ok(true);
    }
    Ok(false)
}

/// The walk back of an LSTM: fills `dxp`, and leaves the gradients of the initial states in `dh` and `dc`.
pub(crate) fn lstm_backward(
    cuda: &CudaDevice,
    steps: &Steps,
    dy: Option<&Tensor>,
    gates: &Tensor,
    cells: &Tensor,
    w: &PackedRhs,
    mut dxp: TensorMut<'_>,
    mut dh: TensorMut<'_>,
    mut dc: TensorMut<'_>,
) -> Result<()> {
    let dy = dy.map(Tensor::ptr).transpose()?;
    let (dxp, dh, dc) = (dxp.ptr_mut()?, dh.ptr_mut()?, dc.ptr_mut()?);
    if let Some(plan) = Plan::of(cuda, steps, Pass::LstmBackward, 1)? {
        let (w, gates, cells) = (weights(w)?, gates.ptr()?, cells.ptr()?);
        let one = persistent::LstmBack { w, gates, cells, dy: dy.unwrap_or(Ptr::null()), dxp, dh, dc };
        return persistent::lstm_backward(cuda, plan, steps, one, one);
    }
    let (walk, h, stream) = (Walk::new(cuda, steps, w)?, steps.h, cuda.stream()?);
    let (gates, cells) = (gates.ptr()?, cells.ptr()?);
    with_lens(cuda, steps, |lens| {
        for t in steps.order().rev() {
            let (before, after) = steps.slots(t);
            let (gates, dgates) = (gates.at(walk.at(t, 4 * h)), dxp.at(walk.at(t, 4 * h)));
            let (c_prev, c) = (cells.at(walk.at(before, h)), cells.at(walk.at(after, h)));
            let dy = dy.map_or(Ptr::null(), |dy| dy.at(walk.at(t, h)));
            let (width, (t, b, h)) = (4 * h, walk.place(t)?);
            // SAFETY: each operand is one step or slot, [B,4H] or [B,H]; there are B lengths or none.
            unsafe {
                launchers::lstm_cell_backward(
                    stream, walk.grid, 0, gates, c_prev, c, dy, dgates, dh, dc, lens, t, b, h,
                )?;
            }
            walk.recur_backward(dgates.read(), width, dh)?;
        }
        Ok(())
    })
}

/// The forward walk of a GRU; `gates` and `p_n` have `T` steps, or one that is used again.
pub(crate) fn gru(
    cuda: &CudaDevice,
    steps: &Steps,
    xp: &Tensor,
    w: &PackedRhs,
    b_hh: &Tensor,
    mut gates: TensorMut<'_>,
    mut p_n: TensorMut<'_>,
    mut hidden: TensorMut<'_>,
) -> Result<()> {
    let saves = gates.shape()[0] == steps.t;
    let (xp, b_hh, hidden) = (xp.ptr()?, b_hh.ptr()?, hidden.ptr_mut()?);
    let (gates, p_n) = (gates.ptr_mut()?, p_n.ptr_mut()?);
    if let Some(plan) = Plan::of(cuda, steps, Pass::GruForward, 1)? {
        let (mut scratch, mut more) = (None, None);
        let all = steps.t * steps.b * steps.h;
        let gates = or_scratch(cuda, saves.then_some(gates), 3 * all, &mut scratch)?;
        let p_n = or_scratch(cuda, saves.then_some(p_n), all, &mut more)?;
        let one = persistent::Gru { xp, w: weights(w)?, b_hh, gates, p_n, hidden };
        return persistent::gru(cuda, plan, steps, one, one);
    }
    let (walk, h, stream) = (Walk::new(cuda, steps, w)?, steps.h, cuda.stream()?);
    with_lens(cuda, steps, |lens| {
        for t in steps.order() {
            let ((before, after), saved) = (steps.slots(t), if saves { t } else { 0 });
            let (gates, p_n) = (gates.at(walk.at(saved, 3 * h)), p_n.at(walk.at(saved, h)));
            let (h_prev, h_next) = (hidden.at(walk.at(before, h)).read(), hidden.at(walk.at(after, h)));
            let (xp, (t, b, h)) = (xp.at(walk.at(t, 3 * h)), walk.place(t)?);
            walk.recur(h_prev, gates)?;
            // SAFETY: each operand is one step or slot, [B,3H] or [B,H], `b_hh` is [3H]; there are B lengths or none.
            unsafe {
                launchers::gru_cell(
                    stream, walk.grid, 0, xp, b_hh, gates, p_n, h_prev, h_next, lens, t, b, h,
                )?;
            }
        }
        Ok(())
    })
}

/// Both directions of a GRU in one launch; `false` if that cannot be, and nothing is done.
pub(crate) fn gru_both(
    cuda: &CudaDevice,
    x: &[GruOperands<'_>; 2],
    walks: &mut [gru::Walk; 2],
) -> Result<bool> {
    let steps = walks[0].steps.clone();
    let Some(plan) = Plan::of(cuda, &steps, Pass::GruForward, 2)? else { return Ok(false) };
    let mut scratch = [None, None, None, None];
    let mut direction = |i: usize| -> Result<persistent::Gru> {
        let (x, walk) = (&x[i], &mut walks[i]);
        let saves = walk.gates.shape()[0] == steps.t;
        let (gates, p_n) = (walk.gates.fresh_mut().ptr_mut()?, walk.p_n.fresh_mut().ptr_mut()?);
        let all = steps.t * steps.b * steps.h;
        Ok(persistent::Gru {
            xp: x.xp.ptr()?,
            w: weights(x.w_hh.transposed())?,
            b_hh: x.b_hh.ptr()?,
            gates: or_scratch(cuda, saves.then_some(gates), 3 * all, &mut scratch[i])?,
            p_n: or_scratch(cuda, saves.then_some(p_n), all, &mut scratch[2 + i])?,
            hidden: walk.hidden.fresh_mut().ptr_mut()?,
        })
    };
    let (a, b) = (direction(0)?, direction(1)?);
    persistent::gru(cuda, plan, &steps, a, b)?;
    Ok(true)
}

/// The way back of [`gru_both`].
pub(crate) fn gru_both_backward(cuda: &CudaDevice, backs: &mut [gru::WalkBack<'_>; 2]) -> Result<bool> {
    let steps = &backs[0].saved.steps;
    if backs[1].saved.steps.shares_launch_with(steps) {
        let Some(plan) = Plan::of(cuda, steps, Pass::GruBackward, 2)? else { return Ok(false) };
        let direction = |back: &mut gru::WalkBack<'_>| -> Result<persistent::GruBack> {
            Ok(persistent::GruBack {
                w: weights(back.w)?,
                gates: back.saved.gates.ptr()?,
                p_n: back.saved.p_n.ptr()?,
                hidden: back.saved.h.ptr()?,
                dy: back.dy.map_or(Ok(Ptr::null()), Tensor::ptr)?,
                dxp: back.dxp.fresh_mut().ptr_mut()?,
                dp: back.dp.fresh_mut().ptr_mut()?,
                dh: back.dh.fresh_mut().ptr_mut()?,
            })
        };
        let [a, b] = backs;
        let (a, b) = (direction(a)?, direction(b)?);
        persistent::gru_backward(cuda, plan, steps, a, b)?;
        return Ok(true);
    }
    Ok(false)
}

/// The walk back of a GRU: fills `dxp` and `dp`, and leaves the gradient of the initial state in `dh`.
pub(crate) fn gru_backward(
    cuda: &CudaDevice,
    steps: &Steps,
    dy: Option<&Tensor>,
    gates: &Tensor,
    p_n: &Tensor,
    hidden: &Tensor,
    w: &PackedRhs,
    mut dxp: TensorMut<'_>,
    mut dp: TensorMut<'_>,
    mut dh: TensorMut<'_>,
) -> Result<()> {
    let dy = dy.map(Tensor::ptr).transpose()?;
    let (dxp, dp, dh) = (dxp.ptr_mut()?, dp.ptr_mut()?, dh.ptr_mut()?);
    if let Some(plan) = Plan::of(cuda, steps, Pass::GruBackward, 1)? {
        let (w, dy) = (weights(w)?, dy.unwrap_or(Ptr::null()));
        let (gates, p_n, hidden) = (gates.ptr()?, p_n.ptr()?, hidden.ptr()?);
        let one = persistent::GruBack { w, gates, p_n, hidden, dy, dxp, dp, dh };
        return persistent::gru_backward(cuda, plan, steps, one, one);
    }
    let (walk, h, stream) = (Walk::new(cuda, steps, w)?, steps.h, cuda.stream()?);
    let (gates, p_n, hidden) = (gates.ptr()?, p_n.ptr()?, hidden.ptr()?);
    with_lens(cuda, steps, |lens| {
        for t in steps.order().rev() {
            let (gates, p_n) = (gates.at(walk.at(t, 3 * h)), p_n.at(walk.at(t, h)));
            let (dxp, dp) = (dxp.at(walk.at(t, 3 * h)), dp.at(walk.at(t, 3 * h)));
            let h_prev = hidden.at(walk.at(steps.slots(t).0, h));
            let dy = dy.map_or(Ptr::null(), |dy| dy.at(walk.at(t, h)));
            let (width, (t, b, h)) = (3 * h, walk.place(t)?);
            // SAFETY: each operand is one step or slot, [B,3H] or [B,H]; there are B lengths or none.
            unsafe {
                launchers::gru_cell_backward(
                    stream, walk.grid, 0, gates, p_n, h_prev, dy, dxp, dp, dh, lens, t, b, h,
                )?;
            }
            walk.recur_backward(dp.read(), width, dh)?;
        }
        Ok(())
    })
}

/// The forward walk of a plain network.
pub(crate) fn rnn(
    cuda: &CudaDevice,
    steps: &Steps,
    xp: &Tensor,
    w: &PackedRhs,
    mut hidden: TensorMut<'_>,
) -> Result<()> {
    let (walk, h, stream) = (Walk::new(cuda, steps, w)?, steps.h, cuda.stream()?);
    let (xp, hidden) = (xp.ptr()?, hidden.ptr_mut()?);
    with_lens(cuda, steps, |lens| {
        for t in steps.order() {
            let (before, after) = steps.slots(t);
            let (h_prev, h_next) = (hidden.at(walk.at(before, h)).read(), hidden.at(walk.at(after, h)));
            let (xp, (t, b, h)) = (xp.at(walk.at(t, h)), walk.place(t)?);
            walk.recur(h_prev, h_next)?;
            // SAFETY: each operand is one step or slot, [B,H]; there are B lengths or none.
            unsafe { launchers::rnn_cell(stream, walk.grid, 0, xp, h_prev, h_next, lens, t, b, h)? };
        }
        Ok(())
    })
}

/// The walk back of a plain network: fills `dxp`, and leaves the gradient of the initial state in `dh`.
pub(crate) fn rnn_backward(
    cuda: &CudaDevice,
    steps: &Steps,
    dy: Option<&Tensor>,
    hidden: &Tensor,
    w: &PackedRhs,
    mut dxp: TensorMut<'_>,
    mut dh: TensorMut<'_>,
) -> Result<()> {
    let (walk, h, stream) = (Walk::new(cuda, steps, w)?, steps.h, cuda.stream()?);
    let (dy, hidden) = (dy.map(Tensor::ptr).transpose()?, hidden.ptr()?);
    let (dxp, dh) = (dxp.ptr_mut()?, dh.ptr_mut()?);
    with_lens(cuda, steps, |lens| {
        for t in steps.order().rev() {
            let (states, dxp) = (hidden.at(walk.at(steps.slots(t).1, h)), dxp.at(walk.at(t, h)));
            let dy = dy.map_or(Ptr::null(), |dy| dy.at(walk.at(t, h)));
            let (width, (t, b, h)) = (h, walk.place(t)?);
            // SAFETY: each operand is one step or slot, [B,H]; there are B lengths or none.
            unsafe {
                launchers::rnn_cell_backward(stream, walk.grid, 0, states, dy, dxp, dh, lens, t, b, h)?
            };
            walk.recur_backward(dxp.read(), width, dh)?;
        }
        Ok(())
    })
}
