//! Attention, forward and backward: `kernels/cu/attention.cu`. A block a query of a sentence.

use super::launch::{Ptr, int};
use super::{CudaDevice, launchers};
use crate::ops::attention::Extents;
use crate::{Float, Ids, Result, Tensor};

/// The extents of a call as kernels take them, and the launches that more than one score wants.
struct Call<'a> {
    cuda: &'a CudaDevice,
    x: Extents<'a>,
    lens: Ptr<u32>,
    /// Bytes of the scores of one query.
    shared: u32,
}

impl<'a> Call<'a> {
    /// What `f` makes of the call, with the lengths on the device.
    fn with<R>(
        cuda: &'a CudaDevice,
        x: Extents<'a>,
        lens: &Ids,
        f: impl FnOnce(Call<'a>) -> Result<R>,
    ) -> Result<R> {
        let shared = int(4 * x.s)?.unsigned_abs();
        lens.on(cuda, |lens| f(Call { cuda, x, lens, shared }))
    }

    /// A block for every sentence of every query, or of every memory entry.
    fn grid(&self, rows: usize) -> Result<[u32; 3]> {
        Ok([int(self.x.b)?.unsigned_abs(), int(rows)?.unsigned_abs(), 1])
    }

    /// `ctx` and `align`, to be written.
    fn results(&self, like: &Tensor) -> (Tensor, Tensor) {
        let Extents { t, b, s, d, .. } = self.x;
        (Tensor::scratch(like.device(), [t, b, d]), Tensor::scratch(like.device(), [t, b, s]))
    }

    /// `dscores: [T,B,S]`, zero where padded.
    fn dscores(&self, dctx: &Tensor, values: &Tensor, align: &Tensor, scale: Float) -> Result<Tensor> {
        let Extents { t, b, s, d, .. } = self.x;
        Tensor::try_build(dctx.device(), [t, b, s], |mut out| {
            let (dctx, values, align, out) = (dctx.ptr()?, values.ptr()?, align.ptr()?, out.ptr_mut()?);
            let (stream, grid, scale) = (self.cuda.stream()?, self.grid(t)?, scale as f32);
            let (shared, lens) = (self.shared, self.lens);
            // SAFETY: the operands have been checked against the extents, and the lengths are at most S.
            unsafe {
                launchers::attention_scores_backward(
                    stream,
                    grid,
                    shared,
                    dctx,
                    values,
                    align,
                    lens,
                    scale,
                    out,
                    int(b)?,
                    int(s)?,
                    int(d)?,
                )
            }
        })
    }

    /// `y[t,b] = Σ_s weights[t,b,s]·x[s,b]`, `x` of `width`.
    fn sum_memory(&self, weights: &Tensor, x: &Tensor, width: usize) -> Result<Tensor> {
        let Extents { t, b, s, .. } = self.x;
        Tensor::try_build(x.device(), [t, b, width], |mut y| {
            let (weights, x, y) = (weights.ptr()?, x.ptr()?, y.ptr_mut()?);
            let (stream, grid, lens) = (self.cuda.stream()?, self.grid(t)?, self.lens);
            let (b, s, w) = (int(b)?, int(s)?, int(width)?);
            // SAFETY: `weights` is [T,B,S], `x` is [S,B,width], `y` is [T,B,width].
            unsafe { launchers::attention_sum_memory(stream, grid, 0, weights, x, lens, y, b, s, w) }
        })
    }

    /// `y[s,b] = Σ_t weights[t,b,s]·x[t,b]`, `x` of `width`; zero where padded.
    fn sum_queries(&self, weights: &Tensor, x: &Tensor, width: usize) -> Result<Tensor> {
        let Extents { t, b, s, .. } = self.x;
        Tensor::try_build(x.device(), [s, b, width], |mut y| {
            let (weights, x, y) = (weights.ptr()?, x.ptr()?, y.ptr_mut()?);
            let (stream, grid, lens) = (self.cuda.stream()?, self.grid(s)?, self.lens);
            let (t, b, s, w) = (int(t)?, int(b)?, int(s)?, int(width)?);
            // SAFETY: `weights` is [T,B,S], `x` is [T,B,width], `y` is [S,B,width].
            unsafe { launchers::attention_sum_queries(stream, grid, 0, weights, x, lens, y, t, b, s, w) }
        })
    }
}

pub(crate) fn dot(
    cuda: &CudaDevice,
    x: Extents<'_>,
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    lens: &Ids,
    scale: Float,
) -> Result<(Tensor, Tensor)> {
    Call::with(cuda, x, lens, |call| {
        let (mut ctx, mut align) = call.results(q);
        let (q, keys, values) = (q.ptr()?, keys.ptr()?, values.ptr()?);
        let (ctx_out, align_out) = (ctx.fresh_mut().ptr_mut()?, align.fresh_mut().ptr_mut()?);
        let (stream, grid, shared, lens) = (cuda.stream()?, call.grid(x.t)?, call.shared, call.lens);
        let (b, s, h, d) = (int(x.b)?, int(x.s)?, int(x.h)?, int(x.d)?);
        // SAFETY: the operands have been checked against the extents, and the lengths are at most S.
        unsafe {
            launchers::dot_attention(
                stream,
                grid,
                shared,
                q,
                keys,
                values,
                lens,
                scale as f32,
                ctx_out,
                align_out,
                b,
                s,
                h,
                d,
            )?;
        }
        Ok((ctx, align))
    })
}

/// `(dq, dkeys, dvalues)`.
pub(crate) fn dot_backward(
    cuda: &CudaDevice,
    x: Extents<'_>,
    dctx: &Tensor,
    q: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    align: &Tensor,
    lens: &Ids,
    scale: Float,
) -> Result<(Tensor, Tensor, Tensor)> {
    Call::with(cuda, x, lens, |call| {
        let dscores = call.dscores(dctx, values, align, scale)?;
        let dq = call.sum_memory(&dscores, keys, x.h)?;
        let dkeys = call.sum_queries(&dscores, q, x.h)?;
        Ok((dq, dkeys, call.sum_queries(align, dctx, x.d)?))
    })
}

pub(crate) fn additive(
    cuda: &CudaDevice,
    x: Extents<'_>,
    qp: &Tensor,
    kp: &Tensor,
    v: &Tensor,
    values: &Tensor,
    lens: &Ids,
) -> Result<(Tensor, Tensor)> {
    Call::with(cuda, x, lens, |call| {
        let (mut ctx, mut align) = call.results(qp);
        let (qp, kp, v, values) = (qp.ptr()?, kp.ptr()?, v.ptr()?, values.ptr()?);
        let (ctx_out, align_out) = (ctx.fresh_mut().ptr_mut()?, align.fresh_mut().ptr_mut()?);
        let (stream, grid, shared, lens) = (cuda.stream()?, call.grid(x.t)?, call.shared, call.lens);
        let (b, s, a, d) = (int(x.b)?, int(x.s)?, int(x.h)?, int(x.d)?);
        // SAFETY: the operands have been checked against the extents, and the lengths are at most S.
        unsafe {
            launchers::additive_attention(
                stream, grid, shared, qp, kp, v, values, lens, ctx_out, align_out, b, s, a, d,
            )?;
        }
        Ok((ctx, align))
    })
}

/// `(dqp, dkp, dv, dvalues)`.
pub(crate) fn additive_backward(
    cuda: &CudaDevice,
    x: Extents<'_>,
    dctx: &Tensor,
    qp: &Tensor,
    kp: &Tensor,
    v: &Tensor,
    values: &Tensor,
    align: &Tensor,
    lens: &Ids,
) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
    Call::with(cuda, x, lens, |call| {
        let device = qp.device();
        let dscores = call.dscores(dctx, values, align, 1.0)?;
        let mut dqp = Tensor::scratch(device, qp.shape());
        let mut dkp = Tensor::scratch(device, kp.shape());
        // Each sentence's share of dv, added up in order below.
        let mut shares = Tensor::scratch(device, [x.b, x.h]);
        let stream = cuda.stream()?;
        let (t, b, s, a) = (int(x.t)?, int(x.b)?, int(x.s)?, int(x.h)?);
        let grid = [a.unsigned_abs().div_ceil(64), b.unsigned_abs(), 1];
        let (ds, qp, kp, v, lens) = (dscores.ptr()?, qp.ptr()?, kp.ptr()?, v.ptr()?, call.lens);
        let (dqp_out, dkp_out) = (dqp.fresh_mut().ptr_mut()?, dkp.fresh_mut().ptr_mut()?);
        let shares_out = shares.fresh_mut().ptr_mut()?;
        // SAFETY: the operands have been checked against the extents, and the lengths are at most S.
        unsafe {
            launchers::additive_scores_backward(
                stream, grid, 0, ds, qp, kp, v, lens, dqp_out, dkp_out, shares_out, t, b, s, a,
            )?;
        }
        let dv = Tensor::try_build(device, [x.h], |mut dv| {
            let (grid, dv) = ([a.unsigned_abs().div_ceil(128), 1, 1], dv.ptr_mut()?);
            // SAFETY: `shares` is [B,A], `dv` has A elements.
            unsafe { launchers::sum_shares(stream, grid, 0, shares.ptr()?, dv, b, a) }
        })?;
        Ok((dqp, dkp, dv, call.sum_queries(align, dctx, x.d)?))
    })
}
