//! The five-line use of a trained model: text in, text out.

use crate::phrases::{self, Phrases};
use crate::{Dictionary, Error, ModelFolder, Result};
use seqweave_data::{Codec, UNK};
use seqweave_nn::AttentionKind;
use seqweave_seq2seq::Ensemble;
use seqweave_seq2seq::search::{Hypothesis, Query, Search, SearchOptions, score_batch_with};
use seqweave_tensor::Device;
use serde::Serialize;
use std::path::Path;

/// A trained model, or an ensemble of several, ready to use.
///
/// ```no_run
/// use seqweave::{TranslateOptions, Translator};
///
/// let translator = Translator::from_dir("runs/cmudict/run")?;
/// let options = TranslateOptions { ..translator.defaults() };
/// for answer in translator.translate(&["transformer", "attention"], &options)? {
///     println!("{} ({:.2})", answer.text(), answer.best().map_or(0.0, |best| best.score));
/// }
/// # Ok::<(), seqweave::Error>(())
/// ```
pub struct Translator {
    folder: ModelFolder,
    /// The other models of an ensemble.
    others: Vec<ModelFolder>,
}

/// How to translate.
#[derive(Debug, Clone, PartialEq)]
pub struct TranslateOptions {
    /// The search: beam, n-best, length normalisation, limits.
    pub search: SearchOptions,
    /// Sentences decoded together; it changes the speed and nothing else. Default 64.
    pub batch: usize,
    /// Phrases that no output contains, but for what its prefix says.
    pub forbidden: Vec<String>,
    /// Puts the source token that an unknown target token looks at most in its place, or what the dictionary has for it
    /// (Luong et al. 2015, "Addressing the rare word problem").
    pub replace_unknown: Option<Dictionary>,
}

impl Default for TranslateOptions {
    fn default() -> Self {
        TranslateOptions {
            search: SearchOptions::default(),
            batch: 64,
            forbidden: Vec::new(),
            replace_unknown: None,
        }
    }
}

/// A line to be translated, and what its outputs must hold.
///
/// Prefix and phrases become tokens as the target text that the model learnt from did, each on its own. So at the levels
/// of pieces a phrase is found where it is cut as it is cut alone, and the last word of a prefix may go on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line<'a> {
    /// The line.
    pub text: &'a str,
    /// What every output begins with.
    pub prefix: &'a str,
    /// Phrases that every output contains, in any order.
    pub required: &'a [String],
}

impl<'a> Line<'a> {
    /// A line without further wishes.
    pub fn of(text: &'a str) -> Self {
        Line { text, ..Line::default() }
    }
}

/// What the model says for one line.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Translation {
    /// The source tokens as the model read them, without the end mark.
    pub source_tokens: Vec<String>,
    /// How many of them are tags and stand for no text; they are the last ones.
    pub source_tags: usize,
    /// Outputs, best first; none for a line without tokens, which the model is not asked about.
    pub outputs: Vec<Output>,
}

/// One output for one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Output {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<String>,
    /// Log-probability (natural logarithm), the end mark included.
    pub log_prob: f64,
    /// What outputs are ranked by: the log-probability after length normalisation and coverage penalty.
    pub score: f64,
    /// Log-probability of each token and, last, of the end mark.
    pub token_log_probs: Vec<f32>,
    /// Attention weights `[target token][source token]`, the end marks included; empty for a model without attention.
    pub attention: Vec<Vec<f32>>,
}

impl Translation {
    /// The best output, if the line had any tokens.
    pub fn best(&self) -> Option<&Output> {
        self.outputs.first()
    }

    /// The text of the best output; empty for a line without tokens.
    pub fn text(&self) -> &str {
        self.best().map_or("", |output| &output.text)
    }

    /// The source token that each token of an output looks at most, as pairs `(source, target)`; end marks and tags are
    /// left out.
    pub fn alignment(&self, output: &Output) -> Vec<(usize, usize)> {
        let rows = output.attention.iter().take(output.tokens.len()).enumerate();
        rows.filter_map(|(t, row)| Some((most_attended(row, self.source_text().len())?, t))).collect()
    }

    /// The source tokens that stand for text.
    pub(crate) fn source_text(&self) -> &[String] {
        &self.source_tokens[..self.source_tokens.len().saturating_sub(self.source_tags)]
    }
}

/// The one of the first `tokens` source tokens with the largest weight of a row of attention; of equals, the first.
fn most_attended(row: &[f32], tokens: usize) -> Option<usize> {
    let words = &row[..tokens.min(row.len())];
    (0..words.len()).max_by(|&i, &j| words[i].total_cmp(&words[j]).then(j.cmp(&i)))
}

/// How probable the model finds a given output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PairScore {
    /// Log-probability (natural logarithm) of the whole output, the end mark included.
    pub log_prob: f64,
    /// The output's tokens.
    pub tokens: Vec<String>,
    /// Log-probability of each token and, last, of the end mark.
    pub token_log_probs: Vec<f32>,
}

impl Translator {
    /// Opens a model folder, a checkpoint, or a run folder (its best checkpoint) on the CPU.
    ///
    /// # Errors
    /// As [`ModelFolder::open`]: with the file, the place and what to do.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Translator> {
        Translator::from_dir_on(dir, &Device::cpu())
    }

    /// Opens a model on a given device.
    ///
    /// # Errors
    /// As [`Translator::from_dir`].
    pub fn from_dir_on(dir: impl AsRef<Path>, device: &Device) -> Result<Translator> {
        Ok(Translator::new(ModelFolder::open(dir.as_ref(), device)?))
    }

    /// A translator around a model in memory.
    pub fn new(folder: ModelFolder) -> Translator {
        Translator { folder, others: Vec::new() }
    }

    /// An ensemble of the models that are here already and one more: probabilities are averaged.
    ///
    /// # Errors
    /// [`Error::OtherTokens`] unless both sides have the tokenizer and the vocabulary of the first model, and what
    /// [`Ensemble::new`] says.
    pub fn join(mut self, other: ModelFolder) -> Result<Translator> {
        same_tokens("source", &self.folder.source, &other.source)?;
        same_tokens("target", &self.folder.target, &other.target)?;
        self.others.push(other);
        self.ensemble()?;
        Ok(self)
    }

    /// The models, as the search takes them.
    ///
    /// # Errors
    /// None, since [`Translator::join`] has asked already.
    pub fn ensemble(&self) -> Result<Ensemble<'_>> {
        let members: Vec<_> = self.models().map(|folder| (&folder.model, &folder.params)).collect();
        Ok(Ensemble::new(&members)?)
    }

    /// The models, the first one first.
    pub fn models(&self) -> impl Iterator<Item = &ModelFolder> {
        std::iter::once(&self.folder).chain(&self.others)
    }

    /// The model inside; of an ensemble, the first.
    pub fn model(&self) -> &ModelFolder {
        &self.folder
    }

    /// The model inside, for the trainer that updates it.
    pub fn model_mut(&mut self) -> &mut ModelFolder {
        &mut self.folder
    }

    /// The options that the model's makers chose.
    pub fn defaults(&self) -> TranslateOptions {
        TranslateOptions { search: self.folder.generation.clone(), ..TranslateOptions::default() }
    }

    /// Whether any of the models looks at the source through attention.
    pub fn has_attention(&self) -> bool {
        self.models().any(|folder| folder.model.config().attention != AttentionKind::None)
    }

    /// Translates lines of raw text, one answer a line, in order.
    ///
    /// A line gets the same answer, to the last bit of its scores, alone and in any company.
    ///
    /// # Errors
    /// An option out of range, a forbidden phrase that cannot be, or a model whose weights give NaN.
    pub fn translate<S: AsRef<str>>(
        &self,
        lines: &[S],
        options: &TranslateOptions,
    ) -> Result<Vec<Translation>> {
        let lines: Vec<Line<'_>> = lines.iter().map(|line| Line::of(line.as_ref())).collect();
        self.translate_lines(&lines, options)
    }

    /// [`Translator::translate`] for lines whose outputs must hold something. A line without tokens has no output,
    /// whatever it must hold.
    ///
    /// # Errors
    /// As [`Translator::translate`], and [`Error::Phrase`] for a prefix or phrase that is empty or holds a token that the
    /// model does not know, [`Error::Contradiction`] for a required phrase that contains a forbidden one, and what
    /// [`Search::batch`] says of wishes that cannot be fulfilled. Errors hold indices from 0; their messages count
    /// from 1.
    pub fn translate_lines(
        &self,
        lines: &[Line<'_>],
        options: &TranslateOptions,
    ) -> Result<Vec<Translation>> {
        let ModelFolder { model, source, target, .. } = &self.folder;
        if options.replace_unknown.is_some() && !self.has_attention() {
            return Err(Error::NoAttention { what: "replacing unknown tokens" });
        }
        let forbidden = phrases::forbidden(target, &options.forbidden)?;
        let mut answers: Vec<Translation> =
            lines.iter().map(|line| read(source, line.text, model.merges_tags())).collect();
        let mut rows: Vec<Vec<u32>> = lines.iter().map(|line| source.encode(line.text)).collect();
        let asked: Vec<usize> = (0..lines.len()).filter(|&i| !rows[i].is_empty()).collect();
        rows.retain(|row| !row.is_empty());
        let wishes: Vec<Phrases> =
            asked.iter().map(|&i| Phrases::of(target, &lines[i], i)).collect::<Result<_>>()?;
        let queries: Vec<Query<'_>> = rows.iter().zip(&wishes).map(|(row, wish)| wish.query(row)).collect();
        let ensemble = self.ensemble()?;
        let found = Search::new(&ensemble, &options.search, &forbidden)?
            .all(&queries, options.batch)
            .map_err(|error| phrases::in_words(target, error.renumber(&asked)))?;
        for (i, hypotheses) in asked.into_iter().zip(found) {
            let text = answers[i].source_text();
            let unknown = options.replace_unknown.as_ref().map(|dictionary| (dictionary, text));
            let outputs = hypotheses.into_iter().map(|hypothesis| output(target, hypothesis, unknown));
            answers[i].outputs = outputs.collect::<Result<_>>()?;
        }
        Ok(answers)
    }

    /// The log-probability of each given output for its source.
    ///
    /// # Errors
    /// A model whose weights give NaN.
    pub fn score<S: AsRef<str>>(&self, pairs: &[(S, S)], batch: usize) -> Result<Vec<PairScore>> {
        let (ModelFolder { source, target, .. }, ensemble) = (&self.folder, self.ensemble()?);
        let mut scores = Vec::with_capacity(pairs.len());
        for part in pairs.chunks(batch.max(1)) {
            let encode = |(x, y): &(S, S)| (source.encode(x.as_ref()), target.encode(y.as_ref()));
            let rows: Vec<(Vec<u32>, Vec<u32>)> = part.iter().map(encode).collect();
            for ((_, y), scored) in part.iter().zip(score_batch_with(&ensemble, &rows)?) {
                scores.push(PairScore {
                    log_prob: scored.log_prob,
                    tokens: target.tokenizer.encode(y.as_ref()),
                    token_log_probs: scored.token_log_probs,
                });
            }
        }
        Ok(scores)
    }
}

/// A line as the model reads it: its tokens in the order of the source positions. Tags are among them, unless they are
/// merged into the others; one that training did not see is not read.
fn read(source: &Codec, line: &str, merges_tags: bool) -> Translation {
    let (mut source_tokens, mut source_tags) = (source.tokenizer.encode(line), 0);
    if source.tokenizer.tags.is_some() {
        let is_tag = |token: &String| token.starts_with('\t');
        source_tokens.retain(|token| !is_tag(token) || (!merges_tags && source.vocab.id(token) != UNK));
        source_tags = source_tokens.iter().filter(|token| is_tag(token)).count();
        source_tokens.iter_mut().for_each(|token| *token = token.trim_start_matches('\t').to_owned());
    }
    Translation { source_tokens, source_tags, outputs: Vec::new() }
}

/// The text of a hypothesis. `unknown` says what to put in the place of unknown tokens: a dictionary, and the source
/// tokens that stand for text.
fn output(
    target: &Codec,
    hypothesis: Hypothesis,
    unknown: Option<(&Dictionary, &[String])>,
) -> Result<Output> {
    let tokens = target.vocab.decode(&hypothesis.ids)?;
    let mut tokens: Vec<String> = tokens.into_iter().map(str::to_owned).collect();
    let mut text = target.decode(&hypothesis.ids)?;
    if let Some((dictionary, source)) = unknown
        && hypothesis.ids.contains(&UNK)
    {
        for (step, token) in tokens.iter_mut().enumerate().filter(|(step, _)| hypothesis.ids[*step] == UNK) {
            let at = hypothesis.align.get(step).and_then(|row| most_attended(row, source.len()));
            if let Some(word) = at.and_then(|at| source.get(at)) {
                *token = dictionary.get(word).unwrap_or(word).to_owned();
            }
        }
        text = target.tokenizer.decode(&tokens);
    }
    Ok(Output {
        text,
        tokens,
        log_prob: hypothesis.log_prob,
        score: hypothesis.score,
        token_log_probs: hypothesis.token_log_probs,
        attention: hypothesis.align,
    })
}

/// Refuses a side of a model that cuts or numbers tokens otherwise than the first model does; says where they differ.
fn same_tokens(side: &'static str, first: &Codec, other: &Codec) -> Result<()> {
    let differ = |what: String, expected: String, found: String| {
        Err(Error::OtherTokens { side, what, expected, found })
    };
    let (expected, found) = (first.tokenizer.to_string(), other.tokenizer.to_string());
    if expected != found {
        return differ("the tokenizer".to_owned(), expected, found);
    }
    let mut tokens = first.vocab.iter().zip(other.vocab.iter()).enumerate();
    if let Some((id, ((expected, _), (found, _)))) = tokens.find(|(_, ((a, _), (b, _)))| a != b) {
        return differ(format!("token {id}"), format!("{expected:?}"), format!("{found:?}"));
    }
    if first.vocab.len() != other.vocab.len() {
        let (expected, found) = (first.vocab.len().to_string(), other.vocab.len().to_string());
        return differ("the number of tokens".to_owned(), expected, found);
    }
    if first.tokenizer != other.tokenizer {
        let (expected, found) = ("that of the first model", "another with the same tokens");
        return differ("the tokenizer file".to_owned(), expected.to_owned(), found.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
