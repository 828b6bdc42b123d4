//! A whole sequence of an LSTM or GRU in one launch: `kernels/cu/persistent.cu`, with products in bfloat16.
//!
//! Every block keeps its slice of the recurrent weights for all steps, and the blocks that share rows wait for each other
//! once a step. So all must be resident; whether they are, and how wide a block is, depends on H and on the device, never on
//! the batch, so that a row's bits do not depend on its company. Two directions share a launch if the blocks of both are
//! resident together, with the bits of two launches. Where not even one direction's are, the layer goes step by step.

use super::launch::{Ptr, PtrMut, int};
use super::recurrent::with_lens;
use super::{CudaBuffer, CudaDevice, launchers};
use crate::ops::PackedRhs;
use crate::ops::recurrent::{Direction, Steps};
use crate::{Precision, Result};
use seqweave_kernels::{Entry, entries};

/// Units that a block owns for each unit of its width, and rows that a block of width 1 takes at a time.
const UNITS: usize = 8;
const ROWS: usize = 64;

/// What a kernel keeps of its partial sums for each of its columns of [`UNITS`], in bytes of shared memory.
const SUMS: usize = 4 << 10;

/// The pass of a layer that a launch makes.
#[derive(Clone, Copy)]
pub(super) enum Pass {
    LstmForward,
    LstmBackward,
    GruForward,
    GruBackward,
}

/// What a pass asks for.
struct Needs {
    entry: &'static Entry,
    /// Widths that its kernel has, the best first. A step forward reads few states, so that adding up the many parts of a
    /// wide block's products costs more than it saves.
    widths: &'static [usize],
    /// Numbers a unit in what blocks exchange, which a product runs over.
    exchanged: usize,
    /// Columns of its product for each unit.
    columns: usize,
}

impl Pass {
    fn needs(self) -> Needs {
        let (entry, widths, exchanged, columns): (_, &[usize], _, _) = match self {
            Pass::LstmForward => (&entries::LSTM_PERSISTENT_FORWARD, &[2, 1], 1, 4),
            Pass::LstmBackward => (&entries::LSTM_PERSISTENT_BACKWARD, &[4, 2, 1], 4, 1),
            Pass::GruForward => (&entries::GRU_PERSISTENT_FORWARD, &[2, 1], 1, 3),
            Pass::GruBackward => (&entries::GRU_PERSISTENT_BACKWARD, &[4, 2, 1], 3, 1),
        };
        Needs { entry, widths, exchanged, columns }
    }
}

/// How a call is launched, and the memory through which its blocks exchange states.
pub(super) struct Plan {
    grid: [u32; 3],
    shared: u32,
    wide: i32,
    exchange: CudaBuffer,
    counters: CudaBuffer,
}

impl Plan {
    /// For a pass in so many directions, if it fits.
    pub(super) fn of(
        cuda: &CudaDevice,
        steps: &Steps,
        pass: Pass,
        directions: usize,
    ) -> Result<Option<Plan>> {
        if cuda.precision() != Precision::Bf16 {
            return Ok(None);
        }
        let stream = cuda.stream()?;
        let Needs { entry, widths, exchanged, columns } = pass.needs();
        let k = exchanged * steps.h.next_multiple_of(32);
        let pitch = if k.is_multiple_of(64) { k + 32 } else { k };
        let shared = |wide: usize| columns * wide * (UNITS * pitch * size_of::<u16>() + SUMS);
        let blocks = |wide: usize| steps.h.div_ceil(UNITS * wide);
        let resident = stream.multiprocessors() as usize;
        let fits = |wide: usize| {
            shared(wide) + entry.static_shared as usize <= stream.shared_limit() as usize
                && blocks(wide) <= resident
        };
        let Some(wide) = widths.iter().copied().find(|&wide| fits(wide)) else { return Ok(None) };
        if directions * blocks(wide) > resident {
            return Ok(None);
        }
        let passes = steps.b.div_ceil(ROWS / wide);
        let groups = passes.min(resident / (directions * blocks(wide)));
        // Two rows of bfloat16 for each sentence: what was, and what is being written.
        let exchange = cuda.room::<u32>(directions * steps.b * k);
        let mut counters = cuda.room::<u32>(directions * groups);
        let counter: PtrMut<u32> = counters.ptr_mut(0)?;
        stream.set_bytes(counter.address(), 0, directions * groups * size_of::<u32>())?;
        let grid = [blocks(wide) as u32, directions as u32, groups as u32];
        Ok(Some(Plan { grid, shared: shared(wide) as u32, wide: int(wide)?, exchange, counters }))
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
pub(super) fn weights(w: &PackedRhs) -> Result<Ptr<f32>> {
    w.right().matrix().ptr()
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

/// What a forward LSTM kernel takes of one direction.
#[derive(Clone, Copy)]
pub(super) struct Lstm {
    pub(super) xp: Ptr<f32>,
    pub(super) w: Ptr<f32>,
    pub(super) gates: PtrMut<f32>,
    pub(super) hidden: PtrMut<f32>,
    pub(super) cells: PtrMut<f32>,
}

/// Direction `a`, and `b` beside it if the plan is for two; else `b` is not looked at.
pub(super) fn lstm(cuda: &CudaDevice, mut plan: Plan, steps: &Steps, a: Lstm, b: Lstm) -> Result<()> {
    let ((exchange, counters), (t, rows, h, reverse)) = (plan.exchange()?, extents(steps)?);
    with_lens(cuda, steps, |lens| {
        let stream = cuda.stream()?;
        // SAFETY: `xp` and `gates` are [T,B,4H], the states [T+1,B,H]; all blocks are resident.
        unsafe {
            launchers::lstm_persistent_forward(
                stream,
                plan.grid,
                plan.shared,
                a.xp,
                b.xp,
                a.w,
                b.w,
                a.gates,
                b.gates,
                a.hidden,
                b.hidden,
                a.cells,
                b.cells,
                exchange,
                counters,
                lens,
                t,
                rows,
                h,
                reverse,
                plan.wide,
            )
        }
    })
}

/// What a backward LSTM kernel takes of one direction; `dy` may be null.
#[derive(Clone, Copy)]
pub(super) struct LstmBack {
    pub(super) w: Ptr<f32>,
    pub(super) gates: Ptr<f32>,
    pub(super) cells: Ptr<f32>,
    pub(super) dy: Ptr<f32>,
    pub(super) dxp: PtrMut<f32>,
    pub(super) dh: PtrMut<f32>,
    pub(super) dc: PtrMut<f32>,
}

/// Direction `a`, and `b` beside it if the plan is for two; else `b` is not looked at.
pub(super) fn lstm_backward(
    cuda: &CudaDevice,
    mut plan: Plan,
    steps: &Steps,
    a: LstmBack,
    b: LstmBack,
) -> Result<()> {
    let ((exchange, counters), (t, rows, h, reverse)) = (plan.exchange()?, extents(steps)?);
    with_lens(cuda, steps, |lens| {
        let stream = cuda.stream()?;
        // SAFETY: as in `lstm`; `dxp` is [T,B,4H], `dh` and `dc` are [B,H].
        unsafe {
            launchers::lstm_persistent_backward(
                stream,
                plan.grid,
                plan.shared,
                a.w,
                b.w,
                a.gates,
                b.gates,
                a.cells,
                b.cells,
                a.dy,
                b.dy,
                a.dxp,
                b.dxp,
                a.dh,
                b.dh,
                a.dc,
                b.dc,
                exchange,
                counters,
                lens,
                t,
                rows,
                h,
                reverse,
                plan.wide,
            )
        }
    })
}

/// What a forward GRU kernel takes of one direction.
#[derive(Clone, Copy)]
pub(super) struct Gru {
    pub(super) xp: Ptr<f32>,
    pub(super) w: Ptr<f32>,
    pub(super) b_hh: Ptr<f32>,
    pub(super) gates: PtrMut<f32>,
    pub(super) p_n: PtrMut<f32>,
    pub(super) hidden: PtrMut<f32>,
}

/// Direction `a`, and `b` beside it if the plan is for two; else `b` is not looked at.
pub(super) fn gru(cuda: &CudaDevice, mut plan: Plan, steps: &Steps, a: Gru, b: Gru) -> Result<()> {
    let ((exchange, counters), (t, rows, h, reverse)) = (plan.exchange()?, extents(steps)?);
    with_lens(cuda, steps, |lens| {
        let stream = cuda.stream()?;
        // SAFETY: `xp` and `gates` are [T,B,3H], `p_n` is [T,B,H], `b_hh` has 3H elements, the states are [T+1,B,H]; all
        // blocks are resident.
        unsafe {
            launchers::gru_persistent_forward(
                stream,
                plan.grid,
                plan.shared,
                a.xp,
                b.xp,
                a.w,
                b.w,
                a.b_hh,
                b.b_hh,
                a.gates,
                b.gates,
                a.p_n,
                b.p_n,
                a.hidden,
                b.hidden,
                exchange,
                counters,
                lens,
                t,
                rows,
                h,
                reverse,
                plan.wide,
            )
        }
    })
}

/// What a backward GRU kernel takes of one direction; `dy` may be null.
#[derive(Clone, Copy)]
pub(super) struct GruBack {
    pub(super) w: Ptr<f32>,
    pub(super) gates: Ptr<f32>,
    pub(super) p_n: Ptr<f32>,
    pub(super) hidden: Ptr<f32>,
    pub(super) dy: Ptr<f32>,
    pub(super) dxp: PtrMut<f32>,
    pub(super) dp: PtrMut<f32>,
    pub(super) dh: PtrMut<f32>,
}

/// Direction `a`, and `b` beside it if the plan is for two; else `b` is not looked at.
pub(super) fn gru_backward(
    cuda: &CudaDevice,
    mut plan: Plan,
    steps: &Steps,
    a: GruBack,
    b: GruBack,
) -> Result<()> {
    let ((exchange, counters), (t, rows, h, reverse)) = (plan.exchange()?, extents(steps)?);
    with_lens(cuda, steps, |lens| {
        let stream = cuda.stream()?;
        // SAFETY: as in `gru`; `dxp` and `dp` are [T,B,3H], `dh` is [B,H].
        unsafe {
            launchers::gru_persistent_backward(
                stream,
                plan.grid,
                plan.shared,
                a.w,
                b.w,
                a.gates,
                b.gates,
                a.p_n,
                b.p_n,
                a.hidden,
                b.hidden,
                a.dy,
                b.dy,
                a.dxp,
                b.dxp,
                a.dp,
                b.dp,
                a.dh,
                b.dh,
                exchange,
                counters,
                lens,
                t,
                rows,
                h,
                reverse,
                plan.wide,
            )
        }
    })
}
