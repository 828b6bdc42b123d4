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
use crate::{Float, Ids, Result, Tensor};
use kernels::{Rows, dots, softmax_in_place, weighted_sum};
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

    /// The first `len(b)` memory rows of sentence `b`, of `width` elements each.
    fn memory<'x>(&self, x: &'x Tensor, b: usize, width: usize) -> Rows<'x> {
        Rows::of_sentence(x.cpu(), self.b, b, width, self.len(b), self.t > 1)
    }

    /// The query rows of sentence `b`, or others of `[T,B,width]`, brought together.
    fn queries<'x>(&self, x: &'x Tensor, b: usize, width: usize) -> Rows<'x> {
        Rows::of_sentence(x.cpu(), self.b, b, width, self.t, true)
    }

    /// Calls `f(b, part)` for the parts of each sentence, in parallel when there is enough to do.
    fn for_sentences<P: Send>(&self, parts: Vec<P>, f: impl Fn(usize, P) + Sync + Send) {
        if self.t * self.b * self.s * (self.h + self.d) < 4 * SERIAL_BELOW {
            parts.into_iter().enumerate().for_each(|(b, part)| f(b, part));
        } else {
            parts.into_par_iter().enumerate().for_each(|(b, part)| f(b, part));
        }
    }

    /// The rows of `[N,B,width]` for writing, listed by sentence.
    fn by_sentence<'x>(&self, x: &'x mut [Float], width: usize) -> Vec<Vec<&'x mut [Float]>> {
        let mut lists: Vec<_> = (0..self.b).map(|_| Vec::with_capacity(x.len() / (self.b * width))).collect();
        x.chunks_exact_mut(width).enumerate().for_each(|(i, row)| lists[i % self.b].push(row));
        lists
    }
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
    let ctx_rows = x.by_sentence(ctx_out.cpu_mut(), x.d);
    let align_rows = x.by_sentence(align_out.cpu_mut(), x.s);
    let parts = ctx_rows.into_iter().zip(align_rows).collect();
    x.for_sentences(parts, |b, (ctx, align)| {
        let (keys, values) = (x.memory(keys, b, x.h), x.memory(values, b, x.d));
        let mut scratch = vec![0.0; x.h];
        for (t, (ctx, align)) in ctx.into_iter().zip(align).enumerate() {
            let (seen, padded) = align.split_at_mut(x.len(b));
            score(&keys, &q.cpu()[(t * x.b + b) * x.h..][..x.h], &mut scratch, seen);
            softmax_in_place(seen);
            padded.fill(0.0);
            weighted_sum(seen, &values.data, values.pitch, ctx);
        }
    });
    (ctx, align)
}

/// The backward pass down to the scores for one sentence: fills `dvalues` and returns `dscores: [T, len]`.
///
/// `dalign_s = dctx·value_s`, `dscore_s = align_s (dalign_s - Σ_r align_r dalign_r)`, `dvalue_s = Σ_t align_ts dctx_t`.
fn scores_backward(
    x: Extents<'_>,
    b: usize,
    dctx: &Tensor,
    values: &Tensor,
    align: &Tensor,
    dvalues: Vec<&mut [Float]>,
) -> Vec<Float> {
    let len = x.len(b);
    let (dctx, values, align) = (x.queries(dctx, b, x.d), x.memory(values, b, x.d), x.queries(align, b, x.s));
    let mut dscores = vec![0.0; x.t * len];
    for (t, dscore) in dscores.chunks_exact_mut(len).enumerate() {
        dots(dctx.row(t), &values.data, values.pitch, dscore);
        kernels::softmax_backward_in_place(&align.row(t)[..len], dscore);
    }
    let mut weights = vec![0.0; x.t];
    for (s, dvalue) in dvalues.into_iter().enumerate() {
        if s < len {
            weights.iter_mut().enumerate().for_each(|(t, w)| *w = align.row(t)[s]);
            weighted_sum(&weights, &dctx.data, dctx.pitch, dvalue);
        } else {
            dvalue.fill(0.0);
        }
    }
    dscores
}

/// Checks what both backward passes take beside the operands: `dctx: [T,B,D]`, `align: [T,B,S]`.
fn expect_gradients(op: &'static str, x: Extents<'_>, dctx: &Tensor, align: &Tensor) -> Result<()> {
    check::shape(op, "dctx", [x.t, x.b, x.d], dctx.shape())?;
    check::shape(op, "align", [x.t, x.b, x.s], align.shape())?;
    check::device(op, dctx, &[align]).map(drop)
}
