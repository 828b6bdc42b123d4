//! Elements and ids between host and device. A device holds f32, whatever `Float` is.

use super::launch::PtrMut;
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

/// The first numbers of each buffer, as many as it says, on the host. The host waits once.
///
/// # Errors
/// [`Error::Cuda`](crate::Error::Cuda): also what any launch before it did wrong.
pub(crate) fn gather(cuda: &CudaDevice, sources: &[(&CudaBuffer, usize)]) -> Result<Vec<Vec<f64>>> {
    let total = sources.iter().map(|(_, n)| n).sum();
    let mut values = vec![0.0f64; total];
    match sources {
        [(buffer, _)] => cuda.download(buffer.ptr(0)?, &mut values)?,
        _ => {
            let mut together = cuda.room::<f64>(total);
            side_by_side(cuda, sources, together.ptr_mut(0)?)?;
            cuda.download(together.ptr(0)?, &mut values)?;
        }
    }
    let mut rest = values.as_slice();
    let mut take = |n| {
        let (first, others) = rest.split_at(n);
        rest = others;
        first.to_vec()
    };
    Ok(sources.iter().map(|&(_, n)| take(n)).collect())
}

/// Copies the first numbers of each buffer behind one another.
///
/// # Errors
/// [`Error::Cuda`](crate::Error::Cuda).
pub(super) fn side_by_side(
    cuda: &CudaDevice,
    sources: &[(&CudaBuffer, usize)],
    mut to: PtrMut<f64>,
) -> Result<()> {
    let stream = cuda.stream()?;
    for &(buffer, n) in sources {
        stream.copy(buffer.ptr(0)?, to, n)?;
        to = to.at(n);
    }
    Ok(())
}
