//! Dropout whose mask is a function of the position: `kernels/cu/dropout.cu`.

use super::elementwise::grid;
use super::launch::int;
use super::{CudaDevice, launchers};
use crate::{Float, Philox, Result, Tensor, TensorMut};

/// Words below `threshold` (of 2²⁴) drop their element.
pub(crate) fn dropout(
    cuda: &CudaDevice,
    x: &Tensor,
    key: Philox,
    op: u32,
    threshold: u32,
    scale: Float,
    mut y: TensorMut<'_>,
) -> Result<()> {
    let (n, stream) = (x.numel(), cuda.stream()?);
    let (x, y, scale) = (x.ptr()?, y.ptr_mut()?, scale as f32);
    // SAFETY: both have `n` elements.
    unsafe { launchers::dropout(stream, grid(n), 0, x, y, int(n)?, key.seed, key.step, op, threshold, scale) }
}
