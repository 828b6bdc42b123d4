//! Optimizer steps over flat buffers: `kernels/cu/optim.cu`.

use super::launch::{Ptr, PtrMut, int};
use super::{CudaBuffer, CudaDevice, launchers};
use crate::ops::{AdamFactors, SgdStep};
use crate::{Error, Float, Result, Tensor, TensorMut};

/// Four elements a thread.
fn grid(n: usize) -> [u32; 3] {
    [n.div_ceil(1024).min(4096) as u32, 1, 1]
}

/// The factor on the gradient, which the kernels read from the device.
fn factor(cuda: &CudaDevice, scale: Float) -> Result<CudaBuffer> {
    let mut factor = cuda.room::<f32>(1);
    cuda.upload(&[scale as f32], factor.ptr_mut(0)?)?;
    Ok(factor)
}

pub(crate) fn adam(
    cuda: &CudaDevice,
    mut p: TensorMut<'_>,
    g: &Tensor,
    mut m: TensorMut<'_>,
    mut v: TensorMut<'_>,
    f: AdamFactors,
) -> Result<()> {
    let (n, factor) = (p.numel(), factor(cuda, f.grad_scale)?);
    let (p, g, m, v) = (p.ptr_mut()?, g.ptr()?, m.ptr_mut()?, v.ptr_mut()?);
    if [p.address(), g.address(), m.address(), v.address()].iter().any(|address| address % 16 != 0) {
        let expected = "whole tensors, or views that start at a multiple of four elements";
        return Err(Error::Value { op: "adam", name: "operands", expected, found: "others".to_owned() });
    }
    let no_copy = PtrMut::new(Ptr::<u16>::null().address());
    // SAFETY: all four have `n` elements and are aligned to 16 bytes; there is no bf16 copy.
    unsafe {
        launchers::adam(
            cuda.stream()?,
            grid(n),
            0,
            p,
            g,
            m,
            v,
            no_copy,
            factor.ptr(0)?,
            f.decay as f32,
            f.shrink as f32,
            f.mix1 as f32,
            f.beta2 as f32,
            f.mix2 as f32,
            f.step_size as f32,
            f.root2 as f32,
            f.eps as f32,
            int(n)?,
        )
    }
}

pub(crate) fn sgd(
    cuda: &CudaDevice,
    mut p: TensorMut<'_>,
    g: &Tensor,
    momentum_buf: Option<TensorMut<'_>>,
    step: &SgdStep,
) -> Result<()> {
    let (n, factor, stream) = (p.numel(), factor(cuda, step.grad_scale)?, cuda.stream()?);
    let (p, g, factor) = (p.ptr_mut()?, g.ptr()?, factor.ptr(0)?);
    let (lr, decay, momentum) = (step.lr as f32, step.weight_decay as f32, step.momentum as f32);
    let Some(mut buf) = momentum_buf else {
        // SAFETY: both have `n` elements.
        return unsafe { launchers::sgd(stream, grid(n), 0, p, g, factor, lr, decay, int(n)?) };
    };
    let (ahead, here) = if step.nesterov { (momentum, 1.0) } else { (1.0, 0.0) };
    let buf = buf.ptr_mut()?;
    // SAFETY: all three have `n` elements.
    unsafe {
        launchers::sgd_momentum(
            stream,
            grid(n),
            0,
            p,
            g,
            buf,
            factor,
            lr,
            momentum,
            ahead,
            here,
            decay,
            int(n)?,
        )
    }
}
