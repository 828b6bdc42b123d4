//! What a training run tells its caller: the trainer never prints.

use serde::Serialize;
use std::path::PathBuf;

/// One thing that happened in a training run, in the order it happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The data is read, the model is built, training is about to start.
    Started(Started),
    /// A checkpoint was found and training goes on from it.
    Resumed {
        /// Optimizer steps done so far.
        step: u64,
        /// Newer checkpoints that were refused, and why.
        refused: Vec<String>,
    },
    /// Progress, every `train.log_every` steps.
    Step(StepReport),
    /// A validation was made.
    Validated(Validation),
    /// A checkpoint is complete on disk.
    Saved {
        /// Its folder.
        path: PathBuf,
    },
    /// A step was left out because a number in it was not finite; no weight was changed.
    Skipped {
        /// The step.
        step: u64,
        /// The tensor in which it was seen: `loss`, or the gradient of a named parameter.
        tensor: String,
        /// Bad steps in a row so far.
        in_a_row: u64,
    },
    /// Something worth knowing that stops nothing.
    Warning {
        /// What.
        message: String,
    },
    /// The run is over.
    Finished {
        /// How it ended.
        outcome: Outcome,
        /// Optimizer steps done in all.
        step: u64,
        /// Seconds of this process.
        seconds: f64,
    },
}

/// What a run works with.
#[derive(Debug, Clone, Serialize)]
pub struct Started {
    /// The run folder.
    pub run: PathBuf,
    /// Device and why it was chosen.
    pub device: String,
    /// Threads of the pool.
    pub threads: usize,
    /// Seed of every random stream.
    pub seed: u64,
    /// The model in one line.
    pub model: String,
    /// Number of trained numbers.
    pub parameters: usize,
    /// The data, one line a fact.
    pub data: Vec<String>,
    /// Optimizer steps this run will make, as far as is known.
    pub total_steps: u64,
}

/// Progress since the last report.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Optimizer steps done.
    pub step: u64,
    /// Optimizer steps planned.
    pub total: u64,
    /// Epoch, counted from 1.
    pub epoch: u64,
    /// Target tokens guessed right under teacher forcing, in percent.
    pub acc: f64,
    /// Perplexity: exp(xent).
    pub ppl: f64,
    /// Negative log-likelihood of a target token, in nats, without label smoothing.
    pub xent: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Norm of the last gradient before clipping.
    pub grad_norm: f64,
    /// Source tokens a second.
    pub src_tok_s: f64,
    /// Target tokens a second.
    pub tgt_tok_s: f64,
    /// Seconds since this process began to train.
    pub seconds: f64,
}

/// The scores of one validation.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// Optimizer steps done.
    pub step: u64,
    /// Epoch, counted from 1.
    pub epoch: u64,
    /// Names and values, in a fixed order.
    pub scores: Vec<(String, f64)>,
    /// The score that decides which checkpoint is best.
    pub best_by: String,
    /// Whether this is the best so far.
    pub best: bool,
    /// Validations since the best one.
    pub since_best: u64,
    /// A few outputs beside their references.
    pub samples: Vec<Sample>,
}

/// A source, its reference and what the model makes of it.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// Source text.
    pub source: String,
    /// The (first) reference.
    pub reference: String,
    /// The model's output.
    pub hypothesis: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// All epochs or steps are done.
    Completed,
    /// No improvement for `valid.patience` validations.
    StoppedEarly,
    /// The caller asked to stop; the state is saved.
    Interrupted,
    /// Too many steps in a row were not finite; the last good checkpoint is kept.
    Diverged,
}
