//! Layer normalisation: `kernels/cu/norm.cu`. A block a row.

use super::launch::int;
use super::{CudaDevice, launchers, reduce};
use crate::{Acc, Float, Result, Tensor, TensorMut};

/// Gives the stats, `[N,2]`.
pub(crate) fn layer_norm(
    cuda: &CudaDevice,
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: Float,
    mut y: TensorMut<'_>,
) -> Result<Tensor> {
    let (n, c) = x.shape().rows_and_columns();
    Tensor::try_build(x.device(), [n, 2], |mut stats| {
        let (stream, grid) = (cuda.stream()?, [int(n)? as u32, 1, 1]);
        let (x, gamma, beta, y, stats) =
            (x.ptr()?, gamma.ptr()?, beta.ptr()?, y.ptr_mut()?, stats.ptr_mut()?);
        // SAFETY: `x` and `y` are [n,c], `gamma` and `beta` have c elements, `stats` is [n,2].
        unsafe { launchers::layer_norm(stream, grid, 0, x, gamma, beta, eps as f32, y, stats, int(c)?) }
    })
}

/// `(dx, dgamma, dbeta)`.
pub(crate) fn layer_norm_backward(
    cuda: &CudaDevice,
    dy: &Tensor,
    x: &Tensor,
    gamma: &Tensor,
    stats: &Tensor,
) -> Result<(Tensor, Tensor, Tensor)> {
    let ((n, c), stream) = (x.shape().rows_and_columns(), cuda.stream()?);
    let dbeta = Tensor::try_build(x.device(), [c], |dbeta| reduce::sum_rows(cuda, dy, Acc::Set, dbeta))?;
    let (rows, columns) = ([int(n)? as u32, 1, 1], [c.div_ceil(32) as u32, 1, 1]);
    let dx = Tensor::try_build(x.device(), x.shape(), |mut dx| {
        let (dy, x, gamma, stats, dx) = (dy.ptr()?, x.ptr()?, gamma.ptr()?, stats.ptr()?, dx.ptr_mut()?);
        // SAFETY: `dy`, `x` and `dx` are [n,c], `gamma` has c elements, `stats` is [n,2].
        unsafe { launchers::layer_norm_backward(stream, rows, 0, dy, x, gamma, stats, dx, int(c)?) }
    })?;
    let dgamma = Tensor::try_build(x.device(), [c], |mut dgamma| {
        let (dy, x, stats, dgamma) = (dy.ptr()?, x.ptr()?, stats.ptr()?, dgamma.ptr_mut()?);
        // SAFETY: as above; `dgamma` has c elements.
        unsafe { launchers::layer_norm_gamma(stream, columns, 0, dy, x, stats, dgamma, int(n)?, int(c)?, 0) }
    })?;
    Ok((dx, dgamma, dbeta))
}
