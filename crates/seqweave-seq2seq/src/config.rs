//! The shape of a model as a document: every key, its unit, range and default, and the checks on them.

use std::fmt;

use schemars::JsonSchema;
use seqweave_nn::{AttentionKind, CellKind, DropoutKind};
use seqweave_tensor::Float;
use serde::{Deserialize, Serialize};

use crate::FeaturesConfig;

/// The shape of an encoder-decoder.
///
/// Vocabulary sizes are not part of it: they come from the data, and [`Seq2Seq::build`](crate::Seq2Seq::build)
/// takes them separately.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Recurrent cell of encoder and decoder.
    pub cell: CellKind,
    /// Embedding size E of source and target tokens, in units.
    #[schemars(range(min = 1, max = 65_536))]
    pub emb: usize,
    /// Hidden size H of encoder output and decoder state, in units; even when the encoder is bidirectional, which has
    /// H/2 in each direction.
    #[schemars(range(min = 1, max = 65_536))]
    pub hidden: usize,
    /// The encoder's stack.
    pub encoder: EncoderConfig,
    /// The decoder's stack.
    pub decoder: DecoderConfig,
    /// How the decoder looks at the source.
    pub attention: AttentionKind,
    /// How the decoder's first state is made from the encoder's last.
    pub bridge: BridgeKind,
    /// Which embedding matrices are one.
    pub tie: Tie,
    /// Probability of dropping a unit of the embeddings and of the attentional state while training.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: Float,
    /// What a dropout mask is drawn for, in every dropout of the model.
    pub dropout_kind: DropoutKind,
    /// How the tags of a source reach the encoder, where `data.features` says that there are any.
    pub features: FeaturesConfig,
}

/// The encoder's stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderConfig {
    /// Number of layers.
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// Whether each layer reads the source in both directions, with H/2 units a direction.
    pub bidirectional: bool,
    /// Whether a layer's input is added to its output, from the second layer on.
    pub residual: bool,
    /// Probability of dropping a unit between two layers while training.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: Float,
}

/// The decoder's stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderConfig {
    /// Number of layers.
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// Whether a layer's input is added to its output, from the second layer on.
    pub residual: bool,
    /// Probability of dropping a unit between two layers while training.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: Float,
    /// Whether the attentional state of the last step is joined to the input of the next (Luong et al. 2015,
    /// section 3.3). Slower to train, since the decoder then has to step through time.
    pub input_feeding: bool,
}

/// How the decoder's first state is made from the encoder's last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeKind {
    /// The decoder starts from zeros and learns about the source through attention alone.
    Zero,
    /// The encoder's last state is handed over as it is (Sutskever et al. 2014, section 2).
    Copy,
    /// A learned layer: `h = tanh(W·h_enc + b)` as in Bahdanau et al. 2015, section A.2.2, and for an LSTM
    /// `c = W_c·c_enc + b_c`.
    #[default]
    Dense,
}

/// Which embedding matrices are one (Press & Wolf 2017).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tie {
    /// Source embedding, target embedding and output projection are three matrices.
    #[default]
    None,
    /// The output projection is the target embedding. Where `emb` and `hidden` differ, a learned projection
    /// from H to E comes first.
    Softmax,
    /// As `softmax`, and the source embedding is the same matrix too; both sides share one vocabulary
    /// (`data.shared_vocab` in a training configuration).
    All,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            cell: CellKind::Lstm,
            emb: 256,
            hidden: 256,
            encoder: EncoderConfig::default(),
            decoder: DecoderConfig::default(),
            attention: AttentionKind::General,
            bridge: BridgeKind::Dense,
            tie: Tie::None,
            dropout: 0.2,
            dropout_kind: DropoutKind::Step,
            features: FeaturesConfig::default(),
        }
    }
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self { layers: 1, bidirectional: true, residual: false, dropout: 0.0 }
    }
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self { layers: 1, residual: false, dropout: 0.0, input_feeding: false }
    }
}

/// More layers than any recurrent model was trained with; a larger number is a slip of the pen.
const MAX_LAYERS: usize = 64;
/// The largest embedding or hidden size accepted.
const MAX_UNITS: usize = 1 << 16;
/// The largest vocabulary accepted.
const MAX_VOCAB: usize = 1 << 24;

impl ModelConfig {
    /// Everything that is wrong with this configuration; empty when it can be built.
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for (key, size) in [("emb", self.emb), ("hidden", self.hidden), ("features.emb", self.features.emb)] {
            if size == 0 || size > MAX_UNITS {
                problems.push(ConfigProblem::Size { key, found: size, max: MAX_UNITS });
            }
        }
        for (key, layers) in
            [("encoder.layers", self.encoder.layers), ("decoder.layers", self.decoder.layers)]
        {
            if layers == 0 || layers > MAX_LAYERS {
                problems.push(ConfigProblem::Size { key, found: layers, max: MAX_LAYERS });
            }
        }
        for (key, p) in [
            ("dropout", self.dropout),
            ("encoder.dropout", self.encoder.dropout),
            ("decoder.dropout", self.decoder.dropout),
        ] {
            // Written so that NaN fails.
            if !(0.0..1.0).contains(&p) {
                problems.push(ConfigProblem::Probability { key, found: p });
            }
        }
        if self.encoder.bidirectional && !self.hidden.is_multiple_of(2) {
            problems.push(ConfigProblem::OddHidden { found: self.hidden });
        }
        problems
    }

    /// Everything that is wrong with these vocabulary sizes for this configuration.
    ///
    /// A vocabulary has the four reserved tokens ([`PAD`](crate::PAD), [`UNK`](crate::UNK),
    /// [`BOS`](crate::BOS), [`EOS`](crate::EOS)) and may have no others.
    pub fn check_vocab(&self, src_vocab: usize, tgt_vocab: usize) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        for (side, size) in [("source", src_vocab), ("target", tgt_vocab)] {
            if !(4..=MAX_VOCAB).contains(&size) {
                problems.push(ConfigProblem::Vocab { side, found: size, max: MAX_VOCAB });
            }
        }
        if self.tie == Tie::All && src_vocab != tgt_vocab {
            problems.push(ConfigProblem::TiedVocabs { src: src_vocab, tgt: tgt_vocab });
        }
        problems
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConfigProblem {
    /// A size or a layer count is out of range.
    Size {
        /// The key, dotted.
        key: &'static str,
        /// What was given.
        found: usize,
        /// The largest value accepted.
        max: usize,
    },
    /// A dropout probability is out of range.
    Probability {
        /// The key, dotted.
        key: &'static str,
        /// What was given.
        found: Float,
    },
    /// A bidirectional encoder cannot split an odd hidden size in two.
    OddHidden {
        /// What was given.
        found: usize,
    },
    /// A vocabulary is too small to hold the reserved tokens, or absurdly large.
    Vocab {
        /// `source` or `target`.
        side: &'static str,
        /// What was given.
        found: usize,
        /// The largest value accepted.
        max: usize,
    },
    /// Tags in a vocabulary that both sides share, or in one that is nothing else.
    SharedTags {
        /// The number of tags.
        tags: usize,
    },
    /// `tie = "all"` was asked of two vocabularies of different size.
    TiedVocabs {
        /// Source vocabulary size.
        src: usize,
        /// Target vocabulary size.
        tgt: usize,
    },
}

impl ConfigProblem {
    /// The configuration key to change, dotted.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Size { key, .. } | Self::Probability { key, .. } => key,
            Self::OddHidden { .. } => "hidden",
            Self::Vocab { side: "source", .. } => "src_vocab",
            Self::Vocab { .. } => "tgt_vocab",
            Self::TiedVocabs { .. } | Self::SharedTags { .. } => "tie",
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size { key, found, max } => write!(f, "`{key}` is {found}, expected 1 to {max}"),
            Self::Probability { key, found } => {
                write!(f, "`{key}` is {found}, expected a probability from 0 to below 1")
            }
            Self::OddHidden { found } => write!(
                f,
                "`hidden` is {found}, expected an even number because the encoder is bidirectional; \
                 use {} or set `encoder.bidirectional = false`",
                found + 1
            ),
            Self::Vocab { side, found, max } => {
                write!(f, "the {side} vocabulary has {found} tokens, expected 4 (the reserved ones) to {max}")
            }
            Self::SharedTags { tags } => write!(
                f,
                "the source vocabulary has {tags} tags, expected them beside tokens and not with `tie` = \"all\"; use \"softmax\""
            ),
            Self::TiedVocabs { src, tgt } => write!(
                f,
                "`tie` is \"all\" but the source vocabulary has {src} tokens and the target vocabulary {tgt}; \
                 build one shared vocabulary or use \"softmax\""
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_no_problem() {
        assert_eq!(ModelConfig::default().check(), []);
        assert_eq!(ModelConfig::default().check_vocab(4, 5), []);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let mut config = ModelConfig { emb: 0, hidden: 7, dropout: 1.0, tie: Tie::All, ..Default::default() };
        config.encoder.layers = 65;
        config.decoder.dropout = Float::NAN;
        let keys: Vec<_> = config.check().iter().map(ConfigProblem::key).collect();
        assert_eq!(keys, ["emb", "encoder.layers", "dropout", "decoder.dropout", "hidden"]);
        let keys: Vec<_> = config.check_vocab(3, 9).iter().map(ConfigProblem::key).collect();
        assert_eq!(keys, ["src_vocab", "tie"]);
        assert!(config.check()[4].to_string().contains("use 8 or set `encoder.bidirectional = false`"));
    }

    #[test]
    fn an_odd_hidden_size_is_fine_in_one_direction() {
        let mut config = ModelConfig { hidden: 7, ..Default::default() };
        config.encoder.bidirectional = false;
        assert_eq!(config.check(), []);
    }
}
