//! What a configuration file says about data.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::corpus::{SourceSpec, TrainSpec, WEIGHTS};
use crate::error::{Problems, Result};
use crate::filter::FilterConfig;
use crate::lines::MAX_LINE_BYTES;
use crate::split::SplitConfig;
use crate::subword::{Noise, SamplingConfig, SubwordConfig, Subwords};
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
    /// Training pairs: a file of lines `source<TAB>target`, a file `*.jsonl` of objects with the fields `src` and `tgt`
    /// (others: `{ path = "…", src_field = "de", tgt_field = "en" }`), or `{ src = "…", tgt = "…" }` for two files whose
    /// lines correspond; plain, gzip or zstd. A list of such, `[{ path = "…", weight = 2.0 }, …]`, with the number of times
    /// that an epoch shows each pair; or `{ shards = "folder" }`, made by `seqweave prepare`. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainSpec>,
    /// Validation pairs, measured during training, in one of the forms of a file or two; without them, `split` takes some
    /// from the training pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<SourceSpec>,
    /// Test pairs, which training never looks at, in the same forms as `dev`; without them, `split` takes some from the
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
    /// For corpora with a column of features: the characters between its tags, as in `";"`. A TSV file has three columns
    /// then, `source<TAB>tags<TAB>target`, and a source file the first two of them; `model.features` says how the model takes
    /// them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<String>,
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
            features: None,
            src: SideConfig::default(),
            tgt: SideConfig::default(),
            filter: FilterConfig::default(),
            split: SplitConfig::default(),
        }
    }
}

/// The tokens and the vocabulary of one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SideConfig {
    /// What a token is.
    pub level: Level,
    /// A tokenizer file, as `seqweave tokenizer train` or `import` writes it: tokens are its pieces, all of them known, and
    /// its rules say what is done to text first. The keys beside it then have no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub tokenizer: Option<PathBuf>,
    /// Whether text is put into lower case first (Unicode, no locale).
    pub lowercase: bool,
    /// The Unicode normal form into which text is put first.
    pub form: Form,
    /// At the levels of pieces: whether a character that no piece covers is spelt in bytes, so that nothing is unknown.
    pub byte_fallback: bool,
    /// How often a token must occur in the training pairs to be known; pieces are all known.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_freq: u64,
    /// The largest vocabulary, the most frequent tokens first and the four special ones included; 0 is no limit, and where
    /// pieces are learnt, 32000.
    #[schemars(range(max = 16_000_000))]
    pub max_vocab: usize,
    /// BPE-dropout: the probability with which a merge is passed over, so that a text is cut anew in every epoch of training
    /// (Provilkov et al. 2020, who use 0.1); 0 always takes the usual pieces.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub dropout: f64,
    /// Sampling of the pieces of a unigram model, so that a text is cut anew in every epoch of training (Kudo 2018).
    pub sampling: SamplingConfig,
}

impl Default for SideConfig {
    fn default() -> Self {
        Self {
            level: Level::Word,
            tokenizer: None,
            lowercase: false,
            form: Form::None,
            byte_fallback: false,
            min_freq: 1,
            max_vocab: 32_000,
            dropout: 0.0,
            sampling: SamplingConfig::default(),
        }
    }
}

impl SideConfig {
    /// The tokenizer of this side.
    pub fn tokenizer(&self) -> Tokenizer {
        match self.tokenizer {
            Some(_) => Tokenizer::new(Level::Pieces),
            None => Tokenizer::new(self.level).with_lowercase(self.lowercase).with_form(self.form),
        }
    }

    /// How pieces are learnt, at the levels whose pieces are.
    pub fn subwords(&self) -> Option<SubwordConfig> {
        let kind = self.level.kind().filter(|_| self.tokenizer.is_none())?;
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

    /// What chance does to the pieces in training, if anything.
    pub fn noise(&self) -> Option<Noise> {
        if self.dropout > 0.0 {
            Some(Noise::Dropout(self.dropout))
        } else {
            (self.sampling.alpha > 0.0).then_some(Noise::Sampling(self.sampling))
        }
    }

    /// Noise that is not of the kind of the pieces, once these are known.
    pub(crate) fn problems_of_noise(&self, tokenizer: &Tokenizer) -> Problems {
        let mut p = Problems::default();
        let model = tokenizer.subwords.as_ref().map(Subwords::model);
        let bpe = model == Some("BPE") || self.dropout == 0.0;
        p.require(bpe, "dropout", "0, as it is for pieces by BPE alone", self.dropout);
        let unigram = model == Some("Unigram") || self.sampling.alpha == 0.0;
        p.require(
            unigram,
            "sampling.alpha",
            "0, as it is for pieces by a unigram model alone",
            self.sampling.alpha,
        );
        p
    }

    fn problems(&self) -> Problems {
        let mut p = Problems::default();
        let (dropout, alpha, file) = (self.dropout, self.sampling.alpha, self.tokenizer.is_some());
        p.require((0.0..=1.0).contains(&dropout), "dropout", "a probability", dropout);
        p.require((0.0..=100.0).contains(&alpha), "sampling.alpha", "a number from 0 to 100", alpha);
        p.require(self.sampling.n_best <= 1024, "sampling.n_best", "at most 1024", self.sampling.n_best);
        let pieces = file || self.subwords().is_some();
        p.require(
            pieces || !self.byte_fallback,
            "byte_fallback",
            "false, unless level is \"bpe\" or \"unigram\"",
            true,
        );
        // What a file holds is seen when it is read.
        let (bpe, unigram) = (file || self.level == Level::Bpe, file || self.level == Level::Unigram);
        p.require(
            bpe || dropout == 0.0 || dropout.is_nan(),
            "dropout",
            "0, unless level is \"bpe\"",
            dropout,
        );
        p.require(
            unigram || alpha == 0.0 || alpha.is_nan(),
            "sampling.alpha",
            "0, unless level is \"unigram\"",
            alpha,
        );
        p.require(self.min_freq >= 1, "min_freq", "at least 1 occurrence", self.min_freq);
        let sensible = self.max_vocab == 0 || self.max_vocab > SPECIALS.len();
        let spelt = self.subwords().is_some_and(|pieces| pieces.byte_fallback);
        let bytes = !spelt || self.max_vocab == 0 || self.max_vocab > 300;
        p.require(bytes, "max_vocab", "more than 300 tokens, as byte_fallback takes 256", self.max_vocab);
        p.require(sensible, "max_vocab", "0 (no limit) or at least 5 tokens", self.max_vocab);
        p
    }
}

impl DataConfig {
    /// Pieces that are neither in a file, nor in shards, nor those of a model.
    pub(crate) fn problems_of_pieces(&self) -> Problems {
        let mut p = Problems::default();
        if matches!(self.train, Some(TrainSpec::Shards(_))) {
            return p;
        }
        let expected = "a level that can be made from the training pairs, or `tokenizer`";
        for (key, side) in [("src.level", &self.src), ("tgt.level", &self.tgt)] {
            p.require(side.level != Level::Pieces || side.tokenizer.is_some(), key, expected, "pieces");
        }
        p
    }

    /// The tokenizers of both sides, pieces not yet learnt or read.
    pub fn tokenizers(&self) -> (Tokenizer, Tokenizer) {
        (self.src.tokenizer().with_tags(self.features.clone()), self.tgt.tokenizer())
    }

    pub(crate) fn problems(&self) -> Problems {
        let mut p = Problems::default();
        for source in self.train.iter().flat_map(TrainSpec::sources) {
            let expected = "a weight from 0.001 to 1000";
            p.require(WEIGHTS.contains(&source.weight), "train", expected, source.weight);
        }
        p.require(self.max_line_bytes >= 1, "max_line_bytes", "at least 1 byte", self.max_line_bytes);
        if let Some(tags) = &self.features {
            let fit = !tags.is_empty()
                && !tags.contains(['\t', '\n', '\r'])
                && !tags.contains(char::is_alphanumeric);
            p.require(
                fit,
                "features",
                "the characters between tags, no letters, digits or tabs",
                format!("{tags:?}"),
            );
            p.require(!self.shared_vocab, "shared_vocab", "false, as tags are on one side alone", true);
        }
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
            p.require(sv == tv, "tgt.max_vocab", same, found(sv, tv));
            // One set of pieces is learnt from both sides, so all that it depends on must be the same.
            let learnt = s.subwords().is_some() || t.subwords().is_some();
            if learnt && s.tokenizer.is_none() && t.tokenizer.is_none() {
                let mut alike = |key: &str, of: fn(&SideConfig) -> String| {
                    p.require(of(s) == of(t), key, same, format!("{} beside {} in src", of(t), of(s)));
                };
                alike("tgt.level", |side| format!("{:?}", side.level).to_lowercase());
                if s.level == t.level {
                    alike("tgt.byte_fallback", |side| side.byte_fallback.to_string());
                    alike("tgt.form", |side| format!("{:?}", side.form).to_lowercase());
                    alike("tgt.lowercase", |side| side.lowercase.to_string());
                }
            }
            let name = |side: &SideConfig| match &side.tokenizer {
                Some(path) => format!("{:?}", path.display().to_string()),
                None => "no file".to_owned(),
            };
            let file = "the file of src, as shared_vocab is true";
            p.require(
                s.tokenizer == t.tokenizer,
                "tgt.tokenizer",
                file,
                format!("{} beside {} in src", name(t), name(s)),
            );
        }
        p
    }

    /// Checks every value but the presence of `train`, which [`load_corpora`](crate::load_corpora) asks for.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with all bad values at once.
    pub fn validate(&self) -> Result<()> {
        let mut problems = self.problems();
        problems.add(self.problems_of_pieces());
        problems.into_result()
    }

    /// [`DataConfig::validate`] for the further training of a model, whose pieces need no file.
    ///
    /// # Errors
    /// As [`DataConfig::validate`].
    pub fn validate_for_model(&self) -> Result<()> {
        self.problems().into_result()
    }
}
