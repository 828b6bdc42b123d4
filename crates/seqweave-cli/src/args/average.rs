//! The options of `average`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};

use super::in_range;

/// `average`
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Every weight becomes the mean of the weights of the models, which must be of one
shape and vocabulary. The order in which they are named does not matter.

Examples:
  seqweave average runs/de-en --best 5 -o averaged
  seqweave average runs/de-en/checkpoints/step-00008000 runs/de-en -o averaged")]
pub struct Average {
    /// Model folders, checkpoints, or run folders (their best checkpoint)
    #[arg(required = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub paths: Vec<PathBuf>,
    /// The model folder to write; it must not be there yet
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    /// Of each run folder, so many of the newest checkpoints
    #[arg(long, value_name = "N", value_parser = in_range::<1, 1_000_000>, conflicts_with = "best")]
    pub last: Option<usize>,
    /// Of each run folder, so many of the best checkpoints; see checkpoint.keep_best
    #[arg(long, value_name = "N", value_parser = in_range::<1, 1_000_000>)]
    pub best: Option<usize>,
}
