//! What training counts over target tokens, and what is made of it: the one place of this arithmetic.
//!
//! Scores of held-out pairs are sums of `seqweave_metrics`, which do not depend on the order of the sentences.

use seqweave_autograd::CrossEntropyStats;

use crate::Result;

/// Sums over target tokens of the training data, without label smoothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sums {
    /// Σ −ln p(token) in nats.
    nll: f64,
    /// Tokens.
    count: u64,
    /// Tokens that were the most probable ones.
    correct: u64,
}

impl Sums {
    /// The sums of some losses, added in their order. It waits for a CUDA device.
    pub(crate) fn of(losses: &[CrossEntropyStats]) -> Result<Sums> {
        let mut sums = Sums::default();
        for loss in losses {
            let (nll, count, correct) = (loss.nll()?, loss.count as u64, loss.correct()? as u64);
            sums.add(&Sums { nll, count, correct });
        }
        Ok(sums)
    }

    pub(crate) fn add(&mut self, other: &Sums) {
        self.nll += other.nll;
        self.count += other.count;
        self.correct += other.correct;
    }

    /// Cross entropy of a token in nats; `None` over no tokens.
    pub(crate) fn xent(&self) -> Option<f64> {
        (self.count > 0).then(|| self.nll / self.count as f64)
    }

    /// Accuracy in percent; `None` over no tokens.
    pub(crate) fn acc(&self) -> Option<f64> {
        (self.count > 0).then(|| 100.0 * self.correct as f64 / self.count as f64)
    }

    /// The sums as a checkpoint holds them.
    pub(crate) fn to_numbers(self) -> Vec<(String, f64)> {
        let Sums { nll, count, correct } = self;
        let numbers = [("nll", nll), ("count", count as f64), ("correct", correct as f64)];
        numbers.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The sums of a checkpoint.
    pub(crate) fn from_numbers(numbers: &[(String, f64)]) -> Sums {
        let of = |name: &str| numbers.iter().find(|(n, _)| n == name).map_or(0.0, |(_, value)| *value);
        Sums { nll: of("nll"), count: of("count") as u64, correct: of("correct") as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_give_means_and_go_through_a_checkpoint() {
        let mut sums = Sums::default();
        assert_eq!((sums.xent(), sums.acc()), (None, None));
        sums.add(&Sums { nll: 3.0, count: 4, correct: 1 });
        sums.add(&Sums { nll: 0.5, count: 1, correct: 1 });
        assert_eq!((sums.xent(), sums.acc()), (Some(0.7), Some(40.0)));
        assert_eq!(Sums::from_numbers(&sums.to_numbers()), sums);
    }
}
