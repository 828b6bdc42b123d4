//! Cross entropy straight from logits: `kernels/cu/cross_entropy.cu`. A block a row.

use super::launch::{flag, int};
use super::{CudaDevice, launchers};
use crate::ops::{CrossEntropy, LossTotals};
use crate::{Acc, Float, Ids, Pending, Result, Tensor, TensorMut};

/// Numbers in [`LossTotals`].
const TOTALS: usize = 3;

/// The loss of a batch. Its totals stay on the device until the host asks for them.
pub(crate) fn cross_entropy(
    cuda: &CudaDevice,
    logits: &Tensor,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
) -> Result<CrossEntropy> {
    let ((n, v), stream) = (logits.shape().rows_and_columns(), cuda.stream()?);
    let (mut loss, mut stats) =
        (Tensor::scratch(logits.device(), [1]), Tensor::scratch(logits.device(), [n, 2]));
    let (mut losses, mut marks) = (cuda.room::<f64>(2 * n), cuda.room::<u32>(n));
    let mut totals = cuda.room::<f64>(TOTALS);
    let totals_out = totals.ptr_mut(0)?;
    let (loss_out, stats_out) = (loss.fresh_mut().ptr_mut()?, stats.fresh_mut().ptr_mut()?);
    let (losses_out, marks_out) = (losses.ptr_mut(0)?, marks.ptr_mut(0)?);
    targets.on(cuda, |ids| {
        // SAFETY: `logits` is [n,v]; every row has a target, two stats, two losses and a mark; targets are below v.
        unsafe {
            launchers::cross_entropy(
                stream,
                [int(n)? as u32, 1, 1],
                0,
                logits.ptr()?,
                ids,
                ignore,
                smoothing as f32,
                int(v)?,
                stats_out,
                losses_out,
                marks_out,
            )?;
            let (losses, marks) = (losses_out.read(), marks_out.read());
            launchers::cross_entropy_totals(stream, [1; 3], 0, losses, marks, int(n)?, totals_out, loss_out)
        }
    })?;
    let count = targets.as_slice().iter().filter(|&&target| target != ignore).count();
    let totals = LossTotals::new(Pending::on_device(cuda, totals, TOTALS));
    Ok(CrossEntropy { loss, count, totals, stats })
}

pub(crate) fn backward(
    cuda: &CudaDevice,
    logits: &Tensor,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
    stats: &Tensor,
    scale: Float,
    acc: Acc,
    mut dlogits: TensorMut<'_>,
) -> Result<()> {
    let ((n, v), stream) = (logits.shape().rows_and_columns(), cuda.stream()?);
    let (uniform, peak) = (smoothing / v as Float, (1.0 - smoothing) * scale);
    let (logits, stats, dlogits) = (logits.ptr()?, stats.ptr()?, dlogits.ptr_mut()?);
    targets.on(cuda, |ids| {
        // SAFETY: `logits` and `dlogits` are [n,v], `stats` is [n,2], and there are n targets.
        unsafe {
            launchers::cross_entropy_backward(
                stream,
                [int(n)? as u32, 1, 1],
                0,
                logits,
                ids,
                ignore,
                stats,
                uniform as f32,
                scale as f32,
                peak as f32,
                int(v)?,
                dlogits,
                flag(acc),
            )
        }
    })
}
