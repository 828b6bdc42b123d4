//! The loops of attention on plain slices: rows of one sentence, dot products, weighted sums, softmax.

use crate::Float;
use crate::math::{exp, simd};
use std::borrow::Cow;

/// Sums are kept in this many lanes, whatever the vector width of the machine.
const LANES: usize = 16;

/// Rows of one sentence: row `i` is `data[i·pitch..][..width]`.
pub(super) struct Rows<'a> {
    pub(super) data: Cow<'a, [Float]>,
    pub(super) pitch: usize,
    width: usize,
}

impl<'a> Rows<'a> {
    /// The first `n` rows of sentence `b` in `x: [N,B,width]`: copied together, or where they lie.
    pub(super) fn of_sentence(
        x: &'a [Float],
        batch: usize,
        b: usize,
        width: usize,
        n: usize,
        copy: bool,
    ) -> Rows<'a> {
        let x = &x[b * width..];
        let pitch = batch * width;
        if !copy || batch == 1 {
            return Rows { data: Cow::Borrowed(x), pitch, width };
        }
        let mut data = Vec::with_capacity(n * width);
        (0..n).for_each(|i| data.extend_from_slice(&x[i * pitch..][..width]));
        Rows { data: Cow::Owned(data), pitch: width, width }
    }

    /// Row `i`.
    pub(super) fn row(&self, i: usize) -> &[Float] {
        &self.data[i * self.pitch..][..self.width]
    }
}

/// Adds the lanes in a fixed tree.
#[inline(always)]
fn fold(mut lanes: [Float; LANES]) -> Float {
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            lanes[l] += lanes[l + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `x·y` for `N` rows `y`, `pitch` apart.
#[inline(always)]
fn dot_rows<const N: usize>(x: &[Float], rows: &[Float], pitch: usize) -> [Float; N] {
    let y: [&[Float]; N] = std::array::from_fn(|i| &rows[i * pitch..][..x.len()]);
    let mut lanes = [[0.0; LANES]; N];
    let whole = x.len() / LANES * LANES;
    for k in (0..whole).step_by(LANES) {
        for i in 0..N {
            for l in 0..LANES {
                lanes[i][l] = x[k + l].mul_add(y[i][k + l], lanes[i][l]);
            }
        }
    }
    for k in whole..x.len() {
        for i in 0..N {
            lanes[i][k - whole] = x[k].mul_add(y[i][k], lanes[i][k - whole]);
        }
    }
    lanes.map(fold)
}

/// Columns `first..` of the weighted sum, `N` at a time; returns the first column not done.
#[inline(always)]
fn weighted_columns<const N: usize>(
    mut first: usize,
    weights: &[Float],
    rows: &[Float],
    pitch: usize,
    out: &mut [Float],
) -> usize {
    while first + N <= out.len() {
        let mut sum = [0.0; N];
        for (i, &weight) in weights.iter().enumerate() {
            let row = &rows[i * pitch + first..][..N];
            for l in 0..N {
                sum[l] = weight.mul_add(row[l], sum[l]);
            }
        }
        out[first..first + N].copy_from_slice(&sum);
        first += N;
    }
    first
}

simd! {
    /// `out[i] = x·row_i`, rows `pitch` apart.
    pub(super) fn dots(x: &[Float], rows: &[Float], pitch: usize, out: &mut [Float]) {
        const BLOCK: usize = 4;
        let whole = out.len() / BLOCK * BLOCK;
        for i in (0..whole).step_by(BLOCK) {
            out[i..i + BLOCK].copy_from_slice(&dot_rows::<BLOCK>(x, &rows[i * pitch..], pitch));
        }
        for i in whole..out.len() {
            out[i] = dot_rows::<1>(x, &rows[i * pitch..], pitch)[0];
        }
    }

    /// `out = Σ_i weights[i]·row_i`, rows `pitch` apart, terms in order.
    pub(super) fn weighted_sum(weights: &[Float], rows: &[Float], pitch: usize, out: &mut [Float]) {
        let done = weighted_columns::<64>(0, weights, rows, pitch, out);
        let done = weighted_columns::<16>(done, weights, rows, pitch, out);
        weighted_columns::<1>(done, weights, rows, pitch, out);
    }

    /// `x = softmax(x)`.
    pub(super) fn softmax_in_place(x: &mut [Float]) {
        let max = x.iter().copied().fold(Float::NEG_INFINITY, Float::max);
        x.iter_mut().for_each(|x| *x = exp(*x - max));
        let sum: Float = x.iter().sum();
        x.iter_mut().for_each(|x| *x /= sum);
    }

    /// `dx = y ⊙ (dy - y·dy)` for `y = softmax(x)`; `dy` comes in, `dx` goes out.
    pub(super) fn softmax_backward_in_place(y: &[Float], dy: &mut [Float]) {
        let inner = dot_rows::<1>(y, dy, dy.len())[0];
        dy.iter_mut().zip(y).for_each(|(dy, &y)| *dy = y * (*dy - inner));
    }

    /// `u = tanh(q + k)`.
    pub(super) fn tanh_of_sum(q: &[Float], k: &[Float], u: &mut [Float]) {
        for ((u, &q), &k) in u.iter_mut().zip(q).zip(k) {
            *u = crate::math::tanh(q + k);
        }
    }

    /// The gradient of `vᵀ tanh(q + k)`, times `ds`, added to those of `q`, `k` and `v`; `u = tanh(q + k)`.
    pub(super) fn tanh_score_backward(
        ds: Float, u: &[Float], v: &[Float], dq: &mut [Float], dk: &mut [Float], dv: &mut [Float],
    ) {
        let n = u.len();
        let (v, dq, dk, dv) = (&v[..n], &mut dq[..n], &mut dk[..n], &mut dv[..n]);
        for a in 0..n {
            let d = ds * v[a] * (1.0 - u[a] * u[a]);
            dq[a] += d;
            dk[a] += d;
            dv[a] += ds * u[a];
        }
    }
}
