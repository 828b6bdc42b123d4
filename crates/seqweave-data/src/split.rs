//! Train, dev and test from one corpus, without a source that appears on both sides.
//!
//! All pairs whose sources have the same tokens form one group, and a group is never divided: a word with
//! several pronunciations does not leak from the test set into training. A group's place is a hash of the
//! seed and the source, so neither the order of the file nor the other pairs matter. Groups are told apart by that
//! hash of 64 bits.

use std::collections::HashSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::corpus::Pair;
use crate::divide::{Divider, Place, check_parts};
use crate::error::{Problems, Result};
use crate::hash::source_hash;
use crate::tokenize::Tokenizer;

/// How much of a corpus: a share, or a number of pairs.
///
/// In a configuration `0.05` is a share of the sources and `500` a number of pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// A share of the distinct sources, from 0 to below 1. A source that was chosen stays chosen when the
    /// corpus grows.
    Share(f64),
    /// At most so many pairs; exactly so many unless a source with several pairs does not fit.
    Pairs(u64),
}

impl Amount {
    /// Whether nothing is asked for.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Pairs(0)) || matches!(self, Self::Share(share) if share == 0.0)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "a share of {share}"),
            Self::Pairs(pairs) => write!(f, "{pairs} pairs"),
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Share(share) => serializer.serialize_f64(share),
            Self::Pairs(pairs) => serializer.serialize_u64(pairs),
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share such as 0.05 (from 0 to below 1) or a whole number of pairs such as 500")
            }

            fn visit_f64<E: serde::de::Error>(self, share: f64) -> Result<Amount, E> {
                if (0.0..1.0).contains(&share) {
                    Ok(Amount::Share(share))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Float(share), &self))
                }
            }

            fn visit_u64<E: serde::de::Error>(self, pairs: u64) -> Result<Amount, E> {
                Ok(Amount::Pairs(pairs))
            }

            fn visit_i64<E: serde::de::Error>(self, pairs: i64) -> Result<Amount, E> {
                u64::try_from(pairs)
                    .map(Amount::Pairs)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(pairs), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A share of the distinct sources (0.05, from 0 to below 1) or a whole number of pairs.",
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "number", "minimum": 0, "exclusiveMaximum": 1 },
            ],
        })
    }
}

/// How to divide the training corpus where a dev or test corpus is not given by its own files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// How much goes to validation: a share of the distinct sources (`0.05`) or a number of pairs (`500`).
    pub dev: Amount,
    /// How much goes to the test set: a share of the distinct sources (`0.05`) or a number of pairs (`500`). Training
    /// writes it to `test.tsv` in the run folder, or to `test.jsonl` where a text has tabs or line breaks of its own.
    pub test: Amount,
    /// Seed of the division, apart from that of the run, so that runs with other seeds are measured on the same pairs.
    pub seed: u64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { dev: Amount::Share(0.05), test: Amount::Pairs(0), seed: 1 }
    }
}

impl SplitConfig {
    pub(crate) fn problems(&self) -> Problems {
        let mut p = Problems::default();
        for (key, amount) in [("dev", self.dev), ("test", self.test)] {
            if let Amount::Share(share) = amount {
                p.require((0.0..1.0).contains(&share), key, "a share from 0 to below 1", share);
            }
        }
        if let (Amount::Share(dev), Amount::Share(test)) = (self.dev, self.test) {
            p.require(dev + test < 1.0, "dev", "dev and test together below 1", dev + test);
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

/// The three parts of a corpus. Each keeps the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// What is trained on.
    pub train: Vec<Pair>,
    /// What is measured during training.
    pub dev: Vec<Pair>,
    /// What is measured once, at the end.
    pub test: Vec<Pair>,
}

/// Divides pairs into train, dev and test.
///
/// Groups are ordered by the hash of (seed, source). The test set is taken from the low end and the dev set
/// from the high end, so that the size of one does not change the members of the other.
///
/// # Errors
/// Bad values, or a part that was asked for and came out empty; the training part must not be empty.
///
/// ```
/// use seqweave_data::{Amount, Level, Pair, SplitConfig, Tokenizer, split};
///
/// let pair = |i: usize| Pair { src: format!("w{}", i / 2), tgt: i.to_string(), line: i as u64 + 1 };
/// let config = SplitConfig { dev: Amount::Pairs(20), test: Amount::Share(0.1), seed: 1 };
/// let parts = split((0..200).map(pair).collect(), &config, &Tokenizer::new(Level::Word))?;
/// assert_eq!(parts.dev.len(), 20);
/// assert!(parts.test.iter().all(|t| parts.train.iter().all(|p| p.src != t.src)));
/// # Ok::<(), seqweave_data::Error>(())
/// ```
pub fn split(pairs: Vec<Pair>, config: &SplitConfig, src: &Tokenizer) -> Result<Split> {
    config.validate()?;
    let hashes: Vec<u64> = pairs.iter().map(|pair| source_hash(config.seed, src, &pair.src)).collect();
    let every = |see: &mut dyn FnMut(u64)| {
        hashes.iter().for_each(|hash| see(*hash));
        Ok(())
    };
    let divider = Divider::choose(config, &every)?;
    let mut parts = Split::default();
    for (pair, hash) in pairs.into_iter().zip(&hashes) {
        match divider.place(*hash) {
            Place::Train | Place::HeldOut => parts.train.push(pair),
            Place::Dev => parts.dev.push(pair),
            Place::Test => parts.test.push(pair),
        }
    }
    check_parts(config, [parts.train.len(), parts.dev.len(), parts.test.len()], &every)?;
    Ok(parts)
}

/// Removes the pairs whose source is among `held_out`, and returns the others and how many were removed.
///
/// Sources are equal if they have the same tokens.
///
/// ```
/// use seqweave_data::{Level, Pair, Tokenizer, exclude_sources};
///
/// let pair = |src: &str| Pair { src: src.into(), tgt: String::new(), line: 1 };
/// let train = vec![pair("a b"), pair("c"), pair("a  b")];
/// let (train, removed) = exclude_sources(train, ["a b"], &Tokenizer::new(Level::Word));
/// assert_eq!((train.len(), removed), (1, 2));
/// ```
pub fn exclude_sources<'a>(
    train: Vec<Pair>,
    held_out: impl IntoIterator<Item = &'a str>,
    src: &Tokenizer,
) -> (Vec<Pair>, usize) {
    let hash = |text: &str| source_hash(0, src, text);
    let held_out: HashSet<u64> = held_out.into_iter().map(hash).collect();
    let before = train.len();
    let kept: Vec<Pair> = train.into_iter().filter(|pair| !held_out.contains(&hash(&pair.src))).collect();
    let removed = before - kept.len();
    (kept, removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::Level;

    fn corpus(n: usize, per_source: usize) -> Vec<Pair> {
        let pair =
            |i| Pair { src: format!("w {}", i / per_source), tgt: format!("t{i}"), line: i as u64 + 1 };
        (0..n).map(pair).collect()
    }

    fn words() -> Tokenizer {
        Tokenizer::new(Level::Word)
    }

    fn lines(pairs: &[Pair]) -> Vec<u64> {
        let mut lines: Vec<u64> = pairs.iter().map(|p| p.line).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn shares_come_out_near_and_numbers_exact() {
        let config = SplitConfig { dev: Amount::Share(0.2), test: Amount::Pairs(300), seed: 3 };
        let parts = split(corpus(6000, 3), &config, &words()).expect("enough pairs");
        assert_eq!(parts.test.len(), 300);
        // 2000 sources at 0.2: 400 ± 18 (one standard deviation), three pairs each.
        assert!((1000..1400).contains(&parts.dev.len()), "{}", parts.dev.len());
        assert_eq!(parts.train.len() + parts.dev.len() + parts.test.len(), 6000);
    }

    #[test]
    fn one_size_does_not_change_the_other_set_and_growth_moves_nothing() {
        let with = |dev, test, n| {
            split(corpus(n, 2), &SplitConfig { dev, test, seed: 5 }, &words()).expect("enough pairs")
        };
        let a = with(Amount::Pairs(10), Amount::Pairs(40), 1000);
        let b = with(Amount::Pairs(90), Amount::Pairs(40), 1000);
        assert_eq!(a.test, b.test);
        assert!(a.dev.iter().all(|p| b.dev.contains(p)));
        let small = with(Amount::Share(0.1), Amount::Share(0.1), 600);
        let large = with(Amount::Share(0.1), Amount::Share(0.1), 1200);
        assert!(small.test.iter().all(|p| large.test.contains(p)));
        assert!(small.train.iter().all(|p| large.train.contains(p)));
    }

    #[test]
    fn the_split_is_frozen() {
        let config = SplitConfig { dev: Amount::Pairs(4), test: Amount::Pairs(4), seed: 1 };
        let parts = split(corpus(20, 1), &config, &words()).expect("enough pairs");
        assert_eq!((lines(&parts.test), lines(&parts.dev)), (vec![4, 7, 11, 18], vec![9, 17, 19, 20]));
    }

    #[test]
    fn sources_with_equal_tokens_stay_together() {
        let lower = words().with_lowercase(true);
        let mut pairs = corpus(200, 1);
        let doubled: Vec<Pair> = pairs
            .iter()
            .map(|p| Pair { src: p.src.to_uppercase().replace(' ', "  "), ..p.clone() })
            .collect();
        pairs.extend(doubled);
        let config = SplitConfig { dev: Amount::Share(0.3), test: Amount::Share(0.3), seed: 9 };
        let parts = split(pairs, &config, &lower).expect("enough pairs");
        for part in [&parts.train, &parts.dev, &parts.test] {
            assert!(lines(part).chunks(2).all(|two| two[0] == two[1]));
        }
    }

    #[test]
    fn an_empty_part_is_an_error_with_a_next_step() {
        let cases = [
            (
                Amount::Share(0.01),
                Amount::Pairs(0),
                "the dev split is empty: asked for a share of 0.01 of 3 pairs",
            ),
            (
                Amount::Pairs(0),
                Amount::Pairs(2),
                "the test split is empty: asked for 2 pairs of 3 pairs (1 distinct",
            ),
            (Amount::Pairs(3), Amount::Pairs(0), "the train split is empty"),
        ];
        for (dev, test, expected) in cases {
            let message = split(corpus(3, 3), &SplitConfig { dev, test, seed: 1 }, &words())
                .expect_err(expected)
                .to_string();
            let part = expected.split(' ').nth(1).expect("the part");
            let key =
                if part == "train" { "lower `dev` and `test`".to_owned() } else { format!("`data.{part}`") };
            assert!(
                message.contains(expected) && message.contains("help:") && message.contains(&key),
                "{message}"
            );
        }
    }

    #[test]
    fn amounts_are_shares_or_whole_numbers() {
        let parse = |text| serde_json::from_str::<Amount>(text).map_err(|e| e.to_string());
        assert_eq!(parse("0.25"), Ok(Amount::Share(0.25)));
        assert_eq!(parse("0.0"), Ok(Amount::Share(0.0)));
        assert_eq!(parse("7"), Ok(Amount::Pairs(7)));
        for text in ["1.0", "1e39", "-0.5", "-3", "\"5%\"", "null"] {
            let message = parse(text).expect_err(text);
            assert!(message.contains("a share such as 0.05"), "{text}: {message}");
        }
        let both = SplitConfig { dev: Amount::Share(0.5), test: Amount::Share(0.5), seed: 1 };
        assert!(both.validate().expect_err("nothing left").to_string().contains("together below 1"));
        let nan = SplitConfig { dev: Amount::Share(f64::NAN), ..SplitConfig::default() };
        assert!(nan.validate().is_err());
    }
}
