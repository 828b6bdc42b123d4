//! What to search for, and how hypotheses are ranked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Sampling;
use crate::{Error, Result};

/// How to search, and how hypotheses are ranked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SearchOptions {
    /// Hypotheses kept alive per sentence, K; 1 is greedy search.
    #[schemars(range(min = 1, max = 1024))]
    pub beam: usize,
    /// Hypotheses returned per sentence; at most `beam`, unless they are drawn at random.
    #[schemars(range(min = 1, max = 1024))]
    pub n_best: usize,
    /// How a hypothesis of many tokens is compared with one of few: `"none"`, `"average"`, or
    /// `{ gnmt = { alpha = 0.6 } }`.
    pub length_penalty: LengthPenalty,
    /// Weight β of the coverage penalty (Wu et al. 2016, section 7), which ranks hypotheses lower that leave source
    /// tokens unattended; 0 for a model without attention.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub coverage_penalty: f64,
    /// The longest output allowed, from the length of the source.
    pub max_len: MaxLen,
    /// The fewest tokens of an output, EOS not counted; `max_len` wins where the two disagree.
    #[schemars(range(max = 1_000_000))]
    pub min_len: usize,
    /// No sequence of so many tokens is said twice in an output; 0 allows every repetition.
    #[schemars(range(max = 1_000_000))]
    pub no_repeat_ngram: usize,
    /// What the log-probability of a token is multiplied by if the output holds it already (after Keskar et al. 2019,
    /// section 4.1); 1 is no penalty.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub repetition_penalty: f64,
    /// Whether the token for unknown words is never said.
    pub no_unk: bool,
    /// Outputs drawn at random instead of searched for.
    pub sampling: Sampling,
}

/// How a hypothesis of many tokens is compared with one of few. `len` counts EOS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LengthPenalty {
    /// `score = log p`: the plain log-probability, which favours short outputs.
    None,
    /// `score = log p / len`: log-probability per token.
    #[default]
    Average,
    /// `score = log p / ((5 + len) / 6)^alpha` (Wu et al. 2016, section 7).
    Gnmt {
        /// Strength; 0 is none at all, 0.6 to 1 are usual.
        #[schemars(range(min = 0.0, max = 10.0))]
        alpha: f64,
    },
}

/// The longest output of a sentence: `⌊ratio · n⌋ + add` tokens for a source of n, EOS not counted on either side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaxLen {
    /// Output tokens per source token.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub ratio: f64,
    /// Output tokens allowed beyond that.
    #[schemars(range(max = 1_000_000))]
    pub add: usize,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self {
            beam: 1,
            n_best: 1,
            length_penalty: LengthPenalty::Average,
            coverage_penalty: 0.0,
            max_len: MaxLen::default(),
            min_len: 0,
            no_repeat_ngram: 0,
            repetition_penalty: 1.0,
            no_unk: false,
            sampling: Sampling::default(),
        }
    }
}

impl Default for MaxLen {
    fn default() -> Self {
        Self { ratio: 2.0, add: 10 }
    }
}

/// The widest beam accepted.
const MAX_BEAM: usize = 1024;

impl SearchOptions {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Option`] for the first option out of range.
    pub fn check(&self) -> Result<()> {
        let wrong = |key, expected, found: String| Err(Error::Option { key, expected, found });
        if !(1..=MAX_BEAM).contains(&self.beam) {
            return wrong("beam", "1 to 1024", self.beam.to_string());
        }
        if !(1..=if self.sampling.on { MAX_BEAM } else { self.beam }).contains(&self.n_best) {
            return wrong("n_best", "1 to `beam`", format!("{} with beam {}", self.n_best, self.beam));
        }
        if let LengthPenalty::Gnmt { alpha } = self.length_penalty
            && !(0.0..=10.0).contains(&alpha)
        {
            return wrong("length_penalty.gnmt.alpha", "0 to 10", alpha.to_string());
        }
        // Written so that NaN fails.
        if !(0.0..=1e6).contains(&self.coverage_penalty) {
            return wrong("coverage_penalty", "0 to 1e6", self.coverage_penalty.to_string());
        }
        if !(0.0..=1e6).contains(&self.max_len.ratio) {
            return wrong("max_len.ratio", "0 to 1e6", self.max_len.ratio.to_string());
        }
        if self.max_len.add > 1_000_000 {
            return wrong("max_len.add", "0 to 1000000", self.max_len.add.to_string());
        }
        if !(1.0..=100.0).contains(&self.repetition_penalty) {
            return wrong("repetition_penalty", "1 to 100", self.repetition_penalty.to_string());
        }
        let Sampling { temperature, top_p, .. } = self.sampling;
        if !(0.01..=100.0).contains(&temperature) {
            return wrong("sampling.temperature", "0.01 to 100", temperature.to_string());
        }
        if !(0.001..=1.0).contains(&top_p) {
            return wrong("sampling.top_p", "0.001 to 1", top_p.to_string());
        }
        Ok(())
    }

    /// Hypotheses a sentence begins with.
    pub(super) fn lanes(&self) -> usize {
        if self.sampling.on { self.n_best } else { 1 }
    }

    /// How many tokens of a hypothesis a search may look at: 2K, and one more because EOS may be barred.
    pub(super) fn room(&self) -> usize {
        2 * self.beam + 1
    }

    /// The final score of a hypothesis of `len` tokens, EOS counted, with log-probability `log_prob` and attention sum
    /// `coverage` per source position (none without attention).
    ///
    /// `score = log p / lp(len) + β·Σ_s log(min(Σ_t a_ts, 1))`. A source position that got no attention at all counts
    /// as 10⁻¹⁰, so that a score stays finite.
    pub fn score(&self, log_prob: f64, len: usize, coverage: &[f64]) -> f64 {
        let penalty: f64 = coverage.iter().map(|a| a.clamp(1e-10, 1.0).ln()).sum();
        let score = match self.length_penalty {
            LengthPenalty::None => log_prob,
            LengthPenalty::Average => log_prob / len as f64,
            LengthPenalty::Gnmt { alpha } => log_prob / ((5.0 + len as f64) / 6.0).powf(alpha),
        };
        if self.coverage_penalty == 0.0 { score } else { score + self.coverage_penalty * penalty }
    }
}

impl MaxLen {
    /// The longest output for a source of `n` tokens, EOS counted on neither side.
    pub fn of(&self, n: usize) -> usize {
        (self.ratio * n as f64) as usize + self.add
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_follow_the_formulas() {
        let mut options = SearchOptions { length_penalty: LengthPenalty::None, ..Default::default() };
        assert_eq!(options.score(-6.0, 3, &[]), -6.0);
        options.length_penalty = LengthPenalty::Average;
        assert_eq!(options.score(-6.0, 3, &[]), -2.0);
        options.length_penalty = LengthPenalty::Gnmt { alpha: 2.0 };
        assert_eq!(options.score(-6.0, 7, &[]), -1.5);
        options.coverage_penalty = 0.5;
        let want = -1.5 + 0.5 * (0.25f64.ln() + 1e-10f64.ln());
        assert_eq!(options.score(-6.0, 7, &[0.25, 3.0, 0.0]), want);
    }

    #[test]
    fn the_longest_output_follows_the_source() {
        assert_eq!(MaxLen { ratio: 1.5, add: 2 }.of(3), 6);
        assert_eq!(MaxLen { ratio: 0.0, add: 0 }.of(9), 0);
    }

    #[test]
    fn ranges_are_checked() {
        let base = SearchOptions::default();
        assert!(base.check().is_ok());
        for (bad, key) in [
            (SearchOptions { beam: 0, ..base.clone() }, "beam"),
            (SearchOptions { n_best: 2, ..base.clone() }, "n_best"),
            (SearchOptions { coverage_penalty: -1.0, ..base.clone() }, "coverage_penalty"),
            (SearchOptions { max_len: MaxLen { ratio: f64::NAN, add: 1 }, ..base.clone() }, "max_len.ratio"),
            (
                SearchOptions { max_len: MaxLen { ratio: 1.0, add: usize::MAX }, ..base.clone() },
                "max_len.add",
            ),
            (
                SearchOptions { length_penalty: LengthPenalty::Gnmt { alpha: f64::NAN }, ..base.clone() },
                "length_penalty.gnmt.alpha",
            ),
        ] {
            let error = bad.check().unwrap_err();
            assert!(matches!(error, Error::Option { key: k, .. } if k == key), "{error}");
        }
    }
}
