//! Softmax, its logarithm, and the best of a row for a search: `kernels/cu/softmax.cu`. A block a row.

use super::launch::{Ptr, PtrMut, flag, int};
use super::{CudaDevice, launchers};
use crate::ops::TopLogProbs;
use crate::{Acc, Float, Result, Tensor, TensorMut};

pub(crate) fn softmax(cuda: &CudaDevice, x: &Tensor, mut y: TensorMut<'_>) -> Result<()> {
    let (n, c) = x.shape().rows_and_columns();
    // SAFETY: both are [n,c].
    unsafe { launchers::softmax(cuda.stream()?, rows(n)?, 0, x.ptr()?, y.ptr_mut()?, int(c)?) }
}

pub(crate) fn softmax_backward(
    cuda: &CudaDevice,
    y: &Tensor,
    dy: &Tensor,
    acc: Acc,
    mut dx: TensorMut<'_>,
) -> Result<()> {
    let ((n, c), stream) = (y.shape().rows_and_columns(), cuda.stream()?);
    let (y, dy, dx) = (y.ptr()?, dy.ptr()?, dx.ptr_mut()?);
    // SAFETY: all three are [n,c].
    unsafe { launchers::softmax_backward(stream, rows(n)?, 0, y, dy, dx, int(c)?, flag(acc)) }
}

pub(crate) fn log_softmax(cuda: &CudaDevice, x: &Tensor, mut y: TensorMut<'_>) -> Result<()> {
    let (n, c) = x.shape().rows_and_columns();
    // SAFETY: both are [n,c].
    unsafe { launchers::log_softmax(cuda.stream()?, rows(n)?, 0, x.ptr()?, y.ptr_mut()?, int(c)?) }
}

pub(crate) fn log_softmax_backward(
    cuda: &CudaDevice,
    y: &Tensor,
    dy: &Tensor,
    acc: Acc,
    mut dx: TensorMut<'_>,
) -> Result<()> {
    let ((n, c), stream) = (y.shape().rows_and_columns(), cuda.stream()?);
    let (y, dy, dx) = (y.ptr()?, dy.ptr()?, dx.ptr_mut()?);
    // SAFETY: all three are [n,c].
    unsafe { launchers::log_softmax_backward(stream, rows(n)?, 0, y, dy, dx, int(c)?, flag(acc)) }
}

/// What a search reads of every row. The host waits for it, once.
pub(crate) fn top_log_probs(
    cuda: &CudaDevice,
    x: &Tensor,
    k: usize,
    never: &[u32],
    named: u32,
) -> Result<Vec<TopLogProbs>> {
    let ((n, v), stream) = (x.shape().rows_and_columns(), cuda.stream()?);
    let (k, nevers) = (k.min(v), never.len());
    let mut list = cuda.room::<u32>(nevers);
    cuda.upload(never, list.ptr_mut(0)?)?;
    // Columns, their scores, the named scores: one piece of memory, so that one copy brings them.
    let mut found = cuda.room::<u32>(n * (2 * k + 1));
    let columns: PtrMut<u32> = found.ptr_mut(0)?;
    let (scores, named_scores) = (found.ptr_mut(n * k)?, found.ptr_mut(2 * n * k)?);
    let (x, list, named) = (x.ptr()?, list.ptr(0)?, int(named as usize)?);
    // SAFETY: `x` is [n,v] and `named` below v; the results have k, k and 1 elements a row.
    unsafe {
        launchers::top_log_probs(
            stream,
            rows(n)?,
            0,
            x,
            int(v)?,
            int(k)?,
            list,
            int(nevers)?,
            named,
            columns,
            scores,
            named_scores,
        )?;
    }
    let mut words = vec![0u32; n * (2 * k + 1)];
    let from: Ptr<u32> = found.ptr(0)?;
    cuda.download(from, &mut words)?;
    let score = |at: usize| f32::from_bits(words[at]) as Float;
    let row = |row: usize| {
        let places = row * k..(row + 1) * k;
        let there = places.filter(|&at| words[at] != u32::MAX);
        TopLogProbs {
            best: there.map(|at| (words[at], score(n * k + at))).collect(),
            named: score(2 * n * k + row),
        }
    };
    Ok((0..n).map(row).collect())
}

/// A block a row.
fn rows(n: usize) -> Result<[u32; 3]> {
    Ok([int(n)? as u32, 1, 1])
}
