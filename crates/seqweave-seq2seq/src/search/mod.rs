//! Greedy and beam search, and scoring of given outputs.
//!
//! There is one search: [`translate_batch`] with `beam = 1` is greedy search, because the best candidate either ends
//! the sentence or is the one hypothesis that lives on.
//!
//! # Rule
//!
//! For each sentence on its own, with K the beam width: of all extensions of its live hypotheses by one token, the
//! best 2K by log-probability are candidates; those among the best K that end in EOS are finished; the best K of the
//! others live on. A sentence is done when K hypotheses are finished, or at its maximum length, where only EOS may
//! follow; then it leaves the batch. PAD and BOS are never said; UNK may be. Finished hypotheses are ranked by
//! [`SearchOptions::score`], that is after length normalisation and coverage penalty, which do not steer the search
//! itself.
//!
//! # Promises
//!
//! * **Batch invariance.** Tokens, scores and alignments of a sentence are the same bits alone, in any batch, and at any
//!   place in it.
//! * **Scores are exact.** Every hypothesis ends in EOS, and its `log_prob` is what [`score_batch`] gives for it.
//! * **Ties are settled** by the token ids, so an output never depends on the order of some heap.

mod options;
mod sentence;

use seqweave_nn::{Ctx, Params};
use seqweave_tensor::ops::{self, TopLogProbs};
use seqweave_tensor::{Float, Ids, Tensor, on_pool};

pub use options::{LengthPenalty, MaxLen, SearchOptions};
use sentence::{Said, Sentence, Survivor};

use crate::batch::sources;
use crate::{BOS, Batch, EOS, Error, PAD, Result, Seq2Seq};

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
    options.check()?;
    let rows: Vec<&[u32]> = rows.iter().map(AsRef::as_ref).collect();
    on_pool(|| search(model, params, &rows, options))
}

/// [`translate_batch`] on the calling thread, with options in range.
fn search(
    model: &Seq2Seq,
    params: &Params,
    rows: &[&[u32]],
    options: &SearchOptions,
) -> Result<Vec<Vec<Hypothesis>>> {
    if options.coverage_penalty != 0.0 && !model.has_attention() {
        let found = options.coverage_penalty.to_string();
        return Err(Error::Option {
            key: "coverage_penalty",
            expected: "0 for a model without attention",
            found,
        });
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    model.check_source(rows)?;
    let (src, lens) = sources(rows)?;
    let cx = Ctx::infer(params);

    let mut sentences: Vec<Sentence> = rows.iter().map(|row| Sentence::new(row.len(), options)).collect();
    // Sentences still in the batch. Hypothesis `slot` of `active[b]` is row `slot·B + b` of the state, as
    // [`State`](crate::State) lays rows out.
    let mut active: Vec<usize> = (0..rows.len()).collect();
    let mut state = model.start(&cx, &src, &lens)?;
    let mut ids = Ids::list(vec![BOS; rows.len()]);
    for step in 0.. {
        let (logits, next, align) = model.step(&cx, &ids, &state)?;
        let said = StepSaid::read(logits.value(), align.as_ref(), options)?;
        let b = active.len();
        let mut survivors = Vec::with_capacity(b);
        for (column, &sentence) in active.iter().enumerate() {
            let source_len = rows[sentence].len() + 1;
            let slots: Vec<Said<'_>> = (0..sentences[sentence].slots())
                .map(|slot| said.row(slot * b + column, source_len))
                .collect();
            if slots.iter().any(|said| said.eos.is_nan()) {
                return Err(Error::NotANumber { sentence, step });
            }
            survivors.push(sentences[sentence].advance(step, &slots));
        }
        let (parents, tokens) = next_rows(&survivors);
        if parents.is_empty() {
            break;
        }
        state = next.select(&Ids::list(parents))?;
        ids = Ids::list(tokens);
        active = active.into_iter().zip(&survivors).filter(|(_, s)| !s.is_empty()).map(|(i, _)| i).collect();
    }
    Ok(sentences.into_iter().map(|sentence| sentence.into_best(options)).collect())
}

/// The best outputs for each of any number of sources, in their order, `batch_size` sentences at a time.
///
/// Sources of like length share a batch, so that little is computed for padding; by batch invariance that changes
/// nothing in the answers.
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
    if batch_size == 0 {
        return Err(Error::Option { key: "batch_size", expected: "at least 1", found: "0".to_string() });
    }
    options.check()?;
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&row| rows[row].as_ref().len());
    let mut answers: Vec<Vec<Hypothesis>> = rows.iter().map(|_| Vec::new()).collect();
    for part in order.chunks(batch_size) {
        let batch: Vec<&[u32]> = part.iter().map(|&row| rows[row].as_ref()).collect();
        let best = translate_batch(model, params, &batch, options).map_err(|e| e.renumber(part))?;
        for (&row, best) in part.iter().zip(best) {
            answers[row] = best;
        }
    }
    Ok(answers)
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
    model.check_source(rows.iter().map(|(x, _)| x))?;
    model.check_target(rows.iter().map(|(_, y)| y))?;
    let cx = Ctx::infer(params);
    let forced = model.forced(&cx, &Batch::from_rows(rows)?)?;
    Ok(forced.into_iter().map(|f| Scored { log_prob: f.log_prob(), token_log_probs: f.log_probs }).collect())
}

/// One step's numbers on the host.
struct StepSaid {
    /// One entry a row.
    top: Vec<TopLogProbs>,
    align: Vec<Float>,
    source: usize,
}

impl StepSaid {
    /// Reads logits `[N,V]` and alignments `[N,S]`.
    fn read(logits: &Tensor, align: Option<&Tensor>, options: &SearchOptions) -> Result<Self> {
        let top = ops::top_log_probs(logits, Said::room(options), &[PAD, BOS], EOS)?;
        let (align, source) = match align {
            Some(align) => {
                let [_, source] = align.dims("alignment [N,S]")?;
                (align.to_vec(), source)
            }
            None => (Vec::new(), 0),
        };
        Ok(Self { top, align, source })
    }

    /// What was said in row `n`, whose source has `len` positions.
    fn row(&self, n: usize, len: usize) -> Said<'_> {
        let align = if self.align.is_empty() { &[][..] } else { &self.align[n * self.source..][..len] };
        Said { best: &self.top[n].best, eos: self.top[n].named, align }
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
    fn renumber(mut self, rows: &[usize]) -> Self {
        match &mut self {
            Error::Reserved { row, .. } | Error::Vocabulary { row, .. } => *row = rows[*row],
            Error::NotANumber { sentence, .. } => *sentence = rows[*sentence],
            _ => {}
        }
        self
    }
}
