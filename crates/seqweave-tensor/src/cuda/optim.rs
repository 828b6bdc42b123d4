//! Optimizer steps over flat buffers: `kernels/cu/optim.cu`.

use super::copy::side_by_side;
use super::launch::{Ptr, PtrMut, int};
use super::reduce::total_of_chunks;
use super::{CudaDevice, launchers};
use crate::ops::{AdamFactors, GradScale, SgdStep};
use crate::{Error, Float, Pending, Result, Tensor, TensorMut};

/// Four elements a thread.
fn grid(n: usize) -> [u32; 3] {
    [n.div_ceil(1024).min(4096) as u32, 1, 1]
}

/// What a gradient is multiplied with; the host does not wait for it.
pub(crate) fn clip_factor(
    cuda: &CudaDevice,
    g: &Tensor,
    clip: Option<Float>,
    losses: &[&Pending],
) -> Result<GradScale> {
    let (mut squares, mut rounded) = (cuda.room::<f64>(1), cuda.room::<f32>(1));
    total_of_chunks(cuda, g, 1, 1, squares.ptr_mut(0)?, rounded.ptr_mut(0)?)?;
    let mut first = cuda.room::<f64>(losses.len().max(1));
    for (i, loss) in losses.iter().enumerate() {
        match loss.source() {
            Some((device, buffer, _)) if device.is(cuda) => {
                side_by_side(cuda, &[(buffer, 1)], first.ptr_mut(i)?)?;
            }
            _ => cuda.upload(&loss.values()?[..1], first.ptr_mut(i)?)?,
        }
    }
    let (mut numbers, mut factor) = (cuda.room::<f64>(2), cuda.room::<f32>(1));
    let clip = clip.unwrap_or(Float::INFINITY) as f32;
    let (squares, first, count) = (squares.ptr(0)?, first.ptr(0)?, int(losses.len())?);
    let stream = cuda.stream()?;
    // SAFETY: there is one sum of squares and a number for every loss; two numbers and a factor come out.
    unsafe {
        let (numbers, factor) = (numbers.ptr_mut(0)?, factor.ptr_mut(0)?);
        launchers::clip_factor(stream, [1; 3], 0, squares, first, count, clip, numbers, factor)?;
    }
    Ok(GradScale::on_device(Pending::on_device(cuda, numbers, 2), factor))
}

/// Calls `f` with the address of the factor, which is copied to the device if the host chose it.
fn with_factor(cuda: &CudaDevice, scale: &GradScale, f: impl FnOnce(Ptr<f32>) -> Result<()>) -> Result<()> {
    if let Some(buffer) = scale.buffer().filter(|buffer| buffer.device().is(cuda)) {
        return f(buffer.ptr(0)?);
    }
    let mut factor = cuda.room::<f32>(1);
    cuda.upload(&[scale.factor()? as f32], factor.ptr_mut(0)?)?;
    f(factor.ptr(0)?)
}

pub(crate) fn adam(
    cuda: &CudaDevice,
    mut p: TensorMut<'_>,
    g: &Tensor,
    mut m: TensorMut<'_>,
    mut v: TensorMut<'_>,
    f: AdamFactors,
    scale: &GradScale,
) -> Result<()> {
    // The kernel takes four elements at once, from a multiple of 16 bytes on. A view that starts before one, as that of a
    // group of parameters may, is done in two launches: up to three elements, which it takes one by one, and the rest.
    let (n, past) = (p.numel(), (p.ptr_mut()?.address() / 4 % 4) as usize);
    if past > 0 && n >= 4 {
        let (head, rest) = (4 - past, n - (4 - past));
        for (start, len) in [(0, head), (head, rest)] {
            let (p, m, v) = (p.flat_mut(start, [len])?, m.flat_mut(start, [len])?, v.flat_mut(start, [len])?);
            adam(cuda, p, &g.flat(start, [len])?, m, v, f, scale)?;
        }
        return Ok(());
    }
    let (p, g, m, v) = (p.ptr_mut()?, g.ptr()?, m.ptr_mut()?, v.ptr_mut()?);
    if n >= 4 && [p.address(), g.address(), m.address(), v.address()].iter().any(|address| address % 16 != 0)
    {
        let expected = "views that start as many elements after a multiple of four";
        return Err(Error::Value { op: "adam", name: "operands", expected, found: "others".to_owned() });
    }
    let no_copy = PtrMut::new(Ptr::<u16>::null().address());
    // SAFETY: all four have `n` elements and, where these are four or more, are aligned to 16 bytes; there is no bf16 copy.
    with_factor(cuda, scale, |factor| unsafe {
        launchers::adam(
            cuda.stream()?,
            grid(n),
            0,
            p,
            g,
            m,
            v,
            no_copy,
            factor,
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
    })
}

pub(crate) fn sgd(
    cuda: &CudaDevice,
    mut p: TensorMut<'_>,
    g: &Tensor,
    momentum_buf: Option<TensorMut<'_>>,
    step: &SgdStep,
    scale: &GradScale,
) -> Result<()> {
    let (n, stream) = (p.numel(), cuda.stream()?);
    let (p, g) = (p.ptr_mut()?, g.ptr()?);
    let (lr, decay, momentum) = (step.lr as f32, step.weight_decay as f32, step.momentum as f32);
    let Some(mut buf) = momentum_buf else {
        // SAFETY: both have `n` elements.
        return with_factor(cuda, scale, |factor| unsafe {
            launchers::sgd(stream, grid(n), 0, p, g, factor, lr, decay, int(n)?)
        });
    };
    let (ahead, here) = if step.nesterov { (momentum, 1.0) } else { (1.0, 0.0) };
    let buf = buf.ptr_mut()?;
    // SAFETY: all three have `n` elements.
    with_factor(cuda, scale, |factor| unsafe {
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
    })
}
