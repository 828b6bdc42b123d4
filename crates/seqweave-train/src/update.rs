//! One optimizer step: forward, backward, look, update.

use crate::Result;
use seqweave_nn::{Ctx, Optimizer, Params};
use seqweave_seq2seq::{Batch, Seq2Seq};
use seqweave_tensor::{Float, Philox};

/// How a step is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpdateOptions {
    /// Label smoothing ε.
    pub(crate) smoothing: Float,
    /// Largest norm of the gradient; a longer one is scaled down to it. `None` for no limit.
    pub(crate) clip: Option<Float>,
    /// Learning rate.
    pub(crate) lr: Float,
    /// Key of this step's dropout.
    pub(crate) dropout: Philox,
}

/// What a step saw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Update {
    /// The weights were updated.
    Done {
        /// Negative log-likelihood summed over target tokens, without smoothing.
        nll: f64,
        /// Target tokens.
        count: u64,
        /// Target tokens that were the most probable ones.
        correct: u64,
        /// Norm of the gradient before clipping.
        grad_norm: f64,
    },
    /// A number was not finite. Nothing was changed.
    NotFinite {
        /// Where it was seen first.
        tensor: String,
    },
}

/// Makes one step over the micro-batches `batches`, whose gradients are those of the mean loss over all their target
/// tokens, however these are spread over the micro-batches.
///
/// A loss or gradient that is not finite leaves weights and optimizer as they were.
pub(crate) fn update(
    model: &Seq2Seq,
    params: &mut Params,
    optimizer: &mut Optimizer,
    batches: &[Batch],
    options: &UpdateOptions,
) -> Result<Update> {
    let tokens: usize = batches.iter().map(Batch::tgt_tokens).sum();
    let (mut nll, mut count, mut correct) = (0.0, 0, 0);
    params.zero_grad()?;
    for (i, batch) in batches.iter().enumerate() {
        // Micro-batches of one step draw different masks: the seed's high half tells them apart.
        let dropout = Philox { seed: options.dropout.seed ^ ((i as u64) << 48), ..options.dropout };
        let stats =
            accumulate_gradient(model, params, batch, options.smoothing, 1.0 / tokens as Float, dropout)?;
        let Some(stats) = stats else { return Ok(Update::NotFinite { tensor: "loss".to_owned() }) };
        nll += stats.0;
        count += stats.1;
        correct += stats.2;
    }
    match optimizer.step(params, options.lr, options.clip) {
        Ok(report) => Ok(Update::Done { nll, count, correct, grad_norm: report.grad_norm }),
        Err(seqweave_nn::Error::NonFiniteGradient { name }) => {
            Ok(Update::NotFinite { tensor: format!("the gradient of {name}") })
        }
        Err(error) => Err(error.into()),
    }
}

/// Adds the gradient of `scale · Σ loss` to the parameters' gradients; `None` if the loss is not finite.
fn accumulate_gradient(
    model: &Seq2Seq,
    params: &mut Params,
    batch: &Batch,
    smoothing: Float,
    scale: Float,
    dropout: Philox,
) -> Result<Option<(f64, u64, u64)>> {
    let tape = seqweave_autograd::Tape::new();
    let (loss, stats) = {
        let cx = Ctx::train(params, tape.clone(), Some(dropout));
        model.loss(&cx, batch, smoothing, scale)?
    };
    if !loss.value().item()?.is_finite() {
        return Ok(None);
    }
    tape.backward(&loss, Some(params.grads_mut()))?;
    Ok(Some((stats.nll, stats.count as u64, stats.correct as u64)))
}
