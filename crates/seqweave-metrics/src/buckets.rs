//! Scores by length: which stretches of lengths to look at one by one.

use std::ops::RangeInclusive;

/// Cuts lengths into at most `wanted` stretches that hold about equally many, the shortest first.
///
/// Equal lengths are never parted, so there may be fewer stretches; no stretch is empty.
///
/// ```
/// use seqweave_metrics::length_buckets;
///
/// assert_eq!(length_buckets(&[1, 9, 2, 4, 3, 3], 3), [1..=2, 3..=3, 4..=9]);
/// ```
pub fn length_buckets(lengths: &[usize], wanted: usize) -> Vec<RangeInclusive<usize>> {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let (count, wanted) = (sorted.len(), wanted.max(1));
    let mut buckets = Vec::new();
    let mut from = 0;
    for at in 1..=count {
        let is_border = at == count || sorted[at] != sorted[at - 1];
        // As many as the stretches so far should hold together.
        if is_border && (at == count || at * wanted >= count * (buckets.len() + 1)) {
            buckets.push(sorted[from]..=sorted[at - 1]);
            from = at;
        }
    }
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_hold_about_equally_many() {
        let lengths: Vec<usize> = (1..=100).collect();
        assert_eq!(length_buckets(&lengths, 4), [1..=25, 26..=50, 51..=75, 76..=100]);
        assert_eq!(length_buckets(&[7; 50], 4), [7..=7]);
        assert_eq!(length_buckets(&[], 4), []);
        assert_eq!(length_buckets(&[3, 1], 0), [1..=3]);
    }

    #[test]
    fn every_length_is_in_one_stretch() {
        let lengths: Vec<usize> = (0..200).map(|i| i * i % 37).collect();
        for wanted in 1..12 {
            let buckets = length_buckets(&lengths, wanted);
            assert!(buckets.len() <= wanted, "{buckets:?}");
            assert!(lengths.iter().all(|l| buckets.iter().filter(|b| b.contains(l)).count() == 1));
        }
    }
}
