//! Cross entropy straight from logits: `kernels/cu/cross_entropy.cu`. A block a row.

use super::launch::{Ptr, PtrMut, flag, int};
use super::matmul::{Left, Right, Rounded, Start};
use super::{CudaBuffer, CudaDevice, launchers};
use crate::ops::{CrossEntropy, LinearCrossEntropy, LinearCrossEntropyGrads, LossTotals, Weight};
use crate::{Acc, Float, Ids, Pending, Precision, Result, Tensor, TensorMut, Trans};

/// Numbers in [`LossTotals`].
const TOTALS: usize = 3;

/// What the rows of a batch come to: their sum and what else is counted stays on the device until the host asks for it.
struct Rows {
    losses: CudaBuffer,
    marks: CudaBuffer,
}

impl Rows {
    fn new(cuda: &CudaDevice, n: usize) -> Rows {
        Rows { losses: cuda.room::<f64>(2 * n), marks: cuda.room::<u32>(n) }
    }

    fn out(&mut self) -> Result<(PtrMut<f64>, PtrMut<u32>)> {
        Ok((self.losses.ptr_mut(0)?, self.marks.ptr_mut(0)?))
    }

    fn total(&self, cuda: &CudaDevice, logits: &Tensor, n: usize) -> Result<(Tensor, LossTotals)> {
        let (mut loss, mut totals) = (Tensor::scratch(logits.device(), [1]), cuda.room::<f64>(TOTALS));
        let (totals_out, loss_out) = (totals.ptr_mut(0)?, loss.fresh_mut().ptr_mut()?);
        let (losses, marks): (Ptr<f64>, _) = (self.losses.ptr(0)?, self.marks.ptr(0)?);
        // SAFETY: there are two losses and a mark for every row.
        unsafe {
            let stream = cuda.stream()?;
            launchers::cross_entropy_totals(stream, [1; 3], 0, losses, marks, int(n)?, totals_out, loss_out)?;
        }
        Ok((loss, LossTotals::new(Pending::on_device(cuda, totals, TOTALS))))
    }
}

fn counted(targets: &Ids, ignore: u32) -> usize {
    targets.as_slice().iter().filter(|&&target| target != ignore).count()
}

/// The loss of a batch.
pub(crate) fn cross_entropy(
    cuda: &CudaDevice,
    logits: &Tensor,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
) -> Result<CrossEntropy> {
    let ((n, v), stream) = (logits.shape().rows_and_columns(), cuda.stream()?);
    let (mut stats, mut rows) = (Tensor::scratch(logits.device(), [n, 2]), Rows::new(cuda, n));
    let (stats_out, (losses, marks)) = (stats.fresh_mut().ptr_mut()?, rows.out()?);
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
                losses,
                marks,
            )
        }
    })?;
    let (loss, totals) = rows.total(cuda, logits, n)?;
    Ok(CrossEntropy { loss, count: counted(targets, ignore), totals, stats })
}

/// The gradient of logits in bfloat16, as the products with it want it.
pub(crate) struct RoundedGradient {
    dz: Rounded,
    at: Ptr<u16>,
    rows: usize,
    columns: usize,
    ld: usize,
}

/// [`cross_entropy`] and the gradient of `scale·loss`, if it is to be in bfloat16 and a row fits a block's memory.
///
/// Gives the loss without gradients, and the gradient of the logits.
pub(crate) fn rounded(
    cuda: &CudaDevice,
    logits: &Tensor,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
    scale: Float,
) -> Result<Option<(LinearCrossEntropy, RoundedGradient)>> {
    /// More than the kernel's own shared memory.
    const OWN: usize = 1 << 10;
    let ((n, v), stream) = (logits.shape().rows_and_columns(), cuda.stream()?);
    let ld = v.next_multiple_of(8);
    let shared = ld * size_of::<f32>();
    let fits = n > 0 && shared + OWN <= stream.shared_limit() as usize;
    if !cuda.is_training() || cuda.precision() != Precision::Bf16 || !fits {
        return Ok(None);
    }
    let (mut dz, mut rows) = (cuda.alloc((n * ld).div_ceil(2)), Rows::new(cuda, n));
    let (dz_out, (losses, marks)) = (dz.ptr_mut(0)?, rows.out()?);
    let (uniform, peak) = (smoothing / v as Float, (1.0 - smoothing) * scale);
    targets.on(cuda, |ids| {
        // SAFETY: `logits` is [n,v], `dz` [n,ld]; every row has a target, two losses and a mark; targets are below v.
        unsafe {
            launchers::cross_entropy_rounded(
                stream,
                [int(n)? as u32, 1, 1],
                int(shared)? as u32,
                logits.ptr()?,
                ids,
                ignore,
                smoothing as f32,
                uniform as f32,
                scale as f32,
                peak as f32,
                int(v)?,
                int(ld)?,
                losses,
                marks,
                dz_out,
            )
        }
    })?;
    let (loss, totals) = rows.total(cuda, logits, n)?;
    let (at, dz) = (dz_out.read(), Rounded::made(dz, ld));
    let loss = LinearCrossEntropy { loss, count: counted(targets, ignore), totals, grads: None };
    Ok(Some((loss, RoundedGradient { dz, at, rows: n, columns: v, ld })))
}

impl RoundedGradient {
    /// What it gives for `x·wᵀ + b`: dx = dz·w, dw = dzᵀ·x, db = Σ dz.
    pub(crate) fn of_linear(
        &self,
        cuda: &CudaDevice,
        x: &Tensor,
        w: &Weight,
        b: Option<&Tensor>,
    ) -> Result<LinearCrossEntropyGrads> {
        let left = |trans| Left::of_rounded(self.dz.clone(), self.columns, trans);
        let device = x.device();
        let dx = Tensor::try_build(device, *x.shape(), |mut dx| {
            w.plain().right().multiply(cuda, self.rows, left(Trans::N), Start::Zero, dx.ptr_mut()?)
        })?;
        let dw = Tensor::try_build(device, *w.value().shape(), |mut dw| {
            let right = Right::new(x, Trans::N, Rounded::of_operand(x));
            right.multiply(cuda, self.columns, left(Trans::T), Start::Zero, dw.ptr_mut()?)
        })?;
        let db =
            b.map(|b| Tensor::try_build(device, *b.shape(), |mut db| self.sum_rows(cuda, db.ptr_mut()?)));
        Ok(LinearCrossEntropyGrads { dx, dw, db: db.transpose()? })
    }

    fn sum_rows(&self, cuda: &CudaDevice, db: PtrMut<f32>) -> Result<()> {
        let (n, v, ld) = (int(self.rows)?, int(self.columns)?, int(self.ld)?);
        let grid = [self.columns.div_ceil(32) as u32, 1, 1];
        // SAFETY: there are n rows of v numbers, `ld` apart, and v sums.
        unsafe { launchers::sum_rows_rounded(cuda.stream()?, grid, 0, self.at, ld, db, n, v) }
    }
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
