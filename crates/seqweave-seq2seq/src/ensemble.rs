//! Several models that speak with one voice.

use seqweave_nn::{Ctx, Params};
use seqweave_tensor::{Float, Ids, Tensor, ops};

use crate::forced::force;
use crate::{Batch, Error, Forced, Result, Seq2Seq, State};

/// Models with the same vocabularies whose probabilities are averaged; of one model, that model to the bit.
///
/// ```text
/// p(y_t | y_<t, x) = 1/M · Σ_m p_m(y_t | y_<t, x)
/// ```
///
/// as Sutskever et al. 2014 (section 3.6) decode. The mean is taken of logarithms, so that it never underflows, and
/// always in the order in which the models are given. Attention weights are the mean of those models that have any.
pub struct Ensemble<'a> {
    members: Vec<(&'a Seq2Seq, &'a Params)>,
}

/// What the members say at one target step, for N rows.
pub(crate) struct Spoken {
    /// Logits `[N,V]` of each member.
    pub logits: Vec<Tensor>,
    /// Attention weights `[N,S]` of each member that has attention.
    pub aligns: Vec<Tensor>,
}

impl<'a> Ensemble<'a> {
    /// # Errors
    /// [`Error::NoModels`] without members, [`Error::OtherVocabulary`] where the sizes of their vocabularies differ,
    /// [`Error::OtherPositions`] where some merge tags into tokens and others read them as tokens.
    pub fn new(members: &[(&'a Seq2Seq, &'a Params)]) -> Result<Self> {
        let Some((first, _)) = members.first() else { return Err(Error::NoModels) };
        for (number, (model, _)) in members.iter().enumerate() {
            for (side, expected, found) in [
                ("source", first.src_vocab(), model.src_vocab()),
                ("target", first.tgt_vocab(), model.tgt_vocab()),
            ] {
                if expected != found {
                    return Err(Error::OtherVocabulary { number, side, expected, found });
                }
            }
            // Attention is averaged by source position.
            let (expected, found) = (first.position_vocab(), model.position_vocab());
            if expected != found {
                return Err(Error::OtherPositions { number, expected, found });
            }
        }
        Ok(Self { members: members.to_vec() })
    }

    /// A model alone.
    pub fn one(model: &'a Seq2Seq, params: &'a Params) -> Self {
        Self { members: vec![(model, params)] }
    }

    /// What is said about each output of a batch, token by token.
    ///
    /// # Errors
    /// As [`Seq2Seq::forced`].
    pub fn forced(&self, batch: &Batch) -> Result<Vec<Forced>> {
        if let [(model, params)] = self.members[..] {
            return model.forced(&Ctx::infer(params), batch);
        }
        let teach = |&(model, params): &(&Seq2Seq, &Params)| model.teach(&Ctx::infer(params), batch);
        let states = self.members.iter().map(teach).collect::<Result<Vec<_>>>()?;
        let v = self.tgt_vocab();
        force(batch, v, |steps| {
            let mut log_probs = Vec::with_capacity(self.members.len());
            for ((model, params), states) in self.members.iter().zip(&states) {
                let logits = model.logits_of(&Ctx::infer(params), states, steps.clone())?;
                log_probs.push(ops::log_softmax(logits.value())?.to_vec());
            }
            let mean = mean_log_probs(log_probs);
            let best = mean.chunks(v).map(first_largest).collect();
            Ok((best, mean))
        })
    }

    /// Encodes sources `[S,B]` of lengths `[B]`: the state of each member before the first target step.
    pub(crate) fn start(&self, src: &Ids, lens: &Ids) -> Result<Vec<State>> {
        self.members.iter().map(|(model, params)| model.start(&Ctx::infer(params), src, lens)).collect()
    }

    /// One target step of each member, from the last token of each row `[N]`; the states move on.
    pub(crate) fn step(&self, ids: &Ids, states: &mut [State]) -> Result<Spoken> {
        let mut spoken = Spoken { logits: Vec::new(), aligns: Vec::new() };
        for ((model, params), state) in self.members.iter().zip(states) {
            let (logits, next, align) = model.step(&Ctx::infer(params), ids, state)?;
            spoken.logits.push(logits.value().clone());
            spoken.aligns.extend(align);
            *state = next;
        }
        Ok(spoken)
    }

    /// Whether any member looks at the source through attention.
    pub(crate) fn has_attention(&self) -> bool {
        self.members.iter().any(|(model, _)| model.has_attention())
    }

    /// Number of target tokens.
    pub(crate) fn tgt_vocab(&self) -> usize {
        self.first().tgt_vocab()
    }

    /// The member whose vocabularies are everybody's.
    pub(crate) fn first(&self) -> &'a Seq2Seq {
        self.members[0].0
    }
}

/// `ln(1/M · Σ_m e^l_m)` of the M log-probabilities of one token.
pub(crate) fn mean_log_prob(log_probs: impl ExactSizeIterator<Item = Float> + Clone) -> Float {
    let m = log_probs.len() as f64;
    let max = log_probs.clone().fold(f64::NEG_INFINITY, |max, l| max.max(l as f64));
    if max == f64::NEG_INFINITY {
        return log_probs.sum(); // -∞, or NaN, which a maximum overlooks
    }
    let sum: f64 = log_probs.map(|l| (l as f64 - max).exp()).sum();
    (max + (sum / m).ln()) as Float
}

/// [`mean_log_prob`] of each token; of one member, what it says.
pub(crate) fn mean_log_probs(mut members: Vec<Vec<Float>>) -> Vec<Float> {
    use rayon::prelude::*;
    if members.len() == 1 {
        return members.swap_remove(0);
    }
    let mean = |at: usize| mean_log_prob(members.iter().map(|log_probs| log_probs[at]));
    (0..members[0].len()).into_par_iter().with_min_len(1024).map(mean).collect()
}

/// Index of the largest element; of equals, the first.
fn first_largest(row: &[Float]) -> u32 {
    (0..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best }) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use seqweave_testkit::assert_close;

    fn mean(log_probs: &[Float]) -> Float {
        mean_log_prob(log_probs.iter().copied())
    }

    #[test]
    fn the_mean_is_that_of_the_probabilities() {
        let want = (((-1.0f64).exp() + (-2.0f64).exp() + (-0.5f64).exp()) / 3.0).ln();
        assert_close(&[mean(&[-1.0, -2.0, -0.5]) as f64], &[want], 1e-6, 0.0, "mean");
        // Where the probabilities themselves would be 0.
        let want = -1000.0 - 2.0f64.ln();
        assert_close(&[mean(&[-1000.0, -2000.0]) as f64], &[want], 1e-6, 0.0, "mean of the improbable");
    }

    #[test]
    fn of_equals_it_is_each_and_of_what_is_no_number_it_is_none() {
        assert_eq!(mean(&[-3.25, -3.25]), -3.25);
        let inf = Float::NEG_INFINITY;
        assert_eq!(mean(&[inf, inf]), inf);
        assert!(mean(&[-1.0, Float::NAN]).is_nan() && mean(&[Float::NAN, Float::NAN]).is_nan());
    }
}
