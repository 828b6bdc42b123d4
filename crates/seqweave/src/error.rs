//! The error type of the crate.

use std::io;
use std::path::PathBuf;

use crate::store::ManifestProblem;

/// The result of this crate's fallible functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a model folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text could not be encoded, or a vocabulary could not be read.
    #[error(transparent)]
    Data(#[from] seqweave_data::Error),
    /// The model refused its input, or gave NaN.
    #[error(transparent)]
    Model(#[from] seqweave_seq2seq::Error),
    /// A model of an ensemble cuts or numbers tokens otherwise than the first.
    #[error(
        "the {side} side is not that of the first model: {what} is {found}, expected {expected}\n\
         help: join models that were trained with the same data settings"
    )]
    OtherTokens {
        /// `source` or `target`.
        side: &'static str,
        /// Where they differ.
        what: String,
        /// What the first model has there.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// A prefix or phrase is not one that the model could say.
    #[error("{}{flaw}\nhelp: {}", phrase_of(list, *sentence, *number), flaw.help())]
    Phrase {
        /// `forbidden phrase`, `required phrase` or `prefix`.
        list: &'static str,
        /// Index of the line whose wish it is, where each has its own.
        sentence: Option<usize>,
        /// Index of the phrase.
        number: usize,
        /// What is wrong with it.
        flaw: PhraseFlaw,
    },
    /// A required phrase contains a forbidden one.
    #[error(
        "required phrase {} of sentence {}, {required:?}, contains {forbidden:?}, which is never said\n\
         help: remove one of the two",
        number + 1,
        sentence + 1
    )]
    Contradiction {
        /// Index of the line.
        sentence: usize,
        /// Index of the phrase among those of the line.
        number: usize,
        /// The phrase.
        required: String,
        /// The forbidden part of it.
        forbidden: String,
    },
    /// Something needs attention weights, and the model has none.
    #[error(
        "{what} needs a model with attention, and this one has none (model.attention is none)\nhelp: train one with another kind"
    )]
    NoAttention {
        /// What needs it.
        what: &'static str,
    },
    /// The parameters of the model do not fit.
    #[error(transparent)]
    Params(#[from] seqweave_nn::Error),
    /// A JSON file of a model folder is not what this program writes.
    #[error("{}: {message}\nhelp: use the program and version that wrote the folder", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// The weights of a model folder are not those of its model.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A model folder is of a format version that this program does not read.
    #[error("{} has format {found}, this program reads format {supported}\nhelp: use the seqweave that wrote it", path.display())]
    FormatVersion {
        /// The file that names the format.
        path: PathBuf,
        /// The format in the file.
        found: u32,
        /// The format this program reads and writes.
        supported: u32,
    },
    /// A run folder has no checkpoint yet.
    #[error("the run folder {} has no checkpoint yet\nhelp: train first, or wait for its first checkpoint", run.display())]
    NoCheckpoint {
        /// The run folder.
        run: PathBuf,
    },
    /// A pointer file of a run folder does not hold the name of a checkpoint.
    #[error("{} should hold the name of a checkpoint folder, found {found:?}\nhelp: write the name of one into it", path.display())]
    Pointer {
        /// The pointer file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A mean of models was asked for, of less than two.
    #[error("a mean needs at least two models, found {found}\nhelp: name more model folders or checkpoints")]
    TooFewModels {
        /// How many were named.
        found: usize,
    },
    /// Models whose weights do not correspond were to be averaged.
    #[error(
        "{} has another {what} than {}: {found} in place of {expected}\n\
         help: average models that were trained with one configuration on one vocabulary, such as checkpoints of one run",
        folder.display(),
        first.display()
    )]
    OtherModel {
        /// The folder that does not fit.
        folder: PathBuf,
        /// The folder that it was compared with.
        first: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the first has.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// The operating system refused an operation on a file or folder.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// The operation, as a verb ("read", "create", "rename").
        op: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder is not there.
    #[error("there is no folder {}\nhelp: check the path", folder.display())]
    NoFolder {
        /// The folder that was asked for.
        folder: PathBuf,
    },
    /// The folder has no manifest, so nothing in it can be verified.
    #[error("{} holds no file MANIFEST: it is no model folder, checkpoint or run folder, or its copy is incomplete\nhelp: check the path", folder.display())]
    NoManifest {
        /// The folder that was opened.
        folder: PathBuf,
    },
    /// The manifest is not what this program writes.
    #[error("{} is damaged at line {line} (byte {offset}): {problem}\nhelp: use another copy of this folder", path.display())]
    Manifest {
        /// The manifest file.
        path: PathBuf,
        /// Line of the damage, from 1.
        line: usize,
        /// Offset of that line or byte in the file, from 0.
        offset: usize,
        /// What is wrong there.
        problem: ManifestProblem,
    },
    /// The manifest is intact but of a version this program does not know.
    #[error("{} has manifest version {found}, this program reads version {supported}\nhelp: update seqweave", path.display())]
    ManifestVersion {
        /// The manifest file.
        path: PathBuf,
        /// The version it names.
        found: String,
        /// The version this program reads and writes.
        supported: u32,
    },
    /// A file name cannot be stored in a sealed folder.
    #[error("file name {name:?} cannot be stored in {}: {rule}", folder.display())]
    FileName {
        /// The folder it was meant for.
        folder: PathBuf,
        /// The name.
        name: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The manifest lists a file that is not there.
    #[error("{} is listed in the manifest but missing\nhelp: use another copy of this folder", path.display())]
    MissingFile {
        /// The missing file.
        path: PathBuf,
    },
    /// A file that this use of the folder needs is not listed in its manifest.
    #[error(
        "{} does not contain {name:?}; it contains {}\nhelp: {}",
        folder.display(),
        present.join(", "),
        of_folder(present)
    )]
    NotListed {
        /// The sealed folder.
        folder: PathBuf,
        /// The file that was asked for.
        name: String,
        /// The files that are listed.
        present: Vec<String>,
    },
    /// Something that should be a regular file or a folder is something else.
    #[error("{} is {found}, expected {expected}\nhelp: check the path", path.display())]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What was expected there.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// A file has another length than the manifest says.
    #[error("{} has {found} bytes, its manifest says {expected}: it was cut or changed\nhelp: use another copy", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Length in bytes by the manifest.
        expected: u64,
        /// Length in bytes as found.
        found: u64,
    },
    /// A file has other contents than the manifest says.
    #[error("{} is damaged: BLAKE3 is {found}, its manifest says {expected}\nhelp: use another copy", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Hash by the manifest, in hexadecimal.
        expected: String,
        /// Hash as found, in hexadecimal.
        found: String,
    },
    /// The checkpoint that a run folder stands for is damaged, and another of that run is not.
    #[error("{}\nhelp: another checkpoint of the run is whole, name it instead: {}", without_help(source), whole.display())]
    DamagedCheckpoint {
        /// What is wrong with it.
        source: Box<Error>,
        /// The newest one that verifies.
        whole: PathBuf,
    },
    /// The target of a write is already there and must not be replaced.
    #[error("{} already exists and is not replaced\nhelp: choose another name or move it away", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// The bytes are not a safetensors file.
    #[error("not a safetensors file: {source}")]
    Safetensors {
        /// What the format library said.
        source: safetensors::SafeTensorError,
    },
    /// A tensor that the model needs is not in the file.
    #[error(
        "tensor {name:?} of shape {expected:?} is missing\nhelp: use weights of this model configuration"
    )]
    MissingTensor {
        /// The tensor.
        name: String,
        /// Its shape by the model configuration.
        expected: Vec<usize>,
    },
    /// The file holds a tensor that the model does not have.
    #[error(
        "tensor {name:?} of shape {found:?} is not part of the model\nhelp: use weights of this model configuration"
    )]
    ExtraTensor {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// Two tensors have the same name.
    #[error("tensor {name:?} occurs twice")]
    DuplicateTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor has another shape than the model.
    #[error("tensor {name:?} has shape {found:?}, expected {expected:?}")]
    TensorShape {
        /// The tensor.
        name: String,
        /// Its shape by the model configuration.
        expected: Vec<usize>,
        /// Its shape in the file.
        found: Vec<usize>,
    },
    /// A tensor's data do not fill its shape.
    #[error("tensor {name:?} of shape {shape:?} has {found} values, expected {expected}")]
    TensorLength {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The product of the shape.
        expected: Count,
        /// The number of values given.
        found: usize,
    },
    /// A tensor is stored in a number format this version does not read.
    #[error("tensor {name:?} is stored as {found}, expected F32\nhelp: convert the weights first")]
    TensorType {
        /// The tensor.
        name: String,
        /// The format in the file.
        found: String,
    },
    /// A tensor contains NaN or an infinity.
    #[error("tensor {name:?} has the value {value} at position {index}, expected finite numbers only")]
    NonFinite {
        /// The tensor.
        name: String,
        /// Row-major position of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
}

/// Why a prefix or phrase cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhraseFlaw {
    /// It has no tokens.
    Empty,
    /// It holds a token that the vocabulary does not have.
    Unknown {
        /// The phrase.
        phrase: String,
        /// The token.
        token: String,
    },
}

impl std::fmt::Display for PhraseFlaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PhraseFlaw::Empty => f.write_str("is empty"),
            PhraseFlaw::Unknown { phrase, token } => {
                write!(f, "is {phrase:?}, and the model does not know {token:?}")
            }
        }
    }
}

impl PhraseFlaw {
    fn help(&self) -> &'static str {
        match self {
            PhraseFlaw::Empty => "remove it",
            PhraseFlaw::Unknown { .. } => "use tokens of the target vocabulary",
        }
    }
}

/// What to do about a sealed folder that is none of the kind that was wanted.
fn of_folder(present: &[String]) -> &'static str {
    match present.iter().any(|name| name == "corpus.json") {
        true => "these are shards of `seqweave prepare`; name a model folder, a run folder or a checkpoint",
        false => "name a model folder, a run folder or a checkpoint",
    }
}

/// What a phrase is called, counted from 1 as people do.
fn phrase_of(list: &str, sentence: Option<usize>, number: usize) -> String {
    let number = number + 1;
    match sentence.map(|index| index + 1) {
        None => format!("{list} {number} "),
        Some(sentence) if list == "prefix" => format!("the prefix of sentence {sentence} "),
        Some(sentence) => format!("{list} {number} of sentence {sentence} "),
    }
}

/// A number of values that may be too large to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// The number.
    Exactly(usize),
    /// The product of the shape overflows.
    TooMany,
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Count::Exactly(n) => write!(f, "{n}"),
            Count::TooMany => f.write_str("more than can be addressed"),
        }
    }
}
/// The message of an error without its next step.
fn without_help(error: &Error) -> String {
    let text = error.to_string();
    text.split("\nhelp:").next().unwrap_or_default().to_owned()
}
