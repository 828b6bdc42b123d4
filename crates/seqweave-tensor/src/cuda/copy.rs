//! Elements and ids between host and device. A device holds f32, whatever `Float` is.

use super::{CudaBuffer, CudaDevice};
use crate::{Float, Result, Tensor, TensorMut};

/// A copy of `x` on the host.
///
/// # Errors
/// [`Error::Cuda`](crate::Error::Cuda): also what any launch before it did wrong.
pub(crate) fn read(cuda: &CudaDevice, x: &Tensor) -> Result<Vec<Float>> {
    let mut values = vec![0.0f32; x.numel()];
    cuda.download(x.ptr()?, &mut values)?;
    Ok(values.into_iter().map(|x| x as Float).collect())
}

/// Copies host values into `out`, which has as many elements. An error is remembered.
pub(crate) fn write(cuda: &CudaDevice, values: &[Float], mut out: TensorMut<'_>) {
    let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    if let Err(error) = out.ptr_mut().and_then(|to| cuda.upload(&values, to)) {
        cuda.remember(error);
    }
}

/// Copies `x` into `out`, which has as many elements on the same device.
///
/// # Errors
/// [`Error::Cuda`](crate::Error::Cuda).
pub(crate) fn copy(cuda: &CudaDevice, x: &Tensor, mut out: TensorMut<'_>) -> Result<()> {
    cuda.stream()?.copy(x.ptr()?, out.ptr_mut()?, x.numel())
}

/// A copy of ids on the device.
///
/// # Errors
/// [`Error::Cuda`](crate::Error::Cuda).
pub(crate) fn ids(cuda: &CudaDevice, ids: &[u32]) -> Result<CudaBuffer> {
    let mut buffer = cuda.alloc(ids.len());
    cuda.upload(ids, buffer.ptr_mut(0)?)?;
    Ok(buffer)
}
