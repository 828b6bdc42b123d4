//! What a configuration file says about data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::corpus::SourceSpec;
use crate::error::{Problems, Result};
use crate::filter::FilterConfig;
use crate::lines::MAX_LINE_BYTES;
use crate::split::SplitConfig;
use crate::subword::SubwordConfig;
use crate::tokenize::{Form, Level, Tokenizer};
use crate::vocab::SPECIALS;

/// The corpora and what is done to them before training.
///
/// As TOML:
///
/// ```toml
/// train = "train.tsv"
/// dev = { src = "dev.de", tgt = "dev.en" }
///
/// [src]
/// level = "char"
/// lowercase = true
///
/// [tgt]
/// min_freq = 2
///
/// [filter]
/// max_src_len = 60
/// dedup = true
///
/// [split]
/// test = 500
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Training pairs: a file of lines `source<TAB>target`, or `{ src = "…", tgt = "…" }` for two files whose lines
    /// correspond; plain or gzip. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<SourceSpec>,
    /// Validation pairs, measured during training, in the same forms; without them, `split` takes some from the
    /// training pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<SourceSpec>,
    /// Test pairs, which training never looks at, in the same forms; without them, `split` takes some from the
    /// training pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<SourceSpec>,
    /// Whether training pairs whose source is also a validation or test source are dropped.
    pub exclude_held_out: bool,
    /// The longest line that is accepted, in bytes; a longer one is an error.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_line_bytes: usize,
    /// Whether both sides use one vocabulary, counted over both; `min_freq` and `max_vocab` are then the same on both.
    pub shared_vocab: bool,
    /// How source text becomes tokens, and which of them the model knows.
    pub src: SideConfig,
    /// How target text becomes tokens, and which of them the model knows.
    pub tgt: SideConfig,
    /// Which training pairs are dropped.
    pub filter: FilterConfig,
    /// How the training pairs are divided where `dev` or `test` is missing.
    pub split: SplitConfig,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            train: None,
            dev: None,
            test: None,
            exclude_held_out: true,
            max_line_bytes: MAX_LINE_BYTES,
            shared_vocab: false,
            src: SideConfig::default(),
            tgt: SideConfig::default(),
            filter: FilterConfig::default(),
            split: SplitConfig::default(),
        }
    }
}

/// The tokens and the vocabulary of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SideConfig {
    /// What a token is.
    pub level: Level,
    /// Whether text is put into lower case first (Unicode, no locale).
    pub lowercase: bool,
    /// The Unicode normal form into which text is put first.
    pub form: Form,
    /// At the levels of pieces: whether a character that no piece covers is spelt in bytes, so that nothing is unknown.
    pub byte_fallback: bool,
    /// How often a token must occur in the training pairs to be known; pieces are all known.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_freq: u64,
    /// The largest vocabulary, the most frequent tokens first and the four special ones included; 0 is no limit.
    #[schemars(range(max = 16_000_000))]
    pub max_vocab: usize,
}

impl Default for SideConfig {
    fn default() -> Self {
        Self {
            level: Level::Word,
            lowercase: false,
            form: Form::None,
            byte_fallback: false,
            min_freq: 1,
            max_vocab: 32_000,
        }
    }
}

impl SideConfig {
    /// The tokenizer of this side.
    pub fn tokenizer(&self) -> Tokenizer {
        Tokenizer::new(self.level).with_lowercase(self.lowercase).with_form(self.form)
    }

    /// How pieces are learnt, at the levels of pieces.
    pub fn subwords(&self) -> Option<SubwordConfig> {
        let kind = self.level.kind()?;
        // Without a limit, the usual number.
        let max = if self.max_vocab == 0 { 32_000 } else { self.max_vocab };
        Some(SubwordConfig {
            kind,
            // `<unk>` is among the pieces and among the special tokens.
            pieces: (max + 1).saturating_sub(SPECIALS.len()),
            byte_fallback: self.byte_fallback,
            form: self.form,
            lowercase: self.lowercase,
        })
    }

    fn problems(&self) -> Problems {
        let mut p = Problems::default();
        p.require(self.min_freq >= 1, "min_freq", "at least 1 occurrence", self.min_freq);
        let sensible = self.max_vocab == 0 || self.max_vocab > SPECIALS.len();
        let bytes =
            !(self.level.is_subword() && self.byte_fallback) || self.max_vocab == 0 || self.max_vocab > 300;
        p.require(bytes, "max_vocab", "more than 300 tokens, as byte_fallback takes 256", self.max_vocab);
        p.require(sensible, "max_vocab", "0 (no limit) or at least 5 tokens", self.max_vocab);
        p
    }
}

impl DataConfig {
    pub(crate) fn problems(&self) -> Problems {
        let mut p = Problems::default();
        p.require(self.max_line_bytes >= 1, "max_line_bytes", "at least 1 byte", self.max_line_bytes);
        p.nest("src", self.src.problems());
        p.nest("tgt", self.tgt.problems());
        p.nest("filter", self.filter.problems());
        p.nest("split", self.split.problems());
        if self.shared_vocab {
            let (s, t) = (&self.src, &self.tgt);
            let found = |s: u64, t: u64| format!("{t} beside {s} in src");
            let same = "the value of src, as shared_vocab is true";
            p.require(s.min_freq == t.min_freq, "tgt.min_freq", same, found(s.min_freq, t.min_freq));
            let (sv, tv) = (s.max_vocab as u64, t.max_vocab as u64);
            let pieces = |side: &SideConfig| side.subwords();
            let alike = pieces(s) == pieces(t) || s.max_vocab != t.max_vocab;
            p.require(
                alike,
                "tgt.level",
                "pieces as in src, as shared_vocab is true",
                format!("{:?}", t.level),
            );
            p.require(sv == tv, "tgt.max_vocab", same, found(sv, tv));
        }
        p
    }

    /// Checks every value but the presence of `train`, which [`load_corpora`](crate::load_corpora) asks for.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with all bad values at once.
    pub fn validate(&self) -> Result<()> {
        self.problems().into_result()
    }
}
