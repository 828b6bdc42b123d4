//! Greedy and beam search, sampling, and scoring of given outputs.
//!
//! There is one search: [`translate_batch`] with `beam = 1` is greedy search, because the best candidate either ends
//! the sentence or is the one hypothesis that lives on. [`Search`] is the same with everything: several models
//! ([`Ensemble`]), outputs that begin with a prefix, forbidden and required phrases ([`Query`]).
//!
//! # Rule
//!
//! For each sentence on its own, with K the beam width: of all extensions of its live hypotheses by one token, the
//! best 2K by log-probability are candidates; those among the best K that end in EOS are finished; the best K of the
//! others live on. A sentence is done when K hypotheses are finished and as many as are wanted have a score that no live
//! one could reach by ending at the next token, for certain and with all of its source covered; with K = 1, which is greedy
//! search, when one is finished; and at its maximum length, where only EOS may follow. Then it leaves the batch. PAD and BOS
//! are never said; UNK may be, unless [`SearchOptions::no_unk`]. Finished hypotheses are ranked by
//! [`SearchOptions::score`], that is after length normalisation and coverage penalty, which do not choose what lives on.
//!
//! What changes the rule, in this order: a prefix, which is said first, whatever else holds; the repetition penalty;
//! forbidden phrases; required phrases; repeated n-grams. Where nothing may be said any more, the output ends, even below
//! `min_len`. [`Sampling`] draws tokens instead.
//!
//! # Promises
//!
//! * **Batch invariance.** Tokens, scores and alignments of a sentence are the same bits alone, in any batch, and at any
//!   place in it; so are samples.
//! * **Log-probabilities are exact.** Every hypothesis ends in EOS, and its `log_prob` is what [`score_batch`] gives for
//!   it, whatever penalty, temperature or phrase led to it, its prefix included.
//! * **Ties are settled** by the token ids, so an output never depends on the order of some heap.

mod options;
mod required;
mod rules;
mod said;
mod sampling;
mod sentence;

use seqweave_nn::Params;
use seqweave_tensor::{Float, Ids, on_pool};

pub use options::{LengthPenalty, MaxLen, SearchOptions};
use rules::Rules;
use said::{Reading, Said, StepSaid};
pub use sampling::Sampling;
use sentence::{Sentence, Survivor};

use crate::batch::sources;
use crate::{BOS, Batch, Ensemble, Error, Result, Seq2Seq};

/// One output for one sentence.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// The tokens, without BOS and EOS.
    pub ids: Vec<u32>,
    /// Sum of the log-probabilities (natural logarithm) of the tokens, EOS included.
    pub log_prob: f64,
    /// What hypotheses are ranked by: [`SearchOptions::score`].
    pub score: f64,
    /// Log-probability of each token, EOS included: one more than `ids`.
    pub token_log_probs: Vec<Float>,
    /// Attention weights `[target step][source position]`, EOS included on both sides; empty without attention.
    pub align: Vec<Vec<Float>>,
}

/// Log-probabilities of a given output.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Sum of the log-probabilities (natural logarithm) of the tokens, EOS included.
    pub log_prob: f64,
    /// Log-probability of each token, EOS included.
    pub token_log_probs: Vec<Float>,
}

/// A sentence to be decoded, and what its outputs must hold. Rows are bare tokens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// The source; EOS is added here.
    pub source: &'a [u32],
    /// What every output begins with. It counts in lengths, scores and repetitions, and a phrase may be in it.
    pub prefix: &'a [u32],
    /// Phrases that every output contains, in any order. They may overlap, and a phrase that is there twice is required
    /// once.
    pub required: &'a [Vec<u32>],
}

impl<'a> Query<'a> {
    /// A sentence without further wishes.
    pub fn of(source: &'a [u32]) -> Self {
        Self { source, ..Self::default() }
    }
}

/// A search with everything: models, options, forbidden phrases.
pub struct Search<'a> {
    ensemble: &'a Ensemble<'a>,
    options: &'a SearchOptions,
    rules: Rules,
}

/// The best outputs for each source, best first.
///
/// A source is a row of bare tokens; EOS is added here. All sources go through the model as one batch; see
/// [`translate_all`] for any number of them. The answer has at least one hypothesis a source, and `n_best` where the
/// vocabulary and the length limit allow as many.
///
/// # Errors
/// [`Error::Option`] for an option out of range, [`Error::Reserved`] and [`Error::Vocabulary`] for a source that does
/// not fit the model, [`Error::NotANumber`] if the model gives NaN.
pub fn translate_batch<X: AsRef<[u32]>>(
    model: &Seq2Seq,
    params: &Params,
    rows: &[X],
    options: &SearchOptions,
) -> Result<Vec<Vec<Hypothesis>>> {
    let queries: Vec<Query<'_>> = rows.iter().map(|row| Query::of(row.as_ref())).collect();
    Search::new(&Ensemble::one(model, params), options, &[])?.batch(&queries)
}

/// The best outputs for each of any number of sources, in their order, `batch_size` sentences at a time.
///
/// # Errors
/// As [`translate_batch`]; rows are counted over the whole call.
pub fn translate_all<X: AsRef<[u32]>>(
    model: &Seq2Seq,
    params: &Params,
    rows: &[X],
    options: &SearchOptions,
    batch_size: usize,
) -> Result<Vec<Vec<Hypothesis>>> {
    let queries: Vec<Query<'_>> = rows.iter().map(|row| Query::of(row.as_ref())).collect();
    Search::new(&Ensemble::one(model, params), options, &[])?.all(&queries, batch_size)
}

/// The log-probability of each given output for its source (force-decoding). Rows are bare tokens.
///
/// # Errors
/// [`Error::EmptyBatch`] without rows, [`Error::Reserved`] and [`Error::Vocabulary`] for a row that does not fit.
pub fn score_batch<X: AsRef<[u32]>, Y: AsRef<[u32]>>(
    model: &Seq2Seq,
    params: &Params,
    rows: &[(X, Y)],
) -> Result<Vec<Scored>> {
    score_batch_with(&Ensemble::one(model, params), rows)
}

/// [`score_batch`] with several models.
///
/// # Errors
/// As [`score_batch`].
pub fn score_batch_with<X: AsRef<[u32]>, Y: AsRef<[u32]>>(
    ensemble: &Ensemble<'_>,
    rows: &[(X, Y)],
) -> Result<Vec<Scored>> {
    ensemble.first().check_source(rows.iter().map(|(x, _)| x))?;
    ensemble.first().check_target(rows.iter().map(|(_, y)| y))?;
    let forced = ensemble.forced(&Batch::from_rows(rows)?)?;
    Ok(forced.into_iter().map(|f| Scored { log_prob: f.log_prob(), token_log_probs: f.log_probs }).collect())
}

impl<'a> Search<'a> {
    /// A search in which no output contains a phrase of `forbidden`, but for what its prefix says.
    ///
    /// # Errors
    /// [`Error::Option`] for an option out of range, or one that the models cannot serve; [`Error::EmptyPhrase`],
    /// [`Error::Reserved`] and [`Error::Vocabulary`] for a phrase that cannot be.
    pub fn new(
        ensemble: &'a Ensemble<'a>,
        options: &'a SearchOptions,
        forbidden: &[Vec<u32>],
    ) -> Result<Self> {
        options.check()?;
        if options.coverage_penalty != 0.0 && !ensemble.has_attention() {
            let found = options.coverage_penalty.to_string();
            return Err(Error::Option {
                key: "coverage_penalty",
                expected: "0 for a model without attention",
                found,
            });
        }
        Ok(Self { ensemble, options, rules: Rules::new(options, forbidden, ensemble.tgt_vocab())? })
    }

    /// The outputs for each query, best first; with [`Sampling`], in the order in which they were drawn. All go through
    /// the models as one batch.
    ///
    /// # Errors
    /// [`Error::Reserved`] and [`Error::Vocabulary`] for a row that does not fit the models; [`Error::EmptyPhrase`],
    /// [`Error::Contradiction`], [`Error::NoRoom`], [`Error::RequiredOfSamples`] and [`Error::Unsatisfied`] for wishes
    /// that cannot be fulfilled; [`Error::NotANumber`] if a model gives NaN.
    pub fn batch(&self, queries: &[Query<'_>]) -> Result<Vec<Vec<Hypothesis>>> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        on_pool(|| self.run(queries))
    }

    /// The same for any number of queries, in their order, `batch_size` at a time.
    ///
    /// Sources of like length share a batch, so that little is computed for padding; by batch invariance that changes
    /// nothing in the answers.
    ///
    /// # Errors
    /// As [`Search::batch`]; rows are counted over the whole call.
    pub fn all(&self, queries: &[Query<'_>], batch_size: usize) -> Result<Vec<Vec<Hypothesis>>> {
        if batch_size == 0 {
            return Err(Error::Option { key: "batch_size", expected: "at least 1", found: "0".to_string() });
        }
        let mut order: Vec<usize> = (0..queries.len()).collect();
        order.sort_by_key(|&row| queries[row].source.len());
        let mut answers: Vec<Vec<Hypothesis>> = queries.iter().map(|_| Vec::new()).collect();
        for part in order.chunks(batch_size) {
            let batch: Vec<Query<'_>> = part.iter().map(|&row| queries[row]).collect();
            let best = self.batch(&batch).map_err(|e| e.renumber(part))?;
            for (&row, best) in part.iter().zip(best) {
                answers[row] = best;
            }
        }
        Ok(answers)
    }

    /// [`Search::batch`] on the calling thread, of at least one query.
    fn run(&self, queries: &[Query<'_>]) -> Result<Vec<Vec<Hypothesis>>> {
        let Self { ensemble, options, rules } = self;
        let rows: Vec<&[u32]> = queries.iter().map(|query| query.source).collect();
        ensemble.first().check_source(&rows)?;
        let (src, lens) = sources(&rows)?;
        let positions = |row: &[u32]| ensemble.first().positions(row);
        let mut sentences = Vec::with_capacity(queries.len());
        for (row, query) in queries.iter().enumerate() {
            let at = positions(query.source);
            sentences.push(Sentence::new(row, query, at, options, rules, ensemble.tgt_vocab())?);
        }
        let needs_all = options.sampling.on || rules.need_all() || sentences.iter().any(Sentence::needs_all);
        let reading = if needs_all { Reading::All } else { Reading::Best(options.room()) };

        // Sentences still in the batch. Hypothesis `slot` of `active[b]` is row `slot·B + b` of the states, as
        // [`State`](crate::State) lays rows out.
        let mut active: Vec<usize> = (0..rows.len()).collect();
        let mut states = ensemble.start(&src, &lens)?;
        let lanes = options.lanes();
        if lanes > 1 {
            let copies = Ids::list((0..lanes).flat_map(|_| 0..rows.len() as u32).collect());
            states = states.iter().map(|state| state.select(&copies)).collect::<Result<_>>()?;
        }
        let mut ids = Ids::list(vec![BOS; lanes * rows.len()]);
        for step in 0.. {
            let spoken = ensemble.step(&ids, &mut states)?;
            let said = StepSaid::read(&spoken, reading, rules)?;
            let b = active.len();
            for (column, &sentence) in active.iter().enumerate() {
                if (0..sentences[sentence].slots()).any(|slot| said.is_nan(slot * b + column)) {
                    return Err(Error::NotANumber { sentence, step });
                }
            }
            let columns: Vec<&Sentence<'_>> = active.iter().map(|&sentence| &sentences[sentence]).collect();
            let offers = said.offers(step, &columns);
            let mut survivors = Vec::with_capacity(b);
            for (column, &sentence) in active.iter().enumerate() {
                let source_len = positions(rows[sentence]) + 1;
                let slots: Vec<Said<'_>> = (0..sentences[sentence].slots())
                    .map(|slot| said.row(slot * b + column, source_len, &offers))
                    .collect();
                survivors.push(sentences[sentence].advance(step, &slots));
            }
            let (parents, tokens) = next_rows(&survivors);
            if parents.is_empty() {
                break;
            }
            let parents = Ids::list(parents);
            states = states.iter().map(|state| state.select(&parents)).collect::<Result<_>>()?;
            ids = Ids::list(tokens);
            active =
                active.into_iter().zip(&survivors).filter(|(_, s)| !s.is_empty()).map(|(i, _)| i).collect();
        }
        let best: Vec<Vec<Hypothesis>> = sentences.into_iter().map(Sentence::into_best).collect();
        match best.iter().position(Vec::is_empty) {
            Some(sentence) => Err(Error::Unsatisfied { sentence }),
            None => Ok(best),
        }
    }
}

/// Parent row and token of each row of the next step: slot by slot, the sentences that go on. A sentence with fewer
/// live hypotheses than another fills its slots with a copy of its best one, which nobody reads.
fn next_rows(survivors: &[Vec<Survivor>]) -> (Vec<u32>, Vec<u32>) {
    let b = survivors.len();
    let slots = survivors.iter().map(Vec::len).max().unwrap_or(0);
    let (mut parents, mut tokens) = (Vec::new(), Vec::new());
    for slot in 0..slots {
        for (column, survivors) in survivors.iter().enumerate() {
            if let Some(survivor) = survivors.get(slot).or(survivors.first()) {
                parents.push((survivor.slot * b + column) as u32);
                tokens.push(survivor.token);
            }
        }
    }
    (parents, tokens)
}

impl Error {
    /// The same error with row numbers of a part replaced by those of the whole.
    #[must_use]
    pub fn renumber(mut self, rows: &[usize]) -> Self {
        match &mut self {
            // Forbidden phrases belong to no row.
            Error::Reserved { side: "forbidden", .. } | Error::Vocabulary { side: "forbidden", .. } => {}
            Error::Reserved { row, .. } | Error::Vocabulary { row, .. } => *row = rows[*row],
            Error::NotANumber { sentence, .. }
            | Error::EmptyPhrase { sentence: Some(sentence), .. }
            | Error::Contradiction { sentence, .. }
            | Error::NoRoom { sentence, .. }
            | Error::Unsatisfied { sentence }
            | Error::RequiredOfSamples { sentence } => *sentence = rows[*sentence],
            _ => {}
        }
        self
    }
}
