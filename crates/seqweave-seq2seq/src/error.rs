//! What can go wrong in this crate.

use crate::config::ConfigProblem;

/// An error of building, training or using a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor operation refused its inputs.
    #[error(transparent)]
    Tensor(#[from] seqweave_tensor::Error),
    /// Recording an operation on the tape failed.
    #[error(transparent)]
    Autograd(#[from] seqweave_autograd::Error),
    /// A layer refused its inputs.
    #[error(transparent)]
    Layer(#[from] seqweave_nn::Error),
    /// The configuration cannot be built.
    #[error("the model configuration has {} problem(s): {}", .problems.len(), join(.problems))]
    Config {
        /// Every problem found.
        problems: Vec<ConfigProblem>,
    },
    /// A search option is out of range.
    #[error("search option `{key}` is {found}, expected {expected}")]
    Option {
        /// The option's name.
        key: &'static str,
        /// What would be accepted.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// A batch needs at least one sentence.
    #[error("a batch was built from no rows\nhelp: give at least one")]
    EmptyBatch,
    /// A row holds an id that only the model itself may place.
    #[error(
        "{side} row {row} holds the reserved id {id} at position {position}\n\
         help: give bare tokens: padding, BOS and EOS are added here"
    )]
    Reserved {
        /// `source` or `target`.
        side: &'static str,
        /// Index of the row.
        row: usize,
        /// Index in the row.
        position: usize,
        /// The id found.
        id: u32,
    },
    /// A row holds an id that the vocabulary does not have.
    #[error(
        "{side} row {row} holds id {id} at position {position}, but the {side} vocabulary has {vocab} tokens\n\
         help: encode the text with this model's vocabulary"
    )]
    Vocabulary {
        /// `source` or `target`.
        side: &'static str,
        /// Index of the row.
        row: usize,
        /// Index in the row.
        position: usize,
        /// The id found.
        id: u32,
        /// The vocabulary's size.
        vocab: usize,
    },
    /// The model gave a score that is not a number, so nothing can be ranked.
    #[error(
        "the model gave NaN for sentence {sentence} at target step {step}: \
         the weights are damaged, or training diverged\n\
         help: use an earlier checkpoint"
    )]
    NotANumber {
        /// Index of the sentence in the call.
        sentence: usize,
        /// Target step, from 0.
        step: usize,
    },
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

fn join(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
