//! How good a model is on pairs: what `evaluate` prints and what validation looks at.

use std::collections::HashMap;

use crate::Result;
use seqweave::{TranslateOptions, Translator};
use seqweave_data::Pair;
use seqweave_metrics::{
    Accuracy, Item, Measured, Metric, Perplexity, Score, Sentence, TextOptions, TextScores, group_references,
};
use seqweave_seq2seq::Batch;
use serde::Serialize;

/// What is measured, and how outputs are found.
#[derive(Debug, Clone)]
pub struct EvaluateOptions {
    /// The search, for metrics of texts.
    pub translate: TranslateOptions,
    /// The metrics, in the order of the answer.
    pub metrics: Vec<Metric>,
    /// What metrics of texts depend on beside the texts.
    pub text: TextOptions,
}

/// Scores of a model, and the outputs they come from.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Evaluation {
    /// Lines read.
    pub lines: usize,
    /// Distinct sources: lines of the same source are one item with several references.
    pub items: usize,
    /// One score a metric asked for.
    pub scores: Vec<Score>,
    /// What scores of texts were computed from: gives intervals, signatures and paired tests.
    #[serde(skip)]
    pub measured: Vec<Measured>,
    /// The outputs, one an item; empty if no metric of texts was asked for.
    pub answers: Vec<Answer>,
}

/// What the model said for one item.
#[derive(Debug, Clone, Serialize)]
pub struct Answer {
    /// Source text.
    pub source: String,
    /// Every text that counts as right.
    pub references: Vec<String>,
    /// The model's text.
    pub output: String,
    /// Whether it is one of the references.
    pub right: bool,
}

impl Evaluation {
    /// The value of a metric, if it was asked for and there was anything to score.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.scores.iter().find(|score| score.metric == metric)?.value
    }
}

/// Measures `translator` on `pairs`.
///
/// Metrics of texts are taken over outputs of the search, metrics of the model (`ppl`, `token_acc`, `seq_acc`) over the
/// references under teacher forcing.
/// For `wer`, `per`, `cer` and `acc`, lines of one source are one item; all other metrics of texts go line by line, as
/// they are published.
///
/// # Errors
/// A search option out of range, or a model whose weights give NaN.
pub fn evaluate(translator: &Translator, pairs: &[Pair], options: &EvaluateOptions) -> Result<Evaluation> {
    let items = group_references(pairs.iter().map(|pair| (pair.src.as_str(), pair.tgt.as_str())));
    let (mut texts, mut answers) = (TextScores::default(), Vec::new());
    if options.metrics.iter().any(|metric| metric.is_of_text()) {
        let sources: Vec<&str> = items.iter().map(|item| item.source).collect();
        let outputs = translator.translate(&sources, &options.translate)?;
        for (item, output) in items.iter().zip(outputs) {
            let right = texts.add(output.text(), &item.references)?;
            let references = item.references.iter().map(|text| (*text).to_owned()).collect();
            answers.push(Answer {
                source: item.source.to_owned(),
                references,
                output: output.text().to_owned(),
                right,
            });
        }
    }
    let measured = measure(&items, &answers, pairs, options)?;
    let forced = match options.metrics.iter().all(|metric| metric.is_of_text()) {
        true => Forced::default(),
        false => forced(translator, pairs, options.translate.batch)?,
    };
    let score = |&metric: &Metric| match metric {
        Metric::Ppl => Some(Score::ppl(&forced.perplexity)),
        Metric::TokenAcc => Some(Score::token_acc(&forced.tokens)),
        Metric::SeqAcc => Some(Score::seq_acc(&forced.sequences)),
        of_text => measured.iter().find(|measured| measured.metric() == of_text).map(Measured::score),
    };
    let scores = options.metrics.iter().filter_map(score).collect();
    Ok(Evaluation { lines: pairs.len(), items: items.len(), scores, measured, answers })
}

/// Metrics of texts over items or lines.
pub(crate) fn measure(
    items: &[Item<&str, &str>],
    answers: &[Answer],
    pairs: &[Pair],
    options: &EvaluateOptions,
) -> Result<Vec<Measured>> {
    let of_item = items.iter().zip(answers).map(|(item, answer)| Sentence {
        source: item.source,
        output: &answer.output,
        references: &item.references,
    });
    let of_item: Vec<Sentence<'_>> = of_item.collect();
    let output: HashMap<&str, &str> =
        answers.iter().map(|answer| (answer.source.as_str(), answer.output.as_str())).collect();
    let references: Vec<[&str; 1]> = pairs.iter().map(|pair| [pair.tgt.as_str()]).collect();
    let of_line = pairs.iter().zip(&references).map(|(pair, references)| Sentence {
        source: &pair.src,
        output: output.get(pair.src.as_str()).copied().unwrap_or_default(),
        references,
    });
    let of_line: Vec<Sentence<'_>> = of_line.collect();
    let over = |&metric: &Metric| {
        let sentences = if metric.is_of_items() { &of_item } else { &of_line };
        Ok(Measured::over(metric, options.text, sentences)?)
    };
    options.metrics.iter().filter(|metric| metric.is_of_text()).map(over).collect()
}

/// Sums over references under teacher forcing.
#[derive(Default)]
struct Forced {
    perplexity: Perplexity,
    tokens: Accuracy,
    sequences: Accuracy,
}

fn forced(translator: &Translator, pairs: &[Pair], batch: usize) -> Result<Forced> {
    let (folder, ensemble) = (translator.model(), translator.ensemble()?);
    let encode = |pair: &Pair| (folder.source.encode(&pair.src), folder.target.encode(&pair.tgt));
    let rows: Vec<(Vec<u32>, Vec<u32>)> = pairs.iter().map(encode).collect();
    // Rows of like length share a batch; by batch invariance the sums do not depend on it, but for their order.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| (rows[i].0.len(), rows[i].1.len()));
    let mut sums = Forced::default();
    for part in order.chunks(batch.max(1)) {
        let batch: Vec<(&[u32], &[u32])> = part.iter().map(|&i| (&rows[i].0[..], &rows[i].1[..])).collect();
        for (&sentence, row) in part.iter().zip(ensemble.forced(&Batch::from_rows(&batch)?)?) {
            if let Some(step) = row.log_probs.iter().position(|p| p.is_nan()) {
                return Err(seqweave_seq2seq::Error::NotANumber { sentence, step }.into());
            }
            sums.perplexity.add(-row.log_prob(), row.log_probs.len() as u64);
            sums.tokens.add(row.hits.iter().filter(|&&hit| hit).count() as u64, row.hits.len() as u64);
            sums.sequences.add_one(row.exact());
        }
    }
    Ok(sums)
}
