//! The sections of the configuration: every key with its meaning, unit, range and default.
//!
//! A section that another crate acts on is that crate's own struct; the others are here.
//! The doc comments and the `range` attributes of all of them are the one source of the guide, the JSON schema and the
//! checks. Their defaults are those of [`Config::default`], whatever the crate's own default is.

use std::path::PathBuf;

use schemars::JsonSchema;
use seqweave_data::{BatchConfig, DataConfig};
use seqweave_metrics::{Metric, Tok};
use seqweave_nn::{OptimizerConfig, ScheduleConfig, ScheduleKind};
use seqweave_seq2seq::ModelConfig;
use seqweave_seq2seq::search::SearchOptions;
use seqweave_tensor::{Float, Precision};
use serde::{Deserialize, Serialize};

/// One training run.
///
/// Read it with [`Config::load`] or [`Config::from_toml`], which lay a file over [`Config::default`] and check the whole.
/// Serde alone checks no ranges, and takes a key that is missing in a section of another crate from that crate's default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Version of the configuration format.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// Name of the run, which is also the name of its folder in `run.dir`: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Seed of every random choice; the same seed and settings give the same weights to the bit.
    #[schemars(range(max = 9223372036854775807u64))]
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
    pub decode: SearchOptions,
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
            // Greedy search is the library's default because it promises least; a trained model is worth a beam.
            decode: SearchOptions { beam: 5, ..SearchOptions::default() },
            run: RunConfig::default(),
        }
    }
}

/// The training loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Training ends after so many passes over the training pairs; 0 is no limit.
    #[schemars(range(max = 1_000_000))]
    pub epochs: u64,
    /// Training ends after so many optimizer steps; 0 is no limit. The limit that is reached first counts.
    #[schemars(range(max = 1_000_000_000_000u64))]
    pub max_steps: u64,
    /// How sentences are put into batches.
    pub batch: BatchConfig,
    /// Batches whose gradients are added up for one optimizer step.
    #[schemars(range(min = 1, max = 4096))]
    pub accumulate: u64,
    /// Share of the target probability that is spread over the vocabulary.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub label_smoothing: Float,
    /// The largest norm of the gradient, to which a larger one is scaled down; 0 is no limit.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub clip: Float,
    /// Probability of replacing a source token or a decoder input by `<unk>` while training; what is to be predicted stays.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub word_dropout: Float,
    /// Decay of the moving average of the weights, which is then what is validated and saved as the model; 0 is no average.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1.0))]
    pub ema: Float,
    /// How gradients change the weights.
    pub optimizer: OptimizerConfig,
    /// How the learning rate changes over time.
    pub schedule: ScheduleConfig,
    /// A model folder, checkpoint or run folder (its best checkpoint) whose parameters the run starts from, by name. Its
    /// tokens keep their ids, and those that are new in the training pairs are appended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "path"))]
    pub init_from: Option<PathBuf>,
    /// Patterns of the names of parameters that do not learn; `*` stands for any characters, as in `encoder.*`.
    pub freeze: Vec<String>,
    /// What the operands of matrix products are rounded to, in training and in its validations; weights, sums and the
    /// optimizer are f32 in any case.
    pub precision: PrecisionName,
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
            word_dropout: 0.0,
            ema: 0.0,
            optimizer: OptimizerConfig {
                // Decay is against large weights; a bias or an embedding, as of tags, is a place, and its size is its meaning.
                decay_exclude: vec!["*bias*".into(), "*embedding*".into(), "encoder.tags.*".into()],
                ..OptimizerConfig::default()
            },
            schedule: ScheduleConfig {
                // A run has the validations that a plateau looks at, and below this rate it only costs time.
                kind: ScheduleKind::Plateau,
                min_lr: 1e-6,
                ..ScheduleConfig::default()
            },
            init_from: None,
            freeze: Vec::new(),
            precision: PrecisionName::F32,
            log_every: 100,
            max_bad_steps: 10,
        }
    }
}

/// The precision of matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionName {
    /// Operands as they are.
    F32,
    /// Operands in two parts: in bfloat16 on AMX tiles, in TF32 on a GPU; as they are where there is neither.
    F32Fast,
    /// Operands rounded to bfloat16; fast where the processor multiplies those.
    Bf16,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Precision::F32,
            PrecisionName::F32Fast => Precision::F32Fast,
            PrecisionName::Bf16 => Precision::Bf16,
        }
    }
}

/// Validation during training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ValidConfig {
    /// Optimizer steps between two validations; 0 validates at the end of each epoch.
    #[schemars(range(max = 1_000_000_000))]
    pub every: u64,
    /// What is measured.
    pub metrics: Vec<Metric>,
    /// What decides which checkpoint is the best: one of `valid.metrics`.
    pub best_by: Metric,
    /// Tokenizer of BLEU, in sacreBLEU's names: `13a` cuts at blanks and punctuation, `zh` every Chinese character.
    pub tok: Tok,
    /// Training stops after so many validations without a better one; 0 never stops early.
    #[schemars(range(max = 1_000_000))]
    pub patience: u64,
    /// Validation sentences whose translation is shown each time.
    #[schemars(range(max = 10_000))]
    pub samples: u64,
    /// Beam of the search for metrics that need translations; 1 is greedy.
    #[schemars(range(min = 1, max = 1024))]
    pub beam: u64,
    /// The most validation sentences used, from the first; 0 uses all.
    #[schemars(range(max = 1_000_000_000))]
    pub max_sentences: u64,
}

impl Default for ValidConfig {
    fn default() -> Self {
        Self {
            every: 0,
            metrics: vec![Metric::Ppl, Metric::TokenAcc, Metric::SeqAcc],
            best_by: Metric::Ppl,
            tok: Tok::default(),
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
    /// Optimizer steps between two checkpoints, besides the one after each validation; 0 makes no others.
    #[schemars(range(max = 1_000_000_000))]
    pub every: u64,
    /// Newest checkpoints that are kept, besides the best ones.
    #[schemars(range(min = 2, max = 1_000_000))]
    pub keep_last: u64,
    /// Checkpoints with the best validations by `valid.best_by` that are kept, for `seqweave average --best`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub keep_best: u64,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every: 0, keep_last: 2, keep_best: 1 }
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
    #[schemars(range(max = 1024))]
    pub threads: u64,
    /// Where the arithmetic happens: `auto`, `cpu`, `cuda` or `cuda:N`.
    pub device: String,
    /// Whether the run folder gets event files for TensorBoard, in `tb`.
    pub tensorboard: bool,
}

impl Default for RunConfig {
    fn default() -> Self {
        // Event files are small, and what a run did not write nobody can look at later.
        Self { dir: "runs".into(), threads: 0, device: "auto".into(), tensorboard: true }
    }
}
