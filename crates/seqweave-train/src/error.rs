//! The error type of the crate.

use std::io;
use std::path::PathBuf;

use crate::config::Problems;

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong around training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration has mistakes; all of them are listed.
    #[error("{0}")]
    Config(Problems),
    /// A configuration file cannot be read.
    #[error("cannot read the configuration {}: {source}\nhelp: check path and permissions; `seqweave init` writes a configuration", path.display())]
    ConfigRead {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A corpus has a fault, or leaves nothing to train on.
    #[error(transparent)]
    Data(#[from] seqweave_data::Error),
    /// The model refused its input, or gave NaN.
    #[error(transparent)]
    Model(#[from] seqweave_seq2seq::Error),
    /// Parameters, optimizer or schedule refused their input.
    #[error(transparent)]
    Layer(#[from] seqweave_nn::Error),
    /// The backward pass failed.
    #[error(transparent)]
    Gradient(#[from] seqweave_autograd::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] seqweave_tensor::Error),
    /// A score could not be computed.
    #[error(transparent)]
    Metric(#[from] seqweave_metrics::Error),
    /// An event could not be written as JSON.
    #[error("an event of the log cannot be written as JSON: {0}")]
    EventLog(#[from] serde_json::Error),
    /// A run folder holds a checkpoint of another run.
    #[error(
        "{} was made with other {what} (it has {found}, this run {expected})\n\
         help: train in another run folder, go back to what it was made with, or start over with --overwrite",
        folder.display()
    )]
    OtherRun {
        /// The checkpoint.
        folder: PathBuf,
        /// What differs: settings, training data, or the model that the run started from.
        what: &'static str,
        /// What the checkpoint has: the settings that differ, or a fingerprint.
        found: String,
        /// What this run has instead.
        expected: String,
    },
    /// A run folder has checkpoints and none of them can be read.
    #[error(
        "no checkpoint of {} can be read ({})\nhelp: restore one from a copy, or start over with --overwrite",
        run.display(),
        refused.join("; ")
    )]
    NoGoodCheckpoint {
        /// The run folder.
        run: PathBuf,
        /// Each checkpoint with the reason.
        refused: Vec<String>,
    },
    /// A model to start from has no parameter that the model of the configuration has too.
    #[error(
        "{} has no parameter of a name and shape that this model has: nothing would be taken from it\n\
         help: set [model] to the shape of that model, or leave train.init_from out",
        model.display()
    )]
    NothingToTake {
        /// The model to start from.
        model: PathBuf,
    },
    /// A run folder has fewer checkpoints than were asked for.
    #[error(
        "{} has {found} checkpoints {which}, expected {wanted}\n\
         help: ask for fewer, or train with checkpoint.keep_last or checkpoint.keep_best of {wanted}",
        run.display()
    )]
    TooFewCheckpoints {
        /// The run folder.
        run: PathBuf,
        /// Which were looked for: those that verify, or those that were validated.
        which: &'static str,
        /// How many were asked for.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// A sealed folder or an atomic write failed.
    #[error(transparent)]
    Store(#[from] seqweave::Error),
    /// The operating system refused an operation in the run folder.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb.
        op: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process trains in the same run folder.
    #[error(
        "{} is in use by the training process {}\nhelp: wait for it, stop it, or choose another run folder",
        folder.display(),
        pid.map_or("of another user or machine".into(), |pid| pid.to_string())
    )]
    RunLocked {
        /// The run folder.
        folder: PathBuf,
        /// Process number of the holder, when its lock file says so.
        pid: Option<u32>,
    },
    /// Nothing can be written in the run folder.
    #[error("the run folder {} cannot be written: {source}\nhelp: choose another one with --set run.dir=FOLDER", folder.display())]
    RunNotWritable {
        /// The run folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A state file is damaged or not a state file.
    #[error("{} is damaged at byte {offset}: {what}, expected {expected}, found {found}\nhelp: use an earlier checkpoint", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Offset of the field or of the first wrong byte, from 0.
        offset: usize,
        /// The field.
        what: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A state file is of a format version that this program does not read.
    #[error("{} has state version {found}, this program reads version {supported}\nhelp: use the seqweave that wrote it", path.display())]
    StateVersion {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The version this program reads and writes.
        supported: u32,
    },
    /// A training state cannot be encoded.
    #[error("the training state cannot be encoded: {detail}")]
    StateEncode {
        /// What the encoder said.
        detail: String,
    },
    /// A benchmark found a wrong result, so it timed nothing.
    #[error("the benchmark expected {expected}, found {found}: nothing was timed")]
    Bench {
        /// What a right result would be.
        expected: &'static str,
        /// What came.
        found: String,
    },
    /// A benchmark would not fit into memory.
    #[error(
        "a batch of {batch} needs {needed} bytes for its logits alone, {available} are there\nhelp: a smaller --batch, or a smaller --config"
    )]
    BenchMemory {
        /// Sentences a batch.
        batch: usize,
        /// Bytes needed.
        needed: u64,
        /// Bytes to be had.
        available: u64,
    },
    /// A row of metrics does not fit the columns of the table.
    #[error("a row of step {step} has {found} values, the table has the {expected} columns {}", columns.join(", "))]
    MetricRow {
        /// The step of the row.
        step: u64,
        /// Number of columns.
        expected: usize,
        /// Number of values.
        found: usize,
        /// The columns.
        columns: Vec<String>,
    },
}

impl Error {
    /// The message without the advice at its end, for a list of several.
    pub(crate) fn without_help(&self) -> String {
        let message = self.to_string();
        message.split_once("\nhelp: ").map_or(message.as_str(), |(what, _)| what).to_owned()
    }

    /// Whether the model gave a score that is not a number.
    pub(crate) fn is_not_a_number(&self) -> bool {
        use seqweave_seq2seq::Error::NotANumber;
        matches!(
            self,
            Error::Model(NotANumber { .. }) | Error::Store(seqweave::Error::Model(NotANumber { .. }))
        )
    }
}
