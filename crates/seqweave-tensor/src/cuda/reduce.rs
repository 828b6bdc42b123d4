//! Sums, means, maxima: `kernels/cu/reduce.cu`.

use super::launch::{PtrMut, flag, int};
use super::{CudaDevice, launchers};
use crate::{Acc, Result, Tensor, TensorMut};

/// Elements of a chunk, which a warp sums in f64.
const CHUNK: usize = 1 << 14;

/// `Σ x / divisor`, shape `[1]`.
pub(crate) fn sum(cuda: &CudaDevice, x: &Tensor, divisor: u64) -> Result<Tensor> {
    Tensor::try_build(x.device(), [1], |mut y| {
        let mut total = cuda.room::<f64>(1);
        total_of_chunks(cuda, x, 0, divisor, total.ptr_mut(0)?, y.ptr_mut()?)
    })
}

/// `Σ x²` in f64. The host waits for it.
pub(crate) fn sum_squares(cuda: &CudaDevice, x: &Tensor) -> Result<f64> {
    let (mut total, mut rounded) = (cuda.room::<f64>(1), cuda.room::<f32>(1));
    total_of_chunks(cuda, x, 1, 1, total.ptr_mut(0)?, rounded.ptr_mut(0)?)?;
    let mut squares = [0.0];
    cuda.download(total.ptr(0)?, &mut squares)?;
    Ok(squares[0])
}

pub(super) fn total_of_chunks(
    cuda: &CudaDevice,
    x: &Tensor,
    squares: i32,
    divisor: u64,
    total: PtrMut<f64>,
    rounded: PtrMut<f32>,
) -> Result<()> {
    let (stream, n) = (cuda.stream()?, x.numel());
    let chunks = n.div_ceil(CHUNK);
    let mut partials = cuda.room::<f64>(chunks);
    let grid = [chunks.div_ceil(8) as u32, 1, 1];
    // SAFETY: there is one partial a chunk; total and rounded hold one value.
    unsafe {
        launchers::chunk_sums(stream, grid, 0, x.ptr()?, partials.ptr_mut(0)?, int(n)?, squares)?;
        launchers::sum_partials(stream, [1; 3], 0, partials.ptr(0)?, int(chunks)?, divisor, total, rounded)
    }
}

/// The flat index of the first NaN or infinity. The host waits for it.
pub(crate) fn first_non_finite(cuda: &CudaDevice, x: &Tensor) -> Result<Option<usize>> {
    let (stream, n) = (cuda.stream()?, x.numel());
    let mut first = cuda.room::<u32>(1);
    let at: PtrMut<u32> = first.ptr_mut(0)?;
    stream.set_bytes(at.address(), 0xff, size_of::<u32>())?;
    // SAFETY: `x` has `n` elements, `first` holds one value.
    unsafe { launchers::first_non_finite(stream, super::elementwise::grid(n), 0, x.ptr()?, at, int(n)?)? };
    let mut found = [u32::MAX];
    cuda.download(at.read(), &mut found)?;
    Ok((found[0] != u32::MAX).then_some(found[0] as usize))
}

pub(crate) fn sum_rows(cuda: &CudaDevice, x: &Tensor, acc: Acc, mut y: TensorMut<'_>) -> Result<()> {
    let ((n, c), stream) = (x.shape().rows_and_columns(), cuda.stream()?);
    let grid = [c.div_ceil(32) as u32, 1, 1];
    // SAFETY: `x` is [n,c], `y` has `c` elements.
    unsafe { launchers::sum_rows(stream, grid, 0, x.ptr()?, y.ptr_mut()?, int(n)?, int(c)?, flag(acc)) }
}

pub(crate) fn sum_last(cuda: &CudaDevice, x: &Tensor, mut y: TensorMut<'_>) -> Result<()> {
    let ((n, c), stream) = (x.shape().rows_and_columns(), cuda.stream()?);
    // SAFETY: `x` is [n,c], `y` has `n` elements.
    unsafe { launchers::sum_last(stream, warp_a_row(n), 0, x.ptr()?, y.ptr_mut()?, int(n)?, int(c)?) }
}

pub(crate) fn max_last(cuda: &CudaDevice, x: &Tensor, mut y: TensorMut<'_>) -> Result<()> {
    let mut at = cuda.room::<u32>(y.numel());
    max_and_place(cuda, x, y.ptr_mut()?, at.ptr_mut(0)?)
}

/// The place of the maximum of every row. The host waits for them.
pub(crate) fn argmax_last(cuda: &CudaDevice, x: &Tensor) -> Result<Vec<u32>> {
    let (n, _) = x.shape().rows_and_columns();
    let (mut max, mut at) = (cuda.room::<f32>(n), cuda.room::<u32>(n));
    max_and_place(cuda, x, max.ptr_mut(0)?, at.ptr_mut(0)?)?;
    let mut places = vec![0; n];
    cuda.download(at.ptr(0)?, &mut places)?;
    Ok(places)
}

fn max_and_place(cuda: &CudaDevice, x: &Tensor, max: PtrMut<f32>, at: PtrMut<u32>) -> Result<()> {
    let ((n, c), stream) = (x.shape().rows_and_columns(), cuda.stream()?);
    // SAFETY: `x` is [n,c] with c > 0, `max` and `at` have `n` elements.
    unsafe { launchers::max_last(stream, warp_a_row(n), 0, x.ptr()?, max, at, int(n)?, int(c)?) }
}

/// Blocks of eight warps for `n` rows.
fn warp_a_row(n: usize) -> [u32; 3] {
    [n.div_ceil(8) as u32, 1, 1]
}
