//! A metric over a corpus of texts: sums for each sentence, a value of any sum of them, a signature.

use crate::bootstrap::{self, Interval, Paired};
use crate::rouge::Kind;
use crate::{
    Bleu, Error, Metric, Result, Score, TextOptions, TextScores, bleu, chrf, correction, rouge, ter,
};

/// One output with what it is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Sentence<'a> {
    /// What was translated; only [`Metric::F05`] looks at it.
    pub source: &'a str,
    /// The text to be judged.
    pub output: &'a str,
    /// The texts that count as right, at least one.
    pub references: &'a [&'a str],
}

/// A metric of texts, counted over a corpus.
///
/// ```
/// use seqweave_metrics::{Measured, Metric, Sentence, TextOptions};
///
/// let sentences = [
///     Sentence { source: "", output: "the cat sat on a mat", references: &["the cat sat on the mat"] },
///     Sentence { source: "", output: "yes", references: &["yes .", "yes"] },
/// ];
/// let bleu = Measured::over(Metric::Bleu, TextOptions::default(), &sentences)?;
/// assert_eq!(format!("{:.1}", bleu.value().unwrap()), "54.1");
/// assert_eq!(bleu.signature(None), "nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:seqweave-0.1.0");
/// let interval = bleu.interval(1000, 12345).unwrap();
/// assert!(interval.low <= 54.1 && 54.1 <= interval.high);
/// # Ok::<(), seqweave_metrics::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    metric: Metric,
    options: TextOptions,
    /// References of every sentence, or `None` where their number differs.
    references: Option<usize>,
    /// Sums of each sentence.
    rows: Vec<Vec<f64>>,
}

impl Measured {
    /// Counts `metric` over `sentences`.
    ///
    /// # Errors
    ///
    /// [`Error::NoReference`]: a sentence has none.
    /// [`Error::NeedsModel`]: the metric is not one of texts ([`Metric::is_of_text`]).
    pub fn over(metric: Metric, options: TextOptions, sentences: &[Sentence<'_>]) -> Result<Self> {
        let rows =
            sentences.iter().map(|sentence| sums(metric, &options, sentence)).collect::<Result<_>>()?;
        let first = sentences.first().map_or(1, |sentence| sentence.references.len());
        let same = sentences.iter().all(|sentence| sentence.references.len() == first);
        Ok(Measured { metric, options, references: same.then_some(first), rows })
    }

    /// Which metric.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Sentences counted.
    pub fn sentences(&self) -> usize {
        self.rows.len()
    }

    /// The value over the whole corpus; `None` over nothing.
    pub fn value(&self) -> Option<f64> {
        self.value_of(&self.total())
    }

    /// The value of each sentence alone; for BLEU without the orders that the sentence is too short for.
    pub fn of_each(&self) -> impl Iterator<Item = Option<f64>> + '_ {
        self.rows.iter().map(|sums| match self.metric {
            Metric::Bleu => Some(bleu::effective(sums, self.options.smooth).score),
            _ => self.value_of(sums),
        })
    }

    /// The value with what it is over: reference words for BLEU and TER, edits wanted for F0.5, sentences for chrF and
    /// ROUGE, and for the others as [`Score::total`] says.
    pub fn score(&self) -> Score {
        let total = self.total();
        let over = match self.metric {
            Metric::Chrf | Metric::ChrfPlusPlus => self.rows.len() as f64,
            Metric::F05 => total[2],
            _ => total[1],
        };
        Score { metric: self.metric, value: self.value_of(&total), total: over.round() as u64 }
    }

    /// BLEU with its parts; `None` for other metrics.
    pub fn bleu(&self) -> Option<Bleu> {
        (self.metric == Metric::Bleu).then(|| bleu::bleu(&self.total(), self.options.smooth))
    }

    /// The 95 % interval of the value over corpora like this one: `samples` corpora of as many sentences are drawn from
    /// it with replacement. `None` over nothing.
    ///
    /// The draws are those of sacreBLEU with the same seed, whose default is [`SEED`](crate::SEED).
    pub fn interval(&self, samples: usize, seed: u64) -> Option<Interval> {
        let values = bootstrap::resampled(&[&self.rows], samples, seed, &|sums| self.value_of(sums));
        bootstrap::interval(values.into_iter().next()?)
    }

    /// How sure it is that `other` and this differ: the paired bootstrap test (Koehn 2004) over the same sentences.
    ///
    /// # Errors
    ///
    /// [`Error::Unpaired`]: another metric, other options, or another number of sentences.
    pub fn against(&self, other: &Measured, samples: usize, seed: u64) -> Result<Option<Paired>> {
        if (self.metric, self.options, self.rows.len()) != (other.metric, other.options, other.rows.len()) {
            return Err(Error::Unpaired {
                expected: format!(
                    "{} over {} sentences, {}",
                    self.metric,
                    self.rows.len(),
                    self.signature(None)
                ),
                found: format!("{} over {}, {}", other.metric, other.rows.len(), other.signature(None)),
            });
        }
        let (Some(a), Some(b)) = (self.value(), other.value()) else { return Ok(None) };
        let of = |sums: &[f64]| self.value_of(sums);
        let values = bootstrap::resampled(&[&self.rows, &other.rows], samples, seed, &of);
        Ok(bootstrap::paired((b - a).abs(), &values))
    }

    /// What the value depends on, in the words of sacreBLEU: `nrefs:1|case:mixed|…|version:…`.
    ///
    /// The version is ours. `bootstrap` adds the number of samples and the seed.
    /// Metrics that sacreBLEU does not have are written in the same form.
    pub fn signature(&self, bootstrap: Option<(usize, u64)>) -> String {
        let references = self.references.map_or_else(|| "var".to_owned(), |count| count.to_string());
        let mut parts = vec![format!("nrefs:{references}")];
        if let Some((samples, seed)) = bootstrap {
            parts.extend([format!("bs:{samples}"), format!("seed:{seed}")]);
        }
        let TextOptions { tok, lowercase, smooth } = self.options;
        let case = if lowercase { "case:lc" } else { "case:mixed" };
        let own = match self.metric {
            Metric::Bleu => format!("{case}|eff:no|tok:{tok}|smooth:{smooth}"),
            Metric::Chrf => format!("{case}|eff:yes|nc:6|nw:0|space:no"),
            Metric::ChrfPlusPlus => format!("{case}|eff:yes|nc:6|nw:2|space:no"),
            Metric::Ter => "case:lc|tok:tercom|norm:no|punct:yes|asian:no".to_owned(),
            Metric::Rouge1 | Metric::Rouge2 | Metric::RougeL => "case:lc|tok:a-z0-9|stem:no".to_owned(),
            Metric::F05 => "case:mixed|tok:none|beta:0.5|edits:runs".to_owned(),
            _ => "case:mixed|tok:none".to_owned(),
        };
        parts.extend([own, format!("version:seqweave-{}", env!("CARGO_PKG_VERSION"))]);
        parts.join("|")
    }

    fn total(&self) -> Vec<f64> {
        let mut total = vec![0.0; width(self.metric)];
        self.rows.iter().for_each(|row| bootstrap::add(&mut total, row));
        total
    }

    fn value_of(&self, sums: &[f64]) -> Option<f64> {
        if self.rows.is_empty() {
            return None;
        }
        match self.metric {
            Metric::Bleu => Some(bleu::bleu(sums, self.options.smooth).score),
            Metric::Chrf | Metric::ChrfPlusPlus => Some(chrf::f_score(sums)),
            Metric::Ter => Some(ter::ter(sums)),
            Metric::F05 => correction::f_half(sums),
            Metric::Rouge1 | Metric::Rouge2 | Metric::RougeL => Some(sums[0] / sums[1]),
            _ => (sums[1] > 0.0).then(|| 100.0 * sums[0] / sums[1]),
        }
    }
}

/// How many sums a sentence has.
fn width(metric: Metric) -> usize {
    match metric {
        Metric::Bleu => bleu::WIDTH,
        Metric::Chrf => chrf::width(0),
        Metric::ChrfPlusPlus => chrf::width(2),
        Metric::F05 => 3,
        _ => 2,
    }
}

fn sums(metric: Metric, options: &TextOptions, sentence: &Sentence<'_>) -> Result<Vec<f64>> {
    let Sentence { source, output, references } = *sentence;
    if references.is_empty() {
        return Err(Error::NoReference { output: output.into() });
    }
    Ok(match metric {
        Metric::Bleu => bleu::sums(output, references, options),
        Metric::Chrf => chrf::sums(output, references, 0, options.lowercase),
        Metric::ChrfPlusPlus => chrf::sums(output, references, 2, options.lowercase),
        Metric::Ter => ter::sums(output, references),
        Metric::Rouge1 => rouge::sums(output, references, Kind::Ngrams(1)),
        Metric::Rouge2 => rouge::sums(output, references, Kind::Ngrams(2)),
        Metric::RougeL => rouge::sums(output, references, Kind::Longest),
        Metric::F05 => correction::sums(source, output, references),
        Metric::Wer | Metric::Per | Metric::Cer | Metric::Acc => {
            let mut scores = TextScores::default();
            scores.add(output, references)?;
            let (part, whole) = scores.part_of(metric).unwrap_or_default();
            vec![part as f64, whole as f64]
        }
        Metric::Ppl | Metric::TokenAcc | Metric::SeqAcc => return Err(Error::NeedsModel { metric }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(output: &'static str) -> Sentence<'static> {
        Sentence { source: "a x c", output, references: &["a b c"] }
    }

    #[test]
    fn every_metric_of_texts_is_measured() {
        let sentences = [sentence("a b c"), sentence("a c"), sentence("")];
        for metric in Metric::ALL {
            let measured = Measured::over(metric, TextOptions::default(), &sentences);
            if !metric.is_of_text() {
                assert_eq!(measured, Err(Error::NeedsModel { metric }));
                continue;
            }
            let measured = measured.unwrap();
            let value = measured.value().unwrap();
            assert!((0.0..=100.0).contains(&value), "{metric} {value}");
            assert_eq!(measured.score().value, Some(value));
            assert_eq!(measured.of_each().count(), 3);
            let perfect = measured.of_each().next().unwrap().unwrap();
            // chrF and BLEU sum logarithms and ratios, so 100 is reached but for rounding.
            let best = if metric.higher_is_better() { 100.0 } else { 0.0 };
            assert!((perfect - best).abs() < 1e-9, "{metric} {perfect}");
            let signature = measured.signature(Some((1000, 7)));
            assert!(signature.starts_with("nrefs:1|bs:1000|seed:7|case:"), "{signature}");
            let nothing = Measured::over(metric, TextOptions::default(), &[]).unwrap();
            assert_eq!((nothing.value(), nothing.interval(10, 1)), (None, None), "{metric}");
            let none = Sentence { references: &[], ..sentence("x") };
            assert!(Measured::over(metric, TextOptions::default(), &[none]).is_err(), "{metric}");
        }
    }

    #[test]
    fn equal_systems_have_the_smallest_p_value_and_others_are_no_pair() {
        let sentences = [sentence("a b c"), sentence("a c"), sentence("")];
        let measure = |sentences: &[Sentence<'_>]| {
            Measured::over(Metric::Chrf, TextOptions::default(), sentences).unwrap()
        };
        let a = measure(&sentences);
        assert_eq!(a.against(&a, 200, 1).unwrap().unwrap().p_value, 1.0 / 201.0);
        let short = measure(&sentences[..2]);
        assert!(matches!(a.against(&short, 10, 1), Err(Error::Unpaired { .. })));
    }
}
