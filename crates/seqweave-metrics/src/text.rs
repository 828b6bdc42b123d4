//! Scores of texts: what `evaluate` and validation report.

use serde::Serialize;

use crate::{Error, ItemErrors, Metric, Result, Score, TokenErrors};

/// WER, exact match, PER and CER of output texts, in one pass.
///
/// Tokens are what whitespace separates, so spacing never makes an output wrong.
/// Characters are Unicode scalar values of the tokens joined by single spaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TextScores {
    /// Items wrong as a whole.
    pub items: ItemErrors,
    /// Errors over whitespace-separated tokens.
    pub tokens: TokenErrors,
    /// Errors over characters.
    pub chars: TokenErrors,
}

impl TextScores {
    /// Counts one output; returns whether it equals a reference.
    ///
    /// # Errors
    ///
    /// [`Error::NoReference`]: `references` is empty. The item is then not counted.
    pub fn add<R: AsRef<str>>(&mut self, output: &str, references: &[R]) -> Result<bool> {
        if references.is_empty() {
            return Err(Error::NoReference { output: output.into() });
        }
        let output: Vec<&str> = output.split_whitespace().collect();
        let references: Vec<Vec<&str>> =
            references.iter().map(|reference| reference.as_ref().split_whitespace().collect()).collect();
        let right = self.items.add(&output, &references)?;
        self.tokens.add(&output, &references)?;
        let references: Vec<Vec<char>> = references.iter().map(|tokens| chars(tokens)).collect();
        self.chars.add(&chars(&output), &references)?;
        Ok(right)
    }

    /// The score of a metric of items ([`Metric::is_of_items`]); `None` for the others.
    pub fn score(&self, metric: Metric) -> Option<Score> {
        let (part, whole) = self.part_of(metric)?;
        Some(Score::percent(metric, part, whole))
    }

    /// What is counted, and out of how many.
    pub(crate) fn part_of(&self, metric: Metric) -> Option<(u64, u64)> {
        let TextScores { items, tokens, chars } = self;
        match metric {
            Metric::Wer => Some((items.wrong, items.items)),
            Metric::Acc => Some((items.items - items.wrong, items.items)),
            Metric::Per => Some((tokens.counts.errors(), tokens.counts.reference_len())),
            Metric::Cer => Some((chars.counts.errors(), chars.counts.reference_len())),
            _ => None,
        }
    }

    /// Adds the items of another.
    pub fn merge(&mut self, other: &Self) {
        self.items.merge(&other.items);
        self.tokens.merge(&other.tokens);
        self.chars.merge(&other.chars);
    }
}

fn chars(tokens: &[&str]) -> Vec<char> {
    tokens.join(" ").chars().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(scores: &TextScores, metric: Metric) -> Option<f64> {
        scores.score(metric).unwrap().value
    }

    #[test]
    fn one_pass_gives_all_scores() {
        let mut scores = TextScores::default();
        assert!(scores.add(" AE  B ", &["AE B"]).unwrap(), "spacing is not an error");
        assert!(!scores.add("AE", &["AE B", "B AE T"]).unwrap());
        assert_eq!(value(&scores, Metric::Wer), Some(50.0));
        assert_eq!(value(&scores, Metric::Acc), Some(50.0));
        assert_eq!(value(&scores, Metric::Per), Some(25.0)); // 1 of 2 + 2
        assert_eq!(value(&scores, Metric::Cer), Some(25.0)); // 2 of 4 + 4
        for metric in Metric::ALL {
            assert_eq!(scores.score(metric).is_some(), metric.is_of_items());
        }
        let mut twice = scores;
        twice.merge(&scores);
        assert_eq!(twice.score(Metric::Per).unwrap().total, 8);
        assert_eq!(value(&twice, Metric::Per), value(&scores, Metric::Per));
    }

    #[test]
    fn edges() {
        let mut scores = TextScores::default();
        assert_eq!(value(&scores, Metric::Wer), None);
        let none: [&str; 0] = [];
        assert_eq!(scores.add("x", &none), Err(Error::NoReference { output: "x".into() }));
        assert_eq!(scores, TextScores::default());
        assert!(scores.add("", &["  "]).unwrap());
        assert_eq!((value(&scores, Metric::Acc), value(&scores, Metric::Cer)), (Some(100.0), None));
        assert!(!scores.add("", &["né"]).unwrap());
        assert_eq!((value(&scores, Metric::Per), value(&scores, Metric::Cer)), (Some(100.0), Some(100.0)));
        assert_eq!(scores.score(Metric::Cer).unwrap().total, 2, "characters, not bytes");
    }
}
