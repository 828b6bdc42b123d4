//! The options of `tokenizer`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum, ValueHint};

/// `tokenizer`
#[derive(Debug, Subcommand)]
pub enum TokenizerVerb {
    /// Learn pieces of words from text
    Train(TokenizerTrain),
    /// Lines of text to lines of pieces
    Encode(TokenizerFilter),
    /// Lines of pieces to lines of text
    Decode(TokenizerFilter),
    /// What a tokenizer file holds
    Info(TokenizerInfo),
}

/// How pieces are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PieceModel {
    /// Byte-pair encoding.
    Bpe,
    /// A unigram language model.
    Unigram,
}

/// Unicode normal forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormName {
    /// As it is.
    None,
    /// Composed.
    Nfc,
    /// Composed, and forms of one character made one.
    Nfkc,
}

/// `tokenizer train`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  seqweave tokenizer train --input train.de train.en -o joint.json")]
pub struct TokenizerTrain {
    /// Files of text, one sentence a line; plain or gzip
    #[arg(long, value_name = "FILE", required = true, num_args = 1.., value_hint = ValueHint::FilePath)]
    pub input: Vec<PathBuf>,
    /// The file to write, in the format of Hugging Face's tokenizer.json
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// What pieces are learnt by
    #[arg(long, value_name = "NAME", value_enum, default_value = "bpe")]
    pub model: PieceModel,
    /// The most pieces there are
    #[arg(long, value_name = "N", default_value_t = 8000)]
    pub vocab_size: usize,
    /// Spell in bytes what no piece covers
    #[arg(long)]
    pub byte_fallback: bool,
    /// Put text into a Unicode normal form
    #[arg(long, value_name = "FORM", value_enum, default_value = "nfkc")]
    pub normalize: FormName,
    /// Put text into lower case
    #[arg(long)]
    pub lowercase: bool,
}

/// `tokenizer encode` and `tokenizer decode`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  seqweave tokenizer encode -t joint.json < test.de")]
pub struct TokenizerFilter {
    /// A tokenizer.json; standard input is read, standard output written
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tokenizer: PathBuf,
}

/// `tokenizer info`
#[derive(Debug, ClapArgs)]
pub struct TokenizerInfo {
    /// A tokenizer.json
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tokenizer: PathBuf,
    /// Also list the pieces, one a line with its number
    #[arg(long)]
    pub pieces: bool,
}
