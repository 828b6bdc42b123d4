//! The names of the metrics, as they appear in configs, on the command line and in tables.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A metric by name. All but [`Metric::Ppl`] are percentages.
///
/// ```
/// use seqweave_metrics::Metric;
///
/// let metric: Metric = "wer".parse()?;
/// assert!(!metric.higher_is_better());
/// assert!(metric.reaches(29.5, 30.0)); // a gate of 30 % is kept by 29.5 %
/// assert_eq!(metric.to_string(), "wer");
/// # Ok::<(), seqweave_metrics::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Word error rate: items whose output equals none of the references.
    Wer,
    /// Phoneme (token) error rate: edits per reference token, tokens being separated by white space.
    Per,
    /// Character error rate: edits per reference character.
    Cer,
    /// Exact match: items whose output equals a reference; 100 − WER.
    Acc,
    /// Perplexity of the references under the model.
    Ppl,
    /// Tokens predicted right when the reference so far is given (teacher forcing).
    TokenAcc,
    /// Sequences all of whose tokens are predicted right under teacher forcing.
    SeqAcc,
    /// BLEU of the corpus, line by line.
    Bleu,
    /// Character F score.
    Chrf,
    /// Character F score with words and pairs of words.
    #[serde(rename = "chrf++")]
    ChrfPlusPlus,
    /// Translation edit rate.
    Ter,
    /// F score of words, mean over lines.
    #[serde(rename = "rouge1")]
    Rouge1,
    /// F score of pairs of words, mean over lines.
    #[serde(rename = "rouge2")]
    Rouge2,
    /// F score of the longest common subsequence, mean over lines.
    #[serde(rename = "rougel")]
    RougeL,
    /// F0.5 of the edits from source to output, for correction.
    #[serde(rename = "f0.5")]
    F05,
}

impl Metric {
    /// Every metric, in the order of the tables.
    pub const ALL: [Metric; 15] = [
        Metric::Wer,
        Metric::Per,
        Metric::Cer,
        Metric::Acc,
        Metric::Ppl,
        Metric::TokenAcc,
        Metric::SeqAcc,
        Metric::Bleu,
        Metric::Chrf,
        Metric::ChrfPlusPlus,
        Metric::Ter,
        Metric::Rouge1,
        Metric::Rouge2,
        Metric::RougeL,
        Metric::F05,
    ];

    /// The name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Wer => "wer",
            Metric::Per => "per",
            Metric::Cer => "cer",
            Metric::Acc => "acc",
            Metric::Ppl => "ppl",
            Metric::TokenAcc => "token_acc",
            Metric::SeqAcc => "seq_acc",
            Metric::Bleu => "bleu",
            Metric::Chrf => "chrf",
            Metric::ChrfPlusPlus => "chrf++",
            Metric::Ter => "ter",
            Metric::Rouge1 => "rouge1",
            Metric::Rouge2 => "rouge2",
            Metric::RougeL => "rougel",
            Metric::F05 => "f0.5",
        }
    }

    /// Whether the model with the larger value is the better one.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Metric::Wer | Metric::Per | Metric::Cer | Metric::Ppl | Metric::Ter)
    }

    /// Whether values are percentages.
    pub fn is_percent(self) -> bool {
        self != Metric::Ppl
    }

    /// Whether it is computed from outputs and references alone ([`crate::Measured`]), without the model.
    pub fn is_of_text(self) -> bool {
        !matches!(self, Metric::Ppl | Metric::TokenAcc | Metric::SeqAcc)
    }

    /// Whether lines of the same source are one item with several references; for the others each line is a sentence.
    pub fn is_of_items(self) -> bool {
        matches!(self, Metric::Wer | Metric::Per | Metric::Cer | Metric::Acc)
    }

    /// Whether sacreBLEU reports it in points, without a percent sign.
    pub fn is_in_points(self) -> bool {
        self.is_of_text() && !self.is_of_items()
    }

    /// Whether `value` is better than `other`. A NaN is worse than any number and not better than another NaN.
    pub fn is_better(self, value: f64, other: f64) -> bool {
        if value.is_nan() || other.is_nan() {
            return !value.is_nan();
        }
        if self.higher_is_better() { value > other } else { value < other }
    }

    /// Whether `value` is at least as good as `gate`. A NaN reaches no gate.
    pub fn reaches(self, value: f64, gate: f64) -> bool {
        if self.higher_is_better() { value >= gate } else { value <= gate }
    }

    /// All names, for messages: `wer, per, …`.
    pub(crate) fn names() -> String {
        Metric::ALL.map(Metric::name).join(", ")
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    /// Reads a name; upper case counts as lower case.
    fn from_str(name: &str) -> Result<Self, Error> {
        let lower = name.trim().to_ascii_lowercase();
        let known = Metric::ALL.into_iter().find(|metric| metric.name() == lower);
        known.ok_or_else(|| Error::UnknownMetric { name: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse(), Ok(metric));
            assert_eq!(metric.name().to_uppercase().parse(), Ok(metric));
            // serde knows the same names.
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(json, format!("\"{metric}\""));
            assert_eq!(serde_json::from_str::<Metric>(&json).unwrap(), metric);
        }
        assert_eq!(format!("{:>5}|", Metric::Wer), "  wer|");
        let error = "comet".parse::<Metric>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown metric `comet`: expected one of wer, per, cer, acc, ppl, token_acc, seq_acc, bleu, chrf, chrf++, ter, \
             rouge1, rouge2, rougel, f0.5"
        );
    }

    #[test]
    fn directions() {
        let nan = f64::NAN;
        assert!(Metric::Wer.is_better(1.0, 2.0) && !Metric::Wer.is_better(2.0, 1.0));
        assert!(Metric::Acc.is_better(2.0, 1.0) && !Metric::Acc.is_better(1.0, 2.0));
        for metric in Metric::ALL {
            assert!(!metric.is_better(1.0, 1.0) && metric.reaches(1.0, 1.0));
            assert!(metric.is_better(1.0, nan) && !metric.is_better(nan, 1.0) && !metric.is_better(nan, nan));
            assert!(!metric.reaches(nan, 1.0));
        }
    }
}
