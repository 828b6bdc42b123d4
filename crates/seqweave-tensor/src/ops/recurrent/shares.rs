//! A walk over time in one parallel region.
//!
//! A thread keeps a share of the units: at each step it makes the columns of the recurrent product that belong to its units,
//! for all rows, and then their cells, while the gates are still close. Its panels of the weights, too, stay in its
//! processor's cache from step to step. Since the next product reads the states of all units, all shares are done with a
//! step before one begins the next ([`parallel::rounds`]).

use super::Steps;
use crate::gemm::{self, Operand};
use crate::ops::PackedRhs;
use crate::{Acc, Float, Trans, parallel};
use std::marker::PhantomData;
use std::ops::Range;

/// The most gates a cell has.
const MAX_GATES: usize = 4;

/// The units of one thread, and what the product of a step has for them.
pub(super) struct Share<'a> {
    steps: &'a Steps,
    w: &'a PackedRhs,
    pub(super) units: Range<usize>,
    /// The panels of `w` that make these units, of each of its `gates` blocks of `H` columns.
    panels: [Range<usize>; MAX_GATES],
    gates: usize,
    /// Whether there are no others.
    alone: bool,
}

/// Calls `step(share, t)` for every step in order, for every share of the units; a step begins when all shares are done with
/// the one before. The columns of `w` are one block of `H` for each gate.
pub(super) fn walk(steps: &Steps, w: &PackedRhs, step: impl Fn(&Share<'_>, usize) + Sync) {
    let count = Share::count(steps, w);
    parallel::rounds(steps.t, count, |round, i| step(&Share::new(steps, w, i, count), steps.nth(round)));
}

/// The way back: for every step in reverse `cells(share, t)`, and when all shares are done with that `recur(share, t)`.
pub(super) fn walk_back(
    steps: &Steps,
    w: &PackedRhs,
    cells: impl Fn(&Share<'_>, usize) + Sync,
    recur: impl Fn(&Share<'_>, usize) + Sync,
) {
    let count = Share::count(steps, w);
    let back = |round: usize| steps.nth(steps.t - 1 - round);
    // The cells of a share need no other's product, so the two go together and a step is one round.
    parallel::rounds(steps.t + 1, count, |round, i| {
        let share = Share::new(steps, w, i, count);
        if round > 0 {
            recur(&share, back(round - 1));
        }
        if round < steps.t {
            cells(&share, back(round));
        }
    });
}

impl<'a> Share<'a> {
    /// As many as threads, and one if the work is too little or the panels cannot be shared out about evenly.
    fn count(steps: &Steps, w: &PackedRhs) -> usize {
        let (threads, columns) = (rayon::current_num_threads(), w.panels().panel_columns());
        let count = threads.min(parallel::MAX_CHUNKS);
        let (panels, rest) = (steps.h / columns, steps.h % columns);
        let even = panels.is_multiple_of(count) || panels >= 4 * count;
        if steps.b * w.n() * w.k() < w.panels().serial_below() || rest > 0 || !even { 1 } else { count }
    }

    fn new(steps: &'a Steps, w: &'a PackedRhs, i: usize, count: usize) -> Share<'a> {
        let columns = w.panels().panel_columns();
        let all = steps.h.div_ceil(columns);
        let (first, end) = (i * all / count, (i + 1) * all / count);
        let panels = std::array::from_fn(|gate| gate * all + first..gate * all + end);
        let units = first * columns..(end * columns).min(steps.h);
        Share { steps, w, units, panels, gates: w.n() / steps.h, alone: count == 1 }
    }

    /// The columns of `c (+)= a·w` that belong to these units, for the rows that are live at step `t`; the others are left
    /// alone. `a` is `[B,K]` and `to` step `at` of a buffer of as many columns as `w`.
    ///
    /// # Safety
    /// No other thread uses the units of this share at that step of the buffer.
    pub(super) unsafe fn multiply(&self, t: usize, a: &[Float], acc: Acc, to: &Buffer<'_>, at: usize) {
        let (w, rows) = (self.w, self.steps.live_rows(t));
        let a = &a[rows.start * w.k()..];
        assert_eq!(to.width, w.n(), "a product of as many columns as the buffer has");
        if self.alone {
            // SAFETY: the units of this share are all there are.
            let c = unsafe { to.step_mut(at) };
            return w.multiply(rows.len(), a, w.k(), acc.into(), &mut c[rows.start * w.n()..], w.n());
        }
        let a = Operand::new(a, w.k(), Trans::N);
        let c = to.at(at).wrapping_add(rows.start * w.n());
        let panels = &self.panels[..self.gates];
        // SAFETY: these panels are the columns of the share's units, and the buffer holds all rows of the step.
        unsafe { gemm::run_panels(rows.len(), a, w.panels(), acc, c, w.n(), panels) };
    }

    /// Calls `f(row)` for every row of the batch; `work` is the cost of a row in elements touched. On threads of the pool if
    /// no others have a share.
    pub(super) fn for_rows(&self, work: usize, f: impl Fn(usize) + Sync) {
        if self.alone {
            parallel::for_each(self.steps.b, work, f);
        } else {
            (0..self.steps.b).for_each(f);
        }
    }
}

/// A time-major buffer `[·,B,N·H]` that all shares write to, each its own units.
pub(super) struct Buffer<'a> {
    data: *mut Float,
    len: usize,
    b: usize,
    h: usize,
    /// Elements of a row.
    width: usize,
    buffer: PhantomData<&'a mut [Float]>,
}

// SAFETY: it stands for an exclusive borrow; who reads or writes through it says why nobody else does.
unsafe impl Send for Buffer<'_> {}
// SAFETY: as above.
unsafe impl Sync for Buffer<'_> {}

impl<'a> Buffer<'a> {
    /// Of `blocks` blocks of `H` a row.
    pub(super) fn new(steps: &Steps, data: &'a mut [Float], blocks: usize) -> Buffer<'a> {
        let &Steps { b, h, .. } = steps;
        Buffer { len: data.len(), data: data.as_mut_ptr(), b, h, width: blocks * h, buffer: PhantomData }
    }

    /// Where step `t`, all of which lies within the buffer, begins.
    fn at(&self, t: usize) -> *mut Float {
        let len = self.b * self.width;
        assert!((t + 1) * len <= self.len, "step {t} passes the end of its buffer");
        self.data.wrapping_add(t * len)
    }

    /// Where units `units` of row `b` of step `t` begin, in each block.
    fn units_at<const N: usize>(&self, t: usize, b: usize, units: &Range<usize>) -> [*mut Float; N] {
        let fits = b < self.b && N * self.h == self.width && units.start <= units.end && units.end <= self.h;
        assert!(fits, "units {units:?} of {N} blocks of row {b}");
        let row = self.at(t).wrapping_add(b * self.width);
        std::array::from_fn(|block| row.wrapping_add(block * self.h + units.start))
    }

    /// Step `t`, `[B,N·H]`.
    ///
    /// # Safety
    /// Nobody writes to the step meanwhile.
    pub(super) unsafe fn step(&self, t: usize) -> &[Float] {
        // SAFETY: the step lies within the buffer, and the caller says that nobody writes.
        unsafe { std::slice::from_raw_parts(self.at(t), self.b * self.width) }
    }

    /// Step `t`, `[B,N·H]`.
    ///
    /// # Safety
    /// Nobody else uses the step meanwhile.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for what the borrow checker cannot see")]
    unsafe fn step_mut(&self, t: usize) -> &mut [Float] {
        // SAFETY: the step lies within the buffer, and the caller says that nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.at(t), self.b * self.width) }
    }

    /// Units `units` of row `b` of step `t`, of each block.
    ///
    /// # Safety
    /// Nobody writes to them meanwhile.
    pub(super) unsafe fn row<const N: usize>(
        &self,
        t: usize,
        b: usize,
        units: &Range<usize>,
    ) -> [&[Float]; N] {
        let starts = self.units_at(t, b, units);
        // SAFETY: the units lie within the buffer; the caller says that nobody writes.
        starts.map(|start| unsafe { std::slice::from_raw_parts(start, units.len()) })
    }

    /// Units `units` of row `b` of step `t`, of each block.
    ///
    /// # Safety
    /// Nobody else uses them meanwhile.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for what the borrow checker cannot see")]
    pub(super) unsafe fn row_mut<const N: usize>(
        &self,
        t: usize,
        b: usize,
        units: &Range<usize>,
    ) -> [&mut [Float]; N] {
        let starts = self.units_at(t, b, units);
        // SAFETY: the units lie within the buffer, and blocks have nothing in common; the caller says that nobody else uses
        // them.
        starts.map(|start| unsafe { std::slice::from_raw_parts_mut(start, units.len()) })
    }
}
