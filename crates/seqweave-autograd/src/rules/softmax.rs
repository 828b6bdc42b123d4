//! Rules of softmax and of the cross entropy on top of it.

use crate::{Result, Var, record};
use seqweave_tensor::ops::{self, LossTotals};
use seqweave_tensor::{Float, Ids};

/// yᵢ = e^xᵢ / Σⱼ e^xⱼ along the last axis: `[..,C]` → `[..,C]`. dxᵢ = yᵢ·(dyᵢ − Σⱼ yⱼ·dyⱼ).
pub fn softmax(x: &Var) -> Result<Var> {
    let y = ops::softmax(x.value())?;
    record(y.clone(), [x], move |dy, [x], g| {
        g.accumulate(x, |dx, acc| ops::softmax_backward(&y, &dy, acc, dx))
    })
}

/// yᵢ = xᵢ − ln Σⱼ e^xⱼ along the last axis: `[..,C]` → `[..,C]`. dxᵢ = dyᵢ − e^yᵢ·Σⱼ dyⱼ.
pub fn log_softmax(x: &Var) -> Result<Var> {
    let y = ops::log_softmax(x.value())?;
    record(y.clone(), [x], move |dy, [x], g| {
        g.accumulate(x, |dx, acc| ops::log_softmax_backward(&y, &dy, acc, dx))
    })
}

/// What a cross entropy counts beside the loss itself: without label smoothing, without scale.
#[derive(Clone, Debug)]
pub struct CrossEntropyStats {
    /// Number of rows whose target is not the ignored id.
    pub count: usize,
    /// Σ −ln p(target) in nats and the number of hits, which a CUDA device may still be computing.
    pub totals: LossTotals,
}

impl CrossEntropyStats {
    /// Σ −ln p(target) over the counted rows, in nats. It waits for a CUDA device.
    pub fn nll(&self) -> Result<f64> {
        Ok(self.totals.nll()?)
    }

    /// Number of counted rows whose most probable class is the target. It waits for a CUDA device.
    pub fn correct(&self) -> Result<usize> {
        Ok(self.totals.correct()?)
    }
}

/// Label-smoothed cross entropy, summed over the rows whose target is not `ignore`, times `scale`.
///
/// logits: `[N,V]`, targets: `[N]` → `[1]`; with p = softmax(logits) and ε = `smoothing`:
/// `loss = scale·Σₙ (1−ε)·(−ln p[targetₙ]) + ε·meanᵥ(−ln p[v])`.
/// (Szegedy et al. 2016, "Rethinking the Inception architecture for computer vision", section 7.)
/// With `scale` = 1/count this is the mean.
pub fn cross_entropy(
    logits: &Var,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
    scale: Float,
) -> Result<(Var, CrossEntropyStats)> {
    let (lv, targets) = (logits.value().clone(), targets.clone());
    let saved = ops::cross_entropy(&lv, &targets, ignore, smoothing)?;
    let stats = CrossEntropyStats { count: saved.count, totals: saved.totals.clone() };
    let loss = record(ops::scale(&saved.loss, scale)?, [logits], move |dy, [logits], g| {
        let scale = scale * dy.item()?;
        g.accumulate(logits, |dl, acc| {
            ops::cross_entropy_backward(&lv, &targets, ignore, smoothing, &saved, scale, acc, dl)
        })
    })?;
    Ok((loss, stats))
}

/// [`cross_entropy`] of the logits `x·wᵀ + b`, which are never there as a whole.
///
/// x: `[N,K]`, w: `[V,K]`, b: `[V]`, targets: `[N]` → `[1]`. dx, dw and db are made on the way forward, while a block of
/// logits is at hand, and handed on in the backward pass times the gradient of the loss.
pub fn linear_cross_entropy(
    x: &Var,
    w: &Var,
    b: Option<&Var>,
    targets: &Ids,
    ignore: u32,
    smoothing: Float,
    scale: Float,
) -> Result<(Var, CrossEntropyStats)> {
    let recorded = [Some(x), Some(w), b].into_iter().flatten().any(Var::needs_grad);
    let (weight, bias) = (w.weight()?, b.map(Var::value));
    let scaled = recorded.then_some(scale);
    let out = ops::linear_cross_entropy(x.value(), &weight, bias, targets, ignore, smoothing, scaled)?;
    let stats = CrossEntropyStats { count: out.count, totals: out.totals };
    let grads = out.grads;
    let loss = record(ops::scale(&out.loss, scale)?, [Some(x), Some(w), b], move |dy, [x, w, b], g| {
        let grads = grads.expect("a recorded operation has made its gradients");
        let dy = dy.item()?;
        for (input, grad) in [(x, Some(grads.dx)), (w, Some(grads.dw)), (b, grads.db)] {
            match grad {
                Some(grad) if dy == 1.0 => g.give(input, grad)?,
                Some(grad) => g.give(input, ops::scale(&grad, dy)?)?,
                None => {}
            }
        }
        Ok(())
    })?;
    Ok((loss, stats))
}
