//! Which pairs to train on, with a count for every reason to drop one.

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::corpus::Pair;
use unicode_script::Script;

use crate::error::{Problems, Result};
use crate::hash::{source_hash, spread};
use crate::script;
use crate::tokenize::Tokenizer;

/// Which training pairs to drop. Lengths count tokens of the side's own level, special tokens not included; at the levels
/// of pieces they count words, and characters of scripts that put no spaces between words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// The longest source that is kept, in tokens, its tags included.
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
    /// Whether pairs whose two sides are the same text are dropped, as where a crawled corpus was not translated; a source
    /// with tags is no copy, since they say what becomes of it.
    pub drop_copies: bool,
    /// The scripts that sources are written in, by Unicode name (`["Latin"]`, `["Han", "Hiragana", "Katakana"]`); a pair
    /// is dropped where too few letters are of them. Without a name, any script is good.
    pub src_scripts: Vec<String>,
    /// The scripts that targets are written in, in the same form.
    pub tgt_scripts: Vec<String>,
    /// The share of letters that must be of the scripts named; digits and punctuation do not count.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_script_share: f64,
    /// Whether only the first of several pairs with the same tokens on both sides is kept.
    pub dedup: bool,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            max_src_len: 200,
            max_tgt_len: 200,
            min_len: 1,
            max_len_ratio: None,
            drop_copies: false,
            src_scripts: Vec::new(),
            tgt_scripts: Vec::new(),
            min_script_share: 0.5,
            dedup: false,
        }
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
        for (key, names) in [("src_scripts", &self.src_scripts), ("tgt_scripts", &self.tgt_scripts)] {
            for name in names {
                let expected = "names of Unicode scripts, such as Latin, Cyrillic, Han, Hangul, Arabic";
                p.require(script::script(name).is_some(), key, expected, format!("{name:?}"));
            }
        }
        let share = self.min_script_share;
        p.require((0.0..=1.0).contains(&share), "min_script_share", "a share from 0 to 1", share);
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
#[serde(deny_unknown_fields, default)]
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
    /// Pairs whose two sides are the same text.
    pub copy: usize,
    /// Pairs with too few letters of `src_scripts` in the source.
    pub src_script: usize,
    /// Pairs with too few letters of `tgt_scripts` in the target.
    pub tgt_script: usize,
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
    pub fn reasons(&self) -> [(usize, &'static str); 10] {
        [
            (self.empty_src, "empty source"),
            (self.empty_tgt, "empty target"),
            (self.too_short, "too short"),
            (self.long_src, "source too long"),
            (self.long_tgt, "target too long"),
            (self.ratio, "length ratio"),
            (self.copy, "copy"),
            (self.src_script, "source script"),
            (self.tgt_script, "target script"),
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
    let filter = Filter::new(config);
    let mut report = FilterReport::default();
    let mut seen: HashSet<u64> = HashSet::new();
    let mut kept = Vec::new();
    for (i, pair) in pairs.iter().enumerate() {
        let measured = || (Measured::of(0, src, &pair.src), Measured::of(0, tgt, &pair.tgt));
        let reason = match filter.reason(Texts::of(src, &pair.src, &pair.tgt), measured) {
            Err(reason) => Some(reason),
            Ok((s, t)) if config.dedup && !seen.insert(pair_hash(s.hash, t.hash)) => Some(Reason::Duplicate),
            Ok(_) => None,
        };
        if reason.is_none() {
            kept.push(i);
        }
        report.count(reason);
    }
    (kept, report)
}

/// Why a pair is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    EmptySource,
    EmptyTarget,
    Short,
    LongSource,
    LongTarget,
    Ratio,
    Copy,
    SourceScript,
    TargetScript,
    Duplicate,
}

impl FilterReport {
    /// Counts a pair that was dropped, or kept.
    pub(crate) fn count(&mut self, reason: Option<Reason>) {
        *match reason {
            None => &mut self.kept,
            Some(Reason::EmptySource) => &mut self.empty_src,
            Some(Reason::EmptyTarget) => &mut self.empty_tgt,
            Some(Reason::Short) => &mut self.too_short,
            Some(Reason::LongSource) => &mut self.long_src,
            Some(Reason::LongTarget) => &mut self.long_tgt,
            Some(Reason::Ratio) => &mut self.ratio,
            Some(Reason::Copy) => &mut self.copy,
            Some(Reason::SourceScript) => &mut self.src_script,
            Some(Reason::TargetScript) => &mut self.tgt_script,
            Some(Reason::Duplicate) => &mut self.duplicate,
        } += 1;
    }
}

/// What the filter must know of one side beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Tokens; words, at the levels of pieces.
    pub(crate) tokens: usize,
    /// Tags beside them.
    pub(crate) tags: usize,
    /// The hash of what it consists of; see [`crate::hash::TextHash`].
    pub(crate) hash: u64,
}

impl Measured {
    pub(crate) fn of(seed: u64, tokenizer: &Tokenizer, text: &str) -> Self {
        let tags = tokenizer.text_and_tags(text).1.len();
        Self { tokens: tokenizer.count(text), tags, hash: source_hash(seed, tokenizer, text) }
    }
}

/// The texts of a pair, the tags of its source apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texts<'t> {
    pub(crate) src: &'t str,
    pub(crate) tgt: &'t str,
    is_tagged: bool,
}

impl<'t> Texts<'t> {
    /// Source and target as lines; `tokenizer` is that of the source.
    pub(crate) fn of(tokenizer: &Tokenizer, src: &'t str, tgt: &'t str) -> Self {
        let (src, tags) = tokenizer.text_and_tags(src);
        Self { src, tgt, is_tagged: !tags.is_empty() }
    }

    /// Whether both sides are the same. Where tags say what becomes of a text, it may well stay as it is.
    pub(crate) fn is_copy(&self) -> bool {
        !self.is_tagged && self.src.trim() == self.tgt.trim()
    }
}

/// The hash of a pair, from those of its sides.
pub(crate) fn pair_hash(src: u64, tgt: u64) -> u64 {
    spread(src.rotate_left(31) ^ spread(tgt))
}

/// A [`FilterConfig`] that is ready to be used.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    config: FilterConfig,
    src_scripts: Vec<Script>,
    tgt_scripts: Vec<Script>,
}

impl Filter {
    pub(crate) fn new(config: &FilterConfig) -> Self {
        let scripts = |names: &[String]| names.iter().filter_map(|name| script::script(name)).collect();
        Self {
            src_scripts: scripts(&config.src_scripts),
            tgt_scripts: scripts(&config.tgt_scripts),
            config: config.clone(),
        }
    }

    /// What `measure` says of both sides, or the first reason to drop the pair, duplicates apart.
    pub(crate) fn reason(
        &self,
        texts: Texts<'_>,
        measure: impl FnOnce() -> (Measured, Measured),
    ) -> Result<(Measured, Measured), Reason> {
        let (config, Texts { src, tgt, .. }) = (&self.config, texts);
        // At the `char` level a space is a token, yet a line of spaces says nothing either.
        if src.trim_start().is_empty() {
            return Err(Reason::EmptySource);
        }
        if tgt.trim_start().is_empty() {
            return Err(Reason::EmptyTarget);
        }
        let (s, t) = measure();
        let (short, long) = (s.tokens.min(t.tokens), s.tokens.max(t.tokens));
        let too_few = |text, scripts: &[Script]| {
            !scripts.is_empty()
                && script::share(text, scripts).is_some_and(|share| share < config.min_script_share)
        };
        let reason = if short < config.min_len {
            Reason::Short
        } else if s.tokens + s.tags > config.max_src_len {
            Reason::LongSource
        } else if t.tokens > config.max_tgt_len {
            Reason::LongTarget
        } else if config.max_len_ratio.is_some_and(|ratio| long as f64 > ratio * short as f64) {
            Reason::Ratio
        } else if config.drop_copies && texts.is_copy() {
            Reason::Copy
        } else if too_few(src, &self.src_scripts) {
            Reason::SourceScript
        } else if too_few(tgt, &self.tgt_scripts) {
            Reason::TargetScript
        } else {
            return Ok((s, t));
        };
        Err(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::pairs_of;
    use crate::tokenize::Level;

    #[test]
    fn every_reason_is_counted_once() {
        let words = Tokenizer::new(Level::Word);
        let config = FilterConfig {
            max_src_len: 4,
            max_tgt_len: 5,
            min_len: 2,
            max_len_ratio: Some(2.0),
            dedup: true,
            ..FilterConfig::default()
        };
        let input = pairs_of(&[
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
            ..FilterReport::default()
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
            select(&pairs_of(&[("a", "b"), ("a", "b")]), &chars, &chars, &FilterConfig::default());
        assert_eq!((kept.len(), report.to_string()), (2, "kept 2 of 2 pairs".to_owned()));
    }

    #[test]
    fn duplicates_are_compared_after_lower_case() {
        let lower = Tokenizer::new(Level::Char).with_lowercase(true);
        let config = FilterConfig { dedup: true, ..FilterConfig::default() };
        let (kept, _) = select(&pairs_of(&[("A", "b"), ("a", "B"), ("a ", "b")]), &lower, &lower, &config);
        assert_eq!(kept, [0, 2]);
    }

    #[test]
    fn copies_and_other_scripts_go() {
        let words = Tokenizer::new(Level::Word);
        let config = FilterConfig {
            drop_copies: true,
            src_scripts: vec!["Latin".to_owned()],
            tgt_scripts: vec!["Han".to_owned(), "Hiragana".to_owned()],
            ..FilterConfig::default()
        };
        let input = pairs_of(&[
            ("tea", "お茶"),
            ("tea ", "tea"),
            ("чай", "お茶"),
            ("tea", "чай"),
            ("12", "12."),
            ("tea чай", "茶 tea 茶 茶"),
        ]);
        let (kept, report) = select(&input, &words, &words, &config);
        assert_eq!(kept, [0, 4, 5], "half of the letters is enough, and digits are of every script");
        assert_eq!((report.copy, report.src_script, report.tgt_script), (1, 1, 1));
        let bad = FilterConfig { src_scripts: vec!["Klingon".to_owned()], ..config };
        let message = bad.validate().expect_err("no such script").to_string();
        assert!(message.contains("src_scripts: expected names of Unicode scripts"), "{message}");
    }

    #[test]
    fn tags_are_no_text_but_a_part_of_the_source() {
        let tagged = Tokenizer::new(Level::Char).with_tags(Some(";".to_owned()));
        let chars = Tokenizer::new(Level::Char);
        let config = FilterConfig {
            max_src_len: 5,
            max_len_ratio: Some(2.0),
            drop_copies: true,
            src_scripts: vec!["Cyrillic".to_owned()],
            dedup: true,
            ..FilterConfig::default()
        };
        let input = pairs_of(&[
            ("чай\tN;PL", "чаи"),
            ("чай\tN;SG", "чай"),
            ("чай\t", "чай"),
            ("\tN;SG", "чай"),
            (" \tN", "чай"),
            ("чай\tN;SG;ACC", "чай"),
            ("чай\tN;PL", "чай"),
            ("чай\tN; PL", "чаи"),
            ("ч\tN;PL", "чаи"),
            ("tea\tN", "teas"),
        ]);
        let (kept, report) = select(&input, &tagged, &chars, &config);
        assert_eq!(
            kept,
            [0, 1, 6],
            "the same word under other tags, or with another target, is another pair"
        );
        let expected = FilterReport {
            kept: 3,
            empty_src: 2,
            long_src: 1,
            ratio: 1,
            copy: 1,
            src_script: 1,
            duplicate: 1,
            ..FilterReport::default()
        };
        assert_eq!(report, expected);
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
