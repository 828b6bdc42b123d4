//! Optimizer steps over flat buffers, one pass each, as in `torch.optim`.
//!
//! A [`GradScale`] multiplies the gradient before anything else: it is where clipping goes.
//! Scalars such as the bias corrections are computed in f64 and rounded once.

use super::{GradScale, check};
use crate::cuda;
use crate::math::simd;
use crate::parallel::SERIAL_BELOW;
use crate::{Device, Float, Result, Tensor, TensorMut};
use rayon::prelude::*;

/// Elements of each buffer a task handles at once.
const CHUNK: usize = 4096;

/// Settings of one [`adam`] step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate.
    pub lr: Float,
    /// Decay of the mean of gradients, usually 0.9.
    pub beta1: Float,
    /// Decay of the mean of squared gradients, usually 0.999.
    pub beta2: Float,
    /// Added to the root of the second moment, usually 1e-8.
    pub eps: Float,
    /// Weight decay λ.
    pub weight_decay: Float,
    /// `false`: λ·p is added to the gradient (Adam). `true`: p shrinks by lr·λ first (AdamW).
    pub decoupled: bool,
    /// Number of this step, from 1.
    pub step: u64,
}

/// Settings of one [`sgd`] step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub lr: Float,
    /// Momentum μ; 0 for none.
    pub momentum: Float,
    /// Looks ahead along the momentum (Nesterov).
    pub nesterov: bool,
    /// Weight decay λ; λ·p is added to the gradient.
    pub weight_decay: Float,
}

/// [`AdamStep`] as the loop wants it.
#[derive(Clone, Copy)]
pub(crate) struct AdamFactors {
    pub(crate) decay: Float,
    pub(crate) shrink: Float,
    pub(crate) mix1: Float,
    pub(crate) beta2: Float,
    pub(crate) mix2: Float,
    pub(crate) step_size: Float,
    pub(crate) root2: Float,
    pub(crate) eps: Float,
}

impl AdamStep {
    /// Computed in f64, rounded once.
    fn factors(&self) -> AdamFactors {
        let (lr, decay, beta1, beta2) =
            (self.lr as f64, self.weight_decay as f64, self.beta1 as f64, self.beta2 as f64);
        let t = self.step as f64;
        AdamFactors {
            decay: if self.decoupled { 0.0 } else { self.weight_decay },
            shrink: if self.decoupled { (1.0 - lr * decay) as Float } else { 1.0 },
            mix1: (1.0 - beta1) as Float,
            beta2: self.beta2,
            mix2: (1.0 - beta2) as Float,
            step_size: (lr / (1.0 - beta1.powf(t))) as Float,
            root2: (1.0 - beta2.powf(t)).sqrt() as Float,
            eps: self.eps,
        }
    }
}

simd! {
    fn adam_chunk(f: AdamFactors, scale: Float, g: &[Float], p: &mut [Float], m: &mut [Float], v: &mut [Float]) {
        for (((&g, p), m), v) in g.iter().zip(p).zip(m).zip(v) {
            let g = g * scale + f.decay * *p;
            *m += (g - *m) * f.mix1;
            *v = *v * f.beta2 + f.mix2 * g * g;
            *p = *p * f.shrink - f.step_size * *m / (v.sqrt() / f.root2 + f.eps);
        }
    }

    fn is_zero(x: &[Float]) -> bool {
        x.iter().fold(true, |zero, &x| zero & (x == 0.0))
    }

    fn sgd_chunk(s: SgdStep, scale: Float, g: &[Float], p: &mut [Float]) {
        for (&g, p) in g.iter().zip(p) {
            *p -= s.lr * (g * scale + s.weight_decay * *p);
        }
    }

    fn momentum_chunk(s: SgdStep, scale: Float, g: &[Float], p: &mut [Float], buf: &mut [Float]) {
        let (ahead, here) = if s.nesterov { (s.momentum, 1.0) } else { (1.0, 0.0) };
        for ((&g, p), buf) in g.iter().zip(p).zip(buf) {
            let g = g * scale + s.weight_decay * *p;
            *buf = s.momentum * *buf + g;
            *p -= s.lr * (ahead * *buf + here * g);
        }
    }
}

/// [`adam_chunk`], except where it would change nothing.
///
/// Without weight decay, an element whose gradient and moments are zero stays as it is, to the bit: the rows of an embedding
/// that no sentence has touched yet. Of these only three numbers are read, in place of four read and three written.
fn adam_but_untouched(
    f: AdamFactors,
    scale: Float,
    g: &[Float],
    p: &mut [Float],
    m: &mut [Float],
    v: &mut [Float],
) {
    /// Elements looked at together: about a row of an embedding.
    const PIECE: usize = 256;
    if f.decay != 0.0 || f.shrink != 1.0 || f.eps <= 0.0 {
        return adam_chunk(f, scale, g, p, m, v);
    }
    let pieces = g.chunks(PIECE).zip(p.chunks_mut(PIECE)).zip(m.chunks_mut(PIECE).zip(v.chunks_mut(PIECE)));
    for ((g, p), (m, v)) in pieces {
        if !(is_zero(g) && is_zero(m) && is_zero(v)) {
            adam_chunk(f, scale, g, p, m, v);
        }
    }
}

/// `m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²; p -= lr·m̂/(√v̂ + eps)`, all of one shape (Kingma and Ba 2015, algorithm 1).
///
/// `m̂ = m/(1-β₁ᵗ)`, `v̂ = v/(1-β₂ᵗ)`, `g` times `scale`, then with λp added; nothing changes if `scale` is NaN. Decoupled decay is that of Loshchilov and Hutter
/// 2019, algorithm 2, as `torch.optim.AdamW` has it. `m` and `v` start as zeros.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes differ, [`Error::Value`](crate::Error::Value) if `step` is 0 or a
/// beta not in [0, 1).
pub fn adam(
    mut p: TensorMut<'_>,
    g: &Tensor,
    mut m: TensorMut<'_>,
    mut v: TensorMut<'_>,
    step: &AdamStep,
    scale: &GradScale,
) -> Result<()> {
    let op = "adam";
    check::shape(op, "gradient", p.shape(), g.shape())?;
    check::shape(op, "first moment", p.shape(), m.shape())?;
    check::shape(op, "second moment", p.shape(), v.shape())?;
    check::value(op, "step", "1 or more", step.step > 0, step.step)?;
    check::value(op, "beta1", "in [0, 1)", (0.0..1.0).contains(&step.beta1), step.beta1)?;
    check::value(op, "beta2", "in [0, 1)", (0.0..1.0).contains(&step.beta2), step.beta2)?;
    let f = step.factors();
    if let Device::Cuda(cuda) = check::device(op, g, &[&p, &m, &v])? {
        return cuda::optim::adam(cuda, p, g, m, v, f, scale);
    }
    let Some(scale) = scale.for_update()? else { return Ok(()) };
    let (p, g, m, v) = (p.cpu_mut(), g.cpu(), m.cpu_mut(), v.cpu_mut());
    if p.len() < SERIAL_BELOW {
        adam_but_untouched(f, scale, g, p, m, v);
    } else {
        let chunks = p.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK));
        let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        chunks.zip(moments).for_each(|((p, g), (m, v))| adam_but_untouched(f, scale, g, p, m, v));
    }
    Ok(())
}

/// `b = μb + g; p -= lr·b` (Nesterov: `lr·(g + μb)`; without momentum: `lr·g`), all of one shape.
///
/// `g` is multiplied by `scale`, then λp is added; nothing changes if `scale` is NaN. `b` starts as zeros, as PyTorch's first step implies.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes differ, [`Error::Value`](crate::Error::Value) if there is momentum
/// without a buffer, or Nesterov without momentum.
pub fn sgd(
    mut p: TensorMut<'_>,
    g: &Tensor,
    momentum_buf: Option<TensorMut<'_>>,
    step: &SgdStep,
    scale: &GradScale,
) -> Result<()> {
    let op = "sgd";
    check::shape(op, "gradient", p.shape(), g.shape())?;
    let momentum = step.momentum;
    check::value(op, "momentum", "above 0 for Nesterov", momentum > 0.0 || !step.nesterov, momentum)?;
    let serial = g.numel() < SERIAL_BELOW;
    let Some(mut buf) = momentum_buf.filter(|_| momentum != 0.0) else {
        check::value(op, "momentum", "0 without a momentum buffer", momentum == 0.0, momentum)?;
        if let Device::Cuda(cuda) = check::device(op, g, &[&p])? {
            return cuda::optim::sgd(cuda, p, g, None, step, scale);
        }
        let Some(scale) = scale.for_update()? else { return Ok(()) };
        let (p, g) = (p.cpu_mut(), g.cpu());
        if serial {
            sgd_chunk(*step, scale, g, p);
        } else {
            p.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).for_each(|(p, g)| sgd_chunk(*step, scale, g, p));
        }
        return Ok(());
    };
    check::shape(op, "momentum buffer", p.shape(), buf.shape())?;
    if let Device::Cuda(cuda) = check::device(op, g, &[&p, &buf])? {
        return cuda::optim::sgd(cuda, p, g, Some(buf), step, scale);
    }
    let Some(scale) = scale.for_update()? else { return Ok(()) };
    let (p, g, buf) = (p.cpu_mut(), g.cpu(), buf.cpu_mut());
    if serial {
        momentum_chunk(*step, scale, g, p, buf);
    } else {
        let chunks = p.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).zip(buf.par_chunks_mut(CHUNK));
        chunks.for_each(|((p, g), buf)| momentum_chunk(*step, scale, g, p, buf));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ODD, check_close, same_bits_for_any_threads, wave};
    use super::*;
    use crate::level::for_each_level;
    use crate::{Error, Shape};

    const ADAM: AdamStep = AdamStep {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.1,
        decoupled: false,
        step: 1,
    };
    const SGD: SgdStep = SgdStep { lr: 0.01, momentum: 0.9, nesterov: false, weight_decay: 0.1 };
    /// Factor on the gradients.
    const SCALE: Float = 0.5;

    fn scale() -> GradScale {
        GradScale::new(SCALE)
    }

    fn zeros(shape: impl Into<Shape>) -> Tensor {
        Tensor::zeros(&crate::Device::cpu(), shape)
    }

    #[test]
    fn leaving_untouched_rows_alone_changes_no_bit() {
        // Ten rows of 300: some without a gradient in a step, some without one ever; negative zeros among them.
        let n = 3000;
        let gradient = |step: usize| -> Vec<Float> {
            (0..n)
                .map(|i| match (i / 300) % 5 {
                    0 => -0.0,
                    row if (row + step).is_multiple_of(3) => 0.0,
                    _ => ((i * 7 + step) as Float).sin(),
                })
                .collect()
        };
        for (weight_decay, eps) in [(0.0, 1e-8), (0.1, 1e-8), (0.0, 0.0)] {
            let settings = AdamStep { weight_decay, eps, ..ADAM };
            let start: Vec<Float> = (0..n).map(|i| if i % 2 == 0 { -0.0 } else { i as Float }).collect();
            let mut ours = [start.clone(), vec![0.0; n], vec![0.0; n]];
            let mut plain = ours.clone();
            for step in 1..6 {
                let g = gradient(step);
                let tensor = |x: &[Float]| Tensor::from_slice(&crate::Device::cpu(), x, [n]).unwrap();
                let [mut p, mut m, mut v] = ours.each_ref().map(|x| tensor(x));
                let settings = AdamStep { step: step as u64, ..settings };
                let [pm, mm, vm] = [&mut p, &mut m, &mut v].map(|x| x.view_mut().unwrap());
                adam(pm, &tensor(&g), mm, vm, &settings, &scale()).unwrap();
                ours = [p, m, v].map(|x| x.to_vec());
                let [p, m, v] = &mut plain;
                adam_chunk(settings.factors(), SCALE, &g, p, m, v);
            }
            let bits =
                |x: &[Vec<Float>; 3]| x.each_ref().map(|x| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
            assert_eq!(bits(&ours), bits(&plain), "weight decay {weight_decay}, eps {eps}");
        }
    }

    /// The textbook algorithm, one parameter at a time; the gradient at step t is `gradients[t-1]`.
    fn naive_adam(mut p: f64, gradients: &[f64], s: &AdamStep) -> f64 {
        let (b1, b2, decay, lr) = (s.beta1 as f64, s.beta2 as f64, s.weight_decay as f64, s.lr as f64);
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in gradients.iter().enumerate() {
            let mut g = g * SCALE as f64;
            if s.decoupled {
                p -= lr * decay * p;
            } else {
                g += decay * p;
            }
            m = b1 * m + (1.0 - b1) * g;
            v = b2 * v + (1.0 - b2) * g * g;
            let (m_hat, v_hat) = (m / (1.0 - b1.powi(t as i32 + 1)), v / (1.0 - b2.powi(t as i32 + 1)));
            p -= lr * m_hat / (v_hat.sqrt() + s.eps as f64);
        }
        p
    }

    fn naive_sgd(mut p: f64, gradients: &[f64], s: &SgdStep) -> f64 {
        let (mut b, momentum) = (0.0, s.momentum as f64);
        for g in gradients {
            let g = g * SCALE as f64 + s.weight_decay as f64 * p;
            b = if momentum == 0.0 { g } else { momentum * b + g };
            p -= s.lr as f64 * if s.nesterov { g + momentum * b } else { b };
        }
        p
    }

    fn gradient_at(step: usize, n: usize) -> Tensor {
        wave([n], 0.9 + step as f64)
    }

    #[test]
    fn ten_steps_equal_the_textbook() {
        for n in ODD {
            let start = wave([n], 0.1);
            let gradients: Vec<Vec<f64>> = (0..10).map(|t| gradient_at(t, n).to_f64()).collect();
            let each = |f: &dyn Fn(f64, &[f64]) -> f64| {
                let of = |i: usize| gradients.iter().map(|g| g[i]).collect::<Vec<_>>();
                start.to_f64().iter().enumerate().map(|(i, &p)| f(p, &of(i))).collect::<Vec<_>>()
            };
            for (decoupled, weight_decay) in [(false, 0.0), (false, 0.1), (true, 0.1)] {
                let settings = AdamStep { decoupled, weight_decay, ..ADAM };
                let (mut p, mut m, mut v) = (start.deep_clone(), zeros([n]), zeros([n]));
                for t in 0..10 {
                    let step = AdamStep { step: t as u64 + 1, ..settings };
                    adam(p.fresh_mut(), &gradient_at(t, n), m.fresh_mut(), v.fresh_mut(), &step, &scale())
                        .unwrap();
                }
                check_close("adam", &p, &each(&|p, g| naive_adam(p, g, &settings)));
            }
            for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
                let settings = SgdStep { momentum, nesterov, ..SGD };
                let (mut p, mut b) = (start.deep_clone(), zeros([n]));
                for t in 0..10 {
                    sgd(p.fresh_mut(), &gradient_at(t, n), Some(b.fresh_mut()), &settings, &scale()).unwrap();
                }
                check_close("sgd", &p, &each(&|p, g| naive_sgd(p, g, &settings)));
            }
        }
    }

    /// By hand: after one step m̂ = g and v̂ = g², so p moves by lr·g/(|g| + eps).
    #[test]
    fn the_first_adam_step_has_the_size_of_the_learning_rate() {
        let step = AdamStep { weight_decay: 0.0, eps: 1.0, ..ADAM };
        let (mut p, mut m, mut v) = (zeros([2]), zeros([2]), zeros([2]));
        let g = Tensor::from_slice(p.device(), &[3.0, -1.0], [2]).unwrap();
        adam(p.fresh_mut(), &g, m.fresh_mut(), v.fresh_mut(), &step, &GradScale::new(1.0)).unwrap();
        check_close("adam", &p, &[-0.01 * 0.75, 0.01 * 0.5]);
    }

    #[test]
    fn threads_and_instruction_sets_change_nothing() {
        let n = SERIAL_BELOW + 4 * CHUNK + 5;
        let g = wave([n], 0.9);
        let run = || {
            let mut x = [wave([n], 0.1), zeros([n]), zeros([n]), wave([n], 0.3), zeros([n]), wave([n], 0.4)];
            let [p, m, v, q, b, r] = &mut x;
            for t in 1..4 {
                let step = AdamStep { step: t, ..ADAM };
                adam(p.fresh_mut(), &g, m.fresh_mut(), v.fresh_mut(), &step, &scale()).unwrap();
                sgd(q.fresh_mut(), &g, Some(b.fresh_mut()), &SGD, &scale()).unwrap();
                sgd(r.fresh_mut(), &g, None, &SgdStep { momentum: 0.0, ..SGD }, &scale()).unwrap();
            }
            x.to_vec()
        };
        same_bits_for_any_threads(run);
        let want = run();
        for_each_level(|level| {
            for (got, want) in run().iter().zip(&want) {
                assert!(got.to_vec() == want.to_vec(), "{level:?}");
            }
        });
    }

    #[test]
    fn bad_inputs_are_errors() {
        let (mut p, mut m, mut v, g) = (zeros([3]), zeros([3]), zeros([3]), zeros([3]));
        let mut run = |g: &Tensor, step: AdamStep| {
            adam(p.fresh_mut(), g, m.fresh_mut(), v.fresh_mut(), &step, &scale()).unwrap_err().to_string()
        };
        assert_eq!(run(&zeros([2]), ADAM), "adam: expected gradient of shape [3], found [2]");
        assert_eq!(run(&g, AdamStep { step: 0, ..ADAM }), "adam: step must be 1 or more, found 0");
        assert_eq!(run(&g, AdamStep { beta1: 1.0, ..ADAM }), "adam: beta1 must be in [0, 1), found 1");
        assert!(run(&g, AdamStep { beta2: Float::NAN, ..ADAM }).contains("beta2"));
        let (mut small, mut fits) = (zeros([2]), zeros([3]));
        assert!(adam(p.fresh_mut(), &g, small.fresh_mut(), v.fresh_mut(), &ADAM, &scale()).is_err());
        assert!(adam(p.fresh_mut(), &g, m.fresh_mut(), small.fresh_mut(), &ADAM, &scale()).is_err());
        for result in [
            sgd(p.fresh_mut(), &g, None, &SGD, &scale()),
            sgd(
                p.fresh_mut(),
                &g,
                Some(fits.fresh_mut()),
                &SgdStep { momentum: 0.0, nesterov: true, ..SGD },
                &scale(),
            ),
        ] {
            assert!(matches!(result, Err(Error::Value { name: "momentum", .. })));
        }
        assert!(matches!(
            sgd(p.fresh_mut(), &g, Some(small.fresh_mut()), &SGD, &scale()),
            Err(Error::Shape { .. })
        ));
        assert!(matches!(sgd(p.fresh_mut(), &zeros([2]), None, &SGD, &scale()), Err(Error::Shape { .. })));
    }

    #[test]
    fn a_factor_that_is_nan_leaves_every_bit() {
        let (g, never) = (wave([5], 0.7), GradScale::new(Float::NAN));
        let (mut p, mut m, mut v) = (wave([5], 0.1), wave([5], 0.2), wave([5], 1.2));
        let before = [&p, &m, &v].map(Tensor::to_vec);
        adam(p.fresh_mut(), &g, m.fresh_mut(), v.fresh_mut(), &ADAM, &never).unwrap();
        sgd(p.fresh_mut(), &g, Some(m.fresh_mut()), &SGD, &never).unwrap();
        sgd(p.fresh_mut(), &g, None, &SgdStep { momentum: 0.0, ..SGD }, &never).unwrap();
        assert_eq!([&p, &m, &v].map(Tensor::to_vec), before);
    }
}
