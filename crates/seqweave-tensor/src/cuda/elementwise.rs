//! Pointwise operations: `kernels/cu/elementwise.cu`.

use super::CudaDevice;
use super::launch::{Ptr, PtrMut, flag, int};
use super::launchers;
use super::stream::Stream;
use crate::{Acc, Float, Result, Tensor, TensorMut};

/// The launcher of a kernel `y (+)= f(a, b)`.
pub(crate) type Binary =
    unsafe fn(&Stream, [u32; 3], u32, Ptr<f32>, Ptr<f32>, PtrMut<f32>, i32, i32) -> Result<()>;

/// The launcher of a kernel `y = f(x)`.
pub(crate) type Unary = unsafe fn(&Stream, [u32; 3], u32, Ptr<f32>, PtrMut<f32>, i32) -> Result<()>;

/// Blocks for `n` elements, four a thread; more elements than that are taken in turns.
pub(super) fn grid(n: usize) -> [u32; 3] {
    [n.div_ceil(1024).clamp(1, 2048) as u32, 1, 1]
}

pub(crate) fn binary(
    cuda: &CudaDevice,
    kernel: Binary,
    a: &Tensor,
    b: &Tensor,
    acc: Acc,
    mut y: TensorMut<'_>,
) -> Result<()> {
    let n = y.numel();
    // SAFETY: all three have `n` elements.
    unsafe { kernel(cuda.stream()?, grid(n), 0, a.ptr()?, b.ptr()?, y.ptr_mut()?, int(n)?, flag(acc)) }
}

pub(crate) fn unary(cuda: &CudaDevice, kernel: Unary, x: &Tensor, mut y: TensorMut<'_>) -> Result<()> {
    let n = y.numel();
    // SAFETY: both have `n` elements.
    unsafe { kernel(cuda.stream()?, grid(n), 0, x.ptr()?, y.ptr_mut()?, int(n)?) }
}

pub(crate) fn scale(cuda: &CudaDevice, x: &Tensor, s: Float, acc: Acc, mut y: TensorMut<'_>) -> Result<()> {
    let (n, stream) = (y.numel(), cuda.stream()?);
    // SAFETY: both have `n` elements.
    unsafe { launchers::scale(stream, grid(n), 0, x.ptr()?, s as f32, y.ptr_mut()?, int(n)?, flag(acc)) }
}

pub(crate) fn fill(cuda: &CudaDevice, value: Float, mut y: TensorMut<'_>) -> Result<()> {
    let (n, stream) = (y.numel(), cuda.stream()?);
    // SAFETY: `y` has `n` elements.
    unsafe { launchers::fill(stream, grid(n), 0, value as f32, y.ptr_mut()?, int(n)?) }
}

pub(crate) fn add_bias(cuda: &CudaDevice, x: &Tensor, b: &Tensor, mut y: TensorMut<'_>) -> Result<()> {
    let (n, c, stream) = (y.numel(), b.numel(), cuda.stream()?);
    // SAFETY: `x` and `y` have `n` elements in rows of `c`, `b` has `c`.
    unsafe { launchers::add_bias(stream, grid(n), 0, x.ptr()?, b.ptr()?, y.ptr_mut()?, int(n)?, int(c)?) }
}
