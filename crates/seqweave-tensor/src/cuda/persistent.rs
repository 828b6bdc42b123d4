//! A whole sequence of an LSTM or GRU in one launch: `kernels/cu/persistent.cu`, with products in bfloat16.
//!
//! Every block keeps its slice of the recurrent weights for all steps, and all blocks wait for each other once a step. So
//! all must be resident; whether they are depends on H and the device alone, never on the batch, so that a row's bits do
//! not depend on its company. Where they are not, the layer goes step by step.

use super::launch::{Ptr, PtrMut, int};
use super::recurrent::with_lens;
use super::{CudaBuffer, CudaDevice, launchers};
use crate::ops::PackedRhs;
use crate::ops::recurrent::{Direction, Steps};
use crate::{Precision, Result, Tensor};

/// Units that a block owns.
const UNITS: usize = 8;

/// Shared memory that the kernels declare themselves, at most.
const STATIC_SHARED: usize = 16 << 10;

/// How a call is launched, and the memory through which its blocks exchange states.
pub(super) struct Plan {
    grid: [u32; 3],
    shared: u32,
    exchange: CudaBuffer,
    counters: CudaBuffer,
}

impl Plan {
    /// For a forward pass of `gates` gates a unit, if it fits.
    pub(super) fn forward(cuda: &CudaDevice, steps: &Steps, gates: usize) -> Result<Option<Plan>> {
        Plan::of(cuda, steps, gates * UNITS, 1)
    }

    /// For a backward pass of `gates` gates a unit, if it fits.
    pub(super) fn backward(cuda: &CudaDevice, steps: &Steps, gates: usize) -> Result<Option<Plan>> {
        Plan::of(cuda, steps, UNITS, gates)
    }

    /// A slice has `rows` rows; a row of it, like a row that is exchanged, has one number a unit for each of `gates`.
    fn of(cuda: &CudaDevice, steps: &Steps, rows: usize, gates: usize) -> Result<Option<Plan>> {
        let stream = cuda.stream()?;
        let k = gates * steps.h.next_multiple_of(32);
        let pitch = if k.is_multiple_of(64) { k + 32 } else { k };
        let (shared, blocks) = (rows * pitch * size_of::<u16>(), steps.h.div_ceil(UNITS));
        let resident = blocks <= stream.multiprocessors() as usize
            && shared + STATIC_SHARED <= stream.shared_limit() as usize;
        if cuda.precision() != Precision::Bf16 || !resident {
            return Ok(None);
        }
        // Two rows of bfloat16 for each sentence: what was, and what is being written.
        let exchange = cuda.room::<u32>(steps.b * k);
        let mut counters = cuda.room::<u32>(1);
        let counter: PtrMut<u32> = counters.ptr_mut(0)?;
        stream.set_bytes(counter.address(), 0, size_of::<u32>())?;
        Ok(Some(Plan { grid: [blocks as u32, 1, 1], shared: shared as u32, exchange, counters }))
    }

    fn exchange(&mut self) -> Result<(PtrMut<u16>, PtrMut<u32>)> {
        Ok((self.exchange.ptr_mut(0)?, self.counters.ptr_mut(0)?))
    }
}

/// What the kernels take last: T, B, H, and 1 to walk backwards.
fn extents(steps: &Steps) -> Result<(i32, i32, i32, i32)> {
    let reverse = i32::from(steps.direction == Direction::Reverse);
    Ok((int(steps.t)?, int(steps.b)?, int(steps.h)?, reverse))
}

/// The matrix behind a right-hand side, `w_hh: [gates·H,H]` in both passes.
fn weights(w: &PackedRhs) -> Result<Ptr<f32>> {
    w.matrix().expect("an operation looks at its devices first").0.ptr()
}

/// Memory for what a pass without a backward pass writes and nobody reads.
pub(super) fn or_scratch(
    cuda: &CudaDevice,
    saved: Option<PtrMut<f32>>,
    elements: usize,
    scratch: &mut Option<CudaBuffer>,
) -> Result<PtrMut<f32>> {
    match saved {
        Some(saved) => Ok(saved),
        None => scratch.insert(cuda.room::<f32>(elements)).ptr_mut(0),
    }
}

pub(super) fn lstm(
    cuda: &CudaDevice,
    mut plan: Plan,
    steps: &Steps,
    xp: Ptr<f32>,
    w: &PackedRhs,
    gates: PtrMut<f32>,
    hidden: PtrMut<f32>,
    cells: PtrMut<f32>,
) -> Result<()> {
    let (w, (exchange, counters), (t, b, h, reverse)) = (weights(w)?, plan.exchange()?, extents(steps)?);
    with_lens(cuda, steps, |lens| {
        let stream = cuda.stream()?;
        // SAFETY: `xp` and `gates` are [T,B,4H], the states [T+1,B,H]; all blocks are resident. One direction is launched,
        // so the second of each pair is not looked at.
        unsafe {
            launchers::lstm_persistent_forward(
                stream,
                plan.grid,
                plan.shared,
                xp,
                xp,
                w,
                w,
                gates,
                gates,
                hidden,
                hidden,
                cells,
                cells,
                exchange,
                counters,
                lens,
                t,
                b,
                h,
                reverse,
            )
        }
    })
}

pub(super) fn lstm_backward(
    cuda: &CudaDevice,
    mut plan: Plan,
    steps: &Steps,
    dy: Option<Ptr<f32>>,
    gates: &Tensor,
    cells: &Tensor,
    w: &PackedRhs,
    dxp: PtrMut<f32>,
    dh: PtrMut<f32>,
    dc: PtrMut<f32>,
) -> Result<()> {
    let (w, (exchange, counters), (t, b, h, reverse)) = (weights(w)?, plan.exchange()?, extents(steps)?);
    let (dy, gates, cells) = (dy.unwrap_or(Ptr::null()), gates.ptr()?, cells.ptr()?);
    with_lens(cuda, steps, |lens| {
        let stream = cuda.stream()?;
        // SAFETY: as in `lstm`; `dxp` is [T,B,4H], `dh` and `dc` are [B,H].
        unsafe {
            launchers::lstm_persistent_backward(
                stream,
                plan.grid,
                plan.shared,
                w,
                w,
                gates,
                gates,
                cells,
                cells,
                dy,
                dy,
                dxp,
                dxp,
                dh,
                dh,
                dc,
                dc,
                exchange,
                counters,
                lens,
                t,
                b,
                h,
                reverse,
            )
        }
    })
}

pub(super) fn gru(
    cuda: &CudaDevice,
    mut plan: Plan,
    steps: &Steps,
    xp: Ptr<f32>,
    w: &PackedRhs,
    b_hh: Ptr<f32>,
    gates: PtrMut<f32>,
    p_n: PtrMut<f32>,
    hidden: PtrMut<f32>,
) -> Result<()> {
    let (w, (exchange, counters), (t, b, h, reverse)) = (weights(w)?, plan.exchange()?, extents(steps)?);
    with_lens(cuda, steps, |lens| {
        let stream = cuda.stream()?;
        // SAFETY: `xp` and `gates` are [T,B,3H], `p_n` is [T,B,H], `b_hh` has 3H elements, the states are [T+1,B,H]; all
        // blocks are resident. One direction is launched, so the second of each pair is not looked at.
        unsafe {
            launchers::gru_persistent_forward(
                stream,
                plan.grid,
                plan.shared,
                xp,
                xp,
                w,
                w,
                b_hh,
                b_hh,
                gates,
                gates,
                p_n,
                p_n,
                hidden,
                hidden,
                exchange,
                counters,
                lens,
                t,
                b,
                h,
                reverse,
            )
        }
    })
}

pub(super) fn gru_backward(
    cuda: &CudaDevice,
    mut plan: Plan,
    steps: &Steps,
    dy: Option<Ptr<f32>>,
    [gates, p_n, hidden]: [&Tensor; 3],
    w: &PackedRhs,
    dxp: PtrMut<f32>,
    dp: PtrMut<f32>,
    dh: PtrMut<f32>,
) -> Result<()> {
    let (w, (exchange, counters), (t, b, h, reverse)) = (weights(w)?, plan.exchange()?, extents(steps)?);
    let (dy, gates, p_n, hidden) = (dy.unwrap_or(Ptr::null()), gates.ptr()?, p_n.ptr()?, hidden.ptr()?);
    with_lens(cuda, steps, |lens| {
        let stream = cuda.stream()?;
        // SAFETY: as in `gru`; `dxp` and `dp` are [T,B,3H], `dh` is [B,H].
        unsafe {
            launchers::gru_persistent_backward(
                stream,
                plan.grid,
                plan.shared,
                w,
                w,
                gates,
                gates,
                p_n,
                p_n,
                hidden,
                hidden,
                dy,
                dy,
                dxp,
                dxp,
                dp,
                dp,
                dh,
                dh,
                exchange,
                counters,
                lens,
                t,
                b,
                h,
                reverse,
            )
        }
    })
}
