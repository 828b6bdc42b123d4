//! ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004), as the package rouge-score counts them without stemming.

use crate::ngrams::{matches, ngrams};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// N-grams of this order.
    Ngrams(usize),
    /// The longest common subsequence.
    Longest,
}

/// `[F, 1]` for one sentence: F times 100 of the reference that gives the highest; the score of a corpus is the mean.
pub(crate) fn sums(output: &str, references: &[&str], kind: Kind) -> Vec<f64> {
    let output = tokens(output);
    let score = |reference: &&str| f_measure(&output, &tokens(reference), kind);
    vec![100.0 * references.iter().map(score).fold(0.0, f64::max), 1.0]
}

/// Runs of `a` to `z` and `0` to `9` of the text in lower case: a text in another script has no tokens and scores 0.
fn tokens(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.split(|c| !is_part(c)).filter(|token| !token.is_empty()).map(str::to_owned).collect()
}

/// `2pr / (p + r)`
fn f_measure(output: &[String], reference: &[String], kind: Kind) -> f64 {
    let (hits, outputs, references) = match kind {
        Kind::Ngrams(n) => {
            let hits = matches(&ngrams(output, n), &ngrams(reference, n));
            (hits, output.len().saturating_sub(n - 1), reference.len().saturating_sub(n - 1))
        }
        Kind::Longest => (longest_common(output, reference), output.len(), reference.len()),
    };
    let precision = hits as f64 / outputs.max(1) as f64;
    let recall = hits as f64 / references.max(1) as f64;
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

/// The length of the longest common subsequence. `O(|a|·|b|)` time, `O(|b|)` memory.
fn longest_common<T: Eq>(a: &[T], b: &[T]) -> u64 {
    // row[j]: of the part of `a` read so far and b[..j].
    let mut row = vec![0u64; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let up = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { up.max(row[j]) };
            diagonal = up;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_common_subsequences() {
        for (a, b, want) in [("", "a", 0), ("abcbdab", "bdcaba", 4), ("abc", "abc", 3), ("abc", "cba", 1)] {
            assert_eq!(longest_common(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
        }
    }

    #[test]
    fn the_best_reference_counts() {
        let score = |output, references: &[&str], kind| sums(output, references, kind)[0];
        assert_eq!(score("The cat.", &["a dog", "the cat"], Kind::Ngrams(2)), 100.0);
        assert_eq!(score("我爱你", &["我爱你"], Kind::Longest), 0.0);
        assert_eq!(score("b a", &["a b"], Kind::Longest), 50.0);
    }
}
