//! The loops of attention on plain slices: rows of one sentence, dot products, weighted sums, softmax.

use crate::Float;
use crate::math::{exp, simd};
use std::marker::PhantomData;

/// Sums are kept in this many lanes, whatever the vector width of the machine.
const LANES: usize = 16;

/// Rows of one sentence: row `i` is `data[i·pitch..][..width]`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [Float],
    pub(super) pitch: usize,
    width: usize,
}

impl<'a> Rows<'a> {
    /// The first `n` rows of sentence `b` in `x: [N,B,width]`: copied together into the front of `room`, which is taken, or
    /// where they lie.
    pub(super) fn of_sentence(
        x: &'a [Float],
        batch: usize,
        b: usize,
        width: usize,
        n: usize,
        room: Option<&mut &'a mut [Float]>,
    ) -> Rows<'a> {
        let x = &x[b * width..];
        let pitch = batch * width;
        let Some(room) = room.filter(|_| batch > 1 && n > 1) else { return Rows { data: x, pitch, width } };
        let data = room.split_off_mut(..n * width).expect("there is room for every row");
        for (i, row) in data.chunks_exact_mut(width).enumerate() {
            row.copy_from_slice(&x[i * pitch..][..width]);
        }
        Rows { data, pitch: width, width }
    }

    /// Row `i`.
    pub(super) fn row(&self, i: usize) -> &'a [Float] {
        &self.data[i * self.pitch..][..self.width]
    }
}

/// The rows of `[N,B,width]` for writing, each by the task of its sentence.
pub(super) struct RowsMut<'a> {
    data: *mut Float,
    rows: usize,
    batch: usize,
    width: usize,
    borrow: PhantomData<&'a mut [Float]>,
}

// SAFETY: it hands out rows, and whoever asks vouches that no row is handed out twice.
unsafe impl Sync for RowsMut<'_> {}

impl<'a> RowsMut<'a> {
    pub(super) fn new(x: &'a mut [Float], batch: usize, width: usize) -> RowsMut<'a> {
        let rows = x.len() / width.max(1);
        RowsMut { data: x.as_mut_ptr(), rows, batch, width, borrow: PhantomData }
    }

    /// Row `i` of sentence `b`.
    ///
    /// # Safety
    /// The rows of a sentence are asked for by one task alone, which lets go of one before it asks for it again.
    #[allow(clippy::mut_from_ref)] // the reason why it is unsafe
    pub(super) unsafe fn row(&self, i: usize, b: usize) -> &mut [Float] {
        let row = i * self.batch + b;
        assert!(row < self.rows && b < self.batch, "row {i} of sentence {b} is not there");
        // SAFETY: it lies within the slice, and the caller vouches that nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.width), self.width) }
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

/// `x·y`.
#[inline(always)]
fn dot(x: &[Float], y: &[Float]) -> Float {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks(), y[..x.len()].as_chunks());
    let mut lanes = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        multiply_add(x, y, &mut lanes);
    }
    finish(lanes, x_rest, y_rest)
}

/// `x·y` for four rows `y` at once: the same sums, side by side to keep the processor busy.
#[inline(always)]
fn four_dots(x: &[Float], y: [&[Float]; 4]) -> [Float; 4] {
    let n = x.len();
    let (x, x_rest) = x.as_chunks();
    let ((y0, rest0), (y1, rest1)) = (y[0][..n].as_chunks(), y[1][..n].as_chunks());
    let ((y2, rest2), (y3, rest3)) = (y[2][..n].as_chunks(), y[3][..n].as_chunks());
    let (mut lanes0, mut lanes1, mut lanes2, mut lanes3) =
        ([0.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for ((((x, y0), y1), y2), y3) in x.iter().zip(y0).zip(y1).zip(y2).zip(y3) {
        multiply_add(x, y0, &mut lanes0);
        multiply_add(x, y1, &mut lanes1);
        multiply_add(x, y2, &mut lanes2);
        multiply_add(x, y3, &mut lanes3);
    }
    [
        finish(lanes0, x_rest, rest0),
        finish(lanes1, x_rest, rest1),
        finish(lanes2, x_rest, rest2),
        finish(lanes3, x_rest, rest3),
    ]
}

/// The last few products, then the sum of the lanes.
#[inline(always)]
fn finish(mut lanes: [Float; LANES], x: &[Float], y: &[Float]) -> Float {
    for (lane, (&x, &y)) in lanes.iter_mut().zip(x.iter().zip(y)) {
        *lane = x.mul_add(y, *lane);
    }
    fold(lanes)
}

/// `sum += x·y` in each lane, fused.
#[inline(always)]
fn multiply_add(x: &[Float; LANES], y: &[Float; LANES], sum: &mut [Float; LANES]) {
    for l in 0..LANES {
        sum[l] = x[l].mul_add(y[l], sum[l]);
    }
}

/// `out = Σ_i weights[i]·row_i` for `N` groups of columns, rows `pitch` apart.
#[inline(always)]
fn weighted_columns<const N: usize>(
    weights: &[Float],
    rows: &[Float],
    pitch: usize,
    out: &mut [[Float; LANES]],
) {
    let mut sums = [[0.0; LANES]; N];
    for (i, &weight) in weights.iter().enumerate() {
        let row = &rows[i * pitch..][..N * LANES].as_chunks::<LANES>().0[..N];
        for j in 0..N {
            multiply_add(&[weight; LANES], &row[j], &mut sums[j]);
        }
    }
    out.copy_from_slice(&sums);
}

simd! {
    /// `out[i] = x·row_i`, rows `pitch` apart.
    pub(super) fn dots(x: &[Float], rows: &[Float], pitch: usize, out: &mut [Float]) {
        let row = |i: usize| &rows[i * pitch..][..x.len()];
        let (blocks, rest) = out.as_chunks_mut::<4>();
        let whole = 4 * blocks.len();
        for (i, block) in blocks.iter_mut().enumerate() {
            *block = four_dots(x, [row(4 * i), row(4 * i + 1), row(4 * i + 2), row(4 * i + 3)]);
        }
        for (i, out) in rest.iter_mut().enumerate() {
            *out = dot(x, row(whole + i));
        }
    }

    /// `out = Σ_i weights[i]·row_i`, rows `pitch` apart, terms in order.
    pub(super) fn weighted_sum(weights: &[Float], rows: &[Float], pitch: usize, out: &mut [Float]) {
        const GROUPS: usize = 4;
        let (groups, rest) = out.as_chunks_mut::<LANES>();
        let (blocks, singles) = groups.as_chunks_mut::<GROUPS>();
        let mut first = 0;
        for block in blocks {
            weighted_columns::<GROUPS>(weights, &rows[first..], pitch, block);
            first += GROUPS * LANES;
        }
        for single in singles {
            weighted_columns::<1>(weights, &rows[first..], pitch, std::slice::from_mut(single));
            first += LANES;
        }
        for (j, out) in rest.iter_mut().enumerate() {
            *out = 0.0;
            for (i, &weight) in weights.iter().enumerate() {
                *out = weight.mul_add(rows[i * pitch + first + j], *out);
            }
        }
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
        let inner = dot(y, dy);
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
