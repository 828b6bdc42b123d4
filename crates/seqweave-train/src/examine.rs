//! A closer look at a model than its scores: by length, at its worst outputs, at the symbols it mistakes.

use std::ops::RangeInclusive;

use seqweave::{Translation, Translator};
use seqweave_data::{Level, Pair, SPECIALS, ShardFolder, SourceSpec, TrainSpec, UNK, load_corpora, pairs};
use seqweave_metrics::{Accuracy, Confusions, Item, Metric, distance, group_references, length_buckets};
use serde::Serialize;

use crate::config::Config;
use crate::evaluate::measure;
use crate::{Answer, EvaluateOptions, Evaluation, Result, evaluate};

/// What is looked at.
#[derive(Debug, Clone)]
pub struct ExamineOptions {
    /// Search and metrics.
    pub evaluate: EvaluateOptions,
    /// Stretches of source lengths that are scored one by one, at most.
    pub buckets: usize,
    /// Worst outputs that are listed, at most.
    pub worst: usize,
    /// Outputs whose attention is kept, at most: the first ones that are not too long to be drawn.
    pub attention: usize,
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Examination {
    /// Scores and outputs.
    pub evaluation: Evaluation,
    /// The same scores by the length of the source, the shortest first.
    pub buckets: Vec<Bucket>,
    /// The worst outputs, the worst first.
    pub worst: Vec<Wrong>,
    /// Which symbols of the target are taken for which.
    pub confusions: Confusions,
    /// What a symbol is: [`Level::Char`] for a model that writes characters, else [`Level::Word`].
    pub symbols: Level,
    /// Some sources with their outputs and attention; empty for a model without attention.
    pub attended: Vec<(String, Translation)>,
}

/// The scores of the items whose sources have a certain length.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bucket {
    /// Tokens of the source.
    pub lengths: RangeInclusive<usize>,
    /// Items.
    pub items: usize,
    /// Outputs that are a reference, in percent.
    pub right: Option<f64>,
    /// One value for each metric of texts that was asked for.
    pub values: Vec<(Metric, Option<f64>)>,
}

/// An output that is not right.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wrong {
    /// Place in the answers of the evaluation.
    pub answer: usize,
    /// The reference that is nearest to it.
    pub reference: String,
    /// Symbols that are wrong, too many or missing, as a share of those of the reference, in percent.
    pub rate: f64,
}

/// The symbols of a text that a model wrote. The mark of a token that it does not know is one symbol, also among characters.
pub fn split_symbols(level: Level, text: &str) -> Vec<&str> {
    let unknown = SPECIALS[UNK as usize];
    match level {
        Level::Char => {
            let mut symbols: Vec<&str> = Vec::new();
            for (i, part) in text.split(unknown).enumerate() {
                symbols.extend((i > 0).then_some(unknown));
                symbols.extend(level.split(part));
            }
            symbols
        }
        level => level.split(text).collect(),
    }
}

/// A source with more tokens than this has an attention map that nobody can read.
const MAX_DRAWN: usize = 40;

/// The development pairs of a run: of their own file, or split off the training pairs as the run or its shards did.
///
/// # Errors
/// A corpus that is missing or has a fault.
pub fn development_pairs(config: &Config) -> Result<Vec<Pair>> {
    match (&config.data.dev, &config.data.train) {
        (Some(source), _) => other_pairs(config, source),
        (None, Some(TrainSpec::Shards(dir))) => Ok(ShardFolder::open(dir)?.dev),
        (None, _) => Ok(load_corpora(&config.data)?.dev),
    }
}

/// Pairs of a file that is no part of a run, in the form of the run's own files.
///
/// # Errors
/// As [`development_pairs`].
pub fn other_pairs(config: &Config, source: &SourceSpec) -> Result<Vec<Pair>> {
    let pairs = pairs(source)?.with_line_cap(config.data.max_line_bytes);
    Ok(pairs
        .with_tags(config.data.features.is_some())
        .collect::<std::result::Result<Vec<_>, seqweave_data::Error>>()?)
}

/// Looks closely at `translator` on `pairs`.
///
/// # Errors
/// As [`evaluate`].
pub fn examine(translator: &Translator, pairs: &[Pair], options: &ExamineOptions) -> Result<Examination> {
    let mut evaluate_options = options.evaluate.clone();
    if !evaluate_options.metrics.iter().any(|metric| metric.is_of_text()) {
        // Outputs are what is looked at, and only metrics of texts make some.
        evaluate_options.metrics.push(Metric::Acc);
    }
    let evaluation = evaluate(translator, pairs, &evaluate_options)?;
    let symbols = match translator.model().target.tokenizer.level {
        Level::Char => Level::Char,
        _ => Level::Word,
    };
    let mut confusions = Confusions::default();
    for Answer { output, references, .. } in &evaluation.answers {
        let references: Vec<Vec<&str>> = references.iter().map(|text| split_symbols(symbols, text)).collect();
        let references: Vec<&[&str]> = references.iter().map(Vec::as_slice).collect();
        confusions.add(&split_symbols(symbols, output), &references);
    }
    Ok(Examination {
        buckets: by_length(translator, &evaluation.answers, pairs, &evaluate_options, options.buckets)?,
        worst: worst(&evaluation.answers, symbols, options.worst),
        attended: attended(translator, &evaluation.answers, options)?,
        evaluation,
        confusions,
        symbols,
    })
}

fn by_length(
    translator: &Translator,
    answers: &[Answer],
    pairs: &[Pair],
    options: &EvaluateOptions,
    wanted: usize,
) -> Result<Vec<Bucket>> {
    let items = group_references(pairs.iter().map(|pair| (pair.src.as_str(), pair.tgt.as_str())));
    let length = |source: &str| translator.model().source.tokenizer.count(source);
    let lengths: Vec<usize> = items.iter().map(|item| length(item.source)).collect();
    let bucket = |range: RangeInclusive<usize>| {
        let within = || (0..items.len()).filter(|&i| range.contains(&lengths[i]));
        let items: Vec<Item<&str, &str>> = within().map(|i| items[i].clone()).collect();
        let answers: Vec<Answer> = within().map(|i| answers[i].clone()).collect();
        let pairs: Vec<Pair> =
            pairs.iter().filter(|pair| range.contains(&length(&pair.src))).cloned().collect();
        let measured = measure(&items, &answers, &pairs, options)?;
        let mut right = Accuracy::default();
        answers.iter().for_each(|answer| right.add_one(answer.right));
        let values = measured.iter().map(|measured| (measured.metric(), measured.value()));
        let right = right.rate().map(|rate| 100.0 * rate);
        Ok(Bucket { items: items.len(), right, values: values.collect(), lengths: range })
    };
    length_buckets(&lengths, wanted).into_iter().map(bucket).collect()
}

/// Wrong outputs by the share of symbols that are wrong; of equal ones the longer first.
fn worst(answers: &[Answer], symbols: Level, wanted: usize) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (i, answer) in answers.iter().enumerate().filter(|(_, answer)| !answer.right) {
        let output = split_symbols(symbols, &answer.output);
        let far = |text: &&String| distance(&output, &split_symbols(symbols, text));
        let Some(reference) = answer.references.iter().min_by_key(far) else { continue };
        let (expected, errors) = (split_symbols(symbols, reference).len(), far(&reference));
        let rate = 100.0 * errors as f64 / expected.max(1) as f64;
        wrong.push((rate, errors, Wrong { answer: i, reference: reference.clone(), rate }));
    }
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
    wrong.into_iter().take(wanted).map(|(_, _, wrong)| wrong).collect()
}

fn attended(
    translator: &Translator,
    answers: &[Answer],
    options: &ExamineOptions,
) -> Result<Vec<(String, Translation)>> {
    let length = |text: &str| translator.model().source.tokenizer.count(text);
    let drawable = answers.iter().filter(|answer| (2..=MAX_DRAWN).contains(&length(&answer.source)));
    let sources: Vec<&str> = drawable.take(options.attention).map(|answer| answer.source.as_str()).collect();
    let translations = translator.translate(&sources, &options.evaluate.translate)?;
    let has_attention = |translation: &Translation| {
        translation.best().is_some_and(|best| !best.attention.iter().all(Vec::is_empty))
    };
    let named = sources.iter().map(|source| (*source).to_owned()).zip(translations);
    Ok(named.filter(|(_, translation)| has_attention(translation)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_token_is_one_symbol_among_characters() {
        assert_eq!(split_symbols(Level::Char, "我<unk>a<unk>"), ["我", "<unk>", "a", "<unk>"]);
        assert_eq!(split_symbols(Level::Word, "a<unk> b"), ["a<unk>", "b"]);
    }

    #[test]
    fn the_worst_outputs_come_first_against_their_nearest_reference() {
        let answer = |output: &str, references: &[&str], right| Answer {
            source: String::new(),
            references: references.iter().map(|text| (*text).to_owned()).collect(),
            output: output.to_owned(),
            right,
        };
        let answers = [
            answer("a b c", &["x y z", "a b d"], false),
            answer("q", &["q"], true),
            answer("", &["a b"], false),
            answer("c", &["d"], false),
        ];
        let found = worst(&answers, Level::Word, 9);
        let found: Vec<_> = found.iter().map(|w| (w.answer, w.reference.as_str(), w.rate.round())).collect();
        assert_eq!(found, [(2, "a b", 100.0), (3, "d", 100.0), (0, "a b d", 33.0)]);
        assert_eq!(worst(&answers, Level::Word, 1).len(), 1);
        // By characters the same outputs are other shares wrong.
        assert_eq!(worst(&answers[..1], Level::Char, 1)[0].rate, 20.0);
    }
}
