//! Rules of operations that move elements and compute nothing.

use crate::{Result, Var, record, record_list};
use seqweave_tensor::{Shape, ops};

/// The same elements under another shape. dx = dy under the old shape.
pub fn reshape(x: &Var, shape: impl Into<Shape>) -> Result<Var> {
    let old = *x.shape();
    record(x.value().reshape(shape)?, [x], move |dy, [x], g| g.give(x, dy.reshape(old)?))
}

/// Entries `start..end` of the leading axis: `[A,..]` → `[end−start,..]`. dx = dy in those entries, 0 elsewhere.
pub fn rows(x: &Var, start: usize, end: usize) -> Result<Var> {
    record(x.value().rows(start, end)?, [x], move |dy, [x], g| {
        g.accumulate_part(x, |mut dx| ops::axpy(1.0, &dy, dx.rows_mut(start, end)?))
    })
}

/// Entry `t` of the leading axis, which is dropped: `[T,..]` → `[..]`.
pub fn step(x: &Var, t: usize) -> Result<Var> {
    let y = x.value().step(t)?;
    let row = rows(x, t, t + 1)?;
    reshape(&row, *y.shape())
}

/// `[A,B,..]` → `[B,A,..]`. dx = dy with the axes swapped back.
pub fn swap01(x: &Var) -> Result<Var> {
    record(ops::swap01(x.value())?, [x], |dy, [x], g| g.give(x, ops::swap01(&dy)?))
}

/// Columns `start..end`: `[..,C]` → `[..,end−start]`. dx = dy in those columns, 0 elsewhere.
pub fn slice_last(x: &Var, start: usize, end: usize) -> Result<Var> {
    record(ops::slice_last(x.value(), start, end)?, [x], move |dy, [x], g| {
        g.accumulate(x, |dx, acc| ops::pad_slice_into(&dy, start, acc, dx))
    })
}

/// Columns side by side: `[..,C₁]`, `[..,C₂]`, … → `[..,C₁+C₂+…]`. Each dx is its columns of dy.
pub fn concat_last(xs: &[&Var]) -> Result<Var> {
    let values: Vec<_> = xs.iter().map(|x| x.value()).collect();
    let widths: Vec<usize> = xs.iter().map(|x| x.shape().last().copied().unwrap_or(1)).collect();
    record_list(ops::concat_last(&values)?, xs, move |dy, inputs, g| {
        let mut start = 0;
        for (&x, width) in inputs.iter().zip(widths) {
            g.accumulate(x, |dx, acc| ops::slice_last_into(&dy, start, start + width, acc, dx))?;
            start += width;
        }
        Ok(())
    })
}

/// Entries of the leading axes one after another: `[A₁,..]`, `[A₂,..]`, … → `[A₁+A₂+…,..]`. Each dx is its entries of dy.
pub fn concat_first(xs: &[&Var]) -> Result<Var> {
    let values: Vec<_> = xs.iter().map(|x| x.value()).collect();
    let heights: Vec<usize> = xs.iter().map(|x| x.shape().first().copied().unwrap_or(1)).collect();
    record_list(ops::concat_first(&values)?, xs, move |dy, inputs, g| {
        let mut start = 0;
        for (&x, height) in inputs.iter().zip(heights) {
            g.give(x, dy.rows(start, start + height)?)?;
            start += height;
        }
        Ok(())
    })
}

/// Equal shapes along a new leading axis: n × `[..]` → `[n,..]`. Each dx is its entry of dy.
pub fn stack(xs: &[&Var]) -> Result<Var> {
    let values: Vec<_> = xs.iter().map(|x| x.value()).collect();
    let shapes: Vec<Shape> = xs.iter().map(|x| *x.shape()).collect();
    record_list(ops::stack(&values)?, xs, move |dy, inputs, g| {
        for (t, (&x, shape)) in inputs.iter().zip(shapes).enumerate() {
            g.give(x, dy.rows(t, t + 1)?.reshape(shape)?)?;
        }
        Ok(())
    })
}
