//! The five-line use of a trained model: text in, text out.

use crate::{ModelFolder, Result};
use seqweave_data::Codec;
use seqweave_seq2seq::search::{Hypothesis, SearchOptions, score_batch, translate_all};
use seqweave_tensor::Device;
use serde::Serialize;
use std::path::Path;

/// A trained model, ready to use.
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
}

/// How to translate.
#[derive(Debug, Clone, PartialEq)]
pub struct TranslateOptions {
    /// The search: beam, n-best, length normalisation, limits.
    pub search: SearchOptions,
    /// Sentences decoded together; it changes the speed and nothing else. Default 64.
    pub batch: usize,
}

impl Default for TranslateOptions {
    fn default() -> Self {
        TranslateOptions { search: SearchOptions::default(), batch: 64 }
    }
}

/// What the model says for one line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Translation {
    /// The source tokens as the model read them, without the end mark.
    pub source_tokens: Vec<String>,
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
}

impl Output {
    /// The source token that each target token looks at most, as pairs `(source, target)`, end marks left out.
    pub fn alignment(&self) -> Vec<(usize, usize)> {
        let rows = self.attention.iter().take(self.tokens.len()).enumerate();
        rows.filter_map(|(t, row)| {
            let words = &row[..row.len().saturating_sub(1)];
            let best = (0..words.len()).max_by(|&i, &j| words[i].total_cmp(&words[j]).then(j.cmp(&i)))?;
            Some((best, t))
        })
        .collect()
    }
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
        Ok(Translator { folder: ModelFolder::open(dir.as_ref(), device)? })
    }

    /// A translator around a model in memory.
    pub fn new(folder: ModelFolder) -> Translator {
        Translator { folder }
    }

    /// The model inside.
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

    /// Translates lines of raw text, one answer a line, in order.
    ///
    /// A line gets the same answer, to the last bit of its scores, alone and in any company.
    ///
    /// # Errors
    /// An option out of range, or a model whose weights give NaN.
    pub fn translate<S: AsRef<str>>(
        &self,
        lines: &[S],
        options: &TranslateOptions,
    ) -> Result<Vec<Translation>> {
        let ModelFolder { model, params, source, target, .. } = &self.folder;
        let mut answers: Vec<Translation> = lines
            .iter()
            .map(|line| Translation {
                source_tokens: source.tokenizer.encode(line.as_ref()),
                outputs: Vec::new(),
            })
            .collect();
        let asked: Vec<usize> = (0..lines.len()).filter(|&i| !answers[i].source_tokens.is_empty()).collect();
        let rows: Vec<Vec<u32>> = asked.iter().map(|&i| source.encode(lines[i].as_ref())).collect();
        let found = translate_all(model, params, &rows, &options.search, options.batch)?;
        for (i, hypotheses) in asked.into_iter().zip(found) {
            let outputs = hypotheses.into_iter().map(|hypothesis| output(target, hypothesis));
            answers[i].outputs = outputs.collect::<Result<_>>()?;
        }
        Ok(answers)
    }

    /// The log-probability of each given output for its source.
    ///
    /// # Errors
    /// A model whose weights give NaN.
    pub fn score<S: AsRef<str>>(&self, pairs: &[(S, S)], batch: usize) -> Result<Vec<PairScore>> {
        let ModelFolder { model, params, source, target, .. } = &self.folder;
        let mut scores = Vec::with_capacity(pairs.len());
        for part in pairs.chunks(batch.max(1)) {
            let encode = |(x, y): &(S, S)| (source.encode(x.as_ref()), target.encode(y.as_ref()));
            let rows: Vec<(Vec<u32>, Vec<u32>)> = part.iter().map(encode).collect();
            for ((_, y), scored) in part.iter().zip(score_batch(model, params, &rows)?) {
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

fn output(target: &Codec, hypothesis: Hypothesis) -> Result<Output> {
    Ok(Output {
        text: target.decode(&hypothesis.ids)?,
        tokens: target.vocab.decode(&hypothesis.ids)?.into_iter().map(str::to_owned).collect(),
        log_prob: hypothesis.log_prob,
        score: hypothesis.score,
        token_log_probs: hypothesis.token_log_probs,
        attention: hypothesis.align,
    })
}
