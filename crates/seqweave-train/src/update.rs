//! One optimizer step: forward, backward, look, update.

use crate::Result;
use crate::sums::Sums;
use crate::word_dropout::{WordDropout, drop_words};
use seqweave_autograd::CrossEntropyStats;
use seqweave_nn::{Ctx, Error as Nn, Optimizer, Params};
use seqweave_seq2seq::{Batch, Seq2Seq};
use seqweave_tensor::{Float, Pending, Philox, on_pool};
use std::borrow::Cow;

/// How a step is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpdateOptions {
    /// Label smoothing ε.
    pub(crate) smoothing: Float,
    /// Largest norm of the gradient; a longer one is scaled down to it. `None` for no limit.
    pub(crate) clip: Option<Float>,
    /// Learning rate.
    pub(crate) lr: Float,
    /// Words that the model reads and that are replaced by `<unk>`.
    pub(crate) word_dropout: WordDropout,
    /// Key of this step's dropout.
    pub(crate) dropout: Philox,
}

/// What a step saw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Update {
    /// The weights were updated.
    Done {
        /// What the target tokens sum up to.
        sums: Sums,
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
    let device = params.device().clone();
    on_pool(|| device.together(|| update_here(model, params, optimizer, batches, options)))
}

/// [`update`] on the calling thread.
fn update_here(
    model: &Seq2Seq,
    params: &mut Params,
    optimizer: &mut Optimizer,
    batches: &[Batch],
    options: &UpdateOptions,
) -> Result<Update> {
    let tokens: usize = batches.iter().map(Batch::tgt_tokens).sum();
    params.zero_grad()?;
    let mut losses: Vec<CrossEntropyStats> = Vec::with_capacity(batches.len());
    for (i, batch) in batches.iter().enumerate() {
        // Micro-batches of one step draw different masks: the seed's high half tells them apart.
        let dropout = Philox { seed: options.dropout.seed ^ ((i as u64) << 48), ..options.dropout };
        let batch = match options.word_dropout {
            WordDropout { p: 0.0, .. } => Cow::Borrowed(batch),
            words => Cow::Owned(drop_words(batch, words, dropout)?),
        };
        let stats =
            accumulate_gradient(model, params, &batch, options.smoothing, 1.0 / tokens as Float, dropout)?;
        let Some(stats) = stats else { return Ok(Update::NotFinite { tensor: "loss".to_owned() }) };
        losses.push(stats);
    }
    let pending: Vec<&Pending> = losses.iter().map(|stats| stats.totals.pending()).collect();
    let grad_norm = match optimizer.step_if_finite(params, options.lr, options.clip, &pending) {
        Ok(report) => report.grad_norm,
        Err(error) => {
            let tensor = match error {
                Nn::NonFiniteLoss => "loss".to_owned(),
                Nn::NonFiniteGradient { name } => format!("the gradient of {name}"),
                Nn::GradientTooLarge { .. } => "the square of the gradient".to_owned(),
                error => return Err(error.into()),
            };
            return Ok(Update::NotFinite { tensor });
        }
    };
    Ok(Update::Done { sums: Sums::of(&losses)?, grad_norm })
}

/// Adds the gradient of `scale · Σ loss` to the parameters' gradients; `None` if the host sees at once that the loss is not
/// finite, which on a CUDA device it does not.
fn accumulate_gradient(
    model: &Seq2Seq,
    params: &mut Params,
    batch: &Batch,
    smoothing: Float,
    scale: Float,
    dropout: Philox,
) -> Result<Option<CrossEntropyStats>> {
    let tape = seqweave_autograd::Tape::new();
    let (loss, stats) = {
        let cx = Ctx::train(params, tape.clone(), Some(dropout));
        model.loss(&cx, batch, smoothing, scale)?
    };
    if stats.totals.pending().peek().is_some_and(|totals| !(totals[0] as Float).is_finite()) {
        return Ok(None);
    }
    tape.backward(&loss, Some(params.grads_mut()))?;
    Ok(Some(stats))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_nn::{OptimizerConfig, OptimizerKind};
    use seqweave_seq2seq::ModelConfig;
    use seqweave_tensor::Device;
    use seqweave_testkit::{SplitMix64, assert_close};

    const VOCAB: usize = 11;

    struct Setup {
        model: Seq2Seq,
        params: Params,
        optimizer: Optimizer,
    }

    fn setup(dropout: Float, kind: OptimizerKind) -> Setup {
        let config = ModelConfig { emb: 6, hidden: 8, dropout, ..ModelConfig::default() };
        let (model, params) = Seq2Seq::build(&config, VOCAB, VOCAB, &Device::cpu(), 3).unwrap();
        let optimizer =
            Optimizer::new(&OptimizerConfig { kind, ..OptimizerConfig::default() }, &params).unwrap();
        Setup { model, params, optimizer }
    }

    impl Setup {
        fn update(&mut self, batches: &[Batch], clip: Option<Float>) -> Update {
            let options = UpdateOptions {
                smoothing: 0.1,
                clip,
                lr: 0.5,
                word_dropout: WordDropout::NONE,
                dropout: Philox { seed: 9, step: 4 },
            };
            update(&self.model, &mut self.params, &mut self.optimizer, batches, &options).unwrap()
        }

        fn bits(&self) -> Vec<u64> {
            self.params.values().to_vec().into_iter().map(|x| f64::from(x).to_bits()).collect()
        }
    }

    /// Pairs of 1 to 6 tokens a side.
    fn rows(n: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
        let mut rng = SplitMix64::new(1);
        let mut side = || (0..1 + rng.below(6)).map(|_| 4 + rng.below(VOCAB - 4) as u32).collect();
        (0..n).map(|_| (side(), side())).collect()
    }

    fn batches(rows: &[(Vec<u32>, Vec<u32>)], sizes: &[usize]) -> Vec<Batch> {
        let mut rest = rows;
        let mut take = |&n: &usize| {
            let (part, others) = rest.split_at(n);
            rest = others;
            Batch::from_rows(part).unwrap()
        };
        sizes.iter().map(&mut take).collect()
    }

    #[test]
    fn micro_batches_of_any_size_make_the_step_of_one_big_batch() {
        let rows = rows(12);
        let mut whole = setup(0.0, OptimizerKind::Sgd);
        let before = whole.params.values().to_vec();
        let Update::Done { sums, grad_norm } = whole.update(&batches(&rows, &[12]), Some(1.0)) else {
            panic!("a finite step")
        };
        assert!(grad_norm > 0.0 && whole.params.values().to_vec() != before);
        // Parts of unlike size have unlike numbers of tokens: a mean of their means would be another gradient.
        for sizes in [&[4, 4, 4][..], &[1, 11], &[1; 12], &[7, 2, 3]] {
            let mut parts = setup(0.0, OptimizerKind::Sgd);
            let done = parts.update(&batches(&rows, sizes), Some(1.0));
            let Update::Done { sums: found, grad_norm: norm } = done else { panic!("a finite step") };
            assert_eq!(found.acc(), sums.acc(), "{sizes:?}");
            let close = |a: f64, b: f64, by: f64| (a / b - 1.0).abs() < by;
            let (found, sums) = (found.xent().unwrap(), sums.xent().unwrap());
            assert!(close(found, sums, 1e-6) && close(norm, grad_norm, 1e-5), "{sizes:?}");
            let what = format!("weights after micro-batches of {sizes:?}");
            assert_close(&parts.params.values().to_vec(), &whole.params.values().to_vec(), 1e-5, 1e-6, &what);
        }
    }

    #[test]
    fn micro_batches_draw_their_own_masks_and_a_step_repeats() {
        let batch = batches(&rows(3), &[3]).remove(0);
        let after = |dropout: Float, n: usize| {
            let mut setup = setup(dropout, OptimizerKind::Sgd);
            setup.update(&vec![batch.clone(); n], None);
            setup.params.values().to_vec()
        };
        assert_eq!(after(0.3, 2), after(0.3, 2));
        let far =
            |a: &[Float], b: &[Float]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, Float::max);
        // Twice the same batch has the gradient of one, unless something random was drawn anew.
        assert!(far(&after(0.0, 1), &after(0.0, 2)) < 1e-5);
        assert!(far(&after(0.3, 1), &after(0.3, 2)) > 1e-3);
    }

    #[test]
    fn a_step_that_is_not_finite_is_named_and_leaves_every_bit() {
        let batches = batches(&rows(4), &[2, 2]);
        // Embeddings that are large under weights that are small give ordinary gates: where the one meets what flows back
        // through the other, the gradient overflows, and the loss does not. Squares overflow earlier, unless clipped.
        let cases = [
            (3e37, 1.0, "loss", &[None, Some(1.0)][..]),
            (1e34, 1e8, "the gradient of decoder.", &[None, Some(1.0)]),
            (1e14, 1e8, "the square of the gradient", &[None]),
        ];
        for (output, embeddings, expected, clips) in cases {
            let mut setup = setup(0.0, OptimizerKind::Adam);
            setup.update(&batches, None);
            let names: Vec<String> = setup.params.names().map(str::to_owned).collect();
            for name in names {
                let factor: Float = match name.as_str() {
                    "output.weight" => output,
                    "decoder.embedding.weight" => embeddings,
                    name if name.starts_with("decoder") && name.ends_with("weight_ih") => 1.0 / embeddings,
                    _ => continue,
                };
                let values = setup.params.by_name(&name).unwrap().to_vec();
                let values: Vec<Float> = values.into_iter().map(|x| x * factor).collect();
                setup.params.set_by_name(&name, &values).unwrap();
            }
            let (bits, state) = (setup.bits(), setup.optimizer.state());
            for &clip in clips {
                let Update::NotFinite { tensor } = setup.update(&batches, clip) else { panic!("{expected}") };
                assert!(tensor.starts_with(expected), "{tensor}");
                assert_eq!(setup.bits(), bits, "{tensor}");
                assert_eq!(setup.optimizer.state(), state, "{tensor}");
            }
        }
    }
}
