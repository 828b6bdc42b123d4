//! Recurrent layers over whole sequences, forward and backward: LSTM, GRU and the plain tanh network.
//!
//! Memory is time-major, `[T,B,·]`. The caller projects all inputs at once, `xp = x·W_ihᵀ + b`, so that only the product
//! with the previous state stays in the time loop; its weights come as a [`Weight`](super::Weight), laid out once for many
//! calls. The backward functions walk the loop the other way round and return the factors of the gradient of `w_hh`, one
//! product over all `T·B` rows.
//!
//! Rows may be shorter than `T`. Beyond a row's length its state is copied and its output is zero, whatever the padded
//! input holds; in [`Direction::Reverse`] row `b` starts at its own last step, `lens[b] - 1`. Both equal PyTorch's packed
//! sequences, without sorting or packing.
//!
//! Each family has an `_infer` function beside its `_forward`: the same bits, and nothing is saved. LSTM and GRU have a
//! `_both_` variant of each for a layer that reads its rows in both directions, which a CUDA device does in one launch and
//! the CPU side by side.

pub(crate) mod gru;
pub(crate) mod lstm;
mod rnn;
mod shares;
#[cfg(test)]
mod tests;

pub use gru::{
    GruGrads, GruOperands, GruSaved, gru_backward, gru_both_backward, gru_both_forward, gru_both_infer,
    gru_forward, gru_infer,
};
pub use lstm::{
    LstmGrads, LstmOperands, LstmOutputGrads, LstmSaved, lstm_backward, lstm_both_backward,
    lstm_both_forward, lstm_both_infer, lstm_forward, lstm_infer,
};
pub use rnn::{RnnGrads, RnnSaved, rnn_backward, rnn_forward, rnn_infer};

use super::check;
use crate::cuda::{self, CudaDevice};
use crate::ops::PackedRhs;
use crate::{Device, Float, Ids, Result, Shape, Tensor, parallel};
use std::ops::Range;

/// The order in which a recurrent layer reads its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the first step to the last.
    Forward,
    /// From a row's own last step to the first.
    Reverse,
}

/// The steps of one call: how many, in which order, and which rows are alive at each.
///
/// States are kept in `T + 1` slots. Forward, step `t` reads slot `t` and writes slot `t + 1`; in reverse it reads slot
/// `t + 1` and writes slot `t`. The slots read, and the slots written, are each a contiguous range.
#[derive(Clone, Debug)]
pub(crate) struct Steps {
    pub(crate) t: usize,
    pub(crate) b: usize,
    pub(crate) h: usize,
    pub(crate) direction: Direction,
    /// Length of each row; `None` when all rows are full.
    pub(crate) lens: Option<Ids>,
}

impl Steps {
    /// Checks the operands that all families share and plans the walk; `gates` is the number of pre-activations a unit,
    /// `w` is `w_hhᵀ`.
    fn new(
        op: &'static str,
        gates: usize,
        xp: &Tensor,
        w: &PackedRhs,
        h0: &Tensor,
        lens: Option<&Ids>,
        direction: Direction,
    ) -> Result<Steps> {
        let [t, b, _] = xp.dims("projected inputs of a recurrent layer, xp [T,B,gates*H]")?;
        let [_, h] = h0.dims("initial state of a recurrent layer, h0 [B,H]")?;
        check::shape(op, "xp", [t, b, gates * h], xp.shape())?;
        check::not_empty(op, "xp", xp)?;
        check::shape(op, "w_hh", [gates * h, h], &Shape::from([w.n(), w.k()]))?;
        check::shape(op, "h0", [b, h], h0.shape())?;
        check::device(op, xp, &[w, h0])?;
        if let Some(lens) = lens {
            check::lengths(op, lens, b, t)?;
        }
        let lens = lens.filter(|lens| lens.as_slice().iter().any(|&len| len as usize != t)).cloned();
        Ok(Steps { t, b, h, direction, lens })
    }

    /// Whether this is the way in reverse over the very rows that `forward` takes forward.
    pub(crate) fn shares_launch_with(&self, forward: &Steps) -> bool {
        let same = (self.t, self.b, self.h, &self.lens) == (forward.t, forward.b, forward.h, &forward.lens);
        same && (forward.direction, self.direction) == (Direction::Forward, Direction::Reverse)
    }

    /// The steps in the order in which the forward pass takes them.
    pub(crate) fn order(&self) -> impl DoubleEndedIterator<Item = usize> + use<'_> {
        (0..self.t).map(|i| self.nth(i))
    }

    /// The `i`-th of them.
    fn nth(&self, i: usize) -> usize {
        match self.direction {
            Direction::Forward => i,
            Direction::Reverse => self.t - 1 - i,
        }
    }

    /// Whether step `t` of row `b` is not padding.
    fn is_live(&self, t: usize, b: usize) -> bool {
        self.lens.as_ref().is_none_or(|lens| t < lens.as_slice()[b] as usize)
    }

    /// The smallest range of rows that holds all live ones at step `t`: with rows sorted by length, exactly those.
    fn live_rows(&self, t: usize) -> Range<usize> {
        let first = (0..self.b).find(|&b| self.is_live(t, b));
        let last = (0..self.b).rfind(|&b| self.is_live(t, b));
        first.zip(last).map_or(0..0, |(first, last)| first..last + 1)
    }

    /// The slots that hold the state before step `t` and after it.
    pub(crate) fn slots(&self, t: usize) -> (usize, usize) {
        match self.direction {
            Direction::Forward => (t, t + 1),
            Direction::Reverse => (t + 1, t),
        }
    }

    /// The elements of row `b` of one slot, or of one step of a `[T,B,width]` tensor.
    fn row(&self, index: usize, b: usize, width: usize) -> Range<usize> {
        (index * self.b + b) * width..(index * self.b + b + 1) * width
    }

    /// `T + 1` slots, the first in walking order holding `initial`.
    fn states(&self, device: &Device, initial: &Tensor) -> Result<Tensor> {
        let first = self.slots(self.order().next().unwrap_or(0)).0;
        Tensor::try_build(device, [self.t + 1, self.b, self.h], |mut out| {
            out.rows_mut(first, first + 1)?.copy_from(initial)
        })
    }

    /// `[T,B,H]`: the state before each step.
    fn states_before(&self, states: &Tensor) -> Result<Tensor> {
        match self.direction {
            Direction::Forward => states.rows(0, self.t),
            Direction::Reverse => states.rows(1, self.t + 1),
        }
    }

    /// `[T,B,H]`: the state after each step, zero where a row is padded. A view when no row is.
    fn outputs(&self, states: &Tensor) -> Result<Tensor> {
        let after = match self.direction {
            Direction::Forward => states.rows(1, self.t + 1)?,
            Direction::Reverse => states.rows(0, self.t)?,
        };
        if self.lens.is_none() {
            return Ok(after);
        }
        if let Device::Cuda(cuda) = states.device() {
            return cuda::recurrent::outputs(cuda, self, &after);
        }
        let from = after.cpu();
        Ok(Tensor::build(states.device(), *after.shape(), |out| {
            parallel::for_rows(out, self.h, self.h, |row, y| {
                if self.is_live(row / self.b, row % self.b) {
                    y.copy_from_slice(&from[row * self.h..(row + 1) * self.h]);
                } else {
                    y.fill(0.0);
                }
            });
        }))
    }

    /// `[B,H]`: the state after the last step, as a view.
    fn last(&self, states: &Tensor) -> Result<Tensor> {
        states.step(self.slots(self.order().next_back().unwrap_or(0)).1)
    }

    /// The gradient of the final state, where the walk back starts: a copy of what came, or zero.
    fn start_backward(
        &self,
        op: &'static str,
        name: &str,
        device: &Device,
        dfinal: Option<&Tensor>,
    ) -> Result<Tensor> {
        let Some(dfinal) = dfinal else { return Ok(Tensor::zeros(device, [self.b, self.h])) };
        check::shape(op, name, [self.b, self.h], dfinal.shape())?;
        Ok(dfinal.deep_clone())
    }

    /// Checks the gradient of the outputs, if there is one.
    fn output_gradient(&self, op: &'static str, dy: Option<&Tensor>) -> Result<()> {
        dy.map_or(Ok(()), |dy| check::shape(op, "dy", [self.t, self.b, self.h], dy.shape()))
    }
}

/// Whether two directions are of the same extents, on one device.
fn check_directions(op: &'static str, xp: [&Tensor; 2], h0: [&Tensor; 2]) -> Result<()> {
    check::shape(op, "xp of the other direction", *xp[0].shape(), xp[1].shape())?;
    check::shape(op, "h0 of the other direction", *h0[0].shape(), h0[1].shape())?;
    check::device(op, xp[0], &[xp[1]])?;
    Ok(())
}

/// The walks of both directions: on a CUDA device by `together`, unless that says `false`, and then each `alone`; on the
/// CPU side by side, so that with two threads neither waits for the other at any step.
fn go_both<W: Send>(
    device: &Device,
    walks: &mut [W; 2],
    together: impl FnOnce(&CudaDevice, &mut [W; 2]) -> Result<bool>,
    alone: impl Fn(usize, &mut W) -> Result<()> + Sync,
) -> Result<()> {
    if let Device::Cuda(cuda) = device {
        if together(cuda, walks)? {
            return Ok(());
        }
        return walks.iter_mut().enumerate().try_for_each(|(i, walk)| alone(i, walk));
    }
    let [first, second] = walks;
    let (first, second) = rayon::join(|| alone(0, first), || alone(1, second));
    first.and(second)
}

/// Splits a row of `N` blocks of equal length, one per gate.
fn blocks<const N: usize>(row: &[Float]) -> [&[Float]; N] {
    let h = row.len() / N;
    std::array::from_fn(|i| &row[i * h..(i + 1) * h])
}

/// `to += from`.
fn add_to(to: &mut [Float], from: &[Float]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
}
