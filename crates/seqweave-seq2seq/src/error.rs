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
    /// An ensemble needs at least one model.
    #[error("an ensemble was made of no models\nhelp: give at least one")]
    NoModels,
    /// The models of an ensemble do not speak of the same tokens.
    #[error(
        "model {number} of the ensemble has {found} {side} tokens, the first has {expected}\n\
         help: train the models with the same vocabularies"
    )]
    OtherVocabulary {
        /// Index of the model.
        number: usize,
        /// `source` or `target`.
        side: &'static str,
        /// Number of tokens of the first model.
        expected: usize,
        /// Number of tokens of this one.
        found: usize,
    },
    /// The models of an ensemble attend to other source positions: one merges tags into its tokens, another reads them.
    #[error(
        "model {number} of the ensemble has {found} tokens at source positions, the first has {expected}\n\
         help: train the models with the same `model.features.merge`, or all with `sum` or `concat`"
    )]
    OtherPositions {
        /// Index of the model.
        number: usize,
        /// Number of tokens of the first model that can stand at a source position.
        expected: usize,
        /// The same number of this one.
        found: usize,
    },
    /// A phrase has no tokens.
    #[error("{list} phrase {}{} is empty\nhelp: remove it", number + 1, of_sentence(*.sentence))]
    EmptyPhrase {
        /// `forbidden` or `required`.
        list: &'static str,
        /// Whose phrase it is, where each sentence has its own.
        sentence: Option<usize>,
        /// Index of the phrase.
        number: usize,
    },
    /// A required phrase contains what may not be said.
    #[error(
        "required phrase {} of sentence {}, {required:?}, contains {forbidden:?}, which is never said\n\
         help: remove one of the two",
        number + 1,
        sentence + 1
    )]
    Contradiction {
        /// Index of the sentence.
        sentence: usize,
        /// Index of the phrase among those of the sentence.
        number: usize,
        /// The phrase.
        required: Vec<u32>,
        /// The forbidden part of it.
        forbidden: Vec<u32>,
    },
    /// A prefix and required phrases do not fit into the longest output allowed.
    #[error(
        "prefix and required phrases of sentence {} come to {tokens} tokens, and its outputs may have {max_len}\n\
         help: raise the maximum length",
        sentence + 1
    )]
    NoRoom {
        /// Index of the sentence.
        sentence: usize,
        /// Tokens of the prefix, and of the phrases that it does not contain.
        tokens: usize,
        /// The most tokens of an output.
        max_len: usize,
    },
    /// Phrases cannot be required of outputs that are drawn at random.
    #[error(
        "sentence {} has required phrases, but outputs are drawn at random\nhelp: search with a beam",
        sentence + 1
    )]
    RequiredOfSamples {
        /// Index of the sentence.
        sentence: usize,
    },
    /// The search found no output that contains every required phrase.
    #[error(
        "no output for sentence {} was found that contains all its required phrases and no forbidden one\n\
         help: raise the maximum length or the beam, or require less",
        sentence + 1
    )]
    Unsatisfied {
        /// Index of the sentence.
        sentence: usize,
    },
    /// A row holds an id that only the model itself may place.
    #[error(
        "{side} row {} holds the reserved id {id} at position {}\n\
         help: give bare tokens: padding, BOS and EOS are added here",
        row + 1,
        position + 1
    )]
    Reserved {
        /// `source` or `target`; or `prefix`, `required` or `forbidden`.
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
        "{side} row {} holds id {id} at position {}, but its vocabulary has {vocab} tokens\n\
         help: encode the text with this model's vocabulary",
        row + 1,
        position + 1
    )]
    Vocabulary {
        /// `source` or `target`; or `prefix`, `required` or `forbidden`.
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
        "the model gave NaN for sentence {} at target step {}: \
         the weights are damaged, or training diverged\n\
         help: use an earlier checkpoint",
        sentence + 1,
        step + 1
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

fn of_sentence(sentence: Option<usize>) -> String {
    sentence.map(|sentence| format!(" of sentence {}", sentence + 1)).unwrap_or_default()
}
