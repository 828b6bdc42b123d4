//! How to search, as it is typed.

use clap::Args as ClapArgs;
use seqweave_seq2seq::search::{LengthPenalty, MaxLen};

use super::{BATCH, in_range, non_negative};
use crate::values::{length_penalty, max_len, penalty};

/// How to search for the best output.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Search (defaults come with the model)")]
pub struct Search {
    /// Beam size; 1 is greedy
    #[arg(short, long, value_name = "K", env = "SEQWEAVE_BEAM", hide_env_values = true)]
    #[arg(value_parser = in_range::<1, 1024>)]
    pub beam: Option<usize>,
    /// none, average, or gnmt=ALPHA (Wu et al. 2016)
    #[arg(long, value_name = "KIND", value_parser = length_penalty)]
    pub length_penalty: Option<LengthPenalty>,
    /// Weight of the coverage penalty (Wu et al. 2016); 0 is off
    #[arg(long, value_name = "BETA", value_parser = non_negative)]
    pub coverage_penalty: Option<f64>,
    /// Longest output in tokens, from the source length x: 2x+10, 1.5x, 80
    #[arg(long, value_name = "LEN", value_parser = max_len)]
    pub max_len: Option<MaxLen>,
    /// Shortest output in tokens
    #[arg(long, value_name = "N")]
    pub min_len: Option<usize>,
    /// Say no sequence of N tokens twice; 0 allows it
    #[arg(long, value_name = "N", value_parser = in_range::<0, 1_000_000>)]
    pub no_repeat_ngram: Option<usize>,
    /// Make tokens that were said less probable (Keskar et al. 2019); 1 is off
    #[arg(long, value_name = "THETA", value_parser = penalty)]
    pub repetition_penalty: Option<f64>,
    /// Never say the token for unknown words
    #[arg(long)]
    pub no_unk: bool,
    /// Sentences translated together; the result does not depend on it
    #[arg(long, value_name = "N", default_value_t = BATCH, env = "SEQWEAVE_BATCH", hide_env_values = true)]
    #[arg(value_parser = in_range::<1, 65536>)]
    pub batch: usize,
}
