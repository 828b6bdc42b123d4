//! Attention over a memory of encoder states, forward and backward: dot-product and additive scores.
//!
//! Memory is time-major as everywhere: queries `[T,B,·]`, keys and values `[S,B,·]`, alignments `[T,B,S]`. Row `b` sees the
//! first `lens[b]` entries only; beyond them the alignment is exactly zero, neither keys nor values are read, and their
//! gradients are exactly zero.
//!
//! Sentences are independent and run in parallel. With more than one query a sentence's rows, `B·H` elements apart, are
//! copied together first; a decoding step (`T = 1`) reads them where they lie. A dot product is summed in 16 lanes
//! that are folded in a fixed order, a weighted sum in the order of its terms, so the bits depend neither on the
//! batch, nor on `T`, the threads or the instruction set.

mod additive;
mod dot;
mod kernels;
#[cfg(test)]
mod tests;

pub use additive::{additive_attention, additive_attention_backward};
pub use dot::{dot_attention, dot_attention_backward};

use super::check;
use crate::parallel::SERIAL_BELOW;
use crate::{Float, Ids, Result, Tensor, parallel};
use kernels::{Rows, RowsMut, dots, softmax_in_place, weighted_sum};
use rayon::prelude::*;

/// The extents of one call: `T` queries and `S` memory entries of width `H` for each of `B` sentences, values of width `D`.
#[derive(Clone, Copy)]
pub(crate) struct Extents<'a> {
    pub(crate) t: usize,
    pub(crate) b: usize,
    pub(crate) s: usize,
    pub(crate) h: usize,
    pub(crate) d: usize,
    lens: &'a [u32],
}

impl<'a> Extents<'a> {
    /// Checks the operands that both scores share: `q: [T,B,H]`, `keys: [S,B,H]`, `values: [S,B,D]`, `lens: [B]`.
    fn new(op: &'static str, q: &Tensor, keys: &Tensor, values: &Tensor, lens: &'a Ids) -> Result<Self> {
        let [t, b, h] = q.dims("attention queries [T,B,H]")?;
        let [s, _, _] = keys.dims("attention keys [S,B,H]")?;
        let [_, _, d] = values.dims("attention values [S,B,D]")?;
        check::not_empty(op, "queries", q)?;
        check::shape(op, "keys", [s, b, h], keys.shape())?;
        check::shape(op, "values", [s, b, d], values.shape())?;
        check::not_empty(op, "values", values)?;
        check::lengths(op, lens, b, s)?;
        check::device(op, q, &[keys, values])?;
        Ok(Extents { t, b, s, h, d, lens: lens.as_slice() })
    }

    /// Number of memory entries that sentence `b` sees.
    fn len(&self, b: usize) -> usize {
        self.lens[b] as usize
    }

    /// The first `len(b)` memory rows of sentence `b`, of `width` elements each; read many times, so brought together in
    /// `room` if there is more than one query.
    fn memory<'x>(&self, x: &'x Tensor, b: usize, width: usize, room: &mut &'x mut [Float]) -> Rows<'x> {
        Rows::of_sentence(x.cpu(), self.b, b, width, self.len(b), (self.t > 1).then_some(room))
    }

    /// The query rows of sentence `b`, or others of `[T,B,width]`, brought together in `room`.
    fn queries<'x>(&self, x: &'x Tensor, b: usize, width: usize, room: &mut &'x mut [Float]) -> Rows<'x> {
        Rows::of_sentence(x.cpu(), self.b, b, width, self.t, Some(room))
    }

    /// Calls `f(b, room)` for each sentence, in parallel when there is enough to do; `room` is as long as all that a pass
    /// brings together for one sentence, and what it makes for itself.
    fn for_sentences(&self, f: impl Fn(usize, &mut [Float]) + Sync + Send) {
        let (t, s) = (self.t, self.s);
        let room = (s + t) * (self.h + self.d) + 2 * t * s + t + self.h;
        let one = |b| parallel::with_scratch(room, |room| f(b, room));
        if t * self.b * s * (self.h + self.d) < 4 * SERIAL_BELOW {
            (0..self.b).for_each(one);
        } else {
            (0..self.b).into_par_iter().for_each(one);
        }
    }
}

/// The front of `room`, which is taken.
fn take<'x>(room: &mut &'x mut [Float], len: usize) -> &'x mut [Float] {
    room.split_off_mut(..len).expect("there is room for all that a pass makes")
}

/// The forward pass that both scores share: `align = softmax(score)` over what a sentence sees, `ctx = align·values`.
///
/// `score(keys, query, scratch, out)` fills in the scores of one query against a sentence's keys; `scratch` has a row's width.
fn attend(
    x: Extents<'_>,
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    score: impl Fn(&Rows<'_>, &[Float], &mut [Float], &mut [Float]) + Sync + Send,
) -> (Tensor, Tensor) {
    let mut ctx = Tensor::scratch(q.device(), [x.t, x.b, x.d]);
    let mut align = Tensor::scratch(q.device(), [x.t, x.b, x.s]);
    let (mut ctx_out, mut align_out) = (ctx.fresh_mut(), align.fresh_mut());
    let ctx_rows = RowsMut::new(ctx_out.cpu_mut(), x.b, x.d);
    let align_rows = RowsMut::new(align_out.cpu_mut(), x.b, x.s);
    x.for_sentences(|b, room| {
        let mut room = &mut *room; // for no longer than the operands are there
        let scratch = take(&mut room, x.h);
        let (keys, values) = (x.memory(keys, b, x.h, &mut room), x.memory(values, b, x.d, &mut room));
        for t in 0..x.t {
            // SAFETY: this task alone writes the rows of sentence `b`, and each once.
            let (ctx, align) = unsafe { (ctx_rows.row(t, b), align_rows.row(t, b)) };
            let (seen, padded) = align.split_at_mut(x.len(b));
            score(&keys, &q.cpu()[(t * x.b + b) * x.h..][..x.h], scratch, seen);
            softmax_in_place(seen);
            padded.fill(0.0);
            weighted_sum(seen, values.data, values.pitch, ctx);
        }
    });
    (ctx, align)
}

/// The backward pass down to the scores for one sentence: fills its rows of `dvalues` and returns `dscores: [T, len]`, made
/// in `room`, which is taken.
///
/// `dalign_s = dctx·value_s`, `dscore_s = align_s (dalign_s - Σ_r align_r dalign_r)`, `dvalue_s = Σ_t align_ts dctx_t`.
fn scores_backward<'x>(
    x: Extents<'_>,
    b: usize,
    [dctx, values, align]: [&'x Tensor; 3],
    dvalues: &RowsMut<'_>,
    room: &mut &'x mut [Float],
) -> &'x mut [Float] {
    let len = x.len(b);
    let dscores = take(room, x.t * len);
    let (dctx, align) = (x.queries(dctx, b, x.d, room), x.queries(align, b, x.s, room));
    let values = x.memory(values, b, x.d, room);
    for (t, dscore) in dscores.chunks_exact_mut(len).enumerate() {
        dots(dctx.row(t), values.data, values.pitch, dscore);
        kernels::softmax_backward_in_place(&align.row(t)[..len], dscore);
    }
    memory_backward(x, b, |t, s| align.row(t)[s], dctx, dvalues, room);
    dscores
}

/// `out_s = Σ_t weight(t, s)·row_t` for the rows of sentence `b`; zero from its length on.
fn memory_backward(
    x: Extents<'_>,
    b: usize,
    weight: impl Fn(usize, usize) -> Float,
    rows: Rows<'_>,
    out: &RowsMut<'_>,
    room: &mut [Float],
) {
    let weights = &mut room[..x.t];
    for s in 0..x.s {
        // SAFETY: the task of sentence `b` alone writes its rows, and lets go of each at once.
        let out = unsafe { out.row(s, b) };
        if s < x.len(b) {
            weights.iter_mut().enumerate().for_each(|(t, w)| *w = weight(t, s));
            weighted_sum(weights, rows.data, rows.pitch, out);
        } else {
            out.fill(0.0);
        }
    }
}

/// Checks what both backward passes take beside the operands: `dctx: [T,B,D]`, `align: [T,B,S]`.
fn expect_gradients(op: &'static str, x: Extents<'_>, dctx: &Tensor, align: &Tensor) -> Result<()> {
    check::shape(op, "dctx", [x.t, x.b, x.d], dctx.shape())?;
    check::shape(op, "align", [x.t, x.b, x.s], align.shape())?;
    check::device(op, dctx, &[align]).map(drop)
}
