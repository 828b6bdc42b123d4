//! How to search, resolved.

use seqweave_seq2seq::search::{LengthPenalty, MaxLen, Sampling, SearchOptions};

use crate::args;
use crate::exit::{Failure, Outcome};

/// How to search, as far as it was said; the rest comes with the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Beam size.
    pub beam: Option<usize>,
    /// Length normalisation.
    pub length_penalty: Option<LengthPenalty>,
    /// Weight of the coverage penalty.
    pub coverage_penalty: Option<f64>,
    /// Longest output.
    pub max_len: Option<MaxLen>,
    /// Shortest output in tokens.
    pub min_len: Option<usize>,
    /// Length of what is not said twice.
    pub no_repeat_ngram: Option<usize>,
    /// Penalty on what was said.
    pub repetition_penalty: Option<f64>,
    /// Never say the token for unknown words.
    pub no_unk: bool,
    /// Sentences translated together.
    pub batch: usize,
}

impl Search {
    /// The model's own options, with what was said on the command line in their place. Whoever names a beam wants a
    /// search.
    pub fn over(&self, defaults: SearchOptions) -> SearchOptions {
        let on = defaults.sampling.on && self.beam.is_none();
        SearchOptions {
            beam: self.beam.unwrap_or(defaults.beam),
            n_best: 1,
            length_penalty: self.length_penalty.unwrap_or(defaults.length_penalty),
            coverage_penalty: self.coverage_penalty.unwrap_or(defaults.coverage_penalty),
            max_len: self.max_len.unwrap_or(defaults.max_len),
            min_len: self.min_len.unwrap_or(defaults.min_len),
            no_repeat_ngram: self.no_repeat_ngram.unwrap_or(defaults.no_repeat_ngram),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            no_unk: self.no_unk || defaults.no_unk,
            sampling: Sampling { on, ..defaults.sampling },
        }
    }
}

pub(super) fn search(raw: args::Search) -> Outcome<Search> {
    let args::Search {
        beam,
        length_penalty,
        coverage_penalty,
        max_len,
        min_len,
        no_repeat_ngram,
        repetition_penalty,
        no_unk,
        batch,
    } = raw;
    if let (Some(min), Some(MaxLen { ratio: 0.0, add: max })) = (min_len, max_len)
        && min > max
    {
        return Err(Failure::usage(format!("--min-len {min} is more than --max-len {max}")));
    }
    Ok(Search {
        beam,
        length_penalty,
        coverage_penalty,
        max_len,
        min_len,
        no_repeat_ngram,
        repetition_penalty,
        no_unk,
        batch,
    })
}
