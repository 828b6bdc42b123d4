//! One step's numbers on the host.

use std::ops::Range;

use rayon::prelude::*;
use seqweave_tensor::Float;
use seqweave_tensor::ops::{self, TopLogProbs};

use super::rules::Rules;
use super::sentence::{Offer, Sentence};
use crate::ensemble::{Spoken, mean_log_prob, mean_log_probs};
use crate::{EOS, Result};

/// Which numbers a search reads of each step.
#[derive(Clone, Copy)]
pub(super) enum Reading {
    /// Those of so many best tokens, and of EOS: all that a plain search looks at.
    Best(usize),
    /// Those of all tokens, because a rule may need any.
    All,
}

/// What was said at one step, for N rows.
pub(super) struct StepSaid {
    numbers: Numbers,
    /// `[N,S]`, empty without attention.
    align: Vec<Float>,
    source: usize,
}

enum Numbers {
    Best(Vec<TopLogProbs>),
    /// `[N,V]`, and V.
    All(Vec<Float>, usize),
}

/// What was said about one live hypothesis.
pub(super) struct Said<'a> {
    /// What it may say next.
    pub next: Next<'a>,
    /// Attention over the sentence's own source positions; empty without attention.
    pub align: &'a [Float],
}

/// What a hypothesis may say next, before or after the rules of the search.
#[derive(Clone, Copy)]
pub(super) enum Next<'a> {
    /// Log-probabilities of the best tokens but those that are never said, best first, and of EOS.
    Best(&'a [(u32, Float)], Float),
    /// What the rules leave, best first.
    Offers(&'a [Offer]),
}

impl StepSaid {
    /// Reads what was spoken. The best tokens of a model alone are found where its logits lie.
    pub fn read(spoken: &Spoken, reading: Reading, rules: &Rules) -> Result<Self> {
        let [n, v] = spoken.logits[0].dims("logits of a search [N,V]")?;
        let all = || -> Result<Vec<Vec<Float>>> {
            spoken.logits.iter().map(|logits| Ok(ops::log_softmax(logits)?.to_vec())).collect()
        };
        let numbers = match (reading, &spoken.logits[..]) {
            (Reading::Best(k), [logits]) => Numbers::Best(ops::top_log_probs(logits, k, &rules.never, EOS)?),
            (Reading::Best(k), _) => {
                let members = all()?;
                let row = |n: usize| best_of_mean(&members, n * v..(n + 1) * v, k, &rules.never);
                Numbers::Best((0..n).into_par_iter().map(row).collect())
            }
            (Reading::All, _) => Numbers::All(mean_log_probs(all()?), v),
        };
        let (mut align, mut source): (Vec<Float>, usize) = (Vec::new(), 0);
        for member in &spoken.aligns {
            [_, source] = member.dims("alignment [N,S]")?;
            match &mut align[..] {
                [] => align = member.to_vec(),
                align => align.iter_mut().zip(member.to_vec()).for_each(|(sum, a)| *sum += a),
            }
        }
        if spoken.aligns.len() > 1 {
            align.iter_mut().for_each(|a| *a /= spoken.aligns.len() as Float);
        }
        Ok(Self { numbers, align, source })
    }

    /// What the rules leave to each row, where all tokens were read; row n is slot n / B of the sentence in column n mod B.
    pub fn offers(&self, step: usize, columns: &[&Sentence<'_>]) -> Vec<Vec<Offer>> {
        let Numbers::All(log_probs, v) = &self.numbers else { return Vec::new() };
        let row = |(n, log_probs): (usize, &[Float])| {
            let (slot, sentence) = (n / columns.len(), columns[n % columns.len()]);
            if slot < sentence.slots() { sentence.offers(step, slot, log_probs) } else { Vec::new() }
        };
        log_probs.par_chunks(*v).enumerate().map(row).collect()
    }

    /// Whether row `n` is not made of numbers: of a distribution with a NaN, all is NaN.
    pub fn is_nan(&self, n: usize) -> bool {
        match &self.numbers {
            Numbers::Best(rows) => rows[n].named.is_nan(),
            Numbers::All(log_probs, v) => log_probs[n * v + EOS as usize].is_nan(),
        }
    }

    /// What was said in row `n`, whose source has `len` positions.
    pub fn row<'a>(&'a self, n: usize, len: usize, offers: &'a [Vec<Offer>]) -> Said<'a> {
        let align = if self.align.is_empty() { &[][..] } else { &self.align[n * self.source..][..len] };
        let next = match &self.numbers {
            Numbers::Best(rows) => Next::Best(&rows[n].best, rows[n].named),
            Numbers::All(..) => Next::Offers(&offers[n]),
        };
        Said { next, align }
    }
}

/// The best `k` of what it is given, best first; of equals, what came first.
pub(super) struct Best<T> {
    k: usize,
    pub list: Vec<(u32, T)>,
}

impl<T: PartialOrd + Copy> Best<T> {
    pub fn new(k: usize) -> Self {
        Self { k, list: Vec::with_capacity(k + 1) }
    }

    /// Whether nothing of `x` or below has a place.
    pub fn is_beyond(&self, x: T) -> bool {
        self.list.len() == self.k && self.list.last().is_none_or(|(_, worst)| x <= *worst)
    }

    pub fn add(&mut self, token: u32, x: T) {
        if self.is_beyond(x) {
            return;
        }
        let rank = self.list.partition_point(|(_, better)| *better >= x);
        self.list.insert(rank, (token, x));
        self.list.truncate(self.k);
    }
}

/// The best `k` tokens of the mean of several distributions, in `row` of each.
///
/// A mean is never above the largest of its parts, so that most tokens need no exponential.
fn best_of_mean(members: &[Vec<Float>], row: Range<usize>, k: usize, never: &[u32]) -> TopLogProbs {
    let of = |at: usize| members.iter().map(move |log_probs| log_probs[at]);
    let mut best = Best::new(k);
    for (token, at) in (0u32..).zip(row.clone()) {
        let bound = of(at).fold(Float::NEG_INFINITY, Float::max);
        if !best.is_beyond(bound) && !never.contains(&token) {
            best.add(token, mean_log_prob(of(at)));
        }
    }
    TopLogProbs { best: best.list, named: mean_log_prob(of(row.start + EOS as usize)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BOS, PAD};
    use seqweave_testkit::SplitMix64;

    #[test]
    fn the_best_of_a_mean_are_the_front_of_all_of_it() {
        let mut rng = SplitMix64::new(4);
        for _ in 0..50 {
            let mut draw = || -> Vec<Float> {
                rng.uniforms(60, -6.0, 0.0).iter().map(|x| (x.round() / 2.0) as Float).collect()
            };
            let members = vec![draw(), draw(), draw()];
            let mean = mean_log_probs(members.clone());
            let row = 20..40;
            let mut want: Vec<(u32, Float)> = (0..).zip(mean[row.clone()].iter().copied()).collect();
            want.retain(|(token, _)| ![PAD, BOS].contains(token));
            want.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            want.truncate(5);
            let got = best_of_mean(&members, row, 5, &[PAD, BOS]);
            assert_eq!((got.best, got.named), (want, mean[20 + EOS as usize]));
        }
    }
}
