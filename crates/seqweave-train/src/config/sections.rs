//! The sections of the configuration: every key with its meaning, unit, range and default.
//!
//! The doc comments and the `range` attributes are the one source of the guide, the JSON schema and the checks.

use std::path::PathBuf;

use schemars::JsonSchema;
use seqweave_metrics::Metric;
use serde::{Deserialize, Serialize};

/// One training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Version of the configuration format.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Name of the run, which is also the name of its folder in `run.dir`: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Seed of every random choice; the same seed and settings give the same weights to the bit.
    #[schemars(range(min = 0, max = 9223372036854775807u64))]
    pub seed: u64,
    /// What to train on, and how text becomes tokens.
    pub data: DataConfig,
    /// The shape of the model.
    pub model: ModelConfig,
    /// The training loop.
    pub train: TrainConfig,
    /// Validation during training.
    pub valid: ValidConfig,
    /// Which states of the training are kept.
    pub checkpoint: CheckpointConfig,
    /// Search options that go into the model folder, so that decoding needs no flags.
    pub decode: DecodeConfig,
    /// Where and on what the run happens.
    pub run: RunConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: 1,
            name: "run".into(),
            seed: 1,
            data: DataConfig::default(),
            model: ModelConfig::default(),
            train: TrainConfig::default(),
            valid: ValidConfig::default(),
            checkpoint: CheckpointConfig::default(),
            decode: DecodeConfig::default(),
            run: RunConfig::default(),
        }
    }
}

/// What to train on, and how text becomes tokens.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Training pairs: a file of lines `source<TAB>target`, or `{ src = "…", tgt = "…" }` for two files whose lines
    /// correspond; plain or gzip. Required. Paths are relative to the file that names them.
    pub train: Corpus,
    /// Validation pairs, in the same forms; where it is missing, `data.split` takes them from the training pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<Corpus>,
    /// Test pairs, in the same forms; they are never trained on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Corpus>,
    /// How the training pairs are divided where `data.dev` is missing.
    pub split: SplitConfig,
    /// Which training pairs are dropped.
    pub filter: FilterConfig,
    /// How source text becomes tokens.
    pub src: TokenizerConfig,
    /// How target text becomes tokens.
    pub tgt: TokenizerConfig,
    /// Which tokens the model knows.
    pub vocab: VocabConfig,
}

/// Where sentence pairs come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Corpus {
    /// One file of lines `source<TAB>target`.
    Tsv(#[schemars(extend("format" = "path"))] PathBuf),
    /// Two files whose lines correspond.
    Parallel(ParallelCorpus),
}

impl Default for Corpus {
    fn default() -> Self {
        Self::Tsv(PathBuf::new())
    }
}

/// Two files whose lines correspond.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParallelCorpus {
    /// The source side.
    #[schemars(extend("format" = "path"))]
    pub src: PathBuf,
    /// The target side.
    #[schemars(extend("format" = "path"))]
    pub tgt: PathBuf,
}

/// How the training pairs are divided where a validation file is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Share of the pairs that goes to validation.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dev: f64,
    /// Share of the pairs that goes to the test set.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub test: f64,
    /// Seed of the division, apart from `seed` so that runs with other seeds are measured on the same pairs.
    #[schemars(range(min = 0, max = 9223372036854775807u64))]
    pub seed: u64,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { dev: 0.05, test: 0.0, seed: 1 }
    }
}

/// Which training pairs are dropped; lengths count tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilterConfig {
    /// The longest source that is kept, in tokens.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_src_len: u64,
    /// The longest target that is kept, in tokens.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_tgt_len: u64,
    /// The shortest side that is kept, in tokens.
    #[schemars(range(min = 1, max = 100_000))]
    pub min_len: u64,
    /// The largest ratio of the longer to the shorter side, in tokens per token; 0 is no limit.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub max_len_ratio: f64,
    /// Whether only the first of several equal pairs is kept.
    pub dedup: bool,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self { max_src_len: 200, max_tgt_len: 200, min_len: 1, max_len_ratio: 0.0, dedup: false }
    }
}

/// How the text of one side becomes tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizerConfig {
    /// What a token is.
    pub level: Level,
    /// Whether text is put into lower case first.
    pub lowercase: bool,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A run of characters between white space.
    #[default]
    Word,
    /// A character as a reader sees it (grapheme cluster).
    Char,
}

/// Which tokens the model knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VocabConfig {
    /// How often a token must occur in the training pairs to be known.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_count: u64,
    /// The most tokens of a side, the most frequent first, special tokens not counted; 0 is no limit.
    #[schemars(range(min = 0, max = 16_000_000))]
    pub max_size: u64,
    /// Whether both sides share one vocabulary.
    pub joint: bool,
}

impl Default for VocabConfig {
    fn default() -> Self {
        Self { min_count: 1, max_size: 0, joint: false }
    }
}

/// The shape of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Recurrent cell of encoder and decoder.
    pub cell: Cell,
    /// Size of the embeddings, in units.
    #[schemars(range(min = 1, max = 65_536))]
    pub emb: u64,
    /// Size of the encoder's output and the decoder's state, in units; even for a bidirectional encoder, which has
    /// half of them in each direction.
    #[schemars(range(min = 1, max = 65_536))]
    pub hidden: u64,
    /// The encoder's layers.
    pub encoder: EncoderConfig,
    /// The decoder's layers.
    pub decoder: DecoderConfig,
    /// How the decoder looks at the source.
    pub attention: Attention,
    /// How the decoder's first state comes from the encoder's last.
    pub bridge: Bridge,
    /// Which embedding matrices are one.
    pub tie: Tie,
    /// Probability of dropping a unit of the embeddings and of the attentional state in training.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            cell: Cell::Lstm,
            emb: 256,
            hidden: 256,
            encoder: EncoderConfig::default(),
            decoder: DecoderConfig::default(),
            attention: Attention::General,
            bridge: Bridge::Dense,
            tie: Tie::None,
            dropout: 0.2,
        }
    }
}

/// The encoder's layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderConfig {
    /// Number of layers.
    #[schemars(range(min = 1, max = 64))]
    pub layers: u64,
    /// Whether each layer reads the source in both directions.
    pub bidirectional: bool,
    /// Whether a layer's input is added to its output, from the second layer on.
    pub residual: bool,
    /// Probability of dropping a unit between two layers in training.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self { layers: 1, bidirectional: true, residual: false, dropout: 0.0 }
    }
}

/// The decoder's layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecoderConfig {
    /// Number of layers.
    #[schemars(range(min = 1, max = 64))]
    pub layers: u64,
    /// Whether a layer's input is added to its output, from the second layer on.
    pub residual: bool,
    /// Probability of dropping a unit between two layers in training.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub dropout: f64,
    /// Whether the attentional state of a step is part of the next step's input (Luong et al. 2015, section 3.3);
    /// training is slower, since the decoder then has to step through time.
    pub input_feeding: bool,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        Self { layers: 1, residual: false, dropout: 0.0, input_feeding: false }
    }
}

/// Recurrent cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cell {
    /// Plain recurrent network with tanh.
    Rnn,
    /// Long short-term memory.
    Lstm,
    /// Gated recurrent unit.
    Gru,
}

/// How the decoder looks at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// Not at all: the bridge carries everything.
    None,
    /// Dot product of states (Luong et al. 2015, section 3.1).
    Dot,
    /// Dot product divided by the square root of the size.
    ScaledDot,
    /// Dot product through a learned matrix (Luong et al. 2015, section 3.1).
    General,
    /// A layer with tanh (Bahdanau et al. 2015, section A.1.2).
    Additive,
}

/// How the decoder's first state comes from the encoder's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bridge {
    /// It is zero.
    Zero,
    /// It is the same.
    Copy,
    /// It goes through a learned layer.
    Dense,
}

/// Which embedding matrices are one (Press and Wolf 2017).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tie {
    /// All are separate.
    None,
    /// The output projection is the target embedding.
    Softmax,
    /// The source embedding is the same matrix too; needs `data.vocab.joint`.
    All,
}

/// The training loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Training ends after so many passes over the training pairs; 0 is no limit.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub epochs: u64,
    /// Training ends after so many optimizer steps; 0 is no limit. The limit that is reached first counts.
    #[schemars(range(min = 0, max = 1_000_000_000_000u64))]
    pub max_steps: u64,
    /// How sentences are put into batches.
    pub batch: BatchConfig,
    /// Batches whose gradients are added up for one optimizer step.
    #[schemars(range(min = 1, max = 4096))]
    pub accumulate: u64,
    /// Share of the target probability that is spread over the vocabulary.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub label_smoothing: f64,
    /// The largest norm of the gradient, to which a larger one is scaled down; 0 is no limit.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub clip: f64,
    /// How gradients change the weights.
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes over time.
    pub schedule: ScheduleConfig,
    /// Optimizer steps between two log lines.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub log_every: u64,
    /// Training stops after so many steps in a row with a loss or gradient that is not finite; each of them is skipped.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_bad_steps: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 20,
            max_steps: 0,
            batch: BatchConfig::default(),
            accumulate: 1,
            label_smoothing: 0.1,
            clip: 5.0,
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            log_every: 100,
            max_bad_steps: 10,
        }
    }
}

/// How sentences are put into batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// The most tokens of a batch with padding, on the larger side.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub tokens: u64,
    /// The most sentences of a batch.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_sentences: u64,
    /// Lengths are rounded up to a multiple of so many tokens before sentences of like length are put together.
    #[schemars(range(min = 1, max = 100_000))]
    pub bucket: u64,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self { tokens: 4096, max_sentences: 128, bucket: 8 }
    }
}

/// How gradients change the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// The rule by which gradients change the weights.
    pub kind: OptimizerKind,
    /// Learning rate before the schedule.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0))]
    pub lr: f64,
    /// Decay of the mean of gradients (`adam`, `adamw`).
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub beta1: f64,
    /// Decay of the mean of squared gradients (`adam`, `adamw`).
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub beta2: f64,
    /// Term that keeps the division finite (`adam`, `adamw`).
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub eps: f64,
    /// Share of the last update that is kept (`sgd`).
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub momentum: f64,
    /// Whether the gradient is taken ahead of the momentum (`sgd`).
    pub nesterov: bool,
    /// Pull of the weights to zero: on the weights themselves for `adamw`, through the gradient otherwise.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adam,
            lr: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
        }
    }
}

/// Rules by which gradients change the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam (Kingma and Ba 2015).
    Adam,
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    Adamw,
    /// Stochastic gradient descent, with momentum if wanted.
    Sgd,
}

/// How the learning rate changes over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// The rule after the warm-up.
    pub kind: ScheduleKind,
    /// Warm-up: optimizer steps over which the rate rises in a line from 0; at least 1 for `inverse-sqrt`.
    #[schemars(range(min = 0, max = 1_000_000_000_000u64))]
    pub warmup: u64,
    /// Factor on the rate when a validation plateau is found (`plateau`).
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 1.0))]
    pub factor: f64,
    /// Validations without improvement before the rate falls (`plateau`).
    #[schemars(range(min = 0, max = 1_000_000))]
    pub patience: u64,
    /// The smallest rate (`plateau`, `cosine`).
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub min_lr: f64,
    /// Optimizer steps until the smallest rate is reached (`cosine`); 0 takes `train.max_steps`.
    #[schemars(range(min = 0, max = 1_000_000_000_000u64))]
    pub total: u64,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { kind: ScheduleKind::Plateau, warmup: 0, factor: 0.5, patience: 2, min_lr: 1e-6, total: 0 }
    }
}

/// Rules by which the learning rate changes over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    /// It stays.
    Constant,
    /// It falls with the square root of the step (Vaswani et al. 2017, section 5.3).
    InverseSqrt,
    /// It falls when validation does not improve.
    Plateau,
    /// It falls along half a cosine (Loshchilov and Hutter 2017).
    Cosine,
}

/// Validation during training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ValidConfig {
    /// Optimizer steps between two validations; 0 validates at the end of each epoch.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub every: u64,
    /// What is measured.
    pub metrics: Vec<Metric>,
    /// What decides which checkpoint is the best: one of `valid.metrics`.
    pub best_by: Metric,
    /// Training stops after so many validations without a better one; 0 never stops early.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub patience: u64,
    /// Validation sentences whose translation is shown each time.
    #[schemars(range(min = 0, max = 10_000))]
    pub samples: u64,
    /// Beam of the search for metrics that need translations; 1 is greedy.
    #[schemars(range(min = 1, max = 1024))]
    pub beam: u64,
    /// The most validation sentences used, from the first; 0 uses all.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_sentences: u64,
}

impl Default for ValidConfig {
    fn default() -> Self {
        Self {
            every: 0,
            metrics: vec![Metric::Ppl, Metric::TokenAcc, Metric::SeqAcc],
            best_by: Metric::Ppl,
            patience: 0,
            samples: 3,
            beam: 1,
            max_sentences: 0,
        }
    }
}

/// Which states of the training are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Optimizer steps between two checkpoints; 0 saves after each validation.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub every: u64,
    /// Newest checkpoints that are kept.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub keep_last: u64,
    /// Best checkpoints that are kept besides.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep_best: u64,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 0, keep_last: 2, keep_best: 1 }
    }
}

/// Search options that go into the model folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeConfig {
    /// Hypotheses kept per sentence; 1 is greedy search.
    #[schemars(range(min = 1, max = 1024))]
    pub beam: u64,
    /// How a long hypothesis is compared with a short one: `"none"`, `"average"`, or `{ gnmt = { alpha = 0.6 } }`.
    pub length_penalty: LengthPenalty,
    /// Weight of the penalty on source tokens left unattended (Wu et al. 2016, section 7).
    #[schemars(range(min = 0.0, max = 1e6))]
    pub coverage_penalty: f64,
    /// The longest output.
    pub max_len: MaxLenConfig,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self {
            beam: 5,
            length_penalty: LengthPenalty::Average,
            coverage_penalty: 0.0,
            max_len: MaxLenConfig::default(),
        }
    }
}

/// How a long hypothesis is compared with a short one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LengthPenalty {
    /// By log-probability, which favours short outputs.
    None,
    /// By log-probability per token.
    Average,
    /// By log-probability divided by `((5 + length) / 6)^alpha` (Wu et al. 2016, section 7).
    Gnmt(GnmtConfig),
}

/// The GNMT length penalty.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GnmtConfig {
    /// Its strength; 0 is none.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub alpha: f64,
}

impl Default for GnmtConfig {
    fn default() -> Self {
        Self { alpha: 0.6 }
    }
}

/// The longest output of a source of n tokens: `ratio · n + add` tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaxLenConfig {
    /// Output tokens per source token.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub ratio: f64,
    /// Output tokens beyond that.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub add: u64,
}

impl Default for MaxLenConfig {
    fn default() -> Self {
        Self { ratio: 2.0, add: 10 }
    }
}

/// Where and on what the run happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Folder that holds the run folders.
    #[schemars(extend("format" = "path"))]
    pub dir: PathBuf,
    /// CPU threads; 0 takes all cores. The result does not depend on it.
    #[schemars(range(min = 0, max = 4096))]
    pub threads: u64,
    /// Where the arithmetic happens: `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { dir: "runs".into(), threads: 0, device: "auto".into() }
    }
}
