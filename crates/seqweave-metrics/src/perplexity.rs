//! Perplexity from summed negative log-likelihoods.

use serde::Serialize;

/// `exp(Σ nll / Σ tokens)`, with the negative log-likelihood in nats, summed over the tokens of the target.
///
/// The sum is kept as a whole number of 2⁻⁶⁴ nats, so adding is exact and independent of order;
/// each value added is first rounded to that grid, which is finer than an `f64` for all but the tiniest values.
/// A value that is not finite, or beyond ±2⁴⁴ nats, makes the result NaN: a diverged model has no perplexity.
///
/// ```
/// let mut ppl = seqweave_metrics::Perplexity::default();
/// ppl.add(3.0 * 2f64.ln(), 3); // three tokens of probability 1/2
/// assert!((ppl.perplexity().unwrap() - 2.0).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Perplexity {
    /// Σ nll in units of 2⁻⁶⁴ nats.
    nll: i128,
    tokens: u64,
    /// Something that cannot be summed was added.
    broken: bool,
}

/// 2⁶⁴
const UNIT: f64 = 18_446_744_073_709_551_616.0;
/// 2⁴⁴: more than a million million tokens at the worst perplexities that occur, and half a million such sums fit.
const LIMIT: f64 = 17_592_186_044_416.0;

impl Perplexity {
    /// Adds `tokens` target tokens with a summed negative log-likelihood of `nll` nats.
    pub fn add(&mut self, nll: f64, tokens: u64) {
        // Written so that a NaN is refused too.
        let summable = nll.abs() < LIMIT;
        let nll = if summable { (nll * UNIT).round() as i128 } else { 0 };
        self.merge(&Perplexity { nll, tokens, broken: !summable });
    }

    /// Mean negative log-likelihood of a token in nats (cross-entropy); `None` over no tokens.
    pub fn cross_entropy(&self) -> Option<f64> {
        let nll = if self.broken { f64::NAN } else { self.nll as f64 / UNIT };
        (self.tokens > 0).then(|| nll / self.tokens as f64)
    }

    /// `exp` of [`Perplexity::cross_entropy`]; infinite if that is beyond the range of `f64`.
    pub fn perplexity(&self) -> Option<f64> {
        self.cross_entropy().map(f64::exp)
    }

    /// Tokens counted.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Adds the sums of another.
    pub fn merge(&mut self, other: &Self) {
        let (nll, overflowed) = self.nll.overflowing_add(other.nll);
        self.nll = nll;
        self.tokens += other.tokens;
        self.broken |= other.broken || overflowed;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn sum(parts: &[(f64, u64)]) -> Perplexity {
        let mut ppl = Perplexity::default();
        parts.iter().for_each(|&(nll, tokens)| ppl.add(nll, tokens));
        ppl
    }

    #[test]
    fn known_values_and_edges() {
        assert_eq!(sum(&[]).perplexity(), None);
        assert_eq!(sum(&[(0.0, 4)]).perplexity(), Some(1.0));
        assert_eq!(sum(&[(1.0, 1), (3.0, 1)]).cross_entropy(), Some(2.0));
        assert_eq!(sum(&[(1e6, 1)]).perplexity(), Some(f64::INFINITY));
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            let mut ppl = sum(&[(1.0, 1)]);
            ppl.merge(&sum(&[(bad, 1), (1.0, 1)]));
            assert!(ppl.perplexity().unwrap().is_nan(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn order_and_sharding_change_no_bit(parts in vec((0.0f64..1e4, 0u64..50), 1..40), cut in 0usize..40) {
            let whole = sum(&parts);
            let (head, tail) = parts.split_at(cut.min(parts.len()));
            let backwards: Vec<_> = tail.iter().rev().copied().collect();
            let mut merged = sum(&backwards);
            merged.merge(&sum(head));
            prop_assert_eq!(merged, whole);

            let plain: f64 = parts.iter().map(|p| p.0).sum();
            if let Some(got) = whole.cross_entropy() {
                let want = plain / whole.tokens() as f64;
                prop_assert!((got - want).abs() <= 1e-12 * want.abs());
            }
        }
    }
}
