//! Outputs drawn at random: temperature, top-k, top-p.

use schemars::JsonSchema;
use seqweave_tensor::Philox;
use serde::{Deserialize, Serialize};

/// Whether outputs are drawn at random, and from what.
///
/// Each step takes what may be said, with x_v the log-probability of token v after the repetition penalty, and
///
/// 1. divides by the temperature: p_v ∝ e^(x_v / T);
/// 2. keeps the `top_k` most probable tokens (Fan et al. 2018);
/// 3. of these keeps the smallest set of most probable tokens whose probability among them is at least `top_p` (nucleus
///    sampling, Holtzman et al. 2020);
/// 4. draws one of those left by their probabilities.
///
/// Of equally probable tokens the smaller id counts as the more probable. A draw is a pure function of the seed, the
/// sentence's own tokens, the number of the sample and the step: company and order do not change it, and equal
/// sentences get equal samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Whether outputs are drawn at random instead of searched for; `beam` then means nothing, and `n_best` outputs are
    /// drawn.
    pub on: bool,
    /// What log-probabilities are divided by: below 1 the probable becomes more probable.
    #[schemars(range(min = 0.01, max = 100.0))]
    pub temperature: f64,
    /// Most probable tokens that may be drawn at a step; 0 is all of them.
    #[schemars(range(max = 1_000_000))]
    pub top_k: usize,
    /// Least probability of the most probable tokens that may be drawn at a step; 1 is all of them.
    #[schemars(range(min = 0.001, max = 1.0))]
    pub top_p: f64,
    /// Seed of the draws.
    #[schemars(range(max = 9223372036854775807u64))]
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { on: false, temperature: 1.0, top_k: 0, top_p: 1.0, seed: 1 }
    }
}

impl Sampling {
    /// One of the tokens with the log-probabilities `x`, of which NaN marks what may not be said; none if all are barred.
    pub(super) fn draw(&self, x: &[f64], draw: Draw) -> Option<u32> {
        let mut kept: Vec<Token> =
            (0..).zip(x).filter(|(_, x)| !x.is_nan()).map(|(id, &x)| Token { id, x }).collect();
        let max = kept.iter().map(|token| token.x).fold(f64::NEG_INFINITY, f64::max);
        if max == f64::NEG_INFINITY {
            return kept.first().map(|token| token.id); // Nothing is probable, or nothing is there.
        }
        kept.iter_mut().for_each(|token| token.x = (token.x - max) / self.temperature);
        if (1..kept.len()).contains(&self.top_k) {
            kept.select_nth_unstable_by(self.top_k - 1, Token::more_probable_first);
            kept.truncate(self.top_k);
        }
        if self.top_p < 1.0 {
            let sum = mass(&mut kept);
            keep_nucleus(&mut kept, self.top_p * sum);
        }
        let mut rest = draw.uniform(self.seed) * mass(&mut kept);
        for token in &kept {
            rest -= token.x.exp();
            if rest < 0.0 {
                return Some(token.id);
            }
        }
        kept.last().map(|token| token.id) // What rounding left over.
    }
}

/// Which draw it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    /// [`key`] of the sentence.
    pub key: u64,
    /// Number of the sample of this sentence.
    pub sample: usize,
    /// Target step.
    pub step: usize,
}

impl Draw {
    /// A number in `[0, 1)` with 53 random bits.
    fn uniform(self, seed: u64) -> f64 {
        let [high, low, ..] = Philox { seed, step: self.key }.block(self.sample as u32, self.step as u64);
        let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
        bits as f64 / (1u64 << 53) as f64
    }
}

/// What tells a sentence from another: a hash of its tokens (FNV-1a over their bytes, with the bits mixed at the end).
pub(super) fn key(source: &[u32]) -> u64 {
    let bytes = source.iter().flat_map(|id| id.to_le_bytes());
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let hash = (hash ^ hash >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    hash ^ hash >> 32
}

#[derive(Clone, Copy)]
struct Token {
    id: u32,
    x: f64,
}

impl Token {
    fn more_probable_first(a: &Token, b: &Token) -> std::cmp::Ordering {
        b.x.total_cmp(&a.x).then(a.id.cmp(&b.id))
    }
}

/// Σ e^x in the order of the ids, in which the tokens are left.
fn mass(tokens: &mut [Token]) -> f64 {
    if !tokens.is_sorted_by_key(|token| token.id) {
        tokens.sort_unstable_by_key(|token| token.id);
    }
    tokens.iter().map(|token| token.x.exp()).sum()
}

/// Keeps the most probable tokens until their Σ e^x is at least `enough`; at least one.
fn keep_nucleus(tokens: &mut Vec<Token>, enough: f64) {
    let (mut sorted, mut sum) = (0, 0.0);
    // A nucleus is small as a rule: sort the front only, and more where it is not enough.
    while sorted < tokens.len() {
        let next = (4 * sorted).max(64).min(tokens.len());
        let rest = &mut tokens[sorted..];
        if next - sorted < rest.len() {
            rest.select_nth_unstable_by(next - sorted, Token::more_probable_first);
        }
        rest[..next - sorted].sort_unstable_by(Token::more_probable_first);
        for at in sorted..next {
            sum += tokens[at].x.exp();
            if sum >= enough {
                tokens.truncate(at + 1);
                return;
            }
        }
        sorted = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARRED: f64 = f64::NAN;

    fn ln(probabilities: &[f64]) -> Vec<f64> {
        probabilities.iter().map(|p| p.ln()).collect()
    }

    /// The share of each token in many draws.
    fn shares(sampling: &Sampling, x: &[f64]) -> Vec<f64> {
        const DRAWS: usize = 20_000;
        let mut counts = vec![0usize; x.len()];
        for sample in 0..DRAWS {
            let draw = Draw { key: key(&[4, 5]), sample, step: sample % 3 };
            counts[sampling.draw(x, draw).unwrap() as usize] += 1;
        }
        counts.iter().map(|&count| count as f64 / DRAWS as f64).collect()
    }

    fn check(sampling: Sampling, x: &[f64], want: &[f64]) {
        let got = shares(&sampling, x);
        let close = got.iter().zip(want).all(|(got, want)| match *want {
            0.0 => *got == 0.0,
            want => (got - want).abs() < 0.015,
        });
        assert!(close, "{sampling:?}: {got:?}, expected {want:?}");
    }

    #[test]
    fn draws_follow_the_probabilities_that_the_rules_leave() {
        let x = ln(&[0.4, 0.1, 0.3, 0.2]);
        let plain = Sampling::default;
        check(plain(), &x, &[0.4, 0.1, 0.3, 0.2]);
        // p² of each, over their sum 0.3.
        check(Sampling { temperature: 0.5, ..plain() }, &x, &[0.5333, 0.0333, 0.3, 0.1333]);
        check(Sampling { top_k: 2, ..plain() }, &x, &[0.5714, 0.0, 0.4286, 0.0]);
        check(Sampling { top_k: 1, ..plain() }, &x, &[1.0, 0.0, 0.0, 0.0]);
        check(Sampling { top_k: 9, ..plain() }, &x, &[0.4, 0.1, 0.3, 0.2]);
        check(Sampling { top_p: 0.65, ..plain() }, &x, &[0.5714, 0.0, 0.4286, 0.0]);
        check(Sampling { top_p: 0.75, ..plain() }, &x, &[0.4444, 0.0, 0.3333, 0.2222]);
        check(Sampling { top_p: 0.001, ..plain() }, &x, &[1.0, 0.0, 0.0, 0.0]);
        // Of the two kept by top-k the first has 0.57: that is enough for the nucleus.
        check(Sampling { top_k: 2, top_p: 0.5, ..plain() }, &x, &[1.0, 0.0, 0.0, 0.0]);
        // The temperature comes first: it gives the first token 0.53.
        check(Sampling { temperature: 0.5, top_p: 0.5, ..plain() }, &x, &[1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_barred_is_never_drawn_and_ties_go_to_the_smaller_id() {
        check(Sampling::default(), &[BARRED, -1.0, -1.0, BARRED], &[0.0, 0.5, 0.5, 0.0]);
        check(Sampling { top_k: 1, ..Sampling::default() }, &[BARRED, -1.0, -1.0], &[0.0, 1.0, 0.0]);
        check(Sampling { top_p: 0.3, ..Sampling::default() }, &[-1.0; 3], &[1.0, 0.0, 0.0]);
        let draw = Draw { key: 1, sample: 0, step: 0 };
        assert_eq!(Sampling::default().draw(&[BARRED; 3], draw), None);
        assert_eq!(Sampling::default().draw(&[BARRED, f64::NEG_INFINITY], draw), Some(1));
        assert_eq!(Sampling::default().draw(&[f64::NEG_INFINITY, 0.0], draw), Some(1));
    }

    #[test]
    fn a_nucleus_is_the_same_however_it_is_sorted() {
        let x: Vec<f64> = (0..1000).map(|i| -((i * 7919 % 1000) as f64) / 200.0).collect();
        for top_p in [0.1, 0.5, 0.9, 0.999] {
            let mut tokens: Vec<Token> = (0..).zip(&x).map(|(id, &x)| Token { id, x }).collect();
            let enough = top_p * mass(&mut tokens);
            let mut want = tokens.clone();
            want.sort_by(Token::more_probable_first);
            let mut sum = 0.0;
            let count = 1 + want
                .iter()
                .take_while(|t| {
                    sum += t.x.exp();
                    sum < enough
                })
                .count();
            keep_nucleus(&mut tokens, enough);
            let ids = |tokens: &[Token]| tokens.iter().map(|t| t.id).collect::<Vec<_>>();
            assert_eq!(ids(&tokens), ids(&want[..count]), "top_p = {top_p}");
        }
    }

    #[test]
    fn every_part_of_a_draw_counts() {
        let uniform = |seed, key, sample, step| Draw { key, sample, step }.uniform(seed).to_bits();
        let base = uniform(1, 1, 1, 1);
        assert_eq!(base, uniform(1, 1, 1, 1));
        for other in [uniform(2, 1, 1, 1), uniform(1, 2, 1, 1), uniform(1, 1, 2, 1), uniform(1, 1, 1, 2)] {
            assert_ne!(base, other);
        }
        let keys = [key(&[]), key(&[4]), key(&[5]), key(&[4, 5]), key(&[5, 4])];
        assert!((0..keys.len()).all(|i| !keys[..i].contains(&keys[i])), "{keys:?}");
    }
}
