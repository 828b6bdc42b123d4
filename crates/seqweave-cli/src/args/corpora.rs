//! The options of the verbs that look at corpora and nothing else.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};

use super::in_range;

/// `prepare`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The text is read once and never held as a whole: memory is needed for the
different tokens, and for the pairs of dev and test. Train on the result with
data.train = { shards = \"DIR\" } and all else in [data] as it is: batches and
weights are those that the text would have given.

Examples:
  seqweave prepare -c config.toml -o shards
  seqweave train -c config.toml --set data.train='{ shards = \"shards\" }'")]
pub struct Prepare {
    /// Config files; a key in a later one wins
    #[arg(short, long, value_name = "FILE", required = true, num_args = 1..)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub config: Vec<PathBuf>,
    /// Overrides one key, as in --set data.filter.dedup=true
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The folder to make; it must not exist yet
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// Threads that encode; default: all cores, or --threads
    #[arg(short, long, value_name = "N", value_parser = in_range::<1, 1024>)]
    pub jobs: Option<usize>,
    /// One JSON document about the result instead of text
    #[arg(long)]
    pub json: bool,
}

/// `doctor`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Every finding comes with what to do about it. Findings are no errors: the exit
code is 4 only where data cannot be read.

Examples:
  seqweave doctor -c config.toml
  seqweave doctor -c config.toml --json | jq '.findings[].what'")]
pub struct Doctor {
    /// Config files; a key in a later one wins
    #[arg(short, long, value_name = "FILE", required = true, num_args = 1..)]
    #[arg(value_hint = ValueHint::FilePath)]
    pub config: Vec<PathBuf>,
    /// Overrides one key, as in --set data.src.max_vocab=8000
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// One JSON document instead of text
    #[arg(long)]
    pub json: bool,
}
