//! Accuracy: how many of how many are right.

use serde::Serialize;

use crate::error_rate::ratio;

/// `correct / total`: token accuracy when tokens are counted, sequence accuracy or exact match when sequences are.
///
/// ```
/// let mut accuracy = seqweave_metrics::Accuracy::default();
/// accuracy.add(3, 4);
/// accuracy.add_one(true);
/// assert_eq!(accuracy.rate(), Some(0.8));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Accuracy {
    /// How many are right.
    pub correct: u64,
    /// How many were looked at.
    pub total: u64,
}

impl Accuracy {
    /// Counts `total` more, `correct` of which are right.
    pub fn add(&mut self, correct: u64, total: u64) {
        self.correct += correct;
        self.total += total;
    }

    /// Counts one more.
    pub fn add_one(&mut self, correct: bool) {
        self.add(u64::from(correct), 1);
    }

    /// Counts a forced output position by position: `output[i] == reference[i]`.
    ///
    /// Positions that only one of them has are counted and wrong.
    pub fn add_tokens<T: Eq>(&mut self, output: &[T], reference: &[T]) {
        let correct = output.iter().zip(reference).filter(|(o, r)| o == r).count();
        self.add(correct as u64, output.len().max(reference.len()) as u64);
    }

    /// `correct / total`, between 0 and 1; `None` over nothing.
    pub fn rate(&self) -> Option<f64> {
        ratio(self.correct, self.total)
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Self) {
        self.add(other.correct, other.total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_edges() {
        let mut accuracy = Accuracy::default();
        assert_eq!(accuracy.rate(), None);
        accuracy.add_tokens::<u8>(&[], &[]);
        assert_eq!(accuracy.rate(), None);
        accuracy.add_tokens(&[1, 2, 3], &[1, 9]);
        assert_eq!((accuracy.correct, accuracy.total), (1, 3));
        let mut other = Accuracy::default();
        other.add_one(false);
        other.merge(&accuracy);
        assert_eq!(other.rate(), Some(0.25));
    }
}
