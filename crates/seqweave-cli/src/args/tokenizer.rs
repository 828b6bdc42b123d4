//! The options of `tokenizer`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as ClapArgs, Subcommand, ValueEnum, ValueHint};

/// `tokenizer`
#[derive(Debug, Subcommand)]
pub enum TokenizerVerb {
    /// Learn pieces of words from text
    Train(TokenizerTrain),
    /// Lines of text to lines of tokens
    Encode(TokenizerEncode),
    /// Lines of tokens to lines of text
    Decode(TokenizerDecode),
    /// What a tokenizer file, or a side of a model, holds
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

/// A side of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SideName {
    /// What goes in.
    Source,
    /// What comes out.
    Target,
}

/// Whose tokens are meant: those of a tokenizer file, or those of a model.
#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("of").required(true))]
pub struct TokensOf {
    /// A tokenizer.json; standard input is read, standard output written
    #[arg(group = "of", short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tokenizer: Option<PathBuf>,
    /// A model folder, run folder or checkpoint, whatever its tokens are: pieces, words or characters
    #[arg(group = "of", short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub model: Option<PathBuf>,
    /// The side of the model
    #[arg(long, value_name = "SIDE", value_enum, default_value = "source", conflicts_with = "tokenizer")]
    pub side: SideName,
}

/// `tokenizer encode`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Tokens are joined by spaces; among characters a space reads \u{2581}.
The same text always gives the same tokens; what a model does not know reads
<unk>.

Examples:
  seqweave tokenizer encode -t joint.json < test.de > test.pieces
  seqweave tokenizer encode -m runs/cmudict/run < words.txt")]
pub struct TokenizerEncode {
    #[command(flatten)]
    pub of: TokensOf,
}

/// `tokenizer decode`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Tokens are what stands between spaces, as `tokenizer encode` writes them.

Examples:
  seqweave tokenizer decode -t joint.json < test.pieces > test.de
  seqweave tokenizer decode -m run --side target < test.tokens")]
pub struct TokenizerDecode {
    #[command(flatten)]
    pub of: TokensOf,
}

/// `tokenizer info`
#[derive(Debug, ClapArgs)]
pub struct TokenizerInfo {
    /// A tokenizer.json, or a model folder, run folder or checkpoint
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub path: PathBuf,
    /// One side of a model, instead of both
    #[arg(long, value_name = "SIDE", value_enum)]
    pub side: Option<SideName>,
    /// Also list the tokens, one a line with its number
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
