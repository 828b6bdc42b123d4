//! `translate`, as it is typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum, ValueHint};

use super::{Search, in_range};
use crate::values::{temperature, top_p};

/// Model folders, named by the verbs that average several.
#[derive(Debug, ClapArgs)]
pub struct Models {
    /// The model: a model folder, a run folder (its best checkpoint), or a checkpoint; given several
    /// times, their average
    #[arg(short = 'm', long = "model", value_name = "DIR", env = "SEQWEAVE_MODEL", hide_env_values = true)]
    #[arg(value_hint = ValueHint::DirPath, required = true)]
    pub dirs: Vec<PathBuf>,
}

/// `translate`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
One line out for each line in, in the same order; an empty line gives an empty
line. Output appears as soon as a chunk of lines is done.

Examples:
  echo \"transformer\" | seqweave translate -m runs/g2p
  seqweave translate -m runs/g2p -i words.txt -o phonemes.txt --beam 5
  seqweave translate -m runs/g2p --n-best 3 --format jsonl --with score,align
  seqweave translate -m runs/a -m runs/b -m runs/c -i test.de -o test.en
  seqweave translate -m runs/chat --sample --top-p 0.9 --seed 7
  seqweave translate -m runs/de-en --forbid never.txt --require-file terms.txt")]
pub struct Translate {
    /// The models.
    #[command(flatten)]
    pub models: Models,
    /// Input; default and `-`: stdin
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: Option<PathBuf>,
    /// Output; default and `-`: stdout
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// text, or one JSON object per line
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub format: Format,
    /// More fields in the JSON objects: score, align, tokens
    #[arg(long, value_name = "FIELDS", value_delimiter = ',', hide_possible_values = true)]
    pub with: Vec<Field>,
    /// Candidates for each line (JSON only)
    #[arg(long, value_name = "N", value_parser = in_range::<1, 1024>)]
    pub n_best: Option<usize>,
    /// The search.
    #[command(flatten)]
    pub search: Search,
    /// Drawing instead of searching.
    #[command(flatten)]
    pub sample: Sample,
    /// What outputs hold.
    #[command(flatten)]
    pub wishes: Wishes,
}

/// Outputs that are drawn at random.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Sampling (docs/guide/decoding.md)")]
pub struct Sample {
    /// Draw outputs at random instead of searching; --n-best N draws N, --seed the same again
    #[arg(long, conflicts_with = "beam")]
    pub sample: bool,
    /// Below 1 the probable becomes more probable
    #[arg(long, value_name = "T", requires = "sample", value_parser = temperature)]
    pub temperature: Option<f64>,
    /// Draw from the K most probable tokens; 0 is all
    #[arg(long, value_name = "K", requires = "sample", value_parser = in_range::<0, 1_000_000>)]
    pub top_k: Option<usize>,
    /// Draw from the fewest tokens that have probability P (Holtzman et al. 2020); 1 is all
    #[arg(long, value_name = "P", requires = "sample", value_parser = top_p)]
    pub top_p: Option<f64>,
}

/// What outputs hold and must not hold, and what is done with unknown words.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Phrases, unknown words, alignments")]
pub struct Wishes {
    /// What outputs begin with: a line for each line of input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub prefix_file: Option<PathBuf>,
    /// Phrases that outputs contain, separated by tabs: a line for each line of input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "sample")]
    pub require_file: Option<PathBuf>,
    /// Phrases that no output contains, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub forbid: Option<PathBuf>,
    /// Put the source word that it looks at most in the place of an unknown one
    #[arg(long)]
    pub replace_unk: bool,
    /// Or what these `source<TAB>target` lines have for that word
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "replace_unk")]
    pub dictionary: Option<PathBuf>,
    /// Write the alignment of each line to this file, as in 0-0 1-2 2-1
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub alignments: Option<PathBuf>,
    /// Align words, what stands between white space, instead of tokens
    #[arg(long, requires = "alignments")]
    pub align_words: bool,
}

/// Output formats of `translate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One line of text per line of input.
    Text,
    /// One JSON object per line of input.
    Jsonl,
}

/// Optional fields of a translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Field {
    /// Search score and log-probability.
    Score,
    /// For each target token the source token it looked at most.
    Align,
    /// The tokens of both sides, with the log-probability of each target token.
    Tokens,
}
