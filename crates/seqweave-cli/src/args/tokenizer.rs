//! The options of `tokenizer`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum, ValueHint};

/// `tokenizer`
#[derive(Debug, Subcommand)]
pub enum TokenizerVerb {
    /// Learn pieces of words from text
    Train(TokenizerTrain),
    /// Lines of text to lines of pieces
    Encode(TokenizerEncode),
    /// Lines of pieces to lines of text
    Decode(TokenizerDecode),
    /// What a tokenizer file holds
    Info(TokenizerInfo),
    /// Take over a tokenizer file of another program
    Import(TokenizerImport),
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
    /// Files of text, one sentence a line; plain, gzip or zstd
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

/// `tokenizer encode`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Pieces are joined by spaces. The same text always gives the same pieces.

Example:
  seqweave tokenizer encode -t joint.json < test.de > test.pieces")]
pub struct TokenizerEncode {
    /// A tokenizer.json; standard input is read, standard output written
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tokenizer: PathBuf,
}

/// `tokenizer decode`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Pieces are what stands between spaces, as `tokenizer encode` writes them.

Example:
  seqweave tokenizer decode -t joint.json < test.pieces > test.de")]
pub struct TokenizerDecode {
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

/// Programs whose tokenizer files can be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProgramName {
    /// A tokenizer.json of Hugging Face's library.
    Huggingface,
    /// A .model of SentencePiece.
    Sentencepiece,
    /// Codes of subword-nmt, version 0.2.
    SubwordNmt,
}

/// `tokenizer import`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  seqweave tokenizer import spm.model -o tokenizer.json
  seqweave tokenizer import codes.bpe --alphabet train.de -o tokenizer.json")]
pub struct TokenizerImport {
    /// The file: a tokenizer.json, a SentencePiece .model, or codes of subword-nmt
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The file to write, in the format of Hugging Face's tokenizer.json
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// The program that wrote the file; without it, what the file looks like
    #[arg(long, value_name = "NAME", value_enum)]
    pub from: Option<ProgramName>,
    /// Texts whose characters are pieces too; codes of subword-nmt do not say which characters there are
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    pub alphabet: Vec<PathBuf>,
}
