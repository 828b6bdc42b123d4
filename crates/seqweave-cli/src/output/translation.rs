//! Records of `translate --format jsonl` and `score --json`.

use std::borrow::Cow;

use seqweave::{Output, PairScore, Translation};
use serde::Serialize;

use crate::resolve::Fields;

/// One line of `translate --format jsonl`.
///
/// ```json
/// {"id":0,"src":"d b a","tgt":"a b d","score":-0.031,"log_prob":-0.12,"align":"0-2 1-1 2-0"}
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TranslationRecord {
    /// Number of the input line, from 0.
    pub id: u64,
    /// The input line.
    pub src: String,
    /// The source tokens (`--with tokens`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_tokens: Option<Vec<String>>,
    /// The best candidate.
    #[serde(flatten)]
    pub best: Candidate,
    /// All candidates, the best one first (`--n-best` above 1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub n_best: Vec<Candidate>,
}

/// A translation with the fields that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Candidate {
    /// The text.
    pub tgt: String,
    /// The score that the search compares, length normalisation and penalties included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Natural logarithm of the probability, end of sentence included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_prob: Option<f64>,
    /// `source-target` pairs of token numbers, see [`alignment`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub align: Option<String>,
    /// The target tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tgt_tokens: Option<Vec<String>>,
    /// The logarithm of the probability of each token; the last one belongs to the end of sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_log_probs: Option<Vec<f32>>,
}

/// The alignment in the customary `source-target` notation.
///
/// ```
/// assert_eq!(seqweave_cli::output::alignment(&[(1, 0), (0, 1)]), "1-0 0-1");
/// ```
pub fn alignment(links: &[(usize, usize)]) -> String {
    links.iter().map(|(source, target)| format!("{source}-{target}")).collect::<Vec<_>>().join(" ")
}

/// A text as one line: line breaks, which training data in JSON may have, become spaces; JSON Lines keep them.
///
/// ```
/// assert_eq!(seqweave_cli::output::one_line("a\r\nb\nc\td"), "a b c\td");
/// ```
pub fn one_line(text: &str) -> Cow<'_, str> {
    match text.contains(['\n', '\r']) {
        true => Cow::Owned(text.replace("\r\n", " ").replace(['\n', '\r'], " ")),
        false => Cow::Borrowed(text),
    }
}

impl Candidate {
    /// An output of a translation with the fields that were asked for.
    pub fn of(translation: &Translation, output: &Output, fields: Fields) -> Self {
        Self {
            tgt: output.text.clone(),
            score: fields.score.then_some(output.score),
            log_prob: fields.score.then_some(output.log_prob),
            align: fields.align.then(|| alignment(&translation.alignment(output))),
            tgt_tokens: fields.tokens.then(|| output.tokens.clone()),
            token_log_probs: fields.tokens.then(|| output.token_log_probs.clone()),
        }
    }
}

impl TranslationRecord {
    /// The record of an input line. A line without tokens has an empty translation and no other field of it.
    pub fn of(id: u64, src: String, translation: &Translation, fields: Fields, n_best: usize) -> Self {
        let candidates =
            || translation.outputs.iter().map(|output| Candidate::of(translation, output, fields));
        Self {
            id,
            src,
            src_tokens: fields.tokens.then(|| translation.source_tokens.clone()),
            best: candidates().next().unwrap_or_default(),
            n_best: if n_best > 1 { candidates().collect() } else { Vec::new() },
        }
    }
}

/// One line of `score --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreRecord {
    /// Number of the pair, from 0.
    pub id: u64,
    /// The source.
    pub src: String,
    /// The target that was scored.
    pub tgt: String,
    /// Natural logarithm of its probability, end of sentence included.
    pub log_prob: f64,
    /// Target tokens, end of sentence included.
    pub tokens: u64,
    /// Each token with its share (`--per-token`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_token: Option<Vec<TokenScore>>,
}

/// A token and the logarithm of its probability after the tokens before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenScore {
    /// The token.
    pub token: String,
    /// Natural logarithm.
    pub log_prob: f32,
}

/// The last line of `score --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreSummary {
    /// Number of pairs.
    pub pairs: u64,
    /// Target tokens of all pairs, ends of sentences included.
    pub tokens: u64,
    /// Sum of the logarithms.
    pub log_prob: f64,
    /// exp(−log_prob / tokens); absent over nothing.
    pub perplexity: Option<f64>,
}

impl ScoreRecord {
    /// The record of a pair.
    pub fn of(id: u64, (src, tgt): (String, String), score: PairScore, per_token: bool) -> Self {
        let PairScore { log_prob, tokens, token_log_probs } = score;
        let count = token_log_probs.len() as u64;
        let names = tokens.into_iter().chain(["</s>".to_owned()]);
        let shares = names.zip(token_log_probs).map(|(token, log_prob)| TokenScore { token, log_prob });
        Self { id, src, tgt, log_prob, tokens: count, per_token: per_token.then(|| shares.collect()) }
    }

    /// The line of text: the log-probability, then token and share in turn, separated by tabs.
    pub fn text(&self) -> String {
        let mut text = format!("{:.4}", self.log_prob);
        for TokenScore { token, log_prob } in self.per_token.iter().flatten() {
            // A tab or a line break that is a token is written as it is escaped.
            let token = token.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
            text.push_str(&format!("\t{token} {log_prob:.4}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> TranslationRecord {
        let best = Candidate { tgt: "b a".to_owned(), ..Candidate::default() };
        TranslationRecord { id: 3, src: "a \"b\"".to_owned(), src_tokens: None, best, n_best: Vec::new() }
    }

    #[test]
    fn only_what_was_asked_for_is_written() {
        let json = |record: &TranslationRecord| serde_json::to_string(record).unwrap();
        assert_eq!(json(&record()), r#"{"id":3,"src":"a \"b\"","tgt":"b a"}"#);
        let mut full = record();
        full.best.score = Some(-0.5);
        full.best.log_prob = Some(-1.5);
        full.best.align = Some("0-1 1-0".to_owned());
        full.n_best = vec![full.best.clone(), Candidate { tgt: "b".to_owned(), ..Candidate::default() }];
        assert_eq!(
            json(&full),
            r#"{"id":3,"src":"a \"b\"","tgt":"b a","score":-0.5,"log_prob":-1.5,"align":"0-1 1-0","n_best":[{"tgt":"b a","score":-0.5,"log_prob":-1.5,"align":"0-1 1-0"},{"tgt":"b"}]}"#
        );
    }

    #[test]
    fn a_record_is_made_of_what_the_model_said() {
        let output = |text: &str, score| Output {
            text: text.to_owned(),
            tokens: vec![text.to_owned()],
            log_prob: 2.0 * score,
            score,
            token_log_probs: vec![-0.5, -0.5],
            attention: vec![vec![0.2, 0.7, 0.1], vec![0.0, 0.0, 1.0]],
        };
        let translation = Translation {
            source_tokens: vec!["a".to_owned(), "b".to_owned()],
            source_tags: 0,
            outputs: vec![output("B", -0.5), output("A", -0.75)],
        };
        let all = Fields { score: true, align: true, tokens: true };
        let record = TranslationRecord::of(0, "a b".to_owned(), &translation, all, 2);
        assert_eq!(record.best.align.as_deref(), Some("1-0"));
        assert_eq!(record.n_best.iter().map(|c| c.log_prob.unwrap()).collect::<Vec<_>>(), [-1.0, -1.5]);
        assert_eq!(record.src_tokens.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
        let bare = TranslationRecord::of(0, "a b".to_owned(), &translation, Fields::default(), 1);
        assert_eq!(serde_json::to_string(&bare).unwrap(), r#"{"id":0,"src":"a b","tgt":"B"}"#);
        let empty = Translation::default();
        let record = TranslationRecord::of(4, String::new(), &empty, all, 2);
        assert_eq!(serde_json::to_string(&record).unwrap(), r#"{"id":4,"src":"","src_tokens":[],"tgt":""}"#);
    }

    #[test]
    fn scores_as_text() {
        let token = |token: &str, log_prob| TokenScore { token: token.to_owned(), log_prob };
        let mut record = ScoreRecord {
            id: 0,
            src: "a".to_owned(),
            tgt: "A".to_owned(),
            log_prob: -1.25,
            tokens: 2,
            per_token: None,
        };
        assert_eq!(record.text(), "-1.2500");
        record.per_token = Some(vec![token("A", -1.0), token("</s>", -0.25)]);
        assert_eq!(record.text(), "-1.2500\tA -1.0000\t</s> -0.2500");
        assert!(serde_json::to_string(&record).unwrap().ends_with(
            r#""tokens":2,"per_token":[{"token":"A","log_prob":-1.0},{"token":"</s>","log_prob":-0.25}]}"#
        ));
        record.per_token = Some(vec![token("\t", -1.0), token("\n", -0.25)]);
        assert_eq!(record.text(), "-1.2500\t\\t -1.0000\t\\n -0.2500");
    }
}
