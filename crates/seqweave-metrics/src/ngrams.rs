//! Counts of n-grams.

use std::collections::HashMap;
use std::hash::Hash;

/// How often each run of `n` neighbours occurs, borrowed from the sequence.
pub(crate) type Counts<'a, T> = HashMap<&'a [T], u64>;

/// The n-grams of one order.
pub(crate) fn ngrams<T: Eq + Hash>(sequence: &[T], n: usize) -> Counts<'_, T> {
    let mut counts = Counts::new();
    for run in sequence.windows(n) {
        *counts.entry(run).or_default() += 1;
    }
    counts
}

/// How many n-grams of `n` a sequence of this length has.
pub(crate) fn how_many(len: usize, n: usize) -> u64 {
    (len + 1).saturating_sub(n) as u64
}

/// `Σ min(a, b)` over the n-grams that both have.
pub(crate) fn matches<T: Eq + Hash>(a: &Counts<'_, T>, b: &Counts<'_, T>) -> u64 {
    a.iter().map(|(run, &count)| count.min(b.get(run).copied().unwrap_or(0))).sum()
}
