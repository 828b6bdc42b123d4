//! Force-decoding: what is said about outputs that are given.

use std::ops::Range;

use seqweave_tensor::Float;

use crate::{Batch, Result};

/// What the model says about one given output.
#[derive(Clone, Debug, PartialEq)]
pub struct Forced {
    /// Log-probability (natural logarithm) of each token, EOS included.
    pub log_probs: Vec<Float>,
    /// Whether each token was the one the model held most probable.
    pub hits: Vec<bool>,
}

impl Forced {
    /// Log-probability of the whole output, EOS included.
    pub fn log_prob(&self) -> f64 {
        self.log_probs.iter().map(|&p| p as f64).sum()
    }

    /// Whether every token was the most probable one: greedy search would give this very output, were PAD and BOS not
    /// in its way.
    pub fn exact(&self) -> bool {
        self.hits.iter().all(|&hit| hit)
    }
}

/// Reads the targets of a batch out of the most probable token `[N]` and the log-probabilities `[N,V]` that `said` gives
/// for a range of target steps, N = steps · B.
pub(crate) fn force(
    batch: &Batch,
    v: usize,
    said: impl Fn(Range<usize>) -> Result<(Vec<u32>, Vec<Float>)>,
) -> Result<Vec<Forced>> {
    /// Logits held at a time, so that a large vocabulary does not need the memory of a whole batch.
    const LOGITS: usize = 1 << 22;
    let [_, t, b] = batch.dims()?;
    if let Some(position) = batch.tgt_out.as_slice().iter().position(|&id| id as usize >= v) {
        let index = batch.tgt_out.as_slice()[position] as usize;
        let op = "decoder targets";
        return Err(seqweave_tensor::Error::Index { op, index, bound: v, position }.into());
    }
    let mut forced = vec![Forced { log_probs: Vec::new(), hits: Vec::new() }; b];
    let steps = (LOGITS / (b * v)).max(1);
    for first in (0..t).step_by(steps) {
        let last = (first + steps).min(t);
        let (best, log_probs) = said(first..last)?;
        let targets = &batch.tgt_out.as_slice()[first * b..last * b];
        for (n, &target) in targets.iter().enumerate() {
            let row = &mut forced[n % b];
            if row.log_probs.len() < batch.tgt_lens.as_slice()[n % b] as usize {
                row.log_probs.push(log_probs[n * v + target as usize]);
                row.hits.push(best[n] == target);
            }
        }
    }
    Ok(forced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_exact_if_every_token_is_hit() {
        let forced = Forced { log_probs: vec![-1.0, -0.5], hits: vec![true, true] };
        assert_eq!((forced.log_prob(), forced.exact()), (-1.5, true));
        assert!(!Forced { hits: vec![true, false], ..forced }.exact());
    }
}
