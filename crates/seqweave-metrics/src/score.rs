//! One number of a result table.

use std::fmt;

use serde::Serialize;

use crate::{Accuracy, Metric, Perplexity};

/// The value of a metric, and over how much it was computed.
///
/// Serialises as `{"metric": "per", "value": 11.5, "total": 4012}`; an undefined or non-finite value is `null`.
/// Displays as `per 11.50 % of 4012`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Which metric.
    pub metric: Metric,
    /// Its value, in percent if [`Metric::is_percent`]; `None` over nothing.
    pub value: Option<f64>,
    /// What the value is over: items for `wer`, `acc` and `seq_acc`, reference tokens for `per`, `ppl` and `token_acc`,
    /// reference characters for `cer`, and as [`Measured::score`](crate::Measured::score) says for the others.
    pub total: u64,
}

impl Score {
    /// `100·part / whole`: the product first, so that 7 of 100 is 7 % exactly and a gate of 7 % is kept.
    pub(crate) fn percent(metric: Metric, part: u64, whole: u64) -> Self {
        Score { metric, value: (whole > 0).then(|| 100.0 * part as f64 / whole as f64), total: whole }
    }

    /// Token accuracy.
    pub fn token_acc(accuracy: &Accuracy) -> Self {
        Score::percent(Metric::TokenAcc, accuracy.correct, accuracy.total)
    }

    /// Sequence accuracy.
    pub fn seq_acc(accuracy: &Accuracy) -> Self {
        Score::percent(Metric::SeqAcc, accuracy.correct, accuracy.total)
    }

    /// Perplexity.
    pub fn ppl(perplexity: &Perplexity) -> Self {
        Score { metric: Metric::Ppl, value: perplexity.perplexity(), total: perplexity.tokens() }
    }

    /// Whether the value is at least as good as `gate`; an undefined value reaches no gate.
    pub fn reaches(&self, gate: f64) -> bool {
        self.value.is_some_and(|value| self.metric.reaches(value, gate))
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Score { metric, value, total } = self;
        match value {
            None => write!(f, "{metric} undefined (nothing to score)"),
            Some(value) if metric.is_in_points() => write!(f, "{metric} {value:.2} of {total}"),
            Some(value) if metric.is_percent() => write!(f, "{metric} {value:.2} % of {total}"),
            Some(value) => write!(f, "{metric} {value:.3} of {total}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_print_and_serialise() {
        let mut accuracy = Accuracy::default();
        let none = Score::seq_acc(&accuracy);
        assert_eq!(none.to_string(), "seq_acc undefined (nothing to score)");
        assert_eq!(serde_json::to_string(&none).unwrap(), r#"{"metric":"seq_acc","value":null,"total":0}"#);
        assert!(!none.reaches(0.0));

        accuracy.add(1, 8);
        let score = Score::token_acc(&accuracy);
        assert_eq!(score.to_string(), "token_acc 12.50 % of 8");
        assert_eq!(
            serde_json::to_string(&score).unwrap(),
            r#"{"metric":"token_acc","value":12.5,"total":8}"#
        );
        assert!(score.reaches(12.5) && !score.reaches(12.6));

        let seven = Score::percent(Metric::Wer, 7, 100);
        assert!(seven.reaches(7.0) && !seven.reaches(6.9), "{seven}");

        let mut ppl = Perplexity::default();
        ppl.add(0.0, 2);
        assert_eq!(Score::ppl(&ppl).to_string(), "ppl 1.000 of 2");
        ppl.add(f64::NAN, 1);
        assert!(serde_json::to_string(&Score::ppl(&ppl)).unwrap().contains(r#""value":null"#));
    }
}
