//! Which pairs to train on, with a count for every reason to drop one.

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::corpus::Pair;
use crate::error::{Problems, Result};
use crate::tokenize::Tokenizer;

/// Which training pairs to drop. Lengths count tokens of the side's own level, special tokens not included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// The longest source that is kept, in tokens.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_src_len: usize,
    /// The longest target that is kept, in tokens.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_tgt_len: usize,
    /// The shortest side that is kept, in tokens.
    #[schemars(range(min = 1, max = 100_000))]
    pub min_len: usize,
    /// The largest ratio of the longer side to the shorter one, in tokens per token; without it there is no limit.
    #[schemars(range(min = 1.0, max = 1e6))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_len_ratio: Option<f64>,
    /// Whether only the first of several pairs with the same tokens on both sides is kept.
    pub dedup: bool,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self { max_src_len: 200, max_tgt_len: 200, min_len: 1, max_len_ratio: None, dedup: false }
    }
}

impl FilterConfig {
    pub(crate) fn problems(&self) -> Problems {
        let mut p = Problems::default();
        p.require(self.max_src_len >= 1, "max_src_len", "at least 1 token", self.max_src_len);
        p.require(self.max_tgt_len >= 1, "max_tgt_len", "at least 1 token", self.max_tgt_len);
        let shortest = self.max_src_len.min(self.max_tgt_len);
        p.require(
            (1..=shortest.max(1)).contains(&self.min_len),
            "min_len",
            "at least 1 token and at most max_src_len and max_tgt_len",
            self.min_len,
        );
        if let Some(ratio) = self.max_len_ratio {
            p.require(ratio >= 1.0 && ratio.is_finite(), "max_len_ratio", "a finite number from 1", ratio);
        }
        p
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with all bad values at once.
    pub fn validate(&self) -> Result<()> {
        self.problems().into_result()
    }
}

/// How many pairs were kept, and how many were dropped for which reason. A pair is counted once, under the
/// first reason in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FilterReport {
    /// Pairs that were kept.
    pub kept: usize,
    /// Pairs whose source is empty or white space.
    pub empty_src: usize,
    /// Pairs whose target is empty or white space.
    pub empty_tgt: usize,
    /// Pairs with a side shorter than `min_len`.
    pub too_short: usize,
    /// Pairs whose source is longer than `max_src_len`.
    pub long_src: usize,
    /// Pairs whose target is longer than `max_tgt_len`.
    pub long_tgt: usize,
    /// Pairs whose lengths differ by more than `max_len_ratio`.
    pub ratio: usize,
    /// Pairs that came before.
    pub duplicate: usize,
}

impl FilterReport {
    /// Pairs that were dropped for any reason.
    pub fn dropped(&self) -> usize {
        self.reasons().iter().map(|(count, _)| count).sum()
    }

    /// All pairs that were looked at.
    pub fn total(&self) -> usize {
        self.kept + self.dropped()
    }

    /// The count and the name of every reason.
    pub fn reasons(&self) -> [(usize, &'static str); 7] {
        [
            (self.empty_src, "empty source"),
            (self.empty_tgt, "empty target"),
            (self.too_short, "too short"),
            (self.long_src, "source too long"),
            (self.long_tgt, "target too long"),
            (self.ratio, "length ratio"),
            (self.duplicate, "duplicate"),
        ]
    }
}

/// One line: `kept 97 of 100 pairs; dropped 3: 1 empty source, 2 duplicate`.
impl fmt::Display for FilterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kept {} of {} pairs", self.kept, self.total())?;
        let dropped = self.dropped();
        if dropped > 0 {
            let reasons = self.reasons();
            let named = reasons.iter().filter(|(count, _)| *count > 0);
            let named: Vec<String> = named.map(|(count, name)| format!("{count} {name}")).collect();
            write!(f, "; dropped {dropped}: {}", named.join(", "))?;
        }
        Ok(())
    }
}

/// The indices of the pairs to keep, in order, and the counts of the others.
///
/// ```
/// use seqweave_data::{FilterConfig, Level, Pair, Tokenizer, select};
///
/// let pair = |src: &str, tgt: &str| Pair { src: src.into(), tgt: tgt.into(), line: 1 };
/// let pairs = [pair("a b", "x"), pair("", "x"), pair("a  b", "x")];
/// let words = Tokenizer::new(Level::Word);
/// let config = FilterConfig { dedup: true, ..FilterConfig::default() };
/// let (kept, report) = select(&pairs, &words, &words, &config);
/// assert_eq!(kept, [0]);
/// assert_eq!(report.to_string(), "kept 1 of 3 pairs; dropped 2: 1 empty source, 1 duplicate");
/// ```
pub fn select(
    pairs: &[Pair],
    src: &Tokenizer,
    tgt: &Tokenizer,
    config: &FilterConfig,
) -> (Vec<usize>, FilterReport) {
    let mut report = FilterReport::default();
    let mut seen: HashSet<(String, String)> = HashSet::new();
    let mut kept = Vec::new();
    for (i, pair) in pairs.iter().enumerate() {
        let reason = match drop_reason(pair, src, tgt, config, &mut report) {
            Some(reason) => reason,
            None if config.dedup && !seen.insert((src.canonical(&pair.src), tgt.canonical(&pair.tgt))) => {
                &mut report.duplicate
            }
            None => {
                kept.push(i);
                &mut report.kept
            }
        };
        *reason += 1;
    }
    (kept, report)
}

/// The counter of the first reason to drop a pair, duplicates apart.
fn drop_reason<'r>(
    pair: &Pair,
    src: &Tokenizer,
    tgt: &Tokenizer,
    config: &FilterConfig,
    report: &'r mut FilterReport,
) -> Option<&'r mut usize> {
    // At the `char` level a space is a token, yet a line of spaces says nothing either.
    if pair.src.trim().is_empty() {
        return Some(&mut report.empty_src);
    }
    if pair.tgt.trim().is_empty() {
        return Some(&mut report.empty_tgt);
    }
    let (s, t) = (src.count(&pair.src), tgt.count(&pair.tgt));
    let (short, long) = (s.min(t), s.max(t));
    if short < config.min_len {
        Some(&mut report.too_short)
    } else if s > config.max_src_len {
        Some(&mut report.long_src)
    } else if t > config.max_tgt_len {
        Some(&mut report.long_tgt)
    } else if config.max_len_ratio.is_some_and(|ratio| long as f64 > ratio * short as f64) {
        Some(&mut report.ratio)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::Level;

    fn pairs(sides: &[(&str, &str)]) -> Vec<Pair> {
        let pair =
            |(&(src, tgt), line): (&(&str, &str), u64)| Pair { src: src.into(), tgt: tgt.into(), line };
        sides.iter().zip(1..).map(pair).collect()
    }

    #[test]
    fn every_reason_is_counted_once() {
        let words = Tokenizer::new(Level::Word);
        let config = FilterConfig {
            max_src_len: 4,
            max_tgt_len: 5,
            min_len: 2,
            max_len_ratio: Some(2.0),
            dedup: true,
        };
        let input = pairs(&[
            ("a b", "x y"),
            ("", ""),
            (" \u{3000}", "x y"),
            ("a b", "\t"),
            ("a", "x y"),
            ("a b c d e", "x y x y x y"),
            ("a b c", "x y x y x y"),
            ("a b", "x y x y x"),
            ("a b", "x y x y"),
            ("a  b", "x y"),
            ("a b", "x z"),
        ]);
        let (kept, report) = select(&input, &words, &words, &config);
        assert_eq!(kept, [0, 8, 10]);
        let expected = FilterReport {
            kept: 3,
            empty_src: 2,
            empty_tgt: 1,
            too_short: 1,
            long_src: 1,
            long_tgt: 1,
            ratio: 1,
            duplicate: 1,
        };
        assert_eq!(report, expected);
        assert_eq!(report.total(), input.len());
        assert_eq!(
            report.to_string(),
            "kept 3 of 11 pairs; dropped 8: 2 empty source, 1 empty target, 1 too short, 1 source too long, \
             1 target too long, 1 length ratio, 1 duplicate"
        );
    }

    #[test]
    fn nothing_dropped_reads_short_and_duplicates_stay_by_default() {
        let chars = Tokenizer::new(Level::Char);
        let (kept, report) =
            select(&pairs(&[("a", "b"), ("a", "b")]), &chars, &chars, &FilterConfig::default());
        assert_eq!((kept.len(), report.to_string()), (2, "kept 2 of 2 pairs".to_owned()));
    }

    #[test]
    fn duplicates_are_compared_after_lower_case() {
        let lower = Tokenizer::new(Level::Char).with_lowercase(true);
        let config = FilterConfig { dedup: true, ..FilterConfig::default() };
        let (kept, _) = select(&pairs(&[("A", "b"), ("a", "B"), ("a ", "b")]), &lower, &lower, &config);
        assert_eq!(kept, [0, 2]);
    }

    #[test]
    fn all_bad_values_are_named_at_once() {
        let bad = FilterConfig { max_src_len: 0, max_len_ratio: Some(f64::NAN), ..FilterConfig::default() };
        let message = bad.validate().expect_err("two bad values").to_string();
        assert!(message.contains("max_src_len: expected at least 1 token, found 0"), "{message}");
        assert!(message.contains("max_len_ratio: expected a finite number from 1, found NaN"), "{message}");
        for ratio in [0.5, -1.0, f64::INFINITY] {
            let bad = FilterConfig { max_len_ratio: Some(ratio), ..FilterConfig::default() };
            assert!(bad.validate().is_err(), "{ratio}");
        }
        for min_len in [0, 201] {
            assert!(FilterConfig { min_len, ..FilterConfig::default() }.validate().is_err(), "{min_len}");
        }
        assert!(FilterConfig::default().validate().is_ok());
    }
}
