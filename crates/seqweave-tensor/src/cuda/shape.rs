//! Operations that only move elements: `kernels/cu/shape.cu`.

use super::elementwise::grid;
use super::launch::{flag, int};
use super::{CudaDevice, launchers};
use crate::{Acc, Result, Tensor, TensorMut};

/// Columns `from..from+width` of `x` to columns `at..` of `y`.
fn copy_columns(
    cuda: &CudaDevice,
    x: &Tensor,
    from: usize,
    width: usize,
    at: usize,
    acc: Acc,
    y: &mut TensorMut<'_>,
) -> Result<()> {
    let ((rows, x_columns), (_, y_columns)) = (x.shape().rows_and_columns(), y.shape().rows_and_columns());
    let (n, stream) = (rows * width, cuda.stream()?);
    if n == 0 {
        return Ok(());
    }
    let (from, at, width) = (int(from)?, int(at)?, int(width)?);
    // SAFETY: `x` and `y` have as many rows, and the columns lie within both; the caller has checked.
    unsafe {
        launchers::copy_columns(
            stream,
            grid(n),
            0,
            x.ptr()?,
            int(x_columns)?,
            from,
            y.ptr_mut()?,
            int(y_columns)?,
            at,
            width,
            int(n)?,
            flag(acc),
        )
    }
}

pub(crate) fn concat_last(cuda: &CudaDevice, xs: &[&Tensor], mut out: TensorMut<'_>) -> Result<()> {
    let mut at = 0;
    for x in xs {
        let width = x.shape().rows_and_columns().1;
        copy_columns(cuda, x, 0, width, at, Acc::Set, &mut out)?;
        at += width;
    }
    Ok(())
}

pub(crate) fn slice_last(
    cuda: &CudaDevice,
    x: &Tensor,
    start: usize,
    acc: Acc,
    mut out: TensorMut<'_>,
) -> Result<()> {
    let width = out.shape().rows_and_columns().1;
    copy_columns(cuda, x, start, width, 0, acc, &mut out)
}

pub(crate) fn pad_slice(
    cuda: &CudaDevice,
    dy: &Tensor,
    start: usize,
    acc: Acc,
    mut dx: TensorMut<'_>,
) -> Result<()> {
    let (width, columns) = (dy.shape().rows_and_columns().1, dx.shape().rows_and_columns().1);
    if acc == Acc::Add {
        return copy_columns(cuda, dy, 0, width, start, acc, &mut dx);
    }
    let (n, stream) = (dx.numel(), cuda.stream()?);
    if n == 0 {
        return Ok(());
    }
    let (width, start) = (int(width)?, int(start)?);
    // SAFETY: `dx` has `n` elements in rows of `columns`, `dy` as many rows of `width`, which fit behind `start`.
    unsafe {
        launchers::pad_slice(
            stream,
            grid(n),
            0,
            dy.ptr()?,
            width,
            start,
            dx.ptr_mut()?,
            int(columns)?,
            int(n)?,
        )
    }
}

pub(crate) fn swap01(cuda: &CudaDevice, x: &Tensor, acc: Acc, mut out: TensorMut<'_>) -> Result<()> {
    let (a, b, stream) = (x.shape()[0], x.shape()[1], cuda.stream()?);
    let inner: usize = x.shape()[2..].iter().product();
    int(x.numel())?;
    // SAFETY: both have a·b·inner elements.
    unsafe {
        launchers::swap01(
            stream,
            grid(x.numel()),
            0,
            x.ptr()?,
            out.ptr_mut()?,
            int(a)?,
            int(b)?,
            int(inner)?,
            flag(acc),
        )
    }
}
